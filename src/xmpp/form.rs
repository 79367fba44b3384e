//! Data forms (XEP-0004), in the shape that every client shows, and read back leniently.

use minidom::Element;

use super::stanza::{boolean, element, ns, with, with_text};

/// A form to fill in (`kind` is `form`) or to read (`result`).
pub fn form(kind: &str, title: &str, instructions: &str, fields: impl IntoIterator<Item = Element>) -> Element {
    let mut form = element!(ns::DATA_FORMS, "x", "type" = kind);
    form.append_child(with_text(element!(ns::DATA_FORMS, "title"), title));
    if !instructions.is_empty() {
        form.append_child(with_text(element!(ns::DATA_FORMS, "instructions"), instructions));
    }
    with(form, fields)
}

/// The hidden field that names the form (XEP-0068).
pub fn form_type(name: &str) -> Element {
    let field = element!(ns::DATA_FORMS, "field", "var" = "FORM_TYPE", "type" = "hidden");
    with(field, [with_text(element!(ns::DATA_FORMS, "value"), name)])
}

/// A field with a value. Every type but `text-single`, `list-single`, `boolean`, `fixed` and
/// `hidden` is shown wrongly by some client.
pub fn field(var: &str, kind: &str, label: &str, value: &str) -> Element {
    let field = element!(ns::DATA_FORMS, "field", "var" = var, "type" = kind, "label" = label);
    with(field, [with_text(element!(ns::DATA_FORMS, "value"), value)])
}

/// A field with values to choose from, each with its label. One of them is chosen already.
pub fn list(var: &str, label: &str, choices: impl IntoIterator<Item = (String, String)>, chosen: &str) -> Element {
    let option = |(value, label): (String, String)| {
        let option = element!(ns::DATA_FORMS, "option", "label" = label);
        with(option, [with_text(element!(ns::DATA_FORMS, "value"), &value)])
    };
    with(field(var, "list-single", label, chosen), choices.into_iter().map(option))
}

/// A text in a form. Most clients would not show its label, so it has none.
pub fn fixed(var: &str, text: &str) -> Element {
    let field = element!(ns::DATA_FORMS, "field", "var" = var, "type" = "fixed");
    with(field, [with_text(element!(ns::DATA_FORMS, "value"), text)])
}

/// A form that was filled in.
///
/// Clients send back whole forms with labels and instructions, leave out fields, or send fields
/// without a value.
#[derive(Debug, Default)]
pub struct Submission(Vec<(String, String)>);

impl Submission {
    /// The form in a command or another element. `None` if there is none.
    pub fn of(parent: &Element) -> Option<Self> {
        let form = parent.children().find(|child| child.is("x", ns::DATA_FORMS))?;
        let fields = form.children().filter(|child| child.name() == "field").filter_map(|field| {
            let value = field.children().find(|child| child.name() == "value").map(Element::text);
            Some((field.attr("var")?.to_owned(), value.unwrap_or_default().trim().to_owned()))
        });
        Some(Submission(fields.collect()))
    }

    /// The value of a field. `None` if the field is missing or empty.
    pub fn text(&self, var: &str) -> Option<&str> {
        let found = self.0.iter().find(|(name, _)| name == var);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// The value of a `boolean` field (XEP-0004 §3.3). `None` if the field holds something else.
    pub fn boolean(&self, var: &str) -> Option<bool> {
        self.text(var).map_or(Some(false), boolean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn submitted(fields: &str) -> Submission {
        let xml = format!(
            "<command xmlns='http://jabber.org/protocol/commands'><x xmlns='jabber:x:data' type='submit'>\
             <title>T</title><instructions>I</instructions>{fields}</x></command>"
        );
        Submission::of(&xml.parse().unwrap()).unwrap()
    }

    #[test]
    fn whole_forms_come_back_and_are_read() {
        let form = submitted(
            "<field type='hidden' var='FORM_TYPE'><value>x</value></field>\
             <field var='username' label='L' type='text-single'><desc>d</desc><required/><value> carol </value></field>\
             <field type='fixed'><value>text</value></field><field var='empty'/><field var='none'><value/></field>\
             <field var='on'><value>1</value></field><field var='off'><value>false</value></field>\
             <field var='odd'><value>maybe</value></field><other xmlns='urn:x'/>",
        );
        assert_eq!(form.text("username"), Some("carol"));
        assert_eq!((form.text("empty"), form.text("none"), form.text("absent")), (None, None, None));
        let booleans = ["on", "off", "empty", "absent", "odd"].map(|var| form.boolean(var));
        assert_eq!(booleans, [Some(true), Some(false), Some(false), Some(false), None]);
    }
}
