//! How many requests may be in flight, so that a flood of one sender does not hold up the others.

use std::collections::HashMap;

/// How many requests of users may be in flight, at some kilobytes each.
pub const FROM_USERS: usize = 1024;

/// How many of them may be from one account. Requests of others wait behind them for the store. No
/// client sends more than a few at a time.
const FROM_ONE_USER: usize = 64;

/// How many requests of the hosts themselves may be in flight. A hook asks one question at a time
/// for each stream.
pub const FROM_HOST: usize = 8192;

/// The sender of a request, as it is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Sender {
    /// The served hosts themselves, counted together.
    Host,
    /// The account with this bare JID, of a served host or another.
    User(String),
}

/// The requests in flight, counted by sender.
#[derive(Debug, Default)]
pub struct InFlight {
    by_sender: HashMap<Sender, usize>,
    from_users: usize,
}

impl InFlight {
    /// Counts one more request, and returns its sender. `None` if there are too many.
    pub fn admit(&mut self, sender: Sender) -> Option<Sender> {
        let own = self.by_sender.get(&sender).copied().unwrap_or_default();
        let room = match sender {
            Sender::Host => own < FROM_HOST,
            Sender::User(_) => own < FROM_ONE_USER && self.from_users < FROM_USERS,
        };
        if !room {
            return None;
        }
        self.from_users += usize::from(sender != Sender::Host);
        self.by_sender.insert(sender.clone(), own + 1);
        Some(sender)
    }

    /// Counts one request less: an admitted one was answered.
    pub fn answered(&mut self, sender: Sender) {
        self.from_users -= usize::from(sender != Sender::Host);
        match self.by_sender.get_mut(&sender) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(self.by_sender.remove(&sender)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(number: usize) -> Sender {
        Sender::User(format!("user-{number}@example.org"))
    }

    /// How many of `tries` requests are admitted.
    fn admitted(in_flight: &mut InFlight, sender: &Sender, tries: usize) -> usize {
        (0..tries).filter(|_| in_flight.admit(sender.clone()).is_some()).count()
    }

    #[test]
    fn each_user_all_users_and_the_hosts_have_their_own_bound() {
        let mut in_flight = InFlight::default();
        let users = FROM_USERS / FROM_ONE_USER;
        for number in 0..users {
            assert_eq!(admitted(&mut in_flight, &user(number), 10_000), FROM_ONE_USER);
        }
        assert_eq!(admitted(&mut in_flight, &user(users), 10_000), 0, "of users in all");
        assert_eq!(admitted(&mut in_flight, &Sender::Host, 10_000), FROM_HOST, "whatever users do");
        in_flight.answered(user(0));
        assert_eq!(admitted(&mut in_flight, &user(users), 10_000), 1);
    }

    #[test]
    fn nothing_is_kept_of_senders_whose_requests_are_answered() {
        let mut in_flight = InFlight::default();
        for number in 0..30_000 {
            let sender = in_flight.admit(user(number)).unwrap();
            in_flight.answered(sender);
        }
        assert_eq!((in_flight.by_sender.len(), in_flight.from_users), (0, 0));
    }
}
