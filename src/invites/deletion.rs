//! An account is gone: what it issued ends.

use std::time::Instant;

use futures::StreamExt;
use futures::stream;
use jid::BareJid;
use jiff::Timestamp;

use super::service::{Invites, Result, lock};
use crate::invite::Invite;
use crate::refusal::Refusal;

/// How many accounts are looked at again at a time.
const AT_A_TIME: usize = 16;

impl Invites {
    /// An account was deleted: ends what it issued, and returns how many invites that were.
    ///
    /// # Errors
    /// If it is not stored.
    pub async fn account_deleted(&self, account: BareJid, deleted_at: Timestamp) -> Result<u64> {
        let ended = self.0.store.account_deleted(account.clone(), deleted_at, self.now()).await?;
        tracing::info!(%account, ended, "account deleted: its pending invites ended");
        Ok(ended)
    }

    /// Looks whether the inviter who becomes a contact still has an account.
    ///
    /// # Errors
    /// `Unknown` if not: an invite of nobody.
    pub(super) async fn admit_inviter_of(&self, invite: &Invite) -> Result<()> {
        let Some(inviter) = invite.contact() else { return Ok(()) };
        if self.0.chat_server.account(inviter).await?.exists {
            return Ok(());
        }
        self.seems_gone(inviter);
        Err(Refusal::Unknown.into())
    }

    /// An account is not there that should be: it may have been deleted without a word. More looks will tell.
    pub(super) fn seems_gone(&self, account: &BareJid) {
        lock(&self.0.gone).absent(account, Instant::now());
    }

    /// Looks again at the accounts that seem to be gone, and ends the invites of those that certainly are.
    pub(super) async fn look_again(&self) {
        let due = lock(&self.0.gone).due(Instant::now());
        stream::iter(due).for_each_concurrent(AT_A_TIME, |account| self.look_again_at(account)).await;
    }

    async fn look_again_at(&self, account: BareJid) {
        // Whoever makes an invite after this instant has an account.
        let asked_at = self.now();
        match self.0.chat_server.account(&account).await {
            Ok(known) if known.exists => lock(&self.0.gone).forget(&account),
            Ok(_) => {
                let certain = lock(&self.0.gone).absent(&account, Instant::now());
                if certain {
                    match self.account_deleted(account.clone(), asked_at).await {
                        Ok(_) => lock(&self.0.gone).forget(&account),
                        Err(error) => tracing::error!(%account, %error, "the account's invites could not be ended"),
                    }
                }
            }
            Err(reason) => tracing::debug!(%account, %reason, "whether the account is gone is not known"),
        }
    }
}
