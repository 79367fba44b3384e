//! The command "New Invite" (XEP-0401 §3.1): completes at once, with the defaults of the host.

use minidom::Element;

use super::invitation;
use crate::invite::Issuer;
use crate::invites::{Error, Issued};
use crate::policy::Wish;
use crate::xmpp::requester::Requester;

/// The node by which clients know the command.
pub const NODE: &str = "urn:xmpp:invite#invite";

/// Makes an invite to become the requester's contact and, where the host allows it, to register.
///
/// # Errors
/// If the host does not allow it, or the invite is not stored.
pub async fn run(requester: &Requester<'_>) -> Result<Element, Error> {
    // Asking the chat server for admins costs a round trip. Most hosts allow users as much.
    let restricted = !(requester.policy.allow_contact_invites && requester.policy.allow_user_invites);
    let admin = restricted && requester.is_admin().await;
    let issued = match make(admin, requester).await {
        Err(Error::Refused(refusal)) if refusal.is_limit_of_users() && requester.is_admin().await => {
            make(true, requester).await?
        }
        made => made?,
    };
    Ok(invitation::result(&issued, requester.texts))
}

async fn make(admin: bool, requester: &Requester<'_>) -> Result<Issued, Error> {
    let issuer = if admin { Issuer::Admin } else { Issuer::User };
    let mut wish = Wish::new(requester.policy.new_invite(admin)?, requester.host.clone(), issuer);
    wish.inviter = Some(requester.account.clone());
    requester.invites.create(wish).await
}
