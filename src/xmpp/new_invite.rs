//! The command "New Invite" (XEP-0401 §3.1): completes at once, with the defaults of the host.

use jiff::Timestamp;
use minidom::Element;

use super::command::Requester;
use super::form::{field, form, form_type};
use crate::invite::Issuer;
use crate::invites::{Error, Invites, Issued};
use crate::policy::Wish;
use crate::texts::Texts;

/// The node by which clients know the command.
pub const NODE: &str = "urn:xmpp:invite#invite";

/// Makes an invite to become the requester's contact and, where the host allows it, to register.
///
/// # Errors
/// If the requester may not, or it is not stored.
pub async fn run(requester: &Requester, invites: &Invites) -> Result<Issued, Error> {
    let policy = requester.policy(invites)?;
    // Whether somebody is an admin is worth a question only where it makes a difference.
    let plain = policy.allow_contact_invites && policy.allow_user_invites;
    let admin = !plain && requester.is_admin(invites).await;
    match make(admin, requester, invites).await {
        Err(Error::Refused(refusal)) if refusal.is_limit_of_users() && requester.is_admin(invites).await => {
            make(true, requester, invites).await
        }
        made => made,
    }
}

async fn make(admin: bool, requester: &Requester, invites: &Invites) -> Result<Issued, Error> {
    let issuer = if admin { Issuer::Admin } else { Issuer::User };
    let invite_type = requester.policy(invites)?.new_invite(admin)?;
    let mut wish = Wish::new(invite_type, requester.host(), issuer);
    wish.inviter = Some(requester.account.clone());
    invites.create(wish).await
}

/// The result of every command that makes an invite (XEP-0401 §3.1.1).
pub fn result(issued: &Issued, texts: &Texts) -> Element {
    let texts = &texts.command;
    let mut fields = vec![form_type("urn:xmpp:invite#invitation")];
    fields
        .extend(issued.landing_url.as_deref().map(|url| field("landing-url", "text-single", &texts.landing_url, url)));
    fields.push(field("uri", "text-single", &texts.uri, &issued.uri));
    fields.extend(
        issued.invite.expires_at.map(|end| field("expire", "text-single", &texts.valid_until, &date_time(end))),
    );
    form("result", &texts.result, &texts.result_instructions, fields)
}

/// An instant as `YYYY-MM-DDThh:mm:ssZ` (XEP-0082 §3.2): one client's parser takes no fractions.
pub fn date_time(instant: Timestamp) -> String {
    instant.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
