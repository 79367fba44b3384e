//! `easy-invite restore`: fills the store from a backup.

use std::path::PathBuf;

use serde_json::json;

use super::context::{Context, control_place, now};
use super::print::say;
use super::whole_store;
use crate::store::{Contents, Problem, Store, StoreError, StoreUrl};

/// Fill the configured store from a backup
///
/// Stop the daemon first. The store must be empty or missing: nothing is overwritten. The whole
/// backup is read before anything is written. A backup of an older version is upgraded. Invites
/// that were used or revoked after the backup was made are pending again.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: easy-invite restore /var/backups/easy-invite-2026-05-01.db")]
pub struct Arguments {
    /// The file that `easy-invite backup` made
    file: PathBuf,
}

pub async fn run(Arguments { file }: Arguments, context: &Context) -> anyhow::Result<()> {
    let config = context.config()?;
    whole_store::ensure_no_daemon(control_place(&config), "stop it first, or it would use what is half restored")
        .await?;
    let name = file.display().to_string();
    let unusable = |error: anyhow::Error| {
        let reason = match error.downcast_ref() {
            Some(StoreError { problem: Problem::ReadOnly | Problem::Denied, .. }) => {
                anyhow::anyhow!(
                    "SQLite has to write to its folder to read it: copy it to another folder, and restore the copy"
                )
            }
            Some(StoreError { problem: Problem::Corrupt(problem), .. }) => {
                anyhow::anyhow!("it is damaged, or is no backup of easy-invite ({problem}): restore another one")
            }
            _ => error,
        };
        reason.context(format!("{name} cannot be restored"))
    };
    let backup = whole_store::open_source(&StoreUrl::Sqlite(file)).await.map_err(unusable)?;
    backup.verify().await.map_err(|error| unusable(error.into()))?;
    let store = Store::open(&config.store).await?;
    anyhow::ensure!(
        store.contents().await? == Contents::default(),
        "the store {} is not empty, and nothing is overwritten: move the file away first, or let store.url name an \
         empty database",
        config.store
    );
    store.filled(Some(now())).await?; // first, since it holds whatever becomes of the copying
    whole_store::copy(&backup, &store).await?;
    let holds = whole_store::verified(&store).await?;
    let name = config.store.to_string();
    context.print(json!({"store": name, "holds": holds}), format_args!("{name} holds {holds}"))?;
    say("invites that were used or revoked after the backup was made are pending again: see `easy-invite list`");
    Ok(())
}
