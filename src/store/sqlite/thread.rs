//! A thread that owns an SQLite connection and runs the jobs that are sent to it.
//!
//! The writer commits in groups. All jobs that wait when it starts a transaction go into that
//! transaction, and each caller hears its result only after the commit. One sync of the disk serves
//! them all. If one job fails, which is rare, the transaction is rolled back, and each job runs
//! once more in a transaction of its own. Savepoints would avoid that, but would cost every job a
//! copy of each page that it changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use futures::executor::block_on;
use prometheus_client::metrics::histogram::Histogram;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep_until;

use super::checkpointer::Checkpointer;
use super::joined::Joined;
use super::statement::execute;
use crate::store::deadline::begin_by;
use crate::store::error::{Problem, Result};
use crate::store::session::{Session, Work};

/// How many jobs may wait before callers have to wait to add one.
const WAITING_JOBS: usize = 1024;

/// How many jobs share one commit at most. This bounds how long the first of them waits.
const GROUP: usize = 512;

/// Work for the connection, and a caller who waits for it.
trait Job: Send {
    /// Does the work, possibly for the second time. Returns whether it failed, so that its changes
    /// must not be kept.
    fn run(&mut self, connection: &mut Connection) -> bool;

    /// Tells the caller the result, once the transaction is committed (`Ok`) or lost (`Err`).
    fn report(self: Box<Self>, committed: Result<()>);
}

/// Jobs that share a transaction.
type Group = Vec<Box<dyn Job>>;

struct Task<T> {
    work: Work<T>,
    /// Set when the work begins, or when the caller gives up waiting for that. Whoever is first has
    /// it.
    taken: Arc<AtomicBool>,
    result: Option<Result<T>>,
    caller: oneshot::Sender<Result<T>>,
}

impl<T: Send> Job for Task<T> {
    fn run(&mut self, connection: &mut Connection) -> bool {
        if self.result.is_some() || !self.taken.swap(true, Ordering::Relaxed) {
            // Blocks the thread while the work waits: the thread has nothing else to do.
            self.result = Some(block_on((self.work)(&mut Session::Sqlite(connection))));
        }
        matches!(self.result, Some(Err(_)))
    }

    fn report(self: Box<Self>, committed: Result<()>) {
        if let Some(result) = committed.err().map(Err).or(self.result) {
            // The caller may be gone; the work is done all the same.
            drop(self.caller.send(result));
        }
    }
}

/// The way to a thread that owns a connection. Dropping the last of these waits until the thread
/// has run all jobs and closed the connection.
#[derive(Clone)]
pub struct SqliteThread {
    jobs: mpsc::Sender<Box<dyn Job>>,
    // Dropped after `jobs`, because it is declared below: nobody can send jobs any more.
    _thread: Arc<Joined>,
}

impl SqliteThread {
    /// Starts a thread that reads.
    pub fn reader(connection: Connection) -> Result<Self> {
        Self::start("store-reader", move |jobs| read_until_closed(connection, jobs))
    }

    /// Starts a thread that writes: its jobs share transactions. `beside` is another connection to
    /// the file.
    pub fn writer(connection: Connection, beside: Connection, commits: Histogram) -> Result<Self> {
        let checkpointer = Checkpointer::start(beside)?;
        Self::start("store-writer", move |jobs| write_until_closed(connection, &checkpointer, &commits, jobs))
    }

    fn start(name: &str, until_closed: impl FnOnce(mpsc::Receiver<Box<dyn Job>>) + Send + 'static) -> Result<Self> {
        let (jobs, receiver) = mpsc::channel(WAITING_JOBS);
        let thread = Joined::spawn(name, move || until_closed(receiver))?;
        Ok(SqliteThread { jobs, _thread: Arc::new(thread) })
    }

    /// Runs `work` on the thread, and returns its result once that is durable.
    pub async fn run<T: Send + 'static>(&self, work: Work<T>) -> Result<T> {
        let (caller, mut answer) = oneshot::channel();
        let taken = Arc::new(AtomicBool::new(false));
        let job = Task { work, taken: taken.clone(), result: None, caller };
        let stopped = || Problem::Other("its thread has stopped".to_owned());
        let done = async {
            self.jobs.send(Box::new(job)).await.map_err(|_| stopped())?;
            (&mut answer).await.map_err(|_| stopped())?
        };
        let Some(begin_by) = begin_by() else { return done.await };
        tokio::select! {
            biased;
            done = done => return done,
            () = sleep_until(begin_by) => (),
        }
        if taken.swap(true, Ordering::Relaxed) { answer.await.map_err(|_| stopped())? } else { Err(Problem::Late) }
    }
}

fn write_until_closed(
    mut connection: Connection,
    checkpointer: &Checkpointer,
    commits: &Histogram,
    mut jobs: mpsc::Receiver<Box<dyn Job>>,
) {
    while let Some(first) = jobs.blocking_recv() {
        let mut group = vec![first];
        let committed = commit(&mut connection, commits, &mut group, &mut |group| group.extend(jobs.try_recv()));
        if committed == Ok(Committed::Nothing) && group.len() > 1 {
            let mut rest = group.into_iter();
            while let Some(job) = rest.next() {
                let mut alone = vec![job];
                let committed = commit(&mut connection, commits, &mut alone, &mut |_| ());
                // The others could not be committed either, and would each wait for the lock.
                if committed.is_err() {
                    alone.extend(rest.by_ref());
                }
                report(alone, committed);
            }
        } else {
            report(group, committed);
        }
        checkpointer.look();
    }
}

/// Tells the callers of a group how it ended.
fn report(group: Group, committed: rusqlite::Result<Committed>) {
    let committed = committed.map(drop).map_err(Problem::from);
    if let Err(problem) = &committed {
        tracing::error!("nothing was stored: the store {problem}");
    }
    for job in group {
        job.report(committed.clone());
    }
}

/// How much of a group's work is kept.
#[derive(Debug, PartialEq)]
enum Committed {
    All,
    /// One of the jobs failed.
    Nothing,
}

/// Runs the jobs of `group` in one transaction, up to the first that fails. When all are done,
/// `more` may add some.
fn commit(
    connection: &mut Connection,
    commits: &Histogram,
    group: &mut Group,
    more: &mut dyn FnMut(&mut Group),
) -> rusqlite::Result<Committed> {
    execute(connection, "BEGIN IMMEDIATE", &[])?;
    let mut done = 0;
    while let Some(job) = group.get_mut(done) {
        if job.run(connection) {
            // Some errors, such as a full disk, end the transaction.
            if !connection.is_autocommit() {
                execute(connection, "ROLLBACK", &[])?;
            }
            return Ok(Committed::Nothing);
        }
        done += 1;
        if done == group.len() && done < GROUP {
            more(group);
        }
    }
    let since = Instant::now();
    let committed = execute(connection, "COMMIT", &[]);
    commits.observe(since.elapsed().as_secs_f64());
    if committed.is_err() && !connection.is_autocommit() {
        execute(connection, "ROLLBACK", &[])?;
    }
    committed.map(|_| Committed::All)
}

fn read_until_closed(mut connection: Connection, mut jobs: mpsc::Receiver<Box<dyn Job>>) {
    while let Some(mut job) = jobs.blocking_recv() {
        job.run(&mut connection);
        job.report(Ok(()));
    }
}
