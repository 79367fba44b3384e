//! The questions that the daemon has for the chat server. This file does not know how they get
//! there.

use std::net::IpAddr;

use jid::{BareJid, DomainPart, NodePart};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::fields::{Answers, Field};
use crate::invite::{Invite, Purpose, Use};
use crate::secret::Secret;

/// How many questions may wait to be sent. With more, the caller waits.
const WAITING_QUESTIONS: usize = 256;

/// How the daemon's connection to the chat server stands.
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
        /// When the daemon tries again by itself.
        again_at: Timestamp,
    },
}

/// What the chat server knows of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Account {
    /// There is such an account.
    pub exists: bool,
    /// The chat server counts it among its admins. If there is no such account: a configuration of
    /// the server calls this name an admin.
    pub admin: bool,
    /// The chat server could not have an account of that name.
    pub impossible: bool,
    /// The server would register no account of that name. The text says what refuses it, and may
    /// say why. Where the question is not asked, or the server cannot tell, there is none.
    pub refusal: Option<String>,
    /// `exists` is false, but the chat server may just be unable to read its accounts.
    pub doubtful: bool,
    /// When the account was made, where the chat server knows.
    pub created_at: Option<Timestamp>,
    /// Otherwise, an instant since when it is the same account. It may have been made before.
    pub known_since: Option<Timestamp>,
    /// Nobody can log in to it at present.
    pub disabled: bool,
    /// The chat server lets it make invites that register somebody.
    pub may_invite: bool,
    /// The chat server lets it make invites at all.
    pub may_invite_contacts: bool,
    /// It has an admin's rights, here or elsewhere on the server, or can take them on.
    pub privileged: bool,
    /// Which of two with such rights is above: the one with the higher rank. `None` where the chat
    /// server knows no such thing.
    pub rank: Option<i64>,
    /// Its roles, the primary one first.
    pub roles: Vec<String>,
    /// What its user wants to be called, as the user wrote it.
    pub nickname: Option<String>,
}

impl Default for Account {
    /// No account, as far as anybody knows.
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
    /// Whether the account `jid`, of which this is known, exists: where it has to, a doubtful "no"
    /// is no answer.
    ///
    /// # Errors
    /// If it is doubtful.
    pub fn certainly_exists(&self, jid: &BareJid) -> Answer<bool> {
        match !self.exists && self.doubtful {
            true => Err(NoAnswer::Unable(format!("the chat server cannot tell at the moment whether {jid} exists"))),
            false => Ok(self.exists),
        }
    }

    /// Since when the name is this account's, at the latest.
    pub fn since(&self) -> Option<Timestamp> {
        self.created_at.or(self.known_since)
    }

    /// Whether it is above another account: whoever has an admin's rights is above whoever has
    /// none, and of two who have them, the one with the higher rank.
    pub fn is_above(&self, other: &Account) -> bool {
        let has_rights = |account: &Account| account.admin || account.privileged;
        let is_higher = || self.rank.zip(other.rank).is_some_and(|(own, others)| own > others);
        has_rights(self) && (!has_rights(other) || is_higher())
    }
}

/// How a reserved use ended, as the hook knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The account is made, the password is set or the contact is made.
    Made {
        /// What the invite grants and the server cannot give, with the reasons, for the operator.
        failed: Vec<String>,
    },
    /// The account is made, but not all that the invite grants. Settling the reservation has the
    /// rest done later.
    Unfinished,
    /// Nothing was made.
    NotMade {
        /// The server says that there is no such account, but may just be unable to read its
        /// accounts.
        doubtful: bool,
    },
    /// It has not ended, or nobody can tell yet.
    InFlight,
    /// The hook of another server made the reservation. This one did nothing.
    Elsewhere,
}

/// Why the hook made no account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Objection {
    /// There is an account of this name now.
    UsernameTaken,
    /// There is no account of this name any more.
    NoSuchAccount,
    /// There can be no account of this name.
    UsernameImpossible,
    /// It cannot be a password, or the server wants a better one. The text, if any, is the
    /// server's.
    Password(String),
    /// A limit of the server holds it back for now. The text, if any, is the server's.
    Limited(String),
    /// The server can never do this, on this VirtualHost.
    Never,
    /// The server refuses for another reason. The text, if any, is the server's.
    Other(String),
    /// Nobody decided: the server cannot do it at the moment, or does not know the question.
    NoAnswer(NoAnswer),
}

/// The hook of a VirtualHost, as it introduces itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// The software and its version, for people.
    pub software: String,
    /// The id of its server. Several servers may serve the same VirtualHost.
    pub server: String,
    /// The usernames that the server's configuration calls admins, and that have no account. Of
    /// many, some.
    pub admins: Vec<String>,
    /// The options of the server about inviting that have no effect. Of many, some.
    pub unused: Vec<String>,
    /// What newcomers are asked besides a username and a password.
    pub fields: Vec<Field>,
    /// What the server can never do for an account of this VirtualHost, and why not, for the
    /// operator.
    pub never: Vec<(Purpose, String)>,
    /// The version of mod_easy_invite, if it is that and says so.
    pub version: Option<String>,
    /// The files of mod_easy_invite that are loaded.
    pub files: Vec<HookFile>,
    /// These files were replaced since they were loaded.
    pub replaced: bool,
    /// The other modules that make invites there. Of many, some.
    pub rivals: Vec<String>,
    /// What else the operator should mend, and how: a text each. Of many, some.
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
    /// For the operator: why the server can never do this, if it cannot.
    pub fn never(&self, purpose: Purpose) -> Option<String> {
        let (_, why) = self.never.iter().find(|(never, _)| *never == purpose)?;
        Some(match purpose {
            Purpose::Reset => format!("the chat server sets no passwords here: {why}"),
            Purpose::Register | Purpose::Contact => format!("the chat server creates no accounts here: {why}"),
        })
    }
}

/// Why a question has no answer. The text is a whole sentence for the operator. People read other
/// words, for whom it only matters whose turn it is now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum NoAnswer {
    /// Nobody could be asked: there is no connection to the chat server.
    #[error("{0}")]
    Unreachable(String),
    /// The chat server took too long.
    #[error("{0}")]
    Late(String),
    /// The chat server has no hook for the VirtualHost, or one of another version. It stays so
    /// until the operator changes something.
    #[error("{0}")]
    NotSetUp(String),
    /// The hook cannot tell, or cannot do it, at the moment.
    #[error("{0}")]
    Unable(String),
}

/// An answer, or the reason why there is none.
pub type Answer<T> = Result<T, NoAnswer>;

/// The way back for an answer. The one who asked may have stopped waiting for it.
pub type Reply<T> = oneshot::Sender<Answer<T>>;

/// A chat message to an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The account.
    pub to: BareJid,
    /// Its name, the same when it is sent again.
    pub id: String,
    /// The language of the text (BCP 47).
    pub language: String,
    /// The text.
    pub body: String,
}

/// What the hook of a VirtualHost, or the server itself, is asked, with the way back for its
/// answer.
#[derive(Debug)]
pub enum Ask {
    /// Is the hook there?
    Hello {
        /// Its name and the id of its server are enough: this is asked every few seconds.
        brief: bool,
        /// The hook, as it introduces itself.
        reply: Reply<Hook>,
    },
    /// What is known of the account with this localpart?
    Account {
        /// The localpart.
        username: NodePart,
        /// Also, would the server let somebody register it?
        register: bool,
        /// What is known.
        reply: Reply<Account>,
    },
    /// What became of this reservation? If its account was made, give it what it lacks.
    Settle(Box<(Use, Invite)>, Reply<Fate>),
    /// Make the account of a reserved use, or set its password.
    Create {
        /// The reservation, of the hook's own server.
        reserved: Box<(Use, Invite)>,
        /// The account's password from then on.
        password: Secret,
        /// The answers to the hook's fields, for a new account.
        answers: Answers,
        /// Where the browser connects from, for the server's own limits.
        address: Option<IpAddr>,
        /// What came of it.
        reply: Reply<Result<Fate, Objection>>,
    },
    /// Take this message. This one is for the chat server itself, without the hook.
    Deliver(Message, Reply<()>),
}

impl Ask {
    /// There is no answer, for this reason.
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

/// The asking end.
#[derive(Clone, Debug)]
pub struct ChatServer(mpsc::Sender<Question>);

/// The answering end, which holds the connection to the chat server.
pub type Questions = mpsc::Receiver<Question>;

impl ChatServer {
    /// Both ends.
    pub fn channel() -> (ChatServer, Questions) {
        let (sender, receiver) = mpsc::channel(WAITING_QUESTIONS);
        (ChatServer(sender), receiver)
    }

    /// What is known of an account.
    ///
    /// # Errors
    /// If nobody answers.
    pub async fn account(&self, jid: &BareJid) -> Answer<Account> {
        self.look_at(jid, false).await
    }

    /// The same of an account that somebody may want to register: also, would the server let them?
    ///
    /// # Errors
    /// If nobody answers.
    pub async fn new_account(&self, jid: &BareJid) -> Answer<Account> {
        self.look_at(jid, true).await
    }

    async fn look_at(&self, jid: &BareJid, register: bool) -> Answer<Account> {
        let Some(username) = jid.node().map(ToOwned::to_owned) else { return Ok(Account::default()) };
        self.ask(jid.domain().to_owned(), |reply| Ask::Account { username, register, reply }).await
    }

    /// Whether an account exists that has to.
    ///
    /// # Errors
    /// If nobody answers, or a "no" is doubtful.
    pub async fn certainly_exists(&self, jid: &BareJid) -> Answer<bool> {
        self.account(jid).await?.certainly_exists(jid)
    }

    /// What became of a reserved use.
    ///
    /// # Errors
    /// If nobody answers, or the hook cannot settle it now.
    pub async fn settle(&self, reserved: (Use, Invite)) -> Answer<Fate> {
        self.ask(reserved.1.host.clone(), |reply| Ask::Settle(Box::new(reserved), reply)).await
    }

    /// Has the account of a reserved use made, or its password set.
    ///
    /// # Errors
    /// If nobody answers. The account may have been made: [`ChatServer::settle`] tells.
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

    /// The hook of a VirtualHost.
    ///
    /// # Errors
    /// If nobody answers.
    pub async fn hello(&self, host: DomainPart) -> Answer<Hook> {
        self.ask(host, |reply| Ask::Hello { brief: false, reply }).await
    }

    /// The id of the server whose hook is there.
    ///
    /// # Errors
    /// If nobody answers.
    pub async fn server_of(&self, host: DomainPart) -> Answer<String> {
        Ok(self.ask(host, |reply| Ask::Hello { brief: true, reply }).await?.server)
    }

    /// Has the chat server take a message, which it then delivers or sends back.
    ///
    /// # Errors
    /// If it is not certain that it was taken.
    pub async fn deliver(&self, message: Message) -> Answer<()> {
        self.ask(message.to.domain().to_owned(), |reply| Ask::Deliver(message, reply)).await
    }

    async fn ask<T>(&self, host: DomainPart, ask: impl FnOnce(Reply<T>) -> Ask) -> Answer<T> {
        let nobody = || NoAnswer::Unreachable("not connected to the chat server".to_owned());
        let (reply, answer) = oneshot::channel();
        self.0.send(Question { host, ask: ask(reply) }).await.map_err(|_| nobody())?;
        answer.await.unwrap_or_else(|_| Err(nobody()))
    }
}
