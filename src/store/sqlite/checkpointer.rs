//! A thread that copies committed pages from the write-ahead log into the file, beside the writer.
//!
//! By default, SQLite has the writer do this when the log is long, and the next commit waits
//! meanwhile. With many invites, that means hundreds of pages in as many places. Thanks to this
//! thread, the writer finds little left to copy. That little it must copy itself: the log starts
//! anew only when nothing is left, and during a commit something always is.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::joined::Joined;
use super::statement::query;
use crate::store::error::{Problem, Result};

/// How long to wait after a commit. So a page that changes again and again is copied once.
const PAUSE: Duration = Duration::from_millis(100);

/// The thread. Dropping this ends it and closes its connection.
pub struct Checkpointer {
    news: SyncSender<()>,
    // Dropped after `news`, because it is declared below: nobody can tell it anything any more.
    _thread: Joined,
}

impl Checkpointer {
    /// Starts the thread with a connection of its own to the file.
    pub fn start(connection: Connection) -> Result<Self> {
        let (sender, news) = sync_channel(1);
        let thread = Joined::spawn("store-checkpointer", move || checkpoint_until_closed(&connection, &news))?;
        Ok(Checkpointer { news: sender, _thread: thread })
    }

    /// Tells the thread that the log may have grown. Never waits.
    pub fn look(&self) {
        // If the channel is full, the thread will check anyway.
        let _ = self.news.try_send(());
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
