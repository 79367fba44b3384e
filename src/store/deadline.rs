//! Until when a caller waits: for work to begin, and for its outcome.

use tokio::time::Instant;

tokio::task_local! {
    /// See [`begun_by`].
    static BEGIN_BY: Instant;
    /// See [`answered_by`].
    static ANSWER_BY: Instant;
}

/// Runs a future whose work in a store has to begin before an instant. Work that has not begun by
/// then is dropped. Work that has begun goes on to its end, and the caller hears the outcome,
/// however long that takes.
pub fn begun_by<T>(instant: Instant, something: impl Future<Output = T>) -> impl Future<Output = T> {
    BEGIN_BY.scope(instant, something)
}

/// When work that is asked for here has to begin at the latest; `None`: there is no limit.
pub fn begin_by() -> Option<Instant> {
    BEGIN_BY.try_with(|instant| *instant).ok()
}

/// Runs a future for a caller who is told to try again later if there is no outcome at an instant.
/// A link that is stored after that has to be withdrawn.
pub fn answered_by<T>(instant: Instant, something: impl Future<Output = T>) -> impl Future<Output = T> {
    ANSWER_BY.scope(instant, something)
}

/// Until when the caller waits for the outcome; `None`: there is no limit.
pub fn answer_by() -> Option<Instant> {
    ANSWER_BY.try_with(|instant| *instant).ok()
}

/// Runs a future in another task with the limit `by`, which [`begin_by`] had in this one.
pub async fn begun_as_here<T>(by: Option<Instant>, something: impl Future<Output = T>) -> T {
    match by {
        Some(by) => begun_by(by, something).await,
        None => something.await,
    }
}
