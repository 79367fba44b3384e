//! The store in an SQLite file. One thread writes, one reads, and one copies the log into the file.

mod before_upgrade;
mod checkpointer;
mod joined;
mod network;
pub mod statement;
mod thread;

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use prometheus_client::metrics::histogram::Histogram;
use rusqlite::{Connection, OpenFlags};
use rustix::fs::{StatVfs, statvfs};

use before_upgrade::Copy;
use thread::SqliteThread;

use super::error::{Problem, Result, known_schema};
use super::row::Row;
use super::session::{Mode, Session, Work};
use crate::files::{FileError, Folder, with_ending};

/// Every schema change, in order; `user_version` counts those that a file has seen.
const MIGRATIONS: &[&str] = &[include_str!("../../migrations/sqlite/0001_invites.sql")];

/// Marks a file as a store of easy-invite ("einv"), so that another program's database is not
/// written to.
const APPLICATION_ID: i32 = 0x6569_6e76;

/// The files that SQLite keeps beside the store: the log, its index, and the journal of the change
/// to WAL mode.
const SIDE_FILES: [&str; 3] = ["-wal", "-shm", "-journal"];

/// How every connection is opened: one thread uses it, and no link is followed.
const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_NO_MUTEX.union(OpenFlags::SQLITE_OPEN_NOFOLLOW);

/// How many prepared statements a connection keeps: more than there are.
const STATEMENTS: usize = 64;

/// What every connection begins with. Anything less than `synchronous = FULL` may lose the last
/// commits in WAL mode when the power fails. `secure_delete` overwrites erased rows.
///
/// When the log has 4000 pages of 4 KiB, the writer itself copies the rest into the file, so that
/// the log starts anew. A log of this size is read within hundredths of a second after a crash. One
/// that grew during a long read becomes as small again.
const PREPARE_CONNECTION: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
     PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON; \
     PRAGMA wal_autocheckpoint = 4000; PRAGMA journal_size_limit = 16384000";

/// The page cache of the writer in KiB. With ten million invites, the inner pages of the index of
/// token hashes, which every insert walks through, take about as much.
const WRITER_CACHE: i64 = 8000;

/// How long to wait for another process, such as the command line, that holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The pause between two tries, where SQLite does not wait by itself.
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// A store in an SQLite file.
#[derive(Clone)]
pub struct Sqlite {
    writer: SqliteThread,
    reader: SqliteThread,
    /// The path of the file without symbolic links, and the identity of the file that was opened.
    path: PathBuf,
    file: Option<FileId>,
}

/// The device and the inode of a file.
type FileId = (u64, u64);

fn file_at(path: &Path) -> Option<FileId> {
    path.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

impl Sqlite {
    /// Opens the file. With `make`, makes it where there is none. With `alone`, no other process
    /// has it open meanwhile, and it may lie on a network file system. `commits` counts how long
    /// each commit takes.
    pub fn open(path: &Path, make: bool, alone: bool, commits: &Histogram) -> Result<Self> {
        Self::open_with(MIGRATIONS, path, make, alone, commits)
    }

    fn open_with(migrations: &[&str], path: &Path, make: bool, alone: bool, commits: &Histogram) -> Result<Self> {
        as_its_owner(path, make, alone, |path| {
            let connect = || connect(path, migrations.len());
            let writing = migrate(connect()?, path, migrations)?;
            let reading = connect()?;
            writing.pragma_update(None, "cache_size", -WRITER_CACHE)?;
            reading.pragma_update(None, "query_only", true)?;
            Ok(Sqlite {
                writer: SqliteThread::writer(writing, connect()?, commits.clone())?,
                reader: SqliteThread::reader(reading)?,
                path: path.to_owned(),
                file: file_at(path),
            })
        })
    }

    /// Opens a file that nobody has open, to read it.
    pub fn open_closed(path: &Path) -> Result<Self> {
        as_its_owner(path, false, true, |path| {
            for ending in SIDE_FILES {
                if Path::new(&with_ending(path.as_os_str(), ending)).symlink_metadata().is_ok() {
                    return Err(Problem::Unopenable(format!("its {ending} is left beside it")));
                }
            }
            let encoded = percent_encode(path.as_os_str().as_bytes(), NON_ALPHANUMERIC);
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | FLAGS;
            let connection = Connection::open_with_flags(format!("file:{encoded}?immutable=1"), flags)?;
            schema_of(&connection, MIGRATIONS.len())?;
            let reader = SqliteThread::reader(connection)?;
            Ok(Sqlite { writer: reader.clone(), reader, path: path.to_owned(), file: file_at(path) })
        })
    }

    /// Whether the file is where it was opened, and can grow. A small write needs neither: SQLite
    /// writes to an open file that has no name any more, and first uses the room that its log has.
    pub fn ensure_in_place(&self) -> Result<()> {
        if file_at(&self.path) != self.file {
            return Err(Problem::Moved);
        }
        let is_full = |disk: StatVfs| disk.f_blocks > 0 && disk.f_bavail == 0;
        if statvfs(&self.path).is_ok_and(is_full) { Err(Problem::Full) } else { Ok(()) }
    }

    pub async fn run<T: Send + 'static>(&self, mode: Mode, work: Work<T>) -> Result<T> {
        match mode {
            Mode::Read => self.reader.run(work).await,
            Mode::Write | Mode::Aside => self.writer.run(work).await,
            // Other reads of this process have to wait. Only the command line uses this mode.
            Mode::Snapshot => {
                self.reader.run(Arc::new(move |session| in_snapshot(session, work.clone()).boxed())).await
            }
        }
    }

    /// Empties the write-ahead log into the file, so that the log has no erased text any more.
    pub async fn empty_log(&self) -> Result<()> {
        // The reader is in no transaction.
        self.reader.run(Arc::new(|session| empty_log(session).boxed())).await
    }
}

async fn in_snapshot<T>(session: &mut Session<'_>, work: Work<T>) -> Result<T> {
    session.execute("BEGIN", &[]).await?;
    let result = work(session).await;
    session.execute("ROLLBACK", &[]).await?; // nothing was written
    result
}

async fn empty_log(session: &mut Session<'_>) -> Result<()> {
    let since = Instant::now();
    let is_busy = |row: &Row| Ok(row.integer::<u8>(0)? != 0);
    while session.query("PRAGMA wal_checkpoint(TRUNCATE)", &[], is_busy).await? != [false] {
        if since.elapsed() > BUSY_TIMEOUT {
            return Err(Problem::Locked);
        }
        // SQLite does not wait for another connection that checkpoints.
        std::thread::sleep(BUSY_PAUSE);
    }
    Ok(())
}

/// Opens the file at a path as the owner of its folder. `open` gets the path without links.
fn as_its_owner<T: Send>(
    path: &Path,
    make: bool,
    alone: bool,
    open: impl FnOnce(&Path) -> Result<T> + Send,
) -> Result<T> {
    let (folder, name) = Folder::of(path)?;
    if let Some(kind) = folder.file_system(name).filter(|kind| !alone && network::is_network(kind)) {
        return Err(Problem::Network(kind));
    }
    folder.as_owner(|folder| match prepare(folder, name, make)? {
        Some(path) => open(&path),
        None => Err(Problem::Missing),
    })?
}

/// Checks whether SQLite may open the file and those beside it, and creates the file if `make` says
/// so. (SQLite follows no link at the end of a path either. But as root, it gives the files that it
/// opens beside the store to the store's owner.) Returns the path without links; `None`: there is
/// no store.
fn prepare(folder: &Folder, name: &OsStr, make: bool) -> Result<Option<PathBuf>, FileError> {
    for ending in SIDE_FILES {
        folder.size_of(&with_ending(name, ending))?;
    }
    let mut size = folder.size_of(name)?;
    if size.is_none() && make {
        // Only its owner may read it, since it tells who invites whom. SQLite gives the files
        // beside it the same mode.
        match folder.create(name, 0o600) {
            Ok(_) | Err(FileError::Exists(_)) => size = folder.size_of(name)?,
            Err(error) => return Err(error),
        }
    }
    // A process that was killed while it made a store leaves an empty file.
    if size.is_none_or(|bytes| bytes == 0 && !make) {
        return Ok(None);
    }
    folder.ensure_writable(name)?;
    let without_links = folder.path().canonicalize();
    Ok(Some(without_links.map_err(|error| FileError::System(folder.path().to_owned(), error))?.join(name)))
}

impl From<FileError> for Problem {
    fn from(error: FileError) -> Self {
        match error {
            FileError::System(_, error) => match error.kind() {
                ErrorKind::PermissionDenied => Problem::Denied,
                ErrorKind::ReadOnlyFilesystem => Problem::ReadOnly,
                ErrorKind::StorageFull => Problem::Full,
                _ => Problem::Unopenable(error.to_string()),
            },
            error => Problem::Unopenable(error.to_string()),
        }
    }
}

fn connect(path: &Path, known: usize) -> Result<Connection> {
    // Without SQLITE_OPEN_URI: the name of a file may look like a URI.
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | FLAGS)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Before WAL mode is set, since that changes the file, which has to be ours.
    schema_of(&connection, known)?;
    connection.execute_batch(PREPARE_CONNECTION)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// How many migrations a file has seen: a store of one of the `known` schemas, or an empty file.
fn schema_of(connection: &Connection, known: usize) -> Result<usize> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let found = pragma("user_version")?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables > 0 && pragma("application_id")? != i64::from(APPLICATION_ID) {
        return Err(Problem::Foreign);
    }
    if (found, tables) == (0, 0) {
        return Ok(0);
    }
    known_schema(found, known, || before_upgrade::way_back(Path::new(connection.path()?), known))
}

/// Brings the schema up to date, completely or not at all, after a copy of an older store is made.
/// Takes no lock if there is nothing to do.
fn migrate(mut connection: Connection, path: &Path, migrations: &[&str]) -> Result<Connection> {
    let known = migrations.len();
    let copy = match schema_of(&connection, known)? {
        found if found == known => return Ok(connection),
        0 => None,
        found => Some(Copy::make(&connection, path, found)?),
    };
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    // Another process may have made the store meanwhile.
    for migration in migrations.iter().skip(schema_of(&transaction, known)?) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", known as i64)?;
    let Some(copy) = copy else { return transaction.commit().map(|()| connection).map_err(Problem::from) };
    copy.keep()?;
    transaction.commit().inspect_err(|_| copy.discard())?;
    tracing::warn!(
        "the store was of an older version, and is brought up to date. That version can go on with {copy}: remove it \
         when it is not needed any more"
    );
    drop(connection); // others may open the file again
    connect(path, known)
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use jid::{BareJid, DomainPart};
    use jiff::Timestamp;

    use super::super::statements::{self, Filter};
    use super::*;
    use crate::counters::durations;

    /// How many steps of SQLite's virtual machine a statement may take: a tenth of what a look at
    /// every invite takes.
    const STEPS: i32 = 20_000;

    #[tokio::test]
    async fn what_is_asked_while_others_wait_does_not_read_every_invite() {
        let folder = tempfile::tempdir().unwrap();
        let sqlite = Sqlite::open(&folder.path().join("easy-invite.db"), true, false, &durations()).unwrap();
        let fill = "WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 20000) \
             INSERT INTO invite (id, token_hash, type, host, inviter, issuer, roles, groups, max_uses, created_at) \
             SELECT printf('%012d', n), randomblob(32), 'account', 'example.org', \
                 iif(n = 1, 'bob@example.org', 'alice@example.org'), 'user', '[]', '[]', 1, n FROM number";
        let filled = sqlite.writer.run(Arc::new(move |session| session.execute(fill, &[]).boxed())).await;
        assert_eq!(filled, Ok(20_000));
        let limit = async || {
            let limited: Work<()> = Arc::new(|session| {
                let Session::Sqlite(connection) = session else { unreachable!() };
                let mut steps = 0;
                let too_many = move || {
                    steps += 1000;
                    steps > STEPS
                };
                connection.progress_handler(1000, Some(too_many)).unwrap();
                ready(Ok(())).boxed()
            });
            sqlite.reader.run(limited).await.unwrap();
        };
        let (host, bob) =
            (DomainPart::new("example.org").unwrap().into_owned(), BareJid::new("bob@example.org").unwrap());
        let now = Timestamp::UNIX_EPOCH;

        limit().await;
        let hooks = vec![(host.clone(), "a server".to_owned())];
        let open = sqlite.reader.run(Arc::new(move |session: &mut Session<'_>| {
            statements::reserved_until(session, now, now, hooks.clone(), 100).boxed()
        }));
        assert_eq!(open.await.map(|open| open.len()), Ok(0));

        limit().await;
        let filter = Filter { host: Some(host), inviter: Some(bob), state: None };
        let of_bob = sqlite
            .reader
            .run(Arc::new(move |session: &mut Session<'_>| statements::list(session, filter.clone(), 50, now).boxed()));
        assert_eq!(of_bob.await.map(|invites| invites.len()), Ok(1));

        // All were made at different times, and a part in the middle costs no more than the first.
        for (after, place) in [(None, 500), (Some((10_000, String::new())), 10_499)] {
            limit().await;
            let host = DomainPart::new("example.org").unwrap().into_owned();
            let part = sqlite.reader.run(Arc::new(move |session: &mut Session<'_>| {
                statements::pending_part(session, host.clone(), after.clone(), 500, now).boxed()
            }));
            let end = Some((place, format!("{place:012}")));
            assert_eq!(part.await, Ok((500, end)));
        }
    }
}
