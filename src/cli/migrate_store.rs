//! `easy-invite migrate-store`: copies one store into another, of either kind.

use serde_json::json;

use super::context::{Context, control_place};
use super::input::wrong_usage;
use super::print::say;
use super::whole_store;
use crate::config::{self, Config};
use crate::control::Place;
use crate::store::{Store, StoreUrl};

/// Copy one store into another, of either kind
///
/// Stop the daemon first: changes that it makes meanwhile would be lost. FROM is not changed. TO is
/// made if it does not exist, and keeps what it holds already. If this command is interrupted, run
/// it again. It needs no configuration.
///
/// Other users of this machine can see the arguments while the command runs. So leave PostgreSQL's
/// password out of the URL, and put it into $PGPASSWORD or ~/.pgpass.
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
    if whole_store::same(&from, &to) {
        return Err(wrong_usage("FROM and TO are the same store"));
    }
    for place in places(&from, context) {
        whole_store::ensure_no_daemon(place, "stop it first, or what it changes meanwhile would be lost").await?;
    }
    for place in places(&to, context) {
        whole_store::ensure_no_daemon(place, "stop it first, or what it is doing would be undone").await?;
    }
    let source = whole_store::open_source(&from).await?;
    let target = Store::open(&to).await?;
    whole_store::copy(&source, &target).await?;
    let holds = whole_store::verified(&target).await?;
    let json = json!({"from": from.to_string(), "to": to.to_string(), "holds": holds});
    context.print(json, format_args!("{to} holds {holds}"))?;
    say("now set store.url to it in config.toml, and start the daemon; the other store is left as it is");
    Ok(())
}

/// Not parsed by clap, which would repeat a bad URL with its password.
fn url(name: &str, text: &str) -> anyhow::Result<StoreUrl> {
    text.parse().map_err(|error| wrong_usage(format!("{name}: {error}")))
}

/// The control sockets of daemons that may use the store: the one beside an SQLite file, and that
/// of the configuration, if it names this store.
fn places(url: &StoreUrl, context: &Context) -> Vec<Place> {
    let config = config::find(context.config_file.clone()).ok().and_then(|file| Config::read(file.as_deref()).ok());
    let configured = config.filter(|config| whole_store::same(&config.store, url)).map(|config| control_place(&config));
    let beside = match url {
        StoreUrl::Sqlite(file) => Some(Place { socket: config::default_socket(url), owned: file.clone() }),
        StoreUrl::Postgres(_) => None,
    };
    beside.into_iter().chain(configured).collect()
}
