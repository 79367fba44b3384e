//! `easy-invite run`: the daemon. It opens everything, starts the component, the web pages and the
//! control socket, and does what is due from time to time.

mod reload;

use std::process::exit;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;

use self::reload::{Served, build, router};
use super::context::{Context, control_place, now};
use crate::chat_server::{ChatServer, Link};
use crate::config::{Config, ConfigError, NoConfig};
use crate::control::{self, Listener, Sources};
use crate::health::Health;
use crate::invites::Invites;
use crate::lookout::{self, lookout};
use crate::password;
use crate::store::{Problem, Store, StoreError, StoreUrl};
use crate::systemd::{self, Watchdog};
use crate::web::BadBranding;
use crate::{http_server, metrics, web, xmpp};

/// How often open reservations are settled, and how old they must be: a registration that goes well
/// takes far less.
const SETTLE_EVERY: Duration = Duration::from_secs(10);
const SETTLE_AFTER: SignedDuration = SignedDuration::from_secs(10);

/// How often the daemon writes to its log what the command line did since.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// How often the daemon looks for links that another daemon gave to nobody before it ended, and
/// withdraws them.
const WITHDRAW_EVERY: Duration = Duration::from_secs(2);

/// How often the daemon looks for messages to inviters that are due. After a use that this daemon
/// redeems, it looks at once.
const NOTIFY_EVERY: Duration = Duration::from_secs(5);

/// How often invites that ended long ago are removed.
const PURGE_EVERY: Duration = Duration::from_secs(60 * 60);

/// The pause before another try to reach a database server, which may start after the daemon.
const OPEN_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// How long the service manager waits at most until it is known whether the chat server is there.
/// The chat server may start after the daemon.
const READY_WITHIN: Duration = Duration::from_secs(5);

/// The exit code after a second signal, when requests in flight were cut short.
const CUT_SHORT: i32 = 1;

/// Run the daemon, until SIGTERM or Ctrl-C
///
/// The daemon connects to the chat server as a component, and answers the module's questions and
/// users' commands. When it loses the connection, it reconnects. It stays in the foreground and
/// logs to stderr, as service managers expect. $EASY_INVITE_LOG sets how much it logs ("debug",
/// "easy_invite=debug"). After SIGTERM, it answers the requests in flight and exits. After a second
/// signal, it exits at once.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: easy-invite run --config /etc/easy-invite/config.toml")]
pub struct Arguments {}

/// Why the daemon cannot run until the operator changes something: the configuration, a template,
/// the store, or the version of easy-invite. Any other failure may pass by itself.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
pub struct Hopeless(pub anyhow::Error);

pub async fn run(Arguments {}: Arguments, context: &Context) -> anyhow::Result<()> {
    run_until_stopped(context).await.map_err(|error| if is_hopeless(&error) { Hopeless(error).into() } else { error })
}

fn is_hopeless(error: &anyhow::Error) -> bool {
    let of_store = |error: &StoreError| matches!(error.problem, Problem::Foreign | Problem::Schema(..));
    let unusable = error.is::<NoConfig>() || error.is::<ConfigError>() || error.is::<BadBranding>();
    unusable || error.downcast_ref::<StoreError>().is_some_and(of_store)
}

async fn run_until_stopped(context: &Context) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let hangup = signal(SignalKind::hangup())?;
    tokio::spawn(stop_on_signals(signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, stop.clone()));

    let config = context.config()?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let component = config.xmpp()?;
    let Some(store) = stop.run_until_cancelled(open(&config.store)).await else { return Ok(()) };
    let store = store?;
    let listener = Listener::bind(&control_place(&config))?;
    let (chat_server, questions) = ChatServer::channel();
    let (settings, pages) = build(&config)?;
    let invites = Invites::new(store, settings, chat_server.clone(), now);
    let (router, routed) = router(&config, &invites, pages).map(watch::channel).unzip();
    let web_pages = match (&config.web, routed) {
        (Some(web), Some(routed)) => {
            let listener = http_server::open(web::ENDPOINT, web.listen).await?;
            tracing::info!(listen = %web.listen, "the web pages are served");
            Some((listener, routed))
        }
        _ => None,
    };
    let metrics_listener = match &config.metrics {
        Some(metrics) => {
            if let Some(warning) = metrics.warning() {
                tracing::warn!("{warning}");
            }
            let listener = http_server::open(metrics::ENDPOINT, metrics.listen).await?;
            tracing::info!(listen = %metrics.listen, "the metrics server is open");
            Some(listener)
        }
        None => None,
    };
    password::prepare();
    announce(&config);
    let (sender, current) = watch::channel(invites.clone());
    let (meaning, meaning_in_force) = watch::channel(config.meaning());
    let (fresh, is_fresh) = watch::channel(Ok(()));

    let (link_sender, link) = watch::channel(Link::Connecting);
    let unsettled = {
        let invites = invites.clone();
        Arc::new(move || invites.unsettled())
    };
    let connect = Arc::new(Notify::new());
    let facts = lookout::Sources {
        invites: current.clone(),
        link: link.clone(),
        connect: Arc::clone(&connect),
        config: is_fresh,
    };
    let (lookout, look) = lookout(facts);
    let looking = tokio::spawn(look);
    let health = lookout.health.clone();
    let sources = Sources { chat_server, lookout, unsettled, meaning: meaning_in_force };
    let control_server = tokio::spawn(control::serve(listener, sources, stop.clone()));
    tokio::spawn(Served { config, invites: sender, router, meaning, fresh }.watch(hangup));
    tokio::spawn(tell_manager(link, health.clone()));
    let housekeeping = tokio::spawn(stop.clone().run_until_cancelled_owned(keep_house(current.clone())));
    let notifying = tokio::spawn(stop.clone().run_until_cancelled_owned(keep_notifying(current.clone())));
    let web_server = web_pages.map(|(listener, router)| {
        tokio::spawn(http_server::serve(web::ENDPOINT, listener, router, web::correct_uri, stop.clone()))
    });
    let metrics_server = metrics_listener.map(|listener| {
        let (router, counting) = metrics::server(current.clone(), health);
        tokio::spawn(stop.clone().run_until_cancelled_owned(counting));
        let router = watch::channel(router).1;
        tokio::spawn(http_server::serve(metrics::ENDPOINT, listener, router, |_| (), stop.clone()))
    });
    let watchdog = Watchdog::from_environment();
    let component =
        tokio::spawn(xmpp::run(component, current, questions, link_sender, connect, watchdog, stop.clone()));

    // The component ends when it is told to. If it fails, the daemon is of no use.
    let ended = component.await;
    anyhow::ensure!(stop.is_cancelled() && ended.is_ok(), "the component ended unexpectedly");
    looking.abort();
    control_server.await?;
    housekeeping.await?;
    notifying.await?;
    for server in [web_server, metrics_server].into_iter().flatten() {
        server.await?;
    }
    tracing::info!("easy-invite stopped");
    Ok(())
}

/// Opens the store. Waits for a database server that cannot be reached.
async fn open(url: &StoreUrl) -> Result<Store, StoreError> {
    loop {
        match Store::open(url).await {
            Err(error @ StoreError { problem: Problem::Unreachable(_), .. }) => {
                tracing::warn!("{error}; trying again");
                systemd::status(&error.to_string());
            }
            result => return result,
        }
        tokio::time::sleep(OPEN_AGAIN_AFTER).await;
    }
}

/// Tells the service manager that the daemon is ready, as soon as it is known whether the chat
/// server is there, and then each change of its health.
async fn tell_manager(mut link: watch::Receiver<Link>, mut health: watch::Receiver<Health>) {
    systemd::status(&health.borrow().to_string());
    drop(timeout(READY_WITHIN, link.wait_for(|link| *link != Link::Connecting)).await);
    systemd::ready();
    loop {
        systemd::status(&health.borrow_and_update().to_string());
        if health.changed().await.is_err() {
            return;
        }
    }
}

fn announce(config: &Config) {
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        component = %config.component,
        hosts = config.host_names(),
        store = %config.store,
        "easy-invite starts"
    );
}

async fn stop_on_signals(mut terminate: Signal, mut interrupt: Signal, stop: CancellationToken) {
    let mut next = async || {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    };
    // Awaited before the log line: its arguments are evaluated only if the line is logged.
    let first = next().await;
    tracing::info!("{first}: stopping");
    systemd::stopping();
    stop.cancel();
    let second = next().await;
    tracing::warn!("{second}: stopping at once");
    exit(CUT_SHORT);
}

/// Tells inviters that their invites were used.
async fn keep_notifying(invites: watch::Receiver<Invites>) {
    loop {
        let invites = invites.borrow().clone();
        match invites.tell_inviters().await {
            Ok(true) => continue,
            Ok(false) => (),
            Err(error) => tracing::debug!(%error, "inviters cannot be told now"),
        }
        drop(timeout(NOTIFY_EVERY, invites.wait_for_use()).await);
    }
}

/// Settles open reservations, withdraws links and removes old invites, from time to time.
async fn keep_house(invites: watch::Receiver<Invites>) {
    let every = |period, first| {
        let mut interval = interval_at(first, period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        interval
    };
    let mut settle = every(SETTLE_EVERY, Instant::now() + SETTLE_EVERY);
    let mut purge = every(PURGE_EVERY, Instant::now());
    let mut tell = every(TELL_EVERY, Instant::now() + TELL_EVERY);
    let mut withdraw = every(WITHDRAW_EVERY, Instant::now());
    let current = || invites.borrow().clone();
    let mut failing = false;
    loop {
        tokio::select! {
            _ = settle.tick() => {
                let settled = current().settle_open(SETTLE_AFTER).await;
                match &settled {
                    Ok(0) => (),
                    Ok(settled) => tracing::info!(settled, "reservations of unknown outcome settled"),
                    Err(_) if failing => (), // said already
                    Err(error) => tracing::error!(%error, "reservations of unknown outcome could not be settled"),
                }
                failing = settled.is_err();
            }
            _ = tell.tick() => if let Err(error) = current().tell().await {
                tracing::debug!(%error, "what the command line did cannot be told now");
            },
            _ = withdraw.tick() => if let Err(error) = current().withdraw().await {
                tracing::debug!(%error, "links that nobody was given cannot be withdrawn now");
            },
            _ = purge.tick() => match current().purge().await {
                Ok(Ok(0)) => (),
                Ok(Ok(purged)) => tracing::info!(purged, "invites that ended long ago removed"),
                Ok(Err(seen)) => tracing::warn!("{seen}"),
                Err(error) => tracing::error!(%error, "invites that ended long ago could not be removed"),
            },
        }
    }
}
