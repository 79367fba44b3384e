//! The log of events: who did what to which invite. No I/O and no clock.

use std::fmt;
use std::str::FromStr;

use jid::{BareJid, DomainPart};
use jiff::Timestamp;
use serde::{Serialize, Serializer};
use strum::{AsRefStr, Display, EnumString, VariantNames};

use crate::invite::{Invite, InviteId, Issuer};

/// How many characters of the name of a user of this machine are kept.
const MAX_USER: usize = 64;

/// Who did something: `user:JID`, `admin:JID`, `cli:USER`, `hook:HOST` or `daemon`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A user of a chat server, with a user's rights. This includes people who use an invite.
    User(BareJid),
    /// A user of a chat server, with an admin's rights.
    Admin(BareJid),
    /// A user of this machine, on the command line.
    Cli(String),
    /// The hook of this host, which has reported it, or relayed a command line of the chat server.
    Hook(DomainPart),
    /// The daemon.
    Daemon,
}

impl Actor {
    /// A user of this machine, without characters that cannot be in a name.
    pub fn cli(user: &str) -> Actor {
        let of_a_name = |c: &char| !c.is_control() && !c.is_whitespace();
        Actor::Cli(user.chars().filter(of_a_name).take(MAX_USER).collect())
    }

    /// Who makes an invite: its inviter, or the operator. `working` is the owner of the store's
    /// handle. If that is the daemon, the operator has typed the command at the chat server.
    pub fn of(invite: &Invite, working: &Actor) -> Actor {
        match (invite.issuer, &invite.inviter, working) {
            (Issuer::User, Some(inviter), _) => Actor::User(inviter.clone()),
            (Issuer::Admin, Some(inviter), _) => Actor::Admin(inviter.clone()),
            (_, _, Actor::Daemon) => Actor::Hook(invite.host.clone()),
            (.., working) => working.clone(),
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Actor::User(jid) => write!(f, "user:{jid}"),
            Actor::Admin(jid) => write!(f, "admin:{jid}"),
            Actor::Cli(user) => write!(f, "cli:{user}"),
            Actor::Hook(host) => write!(f, "hook:{host}"),
            Actor::Daemon => f.write_str("daemon"),
        }
    }
}

/// The error for a text that is no [`Actor`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected user:JID, admin:JID, cli:USER, hook:HOST or daemon")]
pub struct BadActor;

impl FromStr for Actor {
    type Err = BadActor;

    fn from_str(text: &str) -> Result<Self, BadActor> {
        let account = |text| BareJid::new(text).map_err(|_| BadActor);
        match text.split_once(':') {
            Some(("user", jid)) => account(jid).map(Actor::User),
            Some(("admin", jid)) => account(jid).map(Actor::Admin),
            Some(("cli", user)) => Ok(Actor::Cli(user.to_owned())),
            Some(("hook", host)) => {
                DomainPart::new(host).map(|host| Actor::Hook(host.into_owned())).map_err(|_| BadActor)
            }
            None if text == "daemon" => Ok(Actor::Daemon),
            _ => Err(BadActor),
        }
    }
}

impl Serialize for Actor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What was done.
#[derive(AsRefStr, Clone, Copy, Debug, Display, EnumString, Eq, PartialEq, Serialize, VariantNames)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Action {
    /// An invite was made.
    Made,
    /// An invite of another program, or of another store, was imported.
    Imported,
    /// A use of an invite was redeemed.
    Redeemed,
    /// An invite was revoked.
    Revoked,
    /// The note, the expiry or the uses of an invite were changed.
    Changed,
    /// An invite got a new link.
    Regenerated,
    /// A new invite was removed, or a new link was replaced by the old one, because the person who
    /// asked for it was told to try again later.
    Withdrawn,
    /// An invite ended because an account was deleted, or a password was changed.
    Stopped,
    /// No invite was made, because of a limit. All refusals within an hour are one event.
    Refused,
    /// A reserved use of a chat server that is gone was given back.
    Released,
    /// Invites that ended long ago were removed. All within an hour are one event.
    Purged,
    /// The data about a person was erased.
    Forgotten,
}

/// Something that happened. As JSON, it has the fields for scripts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// A number from the store, by which events of the same second are told apart and sorted.
    #[serde(skip)]
    pub id: i64,
    /// Who did it.
    pub actor: Actor,
    /// What was done.
    pub action: Action,
    /// The host, if it is about one.
    pub host: Option<DomainPart>,
    /// The invite, if it is about one.
    pub invite: Option<InviteId>,
    /// The account that used the invite, that the invite is for, or whose deletion ended it.
    pub account: Option<BareJid>,
    /// Some words without anybody's name: the type of the invite, where it was imported from, what
    /// was changed, the purpose of the use, or the reason.
    pub detail: Option<String>,
    /// How often it happened, or to how many invites.
    pub count: u64,
}

impl Event {
    /// An event about no invite.
    pub fn new(at: Timestamp, actor: Actor, action: Action) -> Event {
        Event { at, id: 0, actor, action, host: None, invite: None, account: None, detail: None, count: 1 }
    }

    /// An event about an invite.
    pub fn of(invite: &Invite, at: Timestamp, actor: Actor, action: Action) -> Event {
        let (host, id) = (Some(invite.host.clone()), Some(invite.id.clone()));
        Event { host, invite: id, account: invite.account(), ..Event::new(at, actor, action) }
    }

    /// An invite is made. For `working`, see [`Actor::of`].
    pub fn made(invite: &Invite, working: &Actor) -> Event {
        let made = Event::of(invite, invite.created_at, Actor::of(invite, working), Action::Made);
        Event { detail: Some(invite.invite_type.to_string()), ..made }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invite::InviteType;
    use crate::invite::tests::invite;

    fn jid(text: &str) -> BareJid {
        BareJid::new(text).unwrap()
    }

    fn host() -> DomainPart {
        DomainPart::new("example.org").unwrap().into_owned()
    }

    #[test]
    fn an_actor_is_read_as_it_is_written() {
        for (actor, text) in [
            (Actor::User(jid("zoë@example.org")), "user:zoë@example.org"),
            (Actor::Admin(jid("alice@example.org")), "admin:alice@example.org"),
            (Actor::cli("root"), "cli:root"),
            (Actor::cli(""), "cli:"),
            (Actor::Hook(host()), "hook:example.org"),
            (Actor::Daemon, "daemon"),
        ] {
            assert_eq!((actor.to_string().as_str(), text.parse()), (text, Ok(actor)));
        }
        for text in ["", "daemon:", "root", "user", "user:", "hook:", "key:1", "User:alice@example.org"] {
            assert_eq!(text.parse::<Actor>(), Err(BadActor), "{text}");
        }
    }

    #[test]
    fn a_user_of_this_machine_has_a_short_name_in_one_word() {
        assert_eq!(Actor::cli("ro ot\n\u{1b}[31m"), Actor::Cli("root[31m".to_owned()));
        assert_eq!(Actor::cli(&"x".repeat(1000)).to_string().len(), "cli:".len() + MAX_USER);
    }

    #[test]
    fn an_invite_was_made_by_its_inviter_or_by_the_operator() {
        let alice = jid("alice@example.org");
        let invite = |issuer, inviter: Option<&BareJid>| Invite {
            inviter: inviter.cloned(),
            issuer,
            ..invite(InviteType::AccountAndContact)
        };
        for (issuer, inviter, working, actor) in [
            (Issuer::User, Some(&alice), Actor::Daemon, "user:alice@example.org"),
            (Issuer::Admin, Some(&alice), Actor::Daemon, "admin:alice@example.org"),
            // The contact of the newcomer, who has not made the invite.
            (Issuer::Operator, Some(&alice), Actor::cli("root"), "cli:root"),
            (Issuer::Operator, None, Actor::cli("root"), "cli:root"),
            (Issuer::Operator, None, Actor::Daemon, "hook:example.org"),
        ] {
            let made = Event::made(&invite(issuer, inviter), &working);
            assert_eq!((made.actor.to_string().as_str(), made.action), (actor, Action::Made));
            assert_eq!(made.detail.as_deref(), Some("account-and-contact"));
        }
    }
}
