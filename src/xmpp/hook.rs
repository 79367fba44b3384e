//! The gate (docs/gate.md): the daemon's questions to the hook, as stanzas, and the hook's answers.
//! `gate` has the other direction.

use std::collections::HashMap;
use std::iter;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use minidom::Element;

use super::stanza::{ErrorAnswer, element, message, ns, with, with_text};
use crate::chat_server::{Account, Answer, Ask, Fate, Hook, HookFile, Message, NoAnswer, Objection, Question};
use crate::commands::boolean;
use crate::fields::{Answers, Field, Kind};
use crate::invite::{Invite, Purpose, Use};
use crate::jids;

/// How long the hook may take to answer, from memory and its own storage. The hook itself waits 5
/// seconds for the daemon. So if the daemon has to ask it first, it can still say why that failed.
const TIMEOUT: Duration = Duration::from_secs(4);

/// How long the hook may take to make an account. Other modules of the server take part in that,
/// and may ask other services.
const CREATE_TIMEOUT: Duration = Duration::from_secs(15);

/// The longest name of a reservation, and the longest id of a server, in bytes: a UUID has 36.
pub const MAX_ID: usize = 128;

/// How many elements of each kind are read in a hook's answer to `hello`.
const MAX_LISTED: usize = 20;

/// How many texts about grants that failed are kept.
const MAX_FAILED: usize = 50;

/// How many characters of such a text are kept.
const MAX_TEXT: usize = 1000;

/// The questions that wait for an answer on this connection, by the id of their IQ.
#[derive(Default)]
pub struct OpenQuestions {
    open: HashMap<String, Open>,
    last: u64,
}

struct Open {
    question: Question,
    deadline: Instant,
}

impl OpenQuestions {
    /// Returns the stanzas that ask a question: the request, and the message before it if there is
    /// one.
    pub fn ask(&mut self, question: Question, component: &str) -> Vec<Element> {
        self.last += 1;
        let id = format!("gate-{}", self.last);
        let (kind, payload) = payload(&question.ask);
        let (from, to) = (component, question.host.as_str());
        let iq = element!(ns::COMPONENT, "iq", "type" = kind, "from" = from, "to" = to, "id" = id.as_str());
        let deadline = Instant::now() + timeout(&question.ask);
        let message = message_before(&question.ask, component);
        self.open.insert(id, Open { question, deadline });
        message.into_iter().chain([with(iq, [payload])]).collect()
    }

    /// Takes an answer, and passes it on to the caller of [`crate::chat_server::ChatServer`].
    /// Ignores an answer from a sender that was not asked.
    pub fn answered(&mut self, from: &str, id: &str, outcome: Result<Option<Element>, ErrorAnswer>) {
        if self.open.get(id).is_some_and(|open| open.question.host.as_str() == from)
            && let Some(Open { question, .. }) = self.open.remove(id)
        {
            let of = (from, name(&question.ask));
            // The caller may have stopped waiting.
            match question.ask {
                Ask::Hello { reply, .. } => drop(reply.send(answer(of, outcome, hook))),
                Ask::Account { reply, .. } => drop(reply.send(answer(of, outcome, account))),
                Ask::Settle(_, reply) => drop(reply.send(answer(of, outcome, fate))),
                Ask::Create { reply, .. } => drop(reply.send(match outcome {
                    Err(error) => Ok(Err(objection(of, error))),
                    Ok(_) => answer(of, outcome, fate).map(Ok),
                })),
                // A server answers in order, so it has read the message. Some servers know no
                // pings.
                Ask::Deliver(_, reply) => drop(reply.send(match outcome {
                    Err(error) if error.condition != "service-unavailable" => Err(no_answer(of, &error)),
                    _ => Ok(()),
                })),
            }
        }
    }

    /// Gives up on questions whose deadline has passed.
    pub fn give_up(&mut self, now: Instant) {
        for (_, Open { question, .. }) in self.open.extract_if(|_, open| open.deadline <= now) {
            let (host, seconds) = (&question.host, timeout(&question.ask).as_secs());
            let why = NoAnswer::Late(format!("{host} did not answer within {seconds} s"));
            question.ask.fail(why);
        }
    }
}

fn timeout(ask: &Ask) -> Duration {
    if matches!(ask, Ask::Create { .. }) { CREATE_TIMEOUT } else { TIMEOUT }
}

/// The name of the element that asks.
fn name(ask: &Ask) -> &'static str {
    match ask {
        Ask::Hello { .. } => "hello",
        Ask::Account { .. } => "account",
        Ask::Settle(..) => "settle",
        Ask::Create { .. } => "create",
        Ask::Deliver(..) => "ping",
    }
}

/// The type of the IQ that asks, and its payload.
fn payload(ask: &Ask) -> (&'static str, Element) {
    let name = name(ask);
    match ask {
        Ask::Hello { brief, .. } => ("get", element!(ns::GATE, name, "brief" = brief.then_some("true"))),
        Ask::Account { username, register, .. } => {
            let register = register.then_some("true");
            ("get", element!(ns::GATE, name, "username" = username.as_str(), "register" = register))
        }
        Ask::Settle(reserved, _) => ("set", reservation(Element::bare(name, ns::GATE), reserved)),
        Ask::Create { reserved, password, answers, address, .. } => {
            let address = address.map(|address| address.to_canonical().to_string());
            let create = reservation(element!(ns::GATE, name, "address" = address), reserved);
            let password = with_text(element!(ns::GATE, "password"), password.reveal());
            ("set", with(create, iter::once(password).chain(submitted(answers))))
        }
        Ask::Deliver(..) => ("get", Element::bare(name, ns::PING)),
    }
}

/// The message to send before the question, if the question is whether it was delivered.
fn message_before(ask: &Ask, component: &str) -> Option<Element> {
    let Ask::Deliver(Message { to, id, language, body }, _) = ask else { return None };
    let hint = element!(ns::HINTS, "store");
    Some(with(message(Some("chat"), component, to.as_str(), id, language, body), [hint]))
}

/// Adds the reservation to a `settle` or `create`. `username` is always an account of the
/// VirtualHost; for a contact, it is the inviter's.
fn reservation(mut element: Element, (used, invite): &(Use, Invite)) -> Element {
    let (account, contact) = match (used.purpose, &invite.inviter) {
        (Purpose::Contact, Some(inviter)) => (inviter, Some(&used.account)),
        _ => (&used.account, invite.contact()),
    };
    for (name, value) in [
        (rxml::xml_ncname!("reservation"), Some(used.id.as_str())),
        (rxml::xml_ncname!("server"), Some(used.server.as_str())),
        (rxml::xml_ncname!("purpose"), Some(used.purpose.as_ref())),
        (rxml::xml_ncname!("username"), account.node().map(|node| node.as_str())),
        (rxml::xml_ncname!("contact"), contact.map(|jid| jid.as_str())),
    ] {
        element.set_attr(rxml::Namespace::NONE, name.to_owned(), value);
    }
    with(element, grants(used.purpose, invite))
}

/// Whether a text can be the name of a reservation, or the id of a server.
pub fn is_id(text: &str) -> bool {
    (1..=MAX_ID).contains(&text.len())
}

/// The roles and groups that an invite grants, as elements. Only a new account gets them.
pub fn grants(purpose: Purpose, invite: &Invite) -> Vec<Element> {
    let texts = |name, list: &[String]| -> Vec<Element> {
        list.iter().map(|text| with_text(Element::bare(name, ns::GATE), text)).collect()
    };
    match purpose {
        Purpose::Register => [texts("role", &invite.roles), texts("group", &invite.groups)].concat(),
        Purpose::Reset | Purpose::Contact => Vec::new(),
    }
}

/// The VirtualHost that was asked, and the name of the question.
type Of<'a> = (&'a str, &'static str);

/// Reads the outcome of a question. `read` returns `None` if an element is no answer to it.
fn answer<T>(of: Of, outcome: Result<Option<Element>, ErrorAnswer>, read: fn(&Element) -> Option<T>) -> Answer<T> {
    let payload = outcome.map_err(|error| no_answer(of, &error))?;
    let read = payload.filter(|payload| payload.has_ns(ns::GATE)).and_then(|payload| read(&payload));
    read.ok_or_else(|| another_version(of, "something that this daemon does not understand"))
}

/// What a `fate` says about grants that failed for good, for the operator.
pub fn failed(fate: &Element) -> Vec<String> {
    children(fate, "failed").take(MAX_FAILED).map(|child| shortened(&child.text())).collect()
}

/// The children of this name, in the gate's namespace.
fn children<'a>(payload: &'a Element, name: &'a str) -> impl Iterator<Item = &'a Element> {
    payload.children().filter(move |child| child.is(name, ns::GATE))
}

fn hook(payload: &Element) -> Option<Hook> {
    Some(Hook {
        software: payload.attr("software").unwrap_or("an unknown server").to_owned(),
        server: payload.attr("server").filter(|id| is_id(id))?.to_owned(),
        admins: listed(payload, "admin", "username"),
        unused: listed(payload, "unused", "option"),
        fields: fields(payload),
        never: children(payload, "never").filter_map(never).take(MAX_LISTED).collect(),
        version: payload.attr("version").map(shortened),
        files: children(payload, "file").filter_map(file).take(MAX_LISTED).collect(),
        replaced: flag(payload, "replaced").unwrap_or(false),
        rivals: listed(payload, "rival", "module"),
        warnings: children(payload, "warning").take(MAX_LISTED).map(|child| shortened(&child.text())).collect(),
    })
}

/// The first [`MAX_LISTED`] fields of the form in an answer.
fn fields(payload: &Element) -> Vec<Field> {
    let texts = |element: &Element| -> Vec<String> {
        element.children().filter(|child| child.is("value", ns::DATA_FORMS)).map(Element::text).collect()
    };
    let form = payload.get_child("x", ns::DATA_FORMS);
    let fields = form.into_iter().flat_map(Element::children).filter(|child| child.is("field", ns::DATA_FORMS));
    let read = |field: &Element| {
        let options = field.children().filter(|child| child.is("option", ns::DATA_FORMS)).filter_map(|option| {
            let value = texts(option).into_iter().next()?;
            Some((value.clone(), option.attr("label").map_or(value, str::to_owned)))
        });
        let kind = field.attr("type").and_then(|kind| kind.parse().ok()).unwrap_or_default();
        // Text between fields needs no name (XEP-0004 §3.2).
        let var = field.attr("var").or(Some("").filter(|_| kind == Kind::Fixed));
        Some(Field {
            var: var?.to_owned(),
            kind,
            label: field.attr("label").map(str::to_owned),
            required: field.has_child("required", ns::DATA_FORMS),
            options: options.collect(),
            values: texts(field),
        })
    };
    fields.filter_map(read).take(MAX_LISTED).collect()
}

/// The answers to the hook's fields, as a submitted form. `None` if there are none.
fn submitted(answers: &Answers) -> Option<Element> {
    let value = |text: &String| with_text(element!(ns::DATA_FORMS, "value"), text);
    let fields = answers
        .iter()
        .map(|(var, values)| with(element!(ns::DATA_FORMS, "field", "var" = var.as_str()), values.iter().map(value)));
    (!answers.is_empty()).then(|| with(element!(ns::DATA_FORMS, "x", "type" = "submit"), fields))
}

/// What the server can never do, and why. `None` if this daemon does not know the purpose.
fn never(element: &Element) -> Option<(Purpose, String)> {
    Some((element.attr("purpose")?.parse().ok()?, shortened(&element.text())))
}

/// A file of mod_easy_invite. `None` if the server has not loaded it.
fn file(element: &Element) -> Option<HookFile> {
    let attribute = |name| element.attr(name).map(shortened);
    Some(HookFile { name: attribute("name")?, path: attribute("path")?, sha256: attribute("sha256")? })
}

/// The beginning of a text of the hook.
fn shortened(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

/// An attribute of the first [`MAX_LISTED`] children of this name.
fn listed(payload: &Element, name: &str, attribute: &str) -> Vec<String> {
    children(payload, name).filter_map(|child| child.attr(attribute)).take(MAX_LISTED).map(str::to_owned).collect()
}

fn account(payload: &Element) -> Option<Account> {
    Some(Account {
        exists: flag(payload, "exists")?,
        admin: flag(payload, "admin")?,
        impossible: flag(payload, "impossible").unwrap_or(false),
        refusal: payload.get_child("refusal", ns::GATE).map(Element::text),
        doubtful: flag(payload, "doubtful").unwrap_or(false),
        created_at: instant(payload, "created-at"),
        known_since: instant(payload, "known-since"),
        disabled: flag(payload, "disabled").unwrap_or(false),
        may_invite: flag(payload, "may-invite").unwrap_or(true),
        may_invite_contacts: flag(payload, "may-invite-contacts").unwrap_or(true),
        privileged: flag(payload, "privileged").unwrap_or(false),
        rank: payload.attr("rank").and_then(|text| text.parse().ok()),
        roles: children(payload, "role").map(Element::text).collect(),
        nickname: payload.attr("nickname").map(str::to_owned),
    })
}

fn fate(payload: &Element) -> Option<Fate> {
    match payload.attr("is").filter(|_| payload.name() == "fate")? {
        "made" => Some(Fate::Made { failed: failed(payload) }),
        "unfinished" => Some(Fate::Unfinished),
        "not-made" => Some(Fate::NotMade { doubtful: flag(payload, "doubtful").unwrap_or(false) }),
        "in-flight" => Some(Fate::InFlight),
        "elsewhere" => Some(Fate::Elsewhere),
        _ => None,
    }
}

fn instant(payload: &Element, attribute: &str) -> Option<Timestamp> {
    payload.attr(attribute).and_then(|text| text.parse().ok())
}

fn flag(payload: &Element, attribute: &str) -> Option<bool> {
    payload.attr(attribute).and_then(boolean)
}

/// Why the hook made no account, by the first row that matches (docs/gate.md, `create`).
fn objection(of: Of, error: ErrorAnswer) -> Objection {
    let has_text = !error.text.is_empty();
    match (error.kind.as_str(), error.condition.as_str()) {
        (_, "conflict") => Objection::UsernameTaken,
        (_, "item-not-found") => Objection::NoSuchAccount,
        (_, "jid-malformed") => Objection::UsernameImpossible,
        (_, "remote-server-not-found" | "remote-server-timeout") => Objection::NoAnswer(no_answer(of, &error)),
        (_, "service-unavailable" | "bad-request") if !has_text => Objection::NoAnswer(no_answer(of, &error)),
        ("wait", "internal-server-error") => Objection::NoAnswer(no_answer(of, &error)),
        ("wait", "policy-violation") => Objection::Limited(error.text),
        ("wait", _) if has_text => Objection::Limited(error.text),
        ("wait", _) => Objection::NoAnswer(no_answer(of, &error)),
        ("modify", "policy-violation") => Objection::Password(error.text),
        (_, "feature-not-implemented") => {
            tracing::error!("{} can never do this: {error}", of.0);
            Objection::Never
        }
        _ => {
            tracing::warn!("{} refused a registration: {error}", of.0);
            Objection::Other(error.text)
        }
    }
}

/// What an error to a question means, for the operator.
fn no_answer((host, question): Of, error: &ErrorAnswer) -> NoAnswer {
    match (error.kind.as_str(), error.condition.as_str()) {
        (_, "remote-server-not-found" | "remote-server-timeout" | "not-allowed") => {
            let spelling = jids::spelling(host);
            NoAnswer::NotSetUp(format!(
                "{host} is not a VirtualHost of the connected server: it needs VirtualHost {spelling} ({error})"
            ))
        }
        ("wait", _) => NoAnswer::Unable(format!("{host} answered {error}")),
        (_, "service-unavailable") if question == "hello" => NoAnswer::NotSetUp(format!(
            "{host} does not have mod_easy_invite loaded (add \"easy_invite\" to its modules_enabled), or has another \
             module of this name. If it is there, Prosody's log says why it did not load; its easy_invite_component \
             must be the name of this component"
        )),
        (_, "not-acceptable") if question == "hello" => {
            NoAnswer::NotSetUp(format!("{host}: {}", shortened(&error.text)))
        }
        _ => another_version((host, question), &error.to_string()),
    }
}

/// The error for an answer that a hook of this daemon's version would not give.
fn another_version((host, question): Of, answer: &str) -> NoAnswer {
    let advice =
        if question == "hello" { "; its easy_invite_component must be the name of this component" } else { "" };
    NoAnswer::NotSetUp(format!(
        "{host} answered \"{question}\" with {answer}: mod_easy_invite is not loaded there any more, or is of another \
         version than this daemon (easy-invite prosody-module installs the one that fits{advice})"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invite::InviteType;
    use crate::invite::tests::{at, invite};
    use crate::secret::Secret;
    use jid::BareJid;
    use tokio::sync::oneshot;

    fn read(text: &str) -> Element {
        text.replace("/>", " xmlns='urn:easy-invite:gate:1'/>").parse().unwrap()
    }

    fn reserved(purpose: Purpose, account: &str) -> Box<(Use, Invite)> {
        let mut invite = invite(match purpose {
            Purpose::Reset => InviteType::PasswordReset,
            _ => InviteType::AccountAndContact,
        });
        invite.inviter = Some(BareJid::new("alice@example.org").unwrap());
        invite.roles = vec!["member".to_owned()];
        let (id, server, account) = ("r1".to_owned(), "s1".to_owned(), BareJid::new(account).unwrap());
        Box::new((Use { id, invite: invite.id.clone(), purpose, account, server, reserved_at: at(1000) }, invite))
    }

    #[test]
    fn a_message_is_taken_when_the_server_answers_the_ping_behind_it() {
        let refused = |condition: &str| {
            let condition = condition.to_owned();
            Err(ErrorAnswer { kind: "cancel".to_owned(), condition, text: String::new() })
        };
        for (from, outcome, taken) in [
            ("example.org", Ok(None), Some(true)),
            ("example.org", refused("service-unavailable"), Some(true)), // it knows no pings
            ("example.org", refused("remote-server-not-found"), Some(false)),
            ("example.net", Ok(None), None),
        ] {
            let (mut questions, (reply, mut answer)) = (OpenQuestions::default(), oneshot::channel());
            let message = Message {
                to: BareJid::new("alice@example.org").unwrap(),
                id: "m1".to_owned(),
                language: "de".to_owned(),
                body: "<Hallo> & so".to_owned(),
            };
            let (host, ask) = (message.to.domain().to_owned(), Ask::Deliver(message, reply));
            let stanzas = questions.ask(Question { host, ask }, "invite.example.org");
            let [message, ping] = stanzas.as_slice() else { panic!("{stanzas:?}") };
            assert_eq!((message.name(), message.attr("to")), ("message", Some("alice@example.org")));
            assert_eq!(message.get_child("body", ns::COMPONENT).unwrap().text(), "<Hallo> & so");
            assert!(ping.has_child("ping", ns::PING) && ping.attr("to") == Some("example.org"));
            questions.answered(from, ping.attr("id").unwrap(), outcome);
            assert_eq!(answer.try_recv().ok().map(|answer| answer.is_ok()), taken, "{from}");
        }
    }

    #[test]
    fn answers_that_cannot_be_read_are_no_answers() {
        for text in [
            "<account exists='true'/>",
            "<account exists='maybe' admin='false'/>",
            "<account exists='true' admin='no'/>",
            "<account/>",
        ] {
            assert_eq!(account(&read(text)), None, "{text}");
        }
        let known = account(&read("<account exists='1' admin='0' impossible='odd' created-at='long ago'/>"));
        assert_eq!(known, Some(Account { exists: true, ..Account::default() }));
        let bob: Element = "<account xmlns='urn:easy-invite:gate:1' exists='true' admin='true' disabled='true' \
                            may-invite='false' may-invite-contacts='false' privileged='true' rank='-25' \
                            known-since='2026-11-22T10:00:00Z'><role>b</role><mood/><role>a</role></account>"
            .parse()
            .unwrap();
        let expected = Account {
            exists: true,
            admin: true,
            disabled: true,
            may_invite: false,
            may_invite_contacts: false,
            privileged: true,
            rank: Some(-25),
            known_since: Some("2026-11-22T10:00:00Z".parse().unwrap()),
            roles: vec!["b".to_owned(), "a".to_owned()],
            ..Account::default()
        };
        assert_eq!(account(&bob), Some(expected));
        for (text, doubtful) in [
            ("<account exists='false' admin='false' doubtful='true'/>", true),
            ("<account exists='false' admin='false' doubtful='false'/>", false),
            ("<account exists='false' admin='false'/>", false),
        ] {
            assert_eq!(account(&read(text)), Some(Account { doubtful, ..Account::default() }), "{text}");
        }
        for text in ["<hello/>", "<hello server=''/>", &format!("<hello server='{}'/>", "x".repeat(129))] {
            assert_eq!(hook(&read(text)), None, "a hook without an id: {text}");
        }
        for text in ["<fate/>", "<fate is='done'/>", "<created/>", "<created is='made'/>", "<reserved is='made'/>"] {
            assert_eq!(fate(&read(text)), None, "{text}");
        }
        let foreign: Element = "<fate xmlns='urn:other' is='made'/>".parse().unwrap();
        assert!(answer(("example.org", "settle"), Ok(Some(foreign)), fate).is_err());
        assert!(answer(("example.org", "settle"), Ok(None), fate).is_err());
        for (text, expected) in [
            ("<fate is='made'/>", Fate::Made { failed: Vec::new() }),
            ("<fate is='unfinished'/>", Fate::Unfinished),
            ("<fate is='not-made'/>", Fate::NotMade { doubtful: false }),
            ("<fate is='not-made' doubtful='true'/>", Fate::NotMade { doubtful: true }),
            ("<fate is='in-flight'/>", Fate::InFlight),
            ("<fate is='elsewhere'/>", Fate::Elsewhere),
        ] {
            assert_eq!(answer(("example.org", "settle"), Ok(Some(read(text))), fate), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_could_not_be_given_is_a_bounded_list_of_texts() {
        let fate: Element = "<fate xmlns='urn:easy-invite:gate:1' is='made'><failed>one</failed><other/>\
            <failed xmlns='urn:other'>not ours</failed><failed>two</failed></fate>"
            .parse()
            .unwrap();
        assert_eq!(failed(&fate), ["one", "two"]);
        let long = format!("<failed>{}</failed>", "é".repeat(MAX_TEXT + 1));
        let fate: Element =
            format!("<fate xmlns='urn:easy-invite:gate:1'>{}</fate>", long.repeat(MAX_FAILED + 1)).parse().unwrap();
        let kept = failed(&fate);
        assert_eq!((kept.len(), kept[0].chars().count()), (MAX_FAILED, MAX_TEXT));
    }

    #[test]
    fn a_username_is_always_of_the_virtual_host_itself() {
        for (purpose, account, username, contact) in [
            (Purpose::Register, "carol@example.org", "carol", Some("alice@example.org")),
            (Purpose::Reset, "carol@example.org", "carol", None),
            (Purpose::Contact, "dave@elsewhere.example", "alice", Some("dave@elsewhere.example")),
        ] {
            let reserved = reserved(purpose, account);
            let password = Secret::new("kites".to_owned());
            let (settled, created) = (oneshot::channel().0, oneshot::channel().0);
            let (answers, reply) = (Answers::new(), created);
            let create = Ask::Create { reserved: reserved.clone(), password, answers, address: None, reply };
            for ask in [Ask::Settle(reserved, settled), create] {
                let (_, element) = payload(&ask);
                assert_eq!((element.attr("username"), element.attr("contact")), (Some(username), contact), "{purpose}");
                let role = element.children().any(|child| child.name() == "role");
                assert_eq!(role, purpose == Purpose::Register, "what only a new account gets");
            }
        }
    }

    #[test]
    fn errors_say_whose_matter_it_is() {
        let objection = |kind: &str, condition: &str| {
            let (kind, condition) = (kind.to_owned(), condition.to_owned());
            objection(("example.org", "create"), ErrorAnswer { kind, condition, text: "why".to_owned() })
        };
        let why = || "why".to_owned();
        assert_eq!(objection("cancel", "conflict"), Objection::UsernameTaken);
        assert_eq!(objection("cancel", "item-not-found"), Objection::NoSuchAccount);
        assert_eq!(objection("modify", "jid-malformed"), Objection::UsernameImpossible);
        assert_eq!(objection("modify", "policy-violation"), Objection::Password(why()));
        assert_eq!(objection("wait", "policy-violation"), Objection::Limited(why()));
        assert_eq!(objection("wait", "service-unavailable"), Objection::Limited(why()));
        assert_eq!(objection("cancel", "feature-not-implemented"), Objection::Never);
        let unable = objection("wait", "internal-server-error");
        assert!(matches!(unable, Objection::NoAnswer(NoAnswer::Unable(_))), "{unable:?}");
        for (kind, condition) in [
            ("cancel", "not-allowed"),
            ("modify", "not-acceptable"),
            ("auth", "forbidden"),
            ("cancel", "service-unavailable"),
            ("cancel", "policy-violation"),
            ("", ""),
        ] {
            assert_eq!(objection(kind, condition), Objection::Other(why()), "{kind}/{condition}");
        }
    }
}
