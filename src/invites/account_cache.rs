//! What the chat server said of accounts a moment ago, so that one question serves all who need its
//! answer. Plain state: the caller passes the instant, and asks the question.

use std::collections::HashMap;

use futures::future::{BoxFuture, Shared};
use jid::BareJid;
use jiff::{SignedDuration, Timestamp};

use crate::chat_server::{Account, Answer};

/// How many answers are kept. When there are more, those that are too old are removed.
const MOST: usize = 1_000;

/// How old an answer may be for a request that changes nothing, and for how long others may join in
/// waiting for an open question. An older question may have an old answer that nobody has read, if
/// all who waited for it have given up.
pub const A_MOMENT: SignedDuration = SignedDuration::from_millis(100);

/// A question to the chat server, for whose answer several may wait.
pub type Question = Shared<BoxFuture<'static, Answer<Account>>>;

/// The latest question about each account, with the instant at which it was asked.
#[derive(Default)]
pub struct AccountCache(HashMap<BareJid, (Timestamp, Question)>);

impl AccountCache {
    /// The question about an account that was asked less than `age` ago, or that was asked a moment
    /// ago and has no answer yet. If there is none, `ask` asks.
    pub fn get(
        &mut self,
        jid: &BareJid,
        age: SignedDuration,
        now: Timestamp,
        ask: impl FnOnce() -> Question,
    ) -> Question {
        if self.0.len() >= MOST {
            self.0.retain(|_, known| serves(known, age, now));
        }
        let found = self.0.get(jid).filter(|known| serves(known, age, now));
        let (asked_at, question) = found.cloned().unwrap_or_else(|| (now, ask()));
        self.0.insert(jid.clone(), (asked_at, question.clone()));
        question
    }

    /// Forgets what is known of an account that has changed.
    pub fn forget(&mut self, jid: &BareJid) {
        self.0.remove(jid);
    }
}

/// Whether a question serves a caller who accepts this age. An answer that keeps an account from
/// inviting serves only those who waited for it: the reason may be gone by now.
fn serves((asked_at, question): &(Timestamp, Question), age: SignedDuration, now: Timestamp) -> bool {
    let within = |age| *asked_at <= now && now.duration_since(*asked_at) < age;
    match question.peek() {
        None => within(A_MOMENT),
        Some(Ok(known)) => within(age) && known.exists && !known.disabled,
        Some(Err(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::invite::tests::at;

    /// Asks the cache at these instants for an answer of at most ten seconds. Returns the numbers
    /// of those times when it asked the chat server, which gives this answer at once or later.
    fn asked(instants: &[i64], answer: &Answer<Account>, at_once: bool) -> Vec<usize> {
        let (mut cache, alice, mut asked) =
            (AccountCache::default(), BareJid::new("alice@example.org").unwrap(), Vec::new());
        for (number, instant) in instants.iter().enumerate() {
            let answer = answer.clone();
            let question = cache.get(&alice, SignedDuration::from_secs(10), at(*instant), || {
                asked.push(number);
                async move { answer }.boxed().shared()
            });
            if at_once {
                question.now_or_never().unwrap().ok();
            }
        }
        asked
    }

    #[test]
    fn an_answer_serves_for_some_time_unless_it_keeps_somebody_out() {
        let there = Account { exists: true, ..Account::default() };
        let disabled = Account { disabled: true, ..there.clone() };
        let instants = [0, 1, 9, 10, 19, 20, 5];
        assert_eq!(asked(&instants, &Ok(there.clone()), true), [0, 3, 5, 6], "and not when the clock was set back");
        assert_eq!(asked(&[0, 0, 1, 1, 0], &Ok(there), false), [0, 2, 4], "who comes at once waits for the answer");
        for other in [Ok(disabled), Ok(Account::default()), Err(crate::chat_server::NoAnswer::Late(String::new()))] {
            assert_eq!(asked(&[0, 1, 2], &other, true), [0, 1, 2], "{other:?}");
        }
    }

    #[test]
    fn what_is_known_of_a_changed_account_serves_nobody() {
        let (mut cache, alice, age) = (AccountCache::default(), BareJid::new("alice@example.org").unwrap(), A_MOMENT);
        let known = |admin| async move { Ok(Account { exists: true, admin, ..Account::default() }) }.boxed().shared();
        cache.get(&alice, age, at(0), || known(false)).now_or_never().unwrap().ok();
        cache.forget(&alice);
        assert!(cache.get(&alice, age, at(0), || known(true)).now_or_never().unwrap().unwrap().admin);
    }

    #[test]
    fn memory_is_bounded() {
        let mut cache = AccountCache::default();
        for number in 0..3000 {
            let jid = BareJid::new(&format!("user{number}@example.org")).unwrap();
            let ask = || async { Ok(Account { exists: true, ..Account::default() }) }.boxed().shared();
            cache.get(&jid, SignedDuration::from_secs(10), at(number), ask).now_or_never().unwrap().ok();
        }
        assert!(cache.0.len() <= MOST);
    }
}
