//! The store as a whole: how much it holds, whether it is in order, and what its work waits for.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use super::event::{EventFilter, events};
use crate::store::error::{Problem, Result};
use crate::store::row::{Row, Value};
use crate::store::session::Session;

/// How many events are read at a time.
const PAGE: u32 = 1000;

/// How much a store holds. As JSON, it has the fields that scripts may see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Contents {
    /// Invites in any state.
    pub invites: u64,
    /// Their uses, open ones included.
    pub uses: u64,
    /// Accounts whose inviters are known.
    pub accounts: u64,
    /// Events in the log of events.
    pub events: u64,
}

impl fmt::Display for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Contents { invites, uses, accounts, events } = self;
        write!(f, "{invites} invites, {uses} uses of them, {accounts} accounts that came by one, {events} events")
    }
}

/// What a transaction in PostgreSQL waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// A commit waits for a synchronous standby.
    Standby,
    /// A lock that this other session holds.
    Lock(String),
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wait::Standby => f.write_str(
                "no synchronous standby confirms what is committed (SyncRep). Is the standby there, and does \
                 synchronous_standby_names name it?",
            ),
            Wait::Lock(holder) => write!(f, "{holder} holds a lock"),
        }
    }
}

pub async fn contents(session: &mut Session<'_>) -> Result<Contents> {
    let sql = "SELECT (SELECT count(*) FROM invite), (SELECT count(*) FROM invite_use), \
         (SELECT count(*) FROM account), (SELECT count(*) FROM event)";
    let read = |row: &Row| {
        Ok(Contents {
            invites: row.integer(0)?,
            uses: row.integer(1)?,
            accounts: row.integer(2)?,
            events: row.integer(3)?,
        })
    };
    Ok(session.query(sql, &[], read).await?.pop().unwrap_or_default())
}

pub async fn unsafe_settings(session: &mut Session<'_>) -> Result<Vec<String>> {
    if let Session::Sqlite(_) = session {
        return Ok(Vec::new()); // every connection sets its own
    }
    let sql = "SELECT name FROM pg_settings WHERE name IN ('fsync', 'full_page_writes') AND setting = 'off' \
         ORDER BY name";
    session.query(sql, &[], |row| row.text(0)).await
}

pub async fn is_synchronous(session: &mut Session<'_>) -> Result<bool> {
    let named = "SELECT 1 WHERE current_setting('synchronous_standby_names') <> ''";
    Ok(matches!(session, Session::Sqlite(_)) || session.exists(named, &[]).await?)
}

pub async fn waits(session: &mut Session<'_>) -> Result<Option<Wait>> {
    wait_of(session, Value::Null).await
}

/// What this server process waits for; NULL: any process of our user in this database. If one of
/// them waits for a standby, that is the answer, since the others wait for it in turn.
pub async fn wait_of(session: &mut Session<'_>, process: Value) -> Result<Option<Wait>> {
    if let Session::Sqlite(_) = session {
        return Ok(None); // what waits there gives up after some seconds
    }
    let sql = "SELECT CASE WHEN waiting.wait_event = 'SyncRep' THEN NULL ELSE format('%s (process %s, role %s)', \
             coalesce(nullif(holder.application_name, ''), 'a program without a name'), holder.pid, holder.usename) \
             END \
         FROM pg_stat_activity AS waiting LEFT JOIN pg_stat_activity AS holder ON waiting.wait_event_type = 'Lock' \
             AND holder.pid = ANY (pg_blocking_pids(waiting.pid)) \
         WHERE waiting.datname = current_database() AND waiting.usename = current_user \
             AND waiting.query_start < now() - interval '1 second' \
             AND (waiting.wait_event = 'SyncRep' \
                 OR holder.pid IS NOT NULL AND ($1::bigint IS NULL OR waiting.pid = $1)) \
         ORDER BY waiting.wait_event = 'SyncRep' DESC, waiting.query_start LIMIT 1";
    let read = |row: &Row| Ok(row.optional(0)?.map_or(Wait::Standby, Wait::Lock));
    Ok(session.query(sql, &[process], read).await?.pop())
}

/// Checks that the file is intact, that the counters of every invite agree with its uses, and that
/// every event can be read.
pub async fn verify(session: &mut Session<'_>) -> Result<()> {
    if let Session::Sqlite(_) = session {
        let verdicts = session.query("PRAGMA integrity_check(1)", &[], |row| row.text(0)).await?;
        if let Some(problem) = verdicts.into_iter().find(|verdict| verdict != "ok") {
            return Err(Problem::Corrupt(problem));
        }
    }
    // Counts only the uses of invites that have any, by an index: of ten million invites, few have.
    let sql = "SELECT id FROM invite WHERE taken > max_uses OR (taken <> 0 OR uses <> 0) AND \
             (taken <> (SELECT count(*) FROM invite_use WHERE invite = invite.id) OR \
             uses <> (SELECT count(redeemed_at) FROM invite_use WHERE invite = invite.id)) \
         UNION ALL SELECT invite.id FROM invite_use CROSS JOIN invite \
         WHERE invite.id = invite_use.invite AND taken = 0 LIMIT 1";
    match session.query(sql, &[], |row| row.text::<String>(0)).await?.pop() {
        None => verify_events(session).await,
        Some(id) => Err(Problem::Corrupt(format!("the uses of invite {id} are not as many as were counted"))),
    }
}

/// Reads every event.
async fn verify_events(session: &mut Session<'_>) -> Result<()> {
    let mut after = (Timestamp::MIN, 0);
    loop {
        let page = events(session, EventFilter::default(), after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = (last.at, last.id);
    }
}
