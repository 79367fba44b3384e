//! The command "Password Reset Link": for admins; the node is the one that Prosody's users know.

use jid::BareJid;
use minidom::Element;

use super::command::Requester;
use super::form::{Submission, field, form as data_form, form_type};
use crate::invite::{InviteType, Issuer, username};
use crate::invites::{Error, Invites, Issued};
use crate::policy::{HostPolicy, Wish};
use crate::refusal::{Mistake, Refusal};
use crate::texts::Texts;

/// The node by which clients know the command.
pub const NODE: &str = "xmpp:prosody.im/mod_invites_adhoc#password-reset";

/// Asks for the account.
pub fn form(_: &HostPolicy, submission: &Submission, texts: &Texts) -> Element {
    let texts = &texts.command;
    let typed = submission.text("accountjid").unwrap_or_default();
    let fields = [form_type(NODE), field("accountjid", "text-single", &texts.account, typed)];
    data_form("form", &texts.password_reset_link, &texts.reset_instructions, fields)
}

/// Makes the link.
///
/// # Errors
/// If the account is not one of this host's, or the link is not stored.
pub async fn run(requester: &Requester, submission: &Submission, invites: &Invites) -> Result<Issued, Error> {
    let host = requester.host();
    let missing = || Refusal::Impossible(Mistake::NoAccount(host.to_string()));
    let typed = submission.text("accountjid").ok_or_else(missing)?;
    let account = match typed.contains('@') {
        true => BareJid::new(typed).map_err(|_| Refusal::InvalidUsername(typed.chars().take(50).collect()))?,
        false => BareJid::from_parts(Some(&username(typed)?), &host),
    };
    let (Some(node), true) = (account.node(), account.domain() == &*host) else {
        return Err(Refusal::NoSuchAccount(account.to_string()).into());
    };
    let mut wish = Wish::new(InviteType::PasswordReset, requester.host(), Issuer::Admin);
    wish.username = Some(node.to_owned());
    wish.inviter = Some(requester.account.clone());
    invites.create(wish).await
}
