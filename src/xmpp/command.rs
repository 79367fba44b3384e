//! Ad-hoc commands (XEP-0050): the rules by which commands are run with data forms.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use minidom::Element;
use xmpp_parsers::stanza_error::{DefinedCondition, ErrorType, StanzaError};

use super::form::{data_form, is_cancelled, submission};
use super::stanza::{element, error_in, in_language, ns, with, with_text};
use super::stanza_error::{stanza_error, try_again};
use crate::commands::{COMMANDS, Command, Field, Form, Kind, Outcome, Requester, Submission, invitation};
use crate::invite::nonce;
use crate::invites::Error;
use crate::refusal::{Mistake, Refusal};
use crate::texts::{Texts, fill};

/// How long a session stays open. Some clients never cancel, so sessions end by themselves.
const SESSION_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// How many sessions an account may have open. One more closes the oldest.
const MAX_SESSIONS_EACH: usize = 16;

/// How many sessions may be open in all, at some 300 bytes and a form's hidden values each.
const MAX_SESSIONS: usize = 10_000;

/// The command of a node.
///
/// # Errors
/// `item-not-found` if there is none.
pub fn of_node(node: &str, texts: &Texts) -> Result<&'static Command, StanzaError> {
    let found = COMMANDS.iter().find(|command| command.node == node);
    let unknown = || error_in(texts, ErrorType::Cancel, DefinedCondition::ItemNotFound, &texts.command.unknown);
    found.ok_or_else(unknown)
}

/// Whether the requester may run the command.
///
/// # Errors
/// A stanza error if the chat server does not answer.
pub async fn is_open(command: &Command, requester: &Requester<'_>) -> Result<bool, StanzaError> {
    command.open_to(requester).await.map_err(|cause| stanza_error(&cause, requester.texts))
}

/// Answers a `<command/>`.
///
/// # Errors
/// A stanza error if there is no such command, the requester may not run it, the request breaks the
/// rules (XEP-0050 §4), or a command without a form fails.
pub async fn execute(
    payload: &Element,
    requester: &Requester<'_>,
    sessions: &Sessions,
) -> Result<Element, StanzaError> {
    let texts = requester.texts;
    let malformed =
        || bad_request("malformed-action", Texts::english(), "A command has a node, and an action of XEP-0050 if any");
    let command = of_node(payload.attr("node").ok_or_else(malformed)?, texts)?;
    let cancels = match payload.attr("action") {
        None | Some("execute" | "next" | "complete") => is_cancelled(payload),
        Some("cancel") => true,
        Some("prev") => return Err(bad_request("bad-action", texts, &texts.command.no_step_back)),
        Some(_) => return Err(malformed()),
    };
    if !is_open(command, requester).await? {
        return Err(error_in(texts, ErrorType::Auth, DefinedCondition::Forbidden, &texts.command.forbidden));
    }
    let (id, kept) = match payload.attr("sessionid") {
        // The session is closed before the command runs, so of two submissions at once, only one
        // finds it.
        Some(id) => match sessions.close(id, requester.full_jid, command.node) {
            Some(kept) => (id.to_owned(), kept),
            None => return Err(bad_request("bad-sessionid", texts, &texts.command.finished)),
        },
        // The id is no secret: only its requester can use it.
        None => (nonce().map_err(|_| try_again(texts))?, Submission::default()),
    };
    if cancels {
        return Ok(reply(command, &id, "canceled", texts));
    }
    let submitted = submission(payload);
    let first = command.ask.filter(|_| submitted.is_none());
    let filled_in = kept.and(submitted.unwrap_or_default());
    let outcome = match first {
        Some(ask) => ask(requester, &filled_in).await,
        None => command.run(requester, &filled_in).await,
    };
    let completed = |with_this| with(reply(command, &id, "completed", texts), [with_this]);
    let result = |name, form: &Form| completed(data_form("result", name, form));
    let cause = match outcome {
        Ok(Outcome::Ask(form)) => return ask_for(&form, command, &id, requester, sessions),
        Ok(Outcome::Invitation(issued)) => {
            let mut form = invitation(&issued, texts);
            let service = requester.invites.settings().component.as_str();
            form.instructions += &format!(" {}", fill(&texts.contact.yours, &[("service", service)]));
            return Ok(result(ns::INVITATION, &form));
        }
        Ok(Outcome::Result(form)) => return Ok(result(command.node, &form)),
        Ok(Outcome::Done(text)) => return Ok(completed(note("info", &text))),
        Err(cause) => cause,
    };
    // The buttons of mobile clients show a stanza error, but no note.
    let Some(ask) = command.ask else { return Err(stanza_error(&cause, texts)) };
    if let Error::Refused(refusal) = &cause
        && let Ok(Outcome::Ask(form)) = ask(requester, &filled_in).await
        && let Some(form) = with_mistakes(form, refusal.each(), texts)
    {
        return ask_for(&form, command, &id, requester, sessions);
    }
    // For commands with forms, some clients show a note, but no stanza error.
    let text = stanza_error(&cause, texts).texts.into_values().next().unwrap_or_default();
    Ok(completed(note("error", &text)))
}

fn note(kind: &str, text: &str) -> Element {
    with_text(element!(ns::COMMANDS, "note", "type" = kind), text)
}

fn reply(command: &Command, session: &str, status: &str, texts: &Texts) -> Element {
    let reply = element!(ns::COMMANDS, "command", "node" = command.node, "sessionid" = session, "status" = status);
    in_language(reply, texts)
}

/// Sends a form, and opens a session for its submission. The session keeps the form's hidden
/// values: the client need not send them back, and cannot change them.
fn ask_for(
    form: &Form,
    command: &Command,
    id: &str,
    requester: &Requester,
    sessions: &Sessions,
) -> Result<Element, StanzaError> {
    let reply = reply(command, id, "executing", requester.texts);
    let kept = form.fields.iter().filter(|field| field.kind == Kind::Hidden);
    let kept = kept.map(|field| (field.var.as_str(), field.value.as_str())).collect();
    if !sessions.open(id.to_owned(), requester.full_jid, command.node, kept) {
        return Err(try_again(requester.texts));
    }
    // Without actions, one client shows no buttons.
    let actions = with(element!(ns::COMMANDS, "actions", "execute" = "complete"), [element!(ns::COMMANDS, "complete")]);
    Ok(with(reply, [actions, data_form("form", command.node, form)]))
}

/// The form again, and below it what is wrong: one client numbers the fields, so their order stays.
/// Each problem is a field of its own, since one client shows only one line of a text. `None` if
/// nothing in the form can be corrected.
fn with_mistakes(mut form: Form, refusals: &[Refusal], texts: &Texts) -> Option<Form> {
    let line = |refusal: &Refusal| {
        let is_about = |field: &Field| field.kind != Kind::Hidden && vars(refusal).contains(&field.var.as_str());
        let position = form.fields.iter().position(is_about);
        // The label without its hint in brackets.
        let label = position.and_then(|position| form.fields.get(position)?.label.split(" (").next());
        let problem = refusal.text(texts);
        let named = label.map(|label| [("field", label), ("problem", &problem)]);
        (position, named.map_or(problem.clone(), |named| fill(&texts.command.please_correct, &named)))
    };
    let mut lines: Vec<_> = refusals.iter().map(line).collect();
    lines.sort();
    let var = |at| if at == 0 { "error".to_owned() } else { format!("error{}", at + 1) };
    form.fields.extend(lines.iter().enumerate().map(|(at, (_, line))| Field::fixed(&var(at), line)));
    lines.iter().any(|(position, _)| position.is_some()).then_some(form)
}

/// The names of the fields that a refusal may be about.
fn vars(refusal: &Refusal) -> &'static [&'static str] {
    match refusal {
        Refusal::UsernameTaken
        | Refusal::UsernameReserved
        | Refusal::SystemUsername(_)
        | Refusal::UsernameRefused(..)
        | Refusal::AdminUsername(_) => &["username"],
        Refusal::InvalidUsername(_) => &["username", "accountjid"],
        Refusal::Unknown | Refusal::Expired | Refusal::Revoked | Refusal::UsedUp => &["invite"],
        Refusal::NoSuchAccount(_) | Refusal::AccountDisabled(_) | Refusal::AccountAbove(_) => &["accountjid"],
        Refusal::Impossible(mistake) => match mistake {
            Mistake::NotYesOrNo => &["roster-subscription"],
            Mistake::BadLifetime(_) | Mistake::LongLife { .. } => &["expires"],
            Mistake::BadUses
            | Mistake::NoUses
            | Mistake::UsernameForMany
            | Mistake::ManyUses { .. }
            | Mistake::UsesTaken { .. } => &["uses"],
            Mistake::LongNote { .. } | Mistake::NoteNotPlain => &["note"],
            Mistake::NoAccount(_) => &["accountjid"],
            _ => &[],
        },
        _ => &[],
    }
}

/// A `bad-request` with the condition that XEP-0050 §4 adds to it.
fn bad_request(condition: &str, texts: &Texts, text: &str) -> StanzaError {
    let mut error = error_in(texts, ErrorType::Modify, DefinedCondition::BadRequest, text);
    error.other = Some(Element::bare(condition, ns::COMMANDS));
    error
}

/// The open sessions of commands (XEP-0050 §1.4), by account, the oldest first. Each belongs to one
/// full JID and one command. The next request in it closes it.
#[derive(Default)]
pub struct Sessions(Mutex<HashMap<String, VecDeque<Session>>>);

struct Session {
    id: String,
    full_jid: String,
    node: &'static str,
    kept: Submission,
    ends: Instant,
}

fn bare(full_jid: &str) -> &str {
    full_jid.split_once('/').map_or(full_jid, |(bare, _)| bare)
}

impl Sessions {
    /// Opens a session. `false` if too many are open.
    fn open(&self, id: String, full_jid: &str, node: &'static str, kept: Submission) -> bool {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        open.retain(|_, own| {
            own.retain(|session| session.ends > now);
            !own.is_empty()
        });
        if open.values().map(VecDeque::len).sum::<usize>() >= MAX_SESSIONS {
            return false;
        }
        let own = open.entry(bare(full_jid).to_owned()).or_default();
        if own.len() >= MAX_SESSIONS_EACH {
            own.pop_front();
        }
        own.push_back(Session { id, full_jid: full_jid.to_owned(), node, kept, ends: now + SESSION_LIFETIME });
        true
    }

    /// Closes a session, and returns the values that it has kept. `None` if no such session is
    /// open.
    fn close(&self, id: &str, full_jid: &str, node: &str) -> Option<Submission> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = open.get_mut(bare(full_jid))?;
        let matches = |session: &Session| session.id == id && session.full_jid == full_jid && session.node == node;
        let closed = own.iter().position(matches).and_then(|index| own.remove(index))?;
        (closed.ends > Instant::now()).then_some(closed.kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(sessions: &Sessions) -> usize {
        sessions.0.lock().unwrap().values().map(VecDeque::len).sum()
    }

    #[test]
    fn a_session_is_closed_once_by_its_full_jid_for_its_command() {
        let sessions = Sessions::default();
        let (phone, desktop) = ("a@example.org/phone", "a@example.org/desktop");
        let kept: Submission = [("invite", "abc")].into_iter().collect();
        assert!(sessions.open("s1".into(), phone, "node", kept.clone()));
        assert_eq!(sessions.close("s2", phone, "node"), None);
        assert_eq!(sessions.close("s1", desktop, "node"), None);
        assert_eq!(sessions.close("s1", phone, "another"), None);
        assert_eq!(sessions.close("s1", phone, "node"), Some(kept));
        assert_eq!(sessions.close("s1", phone, "node"), None);
        assert_eq!(count(&sessions), 0);
    }

    #[test]
    fn sessions_are_bounded_for_each_account_and_in_all() {
        let sessions = Sessions::default();
        let open = |id: String, full_jid: &str| sessions.open(id, full_jid, "node", Submission::default());
        for number in 0..100 {
            assert!(open(format!("s{number}"), &format!("a@example.org/{number}")));
        }
        assert_eq!(count(&sessions), MAX_SESSIONS_EACH);
        assert!(sessions.close("s83", "a@example.org/83", "node").is_none());
        assert!(sessions.close("s84", "a@example.org/84", "node").is_some());
        for number in 0..MAX_SESSIONS {
            open("s".into(), &format!("u{number}@example.org/x"));
        }
        assert_eq!(count(&sessions), MAX_SESSIONS);
        assert!(!open("one more".into(), "z@example.org/x"));
    }
}
