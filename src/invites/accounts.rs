//! What the chat server knows of the accounts behind an invite: of the one who made it, and of the
//! one whose password it resets.

use futures::FutureExt;
use jid::BareJid;
use jiff::SignedDuration;

use super::looks::A_MOMENT;
use super::service::{Invites, Result, lock};
use crate::chat_server::{Account, Answer};
use crate::invite::{Invite, InviteType};
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

    /// An invite as it is judged now, by the accounts behind it.
    ///
    /// # Errors
    /// Why it does nothing at present, or `Unreachable` if the chat server cannot tell.
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
        Ok(match inviter {
            Some(inviter) => policy::with_rights_of(invite, policy, &inviter)?,
            None => invite,
        })
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
