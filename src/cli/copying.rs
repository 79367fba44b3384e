//! What backup, restore and migrate-store have in common.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::{Value, json};

use super::progress::Progress;
use crate::control::Daemon;
use crate::store::{Contents, Store, StoreError, StoreUrl};

/// Opens a store that is to be copied.
///
/// # Errors
/// If it is not there or cannot be used.
pub async fn open_source(url: &StoreUrl) -> anyhow::Result<Store> {
    match Store::open_existing(url).await {
        Err(StoreError::Missing(name)) => Err(anyhow::anyhow!("there is no store at {name}")),
        opened => Ok(opened?),
    }
}

/// Copies everything.
///
/// # Errors
/// If one of the two fails.
pub async fn copy(source: &Store, target: &Store) -> anyhow::Result<()> {
    let mut progress = Progress::before_output();
    let copied = source.copy_into(target, |copied| progress.at(copied.rows, copied.of)).await;
    progress.end();
    copied?;
    Ok(())
}

/// Reads a copy as a whole, and tells what it holds.
///
/// # Errors
/// If it is not what a store has to be.
pub async fn verified(copy: &Store) -> anyhow::Result<Contents> {
    copy.verify().await?;
    Ok(copy.contents().await?)
}

/// Refuses to go on beside the daemon that listens on a socket.
///
/// # Errors
/// If it runs, or seems to; the words are `reason`.
pub async fn ensure_no_daemon(socket: &Path, reason: &str) -> anyhow::Result<()> {
    match Daemon::at(socket.to_owned()).link().await {
        Ok(None) => Ok(()),
        _ => Err(anyhow::anyhow!("easy-invite runs (it has {}): {reason}", socket.display())),
    }
}

/// What a store holds, for people.
pub fn described(contents: Contents) -> String {
    let Contents { invites, uses, accounts } = contents;
    format!("{invites} invites, {uses} uses of them, {accounts} accounts that came by one")
}

/// What a store holds, for scripts.
pub fn as_json(contents: Contents) -> Value {
    json!({"invites": contents.invites, "uses": contents.uses, "accounts": contents.accounts})
}

/// Are these the same store, as far as can be seen?
pub fn same(one: &StoreUrl, other: &StoreUrl) -> bool {
    match (one, other) {
        (StoreUrl::Sqlite(one), StoreUrl::Sqlite(other)) => match (one.metadata(), other.metadata()) {
            (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
            _ => one == other,
        },
        // However the connection is encrypted.
        (StoreUrl::Postgres(_), StoreUrl::Postgres(_)) => one.to_string() == other.to_string(),
        _ => false,
    }
}
