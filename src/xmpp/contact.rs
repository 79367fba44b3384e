//! The component as a contact: its name, picture and status, in the user's language.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jid::BareJid;
use minidom::Element;
use xmpp_parsers::caps::hash_caps;
use xmpp_parsers::hashes::Algo;
use xmpp_parsers::stanza_error::{DefinedCondition, ErrorType};

use super::stanza::{Outcome, element, error, not_for_you, ns, with, with_text};
use crate::texts::Texts;

/// The picture. `images/avatar.svg` says how it is made.
const AVATAR: &[u8] = include_bytes!("../../images/avatar.png");
const AVATAR_TYPE: &str = "image/png";
const AVATAR_PIXELS: &str = "192";

static AVATAR_TEXT: LazyLock<String> = LazyLock::new(|| BASE64_STANDARD.encode(AVATAR));

/// The picture's SHA-1, by which apps know whether they have it already.
static AVATAR_ID: LazyLock<String> =
    LazyLock::new(|| hash_caps(AVATAR, Algo::Sha_1).map(|hash| hash.to_hex()).unwrap_or_default());

/// The nodes of the component, which can be read like those of an account (XEP-0163).
const NODES: [Node; 4] = [
    Node { name: ns::NICK, id: || "current", payload: nick },
    Node { name: ns::AVATAR_METADATA, id: || &AVATAR_ID, payload: |_| avatar_metadata() },
    Node { name: ns::AVATAR_DATA, id: || &AVATAR_ID, payload: |_| text(ns::AVATAR_DATA, "data", &AVATAR_TEXT) },
    Node { name: "urn:xmpp:vcard4", id: || "current", payload: vcard4 },
];

/// A node, with its only item.
struct Node {
    name: &'static str,
    id: fn() -> &'static str,
    payload: fn(&Texts) -> Element,
}

impl Node {
    fn items(&self, ns: &str, texts: &Texts) -> Element {
        let item = with(element!(ns, "item", "id" = (self.id)()), [(self.payload)(texts)]);
        with(element!(ns, "items", "node" = self.name), [item])
    }
}

fn text(ns: &str, name: &str, text: &str) -> Element {
    with_text(element!(ns, name), text)
}

/// The name (XEP-0172).
pub fn nick(texts: &Texts) -> Element {
    text(ns::NICK, "nick", &texts.contact.name)
}

fn avatar_metadata() -> Element {
    let (id, bytes) = (AVATAR_ID.as_str(), AVATAR.len().to_string());
    let info = element!(
        ns::AVATAR_METADATA,
        "info",
        "id" = id,
        "bytes" = bytes,
        "type" = AVATAR_TYPE,
        "width" = AVATAR_PIXELS,
        "height" = AVATAR_PIXELS,
    );
    with(element!(ns::AVATAR_METADATA, "metadata"), [info])
}

/// The vCard of XEP-0054.
pub fn vcard(texts: &Texts) -> Element {
    let of = |name, value| text(ns::VCARD, name, value);
    let photo = with(element!(ns::VCARD, "PHOTO"), [of("TYPE", AVATAR_TYPE), of("BINVAL", &AVATAR_TEXT)]);
    let own = &texts.contact;
    let said = [of("FN", &own.name), of("NICKNAME", &own.name), of("DESC", &own.status), photo];
    with(element!(ns::VCARD, "vCard"), said)
}

/// The vCard of XEP-0292.
pub fn vcard4(texts: &Texts) -> Element {
    let of = |name, kind, value| with(element!(ns::VCARD4, name), [text(ns::VCARD4, kind, value)]);
    let (own, photo) = (&texts.contact, format!("data:{AVATAR_TYPE};base64,{}", *AVATAR_TEXT));
    let said = [
        of("fn", "text", &own.name),
        of("nickname", "text", &own.name),
        of("note", "text", &own.status),
        of("photo", "uri", &photo),
    ];
    with(element!(ns::VCARD4, "vcard"), said)
}

/// Answers a request for the items of a node (XEP-0060 §6.5).
///
/// # Errors
/// `item-not-found` if there is no such node.
pub fn items(pubsub: &Element, texts: &Texts) -> Outcome {
    let asked = pubsub.get_child("items", ns::PUBSUB).ok_or_else(not_for_you)?;
    let node = NODES.iter().find(|node| asked.attr("node") == Some(node.name));
    let unknown = || error(ErrorType::Cancel, DefinedCondition::ItemNotFound, "There is no such node");
    let items = node.ok_or_else(unknown)?.items(ns::PUBSUB, texts);
    Ok(Some(with(element!(ns::PUBSUB, "pubsub"), [items])))
}

/// The event that tells apps the name (XEP-0172). Some show a contact's name only from this.
pub fn name_event(texts: &Texts) -> Option<Element> {
    let node = NODES.iter().find(|node| node.name == ns::NICK)?;
    Some(with(element!(ns::PUBSUB_EVENT, "event"), [node.items(ns::PUBSUB_EVENT, texts)]))
}

/// The contents of a presence: a status that says what to write, and the picture's hash (XEP-0153).
pub fn presence(texts: &Texts) -> [Element; 2] {
    let photo = text(ns::VCARD_UPDATE, "photo", &AVATAR_ID);
    [text(ns::COMPONENT, "status", &texts.contact.status), with(element!(ns::VCARD_UPDATE, "x"), [photo])]
}

/// The languages in which users last asked. When a user comes online, the server's probe names no
/// language.
#[derive(Default)]
pub struct Readers(Mutex<HashMap<BareJid, String>>);

/// How many users' languages are kept.
const MAX_READERS: usize = 10_000;

impl Readers {
    /// Keeps the language of a user.
    pub fn note(&self, account: &BareJid, texts: &Texts) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.get(account) != Some(&texts.code) {
            if known.len() >= MAX_READERS {
                known.clear();
            }
            known.insert(account.clone(), texts.code.clone());
        }
    }

    /// The language of a user, if it is known.
    pub fn language(&self, account: &BareJid) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(account).cloned()
    }
}
