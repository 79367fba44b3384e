//! The chat server's end of the component's stream, with a hook that answers every question of the
//! daemon at once.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use easy_invite::chat_server::{ChatServer, Hook};
use easy_invite::invites::{Invites, Settings};
use easy_invite::lifetime::Lifetime;
use easy_invite::limits::Limits;
use easy_invite::links::LandingPage;
use easy_invite::policy::HostPolicy;
use easy_invite::secret::Secret;
use easy_invite::store::{Store, StoreUrl};
use easy_invite::texts::Languages;
use easy_invite::xmpp;
use jid::{BareJid, DomainPart};
use jiff::Timestamp;
use minidom::Element;
use rxml::{Event, Parse};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use xso::minidom_compat::ElementFromEvents;
use xso::{Context, FromEventsBuilder};

use crate::requests::{Answer, Sent, sent};

/// The component's address.
pub const COMPONENT: &str = "invite.example.org";

/// A served host with the default policy. The other one, example.net, has open registration, only
/// contact invites for users, and a landing page.
pub const HOST: &str = "example.org";

/// An admin of [`HOST`].
pub const ADMIN: &str = "boss@example.org";

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' \
     xmlns:stream='http://etherx.jabber.org/streams' from='invite.example.org' id='s1'>";
const PING: &str =
    "<iq type='get' from='example.org' to='invite.example.org' id='end'><ping xmlns='urn:xmpp:ping'/></iq>";
const GATE: &str = "urn:easy-invite:gate:1";

/// How long an answer may take: far longer than on any machine, since this does not measure speed.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many bytes each side may write before the other reads: more than any input leads to.
const PIPE: usize = 1 << 26;

/// A new store's file. Copying it is cheaper than making one for each input.
static EMPTY: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("easy-invite.db");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    drop(runtime.block_on(Store::open(&StoreUrl::Sqlite(file.clone()))).unwrap());
    std::fs::read(file).unwrap()
});

/// The languages. Reading them takes longer than most inputs.
static LANGUAGES: LazyLock<Arc<Languages>> = LazyLock::new(|| Arc::new(Languages::built_in()));

/// The instant at which everything happens.
pub fn clock() -> Timestamp {
    Timestamp::constant(1_795_341_600, 0)
}

/// Has the chat server an account of this name?
pub fn has_account(username: &str) -> bool {
    matches!(username, "alice" | "bob" | "boss")
}

/// The chat server's end of a session that is logged in.
pub struct Server {
    /// The daemon's invites.
    pub invites: Invites,
    daemon: JoinHandle<String>,
    pipe: DuplexStream,
    parser: rxml::Parser,
    bytes: Vec<u8>,
    opened: bool,
    building: Option<ElementFromEvents>,
    /// The answers that have to come, and how many of each.
    owed: BTreeMap<Answer, usize>,
    /// The errors that may come, and how many of each.
    tolerated: BTreeMap<Answer, usize>,
    /// How many presences, and messages that go with them, may come.
    presences: usize,
    /// How many messages may come.
    messages: usize,
    /// How many stanzas may come at most, once something else than whole stanzas was sent.
    broken: Option<usize>,
    /// The token that the daemon told last.
    token: String,
    /// The id of the session that the daemon opened last.
    session: String,
}

impl Server {
    /// Lets `talk` speak with a new daemon that has an empty store. Fails unless the daemon then
    /// still answers, has answered every request once, and ends when the stream does.
    pub fn run(talk: impl AsyncFnOnce(&mut Server)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("easy-invite.db");
        std::fs::write(&file, &*EMPTY).unwrap();
        runtime.block_on(async {
            let store = Store::open(&StoreUrl::Sqlite(file)).await.unwrap();
            let mut server = Server::logged_in(store).await;
            talk(&mut server).await;
            server.end().await;
        });
    }

    async fn logged_in(store: Store) -> Self {
        let host = |name| DomainPart::new(name).unwrap().into_owned();
        let usual = HostPolicy { admins: vec![BareJid::new(ADMIN).unwrap()], ..HostPolicy::default() };
        let other = HostPolicy {
            registration_invite_only: false,
            allow_user_invites: false,
            landing_page: Some(LandingPage::parse("https://example.net/join/#{uri}").unwrap()),
            ..HostPolicy::default()
        };
        let (chat_server, mut questions) = ChatServer::channel();
        let settings = Settings {
            component: host("invite.example.org"),
            hosts: BTreeMap::from([(host(HOST), usual), (host("example.net"), other)]),
            limits: Limits::default(),
            retention: Lifetime::Never,
            audit: Lifetime::Never,
            languages: LANGUAGES.clone(),
        };
        let invites = Invites::new(store, settings, chat_server, clock);
        for name in [HOST, "example.net"] {
            let hook = Hook { software: "a fuzzer".to_owned(), server: "s1".to_owned(), ..Hook::default() };
            invites.hook_introduced(host(name), &hook);
        }
        let secret = Secret::new("secret".to_owned());
        let (server, secret_source) = (String::new(), String::new());
        let config = xmpp::Config { jid: host(COMPONENT), server, secret, secret_source };
        let (pipe, theirs) = tokio::io::duplex(PIPE);
        let daemons = watch::channel(invites.clone()).1;
        let (reader, writer) = tokio::io::split(theirs);
        let daemon = tokio::spawn(async move {
            let stop = CancellationToken::new();
            xmpp::serve_connection(reader, writer, &config, &daemons, &mut questions, &stop).await
        });
        let mut server = Server {
            invites,
            daemon,
            pipe,
            parser: rxml::Parser::new(),
            bytes: Vec::new(),
            opened: false,
            building: None,
            owed: BTreeMap::new(),
            tolerated: BTreeMap::new(),
            presences: 0,
            messages: 0,
            broken: None,
            token: String::new(),
            session: String::new(),
        };
        server.write(HEADER.as_bytes()).await;
        assert!(server.next().await.is_some_and(|element| element.name() == "handshake"));
        server.write(b"<handshake/>").await;
        server
    }

    /// The text with the last token and session in the place of `{token}` and `{session}`.
    pub fn filled_in(&self, text: &str) -> String {
        text.replace("{token}", &self.token).replace("{session}", &self.session)
    }

    /// Sends a text, and returns the answers when every request in it has one. A text that is not
    /// made of whole stanzas may end the stream. It, and what follows, is not waited for.
    pub async fn send(&mut self, text: &str) -> Vec<Element> {
        match (self.broken, sent(text)) {
            (None, Some(stanzas)) => self.expect(stanzas),
            _ => self.expect_anything(text.as_bytes()),
        }
        self.write(text.as_bytes()).await;
        let mut answers = Vec::new();
        while self.broken.is_none() && !self.owed.is_empty() {
            let Some(stanza) = self.next().await else { panic!("the daemon closed the stream after {text}") };
            answers.extend(self.take(stanza).await);
        }
        answers
    }

    /// Sends bytes that are not UTF-8.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        self.expect_anything(bytes);
        self.write(bytes).await;
    }

    /// From here on, only the number of answers is bounded.
    fn expect_anything(&mut self, bytes: &[u8]) {
        let tolerated = || self.presences + self.messages + self.tolerated.values().sum::<usize>();
        let before = self.broken.unwrap_or_else(tolerated);
        self.broken = Some(before + 2 * bytes.iter().filter(|byte| **byte == b'<').count());
    }

    async fn end(mut self) {
        if self.broken.is_none() {
            self.send(PING).await;
        }
        // The daemon may have ended the stream already.
        drop(self.pipe.shutdown().await);
        while let Some(stanza) = self.next().await {
            self.take(stanza).await;
        }
        tokio::time::timeout(PATIENCE, self.daemon)
            .await
            .expect("the daemon did not end")
            .expect("the daemon panicked");
    }

    fn expect(&mut self, stanzas: Vec<Sent>) {
        for stanza in stanzas {
            let (list, answer) = match stanza {
                Sent::Request(answer) => (&mut self.owed, answer),
                Sent::MayFail(answer) => (&mut self.tolerated, answer),
                Sent::Presence(answer) => {
                    self.presences += 3;
                    (&mut self.tolerated, answer)
                }
                Sent::Message(answer) => {
                    self.messages += 1;
                    (&mut self.tolerated, answer)
                }
            };
            *list.entry(answer).or_default() += 1;
        }
    }

    async fn write(&mut self, bytes: &[u8]) {
        let written = self.pipe.write_all(bytes).await;
        assert!(written.is_ok() || self.broken.is_some(), "the daemon closed the stream: {written:?}");
    }

    /// Takes a stanza of the daemon. A question is answered, and an answer is checked and returned.
    async fn take(&mut self, stanza: Element) -> Option<Element> {
        let [from, to, id] = ["from", "to", "id"].map(|name| stanza.attr(name).map(str::to_owned));
        let kind = stanza.attr("type").unwrap_or_default();
        if stanza.name() == "iq" && matches!(kind, "get" | "set") {
            assert_eq!(from.as_deref(), Some(COMPONENT));
            self.answer(&stanza, &to.expect("an address"), &id.expect("an id")).await;
            return None;
        }
        let answer = (stanza.name().to_owned(), [to, from, id]);
        match (self.broken.as_mut(), stanza.name(), kind) {
            (Some(left), ..) => *left = left.checked_sub(1).expect("more stanzas came than the input can lead to"),
            (None, "iq", "result") => assert!(take_one(&mut self.owed, &answer), "nobody asked: {}", text(&stanza)),
            (None, "presence", "" | "subscribed" | "unsubscribed") | (None, "message", "headline") => {
                self.presences = self.presences.checked_sub(1).expect("a presence that nobody asked for");
            }
            (None, "message", "" | "chat") => {
                self.messages = self.messages.checked_sub(1).expect("a message that nobody asked for");
            }
            (None, "iq" | "message" | "presence", "error") => {
                let expected = take_one(&mut self.owed, &answer) || take_one(&mut self.tolerated, &answer);
                assert!(expected, "nobody asked: {}", text(&stanza));
                let error = stanza.children().find(|child| child.name() == "error").expect("an error");
                assert!(error.attr("type").is_some() && error.children().next().is_some(), "{}", text(&stanza));
            }
            _ => panic!("what is this? {}", text(&stanza)),
        }
        let said = text(&stanza);
        for (before, kept) in [("preauth=", &mut self.token), ("sessionid=\"", &mut self.session)] {
            if let Some((_, after)) = said.split_once(before) {
                *kept = after.chars().take_while(char::is_ascii_alphanumeric).collect();
            }
        }
        Some(stanza)
    }

    /// Answers as the hook: it knows three accounts, and the fate of a reservation varies.
    async fn answer(&mut self, question: &Element, host: &str, id: &str) {
        let payload = question.children().next().expect("a question");
        assert!(payload.ns() == GATE && matches!(host, HOST | "example.net"), "{}", text(question));
        let payload = match payload.name() {
            "account" => {
                let username = payload.attr("username").expect("a username");
                let (exists, admin) = (has_account(username), username == "boss");
                let impossible = username.len() > 100;
                format!("<account xmlns='{GATE}' exists='{exists}' admin='{admin}' impossible='{impossible}'/>")
            }
            "settle" => {
                let reservation = payload.attr("reservation").expect("a reservation");
                let fates = ["made", "not-made", "in-flight", "unfinished", "elsewhere", "nonsense"];
                let fate = fates[reservation.len() % fates.len()];
                format!("<fate xmlns='{GATE}' is='{fate}'/>")
            }
            other => panic!("the daemon asks {other}"),
        };
        let iq = format!("<iq type='result' from='{host}' to='{COMPONENT}' id='{id}'>{payload}</iq>");
        self.write(iq.as_bytes()).await;
    }

    /// The next element on the stream. `None` when the stream has ended.
    async fn next(&mut self) -> Option<Element> {
        loop {
            let mut slice = self.bytes.as_slice();
            let event = self.parser.parse(&mut slice, false);
            let left = slice.len();
            self.bytes.drain(..self.bytes.len() - left);
            match event {
                Ok(Some(Event::StartElement(_, name, attributes))) if self.building.is_none() => {
                    if self.opened {
                        self.building = Some(ElementFromEvents::new(name, attributes));
                    }
                    self.opened = true;
                }
                Ok(Some(event)) => {
                    let Some(building) = &mut self.building else { continue };
                    if let Some(element) = building.feed(event, &Context::empty()).expect("an element") {
                        self.building = None;
                        return Some(element);
                    }
                }
                Ok(None) => return None,
                Err(rxml::error::EndOrError::Error(error)) => {
                    panic!("the daemon wrote something that is not XML: {error}")
                }
                Err(rxml::error::EndOrError::NeedMoreData) => {
                    let mut buffer = [0; 4096];
                    let reading = tokio::time::timeout(PATIENCE, self.pipe.read(&mut buffer)).await;
                    match reading.expect("the daemon does not answer").expect("a pipe that can be read") {
                        0 => return None,
                        read => self.bytes.extend_from_slice(&buffer[..read]),
                    }
                }
            }
        }
    }
}

fn take_one(list: &mut BTreeMap<Answer, usize>, answer: &Answer) -> bool {
    match list.get_mut(answer) {
        None => false,
        Some(1) => list.remove(answer).is_some(),
        Some(count) => {
            *count -= 1;
            true
        }
    }
}

fn text(element: &Element) -> String {
    String::from(element)
}
