//! Notices: the uses that inviters are still to be told of. The transaction that redeems a use also
//! writes its notice.

use std::collections::BTreeMap;

use jid::DomainPart;
use jiff::{SignedDuration, Timestamp};

use super::invite_use::uses;
use crate::invite::{Invite, InviteId, Use};
use crate::store::error::Result;
use crate::store::row::among;
use crate::store::session::Session;

/// The pause between two messages about the same invite.
const PAUSE: SignedDuration = SignedDuration::from_hours(1);

/// How many uses a message names one by one.
const MOST_NAMED: usize = 10;

/// One message to the inviter of an invite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The message's name, which is the name of one of these uses. When the message is sent again,
    /// it has the same name and the same uses.
    pub message: String,
    /// The invite, as it is now.
    pub invite: Invite,
    /// How many uses it tells of.
    pub count: u32,
    /// The uses, in the order in which they were redeemed. If there are more than ten, only one.
    pub uses: Vec<Use>,
}

/// How far a daemon's clock may be ahead of another's. Instants up to this far ahead are believed.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_secs(60);

/// A notice that no daemon has leased at $2, and that is part of a message already or can be part
/// of a new one: each invite has one message at a time. A lease beyond $3 does not count, since no
/// daemon leases for so long: a clock was set back.
const FREE: &str = "(leased_until IS NULL OR leased_until <= $2 OR leased_until > $3) \
     AND (message IS NOT NULL OR NOT EXISTS (SELECT 1 FROM notice AS sent \
         WHERE sent.invite = notice.invite AND sent.message IS NOT NULL))";

pub async fn claim_notices(
    session: &mut Session<'_>,
    hosts: Vec<DomainPart>,
    now: Timestamp,
    until: Timestamp,
    limit: u32,
) -> Result<Vec<Notice>> {
    if hosts.is_empty() {
        return Ok(Vec::new());
    }
    // Otherwise two daemons could make two messages with the same name.
    session.lock("notices")?;
    let paused = now.saturating_sub(PAUSE).unwrap_or(Timestamp::MIN);
    let furthest = until.saturating_add(CLOCKS_DIFFER).unwrap_or(Timestamp::MAX);
    let latest = now.saturating_add(CLOCKS_DIFFER).unwrap_or(Timestamp::MAX);
    let mut values = vec![until.into(), now.into(), furthest.into(), paused.into(), latest.into()];
    let hosts = among(&mut values, hosts.iter().map(|host| host.as_str().into()));
    let sql = format!(
        "UPDATE notice SET leased_until = $1, message = COALESCE(message, \
             (SELECT min(own.invite_use) FROM notice AS own WHERE own.invite = notice.invite)) \
         WHERE {FREE} AND invite IN (SELECT notice.invite FROM notice JOIN invite ON invite.id = notice.invite \
             WHERE {FREE} AND (message IS NOT NULL OR told_at IS NULL OR told_at <= $4 OR told_at > $5) \
             AND host IN ({hosts}) GROUP BY notice.invite ORDER BY min(COALESCE(leased_until, 0)) LIMIT {limit}) \
         RETURNING message, invite_use"
    );
    let mut messages: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (message, used) in session.query(&sql, &values, |row| Ok((row.text(0)?, row.text(1)?))).await? {
        messages.entry(message).or_default().push(used);
    }
    let named = |told: &Vec<String>| if told.len() > MOST_NAMED { 1 } else { told.len() };
    if messages.is_empty() {
        return Ok(Vec::new());
    }
    let mut ids = Vec::new();
    let told = messages.values().flat_map(|told| told.iter().take(named(told)));
    let these = among(&mut ids, told.map(|id| id.as_str().into()));
    let condition = format!("invite_use.id IN ({these}) ORDER BY redeemed_at, account");
    let mut found = uses(session, "invite_use", &condition, &ids, u32::MAX).await?;
    let notices = messages.into_iter().filter_map(|(message, told)| {
        let own: Vec<_> = found.extract_if(.., |((used, _), _)| told.contains(&used.id)).collect();
        let invite = own.first().map(|((_, invite), _)| invite.clone())?;
        let count = u32::try_from(told.len()).unwrap_or(u32::MAX);
        Some(Notice { message, invite, count, uses: own.into_iter().map(|((used, _), _)| used).collect() })
    });
    Ok(notices.collect())
}

pub async fn end_notice(
    session: &mut Session<'_>,
    invite: InviteId,
    message: String,
    told_at: Option<Timestamp>,
) -> Result<()> {
    if let Some(instant) = told_at {
        let sql = "UPDATE invite SET told_at = $1 WHERE id = $2 AND (max_uses IS NULL OR max_uses > 1)";
        session.later(sql.to_owned(), vec![instant.into(), invite.as_str().into()])?;
    }
    let sql = "DELETE FROM notice WHERE invite = $1 AND message = $2";
    session.later(sql.to_owned(), vec![invite.as_str().into(), message.as_str().into()])
}

pub async fn drop_notices(session: &mut Session<'_>, hosts: Vec<DomainPart>) -> Result<u64> {
    let mut values = Vec::new();
    let hosts = among(&mut values, hosts.iter().map(|host| host.as_str().into()));
    let sql =
        format!("DELETE FROM notice WHERE (SELECT host FROM invite WHERE invite.id = notice.invite) IN ({hosts})");
    session.execute(&sql, &values).await
}

pub async fn notices(session: &mut Session<'_>) -> Result<u64> {
    session.count("SELECT count(*) FROM notice", &[]).await
}
