//! Connections: how many there are, and how long each may take.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::site::{Site, mend, router};

/// How many connections there are at a time. Further ones wait to be accepted. An idle one takes a
/// few kilobytes.
const CONNECTIONS: usize = 4096;

/// File descriptors for everything else: files, the store, the chat server.
const OTHER_FILES: u64 = 256;

/// How long a connection may wait for the head of the next request, idle or not.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);

/// How long a client may read nothing of a response.
const TAKE_PATIENCE: Duration = Duration::from_secs(10);

/// How long a connection accepts requests.
const CONNECTION_LIFE: Duration = Duration::from_secs(120);

/// How long the last request may take. A registration takes half a minute at worst.
const LAST_REQUEST: Duration = Duration::from_secs(40);

/// How long open responses may take when the daemon stops.
const DRAIN: Duration = Duration::from_secs(5);

/// How long to wait for a response of our own web side.
const KNOCK_PATIENCE: Duration = Duration::from_secs(5);

/// The longest head of a request.
const HEAD_BYTES: usize = 16 * 1024;

/// Why the web side cannot be opened, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("the web side cannot listen on {listen} ({error}): {}", advice(.error, .listen))]
pub struct CannotListen {
    listen: SocketAddr,
    error: io::Error,
}

fn advice(error: &io::Error, listen: &SocketAddr) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            let port = listen.port();
            format!(
                "`ss -tlnp sport = :{port}` names who does. End it, or choose another port in [web] listen and for \
                 the proxy"
            )
        }
        io::ErrorKind::AddrNotAvailable => "write an address of this machine into [web] listen".to_owned(),
        io::ErrorKind::PermissionDenied => "write a port from 1024 on into [web] listen".to_owned(),
        _ => "see [web] listen".to_owned(),
    }
}

/// Listens on an address.
///
/// # Errors
/// If another program listens there, or the address is not of this machine.
pub async fn open(listen: SocketAddr) -> Result<TcpListener, CannotListen> {
    TcpListener::bind(listen).await.map_err(|error| CannotListen { listen, error })
}

/// Whether this program answers on an address, asked from this machine.
pub async fn answers(listen: SocketAddr) -> bool {
    let address = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    let asked = async {
        let mut stream = TcpStream::connect((address, listen.port())).await?;
        stream.write_all(b"HEAD / HTTP/1.0\r\n\r\n").await?;
        let mut answer = Vec::new();
        stream.take(HEAD_BYTES as u64).read_to_end(&mut answer).await?;
        io::Result::Ok(String::from_utf8_lossy(&answer).contains("x-robots-tag: noindex"))
    };
    timeout(KNOCK_PATIENCE, asked).await.is_ok_and(|answered| answered.unwrap_or(false))
}

/// Serves until `stop`.
pub async fn serve(listener: TcpListener, site: Site, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(connections()));
    let router = router(site);
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
                    if let Err(error) = serve_connection(stream, peer, router, stop).await {
                        tracing::debug!(%error, "a web connection failed");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: trying again at once would only spin.
                tracing::warn!(%error, "the web side accepts no connection");
                sleep(Duration::from_secs(1)).await;
            }
        }
    }
    serving.close();
    if timeout(DRAIN, serving.wait()).await.is_err() {
        tracing::debug!("web connections are cut off");
    }
}

/// [`CONNECTIONS`], or as many as the system allows.
fn connections() -> usize {
    let raised = rlimit::increase_nofile_limit(CONNECTIONS as u64 + OTHER_FILES);
    // If the limit cannot be raised, it stays as it is.
    let files = raised.or_else(|_| rlimit::Resource::NOFILE.get_soft()).unwrap_or(1024);
    let room = usize::try_from(files.saturating_sub(OTHER_FILES)).unwrap_or(CONNECTIONS);
    if room < CONNECTIONS {
        tracing::info!(connections = room, "the web side takes fewer connections: there are too few file descriptors");
    }
    room.clamp(16, CONNECTIONS)
}

async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    stop: CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(TAKE_PATIENCE));
    let service = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        mend(request.uri_mut());
        service.call(request)
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
