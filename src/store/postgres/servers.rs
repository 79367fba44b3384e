//! Finds the server that has the store. Of several, it is the one that takes writes, and never one
//! that may have missed writes.

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use deadpool_postgres::ClientWrapper;
use futures::future::{BoxFuture, join, join_all};
use tokio::time::{Instant, timeout};
use tokio_postgres::error::Severity;
use tokio_postgres::{AsyncMessage, Config, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::statement::pooled;
use crate::database::connect::{Driver, Unreached, each, reach, tls};
use crate::database::{PostgresUrl, with_cause};
use crate::last_seen::Lineage;
use crate::store::error::{Problem, Result};

/// How long all hosts together are tried.
const PATIENCE: Duration = Duration::from_secs(3);

/// A connection that is silent for this long counts as lost.
pub const SILENCE: Duration = Duration::from_secs(10);

/// How long a connection to a read-only server is used when no server takes writes. Then all hosts
/// are tried again.
const READ_ONLY_FOR: Duration = Duration::from_secs(1);

/// The shortest pause between two rounds that ask all hosts.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What every connection begins with. A transaction that a stopped or vanished daemon left open
/// ends by itself, since others wait for its rows. A commit waits for the disk, and for a
/// synchronous standby's, whatever the server's configuration says now or after a reload. What the
/// server warns of is heard.
const PREPARE: &str = "SET lock_timeout = '4s'; SET idle_in_transaction_session_timeout = '10s'; \
     SET client_min_messages = 'warning'; \
     SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit') \
     WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false); \
     SELECT pg_backend_pid(), current_setting('transaction_read_only')";

/// The cluster, and the timeline on which it writes. A standby tells that of its last restartpoint,
/// which may be minutes old.
const LINEAGE: &str = "SELECT pg_backend_pid(), (SELECT system_identifier FROM pg_control_system()), \
     CASE WHEN pg_is_in_recovery() THEN (SELECT timeline_id FROM pg_control_checkpoint()) \
     ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint END";

/// The lineage on which a daemon was last at work, as far as the server knows. A standby that
/// follows a new primary knows it within seconds.
const LAST_SEEN: &str = "SELECT cluster, timeline FROM last_seen";

impl Lineage {
    /// Why a server must not be used after one of lineage `seen`.
    fn unfit_after(self, seen: Lineage) -> Option<String> {
        if self.cluster != seen.cluster {
            return Some(format!(
                "belongs to another cluster (system identifier {}) than the server with the store ({}): let store.url \
                 name only servers of one cluster. If the store was moved there, restart easy-invite",
                self.cluster, seen.cluster
            ));
        }
        (self.timeline < seen.timeline).then(|| {
            format!(
                "is on timeline {}, and the store went on to timeline {}: it may have missed what was written since. \
                 If this is the old primary, stop it, and make it a standby of the new one (pg_rewind, \
                 pg_basebackup). If it has a backup that you restored, restart easy-invite",
                self.timeline, seen.timeline
            )
        })
    }
}

/// To which server a connection leads.
#[derive(Clone, Copy)]
pub struct Stamp {
    /// The process id of the connection's server process.
    pub process: i32,
    read_only: bool,
    /// See [`Seen`].
    generation: u64,
}

/// A connection to a server.
pub struct Connection {
    client: ClientWrapper,
    pub stamp: Stamp,
    /// `None`: the server does not tell us.
    lineage: Option<Lineage>,
    /// Set when the server warns of something.
    pub warned: Arc<AtomicBool>,
}

impl Deref for Connection {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        &self.client
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut ClientWrapper {
        &mut self.client
    }
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.stamp.read_only { "read-only, a standby perhaps" } else { "takes writes" })?;
        self.lineage.iter().try_for_each(|lineage| write!(f, ", timeline {}", lineage.timeline))
    }
}

/// What is known of the servers.
#[derive(Default)]
struct Seen {
    /// The lineage of the server that has the store: the newest timeline that a server has told of.
    lineage: Option<Lineage>,
    /// The host that took writes last, by its place in the URL.
    host: Option<usize>,
    /// Grows when all hosts are to be tried again. Connections of an older generation are not used
    /// any more.
    generation: u64,
    /// Why hosts are not used, by their place in the URL. Each reason is logged once.
    unfit: BTreeMap<usize, String>,
}

/// The servers in a URL. It makes the connections to them.
pub struct Servers {
    store: String,
    hosts: Vec<(String, Config)>,
    tls: MakeRustlsConnect,
    seen: Mutex<Seen>,
    /// When all hosts were asked last.
    looked: tokio::sync::Mutex<Option<Instant>>,
}

impl Servers {
    pub fn new(url: &PostgresUrl) -> Result<Self> {
        Ok(Servers {
            store: url.to_string(),
            hosts: url.names().into_iter().zip(each(url, PATIENCE, SILENCE)).collect(),
            tls: tls(url).map_err(Problem::Unopenable)?,
            seen: Mutex::default(),
            looked: tokio::sync::Mutex::default(),
        })
    }

    /// The hosts in the order of the URL, each with a description of its server, or why it is not
    /// used.
    pub async fn survey(&self) -> Vec<(String, Result<String>)> {
        let met = join_all(self.hosts.iter().map(|(_, config)| self.meet(config))).await;
        let seen = self.seen();
        let judged = self.hosts.iter().zip(met).map(|((name, _), met)| {
            let found = met.and_then(|found| match self.why_not(&seen, &found) {
                None => Ok(found.to_string()),
                Some(why) => Err(Problem::Unopenable(format!("the server {why}"))),
            });
            (name.clone(), found)
        });
        judged.collect()
    }

    /// Finds out which of several hosts has the store by now: another server may have taken over
    /// from one that does not answer. If several callers wait for this, the hosts are asked once.
    pub async fn look_around(&self) {
        let mut looked = self.looked.lock().await;
        if self.hosts.len() == 1 || looked.is_some_and(|looked| looked.elapsed() < LOOK_AGAIN_AFTER) {
            return;
        }
        let met = join_all(self.hosts.iter().map(|(_, config)| self.meet(config))).await;
        let met = self.hosts.iter().zip(met).enumerate();
        let mut met: Vec<_> = met.filter_map(|(host, ((name, _), met))| Some((host, name, met.ok()?))).collect();
        met.sort_by_key(|(.., met)| met.stamp.read_only); // where the store is, one that takes writes knows best
        for (host, name, met) in met {
            drop(self.judge(host, name, met));
        }
        *looked = Some(Instant::now());
    }

    /// The lineage of the server that has the store.
    pub fn lineage(&self) -> Option<Lineage> {
        self.seen().lineage
    }

    /// Whether a connection may still be used.
    pub fn is_current(&self, stamp: Stamp) -> bool {
        self.seen().generation == stamp.generation
    }

    /// A server that took writes has refused one: all hosts are to be tried again.
    pub fn leave(&self, stamp: Stamp) {
        let mut seen = self.seen();
        if !stamp.read_only && seen.generation == stamp.generation {
            seen.generation += 1;
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why a server must not be used, if it must not.
    fn why_not(&self, seen: &Seen, connection: &Connection) -> Option<String> {
        let (found, known) = (connection.lineage?, seen.lineage?);
        // A single host is the right one, also after pg_upgrade, or after a dump was restored.
        let is_moved = self.hosts.len() == 1 && found.cluster != known.cluster;
        if is_moved { None } else { found.unfit_after(known) }
    }

    /// Connects to a host, and asks for its state. Boxed, so that callers that wait for a
    /// connection use little memory.
    fn meet<'a>(&'a self, config: &'a Config) -> BoxFuture<'a, Result<Connection>> {
        Box::pin(async move {
            let patience = config.get_connect_timeout().copied().unwrap_or(PATIENCE);
            let (client, connection) = reach(config, &self.tls).await?;
            let warned = Arc::<AtomicBool>::default();
            let driving = tokio::spawn(drive(connection, warned.clone()));
            let client = ClientWrapper::new(client, driving);
            let asked = join(client.simple_query(PREPARE), client.simple_query(LINEAGE));
            let (prepared, lineage) = timeout(patience, asked).await.map_err(|_| Unreached::NoSession)?;
            let [process, read_only] = last_row(&prepared?);
            // Some managed services do not tell.
            let lineage = lineage.ok().map(|said| last_row::<3>(&said));
            if lineage.as_ref().is_some_and(|[behind, ..]| *behind != process) {
                return Err(pooled("two transactions had different sessions"));
            }
            let mut lineage = lineage.and_then(|[_, cluster, timeline]| lineage_of([cluster, timeline]));
            if let Some(lineage) = &mut lineage
                && read_only == "on"
                && let Ok(Ok(said)) = timeout(patience, client.simple_query(LAST_SEEN)).await
                && let Some(heard) = lineage_of(last_row(&said))
                && heard.cluster == lineage.cluster
            {
                lineage.timeline = lineage.timeline.max(heard.timeline);
            }
            let process = process.parse().map_err(|_| Problem::Other("it does not name its process".to_owned()))?;
            let stamp = Stamp { process, read_only: read_only == "on", generation: 0 };
            Ok(Connection { client, stamp, lineage, warned })
        })
    }

    /// The connection, if its server may be used.
    fn judge(&self, host: usize, name: &str, mut connection: Connection) -> Result<Connection> {
        let mut seen = self.seen();
        if let Some(why) = self.why_not(&seen, &connection) {
            if seen.unfit.insert(host, why.clone()).as_ref() != Some(&why) {
                tracing::warn!("the store {} does not use {name}, which {why}", self.store);
            }
            return Err(Problem::Unopenable(format!("the server {why}")));
        }
        seen.unfit.remove(&host);
        let writable = !connection.stamp.read_only;
        // A standby tells of a new primary as well, which may be away just now.
        let went_on = connection.lineage.zip(seen.lineage).is_some_and(|(found, known)| found != known);
        if writable || went_on {
            seen.lineage = connection.lineage.or(seen.lineage);
        }
        // Connections to the old primary are not used any more.
        seen.generation += u64::from(went_on);
        let moved = writable && seen.host.replace(host).is_some_and(|before| before != host);
        if let Some(found) = connection.lineage
            && (moved || writable && went_on)
        {
            tracing::warn!("the store {} is at {name} now, on timeline {}", self.store, found.timeline);
        }
        connection.stamp.generation = seen.generation;
        Ok(connection)
    }
}

impl Manager for Servers {
    type Type = Connection;
    type Error = Problem;

    /// Connects to the first host that takes writes, beginning with the one that was used last. If
    /// none does, connects to one that can be read.
    async fn create(&self) -> Result<Connection> {
        // At first all are asked: an old primary may be the first in the URL.
        if self.seen().host.is_none() {
            self.look_around().await;
        }
        let (first, mut readable, mut problems) = (self.seen().host.unwrap_or(0), None, Vec::new());
        let hosts = self.hosts.iter().enumerate();
        for (host, (name, config)) in hosts.cycle().skip(first).take(self.hosts.len()) {
            match self.meet(config).await.and_then(|met| self.judge(host, name, met)) {
                Ok(connection) if connection.stamp.read_only => readable = readable.or(Some(connection)),
                Ok(connection) => return Ok(connection),
                Err(problem) => problems.push((name, problem)),
            }
        }
        readable.ok_or_else(|| match problems.len() {
            1 => problems.remove(0).1,
            _ => {
                let all: Vec<_> = problems.iter().map(|(name, problem)| format!("{name} {problem}")).collect();
                let all = all.join("; ");
                let may_pass = problems.iter().any(|(_, problem)| matches!(problem, Problem::Unreachable(_)));
                if may_pass { Problem::Unreachable(all) } else { Problem::Unopenable(all) }
            }
        })
    }

    async fn recycle(&self, connection: &mut Connection, metrics: &Metrics) -> RecycleResult<Problem> {
        let is_stale = connection.stamp.read_only && metrics.created.elapsed() > READ_ONLY_FOR;
        if connection.is_closed() || is_stale || !self.is_current(connection.stamp) {
            return Err(RecycleError::message("it is used no more"));
        }
        Ok(())
    }
}

/// Drives a connection until it ends, and sets `warned` when the server sends a warning.
async fn drive(mut connection: Driver, warned: Arc<AtomicBool>) {
    loop {
        match poll_fn(|context| connection.poll_message(context)).await {
            Some(Ok(AsyncMessage::Notice(notice))) => {
                if notice.parsed_severity() == Some(Severity::Warning) {
                    warned.store(true, Ordering::SeqCst);
                }
            }
            Some(Ok(_)) => (),
            Some(Err(error)) => return tracing::debug!("a connection ended: {}", with_cause(&error)),
            None => return,
        }
    }
}

/// The lineage in the texts of a cluster and a timeline, if they are known.
fn lineage_of([cluster, timeline]: [String; 2]) -> Option<Lineage> {
    Some(Lineage { cluster: cluster.parse().ok()?, timeline: timeline.parse().ok()? })
}

/// The values of the last row that a server sent, as text.
fn last_row<const N: usize>(said: &[SimpleQueryMessage]) -> [String; N] {
    let row = said.iter().rev().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    std::array::from_fn(|place| row.and_then(|row| row.try_get(place).ok().flatten()).unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lineage(cluster: i64, timeline: i64) -> Lineage {
        Lineage { cluster, timeline }
    }

    #[test]
    fn a_server_that_is_behind_or_of_another_cluster_is_unfit() {
        let seen = lineage(7, 2);
        for fit in [lineage(7, 2), lineage(7, 3)] {
            assert_eq!(fit.unfit_after(seen), None);
        }
        let behind = lineage(7, 1).unfit_after(seen).unwrap();
        assert!(behind.contains("is on timeline 1, and the store went on to timeline 2"), "{behind}");
        let other = lineage(8, 9).unfit_after(seen).unwrap();
        assert!(other.contains("another cluster (system identifier 8)"), "{other}");
    }
}
