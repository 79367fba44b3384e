//! When work has to begin at the latest, for a caller who does not wait longer.

use tokio::time::Instant;

tokio::task_local! {
    /// See [`begun_by`].
    static BEGIN_BY: Instant;
}

/// Runs something for a caller who waits until an instant. Work in a store that has not begun by
/// then is dropped. Work that has begun goes on to its end, and the caller hears the outcome,
/// however long that takes.
pub fn begun_by<T>(instant: Instant, something: impl Future<Output = T>) -> impl Future<Output = T> {
    BEGIN_BY.scope(instant, something)
}

/// When work that is asked for here has to begin at the latest; `None`: the caller has time.
pub fn begin_by() -> Option<Instant> {
    BEGIN_BY.try_with(|instant| *instant).ok()
}
