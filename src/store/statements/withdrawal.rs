//! Links that nobody was given: the user who asked for one was told to try again later before it
//! was known whether the link is stored. If it is, it is withdrawn.

use jiff::Timestamp;

use super::event::record;
use super::invite::{INVITE_COLUMNS, find, invite_of};
use crate::event::{Action, Actor, Event};
use crate::invite::{Invite, TokenHash};
use crate::store::error::Result;
use crate::store::session::Session;

pub async fn note_withdrawal(session: &mut Session<'_>, token_hash: TokenHash, now: Timestamp) -> Result<()> {
    let sql = "INSERT INTO withdrawn_link (token_hash, noted_at) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    session.execute(sql, &[token_hash.into(), now.into()]).await.map(drop)
}

/// The noted links that are stored. This reads few rows, however many invites there are.
const STORED: &str = "FROM withdrawn_link CROSS JOIN invite WHERE invite.token_hash = withdrawn_link.token_hash";

pub async fn has_withdrawals(session: &mut Session<'_>) -> Result<bool> {
    session.exists(&format!("SELECT 1 {STORED} LIMIT 1"), &[]).await
}

pub async fn withdraw(session: &mut Session<'_>, only: Option<TokenHash>, now: Timestamp, by: Actor) -> Result<()> {
    let links = match only {
        Some(token_hash) => vec![token_hash],
        None => {
            // In one order, so that two daemons cannot deadlock.
            let sql = format!("SELECT withdrawn_link.token_hash {STORED} ORDER BY withdrawn_link.token_hash");
            session.query(&sql, &[], |row| Ok(TokenHash(row.bytes(0)?))).await?
        }
    };
    let mut events = Vec::new();
    for token_hash in links {
        // If the invite has another link by now, nothing is found, and the note stays: should that
        // link be withdrawn, this one comes back.
        let Some(invite) = find(session, token_hash).await? else { continue };
        let is_new = invite.links == 1;
        let undone = if is_new { remove(session, token_hash).await? } else { put_back(session, &invite).await? };
        if let Some(invite) = undone {
            let detail = if is_new { "invite" } else { "link" };
            let withdrawn = Event::of(&invite, now, by.clone(), Action::Withdrawn);
            events.push(Event { detail: Some(detail.to_owned()), ..withdrawn });
        }
        drop_withdrawal(session, token_hash).await?;
    }
    record(session, &events)
}

/// Removes a new invite. `None`: it has a use, or another link by now.
async fn remove(session: &mut Session<'_>, token_hash: TokenHash) -> Result<Option<Invite>> {
    let sql =
        format!("DELETE FROM invite WHERE token_hash = $1 AND taken = 0 AND links = 1 RETURNING {INVITE_COLUMNS}");
    let removed = session.query(&sql, &[token_hash.into()], invite_of).await?.pop();
    if removed.is_some() {
        forget(session, token_hash)?;
    }
    Ok(removed)
}

/// Gives an invite the link back that it had before. `None`: it has another link by now.
async fn put_back(session: &mut Session<'_>, invite: &Invite) -> Result<Option<Invite>> {
    let sql = "SELECT token_hash, token_length, links, regenerated_at FROM past_token WHERE invite = $1 AND links = $2";
    let values = [invite.id.as_str().into(), (invite.links - 1).into()];
    let Some(mut before) = session.rows(sql, &values).await?.pop().map(|row| row.0) else { return Ok(None) };
    before.push(invite.token_hash.into());
    let sql = format!(
        "UPDATE invite SET token_hash = $1, token_length = $2, links = $3, regenerated_at = $4 \
         WHERE token_hash = $5 RETURNING {INVITE_COLUMNS}"
    );
    let changed = session.query(&sql, &before, invite_of).await?.pop();
    if let Some(changed) = &changed {
        forget(session, invite.token_hash)?;
        forget(session, changed.token_hash)?;
    }
    Ok(changed)
}

/// Removes a token from the past ones: nobody was given it, or it is good again.
fn forget(session: &mut Session<'_>, token_hash: TokenHash) -> Result<()> {
    session.later("DELETE FROM past_token WHERE token_hash = $1".to_owned(), vec![token_hash.into()])
}

pub async fn drop_withdrawal(session: &mut Session<'_>, token_hash: TokenHash) -> Result<()> {
    let sql = "DELETE FROM withdrawn_link WHERE token_hash = $1";
    session.execute(sql, &[token_hash.into()]).await.map(drop)
}

pub async fn purge_withdrawals(session: &mut Session<'_>, before: Timestamp) -> Result<u64> {
    session.execute("DELETE FROM withdrawn_link WHERE noted_at < $1", &[before.into()]).await
}
