//! SQL databases: which one, by its URL, and how a PostgreSQL server is reached.

pub mod connect;
mod url;

pub use url::{BadStoreUrl, PostgresUrl, StoreUrl};

/// An error of PostgreSQL's library with its cause, which the library leaves out of the text.
pub fn with_cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
