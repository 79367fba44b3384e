//! What the daemon asks the chat server, through whatever connection there is to it.

use jid::{BareJid, DomainPart, NodePart};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::invite::{Invite, Use};

/// How many questions may wait to be sent before those who ask have to wait themselves.
const WAITING_QUESTIONS: usize = 256;

/// What the chat server knows of an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// There is such an account.
    pub exists: bool,
    /// The chat server counts it among its admins.
    pub admin: bool,
    /// The chat server could not have an account of that name.
    #[serde(default)]
    pub impossible: bool,
    /// When the account was made, where the chat server knows.
    #[serde(default)]
    pub created_at: Option<Timestamp>,
}

/// What became of a reserved use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Whoever reserved it is still at it.
    InFlight,
    /// Its account was made, and now has its contact, roles and groups.
    Made,
    /// Its account was not made.
    NotMade,
}

/// The hook of a VirtualHost, as it introduces itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// The software and its version, for people.
    pub software: String,
    /// The id of its server: which of several that may serve the same VirtualHost.
    #[serde(default)]
    pub server: String,
}

/// The chat server, or its hook, did not answer: nobody is connected, or not in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{0}")]
pub struct Unreachable(pub String);

/// An answer, or the reason why there is none.
pub type Answer<T> = Result<T, Unreachable>;

/// One question, with the way back for its answer.
#[derive(Debug)]
pub enum Question {
    /// What is known of an account?
    Account {
        /// The VirtualHost.
        host: DomainPart,
        /// The account's localpart.
        username: NodePart,
        /// The way back.
        answer: oneshot::Sender<Answer<Account>>,
    },
    /// What became of this reservation? If its account was made, make good what may be missing.
    Settle {
        /// The reservation.
        reserved: Box<(Use, Invite)>,
        /// The way back.
        answer: oneshot::Sender<Answer<Fate>>,
    },
    /// Is the hook of this VirtualHost there?
    Hello {
        /// The VirtualHost.
        host: DomainPart,
        /// The way back.
        answer: oneshot::Sender<Answer<Hook>>,
    },
}

/// The asking end.
#[derive(Clone, Debug)]
pub struct ChatServer(mpsc::Sender<Question>);

/// The answering end: whoever holds the connection to the chat server.
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
        let Some(username) = jid.node() else { return Ok(Account::default()) };
        let (host, username) = (jid.domain().to_owned(), username.to_owned());
        self.ask(|answer| Question::Account { host, username, answer }).await
    }

    /// What became of a reserved use.
    ///
    /// # Errors
    /// If nobody answers.
    pub async fn settle(&self, reserved: (Use, Invite)) -> Answer<Fate> {
        self.ask(|answer| Question::Settle { reserved: Box::new(reserved), answer }).await
    }

    /// The hook of a VirtualHost.
    ///
    /// # Errors
    /// If nobody answers.
    pub async fn hello(&self, host: DomainPart) -> Answer<Hook> {
        self.ask(|answer| Question::Hello { host, answer }).await
    }

    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<Answer<T>>) -> Question) -> Answer<T> {
        let nobody = || Unreachable("not connected to the chat server".to_owned());
        let (sender, receiver) = oneshot::channel();
        self.0.send(question(sender)).await.map_err(|_| nobody())?;
        receiver.await.unwrap_or_else(|_| Err(nobody()))
    }
}
