//! The daemon on a stream, without a server: this program plays the chat server, over TCP on this
//! machine, and keeps a number of requests outstanding.
//!
//! `cargo bench --bench stream`. In `durable`, the real case, the SQLite file is on the disk and
//! each answer comes after the sync. In `memory`, the file is in a file system in memory. `form` is
//! a command of the same size that stores nothing.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use easy_invite::chat_server::{Account, Ask, ChatServer};
use easy_invite::invite::{InviteType, Issuer};
use easy_invite::invites::{Invites, Settings};
use easy_invite::policy::{HostPolicy, Wish};
use easy_invite::secret::Secret;
use easy_invite::store::{Store, StoreUrl};
use easy_invite::xmpp;
use futures::{StreamExt, stream};
use jid::{BareJid, DomainPart};
use jiff::Timestamp;
use tokio::io::BufWriter;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How many requests are outstanding at a time.
const OUTSTANDING: [u64; 5] = [1, 8, 64, 128, 256];

/// How many users send them. One user may have 64 in flight.
const USERS: u64 = 16;

/// How many invites there are to present and to redeem.
const MADE: u32 = 10_000;

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' \
     xmlns:stream='http://etherx.jabber.org/streams' from='invite.example.org' id='s1'>";

/// A daemon that is logged in, and the server's end of the stream.
struct Daemon {
    stream: TcpStream,
    sent: u64,
    tokens: Vec<String>,
    _runtime: Runtime,
    stop: CancellationToken,
    _folder: tempfile::TempDir,
}

#[expect(clippy::disallowed_methods, reason = "the clock of the daemon")]
fn clock() -> Timestamp {
    Timestamp::now()
}

fn host(name: &str) -> DomainPart {
    DomainPart::new(name).unwrap().into_owned()
}

impl Daemon {
    /// Starts a daemon whose store, in a new folder in `place`, holds `made` invites.
    fn new(place: &Path, made: u32) -> Self {
        let runtime = Runtime::new().unwrap();
        let folder = tempfile::tempdir_in(place).unwrap();
        let store = runtime.block_on(Store::open(&StoreUrl::Sqlite(folder.path().join("easy-invite.db")))).unwrap();
        let policy = HostPolicy {
            invites_per_day: None,
            pending_invites: None,
            admins: (0..USERS).map(|user| BareJid::new(&format!("user-{user}@example.org")).unwrap()).collect(),
            ..HostPolicy::default()
        };
        let (chat_server, mut asked) = ChatServer::channel();
        runtime.spawn(async move {
            while let Some(question) = asked.recv().await {
                if let Ask::Account { reply, .. } = question.ask {
                    drop(reply.send(Ok(Account { exists: true, ..Account::default() })));
                }
            }
        });
        let (_idle, mut questions) = ChatServer::channel();
        let hosts = BTreeMap::from([(host("example.org"), policy)]);
        let settings = Settings { hosts, ..Settings::new(host("invite.example.org")) };
        let invites = Invites::new(store, settings, chat_server, clock);
        let wish = Wish { max_uses: None, ..Wish::new(InviteType::Account, host("example.org"), Issuer::Operator) };
        let making = stream::iter(0..made).map(|_| invites.create(wish.clone())).buffer_unordered(256);
        let making = making.map(|made| made.unwrap().token.reveal().to_owned()).collect();
        let tokens = runtime.block_on(making);

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stop = CancellationToken::new();
        let (address, stopped) = (listener.local_addr().unwrap(), stop.clone());
        runtime.spawn(async move {
            let config = xmpp::Config {
                jid: host("invite.example.org"),
                server: String::new(),
                secret: Secret::new("secret".to_owned()),
                secret_source: String::new(),
            };
            let invites = watch::channel(invites).1;
            let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
            tcp.set_nodelay(true).unwrap();
            let (reader, writer) = tcp.into_split();
            xmpp::serve_connection(reader, BufWriter::new(writer), &config, &invites, &mut questions, &stopped).await
        });
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_nodelay(true).unwrap();
        stream.write_all(HEADER.as_bytes()).unwrap();
        let mut received = String::new();
        while !received.contains("</handshake>") {
            let mut buffer = [0; 1024];
            let read = stream.read(&mut buffer).unwrap();
            received.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        }
        stream.write_all(b"<handshake/>").unwrap();
        Daemon { stream, sent: 0, tokens, _runtime: runtime, stop, _folder: folder }
    }

    /// Sends `requests` requests, `outstanding` at a time, and returns how long their answers took.
    /// `request` makes each one from its number: its type, its sender, and its payload.
    fn answer(
        &mut self,
        requests: u64,
        outstanding: u64,
        request: impl Fn(u64, &[String]) -> (&'static str, String, String),
    ) -> Duration {
        let begun = Instant::now();
        let (mut sent, mut answered) = (0, 0);
        let mut text = String::new();
        let mut buffer = vec![0; 1 << 16];
        let mut open = 0; // bytes at the start of the buffer that may begin an answer
        while answered < requests {
            text.clear();
            while sent < requests && sent - answered < outstanding {
                let (kind, from, payload) = request(self.sent, &self.tokens);
                let id = self.sent;
                text += &format!("<iq type='{kind}' from='{from}' to='invite.example.org' id='{id}'>{payload}</iq>");
                (self.sent, sent) = (id + 1, sent + 1);
            }
            self.stream.write_all(text.as_bytes()).unwrap();
            let read = open + self.stream.read(&mut buffer[open..]).unwrap();
            assert!(read > open, "the stream goes on");
            let received = &buffer[..read];
            assert!(!received.windows(6).any(|bytes| bytes == b"<error"), "{}", String::from_utf8_lossy(received));
            answered += received.windows(4).filter(|bytes| bytes == b"<iq ").count() as u64;
            open = read.min(3);
            buffer.copy_within(read - open..read, 0);
        }
        begun.elapsed()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop.cancel();
        drop(self.stream.shutdown(std::net::Shutdown::Both));
    }
}

fn command(number: u64, node: &str) -> (&'static str, String, String) {
    let payload = format!("<command xmlns='http://jabber.org/protocol/commands' node='{node}' action='execute'/>");
    ("set", format!("user-{}@example.org/phone", number % USERS), payload)
}

fn new_invite(number: u64, _: &[String]) -> (&'static str, String, String) {
    command(number, "urn:xmpp:invite#invite")
}

fn form(number: u64, _: &[String]) -> (&'static str, String, String) {
    command(number, "urn:xmpp:invite#create-account")
}

fn present(number: u64, tokens: &[String]) -> (&'static str, String, String) {
    let token = &tokens[number as usize % tokens.len()];
    let payload = format!("<check xmlns='urn:easy-invite:gate:1' token='{token}' lang='en'/>");
    ("get", "example.org".to_owned(), payload)
}

/// Reserves a use, and redeems a use reserved earlier: two requests for each registration.
fn register(number: u64, tokens: &[String]) -> (&'static str, String, String) {
    let behind = 2 * OUTSTANDING[OUTSTANDING.len() - 1];
    let gate = "xmlns='urn:easy-invite:gate:1'";
    let payload = match number % 2 {
        0 => {
            let token = &tokens[number as usize % tokens.len()];
            let presented = clock().as_second();
            format!(
                "<reserve {gate} reservation='r-{number}' server='bench' username='user-{number}' exists='false' \
                 grant='{token}.{presented}' lang='en'/>"
            )
        }
        _ if number > behind => format!("<fate {gate} reservation='r-{}' is='made'/>", number - 1 - behind),
        _ => format!("<deleted {gate} username='nobody' deleted-at='2026-01-01T00:00:00Z'/>"),
    };
    ("set", "example.org".to_owned(), payload)
}

fn benches(criterion: &mut Criterion) {
    let (disk, memory) = (Path::new(env!("CARGO_TARGET_TMPDIR")), Path::new("/dev/shm"));
    for (name, place, made, request) in [
        ("new-invite/durable", disk, 0, new_invite as fn(u64, &[String]) -> _),
        ("new-invite/memory", memory, 0, new_invite),
        ("form", memory, 0, form),
        ("present", disk, MADE, present),
        ("register/durable", disk, MADE, register),
    ] {
        let mut group = criterion.benchmark_group(format!("stream/{name}"));
        group.throughput(Throughput::Elements(1)).sample_size(10);
        group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
        let mut daemon = Daemon::new(place, made);
        for outstanding in OUTSTANDING {
            group.bench_with_input(BenchmarkId::from_parameter(outstanding), &outstanding, |bencher, outstanding| {
                bencher.iter_custom(|requests| daemon.answer(requests, *outstanding, request));
            });
        }
        group.finish();
    }
}

criterion_group!(stream_benches, benches);
criterion_main!(stream_benches);
