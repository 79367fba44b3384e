//! Who was told to try again later has no invite and no new link, whatever is stored after that.

mod engines;

use std::time::Duration;

use easy_invite::event::Action;
use easy_invite::invite::{Invite, InviteId, Token};
use easy_invite::invites::{By, Error};
use easy_invite::lifetime::Lifetime;
use easy_invite::links::Reference;
use easy_invite::policy::Change;
use easy_invite::refusal::Refusal;
use easy_invite::store::{EventFilter, Past, Quota, Store, answered_by};
use engines::service::{service, wish_of};
use engines::{Engine, Place, Scratch, at, invite, jid, on_both_engines, until, username};
use tokio::time::{Instant, sleep, timeout};

on_both_engines! {
    a_link_that_nobody_is_given_is_withdrawn_once_it_is_stored,
    an_invite_that_nobody_is_given_does_not_count,
    an_ended_invite_is_extended_in_the_place_of_one_that_nobody_is_given,
    what_somebody_has_used_is_not_withdrawn,
    a_replaced_link_is_good_again_when_the_new_one_is_withdrawn,
    of_several_links_that_nobody_is_given_none_stays,
    who_is_told_to_try_again_later_has_no_invite,
    who_goes_away_has_no_invite,
    who_is_told_to_try_again_later_keeps_the_link_of_before,
    what_was_not_stored_leaves_no_note,
    what_nobody_is_given_is_withdrawn_in_a_copy_as_well,
    who_is_given_a_link_keeps_it_when_another_one_is_withdrawn,
}

const ONE: Quota = Quota { per_day: Some(1), pending: Some(1) };

async fn stored(store: &Store, invite: &Invite) {
    assert_eq!(store.insert(invite.clone(), ONE, at(1000)).await, Ok(Ok(())));
}

async fn actions(store: &Store) -> Vec<(Action, Option<String>)> {
    let events = store.events(EventFilter::default(), (at(0), 0), 100).await.unwrap();
    events.into_iter().map(|event| (event.action, event.detail)).collect()
}

/// The invites of which a daemon is still to log that they, or new links of theirs, were withdrawn.
async fn to_be_logged(store: &Store) -> Vec<Option<InviteId>> {
    let untold = store.untold(100).await.unwrap().into_iter();
    untold.filter(|event| event.action == Action::Withdrawn).map(|event| event.invite).collect()
}

async fn count(place: &Place, table: &str) -> String {
    place.query(&format!("SELECT count(*) FROM {table}")).await[0][0].clone()
}

async fn a_link_that_nobody_is_given_is_withdrawn_once_it_is_stored(engine: Engine) {
    let Scratch { store, place } = Scratch::new(engine).await;
    let (late, given) = (invite(), Invite { inviter: Some(jid("bob@example.org")), ..invite() });
    stored(&store, &given).await;
    for _ in 0..2 {
        store.note_withdrawal(late.token_hash, at(1000)).await.unwrap();
    }
    assert!(!store.has_withdrawals().await.unwrap());
    store.withdraw(None, at(1001)).await.unwrap();
    assert_eq!(count(&place, "withdrawn_link").await, "1", "it may come");
    stored(&store, &late).await;
    assert!(store.has_withdrawals().await.unwrap());
    store.withdraw(None, at(1002)).await.unwrap();
    assert_eq!(store.find_by_id(late.id.clone()).await, Ok(None));
    assert_eq!((store.find(late.token_hash).await, store.past(late.token_hash).await), (Ok(None), Ok(None)));
    assert_eq!(store.find_by_id(given.id.clone()).await, Ok(Some(given)));
    let made = (Action::Made, Some("account-and-contact".to_owned()));
    assert_eq!(actions(&store).await, [made.clone(), made, (Action::Withdrawn, Some("invite".to_owned()))]);
    store.withdraw(Some(late.token_hash), at(1003)).await.unwrap();
    assert_eq!(to_be_logged(&store).await, [Some(late.id)]);
    assert_eq!(count(&place, "withdrawn_link").await, "0");
    store.verify().await.unwrap();
}

async fn an_invite_that_nobody_is_given_does_not_count(engine: Engine) {
    let Scratch { store, place } = Scratch::new(engine).await;
    let named = || Invite { username: username("carol"), ..invite() };
    let (late, again) = (named(), named());
    store.note_withdrawal(late.token_hash, at(1000)).await.unwrap();
    stored(&store, &late).await;
    stored(&store, &again).await;
    assert_eq!(store.find_by_id(late.id.clone()).await, Ok(None));
    assert_eq!(to_be_logged(&store).await, [Some(late.id)]);
    assert_eq!(count(&place, "withdrawn_link").await, "0");
    let refused = store.insert(named(), ONE, at(1000)).await.unwrap();
    assert_eq!(refused, Err(Refusal::UsernameReserved));
    let refused = store.insert(invite(), ONE, at(1000)).await.unwrap();
    assert!(matches!(refused, Err(Refusal::TooManyToday { .. })), "{refused:?}");
}

async fn an_ended_invite_is_extended_in_the_place_of_one_that_nobody_is_given(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let store = &scratch.store;
    let longer = || Change { expires: Some(Lifetime::Seconds(60)), ..Change::default() };
    // Both want the last place in the quota of one inviter, or the same username.
    for (name, pending) in [(None, Some(1)), (username("carol"), None)] {
        let quota = Quota { per_day: None, pending };
        let expired =
            scratch.with(|invite| (invite.username, invite.expires_at) = (name.clone(), Some(at(1001)))).await;
        let late = Invite { username: name.clone(), created_at: at(2000), ..invite() };
        assert_eq!(store.insert(late.clone(), quota, at(2000)).await, Ok(Ok(())));
        let refused = store.change(expired.id.clone(), longer(), quota, at(2000)).await.unwrap();
        assert!(matches!(refused, Err(Refusal::TooManyPending { .. } | Refusal::UsernameReserved)), "{refused:?}");
        store.note_withdrawal(late.token_hash, at(2000)).await.unwrap();
        let extended = store.change(expired.id.clone(), longer(), quota, at(2000)).await.unwrap();
        assert_eq!(extended.map(|invite| invite.expires_at), Ok(Some(at(2060))));
        assert_eq!(store.find_by_id(late.id).await, Ok(None));
        store.revoke(expired.id, at(2000)).await.unwrap();
    }
}

async fn what_somebody_has_used_is_not_withdrawn(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let used = scratch.with(|_| ()).await;
    scratch.store.note_withdrawal(used.token_hash, at(1000)).await.unwrap();
    scratch.reserve(&used, "carol@example.org").await.unwrap();
    scratch.store.withdraw(None, at(1001)).await.unwrap();
    assert_eq!(to_be_logged(&scratch.store).await, []);
    assert_eq!(scratch.store.find_by_id(used.id.clone()).await, Ok(Some(used)));
    assert!(!scratch.store.has_withdrawals().await.unwrap(), "and nobody tries again");
}

async fn renewed(store: &Store, invite: &Invite) -> Invite {
    let token = Token::generate().unwrap().hash();
    store.regenerate(invite.id.clone(), token, at(2000)).await.unwrap().unwrap()
}

async fn a_replaced_link_is_good_again_when_the_new_one_is_withdrawn(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let store = &scratch.store;
    let before = scratch.with(|invite| (invite.max_uses, invite.token_length) = (Some(3), Some(8))).await;
    let late = renewed(store, &before).await;
    store.note_withdrawal(late.token_hash, at(2000)).await.unwrap();
    store.withdraw(None, at(2001)).await.unwrap();
    assert_eq!(actions(store).await.pop(), Some((Action::Withdrawn, Some("link".to_owned()))));
    assert_eq!(store.find(before.token_hash).await, Ok(Some(before.clone())), "as it was");
    for token in [before.token_hash, late.token_hash] {
        assert_eq!(store.past(token).await, Ok(None));
    }
    // Also for those who had opened it before.
    scratch.reserve(&before, "carol@example.org").await.unwrap();

    // A newer link was given since.
    let late = renewed(store, &before).await;
    let given = renewed(store, &before).await;
    store.withdraw(Some(late.token_hash), at(2001)).await.unwrap();
    assert_eq!(store.find(given.token_hash).await, Ok(Some(given.clone())));
    let past = Some(Past::Replaced(Box::new(given)));
    assert_eq!(store.past(before.token_hash).await, Ok(past));
    store.verify().await.unwrap();
}

async fn of_several_links_that_nobody_is_given_none_stays(engine: Engine) {
    for first in [0, 1] {
        let scratch = Scratch::new(engine).await;
        let store = &scratch.store;
        let links = [scratch.with(|_| ()).await];
        let links = [&links[..], &[renewed(store, &links[0]).await]].concat();
        let links = [&links[..], &[renewed(store, &links[1]).await]].concat();
        let late = [links[1].token_hash, links[2].token_hash];
        for late in late {
            store.note_withdrawal(late, at(2000)).await.unwrap();
        }
        store.withdraw(Some(late[first]), at(2001)).await.unwrap();
        while store.has_withdrawals().await.unwrap() {
            store.withdraw(None, at(2001)).await.unwrap();
        }
        assert_eq!(store.find(links[0].token_hash).await, Ok(Some(links[0].clone())));
        assert_eq!(count(&scratch.place, "withdrawn_link").await, "0");
    }
}

/// Keeps everybody from writing to the table of invites, until this is dropped; with PostgreSQL,
/// with a lock of this mode.
struct Held {
    _sqlite: Option<rusqlite::Connection>,
    _postgres: Option<tokio_postgres::Client>,
}

async fn hold(place: &Place, mode: &str) -> Held {
    match place {
        Place::Folder(folder) => {
            let other = rusqlite::Connection::open(folder.path().join("easy-invite.db")).unwrap();
            other.execute_batch("BEGIN IMMEDIATE").unwrap();
            Held { _sqlite: Some(other), _postgres: None }
        }
        Place::Database(database) => {
            let (other, connection) = tokio_postgres::connect(&database.url, tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            other.batch_execute(&format!("BEGIN; LOCK TABLE invite IN {mode} MODE")).await.unwrap();
            Held { _sqlite: None, _postgres: Some(other) }
        }
    }
}

/// For how long a caller waits, while the store waits for a lock: longer than a busy machine needs
/// to ask the store, and shorter than the store waits.
const SOON: Duration = Duration::from_secs(1);

fn soon() -> Instant {
    Instant::now() + SOON
}

/// Waits until so much was withdrawn.
async fn withdrawn(store: &Store, number: usize) {
    until("it is withdrawn", async || {
        actions(store).await.iter().filter(|(action, _)| *action == Action::Withdrawn).count() == number
    })
    .await;
}

async fn who_is_told_to_try_again_later_has_no_invite(engine: Engine) {
    let Scratch { store, place } = Scratch::new(engine).await;
    let (invites, held) = (service(&store, 1), hold(&place, "EXCLUSIVE").await);
    let told = answered_by(soon(), invites.create(wish_of("alice"))).await;
    assert!(matches!(told, Err(Error::Late)), "{told:?}");
    if engine == Engine::Postgres {
        until("it is noted", async || count(&place, "withdrawn_link").await == "1").await;
    }
    drop(held);
    withdrawn(&store, 1).await;
    assert_eq!([count(&place, "invite").await, count(&place, "withdrawn_link").await], ["0", "0"]);
    let limit = Instant::now() + Duration::from_secs(60);
    let made = answered_by(limit, invites.create(wish_of("alice"))).await.unwrap();
    assert_eq!(store.find(made.token.hash()).await, Ok(Some(made.invite)));
    assert_eq!(count(&place, "invite").await, "1");
}

async fn who_goes_away_has_no_invite(engine: Engine) {
    let Scratch { store, place } = Scratch::new(engine).await;
    let (invites, held) = (service(&store, 1), hold(&place, "EXCLUSIVE").await);
    let gone = timeout(SOON, invites.create(wish_of("alice"))).await;
    assert!(gone.is_err());
    drop(held);
    withdrawn(&store, 1).await;
    assert_eq!([count(&place, "invite").await, count(&place, "withdrawn_link").await], ["0", "0"]);
}

async fn who_is_told_to_try_again_later_keeps_the_link_of_before(engine: Engine) {
    let Scratch { store, place } = Scratch::new(engine).await;
    let invites = service(&store, 1);
    let made = invites.create(wish_of("alice")).await.unwrap();
    let held = hold(&place, "EXCLUSIVE").await;
    let (by, which) = (By::Account(jid("alice@example.org")), || Reference::from(made.invite.id.clone()));
    let told = answered_by(soon(), invites.regenerate(&by, which())).await;
    assert!(matches!(told, Err(Error::Late)), "{told:?}");
    drop(held);
    withdrawn(&store, 1).await;
    assert_eq!(store.find(made.token.hash()).await, Ok(Some(made.invite.clone())));
    let renewed = invites.regenerate(&by, which()).await.unwrap();
    assert_eq!(store.find(renewed.token.hash()).await.unwrap().map(|invite| invite.links), Some(2));
}

async fn what_was_not_stored_leaves_no_note(engine: Engine) {
    let Scratch { store, place } = Scratch::new(engine).await;
    let invites = service(&store, 1);
    invites.create(wish_of("alice")).await.unwrap();
    let held = hold(&place, "ACCESS EXCLUSIVE").await;
    let told = answered_by(soon(), invites.create(wish_of("alice"))).await;
    assert!(matches!(told, Err(Error::Late)), "{told:?}");
    if engine == Engine::Postgres {
        until("it is noted", async || count(&place, "withdrawn_link").await == "1").await;
    }
    drop(held);
    until("it is over", async || {
        sleep(Duration::from_millis(100)).await;
        count(&place, "withdrawn_link").await == "0"
    })
    .await;
    assert_eq!(count(&place, "invite").await, "1");
    // What is left of a daemon that has ended since goes in the end.
    store.note_withdrawal(invite().token_hash, at(1000)).await.unwrap();
    assert_eq!(store.purge_withdrawals(at(1000)).await, Ok(0));
    assert_eq!(store.purge_withdrawals(at(1001)).await, Ok(1));
}

async fn what_nobody_is_given_is_withdrawn_in_a_copy_as_well(engine: Engine) {
    let (source, target) = (Scratch::new(engine).await, Scratch::new(engine).await);
    let (late, before) = (source.with(|_| ()).await, source.with(|_| ()).await);
    let link = renewed(&source.store, &before).await.token_hash;
    for late in [late.token_hash, link] {
        source.store.note_withdrawal(late, at(2000)).await.unwrap();
    }
    source.store.copy_into(&target.store, |_| ()).await.unwrap();
    target.store.withdraw(None, at(2001)).await.unwrap();
    assert_eq!(target.store.find_by_id(late.id).await, Ok(None));
    assert_eq!(target.store.find(before.token_hash).await, Ok(Some(before)));
}

async fn who_is_given_a_link_keeps_it_when_another_one_is_withdrawn(engine: Engine) {
    let Scratch { store, place } = Scratch::new(engine).await;
    let invites = service(&store, 5);
    let made = invites.create(wish_of("alice")).await.unwrap();
    let held = hold(&place, "EXCLUSIVE").await;
    let (by, which) = (By::Account(jid("alice@example.org")), || Reference::from(made.invite.id.clone()));
    let given = answered_by(Instant::now() + Duration::from_secs(60), invites.regenerate(&by, which()));
    let late = async {
        sleep(Duration::from_millis(500)).await; // the other one is first
        let told = answered_by(soon(), invites.regenerate(&by, which())).await;
        drop(held);
        told
    };
    let (given, late) = futures::future::join(given, late).await;
    assert!(late.is_err(), "{late:?}");
    let given = given.unwrap().token.hash();
    until("both are stored", async || {
        actions(&store).await.iter().filter(|(action, _)| *action == Action::Regenerated).count() == 2
    })
    .await;
    until("what was given is good", async || store.find(given).await.unwrap().is_some()).await;
}
