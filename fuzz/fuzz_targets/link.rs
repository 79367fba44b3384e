//! What people type, and links. An invite's id, a token and a duration read again as they print,
//! and every link leads to its invite.
//!
//! An input has three lines: a host, a localpart, and any text, which is read as each of these.
#![no_main]

use easy_invite::invite::{Invite, InviteId, InviteType, Issuer, Token, username};
use easy_invite::jids::domain;
use easy_invite::lifetime::Lifetime;
use easy_invite::links::{LandingPage, Reference, tokens_in, uri};
use easy_invite::words::Said;
use easy_invite_fuzz::{clock, without_growth};
use jid::BareJid;
use libfuzzer_sys::fuzz_target;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::Url;

/// One of the tokens with which the configuration tries landing pages.
const TOKEN: &str = "ABCDEFGHIJKLMNOPQRSTUVWX";

/// A token that another program has made.
const FOREIGN: &str = "-ABCDEFGHIJKLMNOPQRSTUVWX_3d_";

/// A text that names an invite also does so in its shortest form, and its debug form shows no
/// token. Each token is in the text, perhaps encoded, with nothing but other characters between. No
/// two are of the same length: one text is one guess.
fn reads_again(text: &str) {
    if let Ok(named) = text.parse::<Reference>() {
        if let Some(id) = &named.id {
            assert_eq!(id.as_str(), letters_and_digits(text));
            assert_eq!(id.to_string().parse::<Reference>().map(|named| named.id), Ok(named.id.clone()));
        }
        let decode = |text: &String| Some(percent_decode_str(text).decode_utf8_lossy().into_owned());
        let decoded: Vec<String> = std::iter::successors(Some(text.to_owned()), decode).take(4).collect();
        let is_proofpoints = decoded.iter().any(|text| text.contains("/v2/url?u="));
        for token in &named.tokens {
            let letters = letters_and_digits(token.reveal());
            assert!(is_proofpoints || decoded.iter().any(|text| letters_and_digits(text).contains(&letters)));
            assert!(tokens_in(token.reveal()).contains(token), "{}", token.reveal());
            let same = named.tokens.iter().filter(|other| other.reveal().len() == token.reveal().len());
            assert_eq!(same.count(), 1, "{text:?}");
            assert_eq!(format!("{token:?}"), "Token(…)");
        }
    }
    if let Ok(lifetime) = text.parse::<Lifetime>() {
        assert_eq!(lifetime.to_string().parse(), Ok(lifetime));
        assert!(lifetime.end(clock()).is_none_or(|end| end > clock()));
    }
}

/// What somebody writes in a chat is a word and one line behind it, no longer than it was.
fn is_said(text: &str) {
    for quoted in [&[][..], &[2..text.len()]] {
        let Some(said) = Said::read(text, quoted) else { continue };
        assert!(!said.word.contains(char::is_whitespace), "{said:?}");
        assert!(!said.rest.contains('\n') && said.rest.len() <= text.len(), "{said:?}");
        let digit = |c: char| c.is_numeric();
        assert!(said.number("no").is_none() || said.rest.contains(digit), "{said:?}");
    }
}

fn letters_and_digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).collect()
}

/// Whatever stands around a link, and wherever it is broken, its token is found.
fn found_again(link: &str, around: &str) {
    // What stands beside a token must be no letter and no digit, and what is decoded not either.
    let around: String = around.chars().filter(|c| !c.is_ascii_alphanumeric() && *c != '%').collect();
    let (first, rest) = TOKEN.split_at(around.len() % TOKEN.len());
    for text in [
        format!("{around}{link}{around}"),
        format!("{around}{link}").replace(TOKEN, &format!("{first}\u{ad}{rest}")),
        format!("https://example.com/?to={}", utf8_percent_encode(link, NON_ALPHANUMERIC)),
    ] {
        assert_eq!(tokens_in(&text).first(), Token::parse(TOKEN).as_ref(), "{text:?}");
    }
}

/// Every kind of link of an invite by or for this account leads to it, and names the invite.
fn links(account: &BareJid, landing_page: Option<&LandingPage>, around: &str) {
    let token = Token::parse(TOKEN).unwrap();
    let host = account.domain().to_owned();
    let address = |uri: &str| {
        let path = uri.strip_prefix("xmpp:").and_then(|uri| uri.split_once('?')).expect("a URI").0.to_owned();
        percent_decode_str(&path).decode_utf8().expect("UTF-8").into_owned()
    };
    for (invite_type, pinned) in [
        (InviteType::Account, false),
        (InviteType::Account, true),
        (InviteType::Contact, false),
        (InviteType::AccountAndContact, false),
        (InviteType::PasswordReset, true),
    ] {
        let uri = uri(
            &Invite {
                id: InviteId::parse("abcdefgh2345").unwrap(),
                token_hash: token.hash(),
                invite_type,
                host: host.clone(),
                username: account.node().filter(|_| pinned).map(|node| node.to_owned()),
                inviter: Some(account.clone()),
                issuer: Issuer::User,
                roles: vec![],
                groups: vec![],
                note: None,
                max_uses: Some(1),
                uses: 0,
                created_at: clock(),
                expires_at: None,
                revoked_at: None,
                owners_since: None,
                links: 1,
                regenerated_at: None,
                language: None,
                inviter_name: None,
                imported_from: None,
                token_length: None,
                replaced: false,
            },
            &token,
        );
        let named = if invite_type == InviteType::Account && !pinned { host.as_str() } else { account.as_str() };
        assert_eq!(address(&uri), named);
        assert!(!uri.contains(|c: char| c.is_whitespace() || c.is_control() || "\"<>'".contains(c)), "{uri}");
        assert_eq!(tokens_in(&uri), [token.clone()], "{uri}");
        let foreign = uri.replace(TOKEN, FOREIGN);
        assert!(tokens_in(&foreign).contains(&Token::parse(FOREIGN).unwrap()), "{foreign}");
        found_again(&uri, around);
        let Some(page) = landing_page else { continue };
        let url = page.url(&uri, &token);
        let opened = Url::parse(&url).expect("a URL");
        assert!(matches!(opened.scheme(), "http" | "https"), "{url}");
        assert!(!url.contains(|c: char| c.is_whitespace() || c.is_control()), "{url:?}");
        // The site is the same for every invite: a token in its name would be shown to DNS servers.
        let another = page.url("xmpp:b.example?register;preauth=x", &Token::parse(&TOKEN.to_lowercase()).unwrap());
        assert_eq!(Url::parse(&another).expect("a URL").origin(), opened.origin(), "{url}");
        // In the daemon's form, and in a browser's.
        for url in [url.as_str(), opened.as_str()] {
            assert_eq!(tokens_in(url).first(), Some(&token), "{url}");
        }
    }
}

fuzz_target!(|input: &str| {
    without_growth(|| {
        let mut lines = input.splitn(3, '\n');
        let [host, node, text] = [(); 3].map(|()| lines.next().unwrap_or_default());
        reads_again(text);
        is_said(text);
        let page = LandingPage::parse(text).ok();
        let host =
            domain(host).ok().filter(|host| host.as_str().chars().all(|c| c.is_alphanumeric() || "-.".contains(c)));
        let host = host.unwrap_or_else(|| domain("example.org").unwrap());
        let node = username(node).or(username("alice")).unwrap();
        links(&BareJid::from_parts(Some(&node), &host), page.as_ref(), text);
    });
});
