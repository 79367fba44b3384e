//! The command "Somebody's Invites": for admins, who see and do with the invites of an account what
//! its user can.

use super::command::{Audience, Command, Outcome};
use super::form::{Field, Form, Submission};
use super::my_invites;
use super::password_reset::account;
use super::requester::Requester;
use crate::invites::Error;

/// The command.
pub const COMMAND: Command = Command {
    node: "urn:easy-invite:command:invites-of",
    words: &[],
    name: |texts| &texts.invites_of,
    audience: Audience::Admins,
    ask: Some(|requester, submission| Box::pin(ask(requester, submission))),
    run: |requester, submission| Box::pin(my_invites::run(requester, account(requester, submission), submission)),
};

async fn ask(requester: &Requester<'_>, submission: &Submission) -> Result<Outcome, Error> {
    match account(requester, submission) {
        Err(_) if !submission.has("invite") => {
            let own = &requester.texts.command;
            let typed = submission.text("accountjid").unwrap_or_default();
            Ok(Outcome::Ask(Form {
                title: own.invites_of.clone(),
                instructions: own.choose_account.clone(),
                fields: vec![Field::text("accountjid", &own.account, typed)],
            }))
        }
        maker => my_invites::ask(requester, &maker.unwrap_or(requester.account.clone()), submission).await,
    }
}
