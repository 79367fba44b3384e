//! The lines of an export, as JSON. `import/own` reads them.

use jid::{BareJid, DomainPart};
use jiff::Timestamp;
use serde::Serialize;

use crate::invite::{Invite, InviteId, Issuer, State, TokenHash};
use crate::invite_json::InviteJson;
use crate::store::Redeemed;

/// From how many characters on nobody finds a token whose hash they have. The hash tells the first
/// three; 19 more of `[A-Za-z0-9_-]` have 114 bits.
const UNGUESSABLE_LENGTH: u32 = 22;

/// A line of an export.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Line<'a> {
    /// The first one.
    EasyInviteExport {
        /// The version of the lines.
        version: u32,
        /// The version of the program that writes them.
        program: &'a str,
        /// When the store was as they say.
        exported_at: Timestamp,
        /// The only host, if not all of them are in it.
        host: Option<&'a DomainPart>,
        /// The only state of invites, if not all of them are in it.
        state: Option<State>,
    },
    /// An invite.
    Invite(InviteLine<'a>),
    /// A use of the invite before it.
    Use(&'a Redeemed),
    /// An account that came by an invite and still exists.
    Account {
        /// The account.
        account: &'a BareJid,
        /// Who invited it, if that is known.
        inviter: Option<&'a BareJid>,
        /// By which invite.
        invite: Option<&'a InviteId>,
        /// When it was registered.
        registered_at: Option<Timestamp>,
    },
    /// The last one: a file without it was cut.
    End(Counts),
}

/// How much an export has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Invites.
    pub invites: u64,
    /// Uses of them.
    pub uses: u64,
    /// Accounts.
    pub accounts: u64,
}

/// An invite as scripts see it, and what else is needed to read it back.
#[derive(Debug, Serialize)]
pub struct InviteLine<'a> {
    #[serde(flatten)]
    invite: InviteJson<'a>,
    issuer: Issuer,
    owners_since: Option<Timestamp>,
    language: Option<&'a str>,
    inviter_name: Option<&'a str>,
    token_length: Option<u32>,
    token_hash: Option<String>,
}

impl<'a> InviteLine<'a> {
    /// The line of an invite, in its state at an instant.
    pub fn new(invite: &'a Invite, now: Timestamp) -> Self {
        InviteLine {
            invite: InviteJson::new(invite, now),
            issuer: invite.issuer,
            owners_since: invite.owners_since,
            language: invite.language.as_deref(),
            inviter_name: invite.inviter_name.as_deref(),
            token_length: invite.token_length,
            token_hash: can_be_told(invite).then(|| hexadecimal(&invite.token_hash)),
        }
    }
}

/// Whether the hash of an invite's token may leave the store. That of a short token, which another
/// program has made, would let whoever finds the file try tokens until one fits.
pub fn can_be_told(invite: &Invite) -> bool {
    invite.token_length.is_none_or(|length| length >= UNGUESSABLE_LENGTH)
}

fn hexadecimal(TokenHash(bytes): &TokenHash) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
