//! Accounts that registered with an invite, and what ends with an account.

use jid::BareJid;
use jiff::Timestamp;

use super::event::{FORGOTTEN, forget_in_events, record};
use super::invite::{count_use, end};
use super::row_lock::lock_invites;
use crate::event::{Action, Actor, Event};
use crate::invite::InviteId;
use crate::last_seen::latest;
use crate::store::error::Result;
use crate::store::row::Value;
use crate::store::session::Session;

/// What was erased of a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Open reservations by the person or of their invites. If there are any, nothing was erased.
    pub open: u64,
    /// Invites that the person made, or that named them.
    pub invites: u64,
    /// Uses of other people's invites, which now name nobody.
    pub uses: u64,
    /// Accounts that the person had invited, whose inviter is now unknown.
    pub invited: u64,
    /// Whether it was known who had invited the person.
    pub known: bool,
    /// Events that named the person, and now name nobody.
    pub events: u64,
}

pub async fn accounts_of(
    session: &mut Session<'_>,
    id: InviteId,
    limit: u32,
) -> Result<Vec<(BareJid, Option<Timestamp>)>> {
    let sql = "SELECT jid, registered_at FROM account WHERE invite = $1 \
         ORDER BY registered_at IS NULL, registered_at DESC, jid LIMIT $2";
    session.query(sql, &[id.as_str().into(), limit.into()], |row| Ok((row.text(0)?, row.optional_instant(1)?))).await
}

pub async fn registered_at(session: &mut Session<'_>, account: BareJid) -> Result<Option<Timestamp>> {
    let sql = "SELECT registered_at FROM account WHERE jid = $1";
    Ok(session.query(sql, &[account.as_str().into()], |row| row.optional_instant(0)).await?.pop().flatten())
}

pub async fn account_deleted(
    session: &mut Session<'_>,
    account: BareJid,
    deleted_at: Timestamp,
    now: Timestamp,
    by: Actor,
) -> Result<u64> {
    // Locks rows in the same order as `redeem`.
    end_open(session, &account, deleted_at, now, &by).await?;
    let why = Event { detail: Some("account-deleted".to_owned()), ..Event::new(now, by, Action::Stopped) };
    let ended = end_older(session, &account, true, deleted_at, why).await?;
    for sql in [
        "DELETE FROM account WHERE jid = $1 AND (registered_at IS NULL OR registered_at <= $2)",
        // The operator need not give the account anything any more.
        "UPDATE invite_use SET failed = NULL WHERE failed IS NOT NULL AND account = $1 AND redeemed_at <= $2",
        "DELETE FROM notice WHERE invite IN (SELECT id FROM invite WHERE inviter = $1 AND created_at <= $2)",
    ] {
        session.execute(sql, &[account.as_str().into(), deleted_at.into()]).await?;
    }
    Ok(ended)
}

pub async fn password_changed(
    session: &mut Session<'_>,
    account: BareJid,
    changed_at: Timestamp,
    now: Timestamp,
    by: Actor,
) -> Result<u64> {
    let why = Event { detail: Some("password-changed".to_owned()), ..Event::new(now, by, Action::Stopped) };
    end_older(session, &account, false, changed_at, why).await
}

/// Redeems the open uses of a deleted account that were reserved up to and in the second of its
/// deletion. A later account of the same name has nothing to do with them.
async fn end_open(
    session: &mut Session<'_>,
    account: &BareJid,
    deleted_at: Timestamp,
    now: Timestamp,
    by: &Actor,
) -> Result<()> {
    let sql = "UPDATE invite_use SET redeemed_at = $1 \
         WHERE redeemed_at IS NULL AND account = $2 AND reserved_at <= $3 RETURNING invite";
    let values = [now.into(), account.as_str().into(), deleted_at.into()];
    for invite in session.query(sql, &values, |row| row.parsed(0, InviteId::parse)).await? {
        count_use(session, &invite, now)?;
        let redeemed = Event::new(now, by.clone(), Action::Redeemed);
        let (invite, account) = (Some(invite), Some(account.clone()));
        let detail = Some("account-deleted".to_owned());
        record(session, &[Event { invite, account, detail, ..redeemed }])?;
    }
    Ok(())
}

/// Revokes the password resets for an account that were made up to and in the second of an instant;
/// with `all`, its invites too. Records the event `why` for each, and returns how many there were.
/// Invites that are dated far in the future are revoked as well, since a clock was wrong when they
/// were made. So are expired ones, which could still be given more time.
pub async fn end_older(
    session: &mut Session<'_>,
    account: &BareJid,
    all: bool,
    instant: Timestamp,
    why: Event,
) -> Result<u64> {
    // The "+" keeps SQLite from reading all invites of the host by an index of their age.
    let condition = "revoked_at IS NULL AND (max_uses IS NULL OR uses < max_uses) \
         AND (+created_at <= $2 OR +created_at > $3) \
         AND (inviter = $4 OR (type = 'password-reset' AND host = $5 AND username = $6))";
    let values = [
        why.at.into(),
        instant.into(),
        latest(why.at).into(),
        all.then_some(account.as_str()).into(),
        account.domain().as_str().into(),
        account.node().map(|node| node.as_str()).into(),
    ];
    let ended = end(session, condition, &values).await?.into_iter().map(|invite| Event {
        host: Some(invite.host),
        invite: Some(invite.id),
        account: Some(account.clone()),
        ..why.clone()
    });
    let ended: Vec<_> = ended.collect();
    record(session, &ended)?;
    Ok(ended.len() as u64)
}

pub async fn forget(session: &mut Session<'_>, account: BareJid, now: Timestamp, by: Actor) -> Result<Forgotten> {
    let jid = || Value::from(account.as_str());
    let (host, username) = (account.domain().as_str(), account.node().map(|node| node.as_str()));
    session.lock(account.as_str())?;
    // A use that is being reserved at this moment has to be counted.
    let named = "(inviter = $1 OR (host = $2 AND username = $3))";
    let names = || [jid(), host.into(), username.into()];
    lock_invites(session, named, &names()).await?;
    // An open use still needs the names. It has to be settled first.
    let open = "SELECT count(*) FROM invite_use JOIN invite ON invite.id = invite_use.invite \
         WHERE redeemed_at IS NULL AND (account = $1 OR inviter = $2)";
    let open = session.count(open, &[jid(), jid()]).await?;
    if open > 0 {
        return Ok(Forgotten { open, ..Forgotten::default() });
    }
    let invites = session.execute(&format!("DELETE FROM invite WHERE taken = uses AND {named}"), &names()).await?;
    // Inviters are no longer told what the person has used.
    let notices = "DELETE FROM notice WHERE invite_use IN (SELECT id FROM invite_use WHERE account = $1)";
    session.execute(notices, &[jid()]).await?;
    let uses = session
        .execute("UPDATE invite_use SET account = $1, failed = NULL WHERE account = $2", &[FORGOTTEN.into(), jid()])
        .await?;
    let invited = session.execute("UPDATE account SET inviter = NULL WHERE inviter = $1", &[jid()]).await?;
    let known = session.execute("DELETE FROM account WHERE jid = $1", &[jid()]).await?;
    let events = forget_in_events(session, &account).await?;
    let forgotten = Forgotten { open, invites, uses, invited, known: known > 0, events };
    if forgotten != Forgotten::default() {
        record(session, &[Event::new(now, by, Action::Forgotten)])?;
    }
    Ok(forgotten)
}
