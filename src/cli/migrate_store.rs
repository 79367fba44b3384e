//! `easy-invite migrate-store`: from one store to another.

use std::io::{self, Write};
use std::path::PathBuf;

use serde_json::json;

use super::context::Context;
use super::copying;
use super::input::wrong_usage;
use super::print::complain;
use crate::config::{self, Config};
use crate::store::{Store, StoreUrl};

/// Copy one store into another, of either kind
///
/// FROM stays as it is; TO is made where there is none. Stop the daemon first: what it changes
/// meanwhile would be lost. Cut short, it can be run again. What TO holds besides stays. No
/// configuration is needed.
///
/// Others on this machine see what is typed here, so a password is better not part of a URL:
/// PostgreSQL's is taken from $PGPASSWORD or ~/.pgpass as well.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  easy-invite migrate-store sqlite:/var/lib/easy-invite/easy-invite.db postgres://easy_invite@db.example.org/easy_invite
  easy-invite migrate-store postgres://easy_invite@localhost/easy_invite sqlite:easy-invite.db")]
pub struct Arguments {
    /// The store to read, as in store.url: sqlite:FILE or postgres://USER@HOST/DATABASE
    from: String,

    /// The store to fill
    to: String,
}

pub async fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    let (from, to) = (url("FROM", &arguments.from)?, url("TO", &arguments.to)?);
    if copying::same(&from, &to) {
        return Err(wrong_usage("FROM and TO are the same store"));
    }
    for socket in sockets(&from, context) {
        copying::ensure_no_daemon(&socket, "stop it first, what it changes meanwhile would be lost").await?;
    }
    for socket in sockets(&to, context) {
        copying::ensure_no_daemon(&socket, "stop it first, what it is just doing there would be undone").await?;
    }
    let source = copying::open_source(&from).await?;
    let target = Store::open(&to).await?;
    copying::copy(&source, &target).await?;
    let (contents, mut stdout) = (copying::verified(&target).await?, io::stdout().lock());
    match context.json {
        true => writeln!(
            stdout,
            "{}",
            json!({"from": from.to_string(), "to": to.to_string(), "holds": copying::as_json(contents)})
        )?,
        false => writeln!(stdout, "{to} holds {}", copying::described(contents))?,
    }
    complain("now set store.url to it in config.toml, and start the daemon; the other store is left as it is");
    Ok(())
}

/// Parsed here, since clap would repeat a text that it cannot use, and with it a password.
fn url(name: &str, text: &str) -> anyhow::Result<StoreUrl> {
    text.parse().map_err(|error| wrong_usage(format!("{name}: {error}")))
}

/// Where a daemon that works on the store may listen: beside the file, and where the configuration
/// says, if there is one.
fn sockets(url: &StoreUrl, context: &Context) -> Vec<PathBuf> {
    let config = config::find(context.config_file.clone()).ok().and_then(|file| Config::load(&file).ok());
    let configured = config.filter(|config| copying::same(&config.store, url)).map(|config| config.control_socket);
    let beside = match url {
        StoreUrl::Sqlite(_) => Some(config::beside(url)),
        StoreUrl::Postgres(_) => None,
    };
    beside.into_iter().chain(configured).collect()
}
