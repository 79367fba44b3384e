//! An SQLite file of another program, which may be at work there. Reading it keeps nobody waiting
//! and leaves no file behind, even as root.

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail, ensure};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use rusqlite::config::DbConfig;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, params_from_iter};

use crate::files::in_words;

/// How long the other program may write without a pause.
const PATIENCE: Duration = Duration::from_secs(10);

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// How a rollback journal begins that is not over.
const HOT: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];

/// A row of texts, of any bytes; `None`: null.
pub type Row = Vec<Option<Vec<u8>>>;

/// A file of SQLite that is read without a lock, where it is not in WAL mode: a lock could keep the
/// other program waiting. Instead, what was read counts only if nothing was written meanwhile.
pub struct Quiet {
    path: PathBuf,
    connection: Connection,
    stamp: Stamp,
    /// The file again, for looks into it. Closing it ends the locks of the connection, as POSIX has
    /// it, so it stays open as long.
    file: File,
}

/// What changes whenever something is written.
#[derive(Clone, Copy, PartialEq)]
struct Stamp {
    file: Change,
    /// SQLite counts in the file how often it was changed.
    count: [u8; 4],
    /// The log of WAL mode, unless it is empty.
    log: Option<Change>,
}

/// A file's number and size, and when it was changed.
type Change = (u64, u64, (i64, i64), (i64, i64));

impl Quiet {
    /// Opens the file.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        ensure!(fs::metadata(path).map_err(of_system)?.is_file(), "it is no file");
        let file = File::open(path).map_err(of_system)?;
        let stamp = stamp(path, &file)?;
        Ok(Quiet { path: path.to_owned(), connection: connection(path, &stamp)?, stamp, file })
    }

    /// The rows that a query finds at one moment. Its values stand for `$1`, `$2` …
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn rows(&mut self, sql: &str, values: &[&str]) -> anyhow::Result<Vec<Row>> {
        let since = Instant::now();
        loop {
            if stamp(&self.path, &self.file)? != self.stamp {
                *self = Self::open(&self.path)?;
            }
            let rows = rows(&self.connection, sql, values);
            // In WAL mode, SQLite itself sees to it that a query sees one moment.
            if self.stamp.log.is_some() || stamp(&self.path, &self.file)? == self.stamp {
                return Ok(rows?);
            }
            ensure!(since.elapsed() < PATIENCE, "it is written to all the time: try again at a quieter time");
            sleep(PAUSE);
        }
    }
}

fn of_system(error: io::Error) -> anyhow::Error {
    anyhow!("{}", in_words(&error))
}

fn rows(connection: &Connection, sql: &str, values: &[&str]) -> rusqlite::Result<Vec<Row>> {
    let mut statement = connection.prepare_cached(sql)?;
    let columns = statement.column_count();
    let text = |row: &rusqlite::Row<'_>, index| {
        Ok(match row.get_ref(index)? {
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes.to_vec()),
            ValueRef::Integer(number) => Some(number.to_string().into_bytes()),
            ValueRef::Real(number) => Some(number.to_string().into_bytes()),
            ValueRef::Null => None,
        })
    };
    let row = |row: &rusqlite::Row<'_>| (0..columns).map(|index| text(row, index)).collect();
    statement.query_map(params_from_iter(values), row)?.collect()
}

/// A connection that writes nothing. Without a log, SQLite takes the file for one that nobody
/// changes, and then it neither locks it nor looks for others. With a log, it makes no index of the
/// log in a file (`-shm`), but uses that of the other program, or one in memory.
fn connection(path: &Path, stamp: &Stamp) -> rusqlite::Result<Connection> {
    let how = if stamp.log.is_some() { "readonly_shm=1" } else { "immutable=1" };
    let path = percent_encode(path.as_os_str().as_bytes(), NON_ALPHANUMERIC);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(format!("file:{path}?mode=ro&{how}"), flags)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    // What is sorted may be tokens, which belong into no file.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(connection)
}

/// How a file is between two changes.
fn stamp(path: &Path, file: &File) -> anyhow::Result<Stamp> {
    let beside = |ending: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    let journal = beside("-journal");
    let since = Instant::now();
    while File::open(&journal).and_then(|journal| bytes_at(&journal, 0)).is_ok_and(|first| first == HOT) {
        if since.elapsed() > PATIENCE {
            bail!(
                "it is half written, as the -journal beside it says: if its program runs, try again at a quieter time; \
                 otherwise start that, which mends it"
            );
        }
        sleep(PAUSE);
    }
    let log = change(&beside("-wal")).ok().filter(|(_, size, ..)| *size > 0);
    // An empty file is a database without tables.
    let count = bytes_at(file, 24).or_else(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => Ok([0; 4]),
        _ => Err(of_system(error)),
    })?;
    Ok(Stamp { file: change(path).map_err(of_system)?, count, log })
}

fn change(path: &Path) -> io::Result<Change> {
    let about = fs::metadata(path)?;
    let changed = (about.ctime(), about.ctime_nsec());
    Ok((about.ino(), about.len(), (about.mtime(), about.mtime_nsec()), changed))
}

fn bytes_at<const COUNT: usize>(file: &File, place: u64) -> io::Result<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    file.read_exact_at(&mut bytes, place)?;
    Ok(bytes)
}
