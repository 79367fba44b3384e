//! Protocol transcripts: `tests/transcripts/*.xml`, one behaviour a file, played against the component over a pipe.
//!
//! Lines that begin with `S:` are what the chat server sends, with `C:` what the component must send next. `{name}` in a
//! `C:` line takes what stands there, in later lines it stands for that; `…` matches anything. Lines with `#` are
//! comments, but `# policy:` sets fields of the policy of example.org. Every transcript ends with a ping that must be answered
//! next: nothing else was sent, and the stream lives.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

use easy_invite::chat_server::ChatServer;
use easy_invite::invites::Invites;
use easy_invite::links::LandingPage;
use easy_invite::policy::HostPolicy;
use easy_invite::secret::Secret;
use easy_invite::store::{Store, StoreUrl};
use easy_invite::xmpp;
use jid::DomainPart;
use jiff::Timestamp;
use minidom::Element;
use rxml::{Event, Parse};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufStream, DuplexStream};
use tokio_util::sync::CancellationToken;
use xso::minidom_compat::ElementFromEvents;
use xso::{Context, FromEventsBuilder};

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' \
     xmlns:stream='http://etherx.jabber.org/streams' from='invite.example.org' id='s1'>";
const PING: &str = "<iq type='get' from='example.org' to='invite.example.org' id='end'><ping xmlns='urn:xmpp:ping'/></iq>";
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
            (name, _) => panic!("{name}?"),
        }
    }
    policy
}

/// `S:` and `C:` steps; a step goes on over lines that begin with a space.
fn steps(transcript: &str) -> Vec<(bool, String)> {
    let mut steps: Vec<(bool, String)> = Vec::new();
    for line in transcript.lines() {
        match (line.strip_prefix("S: "), line.strip_prefix("C: ")) {
            (Some(text), _) => steps.push((true, text.to_owned())),
            (_, Some(text)) => steps.push((false, text.to_owned())),
            _ if line.starts_with(' ') => steps.last_mut().expect("a step").1.push_str(line.trim()),
            _ => assert!(line.is_empty() || line.starts_with('#'), "{line}"),
        }
    }
    steps.extend([(true, PING.to_owned()), (false, PONG.to_owned())]);
    steps
}

async fn play(path: &Path) {
    let transcript = std::fs::read_to_string(path).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&StoreUrl::Sqlite(folder.path().join("easy-invite.db"))).unwrap();
    let (chat_server, mut questions) = ChatServer::channel();
    let host = |name| DomainPart::new(name).unwrap().into_owned();
    let policies =
        BTreeMap::from([(host("example.org"), policy(&transcript)), (host("example.net"), HostPolicy::default())]);
    let invites = Invites::new(store, policies, chat_server, clock);
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let stop = CancellationToken::new();
    let config = xmpp::Config {
        jid: host("invite.example.org"),
        server: String::new(),
        secret: Secret::new("secret".to_owned()),
    };
    let component = {
        let stop = stop.clone();
        async move { xmpp::serve_connection(BufStream::new(theirs), &config, &invites, &mut questions, &stop).await }
    };
    let component = tokio::spawn(component);
    let mut server = Server::new(ours);
    server.send(HEADER).await;
    assert_eq!(server.next().await.unwrap().name(), "handshake");
    server.send("<handshake/>").await;
    let mut values = HashMap::new();
    for (from_server, text) in steps(&transcript) {
        if from_server {
            let text = values.iter().fold(text, |text, (name, value): (&String, &String)| {
                text.replace(&format!("{{{name}}}"), value)
            });
            server.send(&text).await;
        } else {
            let expected = stanza(&text);
            let found = tokio::time::timeout(Duration::from_secs(20), server.next()).await;
            let found = found.unwrap_or_else(|_| panic!("nothing came, expected {text}")).expect("the stream ended");
            assert!(
                element_matches(&expected, &found, &mut values),
                "{}\nexpected {text}\n   found {}",
                path.display(),
                String::from(&found)
            );
        }
    }
    stop.cancel();
    assert!(server.next().await.is_none(), "and closes its stream");
    drop(server);
    assert_eq!(component.await.unwrap(), "stopped");
}

#[tokio::test]
async fn every_transcript_plays() {
    let mut transcripts: Vec<_> =
        std::fs::read_dir("tests/transcripts").unwrap().map(|entry| entry.unwrap().path()).collect();
    transcripts.sort();
    assert!(transcripts.len() >= 10, "{transcripts:?}");
    for transcript in transcripts {
        println!("{}", transcript.display());
        play(&transcript).await;
    }
}
