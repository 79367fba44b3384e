//! The store alone, compared with plain SQLite.
//!
//! `scripts/with-postgres cargo bench --bench store`. Without a PostgreSQL server it measures
//! SQLite alone.

#[path = "../tests/engines/mod.rs"]
mod engines;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use easy_invite::invite::{Invite, InviteId, Purpose, Token, Use};
use easy_invite::store::{Claim, Filter, Quota, Store, StoreUrl};
use engines::{Database, at, claim_of, host, invite, jid};
use futures::{StreamExt, stream};
use tokio::runtime::Runtime;

/// The number of callers at a time.
const CALLERS: [usize; 4] = [1, 8, 64, 256];

/// The number of existing invites.
const MADE: usize = 20_000;

/// The users who make invites.
const USERS: usize = 1000;

/// The length of a page of a list.
const PAGE: u32 = 50;

/// A store with invites in it.
struct Filled {
    store: Store,
    invites: Vec<Invite>,
    next: AtomicUsize,
}

impl Filled {
    async fn new(url: &StoreUrl) -> Self {
        let store = Store::open(url).await.unwrap();
        let invites: Vec<_> = (0..MADE).map(|number| Invite { max_uses: None, ..of_user(number) }).collect();
        let inserted = stream::iter(&invites).map(|invite| store.insert(invite.clone(), Quota::default(), at(1000)));
        inserted.buffer_unordered(256).for_each(async |kept| assert_eq!(kept, Ok(Ok(())))).await;
        Filled { store, invites, next: AtomicUsize::new(0) }
    }

    /// The next number.
    fn number(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// A new invite.
    fn invite(&self, number: usize) -> &Invite {
        &self.invites[number * 7919 % MADE]
    }

    async fn insert(&self) {
        let invite = of_user(self.number());
        assert_eq!(self.store.insert(invite, Quota::default(), at(1000)).await, Ok(Ok(())));
    }

    async fn find(&self) {
        let invite = self.invite(self.number());
        assert!(self.store.find(invite.token_hash).await.unwrap().is_some());
    }

    async fn reserve(&self) -> Use {
        let number = self.number();
        let wanted = claim_of(self.invite(number), Purpose::Register, &format!("user-{number}@example.org"));
        assert_eq!(self.store.reserve(wanted.clone(), 1).await, Ok(Claim::Reserved));
        wanted
    }

    async fn reserve_and_redeem(&self) {
        let reserved = self.reserve().await;
        assert!(
            self.store.redeem(host("example.org"), reserved.id, Vec::new(), true, at(2000)).await.unwrap().is_some()
        );
    }

    async fn reserve_and_release(&self) {
        let reserved = self.reserve().await;
        assert!(self.store.release(host("example.org"), reserved.id).await.unwrap());
    }

    async fn list(&self) {
        let inviter = Some(jid(&format!("user-{}@example.org", self.number() % USERS)));
        let filter = Filter { inviter, ..Filter::default() };
        assert!(!self.store.list(filter, PAGE, at(1000)).await.unwrap().is_empty());
    }
}

fn of_user(number: usize) -> Invite {
    Invite { inviter: Some(jid(&format!("user-{}@example.org", number % USERS))), ..invite() }
}

/// Calls something a number of times, by several callers at a time. Returns how long it took.
async fn by_callers(times: u64, callers: usize, something: impl AsyncFn()) -> Duration {
    let begun = Instant::now();
    stream::iter(0..times).map(|_| something()).buffer_unordered(callers).for_each(async |()| ()).await;
    begun.elapsed()
}

fn group_of<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(1)).sample_size(10);
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_millis(1500));
    group
}

fn measure(criterion: &mut Criterion, engine: &str, url: &StoreUrl) {
    let runtime = Runtime::new().unwrap();
    let filled = runtime.block_on(Filled::new(url));
    macro_rules! measure {
        ($($operation:ident),+) => {
            $(let mut group = group_of(criterion, &format!("store/{engine}/{}", stringify!($operation)));
            for callers in CALLERS {
                group.bench_with_input(BenchmarkId::from_parameter(callers), &callers, |bencher, callers| {
                    let operation = async || filled.$operation().await;
                    bencher.iter_custom(|times| runtime.block_on(by_callers(times, *callers, operation)));
                });
            }
            group.finish();)+
        };
    }
    measure!(insert, find, reserve_and_redeem, reserve_and_release, list);
}

/// Writes rows like the store's into a file with the same schema, with a number of rows in each
/// commit.
fn measure_sqlite_itself(criterion: &mut Criterion, file: &Path) {
    let runtime = Runtime::new().unwrap();
    drop(runtime.block_on(Store::open(&StoreUrl::Sqlite(file.to_owned()))).unwrap());
    let connection = rusqlite::Connection::open(file).unwrap();
    connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL").unwrap();
    let sql = "INSERT INTO invite (id, token_hash, type, host, inviter, issuer, roles, groups, max_uses, created_at, \
         expires_at) VALUES (?1, ?2, 'account-and-contact', 'example.org', ?3, 'user', '[]', '[]', 1, 1000, 9000)";
    let mut statement = connection.prepare(sql).unwrap();
    let mut group = group_of(criterion, "store/sqlite-itself/insert");
    let mut number = 0;
    for rows in [1, 64] {
        group.bench_with_input(BenchmarkId::from_parameter(rows), &rows, |bencher, rows| {
            bencher.iter_custom(|times| {
                let begun = Instant::now();
                for row in 0..times {
                    if row % rows == 0 {
                        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
                    }
                    let (id, token) = (InviteId::generate().unwrap(), Token::generate().unwrap());
                    let inviter = format!("user-{}@example.org", number % USERS);
                    statement.execute((id.as_str(), token.hash().0, inviter)).unwrap();
                    number += 1;
                    if row % rows == rows - 1 || row == times - 1 {
                        connection.execute_batch("COMMIT").unwrap();
                    }
                }
                begun.elapsed()
            });
        });
    }
    group.finish();
}

fn benches(criterion: &mut Criterion) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    measure_sqlite_itself(criterion, &folder.path().join("itself.db"));
    measure(criterion, "sqlite", &StoreUrl::Sqlite(folder.path().join("easy-invite.db")));
    if std::env::var_os("EASY_INVITE_TEST_POSTGRES").is_some() {
        let database = Runtime::new().unwrap().block_on(Database::new(&engines::server()));
        measure(criterion, "postgres", &database.url.parse().unwrap());
    }
}

criterion_group!(store_benches, benches);
criterion_main!(store_benches);
