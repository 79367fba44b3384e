//! A thread that copies what was committed from the write-ahead log into the file, beside the one that commits.
//!
//! SQLite lets the connection that commits do this once the log is long, and whoever wants the next commit waits meanwhile: with many
//! invites, for hundreds of pages in as many places. Here, that connection finds little left to copy then. It has to do that little
//! itself: the log begins anew only where nothing is left, and while it commits, something always is.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::statement::{explain, query};

/// How long to wait after a commit: pages that change again and again are written into the file once.
const PAUSE: Duration = Duration::from_millis(100);

/// The thread. When this is dropped, it ends, and closes its connection.
pub struct Checkpointer {
    news: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// Starts the thread with a connection of its own to the file.
    ///
    /// # Errors
    /// If the system has no more threads.
    pub fn start(connection: Connection, file: String) -> std::io::Result<Self> {
        let (sender, news) = sync_channel(1);
        let thread = thread::Builder::new().name("store-checkpointer".to_owned());
        let thread = thread.spawn(move || checkpoint_until_closed(&connection, &news, &file))?;
        Ok(Checkpointer { news: Some(sender), thread: Some(thread) })
    }

    /// Says that there may be something new in the log. Never waits.
    pub fn look(&self) {
        // Where the thread was told and has not begun, it knows enough.
        self.news.as_ref().map(|news| news.try_send(()));
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        drop(self.news.take());
        drop(self.thread.take().map(JoinHandle::join));
    }
}

fn checkpoint_until_closed(connection: &Connection, news: &Receiver<()>, file: &str) {
    let mut has_failed = false;
    while news.recv().is_ok() {
        let begin = Instant::now() + PAUSE;
        loop {
            match news.recv_timeout(begin.saturating_duration_since(Instant::now())) {
                Ok(()) => (),
                Err(RecvTimeoutError::Timeout) => break,
                // The last to close the file empties the log.
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
        // Where another process is at it, or reads what is still needed, the next time does.
        let copied = query(connection, "PRAGMA wal_checkpoint(PASSIVE)", &[]);
        if let Err(error) = &copied
            && !has_failed
        {
            tracing::warn!(error = %explain(file, error), "the log of the store cannot be copied into its file, and grows");
        }
        has_failed = copied.is_err();
    }
}
