//! Hosts and accounts as people write them, and the one form in which a host is compared, stored
//! and shown.

use jid::{BareJid, DomainPart, NodePart};

/// The host in a text, as chat servers write it (RFC 7622 §3.2): in lower case, without a dot at
/// the end, and in Unicode. `xn--mnchen-3ya.example` is `münchen.example`.
///
/// A label stays as it is in DNS (`xn--…`) if XMPP's nameprep would change its Unicode form or
/// refuse it. Nameprep comes first: it turns `ß` into `ss`, while DNS would keep it.
///
/// # Errors
/// What was expected.
pub fn domain(text: &str) -> Result<DomainPart, String> {
    let expected = || format!("expected a domain such as example.org, found {text:?}");
    // The jid crate accepts "https://example.org" and "example org" too.
    let strange = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '@' | '/' | '"' | '?' | '#' | ':');
    if text.is_empty() || text.contains(strange) {
        return Err(expected());
    }
    let prepared = DomainPart::new(text).map(|domain| domain.into_owned());
    let name = prepared.as_ref().map_or(text, |domain| domain.as_str());
    if name.is_ascii() && !name.contains("xn--") {
        return prepared.map_err(|_| expected());
    }
    let in_dns = idna::domain_to_ascii(name).map_err(|_| expected())?;
    let in_unicode = in_dns.split('.').map(decoded).collect::<Vec<_>>().join(".");
    let found = DomainPart::new(&in_unicode).or_else(|_| DomainPart::new(&in_dns));
    found.map(|domain| domain.into_owned()).map_err(|_| expected())
}

/// A label of DNS in Unicode, or unchanged if nameprep would change that.
fn decoded(label: &str) -> String {
    let (unicode, valid) = idna::domain_to_unicode(label);
    let is_kept = valid.is_ok() && DomainPart::new(&unicode).is_ok_and(|prepared| prepared.as_str() == unicode);
    if is_kept { unicode } else { label.to_owned() }
}

/// The `@` of an address, and its wide form, which Chinese and Japanese keyboards type.
pub const AT: [char; 2] = ['@', '＠'];

/// The beginnings of links to an address.
const SCHEMES: [&str; 2] = ["xmpp:", "mailto:"];

/// The username in what was typed, which may be an address of this host, or such an address with
/// what other programs write around it. Another host's address is returned unchanged.
pub fn without_host<'a>(typed: &'a str, host: &str) -> &'a str {
    let is_address = typed.contains(AT);
    let typed = typed.trim_matches(|c: char| c.is_whitespace() || is_address && (is_no_name(c) || is_mark(c)));
    let is_scheme = |start: &str| SCHEMES.iter().any(|scheme| start.eq_ignore_ascii_case(scheme));
    let address = typed.split_inclusive(':').next().filter(|start| is_scheme(start)).map(str::len);
    let typed = typed.get(address.unwrap_or_default()..).unwrap_or_default();
    let typed = typed.trim_start_matches(|c: char| c.is_whitespace() || c == '/' || AT.contains(&c));
    let Some((name, written)) = typed.rsplit_once(AT) else { return typed };
    let written = written.split(['/', '?']).next().unwrap_or_default();
    let is_around = |c: char| is_no_name(c) || is_mark(c) || matches!(c, ',' | ';' | ')' | ']' | '!');
    let written = written.trim_matches(is_around);
    let is_own = written.is_empty() || domain(written).is_ok_and(|it| it.as_str() == host);
    if is_own { name.trim_end_matches(is_no_name) } else { typed }
}

/// Whether a character can be neither in a username (RFC 7622 §3.3.1) nor in a host, and so does
/// not belong to the address.
fn is_no_name(c: char) -> bool {
    c.is_whitespace() || matches!(c, '<' | '>' | '"' | '\'')
}

/// Whether a character only sets a text's direction or where it may break. Programs put such
/// characters around an address in texts that run both ways. They are invisible, so a username with
/// one is refused.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The host as it must be in the chat server's configuration, in quotation marks.
pub fn spelling(domain: &str) -> String {
    match idna::domain_to_ascii(domain) {
        Ok(in_dns) if in_dns != domain => format!("\"{domain}\" (not \"{in_dns}\")"),
        _ => format!("\"{domain}\""),
    }
}

/// The account in a text: a bare JID with a localpart.
///
/// # Errors
/// What was expected.
pub fn account(text: &str) -> Result<BareJid, String> {
    let parts = text.split_once('@').and_then(|(name, host)| Some((NodePart::new(name).ok()?, domain(host).ok()?)));
    let found = parts.map(|(name, host)| BareJid::from_parts(Some(&name), &host));
    found.ok_or_else(|| format!("expected a bare JID such as alice@example.org, found {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_one_form() {
        for (form, spellings) in [
            ("example.org", &["Example.ORG", "example.org.", "ｅｘａｍｐｌｅ.org", "example。org", "example．org"][..]),
            (
                "münchen.example",
                &["MÜNCHEN.example", "xn--mnchen-3ya.example", "XN--MNCHEN-3YA.Example.", "mu\u{308}nchen。example"],
            ),
            ("chat.münchen.example", &["chat.xn--mnchen-3ya.example", "Chat.München.Example"]),
            ("例え.テスト", &["xn--r8jz45g.xn--zckzah"]),
            // As Prosody reads them. DNS has other names for "ß" and "ς", which XMPP cannot say.
            ("strasse.example", &["straße.example", "STRASSE.example"]),
            (
                "xn--strae-oqa.münchen.example",
                &["xn--strae-oqa.xn--mnchen-3ya.example", "XN--STRAE-OQA.MÜNCHEN.example"],
            ),
            ("βόλοσ.example", &["ΒΌΛΟΣ.example", "βόλος.example", "xn--nxasmq6b.example"]),
            ("xn--nxasmm1c.example", &["XN--nxasmm1c.example"]),
            // Nameprep allows no name with parts of both directions, and knows no new characters.
            ("xn--ngbrx4e.example", &["عربي.example"]),
            ("عربي.موقع", &["xn--ngbrx4e.xn--4gbrim"]),
            ("xn--ls8h.example", &["💩.example"]),
            ("a_b.example", &["A_B.example"]),
            ("localhost", &["LocalHost"]),
            ("127.0.0.1", &["127.0.0.1"]),
        ] {
            for spelling in spellings.iter().chain([&form]) {
                assert_eq!(domain(spelling).as_deref().map(|domain| domain.as_str()), Ok(form), "{spelling}");
            }
        }
        for bad in ["", ".", "xn--", "xn--a.example", "a b", "a@b", "a/b", "https://a", "[::1]", "a..b", "-a.example"] {
            assert_eq!(domain(bad), Err(format!("expected a domain such as example.org, found {bad:?}")));
        }
    }

    #[test]
    fn a_username_is_found_in_an_address() {
        for typed in [
            "alice",
            " alice@example.org ",
            "alice @ Example.ORG.",
            "alice＠example.org",
            "xmpp:alice@example.org",
            "alice@example.org/phone",
            "@alice",
            "alice@",
            "<alice@example.org>",
            "MAILTO:alice@example.org?subject=hello",
            "xmpp://alice@example.org/phone",
            "xmpp:alice",
            "alice@example.org,",
            "\"alice\"@example.org;",
            "\u{202a}alice@example.org\u{202c}",
            "\u{2068}xmpp:alice@\u{200e}example.org\u{2069}",
        ] {
            assert_eq!(without_host(typed, "example.org"), "alice", "{typed}");
        }
        for other in ["alice@example.net", "alice@example", "alice@example.org@example.net", "sip:alice", "alice."] {
            assert_eq!(without_host(other, "example.org"), other);
        }
        // Of what is no address, it is shown what is wrong with it.
        for (typed, name) in [
            (" alice\u{202e} ", "alice\u{202e}"),
            ("\u{1160}alice@example.org", "\u{1160}alice"),
            ("<alice>", "<alice>"),
        ] {
            assert_eq!(without_host(typed, "example.org"), name);
        }
    }

    #[test]
    fn an_account_is_on_a_host() {
        for text in ["Jürgen@münchen.example", "jürgen@XN--MNCHEN-3YA.example", "jürgen@MÜNCHEN.example."] {
            assert_eq!(account(text).unwrap().as_str(), "jürgen@münchen.example", "{text}");
        }
        for bad in ["example.org", "@example.org", "alice@", "alice@a@b", "alice@example.org/phone", "a/b@example.org"]
        {
            assert_eq!(account(bad), Err(format!("expected a bare JID such as alice@example.org, found {bad:?}")));
        }
    }
}
