//! The lines of an export, in JSON. `import/own` reads them.

use jid::{BareJid, DomainPart};
use jiff::Timestamp;
use serde::Serialize;

use crate::invite::{Invite, InviteId, Issuer, State, TokenHash};
use crate::invite_json::InviteJson;
use crate::store::Redeemed;

/// How many characters a token must have so that nobody can find it by its hash. The hash shows the
/// first three; 19 more of `[A-Za-z0-9_-]` have 114 bits.
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
        /// The time of the snapshot.
        exported_at: Timestamp,
        /// The host, if only one was exported.
        host: Option<&'a DomainPart>,
        /// The state of the invites, if only those in one state were exported.
        state: Option<State>,
    },
    /// An invite.
    Invite(InviteLine<'a>),
    /// A use of the invite before it.
    Use(&'a Redeemed),
    /// An account that joined by an invite and still exists.
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
    /// The last one. A file without it has been cut.
    End(Counts),
}

/// How many of each an export has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Invites.
    pub invites: u64,
    /// Uses of them.
    pub uses: u64,
    /// Accounts.
    pub accounts: u64,
}

/// An invite as scripts get it, with what else an import needs.
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
            token_hash: may_have_hash(invite).then(|| hexadecimal(&invite.token_hash)),
        }
    }
}

/// Whether the hash of an invite's token may be exported. With the hash of a short token, which
/// another program has made, anybody who has the file could try tokens until one matches.
pub fn may_have_hash(invite: &Invite) -> bool {
    invite.token_length.is_none_or(|length| length >= UNGUESSABLE_LENGTH)
}

fn hexadecimal(TokenHash(bytes): &TokenHash) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
