//! The command "Somebody's Invites": for admins, who can do with the invites of an account what its
//! user can do with "My Invites".

use jid::BareJid;

use super::command::{Audience, Command, Outcome};
use super::form::{Field, Form, Submission};
use super::my_invites;
use super::password_reset::account;
use super::requester::Requester;
use crate::invites::Error;
use crate::refusal::Refusal;

/// The command.
pub const COMMAND: Command = Command {
    node: "urn:easy-invite:command:invites-of",
    words: &[],
    name: |texts| &texts.invites_of,
    audience: Audience::Admins,
    ask: Some(|requester, submission| Box::pin(ask(requester, submission))),
    run: |requester, submission| Box::pin(run(requester, submission)),
};

async fn ask(requester: &Requester<'_>, submission: &Submission) -> Result<Outcome, Error> {
    let Ok(maker) = maker(requester, submission) else {
        let own = &requester.texts.command;
        let typed = submission.text("accountjid").unwrap_or_default();
        return Ok(Outcome::Ask(Form {
            title: own.invites_of.clone(),
            instructions: own.choose_account.clone(),
            fields: vec![Field::text("accountjid", &own.account, typed)],
        }));
    };
    my_invites::ask(requester, &maker, submission).await
}

async fn run(requester: &Requester<'_>, submission: &Submission) -> Result<Outcome, Error> {
    my_invites::run(requester, &maker(requester, submission)?, submission).await
}

/// The account whose invites the admin has asked for. The form that changes an invite does not name
/// it, so then this returns the admin's own account.
fn maker(requester: &Requester<'_>, submission: &Submission) -> Result<BareJid, Refusal> {
    let names_an_invite = !submission.has("accountjid") && submission.has("invite");
    if names_an_invite { Ok(requester.account.clone()) } else { account(requester, submission) }
}
