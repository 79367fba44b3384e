//! Why a request is refused: expected answers, each with a text for people. The edges add their own codes.

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};

/// An expected "no". Every edge has words for each one, so a new one does not compile until they do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No invite has this token, or it belongs to another host.
    #[error("The invitation is not known here")]
    Unknown,
    /// The invite's time is over.
    #[error("The invitation has expired")]
    Expired,
    /// The invite was taken back.
    #[error("The invitation was taken back")]
    Revoked,
    /// No use is left.
    #[error("The invitation has been used already")]
    UsedUp,
    /// The last use is reserved by somebody who is registering at this moment.
    #[error("The invitation is being used at this very moment. Please try again in a minute")]
    InProgress,
    /// The invite makes contacts, not accounts.
    #[error("This invitation makes a contact, it does not register accounts")]
    NotForRegistration,
    /// Registration without an invite is closed.
    #[error("Registration on this server is through invitation only")]
    InvitationOnly,
    /// The invite is for another username, or the username is reserved by another invite.
    #[error("The chosen username is not valid with this invitation")]
    WrongUsername,
    /// The password reset is for another account.
    #[error("Incorrect username for password reset")]
    WrongResetUsername,
    /// The account to reset is no longer there.
    #[error("{0} has no account here")]
    NoSuchAccount(String),
    /// The username has an account.
    #[error("The requested username already exists.")]
    UsernameTaken,
    /// The username is reserved by a pending invite.
    #[error("The requested username is reserved by another invitation")]
    UsernameReserved,
    /// The username is none (nodeprep refuses it).
    #[error("{0:?} is not a valid username")]
    InvalidUsername(String),
    /// Whoever asks may not make this kind of invite.
    #[error("You are not allowed to make this kind of invitation here")]
    NotAllowed,
    /// The host is not served.
    #[error("{0} is not a host that this service serves")]
    UnknownHost(String),
    /// Too many tokens that are not known were tried from this address.
    #[error("Too many unknown invitations were tried from your address. Please try again after {}", minute(.again_at))]
    AddressRefused {
        /// When it is no longer refused.
        again_at: Timestamp,
    },
    /// No invite has this token, and too many such tokens are tried at the moment, from whatever addresses.
    #[error("The invitation is not known here, and too many such are tried. Please try again after {}", minute(.again_at))]
    TooManyUnknown {
        /// When they count no longer.
        again_at: Timestamp,
    },
    /// The invite made as many accounts from this address as it may within a day.
    #[error(
        "Many accounts were made with this invitation from your address within a day. Please try again after {}",
        minute(.again_at)
    )]
    TooManyRegistrations {
        /// When it makes more.
        again_at: Timestamp,
    },
    /// A user made as many invites as one may within a day.
    #[error(
        "You have made {most} {} within a day, which is as many as this server allows. You can make the next one after {}",
        invitations(*.most),
        minute(.again_at)
    )]
    TooManyToday {
        /// How many that is.
        most: u32,
        /// When the first of them no longer counts.
        again_at: Timestamp,
    },
    /// A user has as many pending invites as one may have.
    #[error(
        "You have {most} {} that can still be used, which is as many as this server allows. You can make the next one \
         when one of them is used{}",
        invitations(*.most),
        again_at.as_ref().map_or_else(String::new, |end| format!(" or expires, as the first one does at {}", minute(end)))
    )]
    TooManyPending {
        /// How many that is.
        most: u32,
        /// When the first of them expires, if one does.
        again_at: Option<Timestamp>,
    },
    /// The account is not old enough to invite.
    #[error("Your account is too new to make invitations. You can make the first one after {}", minute(.again_at))]
    TooNew {
        /// When it is old enough.
        again_at: Timestamp,
    },
    /// The password cannot be one, or is not good enough for the chat server; the text says why.
    #[error("{0}")]
    PasswordRefused(String),
    /// The chat server's own limits keep the registration back for now; the text is its own.
    #[error("{0}")]
    RegistrationLimited(String),
    /// The chat server has its own reasons against the registration; the text is its own.
    #[error("{0}")]
    RegistrationRefused(String),
    /// Parts of the wish contradict each other, or one is impossible; the text says which.
    #[error("{0}")]
    Impossible(String),
}

impl Refusal {
    /// Is it one of the limits that users have and admins have not?
    pub fn is_limit_of_users(&self) -> bool {
        matches!(self, Refusal::TooManyToday { .. } | Refusal::TooManyPending { .. } | Refusal::TooNew { .. })
    }
}

fn invitations(count: u32) -> &'static str {
    if count == 1 { "invitation" } else { "invitations" }
}

/// An instant for people, in whole minutes: not before it.
fn minute(instant: &Timestamp) -> String {
    let rounded = instant.round(TimestampRound::new().smallest(Unit::Minute).mode(RoundMode::Ceil));
    rounded.unwrap_or(*instant).strftime("%Y-%m-%d %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_say_when_it_goes_on() {
        let again_at = "2026-11-25T09:59:01Z".parse().unwrap();
        for (refusal, text) in [
            (
                Refusal::TooManyToday { most: 100, again_at },
                "You have made 100 invitations within a day, which is as many as this server allows. You can make the \
                 next one after 2026-11-25 10:00 UTC",
            ),
            (
                Refusal::TooManyPending { most: 1, again_at: Some(again_at) },
                "You have 1 invitation that can still be used, which is as many as this server allows. You can make the \
                 next one when one of them is used or expires, as the first one does at 2026-11-25 10:00 UTC",
            ),
            (
                Refusal::TooManyPending { most: 2, again_at: None },
                "You have 2 invitations that can still be used, which is as many as this server allows. You can make \
                 the next one when one of them is used",
            ),
        ] {
            assert_eq!(refusal.to_string(), text);
        }
        let on_the_minute = "2026-11-25T10:00:00Z".parse().unwrap();
        assert_eq!(minute(&on_the_minute), "2026-11-25 10:00 UTC");
    }
}
