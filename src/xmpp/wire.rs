//! The stream to the chat server: logging in, and what may come in.
//!
//! `tokio_xmpp::Component` is not used: it gives the same `None` for a bad stanza, a silent minute, a conflict and a
//! lost connection.

use std::io;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use minidom::Element;
use tokio::io::{AsyncBufRead, AsyncWrite, BufStream};
use tokio::net::TcpStream;
use tokio_xmpp::xmlstream::{ReadError, StreamHeader, Timeouts, XmlStream, initiate_stream};
use xmpp_parsers::component::Handshake;

use super::framing::Bounded;
use super::stanza::ns;

/// After this long without a byte the server is asked whether it is still there; after twice that the connection is
/// given up.
const SILENCE: Duration = Duration::from_secs(60);

/// How long connecting and logging in may take.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(15);

/// How many bytes are read in one go: some 80 requests.
const READ_AT_ONCE: usize = 16 * 1024;

/// How many bytes are written in one go: some 60 replies.
const WRITTEN_AT_ONCE: usize = 64 * 1024;

/// The stream, once logged in.
pub type Wire<Io> = XmlStream<Bounded<Io>, Element>;

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
        login(BufStream::with_capacity(READ_AT_ONCE, WRITTEN_AT_ONCE, tcp), jid, secret).await
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
    let mut pending = initiate_stream(Bounded::new(io), ns::COMPONENT, header, timeouts).await?;
    let id = pending.take_header().id.unwrap_or_default().into_owned();
    let mut wire: Wire<Io> = pending.skip_features();
    // A server that does not know us closes the stream at once: what it says then is worth more than this error.
    drop(wire.send(&Handshake::from_stream_id_and_password(id, secret)).await);
    loop {
        match wire.next().await {
            Some(Ok(element)) if element.is("handshake", ns::COMPONENT) => return Ok(wire),
            Some(Ok(element)) if element.name() == "error" => return Err(stream_error(&element)),
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
