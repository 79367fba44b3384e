//! An edge: what a monitoring system asks, in HTTP on an address of its own. `/metrics` has the
//! numbers, as OpenMetrics. `/healthz` says that the process answers, `/readyz` whether it can do
//! its work.
//!
//! A scrape reads what is in memory, and asks neither the store nor the chat server. Pending
//! invites and open uses are counted in the store every few seconds, however often Prometheus
//! scrapes.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, SERVER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use jid::DomainPart;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use crate::counters::{Labels, labels};
use crate::health::{Health, Part};
use crate::http_server::Endpoint;
use crate::invites::{Error, Invites, Standing};

/// The metrics server.
pub const ENDPOINT: Endpoint = Endpoint {
    name: "the metrics server",
    table: "metrics",
    client: "Prometheus",
    connections: 64,
    sign: ("/healthz", "server: easy-invite"),
};

/// How old the text of an earlier scrape may be to serve another one, which then costs only the
/// sending.
const FRESH: Duration = Duration::from_millis(50);

/// The shortest pause between two counts of pending invites and open uses.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// The pause after a count, in multiples of the time that it took. So even a store with millions of
/// invites is being counted for at most a twentieth of the time.
const PAUSES: u32 = 20;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The configuration of the metrics server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where it listens.
    pub listen: SocketAddr,
}

impl Config {
    /// A warning if the address can be reached from other machines.
    pub fn warning(&self) -> Option<String> {
        let Config { listen } = self;
        (!listen.ip().to_canonical().is_loopback()).then(|| {
            format!(
                "[metrics] listen = \"{listen}\" can be reached from other machines, so others can \
                 read the numbers. Let your firewall admit only Prometheus, or listen on 127.0.0.1"
            )
        })
    }
}

/// The pending invites and open uses of each host, and how many uses inviters are still to be told
/// of; `None` until they are counted.
type Counted = Option<(BTreeMap<DomainPart, Standing>, u64)>;

/// The text for Prometheus, and where its numbers come from.
struct Exposition {
    invites: watch::Receiver<Invites>,
    health: watch::Receiver<Health>,
    standing: watch::Receiver<Counted>,
    /// The last text, and when it was made.
    last: Mutex<Option<(Instant, Bytes)>>,
}

/// The router for all paths, and the task that counts pending invites and open uses.
pub fn server(
    invites: watch::Receiver<Invites>,
    health: watch::Receiver<Health>,
) -> (Router, impl Future<Output = ()>) {
    let readiness = {
        let health = health.clone();
        async move || {
            let health = health.borrow().clone();
            let status = if health.problems.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            (status, format!("{health}\n"))
        }
    };
    let (sender, standing) = watch::channel(None);
    let counting = keep_counting(invites.clone(), sender);
    let exposition = Arc::new(Exposition { invites, health, standing, last: Mutex::default() });
    let metrics = async move || match exposition.text() {
        Ok(text) => Ok(([(CONTENT_TYPE, OPEN_METRICS)], text)),
        Err(fmt::Error) => Err(StatusCode::INTERNAL_SERVER_ERROR),
    };
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get("ok"))
        .route("/readyz", get(readiness))
        .fallback(StatusCode::NOT_FOUND)
        .layer(map_response(async |mut response: Response| {
            let own: [(HeaderName, _); 2] = [(SERVER, env!("CARGO_PKG_NAME")), (CACHE_CONTROL, "no-store")];
            response.headers_mut().extend(own.map(|(name, value)| (name, HeaderValue::from_static(value))));
            response
        }));
    (router, counting)
}

async fn keep_counting(invites: watch::Receiver<Invites>, counted: watch::Sender<Counted>) {
    loop {
        let (since, invites) = (Instant::now(), invites.borrow().clone());
        let counting = async { Ok::<_, Error>((invites.standing().await?, invites.notices_queued().await?)) };
        let pause = match counting.await {
            Ok(standing) => {
                counted.send_replace(Some(standing));
                COUNT_EVERY.max(since.elapsed() * PAUSES)
            }
            Err(error) => {
                tracing::debug!(%error, "pending invites and open uses cannot be counted");
                counted.send_replace(None); // old numbers would hide the failure
                COUNT_EVERY
            }
        };
        tokio::time::sleep(pause).await;
    }
}

impl Exposition {
    /// The metrics as text: the last one, or a new one if that is too old.
    fn text(&self) -> Result<Bytes, fmt::Error> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, text)) = &*last
            && since.elapsed() < FRESH
        {
            return Ok(text.clone());
        }
        let mut text = String::new();
        let since = Instant::now();
        encode(&mut text, &self.registry())?;
        Ok(last.insert((since, text.into())).1.clone())
    }

    fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("easy_invite");
        let build = Info::new(labels([("version", env!("CARGO_PKG_VERSION"))]));
        registry.register("build", "The version of the daemon that runs", build);
        let invites = self.invites.borrow().clone();
        invites.counters().register(&mut registry);

        let [pending, open, hook_up]: [Family<Labels, Gauge>; 3] = Default::default();
        let set = |family: &Family<Labels, Gauge>, host: &DomainPart, value| {
            family.get_or_create(&labels([("host", host.as_str())])).set(value);
        };
        let number = |count| i64::try_from(count).unwrap_or(i64::MAX);
        let standing = self.standing.borrow();
        for (host, Standing { pending: invites, open: uses }) in standing.iter().flat_map(|(standing, _)| standing) {
            set(&pending, host, number(*invites));
            set(&open, host, number(*uses));
        }
        let health = self.health.borrow().clone();
        let connected = health.problem(&Part::Component).is_none();
        for host in &health.hosts {
            let is_up = connected && health.problem(&Part::Hook(host.clone())).is_none();
            set(&hook_up, host, is_up.into());
        }
        let [component_connected, addresses_refused]: [Gauge; 2] = Default::default();
        component_connected.set(connected.into());
        addresses_refused.set(i64::try_from(invites.refused_addresses()).unwrap_or(i64::MAX));
        registry.register("invites_pending", "Invites that can be used at present, counted every few seconds", pending);
        registry.register(
            "uses_open",
            "Uses that are reserved at present: an account is being made, or nobody knows yet whether it was",
            open,
        );
        if let Some((_, notices)) = &*standing {
            let queued: Gauge = Gauge::default();
            queued.set(number(*notices));
            registry.register("notices_queued", "Uses of which the inviter is still to be told", queued);
        }
        registry.register("hook_up", "1 if the module of the chat server has answered, 0 if not", hook_up);
        registry.register(
            "component_connected",
            "1 if the daemon is connected to the chat server, 0 if not",
            component_connected,
        );
        registry.register(
            "addresses_refused",
            "Addresses that are refused for some minutes, because they have guessed tokens",
            addresses_refused,
        );
        registry
    }
}
