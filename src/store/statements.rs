//! What is done with invites, statement by statement: the same text for both engines. Whatever writes runs in one
//! transaction, and may be run again when a connection was lost and nobody knows whether that was committed: doing it
//! twice changes nothing.
//!
//! PostgreSQL runs this at READ COMMITTED. What two transactions must not do at the same time is kept apart by the row
//! that both change (a use is taken by the UPDATE that proves there is one), or by a lock on a name.

use jid::{BareJid, DomainPart, NodePart};
use jiff::{SignedDuration, Timestamp};

use super::copy::take_rows;
use super::session::{Engine, Malformed, Row, Session, Value};
use super::{Claim, Contents, Filter, Forgotten, Insertion, Quota, Result, StoreError};
use crate::invite::{Invite, InviteId, InviteType, Issuer, Purpose, State, TokenHash, Use};

/// How many standing reservations a contended claim names at the most.
const CONTENDED: u32 = 16;

/// The time in which a quota counts what somebody makes.
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Stands for a person who was forgotten, in the uses of other people's invites (RFC 2606: nobody has this domain).
const FORGOTTEN: &str = "forgotten.invalid";

/// An invite that is pending at $1, as far as its own row tells.
const PENDING: &str =
    "revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $1) AND (max_uses IS NULL OR uses < max_uses)";

const INVITE_COLUMNS: &str = "invite.id, token_hash, type, host, username, inviter, issuer, roles, groups, note, \
     max_uses, uses, created_at, expires_at, revoked_at";

pub async fn insert(session: &mut Session<'_>, invite: Invite, quota: Quota, now: Timestamp) -> Result<Insertion> {
    let reserved = invite.username.as_ref().filter(|_| invite.invite_type != InviteType::PasswordReset);
    let reserved = reserved.map(|username| BareJid::from_parts(Some(username), &invite.host));
    if let Some(account) = &reserved {
        session.lock(account.as_str()).await?;
    }
    let limited = invite.inviter.as_ref().filter(|_| quota != Quota::default());
    if let Some(inviter) = limited {
        session.lock(&format!("invites of {inviter}")).await?;
    }
    // It may be there already, when this is run again. It must not stand in its own way then.
    let kept = "SELECT 1 FROM invite WHERE id = $1 AND token_hash = $2";
    let kept_values = [invite.id.as_str().into(), Value::Bytes(invite.token_hash.0.into())];
    let may_be_refused = reserved.is_some() || limited.is_some();
    if may_be_refused && session.query_one(kept, &kept_values).await?.is_some() {
        return Ok(Insertion::Kept);
    }
    if let Some(account) = &reserved
        && reserving_invite(session, account, None, now).await?
    {
        return Ok(Insertion::UsernameReserved);
    }
    if let Some(account) = &reserved
        && being_registered(session, account, now).await?
    {
        return Ok(Insertion::UsernameInProgress);
    }
    if let Some(inviter) = limited
        && let Some(refused) = over_quota(session, inviter, quota, now).await?
    {
        return Ok(refused);
    }
    let sql = "INSERT INTO invite (id, token_hash, type, host, username, inviter, issuer, roles, groups, note, \
         max_uses, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT (id) DO NOTHING";
    let [id, token_hash] = kept_values;
    let values = [
        id.clone(),
        token_hash.clone(),
        invite.invite_type.as_str().into(),
        invite.host.as_str().into(),
        invite.username.as_ref().map(|node| node.as_str()).into(),
        invite.inviter.as_ref().map(|jid| jid.as_str()).into(),
        invite.issuer.as_str().into(),
        json(&invite.roles),
        json(&invite.groups),
        invite.note.as_deref().into(),
        invite.max_uses.into(),
        invite.created_at.into(),
        invite.expires_at.into(),
    ];
    // Nothing is inserted if the first try has been committed only now.
    if session.execute(sql, &values).await? == 0 && session.query_one(kept, &[id, token_hash]).await?.is_none() {
        return Err(StoreError::Other(session.name.to_owned(), format!("there is another invite {}", invite.id)));
    }
    Ok(Insertion::Kept)
}

/// Whether an inviter has as many invites as they may have.
async fn over_quota(
    session: &mut Session<'_>,
    inviter: &BareJid,
    quota: Quota,
    now: Timestamp,
) -> Result<Option<Insertion>> {
    if let Some(per_day) = quota.per_day {
        let since = now.saturating_sub(DAY).unwrap_or(Timestamp::MIN);
        // The day's oldest, of as many as there may be: when it leaves the day, there is room for one.
        let sql = "SELECT created_at FROM invite WHERE inviter = $1 AND issuer = 'user' AND created_at > $2 \
                   ORDER BY created_at DESC LIMIT $3";
        let rows = session.query(sql, &[inviter.as_str().into(), since.into(), per_day.into()]).await?;
        let made = session.read(rows, |row| row.since(0))?;
        if made.len() >= per_day as usize {
            let again_at = made.last().map_or(now, |oldest| oldest.saturating_add(DAY).unwrap_or(Timestamp::MAX));
            return Ok(Some(Insertion::TooManyToday { again_at }));
        }
    }
    if let Some(pending) = quota.pending {
        // Which index this reads is said by how it is written: none of what has ended.
        let pending_of = "SELECT expires_at FROM invite WHERE issuer = 'user' AND revoked_at IS NULL \
             AND (max_uses IS NULL OR uses < max_uses) AND inviter = $1";
        let sql = format!(
            "SELECT count(*), min(expires_at) FROM ( \
             {pending_of} AND expires_at > $2 UNION ALL {pending_of} AND expires_at IS NULL) AS pending"
        );
        let rows = session.query(&sql, &[inviter.as_str().into(), now.into()]).await?;
        let counted = session.read(rows, |row| Ok((row.count::<u64>(0)?, row.instant(1)?)))?;
        if let Some((_, again_at)) = counted.into_iter().find(|(count, _)| *count >= u64::from(pending)) {
            return Ok(Some(Insertion::TooManyPending { again_at }));
        }
    }
    Ok(None)
}

pub async fn find(session: &mut Session<'_>, token_hash: TokenHash) -> Result<Option<Invite>> {
    let sql = format!("SELECT {INVITE_COLUMNS} FROM invite WHERE token_hash = $1");
    let rows = session.query(&sql, &[Value::Bytes(token_hash.0.into())]).await?;
    Ok(session.read(rows, invite_of)?.pop())
}

pub async fn find_by_id(session: &mut Session<'_>, id: InviteId) -> Result<Option<Invite>> {
    by_id(session, &id).await
}

async fn by_id(session: &mut Session<'_>, id: &InviteId) -> Result<Option<Invite>> {
    let sql = format!("SELECT {INVITE_COLUMNS} FROM invite WHERE id = $1");
    let rows = session.query(&sql, &[id.as_str().into()]).await?;
    Ok(session.read(rows, invite_of)?.pop())
}

pub async fn username_reserved(session: &mut Session<'_>, account: BareJid, now: Timestamp) -> Result<bool> {
    reserving_invite(session, &account, None, now).await
}

/// Does a pending invite, other than `except`, reserve the account's username?
async fn reserving_invite(
    session: &mut Session<'_>,
    account: &BareJid,
    except: Option<&InviteId>,
    now: Timestamp,
) -> Result<bool> {
    let sql = format!(
        "SELECT 1 FROM invite WHERE {PENDING} AND host = $2 AND username = $3 \
         AND type <> 'password-reset' AND id <> $4 LIMIT 1"
    );
    let values = [
        now.into(),
        account.domain().as_str().into(),
        account.node().map(|node| node.as_str()).into(),
        except.map_or("", InviteId::as_str).into(),
    ];
    Ok(session.query_one(&sql, &values).await?.is_some())
}

/// Is an account in the making, or was it made since `now`, when somebody asked whether it exists?
async fn being_registered(session: &mut Session<'_>, account: &BareJid, now: Timestamp) -> Result<bool> {
    let sql = "SELECT 1 FROM account WHERE jid = $1 AND registered_at >= $2";
    Ok(!reserved_for(session, account.clone()).await?.is_empty()
        || session.query_one(sql, &[account.as_str().into(), now.into()]).await?.is_some())
}

pub async fn reserve(session: &mut Session<'_>, wanted: Use) -> Result<Claim> {
    let (invite, account) = (wanted.invite.as_str(), wanted.account.as_str());
    session.lock(account).await?;
    // The account may be in the making elsewhere, by this invite or by another.
    let standing = reservations(session, "redeemed_at IS NULL AND account = $1", &[account.into()], CONTENDED).await?;
    if standing.iter().any(|(reserved, _)| reserved.id == wanted.id) {
        return Ok(Claim::Reserved); // this is run again
    }
    if wanted.purpose == Purpose::Register
        && reserving_invite(session, &wanted.account, Some(&wanted.invite), wanted.reserved_at).await?
    {
        return Ok(Claim::UsernameReserved);
    }
    if !standing.is_empty() {
        return Ok(Claim::Contended(standing));
    }
    let take = "UPDATE invite SET taken = taken + 1 \
         WHERE id = $1 AND revoked_at IS NULL AND (max_uses IS NULL OR taken < max_uses)";
    if session.execute(take, &[invite.into()]).await? == 1 {
        let sql = "INSERT INTO invite_use (id, invite, purpose, account, server, reserved_at) \
             VALUES ($1, $2, $3, $4, $5, $6)";
        let values = [
            wanted.id.as_str().into(),
            invite.into(),
            wanted.purpose.as_str().into(),
            account.into(),
            wanted.server.as_str().into(),
            wanted.reserved_at.into(),
        ];
        session.execute(sql, &values).await?;
        return Ok(Claim::Reserved);
    }
    match by_id(session, &wanted.invite).await? {
        Some(invite) if invite.revoked_at.is_none() => (),
        _ => return Ok(Claim::Gone),
    }
    let standing = reservations(session, "redeemed_at IS NULL AND invite = $1", &[invite.into()], CONTENDED).await?;
    Ok(if standing.is_empty() { Claim::UsedUp } else { Claim::Contended(standing) })
}

pub async fn redeemed_by(session: &mut Session<'_>, id: InviteId, account: BareJid) -> Result<bool> {
    let sql = "SELECT 1 FROM invite_use JOIN invite ON invite.id = invite_use.invite \
         WHERE invite = $1 AND account = $2 AND redeemed_at IS NOT NULL AND revoked_at IS NULL LIMIT 1";
    Ok(session.query_one(sql, &[id.as_str().into(), account.as_str().into()]).await?.is_some())
}

pub async fn redeem(session: &mut Session<'_>, reservation: String, now: Timestamp) -> Result<Option<(Use, bool)>> {
    let Some((used, invite)) =
        reservations(session, "invite_use.id = $1", &[reservation.as_str().into()], 1).await?.pop()
    else {
        return Ok(None);
    };
    let sql = "UPDATE invite_use SET redeemed_at = $1 WHERE id = $2 AND redeemed_at IS NULL";
    if session.execute(sql, &[now.into(), reservation.as_str().into()]).await? == 0 {
        // Somebody else was quicker: redeemed, or given back at this very moment.
        let still = session.query_one("SELECT 1 FROM invite_use WHERE id = $1", &[reservation.as_str().into()]).await?;
        return Ok(still.map(|_| (used, false)));
    }
    // The clock may have been set back since the use before this one.
    let sql = "UPDATE invite SET uses = uses + 1, \
             last_used_at = CASE WHEN last_used_at > $1 THEN last_used_at ELSE $1 END WHERE id = $2";
    session.execute(sql, &[now.into(), used.invite.as_str().into()]).await?;
    if used.purpose == Purpose::Register {
        let sql = "INSERT INTO account (jid, inviter, invite, registered_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (jid) DO UPDATE SET inviter = excluded.inviter, invite = excluded.invite, \
             registered_at = excluded.registered_at";
        let values = [
            used.account.as_str().into(),
            invite.inviter.as_ref().map(|jid| jid.as_str()).into(),
            invite.id.as_str().into(),
            now.into(),
        ];
        session.execute(sql, &values).await?;
    }
    Ok(Some((used, true)))
}

pub async fn release(session: &mut Session<'_>, reservation: String) -> Result<bool> {
    Ok(give_back(session, "id = $1", reservation.as_str().into()).await? > 0)
}

pub async fn release_of_server(session: &mut Session<'_>, server: String) -> Result<u64> {
    give_back(session, "server = $1", server.as_str().into()).await
}

/// Gives back the reserved uses under a condition of our own, and returns how many.
async fn give_back(session: &mut Session<'_>, condition: &str, value: Value) -> Result<u64> {
    let sql = format!("DELETE FROM invite_use WHERE {condition} AND redeemed_at IS NULL RETURNING invite");
    let rows = session.query(&sql, &[value]).await?;
    let invites = session.read(rows, |row| row.text(0))?;
    for invite in &invites {
        session.execute("UPDATE invite SET taken = taken - 1 WHERE id = $1", &[invite.as_str().into()]).await?;
    }
    Ok(invites.len() as u64)
}

pub async fn open_since(session: &mut Session<'_>, instant: Timestamp, limit: u32) -> Result<Vec<(Use, Invite)>> {
    let condition = "redeemed_at IS NULL AND reserved_at <= $1 ORDER BY reserved_at, invite_use.id";
    reservations(session, condition, &[instant.into()], limit).await
}

pub async fn reserved_until(
    session: &mut Session<'_>,
    instant: Timestamp,
    now: Timestamp,
    hooks: Vec<(DomainPart, String)>,
    limit: u32,
) -> Result<Vec<(Use, Invite)>> {
    if hooks.is_empty() {
        return Ok(Vec::new());
    }
    let mut values = vec![instant.into(), now.into()];
    // What was reserved before anybody asked for the server may be looked into by every one of them.
    for (host, server) in &hooks {
        values.extend([host.as_str().into(), server.as_str().into(), host.as_str().into(), "".into()]);
    }
    let pairs: Vec<_> = (3..values.len()).step_by(2).map(|first| format!("(${first}, ${})", first + 1)).collect();
    // The invites of a host take turns, and so do the hosts. What was reserved in the future was reserved before the
    // clock was set back.
    let table = "(SELECT *, row_number() OVER (PARTITION BY invite ORDER BY reserved_at, id) AS turn FROM invite_use \
         WHERE redeemed_at IS NULL AND (reserved_at <= $1 OR reserved_at > $2)) AS invite_use";
    let condition = format!(
        "(host, server) IN (VALUES {}) \
         ORDER BY row_number() OVER (PARTITION BY host ORDER BY turn, reserved_at, invite_use.id), reserved_at",
        pairs.join(", ")
    );
    let uses = uses_from(session, table, &condition, &values, limit).await?;
    Ok(uses.into_iter().map(|(reserved, _)| reserved).collect())
}

pub async fn reserved_for(session: &mut Session<'_>, account: BareJid) -> Result<Vec<(Use, Invite)>> {
    let condition = "redeemed_at IS NULL AND purpose = 'register' AND account = $1";
    reservations(session, condition, &[account.as_str().into()], CONTENDED).await
}

pub async fn used_under(
    session: &mut Session<'_>,
    id: InviteId,
    account: BareJid,
    prefix: String,
) -> Result<Option<((Use, Invite), bool)>> {
    let condition = "invite_use.invite = $1 AND account = $2 ORDER BY reserved_at DESC";
    let uses = uses(session, condition, &[id.as_str().into(), account.as_str().into()], CONTENDED).await?;
    Ok(uses.into_iter().find(|((used, _), _)| used.id.starts_with(&prefix)))
}

/// Reservations with their invites, under a condition of our own.
async fn reservations(
    session: &mut Session<'_>,
    condition: &str,
    values: &[Value],
    limit: u32,
) -> Result<Vec<(Use, Invite)>> {
    Ok(uses(session, condition, values, limit).await?.into_iter().map(|(reserved, _)| reserved).collect())
}

/// Uses with their invites, and whether they are redeemed, under a condition of our own.
async fn uses(
    session: &mut Session<'_>,
    condition: &str,
    values: &[Value],
    limit: u32,
) -> Result<Vec<((Use, Invite), bool)>> {
    uses_from(session, "invite_use", condition, values, limit).await
}

/// As [`uses`], from a table that has the columns of `invite_use`.
async fn uses_from(
    session: &mut Session<'_>,
    table: &str,
    condition: &str,
    values: &[Value],
    limit: u32,
) -> Result<Vec<((Use, Invite), bool)>> {
    // Uses come first: SQLite takes the tables of a CROSS JOIN in this order, and would otherwise read every invite of a host.
    let sql = format!(
        "SELECT {INVITE_COLUMNS}, invite_use.id, purpose, account, server, reserved_at, redeemed_at \
         FROM {table} CROSS JOIN invite WHERE invite.id = invite_use.invite AND {condition} LIMIT {limit}"
    );
    let rows = session.query(&sql, values).await?;
    session.read(rows, |row| {
        let invite = invite_of(row)?;
        let used = Use {
            id: row.text(15)?,
            invite: invite.id.clone(),
            purpose: row.required(16, Purpose::parse)?,
            account: row.required(17, jid_of)?,
            server: row.text(18)?,
            reserved_at: row.since(19)?,
        };
        Ok(((used, invite), row.instant(20)?.is_some()))
    })
}

pub async fn revoke(session: &mut Session<'_>, id: InviteId, now: Timestamp) -> Result<Option<Invite>> {
    let sql = "UPDATE invite SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL";
    session.execute(sql, &[now.into(), id.as_str().into()]).await?;
    by_id(session, &id).await
}

pub async fn revoke_of_inviter(session: &mut Session<'_>, inviter: BareJid, now: Timestamp) -> Result<u64> {
    let sql = format!("UPDATE invite SET revoked_at = $1 WHERE {PENDING} AND inviter = $2");
    session.execute(&sql, &[now.into(), inviter.as_str().into()]).await
}

pub async fn account_deleted(
    session: &mut Session<'_>,
    account: BareJid,
    deleted_at: Timestamp,
    now: Timestamp,
) -> Result<u64> {
    // The "+" keeps SQLite from walking through every invite of the host by age.
    let sql = format!(
        "UPDATE invite SET revoked_at = $1 WHERE {PENDING} AND +created_at <= $2 \
         AND (inviter = $3 OR (type = 'password-reset' AND host = $4 AND username = $5))"
    );
    let values = [
        now.into(),
        deleted_at.into(),
        account.as_str().into(),
        account.domain().as_str().into(),
        account.node().map(|node| node.as_str()).into(),
    ];
    let ended = session.execute(&sql, &values).await?;
    let sql = "DELETE FROM account WHERE jid = $1 AND registered_at <= $2";
    session.execute(sql, &[account.as_str().into(), deleted_at.into()]).await?;
    Ok(ended)
}

pub async fn forget(session: &mut Session<'_>, account: BareJid) -> Result<Forgotten> {
    let jid = || Value::from(account.as_str());
    let (host, username) = (account.domain().as_str(), account.node().map(|node| node.as_str()));
    session.lock(account.as_str()).await?;
    // Whoever is reserving a use of one of these at this moment is counted.
    let named = "(inviter = $1 OR (host = $2 AND username = $3))";
    let names = || [jid(), host.into(), username.into()];
    take_rows(session, named, &names()).await?;
    // Uses whose fate is open still need the names: they are settled first.
    let open = "SELECT count(*) FROM invite_use JOIN invite ON invite.id = invite_use.invite \
         WHERE redeemed_at IS NULL AND (account = $1 OR inviter = $2)";
    let rows = session.query(open, &[jid(), jid()]).await?;
    let open = session.read(rows, |row| row.count::<u64>(0))?.into_iter().sum();
    if open > 0 {
        return Ok(Forgotten { open, ..Forgotten::default() });
    }
    let invites = session.execute(&format!("DELETE FROM invite WHERE taken = uses AND {named}"), &names()).await?;
    let uses =
        session.execute("UPDATE invite_use SET account = $1 WHERE account = $2", &[FORGOTTEN.into(), jid()]).await?;
    let invited = session.execute("UPDATE account SET inviter = NULL WHERE inviter = $1", &[jid()]).await?;
    let known = session.execute("DELETE FROM account WHERE jid = $1", &[jid()]).await?;
    Ok(Forgotten { open, invites, uses, invited, known: known > 0 })
}

pub async fn list(session: &mut Session<'_>, filter: Filter, limit: u32, now: Timestamp) -> Result<Vec<Invite>> {
    if filter.host.is_some() || filter.inviter.is_some() {
        return list_of(session, &filter, limit, now).await;
    }
    // Invites are found in order for each host; of ten million, no more is read than is listed.
    let mut found = Vec::new();
    for host in hosts(session).await? {
        found.extend(list_of(session, &Filter { host: Some(host), ..filter.clone() }, limit, now).await?);
    }
    found.sort_by(|one, other| (other.created_at, &one.id).cmp(&(one.created_at, &other.id)));
    found.truncate(limit as usize);
    Ok(found)
}

/// The hosts to which there are invites: one step in an index for each.
async fn hosts(session: &mut Session<'_>) -> Result<Vec<DomainPart>> {
    let sql = "WITH RECURSIVE hosts (host) AS ( \
             SELECT min(host) FROM invite \
             UNION ALL SELECT (SELECT min(host) FROM invite WHERE host > hosts.host) FROM hosts WHERE host IS NOT NULL) \
         SELECT host FROM hosts WHERE host IS NOT NULL";
    let rows = session.query(sql, &[]).await?;
    session.read(rows, |row| row.required(0, host_of))
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
        // An inviter's invites are found by the inviter, not among all those of the host.
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
    let rows = session.query(&sql, &values).await?;
    session.read(rows, invite_of)
}

pub async fn accounts_of(session: &mut Session<'_>, id: InviteId, limit: u32) -> Result<Vec<(BareJid, Timestamp)>> {
    let sql = "SELECT jid, registered_at FROM account WHERE invite = $1 ORDER BY registered_at DESC, jid LIMIT $2";
    let rows = session.query(sql, &[id.as_str().into(), limit.into()]).await?;
    session.read(rows, |row| Ok((row.required(0, jid_of)?, row.since(1)?)))
}

pub async fn registered_at(session: &mut Session<'_>, account: BareJid) -> Result<Option<Timestamp>> {
    let rows = session.query("SELECT registered_at FROM account WHERE jid = $1", &[account.as_str().into()]).await?;
    Ok(session.read(rows, |row| row.since(0))?.pop())
}

pub async fn purge(session: &mut Session<'_>, ended_before: Timestamp, limit: u32) -> Result<u64> {
    // A use whose fate is open keeps its invite: it may still have to be redeemed or given back.
    // Each part ends by itself: of millions that ended, no more is read than is removed.
    let sql = "DELETE FROM invite WHERE taken = uses AND id IN ( \
             SELECT id FROM (SELECT id FROM invite WHERE expires_at < $1 AND taken = uses LIMIT $2) AS expired \
             UNION SELECT id FROM (SELECT id FROM invite WHERE revoked_at < $1 AND taken = uses LIMIT $2) AS revoked \
             UNION SELECT id FROM (SELECT id FROM invite WHERE last_used_at < $1 AND uses >= max_uses LIMIT $2) AS used \
             LIMIT $2)";
    session.execute(sql, &[ended_before.into(), limit.into()]).await
}

pub async fn is_empty(session: &mut Session<'_>) -> Result<bool> {
    let sql = "SELECT 1 FROM invite UNION ALL SELECT 1 FROM account LIMIT 1";
    Ok(session.query_one(sql, &[]).await?.is_none())
}

pub async fn contents(session: &mut Session<'_>) -> Result<Contents> {
    let sql = "SELECT (SELECT count(*) FROM invite), (SELECT count(*) FROM invite_use), (SELECT count(*) FROM account)";
    let rows = session.query(sql, &[]).await?;
    let read = |row: &Row| Ok(Contents { invites: row.count(0)?, uses: row.count(1)?, accounts: row.count(2)? });
    Ok(session.read(rows, read)?.pop().unwrap_or_default())
}

pub async fn unsafe_settings(session: &mut Session<'_>) -> Result<Vec<String>> {
    if let Engine::Sqlite(_) = session.engine {
        return Ok(Vec::new()); // every connection sets its own
    }
    let sql = "SELECT name FROM pg_settings WHERE name IN ('fsync', 'full_page_writes') AND setting = 'off' \
         ORDER BY name";
    let rows = session.query(sql, &[]).await?;
    session.read(rows, |row| row.text(0))
}

/// Whether the file is whole, and the counters of every invite agree with its uses.
pub async fn verify(session: &mut Session<'_>) -> Result<()> {
    let corrupt = |session: &Session<'_>, problem| Err(StoreError::Corrupt(session.name.to_owned(), problem));
    if let Engine::Sqlite(_) = session.engine {
        let rows = session.query("PRAGMA integrity_check(1)", &[]).await?;
        let problem = session.read(rows, |row| row.text(0))?.into_iter().find(|verdict| verdict != "ok");
        if let Some(problem) = problem {
            return corrupt(session, problem);
        }
    }
    // Only the uses of those that have any are counted, by an index: of ten million invites, few have.
    let sql = "SELECT id FROM invite WHERE taken > max_uses OR (taken <> 0 OR uses <> 0) AND \
             (taken <> (SELECT count(*) FROM invite_use WHERE invite = invite.id) OR \
             uses <> (SELECT count(redeemed_at) FROM invite_use WHERE invite = invite.id)) \
         UNION ALL SELECT invite.id FROM invite_use CROSS JOIN invite WHERE invite.id = invite_use.invite AND taken = 0 \
         LIMIT 1";
    let rows = session.query(sql, &[]).await?;
    match session.read(rows, |row| row.text(0))?.pop() {
        Some(id) => corrupt(session, format!("the uses of invite {id} are not as many as were counted")),
        None => Ok(()),
    }
}

fn invite_of(row: &Row) -> std::result::Result<Invite, Malformed> {
    Ok(Invite {
        id: row.required(0, InviteId::parse)?,
        token_hash: TokenHash(row.bytes(1)?),
        invite_type: row.required(2, InviteType::parse)?,
        host: row.required(3, host_of)?,
        username: row.parsed(4, |text| NodePart::new(text).ok().map(|node| node.into_owned()))?,
        inviter: row.parsed(5, jid_of)?,
        issuer: row.required(6, Issuer::parse)?,
        roles: row.required(7, |text| serde_json::from_str(text).ok())?,
        groups: row.required(8, |text| serde_json::from_str(text).ok())?,
        note: row.parsed(9, |text| Some(text.to_owned()))?,
        max_uses: row.number(10)?,
        uses: row.count(11)?,
        created_at: row.since(12)?,
        expires_at: row.instant(13)?,
        revoked_at: row.instant(14)?,
    })
}

fn host_of(text: &str) -> Option<DomainPart> {
    DomainPart::new(text).ok().map(|host| host.into_owned())
}

fn jid_of(text: &str) -> Option<BareJid> {
    BareJid::new(text).ok()
}

fn json(list: &[String]) -> Value {
    Value::Text(serde_json::Value::from(list).to_string())
}
