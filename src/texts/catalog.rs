//! Every text, by its key.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::fill::fill;

static ENGLISH: LazyLock<Texts> = LazyLock::new(|| built_in("en", include_str!("../../languages/en.toml")));

/// All texts, in one language.
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
    /// What is wrong with a wish for an invite.
    pub mistake: MistakeTexts,
    /// The commands and their forms.
    pub command: CommandTexts,
    /// The web pages.
    pub web: WebTexts,
}

/// A language: its name, its direction, and how it writes a date.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Language {
    /// Its name in the language itself.
    pub name: String,
    /// The direction of its script.
    pub direction: Direction,
    date: String,
    short_date: String,
    months: [String; 12],
}

/// The direction of a script, in the words of HTML.
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

/// The texts of [`crate::refusal::Refusal`], and those for a request that failed.
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
    pub password_short: String,
    pub password_long: String,
    pub password_is_username: String,
    pub password_spaces: String,
    pub password_characters: String,
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
#[expect(missing_docs, reason = "languages/en.toml says what each text is for")]
pub struct WebTexts {
    pub username_missing: String,
    pub username_taken: String,
    pub username_reserved: String,
    pub username_invalid: String,
    pub unknown: String,
    pub unknown_text: String,
    pub expired: String,
    pub expired_text: String,
    pub revoked: String,
    pub revoked_text: String,
    pub used: String,
    pub used_text: String,
    pub away: String,
    pub away_text: String,
    pub unable_text: String,
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
    /// The texts that only templates name. Their keys are those of the English file.
    #[serde(flatten)]
    pub of_templates: BTreeMap<String, String>,
}

impl Texts {
    /// The English texts: for logs, for the command line, and where no other language fits.
    pub fn english() -> &'static Texts {
        &ENGLISH
    }

    /// An instant, with the name of the month.
    pub fn date(&self, instant: Timestamp) -> String {
        let month = usize::try_from(instant.to_zoned(TimeZone::UTC).month() - 1).ok();
        let name = month.and_then(|month| self.language.months.get(month));
        written(&self.language.date, instant, "%-d", name.map_or("", String::as_str))
    }

    /// An instant in digits.
    pub fn short_date(&self, instant: Timestamp) -> String {
        written(&self.language.short_date, instant, "%d", &instant.strftime("%m").to_string())
    }
}

fn written(pattern: &str, instant: Timestamp, day: &str, month: &str) -> String {
    let part = |format: &str| instant.strftime(format).to_string();
    fill(pattern, &[("day", &part(day)), ("month", month), ("year", &part("%Y")), ("time", &part("%H:%M"))])
}

/// Reads a built-in file.
#[expect(clippy::expect_used, reason = "they are part of the program, and a test reads each")]
pub fn built_in(code: &str, file: &str) -> Texts {
    read(code, file).expect("a built-in language is complete")
}

/// Reads a file.
///
/// # Errors
/// The key that is missing, unknown or of the wrong type.
pub fn read(code: &str, file: &str) -> Result<Texts, String> {
    let subtag =
        |subtag: &str| (1..=8).contains(&subtag.len()) && subtag.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !code.split('-').all(subtag) {
        return Err("the file is named after the code of its language, such as de or pt-BR".to_owned());
    }
    let texts = toml::from_str::<Texts>(file).map_err(|error| error.to_string().trim_end().to_owned())?;
    Ok(Texts { code: code.to_owned(), ..texts })
}
