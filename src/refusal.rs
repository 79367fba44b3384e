//! Why a request is refused: expected answers, each with a text for people. The edges add their own codes.

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
    /// Parts of the wish contradict each other, or one is impossible; the text says which.
    #[error("{0}")]
    Impossible(String),
}
