//! When to ask again about a reservation that could not be settled. Plain state: the caller passes
//! the instant.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The pause after the first failure; it doubles with each further one, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(10 * 60);

/// The pause after a doubtful "no", which is no failure: such answers count once a minute
/// (`absences`).
const DOUBTFUL_PAUSE: Duration = Duration::from_secs(60);

/// A reservation counts as due this long before its time, since rounds do not begin on the
/// millisecond.
const EARLY: Duration = Duration::from_secs(1);

/// The operator is told after this many failures.
const FAILURES_TO_TELL: u32 = 3;

/// How many reservations are remembered, some 300 bytes each. Further ones are asked about without
/// a pause.
const MOST: usize = 10_000;

/// How many of them [`Retries::to_tell`] names.
const MOST_NAMED: usize = 5;

/// The longest reason that is kept, in characters.
const LONGEST_REASON: usize = 200;

/// A use that stays reserved, since settling its reservation has failed several times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsettled {
    /// The account, shortened if it is very long.
    pub account: String,
    /// The invite's id.
    pub invite: String,
    /// When the use was reserved.
    pub reserved_at: Timestamp,
    /// Why it could not be settled last time.
    pub reason: String,
}

impl std::fmt::Display for Unsettled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Unsettled { account, invite, reserved_at, reason } = self;
        write!(f, "{account} by invite {invite} since {reserved_at} ({reason})")
    }
}

/// The reservations that could not be settled yet.
#[derive(Debug, Default)]
pub struct Retries(HashMap<String, Retry>);

#[derive(Debug)]
struct Retry {
    failures: u32,
    again_at: Instant,
    /// What to tell of the last failure, if there was one.
    unsettled: Option<Unsettled>,
}

impl Retries {
    /// Whether it is time to ask about a reservation.
    pub fn is_due(&self, reservation: &str, now: Instant) -> bool {
        self.0.get(reservation).is_none_or(|retry| retry.again_at <= now + EARLY)
    }

    /// How many reservations wait for their time. Forgets those that nobody asks about any more,
    /// since they have ended in another way.
    pub fn waiting(&mut self, now: Instant) -> usize {
        self.0.retain(|_, retry| now < retry.again_at + LONGEST_PAUSE);
        self.0.values().filter(|retry| retry.again_at > now + EARLY).count()
    }

    /// A reservation could not be settled. Returns whether the operator should hear of it now.
    pub fn failed(&mut self, reservation: &str, mut unsettled: Unsettled, now: Instant) -> bool {
        unsettled.account = shortened(unsettled.account);
        unsettled.reason = shortened(unsettled.reason);
        let failures = self.0.get(reservation).map_or(0, |retry| retry.failures).saturating_add(1);
        let pause = FIRST_PAUSE.saturating_mul(1 << (failures - 1).min(16)).min(LONGEST_PAUSE);
        if let Some(retry) = self.remembered(reservation, now) {
            *retry = Retry { failures, again_at: now + pause, unsettled: Some(unsettled) };
        }
        failures == FAILURES_TO_TELL
    }

    /// The answer about a reservation was a doubtful "no". It is asked about again, and this does
    /// not count as a failure.
    pub fn pause(&mut self, reservation: &str, now: Instant) {
        if let Some(retry) = self.remembered(reservation, now) {
            retry.again_at = now + DOUBTFUL_PAUSE;
        }
    }

    /// The entry of a reservation, which is made if there is none; `None` if there are too many.
    fn remembered(&mut self, reservation: &str, now: Instant) -> Option<&mut Retry> {
        let is_full = self.0.len() >= MOST && !self.0.contains_key(reservation);
        let entry = (!is_full).then(|| self.0.entry(reservation.to_owned()));
        entry.map(|entry| entry.or_insert(Retry { failures: 0, again_at: now, unsettled: None }))
    }

    /// A reservation has ended.
    pub fn ended(&mut self, reservation: &str) {
        self.0.remove(reservation);
    }

    /// The chat server is connected again: all reservations are due at once.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The reservations that the operator should know of: the oldest few, and how many there are.
    pub fn to_tell(&self) -> (Vec<Unsettled>, usize) {
        let failing = self.0.values().filter(|retry| retry.failures >= FAILURES_TO_TELL);
        let mut failing: Vec<_> = failing.filter_map(|retry| retry.unsettled.as_ref()).collect();
        failing.sort_by_key(|unsettled| (unsettled.reserved_at, &unsettled.account));
        (failing.iter().take(MOST_NAMED).copied().cloned().collect(), failing.len())
    }
}

fn shortened(text: String) -> String {
    match text.char_indices().nth(LONGEST_REASON) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn unsettled(account: &str, reserved_at: i64) -> Unsettled {
        Unsettled {
            account: account.to_owned(),
            invite: "abcdefgh2345".to_owned(),
            reserved_at: Timestamp::from_second(reserved_at).unwrap(),
            reason: "it is busy".to_owned(),
        }
    }

    #[test]
    fn the_pause_doubles_up_to_ten_minutes_and_the_third_failure_is_told_once() {
        let (mut retries, mut now) = (Retries::default(), Instant::now());
        assert!(retries.is_due("r", now));
        for (failure, pause) in [10, 20, 40, 80, 160, 320, 600, 600].into_iter().enumerate() {
            assert_eq!(retries.failed("r", unsettled("carol", 1), now), failure == 2, "{failure}");
            assert!(!retries.is_due("r", now + (pause - 2) * SECOND), "after failure {failure}");
            assert_eq!(retries.waiting(now), 1);
            now += pause * SECOND;
            assert!(retries.is_due("r", now), "after failure {failure}");
            assert_eq!(retries.waiting(now), 0);
        }
        assert!(retries.is_due("other", now));
        retries.ended("r");
        assert!(!retries.failed("r", unsettled("carol", 1), now));
        assert!(!retries.is_due("r", now), "it begins anew");
        retries.clear();
        assert!(retries.is_due("r", now));
    }

    #[test]
    fn a_look_that_settles_nothing_has_a_pause_of_a_minute_and_is_no_failure() {
        let (mut retries, mut now) = (Retries::default(), Instant::now());
        for _ in 0..5 {
            retries.pause("r", now);
            assert!(!retries.is_due("r", now + 58 * SECOND));
            assert_eq!((retries.waiting(now), retries.to_tell().1), (1, 0));
            now += 60 * SECOND;
            assert!(retries.is_due("r", now));
        }
        assert!(!retries.failed("r", unsettled("carol", 1), now));
        assert!(!retries.failed("r", unsettled("carol", 1), now));
        retries.pause("r", now);
        assert!(retries.failed("r", unsettled("carol", 1), now), "it is the third failure");
        assert!(!retries.is_due("r", now + 38 * SECOND) && retries.is_due("r", now + 40 * SECOND));
        for number in 0..MOST {
            retries.pause(&number.to_string(), now);
        }
        assert_eq!(retries.0.len(), MOST);
    }

    #[test]
    fn the_oldest_that_failed_three_times_are_named() {
        let (mut retries, now) = (Retries::default(), Instant::now());
        for number in 0..8 {
            for _ in 0..3 {
                retries.failed(&format!("r{number}"), unsettled(&format!("user{number}"), 100 - number), now);
            }
        }
        retries.failed("new", unsettled("new", 1), now);
        let (named, in_all) = retries.to_tell();
        let named: Vec<_> = named.iter().map(|unsettled| unsettled.account.as_str()).collect();
        assert_eq!((named, in_all), (vec!["user7", "user6", "user5", "user4", "user3"], 8));
    }

    #[test]
    fn memory_is_bounded_and_what_ended_otherwise_is_forgotten() {
        let (mut retries, now) = (Retries::default(), Instant::now());
        retries.failed("long", Unsettled { reason: "é".repeat(1000), ..unsettled("x", 1) }, now);
        assert!(retries.0["long"].unsettled.as_ref().unwrap().reason.chars().count() == LONGEST_REASON + 1);
        for number in 0..MOST + 10 {
            retries.failed(&number.to_string(), unsettled("x", 1), now);
        }
        assert_eq!(retries.0.len(), MOST);
        assert!(retries.is_due(&(MOST + 9).to_string(), now));
        assert_eq!(retries.waiting(now + FIRST_PAUSE + LONGEST_PAUSE), 0);
        assert!(retries.0.is_empty());
    }
}
