//! The gate (docs/gate.md), asking side: the daemon's questions to the hook become stanzas, and the
//! hook's answers find their way back. `gate` is the answering side.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use minidom::Element;

use super::stanza::{ErrorAnswer, boolean, element, ns, with, with_text};
use crate::chat_server::{Account, Answer, Ask, Fate, Hook, Objection, Question, Unreachable};
use crate::invite::{Invite, Purpose, Use};
use crate::jids;

/// How long the hook may take. It answers from memory and its own storage.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the hook may take to make an account: other modules of the server have a say in it, and
/// may ask other services.
const CREATION_PATIENCE: Duration = Duration::from_secs(15);

/// The longest name of a reservation, and the longest id of a server, in bytes: a UUID has 36.
pub const LONGEST_ID: usize = 128;

/// How many names a hook can list in its answer to `hello`.
const MOST_LISTED: usize = 20;

/// How many texts about what could not be given are kept, and how many characters of each.
const MOST_FAILED: usize = 50;
const LONGEST_FAILED: usize = 1000;

/// The questions that wait for an answer on this connection.
#[derive(Default)]
pub struct Asked {
    waiting: HashMap<String, Waiting>,
    last: u64,
}

struct Waiting {
    question: Question,
    until: Instant,
}

impl Asked {
    /// The stanza that asks a question.
    pub fn ask(&mut self, question: Question, component: &str) -> Element {
        self.last += 1;
        let id = format!("gate-{}", self.last);
        let (kind, payload) = payload(&question.ask);
        let (from, to) = (component, question.host.as_str());
        let iq = element!(ns::COMPONENT, "iq", "type" = kind, "from" = from, "to" = to, "id" = id.as_str());
        let until = Instant::now() + patience(&question.ask);
        self.waiting.insert(id, Waiting { question, until });
        with(iq, [payload])
    }

    /// An answer arrived. An answer from a sender that was not asked is ignored.
    pub fn answered(&mut self, from: &str, id: &str, outcome: Result<Option<Element>, ErrorAnswer>) {
        if self.waiting.get(id).is_some_and(|waiting| waiting.question.host.as_str() == from)
            && let Some(Waiting { question, .. }) = self.waiting.remove(id)
        {
            // Whoever asked may have stopped waiting.
            match question.ask {
                Ask::Hello(reply) => drop(reply.send(answer(from, outcome, hook))),
                Ask::Account { reply, .. } => drop(reply.send(answer(from, outcome, account))),
                Ask::Settle(_, reply) => drop(reply.send(answer(from, outcome, fate))),
                Ask::Create { reply, .. } => drop(reply.send(match outcome {
                    Err(error) => Ok(Err(objection(from, error))),
                    Ok(_) => answer(from, outcome, fate).map(Ok),
                })),
            }
        }
    }

    /// Gives up on questions that have waited too long.
    pub fn give_up(&mut self, now: Instant) {
        for (_, Waiting { question, .. }) in self.waiting.extract_if(|_, waiting| waiting.until <= now) {
            let (host, seconds) = (&question.host, patience(&question.ask).as_secs());
            let why = Unreachable(format!("{host} did not answer within {seconds} s"));
            question.ask.fail(why);
        }
    }
}

fn patience(ask: &Ask) -> Duration {
    if matches!(ask, Ask::Create { .. }) { CREATION_PATIENCE } else { PATIENCE }
}

/// The type of the IQ that asks, and its payload.
fn payload(ask: &Ask) -> (&'static str, Element) {
    match ask {
        Ask::Hello(_) => ("get", element!(ns::GATE, "hello")),
        Ask::Account { username, register, .. } => {
            let register = register.then_some("true");
            ("get", element!(ns::GATE, "account", "username" = username.as_str(), "register" = register))
        }
        Ask::Settle(reserved, _) => ("set", reservation(Element::bare("settle", ns::GATE), reserved)),
        Ask::Create { reserved, password, address, .. } => {
            let address = address.map(|address| address.to_canonical().to_string());
            let create = reservation(element!(ns::GATE, "create", "address" = address), reserved);
            ("set", with(create, [with_text(element!(ns::GATE, "password"), password.reveal())]))
        }
    }
}

/// Adds what `settle` and `create` say of a reservation. `username` is always an account of the
/// VirtualHost itself; for a contact, it is the inviter's.
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
    (1..=LONGEST_ID).contains(&text.len())
}

/// What an invite grants to an account that is made with it.
pub fn grants(purpose: Purpose, invite: &Invite) -> Vec<Element> {
    let texts = |name, list: &[String]| -> Vec<Element> {
        list.iter().map(|text| with_text(Element::bare(name, ns::GATE), text)).collect()
    };
    match purpose {
        Purpose::Register => [texts("role", &invite.roles), texts("group", &invite.groups)].concat(),
        Purpose::Reset | Purpose::Contact => Vec::new(),
    }
}

/// What came back, as `read` understands it; `None`: it is no answer to the question.
fn answer<T>(host: &str, outcome: Result<Option<Element>, ErrorAnswer>, read: fn(&Element) -> Option<T>) -> Answer<T> {
    let payload = outcome.map_err(|error| Unreachable(refused_by(host, &error)))?;
    let read = payload.filter(|payload| payload.has_ns(ns::GATE)).and_then(|payload| read(&payload));
    read.ok_or_else(|| Unreachable(format!("{host} answered something else")))
}

/// What could not be given for good, as the hook's `fate` says: some short texts.
pub fn failed(fate: &Element) -> Vec<String> {
    let texts = fate.children().filter(|child| child.is("failed", ns::GATE));
    texts.take(MOST_FAILED).map(|child| child.text().chars().take(LONGEST_FAILED).collect()).collect()
}

fn hook(payload: &Element) -> Option<Hook> {
    Some(Hook {
        software: payload.attr("software").unwrap_or("an unknown server").to_owned(),
        server: payload.attr("server").filter(|id| is_id(id))?.to_owned(),
        admins: listed(payload, "admin", "username"),
        unused: listed(payload, "unused", "option"),
    })
}

/// An attribute of each child of this name, of the first that there are.
fn listed(payload: &Element, name: &str, attribute: &str) -> Vec<String> {
    let named = payload.children().filter(|child| child.is(name, ns::GATE));
    named.filter_map(|child| child.attr(attribute)).take(MOST_LISTED).map(str::to_owned).collect()
}

fn account(payload: &Element) -> Option<Account> {
    Some(Account {
        exists: yes(payload, "exists")?,
        admin: yes(payload, "admin")?,
        impossible: yes(payload, "impossible").unwrap_or(false),
        refusal: payload.get_child("refusal", ns::GATE).map(Element::text),
        doubtful: yes(payload, "doubtful").unwrap_or(false),
        created_at: instant(payload, "created-at"),
        known_since: instant(payload, "known-since"),
        disabled: yes(payload, "disabled").unwrap_or(false),
        may_invite: yes(payload, "may-invite").unwrap_or(true),
        may_invite_contacts: yes(payload, "may-invite-contacts").unwrap_or(true),
        privileged: yes(payload, "privileged").unwrap_or(false),
        rank: payload.attr("rank").and_then(|text| text.parse().ok()),
        roles: payload.children().filter(|child| child.is("role", ns::GATE)).map(Element::text).collect(),
    })
}

fn fate(payload: &Element) -> Option<Fate> {
    match payload.attr("is").filter(|_| payload.name() == "fate")? {
        "made" => Some(Fate::Made { failed: failed(payload) }),
        "unfinished" => Some(Fate::Unfinished),
        "not-made" => Some(Fate::NotMade { doubtful: yes(payload, "doubtful").unwrap_or(false) }),
        "in-flight" => Some(Fate::InFlight),
        "elsewhere" => Some(Fate::Elsewhere),
        _ => None,
    }
}

fn instant(payload: &Element, attribute: &str) -> Option<Timestamp> {
    payload.attr(attribute).and_then(|text| text.parse().ok())
}

fn yes(payload: &Element, attribute: &str) -> Option<bool> {
    payload.attr(attribute).and_then(boolean)
}

/// Why the hook made no account: the first of these that fits (docs/gate.md, `create`).
fn objection(host: &str, error: ErrorAnswer) -> Objection {
    match (error.kind.as_str(), error.condition.as_str()) {
        (_, "conflict") => Objection::UsernameTaken,
        (_, "item-not-found") => Objection::NoSuchAccount,
        (_, "jid-malformed") => Objection::UsernameImpossible,
        ("modify", "policy-violation") => Objection::Password(error.text),
        ("wait", "policy-violation") => Objection::Limited(error.text),
        ("wait", _) => Objection::Unable(format!("{host} answered {error}")),
        _ => {
            tracing::warn!("{host} refused a registration: {error}");
            Objection::Other(error.text)
        }
    }
}

/// What an error of the VirtualHost means for the operator.
fn refused_by(host: &str, error: &ErrorAnswer) -> String {
    match error.condition.as_str() {
        "service-unavailable" => {
            format!("{host} does not have mod_easy_invite loaded (add \"easy_invite\" to its modules_enabled)")
        }
        "remote-server-not-found" | "remote-server-timeout" | "not-allowed" => {
            let spelling = jids::spelling(host);
            format!("{host} is not a VirtualHost of the connected server: it needs VirtualHost {spelling} ({error})")
        }
        _ => format!("{host} answered {error}"),
    }
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
        assert!(answer("example.org", Ok(Some(foreign)), fate).is_err());
        assert!(answer("example.org", Ok(None), fate).is_err());
        for (text, expected) in [
            ("<fate is='made'/>", Fate::Made { failed: Vec::new() }),
            ("<fate is='unfinished'/>", Fate::Unfinished),
            ("<fate is='not-made'/>", Fate::NotMade { doubtful: false }),
            ("<fate is='not-made' doubtful='true'/>", Fate::NotMade { doubtful: true }),
            ("<fate is='in-flight'/>", Fate::InFlight),
            ("<fate is='elsewhere'/>", Fate::Elsewhere),
        ] {
            assert_eq!(answer("example.org", Ok(Some(read(text))), fate), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_could_not_be_given_is_a_bounded_list_of_texts() {
        let fate: Element = "<fate xmlns='urn:easy-invite:gate:1' is='made'><failed>one</failed><other/>\
            <failed xmlns='urn:other'>not ours</failed><failed>two</failed></fate>"
            .parse()
            .unwrap();
        assert_eq!(failed(&fate), ["one", "two"]);
        let long = format!("<failed>{}</failed>", "é".repeat(LONGEST_FAILED + 1));
        let fate: Element =
            format!("<fate xmlns='urn:easy-invite:gate:1'>{}</fate>", long.repeat(MOST_FAILED + 1)).parse().unwrap();
        let kept = failed(&fate);
        assert_eq!((kept.len(), kept[0].chars().count()), (MOST_FAILED, LONGEST_FAILED));
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
            let create = Ask::Create { reserved: reserved.clone(), password, address: None, reply: created };
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
            objection("example.org", ErrorAnswer { kind, condition, text: "why".to_owned() })
        };
        let why = || "why".to_owned();
        assert_eq!(objection("cancel", "conflict"), Objection::UsernameTaken);
        assert_eq!(objection("cancel", "item-not-found"), Objection::NoSuchAccount);
        assert_eq!(objection("modify", "jid-malformed"), Objection::UsernameImpossible);
        assert_eq!(objection("modify", "policy-violation"), Objection::Password(why()));
        assert_eq!(objection("wait", "policy-violation"), Objection::Limited(why()));
        assert!(matches!(objection("wait", "service-unavailable"), Objection::Unable(_)));
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
