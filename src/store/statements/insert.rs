//! Stores a new invite, if its inviter may have one more and no other invite reserves its username.

use jid::BareJid;
use jiff::{SignedDuration, Timestamp};

use super::event::written;
use super::invite::{PENDING, UNENDED, reserving_invite};
use super::invite_use::reserved_for;
use super::withdrawal::withdraw;
use crate::event::{Actor, Event};
use crate::invite::Invite;
use crate::last_seen::latest;
use crate::refusal::Refusal;
use crate::store::error::{Problem, Result};
use crate::store::row::{Row, Value, tuples};
use crate::store::session::Session;

/// How many invites an inviter may have; `None`: without limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Made within 24 hours.
    pub per_day: Option<u32>,
    /// Pending at a time.
    pub pending: Option<u32>,
}

/// With a quota up to this, the invites of an inviter are made one after the other. PostgreSQL
/// allows some hundred transactions at a time, and a quota must have room for all of them to do
/// without.
const SMALL: u32 = 1000;

/// The time over which a quota counts.
const DAY: SignedDuration = SignedDuration::from_hours(24);

pub async fn insert(
    session: &mut Session<'_>,
    invite: Invite,
    quota: Quota,
    now: Timestamp,
    by: Actor,
) -> Result<Result<(), Refusal>> {
    lock_username(session, &invite)?;
    let quota = if is_far_from(session, &invite, quota, now).await? { Quota::default() } else { quota };
    lock_quota(session, &invite, quota)?;
    if let Some(refusal) = make_room(session, &invite, quota, now).await? {
        return Ok(Err(refusal));
    }
    let (sql, values) = added(&[(&invite, None)]);
    session.later(sql, values)?;
    let (sql, values) = written(&[Event::made(&invite, &by)])?;
    session.later(sql, values)?;
    Ok(Ok(()))
}

/// The statement that adds invites, each with the time of its last use, and its values.
pub fn added(invites: &[(&Invite, Option<Timestamp>)]) -> (String, Vec<Value>) {
    let values: Vec<_> = invites.iter().flat_map(|(invite, last_used_at)| values_of(invite, *last_used_at)).collect();
    (format!("INSERT INTO invite ({COLUMNS}) VALUES {}", tuples(WIDTH, values.len())), values)
}

const WIDTH: usize = 24;
const COLUMNS: &str = "id, token_hash, type, host, username, inviter, issuer, roles, groups, note, max_uses, taken, \
     uses, created_at, expires_at, revoked_at, last_used_at, owners_since, links, regenerated_at, language, \
     inviter_name, imported_from, token_length";

fn values_of(invite: &Invite, last_used_at: Option<Timestamp>) -> [Value; WIDTH] {
    [
        invite.id.as_str().into(),
        invite.token_hash.into(),
        invite.invite_type.as_ref().into(),
        invite.host.as_str().into(),
        invite.username.as_ref().map(|node| node.as_str()).into(),
        invite.inviter.as_ref().map(|jid| jid.as_str()).into(),
        invite.issuer.as_ref().into(),
        invite.roles.as_slice().into(),
        invite.groups.as_slice().into(),
        invite.note.as_deref().into(),
        invite.max_uses.into(),
        invite.uses.into(),
        invite.uses.into(),
        invite.created_at.into(),
        invite.expires_at.into(),
        invite.revoked_at.into(),
        last_used_at.into(),
        invite.owners_since.into(),
        invite.links.into(),
        invite.regenerated_at.into(),
        invite.language.as_deref().into(),
        invite.inviter_name.as_deref().into(),
        invite.imported_from.as_ref().map(AsRef::as_ref).into(),
        invite.token_length.into(),
    ]
}

/// The inviter for whom a quota counts.
fn limited(invite: &Invite, quota: Quota) -> Option<&BareJid> {
    invite.inviter.as_ref().filter(|_| quota != Quota::default())
}

/// Lets nobody else reserve the username of an invite, or fill the quota of its inviter, until the
/// transaction ends. A transaction locks names before it locks rows.
pub fn lock_names(session: &mut Session<'_>, invite: &Invite, quota: Quota) -> Result<()> {
    lock_username(session, invite)?;
    lock_quota(session, invite, quota)
}

fn lock_username(session: &mut Session<'_>, invite: &Invite) -> Result<()> {
    invite.reserves().map_or(Ok(()), |account| session.lock(account.as_str()))
}

fn lock_quota(session: &mut Session<'_>, invite: &Invite, quota: Quota) -> Result<()> {
    limited(invite, quota).map_or(Ok(()), |inviter| session.lock(&quota_of(inviter)))
}

/// The name of the lock on the quota of an inviter.
fn quota_of(inviter: &BareJid) -> String {
    format!("invites of {inviter}")
}

/// Whether the quota of an inviter has so much room that other transactions may make invites for it
/// at the same time, with a shared lock. A transaction that counts does not see the invites of
/// those that are still open. There are fewer of these than the server allows transactions. If it
/// finds less room than that, it gives up the shared lock. The caller then locks the name alone,
/// which waits for all that share the lock, and counts again.
async fn is_far_from(session: &mut Session<'_>, invite: &Invite, quota: Quota, now: Timestamp) -> Result<bool> {
    let is_small = [quota.per_day, quota.pending].into_iter().flatten().any(|most| most <= SMALL);
    let Some(inviter) = limited(invite, quota).filter(|_| !is_small) else { return Ok(false) };
    session.lock_shared(&quota_of(inviter))?;
    let made = made_by(session, inviter, quota, now).await?;
    let is_far = made.room_in(quota, now).is_ok_and(|room| room >= made.open_at_once);
    session.keep_shared(is_far)?;
    Ok(is_far)
}

/// As [`no_room`], but links that nobody was given do not count: before an invite is refused, they
/// are withdrawn. That locks the rows of their invites, so no row may be locked before.
pub async fn make_room(
    session: &mut Session<'_>,
    invite: &Invite,
    quota: Quota,
    now: Timestamp,
) -> Result<Option<Refusal>> {
    if no_room(session, invite, quota, now).await?.is_none() {
        return Ok(None);
    }
    withdraw(session, None, now, Actor::Daemon).await?;
    // Counts again even if nothing was withdrawn here: another daemon may have withdrawn it.
    no_room(session, invite, quota, now).await
}

/// Why an invite that is not pending cannot become pending, if so.
pub async fn no_room(
    session: &mut Session<'_>,
    invite: &Invite,
    quota: Quota,
    now: Timestamp,
) -> Result<Option<Refusal>> {
    if let Some(account) = invite.reserves() {
        if reserving_invite(session, &account, Some(&invite.id), now).await? {
            return Ok(Some(Refusal::UsernameReserved));
        }
        if being_registered(session, &account, now).await? {
            return Ok(Some(Refusal::InProgress));
        }
    }
    match limited(invite, quota) {
        Some(inviter) => over_quota(session, inviter, quota, now).await,
        None => Ok(None),
    }
}

/// Why an inviter may not have one more invite, if so.
async fn over_quota(
    session: &mut Session<'_>,
    inviter: &BareJid,
    quota: Quota,
    now: Timestamp,
) -> Result<Option<Refusal>> {
    Ok(made_by(session, inviter, quota, now).await?.room_in(quota, now).err())
}

/// The invites of an inviter that count in a quota; none, where it has no limit.
struct Made {
    /// Within a day, up to the limit.
    of_day: u64,
    /// When the first of these was made.
    oldest: Option<Timestamp>,
    pending: u64,
    /// When the first of these expires.
    first_end: Option<Timestamp>,
    /// How many transactions can be open at a time.
    open_at_once: u64,
}

impl Made {
    /// How many more there may be, or why not one.
    fn room_in(&self, quota: Quota, now: Timestamp) -> Result<u64, Refusal> {
        let left = |most: Option<u32>, made| most.map_or(u64::MAX, |most| u64::from(most).saturating_sub(made));
        match (quota, left(quota.per_day, self.of_day), left(quota.pending, self.pending)) {
            (Quota { per_day: Some(most), .. }, 0, _) => {
                // When the oldest is a day old, there is room for one.
                let again_at = self.oldest.map_or(now, |oldest| oldest.saturating_add(DAY).unwrap_or(Timestamp::MAX));
                Err(Refusal::TooManyToday { most, again_at })
            }
            (Quota { pending: Some(most), .. }, _, 0) => {
                Err(Refusal::TooManyPending { most, again_at: self.first_end })
            }
            (_, of_day, pending) => Ok(of_day.min(pending)),
        }
    }
}

async fn made_by(session: &mut Session<'_>, inviter: &BareJid, quota: Quota, now: Timestamp) -> Result<Made> {
    // The condition has the words of the index `pending_by_inviter`, so that this index is used. It
    // leaves out invites that have ended.
    let pending = format!("SELECT expires_at FROM invite WHERE {UNENDED} AND inviter = $1 AND issuer = 'user'");
    let sql = format!(
        "SELECT of_day, oldest, pending, first_end, {} \
         FROM (SELECT count(*) AS of_day, min(created_at) AS oldest FROM ( \
             SELECT created_at FROM invite WHERE inviter = $1 AND issuer = 'user' AND created_at > $2 \
             AND created_at <= $3 ORDER BY created_at DESC LIMIT $4) AS newest) AS day \
         CROSS JOIN (SELECT count(*) AS pending, min(expires_at) AS first_end FROM ( \
             {pending} AND expires_at > $5 UNION ALL {pending} AND expires_at IS NULL LIMIT $6) AS unended) AS now",
        session.open_at_once()
    );
    let values = [
        inviter.as_str().into(),
        now.saturating_sub(DAY).unwrap_or(Timestamp::MIN).into(),
        latest(now).into(),
        quota.per_day.unwrap_or(0).into(),
        now.into(),
        quota.pending.map_or(0, |_| i64::MAX).into(),
    ];
    let read = |row: &Row| {
        Ok(Made {
            of_day: row.integer(0)?,
            oldest: row.optional_instant(1)?,
            pending: row.integer(2)?,
            first_end: row.optional_instant(3)?,
            open_at_once: row.integer(4)?,
        })
    };
    let counted = session.query(&sql, &values, read).await?.pop();
    counted.ok_or_else(|| Problem::Other("the database counts nothing".to_owned()))
}

pub async fn is_within(session: &mut Session<'_>, invite: Invite, quota: Quota, now: Timestamp) -> Result<bool> {
    let since = invite.created_at.saturating_sub(DAY).unwrap_or(Timestamp::MIN);
    let sql = format!(
        "SELECT count(CASE WHEN {PENDING} THEN 1 END), count(CASE WHEN created_at > $2 THEN 1 END) FROM invite \
         WHERE inviter = $3 AND issuer <> 'operator' AND (created_at, id) < ($4, $5)"
    );
    let inviter = invite.inviter.as_ref().map(|jid| jid.as_str()).into();
    let values = [now.into(), since.into(), inviter, invite.created_at.into(), invite.id.as_str().into()];
    let counted = session.query(&sql, &values, |row| Ok((row.integer::<u64>(0)?, row.integer::<u64>(1)?))).await?;
    let has_room = |most: Option<u32>, count: u64| most.is_none_or(|most| count < u64::from(most));
    Ok(counted.into_iter().all(|(pending, of_day)| has_room(quota.pending, pending) && has_room(quota.per_day, of_day)))
}

/// Whether an account is being registered, or was registered at or after `now`: the caller had
/// asked the chat server by then whether the account exists.
async fn being_registered(session: &mut Session<'_>, account: &BareJid, now: Timestamp) -> Result<bool> {
    let sql = "SELECT 1 FROM account WHERE jid = $1 AND registered_at >= $2";
    Ok(session.exists(sql, &[account.as_str().into(), now.into()]).await?
        || !reserved_for(session, account.clone()).await?.is_empty())
}
