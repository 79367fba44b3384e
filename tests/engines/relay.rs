//! A TCP relay between a store and its PostgreSQL server, which can misbehave.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;

/// What happens to the next COMMIT. Later connections are left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    None,
    /// The server does it; the connection ends before its answer comes back.
    CutAfterCommit,
    /// The connection ends before the server hears of it.
    CutBeforeCommit,
    /// It is kept back, and the connection stays as it is.
    HoldCommit,
}

const FAULTS: [Fault; 4] = [Fault::None, Fault::CutAfterCommit, Fault::CutBeforeCommit, Fault::HoldCommit];

/// For how long a client says nothing more when it waits for an answer.
const SILENCE: Duration = Duration::from_millis(200);

pub struct Relay {
    port: u16,
    fault: Arc<AtomicU8>,
    barred: Arc<AtomicBool>,
    held: Arc<Notify>,
    turns: Arc<Turns>,
    /// Something was done to a COMMIT.
    pub struck: Arc<Notify>,
}

/// How often a client waited for an answer. While this counts, the server hears only then what the
/// client says.
#[derive(Default)]
struct Turns {
    counting: AtomicBool,
    count: AtomicUsize,
}

impl Turns {
    /// Reads the rest of what a client says before it waits.
    async fn rest_of(&self, client: &mut TcpStream, asked: &mut [u8], mut length: usize) -> usize {
        if self.counting.load(Ordering::SeqCst) {
            while let Ok(Ok(more @ 1..)) = timeout(SILENCE, client.read(&mut asked[length..])).await {
                length += more;
            }
            self.count.fetch_add(1, Ordering::SeqCst);
        }
        length
    }
}

impl Relay {
    /// To the server at this port of this machine.
    pub async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (fault, struck) = (Arc::new(AtomicU8::new(0)), Arc::new(Notify::new()));
        let (barred, held) = (Arc::new(AtomicBool::new(false)), Arc::new(Notify::new()));
        let turns = Arc::<Turns>::default();
        let relay = Relay {
            port,
            fault: fault.clone(),
            barred: barred.clone(),
            held: held.clone(),
            turns: turns.clone(),
            struck: struck.clone(),
        };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if !barred.load(Ordering::SeqCst) {
                    tokio::spawn(pass(client, server, fault.clone(), held.clone(), turns.clone(), struck.clone()));
                }
            }
        });
        relay
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn set(&self, fault: Fault) {
        self.fault.store(fault as u8, Ordering::SeqCst);
    }

    /// Lets the COMMIT that is kept back go on.
    pub fn release(&self) {
        self.held.notify_one();
    }

    /// Whether new connections end at once.
    pub fn bar(&self, barred: bool) {
        self.barred.store(barred, Ordering::SeqCst);
    }

    /// How often clients wait for an answer while something is done.
    pub async fn turns<T>(&self, done: impl Future<Output = T>) -> (usize, T) {
        self.turns.count.store(0, Ordering::SeqCst);
        self.turns.counting.store(true, Ordering::SeqCst);
        let done = done.await;
        self.turns.counting.store(false, Ordering::SeqCst);
        (self.turns.count.load(Ordering::SeqCst), done)
    }

    pub fn is_over(&self) -> bool {
        self.fault.load(Ordering::SeqCst) == Fault::None as u8
    }
}

async fn pass(
    mut client: TcpStream,
    server: u16,
    fault: Arc<AtomicU8>,
    held: Arc<Notify>,
    turns: Arc<Turns>,
    struck: Arc<Notify>,
) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    let (mut asked, mut answered) = (vec![0; 65536], vec![0; 65536]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(length @ 1..) = read else { return };
                let length = turns.rest_of(&mut client, &mut asked, length).await;
                // A simple query: "Q", its length, its text and NUL.
                let commit = asked[..length].windows(7).any(|bytes| bytes == b"COMMIT\0");
                let fault = if commit { FAULTS[usize::from(fault.swap(0, Ordering::SeqCst))] } else { Fault::None };
                match fault {
                    Fault::None => (),
                    Fault::CutBeforeCommit => return struck.notify_one(),
                    Fault::HoldCommit => {
                        struck.notify_one();
                        tokio::select! {
                            () = held.notified() => (),
                            // What the server says is passed on until it ends the session.
                            _ = tokio::io::copy(&mut server, &mut client) => return,
                        }
                    }
                    Fault::CutAfterCommit => {
                        server.write_all(&asked[..length]).await.unwrap();
                        // The answer says that it is done, and gets lost.
                        assert_ne!(server.read(&mut answered).await.unwrap(), 0);
                        return struck.notify_one();
                    }
                }
                if server.write_all(&asked[..length]).await.is_err() { return }
            }
            read = server.read(&mut answered) => {
                let Ok(length @ 1..) = read else { return };
                if client.write_all(&answered[..length]).await.is_err() { return }
            }
        }
    }
}
