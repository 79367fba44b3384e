//! `easy-invite export`: the invites, and who invited whom, as lines of JSON.

use std::io::{self, Write};

use jid::DomainPart;
use tokio::sync::mpsc;

use super::context::{Context, served_host};
use super::print::{self, say};
use crate::export::{self, Counts, InviteLine, Line};
use crate::import::own::VERSION;
use crate::jids;
use crate::store::{Branch, Exported, Filter};

/// How many items may be read ahead of what is printed.
const AHEAD: usize = 1000;

/// Print the invites, and who invited whom, as lines of JSON
///
/// The export shows everything as it is at one moment, and the daemon may run meanwhile. `import
/// easy-invite` reads it back. It contains no tokens, so nobody can make a link from it, but a hash
/// of each token, so that the links work where it is imported. It leaves out the hashes of short
/// tokens, as other programs make them. It says who invited whom: protect it like a backup.
///
/// To move or keep the whole store, use `migrate-store` and `backup`: an export has no log of
/// events and no registrations in progress.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  easy-invite export > invites.jsonl
  easy-invite export example.org --state pending

Each line has a kind: easy-invite-export (the first; with the version of the format), invite (the fields of list \
                        --json, and issuer, owners_since, language, inviter_name, imported_from, token_length and \
                        token_hash), use (of the invite before it: invite, account, purpose, redeemed_at, failed), \
                        account (account, inviter, invite, registered_at) and end (the last; with the number of \
                        lines of each kind).")]
pub struct Arguments {
    /// Only invites to this VirtualHost, and its accounts
    #[arg(value_parser = jids::domain)]
    host: Option<DomainPart>,

    /// Only invites in this state ("redeemed": no use is left). Who invited whom is always complete
    #[arg(long, default_value = "all", value_parser = ["pending", "redeemed", "expired", "revoked", "all"])]
    state: String,
}

pub async fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    let (store, invites) = context.open_existing().await?;
    let host = arguments.host.map(|host| served_host(&invites, &host)).transpose()?;
    let filter = Filter { host, state: arguments.state.parse().ok(), ..Filter::default() };
    let now = invites.now();
    let (mut counts, mut without_hash) = (Counts::default(), 0u64);
    let first = Line::EasyInviteExport {
        version: VERSION,
        program: env!("CARGO_PKG_VERSION"),
        exported_at: now,
        host: filter.host.as_ref(),
        state: filter.state,
    };
    print_line(&first)?;
    let (sender, items) = mpsc::channel(AHEAD);
    let line = |item| {
        let line = match &item {
            Exported::Invite(invite) => {
                counts.invites += 1;
                without_hash += u64::from(!export::may_have_hash(invite));
                Line::Invite(InviteLine::new(invite, now))
            }
            Exported::Use(used) => {
                counts.uses += 1;
                Line::Use(used)
            }
            Exported::Account(Branch { account, inviter, invite, registered_at, .. }) => {
                counts.accounts += 1;
                let (inviter, invite) = (inviter.as_ref(), invite.as_ref());
                Line::Account { account, inviter, invite, registered_at: *registered_at }
            }
        };
        Ok(serde_json::to_string(&line)?)
    };
    print::lines(store.export(filter.clone(), now, sender.into()), items, line).await?;
    print_line(&Line::End(counts))?;
    if without_hash > 0 {
        say(format_args!(
            "the hashes of short tokens stay here (invites: {without_hash}): where this is imported, their links end"
        ));
    }
    Ok(())
}

fn print_line(line: &Line<'_>) -> anyhow::Result<()> {
    Ok(writeln!(io::stdout(), "{}", serde_json::to_string(line)?)?)
}
