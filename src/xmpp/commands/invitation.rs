//! The result of every command that makes an invite (XEP-0401 §3.1.1).

use minidom::Element;

use crate::invites::Issued;
use crate::texts::Texts;
use crate::xmpp::form::{field, form, form_type};
use crate::xmpp::stanza::date_time;

/// The invite's links and its end, as a form to read.
pub fn result(issued: &Issued, texts: &Texts) -> Element {
    let texts = &texts.command;
    let landing_url = issued.landing_url.as_deref();
    let landing_url = landing_url.map(|url| field("landing-url", "text-single", &texts.landing_url, url));
    let uri = field("uri", "text-single", &texts.uri, &issued.uri);
    let expire = issued.invite.expires_at.map(date_time);
    let expire = expire.map(|end| field("expire", "text-single", &texts.valid_until, &end));
    let fields = [Some(form_type("urn:xmpp:invite#invitation")), landing_url, Some(uri), expire];
    form("result", &texts.result, &texts.result_instructions, fields.into_iter().flatten())
}
