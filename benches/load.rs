//! Load for `scripts/bench`: clients of a chat server, and the components that they are compared
//! with. One thread, which reads answers without parsing them as XML, so that its own cost is not
//! what is measured. And daemons that work in a store, without a chat server.
//!
//! `cargo bench --bench load -- --help` lists the measurements. Each prints one JSON object.

#[path = "load/in_store.rs"]
mod in_store;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Parser, ValueEnum};
use futures::future::try_join_all;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use xmpp_parsers::component::Handshake;

/// How long one answer may take before the measurement fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many times a connection is tried again.
const TRIES: u32 = 5;

/// The password of every account.
const PASSWORD: &str = "a password for a benchmark";

/// How many users there are: `user-0`, `user-1` …
const USERS: usize = 32;

/// The command that completes at once with an invite (XEP-0401 §3.1).
const NEW_INVITE: &str = "urn:xmpp:invite#invite";

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// `cargo bench` adds this.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Clients that do the same thing again and again
    Run(Run),
    /// A component that answers every request at once, stores nothing, and runs until it is killed
    Nothing {
        /// The chat server's component listener
        server: SocketAddr,
        /// The component's JID
        jid: String,
        /// The file with the secret
        secret: PathBuf,
    },
    /// A chat server that logs everybody in and answers every request at once, to measure the
    /// clients
    Server {
        /// The port of 127.0.0.1
        port: u16,
    },
    /// Daemons that work in a store, without a chat server
    Store(in_store::Work),
    /// A chat server without users, which sends a component commands as fast as they are answered
    Stream {
        /// The port of 127.0.0.1 to which the component connects
        port: u16,
        /// How many requests are outstanding at a time
        at_once: usize,
        /// How many requests there are in all
        count: usize,
        /// The node of the command
        #[arg(default_value = NEW_INVITE)]
        node: String,
    },
}

#[derive(clap::Args)]
struct Run {
    /// What the clients do
    what: What,
    /// The chat server's client listener
    #[arg(long)]
    server: SocketAddr,
    /// The VirtualHost
    #[arg(long, default_value = "example.org")]
    host: String,
    /// The JID that commands go to, if it is not the host
    #[arg(long)]
    to: Option<String>,
    /// How many requests or connections are in flight
    #[arg(long, default_value_t = 1)]
    at_once: usize,
    /// For how many seconds
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// How many times in all, at most
    #[arg(long, default_value_t = usize::MAX)]
    count: usize,
    /// For how many seconds before the measurement begins
    #[arg(long, default_value_t = 0.5)]
    warm_up: f64,
    /// A file with the tokens to present or redeem, one a line
    #[arg(long)]
    tokens: Option<PathBuf>,
    /// A file for the tokens of the new invites
    #[arg(long)]
    keep: Option<PathBuf>,
    /// The beginning of the usernames of new accounts
    #[arg(long, default_value = "guest")]
    name: String,
}

#[derive(Clone, Copy, ValueEnum, PartialEq)]
enum What {
    /// Up to 32 users, who are logged in, run "New Invite"
    NewInvite,
    /// A new connection presents a token
    Present,
    /// An open connection presents tokens
    PresentAgain,
    /// A new connection presents a token and registers
    Redeem,
    /// A new connection registers without a token, where registration is open
    Register,
    /// A new connection, from an address of its own, presents an unknown token
    Guess,
    /// A user, who is logged in, pings the server
    Ping,
    /// A user, who is logged in, runs "My Invites", which lists them
    List,
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Store(work) => println!("{}", Runtime::new()?.block_on(work.measure())?),
        other => on_one_thread(other)?,
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn on_one_thread(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Store(_) => bail!("daemons have several threads"),
        Command::Run(run) => tokio::task::LocalSet::new().run_until(measure(run)).await,
        Command::Nothing { server, jid, secret } => do_nothing(server, &jid, fs::read_to_string(secret)?.trim()).await,
        Command::Server { port } => tokio::task::LocalSet::new().run_until(serve(port)).await,
        Command::Stream { port, at_once, count, node } => drive(port, at_once, count, &node).await,
    }
}

/// A connection that reads stanzas as text.
struct Stream {
    tcp: TcpStream,
    read: Vec<u8>,
    at: usize,
}

impl Stream {
    fn of(tcp: TcpStream) -> io::Result<Self> {
        tcp.set_nodelay(true)?;
        Ok(Stream { tcp, read: Vec::with_capacity(16 * 1024), at: 0 })
    }

    /// Connects, from another address of this machine if one is given.
    async fn connect(server: SocketAddr, from: Option<Ipv4Addr>) -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        if let Some(from) = from {
            socket.bind(SocketAddr::new(IpAddr::V4(from), 0))?;
        }
        Ok(Stream::of(socket.connect(server).await?)?)
    }

    async fn write(&mut self, text: &str) -> io::Result<()> {
        self.tcp.write_all(text.as_bytes()).await
    }

    /// The text up to the first `end`, inclusive.
    async fn until(&mut self, end: &str) -> anyhow::Result<String> {
        let mut looked = 0;
        loop {
            let rest = &self.read[self.at..];
            if let Some(found) = find(&rest[looked..], end.as_bytes()) {
                let text = String::from_utf8(rest[..looked + found + end.len()].to_vec())?;
                self.at += text.len();
                return Ok(text);
            }
            looked = (rest.len() + 1).saturating_sub(end.len());
            self.more().await.with_context(|| format!("waiting for {end}"))?;
        }
    }

    /// The next IQ. Everything before it is skipped.
    async fn iq(&mut self) -> anyhow::Result<Iq> {
        loop {
            if let Some(iq) = self.iq_that_is_there()? {
                return Ok(iq);
            }
            self.more().await?;
        }
    }

    /// The next IQ that has been read already.
    fn iq_that_is_there(&mut self) -> anyhow::Result<Option<Iq>> {
        let rest = &self.read[self.at..];
        let Some(start) = find(rest, b"<iq ") else { return Ok(None) };
        let Some(head) = find(&rest[start..], b">") else { return Ok(None) };
        let end = match rest[start + head - 1] {
            b'/' => start + head + 1,
            _ => match find(&rest[start..], b"</iq>") {
                Some(end) => start + end + "</iq>".len(),
                None => return Ok(None),
            },
        };
        let iq = Iq { text: String::from_utf8(rest[start..end].to_vec())?, head };
        self.at += end;
        Ok(Some(iq))
    }

    async fn more(&mut self) -> anyhow::Result<()> {
        if self.at > 0 {
            self.read.drain(..self.at);
            self.at = 0;
        }
        let read = tokio::time::timeout(PATIENCE, self.tcp.read_buf(&mut self.read)).await;
        let read = read.map_err(|_| io::Error::from(ErrorKind::TimedOut))??;
        ensure!(read > 0, "the other side has closed the connection: {}", String::from_utf8_lossy(&self.read));
        Ok(())
    }

    /// Opens a client's stream and returns the server's stream features.
    async fn open(&mut self, host: &str) -> anyhow::Result<String> {
        let header = format!(
            "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='{host}' \
             version='1.0'>"
        );
        self.write(&header).await?;
        self.until("</stream:features>").await
    }

    /// Logs a user in (RFC 6120 §6, SASL PLAIN, and §7).
    async fn log_in(&mut self, host: &str, username: &str) -> anyhow::Result<()> {
        self.open(host).await?;
        let credentials = STANDARD.encode(format!("\0{username}\0{PASSWORD}"));
        let auth = format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{credentials}</auth>");
        self.write(&auth).await?;
        let answer = self.until(">").await?;
        ensure!(answer.contains("<success"), "{username} cannot log in: {answer}");
        self.open(host).await?;
        let bind = "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
        self.write(bind).await?;
        self.iq().await?.result()
    }

    /// Sends a request and waits for its answer.
    async fn ask(&mut self, iq: &str) -> anyhow::Result<Iq> {
        self.write(iq).await?;
        self.iq().await
    }
}

/// An IQ as text.
struct Iq {
    text: String,
    head: usize,
}

impl Iq {
    fn attribute(&self, name: &str) -> &str {
        let head = &self.text[..self.head];
        let found = head.find(&format!(" {name}='")).map(|at| &head[at + name.len() + 3..]);
        let found = found.or_else(|| head.find(&format!(" {name}=\"")).map(|at| &head[at + name.len() + 3..]));
        found.and_then(|rest| rest.split(['\'', '"']).next()).unwrap_or_default()
    }

    /// Fails if it is an error.
    fn result(&self) -> anyhow::Result<()> {
        ensure!(self.attribute("type") == "result", "refused: {}", self.text);
        Ok(())
    }

    /// The token of the invite in it.
    fn token(&self) -> anyhow::Result<&str> {
        let rest = self.text.split_once("preauth=").with_context(|| format!("no invite: {}", self.text))?.1;
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"-_".contains(c)).unwrap_or(rest.len());
        Ok(&rest[..end])
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, wanted)
}

/// State that all clients of a measurement share.
struct Shared {
    run: Run,
    tokens: RefCell<VecDeque<String>>,
    /// How many tasks have begun.
    begun: RefCell<usize>,
    /// When counting begins and ends.
    span: (Instant, Instant),
    latencies: RefCell<Vec<Duration>>,
    /// When the last counted task was done.
    last: Cell<Instant>,
    made: RefCell<Vec<String>>,
}

impl Shared {
    /// The number of the next task. `None` when enough have begun.
    fn next(&self) -> Option<usize> {
        let mut begun = self.begun.borrow_mut();
        if *begun >= self.run.count || self.is_over(Instant::now()) {
            return None;
        }
        *begun += 1;
        Some(*begun)
    }

    /// The next token. `again`: it may be used again.
    fn token(&self, again: bool) -> Option<String> {
        let mut tokens = self.tokens.borrow_mut();
        let token = tokens.pop_front()?;
        if again {
            tokens.push_back(token.clone());
        }
        Some(token)
    }

    /// Is the time over? Not before every client has done something, which some servers make slow.
    fn is_over(&self, now: Instant) -> bool {
        now > self.span.1 && self.latencies.borrow().len() >= self.run.at_once
    }

    /// A new connection with an open stream. A busy server may reset it. Then it is tried again.
    async fn connect(&self, from: Ipv4Addr) -> anyhow::Result<Stream> {
        let mut tries = 0;
        loop {
            let mut stream = Stream::connect(self.run.server, Some(from)).await?;
            match stream.open(&self.run.host).await {
                Ok(_) => return Ok(stream),
                Err(error) if tries == TRIES => return Err(error),
                Err(_) => tries += 1,
            }
        }
    }

    fn done(&self, since: Instant) {
        let now = Instant::now();
        if self.span.0 <= now && !self.is_over(now) {
            self.latencies.borrow_mut().push(now - since);
            self.last.set(now);
        }
    }
}

async fn measure(run: Run) -> anyhow::Result<()> {
    let tokens = match &run.tokens {
        Some(file) => fs::read_to_string(file)?.lines().map(str::to_owned).collect(),
        None => VecDeque::new(),
    };
    let (clients, each) = match run.what {
        What::NewInvite => (run.at_once.min(USERS), run.at_once.div_ceil(USERS)),
        _ => (run.at_once, 1),
    };
    let mut streams = Vec::new();
    for number in 0..clients {
        streams.push(match run.what {
            What::NewInvite | What::Ping | What::List => {
                let mut stream = Stream::connect(run.server, None).await?;
                stream.log_in(&run.host, &format!("user-{}", number % USERS)).await?;
                Some(stream)
            }
            What::PresentAgain => {
                let mut stream = Stream::connect(run.server, None).await?;
                stream.open(&run.host).await?;
                Some(stream)
            }
            What::Present | What::Redeem | What::Register | What::Guess => None,
        });
    }
    let begin = Instant::now() + Duration::from_secs_f64(run.warm_up);
    let span = (begin, begin + Duration::from_secs_f64(run.seconds));
    let shared = Rc::new(Shared {
        run,
        tokens: tokens.into(),
        begun: 0.into(),
        span,
        latencies: RefCell::default(),
        last: begin.into(),
        made: RefCell::default(),
    });
    let processor_before = processor_time()?;
    let clients = streams.into_iter().enumerate().map(|(number, stream)| {
        let shared = shared.clone();
        async move {
            let client = tokio::task::spawn_local(async move {
                match stream {
                    Some(stream) if shared.run.what == What::NewInvite => make_invites(stream, each, &shared).await,
                    Some(stream) => ask_again(stream, &shared).await,
                    None => connect_again(number, &shared).await,
                }
            });
            client.await?
        }
    });
    try_join_all(clients).await?;
    let seconds = (Instant::now().min(span.1.max(shared.last.get())) - span.0).as_secs_f64();
    let processor = processor_time()? - processor_before;
    let busy = processor.as_secs_f64() / (seconds + shared.run.warm_up);
    let mut latencies = shared.latencies.take();
    ensure!(!latencies.is_empty(), "nothing was done in time");
    latencies.sort_unstable();
    let milliseconds = |part: usize| latencies[(latencies.len() - 1) * part / 100].as_secs_f64() * 1e3;
    println!(
        "{}",
        json!({
            "count": latencies.len(), "seconds": seconds, "per_second": latencies.len() as f64 / seconds,
            "median_ms": milliseconds(50), "p99_ms": milliseconds(99), "generator_busy": busy,
        })
    );
    if let Some(file) = &shared.run.keep {
        fs::write(file, shared.made.take().join("\n") + "\n")?;
    }
    Ok(())
}

/// The processor time of this thread so far.
fn processor_time() -> anyhow::Result<Duration> {
    let told = fs::read_to_string("/proc/self/schedstat")?;
    let nanoseconds = told.split_whitespace().next().context("/proc/self/schedstat is empty")?.parse()?;
    Ok(Duration::from_nanos(nanoseconds))
}

/// One user who keeps `each` requests for "New Invite" in flight.
async fn make_invites(mut stream: Stream, each: usize, shared: &Shared) -> anyhow::Result<()> {
    let to = shared.run.to.as_ref().unwrap_or(&shared.run.host);
    let mut since: VecDeque<(usize, Instant)> = VecDeque::new();
    let mut room = each;
    loop {
        let mut text = String::new();
        while room > 0
            && let Some(id) = shared.next()
        {
            text += &execute(id, "", to, NEW_INVITE);
            since.push_back((id, Instant::now()));
            room -= 1;
        }
        if since.is_empty() {
            return Ok(());
        }
        stream.write(&text).await?;
        let mut answer = Some(stream.iq().await?);
        while let Some(iq) = answer {
            let id: usize = iq.attribute("id").parse()?;
            let position = since.iter().position(|(waiting, _)| *waiting == id).context("an answer to nothing")?;
            let (_, begun) = since.remove(position).context("an answer to nothing")?;
            iq.result()?;
            let token = iq.token()?;
            shared.done(begun);
            if shared.run.keep.is_some() {
                shared.made.borrow_mut().push(token.to_owned());
            }
            room += 1;
            answer = stream.iq_that_is_there()?;
        }
    }
}

fn execute(id: usize, from: &str, to: &str, node: &str) -> String {
    format!(
        "<iq type='set' id='{id}'{from} to='{to}'><command xmlns='http://jabber.org/protocol/commands' node='{node}' \
         action='execute'/></iq>"
    )
}

/// One connection that asks the same thing again and again.
async fn ask_again(mut stream: Stream, shared: &Shared) -> anyhow::Result<()> {
    while let Some(id) = shared.next() {
        let iq = match shared.run.what {
            What::Ping => {
                format!("<iq type='get' id='{id}' to='{}'><ping xmlns='urn:xmpp:ping'/></iq>", shared.run.host)
            }
            What::List => {
                let to = shared.run.to.as_ref().unwrap_or(&shared.run.host);
                execute(id, "", to, "urn:easy-invite:command:my-invites")
            }
            _ => preauth(&shared.run.host, &shared.token(true).context("no tokens")?),
        };
        let since = Instant::now();
        stream.ask(&iq).await?.result()?;
        shared.done(since);
    }
    Ok(())
}

fn preauth(host: &str, token: &str) -> String {
    format!("<iq type='set' id='preauth' to='{host}'><preauth xmlns='urn:xmpp:pars:0' token='{token}'/></iq>")
}

/// Connections, one after the other, that present a token or register or both.
async fn connect_again(number: usize, shared: &Shared) -> anyhow::Result<()> {
    let Run { what, host, .. } = &shared.run;
    // Clients begin one after the other, since a server's queue of new connections is short.
    tokio::time::sleep(Duration::from_millis(2) * u32::try_from(number)?).await;
    while let Some(id) = shared.next() {
        let token = match what {
            What::Register => None,
            What::Guess => Some(format!("{:024}", id * 1000 + number)),
            _ => match shared.token(*what == What::Present) {
                None => break,
                token => token,
            },
        };
        let since = Instant::now();
        // The limits for one address must not be met.
        let [_, high, middle, low] = u32::try_from(id)?.to_be_bytes();
        let from = Ipv4Addr::new(127, 1 + high % 250, middle, low.max(1));
        let mut stream = shared.connect(from).await?;
        if let Some(token) = token {
            let answer = stream.ask(&preauth(host, &token)).await?;
            match what {
                What::Guess => ensure!(answer.attribute("type") == "error", "an unknown token was accepted"),
                _ => answer.result()?,
            }
        }
        if matches!(what, What::Redeem | What::Register) {
            let register = format!(
                "<iq type='set' id='register' to='{host}'><query xmlns='jabber:iq:register'>\
                 <username>{}-{id}</username><password>{PASSWORD}</password></query></iq>",
                shared.run.name
            );
            stream.ask(&register).await?.result()?;
        }
        shared.done(since);
    }
    Ok(())
}

/// The answer of a component that stores nothing.
fn canned(request: &Iq) -> String {
    let [id, from, to] = ["id", "from", "to"].map(|name| request.attribute(name));
    if !request.text.contains("http://jabber.org/protocol/commands") {
        return format!("<iq type='result' id='{id}' from='{to}' to='{from}'/>");
    }
    format!(
        "<iq type='result' id='{id}' from='{to}' to='{from}'><command xmlns='http://jabber.org/protocol/commands' \
         node='urn:xmpp:invite#invite' sessionid='AAAABBBBCCCCDDDDEEEEFFFF' status='completed'>\
         <x xmlns='jabber:x:data' type='result'><title>Your invitation</title><instructions>Send one of these \
         links to the person you want to invite.</instructions><field var='FORM_TYPE' type='hidden'>\
         <value>urn:xmpp:invite#invitation</value></field><field var='landing-url' type='text-single' label='Web page'>\
         <value>https://join.example.org/#user-0@example.org?roster;preauth=AAAABBBBCCCCDDDDEEEEFFFF;ibr=y</value></field>\
         <field var='uri' type='text-single' label='Link for chat apps'>\
         <value>xmpp:user-0@example.org?roster;preauth=AAAABBBBCCCCDDDDEEEEFFFF;ibr=y</value></field>\
         <field var='expire' type='text-single' label='Valid until'><value>2026-12-31T00:00:00Z</value></field></x>\
         </command></iq>"
    )
}

/// Answers every request on a stream until it ends, those that came in together in one write.
async fn answer_all(mut stream: Stream) -> anyhow::Result<()> {
    loop {
        let mut answers = String::new();
        let mut request = Some(stream.iq().await?);
        while let Some(iq) = request {
            if matches!(iq.attribute("type"), "get" | "set") {
                answers += &canned(&iq);
            }
            request = stream.iq_that_is_there()?;
        }
        stream.write(&answers).await?;
    }
}

async fn do_nothing(server: SocketAddr, jid: &str, secret: &str) -> anyhow::Result<()> {
    let mut stream = Stream::connect(server, None).await?;
    let header = format!(
        "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='{jid}'>"
    );
    stream.write(&header).await?;
    stream.until("<stream:stream").await?;
    let header = stream.until(">").await?;
    let id =
        header.split(" id=").nth(1).and_then(|rest| rest.split(['\'', '"']).nth(1)).context("a stream without id")?;
    let proof = Handshake::from_stream_id_and_password(id.to_owned(), secret).data;
    let proof: String = proof.iter().flatten().map(|byte| format!("{byte:02x}")).collect();
    stream.write(&format!("<handshake>{proof}</handshake>")).await?;
    let answer = stream.until(">").await?;
    ensure!(answer.contains("handshake"), "the component cannot log in: {answer}");
    println!("ready");
    answer_all(stream).await
}

async fn serve(port: u16) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    println!("ready");
    loop {
        let mut stream = Stream::of(listener.accept().await?.0)?;
        tokio::task::spawn_local(async move {
            let header = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
                          xmlns:stream='http://etherx.jabber.org/streams' id='s' version='1.0'>\
                          <stream:features></stream:features>";
            stream.until("version='1.0'>").await?;
            stream.write(header).await?;
            // Clients of some measurements do not log in.
            if !stream.until(">").await?.contains("<auth") {
                stream.at = 0;
                return answer_all(stream).await;
            }
            stream.until("</auth>").await?;
            stream.write("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>").await?;
            stream.until("version='1.0'>").await?;
            stream.write(header).await?;
            answer_all(stream).await
        });
    }
}

async fn drive(port: u16, at_once: usize, count: usize, node: &str) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    println!("ready");
    let mut stream = Stream::of(listener.accept().await?.0)?;
    stream.until("<stream:stream").await?;
    stream.until(">").await?;
    let header = "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' \
                  xmlns:stream='http://etherx.jabber.org/streams' id='s' from='invite.example.org'>";
    stream.write(header).await?;
    stream.until("</handshake>").await?;
    stream.write("<handshake/>").await?;
    let (mut begun, mut done, mut in_flight) = (0, 0, 0);
    let mut since = Instant::now();
    while done < count {
        let mut text = String::new();
        while in_flight < at_once && begun < count {
            let from = format!(" from='user-{}@example.org/bench'", begun % USERS);
            text += &execute(begun, &from, "invite.example.org", node);
            begun += 1;
            in_flight += 1;
        }
        stream.write(&text).await?;
        let mut answer = Some(stream.iq().await?);
        while let Some(iq) = answer {
            if matches!(iq.attribute("type"), "get" | "set") {
                stream.write(&if iq.text.contains("<account ") { a_users(&iq) } else { refusal(&iq) }).await?;
            } else {
                iq.result()?;
                done += 1;
                in_flight -= 1;
                if done == 1 {
                    since = Instant::now();
                }
            }
            answer = stream.iq_that_is_there()?;
        }
    }
    let seconds = since.elapsed().as_secs_f64();
    println!("{}", json!({ "count": count, "seconds": seconds, "per_second": count as f64 / seconds }));
    // scripts/bench looks at the component's memory while it is connected.
    match stream.iq().await {
        Ok(iq) => bail!("an answer to nothing: {}", iq.text),
        Err(_) => Ok(()),
    }
}

/// The hook's answer about an account: there is one, of a user.
fn a_users(question: &Iq) -> String {
    let [id, from, to] = ["id", "from", "to"].map(|name| question.attribute(name));
    let account = "<account xmlns='urn:easy-invite:gate:1' exists='true' admin='false'/>";
    format!("<iq type='result' id='{id}' from='{to}' to='{from}'>{account}</iq>")
}

/// The answer of a server without the hook.
fn refusal(request: &Iq) -> String {
    let [id, from, to] = ["id", "from", "to"].map(|name| request.attribute(name));
    format!(
        "<iq type='error' id='{id}' from='{to}' to='{from}'><error type='cancel'>\
         <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
    )
}
