//! The store's contract: what every engine has to keep, in one suite.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use easy_invite::invite::{Invite, InviteId, InviteType, Issuer, Purpose, State, Token, Use};
use easy_invite::store::{Claim, Filter, Insertion, Quota, Store, StoreError, StoreUrl};
use jid::{BareJid, DomainPart, NodePart};
use jiff::Timestamp;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn jid(text: &str) -> BareJid {
    BareJid::new(text).unwrap()
}

fn invite() -> Invite {
    Invite {
        id: InviteId::generate().unwrap(),
        token_hash: Token::generate().unwrap().hash(),
        invite_type: InviteType::AccountAndContact,
        host: DomainPart::new("example.org").unwrap().into_owned(),
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
    }
}

fn claim_of(invite: &Invite, purpose: Purpose, account: &str) -> Use {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let id = format!("reservation-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    Use { id, invite: invite.id.clone(), purpose, account: jid(account), server: String::new(), reserved_at: at(2000) }
}

/// A store of its own, with the folder that holds it.
struct Scratch {
    store: Store,
    folder: tempfile::TempDir,
}

impl Scratch {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Scratch { store: open(folder.path()).await.unwrap(), folder }
    }

    async fn with(&self, change: impl FnOnce(&mut Invite)) -> Invite {
        let mut invite = invite();
        change(&mut invite);
        assert!(self.store.insert(invite.clone(), Quota::default(), at(1000)).await.unwrap() == Insertion::Kept);
        invite
    }

    async fn reserve(&self, invite: &Invite, account: &str) -> Result<Use, Claim> {
        let wanted = claim_of(invite, Purpose::Register, account);
        match self.store.reserve(wanted.clone()).await.unwrap() {
            Claim::Reserved => Ok(wanted),
            other => Err(other),
        }
    }

    async fn uses(&self, invite: &Invite) -> u32 {
        self.store.find_by_id(invite.id.clone()).await.unwrap().unwrap().uses
    }
}

async fn open(folder: &Path) -> Result<Store, StoreError> {
    Store::open(&url(folder)).await
}

fn url(folder: &Path) -> StoreUrl {
    StoreUrl::Sqlite(folder.join("easy-invite.db"))
}

#[tokio::test]
async fn what_is_kept_comes_back_whole() {
    let scratch = Scratch::new().await;
    let invite = scratch.with(|_| ()).await;
    assert_eq!(scratch.store.find(invite.token_hash).await.unwrap(), Some(invite.clone()));
    assert_eq!(scratch.store.find_by_id(invite.id.clone()).await.unwrap(), Some(invite));
    assert_eq!(scratch.store.find(Token::generate().unwrap().hash()).await.unwrap(), None);
}

#[tokio::test]
async fn it_is_there_after_opening_again() {
    let scratch = Scratch::new().await;
    let invite = scratch.with(|_| ()).await;
    let again = open(scratch.folder.path()).await.unwrap();
    assert_eq!(again.find(invite.token_hash).await.unwrap(), Some(invite));
}

#[tokio::test]
async fn a_use_is_reserved_then_redeemed_once() {
    let scratch = Scratch::new().await;
    let invite = scratch.with(|_| ()).await;
    let reserved = scratch.reserve(&invite, "carol@example.org").await.unwrap();
    assert_eq!(scratch.uses(&invite).await, 0, "a reservation is no use yet");
    for first in [true, false] {
        let (used, now) = scratch.store.redeem(reserved.id.clone(), at(2001)).await.unwrap().unwrap();
        assert_eq!((used, now), (reserved.clone(), first));
        assert_eq!(scratch.uses(&invite).await, 1, "redeeming again changes nothing");
    }
    assert!(!scratch.store.release(reserved.id).await.unwrap(), "what is redeemed is not given back");
    assert_eq!(scratch.reserve(&invite, "dave@example.org").await, Err(Claim::UsedUp));
    let accounts = scratch.store.accounts_of(invite.id.clone(), 10).await.unwrap();
    assert_eq!(accounts, [(jid("carol@example.org"), at(2001))]);
    assert!(scratch.store.redeemed_by(invite.id.clone(), jid("carol@example.org")).await.unwrap());
    assert!(!scratch.store.redeemed_by(invite.id, jid("dave@example.org")).await.unwrap());
}

#[tokio::test]
async fn a_released_use_can_be_taken_again() {
    let scratch = Scratch::new().await;
    let invite = scratch.with(|_| ()).await;
    let reserved = scratch.reserve(&invite, "carol@example.org").await.unwrap();
    match scratch.reserve(&invite, "dave@example.org").await {
        Err(Claim::Contended(standing)) => assert_eq!(standing, [(reserved.clone(), invite.clone())]),
        other => panic!("{other:?}"),
    }
    assert!(scratch.store.release(reserved.id.clone()).await.unwrap());
    assert!(!scratch.store.release(reserved.id.clone()).await.unwrap());
    assert_eq!(scratch.store.redeem(reserved.id, at(2001)).await.unwrap(), None);
    assert!(scratch.reserve(&invite, "dave@example.org").await.is_ok());
}

#[tokio::test]
async fn an_account_in_the_making_stands_in_the_way_of_its_double() {
    let scratch = Scratch::new().await;
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

#[tokio::test(flavor = "multi_thread")]
async fn racers_never_take_more_uses_than_there_are() {
    let scratch = Scratch::new().await;
    // A second connection to the same file is a second process, as far as SQLite is concerned.
    let stores = [scratch.store.clone(), open(scratch.folder.path()).await.unwrap()];
    for uses in [1, 3] {
        for round in 0..30 {
            let invite = scratch.with(|invite| invite.max_uses = Some(uses)).await;
            let racers = (0..16).map(|racer| {
                let store = stores[racer % 2].clone();
                let claim = claim_of(&invite, Purpose::Register, &format!("u{uses}-{round}-{racer}@example.org"));
                tokio::spawn(async move { store.reserve(claim).await.unwrap() == Claim::Reserved })
            });
            let won = futures::future::join_all(racers).await.into_iter().filter(|won| *won.as_ref().unwrap()).count();
            assert_eq!(won, uses as usize);
        }
    }
}

#[tokio::test]
async fn a_revoked_invite_gives_no_use_but_keeps_what_was_reserved() {
    let scratch = Scratch::new().await;
    let invite = scratch.with(|invite| invite.max_uses = Some(2)).await;
    let before = scratch.reserve(&invite, "carol@example.org").await.unwrap();
    let revoked = scratch.store.revoke(invite.id.clone(), at(3000)).await.unwrap().unwrap();
    assert_eq!((revoked.revoked_at, revoked.state(at(3000))), (Some(at(3000)), State::Revoked));
    assert_eq!(scratch.reserve(&invite, "dave@example.org").await, Err(Claim::Gone));
    assert!(scratch.store.redeem(before.id, at(3001)).await.unwrap().is_some(), "its account may exist already");
    let again = scratch.store.revoke(invite.id.clone(), at(4000)).await.unwrap().unwrap();
    assert_eq!(again.revoked_at, Some(at(3000)), "the first revocation counts");
    assert!(!scratch.store.redeemed_by(invite.id, jid("carol@example.org")).await.unwrap());
    assert_eq!(scratch.store.revoke(InviteId::generate().unwrap(), at(1)).await.unwrap(), None);
}

#[tokio::test]
async fn a_username_is_reserved_while_its_invite_is_pending() {
    let scratch = Scratch::new().await;
    let carol = || Some(NodePart::new("carol").unwrap().into_owned());
    let pinned = scratch.with(|invite| invite.username = carol()).await;
    let reserved = |now| scratch.store.username_reserved(jid("carol@example.org"), at(now));
    assert!(reserved(8999).await.unwrap());
    assert!(!reserved(9000).await.unwrap(), "expired");
    let mut second = invite();
    second.username = carol();
    assert_eq!(scratch.store.insert(second.clone(), Quota::default(), at(1000)).await, Ok(Insertion::UsernameReserved));
    assert!(
        scratch.store.insert(second.clone(), Quota::default(), at(9000)).await.unwrap() == Insertion::Kept,
        "free after the first has expired"
    );
    let other = scratch.with(|_| ()).await;
    assert_eq!(scratch.reserve(&other, "carol@example.org").await, Err(Claim::UsernameReserved));
    // The second invite for the name is pending as well by the clock of this claim, so end it first.
    scratch.store.revoke(second.id, at(2000)).await.unwrap();
    assert!(scratch.reserve(&pinned, "carol@example.org").await.is_ok());
    scratch.store.revoke(pinned.id, at(2000)).await.unwrap();
    assert!(!reserved(2000).await.unwrap());
    assert!(!scratch.store.username_reserved(jid("carol@example.net"), at(1000)).await.unwrap());
}

#[tokio::test]
async fn a_password_reset_reserves_no_username() {
    let scratch = Scratch::new().await;
    let reset = |invite: &mut Invite| {
        invite.invite_type = InviteType::PasswordReset;
        invite.username = Some(NodePart::new("carol").unwrap().into_owned());
    };
    scratch.with(reset).await;
    scratch.with(reset).await;
    assert!(!scratch.store.username_reserved(jid("carol@example.org"), at(1000)).await.unwrap());
}

#[tokio::test]
async fn lists_are_filtered_and_the_newest_come_first() {
    let scratch = Scratch::new().await;
    let pending = scratch.with(|invite| invite.created_at = at(1003)).await;
    let used = scratch.with(|invite| invite.created_at = at(1002)).await;
    let reserved = scratch.reserve(&used, "carol@example.org").await.unwrap();
    scratch.store.redeem(reserved.id, at(2000)).await.unwrap();
    let revoked = scratch.with(|invite| invite.created_at = at(1001)).await;
    scratch.store.revoke(revoked.id.clone(), at(2000)).await.unwrap();
    let expired = scratch.with(|invite| invite.expires_at = Some(at(1500))).await;
    let elsewhere = scratch
        .with(|invite| {
            invite.host = DomainPart::new("example.net").unwrap().into_owned();
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

#[tokio::test]
async fn an_inviters_pending_invites_are_revoked_together() {
    let scratch = Scratch::new().await;
    let (one, two) = (scratch.with(|_| ()).await, scratch.with(|_| ()).await);
    let bobs = scratch.with(|invite| invite.inviter = Some(jid("bob@example.org"))).await;
    assert_eq!(scratch.store.revoke_of_inviter(jid("alice@example.org"), at(2000)).await.unwrap(), 2);
    assert_eq!(scratch.store.revoke_of_inviter(jid("alice@example.org"), at(2000)).await.unwrap(), 0);
    for (invite, state) in [(one, State::Revoked), (two, State::Revoked), (bobs, State::Pending)] {
        assert_eq!(scratch.store.find_by_id(invite.id).await.unwrap().unwrap().state(at(2000)), state);
    }
}

#[tokio::test]
async fn with_an_account_end_its_older_invites_and_its_origin_is_forgotten() {
    let scratch = Scratch::new().await;
    let old = scratch.with(|_| ()).await;
    let new = scratch.with(|invite| invite.created_at = at(5000)).await;
    let reset = scratch
        .with(|invite| {
            invite.invite_type = InviteType::PasswordReset;
            invite.inviter = Some(jid("admin@example.org"));
            invite.username = Some(NodePart::new("alice").unwrap().into_owned());
        })
        .await;
    let made = scratch.with(|invite| invite.inviter = Some(jid("bob@example.org"))).await;
    let reserved = scratch.reserve(&made, "alice@example.org").await.unwrap();
    scratch.store.redeem(reserved.id, at(2000)).await.unwrap();
    assert_eq!(scratch.store.accounts_of(made.id.clone(), 10).await.unwrap().len(), 1);
    assert_eq!(scratch.store.account_deleted(jid("alice@example.org"), at(4000), at(6000)).await.unwrap(), 2);
    for (invite, state) in [(old, State::Revoked), (new, State::Pending), (reset, State::Revoked)] {
        assert_eq!(scratch.store.find_by_id(invite.id).await.unwrap().unwrap().state(at(6000)), state);
    }
    assert_eq!(scratch.store.accounts_of(made.id, 10).await.unwrap(), []);
}

#[tokio::test]
async fn what_ended_long_ago_is_purged_but_not_who_invited_whom() {
    let scratch = Scratch::new().await;
    let used = scratch.with(|_| ()).await;
    let reserved = scratch.reserve(&used, "carol@example.org").await.unwrap();
    scratch.store.redeem(reserved.id, at(2000)).await.unwrap();
    let open = scratch.with(|_| ()).await;
    scratch.reserve(&open, "dave@example.org").await.unwrap();
    let revoked = scratch.with(|invite| invite.expires_at = None).await;
    scratch.store.revoke(revoked.id.clone(), at(2000)).await.unwrap();
    let eternal = scratch.with(|invite| (invite.expires_at, invite.max_uses) = (None, None)).await;
    assert_eq!(scratch.store.purge(at(2000), 100).await.unwrap(), 0, "what ended then has not ended before");
    assert_eq!(scratch.store.purge(at(2001), 1).await.unwrap(), 1, "no more than asked");
    assert_eq!(scratch.store.purge(at(2001), 100).await.unwrap(), 1);
    assert_eq!(scratch.store.purge(at(99_999), 100).await.unwrap(), 0, "a use with an open fate keeps its invite");
    for (invite, there) in [(&used, false), (&revoked, false), (&open, true), (&eternal, true)] {
        assert_eq!(scratch.store.find_by_id(invite.id.clone()).await.unwrap().is_some(), there);
    }
    assert_eq!(scratch.store.accounts_of(used.id, 10).await.unwrap(), [(jid("carol@example.org"), at(2000))]);
}

#[tokio::test]
async fn the_accounts_of_an_invite_are_those_that_registered_with_it() {
    let scratch = Scratch::new().await;
    let (invite, other) = (scratch.with(|i| i.max_uses = None).await, scratch.with(|_| ()).await);
    for (invite, purpose, account, redeemed_at) in [
        (&invite, Purpose::Register, "carol@example.org", Some(2001)),
        (&invite, Purpose::Register, "dave@example.org", Some(2002)),
        (&invite, Purpose::Register, "erin@example.org", None),
        (&invite, Purpose::Contact, "frank@example.net", Some(2003)),
        (&other, Purpose::Register, "grace@example.org", Some(2004)),
    ] {
        let claim = claim_of(invite, purpose, account);
        assert_eq!(scratch.store.reserve(claim.clone()).await.unwrap(), Claim::Reserved);
        if let Some(second) = redeemed_at {
            scratch.store.redeem(claim.id, at(second)).await.unwrap();
        }
    }
    let newest_first = [(jid("dave@example.org"), at(2002)), (jid("carol@example.org"), at(2001))];
    assert_eq!(scratch.store.accounts_of(invite.id.clone(), 10).await.unwrap(), newest_first);
    assert_eq!(scratch.store.accounts_of(invite.id, 1).await.unwrap(), newest_first[..1]);
}

#[tokio::test]
async fn reservations_with_an_open_fate_are_found() {
    let scratch = Scratch::new().await;
    let invite = scratch.with(|invite| invite.max_uses = Some(2)).await;
    let open = scratch.reserve(&invite, "carol@example.org").await.unwrap();
    let redeemed = scratch.reserve(&invite, "dave@example.org").await.unwrap();
    scratch.store.redeem(redeemed.id, at(2001)).await.unwrap();
    let hooks = || vec![(invite.host.clone(), String::new())];
    let found = scratch.store.reserved_until(at(2000), at(5000), hooks(), 10).await.unwrap();
    assert_eq!(found.into_iter().map(|(used, _)| used).collect::<Vec<_>>(), [open]);
    assert!(scratch.store.reserved_until(at(1999), at(5000), hooks(), 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_cannot_be_settled_on_one_host_keeps_back_no_other() {
    let scratch = Scratch::new().await;
    let host = |name: &str| DomainPart::new(name).unwrap().into_owned();
    let mut made = Vec::new();
    for (name, second) in
        [("gone.example", 1001), ("stuck.example", 1002), ("stuck.example", 1003), ("b.example", 1004)]
    {
        let invite = scratch.with(|invite| invite.host = host(name)).await;
        let claim = claim_of(&invite, Purpose::Register, &format!("user{second}@{name}"));
        let claim = Use { reserved_at: at(second), ..claim };
        assert_eq!(scratch.store.reserve(claim.clone()).await.unwrap(), Claim::Reserved);
        made.push(claim);
    }
    let served = ["b.example", "stuck.example", "c.example"].map(|name| (host(name), String::new())).to_vec();
    let found = async |limit| {
        let found = scratch.store.reserved_until(at(2000), at(5000), served.clone(), limit).await.unwrap();
        found.into_iter().map(|(used, _)| used).collect::<Vec<_>>()
    };
    assert_eq!(found(2).await, [made[1].clone(), made[3].clone()], "not the next one of the same host");
    assert_eq!(found(10).await, [made[1].clone(), made[3].clone(), made[2].clone()]);
    assert!(scratch.store.reserved_until(at(2000), at(5000), vec![], 10).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_at_once_are_all_kept() {
    let scratch = Scratch::new().await;
    let writers = (0..500).map(|_| {
        let store = scratch.store.clone();
        tokio::spawn(async move { store.insert(invite(), Quota::default(), at(1000)).await })
    });
    for written in futures::future::join_all(writers).await {
        assert_eq!(written.unwrap().unwrap(), Insertion::Kept);
    }
    assert_eq!(scratch.store.list(Filter::default(), 1000, at(1000)).await.unwrap().len(), 500);
}

#[tokio::test]
async fn no_token_is_on_the_disk() {
    let scratch = Scratch::new().await;
    let token = Token::generate().unwrap();
    scratch.with(|invite| invite.token_hash = token.hash()).await;
    let mut files = 0;
    for entry in std::fs::read_dir(scratch.folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(24).any(|window| window == token.reveal().as_bytes()));
        files += 1;
    }
    assert!(files >= 2, "the file and its write-ahead log");
}

#[tokio::test]
async fn its_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new().await;
    scratch.with(|_| ()).await;
    for entry in std::fs::read_dir(scratch.folder.path()).unwrap() {
        assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[tokio::test]
async fn its_file_belongs_to_whom_the_folder_belongs() {
    use std::os::unix::fs::{MetadataExt, chown};
    let folder = tempfile::tempdir().unwrap();
    // Only root can give a folder away; for anybody else, the folder and what is made in it are their own anyway.
    let given_away = chown(folder.path(), Some(4321), Some(4321)).is_ok();
    open(folder.path()).await.unwrap();
    let owner = folder.path().join("easy-invite.db").metadata().unwrap().uid();
    assert_eq!(owner, folder.path().metadata().unwrap().uid());
    assert_eq!(owner == 4321, given_away);
}

#[tokio::test]
async fn another_writer_that_holds_the_file_is_named_and_nothing_is_acknowledged() {
    let scratch = Scratch::new().await;
    let other = rusqlite::Connection::open(scratch.folder.path().join("easy-invite.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let kept = invite();
    let error = scratch.store.insert(kept.clone(), Quota::default(), at(1000)).await.unwrap_err();
    assert!(matches!(error, StoreError::Locked(_)), "{error}");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(scratch.store.find(kept.token_hash).await.unwrap(), None);
    assert!(
        scratch.store.insert(kept, Quota::default(), at(1000)).await.unwrap() == Insertion::Kept,
        "and then it goes on"
    );
}

#[tokio::test]
async fn nobody_who_opens_and_reads_waits_for_a_writer() {
    let scratch = Scratch::new().await;
    let kept = scratch.with(|_| ()).await;
    let other = rusqlite::Connection::open(scratch.folder.path().join("easy-invite.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    for make in [true, false] {
        let (started, url) = (Instant::now(), url(scratch.folder.path()));
        let store = if make { Store::open(&url).await } else { Store::open_existing(&url).await }.unwrap();
        assert_eq!(store.find(kept.token_hash).await.unwrap().as_ref(), Some(&kept));
        assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn a_store_that_is_not_there_is_made_only_where_that_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("easy-invite.db");
    let missing = async || Store::open_existing(&url(folder.path())).await.err().unwrap();
    assert!(matches!(missing().await, StoreError::Missing(_)), "{}", missing().await);
    assert!(!file.exists());
    std::fs::write(&file, "").unwrap();
    assert!(matches!(missing().await, StoreError::Missing(_)), "{}", missing().await);
    assert_eq!(file.metadata().unwrap().len(), 0);
    open(folder.path()).await.unwrap();
    Store::open_existing(&url(folder.path())).await.unwrap();
}

#[tokio::test]
async fn what_was_asked_before_the_end_is_done_and_nothing_but_the_file_stays() {
    let scratch = Scratch::new().await;
    let folder = scratch.folder;
    let (first, second) = (invite(), invite());
    // Nobody waits for the answers; the second is not even sent when the other clone is dropped.
    let sent = scratch.store.clone();
    drop(futures::poll!(Box::pin(scratch.store.insert(first.clone(), Quota::default(), at(1000)))));
    drop(scratch.store);
    drop(futures::poll!(Box::pin(sent.insert(second.clone(), Quota::default(), at(1000)))));
    drop(sent);
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["easy-invite.db"]);
    let again = open(folder.path()).await.unwrap();
    for kept in [first, second] {
        assert_eq!(again.find(kept.token_hash).await.unwrap(), Some(kept));
    }
}

#[tokio::test]
async fn a_newer_schema_is_refused_with_both_numbers() {
    let scratch = Scratch::new().await;
    let path = scratch.folder.path().join("easy-invite.db");
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = open(scratch.folder.path()).await.err().unwrap();
    assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error}");
}

#[tokio::test]
async fn what_is_no_store_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("easy-invite.db");
    std::fs::write(&path, "certainly not a database, and longer than its header would have to be ".repeat(4)).unwrap();
    assert!(matches!(open(folder.path()).await, Err(StoreError::Corrupt(..))));
    std::fs::remove_file(&path).unwrap();
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(open(folder.path()).await, Err(StoreError::Foreign(_))));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_damaged_file_is_told() {
    let scratch = Scratch::new().await;
    for _ in 0..200 {
        scratch.with(|_| ()).await;
    }
    let (folder, path) = (scratch.folder, "easy-invite.db");
    drop(scratch.store);
    let damage = || {
        let connection = rusqlite::Connection::open(folder.path().join(path)).unwrap();
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        drop(connection);
        let mut bytes = std::fs::read(folder.path().join(path)).unwrap();
        for byte in bytes.iter_mut().skip(8192).step_by(7) {
            *byte ^= 0x55;
        }
        std::fs::write(folder.path().join(path), bytes).unwrap();
    };
    damage();
    let store = open(folder.path()).await.unwrap();
    assert!(matches!(store.verify().await, Err(StoreError::Corrupt(..))));
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_named() {
    let error = open(Path::new("/nonexistent/folder")).await.err().unwrap();
    let expected =
        "the store /nonexistent/folder/easy-invite.db cannot be opened: there is no folder /nonexistent/folder";
    assert_eq!(error.to_string(), expected);
}
