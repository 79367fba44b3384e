//! `easy-invite list`: invites, the newest first.

use std::io::{self, Write};

use jid::{BareJid, DomainPart};

use super::context::{Context, served_host};
use super::print::{self, say};
use crate::invite::{Invite, State};
use crate::invite_json::InviteJson;
use crate::jids;
use crate::names;
use crate::store::Filter;
use crate::texts::{printable, shortened};

/// The longest note in the table, in characters. `show` and `--json` have all of it.
const NOTE_LENGTH: usize = 40;

/// List invites, the newest first
///
/// Prints a table: id, type, state, uses and their maximum, expiry. If any invite has them, also
/// the inviter, the username, the program that the invite was imported from, and the note. The
/// links cannot be shown: the store has only a hash of each invite's secret.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  easy-invite list
  easy-invite list example.org --state all --inviter alice@example.org
  easy-invite list --state redeemed --json")]
pub struct Arguments {
    /// Only invites to this VirtualHost
    #[arg(value_parser = jids::domain)]
    host: Option<DomainPart>,

    /// Only invites in this state ("redeemed": no use is left)
    #[arg(long, default_value = "pending", value_parser = ["pending", "redeemed", "expired", "revoked", "all"])]
    state: String,

    /// Only invites of this account
    #[arg(long, value_name = "JID", value_parser = jids::account)]
    inviter: Option<BareJid>,

    /// At most N invites
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

pub async fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    let (_, invites) = context.open_existing().await?;
    let filter = Filter {
        host: arguments.host.map(|host| served_host(&invites, &host)).transpose()?,
        inviter: arguments.inviter,
        state: arguments.state.parse().ok(),
    };
    // One more than is shown, to learn whether there are more.
    let mut found = invites.list(filter, arguments.limit.saturating_add(1)).await?;
    let limit = usize::try_from(arguments.limit)?;
    let more = found.len() > limit;
    found.truncate(limit);

    let (now, mut stdout) = (invites.now(), io::stdout().lock());
    if context.json {
        for invite in &found {
            writeln!(stdout, "{}", serde_json::to_string(&InviteJson::new(invite, now))?)?;
        }
    } else if !found.is_empty() {
        let header =
            ["ID", "TYPE", "STATE", "USES", "EXPIRES", "INVITER", "USERNAME", "IMPORTED", "NOTE"].map(str::to_owned);
        let rows: Vec<_> = found.iter().map(|invite| row(invite, invite.state(now))).collect();
        let table: Vec<_> = [header.to_vec()].into_iter().chain(rows).collect();
        writeln!(stdout, "{}", print::table(&without_empty_columns(table)))?;
    }
    stdout.flush()?;
    if found.is_empty() && !context.json {
        say("no such invites");
    }
    if more {
        say(format_args!("these are the newest {limit}, and there are more: see --limit"));
    }
    Ok(())
}

/// Leaves out columns that are empty in every row: inviters, usernames, programs, notes.
fn without_empty_columns(table: Vec<Vec<String>>) -> Vec<Vec<String>> {
    let rows = || table.iter().skip(1);
    let columns = table.first().map_or(0, Vec::len);
    let filled: Vec<bool> = (0..columns)
        .map(|column| rows().any(|row| row.get(column).is_some_and(|cell| cell != print::NOTHING)))
        .collect();
    let kept =
        |row: Vec<String>| row.into_iter().zip(&filled).filter(|(_, filled)| **filled).map(|(cell, _)| cell).collect();
    table.into_iter().map(kept).collect()
}

fn row(invite: &Invite, state: State) -> Vec<String> {
    let nothing = || print::NOTHING.to_owned();
    let note = invite.note.as_deref().map(|note| printable(shortened(note, NOTE_LENGTH)));
    vec![
        invite.id.to_string(),
        invite.invite_type.to_string(),
        state.to_string(),
        print::uses(invite),
        print::expiry(invite.expires_at),
        invite.inviter.as_ref().map_or_else(nothing, |jid| printable(names::shown(jid))),
        invite.username.as_ref().map_or_else(nothing, |name| printable(name.as_str())),
        invite.imported_from.map_or_else(nothing, |program| program.to_string()),
        note.unwrap_or_else(nothing),
    ]
}
