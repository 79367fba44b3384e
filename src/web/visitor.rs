//! Who asks: the address, language and device of a browser, and the forms that it was shown.

use std::net::IpAddr;
use std::str;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use ipnet::IpNet;

use super::address::client_address;
use super::apps::Browser;
use crate::invite::Token;
use crate::links::PublicUrl;

/// The cookie with the secret of a form. Requests that another site causes do not have it
/// (`SameSite`). After a dot, it has the name of the last registration whose offered password this
/// browser was shown.
const FORM_COOKIE: &str = "easy-invite-form";

/// The same with HTTPS. Browsers accept a cookie with this prefix from this very host alone, not
/// from its subdomains and siblings (RFC 6265bis §4.1.3.2).
const FORM_COOKIE_OF_THE_HOST: &str = "__Host-easy-invite-form";

/// The client hints that Chromium's browsers send without being asked.
const PLATFORM: HeaderName = HeaderName::from_static("sec-ch-ua-platform");
const MOBILE: HeaderName = HeaderName::from_static("sec-ch-ua-mobile");

/// What a request tells about its sender.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// The client's address; `None` if it is unknown.
    pub address: Option<IpAddr>,
    /// The languages that the browser asks for (`Accept-Language`).
    pub languages: String,
    /// The browser.
    pub browser: Browser<'static>,
    /// The secrets of the forms that this browser was shown. Without HTTPS, other sites of the same
    /// domain may have added some.
    forms: Vec<String>,
    /// The names of the registrations whose offered passwords it was shown.
    seen: Vec<String>,
    /// The browser says that another site has caused the request.
    other_site: bool,
}

impl Visitor {
    /// The sender of a request with these headers, on a connection from `peer`, to pages at this
    /// URL.
    pub fn new(peer: IpAddr, headers: &HeaderMap, trusted_proxies: &[IpNet], public_url: &PublicUrl) -> Visitor {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        // Each is decoded by itself, since another site may have added one that is not UTF-8.
        let cookies =
            headers.get_all(header::COOKIE).into_iter().flat_map(|line| line.as_bytes().split(|c| *c == b';'));
        let pairs = cookies.filter_map(|cookie| str::from_utf8(cookie).ok()?.trim().split_once('='));
        let of_form = pairs.filter(|(name, _)| *name == cookie_name(public_url));
        let (mut forms, mut seen) = (Vec::new(), Vec::new());
        for (_, value) in of_form {
            let (form, registration) = value.split_once('.').unwrap_or((value, ""));
            forms.extend(Token::parse_ours(form).map(|form| form.reveal().to_owned()));
            seen.push(registration.to_owned());
        }
        Visitor {
            address: client_address(peer, headers, trusted_proxies),
            languages: text(header::ACCEPT_LANGUAGE).to_owned(),
            browser: Browser::of(&[header::USER_AGENT, PLATFORM, MOBILE].map(text).join(" ")),
            forms,
            seen,
            other_site: is_of_other_site(headers, public_url),
        }
    }

    /// The secret of a form that this browser was shown before.
    pub fn form(&self) -> Option<&str> {
        self.forms.first().map(String::as_str)
    }

    /// Whether this browser was shown this form, and no other site has caused the request.
    pub fn was_shown(&self, form: &str) -> bool {
        self.forms.iter().any(|shown| shown == form) && !self.other_site
    }

    /// Whether this browser was shown the offered password of a registration.
    pub fn has_seen(&self, registration: &str) -> bool {
        self.seen.iter().any(|seen| seen == registration)
    }
}

/// The cookie for a form with this secret. `seen` is the name of a registration whose offered
/// password is shown with it.
pub fn form_cookie(form: &str, seen: Option<&str>, public_url: &PublicUrl) -> String {
    // With the prefix `__Host-`, a cookie must have `Secure` and the path `/`.
    let (path, secure) = if public_url.is_https() { ("", "; Secure") } else { (public_url.path(), "") };
    let seen = seen.map(|registration| format!(".{registration}")).unwrap_or_default();
    format!("{}={form}{seen}; Path={path}/; HttpOnly; SameSite=Strict{secure}", cookie_name(public_url))
}

fn cookie_name(public_url: &PublicUrl) -> &'static str {
    if public_url.is_https() { FORM_COOKIE_OF_THE_HOST } else { FORM_COOKIE }
}

/// Whether the browser says that another site has caused the request. No page can change the
/// headers that say so.
///
/// `Origin: null` says nothing, since a hostile page can hide its origin like this. So it is
/// accepted only with a `Sec-Fetch-Site`. If a browser sends neither header, only the cookie
/// counts.
fn is_of_other_site(headers: &HeaderMap, public_url: &PublicUrl) -> bool {
    let (sites, origin) = (headers.get_all("sec-fetch-site"), public_url.origin());
    let no_site = sites.iter().next().is_none();
    let is_ours = |said: &HeaderValue| said == origin.as_str() || (said == "null" && !no_site);
    let tells_other_site = sites.iter().any(|site| site != "same-origin" && site != "none");
    tells_other_site || !headers.get_all(header::ORIGIN).iter().all(is_ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &str = "ABCDEFGHIJKLMNOPQRSTUVWX";
    const PUBLIC_URL: &str = "https://invite.example.org/join";

    fn was_shown(public_url: &str, headers: &[(&'static str, &str)]) -> bool {
        let mut sent = HeaderMap::new();
        for (name, value) in headers {
            sent.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let public_url = PublicUrl::parse(public_url).unwrap();
        Visitor::new([127, 0, 0, 1].into(), &sent, &[], &public_url).was_shown(FORM)
    }

    #[test]
    fn a_form_is_ours_unless_the_browser_says_otherwise() {
        let cookie = ("cookie", "__Host-easy-invite-form=ABCDEFGHIJKLMNOPQRSTUVWX");
        let ours = [None, Some("https://invite.example.org"), Some("null")];
        let others =
            ["https://example.org", "http://invite.example.org", "https://invite.example.org:444", "https", ""];
        for (site, origins) in [("same-origin", &ours[..]), ("none", &ours[..]), ("", &ours[..2])] {
            let shown = |origin: Option<&str>| {
                let site = Some(("sec-fetch-site", site)).filter(|(_, site)| !site.is_empty());
                let headers = [Some(cookie), site, origin.map(|origin| ("origin", origin))];
                was_shown(PUBLIC_URL, &headers.into_iter().flatten().collect::<Vec<_>>())
            };
            for origin in ours {
                assert_eq!(shown(origin), origins.contains(&origin), "{site} {origin:?}");
            }
            for origin in others {
                assert!(!shown(Some(origin)), "{site} {origin}");
            }
        }
        for site in ["cross-site", "same-site", "", "something"] {
            let said = [cookie, ("sec-fetch-site", site), ("origin", "https://invite.example.org")];
            assert!(!was_shown(PUBLIC_URL, &said), "{site}");
        }
        let (ours, other) = (("origin", "https://invite.example.org"), ("origin", "https://example.org"));
        assert!(!was_shown(PUBLIC_URL, &[cookie, ours, other]) && !was_shown(PUBLIC_URL, &[cookie, other, ours]));
    }

    #[test]
    fn an_origin_has_the_port_that_is_not_the_usual_one() {
        let cookie = ("cookie", "easy-invite-form=ABCDEFGHIJKLMNOPQRSTUVWX");
        for (public_url, origin) in [
            ("http://Invite.Example.org:80/", "http://invite.example.org"),
            ("http://127.0.0.1:5380", "http://127.0.0.1:5380"),
            ("http://[::1]:5380/join/", "http://[::1]:5380"),
            ("http://einladung.köln.example", "http://einladung.xn--kln-sna.example"),
        ] {
            assert!(was_shown(public_url, &[cookie, ("origin", origin)]), "{public_url}");
        }
    }

    #[test]
    fn any_cookie_of_the_name_may_be_the_forms() {
        let (mine, other) = ("ABCDEFGHIJKLMNOPQRSTUVWX", "x".repeat(24));
        for (values, shown) in [
            (vec![mine], true),
            (vec![&other, mine], true),
            (vec!["nonsense", "", mine, &other], true),
            (vec!["\u{e9}", mine, "\"", "\u{e9}"], true),
            (vec![&other], false),
            (vec![], false),
        ] {
            for (public_url, name) in [(PUBLIC_URL, FORM_COOKIE_OF_THE_HOST), ("http://localhost", FORM_COOKIE)] {
                let pairs: Vec<_> = values.iter().map(|value| format!("{name}={value}")).collect();
                let one_line = pairs.join("; ");
                assert_eq!(was_shown(public_url, &[("cookie", &one_line)]), shown, "{one_line}");
                let lines: Vec<_> = pairs.iter().map(|pair| ("cookie", pair.as_str())).collect();
                assert_eq!(was_shown(public_url, &lines), shown, "{lines:?}");
            }
        }
        assert!(!was_shown(PUBLIC_URL, &[("cookie", &format!("{FORM_COOKIE}={mine}"))]), "of a sibling, perhaps");
    }

    #[test]
    fn the_cookie_is_of_the_host_behind_https() {
        for (public_url, cookie) in [
            (PUBLIC_URL, "__Host-easy-invite-form=X; Path=/; HttpOnly; SameSite=Strict; Secure"),
            ("http://localhost/join/", "easy-invite-form=X; Path=/join/; HttpOnly; SameSite=Strict"),
            ("http://localhost", "easy-invite-form=X; Path=/; HttpOnly; SameSite=Strict"),
        ] {
            assert_eq!(form_cookie("X", None, &PublicUrl::parse(public_url).unwrap()), cookie);
        }
    }
}
