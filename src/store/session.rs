//! What both engines do alike: a statement with its values goes in, rows come out. The statements themselves are the
//! same text for both (see `statements`).

use std::str::FromStr;

use deadpool_postgres::StatementCache;
use jiff::Timestamp;

use super::{Result, StoreError, postgres, sqlite};

/// A value in a statement or in a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
}

impl From<i64> for Value {
    fn from(integer: i64) -> Self {
        Value::Integer(integer)
    }
}

impl From<u32> for Value {
    fn from(integer: u32) -> Self {
        Value::Integer(integer.into())
    }
}

impl From<Timestamp> for Value {
    fn from(instant: Timestamp) -> Self {
        Value::Integer(instant.as_second())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

/// A row of a result.
#[derive(Clone, Debug)]
pub struct Row(pub Vec<Value>);

/// A row that holds what no version of this program has written: the database is input like any other.
#[derive(Debug)]
pub struct Malformed(String);

impl Row {
    fn get(&self, column: usize) -> &Value {
        self.0.get(column).unwrap_or(&Value::Null)
    }

    fn malformed(&self, column: usize) -> Malformed {
        Malformed(format!("column {column} of a row holds {:?}", self.get(column)))
    }

    /// What `parse` makes of a text; `None` for NULL.
    pub fn parsed<T>(
        &self,
        column: usize,
        parse: impl Fn(&str) -> Option<T>,
    ) -> std::result::Result<Option<T>, Malformed> {
        match self.get(column) {
            Value::Null => Ok(None),
            Value::Text(text) => parse(text).map(Some).ok_or_else(|| self.malformed(column)),
            _ => Err(self.malformed(column)),
        }
    }

    /// What `parse` makes of a text that has to be there.
    pub fn required<T>(&self, column: usize, parse: impl Fn(&str) -> Option<T>) -> std::result::Result<T, Malformed> {
        self.parsed(column, parse)?.ok_or_else(|| self.malformed(column))
    }

    /// A text.
    pub fn text(&self, column: usize) -> std::result::Result<String, Malformed> {
        self.required(column, |text| String::from_str(text).ok())
    }

    /// Bytes of this length.
    pub fn bytes<const N: usize>(&self, column: usize) -> std::result::Result<[u8; N], Malformed> {
        match self.get(column) {
            Value::Bytes(bytes) => bytes.as_slice().try_into().map_err(|_| self.malformed(column)),
            _ => Err(self.malformed(column)),
        }
    }

    /// A whole number, if it is there.
    pub fn number<T: TryFrom<i64>>(&self, column: usize) -> std::result::Result<Option<T>, Malformed> {
        match self.get(column) {
            Value::Null => Ok(None),
            Value::Integer(number) => T::try_from(*number).map(Some).map_err(|_| self.malformed(column)),
            _ => Err(self.malformed(column)),
        }
    }

    /// A whole number that has to be there.
    pub fn count<T: TryFrom<i64>>(&self, column: usize) -> std::result::Result<T, Malformed> {
        self.number(column)?.ok_or_else(|| self.malformed(column))
    }

    /// An instant, if it is there.
    pub fn instant(&self, column: usize) -> std::result::Result<Option<Timestamp>, Malformed> {
        let seconds: Option<i64> = self.number(column)?;
        let instant = |seconds| Timestamp::from_second(seconds).map_err(|_| self.malformed(column));
        seconds.map(instant).transpose()
    }

    /// An instant that has to be there.
    pub fn since(&self, column: usize) -> std::result::Result<Timestamp, Malformed> {
        self.instant(column)?.ok_or_else(|| self.malformed(column))
    }
}

/// A connection to one of the engines, in a transaction where something is written.
pub struct Session<'a> {
    /// The store, for people.
    pub name: &'a str,
    pub engine: Engine<'a>,
}

/// What carries a session.
pub enum Engine<'a> {
    Sqlite(&'a mut rusqlite::Connection),
    Postgres(&'a tokio_postgres::Client, &'a StatementCache),
}

impl Session<'_> {
    /// Runs a statement, in which `$1` stands for the first value, and returns its rows. SQLite takes the numbers in the
    /// order in which they first appear, so they have to ascend.
    pub async fn query(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>> {
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

    /// The only row of a result, if there is one.
    pub async fn query_one(&mut self, sql: &str, values: &[Value]) -> Result<Option<Row>> {
        Ok(self.query(sql, values).await?.pop())
    }

    /// Keeps others who lock the same name waiting until this transaction ends. SQLite has one writer at a time anyway.
    pub async fn lock(&mut self, name: &str) -> Result<()> {
        if !matches!(self.engine, Engine::Sqlite(_)) {
            self.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", &[name.into()]).await?;
        }
        Ok(())
    }

    /// The rows of a result, as `parse` reads them.
    pub fn read<T>(&self, rows: Vec<Row>, parse: impl Fn(&Row) -> std::result::Result<T, Malformed>) -> Result<Vec<T>> {
        let corrupt = |Malformed(text)| StoreError::Corrupt(self.name.to_owned(), text);
        rows.iter().map(parse).collect::<std::result::Result<_, _>>().map_err(corrupt)
    }
}
