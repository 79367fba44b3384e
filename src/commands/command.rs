//! What a command is, and what comes of running it.

use futures::future::BoxFuture;

use super::form::{Form, Submission};
use super::requester::Requester;
use crate::invites::{Error, Issued};
use crate::texts::{CommandTexts, Texts};

/// A command.
pub struct Command {
    /// The node by which clients know the command (XEP-0050).
    pub node: &'static str,
    /// The words that run it in a chat, each in its own way.
    pub words: &'static [Word],
    pub(super) name: fn(&CommandTexts) -> &str,
    pub(super) audience: Audience,
    /// Asks for what is to be filled in next, with what was filled in so far: mostly a form.
    /// Without it the command completes at once: the built-in buttons of mobile clients show no
    /// form.
    pub ask: Option<Step>,
    pub(super) run: Step,
}

/// A step of a command: from what was filled in to what comes of it.
pub type Step = for<'a> fn(&'a Requester<'a>, &'a Submission) -> BoxFuture<'a, Result<Outcome, Error>>;

/// Who may run a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// All users of a served host.
    Users,
    /// Users who may invite. Admins always.
    Inviters,
    /// Admins.
    Admins,
}

/// A word that runs a command in a chat, as if its form had been filled in.
pub struct Word {
    /// The word, in the user's language.
    pub text: fn(&Texts) -> &str,
    /// The values that it fills in.
    pub chosen: &'static [(&'static str, &'static str)],
    /// What stands behind the word, if something does.
    pub argument: Option<Argument>,
}

/// What stands behind a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// A text, or nothing: the value of this field.
    Text(&'static str),
    /// An option of this field, by its number in the list or by its value.
    Option(&'static str),
}

/// What comes of a command.
#[derive(Debug)]
pub enum Outcome {
    /// A link: of a new invite, or a new one of an old invite.
    Invitation(Box<Issued>),
    /// The next form to fill in. Its hidden values belong to what is filled in.
    Ask(Form),
    /// A form to read.
    Told(Form),
    /// It is done: a sentence.
    Done(String),
}

impl Command {
    /// The name that people see.
    pub fn name<'a>(&self, texts: &'a Texts) -> &'a str {
        (self.name)(&texts.command)
    }

    /// May the requester run the command? Commands that they may not run are not listed either.
    ///
    /// # Errors
    /// If the chat server does not tell.
    pub async fn open_to(&self, requester: &Requester<'_>) -> Result<bool, Error> {
        match self.audience {
            Audience::Users => Ok(true),
            Audience::Inviters => requester.may_invite().await,
            Audience::Admins => requester.is_admin().await,
        }
    }

    /// Runs the command with what was filled in.
    ///
    /// # Errors
    /// Why it came to nothing. A limit that was met is in the log of events then.
    pub async fn run(&self, requester: &Requester<'_>, submission: &Submission) -> Result<Outcome, Error> {
        let outcome = (self.run)(requester, submission).await;
        if let Err(cause) = &outcome {
            requester.invites.note_limit(&requester.account, requester.host, cause).await;
        }
        outcome
    }
}
