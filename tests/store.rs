//! The store's contract: what every engine has to keep, in one suite.

mod engines;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use easy_invite::event::{Action, Actor, Event};
use easy_invite::invite::{Invite, InviteId, InviteType, Issuer, Purpose, State, Token, Use};
use easy_invite::last_seen::{LastSeen, Lineage};
use easy_invite::lifetime::Lifetime;
use easy_invite::policy::Change;
use easy_invite::refusal::{Mistake, Refusal};
use easy_invite::store::{
    Claim, Contents, EventFilter, Filter, Forgotten, Notice, Past, Problem, Quota, Shortfall, Store, StoreError,
};
use engines::{
    Engine, Scratch, at, claim_of, daemon, host, invite, jid, on_both_engines, presented_often, source, username,
};
use futures::future::join_all;
use jid::{BareJid, NodePart};
use jiff::Timestamp;
use tokio::time::timeout;

const DAY: i64 = 86_400;

/// How long something may take that should end at once, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

on_both_engines! {
    what_is_kept_comes_back_whole,
    it_is_there_after_opening_again,
    a_use_is_reserved_then_redeemed_once,
    a_released_use_can_be_taken_again,
    a_reservation_is_ended_and_repeated_by_its_own_host_alone,
    what_could_not_be_given_is_told_until_the_account_is_gone,
    an_account_in_the_making_stands_in_the_way_of_its_double,
    racers_never_take_more_uses_than_there_are,
    a_reservation_ends_once_whoever_ends_it,
    of_two_who_want_a_name_at_once_one_gets_it,
    after_the_answer_nobody_registers_with_an_ended_link,
    of_links_made_at_once_one_is_the_newest,
    uses_are_never_fewer_than_are_taken_whoever_is_quicker,
    what_is_extended_takes_a_place_as_a_new_invite_does,
    two_who_change_an_invite_lose_nothing_of_each_other,
    of_a_maker_of_many_the_newest_and_the_last_to_end_are_listed,
    a_quota_says_when_there_may_be_one_more,
    a_quota_says_which_invites_of_an_admin_a_user_could_have,
    a_quota_is_exact_whoever_else_inserts,
    a_revoked_invite_gives_no_use_but_keeps_what_was_reserved,
    a_username_is_reserved_while_its_invite_is_pending,
    a_username_that_is_being_registered_cannot_be_reserved,
    a_password_reset_reserves_no_username,
    lists_are_filtered_and_the_newest_come_first,
    an_inviters_pending_invites_are_revoked_together,
    with_an_account_end_its_older_invites_and_its_origin_is_forgotten,
    what_is_open_for_an_account_that_is_deleted_counts_as_used,
    who_registers_a_name_gets_nothing_of_its_earlier_owner,
    a_password_that_is_set_ends_the_other_resets_for_its_account,
    what_has_expired_ends_for_good_with_its_account_or_password,
    what_ended_long_ago_is_purged_but_not_who_invited_whom,
    the_token_of_an_invite_that_is_gone_is_known,
    it_is_known_when_a_daemon_was_last_at_work,
    daemons_with_different_clocks_doubt_both,
    where_a_daemon_was_last_at_work_is_kept_and_that_the_store_took_over,
    only_what_was_restored_stands_in_for_another_store,
    who_presents_what_a_restored_store_lacks_is_not_guessing,
    what_was_made_by_a_clock_far_ahead_neither_counts_nor_outlives_its_account,
    the_accounts_of_an_invite_are_those_that_registered_with_it,
    reservations_with_an_open_fate_are_found,
    a_use_is_found_by_how_its_name_begins,
    what_cannot_be_settled_keeps_back_no_other_host_or_invite,
    many_writers_at_once_are_all_kept,
    it_is_known_since_when_there_is_an_account,
    it_is_told_how_much_a_store_holds,
    what_is_pending_is_counted_in_parts_and_what_is_open_too,
    somebody_is_forgotten_when_nothing_of_theirs_is_open,
    whoever_is_told_of_a_use_is_told_in_one_message_however_often_it_is_sent,
    an_invite_for_many_is_told_of_once_an_hour,
    of_many_uses_a_message_has_the_number_alone,
    nobody_is_told_who_has_no_reason_to_be,
    one_daemon_at_a_time_sends_a_message,
    what_is_to_be_told_goes_with_whom_it_is_about,
    the_refusals_of_an_hour_are_one_event,
    what_the_command_line_did_is_told_once,
    events_are_found_page_by_page_until_they_are_old,
    an_event_that_cannot_be_read_is_told,
    counters_that_disagree_are_told,
    a_copy_is_whole_and_so_is_the_copy_of_the_copy,
    a_copy_that_was_cut_short_is_completed_by_the_next,
    a_copy_whose_target_fails_ends_at_once_with_the_targets_error,
    a_copy_whose_source_fails_ends_at_once_with_the_sources_error,
    a_copy_never_makes_a_used_use_free_in_between,
    what_was_used_or_revoked_since_stays_so_when_an_older_copy_comes,
    of_two_versions_the_newest_link_wins_and_else_what_allows_less,
    a_store_of_a_schema_that_is_not_known_is_refused_with_words,
}

async fn what_is_kept_comes_back_whole(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let invite = scratch.with(|_| ()).await;
    assert_eq!(scratch.store.find(invite.token_hash).await.unwrap(), Some(invite.clone()));
    assert_eq!(scratch.store.find_by_id(invite.id.clone()).await.unwrap(), Some(invite));
    assert_eq!(scratch.store.find(Token::generate().unwrap().hash()).await.unwrap(), None);
}

async fn it_is_there_after_opening_again(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let invite = scratch.with(|_| ()).await;
    let again = scratch.again().await;
    assert_eq!(again.find(invite.token_hash).await.unwrap(), Some(invite));
}

async fn a_use_is_reserved_then_redeemed_once(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let invite = scratch.with(|_| ()).await;
    let reserved = scratch.reserve(&invite, "carol@example.org").await.unwrap();
    assert_eq!(scratch.uses(&invite).await, 0, "a reservation is no use yet");
    for first in [true, false] {
        let (used, now) = scratch
            .store
            .redeem(host("example.org"), reserved.id.clone(), Vec::new(), true, at(2001))
            .await
            .unwrap()
            .unwrap();
        assert_eq!((used, now), (reserved.clone(), first));
        assert_eq!(scratch.uses(&invite).await, 1, "redeeming again changes nothing");
    }
    assert!(
        !scratch.store.release(host("example.org"), reserved.id).await.unwrap(),
        "what is redeemed is not given back"
    );
    assert_eq!(scratch.reserve(&invite, "dave@example.org").await, Err(Claim::Refused(Refusal::UsedUp)));
    let accounts = scratch.store.accounts_of(invite.id.clone(), 10).await.unwrap();
    assert_eq!(accounts, [(jid("carol@example.org"), Some(at(2001)))]);
    assert!(scratch.store.redeemed_by(invite.id.clone(), jid("carol@example.org")).await.unwrap());
    assert!(!scratch.store.redeemed_by(invite.id, jid("dave@example.org")).await.unwrap());
}

async fn a_released_use_can_be_taken_again(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let invite = scratch.with(|_| ()).await;
    let reserved = scratch.reserve(&invite, "carol@example.org").await.unwrap();
    match scratch.reserve(&invite, "dave@example.org").await {
        Err(Claim::Contended(standing)) => assert_eq!(standing, [(reserved.clone(), invite.clone())]),
        other => panic!("{other:?}"),
    }
    assert!(scratch.store.release(host("example.org"), reserved.id.clone()).await.unwrap());
    assert!(!scratch.store.release(host("example.org"), reserved.id.clone()).await.unwrap());
    assert_eq!(scratch.store.redeem(host("example.org"), reserved.id, Vec::new(), true, at(2001)).await.unwrap(), None);
    assert!(scratch.reserve(&invite, "dave@example.org").await.is_ok());
}

async fn a_reservation_is_ended_and_repeated_by_its_own_host_alone(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let (invite, other) = (scratch.with(|_| ()).await, host("other.example"));
    let there = scratch.with(|invite| invite.host = other.clone()).await;
    for purpose in [Purpose::Contact, Purpose::Register] {
        let reserved = claim_of(&invite, purpose, "dave@elsewhere.example");
        assert_eq!(scratch.store.reserve(reserved.clone(), 1).await, Ok(Claim::Reserved));
        assert_eq!(scratch.store.reserve(reserved.clone(), 1).await, Ok(Claim::Reserved), "the same once more");
        let stolen = Use { invite: there.id.clone(), ..reserved.clone() };
        assert_ne!(scratch.store.reserve(stolen, 1).await, Ok(Claim::Reserved));
        assert_eq!(
            scratch.store.redeem(other.clone(), reserved.id.clone(), Vec::new(), true, at(2001)).await,
            Ok(None)
        );
        assert_eq!(scratch.store.release(other.clone(), reserved.id.clone()).await, Ok(false));
        assert_eq!(scratch.store.release(host("example.org"), reserved.id).await, Ok(true));
    }
    scratch.store.verify().await.unwrap();
}

async fn what_could_not_be_given_is_told_until_the_account_is_gone(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let invite = scratch.with(|invite| invite.max_uses = None).await;
    let failed = vec!["could not add carol to the group \"family\": no".to_owned(), "could not: \u{e9}".to_owned()];
    for (account, failed) in [("carol@example.org", failed.clone()), ("dave@example.org", Vec::new())] {
        let used = scratch.reserve(&invite, account).await.unwrap();
        for failed in [failed.clone(), vec!["later".to_owned()]] {
            scratch.store.redeem(host("example.org"), used.id.clone(), failed, true, at(2001)).await.unwrap();
        }
    }
    let told = async |store: &Store| {
        let of_invite = store.shortfalls_of(invite.id.clone(), 10).await.unwrap();
        assert_eq!(store.shortfalls_since(at(2001), 10).await.unwrap(), of_invite);
        assert_eq!(store.shortfalls_since(at(2002), 10).await.unwrap(), []);
        of_invite
    };
    let carols =
        Shortfall { account: jid("carol@example.org"), invite: invite.id.clone(), redeemed_at: at(2001), failed };
    assert_eq!(told(&scratch.store).await, std::slice::from_ref(&carols));
    let copy = Scratch::new(engine).await;
    scratch.store.copy_into(&copy.store, |_| ()).await.unwrap();
    assert_eq!(told(&copy.store).await, std::slice::from_ref(&carols));
    scratch.store.account_deleted(jid("carol@example.org"), at(2000), at(3000)).await.unwrap();
    assert_eq!(told(&scratch.store).await, [carols], "that was another account, deleted before");
    scratch.store.account_deleted(jid("carol@example.org"), at(2001), at(3000)).await.unwrap();
    assert_eq!(told(&scratch.store).await, []);
    copy.store.forget(jid("carol@example.org"), at(9999)).await.unwrap();
    assert_eq!(told(&copy.store).await, []);
}

async fn an_account_in_the_making_stands_in_the_way_of_its_double(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let (one, other) = (scratch.with(|i| i.max_uses = None).await, scratch.with(|i| i.max_uses = Some(5)).await);
    let reserved = scratch.reserve(&one, "carol@example.org").await.unwrap();
    for invite in [&one, &other] {
        match scratch.reserve(invite, "carol@example.org").await {
            Err(Claim::Contended(standing)) => assert_eq!(standing[0].0, reserved),
            answer => panic!("{answer:?}"),
        }
    }
    assert!(scratch.reserve(&other, "dave@example.org").await.is_ok());
}

async fn racers_never_take_more_uses_than_there_are(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    // A second store in the same place is a second process, as far as the engine is concerned.
    let stores = [scratch.store.clone(), scratch.again().await];
    for uses in [1, 3] {
        for round in 0..20 {
            let invite = scratch.with(|invite| invite.max_uses = Some(uses)).await;
            let racers = (0..32).map(|racer| {
                let store = stores[racer % 2].clone();
                let claim = claim_of(&invite, Purpose::Register, &format!("u{uses}-{round}-{racer}@example.org"));
                tokio::spawn(async move {
                    let won = store.reserve(claim.clone(), 1).await.unwrap() == Claim::Reserved;
                    match racer % 3 {
                        // The caller gives back a use that is another's, which must not become two.
                        0 if won => assert!(store.release(host("example.org"), claim.id).await.unwrap()),
                        _ if won => assert!(
                            store
                                .redeem(host("example.org"), claim.id, Vec::new(), true, at(2001))
                                .await
                                .unwrap()
                                .unwrap()
                                .1
                        ),
                        _ => (),
                    }
                })
            });
            for racer in join_all(racers).await {
                racer.unwrap();
            }
            // Now everybody who is left gets a use, until there is none.
            for latecomer in 0..=uses {
                if let Ok(reserved) =
                    scratch.reserve(&invite, &format!("l{uses}-{round}-{latecomer}@example.org")).await
                {
                    scratch.store.redeem(host("example.org"), reserved.id, Vec::new(), true, at(2001)).await.unwrap();
                }
            }
            assert_eq!(scratch.uses(&invite).await, uses);
            assert_eq!(scratch.store.accounts_of(invite.id, 100).await.unwrap().len(), uses as usize);
        }
    }
    scratch.store.verify().await.unwrap();
}

async fn a_reservation_ends_once_whoever_ends_it(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let stores = [scratch.store.clone(), scratch.again().await];
    let invite = scratch.with(|invite| invite.max_uses = None).await;
    for round in 0..40 {
        let reserved = scratch.reserve(&invite, &format!("u{round}@example.org")).await.unwrap();
        let ends = (0..8).map(|racer| {
            let (store, id) = (stores[racer % 2].clone(), reserved.id.clone());
            tokio::spawn(async move {
                match racer < 4 {
                    true => store
                        .redeem(host("example.org"), id, Vec::new(), true, at(2001))
                        .await
                        .unwrap()
                        .map(|(_, now)| now),
                    false => store.release(host("example.org"), id).await.unwrap().then_some(true),
                }
            })
        });
        let ended = join_all(ends).await.into_iter().map(Result::unwrap);
        assert_eq!(ended.filter(|ended| *ended == Some(true)).count(), 1);
    }
    scratch.store.verify().await.unwrap();
}

async fn of_two_who_want_a_name_at_once_one_gets_it(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let stores = [scratch.store.clone(), scratch.again().await];
    let open = scratch.with(|invite| invite.max_uses = None).await;
    for round in 0..20 {
        let name = format!("carol{round}");
        let tries = (0..8).map(|racer| {
            let store = stores[racer % 2].clone();
            let pinned = Invite { username: username(&name), ..invite() };
            let claim = claim_of(&open, Purpose::Register, &format!("{name}@example.org"));
            tokio::spawn(async move {
                match racer < 4 {
                    true => store.insert(pinned, Quota::default(), at(2000)).await.unwrap() == Ok(()),
                    false => store.reserve(claim, 1).await.unwrap() == Claim::Reserved,
                }
            })
        });
        let won: Vec<_> = join_all(tries).await.into_iter().map(Result::unwrap).collect();
        let (inserted, reserved) = won.split_at(4);
        let count = |won: &[bool]| won.iter().filter(|won| **won).count();
        assert_eq!((count(inserted) + count(reserved), won.len()), (1, 8), "{won:?}");
        let late = claim_of(&open, Purpose::Register, &format!("{name}@example.org"));
        let expected = |claim: &Claim| match count(inserted) {
            0 => matches!(claim, Claim::Contended(_)),
            _ => *claim == Claim::Refused(Refusal::UsernameReserved),
        };
        let claim = stores[0].reserve(late, 1).await.unwrap();
        assert!(expected(&claim), "{claim:?}");
    }
}

async fn after_the_answer_nobody_registers_with_an_ended_link(engine: Engine) {
    const EACH: usize = 5000;
    let scratch = Scratch::new(engine).await;
    let stores = [scratch.store.clone(), scratch.again().await];
    for (way, refusal) in [("regenerate", Refusal::Replaced), ("revoke", Refusal::Revoked)] {
        let invite = scratch.with(|invite| invite.max_uses = None).await;
        let (answered, begun, taken) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
        let end = async {
            while taken.load(SeqCst) < 20 {
                tokio::task::yield_now().await;
            }
            match way {
                "regenerate" => {
                    let new = Token::generate().unwrap().hash();
                    let renewed = stores[1].regenerate(invite.id.clone(), new, at(2000)).await.unwrap().unwrap();
                    assert_eq!((renewed.links, renewed.regenerated_at), (2, Some(at(2000))));
                }
                _ => assert!(stores[1].revoke(invite.id.clone(), at(2000)).await.unwrap().is_some()),
            }
            answered.store(true, SeqCst);
        };
        let racers = (0..16).map(|racer: usize| {
            let (store, invite, answered, begun, taken) = (&stores[racer % 2], &invite, &answered, &begun, &taken);
            let refusal = &refusal;
            async move {
                let mut reserved = Vec::new();
                for number in 0.. {
                    let after = answered.load(SeqCst);
                    if after && begun.fetch_add(1, SeqCst) >= EACH {
                        break;
                    }
                    let account = format!("{way}-{racer}-{number}@example.org");
                    let wanted = claim_of(invite, Purpose::Register, &account);
                    match store.reserve(wanted.clone(), 1).await.unwrap() {
                        Claim::Reserved if !after => {
                            taken.fetch_add(1, SeqCst);
                            reserved.push(wanted.id);
                        }
                        claim => assert_eq!(claim, Claim::Refused(refusal.clone()), "{after}"),
                    }
                }
                reserved
            }
        });
        let (reserved, ()) = futures::join!(join_all(racers), end);
        // What was in flight may finish.
        let reserved: Vec<_> = reserved.into_iter().flatten().collect();
        for id in &reserved {
            let redeemed = scratch.store.redeem(host("example.org"), id.clone(), Vec::new(), true, at(2001)).await;
            assert!(redeemed.unwrap().is_some_and(|(_, is_new)| is_new));
        }
        assert_eq!(scratch.uses(&invite).await as usize, reserved.len());
        let newest = scratch.store.find_by_id(invite.id.clone()).await.unwrap().unwrap();
        assert_eq!(scratch.reserve(&newest, "late@example.org").await.is_ok(), way == "regenerate");
    }
    scratch.store.verify().await.unwrap();
}

async fn of_links_made_at_once_one_is_the_newest(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let stores = [scratch.store.clone(), scratch.again().await];
    let invite = scratch.with(|invite| invite.max_uses = None).await;
    let tokens: Vec<_> = (0..8).map(|_| Token::generate().unwrap().hash()).collect();
    let made = tokens.iter().zip(0..).map(async |(token, number)| {
        let used = scratch.reserve(&invite, &format!("early-{number}@example.org")).await;
        let renewed = stores[number % 2].regenerate(invite.id.clone(), *token, at(2000)).await.unwrap().unwrap();
        if let Ok(used) = &used {
            let redeemed = scratch.store.redeem(host("example.org"), used.id.clone(), Vec::new(), true, at(2001));
            assert!(redeemed.await.unwrap().is_some());
        }
        (renewed, used.is_ok())
    });
    let made = join_all(made).await;
    let newest = scratch.store.find_by_id(invite.id.clone()).await.unwrap().unwrap();
    assert_eq!((newest.links, newest.uses as usize), (9, made.iter().filter(|(_, used)| *used).count()));
    let mut generations: Vec<_> = made.iter().map(|(renewed, _)| renewed.links).collect();
    generations.sort();
    assert_eq!(generations, (2..=9).collect::<Vec<_>>());
    for token in tokens.into_iter().chain([invite.token_hash]) {
        let is_newest = token == newest.token_hash;
        assert_eq!(scratch.store.find(token).await.unwrap().is_some(), is_newest);
        let replaced = (!is_newest).then(|| Past::Replaced(Box::new(newest.clone())));
        assert_eq!(scratch.store.past(token).await.unwrap(), replaced);
    }
    let events = scratch.store.events(EventFilter::default(), (Timestamp::MIN, 0), 100).await.unwrap();
    assert_eq!(events.iter().filter(|event| event.action == Action::Regenerated).count(), 8);
    scratch.store.verify().await.unwrap();
}

async fn uses_are_never_fewer_than_are_taken_whoever_is_quicker(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let stores = [scratch.store.clone(), scratch.again().await];
    for round in 0..20 {
        let invite = scratch.with(|invite| invite.max_uses = Some(8)).await;
        let claims = (0..8).map(|number| {
            let wanted = claim_of(&invite, Purpose::Register, &format!("u{round}-{number}@example.org"));
            stores[number % 2].reserve(wanted, 1)
        });
        let change = async {
            for _ in 0..round % 5 {
                tokio::task::yield_now().await;
            }
            let uses = Change { max_uses: Some(Some(3)), ..Change::default() };
            stores[round % 2].change(invite.id.clone(), uses, Quota::default(), at(2000)).await.unwrap()
        };
        let (claims, changed) = futures::join!(join_all(claims), change);
        let taken = claims.into_iter().filter(|claim| *claim == Ok(Claim::Reserved)).count();
        match changed {
            Ok(changed) => assert_eq!((changed.max_uses, taken), (Some(3), 3)),
            Err(Refusal::Impossible(Mistake::UsesTaken { taken: 4..=8 })) => assert_eq!(taken, 8),
            Err(other) => panic!("{other:?}"),
        }
    }
    scratch.store.verify().await.unwrap();
}

async fn what_is_extended_takes_a_place_as_a_new_invite_does(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let stores = [scratch.store.clone(), scratch.again().await];
    let quota = Quota { per_day: None, pending: Some(2) };
    let longer = || Change { expires: Some(Lifetime::Seconds(DAY)), ..Change::default() };
    for round in 0..10 {
        let name = username(&format!("carol{round}"));
        let bob = jid(&format!("bob{round}@example.org"));
        let expired = |name: &Option<NodePart>| Invite {
            username: name.clone(),
            inviter: Some(bob.clone()),
            expires_at: Some(at(1500)),
            ..invite()
        };
        // Who wants the same name, and who wants to fill the same quota.
        for (name, quota, places) in [(name, Quota::default(), 1), (None, quota, 2)] {
            let mut old = Vec::new();
            for number in 0..4 {
                // One after the other has expired, so that each could have the name.
                let invite = Invite { expires_at: Some(at(1400 + number)), ..expired(&name) };
                assert_eq!(scratch.store.insert(invite.clone(), Quota::default(), at(1400 + number)).await, Ok(Ok(())));
                old.push(invite.id);
            }
            let tries = (0..8).map(|racer: usize| {
                let (store, old, new) = (&stores[racer / 2 % 2], &old, expired(&name));
                let new = Invite { expires_at: Some(at(9000)), created_at: at(2000), ..new };
                async move {
                    match racer < 4 {
                        true => store.change(old[racer].clone(), longer(), quota, at(2000)).await.unwrap().map(drop),
                        false => store.insert(new, quota, at(2000)).await.unwrap(),
                    }
                }
            });
            let tries = join_all(tries).await;
            assert_eq!(tries.iter().filter(|done| done.is_ok()).count(), places, "{tries:?}");
            let filter = Filter { inviter: Some(bob.clone()), state: Some(State::Pending), ..Filter::default() };
            let pending = scratch.store.list(filter, 100, at(2000)).await.unwrap();
            assert_eq!(pending.iter().filter(|invite| invite.username == name).count(), places);
            scratch.store.revoke_of_inviter(bob.clone(), at(2000)).await.unwrap();
        }
    }
    // What is pending already takes no further place.
    let own = scratch.with(|_| ()).await;
    for life in [DAY, 2 * DAY] {
        let change = Change { expires: Some(Lifetime::Seconds(life)), ..Change::default() };
        let full = Quota { per_day: Some(0), pending: Some(0) };
        assert!(scratch.store.change(own.id.clone(), change, full, at(2000)).await.unwrap().is_ok());
    }
}

async fn two_who_change_an_invite_lose_nothing_of_each_other(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let stores = [scratch.store.clone(), scratch.again().await];
    for round in 0..20 {
        let invite = scratch.with(|_| ()).await;
        let note = Change { note: Some(format!("round {round}")), ..Change::default() };
        let both = Change { expires: Some(Lifetime::Never), max_uses: Some(Some(5)), ..Change::default() };
        let changes = [note.clone(), both.clone(), note, both];
        let changes = changes.into_iter().zip(0..);
        let changes = changes
            .map(|(change, number)| stores[number % 2].change(invite.id.clone(), change, Quota::default(), at(2000)));
        for changed in join_all(changes).await {
            assert!(changed.unwrap().is_ok());
        }
        let changed = scratch.store.find_by_id(invite.id.clone()).await.unwrap().unwrap();
        let expected =
            Invite { note: Some(format!("round {round}")), expires_at: None, max_uses: Some(5), ..invite.clone() };
        assert_eq!(changed, expected);
        let filter = EventFilter { invite: Some(invite.id), ..EventFilter::default() };
        let events = scratch.store.events(filter, (Timestamp::MIN, 0), 100).await.unwrap();
        let mut details: Vec<_> = events.iter().filter_map(|event| event.detail.as_deref()).collect();
        details.sort();
        assert_eq!(details, ["account-and-contact", "expires uses", "note"], "each once");
    }
}

async fn of_a_maker_of_many_the_newest_and_the_last_to_end_are_listed(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let made: Vec<_> = (0..1800)
        .map(|number| Invite {
            created_at: at(1000 + number),
            expires_at: [Some(at(2000 + number)), Some(at(9000 - number)), None][number as usize % 3],
            issuer: if number % 2 == 0 { Issuer::User } else { Issuer::Admin },
            ..invite()
        })
        .collect();
    for page in made.chunks(50) {
        let inserted = page.iter().map(|made| scratch.store.insert(made.clone(), Quota::default(), at(1000)));
        assert!(join_all(inserted).await.iter().all(|inserted| *inserted == Ok(Ok(()))));
    }
    scratch.with(|it| (it.issuer, it.created_at, it.expires_at) = (Issuer::Operator, at(4000), None)).await;
    let (ended, pending): (Vec<_>, Vec<_>) =
        made.into_iter().rev().partition(|it| it.state(at(5000)) == State::Expired);
    let expected: Vec<_> = pending.into_iter().take(50).chain(ended.into_iter().take(20)).collect();
    let listed = scratch.store.list_of_inviter(jid("alice@example.org"), at(5000)).await.unwrap();
    assert_eq!((listed.len(), listed), (70, expected));
    assert_eq!(scratch.store.list_of_inviter(jid("bob@example.org"), at(5000)).await.unwrap(), []);
}

async fn a_quota_says_when_there_may_be_one_more(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let quota = Quota { per_day: Some(3), pending: Some(2) };
    let insert = async |now: i64, expires_at: Option<i64>| {
        let invite = Invite { created_at: at(now), expires_at: expires_at.map(at), ..invite() };
        scratch.store.insert(invite, quota, at(now)).await.unwrap()
    };
    assert_eq!(insert(1000, Some(5000)).await, Ok(()));
    assert_eq!(insert(1010, Some(4000)).await, Ok(()));
    assert_eq!(insert(1020, None).await, Err(Refusal::TooManyPending { most: 2, again_at: Some(at(4000)) }));
    assert_eq!(insert(4000, None).await, Ok(()), "one has expired");
    let again_at = at(1000 + 86_400);
    assert_eq!(insert(6000, None).await, Err(Refusal::TooManyToday { most: 3, again_at }));
    assert_eq!(insert(1000 + 86_399, None).await, Err(Refusal::TooManyToday { most: 3, again_at }));
    assert_eq!(insert(1000 + 86_400, None).await, Ok(()));
    assert_eq!(insert(200_000, None).await, Err(Refusal::TooManyPending { most: 2, again_at: None }));
    for exempt in [
        Invite { issuer: Issuer::Admin, inviter: Some(jid("bob@example.org")), ..invite() },
        Invite { inviter: Some(jid("bob@example.org")), ..invite() },
        Invite { inviter: Some(jid("bob@example.org")), ..invite() },
    ] {
        assert_eq!(scratch.store.insert(exempt, quota, at(1000)).await, Ok(Ok(())));
    }
    assert_eq!(scratch.store.list(Filter::default(), 100, at(0)).await.unwrap().len(), 7);
}

async fn a_quota_says_which_invites_of_an_admin_a_user_could_have(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let made = async |issuer, inviter: &str, now: i64, expires_at: i64| {
        let (inviter, expires_at) = (Some(jid(inviter)), Some(at(expires_at)));
        let invite = Invite { issuer, inviter, created_at: at(now), expires_at, ..invite() };
        scratch.store.insert(invite.clone(), Quota::default(), at(now)).await.unwrap().unwrap();
        invite
    };
    for (issuer, inviter) in [(Issuer::Operator, "alice@example.org"), (Issuer::Admin, "bob@example.org")] {
        made(issuer, inviter, 999, 900_000).await;
    }
    let first = made(Issuer::User, "alice@example.org", 1000, 5000).await;
    let second = made(Issuer::Admin, "alice@example.org", 1000, 6000).await;
    let third = made(Issuer::Admin, "alice@example.org", 1000 + 86_400, 900_000).await;
    let (per_day, pending) =
        (|most| Quota { per_day: Some(most), pending: None }, |most| Quota { per_day: None, pending: Some(most) });
    let is_within =
        async |invite: &Invite, quota, now| scratch.store.is_within(invite.clone(), quota, at(now)).await.unwrap();
    let [one, two] = if first.id < second.id { [&first, &second] } else { [&second, &first] };
    for (invite, quota, now, within) in [
        (one, per_day(1), 1000, true),
        (one, pending(0), 1000, false),
        (two, per_day(1), 1000, false),
        (two, per_day(2), 1000, true),
        (&third, per_day(1), 90_000, true), // a day later
        (&third, pending(1), 5500, false),
        (&third, pending(1), 6000, true), // the others have expired
        (&third, Quota::default(), 1000, true),
    ] {
        assert_eq!(is_within(invite, quota, now).await, within, "{quota:?} {now}");
    }
}

async fn a_quota_is_exact_whoever_else_inserts(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let stores = [scratch.store.clone(), scratch.again().await];
    for (number, quota) in [
        Quota { per_day: Some(5), pending: None },
        Quota { per_day: None, pending: Some(5) },
        Quota { per_day: Some(5), pending: Some(5) },
    ]
    .into_iter()
    .enumerate()
    {
        let inviter = jid(&format!("alice{number}@example.org"));
        let tries = (0..32).map(|racer| {
            let (store, invite) = (stores[racer % 2].clone(), Invite { inviter: Some(inviter.clone()), ..invite() });
            tokio::spawn(async move { store.insert(invite, quota, at(1000)).await.unwrap() == Ok(()) })
        });
        let kept = join_all(tries).await.into_iter().filter(|kept| *kept.as_ref().unwrap()).count();
        assert_eq!(kept, 5, "{quota:?}");
        let filter = Filter { inviter: Some(inviter), ..Filter::default() };
        assert_eq!(scratch.store.list(filter, 100, at(1000)).await.unwrap().len(), 5);
    }
}

async fn a_revoked_invite_gives_no_use_but_keeps_what_was_reserved(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let invite = scratch.with(|invite| invite.max_uses = Some(2)).await;
    let before = scratch.reserve(&invite, "carol@example.org").await.unwrap();
    let revoked = scratch.store.revoke(invite.id.clone(), at(3000)).await.unwrap().unwrap();
    assert_eq!((revoked.revoked_at, revoked.state(at(3000))), (Some(at(3000)), State::Revoked));
    assert_eq!(scratch.reserve(&invite, "dave@example.org").await, Err(Claim::Refused(Refusal::Revoked)));
    assert!(
        scratch.store.redeem(host("example.org"), before.id, Vec::new(), true, at(3001)).await.unwrap().is_some(),
        "its account may exist already"
    );
    let again = scratch.store.revoke(invite.id.clone(), at(4000)).await.unwrap().unwrap();
    assert_eq!(again.revoked_at, Some(at(3000)), "the first revocation counts");
    assert!(!scratch.store.redeemed_by(invite.id, jid("carol@example.org")).await.unwrap());
    assert_eq!(scratch.store.revoke(InviteId::generate().unwrap(), at(1)).await.unwrap(), None);
}

async fn a_username_is_reserved_while_its_invite_is_pending(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let carol = || username("carol");
    let pinned = scratch.with(|invite| invite.username = carol()).await;
    let reserved = |now| scratch.store.username_reserved(jid("carol@example.org"), at(now));
    assert!(reserved(8999).await.unwrap());
    assert!(!reserved(9000).await.unwrap(), "expired");
    let mut second = invite();
    second.username = carol();
    assert_eq!(
        scratch.store.insert(second.clone(), Quota::default(), at(1000)).await,
        Ok(Err(Refusal::UsernameReserved))
    );
    assert!(
        scratch.store.insert(second.clone(), Quota::default(), at(9000)).await.unwrap() == Ok(()),
        "free after the first has expired"
    );
    let other = scratch.with(|_| ()).await;
    assert_eq!(scratch.reserve(&other, "carol@example.org").await, Err(Claim::Refused(Refusal::UsernameReserved)));
    // The second invite for the name is pending as well by the clock of this claim, so end it
    // first.
    scratch.store.revoke(second.id, at(2000)).await.unwrap();
    assert!(scratch.reserve(&pinned, "carol@example.org").await.is_ok());
    scratch.store.revoke(pinned.id, at(2000)).await.unwrap();
    assert!(!reserved(2000).await.unwrap());
    assert!(!scratch.store.username_reserved(jid("carol@example.net"), at(1000)).await.unwrap());
}

async fn a_username_that_is_being_registered_cannot_be_reserved(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let other = scratch.with(|invite| invite.max_uses = None).await;
    let insert = async |now| {
        let pinned = Invite { username: username("carol"), created_at: at(now), ..invite() };
        scratch.store.insert(pinned, Quota::default(), at(now)).await.unwrap()
    };
    let failing = scratch.reserve(&other, "carol@example.org").await.unwrap();
    assert_eq!(insert(2000).await, Err(Refusal::InProgress));
    assert!(scratch.store.release(host("example.org"), failing.id).await.unwrap());
    let contact = claim_of(&other, Purpose::Contact, "carol@example.org");
    assert_eq!(scratch.store.reserve(contact.clone(), 1).await, Ok(Claim::Reserved));
    assert_eq!(insert(2000).await, Ok(()), "it came to nothing, and a contact makes no account");
    assert!(scratch.store.release(host("example.org"), contact.id).await.unwrap());
    scratch.store.revoke_of_inviter(jid("alice@example.org"), at(2001)).await.unwrap();
    let other = scratch.with(|_| ()).await;
    let made = scratch.reserve(&other, "carol@example.org").await.unwrap();
    scratch.store.redeem(host("example.org"), made.id, Vec::new(), true, at(2002)).await.unwrap();
    assert_eq!(
        insert(2002).await,
        Err(Refusal::InProgress),
        "a caller who asked at 2002 whether it exists was told no"
    );
    assert_eq!(insert(2003).await, Ok(()), "a caller who asks later is told the truth");
}

async fn a_password_reset_reserves_no_username(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let reset = |invite: &mut Invite| {
        invite.invite_type = InviteType::PasswordReset;
        invite.username = username("carol");
    };
    scratch.with(reset).await;
    scratch.with(reset).await;
    assert!(!scratch.store.username_reserved(jid("carol@example.org"), at(1000)).await.unwrap());
}

async fn lists_are_filtered_and_the_newest_come_first(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let pending = scratch.with(|invite| invite.created_at = at(1003)).await;
    let used = scratch.with(|invite| invite.created_at = at(1002)).await;
    let reserved = scratch.reserve(&used, "carol@example.org").await.unwrap();
    scratch.store.redeem(host("example.org"), reserved.id, Vec::new(), true, at(2000)).await.unwrap();
    let revoked = scratch.with(|invite| invite.created_at = at(1001)).await;
    scratch.store.revoke(revoked.id.clone(), at(2000)).await.unwrap();
    let expired = scratch.with(|invite| invite.expires_at = Some(at(1500))).await;
    let elsewhere = scratch
        .with(|invite| {
            invite.host = host("example.net");
            (invite.inviter, invite.expires_at, invite.max_uses) = (None, None, None);
        })
        .await;
    let ids = |filter: Filter| async {
        let list = scratch.store.list(filter, 100, at(2000)).await.unwrap();
        list.into_iter().map(|invite| invite.id).collect::<Vec<_>>()
    };
    let state = |state| Filter { state: Some(state), ..Filter::default() };
    let mut all = ids(Filter::default()).await;
    assert_eq!(all[..3], [pending.id.clone(), used.id.clone(), revoked.id.clone()]);
    all.sort();
    let mut expected = [&pending, &used, &revoked, &expired, &elsewhere].map(|invite| invite.id.clone()).to_vec();
    expected.sort();
    assert_eq!(all, expected);
    assert_eq!(ids(state(State::Redeemed)).await, std::slice::from_ref(&used.id));
    assert_eq!(ids(state(State::Revoked)).await, std::slice::from_ref(&revoked.id));
    assert_eq!(ids(state(State::Expired)).await, std::slice::from_ref(&expired.id));
    let here = Filter { host: Some(pending.host.clone()), ..state(State::Pending) };
    assert_eq!(ids(here).await, std::slice::from_ref(&pending.id));
    let by_alice = Filter { inviter: Some(jid("alice@example.org")), ..Filter::default() };
    assert_eq!(ids(by_alice).await.len(), 4);
    assert_eq!(scratch.store.list(Filter::default(), 2, at(2000)).await.unwrap().len(), 2);
}

async fn an_inviters_pending_invites_are_revoked_together(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let (one, two) = (scratch.with(|_| ()).await, scratch.with(|_| ()).await);
    let bobs = scratch.with(|invite| invite.inviter = Some(jid("bob@example.org"))).await;
    assert_eq!(scratch.store.revoke_of_inviter(jid("alice@example.org"), at(2000)).await.unwrap(), 2);
    assert_eq!(scratch.store.revoke_of_inviter(jid("alice@example.org"), at(2000)).await.unwrap(), 0);
    for (invite, state) in [(one, State::Revoked), (two, State::Revoked), (bobs, State::Pending)] {
        assert_eq!(scratch.store.find_by_id(invite.id).await.unwrap().unwrap().state(at(2000)), state);
    }
}

async fn with_an_account_end_its_older_invites_and_its_origin_is_forgotten(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let old = scratch.with(|invite| invite.created_at = at(3000)).await;
    let new = scratch.with(|invite| invite.created_at = at(5000)).await;
    let reset = scratch
        .with(|invite| {
            invite.invite_type = InviteType::PasswordReset;
            invite.inviter = Some(jid("admin@example.org"));
            invite.username = username("alice");
            invite.created_at = at(3000);
        })
        .await;
    let made = scratch.with(|invite| invite.inviter = Some(jid("bob@example.org"))).await;
    let reserved = scratch.reserve(&made, "alice@example.org").await.unwrap();
    scratch.store.redeem(host("example.org"), reserved.id, Vec::new(), true, at(2000)).await.unwrap();
    assert_eq!(scratch.store.accounts_of(made.id.clone(), 10).await.unwrap().len(), 1);
    assert_eq!(scratch.store.account_deleted(jid("alice@example.org"), at(4000), at(6000)).await.unwrap(), 2);
    for (invite, state) in [(old, State::Revoked), (new, State::Pending), (reset, State::Revoked)] {
        assert_eq!(scratch.store.find_by_id(invite.id).await.unwrap().unwrap().state(at(6000)), state);
    }
    assert_eq!(scratch.store.accounts_of(made.id, 10).await.unwrap(), []);
}

async fn what_is_open_for_an_account_that_is_deleted_counts_as_used(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let (carol, invite) = (|| jid("carol@example.org"), scratch.with(|i| i.max_uses = Some(2)).await);
    let uses = async |uses| {
        assert_eq!(scratch.store.find_by_id(invite.id.clone()).await.unwrap().unwrap().uses, uses);
        scratch.store.verify().await.unwrap();
    };
    let reserved = scratch.reserve(&invite, "carol@example.org").await.unwrap();
    scratch.reserve(&invite, "dave@example.org").await.unwrap();
    scratch.store.account_deleted(carol(), at(1999), at(5000)).await.unwrap();
    uses(0).await;
    for _ in 0..2 {
        scratch.store.account_deleted(carol(), at(2000), at(5000)).await.unwrap();
        uses(1).await;
    }
    assert!(scratch.store.reserved_for(carol()).await.unwrap().is_empty());
    assert_eq!(scratch.store.reserved_for(jid("dave@example.org")).await.unwrap().len(), 1, "it is another's");
    assert!(!scratch.store.release(host("example.org"), reserved.id.clone()).await.unwrap());
    let late =
        scratch.store.redeem(host("example.org"), reserved.id.clone(), Vec::new(), true, at(5001)).await.unwrap();
    assert_eq!(late, Some((reserved, false)), "a fate that comes late changes nothing");
    uses(1).await;
    assert_eq!(scratch.store.registered_at(carol()).await.unwrap(), None, "nobody of that name has registered");
}

/// Invites of bob and password resets for him, made at 1000 and at 3000, and one of each of alice.
/// Claims are made at 2000.
async fn of_bob_and_alice(scratch: &Scratch) -> [Invite; 6] {
    let reset = |name, second| {
        scratch.with(move |invite| {
            (invite.invite_type, invite.username) = (InviteType::PasswordReset, username(name));
            (invite.inviter, invite.created_at) = (Some(jid("admin@example.org")), at(second));
        })
    };
    let made =
        |name, second| scratch.with(move |invite| (invite.inviter, invite.created_at) = (Some(jid(name)), at(second)));
    [
        made("bob@example.org", 1000).await,
        reset("bob", 2000).await,
        made("bob@example.org", 3000).await,
        reset("bob", 3000).await,
        made("alice@example.org", 1000).await,
        reset("alice", 1000).await,
    ]
}

/// Which of these are pending.
async fn pending<const N: usize>(scratch: &Scratch, invites: &[Invite; N]) -> [bool; N] {
    let mut pending = [false; N];
    for (invite, pending) in invites.iter().zip(&mut pending) {
        *pending =
            scratch.store.find_by_id(invite.id.clone()).await.unwrap().unwrap().state(at(4000)) == State::Pending;
    }
    pending
}

async fn who_registers_a_name_gets_nothing_of_its_earlier_owner(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let invites = of_bob_and_alice(&scratch).await;
    // It ends what is pending, even the invite by which the name is registered.
    let own = scratch.with(|invite| (invite.inviter, invite.max_uses) = (Some(jid("bob@example.org")), Some(5))).await;
    let reserved = scratch.reserve(&own, "bob@example.org").await.unwrap();
    assert_eq!(pending(&scratch, &invites).await, [true; 6], "the account is not certain yet");
    let released = scratch.reserve(&own, "carol@example.org").await.unwrap();
    assert!(scratch.store.release(host("example.org"), released.id).await.unwrap());
    assert!(
        scratch
            .store
            .redeem(host("example.org"), reserved.id.clone(), Vec::new(), true, at(3500))
            .await
            .unwrap()
            .unwrap()
            .1
    );
    assert_eq!(pending(&scratch, &invites).await, [false, false, true, true, true, true]);
    assert_eq!(pending(&scratch, &[own]).await, [false]);
    let of_the_new_owner = scratch.with(|invite| invite.inviter = Some(jid("bob@example.org"))).await;
    assert!(
        !scratch.store.redeem(host("example.org"), reserved.id, Vec::new(), true, at(3600)).await.unwrap().unwrap().1
    );
    assert_eq!(pending(&scratch, &[of_the_new_owner]).await, [true], "redeeming again changes nothing");
}

async fn a_password_that_is_set_ends_the_other_resets_for_its_account(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let invites = of_bob_and_alice(&scratch).await;
    let used = scratch.with(|i| (i.invite_type, i.username) = (InviteType::PasswordReset, username("bob"))).await;
    let claim = claim_of(&used, Purpose::Reset, "bob@example.org");
    assert_eq!(scratch.store.reserve(claim.clone(), 1).await, Ok(Claim::Reserved));
    scratch.store.redeem(host("example.org"), claim.id, Vec::new(), true, at(3500)).await.unwrap();
    assert_eq!(pending(&scratch, &invites).await, [true, false, true, true, true, true]);
    let used = scratch.store.find_by_id(used.id).await.unwrap().unwrap();
    assert_eq!((used.state(at(4000)), used.revoked_at), (State::Redeemed, None));

    assert_eq!(scratch.store.password_changed(jid("bob@example.org"), at(2999), at(4000)).await, Ok(0));
    assert_eq!(scratch.store.password_changed(jid("bob@elsewhere.example"), at(3000), at(4000)).await, Ok(0));
    assert_eq!(scratch.store.password_changed(jid("bob@example.org"), at(3000), at(4000)).await, Ok(1));
    assert_eq!(pending(&scratch, &invites).await, [true, false, true, false, true, true]);
}

async fn what_has_expired_ends_for_good_with_its_account_or_password(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let (bob, now) = (jid("bob@example.org"), at(5000));
    let reset = scratch.with(|i| (i.invite_type, i.username) = (InviteType::PasswordReset, username("bob"))).await;
    let made = scratch.with(|i| i.inviter = Some(jid("bob@example.org"))).await;
    let longer = async |invite: &Invite| {
        let change = Change { expires: Some(Lifetime::Seconds(DAY)), ..Change::default() };
        scratch.store.change(invite.id.clone(), change, Quota::default(), now).await.unwrap().map(drop)
    };
    for invite in [&reset, &made] {
        let over = Change { expires: Some(Lifetime::Seconds(-1)), ..Change::default() };
        let over = scratch.store.change(invite.id.clone(), over, Quota::default(), at(2000)).await.unwrap().unwrap();
        assert_eq!(over.state(now), State::Expired);
    }
    assert_eq!(scratch.store.password_changed(bob.clone(), at(3000), now).await, Ok(1));
    assert_eq!(longer(&reset).await, Err(Refusal::Revoked));
    assert_eq!(scratch.store.account_deleted(bob, at(3000), now).await, Ok(1));
    assert_eq!(longer(&made).await, Err(Refusal::Revoked));
}

async fn what_ended_long_ago_is_purged_but_not_who_invited_whom(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let used = scratch.with(|_| ()).await;
    let reserved = scratch.reserve(&used, "carol@example.org").await.unwrap();
    scratch.store.redeem(host("example.org"), reserved.id, Vec::new(), true, at(2000)).await.unwrap();
    let open = scratch.with(|_| ()).await;
    scratch.reserve(&open, "dave@example.org").await.unwrap();
    let revoked = scratch.with(|invite| invite.expires_at = None).await;
    scratch.store.revoke(revoked.id.clone(), at(2000)).await.unwrap();
    let eternal = scratch.with(|invite| (invite.expires_at, invite.max_uses) = (None, None)).await;
    assert_eq!(scratch.store.purge(at(2000), 100, at(9999)).await.unwrap(), 0, "what ended then has not ended before");
    assert_eq!(scratch.store.purge(at(2001), 1, at(9999)).await.unwrap(), 1, "no more than asked");
    assert_eq!(scratch.store.purge(at(2001), 100, at(9999)).await.unwrap(), 1);
    assert_eq!(
        scratch.store.purge(at(99_999), 100, at(9999)).await.unwrap(),
        0,
        "a use with an open fate keeps its invite"
    );
    for (invite, there) in [(&used, false), (&revoked, false), (&open, true), (&eternal, true)] {
        assert_eq!(scratch.store.find_by_id(invite.id.clone()).await.unwrap().is_some(), there);
    }
    assert_eq!(scratch.store.accounts_of(used.id, 10).await.unwrap(), [(jid("carol@example.org"), Some(at(2000)))]);
}

async fn it_is_known_when_a_daemon_was_last_at_work(engine: Engine) {
    let (scratch, day) = (Scratch::new(engine).await, Lifetime::Seconds(DAY));
    let first = scratch.store.seen(at(1000), day, None).await.unwrap();
    assert_eq!(scratch.again().await.seen(at(1000), day, None).await, Ok(first));
    let jump = scratch.store.seen(at(100_000), day, None).await.unwrap();
    assert_eq!(jump, LastSeen { at: at(100_000), since: at(100_000), before: Some(at(1000)), ..first });
    assert_eq!(scratch.store.seen(at(100_000), day, None).await, Ok(jump), "a second time, after a lost connection");

    let filled = Scratch::new(engine).await;
    filled.with(|_| ()).await;
    scratch.store.copy_into(&filled.store, |_| ()).await.unwrap();
    let seen = filled.store.seen(at(100_000), day, None).await.unwrap();
    assert!(seen.is_doubtful() && seen.before.is_none(), "no daemon was at work on the copy: {seen:?}");
}

async fn only_what_was_restored_stands_in_for_another_store(engine: Engine) {
    let seen = async |scratch: &Scratch, second| {
        let lasting = Lifetime::Seconds(DAY);
        scratch.again().await.seen(at(second), lasting, None).await.unwrap().took_over_at
    };
    let (filled, moved, restored) =
        (Scratch::new(engine).await, Scratch::new(engine).await, Scratch::new(engine).await);
    filled.with(|_| ()).await;
    assert_eq!(seen(&filled, 1000).await, None, "the command line has made its invite");
    filled.store.copy_into(&moved.store, |_| ()).await.unwrap();
    assert_eq!(seen(&moved, 1000).await, None, "it has all that was there");
    restored.store.filled(Some(at(900))).await.unwrap();
    filled.store.copy_into(&restored.store, |_| ()).await.unwrap();
    assert_eq!(seen(&restored, 1000).await, Some(at(900)));
    restored.store.copy_into(&moved.store, |_| ()).await.unwrap();
    assert_eq!(seen(&moved, 1001).await, Some(at(900)), "it lacks what its source lacks");
    filled.store.copy_into(&moved.store, |_| ()).await.unwrap();
    assert_eq!(seen(&moved, 1002).await, Some(at(900)), "and still does");
}

async fn daemons_with_different_clocks_doubt_both(engine: Engine) {
    let (scratch, day) = (Scratch::new(engine).await, Lifetime::Seconds(DAY));
    let other = scratch.again().await;
    scratch.store.seen(at(1000), day, None).await.unwrap();
    other.seen(at(900_000), day, None).await.unwrap();
    for time in 0..100 {
        let (ahead, right) =
            (other.seen(at(900_000 + time), day, None), scratch.store.seen(at(1000 + time), day, None));
        let (ahead, right) = tokio::join!(ahead, right);
        assert!(ahead.unwrap().is_doubtful() && right.unwrap().is_doubtful());
    }
}

async fn where_a_daemon_was_last_at_work_is_kept_and_that_the_store_took_over(engine: Engine) {
    let (scratch, day) = (Scratch::new(engine).await, Lifetime::Seconds(DAY));
    let on = |timeline| Some(Lineage { cluster: i64::MIN, timeline });
    let seen = async |second, timeline| scratch.again().await.seen(at(second), day, on(timeline)).await.unwrap();
    assert_eq!((seen(1000, 1).await.took_over_at, seen(1001, 1).await.took_over_at), (None, None));
    let took_over = seen(1002, 2).await;
    assert_eq!((took_over.lineage, took_over.took_over_at), (on(2), Some(at(1002))));
    assert_eq!(seen(1002, 2).await, took_over, "a second time, after a lost connection");
    assert_eq!(seen(1010, 2).await, LastSeen { at: at(1010), ..took_over }, "another daemon, or a later start");
}

async fn who_presents_what_a_restored_store_lacks_is_not_guessing(engine: Engine) {
    let (first, restored) = (Scratch::new(engine).await, Scratch::new(engine).await);
    let before = daemon(first.again().await, || at(1000));
    before.seen().await.unwrap();
    daemon(restored.again().await, || at(999)).seen().await.unwrap(); // it was started on the empty store
    let (kept, lost) = (Token::generate().unwrap(), Token::generate().unwrap());
    let short = Token::parse("abcdefgh").unwrap();
    first.with(|invite| invite.token_hash = kept.hash()).await;
    first.with(|invite| (invite.token_hash, invite.token_length) = (short.hash(), Some(8))).await;
    restored.store.filled(Some(at(1000))).await.unwrap();
    first.store.copy_into(&restored.store, |_| ()).await.unwrap();
    let refused = presented_often(&before, lost.reveal(), "192.0.2.7").await;
    assert!(matches!(refused, Refusal::AddressRefused { .. }), "nothing is missing there: {refused:?}");

    let within: [fn() -> Timestamp; 2] = [|| at(1000), || at(1000 + 7 * DAY - 1)];
    for (clock, address) in within.into_iter().zip(["192.0.2.7", "192.0.2.8"]) {
        let started = daemon(restored.again().await, clock);
        started.seen().await.unwrap();
        let link = format!("(https://example.org/i/{}).", lost.reveal());
        for text in [lost.reveal(), &link] {
            assert_eq!(presented_often(&started, text, address).await, Refusal::Unknown, "{text}");
        }
        assert!(started.look_up(std::slice::from_ref(&kept), source(address)).await.is_ok(), "and is served");
        let refused = presented_often(&started, "hgfedcba", address).await;
        assert!(matches!(refused, Refusal::AddressRefused { .. }), "a short one may be guessed: {refused:?}");
    }
    let later = daemon(restored.again().await, || at(1000 + 7 * DAY));
    later.seen().await.unwrap();
    let refused = presented_often(&later, lost.reveal(), "192.0.2.9").await;
    assert!(matches!(refused, Refusal::AddressRefused { .. }), "it was long ago: {refused:?}");
}

async fn what_was_made_by_a_clock_far_ahead_neither_counts_nor_outlives_its_account(engine: Engine) {
    let (scratch, quota) = (Scratch::new(engine).await, Quota { per_day: Some(1), pending: None });
    let insert = async |created_at, now| {
        let made = Invite { created_at: at(created_at), inviter: Some(jid("bob@example.org")), ..invite() };
        (made.clone(), scratch.store.insert(made, quota, at(now)).await.unwrap())
    };
    let (made_ahead, _) = insert(1000 + 400 * DAY, 1000 + 400 * DAY).await;
    let (made, inserted) = insert(1000, 1000).await;
    assert_eq!(inserted, Ok(()), "set right, the clock shows that nothing was made today");
    assert!(insert(1001, 1001).await.1.is_err());
    let reset = scratch.with(|reset| {
        (reset.invite_type, reset.username) = (InviteType::PasswordReset, username("bob"));
        reset.created_at = at(400 * DAY);
    });
    let invites = [made_ahead, made, reset.await];
    assert_eq!(scratch.store.password_changed(jid("bob@example.org"), at(900), at(4000)).await, Ok(1));
    assert_eq!(pending(&scratch, &invites).await, [true, true, false]);
    assert_eq!(scratch.store.account_deleted(jid("bob@example.org"), at(900), at(4000)).await, Ok(1));
    assert_eq!(pending(&scratch, &invites).await, [false, true, false], "the other is a later account's");
}

async fn the_token_of_an_invite_that_is_gone_is_known(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let carol = jid("carol@example.org");
    let purged = scratch.with(|invite| invite.expires_at = Some(at(1500))).await;
    let forgotten = scratch.with(|invite| invite.inviter = Some(carol.clone())).await;
    let kept = scratch.with(|_| ()).await;
    let of = [&purged, &forgotten, &kept].map(|invite| invite.token_hash);
    let known = async || {
        let mut known = [false; 3];
        for (place, hash) in known.iter_mut().zip(of) {
            *place = scratch.store.past(hash).await.unwrap().is_some();
        }
        known
    };
    assert_eq!(known().await, [false; 3]);
    assert_eq!(scratch.store.purge(at(1501), 10, at(9999)).await.unwrap(), 1);
    assert_eq!(known().await, [true, false, false]);
    assert_eq!(scratch.store.forget(carol.clone(), at(9999)).await.unwrap().invites, 1);
    assert_eq!(known().await, [true, true, false]);
    // An older copy may bring an invite back. It is there, then, and may be purged again.
    assert_eq!(scratch.store.insert(purged.clone(), Quota::default(), at(2000)).await, Ok(Ok(())));
    assert_eq!(scratch.store.find(purged.token_hash).await.unwrap(), Some(purged));
    assert_eq!(scratch.store.purge(at(1501), 10, at(9999)).await.unwrap(), 1);
    assert_eq!(known().await, [true, true, false]);
}

async fn the_accounts_of_an_invite_are_those_that_registered_with_it(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let (invite, other) = (scratch.with(|i| i.max_uses = None).await, scratch.with(|_| ()).await);
    for (invite, purpose, account, redeemed_at) in [
        (&invite, Purpose::Register, "carol@example.org", Some(2001)),
        (&invite, Purpose::Register, "dave@example.org", Some(2002)),
        (&invite, Purpose::Register, "erin@example.org", None),
        (&invite, Purpose::Contact, "frank@example.net", Some(2003)),
        (&other, Purpose::Register, "grace@example.org", Some(2004)),
    ] {
        let claim = claim_of(invite, purpose, account);
        assert_eq!(scratch.store.reserve(claim.clone(), 1).await.unwrap(), Claim::Reserved);
        if let Some(second) = redeemed_at {
            scratch.store.redeem(host("example.org"), claim.id, Vec::new(), true, at(second)).await.unwrap();
        }
    }
    let newest_first = [(jid("dave@example.org"), Some(at(2002))), (jid("carol@example.org"), Some(at(2001)))];
    assert_eq!(scratch.store.accounts_of(invite.id.clone(), 10).await.unwrap(), newest_first);
    assert_eq!(scratch.store.accounts_of(invite.id, 1).await.unwrap(), newest_first[..1]);
}

async fn reservations_with_an_open_fate_are_found(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let invite = scratch.with(|invite| invite.max_uses = Some(2)).await;
    let open = scratch.reserve(&invite, "carol@example.org").await.unwrap();
    let redeemed = scratch.reserve(&invite, "dave@example.org").await.unwrap();
    scratch.store.redeem(host("example.org"), redeemed.id, Vec::new(), true, at(2001)).await.unwrap();
    let hooks = || vec![(invite.host.clone(), String::new())];
    let found = scratch.store.reserved_until(at(2000), at(5000), hooks(), 10).await.unwrap();
    assert_eq!(found.into_iter().map(|(used, _)| used).collect::<Vec<_>>(), [open]);
    assert!(scratch.store.reserved_until(at(1999), at(5000), hooks(), 10).await.unwrap().is_empty());
}

async fn a_use_is_found_by_how_its_name_begins(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let invite = scratch.with(|invite| invite.max_uses = None).await;
    let found = async |account: &str, prefix: &str| {
        scratch.store.used_under(invite.id.clone(), jid(account), prefix.to_owned()).await.unwrap()
    };
    let reserve = async |id: &str, account: &str| {
        let claim = Use { id: id.to_owned(), ..claim_of(&invite, Purpose::Register, account) };
        assert_eq!(scratch.store.reserve(claim.clone(), 1).await.unwrap(), Claim::Reserved);
        claim
    };
    assert_eq!(found("carol@example.org", "form.").await, None);
    let used = reserve("form.one", "carol@example.org").await;
    assert_eq!(found("carol@example.org", "form.").await, Some(((used.clone(), invite.clone()), false)));
    scratch.store.redeem(host("example.org"), used.id.clone(), Vec::new(), true, at(2001)).await.unwrap();
    let (reserved, redeemed) = found("carol@example.org", "form.").await.unwrap();
    assert_eq!((reserved.0, reserved.1.uses, redeemed), (used, 1, true));
    for (account, prefix) in
        [("carol@example.org", "form.two"), ("carol@example.org", "f%"), ("dave@example.org", "form.")]
    {
        assert_eq!(found(account, prefix).await, None, "{account} {prefix}");
    }
    let given_back = reserve("form.two", "dave@example.org").await;
    scratch.store.release(host("example.org"), given_back.id).await.unwrap();
    assert_eq!(found("dave@example.org", "form.").await, None);
}

async fn what_cannot_be_settled_keeps_back_no_other_host_or_invite(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let with_many = async |name: &str| scratch.with(|invite| (invite.host, invite.max_uses) = (host(name), None)).await;
    let [gone, stuck, next, other] = [
        with_many("gone.example").await,
        with_many("stuck.example").await,
        with_many("stuck.example").await,
        with_many("b.example").await,
    ];
    // In the order in which they are made, with the order in which they are found.
    let of =
        [(&gone, None), (&stuck, Some(0)), (&stuck, Some(3)), (&stuck, Some(5)), (&next, Some(2)), (&next, Some(4))];
    let of = of.into_iter().chain([(&other, Some(1))]);
    let mut expected = vec![None; 6];
    for ((invite, place), second) in of.zip(1001..) {
        let claim = claim_of(invite, Purpose::Register, &format!("user{second}@{}", invite.host));
        let claim = Use { reserved_at: at(second), ..claim };
        assert_eq!(scratch.store.reserve(claim.clone(), 1).await.unwrap(), Claim::Reserved);
        if let Some(place) = place {
            expected[place] = Some(claim);
        }
    }
    let expected: Vec<_> = expected.into_iter().flatten().collect();
    let served = ["b.example", "stuck.example", "c.example"].map(|name| (host(name), String::new())).to_vec();
    for limit in 1..10 {
        let found = scratch.store.reserved_until(at(2000), at(5000), served.clone(), limit).await.unwrap();
        let found: Vec<_> = found.into_iter().map(|(used, _)| used).collect();
        assert_eq!(found, expected[..expected.len().min(limit as usize)]);
    }
    assert!(scratch.store.reserved_until(at(2000), at(5000), vec![], 10).await.unwrap().is_empty());
}

async fn many_writers_at_once_are_all_kept(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let writers = (0..500).map(|_| {
        let store = scratch.store.clone();
        tokio::spawn(async move { store.insert(invite(), Quota::default(), at(1000)).await })
    });
    for written in join_all(writers).await {
        assert_eq!(written.unwrap().unwrap(), Ok(()));
    }
    assert_eq!(scratch.store.list(Filter::default(), 1000, at(1000)).await.unwrap().len(), 500);
}

async fn it_is_known_since_when_there_is_an_account(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let invite = scratch.with(|_| ()).await;
    let reserved = scratch.reserve(&invite, "carol@example.org").await.unwrap();
    let registered = || scratch.store.registered_at(jid("carol@example.org"));
    assert_eq!(registered().await.unwrap(), None);
    scratch.store.redeem(host("example.org"), reserved.id, Vec::new(), true, at(2001)).await.unwrap();
    assert_eq!(registered().await.unwrap(), Some(at(2001)));
    scratch.store.account_deleted(jid("carol@example.org"), at(2000), at(2002)).await.unwrap();
    assert_eq!(registered().await.unwrap(), Some(at(2001)), "that was another account, deleted before");
    scratch.store.account_deleted(jid("carol@example.org"), at(2001), at(2002)).await.unwrap();
    assert_eq!(registered().await.unwrap(), None);
}

async fn it_is_told_how_much_a_store_holds(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let holds = async |invites, uses, accounts, events| {
        assert_eq!(scratch.store.contents().await.unwrap(), Contents { invites, uses, accounts, events });
    };
    holds(0, 0, 0, 0).await;
    let invite = scratch.with(|_| ()).await;
    holds(1, 0, 0, 1).await;
    let reserved = scratch.reserve(&invite, "carol@example.org").await.unwrap();
    scratch.store.redeem(host("example.org"), reserved.id, Vec::new(), true, at(2001)).await.unwrap();
    holds(1, 1, 1, 2).await;
    assert_eq!(scratch.store.purge(at(99_999), 10, at(9999)).await.unwrap(), 1);
    holds(0, 0, 1, 3).await;
}

async fn what_is_pending_is_counted_in_parts_and_what_is_open_too(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    assert_eq!(scratch.store.open_uses().await.unwrap(), []);
    // Many of one second, since invites are made in bulk.
    let mut invites = Vec::new();
    for number in 0..7 {
        invites.push(scratch.with(|invite| invite.created_at = at(1000 + number / 5)).await);
    }
    let elsewhere = scratch.with(|invite| invite.host = host("other.example")).await;
    let ended = scratch.with(|invite| invite.expires_at = Some(at(2000))).await;
    let endless = scratch.with(|invite| (invite.expires_at, invite.max_uses) = (None, None)).await;
    scratch.store.revoke(invites[0].id.clone(), at(1500)).await.unwrap();
    for invite in [&invites[1], &invites[2], &endless, &elsewhere] {
        let reserved = scratch.reserve(invite, &format!("a{}@{}", invite.id, invite.host)).await.unwrap();
        if *invite != invites[2] && *invite != elsewhere {
            scratch.store.redeem(invite.host.clone(), reserved.id, Vec::new(), true, at(2001)).await.unwrap();
        }
    }
    let count = async |size| {
        let (mut pending, mut parts, mut place) = (0, 0, None);
        loop {
            let (found, end) = scratch.store.pending_part(host("example.org"), place, size, at(2000)).await.unwrap();
            (pending, parts, place) = (pending + found, parts + 1, end);
            if place.is_none() {
                return (pending, parts);
            }
        }
    };
    // Of nine, one is revoked, one is used up and one has expired.
    assert_eq!(ended.expires_at, Some(at(2000)));
    assert_eq!([count(1).await, count(4).await, count(9).await, count(10).await], [(6, 10), (6, 3), (6, 2), (6, 1)]);
    let mut open = scratch.store.open_uses().await.unwrap();
    open.sort();
    assert_eq!(open, [(host("example.org"), 1), (host("other.example"), 1)]);
}

async fn somebody_is_forgotten_when_nothing_of_theirs_is_open(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let carol = || jid("carol@example.org");
    let others = scratch.with(|invite| invite.max_uses = Some(2)).await;
    let came = scratch.reserve(&others, "carol@example.org").await.unwrap();
    scratch.store.redeem(host("example.org"), came.id, Vec::new(), true, at(2001)).await.unwrap();
    let own = scratch.with(|invite| (invite.inviter, invite.max_uses) = (Some(carol()), None)).await;
    let guest = scratch.reserve(&own, "dave@example.org").await.unwrap();
    let named = Invite { username: username("carol"), ..invite() };
    assert_eq!(scratch.store.insert(named.clone(), Quota::default(), at(2002)).await, Ok(Ok(())));
    let before = scratch.place.contents().await;
    let forgotten = scratch.store.forget(carol(), at(9999)).await.unwrap();
    assert_eq!(forgotten, Forgotten { open: 1, ..Forgotten::default() });
    assert_eq!(scratch.place.contents().await, before, "nothing is erased while something is open");
    scratch.store.redeem(host("example.org"), guest.id, Vec::new(), true, at(2002)).await.unwrap();
    let forgotten = scratch.store.forget(carol(), at(9999)).await.unwrap();
    assert_eq!(forgotten, Forgotten { open: 0, invites: 2, uses: 1, invited: 1, known: true, events: 3 });
    let left = format!("{:?}", scratch.place.contents().await);
    assert!(!left.contains("carol"), "{left}");
    for invite in [own, named] {
        assert_eq!(scratch.store.find_by_id(invite.id).await.unwrap(), None);
    }
    assert_eq!(scratch.uses(&others).await, 1, "what was used stays used");
    assert_eq!(scratch.store.registered_at(jid("dave@example.org")).await.unwrap(), Some(at(2002)));
    assert_eq!(scratch.store.forget(carol(), at(9999)).await.unwrap(), Forgotten::default());
    scratch.store.verify().await.unwrap();
}

impl Uses<'_> {
    /// Somebody registers with an invite.
    async fn joins(&self, invite: &Invite, username: &str, second: i64) {
        let reserved = self.0.reserve(invite, &format!("{username}@example.org")).await.unwrap();
        self.0.store.redeem(host("example.org"), reserved.id, Vec::new(), true, at(second)).await.unwrap();
    }

    /// The messages that are to be sent now: of how many uses, and by whom those that are named.
    async fn due(&self, second: i64) -> Vec<(u32, Vec<String>)> {
        let notices = self.claim(second).await.into_iter();
        let who = |used: Use| used.account.node().unwrap().to_string();
        notices.map(|notice| (notice.count, notice.uses.into_iter().map(who).collect())).collect()
    }

    async fn claim(&self, second: i64) -> Vec<Notice> {
        let hosts = vec![host("example.org"), host("example.net")];
        self.0.store.claim_notices(hosts, at(second), at(second + 15), 10).await.unwrap()
    }

    async fn sent(&self, notice: &Notice, second: i64) {
        let (id, message) = (notice.invite.id.clone(), notice.message.clone());
        self.0.store.end_notice(id, message, Some(at(second))).await.unwrap();
    }
}

/// Uses of which somebody is told.
struct Uses<'a>(&'a Scratch);

fn of_alice(uses: Option<u32>) -> impl FnOnce(&mut Invite) {
    move |invite| {
        (invite.inviter, invite.issuer, invite.max_uses) = (Some(jid("alice@example.org")), Issuer::User, uses)
    }
}

async fn whoever_is_told_of_a_use_is_told_in_one_message_however_often_it_is_sent(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let uses = Uses(&scratch);
    assert_eq!(uses.claim(2000).await, []);
    let (one, other) = (scratch.with(of_alice(Some(1))).await, scratch.with(of_alice(Some(1))).await);
    uses.joins(&one, "carol", 2001).await;
    let first = uses.claim(2001).await;
    assert_eq!(first.iter().map(|notice| (&notice.invite.id, notice.count)).collect::<Vec<_>>(), [(&one.id, 1)]);
    uses.joins(&other, "dave", 2002).await;
    assert_eq!(uses.due(2002).await, [(1, vec!["dave".to_owned()])], "one that is being sent holds up no other");
    assert_eq!(uses.claim(2015).await, [], "they are being sent");
    let again = uses.claim(2016).await;
    assert_eq!(again, first, "it may not have been sent");
    assert_eq!(uses.claim(-9000).await.len(), 2, "the clock was set back");
    uses.sent(&again[0], 2016).await;
    assert_eq!(uses.due(2040).await, [(1, vec!["dave".to_owned()])]);
    assert_eq!(scratch.store.notices().await, Ok(1));
    assert_eq!(scratch.place.query("SELECT count(*) FROM invite WHERE told_at IS NOT NULL").await, [["0"]]);
}

async fn an_invite_for_many_is_told_of_once_an_hour(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let uses = Uses(&scratch);
    let invite = scratch.with(of_alice(Some(9))).await;
    uses.joins(&invite, "carol", 2001).await;
    let first = uses.claim(2001).await;
    uses.joins(&invite, "dave", 2002).await;
    assert_eq!(uses.claim(2003).await, [], "carol is being told of");
    assert_eq!(uses.claim(2016).await[0].uses, first[0].uses, "dave did not get into a message that may be sent");
    uses.sent(&first[0], 2020).await;
    uses.joins(&invite, "erin", 2021).await;
    assert_eq!(uses.claim(2020 + 3599).await, []);
    let second = uses.claim(2020 + 3600).await;
    assert_eq!(second[0].count, 2);
    assert_ne!(second[0].message, first[0].message);
    assert_eq!(second[0].invite.uses, 3);
    uses.joins(&invite, "frank", 5621).await;
    uses.sent(&second[0], 5622).await;
    assert_eq!(uses.claim(9000).await, []);
    assert_eq!(uses.due(9222).await, [(1, vec!["frank".to_owned()])]);
    assert_eq!(uses.claim(1000).await.len(), 1, "the clock was set back");
}

async fn of_many_uses_a_message_has_the_number_alone(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let uses = Uses(&scratch);
    let invite = scratch.with(of_alice(None)).await;
    for number in 0..11 {
        uses.joins(&invite, &format!("guest-{number:02}"), 2001).await;
        let named = (0..=number).map(|number| format!("guest-{number:02}")).collect::<Vec<_>>();
        let due = uses.claim(2001).await;
        let who: Vec<_> = due[0].uses.iter().map(|used| used.account.node().unwrap().to_string()).collect();
        assert_eq!((due[0].count, who), (number + 1, if number < 10 { named } else { vec![named[0].clone()] }));
        scratch.place.run("UPDATE notice SET message = NULL, leased_until = NULL").await;
    }
}

async fn nobody_is_told_who_has_no_reason_to_be(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let uses = Uses(&scratch);
    let of_nobody = scratch.with(|invite| (invite.inviter, invite.max_uses) = (None, None)).await;
    uses.joins(&of_nobody, "carol", 2001).await;
    let own = scratch.with(of_alice(None)).await;
    let herself = claim_of(&own, Purpose::Contact, "alice@example.org");
    assert_eq!(scratch.store.reserve(herself.clone(), 1).await, Ok(Claim::Reserved));
    scratch.store.redeem(host("example.org"), herself.id, Vec::new(), true, at(2002)).await.unwrap();
    let released = scratch.reserve(&own, "dave@example.org").await.unwrap();
    assert!(scratch.store.release(host("example.org"), released.id).await.unwrap());
    let silent = scratch.reserve(&own, "dave@example.org").await.unwrap();
    scratch.store.redeem(host("example.org"), silent.id.clone(), Vec::new(), false, at(2002)).await.unwrap();
    scratch.store.redeem(host("example.org"), silent.id, Vec::new(), true, at(2002)).await.unwrap();
    let reset = claim_of(&own, Purpose::Reset, "erin@example.org");
    assert_eq!(scratch.store.reserve(reset.clone(), 1).await, Ok(Claim::Reserved));
    scratch.store.redeem(host("example.org"), reset.id, Vec::new(), true, at(2002)).await.unwrap();
    scratch.reserve(&own, "frank@example.org").await.unwrap();
    scratch.store.account_deleted(jid("frank@example.org"), at(3000), at(3000)).await.unwrap();
    assert_eq!(scratch.store.notices().await, Ok(0));
    let contact = claim_of(&own, Purpose::Contact, "bob@example.net");
    assert_eq!(scratch.store.reserve(contact.clone(), 1).await, Ok(Claim::Reserved));
    scratch.store.redeem(host("example.org"), contact.id, Vec::new(), true, at(2002)).await.unwrap();
    assert_eq!(uses.due(2003).await, [(1, vec!["bob".to_owned()])]);
}

async fn one_daemon_at_a_time_sends_a_message(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let uses = Uses(&scratch);
    let invites = [scratch.with(of_alice(None)).await, scratch.with(of_alice(None)).await];
    for number in 0..6 {
        uses.joins(&invites[number % 2], &format!("guest-{number}"), 2001).await;
    }
    let claims = join_all((0..8).map(|_| uses.claim(2002))).await.concat();
    assert_eq!(claims.iter().map(|notice| notice.count).collect::<Vec<_>>(), [3, 3]);
    let elsewhere = scratch.store.claim_notices(vec![host("example.com")], at(3000), at(3015), 10).await;
    assert_eq!(elsewhere, Ok(vec![]));
    assert_eq!(scratch.store.claim_notices(vec![], at(3000), at(3015), 10).await, Ok(vec![]));
    let in_turn = async |second| {
        let taken =
            scratch.store.claim_notices(vec![host("example.org")], at(second), at(second + 15), 1).await.unwrap();
        taken.into_iter().map(|notice| notice.invite.id).collect::<Vec<_>>()
    };
    let mut both = [in_turn(3000).await, in_turn(3001).await].concat();
    both.sort();
    assert_eq!(both, {
        let mut ids = invites.map(|invite| invite.id);
        ids.sort();
        ids
    });
    assert_eq!(in_turn(3014).await, Vec::<InviteId>::new());
}

async fn what_is_to_be_told_goes_with_whom_it_is_about(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let uses = Uses(&scratch);
    let left = async || scratch.store.notices().await.unwrap();
    let invite = scratch.with(of_alice(None)).await;
    uses.joins(&invite, "carol", 2001).await;
    uses.joins(&invite, "dave", 2001).await;
    scratch.store.account_deleted(jid("carol@example.org"), at(3000), at(3000)).await.unwrap();
    assert_eq!(left().await, 2, "carol has joined, whatever became of that");
    scratch.store.forget(jid("carol@example.org"), at(3000)).await.unwrap();
    assert_eq!(uses.due(3000).await, [(1, vec!["dave".to_owned()])]);
    scratch.store.revoke(invite.id.clone(), at(3000)).await.unwrap();
    assert_eq!(left().await, 1);
    scratch.store.account_deleted(jid("alice@example.org"), at(999), at(3000)).await.unwrap();
    assert_eq!(left().await, 1, "the invite is of a later account");
    scratch.store.account_deleted(jid("alice@example.org"), at(1000), at(3000)).await.unwrap();
    assert_eq!(left().await, 0);
    for end in ["purged", "forgotten", "dropped"] {
        let invite = scratch.with(of_alice(Some(1))).await;
        uses.joins(&invite, "erin", 4000).await;
        assert_eq!(left().await, 1);
        match end {
            "purged" => assert!(scratch.store.purge(at(9000), 10, at(9000)).await.unwrap() > 0),
            "forgotten" => assert!(scratch.store.forget(jid("alice@example.org"), at(9000)).await.unwrap().invites > 0),
            _ => {
                assert_eq!(scratch.store.drop_notices(vec![host("example.net")]).await, Ok(0));
                assert_eq!(scratch.store.drop_notices(vec![host("example.org")]).await, Ok(1));
            }
        }
        assert_eq!(left().await, 0, "{end}");
    }
}

/// All events, as actor, action, account, detail and count.
async fn told(store: &Store, filter: EventFilter) -> Vec<(String, Action, Option<BareJid>, Option<String>, u64)> {
    let events = store.events(filter, (Timestamp::MIN, 0), 1000).await.unwrap();
    let words = |event: Event| (event.actor.to_string(), event.action, event.account, event.detail, event.count);
    events.into_iter().map(words).collect()
}

async fn the_refusals_of_an_hour_are_one_event(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let refuse = async |who: &str, limit: &str, second| {
        let store = scratch.store.by(Actor::User(jid(who)));
        store.refused(host("example.org"), limit.to_owned(), at(second)).await.unwrap()
    };
    assert!(refuse("alice@example.org", "invites_per_day", 10_000).await);
    for second in 10_000..10_050 {
        assert!(!refuse("alice@example.org", "invites_per_day", second).await, "a flood adds no event");
    }
    assert!(refuse("alice@example.org", "pending_invites", 10_001).await);
    assert!(refuse("bob@example.org", "invites_per_day", 10_002).await);
    assert!(refuse("alice@example.org", "invites_per_day", 13_600).await, "an hour later");
    assert!(refuse("alice@example.org", "invites_per_day", 9_999).await, "the clock was set back");
    let count = |detail: &str, count| {
        ("user:alice@example.org".to_owned(), Action::Refused, None, Some(detail.to_owned()), count)
    };
    let alice = told(&scratch.store, EventFilter { account: Some(jid("alice@example.org")), ..EventFilter::default() });
    let expected = [("invites_per_day", 1), ("invites_per_day", 51), ("pending_invites", 1), ("invites_per_day", 1)];
    assert_eq!(alice.await, expected.map(|(limit, times)| count(limit, times)));
}

async fn what_the_command_line_did_is_told_once(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let (root, daemon) = (scratch.store.by(Actor::cli("root")), &scratch.store);
    let own = scratch.with(|invite| invite.issuer = Issuer::Operator).await;
    root.revoke(own.id.clone(), at(2000)).await.unwrap();
    root.revoke(own.id.clone(), at(2001)).await.unwrap();
    let untold = daemon.untold(10).await.unwrap();
    assert_eq!(
        untold.iter().map(|event| (&event.invite, event.action)).collect::<Vec<_>>(),
        [(&Some(own.id), Action::Revoked)]
    );
    let other = scratch.again().await;
    let (one, two) = futures::join!(daemon.tell(untold[0].clone()), other.tell(untold[0].clone()));
    assert!(one.unwrap() ^ two.unwrap(), "of two daemons, one tells it");
    assert_eq!(daemon.untold(10).await.unwrap(), []);
    let actors: Vec<_> = told(daemon, EventFilter::default()).await.into_iter().map(|(actor, ..)| actor).collect();
    assert_eq!(actors, ["hook:example.org", "cli:root"]);
}

async fn events_are_found_page_by_page_until_they_are_old(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let mut ids = Vec::new();
    for number in 0..250 {
        let inviter = jid(if number % 2 == 0 { "alice@example.org" } else { "bob@example.org" });
        let there = host(if number % 5 == 0 { "example.net" } else { "example.org" });
        ids.push(scratch.with(|invite| (invite.inviter, invite.host) = (Some(inviter), there)).await.id);
    }
    let pages = async |filter: EventFilter, limit| {
        let (mut found, mut after) = (Vec::new(), (Timestamp::MIN, 0));
        loop {
            let page = scratch.store.events(filter.clone(), after, limit).await.unwrap();
            let Some(last) = page.last() else { return found };
            after = (last.at, last.id);
            found.extend(page.into_iter().filter_map(|event| event.invite));
        }
    };
    assert_eq!(pages(EventFilter::default(), 7).await, ids, "in the order in which they happened");
    // More than one statement writes.
    let of_alice = scratch.store.revoke_of_inviter(jid("alice@example.org"), at(2000)).await.unwrap();
    assert_eq!(of_alice, 125);
    let alice = EventFilter { account: Some(jid("alice@example.org")), ..EventFilter::default() };
    assert_eq!(pages(alice, 33).await.len(), 250, "what happened to her invites, too");
    let net = EventFilter { host: Some(host("example.net")), ..EventFilter::default() };
    assert_eq!(pages(net, 10).await.len(), 75);
    let first = EventFilter { invite: Some(ids[0].clone()), ..EventFilter::default() };
    assert_eq!(pages(first, 10).await, [ids[0].clone(), ids[0].clone()]);
    assert_eq!(scratch.store.purge_events(at(1000), 1000).await, Ok(0), "what was then was not before");
    assert_eq!(scratch.store.purge_events(at(1001), 200).await, Ok(200));
    assert_eq!(scratch.store.purge_events(at(1001), 200).await, Ok(50));
    assert_eq!(pages(EventFilter::default(), 100).await.len(), 125);
}

async fn an_event_that_cannot_be_read_is_told(engine: Engine) {
    for damage in ["actor = 'mallory'", "action = 'done'", "account = '@'", "invite = 'x'", "count = -1"] {
        let scratch = Scratch::new(engine).await;
        scratch.with(|_| ()).await;
        scratch.store.verify().await.unwrap();
        scratch.place.run(&format!("UPDATE event SET {damage}")).await;
        let verified = scratch.store.verify().await;
        assert!(matches!(verified, Err(StoreError { problem: Problem::Corrupt(_), .. })), "{damage}: {verified:?}");
    }
}

async fn counters_that_disagree_are_told(engine: Engine) {
    for damage in [
        "UPDATE invite SET taken = 2",
        "UPDATE invite SET taken = 0",
        "UPDATE invite SET taken = 0, uses = 0",
        "UPDATE invite SET uses = 0",
        "UPDATE invite SET max_uses = 0",
        "UPDATE invite_use SET redeemed_at = NULL",
        "DELETE FROM invite_use",
    ] {
        let scratch = Scratch::new(engine).await;
        let invite = scratch.with(|_| ()).await;
        let reserved = scratch.reserve(&invite, "carol@example.org").await.unwrap();
        scratch.store.redeem(host("example.org"), reserved.id, Vec::new(), true, at(2001)).await.unwrap();
        scratch.store.verify().await.unwrap();
        scratch.place.run(damage).await;
        match scratch.store.verify().await {
            Err(StoreError { problem: Problem::Corrupt(problem), .. }) => {
                assert!(problem.contains(invite.id.as_str()), "{problem}")
            }
            other => panic!("{damage}: {other:?}"),
        }
    }
}

/// A store with something of everything.
async fn filled(engine: Engine) -> Scratch {
    let scratch = Scratch::new(engine).await;
    for _ in 0..3 {
        scratch.with(|invite| invite.expires_at = Some(at(1500))).await;
    }
    assert_eq!(scratch.store.purge(at(1501), 10, at(9999)).await.unwrap(), 3);
    for number in 0..600 {
        let invite = scratch
            .with(|invite| {
                invite.max_uses = Some(3);
                invite.username = (number % 5 == 0).then(|| username(&format!("u{number}")).unwrap());
                invite.inviter = (number % 7 > 0).then(|| jid("alice@example.org"));
                invite.note = (number % 3 > 0).then(|| "ж'\"\\ \u{1f389}".to_owned());
                invite.expires_at = (number % 4 > 0).then(|| at(9000));
            })
            .await;
        if number % 2 == 0 {
            let redeemed = scratch.reserve(&invite, &format!("r{number}@example.org")).await.unwrap();
            scratch.store.redeem(host("example.org"), redeemed.id, Vec::new(), true, at(2001)).await.unwrap();
        }
        if number % 2 == 0 || number % 5 == 1 {
            scratch.reserve(&invite, &format!("o{number}@example.org")).await.unwrap();
        }
        if number % 9 == 0 {
            scratch.store.revoke(invite.id, at(3000)).await.unwrap();
        }
    }
    scratch
}

async fn a_copy_is_whole_and_so_is_the_copy_of_the_copy(engine: Engine) {
    let source = filled(engine).await;
    let contents = source.place.contents().await;
    let other = if engine == Engine::Sqlite { Engine::Postgres } else { Engine::Sqlite };
    let (there, back) = (Scratch::new(other).await, Scratch::new(engine).await);
    let mut told = Vec::new();
    let rows = contents.len() as u64;
    let copied = source.store.copy_into(&there.store, |copied| told.push(copied)).await.unwrap();
    assert_eq!((copied, told.last()), (rows, Some(&rows)));
    assert!(told.is_sorted() && told.len() > 2, "{told:?}");
    assert_eq!(there.place.contents().await, contents);
    there.store.copy_into(&back.store, |_| ()).await.unwrap();
    assert_eq!(back.place.contents().await, contents);
    source.store.copy_into(&there.store, |_| ()).await.unwrap();
    assert_eq!(there.place.contents().await, contents, "again, and nothing has changed");
    there.store.verify().await.unwrap();
}

async fn a_copy_whose_target_fails_ends_at_once_with_the_targets_error(engine: Engine) {
    let (source, target) = (filled(engine).await, Scratch::new(engine).await);
    target
        .place
        .run(match engine {
            Engine::Sqlite => {
                "CREATE TRIGGER broken BEFORE INSERT ON invite BEGIN SELECT RAISE(ABORT, 'it is broken'); END"
            }
            Engine::Postgres => {
                "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN RAISE EXCEPTION 'it is broken'; END $$; \
                 CREATE TRIGGER broken BEFORE INSERT ON invite FOR EACH ROW EXECUTE FUNCTION broken()"
            }
        })
        .await;
    let error = timeout(PATIENCE, source.store.copy_into(&target.store, |_| ())).await.unwrap().unwrap_err();
    assert!(
        matches!(&error, StoreError { problem: Problem::Other(problem), .. } if problem.contains("it is broken")),
        "{error:?}"
    );
    // The snapshot is closed as well.
    timeout(PATIENCE, source.store.list(Filter::default(), 1, at(0))).await.unwrap().unwrap();
    source.store.forget(jid("nobody@example.org"), at(9999)).await.unwrap();
}

async fn a_copy_whose_source_fails_ends_at_once_with_the_sources_error(engine: Engine) {
    let (source, target) = (filled(engine).await, Scratch::new(engine).await);
    source.place.run("ALTER TABLE account RENAME TO account_that_was").await;
    let copied = timeout(PATIENCE, source.store.copy_into(&target.store, |_| ())).await.unwrap();
    assert!(matches!(copied, Err(StoreError { problem: Problem::Other(_), .. })), "{copied:?}");
    target.with(|_| ()).await;
}

async fn a_copy_that_was_cut_short_is_completed_by_the_next(engine: Engine) {
    let source = filled(engine).await;
    for pages in 1..4 {
        let target = Scratch::new(engine).await;
        {
            let seen = std::cell::Cell::new(0);
            let copying = source.store.copy_into(&target.store, |_| seen.set(seen.get() + 1));
            let mut copying = std::pin::pin!(copying);
            // The copy is dropped where it stands.
            std::future::poll_fn(|context| {
                let over = copying.as_mut().poll(context).is_ready() || seen.get() >= pages;
                if over { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
            })
            .await;
        }
        // Meanwhile, reservations in the source come to an end.
        let open = source.place.query("SELECT id FROM invite_use WHERE redeemed_at IS NULL ORDER BY id").await;
        for row in open.iter().step_by(7) {
            source.store.release(host("example.org"), row[0].clone()).await.unwrap();
        }
        source.store.copy_into(&target.store, |_| ()).await.unwrap();
        target.store.verify().await.unwrap();
        for row in source.place.query("SELECT id, uses FROM invite ORDER BY id").await {
            let copied = target.store.find_by_id(InviteId::parse(&row[0]).unwrap()).await.unwrap().unwrap();
            assert_eq!(copied.uses.to_string(), row[1]);
        }
    }
}

async fn a_copy_never_makes_a_used_use_free_in_between(engine: Engine) {
    let (source, target) = (Scratch::new(engine).await, Scratch::new(engine).await);
    let invites = [source.with(|i| i.max_uses = Some(400)).await, source.with(|i| i.max_uses = Some(400)).await];
    for number in 0..800 {
        let reserved = source.reserve(&invites[number % 2], &format!("u{number}@example.org")).await.unwrap();
        source.store.redeem(host("example.org"), reserved.id, Vec::new(), true, at(2001)).await.unwrap();
    }
    // Somebody uses the target meanwhile.
    let busy = target.with(|invite| invite.max_uses = None).await;
    let over = std::sync::atomic::AtomicBool::new(false);
    let using = async {
        let (mut number, mut free) = (0, Vec::new());
        while !over.load(std::sync::atomic::Ordering::Relaxed) {
            number += 1;
            let reserved = target.reserve(&busy, &format!("b{number}@example.org")).await.unwrap();
            target.store.redeem(host("example.org"), reserved.id, Vec::new(), true, at(2001)).await.unwrap();
            for invite in &invites {
                match target.reserve(invite, "late@example.org").await {
                    Ok(reserved) => free.push(reserved),
                    Err(Claim::Refused(Refusal::Revoked | Refusal::UsedUp)) => (),
                    Err(other) => panic!("{other:?}"),
                }
            }
        }
        (number, free)
    };
    let copying = async {
        for _ in 0..5 {
            source.store.copy_into(&target.store, |_| ()).await.unwrap();
            target.store.copy_into(&source.store, |_| ()).await.unwrap();
        }
        over.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    let ((number, free), ()) = futures::join!(using, copying);
    assert_eq!(free, []);
    assert_eq!(target.uses(&busy).await, number);
    target.store.verify().await.unwrap();
}

async fn what_was_used_or_revoked_since_stays_so_when_an_older_copy_comes(engine: Engine) {
    let source = Scratch::new(engine).await;
    let [used, taken, revoked, eternal] = [
        source.with(|_| ()).await,
        source.with(|_| ()).await,
        source.with(|_| ()).await,
        source.with(|invite| (invite.expires_at, invite.max_uses) = (None, Some(2))).await,
    ];
    let target = Scratch::new(engine).await;
    source.store.copy_into(&target.store, |_| ()).await.unwrap();
    let redeemed = target.reserve(&used, "carol@example.org").await.unwrap();
    target.store.redeem(host("example.org"), redeemed.id, Vec::new(), true, at(2001)).await.unwrap();
    target.reserve(&taken, "dave@example.org").await.unwrap();
    target.store.revoke(revoked.id.clone(), at(2001)).await.unwrap();
    let own = target.with(|_| ()).await;
    let before = target.place.contents().await;
    source.store.copy_into(&target.store, |_| ()).await.unwrap();
    assert_eq!(target.place.contents().await, before);
    // The source changes as well: what it has used and revoked holds in both.
    for (invite, account) in [(&eternal, "erin@example.org"), (&eternal, "frank@example.org")] {
        let reserved = source.reserve(invite, account).await.unwrap();
        source.store.redeem(host("example.org"), reserved.id, Vec::new(), true, at(2002)).await.unwrap();
    }
    source.store.revoke(taken.id.clone(), at(2003)).await.unwrap();
    source.store.copy_into(&target.store, |_| ()).await.unwrap();
    target.store.verify().await.unwrap();
    assert_eq!(target.reserve(&eternal, "grace@example.org").await, Err(Claim::Refused(Refusal::UsedUp)));
    assert_eq!(target.reserve(&taken, "grace@example.org").await, Err(Claim::Refused(Refusal::Revoked)));
    assert_eq!(target.store.registered_at(jid("frank@example.org")).await.unwrap(), Some(at(2002)));
    assert!(target.store.find_by_id(own.id).await.unwrap().is_some());
    target.store.purge(at(2003), 10, at(9999)).await.unwrap();
    assert_eq!(target.store.find_by_id(eternal.id).await.unwrap(), None, "used up long ago, there as here");
}

async fn of_two_versions_the_newest_link_wins_and_else_what_allows_less(engine: Engine) {
    for turned in [false, true] {
        let (one, other) = (Scratch::new(engine).await, Scratch::new(engine).await);
        let old = one.with(|it| (it.max_uses, it.expires_at) = (Some(2), None)).await;
        let new = Invite {
            token_hash: Token::generate().unwrap().hash(),
            links: 3,
            regenerated_at: Some(at(1500)),
            max_uses: None,
            expires_at: Some(at(5000)),
            ..old.clone()
        };
        assert_eq!(other.store.insert(new.clone(), Quota::default(), at(1000)).await, Ok(Ok(())));
        for number in 0..3 {
            let used = other.reserve(&new, &format!("user-{number}@example.org")).await.unwrap();
            other.store.redeem(host("example.org"), used.id, Vec::new(), true, at(2001)).await.unwrap();
        }
        let (source, target) = if turned { (&other, &one) } else { (&one, &other) };
        source.store.copy_into(&target.store, |_| ()).await.unwrap();
        let merged = Invite { max_uses: Some(3), uses: 3, ..new };
        assert_eq!(target.store.find(merged.token_hash).await.unwrap(), Some(merged));
        assert_eq!(target.store.find(old.token_hash).await.unwrap(), None);
        assert_eq!(target.store.past(old.token_hash).await.unwrap().is_some(), turned, "where it was replaced");
        target.store.verify().await.unwrap();
    }
}

async fn a_store_of_a_schema_that_is_not_known_is_refused_with_words(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    for (version, words) in [
        (
            99,
            "has schema 99, this version knows up to 1: use a newer easy-invite, or fill an empty store from a backup",
        ),
        (0, "has schema 0, which no release of easy-invite has made: let store.url name another one"),
        (-1, "has schema -1, which no release of easy-invite has made: let store.url name another one"),
    ] {
        scratch
            .place
            .run(&match engine {
                Engine::Sqlite => format!("PRAGMA user_version = {version}"),
                Engine::Postgres => format!("UPDATE easy_invite_schema SET version = {version}"),
            })
            .await;
        let before = scratch.place.contents().await;
        for opened in [Store::open(&scratch.place.url()).await, Store::open_existing(&scratch.place.url()).await] {
            let error = opened.err().unwrap().to_string();
            assert!(error.contains(words), "{error}");
        }
        assert_eq!(scratch.place.contents().await, before);
    }
}
