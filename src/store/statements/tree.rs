//! The tree of who invited whom, read branch by branch: never all of it at once.

use std::collections::{BTreeMap, HashSet};
use std::vec::IntoIter;

use jid::BareJid;
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::invite::InviteId;
use crate::store::error::Result;
use crate::store::once::Once;
use crate::store::row::Row;
use crate::store::session::Session;

/// How many accounts of one inviter are read at a time.
const PAGE: usize = 500;

/// How many roots are read at a time. Finding a page of them may mean reading every account.
const ROOTS: usize = 5000;

/// An account in the tree. As JSON, it has the fields that scripts may see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Branch {
    /// How many steps below the account with which the tree begins.
    pub depth: usize,
    /// The account.
    pub account: BareJid,
    /// Who invited it, if that is known.
    pub inviter: Option<BareJid>,
    /// The invite by which it came; `None` if it came by none that is known.
    pub invite: Option<InviteId>,
    /// When it was registered, if that is known.
    pub registered_at: Option<Timestamp>,
}

impl Branch {
    /// The root of a tree: an account that came by no invite that is known.
    pub fn root(account: BareJid) -> Self {
        Branch { depth: 0, account, inviter: None, invite: None, registered_at: None }
    }
}

pub const COLUMNS: &str = "jid, inviter, invite, registered_at";

pub fn branch_of(row: &Row) -> Result<Branch> {
    let invite = row.optional_parsed(2, InviteId::parse)?;
    Ok(Branch {
        depth: 0,
        account: row.text(0)?,
        inviter: row.optional(1)?,
        invite,
        registered_at: row.optional_instant(3)?,
    })
}

pub async fn origin(session: &mut Session<'_>, account: BareJid) -> Result<Option<Branch>> {
    let sql = format!("SELECT {COLUMNS} FROM account WHERE jid = $1");
    Ok(session.query(&sql, &[account.as_str().into()], branch_of).await?.pop())
}

pub async fn tree(
    session: &mut Session<'_>,
    of: Option<BareJid>,
    deepest: usize,
    branches: Once<Branch>,
) -> Result<()> {
    let branches = branches.take()?;
    if let Some(account) = of {
        let known = origin(session, account.clone()).await?;
        let invited = !page_of(session, &account, None).await?.is_empty();
        if let Some(root) = known.or(invited.then(|| Branch::root(account))) {
            walk(session, root, deepest, &branches).await?;
        }
        return Ok(());
    }
    let mut last = String::new();
    loop {
        let page = roots(session, &last).await?;
        let Some(root) = page.last() else { break };
        last = root.account.to_string();
        for root in page {
            if !walk(session, root, deepest, &branches).await? {
                return Ok(());
            }
        }
    }
    for account in of_each_loop(&below_no_root(session).await?) {
        if let Some(root) = origin(session, account).await? {
            walk(session, root, deepest, &branches).await?;
        }
    }
    Ok(())
}

/// The next roots after this JID: accounts whose inviter is not known, and those that have invited
/// others and came by no invite that is known.
async fn roots(session: &mut Session<'_>, after: &str) -> Result<Vec<Branch>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM (SELECT {COLUMNS} FROM account WHERE inviter IS NULL AND jid > $1 \
             ORDER BY jid LIMIT {ROOTS}) AS came \
         UNION ALL SELECT jid, NULL, NULL, NULL FROM (SELECT DISTINCT inviter AS jid FROM account AS invited \
             WHERE inviter > $1 AND NOT EXISTS (SELECT 1 FROM account WHERE account.jid = invited.inviter) \
             ORDER BY inviter LIMIT {ROOTS}) AS others ORDER BY jid LIMIT {ROOTS}"
    );
    session.query(&sql, &[after.into()], branch_of).await
}

/// Sends a root and all below it, each account before those that it has invited. `false`: the
/// receiver is gone. Each account has one inviter, so the only account to which a walk can come
/// back is its root.
async fn walk(
    session: &mut Session<'_>,
    root: Branch,
    deepest: usize,
    branches: &mpsc::Sender<Branch>,
) -> Result<bool> {
    let start = root.account.clone();
    if branches.send(root).await.is_err() {
        return Ok(false);
    }
    let mut path = Vec::new();
    if deepest > 0 {
        path.push(Siblings::first(session, &start).await?);
    }
    loop {
        let depth = path.len();
        let Some(siblings) = path.last_mut() else { return Ok(true) };
        let Some((branch, inviting)) = siblings.next(session).await? else {
            path.pop();
            continue;
        };
        if branch.account == start {
            continue;
        }
        let account = branch.account.clone();
        if branches.send(Branch { depth, ..branch }).await.is_err() {
            return Ok(false);
        }
        if inviting && depth < deepest {
            path.push(Siblings::first(session, &account).await?);
        }
    }
}

/// The accounts of one inviter that are still to be sent, and whether each has invited others.
struct Siblings {
    page: IntoIter<(Branch, bool)>,
    /// The last of the page, if more may follow.
    last: Option<Branch>,
}

impl Siblings {
    async fn first(session: &mut Session<'_>, inviter: &BareJid) -> Result<Self> {
        Ok(Self::of(page_of(session, inviter, None).await?))
    }

    fn of(page: Vec<(Branch, bool)>) -> Self {
        let last = page.last().filter(|_| page.len() == PAGE).map(|(branch, _)| branch.clone());
        Siblings { page: page.into_iter(), last }
    }

    async fn next(&mut self, session: &mut Session<'_>) -> Result<Option<(Branch, bool)>> {
        if let (0, Some(Branch { inviter: Some(inviter), .. })) = (self.page.len(), &self.last) {
            *self = Self::of(page_of(session, inviter, self.last.as_ref()).await?);
        }
        Ok(self.page.next())
    }
}

/// The next accounts of an inviter in the order in which they came, those of an unknown age first,
/// each with whether it has invited others.
async fn page_of(session: &mut Session<'_>, inviter: &BareJid, after: Option<&Branch>) -> Result<Vec<(Branch, bool)>> {
    let sql = format!(
        "SELECT {COLUMNS}, CASE WHEN EXISTS (SELECT 1 FROM account AS invited WHERE invited.inviter = account.jid) \
             THEN 1 ELSE 0 END \
         FROM account WHERE inviter = $1 AND (COALESCE(registered_at, 0), jid) > ($2, $3) \
         ORDER BY COALESCE(registered_at, 0), jid LIMIT {PAGE}"
    );
    let since = after.map_or(i64::MIN, |branch| branch.registered_at.map_or(0, Timestamp::as_second));
    let values = [inviter.as_str().into(), since.into(), after.map_or("", |branch| branch.account.as_str()).into()];
    session.query(&sql, &values, |row| Ok((branch_of(row)?, row.integer::<u8>(4)? == 1))).await
}

/// The accounts that are below no root, with their inviters: they are in a loop, or below one. A
/// loop arises when an account that has invited others is deleted, and one of these invites
/// somebody who registers its name again.
async fn below_no_root(session: &mut Session<'_>) -> Result<BTreeMap<BareJid, BareJid>> {
    let sql = "WITH RECURSIVE reached (jid) AS ( \
             SELECT jid FROM account WHERE inviter IS NULL OR NOT EXISTS \
                 (SELECT 1 FROM account AS known WHERE known.jid = account.inviter) \
             UNION ALL SELECT account.jid FROM reached JOIN account ON account.inviter = reached.jid) \
         SELECT account.jid, inviter FROM account LEFT JOIN reached ON reached.jid = account.jid \
         WHERE reached.jid IS NULL";
    Ok(session.query(sql, &[], |row| Ok((row.text(0)?, row.text(1)?))).await?.into_iter().collect())
}

/// One account of each loop.
fn of_each_loop(inviters: &BTreeMap<BareJid, BareJid>) -> Vec<BareJid> {
    let (mut settled, mut found) = (HashSet::new(), Vec::new());
    for first in inviters.keys() {
        let (mut account, mut path) = (first, HashSet::new());
        while !settled.contains(account) && path.insert(account) {
            account = inviters.get(account).unwrap_or(account);
        }
        if !settled.contains(account) {
            found.push(account.clone());
        }
        settled.extend(path);
    }
    found
}
