//! `easy-invite tree`: who invited whom.

use std::collections::HashSet;

use jid::BareJid;
use tokio::sync::mpsc;

use super::context::Context;
use super::print::{self, say};
use crate::jids;
use crate::names;
use crate::store::{Branch, Store, StoreError};
use crate::texts::printable;

/// How many accounts may be read ahead of what is printed.
const AHEAD: usize = 1000;

/// The deepest level that is indented further than the one above it.
const DEEPEST_INDENT: usize = 30;

/// Show who invited whom
///
/// Prints a line for each account that was made with an invite and still exists, below the account
/// that invited it: the account, the time of its registration, and the id of the invite. An account
/// that was made otherwise, and has invited others, has a line without time and id. The oldest
/// accounts come first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  easy-invite tree
  easy-invite tree alice@example.org --depth 1
  easy-invite tree carol@example.org --up --json

A line of --json has the fields depth, account, inviter, invite (its id) and registered_at (RFC 3339, UTC), or \
                        null if a value is not known. There is a loop if an account was deleted and its name was \
                        registered again by somebody whom it had invited. The tree then begins with one account of \
                        the loop, and ends before that account comes again.")]
pub struct Arguments {
    /// Only this account, and those below it
    #[arg(value_name = "JID", value_parser = jids::account)]
    account: Option<BareJid>,

    /// At most N steps from the first account: 1 for those that it has invited itself
    #[arg(long, value_name = "N")]
    depth: Option<usize>,

    /// From the account to the one that invited it, and so on to the root
    #[arg(long, requires = "account")]
    up: bool,
}

pub async fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    let Arguments { account, depth, up } = arguments;
    let (store, _) = context.open_existing().await?;
    let deepest = depth.unwrap_or(usize::MAX);
    let mut found = false;
    let print = |branch: Branch| {
        found = true;
        if context.json { Ok(serde_json::to_string(&branch)?) } else { Ok(line(&branch, up)) }
    };
    let (sender, branches) = mpsc::channel(AHEAD);
    match account.clone().filter(|_| up) {
        Some(account) => print::lines(ancestors(&store, account, deepest, sender), branches, print).await?,
        None => print::lines(store.tree(account.clone(), deepest, sender.into()), branches, print).await?,
    }
    if !found && !context.json {
        say(match account {
            Some(account) if up => format!("no invite is known with which {} registered", names::shown(&account)),
            Some(account) => {
                format!("no invite is known with which {} registered or invited anybody", names::shown(&account))
            }
            None => "nobody has registered with an invite yet".to_owned(),
        });
    }
    Ok(())
}

/// Sends an account, the one that invited it, and so on. Where that goes round in a loop, it ends.
async fn ancestors(
    store: &Store,
    account: BareJid,
    deepest: usize,
    branches: mpsc::Sender<Branch>,
) -> Result<(), StoreError> {
    let (mut next, mut seen, mut depth) = (Some(account), HashSet::new(), 0);
    while let Some(account) = next.take().filter(|account| depth <= deepest && seen.insert(account.clone())) {
        let known = store.origin(account.clone()).await?;
        // An account that came by no invite is only shown above the accounts that it has invited.
        if known.is_none() && depth == 0 {
            break;
        }
        let branch = known.unwrap_or_else(|| Branch::root(account));
        next.clone_from(&branch.inviter);
        if branches.send(Branch { depth, ..branch }).await.is_err() {
            break; // printing has failed, and says why
        }
        depth += 1;
    }
    Ok(())
}

/// The line of an account. `up`: the next line is the account that invited it.
fn line(branch: &Branch, up: bool) -> String {
    let Branch { depth, account, inviter, invite, registered_at } = branch;
    let indent = if up { String::new() } else { "  ".repeat((*depth).min(DEEPEST_INDENT)) };
    let step = (*depth > DEEPEST_INDENT && !up).then(|| format!("[{depth}]"));
    // In all other lines, the inviter is the line above.
    let inviter = inviter.as_ref().filter(|_| up || *depth == 0);
    let parts = [
        step,
        Some(names::shown(account)),
        registered_at.map(|instant| instant.to_string()),
        invite.as_ref().map(ToString::to_string),
        inviter.map(|inviter| format!("invited by {}", names::shown(inviter))),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    format!("{indent}{}", printable(parts.join("  ")))
}
