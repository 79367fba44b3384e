//! The command "New Account Invite" (XEP-0401 §3.2): for admins, with a form whose fields are all
//! optional.

use minidom::Element;

use super::invitation;
use crate::invite::{InviteType, Issuer, username};
use crate::invites::Error;
use crate::policy::Wish;
use crate::refusal::{Mistake, Refusal};
use crate::xmpp::form::{self, Submission, field, form_type};
use crate::xmpp::requester::Requester;

/// The node by which clients know the command.
pub const NODE: &str = "urn:xmpp:invite#create-account";

/// The form, with what was filled in so far.
pub fn form(requester: &Requester, submission: &Submission) -> Element {
    let texts = &requester.texts.command;
    let become_contacts = if submission.boolean("roster-subscription") == Some(true) { "1" } else { "0" };
    let expires = requester.policy.expire_after.to_string();
    let filled_in = |var, default| submission.text(var).unwrap_or(default);
    let fields = [
        form_type(NODE),
        field("username", "text-single", &texts.username, filled_in("username", "")),
        field("roster-subscription", "boolean", &texts.become_contacts, become_contacts),
        field("expires", "text-single", &texts.expires, filled_in("expires", &expires)),
        field("uses", "text-single", &texts.uses, filled_in("uses", "1")),
        field("note", "text-single", &texts.note, filled_in("note", "")),
    ];
    form::form("form", &texts.new_account_invite, &texts.account_instructions, fields)
}

/// Makes the invite that was filled in.
///
/// # Errors
/// If a field has an impossible value, or the invite is not stored.
pub async fn run(requester: &Requester<'_>, submission: &Submission) -> Result<Element, Error> {
    let become_contacts = submission.boolean("roster-subscription").ok_or(Refusal::Impossible(Mistake::NotYesOrNo))?;
    let invite_type = if become_contacts { InviteType::AccountAndContact } else { InviteType::Account };
    let mut wish = Wish::new(invite_type, requester.host.clone(), Issuer::Admin);
    wish.inviter = Some(requester.account.clone());
    wish.username = submission.text("username").map(username).transpose()?;
    let lifetime = submission.text("expires").map(str::parse).transpose();
    wish.lifetime = lifetime.map_err(|error| Refusal::Impossible(Mistake::BadLifetime(error)))?;
    wish.max_uses = match submission.text("uses") {
        None => Some(1),
        Some("unlimited") => None,
        Some(number) => Some(number.parse().map_err(|_| Refusal::Impossible(Mistake::BadUses))?),
    };
    wish.note = submission.text("note").map(str::to_owned);
    let issued = requester.invites.create(wish).await?;
    Ok(invitation::result(&issued, requester.texts))
}
