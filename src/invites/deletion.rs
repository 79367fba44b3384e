//! What ends when an account is deleted, or its password is changed.

use futures::StreamExt;
use futures::stream;
use jid::BareJid;
use jiff::Timestamp;
use tokio::time::Instant;

use super::service::{Invites, Result, lock};
use crate::event::Actor;

/// How many accounts are asked about at a time.
const AT_A_TIME: usize = 16;

impl Invites {
    /// Ends the invites of an account that was deleted, as `actor` has found. Returns how many
    /// there were. The account's open uses are redeemed, and nobody is given what they grant.
    ///
    /// # Errors
    /// If it is not stored.
    pub async fn account_deleted(&self, account: BareJid, deleted_at: Timestamp, actor: Actor) -> Result<u64> {
        let store = self.0.store.by(actor.clone());
        let ended = store.account_deleted(account.clone(), deleted_at, self.now()).await?;
        tracing::info!(%actor, %account, ended, "account deleted: its invites ended");
        Ok(ended)
    }

    /// Ends the password resets for an account that were made before its password was changed by
    /// other means than a reset. Returns how many there were.
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

    /// Notes that an account that should exist does not seem to. The hook may not have reported
    /// that it was deleted, so the hook is asked about it again.
    pub(super) fn seems_gone(&self, account: &BareJid) {
        lock(&self.0.gone).absent(account, Instant::now().into_std());
    }

    /// Asks again about the accounts that seem to be gone, and ends the invites of those that
    /// certainly are.
    pub(super) async fn check_gone_accounts(&self) {
        let due = lock(&self.0.gone).due(Instant::now().into_std());
        stream::iter(due).for_each_concurrent(AT_A_TIME, |account| self.check_gone_account(account)).await;
    }

    async fn check_gone_account(&self, account: BareJid) {
        // Whoever makes an invite after this instant has an account.
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
            Err(reason) => {
                tracing::debug!(%account, %reason, "the chat server does not say whether the account is gone")
            }
        }
    }
}
