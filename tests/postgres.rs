//! What is about PostgreSQL itself: whose database it is, how it is reached, and what becomes of
//! work when it is not.

mod engines;
mod failover;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use easy_invite::invite::{Invite, InviteId, Purpose, Token};
use easy_invite::policy::Change;
use easy_invite::refusal::Refusal;
use easy_invite::store::{Claim, Filter, Forgotten, Problem, Quota, Store, StoreError, StoreUrl, begun_by};
use engines::cluster::Cluster;
use engines::relay::{Fault, Relay};
use engines::{Database, Engine, Place, Scratch, at, claim_of, host, invite, jid, query, server, until};
use futures::future::join_all;
use tokio::time::{sleep, timeout};

/// Longer than the store ever waits.
const LONG: Duration = Duration::from_secs(60);

/// Work that may begin late: on a busy machine, a server takes longer to start than anybody waits.
fn patiently<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    begun_by((Instant::now() + LONG).into(), work)
}

const END_HALF: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
     WHERE datname = current_database() AND pid <> pg_backend_pid() AND random() < 0.5";

fn url(text: &str) -> StoreUrl {
    text.parse().unwrap()
}

async fn refused(text: &str) -> StoreError {
    let error = timeout(LONG, Store::open(&url(text))).await.unwrap().err().unwrap();
    assert!(!error.to_string().contains("hunter2"), "{error}");
    error
}

fn port_of(server: &str) -> u16 {
    server.rsplit(':').next().unwrap().parse().unwrap()
}

/// A store that is reached through a relay, and the same directly.
async fn relayed() -> (Relay, Store, Scratch) {
    let scratch = Scratch::new(Engine::Postgres).await;
    let relay = Relay::to(port_of(&server())).await;
    let Place::Database(database) = &scratch.place else { unreachable!() };
    let through = format!("postgres://postgres@127.0.0.1:{}/{}?sslmode=disable", relay.port(), database.name);
    (relay, Store::open(&url(&through)).await.unwrap(), scratch)
}

#[tokio::test]
async fn another_programs_database_is_left_alone() {
    let database = Database::new(&server()).await;
    query(&database.url, "CREATE TABLE invite (theirs TEXT)").await;
    assert!(matches!(refused(&database.url).await, StoreError { problem: Problem::Foreign, .. }));
    let tables = query(&database.url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'").await;
    assert_eq!(tables, [["invite"]]);
}

/// The commands make what they say: PostgreSQL's own program runs them.
#[tokio::test]
async fn a_database_that_has_no_place_for_every_name_is_refused_with_the_command_that_makes_a_right_one() {
    for encoding in ["LATIN1", "SQL_ASCII", "WIN1252"] {
        let (scratch, name) = (Database::new(&server()).await, format!("other_{}", InviteId::generate().unwrap()));
        let other = format!("CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0");
        query(&scratch.url, &other).await;
        let at = |database: &str| url(&format!("{}/{database}", server()));
        for make in [true, false] {
            let opened = if make { Store::open(&at(&name)).await } else { Store::open_existing(&at(&name)).await };
            let said = opened.err().unwrap().to_string();
            assert!(said.contains(&format!("its encoding is {encoding}, and not UTF8")), "{said}");
            let (_, command) = said.split_once("another database with ").unwrap();
            let (command, _) = command.split_once(", and let store.url name it").unwrap();
            if make {
                let port = port_of(&server()).to_string();
                let mut made = Command::new("sh");
                made.args(["-c", command]).env("PGHOST", "127.0.0.1").env("PGPORT", port).env("PGUSER", "postgres");
                assert!(made.status().unwrap().success(), "{command}");
            }
        }
        assert!(
            query(&format!("{}/{name}", server()), "SELECT 1 FROM pg_tables WHERE schemaname = 'public'")
                .await
                .is_empty()
        );
        let right = format!("{name}_utf8");
        Store::open(&at(&right)).await.unwrap();
        for name in [name, right] {
            query(&scratch.url, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
        }
    }
}

#[tokio::test]
async fn a_server_that_prefers_another_encoding_for_its_clients_changes_no_text() {
    let database = Database::new(&server()).await;
    query(&database.url, &format!("ALTER DATABASE {} SET client_encoding = 'LATIN1'", database.name)).await;
    let store = Store::open(&url(&database.url)).await.unwrap();
    let made = Invite { note: Some("für Žofie 🐎".to_owned()), ..invite() };
    assert_eq!(store.insert(made.clone(), Quota::default(), at(1000)).await, Ok(Ok(())));
    assert_eq!(store.find(made.token_hash).await, Ok(Some(made)));
    assert_eq!(query(&database.url, "SELECT length(note) FROM invite").await, [["11"]]);
}

/// Over its socket, a server may ask the system who connects.
#[tokio::test]
async fn who_connects_as_somebody_else_is_told_as_whom_to_run_it() {
    let cluster = Cluster::start();
    query(&format!("{}/postgres", cluster.url()), "CREATE ROLE einv LOGIN").await;
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    cluster.configure(&format!("unix_socket_directories = '{}'\n", folder.path().display()));
    let access = cluster.data().join("pg_hba.conf");
    fs::write(&access, format!("local all all peer\n{}", fs::read_to_string(&access).unwrap())).unwrap();
    cluster.restart();
    let socket = folder.path().display().to_string().replace('/', "%2F");
    let said = refused(&format!("postgres://einv@{socket}:{}/postgres", cluster.port)).await.to_string();
    assert!(said.contains("failed for user \"einv\"") && said.contains("Run it as that user"), "{said}");
}

#[tokio::test]
async fn a_store_that_is_not_there_is_made_only_where_that_is_wanted() {
    let database = Database::new(&server()).await;
    let missing = Store::open_existing(&url(&database.url)).await.err().unwrap();
    assert!(matches!(missing, StoreError { problem: Problem::Missing, .. }), "{missing}");
    assert!(query(&database.url, "SELECT 1 FROM pg_tables WHERE schemaname = 'public'").await.is_empty());
    Store::open(&url(&database.url)).await.unwrap();
    Store::open_existing(&url(&database.url)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn several_daemons_may_make_the_store_at_the_same_moment() {
    for _ in 0..5 {
        let database = Database::new(&server()).await;
        let opening = (0..6).map(|_| {
            let url = url(&database.url);
            tokio::spawn(async move { Store::open(&url).await.map(drop) })
        });
        for opened in join_all(opening).await {
            opened.unwrap().unwrap();
        }
        assert_eq!(query(&database.url, "SELECT version FROM easy_invite_schema").await, [["1"]]);
    }
}

#[tokio::test]
async fn what_keeps_us_out_is_said_without_secrets() {
    let cluster = Cluster::start();
    let database = Database::new(&cluster.url()).await;
    let name = &database.name;
    query(&database.url, "CREATE ROLE einv LOGIN PASSWORD 'hunter2-right'").await;
    let at_port = |who: &str, what: &str| format!("postgres://{who}@127.0.0.1:{}/{what}", cluster.port);
    for (url, words) in [
        (at_port("einv:hunter2", name), "cannot be opened: password authentication failed for user \"einv\""),
        (at_port("postgres", "nowhere"), "cannot be opened: database \"nowhere\" does not exist"),
        (at_port("nobody:hunter2", name), "cannot be opened: password authentication failed for user \"nobody\""),
        (at_port("einv:hunter2-right", name), "cannot be opened: permission denied for schema public"),
        ("postgres://u:hunter2@127.0.0.1:1/d".to_owned(), "cannot be reached: error connecting to server"),
        (at_port("postgres", name) + "?sslmode=require", "(sslmode=prefer or disable does without)"),
    ] {
        let error = refused(&url).await.to_string();
        assert!(error.contains(words), "{error}");
    }
    let store = Store::open(&url(&database.url)).await.unwrap();
    query(&database.url, &format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).await;
    database.disconnect().await;
    let error = store.insert(invite(), Quota::default(), at(1000)).await.unwrap_err().to_string();
    assert!(error.contains("takes no writes") && error.contains("is this a standby?"), "{error}");
    assert_eq!(store.list(Filter::default(), 1, at(0)).await.unwrap(), [], "what only reads goes on");
}

#[tokio::test]
async fn the_password_comes_from_the_environment_or_the_password_file() {
    let (cluster, home) = (Cluster::start(), tempfile::tempdir().unwrap());
    let database = Database::new(&cluster.url()).await;
    let name = &database.name;
    query(&database.url, &format!("CREATE ROLE einv LOGIN PASSWORD 'hunter2'; ALTER DATABASE {name} OWNER TO einv"))
        .await;
    let at = |who: &str| format!("postgres://{who}@127.0.0.1:{}/{name}", cluster.port);
    Store::open(&url(&at("einv:hunter2"))).await.unwrap();
    let config = home.path().join("config.toml");
    let hosts = "[component]\njid = \"invite.example.org\"\n[hosts.\"example.org\"]\n";
    fs::write(&config, format!("{hosts}[store]\nurl = \"{}\"\n", at("einv"))).unwrap();
    let lists = |variable: (&str, &str)| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_easy-invite"));
        command.arg("--config").arg(&config).arg("list").env("HOME", home.path());
        let done =
            command.env_remove("PGPASSWORD").env_remove("PGPASSFILE").env(variable.0, variable.1).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!said.contains("hunter2"), "{said}");
        done.status.success()
    };
    let place = |file: &str, mode| {
        fs::write(home.path().join(file), format!("127.0.0.1:{}:{name}:einv:hunter2\n", cluster.port)).unwrap();
        fs::set_permissions(home.path().join(file), fs::Permissions::from_mode(mode)).unwrap();
        home.path().join(file).display().to_string()
    };
    let nothing = ("UNRELATED", "");
    assert!(!lists(nothing));
    assert!(lists(("PGPASSWORD", "hunter2")) && !lists(("PGPASSWORD", "wrong")));
    assert!(lists(("PGPASSFILE", &place("passwords", 0o600))));
    place(".pgpass", 0o644);
    assert!(!lists(nothing), "others may read it");
    place(".pgpass", 0o600);
    assert!(lists(nothing));
}

#[tokio::test]
async fn several_servers_are_tried_in_their_order() {
    let database = Database::new(&server()).await;
    let port = port_of(&server());
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let several = format!(
        "postgres://postgres@127.0.0.1:{nobody},127.0.0.1:{port}/{}?target_session_attrs=read-write&sslmode=disable",
        database.name
    );
    let store = Store::open(&url(&several)).await.unwrap();
    assert_eq!(store.insert(invite(), Quota::default(), at(1000)).await, Ok(Ok(())));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_step_of_a_registration_and_no_part_of_a_count_reads_a_whole_table() {
    let scratch = Scratch::new(Engine::Postgres).await;
    let Place::Database(database) = &scratch.place else { unreachable!() };
    let fill = "INSERT INTO invite (id, token_hash, type, host, username, inviter, issuer, roles, groups, max_uses, \
             taken, uses, created_at, expires_at) \
         SELECT 'filler' || n, sha256(n::text::bytea), 'account', 'example.org', 'user' || n, \
             'inviter' || n % 100 || '@example.org', 'user', '[]', '[]', 1, 1, 1, n, 900000 \
         FROM generate_series(1, 20000) n; \
         INSERT INTO invite_use (id, invite, purpose, account, server, reserved_at, redeemed_at) \
         SELECT 'use' || n, 'filler' || n, 'register', 'user' || n || '@example.org', '', n, n \
         FROM generate_series(1, 20000) n; \
         INSERT INTO account (jid, inviter, invite, registered_at) \
         SELECT 'user' || n || '@example.org', 'inviter' || n % 100 || '@example.org', 'filler' || n, n \
         FROM generate_series(1, 20000) n; ANALYZE";
    query(&database.url, fill).await;
    // A connection's counts can be read when it has ended. `last_commit` and `notice` are small, so
    // they are read as a whole.
    let whole = "SELECT relname, seq_scan FROM pg_stat_user_tables \
        WHERE relname NOT IN ('easy_invite_schema', 'last_commit', 'notice') ORDER BY relname";
    let ended = async || {
        database.disconnect().await;
        let others = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
        until("all connections have ended", async || query(&database.url, others).await.is_empty()).await;
    };
    ended().await;
    let before = query(&database.url, whole).await;

    let store = scratch.again().await;
    let kept = invite();
    let quota = Quota { per_day: Some(10), pending: Some(10) };
    assert_eq!(store.insert(kept.clone(), quota, at(1000)).await, Ok(Ok(())));
    assert_eq!(store.find(kept.token_hash).await, Ok(Some(kept.clone())));
    for account in ["carol@example.org", "dave@example.org"] {
        let claim = claim_of(&kept, Purpose::Register, account);
        assert_eq!(store.reserved_for(jid(account)).await.unwrap(), []);
        assert_eq!(store.reserve(claim.clone(), 1).await, Ok(Claim::Reserved));
        if account == "carol@example.org" {
            assert!(store.release(host("example.org"), claim.id).await.unwrap());
        } else {
            assert!(store.redeem(host("example.org"), claim.id, Vec::new(), true, at(2001)).await.unwrap().unwrap().1);
        }
    }
    let hooks = vec![(engines::host("example.org"), String::new())];
    assert_eq!(store.reserved_until(at(5000), at(5000), hooks, 10).await.unwrap(), []);
    assert_eq!(store.open_uses().await.unwrap(), []);
    for after in [None, Some((10_000, String::new()))] {
        let (pending, end) = store.pending_part(host("example.org"), after, 500, at(5000)).await.unwrap();
        assert!(pending == 0 && end.is_some());
    }
    drop(store);
    ended().await;
    assert_eq!(query(&database.url, whole).await, before);
}

/// Makes invites of one inviter, many at the same time, until there may be no more.
async fn fill_up(stores: &[Store], quota: Quota) -> usize {
    let workers = stores.iter().flat_map(|store| std::iter::repeat_n(store, 6)).map(async |store| {
        let mut made = 0;
        loop {
            match store.insert(invite(), quota, at(1000)).await {
                Ok(Ok(())) => made += 1,
                Ok(Err(_)) => return made,
                Err(_) => (), // somebody else was too slow, and nothing was made
            }
        }
    });
    join_all(workers).await.into_iter().sum()
}

/// Where there is room for many, nobody waits for an invite that is just being made. Later, all
/// wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_quota_is_never_exceeded_by_those_who_do_not_wait_for_each_other() {
    const MOST: usize = 1500;
    let most = Some(MOST as u32);
    for quota in [Quota { per_day: most, pending: None }, Quota { per_day: None, pending: most }] {
        let (relay, store, scratch) = relayed().await;
        let at_once: usize =
            scratch.place.query("SELECT current_setting('max_connections')").await[0][0].parse().unwrap();
        let room = at_once + 20;
        let fill = format!(
            "INSERT INTO invite (id, token_hash, type, host, inviter, issuer, roles, groups, max_uses, created_at) \
             SELECT 'filler' || n, sha256(n::text::bytea), 'account', 'example.org', 'alice@example.org', 'user', \
                 '[]', '[]', 1, 1000 FROM generate_series(1, {}) n",
            MOST - room
        );
        scratch.place.run(&fill).await;
        let stores = [scratch.again().await, scratch.again().await, scratch.again().await];
        relay.set(Fault::HoldCommit);
        let held = tokio::spawn(async move { store.insert(invite(), quota, at(1000)).await });
        relay.struck.notified().await;
        let beside = timeout(LONG, scratch.store.insert(invite(), quota, at(1000))).await.unwrap();
        assert_eq!(beside, Ok(Ok(())), "it does not wait for the other");
        let count = async || scratch.place.query("SELECT count(*) FROM invite").await;
        let going_on = async {
            let mut before = Vec::new();
            // Until all the others wait.
            while std::mem::replace(&mut before, count().await) != before {
                sleep(Duration::from_secs(1)).await;
            }
            relay.release();
        };
        let filling = futures::future::join(fill_up(&stores, quota), going_on);
        let (made, ()) = timeout(LONG * 2, filling).await.unwrap();
        assert_eq!(held.await.unwrap(), Ok(Ok(())));
        assert_eq!(made + 2, room, "{quota:?}");
    }
}

/// Operators plan by the table in docs/scaling.md. A busy machine may tear apart what the store
/// sends at once. So the least of a few tries counts.
#[tokio::test(flavor = "multi_thread")]
async fn each_step_takes_as_many_round_trips_as_the_table_says() {
    let (relay, store, scratch) = relayed().await;
    let quota = Quota { per_day: Some(100), pending: Some(500) };
    let said: Vec<usize> = include_str!("../docs/scaling.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").nth(3)?.parse().ok())
        .collect();
    let mut least = vec![usize::MAX; 3];
    for number in 0..20 {
        let (kept, account) = (invite(), format!("guest{number}@example.org"));
        let claim = claim_of(&kept, Purpose::Register, &account);
        let made = relay.turns(store.insert(kept.clone(), quota, at(1000))).await;
        let found = relay.turns(store.find(kept.token_hash)).await;
        let registration = async {
            store.find_by_id(kept.id.clone()).await.unwrap();
            assert_eq!(store.reserve(claim.clone(), 1).await, Ok(Claim::Reserved));
            store.redeem(host("example.org"), claim.id, Vec::new(), true, at(2001)).await.unwrap().unwrap()
        };
        let registered = relay.turns(registration).await;
        assert!(made.1.unwrap().is_ok() && found.1.unwrap().is_some() && registered.1.1);
        for (least, counted) in least.iter_mut().zip([made.0, found.0, registered.0]) {
            *least = counted.min(*least);
        }
        if least == said {
            break;
        }
    }
    assert_eq!(least, said);
    scratch.store.verify().await.unwrap();
}

#[tokio::test]
async fn the_server_may_restart_between_two_calls() {
    let cluster = Cluster::start();
    let database = Database::new(&cluster.url()).await;
    let store = Store::open(&url(&database.url)).await.unwrap();
    let kept = invite();
    assert_eq!(store.insert(kept.clone(), Quota::default(), at(1000)).await, Ok(Ok(())));
    cluster.restart();
    assert_eq!(store.find(kept.token_hash).await, Ok(Some(kept.clone())));
    cluster.restart();
    assert_eq!(store.reserve(claim_of(&kept, Purpose::Register, "carol@example.org"), 1).await, Ok(Claim::Reserved));
}

#[tokio::test]
async fn what_is_acknowledged_is_on_the_disk_also_where_the_server_is_told_not_to_wait_for_it() {
    let cluster = Cluster::start();
    let database = Database::new(&cluster.url()).await;
    let open = async || Store::open(&url(&database.url)).await.unwrap();
    // Its connection is older than the server's settings.
    let mut opened = Some(open().await);
    // Nothing but what a commit itself waits for is written within this test.
    cluster.set(&["SET synchronous_commit = off", "SET wal_writer_delay = '10s'"]).await;
    let is_off = async || query(&database.url, "SHOW synchronous_commit").await == [["off"]];
    until("the server reads its settings anew", is_off).await;
    let of_database = format!("ALTER DATABASE {} SET synchronous_commit = off", database.name);
    for set in ["SELECT 1", "SELECT 2", &of_database] {
        query(&database.url, set).await;
        let store = match opened.take() {
            Some(opened) => opened,
            None => open().await,
        };
        let mut told = Vec::new();
        for _ in 0..10 {
            let kept = invite();
            assert_eq!(store.insert(kept.clone(), Quota::default(), at(1000)).await, Ok(Ok(())));
            told.push(kept);
        }
        cluster.restart(); // it does not end in order: what is in its memory alone is lost
        for kept in told {
            assert_eq!(store.find(kept.token_hash).await, Ok(Some(kept)), "{set}");
        }
    }
}

#[tokio::test]
async fn a_commit_waits_for_the_standbys_disk_also_where_the_server_is_told_not_to() {
    let cluster = Cluster::start();
    let database = Database::new(&cluster.url()).await;
    drop(Store::open(&url(&database.url)).await.unwrap());
    for sql in [
        "CREATE TABLE seen (setting text)",
        "CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NEW; END $$",
        "CREATE TRIGGER see AFTER INSERT ON invite FOR EACH ROW EXECUTE FUNCTION see()",
    ] {
        query(&database.url, sql).await;
    }
    for (set, used) in
        [("off", "on"), ("local", "on"), ("remote_write", "on"), ("on", "on"), ("remote_apply", "remote_apply")]
    {
        query(&database.url, &format!("ALTER DATABASE {} SET synchronous_commit = {set}", database.name)).await;
        let store = Store::open(&url(&database.url)).await.unwrap();
        assert_eq!(store.insert(invite(), Quota::default(), at(1000)).await, Ok(Ok(())));
        assert_eq!(query(&database.url, "DELETE FROM seen RETURNING setting").await, [[used]], "{set}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stands_still_is_not_waited_for_without_end() {
    let cluster = Cluster::start();
    let database = Database::new(&cluster.url()).await;
    let store = Store::open(&url(&database.url)).await.unwrap();
    let kept = invite();
    store.insert(kept.clone(), Quota::default(), at(1000)).await.unwrap().unwrap();
    // Every connection of the pool is there already, so that their processes stand still as well.
    join_all((0..64).map(|_| store.find(kept.token_hash))).await;
    let processes = cluster.processes();
    let signal = |name: &str| assert!(Command::new("kill").arg(name).args(&processes).status().unwrap().success());
    signal("-STOP");
    let claim = claim_of(&kept, Purpose::Register, "carol@example.org");
    let (found, reserved) =
        timeout(LONG, futures::future::join(store.find(kept.token_hash), store.reserve(claim.clone(), 1)))
            .await
            .unwrap();
    signal("-CONT");
    assert!(matches!(found, Err(StoreError { problem: Problem::Unreachable(_), .. })), "{found:?}");
    assert!(matches!(reserved, Err(StoreError { problem: Problem::Unreachable(_), .. })), "{reserved:?}");
    assert_eq!(store.reserved_for(jid("carol@example.org")).await.unwrap(), [], "nothing was done");
    assert_eq!(store.reserve(claim, 1).await.unwrap(), Claim::Reserved);
    store.verify().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_waits_for_any_more_is_not_begun() {
    let cluster = Cluster::start();
    let database = Database::new(&cluster.url()).await;
    let store = Store::open(&url(&database.url)).await.unwrap();
    join_all((0..64).map(|_| store.find(invite().token_hash))).await;
    let processes = cluster.processes();
    let signal = |name: &str| assert!(Command::new("kill").arg(name).args(&processes).status().unwrap().success());
    signal("-STOP");
    let started = Instant::now();
    let inserts = (0..2000).map(|_| store.insert(invite(), Quota::default(), at(1000)));
    let inserting = begun_by((started + Duration::from_secs(1)).into(), join_all(inserts));
    let going_on = async {
        sleep(Duration::from_secs(2)).await;
        signal("-CONT");
        // A new caller does not wait for work that nobody waits for.
        store.insert(invite(), Quota::default(), at(1000)).await
    };
    let (told, inserted) = timeout(LONG, futures::future::join(inserting, going_on)).await.unwrap();
    assert_eq!(inserted, Ok(Ok(())));
    let kept = told.iter().filter(|told| **told == Ok(Ok(()))).count();
    assert!(kept <= 16, "those that had a connection: {kept}");
    assert!(
        told.iter().all(|told| matches!(told, Ok(Ok(())) | Err(StoreError { problem: Problem::Unreachable(_), .. }))),
        "{told:?}"
    );
    assert_eq!(query(&database.url, "SELECT count(*) FROM invite").await, [[(kept + 1).to_string()]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_there_however_often_connections_end() {
    let scratch = Scratch::new(Engine::Postgres).await;
    let Place::Database(database) = &scratch.place else { unreachable!() };
    let shared = scratch.with(|invite| invite.max_uses = None).await;
    let writers = (0..16).map(|writer| {
        let (store, shared) = (scratch.store.clone(), shared.clone());
        tokio::spawn(async move {
            let mut told = Vec::new();
            for number in 0..25 {
                let own = invite();
                let inserted = store.insert(own.clone(), Quota::default(), at(1000)).await;
                let claim = claim_of(&shared, Purpose::Register, &format!("u{writer}-{number}@example.org"));
                let reserved = store.reserve(claim.clone(), 1).await;
                let ended = match (&reserved, number % 2) {
                    (Ok(Claim::Reserved), 0) => store
                        .redeem(host("example.org"), claim.id, Vec::new(), true, at(2001))
                        .await
                        .map(|redeemed| assert!(redeemed.unwrap().1)),
                    (Ok(Claim::Reserved), _) => {
                        store.release(host("example.org"), claim.id).await.map(|released| assert!(released))
                    }
                    (other, _) => panic!("{other:?}"),
                };
                assert_eq!((inserted, ended), (Ok(Ok(())), Ok(())));
                told.push(own);
            }
            told
        })
    });
    let writing = join_all(writers);
    let ending = async {
        loop {
            // Half of them each time, with time to work in between, even on a busy machine.
            let begin = Instant::now();
            query(&database.url, END_HALF).await;
            sleep(Duration::from_millis(40).max(begin.elapsed() * 3)).await;
        }
    };
    let told = tokio::select! { told = writing => told, () = ending => unreachable!() };
    for own in told.into_iter().flat_map(Result::unwrap) {
        assert_eq!(scratch.store.find_by_id(own.id.clone()).await.unwrap(), Some(own));
    }
    assert_eq!(scratch.uses(&shared).await, 16 * 13);
    let taken = scratch.place.query("SELECT taken FROM invite WHERE uses > 0").await;
    assert_eq!(taken, [[(16 * 13).to_string()]], "nothing is left open");
    scratch.store.verify().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_acknowledgement_is_lost_is_found_out_and_done_once() {
    for fault in [Fault::CutAfterCommit, Fault::CutBeforeCommit] {
        let (relay, store, scratch) = relayed().await;
        let struck = |what: &str| assert!(relay.is_over(), "{what}: no COMMIT was cut");
        let kept = Invite { username: engines::username("carol"), max_uses: Some(3), ..invite() };
        relay.set(fault);
        let quota = Quota { per_day: Some(1), pending: Some(1) };
        assert_eq!(store.insert(kept.clone(), quota, at(1000)).await, Ok(Ok(())));
        struck("insert");
        assert_eq!(scratch.store.list(Filter::default(), 10, at(0)).await.unwrap(), std::slice::from_ref(&kept));

        let [first, second] =
            ["carol@example.org", "dave@example.org"].map(|to| claim_of(&kept, Purpose::Register, to));
        for claim in [&first, &second] {
            relay.set(fault);
            assert_eq!(store.reserve(claim.clone(), 1).await, Ok(Claim::Reserved));
            struck("reserve");
        }
        relay.set(fault);
        assert_eq!(
            store.redeem(host("example.org"), first.id.clone(), Vec::new(), true, at(2001)).await,
            Ok(Some((first.clone(), true)))
        );
        struck("redeem");
        relay.set(fault);
        assert_eq!(store.release(host("example.org"), second.id.clone()).await, Ok(true));
        struck("release");
        let counters = scratch.place.query("SELECT taken, uses FROM invite").await;
        assert_eq!(counters, [["1", "1"]], "each was done once");

        relay.set(fault);
        let revoked = store.revoke(kept.id.clone(), at(3000)).await.unwrap().unwrap();
        assert_eq!(revoked.revoked_at, Some(at(3000)));
        struck("revoke");
        scratch.with(|_| ()).await;
        relay.set(fault);
        assert_eq!(store.revoke_of_inviter(jid("alice@example.org"), at(3000)).await, Ok(1));
        struck("revoke_of_inviter");
        relay.set(fault);
        assert_eq!(store.purge(at(9999), 10, at(9999)).await, Ok(2));
        struck("purge");
        scratch.store.verify().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_a_crash_undid_is_done_again_whoever_has_its_number_then() {
    let cluster = Cluster::start();
    // Nothing but a commit brings anything to the disk.
    cluster.configure("wal_writer_delay = '10s'\n");
    cluster.restart();
    let database = Database::new(&cluster.url()).await;
    let relay = Relay::to(cluster.port).await;
    let through = format!("postgres://postgres@127.0.0.1:{}/{}?sslmode=disable", relay.port(), database.name);
    let (store, direct) = (Store::open(&url(&through)).await.unwrap(), Store::open(&url(&database.url)).await.unwrap());
    let (kept, newest) = (invite(), Token::generate().unwrap().hash());
    let claim = claim_of(&kept, Purpose::Register, "carol@example.org");
    for step in ["insert", "change", "regenerate", "reserve", "redeem", "revoke"] {
        store.find(kept.token_hash).await.unwrap();
        relay.set(Fault::CutBeforeCommit);
        relay.bar(true);
        let crash = async {
            relay.struck.notified().await;
            cluster.restart();
            // Others are quicker, and have the numbers of what was lost.
            let others = "DO $$ BEGIN FOR i IN 1..50 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$";
            query(&database.url, others).await;
            relay.bar(false);
        };
        let work = patiently(async {
            match step {
                "insert" => {
                    assert_eq!(store.insert(kept.clone(), Quota::default(), at(1000)).await, Ok(Ok(())))
                }
                "reserve" => assert_eq!(store.reserve(claim.clone(), 2).await, Ok(Claim::Reserved)),
                "redeem" => {
                    assert_eq!(
                        store.redeem(host("example.org"), claim.id.clone(), Vec::new(), true, at(2001)).await,
                        Ok(Some((claim.clone(), true)))
                    );
                }
                "change" => {
                    let change = Change { note: Some("changed".to_owned()), ..Change::default() };
                    let changed = store.change(kept.id.clone(), change, Quota::default(), at(2500)).await;
                    assert_eq!(changed.unwrap().unwrap().note.as_deref(), Some("changed"));
                }
                "regenerate" => {
                    let renewed = store.regenerate(kept.id.clone(), newest, at(2600)).await.unwrap().unwrap();
                    assert_eq!((renewed.token_hash, renewed.links), (newest, 2));
                }
                _ => assert!(store.revoke(kept.id.clone(), at(3000)).await.unwrap().unwrap().revoked_at.is_some()),
            }
        });
        timeout(LONG, futures::future::join(work, crash)).await.unwrap();
        let found = patiently(direct.find_by_id(kept.id.clone())).await.unwrap().expect("it was acknowledged");
        let open = direct.reserved_for(jid("carol@example.org")).await.unwrap().len();
        let expected = match step {
            "insert" | "change" | "regenerate" => (0, 0, None),
            "reserve" => (1, 0, None),
            "redeem" => (0, 1, None),
            _ => (0, 1, Some(at(3000))),
        };
        assert_eq!((open, found.uses, found.revoked_at), expected, "{step}");
    }
    assert_eq!(direct.find(newest).await.unwrap().map(|invite| invite.links), Some(2), "not twice");
    assert!(direct.past(kept.token_hash).await.unwrap().is_some());
    direct.verify().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_noted_of_commits_does_not_grow() {
    let scratch = Scratch::new(Engine::Postgres).await;
    let shared = scratch.with(|invite| invite.max_uses = None).await;
    let notes = async || scratch.place.query("SELECT count(*) FROM last_commit").await[0][0].parse::<u32>().unwrap();
    for crowd in 0..4 {
        join_all((0..50).map(|guest| {
            let account = format!("u{crowd}-{guest}@example.org");
            let (store, claim) = (scratch.store.clone(), claim_of(&shared, Purpose::Register, &account));
            async move { assert_eq!(store.reserve(claim, 1).await, Ok(Claim::Reserved)) }
        }))
        .await;
    }
    let before = notes().await;
    assert!((1..=200).contains(&before), "{before}");
    for _ in 0..50 {
        scratch.with(|_| ()).await;
    }
    assert_eq!(notes().await, before, "a later writer takes the place of an earlier one");
    scratch.place.run("UPDATE last_commit SET at = at - 31 * 86400").await;
    let newcomer = scratch.again().await;
    assert_eq!(newcomer.insert(invite(), Quota::default(), at(1000)).await, Ok(Ok(())));
    let alone = async {
        while notes().await > 1 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LONG, alone).await.expect("nobody asks after so long any more");
    scratch.with(|_| ()).await;
    assert_eq!(notes().await, 2, "the others go on");
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_is_not_forgotten_while_a_use_of_theirs_is_just_being_reserved() {
    let (relay, store, scratch) = relayed().await;
    let own = scratch.with(|_| ()).await;
    relay.set(Fault::HoldCommit);
    let claim = claim_of(&own, Purpose::Register, "carol@example.org");
    let reserving = tokio::spawn(async move { store.reserve(claim, 1).await });
    relay.struck.notified().await;
    let forgetting = scratch.store.forget(jid("alice@example.org"), at(9999));
    let going_on = async {
        sleep(Duration::from_millis(500)).await;
        relay.release();
    };
    let (forgotten, ()) = timeout(LONG, futures::future::join(forgetting, going_on)).await.unwrap();
    assert_eq!(reserving.await.unwrap(), Ok(Claim::Reserved));
    assert_eq!(forgotten, Ok(Forgotten { open: 1, ..Forgotten::default() }));
    assert_eq!(scratch.store.find_by_id(own.id.clone()).await, Ok(Some(own)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stopped_client_left_open_holds_others_for_seconds_alone() {
    let (relay, store, scratch) = relayed().await;
    let kept = scratch.with(|_| ()).await;
    relay.set(Fault::HoldCommit);
    let stopped = claim_of(&kept, Purpose::Register, "carol@example.org");
    let stopped = tokio::spawn(async move { store.reserve(stopped, 1).await });
    relay.struck.notified().await;
    // Another caller who wants the same use waits, is told so, and gets it once the server has
    // given up.
    let begin = Instant::now();
    let mut answers = Vec::new();
    let won = loop {
        match scratch.store.revoke(kept.id.clone(), at(2000)).await {
            Ok(revoked) => break revoked.unwrap(),
            Err(error) => answers.push(error),
        }
        assert!(begin.elapsed() < LONG, "{answers:?}");
    };
    // Who holds the lock is not known where it is given up while the server is asked.
    assert!(
        answers.iter().any(|error| error.to_string().contains("is locked by easy-invite (process ")),
        "{answers:?}"
    );
    assert_eq!(won.revoked_at, Some(at(2000)));
    assert_eq!(
        timeout(LONG, stopped).await.unwrap().unwrap(),
        Ok(Claim::Refused(Refusal::Revoked)),
        "it is told what is true by then"
    );
    scratch.store.verify().await.unwrap();
}
