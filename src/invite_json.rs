//! An invite in JSON, as the command line prints it.

use jiff::Timestamp;
use serde::Serialize;

use crate::invite::{Invite, InviteType, State};
use crate::invites::Issued;

/// The fields of an invite. Scripts rely on their names. Instants are RFC 3339 in UTC.
#[derive(Debug, Serialize)]
pub struct InviteJson<'a> {
    id: &'a str,
    r#type: InviteType,
    state: State,
    host: &'a str,
    username: Option<&'a str>,
    inviter: Option<&'a str>,
    roles: &'a [String],
    groups: &'a [String],
    note: Option<&'a str>,
    max_uses: Option<u32>,
    uses: u32,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
    #[serde(flatten)]
    links: Option<Links<'a>>,
}

/// The secret, which only the command that makes the invite can print: the store keeps a hash.
#[derive(Debug, Serialize)]
struct Links<'a> {
    token: &'a str,
    uri: &'a str,
    landing_url: Option<&'a str>,
}

impl<'a> InviteJson<'a> {
    /// An invite without its secret, in its state at this instant.
    pub fn new(invite: &'a Invite, now: Timestamp) -> Self {
        InviteJson {
            id: invite.id.as_str(),
            r#type: invite.invite_type,
            state: invite.state(now),
            host: invite.host.as_str(),
            username: invite.username.as_ref().map(|node| node.as_str()),
            inviter: invite.inviter.as_ref().map(|jid| jid.as_str()),
            roles: &invite.roles,
            groups: &invite.groups,
            note: invite.note.as_deref(),
            max_uses: invite.max_uses,
            uses: invite.uses,
            created_at: invite.created_at,
            expires_at: invite.expires_at,
            revoked_at: invite.revoked_at,
            links: None,
        }
    }

    /// A new invite, with its links.
    pub fn issued(issued: &'a Issued, now: Timestamp) -> Self {
        let links =
            Links { token: issued.token.reveal(), uri: &issued.uri, landing_url: issued.landing_url.as_deref() };
        InviteJson { links: Some(links), ..InviteJson::new(&issued.invite, now) }
    }
}
