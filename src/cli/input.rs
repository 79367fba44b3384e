//! Questions to the operator, and reading stdin.

use std::io::{self, IsTerminal, Read, Write};

use anyhow::Context as _;

use crate::invites::Error;
use crate::links::BadReference;
use crate::refusal::Refusal;
use crate::texts::printable;

/// A mistake in the usage that clap's own rules cannot express.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WrongUsage(pub String);

/// A mistake in the usage, in these words.
pub fn wrong_usage(problem: impl Into<String>) -> anyhow::Error {
    WrongUsage(problem.into()).into()
}

/// Asks before something that cannot be undone. With `yes`, the operator has agreed already.
///
/// # Errors
/// If they say no, or stdin is no terminal.
pub fn confirm(yes: bool, question: &str) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(wrong_usage("--yes is needed where nobody can be asked"));
    }
    write!(io::stderr(), "{} [y/N] ", printable(question)).context("stderr")?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).context("stdin")?;
    let agreed = ["y", "yes"].contains(&answer.trim().to_lowercase().as_str());
    anyhow::ensure!(agreed, "nothing was done");
    Ok(())
}

/// The longest id, token or link that is read from stdin, in bytes.
const LONGEST_REFERENCE: u64 = 8 * 1024;

/// The text that names an invite: the argument, or stdin if the argument is `-`. Other users of
/// this machine can see arguments, but not stdin.
///
/// # Errors
/// If stdin is too long, is no UTF-8 or cannot be read.
pub fn typed_reference(typed: String) -> anyhow::Result<String> {
    if typed == "-" { read_stdin(LONGEST_REFERENCE) } else { Ok(typed) }
}

/// The error of a look-up. If what was typed names no invite at all, it says what would.
pub fn not_found(error: Error) -> anyhow::Error {
    match error {
        Error::Refused(Refusal::Incomplete) => BadReference.into(),
        error => error.into(),
    }
}

/// The invite that a command is about.
#[derive(Debug, clap::Args)]
pub struct Named {
    /// The invite's id, its token, or any of its links; - reads it from stdin, where nobody else on
    /// this machine sees it
    #[arg(value_name = "REF", allow_hyphen_values = true, value_parser = reference)]
    reference: String,
}

/// The argument that names an invite. A token of another program may begin with a hyphen, so clap
/// lets such arguments through, and this refuses those that look like an option.
pub fn reference(text: &str) -> Result<String, &'static str> {
    let name = text.split('=').next().filter(|name| name.starts_with('-') && name.len() > 1);
    match name.is_some_and(|name| name.chars().all(|c| c == '-' || c.is_ascii_lowercase())) {
        true => Err("there is no such option. A token that looks like one is read from stdin, with -"),
        false => Ok(text.to_owned()),
    }
}

impl Named {
    /// What was typed.
    ///
    /// # Errors
    /// As [`typed_reference`].
    pub fn typed(self) -> anyhow::Result<String> {
        typed_reference(self.reference)
    }
}

/// All of stdin, at most `longest` bytes.
///
/// # Errors
/// If it is longer, is no UTF-8 or cannot be read.
pub fn read_stdin(longest: u64) -> anyhow::Result<String> {
    let text = io::read_to_string(io::stdin().lock().take(longest + 1)).context("stdin")?;
    anyhow::ensure!(text.len() as u64 <= longest, "stdin: longer than {longest} bytes");
    Ok(text)
}
