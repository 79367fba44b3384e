//! The component (XEP-0114): connects to the chat server, serves the stream, and reconnects, as
//! long as the daemon runs.

mod chat;
mod command;
mod contact;
mod disco;
mod form;
mod framing;
mod gate;
mod hook;
mod in_flight;
mod message;
mod router;
mod serve;
mod stanza;
mod stanza_error;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jid::DomainPart;
use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::chat_server::{Link, NoAnswer, Questions};
use crate::invites::Invites;
use crate::jids;
use crate::secret::Secret;
use crate::systemd::Watchdog;
use chat::Chats;
use command::Sessions;
use contact::Readers;
use router::Router;
use serve::serve;
use wire::LoginError;

/// The first wait before the daemon reconnects. It doubles up to [`MAX_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// The longest wait before the daemon reconnects. An operator who restarts the chat server should
/// not have to wait for the daemon.
const MAX_WAIT: Duration = Duration::from_secs(15);

/// After a session that lasted this long, the daemon reconnects at once.
const GOOD_SESSION: Duration = Duration::from_secs(10);

/// How to reach the chat server.
#[derive(Clone, Debug)]
pub struct Config {
    /// The component's JID: a domain.
    pub jid: DomainPart,
    /// The host and port of the chat server's component listener.
    pub server: String,
    /// The secret that the component shares with the chat server.
    pub secret: Secret,
    /// Where the secret was found, for the operator who has to change it.
    pub secret_source: String,
}

/// Runs the component until `stop` is cancelled. Then answers the requests in flight, closes the
/// stream and returns.
///
/// Each request gets the newest value of `invites`. `link` is told how the connection stands.
/// `connect` ends the wait before the next attempt to connect. The watchdog is fed throughout.
pub async fn run(
    config: Config,
    invites: watch::Receiver<Invites>,
    mut questions: Questions,
    link: watch::Sender<Link>,
    connect: Arc<Notify>,
    mut watchdog: Watchdog,
    stop: CancellationToken,
) {
    let router = router(&config, &invites);
    let component = config.jid.as_str();
    let mut wait = FIRST_WAIT;
    loop {
        let connecting = wire::connect(&config.server, component, config.secret.reveal());
        let why = "not connected to the chat server";
        let Some(login) = while_offline(connecting, &mut questions, why, &mut watchdog, &stop).await else { return };
        let problem = match login {
            Err(error) => what_to_change(&error, &config),
            Ok(wire) => {
                tracing::info!(jid = component, server = config.server, "component session established");
                link.send_replace(Link::Connected);
                let since = Instant::now();
                let ended = serve(wire, &router, &mut questions, &mut watchdog, &stop).await;
                invites.borrow().disconnected();
                let Err(reason) = ended else { return };
                if since.elapsed() >= GOOD_SESSION {
                    wait = Duration::ZERO;
                }
                format!("the connection to the chat server was lost: {reason}")
            }
        };
        tracing::warn!("{problem}");
        let pause = wait.mul_f64(0.75 + rand::random::<f64>() / 2.0);
        let again_at = invites.borrow().now().saturating_add(pause).unwrap_or(Timestamp::MAX);
        link.send_replace(Link::Down { problem: problem.clone(), again_at });
        let pause = timeout(pause, connect.notified());
        let Some(ended) = while_offline(pause, &mut questions, &problem, &mut watchdog, &stop).await else { return };
        // If `connect` ended the pause, somebody is waiting: keep the next pauses short.
        wait = if ended.is_ok() { FIRST_WAIT } else { (wait * 2).clamp(FIRST_WAIT, MAX_WAIT) };
    }
}

/// Logs in over an open connection, and serves it until it ends or `stop` is cancelled, as [`run`]
/// does with each connection. Returns how it ended, in words.
pub async fn serve_connection(
    reader: impl AsyncRead + Unpin,
    writer: impl AsyncWrite + Unpin,
    config: &Config,
    invites: &watch::Receiver<Invites>,
    questions: &mut Questions,
    stop: &CancellationToken,
) -> String {
    match wire::login(reader, writer, config.jid.as_str(), config.secret.reveal()).await {
        Err(error) => what_to_change(&error, config),
        Ok(wire) => match serve(wire, &router(config, invites), questions, &mut Watchdog::none(), stop).await {
            Ok(()) => "stopped".to_owned(),
            Err(reason) => reason,
        },
    }
}

fn router(config: &Config, invites: &watch::Receiver<Invites>) -> Arc<Router> {
    Arc::new(Router {
        component: config.jid.clone(),
        invites: invites.clone(),
        sessions: Sessions::default(),
        chats: Chats::default(),
        readers: Readers::default(),
    })
}

/// Waits for `work` while there is no connection, so each question fails with `why`. Returns `None`
/// if `stop` is cancelled.
async fn while_offline<T>(
    work: impl Future<Output = T>,
    questions: &mut Questions,
    why: &str,
    watchdog: &mut Watchdog,
    stop: &CancellationToken,
) -> Option<T> {
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return Some(done),
            Some(question) = questions.recv() => question.ask.fail(NoAnswer::Unreachable(why.to_owned())),
            () = watchdog.due() => (),
            () = stop.cancelled() => return None,
        }
    }
}

/// Why a login failed, and what the operator can change.
fn what_to_change(error: &LoginError, config: &Config) -> String {
    let (jid, server) = (&config.jid, &config.server);
    match error {
        LoginError::Refused(error) if error.condition == "not-authorized" => format!(
            "the chat server refused the secret of {jid}: make {} equal to component_secret of Component \"{jid}\" \
             there",
            config.secret_source
        ),
        LoginError::Refused(error) if error.condition == "host-unknown" => format!(
            "the chat server does not know the component {jid}: add Component {} with component_secret to its \
             configuration and restart it, or correct component.jid here",
            jids::spelling(jid)
        ),
        LoginError::Refused(error) if error.condition == "conflict" => format!(
            "the chat server says that {jid} is connected already: end the other daemon; after a crash this passes \
             by itself"
        ),
        LoginError::Io(error) => {
            let is_here = server.starts_with("localhost:")
                || server.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_loopback());
            let elsewhere = ", which listens for other machines and containers only with component_interfaces";
            format!(
                "the chat server cannot be reached at {server}: {error} (does it run? component.server is the \
                 address of its component port, 5347 with Prosody{})",
                if is_here { "" } else { elsewhere }
            )
        }
        other => format!("{server} did not let the component {jid} in: {other}"),
    }
}
