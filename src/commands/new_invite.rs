//! The command "New Invite" (XEP-0401 §3.1): completes at once, with the defaults of the host.

use super::command::{Audience, Command, Outcome};
use super::requester::Requester;
use crate::invite::{InviteType, Issuer};
use crate::invites::{Error, Issued};
use crate::policy::Wish;
use crate::refusal::Refusal;

/// The command.
pub const COMMAND: Command = Command {
    node: "urn:xmpp:invite#invite",
    words: &[],
    name: |texts| &texts.new_invite,
    audience: Audience::Inviters,
    ask: None,
    run: |requester, _| Box::pin(run(requester)),
};

/// Makes an invite to become the requester's contact and, where the requester may, to register. An
/// admin's invite needs an admin's rights only if a user could not make it.
///
/// # Errors
/// If the requester may not invite, or the invite is not stored.
async fn run(requester: &Requester<'_>) -> Result<Outcome, Error> {
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
    Ok(Outcome::Invitation(Box::new(made?)))
}

async fn make(invite_type: InviteType, issuer: Issuer, requester: &Requester<'_>) -> Result<Issued, Error> {
    let mut wish = Wish::new(invite_type, requester.host.clone(), issuer);
    (wish.inviter, wish.language) = (Some(requester.account.clone()), Some(requester.texts.code.clone()));
    requester.invites.create(wish).await
}
