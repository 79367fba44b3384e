//! `easy-invite show`: one invite.

use std::io::{self, Write};

use jid::BareJid;
use jiff::Timestamp;
use serde::Serialize;

use super::context::Context;
use super::input::{Named, not_found, wrong_usage};
use super::print;
use crate::invite::Invite;
use crate::invite_json::InviteJson;
use crate::links::Reference;
use crate::names;
use crate::qr;
use crate::store::Shortfall;
use crate::texts::printable;

/// How many of the accounts that were made with the invite are shown.
const ACCOUNTS_SHOWN: usize = 100;

/// Show an invite
///
/// Prints everything about the invite, the accounts that were made with it (at most 100, the newest
/// first), and the roles, groups and contacts that the chat server could not give them. The link
/// cannot be shown: the store has only a hash of the invite's secret.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  easy-invite show w7d3kq9xmt2c
  easy-invite show - --qr < link.txt")]
pub struct Arguments {
    #[command(flatten)]
    invite: Named,

    /// Show the link as a QR code as well
    #[arg(long)]
    qr: bool,
}

pub async fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    let typed = arguments.invite.typed()?;
    let reference: Reference = typed.parse()?;
    if arguments.qr && (context.json || !typed.contains(':')) {
        return Err(wrong_usage("--qr draws the link that it is given, for people: not an id, a token or JSON"));
    }
    let (store, invites) = context.open_existing().await?;
    let invite = invites.find(reference).await.map_err(not_found)?;
    let accounts = store.accounts_of(invite.id.clone(), ACCOUNTS_SHOWN as u32 + 1).await?;
    let shortfalls = store.shortfalls_of(invite.id.clone(), ACCOUNTS_SHOWN as u32).await?;
    let now = invites.now();
    let shown = Shown { invite: InviteJson::new(&invite, now), shortfalls: &shortfalls };
    context.print(shown, described(&invite, &accounts, &shortfalls, now))?;
    if arguments.qr {
        let mut stdout = io::stdout().lock();
        write!(stdout, "\n{}", qr::for_terminal(typed.trim(), &stdout)?)?;
    }
    Ok(())
}

/// The invite in JSON, and what could not be given, if there is any.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    invite: InviteJson<'a>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    shortfalls: &'a [Shortfall],
}

fn described(
    invite: &Invite,
    accounts: &[(BareJid, Option<Timestamp>)],
    shortfalls: &[Shortfall],
    now: Timestamp,
) -> String {
    let instant = |instant: Option<Timestamp>| instant.map(|instant| instant.to_string());
    let listed = |names: &[String]| (!names.is_empty()).then(|| names.join(", "));
    let rows = [
        ("id", Some(invite.id.to_string())),
        ("type", Some(format!("{} ({})", invite.invite_type, print::invite_type(invite.invite_type)))),
        ("state", Some(invite.state(now).to_string())),
        ("host", Some(invite.host.to_string())),
        ("username", invite.username.as_ref().map(ToString::to_string)),
        ("inviter", invite.inviter.as_ref().map(names::shown)),
        ("made by", Some(invite.issuer.to_string())),
        ("imported", invite.imported_from.map(|program| format!("from {program}"))),
        ("roles", listed(&invite.roles)),
        ("groups", listed(&invite.groups)),
        ("note", invite.note.clone()),
        ("uses", Some(print::uses(invite))),
        ("created", instant(Some(invite.created_at))),
        ("expires", Some(print::expiry(invite.expires_at))),
        ("new link", instant(invite.regenerated_at)),
        ("link", invite.replaced.then(|| "the one given here is an older one, which no longer works".to_owned())),
        ("revoked", instant(invite.revoked_at)),
    ];
    let since = |since: &Option<Timestamp>| since.map(|since| format!(" since {since}")).unwrap_or_default();
    let newest = accounts.iter().take(ACCOUNTS_SHOWN);
    let shown = newest.map(|(account, joined)| format!("{}{}", names::shown(account), since(joined)));
    let more = (accounts.len() > ACCOUNTS_SHOWN).then(|| "older ones".to_owned());
    let accounts = shown.chain(more).map(|account| ("account", Some(account)));
    let failed = shortfalls.iter().map(|shortfall| ("failed", Some(shortfall.to_string())));
    let rows = rows.into_iter().chain(accounts).chain(failed);
    let rows = rows.filter_map(|(name, value)| value.map(|value| vec![name.to_owned(), printable(value)]));
    print::table(&rows.collect::<Vec<_>>())
}
