//! `easy-invite restore`: the store, from a backup.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::json;

use super::context::Context;
use super::copying;
use super::print::complain;
use crate::store::{Store, StoreError, StoreUrl};

/// Fill the configured store from a backup
///
/// The daemon must not run, and the store has to be empty or not there yet: nothing is overwritten.
/// The backup is read as a whole first, and brought up to this version's schema where it is older.
/// What was used or taken back after it was made is in the store as it was before.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: easy-invite restore /var/backups/easy-invite-2026-05-01.db")]
pub struct Arguments {
    /// The file that `easy-invite backup` made
    file: PathBuf,
}

pub async fn run(Arguments { file }: Arguments, context: &Context) -> anyhow::Result<()> {
    let config = context.config()?;
    copying::ensure_no_daemon(&config.control_socket, "stop it first, it would work on what is half restored").await?;
    let name = file.display().to_string();
    let opened = copying::open_source(&StoreUrl::Sqlite(file)).await.map_err(|error| match error.downcast_ref() {
        Some(StoreError::ReadOnly(_)) => anyhow::anyhow!(
            "nothing can be written where it lies, as reading it takes: copy it to another folder, and restore the copy"
        ),
        _ => error,
    });
    let backup = opened.with_context(|| format!("{name} cannot be restored"))?;
    backup.verify().await.with_context(|| format!("{name} cannot be restored"))?;
    let store = Store::open(&config.store).await?;
    anyhow::ensure!(
        store.is_empty().await?,
        "the store {} is not empty, and nothing is overwritten: move the file away first, or let store.url name an \
         empty database",
        config.store
    );
    copying::copy(&backup, &store).await?;
    let (contents, mut stdout) = (copying::verified(&store).await?, io::stdout().lock());
    match context.json {
        true => {
            writeln!(stdout, "{}", json!({"store": config.store.to_string(), "holds": copying::as_json(contents)}))?
        }
        false => writeln!(stdout, "{} holds {}", config.store, copying::described(contents))?,
    }
    complain("invites that were used or revoked after the backup was made are pending again: see `easy-invite list`");
    Ok(())
}
