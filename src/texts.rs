//! The texts for people, in their languages: one file each in `languages/`, all read into one type. No I/O.
//!
//! A language is complete, or it is none: a key that is missing or unknown is an error, and so is a text with other
//! `{placeholders}` than its English.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The code and the text of each file in `languages/`.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/languages.rs"));

static ENGLISH: LazyLock<Arc<Texts>> = LazyLock::new(|| Arc::new(built_in("en", include_str!("../languages/en.toml"))));

/// Every text, in one language.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Texts {
    /// The language's code (BCP 47): the name of its file.
    #[serde(skip_deserializing)]
    pub code: String,
    /// The language itself.
    pub language: Language,
    /// Why something is refused.
    pub refusal: RefusalTexts,
    /// What is wrong with a wish.
    pub mistake: MistakeTexts,
    /// The commands and their forms.
    pub command: CommandTexts,
    /// The pages that a browser shows.
    pub web: WebTexts,
}

/// A language: what it is called, how it is written, and how it writes a date.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Language {
    /// Its name, in the language itself.
    pub name: String,
    /// Which way it is written.
    pub direction: Direction,
    date: String,
    short_date: String,
    months: [String; 12],
}

/// Which way a language is written, in the words of HTML.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From left to right.
    Ltr,
    /// From right to left.
    Rtl,
}

/// A text with a number in it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Counted {
    one: String,
    other: String,
}

impl Counted {
    /// The form that goes with a number.
    pub fn of(&self, count: u32) -> &str {
        if count == 1 { &self.one } else { &self.other }
    }
}

/// The texts of [`crate::refusal::Refusal`], and of what else a request can come to.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "languages/en.toml says what each text is for")]
pub struct RefusalTexts {
    pub unknown: String,
    pub expired: String,
    pub revoked: String,
    pub used_up: String,
    pub in_progress: String,
    pub not_for_registration: String,
    pub invitation_only: String,
    pub wrong_username: String,
    pub wrong_reset_username: String,
    pub no_such_account: String,
    pub username_taken: String,
    pub username_reserved: String,
    pub invalid_username: String,
    pub not_allowed: String,
    pub unknown_host: String,
    pub address_refused: String,
    pub too_many_unknown: String,
    pub too_many_registrations: String,
    pub too_many_today: Counted,
    pub too_many_pending: Counted,
    pub too_many_endless: Counted,
    pub too_new: String,
    pub password_missing: String,
    pub password_too_long: String,
    pub password_not_text: String,
    pub password_refused_because: String,
    pub registration_limited_because: String,
    pub registration_refused_because: String,
    pub registration_refused: String,
    pub away: String,
    pub busy: String,
}

/// The texts of [`crate::refusal::Mistake`].
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "languages/en.toml says what each text is for")]
pub struct MistakeTexts {
    pub reset_without_username: String,
    pub contact_with_username: String,
    pub username_for_many: String,
    pub grants_without_account: String,
    pub no_uses: String,
    pub contact_elsewhere: String,
    pub bad_name: String,
    pub long_note: String,
    pub note_not_plain: String,
    pub bad_lifetime: String,
    pub bad_uses: String,
    pub not_yes_or_no: String,
    pub no_account: String,
}

/// The texts of the commands and their forms.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "languages/en.toml says what each text is for")]
pub struct CommandTexts {
    pub commands: String,
    pub new_invite: String,
    pub new_account_invite: String,
    pub password_reset_link: String,
    pub account_instructions: String,
    pub username: String,
    pub become_contacts: String,
    pub expires: String,
    pub uses: String,
    pub note: String,
    pub reset_instructions: String,
    pub account: String,
    pub please_correct: String,
    pub result: String,
    pub result_instructions: String,
    pub landing_url: String,
    pub uri: String,
    pub valid_until: String,
    pub unknown: String,
    pub forbidden: String,
    pub not_available: String,
    pub no_step_back: String,
    pub finished: String,
}

/// The texts of the pages.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "languages/en.toml says what each text is for")]
pub struct WebTexts {
    pub imprint: String,
    pub terms: String,
    pub invited_by: String,
    pub invited_by_lead: String,
    pub invited_to: String,
    pub invited_to_lead: String,
    pub contact_heading: String,
    pub contact_lead: String,
    pub reset_heading: String,
    pub reset_lead: String,
    pub pinned: String,
    pub valid_until: String,
    pub step_get_app: String,
    pub step_come_back: String,
    pub come_back: String,
    pub get_app: String,
    pub get_from: String,
    pub open_app: String,
    pub open_contact: String,
    pub register_here: String,
    pub register_here_why: String,
    pub otherwise: String,
    pub have_app: String,
    pub other_apps: String,
    pub no_app: String,
    pub no_account_heading: String,
    pub no_account: String,
    pub see_apps: String,
    pub reset_action: String,
    pub phone_heading: String,
    pub phone_camera: String,
    pub phone_camera_label: String,
    pub phone_app: String,
    pub phone_app_how: String,
    pub phone_app_label: String,
    pub apps_for: String,
    pub login_apps_for: String,
    pub android: String,
    pub ios: String,
    pub windows: String,
    pub macos: String,
    pub linux: String,
    pub this_device: String,
    pub after_registering: String,
    pub register_first: String,
    pub account_first: String,
    pub no_apps: String,
    pub other_devices: String,
    pub back: String,
    pub register_heading: String,
    pub username: String,
    pub username_hint: String,
    pub suggestions: String,
    pub password: String,
    pub password_own: String,
    pub password_hint: String,
    pub password_made: String,
    pub password_made_hint: String,
    pub accept_terms: String,
    pub register_submit: String,
    pub reset_for: String,
    pub reset_submit: String,
    pub error_title: String,
    pub username_missing: String,
    pub username_taken: String,
    pub username_reserved: String,
    pub username_invalid: String,
    pub password_missing: String,
    pub password_short: String,
    pub password_long: String,
    pub password_is_username: String,
    pub password_spaces: String,
    pub password_characters: String,
    pub welcome: String,
    pub your_address: String,
    pub connected: String,
    pub connected_later: String,
    pub reset_done: String,
    pub reset_done_lead: String,
    pub login_heading: String,
    pub login_get_app: String,
    pub login_get_app_how: String,
    pub login_choose: String,
    pub login_choose_how: String,
    pub login_enter: String,
    pub login_enter_account: String,
    pub login_enter_host: String,
    pub login_phone: String,
    pub login_phone_how: String,
    pub login_phone_label: String,
    pub login_other_devices: String,
    pub unknown: String,
    pub unknown_text: String,
    pub expired: String,
    pub expired_text: String,
    pub revoked: String,
    pub revoked_text: String,
    pub used: String,
    pub used_text: String,
    pub ask_inviter: String,
    pub was_it_you: String,
    pub was_it_you_how: String,
    pub away: String,
    pub away_text: String,
    pub busy: String,
    pub busy_text: String,
    pub too_many: String,
    pub too_many_text: String,
    pub forged: String,
    pub forged_text: String,
    pub too_large: String,
    pub too_large_text: String,
    pub no_page: String,
    pub no_page_text: String,
    pub not_possible: String,
    pub failed: String,
    pub failed_text: String,
    pub try_again: String,
}

impl Texts {
    /// The English texts: what logs and the command line say, and what everybody reads who asks for no language we have.
    pub fn english() -> &'static Texts {
        &ENGLISH
    }

    /// An instant, with the month by its name.
    pub fn date(&self, instant: Timestamp) -> String {
        let month = usize::try_from(instant.to_zoned(TimeZone::UTC).month() - 1).ok();
        let name = month.and_then(|month| self.language.months.get(month));
        written(&self.language.date, instant, "%-d", name.map_or("", String::as_str))
    }

    /// An instant, in figures.
    pub fn short_date(&self, instant: Timestamp) -> String {
        written(&self.language.short_date, instant, "%d", &instant.strftime("%m").to_string())
    }
}

fn written(pattern: &str, instant: Timestamp, day: &str, month: &str) -> String {
    let part = |format: &str| instant.strftime(format).to_string();
    fill(pattern, &[("day", &part(day)), ("month", month), ("year", &part("%Y")), ("time", &part("%H:%M"))])
}

/// A text with its `{placeholders}` filled in. What the values hold stays as it is.
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

/// What somebody wrote, so that it can be shown between quotation marks: with escapes for what would not be seen.
pub fn escaped(text: &str) -> String {
    let quoted = format!("{text:?}");
    quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(&quoted).to_owned()
}

/// A text of any origin, such as a path, safe to print and in one line: what would steer the terminal, or turn the reading
/// direction around, is shown instead of obeyed.
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

/// What stands before the first placeholder, its name, and what stands behind it.
fn next_placeholder(text: &str) -> Option<(&str, &str, &str)> {
    let (before, behind) = text.split_once('{')?;
    let (name, after) = behind.split_once('}')?;
    Some((before, name, after))
}

fn placeholders(mut text: &str) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    while let Some((_, name, after)) = next_placeholder(text) {
        names.insert(name);
        text = after;
    }
    names
}

/// Why a file is no language.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}.toml: {problem}")]
pub struct BadLanguage {
    code: String,
    problem: String,
}

/// The languages that there are.
#[derive(Clone, Debug)]
pub struct Languages(BTreeMap<String, Arc<Texts>>);

impl Languages {
    /// Those that come with the program.
    pub fn built_in() -> Self {
        Languages(FILES.iter().map(|(code, file)| ((*code).to_owned(), Arc::new(built_in(code, file)))).collect())
    }

    /// These, and one more, which takes the place of one with the same code.
    ///
    /// # Errors
    /// If the file is not complete; the text says which key is wrong, and how.
    pub fn with(mut self, code: &str, file: &str) -> Result<Self, BadLanguage> {
        let texts = read(code, file).and_then(|texts| compare(&texts, Texts::english()).map(|()| texts));
        let texts = texts.map_err(|problem| BadLanguage { code: code.to_owned(), problem })?;
        self.0.insert(code.to_owned(), Arc::new(texts));
        Ok(self)
    }

    /// Every one of them.
    pub fn iter(&self) -> impl Iterator<Item = &Texts> {
        self.0.values().map(Arc::as_ref)
    }

    /// The one that suits somebody best, by their `Accept-Language` (RFC 9110 §12.5.4) or `xml:lang`; English where none
    /// does, or what they say makes no sense.
    pub fn preferred(&self, ranges: &str) -> &Texts {
        let mut wanted: Vec<(&str, f32)> = ranges.split(',').filter_map(range).collect();
        wanted.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        let english = || self.0.get("en").map_or(Texts::english(), Arc::as_ref);
        let found = wanted.into_iter().find_map(|(tag, _)| if tag == "*" { Some(english()) } else { self.find(tag) });
        found.unwrap_or_else(english)
    }

    /// The language of a tag: itself, or else what it is a kind of (`de-AT`: `de`), or else another kind of the same
    /// (`pt`: `pt-BR`).
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

/// One part of an `Accept-Language`: a tag and its weight; `None` if it is not wanted, or is no such part.
fn range(text: &str) -> Option<(&str, f32)> {
    let mut parts = text.split(';').map(str::trim);
    let tag = parts.next()?;
    let weight = match parts.next() {
        None => 1.0,
        Some(weight) => weight.strip_prefix("q=").or_else(|| weight.strip_prefix("Q="))?.parse().ok()?,
    };
    (weight > 0.0).then_some((tag, weight))
}

#[expect(clippy::expect_used, reason = "these files are part of the program; a test reads each")]
fn built_in(code: &str, file: &str) -> Texts {
    read(code, file).expect("a language that comes with the program is complete")
}

fn read(code: &str, file: &str) -> Result<Texts, String> {
    let subtag =
        |subtag: &str| (1..=8).contains(&subtag.len()) && subtag.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !code.split('-').all(subtag) {
        return Err("the file is named after the code of its language, such as de or pt-BR".to_owned());
    }
    let texts = toml::from_str::<Texts>(file).map_err(|error| error.to_string().trim_end().to_owned())?;
    Ok(Texts { code: code.to_owned(), ..texts })
}

/// Does every text say as much as the English one?
fn compare(texts: &Texts, english: &Texts) -> Result<(), String> {
    let tree = |texts: &Texts| serde_json::to_value(texts).map_err(|error| error.to_string());
    compare_below("", &tree(texts)?, &tree(english)?)
}

fn compare_below(key: &str, value: &Value, english: &Value) -> Result<(), String> {
    let named = |names: BTreeSet<&str>| match names.is_empty() {
        true => "none".to_owned(),
        false => names.into_iter().map(|name| format!("{{{name}}}")).collect::<Vec<_>>().join(" "),
    };
    match (value, english) {
        (Value::Object(values), Value::Object(english)) => {
            for ((name, value), english) in values.iter().zip(english.values()) {
                let dot = if key.is_empty() { "" } else { "." };
                compare_below(&format!("{key}{dot}{name}"), value, english)?;
            }
        }
        (Value::Array(values), Value::Array(english)) => {
            for (value, english) in values.iter().zip(english) {
                compare_below(key, value, english)?;
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
    use super::*;

    fn chosen(header: &str) -> String {
        Languages::built_in().preferred(header).code.clone()
    }

    #[test]
    fn what_steers_the_terminal_is_shown_instead() {
        assert_eq!(printable("a\u{1b}[31mb\u{202e}c\td"), "a\\u{1b}[31mb\\u{202e}c\\u{9}d");
        assert_eq!(printable("Jürgen 🎉 \"x\""), "Jürgen 🎉 \"x\"");
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
    fn what_is_wrong_with_a_language_is_said_with_file_and_key() {
        let english = include_str!("../languages/en.toml");
        let problem = |from: &str, to: &str| {
            assert!(english.contains(from), "{from}");
            Languages::built_in().with("xx", &english.replacen(from, to, 1)).unwrap_err().to_string()
        };
        for (from, to, named) in [
            ("expired = ", "# ", &["missing field `expired`"][..]),
            ("expired = ", "expirred = ", &["expirred"]),
            ("[command]", "[comand]", &["comand"]),
            ("[language]", "code = 'de'\n[language]", &["code"]),
            ("direction = \"ltr\"", "direction = \"up\"", &["direction", "`ltr`", "`rtl`"]),
            ("\"January\", ", "", &["months", "12"]),
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
    fn the_language_is_the_one_that_suits_best() {
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
        let german = include_str!("../languages/de.toml");
        let regional = Languages::built_in().with("xx-YY", german).unwrap();
        for tag in ["xx", "XX-ZZ", "xx-yy"] {
            assert_eq!(regional.preferred(tag).code, "xx-YY", "{tag}");
        }
        assert_eq!(regional.with("en", german).unwrap().preferred("tlh").language.name, "Deutsch");
    }

    #[test]
    fn placeholders_are_filled_in_once() {
        assert_eq!(fill("{a} and {b}, {a}", &[("a", "{b}"), ("b", "2")]), "{b} and 2, {b}");
        for text in ["", "{", "}", "}{", "{unknown}", "{}", "é{"] {
            assert_eq!(fill(text, &[("a", "1")]), text);
        }
    }

    #[test]
    fn instants_are_written_as_the_language_does() {
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
