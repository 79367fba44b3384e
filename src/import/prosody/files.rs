//! Prosody's data folder: a folder for each host, in it a file for each store of the host, and a
//! folder for each store of its users. Names are percent-encoded. Files are only opened to be read.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{anyhow, bail};
use percent_encoding::percent_decode;
use rustix::fs::{Mode, OFlags};
use rustix::process::geteuid;

use super::{Host, INVITES, Job, Place, TRACKED, TRACKING};
use crate::import::Kind;
use crate::import::lua_data::{BadData, Entries, Value};
use crate::jids;
use crate::texts::printable;

/// How the names of data files end. A file that Prosody is just writing ends with `.dat~`.
const SUFFIX: &[u8] = b".dat";

/// How many bytes of a file are read at once.
const BUFFER: usize = 1 << 16;

/// Reads the data of all hosts in a folder.
pub fn read(data: &Path, job: &Job) -> anyhow::Result<()> {
    let mut unread = Vec::new();
    let mut is_data = false;
    for (name, folder) in listed(data).map_err(|error| anyhow!(problem(data, &error)))? {
        let host = std::str::from_utf8(&name).ok().and_then(|name| jids::domain(name).ok());
        if let Some(name) = host.filter(|_| folder.is_dir()) {
            let problems = unread.len();
            let mut host = Host::new(job, name);
            is_data |= read_host(&folder, &mut host, &mut unread)?;
            if !host.is_wanted() {
                unread.truncate(problems);
            }
        }
    }
    match unread.as_slice() {
        [] if is_data => Ok(()),
        [] => bail!(
            "{} is no data folder of Prosody: expected a folder for each host, such as example%2eorg, with files \
             in it. Where Prosody keeps its data in SQL: --sql URL",
            printable(data.display())
        ),
        [only] => bail!("{only}. All other files were read"),
        [first, others @ ..] => bail!("{first}. So it is with {} more files. All others were read", others.len()),
    }
}

/// Reads the data of a host, and adds to `unread` why files cannot be read. Returns whether there
/// is any data of Prosody in the folder.
fn read_host(folder: &Path, host: &mut Host<'_>, unread: &mut Vec<String>) -> anyhow::Result<bool> {
    let problems = unread.len();
    for (user, file) in users(&folder.join(INVITES), unread) {
        let Some(inviter) = host.account(&user) else { continue };
        each(&file, unread, |token, end, place| match &inviter {
            Ok(inviter) => host.half(inviter, &token, &end, place),
            Err(reason) => host.skip(Kind::Invite, None, *reason, &place),
        })?;
    }
    let of_host = unread.len();
    each(&folder.join(INVITES).with_extension("dat"), unread, |token, value, place| {
        host.invite(&token, &value, &place)
    })?;
    // Without the host's part, it is not known which invites register as well.
    if unread.len() == of_host {
        host.contacts()?;
    }
    for (user, file) in users(&folder.join(TRACKING), unread) {
        let Some(account) = host.account(&user) else { continue };
        let mut entries = Vec::new();
        each(&file, unread, |key, value, _| {
            if TRACKED.iter().any(|wanted| key.text() == Some(wanted)) && entries.len() < TRACKED.len() {
                entries.push((key, value));
            }
            Ok(())
        })?;
        let place = Place(printable(file.display()).into(), None);
        match account {
            Ok(account) => host.joined(account, &Value::Table(entries), &place)?,
            Err(reason) => host.skip(Kind::Account, None, reason, &place)?,
        }
    }
    // Prosody removes a file when nothing is left in it, and keeps the folder.
    host.has_invites |= folder.join(INVITES).is_dir();
    host.end(unread.len() == problems)?;
    Ok(has_data(folder))
}

/// Whether there is any file with data in the folder of a host.
fn has_data(host: &Path) -> bool {
    let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_data = |path: &PathBuf| path.as_os_str().as_bytes().ends_with(SUFFIX);
    entries(host).any(|path| is_data(&path) || entries(&path).any(|path| is_data(&path)))
}

/// The users who have something in a store, and their files.
fn users(store: &Path, unread: &mut Vec<String>) -> Vec<(Vec<u8>, PathBuf)> {
    let found = listed(store).or_else(|error| if is_missing(store, &error) { Ok(Vec::new()) } else { Err(error) });
    let found = found.map_err(|error| unread.push(problem(store, &error))).unwrap_or_default();
    found.into_iter().filter_map(|(name, file)| Some((name.strip_suffix(SUFFIX)?.to_vec(), file))).collect()
}

/// What is in a folder: decoded names and paths, in the order of the names.
fn listed(folder: &Path) -> io::Result<Vec<(Vec<u8>, PathBuf)>> {
    let decoded = |name: &[u8]| percent_decode(name).collect();
    let entry = |entry: io::Result<fs::DirEntry>| entry.map(|it| (decoded(it.file_name().as_bytes()), it.path()));
    let mut found: Vec<_> = fs::read_dir(folder)?.map(entry).collect::<io::Result<_>>()?;
    found.sort();
    Ok(found)
}

/// Calls `take` for each entry of a file. Adds to `unread` why the file cannot be read.
fn each(
    path: &Path,
    unread: &mut Vec<String>,
    mut take: impl FnMut(Value, Value, Place) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let file = match open(path) {
        Ok(file) => file,
        Err(error) if is_missing(path, &error) => return Ok(()),
        Err(error) => {
            unread.push(problem(path, &error));
            return Ok(());
        }
    };
    let name: Arc<str> = printable(path.display()).into();
    let mut entries = Entries::new(BufReader::with_capacity(BUFFER, file));
    while let Some(entry) = entries.next() {
        match entry {
            Ok((key, value)) => take(key, value, Place(name.clone(), Some(entries.entry_line())))?,
            Err(BadData::Io(error)) => unread.push(problem(path, &error)),
            Err(bad) => unread.push(format!("{name}, {bad}")),
        }
    }
    Ok(())
}

/// Opens a file. A pipe, which would never end, is refused.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no file")) }
}

/// Whether an error says that nothing is there. A symbolic link that leads nowhere counts as
/// something: its disk may not be mounted.
fn is_missing(path: &Path, error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(path).is_err()
}

/// Why something cannot be read, and what to do about it.
fn problem(path: &Path, error: &io::Error) -> String {
    let may_not = error.kind() == io::ErrorKind::PermissionDenied && !geteuid().is_root();
    let advice = if may_not { ": run it as root or as Prosody's user (prosody)" } else { "" };
    format!("{}: {error}{advice}", printable(path.display()))
}
