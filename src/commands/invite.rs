//! The command "Invite with Options": like "New Invite", but the user chooses what the invite
//! allows.

use super::choices::Choices;
use super::command::{Argument, Audience, Command, Outcome, Word};
use super::form::{Form, Submission};
use super::new_invite::{make, wish};
use super::requester::Requester;
use crate::invite::{InviteType, Issuer};
use crate::invites::Error;
use crate::refusal::Refusal;

/// The command.
pub const COMMAND: Command = Command {
    node: "urn:easy-invite:command:invite",
    words: &[Word { text: |texts| &texts.chat.invite, chosen: &[], argument: Some(Argument::Text("note")) }],
    name: |texts| &texts.invite_with_options,
    audience: Audience::Inviters,
    ask: Some(|requester, submission| Box::pin(ask(requester, submission))),
    run: |requester, submission| Box::pin(run(requester, submission)),
};

async fn ask(requester: &Requester<'_>, submission: &Submission) -> Result<Outcome, Error> {
    let (caps, own) = (requester.caps().await?, &requester.texts.command);
    let choices = Choices { texts: requester.texts, caps, filled_in: submission };
    let usual = requester.policy.expire_after.min(caps.max_expires);
    let fields = [Some(choices.note("")), choices.expires(usual, None), choices.uses(1, None)];
    Ok(Outcome::Ask(Form {
        title: own.invite_with_options.clone(),
        instructions: own.account_instructions.clone(),
        fields: fields.into_iter().flatten().collect(),
    }))
}

/// Makes the invite that was filled in.
async fn run(requester: &Requester<'_>, submission: &Submission) -> Result<Outcome, Error> {
    let choices = Choices { texts: requester.texts, caps: requester.caps().await?, filled_in: submission };
    let (chosen, mut mistakes) = choices.chosen();
    let wish = wish(InviteType::AccountAndContact, Issuer::User, requester, &chosen);
    mistakes.extend(wish.mistakes().into_iter().chain(choices.caps.mistakes(&chosen)).map(Refusal::from));
    if !mistakes.is_empty() {
        return Err(Refusal::Several(mistakes).into());
    }
    make(requester, &chosen).await
}
