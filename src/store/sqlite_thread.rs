//! A thread that owns an SQLite connection and does what is sent to it.
//!
//! The writing one commits in groups: whatever waits when it starts a transaction goes into that transaction, and every
//! caller hears of its result after the commit, never before. One sync of the disk serves them all.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep_until;

use super::sqlite::explain;
use super::{StoreError, begin_by};
use crate::texts::printable;

/// How many jobs may wait before callers have to wait themselves.
const WAITING_JOBS: usize = 1024;

/// How many jobs share one commit at the most: bounds how long the first of them waits.
const GROUP: usize = 512;

/// Something to do with the connection, and somebody who waits for it.
trait Job: Send {
    /// Does it.
    fn run(&mut self, connection: &mut Connection);

    /// Tells whoever waits how it ended, once the transaction is committed (`Ok`) or lost (`Err`).
    fn report(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Task<T, W> {
    /// Whoever asks takes it back when it has not been begun in time.
    work: Arc<Mutex<Option<W>>>,
    result: Option<Result<T, StoreError>>,
    caller: oneshot::Sender<Result<T, StoreError>>,
    file: String,
}

impl<T: Send, W: FnOnce(&mut Connection) -> Result<T, StoreError> + Send> Job for Task<T, W> {
    fn run(&mut self, connection: &mut Connection) {
        self.result = take(&self.work).map(|work| in_savepoint(connection, &self.file, work));
    }

    fn report(self: Box<Self>, committed: Result<(), StoreError>) {
        let not_run = StoreError::Other(self.file, "the work was not done".to_owned());
        // Whoever asked may have gone; the work is done all the same.
        let result = self.result.unwrap_or(Err(not_run));
        drop(self.caller.send(committed.and(result)));
    }
}

/// The way to a thread that owns a connection. Dropping the last of these waits until the thread has done what was sent
/// to it and has closed the connection.
#[derive(Clone)]
pub struct SqliteThread {
    jobs: mpsc::Sender<Box<dyn Job>>,
    file: String,
    // Below `jobs`, and so dropped after it: when the last of these goes, nobody can send any more.
    _ended: Arc<Ended>,
}

/// A thread that is waited for.
struct Ended(Option<JoinHandle<()>>);

impl Drop for Ended {
    fn drop(&mut self) {
        drop(self.0.take().map(JoinHandle::join));
    }
}

impl SqliteThread {
    /// Starts the thread. With `commit`, jobs run in transactions that they share.
    pub fn start(connection: Connection, file: &Path, commit: bool) -> Result<Self, StoreError> {
        let (sender, receiver) = mpsc::channel(WAITING_JOBS);
        let file = printable(file.display());
        let name = if commit { "store-writer" } else { "store-reader" };
        let thread_file = file.clone();
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || match commit {
                true => write_until_closed(connection, receiver, &thread_file),
                false => read_until_closed(connection, receiver),
            })
            .map_err(|error| StoreError::Unopenable(file.clone(), error.to_string()))?;
        Ok(SqliteThread { jobs: sender, file, _ended: Arc::new(Ended(Some(thread))) })
    }

    /// Runs `work` on the thread and returns its result once that is durable.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (caller, mut answer) = oneshot::channel();
        let work = Arc::new(Mutex::new(Some(work)));
        let job = Box::new(Task { work: work.clone(), result: None, caller, file: self.file.clone() });
        let stopped = || StoreError::Other(self.file.clone(), "its thread has stopped".to_owned());
        let done = async {
            self.jobs.send(job).await.map_err(|_| stopped())?;
            (&mut answer).await.map_err(|_| stopped())?
        };
        let Some(begin_by) = begin_by() else { return done.await };
        tokio::select! {
            biased;
            done = done => return done,
            () = sleep_until(begin_by) => (),
        }
        match take(&work) {
            Some(_) => Err(StoreError::Late(self.file.clone())),
            None => answer.await.map_err(|_| stopped())?,
        }
    }
}

fn take<W>(work: &Mutex<Option<W>>) -> Option<W> {
    work.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Runs `work` so that an error in it undoes what it did and nothing of what others did in the same transaction.
fn in_savepoint<T>(
    connection: &mut Connection,
    file: &str,
    work: impl FnOnce(&mut Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    if connection.is_autocommit() {
        return work(connection); // a reader: nothing to undo
    }
    let run = |connection: &Connection, sql| connection.execute_batch(sql).map_err(|error| explain(file, &error));
    run(connection, "SAVEPOINT job")?;
    let result = work(connection);
    // Some errors (a full disk) end the whole transaction; then there is no savepoint to go back to.
    if !connection.is_autocommit() {
        run(connection, if result.is_ok() { "RELEASE job" } else { "ROLLBACK TO job; RELEASE job" })?;
    }
    result
}

fn write_until_closed(mut connection: Connection, mut jobs: mpsc::Receiver<Box<dyn Job>>, file: &str) {
    while let Some(first) = jobs.blocking_recv() {
        let mut group = vec![first];
        let committed = commit(&mut connection, &mut group, &mut jobs).map_err(|error| explain(file, &error));
        if let Err(error) = &committed {
            tracing::error!(%error, "nothing was stored");
        }
        for job in group {
            job.report(committed.clone());
        }
    }
}

/// Runs the jobs of `group`, and those that arrive meanwhile, in one transaction.
fn commit(
    connection: &mut Connection,
    group: &mut Vec<Box<dyn Job>>,
    jobs: &mut mpsc::Receiver<Box<dyn Job>>,
) -> rusqlite::Result<()> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let mut done = 0;
    while let Some(job) = group.get_mut(done) {
        job.run(connection);
        done += 1;
        // Some errors end the transaction; what arrives after them needs a new one.
        if done == group.len() && done < GROUP && !connection.is_autocommit() {
            group.extend(jobs.try_recv());
        }
    }
    let committed = connection.execute_batch("COMMIT");
    if committed.is_err() && !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK")?;
    }
    committed
}

fn read_until_closed(mut connection: Connection, mut jobs: mpsc::Receiver<Box<dyn Job>>) {
    while let Some(mut job) = jobs.blocking_recv() {
        job.run(&mut connection);
        job.report(Ok(()));
    }
}
