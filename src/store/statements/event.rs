//! The log of events. An event is written in the transaction of the change that it tells of.

use std::time::{SystemTime, UNIX_EPOCH};

use jid::{BareJid, DomainPart};
use jiff::{SignedDuration, Timestamp};
use rand::TryRng;
use rand::rngs::SysRng;

use crate::event::{Action, Actor, Event};
use crate::invite::InviteId;
use crate::store::error::{Problem, Result};
use crate::store::row::{Row, Value, tuples};
use crate::store::session::Session;

/// Which events to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Only of this host.
    pub host: Option<DomainPart>,
    /// Only what this account did, and what happened to it or to the invites that it made.
    pub account: Option<BareJid>,
    /// Only what happened to this invite.
    pub invite: Option<InviteId>,
}

/// Stands for a forgotten person in uses of other people's invites, and in events. Nobody has this
/// domain (RFC 2606).
pub const FORGOTTEN: &str = "forgotten.invalid";

/// How many events one statement writes.
const PAGE: usize = 100;

/// Over how long a time refusals, or removed invites, are counted as one event.
const TALLY: SignedDuration = SignedDuration::from_hours(1);

const COLUMNS: &str = "at, id, actor, action, host, invite, account, detail, count";

/// How many bits of an id are random; those before it are microseconds, of a day and a half.
const RANDOM_BITS: u32 = 26;
const CLOCK_BITS: u32 = 37;

/// The id of the first of some events that are written now. Within a second, ids follow the clock,
/// so that new rows come one after the other, whichever program writes them. Two programs that
/// write in the same microsecond hardly ever choose the same id.
fn first_id() -> Result<i64> {
    let failed = |_| Problem::Other("the system's random source failed".to_owned());
    let random = SysRng.try_next_u32().map_err(failed)? % (1 << RANDOM_BITS);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let clock = since.as_micros() as i64 % (1 << CLOCK_BITS);
    Ok(clock << RANDOM_BITS | i64::from(random))
}

/// Writes events.
pub fn record(session: &mut Session<'_>, events: &[Event]) -> Result<()> {
    for page in events.chunks(PAGE) {
        let (sql, values) = written(page)?;
        session.later(sql, values)?;
    }
    Ok(())
}

/// The statement that writes events, and its values. A daemon logs at once what it does itself. It
/// cannot do so for what the command line does, nor for what a transaction withdraws to make room
/// for an invite, since the transaction may run again. These events are marked as untold, and a
/// daemon logs them later.
pub fn written(events: &[Event]) -> Result<(String, Vec<Value>)> {
    let mut values: Vec<Value> = Vec::with_capacity(events.len() * 10);
    for (id, event) in (first_id()?..).zip(events) {
        values.extend([
            event.at.into(),
            id.into(),
            event.actor.to_string().as_str().into(),
            event.action.as_ref().into(),
            event.host.as_ref().map(|host| host.as_str()).into(),
            event.invite.as_ref().map(InviteId::as_str).into(),
            event.account.as_ref().map(|account| account.as_str()).into(),
            event.detail.as_deref().into(),
            i64::try_from(event.count).unwrap_or(i64::MAX).into(),
            (matches!(event.actor, Actor::Cli(_)) || event.action == Action::Withdrawn).then_some(1i64).into(),
        ]);
    }
    let sql = format!("INSERT INTO event ({COLUMNS}, untold) VALUES {}", tuples(10, values.len()));
    Ok((sql, values))
}

/// Adds to the count of an event of the same kind within the last hour, or writes a new event.
/// Returns whether it wrote a new one.
pub async fn tally(session: &mut Session<'_>, event: Event) -> Result<bool> {
    let since = event.at.saturating_sub(TALLY).unwrap_or(Timestamp::MIN);
    let sql = "UPDATE event SET count = count + $1 \
         WHERE invite IS NULL AND account IS NULL AND actor = $2 AND at > $3 AND at <= $4 AND action = $5 \
         AND COALESCE(detail, '') = $6";
    let values = [
        i64::try_from(event.count).unwrap_or(i64::MAX).into(),
        event.actor.to_string().as_str().into(),
        since.into(),
        event.at.into(),
        event.action.as_ref().into(),
        event.detail.as_deref().unwrap_or_default().into(),
    ];
    let is_new = session.execute(sql, &values).await? == 0;
    if is_new {
        record(session, &[event])?;
    }
    Ok(is_new)
}

fn event_of(row: &Row) -> Result<Event> {
    Ok(Event {
        at: row.instant(0)?,
        id: row.integer(1)?,
        actor: row.text(2)?,
        action: row.text(3)?,
        host: row.optional(4)?,
        invite: row.optional_parsed(5, InviteId::parse)?,
        account: row.optional(6)?,
        detail: row.optional(7)?,
        count: row.integer(8)?,
    })
}

/// How an account is written as an actor: as a user, and as an admin.
fn actors(account: &str) -> [Value; 2] {
    [format!("user:{account}").as_str().into(), format!("admin:{account}").as_str().into()]
}

pub async fn events(
    session: &mut Session<'_>,
    filter: EventFilter,
    after: (Timestamp, i64),
    limit: u32,
) -> Result<Vec<Event>> {
    let mut values = vec![after.0.into(), after.1.into()];
    let mut conditions = vec!["(at, id) > ($1, $2)".to_owned()];
    if let Some(host) = &filter.host {
        values.push(host.as_str().into());
        conditions.push(format!("host = ${}", values.len()));
    }
    if let Some(invite) = &filter.invite {
        values.push(invite.as_str().into());
        conditions.push(format!("invite = ${}", values.len()));
    }
    if let Some(account) = &filter.account {
        let first = values.len() + 1;
        let its = format!("actor IN (${first}, ${})", first + 1);
        values.extend(actors(account.as_str()).into_iter().chain([account.as_str().into()]));
        conditions.push(format!(
            "({its} OR account = ${} OR invite IN (SELECT invite FROM event WHERE {its} AND action = 'made'))",
            first + 2
        ));
    }
    let sql = format!("SELECT {COLUMNS} FROM event WHERE {} ORDER BY at, id LIMIT {limit}", conditions.join(" AND "));
    session.query(&sql, &values, event_of).await
}

pub async fn untold(session: &mut Session<'_>, limit: u32) -> Result<Vec<Event>> {
    let sql = format!("SELECT {COLUMNS} FROM event WHERE untold = 1 ORDER BY at, id LIMIT {limit}");
    session.query(&sql, &[], event_of).await
}

pub async fn tell(session: &mut Session<'_>, event: Event) -> Result<bool> {
    let sql = "UPDATE event SET untold = NULL WHERE at = $1 AND id = $2 AND untold = 1";
    Ok(session.execute(sql, &[event.at.into(), event.id.into()]).await? > 0)
}

pub async fn refused(
    session: &mut Session<'_>,
    host: DomainPart,
    limit: String,
    now: Timestamp,
    by: Actor,
) -> Result<bool> {
    tally(session, Event { host: Some(host), detail: Some(limit), ..Event::new(now, by, Action::Refused) }).await
}

pub async fn purge_events(session: &mut Session<'_>, before: Timestamp, limit: u32) -> Result<u64> {
    let sql = "DELETE FROM event WHERE (at, id) IN (SELECT at, id FROM event WHERE at < $1 ORDER BY at, id LIMIT $2)";
    session.execute(sql, &[before.into(), limit.into()]).await
}

/// Erases the name of a person. Returns how many events had it.
pub async fn forget_in_events(session: &mut Session<'_>, account: &BareJid) -> Result<u64> {
    let sql = "UPDATE event SET account = CASE account WHEN $1 THEN $2 ELSE account END, \
         actor = CASE actor WHEN $3 THEN $4 WHEN $5 THEN $6 ELSE actor END \
         WHERE account = $1 OR actor IN ($3, $5)";
    let ([user, admin], [no_user, no_admin]) = (actors(account.as_str()), actors(FORGOTTEN));
    session.execute(sql, &[account.as_str().into(), FORGOTTEN.into(), user, no_user, admin, no_admin]).await
}
