//! Looks every few seconds whether the daemon can do its work: writes to the store, asks the hook
//! of every host whether it is there, and finds the other facts of [`health`](crate::health).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{join, join_all};
use jid::DomainPart;
use jiff::SignedDuration;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::chat_server::{Answer, Link};
use crate::health::{Facts, Health};
use crate::invites::{Error, Invites};
use crate::last_seen::LastSeen;
use crate::prosody_module::{described, problems};
use crate::store::begun_by;

/// The pause between two looks. Even if every part of a look is slow, a fault is told within ten
/// seconds.
const PAUSE: Duration = Duration::from_secs(4);

/// How long a write may take, and within which time it has to begin. If the store cannot be reached
/// by then, the write fails.
const STORE_PATIENCE: Duration = Duration::from_secs(4);
const BEGIN_WITHIN: Duration = Duration::from_secs(3);

/// How long the store may take to say what it waits for.
const WAIT_PATIENCE: Duration = Duration::from_secs(1);

/// How long a look that somebody asked for waits for the connection to the chat server, which is
/// tried at once.
const LINK_PATIENCE: Duration = Duration::from_secs(2);

/// How many requests for a look may wait.
const WAITING: usize = 16;

/// The daemon's health, as the task that looks for faults finds it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Lookout {
    /// The health at the last look.
    pub health: watch::Receiver<Health>,
    /// Requests for a look now. The task answers each with the health that it finds.
    pub anew: mpsc::Sender<oneshot::Sender<Health>>,
}

impl Lookout {
    /// Looks now, and tells what was found. A chat server that is away is tried at once.
    pub async fn look(&self) -> Health {
        let (reply, answer) = oneshot::channel();
        // When the daemon ends, the task that looks is gone.
        drop(self.anew.send(reply).await);
        answer.await.unwrap_or_else(|_| self.health.borrow().clone())
    }
}

/// What the daemon's parts say of themselves.
pub struct Sources {
    /// The service, with the store, the served hosts and the hooks, as it is now.
    pub invites: watch::Receiver<Invites>,
    /// How the connection to the chat server stands.
    pub link: watch::Receiver<Link>,
    /// Makes the component try to connect at once, if it waits between two tries.
    pub connect: Arc<Notify>,
    /// Whether the configuration file agrees with what is in force; otherwise a sentence that says
    /// how it differs.
    pub config: watch::Receiver<Result<(), String>>,
}

/// The health, and the task that looks for faults as long as it is polled.
pub fn lookout(sources: Sources) -> (Lookout, impl Future<Output = ()>) {
    let (anew, asked) = mpsc::channel(WAITING);
    let unasked = sources.invites.borrow().hosts().map(|host| (host.clone(), None)).collect();
    let link = sources.link.borrow().clone();
    let (sender, health) = watch::channel(Health::of(Facts { store: Ok(()), link, hooks: unasked, config: Ok(()) }));
    let task = Task { sources, hooks: BTreeMap::new(), write: None, sender };
    (Lookout { health, anew }, task.run(asked))
}

struct Task {
    sources: Sources,
    /// What the hooks answered last. Empty while the chat server is away.
    hooks: BTreeMap<DomainPart, Answer<()>>,
    /// A write that the store has not answered yet.
    write: Option<JoinHandle<Result<LastSeen, Error>>>,
    sender: watch::Sender<Health>,
}

impl Task {
    async fn run(mut self, mut asked: mpsc::Receiver<oneshot::Sender<Health>>) {
        let mut askers: Vec<oneshot::Sender<Health>> = Vec::new();
        loop {
            let health = self.look(!askers.is_empty()).await;
            self.sender.send_if_modified(|last| {
                let differs = *last != health;
                last.clone_from(&health);
                differs
            });
            for asker in askers.drain(..) {
                // The connection that asked may be gone.
                drop(asker.send(health.clone()));
            }
            tokio::select! {
                Ok(()) = self.sources.link.changed() => (),
                Ok(()) = self.sources.invites.changed() => (),
                Ok(()) = self.sources.config.changed() => (),
                Some(asker) = asked.recv() => askers.push(asker),
                () = sleep(PAUSE) => (),
            }
            askers.extend(std::iter::from_fn(|| asked.try_recv().ok()));
        }
    }

    async fn look(&mut self, is_asked: bool) -> Health {
        let Sources { invites, link, connect, config } = &mut self.sources;
        let (invites, config) = (invites.borrow_and_update().clone(), config.borrow_and_update().clone());
        self.hooks.retain(|host, _| invites.policy(host.as_str()).is_ok());
        let greeting = async {
            if is_asked && *link.borrow() != Link::Connected {
                connect.notify_one();
                drop(timeout(LINK_PATIENCE, link.wait_for(|link| *link == Link::Connected)).await);
            }
            if *link.borrow_and_update() == Link::Connected {
                greet(&invites, &mut self.hooks).await;
            } else {
                self.hooks.clear();
            }
        };
        let (store, ()) = join(write(&invites, &mut self.write), greeting).await;
        let link = link.borrow().clone();
        let hooks = invites.hosts().map(|host| (host.clone(), self.hooks.get(host).cloned())).collect();
        Health::of(Facts { store, link, hooks, config })
    }
}

/// Writes to the store. Nothing is written while an earlier write has not been answered.
async fn write(invites: &Invites, open: &mut Option<JoinHandle<Result<LastSeen, Error>>>) -> Result<(), String> {
    let begin = || {
        let invites = invites.clone();
        tokio::spawn(begun_by(Instant::now() + BEGIN_WITHIN, async move { invites.seen().await }))
    };
    let Ok(ended) = timeout(STORE_PATIENCE, open.get_or_insert_with(begin)).await else {
        let silent = format!("the store has not answered for {} seconds", STORE_PATIENCE.as_secs());
        let wait = timeout(WAIT_PATIENCE, invites.waits()).await.ok().and_then(Result::ok).flatten();
        return Err(wait.map_or(silent.clone(), |wait| format!("{silent}: {wait}")));
    };
    *open = None;
    ended.map_err(|_| "writing to the store failed".to_owned())?.map(drop).map_err(|error| error.to_string())
}

/// Asks every hook whether it is there. If one is new, settles the reservations that were left
/// open.
async fn greet(invites: &Invites, hooks: &mut BTreeMap<DomainPart, Answer<()>>) {
    let asked = invites.hosts().map(async |host| (host.clone(), invites.greet(host).await));
    let mut is_new = false;
    for (host, answer) in join_all(asked).await {
        let was_silent = matches!(hooks.get(&host), Some(Err(_)));
        match &answer {
            Ok(Some(hook)) => {
                is_new = true;
                tracing::info!(%host, software = described(hook), "the hook is there");
                for problem in problems(&host, hook) {
                    tracing::warn!(%host, "{problem}");
                }
            }
            Ok(None) if was_silent => tracing::info!(%host, "the hook answers again"),
            Err(reason) if !was_silent => tracing::warn!(%host, "the hook does not answer: {reason}"),
            _ => (),
        }
        hooks.insert(host, answer.map(drop));
    }
    if is_new {
        tokio::spawn(settle(invites.clone()));
    }
}

async fn settle(invites: Invites) {
    match invites.settle_open(SignedDuration::ZERO).await {
        Ok(0) => (),
        Ok(settled) => tracing::info!(settled, "reservations left open were settled"),
        Err(error) => tracing::error!(%error, "reservations left open could not be settled"),
    }
}
