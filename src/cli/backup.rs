//! `easy-invite backup`: a copy of the store, as it is at one moment.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::json;

use super::context::Context;
use super::copying;
use crate::files::{Folder, with_ending};
use crate::invite::InviteId;
use crate::store::{Contents, Store, StoreUrl};

/// Copy the store into a file, while the daemon runs
///
/// The file is the store as it is at one moment, whichever kind it is: an SQLite store of its own,
/// which `restore` takes, and which can be listed and checked with store.url = "sqlite:FILE". It
/// appears under its name when it is whole, read back and on the disk, and nothing is overwritten.
/// Only its owner may read it: it says who invited whom, but no token. What a backup that was cut
/// short leaves ends in .unfinished and can be removed.
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
    let store = Store::open_existing(&config.store).await?;
    let (folder, name) = Folder::of(&file)?;
    let unfinished = OsString::from(format!(".{}.{}.unfinished", name.display(), InviteId::generate()?));
    let made = make(&store, &folder, &unfinished, name).await;
    if made.is_err() {
        for ending in ["", "-wal", "-shm"] {
            folder.remove(&with_ending(&unfinished, ending));
        }
    }
    let contents = made.with_context(|| format!("{} could not be made", file.display()))?;
    let mut stdout = io::stdout().lock();
    match context.json {
        true => writeln!(stdout, "{}", json!({"file": file, "holds": copying::as_json(contents)}))?,
        false => writeln!(stdout, "{} holds {}", file.display(), copying::described(contents))?,
    }
    Ok(())
}

/// Makes the backup in the same folder, under a name that nobody takes for a backup, until it is
/// whole and on the disk.
async fn make(store: &Store, folder: &Folder, unfinished: &OsStr, name: &OsStr) -> anyhow::Result<Contents> {
    // Held until the end: what the system fails to write meanwhile, it tells when this is synced.
    let created = folder.create(unfinished, 0o600)?;
    let path = folder.path().join(unfinished);
    let copy = Store::open(&StoreUrl::Sqlite(path.clone())).await?;
    copying::copy(store, &copy).await?;
    copy.close().await?;
    let contents = copying::verified(&Store::open_closed(&path)?).await?;
    created.sync_all()?;
    folder.rename_new(unfinished, name)?;
    folder.sync().inspect_err(|_| folder.remove(name))?;
    Ok(contents)
}
