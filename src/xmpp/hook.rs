//! The gate (docs/gate.md), asking side: the daemon's questions to the hook become stanzas, and the
//! hook's answers find their way back. `gate` is the answering side.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use minidom::Element;

use super::stanza::{ErrorAnswer, date_time, element, ns, with, with_text};
use crate::chat_server::{Account, Answer, Ask, Creation, Fate, Hook, Objection, Question, Reply, Unreachable};
use crate::invite::{Invite, Purpose, Use};

/// How long the hook may take. It answers from memory and its own storage.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long it may take to make an account: other modules of the server have a say, and may ask others themselves.
const CREATION_PATIENCE: Duration = Duration::from_secs(15);

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

    /// An answer arrived. One from somebody else than was asked is passed over.
    pub fn answered(&mut self, from: &str, id: &str, outcome: Result<Option<Element>, ErrorAnswer>) {
        if self.waiting.get(id).is_some_and(|waiting| waiting.question.host.as_str() == from)
            && let Some(Waiting { question, .. }) = self.waiting.remove(id)
        {
            let reply = match outcome {
                Ok(payload) => payload
                    .and_then(|payload| reply(&question.ask, &payload))
                    .ok_or_else(|| Unreachable(format!("{from} answered something else"))),
                Err(error) => refusal(&question.ask, from, error),
            };
            question.answer(reply);
        }
    }

    /// Gives up on what has waited too long.
    pub fn give_up(&mut self, now: Instant) {
        for (_, Waiting { question, .. }) in self.waiting.extract_if(|_, waiting| waiting.until <= now) {
            let (host, seconds) = (&question.host, patience(&question.ask).as_secs());
            let why = Unreachable(format!("{host} did not answer within {seconds} s"));
            question.answer(Err(why));
        }
    }
}

fn patience(ask: &Ask) -> Duration {
    if matches!(ask, Ask::Create { .. }) { CREATION_PATIENCE } else { PATIENCE }
}

/// The type of the IQ that asks, and its payload.
fn payload(ask: &Ask) -> (&'static str, Element) {
    match ask {
        Ask::Hello => ("get", element!(ns::GATE, "hello")),
        Ask::Account(username) => ("get", element!(ns::GATE, "account", "username" = username.as_str())),
        Ask::Settle(reserved) => {
            let (used, invite) = &**reserved;
            let payload = element!(
                ns::GATE,
                "settle",
                "reservation" = used.id.as_str(),
                "purpose" = used.purpose.as_str(),
                "account" = used.account.as_str(),
                "inviter" = invite.contact().map(|jid| jid.as_str()),
                "server" = server_of(used),
                "reserved-at" = date_time(used.reserved_at),
            );
            ("set", with(payload, grants(used.purpose, invite)))
        }
        Ask::Create { reserved, password, address } => {
            let (used, invite) = &**reserved;
            let payload = element!(
                ns::GATE,
                "create",
                "reservation" = used.id.as_str(),
                "server" = server_of(used),
                "purpose" = used.purpose.as_str(),
                "username" = used.account.node().map(|node| node.as_str()),
                "inviter" = invite.contact().map(|jid| jid.as_str()),
                "reserved-at" = date_time(used.reserved_at),
                "address" = address.map(|address| address.to_canonical().to_string()),
            );
            let password = with_text(element!(ns::GATE, "password"), password.reveal());
            ("set", with(with(payload, grants(used.purpose, invite)), [password]))
        }
    }
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

/// The server that a use is reserved by, where it is known.
fn server_of(used: &Use) -> Option<&str> {
    Some(used.server.as_str()).filter(|server| !server.is_empty())
}

/// What a result means; `None`: it is no answer to this question.
fn reply(ask: &Ask, payload: &Element) -> Option<Reply> {
    let yes = |attribute: &str| match payload.attr(attribute) {
        Some("true" | "1") => Some(true),
        Some("false" | "0") => Some(false),
        _ => None,
    };
    if payload.ns() != ns::GATE {
        return None;
    }
    Some(match ask {
        Ask::Hello => Reply::Hello(Hook {
            software: payload.attr("software").unwrap_or("an unknown server").to_owned(),
            server: payload.attr("server").unwrap_or_default().to_owned(),
        }),
        Ask::Account(_) => Reply::Account(Account {
            exists: yes("exists")?,
            admin: yes("admin")?,
            impossible: yes("impossible").unwrap_or(false),
            created_at: payload.attr("created-at").and_then(|text| text.parse().ok()),
        }),
        Ask::Settle(_) => Reply::Settle(match payload.attr("is")? {
            "in-flight" => Fate::InFlight,
            "made" => Fate::Made,
            "not-made" => Fate::NotMade,
            _ => return None,
        }),
        Ask::Create { .. } => Reply::Create(match (payload.name(), payload.attr("settled"), payload.attr("is")) {
            ("created", Some("false" | "0"), _) => Creation::Unfinished,
            ("created", _, _) => Creation::Made,
            ("fate", _, Some("in-flight")) => Creation::InFlight,
            _ => return None,
        }),
    })
}

/// What an error means: for `create`, that no account was made.
fn refusal(ask: &Ask, host: &str, error: ErrorAnswer) -> Answer<Reply> {
    match ask {
        Ask::Create { .. } => Ok(Reply::Create(Creation::Refused(objection(host, error)))),
        _ => Err(Unreachable(refused_by(host, &error))),
    }
}

/// Why the hook made no account.
fn objection(host: &str, error: ErrorAnswer) -> Objection {
    match (error.kind.as_str(), error.condition.as_str()) {
        (_, "conflict") => Objection::UsernameTaken,
        (_, "item-not-found") => Objection::NoSuchAccount,
        (_, "jid-malformed") => Objection::UsernameImpossible,
        ("modify", "policy-violation") => Objection::Password(error.text),
        ("wait", "policy-violation") => Objection::Limited(error.text),
        ("wait", _) | (_, "not-allowed" | "service-unavailable") => Objection::Unable(refused_by(host, &error)),
        _ => Objection::Other(error.text),
    }
}

/// What an error of the VirtualHost means for the operator.
fn refused_by(host: &str, error: &ErrorAnswer) -> String {
    match error.condition.as_str() {
        "service-unavailable" => {
            format!("{host} does not have mod_easy_invite loaded (add \"easy_invite\" to its modules_enabled)")
        }
        "remote-server-not-found" | "remote-server-timeout" | "not-allowed" => {
            format!("{host} is not a VirtualHost of the connected server ({error})")
        }
        _ => format!("{host} answered {error}"),
    }
}
