//! Words for the terminal: messages on stderr, tables, and how an invite is described to people.

use std::fmt::Display;
use std::io::{self, BufWriter, Write};

use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::invite::{Invite, InviteId, InviteType, Token, is_of_token};
use crate::links::tokens_in;
use crate::store::StoreError;
use crate::texts::printable;

/// An empty cell of a table.
pub const NOTHING: &str = "-";

/// The command failed, and has printed why.
#[derive(Debug, thiserror::Error)]
#[error("failed")]
pub struct Reported;

/// Prints a message to the operator on stderr. A closed stderr is no reason to fail.
pub fn say(message: impl Display) {
    drop(writeln!(io::stderr(), "easy-invite: {}", printable(without_secrets(&message.to_string()))));
}

/// A message without the tokens and passwords that were typed as arguments: messages are pasted
/// into chats and bug reports.
pub fn without_secrets(message: &str) -> String {
    let arguments: Vec<String> = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let message = arguments.iter().fold(message.to_owned(), |message, argument| {
        let message = match password_of(argument) {
            Some(password) => message.replace(&format!(":{password}@"), ":…@"),
            None => message,
        };
        let values = argument.split(['?', '&']).filter(|pair| pair.starts_with("password="));
        values.fold(message, |message, pair| message.replace(pair, "password=…"))
    });
    let is_link = |text: &String| text.contains("preauth") || text.starts_with("http");
    let named = arguments.iter().flat_map(|text| tokens_in(text).into_iter().map(move |token| (is_link(text), token)));
    let named = named.filter(|(of_link, token)| *of_link || Token::parse_ours(token.reveal()).is_some());
    let parts = arguments.iter().flat_map(|argument| argument.split(|c: char| !c.is_ascii_alphanumeric()));
    let tokens = parts.filter_map(Token::parse_ours).chain(named.map(|(_, token)| token));
    tokens.fold(message, |message, token| without(&message, &token))
}

/// What clap says of the arguments, without those that may be tokens of other programs. They look
/// like names: other messages repeat names that were typed.
pub fn usage_without_secrets(message: &str) -> String {
    let arguments: Vec<String> = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let parts = arguments.iter().flat_map(|argument| argument.split(|c| !is_of_token(c)));
    let is_word = |text: &str| {
        let lower = text.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        lower || text.chars().all(|c| c.is_ascii_digit()) || InviteId::parse(text).is_some()
    };
    let tokens = parts.filter(|part| !is_word(part)).filter_map(Token::parse);
    tokens.fold(without_secrets(message), |message, token| without(&message, &token))
}

fn without(message: &str, token: &Token) -> String {
    // A token typed in the place of a host is in lower case by now.
    message.replace(token.reveal(), "…").replace(&token.reveal().to_ascii_lowercase(), "…")
}

/// The password in `scheme://user:password@…`, which may hold any character.
fn password_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let (user, _) = rest.rsplit_once('@')?;
    user.split_once(':').map(|(_, password)| password)
}

/// Prints a line for each item, while `reading` still sends more of them.
///
/// # Errors
/// If stdout takes no more, or the store cannot be read.
pub async fn lines<T>(
    reading: impl Future<Output = Result<(), StoreError>>,
    items: mpsc::Receiver<T>,
    mut line: impl FnMut(T) -> anyhow::Result<String>,
) -> anyhow::Result<()> {
    let printing = async {
        // Dropped as soon as printing fails. Otherwise the reader would wait forever.
        let (mut items, mut stdout) = (items, BufWriter::new(io::stdout().lock()));
        while let Some(item) = items.recv().await {
            writeln!(stdout, "{}", line(item)?)?;
        }
        anyhow::Ok(stdout.flush()?)
    };
    let (read, printed) = futures::join!(reading, printing);
    printed?;
    Ok(read?)
}

/// An instant, or "never".
pub fn expiry(expires_at: Option<Timestamp>) -> String {
    expires_at.map_or_else(|| "never".to_owned(), |instant| instant.to_string())
}

/// How often an invite was used and may be, as "0/1" or "3/unlimited".
pub fn uses(invite: &Invite) -> String {
    let max = invite.max_uses.map_or_else(|| "unlimited".to_owned(), |max| max.to_string());
    format!("{}/{max}", invite.uses)
}

/// What an invite does, how often and how long, in two lines.
pub fn summary(invite: &Invite) -> String {
    let expires = match invite.expires_at {
        Some(instant) => format!("expires {instant}"),
        None => "never expires".to_owned(),
    };
    let uses = match invite.max_uses {
        Some(1) => "one use".to_owned(),
        Some(max) => format!("{max} uses"),
        None => "unlimited uses".to_owned(),
    };
    format!("{}: {}\n{uses}, {expires}", invite.id, invite_type(invite.invite_type))
}

/// What an invite of this type does.
pub fn invite_type(invite_type: InviteType) -> &'static str {
    match invite_type {
        InviteType::Account => "registers an account",
        InviteType::Contact => "makes a contact, registers nobody",
        InviteType::AccountAndContact => "registers an account that is a contact at once",
        InviteType::PasswordReset => "sets a new password",
    }
}

/// Rows as aligned columns, a line each. The last column is not padded.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [["a", "long", "x"], ["wide", "b", ""]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&rows), "a     long  x\nwide  b");
    }
}
