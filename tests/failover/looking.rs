//! How a daemon finds the server that has the store, among several.

use std::time::{Duration, Instant};

use easy_invite::store::{Quota, Store, begun_by};
use futures::future::{join, join_all};
use tokio::time::sleep;

use super::super::engines::cluster::Cluster;
use super::super::engines::{at, daemon, invite, query};
use super::super::url;
use super::{ORDINARY_ROLE, Pair, count, hold_commits, let_in, stores, until};

/// Lets a standby get its log from another one.
async fn follow(standby: &Cluster, sender: &Cluster) {
    let from = format!("SET primary_conninfo = 'host=127.0.0.1 port={} user=postgres'", sender.port);
    standby.set(&[&from]).await;
    let sender = format!("{}/postgres", sender.url());
    until("it follows", async || !query(&sender, "SELECT 1 FROM pg_stat_replication").await.is_empty()).await;
}

/// Until its next restartpoint, which takes minutes, its control file has the old timeline.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_standby_that_follows_the_new_primary_is_not_taken_for_an_old_one() {
    let primary = Cluster::start();
    let (first, second) = (primary.standby(), primary.standby());
    let ports = [primary.port, first.port, second.port].map(|port| format!("127.0.0.1:{port}")).join(",");
    let store = Store::open(&url(&format!("postgres://postgres@{ports}/postgres?sslmode=disable"))).await.unwrap();
    let daemon = daemon(store.clone(), || at(1000));
    daemon.seen().await.unwrap();
    follow(&second, &first).await;
    primary.stop();
    first.promote();
    until("the store is there", async || daemon.seen().await.is_ok_and(|seen| seen.took_over_at.is_some())).await;
    let stands = async || {
        let servers = store.servers().await;
        servers[2].1.as_ref().is_ok_and(|found| found == "read-only, a standby perhaps, timeline 2")
    };
    until("it is known to be on the new timeline", stands).await;
}

/// The new primary is away. A daemon that has just started knows of it from its standby alone.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_primary_is_not_used_where_only_a_standby_knows_of_the_new_one() {
    let primary = Cluster::start();
    let (first, second) = (primary.standby(), primary.standby());
    let ports = [primary.port, first.port, second.port].map(|port| format!("127.0.0.1:{port}")).join(",");
    let all = url(&format!("postgres://postgres@{ports}/postgres?sslmode=disable"));
    let before = daemon(Store::open(&all).await.unwrap(), || at(1000));
    before.seen().await.unwrap();
    follow(&second, &first).await;
    primary.stop();
    first.promote();
    until("the store is there", async || before.seen().await.is_ok_and(|seen| seen.took_over_at.is_some())).await;
    let heard = format!("{}/postgres", second.url());
    let timeline = async || query(&heard, "SELECT timeline FROM last_seen").await;
    until("the second has heard of it", async || timeline().await == [["2"]]).await;
    first.stop();
    primary.go();

    let store = Store::open(&all).await.unwrap();
    let by = Instant::now() + Duration::from_secs(2);
    assert!(begun_by(by.into(), store.insert(invite(), Quota::default(), at(1000))).await.is_err());
    assert_eq!(count(&primary).await, "0");
    assert_eq!(store.find(invite().token_hash).await, Ok(None), "the standby is read");
    let old = store.servers().await.remove(0).1.unwrap_err().to_string();
    assert!(old.contains("is on timeline 1, and the store went on to timeline 2"), "{old}");
    first.go();
    stores(&store).await;
    assert_eq!((count(&primary).await, count(&first).await), ("0".to_owned(), "1".to_owned()));
}

/// As with some services, which keep to themselves what is in a control file.
#[tokio::test(flavor = "multi_thread")]
async fn where_servers_tell_no_timeline_a_new_connection_asks_the_primary_alone() {
    let pair = Pair::start();
    let primary = format!("{}/postgres", pair.primary.url());
    let hidden = format!("{ORDINARY_ROLE}; REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC");
    query(&primary, &hidden).await;
    pair.streams().await;
    for cluster in [&pair.primary, &pair.standby] {
        let_in(cluster).await;
    }
    pair.standby.set(&["SET log_connections = on"]).await;
    let store = Store::open(&url(&pair.url("").replace("postgres@", "einv@"))).await.unwrap();
    let looks = || pair.standby.log().matches("application_name=easy-invite").count();
    let mut before = looks();
    // There are looks where the primary is slow to let somebody in.
    for _ in 0..30 {
        // For longer than one look is enough.
        sleep(Duration::from_millis(1200)).await;
        join_all((0..64).map(|_| store.find(invite().token_hash))).await;
        query(&primary, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'einv'").await;
        if std::mem::replace(&mut before, looks()) == looks() {
            return stores(&store).await;
        }
    }
    panic!("the standby is asked every time: {before}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_look_at_the_other_hosts_is_enough_for_all_commits_that_wait() {
    let pair = Pair::start();
    let store = Store::open(&url(&pair.url(""))).await.unwrap();
    pair.standby.set(&["SET log_connections = on"]).await;
    hold_commits(&pair.primary).await;
    let begun = Instant::now();
    let looks = || pair.standby.log().matches("application_name=easy-invite").count();
    let waiting = join_all((0..10).map(|_| stores(&store)));
    let counting = async {
        sleep(Duration::from_secs(8)).await;
        until("somebody looks", async || looks() > 0).await;
        let (looks, seconds) = (looks(), begun.elapsed().as_secs_f64());
        pair.primary.set(&["RESET synchronous_standby_names"]).await;
        (looks, seconds)
    };
    let (_, (looks, seconds)) = join(waiting, counting).await;
    assert!((looks as f64) < seconds + 3.0, "{looks} in {seconds:.1} s");
}
