//! What is read and handed over at once: not again, if the connection is lost on the way.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use super::error::{Problem, Result};

/// Where a statement sends what it reads. It can be taken once: a statement may run again when a
/// connection is lost, and what it has sent may be printed already.
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
    /// The sender, for the statement that runs first.
    pub fn take(&self) -> Result<mpsc::Sender<T>> {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken.ok_or_else(|| Problem::Unreachable("the connection was lost while it was read".to_owned()))
    }
}
