//! How a connection to PostgreSQL comes about: each host in its turn, encrypted or not as `sslmode` says.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use deadpool_postgres::Connect;
use futures::future::{BoxFuture, FutureExt};
use rand::seq::SliceRandom;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::config::{Host, LoadBalanceHosts, SslMode};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, Error};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::postgres_url::PostgresUrl;

/// Makes connections for a pool.
pub struct Connector {
    /// One for each host.
    hosts: Vec<Config>,
    attempts: &'static [SslMode],
    tls: MakeRustlsConnect,
    /// How long one host is tried where there are others.
    patience: Duration,
}

impl Connector {
    /// `patience`: how long all hosts are tried. `silence`: how long a connection may be silent before it counts as lost.
    pub fn new(url: &PostgresUrl, patience: Duration, silence: Duration) -> Result<Self, String> {
        let mut hosts = url.of_each_host();
        let patience = patience / u32::try_from(hosts.len().max(1)).unwrap_or(u32::MAX);
        for config in &mut hosts {
            config.connect_timeout(patience).tcp_user_timeout(silence);
            config.keepalives_idle(silence).keepalives_interval(silence / 4).keepalives_retries(3);
        }
        let tls = MakeRustlsConnect::new(url.tls().client()?);
        Ok(Connector { hosts, attempts: url.tls().attempts(), tls, patience })
    }

    async fn connect(&self) -> Result<(Client, JoinHandle<()>), Error> {
        let mut hosts: Vec<_> = self.hosts.iter().collect();
        if hosts.iter().any(|config| config.get_load_balance_hosts() == LoadBalanceHosts::Random) {
            hosts.shuffle(&mut rand::rng());
        }
        // The last one is waited for as long as the pool waits.
        let Some((last, others)) = hosts.split_last() else { return Err(Error::__private_api_timeout()) };
        for config in others {
            match timeout(self.patience, self.connect_to(config)).await {
                Ok(Ok(connected)) => return Ok(connected),
                // A server that is there and lets nobody in would not be the wrong one.
                Ok(Err(error)) if error.code().is_some_and(|code| code.code().starts_with("28")) => return Err(error),
                Ok(Err(error)) => tracing::debug!(%error, "trying the next host"),
                Err(_) => tracing::debug!("no answer in time: trying the next host"),
            }
        }
        self.connect_to(last).await
    }

    async fn connect_to(&self, config: &Config) -> Result<(Client, JoinHandle<()>), Error> {
        let attempts = match config.get_hosts() {
            // It stays on this machine, as with libpq.
            [Host::Unix(_)] => &[SslMode::Disable],
            _ => self.attempts,
        };
        let (mut config, mut attempts) = (config.clone(), attempts.iter().peekable());
        loop {
            config.ssl_mode(attempts.next().copied().unwrap_or(SslMode::Disable));
            let (client, connection) = match config.connect(self.tls.clone()).await {
                Ok(connected) => connected,
                // pg_hba.conf says "hostssl" or "hostnossl", or the two do not agree on how to encrypt.
                Err(error) if attempts.peek().is_some() && refuses_encryption_or_its_lack(&error) => continue,
                Err(error) => return Err(error),
            };
            let running = tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection ended");
                }
            });
            return Ok((client, running));
        }
    }
}

impl Connect for Connector {
    fn connect(&self, _: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), Error>> {
        self.connect().boxed()
    }
}

fn refuses_encryption_or_its_lack(error: &Error) -> bool {
    error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION) || of_tls(error).is_some()
}

/// The error of TLS in an error of the library, if it is one.
pub fn of_tls(error: &Error) -> Option<&rustls::Error> {
    error.source()?.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref()
}
