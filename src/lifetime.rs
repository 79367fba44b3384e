//! How long something lives: `90s`, `15m`, `36h`, `7d`, `4w` or `never`.
//!
//! The configuration, the command line and the forms in chat clients have the same notation.

use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use serde::{Serialize, Serializer};

use crate::texts::{Counted, Texts, escaped, fill, folded};

/// The longest lifetime in seconds: ten years. For anything longer there is `never`.
const LONGEST: i64 = 10 * 365 * 24 * 60 * 60;

/// The units of the notation, in seconds, the largest first.
const UNITS: [(char, i64); 5] = [('w', 7 * 24 * 60 * 60), ('d', 24 * 60 * 60), ('h', 60 * 60), ('m', 60), ('s', 1)];

/// A length of time, or no end at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lifetime {
    /// This many seconds, at least one.
    Seconds(i64),
    /// No end.
    Never,
}

impl Lifetime {
    /// When something that begins `now` ends; `None` if it never does.
    pub fn end(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Lifetime::Seconds(seconds) => {
                Some(now.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX))
            }
            Lifetime::Never => None,
        }
    }

    /// The words of a language for it, such as "7 days".
    pub fn in_words(self, texts: &Texts) -> String {
        let written = self.to_string();
        let words = units(texts).into_iter().find_map(|(letter, words)| {
            let count = written.strip_suffix(letter)?;
            Some(fill(texts.counted(words, count.parse().ok()?), &[("count", count)]))
        });
        words.unwrap_or(if self == Lifetime::Never { texts.command.never.clone() } else { written })
    }

    /// What a person typed: the notation, or words of the person's language or in English.
    ///
    /// # Errors
    /// If it is neither.
    pub fn typed(text: &str, texts: &Texts) -> Result<Self, BadLifetime> {
        let plain = |text: &str| folded(text).split_whitespace().collect::<String>();
        let typed = plain(text);
        let digits: String = typed.chars().take_while(char::is_ascii_digit).collect();
        let written = [texts, Texts::english()].into_iter().find_map(|texts| {
            let is = |words: &str, count: &str| plain(&fill(words, &[("count", count)])) == typed;
            // Some languages have words for one and for two of a unit, without a number.
            let counts = if digits.is_empty() { ["1", "2"] } else { [digits.as_str(); 2] };
            let unit = units(texts).into_iter().find_map(|(letter, words)| {
                let is_exact = |count: &str| count.parse().is_ok_and(|number| is(texts.counted(words, number), count));
                let is_any = |count: &str| count == digits && words.forms().any(|form| is(form, count));
                let count = counts.into_iter().find(|count| is_exact(count) || is_any(count))?;
                Some(format!("{count}{letter}"))
            });
            unit.or_else(|| is(&texts.command.never, "").then(|| Lifetime::Never.to_string()))
        });
        written.unwrap_or(typed).parse().map_err(|_| BadLifetime::of(text))
    }
}

/// The units that have words, by their letters.
fn units(texts: &Texts) -> [(char, &Counted); 3] {
    let own = &texts.command;
    [('h', &own.hours), ('d', &own.days), ('w', &own.weeks)]
}

/// A text that is no [`Lifetime`]. Displayed in English, for the configuration and the command
/// line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text(Texts::english()))]
pub struct BadLifetime(String);

impl BadLifetime {
    fn of(text: &str) -> Self {
        BadLifetime(text.chars().take(40).collect())
    }

    /// The sentence for people, in their language.
    pub fn text(&self, texts: &Texts) -> String {
        fill(&texts.mistake.bad_lifetime, &[("written", &escaped(&self.0))])
    }
}

impl FromStr for Lifetime {
    type Err = BadLifetime;

    fn from_str(text: &str) -> Result<Self, BadLifetime> {
        let trimmed = text.trim();
        if trimmed == "never" {
            return Ok(Lifetime::Never);
        }
        let seconds = UNITS.iter().find_map(|(letter, unit)| {
            let digits = trimmed.strip_suffix(*letter)?;
            let count: i64 = digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
            count.checked_mul(*unit)
        });
        let seconds = seconds.filter(|seconds| (1..=LONGEST).contains(seconds));
        seconds.map(Lifetime::Seconds).ok_or_else(|| BadLifetime::of(text))
    }
}

impl Serialize for Lifetime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Lifetime::Never => f.write_str("never"),
            Lifetime::Seconds(seconds) => {
                // As people say it: 7 days, not 1 week, but 4 weeks.
                let said = |letter, unit| seconds % unit == 0 && (letter != 'w' || seconds >= 4 * unit);
                let (letter, unit) = UNITS.into_iter().find(|(letter, unit)| said(*letter, *unit)).unwrap_or(('s', 1));
                write!(f, "{}{letter}", seconds / unit)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read_and_written_back() {
        for (text, seconds) in [("90s", 90), ("15m", 900), ("36h", 129_600), ("7d", 604_800), ("4w", 2_419_200)] {
            let lifetime: Lifetime = text.parse().unwrap();
            assert_eq!(lifetime, Lifetime::Seconds(seconds), "{text}");
            assert_eq!(lifetime.to_string(), text);
        }
        assert_eq!("never".parse(), Ok(Lifetime::Never));
    }

    #[test]
    fn people_may_write_words() {
        let languages = crate::texts::Languages::built_in();
        let lifetimes = ["1h", "5h", "1d", "2d", "7d", "21d", "4w", "15m", "never"].map(|text| text.parse().unwrap());
        assert_eq!(lifetimes.iter().max(), Some(&Lifetime::Never));
        for texts in languages.iter() {
            for lifetime in lifetimes {
                let words = lifetime.in_words(texts);
                assert_eq!(Lifetime::typed(&words, texts), Ok(lifetime), "{}: {words}", texts.code);
            }
            for (text, lifetime) in
                [(" 3 Days ", "3d"), ("3 d", "3d"), ("1 weeks", "1w"), ("36H", "36h"), ("NEVER", "never")]
            {
                assert_eq!(Lifetime::typed(text, texts), Ok(lifetime.parse().unwrap()), "{}: {text}", texts.code);
            }
            for text in
                ["", "3", "days", "-3 days", "3 days and nights", "three days", "0 days", "99999 days", "3 dayz"]
            {
                assert_eq!(Lifetime::typed(text, texts), Err(BadLifetime::of(text)), "{}: {text}", texts.code);
            }
        }
        assert_eq!(Lifetime::Seconds(7 * 24 * 60 * 60).in_words(Texts::english()), "7 days");
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "7", "d", "0d", "-1d", "7 d", "7days", "1.5h", "99999999999999999999s", "4000d", "７d", "é"]
        {
            assert!(text.parse::<Lifetime>().is_err(), "{text:?}");
        }
    }
}
