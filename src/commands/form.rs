//! Forms as plain data, and what was filled in.

use jiff::Timestamp;

/// A form, to fill in or to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// What it is.
    pub title: String,
    /// What to do with it, or empty. Some clients do not show it.
    pub instructions: String,
    /// Its fields. A form to fill in shows at most five.
    pub fields: Vec<Field>,
}

/// A field of a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name by which programs know it, unique in its form.
    pub var: String,
    /// The label. Hidden and fixed fields have none.
    pub label: String,
    /// How it is filled in.
    pub kind: Kind,
    /// Its value at first.
    pub value: String,
}

/// How a field is filled in. Some client shows each of the other kinds of XEP-0004 wrongly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is not shown, and comes back unchanged.
    Hidden,
    /// A text to read.
    Fixed,
    /// A line of text.
    Text,
    /// Yes (`1`) or no (`0`).
    Boolean,
    /// One of these options: a value, and its label.
    List(Vec<(String, String)>),
}

impl Field {
    /// A line of text.
    pub fn text(var: &str, label: &str, value: &str) -> Self {
        Field { var: var.to_owned(), label: label.to_owned(), kind: Kind::Text, value: value.to_owned() }
    }

    /// A yes or no.
    pub fn boolean(var: &str, label: &str, value: bool) -> Self {
        Field { kind: Kind::Boolean, ..Field::text(var, label, if value { "1" } else { "0" }) }
    }

    /// A list of options. The value `chosen` is chosen at first.
    pub fn list(var: &str, label: &str, options: impl IntoIterator<Item = (String, String)>, chosen: &str) -> Self {
        Field { kind: Kind::List(options.into_iter().collect()), ..Field::text(var, label, chosen) }
    }

    /// A value that is not shown and comes back.
    pub fn hidden(var: &str, value: &str) -> Self {
        Field { kind: Kind::Hidden, ..Field::text(var, "", value) }
    }

    /// A text to read.
    pub fn fixed(var: &str, text: &str) -> Self {
        Field { kind: Kind::Fixed, ..Field::text(var, "", text) }
    }
}

/// A form that was filled in: values by the names of their fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Submission(Vec<(String, String)>);

impl<Var: Into<String>, Value: AsRef<str>> FromIterator<(Var, Value)> for Submission {
    fn from_iter<T: IntoIterator<Item = (Var, Value)>>(values: T) -> Self {
        Submission(values.into_iter().map(|(var, value)| (var.into(), value.as_ref().trim().to_owned())).collect())
    }
}

impl Submission {
    /// These values, and those of the fields that only `others` has.
    pub fn and(self, others: Submission) -> Self {
        Submission(self.0.into_iter().chain(others.0).collect())
    }

    /// Whether the field is there, also if it is empty.
    pub fn has(&self, var: &str) -> bool {
        self.0.iter().any(|(name, _)| name == var)
    }

    /// The value of a field. `None` if the field is missing or empty.
    pub fn text(&self, var: &str) -> Option<&str> {
        let found = self.0.iter().find(|(name, _)| name == var);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// The value of a yes or no, which is no if it is missing. `None` if the field has another
    /// value.
    pub fn boolean(&self, var: &str) -> Option<bool> {
        self.text(var).map_or(Some(false), boolean)
    }
}

/// A yes or no as programs write it (XEP-0004 §3.3, XML Schema). `None` if it is neither.
pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// An instant as `YYYY-MM-DDThh:mm:ssZ` (XEP-0082 §3.2). One client's parser takes no fractions.
pub fn date_time(instant: Timestamp) -> String {
    instant.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
