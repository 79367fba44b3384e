//! What a chat server asks newcomers besides a username and a password: the fields of a data form
//! (XEP-0004), and the answers.

use serde::{Deserialize, Serialize};
use strum::EnumString;

/// A field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Its name.
    pub var: String,
    /// How it is filled in.
    pub kind: Kind,
    /// The server's label for it.
    pub label: Option<String>,
    /// It may not be left empty.
    pub required: bool,
    /// The values to choose from, each with its label.
    pub options: Vec<(String, String)>,
    /// The initial values.
    pub values: Vec<String>,
}

/// The type of a field, in the words of XEP-0004 §3.3.
#[derive(Clone, Copy, Debug, Default, EnumString, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Kind {
    /// A line of text. Every type that is not listed here counts as this one.
    #[default]
    TextSingle,
    /// A line of text that is hidden while it is typed.
    TextPrivate,
    /// Lines of text.
    TextMulti,
    /// One of the options.
    ListSingle,
    /// Some of the options.
    ListMulti,
    /// Yes or no.
    Boolean,
    /// It is not shown, and its values go back to the server.
    Hidden,
    /// A text to read.
    Fixed,
}

/// The answers to fields: the name of each, and its values.
pub type Answers = Vec<(String, Vec<String>)>;

impl Field {
    /// The field's values after somebody has typed or chosen this. Empty if nothing of it is valid.
    pub fn answered<'a>(&self, mut typed: impl Iterator<Item = &'a str>) -> Vec<String> {
        let plain = |text: &str| text.replace(is_not_xml, "").trim().to_owned();
        let given = |text: &String| !text.is_empty();
        let offered = |text: &String| self.options.iter().any(|(value, _)| value == text);
        match self.kind {
            Kind::TextSingle | Kind::TextPrivate => typed.map(plain).filter(given).take(1).collect(),
            Kind::TextMulti => typed.flat_map(str::lines).map(plain).filter(given).collect(),
            Kind::ListSingle => typed.map(plain).filter(offered).take(1).collect(),
            Kind::ListMulti => typed.map(plain).filter(offered).collect(),
            Kind::Boolean => vec![if typed.next().is_some() { "1" } else { "0" }.to_owned()],
            Kind::Hidden => self.values.clone(),
            Kind::Fixed => Vec::new(),
        }
    }
}

/// Whether a character must not be in a line of text: a control character, or one that XML
/// excludes.
pub fn is_not_xml(c: char) -> bool {
    c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_one_that_the_field_allows() {
        let answered = |kind: &str, typed: &[&str]| {
            let options = ["red", "blue"].map(|value| (value.to_owned(), value.to_uppercase())).to_vec();
            let (kind, values) = (kind.parse().unwrap_or_default(), vec!["at first".to_owned()]);
            Field { kind, options, values, ..Field::default() }.answered(typed.iter().copied())
        };
        assert_eq!(answered("text-single", &[" a\u{1}b ", "c"]), ["ab"]);
        assert_eq!(answered("jid-single", &["a@b"]), ["a@b"]);
        assert_eq!(answered("text-multi", &["a\r\nb\u{7}"]), ["a", "b"]);
        assert_eq!(answered("list-single", &["green", "blue", "red"]), ["blue"]);
        assert_eq!(answered("list-multi", &["green", "blue", "red"]), ["blue", "red"]);
        assert_eq!(
            (answered("boolean", &["on"]), answered("boolean", &[])),
            (vec!["1".to_owned()], vec!["0".to_owned()])
        );
        assert_eq!(answered("hidden", &["another"]), ["at first"]);
        for nothing in
            [answered("text-private", &["  "]), answered("list-single", &["green"]), answered("fixed", &["x"])]
        {
            assert!(nothing.is_empty(), "{nothing:?}");
        }
    }
}
