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

/// The node that identifies this software in entity capabilities (XEP-0115 §4).
const CAPS_NODE: &str = "urn:easy-invite";

/// The component's features. The gate is not one of them, since only the hook uses it.
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

/// The component's identities and features. It has a name in every language, so that its
/// capabilities are the same for all users. The requester's language comes first, since many
/// clients show the first name. Some clients show that an entity is a bot.
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
    // xmpp_parsers sorts the texts with a "<" at their ends, which puts "a#b" before "a".
    let mut said: Vec<_> = identities.into_iter().map(identity).collect();
    said.sort();
    said.extend(features);
    let hash = hash_caps((said.join("<") + "<").as_bytes(), Algo::Sha_1).ok()?;
    Some(Caps::new(CAPS_NODE, hash).into())
}

/// Answers `disco#info` of a node, or of the component itself. `requester` is the user who asks, if
/// that is a user of a served host.
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::prosody_module::{FILES, VERSION};

    const RDF: &str = "http://www.w3.org/1999/02/22-rdf-syntax-ns#";
    const DOAP: &str = "http://usefulinc.com/ns/doap#";
    const XMPP_DOAP: &str = "https://linkmauve.fr/ns/xmpp-doap#";

    /// The XEP of each namespace that is advertised.
    const ADVERTISED: [(u16, &[&str]); 10] = [
        (4, &["jabber:x:data"]),
        (30, &["http://jabber.org/protocol/disco#info", "http://jabber.org/protocol/disco#items"]),
        (50, &["http://jabber.org/protocol/commands"]),
        (54, &["vcard-temp"]),
        (60, &["http://jabber.org/protocol/pubsub", "http://jabber.org/protocol/pubsub#retrieve-items"]),
        (92, &["jabber:iq:version"]),
        (199, &["urn:xmpp:ping"]),
        (292, &["urn:ietf:params:xml:ns:vcard-4.0"]),
        (401, &["urn:xmpp:invite"]),
        (445, &["urn:xmpp:ibr-token:0"]),
    ];

    /// The XEPs that doap.xml lists and the component does not advertise, with the reason.
    const NOT_ADVERTISED: [(u16, &str); 14] = [
        (68, "is about the names of fields"),
        (77, "is advertised by Prosody's own module, which registers"),
        (82, "is about how times are written"),
        (84, "is a node of the component, which is read with XEP-0060"),
        (114, "is the stream between the daemon and Prosody"),
        (115, "is in the component's presence"),
        (153, "is in the component's presence"),
        (172, "is a node of the component, which is read with XEP-0060"),
        (280, "is in messages that the component sends"),
        (308, "is read in messages"),
        (334, "is in messages that the component sends"),
        (359, "is in messages that the component sends"),
        (379, "is in a contact request, which a client may always send"),
        (428, "is read in messages"),
    ];

    /// The component's features, and those that the module adds to streams and hosts.
    fn advertised() -> Vec<String> {
        let features = component(None, Texts::english(), &Languages::built_in()).features;
        let lua = FILES.iter().flat_map(|(_, text)| text.lines().map(str::trim));
        let of_module = lua.filter(|line| line.starts_with("features:tag(") || line.contains("add_feature("));
        let namespace = |line: &str| {
            line.split('"').rfind(|text| text.contains(':') && !text.contains([' ', '('])).map(str::to_owned)
        };
        features.into_iter().chain(of_module.map(|line| namespace(line).expect(line))).collect()
    }

    fn doap() -> Element {
        include_str!("../../doap.xml").parse().unwrap()
    }

    /// The text of each child of each XEP in doap.xml.
    fn listed() -> BTreeMap<u16, BTreeMap<String, String>> {
        let doap = doap();
        let project = doap.get_child("Project", DOAP).unwrap();
        let xeps = project
            .children()
            .filter(|it| it.is("implements", DOAP))
            .filter_map(|it| it.get_child("SupportedXep", XMPP_DOAP));
        let listed: Vec<_> = xeps
            .map(|xep| {
                let page = resource(xep.get_child("xep", XMPP_DOAP).unwrap());
                let number =
                    page.strip_prefix("https://xmpp.org/extensions/xep-").and_then(|it| it.strip_suffix(".html"));
                (number.unwrap().parse().unwrap(), xep.children().map(|it| (it.name().to_owned(), it.text())).collect())
            })
            .collect();
        assert!(
            listed.is_sorted_by(|(number, _), (next, _): &(u16, BTreeMap<_, _>)| number < next),
            "each once, in order"
        );
        listed.into_iter().collect()
    }

    fn resource(element: &Element) -> &str {
        element.attr_ns(RDF, "resource").unwrap()
    }

    #[test]
    fn doap_lists_what_is_advertised_and_nothing_that_is_not_there() {
        let namespaces: Vec<_> = ADVERTISED.iter().flat_map(|(_, all)| all.iter().map(|it| (*it).to_owned())).collect();
        let (mut known, mut found) = (namespaces, advertised());
        known.sort();
        found.sort();
        assert_eq!(found, known, "ADVERTISED has the XEP of each");
        let mut numbers: Vec<_> =
            ADVERTISED.iter().map(|(xep, _)| *xep).chain(NOT_ADVERTISED.map(|(xep, _)| xep)).collect();
        numbers.sort_unstable();
        assert_eq!(listed().into_keys().collect::<Vec<_>>(), numbers);
    }

    #[test]
    fn versions_and_states_in_doap_are_such_as_the_software_list_reads() {
        let parts = |version: &str| version.split('.').map(|part| part.parse().ok()).collect::<Option<Vec<u32>>>();
        for (xep, said) in listed() {
            assert!(["complete", "partial"].contains(&said["status"].as_str()), "the state of XEP-{xep:04}");
            assert_eq!(said["status"] == "partial", said.contains_key("note"), "XEP-{xep:04} says which part");
            assert!(
                parts(&said["version"]).is_some_and(|parts| (2..=3).contains(&parts.len())),
                "version of XEP-{xep:04}"
            );
            assert!(parts(&said["since"]).unwrap() <= parts(VERSION).unwrap(), "XEP-{xep:04} is there since a release");
        }
    }

    #[test]
    fn doap_says_of_the_project_what_cargo_toml_says() {
        let doap = doap();
        let project = doap.get_child("Project", DOAP).unwrap();
        let text = |name| project.get_child(name, DOAP).unwrap().text();
        assert_eq!(text("name"), env!("CARGO_PKG_NAME"));
        assert!(env!("CARGO_PKG_DESCRIPTION").starts_with(&text("shortdesc")));
        let licences = project.children().filter(|it| it.is("license", DOAP)).map(resource);
        let licences: Vec<_> =
            licences.map(|page| page.rsplit('/').next().unwrap().trim_end_matches(".html")).collect();
        assert_eq!(licences.join(" OR "), env!("CARGO_PKG_LICENSE"));
        for (name, address) in [("homepage", env!("CARGO_PKG_HOMEPAGE")), ("repository", env!("CARGO_PKG_REPOSITORY"))]
        {
            assert_eq!(project.has_child(name, DOAP), !address.is_empty(), "doap.xml and Cargo.toml name the {name}");
        }
    }
}
