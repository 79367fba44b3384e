//! Uses of invites: reserved, redeemed, released.

use jid::{BareJid, DomainPart};
use jiff::Timestamp;
use serde::Serialize;

use super::account::end_older;
use super::event::record;
use super::invite::{INVITE_COLUMNS, count_use, find_by_id, invite_of, reserving, reserving_invite};
use crate::event::{Action, Actor, Event};
use crate::invite::{Invite, InviteId, Purpose, Use};
use crate::policy;
use crate::refusal::Refusal;
use crate::store::error::{Problem, Result};
use crate::store::row::{Row, Value};
use crate::store::session::Session;

/// The outcome of reserving a use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is reserved.
    Reserved,
    /// It cannot be: the invite is revoked or no longer there, or has a newer link, every use is
    /// redeemed, or another pending invite reserves the username.
    Refused(Refusal),
    /// These open reservations are in the way. The caller may settle them and try again.
    Contended(Vec<(Use, Invite)>),
}

/// A use whose account did not get all that the invite grants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shortfall {
    /// Who used the invite.
    pub account: BareJid,
    /// The invite.
    pub invite: InviteId,
    /// When the use was redeemed.
    pub redeemed_at: Timestamp,
    /// What could not be given, with the reasons, in the words of the hook.
    pub failed: Vec<String>,
}

impl std::fmt::Display for Shortfall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Shortfall { account, redeemed_at, failed, .. } = self;
        write!(f, "{account} at {redeemed_at}: {}", failed.join("; "))
    }
}

/// How many open reservations a contended claim names at most.
const CONTENDED: u32 = 16;

pub async fn reserve(session: &mut Session<'_>, wanted: Use, links: u32) -> Result<Claim> {
    let (invite, account) = (wanted.invite.as_str(), wanted.account.as_str());
    session.lock(account)?;
    // The account may be being registered elsewhere, with this invite or another.
    let standing = reservations(session, "redeemed_at IS NULL AND account = $1", &[account.into()], CONTENDED).await?;
    if standing.iter().any(|(reserved, _)| (&reserved.id, &reserved.invite) == (&wanted.id, &wanted.invite)) {
        return Ok(Claim::Reserved); // by an earlier run of this work
    }
    if standing.is_empty() && take(session, &wanted, links).await? {
        let sql = "INSERT INTO invite_use (id, invite, purpose, account, server, reserved_at) \
             VALUES ($1, $2, $3, $4, $5, $6)";
        let values = vec![
            wanted.id.as_str().into(),
            invite.into(),
            wanted.purpose.as_ref().into(),
            account.into(),
            wanted.server.as_str().into(),
            wanted.reserved_at.into(),
        ];
        session.later(sql.to_owned(), values)?;
        return Ok(Claim::Reserved);
    }
    if wanted.purpose == Purpose::Register
        && reserving_invite(session, &wanted.account, Some(&wanted.invite), wanted.reserved_at).await?
    {
        return Ok(Claim::Refused(Refusal::UsernameReserved));
    }
    if !standing.is_empty() {
        return Ok(Claim::Contended(standing));
    }
    match find_by_id(session, wanted.invite.clone()).await? {
        Some(invite) if invite.revoked_at.is_none() && invite.links == links => (),
        Some(invite) if invite.revoked_at.is_none() => return Ok(Claim::Refused(Refusal::Replaced)),
        _ => return Ok(Claim::Refused(Refusal::Revoked)),
    }
    let standing = reservations(session, "redeemed_at IS NULL AND invite = $1", &[invite.into()], CONTENDED).await?;
    Ok(if standing.is_empty() { Claim::Refused(Refusal::UsedUp) } else { Claim::Contended(standing) })
}

/// Takes a use of an invite, if one is left. For a new account, also no other invite may reserve
/// its username.
async fn take(session: &mut Session<'_>, wanted: &Use, links: u32) -> Result<bool> {
    let (free, mut values) = match wanted.purpose {
        Purpose::Register => {
            let (sql, values) = reserving(&wanted.account, Some(&wanted.invite), wanted.reserved_at);
            (format!("NOT EXISTS ({sql})"), values)
        }
        _ => ("TRUE".to_owned(), Vec::new()),
    };
    let (id, newest) = (values.len() + 1, values.len() + 2);
    values.extend([wanted.invite.as_str().into(), links.into()]);
    let sql = format!(
        "UPDATE invite SET taken = taken + 1 WHERE {free} AND id = ${id} AND links = ${newest} \
         AND revoked_at IS NULL AND (max_uses IS NULL OR taken < max_uses)"
    );
    Ok(session.execute(&sql, &values).await? == 1)
}

pub async fn redeemed_by(session: &mut Session<'_>, id: InviteId, account: BareJid) -> Result<bool> {
    let sql = "SELECT 1 FROM invite_use JOIN invite ON invite.id = invite_use.invite \
         WHERE invite = $1 AND account = $2 AND redeemed_at IS NOT NULL AND revoked_at IS NULL LIMIT 1";
    session.exists(sql, &[id.as_str().into(), account.as_str().into()]).await
}

/// The host of a use. The hook of another host must not redeem or release it.
const HOST: &str = "(SELECT host FROM invite WHERE invite.id = invite_use.invite)";

pub async fn redeem(
    session: &mut Session<'_>,
    host: DomainPart,
    reservation: String,
    failed: Vec<String>,
    notify: bool,
    now: Timestamp,
) -> Result<Option<(Use, bool)>> {
    let own = [reservation.as_str().into(), host.as_str().into()];
    let found = async |session: &mut Session<'_>| {
        Ok::<_, Problem>(uses(session, "invite_use", "invite_use.id = $1 AND host = $2", &own, 1).await?.pop())
    };
    let ((used, invite), redeemed) = match found(session).await? {
        Some(found) => found,
        None => return Ok(None),
    };
    if redeemed {
        return Ok(Some((used, false)));
    }
    let failed = Some(failed.as_slice()).filter(|failed| !failed.is_empty()).into();
    let sql = "UPDATE invite_use SET redeemed_at = $1, failed = $2 WHERE id = $3 AND redeemed_at IS NULL";
    if session.execute(sql, &[now.into(), failed, used.id.as_str().into()]).await? == 0 {
        // Somebody else has just redeemed or released it.
        return Ok(found(session).await?.map(|((used, _), _)| (used, false)));
    }
    count_use(session, &used.invite, now)?;
    let by = Actor::User(used.account.clone());
    let event = Event::of(&invite, now, by.clone(), Action::Redeemed);
    let (account, detail) = (Some(used.account.clone()), Some(used.purpose.to_string()));
    record(session, &[Event { account, detail, ..event }])?;
    if notify && policy::told_of(&used, &invite).is_some() {
        let sql = "INSERT INTO notice (invite_use, invite) VALUES ($1, $2)";
        session.later(sql.to_owned(), vec![used.id.as_str().into(), invite.id.as_str().into()])?;
    }
    // Only now is it certain that the name has a new owner, or that the password is a new one.
    if used.purpose != Purpose::Contact {
        let why = Event { detail: Some("replaced".to_owned()), ..Event::new(now, by, Action::Stopped) };
        end_older(session, &used.account, used.purpose == Purpose::Register, used.reserved_at, why).await?;
    }
    if used.purpose == Purpose::Register {
        let sql = "INSERT INTO account (jid, inviter, invite, registered_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (jid) DO UPDATE SET inviter = excluded.inviter, invite = excluded.invite, \
             registered_at = excluded.registered_at";
        let values = vec![
            used.account.as_str().into(),
            invite.inviter.as_ref().map(|jid| jid.as_str()).into(),
            invite.id.as_str().into(),
            now.into(),
        ];
        session.later(sql.to_owned(), values)?;
    }
    Ok(Some((used, true)))
}

pub async fn release(session: &mut Session<'_>, host: DomainPart, reservation: String) -> Result<bool> {
    let condition = format!("id = $1 AND {HOST} = $2");
    Ok(!release_where(session, &condition, &[reservation.as_str().into(), host.as_str().into()]).await?.is_empty())
}

pub async fn release_of_server(session: &mut Session<'_>, server: String, now: Timestamp, by: Actor) -> Result<u64> {
    let released_uses = release_where(session, "server = $1", &[server.as_str().into()]).await?;
    let released = released_uses.into_iter().map(|(invite, account)| Event {
        invite: Some(invite),
        account: Some(account),
        ..Event::new(now, by.clone(), Action::Released)
    });
    let released: Vec<_> = released.collect();
    record(session, &released)?;
    Ok(released.len() as u64)
}

/// Releases the reserved uses that meet a condition. Returns the invite and the account of each.
async fn release_where(
    session: &mut Session<'_>,
    condition: &str,
    values: &[Value],
) -> Result<Vec<(InviteId, BareJid)>> {
    let sql = format!("DELETE FROM invite_use WHERE {condition} AND redeemed_at IS NULL RETURNING invite, account");
    let released_uses = session.query(&sql, values, |row| Ok((row.parsed(0, InviteId::parse)?, row.text(1)?))).await?;
    for (invite, _) in &released_uses {
        let sql = "UPDATE invite SET taken = taken - 1 WHERE id = $1";
        session.later(sql.to_owned(), vec![invite.as_str().into()])?;
    }
    Ok(released_uses)
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
    // A reservation without a server is open to every hook of its host.
    for (host, server) in &hooks {
        values.extend([host.as_str().into(), server.as_str().into(), host.as_str().into(), "".into()]);
    }
    let pairs: Vec<_> = (3..values.len()).step_by(2).map(|first| format!("(${first}, ${})", first + 1)).collect();
    // The invites of a host take turns, and so do the hosts. A reservation that is dated in the
    // future was made before the clock was set back.
    let table = "(SELECT *, row_number() OVER (PARTITION BY invite ORDER BY reserved_at, id) AS turn FROM invite_use \
         WHERE redeemed_at IS NULL AND (reserved_at <= $1 OR reserved_at > $2)) AS invite_use";
    let condition = format!(
        "(host, server) IN (VALUES {}) \
         ORDER BY row_number() OVER (PARTITION BY host ORDER BY turn, reserved_at, invite_use.id), reserved_at",
        pairs.join(", ")
    );
    let uses = uses(session, table, &condition, &values, limit).await?;
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
    let uses =
        uses(session, "invite_use", condition, &[id.as_str().into(), account.as_str().into()], CONTENDED).await?;
    Ok(uses.into_iter().find(|((used, _), _)| used.id.starts_with(&prefix)))
}

pub async fn shortfalls_of(session: &mut Session<'_>, id: InviteId, limit: u32) -> Result<Vec<Shortfall>> {
    shortfalls(session, "invite = $1", id.as_str().into(), limit).await
}

pub async fn shortfalls_since(session: &mut Session<'_>, instant: Timestamp, limit: u32) -> Result<Vec<Shortfall>> {
    shortfalls(session, "redeemed_at >= $1", instant.into(), limit).await
}

async fn shortfalls(session: &mut Session<'_>, condition: &str, value: Value, limit: u32) -> Result<Vec<Shortfall>> {
    let sql = format!(
        "SELECT account, invite, redeemed_at, failed FROM invite_use \
         WHERE failed IS NOT NULL AND {condition} ORDER BY redeemed_at DESC, id LIMIT {limit}"
    );
    let read = |row: &Row| {
        Ok(Shortfall {
            account: row.text(0)?,
            invite: row.parsed(1, InviteId::parse)?,
            redeemed_at: row.instant(2)?,
            failed: row.parsed(3, |text| serde_json::from_str(text).ok())?,
        })
    };
    session.query(&sql, &[value], read).await
}

/// The uses that meet a condition, with their invites.
async fn reservations(
    session: &mut Session<'_>,
    condition: &str,
    values: &[Value],
    limit: u32,
) -> Result<Vec<(Use, Invite)>> {
    Ok(uses(session, "invite_use", condition, values, limit).await?.into_iter().map(|(reserved, _)| reserved).collect())
}

/// The uses that meet a condition, with their invites, and whether they are redeemed. `table` has
/// the columns of `invite_use`.
pub async fn uses(
    session: &mut Session<'_>,
    table: &str,
    condition: &str,
    values: &[Value],
    limit: u32,
) -> Result<Vec<((Use, Invite), bool)>> {
    // Uses come first: SQLite reads the tables of a CROSS JOIN in this order. Otherwise it would
    // read every invite of a host.
    let sql = format!(
        "SELECT {INVITE_COLUMNS}, invite_use.id, purpose, account, server, reserved_at, redeemed_at \
         FROM {table} CROSS JOIN invite WHERE invite.id = invite_use.invite AND {condition} LIMIT {limit}"
    );
    let read = |row: &Row| {
        let invite = invite_of(row)?;
        let used = Use {
            id: row.text(22)?,
            invite: invite.id.clone(),
            purpose: row.text(23)?,
            account: row.text(24)?,
            server: row.text(25)?,
            reserved_at: row.instant(26)?,
        };
        Ok(((used, invite), row.optional_instant(27)?.is_some()))
    };
    session.query(&sql, values, read).await
}
