//! `easy-invite revoke`: takes invites back.

use std::io::{self, Write};

use serde_json::json;

use super::{Context, Reported, complain, read_stdin};
use crate::config;
use crate::invite::{Invite, State};
use crate::invite_json::InviteJson;
use crate::invites::{Error, Invites};
use crate::links::{BadReference, Reference};

/// The longest list of links that is read from stdin, in bytes: a hundred thousand of them.
const LONGEST_LIST: u64 = 8 * 1024 * 1024;

/// Take invites back
///
/// They end at once, also for whoever has presented one already and is about to register with it. What they were used
/// for stays. Prints a line for each. Invites that are not known are reported, and the others are taken back all the
/// same.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  easy-invite revoke w7d3kq9xmt2c
  easy-invite revoke 'xmpp:example.org?register;preauth=…'
  easy-invite revoke - < links.txt
  easy-invite revoke --inviter mallory@example.org")]
#[group(required = true, multiple = false)]
pub struct Arguments {
    /// The invites' ids, their tokens, or any of their links; - reads them from stdin, one a line
    #[arg(value_name = "REF")]
    references: Vec<String>,

    /// All pending invites of this account
    #[arg(long, value_name = "JID")]
    inviter: Option<String>,
}

pub async fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    if let Some(jid) = arguments.inviter {
        let inviter = config::account(&jid).map_err(|problem| anyhow::anyhow!("--inviter: {problem}"))?;
        let revoked = context.invites().await?.revoke_of_inviter(inviter.clone()).await?;
        match context.json {
            true => writeln!(io::stdout(), "{}", json!({"inviter": inviter, "revoked": revoked}))?,
            false => writeln!(io::stdout(), "pending invites of {inviter} revoked: {revoked}")?,
        }
        return Ok(());
    }
    let references = named(&arguments.references)?;
    let invites = context.invites().await?;
    let mut unknown = false;
    for (name, text) in references {
        let revoked = match text.parse() {
            Ok(reference) => revoke(&invites, reference).await,
            Err(BadReference) => Err(BadReference.into()),
        };
        match revoked {
            Ok((before, invite)) => print(&invites, before, &invite, context.json)?,
            // Without the store there is nothing more to try.
            Err(error) if matches!(error.downcast_ref(), Some(Error::Store(_))) => return Err(error),
            Err(error) => {
                unknown = true;
                complain(format_args!("{name}: {error}"));
            }
        }
    }
    if unknown { Err(Reported.into()) } else { Ok(()) }
}

/// Takes an invite back. Its state before, and the invite as it is then.
async fn revoke(invites: &Invites, reference: Reference) -> anyhow::Result<(State, Invite)> {
    let invite = invites.find(reference).await?;
    let before = invite.state(invites.now());
    // One that is used up is taken back as well: the contact that it still stands for ends with it.
    Ok((before, invites.revoke(Reference::Id(invite.id)).await?))
}

fn print(invites: &Invites, before: State, invite: &Invite, json: bool) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    let id = &invite.id;
    match (json, before) {
        (true, _) => writeln!(stdout, "{}", serde_json::to_string(&InviteJson::new(invite, invites.now()))?)?,
        (false, State::Pending) => writeln!(stdout, "{id} revoked")?,
        (false, State::Redeemed) => writeln!(stdout, "{id} revoked, but it had been used up already")?,
        (false, State::Expired) => writeln!(stdout, "{id} revoked, but it had expired already")?,
        (false, State::Revoked) => writeln!(stdout, "{id} had been revoked already")?,
    }
    Ok(())
}

/// What was typed or stands in stdin, each with its name in messages. An id may be repeated there; whatever else was
/// written may hold a token.
fn named(arguments: &[String]) -> anyhow::Result<Vec<(String, String)>> {
    let name_of = |text: &str, place: &str, number: u32| match text.parse() {
        Ok(Reference::Id(id)) => id.to_string(),
        _ => format!("{place} {number}"),
    };
    let mut named = Vec::new();
    for (position, argument) in (1..).zip(arguments) {
        if argument != "-" {
            named.push((name_of(argument, "argument", position), argument.clone()));
            continue;
        }
        let text = read_stdin(LONGEST_LIST)?;
        let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
        named.extend(lines.map(|(number, line)| (name_of(line, "line", number), line.to_owned())));
    }
    Ok(named)
}
