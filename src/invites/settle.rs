//! A reservation ends: its use is redeemed or released. The hook says how it ended, by itself or
//! when it is asked.

use std::collections::BTreeMap;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use jid::DomainPart;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::retries::Unsettled;
use super::service::{Invites, Result, lock};
use crate::chat_server::{Answer, Fate, Hook, NoAnswer};
use crate::counters::Request;
use crate::event::Actor;
use crate::invite::{Invite, Purpose, Use};
use crate::policy;

/// How many open reservations are settled in one round.
const ROUND: u32 = 200;

/// The outcome of asking about a reservation.
enum Outcome {
    /// It has ended, and its use is redeemed or released.
    Settled,
    /// The answer was a doubtful "no": the hook is asked again.
    Open,
    /// It could not be settled, for this reason.
    Failed(String),
}

impl Invites {
    /// Notes that the hook of a host has introduced itself. From now on it is asked about the
    /// reservations of its server.
    pub fn hook_introduced(&self, host: DomainPart, hook: &Hook) {
        lock(&self.0.hooks).insert(host, hook.clone());
        lock(&self.0.retries).clear();
        self.0.used.notify_one();
    }

    /// Asks the hook of a host to introduce itself.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn hello(&self, host: &DomainPart) -> Answer<Hook> {
        let hook = self.0.chat_server.hello(host.clone()).await?;
        self.hook_introduced(host.clone(), &hook);
        Ok(hook)
    }

    /// Asks whether the hook of a host is there. If it has not introduced itself on this
    /// connection, or belongs to another server by now, it is asked to, and is returned.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn greet(&self, host: &DomainPart) -> Answer<Option<Hook>> {
        if let Some(known) = self.servers().remove(host) {
            match self.0.chat_server.server_of(host.clone()).await {
                Ok(server) if server == known => return Ok(None),
                Ok(_) => (),
                Err(reason) => {
                    if let NoAnswer::NotSetUp(_) = reason {
                        lock(&self.0.hooks).remove(host);
                    }
                    return Err(reason);
                }
            }
        }
        self.hello(host).await.map(Some)
    }

    /// Notes that the connection to the chat server is lost. Nothing is known of a hook until it
    /// introduces itself again.
    pub fn disconnected(&self) {
        lock(&self.0.hooks).clear();
    }

    /// The ids of the servers whose hooks have introduced themselves, by host.
    pub(super) fn servers(&self) -> BTreeMap<DomainPart, String> {
        lock(&self.0.hooks).iter().map(|(host, hook)| (host.clone(), hook.server.clone())).collect()
    }

    /// Redeems a reserved use, whose account was made. `failed`: what the account did not get of
    /// what the invite grants. Redeeming it again changes nothing. `false`: there is no such
    /// reservation of an invite to this host.
    ///
    /// # Errors
    /// If it is not stored.
    pub async fn redeem(&self, host: &DomainPart, reservation: String, failed: Vec<String>) -> Result<bool> {
        let notify = self.policy(host.as_str()).is_ok_and(|(_, policy)| policy.notify_inviter);
        let stored = self.0.store.redeem(host.clone(), reservation.clone(), failed.clone(), notify, self.now());
        let Some((used, is_new)) = self.timed(Request::Redeem, stored).await? else { return Ok(false) };
        self.ended(&reservation, true);
        if is_new {
            self.0.used.notify_one();
            self.0.counters.redeemed(host.as_str(), &used);
            let Use { invite, purpose, account, .. } = used;
            let actor = Actor::User(account.clone());
            tracing::info!(%actor, %invite, %purpose, %account, "invite used");
            if !failed.is_empty() {
                let failed = failed.join("; ");
                tracing::warn!(%invite, %account, "the account did not get all that the invite grants: {failed}");
            }
        }
        Ok(true)
    }

    /// Releases a reserved use, whose account was not made. `false`: there is no such reservation
    /// of an invite to this host.
    ///
    /// # Errors
    /// If it is not stored.
    pub async fn release(&self, host: &DomainPart, reservation: String) -> Result<bool> {
        let released = self.0.store.release(host.clone(), reservation.clone()).await?;
        if released {
            self.ended(&reservation, false);
        }
        Ok(released)
    }

    fn ended(&self, reservation: &str, made: bool) {
        lock(&self.0.counts).registered(reservation, made);
        lock(&self.0.retries).ended(reservation);
        lock(&self.0.doubtful).forget(&reservation.to_owned());
    }

    /// Asks what became of reservations, and redeems or releases those that have ended. Returns how
    /// many. A reservation of another server stays open, since only the hook of that server knows.
    /// A reservation for which this daemon is just having an account made stays open too: the hook
    /// may not know of it yet.
    ///
    /// # Errors
    /// If the store fails. All reservations were asked about even then.
    pub async fn settle(&self, standing: Vec<(Use, Invite)>) -> Result<usize> {
        let mut settled = 0;
        for (_, outcome) in self.ask_about(standing).await {
            settled += usize::from(matches!(outcome?, Outcome::Settled));
        }
        Ok(settled)
    }

    /// One round of settling: asks about open reservations that are at least `age` old, except for
    /// those whose pause is not over. Then asks again about accounts that seem to be gone, even if
    /// the first part failed. Returns how many reservations were settled.
    ///
    /// # Errors
    /// If the open reservations cannot be read.
    pub async fn settle_open(&self, age: SignedDuration) -> Result<usize> {
        let settled = self.settle_older_than(age).await;
        self.check_gone_accounts().await;
        settled
    }

    async fn settle_older_than(&self, age: SignedDuration) -> Result<usize> {
        let (now, instant) = (Instant::now().into_std(), self.now().saturating_sub(age).unwrap_or(Timestamp::MIN));
        // Reservations that wait for their time must not fill the round.
        let waiting = u32::try_from(lock(&self.0.retries).waiting(now)).unwrap_or(u32::MAX);
        let servers = self.servers().into_iter().collect();
        let standing = self.0.store.reserved_until(instant, self.now(), servers, ROUND.saturating_add(waiting)).await?;
        let due = |(used, _): &(Use, Invite)| lock(&self.0.retries).is_due(&used.id, now);
        let due = standing.into_iter().filter(due).take(ROUND as usize).collect();
        let (mut settled, mut failing) = (0, Vec::new());
        for (used, outcome) in self.ask_about(due).await {
            let reason = match outcome {
                Ok(Outcome::Settled) => {
                    // Somebody else may have ended it meanwhile.
                    lock(&self.0.retries).ended(&used.id);
                    settled += 1;
                    continue;
                }
                Ok(Outcome::Open) => {
                    lock(&self.0.retries).pause(&used.id, now);
                    continue;
                }
                Ok(Outcome::Failed(reason)) => reason,
                Err(error) => error.to_string(),
            };
            let (account, invite) = (used.account.to_string(), used.invite.to_string());
            let unsettled = Unsettled { account, invite, reserved_at: used.reserved_at, reason };
            if lock(&self.0.retries).failed(&used.id, unsettled.clone(), now) {
                failing.push(unsettled);
            }
        }
        if let Some(first) = failing.first() {
            let count = failing.len();
            tracing::warn!(count, "uses stay reserved, since they could not be settled: {first}");
        }
        Ok(settled)
    }

    /// The reservations that could not be settled several times: the oldest few, and how many there
    /// are.
    pub fn unsettled(&self) -> (Vec<Unsettled>, usize) {
        lock(&self.0.retries).to_tell()
    }

    /// Asks about those reservations that this daemon can ask about. An error with one does not
    /// stop the others.
    async fn ask_about(&self, standing: Vec<(Use, Invite)>) -> Vec<(Use, Result<Outcome>)> {
        let servers = self.servers();
        let askable = |(used, invite): &(Use, Invite)| {
            servers.get(&invite.host) == Some(&used.server) && !lock(&self.0.registering).contains(&used.id)
        };
        let asked = standing.into_iter().filter(askable);
        let asked = asked.map(|reserved| async move { (reserved.0.clone(), self.settle_one(reserved).await) });
        asked.collect::<FuturesUnordered<_>>().collect().await
    }

    /// If somebody else has the name of an open use's account now: the latest instant at which that
    /// account can have been deleted.
    async fn gone_at(&self, used: &Use) -> Answer<Option<Timestamp>> {
        let is_served = self.policy(used.account.domain().as_str()).is_ok();
        if !is_served || !policy::may_be_replaced(used, self.now()) {
            return Ok(None);
        }
        let known = self.account_within(&used.account, SignedDuration::ZERO).await?;
        Ok(policy::gone_at(used, &known, self.now()))
    }

    async fn settle_one(&self, mut reserved: (Use, Invite)) -> Result<Outcome> {
        let (reservation, account, host) = (reserved.0.id.clone(), reserved.0.account.clone(), reserved.1.host.clone());
        match self.gone_at(&reserved.0).await {
            Err(reason) => return Ok(Outcome::Failed(reason.to_string())),
            Ok(Some(gone_at)) => {
                self.account_deleted(reserved.0.account, gone_at, Actor::Daemon).await?;
                return Ok(Outcome::Settled);
            }
            Ok(None) => (),
        }
        // If somebody else has the inviter's name now, nobody becomes their contact.
        if let Some(inviter) = reserved.1.contact()
            && let Ok(known) = self.account_within(inviter, SignedDuration::ZERO).await
            && policy::admit_owner(&reserved.1, &known, self.now()).is_err()
        {
            if reserved.0.purpose == Purpose::Contact {
                self.release(&host, reservation).await?;
                return Ok(Outcome::Settled);
            }
            reserved.1.inviter = None;
        }
        let seems_gone = |reservation| lock(&self.0.doubtful).absent(reservation, Instant::now().into_std());
        let fate = match self.0.chat_server.settle(reserved).await {
            // Without an answer, nothing is known of the account.
            Err(reason) => return Ok(Outcome::Failed(reason.to_string())),
            Ok(Fate::NotMade { doubtful: true }) if !seems_gone(&reservation) => return Ok(Outcome::Open),
            Ok(fate) => fate,
        };
        // A "no" that has become certain is kept until the store has it.
        if !matches!(fate, Fate::NotMade { .. }) {
            lock(&self.0.doubtful).forget(&reservation);
        }
        let open = match fate {
            Fate::Made { failed } => {
                lock(&self.0.known_accounts).forget(&account); // it may have got a role
                self.redeem(&host, reservation, failed).await?;
                return Ok(Outcome::Settled);
            }
            Fate::NotMade { .. } => {
                self.release(&host, reservation).await?;
                return Ok(Outcome::Settled);
            }
            Fate::InFlight => "its registration has not ended",
            Fate::Unfinished => "the server cannot grant yet what the invite grants",
            Fate::Elsewhere => "another server has made the reservation",
        };
        Ok(Outcome::Failed(open.to_owned()))
    }
}
