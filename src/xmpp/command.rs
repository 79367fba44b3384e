//! Ad-hoc commands (XEP-0050): what there is, who may run it, and the rules of a session.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jid::{BareJid, DomainPart};
use minidom::Element;
use tokio::sync::OnceCell;
use xmpp_parsers::stanza_error::{DefinedCondition, ErrorType, StanzaError};

use super::form::Submission;
use super::refused::{away, stanza_error};
use super::stanza::{element, error_in, ns, with, with_text};
use super::{create_account, new_invite, password_reset};
use crate::invite::nonce;
use crate::invites::{Error, Invites, Issued};
use crate::policy::HostPolicy;
use crate::refusal::Refusal;
use crate::texts::{CommandTexts, Texts};

/// How long a form may stay unanswered. Some clients never cancel, so forms end by themselves.
const SESSION_LIFE: Duration = Duration::from_secs(60 * 60);

/// How many forms one user may have open; the oldest gives way.
const SESSIONS_EACH: usize = 16;

/// How many forms may be open in all: some 300 bytes each.
const SESSIONS_IN_ALL: usize = 10_000;

/// Who asks: a user of a served host.
#[derive(Clone, Debug)]
pub struct Requester {
    /// The full JID, as the server wrote it. Sessions belong to it.
    pub full_jid: String,
    /// The account.
    pub account: BareJid,
    /// Whether the account is an admin, once that is known.
    admin: OnceCell<bool>,
}

impl Requester {
    /// Whoever has this address, if that is a user of a served host. `admin`: what the chat server said of that
    /// beforehand; otherwise it is asked when it matters.
    ///
    /// # Errors
    /// `NotAllowed` for everybody else.
    pub fn new(address: &str, admin: Option<bool>, invites: &Invites) -> Result<Self, Refusal> {
        let account = jid::Jid::new(address).map_err(|_| Refusal::NotAllowed)?.into_bare();
        // As the server wrote it, or it is somebody else: servers fold fewer characters than the jid crate does.
        let written = address.split_once('@').map(|(username, _)| username);
        if account.node().is_none_or(|username| Some(username.as_str()) != written) {
            return Err(Refusal::NotAllowed);
        }
        let (_, policy) = invites.policy(account.domain().as_str()).map_err(|_| Refusal::NotAllowed)?;
        let admin = if policy.admins.contains(&account) { Some(true) } else { admin };
        let admin = admin.map_or_else(OnceCell::new, |admin| OnceCell::new_with(Some(admin)));
        Ok(Requester { full_jid: address.to_owned(), account, admin })
    }

    /// The host of the account.
    pub fn host(&self) -> DomainPart {
        self.account.domain().to_owned()
    }

    /// Is the account an admin of its host, by the configuration or in the eyes of the chat server?
    /// Where that cannot be learnt: no.
    pub async fn is_admin(&self, invites: &Invites) -> bool {
        let learn = || async { invites.chat_server().account(&self.account).await.is_ok_and(|known| known.admin) };
        *self.admin.get_or_init(learn).await
    }

    /// What is allowed on the account's host.
    ///
    /// # Errors
    /// If it is not served.
    pub fn policy<'a>(&self, invites: &'a Invites) -> Result<&'a HostPolicy, Refusal> {
        invites.policy(self.account.domain().as_str()).map(|(_, policy)| policy)
    }
}

/// Who may run a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Audience {
    /// Users, where the host's policy lets them invite; admins always.
    Inviters,
    /// Admins.
    Admins,
}

/// A command.
pub struct Command {
    /// Its node, by which clients know it.
    pub node: &'static str,
    name: fn(&CommandTexts) -> &str,
    audience: Audience,
    steps: Steps,
}

/// How a command goes.
#[derive(Clone, Copy)]
enum Steps {
    /// It completes at once: the built-in buttons of mobile clients show no form.
    AtOnce,
    /// One form, then it completes. After a mistake the form comes again, with what was filled in.
    Form(fn(&HostPolicy, &Submission, &Texts) -> Element),
}

/// Every command there is; discovery is derived from this table.
pub const COMMANDS: [Command; 3] = [
    Command {
        node: new_invite::NODE,
        name: |texts| &texts.new_invite,
        audience: Audience::Inviters,
        steps: Steps::AtOnce,
    },
    Command {
        node: create_account::NODE,
        name: |texts| &texts.new_account_invite,
        audience: Audience::Admins,
        steps: Steps::Form(create_account::form),
    },
    Command {
        node: password_reset::NODE,
        name: |texts| &texts.password_reset_link,
        audience: Audience::Admins,
        steps: Steps::Form(password_reset::form),
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

    /// Its name, which people see.
    pub fn name<'a>(&self, texts: &'a Texts) -> &'a str {
        (self.name)(&texts.command)
    }

    /// May somebody run it? What they may not run is not listed either.
    pub async fn open_to(&self, requester: &Requester, invites: &Invites) -> bool {
        let everybody = self.audience == Audience::Inviters
            && requester.policy(invites).is_ok_and(|policy| policy.allow_contact_invites);
        everybody || requester.is_admin(invites).await
    }

    async fn run(&self, requester: &Requester, submission: &Submission, invites: &Invites) -> Result<Issued, Error> {
        match self.node {
            create_account::NODE => create_account::run(requester, submission, invites).await,
            password_reset::NODE => password_reset::run(requester, submission, invites).await,
            _ => new_invite::run(requester, invites).await,
        }
    }
}

/// What the requester does with a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// `execute`, `next`, `complete` or none: clients use all of them to submit.
    Go,
    /// Give up.
    Cancel,
}

/// Answers an execution of a command.
///
/// # Errors
/// A stanza error where there is no such command, the requester may not run it, or the request is against the rules.
pub async fn execute(
    payload: &Element,
    requester: &Requester,
    invites: &Invites,
    sessions: &Sessions,
    texts: &Texts,
) -> Result<Element, StanzaError> {
    let malformed =
        || wrong("malformed-action", Texts::english(), "That is no command: it has no node, or an unknown action");
    let command = Command::of(payload.attr("node").ok_or_else(malformed)?, texts)?;
    let action = match payload.attr("action") {
        None | Some("execute" | "next" | "complete") => Action::Go,
        Some("cancel") => Action::Cancel,
        Some("prev") => return Err(wrong("bad-action", texts, &texts.command.no_step_back)),
        Some(_) => return Err(malformed()),
    };
    if !command.open_to(requester, invites).await {
        return Err(error_in(texts, ErrorType::Auth, DefinedCondition::Forbidden, &texts.command.forbidden));
    }
    // Taking the session before anything is made of it: of two submissions at once, one finds none.
    let session = payload.attr("sessionid");
    if let Some(id) = session
        && !sessions.take(id, requester, command)
    {
        return Err(wrong("bad-sessionid", texts, &texts.command.finished));
    }
    // It need not be a secret: whoever else knows it can do nothing with it.
    let new_id = || nonce().map_err(|_| away(texts));
    let id = session.map_or_else(new_id, |id| Ok(id.to_owned()))?;
    if action == Action::Cancel {
        return Ok(reply(command, &id, "canceled", texts));
    }
    let policy = requester.policy(invites).map_err(|refusal| stanza_error(&refusal.into(), texts))?;
    let (form, submission) = match (command.steps, Submission::of(payload)) {
        (Steps::AtOnce, _) => (None, Submission::default()),
        (Steps::Form(form), Some(submission)) => (Some(form), submission),
        (Steps::Form(form), None) => {
            let form = form(policy, &Submission::default(), texts);
            return ask(command, id, form, requester, sessions, texts);
        }
    };
    match (command.run(requester, &submission, invites).await, form) {
        (Ok(issued), _) => Ok(with(reply(command, &id, "completed", texts), [new_invite::result(&issued, texts)])),
        (Err(Error::Refused(refusal)), Some(form)) => {
            let form = with_problem(form(policy, &submission, texts), &refusal.text(texts), texts);
            ask(command, id, form, requester, sessions, texts)
        }
        // Of interactive commands, some clients show a note but no stanza error.
        (Err(cause), Some(_)) => {
            let text = stanza_error(&cause, texts).texts.into_values().next().unwrap_or_default();
            let note = with_text(element!(ns::COMMANDS, "note", "type" = "error"), &text);
            Ok(with(reply(command, &id, "completed", texts), [note]))
        }
        // Behind the built-in buttons it is the other way round.
        (Err(cause), None) => Err(stanza_error(&cause, texts)),
    }
}

fn reply(command: &Command, session: &str, status: &str, texts: &Texts) -> Element {
    let mut reply = element!(ns::COMMANDS, "command", "node" = command.node, "sessionid" = session, "status" = status);
    // Servers mark what names no language as English.
    if texts.code != Texts::english().code {
        reply.set_attr(rxml::Namespace::XML, rxml::xml_ncname!("lang").to_owned(), texts.code.as_str());
    }
    reply
}

/// Shows a form, and keeps the session open for its answer.
fn ask(
    command: &Command,
    id: String,
    form: Element,
    requester: &Requester,
    sessions: &Sessions,
    texts: &Texts,
) -> Result<Element, StanzaError> {
    let reply = reply(command, &id, "executing", texts);
    if !sessions.open(id, requester, command) {
        return Err(away(texts));
    }
    // Without actions, one client shows no buttons.
    let actions = with(element!(ns::COMMANDS, "actions", "execute" = "complete"), [element!(ns::COMMANDS, "complete")]);
    Ok(with(reply, [actions, form]))
}

/// The form once more, with what was wrong where every client shows it: in a first field.
fn with_problem(form: Element, problem: &str, texts: &Texts) -> Element {
    let label = texts.command.please_correct.as_str();
    let mut marked = element!(ns::DATA_FORMS, "x", "type" = "form");
    let mut problem = Some(with(
        element!(ns::DATA_FORMS, "field", "var" = "error", "type" = "fixed", "label" = label),
        [with_text(element!(ns::DATA_FORMS, "value"), problem)],
    ));
    for child in form.children() {
        if child.name() == "field" {
            problem.take().map(|field| marked.append_child(field));
        }
        marked.append_child(child.clone());
    }
    marked
}

/// A `bad-request` with the condition that XEP-0050 §4 adds to it.
fn wrong(condition: &str, texts: &Texts, text: &str) -> StanzaError {
    let mut error = error_in(texts, ErrorType::Modify, DefinedCondition::BadRequest, text);
    error.other = Some(Element::bare(condition, ns::COMMANDS));
    error
}

/// The forms that are open: each belongs to one full JID and one command, and is taken by its first answer.
#[derive(Default)]
pub struct Sessions(Mutex<Open>);

#[derive(Default)]
struct Open {
    by_account: HashMap<BareJid, VecDeque<Session>>,
    count: usize,
}

struct Session {
    id: String,
    full_jid: String,
    node: &'static str,
    ends: Instant,
}

impl Sessions {
    /// Opens a session; `false` if there are too many.
    fn open(&self, id: String, requester: &Requester, command: &Command) -> bool {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if open.count >= SESSIONS_IN_ALL {
            open.forget_ended(now);
        }
        if open.count >= SESSIONS_IN_ALL {
            return false;
        }
        let own = open.by_account.entry(requester.account.clone()).or_default();
        let displaced = own.len() >= SESSIONS_EACH;
        if displaced {
            own.pop_front();
        }
        let (full_jid, node) = (requester.full_jid.clone(), command.node);
        own.push_back(Session { id, full_jid, node, ends: now + SESSION_LIFE });
        open.count += usize::from(!displaced);
        true
    }

    /// Closes a session of this requester and command, for its answer; `false` if there is none.
    fn take(&self, id: &str, requester: &Requester, command: &Command) -> bool {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let Some(own) = open.by_account.get_mut(&requester.account) else { return false };
        let matches = |session: &Session| {
            session.id == id && session.full_jid == requester.full_jid && session.node == command.node
        };
        let taken = own.iter().position(matches).and_then(|index| own.remove(index));
        if own.is_empty() {
            open.by_account.remove(&requester.account);
        }
        open.count -= usize::from(taken.is_some());
        taken.is_some_and(|session| session.ends > now)
    }
}

impl Open {
    fn forget_ended(&mut self, now: Instant) {
        self.by_account.retain(|_, own| {
            own.retain(|session| session.ends > now);
            !own.is_empty()
        });
        self.count = self.by_account.values().map(VecDeque::len).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requester(full_jid: &str) -> Requester {
        let account = jid::Jid::new(full_jid).unwrap().into_bare();
        Requester { full_jid: full_jid.to_owned(), account, admin: OnceCell::new() }
    }

    #[test]
    fn a_session_is_taken_once_by_its_full_jid_for_its_command() {
        let sessions = Sessions::default();
        let [new_invite, create_account, _] = &COMMANDS;
        let (phone, desktop) = (requester("a@example.org/phone"), requester("a@example.org/desktop"));
        assert!(sessions.open("s1".into(), &phone, create_account));
        assert!(!sessions.take("s2", &phone, create_account));
        assert!(!sessions.take("s1", &desktop, create_account));
        assert!(!sessions.take("s1", &phone, new_invite));
        assert!(sessions.take("s1", &phone, create_account));
        assert!(!sessions.take("s1", &phone, create_account));
        assert_eq!(sessions.0.lock().unwrap().count, 0);
    }

    #[test]
    fn sessions_are_bounded_for_each_account_and_in_all() {
        let sessions = Sessions::default();
        let command = &COMMANDS[1];
        for number in 0..100 {
            assert!(sessions.open(format!("s{number}"), &requester("a@example.org/x"), command));
        }
        assert_eq!(sessions.0.lock().unwrap().count, SESSIONS_EACH);
        assert!(!sessions.take("s83", &requester("a@example.org/x"), command));
        assert!(sessions.take("s84", &requester("a@example.org/x"), command));
        for number in 0..SESSIONS_IN_ALL {
            sessions.open("s".into(), &requester(&format!("u{number}@example.org/x")), command);
        }
        assert_eq!(sessions.0.lock().unwrap().count, SESSIONS_IN_ALL);
        assert!(!sessions.open("one more".into(), &requester("z@example.org/x"), command));
    }
}
