//! The command "New Account Invite" (XEP-0401 §3.2): for admins, with a form whose fields are all
//! optional.

use std::future::ready;

use super::choices::Choices;
use super::command::{Audience, Command, Outcome};
use super::form::{Field, Form, Submission};
use super::new_invite::wish;
use super::requester::Requester;
use crate::invite::{InviteType, Issuer, username};
use crate::invites::Error;
use crate::jids;
use crate::policy::{Caps, Wish};
use crate::refusal::{Mistake, Refusal};

/// The command.
pub const COMMAND: Command = Command {
    node: "urn:xmpp:invite#create-account",
    words: &[],
    name: |texts| &texts.new_account_invite,
    audience: Audience::Admins,
    ask: Some(|requester, submission| Box::pin(ready(Ok(Outcome::Ask(form(requester, submission)))))),
    run: |requester, submission| Box::pin(run(requester, submission)),
};

/// The form, with what was filled in so far.
fn form(requester: &Requester, submission: &Submission) -> Form {
    let own = &requester.texts.command;
    let become_contacts = submission.boolean("roster-subscription") == Some(true);
    let choices = Choices { texts: requester.texts, caps: Caps::NONE, filled_in: submission };
    let fields = [
        Some(Field::text("username", &own.username, submission.text("username").unwrap_or_default())),
        Some(Field::boolean("roster-subscription", &own.become_contacts, become_contacts)),
        choices.expires(requester.policy.expire_after, None),
        choices.uses(1, None),
        Some(choices.note("")),
    ];
    let fields = fields.into_iter().flatten().collect();
    Form { title: own.new_account_invite.clone(), instructions: own.account_instructions.clone(), fields }
}

/// Makes the invite that was filled in.
///
/// # Errors
/// If fields have impossible values (the error names all of them), or the invite is not stored.
async fn run(requester: &Requester<'_>, submission: &Submission) -> Result<Outcome, Error> {
    let choices = Choices { texts: requester.texts, caps: Caps::NONE, filled_in: submission };
    let (chosen, mut mistakes) = choices.chosen();
    let become_contacts = submission.boolean("roster-subscription").unwrap_or_else(|| {
        mistakes.push(Mistake::NotYesOrNo.into());
        false
    });
    let invite_type = if become_contacts { InviteType::AccountAndContact } else { InviteType::Account };
    let mut wish = wish(invite_type, Issuer::Admin, requester, &chosen);
    let typed = submission.text("username").map(|typed| jids::without_host(typed, requester.host));
    match typed.map(username).transpose() {
        Ok(username) => wish.username = username,
        Err(refusal) => mistakes.push(refusal),
    }
    mistakes.extend(wish.mistakes().into_iter().map(Refusal::from));
    if !mistakes.is_empty() {
        wish = Wish { max_uses: Some(1), note: None, ..wish };
        match requester.invites.admit(wish).await {
            Err(Error::Refused(refusal)) => mistakes.push(refusal),
            admitted => admitted?,
        }
        return Err(Refusal::Several(mistakes).into());
    }
    Ok(Outcome::Invitation(Box::new(requester.invites.create(wish).await?)))
}
