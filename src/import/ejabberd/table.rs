//! The table of mod_invites in an SQL database of ejabberd.

use anyhow::bail;
use jid::DomainPart;

use super::row::Row;
use crate::database::Foreign;

const TABLE: &str = "invite_token";

/// The column with the host of an invite. A database that belongs to one host does not have it.
const HOST: &str = "server_host";

const COLUMNS: [&str; 7] = ["token", "username", "type", "invitee", "account_name", "created_at", "expires"];

/// Calls `each` for each invite in the table. The invites of a database that belongs to one host
/// are those of the only one in `hosts`.
///
/// # Errors
/// If the database cannot be read, has no such table, or belongs to one host where several are
/// imported; an error of `each`.
pub fn read(
    database: &mut Foreign,
    hosts: &[DomainPart],
    mut each: impl FnMut(Row) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let name = database.name().to_owned();
    let columns = database.columns(TABLE)?;
    let missing = COLUMNS.iter().find(|column| !columns.iter().any(|it| it == *column));
    if let Some(column) = missing {
        bail!("{name}: expected the table {TABLE} of ejabberd 26, with the column {column}");
    }
    let of_one = match (columns.iter().any(|column| column == HOST), hosts) {
        (true, _) => None,
        (false, [host]) => Some(host.as_str()),
        (false, _) => bail!("{name} does not say of which host its invites are: name one HOST"),
    };
    let [token, username, kind, invitee, account_name, created_at, expires] = COLUMNS;
    // Where there is no column for the host, another column is read in its place, and ignored.
    let host = if of_one.is_none() { HOST } else { token };
    database.rows(TABLE, [token, username, kind, invitee, account_name, created_at, expires, host], |values| {
        let [token, inviter, kind, invitee, account_name, created_at, expires, host] =
            values.map(Option::unwrap_or_default);
        let kind = match kind.as_str() {
            "R" => "roster_only",
            "S" => "account_subscription",
            "A" => "account_only",
            "T" => "reset_token",
            _ => "",
        };
        each(Row {
            token,
            inviter,
            host: of_one.map_or(host, str::to_owned),
            invitee,
            // The column has no time zone. ejabberd writes UTC there.
            created_at: created_at + "Z",
            expires: expires + "Z",
            kind: kind.to_owned(),
            account_name,
            valid: None,
            registers: None,
        })
    })
}
