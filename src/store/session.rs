//! A connection to either engine: a statement with its values goes in, rows come out.

use std::sync::Arc;

use deadpool_postgres::StatementCache;
use futures::future::BoxFuture;

use super::error::{Result, StoreError};
use super::postgres::statement as postgres;
use super::row::{Malformed, Row, Value};
use super::sqlite::statement as sqlite;

/// Work to do in a session. It may run more than once, where a connection is lost.
pub type Work<T> = Arc<dyn for<'s, 'a> Fn(&'s mut Session<'a>) -> BoxFuture<'s, Result<T>> + Send + Sync>;

/// Whether work reads or writes in its session.
#[derive(Clone, Copy)]
pub enum Mode {
    /// It only reads.
    Read,
    /// It reads the store as it is at one moment, however long the work takes.
    Snapshot,
    /// It writes: all of it or nothing, durable when the caller hears of it.
    Write,
}

/// A connection to one of the engines, in a transaction unless the work only reads.
pub struct Session<'a> {
    /// The store, for people.
    pub name: &'a str,
    pub engine: Engine<'a>,
}

/// The connection under a session.
pub enum Engine<'a> {
    Sqlite(&'a mut rusqlite::Connection),
    Postgres(&'a tokio_postgres::Client, &'a StatementCache),
}

impl Session<'_> {
    /// Runs a statement and returns its rows. `$1` stands for the first value. SQLite takes the
    /// numbers in the order in which they first appear, so they have to ascend.
    pub async fn rows(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>> {
        match &mut self.engine {
            Engine::Sqlite(connection) => {
                sqlite::query(connection, sql, values).map_err(|error| sqlite::explain(self.name, &error))
            }
            Engine::Postgres(client, statements) => {
                let rows = async {
                    let statement = statements.prepare(client, sql).await?;
                    client.query(&statement, &postgres::parameters(values)).await
                };
                let rows = rows.await.and_then(|rows| rows.iter().map(postgres::row).collect());
                rows.map_err(|error| postgres::explain(self.name, &error))
            }
        }
    }

    /// Runs a statement that changes rows, and returns how many.
    pub async fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64> {
        match &mut self.engine {
            Engine::Sqlite(connection) => {
                sqlite::execute(connection, sql, values).map_err(|error| sqlite::explain(self.name, &error))
            }
            Engine::Postgres(client, statements) => {
                let changed = async {
                    let statement = statements.prepare(client, sql).await?;
                    client.execute(&statement, &postgres::parameters(values)).await
                };
                changed.await.map_err(|error| postgres::explain(self.name, &error))
            }
        }
    }

    /// What `parse` makes of the rows of a statement.
    pub async fn query<T>(
        &mut self,
        sql: &str,
        values: &[Value],
        parse: impl Fn(&Row) -> Result<T, Malformed>,
    ) -> Result<Vec<T>> {
        let corrupt = |Malformed(text)| StoreError::Corrupt(self.name.to_owned(), text);
        self.rows(sql, values).await?.iter().map(parse).collect::<Result<_, _>>().map_err(corrupt)
    }

    /// Whether a statement has a row.
    pub async fn exists(&mut self, sql: &str, values: &[Value]) -> Result<bool> {
        Ok(!self.rows(sql, values).await?.is_empty())
    }

    /// Lets nobody else lock the same name until this transaction ends. SQLite has one writer at a
    /// time anyway.
    pub async fn lock(&mut self, name: &str) -> Result<()> {
        if !matches!(self.engine, Engine::Sqlite(_)) {
            self.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", &[name.into()]).await?;
        }
        Ok(())
    }
}
