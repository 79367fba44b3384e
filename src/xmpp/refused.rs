//! Errors of the service as stanza errors, with texts for people.

use xmpp_parsers::stanza_error::{DefinedCondition, ErrorType, StanzaError};

use super::stanza::error_in;
use crate::invites::Error;
use crate::refusal::Refusal;
use crate::texts::Texts;

/// What a client is told when something of ours failed: nothing about the inside, but that it may try again.
pub fn away(texts: &Texts) -> StanzaError {
    error_in(texts, ErrorType::Wait, DefinedCondition::ResourceConstraint, &texts.refusal.away)
}

/// The stanza error for an error of the service, in answer to a registration (XEP-0077) or a command.
pub fn stanza_error(cause: &Error, texts: &Texts) -> StanzaError {
    match cause {
        Error::Refused(refusal) => refused(refusal, texts),
        Error::Store(_) | Error::Unreachable(_) | Error::NoRandomness(_) => {
            tracing::error!(%cause, "a request could not be fulfilled");
            away(texts)
        }
    }
}

fn refused(refusal: &Refusal, texts: &Texts) -> StanzaError {
    let (kind, condition) = match refusal {
        Refusal::Unknown
        | Refusal::Expired
        | Refusal::Revoked
        | Refusal::UsedUp
        | Refusal::NotForRegistration
        | Refusal::InvitationOnly
        | Refusal::WrongUsername
        | Refusal::WrongResetUsername
        | Refusal::NoSuchAccount(_)
        | Refusal::InvalidUsername(_)
        | Refusal::PasswordRefused(_)
        | Refusal::RegistrationRefused(_)
        | Refusal::Impossible(_) => (ErrorType::Modify, DefinedCondition::NotAcceptable),
        // Clients let the user pick another name then. Whose the reservation is, is nobody's business.
        Refusal::UsernameTaken | Refusal::UsernameReserved => (ErrorType::Cancel, DefinedCondition::Conflict),
        Refusal::InProgress => (ErrorType::Wait, DefinedCondition::ResourceConstraint),
        Refusal::AddressRefused { .. }
        | Refusal::TooManyUnknown { .. }
        | Refusal::TooManyRegistrations { .. }
        | Refusal::RegistrationLimited(_)
        | Refusal::TooManyToday { .. }
        | Refusal::TooManyPending { .. }
        | Refusal::TooNew { .. } => (ErrorType::Wait, DefinedCondition::PolicyViolation),
        Refusal::NotAllowed => (ErrorType::Auth, DefinedCondition::Forbidden),
        Refusal::UnknownHost(_) => (ErrorType::Cancel, DefinedCondition::NotAllowed),
    };
    error_in(texts, kind, condition, refusal.text(texts))
}

/// The stanza error for a token that was presented and is not good: `item-not-found` whatever the reason (XEP-0445 §4),
/// since some clients go on without an invite on anything else. Guesses are told from it: the hook ends their streams.
pub fn not_valid(cause: &Error, texts: &Texts) -> StanzaError {
    match cause {
        Error::Refused(
            refusal @ (Refusal::UnknownHost(_) | Refusal::AddressRefused { .. } | Refusal::TooManyUnknown { .. }),
        ) => refused(refusal, texts),
        Error::Refused(refusal) => {
            error_in(texts, ErrorType::Cancel, DefinedCondition::ItemNotFound, refusal.text(texts))
        }
        Error::Store(_) | Error::Unreachable(_) | Error::NoRandomness(_) => stanza_error(cause, texts),
    }
}
