//! Links that nobody is given: whoever asked for one was told to try again later, before it was
//! known whether it is stored. Where it is, it is withdrawn.

use jiff::Timestamp;

use super::event::record;
use super::invite::{INVITE_COLUMNS, find, invite_of};
use crate::event::{Action, Actor, Event};
use crate::invite::{Invite, TokenHash};
use crate::store::error::Result;
use crate::store::row::{Row, Value};
use crate::store::session::Session;

/// A link that nobody is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawal {
    /// The hash of its token.
    pub token_hash: TokenHash,
    /// The link that it replaced. `None`: it is that of a new invite.
    pub replaced: Option<Replaced>,
}

/// A link of an invite that has a newer one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    token_hash: TokenHash,
    token_length: Option<u32>,
    links: u32,
    regenerated_at: Option<Timestamp>,
}

impl From<&Invite> for Replaced {
    fn from(invite: &Invite) -> Self {
        let Invite { token_hash, token_length, links, regenerated_at, .. } = *invite;
        Replaced { token_hash, token_length, links, regenerated_at }
    }
}

pub async fn note_withdrawal(session: &mut Session<'_>, link: Withdrawal, now: Timestamp) -> Result<()> {
    let sql = "INSERT INTO withdrawn_link (token_hash, noted_at, replaced, token_length, links, regenerated_at) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
    let replaced = link.replaced.as_ref();
    let values = [
        Value::Bytes(link.token_hash.0.into()),
        now.into(),
        replaced.map_or(Value::Null, |it| Value::Bytes(it.token_hash.0.into())),
        replaced.and_then(|it| it.token_length).into(),
        replaced.map(|it| it.links).into(),
        replaced.and_then(|it| it.regenerated_at).into(),
    ];
    session.execute(sql, &values).await.map(drop)
}

/// Reads few rows, however many invites there are.
const STORED: &str = "FROM withdrawn_link CROSS JOIN invite WHERE invite.token_hash = withdrawn_link.token_hash";

pub async fn has_withdrawals(session: &mut Session<'_>) -> Result<bool> {
    session.exists(&format!("SELECT 1 {STORED} LIMIT 1"), &[]).await
}

fn withdrawal_of(row: &Row) -> Result<Withdrawal> {
    let replaced = match row.number(3)? {
        Some(links) => Some(Replaced {
            token_hash: TokenHash(row.bytes(1)?),
            token_length: row.number(2)?,
            links,
            regenerated_at: row.instant(4)?,
        }),
        None => None,
    };
    Ok(Withdrawal { token_hash: TokenHash(row.bytes(0)?), replaced })
}

pub async fn withdraw(
    session: &mut Session<'_>,
    only: Option<Withdrawal>,
    now: Timestamp,
    by: Actor,
) -> Result<Vec<Event>> {
    let links = match only {
        Some(link) => vec![link],
        None => {
            // In one order, so that two daemons do not wait for each other.
            let sql = format!(
                "SELECT withdrawn_link.token_hash, replaced, withdrawn_link.token_length, withdrawn_link.links, \
                 withdrawn_link.regenerated_at {STORED} ORDER BY withdrawn_link.token_hash"
            );
            session.query(&sql, &[], withdrawal_of).await?
        }
    };
    let mut events = Vec::new();
    for link in links {
        let undone = undo(session, &link).await?;
        if let Some(invite) = &undone {
            let detail = if link.replaced.is_some() { "link" } else { "invite" };
            let withdrawn = Event::of(invite, now, by.clone(), Action::Withdrawn);
            events.push(Event { detail: Some(detail.to_owned()), ..withdrawn });
        }
        // If the invite has another link by now, this one may come back, when that is withdrawn.
        if undone.is_some() || find(session, link.token_hash).await?.is_some() {
            drop_withdrawal(session, link.token_hash).await?;
        }
    }
    record(session, &events)?;
    Ok(events)
}

/// Removes a new invite, or gives an invite its earlier link back. `None`: it is not stored, or
/// something else has come of it since.
async fn undo(session: &mut Session<'_>, link: &Withdrawal) -> Result<Option<Invite>> {
    let token = |hash: TokenHash| Value::Bytes(hash.0.into());
    let undone = match &link.replaced {
        None => {
            let sql = format!("DELETE FROM invite WHERE token_hash = $1 AND taken = 0 RETURNING {INVITE_COLUMNS}");
            session.query(&sql, &[token(link.token_hash)], invite_of).await?.pop()
        }
        Some(replaced) => {
            let sql = format!(
                "UPDATE invite SET token_hash = $1, token_length = $2, links = $3, regenerated_at = $4 \
                 WHERE token_hash = $5 AND links - 1 = $3 RETURNING {INVITE_COLUMNS}"
            );
            let Replaced { token_hash, token_length, links, regenerated_at } = *replaced;
            let values =
                [token(token_hash), token_length.into(), links.into(), regenerated_at.into(), token(link.token_hash)];
            session.query(&sql, &values, invite_of).await?.pop()
        }
    };
    if undone.is_some() {
        // Nobody has the one, and the other is good again.
        let earlier = link.replaced.as_ref().map_or(link.token_hash, |replaced| replaced.token_hash);
        let sql = "DELETE FROM past_token WHERE token_hash IN ($1, $2)";
        session.execute(sql, &[token(link.token_hash), token(earlier)]).await?;
    }
    Ok(undone)
}

pub async fn drop_withdrawal(session: &mut Session<'_>, token_hash: TokenHash) -> Result<()> {
    let sql = "DELETE FROM withdrawn_link WHERE token_hash = $1";
    session.execute(sql, &[Value::Bytes(token_hash.0.into())]).await.map(drop)
}

pub async fn purge_withdrawals(session: &mut Session<'_>, before: Timestamp) -> Result<u64> {
    session.execute("DELETE FROM withdrawn_link WHERE noted_at < $1", &[before.into()]).await
}
