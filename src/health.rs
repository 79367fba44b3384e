//! Whether the daemon can do its work, concluded from facts. `/readyz`, the status line of systemd
//! and `easy-invite check` show the same value.

use std::collections::BTreeMap;
use std::fmt;

use jid::DomainPart;
use serde::{Deserialize, Serialize};

use crate::chat_server::{Answer, Link};
use crate::texts::printable;

/// How many hosts are named in one line.
const HOSTS_NAMED: usize = 5;

/// What is known at one moment.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Whether the store took the last write; otherwise a sentence that says why not.
    pub store: Result<(), String>,
    /// How the connection to the chat server stands.
    pub link: Link,
    /// The served hosts, and what the hook of each answered last on the present connection. `None`:
    /// it has not answered yet.
    pub hooks: BTreeMap<DomainPart, Option<Answer<()>>>,
    /// Whether the configuration file agrees with what is in force; otherwise a sentence that says
    /// how it differs.
    pub config: Result<(), String>,
}

/// What a problem is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The store.
    Store,
    /// The connection to the chat server.
    Component,
    /// The hook of a VirtualHost.
    Hook(DomainPart),
    /// The configuration file.
    Config,
}

/// Something that the operator has to mend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What it is about.
    pub part: Part,
    /// What is wrong, and what to do.
    pub words: String,
}

/// The daemon's health. Shown as one line: the first problem, or that there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The served hosts.
    pub hosts: Vec<DomainPart>,
    /// The problems, the weightiest first. Without one, the daemon is ready.
    pub problems: Vec<Problem>,
}

impl Health {
    /// What follows from the facts. While the chat server is away, nothing is said of its hooks.
    pub fn of(facts: Facts) -> Health {
        let Facts { store, link, hooks, config } = facts;
        let hosts: Vec<DomainPart> = hooks.keys().cloned().collect();
        let of_hooks = hooks.into_iter().filter_map(|(host, answer)| {
            let words = match answer {
                Some(Ok(())) => return None,
                Some(Err(reason)) => reason.to_string(),
                None => format!("the hook of {host} has not answered yet"),
            };
            Some(Problem { part: Part::Hook(host), words })
        });
        let of = |part| move |words| Problem { part, words };
        let mut problems: Vec<Problem> = store.err().map(of(Part::Store)).into_iter().collect();
        match link {
            Link::Connected => problems.extend(of_hooks),
            Link::Connecting => problems.push(of(Part::Component)(
                "the chat server has not answered yet: is component.server its component port?".to_owned(),
            )),
            Link::Down { problem, again_at } => {
                let words = format!("{problem}. The next try is at {} UTC", again_at.strftime("%T"));
                problems.push(of(Part::Component)(words));
            }
        }
        problems.extend(config.err().map(of(Part::Config)));
        Health { hosts, problems }
    }

    /// The problem of a part, if there is one.
    pub fn problem(&self, part: &Part) -> Option<&str> {
        self.problems.iter().find(|problem| problem.part == *part).map(|problem| problem.words.as_str())
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.as_slice() {
            [] => {
                let named: Vec<_> = self.hosts.iter().take(HOSTS_NAMED).map(|host| host.as_str()).collect();
                write!(f, "serving {}", named.join(", "))?;
                match self.hosts.len().saturating_sub(HOSTS_NAMED) {
                    0 => Ok(()),
                    more => write!(f, " and {more} more"),
                }
            }
            [first, others @ ..] => {
                write!(f, "{}", printable(&first.words))?;
                match others.len() {
                    0 => Ok(()),
                    more => write!(f, " (and {more} more: easy-invite check)"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat_server::NoAnswer;

    fn host(name: &str) -> DomainPart {
        DomainPart::new(name).unwrap().into_owned()
    }

    fn well(hosts: &[&str]) -> Facts {
        let hooks = hosts.iter().map(|name| (host(name), Some(Ok(())))).collect();
        Facts { store: Ok(()), link: Link::Connected, hooks, config: Ok(()) }
    }

    #[test]
    fn without_a_problem_the_hosts_are_named_and_of_many_some() {
        assert_eq!(Health::of(well(&["b.example", "a.example"])).to_string(), "serving a.example, b.example");
        let many: Vec<_> = (10..310).map(|number| format!("{number}.example")).collect();
        let many = Health::of(well(&many.iter().map(String::as_str).collect::<Vec<_>>()));
        assert!(many.to_string().ends_with(".example and 295 more"), "{many}");
        assert_eq!((many.hosts.len(), many.problems.len()), (300, 0));
    }

    #[test]
    fn the_weightiest_problem_comes_first_and_the_others_are_counted() {
        let mut facts = well(&["a.example", "b.example"]);
        facts.config = Err("the file differs".to_owned());
        assert_eq!(Health::of(facts.clone()).to_string(), "the file differs");
        facts.hooks.insert(host("b.example"), Some(Err(NoAnswer::NotSetUp("b.example has no\nmodule".to_owned()))));
        assert_eq!(
            Health::of(facts.clone()).to_string(),
            "b.example has no\\u{a}module (and 1 more: easy-invite check)"
        );
        facts.store = Err("the store is read-only".to_owned());
        let health = Health::of(facts);
        assert_eq!(health.to_string(), "the store is read-only (and 2 more: easy-invite check)");
        assert_eq!(health.problem(&Part::Config), Some("the file differs"));
        assert_eq!(health.problem(&Part::Hook(host("a.example"))), None);
    }

    #[test]
    fn of_a_chat_server_that_is_away_only_that_is_said() {
        let mut facts = well(&["a.example"]);
        facts.hooks.insert(host("a.example"), None);
        assert_eq!(Health::of(facts.clone()).to_string(), "the hook of a.example has not answered yet");
        let down = Link::Down { problem: "it is away".to_owned(), again_at: "2026-11-29T17:20:31Z".parse().unwrap() };
        for (link, words) in
            [(Link::Connecting, "not answered yet"), (down, "it is away. The next try is at 17:20:31 UTC")]
        {
            let health = Health::of(Facts { link, ..facts.clone() });
            assert!(health.problems.len() == 1 && health.to_string().contains(words), "{health}");
        }
    }
}
