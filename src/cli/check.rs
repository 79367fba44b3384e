//! `easy-invite check`: looks at the configuration, the store, the web pages, the component and the
//! hooks.

mod report;
mod store;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use jid::DomainPart;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::report::{Found, Report};
use self::store::report_store;
use super::context::{Context, control_place, service};
use super::hook::explained;
use crate::chat_server::{Answer, ChatServer, Link, NoAnswer};
use crate::config::Config;
use crate::control::Daemon;
use crate::health::{Health, Part};
use crate::http_server::Endpoint;
use crate::invite::Purpose;
use crate::policy::HostPolicy;
use crate::prosody_module::{described, problems};
use crate::store::{Problem, Store, StoreError};
use crate::systemd::Watchdog;
use crate::{http_server, metrics, web, xmpp};

/// How long to wait for the chat server to accept the component or to refuse it.
const LINK_TIMEOUT: Duration = Duration::from_secs(10);

/// Why no hook is asked.
const NOT_CONNECTED: &str = "not tried: the component is not connected";

/// How many hooks are asked at a time.
const HOOKS_AT_A_TIME: usize = 16;

/// Check the configuration, the daemon, the store, the web pages, the component and the hooks
///
/// Prints a line for each part: the configuration, the running daemon, the store (all of it is
/// read), the web pages (each is rendered once), the component's connection to the chat server, and
/// the hook of each host. A line with FAILED says what to do, and the exit code is 1. A line with
/// WARN names something that works but needs attention: a PostgreSQL server that does not wait for
/// its disk or its standby, or that is down or not used; uses that stay reserved; a certificate
/// that Prosody lacks or that clients reject; accounts that the chat server cannot make; grants of
/// an invite that the chat server could not give; imported invites with a short token; the name of
/// an admin that has no account; or options of Prosody that no longer have an effect. The running
/// daemon tests each part again. If no daemon runs, this command tries the parts by itself: "tried"
/// means that it found nothing wrong, but that the daemon's result may differ.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: easy-invite check --json")]
pub struct Arguments {}

pub async fn run(Arguments {}: Arguments, context: &Context) -> anyhow::Result<()> {
    let mut report = Report::new(context);
    let config = match context.config() {
        Ok(config) => config,
        Err(error) => {
            report.line("config", None, Found::Failed(error.to_string()))?;
            return report.end();
        }
    };
    let daemon = Daemon::at(control_place(&config));
    let health = daemon.health().await;
    let answered = health.as_ref().ok().and_then(Option::as_ref);
    let problem = |part: &Part| answered.and_then(|health| health.problem(part)).map(str::to_owned);
    report.answered = answered.is_some();
    // The daemon may not have noticed a change of the file yet.
    let in_force = if answered.is_some() { daemon.meaning().await.ok() } else { None };
    let stale = in_force.and_then(|meaning| config.stale(&meaning.differences(&config.meaning())));
    let mut usable = stale.or(problem(&Part::Config)).map_or(Ok(()), Err);
    if let Ok(None) = health {
        // A running daemon has its secret. If none runs, this command needs it.
        usable = config.xmpp().map(drop).map_err(|error| error.to_string());
    }
    report.line("config", None, usable.map(|()| config.source()))?;
    for warning in &config.warnings {
        report.warn("config", None, warning)?;
    }
    let store = Store::open_existing(&config.store).await;
    report.line("daemon", None, daemon_found(&config, &health, store.as_ref().err()))?;
    let verified = match &store {
        Ok(store) => store.verify().await,
        Err(error) => Err(error.clone()),
    };
    let verified = verified.map_err(|error| error.to_string());
    let writable = problem(&Part::Store).map_or(Ok(()), Err);
    report.line("store", None, verified.and(writable).map(|()| &config.store))?;
    if let Ok(store) = &store {
        report_store(&mut report, store).await?;
    }

    if let Some(web) = &config.web {
        report.line("web", None, web_found(web, !matches!(health, Ok(None))).await)?;
    }
    if let Some(metrics) = &config.metrics {
        report.line("metrics", None, metrics_found(metrics, !matches!(health, Ok(None))).await)?;
    }

    match (&health, config.xmpp(), store) {
        (Ok(Some(health)), ..) => {
            let connected = problem(&Part::Component).map_or(Ok(()), Err);
            let found = connected.map(|()| format!("{} at {} (the running daemon)", config.component, config.server));
            let is_connected = found.is_ok();
            report.line("component", None, found)?;
            report_unsettled(&mut report, &daemon).await?;
            let is_served = |host: &DomainPart| health.hosts.contains(host);
            let tried = |host: &DomainPart| match is_connected || !is_served(host) {
                true => Ok(()),
                false => Err(NOT_CONNECTED.to_owned()),
            };
            report_hooks(&mut report, &config, &daemon.chat_server(), tried).await?;
        }
        (Ok(None), Ok(xmpp), Ok(store)) => report_own_component(&mut report, &config, store, xmpp).await?,
        (Ok(None), ..) => {
            report.line("component", None, Found::Failed("not tried: mend the parts above first".to_owned()))?
        }
        (Err(_), ..) => {
            report.line("component", None, Found::Failed("not tried: the daemon could not be asked".to_owned()))?
        }
    }
    report.end()
}

fn daemon_found(
    config: &Config,
    health: &Answer<Option<Health>>,
    store_error: Option<&StoreError>,
) -> Result<String, String> {
    match health {
        Ok(Some(health)) => {
            let hosts: Vec<_> = health.hosts.iter().map(|host| host.as_str()).collect();
            Ok(format!("serves {}", hosts.join(", ")))
        }
        Ok(None) if store_error.is_some_and(|error| matches!(error.problem, Problem::Unreachable(_))) => {
            Err("easy-invite is not running, or waits for its database server: systemctl status easy-invite".to_owned())
        }
        Ok(None) => Err(format!(
            "easy-invite is not running: systemctl start easy-invite. If it runs, restart it: it does not listen on {}",
            config.control_socket.display()
        )),
        Err(reason @ NoAnswer::Late(_)) => Err(format!("{reason}: systemctl restart easy-invite")),
        Err(reason) => Err(reason.to_string()),
    }
}

/// Warns of the reservations that the running daemon fails to settle. If it does not answer, other
/// lines say so.
async fn report_unsettled(report: &mut Report<'_>, daemon: &Daemon) -> anyhow::Result<()> {
    let (oldest, count) = daemon.unsettled().await.unwrap_or_default();
    if oldest.is_empty() {
        return Ok(());
    }
    let named: Vec<_> = oldest.iter().map(ToString::to_string).collect();
    let more = match count.saturating_sub(oldest.len()) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let detail = format!(
        "{}{more}: the daemon asked several times what became of it, and the use stays reserved until all is done. \
         The chat server's log may say more",
        named.join(", ")
    );
    report.warn("open uses", None, detail)
}

/// Renders every page once, and tries the address.
async fn web_found(config: &web::Config, daemon_runs: bool) -> anyhow::Result<String> {
    web::Pages::load(config.branding.clone(), config.public_url.clone())?;
    try_address(web::ENDPOINT, config.listen, daemon_runs).await?;
    Ok(format!("{} on {}", config.public_url, config.listen))
}

async fn metrics_found(config: &metrics::Config, daemon_runs: bool) -> Found {
    match (try_address(metrics::ENDPOINT, config.listen, daemon_runs).await, config.warning()) {
        (Ok(()), Some(warning)) => Found::Warning(warning),
        (found, _) => found.map(|()| config.listen).into(),
    }
}

/// Checks that an address can be listened on, or that it answers if a daemon runs.
async fn try_address(endpoint: Endpoint, listen: SocketAddr, daemon_runs: bool) -> anyhow::Result<()> {
    match daemon_runs {
        false => drop(http_server::open(endpoint, listen).await?),
        true => anyhow::ensure!(
            http_server::answers(endpoint, listen).await,
            "the daemon runs, and does not answer on {listen}: restart it, if [{}] was changed since it started",
            endpoint.table
        ),
    }
    Ok(())
}

async fn report_hooks(
    report: &mut Report<'_>,
    config: &Config,
    chat_server: &ChatServer,
    tried: impl Fn(&DomainPart) -> Result<(), String>,
) -> anyhow::Result<()> {
    let asked = stream::iter(config.hosts.keys()).map(async |host| {
        let found = match tried(host) {
            Ok(()) => chat_server.hello(host.clone()).await.map_err(|reason| explained(host, reason)),
            Err(why_not) => Err(why_not),
        };
        (host, found)
    });
    let mut asked = pin!(asked.buffered(HOOKS_AT_A_TIME));
    while let Some((host, found)) = asked.next().await {
        report.line("hook", Some(host.as_str()), found.as_ref().map(described))?;
        let Ok(hook) = found else { continue };
        for problem in problems(host, &hook) {
            report.warn("hook", Some(host.as_str()), problem)?;
        }
        for why in [Purpose::Register, Purpose::Reset].into_iter().filter_map(|purpose| hook.never(purpose)) {
            report.warn("hook", Some(host.as_str()), format_args!("{why}. No invite can do it"))?;
        }
        if !hook.unused.is_empty() {
            let detail = format!(
                "Prosody's {} no effect any more: the keys of [hosts.\"{host}\"] take their place",
                match hook.unused.as_slice() {
                    [option] => format!("option {option} has"),
                    options => format!("options {} have", options.join(", ")),
                }
            );
            report.warn("hook", Some(host.as_str()), detail)?;
        }
        report_admins(report, host, hook.admins, config.hosts.get(host), chat_server).await?;
    }
    Ok(())
}

/// Warns of admins that have no account. `names`: those of Prosody's configuration. `policy`: ours.
async fn report_admins(
    report: &mut Report<'_>,
    host: &DomainPart,
    mut names: Vec<String>,
    policy: Option<&HostPolicy>,
    chat_server: &ChatServer,
) -> anyhow::Result<()> {
    for admin in policy.into_iter().flat_map(|policy| &policy.admins) {
        let missing = chat_server.account(admin).await.is_ok_and(|known| !known.exists && !known.doubtful);
        names.extend(admin.node().filter(|_| missing).map(ToString::to_string));
    }
    names.sort();
    names.dedup();
    let Some(first) = names.first() else { return Ok(()) };
    let detail = format!(
        "no account, but an admin by Prosody's configuration or this one: {}. Only an invitation of yours can \
         register such a name: easy-invite generate {host} --username {first}. If nobody is to have it, take it out of \
         admins",
        names.join(", ")
    );
    report.warn("admins", Some(host.as_str()), detail)
}

/// Runs the component for a moment, because no daemon runs.
async fn report_own_component(
    report: &mut Report<'_>,
    config: &Config,
    store: Store,
    xmpp: xmpp::Config,
) -> anyhow::Result<()> {
    let (chat_server, questions) = ChatServer::channel();
    let invites = service(store, config, chat_server.clone());
    let (sender, mut link) = watch::channel(Link::Connecting);
    let stop = CancellationToken::new();
    let running = tokio::spawn(xmpp::run(
        xmpp,
        watch::channel(invites).1,
        questions,
        sender,
        Arc::new(Notify::new()),
        Watchdog::none(),
        stop.clone(),
    ));
    let settled = timeout(LINK_TIMEOUT, link.wait_for(|link| *link != Link::Connecting)).await;
    let connected = match settled.map(|link| link.map(|link| link.clone())) {
        Ok(Ok(Link::Down { problem, .. })) => Err(problem),
        Ok(Ok(_)) => Ok(format!("{} at {}", config.component, config.server)),
        Ok(Err(_)) => Err("the component ended unexpectedly".to_owned()),
        Err(_) => Err(format!(
            "{} did not answer within {} seconds: is that the chat server's component port?",
            config.server,
            LINK_TIMEOUT.as_secs()
        )),
    };
    let tried = connected.as_ref().map(drop).map_err(|_| NOT_CONNECTED.to_owned());
    report.line("component", None, connected)?;
    report_hooks(report, config, &chat_server, |_| tried.clone()).await?;
    stop.cancel();
    // If it does not end in time, it ends with the program.
    drop(timeout(LINK_TIMEOUT, running).await);
    Ok(())
}
