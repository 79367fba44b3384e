//! Why the store could not do what it was asked.

/// Why the store could not do what it was asked. Nothing that ended in one of these errors was
/// acknowledged or kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another program holds the lock for longer than the store waits.
    #[error("the store {0} is locked by another program")]
    Locked(String),
    /// The work did not begin while the caller waited.
    #[error("the store {0} did not begin in time: it is locked by another program, or its disk does not answer")]
    Late(String),
    /// The file cannot be written.
    #[error("the store {0} is read-only: make the file and its folder writable for this user")]
    ReadOnly(String),
    /// The disk is full.
    #[error("no space is left on the disk of the store {0}")]
    Full(String),
    /// There is no store, and the caller wanted none made.
    #[error("there is no store at {0} yet: `easy-invite run` makes it; is store.url right?")]
    Missing(String),
    /// The file or database belongs to another program.
    #[error("the store {0} is another program's database: set store.url to another file")]
    Foreign(String),
    /// The file is damaged or something else, or a row makes no sense.
    #[error("the store {0} is damaged or is no store of easy-invite ({1}): restore it from a backup")]
    Corrupt(String, String),
    /// This version does not know its schema; the text says why.
    #[error("the store {0} has schema {1}, {2}")]
    Schema(String, i64, String),
    /// It cannot be opened.
    #[error("the store {0} cannot be opened: {1}")]
    Unopenable(String, String),
    /// The database server does not answer, or the connection was lost before anything was decided.
    #[error("the store {0} cannot be reached: {1}")]
    Unreachable(String, String),
    /// Anything else.
    #[error("the store {0} failed: {1}")]
    Other(String, String),
}

/// What the store was asked for, or why it could not be done.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// An error of PostgreSQL's library with its cause, which the library leaves out of the text.
pub fn with_cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// A schema that this version knows: they are counted from 1 to `known`.
pub fn known_schema(store: &str, schema: i64, known: usize) -> Result<usize> {
    let problem = match usize::try_from(schema) {
        Ok(schema @ 1..) if schema <= known => return Ok(schema),
        Ok(1..) => format!("this version knows up to {known}: use a newer easy-invite"),
        _ => "which no release of easy-invite has made: let store.url name another one".to_owned(),
    };
    Err(StoreError::Schema(store.to_owned(), schema, problem))
}
