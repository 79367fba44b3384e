//! The answers that a text has to get, worked out from the text itself, apart from the daemon.

use rxml::{AttrMap, Event, Namespace, Parse, QName};

const STANZAS: &str = "jabber:component:accept";

/// In a start tag of at most this many bytes, every part is within the daemon's bounds.
const SHORT: usize = 4096;

/// An answer: the name of its stanza, and the `from`, `to` and `id` of what it answers.
pub type Answer = (String, [Option<String>; 3]);

/// A stanza that was sent, by the answers that it may get.
#[derive(Debug, PartialEq, Eq)]
pub enum Sent {
    /// A request: exactly one answer.
    Request(Answer),
    /// At most one error.
    MayFail(Answer),
    /// A presence: at most an error, or two presences and the component's name.
    Presence(Answer),
    /// A message: at most an error, or a message.
    Message(Answer),
}

/// The stanzas in a text that may get answers. `None` if the text is anything else than whole
/// stanzas with white space between them, or if the daemon may drop a start tag.
pub fn sent(text: &str) -> Option<Vec<Sent>> {
    let text = format!("<stream xmlns='{STANZAS}' xmlns:stream='http://etherx.jabber.org/streams'>{text}</stream>");
    let (mut parser, mut left) = (rxml::Parser::new(), text.as_bytes());
    let (mut depth, mut sent) = (0, Vec::new());
    loop {
        match parser.parse(&mut left, true).ok()? {
            None => return Some(sent),
            Some(Event::XmlDeclaration(..)) => return None,
            Some(Event::Text(_, text)) if depth == 1 && !xso::is_xml_whitespace(text.as_bytes()) => return None,
            Some(Event::Text(..)) => (),
            Some(Event::EndElement(_)) => depth -= 1,
            Some(Event::StartElement(metrics, name, attributes)) => {
                if depth == 1 {
                    // The daemon drops a start tag with a reserved namespace in it.
                    let reserved = attributes.iter().any(|(_, value)| value.starts_with("http://www.w3.org/"));
                    let ends_stream = name.1 == "error" && name.0 != *STANZAS;
                    if metrics.len() > SHORT || reserved || ends_stream {
                        return None;
                    }
                    sent.extend(stanza(&name, &attributes));
                }
                depth += 1;
            }
        }
    }
}

fn stanza(name: &QName, attributes: &AttrMap) -> Option<Sent> {
    let attribute = |name: &str| attributes.get(&Namespace::NONE, name).cloned();
    let addresses = [attribute("from"), attribute("to"), attribute("id")];
    if name.0 != *STANZAS || matches!(attribute("type").as_deref(), Some("result" | "error")) {
        return None;
    }
    let complete = addresses.iter().all(Option::is_some);
    let answer = (name.1.to_string(), addresses);
    match answer.0.as_str() {
        "iq" if complete => Some(Sent::Request(answer)),
        "presence" => Some(Sent::Presence(answer)),
        "message" => Some(Sent::Message(answer)),
        _ => Some(Sent::MayFail(answer)),
    }
}
