//! When it is certain that something is gone. Nothing permanent follows from one look: a chat
//! server may say "no" because it cannot read its accounts at the moment. Plain state: the caller
//! passes the instant.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// How many looks have to agree, and over how long a time.
const LOOKS: u32 = 3;
const SPREAD: Duration = Duration::from_secs(5 * 60);

/// The pause between two looks. Looks that are closer together count as one.
const PAUSE: Duration = Duration::from_secs(60);

/// What was not looked at for longer than this is forgotten: a look begins anew.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60 * 60);

/// How many things that seem to be gone are remembered at a time. Any further ones do not
/// become certain.
const MOST: usize = 1_000;

/// The things that seem to be gone, with the looks that agree.
#[derive(Debug)]
pub struct Absences<K>(HashMap<K, Agreeing>);

#[derive(Debug)]
struct Agreeing {
    first: Instant,
    last: Instant,
    looks: u32,
}

impl<K> Default for Absences<K> {
    fn default() -> Self {
        Absences(HashMap::new())
    }
}

impl<K: Clone + Eq + Hash> Absences<K> {
    /// A look has found nothing. Returns whether it is certain now that the thing is gone.
    pub fn absent(&mut self, key: &K, now: Instant) -> bool {
        self.forget_old(now);
        if self.0.len() >= MOST && !self.0.contains_key(key) {
            return false;
        }
        let seen = self.0.entry(key.clone()).or_insert(Agreeing { first: now, last: now, looks: 1 });
        if now >= seen.last + PAUSE {
            (seen.last, seen.looks) = (now, seen.looks.saturating_add(1));
        }
        seen.looks >= LOOKS && seen.last >= seen.first + SPREAD
    }

    /// A look has found it, or it is known to be gone: earlier looks no longer count.
    pub fn forget(&mut self, key: &K) {
        self.0.remove(key);
    }

    /// The things to look at again.
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

    /// Whether it is certain after each of these looks, at these minutes.
    fn certain(minutes: &[f64]) -> Vec<bool> {
        let (mut looks, start) = (Absences::default(), Instant::now());
        minutes.iter().map(|minute| looks.absent(&"alice", start + at(*minute))).collect()
    }

    #[test]
    fn three_looks_over_five_minutes_make_it_certain() {
        assert_eq!(certain(&[0.0, 2.5, 5.0]), [false, false, true]);
        assert_eq!(certain(&[0.0, 1.0, 2.0, 3.0, 4.0, 4.9]), [false; 6]);
        assert_eq!(certain(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]), [false, false, false, false, false, true]);
        assert_eq!(certain(&[0.0, 60.0, 61.0]), [false, false, true]);
        assert_eq!(certain(&[0.0, 60.1, 61.1, 65.1]), [false, false, false, true], "the first is too old");
    }

    #[test]
    fn looks_in_a_hurry_are_one_look() {
        assert_eq!(certain(&[0.0, 0.1, 0.2, 0.3, 5.0]), [false; 5], "two, five minutes apart");
        assert_eq!(certain(&[0.0; 100]), [false; 100]);
    }

    #[test]
    fn one_look_that_finds_it_starts_anew() {
        let (mut looks, start) = (Absences::default(), Instant::now());
        looks.absent(&"alice", start);
        looks.absent(&"alice", start + at(3.0));
        looks.forget(&"alice");
        assert!(!looks.absent(&"alice", start + at(6.0)));
        assert!(!looks.absent(&"alice", start + at(9.0)));
        assert!(looks.absent(&"alice", start + at(12.0)));
        assert!(!looks.absent(&"bob", start + at(12.0)), "it is another one");
    }

    #[test]
    fn each_is_looked_at_once_a_minute() {
        let (mut looks, start) = (Absences::default(), Instant::now());
        looks.absent(&"alice", start);
        assert!(looks.due(start + at(0.9)).is_empty());
        assert_eq!(looks.due(start + at(1.0)), ["alice"]);
        looks.absent(&"alice", start + at(1.0));
        assert!(looks.due(start + at(1.5)).is_empty());
        looks.forget(&"alice");
        assert!(looks.due(start + at(9.0)).is_empty());
    }

    #[test]
    fn memory_is_bounded() {
        let (mut looks, start) = (Absences::default(), Instant::now());
        for minute in [0.0, 3.0, 6.0] {
            for number in 0..=MOST {
                let certain = looks.absent(&number, start + at(minute));
                assert_eq!(certain, minute == 6.0 && number < MOST, "{number} at {minute}");
            }
        }
        assert_eq!(looks.0.len(), MOST);
        assert_eq!(looks.due(start + at(66.0)).len(), MOST);
        for minute in [66.1, 69.1, 72.1] {
            let certain = looks.absent(&MOST, start + at(minute));
            assert_eq!(certain, minute == 72.1, "those whose last look is an hour old make room");
        }
        assert!(looks.due(start + at(150.0)).is_empty());
    }
}
