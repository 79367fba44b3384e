//! Stanzas: addresses as the server wrote them, payloads as elements.

use std::fmt;

use minidom::Element;
use xmpp_parsers::stanza_error::{DefinedCondition, ErrorType, StanzaError};

use super::framing::REFUSED;
use crate::texts::Texts;

/// Namespaces.
pub mod ns {
    pub use xmpp_parsers::ns::{
        AVATAR_DATA, AVATAR_METADATA, COMPONENT, DATA_FORMS, DISCO_INFO, DISCO_ITEMS, NICK, PING, PUBSUB, PUBSUB_EVENT,
        VCARD, VCARD_UPDATE, VERSION,
    };

    /// Commands (XEP-0050).
    pub const COMMANDS: &str = "http://jabber.org/protocol/commands";
    /// The name of the form with an invite's links (XEP-0401 §3.1.1).
    pub const INVITATION: &str = "urn:xmpp:invite#invitation";
    /// Hints on how to handle messages (XEP-0334).
    pub const HINTS: &str = "urn:xmpp:hints";
    /// The ids of stanzas (XEP-0359).
    pub const STANZA_IDS: &str = "urn:xmpp:sid:0";
    /// vCards (XEP-0292).
    pub const VCARD4: &str = "urn:ietf:params:xml:ns:vcard-4.0";
    /// Reading the items of a node (XEP-0060).
    pub const RETRIEVE_ITEMS: &str = "http://jabber.org/protocol/pubsub#retrieve-items";
    /// The gate (docs/gate.md).
    pub const GATE: &str = "urn:easy-invite:gate:1";
}

/// An element with attributes. An attribute whose value is `None` is left out.
macro_rules! element {
    ($ns:expr, $name:expr $(, $attribute:literal = $value:expr)* $(,)?) => {
        ::minidom::Element::builder($name, $ns)
            $(.attr(::rxml::xml_ncname!($attribute).into(), $value))*
            .build()
    };
}
pub(crate) use element;

/// An element with children added.
pub fn with(mut element: Element, children: impl IntoIterator<Item = Element>) -> Element {
    for child in children {
        element.append_child(child);
    }
    element
}

/// An element with a text added.
pub fn with_text(mut element: Element, text: &str) -> Element {
    element.append_text_node(text);
    element
}

/// Whether a request reads or changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It reads.
    Get,
    /// It changes.
    Set,
}

/// A request to the component (an IQ of type `get` or `set`).
#[derive(Clone, Debug)]
pub struct Request {
    /// Whether it reads or changes.
    pub kind: Kind,
    /// The sender's address, which the chat server has checked.
    pub from: String,
    /// The address that it was sent to: the component's JID, or another at that domain.
    pub to: String,
    /// The sender's id for it.
    pub id: String,
    /// The sender's language, or empty. If a stanza names none, the server adds the language of the
    /// sender's stream.
    pub language: String,
    /// The payload.
    pub payload: Element,
}

/// A stanza that came in, by what has to be done with it.
#[derive(Debug)]
pub enum Stanza {
    /// A request.
    Request(Box<Request>),
    /// The answer to a request of the component.
    Answer {
        /// The sender of the answer.
        from: String,
        /// The component's id for the request.
        id: String,
        /// The payload, if there is one, or the error.
        outcome: Result<Option<Element>, ErrorAnswer>,
    },
    /// A presence.
    Presence(Box<Element>),
    /// A message.
    Message(Box<Element>),
    /// A stanza to be answered with this error: a malformed IQ, or what `framing` has left of a
    /// stanza that was out of bounds.
    Bad(Box<Element>, StanzaError),
    /// A stanza to ignore: an unknown one, or an IQ without the addresses or the id that an answer
    /// needs.
    Other,
}

impl Stanza {
    /// Classifies a stanza.
    pub fn of(mut element: Element) -> Stanza {
        match element.name() {
            _ if !element.has_ns(ns::COMPONENT) => Stanza::Other,
            _ if element.has_child("refused", REFUSED) => {
                let why: String = element.children().map(Element::text).collect();
                let error =
                    error(ErrorType::Modify, DefinedCondition::PolicyViolation, format!("This stanza is {why}"));
                Stanza::Bad(Box::new(element), error)
            }
            "presence" => Stanza::Presence(Box::new(element)),
            "message" => Stanza::Message(Box::new(element)),
            "iq" => {
                let attribute = |name: &str| element.attr(name).map(str::to_owned);
                let (Some(from), Some(to), Some(id)) = (attribute("from"), attribute("to"), attribute("id")) else {
                    return Stanza::Other;
                };
                let kind = match element.attr("type") {
                    Some("get") => Kind::Get,
                    Some("set") => Kind::Set,
                    Some("result") => return Stanza::Answer { from, id, outcome: Ok(element.unshift_child()) },
                    Some("error") => {
                        let error = element.children().find(|child| child.name() == "error");
                        return Stanza::Answer {
                            from,
                            id,
                            outcome: Err(error.map(ErrorAnswer::of).unwrap_or_default()),
                        };
                    }
                    _ => return Stanza::bad_request(element),
                };
                let own = language(&element).map(str::to_owned);
                match (element.children().count(), element.unshift_child()) {
                    (1, Some(payload)) => {
                        let language = language(&payload).map(str::to_owned).or(own).unwrap_or_default();
                        Stanza::Request(Box::new(Request { kind, from, to, id, language, payload }))
                    }
                    _ => Stanza::bad_request(element),
                }
            }
            _ => Stanza::Other,
        }
    }

    fn bad_request(iq: Element) -> Stanza {
        let text = "An IQ has a type, and a request has exactly one payload";
        Stanza::Bad(Box::new(iq), error(ErrorType::Modify, DefinedCondition::BadRequest, text))
    }
}

/// The `xml:lang` of an element.
pub fn language(element: &Element) -> Option<&str> {
    element.attr_ns(&rxml::Namespace::XML, "lang")
}

/// A stanza error or a stream error that came in (RFC 6120 §8.3, §4.9). What is missing is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorAnswer {
    /// The type. Empty for a stream error.
    pub kind: String,
    /// The condition. Empty if there is none.
    pub condition: String,
    /// The text for people. Empty if there is none.
    pub text: String,
}

impl ErrorAnswer {
    /// What an `<error/>` says.
    pub fn of(error: &Element) -> Self {
        let (texts, conditions): (Vec<_>, Vec<_>) = error.children().partition(|child| child.name() == "text");
        ErrorAnswer {
            kind: error.attr("type").unwrap_or_default().to_owned(),
            condition: conditions.first().map_or("", |condition| condition.name()).to_owned(),
            text: texts.first().map(|text| text.text()).unwrap_or_default(),
        }
    }
}

impl fmt::Display for ErrorAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.condition.as_str(), self.text.as_str()) {
            ("", _) => f.write_str("an error without a condition"),
            (condition, "") => f.write_str(condition),
            (condition, text) => write!(f, "{condition}: {text}"),
        }
    }
}

/// The outcome of a request: the payload of the result, if it has one, or an error.
pub type Outcome = Result<Option<Element>, StanzaError>;

/// The reply to a request.
pub fn reply(request: &Request, outcome: Outcome) -> Element {
    let (to, from, id) = (request.from.as_str(), request.to.as_str(), request.id.as_str());
    let (kind, payload) = match outcome {
        Ok(payload) => ("result", payload),
        Err(error) => ("error", Some(Element::from(error))),
    };
    with(element!(ns::COMPONENT, "iq", "type" = kind, "to" = to, "from" = from, "id" = id), payload)
}

/// A message with a text in this language. Its id is also its `origin-id` (XEP-0359).
pub fn message(kind: Option<&str>, from: &str, to: &str, id: &str, language: &str, text: &str) -> Element {
    let mut message = element!(ns::COMPONENT, "message", "type" = kind, "from" = from, "to" = to, "id" = id);
    message.set_attr(rxml::Namespace::XML, rxml::xml_ncname!("lang").to_owned(), language);
    let body = with_text(element!(ns::COMPONENT, "body"), text);
    with(message, [body, element!(ns::STANZA_IDS, "origin-id", "id" = id)])
}

/// An error in reply to a malformed stanza. `None` if the stanza is an error or a result itself, or
/// lacks an address.
pub fn error_reply(stanza: &Element, error: StanzaError) -> Option<Element> {
    let (from, to) = (stanza.attr("from")?, stanza.attr("to")?);
    if !matches!(stanza.name(), "iq" | "message" | "presence")
        || matches!(stanza.attr("type"), Some("error" | "result"))
    {
        return None;
    }
    let (name, id) = (stanza.name(), stanza.attr("id"));
    let reply = element!(ns::COMPONENT, name, "type" = "error", "to" = from, "from" = to, "id" = id);
    Some(with(reply, [Element::from(error)]))
}

/// A stanza error with a text in the requester's language (RFC 6120 §8.3).
pub fn error_in(texts: &Texts, kind: ErrorType, condition: DefinedCondition, text: impl Into<String>) -> StanzaError {
    StanzaError::new(kind, condition, texts.code.as_str(), text.into())
}

/// A stanza error with an English text, for people who write software.
pub fn error(kind: ErrorType, condition: DefinedCondition, text: impl Into<String>) -> StanzaError {
    StanzaError::new(kind, condition, "en", text.into())
}

/// The error for a request that the component does not answer, or not for this sender.
pub fn not_for_you() -> StanzaError {
    error(ErrorType::Cancel, DefinedCondition::ServiceUnavailable, "There is nothing here that answers this")
}

/// Adds the language of its texts to an element. English needs none, since servers mark stanzas
/// without a language as English.
pub fn in_language(mut element: Element, texts: &Texts) -> Element {
    if texts.code != Texts::english().code {
        element.set_attr(rxml::Namespace::XML, rxml::xml_ncname!("lang").to_owned(), texts.code.as_str());
    }
    element
}
