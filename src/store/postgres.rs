//! The store in PostgreSQL: a pool of connections, and no answer before the outcome is known.

mod outage;
pub mod pipeline;
mod servers;
pub mod statement;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deadpool::managed::{Object, Pool, PoolError};
use prometheus_client::metrics::histogram::Histogram;
use rand::TryRng;
use rand::rngs::SysRng;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_postgres::IsolationLevel;
use tokio_postgres::error::Severity;

use super::deadline::begin_by;
use super::error::{Problem, Result, known_schema};
use super::row::Value;
use super::session::{Mode, Session, Work};
use super::statements::{Wait, wait_of};
use crate::database::PostgresUrl;
use crate::last_seen::Lineage;
use outage::Outage;
use pipeline::Pipeline;
use servers::{SILENCE, Servers, Stamp};
use statement::pooled;

/// Every schema change, in order. Each notes its number in `easy_invite_schema`.
const MIGRATIONS: [&str; 1] = [include_str!("../../migrations/postgres/0001_invites.sql")];

/// How many connections a daemon holds at most. PostgreSQL allows 100 in all by default.
const CONNECTIONS: usize = 16;

/// How many of them may write. The others can read even while all commits wait for a standby.
const WRITING: usize = 12;

/// How long the store tries to reach the server before it says "not now". A hook waits five
/// seconds.
const PATIENCE: Duration = Duration::from_secs(4);

/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// How long work may take before the store finds out what it waits for.
const SLOW: Duration = Duration::from_secs(2);

/// How long a caller whose time is up still waits to hear what blocks its work.
const ASKING: Duration = Duration::from_secs(1);

/// How transactions begin.
const BEGIN: &str = "START TRANSACTION ISOLATION LEVEL READ COMMITTED";
const BEGIN_SNAPSHOT: [&str; 2] = [
    "START TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY",
    // What takes the rows may be slow: a pager that waits for its reader.
    "SET LOCAL idle_in_transaction_session_timeout = 0",
];

/// Its commit waits for this server's disk, and for no standby.
const BEGIN_ASIDE: [&str; 2] = [BEGIN, "SET LOCAL synchronous_commit = local"];

/// The last statement of a writing transaction writes its writer and its number. PostgreSQL's own
/// transaction ids would not do: after a crash, the server may reuse an id that had not reached the
/// disk. The statement fails in a session other than the connection's own, since a prepared
/// statement of the same name may be another one there.
const NOTE_COMMIT: &str = "INSERT INTO last_commit (writer, number, at) \
     SELECT $1, CASE WHEN pg_backend_pid() = $3::bigint THEN $2::bigint END, extract(epoch FROM now())::bigint \
     WHERE pg_current_xact_id_if_assigned() IS NOT NULL \
     ON CONFLICT (writer) DO UPDATE SET number = excluded.number, at = excluded.at";

/// Reads the number that a writer committed last. It waits for a transaction of this writer that is
/// still open, since both change the same row. It writes as well, so that its commit waits until
/// the standbys have what it has read.
const LAST_COMMIT: &str = "INSERT INTO last_commit (writer, number, at) \
     VALUES ($1, 0, extract(epoch FROM now())::bigint) \
     ON CONFLICT (writer) DO UPDATE SET at = excluded.at RETURNING number";

/// Removes old rows. A daemon asks for its row until it knows the outcome, but no server is away
/// for a month.
const REMOVE_OLD_NOTES: &str = "DELETE FROM last_commit WHERE at < extract(epoch FROM now() - interval '30 days')";

/// A store on a PostgreSQL server.
#[derive(Clone)]
pub struct Postgres {
    pool: Pool<Servers>,
    /// A permit for each connection that may write.
    places: Arc<Semaphore>,
    outage: Arc<Outage>,
    /// The writers that no transaction uses.
    writers: Arc<Mutex<Vec<Writer>>>,
    commits: Histogram,
}

/// A name for transactions, of which one at a time is open.
struct Writer {
    id: [u8; 16],
    /// The number of the transaction. It stays the same however often the transaction is tried.
    number: i64,
}

/// A connection of the pool.
type Client = Object<Servers>;

/// An attempt that ended without a result.
enum Lost<T> {
    /// Nothing was done.
    Undone(Problem),
    /// It is not known whether the commit holds. The value is the result if it does.
    InDoubt(T),
}

impl Postgres {
    /// Connects, and brings the schema up to date. With `make`, makes it where there is none.
    /// `commits` counts how long each commit takes.
    pub async fn open(url: &PostgresUrl, make: bool, commits: &Histogram) -> Result<Self> {
        let servers = Servers::new(url)?;
        let pool = Pool::builder(servers).max_size(CONNECTIONS).build();
        let pool = pool.map_err(|error| Problem::Unopenable(error.to_string()))?;
        let (places, outage) = (Arc::new(Semaphore::new(WRITING)), Arc::new(Outage::none(url.to_string())));
        let store = Postgres { pool, places, outage, writers: Arc::default(), commits: commits.clone() };
        store.ensure_own_sessions().await?;
        store.ensure_utf8(url).await?;
        store.migrate(make).await?;
        Ok(store)
    }

    pub async fn run<T: Send + 'static>(&self, mode: Mode, work: Work<T>) -> Result<T> {
        match mode {
            Mode::Write => self.write(work).await,
            Mode::Read | Mode::Snapshot | Mode::Aside => self.until_known(mode, None, &work, begin_by()).await,
        }
    }

    /// Runs work that writes. If the caller goes away, work that has begun goes on to its end.
    async fn write<T: Send + 'static>(&self, work: Work<T>) -> Result<T> {
        let (store, begin_by) = (self.clone(), begin_by());
        let done = tokio::spawn(async move {
            let by = begin_by.unwrap_or(Instant::now() + PATIENCE);
            let Ok(_place) = timeout_at(by, store.places.acquire()).await else {
                return Err(match timeout(ASKING, Box::pin(store.wait_of(None))).await {
                    Ok(Some(wait)) => Problem::Waits(wait.to_string()),
                    _ => no_connection(),
                });
            };
            let writer = store.writer()?;
            // Boxed, so that callers that wait for a permit use little memory.
            let result = Box::pin(store.until_known(Mode::Write, Some(&writer), &work, begin_by)).await;
            // A new writer adds a row, so it removes old ones, and no caller waits for that.
            if writer.number == 1 {
                let store = store.clone();
                tokio::spawn(async move {
                    let client = store.client(Instant::now() + PATIENCE).await?;
                    Ok::<_, Problem>(client.execute(REMOVE_OLD_NOTES, &[]).await?)
                });
            }
            // A failed transaction may stay open on the server for some seconds, and lock the
            // writer's row.
            if result.is_ok() {
                store.free_writers().push(writer);
            }
            result
        });
        done.await.unwrap_or_else(|_| Err(Problem::Other("the work was not done".to_owned())))
    }

    /// Runs work until its outcome is known. If the connection was lost during the commit, asks the
    /// server whether it was committed. Work that was not done is tried again, but not after
    /// `begin_by`.
    async fn until_known<T>(
        &self,
        mode: Mode,
        writer: Option<&Writer>,
        work: &Work<T>,
        begin_by: Option<Instant>,
    ) -> Result<T> {
        let give_up_at = begin_by.unwrap_or(Instant::now() + PATIENCE);
        let mut why = None;
        loop {
            let begun = Instant::now();
            match self.attempt(mode, writer, work, begin_by.unwrap_or(begun + PATIENCE)).await {
                Ok(value) => {
                    if writer.is_some() {
                        self.outage.ends(begun);
                    }
                    return Ok(value);
                }
                Err(Lost::Undone(error @ (Problem::Unreachable(_) | Problem::Standby(_)))) => {
                    self.outage.begins(begun, &error);
                    let why = why.get_or_insert_with(|| error.clone());
                    if error != no_connection() {
                        *why = error;
                    }
                    if Instant::now() + PAUSE >= give_up_at {
                        return Err(why.clone());
                    }
                }
                Err(Lost::Undone(error)) => return Err(error),
                Err(Lost::InDoubt(value)) => {
                    self.outage.begins(begun, &"has not said yet whether a commit holds, and is asked until it does");
                    if let Some(writer) = writer
                        && self.has_committed(writer).await
                    {
                        return Ok(value);
                    }
                }
            }
            sleep(PAUSE).await;
        }
    }

    /// Whether the writer's transaction was committed; if not, it never will be. This asks until
    /// the server answers.
    async fn has_committed(&self, writer: &Writer) -> bool {
        loop {
            let begun = Instant::now();
            match self.last_commit(writer).await {
                Ok(last) => return last == writer.number,
                Err(error) => self.outage.begins(begun, &error),
            }
            sleep(PAUSE).await;
        }
    }

    /// The number that a writer committed last.
    async fn last_commit(&self, writer: &Writer) -> Result<i64> {
        let mut client = self.client(Instant::now() + PATIENCE).await?;
        let (stamp, warned, mut wait) = (client.stamp, client.warned.clone(), None);
        warned.store(false, Ordering::SeqCst);
        let asking = async {
            let builder = client.build_transaction().isolation_level(IsolationLevel::ReadCommitted);
            let transaction = builder.start().await?;
            let row = transaction.query_one(LAST_COMMIT, &[&writer.id.as_slice()]).await?;
            transaction.commit().await?;
            Ok::<i64, Problem>(row.try_get(0)?)
        };
        let last = self.watched(stamp, &mut wait, asking).await.unwrap_or_else(|| Err(taken_over()));
        match last.map_err(|problem| self.judged(problem, stamp, wait)) {
            Ok(_) if warned.load(Ordering::SeqCst) => Err(Problem::Waits(Wait::Standby.to_string())),
            Ok(_) if !self.pool.manager().is_current(stamp) => Err(taken_over()),
            last => last,
        }
    }

    /// A free writer, for its next transaction.
    fn writer(&self) -> Result<Writer> {
        if let Some(Writer { id, number }) = self.free_writers().pop() {
            return Ok(Writer { id, number: number + 1 });
        }
        let mut id = [0; 16];
        let failed = |_| Problem::Other("the system's random source failed".to_owned());
        SysRng.try_fill_bytes(&mut id).map_err(failed)?;
        Ok(Writer { id, number: 1 })
    }

    fn free_writers(&self) -> MutexGuard<'_, Vec<Writer>> {
        self.writers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs work once.
    async fn attempt<T>(
        &self,
        mode: Mode,
        writer: Option<&Writer>,
        work: &Work<T>,
        begin_by: Instant,
    ) -> std::result::Result<T, Lost<T>> {
        let client = self.client(begin_by).await.map_err(Lost::Undone)?;
        let (stamp, warned, mut wait) = (client.stamp, client.warned.clone(), None);
        warned.store(false, Ordering::SeqCst);
        // A copy takes as long as it takes.
        let limit = if let Mode::Snapshot = mode { Duration::MAX } else { SILENCE };
        let beginning = timeout(limit, begin(&client, mode, writer, work));
        let Some(Ok(worked)) = self.watched(stamp, &mut wait, beginning).await else {
            drop(Client::take(client)); // an answer may still come on it
            let silent = || Problem::Unreachable(format!("no answer within {} s", SILENCE.as_secs()));
            return Err(Lost::Undone(if self.pool.manager().is_current(stamp) { silent() } else { taken_over() }));
        };
        let worked = worked.map_err(|problem| Lost::Undone(self.judged(problem, stamp, wait.take())))?;
        let (value, Session::Postgres(pipeline), wrote) = worked else { return Ok(worked.0) };
        let since = Instant::now();
        let committed = self.watched(stamp, &mut wait, pipeline.commit()).await;
        if wrote {
            self.commits.observe(since.elapsed().as_secs_f64());
        }
        match committed {
            None => Err(Lost::InDoubt(value)),
            // After a warning, the commit may be on no standby. On an old primary, it does not
            // count.
            Some(Ok(())) if wrote && (warned.load(Ordering::SeqCst) || !self.pool.manager().is_current(stamp)) => {
                Err(Lost::InDoubt(value))
            }
            Some(Ok(())) => Ok(value),
            // An ordinary error undoes the transaction. One that ends the session or the server
            // leaves the outcome open.
            Some(Err(error)) => {
                let undone = error.as_db_error().is_some_and(|error| error.parsed_severity() == Some(Severity::Error));
                Err(if undone || !wrote { Lost::Undone(error.into()) } else { Lost::InDoubt(value) })
            }
        }
    }

    /// Does something on a connection. If that takes long, finds out what it waits for. `None`: a
    /// standby has taken over meanwhile.
    async fn watched<T>(&self, stamp: Stamp, wait: &mut Option<Wait>, done: impl Future<Output = T>) -> Option<T> {
        let begun = Instant::now();
        let watching = async {
            while self.pool.manager().is_current(stamp) {
                sleep(SLOW).await;
                *wait = Box::pin(self.wait_of(Some(stamp))).await; // boxed: it is rare, and large
                if let Some(found @ Wait::Standby) = wait {
                    self.outage.begins(begun, &Problem::Waits(found.to_string()));
                }
                // A server that says who holds a lock does not stand still.
                if !matches!(wait, Some(Wait::Lock(_))) {
                    self.pool.manager().look_around().await;
                }
            }
        };
        tokio::select! {
            biased;
            done = done => Some(done),
            () = watching => None,
        }
    }

    /// The problem, with what the work waited for. If the server takes no writes, its connections
    /// are no longer used.
    fn judged(&self, problem: Problem, stamp: Stamp, wait: Option<Wait>) -> Problem {
        if let Problem::Standby(_) = problem {
            self.pool.manager().leave(stamp);
        }
        match (problem, wait) {
            (Problem::Locked, Some(Wait::Lock(holder))) => Problem::LockedBy(holder),
            (Problem::Locked, Some(wait @ Wait::Standby)) => Problem::Waits(wait.to_string()),
            (problem, _) => problem,
        }
    }

    /// What the server process of a connection waits for; `None`: any process of ours.
    async fn wait_of(&self, stamp: Option<Stamp>) -> Option<Wait> {
        let client = self.client(Instant::now() + SLOW).await.ok()?;
        let process = stamp.map_or(Value::Null, |stamp| i64::from(stamp.process).into());
        let mut session = Session::Postgres(Pipeline::new(&client, &client.statement_cache));
        timeout(PATIENCE, wait_of(&mut session, process)).await.ok()?.ok()?
    }

    /// A connection, if one is free before this instant.
    async fn client(&self, by: Instant) -> Result<Client> {
        let got = if Instant::now() < by { timeout_at(by, self.pool.get()).await.ok() } else { None };
        let got = got.ok_or_else(no_connection)?;
        got.map_err(|error| match error {
            PoolError::Backend(problem) => problem,
            error => Problem::Unreachable(error.to_string()),
        })
    }

    /// The lineage of the server on which the store was found last.
    pub fn lineage(&self) -> Option<Lineage> {
        self.pool.manager().lineage()
    }

    /// The hosts in the URL, each with a description of its server, or why that is not used.
    pub async fn servers(&self) -> Vec<(String, Result<String>)> {
        self.pool.manager().survey().await
    }

    /// Refuses a pooler that lets connections share sessions.
    async fn ensure_own_sessions(&self) -> Result<()> {
        let first = self.client(Instant::now() + PATIENCE).await?;
        // If no second connection is to be had, the first has its session for itself.
        match self.client(Instant::now() + SLOW).await {
            Ok(second) if second.stamp.process == first.stamp.process => {
                Err(pooled("two connections have the same session"))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a database in another encoding, which has no place for most names and notes.
    async fn ensure_utf8(&self, url: &PostgresUrl) -> Result<()> {
        let client = self.client(Instant::now() + PATIENCE).await?;
        let encoding = client.query_one("SHOW server_encoding", &[]).await?;
        match encoding.try_get(0)? {
            "UTF8" => Ok(()),
            encoding => {
                // The locale "C" goes with any encoding of the server.
                let owner = url.config.get_user().map(|user| format!("--owner={user} ")).unwrap_or_default();
                let database = url.config.get_dbname().or(url.config.get_user()).unwrap_or("easy_invite");
                Err(Problem::Unopenable(format!(
                    "its encoding is {encoding}, and not UTF8: make another database with createdb --encoding=UTF8 \
                     --locale=C --template=template0 {owner}{database}_utf8, and let store.url name it"
                )))
            }
        }
    }

    /// Brings the schema up to date, completely or not at all. Takes no lock if there is nothing to
    /// do.
    async fn migrate(&self, make: bool) -> Result<()> {
        let mut client = self.client(Instant::now() + PATIENCE).await?;
        match schema_of(&client).await? {
            found if found == MIGRATIONS.len() => return Ok(()),
            0 if !make => return Err(Problem::Missing),
            _ => (),
        }
        let transaction = client.transaction().await?;
        let lock = "SELECT pg_advisory_xact_lock(hashtextextended('schema of easy-invite', 0))";
        transaction.batch_execute(lock).await?;
        // Another daemon may have done it meanwhile.
        for migration in MIGRATIONS.iter().skip(schema_of(transaction.client()).await?) {
            transaction.batch_execute(migration).await?;
        }
        Ok(transaction.commit().await?)
    }
}

/// Runs work up to its commit. Returns its value, the session, and whether it wrote.
async fn begin<'c, T>(
    client: &'c Client,
    mode: Mode,
    writer: Option<&Writer>,
    work: &Work<T>,
) -> Result<(T, Session<'c>, bool)> {
    let (connection, prepared): (&tokio_postgres::Client, _) = (client, &client.statement_cache);
    let mut session = Session::Postgres(match mode {
        Mode::Read => Pipeline::new(connection, prepared),
        Mode::Snapshot => Pipeline::begin(connection, prepared, &BEGIN_SNAPSHOT),
        Mode::Write => Pipeline::begin(connection, prepared, &[BEGIN]),
        Mode::Aside => Pipeline::begin(connection, prepared, &BEGIN_ASIDE),
    });
    let value = work(&mut session).await?;
    let mut wrote = matches!(mode, Mode::Aside);
    if let Some(writer) = writer {
        let process = i64::from(client.stamp.process).into();
        let values = [Value::Bytes(writer.id.to_vec()), writer.number.into(), process];
        wrote = session.execute(NOTE_COMMIT, &values).await? > 0;
    }
    Ok((value, session, wrote))
}

/// The problem that no connection was free in time.
fn no_connection() -> Problem {
    Problem::Unreachable("no connection in time".to_owned())
}

/// The problem that a connection leads to an old primary.
fn taken_over() -> Problem {
    Problem::Unreachable("another server has taken over".to_owned())
}

/// How many migrations the database has seen; 0 if it has neither our tables nor others of their
/// names.
async fn schema_of(client: &tokio_postgres::Client) -> Result<usize> {
    // Not to_regclass(): it may answer from a cache that does not know what another daemon has just
    // made.
    let tables = "SELECT relname::text FROM pg_class \
         WHERE relname IN ('easy_invite_schema', 'invite') AND pg_table_is_visible(oid) ORDER BY relname";
    match client.query(tables, &[]).await?.first().map(|row| row.try_get(0)).transpose()? {
        None => return Ok(0),
        Some("easy_invite_schema") => (),
        Some(_) => return Err(Problem::Foreign),
    }
    let schema = client.query_one("SELECT version FROM easy_invite_schema", &[]).await?;
    known_schema(schema.try_get(0)?, MIGRATIONS.len(), || None)
}
