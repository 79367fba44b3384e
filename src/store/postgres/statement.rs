//! Values and rows in the form of PostgreSQL's library, and its errors in words.

use std::error::Error as _;
use std::io;

use bytes::BytesMut;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use crate::store::error::{StoreError, with_cause};
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

/// PostgreSQL's error in words that say what to do. `Unreachable`: the work can be tried again.
pub fn explain(name: &str, error: &tokio_postgres::Error) -> StoreError {
    let name = name.to_owned();
    let Some(of_server) = error.as_db_error() else {
        let connection = error.is_closed() || error.source().is_none_or(|cause| cause.is::<std::io::Error>());
        let text = with_cause(error);
        return match connection {
            // Not the network: the server's certificate is refused.
            true if matches!(of_tls(error), Some(rustls::Error::InvalidCertificate(_))) => {
                StoreError::Unopenable(name, text)
            }
            true => StoreError::Unreachable(name, text),
            false if text.contains("server does not support TLS") => {
                StoreError::Unopenable(name, format!("{text} (sslmode=prefer or disable does without)"))
            }
            false => StoreError::Other(name, text),
        };
    };
    // Without the details, which may quote a row.
    let text = of_server.message().to_owned();
    let code = of_server.code();
    match code {
        &SqlState::LOCK_NOT_AVAILABLE => StoreError::Locked(name),
        &SqlState::READ_ONLY_SQL_TRANSACTION => {
            StoreError::Unopenable(name, format!("{text}: is this a standby? Let store.url name the primary"))
        }
        &SqlState::DISK_FULL => StoreError::Full(name),
        &SqlState::DATA_CORRUPTED | &SqlState::INDEX_CORRUPTED => StoreError::Corrupt(name, text),
        &SqlState::T_R_SERIALIZATION_FAILURE | &SqlState::T_R_DEADLOCK_DETECTED => StoreError::Unreachable(name, text),
        // Class 08: the connection. 57P: the server stops, starts or has crashed. 53: it is
        // overloaded.
        code if ["08", "57P", "53"].iter().any(|class| code.code().starts_with(class)) => {
            StoreError::Unreachable(name, text)
        }
        &SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => StoreError::Unreachable(name, text),
        code if ["28", "3D", "3F", "42501"].iter().any(|class| code.code().starts_with(class)) => {
            StoreError::Unopenable(name, text)
        }
        _ => StoreError::Other(name, text),
    }
}
