//! Reading links back: the token in whatever a person's program has made of a link.
//!
//! Programs add to a link (a full stop, a bracket, a campaign's name), encode it, wrap it into a
//! link of their own, and break it. What they do not touch is the order of the letters and digits.
//! So a token is looked for among these, and only one of exactly its length is one.

use std::iter::successors;

use percent_encoding::percent_decode_str;

use crate::invite::{InviteId, TOKEN_LENGTH, Token};
use crate::names::is_ignorable;

/// A link in a link in a link is encoded this often. Each percent sign is then `%252525`.
const MOST_ENCODINGS: usize = 3;

/// What stands before the token in our links. The last is what Proofpoint makes of `/i/`.
const BEFORE_TOKEN: [&str; 3] = ["preauth", "/i/", "_i_"];

/// How somebody names an invite: by its id, its token or any of its links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// Its public id.
    Id(InviteId),
    /// Its secret, on its own or out of a link.
    Token(Token),
}

/// Why a text names no invite. The text itself is not repeated: it may hold a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("that is neither an invite's id, nor its token, nor one of its links")]
pub struct BadReference;

impl std::str::FromStr for Reference {
    type Err = BadReference;

    fn from_str(text: &str) -> Result<Self, BadReference> {
        match InviteId::parse(text.trim_matches(is_between)) {
            Some(id) => Ok(Reference::Id(id)),
            None => token_in(text).map(Reference::Token).ok_or(BadReference),
        }
    }
}

/// The token in a text: a token, or a link with one.
pub fn token_in(text: &str) -> Option<Token> {
    token_and_rest(text).map(|(token, _)| token)
}

/// The same with the decoded text that follows the token.
pub fn token_and_rest(text: &str) -> Option<(Token, String)> {
    let text = decoded(text);
    let found = BEFORE_TOKEN.iter().find_map(|before| {
        let mut rests = text.rmatch_indices(before).filter_map(|(start, _)| text.get(start + before.len()..));
        rests.find_map(|rest| pieced_together(rest).or_else(|| after_an_escape(rest)))
    });
    // Elsewhere, a name or a number may look like a token. Names stand before it, so the last one
    // counts. What programs add stands behind it, so one with which the text begins comes first.
    let runs = successors(Some(from_run(&text)), |rest| Some(from_run(run(rest).1)));
    let runs: Vec<&str> = runs.take_while(|rest| !rest.is_empty()).collect();
    let likely = || runs.iter().take(1).chain(runs.iter().rev()).copied();
    let found = found.or_else(|| likely().find_map(whole));
    let (token, rest) = found.or_else(|| likely().find_map(pieced_together))?;
    Some((token, rest.to_owned()))
}

/// Whether a character is none of those in a token.
fn is_between(c: char) -> bool {
    !c.is_ascii_alphanumeric()
}

/// A text without its percent-encodings.
pub fn decoded(text: &str) -> String {
    let mut decoded = text.to_owned();
    for _ in 0..MOST_ENCODINGS {
        decoded = percent_decode_str(&decoded).decode_utf8_lossy().into_owned();
    }
    decoded
}

/// A text from its first letter or digit on.
fn from_run(text: &str) -> &str {
    text.trim_start_matches(is_between)
}

/// The letters and digits with which a text begins, and what follows.
fn run(text: &str) -> (&str, &str) {
    text.split_at(text.find(is_between).unwrap_or(text.len()))
}

/// The token with which a text begins, in one piece.
fn whole(text: &str) -> Option<(Token, &str)> {
    let (run, rest) = run(text);
    Some((Token::parse_ours(run)?, rest))
}

/// The first letters and digits of a text as a token. Between its pieces there may be characters
/// that nobody sees, or a line break (which XML makes a space) and what programs put beside it.
fn pieced_together(text: &str) -> Option<(Token, &str)> {
    let (mut token, mut rest) = (String::new(), from_run(text));
    loop {
        let (piece, after) = run(rest);
        token += piece;
        let (between, next) = after.split_at(after.len() - from_run(after).len());
        let unseen = |c: char| c.is_control() || is_ignorable(c);
        let goes_on = between.contains(char::is_whitespace) || between.chars().all(unseen);
        if token.len() >= TOKEN_LENGTH || next.is_empty() || !goes_on {
            return Some((Token::parse_ours(&token)?, after));
        }
        rest = next;
    }
}

/// The token behind an equals sign as mail (`=3D`, RFC 2045 §6.7) and Proofpoint (`-3D`) write it.
fn after_an_escape(text: &str) -> Option<(Token, &str)> {
    whole(from_run(text).strip_prefix("3D")?)
}

#[cfg(test)]
mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    use super::*;

    const TOKEN: &str = "ABCDEFGHIJKLMNOPQRSTUVWX";

    fn token() -> Token {
        Token::parse(TOKEN).unwrap()
    }

    fn encoded(text: &str, times: usize) -> String {
        (0..times).fold(text.to_owned(), |text, _| utf8_percent_encode(&text, NON_ALPHANUMERIC).to_string())
    }

    #[test]
    fn an_invite_is_named_by_id_token_or_link() {
        for text in [
            "ABCDEFGHIJKLMNOPQRSTUVWX",
            "xmpp:alice@example.org?roster;preauth=ABCDEFGHIJKLMNOPQRSTUVWX;ibr=y",
            "https://join.example.org/#alice@example.org?roster;preauth=ABCDEFGHIJKLMNOPQRSTUVWX;ibr=y",
            "https://invite.example.org/i/ABCDEFGHIJKLMNOPQRSTUVWX",
            "https://invite.example.org/i/ABCDEFGHIJKLMNOPQRSTUVWX/register",
            "https://invite.example.org/?t=ABCDEFGHIJKLMNOPQRSTUVWX",
            "https://preauth=example.org/ABCDEFGHIJKLMNOPQRSTUVWX?preauth=",
        ] {
            assert_eq!(text.parse(), Ok(Reference::Token(token())), "{text}");
        }
        for text in ["abcdefgh2345", " abcdefgh2345\n", "(abcdefgh2345)."] {
            assert_eq!(text.parse(), Ok(Reference::Id(InviteId::parse("abcdefgh2345").unwrap())), "{text}");
        }
        assert_eq!("".parse::<Reference>(), Err(BadReference));
        assert_eq!("xmpp:alice@example.org".parse::<Reference>(), Err(BadReference));
    }

    #[test]
    fn the_token_is_found_in_what_programs_make_of_a_link() {
        for text in [
            "HTTPS://INVITE.EXAMPLE.ORG/i/ABCDEFGHIJKLMNOPQRSTUVWX",
            "XMPP:example.org?register;preauth=ABCDEFGHIJKLMNOPQRSTUVWX",
            "ABCDEFGHIJKLMNOPQRSTUVWXを開いてください",
            "_ABCDEFGHIJKLMNOPQRSTUVWX_",
            "ABCDEFGHIJKLMNOPQRSTUVWX%FF",
            "preauth=3DABCDEFGHIJKLMNOPQRSTUVWX",
            "https://invite.example.org/i/ABCDEFGHIJKL=\r\nMNOPQRSTUVWX",
            "> https://invite.example.org/i/ABCDEFGHIJKL\n> MNOPQRSTUVWX\n> Bob",
            "https://join.example.org/ABCDEFGHIJKL\n MNOPQRSTUVWX",
            "ABCDEFGHIJKL MNOPQRSTUVWX",
            "preauth=%22ABCDEFGHIJKLMNOPQRSTUVWX%22",
            "https://l.example/?u=https%3A%2F%2Finvite.example.org%2Fi%2FABCDEFGHIJKLMNOPQRSTUVWX&h=507f1f77bcf86cd799439011",
            "https://urldefense.example/v2/url?u=https-3A__invite.example.org_i_ABCDEFGHIJKLMNOPQRSTUVWX&d=DwMF",
            "https://urldefense.example/v2/url?u=xmpp-3Aexample.org-3Fregister-3Bpreauth-3DABCDEFGHIJKLMNOPQRSTUVWX&d=x",
            "https://urldefense.example/v3/__https://invite.example.org/i/ABCDEFGHIJKLMNOPQRSTUVWX__;!!NEt6yMaO-gk!x$",
            "https://play.example/details?id=app&referrer=xmpp%3Aexample.org%3Fregister%3Bpreauth%3DABCDEFGHIJKLMNOPQRSTUVWX",
        ] {
            assert_eq!(token_in(text), Some(token()), "{text}");
        }
    }

    #[test]
    fn what_looks_like_a_token_beside_it_is_none() {
        for text in [
            "ABCDEFGHIJKLMNOPQRSTUVWX&utm_id=507f1f77bcf86cd799439011",
            "<ABCDEFGHIJKLMNOPQRSTUVWX#507f1f77bcf86cd799439011",
            "https://507f1f77bcf86cd799439011.example/i/ABCDEFGHIJKLMNOPQRSTUVWX?id=507f1f77bcf86cd799439011",
            "xmpp:507f1f77bcf86cd799439011@example.org?roster;preauth=ABCDEFGHIJKLMNOPQRSTUVWX;id=507f1f77bcf86cd799439011",
            "xmpp:preauth@507f1f77bcf86cd799439011.example?roster;preauth=ABCDEFGHIJKLMNOPQRSTUVWX",
            "xmpp:x%3Fpreauth%3D507f1f77bcf86cd799439011@example.org?roster;preauth=ABCDEFGHIJKLMNOPQRSTUVWX",
        ] {
            assert_eq!(token_in(text), Some(token()), "{text}");
        }
    }

    #[test]
    fn a_token_that_was_cut_or_is_part_of_something_else_is_none() {
        let (cut, _) = TOKEN.split_at(23);
        for text in ["", "/i/", cut, &format!("{TOKEN}Y"), &format!("0{TOKEN}"), &format!("/i/{cut}…"), "%", "3D"] {
            assert_eq!(token_in(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_around_a_token_or_unseen_within_hides_it(
            before in "[-<(\\[\"'« \u{feff}]{0,3}",
            link in prop::sample::select(vec![
                "", "https://invite.example.org/i/", "HTTPS://I.EXAMPLE/join/i/",
                "xmpp:a@example.org?register;preauth=", "xmpp:a@example.org?roster;ibr=y;preauth=",
            ]),
            unseen in prop::sample::select(vec!["", "\u{ad}", "\u{200b}", "\u{2060}", "\r\n", "\n", "=\n", "\n\t"]),
            place in 1..TOKEN_LENGTH,
            after in "([-/.),;!*=>\"'”»\u{200b}\n %_&?#|:…、][^[:alnum:]]{0,4}([a-z]{1,9}[=:/ ][[:alnum:]]{0,23})?)?",
            times in 0..=MOST_ENCODINGS,
            wrapper in prop::sample::select(vec!["", "https://wrapper.example/?id=1&url="]),
        ) {
            let (one, other) = TOKEN.split_at(place);
            // Words around a token that is broken and has no link may make up another.
            let wrapper = if link.is_empty() { "" } else { wrapper };
            // A per cent sign that is not encoded may encode what follows.
            let after = after.replace('%', if times == 0 { "%25" } else { "%" });
            let text = format!("{wrapper}{}", encoded(&format!("{before}{link}{one}{unseen}{other}{after}"), times));
            prop_assert_eq!(token_in(&text), Some(token()), "{:?}", text);
        }

        #[test]
        fn what_is_read_from_any_text_is_there_in_this_order(
            text in "(\\PC|[%=&/ \n\u{ad}3D]|preauth|/i/|[0-9A-Z]{8,24}){0,12}",
        ) {
            if let Some((token, rest)) = token_and_rest(&text) {
                let plain = decoded(&text);
                let read: String = plain.strip_suffix(&*rest).unwrap().chars().filter(|c| !is_between(*c)).collect();
                prop_assert!(read.ends_with(token.reveal()), "{:?}", text);
                prop_assert!(!rest.starts_with(|c: char| c.is_ascii_alphanumeric()), "{:?}", text);
            }
        }
    }
}
