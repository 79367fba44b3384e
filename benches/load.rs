//! Load for `scripts/bench`: clients of a chat server, and the components that they are measured against. One thread, which
//! reads answers without parsing them as XML: what it costs must not be what is measured.
//!
//! `cargo bench --bench load -- --help` lists what it does. Each measurement prints one JSON object.

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
use xmpp_parsers::component::Handshake;

/// How long one answer may take before the measurement fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a connection is tried again.
const TRIES: u32 = 5;

/// The password of every account, those of the users who are there and those that are made.
const PASSWORD: &str = "a password for a benchmark";

/// How many users there are, by the names `user-0`, `user-1` …
const USERS: usize = 32;

/// The command that completes at once with an invite (XEP-0401 §3.1).
const NEW_INVITE: &str = "urn:xmpp:invite#invite";

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// What `cargo bench` adds.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Clients do the same thing again and again
    Run(Run),
    /// A component that answers every request at once and stores nothing, until it is killed
    Nothing {
        /// The chat server's component listener
        server: SocketAddr,
        /// The component's JID
        jid: String,
        /// The file with the secret
        secret: PathBuf,
    },
    /// A chat server that logs everybody in and answers every request at once: what the clients can do by themselves
    Server {
        /// The port of 127.0.0.1
        port: u16,
    },
    /// A chat server without users that has a component answer commands as fast as it does
    Stream {
        /// The port of 127.0.0.1 on which the component is waited for
        port: u16,
        /// How many requests wait for their answers at a time
        at_once: usize,
        /// How many in all
        count: usize,
        /// The command that is executed
        #[arg(default_value = NEW_INVITE)]
        node: String,
    },
}

#[derive(clap::Args)]
struct Run {
    /// What is done
    what: What,
    /// The chat server's client listener
    #[arg(long)]
    server: SocketAddr,
    /// The VirtualHost
    #[arg(long, default_value = "example.org")]
    host: String,
    /// To whom commands go, if not to the host
    #[arg(long)]
    to: Option<String>,
    /// How many are in flight
    #[arg(long, default_value_t = 1)]
    at_once: usize,
    /// For how long
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// How many at the most
    #[arg(long, default_value_t = usize::MAX)]
    count: usize,
    /// How long it is done before it is measured
    #[arg(long, default_value_t = 0.5)]
    warm_up: f64,
    /// A file with a token a line: those that are presented, or redeemed
    #[arg(long)]
    tokens: Option<PathBuf>,
    /// Where the tokens of invites that are made go
    #[arg(long)]
    keep: Option<PathBuf>,
    /// What the usernames of new accounts begin with
    #[arg(long, default_value = "guest")]
    name: String,
}

#[derive(Clone, Copy, ValueEnum, PartialEq)]
enum What {
    /// "New Invite", by up to 32 users who are logged in
    NewInvite,
    /// A token is presented on a new connection
    Present,
    /// Tokens are presented on connections that are there
    PresentAgain,
    /// A new connection presents a token and registers
    Redeem,
    /// A new connection registers, where that is open to everybody
    Register,
    /// A token that nobody has is presented on a new connection, each from an address of its own
    Guess,
    /// A user asks the server for a sign of life, on a connection that is there
    Ping,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Run(run) => tokio::task::LocalSet::new().run_until(measure(run)).await,
        Command::Nothing { server, jid, secret } => do_nothing(server, &jid, fs::read_to_string(secret)?.trim()).await,
        Command::Server { port } => tokio::task::LocalSet::new().run_until(serve(port)).await,
        Command::Stream { port, at_once, count, node } => drive(port, at_once, count, &node).await,
    }
}

/// A connection over which stanzas are read as they were written.
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

    /// From an address of this machine, if not its usual one.
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

    /// Everything up to the first `end`, which may have been read already.
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

    /// The next IQ; what comes before it is passed over.
    async fn iq(&mut self) -> anyhow::Result<Iq> {
        loop {
            if let Some(iq) = self.iq_that_is_there()? {
                return Ok(iq);
            }
            self.more().await?;
        }
    }

    /// The next IQ of those that have been read already.
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

    /// Opens a client's stream and returns what the server offers.
    async fn open(&mut self, host: &str) -> anyhow::Result<String> {
        let header = format!(
            "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='{host}' version='1.0'>"
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

    /// Asks and waits for the answer to just that.
    async fn ask(&mut self, iq: &str) -> anyhow::Result<Iq> {
        self.write(iq).await?;
        self.iq().await
    }
}

/// An IQ as it was written.
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

    /// That it is no error.
    fn result(&self) -> anyhow::Result<()> {
        ensure!(self.attribute("type") == "result", "refused: {}", self.text);
        Ok(())
    }

    /// The token of the invite that it tells of.
    fn token(&self) -> anyhow::Result<&str> {
        let rest = self.text.split_once("preauth=").with_context(|| format!("no invite: {}", self.text))?.1;
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"-_".contains(c)).unwrap_or(rest.len());
        Ok(&rest[..end])
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, wanted)
}

/// What all clients of a measurement share.
struct Shared {
    run: Run,
    tokens: RefCell<VecDeque<String>>,
    /// How many have begun.
    begun: RefCell<usize>,
    /// When counting begins, and when it ends.
    span: (Instant, Instant),
    latencies: RefCell<Vec<Duration>>,
    /// When the last that counts was done.
    last: Cell<Instant>,
    made: RefCell<Vec<String>>,
}

impl Shared {
    /// The number of what is to be done next; `None` when enough was done.
    fn next(&self) -> Option<usize> {
        let mut begun = self.begun.borrow_mut();
        if *begun >= self.run.count || self.is_over(Instant::now()) {
            return None;
        }
        *begun += 1;
        Some(*begun)
    }

    /// A token, used up or to be used again.
    fn token(&self, again: bool) -> Option<String> {
        let mut tokens = self.tokens.borrow_mut();
        let token = tokens.pop_front()?;
        if again {
            tokens.push_back(token.clone());
        }
        Some(token)
    }

    /// Whether the time is over, and every client has done something: there are servers that take so long.
    fn is_over(&self, now: Instant) -> bool {
        now > self.span.1 && self.latencies.borrow().len() >= self.run.at_once
    }

    /// A new connection with an open stream. A server that is busy may reset it before that; then people try again.
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
            What::NewInvite | What::Ping => {
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

/// What this thread has computed so far.
fn processor_time() -> anyhow::Result<Duration> {
    let told = fs::read_to_string("/proc/self/schedstat")?;
    let nanoseconds = told.split_whitespace().next().context("/proc/self/schedstat is empty")?.parse()?;
    Ok(Duration::from_nanos(nanoseconds))
}

/// One user who keeps so many "New Invite" in flight.
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

/// One connection on which the same thing is asked again and again.
async fn ask_again(mut stream: Stream, shared: &Shared) -> anyhow::Result<()> {
    while let Some(id) = shared.next() {
        let iq = match shared.run.what {
            What::Ping => {
                format!("<iq type='get' id='{id}' to='{}'><ping xmlns='urn:xmpp:ping'/></iq>", shared.run.host)
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

/// One after the other, people who have no account connect, may present a token, and may register.
async fn connect_again(number: usize, shared: &Shared) -> anyhow::Result<()> {
    let Run { what, host, .. } = &shared.run;
    // Not all at the same moment: a server has so many connections wait to be accepted, and no more.
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
        // Nobody does so much from one address.
        let [_, high, middle, low] = u32::try_from(id)?.to_be_bytes();
        let from = Ipv4Addr::new(127, 1 + high % 250, middle, low.max(1));
        let mut stream = shared.connect(from).await?;
        if let Some(token) = token {
            let answer = stream.ask(&preauth(host, &token)).await?;
            match what {
                What::Guess => ensure!(answer.attribute("type") == "error", "a token that nobody made was taken"),
                _ => answer.result()?,
            }
        }
        if matches!(what, What::Redeem | What::Register) {
            let register = format!(
                "<iq type='set' id='register' to='{host}'><query xmlns='jabber:iq:register'><username>{}-{id}</username>\
                 <password>{PASSWORD}</password></query></iq>",
                shared.run.name
            );
            stream.ask(&register).await?.result()?;
        }
        shared.done(since);
    }
    Ok(())
}

/// The answer that a component which stores nothing gives to a request.
fn canned(request: &Iq) -> String {
    let [id, from, to] = ["id", "from", "to"].map(|name| request.attribute(name));
    if !request.text.contains("http://jabber.org/protocol/commands") {
        return format!("<iq type='result' id='{id}' from='{to}' to='{from}'/>");
    }
    format!(
        "<iq type='result' id='{id}' from='{to}' to='{from}'><command xmlns='http://jabber.org/protocol/commands' \
         node='urn:xmpp:invite#invite' sessionid='AAAABBBBCCCCDDDDEEEEFFFF' status='completed'>\
         <x xmlns='jabber:x:data' type='result'><title>Your invitation</title><instructions>Send one of these links to the \
         person you want to invite.</instructions><field var='FORM_TYPE' type='hidden'>\
         <value>urn:xmpp:invite#invitation</value></field><field var='landing-url' type='text-single' label='Web page'>\
         <value>https://join.example.org/#user-0@example.org?roster;preauth=AAAABBBBCCCCDDDDEEEEFFFF;ibr=y</value></field>\
         <field var='uri' type='text-single' label='Link for chat apps'>\
         <value>xmpp:user-0@example.org?roster;preauth=AAAABBBBCCCCDDDDEEEEFFFF;ibr=y</value></field>\
         <field var='expire' type='text-single' label='Valid until'><value>2026-12-31T00:00:00Z</value></field></x>\
         </command></iq>"
    )
}

/// Answers every request on a stream at once, whatever is ready in one write, until it ends.
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
                          xmlns:stream='http://etherx.jabber.org/streams' id='s' version='1.0'><stream:features></stream:features>";
            stream.until("version='1.0'>").await?;
            stream.write(header).await?;
            // Either a login or requests at once.
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
                stream.write(&refusal(&iq)).await?;
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
    // The component's memory is looked at while it is connected.
    match stream.iq().await {
        Ok(iq) => bail!("an answer to nothing: {}", iq.text),
        Err(_) => Ok(()),
    }
}

/// Nobody is there to answer what the component asks.
fn refusal(request: &Iq) -> String {
    let [id, from, to] = ["id", "from", "to"].map(|name| request.attribute(name));
    format!(
        "<iq type='error' id='{id}' from='{to}' to='{from}'><error type='cancel'>\
         <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
    )
}
