//! Why a request is refused, with a text for people. `xmpp` and `web` add their error codes.

use std::slice;

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use strum::{IntoStaticStr, VariantNames};

use crate::lifetime::{BadLifetime, Lifetime};
use crate::texts::{Texts, escaped, fill};

/// An expected "no". A new one does not compile until it has a text and a stanza error. `Display`
/// is its English text, for logs and the command line. Its `&str` is the variant's name, for
/// metrics.
#[derive(Clone, Debug, PartialEq, Eq, IntoStaticStr, VariantNames, thiserror::Error)]
#[strum(serialize_all = "snake_case")]
#[error("{}", self.text(Texts::english()))]
pub enum Refusal {
    /// No invite has this token, or it belongs to another host.
    Unknown,
    /// There is no complete token in a link: a part is missing, or something was inserted.
    Incomplete,
    /// The invite has expired.
    Expired,
    /// The invite was revoked.
    Revoked,
    /// The invite has a newer link.
    Replaced,
    /// No use is left.
    UsedUp,
    /// The last use is reserved: somebody is registering with it now.
    InProgress,
    /// The invite makes contacts, not accounts.
    NotForRegistration,
    /// Registration is open only to people with an invite.
    InvitationOnly {
        /// They can register in a browser.
        in_browser: bool,
    },
    /// The invite is for another username, or the username is reserved by another invite.
    WrongUsername,
    /// The password reset is for another account.
    WrongResetUsername,
    /// The account whose password is to be reset does not exist.
    NoSuchAccount(String),
    /// There is an account with this username.
    UsernameTaken,
    /// The username is reserved by a pending invite, or for an invite of the operator.
    UsernameReserved,
    /// People would take whoever has this username for the operator of the server.
    SystemUsername(String),
    /// The chat server refuses to register this username. The second text is its reason, or empty.
    UsernameRefused(String, String),
    /// A configuration calls this account an admin, and there is no such account. Only the operator
    /// can make an invite for it.
    AdminUsername(String),
    /// It cannot be the username of a new account: nodeprep refuses it, or some of its characters
    /// are invisible.
    InvalidUsername(String),
    /// The chat server can make no accounts on this host: they are kept elsewhere.
    NoRegistrationHere(String),
    /// The chat server can set no passwords on this host.
    NoResetHere(String),
    /// The user may not make this kind of invite.
    NotAllowed,
    /// The inviter may not make such an invite now.
    InviterStopped,
    /// The account is disabled.
    AccountDisabled(String),
    /// The account ranks above the one who makes a password reset for it.
    AccountAbove(String),
    /// The host is not served.
    UnknownHost(String),
    /// Too many unknown tokens were presented from this address.
    AddressRefused {
        /// When it is no longer refused.
        again_at: Timestamp,
    },
    /// No invite has this token, and too many unknown tokens were presented lately, from all
    /// addresses together.
    TooManyUnknown {
        /// When they no longer count.
        again_at: Timestamp,
    },
    /// The invite has made as many accounts from this address as it may in a day.
    TooManyRegistrations {
        /// When it may make more.
        again_at: Timestamp,
    },
    /// Too many registrations have failed lately, with this invite or from this address.
    TooManyFailed {
        /// When they no longer count.
        again_at: Timestamp,
    },
    /// The user has replaced as many links as a user may in a day.
    TooManyLinks {
        /// When the first of them no longer counts.
        again_at: Timestamp,
    },
    /// The user has made as many invites as a user may in a day.
    TooManyToday {
        /// How many that is.
        most: u32,
        /// When the first of them no longer counts.
        again_at: Timestamp,
    },
    /// The user has as many pending invites as a user may have.
    TooManyPending {
        /// How many that is.
        most: u32,
        /// When the first of them expires, if one does.
        again_at: Option<Timestamp>,
    },
    /// The account is not old enough to invite.
    TooNew {
        /// When it is old enough.
        again_at: Timestamp,
    },
    /// The password is not good enough.
    PasswordRefused(BadPassword),
    /// A limit of the chat server does not allow the registration now. The text is its reason, or
    /// empty.
    RegistrationLimited(String),
    /// The chat server refuses the registration. The text is its reason, or empty.
    RegistrationRefused(String),
    /// Such an invite is impossible.
    Impossible(Mistake),
    /// Several things are wrong with what was filled in.
    Several(Vec<Refusal>),
}

/// What is wrong with a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadPassword {
    /// There is none.
    Missing,
    /// It has too few characters.
    Short,
    /// It has too many characters.
    Long,
    /// It is easy to guess: common, a pattern, or made of what others know.
    Weak,
    /// It begins or ends with a space, which is easily overlooked.
    Spaces,
    /// It has a control character, which cannot be typed everywhere, or bytes that are no text.
    Characters,
    /// The chat server does not accept it. The text is its reason, or empty.
    ByServer(String),
}

/// Why an invite is impossible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// A password reset for no username.
    ResetWithoutUsername,
    /// It makes no account, but reserves a username.
    ContactWithUsername,
    /// It is for one username, but not for one use.
    UsernameForMany,
    /// It makes no account, but grants roles or groups.
    GrantsWithoutAccount,
    /// It has no use.
    NoUses,
    /// The contact is no account on this host.
    ContactElsewhere(String),
    /// This cannot be the name of a role or a group.
    BadName {
        /// How many bytes it may have.
        most: usize,
    },
    /// The note is too long.
    LongNote {
        /// How many characters it may have.
        most: usize,
    },
    /// The note has control characters.
    NoteNotPlain,
    /// This is no lifetime.
    BadLifetime(BadLifetime),
    /// This is no number of uses.
    BadUses,
    /// "Become contacts at once" is neither yes nor no.
    NotYesOrNo,
    /// There is no account, or no valid one. It must be on this host.
    NoAccount(String),
    /// More uses are taken than the changed invite would have.
    UsesTaken {
        /// How many are taken.
        taken: u32,
    },
    /// Users may not allow so many uses.
    ManyUses {
        /// How many they may allow.
        most: u32,
    },
    /// Users may not choose so long a lifetime.
    LongLife {
        /// The longest that they may choose.
        most: Lifetime,
    },
}

impl From<Mistake> for Refusal {
    fn from(mistake: Mistake) -> Self {
        Refusal::Impossible(mistake)
    }
}

impl Refusal {
    /// The refusals of [`Refusal::Several`], or this one.
    pub fn each(&self) -> &[Refusal] {
        if let Refusal::Several(refusals) = self { refusals } else { slice::from_ref(self) }
    }

    /// The key in the configuration, if this is a limit for users, which admins do not have.
    pub fn limit(&self) -> Option<&'static str> {
        match self {
            Refusal::TooManyToday { .. } => Some("invites_per_day"),
            Refusal::TooManyPending { .. } => Some("pending_invites"),
            Refusal::TooNew { .. } => Some("inviter_age"),
            _ => None,
        }
    }

    /// Whether the person who registers can correct it: choose another username or password.
    pub fn is_correctable(&self) -> bool {
        matches!(
            self,
            Refusal::WrongUsername
                | Refusal::WrongResetUsername
                | Refusal::UsernameTaken
                | Refusal::UsernameReserved
                | Refusal::InvalidUsername(_)
                | Refusal::SystemUsername(_)
                | Refusal::UsernameRefused(..)
                | Refusal::AdminUsername(_)
                | Refusal::PasswordRefused(_)
                | Refusal::RegistrationRefused(_)
        )
    }

    /// The text for people.
    pub fn text(&self, texts: &Texts) -> String {
        let when = |text: &str, again_at: &Timestamp| fill(text, &[("when", &minute(again_at, texts))]);
        let own = &texts.refusal;
        let because = |text: &str, reason: &str| match reason {
            "" => own.registration_refused.clone(),
            _ => fill(text, &[("reason", reason)]),
        };
        match self {
            Refusal::Unknown => own.unknown.clone(),
            Refusal::Incomplete => own.incomplete.clone(),
            Refusal::Expired => own.expired.clone(),
            Refusal::Revoked => own.revoked.clone(),
            Refusal::Replaced => own.replaced.clone(),
            Refusal::UsedUp => own.used_up.clone(),
            Refusal::InProgress => own.in_progress.clone(),
            Refusal::NotForRegistration => own.not_for_registration.clone(),
            Refusal::InvitationOnly { in_browser } => {
                let then = if *in_browser { &own.open_in_browser } else { &own.open_in_app };
                format!("{}. {then}", own.invitation_only)
            }
            Refusal::WrongUsername => own.wrong_username.clone(),
            Refusal::WrongResetUsername => own.wrong_reset_username.clone(),
            Refusal::NoSuchAccount(account) => fill(&own.no_such_account, &[("account", account)]),
            Refusal::UsernameTaken => own.username_taken.clone(),
            Refusal::UsernameReserved => own.username_reserved.clone(),
            Refusal::SystemUsername(username) => fill(&own.system_username, &[("username", username)]),
            Refusal::UsernameRefused(username, reason) => {
                fill(&own.username_refused, &[("username", username), ("reason", &because("{reason}", reason))])
            }
            Refusal::AdminUsername(account) => fill(&own.admin_username, &[("account", account)]),
            Refusal::InvalidUsername(username) => fill(&own.invalid_username, &[("username", &escaped(username))]),
            Refusal::NoRegistrationHere(host) => fill(&own.no_registration_here, &[("host", host)]),
            Refusal::NoResetHere(host) => fill(&own.no_reset_here, &[("host", host)]),
            Refusal::NotAllowed => own.not_allowed.clone(),
            Refusal::InviterStopped => own.inviter_stopped.clone(),
            Refusal::AccountDisabled(account) => fill(&own.account_disabled, &[("account", account)]),
            Refusal::AccountAbove(account) => fill(&own.account_above, &[("account", account)]),
            Refusal::UnknownHost(host) => fill(&own.unknown_host, &[("host", host)]),
            Refusal::AddressRefused { again_at } => when(&own.address_refused, again_at),
            Refusal::TooManyUnknown { again_at } => when(&own.too_many_unknown, again_at),
            Refusal::TooManyRegistrations { again_at } => when(&own.too_many_registrations, again_at),
            Refusal::TooManyFailed { again_at } => when(&own.too_many_failed, again_at),
            Refusal::TooManyLinks { again_at } => when(&own.too_many_links, again_at),
            Refusal::TooManyToday { most, again_at } => fill(
                texts.counted(&own.too_many_today, *most),
                &[("most", &most.to_string()), ("when", &minute(again_at, texts))],
            ),
            Refusal::TooManyPending { most, again_at: Some(end) } => fill(
                texts.counted(&own.too_many_pending, *most),
                &[("most", &most.to_string()), ("when", &minute(end, texts))],
            ),
            Refusal::TooManyPending { most, again_at: None } => {
                fill(texts.counted(&own.too_many_endless, *most), &[("most", &most.to_string())])
            }
            Refusal::TooNew { again_at } => when(&own.too_new, again_at),
            Refusal::PasswordRefused(BadPassword::Missing) => own.password_missing.clone(),
            Refusal::PasswordRefused(BadPassword::Short) => own.password_short.clone(),
            Refusal::PasswordRefused(BadPassword::Long) => own.password_long.clone(),
            Refusal::PasswordRefused(BadPassword::Weak) => own.password_weak.clone(),
            Refusal::PasswordRefused(BadPassword::Spaces) => own.password_spaces.clone(),
            Refusal::PasswordRefused(BadPassword::Characters) => own.password_characters.clone(),
            Refusal::PasswordRefused(BadPassword::ByServer(reason)) => because(&own.password_refused_because, reason),
            Refusal::RegistrationLimited(reason) => because(&own.registration_limited_because, reason),
            Refusal::RegistrationRefused(reason) => because(&own.registration_refused_because, reason),
            Refusal::Impossible(mistake) => mistake.text(texts),
            Refusal::Several(refusals) => {
                let texts: Vec<_> = refusals.iter().map(|refusal| refusal.text(texts)).collect();
                texts.join("\n")
            }
        }
    }
}

impl Mistake {
    fn text(&self, texts: &Texts) -> String {
        let own = &texts.mistake;
        match self {
            Mistake::ResetWithoutUsername => own.reset_without_username.clone(),
            Mistake::ContactWithUsername => own.contact_with_username.clone(),
            Mistake::UsernameForMany => own.username_for_many.clone(),
            Mistake::GrantsWithoutAccount => own.grants_without_account.clone(),
            Mistake::NoUses => own.no_uses.clone(),
            Mistake::ContactElsewhere(host) => fill(&own.contact_elsewhere, &[("host", host)]),
            Mistake::BadName { most } => fill(&own.bad_name, &[("most", &most.to_string())]),
            Mistake::LongNote { most } => fill(&own.long_note, &[("most", &most.to_string())]),
            Mistake::NoteNotPlain => own.note_not_plain.clone(),
            Mistake::BadLifetime(error) => error.text(texts),
            Mistake::BadUses => fill(&own.bad_uses, &[("most", &u32::MAX.to_string())]),
            Mistake::NotYesOrNo => own.not_yes_or_no.clone(),
            Mistake::NoAccount(host) => fill(&own.no_account, &[("host", host)]),
            Mistake::UsesTaken { taken } => fill(&own.uses_taken, &[("taken", &taken.to_string())]),
            Mistake::ManyUses { most } => fill(&own.many_uses, &[("most", &most.to_string())]),
            Mistake::LongLife { most } => fill(&own.long_life, &[("most", &most.in_words(texts))]),
        }
    }
}

/// An instant for people, rounded up to a minute.
fn minute(instant: &Timestamp, texts: &Texts) -> String {
    let rounded = instant.round(TimestampRound::new().smallest(Unit::Minute).mode(RoundMode::Ceil));
    texts.short_date(rounded.unwrap_or(*instant))
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
                "You have created 100 invitations within a day. This server allows no more. You can create the \
                 next one after 2026-11-25 10:00 UTC",
            ),
            (
                Refusal::TooManyPending { most: 1, again_at: Some(again_at) },
                "You have 1 invitation that can still be used. This server allows no more. You can create the next \
                 one when this one is used, or when it expires on 2026-11-25 10:00 UTC",
            ),
            (
                Refusal::TooManyPending { most: 2, again_at: None },
                "You have 2 invitations that can still be used. This server allows no more. You can create the next \
                 one when one of them is used",
            ),
        ] {
            assert_eq!(refusal.to_string(), text);
        }
        let on_the_minute = "2026-11-25T10:00:00Z".parse().unwrap();
        assert_eq!(minute(&on_the_minute, Texts::english()), "2026-11-25 10:00 UTC");
    }
    #[test]
    fn what_was_written_is_quoted_and_shown_as_text() {
        let refusal = Refusal::InvalidUsername("o'brien \"{host}\"\n".into());
        assert_eq!(refusal.to_string(), r#""o'brien \"{host}\"\n" is not a valid username"#);
        let languages = crate::texts::Languages::built_in();
        let text = Refusal::InvalidUsername("a b".into()).text(languages.preferred("de"));
        assert_eq!(text, "„a b“ kann kein Benutzername sein");
    }
    #[test]
    fn every_refusal_fills_in_its_text_in_every_language() {
        let (again_at, text) = ("2026-11-25T10:00:00Z".parse().unwrap(), || "x".to_owned());
        let refusals = [
            Refusal::NoSuchAccount(text()),
            Refusal::SystemUsername(text()),
            Refusal::UsernameRefused(text(), text()),
            Refusal::AdminUsername(text()),
            Refusal::InvalidUsername(text()),
            Refusal::AccountDisabled(text()),
            Refusal::AccountAbove(text()),
            Refusal::UnknownHost(text()),
            Refusal::NoRegistrationHere(text()),
            Refusal::NoResetHere(text()),
            Refusal::AddressRefused { again_at },
            Refusal::TooManyUnknown { again_at },
            Refusal::TooManyRegistrations { again_at },
            Refusal::TooManyFailed { again_at },
            Refusal::TooManyLinks { again_at },
            Refusal::TooManyToday { most: 1, again_at },
            Refusal::TooManyToday { most: 2, again_at },
            Refusal::TooManyPending { most: 1, again_at: Some(again_at) },
            Refusal::TooManyPending { most: 2, again_at: Some(again_at) },
            Refusal::TooManyPending { most: 1, again_at: None },
            Refusal::TooManyPending { most: 2, again_at: None },
            Refusal::TooNew { again_at },
            Refusal::PasswordRefused(BadPassword::ByServer(text())),
            Refusal::PasswordRefused(BadPassword::ByServer(String::new())),
            Refusal::RegistrationLimited(text()),
            Refusal::RegistrationRefused(text()),
        ];
        let mistakes = [
            Mistake::ContactElsewhere(text()),
            Mistake::BadName { most: 64 },
            Mistake::LongNote { most: 500 },
            Mistake::BadLifetime("x".parse::<crate::lifetime::Lifetime>().unwrap_err()),
            Mistake::NotYesOrNo,
            Mistake::NoAccount(text()),
            Mistake::UsesTaken { taken: 2 },
            Mistake::ManyUses { most: 1 },
            Mistake::LongLife { most: "7d".parse().unwrap() },
        ];
        for texts in crate::texts::Languages::built_in().iter() {
            for refusal in refusals.iter().cloned().chain(mistakes.iter().cloned().map(Refusal::from)) {
                let said = refusal.text(texts);
                assert!(!said.is_empty() && !said.contains(['{', '}']), "{}: {said}", texts.code);
            }
        }
    }
}
