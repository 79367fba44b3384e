//! The command "Password Reset Link": for admins. Its node is the one that Prosody's users know.

use jid::BareJid;
use minidom::Element;

use super::invitation;
use crate::invite::{InviteType, Issuer, username};
use crate::invites::Error;
use crate::jids;
use crate::policy::Wish;
use crate::refusal::{Mistake, Refusal};
use crate::xmpp::form::{self, Submission, field, form_type};
use crate::xmpp::requester::Requester;

/// The node by which clients know the command.
pub const NODE: &str = "xmpp:prosody.im/mod_invites_adhoc#password-reset";

/// The form, which asks for the account.
pub fn form(requester: &Requester, submission: &Submission) -> Element {
    let texts = &requester.texts.command;
    let typed = submission.text("accountjid").unwrap_or_default();
    let fields = [form_type(NODE), field("accountjid", "text-single", &texts.account, typed)];
    form::form("form", &texts.password_reset_link, &texts.reset_instructions, fields)
}

/// Makes the link. The account may be named by its username alone.
///
/// # Errors
/// If the account is not one of this host's, or the link is not stored.
pub async fn run(requester: &Requester<'_>, submission: &Submission) -> Result<Element, Error> {
    let host = requester.host;
    let expected = || Refusal::Impossible(Mistake::NoAccount(host.to_string()));
    let typed = submission.text("accountjid").ok_or_else(expected)?;
    let account = match typed.contains('@') {
        true => jids::account(typed).map_err(|_| expected())?,
        false => BareJid::from_parts(Some(&username(typed)?), host),
    };
    let (Some(node), true) = (account.node(), account.domain() == &**host) else {
        return Err(Refusal::NoSuchAccount(account.to_string()).into());
    };
    let mut wish = Wish::new(InviteType::PasswordReset, host.clone(), Issuer::Admin);
    wish.username = Some(node.to_owned());
    wish.inviter = Some(requester.account.clone());
    let issued = requester.invites.create(wish).await?;
    Ok(invitation::result(&issued, requester.texts))
}
