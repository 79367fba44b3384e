//! Adds the invites of another program, or of another store.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use jid::{BareJid, DomainPart, NodePart};
use jiff::Timestamp;

use super::event::record;
use super::insert::added;
use super::invite::{PENDING, revoke_where};
use crate::event::{Action, Actor, Event};
use crate::import::plan::{Figures, Known, Plan, There, plan};
use crate::import::{By, Imported, Item, Joined, Reason, Used};
use crate::invite::{Invite, InviteId, Program, TokenHash, nonce};
use crate::store::error::{Problem, Result};
use crate::store::row::{Row, Value, among, placeholders, tuples};
use crate::store::session::Session;

/// How many ids one statement names.
const PAGE: usize = 500;

pub async fn import(
    session: &mut Session<'_>,
    items: Arc<Vec<Item>>,
    now: Timestamp,
    by: Actor,
) -> Result<(Figures, Vec<(usize, Reason)>)> {
    // Two imports do not run at the same time, and nobody else reserves these usernames meanwhile.
    session.lock("import")?;
    let names: BTreeSet<_> = invites(&items).filter_map(|imported| imported.invite.reserves()).collect();
    session.lock_all(names.iter().map(|name| name.as_str().into()).collect())?;
    let mut known = known_of(session, items.clone(), now).await?;
    let Plan { invites, uses, accounts, revoked, skipped, figures } = plan(&items, &mut known, now);
    add_invites(session, &invites, now, &by).await?;
    add_uses(session, uses, now, &by).await?;
    add_accounts(session, accounts).await?;
    revoke_imported(session, revoked, now, by).await?;
    Ok((figures, skipped))
}

fn invites(items: &[Item]) -> impl Iterator<Item = &Imported> {
    items.iter().filter_map(|item| if let Item::Invite(imported) = item { Some(&**imported) } else { None })
}

fn accounts(items: &[Item]) -> impl Iterator<Item = &Joined> {
    items.iter().filter_map(|item| if let Item::Account(joined) = item { Some(joined) } else { None })
}

pub async fn known_of(session: &mut Session<'_>, items: Arc<Vec<Item>>, now: Timestamp) -> Result<Known> {
    session.prefer_indexes()?;
    let by_token = |joined: &Joined| match &joined.by {
        Some(By::Token(token)) => Some((*token, joined.account.clone())),
        _ => None,
    };
    let used = invites(&items)
        .flat_map(|Imported { invite, uses, .. }| uses.iter().map(|used| (invite.token_hash, used.account.clone())));
    let uses: Vec<_> = used.chain(accounts(&items).filter_map(by_token)).collect();
    let mut known = Known::default();
    let tokens = invites(&items).map(|imported| imported.invite.token_hash).chain(uses.iter().map(|(token, _)| *token));
    let tokens: HashSet<_> = tokens.collect();
    let tokens: Vec<_> = tokens.into_iter().map(|token| token.into()).collect();

    let mut values = vec![now.into()];
    let these = among(&mut values, tokens.iter().cloned());
    let sql = format!(
        "SELECT token_hash, id, host, imported_from, max_uses, taken, CASE WHEN {PENDING} THEN 1 END, type \
         FROM invite WHERE token_hash IN ({these})"
    );
    known.invites = session.query(&sql, &values, there).await?.into_iter().collect();

    let mut values = Vec::new();
    let these = among(&mut values, tokens);
    let sql = format!("SELECT token_hash, invite FROM past_token WHERE token_hash IN ({these})");
    let past = |row: &Row| Ok((TokenHash(row.bytes(0)?), row.parsed(1, InviteId::parse)?));
    known.past = session.query(&sql, &values, past).await?.into_iter().collect();

    let mut values = Vec::new();
    let these = among(&mut values, invites(&items).map(|imported| imported.invite.id.as_str().into()));
    let sql = format!("SELECT id FROM invite WHERE id IN ({these})");
    known.ids = session.query(&sql, &values, |row| row.parsed(0, InviteId::parse)).await?.into_iter().collect();

    known.reserved = reserved(session, &items, now).await?;

    // An invite may have any number of uses.
    let joined = accounts(&items).map(|joined| &joined.account).chain(uses.iter().map(|(_, account)| account));
    for page in joined.collect::<Vec<_>>().chunks(PAGE) {
        let mut values = Vec::new();
        let these = among(&mut values, page.iter().map(|account| account.as_str().into()));
        let sql = format!("SELECT jid FROM account WHERE jid IN ({these})");
        known.accounts.extend(session.query(&sql, &values, |row| row.text(0)).await?);
    }

    let of_these = |(token, account): &(TokenHash, BareJid)| {
        known.invites.get(token).map(|there| [there.id.as_str().into(), account.as_str().into()])
    };
    for page in uses.iter().filter_map(of_these).collect::<Vec<[Value; 2]>>().chunks(PAGE) {
        let values = page.concat();
        let pairs = tuples(2, values.len());
        let sql = format!("SELECT invite, account FROM invite_use WHERE (invite, account) IN (VALUES {pairs})");
        let read = |row: &Row| Ok((row.parsed(0, InviteId::parse)?, row.text(1)?));
        known.uses.extend(session.query(&sql, &values, read).await?);
    }
    Ok(known)
}

fn there(row: &Row) -> Result<(TokenHash, There)> {
    let (most, taken): (Option<u32>, u32) = (row.optional_integer(4)?, row.integer(5)?);
    let there = There {
        id: row.parsed(1, InviteId::parse)?,
        host: row.text(2)?,
        invite_type: row.text(7)?,
        imported_from: row.optional(3)?,
        pending: row.optional_integer::<u8>(6)?.is_some(),
        left: most.map(|most| most.saturating_sub(taken)),
    };
    Ok((TokenHash(row.bytes(0)?), there))
}

/// The usernames that the new invites would reserve, and that pending invites reserve already.
async fn reserved(session: &mut Session<'_>, items: &[Item], now: Timestamp) -> Result<HashSet<BareJid>> {
    let mut values = vec![now.into()];
    for account in invites(items).filter_map(|imported| imported.invite.reserves()) {
        values.extend([account.domain().as_str().into(), account.node().map(|node| node.as_str()).into()]);
    }
    if values.len() == 1 {
        return Ok(HashSet::new());
    }
    // SQLite reads the tables of a CROSS JOIN in this order. Otherwise it would read all invites of
    // the host.
    let pairs: Vec<_> = (1..values.len()).step_by(2).map(|before| format!("({})", placeholders(before, 2))).collect();
    let sql = format!(
        "SELECT host, username, CASE WHEN {PENDING} THEN 1 END FROM (VALUES {}) AS wanted CROSS JOIN invite \
         WHERE host = column1 AND username = column2 AND type <> 'password-reset'",
        pairs.join(", ")
    );
    let read = |row: &Row| {
        let (host, username): (DomainPart, NodePart) = (row.text(0)?, row.text(1)?);
        Ok(row.optional_integer::<u8>(2)?.map(|_| BareJid::from_parts(Some(&username), &host)))
    };
    Ok(session.query(&sql, &values, read).await?.into_iter().flatten().collect())
}

async fn add_invites(session: &mut Session<'_>, new: &[(Invite, &[Used])], now: Timestamp, by: &Actor) -> Result<()> {
    if new.is_empty() {
        return Ok(());
    }
    let last = |uses: &[Used]| uses.iter().map(|used| used.at.unwrap_or(now)).max();
    let rows: Vec<_> = new.iter().map(|(invite, uses)| (invite, last(uses))).collect();
    let (sql, values) = added(&rows);
    let sql = format!("{sql} ON CONFLICT DO NOTHING");
    if session.execute(&sql, &values).await? != rows.len() as u64 {
        return Err(Problem::Other("an invite with the same id or token was made meanwhile: try again".to_owned()));
    }
    let uses: Vec<_> = new.iter().flat_map(|(invite, uses)| uses.iter().map(|used| (&invite.id, used))).collect();
    insert_uses(session, &uses, now).await?;
    let events: Vec<_> = new.iter().map(|(invite, _)| imported(invite, now, by)).collect();
    record(session, &events)
}

fn imported(invite: &Invite, now: Timestamp, by: &Actor) -> Event {
    let source = invite.imported_from.map_or_else(|| "easy-invite".to_owned(), |program| program.to_string());
    Event { detail: Some(source), ..Event::of(invite, now, by.clone(), Action::Imported) }
}

/// Adds redeemed uses. If it is not known when one was redeemed, it counts as redeemed now.
async fn insert_uses(session: &mut Session<'_>, uses: &[(&InviteId, &Used)], now: Timestamp) -> Result<()> {
    for page in uses.chunks(PAGE) {
        let mut values: Vec<Value> = Vec::with_capacity(page.len() * 7);
        for (invite, used) in page {
            let id = nonce().map_err(|error| Problem::Other(error.to_string()))?;
            let at = used.at.unwrap_or(now);
            values.extend([
                id.as_str().into(),
                invite.as_str().into(),
                used.purpose.as_ref().into(),
                used.account.as_str().into(),
                at.into(),
                at.into(),
                Some(used.failed.as_slice()).filter(|failed| !failed.is_empty()).into(),
            ]);
        }
        let sql = format!(
            "INSERT INTO invite_use (id, invite, purpose, account, reserved_at, redeemed_at, failed) VALUES {}",
            tuples(7, values.len())
        );
        session.execute(&sql, &values).await?;
    }
    Ok(())
}

/// Adds redeemed uses to invites that are there. An invite without enough uses left is revoked
/// instead.
async fn add_uses(session: &mut Session<'_>, uses: Vec<(InviteId, Used)>, now: Timestamp, by: &Actor) -> Result<()> {
    let mut of: BTreeMap<&InviteId, Vec<&Used>> = BTreeMap::new();
    for (invite, used) in &uses {
        of.entry(invite).or_default().push(used);
    }
    let (mut taken, mut events, mut full) = (Vec::new(), Vec::new(), Vec::new());
    for (invite, uses) in of {
        let sql = "UPDATE invite SET taken = taken + $1, uses = uses + $1, \
             last_used_at = CASE WHEN last_used_at > $2 THEN last_used_at ELSE $2 END \
             WHERE id = $3 AND (max_uses IS NULL OR taken + $1 <= max_uses) RETURNING host";
        let count = i64::try_from(uses.len()).unwrap_or(i64::MAX);
        let last = uses.iter().map(|used| used.at.unwrap_or(now)).max();
        let values = [count.into(), last.into(), invite.as_str().into()];
        let updated = session.query(sql, &values, |row| row.text::<DomainPart>(0)).await?;
        if updated.is_empty() {
            full.push(invite.clone());
        }
        for host in updated {
            events.extend(uses.iter().map(|used| Event {
                host: Some(host.clone()),
                invite: Some(invite.clone()),
                account: Some(used.account.clone()),
                detail: Some(used.purpose.to_string()),
                ..Event::new(now, by.clone(), Action::Redeemed)
            }));
            taken.extend(uses.iter().map(|used| (invite, *used)));
        }
    }
    insert_uses(session, &taken, now).await?;
    record(session, &events)?;
    // Registrations here have reserved the uses. If they fail, nobody else may have these uses.
    revoke_imported(session, full, now, by.clone()).await.map(drop)
}

async fn add_accounts(session: &mut Session<'_>, accounts: Vec<(Joined, Option<InviteId>)>) -> Result<()> {
    for page in accounts.chunks(PAGE) {
        let values: Vec<Value> = page
            .iter()
            .flat_map(|(joined, by)| {
                [
                    joined.account.as_str().into(),
                    joined.inviter.as_ref().map(|jid| jid.as_str()).into(),
                    by.as_ref().map(InviteId::as_str).into(),
                    joined.at.into(),
                ]
            })
            .collect();
        let sql = format!(
            "INSERT INTO account (jid, inviter, invite, registered_at) VALUES {} ON CONFLICT (jid) DO NOTHING",
            tuples(4, values.len())
        );
        session.execute(&sql, &values).await?;
    }
    Ok(())
}

pub async fn pending_imported(
    session: &mut Session<'_>,
    host: DomainPart,
    program: Program,
    after: String,
    now: Timestamp,
) -> Result<Vec<(InviteId, TokenHash)>> {
    let sql = format!(
        "SELECT id, token_hash FROM invite WHERE {PENDING} AND host = $2 AND id > $3 AND imported_from = $4 \
         AND token_length IS NOT NULL ORDER BY id LIMIT {PAGE}"
    );
    let values = [now.into(), host.as_str().into(), after.as_str().into(), program.as_ref().into()];
    session.query(&sql, &values, |row| Ok((row.parsed(0, InviteId::parse)?, TokenHash(row.bytes(1)?)))).await
}

pub async fn revoke_imported(
    session: &mut Session<'_>,
    invites: Vec<InviteId>,
    now: Timestamp,
    by: Actor,
) -> Result<u64> {
    let mut values = vec![now.into()];
    let these = among(&mut values, invites.iter().map(|id| id.as_str().into()));
    let condition = format!("{PENDING} AND token_length IS NOT NULL AND id IN ({these})");
    revoke_where(session, &condition, &values, now, by).await
}
