//! Invites: their rows, and how they are found, listed, revoked and purged.

use jid::{BareJid, DomainPart};
use jiff::Timestamp;

use super::event::{record, tally};
use crate::event::{Action, Actor, Event};
use crate::invite::{Invite, InviteId, SAFE_LENGTH, State, TokenHash};
use crate::store::error::Result;
use crate::store::row::{Row, Value, among};
use crate::store::session::Session;

/// Which invites to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only of this host.
    pub host: Option<DomainPart>,
    /// Only of this inviter.
    pub inviter: Option<BareJid>,
    /// Only in this state.
    pub state: Option<State>,
}

/// What became of the invite that once had a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Past {
    /// It has been removed.
    Removed,
    /// It has a newer token.
    Replaced(Box<Invite>),
}

/// An invite that is pending at $1.
pub const PENDING: &str =
    "revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $1) AND (max_uses IS NULL OR uses < max_uses)";

/// An invite of a user or an admin that is pending or expired: the condition of the index
/// `pending_by_inviter`, word for word.
pub const UNENDED: &str = "issuer <> 'operator' AND revoked_at IS NULL AND (max_uses IS NULL OR uses < max_uses)";

pub const INVITE_COLUMNS: &str = "invite.id, token_hash, type, host, username, inviter, issuer, roles, groups, note, \
     max_uses, uses, created_at, expires_at, revoked_at, owners_since, links, regenerated_at, language, inviter_name, \
     imported_from, token_length";

pub fn invite_of(row: &Row) -> Result<Invite> {
    Ok(Invite {
        id: row.parsed(0, InviteId::parse)?,
        token_hash: TokenHash(row.bytes(1)?),
        invite_type: row.text(2)?,
        host: row.text(3)?,
        username: row.optional(4)?,
        inviter: row.optional(5)?,
        issuer: row.text(6)?,
        roles: row.parsed(7, |text| serde_json::from_str(text).ok())?,
        groups: row.parsed(8, |text| serde_json::from_str(text).ok())?,
        note: row.optional(9)?,
        max_uses: row.optional_integer(10)?,
        uses: row.integer(11)?,
        created_at: row.instant(12)?,
        expires_at: row.optional_instant(13)?,
        revoked_at: row.optional_instant(14)?,
        owners_since: row.optional_instant(15)?,
        links: row.integer(16)?,
        regenerated_at: row.optional_instant(17)?,
        language: row.optional(18)?,
        inviter_name: row.optional(19)?,
        imported_from: row.optional(20)?,
        token_length: row.optional_integer(21)?,
        replaced: false,
    })
}

pub async fn find(session: &mut Session<'_>, token_hash: TokenHash) -> Result<Option<Invite>> {
    let sql = format!("SELECT {INVITE_COLUMNS} FROM invite WHERE token_hash = $1");
    Ok(session.query(&sql, &[token_hash.into()], invite_of).await?.pop())
}

pub async fn past(session: &mut Session<'_>, token_hash: TokenHash) -> Result<Option<Past>> {
    let sql = "SELECT invite FROM past_token WHERE token_hash = $1";
    let values = [token_hash.into()];
    let found = session.query(sql, &values, |row| row.parsed(0, InviteId::parse)).await?.pop();
    let Some(invite) = found else { return Ok(None) };
    Ok(Some(find_by_id(session, invite).await?.map_or(Past::Removed, |invite| Past::Replaced(Box::new(invite)))))
}

pub async fn has_tokens_of(session: &mut Session<'_>, lengths: Vec<u32>) -> Result<bool> {
    let mut values = Vec::new();
    let these = among(&mut values, lengths.iter().map(|length| (*length).into()));
    session.exists(&format!("SELECT 1 FROM invite WHERE token_length IN ({these}) LIMIT 1"), &values).await
}

pub async fn short_tokens(session: &mut Session<'_>, now: Timestamp) -> Result<Vec<(DomainPart, InviteId)>> {
    let sql = format!("SELECT host, id FROM invite WHERE {PENDING} AND token_length < $2 ORDER BY host, id");
    let values = [now.into(), SAFE_LENGTH.into()];
    session.query(&sql, &values, |row| Ok((row.text(0)?, row.parsed(1, InviteId::parse)?))).await
}

/// Counts a use of an invite that is redeemed.
pub fn count_use(session: &mut Session<'_>, id: &InviteId, now: Timestamp) -> Result<()> {
    // The clock may have been set back since the last use.
    let sql = "UPDATE invite SET uses = uses + 1, \
         last_used_at = CASE WHEN last_used_at > $1 THEN last_used_at ELSE $1 END WHERE id = $2";
    session.later(sql.to_owned(), vec![now.into(), id.as_str().into()])
}

pub async fn find_by_id(session: &mut Session<'_>, id: InviteId) -> Result<Option<Invite>> {
    let sql = format!("SELECT {INVITE_COLUMNS} FROM invite WHERE id = $1");
    Ok(session.query(&sql, &[id.as_str().into()], invite_of).await?.pop())
}

pub async fn username_reserved(session: &mut Session<'_>, account: BareJid, now: Timestamp) -> Result<bool> {
    reserving_invite(session, &account, None, now).await
}

/// Whether a pending invite other than `except` reserves the account's username.
pub async fn reserving_invite(
    session: &mut Session<'_>,
    account: &BareJid,
    except: Option<&InviteId>,
    now: Timestamp,
) -> Result<bool> {
    let (sql, values) = reserving(account, except, now);
    session.exists(&sql, &values).await
}

/// The statement that finds such an invite, and its values.
pub fn reserving(account: &BareJid, except: Option<&InviteId>, now: Timestamp) -> (String, Vec<Value>) {
    let sql = format!(
        "SELECT 1 FROM invite AS other WHERE {PENDING} AND other.host = $2 AND other.username = $3 \
         AND other.type <> 'password-reset' AND other.id <> $4 LIMIT 1"
    );
    let values = [
        now.into(),
        account.domain().as_str().into(),
        account.node().map(|node| node.as_str()).into(),
        except.map_or("", InviteId::as_str).into(),
    ];
    (sql, values.into())
}

pub async fn list(session: &mut Session<'_>, filter: Filter, limit: u32, now: Timestamp) -> Result<Vec<Invite>> {
    if filter.host.is_some() || filter.inviter.is_some() {
        return list_of(session, &filter, limit, now).await;
    }
    // The invites of each host are read in order. Of ten million invites, only those that are
    // listed are read.
    let mut found = Vec::new();
    for host in hosts(session).await? {
        found.extend(list_of(session, &Filter { host: Some(host), ..filter.clone() }, limit, now).await?);
    }
    found.sort_by(|one, other| (other.created_at, &one.id).cmp(&(one.created_at, &other.id)));
    found.truncate(limit as usize);
    Ok(found)
}

/// The hosts that have invites, found with one step in an index for each.
async fn hosts(session: &mut Session<'_>) -> Result<Vec<DomainPart>> {
    let sql = "WITH RECURSIVE hosts (host) AS ( \
             SELECT min(host) FROM invite \
             UNION ALL SELECT (SELECT min(host) FROM invite WHERE host > hosts.host) FROM hosts \
             WHERE host IS NOT NULL) \
         SELECT host FROM hosts WHERE host IS NOT NULL";
    session.query(sql, &[], |row| row.text(0)).await
}

async fn list_of(session: &mut Session<'_>, filter: &Filter, limit: u32, now: Timestamp) -> Result<Vec<Invite>> {
    let unused = "(max_uses IS NULL OR uses < max_uses)";
    let mut values = Vec::new();
    let mut conditions = vec![match filter.state {
        None => "TRUE".to_owned(),
        Some(State::Pending) => PENDING.to_owned(),
        Some(State::Redeemed) => "uses >= max_uses".to_owned(),
        Some(State::Revoked) => format!("revoked_at IS NOT NULL AND {unused}"),
        Some(State::Expired) => format!("revoked_at IS NULL AND expires_at <= $1 AND {unused}"),
    }];
    if matches!(filter.state, Some(State::Pending | State::Expired)) {
        values.push(now.into());
    }
    if let Some(host) = &filter.host {
        values.push(host.as_str().into());
        // The "||" keeps the index of hosts from being used: the index of inviters is faster.
        let column = if filter.inviter.is_some() { "host || ''" } else { "host" };
        conditions.push(format!("{column} = ${}", values.len()));
    }
    if let Some(inviter) = &filter.inviter {
        values.push(inviter.as_str().into());
        conditions.push(format!("inviter = ${}", values.len()));
    }
    let sql = format!(
        "SELECT {INVITE_COLUMNS} FROM invite WHERE {} ORDER BY created_at DESC, id LIMIT {limit}",
        conditions.join(" AND ")
    );
    session.query(&sql, &values, invite_of).await
}

/// Ends the invites that meet a condition, in which $1 is the present instant, and returns them.
/// The caller records why.
pub async fn end(session: &mut Session<'_>, condition: &str, values: &[Value]) -> Result<Vec<Invite>> {
    let sql = format!("UPDATE invite SET revoked_at = $1 WHERE {condition} RETURNING {INVITE_COLUMNS}");
    session.query(&sql, values, invite_of).await
}

pub async fn revoke(session: &mut Session<'_>, id: InviteId, now: Timestamp, by: Actor) -> Result<Option<Invite>> {
    revoke_where(session, "revoked_at IS NULL AND id = $2", &[now.into(), id.as_str().into()], now, by).await?;
    find_by_id(session, id).await
}

pub async fn revoke_of_inviter(session: &mut Session<'_>, inviter: BareJid, now: Timestamp, by: Actor) -> Result<u64> {
    let values = [now.into(), inviter.as_str().into()];
    revoke_where(session, &format!("{PENDING} AND inviter = $2"), &values, now, by).await
}

/// Revokes the invites that meet a condition, in which $1 is `now`, and records an event for each.
/// Returns how many there were.
pub async fn revoke_where(
    session: &mut Session<'_>,
    condition: &str,
    values: &[Value],
    now: Timestamp,
    by: Actor,
) -> Result<u64> {
    let revoked = end(session, condition, values).await?;
    let events: Vec<_> = revoked.iter().map(|invite| Event::of(invite, now, by.clone(), Action::Revoked)).collect();
    record(session, &events)?;
    Ok(events.len() as u64)
}

pub async fn purge(
    session: &mut Session<'_>,
    ended_before: Timestamp,
    limit: u32,
    now: Timestamp,
    by: Actor,
) -> Result<u64> {
    // An invite with an open use stays: the use may still have to be redeemed or released.
    // Each part has its own limit: of millions that have ended, only those to remove are read.
    let sql = "DELETE FROM invite WHERE taken = uses AND id IN ( \
             SELECT id FROM (SELECT id FROM invite WHERE expires_at < $1 AND taken = uses LIMIT $2) AS expired \
             UNION SELECT id FROM (SELECT id FROM invite WHERE revoked_at < $1 AND taken = uses LIMIT $2) AS revoked \
             UNION SELECT id FROM (SELECT id FROM invite WHERE last_used_at < $1 AND uses >= max_uses LIMIT $2) \
             AS used LIMIT $2)";
    let count = session.execute(sql, &[ended_before.into(), limit.into()]).await?;
    if count > 0 {
        tally(session, Event { count, ..Event::new(now, by, Action::Purged) }).await?;
    }
    Ok(count)
}
