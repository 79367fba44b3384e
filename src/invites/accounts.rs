//! What the chat server knows of the accounts behind an invite: its inviter's, and the one whose
//! password it resets.

use futures::FutureExt;
use jid::{BareJid, DomainPart};
use jiff::SignedDuration;

use super::account_cache::A_MOMENT;
use super::create::quota_of_users;
use super::service::{Invites, Result, lock};
use crate::chat_server::{Account, Answer, Hook};
use crate::invite::{Invite, InviteType, Purpose};
use crate::policy;
use crate::refusal::Refusal;

impl Invites {
    /// What the chat server knows of an account, or knew a moment ago: a user may make many invites
    /// within a second. When an invite is used, the chat server is asked anew.
    ///
    /// # Errors
    /// If the chat server does not answer.
    pub async fn account(&self, jid: &BareJid) -> Answer<Account> {
        self.account_within(jid, A_MOMENT).await
    }

    /// What the chat server knows of an account, or knew less than `age` ago. If `age` is zero,
    /// only a question that is still open serves twice.
    ///
    /// # Errors
    /// If the chat server does not answer.
    pub(super) async fn account_within(&self, jid: &BareJid, age: SignedDuration) -> Answer<Account> {
        let (chat_server, account) = (self.0.chat_server.clone(), jid.clone());
        let ask = || async move { chat_server.account(&account).await }.boxed().shared();
        let question = lock(&self.0.known_accounts).get(jid, age, self.precise_now(), ask);
        question.await
    }

    /// The hook of a host. If it has not introduced itself yet, it is asked to.
    ///
    /// # Errors
    /// If it is asked, and does not answer.
    pub(super) async fn hook(&self, host: &DomainPart) -> Answer<Hook> {
        let known = lock(&self.0.hooks).get(host).cloned();
        match known {
            Some(hook) => Ok(hook),
            None => self.hello(host).await,
        }
    }

    /// Checks whether the chat server can ever do this on a host. If its hook has said no, it is
    /// asked again. If its hook has not introduced itself, nothing is known, and nothing is
    /// refused.
    ///
    /// # Errors
    /// `NoRegistrationHere` or `NoResetHere` if it cannot.
    pub(super) async fn admit_purpose(&self, purpose: Purpose, host: &DomainPart) -> std::result::Result<(), Refusal> {
        let could_not = |hook: &Hook| hook.never(purpose).is_some();
        let known = lock(&self.0.hooks).get(host).is_some_and(could_not);
        match known && self.hello(host).await.is_ok_and(|hook| could_not(&hook)) {
            true => Err(policy::never(purpose, host.as_str())),
            false => Ok(()),
        }
    }

    /// Checks an invite against what the chat server says of the accounts behind it now. Returns it
    /// with the type and the rights that it has now.
    ///
    /// # Errors
    /// Why it does nothing at present; `NoAnswer` if the chat server does not answer.
    pub(super) async fn recheck(&self, invite: Invite) -> Result<Invite> {
        let (_, policy) = self.policy(invite.host.as_str())?;
        let inviter = match &invite.inviter {
            Some(inviter) => Some(self.inviter(inviter).await?),
            None => None,
        };
        if let Some(inviter) = &inviter {
            policy::admit_owner(&invite, inviter, self.now())?;
        }
        if let (InviteType::PasswordReset, Some(username)) = (invite.invite_type, &invite.username) {
            let account = BareJid::from_parts(Some(username), &invite.host);
            let known = self.account_within(&account, SignedDuration::ZERO).await?;
            policy::admit_owner(&invite, &known, self.now())?;
            policy::admit_reset(&account, &known, inviter.as_ref()).map_err(|refusal| match refusal {
                Refusal::AccountAbove(_) => Refusal::InviterStopped,
                refusal => refusal,
            })?;
        }
        let issuer = invite.issuer;
        let invite = match inviter {
            Some(inviter) => policy::with_rights_of(invite, policy, &inviter)?,
            None => invite,
        };
        if issuer != invite.issuer // its inviter was an admin, and no longer is
            && !self.0.store.is_within(invite.clone(), quota_of_users(policy), self.now()).await?
        {
            return Err(Refusal::InviterStopped.into());
        }
        match self.admit_purpose(invite.invite_type.purpose(), &invite.host).await {
            Err(_) if invite.invite_type.connects() => Ok(Invite { invite_type: InviteType::Contact, ..invite }),
            admitted => Ok(admitted.map(|()| invite)?),
        }
    }

    /// What the chat server knows of an inviter.
    async fn inviter(&self, jid: &BareJid) -> Result<Account> {
        let known = self.account_within(jid, SignedDuration::ZERO).await?;
        if !known.certainly_exists(jid)? {
            self.seems_gone(jid);
            return Err(Refusal::Unknown.into());
        }
        lock(&self.0.gone).forget(jid);
        Ok(known)
    }
}
