//! What was known of accounts a moment ago, so that one question serves everybody who needs its
//! answer. Plain state: the caller passes the instant, and asks.

use std::collections::HashMap;

use futures::future::{BoxFuture, Shared};
use jid::BareJid;
use jiff::{SignedDuration, Timestamp};

use crate::chat_server::{Account, Answer};

/// With this many looks in memory, older ones are forgotten.
const MOST: usize = 1_000;

/// How old a look may be for somebody who only asks, and for how long others may join in waiting
/// for one. Later the answer may be there, and old, if whoever asked has stopped waiting.
pub const A_MOMENT: SignedDuration = SignedDuration::from_millis(100);

/// A question to the chat server, and everybody who waits for its answer.
pub type Look = Shared<BoxFuture<'static, Answer<Account>>>;

/// The latest looks at accounts, and when the chat server was asked.
#[derive(Default)]
pub struct Looks(HashMap<BareJid, (Timestamp, Look)>);

impl Looks {
    /// A look at an account that is at most this old, or was begun a moment ago and is still
    /// without an answer. If there is none, `ask` asks.
    pub fn at(&mut self, jid: &BareJid, age: SignedDuration, now: Timestamp, ask: impl FnOnce() -> Look) -> Look {
        if self.0.len() >= MOST {
            self.0.retain(|_, look| serves(look, age, now));
        }
        let found = self.0.get(jid).filter(|look| serves(look, age, now));
        let (asked_at, look) = found.cloned().unwrap_or_else(|| (now, ask()));
        self.0.insert(jid.clone(), (asked_at, look.clone()));
        look
    }

    /// The account has changed: what was known of it serves nobody.
    pub fn forget(&mut self, jid: &BareJid) {
        self.0.remove(jid);
    }
}

/// Whether a look serves somebody who wants one that is at most this old. What keeps an account
/// from inviting may have been mended: such a look serves nobody else.
fn serves((asked_at, look): &(Timestamp, Look), age: SignedDuration, now: Timestamp) -> bool {
    let within = |age| *asked_at <= now && now.duration_since(*asked_at) < age;
    match look.peek() {
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

    /// The numbers of the questions that are asked, when somebody looks at these instants for looks
    /// of at most ten seconds, and each is answered in this way at once or later.
    fn asked(instants: &[i64], answer: &Answer<Account>, at_once: bool) -> Vec<usize> {
        let (mut looks, alice, mut asked) = (Looks::default(), BareJid::new("alice@example.org").unwrap(), Vec::new());
        for (number, instant) in instants.iter().enumerate() {
            let answer = answer.clone();
            let look = looks.at(&alice, SignedDuration::from_secs(10), at(*instant), || {
                asked.push(number);
                async move { answer }.boxed().shared()
            });
            if at_once {
                look.now_or_never().unwrap().ok();
            }
        }
        asked
    }

    #[test]
    fn a_look_serves_for_some_time_unless_it_keeps_somebody_out() {
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
        let (mut looks, alice, age) = (Looks::default(), BareJid::new("alice@example.org").unwrap(), A_MOMENT);
        let known = |admin| async move { Ok(Account { exists: true, admin, ..Account::default() }) }.boxed().shared();
        looks.at(&alice, age, at(0), || known(false)).now_or_never().unwrap().ok();
        looks.forget(&alice);
        assert!(looks.at(&alice, age, at(0), || known(true)).now_or_never().unwrap().unwrap().admin);
    }

    #[test]
    fn memory_is_bounded() {
        let mut looks = Looks::default();
        for number in 0..3000 {
            let jid = BareJid::new(&format!("user{number}@example.org")).unwrap();
            let ask = || async { Ok(Account { exists: true, ..Account::default() }) }.boxed().shared();
            looks.at(&jid, SignedDuration::from_secs(10), at(number), ask).now_or_never().unwrap().ok();
        }
        assert!(looks.0.len() <= MOST);
    }
}
