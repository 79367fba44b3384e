//! Service discovery (XEP-0030) and entity capabilities (XEP-0115) of the component.

use minidom::Element;
use xmpp_parsers::caps::{Caps, hash_caps};
use xmpp_parsers::disco::{DiscoInfoResult, Identity};
use xmpp_parsers::hashes::Algo;
use xmpp_parsers::stanza_error::{DefinedCondition, ErrorType, StanzaError};

use super::command::{is_open, of_node};
use super::stanza::{element, error_in, ns};
use crate::commands::{COMMANDS, Requester};
use crate::texts::{Languages, Texts};

/// What identifies this software in entity capabilities (XEP-0115 §4).
const CAPS_NODE: &str = "urn:easy-invite";

/// The component's features: those for users, and forms. Only the hook uses the gate.
const FEATURES: [&str; 10] = [
    ns::COMMANDS,
    ns::DISCO_INFO,
    ns::DISCO_ITEMS,
    ns::VERSION,
    ns::DATA_FORMS,
    ns::PING,
    ns::VCARD,
    ns::VCARD4,
    ns::PUBSUB,
    ns::RETRIEVE_ITEMS,
];

/// What the component is and can do. It has its name in every language, so that its capabilities
/// are the same for all readers. The language of this one is the first, since many clients take the
/// first name. Some clients mark a bot.
fn component(node: Option<&str>, texts: &Texts, languages: &Languages) -> DiscoInfoResult {
    let others = languages.iter().filter(|other| other.code != texts.code);
    let named = |texts: &Texts| Identity::new("component", "generic", &texts.code, &texts.contact.name);
    let bot = Identity { category: "client".to_owned(), type_: "bot".to_owned(), lang: None, name: None };
    let mut answer = info(node, named(texts), &FEATURES);
    answer.identities.extend(others.map(named).chain([bot]));
    answer
}

/// The name of a node in the requester's language, which the answer's `xml:lang` names.
fn automation(kind: &str, name: &str) -> Identity {
    Identity { category: "automation".to_owned(), type_: kind.to_owned(), lang: None, name: Some(name.to_owned()) }
}

fn info(node: Option<&str>, identity: Identity, features: &[&str]) -> DiscoInfoResult {
    let features = features.iter().map(|feature| (*feature).to_owned()).collect();
    DiscoInfoResult { node: node.map(str::to_owned), identities: vec![identity], features, extensions: vec![] }
}

/// The capabilities for a presence (XEP-0115 §5.1). `None` if they cannot be computed.
pub fn caps(texts: &Texts, languages: &Languages) -> Option<Element> {
    let DiscoInfoResult { identities, features, .. } = component(None, texts, languages);
    let identity = |it: Identity| {
        let [lang, name] = [it.lang, it.name].map(Option::unwrap_or_default);
        format!("{}/{}/{lang}/{name}", it.category, it.type_)
    };
    // xmpp_parsers sorts with the "<" behind each, and "a#b" comes before "a" then.
    let mut said: Vec<_> = identities.into_iter().map(identity).collect();
    said.sort();
    said.extend(features);
    let hash = hash_caps((said.join("<") + "<").as_bytes(), Algo::Sha_1).ok()?;
    Some(Caps::new(CAPS_NODE, hash).into())
}

/// Answers `disco#info` of a node, or of the component itself. `requester`: the user who asks, if
/// it is a user of a served host.
///
/// # Errors
/// `forbidden` for a command that the requester may not run, `item-not-found` for an unknown node.
pub async fn node_info(
    query: &Element,
    requester: Option<&Requester<'_>>,
    texts: &Texts,
    languages: &Languages,
) -> Result<Element, StanzaError> {
    let node = query.attr("node").filter(|node| !node.is_empty());
    let Some(name) = node.filter(|node| !node.strip_prefix(CAPS_NODE).is_some_and(|rest| rest.starts_with('#'))) else {
        return Ok(component(node, texts, languages).into());
    };
    if name == ns::COMMANDS {
        return Ok(info(node, automation("command-list", &texts.command.commands), &[ns::COMMANDS]).into());
    }
    let command = of_node(name, texts)?;
    let allowed = match requester {
        Some(requester) => is_open(command, requester).await?,
        None => false,
    };
    if !allowed {
        let text = &texts.command.not_available;
        return Err(error_in(texts, ErrorType::Auth, DefinedCondition::Forbidden, text));
    }
    let identity = automation("command-node", command.name(texts));
    Ok(info(node, identity, &[ns::COMMANDS, ns::DATA_FORMS]).into())
}

/// Answers `disco#items`: the commands that the requester may run, as items of `responder`.
///
/// # Errors
/// `item-not-found` for an unknown node.
pub async fn items(
    query: &Element,
    responder: &str,
    requester: Option<&Requester<'_>>,
    texts: &Texts,
) -> Result<Element, StanzaError> {
    let node = query.attr("node").filter(|node| !node.is_empty());
    let mut answer = element!(ns::DISCO_ITEMS, "query", "node" = node);
    match (node, requester) {
        (Some(ns::COMMANDS), Some(requester)) => {
            for command in &COMMANDS {
                if is_open(command, requester).await? {
                    let (node, name) = (command.node, command.name(texts));
                    let item = element!(ns::DISCO_ITEMS, "item", "jid" = responder, "node" = node, "name" = name);
                    answer.append_child(item);
                }
            }
            Ok(answer)
        }
        (Some(ns::COMMANDS) | None, _) => Ok(answer),
        (Some(node), _) => of_node(node, texts).map(|_| answer), // a command has no items of its own
    }
}
