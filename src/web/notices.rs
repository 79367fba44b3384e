//! Pages that say one thing: why there is no other page.

use axum::http::StatusCode;
use jiff::Timestamp;

use crate::invite::NoRandomness;
use crate::invites::Error;
use crate::refusal::Refusal;
use crate::texts::{Texts, fill};

/// When it is worth another try, if nothing else is known.
pub const TRY_AGAIN_SECONDS: u64 = 60;

/// What such a page says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// No invite has this token.
    Unknown,
    /// The invite has expired.
    Expired,
    /// The invite was revoked.
    Revoked,
    /// The invite has no use left.
    UsedUp,
    /// The invite's last use is reserved at this moment.
    Busy,
    /// A part cannot do its work at the moment.
    Away(Away),
    /// The address asked for too much, or guessed: it is refused until then.
    TooMany(Timestamp),
    /// The form was not ours, or its cookie is missing.
    Forged,
    /// The body was too long.
    TooLarge,
    /// The body did not come in time.
    TooSlow,
    /// There is no such page.
    NoPage,
    /// The page does not take this method.
    WrongMethod,
    /// Something of ours failed.
    Failed,
    /// What was asked for cannot be, for this reason.
    Refused(Refusal),
}

/// The part that cannot do its work at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Away {
    /// The chat server does not answer.
    ChatServer,
    /// The chat server answers that it cannot.
    ChatServerUnable,
    /// The store fails.
    Store,
}

impl Away {
    /// What people read.
    pub fn text(self, texts: &Texts) -> &String {
        match self {
            Away::ChatServer => &texts.web.away_text,
            Away::ChatServerUnable => &texts.web.unable_text,
            Away::Store => &texts.refusal.away,
        }
    }
}

impl Notice {
    /// Its status, heading and text.
    pub fn in_words(&self, texts: &Texts) -> (StatusCode, String, String) {
        let web = &texts.web;
        let (status, heading, text) = match self {
            Notice::Unknown => (StatusCode::NOT_FOUND, &web.unknown, &web.unknown_text),
            Notice::Expired => (StatusCode::GONE, &web.expired, &web.expired_text),
            Notice::Revoked => (StatusCode::GONE, &web.revoked, &web.revoked_text),
            Notice::UsedUp => (StatusCode::GONE, &web.used, &web.used_text),
            Notice::Busy => (StatusCode::SERVICE_UNAVAILABLE, &web.busy, &web.busy_text),
            Notice::Away(part) => (StatusCode::SERVICE_UNAVAILABLE, &web.away, part.text(texts)),
            Notice::TooMany(until) => {
                let text = fill(&web.too_many_text, &[("time", &texts.date(*until))]);
                return (StatusCode::TOO_MANY_REQUESTS, web.too_many.clone(), text);
            }
            Notice::Forged => (StatusCode::FORBIDDEN, &web.forged, &web.forged_text),
            Notice::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, &web.too_large, &web.too_large_text),
            Notice::TooSlow => (StatusCode::REQUEST_TIMEOUT, &web.failed, &web.failed_text),
            Notice::NoPage => (StatusCode::NOT_FOUND, &web.no_page, &web.no_page_text),
            Notice::WrongMethod => (StatusCode::METHOD_NOT_ALLOWED, &web.no_page, &web.no_page_text),
            Notice::Failed => (StatusCode::INTERNAL_SERVER_ERROR, &web.failed, &web.failed_text),
            Notice::Refused(refusal) => {
                return (StatusCode::UNPROCESSABLE_ENTITY, web.not_possible.clone(), refusal.text(texts));
            }
        };
        (status, heading.clone(), text.clone())
    }

    /// After how many seconds it is worth another try, where it is.
    pub fn retry_after(&self, now: Timestamp) -> Option<u64> {
        match self {
            Notice::Busy | Notice::Away(_) => Some(TRY_AGAIN_SECONDS),
            Notice::TooMany(until) => u64::try_from(until.duration_since(now).as_secs()).ok(),
            _ => None,
        }
    }

    /// Whether the invite itself is over.
    pub fn is_end(&self) -> bool {
        matches!(self, Notice::Expired | Notice::Revoked | Notice::UsedUp)
    }
}

impl From<Refusal> for Notice {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unknown | Refusal::UnknownHost(_) => Notice::Unknown,
            Refusal::Expired => Notice::Expired,
            Refusal::Revoked => Notice::Revoked,
            Refusal::UsedUp => Notice::UsedUp,
            Refusal::InProgress => Notice::Busy,
            Refusal::AddressRefused { again_at }
            | Refusal::TooManyUnknown { again_at }
            | Refusal::TooManyRegistrations { again_at }
            | Refusal::TooManyToday { again_at, .. }
            | Refusal::TooNew { again_at } => Notice::TooMany(again_at),
            refusal @ (Refusal::NotForRegistration
            | Refusal::InvitationOnly
            | Refusal::WrongUsername
            | Refusal::WrongResetUsername
            | Refusal::NoSuchAccount(_)
            | Refusal::UsernameTaken
            | Refusal::UsernameReserved
            | Refusal::InvalidUsername(_)
            | Refusal::PasswordRefused(_)
            | Refusal::RegistrationLimited(_)
            | Refusal::RegistrationRefused(_)
            | Refusal::NotAllowed
            | Refusal::TooManyPending { .. }
            | Refusal::Impossible(_)) => Notice::Refused(refusal),
        }
    }
}

/// The notice for an error of the service, which goes into the log if it is a failure.
impl From<Error> for Notice {
    fn from(error: Error) -> Self {
        let notice = match error {
            Error::Refused(refusal) => return refusal.into(),
            Error::Store(_) => Notice::Away(Away::Store),
            Error::Unreachable(_) => Notice::Away(Away::ChatServer),
            Error::Unable(_) => Notice::Away(Away::ChatServerUnable),
            Error::NoRandomness(_) => Notice::Failed,
        };
        tracing::error!(%error, "a web request could not be fulfilled");
        notice
    }
}

impl From<NoRandomness> for Notice {
    fn from(error: NoRandomness) -> Self {
        Error::from(error).into()
    }
}
