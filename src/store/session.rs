//! A connection to either engine, which runs statements with values and returns rows.

use std::iter::Sum;
use std::sync::Arc;

use futures::future::BoxFuture;

use super::error::Result;
use super::postgres::pipeline::Pipeline;
use super::postgres::statement as postgres;
use super::row::{Row, Value, tuples};
use super::sqlite::statement as sqlite;

/// Work to do in a session. It may run more than once, for example if a connection is lost.
pub type Work<T> = Arc<dyn for<'s, 'a> Fn(&'s mut Session<'a>) -> BoxFuture<'s, Result<T>> + Send + Sync>;

/// What work does in its session.
#[derive(Clone, Copy)]
pub enum Mode {
    /// It only reads.
    Read,
    /// It reads the store as it is at one moment, however long the work takes.
    Snapshot,
    /// It writes: all of it or nothing, durable when the caller hears of it.
    Write,
    /// It writes, but waits for no standby. With PostgreSQL, it runs even while all connections
    /// that may write are taken. A failover may lose it, and it may be done twice.
    Aside,
}

/// A connection to one of the engines, in a transaction unless the work only reads.
pub enum Session<'a> {
    Sqlite(&'a mut rusqlite::Connection),
    Postgres(Pipeline<'a>),
}

impl Session<'_> {
    /// Runs a statement and returns its rows. `$1` stands for the first value. SQLite takes the
    /// numbers in the order in which they first appear, so they have to ascend.
    pub async fn rows(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>> {
        match self {
            Session::Sqlite(connection) => Ok(sqlite::query(connection, sql, values)?),
            Session::Postgres(pipeline) => {
                Ok(pipeline.query(sql, values).await?.iter().map(postgres::row).collect::<Result<_, _>>()?)
            }
        }
    }

    /// Runs a statement that changes rows, and returns how many.
    pub async fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64> {
        match self {
            Session::Sqlite(connection) => Ok(sqlite::execute(connection, sql, values)?),
            Session::Postgres(pipeline) => Ok(pipeline.execute(sql, values).await?),
        }
    }

    /// Runs a statement whose result nobody needs. PostgreSQL gets it together with the next
    /// statement, and at the latest before the commit.
    pub fn later(&mut self, sql: String, values: Vec<Value>) -> Result<()> {
        match self {
            Session::Sqlite(connection) => drop(sqlite::execute(connection, &sql, &values)?),
            Session::Postgres(pipeline) => pipeline.later(sql, values),
        }
        Ok(())
    }

    /// Runs a statement and returns what `parse` makes of each row.
    pub async fn query<T>(&mut self, sql: &str, values: &[Value], parse: impl Fn(&Row) -> Result<T>) -> Result<Vec<T>> {
        self.rows(sql, values).await?.iter().map(parse).collect()
    }

    /// Runs a statement and returns whether it has a row.
    pub async fn exists(&mut self, sql: &str, values: &[Value]) -> Result<bool> {
        Ok(!self.rows(sql, values).await?.is_empty())
    }

    /// The number that a statement counts: the first column of its only row.
    pub async fn count<T: TryFrom<i64> + Sum>(&mut self, sql: &str, values: &[Value]) -> Result<T> {
        Ok(self.query(sql, values, |row| row.integer(0)).await?.into_iter().sum())
    }

    /// Has PostgreSQL use indexes until this transaction ends. To look up some hundred rows, its
    /// planner would rather read a whole table of a hundred thousand.
    pub fn prefer_indexes(&mut self) -> Result<()> {
        if !matches!(self, Session::Sqlite(_)) {
            self.later("SET LOCAL enable_seqscan = off".to_owned(), Vec::new())?;
        }
        Ok(())
    }

    /// Lets nobody else lock the same name until this transaction ends. SQLite has one writer at a
    /// time anyway.
    pub fn lock(&mut self, name: &str) -> Result<()> {
        self.lock_all(vec![name.into()])
    }

    /// Locks several names as [`lock`](Self::lock) does, one after the other.
    pub fn lock_all(&mut self, names: Vec<Value>) -> Result<()> {
        if !matches!(self, Session::Sqlite(_)) && !names.is_empty() {
            let names_in_order = format!("(VALUES {}) AS names (name)", tuples(1, names.len()));
            let sql = format!("SELECT pg_advisory_xact_lock(hashtextextended(name, 0)) FROM {names_in_order}");
            self.later(sql, names)?;
        }
        Ok(())
    }

    /// Locks a name in shared mode: others may do the same, but nobody may lock it alone.
    /// Afterwards, `keep_shared` has to be called.
    pub fn lock_shared(&mut self, name: &str) -> Result<()> {
        if !matches!(self, Session::Sqlite(_)) {
            self.later("SAVEPOINT shared".to_owned(), Vec::new())?;
            let sql = "SELECT pg_advisory_xact_lock_shared(hashtextextended($1, 0))";
            self.later(sql.to_owned(), vec![name.into()])?;
        }
        Ok(())
    }

    /// Keeps a shared lock until this transaction ends, or gives it up.
    pub fn keep_shared(&mut self, keep: bool) -> Result<()> {
        if !matches!(self, Session::Sqlite(_)) {
            if !keep {
                self.later("ROLLBACK TO SAVEPOINT shared".to_owned(), Vec::new())?;
            }
            self.later("RELEASE SAVEPOINT shared".to_owned(), Vec::new())?;
        }
        Ok(())
    }

    /// The SQL expression for how many writing transactions can be open at a time.
    pub fn open_at_once(&self) -> &'static str {
        match self {
            Session::Sqlite(_) => "1",
            Session::Postgres(_) => "current_setting('max_connections')::bigint",
        }
    }
}
