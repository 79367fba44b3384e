//! The web side: the page that an invite's link opens, registration and password reset in browsers.
//!
//! It runs behind a proxy that speaks TLS. A request goes one way: `http_server` (connections) →
//! `site` (`visitor`: who asks; limits; which page; `forms`: what a browser sends) → the service →
//! `pages` (what people read) → `response` (what is sent).

mod address;
mod apps;
mod branding;
mod colour;
mod forms;
mod notices;
mod pages;
mod response;
mod site;
mod templates;
mod visitor;

use std::net::SocketAddr;

use ipnet::IpNet;

pub use branding::{About, BadBranding, Branding};
pub use colour::Colour;
pub use pages::Pages;
pub use site::{Site, has_page_at, mend, router};

use crate::http_server::Endpoint;
use crate::links::{OldPath, PublicUrl};

/// What is served.
pub const ENDPOINT: Endpoint = Endpoint {
    name: "the web side",
    table: "web",
    client: "the proxy",
    connections: 4096,
    sign: ("/", "x-robots-tag: noindex"),
};

/// The configuration of the web side.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where browsers find it.
    pub public_url: PublicUrl,
    /// Where it answers old links, besides.
    pub also: Vec<OldPath>,
    /// The proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// What the pages look like.
    pub branding: Branding,
}
