//! Every text, by its key. `build.rs` makes the types [`RefusalTexts`], [`FailureTexts`],
//! [`MistakeTexts`], [`CommandTexts`], [`ChatTexts`], [`WebTexts`], [`FieldTexts`],
//! [`NoticeTexts`] and [`ContactTexts`] from `languages/en.toml`.

use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::fill::{fill, isolated};
use super::plural::{Counted, Plurals};

/// The English file, which is the pattern for the others.
pub const PATTERN: &str = include_str!("../../languages/en.toml");

static ENGLISH: LazyLock<Texts> = LazyLock::new(|| Texts::built_in("en", PATTERN));

include!(concat!(env!("OUT_DIR"), "/texts.rs"));

/// All texts, in one language.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Texts {
    /// The language's code (BCP 47): the name of its file.
    #[serde(skip_deserializing)]
    pub code: String,
    /// The language itself.
    pub language: Language,
    /// Why something is refused.
    pub refusal: RefusalTexts,
    /// Why something that is allowed was not done.
    pub failure: FailureTexts,
    /// What is wrong with a wish for an invite.
    pub mistake: MistakeTexts,
    /// The commands and their forms.
    pub command: CommandTexts,
    /// The words of chat messages, and the answers to them.
    pub chat: ChatTexts,
    /// The web pages.
    pub web: WebTexts,
    /// The fields that newcomers fill in on them.
    pub field: FieldTexts,
    /// The messages to inviters.
    pub notice: NoticeTexts,
    /// The service as a contact.
    pub contact: ContactTexts,
}

/// A language: its name, its direction, and how it writes a date.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Language {
    /// Its name in the language itself.
    pub name: String,
    /// The direction of its script.
    pub direction: Direction,
    date: String,
    short_date: String,
    day: String,
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

impl Texts {
    /// The texts in a file.
    ///
    /// # Errors
    /// If one is missing or of the wrong type.
    pub fn read(code: &str, file: &str) -> Result<Texts, toml::de::Error> {
        Ok(Texts { code: code.to_owned(), ..toml::from_str(file)? })
    }

    /// The texts in a built-in file.
    #[expect(clippy::expect_used, reason = "they are part of the program, and a test reads each")]
    pub fn built_in(code: &str, file: &str) -> Texts {
        Texts::read(code, file).expect("a built-in language is complete")
    }

    /// The same with isolates around all that is filled in ([`Isolate`](super::Isolate)).
    pub fn isolated(&self) -> Texts {
        fn isolate(value: &mut toml::Value) {
            match value {
                toml::Value::String(text) => *text = isolated(text),
                toml::Value::Table(table) => table.iter_mut().for_each(|(_, text)| isolate(text)),
                _ => (),
            }
        }
        let Ok(mut tables) = toml::Table::try_from(self) else { return self.clone() };
        tables.iter_mut().filter(|(name, _)| *name != "language").for_each(|(_, table)| isolate(table));
        let texts = tables.try_into().unwrap_or_else(|_| self.clone());
        Texts { code: self.code.clone(), ..texts }
    }

    /// The form of a text that goes with a number.
    pub fn counted<'a>(&self, text: &'a Counted, count: u32) -> &'a str {
        text.form(Plurals::of(&self.code).name(count))
    }

    /// The English texts: for logs, for the command line, and where no other language fits.
    pub fn english() -> &'static Texts {
        &ENGLISH
    }

    /// An instant, with the name of the month.
    pub fn date(&self, instant: Timestamp) -> String {
        self.with_month(&self.language.date, instant)
    }

    /// The day of an instant, with the name of the month.
    pub fn day(&self, instant: Timestamp) -> String {
        self.with_month(&self.language.day, instant)
    }

    fn with_month(&self, pattern: &str, instant: Timestamp) -> String {
        let month = usize::try_from(instant.to_zoned(TimeZone::UTC).month() - 1).ok();
        let name = month.and_then(|month| self.language.months.get(month));
        written(pattern, instant, "%-d", name.map_or("", String::as_str))
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
