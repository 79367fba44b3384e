//! Where invites are kept, and the promises about them: an answer is given once it is durable, and a use is taken in
//! the same statement that proves there is one left.

mod checkpointer;
mod copy;
mod postgres;
mod postgres_connect;
mod postgres_tls;
mod postgres_url;
mod session;
mod sqlite;
mod sqlite_thread;
mod statements;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};

use jid::{BareJid, DomainPart};
use jiff::Timestamp;
use tokio::time::Instant;

use crate::invite::{Invite, InviteId, State, TokenHash, Use};
use crate::texts::printable;
pub use copy::Copied;
pub use postgres_url::PostgresUrl;
use session::Session;

/// Which store, by URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// `sqlite:PATH`: a file on this machine.
    Sqlite(PathBuf),
    /// `postgres://USER@HOST/DATABASE`: a PostgreSQL server, which several daemons may share.
    Postgres(Box<PostgresUrl>),
}

/// Why a text is not a [`StoreUrl`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadStoreUrl {
    /// It is the URL of something else.
    #[error(
        "a store is written sqlite:FILE, for example sqlite:/var/lib/easy-invite/easy-invite.db, \
         or postgres://USER@HOST/DATABASE"
    )]
    Unknown,
    /// It begins as the URL of a PostgreSQL server does; the text says what is wrong with the rest.
    #[error("a PostgreSQL store is written postgres://USER@HOST/DATABASE?sslmode=MODE: {0}")]
    Postgres(String),
}

impl FromStr for StoreUrl {
    type Err = BadStoreUrl;

    fn from_str(text: &str) -> std::result::Result<Self, BadStoreUrl> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            let url = PostgresUrl::parse(text).map_err(BadStoreUrl::Postgres)?;
            return Ok(StoreUrl::Postgres(Box::new(url)));
        }
        match text.strip_prefix("sqlite:") {
            // "sqlite:///path" is the same file as "sqlite:/path".
            Some(path) => match path.strip_prefix("//").unwrap_or(path) {
                "" => Err(BadStoreUrl::Unknown),
                path if path.contains(['?', '\0']) || path.ends_with('/') => Err(BadStoreUrl::Unknown),
                path => Ok(StoreUrl::Sqlite(path.into())),
            },
            None => Err(BadStoreUrl::Unknown),
        }
    }
}

/// For people: in one line, without a password.
impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreUrl::Sqlite(path) => f.write_str(&printable(path.display())),
            StoreUrl::Postgres(url) => url.fmt(f),
        }
    }
}

impl StoreUrl {
    /// Does it hold a password?
    pub fn has_password(&self) -> bool {
        matches!(self, StoreUrl::Postgres(url) if url.has_password())
    }

    /// The same store, a relative path being relative to `folder`.
    pub fn relative_to(self, folder: &Path) -> Self {
        match self {
            StoreUrl::Sqlite(path) => StoreUrl::Sqlite(folder.join(path)),
            StoreUrl::Postgres(url) => StoreUrl::Postgres(url),
        }
    }
}

/// Why the store could not do what it was asked. Nothing that ended in one of these was acknowledged or kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another program holds what is needed for longer than the store waits.
    #[error("the store {0} is locked by another program")]
    Locked(String),
    /// Nothing was begun while somebody waited for it.
    #[error("the store {0} did not begin in time: it is locked by another program, or its disk does not answer")]
    Late(String),
    /// The file cannot be written.
    #[error("the store {0} is read-only: make the file and its folder writable for this user")]
    ReadOnly(String),
    /// There is no room.
    #[error("no space is left on the disk of the store {0}")]
    Full(String),
    /// There is none, and none was to be made.
    #[error("there is no store at {0} yet: `easy-invite run` makes it; is store.url right?")]
    Missing(String),
    /// The file belongs to another program.
    #[error("the store {0} is another program's database: set store.url to another file")]
    Foreign(String),
    /// The file is damaged, or is something else.
    #[error("the store {0} is damaged or is no store of easy-invite ({1}): restore it from a backup")]
    Corrupt(String, String),
    /// A newer version of the program made it.
    #[error("the store {file} has schema {found}, this version knows up to {known}: use a newer easy-invite")]
    Newer {
        /// The file.
        file: String,
        /// Its schema version.
        found: i64,
        /// The newest schema version that this program knows.
        known: i64,
    },
    /// Its schema version is one that was never released.
    #[error("the store {0} has schema {1}, which no release of easy-invite has made: let store.url name another one")]
    UnknownSchema(String, i64),
    /// It cannot be opened.
    #[error("the store {0} cannot be opened: {1}")]
    Unopenable(String, String),
    /// The database server is not there, or the connection to it was lost before anything was decided.
    #[error("the store {0} cannot be reached: {1}")]
    Unreachable(String, String),
    /// Anything else.
    #[error("the store {0} failed: {1}")]
    Other(String, String),
}

/// What came of trying to take a use of an invite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is reserved.
    Reserved,
    /// The invite was taken back meanwhile, or is no longer there.
    Gone,
    /// Every use is redeemed.
    UsedUp,
    /// Another pending invite reserves the username.
    UsernameReserved,
    /// Nothing is free as long as these reservations stand; their fate may be learnt.
    Contended(Vec<(Use, Invite)>),
}

/// How many invites an inviter may have; `None`: without limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Made within 24 hours.
    pub per_day: Option<u32>,
    /// Pending at a time.
    pub pending: Option<u32>,
}

/// What came of trying to keep a new invite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Insertion {
    /// It is kept.
    Kept,
    /// Another pending invite reserves its username.
    UsernameReserved,
    /// An account of that name is in the making, or was made since this was asked.
    UsernameInProgress,
    /// The inviter has made as many within 24 hours as the quota allows.
    TooManyToday {
        /// When the first of these is a day old.
        again_at: Timestamp,
    },
    /// As many invites of the inviter are pending as the quota allows.
    TooManyPending {
        /// When the first of these expires, if one does.
        again_at: Option<Timestamp>,
    },
}

/// What was erased of somebody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Uses that are being made at this moment, by or through the person. If there are any, nothing was erased.
    pub open: u64,
    /// Invites that the person made, or that named them.
    pub invites: u64,
    /// Uses of other people's invites, which now name nobody.
    pub uses: u64,
    /// Accounts that the person had invited, of which that is not known any more.
    pub invited: u64,
    /// It was known who had invited the person.
    pub known: bool,
}

/// How much a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Invites in any state.
    pub invites: u64,
    /// Their uses, open ones among them.
    pub uses: u64,
    /// Accounts of which is known who invited them.
    pub accounts: u64,
}

/// Which invites to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this host alone.
    pub host: Option<DomainPart>,
    /// Of this inviter alone.
    pub inviter: Option<BareJid>,
    /// In this state alone.
    pub state: Option<State>,
}

/// The store. Cheap to clone; dropping the last clone waits until what was asked of it is done and its files are closed.
#[derive(Clone)]
pub struct Store(Backend);

#[derive(Clone)]
enum Backend {
    Sqlite(sqlite::Sqlite),
    Postgres(postgres::Postgres),
}

type Result<T> = std::result::Result<T, StoreError>;

tokio::task_local! {
    /// See [`begun_by`].
    static BEGIN_BY: Instant;
}

/// Runs something for somebody who waits until an instant: what it asks of a store is not done any more if it has not been
/// begun by then. What has been begun is ended, and its outcome told, however long that takes.
pub fn begun_by<T>(instant: Instant, something: impl Future<Output = T>) -> impl Future<Output = T> {
    BEGIN_BY.scope(instant, something)
}

/// Until when what is asked of a store here has to be begun; `None`: whoever asks has time.
fn begin_by() -> Option<Instant> {
    BEGIN_BY.try_with(|instant| *instant).ok()
}

/// What is to be done in a session; possibly more than once, where a connection is lost.
type Work<T> = Arc<dyn for<'s, 'a> Fn(&'s mut Session<'a>) -> BoxFuture<'s, Result<T>> + Send + Sync>;

/// Runs a statement of that name with these arguments, in a session that reads or writes.
macro_rules! run {
    ($store:ident.$mode:ident $statement:ident($($argument:ident),*)) => {
        $store.$mode(move |session| {
            $(let $argument = $argument.clone();)*
            statements::$statement(session, $($argument),*).boxed()
        }).await
    };
}

impl Store {
    /// Opens the store, making it or bringing its schema up to date where needed.
    ///
    /// # Errors
    /// With words that say what to do.
    pub async fn open(url: &StoreUrl) -> Result<Store> {
        Self::open_or_make(url, true).await
    }

    /// Opens the store that is there already.
    ///
    /// # Errors
    /// `Missing` if it is not; else as [`Store::open`].
    pub async fn open_existing(url: &StoreUrl) -> Result<Store> {
        Self::open_or_make(url, false).await
    }

    async fn open_or_make(url: &StoreUrl, make: bool) -> Result<Store> {
        Ok(Store(match url {
            StoreUrl::Sqlite(path) => Backend::Sqlite(sqlite::Sqlite::open(path, make)?),
            StoreUrl::Postgres(url) => Backend::Postgres(postgres::Postgres::open(url, make).await?),
        }))
    }

    /// Opens an SQLite file that is closed and stays as it is, for reading alone. Nothing beside it is read or made: what is found
    /// is in the file itself.
    ///
    /// # Errors
    /// If it cannot be opened, or has a log beside it.
    pub fn open_closed(file: &Path) -> Result<Store> {
        Ok(Store(Backend::Sqlite(sqlite::Sqlite::open_closed(file)?)))
    }

    /// Closes the store, of which this is the only clone. An SQLite file has everything in itself then.
    ///
    /// # Errors
    /// If its log cannot be emptied into the file.
    pub async fn close(self) -> Result<()> {
        match &self.0 {
            Backend::Sqlite(sqlite) => sqlite.empty_log().await,
            Backend::Postgres(_) => Ok(()),
        }
    }

    /// Runs work that writes: all of it or nothing, and durable before this returns.
    async fn write<T: Send + 'static>(
        &self,
        work: impl for<'s, 'a> Fn(&'s mut Session<'a>) -> BoxFuture<'s, Result<T>> + Send + Sync + 'static,
    ) -> Result<T> {
        match &self.0 {
            Backend::Sqlite(sqlite) => sqlite.write(Arc::new(work)).await,
            // Boxed: it is large, and would be carried along where it is not used.
            Backend::Postgres(postgres) => postgres.write(Arc::new(work)).boxed().await,
        }
    }

    /// Runs work that only reads.
    async fn read<T: Send + 'static>(
        &self,
        work: impl for<'s, 'a> Fn(&'s mut Session<'a>) -> BoxFuture<'s, Result<T>> + Send + Sync + 'static,
    ) -> Result<T> {
        match &self.0 {
            Backend::Sqlite(sqlite) => sqlite.read(Arc::new(work)).await,
            Backend::Postgres(postgres) => postgres.read(Arc::new(work)).boxed().await,
        }
    }

    /// Runs work that reads the store as it is at one moment, however long that takes.
    async fn snapshot<T: Send + 'static>(
        &self,
        work: impl for<'s, 'a> Fn(&'s mut Session<'a>) -> BoxFuture<'s, Result<T>> + Send + Sync + 'static,
    ) -> Result<T> {
        match &self.0 {
            Backend::Sqlite(sqlite) => sqlite.snapshot(Arc::new(work)).await,
            Backend::Postgres(postgres) => postgres.snapshot(Arc::new(work)).await,
        }
    }

    /// Keeps a new invite, if its inviter may have one more. A quota counts what users make, not admins.
    ///
    /// # Errors
    /// If it is not durable.
    pub async fn insert(&self, invite: Invite, quota: Quota, now: Timestamp) -> Result<Insertion> {
        run!(self.write insert(invite, quota, now))
    }

    /// The invite of a token.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn find(&self, token_hash: TokenHash) -> Result<Option<Invite>> {
        run!(self.read find(token_hash))
    }

    /// The invite of an id.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn find_by_id(&self, id: InviteId) -> Result<Option<Invite>> {
        run!(self.read find_by_id(id))
    }

    /// Takes a use of an invite, if one is left and no other invite reserves the username: one step, whoever else tries.
    ///
    /// # Errors
    /// If it is not durable.
    pub async fn reserve(&self, wanted: Use) -> Result<Claim> {
        run!(self.write reserve(wanted))
    }

    /// Has this account redeemed this invite, which was not taken back since?
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn redeemed_by(&self, id: InviteId, account: BareJid) -> Result<bool> {
        run!(self.read redeemed_by(id, account))
    }

    /// The account of a reserved use was made. Returns the use, and whether it was redeemed by this: doing it again changes
    /// nothing.
    /// `None`: there is no such reservation.
    ///
    /// # Errors
    /// If it is not durable.
    pub async fn redeem(&self, reservation: String, now: Timestamp) -> Result<Option<(Use, bool)>> {
        run!(self.write redeem(reservation, now))
    }

    /// The account of a reserved use was not made: gives the use back. `false`: there is no such reservation.
    ///
    /// # Errors
    /// If it is not durable.
    pub async fn release(&self, reservation: String) -> Result<bool> {
        run!(self.write release(reservation))
    }

    /// Reservations whose fate is open, of invites to these hosts by these hooks (each with the id of its server), made
    /// up to an instant and in its second. The hosts take turns, and so do the invites of a host, each with its oldest
    /// reservation first: those that cannot be settled keep back no other host's and no other invite's. What seems to be
    /// made later than `now` belongs to them, since clocks are set back.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn reserved_until(
        &self,
        instant: Timestamp,
        now: Timestamp,
        hooks: Vec<(DomainPart, String)>,
        limit: u32,
    ) -> Result<Vec<(Use, Invite)>> {
        run!(self.read reserved_until(instant, now, hooks, limit))
    }

    /// Reservations made up to an instant, of whichever server, whose fate is still open; the oldest first.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn open_since(&self, instant: Timestamp, limit: u32) -> Result<Vec<(Use, Invite)>> {
        run!(self.read open_since(instant, limit))
    }

    /// Gives back every use that a server has reserved and whose fate is open, and returns how many. Only for a server
    /// that is gone for good: it alone knows whether the accounts were made.
    ///
    /// # Errors
    /// If it is not durable.
    pub async fn release_of_server(&self, server: String) -> Result<u64> {
        run!(self.write release_of_server(server))
    }

    /// Reservations that make this account, and whose fate is still open.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn reserved_for(&self, account: BareJid) -> Result<Vec<(Use, Invite)>> {
        run!(self.read reserved_for(account))
    }

    /// The use of an invite by an account under a reservation whose name begins like this, if there is one: redeemed, or
    /// of open fate. `true`: it is redeemed.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn used_under(
        &self,
        id: InviteId,
        account: BareJid,
        prefix: String,
    ) -> Result<Option<((Use, Invite), bool)>> {
        run!(self.read used_under(id, account, prefix))
    }

    /// Does a pending invite reserve this username?
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn username_reserved(&self, account: BareJid, now: Timestamp) -> Result<bool> {
        run!(self.read username_reserved(account, now))
    }

    /// Takes an invite back. The invite as it is then; `None` if there is none.
    ///
    /// # Errors
    /// If it is not durable.
    pub async fn revoke(&self, id: InviteId, now: Timestamp) -> Result<Option<Invite>> {
        run!(self.write revoke(id, now))
    }

    /// Takes back every pending invite of an inviter and returns how many there were.
    ///
    /// # Errors
    /// If it is not durable.
    pub async fn revoke_of_inviter(&self, inviter: BareJid, now: Timestamp) -> Result<u64> {
        run!(self.write revoke_of_inviter(inviter, now))
    }

    /// An account was deleted: takes back what it issued, and password resets for it, if made before; forgets who invited it.
    /// Returns how many invites ended.
    ///
    /// # Errors
    /// If it is not durable.
    pub async fn account_deleted(&self, account: BareJid, deleted_at: Timestamp, now: Timestamp) -> Result<u64> {
        run!(self.write account_deleted(account, deleted_at, now))
    }

    /// Invites, the newest first.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn list(&self, filter: Filter, limit: u32, now: Timestamp) -> Result<Vec<Invite>> {
        run!(self.read list(filter, limit, now))
    }

    /// The accounts that came by an invite and still exist, and since when; the newest first.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn accounts_of(&self, id: InviteId, limit: u32) -> Result<Vec<(BareJid, Timestamp)>> {
        run!(self.read accounts_of(id, limit))
    }

    /// When an account that came by an invite was registered; `None` for every other one.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn registered_at(&self, account: BareJid) -> Result<Option<Timestamp>> {
        run!(self.read registered_at(account))
    }

    /// Erases what is known of somebody: the invites that they made or that name them, and that they used those of
    /// others. Nothing is erased while a use of theirs is open. In an SQLite file nothing of it is left.
    ///
    /// # Errors
    /// If it is not durable, or somebody reads the SQLite file for so long that its log cannot be emptied: then it is
    /// erased, and in the log until this has been run again.
    pub async fn forget(&self, account: BareJid) -> Result<Forgotten> {
        let forgotten = run!(self.write forget(account))?;
        if let Backend::Sqlite(sqlite) = &self.0 {
            sqlite.empty_log().await?;
        }
        Ok(forgotten)
    }

    /// Removes invites that ended before an instant, at most `limit`, and returns how many. Who invited whom stays.
    ///
    /// # Errors
    /// If it is not durable.
    pub async fn purge(&self, ended_before: Timestamp, limit: u32) -> Result<u64> {
        run!(self.write purge(ended_before, limit))
    }

    /// Reads the whole store and says what is wrong with it, if anything.
    ///
    /// # Errors
    /// If it is damaged or cannot be read.
    pub async fn verify(&self) -> Result<()> {
        run!(self.snapshot verify())
    }

    /// Copies everything into another store, as it is at this moment. Whatever is there already stays, and of two
    /// versions of an invite the one that allows less: it can be run again after it was cut short.
    ///
    /// # Errors
    /// If one of them fails; what was copied until then stays.
    pub async fn copy_into(&self, target: &Store, progress: impl FnMut(Copied)) -> Result<Copied> {
        copy::copy(self, target, progress).await
    }

    /// How much the store holds.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn contents(&self) -> Result<Contents> {
        run!(self.read contents())
    }

    /// The settings of a PostgreSQL server that are off, although what is acknowledged does not survive a loss of power
    /// without them. A connection cannot turn them on for itself.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub async fn unsafe_settings(&self) -> Result<Vec<String>> {
        run!(self.read unsafe_settings())
    }

    /// Does the store hold nothing at all?
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn is_empty(&self) -> Result<bool> {
        run!(self.read is_empty())
    }
}
