//! Invites are listed, revoked and removed, and so are events.

use jid::BareJid;
use jiff::{SignedDuration, Timestamp};

use super::service::{Invites, Result};
use crate::invite::Invite;
use crate::last_seen::LastSeen;
use crate::lifetime::Lifetime;
use crate::links::Reference;
use crate::refusal::Refusal;
use crate::store::Filter;

/// How many ended invites one transaction removes: few enough that nobody waits for it.
const PURGE_BATCH: u32 = 500;

/// A step of the clock that is no longer than this is no jump, however short something is kept.
const SMALLEST_JUMP: Lifetime = Lifetime::Seconds(60);

impl Invites {
    /// Revokes an invite. Returns it as it is then.
    ///
    /// # Errors
    /// `Unknown` if there is none.
    pub async fn revoke(&self, reference: Reference) -> Result<Invite> {
        let id = self.find(reference).await?.id;
        let invite = self.0.store.revoke(id, self.now()).await?.ok_or(Refusal::Unknown)?;
        tracing::info!(actor = %self.0.store.actor(), invite = %invite.id, "invite revoked");
        Ok(invite)
    }

    /// Revokes every pending invite of an inviter. Returns how many there were.
    ///
    /// # Errors
    /// If it is not stored.
    pub async fn revoke_of_inviter(&self, inviter: BareJid) -> Result<u64> {
        let revoked = self.0.store.revoke_of_inviter(inviter.clone(), self.now()).await?;
        tracing::info!(actor = %self.0.store.actor(), %inviter, revoked, "the inviter's pending invites revoked");
        Ok(revoked)
    }

    /// Lists invites, the newest first.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn list(&self, filter: Filter, limit: u32) -> Result<Vec<Invite>> {
        Ok(self.0.store.list(filter, limit, self.now()).await?)
    }

    /// Writes that the daemon is at work, and returns what is known of the clock. A step that is
    /// longer than something is kept is a jump.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub async fn seen(&self) -> Result<LastSeen> {
        self.0.store.ensure_in_place()?;
        let kept = self.settings().retention.min(self.settings().audit);
        Ok(self.0.store.seen(self.now(), kept.max(SMALLEST_JUMP)).await?)
    }

    /// Removes invites that ended longer than the retention ago, and old events. Returns how many
    /// invites there were; or, while the clock is doubted, what is known of it.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn purge(&self) -> Result<std::result::Result<u64, LastSeen>> {
        let seen = self.seen().await?;
        if seen.is_doubtful() {
            return Ok(Err(seen));
        }
        let (store, full) = (&self.0.store, u64::from(PURGE_BATCH));
        let mut purged = 0;
        if let Some(before) = before(seen, self.settings().retention) {
            let mut batch = full;
            while batch == full {
                batch = store.purge(before, PURGE_BATCH, self.now()).await?;
                purged += batch;
            }
        }
        if let Some(before) = before(seen, self.settings().audit) {
            while store.purge_events(before, PURGE_BATCH).await? == full {}
        }
        Ok(Ok(purged))
    }
}

/// Before when something has to have been, to be kept no longer. `None`: it is kept for ever.
fn before(seen: LastSeen, kept: Lifetime) -> Option<Timestamp> {
    let Lifetime::Seconds(seconds) = kept else { return None };
    Some(seen.at.saturating_sub(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MIN))
}
