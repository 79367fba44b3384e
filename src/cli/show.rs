//! `easy-invite show`: one invite.

use std::io::{self, Write};

use jiff::Timestamp;

use super::{Context, text};
use crate::invite::Invite;
use crate::invite_json::InviteJson;
use crate::links::Reference;

/// Show an invite
///
/// Prints all that is known of it. Its secret is not: the store keeps a hash.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: easy-invite show w7d3kq9xmt2c")]
pub struct Arguments {
    /// The invite's id, its token, or any of its links
    #[arg(value_name = "REF")]
    reference: String,
}

pub async fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    let reference: Reference = arguments.reference.parse()?;
    let invites = context.invites()?;
    let invite = invites.find(reference).await?;
    let (now, mut stdout) = (invites.now(), io::stdout().lock());
    match context.json {
        true => writeln!(stdout, "{}", serde_json::to_string(&InviteJson::new(&invite, now))?)?,
        false => write!(stdout, "{}", described(&invite, now))?,
    }
    Ok(())
}

fn described(invite: &Invite, now: Timestamp) -> String {
    let instant = |instant: Option<Timestamp>| instant.map(|instant| instant.to_string());
    let listed = |names: &[String]| (!names.is_empty()).then(|| names.join(", "));
    let rows = [
        ("id", Some(invite.id.to_string())),
        ("type", Some(format!("{} ({})", invite.invite_type, text::invite_type(invite.invite_type)))),
        ("state", Some(invite.state(now).to_string())),
        ("host", Some(invite.host.to_string())),
        ("username", invite.username.as_ref().map(ToString::to_string)),
        ("inviter", invite.inviter.as_ref().map(ToString::to_string)),
        ("made by", Some(invite.issuer.to_string())),
        ("roles", listed(&invite.roles)),
        ("groups", listed(&invite.groups)),
        ("note", invite.note.clone()),
        ("uses", Some(text::uses(invite))),
        ("created", instant(Some(invite.created_at))),
        ("expires", Some(text::expiry(invite.expires_at))),
        ("revoked", instant(invite.revoked_at)),
    ];
    let rows =
        rows.into_iter().filter_map(|(name, value)| value.map(|value| vec![name.to_owned(), text::printable(&value)]));
    text::table(&rows.collect::<Vec<_>>())
}
