//! A database of another program: it is read, and nothing in it or beside it changes, though the
//! other program may be at work.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use futures::StreamExt as _;
use tokio::runtime::Handle;
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use super::connect;
use super::quiet::{Quiet, Row};
use super::url::{PostgresUrl, StoreUrl, with_cause};
use crate::files::{Folder, in_words};

/// How long to wait for a server.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many rows of a file are read at a time.
const ROWS_AT_A_TIME: usize = 500;

/// What a connection to PostgreSQL begins with. All that is read then is of one moment.
const PREPARE_CONNECTION: &str = "SET datestyle = 'ISO'; BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";

/// A database of another program. Its methods block.
pub struct Foreign {
    name: String,
    engine: Engine,
}

enum Engine {
    Sqlite(Quiet),
    Postgres(Client, Handle),
}

impl Foreign {
    /// Opens the file, or connects to the server, and does some work with it. To be called where
    /// blocking is allowed, in a runtime of tokio.
    ///
    /// Root does the work with a file as the owner of its folder: to root, SQLite would give what
    /// lies beside the file (`-wal`, `-shm`) to the file's owner.
    ///
    /// # Errors
    /// If it cannot be opened, and those of the work.
    pub fn with<T: Send>(
        url: &StoreUrl,
        work: impl FnOnce(&mut Self) -> anyhow::Result<T> + Send,
    ) -> anyhow::Result<T> {
        let StoreUrl::Sqlite(path) = url else { return work(&mut Self::open(url)?) };
        // SQLite looks for these beside the file itself, not beside a link to it.
        let path = path.canonicalize().map_err(|error| anyhow!("the database {url}: {}", in_words(&error)))?;
        let real = StoreUrl::Sqlite(path.clone());
        Folder::of(&path)?.0.as_owner(|_| work(&mut Self::open(&real)?))?
    }

    fn open(url: &StoreUrl) -> anyhow::Result<Self> {
        let name = format!("the database {url}");
        let engine = match url {
            StoreUrl::Sqlite(path) => Quiet::open(path).map(Engine::Sqlite),
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
    pub fn columns(&mut self, table: &str) -> anyhow::Result<Vec<String>> {
        let columns = match &mut self.engine {
            Engine::Sqlite(quiet) => {
                let rows = quiet.rows("SELECT name FROM pragma_table_info($1)", &[table]);
                let name = |row: Row| row.into_iter().flatten().map(|name| String::from_utf8_lossy(&name).into_owned());
                rows.map(|rows| rows.into_iter().flat_map(name).collect())
            }
            Engine::Postgres(client, runtime) => {
                let asked = "SELECT attname::text FROM pg_attribute \
                             WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped";
                let rows = runtime.block_on(client.query(asked, &[&table]));
                rows.map_err(of_server).map(|rows| rows.iter().map(|row| row.get(0)).collect())
            }
        };
        columns.with_context(|| self.name.clone())
    }

    /// The rows that a query finds, whose columns are texts. Its values stand for `$1`, `$2` …
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn found(&mut self, sql: &str, values: &[&str]) -> anyhow::Result<Vec<Row>> {
        let found = match &mut self.engine {
            Engine::Sqlite(quiet) => quiet.rows(sql, values),
            Engine::Postgres(client, runtime) => {
                let values: Vec<_> = values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
                let text = |row: &tokio_postgres::Row, place| Ok(row.try_get::<_, Option<&str>>(place)?.map(Vec::from));
                let row = |row: tokio_postgres::Row| (0..row.len()).map(|place| text(&row, place)).collect();
                let rows = runtime.block_on(client.query(sql, &values)).map_err(of_server);
                rows.and_then(|rows| rows.into_iter().map(row).collect::<Result<_, _>>().map_err(of_server))
            }
        };
        found.with_context(|| self.name.clone())
    }

    /// Hands over the values in these columns of all rows of a table, as text.
    ///
    /// # Errors
    /// If it cannot be read, and what `each` returns.
    pub fn rows<const N: usize>(
        &mut self,
        table: &str,
        columns: [&str; N],
        mut each: impl FnMut([Option<String>; N]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let values = columns.map(|column| format!("CAST(\"{column}\" AS TEXT)")).join(", ");
        let read = match &mut self.engine {
            Engine::Sqlite(quiet) => {
                let sql = format!(
                    "SELECT {values}, rowid FROM \"{table}\" WHERE rowid > CAST($1 AS INTEGER) ORDER BY rowid \
                     LIMIT {ROWS_AT_A_TIME}"
                );
                in_parts(quiet, &sql, &mut each)
            }
            Engine::Postgres(client, runtime) => {
                in_one(client, runtime, &format!("SELECT {values} FROM \"{table}\""), &mut each)
            }
        };
        read.with_context(|| self.name.clone())
    }
}

/// The rows of a table, so many at a time.
fn in_parts<const N: usize>(
    quiet: &mut Quiet,
    sql: &str,
    each: &mut impl FnMut([Option<String>; N]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let mut last = i64::MIN.to_string();
    loop {
        let mut part = quiet.rows(sql, &[&last])?;
        let Some(Some(newest)) = part.last_mut().and_then(|row| row.pop()) else { return Ok(()) };
        last = text(newest);
        for row in part {
            let mut values = [const { None }; N];
            values.iter_mut().zip(row).for_each(|(value, bytes)| *value = bytes.map(text));
            each(values)?;
        }
    }
}

fn in_one<const N: usize>(
    client: &Client,
    runtime: &Handle,
    sql: &str,
    each: &mut impl FnMut([Option<String>; N]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let none: [&str; 0] = [];
    let mut rows = std::pin::pin!(runtime.block_on(client.query_raw(sql, none)).map_err(of_server)?);
    while let Some(row) = runtime.block_on(rows.next()) {
        let row = row.map_err(of_server)?;
        let mut values = [const { None }; N];
        for (place, value) in values.iter_mut().enumerate() {
            *value = row.try_get(place).map_err(of_server)?;
        }
        each(values)?;
    }
    Ok(())
}

async fn server(url: &PostgresUrl) -> anyhow::Result<Client> {
    let tls = connect::tls(url).map_err(|problem| anyhow!(problem))?;
    let mut problems = Vec::new();
    for (name, config) in url.names().into_iter().zip(connect::each(url, PATIENCE, PATIENCE)) {
        match connect::reach(&config, &tls).await {
            Ok((client, connection)) => {
                tokio::spawn(connection);
                client.batch_execute(PREPARE_CONNECTION).await.map_err(of_server)?;
                return Ok(client);
            }
            Err(unreached) => problems.push((name, unreached)),
        }
    }
    match problems.as_slice() {
        [(_, problem)] => Err(anyhow!("{problem}")),
        _ => {
            let all: Vec<_> = problems.iter().map(|(host, problem)| format!("{host}: {problem}")).collect();
            Err(anyhow!("{}", all.join("; ")))
        }
    }
}

fn of_server(error: tokio_postgres::Error) -> anyhow::Error {
    anyhow!("{}", with_cause(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn of_several_hosts_each_says_why_it_was_not_reached() {
        let opened = |hosts: &str| {
            let url: StoreUrl = format!("postgres://prosody@{hosts}/prosody?sslmode=disable").parse().unwrap();
            tokio::task::block_in_place(|| Foreign::with(&url, |_| Ok(()))).map_err(|error| format!("{error:#}"))
        };
        let said = opened("127.0.0.1:1,127.0.0.1:2").unwrap_err();
        let each = said.split_once(": 127.0.0.1:1: ").and_then(|(_, said)| said.split_once("; 127.0.0.1:2: "));
        assert!(each.is_some_and(|(one, two)| one.contains("refused") && two.contains("refused")), "{said}");
        let said = opened("127.0.0.1:1").unwrap_err();
        assert!(said.contains("refused") && !said.contains(';'), "{said}");
    }
}
