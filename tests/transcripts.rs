//! Protocol transcripts: `tests/transcripts/*.xml`, one behaviour a file, played against the
//! component over a pipe.
//!
//! Lines that begin with `S:` are what the chat server sends, with `C:` what the component must
//! send next. `{name}` in a `C:` line takes what stands there, in later lines it stands for that;
//! `…` matches anything. `B:` is what a browser wants of the service, which goes on beside the
//! rest; `E:` is how the oldest of these ends. Lines with `#` are comments, but `# policy:` sets
//! fields of the policy of example.org, `# limits:` limits, and `# hook:` the id of its server.
//! `# imported:` is the type and the token of an invite of alice's that another program has made.
//! Questions about accounts that no `C:` line wants are answered by themselves: there is one, of a
//! user.
//! Every transcript ends with a ping that must be answered next: nothing else was sent, and the
//! stream lives.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::path::Path;
use std::time::Duration;

use easy_invite::chat_server::{ChatServer, Hook};
use easy_invite::invite::{Invite, InviteId, Issuer, Program, Token, username};
use easy_invite::invites::{BrowserRegistration, Invites, Settings};
use easy_invite::limits::{Limits, MOST_WRONG_IN_ALL};
use easy_invite::links::LandingPage;
use easy_invite::policy::{HostPolicy, Wish};
use easy_invite::secret::Secret;
use easy_invite::store::{Filter, Quota, Store, StoreUrl};
use easy_invite::xmpp;
use jid::{BareJid, DomainPart};
use jiff::Timestamp;
use minidom::Element;
use rxml::{Event, Parse};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use xso::minidom_compat::ElementFromEvents;
use xso::{Context, FromEventsBuilder};

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' \
     xmlns:stream='http://etherx.jabber.org/streams' from='invite.example.org' id='s1'>";
const PING: &str =
    "<iq type='get' from='example.org' to='invite.example.org' id='end'><ping xmlns='urn:xmpp:ping'/></iq>";
const PONG: &str = "<iq type='result' from='invite.example.org' to='example.org' id='end'/>";

/// The instant at which every transcript plays.
fn clock() -> Timestamp {
    "2026-11-22T10:00:00Z".parse().unwrap()
}

/// The chat server's end of the pipe.
struct Server {
    pipe: DuplexStream,
    parser: rxml::Parser,
    building: Option<(ElementFromEvents, usize)>,
    opened: bool,
    bytes: Vec<u8>,
}

impl Server {
    fn new(pipe: DuplexStream) -> Self {
        Server { pipe, parser: rxml::Parser::new(), building: None, opened: false, bytes: Vec::new() }
    }

    async fn send(&mut self, text: &str) {
        self.pipe.write_all(text.as_bytes()).await.unwrap();
    }

    /// The next element on the stream; `None` when the stream or the pipe has ended.
    async fn next(&mut self) -> Option<Element> {
        loop {
            let mut slice = self.bytes.as_slice();
            let event = self.parser.parse(&mut slice, false);
            let left = slice.len();
            self.bytes.drain(..self.bytes.len() - left);
            match event {
                Ok(Some(event)) => {
                    if let Some(element) = self.take(event)? {
                        return Some(element);
                    }
                }
                Ok(None) => return None,
                Err(_) => {
                    let mut buffer = [0; 4096];
                    let read = self.pipe.read(&mut buffer).await.unwrap();
                    if read == 0 {
                        return None;
                    }
                    self.bytes.extend_from_slice(&buffer[..read]);
                }
            }
        }
    }

    /// `None` at the end of the stream.
    fn take(&mut self, event: Event) -> Option<Option<Element>> {
        match (&mut self.building, event) {
            (None, Event::StartElement(_, name, attributes)) if self.opened => {
                self.building = Some((ElementFromEvents::new(name, attributes), 0));
            }
            (None, Event::StartElement(..)) => self.opened = true,
            (None, Event::EndElement(_)) => return None,
            (None, _) => (),
            (Some((builder, _)), event) => {
                if let Some(element) = builder.feed(event, &Context::empty()).unwrap() {
                    self.building = None;
                    return Some(Some(element));
                }
            }
        }
        Some(None)
    }
}

/// Does `actual` read like `pattern`? Takes the values of names on the way.
fn text_matches(pattern: &str, actual: &str, values: &mut HashMap<String, String>) -> bool {
    let Some(start) = pattern.find(['{', '…']) else { return pattern == actual };
    let (literal, rest) = pattern.split_at(start);
    let Some(actual) = actual.strip_prefix(literal) else { return false };
    let (name, rest) = match rest.strip_prefix('…') {
        Some(rest) => ("…", rest),
        None => rest[1..].split_once('}').expect("a name in braces"),
    };
    if let Some(known) = values.get(name) {
        let known = known.clone();
        return actual.strip_prefix(&known).is_some_and(|actual| text_matches(rest, actual, values));
    }
    // As little as possible that lets the rest match.
    let ends = actual.char_indices().map(|(index, _)| index).chain([actual.len()]);
    for end in ends {
        let mut guess = values.clone();
        if name != "…" {
            guess.insert(name.to_owned(), actual[..end].to_owned());
        }
        if text_matches(rest, &actual[end..], &mut guess) {
            *values = guess;
            return true;
        }
    }
    false
}

fn element_matches(pattern: &Element, actual: &Element, values: &mut HashMap<String, String>) -> bool {
    let attributes = |element: &Element| -> BTreeMap<String, String> {
        element.attrs().iter().map(|((_, name), value)| (name.to_string(), value.clone())).collect()
    };
    let (expected, found) = (attributes(pattern), attributes(actual));
    let texts = |element: &Element| element.texts().collect::<String>().trim().to_owned();
    pattern.name() == actual.name()
        && pattern.ns() == actual.ns()
        && expected.keys().eq(found.keys())
        && expected.iter().all(|(name, value)| text_matches(value, &found[name], values))
        && text_matches(&texts(pattern), &texts(actual), values)
        && pattern.children().count() == actual.children().count()
        && pattern.children().zip(actual.children()).all(|(one, other)| element_matches(one, other, values))
}

fn stanza(text: &str) -> Element {
    let wrapped = format!("<x xmlns='jabber:component:accept'>{text}</x>");
    let element: Element = wrapped.parse().unwrap_or_else(|error| panic!("{error} in {text}"));
    element.children().next().unwrap().clone()
}

fn policy(transcript: &str) -> HostPolicy {
    let mut policy = HostPolicy::default();
    for setting in transcript.lines().filter_map(|line| line.strip_prefix("# policy: ")) {
        match setting.split_once(" = ").expect("a setting") {
            ("registration_invite_only", value) => policy.registration_invite_only = value.parse().unwrap(),
            ("allow_user_invites", value) => policy.allow_user_invites = value.parse().unwrap(),
            ("allow_contact_invites", value) => policy.allow_contact_invites = value.parse().unwrap(),
            ("admins", value) => policy.admins = vec![value.parse().unwrap()],
            ("landing_page", value) => policy.landing_page = Some(LandingPage::parse(value).unwrap()),
            ("invites_per_day", value) => policy.invites_per_day = Some(value.parse().unwrap()),
            ("pending_invites", value) => policy.pending_invites = Some(value.parse().unwrap()),
            ("inviter_age", value) => policy.inviter_age = value.parse().unwrap(),
            ("max_uses", value) => policy.max_uses = Some(value.parse().unwrap()),
            ("max_expires", value) => policy.max_expires = Some(value.parse().unwrap()),
            (name, _) => panic!("{name}?"),
        }
    }
    policy
}

fn limits(transcript: &str) -> Limits {
    let mut limits = Limits::default();
    for setting in transcript.lines().filter_map(|line| line.strip_prefix("# limits: ")) {
        match setting.split_once(" = ").expect("a setting") {
            ("wrong_tokens", value) => limits.wrong_tokens = Some(value.parse().unwrap()),
            ("registrations", value) => limits.registrations = Some(value.parse().unwrap()),
            ("forms", value) => limits.forms = Some(value.parse().unwrap()),
            (name, _) => panic!("{name}?"),
        }
    }
    limits
}

/// Who does the next step of a transcript.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Server,
    Component,
    Browser,
    Ended,
}

/// The steps; one goes on over lines that begin with a space.
fn steps(transcript: &str) -> Vec<(Step, String)> {
    const MARKS: [(&str, Step); 4] =
        [("S: ", Step::Server), ("C: ", Step::Component), ("B: ", Step::Browser), ("E: ", Step::Ended)];
    let mut steps: Vec<(Step, String)> = Vec::new();
    for line in transcript.lines() {
        let marked = MARKS.iter().find_map(|(mark, step)| Some((*step, line.strip_prefix(mark)?)));
        match marked {
            Some((step, text)) => steps.push((step, text.to_owned())),
            None if line.starts_with(' ') => steps.last_mut().expect("a step").1.push_str(line.trim()),
            None => assert!(line.is_empty() || line.starts_with('#'), "{line}"),
        }
    }
    steps.extend([(Step::Server, PING.to_owned()), (Step::Component, PONG.to_owned())]);
    steps
}

/// What a browser wants: `register token=… username=… password=… form=… address=…`, of which all
/// but the token may be left out, or `suggest USERNAME`. How it ends, in words.
async fn browse(invites: Invites, wanted: String) -> String {
    let mut words = wanted.split(' ');
    if words.next() == Some("suggest") {
        let taken = username(words.next().unwrap()).unwrap();
        let names = invites.suggest_usernames(&DomainPart::new("example.org").unwrap().into_owned(), &taken).await;
        return names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" ");
    }
    let fields: HashMap<_, _> = words.map(|word| word.split_once('=').expect("a field")).collect();
    let registration = BrowserRegistration {
        answers: Vec::new(),
        token: Token::parse(fields["token"]).expect("a token"),
        username: fields.get("username").map(|name| username(name).unwrap()),
        password: Secret::new(fields.get("password").copied().unwrap_or("lamp-kite").to_owned()),
        form: fields.get("form").copied().unwrap_or("form").to_owned(),
        address: fields.get("address").map(|address| address.parse().unwrap()),
    };
    match invites.register(registration).await {
        Ok(registered) => registered.account.to_string(),
        Err(error) => error.to_string(),
    }
}

/// The component, running over a pipe whose other end is the test's.
struct Component {
    server: Server,
    store: Store,
    invites: Invites,
    stop: CancellationToken,
    ended: tokio::task::JoinHandle<String>,
    _folder: tempfile::TempDir,
}

impl Component {
    /// Starts it; the stream is open, and the handshake is on its way.
    async fn start(policy: HostPolicy, limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StoreUrl::Sqlite(folder.path().join("easy-invite.db"))).await.unwrap();
        let (chat_server, mut questions) = ChatServer::channel();
        let host = |name| DomainPart::new(name).unwrap().into_owned();
        let hosts = BTreeMap::from([(host("example.org"), policy), (host("example.net"), HostPolicy::default())]);
        let settings = Settings { hosts, limits, ..Settings::new(host("invite.example.org")) };
        let invites = Invites::new(store.clone(), settings, chat_server, clock);
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let stop = CancellationToken::new();
        let config = xmpp::Config {
            jid: host("invite.example.org"),
            server: String::new(),
            secret: Secret::new("secret".to_owned()),
            secret_source: "the secret of the test".to_owned(),
        };
        let (serving, stopped) = (watch::channel(invites.clone()).1, stop.clone());
        let (reader, writer) = tokio::io::split(theirs);
        let ended = tokio::spawn(async move {
            xmpp::serve_connection(reader, writer, &config, &serving, &mut questions, &stopped).await
        });
        let mut server = Server::new(ours);
        server.send(HEADER).await;
        Component { server, store, invites, stop, ended, _folder: folder }
    }

    /// The same, logged in.
    async fn logged_in(policy: HostPolicy, limits: Limits) -> Self {
        let mut component = Component::start(policy, limits).await;
        assert_eq!(component.server.next().await.unwrap().name(), "handshake");
        component.server.send("<handshake/>").await;
        component
    }

    /// Has an invite of example.org that another program has made: its type and its token.
    async fn import(&self, imported: &str) {
        let (invite_type, token) = imported.split_once(' ').expect("a type and a token");
        let token = Token::parse(token).expect("a token");
        let alice = BareJid::new("alice@example.org").unwrap();
        let mut wish = Wish::new(invite_type.parse().unwrap(), alice.domain().to_owned(), Issuer::User);
        wish.inviter = Some(alice);
        let id = InviteId::generate().unwrap();
        let invite = wish.into_invite(&HostPolicy::default(), id, token.hash(), clock()).unwrap();
        let token_length = u32::try_from(token.reveal().len()).ok();
        let invite = Invite { imported_from: Some(Program::Prosody), token_length, ..invite };
        self.store.insert(invite, Quota::default(), clock()).await.unwrap().unwrap();
    }

    /// How it ends, in its own words.
    async fn end(mut self) -> String {
        // The server closes its half alone: what the component still has to say is not lost.
        self.server.pipe.shutdown().await.unwrap();
        tokio::time::timeout(Duration::from_secs(60), self.ended).await.expect("an end").unwrap()
    }
}

/// The account that a stanza asks about.
fn asked_about(stanza: &Element) -> Option<&str> {
    stanza.get_child("account", "urn:easy-invite:gate:1")?.attr("username")
}

/// The answer to a question about an account: there is one, of a user.
fn a_users(question: &Element) -> String {
    let attribute = |name| question.attr(name).unwrap();
    let (id, to, from) = (attribute("id"), attribute("from"), attribute("to"));
    let account = "<account xmlns='urn:easy-invite:gate:1' exists='true' admin='false'/>";
    format!("<iq type='result' from='{from}' to='{to}' id='{id}'>{account}</iq>")
}

async fn play(path: &Path) {
    let transcript = std::fs::read_to_string(path).unwrap();
    let mut component = Component::logged_in(policy(&transcript), limits(&transcript)).await;
    for id in transcript.lines().filter_map(|line| line.strip_prefix("# hook: ")) {
        let hook = Hook { software: "a transcript".to_owned(), server: id.to_owned(), ..Hook::default() };
        component.invites.hook_introduced(DomainPart::new("example.org").unwrap().into_owned(), &hook);
    }
    for imported in transcript.lines().filter_map(|line| line.strip_prefix("# imported: ")) {
        component.import(imported).await;
    }
    let server = &mut component.server;
    let mut values = HashMap::new();
    let mut browsers = VecDeque::new();
    for (step, text) in steps(&transcript) {
        let known = values
            .iter()
            .fold(text.clone(), |text, (name, value): (&String, &String)| text.replace(&format!("{{{name}}}"), value));
        match step {
            Step::Server => server.send(&known).await,
            Step::Component => {
                let expected = stanza(&text);
                let found = loop {
                    let found = tokio::time::timeout(Duration::from_secs(60), server.next()).await;
                    let found = found.unwrap_or_else(|_| panic!("nothing came, expected {text}"));
                    let found = found.expect("the stream ended");
                    if asked_about(&found).is_none() || asked_about(&found) == asked_about(&expected) {
                        break found;
                    }
                    server.send(&a_users(&found)).await;
                };
                assert!(
                    element_matches(&expected, &found, &mut values),
                    "{}\nexpected {text}\n   found {}",
                    path.display(),
                    String::from(&found)
                );
            }
            Step::Browser => browsers.push_back(tokio::spawn(browse(component.invites.clone(), known))),
            Step::Ended => {
                let browser = browsers.pop_front().expect("a browser");
                let ended = tokio::time::timeout(Duration::from_secs(60), browser).await;
                let ended = ended.unwrap_or_else(|_| panic!("it does not end, expected {text}")).unwrap();
                assert!(text_matches(&known, &ended, &mut values), "expected {known}\n   found {ended}");
            }
        }
    }
    assert!(browsers.is_empty(), "{}: a browser is left", path.display());
    component.stop.cancel();
    assert!(server.next().await.is_none(), "and closes its stream");
    assert_eq!(component.end().await, "stopped");
}

#[tokio::test]
async fn every_transcript_plays() {
    let mut transcripts: Vec<_> =
        std::fs::read_dir("tests/transcripts").unwrap().map(|entry| entry.unwrap().path()).collect();
    transcripts.sort();
    assert!(transcripts.len() >= 10, "{transcripts:?}");
    let mut failed = Vec::new();
    for transcript in transcripts {
        // One that fails says why by its panic.
        if tokio::spawn({
            let transcript = transcript.clone();
            async move { play(&transcript).await }
        })
        .await
        .is_err()
        {
            failed.push(transcript);
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

/// What the component says after the chat server sent this in the place of a handshake.
async fn after_login_got(text: &str) -> String {
    let mut component = Component::start(HostPolicy::default(), Limits::default()).await;
    component.server.send(text).await;
    component.end().await
}

#[tokio::test]
async fn a_refused_login_says_what_to_change() {
    let error = |condition, text| {
        format!(
            "<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
             <text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>{text}</text></stream:error></stream:stream>"
        )
    };
    let said = after_login_got(&error("not-authorized", "Given token does not match")).await;
    assert!(said.contains("make the secret of the test equal to component_secret"), "{said}");
    assert!(!said.contains("\"secret\""), "the secret itself stays out of it: {said}");
    let said = after_login_got(&error("host-unknown", "")).await;
    assert!(said.contains("add Component \"invite.example.org\""), "{said}");
    let said = after_login_got(&error("conflict", "")).await;
    assert!(said.contains("end the other daemon"), "{said}");
    let said = after_login_got(&error("resource-constraint", "too busy")).await;
    assert!(said.contains("resource-constraint: too busy"), "{said}");
    let said = after_login_got("<iq/>").await;
    assert!(said.contains("the answer was no handshake"), "{said}");
    let said = after_login_got("</stream:stream>").await;
    assert!(said.contains("did not let the component"), "{said}");
}

#[tokio::test]
async fn the_end_of_a_session_has_a_reason() {
    for (text, reason) in [
        (
            "<stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>".to_owned(),
            "system-shutdown",
        ),
        ("</stream:stream>".to_owned(), "closed the stream"),
        ("<iq><a></b></iq>".to_owned(), "do not match"),
        ("<!-- no comments in XMPP -->".to_owned(), "comments"),
        (String::new(), "eof"),
    ] {
        let mut component = Component::logged_in(HostPolicy::default(), Limits::default()).await;
        component.server.send(PING).await;
        assert_eq!(component.server.next().await.unwrap().attr("id"), Some("end"));
        component.server.send(&text).await;
        let said = component.end().await;
        assert!(said.contains(reason), "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_asked_whether_it_is_there_and_then_given_up() {
    let mut component = Component::logged_in(HostPolicy::default(), Limits::default()).await;
    let before = tokio::time::Instant::now();
    let ping = component.server.next().await.unwrap();
    assert!(ping.children().next().unwrap().is("ping", "urn:xmpp:ping"));
    assert!((60..70).contains(&before.elapsed().as_secs()), "{:?}", before.elapsed());
    // Any answer will do, even an error.
    component.server.send("<iq type='error' from='example.org' to='invite.example.org' id='alive'/>").await;
    let second = component.server.next().await.unwrap();
    assert!(second.children().next().unwrap().is("ping", "urn:xmpp:ping"));
    let said = component.ended.await.unwrap();
    assert!((180..200).contains(&before.elapsed().as_secs()), "{:?}", before.elapsed());
    assert!(said.contains("silent") || said.contains("timed out") || said.contains("timeout"), "{said}");
}

/// So many requests of one user for "New Invite".
fn new_invites(count: u32) -> String {
    let request = |number| {
        format!(
            "<iq type='set' from='alice@example.org/x' to='invite.example.org' id='{number}'>\
             <command xmlns='http://jabber.org/protocol/commands' node='urn:xmpp:invite#invite'/></iq>"
        )
    };
    (0..count).map(request).collect()
}

#[tokio::test]
async fn what_came_in_with_the_end_of_the_stream_is_done() {
    let mut component = Component::logged_in(HostPolicy::default(), Limits::default()).await;
    component.server.send(&new_invites(1)).await;
    let question = component.server.next().await.unwrap();
    component.server.send(&a_users(&question)).await; // which holds for a moment
    assert_eq!(component.server.next().await.unwrap().attr("type"), Some("result"));
    // Nobody is told of any of these. The server may not say again that the account is gone.
    let deleted = "<iq type='set' from='example.org' to='invite.example.org' id='gone'>\
         <deleted xmlns='urn:easy-invite:gate:1' username='alice'/></iq></stream:stream>";
    component.server.send(&(new_invites(10) + deleted)).await;
    let said = (&mut component.ended).await.unwrap();
    assert!(said.contains("closed the stream"), "{said}");
    let done = async {
        loop {
            let invites = component.invites.list(Filter::default(), 100).await.unwrap();
            match &invites[..] {
                [told] if told.revoked_at.is_some() => return,
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), done).await.expect("one invite, which has ended");
}

#[tokio::test]
async fn what_is_in_flight_is_answered_before_the_end() {
    let mut component = Component::logged_in(HostPolicy::default(), Limits::default()).await;
    component.server.send(&new_invites(50)).await;
    let question = component.server.next().await.unwrap();
    component.server.send(&a_users(&question)).await; // one question for all of them
    let mut answered = 0;
    while let Some(stanza) = component.server.next().await {
        assert_eq!(stanza.attr("type"), Some("result"));
        answered += 1;
        component.stop.cancel();
    }
    assert_eq!(answered, 50);
    assert_eq!(component.end().await, "stopped");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_one_user_keeps_nobody_else_waiting() {
    let mut component = Component::logged_in(HostPolicy::default(), Limits::default()).await;
    let server = &mut component.server;
    // Each of these needs an answer of the hook, which never comes.
    for number in 0..300 {
        let query =
            "<query xmlns='http://jabber.org/protocol/disco#items' node='http://jabber.org/protocol/commands'/>";
        server
            .send(&format!(
                "<iq type='get' from='bob@example.org/x' to='invite.example.org' id='{number}'>{query}</iq>"
            ))
            .await;
    }
    let ping = "<ping xmlns='urn:xmpp:ping'/>";
    let alices = format!("<iq type='get' from='alice@example.org/x' to='invite.example.org' id='alice'>{ping}</iq>");
    server.send(&alices).await;
    server.send(PING).await;
    let before = tokio::time::Instant::now();
    let (mut refused, mut answered) = (0, Vec::new());
    while answered.len() < 2 {
        let stanza = server.next().await.unwrap();
        match stanza.attr("type") {
            Some("error") => refused += 1,
            Some("result") => answered.push(stanza.attr("id").unwrap().to_owned()),
            _ => assert!(stanza.has_child("account", "urn:easy-invite:gate:1")),
        }
    }
    assert_eq!(answered, ["alice", "end"]);
    assert_eq!(refused, 300 - 64);
    assert!(before.elapsed() < Duration::from_secs(4), "long before the hook's patience ends");
}

#[tokio::test]
async fn too_many_wrong_tokens_in_all_are_refused_and_right_ones_are_not() {
    let mut component = Component::logged_in(HostPolicy::default(), Limits::default()).await;
    let server = &mut component.server;
    let check = |token: &str, number: u32| {
        // Each from another address.
        format!(
            "<iq type='get' from='example.org' to='invite.example.org' id='{number}'>\
             <check xmlns='urn:easy-invite:gate:1' token='{token}' address='2001:db8:{number:x}::1'/></iq>"
        )
    };
    server
        .send(
            "<iq type='set' from='example.org' to='invite.example.org' id='0'>\
             <generate xmlns='urn:easy-invite:gate:1' type='account'/></iq>",
        )
        .await;
    let made = server.next().await.unwrap();
    let token = made.children().next().unwrap().attr("uri").unwrap().split_once("preauth=").unwrap().1.to_owned();
    for number in 1..=MOST_WRONG_IN_ALL + 100 {
        server.send(&check("AAAAAAAAAAAAAAAAAAAAAAAA", number)).await;
        let condition = if number > MOST_WRONG_IN_ALL { "policy-violation" } else { "item-not-found" };
        let answer = server.next().await.unwrap();
        let error = answer.children().next().unwrap();
        assert_eq!(error.children().next().unwrap().name(), condition, "{number}");
        assert_eq!(error.attr("type"), Some(if number > MOST_WRONG_IN_ALL { "wait" } else { "cancel" }));
        if number.is_multiple_of(100) {
            server.send(&check(&token, number)).await;
            assert_eq!(server.next().await.unwrap().attr("type"), Some("result"), "{number}");
        }
    }
}

/// So many pings of the host, from this number on.
fn pings(from: usize, count: usize) -> String {
    let ping = |number: usize| PING.replace("'end'", &format!("'{number}'"));
    (from..from + count).map(ping).collect()
}

#[tokio::test(start_paused = true)]
async fn a_server_that_takes_nothing_for_a_while_is_read_and_then_answered() {
    let mut component = Component::logged_in(HostPolicy::default(), Limits::default()).await;
    let server = &mut component.server;
    // The answers are four times as many as the pipe holds.
    let count = (4 << 16) / PONG.len();
    for number in (0..count).step_by(100) {
        let sent = tokio::time::timeout(Duration::from_secs(20), server.send(&pings(number, 100))).await;
        sent.expect("the component goes on reading");
    }
    let mut missing: HashSet<String> = (0..count.next_multiple_of(100)).map(|number| number.to_string()).collect();
    while !missing.is_empty() {
        let answer = server.next().await.unwrap();
        assert!(missing.remove(answer.attr("id").unwrap()), "each is answered once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_takes_nothing_is_read_so_far_and_then_given_up() {
    let mut component = Component::logged_in(HostPolicy::default(), Limits::default()).await;
    let before = tokio::time::Instant::now();
    let mut taken = 0;
    let flood = async {
        for number in 0..30_000 {
            component.server.send(&pings(number, 1)).await;
            taken += 1;
        }
    };
    drop(tokio::time::timeout(Duration::from_secs(30), flood).await);
    assert!((8192..20_000).contains(&taken), "{taken} requests were read, of which none was answered");
    let said = component.ended.await.unwrap();
    assert!(said.contains("has stopped reading"), "{said}");
    assert!((60..70).contains(&before.elapsed().as_secs()), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_takes_nothing_does_not_keep_the_daemon_from_stopping() {
    let Component { server, stop, ended, _folder, .. } =
        Component::logged_in(HostPolicy::default(), Limits::default()).await;
    let (mut reading, mut writing) = tokio::io::split(server.pipe);
    let flood = tokio::spawn(async move {
        for _ in 0..30_000 {
            writing.write_all(PING.as_bytes()).await.unwrap();
        }
    });
    // Until both directions are full, nothing but this test can make time pass.
    tokio::time::sleep(Duration::from_secs(1)).await;
    stop.cancel();
    let said = tokio::time::timeout(Duration::from_secs(10), ended).await.expect("an end").unwrap();
    assert_eq!(said, "stopped");
    flood.abort();
    let mut rest = Vec::new();
    reading.read_to_end(&mut rest).await.unwrap();
    assert!(rest.len() >= 1 << 16);
}
