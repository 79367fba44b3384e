//! Until when work has to begin: for somebody who waits no longer.

use tokio::time::Instant;

tokio::task_local! {
    /// See [`begun_by`].
    static BEGIN_BY: Instant;
}

/// Runs something for a caller who waits until an instant. What it asks of a store is not done any more if it has not begun
/// by then. What has begun ends, and its outcome is told, however long that takes.
pub fn begun_by<T>(instant: Instant, something: impl Future<Output = T>) -> impl Future<Output = T> {
    BEGIN_BY.scope(instant, something)
}

/// Until when what is asked of a store here has to begin; `None`: the caller has time.
pub fn begin_by() -> Option<Instant> {
    BEGIN_BY.try_with(|instant| *instant).ok()
}
