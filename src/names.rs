//! Names that deceive: those with invisible characters, those with letters that look like others,
//! and those that people would take for the operator's.

use std::collections::HashSet;
use std::sync::LazyLock;

use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory, GeneralCategoryGroup};
use icu_properties::{CodePointMapData, CodePointSetData};
use jid::BareJid;
use unicode_security::MixedScript;
use unicode_security::confusable_detection::skeleton;

/// The names that people would take for the operator's: the mailboxes of RFC 2142, those to which a
/// certificate for a domain may be sent, and the usual names of systems and services.
pub const SYSTEM_NAMES: &str = "\
    abuse ftp hostmaster info marketing news noc postmaster sales security support usenet uucp webmaster www \
    admin administrator administrators admins contact help helpdesk moderator moderators official operator operators \
    owner root staff superuser sysadmin sysop team \
    conference daemon jabber mail mailer-daemon muc nobody noreply prosody proxy pubsub server service system upload \
    xmpp";

/// Whether two usernames look the same (UTS 39 §4) to a reader who overlooks accents and signs, and
/// takes a 1 or an exclamation mark for an i, and two v for a w.
pub fn look_alike(one: &str, other: &str) -> bool {
    seen(one) == seen(other)
}

/// A name as this reader sees it.
fn seen(name: &str) -> String {
    let read = |c: char| if matches!(c, 'i' | '!') { 'l' } else { c };
    let letters = skeleton(name).flat_map(char::to_lowercase).map(read).filter(|c| c.is_alphanumeric());
    letters.collect::<String>().replace("vv", "w")
}

/// Whether each character of a username is visible: a letter, mark, digit or punctuation that
/// Unicode does not call ignorable. Symbols are excluded, as in RFC 7622 (§3.3, by RFC 8264
/// §4.2.3): two of them are blank. So is a mark at the beginning, which would change the text
/// before it.
pub fn is_legible(username: &str) -> bool {
    let group = GeneralCategoryGroup::Letter
        .union(GeneralCategoryGroup::Mark)
        .union(GeneralCategoryGroup::Number)
        .union(GeneralCategoryGroup::Punctuation);
    let is_seen = |c: char| c.is_ascii() || (group.contains(category(c)) && !is_ignorable(c));
    username.chars().all(is_seen) && !username.chars().next().is_some_and(is_mark)
}

/// An account as people see it. If its username can be mistaken for another, its ASCII form
/// follows, as in `аlice@example.org (xn--lice-43d@example.org)`.
pub fn shown(account: &BareJid) -> String {
    let ascii = account.node().map(|node| node.as_str()).filter(|username| is_mistakable(username));
    let ascii = ascii.and_then(idna::punycode::encode_str);
    ascii.map_or_else(|| account.to_string(), |ascii| format!("{account} (xn--{ascii}@{})", account.domain()))
}

/// An account with its nickname, as in `Alice (alice@example.org)`.
pub fn introduced(account: &BareJid, nickname: Option<&str>) -> String {
    let account = shown(account);
    nickname.map_or(account.clone(), |nickname| format!("{nickname} ({account})"))
}

/// How many characters of a nickname are shown.
const MAX_NICKNAME: usize = 50;

/// The system names as the reader of [`look_alike`] sees them.
static SYSTEM_NAMES_SEEN: LazyLock<HashSet<String>> =
    LazyLock::new(|| SYSTEM_NAMES.split_whitespace().map(seen).collect());

/// A user's nickname, as one line that can be shown in front of the address. `None` if nothing is
/// left, if it is the username, or if it could be taken for somebody else: it is an address, the
/// host, a system name or the name of an admin.
pub fn nickname(text: &str, account: &BareJid, admins: &[BareJid]) -> Option<String> {
    // Some scripts and emoji need these.
    let joins = |c: char| matches!(c, '\u{200c}' | '\u{200d}' | '\u{fe0f}');
    let unseen = |c: char| (is_ignorable(c) || GeneralCategoryGroup::Other.contains(category(c))) && !joins(c);
    let mut marks = 0;
    let kept = text.chars().take(10 * MAX_NICKNAME).filter_map(|c| {
        marks = if is_mark(c) && !joins(c) { marks + 1 } else { 0 };
        let space = c.is_whitespace() || c.is_control();
        if space { Some(' ') } else { (!unseen(c) && marks <= 3).then_some(c) }
    });
    let line = kept.collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ");
    let line: String = line.trim_start_matches(is_mark).chars().take(MAX_NICKNAME).collect();
    let line = line.trim().to_owned();
    let (folded, username) = (line.to_lowercase(), account.node().map_or("", |node| node.as_str()));
    let is_address =
        line.contains(['@', '＠', '﹫']) || line.contains("://") || folded.contains(account.domain().as_str());
    let is_blank = !line.chars().any(|c| !joins(c) && c != ' ' && c != '\u{2800}');
    let names_system = |part: &str| SYSTEM_NAMES_SEEN.contains(&seen(part));
    let is_system = names_system(&folded) || folded.split(|c: char| !c.is_alphanumeric()).any(names_system);
    let is_somebody = |name: &str| look_alike(name, &folded);
    let is_admin = admins.iter().filter_map(|admin| admin.node()).any(|admin| is_somebody(admin.as_str()));
    (!is_address && !is_blank && !is_system && !is_admin && !is_somebody(username)).then_some(line)
}

/// Whether a username has invisible characters or letters of several scripts, or looks like ASCII
/// and is not: because of its letters (UTS 39 §4), or because a letter hides the mark on it.
fn is_mistakable(username: &str) -> bool {
    let looks_ascii =
        |c: char| c.is_ascii() || matches!(skeleton(&c.to_string()).collect::<Vec<_>>()[..], [one] if one.is_ascii());
    let mut pairs = username.chars().zip(username.chars().skip(1));
    let is_unusual = !username.is_single_script() || pairs.any(|(letter, mark)| letter.is_ascii() && is_mark(mark));
    !is_legible(username) || is_unusual || (!username.is_ascii() && username.chars().all(looks_ascii))
}

/// Whether a character is invisible, although Unicode may call it a letter.
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
    fn a_nickname_is_one_short_line() {
        let alice = BareJid::new("alice@example.org").unwrap();
        let shown = |text: &str| nickname(text, &alice, &[]);
        for name in [
            "Alice Müller",
            "Алиса",
            "张伟",
            "عليّ",
            "🦄",
            "👩\u{200d}🚀 Ally",
            "O’Hara, Jr.",
            "<b>Al</b> & Jo",
            "می\u{200c}خواهم",
        ] {
            assert_eq!(shown(name).as_deref(), Some(name));
        }
        assert_eq!(shown(" Ally\n\t  the\u{2028}first\0 ").as_deref(), Some("Ally the first"));
        assert_eq!(shown("\u{202e}ylla\u{202c} \u{2067}B\u{2069}\u{feff}\u{e0041}").as_deref(), Some("ylla B"));
        assert_eq!(shown(&"é".repeat(10_000)).unwrap().chars().count(), 50);
        assert_eq!(shown(&format!("A{}", "\u{301}".repeat(90))).as_deref(), Some("A\u{301}\u{301}\u{301}"));
        for blank in ["", " \n", "\u{3164}\u{2060}", "\u{2800}", "\u{200d}\u{fe0f}", "\u{301}\u{301}"] {
            assert_eq!(shown(blank), None, "{}", blank.escape_unicode());
        }
    }

    #[test]
    fn a_nickname_is_nobody_elses_name() {
        let mallory = BareJid::new("mallory@example.org").unwrap();
        let boss = BareJid::new("boss@example.org").unwrap();
        for name in [
            "admin@example.org",
            "bob＠example.org",
            "https://evil.example",
            "Example.ORG team",
            "admin",
            "ADMIN",
            "аdmin",
            "a d m i n",
            "ad\u{200d}min",
            "The Administrator",
            "Support (urgent)",
            "B0ss",
            "Boss.",
            "Mallory",
        ] {
            assert_eq!(nickname(name, &mallory, std::slice::from_ref(&boss)), None, "{name}");
        }
        for name in ["Adminah", "Bossi", "Mal", "Rooter"] {
            assert_eq!(nickname(name, &mallory, std::slice::from_ref(&boss)).as_deref(), Some(name));
        }
        assert_eq!(introduced(&mallory, Some("Mal")), "Mal (mallory@example.org)");
        assert_eq!(introduced(&mallory, None), "mallory@example.org");
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
