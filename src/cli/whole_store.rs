//! A whole store: copying it into another, for `backup`, `restore` and `migrate-store`, and telling
//! what it holds.

use std::os::unix::fs::MetadataExt;

use super::progress::Progress;
use crate::control::{Daemon, Place};
use crate::store::{Contents, Problem, Store, StoreError, StoreUrl};
use crate::texts::printable;

/// Opens a store that is to be copied and that nobody else uses.
///
/// # Errors
/// If it does not exist or cannot be used.
pub async fn open_source(url: &StoreUrl) -> anyhow::Result<Store> {
    match Store::open_alone(url, false).await {
        Err(StoreError { store, problem: Problem::Missing }) => Err(anyhow::anyhow!("there is no store at {store}")),
        opened => Ok(opened?),
    }
}

/// Copies everything, and shows its progress.
///
/// # Errors
/// If one of the two fails.
pub async fn copy(source: &Store, target: &Store) -> anyhow::Result<()> {
    let Contents { invites, uses, accounts, events } = source.contents().await?;
    let mut progress = Progress::before_output();
    let copied = source.copy_into(target, |rows| progress.at(rows, invites + uses + accounts + events)).await;
    progress.end();
    copied?;
    Ok(())
}

/// Reads a whole copy, and counts what it holds.
///
/// # Errors
/// If it is damaged or breaks a rule of the store.
pub async fn verified(copy: &Store) -> anyhow::Result<Contents> {
    copy.verify().await?;
    Ok(copy.contents().await?)
}

/// Refuses to go on while a daemon listens on a socket.
///
/// # Errors
/// If one does, or may. The error ends in `advice`.
pub async fn ensure_no_daemon(place: Place, advice: &str) -> anyhow::Result<()> {
    let socket = printable(place.socket.display());
    match Daemon::at(place).health().await {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err(anyhow::anyhow!("easy-invite is running (at {socket}): {advice}")),
        Err(reason) => Err(anyhow::anyhow!("{reason}. If easy-invite is running (at {socket}), {advice}")),
    }
}

/// Whether these are the same store, as far as can be seen.
pub fn same(one: &StoreUrl, other: &StoreUrl) -> bool {
    match (one, other) {
        (StoreUrl::Sqlite(one), StoreUrl::Sqlite(other)) => match (one.metadata(), other.metadata()) {
            (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
            _ => one == other,
        },
        // As text, they have no options for encryption.
        (StoreUrl::Postgres(_), StoreUrl::Postgres(_)) => one.to_string() == other.to_string(),
        _ => false,
    }
}
