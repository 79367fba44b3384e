//! The links of an invite: the `xmpp:` URI for clients and the link for people.

mod old;
mod reading;

use std::fmt;

use jid::{DomainPart, NodeRef};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use url::Url;

use crate::invite::{Invite, InviteType, Token};
pub use old::{OldPath, tokens_of_old_link};
pub use reading::{BadReference, Reading, Reference, read, tokens_in};

/// What is percent-encoded in the addresses of an `xmpp:` URI: everything but RFC 3986's unreserved
/// characters. (RFC 5122 §2.7.2 allows more, but not every client's parser does.) This includes the
/// host: Monal and Siskin decode it, but they would not convert `xn--…` into the host's name.
const ADDRESS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The `xmpp:` URI of an invite (XEP-0401 §5, XEP-0379 §3).
///
/// If the invite fixes the username, the URI names that account. The server makes the contact all
/// the same.
pub fn uri(invite: &Invite, token: &Token) -> String {
    let (host, token) = (utf8_percent_encode(invite.host.as_str(), ADDRESS), token.reveal());
    let address = |node: &NodeRef| format!("{}@{host}", utf8_percent_encode(node.as_str(), ADDRESS));
    let inviter = invite.inviter.as_ref().and_then(|jid| jid.node());
    match (invite.invite_type, &invite.username, inviter) {
        (InviteType::Contact, _, Some(inviter)) => {
            format!("xmpp:{}?roster;preauth={token}", address(inviter))
        }
        (InviteType::AccountAndContact, None, Some(inviter)) => {
            format!("xmpp:{}?roster;preauth={token};ibr=y", address(inviter))
        }
        (_, Some(username), _) => format!("xmpp:{}?register;preauth={token}", address(username)),
        _ => format!("xmpp:{host}?register;preauth={token}"),
    }
}

/// The `xmpp:` URI that registers at a host without an invite (XEP-0077 §8.3.2).
pub fn open_registration(host: &DomainPart) -> String {
    format!("xmpp:{}?register", utf8_percent_encode(host.as_str(), ADDRESS))
}

/// A template for the link for people: an `http(s)` URL in which `{uri}` stands for the invite's
/// URI without `xmpp:`, and `{token}` for its token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LandingPage(String);

/// Why a text is not a [`LandingPage`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a landing page is an http:// or https:// address with {{uri}} or {{token}} behind the host's name, \
     and no letter or digit beside it"
)]
pub struct BadLandingPage;

impl LandingPage {
    /// The template in a text.
    ///
    /// # Errors
    /// If it has no placeholder, or does not always make an `http(s)` URL on that site that names
    /// the invite: clients throw away anything else.
    pub fn parse(text: &str) -> Result<Self, BadLandingPage> {
        // Two, since the text itself could contain one.
        const TOKENS: [&str; 2] = ["ABCDEFGHIJKLMNOPQRSTUVWX", "zyxwvutsrqponmlkjihgfedc"];
        // The part before the placeholder says where the page is.
        let place = text.find("{uri}").or(text.find("{token}")).ok_or(BadLandingPage)?;
        let site = text.get(..place).and_then(|site| Url::parse(site).ok()).ok_or(BadLandingPage)?;
        // Clients, QR codes and headers take ASCII alone, as URLs are.
        let in_ascii = String::from(Url::parse(text).map_err(|_| BadLandingPage)?);
        let page = LandingPage(in_ascii.replace("%7Buri%7D", "{uri}").replace("%7Btoken%7D", "{token}"));
        let web = matches!(site.scheme(), "http" | "https") && site.has_host();
        let plain = !text.contains(|c: char| c.is_whitespace() || c.is_control());
        (web && plain && TOKENS.iter().all(|token| page.leads_to(&site, token))).then_some(page).ok_or(BadLandingPage)
    }

    /// Whether the link of an invite with this token is on the site, and has this token, whatever
    /// names are in it.
    fn leads_to(&self, site: &Url, token: &str) -> bool {
        let link = self.fill(&format!("user@example.org?register;preauth={token}"), token);
        let Ok(opened) = Url::parse(&link) else { return false };
        // The invite must not be part of the host's name or of the user's.
        let same_site = site.origin() == opened.origin() && site.username() == opened.username();
        // The URI's token has to end where the URI does: what follows would become part of it.
        let template = self.0.replace("{token}", token);
        let whole = template.split("{uri}").skip(1).all(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()));
        // As it is sent, and as a browser writes it.
        let named = [link.as_str(), opened.as_str()]
            .into_iter()
            .all(|link| tokens_in(link).first().is_some_and(|named| named.reveal() == token));
        same_site && whole && named
    }

    /// The link for people of an invite.
    pub fn url(&self, uri: &str, token: &Token) -> String {
        self.fill(uri.strip_prefix("xmpp:").unwrap_or(uri), token.reveal())
    }

    fn fill(&self, uri: &str, token: &str) -> String {
        self.0.replace("{token}", token).replace("{uri}", uri)
    }
}

/// The address of the web pages for browsers: an `http(s)` URL, with a path or without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl(Url);

/// Why a text is not a [`PublicUrl`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an http:// or https:// address without query and fragment, such as \"https://invite.example.org\"")]
pub struct BadPublicUrl;

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl PublicUrl {
    /// The URL in a text.
    ///
    /// # Errors
    /// If it is no such URL, or cannot be followed by a path.
    pub fn parse(text: &str) -> Result<Self, BadPublicUrl> {
        let plain = !text.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '{' | '}'));
        let url = Url::parse(text).ok().filter(|_| plain).ok_or(BadPublicUrl)?;
        let bare = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        // The router would take such a path for a pattern.
        let literal = !["/:", "/*"].iter().any(|placeholder| url.path().contains(placeholder));
        let url = Some(PublicUrl(url)).filter(|url| bare && literal && url.0.password().is_none());
        // The links of invites have to name their invites.
        url.filter(|url| LandingPage::parse(&url.landing_page().0).is_ok()).ok_or(BadPublicUrl)
    }

    /// Whether browsers use HTTPS.
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Its host, for people.
    pub fn host(&self) -> String {
        idna::domain_to_unicode(self.0.host_str().unwrap_or_default()).0
    }

    /// Its origin, as browsers write it in `Origin`: `https://invite.example.org`.
    pub fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }

    /// Its path, without a slash at the end. The path of every page begins with it.
    pub fn path(&self) -> &str {
        self.0.path().trim_end_matches('/')
    }

    /// The page of an invite (`{public_url}/i/TOKEN`).
    pub fn page(&self, token: &Token) -> String {
        format!("{self}/i/{}", token.reveal())
    }

    /// The pages of invites, as a [`LandingPage`].
    pub fn landing_page(&self) -> LandingPage {
        LandingPage(format!("{self}/i/{{token}}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invite::tests::invite;
    use jid::{BareJid, DomainPart, NodePart};

    fn token() -> Token {
        Token::parse("ABCDEFGHIJKLMNOPQRSTUVWX").unwrap()
    }

    #[test]
    fn each_type_has_its_uri() {
        let mut account = invite(InviteType::Account);
        assert_eq!(uri(&account, &token()), "xmpp:example.org?register;preauth=ABCDEFGHIJKLMNOPQRSTUVWX");
        account.username = Some(NodePart::new("carol").unwrap().into_owned());
        assert_eq!(uri(&account, &token()), "xmpp:carol@example.org?register;preauth=ABCDEFGHIJKLMNOPQRSTUVWX");
        let mut contact = invite(InviteType::Contact);
        contact.inviter = Some(BareJid::new("alice@example.org").unwrap());
        assert_eq!(uri(&contact, &token()), "xmpp:alice@example.org?roster;preauth=ABCDEFGHIJKLMNOPQRSTUVWX");
        contact.invite_type = InviteType::AccountAndContact;
        assert_eq!(uri(&contact, &token()), "xmpp:alice@example.org?roster;preauth=ABCDEFGHIJKLMNOPQRSTUVWX;ibr=y");
    }

    #[test]
    fn addresses_are_percent_encoded() {
        let mut contact = invite(InviteType::Contact);
        contact.host = DomainPart::new("münchen.example").unwrap().into_owned();
        contact.inviter = Some(BareJid::new("jürgen+?#%=;x@münchen.example").unwrap());
        assert_eq!(
            uri(&contact, &token()),
            "xmpp:j%C3%BCrgen%2B%3F%23%25%3D%3Bx@m%C3%BCnchen.example?roster;preauth=ABCDEFGHIJKLMNOPQRSTUVWX"
        );
        contact.invite_type = InviteType::Account;
        assert_eq!(uri(&contact, &token()), "xmpp:m%C3%BCnchen.example?register;preauth=ABCDEFGHIJKLMNOPQRSTUVWX");
    }

    #[test]
    fn links_are_ascii() {
        for (page, link) in [
            ("https://Join.Köln.example/größe/#{uri}", "https://join.xn--kln-sna.example/gr%C3%B6%C3%9Fe/#a@b?roster"),
            ("https://köln.example/{token}/?für={token}", "https://xn--kln-sna.example/T/?f%C3%BCr=T"),
        ] {
            let link = link.replace('T', token().reveal());
            assert_eq!(LandingPage::parse(page).unwrap().url("xmpp:a@b?roster", &token()), link);
        }
        let url = PublicUrl::parse("https://Einladung.Köln.example/größe").unwrap();
        assert_eq!(
            url.page(&token()),
            format!("https://einladung.xn--kln-sna.example/gr%C3%B6%C3%9Fe/i/{}", token().reveal())
        );
        assert_eq!(url.host(), "einladung.köln.example");
    }

    #[test]
    fn a_landing_page_is_an_address_with_a_place_for_the_invite() {
        let page = LandingPage::parse("https://join.example.org/#{uri}").unwrap();
        assert_eq!(page.url("xmpp:a@b?roster;preauth=T", &token()), "https://join.example.org/#a@b?roster;preauth=T");
        assert!(LandingPage::parse("https://join.example.org/i/{token}").is_ok());
        for bad in ["https://join.example.org/", "join.example.org/{uri}", "ftp://x/{uri}", "https://{uri}", "{uri}"] {
            assert_eq!(LandingPage::parse(bad), Err(BadLandingPage), "{bad}");
        }
    }

    #[test]
    fn a_landing_page_is_one_site_for_every_invite_and_its_links_name_them() {
        for bad in [
            "https://join.{token}",
            "https://join.example.org{uri}",
            "https://join.example.org/join{token}",
            "https://join.example.org/ {uri}",
            // The tokens that `parse` tries.
            "https://join.example.org/join{token}/ABCDEFGHIJKLMNOPQRSTUVWX",
            "https://join.example.org/join{token}/zyxwvutsrqponmlkjihgfedc",
        ] {
            assert_eq!(LandingPage::parse(bad), Err(BadLandingPage), "{bad}");
        }
    }

    #[test]
    fn a_name_in_a_link_is_never_taken_for_the_token() {
        let mut contact = invite(InviteType::Contact);
        contact.inviter = Some(BareJid::new("abcdefghijklmnopqrstuvwx@example.org").unwrap());
        for page in ["https://join.example.org/?preauth={uri}", "https://join.example.org/{token}?from={uri}"] {
            let link = LandingPage::parse(page).unwrap().url(&uri(&contact, &token()), &token());
            assert_eq!(link.parse(), Ok(Reference::from(token())), "{link}");
        }
        // With a name, "Join" could become a token, or the name could be one. The text that follows
        // spoils the URI's own.
        for bad in [
            "https://join.example.org/{token}/Join{uri}0",
            "https://join.example.org/{token}?preauth={uri}0",
            "https://join.example.org/{token}?{uri}{token}",
        ] {
            assert_eq!(LandingPage::parse(bad), Err(BadLandingPage), "{bad}");
        }
    }

    #[test]
    fn a_public_url_may_have_a_path() {
        for (text, path, page) in [
            ("https://invite.example.org", "", "https://invite.example.org/i/ABCDEFGHIJKLMNOPQRSTUVWX"),
            ("https://example.org/join/", "/join", "https://example.org/join/i/ABCDEFGHIJKLMNOPQRSTUVWX"),
            ("http://[::1]:5380/a/b", "/a/b", "http://[::1]:5380/a/b/i/ABCDEFGHIJKLMNOPQRSTUVWX"),
        ] {
            let url = PublicUrl::parse(text).unwrap();
            assert_eq!((url.path(), url.page(&token()).as_str()), (path, page));
            assert_eq!(url.landing_page().url("xmpp:x", &token()), page);
        }
        for bad in [
            "invite.example.org",
            "ftp://x",
            "https://x/?a",
            "https://x/#a",
            "https://me@x",
            "https://x/{token}",
            "mailto:me@x",
            "https://x/preauth=ABCDEFGHIJKLMNOPQRSTUVWX",
        ] {
            assert_eq!(PublicUrl::parse(bad), Err(BadPublicUrl), "{bad}");
        }
    }
}
