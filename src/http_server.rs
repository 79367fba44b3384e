//! An HTTP server: it limits how many connections there are, and how long each may take. The
//! caller's router answers the requests.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::{Request, Uri};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// File descriptors for everything else: files, the store, the chat server.
const OTHER_FILES: u64 = 256;

/// How long the head of the next request may take, including the time when nothing is sent.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);

/// How long a client may read nothing of a response.
const TAKE_PATIENCE: Duration = Duration::from_secs(10);

/// How long a connection accepts requests.
const CONNECTION_LIFE: Duration = Duration::from_secs(120);

/// How long the last request may take after that. A registration takes half a minute at worst.
const LAST_REQUEST: Duration = Duration::from_secs(40);

/// How long open responses may take when the daemon stops.
const DRAIN: Duration = Duration::from_secs(5);

/// How long [`answers`] waits for a response.
const KNOCK_PATIENCE: Duration = Duration::from_secs(5);

/// The longest head of a request.
const HEAD_BYTES: usize = 16 * 1024;

/// What a server serves.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    /// The name of the server, in logs and errors.
    pub name: &'static str,
    /// The table of the configuration that says where it listens.
    pub table: &'static str,
    /// Who has to know its port.
    pub client: &'static str,
    /// How many connections there are at a time. Further ones wait to be accepted. An idle one
    /// takes a few kilobytes.
    pub connections: usize,
    /// A path, and a text in the head of its response that no other program sends.
    pub sign: (&'static str, &'static str),
}

/// Why an address cannot be listened on, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot listen on {listen} ({error}): {}", .endpoint.name, advice(.endpoint, .error, .listen))]
pub struct CannotListen {
    endpoint: Endpoint,
    listen: SocketAddr,
    error: io::Error,
}

fn advice(endpoint: &Endpoint, error: &io::Error, listen: &SocketAddr) -> String {
    let Endpoint { table, client, .. } = endpoint;
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            let port = listen.port();
            format!(
                "`ss -tlnp sport = :{port}` names who does. End it, or choose another port in [{table}] listen and for \
                 {client}"
            )
        }
        io::ErrorKind::AddrNotAvailable => format!("write an address of this machine into [{table}] listen"),
        io::ErrorKind::PermissionDenied => format!("write a port from 1024 on into [{table}] listen"),
        _ => format!("see [{table}] listen"),
    }
}

/// Listens on an address.
///
/// # Errors
/// If another program listens there, or the address is not of this machine.
pub async fn open(endpoint: Endpoint, listen: SocketAddr) -> Result<TcpListener, CannotListen> {
    TcpListener::bind(listen).await.map_err(|error| CannotListen { endpoint, listen, error })
}

/// Whether easy-invite serves this on an address, as seen from this machine.
pub async fn answers(endpoint: Endpoint, listen: SocketAddr) -> bool {
    let (path, sign) = endpoint.sign;
    let address = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    let asked = async {
        let mut stream = TcpStream::connect((address, listen.port())).await?;
        stream.write_all(format!("HEAD {path} HTTP/1.0\r\n\r\n").as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(HEAD_BYTES as u64).read_to_end(&mut answer).await?;
        io::Result::Ok(String::from_utf8_lossy(&answer).contains(sign))
    };
    timeout(KNOCK_PATIENCE, asked).await.is_ok_and(|answered| answered.unwrap_or(false))
}

/// Serves until `stop` is cancelled. Each request goes to the newest router, after `correct_uri`
/// has corrected its URI.
pub async fn serve(
    endpoint: Endpoint,
    listener: TcpListener,
    router: watch::Receiver<Router>,
    correct_uri: fn(&mut Uri),
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(connections(endpoint)));
    let serving = TaskTracker::new();
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (listener.accept().await, place)
        };
        let Some((accepted, place)) = stop.run_until_cancelled(accepted).await else { break };
        match accepted {
            Ok((stream, peer)) => {
                let (router, stop) = (router.clone(), stop.clone());
                serving.spawn(async move {
                    if let Err(error) = serve_connection(stream, peer, router, correct_uri, stop).await {
                        tracing::debug!(%error, "a connection to {} failed", endpoint.name);
                    }
                    drop(place);
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: trying again at once would only spin.
                tracing::warn!(%error, "{} accepts no connection", endpoint.name);
                sleep(Duration::from_secs(1)).await;
            }
        }
    }
    serving.close();
    if timeout(DRAIN, serving.wait()).await.is_err() {
        tracing::debug!("connections to {} are cut off", endpoint.name);
    }
}

/// How many connections there may be: as many as the endpoint wants, or as the system allows.
fn connections(Endpoint { name, connections: wanted, .. }: Endpoint) -> usize {
    let raised = rlimit::increase_nofile_limit(wanted as u64 + OTHER_FILES);
    // If the limit cannot be raised, it stays as it is.
    let files = raised.or_else(|_| rlimit::Resource::NOFILE.get_soft()).unwrap_or(1024);
    let room = usize::try_from(files.saturating_sub(OTHER_FILES)).unwrap_or(wanted);
    if room < wanted {
        tracing::info!(connections = room, "{name} takes fewer connections: there are too few file descriptors");
    }
    room.clamp(16, wanted)
}

async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: watch::Receiver<Router>,
    correct_uri: fn(&mut Uri),
    stop: CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(TAKE_PATIENCE));
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        correct_uri(request.uri_mut());
        TowerToHyperService::new(router.borrow().clone()).call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    tokio::pin!(connection);
    for life in [CONNECTION_LIFE, LAST_REQUEST] {
        tokio::select! {
            served = &mut connection => return Ok(served?),
            () = stop.cancelled() => break,
            () = sleep(life) => connection.as_mut().graceful_shutdown(),
        }
    }
    connection.as_mut().graceful_shutdown();
    timeout(DRAIN, connection).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    Ok(())
}
