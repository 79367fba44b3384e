//! `easy-invite log`: what happened, and who did it.

use std::io::{self, Write};

use jid::{BareJid, DomainPart};
use jiff::{SignedDuration, Timestamp};

use super::context::Context;
use super::input::{not_found, reference, typed_reference};
use super::print::{self, say};
use crate::event::{Actor, Event};
use crate::invite::InviteId;
use crate::jids;
use crate::lifetime::Lifetime;
use crate::links::Reference;
use crate::names;
use crate::store::EventFilter;
use crate::texts::printable;

/// How many events are read at a time. For those of one account, each page looks at all events.
const PAGE: u32 = 5000;

/// Show what happened to invites, and who did it
///
/// Prints a line for each event, the newest last: the time, the action, the invite, the actor, the
/// account that it is about, and a detail. Events are kept for store.audit (90 days by default).
///
/// The actors: user:JID and admin:JID in a chat client or a browser (a person who uses an invite is
/// a user), cli:USER on this command line, hook:HOST if the chat server has reported the change,
/// and daemon if the daemon made it by itself.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  easy-invite log --since 1d
  easy-invite log example.org --account alice@example.org
  easy-invite log --invite w7d3kq9xmt2c --json

A line of --json has the fields at (RFC 3339, UTC), actor, action, host, invite (its id), account, detail and \
                        count, each of which may be null. The actions: made, imported (detail: the source), \
                        redeemed, revoked, changed (detail: which of note, expires and uses), regenerated (a new \
                        link), stopped (because of an account or a password), refused (by a limit, count times \
                        within the hour after this time), released, purged (count invites), forgotten.")]
pub struct Arguments {
    /// Only what happened on this VirtualHost
    #[arg(value_parser = jids::domain)]
    host: Option<DomainPart>,

    /// Only what this account did, and what happened to it and to the invites that it made
    #[arg(long, value_name = "JID", value_parser = jids::account)]
    account: Option<BareJid>,

    /// Only what happened to this invite: its id, its token, or any of its links; - reads it from
    /// stdin
    #[arg(long, value_name = "REF", allow_hyphen_values = true, value_parser = reference)]
    invite: Option<String>,

    /// Only what happened within this time: 90s, 15m, 36h, 7d or 4w
    #[arg(long, value_name = "DURATION", default_value = "never", hide_default_value = true)]
    since: Lifetime,
}

pub async fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    let (store, invites) = context.open_existing().await?;
    let invite = match arguments.invite {
        Some(typed) => {
            let reference: Reference = typed_reference(typed)?.parse()?;
            // Its events may be kept for longer than the invite.
            let id = reference.id.clone();
            Some(invites.find(reference).await.map(|invite| invite.id).or_else(|error| id.ok_or(not_found(error)))?)
        }
        None => None,
    };
    let filter = EventFilter { host: arguments.host, account: arguments.account, invite };
    let since = match arguments.since {
        Lifetime::Seconds(seconds) => invites.now().saturating_sub(SignedDuration::from_secs(seconds))?,
        Lifetime::Never => Timestamp::MIN,
    };
    let mut after = (since, i64::MIN);
    let mut stdout = io::stdout().lock();
    loop {
        let events = store.events(filter.clone(), after, PAGE).await?;
        for event in &events {
            let line = if context.json { serde_json::to_string(event)? } else { line(event) };
            writeln!(stdout, "{line}")?;
        }
        match events.last() {
            Some(last) => after = (last.at, last.id),
            None => break,
        }
    }
    stdout.flush()?;
    if after.1 == i64::MIN && !context.json {
        say("no such events");
    }
    Ok(())
}

fn line(event: &Event) -> String {
    let invite = event.invite.as_ref().map_or(print::NOTHING, InviteId::as_str);
    let actor = match &event.actor {
        Actor::User(jid) => format!("user:{}", names::shown(jid)),
        Actor::Admin(jid) => format!("admin:{}", names::shown(jid)),
        other => other.to_string(),
    };
    let times = (event.count > 1).then(|| format!("({})", event.count));
    let more = [event.account.as_ref().map(names::shown), event.detail.clone(), times];
    let more: Vec<_> = more.into_iter().flatten().collect();
    let action = event.action.as_ref();
    printable(format!("{}  {action:<11}  {invite:<12}  {actor}  {}", event.at, more.join("  ")).trim_end())
}
