//! Errors of the service as stanza errors (RFC 6120 §8.3), with texts for people.

use xmpp_parsers::stanza_error::{DefinedCondition, ErrorType, StanzaError};

use super::stanza::error_in;
use crate::invites::Error;
use crate::refusal::Refusal;
use crate::texts::Texts;

/// The error after a failure of the daemon. It gives no details, and asks to try again.
pub fn try_again(texts: &Texts) -> StanzaError {
    error_in(texts, ErrorType::Wait, DefinedCondition::ResourceConstraint, &texts.failure.store)
}

/// The stanza error for a registration (XEP-0077) or a command that failed. Logs what is no
/// refusal.
pub fn stanza_error(cause: &Error, texts: &Texts) -> StanzaError {
    match cause {
        Error::Refused(refusal) => refused(refusal, texts),
        Error::Store(_) | Error::Late | Error::NoAnswer(_) | Error::NoRandomness(_) => {
            tracing::error!(%cause, "a request failed");
            error_in(texts, ErrorType::Wait, DefinedCondition::ResourceConstraint, cause.text(texts))
        }
    }
}

fn refused(refusal: &Refusal, texts: &Texts) -> StanzaError {
    let (kind, condition) = match refusal {
        Refusal::Unknown
        | Refusal::Incomplete
        | Refusal::Expired
        | Refusal::Revoked
        | Refusal::Replaced
        | Refusal::UsedUp
        | Refusal::NotForRegistration
        | Refusal::InvitationOnly { .. }
        | Refusal::WrongUsername
        | Refusal::WrongResetUsername
        | Refusal::NoSuchAccount(_)
        | Refusal::InvalidUsername(_)
        | Refusal::InviterStopped
        | Refusal::AccountDisabled(_)
        | Refusal::AccountAbove(_)
        | Refusal::PasswordRefused(_)
        | Refusal::RegistrationRefused(_)
        | Refusal::Impossible(_)
        | Refusal::Several(_) => (ErrorType::Modify, DefinedCondition::NotAcceptable),
        // On a conflict, clients let the user choose another name. A reserved name looks like a
        // taken one, since strangers need not know of the reservation.
        Refusal::UsernameTaken
        | Refusal::UsernameReserved
        | Refusal::SystemUsername(_)
        | Refusal::UsernameRefused(..)
        | Refusal::AdminUsername(_) => (ErrorType::Cancel, DefinedCondition::Conflict),
        Refusal::InProgress => (ErrorType::Wait, DefinedCondition::ResourceConstraint),
        Refusal::AddressRefused { .. }
        | Refusal::TooManyUnknown { .. }
        | Refusal::TooManyRegistrations { .. }
        | Refusal::TooManyFailed { .. }
        | Refusal::RegistrationLimited(_)
        | Refusal::TooManyLinks { .. }
        | Refusal::TooManyToday { .. }
        | Refusal::TooManyPending { .. }
        | Refusal::TooNew { .. } => (ErrorType::Wait, DefinedCondition::PolicyViolation),
        Refusal::NoRegistrationHere(_) | Refusal::NoResetHere(_) => {
            (ErrorType::Cancel, DefinedCondition::FeatureNotImplemented)
        }
        Refusal::NotAllowed => (ErrorType::Auth, DefinedCondition::Forbidden),
        Refusal::UnknownHost(_) => (ErrorType::Cancel, DefinedCondition::NotAllowed),
    };
    error_in(texts, kind, condition, refusal.text(texts))
}

/// The stanza error for a token that was presented and is not valid: `item-not-found`, whatever the
/// reason (XEP-0445 §4). After any other condition, some clients go on without an invite. Guessing
/// has another condition, after which the hook closes the stream.
pub fn not_valid(cause: &Error, texts: &Texts) -> StanzaError {
    match cause {
        Error::Refused(Refusal::UnknownHost(_) | Refusal::AddressRefused { .. } | Refusal::TooManyUnknown { .. }) => {
            stanza_error(cause, texts)
        }
        Error::Refused(refusal) => {
            error_in(texts, ErrorType::Cancel, DefinedCondition::ItemNotFound, refusal.text(texts))
        }
        _ => stanza_error(cause, texts),
    }
}
