//! Lists the invites of an inviter by indexes alone, so that it takes no longer for one who has
//! made a million.

use jid::BareJid;
use jiff::Timestamp;

use super::invite::{INVITE_COLUMNS, PENDING, UNENDED, invite_of};
use crate::invite::{Invite, InviteId};
use crate::store::error::Result;
use crate::store::row::{Row, Value, among};
use crate::store::session::Session;

/// How many pending invites are listed.
const PENDING_LISTED: usize = 50;

/// How many ended invites are listed.
const ENDED_LISTED: usize = 20;

/// Up to how many pending invites are all read, and sorted by their age. An inviter with more has
/// so many new ones that reading the newest first soon finds enough that are pending.
const PENDING_SORTED: usize = 1000;

/// Where an invite comes in the list: the instant by which it is sorted, in seconds since 1970, and
/// its id.
type Place = (i64, InviteId);

pub async fn list_of_inviter(session: &mut Session<'_>, inviter: BareJid, now: Timestamp) -> Result<Vec<Invite>> {
    let places = [pending(session, &inviter, now).await?, ended(session, &inviter, now).await?].concat();
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let mut ids = Vec::new();
    let these = among(&mut ids, places.iter().map(|(_, id)| id.as_str().into()));
    let sql = format!("SELECT {INVITE_COLUMNS} FROM invite WHERE id IN ({these})");
    let mut invites = session.query(&sql, &ids, invite_of).await?;
    invites.sort_by_key(|invite| places.iter().position(|(_, id)| *id == invite.id));
    Ok(invites)
}

async fn places(session: &mut Session<'_>, sql: &str, values: &[Value]) -> Result<Vec<Place>> {
    session.query(sql, values, |row: &Row| Ok((row.integer(0)?, row.parsed(1, InviteId::parse)?))).await
}

/// The newest of some places.
fn newest(mut places: Vec<Place>, limit: usize) -> Vec<Place> {
    places.sort_by(|(one, first), (other, second)| (other, first).cmp(&(one, second)));
    places.truncate(limit);
    places
}

async fn pending(session: &mut Session<'_>, inviter: &BareJid, now: Timestamp) -> Result<Vec<Place>> {
    let mut found = Vec::new();
    for issuer in ["user", "admin"] {
        let values = [inviter.as_str().into(), issuer.into(), now.into()];
        for (condition, values) in [("expires_at > $3", &values[..]), ("expires_at IS NULL", &values[..2])] {
            // Ordered, so that PostgreSQL reads the index and stops at the limit.
            let sql = format!(
                "SELECT created_at, id FROM invite WHERE {UNENDED} AND inviter = $1 AND issuer = $2 \
                 AND {condition} ORDER BY expires_at LIMIT {}",
                PENDING_SORTED + 1
            );
            found.extend(places(session, &sql, values).await?);
        }
    }
    if found.len() > PENDING_SORTED {
        // The "||" leaves PostgreSQL only the index `invite_by_inviter`, which is in this order.
        let sql = format!(
            "SELECT created_at, id FROM invite WHERE {PENDING} AND inviter = $2 AND issuer || '' <> 'operator' \
             ORDER BY created_at DESC LIMIT {PENDING_LISTED}"
        );
        found = places(session, &sql, &[now.into(), inviter.as_str().into()]).await?;
    }
    Ok(newest(found, PENDING_LISTED))
}

async fn ended(session: &mut Session<'_>, inviter: &BareJid, now: Timestamp) -> Result<Vec<Place>> {
    let mut found = Vec::new();
    for issuer in ["user", "admin"] {
        let sql = format!(
            "SELECT expires_at, id FROM invite WHERE {UNENDED} AND inviter = $1 AND issuer = $2 \
             AND expires_at <= $3 ORDER BY expires_at DESC LIMIT {ENDED_LISTED}"
        );
        found.extend(places(session, &sql, &[inviter.as_str().into(), issuer.into(), now.into()]).await?);
    }
    let sql = format!(
        "SELECT COALESCE(revoked_at, last_used_at), id FROM invite WHERE issuer <> 'operator' \
         AND (revoked_at IS NOT NULL OR uses >= max_uses) AND inviter = $1 \
         ORDER BY COALESCE(revoked_at, last_used_at) DESC LIMIT {ENDED_LISTED}"
    );
    found.extend(places(session, &sql, &[inviter.as_str().into()]).await?);
    Ok(newest(found, ENDED_LISTED))
}
