//! When a daemon was last seen at work, and whether the clock can be trusted with what cannot be
//! undone: a clock that is a year ahead would have every invite removed.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use crate::lifetime::Lifetime;

/// How long after a jump of the clock nothing is removed. Until then the clock is set right by
/// itself, or somebody has seen what the log says.
const DOUBTED_FOR: SignedDuration = SignedDuration::from_hours(6);

/// How far ahead of the clock an instant may lie, since machines' clocks differ.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);

/// The latest instant that can have been noted by `now`. A later one was noted while a clock was
/// wrong, and does not tell when it was.
pub fn latest(now: Timestamp) -> Timestamp {
    now.saturating_add(AHEAD).unwrap_or(Timestamp::MAX)
}

/// What daemons have seen of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastSeen {
    /// When a daemon was last at work.
    pub at: Timestamp,
    /// What the clock showed after its last jump. If there was none: the beginning of time.
    pub since: Timestamp,
    /// What it showed before that jump, if that is known.
    pub before: Option<Timestamp>,
}

impl LastSeen {
    /// A daemon is at work for the first time. A store that was filled without one, from a backup
    /// for example, does not tell whether the clock is right.
    pub fn first(now: Timestamp, store_is_empty: bool) -> Self {
        LastSeen { at: now, since: if store_is_empty { Timestamp::UNIX_EPOCH } else { now }, before: None }
    }

    /// A daemon is at work after this. It may be another one with another clock. A step of more
    /// than `tolerance`, ahead or back, is a jump.
    #[must_use]
    pub fn then(self, now: Timestamp, tolerance: Lifetime) -> Self {
        let step = now.duration_since(self.at).abs();
        match tolerance {
            Lifetime::Seconds(most) if step > SignedDuration::from_secs(most) => {
                LastSeen { at: now, since: now, before: Some(self.at) }
            }
            // The clock may have been set back to a time before its last jump.
            _ => LastSeen { at: now, since: self.since.min(now), ..self },
        }
    }

    /// Whether the clock has jumped a short while ago, so that it may be wrong.
    pub fn is_doubtful(&self) -> bool {
        self.at.duration_since(self.since) < DOUBTED_FOR
    }
}

/// Why nothing is removed.
impl fmt::Display for LastSeen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let until = self.since.saturating_add(DOUBTED_FOR).unwrap_or(Timestamp::MAX);
        match self.before {
            Some(before) => write!(f, "the clock shows {}, and a daemon was last seen at {before}", self.since)?,
            None => write!(f, "no daemon has been at work on this store before {}", self.since)?,
        }
        write!(f, ". In case the clock is wrong, nothing that ended is removed before {until}: set it right until then")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 60 * 60;
    const DAY: i64 = 24 * HOUR;
    const TOLERANCE: Lifetime = Lifetime::Seconds(90 * DAY);

    /// An instant, in seconds after some day of these years.
    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    /// What is known after the clock has shown these times one after the other, and whether the
    /// last of them is doubted.
    fn doubted_after(times: &[i64]) -> bool {
        let first = LastSeen::first(at(0), true);
        times.iter().fold(first, |seen, time| seen.then(at(*time), TOLERANCE)).is_doubtful()
    }

    #[test]
    fn a_clock_that_jumps_is_doubted_for_hours() {
        for (times, doubted, why) in [
            (&[][..], false, "a new store has nothing to lose"),
            (&[5, 10, 3600, 90 * DAY], false, "away, but not for longer than invites are kept"),
            (&[90 * DAY + 1], true, "ahead"),
            (&[400 * DAY, 400 * DAY + 60], true, "a second start"),
            (&[400 * DAY, 400 * DAY + 6 * HOUR - 1], true, "still"),
            (&[400 * DAY, 400 * DAY + 6 * HOUR], false, "it was really away for 400 days"),
            (&[-400 * DAY], true, "back"),
            (&[400 * DAY, 0], true, "set right again"),
            (&[400 * DAY, 0, 6 * HOUR], false, "set right for hours"),
            (&[-1_800_000_000, 0, 6 * HOUR - 1], true, "a machine that begins in 1970 at each start"),
            (&[400 * DAY, 400 * DAY + 5 * HOUR, 5 * HOUR, 400 * DAY + 7 * HOUR], true, "two machines disagree"),
            (&[400 * DAY, 370 * DAY, 370 * DAY + 6 * HOUR], false, "set back a little within those hours"),
        ] {
            assert_eq!(doubted_after(times), doubted, "{why}");
        }
    }

    #[test]
    fn a_store_that_was_filled_without_a_daemon_is_no_witness() {
        let seen = LastSeen::first(at(0), false);
        assert!(seen.is_doubtful() && !seen.then(at(6 * HOUR), TOLERANCE).is_doubtful());
    }

    #[test]
    fn where_nothing_is_removed_no_clock_is_doubted() {
        assert!(!LastSeen::first(at(0), true).then(at(4000 * DAY), Lifetime::Never).is_doubtful());
    }

    #[test]
    fn the_log_says_both_times_and_what_follows() {
        let seen = LastSeen::first(at(0), true).then(at(400 * DAY), TOLERANCE);
        let said = "the clock shows 2028-02-19T08:00:00Z, and a daemon was last seen at 2027-01-15T08:00:00Z. In case \
                    the clock is wrong, nothing that ended is removed before 2028-02-19T14:00:00Z: set it right until \
                    then";
        assert_eq!(seen.to_string(), said);
    }
}
