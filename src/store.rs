//! Where invites are kept, and the promises about them: an answer is given once it is durable, and a use is taken in
//! the same statement that proves there is one left.

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
pub use copy::Copied;
use copy::Part;
pub use deadline::begun_by;
use error::Result;
pub use error::StoreError;
use session::Session;
pub use statements::{Claim, Contents, Filter, Forgotten, Insertion, Quota};
pub use url::{BadStoreUrl, StoreUrl};

/// The store. Cheap to clone; dropping the last clone waits until what was asked of it is done and its files are closed.
#[derive(Clone)]
pub struct Store(Backend);

#[derive(Clone)]
enum Backend {
    Sqlite(sqlite::Sqlite),
    Postgres(postgres::Postgres),
}

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
    pub async fn copy_into(&self, target: &Store, mut progress: impl FnMut(Copied)) -> Result<Copied> {
        let (sender, parts) = mpsc::channel(2);
        let reading = self.snapshot(move |session| copy::read(session, sender.clone()).boxed());
        let writing = async {
            // Dropped as soon as writing fails: the reader waits to send the next part until then, and holds its snapshot.
            let mut parts = parts;
            let (mut copied, mut open) = (Copied::default(), Arc::default());
            while let Some(part) = parts.recv().await {
                copied = copied.and(&part);
                match part {
                    Part::Count(_) => (),
                    Part::Open(ids) => open = ids,
                    Part::Page(table, page) => {
                        let open = Arc::clone(&open);
                        target
                            .write(move |session| copy::merge(session, table, page.clone(), open.clone()).boxed())
                            .await?;
                    }
                }
                progress(copied);
            }
            Ok(copied)
        };
        let (read, written) = futures::join!(reading, writing);
        let copied = written?;
        read?;
        target.write(|session| copy::finish(session).boxed()).await?;
        Ok(copied)
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
