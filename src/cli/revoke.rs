//! `easy-invite revoke`: ends invites.

use jid::BareJid;
use serde_json::json;

use super::context::Context;
use super::input::{not_found, read_stdin};
use super::print::{Reported, say};
use crate::invite::{Invite, State};
use crate::invite_json::InviteJson;
use crate::invites::{By, Error, Invites};
use crate::jids;
use crate::links::{BadReference, Reference};

/// The longest list of links that is read from stdin, in bytes: a hundred thousand links fit.
const LONGEST_LIST: u64 = 8 * 1024 * 1024;

/// Revoke invites
///
/// The invites end at once, also for people who have opened the link already and are about to
/// register. Accounts that were made with them stay. Prints a line for each invite. If an invite is
/// unknown, the command says so, and still revokes the others.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  easy-invite revoke w7d3kq9xmt2c
  easy-invite revoke 'xmpp:example.org?register;preauth=…'
  easy-invite revoke - < links.txt
  easy-invite revoke --inviter mallory@example.org")]
#[group(required = true, multiple = false)]
pub struct Arguments {
    /// The invites' ids, their tokens, or any of their links; - reads them from stdin, one per
    /// line. Write -- before one that begins with a hyphen
    #[arg(value_name = "REF")]
    references: Vec<String>,

    /// All pending invites of this account
    #[arg(long, value_name = "JID", value_parser = jids::account)]
    inviter: Option<BareJid>,
}

pub async fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    if let Some(inviter) = arguments.inviter {
        let (_, invites) = context.open_existing().await?;
        let revoked = invites.revoke_of_inviter(inviter.clone()).await?;
        let text = format!("pending invites of {inviter} revoked: {revoked}");
        return context.print(json!({"inviter": inviter, "revoked": revoked}), text);
    }
    let references = named(&arguments.references)?;
    let (_, invites) = context.open_existing().await?;
    let mut unknown = false;
    for (name, text) in references {
        let revoked = match text.parse() {
            Ok(reference) => revoke(&invites, reference).await,
            Err(BadReference) => Err(BadReference.into()),
        };
        match revoked {
            Ok((before, invite)) => {
                let words = format!("{} {}", invite.id, outcome(before));
                context.print(InviteJson::new(&invite, invites.now()), words)?;
            }
            // When the store fails, the other invites need not be tried.
            Err(error) if matches!(error.downcast_ref(), Some(Error::Store(_))) => return Err(error),
            Err(error) => {
                unknown = true;
                say(format_args!("{name}: {error}"));
            }
        }
    }
    if unknown { Err(Reported.into()) } else { Ok(()) }
}

/// Revokes an invite: the state that it had, and the invite as it is now.
async fn revoke(invites: &Invites, reference: Reference) -> anyhow::Result<(State, Invite)> {
    let invite = invites.find(reference).await.map_err(not_found)?;
    let before = invite.state(invites.now());
    // Also when it is used up: it still lets its users become the inviter's contacts.
    Ok((before, invites.revoke(&By::Operator, invite.id.into()).await?))
}

fn outcome(before: State) -> &'static str {
    match before {
        State::Pending => "revoked",
        State::Redeemed => "revoked, but it had been used up already",
        State::Expired => "revoked, but it had expired already",
        State::Revoked => "had been revoked already",
    }
}

/// The references among the arguments and in stdin, each with a name for messages. The name repeats
/// an id only: anything else that was written may hold a token.
fn named(arguments: &[String]) -> anyhow::Result<Vec<(String, String)>> {
    let name_of = |text: &str, place: &str, number: u32| match text.parse() {
        Ok(Reference { id: Some(id), .. }) => id.to_string(),
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
