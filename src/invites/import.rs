//! Imports the invites of another program, or of another store.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::pin::pin;
use std::sync::Arc;

use futures::future::{Either, select};
use jid::DomainPart;
use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::import::plan::{Figures, Known, plan};
use crate::import::{Imported, Item, Joined, Kind, Reason, Skipped, channel};
use crate::invite::{Program, TokenHash};
use crate::store::{Store, StoreError};

/// How many items one transaction takes.
const BATCH: usize = 500;

/// Where what is imported goes.
#[derive(Clone)]
pub struct Target {
    /// The store. `None`: there is none yet, and nothing is written.
    pub store: Option<Store>,
    /// Only these hosts are imported.
    pub hosts: BTreeSet<DomainPart>,
    /// The program whose invites these are; `None`: ours.
    pub program: Option<Program>,
    /// Nothing is written, and the outcome is told as if it were.
    pub dry_run: bool,
    /// The present instant.
    pub now: Timestamp,
}

/// What came of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// In numbers.
    pub figures: Figures,
    /// Fields of invites in the source that have no place here, each with the number of invites.
    pub left_out: BTreeMap<String, u64>,
    /// Hosts of the source that were not imported.
    pub other_hosts: BTreeSet<DomainPart>,
    /// How many invites of each host were imported from the program earlier, are still pending, and
    /// were not found in the source this time. They were left as they are, since the source does
    /// not have all invites of the host, or some of them cannot be read.
    pub left: BTreeMap<DomainPart, u64>,
}

/// What is told while an import runs.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    /// This many items are done.
    At(u64),
    /// An item is skipped.
    Skipped(&'a Skipped),
}

/// Imports what a source sends. If the source ends in an error, what it has sent stays. Running the
/// import again changes nothing of what is there.
///
/// An invite that was imported from the program earlier, and that a complete source does not send
/// any more, has ended there. At the end, it is revoked here as well.
///
/// # Errors
/// The first error of the source or the store, which ends the import at once. The outcome until
/// then is returned as well.
pub async fn import<R: Future<Output = anyhow::Result<()>>>(
    target: &Target,
    read: impl FnOnce(mpsc::Sender<Item>) -> R,
    tell: impl FnMut(Told<'_>),
) -> (Outcome, anyhow::Result<()>) {
    let mut run = Run { target, tell, outcome: Outcome::default(), seen: Seen::default(), done: 0 };
    let taken = run.take_all(read).await;
    let ended = match taken {
        Ok(()) => run.end_what_is_gone().await.map_err(anyhow::Error::from),
        failed => failed,
    };
    (run.outcome, ended)
}

/// What the source has sent so far.
#[derive(Default)]
struct Seen {
    tokens: HashSet<TokenHash>,
    /// The hosts whose invites were all sent.
    whole: HashSet<DomainPart>,
    /// The hosts of which some invite could not be read; `None` stands for an unknown host.
    doubtful: HashSet<Option<DomainPart>>,
    /// In a dry run, what the store would hold by now.
    known: Known,
}

struct Run<'t, T> {
    target: &'t Target,
    tell: T,
    outcome: Outcome,
    seen: Seen,
    done: u64,
}

impl<T: FnMut(Told<'_>)> Run<'_, T> {
    async fn take_all<R: Future<Output = anyhow::Result<()>>>(
        &mut self,
        read: impl FnOnce(mpsc::Sender<Item>) -> R,
    ) -> anyhow::Result<()> {
        let (sender, mut items) = channel();
        let reading = pin!(read(sender));
        let taking = pin!(async {
            loop {
                let mut batch = Vec::with_capacity(BATCH);
                while let left @ 1.. = BATCH - batch.len()
                    && items.recv_many(&mut batch, left).await > 0
                {}
                if batch.is_empty() {
                    return Ok::<_, StoreError>(());
                }
                self.take(batch).await?;
            }
        });
        match select(reading, taking).await {
            Either::Left((read, taking)) => {
                let taken = taking.await;
                read?;
                Ok(taken?)
            }
            Either::Right((taken, reading)) => {
                taken?;
                reading.await
            }
        }
    }

    async fn take(&mut self, items: Vec<Item>) -> Result<(), StoreError> {
        let count = items.len() as u64;
        let items: Arc<Vec<_>> = Arc::new(items.into_iter().map(|item| self.admit(item)).collect());
        let (figures, skipped) = match &self.target.store {
            Some(store) if !self.target.dry_run => store.import(items.clone(), self.target.now).await?,
            store => {
                if let Some(store) = store {
                    self.seen.known.learn(store.known_of(items.clone(), self.target.now).await?);
                }
                let planned = plan(&items, &mut self.seen.known, self.target.now);
                (planned.figures, planned.skipped)
            }
        };
        self.outcome.figures.add(&figures);
        for (place, reason) in skipped {
            let Some(skipped) = items.get(place).and_then(|item| skipped_for(item, reason)) else { continue };
            if let (Reason::OtherHost, Some(host)) = (reason, &skipped.host) {
                self.outcome.other_hosts.insert(host.clone());
            }
            (self.tell)(Told::Skipped(&skipped));
        }
        self.done += count;
        (self.tell)(Told::At(self.done));
        Ok(())
    }

    /// Notes what was sent, and turns what is not to be imported into a skipped item.
    fn admit(&mut self, item: Item) -> Item {
        let reason = match &item {
            Item::Invite(imported) => {
                let is_new = self.seen.tokens.insert(imported.invite.token_hash);
                let served = self.target.hosts.contains(&imported.invite.host);
                (!served).then_some(Reason::OtherHost).or((!is_new).then_some(Reason::SameToken))
            }
            Item::Account(joined) => {
                (!self.target.hosts.contains(joined.account.domain())).then_some(Reason::OtherHost)
            }
            Item::Skipped(skipped) => {
                match (skipped.kind, skipped.token_hash) {
                    (Kind::Invite, Some(token)) => drop(self.seen.tokens.insert(token)),
                    // An invite whose token no link can have was never imported.
                    (Kind::Invite, None) if skipped.reason != Reason::Token => {
                        self.seen.doubtful.insert(skipped.host.clone());
                    }
                    _ => (),
                }
                None
            }
            Item::LeftOut(name, count) => {
                *self.outcome.left_out.entry(name.clone()).or_default() += count;
                None
            }
            Item::Whole(host) => {
                self.seen.whole.insert(host.clone());
                None
            }
        };
        reason.and_then(|reason| skipped_for(&item, reason)).map_or(item, Item::Skipped)
    }

    /// Revokes what was imported earlier and is no longer in the source.
    async fn end_what_is_gone(&mut self) -> Result<(), StoreError> {
        let Target { store: Some(store), program: Some(program), dry_run, now, hosts } = self.target else {
            return Ok(());
        };
        for host in hosts {
            let doubtful = [Some(host.clone()), None].iter().any(|host| self.seen.doubtful.contains(host));
            let is_whole = self.seen.whole.contains(host) && !doubtful;
            let mut after = String::new();
            loop {
                let page = store.pending_imported(host.clone(), *program, after, *now).await?;
                let Some((last, _)) = page.last() else { break };
                after = last.as_str().to_owned();
                let is_gone = |token: &TokenHash| {
                    let ends = self.seen.known.invites.get(token).is_some_and(|there| !there.pending);
                    !self.seen.tokens.contains(token) && !ends
                };
                let gone: Vec<_> = page.into_iter().filter(|(_, token)| is_gone(token)).map(|(id, _)| id).collect();
                let count = gone.len() as u64;
                match (is_whole, *dry_run) {
                    _ if gone.is_empty() => (),
                    (false, _) => *self.outcome.left.entry(host.clone()).or_default() += count,
                    (true, true) => self.outcome.figures.ended_since += count,
                    (true, false) => self.outcome.figures.ended_since += store.revoke_imported(gone, *now).await?,
                }
            }
        }
        Ok(())
    }
}

/// An item as one that is skipped.
fn skipped_for(item: &Item, reason: Reason) -> Option<Skipped> {
    match item {
        Item::Invite(imported) => {
            let Imported { invite, place, .. } = &**imported;
            let (host, token_hash) = (Some(invite.host.clone()), Some(invite.token_hash));
            Some(Skipped { kind: Kind::Invite, host, token_hash, reason, place: place.clone() })
        }
        Item::Account(Joined { account, place, .. }) => {
            let host = Some(account.domain().to_owned());
            Some(Skipped { kind: Kind::Account, host, token_hash: None, reason, place: place.clone() })
        }
        Item::Skipped(skipped) => Some(skipped.clone()),
        Item::LeftOut(..) | Item::Whole(_) => None,
    }
}
