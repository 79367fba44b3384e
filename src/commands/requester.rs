//! The user behind a request, and what the user's host allows.

use jid::{BareJid, DomainPart};
use tokio::sync::OnceCell;

use crate::chat_server::Account;
use crate::invites::{Error, Invites};
use crate::policy::{Caps, HostPolicy};
use crate::texts::Texts;

/// A user of a served host, who asks the component for something.
pub struct Requester<'a> {
    /// The full JID, as the chat server wrote it.
    pub full_jid: &'a str,
    /// The account.
    pub account: BareJid,
    /// The account's host.
    pub host: &'a DomainPart,
    /// What that host allows.
    pub policy: &'a HostPolicy,
    /// The service.
    pub invites: &'a Invites,
    /// The texts in the user's language.
    pub texts: &'a Texts,
    known: OnceCell<Account>,
}

impl<'a> Requester<'a> {
    /// The user with this address. `None` if it is not the address of a user of a served host.
    pub fn new(address: &'a str, invites: &'a Invites, texts: &'a Texts) -> Option<Self> {
        let account = jid::Jid::new(address).ok()?.into_bare();
        // The jid crate folds more characters than servers do. If it has changed the localpart,
        // this is another account than the server's.
        let (written, _) = address.split_once('@')?;
        account.node().filter(|username| username.as_str() == written)?;
        let (host, policy) = invites.policy(account.domain().as_str()).ok()?;
        Some(Requester { full_jid: address, account, host, policy, invites, texts, known: OnceCell::new() })
    }

    /// What the chat server knows of the user. It is asked at most once.
    ///
    /// # Errors
    /// If the chat server does not answer.
    pub async fn known(&self) -> Result<&Account, Error> {
        Ok(self.known.get_or_try_init(|| self.invites.account(&self.account)).await?)
    }

    /// Whether the user is an admin of the host, by the daemon's configuration or the chat
    /// server's.
    ///
    /// # Errors
    /// If the chat server has to be asked, and does not answer.
    pub async fn is_admin(&self) -> Result<bool, Error> {
        Ok(self.policy.admins.contains(&self.account) || self.known().await?.admin)
    }

    /// The most that the user may choose for an invite.
    ///
    /// # Errors
    /// If the chat server does not answer.
    pub async fn caps(&self) -> Result<Caps, Error> {
        Ok(if self.is_admin().await? { Caps::NONE } else { self.policy.caps(self.known().await?) })
    }

    /// Whether "New Invite" makes an invite for the user.
    ///
    /// # Errors
    /// If the chat server does not answer.
    pub async fn may_invite(&self) -> Result<bool, Error> {
        Ok(self.is_admin().await? || self.policy.new_invite(self.known().await?).is_ok())
    }
}
