//! Data forms (XEP-0004): written in the form that every client shows, and read leniently.

use minidom::Element;

use super::stanza::{element, ns, with, with_text};
use crate::commands::{Field, Form, Kind, Submission};

/// A form to fill in (`kind` is `form`) or to read (`result`). `name` is its FORM_TYPE (XEP-0068).
pub fn data_form(kind: &str, name: &str, form: &Form) -> Element {
    let mut data_form = element!(ns::DATA_FORMS, "x", "type" = kind);
    data_form.append_child(with_text(element!(ns::DATA_FORMS, "title"), &form.title));
    if !form.instructions.is_empty() {
        data_form.append_child(with_text(element!(ns::DATA_FORMS, "instructions"), &form.instructions));
    }
    with(with(data_form, [field(&Field::hidden("FORM_TYPE", name))]), form.fields.iter().map(field))
}

fn field(field: &Field) -> Element {
    let (kind, options) = match &field.kind {
        Kind::Hidden => ("hidden", &[][..]),
        Kind::Fixed => ("fixed", &[][..]),
        Kind::Text => ("text-single", &[][..]),
        Kind::Boolean => ("boolean", &[][..]),
        Kind::List(options) => ("list-single", options.as_slice()),
    };
    // Most clients do not show the label of a fixed field.
    let label = (!matches!(field.kind, Kind::Hidden | Kind::Fixed)).then_some(field.label.as_str());
    let element = element!(ns::DATA_FORMS, "field", "var" = field.var.as_str(), "type" = kind, "label" = label);
    let option = |(value, label): &(String, String)| {
        with(element!(ns::DATA_FORMS, "option", "label" = label.as_str()), [value_of(value)])
    };
    with(with(element, [value_of(&field.value)]), options.iter().map(option))
}

fn value_of(text: &str) -> Element {
    with_text(element!(ns::DATA_FORMS, "value"), text)
}

/// Whether there is a form that the user has cancelled (XEP-0004 §3.1).
pub fn is_cancelled(parent: &Element) -> bool {
    parent.children().any(|child| child.is("x", ns::DATA_FORMS) && child.attr("type") == Some("cancel"))
}

/// The submitted form in a command or another element. `None` if there is none.
///
/// Some clients send the whole form with labels and instructions, leave out fields, or send fields
/// without a value.
pub fn submission(parent: &Element) -> Option<Submission> {
    let form = parent.get_child("x", ns::DATA_FORMS)?;
    let fields = form.children().filter(|child| child.name() == "field");
    let values = fields.filter_map(|field| {
        let value = field.children().find(|child| child.name() == "value").map(Element::text);
        Some((field.attr("var")?, value.unwrap_or_default()))
    });
    Some(values.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn submitted(fields: &str) -> Submission {
        let xml = format!(
            "<command xmlns='http://jabber.org/protocol/commands'><x xmlns='jabber:x:data' type='submit'>\
             <title>T</title><instructions>I</instructions>{fields}</x></command>"
        );
        submission(&xml.parse().unwrap()).unwrap()
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
