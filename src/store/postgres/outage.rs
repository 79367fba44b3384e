//! One line in the log when the store went, and one when it is back.

use std::fmt::Display;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// Whether the store is away.
pub struct Outage {
    store: String,
    /// Since when it is away, and when this last changed. What began before that tells nothing new.
    state: Mutex<(Option<Instant>, Instant)>,
}

impl Outage {
    pub fn none(store: String) -> Self {
        Outage { store, state: Mutex::new((None, Instant::now())) }
    }

    /// Something that began at this instant has failed, or takes long.
    pub fn begins(&self, begun: Instant, problem: &dyn Display) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0.is_none() && begun >= state.1 {
            *state = (Some(begun), Instant::now());
            // Commands show what is logged under this target.
            tracing::warn!(target: "easy_invite", "the store {} {problem}", self.store);
        }
    }

    /// A write that began at this instant has succeeded.
    pub fn ends(&self, begun: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(since), changed) = *state
            && begun >= changed
        {
            *state = (None, Instant::now());
            let seconds = since.elapsed().as_secs_f64();
            tracing::info!(target: "easy_invite", "the store {} is back after {seconds:.1} s", self.store);
        }
    }
}
