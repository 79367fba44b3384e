//! What `easy-invite check` says of the store.

use std::collections::BTreeMap;

use jid::DomainPart;
use jiff::{SignedDuration, Timestamp};

use super::report::{Found, Report};
use crate::cli::context::now;
use crate::invite::{InviteId, SAFE_LENGTH};
use crate::store::{Problem, Store};

/// How long a use is reserved before somebody should look at it. If its chat server is there, it
/// takes seconds.
const OPEN_FOR_LONG: SignedDuration = SignedDuration::from_hours(1);

/// How many of these uses are named at most, the oldest first.
const OPEN_USES_NAMED: u32 = 20;

/// For how many days `check` warns of what an account could not get, and how many of these it names
/// at most, the newest first. `show` tells it as long as the invite is there.
const SHORTFALL_DAYS: i64 = 7;
const SHORTFALLS_NAMED: u32 = 20;

/// How many invites with short tokens are named for each host.
const SHORT_TOKENS_NAMED: usize = 10;

/// Warns of problems with the store, and of those that are recorded in it. If it cannot be read,
/// another line says so.
///
/// # Errors
/// If stdout takes no more.
pub async fn report_store(report: &mut Report<'_>, store: &Store) -> anyhow::Result<()> {
    report_settings(report, store).await?;
    report_servers(report, store).await?;
    report_open_uses(report, store).await?;
    report_short_tokens(report, store).await?;
    report_shortfalls(report, store).await
}

async fn report_settings(report: &mut Report<'_>, store: &Store) -> anyhow::Result<()> {
    let off = store.unsafe_settings().await.unwrap_or_default();
    if !off.is_empty() {
        let settings: Vec<_> = off.iter().map(|setting| format!("{setting}=off")).collect();
        let words = "a power failure may lose what was acknowledged. Turn it on in postgresql.conf";
        report.warn("store", None, format_args!("PostgreSQL runs with {}: {words}", settings.join(", ")))?;
    }
    if let Some(wait) = store.waits().await.unwrap_or_default() {
        report.warn("store", None, Problem::Waits(wait.to_string()))?;
    }
    Ok(())
}

/// Warns of the servers that the URL of a PostgreSQL store names, if there are several.
async fn report_servers(report: &mut Report<'_>, store: &Store) -> anyhow::Result<()> {
    let servers = store.servers().await;
    if servers.len() < 2 {
        return Ok(());
    }
    if !store.is_synchronous().await.unwrap_or(true) {
        let words = "synchronous_standby_names is empty, so no commit waits for a standby: a failover loses what was \
                     acknowledged last, and a used invite may be good once more. Name the standbys in it";
        report.warn("store", None, words)?;
    }
    for (host, found) in servers {
        let found = found.map_or_else(|problem| Found::Warning(problem.to_string()), Found::Ok);
        report.line("server", Some(&host), found)?;
    }
    Ok(())
}

/// Warns of uses that have been reserved for long.
async fn report_open_uses(report: &mut Report<'_>, store: &Store) -> anyhow::Result<()> {
    let long_ago = now().saturating_sub(OPEN_FOR_LONG).unwrap_or(Timestamp::MIN);
    let mut of_server: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (used, invite) in store.open_since(long_ago, OPEN_USES_NAMED).await.unwrap_or_default() {
        let named = format!("{} by invite {} since {}", used.account, invite.id, used.reserved_at);
        of_server.entry(used.server).or_default().push(named);
    }
    for (server, uses) in of_server {
        let advice = match server.as_str() {
            "" => "reserved by a chat server of unknown id. The daemon settles them when it is connected".to_owned(),
            id => format!(
                "reserved by the chat server {id}, which settles them when it is back. If it never comes back: \
                 easy-invite release --server {id}"
            ),
        };
        report.warn("open uses", None, format_args!("{}: {advice}", uses.join(", ")))?;
    }
    Ok(())
}

/// Warns of imported invites whose tokens can perhaps be guessed.
async fn report_short_tokens(report: &mut Report<'_>, store: &Store) -> anyhow::Result<()> {
    let mut short: BTreeMap<DomainPart, Vec<InviteId>> = BTreeMap::new();
    for (host, id) in store.short_tokens(now()).await.unwrap_or_default() {
        short.entry(host).or_default().push(id);
    }
    for (host, ids) in short {
        let named: Vec<_> = ids.iter().take(SHORT_TOKENS_NAMED).map(InviteId::as_str).collect();
        let more = if named.len() < ids.len() { ", …" } else { "" };
        let detail = format!(
            "pending invites that were imported with tokens of fewer than {SAFE_LENGTH} characters, which can perhaps \
             be guessed: {} ({}{more}). See easy-invite list {host} --state pending. Send new links \
             (easy-invite regenerate ID), or end them (easy-invite revoke ID)",
            ids.len(),
            named.join(", ")
        );
        report.warn("tokens", Some(host.as_str()), detail)?;
    }
    Ok(())
}

/// Warns of what the chat server could not give to new accounts.
async fn report_shortfalls(report: &mut Report<'_>, store: &Store) -> anyhow::Result<()> {
    let since = now().saturating_sub(SignedDuration::from_hours(24 * SHORTFALL_DAYS)).unwrap_or(Timestamp::MIN);
    for shortfall in store.shortfalls_since(since, SHORTFALLS_NAMED).await.unwrap_or_default() {
        let detail = format!(
            "{shortfall}. Invite {} grants it: do it by hand. This line disappears {SHORTFALL_DAYS} days after the \
             use, or with the account",
            shortfall.invite
        );
        report.warn("grants", None, detail)?;
    }
    Ok(())
}
