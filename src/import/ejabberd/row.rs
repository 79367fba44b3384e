//! An invite of ejabberd, and the item that it becomes.

use jid::{BareJid, DomainPart, NodePart};
use jiff::Timestamp;

use crate::import::{Imported, Item, Kind, Reason, Skipped, Used, length};
use crate::invite::{self, Invite, InviteId, InviteType, Issuer, NoRandomness, Program, Purpose, Token};
use crate::jids;

/// An invite of ejabberd, with the fields of its record `invite_token`. It has no `Debug`, because
/// it has a token.
#[cfg_attr(test, derive(Debug, PartialEq))]
pub struct Row {
    /// The secret.
    pub token: String,
    /// Who made it; empty: the operator.
    pub inviter: String,
    /// The host of the inviter and of the invite.
    pub host: String,
    /// Who used it; empty: nobody.
    pub invitee: String,
    /// When it was made, in UTC: `2026-11-30T00:16:04Z`, or with a space.
    pub created_at: String,
    /// When it ends.
    pub expires: String,
    /// `roster_only`, `account_only`, `account_subscription` or `reset_token`.
    pub kind: String,
    /// The only username that it registers, or whose password it resets. Of a `roster_only`: the
    /// account that was registered with it, before that account became a contact.
    pub account_name: String,
    /// Whether ejabberd accepts it, if the source says.
    pub valid: Option<bool>,
    /// Whether a `roster_only` registers an account as well. ejabberd decides that by the inviter's
    /// rights when it shows the link. `None`: the source has no link.
    pub registers: Option<bool>,
}

impl Row {
    /// The item that it becomes. Only invites of `hosts` are imported.
    ///
    /// # Errors
    /// If no id can be generated.
    pub fn into_item(self, hosts: &[DomainPart], place: String, now: Timestamp) -> Result<Item, NoRandomness> {
        let id = InviteId::generate()?;
        let token = Token::parse(&self.token);
        let token_hash = token.as_ref().map(Token::hash);
        let host = jids::domain(&self.host).ok();
        let read = match &host {
            Some(host) if !hosts.contains(host) => Err(Reason::OtherHost),
            Some(host) => token.ok_or(Reason::Token).and_then(|token| self.read(id, &token, host, now)),
            None => Err(Reason::Name),
        };
        Ok(match read {
            Ok((invite, used)) => Item::Invite(Box::new(Imported { invite, uses: used.into_iter().collect(), place })),
            Err(reason) => Item::Skipped(Skipped { kind: Kind::Invite, host, token_hash, reason, place }),
        })
    }

    fn read(
        &self,
        id: InviteId,
        token: &Token,
        host: &DomainPart,
        now: Timestamp,
    ) -> Result<(Invite, Option<Used>), Reason> {
        let account_name = name(&self.account_name)?;
        let invitee = some(&self.invitee).map(|jid| jids::account(jid).map_err(|_| Reason::Name)).transpose()?;
        let inviter = name(&self.inviter)?.map(|name| BareJid::from_parts(Some(&name), host));
        let made = account_name.as_ref().map(|name| BareJid::from_parts(Some(name), host));
        let used = |purpose, account: Option<BareJid>| {
            account.map(|account| Used { purpose, account, at: None, failed: Vec::new(), joined: true })
        };
        let (invite_type, username, used) = match self.kind.as_str() {
            // Somebody who became a contact by it is taken to have had an account before.
            "roster_only" if made.is_some() => (InviteType::AccountAndContact, None, used(Purpose::Register, made)),
            "roster_only" if self.registers == Some(true) => {
                (InviteType::AccountAndContact, None, used(Purpose::Contact, invitee))
            }
            "roster_only" => (InviteType::Contact, None, used(Purpose::Contact, invitee)),
            "account_only" => (InviteType::Account, account_name, used(Purpose::Register, invitee)),
            "account_subscription" => (InviteType::AccountAndContact, account_name, used(Purpose::Register, invitee)),
            "reset_token" => (InviteType::PasswordReset, account_name, used(Purpose::Reset, invitee)),
            _ => return Err(Reason::Unsupported),
        };
        let elsewhere =
            used.as_ref().is_some_and(|it| it.purpose != Purpose::Contact && it.account.domain() != &**host);
        let nobodys = invite_type.connects() && inviter.is_none();
        let nameless = invite_type == InviteType::PasswordReset && username.is_none();
        if elsewhere || nobodys || nameless {
            return Err(Reason::Malformed);
        }
        let created_at = instant(&self.created_at)?.ok_or(Reason::Malformed)?;
        let expires = instant(&self.expires)?;
        let ended = |at: Timestamp| expires.is_some_and(|end| end <= at);
        // To revoke an invite, ejabberd sets its end to long ago. An invite that ejabberd
        // refuses, although it is neither used nor expired, ends here, too.
        let refused = self.valid == Some(false) && !ended(now);
        let revoked = used.is_none() && (refused || ended(created_at));
        Ok((
            Invite {
                id,
                token_hash: token.hash(),
                invite_type,
                host: host.clone(),
                username,
                issuer: if inviter.is_some() { Issuer::User } else { Issuer::Operator },
                inviter,
                roles: Vec::new(),
                groups: Vec::new(),
                note: None,
                max_uses: Some(1),
                uses: 0,
                // With a time in the future, of a clock that was wrong, it would count as new for
                // long.
                created_at: created_at.min(now),
                expires_at: expires.map(|end| end.max(created_at)),
                revoked_at: revoked.then_some(now),
                // The accounts have been moved as well, and may be younger than the invite.
                owners_since: Some(now),
                links: 1,
                regenerated_at: None,
                language: None,
                inviter_name: None,
                imported_from: Some(Program::Ejabberd),
                token_length: length(token),
                replaced: false,
            },
            used,
        ))
    }
}

/// A text, unless it is empty.
pub fn some(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// A username, unless the text is empty.
fn name(text: &str) -> Result<Option<NodePart>, Reason> {
    some(text).map(|text| invite::username(text).map_err(|_| Reason::Name)).transpose()
}

/// The instant in a text; `None` if its year is too late for `jiff`. ejabberd writes stars for a
/// year of five digits.
fn instant(text: &str) -> Result<Option<Timestamp>, Reason> {
    let (year, _) = text.split_once('-').ok_or(Reason::Malformed)?;
    match year == "****" || year.len() > 4 && year.bytes().all(|byte| byte.is_ascii_digit()) {
        true => Ok(None),
        false => text.parse().map(Some).map_err(|_| Reason::Malformed),
    }
}
