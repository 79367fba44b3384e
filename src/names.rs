//! Usernames that deceive: with characters that nobody sees, with letters that look like others, or
//! because people take whoever has them for those who run the server.

use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory, GeneralCategoryGroup};
use icu_properties::{CodePointMapData, CodePointSetData};
use jid::BareJid;
use unicode_security::MixedScript;
use unicode_security::confusable_detection::skeleton;

/// The names by which people look for those who run a server: the mailboxes of RFC 2142, those to
/// which a certificate for a domain may be sent, and the usual names of systems and services.
pub const SYSTEM_NAMES: &str = "\
    abuse ftp hostmaster info marketing news noc postmaster sales security support usenet uucp webmaster www \
    admin administrator administrators admins contact help helpdesk moderator moderators official operator operators \
    owner root staff superuser sysadmin sysop team \
    conference daemon jabber mail mailer-daemon muc nobody noreply prosody proxy pubsub server service system upload \
    xmpp";

/// Whether two usernames look the same (UTS 39 §4) to somebody who overlooks accents and signs, and
/// takes a 1 or an exclamation mark for an i, and two v for a w.
pub fn look_alike(one: &str, other: &str) -> bool {
    let read = |c: char| if matches!(c, 'i' | '!') { 'l' } else { c };
    let letters = |name| skeleton(name).flat_map(char::to_lowercase).map(read).filter(|c| c.is_alphanumeric());
    let seen = |name| letters(name).collect::<String>().replace("vv", "w");
    seen(one) == seen(other)
}

/// Whether readers see each character of a username: letters, marks, digits and punctuation that
/// Unicode does not call ignorable. Symbols are none of these, in RFC 7622 either (§3.3, by RFC
/// 8264 §4.2.3): two of them are blank. A mark at the beginning would change what stands before it.
pub fn is_legible(username: &str) -> bool {
    let group = GeneralCategoryGroup::Letter
        .union(GeneralCategoryGroup::Mark)
        .union(GeneralCategoryGroup::Number)
        .union(GeneralCategoryGroup::Punctuation);
    let is_seen = |c: char| c.is_ascii() || (group.contains(category(c)) && !is_ignorable(c));
    username.chars().all(is_seen) && !username.chars().next().is_some_and(is_mark)
}

/// An account as people are shown it. Where its username can be mistaken for another, its form in
/// ASCII stands beside it, as in `аlice@example.org (xn--lice-43d@example.org)`.
pub fn shown(account: &BareJid) -> String {
    let ascii = account.node().map(|node| node.as_str()).filter(|username| is_mistakable(username));
    let ascii = ascii.and_then(idna::punycode::encode_str);
    ascii.map_or_else(|| account.to_string(), |ascii| format!("{account} (xn--{ascii}@{})", account.domain()))
}

/// Whether a username has invisible characters or letters of several scripts, or is one in ASCII to
/// the eye: by its letters (UTS 39 §4), or by a mark on a letter that hides it.
fn is_mistakable(username: &str) -> bool {
    let looks_ascii =
        |c: char| c.is_ascii() || matches!(skeleton(&c.to_string()).collect::<Vec<_>>()[..], [one] if one.is_ascii());
    let mut pairs = username.chars().zip(username.chars().skip(1));
    let is_unusual = !username.is_single_script() || pairs.any(|(letter, mark)| letter.is_ascii() && is_mark(mark));
    !is_legible(username) || is_unusual || (!username.is_ascii() && username.chars().all(looks_ascii))
}

/// Whether a character is not shown, although it may be called a letter.
pub fn is_ignorable(c: char) -> bool {
    CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
}

fn is_mark(c: char) -> bool {
    GeneralCategoryGroup::Mark.contains(category(c))
}

fn category(c: char) -> GeneralCategory {
    CodePointMapData::<GeneralCategory>::new().get(c)
}

#[cfg(test)]
mod tests {
    use jid::NodePart;

    use super::*;

    fn node(text: &str) -> NodePart {
        NodePart::new(text).unwrap().into_owned()
    }

    #[test]
    fn what_nobody_sees_makes_no_username() {
        for unseen in ['\u{115f}', '\u{1160}', '\u{17b4}', '\u{17b5}', '\u{2800}', '\u{3164}', '\u{1d159}'] {
            for name in [format!("alice{unseen}"), format!("al{unseen}ice"), unseen.to_string()] {
                // Nodeprep folds the fillers of Hangul's compatibility letters to those of its own.
                assert!(!is_legible(&node(&name)), "{}", name.escape_unicode());
            }
        }
        for name in ["\u{301}", "\u{301}alice", "♥alice", "\u{20dd}"] {
            assert!(!is_legible(&node(name)), "{name}");
        }
    }

    #[test]
    fn names_of_all_scripts_are_usernames() {
        for name in [
            "alice",
            "a.b_c-d+e$~",
            "élodie",
            "łukasz",
            "алиса",
            "αλίκη",
            "张伟",
            "ジョン・スミス",
            "김철수",
            "สมชาย",
            "अनिल",
            "שרה",
            "محمد",
            "l·l",
            "m\u{304}alice",
        ] {
            assert!(is_legible(&node(name)), "{name}");
        }
    }

    #[test]
    fn a_name_that_can_be_mistaken_is_shown_in_ascii_too() {
        for (name, ascii) in [
            ("\u{430}lice", "xn--lice-43d"),
            ("al\u{3b9}ce", "xn--alce-6md"),
            ("\u{430}\u{441}\u{435}", "xn--80ak9a"),
            ("alice\u{1160}", "xn--alice-zfv"),
            ("ali\u{307}ce", "xn--alice-9fd"),
        ] {
            let account = BareJid::new(&format!("{name}@example.org")).unwrap();
            assert_eq!(shown(&account), format!("{name}@example.org ({ascii}@example.org)"));
        }
        for name in ["alice", "élodie", "kjær", "алиса", "张伟", "ジョン太郎", "김철수", "alice-2", "алиса.2"]
        {
            let account = BareJid::new(&format!("{name}@example.org")).unwrap();
            assert_eq!(shown(&account), account.to_string());
        }
    }
}
