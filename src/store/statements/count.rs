//! Counting for the metrics. It reads only a part at a time, since everybody who looks up an invite
//! waits for it.

use jid::DomainPart;
use jiff::Timestamp;

use super::invite::PENDING;
use crate::store::error::Result;
use crate::store::session::Session;

/// A place among the invites of a host in the order of their age: when the invite was made, in
/// seconds since 1970, and its id.
pub type Cursor = (i64, String);

pub async fn pending_part(
    session: &mut Session<'_>,
    host: DomainPart,
    after: Option<Cursor>,
    size: u32,
    now: Timestamp,
) -> Result<(u64, Option<Cursor>)> {
    let (second, id) = after.unwrap_or((i64::MIN, String::new()));
    let sql = format!(
        "SELECT created_at, id FROM invite WHERE host = $1 AND (created_at, id) > ($2, $3) \
         ORDER BY created_at, id LIMIT 1 OFFSET {}",
        size.saturating_sub(1)
    );
    let from = [host.as_str().into(), second.into(), id.as_str().into()];
    let end = session.query(&sql, &from, |row| Ok((row.integer(0)?, row.text(1)?))).await?.pop();
    let (last_second, last_id) = end.clone().unwrap_or((i64::MAX, String::new()));
    let sql = format!(
        "SELECT count(*) FROM invite WHERE {PENDING} AND host = $2 \
         AND (created_at, id) > ($3, $4) AND (created_at, id) <= ($5, $6)"
    );
    let [host, second, id] = from;
    let part = [now.into(), host, second, id, last_second.into(), last_id.as_str().into()];
    Ok((session.count(&sql, &part).await?, end))
}

pub async fn open_uses(session: &mut Session<'_>) -> Result<Vec<(DomainPart, u64)>> {
    // Uses come first, so that SQLite reads the small index of those that are open.
    let sql = "SELECT host, count(*) FROM invite_use CROSS JOIN invite \
         WHERE invite.id = invite_use.invite AND redeemed_at IS NULL GROUP BY host";
    session.query(sql, &[], |row| Ok((row.text(0)?, row.integer(1)?))).await
}
