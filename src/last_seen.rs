//! When a daemon was last seen at work, and what follows from that. First, whether the clock can be
//! trusted with what cannot be undone: with a clock that is a year ahead, every invite would be
//! removed. Second, whether the store may lack invites that were made.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use crate::lifetime::Lifetime;

/// How long after a jump of the clock nothing is removed. Within this time the clock is set right
/// by itself, or somebody sees what the log says.
const DOUBTED_FOR: SignedDuration = SignedDuration::from_hours(6);

/// How far ahead of the clock an instant may be, since machines' clocks differ.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);

/// For how long a store may lack invites whose links people still open: as long as an invite is
/// valid by default.
const LACKING_FOR: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The latest instant that a right clock can have noted by `now`. A later one was noted while a
/// clock was wrong, and does not say when that was.
pub fn latest(now: Timestamp) -> Timestamp {
    now.saturating_add(AHEAD).unwrap_or(Timestamp::MAX)
}

/// Where a PostgreSQL server stands in the history of its cluster (PostgreSQL's documentation,
/// "Timelines").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lineage {
    /// The system identifier: copies of a cluster share it.
    pub cluster: i64,
    /// It grows whenever a standby becomes the primary, or a backup is restored up to some moment.
    pub timeline: i64,
}

impl Lineage {
    /// Whether a store of this lineage may lack what was written to one of lineage `earlier`.
    fn may_lack(self, earlier: Lineage) -> bool {
        self.cluster != earlier.cluster || self.timeline > earlier.timeline
    }
}

/// What daemons have seen of the clock, and of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastSeen {
    /// When a daemon was last at work.
    pub at: Timestamp,
    /// What the clock showed after its last jump; the Unix epoch if there was none.
    pub since: Timestamp,
    /// What the clock showed before that jump, if that is known.
    pub before: Option<Timestamp>,
    /// The lineage of the server that had the store then; `None` with SQLite, or if the server does
    /// not tell.
    pub lineage: Option<Lineage>,
    /// When this store took the place of another, whose last invites it may lack: an asynchronous
    /// standby took over, or a backup was restored. `None`: it did not.
    pub took_over_at: Option<Timestamp>,
}

impl LastSeen {
    /// What is known when the first daemon is at work on a store. `took_over_at`: when the store
    /// took the place of another. If it was filled without a daemon, by an import for example,
    /// nothing says whether the clock is right.
    pub fn first(
        now: Timestamp,
        store_is_empty: bool,
        lineage: Option<Lineage>,
        took_over_at: Option<Timestamp>,
    ) -> Self {
        let since = if store_is_empty { Timestamp::UNIX_EPOCH } else { now };
        LastSeen { at: now, since, before: None, lineage, took_over_at: took_over_at.map(|at| at.min(now)) }
    }

    /// What is known when a daemon is at work at a later time. It may be another daemon, with
    /// another clock. A step of more than `tolerance`, ahead or back, is a jump of the clock.
    #[must_use]
    pub fn then(self, now: Timestamp, tolerance: Lifetime, lineage: Option<Lineage>) -> Self {
        let step = now.duration_since(self.at).abs();
        let (since, before) = match tolerance {
            Lifetime::Seconds(most) if step > SignedDuration::from_secs(most) => (now, Some(self.at)),
            // The clock may have been set back to a time before its last jump.
            _ => (self.since.min(now), self.before),
        };
        let is_another = matches!((lineage, self.lineage), (Some(new), Some(old)) if new.may_lack(old));
        let took_over_at = if is_another { Some(now) } else { self.took_over_at.map(|at| at.min(now)) };
        LastSeen { at: now, since, before, lineage: lineage.or(self.lineage), took_over_at }
    }

    /// Until when the store may lack invites whose links people have; `None` if it lacks none.
    pub fn lacks_invites_until(&self, now: Timestamp) -> Option<Timestamp> {
        let until = self.took_over_at?.saturating_add(LACKING_FOR).unwrap_or(Timestamp::MAX);
        (now < until).then_some(until)
    }

    /// Whether the clock has jumped within the last hours, so that it may be wrong.
    pub fn is_doubtful(&self) -> bool {
        self.at.duration_since(self.since) < DOUBTED_FOR
    }
}

/// The line in the log that says why nothing is removed.
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
        let first = LastSeen::first(at(0), true, None, None);
        times.iter().fold(first, |seen, time| seen.then(at(*time), TOLERANCE, None)).is_doubtful()
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
        let seen = LastSeen::first(at(0), false, None, None);
        assert_eq!(seen.took_over_at, None, "and yet it lacks nothing");
        assert!(seen.is_doubtful() && !seen.then(at(6 * HOUR), TOLERANCE, None).is_doubtful());
    }

    #[test]
    fn where_nothing_is_removed_no_clock_is_doubted() {
        assert!(!LastSeen::first(at(0), true, None, None).then(at(4000 * DAY), Lifetime::Never, None).is_doubtful());
    }

    #[test]
    fn a_store_that_took_over_may_lack_invites_for_a_week() {
        let on = |cluster, timeline| Some(Lineage { cluster, timeline });
        for (places, took_over_at, why) in [
            (&[(0, on(1, 1)), (5, on(1, 1))][..], None, "the same server"),
            (&[(0, on(1, 1)), (5, on(1, 2)), (9, on(1, 2))], Some(5), "a standby took over"),
            (&[(0, on(1, 1)), (5, on(1, 2)), (9, on(1, 3))], Some(9), "and another one"),
            (&[(0, on(1, 1)), (5, on(1, 2)), (9, on(1, 1)), (9, on(1, 1))], Some(5), "an old primary is back"),
            (&[(0, on(1, 3)), (5, on(2, 1))], Some(5), "another cluster"),
            (&[(0, None), (5, on(1, 2)), (9, None), (12, on(1, 2))], None, "not every server says where it is"),
            (&[(0, on(1, 1)), (5, None), (9, on(1, 2))], Some(9), "and yet it is noticed"),
            (&[(0, on(1, 1)), (400 * DAY, on(1, 2)), (5, on(1, 2))], Some(5), "the clock was ahead"),
        ] {
            let [(_, first), later @ ..] = places else { panic!("{why}") };
            let first = LastSeen::first(at(0), true, *first, None);
            let seen = later.iter().fold(first, |seen, (time, place)| seen.then(at(*time), TOLERANCE, *place));
            assert_eq!(seen.took_over_at, took_over_at.map(at), "{why}");
        }
        let filled = LastSeen::first(at(1), false, None, Some(at(0))).then(at(DAY), TOLERANCE, None);
        assert_eq!(filled.lacks_invites_until(at(7 * DAY - 1)), Some(at(7 * DAY)), "a backup was restored");
        assert_eq!(filled.lacks_invites_until(at(7 * DAY)), None);
        let ahead = LastSeen::first(at(0), false, None, Some(at(400 * DAY)));
        assert_eq!(ahead.lacks_invites_until(at(7 * DAY)), None, "it was restored while the clock was ahead");
    }

    #[test]
    fn the_log_says_both_times_and_what_follows() {
        let seen = LastSeen::first(at(0), true, None, None).then(at(400 * DAY), TOLERANCE, None);
        let said = "the clock shows 2028-02-19T08:00:00Z, and a daemon was last seen at 2027-01-15T08:00:00Z. In case \
                    the clock is wrong, nothing that ended is removed before 2028-02-19T14:00:00Z: set it right until \
                    then";
        assert_eq!(seen.to_string(), said);
    }
}
