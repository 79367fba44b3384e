//! A reservation ends: its use is redeemed or given back. The hook says how it ended, by itself or when it is asked.

use std::collections::BTreeMap;
use std::time::Instant;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use jid::DomainPart;
use jiff::{SignedDuration, Timestamp};

use super::retries::Unsettled;
use super::service::{Error, Invites, Result, lock};
use crate::chat_server::{Fate, Hook};
use crate::invite::{Invite, Use};

/// How many open reservations are settled in one round.
const ROUND: u32 = 200;

/// How many released reservations are remembered: an answer may still be on its way.
const GIVEN_UP: usize = 256;

impl Invites {
    /// The hook of a host has introduced itself: from now on it is asked about the reservations of its server.
    pub fn met(&self, host: DomainPart, hook: &Hook) {
        lock(&self.0.servers).insert(host, hook.server.clone());
        lock(&self.0.retries).clear();
    }

    /// The id of the server whose hook has introduced itself, for each host.
    pub(super) fn servers(&self) -> BTreeMap<DomainPart, String> {
        lock(&self.0.servers).clone()
    }

    /// The account of a reservation was made. Doing it again changes nothing. `false`: there is no such reservation.
    ///
    /// # Errors
    /// If it is not stored.
    pub async fn redeem(&self, reservation: String) -> Result<bool> {
        self.ended(&reservation, true);
        let redeemed = self.0.store.redeem(reservation, self.now()).await?;
        if let Some((used, true)) = &redeemed {
            tracing::info!(invite = %used.invite, purpose = %used.purpose, account = %used.account, "invite used");
        }
        Ok(redeemed.is_some())
    }

    /// The account of a reservation was not made: the use is free again. `false`: there is no such reservation.
    ///
    /// # Errors
    /// If it is not stored.
    pub async fn release(&self, reservation: String) -> Result<bool> {
        // Noted first: the hook may have lost patience, and the reservation may be made only after this.
        self.note_given_up(reservation.clone());
        self.ended(&reservation, false);
        Ok(self.0.store.release(reservation).await?)
    }

    fn ended(&self, reservation: &str, made: bool) {
        lock(&self.0.counts).registered(reservation, made);
        lock(&self.0.retries).ended(reservation);
    }

    fn note_given_up(&self, reservation: String) {
        let mut given_up = lock(&self.0.given_up);
        given_up.push_back(reservation);
        if given_up.len() > GIVEN_UP {
            given_up.pop_front();
        }
    }

    pub(super) fn is_given_up(&self, reservation: &String) -> bool {
        lock(&self.0.given_up).contains(reservation)
    }

    /// Asks what became of reservations, and redeems or releases those that have ended. Returns how many had. A
    /// reservation of another server stays open, since only the hook of that server knows. So does one for which an
    /// account is being made here: the hook may not have heard of it yet.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn settle(&self, standing: Vec<(Use, Invite)>) -> Result<usize> {
        let asked = self.ask_about(standing).await?;
        Ok(asked.iter().filter(|(_, open)| open.is_none()).count())
    }

    /// Settles reservations that were made at least `age` ago and are still open: some in each round, and those that
    /// fail after a pause. Also looks again at accounts that seem to be gone. Returns how many were settled.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn settle_open(&self, age: SignedDuration) -> Result<usize> {
        let (now, instant) = (Instant::now(), self.now().saturating_sub(age).unwrap_or(Timestamp::MIN));
        // Those that wait for their time must not fill the round.
        let waiting = u32::try_from(lock(&self.0.retries).waiting(now)).unwrap_or(u32::MAX);
        let servers = self.servers().into_iter().collect();
        let standing = self.0.store.reserved_until(instant, self.now(), servers, ROUND.saturating_add(waiting)).await?;
        let due = |(used, _): &(Use, Invite)| lock(&self.0.retries).is_due(&used.id, now);
        let asked = self.ask_about(standing.into_iter().filter(due).take(ROUND as usize).collect()).await?;
        let (mut settled, mut failing) = (0, Vec::new());
        for (used, open) in asked {
            let Some(reason) = open else {
                settled += 1;
                continue;
            };
            let (account, invite) = (used.account.to_string(), used.invite.to_string());
            let unsettled = Unsettled { account, invite, reserved_at: used.reserved_at, reason };
            if lock(&self.0.retries).failed(&used.id, unsettled.clone(), now) {
                failing.push(unsettled);
            }
        }
        if let Some(first) = failing.first() {
            let count = failing.len();
            tracing::warn!(count, "uses stay reserved, since it is not known what became of them: {first}");
        }
        self.look_again().await;
        Ok(settled)
    }

    /// The reservations that could not be settled several times: the oldest, and how many there are in all.
    pub fn unsettled(&self) -> (Vec<Unsettled>, usize) {
        lock(&self.0.retries).to_tell()
    }

    /// Asks about those of the reservations that this daemon can ask about. Returns each of them with the reason why it
    /// is still open, if it is.
    async fn ask_about(&self, standing: Vec<(Use, Invite)>) -> Result<Vec<(Use, Option<String>)>> {
        let servers = self.servers();
        let askable = |(used, invite): &(Use, Invite)| {
            let ours = used.server.is_empty() || servers.get(&invite.host) == Some(&used.server);
            ours && !lock(&self.0.registering).contains(&used.id)
        };
        let asked = standing.into_iter().filter(askable).map(|reserved| async move {
            let used = reserved.0.clone();
            let open = match self.0.chat_server.settle(reserved).await {
                Ok(Fate::Made) => self.redeem(used.id.clone()).await.map(|_| None)?,
                Ok(Fate::NotMade) => self.release(used.id.clone()).await.map(|_| None)?,
                Ok(Fate::InFlight) => Some("its registration has not ended".to_owned()),
                Err(reason) => Some(reason.to_string()),
            };
            Ok::<_, Error>((used, open))
        });
        let mut asked: FuturesUnordered<_> = asked.collect();
        let mut ended = Vec::new();
        while let Some(one) = asked.next().await {
            ended.push(one?);
        }
        Ok(ended)
    }
}
