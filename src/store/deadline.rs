//! Until when a caller waits: when work has to begin at the latest, and when its outcome is of use.

use tokio::time::Instant;

tokio::task_local! {
    /// See [`begun_by`].
    static BEGIN_BY: Instant;
    /// See [`answered_by`].
    static ANSWER_BY: Instant;
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

/// Runs something for a caller who is told "try again later" when there is no outcome at an
/// instant. Whoever makes a link then sees to it that nothing comes of it.
pub fn answered_by<T>(instant: Instant, something: impl Future<Output = T>) -> impl Future<Output = T> {
    ANSWER_BY.scope(instant, something)
}

/// Until when the caller waits for an outcome; `None`: as long as it takes.
pub fn answer_by() -> Option<Instant> {
    ANSWER_BY.try_with(|instant| *instant).ok()
}

/// The same work, to run in another task: it has to begin by when it would have had to here.
pub async fn begun_as_here<T>(by: Option<Instant>, something: impl Future<Output = T>) -> T {
    match by {
        Some(by) => begun_by(by, something).await,
        None => something.await,
    }
}
