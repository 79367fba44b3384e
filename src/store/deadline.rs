//! Until when work has to begin, for a caller who does not wait longer.

use tokio::time::Instant;

tokio::task_local! {
    /// See [`begun_by`].
    static BEGIN_BY: Instant;
}

/// Runs something for a caller who waits until an instant. Work for a store that has not begun by
/// then is not done any more. Work that has begun ends, and its outcome is told, however long that
/// takes.
pub fn begun_by<T>(instant: Instant, something: impl Future<Output = T>) -> impl Future<Output = T> {
    BEGIN_BY.scope(instant, something)
}

/// Until when work asked for here has to begin; `None`: the caller has time.
pub fn begin_by() -> Option<Instant> {
    BEGIN_BY.try_with(|instant| *instant).ok()
}
