//! An invite is changed, or gets another token.

use jiff::Timestamp;

use super::event::record;
use super::insert::{Quota, lock_names, make_room, no_room};
use super::invite::{INVITE_COLUMNS, PENDING, find_by_id, invite_of};
use super::row_lock::lock_invites;
use crate::event::{Action, Actor, Event};
use crate::invite::{Invite, InviteId, State, TokenHash};
use crate::policy::Change;
use crate::refusal::{Mistake, Refusal};
use crate::store::error::Result;
use crate::store::session::Session;

pub async fn regenerate(
    session: &mut Session<'_>,
    id: InviteId,
    token_hash: TokenHash,
    now: Timestamp,
    by: Actor,
) -> Result<Result<Invite, Refusal>> {
    // A trigger keeps the old token.
    let sql = format!(
        "UPDATE invite SET regenerated_at = $1, token_hash = $2, links = links + 1, token_length = NULL \
         WHERE {PENDING} AND id = $3 RETURNING {INVITE_COLUMNS}"
    );
    let values = [now.into(), token_hash.into(), id.as_str().into()];
    match session.query(&sql, &values, invite_of).await?.pop() {
        Some(invite) => {
            record(session, &[Event::of(&invite, now, by, Action::Regenerated)])?;
            Ok(Ok(invite))
        }
        None => {
            let ended = find_by_id(session, id).await?.map(|invite| invite.usable(now));
            Ok(Err(ended.and_then(Result::err).unwrap_or(Refusal::Unknown)))
        }
    }
}

pub async fn change(
    session: &mut Session<'_>,
    id: InviteId,
    change: Change,
    quota: Quota,
    now: Timestamp,
    by: Actor,
) -> Result<Result<Invite, Refusal>> {
    // The names of the locks come from parts of the invite that never change.
    let Some(invite) = find_by_id(session, id.clone()).await? else { return Ok(Err(Refusal::Unknown)) };
    lock_names(session, &invite, quota)?;
    // What is found here may have changed when the row is locked, so `no_room` is asked again
    // below.
    make_room(session, &invite, quota, now).await?;
    lock_invites(session, "id = $1", &[id.as_str().into()]).await?;
    let Some(before) = find_by_id(session, id.clone()).await? else { return Ok(Err(Refusal::Unknown)) };
    if before.revoked_at.is_some() {
        return Ok(Err(Refusal::Revoked));
    }
    let after = change.applied(before.clone(), now);
    let sql = "SELECT taken FROM invite WHERE id = $1";
    let taken: u32 = session.count(sql, &[id.as_str().into()]).await?;
    if after.max_uses.is_some_and(|most| most < taken) {
        return Ok(Err(Mistake::UsesTaken { taken }.into()));
    }
    let resumes = after.state(now) == State::Pending && before.state(now) != State::Pending;
    if resumes && let Some(refusal) = no_room(session, &after, quota, now).await? {
        return Ok(Err(refusal));
    }
    let changed = [
        (after.note != before.note, "note"),
        (after.expires_at != before.expires_at, "expires"),
        (after.max_uses != before.max_uses, "uses"),
    ];
    let changed: Vec<_> = changed.into_iter().filter_map(|(is_other, name)| is_other.then_some(name)).collect();
    if !changed.is_empty() {
        let sql = "UPDATE invite SET note = $1, expires_at = $2, max_uses = $3 WHERE id = $4";
        let values = [after.note.as_deref().into(), after.expires_at.into(), after.max_uses.into(), id.as_str().into()];
        session.execute(sql, &values).await?;
        let event = Event::of(&after, now, by, Action::Changed);
        record(session, &[Event { detail: Some(changed.join(" ")), ..event }])?;
    }
    Ok(Ok(after))
}
