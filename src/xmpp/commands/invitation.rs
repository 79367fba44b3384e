//! The result of every command that makes an invite (XEP-0401 §3.1.1).

use minidom::Element;

use crate::invite::{Invite, InviteType};
use crate::invites::Issued;
use crate::texts::{Texts, fill};
use crate::xmpp::form::{field, form, form_type};
use crate::xmpp::stanza::date_time;

/// The invite's links and its end, as a form to read.
///
/// Some clients show no instructions, so the labels say the most important of it once more.
pub fn result(issued: &Issued, texts: &Texts) -> Element {
    let (invite, own) = (&issued.invite, &texts.command);
    let account = invite.account().filter(|_| invite.invite_type == InviteType::PasswordReset);
    let label = |link: &str| match &account {
        Some(account) => fill(&own.only_to, &[("link", link), ("account", account.as_str())]),
        None => link.to_owned(),
    };
    let landing_url = issued.landing_url.as_deref();
    let landing_url = landing_url.map(|url| field("landing-url", "text-single", &label(&own.landing_url), url));
    let warning = account.as_ref().map(|account| fill(&own.reset_warning, &[("account", account.as_str())]));
    let what_to_send = match landing_url {
        Some(_) => fill(&own.send_page, &[("link", &own.landing_url), ("uri", &own.uri)]),
        None => own.send_uri.clone(),
    };
    let instructions = [warning, Some(what_to_send), Some(good_for(invite, texts))];
    let uri = field("uri", "text-single", &label(&own.uri), &issued.uri);
    let expire = invite.expires_at.map(|end| {
        let label = fill(&texts.web.valid_until, &[("time", &texts.date(end))]);
        field("expire", "text-single", &label, &date_time(end))
    });
    let fields = [Some(form_type("urn:xmpp:invite#invitation")), landing_url, Some(uri), expire];
    let title = if account.is_some() { &own.password_reset_link } else { &own.result };
    let instructions: Vec<_> = instructions.into_iter().flatten().collect();
    form("result", title, &instructions.join(" "), fields.into_iter().flatten())
}

/// For how many people an invite is good, and until when: one sentence.
fn good_for(invite: &Invite, texts: &Texts) -> String {
    let own = &texts.command;
    let who = match (invite.account(), invite.max_uses) {
        _ if invite.invite_type == InviteType::PasswordReset => own.good_once.clone(),
        (Some(account), _) => fill(&own.good_for_name, &[("account", account.as_str())]),
        (None, Some(most)) => fill(texts.counted(&own.good_for, most), &[("most", &most.to_string())]),
        (None, None) => own.good_for_any.clone(),
    };
    let until = match invite.expires_at {
        Some(end) => fill(&own.until, &[("when", &texts.date(end))]),
        None => own.endless.clone(),
    };
    fill(&own.good, &[("who", &who), ("until", &until)])
}
