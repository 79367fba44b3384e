//! The gate (docs/gate.md), answering side: what the chat server's hook asks and tells the daemon.
//! `hook` is the asking side.

use jid::{BareJid, DomainPart, NodePart};
use jiff::Timestamp;
use minidom::Element;
use xmpp_parsers::stanza_error::{DefinedCondition, ErrorType, StanzaError};

use super::hook::grants;
use super::requester::Requester;
use super::stanza::{Kind, Outcome, Request, date_time, element, error, language, not_for_you, ns, with};
use super::stanza_error::{not_valid, stanza_error};
use crate::invite::{InviteType, Issuer, Token};
use crate::invites::{Admission, Error, Grant, Invites, Registration};
use crate::limits::Address;
use crate::policy::Wish;
use crate::refusal::Refusal;
use crate::texts::{Languages, Texts};

/// The longest name of a reservation, and the longest id of a server: a UUID has 36 bytes.
const LONGEST_RESERVATION: usize = 128;

/// Answers a stanza of the gate. Only a served VirtualHost itself may speak it.
///
/// # Errors
/// A stanza error that says why not; the hook passes it on to its client.
pub async fn answer(request: &Request, languages: &Languages, invites: &Invites) -> Outcome {
    let payload = &request.payload;
    let texts = languages.preferred(payload.attr("lang").unwrap_or_default());
    let host = host(request, invites, texts)?;
    match (request.kind, payload.name()) {
        (Kind::Get, "check") => check(payload, host, invites, texts).await.map(Some),
        (Kind::Set, "reserve") => reserve(payload, host, invites, texts).await.map(Some),
        (Kind::Set, "redeem") => finished(invites.redeem(reservation(payload)?).await, texts),
        (Kind::Set, "release") => finished(invites.release(reservation(payload)?).await, texts),
        (Kind::Set, "contact") => contact(payload, host, invites, texts).await.map(Some),
        (Kind::Set, "generate") => generate(payload, host, invites, texts).await.map(Some),
        (Kind::Set, "deleted") => deleted(payload, host, invites, texts).await,
        _ => Err(not_for_you()),
    }
}

/// The served VirtualHost that sent a request.
fn host<'a>(request: &Request, invites: &'a Invites, texts: &Texts) -> Result<&'a DomainPart, StanzaError> {
    match invites.policy(&request.from) {
        Ok((host, _)) => Ok(host),
        // The operator forgot a VirtualHost, and is told so. Nobody else needs to know of the gate.
        Err(refusal) if DomainPart::new(&request.from).is_ok() => Err(stanza_error(&refusal.into(), texts)),
        Err(_) => Err(not_for_you()),
    }
}

/// The request of a user that their VirtualHost relays: the user, and the payload.
///
/// # Errors
/// If the sender is no VirtualHost, the user is of another host, or there is no payload.
pub fn relayed<'a>(
    request: &'a Request,
    languages: &'a Languages,
    invites: &'a Invites,
) -> Result<(Requester<'a>, &'a Element), StanzaError> {
    let relay = &request.payload;
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

fn reservation(payload: &Element) -> Result<String, StanzaError> {
    let name = payload.attr("reservation").filter(|name| (1..=LONGEST_RESERVATION).contains(&name.len()));
    name.map(str::to_owned).ok_or_else(|| bad("the name of a reservation"))
}

/// The id of the server whose hook speaks, if it has one.
fn server(payload: &Element) -> Result<String, StanzaError> {
    let id = payload.attr("server").unwrap_or_default();
    if id.len() <= LONGEST_RESERVATION { Ok(id.to_owned()) } else { Err(bad("a shorter id of the server")) }
}

fn username(payload: &Element, texts: &Texts) -> Result<Option<NodePart>, StanzaError> {
    let Some(text) = payload.attr("username") else { return Ok(None) };
    crate::invite::username(text).map(Some).map_err(|refusal| stanza_error(&refusal.into(), texts))
}

fn instant(payload: &Element, attribute: &str) -> Option<Timestamp> {
    payload.attr(attribute)?.parse().ok()
}

/// Where the client connects from, if the hook says so.
fn address(payload: &Element) -> Option<Address> {
    payload.attr("address").and_then(Address::parse)
}

fn names<'a>(payload: &'a Element, name: &'a str) -> impl Iterator<Item = String> + 'a {
    payload.children().filter(move |child| child.is(name, ns::GATE)).map(Element::text)
}

/// An empty result if there was such a reservation.
fn finished(found: Result<bool, Error>, texts: &Texts) -> Outcome {
    match found {
        Ok(true) => Ok(None),
        Ok(false) => Err(error(ErrorType::Cancel, DefinedCondition::ItemNotFound, "There is no such reservation")),
        Err(cause) => Err(stanza_error(&cause, texts)),
    }
}

async fn check(payload: &Element, host: &DomainPart, invites: &Invites, texts: &Texts) -> Result<Element, StanzaError> {
    let token = payload.attr("token").and_then(Token::parse);
    let presented =
        invites.check(host, token.as_ref(), address(payload)).await.map_err(|cause| not_valid(&cause, texts))?;
    let invite = &presented.invite;
    Ok(element!(
        ns::GATE,
        "invite",
        "id" = invite.id.as_str(),
        "type" = invite.invite_type.as_str(),
        "username" = invite.username.as_ref().map(|node| node.as_str()),
        "inviter" = invite.contact().map(|jid| jid.as_str()),
        "checked-at" = date_time(presented.checked_at),
    ))
}

async fn reserve(
    payload: &Element,
    host: &DomainPart,
    invites: &Invites,
    texts: &Texts,
) -> Result<Element, StanzaError> {
    let registration = Registration {
        reservation: reservation(payload)?,
        server: server(payload)?,
        username: username(payload, texts)?.ok_or_else(|| bad("a username"))?,
        exists: match payload.attr("exists") {
            Some("true" | "1") => true,
            Some("false" | "0") => false,
            _ => return Err(bad("exists='true' or exists='false'")),
        },
        address: address(payload),
    };
    let presented_at = instant(payload, "presented-at");
    let grant = payload.attr("token").map(|token| Grant { token: Token::parse(token), presented_at });
    match invites.reserve(host, grant, registration).await.map_err(|cause| stanza_error(&cause, texts))? {
        Admission::Open => Ok(element!(ns::GATE, "open")),
        Admission::Reserved(purpose, invite) => {
            let inviter = invite.contact().map(|jid| jid.as_str());
            let reserved = element!(ns::GATE, "reserved", "purpose" = purpose.as_str(), "inviter" = inviter);
            Ok(with(reserved, grants(purpose, &invite)))
        }
    }
}

async fn contact(
    payload: &Element,
    host: &DomainPart,
    invites: &Invites,
    texts: &Texts,
) -> Result<Element, StanzaError> {
    let jid = |attribute| payload.attr(attribute).and_then(|text| BareJid::new(text).ok());
    let (Some(inviter), Some(contact)) = (jid("inviter"), jid("contact")) else {
        return Err(bad("the bare JIDs of inviter and contact"));
    };
    let token = payload.attr("token").and_then(Token::parse);
    let token = token.ok_or_else(|| not_valid(&Refusal::Unknown.into(), texts))?;
    let (reservation, server) = (reservation(payload)?, server(payload)?);
    let reserved = invites.contact(host, reservation, server, token, &inviter, &contact).await;
    reserved.map_err(|cause| not_valid(&cause, texts))?;
    Ok(element!(ns::GATE, "reserved", "purpose" = "contact"))
}

async fn generate(
    payload: &Element,
    host: &DomainPart,
    invites: &Invites,
    texts: &Texts,
) -> Result<Element, StanzaError> {
    let invite_type = match payload.attr("type") {
        Some("account") => InviteType::Account,
        Some("password-reset") => InviteType::PasswordReset,
        _ => return Err(bad("type='account' or type='password-reset'")),
    };
    let mut wish = Wish::new(invite_type, host.clone(), Issuer::Operator);
    wish.username = username(payload, texts)?;
    wish.roles = names(payload, "role").collect();
    wish.groups = names(payload, "group").collect();
    let issued = invites.create(wish).await.map_err(|cause| stanza_error(&cause, texts))?;
    Ok(element!(
        ns::GATE,
        "generated",
        "id" = issued.invite.id.as_str(),
        "uri" = issued.uri,
        "landing-url" = issued.landing_url,
        "expires-at" = issued.invite.expires_at.map(date_time),
    ))
}

async fn deleted(payload: &Element, host: &DomainPart, invites: &Invites, texts: &Texts) -> Outcome {
    let username = username(payload, texts)?.ok_or_else(|| bad("a username"))?;
    let deleted_at = instant(payload, "deleted-at").unwrap_or_else(|| invites.now());
    let account = BareJid::from_parts(Some(&username), host);
    invites.account_deleted(account, deleted_at).await.map_err(|cause| stanza_error(&cause, texts))?;
    Ok(None)
}
