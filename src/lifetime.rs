//! How long something lives: `90s`, `15m`, `36h`, `7d`, `4w` or `never`.
//!
//! The configuration, the command line and the forms in chat clients have the same notation.

use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};

use crate::texts::{Texts, escaped, fill};

/// The longest lifetime in seconds: ten years. For anything longer there is `never`.
const LONGEST: i64 = 10 * 365 * 24 * 60 * 60;

/// The units of the notation, in seconds, the largest first.
const UNITS: [(char, i64); 5] = [('w', 7 * 24 * 60 * 60), ('d', 24 * 60 * 60), ('h', 60 * 60), ('m', 60), ('s', 1)];

/// A length of time, or no end at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}

/// Why a text is not a [`Lifetime`]. As an error, it is said in English, for the configuration and
/// the command line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text(Texts::english()))]
pub struct BadLifetime(String);

impl BadLifetime {
    /// The text for people.
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
        seconds.map(Lifetime::Seconds).ok_or_else(|| BadLifetime(text.chars().take(40).collect()))
    }
}

impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Lifetime::Never => f.write_str("never"),
            Lifetime::Seconds(seconds) => {
                // People say 7 days, not 1 week, but 4 weeks.
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
    fn what_is_no_duration_is_refused() {
        for text in ["", "7", "d", "0d", "-1d", "7 d", "7days", "1.5h", "99999999999999999999s", "4000d", "７d", "é"]
        {
            assert!(text.parse::<Lifetime>().is_err(), "{text:?}");
        }
    }
}
