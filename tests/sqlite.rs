//! The SQLite file itself: its owner, other programs that hold it, and damage.

mod engines;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use easy_invite::invite::{Purpose, Token, Use};
use easy_invite::store::{Claim, Filter, Problem, Quota, Store, StoreError, StoreUrl, begun_by};
use engines::{Engine, Scratch, at, claim_of, host, invite, jid};
use futures::future::join_all;

fn url(folder: &Path) -> StoreUrl {
    StoreUrl::Sqlite(folder.join("easy-invite.db"))
}

async fn open(folder: &Path) -> Result<Store, StoreError> {
    Store::open(&url(folder)).await
}

#[tokio::test]
async fn no_token_is_on_the_disk() {
    let scratch = Scratch::new(Engine::Sqlite).await;
    let token = Token::generate().unwrap();
    scratch.with(|invite| invite.token_hash = token.hash()).await;
    let mut files = 0;
    for entry in std::fs::read_dir(scratch.place.folder()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        // The first three characters are stored, and are no secret.
        let secret = &token.reveal().as_bytes()[3..];
        assert!(!bytes.windows(6).any(|window| secret.windows(6).any(|part| window == part)));
        files += 1;
    }
    assert!(files >= 2, "the file and its write-ahead log");
}

#[tokio::test]
async fn its_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new(Engine::Sqlite).await;
    scratch.with(|_| ()).await;
    for entry in std::fs::read_dir(scratch.place.folder()).unwrap() {
        assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[tokio::test]
async fn its_file_belongs_to_whom_the_folder_belongs() {
    use std::os::unix::fs::{MetadataExt, chown};
    let folder = tempfile::tempdir().unwrap();
    // Only root can give a folder away. Others own the folder and what is made in it.
    let given_away = chown(folder.path(), Some(4321), Some(4321)).is_ok();
    open(folder.path()).await.unwrap();
    let owner = folder.path().join("easy-invite.db").metadata().unwrap().uid();
    assert_eq!(owner, folder.path().metadata().unwrap().uid());
    assert_eq!(owner == 4321, given_away);
}

#[tokio::test]
async fn another_writer_that_holds_the_file_is_named_and_nothing_is_acknowledged() {
    let scratch = Scratch::new(Engine::Sqlite).await;
    let other = rusqlite::Connection::open(scratch.place.folder().join("easy-invite.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let kept = invite();
    let error = scratch.store.insert(kept.clone(), Quota::default(), at(1000)).await.unwrap_err();
    assert!(matches!(error, StoreError { problem: Problem::Locked, .. }), "{error}");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(scratch.store.find(kept.token_hash).await.unwrap(), None);
    assert!(scratch.store.insert(kept, Quota::default(), at(1000)).await.unwrap() == Ok(()), "and then it goes on");
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_is_not_begun() {
    let scratch = Scratch::new(Engine::Sqlite).await;
    let other = rusqlite::Connection::open(scratch.place.folder().join("easy-invite.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let inserts = (0..2000).map(|_| scratch.store.insert(invite(), Quota::default(), at(1000)));
    let told = begun_by((Instant::now() + Duration::from_secs(1)).into(), join_all(inserts)).await;
    // Who waited for the lock would be told that it is locked.
    assert!(told.iter().all(|told| matches!(told, Err(StoreError { problem: Problem::Late, .. }))), "{told:?}");
    other.execute_batch("ROLLBACK").unwrap();
    scratch.with(|_| ()).await;
    assert_eq!(scratch.place.query("SELECT count(*) FROM invite").await, [["1"]]);
}

#[tokio::test]
async fn one_that_fails_halfway_leaves_nothing_and_costs_nobody_else_of_its_group_anything() {
    let scratch = Scratch::new(Engine::Sqlite).await;
    let (taken, other) = (scratch.with(|_| ()).await, scratch.with(|_| ()).await);
    let first = claim_of(&taken, Purpose::Register, "carol@example.org");
    assert_eq!(scratch.store.reserve(first.clone(), 1).await, Ok(Claim::Reserved));
    // It takes a use, and then cannot be inserted, since there is one of that id.
    let second = Use { id: first.id, ..claim_of(&other, Purpose::Register, "dave@example.org") };

    // All wait, and then share a transaction.
    let holder = rusqlite::Connection::open(scratch.place.folder().join("easy-invite.db")).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let insert_some = || join_all((0..20).map(|_| scratch.store.insert(invite(), Quota::default(), at(1000))));
    let release = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        holder.execute_batch("ROLLBACK").unwrap();
    };
    let (before, failed, after, ()) =
        tokio::join!(insert_some(), scratch.store.reserve(second, 1), insert_some(), release);
    assert!(matches!(failed, Err(StoreError { problem: Problem::Other(_), .. })), "{failed:?}");
    assert!(before.iter().chain(&after).all(|told| *told == Ok(Ok(()))), "{before:?} {after:?}");
    assert_eq!(scratch.place.query("SELECT count(*), sum(taken) FROM invite").await, [["42", "1"]]);
    scratch.store.verify().await.unwrap();
}

#[tokio::test]
async fn nobody_who_opens_and_reads_needs_what_a_writer_holds() {
    let scratch = Scratch::new(Engine::Sqlite).await;
    let kept = scratch.with(|_| ()).await;
    let other = rusqlite::Connection::open(scratch.place.folder().join("easy-invite.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    for make in [true, false] {
        let url = url(scratch.place.folder());
        let store = if make { Store::open(&url).await } else { Store::open_existing(&url).await }.unwrap();
        assert_eq!(store.find(kept.token_hash).await.unwrap().as_ref(), Some(&kept));
    }
}

#[tokio::test]
async fn a_store_that_is_not_there_is_made_only_where_that_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("easy-invite.db");
    let missing = async || Store::open_existing(&url(folder.path())).await.err().unwrap();
    assert!(matches!(missing().await, StoreError { problem: Problem::Missing, .. }), "{}", missing().await);
    assert!(!file.exists());
    std::fs::write(&file, "").unwrap();
    assert!(matches!(missing().await, StoreError { problem: Problem::Missing, .. }), "{}", missing().await);
    assert_eq!(file.metadata().unwrap().len(), 0);
    open(folder.path()).await.unwrap();
    Store::open_existing(&url(folder.path())).await.unwrap();
}

#[tokio::test]
async fn what_was_asked_before_the_end_is_done_and_nothing_but_the_file_stays() {
    let scratch = Scratch::new(Engine::Sqlite).await;
    let Scratch { store, place } = scratch;
    let folder = place.folder();
    let (first, second) = (invite(), invite());
    // Nobody waits for the answers; the second is not even sent when the other clone is dropped.
    let sent = store.clone();
    drop(futures::poll!(Box::pin(store.insert(first.clone(), Quota::default(), at(1000)))));
    drop(store);
    drop(futures::poll!(Box::pin(sent.insert(second.clone(), Quota::default(), at(1000)))));
    drop(sent);
    let names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["easy-invite.db"]);
    let again = open(folder).await.unwrap();
    for kept in [first, second] {
        assert_eq!(again.find(kept.token_hash).await.unwrap(), Some(kept));
    }
}

#[tokio::test]
async fn what_is_no_store_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("easy-invite.db");
    std::fs::write(&path, "certainly not a database, and longer than its header would have to be ".repeat(4)).unwrap();
    assert!(matches!(open(folder.path()).await, Err(StoreError { problem: Problem::Corrupt(_), .. })));
    std::fs::remove_file(&path).unwrap();
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(open(folder.path()).await, Err(StoreError { problem: Problem::Foreign, .. })));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_damaged_file_is_told() {
    let scratch = Scratch::new(Engine::Sqlite).await;
    for _ in 0..200 {
        scratch.with(|_| ()).await;
    }
    let Scratch { store, place } = scratch;
    drop(store);
    let (folder, path) = (place.folder(), "easy-invite.db");
    let damage = || {
        let connection = rusqlite::Connection::open(folder.join(path)).unwrap();
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        drop(connection);
        let mut bytes = std::fs::read(folder.join(path)).unwrap();
        let half = bytes.len() / 2; // the first pages say which tables there are
        for byte in bytes.iter_mut().skip(half).step_by(7) {
            *byte ^= 0x55;
        }
        std::fs::write(folder.join(path), bytes).unwrap();
    };
    damage();
    let store = open(folder).await.unwrap();
    assert!(matches!(store.verify().await, Err(StoreError { problem: Problem::Corrupt(_), .. })));
}

#[tokio::test]
async fn an_index_that_lacks_a_row_is_told() {
    let scratch = Scratch::new(Engine::Sqlite).await;
    scratch.with(|_| ()).await;
    let Scratch { store, place } = scratch;
    drop(store);
    place
        .run(
            "PRAGMA writable_schema = on; UPDATE sqlite_schema \
         SET sql = 'CREATE INDEX invite_by_host ON invite (host, expires_at)' WHERE name = 'invite_by_host'",
        )
        .await;
    let problem = open(place.folder()).await.unwrap().verify().await.unwrap_err().problem;
    assert!(matches!(&problem, Problem::Corrupt(text) if text.contains("invite_by_host")), "{problem:?}");
}

#[tokio::test]
async fn who_was_forgotten_is_in_no_file_any_more() {
    let scratch = Scratch::new(Engine::Sqlite).await;
    let named = "the-name-to-forget";
    let found = || scratch.in_files(named);
    let them = jid(&format!("{named}@example.org"));
    for number in 0..40 {
        let invite = scratch
            .with(|invite| invite.inviter = Some(if number % 2 == 0 { them.clone() } else { jid("alice@example.org") }))
            .await;
        if number % 4 == 1 {
            let reserved = scratch.reserve(&invite, them.as_str()).await.unwrap();
            scratch.store.redeem(host("example.org"), reserved.id, Vec::new(), true, at(2001)).await.unwrap();
        }
    }
    assert!(found() > 40);
    let other = scratch.again().await;
    other.list(Filter::default(), 100, at(0)).await.unwrap();
    assert_eq!(scratch.store.forget(them, at(9999)).await.unwrap().invites, 20);
    assert_eq!(found(), 0);
}

#[tokio::test]
async fn who_cannot_be_forgotten_while_another_program_reads_is_forgotten_afterwards() {
    let scratch = Scratch::new(Engine::Sqlite).await;
    let named = "the-name-to-forget";
    let them = jid(&format!("{named}@example.org"));
    scratch.with(|invite| invite.inviter = Some(them.clone())).await;
    let other = rusqlite::Connection::open(scratch.place.folder().join("easy-invite.db")).unwrap();
    other.execute_batch("BEGIN; SELECT * FROM invite").unwrap();
    let forgotten = scratch.store.forget(them.clone(), at(9999)).await;
    assert!(matches!(forgotten, Err(StoreError { problem: Problem::Locked, .. })), "{forgotten:?}");
    other.execute_batch("ROLLBACK").unwrap();
    scratch.store.forget(them, at(9999)).await.unwrap();
    assert_eq!(scratch.in_files(named), 0);
}

#[tokio::test]
async fn what_was_committed_is_soon_in_the_file_itself() {
    let scratch = Scratch::new(Engine::Sqlite).await;
    let invite = scratch.with(|_| ()).await;
    let alone = tempfile::tempdir().unwrap();
    let kept_in_file = || {
        let copy = alone.path().join("without-its-log.db");
        std::fs::copy(scratch.place.folder().join("easy-invite.db"), &copy).unwrap();
        let sql = "SELECT count(*) FROM invite WHERE id = ?";
        rusqlite::Connection::open(copy).and_then(|copy| copy.query_row(sql, [invite.id.as_str()], |row| row.get(0)))
    };
    let since = Instant::now();
    // A copy in the middle of writing may be no database.
    while kept_in_file() != Ok(1) {
        assert!(since.elapsed() < Duration::from_secs(60), "still in the log alone");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn who_is_forgotten_while_others_write_the_log_into_the_file_is_in_neither() {
    let scratch = Scratch::new(Engine::Sqlite).await;
    let path = scratch.place.folder().join("easy-invite.db");
    let over = Arc::new(AtomicBool::new(false));
    let until_over = over.clone();
    let other = std::thread::spawn(move || {
        let connection = rusqlite::Connection::open(path).unwrap();
        // No longer than for a minute, should the test fail.
        let since = Instant::now();
        while !until_over.load(Ordering::Relaxed) && since.elapsed() < Duration::from_secs(60) {
            connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
        }
    });
    for number in 0..20 {
        let named = format!("the-name-to-forget-{number}");
        let them = jid(&format!("{named}@example.org"));
        for _ in 0..20 {
            scratch.with(|invite| invite.inviter = Some(them.clone())).await;
        }
        assert_eq!(scratch.store.forget(them, at(9999)).await.unwrap().invites, 20);
        assert_eq!(scratch.in_files(&named), 0, "{named}");
    }
    over.store(true, Ordering::Relaxed);
    other.join().unwrap();
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_named() {
    let error = open(Path::new("/nonexistent/folder")).await.err().unwrap();
    let expected =
        "the store /nonexistent/folder/easy-invite.db cannot be opened: there is no folder /nonexistent/folder";
    assert_eq!(error.to_string(), expected);
}
