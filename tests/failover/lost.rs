//! Links that nobody knows any more, since a standby that had not heard of them took over.

use easy_invite::invite::{Invite, Token};
use easy_invite::refusal::Refusal;
use easy_invite::store::{Quota, Store};

use super::super::engines::cluster::Cluster;
use super::super::engines::{at, daemon, invite, presented_often, query, source};
use super::super::url;
use super::{Pair, until};

#[tokio::test(flavor = "multi_thread")]
async fn who_presents_a_link_that_a_failover_lost_is_not_guessing() {
    let pair = Pair::start();
    let store = Store::open(&url(&pair.url(""))).await.unwrap();
    let running = daemon(store.clone(), || at(1000));
    running.seen().await.unwrap();
    let tokens = || Token::generate().unwrap();
    let (kept, lost, short) = (tokens(), tokens(), Token::parse("abcdefgh").unwrap());
    let stored = async |token: &Token, token_length| {
        let made = Invite { token_hash: token.hash(), token_length, ..invite() };
        assert_eq!(store.insert(made, Quota::default(), at(1000)).await, Ok(Ok(())));
    };
    stored(&kept, None).await;
    stored(&short, Some(8)).await;
    pair.streams().await;
    let refused = presented_often(&running, tokens().reveal(), "192.0.2.7").await;
    assert!(matches!(refused, Refusal::AddressRefused { .. }), "nothing is missing: {refused:?}");

    pair.standby.set(&["SET primary_conninfo = ''"]).await;
    let standby = format!("{}/postgres", pair.standby.url());
    until("it streams no more", async || query(&standby, "SELECT 1 FROM pg_stat_wal_receiver").await.is_empty()).await;
    stored(&lost, None).await;
    pair.primary.stop();
    pair.standby.promote();
    let address = source("192.0.2.8");
    let noticed = async || running.seen().await.is_ok_and(|seen| seen.took_over_at.is_some());
    until("it is noticed", noticed).await;
    assert_eq!(presented_often(&running, lost.reveal(), "192.0.2.8").await, Refusal::Unknown);
    assert!(running.look_up(std::slice::from_ref(&kept), address).await.is_ok(), "and is served");

    let again = daemon(Store::open(&url(&pair.url(""))).await.unwrap(), || at(2000));
    again.seen().await.unwrap();
    assert_eq!(presented_often(&again, lost.reveal(), "192.0.2.8").await, Refusal::Unknown);
    let refused = presented_often(&again, "hgfedcba", "192.0.2.8").await;
    assert!(matches!(refused, Refusal::AddressRefused { .. }), "a short one may be guessed: {refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_presents_a_link_that_is_not_in_a_restored_dump_is_not_guessing() {
    let (first, second) = (Cluster::start(), Cluster::start());
    let opened = async |cluster: &Cluster| Store::open(&url(&format!("{}/postgres", cluster.url()))).await.unwrap();
    daemon(opened(&first).await, || at(1000)).seen().await.unwrap();
    first.dump_into(&second);
    let restored = daemon(opened(&second).await, || at(2000));
    restored.seen().await.unwrap();
    let lost = Token::generate().unwrap();
    assert_eq!(presented_often(&restored, lost.reveal(), "192.0.2.7").await, Refusal::Unknown);
}
