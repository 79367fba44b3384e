//! The links of an invite, as a form to read (XEP-0401 §3.1.1).

use super::form::{Field, Form, date_time};
use crate::invite::{Invite, InviteType};
use crate::invites::Issued;
use crate::texts::{Texts, fill};

/// The invite's links and expiry.
///
/// Some clients show no instructions, so the labels repeat the most important part of them.
pub fn invitation(issued: &Issued, texts: &Texts) -> Form {
    let (invite, own) = (&issued.invite, &texts.command);
    let account = invite.account().filter(|_| invite.invite_type == InviteType::PasswordReset);
    let label = |link: &str| match &account {
        Some(account) => fill(&own.only_to, &[("link", link), ("account", account.as_str())]),
        None => link.to_owned(),
    };
    let landing_url = issued.landing_url.as_deref();
    let landing_url = landing_url.map(|url| Field::text("landing-url", &label(&own.landing_url), url));
    let warning = account.as_ref().map(|account| fill(&own.reset_warning, &[("account", account.as_str())]));
    let what_to_send = match landing_url {
        Some(_) => fill(&own.send_page, &[("link", &own.landing_url), ("uri", &own.uri)]),
        None => own.send_uri.clone(),
    };
    let instructions = [warning, Some(what_to_send), Some(good_for(invite, texts))];
    let uri = Field::text("uri", &label(&own.uri), &issued.uri);
    let expire = invite.expires_at.map(|end| {
        let label = fill(&texts.web.valid_until, &[("time", &texts.date(end))]);
        Field::text("expire", &label, &date_time(end))
    });
    let title = if account.is_some() { &own.password_reset_link } else { &own.result };
    let instructions: Vec<_> = instructions.into_iter().flatten().collect();
    let fields = [landing_url, Some(uri), expire].into_iter().flatten().collect();
    Form { title: title.clone(), instructions: instructions.join(" "), fields }
}

/// A sentence that says for how many people an invite is good, and until when.
fn good_for(invite: &Invite, texts: &Texts) -> String {
    let own = &texts.command;
    let who = match (invite.account(), invite.max_uses) {
        _ if invite.invite_type == InviteType::PasswordReset => own.good_once.clone(),
        (Some(account), _) => fill(&own.good_for_name, &[("account", account.as_str())]),
        (None, Some(most)) => {
            let left = most.saturating_sub(invite.uses);
            fill(texts.counted(&own.good_for, left), &[("most", &left.to_string())])
        }
        (None, None) => own.good_for_any.clone(),
    };
    let until = match invite.expires_at {
        Some(end) => fill(&own.until, &[("when", &texts.date(end))]),
        None => own.endless.clone(),
    };
    fill(&own.good, &[("who", &who), ("until", &until)])
}
