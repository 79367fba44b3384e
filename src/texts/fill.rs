//! Filling in the placeholders of a text, and making a text of any origin safe to show.

use std::collections::BTreeSet;
use std::fmt;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::names::is_ignorable;

/// A text with its `{placeholders}` filled in. Placeholders in the values stay as they are.
pub fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, placeholder, after)) = next_placeholder(rest) {
        filled.push_str(before);
        match values.iter().find(|(name, _)| *name == placeholder) {
            Some((_, value)) => filled.push_str(value),
            None => filled.extend(["{", placeholder, "}"]),
        }
        rest = after;
    }
    filled.push_str(rest);
    filled
}

/// The characters around a text that may run in another direction than the text around it (UAX 9
/// §2.4.1).
pub struct Isolate;

impl Isolate {
    /// Before a text that runs from left to right, such as an address.
    pub const LEFT_TO_RIGHT: char = '\u{2066}';
    /// Before a text that has a direction of its own, such as a date.
    pub const OWN: char = '\u{2068}';
    /// After either.
    pub const END: char = '\u{2069}';
}

/// The placeholders that stand for an address, or a part of one.
const ADDRESSES: [&str; 6] = ["inviter", "host", "account", "username", "service", "component"];

/// A text with isolates around its placeholders, except for those that stand for a list.
pub fn isolated(text: &str) -> String {
    let mut marked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, name, after)) = next_placeholder(rest) {
        let placeholder = match name {
            "usernames" => format!("{{{name}}}"),
            _ if ADDRESSES.contains(&name) => format!("{}{{{name}}}{}", Isolate::LEFT_TO_RIGHT, Isolate::END),
            _ => format!("{}{{{name}}}{}", Isolate::OWN, Isolate::END),
        };
        marked.extend([before, &placeholder]);
        rest = after;
    }
    marked.push_str(rest);
    marked
}

/// A user's own text, to be shown between quotation marks: characters that cannot be seen are
/// escaped.
pub fn escaped(text: &str) -> String {
    let quoted = format!("{text:?}");
    let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(&quoted);
    inner.chars().map(|c| if is_ignorable(c) { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}

/// A text of any origin, such as a path, safe to print and in one line: characters that control the
/// terminal or change the reading direction are escaped.
pub fn printable(text: impl fmt::Display) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
            || matches!(c, '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
    };
    text.to_string().chars().fold(String::new(), |mut shown, c| {
        if steers(c) {
            shown.extend(c.escape_unicode())
        } else {
            shown.push(c)
        }
        shown
    })
}

/// The form in which texts that people type are compared: without case, accents and invisible
/// characters, and with ASCII digits. Turkish has an i with a dot and one without, which
/// lower-casing by the rules of other languages mixes up, so they count as one.
pub fn folded(text: &str) -> String {
    let plain = |c: char| match c {
        'ı' => 'i',
        '٠'..='٩' => char::from_digit(u32::from(c) - u32::from('٠'), 10).unwrap_or(c),
        '۰'..='۹' => char::from_digit(u32::from(c) - u32::from('۰'), 10).unwrap_or(c),
        _ => c,
    };
    let seen = text.nfkd().filter(|c| !is_combining_mark(*c) && !is_ignorable(*c));
    seen.flat_map(char::to_lowercase).map(plain).collect()
}

/// A user's own text as one line, without control characters and those that change the reading
/// direction. Characters that join letters stay.
pub fn one_line(text: &str) -> String {
    let steers =
        |c: &char| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let spaced = text.chars().map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c });
    spaced.filter(|c| !steers(c)).collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The first characters of a text, and an ellipsis if there are more than `length`.
pub fn shortened(text: &str, length: usize) -> String {
    match text.char_indices().nth(length) {
        None => text.to_owned(),
        Some(_) => text.chars().take(length.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// The text before the first placeholder, its name, and the text behind it.
fn next_placeholder(text: &str) -> Option<(&str, &str, &str)> {
    let (before, behind) = text.split_once('{')?;
    let (name, after) = behind.split_once('}')?;
    Some((before, name, after))
}

/// The names of the placeholders in a text.
pub fn placeholders(mut text: &str) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    while let Some((_, name, after)) = next_placeholder(text) {
        names.insert(name);
        text = after;
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_shortened() {
        assert_eq!(shortened("äöü", 3), "äöü");
        assert_eq!(shortened("äöüß", 3), "äö…");
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(printable("a\u{1b}[31mb\u{202e}c\td"), "a\\u{1b}[31mb\\u{202e}c\\u{9}d");
        assert_eq!(printable("Jürgen 🎉 \"x\""), "Jürgen 🎉 \"x\"");
    }

    #[test]
    fn what_is_filled_in_is_isolated_and_an_address_runs_to_the_right() {
        let text = "{inviter}, {time}: {usernames} {";
        assert_eq!(isolated(text), "\u{2066}{inviter}\u{2069}, \u{2068}{time}\u{2069}: {usernames} {");
    }

    #[test]
    fn what_people_type_is_compared_in_their_language() {
        for (typed, meant) in [
            ("SINIRSIZ", "sınırsız"),
            ("Sinirsiz", "sınırsız"),
            ("İPTAL", "iptal"),
            ("ıptal", "IPTAL"),
            ("ÉTENDRE", "etendre"),
            ("الغاء", "إلغاء"),
            ("٧ أَيَّام", "7 أيام"),
            ("۷", "7"),
            ("ＨＥＬＰ\u{2069}", "help"),
            ("ПРИГЛАСИТЬ ЕЩЁ", "пригласить еще"),
        ] {
            assert_eq!(folded(typed), folded(meant));
        }
        assert_ne!(folded("iptal"), folded("ıptak"));
    }

    #[test]
    fn placeholders_are_filled_in_once() {
        assert_eq!(fill("{a} and {b}, {a}", &[("a", "{b}"), ("b", "2")]), "{b} and 2, {b}");
        for text in ["", "{", "}", "}{", "{unknown}", "{}", "é{"] {
            assert_eq!(fill(text, &[("a", "1")]), text);
        }
    }
}
