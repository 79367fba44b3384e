//! Who was told to try again later, while commits waited for a standby, has no invite.

use std::time::{Duration, Instant};

use easy_invite::invites::{Error, Issued};
use easy_invite::store::{Store, answered_by, begun_by};
use futures::future::join_all;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::super::engines::cluster::Cluster;
use super::super::engines::service::{service, wish_of};
use super::super::engines::{query, until};
use super::{LONG, Pair, hold_commits, url};

const USERS: usize = 20;

/// All users ask for an invite. Each waits so long for the beginning, and a second more for the
/// answer.
async fn all_ask(database: String, patience: Duration) -> Vec<Result<Issued, Error>> {
    let invites = service(&Store::open(&url(&database)).await.unwrap(), 1);
    let begin_by = Instant::now() + patience;
    let answer_by = begin_by + Duration::from_secs(1);
    let asked = join_all((0..USERS).map(|user| {
        let invites = invites.clone();
        async move { invites.create(wish_of(&format!("user-{user}"))).await }
    }));
    timeout(LONG * 2, answered_by(answer_by.into(), begun_by(begin_by.into(), asked))).await.unwrap()
}

async fn count(database: &str, what: &str) -> usize {
    query(database, &format!("SELECT count(*) FROM {what}")).await[0][0].parse().unwrap()
}

/// All users ask a daemon, and are told no. Returns how many are told so while their invite is just
/// being stored. On a busy machine, nobody's may have been begun, and then all ask again.
async fn all_are_refused(database: &str, daemon: &Runtime) -> usize {
    for _ in 0..5 {
        let told = daemon.spawn(all_ask(database.to_owned(), Duration::from_secs(2))).await.unwrap();
        assert!(told.iter().all(|told| matches!(told, Err(Error::Late | Error::Store(_)))), "{told:?}");
        let late = told.iter().filter(|told| matches!(told, Err(Error::Late))).count();
        if late > 0 {
            return late;
        }
    }
    panic!("nobody's invite was just being stored");
}

/// Every user who asks gets an invite, one each.
async fn all_get_one(database: &str) {
    until("nobody has an invite", async || {
        count(database, "invite").await + count(database, "withdrawn_link").await == 0
    })
    .await;
    let told = all_ask(database.to_owned(), LONG).await;
    assert!(told.iter().all(Result::is_ok), "{told:?}");
    assert_eq!(count(database, "invite").await, USERS);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_told_no_while_the_standby_was_away_has_no_invite_when_it_is_back() {
    let cluster = Cluster::start();
    let database = format!("{}/postgres", cluster.url());
    Store::open(&url(&database)).await.unwrap();
    hold_commits(&cluster).await;
    let daemon = Runtime::new().unwrap();
    let late = all_are_refused(&database, &daemon).await;
    until("it is noted without the standby", async || count(&database, "withdrawn_link").await == late).await;
    cluster.set(&["RESET synchronous_standby_names"]).await;
    until("each is withdrawn", async || count(&database, "event WHERE action = 'withdrawn'").await == late).await;
    all_get_one(&database).await;
    daemon.shutdown_background();
}

/// A daemon asks for all, and is killed when they have been told.
async fn asked_by_a_daemon_that_is_killed(database: &str) -> usize {
    let daemon = Runtime::new().unwrap();
    let late = all_are_refused(database, &daemon).await;
    daemon.shutdown_background();
    late
}

#[tokio::test(flavor = "multi_thread")]
async fn another_daemon_withdraws_what_one_that_was_killed_has_noted() {
    let cluster = Cluster::start();
    let database = format!("{}/postgres", cluster.url());
    let invites = service(&Store::open(&url(&database)).await.unwrap(), 1);
    hold_commits(&cluster).await;
    let late = asked_by_a_daemon_that_is_killed(&database).await;
    assert_eq!(count(&database, "withdrawn_link").await, late);
    invites.withdraw().await.unwrap(); // nothing is there yet, so it waits for nothing
    cluster.set(&["RESET synchronous_standby_names"]).await;
    until("they are there", async || count(&database, "invite").await == late).await;
    invites.withdraw().await.unwrap();
    all_get_one(&database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_noted_on_one_server_is_withdrawn_on_the_one_that_has_taken_over() {
    let pair = Pair::start();
    let [primary, standby] = [&pair.primary, &pair.standby].map(|cluster| format!("{}/postgres", cluster.url()));
    Store::open(&url(&primary)).await.unwrap();
    // It streams, but nobody waits for it.
    hold_commits(&pair.primary).await;
    let late = asked_by_a_daemon_that_is_killed(&primary).await;
    pair.streams().await;
    pair.standby.promote();
    let invites = service(&Store::open(&url(&standby)).await.unwrap(), 1);
    assert_eq!(count(&standby, "invite").await, late);
    invites.withdraw().await.unwrap();
    all_get_one(&standby).await;
}
