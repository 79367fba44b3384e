//! easy-invite: invite-only registration for XMPP servers, as a component beside the server.
//!
//! The map of the crate; knowledge runs downwards, and no room knows a later one:
//!
//! - [`texts`]: the texts for people, in their languages. No I/O.
//! - [`lifetime`], [`refusal`], [`invite`], [`links`], [`policy`], [`limits`]: what an invite is
//!   and allows, and how much
//!   may be tried. No I/O.
//! - [`generate`]: the options of `easy-invite generate`, for the command line and the chat
//!   server's.
//! - [`files`]: files in folders of other users. [`store`]: where invites are kept.
//! - [`chat_server`]: what is asked of the chat server.
//! - [`invites`]: the service: make, present, reserve, redeem, release, revoke, list.
//! - [`invite_json`]: an invite as scripts see it.
//! - [`xmpp`]: the component; [`web`]: the pages; [`control`]: the daemon's socket for the command
//!   line.
//! - [`config`], [`cli`]: what the operator writes and types.
#![forbid(unsafe_code)]
#![warn(missing_docs)]
// Nothing that comes from outside may end the program.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unreachable)
)]

pub mod chat_server;
pub mod cli;
pub mod config;
pub mod control;
pub mod files;
pub mod generate;
pub mod invite;
pub mod invite_json;
pub mod invites;
pub mod lifetime;
pub mod limits;
pub mod links;
pub mod policy;
mod qr;
pub mod refusal;
pub mod secret;
pub mod store;
pub mod texts;
pub mod web;
pub mod xmpp;
