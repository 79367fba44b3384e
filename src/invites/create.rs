//! An invite is made.

use futures::FutureExt;
use jid::{BareJid, DomainPart};

use super::service::{Error, Invites, Result};
use crate::chat_server::{Account, NoAnswer};
use crate::counters::Request;
use crate::event::Actor;
use crate::invite::{Invite, InviteId, InviteType, Issuer, Token};
use crate::links;
use crate::names;
use crate::policy::{self, HostPolicy, Wish};
use crate::refusal::Refusal;
use crate::store::Quota;

/// An invite with a new token. Its links can be shown only now, since the store keeps a hash.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The invite.
    pub invite: Invite,
    /// Its token.
    pub token: Token,
    /// The `xmpp:` URI for clients.
    pub uri: String,
    /// The web link, if the host has a landing page.
    pub landing_url: Option<String>,
    /// Why the accounts that the invite names could not be looked up, if they could not.
    pub unchecked: Option<NoAnswer>,
}

impl Issued {
    /// An invite with its token, on a host with this policy.
    pub(super) fn new(invite: Invite, token: Token, policy: &HostPolicy, unchecked: Option<NoAnswer>) -> Self {
        let uri = links::uri(&invite, &token);
        let landing_url = policy.landing_page.as_ref().map(|page| page.url(&uri, &token));
        Issued { invite, token, uri, landing_url, unchecked }
    }
}

/// How many invites a user may have.
pub(super) fn quota_of_users(policy: &HostPolicy) -> Quota {
    Quota { per_day: policy.invites_per_day, pending: policy.pending_invites }
}

impl Invites {
    /// Makes an invite.
    ///
    /// # Errors
    /// If the wish cannot be fulfilled, or the invite is not stored.
    pub async fn create(&self, wish: Wish) -> Result<Issued> {
        self.create_or(wish, |_| None).await
    }

    /// Makes an invite. If it is refused, `instead` may name another wish to try. Both together
    /// count as one request, which is refused if neither invite is made.
    ///
    /// # Errors
    /// If neither wish can be fulfilled, or the invite is not stored.
    pub async fn create_or(&self, wish: Wish, instead: impl Fn(&Refusal) -> Option<Wish>) -> Result<Issued> {
        let host = wish.host.clone();
        let made = async {
            match self.make(wish).await {
                Err(Error::Refused(refusal)) => match instead(&refusal) {
                    Some(wish) => self.make(wish).await,
                    None => Err(refusal.into()),
                },
                made => made,
            }
        };
        self.counted(Request::Create, &host, made).await
    }

    async fn make(&self, wish: Wish) -> Result<Issued> {
        let (issued, quota) = self.prepare(wish).await?;
        let invite = &issued.invite;
        let (store, inserted) = (self.0.store.clone(), invite.clone());
        let storing = async move {
            let now = inserted.created_at;
            Ok(store.insert(inserted, quota, now).await??)
        }
        .boxed();
        self.in_time(invite.token_hash, storing).await?;
        let actor = Actor::of(invite, self.0.store.actor());
        tracing::info!(%actor, invite = %invite.id, r#type = %invite.invite_type, host = %invite.host, "invite made");
        self.0.counters.made(invite.host.as_str(), invite.invite_type, invite.issuer);
        Ok(issued)
    }

    /// If an error says that a limit keeps a user from making invites, notes that in the log of
    /// events.
    pub async fn note_limit(&self, user: &BareJid, host: &DomainPart, error: &Error) {
        let Error::Refused(refusal) = error else { return };
        let Some(limit) = refusal.limit() else { return };
        let actor = Actor::User(user.clone());
        // The user hears of the limit even if this cannot be stored.
        let is_new = self.0.store.by(actor.clone()).refused(host.clone(), limit.to_owned(), self.now()).await;
        if is_new == Ok(true) {
            tracing::info!(%actor, %host, limit, "no invite made");
        }
    }

    /// Checks whether this invite for a new account could be made, and does not make it.
    ///
    /// # Errors
    /// Why it could not.
    pub async fn admit(&self, wish: Wish) -> Result<()> {
        let (Issued { invite, .. }, _) = self.prepare(wish).await?;
        let Some(username) = invite.username else { return Ok(()) };
        let account = BareJid::from_parts(Some(&username), &invite.host);
        let reserved = self.0.store.username_reserved(account, self.now()).await?;
        if reserved { Err(Refusal::UsernameReserved.into()) } else { Ok(()) }
    }

    /// The invite that fulfils a wish, and the quota that it has to be within.
    async fn prepare(&self, wish: Wish) -> Result<(Issued, Quota)> {
        let (_, policy) = self.policy(wish.host.as_str())?;
        let (operator, now) = (wish.issuer == Issuer::Operator, self.now());
        let token = Token::generate()?;
        let mut invite = wish.into_invite(policy, InviteId::generate()?, token.hash(), now)?;
        self.admit_purpose(invite.invite_type.purpose(), &invite.host).await?;
        let (inviter, unchecked) = match self.look_up_accounts(&mut invite, policy).await {
            Ok(inviter) => (inviter, None),
            Err(Error::NoAnswer(reason)) if operator => (None, Some(reason)),
            Err(error) => return Err(error),
        };
        let quota = match (&invite.inviter, inviter) {
            (Some(jid), Some(inviter)) if invite.issuer == Issuer::User => {
                self.admit_age(jid, &inviter, policy).await?;
                quota_of_users(policy)
            }
            _ => Quota::default(),
        };
        Ok((Issued::new(invite, token, policy, unchecked), quota))
    }

    /// Checks that the accounts that an invite names exist, or do not exist, as its type needs.
    /// Returns what the chat server knows of the inviter, if there is one. Writes into the invite
    /// since when the accounts to which it belongs exist, and the inviter's nickname.
    pub(super) async fn look_up_accounts(&self, invite: &mut Invite, policy: &HostPolicy) -> Result<Option<Account>> {
        let inviter = match &invite.inviter {
            Some(jid) => Some(self.able_inviter(jid).await?),
            None => None,
        };
        invite.owners_since = inviter.as_ref().and_then(Account::since);
        let nickname = inviter.as_ref().and_then(|inviter| inviter.nickname.as_deref());
        invite.inviter_name =
            invite.inviter.as_ref().zip(nickname).and_then(|(jid, text)| names::nickname(text, jid, &policy.admins));
        if let Some(username) = &invite.username {
            let account = BareJid::from_parts(Some(username), &invite.host);
            let known = match invite.invite_type.registers() {
                true => self.0.chat_server.new_account(&account).await?,
                false => self.0.chat_server.account(&account).await?,
            };
            if known.impossible {
                return Err(Refusal::InvalidUsername(username.to_string()).into());
            }
            match invite.invite_type {
                InviteType::PasswordReset if !known.certainly_exists(&account)? => {
                    return Err(Refusal::NoSuchAccount(account.to_string()).into());
                }
                InviteType::PasswordReset => {
                    policy::admit_reset(&account, &known, inviter.as_ref())?;
                    invite.owners_since = invite.owners_since.max(known.since());
                }
                _ if known.exists => return Err(Refusal::UsernameTaken.into()),
                _ if policy.admit_name(&account, known.admin, Some(invite)).is_err() => {
                    return Err(Refusal::AdminUsername(account.to_string()).into());
                }
                _ => {
                    let refused = |reason| Err(Refusal::UsernameRefused(username.to_string(), reason));
                    known.refusal.map_or(Ok(()), refused)?;
                }
            }
        }
        Ok(inviter)
    }

    async fn able_inviter(&self, jid: &BareJid) -> Result<Account> {
        let known = self.account(jid).await?;
        match (known.certainly_exists(jid)?, known.disabled) {
            (false, _) => Err(Refusal::NoSuchAccount(jid.to_string()).into()),
            (true, true) => Err(Refusal::AccountDisabled(jid.to_string()).into()),
            (true, false) => Ok(known),
        }
    }

    /// Checks whether the account of an inviter is old enough.
    ///
    /// # Errors
    /// `TooNew` if it is not.
    pub(super) async fn admit_age(&self, jid: &BareJid, inviter: &Account, policy: &HostPolicy) -> Result<()> {
        if policy.inviter_age.is_zero() {
            return Ok(());
        }
        let registered_at = self.0.store.registered_at(jid.clone()).await?.or(inviter.created_at);
        Ok(policy.admit_inviter(registered_at, self.now())?)
    }
}
