//! Texts for the terminal.

use jiff::Timestamp;

use crate::invite::{Invite, InviteType};

/// What stands in a list where there is nothing.
pub const NOTHING: &str = "-";

/// An instant, or "never".
pub fn expiry(expires_at: Option<Timestamp>) -> String {
    expires_at.map_or_else(|| "never".to_owned(), |instant| instant.to_string())
}

/// How many uses of how many, as "0/1" or "3/unlimited".
pub fn uses(invite: &Invite) -> String {
    let max = invite.max_uses.map_or_else(|| "unlimited".to_owned(), |max| max.to_string());
    format!("{}/{max}", invite.uses)
}

/// An invite's type, for people.
pub fn invite_type(invite_type: InviteType) -> &'static str {
    match invite_type {
        InviteType::Account => "registers an account",
        InviteType::Contact => "makes a contact, registers nobody",
        InviteType::AccountAndContact => "registers an account that is a contact at once",
        InviteType::PasswordReset => "sets a new password",
    }
}

/// The first characters of a text, and a sign where there are more.
pub fn shortened(text: &str, length: usize) -> String {
    match text.char_indices().nth(length) {
        None => text.to_owned(),
        Some(_) => text.chars().take(length.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// Rows as aligned columns; the last column is as long as it is.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    rows.iter().fold(String::new(), |mut table, row| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        table.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        table.push('\n');
        table
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [["a", "long", "x"], ["wide", "b", ""]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&rows), "a     long  x\nwide  b\n");
    }

    #[test]
    fn long_texts_are_shortened() {
        assert_eq!(shortened("äöü", 3), "äöü");
        assert_eq!(shortened("äöüß", 3), "äö…");
    }
}
