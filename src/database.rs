//! SQL databases: which one, by its URL, and how a PostgreSQL server is reached. [`Foreign`]
//! reads one of another program.

pub mod connect;
mod foreign;
mod quiet;
mod url;

pub use foreign::Foreign;
pub use url::{BadStoreUrl, PostgresUrl, StoreUrl, with_cause};
