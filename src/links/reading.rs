//! Finds the token in a link, whatever programs have made of the link.
//!
//! Programs add to a link (a full stop, a bracket, a campaign's name), encode it, wrap it into a
//! link of their own, and break it. They do not change the order of its letters and digits. So a
//! token of ours is looked for among these, and must have exactly the right length. Tokens that
//! other programs have made may be longer or shorter, and may contain hyphens and underscores,
//! which people also put around a link. So a text can be read as several tokens, and only the store
//! knows which of them exists.

use std::iter::successors;

use percent_encoding::percent_decode_str;

use crate::invite::{InviteId, TOKEN_LENGTH, Token, is_of_token};
use crate::names::is_ignorable;

/// How often a text may be encoded, as in a link in a link in a link. A percent sign is then
/// `%252525`.
const MOST_ENCODINGS: usize = 3;

/// The markers: what stands before the token in our links, and in those of Prosody, Snikket and
/// ejabberd.
const MARKERS: [&str; 7] = ["preauth", "/i/", "/invite/", "/invites/", "/invite?", "/invites_page?", "/register?t="];

/// What stands before the original link in one that Proofpoint has rewritten.
const PROOFPOINT: &str = "/v2/url?u=";

/// A text is read as this many tokens at most.
const MOST_TOKENS: usize = 8;

/// How a person names an invite: by its id, its token or any of its links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Its public id, if the text has the form of one. A token may have that form, too.
    pub id: Option<InviteId>,
    /// The tokens that the text may be or have, the likeliest first.
    pub tokens: Vec<Token>,
}

impl From<InviteId> for Reference {
    fn from(id: InviteId) -> Self {
        Reference { id: Some(id), tokens: Vec::new() }
    }
}

impl From<Token> for Reference {
    fn from(token: Token) -> Self {
        Reference { id: None, tokens: vec![token] }
    }
}

/// Why a text names no invite. The text itself is not repeated: it may hold a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("that is neither an invite's id, nor its token, nor one of its links")]
pub struct BadReference;

impl std::str::FromStr for Reference {
    type Err = BadReference;

    fn from_str(text: &str) -> Result<Self, BadReference> {
        let named = Reference { id: InviteId::parse(text.trim_matches(is_separator)), tokens: tokens_in(text) };
        if named.id.is_some() || !named.tokens.is_empty() { Ok(named) } else { Err(BadReference) }
    }
}

/// What was found in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The tokens that it may have, the likeliest first. No two have the same length, so one text
    /// is one guess for each length.
    pub tokens: Vec<Token>,
    /// The decoded text up to the end of the token.
    pub text: String,
    /// The decoded text that follows.
    pub rest: String,
}

/// The tokens that a text may be, or that a link may have.
pub fn tokens_in(text: &str) -> Vec<Token> {
    read(text).map(|reading| reading.tokens).unwrap_or_default()
}

/// The same, with the text around the token; `None` if there is no token.
pub fn read(text: &str) -> Option<Reading> {
    let text = decoded(text);
    let text = text.split_once(PROOFPOINT).map_or(text.clone(), |(_, link)| of_proofpoint(link));
    let after = |marker: &'static str| text.rmatch_indices(marker).filter_map(|(at, _)| text.get(at + marker.len()..));
    let marked: Vec<&str> = MARKERS.iter().copied().flat_map(after).collect();
    // A token of ours after a marker, and then one of any program there.
    let ours = marked.iter().find_map(|rest| broken(rest, is_of_ours).or_else(|| after_an_escape(rest)));
    let none_of_ours = ours.is_none();
    let mut found: Vec<(Token, &str)> = ours.into_iter().collect();
    let others = marked.iter().map(|rest| of_any_program(rest, true)).find(|found| !found.is_empty());
    found.extend(others.into_iter().flatten());
    // The same at other places.
    if none_of_ours {
        let places = likely(&text, is_of_ours);
        let ours = places.iter().find_map(|rest| whole(rest));
        found.extend(ours.or_else(|| places.iter().find_map(|rest| broken(rest, is_of_ours))));
    }
    if marked.is_empty() {
        for rest in likely(&text, is_of_token) {
            let is_in_link = text.strip_suffix(rest).is_some_and(|before| before.ends_with(['/', '?', '#', '=']));
            found.extend(of_any_program(rest, is_in_link));
        }
    }
    // A token may contain a marker.
    found.extend(Token::parse(&text).map(|token| (token, "")));
    let rest = found.first()?.1.trim_start_matches(is_of_token);
    let mut tokens: Vec<Token> = Vec::new();
    for (token, _) in &found {
        if tokens.len() < MOST_TOKENS && tokens.iter().all(|other| other.reveal().len() != token.reveal().len()) {
            tokens.push(token.clone());
        }
    }
    Some(Reading { tokens, text: text.strip_suffix(rest)?.to_owned(), rest: rest.to_owned() })
}

/// Whether a character may be in a token of ours.
fn is_of_ours(c: char) -> bool {
    c.is_ascii_alphanumeric()
}

fn is_separator(c: char) -> bool {
    !is_of_ours(c)
}

/// A text without its percent-encodings.
pub fn decoded(text: &str) -> String {
    let mut decoded = text.to_owned();
    for _ in 0..MOST_ENCODINGS {
        decoded = percent_decode_str(&decoded).decode_utf8_lossy().into_owned();
    }
    decoded
}

/// A link that Proofpoint has written with `-` for `%` and `_` for `/`.
fn of_proofpoint(link: &str) -> String {
    let link = link.split('&').next().unwrap_or(link);
    decoded(&link.replace('-', "%").replace('_', "/"))
}

/// A text from its first character of a kind on.
fn from_run(text: &str, is_part: fn(char) -> bool) -> &str {
    text.trim_start_matches(|c| !is_part(c))
}

/// The characters of a kind with which a text begins, and what follows.
fn run(text: &str, is_part: fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !is_part(c)).unwrap_or(text.len()))
}

/// The places where a token may begin in a text without a marker, as the text from there on, the
/// likeliest first. A name or a number may look like a token. Names stand before the token, so the
/// last place is likelier than those before. But programs add things after the token, so the start
/// of the text is likelier still.
fn likely(text: &str, is_part: fn(char) -> bool) -> Vec<&str> {
    let begin = |text| Some(from_run(text, is_part)).filter(|rest| !rest.is_empty());
    let runs: Vec<&str> = successors(begin(text), |rest| begin(run(rest, is_part).1)).collect();
    runs.iter().take(1).chain(runs.iter().rev()).copied().collect()
}

/// The token of ours with which a text begins, in one piece.
fn whole(text: &str) -> Option<(Token, &str)> {
    let (run, rest) = run(text, is_of_ours);
    Some((Token::parse_ours(run)?, rest))
}

/// The first characters of a kind in a text, as a token of the usual length. Between its pieces
/// there may be invisible characters, or a line break (which XML makes a space) and what programs
/// put beside it.
fn broken(text: &str, is_part: fn(char) -> bool) -> Option<(Token, &str)> {
    let (mut token, mut rest) = (String::new(), from_run(text, is_part));
    loop {
        let (piece, after) = run(rest, is_part);
        token += piece;
        let (between, next) = after.split_at(after.len() - from_run(after, is_part).len());
        let unseen = |c: char| c.is_control() || is_ignorable(c);
        let goes_on = between.contains(char::is_whitespace) || between.chars().all(unseen);
        if token.len() >= TOKEN_LENGTH || next.is_empty() || !goes_on {
            return Some((Token::parse(&token).filter(|_| token.len() == TOKEN_LENGTH)?, after));
        }
        rest = next;
    }
}

/// The token of ours behind an equals sign as mail writes it (`=3D`, RFC 2045 §6.7).
fn after_an_escape(text: &str) -> Option<(Token, &str)> {
    whole(from_run(text, is_of_ours).strip_prefix("3D")?)
}

/// What a text begins with, as a token of any program: as it is, after an escape, and without the
/// hyphens and underscores around it, which may not belong to it. `announced`: the text follows a
/// marker, so it is known where the token begins.
fn of_any_program(text: &str, announced: bool) -> Vec<(Token, &str)> {
    let text = text.trim_start_matches(|c| !is_of_token(c) && !matches!(c, ';' | '&'));
    let (run, rest) = run(text, is_of_token);
    let parts = [Some(run), run.strip_prefix("3D")].into_iter().flatten();
    let parts = parts.flat_map(|part| shorter_and_shorter(part, announced));
    let parts = parts.filter_map(|part| Some((Token::parse(part)?, rest)));
    broken(text, is_of_token).into_iter().chain(parts).collect()
}

/// A text, and what is left of it when its hyphens and underscores are removed one by one: first at
/// its end and then at its start (`end_first`), or at both in turn.
fn shorter_and_shorter(text: &str, end_first: bool) -> impl Iterator<Item = &str> {
    let parts = successors(Some((text, true)), move |(part, at_end)| {
        let end = part.strip_suffix(['-', '_']).map(|part| (part, end_first));
        let start = part.strip_prefix(['-', '_']).map(|part| (part, true));
        if *at_end { end.or(start) } else { start.or(end) }
    });
    parts.map(|(part, _)| part)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    use super::*;

    const TOKEN: &str = "ABCDEFGHIJKLMNOPQRSTUVWX";

    fn token() -> Token {
        Token::parse(TOKEN).unwrap()
    }

    fn token_in(text: &str) -> Option<Token> {
        tokens_in(text).into_iter().next()
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
            assert_eq!(text.parse(), Ok(Reference::from(token())), "{text}");
        }
        for text in ["abcdefgh2345", " abcdefgh2345\n", "(abcdefgh2345)."] {
            let named = Reference { id: InviteId::parse("abcdefgh2345"), tokens: tokens_in("abcdefgh2345") };
            assert_eq!(text.parse(), Ok(named), "{text}");
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
    fn a_token_may_look_like_what_stands_before_one() {
        assert_eq!(tokens_in("507f-preauth"), [Token::parse("507f-preauth").unwrap()]);
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
    fn a_token_of_another_program_is_found_in_its_links_and_in_ours() {
        for foreign in [
            "KkDb-3kT_9Zx0aQ-vBnM12_w",
            "-kDb3kT9Zx0aQvBnM12w_aB_",
            "_-_-3kT9Zx0aQvBnM12w--__",
            "abcdefgh2345",
            "eight--8",
            "507f1f77-bcf8-6cd7-9943-9011abcdefab",
            "-ABCDEFGHIJKLMNOPQRSTUVWX_",
            &"-_".repeat(64),
        ] {
            let token = Token::parse(foreign).unwrap();
            for link in [
                "T",
                "xmpp:example.org?register;preauth=T",
                "xmpp:conference-service.example.org?register;preauth=T",
                "xmpp:some-body-else@example.org?roster;preauth=T;ibr=y",
                "https://example.org:5281/invites_page?T",
                "https://example.org:5281/invites_page/setup/conversations?T",
                "https://example.org/invite?T",
                "https://example.org/invite/T/",
                "https://example.org/invite/#T",
                "https://example.org/invites/T",
                "https://example.org/invites/T/registration",
                "https://example.org:5281/register?t=T;c=conversations",
                "https://example.org:5281/register?t=T&c=conversations",
                "https://invite.example.org/i/T",
                "https://invite.example.org/i/T/register",
                "https://join.example.org/#some-body-else@example.org?roster;preauth=T",
                "https://join.example.org/welcome?T",
                "https://join.example.org/welcome/T",
            ] {
                let link = link.replace('T', foreign);
                for text in [
                    link.clone(),
                    format!("{link}."),
                    format!("<{link}>,"),
                    format!("({link})"),
                    format!("*{link}*"),
                    format!("See {link}…"),
                    format!("_{link}_"),
                    format!("__{link}__"),
                    encoded(&link, 1),
                    format!("https://wrapper.example/?id=1&url={}", encoded(&link, 2)),
                    format!("https://urldefense.example/v3/__{link}__;!!NEt6yMaO-gk!x$"),
                    format!("https://urldefense.example/v2/url?u={}&d=x", encoded(&link, 1).replace('%', "-")),
                ] {
                    // If there is nothing else, nobody can tell which hyphens are the token's.
                    let is_bare =
                        link == foreign && foreign.starts_with(['-', '_']) && text.contains(&format!("_{link}"));
                    assert!(is_bare || tokens_in(&text).contains(&token), "{text}: {:?}", tokens_in(&text).len());
                }
            }
        }
    }

    #[test]
    fn a_token_of_another_program_is_told_apart_from_what_stands_beside_it() {
        let token = Token::parse("KkDb-3kT_9Zx0aQ-vBnM12_w").unwrap();
        for text in [
            "https://example.org/invite?TOKEN&utm_id=507f1f77bcf86cd799439011",
            "https://example.org/invites/TOKEN?utm_campaign=summer-2026-newsletter-1",
            "https://507f1f77bcf86cd799439011.example/i/TOKEN#507f1f77bcf86cd799439011",
            "xmpp:507f1f77bcf86cd799439011@example.org?roster;preauth=TOKEN;id=507f1f77bcf86cd799439011",
            "https://example.org/i/KkDb-3kT_9Zx=\r\n0aQ-vBnM12_w",
            "> https://example.org/invites/KkDb-3kT_9Zx\n> 0aQ-vBnM12_w\n> Bob",
            "preauth=3DTOKEN",
            "preauth=KkDb-3kT_9\u{ad}Zx0aQ-vBnM12_w",
        ] {
            assert!(tokens_in(&text.replace("TOKEN", token.reveal())).contains(&token), "{text}");
        }
    }

    #[test]
    fn a_token_that_was_cut_or_is_part_of_something_else_is_none() {
        let (cut, _) = TOKEN.split_at(23);
        for text in ["", "/i/", cut, &format!("{TOKEN}Y"), &format!("0{TOKEN}"), &format!("/i/{cut}…"), "%", "3D"] {
            assert!(tokens_in(text).iter().all(Token::may_be_changed), "{text}");
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
            let letters = |text: &str| text.chars().filter(|c| !is_separator(*c)).collect::<String>();
            if let Some(read) = read(&text) {
                prop_assert_eq!(format!("{}{}", read.text, read.rest), decoded(&text));
                prop_assert!(!read.rest.starts_with(is_of_token), "{:?}", text);
                for token in &read.tokens {
                    prop_assert!(letters(&decoded(&text)).contains(&letters(token.reveal())), "{:?}", text);
                }
                prop_assert!(letters(&read.text).contains(&letters(read.tokens[0].reveal())), "{:?}", text);
                let lengths: HashSet<usize> = read.tokens.iter().map(|token| token.reveal().len()).collect();
                prop_assert_eq!(lengths.len(), read.tokens.len(), "one guess at the tokens of a length: {:?}", text);
            }
        }
    }
}
