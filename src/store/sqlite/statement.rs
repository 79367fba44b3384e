//! One statement on a connection to SQLite, and its errors in words.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, ToSql, params_from_iter};

use crate::store::error::Problem;
use crate::store::row::{Row, Value};
use crate::texts::printable;

pub fn query(connection: &Connection, sql: &str, values: &[Value]) -> rusqlite::Result<Vec<Row>> {
    let mut statement = connection.prepare_cached(sql)?;
    let columns = statement.column_count();
    let rows = statement.query_map(params_from_iter(values), |row| {
        (0..columns).map(|column| row.get(column).map(value_of)).collect::<rusqlite::Result<_>>().map(Row)
    })?;
    rows.collect()
}

pub fn execute(connection: &Connection, sql: &str, values: &[Value]) -> rusqlite::Result<u64> {
    connection.prepare_cached(sql)?.execute(params_from_iter(values)).map(|rows| rows as u64)
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Integer(number) => ValueRef::Integer(*number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn value_of(value: rusqlite::types::Value) -> Value {
    match value {
        rusqlite::types::Value::Null => Value::Null,
        rusqlite::types::Value::Integer(number) => Value::Integer(number),
        rusqlite::types::Value::Text(text) => Value::Text(text),
        rusqlite::types::Value::Blob(bytes) => Value::Bytes(bytes),
        // No column of ours has such values. The reader will find that it is no integer.
        rusqlite::types::Value::Real(number) => Value::Text(number.to_string()),
    }
}

/// The text says what to do.
impl From<rusqlite::Error> for Problem {
    fn from(error: rusqlite::Error) -> Self {
        let text = printable(&error); // it may repeat the path
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Problem::Locked,
            Some(ErrorCode::ReadOnly) => Problem::ReadOnly,
            Some(ErrorCode::PermissionDenied) => Problem::Denied,
            Some(ErrorCode::DiskFull) => Problem::Full,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Problem::Corrupt(text),
            Some(ErrorCode::CannotOpen) => Problem::Unopenable(text),
            // Linux makes a damaged file system read-only while programs use it.
            Some(ErrorCode::SystemIoFailure) => {
                Problem::Other(format!("{text}: is the disk damaged, or read-only by now? See dmesg"))
            }
            _ => Problem::Other(text),
        }
    }
}
