//! The stream to the chat server: logging in, and what may come in.
//!
//! `tokio_xmpp::Component` is not used: it gives the same `None` for a bad stanza, a silent minute, a conflict and a
//! lost connection, and a deeply nested stanza overflows its stack.

use std::io;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use minidom::Element;
use rxml::{AttrMap, Event, QName};
use tokio::io::{AsyncBufRead, AsyncWrite, BufStream};
use tokio::net::TcpStream;
use tokio_xmpp::xmlstream::{ReadError, StreamHeader, Timeouts, XmlStream, initiate_stream};
use xmpp_parsers::component::Handshake;
use xso::error::{Error as XsoError, FromEventsError};
use xso::minidom_compat::ElementFromEvents;
use xso::{Context, FromEventsBuilder, FromXml};

use super::stanza::ns;

/// How deep a stanza may be nested. The deepest that makes sense here, a relayed form, has 8 levels.
const MAX_DEPTH: usize = 24;

/// How many bytes a stanza may have: a form filled in with everything is below 8 kB.
const MAX_BYTES: usize = 64 * 1024;

/// After this long without a byte the server is asked whether it is still there; after twice that the connection is
/// given up.
const SILENCE: Duration = Duration::from_secs(60);

/// How long connecting and logging in may take.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(15);

/// A top-level element.
#[derive(Debug)]
pub enum Inbound {
    /// As it came.
    Element(Element),
    /// Too deep or too large: only its name and attributes were kept.
    Oversized(Element, &'static str),
}

/// Collects an element within bounds; beyond them it counts to the end of the element and keeps nothing.
pub struct Bounded {
    name: QName,
    attributes: AttrMap,
    inner: Option<ElementFromEvents>,
    exceeded: &'static str,
    depth: usize,
    bytes: usize,
}

impl FromXml for Inbound {
    type Builder = Bounded;

    fn from_events(name: QName, attributes: AttrMap, _: &Context<'_>) -> Result<Bounded, FromEventsError> {
        let inner = Some(ElementFromEvents::new(name.clone(), attributes.clone()));
        Ok(Bounded { name, attributes, inner, exceeded: "", depth: 0, bytes: 0 })
    }
}

impl FromEventsBuilder for Bounded {
    type Output = Inbound;

    fn feed(&mut self, event: Event, context: &Context<'_>) -> Result<Option<Inbound>, XsoError> {
        self.bytes = self.bytes.saturating_add(event.metrics().len());
        let mut end = false;
        match &event {
            Event::StartElement(..) => self.depth += 1,
            Event::EndElement(_) => (self.depth, end) = (self.depth.saturating_sub(1), self.depth == 0),
            _ => (),
        }
        if self.depth > MAX_DEPTH || self.bytes > MAX_BYTES {
            self.exceeded = if self.depth > MAX_DEPTH { "nested too deeply" } else { "too large" };
            self.inner = None;
        }
        match &mut self.inner {
            Some(inner) => Ok(inner.feed(event, context)?.map(Inbound::Element)),
            None if end => {
                // An element of this name and these attributes with nothing in it.
                let mut header = ElementFromEvents::new(self.name.clone(), std::mem::take(&mut self.attributes));
                Ok(header.feed(event, context)?.map(|element| Inbound::Oversized(element, self.exceeded)))
            }
            None => Ok(None),
        }
    }
}

/// The stream, once logged in.
pub type Wire<Io> = XmlStream<Io, Inbound>;

/// Why a login failed.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// Nobody is there, or the connection broke.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The chat server does not want us: the condition and text of its stream error.
    #[error("{condition}{}{text}", if .text.is_empty() { "" } else { ": " })]
    Refused {
        /// The condition (RFC 6120 §4.9.3).
        condition: String,
        /// The server's text; often empty.
        text: String,
    },
    /// It speaks something else.
    #[error("{0}")]
    Protocol(String),
}

/// Connects to `server` (host and port) and logs in as the component `jid`.
///
/// # Errors
/// If that fails, or takes longer than [`LOGIN_TIMEOUT`].
pub async fn connect(server: &str, jid: &str, secret: &str) -> Result<Wire<BufStream<TcpStream>>, LoginError> {
    let connect = async {
        let tcp = TcpStream::connect(server).await?;
        // Replies are written in batches already; waiting for more only delays them.
        tcp.set_nodelay(true)?;
        login(BufStream::new(tcp), jid, secret).await
    };
    tokio::time::timeout(LOGIN_TIMEOUT, connect).await.unwrap_or_else(|_| {
        Err(io::Error::new(io::ErrorKind::TimedOut, "the chat server accepted the connection but did not answer")
            .into())
    })
}

/// Logs in as the component `jid` over any connection (XEP-0114 §3).
///
/// # Errors
/// If that fails.
pub async fn login<Io: AsyncBufRead + AsyncWrite + Unpin>(
    io: Io,
    jid: &str,
    secret: &str,
) -> Result<Wire<Io>, LoginError> {
    let header = StreamHeader { to: Some(jid.into()), from: None, id: None };
    let timeouts = Timeouts { read_timeout: SILENCE, response_timeout: SILENCE };
    let mut pending = initiate_stream(io, ns::COMPONENT, header, timeouts).await?;
    let id = pending.take_header().id.unwrap_or_default().into_owned();
    let mut wire: Wire<Io> = pending.skip_features();
    // A server that does not know us closes the stream at once: what it says then is worth more than this error.
    drop(wire.send(&Handshake::from_stream_id_and_password(id, secret)).await);
    loop {
        match wire.next().await {
            Some(Ok(Inbound::Element(element))) if element.is("handshake", ns::COMPONENT) => return Ok(wire),
            Some(Ok(Inbound::Element(element))) if element.name() == "error" => return Err(stream_error(&element)),
            Some(Ok(_)) => return Err(LoginError::Protocol("something else than a handshake came back".to_owned())),
            Some(Err(ReadError::SoftTimeout)) => (),
            Some(Err(ReadError::HardError(error))) => return Err(error.into()),
            Some(Err(error)) => return Err(LoginError::Protocol(error.to_string())),
            None => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        }
    }
}

/// A stream error (RFC 6120 §4.9) as a [`LoginError`].
pub fn stream_error(element: &Element) -> LoginError {
    let (texts, conditions): (Vec<_>, Vec<_>) = element.children().partition(|child| child.name() == "text");
    LoginError::Refused {
        condition: conditions.first().map_or("undefined-condition", |condition| condition.name()).to_owned(),
        text: texts.first().map(|text| text.text()).unwrap_or_default(),
    }
}
