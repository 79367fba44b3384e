//! The command "New Invite" (XEP-0401 §3.1): completes at once, with the defaults of the host.

use minidom::Element;

use super::invitation;
use crate::invite::{InviteType, Issuer};
use crate::invites::{Error, Issued};
use crate::policy::Wish;
use crate::refusal::Refusal;
use crate::xmpp::requester::Requester;

/// The node by which clients know the command.
pub const NODE: &str = "urn:xmpp:invite#invite";

/// Makes an invite to become the requester's contact and, where the requester may, to register. An
/// admin's invite needs an admin's rights only if a user could not make it.
///
/// # Errors
/// If the requester may not invite, or the invite is not stored.
pub async fn run(requester: &Requester<'_>) -> Result<Element, Error> {
    let (best, admin) = (InviteType::AccountAndContact, requester.is_admin().await?);
    let as_admin = async || make(best, Issuer::Admin, requester).await;
    let made = match requester.policy.new_invite(requester.known().await?) {
        allowed if admin && allowed != Ok(best) => as_admin().await,
        allowed => match make(allowed?, Issuer::User, requester).await {
            Err(Error::Refused(refusal)) if admin && refusal.limit().is_some() => as_admin().await,
            made => made,
        },
    };
    let made = match made {
        // The chat server can never make an account: a contact is what is left.
        Err(Error::Refused(Refusal::NoRegistrationHere(_))) => make(InviteType::Contact, Issuer::User, requester).await,
        made => made,
    };
    Ok(invitation::result(&made?, requester.texts))
}

async fn make(invite_type: InviteType, issuer: Issuer, requester: &Requester<'_>) -> Result<Issued, Error> {
    let mut wish = Wish::new(invite_type, requester.host.clone(), issuer);
    wish.inviter = Some(requester.account.clone());
    requester.invites.create(wish).await
}
