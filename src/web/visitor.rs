//! Who asks: the address, language and device of a browser, and the form that it was shown.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;

use super::address::client_address;
use super::apps::Device;
use crate::invite::Token;
use crate::links::PublicUrl;

/// The cookie with the secret of a form. Another site cannot send it along.
const FORM_COOKIE: &str = "easy-invite-form";

/// What a request says of its sender.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// Where it comes from; `None` if nobody knows.
    pub address: Option<IpAddr>,
    /// The languages that it wants (`Accept-Language`).
    pub languages: String,
    /// The device, if the browser names it.
    pub device: Option<Device>,
    /// The secret of the form that this browser was shown.
    pub form: Option<String>,
    /// Another site has the browser send this.
    other_site: bool,
}

impl Visitor {
    /// The sender of a request with these headers, on a connection of `peer`.
    pub fn new(peer: IpAddr, headers: &HeaderMap, trusted_proxies: &[IpNet]) -> Visitor {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let form = pairs.find(|(name, _)| *name == FORM_COOKIE).and_then(|(_, value)| Token::parse(value));
        let site = headers.get("sec-fetch-site").map(|value| value.as_bytes());
        Visitor {
            address: client_address(peer, headers, trusted_proxies),
            languages: text(header::ACCEPT_LANGUAGE).to_owned(),
            device: Device::of_browser(text(header::USER_AGENT)),
            form: form.map(|form| form.reveal().to_owned()),
            other_site: !matches!(site, None | Some(b"same-origin" | b"none")),
        }
    }

    /// Whether we showed this form to this very browser, and no other site has it sent.
    pub fn was_shown(&self, form: &str) -> bool {
        self.form.as_deref() == Some(form) && !self.other_site
    }
}

/// The cookie for a form with this secret.
pub fn form_cookie(form: &str, public_url: &PublicUrl) -> String {
    let secure = if public_url.is_https() { "; Secure" } else { "" };
    format!("{FORM_COOKIE}={form}; Path={}/; HttpOnly; SameSite=Strict{secure}", public_url.path())
}
