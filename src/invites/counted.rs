//! Requests to the service are counted: how long each takes, and why it is refused.

use std::collections::BTreeMap;
use std::time::Instant;

use jid::DomainPart;

use super::service::{Error, Invites, Result, lock};
use crate::counters::{Counters, Request};
use crate::event::{Action, Event};
use crate::invite::Issuer;

/// How many invites are counted before others may read the store: a millisecond's work.
const PART: u32 = 5000;

/// How many invites and uses of a host have not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Invites that can be used.
    pub pending: u64,
    /// Uses that are reserved, and neither redeemed nor given back.
    pub open: u64,
}

impl Invites {
    /// How many invites and uses of each served host have not ended. With millions of invites,
    /// counting takes seconds.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn standing(&self) -> Result<BTreeMap<DomainPart, Standing>> {
        let open: BTreeMap<_, _> = self.0.store.open_uses().await?.into_iter().collect();
        let mut standing = BTreeMap::new();
        for host in self.hosts() {
            let (mut pending, mut place) = (0, None);
            loop {
                let (found, end) = self.0.store.pending_part(host.clone(), place, PART, self.now()).await?;
                pending += found;
                place = end;
                if place.is_none() {
                    break;
                }
            }
            let open = open.get(host).copied().unwrap_or_default();
            standing.insert(host.clone(), Standing { pending, open });
        }
        Ok(standing)
    }

    /// How many uses the inviters are still to be told of.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn notices_queued(&self) -> Result<u64> {
        Ok(self.0.store.notices().await?)
    }

    /// What was counted since the daemon started.
    pub fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// How many addresses are refused at present because they guessed tokens.
    pub fn refused_addresses(&self) -> usize {
        lock(&self.0.counts).refused(Instant::now())
    }

    /// Counts a request on a host.
    pub(super) async fn counted<T>(
        &self,
        request: Request,
        host: &DomainPart,
        answer: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let answered = self.timed(request, answer).await;
        self.count_refusal(host, answered)
    }

    /// Counts what the command line has done.
    pub(super) fn count_told(&self, event: &Event) {
        if let (Action::Made, Some(host), Some(detail)) = (event.action, &event.host, &event.detail)
            && let (Ok((host, _)), Ok(invite_type)) = (self.policy(host.as_str()), detail.parse())
        {
            self.0.counters.made(host.as_str(), invite_type, Issuer::Operator);
        }
    }

    /// Counts how long a request takes.
    pub(super) async fn timed<T>(&self, request: Request, answer: impl Future<Output = T>) -> T {
        let since = Instant::now();
        let answered = answer.await;
        self.0.counters.took(request, since.elapsed());
        answered
    }

    /// Counts the outcome of a request on a host, if it is refused. Strangers can name any host, so
    /// only served ones count.
    pub(super) fn count_refusal<T>(&self, host: &DomainPart, answered: Result<T>) -> Result<T> {
        if let Err(Error::Refused(refusal)) = &answered
            && self.policy(host.as_str()).is_ok()
        {
            self.0.counters.refused(host.as_str(), refusal);
        }
        answered
    }
}
