//! A use is reserved, for a registration, a password reset or a contact.

use std::time::Instant;

use jid::{BareJid, DomainPart, DomainRef, NodePart};
use jiff::Timestamp;

use super::lookup::{Grant, valid_on};
use super::service::{Invites, Result, lock};
use crate::counters::Request;
use crate::invite::{Invite, Purpose, Token, Use, judged_at};
use crate::limits::Address;
use crate::refusal::Refusal;
use crate::secret::Secret;
use crate::store::Claim;
use crate::{password, policy};

/// A registration or a password reset that is about to be made.
#[derive(Clone, Debug)]
pub struct Registration {
    /// The name of the reservation.
    pub reservation: String,
    /// The id of the chat server whose hook reserves.
    pub server: String,
    /// The username.
    pub username: NodePart,
    /// Whether the chat server has an account of this name.
    pub exists: bool,
    /// Whether the chat server's configuration calls this name an admin.
    pub admin: bool,
    /// The new password, if the chat server knows it.
    pub password: Option<Secret>,
    /// Where the client connects from.
    pub address: Address,
}

impl Registration {
    /// Checks whether the account may have this password, if it is made or reset with this invite.
    ///
    /// # Errors
    /// `PasswordRefused` if not.
    fn admit_password(&self, host: &DomainRef, invite: Option<&Invite>) -> std::result::Result<(), Refusal> {
        let of = |password: &Secret| password::admit(password.reveal(), self.username.as_str(), host, invite);
        self.password.as_ref().map_or(Ok(()), of)
    }
}

/// What a registration may do.
#[derive(Clone, Debug)]
pub enum Admission {
    /// It may go on under its reservation, with what the invite grants.
    Reserved(Purpose, Box<Invite>),
    /// It may go on without an invite: registration is open.
    Open,
}

impl Invites {
    /// Reserves a use for a registration or a password reset. The grant is the text that
    /// [`Grant::to_text`] made; without one, registration has to be open.
    ///
    /// # Errors
    /// Why it may not go on. Nothing is reserved then.
    pub async fn reserve(
        &self,
        host: &DomainPart,
        grant: Option<&str>,
        registration: Registration,
    ) -> Result<Admission> {
        self.counted(Request::Reserve, host, self.reserve_for(host, grant, registration)).await
    }

    async fn reserve_for(
        &self,
        host: &DomainPart,
        grant: Option<&str>,
        registration: Registration,
    ) -> Result<Admission> {
        let address = registration.address;
        let Some(grant) = grant else {
            self.admit_try(address, None)?;
            let admitted = self.admit_without_invite(host, registration).await;
            return self.count_failed(admitted, address, None);
        };
        let Grant { token, presented_at } = Grant::parse(grant).ok_or(Refusal::Unknown)?;
        let (invite, _) = self.look_up(&[token], address).await?;
        let invite = valid_on(host, invite)?;
        self.admit_try(address, Some(&invite))?;
        let reserved = self.reserve_use(invite.clone(), Some(presented_at), registration).await;
        let (used, invite) = self.count_failed(reserved, address, Some(&invite))?;
        Ok(Admission::Reserved(used.purpose, Box::new(invite)))
    }

    async fn admit_without_invite(&self, host: &DomainPart, registration: Registration) -> Result<Admission> {
        let (_, policy) = self.policy(host.as_str())?;
        self.admit_purpose(Purpose::Register, host).await?;
        policy.admit_uninvited()?;
        let account = BareJid::from_parts(Some(&registration.username), host);
        let (exists, admin) = self.once_settled(&account, registration.exists, registration.admin).await?;
        if exists {
            return Err(Refusal::UsernameTaken.into());
        }
        policy::admit_new_username(&registration.username)?;
        policy.admit_name(&account, admin, None)?;
        if self.0.store.username_reserved(account, self.now()).await? {
            return Err(Refusal::UsernameReserved.into());
        }
        registration.admit_password(host, None)?;
        Ok(Admission::Open)
    }

    /// Reserves a use of an invite.
    ///
    /// # Errors
    /// Why the registration may not go on. Nothing is reserved then.
    pub(super) async fn reserve_use(
        &self,
        invite: Invite,
        presented_at: Option<Timestamp>,
        registration: Registration,
    ) -> Result<(Use, Invite)> {
        let (_, policy) = self.policy(invite.host.as_str())?;
        let Registration { ref username, exists, admin, address, .. } = registration;
        let account = BareJid::from_parts(Some(username), &invite.host);
        let (exists, admin) = match exists {
            true => self.once_settled(&account, exists, admin).await?,
            false => (exists, admin),
        };
        let reserved_at = self.now();
        let admit = |exists| policy::admit_registration(&invite, username, exists, presented_at, reserved_at);
        let mut admitted = admit(exists);
        if let Err(Refusal::NoSuchAccount(_)) = admitted {
            // The chat server may just be unable to read the account. A registration does not say
            // so.
            match self.0.chat_server.certainly_exists(&account).await? {
                true => admitted = admit(true),
                false => self.seems_gone(&account),
            }
        }
        let purpose = admitted?;
        if purpose == Purpose::Register {
            policy.admit_name(&account, admin, Some(&invite))?;
        }
        if let Err(refusal) = registration.admit_password(&invite.host, Some(&invite)) {
            // Whether another invite reserves the username is known only when a use is claimed. But
            // the person should hear of the username before the password.
            let other = purpose == Purpose::Register && invite.username.is_none();
            let reserved = other && self.0.store.username_reserved(account, reserved_at).await?;
            return Err(if reserved { Refusal::UsernameReserved } else { refusal }.into());
        }
        let invite = self.recheck(invite).await?;
        policy::admit_presentation(&invite, judged_at(presented_at, reserved_at))?;
        let Registration { reservation: id, server, .. } = registration;
        if invite.max_uses != Some(1) {
            let refused = |left| Refusal::TooManyRegistrations { again_at: self.after(left) };
            lock(&self.0.counts).register(&id, address, &invite.id, Instant::now()).map_err(refused)?;
        }
        let used = Use { id, invite: invite.id.clone(), purpose, account, server, reserved_at };
        if let Err(error) = self.claim(used.clone(), invite.links).await {
            lock(&self.0.counts).registered(&used.id, false);
            return Err(error);
        }
        Ok((used, invite))
    }

    /// Reserves a use for `contact`, who wants to become a contact of `inviter`.
    ///
    /// # Errors
    /// If the token does not allow it. Then the inviter has to decide. That includes a contact who
    /// has used the invite before: the link does not bring back a contact whom the inviter removed.
    pub async fn contact(
        &self,
        host: &DomainPart,
        reservation: String,
        server: String,
        tokens: &[Token],
        inviter: &BareJid,
        contact: &BareJid,
    ) -> Result<()> {
        let reserved = async {
            let (invite, _) = self.of_tokens(tokens).await?.ok_or(Refusal::Unknown)?;
            let invite = valid_on(host, invite)?;
            policy::admit_contact(&invite, inviter, contact)?;
            let reserved_at = self.now();
            invite.usable(reserved_at)?;
            let invite = self.recheck(invite).await?;
            if self.0.store.redeemed_by(invite.id.clone(), contact.clone()).await? {
                return Err(Refusal::UsedUp.into());
            }
            let (purpose, account) = (Purpose::Contact, contact.clone());
            let used = Use { id: reservation, invite: invite.id, purpose, account, server, reserved_at };
            self.claim(used, invite.links).await
        };
        self.counted(Request::Reserve, host, reserved).await
    }

    /// Whether an account exists, and whether the chat server calls it an admin. `exists` and
    /// `admin` are what the chat server has said. If the account has an open reservation, a
    /// registration that was cut short may have left a part of it. So the reservation is settled
    /// first, and the chat server is asked again.
    ///
    /// # Errors
    /// `InProgress` if the reservation stays open.
    async fn once_settled(&self, account: &BareJid, exists: bool, admin: bool) -> Result<(bool, bool)> {
        let standing = self.0.store.reserved_for(account.clone()).await?;
        if standing.is_empty() {
            return Ok((exists, admin));
        }
        self.settle(standing).await?;
        if !self.0.store.reserved_for(account.clone()).await?.is_empty() {
            return Err(Refusal::InProgress.into());
        }
        let known = self.0.chat_server.account(account).await?;
        Ok((known.exists, known.admin))
    }

    /// Reserves a use in the store, by the invite's link with this number. If other reservations
    /// are in the way, settles them and tries once more.
    async fn claim(&self, wanted: Use, links: u32) -> Result<()> {
        for settle in [true, false] {
            match self.0.store.reserve(wanted.clone(), links).await? {
                Claim::Reserved => return Ok(()),
                Claim::Refused(refusal) => return Err(refusal.into()),
                Claim::Contended(standing) if settle => drop(self.settle(standing).await),
                Claim::Contended(_) => (),
            }
        }
        Err(Refusal::InProgress.into())
    }
}
