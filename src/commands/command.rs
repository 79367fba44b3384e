//! What a command is, and what it can result in.

use futures::future::BoxFuture;

use super::form::{Form, Submission};
use super::requester::Requester;
use crate::invites::{Error, Issued};
use crate::texts::{CommandTexts, Texts};

/// A command.
pub struct Command {
    /// The node by which clients know the command (XEP-0050).
    pub node: &'static str,
    /// The words that run it in a chat, each with values of its own.
    pub words: &'static [Word],
    pub(super) name: fn(&CommandTexts) -> &str,
    pub(super) audience: Audience,
    /// Returns the next form, from what was filled in so far. `None` if the command completes at
    /// once, for the buttons of mobile clients, which show no form.
    pub ask: Option<Step>,
    pub(super) run: Step,
}

/// A step of a command, from what was filled in to an outcome.
pub type Step = for<'a> fn(&'a Requester<'a>, &'a Submission) -> BoxFuture<'a, Result<Outcome, Error>>;

/// Who may run a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// All users of a served host.
    Users,
    /// Users who may invite, and admins.
    Inviters,
    /// Admins.
    Admins,
}

/// A word that runs a command in a chat, as if its form had been filled in.
pub struct Word {
    /// The word, in the user's language.
    pub text: fn(&Texts) -> &str,
    /// The fields that it fills in, and their values.
    pub chosen: &'static [(&'static str, &'static str)],
    /// What follows the word. `None` if nothing does.
    pub argument: Option<Argument>,
}

/// What follows a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// A text, or nothing: the value of this field.
    Text(&'static str),
    /// An option of this field, by its number in the list or by its value.
    Option(&'static str),
}

/// What a step of a command results in.
#[derive(Debug)]
pub enum Outcome {
    /// A link of a new invite, or a new link of an old one.
    Invitation(Box<Issued>),
    /// The next form to fill in. Its hidden values are part of what is filled in.
    Ask(Form),
    /// A form to read.
    Result(Form),
    /// A sentence that says what was done.
    Done(String),
}

impl Command {
    /// The name that people see.
    pub fn name<'a>(&self, texts: &'a Texts) -> &'a str {
        (self.name)(&texts.command)
    }

    /// Whether the requester may run the command, and sees it in the list.
    ///
    /// # Errors
    /// If the chat server does not answer.
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
    /// Why it did nothing. If that is a limit for users, the log of events has it then.
    pub async fn run(&self, requester: &Requester<'_>, submission: &Submission) -> Result<Outcome, Error> {
        let outcome = (self.run)(requester, submission).await;
        if let Err(cause) = &outcome {
            requester.invites.note_limit(&requester.account, requester.host, cause).await;
        }
        outcome
    }
}
