//! What commands work with: the configuration, the store, and the service over it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jid::DomainPart;
use jiff::Timestamp;
use nix::unistd::{User, getuid};
use serde::Serialize;

use super::print::say;
use crate::chat_server::ChatServer;
use crate::config::{self, Config};
use crate::control::{Daemon, Place};
use crate::event::Actor;
use crate::invites::Invites;
use crate::store::{Store, StoreUrl};
use crate::texts::Languages;

/// The options that every command takes.
#[derive(Debug)]
pub struct Context {
    /// `--config`, if it was given.
    pub config_file: Option<PathBuf>,
    /// `--json`.
    pub json: bool,
}

impl Context {
    /// The configuration. If it is in the working directory and hides the one in /etc, a message
    /// says so.
    ///
    /// # Errors
    /// If there is none, or it cannot be used.
    pub fn config(&self) -> anyhow::Result<Config> {
        let named = self.config_file.clone();
        if let Some(other) = config::shadowed(named.as_deref()) {
            let [here, other] = [Path::new(config::USUAL_FILES[0]), &other].map(Path::display);
            say(format_args!("{here} in this folder is used, not {other}: --config {other} uses that"));
        }
        Ok(Config::read(config::find(named)?.as_deref())?)
    }

    /// The configured store, which must exist, and the service over it. Accounts are looked up
    /// through the running daemon.
    ///
    /// # Errors
    /// If the configuration or the store cannot be used.
    pub async fn open_existing(&self) -> anyhow::Result<(Store, Invites)> {
        let config = self.config()?;
        let store = Store::open_existing(&config.store).await?.by(operator());
        Ok((store.clone(), service_beside_daemon(store, &config)))
    }

    /// The service over the configured store, which is made if there is none yet.
    ///
    /// # Errors
    /// If the configuration or the store cannot be used.
    pub async fn open_or_make(&self) -> anyhow::Result<Invites> {
        let config = self.config()?;
        Ok(service_beside_daemon(Store::open(&config.store).await?.by(operator()), &config))
    }

    /// Prints a result on stdout: one line of JSON for scripts, or `text` for people.
    ///
    /// # Errors
    /// If stdout takes no more.
    pub fn print(&self, json: impl Serialize, text: impl std::fmt::Display) -> anyhow::Result<()> {
        match self.json {
            true => writeln!(io::stdout(), "{}", serde_json::to_string(&json)?)?,
            false => writeln!(io::stdout(), "{text}")?,
        }
        Ok(())
    }
}

/// The service over a store, as configured, with the machine's clock.
pub fn service(store: Store, config: &Config, chat_server: ChatServer) -> Invites {
    Invites::new(store, config.settings(Arc::new(Languages::built_in())), chat_server, now)
}

fn service_beside_daemon(store: Store, config: &Config) -> Invites {
    service(store, config, Daemon::at(control_place(config)).chat_server())
}

/// The control socket of the daemon that has this configuration.
pub fn control_place(config: &Config) -> Place {
    let owned = match &config.store {
        StoreUrl::Sqlite(file) => file.clone(),
        StoreUrl::Postgres(_) => config.file.clone().unwrap_or_else(|| config::DATA_FOLDER.into()),
    };
    Place { socket: config.control_socket.clone(), owned }
}

/// The user who typed the command: the one who called sudo, or else the one of this process.
pub fn operator() -> Actor {
    let user = getuid();
    let caller = std::env::var("SUDO_USER").ok().filter(|name| user.is_root() && !name.is_empty());
    let own_name = || User::from_uid(user).ok().flatten().map(|user| user.name);
    Actor::cli(&caller.or_else(own_name).unwrap_or_else(|| user.to_string()))
}

/// The present instant.
#[expect(clippy::disallowed_methods, reason = "this is where the clock comes from")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// The served host that an argument names.
///
/// # Errors
/// If it is not served.
pub fn served_host(invites: &Invites, host: &DomainPart) -> anyhow::Result<DomainPart> {
    match invites.policy(host.as_str()) {
        Ok((host, _)) => Ok(host.clone()),
        Err(refusal) => {
            let served: Vec<&str> = invites.hosts().map(|host| host.as_str()).collect();
            Err(anyhow::anyhow!("{refusal}: it serves {}", served.join(", ")))
        }
    }
}
