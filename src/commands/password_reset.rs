//! The command "Password Reset Link": for admins. Its node is that of Prosody's mod_invites_adhoc.

use std::future::ready;

use jid::BareJid;

use super::command::{Audience, Command, Outcome};
use super::form::{Field, Form, Submission};
use super::requester::Requester;
use crate::invite::{InviteType, Issuer, username};
use crate::invites::Error;
use crate::jids;
use crate::policy::Wish;
use crate::refusal::{Mistake, Refusal};

/// The command.
pub const COMMAND: Command = Command {
    node: "xmpp:prosody.im/mod_invites_adhoc#password-reset",
    words: &[],
    name: |texts| &texts.password_reset_link,
    audience: Audience::Admins,
    ask: Some(|requester, submission| Box::pin(ready(Ok(Outcome::Ask(form(requester, submission)))))),
    run: |requester, submission| Box::pin(run(requester, submission)),
};

/// The form, which asks for the account.
fn form(requester: &Requester, submission: &Submission) -> Form {
    let texts = &requester.texts.command;
    let typed = submission.text("accountjid").unwrap_or_default();
    Form {
        title: texts.password_reset_link.clone(),
        instructions: texts.reset_instructions.clone(),
        fields: vec![Field::text("accountjid", &texts.account, typed)],
    }
}

/// Makes the link.
///
/// # Errors
/// If the account is not one of this host's, or the link is not stored.
async fn run(requester: &Requester<'_>, submission: &Submission) -> Result<Outcome, Error> {
    let account = account(requester, submission)?;
    let mut wish = Wish::new(InviteType::PasswordReset, requester.host.clone(), Issuer::Admin);
    wish.username = account.node().map(ToOwned::to_owned);
    wish.inviter = Some(requester.account.clone());
    Ok(Outcome::Invitation(Box::new(requester.invites.create(wish).await?)))
}

/// The account that was typed, as an address or a username of the requester's host.
///
/// # Errors
/// If it is no account of that host.
pub fn account(requester: &Requester<'_>, submission: &Submission) -> Result<BareJid, Refusal> {
    let host = requester.host;
    let expected = || Refusal::Impossible(Mistake::NoAccount(host.to_string()));
    let typed = submission.text("accountjid").ok_or_else(expected)?;
    let account = match typed.contains('@') {
        true => jids::account(typed).map_err(|_| expected())?,
        false => BareJid::from_parts(Some(&username(typed)?), host),
    };
    match account.node().is_some() && account.domain() == &**host {
        true => Ok(account),
        false => Err(Refusal::NoSuchAccount(account.to_string())),
    }
}
