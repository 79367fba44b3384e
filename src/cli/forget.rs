//! `easy-invite forget`: erases what is known of one person.

use jid::BareJid;
use serde_json::json;

use super::context::Context;
use super::input::confirm;
use super::print::{say, table};
use crate::jids;
use crate::store::Forgotten;

/// Erase one person's data
///
/// This erases the invites that they made or that name them (also pending ones), their name in uses
/// of other people's invites and in the log of events, whom they invited, and who invited them.
/// Delete their account on the chat server first: this command does not touch it, nor backups and
/// the daemon's own log. For these, see docs/operations.md.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: easy-invite forget alice@example.org --yes")]
pub struct Arguments {
    /// Their JID, on a served host or on any other
    #[arg(value_name = "JID", value_parser = jids::account)]
    jid: BareJid,

    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
}

pub async fn run(Arguments { jid, yes }: Arguments, context: &Context) -> anyhow::Result<()> {
    let (store, invites) = context.open_existing().await?;
    confirm(yes, &format!("Erase what is known of {jid}? It cannot be brought back."))?;
    let forgotten = store.forget(jid.clone(), invites.now()).await?;
    let Forgotten { open, invites, uses, invited, known, events } = forgotten;
    anyhow::ensure!(
        open == 0,
        "nothing was erased: invites of {jid}, or for them, are being used at this moment (uses: {open}). Run it again \
         in a minute; `easy-invite check` says what has been open for long"
    );
    let text = if forgotten == Forgotten::default() {
        format!("nothing was known of {jid}")
    } else {
        let rows = [
            ("invites made by or for them", invites.to_string()),
            ("uses of others' invites", uses.to_string()),
            ("accounts known to be invited by them", invited.to_string()),
            ("who invited them", if known { "erased" } else { "not known" }.to_owned()),
            ("events that named them", events.to_string()),
        ];
        let rows = rows.map(|(what, erased)| vec![what.to_owned(), erased]);
        format!("erased of {jid}:\n{}", table(&rows))
    };
    let json = json!({
        "jid": jid, "invites": invites, "uses": uses, "invited": invited, "known": known, "events": events
    });
    context.print(json, text)?;
    say("backups, logs and what the chat server keeps are not touched");
    Ok(())
}
