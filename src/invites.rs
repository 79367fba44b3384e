//! The service: everything that happens to invites, in terms of rules, store and chat server. The
//! edges (the XMPP component, the web pages, the command line) turn requests into these calls, and
//! outcomes into answers.
//!
//! One type, [`Invites`], with a file for each thing that happens:
//!
//! - `service`: what the others share
//! - `create`: an invite is made
//! - `lookup`: a token is presented, or an invite is named
//! - `reserve`: a use is reserved, for a registration, a password reset or a contact
//! - `settle`: a reservation ends; what became of those that were left open (`retries`: when to ask
//!   again)
//! - `accounts`: what is known of the accounts behind an invite (`looks`: or was a moment ago)
//! - `deletion`: an account is gone (`absences`: since when that is certain)
//! - `browser`: a registration without an XMPP client
//! - `manage`: invites are listed, shown, changed, revoked and removed
//! - `import`: what another program knows of invites is imported
//! - `notices`: who made an invite is told that it was used
//! - `counted`: all of this, in numbers
//! - `telling`: what the command line did is told in the daemon's log
//! - `withdraw`: whoever was told to try again later has no invite

mod absences;
mod accounts;
mod browser;
mod counted;
mod create;
mod deletion;
mod import;
mod looks;
mod lookup;
mod manage;
mod notices;
mod reserve;
mod retries;
mod service;
mod settle;
mod telling;
mod withdraw;

pub use browser::{BrowserRegistration, Registered};
pub use counted::Standing;
pub use create::Issued;
pub use import::{Outcome, Target, Told, import};
pub use lookup::Grant;
pub use manage::{By, Shown};
pub use reserve::{Admission, Registration};
pub use retries::Unsettled;
pub use service::{DEFAULT_AUDIT, DEFAULT_RETENTION, Error, Invites, Settings};
