//! Who answers what: one table, from which the advertised features are derived as well.

use minidom::Element;
use xmpp_parsers::version::VersionResult;

use super::command::{Requester, Sessions, execute};
use super::stanza::{Kind, Outcome, Request, element, ns, with};
use super::{Config, disco, gate, not_for_you};
use crate::invites::Invites;

/// What kinds of request are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    DiscoInfo,
    DiscoItems,
    Ping,
    Version,
    Command,
    Gate,
}

/// Every request that has an answer: its kind, the payload's namespace and name, and the route. A name of "" stands for all.
const ROUTES: [(Kind, &str, &str, Route); 7] = [
    (Kind::Get, ns::DISCO_INFO, "query", Route::DiscoInfo),
    (Kind::Get, ns::DISCO_ITEMS, "query", Route::DiscoItems),
    (Kind::Get, ns::PING, "ping", Route::Ping),
    (Kind::Get, ns::VERSION, "query", Route::Version),
    (Kind::Set, ns::COMMANDS, "command", Route::Command),
    (Kind::Get, ns::GATE, "", Route::Gate),
    (Kind::Set, ns::GATE, "", Route::Gate),
];

/// The features that the component advertises: the namespaces that it answers, without the gate, which is the hook's alone.
pub fn features() -> impl Iterator<Item = &'static str> {
    let public = ROUTES.into_iter().filter(|(.., route)| *route != Route::Gate);
    public.map(|(_, namespace, ..)| namespace).chain([ns::DATA_FORMS])
}

/// Answers a request.
///
/// # Errors
/// The stanza error to answer it with.
pub async fn answer(request: &Request, config: &Config, invites: &Invites, sessions: &Sessions) -> Outcome {
    let component = config.jid.as_str();
    let (namespace, name) = (request.payload.ns(), request.payload.name());
    let found = ROUTES.into_iter().find(|(kind, route_namespace, route_name, _)| {
        *kind == request.kind && *route_namespace == namespace && (route_name.is_empty() || *route_name == name)
    });
    // There is nothing but the component itself: no users and no nodes of theirs.
    let Some((.., route)) = found.filter(|_| request.to == component) else { return Err(not_for_you()) };
    let requester = || Requester::new(&request.from, None, invites);
    let texts = config.languages.preferred(&request.language);
    match route {
        Route::Gate => gate::answer(request, &config.languages, invites, sessions).await,
        Route::Ping => Ok(None),
        Route::Version => {
            let os = None;
            let (name, version) = (env!("CARGO_PKG_NAME").to_owned(), env!("CARGO_PKG_VERSION").to_owned());
            Ok(Some(VersionResult { name, version, os }.into()))
        }
        Route::DiscoInfo => {
            let requester = requester().ok();
            let info = disco::info(features());
            disco::node_info(&request.payload, info, requester.as_ref(), invites, texts).await.map(Some)
        }
        Route::DiscoItems => {
            let requester = requester().ok();
            disco::items(&request.payload, component, requester.as_ref(), invites, texts).await.map(Some)
        }
        Route::Command => {
            let requester = requester().map_err(|refusal| super::refused::stanza_error(&refusal.into(), texts))?;
            execute(&request.payload, &requester, invites, sessions, texts).await.map(Some)
        }
    }
}

/// Answers a presence: users of the served hosts may have the component among their contacts, since some clients show
/// the commands of contacts alone. It keeps no roster: the chat server asks anew whenever a user comes online.
pub fn presence(stanza: &Element, component: &str, invites: &Invites) -> Vec<Element> {
    let (Some(from), Some(to)) = (stanza.attr("from"), stanza.attr("to")) else { return Vec::new() };
    let Ok(requester) = Requester::new(from, None, invites) else { return Vec::new() };
    if to != component {
        return Vec::new();
    }
    let to = requester.account.as_str();
    let answer = |kind: Option<&str>| element!(ns::COMPONENT, "presence", "type" = kind, "to" = to, "from" = component);
    let available = || with(answer(None), disco::caps(&disco::info(features())));
    match stanza.attr("type") {
        Some("subscribe") => vec![answer(Some("subscribed")), available()],
        Some("probe") => vec![available()],
        Some("unsubscribe") => vec![answer(Some("unsubscribed"))],
        _ => Vec::new(),
    }
}
