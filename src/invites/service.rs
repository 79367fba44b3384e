//! What the parts of the service share: its state, its errors, the clock.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jid::{BareJid, DomainPart};
use jiff::Timestamp;
use tokio::sync::{Notify, Semaphore};

use super::absences::Absences;
use super::account_cache::AccountCache;
use super::retries::Retries;
use crate::chat_server::{ChatServer, Hook, NoAnswer};
use crate::counters::Counters;
use crate::invite::{NoRandomness, Purpose};
use crate::last_seen::LastSeen;
use crate::lifetime::Lifetime;
use crate::limits::{Counts, Limits};
use crate::policy::HostPolicy;
use crate::refusal::Refusal;
use crate::store::{Store, StoreError};
use crate::texts::{Languages, Texts};

/// The invites of the served hosts. Cheap to clone.
///
/// A clone keeps its settings. So each request takes one, and sees the same settings to its end,
/// whatever the operator changes meanwhile.
#[derive(Clone)]
pub struct Invites(pub(super) Arc<State>, Arc<Settings>);

/// How long ended invites are kept, unless the operator says otherwise.
pub const DEFAULT_RETENTION: Lifetime = Lifetime::Seconds(90 * 24 * 60 * 60);

/// How long the log of events is kept, unless the operator says otherwise.
pub const DEFAULT_AUDIT: Lifetime = Lifetime::Seconds(90 * 24 * 60 * 60);

/// How many notes of links to withdraw are written at a time. A thousand may be waiting.
const NOTING: usize = 4;

/// What the operator may change while the daemon runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The component's JID, to which users may write.
    pub component: DomainPart,
    /// The served hosts, and what is allowed there.
    pub hosts: BTreeMap<DomainPart, HostPolicy>,
    /// What an address may do.
    pub limits: Limits,
    /// How long ended invites are kept before they are purged.
    pub retention: Lifetime,
    /// How long the log of events is kept.
    pub audit: Lifetime,
    /// The languages in which people are answered.
    pub languages: Arc<Languages>,
}

impl Settings {
    /// The settings of a component that serves no host yet.
    pub fn new(component: DomainPart) -> Self {
        Settings {
            component,
            hosts: BTreeMap::new(),
            limits: Limits::default(),
            retention: DEFAULT_RETENTION,
            audit: DEFAULT_AUDIT,
            languages: Arc::new(Languages::built_in()),
        }
    }
}

/// The state of the service. All but the store is in memory only, and is lost when the daemon ends.
pub(super) struct State {
    pub(super) store: Store,
    pub(super) counters: Counters,
    pub(super) chat_server: ChatServer,
    clock: fn() -> Timestamp,
    /// The recent tries of strangers, for the limits.
    pub(super) counts: Mutex<Counts>,
    /// The forms in browsers that set a password last, or made an account that is not finished yet.
    pub(super) made_forms: Mutex<VecDeque<String>>,
    /// The reservations for which the hook is making an account at this moment.
    pub(super) registering: Mutex<HashSet<String>>,
    /// The hooks that have introduced themselves on this connection to the chat server.
    pub(super) hooks: Mutex<BTreeMap<DomainPart, Hook>>,
    /// The reservations that could not be settled.
    pub(super) retries: Mutex<Retries>,
    /// The accounts that seem to be gone.
    pub(super) gone: Mutex<Absences<BareJid>>,
    /// The reservations for which the chat server seems to have made no account.
    pub(super) doubtful: Mutex<Absences<String>>,
    /// What the chat server said of accounts a moment ago.
    pub(super) known_accounts: Mutex<AccountCache>,
    /// What the store said when the daemon last wrote to it that it is at work.
    pub(super) last_seen: Mutex<Option<LastSeen>>,
    /// Wakes the task that tells inviters: an invite was used, or the chat server is back.
    pub(super) used: Notify,
    /// A permit for each note of a link to withdraw that is being written.
    pub(super) noting: Semaphore,
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The rules refuse it: an expected answer.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The chat server had to be asked, and has not answered.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    /// It was not known in time whether a new link is stored. If it is, it will be withdrawn.
    #[error("it was not known in time whether the link is stored: if it is, it will be withdrawn")]
    Late,
    /// No secret could be made.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

impl Error {
    /// What people read: which part has failed, and what they can do. What the operator needs to
    /// know is in the error itself.
    pub fn text(&self, texts: &Texts) -> String {
        let own = &texts.failure;
        match self {
            Error::Refused(refusal) => return refusal.text(texts),
            Error::Store(_) | Error::Late => &own.store,
            Error::NoAnswer(NoAnswer::Unreachable(_)) => &own.unreachable,
            Error::NoAnswer(NoAnswer::Late(_)) => &own.late,
            Error::NoAnswer(NoAnswer::NotSetUp(_)) => &own.not_set_up,
            Error::NoAnswer(NoAnswer::Unable(_)) => &own.unable,
            Error::NoRandomness(_) => &own.broken,
        }
        .clone()
    }

    /// Whether trying again within minutes may help.
    pub fn passes(&self) -> bool {
        !matches!(self, Error::Refused(_) | Error::NoRandomness(_) | Error::NoAnswer(NoAnswer::NotSetUp(_)))
    }
}

pub(super) type Result<T> = std::result::Result<T, Error>;

impl Invites {
    /// The service over a store.
    pub fn new(store: Store, settings: Settings, chat_server: ChatServer, clock: fn() -> Timestamp) -> Self {
        let counters = Counters::new(store.commits().clone());
        counters.serve(settings.hosts.keys());
        let state = State {
            store,
            counters,
            chat_server,
            clock,
            counts: Mutex::new(Counts::new(settings.limits)),
            made_forms: Mutex::default(),
            registering: Mutex::default(),
            hooks: Mutex::default(),
            retries: Mutex::default(),
            gone: Mutex::default(),
            doubtful: Mutex::default(),
            known_accounts: Mutex::default(),
            last_seen: Mutex::default(),
            used: Notify::new(),
            noting: Semaphore::new(NOTING),
        };
        Invites(Arc::new(state), Arc::new(settings))
    }

    /// The same service with other settings. Its state in memory is kept.
    pub fn with(&self, settings: Settings) -> Self {
        self.0.counters.serve(settings.hosts.keys());
        lock(&self.0.counts).limit(settings.limits);
        Invites(Arc::clone(&self.0), Arc::new(settings))
    }

    /// The settings of this clone.
    pub fn settings(&self) -> &Settings {
        &self.1
    }

    /// The languages in which people are answered.
    pub fn languages(&self) -> &Languages {
        &self.1.languages
    }

    /// The served hosts.
    pub fn hosts(&self) -> impl Iterator<Item = &DomainPart> {
        self.1.hosts.keys()
    }

    /// The hosts where people may register without an invite, without those whose chat server has
    /// said that it makes no accounts.
    pub fn open_hosts(&self) -> impl Iterator<Item = &DomainPart> {
        let closed = |host| lock(&self.0.hooks).get(host).is_some_and(|hook| hook.never(Purpose::Register).is_some());
        let open = self.1.hosts.iter().filter(|(_, policy)| !policy.registration_invite_only);
        open.map(|(host, _)| host).filter(move |host| !closed(*host))
    }

    /// What is allowed on a host.
    ///
    /// # Errors
    /// `UnknownHost` if it is not served.
    pub fn policy(&self, host: &str) -> std::result::Result<(&DomainPart, &HostPolicy), Refusal> {
        let found = self.1.hosts.iter().find(|(served, _)| served.as_str() == host);
        found.ok_or_else(|| Refusal::UnknownHost(host.chars().take(100).collect()))
    }

    /// The way to ask the chat server.
    pub fn chat_server(&self) -> &ChatServer {
        &self.0.chat_server
    }

    /// The present instant, in whole seconds as the store keeps them.
    pub fn now(&self) -> Timestamp {
        let now = self.precise_now();
        Timestamp::from_second(now.as_second()).unwrap_or(now)
    }

    /// The present instant.
    pub(super) fn precise_now(&self) -> Timestamp {
        (self.0.clock)()
    }

    /// The instant that is this far ahead.
    pub(super) fn after(&self, time: Duration) -> Timestamp {
        self.now().saturating_add(time).unwrap_or(Timestamp::MAX)
    }
}

/// Locks a part of the state, even if a thread has panicked while it held the lock: no change
/// leaves the state half done.
pub(super) fn lock<T>(part: &Mutex<T>) -> MutexGuard<'_, T> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}
