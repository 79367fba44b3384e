//! What ends when an account is gone, or its password is another.

use futures::StreamExt;
use futures::stream;
use jid::BareJid;
use jiff::Timestamp;
use tokio::time::Instant;

use super::service::{Invites, Result, lock};
use crate::event::Actor;

/// How many accounts are looked at again at a time.
const AT_A_TIME: usize = 16;

impl Invites {
    /// An account was deleted, as `actor` has found: ends its invites, and returns how many there
    /// were. Its open uses count as used, and nobody is given what they grant.
    ///
    /// # Errors
    /// If it is not stored.
    pub async fn account_deleted(&self, account: BareJid, deleted_at: Timestamp, actor: Actor) -> Result<u64> {
        let store = self.0.store.by(actor.clone());
        let ended = store.account_deleted(account.clone(), deleted_at, self.now()).await?;
        tracing::info!(%actor, %account, ended, "account deleted: its invites ended");
        Ok(ended)
    }

    /// The password of an account was changed by other means than a password reset: ends the resets
    /// that were made before, and returns how many there were.
    ///
    /// # Errors
    /// If it is not stored.
    pub async fn password_changed(&self, account: BareJid, changed_at: Timestamp) -> Result<u64> {
        let actor = Actor::Hook(account.domain().to_owned());
        let store = self.0.store.by(actor.clone());
        let ended = store.password_changed(account.clone(), changed_at, self.now()).await?;
        tracing::info!(%actor, %account, ended, "password changed: the password resets made before ended");
        Ok(ended)
    }

    /// An account that should be there is not. It may have been deleted without a report: further
    /// looks will tell.
    pub(super) fn seems_gone(&self, account: &BareJid) {
        lock(&self.0.gone).absent(account, Instant::now().into_std());
    }

    /// Looks again at the accounts that seem to be gone, and ends the invites of those that
    /// certainly are.
    pub(super) async fn look_again(&self) {
        let due = lock(&self.0.gone).due(Instant::now().into_std());
        stream::iter(due).for_each_concurrent(AT_A_TIME, |account| self.look_again_at(account)).await;
    }

    async fn look_again_at(&self, account: BareJid) {
        // An invite that is made after this instant is of an account that exists.
        let asked_at = self.now();
        match self.0.chat_server.certainly_exists(&account).await {
            Ok(true) => lock(&self.0.gone).forget(&account),
            Ok(false) => {
                let certain = lock(&self.0.gone).absent(&account, Instant::now().into_std());
                // A use that is open for this name is settled first: it may be making the account.
                if certain && matches!(self.0.store.reserved_for(account.clone()).await.as_deref(), Ok([])) {
                    match self.account_deleted(account.clone(), asked_at, Actor::Daemon).await {
                        Ok(_) => lock(&self.0.gone).forget(&account),
                        Err(error) => tracing::error!(%account, %error, "the account's invites could not be ended"),
                    }
                }
            }
            Err(reason) => tracing::debug!(%account, %reason, "it is not known whether the account is gone"),
        }
    }
}
