//! The daemon's questions to the chat server, and what an answer can be. How they get there is the
//! matter of `xmpp`.

use std::net::IpAddr;

use jid::{BareJid, DomainPart, NodePart};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::fields::{Answers, Field};
use crate::invite::{Invite, Purpose, Use};
use crate::secret::Secret;

/// How many questions may wait to be sent. If there are more, their callers wait.
const MAX_QUEUED: usize = 256;

/// The state of the daemon's connection to the chat server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// Not yet connected.
    Connecting,
    /// The chat server accepted the component.
    Connected,
    /// The chat server refused the component, or the connection was lost.
    Down {
        /// Why, and what to change.
        problem: String,
        /// When the daemon tries again.
        again_at: Timestamp,
    },
}

/// What the chat server knows of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Account {
    /// There is such an account.
    pub exists: bool,
    /// It is an admin of its host. If there is no such account: the server's configuration calls
    /// this name an admin.
    pub admin: bool,
    /// The chat server cannot have an account of this name.
    pub impossible: bool,
    /// The server would refuse to register this name. The text says what refuses it, and perhaps
    /// why. `None` if it would not, cannot tell, or was not asked.
    pub refusal: Option<String>,
    /// `exists` is false, but perhaps the chat server just cannot read its accounts.
    pub doubtful: bool,
    /// When the account was made, if the chat server knows that.
    pub created_at: Option<Timestamp>,
    /// If not, an instant at which the account was there already.
    pub known_since: Option<Timestamp>,
    /// Nobody can log in to it now.
    pub disabled: bool,
    /// The chat server lets its user make invites that register accounts.
    pub may_invite: bool,
    /// The chat server lets its user make invites at all.
    pub may_invite_contacts: bool,
    /// It has, or can assume, an admin's rights on its host or elsewhere on the server.
    pub privileged: bool,
    /// Of two privileged accounts, the one with the higher rank ranks above the other. `None` if
    /// the chat server has no ranks.
    pub rank: Option<i64>,
    /// Its roles, the primary one first.
    pub roles: Vec<String>,
    /// The nickname that its user has published, unchanged.
    pub nickname: Option<String>,
}

impl Default for Account {
    /// There is no such account, and nothing else is known.
    fn default() -> Self {
        Account {
            exists: false,
            admin: false,
            impossible: false,
            refusal: None,
            doubtful: false,
            created_at: None,
            known_since: None,
            disabled: false,
            may_invite: true,
            may_invite_contacts: true,
            privileged: false,
            rank: None,
            roles: Vec::new(),
            nickname: None,
        }
    }
}

impl Account {
    /// Whether the account exists, for a caller to whom a doubtful "no" is no answer. `jid` is its
    /// address.
    ///
    /// # Errors
    /// If the "no" is doubtful.
    pub fn certainly_exists(&self, jid: &BareJid) -> Answer<bool> {
        match !self.exists && self.doubtful {
            true => Err(NoAnswer::Unable(format!("the chat server cannot tell at the moment whether {jid} exists"))),
            false => Ok(self.exists),
        }
    }

    /// An instant since which this name has certainly been this account's.
    pub fn since(&self) -> Option<Timestamp> {
        self.created_at.or(self.known_since)
    }

    /// Whether it ranks above another account: it is privileged and the other is not, or both are
    /// and it has the higher rank.
    pub fn is_above(&self, other: &Account) -> bool {
        let is_privileged = |account: &Account| account.admin || account.privileged;
        let is_higher = || self.rank.zip(other.rank).is_some_and(|(own, others)| own > others);
        is_privileged(self) && (!is_privileged(other) || is_higher())
    }
}

/// How a reserved use ended, as the hook knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The account is made, the password is set or the contact is made.
    Made {
        /// A text for the operator about each grant that failed for good.
        failed: Vec<String>,
    },
    /// The account is made, but does not have everything that the invite grants yet. The hook tries
    /// again when it is asked to settle the reservation.
    Unfinished,
    /// Nothing was made.
    NotMade {
        /// Perhaps the server just cannot read its accounts.
        doubtful: bool,
    },
    /// It has not ended, or its end is not known yet.
    InFlight,
    /// The reservation is another server's. This one did nothing.
    Elsewhere,
}

/// Why the hook made no account, or set no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Objection {
    /// There is an account of this name now.
    UsernameTaken,
    /// There is no account of this name any more.
    NoSuchAccount,
    /// There can be no account of this name.
    UsernameImpossible,
    /// The server does not accept the password. The text, if any, is the server's.
    Password(String),
    /// A limit of the server does not allow it now. The text, if any, is the server's.
    Limited(String),
    /// The server can never do this, on this VirtualHost.
    Never,
    /// The server refuses for another reason. The text, if any, is the server's.
    Other(String),
    /// The server cannot do it now, or does not know the question.
    NoAnswer(NoAnswer),
}

/// The hook of a VirtualHost, as it introduces itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// The software and its version, for people.
    pub software: String,
    /// The id of its server. Several servers may serve the same VirtualHost.
    pub server: String,
    /// The usernames that the server's configuration calls admins, and that have no account. If
    /// there are many, some of them. The same goes for the other lists.
    pub admins: Vec<String>,
    /// The server's options for its own invites that are set and have no effect.
    pub unused: Vec<String>,
    /// What newcomers are asked besides a username and a password.
    pub fields: Vec<Field>,
    /// What the server can never do for an account of this VirtualHost, and the reason, for the
    /// operator.
    pub never: Vec<(Purpose, String)>,
    /// The version of mod_easy_invite, if the hook is that module.
    pub version: Option<String>,
    /// The files of mod_easy_invite that are loaded.
    pub files: Vec<HookFile>,
    /// These files were replaced since they were loaded.
    pub replaced: bool,
    /// The other modules there that make invites.
    pub rivals: Vec<String>,
    /// What else the operator should correct, and how.
    pub warnings: Vec<String>,
}

/// A file of the hook, as it was when the server loaded it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookFile {
    /// Its name in the hook's folder.
    pub name: String,
    /// Where it is, on the server's machine.
    pub path: String,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

impl Hook {
    /// Why the server can never do this, for the operator. `None` if it can.
    pub fn never(&self, purpose: Purpose) -> Option<String> {
        let (_, why) = self.never.iter().find(|(never, _)| *never == purpose)?;
        Some(match purpose {
            Purpose::Reset => format!("the chat server sets no passwords here: {why}"),
            Purpose::Register | Purpose::Contact => format!("the chat server creates no accounts here: {why}"),
        })
    }
}

/// Why a question has no answer. The text is for the operator. Users read other texts, which only
/// say what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum NoAnswer {
    /// There is no connection to the chat server.
    #[error("{0}")]
    Unreachable(String),
    /// The chat server took too long.
    #[error("{0}")]
    Late(String),
    /// The chat server has no hook for the VirtualHost, or one of another version. It stays so
    /// until the operator changes something.
    #[error("{0}")]
    NotSetUp(String),
    /// The hook cannot answer, or cannot do it, now.
    #[error("{0}")]
    Unable(String),
}

/// An answer, or the reason why there is none.
pub type Answer<T> = Result<T, NoAnswer>;

/// Where the answer goes. The caller may have stopped waiting for it.
pub type Reply<T> = oneshot::Sender<Answer<T>>;

/// A chat message to an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The account.
    pub to: BareJid,
    /// Its stanza id, which is the same when it is sent again.
    pub id: String,
    /// The language of the text (BCP 47).
    pub language: String,
    /// The text.
    pub body: String,
}

/// A question to the hook of a VirtualHost or to the server itself, and where its answer goes.
#[derive(Debug)]
pub enum Ask {
    /// Is the hook there?
    Hello {
        /// The software and the server's id are enough: this is asked every few seconds.
        brief: bool,
        /// For the answer.
        reply: Reply<Hook>,
    },
    /// What is known of the account with this localpart?
    Account {
        /// The localpart.
        username: NodePart,
        /// Also asks whether the server would let somebody register it.
        register: bool,
        /// For the answer.
        reply: Reply<Account>,
    },
    /// How did this reservation end? If its account was made, give it what it lacks.
    Settle(Box<(Use, Invite)>, Reply<Fate>),
    /// Make the account of a reserved use, or set its password.
    Create {
        /// The reservation, in the name of this hook's server.
        reserved: Box<(Use, Invite)>,
        /// The new password.
        password: Secret,
        /// The answers to the hook's fields, for a new account.
        answers: Answers,
        /// Where the browser connects from, for the server's own limits.
        address: Option<IpAddr>,
        /// For the answer.
        reply: Reply<Result<Fate, Objection>>,
    },
    /// Deliver this message. The server itself answers this, without the hook.
    Deliver(Message, Reply<()>),
}

impl Ask {
    /// Tells the caller why there is no answer.
    pub fn fail(self, why: NoAnswer) {
        match self {
            Ask::Hello { reply, .. } => drop(reply.send(Err(why))),
            Ask::Account { reply, .. } => drop(reply.send(Err(why))),
            Ask::Settle(_, reply) => drop(reply.send(Err(why))),
            Ask::Create { reply, .. } => drop(reply.send(Err(why))),
            Ask::Deliver(_, reply) => drop(reply.send(Err(why))),
        }
    }
}

/// A question for the hook of a VirtualHost.
#[derive(Debug)]
pub struct Question {
    /// The VirtualHost.
    pub host: DomainPart,
    /// What it is asked.
    pub ask: Ask,
}

/// The end that asks.
#[derive(Clone, Debug)]
pub struct ChatServer(mpsc::Sender<Question>);

/// The end that answers, which has the connection to the chat server.
pub type Questions = mpsc::Receiver<Question>;

impl ChatServer {
    /// Both ends.
    pub fn channel() -> (ChatServer, Questions) {
        let (sender, receiver) = mpsc::channel(MAX_QUEUED);
        (ChatServer(sender), receiver)
    }

    /// What the chat server knows of an account.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn account(&self, jid: &BareJid) -> Answer<Account> {
        self.ask_account(jid, false).await
    }

    /// The same of a name that somebody may want to register: also, whether the server refuses it.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn new_account(&self, jid: &BareJid) -> Answer<Account> {
        self.ask_account(jid, true).await
    }

    async fn ask_account(&self, jid: &BareJid, register: bool) -> Answer<Account> {
        let Some(username) = jid.node().map(ToOwned::to_owned) else { return Ok(Account::default()) };
        self.ask(jid.domain().to_owned(), |reply| Ask::Account { username, register, reply }).await
    }

    /// Whether an account exists, without doubt.
    ///
    /// # Errors
    /// If there is no answer, or a "no" is doubtful.
    pub async fn certainly_exists(&self, jid: &BareJid) -> Answer<bool> {
        self.account(jid).await?.certainly_exists(jid)
    }

    /// How a reservation ended.
    ///
    /// # Errors
    /// If there is no answer, or the hook cannot settle it now.
    pub async fn settle(&self, reserved: (Use, Invite)) -> Answer<Fate> {
        self.ask(reserved.1.host.clone(), |reply| Ask::Settle(Box::new(reserved), reply)).await
    }

    /// Lets the hook make the account of a reservation, or set its password.
    ///
    /// # Errors
    /// If there is no answer. The account may have been made: ask [`ChatServer::settle`].
    pub async fn create(
        &self,
        reserved: (Use, Invite),
        password: Secret,
        answers: Answers,
        address: Option<IpAddr>,
    ) -> Answer<Result<Fate, Objection>> {
        let (host, reserved) = (reserved.1.host.clone(), Box::new(reserved));
        self.ask(host, |reply| Ask::Create { reserved, password, answers, address, reply }).await
    }

    /// What the hook of a VirtualHost says about itself.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn hello(&self, host: DomainPart) -> Answer<Hook> {
        self.ask(host, |reply| Ask::Hello { brief: false, reply }).await
    }

    /// The id of the server of a VirtualHost's hook.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn server_of(&self, host: DomainPart) -> Answer<String> {
        Ok(self.ask(host, |reply| Ask::Hello { brief: true, reply }).await?.server)
    }

    /// Sends a message, and waits until the chat server has accepted it. The server then delivers
    /// it or sends it back.
    ///
    /// # Errors
    /// If it is not certain that the server has accepted it.
    pub async fn deliver(&self, message: Message) -> Answer<()> {
        self.ask(message.to.domain().to_owned(), |reply| Ask::Deliver(message, reply)).await
    }

    async fn ask<T>(&self, host: DomainPart, ask: impl FnOnce(Reply<T>) -> Ask) -> Answer<T> {
        let offline = || NoAnswer::Unreachable("not connected to the chat server".to_owned());
        let (reply, answer) = oneshot::channel();
        self.0.send(Question { host, ask: ask(reply) }).await.map_err(|_| offline())?;
        answer.await.unwrap_or_else(|_| Err(offline()))
    }
}
