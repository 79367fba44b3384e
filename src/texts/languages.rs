//! The languages, which one a reader gets, and whether one is complete.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use toml::{Table, Value};

use super::catalog::{PATTERN, Texts};
use super::fill::placeholders;

/// The code and the text of each file in `languages/`.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/languages.rs"));

/// Why a file is no complete language.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}.toml: {problem}")]
pub struct BadLanguage {
    code: String,
    problem: String,
}

/// The languages that there are, by their codes.
#[derive(Clone, Debug)]
pub struct Languages(BTreeMap<String, Arc<Texts>>);

impl Languages {
    /// The built-in ones.
    pub fn built_in() -> Self {
        let texts = FILES.iter().map(|(code, file)| ((*code).to_owned(), Arc::new(Texts::built_in(code, file))));
        Languages(texts.collect())
    }

    /// These and another one, which replaces the one with the same code.
    ///
    /// # Errors
    /// If the file is not complete; the text says which key is wrong, and how.
    pub fn with(mut self, code: &str, file: &str) -> Result<Self, BadLanguage> {
        let texts = checked(code, file).map_err(|problem| BadLanguage { code: code.to_owned(), problem })?;
        self.0.insert(code.to_owned(), Arc::new(texts));
        Ok(self)
    }

    /// The same for pages: with isolates around all that is filled in.
    pub fn isolated(&self) -> Self {
        Languages(self.0.iter().map(|(code, texts)| (code.clone(), Arc::new(texts.isolated()))).collect())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Texts> {
        self.0.values().map(Arc::as_ref)
    }

    /// The best language for an `Accept-Language` (RFC 9110 §12.5.4) or `xml:lang`; English if no
    /// language fits, or the text is malformed.
    pub fn preferred(&self, ranges: &str) -> &Texts {
        let mut wanted: Vec<(&str, f32)> = ranges.split(',').filter_map(range).collect();
        wanted.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        let english = || self.0.get("en").map_or(Texts::english(), Arc::as_ref);
        let found = wanted.into_iter().find_map(|(tag, _)| if tag == "*" { Some(english()) } else { self.find(tag) });
        found.unwrap_or_else(english)
    }

    /// The language of a tag: itself, else the more general one (`de` for `de-AT`), else another
    /// variant of it (`pt-BR` for `pt`).
    fn find(&self, tag: &str) -> Option<&Texts> {
        let named = |tag: &str| self.iter().find(|texts| texts.code.eq_ignore_ascii_case(tag));
        let mut general = tag;
        loop {
            match (named(general), general.rsplit_once('-')) {
                (Some(texts), _) => return Some(texts),
                (None, Some((shorter, _))) => general = shorter,
                (None, None) => break,
            }
        }
        let primary = |code: &str| code.split('-').next().is_some_and(|primary| primary.eq_ignore_ascii_case(general));
        self.iter().find(|texts| primary(&texts.code))
    }
}

/// One part of an `Accept-Language`: a tag and its weight; `None` if it is malformed or not wanted.
fn range(text: &str) -> Option<(&str, f32)> {
    let mut parts = text.split(';').map(str::trim);
    let tag = parts.next()?;
    let weight = match parts.next() {
        None => 1.0,
        Some(weight) => weight.strip_prefix("q=").or_else(|| weight.strip_prefix("Q="))?.parse().ok()?,
    };
    (weight > 0.0).then_some((tag, weight))
}

/// The texts in a file, which has the keys of the English one, and in every text the placeholders
/// of its English one.
///
/// # Errors
/// The key that is missing, unknown or of the wrong type.
fn checked(code: &str, file: &str) -> Result<Texts, String> {
    let subtag =
        |subtag: &str| (1..=8).contains(&subtag.len()) && subtag.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !code.split('-').all(subtag) {
        return Err("the file is named after the code of its language, such as de or pt-BR".to_owned());
    }
    let in_words = |error: toml::de::Error| error.to_string().trim_end().to_owned();
    let table = |file: &str| file.parse::<Table>().map(Value::Table).map_err(in_words);
    compare("", &table(file)?, &table(PATTERN)?)?;
    Texts::read(code, file).map_err(in_words)
}

fn compare(key: &str, value: &Value, english: &Value) -> Result<(), String> {
    let named = |names: BTreeSet<&str>| match names.is_empty() {
        true => "none".to_owned(),
        false => names.into_iter().map(|name| format!("{{{name}}}")).collect::<Vec<_>>().join(" "),
    };
    match (value, english) {
        (Value::Table(values), Value::Table(english)) => {
            let below = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
            if let Some(unknown) = values.keys().find(|name| !english.contains_key(*name)) {
                return Err(format!("{}: unknown key", below(unknown)));
            }
            for (name, english) in english {
                let value = values.get(name).ok_or_else(|| format!("{}: the text is missing", below(name)))?;
                compare(&below(name), value, english)?;
            }
        }
        (Value::Array(values), Value::Array(english)) => {
            for (value, english) in values.iter().zip(english) {
                compare(key, value, english)?;
            }
        }
        (Value::String(value), Value::String(english)) => {
            let (found, expected) = (placeholders(value), placeholders(english));
            if found != expected {
                let (found, expected) = (named(found), named(expected));
                return Err(format!("{key}: the text has the placeholders {found}, and needs {expected}"));
            }
            if value.trim().is_empty() {
                return Err(format!("{key}: the text is empty"));
            }
        }
        _ => (),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    fn chosen(header: &str) -> String {
        Languages::built_in().preferred(header).code.clone()
    }

    #[test]
    fn every_language_is_complete() {
        let mut languages = Languages(BTreeMap::new());
        for (code, file) in FILES {
            languages = languages.with(code, file).unwrap_or_else(|error| panic!("languages/{error}"));
        }
        assert!(languages.iter().count() >= 8);
    }

    #[test]
    fn an_error_in_a_language_names_file_and_key() {
        let english = include_str!("../../languages/en.toml");
        let problem = |from: &str, to: &str| {
            assert!(english.contains(from), "{from}");
            Languages::built_in().with("xx", &english.replacen(from, to, 1)).unwrap_err().to_string()
        };
        for (from, to, named) in [
            ("expired = ", "# ", &["refusal.expired: the text is missing"][..]),
            ("expired = ", "expirred = ", &["expirred"]),
            ("[command]", "[comand]", &["comand"]),
            ("[language]", "code = 'de'\n[language]", &["code"]),
            ("direction = \"ltr\"", "direction = \"up\"", &["direction", "`ltr`", "`rtl`"]),
            ("\"January\", ", "", &["months", "12"]),
            ("welcome = ", "# ", &["web.welcome", "missing"]),
            ("welcome = ", "welcom = ''\nwelcome = ", &["web.welcom:", "unknown"]),
            ("welcome = ", "welcome = 5 # ", &["expected a string", "welcome = 5"]),
            ("your_address = ", "your_address = '{host}' # ", &["web.your_address", "{host}"]),
            ("{account}", "{acount}", &["refusal.no_such_account", "{acount}", "{account}"]),
            ("{host}", "{host", &["refusal.unknown_host", "none", "{host}"]),
        ] {
            let problem = problem(from, to);
            assert!(problem.starts_with("xx.toml: ") && named.iter().all(|part| problem.contains(part)), "{problem}");
        }
        let problem = problem("unknown = \"This server does not recognise this invitation\"", "unknown = ' '");
        assert_eq!(problem, "xx.toml: refusal.unknown: the text is empty");
        assert!(Languages::built_in().with("../en", english).is_err());
    }

    #[test]
    fn every_text_is_named_somewhere_and_templates_name_no_other() {
        fn files_below(folder: &Path) -> String {
            let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
            let text = |path: PathBuf| match path.is_dir() {
                true => files_below(&path),
                false => std::fs::read_to_string(path).unwrap(),
            };
            entries.map(text).collect()
        }
        fn named_after<'a>(text: &'a str, before: &str) -> BTreeSet<&'a str> {
            let rests = text.split(before).skip(1);
            rests.filter_map(|rest| rest.split(|c: char| c != '_' && !c.is_alphanumeric()).next()).collect()
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let (code, templates) = (files_below(&root.join("src")), files_below(&root.join("templates")));
        let (by_code, by_templates) = (named_after(&code, "."), named_after(&templates, "t.web."));
        let english: Table = PATTERN.parse().unwrap();
        let web = english["web"].as_table().unwrap();
        assert_eq!(by_templates.iter().find(|name| !web.contains_key(**name)), None, "languages/en.toml lacks it");
        for (table, texts) in english.iter().filter(|(table, _)| *table != "language") {
            for key in texts.as_table().unwrap().keys().map(String::as_str) {
                let named = by_code.contains(key) || table == "web" && by_templates.contains(key);
                assert!(named, "nothing names {table}.{key}");
            }
        }
    }

    #[test]
    fn the_best_language_is_chosen() {
        for (header, code) in [
            ("de", "de"),
            ("DE-at", "de"),
            ("de-DE-1996", "de"),
            ("en-US,en;q=0.9,de;q=0.8", "en"),
            ("nl, de;q=0.7, en;q=0.3", "de"),
            ("en;q=0.3,de;q=0.8", "de"),
            ("de;q=0, en", "en"),
            ("de;q=0", "en"),
            ("nl, *;q=0.5, de;q=0.1", "en"),
            ("de ; q=1", "de"),
            ("pt", "pt-BR"),
            ("pt-PT,pt;q=0.9,en;q=0.8", "pt-BR"),
            ("PT-br", "pt-BR"),
            ("ru-Cyrl-UA", "ru"),
            ("", "en"),
            ("tlh", "en"),
            ("*", "en"),
            (",;q=,de;q=x,;;;,-,--,\u{0}, é-é;q=NaN,d", "en"),
        ] {
            assert_eq!(chosen(header), code, "{header:?}");
        }
        let german = include_str!("../../languages/de.toml");
        let regional = Languages::built_in().with("xx-YY", german).unwrap();
        for tag in ["xx", "XX-ZZ", "xx-yy"] {
            assert_eq!(regional.preferred(tag).code, "xx-YY", "{tag}");
        }
        assert_eq!(regional.with("en", german).unwrap().preferred("tlh").language.name, "Deutsch");
    }

    #[test]
    fn dates_are_written_as_the_language_does() {
        let instant = "2026-03-05T09:07:59Z".parse().unwrap();
        let languages = Languages::built_in();
        let written = |code| {
            let texts = languages.preferred(code);
            (texts.date(instant), texts.short_date(instant))
        };
        assert_eq!(written("en"), ("5 March 2026, 09:07 UTC".into(), "2026-03-05 09:07 UTC".into()));
        assert_eq!(written("pl").0, "5 marca 2026, 09:07 (UTC)");
        assert_eq!(written("de"), ("5. März 2026, 09:07 Uhr (UTC)".into(), "05.03.2026, 09:07 Uhr (UTC)".into()));
    }
}
