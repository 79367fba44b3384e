//! How each kind of value is written in the file, and the error if it is written differently.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use jid::{BareJid, DomainPart, NodePart};
use jiff::SignedDuration;
use url::{Position, Url};

use crate::invite;
use crate::jids;
use crate::lifetime::Lifetime;
use crate::links::{LandingPage, OldPath, PublicUrl};
use crate::store::StoreUrl;
use crate::web::Colour;

/// Where Prosody listens for components by default.
pub const DEFAULT_SERVER: &str = "127.0.0.1:5347";

/// A value that is written as a string.
pub trait Written: Sized {
    /// The value in the text.
    ///
    /// # Errors
    /// What was expected.
    fn read(text: &str) -> Result<Self, String>;
}

/// How old something has to be: written like a [`Lifetime`], but `0s` is allowed and `never` is
/// not.
#[derive(Debug)]
pub struct Age(pub SignedDuration);

/// Where a connection is made to: `host:port`, `127.0.0.1:5347` or `[::1]:5347`.
#[derive(Debug)]
pub struct Server(pub String);

macro_rules! written {
    ($($type:ty => $read:expr),+ $(,)?) => {
        $(impl Written for $type {
            fn read(text: &str) -> Result<Self, String> {
                let read: fn(&str) -> Result<Self, String> = $read;
                read(text)
            }
        })+
    };
}

written! {
    DomainPart => jids::domain,
    BareJid => jids::account,
    NodePart => |text| in_words(invite::username(text)),
    Lifetime => |text| in_words(text.parse()),
    Age => age,
    Server => server,
    StoreUrl => |text| in_words(text.parse()),
    PublicUrl => |text| in_words(PublicUrl::parse(text)),
    OldPath => |text| in_words(OldPath::parse(text)),
    LandingPage => |text| in_words(LandingPage::parse(text)),
    // Where the daemon listens.
    SocketAddr => |text| {
        let address = text.parse().ok().filter(|address: &SocketAddr| address.port() != 0);
        address.ok_or_else(|| format!("expected an IP address and a port, such as \"127.0.0.1:5380\", found {text:?}"))
    },
    // The proxies that are trusted.
    IpNet => |text| {
        let address = text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical()));
        let network = address.or_else(|_| text.parse::<IpNet>());
        network.map_err(|_| format!("expected an IP address or a network such as \"10.0.0.0/8\", found {text:?}"))
    },
    // A link for people.
    Url => |text| {
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https" | "mailto"));
        url.ok_or_else(|| format!("expected an address such as \"https://example.org/imprint\", found {text:?}"))
    },
    Colour => |text| text.to_owned().try_into(),
}

fn in_words<T, E: ToString>(read: Result<T, E>) -> Result<T, String> {
    read.map_err(|error| error.to_string())
}

fn age(text: &str) -> Result<Age, String> {
    match (text, text.parse()) {
        ("0s", _) => Ok(Age(SignedDuration::ZERO)),
        (_, Ok(Lifetime::Seconds(seconds))) => Ok(Age(SignedDuration::from_secs(seconds))),
        _ => Err(format!("{text:?} is not an age: write 0s, 15m, 36h, 7d, 4w (at most 10 years)")),
    }
}

fn server(text: &str) -> Result<Server, String> {
    // Any scheme without a default port would do.
    let url = Url::parse(&format!("xmpp://{text}")).ok();
    let strange = |c: char| c.is_whitespace() || c.is_control() || c == '@';
    let only_names_it = |url: &Url| url.port().is_some_and(|port| port != 0) && url[Position::AfterPort..].is_empty();
    match url.filter(only_names_it) {
        // The system's resolver takes only ASCII.
        Some(_) if !text.contains(strange) => Ok(Server(idna::domain_to_ascii(text).unwrap_or(text.to_owned()))),
        _ => Err(format!("expected host:port, for example {DEFAULT_SERVER} or [::1]:5347, found {text:?}")),
    }
}
