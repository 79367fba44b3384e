//! The command "New Account Invite" (XEP-0401 §3.2): for admins, with a form in which everything is optional.

use minidom::Element;

use super::command::Requester;
use super::form::{Submission, field, form as data_form, form_type};
use crate::invite::{InviteType, Issuer, username};
use crate::invites::{Error, Invites, Issued};
use crate::policy::{HostPolicy, Wish};
use crate::refusal::Refusal;

/// The node by which clients know the command.
pub const NODE: &str = "urn:xmpp:invite#create-account";

/// What can be chosen, and was so far.
pub fn form(policy: &HostPolicy, submission: &Submission) -> Element {
    let become_contacts = if submission.boolean("roster-subscription") == Some(true) { "1" } else { "0" };
    let expires = policy.expire_after.to_string();
    let chosen = |var, default| submission.text(var).unwrap_or(default);
    let fields = [
        form_type("urn:xmpp:invite#create-account"),
        field("username", "text-single", "Username (empty: the guest chooses)", chosen("username", "")),
        field("roster-subscription", "boolean", "Become contacts at once", become_contacts),
        field("expires", "text-single", "Valid for (such as 36h, 7d, 4w, never)", chosen("expires", &expires)),
        field("uses", "text-single", "How many accounts (a number, or unlimited)", chosen("uses", "1")),
        field("note", "text-single", "Note for yourself", chosen("note", "")),
    ];
    data_form("form", "New Account Invite", "Choose what the invitation allows. Every field may stay as it is.", fields)
}

/// Makes the invite that was filled in.
///
/// # Errors
/// If it is impossible, or not stored.
pub async fn run(requester: &Requester, submission: &Submission, invites: &Invites) -> Result<Issued, Error> {
    let impossible = |text: &str| Refusal::Impossible(text.to_owned());
    let become_contacts = submission
        .boolean("roster-subscription")
        .ok_or_else(|| impossible("\"Become contacts at once\" is yes or no (1 or 0)"))?;
    let invite_type = if become_contacts { InviteType::AccountAndContact } else { InviteType::Account };
    let mut wish = Wish::new(invite_type, requester.host(), Issuer::Admin);
    wish.inviter = Some(requester.account.clone());
    wish.username = submission.text("username").map(username).transpose()?;
    let lifetime = submission.text("expires").map(str::parse).transpose();
    wish.lifetime = lifetime.map_err(|error: crate::lifetime::BadLifetime| impossible(&error.to_string()))?;
    wish.max_uses = match submission.text("uses") {
        None => Some(1),
        Some("unlimited") => None,
        Some(number) => {
            let number = number.parse().map_err(|_| impossible("\"How many accounts\" is a number, or unlimited"))?;
            Some(number)
        }
    };
    wish.note = submission.text("note").map(str::to_owned);
    invites.create(wish).await
}
