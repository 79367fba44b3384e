//! When a daemon was last at work on the store.

use jiff::Timestamp;

use crate::last_seen::LastSeen;
use crate::lifetime::Lifetime;
use crate::store::error::Result;
use crate::store::session::Session;

async fn last_seen(session: &mut Session<'_>) -> Result<Option<LastSeen>> {
    let read = session.query("SELECT at, since, before FROM last_seen", &[], |row| {
        Ok(LastSeen { at: row.since(0)?, since: row.since(1)?, before: row.instant(2)? })
    });
    Ok(read.await?.pop())
}

pub async fn seen(session: &mut Session<'_>, now: Timestamp, tolerance: Lifetime) -> Result<LastSeen> {
    session.lock("last_seen").await?;
    let seen = match last_seen(session).await? {
        Some(last) => last.then(now, tolerance),
        None => LastSeen::first(now, !session.exists("SELECT 1 FROM invite LIMIT 1", &[]).await?),
    };
    let sql = "INSERT INTO last_seen (id, at, since, before) VALUES (1, $1, $2, $3) \
         ON CONFLICT (id) DO UPDATE SET at = excluded.at, since = excluded.since, before = excluded.before";
    session.execute(sql, &[seen.at.into(), seen.since.into(), seen.before.into()]).await?;
    Ok(seen)
}
