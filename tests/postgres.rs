//! What is about PostgreSQL itself: whose database it is, how it is reached, and what becomes of work when it is not.

mod engines;

use std::process::Command;
use std::time::{Duration, Instant};

use easy_invite::invite::{Invite, Purpose};
use easy_invite::store::{Claim, Filter, Insertion, Quota, Store, StoreError, StoreUrl};
use engines::cluster::Cluster;
use engines::relay::{Fault, Relay};
use engines::{Database, Engine, Place, Scratch, at, claim_of, invite, jid, query, server};
use futures::future::join_all;
use tokio::time::{sleep, timeout};

/// Longer than the store ever waits.
const LONG: Duration = Duration::from_secs(60);

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
    assert!(matches!(refused(&database.url).await, StoreError::Foreign(_)));
    let tables = query(&database.url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'").await;
    assert_eq!(tables, [["invite"]]);
}

#[tokio::test]
async fn a_newer_schema_is_refused_with_both_numbers() {
    let scratch = Scratch::new(Engine::Postgres).await;
    scratch.place.run("UPDATE easy_invite_schema SET version = 99").await;
    let error = Store::open(&scratch.place.url()).await.err().unwrap();
    assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error}");
}

#[tokio::test]
async fn a_store_that_is_not_there_is_made_only_where_that_is_wanted() {
    let database = Database::new(&server()).await;
    let missing = Store::open_existing(&url(&database.url)).await.err().unwrap();
    assert!(matches!(missing, StoreError::Missing(_)), "{missing}");
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
    assert!(error.contains("cannot be opened") && error.contains("is this a standby?"), "{error}");
    assert_eq!(store.list(Filter::default(), 1, at(0)).await.unwrap(), [], "what only reads goes on");
}

#[tokio::test]
async fn the_server_may_restart_between_two_calls() {
    let cluster = Cluster::start();
    let database = Database::new(&cluster.url()).await;
    let store = Store::open(&url(&database.url)).await.unwrap();
    let kept = invite();
    assert_eq!(store.insert(kept.clone(), Quota::default(), at(1000)).await, Ok(Insertion::Kept));
    cluster.restart();
    assert_eq!(store.find(kept.token_hash).await, Ok(Some(kept.clone())));
    cluster.restart();
    assert_eq!(store.reserve(claim_of(&kept, Purpose::Register, "carol@example.org")).await, Ok(Claim::Reserved));
}

#[tokio::test]
async fn what_is_acknowledged_is_on_the_disk_also_where_the_server_is_told_not_to_wait_for_it() {
    let cluster = Cluster::start();
    // Nothing but what a commit itself waits for is written within this test.
    let database = Database::new(&cluster.url()).await;
    for set in ["ALTER SYSTEM SET synchronous_commit = off", "ALTER SYSTEM SET wal_writer_delay = '10s'"] {
        query(&database.url, set).await;
    }
    query(&database.url, "SELECT pg_reload_conf()").await;
    for options in ["", "?options=-csynchronous_commit%3Doff"] {
        let store = Store::open(&url(&format!("{}{options}", database.url))).await.unwrap();
        let mut told = Vec::new();
        for _ in 0..10 {
            let kept = invite();
            assert_eq!(store.insert(kept.clone(), Quota::default(), at(1000)).await, Ok(Insertion::Kept));
            told.push(kept);
        }
        cluster.restart(); // it does not end in order: what is in its memory alone is lost
        for kept in told {
            assert_eq!(store.find(kept.token_hash).await, Ok(Some(kept)), "{options}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stands_still_is_not_waited_for_without_end() {
    let cluster = Cluster::start();
    let database = Database::new(&cluster.url()).await;
    let store = Store::open(&url(&database.url)).await.unwrap();
    let kept = invite();
    store.insert(kept.clone(), Quota::default(), at(1000)).await.unwrap();
    // Every connection of the pool is there already, so that their processes stand still as well.
    join_all((0..64).map(|_| store.find(kept.token_hash))).await;
    let processes = cluster.processes();
    let signal = |name: &str| assert!(Command::new("kill").arg(name).args(&processes).status().unwrap().success());
    signal("-STOP");
    let claim = claim_of(&kept, Purpose::Register, "carol@example.org");
    let (found, reserved) =
        timeout(LONG, futures::future::join(store.find(kept.token_hash), store.reserve(claim.clone()))).await.unwrap();
    signal("-CONT");
    assert!(matches!(found, Err(StoreError::Unreachable(..))), "{found:?}");
    assert!(matches!(reserved, Err(StoreError::Unreachable(..))), "{reserved:?}");
    assert_eq!(store.reserved_for(jid("carol@example.org")).await.unwrap(), [], "nothing was done");
    assert_eq!(store.reserve(claim).await.unwrap(), Claim::Reserved);
    store.verify().await.unwrap();
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
                let reserved = store.reserve(claim.clone()).await;
                let ended = match (&reserved, number % 2) {
                    (Ok(Claim::Reserved), 0) => {
                        store.redeem(claim.id, at(2001)).await.map(|redeemed| assert!(redeemed.unwrap().1))
                    }
                    (Ok(Claim::Reserved), _) => store.release(claim.id).await.map(|released| assert!(released)),
                    (other, _) => panic!("{other:?}"),
                };
                assert_eq!((inserted, ended), (Ok(Insertion::Kept), Ok(())));
                told.push(own);
            }
            told
        })
    });
    let writing = join_all(writers);
    let ending = async {
        loop {
            sleep(Duration::from_millis(40)).await;
            database.disconnect().await;
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
        assert_eq!(store.insert(kept.clone(), quota, at(1000)).await, Ok(Insertion::Kept));
        struck("insert");
        assert_eq!(scratch.store.list(Filter::default(), 10, at(0)).await.unwrap(), std::slice::from_ref(&kept));

        let [first, second] =
            ["carol@example.org", "dave@example.org"].map(|to| claim_of(&kept, Purpose::Register, to));
        for claim in [&first, &second] {
            relay.set(fault);
            assert_eq!(store.reserve(claim.clone()).await, Ok(Claim::Reserved));
            struck("reserve");
        }
        relay.set(fault);
        assert_eq!(store.redeem(first.id.clone(), at(2001)).await, Ok(Some((first.clone(), true))));
        struck("redeem");
        relay.set(fault);
        assert_eq!(store.release(second.id.clone()).await, Ok(true));
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
        assert_eq!(store.purge(at(9999), 10).await, Ok(2));
        struck("purge");
        scratch.store.verify().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stopped_client_left_open_holds_others_for_seconds_alone() {
    let (relay, store, scratch) = relayed().await;
    let kept = scratch.with(|_| ()).await;
    relay.set(Fault::HoldCommit);
    let stopped = claim_of(&kept, Purpose::Register, "carol@example.org");
    let stopped = tokio::spawn(async move { store.reserve(stopped).await });
    relay.struck.notified().await;
    // The other half of the fault: whoever wants the same use waits, is told, and gets it once the server has given up.
    let begin = Instant::now();
    let mut answers = Vec::new();
    let won = loop {
        match scratch.store.revoke(kept.id.clone(), at(2000)).await {
            Ok(revoked) => break revoked.unwrap(),
            Err(error) => answers.push(error),
        }
        assert!(begin.elapsed() < LONG, "{answers:?}");
    };
    assert!(!answers.is_empty() && answers.iter().all(|error| matches!(error, StoreError::Locked(_))), "{answers:?}");
    assert_eq!(won.revoked_at, Some(at(2000)));
    assert_eq!(timeout(LONG, stopped).await.unwrap().unwrap(), Ok(Claim::Gone), "it is told what is true by then");
    scratch.store.verify().await.unwrap();
}
