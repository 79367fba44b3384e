//! Forms as plain data, and what comes back filled in.

use jiff::Timestamp;

/// A form, to fill in or to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// What it is.
    pub title: String,
    /// What to do with it, or empty. Some clients do not show it.
    pub instructions: String,
    /// Its fields, at most five.
    pub fields: Vec<Field>,
}

/// A field of a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name by which programs know it: one of its own within its form.
    pub var: String,
    /// What people read before it. Hidden and fixed fields have none.
    pub label: String,
    /// How it is filled in.
    pub kind: Kind,
    /// Its value, which may be changed where the kind allows it.
    pub value: String,
}

/// How a field is filled in. Every other kind is shown wrongly by some client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Not at all: it comes back as it is, unseen.
    Hidden,
    /// Not at all: it is a text to read.
    Fixed,
    /// By writing a line.
    Text,
    /// With yes (`1`) or no (`0`).
    Boolean,
    /// By choosing one of these: a value, and what people read.
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

    /// A choice. One option is chosen already.
    pub fn list(var: &str, label: &str, options: impl IntoIterator<Item = (String, String)>, chosen: &str) -> Self {
        Field { kind: Kind::List(options.into_iter().collect()), ..Field::text(var, label, chosen) }
    }

    /// A value that comes back unseen.
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
    /// These values, and others where these say nothing.
    pub fn and(self, others: Submission) -> Self {
        Submission(self.0.into_iter().chain(others.0).collect())
    }

    /// Is the field there, whatever its value?
    pub fn has(&self, var: &str) -> bool {
        self.0.iter().any(|(name, _)| name == var)
    }

    /// The value of a field. `None` if the field is missing or empty.
    pub fn text(&self, var: &str) -> Option<&str> {
        let found = self.0.iter().find(|(name, _)| name == var);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// The value of a yes or no. `None` if the field holds something else.
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
