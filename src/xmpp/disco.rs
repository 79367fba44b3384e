//! Service discovery (XEP-0030) and entity capabilities (XEP-0115) of the component.

use minidom::Element;
use xmpp_parsers::caps::{Caps, compute_disco, hash_caps};
use xmpp_parsers::disco::{DiscoInfoResult, Identity};
use xmpp_parsers::hashes::Algo;
use xmpp_parsers::stanza_error::{DefinedCondition, ErrorType, StanzaError};

use super::command::{COMMANDS, Command, Requester};
use super::stanza::{element, error_in, ns, with};
use crate::invites::Invites;
use crate::texts::Texts;

/// The name of the component in people's service lists.
const NAME: &str = "Invitations";

/// What the capabilities of this software are known by (XEP-0115 §4).
const CAPS_NODE: &str = "urn:easy-invite";

/// What the component is and can do, features being those that the router answers.
pub fn info(features: impl Iterator<Item = &'static str>) -> DiscoInfoResult {
    DiscoInfoResult {
        node: None,
        identities: vec![Identity::new("component", "generic", "en", NAME)],
        features: features.map(str::to_owned).collect(),
        extensions: vec![],
    }
}

/// The capabilities for a presence; `None` if they cannot be computed.
pub fn caps(info: &DiscoInfoResult) -> Option<Element> {
    let hash = hash_caps(&compute_disco(info), Algo::Sha_1).ok()?;
    Some(Caps::new(CAPS_NODE, hash).into())
}

/// Answers `disco#info` of a node, or of the component itself.
///
/// # Errors
/// `forbidden` for a command that the requester may not run, `item-not-found` for a node that is none.
pub async fn node_info(
    query: &Element,
    own: DiscoInfoResult,
    requester: Option<&Requester>,
    invites: &Invites,
    texts: &Texts,
) -> Result<Element, StanzaError> {
    let node = query.attr("node").unwrap_or_default();
    if node.is_empty()
        || node.starts_with(CAPS_NODE) && node.get(CAPS_NODE.len()..).is_some_and(|ver| ver.starts_with('#'))
    {
        let node = Some(node.to_owned()).filter(|node| !node.is_empty());
        return Ok(DiscoInfoResult { node, ..own }.into());
    }
    let identity = |name: &str, kind: &str| {
        element!(ns::DISCO_INFO, "identity", "category" = "automation", "type" = kind, "name" = name)
    };
    let feature = |var: &str| element!(ns::DISCO_INFO, "feature", "var" = var);
    let answer = element!(ns::DISCO_INFO, "query", "node" = node);
    if node == ns::COMMANDS {
        return Ok(with(answer, [identity(&texts.command.commands, "command-list"), feature(ns::COMMANDS)]));
    }
    let command = Command::of(node, texts)?;
    let allowed = match requester {
        Some(requester) => command.open_to(requester, invites).await,
        None => false,
    };
    if !allowed {
        let text = &texts.command.not_available;
        return Err(error_in(texts, ErrorType::Auth, DefinedCondition::Forbidden, text));
    }
    let children = [identity(command.name(texts), "command-node"), feature(ns::COMMANDS), feature(ns::DATA_FORMS)];
    Ok(with(answer, children))
}

/// Answers `disco#items`: the commands that the requester may run, as items of `responder`.
///
/// # Errors
/// `item-not-found` for a node that has no items.
pub async fn items(
    query: &Element,
    responder: &str,
    requester: Option<&Requester>,
    invites: &Invites,
    texts: &Texts,
) -> Result<Element, StanzaError> {
    let node = query.attr("node").filter(|node| !node.is_empty());
    let mut answer = element!(ns::DISCO_ITEMS, "query", "node" = node);
    match (node, requester) {
        (Some(ns::COMMANDS), Some(requester)) => {
            for command in &COMMANDS {
                if command.open_to(requester, invites).await {
                    let (node, name) = (command.node, command.name(texts));
                    answer.append_child(element!(
                        ns::DISCO_ITEMS,
                        "item",
                        "jid" = responder,
                        "node" = node,
                        "name" = name
                    ));
                }
            }
            Ok(answer)
        }
        (Some(ns::COMMANDS) | None, _) => Ok(answer),
        (Some(node), _) => Command::of(node, texts).map(|_| answer), // a command has no items of its own
    }
}
