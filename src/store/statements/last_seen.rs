//! When a daemon was last at work on the store.

use jiff::Timestamp;

use crate::last_seen::{LastSeen, Lineage};
use crate::lifetime::Lifetime;
use crate::store::error::Result;
use crate::store::session::Session;

async fn last_seen(session: &mut Session<'_>) -> Result<Option<LastSeen>> {
    let sql = "SELECT at, since, before, cluster, timeline, took_over_at FROM last_seen";
    let read = session.query(sql, &[], |row| {
        let lineage = row.number(3)?.zip(row.number(4)?).map(|(cluster, timeline)| Lineage { cluster, timeline });
        let (at, since, before) = (row.since(0)?, row.since(1)?, row.instant(2)?);
        Ok(LastSeen { at, since, before, lineage, took_over_at: row.instant(5)? })
    });
    Ok(read.await?.pop())
}

pub async fn seen(
    session: &mut Session<'_>,
    now: Timestamp,
    tolerance: Lifetime,
    lineage: Option<Lineage>,
) -> Result<LastSeen> {
    session.lock("last_seen")?;
    let seen = match last_seen(session).await? {
        Some(last) => last.then(now, tolerance, lineage),
        None => {
            let sql = "SELECT 1 FROM invite UNION ALL SELECT 1 FROM past_token LIMIT 1";
            LastSeen::first(now, !session.exists(sql, &[]).await?, lineage)
        }
    };
    let sql = "INSERT INTO last_seen (id, at, since, before, cluster, timeline, took_over_at) \
         VALUES (1, $1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO UPDATE SET \
         at = excluded.at, since = excluded.since, before = excluded.before, \
         cluster = excluded.cluster, timeline = excluded.timeline, took_over_at = excluded.took_over_at";
    let LastSeen { at, since, before, lineage, took_over_at } = seen;
    let [cluster, timeline] = [lineage.map(|lineage| lineage.cluster), lineage.map(|lineage| lineage.timeline)];
    let values = [at.into(), since.into(), before.into(), cluster.into(), timeline.into(), took_over_at.into()];
    session.execute(sql, &values).await?;
    Ok(seen)
}
