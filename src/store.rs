//! Where invites are kept. A caller hears of a change once it is durable. The statement that takes
//! a use also proves that a use is left.

mod copy;
mod deadline;
mod error;
mod once;
mod postgres;
mod row;
mod session;
mod sqlite;
mod statements;

use std::path::Path;
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};
use jid::{BareJid, DomainPart};
use jiff::Timestamp;
use prometheus_client::metrics::histogram::Histogram;
use tokio::sync::mpsc;

use crate::counters::durations;
pub use crate::database::{BadStoreUrl, StoreUrl};
use crate::event::{Actor, Event};
use crate::import::plan::{Figures, Known};
use crate::import::{Item, Reason};
use crate::invite::{Invite, InviteId, Program, TokenHash, Use};
use crate::last_seen::{LastSeen, Lineage};
use crate::lifetime::Lifetime;
use crate::policy::Change;
use crate::refusal::Refusal;
pub use deadline::{answer_by, answered_by, begin_by, begun_as_here, begun_by};
pub use error::{Problem, Result, StoreError};
pub use once::Once;
use session::{Mode, Session};
pub use statements::{
    Branch, Claim, Contents, Cursor, EventFilter, Exported, Filter, Forgotten, Notice, Past, Quota, Redeemed,
    Shortfall, Wait,
};

/// The store. Cheap to clone. Dropping the last clone waits until all work is done and the files
/// are closed.
#[derive(Clone)]
pub struct Store {
    /// Its URL, for messages.
    name: String,
    backend: Backend,
    /// Who makes changes with this handle, for the log of events.
    actor: Actor,
    commits: Histogram,
}

#[derive(Clone)]
enum Backend {
    Sqlite(sqlite::Sqlite),
    Postgres(postgres::Postgres),
}

impl Store {
    /// Opens the store. If needed, makes it or brings its schema up to date.
    ///
    /// # Errors
    /// If it cannot be opened. The error says what to do.
    pub async fn open(url: &StoreUrl) -> Result<Store, StoreError> {
        Self::open_or_make(url, true, false).await
    }

    /// Opens a store that exists.
    ///
    /// # Errors
    /// [`Problem::Missing`] if there is none; otherwise as [`Store::open`].
    pub async fn open_existing(url: &StoreUrl) -> Result<Store, StoreError> {
        Self::open_or_make(url, false, false).await
    }

    /// Opens a store that no other process has open as long as this one has. So an SQLite file may
    /// be on a network file system. With `make`, makes the store if there is none.
    ///
    /// # Errors
    /// As [`Store::open`] or [`Store::open_existing`].
    pub async fn open_alone(url: &StoreUrl, make: bool) -> Result<Store, StoreError> {
        Self::open_or_make(url, make, true).await
    }

    async fn open_or_make(url: &StoreUrl, make: bool, alone: bool) -> Result<Store, StoreError> {
        let commits = durations();
        let opened = match url {
            StoreUrl::Sqlite(path) => sqlite::Sqlite::open(path, make, alone, &commits).map(Backend::Sqlite),
            StoreUrl::Postgres(url) => postgres::Postgres::open(url, make, &commits).await.map(Backend::Postgres),
        };
        Store::named(url, opened, commits)
    }

    fn named(url: &StoreUrl, opened: Result<Backend>, commits: Histogram) -> Result<Store, StoreError> {
        let name = url.to_string();
        match opened {
            Ok(backend) => Ok(Store { name, backend, actor: Actor::Daemon, commits }),
            Err(problem) => Err(StoreError { store: name, problem }),
        }
    }

    /// The same store, for changes that this actor makes. With a store that was just opened, the
    /// actor is the daemon.
    #[must_use]
    pub fn by(&self, actor: Actor) -> Store {
        Store { actor, ..self.clone() }
    }

    /// Who makes changes with this handle.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Opens an SQLite file that nobody has open, to read it. No file beside it is read or made:
    /// all that is found is in this file.
    ///
    /// # Errors
    /// If it cannot be opened, or has one of SQLite's files beside it.
    pub fn open_closed(file: &Path) -> Result<Store, StoreError> {
        let opened = sqlite::Sqlite::open_closed(file).map(Backend::Sqlite);
        Store::named(&StoreUrl::Sqlite(file.to_owned()), opened, durations())
    }

    /// How long commits took since the store was opened, in seconds.
    pub fn commits(&self) -> &Histogram {
        &self.commits
    }

    /// Closes the store, of which this has to be the only clone. All of an SQLite store is then in
    /// its one file.
    ///
    /// # Errors
    /// If SQLite's log cannot be emptied into the file.
    pub async fn close(self) -> Result<(), StoreError> {
        self.empty_log().await
    }

    async fn empty_log(&self) -> Result<(), StoreError> {
        match &self.backend {
            Backend::Sqlite(sqlite) => sqlite.empty_log().await.map_err(|problem| self.failed(problem)),
            Backend::Postgres(_) => Ok(()),
        }
    }

    /// Checks that an SQLite file is still where it was opened, and can grow. Nothing is checked of
    /// PostgreSQL: the next statement fails if the server is away.
    ///
    /// # Errors
    /// [`Problem::Moved`] or [`Problem::Full`].
    pub fn ensure_in_place(&self) -> Result<(), StoreError> {
        match &self.backend {
            Backend::Sqlite(sqlite) => sqlite.ensure_in_place().map_err(|problem| self.failed(problem)),
            Backend::Postgres(_) => Ok(()),
        }
    }

    /// The lineage of the PostgreSQL server on which the store was found last; `None` if it is not
    /// known, and with SQLite.
    pub fn lineage(&self) -> Option<Lineage> {
        match &self.backend {
            Backend::Sqlite(_) => None,
            Backend::Postgres(postgres) => postgres.lineage(),
        }
    }

    /// The hosts in the URL of a PostgreSQL store. Each comes with a description of its server, or
    /// with the reason why that is not used.
    pub async fn servers(&self) -> Vec<(String, Result<String>)> {
        match &self.backend {
            Backend::Sqlite(_) => Vec::new(),
            Backend::Postgres(postgres) => postgres.servers().await,
        }
    }

    fn failed(&self, problem: Problem) -> StoreError {
        StoreError { store: self.name.clone(), problem }
    }

    /// Runs work in a session of this mode.
    async fn run<T: Send + 'static>(
        &self,
        mode: Mode,
        work: impl for<'s, 'a> Fn(&'s mut Session<'a>) -> BoxFuture<'s, Result<T>> + Send + Sync + 'static,
    ) -> Result<T, StoreError> {
        let done = match &self.backend {
            Backend::Sqlite(sqlite) => sqlite.run(mode, Arc::new(work)).await,
            // Boxed: this future is large, and callers that use SQLite would carry it too.
            Backend::Postgres(postgres) => postgres.run(mode, Arc::new(work)).boxed().await,
        };
        done.map_err(|problem| self.failed(problem))
    }

    /// Erases what is known of a person: the invites that they made or that name them, and their
    /// name in uses of other people's invites. Nothing is erased while a use of theirs is open. An
    /// SQLite file keeps no trace. The hashes of the tokens stay: they say nothing about anybody.
    ///
    /// # Errors
    /// If the change could not be made durable, or another program reads the SQLite file for so
    /// long that its log cannot be emptied. Then the log still has the erased text, until this is
    /// run again.
    pub async fn forget(&self, account: BareJid, now: Timestamp) -> Result<Forgotten, StoreError> {
        let by = self.actor.clone();
        let forgotten =
            self.run(Mode::Write, move |session| statements::forget(session, account.clone(), now, by.clone()).boxed());
        let forgotten = forgotten.await?;
        self.empty_log().await?;
        Ok(forgotten)
    }

    /// Copies everything, as it is at this moment, into another store. Rows that the target already
    /// has stay. Of two versions of an invite, the one that allows less wins. So a copy that was
    /// cut short can be run again. Tells `progress` how many rows are copied so far, and returns
    /// their number.
    ///
    /// # Errors
    /// If either store fails. The rows copied until then stay.
    pub async fn copy_into(&self, target: &Store, mut progress: impl FnMut(u64)) -> Result<u64, StoreError> {
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
        let took_over_at = read?;
        target.run(Mode::Write, move |session| copy::finish(session, took_over_at).boxed()).await?;
        Ok(rows)
    }
}

/// Makes a method of each promise. The method runs the function of its name in `statements`, with
/// its arguments, in a session of its mode. With `by actor`, the function also gets the handle's
/// actor, for the log of events.
macro_rules! promises {
    ($(
        $(#[$doc:meta])*
        $mode:ident $name:ident($($argument:ident: $type:ty),*) $(by $actor:ident)? -> $answer:ty;
    )+) => {
        impl Store {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// If the store cannot be read, or a change could not be made durable.
                pub async fn $name(&self, $($argument: $type),*) -> Result<$answer, StoreError> {
                    $(let $actor = self.actor.clone();)?
                    self.run(Mode::$mode, move |session| {
                        $(let $argument = $argument.clone();)*
                        statements::$name(session, $($argument,)* $($actor.clone())?).boxed()
                    }).await
                }
            )+
        }
    };
}

promises! {
    /// Stores a new invite, if the quota of its inviter allows it. A quota counts the invites that
    /// somebody makes as a user, not as an admin.
    Write insert(invite: Invite, quota: Quota, now: Timestamp) by actor -> Result<(), Refusal>;

    /// Whether an invite that an admin has made is within the quota of a user. It is counted
    /// together with those that its inviter had made before it and that are still pending, or were
    /// made within the 24 hours before it.
    Read is_within(invite: Invite, quota: Quota, now: Timestamp) -> bool;

    /// The invite with this token.
    Read find(token_hash: TokenHash) -> Option<Invite>;

    /// The invite with this id.
    Read find_by_id(id: InviteId) -> Option<Invite>;

    /// What became of the invite that once had this token.
    Read past(token_hash: TokenHash) -> Option<Past>;

    /// Whether there is an invite with a token of another program that has one of these lengths.
    Read has_tokens_of(lengths: Vec<u32>) -> bool;

    /// The pending invites whose token is so short that it can perhaps be guessed, with their
    /// hosts.
    Read short_tokens(now: Timestamp) -> Vec<(DomainPart, InviteId)>;

    /// Reserves a use of an invite, if one is left and no other invite reserves the username. This
    /// is atomic, however many try at the same time. `links`: how many links the invite had had
    /// when its token was presented. If it has a newer link, nothing is reserved.
    Write reserve(wanted: Use, links: u32) -> Claim;

    /// Whether this account has redeemed this invite, and the invite was not revoked since.
    Read redeemed_by(id: InviteId, account: BareJid) -> bool;

    /// Redeems a reserved use of an invite to this host: its account was made. `failed`: which of
    /// the invite's grants the account did not get. Returns the use, and whether this call redeemed
    /// it. Redeeming it again changes nothing. `None`: there is no such reservation on the host.
    ///
    /// This ends invites that were made before the reservation, even expired ones. After a
    /// registration, these are the invites of an earlier account of this name, and password resets
    /// for it. After a reset, these are the other resets for the account.
    ///
    /// `notify`: whether the one who is told of such a use ([`told_of`](crate::policy::told_of)) is
    /// to be told of this one.
    Write redeem(
        host: DomainPart,
        reservation: String,
        failed: Vec<String>,
        notify: bool,
        now: Timestamp
    ) -> Option<(Use, bool)>;

    /// Releases a reserved use of an invite to this host: its account was not made. `false`: there
    /// is no such reservation on the host.
    Write release(host: DomainPart, reservation: String) -> bool;

    /// The uses of an invite whose accounts did not get all that it grants; the newest first.
    Read shortfalls_of(id: InviteId, limit: u32) -> Vec<Shortfall>;

    /// The uses of all invites whose accounts did not get all that their invite grants, redeemed at
    /// this instant or later; the newest first.
    Read shortfalls_since(instant: Timestamp, limit: u32) -> Vec<Shortfall>;

    /// Open reservations of invites to these hosts, made by the hooks of these servers (host and
    /// id) up to and in the second of an instant. The hosts take turns, and so do the invites of a
    /// host, each with its oldest reservation first: a reservation that cannot be settled holds up
    /// no other host and no other invite. A reservation that is dated later than `now` counts as
    /// well, since a clock may have been set back.
    Read reserved_until(
        instant: Timestamp,
        now: Timestamp,
        hooks: Vec<(DomainPart, String)>,
        limit: u32
    ) -> Vec<(Use, Invite)>;

    /// Open reservations of any server, made up to an instant; the oldest first.
    Read open_since(instant: Timestamp, limit: u32) -> Vec<(Use, Invite)>;

    /// Releases every use that a server has reserved and not redeemed, and returns how many. Only
    /// for a server that is gone for good: nobody else knows whether the accounts were made.
    Write release_of_server(server: String, now: Timestamp) by actor -> u64;

    /// Open reservations to register this account.
    Read reserved_for(account: BareJid) -> Vec<(Use, Invite)>;

    /// The use of an invite by an account under a reservation whose name begins with `prefix`, if
    /// there is one, and whether it is redeemed.
    Read used_under(id: InviteId, account: BareJid, prefix: String) -> Option<((Use, Invite), bool)>;

    /// Whether a pending invite reserves this username.
    Read username_reserved(account: BareJid, now: Timestamp) -> bool;

    /// Revokes an invite. Returns it as it is then; `None` if there is none.
    Write revoke(id: InviteId, now: Timestamp) by actor -> Option<Invite>;

    /// Gives a pending invite another token. From then on, the old token does nothing, but uses
    /// that were reserved with it stay reserved. Returns the invite as it is then.
    Write regenerate(id: InviteId, token_hash: TokenHash, now: Timestamp) by actor -> Result<Invite, Refusal>;

    /// Changes an invite that is not revoked. If the change makes it pending again, it counts in
    /// the quota, and reserves its username, as a new invite does. Returns it as it is then.
    Write change(id: InviteId, change: Change, quota: Quota, now: Timestamp) by actor -> Result<Invite, Refusal>;

    /// Revokes every pending invite of an inviter, and returns how many there were.
    Write revoke_of_inviter(inviter: BareJid, now: Timestamp) by actor -> u64;

    /// Ends what a deleted account leaves behind. Revokes its invites and the password resets for
    /// it that were made before the deletion, redeems its open uses that were reserved before the
    /// deletion, and forgets who invited it. Returns how many invites ended.
    Write account_deleted(account: BareJid, deleted_at: Timestamp, now: Timestamp) by actor -> u64;

    /// Revokes the password resets for an account that were made before its password was
    /// changed. Returns how many there were.
    Write password_changed(account: BareJid, changed_at: Timestamp, now: Timestamp) by actor -> u64;

    /// Invites, the newest first.
    Read list(filter: Filter, limit: u32, now: Timestamp) -> Vec<Invite>;

    /// The invites that a user or an admin has made: the newest 50 that are pending, then the 20
    /// that ended last.
    Read list_of_inviter(inviter: BareJid, now: Timestamp) -> Vec<Invite>;

    /// The accounts that registered with an invite and still exist, and since when; the newest
    /// first, and those of an unknown age last.
    Read accounts_of(id: InviteId, limit: u32) -> Vec<(BareJid, Option<Timestamp>)>;

    /// When an account that registered with an invite did so, if that is known; `None` for every
    /// other account.
    Read registered_at(account: BareJid) -> Option<Timestamp>;

    /// By which invite an account came, and from whom; `None` if that is not known.
    Read origin(account: BareJid) -> Option<Branch>;

    /// Sends who invited whom: all, or the tree below the account `of`. Each account comes before
    /// those that it has invited. `deepest`: down to how many steps below a root.
    Snapshot tree(of: Option<BareJid>, deepest: usize, branches: Once<Branch>) -> ();

    /// Adds what another program, or another store, knows of invites ([`plan`]). Returns the
    /// outcome in numbers, and which items were skipped. What is there stays as it is, so importing
    /// it again changes nothing.
    ///
    /// [`plan`]: crate::import::plan::plan
    Write import(items: Arc<Vec<Item>>, now: Timestamp) by actor -> (Figures, Vec<(usize, Reason)>);

    /// What the store has of what these items are about.
    Snapshot known_of(items: Arc<Vec<Item>>, now: Timestamp) -> Known;

    /// The next invites after an id, some hundred, that were imported from a program for a host,
    /// are pending, and still have the token that they had there.
    Read pending_imported(
        host: DomainPart,
        program: Program,
        after: String,
        now: Timestamp
    ) -> Vec<(InviteId, TokenHash)>;

    /// Revokes those of these imported invites that are pending and still have the token that they
    /// had in the program that made them. Returns how many there were.
    Write revoke_imported(invites: Vec<InviteId>, now: Timestamp) by actor -> u64;

    /// Sends the invites that match a filter, their uses, and who invited whom on the filter's
    /// host. The filter's inviter is ignored.
    Snapshot export(filter: Filter, now: Timestamp, things: Once<Exported>) -> ();

    /// Notes that a link is to be withdrawn, before it is known whether it is stored. Unlike the
    /// commit that stores the link, this waits for no standby.
    Aside note_withdrawal(token_hash: TokenHash, now: Timestamp) -> ();

    /// Whether a link is stored that is to be withdrawn.
    Read has_withdrawals() -> bool;

    /// Withdraws links that are stored: `only` this one, or all that were noted. If the link is the
    /// first of its invite, the invite is removed. Otherwise the link before it is good again,
    /// unless the invite has a newer one.
    Write withdraw(only: Option<TokenHash>, now: Timestamp) by actor -> ();

    /// Removes the note of a link that never will be stored.
    Write drop_withdrawal(token_hash: TokenHash) -> ();

    /// Removes the notes from before an instant, whose links never were stored. Returns how many.
    Write purge_withdrawals(before: Timestamp) -> u64;

    /// Removes up to `limit` invites that ended before an instant, and returns how many. Who
    /// invited whom stays, and so do the hashes of their tokens.
    Write purge(ended_before: Timestamp, limit: u32, now: Timestamp) by actor -> u64;

    /// Notes that a limit of a host keeps somebody from making invites. The refusals of an hour are
    /// one event. Returns whether this is the first of them.
    Write refused(host: DomainPart, limit: String, now: Timestamp) by actor -> bool;

    /// Events after this place (an instant and an id), the oldest first.
    Read events(filter: EventFilter, after: (Timestamp, i64), limit: u32) -> Vec<Event>;

    /// The events that a daemon is yet to write to its log, the oldest first: what the command line
    /// did, and what was withdrawn.
    Read untold(limit: u32) -> Vec<Event>;

    /// Notes that an event is logged. `false`: another daemon has logged it.
    Write tell(event: Event) -> bool;

    /// Removes up to `limit` events from before an instant, the oldest first, and returns how many.
    Write purge_events(before: Timestamp, limit: u32) -> u64;

    /// Takes up to `limit` messages that are due to inviters on these hosts, at most one for each
    /// invite. No other daemon takes them before `until`. The first use of an invite for many is
    /// told at once. Later ones are told together, in messages at least an hour apart.
    Write claim_notices(
        hosts: Vec<DomainPart>,
        now: Timestamp,
        until: Timestamp,
        limit: u32
    ) -> Vec<Notice>;

    /// Removes a message to the inviter of an invite, which was sent at `told_at`; `None`: it never
    /// will be sent.
    Write end_notice(invite: InviteId, message: String, told_at: Option<Timestamp>) -> ();

    /// Removes the notices of the invites to these hosts. Returns how many uses they were of.
    Write drop_notices(hosts: Vec<DomainPart>) -> u64;

    /// How many uses the inviters are still to be told of.
    Read notices() -> u64;

    /// Writes that a daemon is at work `now` on a store of this lineage ([`Store::lineage`]).
    /// Returns what is known then of the clock and of the store. A step of more than `tolerance`,
    /// ahead or back, is a jump of the clock.
    Write seen(now: Timestamp, tolerance: Lifetime, lineage: Option<Lineage>) -> LastSeen;

    /// Writes that the store was filled from another one and that no daemon has been at work on
    /// what it holds now. `took_over_at`: since when it stands in for the other store, whose last
    /// invites it may lack; `None`: it has them all.
    Write filled(took_over_at: Option<Timestamp>) -> ();

    /// Reads the whole store and checks it. What is wrong with it is the error:
    /// [`Problem::Corrupt`].
    Snapshot verify() -> ();

    /// How many of a host's invites are pending among the next `size` after a place in the order of
    /// their age, and the place where this part ends, if more follow.
    Read pending_part(
        host: DomainPart,
        after: Option<Cursor>,
        size: u32,
        now: Timestamp
    ) -> (u64, Option<Cursor>);

    /// How many uses are reserved and not redeemed, for each host that has some.
    Read open_uses() -> Vec<(DomainPart, u64)>;

    /// How much the store holds.
    Read contents() -> Contents;

    /// Those settings of the PostgreSQL server that are off, so that a loss of power may lose what
    /// was acknowledged. A connection cannot turn them on for itself.
    Read unsafe_settings() -> Vec<String>;

    /// Whether a commit waits for a standby. Without one, a failover loses what was acknowledged
    /// last.
    Read is_synchronous() -> bool;

    /// What work on this PostgreSQL store has been waiting for, for longer than a second.
    Read waits() -> Option<Wait>;
}
