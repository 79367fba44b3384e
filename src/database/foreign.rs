//! A database of another program: it is read, and nothing in it or beside it changes, though the
//! other program may be at work.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use futures::StreamExt as _;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use rusqlite::{Connection, OpenFlags};
use tokio::runtime::Handle;
use tokio_postgres::Client;

use super::connect;
use super::url::{PostgresUrl, StoreUrl, with_cause};
use crate::files::in_words;

/// How long to wait for a server, and for the other program's lock on a file.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many rows of a file are read at a time. The other program waits as long as that takes, and
/// not until the last row is taken.
const ROWS_AT_A_TIME: usize = 500;

/// What a connection to PostgreSQL begins with.
const PREPARE_CONNECTION: &str = "SET default_transaction_read_only = on; SET datestyle = 'ISO'";

/// A database of another program. Its methods block.
pub struct Foreign {
    name: String,
    engine: Engine,
}

enum Engine {
    Sqlite(Connection),
    Postgres(Client, Handle),
}

impl Foreign {
    /// Opens the file, or connects to the server. To be called where blocking is allowed, in a
    /// runtime of tokio.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(url: &StoreUrl) -> anyhow::Result<Self> {
        let name = format!("the database {url}");
        let engine = match url {
            StoreUrl::Sqlite(path) => file(path).map(Engine::Sqlite),
            StoreUrl::Postgres(url) => {
                let runtime = Handle::current();
                runtime.block_on(server(url)).map(|client| Engine::Postgres(client, runtime))
            }
        };
        Ok(Foreign { engine: engine.with_context(|| name.clone())?, name })
    }

    /// What it is called, for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The columns of a table; none if there is no such table.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn columns(&self, table: &str) -> anyhow::Result<Vec<String>> {
        let columns = match &self.engine {
            Engine::Sqlite(connection) => (|| {
                let mut asked = connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
                let rows = asked.query_map([table], |row| row.get(0))?;
                Ok(rows.collect::<rusqlite::Result<_>>()?)
            })(),
            Engine::Postgres(client, runtime) => {
                let asked = "SELECT attname::text FROM pg_attribute \
                             WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped";
                let rows = runtime.block_on(client.query(asked, &[&table]));
                rows.map_err(of_server).map(|rows| rows.iter().map(|row| row.get(0)).collect())
            }
        };
        columns.with_context(|| self.name.clone())
    }

    /// Hands over the values in these columns of all rows of a table, as text.
    ///
    /// # Errors
    /// If it cannot be read, and what `each` returns.
    pub fn rows<const N: usize>(
        &self,
        table: &str,
        columns: [&str; N],
        mut each: impl FnMut([Option<String>; N]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let values = columns.map(|column| format!("CAST(\"{column}\" AS TEXT)")).join(", ");
        let read = match &self.engine {
            Engine::Sqlite(connection) => {
                let sql = format!(
                    "SELECT rowid, {values} FROM \"{table}\" WHERE rowid > ?1 ORDER BY rowid LIMIT {ROWS_AT_A_TIME}"
                );
                in_parts(connection, &sql, &mut each)
            }
            Engine::Postgres(client, runtime) => {
                runtime.block_on(in_one(client, &format!("SELECT {values} FROM \"{table}\""), &mut each))
            }
        };
        read.with_context(|| self.name.clone())
    }
}

fn in_parts<const N: usize>(
    connection: &Connection,
    sql: &str,
    each: &mut impl FnMut([Option<String>; N]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut statement = connection.prepare(sql)?;
    let mut last = i64::MIN;
    loop {
        let read = |row: &rusqlite::Row<'_>| {
            let mut values = [const { None }; N];
            for (place, value) in values.iter_mut().enumerate() {
                let bytes = row.get_ref(place + 1)?.as_bytes_or_null()?;
                *value = bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            }
            Ok((row.get(0)?, values))
        };
        let part = statement.query_map([last], read)?.collect::<rusqlite::Result<Vec<(i64, _)>>>()?;
        let Some((newest, _)) = part.last() else { return Ok(()) };
        last = *newest;
        part.into_iter().try_for_each(|(_, values)| each(values))?;
    }
}

async fn in_one<const N: usize>(
    client: &Client,
    sql: &str,
    each: &mut impl FnMut([Option<String>; N]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let none: [&str; 0] = [];
    let mut rows = std::pin::pin!(client.query_raw(sql, none).await.map_err(of_server)?);
    while let Some(row) = rows.next().await {
        let row = row.map_err(of_server)?;
        let mut values = [const { None }; N];
        for (place, value) in values.iter_mut().enumerate() {
            *value = row.try_get(place).map_err(of_server)?;
        }
        each(values)?;
    }
    Ok(())
}

/// Opens a file so that SQLite makes no other file beside it. In WAL mode, without a log, nobody is
/// at work there.
fn file(path: &Path) -> anyhow::Result<Connection> {
    let mut header = [0; 20];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut header));
    read.map_err(|error| anyhow!("{}", in_words(&error)))?;
    ensure!(header.starts_with(b"SQLite format 3\0"), "it is no database of SQLite");
    let beside = |ending: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        Path::new(&name).exists()
    };
    let in_wal_mode = header.last() == Some(&2);
    ensure!(
        !in_wal_mode || !beside("-wal") || beside("-shm"),
        "its program did not close it: start and stop that program once"
    );
    let alone = if in_wal_mode && !beside("-wal") { "?immutable=1" } else { "" };
    let encoded = percent_encode(path.as_os_str().as_encoded_bytes(), NON_ALPHANUMERIC);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(format!("file:{encoded}{alone}"), flags)?;
    connection.busy_timeout(PATIENCE)?;
    Ok(connection)
}

async fn server(url: &PostgresUrl) -> anyhow::Result<Client> {
    let tls = connect::tls(url).map_err(|problem| anyhow!(problem))?;
    let (client, connection) = connect::config(url, PATIENCE, PATIENCE).connect(tls).await.map_err(of_server)?;
    tokio::spawn(connection);
    client.batch_execute(PREPARE_CONNECTION).await.map_err(of_server)?;
    Ok(client)
}

fn of_server(error: tokio_postgres::Error) -> anyhow::Error {
    anyhow!("{}", with_cause(&error))
}
