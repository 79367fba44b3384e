//! What the chat server knows of the accounts behind an invite: of the one who made it, and of the
//! one whose password it resets.

use futures::FutureExt;
use jid::{BareJid, DomainPart};
use jiff::SignedDuration;

use super::create::quota_of_users;
use super::looks::A_MOMENT;
use super::service::{Invites, Result, lock};
use crate::chat_server::{Account, Answer, Hook};
use crate::invite::{Invite, InviteType, Purpose};
use crate::policy;
use crate::refusal::Refusal;

impl Invites {
    /// What is known of an account, or was a moment ago: users may make many invites within a
    /// second. When an invite is used, there is a new look.
    ///
    /// # Errors
    /// If nobody answers.
    pub async fn account(&self, jid: &BareJid) -> Answer<Account> {
        self.look_at(jid, A_MOMENT).await
    }

    /// What is known of an account, or was at most so long ago. With zero, only a question that is
    /// still open serves twice.
    ///
    /// # Errors
    /// If nobody answers.
    pub(super) async fn look_at(&self, jid: &BareJid, age: SignedDuration) -> Answer<Account> {
        let (chat_server, account) = (self.0.chat_server.clone(), jid.clone());
        let ask = || async move { chat_server.account(&account).await }.boxed().shared();
        let look = lock(&self.0.looks).at(jid, age, self.precise_now(), ask);
        look.await
    }

    /// The hook of a host, which is asked to introduce itself if it has not yet.
    pub(super) async fn hook(&self, host: &DomainPart) -> Answer<Hook> {
        let known = lock(&self.0.hooks).get(host).cloned();
        match known {
            Some(hook) => Ok(hook),
            None => self.meet(host).await,
        }
    }

    /// Looks whether the chat server can do this on a host at all. One that could not when its hook
    /// introduced itself is asked again. Of one that has not, nothing is known.
    ///
    /// # Errors
    /// `NoRegistrationHere` or `NoResetHere`.
    pub(super) async fn admit_purpose(&self, purpose: Purpose, host: &DomainPart) -> std::result::Result<(), Refusal> {
        let could_not = |hook: &Hook| hook.never(purpose).is_some();
        let known = lock(&self.0.hooks).get(host).is_some_and(could_not);
        match known && self.meet(host).await.is_ok_and(|hook| could_not(&hook)) {
            true => Err(policy::never(purpose, host.as_str())),
            false => Ok(()),
        }
    }

    /// An invite as it is judged now, by the chat server and the accounts behind it.
    ///
    /// # Errors
    /// Why it does nothing at present, or `NoAnswer` if the chat server does not tell.
    pub(super) async fn look_behind(&self, invite: Invite) -> Result<Invite> {
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
            let known = self.look_at(&account, SignedDuration::ZERO).await?;
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
        if issuer != invite.issuer // an admin made it, who is none any more
            && !self.0.store.is_within(invite.clone(), quota_of_users(policy), self.now()).await?
        {
            return Err(Refusal::InviterStopped.into());
        }
        match self.admit_purpose(invite.invite_type.purpose(), &invite.host).await {
            Err(_) if invite.invite_type.connects() => Ok(Invite { invite_type: InviteType::Contact, ..invite }),
            admitted => Ok(admitted.map(|()| invite)?),
        }
    }

    /// What is known of an inviter.
    async fn inviter(&self, jid: &BareJid) -> Result<Account> {
        let known = self.look_at(jid, SignedDuration::ZERO).await?;
        if !known.certainly_exists(jid)? {
            self.seems_gone(jid);
            return Err(Refusal::Unknown.into());
        }
        lock(&self.0.gone).forget(jid);
        Ok(known)
    }
}
