//! `easy-invite backup`: copies the store into a file.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::json;

use super::context::Context;
use super::whole_store;
use crate::files::{Folder, with_ending};
use crate::invite::InviteId;
use crate::store::{Contents, Store, StoreUrl};

/// Copy the store into a file, while the daemon runs
///
/// The file is an SQLite store with everything that the configured store, SQLite or PostgreSQL,
/// holds at one moment. `restore` reads it. With a configuration that has store.url =
/// "sqlite:FILE", the other commands can list and check it. The file appears under its name when it
/// is complete, verified and on the disk. No file is overwritten. Only its owner may read the
/// backup: it contains no tokens, but it says who invited whom. An interrupted backup leaves a file
/// that ends in .unfinished, which you can remove.
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
    let holds = made.with_context(|| format!("{} could not be made", file.display()))?;
    context.print(json!({"file": file, "holds": holds}), format_args!("{} holds {holds}", file.display()))
}

/// Makes the backup under a name that nobody takes for a backup, and renames it when it is complete
/// and on the disk.
async fn make(store: &Store, folder: &Folder, unfinished: &OsStr, name: &OsStr) -> anyhow::Result<Contents> {
    // Held until it is synced, which reports what the system failed to write meanwhile.
    let created = folder.create(unfinished, 0o600)?;
    let path = folder.path().join(unfinished);
    let copy = Store::open_alone(&StoreUrl::Sqlite(path.clone()), true).await?;
    whole_store::copy(store, &copy).await?;
    copy.close().await?;
    let holds = whole_store::verified(&Store::open_closed(&path)?).await?;
    created.sync_all()?;
    folder.rename_new(unfinished, name)?;
    folder.sync().inspect_err(|_| folder.remove(name))?;
    Ok(holds)
}
