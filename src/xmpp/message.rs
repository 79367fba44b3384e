//! Messages: which of them a person has just written to the component, and the answers.

use std::ops::Range;

use minidom::Element;

use super::stanza::{element, language, message, ns, with, with_text};
use crate::invite::nonce;
use crate::texts::Texts;
use crate::words::MAX_BYTES;

/// A message with one of these elements is not answered: it is delayed, a copy, a receipt, or from
/// a program. Some of these have a body for clients that do not know them. Each is a namespace, and
/// the element's name unless the namespace is enough.
const NOT_WRITTEN: [(&str, Option<&str>); 20] = [
    ("urn:xmpp:delay", None),
    ("jabber:x:delay", None),
    ("urn:xmpp:carbons:2", Some("sent")),
    ("urn:xmpp:carbons:2", Some("received")),
    ("urn:xmpp:forward:0", None),
    ("urn:xmpp:mam:1", None),
    ("urn:xmpp:mam:2", None),
    ("urn:xmpp:receipts", Some("received")),
    ("urn:xmpp:chat-markers:0", Some("received")),
    ("urn:xmpp:chat-markers:0", Some("displayed")),
    ("urn:xmpp:chat-markers:0", Some("acknowledged")),
    ("urn:xmpp:reactions:0", None),
    ("urn:xmpp:message-retract:0", None),
    ("urn:xmpp:message-retract:1", None),
    ("urn:xmpp:fasten:0", None),
    ("http://jabber.org/protocol/pubsub#event", None),
    ("http://jabber.org/protocol/muc#user", None),
    ("jabber:x:conference", None),
    ("urn:xmpp:jingle-message:0", None),
    ("urn:xmpp:call-invites:0", None),
];

/// The namespaces of encryption: OMEMO (older and newer), OpenPGP (newer and older), and the note
/// about any other kind (XEP-0380).
const ENCRYPTION: [&str; 5] = [
    "eu.siacs.conversations.axolotl",
    "urn:xmpp:omemo:2",
    "urn:xmpp:openpgp:0",
    "jabber:x:encrypted",
    "urn:xmpp:eme:0",
];

/// A message that a person has written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The sender's address, which the chat server has checked.
    pub from: String,
    /// The sender's language, or empty.
    pub language: String,
    /// The sender's id for it.
    pub id: Option<String>,
    /// The id of the message that this one corrects (XEP-0308).
    pub corrects: Option<String>,
    /// What it says. `None` if it cannot be read: it is encrypted, or for another address.
    pub words: Option<Words>,
    kind: Option<&'static str>,
    thread: Option<String>,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// The beginning of the body, at most [`MAX_BYTES`].
    pub text: String,
    /// Which characters of the body are a quotation of another message (XEP-0428 §2.2).
    pub quoted: Vec<Range<usize>>,
}

impl Message {
    /// The message in a stanza. `None` if it gets no answer. `component` is the component's JID.
    pub fn of(stanza: &Element, component: &str) -> Option<Message> {
        let kind = match stanza.attr("type") {
            Some("error" | "groupchat" | "headline") => return None,
            Some("chat") => Some("chat"),
            // Any other type means the same as none (RFC 6121 §5.2.2).
            _ => None,
        };
        let is = |child: &Element, (ns, name): (&str, Option<&str>)| {
            child.has_ns(ns) && name.is_none_or(|it| it == child.name())
        };
        if stanza.children().any(|child| NOT_WRITTEN.iter().any(|which| is(child, *which))) {
            return None;
        }
        let text_of = |name: &str| stanza.get_child(name, ns::COMPONENT).map(Element::text);
        let mut text = text_of("body").unwrap_or_default();
        let end = (0..=MAX_BYTES.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or_default());
        let encryption = || stanza.children().filter(|child| ENCRYPTION.contains(&child.ns().as_str()));
        let encrypted = encryption().next().is_some() || text.trim_start().starts_with("?OTR");
        // An encrypted message without a payload only carries keys.
        let payload =
            || encryption().any(|it| it.name() == "openpgp" || it.children().any(|child| child.name() == "payload"));
        if text.trim().is_empty() && !payload() {
            return None;
        }
        let readable = !encrypted && stanza.attr("to") == Some(component);
        let corrects = stanza.get_child("replace", "urn:xmpp:message-correct:0");
        Some(Message {
            from: stanza.attr("from")?.to_owned(),
            language: language(stanza).unwrap_or_default().to_owned(),
            id: stanza.attr("id").map(str::to_owned),
            corrects: corrects.map(|it| it.attr("id").unwrap_or_default().to_owned()),
            words: readable.then(|| Words { text, quoted: quoted(stanza) }),
            kind,
            thread: text_of("thread"),
        })
    }

    /// An answer, from the component's JID. If it has a link, which is a secret, the server neither
    /// copies it to the user's other clients (XEP-0280 §9) nor archives it (XEP-0334). `None` if
    /// the system has no randomness for its id.
    pub fn answer(&self, component: &str, texts: &Texts, text: &str, has_link: bool) -> Option<Element> {
        let id = nonce().ok()?;
        let to = self.from.as_str();
        let thread = self.thread.as_ref().map(|thread| with_text(element!(ns::COMPONENT, "thread"), thread));
        let hints = has_link.then(|| {
            [
                element!(ns::HINTS, "no-permanent-store"),
                element!(ns::HINTS, "no-copy"),
                element!("urn:xmpp:carbons:2", "private"),
            ]
        });
        let message = message(self.kind, component, to, &id, &texts.code, text);
        Some(with(message, thread.into_iter().chain(hints.into_iter().flatten())))
    }
}

/// The parts of the body that are a fallback (XEP-0428), such as the quotation before a reply.
/// Clients send one or two.
fn quoted(stanza: &Element) -> Vec<Range<usize>> {
    let fallbacks = stanza.children().filter(|child| child.is("fallback", "urn:xmpp:fallback:0"));
    let bodies = fallbacks.flat_map(Element::children).filter(|part| part.name() == "body");
    let at = |part: &Element, name: &str| part.attr(name).map(str::parse::<usize>);
    let range = |part: &Element| match (at(part, "start"), at(part, "end")) {
        (None, None) => Some(0..usize::MAX),
        (Some(Ok(start)), Some(Ok(end))) => Some(start..end),
        _ => None,
    };
    bodies.filter_map(range).take(4).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::single_range_in_vec_init, reason = "a range is meant")]

    use super::*;

    fn message(attributes: &str, content: &str) -> Option<Message> {
        let xml = format!(
            "<message xmlns='jabber:component:accept' from='alice@example.org/phone' to='invite.example.org' \
             {attributes}>{content}</message>"
        );
        Message::of(&xml.parse().unwrap(), "invite.example.org")
    }

    fn words(content: &str) -> Option<String> {
        Some(message("", content)?.words?.text)
    }

    #[test]
    fn a_message_that_somebody_wrote_is_answered() {
        for content in [
            "<body>list</body>",
            "<subject>s</subject><body>list</body><thread parent='p'>t</thread>",
            "<body>list</body><active xmlns='http://jabber.org/protocol/chatstates'/>",
            "<body>list</body><request xmlns='urn:xmpp:receipts'/>",
            "<body>list</body><markable xmlns='urn:xmpp:chat-markers:0'/><origin-id xmlns='urn:xmpp:sid:0' id='o'/>",
            "<body>list</body><private xmlns='urn:xmpp:carbons:2'/><no-copy xmlns='urn:xmpp:hints'/>",
            "<html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='urn:x'>x</body></html><body>list</body>",
            "<body>list</body><body xml:lang='de'>liste</body>",
        ] {
            assert_eq!(words(content).as_deref(), Some("list"), "{content}");
        }
        for kind in ["", "type='chat'", "type='normal'", "type='odd'"] {
            assert!(message(kind, "<body>list</body>").is_some(), "{kind}");
        }
    }

    #[test]
    fn what_nobody_wrote_just_now_is_not() {
        for kind in ["type='error'", "type='groupchat'", "type='headline'"] {
            assert_eq!(message(kind, "<body>list</body>"), None, "{kind}");
        }
        for content in [
            "",
            "<body/>",
            "<body> \n </body>",
            "<subject>list</subject>",
            "<body xmlns='urn:x'>list</body>",
            "<composing xmlns='http://jabber.org/protocol/chatstates'/>",
            "<received xmlns='urn:xmpp:receipts' id='x'/>",
            "<displayed xmlns='urn:xmpp:chat-markers:0' id='x'/>",
        ] {
            assert_eq!(message("type='chat'", content), None, "{content}");
        }
        for (ns, name) in NOT_WRITTEN {
            let content = format!("<body>list</body><{} xmlns='{ns}'/>", name.unwrap_or("any"));
            assert_eq!(message("", &content), None, "{content}");
        }
    }

    #[test]
    fn what_is_encrypted_or_for_another_address_cannot_be_read() {
        for content in [
            "<encrypted xmlns='eu.siacs.conversations.axolotl'><payload/></encrypted><body>I sent you OMEMO</body>",
            "<encrypted xmlns='eu.siacs.conversations.axolotl'><payload/></encrypted>",
            "<encrypted xmlns='urn:xmpp:omemo:2'><header/><payload/></encrypted>",
            "<openpgp xmlns='urn:xmpp:openpgp:0'>AAAA</openpgp>",
            "<x xmlns='jabber:x:encrypted'>AAAA</x><body>This message is encrypted</body>",
            "<body>?OTRv23?</body>",
            "<body>list</body><encryption xmlns='urn:xmpp:eme:0' namespace='urn:example:new'/>",
        ] {
            assert_eq!(message("", content).expect(content).words, None, "{content}");
        }
        let keys = "<encrypted xmlns='eu.siacs.conversations.axolotl'><header/></encrypted>";
        assert_eq!(message("", keys), None, "it only carries keys");
        for to in ["invite.example.org/x", "bob@invite.example.org", ""] {
            let xml = format!(
                "<message xmlns='jabber:component:accept' from='a@example.org/x' to='{to}'><body>list</body></message>"
            );
            assert_eq!(Message::of(&xml.parse().unwrap(), "invite.example.org").unwrap().words, None, "{to}");
        }
    }

    #[test]
    fn a_long_body_is_cut_and_its_fallback_is_known() {
        let long = words(&format!("<body>{}</body>", "é".repeat(30_000))).unwrap();
        assert_eq!(long.len(), MAX_BYTES);
        let reply = "<body>x</body><fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reply'>";
        for (body, quoted) in [
            ("<body start='0' end='7'/>", vec![0..7]),
            ("<body/>", vec![0..usize::MAX]),
            ("<body start='-1' end='x'/>", vec![]),
            ("<subject/>", vec![]),
        ] {
            let message = message("", &format!("{reply}{body}</fallback>")).unwrap();
            assert_eq!(message.words.unwrap().quoted, quoted, "{body}");
        }
    }
}
