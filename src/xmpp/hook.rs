//! Asking the hook: questions become stanzas, and answers find their way back.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use minidom::Element;
use tokio::sync::oneshot;

use super::gate::{contact_of, with_bounty};
use super::new_invite::date_time;
use super::stanza::{ErrorAnswer, element, ns, with, with_text};
use crate::chat_server::{Account, Answer, Creation, Fate, Hook, Objection, Question, Unreachable};
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
    host: String,
    until: Instant,
    patience: Duration,
    back: Back,
}

/// The way back for each kind of question.
enum Back {
    Account(oneshot::Sender<Answer<Account>>),
    Settle(oneshot::Sender<Answer<Fate>>),
    Create(oneshot::Sender<Answer<Creation>>),
    Hello(oneshot::Sender<Answer<Hook>>),
}

impl Back {
    fn unreachable(self, why: String) {
        // Whoever asked may have stopped waiting.
        match self {
            Back::Account(back) => drop(back.send(Err(Unreachable(why)))),
            Back::Settle(back) => drop(back.send(Err(Unreachable(why)))),
            Back::Create(back) => drop(back.send(Err(Unreachable(why)))),
            Back::Hello(back) => drop(back.send(Err(Unreachable(why)))),
        }
    }
}

impl Asked {
    /// The stanza that asks a question.
    pub fn ask(&mut self, question: Question, component: &str) -> Element {
        self.last += 1;
        let id = format!("gate-{}", self.last);
        let (kind, host, payload, back) = match question {
            Question::Account { host, username, answer } => {
                let payload = element!(ns::GATE, "account", "username" = username.as_str());
                ("get", host, payload, Back::Account(answer))
            }
            Question::Hello { host, answer } => ("get", host, element!(ns::GATE, "hello"), Back::Hello(answer)),
            Question::Settle { reserved, answer } => {
                let (used, invite) = *reserved;
                let payload = element!(
                    ns::GATE,
                    "settle",
                    "reservation" = used.id.as_str(),
                    "purpose" = used.purpose.as_str(),
                    "account" = used.account.as_str(),
                    "inviter" = contact_of(&invite),
                    "server" = server_of(&used),
                    "reserved-at" = date_time(used.reserved_at),
                );
                ("set", invite.host.clone(), with_promise(payload, &used, &invite), Back::Settle(answer))
            }
            Question::Create { reserved, password, address, answer } => {
                let (used, invite) = *reserved;
                let payload = element!(
                    ns::GATE,
                    "create",
                    "reservation" = used.id.as_str(),
                    "server" = server_of(&used),
                    "purpose" = used.purpose.as_str(),
                    "username" = used.account.node().map(|node| node.as_str()),
                    "inviter" = contact_of(&invite),
                    "reserved-at" = date_time(used.reserved_at),
                    "address" = address.map(|address| address.to_canonical().to_string()),
                );
                let password = with_text(element!(ns::GATE, "password"), password.reveal());
                let payload = with(with_promise(payload, &used, &invite), [password]);
                ("set", invite.host.clone(), payload, Back::Create(answer))
            }
        };
        let host = host.to_string();
        let iq =
            element!(ns::COMPONENT, "iq", "type" = kind, "from" = component, "to" = host.as_str(), "id" = id.as_str());
        let patience = if matches!(back, Back::Create(_)) { CREATION_PATIENCE } else { PATIENCE };
        self.waiting.insert(id, Waiting { host, until: Instant::now() + patience, patience, back });
        with(iq, [payload])
    }

    /// An answer arrived. One from somebody else than was asked is passed over.
    pub fn answered(&mut self, from: &str, id: &str, outcome: Result<Option<Element>, ErrorAnswer>) {
        if self.waiting.get(id).is_none_or(|waiting| waiting.host != from) {
            return;
        }
        let Some(waiting) = self.waiting.remove(id) else { return };
        let (payload, back) = match (outcome, waiting.back) {
            (Ok(Some(payload)), back) if payload.ns() == ns::GATE => (payload, back),
            (Ok(_), back) => return back.unreachable(format!("{from} answered something else")),
            (Err(error), Back::Create(back)) => return drop(back.send(Ok(Creation::Refused(objection(from, error))))),
            (Err(error), back) => return back.unreachable(refused_by(from, &error)),
        };
        let misunderstood = || Unreachable(format!("{from} answered something else"));
        let yes = |attribute: &str| match payload.attr(attribute) {
            Some("true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            _ => Err(misunderstood()),
        };
        match back {
            Back::Account(back) => drop(back.send(yes("exists").and_then(|exists| {
                let impossible = yes("impossible").unwrap_or(false);
                let created_at = payload.attr("created-at").and_then(|text| text.parse().ok());
                yes("admin").map(|admin| Account { exists, admin, impossible, created_at })
            }))),
            Back::Settle(back) => drop(back.send(match payload.attr("is") {
                Some("in-flight") => Ok(Fate::InFlight),
                Some("made") => Ok(Fate::Made),
                Some("not-made") => Ok(Fate::NotMade),
                _ => Err(misunderstood()),
            })),
            Back::Create(back) => {
                drop(back.send(match (payload.name(), payload.attr("settled"), payload.attr("is")) {
                    ("created", Some("false" | "0"), _) => Ok(Creation::Unsettled),
                    ("created", _, _) => Ok(Creation::Made),
                    ("fate", _, Some("in-flight")) => Ok(Creation::InFlight),
                    _ => Err(misunderstood()),
                }))
            }
            Back::Hello(back) => {
                let software = payload.attr("software").unwrap_or("an unknown server").to_owned();
                let server = payload.attr("server").unwrap_or_default().to_owned();
                drop(back.send(Ok(Hook { software, server })));
            }
        }
    }

    /// Gives up on what has waited too long.
    pub fn give_up(&mut self, now: Instant) {
        let late = self.waiting.extract_if(|_, waiting| waiting.until <= now);
        for (_, waiting) in late {
            let Waiting { host, patience, back, .. } = waiting;
            back.unreachable(format!("{host} did not answer within {} s", patience.as_secs()));
        }
    }
}

/// Adds what the hook has to give the account of a use.
fn with_promise(payload: Element, used: &Use, invite: &Invite) -> Element {
    if used.purpose == Purpose::Register { with_bounty(payload, invite) } else { payload }
}

/// The server that a use is reserved by, where it is known.
fn server_of(used: &Use) -> Option<&str> {
    Some(used.server.as_str()).filter(|server| !server.is_empty())
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

/// Tells whoever asked that nobody is connected.
pub fn nobody(question: Question, why: &str) {
    match question {
        Question::Account { answer, .. } => Back::Account(answer),
        Question::Settle { answer, .. } => Back::Settle(answer),
        Question::Create { answer, .. } => Back::Create(answer),
        Question::Hello { answer, .. } => Back::Hello(answer),
    }
    .unreachable(why.to_owned());
}
