//! The SQL statements, in one text for both engines. Work that writes runs in one transaction. If
//! the transaction is lost, the work may run again.
//!
//! PostgreSQL runs them at READ COMMITTED. Transactions that must not run at the same time are kept
//! apart by a row that both change (a use is taken by the UPDATE that proves that one is left), or
//! by a lock on a name.

mod account;
mod change;
mod count;
mod event;
mod export;
mod import;
mod insert;
mod invite;
mod invite_use;
mod last_seen;
mod notice;
mod of_inviter;
mod row_lock;
mod tree;
mod whole;
mod withdrawal;

pub use account::{Forgotten, account_deleted, accounts_of, forget, password_changed, registered_at};
pub use change::{change, regenerate};
pub use count::{Cursor, open_uses, pending_part};
pub use event::{EventFilter, events, purge_events, refused, tell, untold};
pub use export::{Exported, Redeemed, export};
pub use import::{import, known_of, pending_imported, revoke_imported};
pub use insert::{Quota, insert, is_within};
pub use invite::{
    Filter, Past, find, find_by_id, has_tokens_of, list, past, purge, revoke, revoke_of_inviter, short_tokens,
    username_reserved,
};
pub use invite_use::{
    Claim, Shortfall, open_since, redeem, redeemed_by, release, release_of_server, reserve, reserved_for,
    reserved_until, shortfalls_of, shortfalls_since, used_under,
};
pub use last_seen::{filled, seen, took_over_at};
pub use notice::{Notice, claim_notices, drop_notices, end_notice, notices};
pub use of_inviter::list_of_inviter;
pub use row_lock::lock_invites;
pub use tree::{Branch, origin, tree};
pub use whole::{Contents, Wait, contents, is_synchronous, unsafe_settings, verify, wait_of, waits};
pub use withdrawal::{drop_withdrawal, has_withdrawals, note_withdrawal, purge_withdrawals, withdraw};
