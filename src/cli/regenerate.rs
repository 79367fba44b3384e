//! `easy-invite regenerate`: a new link for an invite.

use super::context::Context;
use super::generate::print_issued;
use super::input::{Named, not_found, wrong_usage};
use crate::invites::By;
use crate::links::Reference;

/// Make a new link for an invite and print it
///
/// The old link stops working at once, also for people who have opened it already and are about to
/// register. Everything else about the invite stays the same. An invite that has expired, is used
/// up or is revoked gets no new link. If it is not revoked, `edit` can give it more time or more
/// uses first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  easy-invite regenerate w7d3kq9xmt2c --qr
  easy-invite regenerate - < old-link.txt")]
pub struct Arguments {
    #[command(flatten)]
    invite: Named,

    /// Show the link as a QR code as well
    #[arg(long)]
    qr: bool,
}

pub async fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    if arguments.qr && context.json {
        return Err(wrong_usage("--qr draws the link for people, so it does not go with --json"));
    }
    let reference: Reference = arguments.invite.typed()?.parse()?;
    let (_, invites) = context.open_existing().await?;
    let issued = invites.regenerate(&By::Operator, reference).await.map_err(not_found)?;
    let hook = invites.hello(&issued.invite.host).await;
    print_issued(&issued, arguments.qr, &invites, hook, context)
}
