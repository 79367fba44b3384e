//! When it is certain that something is gone. Nothing permanent follows from one "no": a chat
//! server may say so because it cannot read its accounts at the moment. So several answers, minutes
//! apart, have to agree. Plain state: the caller passes the instant.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// How many answers have to agree, and over how long a time.
const ANSWERS: u32 = 3;
const SPREAD: Duration = Duration::from_secs(5 * 60);

/// The pause between two questions. Answers that are closer together count as one.
const PAUSE: Duration = Duration::from_secs(60);

/// Answers are forgotten when no other has come for longer than this.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60 * 60);

/// How many things that seem to be gone are remembered at a time. Further ones do not become
/// certain until there is room.
const MOST: usize = 1_000;

/// The things that seem to be gone, with the answers that say so.
#[derive(Debug)]
pub struct Absences<K>(HashMap<K, Answers>);

#[derive(Debug)]
struct Answers {
    first: Instant,
    last: Instant,
    count: u32,
}

impl<K> Default for Absences<K> {
    fn default() -> Self {
        Absences(HashMap::new())
    }
}

impl<K: Clone + Eq + Hash> Absences<K> {
    /// The answer was "no". Returns whether it is certain now that the thing is gone.
    pub fn absent(&mut self, key: &K, now: Instant) -> bool {
        self.forget_old(now);
        if self.0.len() >= MOST && !self.0.contains_key(key) {
            return false;
        }
        let seen = self.0.entry(key.clone()).or_insert(Answers { first: now, last: now, count: 1 });
        if now >= seen.last + PAUSE {
            (seen.last, seen.count) = (now, seen.count.saturating_add(1));
        }
        seen.count >= ANSWERS && seen.last >= seen.first + SPREAD
    }

    /// The thing is there, or is known to be gone: earlier answers no longer count.
    pub fn forget(&mut self, key: &K) {
        self.0.remove(key);
    }

    /// The things to ask about again.
    pub fn due(&mut self, now: Instant) -> Vec<K> {
        self.forget_old(now);
        let due = self.0.iter().filter(|(_, seen)| now >= seen.last + PAUSE);
        due.map(|(key, _)| key.clone()).collect()
    }

    fn forget_old(&mut self, now: Instant) {
        self.0.retain(|_, seen| now <= seen.last + FORGOTTEN_AFTER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: f64) -> Duration {
        Duration::from_secs_f64(60.0 * minutes)
    }

    /// Whether it is certain after a "no" at each of these minutes.
    fn certain(minutes: &[f64]) -> Vec<bool> {
        let (mut absences, start) = (Absences::default(), Instant::now());
        minutes.iter().map(|minute| absences.absent(&"alice", start + at(*minute))).collect()
    }

    #[test]
    fn three_answers_over_five_minutes_make_it_certain() {
        assert_eq!(certain(&[0.0, 2.5, 5.0]), [false, false, true]);
        assert_eq!(certain(&[0.0, 1.0, 2.0, 3.0, 4.0, 4.9]), [false; 6]);
        assert_eq!(certain(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]), [false, false, false, false, false, true]);
        assert_eq!(certain(&[0.0, 60.0, 61.0]), [false, false, true]);
        assert_eq!(certain(&[0.0, 60.1, 61.1, 65.1]), [false, false, false, true], "the first is too old");
    }

    #[test]
    fn answers_in_a_hurry_are_one_answer() {
        assert_eq!(certain(&[0.0, 0.1, 0.2, 0.3, 5.0]), [false; 5], "two, five minutes apart");
        assert_eq!(certain(&[0.0; 100]), [false; 100]);
    }

    #[test]
    fn one_answer_that_finds_it_starts_anew() {
        let (mut absences, start) = (Absences::default(), Instant::now());
        absences.absent(&"alice", start);
        absences.absent(&"alice", start + at(3.0));
        absences.forget(&"alice");
        assert!(!absences.absent(&"alice", start + at(6.0)));
        assert!(!absences.absent(&"alice", start + at(9.0)));
        assert!(absences.absent(&"alice", start + at(12.0)));
        assert!(!absences.absent(&"bob", start + at(12.0)), "it is another one");
    }

    #[test]
    fn each_is_asked_about_once_a_minute() {
        let (mut absences, start) = (Absences::default(), Instant::now());
        absences.absent(&"alice", start);
        assert!(absences.due(start + at(0.9)).is_empty());
        assert_eq!(absences.due(start + at(1.0)), ["alice"]);
        absences.absent(&"alice", start + at(1.0));
        assert!(absences.due(start + at(1.5)).is_empty());
        absences.forget(&"alice");
        assert!(absences.due(start + at(9.0)).is_empty());
    }

    #[test]
    fn memory_is_bounded() {
        let (mut absences, start) = (Absences::default(), Instant::now());
        for minute in [0.0, 3.0, 6.0] {
            for number in 0..=MOST {
                let certain = absences.absent(&number, start + at(minute));
                assert_eq!(certain, minute == 6.0 && number < MOST, "{number} at {minute}");
            }
        }
        assert_eq!(absences.0.len(), MOST);
        assert_eq!(absences.due(start + at(66.0)).len(), MOST);
        for minute in [66.1, 69.1, 72.1] {
            let certain = absences.absent(&MOST, start + at(minute));
            assert_eq!(certain, minute == 72.1, "those whose last look is an hour old make room");
        }
        assert!(absences.due(start + at(150.0)).is_empty());
    }
}
