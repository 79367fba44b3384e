//! A thread that copies committed pages from the write-ahead log into the file, beside the writer.
//!
//! By default, SQLite has the writer do this when the log is long, and the next commit waits
//! meanwhile. With many invites, that means hundreds of pages in as many places. Thanks to this
//! thread, the writer finds little left to copy. That little it must copy itself: the log starts
//! anew only when nothing is left, and during a commit something always is.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::statement::query;
use crate::store::error::Problem;

/// How long to wait after a commit. A page that changes again and again is then copied once.
const PAUSE: Duration = Duration::from_millis(100);

/// The thread. Dropping this ends it and closes its connection.
pub struct Checkpointer {
    news: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// Starts the thread with a connection of its own to the file.
    ///
    /// # Errors
    /// If the system has no more threads.
    pub fn start(connection: Connection) -> std::io::Result<Self> {
        let (sender, news) = sync_channel(1);
        let thread = thread::Builder::new().name("store-checkpointer".to_owned());
        let thread = thread.spawn(move || checkpoint_until_closed(&connection, &news))?;
        Ok(Checkpointer { news: Some(sender), thread: Some(thread) })
    }

    /// Tells the thread that the log may have grown. Never waits.
    pub fn look(&self) {
        // A thread that was told already and has not started knows enough.
        self.news.as_ref().map(|news| news.try_send(()));
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        drop(self.news.take());
        drop(self.thread.take().map(JoinHandle::join));
    }
}

fn checkpoint_until_closed(connection: &Connection, news: &Receiver<()>) {
    let mut has_failed = false;
    while news.recv().is_ok() {
        let begin = Instant::now() + PAUSE;
        loop {
            match news.recv_timeout(begin.saturating_duration_since(Instant::now())) {
                Ok(()) => (),
                Err(RecvTimeoutError::Timeout) => break,
                // The last connection to close empties the log.
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
        // If another process checkpoints, or still reads old pages, the next round copies them.
        let copied = query(connection, "PRAGMA wal_checkpoint(PASSIVE)", &[]).map_err(Problem::from);
        if let Err(problem) = &copied
            && !has_failed
        {
            tracing::warn!("the store's log cannot be copied into its file, and grows: the store {problem}");
        }
        has_failed = copied.is_err();
    }
}
