//! What the tests of the store share: stores of their own in either engine, and invites to put into
//! them.

#![allow(dead_code, reason = "each test program uses a part of this")]

use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use easy_invite::chat_server::ChatServer;
use easy_invite::invite::{Invite, InviteId, InviteType, Issuer, Purpose, Token, Use};
use easy_invite::invites::{Error, Invites, Settings};
use easy_invite::limits::Address;
use easy_invite::links::tokens_in;
use easy_invite::refusal::Refusal;
use easy_invite::store::{Claim, Quota, Store, StoreUrl};
use jid::{BareJid, DomainPart, NodePart};
use jiff::Timestamp;
use rusqlite::types::Value;
use tokio::time::{sleep, timeout};
use tokio_postgres::{NoTls, SimpleQueryMessage};

pub mod cluster;
pub mod relay;
pub mod service;

/// The variable with the URL of a PostgreSQL server in which databases can be made, without a
/// database.
const SERVER_VARIABLE: &str = "EASY_INVITE_TEST_POSTGRES";

/// What is in a store, each table by its key.
const TABLES: [&str; 7] = [
    "SELECT id, token_hash, type, host, username, inviter, issuer, roles, groups, note, max_uses, taken, uses, \
     created_at, expires_at, revoked_at, last_used_at, owners_since, links, regenerated_at, language, inviter_name, \
     imported_from, token_length, told_at FROM invite ORDER BY id",
    "SELECT id, invite, purpose, account, server, reserved_at, redeemed_at, failed FROM invite_use ORDER BY id",
    "SELECT invite_use, invite, message FROM notice ORDER BY invite_use",
    "SELECT jid, inviter, invite, registered_at FROM account ORDER BY jid",
    "SELECT token_hash, invite, links, token_length, regenerated_at FROM past_token ORDER BY token_hash",
    "SELECT token_hash, noted_at FROM withdrawn_link ORDER BY token_hash",
    "SELECT at, id, actor, action, host, invite, account, detail, count FROM event ORDER BY at, id",
];

/// Two tests of each function: `sqlite::…` and `postgres::…`.
#[allow(unused_macros, reason = "each test program uses a part of this")]
macro_rules! on_both_engines {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test($crate::engines::Engine::Sqlite).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test($crate::engines::Engine::Postgres).await;
            })+
        }
    };
}
#[allow(unused_imports, reason = "each test program uses a part of this")]
pub(crate) use on_both_engines;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// The place of a store, which is removed when this is dropped.
pub enum Place {
    Folder(tempfile::TempDir),
    Database(Database),
}

impl Place {
    pub async fn new(engine: Engine) -> Self {
        match engine {
            Engine::Sqlite => Place::Folder(tempfile::tempdir().unwrap()),
            Engine::Postgres => Place::Database(Database::new(&server()).await),
        }
    }

    pub fn url(&self) -> StoreUrl {
        match self {
            Place::Folder(folder) => StoreUrl::Sqlite(folder.path().join("easy-invite.db")),
            Place::Database(database) => database.url.parse().unwrap(),
        }
    }

    /// Where an SQLite file is.
    pub fn folder(&self) -> &Path {
        match self {
            Place::Folder(folder) => folder.path(),
            Place::Database(_) => panic!("a database has no folder"),
        }
    }

    /// Runs a test's own statements on the store.
    pub async fn run(&self, sql: &str) {
        self.query(sql).await;
    }

    /// Everything in the store, in the same form for both engines.
    pub async fn contents(&self) -> Vec<Vec<String>> {
        let mut contents = Vec::new();
        for table in TABLES {
            contents.extend(self.query(table).await);
        }
        contents
    }

    /// The rows of a statement as text, with `-` for NULL.
    pub async fn query(&self, sql: &str) -> Vec<Vec<String>> {
        match self {
            Place::Folder(folder) => {
                let connection = rusqlite::Connection::open(folder.path().join("easy-invite.db")).unwrap();
                if !sql.starts_with("SELECT") {
                    connection.execute_batch(sql).unwrap();
                    return Vec::new();
                }
                let mut statement = connection.prepare(sql).unwrap();
                let columns = statement.column_count();
                let rows = statement
                    .query_map([], |row| Ok((0..columns).map(|column| in_words(row.get_unwrap(column))).collect()));
                rows.unwrap().map(Result::unwrap).collect()
            }
            Place::Database(database) => query(&database.url, sql).await,
        }
    }
}

fn in_words(value: Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => text,
        // As PostgreSQL writes it.
        Value::Blob(bytes) => bytes.iter().fold("\\x".to_owned(), |text, byte| format!("{text}{byte:02x}")),
    }
}

/// The URL of the server for the tests, without a database.
pub fn server() -> String {
    let url = std::env::var(SERVER_VARIABLE).unwrap_or_else(|_| {
        panic!("{SERVER_VARIABLE} is not set; run the tests like this: scripts/with-postgres cargo test")
    });
    url.trim_end_matches('/').to_owned()
}

/// A database of the test's own, on a server.
pub struct Database {
    server: String,
    pub name: String,
    pub url: String,
}

impl Database {
    pub async fn new(server: &str) -> Self {
        let name = format!("test_{}", InviteId::generate().unwrap());
        query(&format!("{server}/postgres"), &format!("CREATE DATABASE {name}")).await;
        Database { server: server.to_owned(), url: format!("{server}/{name}"), name }
    }

    /// Ends every connection to it.
    pub async fn disconnect(&self) {
        let sql = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'", self.name);
        query(&format!("{}/postgres", self.server), &sql).await;
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (url, sql) = (format!("{}/postgres", self.server), format!("DROP DATABASE {} WITH (FORCE)", self.name));
        // The runtime of the test may be at its end.
        let dropping = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(query(&url, &sql))
        });
        drop(dropping.join());
    }
}

/// Runs a statement on a connection of its own.
pub async fn query(url: &str, sql: &str) -> Vec<Vec<String>> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let rows = client.simple_query(sql).await.unwrap();
    drop(client);
    drop(connection.await);
    let rows = rows.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|column| row.get(column).unwrap_or("-").to_owned()).collect())
        }
        _ => None,
    });
    rows.collect()
}

/// Waits until something is true, for longer than the store ever waits.
pub async fn until(what: &str, is_true: impl AsyncFn() -> bool) {
    let waiting = async {
        while !is_true().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(60), waiting).await.unwrap_or_else(|_| panic!("{what}"));
}

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

pub fn jid(text: &str) -> BareJid {
    BareJid::new(text).unwrap()
}

pub fn host(text: &str) -> DomainPart {
    DomainPart::new(text).unwrap().into_owned()
}

pub fn username(text: &str) -> Option<NodePart> {
    Some(NodePart::new(text).unwrap().into_owned())
}

pub fn invite() -> Invite {
    Invite {
        id: InviteId::generate().unwrap(),
        token_hash: Token::generate().unwrap().hash(),
        invite_type: InviteType::AccountAndContact,
        host: host("example.org"),
        username: None,
        inviter: Some(jid("alice@example.org")),
        issuer: Issuer::User,
        roles: vec!["prosody:member".into()],
        groups: vec!["family".into(), "friends".into()],
        note: Some("für Zoë 🎉".into()),
        max_uses: Some(1),
        uses: 0,
        created_at: at(1000),
        expires_at: Some(at(9000)),
        revoked_at: None,
        owners_since: Some(at(900)),
        links: 1,
        regenerated_at: None,
        language: Some("de".into()),
        inviter_name: Some("Alice 🐇".into()),
        imported_from: None,
        token_length: None,
        replaced: false,
    }
}

/// What a daemon does that nobody has connected to a chat server.
pub fn daemon(store: Store, clock: fn() -> Timestamp) -> Invites {
    Invites::new(store, Settings::new(host("invite.example.org")), ChatServer::channel().0, clock)
}

/// Where a stranger comes from.
pub fn source(address: &str) -> Address {
    Some(address.parse::<IpAddr>().unwrap()).into()
}

/// What a stranger is told in the end who presents what no invite has more often than one may.
pub async fn presented_often(daemon: &Invites, text: &str, address: &str) -> Refusal {
    let mut told = None;
    for _ in 0..25 {
        told = match daemon.look_up(&tokens_in(text), source(address)).await {
            Err(Error::Refused(refusal)) => Some(refusal),
            other => panic!("{other:?}"),
        };
    }
    told.unwrap()
}

pub fn claim_of(invite: &Invite, purpose: Purpose, account: &str) -> Use {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let id = format!("reservation-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    Use { id, invite: invite.id.clone(), purpose, account: jid(account), server: String::new(), reserved_at: at(2000) }
}

/// A store of its own, with the place that holds it.
pub struct Scratch {
    pub store: Store,
    pub place: Place,
}

impl Scratch {
    pub async fn new(engine: Engine) -> Self {
        let place = Place::new(engine).await;
        Scratch { store: Store::open(&place.url()).await.unwrap(), place }
    }

    /// A second store in the same place, as another process has it.
    pub async fn again(&self) -> Store {
        Store::open(&self.place.url()).await.unwrap()
    }

    pub async fn with(&self, change: impl FnOnce(&mut Invite)) -> Invite {
        let mut invite = invite();
        change(&mut invite);
        assert_eq!(self.store.insert(invite.clone(), Quota::default(), at(1000)).await, Ok(Ok(())));
        invite
    }

    pub async fn reserve(&self, invite: &Invite, account: &str) -> Result<Use, Claim> {
        let wanted = claim_of(invite, Purpose::Register, account);
        match self.store.reserve(wanted.clone(), invite.links).await.unwrap() {
            Claim::Reserved => Ok(wanted),
            other => Err(other),
        }
    }

    /// How often a text occurs in the files of an SQLite store.
    pub fn in_files(&self, text: &str) -> usize {
        let files = std::fs::read_dir(self.place.folder()).unwrap();
        let bytes = files.map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
        bytes.map(|bytes| bytes.windows(text.len()).filter(|window| *window == text.as_bytes()).count()).sum()
    }

    pub async fn uses(&self, invite: &Invite) -> u32 {
        self.store.find_by_id(invite.id.clone()).await.unwrap().unwrap().uses
    }
}
