//! Logs one line when the store is lost, and one when it is back.

use std::fmt::Display;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// Whether the store can be reached.
pub struct Outage {
    store: String,
    /// Since when it is lost (`None`: it is not), and when this changed last. The outcome of an
    /// attempt that began before that is no news.
    state: Mutex<(Option<Instant>, Instant)>,
}

impl Outage {
    pub fn none(store: String) -> Self {
        Outage { store, state: Mutex::new((None, Instant::now())) }
    }

    /// Notes that an attempt that began at this instant has failed, or takes long.
    pub fn begins(&self, begun: Instant, problem: &dyn Display) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0.is_none() && begun >= state.1 {
            *state = (Some(begun), Instant::now());
            // Commands show what is logged under this target.
            tracing::warn!(target: "easy_invite", "the store {} {problem}", self.store);
        }
    }

    /// Notes that a write that began at this instant has succeeded.
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
