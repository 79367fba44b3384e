//! A thread that owns an SQLite connection and runs the jobs that are sent to it.
//!
//! The writer commits in groups. All jobs that wait when it starts a transaction go into that
//! transaction, and every caller hears its result after the commit, never before. One sync of the
//! disk serves them all. If one job fails, which is rare, the transaction is undone, and each job
//! runs once more in its own. Savepoints would cost all others a copy of every page that they
//! change.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep_until;

use super::checkpointer::Checkpointer;
use super::statement::{execute, explain};
use crate::store::deadline::begin_by;
use crate::store::error::StoreError;

/// How many jobs may wait before callers have to wait to add one.
const WAITING_JOBS: usize = 1024;

/// How many jobs share one commit at most. This bounds how long the first of them waits.
const GROUP: usize = 512;

/// Work for the connection, and a caller who waits for it.
trait Job: Send {
    /// Does the work, possibly for the second time.
    fn run(&mut self, connection: &mut Connection);

    /// Whether the work failed, so that its changes must not be kept.
    fn has_failed(&self) -> bool;

    /// Tells the caller the result, once the transaction is committed (`Ok`) or lost (`Err`).
    fn report(self: Box<Self>, committed: Result<(), StoreError>);
}

/// Jobs that share a transaction.
type Group = Vec<Box<dyn Job>>;

struct Task<T, W> {
    /// Work that has not begun. The caller takes it back when that takes too long.
    offered: Arc<Mutex<Option<W>>>,
    begun: Option<W>,
    result: Option<Result<T, StoreError>>,
    caller: oneshot::Sender<Result<T, StoreError>>,
    file: String,
}

impl<T: Send, W: Fn(&mut Connection) -> Result<T, StoreError> + Send> Job for Task<T, W> {
    fn run(&mut self, connection: &mut Connection) {
        self.begun = self.begun.take().or_else(|| take(&self.offered));
        self.result = self.begun.as_ref().map(|work| work(connection));
    }

    fn has_failed(&self) -> bool {
        matches!(self.result, Some(Err(_)))
    }

    fn report(self: Box<Self>, committed: Result<(), StoreError>) {
        let not_run = StoreError::Other(self.file, "the work was not done".to_owned());
        // The caller may be gone; the work is done all the same.
        let result = self.result.unwrap_or(Err(not_run));
        drop(self.caller.send(committed.and(result)));
    }
}

/// The way to a thread that owns a connection. Dropping the last of these waits until the thread
/// has run all jobs and closed the connection.
#[derive(Clone)]
pub struct SqliteThread {
    jobs: mpsc::Sender<Box<dyn Job>>,
    file: String,
    // Dropped after `jobs`, because it is declared below: nobody can send jobs any more.
    _ended: Arc<Ended>,
}

/// A thread that is joined when this is dropped.
struct Ended(Option<JoinHandle<()>>);

impl Drop for Ended {
    fn drop(&mut self) {
        drop(self.0.take().map(JoinHandle::join));
    }
}

impl SqliteThread {
    /// Starts a thread that reads.
    pub fn reader(connection: Connection, file: &str) -> Result<Self, StoreError> {
        Self::start("store-reader", file, move |jobs, _| read_until_closed(connection, jobs))
    }

    /// Starts a thread that writes: its jobs share transactions. `beside` is another connection to
    /// the file.
    pub fn writer(connection: Connection, beside: Connection, file: &str) -> Result<Self, StoreError> {
        let checkpointer = Checkpointer::start(beside, file.to_owned());
        let checkpointer = checkpointer.map_err(|error| StoreError::Unopenable(file.to_owned(), error.to_string()))?;
        Self::start("store-writer", file, move |jobs, file| write_until_closed(connection, &checkpointer, jobs, file))
    }

    fn start(
        name: &str,
        file: &str,
        until_closed: impl FnOnce(mpsc::Receiver<Box<dyn Job>>, &str) + Send + 'static,
    ) -> Result<Self, StoreError> {
        let (sender, receiver) = mpsc::channel(WAITING_JOBS);
        let (file, thread_file) = (file.to_owned(), file.to_owned());
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || until_closed(receiver, &thread_file))
            .map_err(|error| StoreError::Unopenable(file.clone(), error.to_string()))?;
        Ok(SqliteThread { jobs: sender, file, _ended: Arc::new(Ended(Some(thread))) })
    }

    /// Runs `work` on the thread, and returns its result once that is durable.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl Fn(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (caller, mut answer) = oneshot::channel();
        let offered = Arc::new(Mutex::new(Some(work)));
        let job = Task { offered: offered.clone(), begun: None, result: None, caller, file: self.file.clone() };
        let stopped = || StoreError::Other(self.file.clone(), "its thread has stopped".to_owned());
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
        match take(&offered) {
            Some(_) => Err(StoreError::Late(self.file.clone())),
            None => answer.await.map_err(|_| stopped())?,
        }
    }
}

fn take<W>(offered: &Mutex<Option<W>>) -> Option<W> {
    offered.lock().unwrap_or_else(PoisonError::into_inner).take()
}

fn write_until_closed(
    mut connection: Connection,
    checkpointer: &Checkpointer,
    mut jobs: mpsc::Receiver<Box<dyn Job>>,
    file: &str,
) {
    while let Some(first) = jobs.blocking_recv() {
        let mut group = vec![first];
        let committed = commit(&mut connection, &mut group, &mut |group| group.extend(jobs.try_recv()));
        if committed == Ok(Committed::Nothing) && group.len() > 1 {
            let mut rest = group.into_iter();
            while let Some(job) = rest.next() {
                let mut alone = vec![job];
                let committed = commit(&mut connection, &mut alone, &mut |_| ());
                // What keeps this job from being committed keeps the others, too. They do not each
                // wait for a lock.
                if committed.is_err() {
                    alone.extend(rest.by_ref());
                }
                report(alone, committed, file);
            }
        } else {
            report(group, committed, file);
        }
        checkpointer.look();
    }
}

/// Tells the callers of a group how it ended.
fn report(group: Group, committed: rusqlite::Result<Committed>, file: &str) {
    let committed = committed.map(drop).map_err(|error| explain(file, &error));
    if let Err(error) = &committed {
        tracing::error!(%error, "nothing was stored");
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
    group: &mut Group,
    more: &mut dyn FnMut(&mut Group),
) -> rusqlite::Result<Committed> {
    execute(connection, "BEGIN IMMEDIATE", &[])?;
    let mut done = 0;
    while let Some(job) = group.get_mut(done) {
        job.run(connection);
        if job.has_failed() {
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
    let committed = execute(connection, "COMMIT", &[]);
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
