//! `easy-invite backup`: a copy of the store, as it is at one moment.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;

use super::context::Context;
use super::copying;
use crate::invite::InviteId;
use crate::store::{Contents, Store, StoreUrl};

/// Copy the store into a file, while the daemon runs
///
/// The file is the store as it is at one moment, whichever kind it is: an SQLite store of its own, which `restore` takes,
/// and which can be listed and checked with store.url = "sqlite:FILE". It appears under its name when it is whole, read
/// back and on the disk, and nothing is overwritten. Only its owner may read it: it says who invited whom, but no
/// token. What a backup that was cut short leaves ends in .unfinished and can be removed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  easy-invite backup /var/backups/easy-invite-$(date +%F).db
  easy-invite backup before-the-upgrade.db --json")]
pub struct Arguments {
    /// The file to make
    file: PathBuf,
}

pub async fn run(Arguments { file }: Arguments, context: &Context) -> anyhow::Result<()> {
    let config = context.config()?;
    anyhow::ensure!(file.symlink_metadata().is_err(), "{} exists already and is left as it is", file.display());
    let unfinished = unfinished(&file)?;
    let store = Store::open_existing(&config.store).await?;
    let made = make(&store, &unfinished, &file).await;
    if made.is_err() {
        for path in ["", "-wal", "-shm"].map(|end| format!("{}{end}", unfinished.display())) {
            drop(fs::remove_file(path));
        }
    }
    let (contents, mut stdout) = (made?, io::stdout().lock());
    match context.json {
        true => writeln!(stdout, "{}", json!({"file": file, "holds": copying::as_json(contents)}))?,
        false => writeln!(stdout, "{} holds {}", file.display(), copying::described(contents))?,
    }
    Ok(())
}

/// Where the file grows: in the same folder, under a name that nobody takes for a backup.
fn unfinished(file: &Path) -> anyhow::Result<PathBuf> {
    let name = file.file_name().with_context(|| format!("{} is no name for a file", file.display()))?;
    Ok(file.with_file_name(format!(".{}.{}.unfinished", name.display(), InviteId::generate()?)))
}

async fn make(store: &Store, unfinished: &Path, file: &Path) -> anyhow::Result<Contents> {
    let copy = Store::open(&StoreUrl::Sqlite(unfinished.to_owned())).await?;
    let contents = copying::copy(store, &copy).await?;
    drop(copy); // all is in the one file now
    give_name(unfinished, file).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => anyhow::anyhow!("{} exists already and is left as it is", file.display()),
        _ => anyhow::anyhow!("{} cannot be written: {error}", file.display()),
    })?;
    Ok(contents)
}

/// As renaming would, but for a file that has the name already.
fn give_name(unfinished: &Path, file: &Path) -> io::Result<()> {
    File::open(unfinished)?.sync_all()?;
    match fs::hard_link(unfinished, file) {
        Ok(()) => fs::remove_file(unfinished)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
        // Not every file system has hard links (FAT, many of the network). Then the name is taken first, by nothing.
        Err(_) => {
            File::create_new(file)?;
            fs::rename(unfinished, file).inspect_err(|_| drop(fs::remove_file(file)))?;
        }
    }
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
