//! Pages that say one thing: why the page that was asked for is not shown.

use axum::http::StatusCode;
use jiff::Timestamp;

use crate::invite::{Invite, InviteType};
use crate::invites::Error;
use crate::refusal::Refusal;
use crate::texts::{Texts, fill};

/// What such a page says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The service did not do what was asked for, for this reason.
    Error(Error),
    /// The form does not come from a page of ours, or its cookie is missing.
    Forged,
    /// The body was too long.
    TooLarge,
    /// The body did not come in time.
    TooSlow,
    /// There is no such page.
    NoPage,
    /// The page does not take this method.
    WrongMethod,
}

impl Notice {
    /// Its status, heading and text, about the invite of the link if there is one.
    pub fn in_words(&self, invite: Option<&Invite>, texts: &Texts) -> (StatusCode, String, String) {
        let (web, kind) = (&texts.web, invite.map(|invite| invite.invite_type));
        let of = |any, of_contact: Option<_>, of_reset| match kind {
            Some(InviteType::PasswordReset) => of_reset,
            Some(InviteType::Contact) => of_contact.unwrap_or(any),
            _ => any,
        };
        let (status, heading, text) = match self {
            Notice::Error(Error::Refused(refusal)) => match refusal {
                // The invite exists, but its inviter's account does not.
                Refusal::Unknown if kind.is_some() => (StatusCode::GONE, &web.revoked, &web.inviter_gone),
                Refusal::Unknown | Refusal::UnknownHost(_) => (StatusCode::NOT_FOUND, &web.unknown, &web.unknown_text),
                Refusal::Incomplete => (StatusCode::NOT_FOUND, &web.incomplete, &web.incomplete_text),
                Refusal::Expired => (StatusCode::GONE, &web.expired, of(&web.expired_text, None, &web.expired_reset)),
                Refusal::Revoked => (StatusCode::GONE, &web.revoked, of(&web.revoked_text, None, &web.revoked_reset)),
                Refusal::Replaced => (StatusCode::GONE, &web.replaced, &web.replaced_text),
                Refusal::UsedUp => {
                    (StatusCode::GONE, &web.used, of(&web.used_text, Some(&web.used_contact), &web.used_reset))
                }
                Refusal::NoSuchAccount(_) if kind == Some(InviteType::PasswordReset) => {
                    (StatusCode::GONE, &web.not_possible, &web.account_gone)
                }
                Refusal::InProgress => (StatusCode::SERVICE_UNAVAILABLE, &web.busy, &web.busy_text),
                Refusal::AddressRefused { again_at }
                | Refusal::TooManyUnknown { again_at }
                | Refusal::TooManyRegistrations { again_at } => {
                    let text = fill(&web.too_many_text, &[("time", &texts.date(*again_at))]);
                    return (StatusCode::TOO_MANY_REQUESTS, web.too_many.clone(), text);
                }
                Refusal::TooManyFailed { .. } => {
                    return (StatusCode::TOO_MANY_REQUESTS, web.too_many.clone(), refusal.text(texts));
                }
                refusal => {
                    return (StatusCode::UNPROCESSABLE_ENTITY, web.not_possible.clone(), refusal.text(texts));
                }
            },
            Notice::Error(error) => {
                let heading = if error.passes() { &web.away } else { &web.failed };
                return (status_of(error), heading.clone(), error.text(texts));
            }
            Notice::Forged => (StatusCode::FORBIDDEN, &web.forged, &web.forged_text),
            Notice::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, &web.too_large, &web.too_large_text),
            Notice::TooSlow => (StatusCode::REQUEST_TIMEOUT, &web.failed, &texts.failure.broken),
            Notice::NoPage => (StatusCode::NOT_FOUND, &web.no_page, &web.no_page_text),
            Notice::WrongMethod => (StatusCode::METHOD_NOT_ALLOWED, &web.no_page, &web.no_page_text),
        };
        let inviter = invite.and_then(Invite::inviter_shown).unwrap_or_default();
        let host = invite.map(|invite| invite.host.to_string()).unwrap_or_default();
        let account = invite.and_then(Invite::account).map(|account| account.to_string()).unwrap_or_default();
        (status, heading.clone(), fill(text, &[("inviter", &inviter), ("host", &host), ("account", &account)]))
    }

    /// When the address may ask again, if it has sent too many requests or guesses.
    pub fn refused_until(&self) -> Option<Timestamp> {
        match self {
            Notice::Error(Error::Refused(
                Refusal::AddressRefused { again_at }
                | Refusal::TooManyUnknown { again_at }
                | Refusal::TooManyRegistrations { again_at }
                | Refusal::TooManyFailed { again_at },
            )) => Some(*again_at),
            _ => None,
        }
    }

    /// Whether the link is of no use any more, so that its owner has to register without it, where
    /// registration is open.
    pub fn is_of_dead_link(&self) -> bool {
        let dead = |refusal: &Refusal| {
            matches!(refusal, Refusal::Unknown | Refusal::Incomplete | Refusal::InviterStopped) || self.is_end()
        };
        matches!(self, Notice::Error(Error::Refused(refusal)) if dead(refusal))
    }

    /// Whether the invite has ended, or its link was replaced.
    pub fn is_end(&self) -> bool {
        matches!(
            self,
            Notice::Error(Error::Refused(Refusal::Expired | Refusal::Revoked | Refusal::Replaced | Refusal::UsedUp))
        )
    }
}

/// The status of the page after a failure: 503 asks the browser to try again.
pub fn status_of(error: &Error) -> StatusCode {
    if error.passes() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::INTERNAL_SERVER_ERROR }
}

/// The notice for an error of the service, which goes into the log if it is a failure.
impl<E: Into<Error>> From<E> for Notice {
    fn from(error: E) -> Self {
        let error = error.into();
        if !matches!(error, Error::Refused(_)) {
            tracing::error!(%error, "a web request could not be fulfilled");
        }
        Notice::Error(error)
    }
}
