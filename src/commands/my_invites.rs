//! The command "My Invites": users see their invites, change and revoke them, and replace links.

use jid::BareJid;

use super::choices::Choices;
use super::command::{Argument, Audience, Command, Outcome, Word};
use super::form::{Field, Form, Submission, date_time};
use super::requester::Requester;
use crate::invite::{Invite, State};
use crate::invites::{By, Error, Shown};
use crate::links::Reference;
use crate::names;
use crate::refusal::Refusal;
use crate::texts::{Isolate, Texts, fill, one_line, shortened};

/// The command.
pub const COMMAND: Command = Command {
    node: "urn:easy-invite:command:my-invites",
    words: &[
        Word { text: |texts| &texts.chat.list, chosen: &[], argument: None },
        with_action(|texts| &texts.chat.show, &[("action", "show")]),
        with_action(|texts| &texts.chat.renew, &[("action", "regenerate")]),
        with_action(|texts| &texts.chat.revoke, &[("action", "revoke")]),
    ],
    name: |texts| &texts.my_invites,
    audience: Audience::Users,
    ask: Some(|requester, submission| Box::pin(ask(requester, &requester.account, submission))),
    run: |requester, submission| Box::pin(run(requester, &requester.account, submission)),
};

const fn with_action(text: fn(&Texts) -> &str, chosen: &'static [(&'static str, &'static str)]) -> Word {
    Word { text, chosen, argument: Some(Argument::Option("invite")) }
}

/// How many characters of a note a list shows.
const NOTE_IN_LIST: usize = 40;

/// How many of the accounts that have joined are shown.
const ACCOUNTS_SHOWN: usize = 20;

/// Asks what to do with which of an inviter's invites or, if that was chosen, what to change of it.
pub async fn ask(requester: &Requester<'_>, maker: &BareJid, submission: &Submission) -> Result<Outcome, Error> {
    if let Ok(Some(invite)) = chosen(submission)
        && (changes(submission) || submission.text("action") == Some("change"))
        && let Ok(shown) = requester.invites.show(&by(requester), invite).await
    {
        return change_form(requester, &shown.invite, submission).await;
    }
    list(requester, maker, submission).await
}

/// Does what was filled in.
pub async fn run(requester: &Requester<'_>, maker: &BareJid, submission: &Submission) -> Result<Outcome, Error> {
    let (invites, texts, by) = (requester.invites, requester.texts, by(requester));
    let Some(invite) = chosen(submission)? else { return list(requester, maker, submission).await };
    match submission.text("action") {
        Some("regenerate") => Ok(Outcome::Invitation(Box::new(invites.regenerate(&by, invite).await?))),
        Some("revoke") => {
            let invite = invites.revoke(&by, invite).await?;
            Ok(Outcome::Done(fill(&texts.command.revoke_done, &[("invite", &name(&invite, texts))])))
        }
        None | Some("change") if changes(submission) => {
            let choices = Choices { texts, caps: requester.caps().await?, filled_in: submission };
            let (change, mistakes) = choices.chosen();
            if !mistakes.is_empty() {
                return Err(Refusal::Several(mistakes).into());
            }
            let invite = invites.change(&by, invite, change).await?;
            let label = label(&invite, requester);
            Ok(Outcome::Done(fill(&texts.command.changed, &[("invite", &label)])))
        }
        None | Some("show") => Ok(Outcome::Result(details(&invites.show(&by, invite).await?, requester))),
        Some("change") => change_form(requester, &invites.show(&by, invite).await?.invite, submission).await,
        Some(_) => list(requester, maker, submission).await,
    }
}

fn by(requester: &Requester<'_>) -> By {
    By::Account(requester.account.clone())
}

/// The invite that was chosen. In a chat, its link may be written instead.
fn chosen(submission: &Submission) -> Result<Option<Reference>, Refusal> {
    submission.text("invite").map(|written| written.parse().map_err(|_| Refusal::Unknown)).transpose()
}

/// Does the submission have a field of the form that changes an invite?
fn changes(submission: &Submission) -> bool {
    ["note", "expires", "uses"].iter().any(|var| submission.has(var))
}

async fn list(requester: &Requester<'_>, maker: &BareJid, submission: &Submission) -> Result<Outcome, Error> {
    let own = &requester.texts.command;
    let invites = requester.invites.list_of_inviter(&by(requester), maker).await?;
    let options: Vec<_> = invites.iter().map(|invite| (invite.id.to_string(), label(invite, requester))).collect();
    let Some((first, _)) = options.first() else { return Ok(Outcome::Done(own.no_invites.clone())) };
    let is_listed = |id: &&str| options.iter().any(|(listed, _)| listed == id);
    let chosen = submission.text("invite").filter(is_listed).unwrap_or(first).to_owned();
    let actions =
        [("show", &own.show), ("regenerate", &own.regenerate), ("change", &own.change), ("revoke", &own.revoke)];
    let action = submission.text("action").filter(|action| actions.iter().any(|(known, _)| known == action));
    let actions = actions.map(|(action, label)| (action.to_owned(), label.clone()));
    let (invite, action) = (
        Field::list("invite", &own.invite, options, &chosen),
        Field::list("action", &own.action, actions, action.unwrap_or("show")),
    );
    let title = if *maker == requester.account { own.my_invites.clone() } else { maker.to_string() };
    let account = submission.has("accountjid").then(|| Field::hidden("accountjid", maker.as_str()));
    let fields = [Some(invite), Some(action), account].into_iter().flatten().collect();
    Ok(Outcome::Ask(Form { title, instructions: own.choose_invite.clone(), fields }))
}

/// Asks what to change. The form also has the note in a hidden field, to tell later whether the
/// user has changed it: somebody else may do so meanwhile.
async fn change_form(requester: &Requester<'_>, invite: &Invite, submission: &Submission) -> Result<Outcome, Error> {
    let own = &requester.texts.command;
    let choices = Choices { texts: requester.texts, caps: requester.caps().await?, filled_in: submission };
    let keep = |value: &str| Some(fill(&own.as_it_is, &[("value", value)]));
    let note = invite.note.as_deref().unwrap_or_default();
    let uses = match (&invite.username, invite.max_uses) {
        (Some(_), _) => None, // one use
        (None, Some(most)) => choices.uses(invite.uses.max(1), keep(&most.to_string())),
        (None, None) => choices.uses(invite.uses.max(1), keep(&own.unlimited)),
    };
    let fields = [
        Some(choices.note(note)),
        choices.expires(requester.policy.expire_after, keep(&end(invite, requester))),
        uses,
        Some(Field::hidden("invite", invite.id.as_str())),
        Some(Field::hidden(
            "before",
            if submission.has("before") { submission.text("before").unwrap_or_default() } else { note },
        )),
    ];
    Ok(Outcome::Ask(Form {
        title: name(invite, requester.texts),
        instructions: own.choose_change.clone(),
        fields: fields.into_iter().flatten().collect(),
    }))
}

/// An invite and the accounts that have joined with it, to read.
fn details(shown: &Shown, requester: &Requester<'_>) -> Form {
    let (invite, texts, own) = (&shown.invite, requester.texts, &requester.texts.command);
    let state = state(invite, requester);
    let mut accounts: Vec<_> = shown.accounts.iter().take(ACCOUNTS_SHOWN).map(|(jid, _)| names::shown(jid)).collect();
    accounts.extend((shown.accounts.len() > ACCOUNTS_SHOWN).then(|| "…".to_owned()));
    let joined = (!accounts.is_empty()).then(|| Field::text("accounts", &own.joined, &accounts.join(", ")));
    let fields = [
        Some(Field::text("state", &own.state, state)),
        Some(Field::text("created", &own.created, &date_time(invite.created_at))),
        invite.expires_at.map(|end| Field::text("expire", &own.ends, &date_time(end))),
        Some(Field::text("uses", &own.uses, &used(invite, texts))),
        joined,
        invite.note.as_deref().map(|note| Field::text("note", &own.note, &one_line(note))),
        Some(Field::text("id", &own.id, invite.id.as_str())),
    ];
    Form { title: name(invite, texts), instructions: String::new(), fields: fields.into_iter().flatten().collect() }
}

/// An invite in a list.
fn label(invite: &Invite, requester: &Requester<'_>) -> String {
    let texts = requester.texts;
    [name(invite, texts), used(invite, texts), end(invite, requester)].join(" · ")
}

/// The name of an invite for people: its note, or else the day it was made.
fn name(invite: &Invite, texts: &Texts) -> String {
    let note = invite.note.as_deref().map(one_line).unwrap_or_default();
    let short = shortened(&note, NOTE_IN_LIST);
    match short.as_str() {
        "" => texts.day(invite.created_at),
        ascii if ascii.is_ascii() => short,
        _ => format!("{}{short}{}", Isolate::OWN, Isolate::END),
    }
}

fn used(invite: &Invite, texts: &Texts) -> String {
    let (own, uses) = (&texts.command, invite.uses.to_string());
    match invite.max_uses {
        Some(most) => fill(&own.used, &[("uses", &uses), ("most", &most.to_string())]),
        None => fill(&own.used_of_any, &[("uses", &uses)]),
    }
}

/// The state of an invite, in words.
fn state<'a>(invite: &Invite, requester: &Requester<'a>) -> &'a str {
    let own = &requester.texts.command;
    match invite.state(requester.invites.now()) {
        State::Pending => &own.pending,
        State::Redeemed => &own.redeemed,
        State::Expired => &own.expired,
        State::Revoked => &own.revoked,
    }
}

/// When an invite expires or, if it has ended, its state.
fn end(invite: &Invite, requester: &Requester<'_>) -> String {
    let (texts, own) = (requester.texts, &requester.texts.command);
    match (invite.state(requester.invites.now()), invite.expires_at) {
        (State::Pending, Some(end)) => fill(&own.until, &[("when", &texts.day(end))]),
        (State::Pending, None) => own.endless.clone(),
        _ => state(invite, requester).to_owned(),
    }
}
