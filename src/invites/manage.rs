//! Invites are listed, shown, changed, revoked and removed, and events are removed.

use std::time::Instant;

use futures::FutureExt;
use jid::BareJid;
use jiff::{SignedDuration, Timestamp};

use super::create::Issued;
use super::service::{Error, Invites, Result, lock};
use crate::chat_server::Account;
use crate::event::Actor;
use crate::invite::{Invite, InviteType, Issuer, Token};
use crate::last_seen::LastSeen;
use crate::lifetime::Lifetime;
use crate::links::Reference;
use crate::policy::{self, Change, HostPolicy};
use crate::refusal::Refusal;
use crate::store::{Filter, Quota, Store, Wait};

/// How many ended invites one transaction removes: few enough that nobody waits for it.
const PURGE_BATCH: u32 = 500;

/// How long the note stays that a link is to be withdrawn which was never stored. Whether it was
/// stored is known when the database server is back.
const WITHDRAWALS_KEPT: Lifetime = Lifetime::Seconds(30 * 24 * 60 * 60);

/// A step of the clock up to this is no jump, however short the retention is.
const SMALLEST_JUMP: Lifetime = Lifetime::Seconds(60);

/// How many of the accounts that joined with an invite are shown.
const ACCOUNTS_SHOWN: u32 = 100;

/// Who wants to do something with existing invites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// The operator, on the command line.
    Operator,
    /// A user or an admin of a served host.
    Account(BareJid),
}

/// An invite, and who joined with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The invite.
    pub invite: Invite,
    /// The accounts that registered with it and still exist, and since when: the newest 100, the
    /// newest first.
    pub accounts: Vec<(BareJid, Option<Timestamp>)>,
}

/// An invite that somebody has rights over.
struct Managed {
    invite: Invite,
    /// With whose rights.
    rights: Issuer,
    /// What the chat server knows of their account. The default for the operator, who has none.
    known: Account,
    /// The store as they use it: the log of events names them.
    store: Store,
}

impl Invites {
    /// The invites that an account has made as a user or an admin: the newest 50 that are pending,
    /// then the 20 that ended last.
    ///
    /// # Errors
    /// `NotAllowed` if they are somebody else's, and the caller is no admin of that host.
    pub async fn list_of_inviter(&self, by: &By, inviter: &BareJid) -> Result<Vec<Invite>> {
        let (_, policy) = self.policy(inviter.domain().as_str())?;
        let own = match by {
            By::Operator => None,
            By::Account(account) => {
                let known = self.account(account).await?;
                match account == inviter {
                    true => Some(known),
                    false if account.domain() == inviter.domain() && policy.is_admin(account, &known) => None,
                    false => return Err(Refusal::NotAllowed.into()),
                }
            }
        };
        let mut invites = self.0.store.list_of_inviter(inviter.clone(), self.now()).await?;
        if let Some(known) = own {
            // An earlier account of this name may have made invites, too.
            invites.retain(|invite| policy::admit_owner(invite, &known, self.now()).is_ok());
        }
        Ok(invites)
    }

    /// An invite, and who joined with it.
    ///
    /// # Errors
    /// `Unknown` if there is none, or the caller has no rights over it.
    pub async fn show(&self, by: &By, reference: Reference) -> Result<Shown> {
        let Managed { invite, store, .. } = self.managed(by, reference).await?;
        let accounts = store.accounts_of(invite.id.clone(), ACCOUNTS_SHOWN).await?;
        Ok(Shown { invite, accounts })
    }

    /// Revokes an invite. Returns it as it is then.
    ///
    /// # Errors
    /// As [`Invites::show`].
    pub async fn revoke(&self, by: &By, reference: Reference) -> Result<Invite> {
        let Managed { invite, store, .. } = self.managed(by, reference).await?;
        let invite = store.revoke(invite.id, self.now()).await?.ok_or(Refusal::Unknown)?;
        tracing::info!(actor = %store.actor(), invite = %invite.id, "invite revoked");
        Ok(invite)
    }

    /// Gives a pending invite a new link. From then on, the old link does nothing, even for those
    /// who have opened it already.
    ///
    /// # Errors
    /// As [`Invites::show`]; `NotAllowed` if the caller could not make such an invite now;
    /// `TooManyLinks` if a user has had as many new links within 24 hours as new invites are
    /// allowed; or why the invite does nothing.
    pub async fn regenerate(&self, by: &By, reference: Reference) -> Result<Issued> {
        let Managed { invite, rights, known, store } = self.managed(by, reference).await?;
        let (_, policy) = self.policy(invite.host.as_str())?;
        invite.usable(self.now())?;
        self.admit_renewal(&invite, policy, rights, &known).await?;
        let unchecked = match self.recheck(invite.clone()).await {
            Ok(_) => None,
            Err(Error::NoAnswer(reason)) if rights == Issuer::Operator => Some(reason),
            // Its inviter is gone.
            Err(Error::Refused(Refusal::Unknown)) => return Err(Refusal::InviterStopped.into()),
            Err(error) => return Err(error),
        };
        let limited = match (rights, policy.invites_per_day, by) {
            (Issuer::User, Some(most), By::Account(user)) => Some((user, most)),
            _ => None,
        };
        if let Some((user, most)) = limited {
            let refused = |left| Refusal::TooManyLinks { again_at: self.after(left) };
            lock(&self.0.counts).renew(user, most, Instant::now()).map_err(refused)?;
        }
        let token = Token::generate()?;
        let (renewing, hash, now) = (store.clone(), token.hash(), self.now());
        let storing = async move { Ok(renewing.regenerate(invite.id, hash, now).await??) }.boxed();
        let renewed = self.in_time(hash, storing).await;
        if let (Err(_), Some((user, _))) = (&renewed, limited) {
            lock(&self.0.counts).take_back_renewal(user); // who is given no link may ask again
        }
        let invite = renewed?;
        tracing::info!(actor = %store.actor(), invite = %invite.id, "new link for the invite");
        Ok(Issued::new(invite, token, policy, unchecked))
    }

    /// Changes an invite, and returns it as it is then. If it had expired or was used up, the
    /// change may make it pending again.
    ///
    /// # Errors
    /// As [`Invites::show`]; `NotAllowed` if the caller could not make such an invite now;
    /// `Revoked`; or what is wrong with the change.
    pub async fn change(&self, by: &By, reference: Reference, change: Change) -> Result<Invite> {
        let Managed { invite, rights, known, store } = self.managed(by, reference).await?;
        let (_, policy) = self.policy(invite.host.as_str())?;
        self.admit_renewal(&invite, policy, rights, &known).await?;
        let now = self.now();
        change.admit(&invite, (rights == Issuer::User).then(|| policy.caps(&known)), now)?;
        let changed = change.applied(invite.clone(), now);
        if invite.usable(now).is_err() && changed.usable(now).is_ok() {
            // It is checked as a new invite is.
            match self.look_up_accounts(&mut changed.clone(), policy).await {
                Err(Error::NoAnswer(_)) if rights == Issuer::Operator => (),
                found => drop(found?),
            }
        }
        let pending = policy.pending_invites.filter(|_| rights == Issuer::User);
        let invite = store.change(invite.id, change, Quota { per_day: None, pending }, now).await??;
        tracing::info!(actor = %store.actor(), invite = %invite.id, "invite changed");
        Ok(invite)
    }

    /// Finds an invite for somebody who has rights over it.
    async fn managed(&self, by: &By, reference: Reference) -> Result<Managed> {
        // A caller with rights over an invite may name it by an older link, too.
        let (invite, store) = (Invite { replaced: false, ..self.find(reference).await? }, &self.0.store);
        let By::Account(account) = by else {
            return Ok(Managed { invite, rights: Issuer::Operator, known: Account::default(), store: store.clone() });
        };
        let (_, policy) = self.policy(invite.host.as_str()).map_err(|_| Refusal::Unknown)?;
        let known = self.account(account).await?;
        let rights = policy::rights_over(&invite, policy, account, &known, self.now())?;
        let actor = if rights == Issuer::Admin { Actor::Admin } else { Actor::User };
        Ok(Managed { invite, rights, known, store: store.by(actor(account.clone())) })
    }

    /// Checks whether somebody with these rights, of whom this is known, could make such an invite
    /// now.
    async fn admit_renewal(&self, invite: &Invite, policy: &HostPolicy, rights: Issuer, known: &Account) -> Result<()> {
        policy::admit_renewal(invite, policy, rights, known)?;
        match (rights, &invite.inviter, invite.account()) {
            (Issuer::User, Some(inviter), _) => self.admit_age(inviter, known, policy).await,
            (Issuer::Admin, _, Some(account)) if invite.invite_type == InviteType::PasswordReset => {
                Ok(policy::admit_reset(&account, &self.account(&account).await?, Some(known))?)
            }
            _ => Ok(()),
        }
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

    /// Writes to the store that the daemon is at work, and returns what is known of the clock. A
    /// step that is longer than ended invites and events are kept is a jump.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub async fn seen(&self) -> Result<LastSeen> {
        self.0.store.ensure_in_place()?;
        let kept = self.settings().retention.min(self.settings().audit);
        let (store, now) = (&self.0.store, self.now());
        let seen = store.seen(now, kept.max(SMALLEST_JUMP), store.lineage()).await?;
        let last = lock(&self.0.last_seen).replace(seen);
        if let Some((since, until)) = seen.took_over_at.zip(seen.lacks_invites_until(now))
            && last.is_none_or(|last| last.took_over_at != Some(since))
        {
            tracing::warn!(
                "since {since} this store stands in for another (a standby took over, or a backup was restored), and \
                 may lack invites: until {until}, unknown links that look like its own are not counted as guesses"
            );
        }
        Ok(seen)
    }

    /// What work in the store has been waiting for, for longer than a second.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn waits(&self) -> Result<Option<Wait>> {
        Ok(self.0.store.waits().await?)
    }

    /// Removes invites that ended longer than the retention ago, and old events. Returns how many
    /// invites it removed. While the clock is doubted, it removes nothing, and returns what is
    /// known of the clock.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn purge(&self) -> Result<std::result::Result<u64, LastSeen>> {
        let seen = self.seen().await?;
        if seen.is_doubtful() {
            return Ok(Err(seen));
        }
        let (store, full) = (&self.0.store, u64::from(PURGE_BATCH));
        if let Some(before) = before(seen, WITHDRAWALS_KEPT) {
            store.purge_withdrawals(before).await?;
        }
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

/// The instant before which something is too old to be kept. `None`: it is kept for ever.
fn before(seen: LastSeen, kept: Lifetime) -> Option<Timestamp> {
    let Lifetime::Seconds(seconds) = kept else { return None };
    Some(seen.at.saturating_sub(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MIN))
}
