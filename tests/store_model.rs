//! The store against a model of it: random operations, by clocks that also go back, with crashes in
//! between. After each step, store and model have to give the same answer. `PROPTEST_CASES` says
//! how many histories are tried.

mod engines;

use std::collections::BTreeMap;

use easy_invite::event::{Action, Actor, Event};
use easy_invite::invite::{Invite, InviteId, InviteType, Issuer, Purpose, State, TokenHash, Use};
use easy_invite::lifetime::Lifetime;
use easy_invite::policy::Change;
use easy_invite::refusal::{Mistake, Refusal};
use easy_invite::store::{Claim, EventFilter, Filter, Forgotten, Past, Quota, Store};
use engines::{Engine, Place, at, host, jid, username};
use jid::BareJid;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

const DAY: i64 = 86_400;

/// The servers whose hooks make reservations: an unknown one, and one with an id.
const SERVERS: [&str; 2] = ["", "one"];

/// What can be done. Invites and people are numbers, so that a failing history can be cut down to
/// the few that matter.
#[derive(Clone, Debug)]
enum Step {
    Insert {
        number: u8,
        kind: u8,
        host: u8,
        username: Option<u8>,
        inviter: Option<u8>,
        uses: Option<u32>,
        life: Option<i64>,
        quota: Quota,
    },
    /// `behind`: the token was presented so many links ago.
    Reserve {
        invite: u8,
        account: (u8, u8),
        purpose: Purpose,
        behind: u32,
    },
    /// The same reservation once more, as after an answer that was lost.
    ReserveAgain(prop::sample::Index),
    /// Ended by the hook of the first or the second host, whichever host it is of.
    Redeem(prop::sample::Index, u8),
    Release(prop::sample::Index, u8),
    Revoke(u8),
    RevokeOfInviter(u8),
    Regenerate(u8),
    Change {
        invite: u8,
        note: Option<u8>,
        life: Option<Option<i64>>,
        uses: Option<Option<u32>>,
        quota: Quota,
    },
    AccountDeleted {
        account: (u8, u8),
        ago: i64,
    },
    PasswordChanged {
        account: (u8, u8),
        ago: i64,
    },
    ReleaseOfServer(u8),
    Forget((u8, u8)),
    Purge {
        ago: i64,
    },
    Clock(i64),
    /// Goes on in a copy of the store.
    Copy,
    Crash {
        reopen: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let (who, some) = ((0..3u8, 0..2u8), any::<prop::sample::Index>);
    let quota = prop_oneof![
        2 => Just(Quota::default()),
        1 => (prop::option::of(0..4u32), prop::option::of(0..4u32)).prop_map(|(per_day, pending)| {
            Quota { per_day, pending }
        })
    ];
    let change = (
        0..8u8,
        prop::option::of(0..3u8),
        prop::option::of(prop::option::of(1..2 * DAY)),
        prop::option::of(prop::option::of(1..4u32)),
        quota.clone(),
    );
    let insert = (
        (0..8u8, 0..6u8, 0..2u8, prop::option::weighted(0.3, 0..3u8)),
        (prop::option::of(0..3u8), prop::option::of(1..4u32), prop::option::of(1..2 * DAY), quota),
    );
    let purpose = prop_oneof![7 => Just(Purpose::Register), 1 => Just(Purpose::Reset), 2 => Just(Purpose::Contact)];
    prop_oneof![
        6 => insert.prop_map(|((number, kind, host, username), (inviter, uses, life, quota))| {
            Step::Insert { number, kind, host, username, inviter, uses, life, quota }
        }),
        8 => (0..8u8, who.clone(), purpose, prop_oneof![4 => Just(0u32), 1 => 1..3u32]).prop_map(
            |(invite, account, purpose, behind)| Step::Reserve { invite, account, purpose, behind }
        ),
        3 => (0..8u8).prop_map(Step::Regenerate),
        4 => change.prop_map(|(invite, note, life, uses, quota)| Step::Change { invite, note, life, uses, quota }),
        1 => some().prop_map(Step::ReserveAgain),
        8 => (some(), 0..2u8).prop_map(|(used, by)| Step::Redeem(used, by)),
        5 => (some(), 0..2u8).prop_map(|(used, by)| Step::Release(used, by)),
        1 => (0..8u8).prop_map(Step::Revoke),
        1 => (0..3u8).prop_map(Step::RevokeOfInviter),
        1 => (who.clone(), -DAY..DAY).prop_map(|(account, ago)| Step::AccountDeleted { account, ago }),
        1 => (who.clone(), -DAY..DAY).prop_map(|(account, ago)| Step::PasswordChanged { account, ago }),
        1 => (0..2u8).prop_map(Step::ReleaseOfServer),
        1 => who.prop_map(Step::Forget),
        1 => (-DAY..2 * DAY).prop_map(|ago| Step::Purge { ago }),
        4 => (-DAY..2 * DAY).prop_map(Step::Clock),
        1 => Just(Step::Copy),
        1 => any::<bool>().prop_map(|reopen| Step::Crash { reopen }),
    ]
}

fn id(number: u8) -> InviteId {
    InviteId::parse(&format!("invite{number:06}")).unwrap()
}

fn host_of(number: u8) -> &'static str {
    ["a.example", "b.example"][usize::from(number)]
}

fn person((name, host): (u8, u8)) -> BareJid {
    jid(&format!("user{name}@{}", host_of(host)))
}

/// The token of an invite that has had so many links.
fn token(number: u8, links: u32) -> TokenHash {
    let mut hash = [number; 32];
    hash[0] = links as u8;
    TokenHash(hash)
}

/// An invite, and when a use of it was redeemed last.
#[derive(Clone)]
struct Known {
    invite: Invite,
    last_used_at: Option<Timestamp>,
}

/// What the store promises, without anything that can fail.
#[derive(Default)]
struct Model {
    invites: BTreeMap<InviteId, Known>,
    /// Reservations and redeemed uses, and when they were redeemed.
    uses: BTreeMap<String, (Use, Option<Timestamp>)>,
    /// Who registered with which invite: inviter, invite, since when.
    accounts: BTreeMap<BareJid, (Option<BareJid>, InviteId, Timestamp)>,
    /// The log of events.
    events: Vec<Event>,
}

impl Model {
    /// Something that was done to an invite.
    fn tell(&mut self, now: Timestamp, actor: Actor, action: Action, invite: &Invite) -> &mut Event {
        self.events.push(Event::of(invite, now, actor, action));
        self.events.last_mut().unwrap()
    }

    fn invites(&self) -> impl Iterator<Item = &Invite> {
        self.invites.values().map(|known| &known.invite)
    }

    fn open(&self, wanted: impl Fn(&Use) -> bool) -> Vec<(Use, Invite)> {
        let open = self.uses.values().filter(|(used, redeemed_at)| redeemed_at.is_none() && wanted(used));
        open.map(|(used, _)| (used.clone(), self.invites[&used.invite].invite.clone())).collect()
    }

    fn has_open(&self, id: &InviteId) -> bool {
        !self.open(|used| used.invite == *id).is_empty()
    }

    fn username_reserved(&self, account: &BareJid, except: Option<&InviteId>, now: Timestamp) -> bool {
        self.invites().any(|invite| {
            invite.state(now) == State::Pending
                && invite.invite_type != InviteType::PasswordReset
                && (invite.host.as_str(), invite.username.as_deref()) == (account.domain().as_str(), account.node())
                && Some(&invite.id) != except
        })
    }

    /// Whether one more invite may be pending.
    fn has_room(&self, invite: &Invite, quota: Quota, now: Timestamp) -> Result<(), Refusal> {
        if let Some(name) = invite.username.as_ref().filter(|_| invite.invite_type != InviteType::PasswordReset) {
            let account = BareJid::from_parts(Some(name), &invite.host);
            if self.username_reserved(&account, Some(&invite.id), now) {
                return Err(Refusal::UsernameReserved);
            }
            let open = self.open(|used| used.account == account && used.purpose == Purpose::Register);
            if !open.is_empty() || self.accounts.get(&account).is_some_and(|(_, _, since)| *since >= now) {
                return Err(Refusal::InProgress);
            }
        }
        if let Some(inviter) = &invite.inviter {
            let day = SignedDuration::from_secs(DAY);
            let own = |made: &&Invite| made.inviter.as_ref() == Some(inviter) && made.issuer == Issuer::User;
            let mut today: Vec<_> = self.invites().filter(own).map(|made| made.created_at).collect();
            today.retain(|made| *made > now - day && *made <= now + day);
            today.sort_by(|one, other| other.cmp(one));
            if let Some(most) = quota.per_day.filter(|most| today.len() >= *most as usize) {
                let oldest = (most as usize).checked_sub(1).map(|last| today[last] + day);
                return Err(Refusal::TooManyToday { most, again_at: oldest.unwrap_or(now) });
            }
            let pending: Vec<_> = self.invites().filter(own).filter(|made| made.state(now) == State::Pending).collect();
            if let Some(most) = quota.pending.filter(|most| pending.len() >= *most as usize) {
                let again_at = pending.iter().filter_map(|made| made.expires_at).min();
                return Err(Refusal::TooManyPending { most, again_at });
            }
        }
        Ok(())
    }

    fn insert(&mut self, invite: Invite, quota: Quota, now: Timestamp) -> Result<(), Refusal> {
        self.has_room(&invite, quota, now)?;
        let actor = match (invite.issuer, invite.inviter.clone()) {
            (Issuer::User, Some(inviter)) => Actor::User(inviter),
            (Issuer::Admin, Some(inviter)) => Actor::Admin(inviter),
            _ => Actor::Hook(invite.host.clone()),
        };
        self.tell(now, actor, Action::Made, &invite).detail = Some(invite.invite_type.to_string());
        self.invites.insert(invite.id.clone(), Known { invite, last_used_at: None });
        Ok(())
    }

    fn regenerate(&mut self, number: u8, now: Timestamp) -> Result<Invite, Refusal> {
        let known = self.invites.get_mut(&id(number)).ok_or(Refusal::Unknown)?;
        known.invite.usable(now)?;
        known.invite.links += 1;
        known.invite.regenerated_at = Some(now);
        known.invite.token_hash = token(number, known.invite.links);
        let invite = known.invite.clone();
        self.tell(now, Actor::Daemon, Action::Regenerated, &invite);
        Ok(invite)
    }

    fn change(&mut self, number: u8, change: &Change, quota: Quota, now: Timestamp) -> Result<Invite, Refusal> {
        let before = self.invites.get(&id(number)).ok_or(Refusal::Unknown)?.invite.clone();
        if before.revoked_at.is_some() {
            return Err(Refusal::Revoked);
        }
        let open = self.open(|used| used.invite == before.id).len() as u32;
        let mut after = before.clone();
        let mut words = Vec::new();
        if let Some(note) = &change.note {
            after.note = Some(note.clone()).filter(|note| !note.is_empty());
        }
        match change.expires {
            None => (),
            Some(Lifetime::Never) => after.expires_at = None,
            Some(Lifetime::Seconds(life)) => after.expires_at = Some(now + SignedDuration::from_secs(life)),
        }
        after.max_uses = change.max_uses.unwrap_or(after.max_uses);
        let taken = before.uses + open;
        if after.max_uses.is_some_and(|most| most < taken) {
            return Err(Mistake::UsesTaken { taken }.into());
        }
        if before.state(now) != State::Pending && after.state(now) == State::Pending {
            self.has_room(&after, quota, now)?;
        }
        words.extend((after.note != before.note).then_some("note"));
        words.extend((after.expires_at != before.expires_at).then_some("expires"));
        words.extend((after.max_uses != before.max_uses).then_some("uses"));
        if !words.is_empty() {
            self.tell(now, Actor::Daemon, Action::Changed, &after).detail = Some(words.join(" "));
        }
        self.invites.get_mut(&id(number)).unwrap().invite = after.clone();
        Ok(after)
    }

    /// `None`: the store refuses, since the name of the reservation was used for something else.
    fn reserve(&mut self, wanted: Use, links: u32) -> Option<Claim> {
        let standing = self.open(|used| used.account == wanted.account);
        if standing.iter().any(|(used, _)| used.id == wanted.id) {
            return Some(Claim::Reserved);
        }
        let now = wanted.reserved_at;
        if wanted.purpose == Purpose::Register && self.username_reserved(&wanted.account, Some(&wanted.invite), now) {
            return Some(Claim::Refused(Refusal::UsernameReserved));
        }
        if !standing.is_empty() {
            return Some(Claim::Contended(standing));
        }
        let Some(Known { invite, .. }) = self.invites.get(&wanted.invite) else {
            return Some(Claim::Refused(Refusal::Revoked));
        };
        if invite.revoked_at.is_some() {
            return Some(Claim::Refused(Refusal::Revoked));
        }
        if invite.links != links {
            return Some(Claim::Refused(Refusal::Replaced));
        }
        let standing = self.open(|used| used.invite == wanted.invite);
        if invite.max_uses.is_some_and(|most| invite.uses as usize + standing.len() >= most as usize) {
            return Some(if standing.is_empty() {
                Claim::Refused(Refusal::UsedUp)
            } else {
                Claim::Contended(standing)
            });
        }
        if self.uses.contains_key(&wanted.id) {
            return None;
        }
        self.uses.insert(wanted.id.clone(), (wanted, None));
        Some(Claim::Reserved)
    }

    /// Whether a use is one of an invite to this host.
    fn is_of(&self, id: &str, host: u8) -> bool {
        let invite = self.uses.get(id).and_then(|(used, _)| self.invites.get(&used.invite));
        invite.is_some_and(|known| known.invite.host.as_str() == host_of(host))
    }

    fn redeem(&mut self, id: &str, now: Timestamp) -> Option<(Use, bool)> {
        let (used, redeemed_at) = self.uses.get_mut(id)?;
        if redeemed_at.is_some() {
            return Some((used.clone(), false));
        }
        *redeemed_at = Some(now);
        let known = self.invites.get_mut(&used.invite)?;
        (known.invite.uses, known.last_used_at) = (known.invite.uses + 1, known.last_used_at.max(Some(now)));
        if used.purpose == Purpose::Register {
            let origin = (known.invite.inviter.clone(), used.invite.clone(), now);
            self.accounts.insert(used.account.clone(), origin);
        }
        let (used, invite) = (used.clone(), known.invite.clone());
        let by = Actor::User(used.account.clone());
        let event = self.tell(now, by.clone(), Action::Redeemed, &invite);
        (event.account, event.detail) = (Some(used.account.clone()), Some(used.purpose.to_string()));
        if used.purpose != Purpose::Contact {
            let all = used.purpose == Purpose::Register;
            self.end_older(&used.account, all, used.reserved_at, now, (by, "replaced"));
        }
        Some((used, true))
    }

    fn release(&mut self, id: &str) -> bool {
        self.uses.get(id).is_some_and(|(_, redeemed_at)| redeemed_at.is_none()) && self.uses.remove(id).is_some()
    }

    fn release_of_server(&mut self, server: &str, now: Timestamp) -> u64 {
        let open = self.open(|used| used.server == server);
        for (used, _) in &open {
            let (invite, account) = (Some(used.invite.clone()), Some(used.account.clone()));
            self.events.push(Event { invite, account, ..Event::new(now, Actor::Daemon, Action::Released) });
        }
        open.iter().filter(|(used, _)| self.release(&used.id)).count() as u64
    }

    fn redeemed_by(&self, id: &InviteId, account: &BareJid) -> bool {
        let standing = self.invites.get(id).is_some_and(|known| known.invite.revoked_at.is_none());
        let by = |(used, at): &(Use, Option<Timestamp>)| used.invite == *id && used.account == *account && at.is_some();
        standing && self.uses.values().any(by)
    }

    fn accounts_of(&self, id: &InviteId) -> Vec<(BareJid, Option<Timestamp>)> {
        let of = self.accounts.iter().filter(|(_, (_, invite, _))| invite == id);
        let mut accounts: Vec<_> = of.map(|(account, (.., since))| (account.clone(), Some(*since))).collect();
        accounts.sort_by(|(one, first), (other, second)| second.cmp(first).then(one.cmp(other)));
        accounts
    }

    fn revoke(&mut self, now: Timestamp, which: impl Fn(&Invite) -> bool) -> u64 {
        let revoked = self.end(now, which);
        for invite in &revoked {
            self.tell(now, Actor::Daemon, Action::Revoked, invite);
        }
        revoked.len() as u64
    }

    fn end(&mut self, now: Timestamp, which: impl Fn(&Invite) -> bool) -> Vec<Invite> {
        let chosen = self.invites.values_mut().map(|known| &mut known.invite);
        let chosen = chosen.filter(|invite| invite.revoked_at.is_none() && which(invite));
        let ended = chosen.map(|invite| {
            invite.revoked_at = Some(now);
            invite.clone()
        });
        ended.collect()
    }

    fn account_deleted(&mut self, account: &BareJid, deleted_at: Timestamp, now: Timestamp) -> u64 {
        if self.accounts.get(account).is_some_and(|(_, _, since)| *since <= deleted_at) {
            self.accounts.remove(account);
        }
        for (used, _) in self.open(|used| used.account == *account && used.reserved_at <= deleted_at) {
            if let (Some((_, redeemed_at)), Some(known)) =
                (self.uses.get_mut(&used.id), self.invites.get_mut(&used.invite))
            {
                *redeemed_at = Some(now);
                (known.invite.uses, known.last_used_at) = (known.invite.uses + 1, known.last_used_at.max(Some(now)));
                let redeemed = Event::new(now, Actor::Daemon, Action::Redeemed);
                let (invite, detail) = (Some(used.invite.clone()), Some("account-deleted".to_owned()));
                self.events.push(Event { invite, account: Some(account.clone()), detail, ..redeemed });
            }
        }
        self.end_older(account, true, deleted_at, now, (Actor::Daemon, "account-deleted"))
    }

    /// `all`: the invites of the account too, not only the password resets for it.
    fn end_older(
        &mut self,
        account: &BareJid,
        all: bool,
        until: Timestamp,
        now: Timestamp,
        (by, why): (Actor, &str),
    ) -> u64 {
        let ended = self.end(now, |invite| {
            let reset = invite.invite_type == InviteType::PasswordReset
                && (invite.host.as_str(), invite.username.as_deref()) == (account.domain().as_str(), account.node());
            matches!(invite.state(now), State::Pending | State::Expired)
                && (invite.created_at <= until || invite.created_at > now + SignedDuration::from_secs(DAY))
                && (all && invite.inviter.as_ref() == Some(account) || reset)
        });
        for invite in &ended {
            let event = self.tell(now, by.clone(), Action::Stopped, invite);
            (event.account, event.detail) = (Some(account.clone()), Some(why.to_owned()));
        }
        ended.len() as u64
    }

    /// Removes invites of which nothing is open, with their uses.
    fn remove(&mut self, which: impl Fn(&Known) -> bool) -> u64 {
        let gone: Vec<_> =
            self.invites.values().filter(|known| which(known) && !self.has_open(&known.invite.id)).collect();
        let gone: Vec<_> = gone.into_iter().map(|known| known.invite.id.clone()).collect();
        self.invites.retain(|id, _| !gone.contains(id));
        self.uses.retain(|_, (used, _)| !gone.contains(&used.invite));
        gone.len() as u64
    }

    fn forget(&mut self, account: &BareJid, now: Timestamp) -> Forgotten {
        let open = self.open(|used| {
            used.account == *account || self.invites[&used.invite].invite.inviter.as_ref() == Some(account)
        });
        if !open.is_empty() {
            return Forgotten { open: open.len() as u64, ..Forgotten::default() };
        }
        let invites = self.remove(|Known { invite, .. }| {
            invite.inviter.as_ref() == Some(account)
                || (invite.host.as_str(), invite.username.as_deref()) == (account.domain().as_str(), account.node())
        });
        let uses = self.uses.values_mut().filter(|(used, _)| used.account == *account);
        let uses = uses.map(|(used, _)| used.account = jid("forgotten.invalid")).count() as u64;
        let invited = self.accounts.values_mut().filter(|(inviter, ..)| inviter.as_ref() == Some(account));
        let invited = invited.map(|(inviter, ..)| *inviter = None).count() as u64;
        let known = self.accounts.remove(account).is_some();
        let nobody = || jid("forgotten.invalid");
        let mut events = 0;
        for event in &mut self.events {
            let before = event.clone();
            event.account = event.account.take().map(|its| if its == *account { nobody() } else { its });
            match &mut event.actor {
                Actor::User(jid) | Actor::Admin(jid) if jid == account => *jid = nobody(),
                _ => (),
            }
            events += u64::from(*event != before);
        }
        let forgotten = Forgotten { open: 0, invites, uses, invited, known, events };
        if forgotten != Forgotten::default() {
            self.events.push(Event::new(now, Actor::Daemon, Action::Forgotten));
        }
        forgotten
    }

    fn purge(&mut self, before: Timestamp, now: Timestamp) -> u64 {
        let count = self.remove(|Known { invite, last_used_at }| {
            [invite.expires_at, invite.revoked_at].into_iter().flatten().any(|end| end < before)
                || (invite.max_uses.is_some_and(|most| invite.uses >= most)
                    && last_used_at.is_some_and(|last| last < before))
        });
        let within_an_hour = |event: &&mut Event| {
            event.action == Action::Purged && (0..3600).contains(&now.duration_since(event.at).as_secs())
        };
        let mut lately: Vec<_> = self.events.iter_mut().filter(within_an_hour).collect();
        lately.iter_mut().for_each(|event| event.count += count);
        if count > 0 && lately.is_empty() {
            self.events.push(Event { count, ..Event::new(now, Actor::Daemon, Action::Purged) });
        }
        count
    }
}

/// The store as it goes through a history.
struct Run {
    place: Place,
    store: Store,
    model: Model,
    now: i64,
    made: Vec<Use>,
}

/// Sorted, because no order is promised.
fn sorted(mut uses: Vec<(Use, Invite)>) -> Vec<(Use, Invite)> {
    uses.sort_by(|(one, _), (other, _)| one.id.cmp(&other.id));
    uses
}

impl Run {
    async fn step(&mut self, step: Step) {
        let (now, store, model) = (at(self.now), &self.store, &mut self.model);
        let chosen = |index: prop::sample::Index| (!self.made.is_empty()).then(|| index.get(&self.made).clone());
        match step {
            // Ids are random: none is given twice.
            Step::Insert { number, .. } if model.invites.contains_key(&id(number)) => (),
            Step::Insert { number, kind, host: on, username: name, inviter, uses, life, quota } => {
                let (invite_type, issuer) = [
                    (InviteType::Account, Issuer::User),
                    (InviteType::Contact, Issuer::User),
                    (InviteType::AccountAndContact, Issuer::User),
                    (InviteType::AccountAndContact, Issuer::Admin),
                    (InviteType::PasswordReset, Issuer::Admin),
                    (InviteType::Account, Issuer::Operator),
                ][usize::from(kind)];
                let invite = Invite {
                    id: id(number),
                    token_hash: token(number, 1),
                    invite_type,
                    host: host(host_of(on)),
                    username: name.and_then(|name| username(&format!("user{name}"))),
                    inviter: inviter.map(|inviter| person((inviter, on))),
                    issuer,
                    max_uses: uses,
                    created_at: now,
                    expires_at: life.map(|life| at(self.now + life)),
                    ..engines::invite()
                };
                let expected = model.insert(invite.clone(), quota, now);
                assert_eq!(store.insert(invite, quota, now).await.unwrap(), expected);
            }
            Step::Reserve { invite, account, purpose, behind } => {
                let server = SERVERS[usize::from(purpose == Purpose::Contact)].to_owned();
                let id_of_use = format!("reservation-{}", self.made.len());
                let wanted = Use {
                    id: id_of_use,
                    invite: id(invite),
                    purpose,
                    account: person(account),
                    server,
                    reserved_at: now,
                };
                let links = model.invites.get(&id(invite)).map_or(1, |known| known.invite.links);
                self.made.push(wanted.clone());
                self.reserve(wanted, links.saturating_sub(behind)).await;
            }
            Step::ReserveAgain(index) => {
                if let Some(wanted) = chosen(index) {
                    let links = model.invites.get(&wanted.invite).map_or(1, |known| known.invite.links);
                    self.reserve(wanted, links).await;
                }
            }
            Step::Redeem(index, by) => {
                if let Some(used) = chosen(index) {
                    let expected = if model.is_of(&used.id, by) { model.redeem(&used.id, now) } else { None };
                    let redeemed = store.redeem(host(host_of(by)), used.id.clone(), Vec::new(), true, now).await;
                    assert_eq!(redeemed.unwrap(), expected);
                }
            }
            Step::Release(index, by) => {
                if let Some(used) = chosen(index) {
                    let expected = model.is_of(&used.id, by) && model.release(&used.id);
                    assert_eq!(store.release(host(host_of(by)), used.id.clone()).await.unwrap(), expected);
                }
            }
            Step::Revoke(number) => {
                model.revoke(now, |invite| invite.id == id(number));
                let expected = model.invites.get(&id(number)).map(|known| known.invite.clone());
                assert_eq!(store.revoke(id(number), now).await.unwrap(), expected);
            }
            Step::Regenerate(number) => {
                let links = model.invites.get(&id(number)).map_or(1, |known| known.invite.links + 1);
                let expected = model.regenerate(number, now);
                assert_eq!(store.regenerate(id(number), token(number, links), now).await.unwrap(), expected);
            }
            Step::Change { invite, note, life, uses, quota } => {
                let change = Change {
                    note: note.map(|note| ["", "one", "two"][usize::from(note)].to_owned()),
                    expires: life.map(|life| life.map_or(Lifetime::Never, Lifetime::Seconds)),
                    max_uses: uses,
                };
                let expected = model.change(invite, &change, quota, now);
                assert_eq!(store.change(id(invite), change, quota, now).await.unwrap(), expected);
            }
            Step::RevokeOfInviter(number) => {
                let inviter = person((number, 0));
                let expected = model.revoke(now, |invite| {
                    invite.inviter.as_ref() == Some(&inviter) && invite.state(now) == State::Pending
                });
                assert_eq!(store.revoke_of_inviter(inviter, now).await.unwrap(), expected);
            }
            Step::AccountDeleted { account, ago } => {
                let (account, deleted_at) = (person(account), at(self.now - ago));
                let expected = model.account_deleted(&account, deleted_at, now);
                assert_eq!(store.account_deleted(account, deleted_at, now).await.unwrap(), expected);
            }
            Step::PasswordChanged { account, ago } => {
                let (account, changed_at) = (person(account), at(self.now - ago));
                let expected = model.end_older(&account, false, changed_at, now, (Actor::Daemon, "password-changed"));
                assert_eq!(store.password_changed(account, changed_at, now).await.unwrap(), expected);
            }
            Step::ReleaseOfServer(number) => {
                let server = SERVERS[usize::from(number)];
                let expected = model.release_of_server(server, now);
                assert_eq!(store.release_of_server(server.to_owned(), now).await.unwrap(), expected);
            }
            Step::Forget(account) => {
                let expected = model.forget(&person(account), now);
                assert_eq!(store.forget(person(account), now).await.unwrap(), expected);
            }
            Step::Purge { ago } => {
                let before = at(self.now - ago);
                assert_eq!(store.purge(before, 100, now).await.unwrap(), model.purge(before, now));
            }
            Step::Clock(by) => self.now += by,
            Step::Copy => self.copy().await,
            Step::Crash { reopen } => self.crash(reopen).await,
        }
        self.compare().await;
    }

    async fn reserve(&mut self, wanted: Use, links: u32) {
        let expected = self.model.reserve(wanted.clone(), links);
        let claim = self.store.reserve(wanted, links).await.ok().map(|claim| match claim {
            Claim::Contended(standing) => Claim::Contended(sorted(standing)),
            other => other,
        });
        assert_eq!(claim, expected);
    }

    /// Goes on in a copy that was made in two tries.
    async fn copy(&mut self) {
        let engine = match self.place {
            Place::Folder(_) => Engine::Sqlite,
            Place::Database(_) => Engine::Postgres,
        };
        let place = Place::new(engine).await;
        let store = Store::open(&place.url()).await.unwrap();
        for _ in 0..2 {
            self.store.copy_into(&store, |_| ()).await.unwrap();
        }
        assert_eq!(place.contents().await, self.place.contents().await);
        (self.store, self.place) = (store, place);
    }

    /// Goes on with what `kill -9` leaves of the daemon, or without the connections to the server.
    async fn crash(&mut self, reopen: bool) {
        match &self.place {
            Place::Folder(folder) => {
                let left = tempfile::tempdir().unwrap();
                for file in std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
                    std::fs::copy(file.path(), left.path().join(file.file_name())).unwrap();
                }
                self.place = Place::Folder(left);
                self.store = Store::open(&self.place.url()).await.unwrap();
            }
            Place::Database(database) => {
                database.disconnect().await;
                if reopen {
                    self.store = Store::open(&self.place.url()).await.unwrap();
                }
            }
        }
    }

    /// Asks everything that can be asked.
    async fn compare(&self) {
        let (now, store, model) = (at(self.now), &self.store, &self.model);
        for state in [None, Some(State::Pending), Some(State::Redeemed), Some(State::Revoked), Some(State::Expired)] {
            let filter = Filter { state, host: state.map(|_| host(host_of(0))), inviter: None };
            let mut expected: Vec<_> = model.invites().cloned().collect();
            expected.retain(|invite| {
                state.is_none_or(|state| invite.state(now) == state && invite.host.as_str() == host_of(0))
            });
            expected.sort_by(|one, other| other.created_at.cmp(&one.created_at).then(one.id.cmp(&other.id)));
            assert_eq!(store.list(filter, 100, now).await.unwrap(), expected);
        }
        for number in 0..8 {
            let expected = model.invites.get(&id(number)).map(|known| known.invite.clone());
            let links = expected.as_ref().map_or(1, |invite| invite.links);
            assert_eq!(store.find(token(number, links)).await.unwrap(), expected);
            for older in 1..links {
                let replaced = expected.clone().map(|invite| Past::Replaced(Box::new(invite)));
                assert_eq!(store.find(token(number, older)).await.unwrap(), None);
                assert_eq!(store.past(token(number, older)).await.unwrap(), replaced);
            }
            assert_eq!(store.find_by_id(id(number)).await.unwrap(), expected);
            assert_eq!(store.accounts_of(id(number), 100).await.unwrap(), model.accounts_of(&id(number)));
            let somebody = person((number % 3, number % 2));
            let expected = model.redeemed_by(&id(number), &somebody);
            assert_eq!(store.redeemed_by(id(number), somebody).await.unwrap(), expected);
        }
        for account in (0..3).flat_map(|name| (0..2).map(move |on| person((name, on)))) {
            assert_eq!(
                store.username_reserved(account.clone(), now).await.unwrap(),
                model.username_reserved(&account, None, now)
            );
            let expected = model.accounts.get(&account).map(|(_, _, since)| *since);
            assert_eq!(store.registered_at(account.clone()).await.unwrap(), expected);
            let expected = model.open(|used| used.account == account && used.purpose == Purpose::Register);
            assert_eq!(sorted(store.reserved_for(account).await.unwrap()), sorted(expected));
        }
        for maker in 0..3 {
            let maker = person((maker, 0));
            let own = |invite: &&Invite| invite.inviter.as_ref() == Some(&maker) && invite.issuer != Issuer::Operator;
            let own = model.invites.values().filter(|known| own(&&known.invite));
            let mut expected: Vec<_> = own
                .map(|known| {
                    let invite = known.invite.clone();
                    let pending = invite.state(now) == State::Pending;
                    let ended = match invite.state(now) {
                        State::Pending => Some(invite.created_at),
                        State::Expired => invite.expires_at,
                        State::Redeemed | State::Revoked => invite.revoked_at.or(known.last_used_at),
                    };
                    (!pending, std::cmp::Reverse(ended), invite.id.clone(), invite)
                })
                .collect();
            expected.sort_by(|one, other| (one.0, one.1, &one.2).cmp(&(other.0, other.1, &other.2)));
            let expected: Vec<_> = expected.into_iter().map(|(.., invite)| invite).collect();
            assert_eq!(store.list_of_inviter(maker, now).await.unwrap(), expected);
        }
        let until = at(self.now - DAY / 2);
        let hooks = vec![(host(host_of(0)), "one".to_owned()), (host(host_of(1)), "two".to_owned())];
        let expected = model.open(|used| {
            let on_first = model.invites[&used.invite].invite.host.as_str() == host_of(0);
            (used.reserved_at <= until || used.reserved_at > now) && (used.server.is_empty() || on_first)
        });
        assert_eq!(sorted(store.reserved_until(until, now, hooks, 100).await.unwrap()), sorted(expected));
        let events = store.events(EventFilter::default(), (Timestamp::MIN, 0), 10_000).await.unwrap();
        assert!(events.is_sorted_by_key(|event| (event.at, event.id)), "{events:?}");
        let words = |event: Event| format!("{:?}", Event { id: 0, ..event });
        let [mut told, mut expected] =
            [events, model.events.clone()].map(|events| events.into_iter().map(words).collect::<Vec<_>>());
        told.sort();
        expected.sort();
        assert_eq!(told, expected);
        let held = store.contents().await.unwrap();
        assert_eq!(held.invites as usize + held.accounts as usize, model.invites.len() + model.accounts.len());
    }
}

/// Runs random histories, each in a store that is empty at its beginning.
fn check(engine: Engine, cases: u32) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut config = Config { failure_persistence: None, max_shrink_iters: 500, ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    let database = (engine == Engine::Postgres).then(|| runtime.block_on(Place::new(engine)));
    let database = std::cell::RefCell::new(database);
    let histories = prop::collection::vec(step(), 1..60);
    let result = TestRunner::new(config).run(&histories, |history| {
        let place = database.borrow_mut().take();
        let left = runtime.block_on(async {
            let place = match place {
                Some(place) => place,
                None => Place::new(engine).await,
            };
            let store = Store::open(&place.url()).await.unwrap();
            if engine == Engine::Postgres {
                place.run("TRUNCATE invite, invite_use, notice, account, event, past_token").await;
            }
            let run = Run { place, store, model: Model::default(), now: 10 * DAY, made: Vec::new() };
            let run = tokio::sync::Mutex::new(run);
            let told = std::panic::AssertUnwindSafe(async {
                let mut run = run.lock().await;
                for step in history {
                    run.step(step).await;
                }
                run.store.verify().await.unwrap();
            });
            let told = futures::FutureExt::catch_unwind(told).await;
            (told, run.into_inner().place)
        });
        let (told, place) = left;
        if engine == Engine::Postgres {
            *database.borrow_mut() = Some(place);
        }
        told.map_err(|panic| {
            let words = panic.downcast_ref::<String>().cloned();
            TestCaseError::fail(words.unwrap_or_else(|| "panicked".to_owned()))
        })
    });
    runtime.block_on(async { drop(database) });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

#[test]
fn sqlite_does_what_the_model_does() {
    check(Engine::Sqlite, 32);
}

#[test]
fn postgres_does_what_the_model_does() {
    check(Engine::Postgres, 24);
}
