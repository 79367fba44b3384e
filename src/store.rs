//! Where invites are kept, and the promises about them: an answer is given once it is durable, and a use is taken in
//! the same statement that proves there is one left.

mod sqlite;
mod sqlite_thread;

use std::path::{Path, PathBuf};
use std::str::FromStr;

use jid::{BareJid, DomainPart};
use jiff::Timestamp;

use crate::invite::{Invite, InviteId, State, TokenHash, Use};

/// Which store, by URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// `sqlite:PATH`: a file on this machine.
    Sqlite(PathBuf),
}

/// Why a text is not a [`StoreUrl`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a store is written sqlite:FILE, for example sqlite:/var/lib/easy-invite/easy-invite.db")]
pub struct BadStoreUrl;

impl FromStr for StoreUrl {
    type Err = BadStoreUrl;

    fn from_str(text: &str) -> std::result::Result<Self, BadStoreUrl> {
        match text.strip_prefix("sqlite:") {
            // "sqlite:///path" is the same file as "sqlite:/path".
            Some(path) => match path.strip_prefix("//").unwrap_or(path) {
                "" => Err(BadStoreUrl),
                path if path.contains(['?', '\0']) || path.ends_with('/') => Err(BadStoreUrl),
                path => Ok(StoreUrl::Sqlite(path.into())),
            },
            None => Err(BadStoreUrl),
        }
    }
}

impl StoreUrl {
    /// The same store, a relative path being relative to `folder`.
    pub fn relative_to(self, folder: &Path) -> Self {
        match self {
            StoreUrl::Sqlite(path) => StoreUrl::Sqlite(folder.join(path)),
        }
    }
}

/// Why the store could not do what it was asked. Nothing that ended in one of these was acknowledged or kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another program holds the file for longer than the store waits.
    #[error("the store {0} is locked by another program")]
    Locked(String),
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
    /// It cannot be opened.
    #[error("the store {0} cannot be opened: {1}")]
    Unopenable(String, String),
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
}

type Result<T> = std::result::Result<T, StoreError>;

impl Store {
    /// Opens the store, making it or bringing its schema up to date where needed.
    ///
    /// # Errors
    /// With words that say what to do.
    pub fn open(url: &StoreUrl) -> Result<Store> {
        match url {
            StoreUrl::Sqlite(path) => sqlite::Sqlite::open(path, true).map(Backend::Sqlite).map(Store),
        }
    }

    /// Opens the store that is there already.
    ///
    /// # Errors
    /// `Missing` if it is not; else as [`Store::open`].
    pub fn open_existing(url: &StoreUrl) -> Result<Store> {
        match url {
            StoreUrl::Sqlite(path) => sqlite::Sqlite::open(path, false).map(Backend::Sqlite).map(Store),
        }
    }

    fn sqlite(&self) -> &sqlite::Sqlite {
        let Backend::Sqlite(sqlite) = &self.0;
        sqlite
    }

    /// Keeps a new invite. `false`: another pending invite reserves its username.
    ///
    /// # Errors
    /// If it is not durable.
    pub async fn insert(&self, invite: Invite, now: Timestamp) -> Result<bool> {
        self.sqlite().insert(invite, now).await
    }

    /// The invite of a token.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn find(&self, token_hash: TokenHash) -> Result<Option<Invite>> {
        self.sqlite().find(token_hash).await
    }

    /// The invite of an id.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn find_by_id(&self, id: InviteId) -> Result<Option<Invite>> {
        self.sqlite().find_by_id(id).await
    }

    /// Takes a use of an invite, if one is left and no other invite reserves the username: one step, whoever else tries.
    ///
    /// # Errors
    /// If it is not durable.
    pub async fn reserve(&self, wanted: Use) -> Result<Claim> {
        self.sqlite().reserve(wanted).await
    }

    /// Has this account redeemed this invite, which was not taken back since?
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn redeemed_by(&self, id: InviteId, account: BareJid) -> Result<bool> {
        self.sqlite().redeemed_by(id, account).await
    }

    /// The account of a reserved use was made. Returns the use, and whether it was redeemed by this: doing it again changes
    /// nothing.
    /// `None`: there is no such reservation.
    ///
    /// # Errors
    /// If it is not durable.
    pub async fn redeem(&self, reservation: String, now: Timestamp) -> Result<Option<(Use, bool)>> {
        self.sqlite().redeem(reservation, now).await
    }

    /// The account of a reserved use was not made: gives the use back. `false`: there is no such reservation.
    ///
    /// # Errors
    /// If it is not durable.
    pub async fn release(&self, reservation: String) -> Result<bool> {
        self.sqlite().release(reservation).await
    }

    /// Reservations of invites to these hosts, made up to an instant, and in its second, whose fate is still open; the
    /// oldest of every host first, so that a host whose reservations cannot be settled keeps back no other's.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn reserved_until(
        &self,
        instant: Timestamp,
        hosts: Vec<DomainPart>,
        limit: u32,
    ) -> Result<Vec<(Use, Invite)>> {
        self.sqlite().reserved_until(instant, hosts, limit).await
    }

    /// Reservations that make this account, and whose fate is still open.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn reserved_for(&self, account: BareJid) -> Result<Vec<(Use, Invite)>> {
        self.sqlite().reserved_for(account).await
    }

    /// Does a pending invite reserve this username?
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn username_reserved(&self, account: BareJid, now: Timestamp) -> Result<bool> {
        self.sqlite().username_reserved(account, now).await
    }

    /// Takes an invite back. The invite as it is then; `None` if there is none.
    ///
    /// # Errors
    /// If it is not durable.
    pub async fn revoke(&self, id: InviteId, now: Timestamp) -> Result<Option<Invite>> {
        self.sqlite().revoke(id, now).await
    }

    /// Takes back every pending invite of an inviter and returns how many there were.
    ///
    /// # Errors
    /// If it is not durable.
    pub async fn revoke_of_inviter(&self, inviter: BareJid, now: Timestamp) -> Result<u64> {
        self.sqlite().revoke_of_inviter(inviter, now).await
    }

    /// An account was deleted: takes back what it issued, and password resets for it, if made before; forgets who invited it.
    /// Returns how many invites ended.
    ///
    /// # Errors
    /// If it is not durable.
    pub async fn account_deleted(&self, account: BareJid, deleted_at: Timestamp, now: Timestamp) -> Result<u64> {
        self.sqlite().account_deleted(account, deleted_at, now).await
    }

    /// Invites, the newest first.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn list(&self, filter: Filter, limit: u32, now: Timestamp) -> Result<Vec<Invite>> {
        self.sqlite().list(filter, limit, now).await
    }

    /// The accounts that came by an invite and still exist, and since when; the newest first.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn accounts_of(&self, id: InviteId, limit: u32) -> Result<Vec<(BareJid, Timestamp)>> {
        self.sqlite().accounts_of(id, limit).await
    }

    /// Removes invites that ended before an instant, at most `limit`, and returns how many. Who invited whom stays.
    ///
    /// # Errors
    /// If it is not durable.
    pub async fn purge(&self, ended_before: Timestamp, limit: u32) -> Result<u64> {
        self.sqlite().purge(ended_before, limit).await
    }

    /// Reads the whole store and says what is wrong with it, if anything.
    ///
    /// # Errors
    /// If it is damaged or cannot be read.
    pub async fn verify(&self) -> Result<()> {
        self.sqlite().verify().await
    }
}
