//! The log of events: who did what to which invite. No I/O and no clock: the caller says when it
//! is.

use std::fmt;
use std::str::FromStr;

use jid::{BareJid, DomainPart};
use jiff::Timestamp;
use serde::{Serialize, Serializer};
use strum::{AsRefStr, Display, EnumString, VariantNames};

use crate::invite::{Invite, InviteId, Issuer};

/// The longest name of a user of this machine that is kept, in characters.
const LONGEST_USER: usize = 64;

/// Who did something: `user:JID`, `admin:JID`, `cli:USER`, `hook:HOST` or `daemon`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A user of a chat server, with the rights of a user. Whoever uses an invite is one.
    User(BareJid),
    /// A user of a chat server, with the rights of an admin.
    Admin(BareJid),
    /// A user of this machine, on the command line.
    Cli(String),
    /// The chat server of this host: its hook has reported it, or passed on what was typed there.
    Hook(DomainPart),
    /// The daemon, by itself.
    Daemon,
}

impl Actor {
    /// A user of this machine. What cannot be a part of a name is left out.
    pub fn cli(user: &str) -> Actor {
        let of_a_name = |c: &char| !c.is_control() && !c.is_whitespace();
        Actor::Cli(user.chars().filter(of_a_name).take(LONGEST_USER).collect())
    }

    /// Who makes an invite with a store with which `working` works: its inviter, or the operator.
    /// That one types where `working` is, or at the chat server: a daemon makes none by itself.
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

/// A text that stands for no [`Actor`].
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
    /// The note, the end or the uses of an invite were changed.
    Changed,
    /// An invite got another link.
    Regenerated,
    /// An invite, or another link of one, was withdrawn: whoever asked for it was told to try again
    /// later.
    Withdrawn,
    /// An invite ended with an account, or with a password.
    Stopped,
    /// No invite was made, because of a limit. The refusals of an hour are one event.
    Refused,
    /// A reserved use of a chat server that is gone was given back.
    Released,
    /// Invites that ended long ago were removed. Those of an hour are one event.
    Purged,
    /// What was known of a person was erased.
    Forgotten,
}

/// Something that happened. As JSON, it has the fields that scripts may see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// Tells it apart from others of its second, and puts these in order. The store gives it.
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
    /// The account that used the invite, that the invite is for, or with which it ended.
    pub account: Option<BareJid>,
    /// A word or more: the type of the invite, where it was imported from, what of it was changed,
    /// what the use was for, or the reason. It names nobody.
    pub detail: Option<String>,
    /// How often it happened, or to how many invites.
    pub count: u64,
}

impl Event {
    /// Something that somebody did.
    pub fn new(at: Timestamp, actor: Actor, action: Action) -> Event {
        Event { at, id: 0, actor, action, host: None, invite: None, account: None, detail: None, count: 1 }
    }

    /// Something that somebody did to an invite.
    pub fn of(invite: &Invite, at: Timestamp, actor: Actor, action: Action) -> Event {
        let (host, id) = (Some(invite.host.clone()), Some(invite.id.clone()));
        Event { host, invite: id, account: invite.account(), ..Event::new(at, actor, action) }
    }

    /// An invite is made, with a store with which `working` works.
    pub fn made(invite: &Invite, working: &Actor) -> Event {
        let made = Event::of(invite, invite.created_at, Actor::of(invite, working), Action::Made);
        Event { detail: Some(invite.invite_type.to_string()), ..made }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invite::{InviteType, Token};

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
        assert_eq!(Actor::cli(&"x".repeat(1000)).to_string().len(), "cli:".len() + LONGEST_USER);
    }

    #[test]
    fn an_invite_was_made_by_its_inviter_or_by_the_operator() {
        let alice = jid("alice@example.org");
        let invite = |issuer, inviter: Option<&BareJid>| Invite {
            id: InviteId::generate().unwrap(),
            token_hash: Token::generate().unwrap().hash(),
            invite_type: InviteType::AccountAndContact,
            host: host(),
            username: None,
            inviter: inviter.cloned(),
            issuer,
            roles: Vec::new(),
            groups: Vec::new(),
            note: None,
            max_uses: Some(1),
            uses: 0,
            created_at: Timestamp::UNIX_EPOCH,
            expires_at: None,
            revoked_at: None,
            owners_since: None,
            links: 1,
            regenerated_at: None,
            language: None,
            inviter_name: None,
            imported_from: None,
            token_length: None,
            replaced: false,
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
