//! Ad-hoc commands (XEP-0050): the table of commands, and the rules by which they are run.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use minidom::Element;
use xmpp_parsers::stanza_error::{DefinedCondition, ErrorType, StanzaError};

use super::commands::{create_account, new_invite, password_reset};
use super::form::{Submission, fixed};
use super::requester::Requester;
use super::stanza::{element, error_in, ns, with, with_text};
use super::stanza_error::{stanza_error, try_again};
use crate::invite::nonce;
use crate::invites::Error;
use crate::refusal::{Mistake, Refusal};
use crate::texts::{CommandTexts, Texts, fill};

/// How long a session stays open. Some clients never cancel, so sessions end by themselves.
const SESSION_LIFE: Duration = Duration::from_secs(60 * 60);

/// How many sessions one user may have open. One more closes the oldest.
const SESSIONS_EACH: usize = 16;

/// How many sessions may be open in all, at some 300 bytes each.
const SESSIONS_IN_ALL: usize = 10_000;

/// A command.
pub struct Command {
    /// The node by which clients know the command.
    pub node: &'static str,
    name: fn(&CommandTexts) -> &str,
    audience: Audience,
    /// The form that is filled in first. Without one the command completes at once: the built-in
    /// buttons of mobile clients show no form.
    form: Option<fn(&Requester, &Submission) -> Element>,
    run: for<'a> fn(&'a Requester<'a>, &'a Submission) -> BoxFuture<'a, Result<Element, Error>>,
}

/// Who may run a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Audience {
    /// Users who may invite. Admins always.
    Inviters,
    /// Admins.
    Admins,
}

/// Every command. Service discovery lists this table.
pub const COMMANDS: [Command; 3] = [
    Command {
        node: new_invite::NODE,
        name: |texts| &texts.new_invite,
        audience: Audience::Inviters,
        form: None,
        run: |requester, _| Box::pin(new_invite::run(requester)),
    },
    Command {
        node: create_account::NODE,
        name: |texts| &texts.new_account_invite,
        audience: Audience::Admins,
        form: Some(create_account::form),
        run: |requester, submission| Box::pin(create_account::run(requester, submission)),
    },
    Command {
        node: password_reset::NODE,
        name: |texts| &texts.password_reset_link,
        audience: Audience::Admins,
        form: Some(password_reset::form),
        run: |requester, submission| Box::pin(password_reset::run(requester, submission)),
    },
];

impl Command {
    /// The command of a node.
    ///
    /// # Errors
    /// `item-not-found` if there is none.
    pub fn of(node: &str, texts: &Texts) -> Result<&'static Command, StanzaError> {
        let found = COMMANDS.iter().find(|command| command.node == node);
        let unknown = || error_in(texts, ErrorType::Cancel, DefinedCondition::ItemNotFound, &texts.command.unknown);
        found.ok_or_else(unknown)
    }

    /// The name that people see.
    pub fn name<'a>(&self, texts: &'a Texts) -> &'a str {
        (self.name)(&texts.command)
    }

    /// May the requester run the command? Commands that they may not run are not listed either.
    ///
    /// # Errors
    /// A stanza error if the chat server does not tell.
    pub async fn open_to(&self, requester: &Requester<'_>) -> Result<bool, StanzaError> {
        let open = match self.audience {
            Audience::Inviters => requester.may_invite().await,
            Audience::Admins => requester.is_admin().await,
        };
        open.map_err(|cause| stanza_error(&cause, requester.texts))
    }
}

/// Answers a `<command/>`.
///
/// # Errors
/// A stanza error if there is no such command, the requester may not run it, or the request breaks
/// the rules (XEP-0050 §4). Also if a command without a form fails.
pub async fn execute(
    payload: &Element,
    requester: &Requester<'_>,
    sessions: &Sessions,
) -> Result<Element, StanzaError> {
    let texts = requester.texts;
    let malformed =
        || bad_request("malformed-action", Texts::english(), "A command has a node, and an action of XEP-0050 if any");
    let command = Command::of(payload.attr("node").ok_or_else(malformed)?, texts)?;
    let cancels = match payload.attr("action") {
        None | Some("execute" | "next" | "complete") => false,
        Some("cancel") => true,
        Some("prev") => return Err(bad_request("bad-action", texts, &texts.command.no_step_back)),
        Some(_) => return Err(malformed()),
    };
    if !command.open_to(requester).await? {
        return Err(error_in(texts, ErrorType::Auth, DefinedCondition::Forbidden, &texts.command.forbidden));
    }
    let id = match payload.attr("sessionid") {
        // The session is closed before the command runs: of two submissions at once, one finds
        // none.
        Some(id) if sessions.close(id, requester.full_jid, command.node) => id.to_owned(),
        Some(_) => return Err(bad_request("bad-sessionid", texts, &texts.command.finished)),
        // An id need not be a secret: it is of no use to anybody but its requester.
        None => nonce().map_err(|_| try_again(texts))?,
    };
    if cancels {
        return Ok(reply(command, &id, "canceled", texts));
    }
    let submission = match (command.form, Submission::of(payload)) {
        (None, _) => Submission::default(),
        (Some(_), Some(submission)) => submission,
        (Some(form), None) => {
            return ask(command, id, form(requester, &Submission::default()), requester, sessions);
        }
    };
    let cause = match (command.run)(requester, &submission).await {
        Ok(result) => return Ok(with(reply(command, &id, "completed", texts), [result])),
        Err(cause) => cause,
    };
    requester.invites.note_limit(&requester.account, requester.host, &cause).await;
    // The built-in buttons show a stanza error but no note.
    let Some(form) = command.form else { return Err(stanza_error(&cause, texts)) };
    if let Error::Refused(refusal) = &cause
        && let Some(form) = with_mistakes(form(requester, &submission), refusal.each(), texts)
    {
        return ask(command, id, form, requester, sessions);
    }
    // For commands with forms, some clients show a note but no stanza error.
    let text = stanza_error(&cause, texts).texts.into_values().next().unwrap_or_default();
    let note = with_text(element!(ns::COMMANDS, "note", "type" = "error"), &text);
    Ok(with(reply(command, &id, "completed", texts), [note]))
}

fn reply(command: &Command, session: &str, status: &str, texts: &Texts) -> Element {
    let mut reply = element!(ns::COMMANDS, "command", "node" = command.node, "sessionid" = session, "status" = status);
    // Servers mark stanzas that name no language as English.
    if texts.code != Texts::english().code {
        reply.set_attr(rxml::Namespace::XML, rxml::xml_ncname!("lang").to_owned(), texts.code.as_str());
    }
    reply
}

/// Shows a form, and opens a session for its answer.
fn ask(
    command: &Command,
    id: String,
    form: Element,
    requester: &Requester,
    sessions: &Sessions,
) -> Result<Element, StanzaError> {
    let reply = reply(command, &id, "executing", requester.texts);
    if !sessions.open(id, requester.full_jid, command.node) {
        return Err(try_again(requester.texts));
    }
    // Without actions, one client shows no buttons.
    let actions = with(element!(ns::COMMANDS, "actions", "execute" = "complete"), [element!(ns::COMMANDS, "complete")]);
    Ok(with(reply, [actions, form]))
}

/// The form once more, and below it what is wrong: one client numbers the fields, and the numbers
/// stay. Each problem is a text of its own, since one client shows a single line of a text. `None`
/// if there is nothing to correct in the form.
fn with_mistakes(form: Element, refusals: &[Refusal], texts: &Texts) -> Option<Element> {
    let fields: Vec<_> = form.children().filter(|child| child.name() == "field").collect();
    let line = |refusal: &Refusal| {
        let is_about = |field: &&Element| field.attr("var").is_some_and(|var| vars(refusal).contains(&var));
        let position = fields.iter().position(is_about);
        // Without the hint in brackets.
        let label = position.and_then(|position| fields.get(position)?.attr("label")?.split(" (").next());
        let problem = refusal.text(texts);
        let named = label.map(|label| [("field", label), ("problem", &problem)]);
        (position, named.map_or(problem.clone(), |named| fill(&texts.command.please_correct, &named)))
    };
    let mut lines: Vec<_> = refusals.iter().map(line).collect();
    lines.sort();
    let var = |at| if at == 0 { "error".to_owned() } else { format!("error{}", at + 1) };
    let problems: Vec<_> = lines.iter().enumerate().map(|(at, (_, line))| fixed(&var(at), line)).collect();
    lines.iter().any(|(position, _)| position.is_some()).then(|| with(form, problems))
}

/// The fields of a form that a refusal can be about.
fn vars(refusal: &Refusal) -> &'static [&'static str] {
    match refusal {
        Refusal::UsernameTaken
        | Refusal::UsernameReserved
        | Refusal::SystemUsername(_)
        | Refusal::UsernameRefused(..)
        | Refusal::AdminUsername(_) => &["username"],
        Refusal::InvalidUsername(_) => &["username", "accountjid"],
        Refusal::NoSuchAccount(_) | Refusal::AccountDisabled(_) | Refusal::AccountAbove(_) => &["accountjid"],
        Refusal::Impossible(mistake) => match mistake {
            Mistake::NotYesOrNo => &["roster-subscription"],
            Mistake::BadLifetime(_) => &["expires"],
            Mistake::BadUses | Mistake::NoUses | Mistake::UsernameForMany => &["uses"],
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

/// The open sessions of the commands (XEP-0050 §1.4), by account, the oldest first. Each belongs to
/// one full JID and one command, and its first answer closes it.
#[derive(Default)]
pub struct Sessions(Mutex<HashMap<String, VecDeque<Session>>>);

struct Session {
    id: String,
    full_jid: String,
    node: &'static str,
    ends: Instant,
}

fn bare(full_jid: &str) -> &str {
    full_jid.split_once('/').map_or(full_jid, |(bare, _)| bare)
}

impl Sessions {
    /// Opens a session. `false` if too many are open.
    fn open(&self, id: String, full_jid: &str, node: &'static str) -> bool {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        open.retain(|_, own| {
            own.retain(|session| session.ends > now);
            !own.is_empty()
        });
        if open.values().map(VecDeque::len).sum::<usize>() >= SESSIONS_IN_ALL {
            return false;
        }
        let own = open.entry(bare(full_jid).to_owned()).or_default();
        if own.len() >= SESSIONS_EACH {
            own.pop_front();
        }
        own.push_back(Session { id, full_jid: full_jid.to_owned(), node, ends: now + SESSION_LIFE });
        true
    }

    /// Closes a session for its answer. `false` if no such session is open.
    fn close(&self, id: &str, full_jid: &str, node: &str) -> bool {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(own) = open.get_mut(bare(full_jid)) else { return false };
        let matches = |session: &Session| session.id == id && session.full_jid == full_jid && session.node == node;
        let closed = own.iter().position(matches).and_then(|index| own.remove(index));
        closed.is_some_and(|session| session.ends > Instant::now())
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
        assert!(sessions.open("s1".into(), phone, create_account::NODE));
        assert!(!sessions.close("s2", phone, create_account::NODE));
        assert!(!sessions.close("s1", desktop, create_account::NODE));
        assert!(!sessions.close("s1", phone, new_invite::NODE));
        assert!(sessions.close("s1", phone, create_account::NODE));
        assert!(!sessions.close("s1", phone, create_account::NODE));
        assert_eq!(count(&sessions), 0);
    }

    #[test]
    fn sessions_are_bounded_for_each_account_and_in_all() {
        let sessions = Sessions::default();
        let node = create_account::NODE;
        for number in 0..100 {
            assert!(sessions.open(format!("s{number}"), &format!("a@example.org/{number}"), node));
        }
        assert_eq!(count(&sessions), SESSIONS_EACH);
        assert!(!sessions.close("s83", "a@example.org/83", node));
        assert!(sessions.close("s84", "a@example.org/84", node));
        for number in 0..SESSIONS_IN_ALL {
            sessions.open("s".into(), &format!("u{number}@example.org/x"), node);
        }
        assert_eq!(count(&sessions), SESSIONS_IN_ALL);
        assert!(!sessions.open("one more".into(), "z@example.org/x", node));
    }

    #[test]
    fn every_command_has_a_node_of_its_own() {
        for command in &COMMANDS {
            assert_eq!(COMMANDS.iter().filter(|other| other.node == command.node).count(), 1, "{}", command.node);
        }
    }
}
