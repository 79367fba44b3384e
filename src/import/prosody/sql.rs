//! Prosody's SQL database: the table `prosody`, with a row for each key of each store. The host's
//! own data are under the user "".

use anyhow::{Context, bail};

use super::{Host, INVITES, Job, Place, TRACKED, TRACKING};
use crate::database::{Foreign, StoreUrl};
use crate::import::Kind;
use crate::import::lua_data::Value;
use crate::jids;

/// How many rows are read at once.
const ROWS: usize = 2000;

/// The largest value that is read, in characters.
const LARGEST_VALUE: usize = 1 << 16;

/// Reads the data of all hosts.
pub fn read(url: &StoreUrl, job: &Job) -> anyhow::Result<()> {
    Foreign::with(url, |database| read_from(database, url, job))
}

fn read_from(database: &mut Foreign, url: &StoreUrl, job: &Job) -> anyhow::Result<()> {
    let hosts = database.found("SELECT DISTINCT host FROM prosody ORDER BY host", &[]);
    let no_table = || format!("{url} has no data of Prosody, which keeps them in a table prosody");
    for row in hosts.with_context(no_table)? {
        let written = row.into_iter().flatten().next().unwrap_or_default();
        let Ok(written) = String::from_utf8(written) else { continue };
        // Data under an empty name belong to the whole server.
        if let Ok(name) = jids::domain(&written) {
            read_host(database, &written, &mut Host::new(job, name))?;
        }
    }
    Ok(())
}

fn read_host(database: &mut Foreign, written: &str, host: &mut Host<'_>) -> anyhow::Result<()> {
    let place = |user: &str, store: &str| {
        let whose = if user.is_empty() { written.to_owned() } else { format!("{user}@{written}") };
        Place(format!("the table prosody, {store} of {whose}").into(), None)
    };
    let mut of = (Vec::new(), None);
    each(database, written, INVITES, "<>", |user, token, end| {
        if of.0 != user || of.1.is_none() {
            of = (user.to_vec(), host.account(user));
        }
        let place = place(&String::from_utf8_lossy(user), INVITES);
        match &of.1 {
            None => Ok(()),
            Some(Ok(inviter)) => host.half(inviter, &token, &end, place),
            Some(Err(reason)) => host.skip(Kind::Invite, None, *reason, &place),
        }
    })?;
    let of_host = place("", INVITES);
    each(database, written, INVITES, "=", |_, token, invite| host.invite(&token, &invite, &of_host))?;
    host.contacts()?;
    let mut tracked: (Vec<u8>, Vec<(Value, Value)>) = Default::default();
    let joined = |(user, entries): &mut (Vec<u8>, Vec<_>)| {
        let (user, entries) = (std::mem::take(user), Value::Table(std::mem::take(entries)));
        let place = place(&String::from_utf8_lossy(&user), TRACKING);
        match host.account(&user) {
            None => Ok(()),
            Some(Ok(account)) => host.joined(account, &entries, &place),
            Some(Err(reason)) => host.skip(Kind::Account, None, reason, &place),
        }
    };
    each(database, written, TRACKING, "<>", |user, key, value| {
        if tracked.0 != user {
            joined(&mut tracked)?;
            tracked.0 = user.to_vec();
        }
        if TRACKED.iter().any(|wanted| key.text() == Some(wanted)) && tracked.1.len() < TRACKED.len() {
            tracked.1.push((key, value));
        }
        Ok(())
    })?;
    joined(&mut tracked)?;
    host.end(true)
}

/// Calls `take` with the user, the key and the value of each row of a store. `whose`: `<>` for the
/// rows of the host's users, `=` for the host's own.
fn each(
    database: &mut Foreign,
    host: &str,
    store: &str,
    whose: &str,
    mut take: impl FnMut(&[u8], Value, Value) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let sql = format!(
        "SELECT \"user\", \"key\", \"type\", CASE WHEN length(\"value\") <= {LARGEST_VALUE} THEN \"value\" END \
         FROM prosody WHERE host = $1 AND store = $2 AND \"user\" {whose} '' AND (\"user\", \"key\") > ($3, $4) \
         ORDER BY \"user\", \"key\" LIMIT {ROWS}"
    );
    let (mut last_user, mut last_key) = (String::new(), String::new());
    loop {
        let rows = database.found(&sql, &[host, store, &last_user, &last_key])?;
        let is_last = rows.len() < ROWS;
        let (mut user, mut key) = (Vec::new(), Vec::new());
        for row in rows {
            let [whose, name, type_of, value] =
                <[_; 4]>::try_from(row).unwrap_or_default().map(Option::unwrap_or_default);
            (user, key) = (whose, name);
            take(&user, Value::Text(key.clone()), value_of(&type_of, value))?;
        }
        if is_last {
            return Ok(());
        }
        match (String::from_utf8(user), String::from_utf8(key)) {
            (Ok(user), Ok(key)) => (last_user, last_key) = (user, key),
            _ => bail!("the table prosody has a name in {store} of {host} that is not UTF-8"),
        }
    }
}

/// A value as mod_storage_sql writes it.
fn value_of(type_of: &[u8], text: Vec<u8>) -> Value {
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse().ok().map(Value::Number);
    match type_of {
        b"string" => Value::Text(text),
        b"number" => number(&text).unwrap_or(Value::Nil),
        b"boolean" => Value::Bool(text == b"true"),
        b"json" => serde_json::from_slice::<serde_json::Value>(&text).map_or(Value::Nil, Value::from),
        _ => Value::Nil,
    }
}
