//! All languages: which one a reader gets, and whether one is complete.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use icu_locale::fallback::LocaleFallbackIterator;
use icu_locale::{Locale, LocaleCanonicalizer, LocaleFallbacker};
use toml::{Table, Value};

use super::catalog::{Direction, PATTERN, Texts};
use super::fill::placeholders;
use super::plural::{FORMS, NUMBERS, Plurals};

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
        let texts = FILES.iter().map(|(code, file)| Texts::built_in(code, file));
        texts.fold(Languages(BTreeMap::new()), Languages::and)
    }

    /// These and another one. If it runs from right to left, what is filled in is isolated in
    /// chats, too: otherwise an address would move the punctuation beside it.
    fn and(mut self, texts: Texts) -> Self {
        let texts = if texts.language.direction == Direction::Rtl { texts.isolated() } else { texts };
        self.0.insert(texts.code.clone(), Arc::new(texts));
        self
    }

    /// These and another one, which replaces the one with the same code.
    ///
    /// # Errors
    /// If the file is not complete; the text says which key is wrong, and how.
    pub fn with(self, code: &str, file: &str) -> Result<Self, BadLanguage> {
        let texts = checked(code, file).map_err(|problem| BadLanguage { code: code.to_owned(), problem })?;
        Ok(self.and(texts))
    }

    /// The same for pages: with isolates around all that is filled in, in every language.
    pub fn isolated(&self) -> Self {
        let isolated = |texts: &Arc<Texts>| match texts.language.direction {
            Direction::Ltr => Arc::new(texts.isolated()),
            Direction::Rtl => Arc::clone(texts),
        };
        Languages(self.0.iter().map(|(code, texts)| (code.clone(), isolated(texts))).collect())
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

    /// The language of a tag: itself, else the nearest one by CLDR's rules (`de` for `de-AT`, `he`
    /// for the old code `iw`, `pt-PT` for `pt-MZ`, `zh-Hans` for `zh-CN`), else another variant of
    /// it (`zh-Hans` for `zh-TW`).
    fn find(&self, tag: &str) -> Option<&Texts> {
        if let Some(texts) = self.iter().find(|texts| texts.code.eq_ignore_ascii_case(tag)) {
            return Some(texts);
        }
        let mut wanted = nearest_first(tag)?;
        let known: Vec<_> = self.iter().filter_map(|texts| Some((nearest_first(&texts.code)?, texts))).collect();
        let language = wanted.get().language;
        while !wanted.get().is_unknown() {
            if let Some((_, texts)) = known.iter().find(|(code, _)| code.get() == wanted.get()) {
                return Some(texts);
            }
            wanted.step();
        }
        known.iter().find(|(code, _)| code.get().language == language).map(|(_, texts)| *texts)
    }
}

/// A tag, and then the more general ones whose readers are nearest to its own (UTS 35, Part 1
/// §4.1); `None` if it is malformed.
fn nearest_first(tag: &str) -> Option<LocaleFallbackIterator<'static>> {
    let mut locale: Locale = tag.parse().ok()?;
    LocaleCanonicalizer::new_common().canonicalize(&mut locale);
    Some(LocaleFallbacker::new().for_config(Default::default()).fallback_for(locale.into()))
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
    compare("", &table(file)?, &table(PATTERN)?, &Plurals::of(code).needed())?;
    Texts::read(code, file).map_err(in_words)
}

/// Compares a value with its English one. `key` is its path in the file, `forms` the plural forms
/// that the language needs ([`Plurals::needed`]).
fn compare(key: &str, value: &Value, english: &Value, forms: &BTreeMap<&str, u32>) -> Result<(), String> {
    match (value, english) {
        (Value::Table(values), Value::Table(english)) => {
            let below = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
            // A text with a number has the forms of its own language, in place of the English ones.
            let other = english.get("other").filter(|other| other.is_str());
            let is_known =
                |name: &str| if other.is_some() { FORMS.contains(&name) } else { english.contains_key(name) };
            if let Some(unknown) = values.keys().find(|name| !is_known(name)) {
                return Err(format!("{}: unknown key", below(unknown)));
            }
            let missing = |name: &str| format!("{}: the text is missing", below(name));
            let Some(other) = other else {
                for (name, english) in english {
                    compare(&below(name), values.get(name).ok_or_else(|| missing(name))?, english, forms)?;
                }
                return Ok(());
            };
            if let Some(name) = forms.keys().find(|name| !values.contains_key(**name)) {
                return Err(missing(name));
            }
            for (name, value) in values {
                let is_for_one = forms.get(name.as_str()).is_none_or(|numbers| *numbers == 1);
                let may_lack: &[&str] = if is_for_one { &NUMBERS } else { &[] };
                compare_text(&below(name), value, other, may_lack)?;
            }
        }
        (Value::Array(values), Value::Array(english)) => {
            for (value, english) in values.iter().zip(english) {
                compare_text(key, value, english, &[])?;
            }
        }
        _ => compare_text(key, value, english, &[])?,
    }
    Ok(())
}

/// Compares two texts. A value of another type is left to serde, whose error is better.
fn compare_text(key: &str, value: &Value, english: &Value, may_lack: &[&str]) -> Result<(), String> {
    let (Value::String(value), Value::String(english)) = (value, english) else { return Ok(()) };
    let named = |names: BTreeSet<&str>| match names.is_empty() {
        true => "none".to_owned(),
        false => names.into_iter().map(|name| format!("{{{name}}}")).collect::<Vec<_>>().join(" "),
    };
    let (found, expected) = (placeholders(value), placeholders(english));
    if found.symmetric_difference(&expected).any(|name| found.contains(name) || !may_lack.contains(name)) {
        let (found, expected) = (named(found), named(expected));
        return Err(format!("{key}: the text has the placeholders {found}, and needs {expected}"));
    }
    if value.trim().is_empty() {
        return Err(format!("{key}: the text is empty"));
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
                false => String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned(),
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
            ("sw, de;q=0.7, en;q=0.3", "de"),
            ("en;q=0.3,de;q=0.8", "de"),
            ("de;q=0, en", "en"),
            ("de;q=0", "en"),
            ("sw, *;q=0.5, de;q=0.1", "en"),
            ("de ; q=1", "de"),
            ("pt", "pt-BR"),
            ("PT-br", "pt-BR"),
            ("gsw-CH, de;q=0.5", "de"),
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
    fn relatives_are_found_by_the_rules_of_cldr() {
        let english = include_str!("../../languages/en.toml");
        let codes = ["he", "pt-BR", "pt-PT", "sr-Latn", "zh-Hans", "zh-Hant", "es-419"];
        let languages = codes.iter().fold(Languages(BTreeMap::new()), |languages, code| {
            languages.and(Texts { code: (*code).to_owned(), ..Texts::read(code, english).unwrap() })
        });
        for (wanted, code) in [
            ("iw", "he"),
            ("iw-IL", "he"),
            ("pt", "pt-BR"),
            ("pt-PT", "pt-PT"),
            ("pt-AO", "pt-PT"),
            ("pt-MZ,pt;q=0.9", "pt-PT"),
            ("es-MX", "es-419"),
            ("es", "es-419"),
            ("sr", "sr-Latn"),
            ("zh", "zh-Hans"),
            ("zh-CN", "zh-Hans"),
            ("zh-SG", "zh-Hans"),
            ("zh-Hans-CN", "zh-Hans"),
            ("cmn", "zh-Hans"),
            ("zh-TW", "zh-Hant"),
            ("zh-HK", "zh-Hant"),
            ("zh-Hant-MO", "zh-Hant"),
        ] {
            assert_eq!(languages.preferred(wanted).code, code, "{wanted}");
        }
    }

    #[test]
    fn a_text_with_a_number_has_the_forms_of_its_language() {
        let english = include_str!("../../languages/en.toml");
        let with = |code: &str, form: &str, text: &str| {
            let more = format!("days.one = \"{{count}} day\"\ndays.{form} = \"{text}\"");
            let file = english.replacen("days.one = \"{count} day\"", &more, 1);
            Languages::built_in().with(code, &file).map_err(|error| error.to_string())
        };
        for (code, form, text, problem) in [
            ("sl", "two", "{count} dneva", "sl.toml: command.days.few: the text is missing"),
            ("ja", "few", "unused", ""),
            ("sv", "tow", "{count}", "sv.toml: command.days.tow: unknown key"),
            ("sv", "few", "{day}", "command.days.few: the text has the placeholders {day}, and needs {count}"),
        ] {
            let outcome = with(code, form, text).err().unwrap_or_default();
            assert!(outcome.contains(problem) && outcome.is_empty() == problem.is_empty(), "{code}: {outcome}");
        }
        for (one, problem) in [("a day", false), ("{count} day", false), ("a {day}", true)] {
            let file = english.replacen("days.one = \"{count} day\"", &format!("days.one = \"{one}\""), 1);
            assert_eq!(Languages::built_in().with("sv", &file).is_err(), problem, "{one}");
            let latvian = "lv: `one` is for 1, 21, 31 and so on, so it has to have the number";
            assert!(Languages::built_in().with("lv", &file).is_err(), "{latvian}");
        }
    }

    #[test]
    fn numbers_take_the_form_that_a_speaker_expects() {
        let languages = Languages::built_in();
        let days = |code, count| {
            let texts = languages.preferred(code);
            texts.counted(&texts.command.days, count).replace("{count}", &count.to_string())
        };
        for (code, count, said) in [
            ("en", 1, "1 day"),
            ("en", 21, "21 days"),
            ("pl", 1, "1 dzień"),
            ("pl", 3, "3 dni"),
            ("ru", 1, "1 день"),
            ("ru", 21, "21 день"),
            ("ru", 3, "3 дня"),
            ("ru", 11, "11 дней"),
            ("fr", 1_000_000, "1000000 jours"),
        ] {
            assert_eq!(days(code, count), said);
        }
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
