//! The web pages: an invite's page, which its link opens, and registration and password reset in
//! browsers.
//!
//! They are served behind a proxy that speaks TLS. A request goes one way: `http_server`
//! (connections) → `site` (`visitor`: who asks; limits; which page; `forms`: what a browser sends)
//! → the service → `pages` (what people read) → `response` (what is sent).

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
pub use site::{Site, correct_uri, has_page_at, router};

use crate::http_server::Endpoint;
use crate::links::{OldPath, PublicUrl};

/// The server for the pages.
pub const ENDPOINT: Endpoint = Endpoint {
    name: "the server for the web pages",
    table: "web",
    client: "the proxy",
    connections: 4096,
    sign: ("/", "x-robots-tag: noindex"),
};

/// The configuration of the web pages.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where the daemon listens for the proxy.
    pub listen: SocketAddr,
    /// Where browsers find them.
    pub public_url: PublicUrl,
    /// The paths of old links, which show the pages of their invites, too.
    pub also: Vec<OldPath>,
    /// The proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// What they look like.
    pub branding: Branding,
}
