//! What goes into an export: invites, their uses, and who invited whom.

use std::collections::VecDeque;

use jid::BareJid;
use jiff::Timestamp;
use serde::Serialize;

use super::invite::{Filter, INVITE_COLUMNS, invite_of};
use super::tree::{Branch, COLUMNS, branch_of};
use crate::invite::{Invite, InviteId, Purpose};
use crate::store::error::Result;
use crate::store::once::Once;
use crate::store::row::{Row, Value};
use crate::store::session::Session;

/// How many rows are read at a time.
const PAGE: usize = 500;

/// Something in an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exported {
    /// An invite. Its uses follow.
    Invite(Box<Invite>),
    /// A use of the invite before it.
    Use(Redeemed),
    /// An account that came by an invite and still exists.
    Account(Branch),
}

/// A use that is redeemed. As JSON, it has the fields that scripts may see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Redeemed {
    /// The invite.
    pub invite: InviteId,
    /// The account that used it.
    pub account: BareJid,
    /// What it was for.
    pub purpose: Purpose,
    /// When it was redeemed.
    pub redeemed_at: Timestamp,
    /// What could not be given, with the reasons, in the words of the hook.
    pub failed: Vec<String>,
}

pub async fn export(session: &mut Session<'_>, filter: Filter, now: Timestamp, things: Once<Exported>) -> Result<()> {
    let things = things.take()?;
    let of_host = |host: &str| filter.host.as_ref().is_none_or(|only| only.as_str() == host);
    let invites = format!("SELECT {INVITE_COLUMNS} FROM invite WHERE id > $1 ORDER BY id LIMIT {PAGE}");
    let mut uses = Uses::default();
    let mut last = Value::from("");
    loop {
        let page = session.query(&invites, std::slice::from_ref(&last), invite_of).await?;
        let Some(end) = page.last() else { break };
        last = end.id.as_str().into();
        for invite in page {
            let is_wanted =
                of_host(invite.host.as_str()) && filter.state.is_none_or(|state| state == invite.state(now));
            let id = invite.id.clone();
            if is_wanted && things.send(Exported::Invite(Box::new(invite))).await.is_err() {
                return Ok(()); // printing has failed, and says why
            }
            while let Some(used) = uses.next_of(session, &id).await? {
                if is_wanted && things.send(Exported::Use(used)).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
    let accounts = format!("SELECT {COLUMNS} FROM account WHERE jid > $1 ORDER BY jid LIMIT {PAGE}");
    let mut last = Value::from("");
    loop {
        let page = session.query(&accounts, std::slice::from_ref(&last), branch_of).await?;
        let Some(end) = page.last() else { return Ok(()) };
        last = end.account.as_str().into();
        for branch in page.into_iter().filter(|branch| of_host(branch.account.domain().as_str())) {
            if things.send(Exported::Account(branch)).await.is_err() {
                return Ok(());
            }
        }
    }
}

/// The redeemed uses of all invites, in the order of the invites.
#[derive(Default)]
struct Uses {
    page: VecDeque<Redeemed>,
    /// Where the page ends; `None` before the first.
    end: Option<[Value; 3]>,
    /// All have been read.
    are_all: bool,
}

impl Uses {
    /// The next use of this invite.
    async fn next_of(&mut self, session: &mut Session<'_>, invite: &InviteId) -> Result<Option<Redeemed>> {
        if self.page.is_empty() && !self.are_all {
            self.read(session).await?;
        }
        let is_of_it = self.page.front().is_some_and(|used| used.invite == *invite);
        Ok(if is_of_it { self.page.pop_front() } else { None })
    }

    async fn read(&mut self, session: &mut Session<'_>) -> Result<()> {
        let sql = format!(
            "SELECT invite, account, id, purpose, redeemed_at, failed FROM invite_use \
             WHERE redeemed_at IS NOT NULL AND (invite, account, id) > ($1, $2, $3) \
             ORDER BY invite, account, id LIMIT {PAGE}"
        );
        let read = |row: &Row| {
            let used = Redeemed {
                invite: row.parsed(0, InviteId::parse)?,
                account: row.text(1)?,
                purpose: row.text(3)?,
                redeemed_at: row.instant(4)?,
                failed: row.optional_parsed(5, |text| serde_json::from_str(text).ok())?.unwrap_or_default(),
            };
            Ok((used, row.text::<String>(2)?))
        };
        let begin = self.end.take().unwrap_or_else(|| ["", "", ""].map(Value::from));
        let page = session.query(&sql, &begin, read).await?;
        self.are_all = page.len() < PAGE;
        self.end = page
            .last()
            .map(|(used, id)| [used.invite.as_str().into(), used.account.as_str().into(), id.as_str().into()]);
        self.page = page.into_iter().map(|(used, _)| used).collect();
        Ok(())
    }
}
