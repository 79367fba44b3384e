//! Old links: those that another invite program made. `[web] also` names their paths.
//!
//! Prosody's modules make `PATH?TOKEN`, `PATH/setup/APP?TOKEN` and `/register?t=TOKEN&c=APP`,
//! Snikket `PATH/TOKEN/register`, ejabberd `PATH/TOKEN/APP/registration`. Pages for all servers get
//! the whole URI, as in `PATH?alice@example.org?roster;preauth=TOKEN`.

use serde::Serialize;

use super::reading::{decoded, tokens_in};
use crate::invite::Token;

/// The parameter with the token has one of these names.
const NAMES: [&str; 3] = ["t", "token", "preauth"];

/// Names of pages that are long enough to be tokens.
const NO_TOKENS: [&str; 2] = ["register", "registration"];

/// A path of old links, with everything below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OldPath(String);

/// Why a text is not an [`OldPath`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected the path of old links without their token, such as \"/invites_page\"")]
pub struct BadOldPath;

impl OldPath {
    /// The path in a text.
    ///
    /// # Errors
    /// If it is a whole URL, or more than a path.
    pub fn parse(text: &str) -> Result<Self, BadOldPath> {
        let more = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#' | '{' | '}');
        let path = text.starts_with('/') && !text.contains(more);
        path.then(|| OldPath(plain(text).trim_end_matches('/').to_owned())).ok_or(BadOldPath)
    }

    /// Whether it is this path, or below it.
    pub fn is_within(&self, path: &str) -> bool {
        self.0.strip_prefix(&plain(path)).is_some_and(|below| below.is_empty() || below.starts_with('/'))
    }

    /// The same as [`tokens_of_old_link`], for this path and an address without encodings.
    fn tokens_of(&self, address: &str) -> Option<Vec<Token>> {
        let goes_on = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
        let rest = address.strip_prefix(&self.0).filter(|rest| !rest.starts_with(goes_on))?;
        let (below, query) = rest.split_once('?').unwrap_or((rest, ""));
        let parameters = || query.split(['?', '&', ';']).map(|it| it.split_once('=').unwrap_or((it, "")));
        let named = parameters().filter(|(name, _)| NAMES.contains(name)).map(|(_, value)| value);
        let segment = below.split('/').find(|segment| !segment.is_empty());
        // Some programs write `?TOKEN=`.
        let bare = parameters().filter(|(_, value)| value.is_empty()).map(|(name, _)| name);
        let likely = named.chain(segment.filter(|name| !NO_TOKENS.contains(name))).chain(bare);
        let tokens = likely.map(|part| tokens_in(&format!("/i/{part}")));
        Some(tokens.into_iter().find(|tokens| !tokens.is_empty()).unwrap_or_default())
    }
}

/// The tokens that may be in an address (a path and its query), if that is an old link at one of
/// these paths.
pub fn tokens_of_old_link(paths: &[OldPath], address: &str) -> Option<Vec<Token>> {
    let address = plain(address);
    let found = paths.iter().filter_map(|path| path.tokens_of(&address));
    found.max_by_key(|tokens| !tokens.is_empty())
}

/// An address without its encodings, and with single slashes.
fn plain(address: &str) -> String {
    let mut plain = decoded(address);
    while plain.contains("//") {
        plain = plain.replace("//", "/");
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "ABCDEFGHIJKLMNOPQRSTUVWX";

    fn token_of(paths: &[OldPath], address: &str) -> Option<Option<Token>> {
        tokens_of_old_link(paths, address).map(|tokens| tokens.into_iter().next())
    }

    fn paths(paths: &[&str]) -> Vec<OldPath> {
        paths.iter().map(|path| OldPath::parse(path).unwrap()).collect()
    }

    #[test]
    fn every_program_puts_the_token_into_a_place_of_its_own() {
        let paths = paths(&["/invite", "/invites", "/invites_page/", "/register", "/join/example.org/invite"]);
        for link in [
            // mod_invites_page, also below other paths (`http_paths`), and mod_invites_register_web
            "/invites_page?T",
            "/invites_page/?T",
            "/invites_page/setup/conversations?T",
            "/invites_page//setup/gajim-desktop?T",
            "/join/example.org/invite?T",
            "/register?t=T",
            "/register?t=T&c=conversations",
            "/register?t=T;c=conversations",
            "/register?c=conversations&t=T",
            "/invites_page/register?t=T&c=conversations",
            // Snikket
            "/invite/T",
            "/invite/T/",
            "/invite/T/register",
            "/invite/T/reset",
            // ejabberd
            "/invites/T",
            "/invites/T/conversations",
            "/invites/T/registration",
            "/invites/T/conversations/registration",
            // pages for all servers
            "/invite/?alice@example.org?roster;preauth=T;ibr=y",
            "/invite/?alice@conversations?register;preauth=T",
            "/invite?uri=xmpp%3Aexample.org%3Fregister%3Bpreauth%3DT",
            "/invite?token=T",
        ] {
            for token in [TOKEN, "Kk-b-3kT_9Zx0aQ-vBnM12_w", "-_KkbY3kTe9Zx0aQ0vBnM12a", "aB3_dE6-", &"x".repeat(128)] {
                let found = tokens_of_old_link(&paths, &link.replace('T', token));
                assert!(found.is_some_and(|found| found.contains(&Token::parse(token).unwrap())), "{link} {token}");
            }
        }
    }

    #[test]
    fn programs_change_old_links_too() {
        let paths = paths(&["/invites", "/invites_page", "/register"]);
        for link in [
            "//invites_page?T",
            "/invites_page%3FT",
            "/invites_page%253FT",
            "/%69nvites_page?T",
            "/invites_page?T=",
            "/invites_page?T.",
            "/invites_page?%3CT%3E",
            "/invites_page?T%20and%20more",
            "/invites_page?T/",
            "/invites_page?T&utm_source=conversations",
            "/invites_page?T=&fbclid=conversations",
            "/invites_page?fbclid=conversations&T",
            "/register?t=T&amp;c=conversations",
            "/register?t%3DT%26c%3Dconversations",
            "/register?t=T.",
            "/invites/T).",
            "/invites/T/?utm_source=conversations",
            "/invites/%22T%22/registration",
            "/invites/T%2Fregistration",
        ] {
            assert_eq!(token_of(&paths, &link.replace('T', TOKEN)), Some(Token::parse(TOKEN)), "{link}");
        }
    }

    #[test]
    fn other_addresses_are_no_old_links_and_others_have_no_token() {
        let some = paths(&["/invites", "/invites_page", "/register"]);
        for other in ["/", "/invite?T", "/invites2?T", "/invites-page?T", "/a/invites?T", "/i/T", "*", ""] {
            assert_eq!(token_of(&some, &other.replace('T', TOKEN)), None, "{other}");
        }
        for no_token in [
            "/invites",
            "/invites_page?",
            "/invites/registration",
            "/invites_page/register?t=",
            "/register?t=&c=conversations",
            "/invites_page?utm_source=conversations",
            "/invites_page/static/qr-logo.png",
        ] {
            assert_eq!(token_of(&some, no_token), Some(None), "{no_token}");
        }
        assert_eq!(token_of(&[], &format!("/invites_page?{TOKEN}")), None);
    }

    #[test]
    fn old_links_may_lead_to_a_whole_host() {
        let root = paths(&["/"]);
        for link in ["/?T", "/T", "/T/register", "/?t=T"] {
            assert_eq!(token_of(&root, &link.replace('T', TOKEN)), Some(Token::parse(TOKEN)), "{link}");
        }
        assert_eq!(token_of(&root, "/"), Some(None));
    }
}
