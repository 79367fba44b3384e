//! Asking the hook: questions become stanzas, and answers find their way back.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use minidom::Element;
use tokio::sync::oneshot;

use super::gate::{contact_of, with_bounty};
use super::new_invite::date_time;
use super::stanza::{element, ns, with};
use crate::chat_server::{Account, Answer, Fate, Hook, Question, Unreachable};
use crate::invite::Purpose;

/// How long the hook may take. It answers from memory and its own storage.
const PATIENCE: Duration = Duration::from_secs(5);

/// The questions that wait for an answer on this connection.
#[derive(Default)]
pub struct Asked {
    waiting: HashMap<String, Waiting>,
    last: u64,
}

struct Waiting {
    host: String,
    until: Instant,
    back: Back,
}

/// The way back for each kind of question.
enum Back {
    Account(oneshot::Sender<Answer<Account>>),
    Settle(oneshot::Sender<Answer<Fate>>),
    Hello(oneshot::Sender<Answer<Hook>>),
}

impl Back {
    fn unreachable(self, why: String) {
        // Whoever asked may have stopped waiting.
        match self {
            Back::Account(back) => drop(back.send(Err(Unreachable(why)))),
            Back::Settle(back) => drop(back.send(Err(Unreachable(why)))),
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
                    "reservation" = used.id,
                    "purpose" = used.purpose.as_str(),
                    "account" = used.account.as_str(),
                    "inviter" = contact_of(&invite),
                    "server" = Some(used.server.as_str()).filter(|server| !server.is_empty()),
                    "reserved-at" = date_time(used.reserved_at),
                );
                let payload = if used.purpose == Purpose::Register { with_bounty(payload, &invite) } else { payload };
                ("set", invite.host, payload, Back::Settle(answer))
            }
        };
        let host = host.to_string();
        let iq =
            element!(ns::COMPONENT, "iq", "type" = kind, "from" = component, "to" = host.as_str(), "id" = id.as_str());
        self.waiting.insert(id, Waiting { host, until: Instant::now() + PATIENCE, back });
        with(iq, [payload])
    }

    /// An answer arrived. One from somebody else than was asked is passed over.
    pub fn answered(&mut self, from: &str, id: &str, outcome: Result<Option<Element>, String>) {
        if self.waiting.get(id).is_none_or(|waiting| waiting.host != from) {
            return;
        }
        let Some(waiting) = self.waiting.remove(id) else { return };
        let payload = match outcome {
            Ok(Some(payload)) if payload.ns() == ns::GATE => payload,
            Ok(_) => return waiting.back.unreachable(format!("{from} answered something else")),
            Err(text) => return waiting.back.unreachable(refused_by(from, &text)),
        };
        let misunderstood = || Unreachable(format!("{from} answered something else"));
        let yes = |attribute: &str| match payload.attr(attribute) {
            Some("true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            _ => Err(misunderstood()),
        };
        match waiting.back {
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
            waiting.back.unreachable(format!("{} did not answer within {} s", waiting.host, PATIENCE.as_secs()));
        }
    }
}

/// What an error of the VirtualHost means for the operator.
fn refused_by(host: &str, text: &str) -> String {
    match text.split(':').next() {
        Some("service-unavailable") => {
            format!("{host} does not have mod_easy_invite loaded (add \"easy_invite\" to its modules_enabled)")
        }
        Some("remote-server-not-found" | "remote-server-timeout" | "not-allowed") => {
            format!("{host} is not a VirtualHost of the connected server ({text})")
        }
        _ => format!("{host} answered {text}"),
    }
}

/// Tells whoever asked that nobody is connected.
pub fn nobody(question: Question, why: &str) {
    match question {
        Question::Account { answer, .. } => Back::Account(answer),
        Question::Settle { answer, .. } => Back::Settle(answer),
        Question::Hello { answer, .. } => Back::Hello(answer),
    }
    .unreachable(why.to_owned());
}
