//! The command "New Account Invite" (XEP-0401 §3.2): for admins, with a form whose fields are all
//! optional.

use std::collections::BTreeSet;
use std::future::ready;

use super::command::{Audience, Command, Outcome};
use super::form::{Field, Form, Submission};
use super::requester::Requester;
use crate::invite::{InviteType, Issuer, username};
use crate::invites::Error;
use crate::jids;
use crate::lifetime::Lifetime;
use crate::policy::Wish;
use crate::refusal::{Mistake, Refusal};
use crate::texts::{Texts, folded};

/// The command.
pub const COMMAND: Command = Command {
    node: "urn:xmpp:invite#create-account",
    words: &[],
    name: |texts| &texts.new_account_invite,
    audience: Audience::Admins,
    ask: Some(|requester, submission| Box::pin(ready(Ok(Outcome::Ask(form(requester, submission)))))),
    run: |requester, submission| Box::pin(run(requester, submission)),
};

/// What stands for any number of uses.
const UNLIMITED: &str = "unlimited";

/// The lifetimes to choose from, besides the host's default.
const LIFETIMES: [&str; 6] = ["1h", "1d", "7d", "4w", "365d", "never"];

/// The numbers of uses to choose from, besides any.
const USES: [u32; 6] = [1, 2, 5, 10, 20, 100];

/// The form, with what was filled in so far.
fn form(requester: &Requester, submission: &Submission) -> Form {
    let (texts, own, default) = (requester.texts, &requester.texts.command, requester.policy.expire_after);
    let become_contacts = submission.boolean("roster-subscription") == Some(true);
    let lifetime = lifetime(submission, texts).ok().flatten().unwrap_or(default);
    let lifetimes = LIFETIMES.into_iter().filter_map(|text| text.parse().ok());
    let lifetimes: BTreeSet<Lifetime> = lifetimes.chain([default, lifetime]).collect();
    let lifetimes = lifetimes.into_iter().map(|lifetime| (lifetime.to_string(), lifetime.in_words(texts)));
    let max_uses = max_uses(submission, texts).unwrap_or(Some(1));
    let numbers: BTreeSet<u32> = USES.into_iter().chain(max_uses).collect();
    let uses = numbers.into_iter().map(|number| (number.to_string(), number.to_string()));
    let uses = uses.chain([(UNLIMITED.to_owned(), own.unlimited.clone())]);
    let chosen = max_uses.map_or(UNLIMITED.to_owned(), |number| number.to_string());
    let fields = vec![
        Field::text("username", &own.username, submission.text("username").unwrap_or_default()),
        Field::boolean("roster-subscription", &own.become_contacts, become_contacts),
        Field::list("expires", &own.expires, lifetimes, &lifetime.to_string()),
        Field::list("uses", &own.uses, uses, &chosen),
        Field::text("note", &own.note, submission.text("note").unwrap_or_default()),
    ];
    Form { title: own.new_account_invite.clone(), instructions: own.account_instructions.clone(), fields }
}

/// Makes the invite that was filled in.
///
/// # Errors
/// If fields have impossible values (all of them are named), or the invite is not stored.
async fn run(requester: &Requester<'_>, submission: &Submission) -> Result<Outcome, Error> {
    let texts = requester.texts;
    let mut mistakes: Vec<Refusal> = Vec::new();
    let become_contacts = submission.boolean("roster-subscription").unwrap_or_else(|| {
        mistakes.push(Mistake::NotYesOrNo.into());
        false
    });
    let invite_type = if become_contacts { InviteType::AccountAndContact } else { InviteType::Account };
    let mut wish = Wish::new(invite_type, requester.host.clone(), Issuer::Admin);
    (wish.inviter, wish.language) = (Some(requester.account.clone()), Some(requester.texts.code.clone()));
    let typed = submission.text("username").map(|typed| jids::without_host(typed, requester.host));
    match typed.map(username).transpose() {
        Ok(username) => wish.username = username,
        Err(refusal) => mistakes.push(refusal),
    }
    match lifetime(submission, texts) {
        Ok(lifetime) => wish.lifetime = lifetime,
        Err(mistake) => mistakes.push(mistake.into()),
    }
    match max_uses(submission, texts) {
        Ok(max_uses) => wish.max_uses = max_uses,
        Err(mistake) => mistakes.push(mistake.into()),
    }
    wish.note = submission.text("note").map(str::to_owned);
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

/// The lifetime that was chosen, or typed where a client allows that. `None`: the host's default.
fn lifetime(submission: &Submission, texts: &Texts) -> Result<Option<Lifetime>, Mistake> {
    let typed = submission.text("expires").map(|text| Lifetime::typed(text, texts));
    typed.transpose().map_err(Mistake::BadLifetime)
}

/// How many accounts were chosen or typed. `None`: any number.
fn max_uses(submission: &Submission, texts: &Texts) -> Result<Option<u32>, Mistake> {
    let Some(text) = submission.text("uses").map(folded) else { return Ok(Some(1)) };
    let unlimited = [UNLIMITED, &texts.command.unlimited, &Texts::english().command.unlimited];
    match unlimited.iter().any(|words| folded(words) == text) {
        true => Ok(None),
        false => text.parse().ok().filter(|number| *number > 0).map(Some).ok_or(Mistake::BadUses),
    }
}
