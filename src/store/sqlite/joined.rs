//! A thread that is joined when its owner is dropped.

use std::thread::{Builder, JoinHandle};

use crate::store::error::{Problem, Result};

/// A thread that is joined when this is dropped.
pub struct Joined(Option<JoinHandle<()>>);

impl Joined {
    pub fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<Self> {
        let thread = Builder::new().name(name.to_owned()).spawn(work);
        thread.map(|thread| Joined(Some(thread))).map_err(|error| Problem::Unopenable(error.to_string()))
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        drop(self.0.take().map(JoinHandle::join));
    }
}
