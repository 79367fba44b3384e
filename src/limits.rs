//! How often strangers may present unknown tokens, register with an invite for many, and ask for
//! web pages and forms; and how often users may replace links. Plain state: the caller passes the
//! instant. It is bounded, and only in memory, so addresses are never stored.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use jid::BareJid;
use serde::Serialize;

use crate::invite::{Invite, InviteId};

/// How long unknown tokens count, from the first one on, and how long an address with too many is
/// refused.
pub const GUESSING: Duration = Duration::from_secs(10 * 60);

/// How many unknown tokens may be presented within [`GUESSING`], from all addresses together. A
/// token has 125 bits, so nobody finds one with so few.
pub const MOST_WRONG_IN_ALL: u32 = 1000;

/// How often the log says, at most, that there are too many in all.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// How long accounts made with an invite for many count, from the first one on.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// An invite for many is closed to each address that has failed with it once, as soon as all
/// addresses together have failed this many times as often as one address may.
const ADDRESSES_THAT_FAIL: u32 = 10;

/// How many keys each kind of tally may have, at some 100 bytes each.
const MAX_TALLIES: usize = 10_000;

/// How many registrations that have not ended are kept.
const MAX_REGISTERING: usize = 1024;

/// What the operator allows an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// An address is refused after this many unknown tokens within [`GUESSING`]. `None`: never.
    pub wrong_tokens: Option<u32>,
    /// How many accounts a day an invite with more than one use may make from one address. `None`:
    /// any number.
    pub registrations: Option<u32>,
    /// How many web pages an address is shown within [`GUESSING`]. `None`: any number.
    pub pages: Option<u32>,
    /// How many web forms an address may send within [`GUESSING`]. Also how many registrations may
    /// fail because of a chosen username or password, in browsers and chat clients: from one
    /// address, and with one invite for one use. `None`: any number.
    pub forms: Option<u32>,
}

/// What an address asks of the web pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebRequest {
    /// To see a page.
    Page,
    /// To send a form, for an account or a new password.
    Form,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { wrong_tokens: Some(20), registrations: Some(50), pages: Some(600), forms: Some(60) }
    }
}

/// Where a client connects from, as it is counted: an IPv4 address, or the /64 of an IPv6 address,
/// since a household has at least that. All unknown addresses are counted as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address(Option<IpAddr>);

impl Address {
    /// Whether it is known.
    pub fn is_known(self) -> bool {
        self.0.is_some()
    }
}

impl From<Option<IpAddr>> for Address {
    fn from(address: Option<IpAddr>) -> Self {
        Address(address.map(|address| match address.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
            v4 => v4,
        }))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(IpAddr::V4(address)) => write!(f, "{address}"),
            Some(IpAddr::V6(network)) => write!(f, "{network}/64"),
            None => f.write_str("unknown addresses"),
        }
    }
}

/// The address in a text, such as `203.0.113.7` or `2001:db8::7`, with a zone (`fe80::1%eth0`) or
/// without; `None` if it is none.
pub fn ip_address(text: &str) -> Option<IpAddr> {
    let address = text.split_once('%').map_or(text, |(address, _zone)| address);
    address.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// The consequence of an unknown token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guess {
    /// Nothing more.
    Counted,
    /// Its address is refused.
    Refused {
        /// It was not refused before.
        anew: bool,
        /// For how much longer it is refused.
        left: Duration,
    },
    /// There are too many, from all addresses together.
    TooManyInAll {
        /// The log should say so now.
        tell: bool,
        /// For how much longer they count.
        left: Duration,
    },
}

/// The recent counts.
#[derive(Debug)]
pub struct Counts {
    limits: Limits,
    wrong: Tallies<Address>,
    refused: Tallies<Address>,
    wrong_in_all: Tallies<()>,
    told: Tallies<()>,
    registrations: Tallies<(Address, InviteId)>,
    /// The registrations that have not ended, by the names of their reservations.
    registering: VecDeque<(String, (Address, InviteId))>,
    pages: Tallies<Address>,
    forms: Tallies<Address>,
    failed_from: Tallies<Address>,
    failed_with: Tallies<InviteId>,
    renewals: Tallies<BareJid>,
}

impl Counts {
    /// Counts at zero.
    pub fn new(limits: Limits) -> Self {
        Counts {
            limits,
            wrong: Tallies::lasting(GUESSING),
            refused: Tallies::lasting(GUESSING),
            wrong_in_all: Tallies::lasting(GUESSING),
            told: Tallies::lasting(TELL_EVERY),
            registrations: Tallies::lasting(DAY),
            registering: VecDeque::new(),
            pages: Tallies::lasting(GUESSING),
            forms: Tallies::lasting(GUESSING),
            failed_from: Tallies::lasting(GUESSING),
            failed_with: Tallies::lasting(GUESSING),
            renewals: Tallies::lasting(DAY),
        }
    }

    /// Changes the limits. The counts stay.
    pub fn limit(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Whether an address may present a token.
    ///
    /// # Errors
    /// For how much longer it may not.
    pub fn admit(&mut self, address: Address, now: Instant) -> Result<(), Duration> {
        self.refused.left_from(1, &address, now).map_or(Ok(()), Err)
    }

    /// How many addresses are refused now because they guessed.
    pub fn refused(&mut self, now: Instant) -> usize {
        self.refused.forget_ended(now);
        self.refused.by_key.len()
    }

    /// Counts a request to the web pages. Addresses that have guessed tokens are refused there,
    /// too.
    ///
    /// # Errors
    /// For how much longer the address is refused.
    pub fn request(&mut self, request: WebRequest, address: Address, now: Instant) -> Result<(), Duration> {
        self.admit(address, now)?;
        let (tallies, most) = match request {
            WebRequest::Page => (&mut self.pages, self.limits.pages),
            WebRequest::Form => (&mut self.forms, self.limits.forms),
        };
        let (count, left) = tallies.count(address, now);
        if most.is_some_and(|most| count > most) { Err(left) } else { Ok(()) }
    }

    /// Whether somebody may register from this address, with this invite or without one.
    ///
    /// The people who have an invite for many do not know each other. So however many fail, an
    /// address from which nothing has failed may use it.
    ///
    /// # Errors
    /// For how much longer they may not, because too many registrations have failed.
    pub fn admit_registration(
        &mut self,
        address: Address,
        invite: Option<&Invite>,
        now: Instant,
    ) -> Result<(), Duration> {
        let Some(most) = self.limits.forms else { return Ok(()) };
        let of_address = self.failed_from.left_from(most, &address, now);
        let of_invite = invite.and_then(|invite| match invite.max_uses {
            Some(1) => self.failed_with.left_from(most, &invite.id, now),
            _ => {
                let of_all = self.failed_with.left_from(most.saturating_mul(ADDRESSES_THAT_FAIL), &invite.id, now)?;
                self.failed_from.left_from(1, &address, now).map(|left| left.min(of_all))
            }
        });
        of_address.max(of_invite).map_or(Ok(()), Err)
    }

    /// Counts a registration that has failed because of what the person chose.
    ///
    /// # Errors
    /// The same as [`Counts::admit_registration`]. Then the caller does not say what was wrong.
    pub fn registration_failed(
        &mut self,
        address: Address,
        invite: Option<&Invite>,
        now: Instant,
    ) -> Result<(), Duration> {
        self.admit_registration(address, invite, now)?;
        self.failed_from.count(address, now);
        if let Some(invite) = invite {
            self.failed_with.count(invite.id.clone(), now);
        }
        Ok(())
    }

    /// Counts an unknown token.
    pub fn wrong_token(&mut self, address: Address, now: Instant) -> Guess {
        let (in_all, left) = self.wrong_in_all.count((), now);
        let (wrong, _) = self.wrong.count(address, now);
        if self.limits.wrong_tokens.is_some_and(|most| wrong >= most) {
            let (times, left) = self.refused.count(address, now);
            return Guess::Refused { anew: times == 1, left };
        }
        if in_all > MOST_WRONG_IN_ALL {
            return Guess::TooManyInAll { tell: self.told.count((), now).0 == 1, left };
        }
        Guess::Counted
    }

    /// Counts an account that an invite with more than one use is about to make under this
    /// reservation.
    ///
    /// # Errors
    /// For how much longer the invite makes no account from this address.
    pub fn register(
        &mut self,
        reservation: &str,
        address: Address,
        invite: &InviteId,
        now: Instant,
    ) -> Result<(), Duration> {
        let Some(most) = self.limits.registrations else { return Ok(()) };
        let key = (address, invite.clone());
        if let Some(left) = self.registrations.left_from(most, &key, now) {
            return Err(left);
        }
        self.registrations.count(key.clone(), now);
        if self.registering.len() >= MAX_REGISTERING {
            self.registering.pop_front();
        }
        self.registering.push_back((reservation.to_owned(), key));
        Ok(())
    }

    /// Counts a link that a user is about to replace, of which `most` are allowed within a day: the
    /// store keeps each old link for ever.
    ///
    /// # Errors
    /// For how much longer the user may replace none.
    pub fn renew(&mut self, user: &BareJid, most: u32, now: Instant) -> Result<(), Duration> {
        if let Some(left) = self.renewals.left_from(most, user, now) {
            return Err(left);
        }
        self.renewals.count(user.clone(), now);
        Ok(())
    }

    /// A link that was counted was not replaced.
    pub fn take_back_renewal(&mut self, user: &BareJid) {
        self.renewals.take_back(user);
    }

    /// A registration has ended. One that made no account does not count.
    pub fn registered(&mut self, reservation: &str, made: bool) {
        let ended = self.registering.iter().position(|(name, _)| name == reservation);
        if let Some((_, key)) = ended.and_then(|index| self.registering.remove(index))
            && !made
        {
            self.registrations.take_back(&key);
        }
    }
}

/// How often something happened, by key. A tally ends some time after its first count. If there are
/// too many, the oldest are forgotten.
#[derive(Debug)]
struct Tallies<K> {
    lasting: Duration,
    by_key: HashMap<K, Tally>,
    /// The keys and when their tallies end, in this order.
    order: VecDeque<(K, Instant)>,
}

#[derive(Debug)]
struct Tally {
    ends: Instant,
    count: u32,
}

impl<K: Clone + Eq + Hash> Tallies<K> {
    fn lasting(lasting: Duration) -> Self {
        Tallies { lasting, by_key: HashMap::new(), order: VecDeque::new() }
    }

    /// Counts once more. Returns the new count, and how long it still counts.
    fn count(&mut self, key: K, now: Instant) -> (u32, Duration) {
        self.forget_ended(now);
        if !self.by_key.contains_key(&key) {
            while self.order.len() >= MAX_TALLIES
                && let Some((oldest, _)) = self.order.pop_front()
            {
                self.by_key.remove(&oldest);
            }
            self.order.push_back((key.clone(), now + self.lasting));
        }
        let tally = self.by_key.entry(key).or_insert(Tally { ends: now + self.lasting, count: 0 });
        tally.count = tally.count.saturating_add(1);
        (tally.count, tally.ends.saturating_duration_since(now))
    }

    /// Takes a count back.
    fn take_back(&mut self, key: &K) {
        if let Some(tally) = self.by_key.get_mut(key) {
            tally.count = tally.count.saturating_sub(1);
        }
    }

    /// How long the tally still lasts, if it is at least `count`.
    fn left_from(&mut self, count: u32, key: &K, now: Instant) -> Option<Duration> {
        self.forget_ended(now);
        let tally = self.by_key.get(key).filter(|tally| tally.count >= count);
        tally.map(|tally| tally.ends.saturating_duration_since(now))
    }

    fn forget_ended(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(_, ends)| *ends <= now)
            && let Some((key, _)) = self.order.pop_front()
        {
            self.by_key.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invite::InviteType;
    use crate::invite::tests::invite;

    const SECOND: Duration = Duration::from_secs(1);

    fn address(text: &str) -> Address {
        Address::from(Some(ip_address(text).unwrap()))
    }

    fn counts(wrong_tokens: u32, registrations: u32) -> Counts {
        let (wrong_tokens, registrations) = (Some(wrong_tokens), Some(registrations));
        Counts::new(Limits { wrong_tokens, registrations, pages: Some(3), forms: Some(1) })
    }

    #[test]
    fn addresses_are_counted_as_people_have_them() {
        for (text, shown) in [
            ("203.0.113.7", "203.0.113.7"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("fe80::1%eth0", "fe80::/64"),
        ] {
            assert_eq!(address(text).to_string(), shown);
        }
        assert_eq!(address("2001:db8::1"), address("2001:db8::ffff:1"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
        for text in ["", "example.org", "203.0.113", "203.0.113.7:5222", "[::1]", "%eth0"] {
            assert_eq!(ip_address(text), None, "{text:?}");
        }
    }

    #[test]
    fn an_address_with_too_many_wrong_tokens_is_refused_for_ten_minutes_and_then_forgotten() {
        let mut counts = counts(3, 1);
        let (mallory, alice, start) = (address("203.0.113.7"), address("203.0.113.8"), Instant::now());
        assert_eq!(counts.wrong_token(mallory, start), Guess::Counted);
        assert_eq!(counts.wrong_token(mallory, start + SECOND), Guess::Counted);
        assert_eq!(counts.admit(mallory, start + SECOND), Ok(()));
        let refused = start + 2 * SECOND;
        assert_eq!(counts.wrong_token(mallory, refused), Guess::Refused { anew: true, left: GUESSING });
        assert_eq!(counts.admit(mallory, refused + SECOND), Err(GUESSING - SECOND));
        // A request from before the refusal may be answered after it.
        let late = counts.wrong_token(mallory, refused + SECOND);
        assert_eq!(late, Guess::Refused { anew: false, left: GUESSING - SECOND });
        assert_eq!(counts.admit(alice, refused), Ok(()));
        assert_eq!(counts.wrong_token(alice, refused), Guess::Counted);

        assert_eq!(counts.admit(mallory, refused + GUESSING - SECOND), Err(SECOND), "trying does not make it longer");
        assert_eq!(counts.admit(mallory, refused + GUESSING), Ok(()));
        assert_eq!(counts.wrong_token(mallory, refused + GUESSING), Guess::Counted, "it begins anew");
    }

    #[test]
    fn all_whose_address_nobody_knows_are_counted_as_one() {
        let mut counts = counts(2, 1);
        let (nobody_knows, alice, start) = (Address::from(None), address("203.0.113.8"), Instant::now());
        let invite = InviteId::generate().unwrap();
        assert_eq!(counts.wrong_token(nobody_knows, start), Guess::Counted);
        assert_eq!(counts.wrong_token(nobody_knows, start), Guess::Refused { anew: true, left: GUESSING });
        assert_eq!(counts.admit(nobody_knows, start), Err(GUESSING));
        assert_eq!(counts.register("r1", nobody_knows, &invite, start), Ok(()));
        assert_eq!(counts.register("r2", nobody_knows, &invite, start), Err(DAY));
        assert_eq!((counts.admit(alice, start), counts.register("r3", alice, &invite, start)), (Ok(()), Ok(())));
    }

    #[test]
    fn wrong_tokens_count_for_ten_minutes() {
        let mut counts = counts(3, 1);
        let (alice, start) = (address("2001:db8::1"), Instant::now());
        for number in 0..20 {
            assert_eq!(counts.wrong_token(alice, start + number * GUESSING / 2), Guess::Counted, "{number}");
        }
    }

    #[test]
    fn too_many_wrong_tokens_in_all_are_refused_and_it_is_said_once_a_minute() {
        let mut counts = Counts::new(Limits { wrong_tokens: None, ..Limits::default() });
        let start = Instant::now();
        for number in 0..MOST_WRONG_IN_ALL {
            let from = (number % 2 == 0).then(|| [203, 0, 113, 7].into());
            assert_eq!(counts.wrong_token(Address::from(from), start), Guess::Counted);
        }
        let nobody_knows = Address::from(None);
        let too_many = |tell, left| Guess::TooManyInAll { tell, left };
        assert_eq!(counts.wrong_token(nobody_knows, start), too_many(true, GUESSING));
        assert_eq!(counts.wrong_token(nobody_knows, start + SECOND), too_many(false, GUESSING - SECOND));
        assert_eq!(counts.wrong_token(nobody_knows, start + TELL_EVERY), too_many(true, GUESSING - TELL_EVERY));
        assert_eq!(counts.admit(address("203.0.113.7"), start), Ok(()), "a right token is nobody's guess");
        assert_eq!(counts.wrong_token(nobody_knows, start + GUESSING), Guess::Counted);
    }

    #[test]
    fn an_invite_for_many_makes_so_many_accounts_a_day_from_one_address() {
        let mut counts = counts(1, 2);
        let (school, home, start) = (address("203.0.113.7"), address("203.0.113.8"), Instant::now());
        let (one, other) = (InviteId::generate().unwrap(), InviteId::generate().unwrap());
        assert_eq!(counts.register("r1", school, &one, start), Ok(()));
        counts.registered("r1", true);
        assert_eq!(counts.register("r2", school, &one, start + SECOND), Ok(()));
        assert_eq!(counts.register("r3", school, &one, start + SECOND), Err(DAY - SECOND), "also while they last");
        assert_eq!(counts.register("r3", school, &other, start), Ok(()));
        assert_eq!(counts.register("r4", home, &one, start), Ok(()));
        // A registration that made no account is taken back, and only once.
        counts.registered("r2", false);
        counts.registered("r2", false);
        assert_eq!(counts.register("r5", school, &one, start + SECOND), Ok(()));
        assert_eq!(counts.register("r6", school, &one, start + SECOND), Err(DAY - SECOND));
        assert_eq!(counts.register("r6", school, &one, start + DAY), Ok(()));
    }

    #[test]
    fn pages_and_forms_are_counted_apart_for_ten_minutes_and_guessers_get_neither() {
        let mut counts = counts(1, 1);
        let (home, school, start) = (address("203.0.113.7"), address("203.0.113.8"), Instant::now());
        assert_eq!(counts.request(WebRequest::Form, home, start), Ok(()));
        assert_eq!(counts.request(WebRequest::Form, home, start + SECOND), Err(GUESSING - SECOND));
        for _ in 0..3 {
            assert_eq!(counts.request(WebRequest::Page, home, start + SECOND), Ok(()));
        }
        assert_eq!(counts.request(WebRequest::Page, home, start + SECOND), Err(GUESSING));
        assert_eq!(counts.request(WebRequest::Page, home, start + SECOND + GUESSING), Ok(()));
        assert_eq!(counts.request(WebRequest::Page, school, start), Ok(()));
        counts.wrong_token(school, start);
        assert_eq!(counts.request(WebRequest::Page, school, start), Err(GUESSING));
    }

    #[test]
    fn registrations_that_fail_count_for_their_address_and_for_their_invite() {
        let mut counts = Counts::new(Limits { forms: Some(2), ..Limits::default() });
        let (home, school, start) = (address("203.0.113.7"), address("203.0.113.8"), Instant::now());
        let (one, other) = (invite(InviteType::Account), invite(InviteType::Account));
        assert_eq!(counts.registration_failed(home, Some(&one), start), Ok(()));
        assert_eq!(counts.registration_failed(home, None, start + SECOND), Ok(()));
        let too_many = Err(GUESSING - SECOND);
        assert_eq!(counts.registration_failed(home, Some(&other), start + SECOND), too_many);
        assert_eq!(counts.admit_registration(home, Some(&other), start + SECOND), too_many);
        assert_eq!(counts.request(WebRequest::Form, home, start + SECOND), Ok(()), "a good one may be sent");

        assert_eq!(counts.registration_failed(school, Some(&one), start + SECOND), Ok(()));
        assert_eq!(counts.admit_registration(school, Some(&one), start + SECOND), too_many);
        assert_eq!(counts.admit_registration(school, Some(&other), start + SECOND), Ok(()));
        assert_eq!(counts.admit_registration(home, Some(&one), start + GUESSING), Ok(()));
    }

    #[test]
    fn one_address_closes_an_invite_for_many_to_itself_alone_and_many_to_those_that_have_failed() {
        for max_uses in [None, Some(2), Some(0)] {
            let mut counts = Counts::new(Limits { forms: Some(3), ..Limits::default() });
            let many = Invite { max_uses, ..invite(InviteType::Account) };
            let nth = |number: u32| Address::from(Some(IpAddr::from(number.to_be_bytes())));
            let (guest, mistaken, other, start) = (nth(0), nth(1), nth(1000), Instant::now());
            for _ in 0..3 {
                assert_eq!(counts.registration_failed(guest, Some(&many), start), Ok(()));
            }
            for _ in 0..100 {
                assert_eq!(counts.registration_failed(guest, Some(&many), start), Err(GUESSING));
            }
            assert_eq!(counts.registration_failed(mistaken, Some(&many), start + SECOND), Ok(()));
            assert_eq!(counts.admit_registration(mistaken, Some(&many), start + SECOND), Ok(()));

            for number in 2..(3 * ADDRESSES_THAT_FAIL - 2) {
                assert_eq!(counts.registration_failed(nth(number), Some(&many), start + SECOND), Ok(()), "{number}");
            }
            let too_many = Err(GUESSING - SECOND);
            assert_eq!(counts.admit_registration(mistaken, Some(&many), start + SECOND), too_many);
            assert_eq!(counts.admit_registration(other, Some(&many), start + SECOND), Ok(()));
            assert_eq!(counts.registration_failed(other, Some(&many), start + SECOND), Ok(()), "once");
            assert_eq!(counts.registration_failed(other, Some(&many), start + SECOND), too_many);
            let another = Invite { max_uses, ..invite(InviteType::Account) };
            assert_eq!(counts.admit_registration(mistaken, Some(&another), start + SECOND), Ok(()));
            assert_eq!(counts.admit_registration(mistaken, Some(&many), start + GUESSING), Ok(()));
        }
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_are_forgotten_first() {
        let mut counts = counts(2, 1);
        let start = Instant::now();
        let invite = InviteId::generate().unwrap();
        let nth = |number: u32| Address::from(Some(IpAddr::from(number.to_be_bytes())));
        let most = u32::try_from(MAX_TALLIES).unwrap();
        for number in 0..most + 2 {
            counts.wrong_token(nth(number), start);
            counts.wrong_token(nth(number), start);
            counts.register("r", nth(number), &invite, start).unwrap();
        }
        assert_eq!((counts.wrong.by_key.len(), counts.wrong.order.len()), (MAX_TALLIES, MAX_TALLIES));
        assert_eq!((counts.refused.by_key.len(), counts.refused.order.len()), (MAX_TALLIES, MAX_TALLIES));
        assert_eq!(counts.registrations.by_key.len(), MAX_TALLIES);
        assert_eq!(counts.registering.len(), MAX_REGISTERING);
        assert_eq!(
            [0, 1, 2, most + 1].map(|number| counts.admit(nth(number), start).is_ok()),
            [true, true, false, false]
        );
        counts.admit(nth(0), start + GUESSING).unwrap();
        assert!(counts.refused.by_key.is_empty() && counts.refused.order.is_empty());
    }
}
