//! The stream to the chat server: logging in, reading stanzas and writing them.
//!
//! This does not use `tokio_xmpp::Component`, which returns the same `None` for a bad stanza, a
//! silent minute, a conflict and a lost connection.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::{FutureExt, Sink, SinkExt, StreamExt};
use minidom::Element;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, BufWriter};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_xmpp::xmlstream::{ReadError, StreamHeader, Timeouts, XmlStream, initiate_stream};
use xmpp_parsers::component::Handshake;

use super::framing::bounded;
use super::stanza::{ErrorAnswer, ns};

/// After this long without a byte, the daemon pings the chat server. After twice as long, it gives
/// up the connection.
const SILENCE: Duration = Duration::from_secs(60);

/// How long connecting and logging in may take.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(15);

/// How long closing the stream may take. The chat server may be gone already.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// How many bytes are written in one go: some 60 replies.
const WRITTEN_AT_ONCE: usize = 64 * 1024;

/// Why a login failed.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The chat server cannot be reached, or the connection broke.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The chat server refused the component with a stream error.
    #[error("{0}")]
    Refused(ErrorAnswer),
    /// The other side speaks another protocol.
    #[error("{0}")]
    Protocol(String),
}

/// What came in: a stanza, an error, or the end of the connection.
pub type Received = Option<Result<Element, ReadError>>;

/// What [`Wire::progress`] has done.
#[derive(Debug)]
pub enum Progress {
    /// It has read a stanza, an error or the end.
    Received(Received),
    /// It has written everything, or has failed to write.
    Written(io::Result<()>),
}

/// The stream, logged in.
pub struct Wire<Io> {
    stream: XmlStream<Io, Element>,
    unsent: VecDeque<Element>,
    unsent_since: Option<Instant>,
}

impl<Io: AsyncBufRead + AsyncWrite + Unpin> Wire<Io> {
    /// Queues stanzas, which [`Wire::progress`] writes.
    pub fn send(&mut self, stanzas: impl IntoIterator<Item = Element>) {
        self.unsent.extend(stanzas);
        if !self.unsent.is_empty() {
            self.unsent_since.get_or_insert_with(Instant::now);
        }
    }

    /// Since when stanzas wait to be written. `None` when the chat server has taken everything.
    pub fn unsent_since(&self) -> Option<Instant> {
        self.unsent_since
    }

    /// Writes what the chat server takes and, if `reading`, waits for a stanza, an error or the
    /// end.
    pub async fn progress(&mut self, reading: bool) -> Progress {
        poll_fn(|cx| {
            if self.unsent_since.is_some()
                && let Poll::Ready(written) = self.poll_write(cx)
            {
                return Poll::Ready(Progress::Written(written));
            }
            if reading { self.stream.poll_next_unpin(cx).map(Progress::Received) } else { Poll::Pending }
        })
        .await
    }

    /// What has come in already. `None` if nothing has.
    pub fn received(&mut self) -> Option<Received> {
        self.stream.next().now_or_never()
    }

    /// Writes the queued stanzas, except for those that XML cannot represent.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut stream = Pin::new(&mut self.stream);
        while let Some(stanza) = self.unsent.front() {
            ready!(Sink::<&Element>::poll_ready(stream.as_mut(), cx))?;
            match stream.as_mut().start_send(stanza) {
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    tracing::error!(%error, "could not write a stanza");
                }
                other => other?,
            }
            self.unsent.pop_front();
        }
        ready!(Sink::<&Element>::poll_flush(stream, cx))?;
        self.unsent_since = None;
        Poll::Ready(Ok(()))
    }

    /// Closes the stream, and then the connection.
    pub async fn close(mut self) {
        let close = async {
            self.stream.shutdown().await?;
            SinkExt::<&Element>::close(&mut self.stream).await
        };
        drop(tokio::time::timeout(CLOSE_TIMEOUT, close).await);
    }
}

/// Connects to `server` (host and port) and logs in as the component `jid`.
///
/// # Errors
/// If that fails, or takes longer than [`LOGIN_TIMEOUT`].
pub async fn connect(
    server: &str,
    jid: &str,
    secret: &str,
) -> Result<Wire<impl AsyncBufRead + AsyncWrite + Unpin + use<>>, LoginError> {
    let connect = async {
        let tcp = TcpStream::connect(server).await?;
        // Replies are written in batches already, so Nagle's algorithm would only delay them.
        tcp.set_nodelay(true)?;
        let (reader, writer) = tcp.into_split();
        login(reader, BufWriter::with_capacity(WRITTEN_AT_ONCE, writer), jid, secret).await
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
pub async fn login<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    reader: R,
    writer: W,
    jid: &str,
    secret: &str,
) -> Result<Wire<impl AsyncBufRead + AsyncWrite + Unpin + use<R, W>>, LoginError> {
    let header = StreamHeader { to: Some(jid.into()), from: None, id: None };
    let timeouts = Timeouts { read_timeout: SILENCE, response_timeout: SILENCE };
    let mut pending = initiate_stream(bounded(reader, writer), ns::COMPONENT, header, timeouts).await?;
    let id = pending.take_header().id.unwrap_or_default().into_owned();
    let mut stream: XmlStream<_, Element> = pending.skip_features();
    // If the server does not know the component, it closes the stream at once, and this fails. The
    // stream error that it has sent says more than the failed write.
    drop(stream.send(&Handshake::from_stream_id_and_password(id, secret)).await);
    loop {
        match stream.next().await {
            Some(Ok(element)) if element.is("handshake", ns::COMPONENT) => break,
            Some(Ok(element)) if element.name() == "error" => {
                return Err(LoginError::Refused(ErrorAnswer::of(&element)));
            }
            Some(Ok(_)) => return Err(LoginError::Protocol("the answer was no handshake".to_owned())),
            Some(Err(ReadError::SoftTimeout)) => (),
            Some(Err(ReadError::HardError(error))) => return Err(error.into()),
            Some(Err(error)) => return Err(LoginError::Protocol(error.to_string())),
            None => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        }
    }
    Ok(Wire { stream, unsent: VecDeque::new(), unsent_since: None })
}
