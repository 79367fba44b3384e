//! Asking before something that cannot be undone.

use std::io::{self, IsTerminal, Write};

use anyhow::Context as _;

use super::usage;
use crate::texts::printable;

/// Asks the operator, unless they have said yes already.
///
/// # Errors
/// If they say no, or nobody is there who could be asked.
pub fn confirm(command: &str, yes: bool, question: &str) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(usage(command, "--yes is needed where nobody can be asked"));
    }
    write!(io::stderr(), "{} [y/N] ", printable(question)).context("stderr")?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).context("stdin")?;
    let agreed = ["y", "yes"].contains(&answer.trim().to_lowercase().as_str());
    anyhow::ensure!(agreed, "nothing was done");
    Ok(())
}
