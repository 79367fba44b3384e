//! The templates of the pages. Everything that is filled in is escaped (minijinja).

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value, ValueKind};
use minijinja::{AutoEscape, Environment, Error, HtmlEscape, UndefinedBehavior};
use serde::Serialize;

use super::branding::{BadBranding, Branding};
use crate::texts::{Isolate, fill};

/// The names of the templates, and the built-in ones.
const TEMPLATES: [(&str, &str); 7] = [
    ("layout.html", include_str!("../../templates/layout.html")),
    ("parts.html", include_str!("../../templates/parts.html")),
    ("landing.html", include_str!("../../templates/landing.html")),
    ("apps.html", include_str!("../../templates/apps.html")),
    ("form.html", include_str!("../../templates/form.html")),
    ("done.html", include_str!("../../templates/done.html")),
    ("notice.html", include_str!("../../templates/notice.html")),
];

/// Begins an address in HTML.
const ADDRESS: &str = r#"<bdi dir="ltr">"#;

/// The operator's templates, or the built-in ones.
#[derive(Debug)]
pub struct Templates(Environment<'static>);

impl Templates {
    /// Reads and compiles them.
    ///
    /// # Errors
    /// If one of the operator's cannot be read or compiled.
    pub fn load(branding: &Branding) -> Result<Templates, BadBranding> {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| bad_template(branding, "layout.html", &error))?);
        environment.add_filter("fill", fill_html);
        environment.add_filter("plain", fill_plain);
        environment.add_filter("isolated", |text: String| Value::from_safe_string(isolated_html(&text)));
        environment.add_filter("address", |text: String| Value::from_safe_string(address_html(&text)));
        for (name, built_in) in TEMPLATES {
            let added = environment.add_template_owned(name, branding.text(name, built_in)?);
            added.map_err(|error| bad_template(branding, name, &error))?;
        }
        Ok(Templates(environment))
    }

    /// Renders a page.
    ///
    /// # Errors
    /// If the template fails on this data.
    pub fn render(&self, name: &str, page: Value) -> Result<String, Error> {
        self.0.get_template(name)?.render(page)
    }
}

/// What is wrong with a template: with this one, unless the error names another.
pub fn bad_template(branding: &Branding, name: &str, error: &Error) -> BadBranding {
    let line = error.line().map(|line| format!("line {line}: ")).unwrap_or_default();
    branding.problem(error.name().unwrap_or(name), format!("{line}{}", error.to_string().replace('\n', " ")))
}

/// Data as a value for templates.
pub fn data(from: impl Serialize) -> Value {
    Value::from(Serde(from))
}

/// The filter `fill`: fills in a text's placeholders.
fn fill_html(text: String, values: Value) -> Result<Value, Error> {
    let filled = filled(&isolated_html(&text), &values, |value| {
        if value.is_safe() { value.to_string() } else { unbroken(&HtmlEscape(&value.to_string()).to_string()) }
    })?;
    Ok(Value::from_safe_string(filled))
}

/// The filter `plain`: fills in a text's placeholders where there can be no markup.
fn fill_plain(text: String, values: Value) -> Result<String, Error> {
    let text = text.replace([Isolate::LEFT_TO_RIGHT, Isolate::OWN, Isolate::END], "");
    filled(&text, &values, Value::to_string)
}

/// The filter `isolated`: a text with elements in place of its isolates, which a reader would copy
/// together with an address.
fn isolated_html(text: &str) -> String {
    let text = HtmlEscape(text).to_string();
    let mut parts = text.split(Isolate::LEFT_TO_RIGHT);
    let mut html = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (address, after) = part.split_once(Isolate::END).unwrap_or((part, ""));
        html.extend([ADDRESS, &unbroken(address), "</bdi>", after]);
    }
    html.replace(Isolate::OWN, "<bdi>").replace(Isolate::END, "</bdi>")
}

/// The filter `address`: an address, which runs from left to right.
fn address_html(address: &str) -> String {
    format!("{ADDRESS}{}</bdi>", unbroken(&HtmlEscape(address).to_string()))
}

/// An address in HTML that no browser breaks after a hyphen, since readers could think that the
/// browser has added the hyphen. Elements do this, because a special hyphen or a joiner would be
/// copied with the address.
fn unbroken(address: &str) -> String {
    let mut html = String::with_capacity(address.len());
    let mut rest = address;
    while let Some((before, after)) = rest.split_once('-') {
        let next = after.chars().next().filter(|c| c.is_alphanumeric()).map_or(0, char::len_utf8);
        let (next, behind) = after.split_at(next);
        html.extend([before, "<span>-", next, "</span>"]);
        rest = behind;
    }
    html + rest
}

fn filled(text: &str, values: &Value, shown: impl Fn(&Value) -> String) -> Result<String, Error> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for name in values.try_iter()? {
        let value = values.get_item(&name)?;
        let items: Vec<String> = match value.kind() {
            ValueKind::Seq => value.try_iter()?.map(|item| format!("{ADDRESS}{}</bdi>", shown(&item))).collect(),
            _ => vec![shown(&value)],
        };
        pairs.push((name.to_string(), items.join(", ")));
    }
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    Ok(fill(text, &pairs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_runs_to_the_right_and_does_not_break_behind_a_hyphen() {
        let address =
            "<bdi dir=\"ltr\">ann<span>-m</span>arie<span>-</span>&#x27;<span>-</span><span>-é</span>@x</bdi>";
        assert_eq!(address_html("ann-marie-'--é@x"), address);
        let filled =
            fill("\u{2068}{when}\u{2069}: \u{2066}{who}\u{2069}!", &[("who", "ann-marie-'--é@x"), ("when", "<now>")]);
        assert_eq!(isolated_html(&filled), format!("<bdi>&lt;now&gt;</bdi>: {address}!"));
        let template = "\u{2066}{who}\u{2069}!".to_owned();
        let html = fill_html(template.clone(), minijinja::context! { who => "ann-marie-'--é@x" }).unwrap();
        assert_eq!(html.to_string(), format!("{address}!"));
        assert_eq!(fill_plain(template, minijinja::context! { who => "a-b" }).unwrap(), "a-b!");
    }
}
