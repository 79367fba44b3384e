//! The store in an SQLite file: one thread writes, one reads.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown};
use std::path::Path;
use std::time::Duration;

use jid::{BareJid, DomainPart, NodePart};
use jiff::Timestamp;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, Type, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, named_params};

use super::sqlite_thread::{SqliteThread, explain};
use super::{Claim, Filter, Result, StoreError};
use crate::invite::{Invite, InviteId, InviteType, Issuer, Purpose, State, TokenHash, Use};

/// Every schema change since the first, in order; `user_version` counts those that a file has seen.
const MIGRATIONS: [&str; 1] = [include_str!("../../migrations/0001_invites.sql")];

/// Marks a file as a store of easy-invite ("einv"), so that another program's database is not written to.
const APPLICATION_ID: i32 = 0x6569_6e76;

/// How long to wait for another process (the command line beside the daemon) that holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How many standing reservations a contended claim names at the most.
const CONTENDED: u32 = 16;

/// A pending invite at `:now`, as far as its own row tells.
const PENDING: &str = "revoked_at IS NULL AND (expires_at IS NULL OR expires_at > :now) \
     AND (max_uses IS NULL OR uses < max_uses)";

const INVITE_COLUMNS: &str = "invite.id, token_hash, type, host, username, inviter, issuer, roles, groups, note, \
     max_uses, uses, created_at, expires_at, revoked_at";

/// A store in an SQLite file.
#[derive(Clone)]
pub struct Sqlite {
    writer: SqliteThread,
    reader: SqliteThread,
}

impl Sqlite {
    /// Opens the file; with `make`, makes it where there is none.
    pub fn open(path: &Path, make: bool) -> Result<Self> {
        let file = path.display().to_string();
        let unopenable = |problem: String| StoreError::Unopenable(file.clone(), problem);
        // Only its owner may read it: it says who invites whom. SQLite gives its -wal and -shm files the same mode.
        let opened = OpenOptions::new().append(true).create(make).mode(0o600).open(path);
        let opened = opened.map_err(|error| match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly(file.clone()),
            ErrorKind::StorageFull => StoreError::Full(file.clone()),
            ErrorKind::NotFound if !folder_of(path).exists() => {
                unopenable(format!("there is no folder {}", folder_of(path).display()))
            }
            ErrorKind::NotFound if !make => StoreError::Missing(file.clone()),
            _ => unopenable(error.to_string()),
        })?;
        // Whoever began to make it came no further.
        if !make && opened.metadata().is_ok_and(|metadata| metadata.len() == 0) {
            return Err(StoreError::Missing(file));
        }
        give_to_owner_of_folder(path);
        let mut connection = connect(path, &file)?;
        migrate(&mut connection, &file)?;
        let reading = connect(path, &file)?;
        reading.pragma_update(None, "query_only", true).map_err(|error| explain(&file, &error))?;
        Ok(Sqlite {
            writer: SqliteThread::start(connection, path, true)?,
            reader: SqliteThread::start(reading, path, false)?,
        })
    }

    pub async fn insert(&self, invite: Invite, now: Timestamp) -> Result<bool> {
        self.writer.run(move |connection| insert(connection, &invite, now)).await
    }

    pub async fn find(&self, token_hash: TokenHash) -> Result<Option<Invite>> {
        self.reader
            .run(move |connection| {
                let sql = format!("SELECT {INVITE_COLUMNS} FROM invite WHERE token_hash = :hash");
                let mut statement = connection.prepare_cached(&sql)?;
                statement.query_row(named_params! {":hash": token_hash.0}, invite_of).optional()
            })
            .await
    }

    pub async fn find_by_id(&self, id: InviteId) -> Result<Option<Invite>> {
        self.reader.run(move |connection| by_id(connection, &id)).await
    }

    pub async fn reserve(&self, wanted: Use) -> Result<Claim> {
        self.writer.run(move |connection| reserve(connection, &wanted)).await
    }

    pub async fn redeemed_by(&self, id: InviteId, account: BareJid) -> Result<bool> {
        self.reader
            .run(move |connection| {
                let sql = "SELECT EXISTS (SELECT 1 FROM invite_use JOIN invite ON invite.id = invite_use.invite \
                     WHERE invite = :id AND account = :account AND redeemed_at IS NOT NULL AND revoked_at IS NULL)";
                let mut statement = connection.prepare_cached(sql)?;
                statement.query_row(named_params! {":id": id.as_str(), ":account": account.as_str()}, |row| row.get(0))
            })
            .await
    }

    pub async fn redeem(&self, reservation: String, now: Timestamp) -> Result<Option<(Use, bool)>> {
        self.writer.run(move |connection| redeem(connection, &reservation, now)).await
    }

    pub async fn release(&self, reservation: String) -> Result<bool> {
        self.writer.run(move |connection| release(connection, &reservation)).await
    }

    pub async fn reserved_until(
        &self,
        instant: Timestamp,
        hosts: Vec<DomainPart>,
        limit: u32,
    ) -> Result<Vec<(Use, Invite)>> {
        self.reader
            .run(move |connection| {
                let hosts = json(&hosts.iter().map(ToString::to_string).collect::<Vec<_>>())?;
                let condition = "redeemed_at IS NULL AND reserved_at <= :instant \
                     AND host IN (SELECT value FROM json_each(:hosts)) \
                     ORDER BY row_number() OVER (PARTITION BY host ORDER BY reserved_at), reserved_at";
                let values: [(&str, &dyn ToSql); 2] = [(":instant", &instant.as_second()), (":hosts", &hosts)];
                reservations(connection, condition, limit, &values)
            })
            .await
    }

    pub async fn reserved_for(&self, account: BareJid) -> Result<Vec<(Use, Invite)>> {
        self.reader
            .run(move |connection| {
                let condition = "redeemed_at IS NULL AND purpose = 'register' AND account = :account";
                reservations(connection, condition, CONTENDED, &[(":account", &account.as_str())])
            })
            .await
    }

    pub async fn username_reserved(&self, account: BareJid, now: Timestamp) -> Result<bool> {
        self.reader.run(move |connection| reserving_invite(connection, &account, None, now)).await
    }

    pub async fn revoke(&self, id: InviteId, now: Timestamp) -> Result<Option<Invite>> {
        self.writer
            .run(move |connection| {
                let sql = "UPDATE invite SET revoked_at = :now WHERE id = :id AND revoked_at IS NULL";
                let mut statement = connection.prepare_cached(sql)?;
                statement.execute(named_params! {":id": id.as_str(), ":now": now.as_second()})?;
                by_id(connection, &id)
            })
            .await
    }

    pub async fn revoke_of_inviter(&self, inviter: BareJid, now: Timestamp) -> Result<u64> {
        self.writer
            .run(move |connection| {
                let sql = format!("UPDATE invite SET revoked_at = :now WHERE inviter = :inviter AND {PENDING}");
                let values = named_params! {":inviter": inviter.as_str(), ":now": now.as_second()};
                connection.execute(&sql, values).map(|rows| rows as u64)
            })
            .await
    }

    pub async fn account_deleted(&self, account: BareJid, deleted_at: Timestamp, now: Timestamp) -> Result<u64> {
        self.writer
            .run(move |connection| {
                // The "+" keeps SQLite from walking through every invite of the host by age.
                let sql = format!(
                    "UPDATE invite SET revoked_at = :now WHERE {PENDING} AND +created_at <= :deleted \
                     AND (inviter = :account OR (type = 'password-reset' AND host = :host AND username = :username))"
                );
                let ended = connection.execute(
                    &sql,
                    named_params! {
                        ":now": now.as_second(),
                        ":deleted": deleted_at.as_second(),
                        ":account": account.as_str(),
                        ":host": account.domain().as_str(),
                        ":username": account.node().map(|node| node.as_str()),
                    },
                )?;
                connection.execute(
                    "DELETE FROM account WHERE jid = :account AND registered_at <= :deleted",
                    named_params! {":account": account.as_str(), ":deleted": deleted_at.as_second()},
                )?;
                Ok(ended as u64)
            })
            .await
    }

    pub async fn list(&self, filter: Filter, limit: u32, now: Timestamp) -> Result<Vec<Invite>> {
        self.reader.run(move |connection| list(connection, &filter, limit, now)).await
    }

    pub async fn accounts_of(&self, id: InviteId, limit: u32) -> Result<Vec<(BareJid, Timestamp)>> {
        self.reader
            .run(move |connection| {
                let sql = "SELECT jid, registered_at FROM account WHERE invite = :id \
                     ORDER BY registered_at DESC, jid LIMIT :limit";
                let mut statement = connection.prepare_cached(sql)?;
                let rows = statement.query_map(named_params! {":id": id.as_str(), ":limit": limit}, |row| {
                    Ok((required(row, 0, |text| BareJid::new(text).ok())?, row.get::<_, Second>(1)?.0))
                })?;
                rows.collect()
            })
            .await
    }

    pub async fn purge(&self, ended_before: Timestamp, limit: u32) -> Result<u64> {
        self.writer
            .run(move |connection| {
                // A use whose fate is open keeps its invite: it may still have to be redeemed or given back.
                let sql = "DELETE FROM invite WHERE id IN (
                    SELECT id FROM (
                        SELECT id FROM invite WHERE expires_at < :before
                        UNION SELECT id FROM invite WHERE revoked_at < :before
                        UNION SELECT id FROM invite WHERE last_used_at < :before AND uses >= max_uses
                    ) AS ended WHERE NOT EXISTS (
                        SELECT 1 FROM invite_use WHERE invite = ended.id AND redeemed_at IS NULL
                    ) LIMIT :limit)";
                let mut statement = connection.prepare_cached(sql)?;
                let values = named_params! {":before": ended_before.as_second(), ":limit": limit};
                statement.execute(values).map(|rows| rows as u64)
            })
            .await
    }

    pub async fn verify(&self) -> Result<()> {
        self.reader
            .run(|connection| {
                let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
                if verdict == "ok" {
                    return Ok(());
                }
                let corrupt = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
                Err(rusqlite::Error::SqliteFailure(corrupt, Some(verdict)))
            })
            .await
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A store that root makes, on the command line, belongs to the daemon's user: whoever owns the folder. SQLite does the
/// same with its -wal and -shm files.
fn give_to_owner_of_folder(path: &Path) {
    if let (Ok(file), Ok(folder)) = (path.metadata(), folder_of(path).metadata())
        && file.uid() == 0
        && folder.uid() != 0
        && let Err(error) = chown(path, Some(folder.uid()), Some(folder.gid()))
    {
        tracing::debug!(%error, "the store stays with its owner");
    }
}

fn connect(path: &Path, file: &str) -> Result<Connection> {
    let explained = |error: rusqlite::Error| explain(file, &error);
    let connection = Connection::open(path).map_err(explained)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(explained)?;
    // WAL mode is written to the file, so it has to be ours.
    schema_of(&connection, file)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).map_err(explained)?;
    // In WAL mode anything less may lose the last commits when the power goes.
    connection.pragma_update(None, "synchronous", "FULL").map_err(explained)?;
    connection.pragma_update(None, "foreign_keys", true).map_err(explained)?;
    Ok(connection)
}

/// How many migrations a file has seen. It is a store that this version knows, or empty.
fn schema_of(connection: &Connection, file: &str) -> Result<i64> {
    let explained = |error: rusqlite::Error| explain(file, &error);
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(explained);
    let found = pragma("user_version")?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(explained)?;
    if tables > 0 && pragma("application_id")? != i64::from(APPLICATION_ID) {
        return Err(StoreError::Foreign(file.to_owned()));
    }
    let known = MIGRATIONS.len() as i64;
    if found > known {
        return Err(StoreError::Newer { file: file.to_owned(), found, known });
    }
    Ok(found)
}

/// Brings the schema up to date, all or nothing. Where it is, nobody who writes is waited for.
fn migrate(connection: &mut Connection, file: &str) -> Result<()> {
    let explained = |error: rusqlite::Error| explain(file, &error);
    let known = MIGRATIONS.len() as i64;
    if schema_of(connection, file)? == known {
        return Ok(());
    }
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(explained)?;
    // Another process may just have done it.
    let found = schema_of(&transaction, file)?;
    for migration in MIGRATIONS.iter().skip(found.unsigned_abs() as usize) {
        transaction.execute_batch(migration).map_err(explained)?;
    }
    if found < known {
        transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(explained)?;
        transaction.pragma_update(None, "user_version", known).map_err(explained)?;
    }
    transaction.commit().map_err(explained)
}

fn insert(connection: &Connection, invite: &Invite, now: Timestamp) -> rusqlite::Result<bool> {
    if let Some(username) = invite.username.as_ref().filter(|_| invite.invite_type != InviteType::PasswordReset) {
        let account = BareJid::from_parts(Some(username), &invite.host);
        if reserving_invite(connection, &account, None, now)? {
            return Ok(false);
        }
    }
    let mut statement = connection.prepare_cached(
        "INSERT INTO invite (id, token_hash, type, host, username, inviter, issuer, roles, groups, note, \
             max_uses, created_at, expires_at)
         VALUES (:id, :hash, :type, :host, :username, :inviter, :issuer, :roles, :groups, :note, \
             :max_uses, :created, :expires)",
    )?;
    statement.execute(named_params! {
        ":id": invite.id.as_str(),
        ":hash": invite.token_hash.0,
        ":type": invite.invite_type.as_str(),
        ":host": invite.host.as_str(),
        ":username": invite.username.as_ref().map(|node| node.as_str()),
        ":inviter": invite.inviter.as_ref().map(|jid| jid.as_str()),
        ":issuer": invite.issuer.as_str(),
        ":roles": json(&invite.roles)?,
        ":groups": json(&invite.groups)?,
        ":note": invite.note,
        ":max_uses": invite.max_uses,
        ":created": invite.created_at.as_second(),
        ":expires": invite.expires_at.map(Timestamp::as_second),
    })?;
    Ok(true)
}

fn by_id(connection: &Connection, id: &InviteId) -> rusqlite::Result<Option<Invite>> {
    let sql = format!("SELECT {INVITE_COLUMNS} FROM invite WHERE id = :id");
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_row(named_params! {":id": id.as_str()}, invite_of).optional()
}

/// Does a pending invite, other than `except`, reserve the account's username?
fn reserving_invite(
    connection: &Connection,
    account: &BareJid,
    except: Option<&InviteId>,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let sql = format!(
        "SELECT EXISTS (SELECT 1 FROM invite WHERE host = :host AND username = :username \
         AND type <> 'password-reset' AND id <> :except AND {PENDING})"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_row(
        named_params! {
            ":host": account.domain().as_str(),
            ":username": account.node().map(|node| node.as_str()),
            ":except": except.map_or("", InviteId::as_str),
            ":now": now.as_second(),
        },
        |row| row.get(0),
    )
}

fn reserve(connection: &Connection, wanted: &Use) -> rusqlite::Result<Claim> {
    let (invite, account) = (wanted.invite.as_str(), wanted.account.as_str());
    let now = wanted.reserved_at;
    if wanted.purpose == Purpose::Register && reserving_invite(connection, &wanted.account, Some(&wanted.invite), now)?
    {
        return Ok(Claim::UsernameReserved);
    }
    // The account may be in the making elsewhere, by this invite or by another.
    let standing =
        reservations(connection, "redeemed_at IS NULL AND account = :account", CONTENDED, &[(":account", &account)])?;
    if !standing.is_empty() {
        return Ok(Claim::Contended(standing));
    }
    let taken = connection
        .prepare_cached(
            "UPDATE invite SET taken = taken + 1 \
             WHERE id = :id AND revoked_at IS NULL AND (max_uses IS NULL OR taken < max_uses)",
        )?
        .execute(named_params! {":id": invite})?;
    if taken == 1 {
        connection
            .prepare_cached(
                "INSERT INTO invite_use (id, invite, purpose, account, reserved_at) \
                 VALUES (:id, :invite, :purpose, :account, :now)",
            )?
            .execute(named_params! {
                ":id": wanted.id,
                ":invite": invite,
                ":purpose": wanted.purpose.as_str(),
                ":account": account,
                ":now": now.as_second(),
            })?;
        return Ok(Claim::Reserved);
    }
    match by_id(connection, &wanted.invite)? {
        Some(invite) if invite.revoked_at.is_none() => (),
        _ => return Ok(Claim::Gone),
    }
    let standing =
        reservations(connection, "redeemed_at IS NULL AND invite = :invite", CONTENDED, &[(":invite", &invite)])?;
    Ok(if standing.is_empty() { Claim::UsedUp } else { Claim::Contended(standing) })
}

fn redeem(connection: &Connection, reservation: &str, now: Timestamp) -> rusqlite::Result<Option<(Use, bool)>> {
    let Some((used, invite)) = reservations(connection, "invite_use.id = :id", 1, &[(":id", &reservation)])?.pop()
    else {
        return Ok(None);
    };
    let redeemed = connection
        .prepare_cached("UPDATE invite_use SET redeemed_at = :now WHERE id = :id AND redeemed_at IS NULL")?
        .execute(named_params! {":id": reservation, ":now": now.as_second()})?;
    if redeemed == 0 {
        return Ok(Some((used, false)));
    }
    connection
        .prepare_cached("UPDATE invite SET uses = uses + 1, last_used_at = :now WHERE id = :id")?
        .execute(named_params! {":id": used.invite.as_str(), ":now": now.as_second()})?;
    if used.purpose == Purpose::Register {
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO account (jid, inviter, invite, registered_at) \
                 VALUES (:jid, :inviter, :invite, :now)",
            )?
            .execute(named_params! {
                ":jid": used.account.as_str(),
                ":inviter": invite.inviter.as_ref().map(|jid| jid.as_str()),
                ":invite": invite.id.as_str(),
                ":now": now.as_second(),
            })?;
    }
    Ok(Some((used, true)))
}

fn release(connection: &Connection, reservation: &str) -> rusqlite::Result<bool> {
    let sql = "DELETE FROM invite_use WHERE id = :id AND redeemed_at IS NULL RETURNING invite";
    let invite: Option<String> =
        connection.prepare_cached(sql)?.query_row(named_params! {":id": reservation}, |row| row.get(0)).optional()?;
    if let Some(invite) = &invite {
        connection
            .prepare_cached("UPDATE invite SET taken = taken - 1 WHERE id = :id")?
            .execute(named_params! {":id": invite})?;
    }
    Ok(invite.is_some())
}

/// Uses with their invites, under a condition of our own.
fn reservations(
    connection: &Connection,
    condition: &str,
    limit: u32,
    values: &[(&str, &dyn ToSql)],
) -> rusqlite::Result<Vec<(Use, Invite)>> {
    let sql = format!(
        "SELECT {INVITE_COLUMNS}, invite_use.id, purpose, account, reserved_at \
         FROM invite_use JOIN invite ON invite.id = invite_use.invite WHERE {condition} LIMIT {limit}"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(values, |row| {
        let invite = invite_of(row)?;
        let used = Use {
            id: row.get(15)?,
            invite: invite.id.clone(),
            purpose: required(row, 16, Purpose::parse)?,
            account: required(row, 17, |text| BareJid::new(text).ok())?,
            reserved_at: row.get::<_, Second>(18)?.0,
        };
        Ok((used, invite))
    })?;
    rows.collect()
}

fn list(connection: &Connection, filter: &Filter, limit: u32, now: Timestamp) -> rusqlite::Result<Vec<Invite>> {
    let host = filter.host.as_ref().map(|host| host.as_str());
    let inviter = filter.inviter.as_ref().map(|jid| jid.as_str());
    let seconds = now.as_second();
    let mut conditions = vec![match filter.state {
        None => "TRUE".to_owned(),
        Some(State::Pending) => PENDING.to_owned(),
        Some(State::Redeemed) => "uses >= max_uses".to_owned(),
        Some(State::Revoked) => "revoked_at IS NOT NULL AND (max_uses IS NULL OR uses < max_uses)".to_owned(),
        Some(State::Expired) => "revoked_at IS NULL AND expires_at <= :now \
                                 AND (max_uses IS NULL OR uses < max_uses)"
            .to_owned(),
    }];
    let mut values: Vec<(&str, &dyn ToSql)> = Vec::new();
    if matches!(filter.state, Some(State::Pending | State::Expired)) {
        values.push((":now", &seconds));
    }
    if host.is_some() {
        conditions.push("host = :host".to_owned());
        values.push((":host", &host));
    }
    if inviter.is_some() {
        conditions.push("inviter = :inviter".to_owned());
        values.push((":inviter", &inviter));
    }
    let sql = format!(
        "SELECT {INVITE_COLUMNS} FROM invite WHERE {} ORDER BY created_at DESC, id LIMIT {limit}",
        conditions.join(" AND ")
    );
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_map(&*values, invite_of)?.collect()
}

fn invite_of(row: &Row<'_>) -> rusqlite::Result<Invite> {
    Ok(Invite {
        id: id_of(row, 0)?,
        token_hash: TokenHash(row.get(1)?),
        invite_type: required(row, 2, InviteType::parse)?,
        host: required(row, 3, |text| DomainPart::new(text).ok().map(|host| host.into_owned()))?,
        username: parsed(row, 4, |text| NodePart::new(text).ok().map(|node| node.into_owned()))?,
        inviter: parsed(row, 5, |text| BareJid::new(text).ok())?,
        issuer: required(row, 6, Issuer::parse)?,
        roles: required(row, 7, |text| serde_json::from_str(text).ok())?,
        groups: required(row, 8, |text| serde_json::from_str(text).ok())?,
        note: row.get(9)?,
        max_uses: row.get(10)?,
        uses: row.get(11)?,
        created_at: row.get::<_, Second>(12)?.0,
        expires_at: row.get::<_, Option<Second>>(13)?.map(|second| second.0),
        revoked_at: row.get::<_, Option<Second>>(14)?.map(|second| second.0),
    })
}

fn id_of(row: &Row<'_>, column: usize) -> rusqlite::Result<InviteId> {
    required(row, column, InviteId::parse)
}

/// A text column that must hold what `parse` understands: the database is input like any other.
fn required<T>(row: &Row<'_>, column: usize, parse: impl Fn(&str) -> Option<T>) -> rusqlite::Result<T> {
    parsed(row, column, parse)?.ok_or(rusqlite::Error::InvalidColumnType(column, "null".to_owned(), Type::Null))
}

fn parsed<T>(row: &Row<'_>, column: usize, parse: impl Fn(&str) -> Option<T>) -> rusqlite::Result<Option<T>> {
    let text: Option<String> = row.get(column)?;
    let Some(text) = text else { return Ok(None) };
    let corrupt = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    let message = format!("column {column} of a row holds {text:?}");
    parse(&text).map(Some).ok_or(rusqlite::Error::SqliteFailure(corrupt, Some(message)))
}

/// A column of whole seconds since 1970.
struct Second(Timestamp);

impl FromSql for Second {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let second = value.as_i64()?;
        Timestamp::from_second(second).map(Second).map_err(|_| FromSqlError::OutOfRange(second))
    }
}

fn json(list: &[String]) -> rusqlite::Result<String> {
    serde_json::to_string(list).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}
