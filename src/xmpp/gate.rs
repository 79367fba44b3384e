//! The gate (docs/gate.md): answers to what the chat server's hook asks and reports. `hook` has the
//! other direction.

use std::borrow::Cow;

use jid::{BareJid, DomainPart, NodePart};
use jiff::Timestamp;
use minidom::Element;
use xmpp_parsers::stanza_error::{DefinedCondition, ErrorType, StanzaError};

use super::hook::{MAX_ID, failed, grants, is_id};
use super::stanza::{Kind, Outcome, Request, element, error, language, not_for_you, ns, with, with_text};
use super::stanza_error::{not_valid, stanza_error};
use crate::commands::{Requester, boolean, date_time};
use crate::event::Actor;
use crate::generate;
use crate::invite::{Token, username};
use crate::invites::{Admission, Error, Invites, Registration};
use crate::limits::{Address, ip_address};
use crate::links::tokens_in;
use crate::password;
use crate::refusal::Refusal;
use crate::secret::Secret;
use crate::texts::{Texts, fill};

/// Answers a stanza of the gate. Only a served VirtualHost itself may send one. A VirtualHost that
/// is no longer served may still report how its last registrations ended.
///
/// # Errors
/// A stanza error, which the hook passes on to its client.
pub async fn answer(request: &Request, invites: &Invites) -> Outcome {
    let payload = &request.payload;
    let texts = invites.languages().preferred(payload.attr("lang").unwrap_or_default());
    let served = host(request, invites, texts);
    let former = DomainPart::new(&request.from).ok().filter(|_| payload.name() == "fate").map(Cow::into_owned);
    let host = match (&served, &former) {
        (Ok(host), _) => host,
        (Err(_), Some(former)) => former,
        (Err(refusal), None) => return Err(refusal.clone()),
    };
    let gate_request = GateRequest { payload, host, invites, texts };
    match (request.kind, payload.name()) {
        (Kind::Get, "check") => gate_request.check().await,
        (Kind::Get, "instructions") => gate_request.instructions().await,
        (Kind::Set, "reserve") => gate_request.reserve().await,
        (Kind::Set, "refused") => gate_request.refused_by_server().await,
        (Kind::Set, "fate") => gate_request.fate().await.map_err(|problem| served.err().unwrap_or(problem)),
        (Kind::Set, "contact") => gate_request.contact().await,
        (Kind::Set, "generate") => gate_request.generate().await,
        (Kind::Set, "deleted") => gate_request.deleted().await,
        (Kind::Set, "password-changed") => gate_request.password_changed().await,
        _ => Err(not_for_you()),
    }
}

/// The served VirtualHost that sent a request.
fn host<'a>(request: &Request, invites: &'a Invites, texts: &Texts) -> Result<&'a DomainPart, StanzaError> {
    match invites.policy(&request.from) {
        Ok((host, _)) => Ok(host),
        // Probably a VirtualHost that the operator forgot. Other senders need not know of the gate.
        Err(refusal) if DomainPart::new(&request.from).is_ok() => Err(stanza_error(&refusal.into(), texts)),
        Err(_) => Err(not_for_you()),
    }
}

/// The user and the payload of a request that a VirtualHost relays.
///
/// # Errors
/// If the sender is no served VirtualHost, the user is of another host, or there is no payload.
pub fn relayed<'a>(request: &'a Request, invites: &'a Invites) -> Result<(Requester<'a>, &'a Element), StanzaError> {
    let (relay, languages) = (&request.payload, invites.languages());
    let lang = relay.attr("lang");
    let host = host(request, invites, languages.preferred(lang.unwrap_or_default()))?;
    let payload = relay.children().next().ok_or_else(|| bad("a payload to relay"))?;
    let texts = languages.preferred(language(payload).or(lang).unwrap_or_default());
    let requester = relay.attr("from").and_then(|from| Requester::new(from, invites, texts));
    // The server vouches for its own users, not for those of another host.
    let requester = requester.filter(|requester| requester.host == host).ok_or_else(not_for_you)?;
    Ok((requester, payload))
}

fn bad(what: &str) -> StanzaError {
    error(ErrorType::Modify, DefinedCondition::BadRequest, format!("The gate needs {what} here"))
}

/// A request of a hook.
struct GateRequest<'a> {
    payload: &'a Element,
    /// The VirtualHost whose hook it is.
    host: &'a DomainPart,
    invites: &'a Invites,
    texts: &'a Texts,
}

impl GateRequest<'_> {
    async fn check(&self) -> Outcome {
        let granted = self.invites.check(self.host, &self.tokens()?, self.address()).await;
        let grant = granted.map_err(|cause| not_valid(&cause, self.texts))?;
        Ok(Some(element!(ns::GATE, "invite", "grant" = grant.to_text())))
    }

    /// A text for a client: why the server refused a username without an explanation, which fields
    /// a registration lacks, or that an invite is needed. The result is empty if none is needed.
    async fn instructions(&self) -> Outcome {
        let (_, policy) = self.invites.policy(self.host).map_err(|refusal| self.refused(&refusal.into()))?;
        let own = &self.texts.refusal;
        let text = match (self.payload.attr("username"), self.payload.attr("missing")) {
            (Some(username), _) if self.is_refused_username().await? => {
                Some(fill(&self.texts.web.username_refused, &[("username", username)]))
            }
            (Some(_), _) => Some(own.registration_refused.clone()),
            (None, Some(fields)) => {
                let asked = fill(&own.also_asked, &[("fields", fields)]);
                Some(if policy.registers_in_browser { format!("{asked}. {}", own.open_in_browser) } else { asked })
            }
            (None, None) => policy.admit_uninvited().err().map(|refusal| refusal.text(self.texts)),
        };
        Ok(text.map(|text| with_text(element!(ns::GATE, "instructions"), &text)))
    }

    /// Whether the server refuses the username. `false` if it does not say.
    async fn is_refused_username(&self) -> Result<bool, StanzaError> {
        let known = self.invites.chat_server().new_account(&self.account()?).await;
        Ok(known.is_ok_and(|known| known.refusal.is_some()))
    }

    async fn reserve(&self) -> Outcome {
        let exists = self.payload.attr("exists").and_then(boolean);
        let admin = self.payload.attr("admin").map_or(Some(false), boolean);
        let username = match self.username() {
            Ok(username) => username,
            Err(invalid) => {
                self.refused_by_server().await?;
                return Err(invalid);
            }
        };
        let registration = Registration {
            reservation: self.id("reservation")?,
            server: self.id("server")?,
            username,
            exists: exists.ok_or_else(|| bad("exists='true' or exists='false'"))?,
            admin: admin.ok_or_else(|| bad("admin='true' or admin='false'"))?,
            password: self
                .payload
                .get_child("password", ns::GATE)
                .map(|it| Secret::new(password::of_client(&it.text()))),
            address: self.address(),
        };
        let admission = self.invites.reserve(self.host, self.payload.attr("grant"), registration).await;
        Ok(Some(match admission.map_err(|cause| self.refused(&cause))? {
            Admission::Open => element!(ns::GATE, "open"),
            Admission::Reserved(purpose, invite) => {
                let contact = invite.contact().map(|jid| jid.as_str());
                let reserved = element!(ns::GATE, "reserved", "purpose" = purpose.as_ref(), "contact" = contact);
                with(reserved, grants(purpose, &invite))
            }
        }))
    }

    /// The server itself has refused a registration. An error if too many have failed.
    async fn refused_by_server(&self) -> Outcome {
        let counted = self.invites.refused_by_server(self.host, self.payload.attr("grant"), self.address()).await;
        counted.map_err(|cause| self.refused(&cause))?;
        Ok(None)
    }

    /// A reservation of this host has ended. The result is empty if there was one.
    async fn fate(&self) -> Outcome {
        let reservation = self.id("reservation")?;
        let found = match self.payload.attr("is") {
            Some("made") => self.invites.redeem(self.host, reservation, failed(self.payload)).await,
            Some("not-made") => self.invites.release(self.host, reservation).await,
            _ => return Err(bad("is='made' or is='not-made'")),
        };
        match found.map_err(|cause| self.refused(&cause))? {
            true => Ok(None),
            false => Err(error(ErrorType::Cancel, DefinedCondition::ItemNotFound, "There is no such reservation")),
        }
    }

    async fn contact(&self) -> Outcome {
        let (reservation, server) = (self.id("reservation")?, self.id("server")?);
        let inviter = self.account()?;
        let contact = self.payload.attr("contact").and_then(|text| BareJid::new(text).ok());
        let contact = contact.ok_or_else(|| bad("contact='' with a bare JID"))?;
        let reserved = self.invites.contact(self.host, reservation, server, &self.tokens()?, &inviter, &contact).await;
        reserved.map_err(|cause| not_valid(&cause, self.texts))?;
        Ok(Some(element!(ns::GATE, "reserved", "purpose" = "contact")))
    }

    async fn generate(&self) -> Outcome {
        let mut words = Vec::new();
        for child in self.payload.children() {
            if !child.is("word", ns::GATE) {
                return Err(bad("<word/>s and nothing else"));
            }
            words.push(child.text());
        }
        let wrong_usage = |problem| error(ErrorType::Modify, DefinedCondition::BadRequest, problem);
        let wish = generate::parse(words, self.host.clone()).map_err(wrong_usage)?;
        let issued = self.invites.create(wish).await.map_err(|cause| self.refused(&cause))?;
        Ok(Some(element!(
            ns::GATE,
            "generated",
            "id" = issued.invite.id.as_str(),
            "uri" = issued.uri,
            "landing-url" = issued.landing_url,
            "expires-at" = issued.invite.expires_at.map(date_time),
        )))
    }

    async fn deleted(&self) -> Outcome {
        let (account, deleted_at) = (self.account()?, self.instant("deleted-at")?);
        let by = Actor::Hook(self.host.clone());
        self.invites.account_deleted(account, deleted_at, by).await.map_err(|cause| self.refused(&cause))?;
        Ok(None)
    }

    async fn password_changed(&self) -> Outcome {
        let (account, changed_at) = (self.account()?, self.instant("changed-at")?);
        self.invites.password_changed(account, changed_at).await.map_err(|cause| self.refused(&cause))?;
        Ok(None)
    }

    fn refused(&self, cause: &Error) -> StanzaError {
        stanza_error(cause, self.texts)
    }

    /// The name of a reservation or the id of a server, in this attribute.
    fn id(&self, attribute: &str) -> Result<String, StanzaError> {
        let id = self.payload.attr(attribute).filter(|id| is_id(id));
        id.map(str::to_owned).ok_or_else(|| bad(&format!("{attribute}='' with 1 to {MAX_ID} bytes")))
    }

    /// The tokens that may be in the text that a client presents.
    fn tokens(&self) -> Result<Vec<Token>, StanzaError> {
        let tokens = tokens_in(self.payload.attr("token").ok_or_else(|| bad("a token"))?);
        if tokens.is_empty() { Err(not_valid(&Refusal::Incomplete.into(), self.texts)) } else { Ok(tokens) }
    }

    fn username(&self) -> Result<NodePart, StanzaError> {
        let text = self.payload.attr("username").ok_or_else(|| bad("a username"))?;
        username(text).map_err(|refusal| self.refused(&refusal.into()))
    }

    /// The account of this host that the request names.
    fn account(&self) -> Result<BareJid, StanzaError> {
        Ok(BareJid::from_parts(Some(&self.username()?), self.host))
    }

    /// The instant in this attribute, or now if it is missing.
    fn instant(&self, attribute: &str) -> Result<Timestamp, StanzaError> {
        let bad = || bad(&format!("{attribute}='' with an instant such as 2026-11-22T10:00:00Z"));
        let written = self.payload.attr(attribute).map(|text| text.parse().map_err(|_| bad()));
        written.unwrap_or_else(|| Ok(self.invites.now()))
    }

    /// Where the client connects from. An address that cannot be read counts as unknown.
    fn address(&self) -> Address {
        self.payload.attr("address").and_then(ip_address).into()
    }
}
