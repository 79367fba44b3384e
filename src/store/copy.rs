//! Copying one store into another of either kind: to move, to back up, and to restore.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::error::Result;
use super::row::{Row, Value};
use super::session::Session;
use super::statements::take_rows;

/// How many rows are copied at a time. All their values fit into one statement of either engine.
const PAGE: usize = 500;

/// How far copying has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Rows copied so far: invites, their uses, and accounts with their inviters.
    pub rows: u64,
    /// Rows in the source when copying began.
    pub of: u64,
}

/// A table, and what happens to a row that the target has already: it stays, and takes over what
/// makes it allow less.
pub struct Table {
    name: &'static str,
    /// The key first.
    columns: &'static [&'static str],
    /// Further columns of a copied row: their names, and their values.
    marks: [&'static str; 2],
    merge: &'static str,
}

const TABLES: [Table; 3] = [
    Table {
        name: "invite",
        columns: &[
            "id",
            "token_hash",
            "type",
            "host",
            "username",
            "inviter",
            "issuer",
            "roles",
            "groups",
            "note",
            "max_uses",
            "taken",
            "uses",
            "created_at",
            "expires_at",
            "revoked_at",
            "last_used_at",
        ],
        marks: ["", ""],
        merge: "revoked_at = COALESCE(invite.revoked_at, excluded.revoked_at)",
    },
    Table {
        name: "invite_use",
        columns: &["id", "invite", "purpose", "account", "server", "reserved_at", "redeemed_at"],
        marks: [", copied", ", 1"],
        merge: "redeemed_at = COALESCE(invite_use.redeemed_at, excluded.redeemed_at)",
    },
    Table {
        name: "account",
        columns: &["jid", "inviter", "invite", "registered_at"],
        marks: ["", ""],
        merge: "inviter = excluded.inviter, invite = excluded.invite, registered_at = excluded.registered_at \
                WHERE excluded.registered_at > account.registered_at",
    },
];

/// A part of what the source sends to the target.
pub enum Part {
    Count(u64),
    /// The ids of all uses that are reserved.
    Open(Arc<HashSet<String>>),
    Page(&'static Table, Arc<Vec<Row>>),
}

impl Copied {
    /// The progress after one more part.
    pub(super) fn and(self, part: &Part) -> Self {
        match part {
            Part::Count(of) => Copied { rows: 0, of: *of },
            Part::Open(_) => self,
            Part::Page(_, page) => Copied { rows: self.rows + page.len() as u64, ..self },
        }
    }
}

/// Sends everything in a store, until the receiver is gone.
pub async fn read(session: &mut Session<'_>, parts: mpsc::Sender<Part>) -> Result<()> {
    let sql =
        "SELECT (SELECT count(*) FROM invite) + (SELECT count(*) FROM invite_use) + (SELECT count(*) FROM account)";
    let rows = session.query(sql, &[]).await?;
    let count = session.read(rows, |row| row.count::<u64>(0))?.into_iter().sum();
    drop(parts.send(Part::Count(count)).await);
    let rows = session.query("SELECT id FROM invite_use WHERE redeemed_at IS NULL", &[]).await?;
    let open = session.read(rows, |row| row.text(0))?;
    drop(parts.send(Part::Open(Arc::new(open.into_iter().collect()))).await);
    for table in &TABLES {
        let [key, ..] = table.columns else { continue };
        let sql = format!(
            "SELECT {} FROM {} WHERE {key} > $1 ORDER BY {key} LIMIT {PAGE}",
            table.columns.join(", "),
            table.name
        );
        let mut last = Value::from("");
        loop {
            let page = session.query(&sql, &[last]).await?;
            let Some(Row(values)) = page.last() else { break };
            last = values.first().cloned().unwrap_or(Value::Null);
            if parts.send(Part::Page(table, Arc::new(page))).await.is_err() {
                return Ok(()); // writing has failed, and says why
            }
        }
    }
    Ok(())
}

/// Adds a page of rows to the target. `open` are the ids of the uses that were reserved in the
/// source.
pub async fn merge(
    session: &mut Session<'_>,
    table: &Table,
    page: Arc<Vec<Row>>,
    open: Arc<HashSet<String>>,
) -> Result<()> {
    let width = table.columns.len();
    let rows: Vec<_> = (0..page.len())
        .map(|row| {
            let numbers: Vec<_> = (1..=width).map(|column| format!("${}", row * width + column)).collect();
            format!("({}{})", numbers.join(", "), table.marks[1])
        })
        .collect();
    let key = table.columns.first().copied().unwrap_or_default();
    let sql = format!(
        "INSERT INTO {} ({}{}) VALUES {} ON CONFLICT ({key}) DO UPDATE SET {}",
        table.name,
        table.columns.join(", "),
        table.marks[0],
        rows.join(", "),
        table.merge
    );
    let values: Vec<_> = page.iter().flat_map(|Row(values)| values.iter().cloned()).collect();
    session.execute(&sql, &values).await?;
    if table.name == "invite" {
        let invites: Vec<_> = page.iter().filter_map(|Row(values)| values.first().cloned()).collect();
        end_uses(session, &invites, &open).await?;
    }
    if table.name == "invite_use" {
        // The target may have had uses of its own of these invites. The counts only grow here: the
        // uses of an invite come on several pages, and the invite must not be usable in between.
        let invites: Vec<_> = page.iter().filter_map(|Row(values)| values.get(1).cloned()).collect();
        let these = format!("id IN ({})", numbers_to(invites.len()));
        take_rows(session, &these, &invites).await?;
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
    }
    Ok(())
}

/// Removes reserved uses that an earlier copy brought, and that came to nothing in the source
/// since: `open` are those that did not. What the target has reserved itself stays. [`finish`]
/// gives these uses back.
async fn end_uses(session: &mut Session<'_>, invites: &[Value], open: &HashSet<String>) -> Result<()> {
    let these = numbers_to(invites.len());
    let sql = format!("SELECT id FROM invite_use WHERE redeemed_at IS NULL AND copied = 1 AND invite IN ({these})");
    let rows = session.query(&sql, invites).await?;
    for id in session.read(rows, |row| row.text(0))?.into_iter().filter(|id| !open.contains(id)) {
        let sql = "DELETE FROM invite_use WHERE id = $1 AND redeemed_at IS NULL";
        session.execute(sql, &[id.as_str().into()]).await?;
    }
    Ok(())
}

/// `$1, $2, …`
fn numbers_to(last: usize) -> String {
    (1..=last).map(|number| format!("${number}")).collect::<Vec<_>>().join(", ")
}

/// Gives back the uses of reservations that came to nothing since an earlier copy, which was cut
/// short.
pub async fn finish(session: &mut Session<'_>) -> Result<()> {
    take_rows(session, "taken > uses", &[]).await?;
    let sql = "UPDATE invite SET taken = uses + \
         (SELECT count(*) FROM invite_use WHERE invite = invite.id AND redeemed_at IS NULL) WHERE taken > uses";
    session.execute(sql, &[]).await?;
    Ok(())
}
