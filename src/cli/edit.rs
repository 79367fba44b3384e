//! `easy-invite edit`: changes an invite.

use clap::ArgGroup;

use super::context::Context;
use super::input::{Named, not_found};
use super::print;
use crate::generate::{MaxUses, max_uses};
use crate::invite_json::InviteJson;
use crate::invites::By;
use crate::lifetime::Lifetime;
use crate::links::Reference;
use crate::policy::Change;

/// Change an invite
///
/// The link stays the same. An invite that has expired or is used up works again when it gets more
/// time or more uses. A revoked invite does not. Values that you do not name do not change.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  easy-invite edit w7d3kq9xmt2c --expires 4w
  easy-invite edit w7d3kq9xmt2c --uses 10 --note \"workshop in May\"
  easy-invite edit - --uses unlimited < link.txt")]
#[command(group = ArgGroup::new("change").required(true).multiple(true).args(["note", "expires", "uses"]))]
pub struct Arguments {
    #[command(flatten)]
    invite: Named,

    /// A remark, shown in lists; an empty one removes it
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    note: Option<String>,

    /// How long it can be used, from now on: 90s, 15m, 36h, 7d, 4w or never
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    expires: Option<Lifetime>,

    /// How often it can be used, including past uses, or "unlimited"
    #[arg(long, value_name = "N", value_parser = max_uses, allow_hyphen_values = true)]
    uses: Option<MaxUses>,
}

pub async fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    let Arguments { invite, note, expires, uses } = arguments;
    let reference: Reference = invite.typed()?.parse()?;
    let (_, invites) = context.open_existing().await?;
    let invite = invites.change(&By::Operator, reference, Change { note, expires, max_uses: uses }).await;
    let invite = invite.map_err(not_found)?;
    let note = invite.note.as_ref().map_or_else(String::new, |note| format!("\nnote: {note}"));
    context.print(InviteJson::new(&invite, invites.now()), format!("{}{note}", print::summary(&invite)))
}
