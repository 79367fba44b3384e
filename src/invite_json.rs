//! An invite as JSON, as the command line prints it.

use jiff::Timestamp;
use serde::Serialize;

use crate::invite::{Invite, State};
use crate::invites::Issued;

/// An invite with its state at an instant. Scripts rely on the names of the fields. Instants are in
/// RFC 3339, UTC.
#[derive(Debug, Serialize)]
pub struct InviteJson<'a> {
    #[serde(flatten)]
    invite: &'a Invite,
    state: State,
    #[serde(flatten)]
    links: Option<Links<'a>>,
}

/// The token and the links. Only the command that makes them can print them: the store keeps a
/// hash.
#[derive(Debug, Serialize)]
struct Links<'a> {
    token: &'a str,
    uri: &'a str,
    landing_url: Option<&'a str>,
}

impl<'a> InviteJson<'a> {
    /// An invite without its links, with its state at this instant.
    pub fn new(invite: &'a Invite, now: Timestamp) -> Self {
        InviteJson { invite, state: invite.state(now), links: None }
    }

    /// A new invite with its links.
    pub fn issued(issued: &'a Issued, now: Timestamp) -> Self {
        let links =
            Links { token: issued.token.reveal(), uri: &issued.uri, landing_url: issued.landing_url.as_deref() };
        InviteJson { links: Some(links), ..InviteJson::new(&issued.invite, now) }
    }
}
