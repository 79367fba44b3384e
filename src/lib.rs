//! easy-invite: invite-only registration for XMPP servers, as a component beside the server.
//!
//! The map of the crate. A room uses the rooms above it, never those below or beside it.
//!
//! - `names`: which names deceive. `jids`: JIDs as people write them. [`texts`]: the texts for
//!   people, in their languages. No I/O.
//! - [`secret`], [`lifetime`], [`last_seen`], [`invite`], [`refusal`], [`links`], [`policy`],
//!   [`password`], [`limits`]: what an invite is and allows, why a request is refused, what a
//!   password must be, and how much may be tried. No I/O.
//! - [`event`]: what the log of events tells. No I/O.
//! - [`generate`]: the options that describe a new invite, in the command lines of the daemon and
//!   the chat server. No I/O.
//! - [`meaning`]: what a configuration means, to compare two. No I/O. [`systemd`]: the service
//!   manager.
//! - `counters`: what happened, counted for a monitoring system. No I/O.
//! - [`files`]: files in folders of other users. [`database`]: which SQL database, and reaching it.
//! - [`import`]: what other programs know of invites.
//! - [`store`]: where invites are kept.
//! - [`chat_server`]: the questions to the chat server. [`fields`]: what it asks newcomers.
//! - [`prosody_module`]: the module for Prosody that belongs to this version. No I/O.
//! - [`invites`]: the service: make, look up, reserve, redeem, release, settle, revoke and list.
//! - [`commands`]: what users run from their chat apps: forms, and what comes of them.
//! - [`health`]: whether the daemon can do its work, in words; no I/O. [`lookout`]: finds out.
//! - `qr`: QR codes. [`invite_json`]: an invite as scripts see it. [`export`]: the lines of
//!   an export.
//! - [`words`]: the words of people in a chat. No I/O.
//! - [`http_server`]: connections of HTTP.
//! - The edges: [`xmpp`], the component; [`web`], the pages; [`metrics`], what a monitoring system
//!   asks; [`control`], the socket on which the daemon answers the command line.
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
pub mod commands;
pub mod config;
pub mod control;
mod counters;
pub mod database;
pub mod event;
pub mod export;
pub mod fields;
pub mod files;
pub mod generate;
pub mod health;
pub mod http_server;
pub mod import;
pub mod invite;
pub mod invite_json;
pub mod invites;
pub mod jids;
pub mod last_seen;
pub mod lifetime;
pub mod limits;
pub mod links;
pub mod lookout;
pub mod meaning;
pub mod metrics;
mod names;
pub mod password;
pub mod policy;
pub mod prosody_module;
mod qr;
pub mod refusal;
pub mod secret;
pub mod store;
pub mod systemd;
pub mod texts;
pub mod web;
pub mod words;
pub mod xmpp;
