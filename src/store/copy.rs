//! Copies one store into another of either engine: to move, to back up, and to restore.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::error::Result;
use super::row::{Row, Value, placeholders};
use super::session::Session;
use super::statements::{filled, lock_invites, took_over_at};

/// How many rows are copied at a time. All their values fit into one statement of either engine.
const PAGE: usize = 500;

/// A table. A row that the target has already stays, and takes over what makes it allow less.
struct Table {
    name: &'static str,
    /// The columns of its key, which come first in `columns`. All keys are greater than `below`.
    key: &'static str,
    below: &'static [Value],
    columns: &'static str,
    /// Further columns of a copied row: their names and their values.
    marks: [&'static str; 2],
    /// What an INSERT does with a row that is there.
    merge: &'static str,
}

const INVITE: Table = Table {
    name: "invite",
    key: "id",
    below: &[Value::Text(String::new())],
    columns: "id, token_hash, type, host, username, inviter, issuer, roles, groups, note, max_uses, taken, uses, \
              created_at, expires_at, revoked_at, last_used_at, owners_since, links, regenerated_at, language, \
              inviter_name, imported_from, token_length, told_at",
    marks: ["", ""],
    // The version that has had more links has the newest one.
    merge: "token_hash = CASE WHEN excluded.links > invite.links THEN excluded.token_hash ELSE invite.token_hash END, \
            token_length = \
            CASE WHEN excluded.links > invite.links THEN excluded.token_length ELSE invite.token_length END, \
            regenerated_at = \
            CASE WHEN excluded.links > invite.links THEN excluded.regenerated_at ELSE invite.regenerated_at END, \
            links = CASE WHEN excluded.links > invite.links THEN excluded.links ELSE invite.links END, \
            max_uses = CASE WHEN invite.max_uses < excluded.max_uses THEN invite.max_uses \
            ELSE COALESCE(excluded.max_uses, invite.max_uses) END, \
            expires_at = CASE WHEN invite.expires_at < excluded.expires_at THEN invite.expires_at \
            ELSE COALESCE(excluded.expires_at, invite.expires_at) END, \
            revoked_at = COALESCE(invite.revoked_at, excluded.revoked_at)",
};

const INVITE_USE: Table = Table {
    name: "invite_use",
    key: "id",
    below: &[Value::Text(String::new())],
    columns: "id, invite, purpose, account, server, reserved_at, redeemed_at, failed",
    marks: [", copied", ", 1"],
    merge: "redeemed_at = COALESCE(invite_use.redeemed_at, excluded.redeemed_at), \
            failed = COALESCE(invite_use.failed, excluded.failed)",
};

const NOTICE: Table = Table {
    name: "notice",
    key: "invite_use",
    below: &[Value::Text(String::new())],
    columns: "invite_use, invite, message, leased_until",
    marks: ["", ""],
    merge: "message = COALESCE(notice.message, excluded.message)",
};

const ACCOUNT: Table = Table {
    name: "account",
    key: "jid",
    below: &[Value::Text(String::new())],
    columns: "jid, inviter, invite, registered_at",
    marks: ["", ""],
    merge: "inviter = excluded.inviter, invite = excluded.invite, registered_at = excluded.registered_at \
            WHERE COALESCE(excluded.registered_at > account.registered_at, excluded.registered_at IS NOT NULL)",
};

const PAST_TOKEN: Table = Table {
    name: "past_token",
    key: "token_hash",
    below: &[Value::Bytes(Vec::new())],
    columns: "token_hash, invite, links, token_length, regenerated_at",
    marks: ["", ""],
    merge: "token_hash = excluded.token_hash",
};

const WITHDRAWN_LINK: Table = Table {
    name: "withdrawn_link",
    key: "token_hash",
    below: &[Value::Bytes(Vec::new())],
    columns: "token_hash, noted_at",
    marks: ["", ""],
    merge: "noted_at = excluded.noted_at",
};

const EVENT: Table = Table {
    name: "event",
    key: "at, id",
    below: &[Value::Integer(i64::MIN), Value::Integer(i64::MIN)],
    columns: "at, id, actor, action, host, invite, account, detail, count",
    marks: ["", ""],
    merge: "count = excluded.count WHERE excluded.count > event.count",
};

/// Some rows of a table of the source.
pub struct Page {
    table: &'static Table,
    pub(super) rows: Vec<Row>,
    /// The ids of all uses that are reserved in the source.
    open: Arc<HashSet<String>>,
}

/// Sends all rows of a store, until the receiver is gone. Returns since when the store stands in
/// for another.
pub async fn read(session: &mut Session<'_>, pages: mpsc::Sender<Page>) -> Result<Option<Timestamp>> {
    let open = "SELECT id FROM invite_use WHERE redeemed_at IS NULL";
    let open = Arc::new(session.query(open, &[], |row| row.text(0)).await?.into_iter().collect());
    for table in [&INVITE, &INVITE_USE, &NOTICE, &ACCOUNT, &PAST_TOKEN, &WITHDRAWN_LINK, &EVENT] {
        let Table { name, key, columns, below, .. } = table;
        let after = placeholders(0, below.len());
        let sql = format!("SELECT {columns} FROM {name} WHERE ({key}) > ({after}) ORDER BY {key} LIMIT {PAGE}");
        let mut last = below.to_vec();
        loop {
            let rows = session.rows(&sql, &last).await?;
            let Some(Row(values)) = rows.last() else { break };
            last = values.iter().take(below.len()).cloned().collect();
            if pages.send(Page { table, rows, open: Arc::clone(&open) }).await.is_err() {
                return Ok(None); // writing has failed, and says why
            }
        }
    }
    took_over_at(session).await
}

/// Adds a page of rows to the target.
pub async fn merge(session: &mut Session<'_>, page: Arc<Page>) -> Result<()> {
    let Table { name, key, columns, marks: [marked, marks], merge, .. } = page.table;
    let mut places = (1..).map(|number| format!("${number}"));
    let rows: Vec<_> = page
        .rows
        .iter()
        .map(|Row(values)| format!("({}{marks})", places.by_ref().take(values.len()).collect::<Vec<_>>().join(", ")))
        .collect();
    let rows = rows.join(", ");
    let sql = format!("INSERT INTO {name} ({columns}{marked}) VALUES {rows} ON CONFLICT ({key}) DO UPDATE SET {merge}");
    let values: Vec<_> = page.rows.iter().flat_map(|Row(values)| values.iter().cloned()).collect();
    session.execute(&sql, &values).await?;
    if *name == INVITE.name {
        let invites: Vec<_> = page.rows.iter().filter_map(|Row(values)| values.first().cloned()).collect();
        end_uses(session, &invites, &page.open).await?;
        allow_what_is_taken(session, &invites).await?;
    }
    if *name == INVITE_USE.name {
        // The target may have had uses of its own of these invites. The counts only grow here: the
        // uses of an invite come on several pages, and nobody may take a use in between.
        let invites: Vec<_> = page.rows.iter().filter_map(|Row(values)| values.get(1).cloned()).collect();
        let these = format!("id IN ({})", placeholders(0, invites.len()));
        lock_invites(session, &these, &invites).await?;
        let redeemed = "(SELECT count(redeemed_at) FROM invite_use WHERE invite = invite.id)";
        let last = "(SELECT max(redeemed_at) FROM invite_use WHERE invite = invite.id)";
        for (change, count) in
            [("taken", "(SELECT count(*) FROM invite_use WHERE invite = invite.id)"), ("uses", redeemed)]
        {
            let sql = format!("UPDATE invite SET {change} = {count} WHERE {these} AND {change} < {count}");
            session.execute(&sql, &invites).await?;
        }
        let sql = format!("UPDATE invite SET last_used_at = {last} WHERE {these} AND uses = {redeemed}");
        session.execute(&sql, &invites).await?;
        allow_what_is_taken(session, &invites).await?;
    }
    Ok(())
}

/// Raises `max_uses` where more uses are taken: of two versions of an invite, the smaller number
/// won.
async fn allow_what_is_taken(session: &mut Session<'_>, invites: &[Value]) -> Result<()> {
    let sql = format!(
        "UPDATE invite SET max_uses = taken WHERE id IN ({}) AND taken > max_uses",
        placeholders(0, invites.len())
    );
    session.execute(&sql, invites).await.map(drop)
}

/// Removes reserved uses that an earlier copy brought and that the source has released since: those
/// that are not in `open`. [`finish`] then corrects the counts of their invites. Uses that were
/// reserved in the target stay.
async fn end_uses(session: &mut Session<'_>, invites: &[Value], open: &HashSet<String>) -> Result<()> {
    let these = placeholders(0, invites.len());
    let sql = format!("SELECT id FROM invite_use WHERE redeemed_at IS NULL AND copied = 1 AND invite IN ({these})");
    for id in session.query(&sql, invites, |row| row.text::<String>(0)).await?.iter().filter(|id| !open.contains(*id)) {
        let sql = "DELETE FROM invite_use WHERE id = $1 AND redeemed_at IS NULL";
        session.execute(sql, &[id.as_str().into()]).await?;
    }
    Ok(())
}

/// Corrects the counts of invites after [`end_uses`]. If the source stands in for another store
/// since `took_over_at`, so does the target.
pub async fn finish(session: &mut Session<'_>, took_over_at: Option<Timestamp>) -> Result<()> {
    lock_invites(session, "taken > uses", &[]).await?;
    let sql = "UPDATE invite SET taken = uses + \
         (SELECT count(*) FROM invite_use WHERE invite = invite.id AND redeemed_at IS NULL) WHERE taken > uses";
    session.execute(sql, &[]).await?;
    filled(session, took_over_at).await
}
