//! Why the store could not do what it was asked.

use crate::files::AS_WHOM;

/// Why the store could not do what it was asked. No change that ended in such an error was kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store {store} {problem}")]
pub struct StoreError {
    /// The store's URL, for messages.
    pub store: String,
    /// What is wrong with it, or with what it was asked.
    pub problem: Problem,
}

/// What is wrong with a store: what follows "the store NAME" in a sentence that says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Another program holds the lock for longer than the store waits.
    #[error("is locked by another program")]
    Locked,
    /// Another program holds the lock, and the database server says which.
    #[error("is locked by {0}")]
    LockedBy(String),
    /// All connections that may write are taken by work that waits for this.
    #[error("is blocked: {0}")]
    Waits(String),
    /// The database server is read-only. Another one may take writes by now.
    #[error("takes no writes: {0}: is this a standby? Let store.url name the primary")]
    Standby(String),
    /// The work did not begin in the time that the caller had.
    #[error("did not begin in time: it is locked by another program, or its disk does not respond")]
    Late,
    /// The file cannot be written.
    #[error("is on a read-only file system: mount it for writing")]
    ReadOnly,
    /// The user of this process may not write the file or its folder.
    #[error("may not be changed by this user: {AS_WHOM}, who has to own its file and folder")]
    Denied,
    /// The disk is full.
    #[error("cannot grow: no space is left on the disk")]
    Full,
    /// The file is on a network file system, of this type.
    #[error(
        "is on a network file system ({0}), where SQLite may damage it: let store.url name a file on a local disk, \
         such as sqlite:/var/lib/easy-invite/easy-invite.db, or PostgreSQL; `easy-invite migrate-store` moves what is \
         there"
    )]
    Network(String),
    /// Another file, or none, is where this one was opened.
    #[error("was moved or removed, and what is written to it may be lost: put it back and restart the daemon")]
    Moved,
    /// There is no store, and the caller did not want to make one.
    #[error("does not exist yet: `easy-invite run` makes it; is store.url right?")]
    Missing,
    /// The file or database belongs to another program.
    #[error("is another program's database: set store.url to another file")]
    Foreign,
    /// The file is damaged or something else, or a row makes no sense.
    #[error("is damaged or is no store of easy-invite ({0}): restore it from a backup")]
    Corrupt(String),
    /// This version does not know the store's schema; the text says why.
    #[error("has schema {0}, {1}")]
    Schema(i64, String),
    /// The store has the schema of an older version and was not changed; the text says why.
    #[error("has schema {0} of an older version, and was not changed: {1}")]
    Outdated(usize, String),
    /// It cannot be opened.
    #[error("cannot be opened: {0}")]
    Unopenable(String),
    /// The database server does not answer, or the connection was lost before anything was decided.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// Anything else.
    #[error("failed: {0}")]
    Other(String),
}

/// The result of work in the store.
pub type Result<T, E = Problem> = std::result::Result<T, E>;

/// Checks that this version knows a schema, and returns its number. The known ones are 1 to
/// `known`. `way_back` returns the command that brings back the store as it was before a newer
/// version changed its schema, if there is one.
///
/// # Errors
/// [`Problem::Schema`] if this version does not know it.
pub fn known_schema(schema: i64, known: usize, way_back: impl FnOnce() -> Option<String>) -> Result<usize> {
    let problem = match usize::try_from(schema) {
        Ok(schema @ 1..) if schema <= known => return Ok(schema),
        Ok(1..) => {
            let way_back = way_back().map_or_else(
                || "fill an empty store from a backup from before the upgrade: easy-invite restore FILE".to_owned(),
                |command| format!("go back to how it was before the upgrade: {command}"),
            );
            format!("this version knows up to {known}: use a newer easy-invite, or {way_back}")
        }
        _ => "which no release of easy-invite has made: let store.url name another one".to_owned(),
    };
    Err(Problem::Schema(schema, problem))
}
