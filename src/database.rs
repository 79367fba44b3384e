//! SQL databases: which one, by its URL, and how a PostgreSQL server is reached.

pub mod connect;
mod url;

pub use url::{BadStoreUrl, PostgresUrl, StoreUrl, with_cause};
