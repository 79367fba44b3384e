//! An invite is made.

use jid::BareJid;

use super::service::{Error, Invites, Result};
use crate::chat_server::Unreachable;
use crate::invite::{Invite, InviteId, InviteType, Issuer, Token};
use crate::links;
use crate::policy::{HostPolicy, Wish};
use crate::refusal::Refusal;
use crate::store::Quota;

/// A new invite with its secret: the only time that the links can be shown.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The invite.
    pub invite: Invite,
    /// Its secret.
    pub token: Token,
    /// The `xmpp:` URI for clients.
    pub uri: String,
    /// The link for people, if the host has a landing page.
    pub landing_url: Option<String>,
    /// Why the accounts that the invite names could not be looked up, if they could not.
    pub unchecked: Option<Unreachable>,
}

impl Invites {
    /// Makes an invite.
    ///
    /// # Errors
    /// If the wish cannot be fulfilled, or the invite is not stored.
    pub async fn create(&self, wish: Wish) -> Result<Issued> {
        let (_, policy) = self.policy(wish.host.as_str())?;
        let (operator, now) = (wish.issuer == Issuer::Operator, self.now());
        let token = Token::generate()?;
        let invite = wish.into_invite(policy, InviteId::generate()?, token.hash(), now)?;
        let unchecked = match self.look_up_accounts(&invite, policy).await {
            Ok(()) => None,
            Err(Error::Unreachable(reason)) if operator => Some(reason),
            Err(error) => return Err(error),
        };
        let quota = match &invite.inviter {
            Some(inviter) if invite.issuer == Issuer::User => {
                self.admit_inviter(inviter, policy).await?;
                Quota { per_day: policy.invites_per_day, pending: policy.pending_invites }
            }
            _ => Quota::default(),
        };
        self.0.store.insert(invite.clone(), quota, now).await??;
        tracing::info!(invite = %invite.id, r#type = %invite.invite_type, host = %invite.host, "invite made");
        let uri = links::uri(&invite, &token);
        let landing_url = policy.landing_page.as_ref().map(|page| page.url(&uri, &token));
        Ok(Issued { invite, token, uri, landing_url, unchecked })
    }

    /// Looks whether the accounts that an invite names are there, or not there, as its type needs.
    async fn look_up_accounts(&self, invite: &Invite, policy: &HostPolicy) -> Result<()> {
        let chat_server = &self.0.chat_server;
        if let Some(username) = &invite.username {
            let account = BareJid::from_parts(Some(username), &invite.host);
            let known = chat_server.account(&account).await?;
            if known.impossible {
                return Err(Refusal::InvalidUsername(username.to_string()).into());
            }
            match invite.invite_type {
                InviteType::PasswordReset if !known.certainly_exists(&account)? => {
                    return Err(Refusal::NoSuchAccount(account.to_string()).into());
                }
                InviteType::PasswordReset => (),
                _ if known.exists => return Err(Refusal::UsernameTaken.into()),
                _ if !policy.may_have_name(&account, known.admin, Some(invite)) => {
                    return Err(Refusal::AdminUsername(account.to_string()).into());
                }
                _ => (),
            }
        }
        // Users and admins who make an invite for themselves are connected at this moment: they
        // exist.
        if let Some(inviter) = invite.inviter.as_ref().filter(|_| invite.issuer == Issuer::Operator)
            && !chat_server.certainly_exists(inviter).await?
        {
            return Err(Refusal::NoSuchAccount(inviter.to_string()).into());
        }
        Ok(())
    }

    /// Looks whether the account of an inviter is old enough.
    async fn admit_inviter(&self, inviter: &BareJid, policy: &HostPolicy) -> Result<()> {
        if policy.inviter_age.is_zero() {
            return Ok(());
        }
        let registered_at = match self.0.store.registered_at(inviter.clone()).await? {
            None => self.0.chat_server.account(inviter).await?.created_at,
            known => known,
        };
        Ok(policy.admit_inviter(registered_at, self.now())?)
    }
}
