//! Which part of the program answers which request.

use jid::DomainPart;
use minidom::Element;
use tokio::sync::watch;
use xmpp_parsers::version::VersionResult;

use super::chat::Chats;
use super::command::{Sessions, execute};
use super::contact::{self, Readers};
use super::stanza::{Kind, Outcome, Request, element, in_language, language, not_for_you, ns, with};
use super::stanza_error::stanza_error;
use super::{disco, gate};
use crate::commands::Requester;
use crate::invites::Invites;
use crate::refusal::Refusal;
use crate::texts::Texts;

/// Answers the requests that come in on the stream.
pub struct Router {
    /// The component's JID.
    pub component: DomainPart,
    /// The service, with the settings in force.
    pub invites: watch::Receiver<Invites>,
    /// The open sessions of commands.
    pub sessions: Sessions,
    /// The state of chats with users.
    pub chats: Chats,
    /// The languages in which users last asked.
    pub readers: Readers,
}

impl Router {
    /// The service for one request, with the settings that are in force now.
    pub fn invites(&self) -> Invites {
        self.invites.borrow().clone()
    }

    /// Answers a request.
    ///
    /// # Errors
    /// The stanza error to answer it with.
    pub async fn answer(&self, request: &Request, invites: &Invites) -> Outcome {
        // The component has no users and no nodes with addresses of their own.
        if request.to != self.component.as_str() {
            return Err(not_for_you());
        }
        let (kind, payload) = (request.kind, &request.payload);
        if payload.is("relay", ns::GATE) {
            let (requester, payload) = gate::relayed(request, invites)?;
            let (host, texts) = (requester.host.as_str(), requester.texts);
            return self.answer_user(kind, payload, host, Some(requester), texts, invites).await;
        }
        if payload.has_ns(ns::GATE) {
            return gate::answer(request, invites).await;
        }
        let texts = invites.languages().preferred(&request.language);
        let requester = Requester::new(&request.from, invites, texts);
        if let (Some(user), Kind::Get) = (&requester, kind) {
            self.readers.note(&user.account, texts);
        }
        self.answer_user(kind, payload, self.component.as_str(), requester, texts, invites).await
    }

    /// Answers a user's request to the component, or to their host, which relays it. `responder` is
    /// whichever of the two was asked. `requester` is `None` for users of other hosts.
    async fn answer_user(
        &self,
        kind: Kind,
        payload: &Element,
        responder: &str,
        requester: Option<Requester<'_>>,
        texts: &Texts,
        invites: &Invites,
    ) -> Outcome {
        match (kind, payload.name()) {
            (Kind::Get, "query") if payload.has_ns(ns::DISCO_INFO) => {
                disco::node_info(payload, requester.as_ref(), texts, invites.languages()).await.map(Some)
            }
            (Kind::Get, "query") if payload.has_ns(ns::DISCO_ITEMS) => {
                disco::items(payload, responder, requester.as_ref(), texts).await.map(Some)
            }
            (Kind::Get, "query") if payload.has_ns(ns::VERSION) => {
                let (name, version) = (env!("CARGO_PKG_NAME").to_owned(), env!("CARGO_PKG_VERSION").to_owned());
                Ok(Some(VersionResult { name, version, os: None }.into()))
            }
            (Kind::Get, "ping") if payload.has_ns(ns::PING) => Ok(None),
            (Kind::Get, "vCard") if payload.has_ns(ns::VCARD) && requester.is_some() => Ok(Some(contact::vcard(texts))),
            (Kind::Get, "vcard") if payload.has_ns(ns::VCARD4) && requester.is_some() => {
                Ok(Some(contact::vcard4(texts)))
            }
            (Kind::Get, "pubsub") if payload.has_ns(ns::PUBSUB) && requester.is_some() => {
                contact::items(payload, texts)
            }
            (Kind::Set, "command") if payload.has_ns(ns::COMMANDS) => {
                let requester = requester.ok_or_else(|| stanza_error(&Refusal::NotAllowed.into(), texts))?;
                execute(payload, &requester, &self.sessions).await.map(Some)
            }
            _ => Err(not_for_you()),
        }
    }

    /// Answers a presence. Users of the served hosts may add the component to their contacts, since
    /// some clients show only the commands of contacts. The component has no roster: when a user
    /// comes online, the chat server probes it.
    pub fn presence(&self, stanza: &Element) -> Vec<Element> {
        let (component, invites) = (self.component.as_str(), self.invites());
        let user = stanza.attr("from").and_then(|from| Requester::new(from, &invites, Texts::english()));
        let (Some(user), true) = (user, stanza.attr("to") == Some(component)) else { return Vec::new() };
        let said = language(stanza).map(str::to_owned);
        let language = said.or_else(|| self.readers.language(&user.account)).unwrap_or_default();
        let (texts, to) = (invites.languages().preferred(&language), user.account.as_str());
        let answer = |kind: Option<&str>| {
            let presence = element!(ns::COMPONENT, "presence", "type" = kind, "to" = to, "from" = component);
            in_language(presence, texts)
        };
        let name = || {
            let message =
                element!(ns::COMPONENT, "message", "type" = "headline", "to" = user.full_jid, "from" = component);
            with(in_language(message, texts), contact::name_event(texts))
        };
        let available = || with(with(answer(None), contact::presence(texts)), disco::caps(texts, invites.languages()));
        match stanza.attr("type") {
            Some("subscribe") => {
                self.readers.note(&user.account, texts);
                vec![with(answer(Some("subscribed")), [contact::nick(texts)]), available(), name()]
            }
            Some("probe") => vec![available(), name()],
            Some("unsubscribe") => vec![answer(Some("unsubscribed"))],
            _ => Vec::new(),
        }
    }
}
