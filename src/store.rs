//! Where invites are kept. An answer is given once it is durable, and a use is taken in the same
//! statement that proves that one is left.

mod copy;
mod deadline;
mod error;
mod postgres;
mod row;
mod session;
mod sqlite;
mod statements;
mod url;

use std::path::Path;
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};
use jid::{BareJid, DomainPart};
use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::invite::{Invite, InviteId, TokenHash, Use};
pub use deadline::begun_by;
use error::Result;
pub use error::StoreError;
use session::{Mode, Session};
pub use statements::{Claim, Contents, Filter, Forgotten, Insertion, Quota};
pub use url::{BadStoreUrl, StoreUrl};

/// The store. Cheap to clone. Dropping the last clone waits until all work is done and the files
/// are closed.
#[derive(Clone)]
pub struct Store(Backend);

#[derive(Clone)]
enum Backend {
    Sqlite(sqlite::Sqlite),
    Postgres(postgres::Postgres),
}

/// Runs a statement of that name with these arguments, in a session of that mode.
macro_rules! run {
    ($store:ident, $mode:ident, $statement:ident($($argument:ident),*)) => {
        $store.run(Mode::$mode, move |session| {
            $(let $argument = $argument.clone();)*
            statements::$statement(session, $($argument),*).boxed()
        }).await
    };
}

impl Store {
    /// Opens the store. Makes it, or brings its schema up to date, where needed.
    ///
    /// # Errors
    /// With words that say what to do.
    pub async fn open(url: &StoreUrl) -> Result<Store> {
        Self::open_or_make(url, true).await
    }

    /// Opens a store that exists.
    ///
    /// # Errors
    /// `Missing` if there is none; otherwise as [`Store::open`].
    pub async fn open_existing(url: &StoreUrl) -> Result<Store> {
        Self::open_or_make(url, false).await
    }

    async fn open_or_make(url: &StoreUrl, make: bool) -> Result<Store> {
        Ok(Store(match url {
            StoreUrl::Sqlite(path) => Backend::Sqlite(sqlite::Sqlite::open(path, make)?),
            StoreUrl::Postgres(url) => Backend::Postgres(postgres::Postgres::open(url, make).await?),
        }))
    }

    /// Opens an SQLite file that nobody has open, to read it. No file beside it is read or made, so
    /// what is found is in this file.
    ///
    /// # Errors
    /// If it cannot be opened, or has a log beside it.
    pub fn open_closed(file: &Path) -> Result<Store> {
        Ok(Store(Backend::Sqlite(sqlite::Sqlite::open_closed(file)?)))
    }

    /// Closes the store. This has to be its only clone. Everything in an SQLite store is then in
    /// its one file.
    ///
    /// # Errors
    /// If the log cannot be emptied into the file.
    pub async fn close(self) -> Result<()> {
        match &self.0 {
            Backend::Sqlite(sqlite) => sqlite.empty_log().await,
            Backend::Postgres(_) => Ok(()),
        }
    }

    async fn run<T: Send + 'static>(
        &self,
        mode: Mode,
        work: impl for<'s, 'a> Fn(&'s mut Session<'a>) -> BoxFuture<'s, Result<T>> + Send + Sync + 'static,
    ) -> Result<T> {
        match &self.0 {
            Backend::Sqlite(sqlite) => sqlite.run(mode, Arc::new(work)).await,
            // Boxed: this future is large, and callers that use SQLite would carry it too.
            Backend::Postgres(postgres) => postgres.run(mode, Arc::new(work)).boxed().await,
        }
    }

    /// Stores a new invite, if the quota of its inviter allows it. A quota counts the invites that
    /// users make, not those of admins.
    ///
    /// # Errors
    /// If the change could not be made durable.
    pub async fn insert(&self, invite: Invite, quota: Quota, now: Timestamp) -> Result<Insertion> {
        run!(self, Write, insert(invite, quota, now))
    }

    /// The invite with this token.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn find(&self, token_hash: TokenHash) -> Result<Option<Invite>> {
        run!(self, Read, find(token_hash))
    }

    /// The invite with this id.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn find_by_id(&self, id: InviteId) -> Result<Option<Invite>> {
        run!(self, Read, find_by_id(id))
    }

    /// Reserves a use of an invite, if one is left and no other invite reserves the username. This
    /// is one step, however many try at the same time.
    ///
    /// # Errors
    /// If the change could not be made durable.
    pub async fn reserve(&self, wanted: Use) -> Result<Claim> {
        run!(self, Write, reserve(wanted))
    }

    /// Whether this account has redeemed this invite, and the invite was not revoked since.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn redeemed_by(&self, id: InviteId, account: BareJid) -> Result<bool> {
        run!(self, Read, redeemed_by(id, account))
    }

    /// Redeems a reserved use: its account was made. Returns the use, and whether this call
    /// redeemed it. Redeeming again changes nothing. `None`: there is no such reservation.
    ///
    /// Pending invites that were made before the reservation end with it: after a registration,
    /// those of an earlier account of this name, and password resets for it; after a reset, the
    /// other resets for the account.
    ///
    /// # Errors
    /// If the change could not be made durable.
    pub async fn redeem(&self, reservation: String, now: Timestamp) -> Result<Option<(Use, bool)>> {
        run!(self, Write, redeem(reservation, now))
    }

    /// Gives a reserved use back: its account was not made. `false`: there is no such reservation.
    ///
    /// # Errors
    /// If the change could not be made durable.
    pub async fn release(&self, reservation: String) -> Result<bool> {
        run!(self, Write, release(reservation))
    }

    /// Open reservations of invites to these hosts, made by these hooks (the id of each one's
    /// server) up to and in the second of an instant. The hosts take turns, and so do the invites
    /// of a host, each with its oldest reservation first: a reservation that cannot be settled
    /// holds up no other host and no other invite. A reservation dated later than `now` counts as
    /// well, since clocks are set back.
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
        run!(self, Read, reserved_until(instant, now, hooks, limit))
    }

    /// Open reservations of any server, made up to an instant; the oldest first.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn open_since(&self, instant: Timestamp, limit: u32) -> Result<Vec<(Use, Invite)>> {
        run!(self, Read, open_since(instant, limit))
    }

    /// Gives back every use that a server has reserved and not redeemed, and returns how many. Only
    /// for a server that is gone for good: no one else knows whether the accounts were made.
    ///
    /// # Errors
    /// If the change could not be made durable.
    pub async fn release_of_server(&self, server: String) -> Result<u64> {
        run!(self, Write, release_of_server(server))
    }

    /// Open reservations to register this account.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn reserved_for(&self, account: BareJid) -> Result<Vec<(Use, Invite)>> {
        run!(self, Read, reserved_for(account))
    }

    /// The use of an invite by an account under a reservation whose name begins with `prefix`, if
    /// there is one. `true`: it is redeemed.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn used_under(
        &self,
        id: InviteId,
        account: BareJid,
        prefix: String,
    ) -> Result<Option<((Use, Invite), bool)>> {
        run!(self, Read, used_under(id, account, prefix))
    }

    /// Whether a pending invite reserves this username.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn username_reserved(&self, account: BareJid, now: Timestamp) -> Result<bool> {
        run!(self, Read, username_reserved(account, now))
    }

    /// Revokes an invite. Returns it as it is then; `None` if there is none.
    ///
    /// # Errors
    /// If the change could not be made durable.
    pub async fn revoke(&self, id: InviteId, now: Timestamp) -> Result<Option<Invite>> {
        run!(self, Write, revoke(id, now))
    }

    /// Revokes every pending invite of an inviter, and returns how many there were.
    ///
    /// # Errors
    /// If the change could not be made durable.
    pub async fn revoke_of_inviter(&self, inviter: BareJid, now: Timestamp) -> Result<u64> {
        run!(self, Write, revoke_of_inviter(inviter, now))
    }

    /// Ends what a deleted account leaves behind: revokes its pending invites and password resets
    /// for it, if they were made before the deletion, and forgets who invited it. Returns how many
    /// invites ended.
    ///
    /// # Errors
    /// If the change could not be made durable.
    pub async fn account_deleted(&self, account: BareJid, deleted_at: Timestamp, now: Timestamp) -> Result<u64> {
        run!(self, Write, account_deleted(account, deleted_at, now))
    }

    /// Revokes the pending password resets for an account that were made before its password was
    /// changed. Returns how many there were.
    ///
    /// # Errors
    /// If the change could not be made durable.
    pub async fn password_changed(&self, account: BareJid, changed_at: Timestamp, now: Timestamp) -> Result<u64> {
        run!(self, Write, password_changed(account, changed_at, now))
    }

    /// Invites, the newest first.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn list(&self, filter: Filter, limit: u32, now: Timestamp) -> Result<Vec<Invite>> {
        run!(self, Read, list(filter, limit, now))
    }

    /// The accounts that registered with an invite and still exist, and since when; the newest
    /// first.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn accounts_of(&self, id: InviteId, limit: u32) -> Result<Vec<(BareJid, Timestamp)>> {
        run!(self, Read, accounts_of(id, limit))
    }

    /// When an account that registered with an invite did so; `None` for every other account.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn registered_at(&self, account: BareJid) -> Result<Option<Timestamp>> {
        run!(self, Read, registered_at(account))
    }

    /// Erases what is known of a person: the invites that they made or that name them, and their
    /// name in uses of other people's invites. Nothing is erased while a use of theirs is open. An
    /// SQLite file keeps no trace.
    ///
    /// # Errors
    /// If the change could not be made durable, or another program reads the SQLite file for so
    /// long that its log cannot be emptied. Then the log still has the erased text, until this is
    /// run again.
    pub async fn forget(&self, account: BareJid) -> Result<Forgotten> {
        let forgotten = run!(self, Write, forget(account))?;
        if let Backend::Sqlite(sqlite) = &self.0 {
            sqlite.empty_log().await?;
        }
        Ok(forgotten)
    }

    /// Removes up to `limit` invites that ended before an instant, and returns how many. Who
    /// invited whom stays.
    ///
    /// # Errors
    /// If the change could not be made durable.
    pub async fn purge(&self, ended_before: Timestamp, limit: u32) -> Result<u64> {
        run!(self, Write, purge(ended_before, limit))
    }

    /// Reads the whole store and tells what is wrong with it, if anything.
    ///
    /// # Errors
    /// If it is damaged or cannot be read.
    pub async fn verify(&self) -> Result<()> {
        run!(self, Snapshot, verify())
    }

    /// Copies everything, as it is at this moment, into another store. Rows that are there already
    /// stay; of two versions of an invite, the one that allows less wins. So a copy that was cut
    /// short can be run again. Tells `progress` how many rows are copied so far, and returns that.
    ///
    /// # Errors
    /// If either store fails. The rows copied until then stay.
    pub async fn copy_into(&self, target: &Store, mut progress: impl FnMut(u64)) -> Result<u64> {
        let (sender, pages) = mpsc::channel(2);
        let reading = self.run(Mode::Snapshot, move |session| copy::read(session, sender.clone()).boxed());
        let writing = async {
            // Dropped as soon as writing fails. Otherwise the reader would wait forever to send the
            // next page, and keep its snapshot open.
            let mut pages = pages;
            let mut rows = 0;
            while let Some(page) = pages.recv().await {
                rows += page.rows.len() as u64;
                let page = Arc::new(page);
                target.run(Mode::Write, move |session| copy::merge(session, page.clone()).boxed()).await?;
                progress(rows);
            }
            Ok(rows)
        };
        let (read, written) = futures::join!(reading, writing);
        let rows = written?;
        read?;
        target.run(Mode::Write, |session| copy::finish(session).boxed()).await?;
        Ok(rows)
    }

    /// How much the store holds.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn contents(&self) -> Result<Contents> {
        run!(self, Read, contents())
    }

    /// The settings of a PostgreSQL server that are off, although without them a loss of power may
    /// lose what was acknowledged. A connection cannot turn them on for itself.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub async fn unsafe_settings(&self) -> Result<Vec<String>> {
        run!(self, Read, unsafe_settings())
    }
}
