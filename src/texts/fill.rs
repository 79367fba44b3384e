//! Filling in the placeholders of a text, and making a text of any origin safe to show.

use std::collections::BTreeSet;
use std::fmt;

use crate::names::is_ignorable;

/// A text with its `{placeholders}` filled in. Nothing is filled in within the values.
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

/// A user's own text, to be shown between quotation marks: characters that cannot be seen are
/// escaped.
pub fn escaped(text: &str) -> String {
    let quoted = format!("{text:?}");
    let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(&quoted);
    inner.chars().map(|c| if is_ignorable(c) { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}

/// A text of any origin, such as a path, safe to print and in one line: characters that control the
/// terminal or turn the reading direction are escaped.
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
    fn control_characters_are_escaped() {
        assert_eq!(printable("a\u{1b}[31mb\u{202e}c\td"), "a\\u{1b}[31mb\\u{202e}c\\u{9}d");
        assert_eq!(printable("Jürgen 🎉 \"x\""), "Jürgen 🎉 \"x\"");
    }

    #[test]
    fn placeholders_are_filled_in_once() {
        assert_eq!(fill("{a} and {b}, {a}", &[("a", "{b}"), ("b", "2")]), "{b} and 2, {b}");
        for text in ["", "{", "}", "}{", "{unknown}", "{}", "é{"] {
            assert_eq!(fill(text, &[("a", "1")]), text);
        }
    }
}
