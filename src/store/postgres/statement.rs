//! Translates values, rows and errors from and to those of tokio-postgres.

use std::error::Error as _;
use std::io;

use bytes::BytesMut;
use tokio_postgres::error::{DbError, SqlState};
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use crate::database::connect::Unreached;
use crate::database::with_cause;
use crate::store::error::Problem;
use crate::store::row::{Row, Value};

/// Values as the library takes them.
pub fn parameters(values: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

impl ToSql for Value {
    fn to_sql(&self, of: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Value::Null => Ok(IsNull::Yes),
            Value::Integer(number) => number.to_sql(of, out),
            Value::Text(text) => text.to_sql(of, out),
            Value::Bytes(bytes) => bytes.to_sql(of, out),
        }
    }

    fn accepts(of: &Type) -> bool {
        matches!(*of, Type::INT8 | Type::TEXT | Type::BYTEA)
    }

    to_sql_checked!();
}

/// A row in the form that both engines share.
pub fn row(row: &tokio_postgres::Row) -> Result<Row, tokio_postgres::Error> {
    let values = row.columns().iter().enumerate().map(|(number, column)| {
        Ok(match *column.type_() {
            Type::INT8 => row.try_get::<_, Option<i64>>(number)?.into(),
            Type::INT4 => row.try_get::<_, Option<i32>>(number)?.map(i64::from).into(),
            Type::BYTEA => row.try_get::<_, Option<Vec<u8>>>(number)?.map_or(Value::Null, Value::Bytes),
            _ => row.try_get::<_, Option<&str>>(number)?.into(),
        })
    });
    values.collect::<Result<_, _>>().map(Row)
}

/// The error of TLS in an error of the library, if it is one.
fn of_tls(error: &tokio_postgres::Error) -> Option<&rustls::Error> {
    error.source()?.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref()
}

/// The problem that a pooler gives connections sessions that are not their own.
pub fn pooled(seen: &str) -> Problem {
    Problem::Unopenable(format!(
        "{seen}: a pooler (PgBouncer) in between has to pool sessions (pool_mode = session), not transactions or \
         statements. Or let store.url name the server itself"
    ))
}

impl From<Unreached> for Problem {
    fn from(unreached: Unreached) -> Self {
        match unreached {
            Unreached::Silent | Unreached::NoSession => Problem::Unreachable(unreached.to_string()),
            Unreached::Failed(error) => error.into(),
        }
    }
}

/// The text says what to do. After [`Problem::Unreachable`], the work can be tried again.
impl From<tokio_postgres::Error> for Problem {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(of_server) => explain(of_server),
            None => explain_own(&error),
        }
    }
}

/// An error that the library found itself.
fn explain_own(error: &tokio_postgres::Error) -> Problem {
    let text = with_cause(error);
    if !error.is_closed() && error.source().is_some_and(|cause| !cause.is::<io::Error>()) {
        return match text.contains("server does not support TLS") {
            true => Problem::Unopenable(format!("{text} (sslmode=prefer or disable does without)")),
            false => Problem::Other(text),
        };
    }
    match of_tls(error) {
        // Not the network: the server's certificate is refused.
        Some(rustls::Error::InvalidCertificate(_)) => Problem::Unopenable(text),
        _ => Problem::Unreachable(text),
    }
}

/// An error of the server.
fn explain(error: &DbError) -> Problem {
    // Without the details, which may quote a row.
    let text = error.message().to_owned();
    match error.code() {
        &SqlState::LOCK_NOT_AVAILABLE => Problem::Locked,
        &SqlState::READ_ONLY_SQL_TRANSACTION => Problem::Standby(text),
        &SqlState::INVALID_SQL_STATEMENT_NAME | &SqlState::DUPLICATE_PSTATEMENT => pooled(&text),
        // The statement that notes a commit fails in a session other than the connection's own.
        &SqlState::NOT_NULL_VIOLATION if error.table() == Some("last_commit") => {
            pooled("a transaction had the session of another connection")
        }
        &SqlState::DISK_FULL => Problem::Full,
        &SqlState::DATA_CORRUPTED | &SqlState::INDEX_CORRUPTED => Problem::Corrupt(text),
        &SqlState::T_R_SERIALIZATION_FAILURE
        | &SqlState::T_R_DEADLOCK_DETECTED
        | &SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => Problem::Unreachable(text),
        // Class 08: the connection. 57P: the server stops, starts or has crashed. 53: it is
        // overloaded.
        code if ["08", "57P", "53"].iter().any(|class| code.code().starts_with(class)) => Problem::Unreachable(text),
        // The text may be in the server's language, which keeps this word.
        &SqlState::INVALID_AUTHORIZATION_SPECIFICATION if text.to_lowercase().contains("peer") => {
            Problem::Unopenable(format!(
                "{text}: over this socket PostgreSQL lets in only the system's user of that name. Run it as that user, \
                 or let store.url name a host, and a role with a password"
            ))
        }
        code if ["28", "3D", "3F", "42501"].iter().any(|class| code.code().starts_with(class)) => {
            Problem::Unopenable(text)
        }
        _ => Problem::Other(text),
    }
}
