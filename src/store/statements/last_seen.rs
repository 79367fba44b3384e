//! When a daemon was last at work on the store, and whether the store stands in for another.

use jiff::Timestamp;

use crate::last_seen::{LastSeen, Lineage};
use crate::lifetime::Lifetime;
use crate::store::error::Result;
use crate::store::session::Session;

/// What was noted when a daemon was last at work, and since when the store stands in for another.
async fn last_seen(session: &mut Session<'_>) -> Result<(Option<LastSeen>, Option<Timestamp>)> {
    let sql = "SELECT at, since, before, cluster, timeline, took_over_at FROM last_seen";
    let read = session.query(sql, &[], |row| {
        let times = row.optional_instant(0)?.zip(row.optional_instant(1)?);
        let (before, took_over_at) = (row.optional_instant(2)?, row.optional_instant(5)?);
        let (cluster, timeline) = (row.optional_integer(3)?, row.optional_integer(4)?);
        let lineage = cluster.zip(timeline).map(|(cluster, timeline)| Lineage { cluster, timeline });
        let last = times.map(|(at, since)| LastSeen { at, since, before, lineage, took_over_at });
        Ok((last, took_over_at))
    });
    Ok(read.await?.pop().unwrap_or_default())
}

pub async fn took_over_at(session: &mut Session<'_>) -> Result<Option<Timestamp>> {
    Ok(last_seen(session).await?.1)
}

pub async fn filled(session: &mut Session<'_>, took_over_at: Option<Timestamp>) -> Result<()> {
    let sql = "INSERT INTO last_seen (id, took_over_at) VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET \
         at = NULL, since = NULL, before = NULL, cluster = NULL, timeline = NULL, \
         took_over_at = CASE WHEN excluded.took_over_at > last_seen.took_over_at THEN excluded.took_over_at \
         ELSE COALESCE(last_seen.took_over_at, excluded.took_over_at) END";
    session.execute(sql, &[took_over_at.into()]).await?;
    Ok(())
}

pub async fn seen(
    session: &mut Session<'_>,
    now: Timestamp,
    tolerance: Lifetime,
    lineage: Option<Lineage>,
) -> Result<LastSeen> {
    session.lock("last_seen")?;
    let seen = match last_seen(session).await? {
        (Some(last), _) => last.then(now, tolerance, lineage),
        (None, took_over_at) => {
            let sql = "SELECT 1 FROM invite UNION ALL SELECT 1 FROM past_token LIMIT 1";
            LastSeen::first(now, !session.exists(sql, &[]).await?, lineage, took_over_at)
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
