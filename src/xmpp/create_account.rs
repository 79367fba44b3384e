//! The command "New Account Invite" (XEP-0401 §3.2): for admins, with a form in which everything is optional.

use minidom::Element;

use super::command::Requester;
use super::form::{Submission, field, form as data_form, form_type};
use crate::invite::{InviteType, Issuer, username};
use crate::invites::{Error, Invites, Issued};
use crate::policy::{HostPolicy, Wish};
use crate::refusal::{Mistake, Refusal};
use crate::texts::Texts;

/// The node by which clients know the command.
pub const NODE: &str = "urn:xmpp:invite#create-account";

/// What can be chosen, and was so far.
pub fn form(policy: &HostPolicy, submission: &Submission, texts: &Texts) -> Element {
    let texts = &texts.command;
    let become_contacts = if submission.boolean("roster-subscription") == Some(true) { "1" } else { "0" };
    let expires = policy.expire_after.to_string();
    let chosen = |var, default| submission.text(var).unwrap_or(default);
    let fields = [
        form_type("urn:xmpp:invite#create-account"),
        field("username", "text-single", &texts.username, chosen("username", "")),
        field("roster-subscription", "boolean", &texts.become_contacts, become_contacts),
        field("expires", "text-single", &texts.expires, chosen("expires", &expires)),
        field("uses", "text-single", &texts.uses, chosen("uses", "1")),
        field("note", "text-single", &texts.note, chosen("note", "")),
    ];
    data_form("form", &texts.new_account_invite, &texts.account_instructions, fields)
}

/// Makes the invite that was filled in.
///
/// # Errors
/// If it is impossible, or not stored.
pub async fn run(requester: &Requester, submission: &Submission, invites: &Invites) -> Result<Issued, Error> {
    let become_contacts = submission.boolean("roster-subscription").ok_or(Refusal::Impossible(Mistake::NotYesOrNo))?;
    let invite_type = if become_contacts { InviteType::AccountAndContact } else { InviteType::Account };
    let mut wish = Wish::new(invite_type, requester.host(), Issuer::Admin);
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
    invites.create(wish).await
}
