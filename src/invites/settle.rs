//! A reservation ends: its use is redeemed or given back. The hook says how it ended, by itself or
//! when it is asked.

use std::collections::BTreeMap;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use jid::DomainPart;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::retries::Unsettled;
use super::service::{Error, Invites, Result, lock};
use crate::chat_server::{Fate, Hook};
use crate::invite::{Invite, Use};

/// How many open reservations are settled in one round.
const ROUND: u32 = 200;

/// The outcome of asking about a reservation.
enum Outcome {
    /// It has ended, and its use is redeemed or given back.
    Settled,
    /// It may be settled soon.
    Open,
    /// It could not be settled, for this reason.
    Failed(String),
}

fn count_settled(asked: &[(Use, Outcome)]) -> usize {
    asked.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Settled)).count()
}

impl Invites {
    /// The hook of a host has introduced itself: from now on it is asked about the reservations of
    /// its server.
    pub fn met(&self, host: DomainPart, hook: &Hook) {
        lock(&self.0.servers).insert(host, hook.server.clone());
        lock(&self.0.retries).clear();
    }

    /// The connection to the chat server is lost. Which hook is there is not known until it
    /// introduces itself again.
    pub fn parted(&self) {
        lock(&self.0.servers).clear();
    }

    /// The id of the server whose hook has introduced itself, for each host.
    pub(super) fn servers(&self) -> BTreeMap<DomainPart, String> {
        lock(&self.0.servers).clone()
    }

    /// The account of a reservation was made. Doing it again changes nothing. `false`: there is no
    /// such reservation.
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

    /// The account of a reservation was not made: the use is free again. `false`: there is no such
    /// reservation.
    ///
    /// # Errors
    /// If it is not stored.
    pub async fn release(&self, reservation: String) -> Result<bool> {
        self.ended(&reservation, false);
        Ok(self.0.store.release(reservation).await?)
    }

    fn ended(&self, reservation: &str, made: bool) {
        lock(&self.0.counts).registered(reservation, made);
        lock(&self.0.retries).ended(reservation);
        lock(&self.0.doubtful).forget(&reservation.to_owned());
    }

    /// Asks what became of reservations, and redeems or releases those that have ended. Returns how
    /// many had. A reservation of another server stays open, since only the hook of that server
    /// knows. A reservation for which an account is being made here stays open too: the hook may
    /// not know of it yet.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn settle(&self, standing: Vec<(Use, Invite)>) -> Result<usize> {
        Ok(count_settled(&self.ask_about(standing).await?))
    }

    /// One round of settling: asks about open reservations that are at least `age` old, except for
    /// those that failed a short time ago. Also looks again at accounts that seem to be gone.
    /// Returns how many reservations were settled.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn settle_open(&self, age: SignedDuration) -> Result<usize> {
        let (now, instant) = (Instant::now().into_std(), self.now().saturating_sub(age).unwrap_or(Timestamp::MIN));
        // Reservations that wait for their time must not fill the round.
        let waiting = u32::try_from(lock(&self.0.retries).waiting(now)).unwrap_or(u32::MAX);
        let servers = self.servers().into_iter().collect();
        let standing = self.0.store.reserved_until(instant, self.now(), servers, ROUND.saturating_add(waiting)).await?;
        let due = |(used, _): &(Use, Invite)| lock(&self.0.retries).is_due(&used.id, now);
        let asked = self.ask_about(standing.into_iter().filter(due).take(ROUND as usize).collect()).await?;
        let settled = count_settled(&asked);
        let mut failing = Vec::new();
        for (used, outcome) in asked {
            let Outcome::Failed(reason) = outcome else { continue };
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

    /// The reservations that could not be settled several times: the oldest, and how many there are
    /// in all.
    pub fn unsettled(&self) -> (Vec<Unsettled>, usize) {
        lock(&self.0.retries).to_tell()
    }

    /// Asks about the reservations that this daemon can ask about.
    async fn ask_about(&self, standing: Vec<(Use, Invite)>) -> Result<Vec<(Use, Outcome)>> {
        let servers = self.servers();
        let askable = |(used, invite): &(Use, Invite)| {
            servers.get(&invite.host) == Some(&used.server) && !lock(&self.0.registering).contains(&used.id)
        };
        let asked = standing.into_iter().filter(askable).map(|reserved| async move {
            let used = reserved.0.clone();
            Ok::<_, Error>((used, self.settle_one(reserved).await?))
        });
        let mut asked: FuturesUnordered<_> = asked.collect();
        let mut outcomes = Vec::new();
        while let Some(one) = asked.next().await {
            outcomes.push(one?);
        }
        Ok(outcomes)
    }

    async fn settle_one(&self, reserved: (Use, Invite)) -> Result<Outcome> {
        let reservation = reserved.0.id.clone();
        let seems_gone = |reservation| lock(&self.0.doubtful).absent(reservation, Instant::now().into_std());
        let fate = match self.0.chat_server.settle(reserved).await {
            // Without an answer, this does not count as a look.
            Err(reason) => return Ok(Outcome::Failed(reason.to_string())),
            Ok(Fate::NotMade { doubtful: true }) if !seems_gone(&reservation) => return Ok(Outcome::Open),
            Ok(fate) => fate,
        };
        lock(&self.0.doubtful).forget(&reservation);
        let open = match fate {
            Fate::Made => return self.redeem(reservation).await.map(|_| Outcome::Settled),
            Fate::NotMade { .. } => return self.release(reservation).await.map(|_| Outcome::Settled),
            Fate::InFlight => "its registration has not ended",
            Fate::Unfinished => "the server cannot grant yet what the invite grants",
            Fate::Elsewhere => "another server has made the reservation",
        };
        Ok(Outcome::Failed(open.to_owned()))
    }
}
