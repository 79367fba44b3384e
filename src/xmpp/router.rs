//! Which room answers which request.

use jid::DomainPart;
use minidom::Element;
use tokio::sync::watch;
use xmpp_parsers::version::VersionResult;

use super::chat::Chats;
use super::command::{Sessions, execute};
use super::stanza::{Kind, Outcome, Request, element, language, not_for_you, ns, with};
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
    /// What is remembered of the chats with users.
    pub chats: Chats,
}

impl Router {
    /// The service for one request, with the settings in force at its beginning.
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
            return self.answer_user(kind, payload, host, Some(requester), texts).await;
        }
        if payload.has_ns(ns::GATE) {
            return gate::answer(request, invites).await;
        }
        let texts = invites.languages().preferred(&request.language);
        let requester = Requester::new(&request.from, invites, texts);
        self.answer_user(kind, payload, self.component.as_str(), requester, texts).await
    }

    /// Answers what a user asks of the component, or of their own host, which relays it.
    /// `responder` is the one of the two that was asked. `requester` is `None` for users of other
    /// hosts.
    async fn answer_user(
        &self,
        kind: Kind,
        payload: &Element,
        responder: &str,
        requester: Option<Requester<'_>>,
        texts: &Texts,
    ) -> Outcome {
        match (kind, payload.name()) {
            (Kind::Get, "query") if payload.has_ns(ns::DISCO_INFO) => {
                disco::node_info(payload, requester.as_ref(), texts).await.map(Some)
            }
            (Kind::Get, "query") if payload.has_ns(ns::DISCO_ITEMS) => {
                disco::items(payload, responder, requester.as_ref(), texts).await.map(Some)
            }
            (Kind::Get, "query") if payload.has_ns(ns::VERSION) => {
                let (name, version) = (env!("CARGO_PKG_NAME").to_owned(), env!("CARGO_PKG_VERSION").to_owned());
                Ok(Some(VersionResult { name, version, os: None }.into()))
            }
            (Kind::Get, "ping") if payload.has_ns(ns::PING) => Ok(None),
            (Kind::Set, "command") if payload.has_ns(ns::COMMANDS) => {
                let requester = requester.ok_or_else(|| stanza_error(&Refusal::NotAllowed.into(), texts))?;
                execute(payload, &requester, &self.sessions).await.map(Some)
            }
            _ => Err(not_for_you()),
        }
    }

    /// Answers a presence. Users of the served hosts may have the component among their contacts,
    /// since some clients show the commands of contacts alone. The component keeps no roster: the
    /// chat server probes it whenever a user comes online.
    pub fn presence(&self, stanza: &Element) -> Vec<Element> {
        let component = self.component.as_str();
        let invites = self.invites();
        let texts = invites.languages().preferred(language(stanza).unwrap_or_default());
        let from = stanza.attr("from").and_then(|from| Requester::new(from, &invites, texts));
        let (Some(user), true) = (from, stanza.attr("to") == Some(component)) else { return Vec::new() };
        let to = user.account.as_str();
        let answer =
            |kind: Option<&str>| element!(ns::COMPONENT, "presence", "type" = kind, "to" = to, "from" = component);
        let available = || with(answer(None), disco::caps());
        match stanza.attr("type") {
            Some("subscribe") => vec![answer(Some("subscribed")), available()],
            Some("probe") => vec![available()],
            Some("unsubscribe") => vec![answer(Some("unsubscribed"))],
            _ => Vec::new(),
        }
    }
}
