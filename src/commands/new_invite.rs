//! The command "New Invite" (XEP-0401 §3.1): completes at once, with the host's defaults.

use super::command::{Audience, Command, Outcome};
use super::requester::Requester;
use crate::invite::{InviteType, Issuer};
use crate::invites::Error;
use crate::policy::{Change, Wish};
use crate::refusal::Refusal;

/// The command.
pub const COMMAND: Command = Command {
    node: "urn:xmpp:invite#invite",
    words: &[],
    name: |texts| &texts.new_invite,
    audience: Audience::Inviters,
    ask: None,
    run: |requester, _| Box::pin(async { make(requester, &Change::default()).await }),
};

/// Makes an invite to become the requester's contact and, if the requester may invite new users, to
/// register. An admin makes it with a user's rights if those are enough.
///
/// # Errors
/// If the requester may not invite, or the invite is not stored.
pub async fn make(requester: &Requester<'_>, chosen: &Change) -> Result<Outcome, Error> {
    let (best, admin) = (InviteType::AccountAndContact, requester.is_admin().await?);
    let known = requester.known().await?;
    let caps = requester.policy.caps(known);
    let wish = |invite_type, issuer| {
        let mut wish = wish(invite_type, issuer, requester, chosen);
        if issuer == Issuer::User {
            wish.lifetime.get_or_insert(requester.policy.expire_after.min(caps.max_expires));
        }
        wish
    };
    let beyond_caps = !caps.mistakes(chosen).is_empty();
    let first = match requester.policy.new_invite(known) {
        allowed if admin && (allowed != Ok(best) || beyond_caps) => wish(best, Issuer::Admin),
        allowed => wish(allowed?, Issuer::User),
    };
    let instead = |refusal: &Refusal| match refusal {
        // The chat server can never make an account, so the invite is for a contact only.
        Refusal::NoRegistrationHere(_) => Some(wish(InviteType::Contact, Issuer::User)),
        limit => (admin && limit.limit().is_some()).then(|| wish(best, Issuer::Admin)),
    };
    let made = requester.invites.create_or(first, instead).await?;
    Ok(Outcome::Invitation(Box::new(made)))
}

/// The requester's wish for an invite, with what was chosen.
pub fn wish(invite_type: InviteType, issuer: Issuer, requester: &Requester<'_>, chosen: &Change) -> Wish {
    let mut wish = Wish::new(invite_type, requester.host.clone(), issuer);
    (wish.inviter, wish.language) = (Some(requester.account.clone()), Some(requester.texts.code.clone()));
    wish.note = chosen.note.clone();
    wish.lifetime = chosen.expires;
    wish.max_uses = chosen.max_uses.unwrap_or(wish.max_uses);
    wish
}
