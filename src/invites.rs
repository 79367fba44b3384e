//! The service: everything that happens to invites. It applies the rules, and uses the store and
//! the chat server. The edges (the XMPP component, the web pages, the command line) turn requests
//! into calls of the service, and its outcomes into answers.
//!
//! One type, [`Invites`], with a file for each thing that happens:
//!
//! - `service`: what the others share
//! - `create`: an invite is made
//! - `lookup`: a token is presented, or an invite is named
//! - `reserve`: a use is reserved, for a registration, a password reset or a contact
//! - `settle`: a reservation ends, or the daemon finds out how it ended (`retries`: when to ask
//!   again)
//! - `accounts`: what the chat server knows of the accounts behind an invite (`account_cache`: or
//!   knew a moment ago)
//! - `deletion`: an account is deleted (`absences`: when that is certain)
//! - `browser`: somebody registers without an XMPP client
//! - `manage`: invites are listed, shown, changed, revoked and purged
//! - `import`: invites of another program are imported
//! - `notices`: inviters are told that their invites were used
//! - `counted`: all of this in numbers
//! - `telling`: the daemon logs what the command line did, and what was withdrawn
//! - `withdraw`: a link is withdrawn if the user who asked for it was told to try again later

mod absences;
mod account_cache;
mod accounts;
mod browser;
mod counted;
mod create;
mod deletion;
mod import;
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
