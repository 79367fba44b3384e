//! Rows that are handed over while they are read, and only once: not again if the connection is
//! lost in between.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use super::error::{Problem, Result};

/// Where work sends what it reads. The sender can be taken once. If a connection is lost, work
/// would run again, but what it has sent may be printed already.
pub struct Once<T>(Arc<Mutex<Option<mpsc::Sender<T>>>>);

impl<T> Clone for Once<T> {
    fn clone(&self) -> Self {
        Once(Arc::clone(&self.0))
    }
}

impl<T> From<mpsc::Sender<T>> for Once<T> {
    fn from(sender: mpsc::Sender<T>) -> Self {
        Once(Arc::new(Mutex::new(Some(sender))))
    }
}

impl<T> Once<T> {
    /// The sender, for the first run.
    ///
    /// # Errors
    /// [`Problem::Unreachable`] if the work runs again.
    pub fn take(&self) -> Result<mpsc::Sender<T>> {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken.ok_or_else(|| Problem::Unreachable("the connection was lost while it was read".to_owned()))
    }
}
