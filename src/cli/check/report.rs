//! The lines that `easy-invite check` prints.

use std::fmt::Display;

use serde_json::json;

use crate::cli::context::Context;
use crate::cli::print::Reported;
use crate::texts::printable;

/// The outcome of checking a part. A warning is about something that works, but should be mended.
pub enum Found {
    Ok(String),
    Warning(String),
    Failed(String),
}

impl<T: ToString, E: ToString> From<Result<T, E>> for Found {
    fn from(found: Result<T, E>) -> Self {
        found.map_or_else(|problem| Found::Failed(problem.to_string()), |detail| Found::Ok(detail.to_string()))
    }
}

/// Prints a line for each part, and remembers whether one failed.
pub struct Report<'a> {
    context: &'a Context,
    /// The daemon has answered. Without it, nothing is "ok".
    pub answered: bool,
    failed: bool,
}

impl<'a> Report<'a> {
    /// A report in which nothing has failed yet, and of a daemon that has not answered.
    pub fn new(context: &'a Context) -> Self {
        Report { context, answered: false, failed: false }
    }

    /// Prints the line of a part, which may be one of a host's.
    ///
    /// # Errors
    /// If stdout takes no more.
    pub fn line(&mut self, part: &str, host: Option<&str>, found: impl Into<Found>) -> anyhow::Result<()> {
        let (verdict, ok, warning, detail) = match found.into() {
            Found::Ok(detail) if self.answered => ("ok", true, false, detail),
            Found::Ok(detail) => ("tried", false, true, format!("{detail} (without the daemon)")),
            Found::Warning(detail) => ("WARN", self.answered, true, detail),
            Found::Failed(detail) => ("FAILED", false, false, detail),
        };
        self.failed |= verdict == "FAILED";
        let name = host.map_or_else(|| part.to_owned(), |host| format!("{part} {host}"));
        let text = format!("{name:<24} {verdict:<6} {}", printable(&detail));
        self.context.print(json!({"part": part, "host": host, "ok": ok, "warning": warning, "detail": detail}), text)
    }

    /// Warns of a part.
    ///
    /// # Errors
    /// If stdout takes no more.
    pub fn warn(&mut self, part: &str, host: Option<&str>, problem: impl Display) -> anyhow::Result<()> {
        self.line(part, host, Found::Warning(problem.to_string()))
    }

    /// Ends the report.
    ///
    /// # Errors
    /// [`Reported`] if a part has failed.
    pub fn end(self) -> anyhow::Result<()> {
        if self.failed { Err(Reported.into()) } else { Ok(()) }
    }
}
