//! The templates of the pages. Everything that is filled in is escaped (minijinja).

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value, ValueKind};
use minijinja::{AutoEscape, Environment, Error, HtmlEscape, UndefinedBehavior};
use serde::Serialize;

use super::branding::{BadBranding, Branding};
use crate::texts::fill;

/// The templates, each with the built-in one.
const TEMPLATES: [(&str, &str); 7] = [
    ("layout.html", include_str!("../../templates/layout.html")),
    ("parts.html", include_str!("../../templates/parts.html")),
    ("landing.html", include_str!("../../templates/landing.html")),
    ("apps.html", include_str!("../../templates/apps.html")),
    ("form.html", include_str!("../../templates/form.html")),
    ("done.html", include_str!("../../templates/done.html")),
    ("notice.html", include_str!("../../templates/notice.html")),
];

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
        for (name, built_in) in TEMPLATES {
            let added = environment.add_template_owned(name, branding.text(name, built_in)?);
            added.map_err(|error| bad_template(branding, name, &error))?;
        }
        Ok(Templates(environment))
    }

    /// The text of a page.
    ///
    /// # Errors
    /// If the template fails on this data.
    pub fn render(&self, name: &str, page: Value) -> Result<String, Error> {
        self.0.get_template(name)?.render(page)
    }
}

/// What is wrong with a template, or with the one that the error names itself.
pub fn bad_template(branding: &Branding, name: &str, error: &Error) -> BadBranding {
    let line = error.line().map(|line| format!("line {line}: ")).unwrap_or_default();
    branding.problem(error.name().unwrap_or(name), format!("{line}{}", error.to_string().replace('\n', " ")))
}

/// Data, for a template.
pub fn data(from: impl Serialize) -> Value {
    Value::from(Serde(from))
}

/// The filter `fill`: fills in a text's placeholders. Each value is isolated (`<bdi>`): it may be
/// written in the other direction.
fn fill_html(text: String, values: Value) -> Result<Value, Error> {
    let filled = filled(&HtmlEscape(&text).to_string(), &values, |value| {
        if value.is_safe() { value.to_string() } else { format!("<bdi>{}</bdi>", HtmlEscape(&value.to_string())) }
    })?;
    Ok(Value::from_safe_string(filled))
}

/// The filter `plain`: fills in a text's placeholders where there can be no markup.
fn fill_plain(text: String, values: Value) -> Result<String, Error> {
    filled(&text, &values, Value::to_string)
}

fn filled(text: &str, values: &Value, shown: impl Fn(&Value) -> String) -> Result<String, Error> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for name in values.try_iter()? {
        let value = values.get_item(&name)?;
        let items: Vec<String> = match value.kind() {
            ValueKind::Seq => value.try_iter()?.map(|item| shown(&item)).collect(),
            _ => vec![shown(&value)],
        };
        pairs.push((name.to_string(), items.join(", ")));
    }
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    Ok(fill(text, &pairs))
}
