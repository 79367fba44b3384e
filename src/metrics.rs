//! An edge: what a monitoring system asks, in HTTP on an address of its own. `/healthz` says that
//! the process answers.

use std::net::SocketAddr;

use axum::Router;
use axum::http::header::{CACHE_CONTROL, SERVER};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::get;

use crate::http_server::Endpoint;

/// What is served.
pub const ENDPOINT: Endpoint = Endpoint {
    name: "the metrics server",
    table: "metrics",
    client: "Prometheus",
    connections: 64,
    sign: ("/healthz", "server: easy-invite"),
};

/// The configuration of the metrics server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where it listens.
    pub listen: SocketAddr,
}

impl Config {
    /// What is dangerous about the address, if others than programs of this machine may reach it.
    pub fn warning(&self) -> Option<String> {
        let Config { listen } = self;
        (!listen.ip().to_canonical().is_loopback()).then(|| {
            format!(
                "[metrics] listen = \"{listen}\" can be reached from other machines, and tells everybody who asks how \
                 many invites each host has. Let a firewall admit Prometheus alone, or listen on 127.0.0.1"
            )
        })
    }
}

/// Everything that is answered.
pub fn router() -> Router {
    Router::new().route("/healthz", get("ok")).fallback(StatusCode::NOT_FOUND).layer(map_response(
        async |mut response: Response| {
            let headers = response.headers_mut();
            headers.insert(SERVER, HeaderValue::from_static(env!("CARGO_PKG_NAME")));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        },
    ))
}
