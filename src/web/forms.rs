//! Forms: what a browser sends, what of it has to be corrected, and the registration that it asks
//! for. No I/O.

use std::net::IpAddr;

use axum::http::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};
use url::form_urlencoded;

use super::notices::Away;
use super::password;
use crate::invite::{self, Invite, NoRandomness, Token};
use crate::invites::{BrowserRegistration, Error};
use crate::refusal::Refusal;
use crate::secret::Secret;
use crate::texts::{Texts, fill};

/// The longest username in the name of a file, in bytes with most characters escaped: chat servers
/// name files after accounts.
const LONGEST_FILE_NAME: usize = 200;

/// The fields of a form that was sent.
#[derive(Debug, Default)]
pub struct Sent {
    /// The username that was typed.
    pub username: String,
    /// The password that was typed.
    pub password: String,
    /// The password that the form offered.
    pub made: String,
    /// The offered password was chosen.
    pub made_chosen: bool,
    /// The form's secret.
    pub form: String,
}

impl Sent {
    /// The fields in the body of a request; an unknown field is ignored. `host` may be typed behind
    /// the username.
    pub fn read(body: &[u8], host: &str) -> Sent {
        let mut sent = Sent::default();
        for (name, value) in form_urlencoded::parse(body) {
            match &*name {
                "username" => {
                    let typed = value.trim();
                    let address = typed.rsplit_once('@').filter(|(_, domain)| domain.eq_ignore_ascii_case(host));
                    sent.username = address.map_or(typed, |(username, _)| username).to_owned();
                }
                "password" => sent.password = value.into_owned(),
                "made" => sent.made = value.into_owned(),
                "choice" => sent.made_chosen = value == "made",
                "form" => sent.form = value.into_owned(),
                _ => (),
            }
        }
        sent
    }

    /// The registration that the form asks for with an invite, from this address.
    ///
    /// # Errors
    /// What has to be corrected.
    pub fn registration(
        &self,
        invite: &Invite,
        token: &Token,
        address: IpAddr,
    ) -> Result<BrowserRegistration, FormError> {
        let username = match &invite.username {
            Some(username) => username.clone(),
            None if self.username.is_empty() => return Err(FormError::UsernameMissing),
            None => {
                let username = invite::username(&self.username).map_err(FormError::Username)?;
                let file_name = utf8_percent_encode(username.as_str(), NON_ALPHANUMERIC);
                if file_name.map(str::len).sum::<usize>() > LONGEST_FILE_NAME {
                    return Err(FormError::Username(Refusal::InvalidUsername(username.to_string())));
                }
                username
            }
        };
        let password = if self.made_chosen { &self.made } else { &self.password };
        // The same whenever the form is sent again with the same answers. The secrets in it keep
        // others from learning the password by trying.
        let mut hash = Sha256::new();
        for part in [&self.form, token.reveal(), username.as_str(), password] {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        let form = hash.finalize().iter().take(16).fold("web-".to_owned(), |name, byte| name + &format!("{byte:02x}"));
        let (username, password) = (Some(username), Secret::new(password.clone()));
        Ok(BrowserRegistration { token: token.clone(), username, password, form, address: Some(address) })
    }

    /// The password to offer when the form is shown again: the same if it was chosen, since it may
    /// have been noted down.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub fn made_again(&self) -> Result<String, NoRandomness> {
        if self.made_chosen && password::is_made(&self.made) { Ok(self.made.clone()) } else { password::make() }
    }
}

/// Why a form has to be sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormError {
    /// No username was typed.
    UsernameMissing,
    /// The username cannot be had.
    Username(Refusal),
    /// What was typed is not accepted.
    Refused(Refusal),
    /// The invite is in use at this moment: sending the form again, unchanged, tells what came of
    /// it.
    Busy,
    /// A part cannot do its work at the moment: sending the form again, unchanged, tells what came
    /// of it.
    Away(Away),
}

impl FormError {
    /// The error of a registration, as far as the form can be sent again after it.
    ///
    /// # Errors
    /// The same error, if it cannot.
    pub fn of(error: Error, invite: &Invite) -> Result<FormError, Error> {
        match error {
            // The form has no field for a username that the invite fixes.
            Error::Refused(Refusal::UsernameTaken | Refusal::UsernameReserved | Refusal::InvalidUsername(_))
                if invite.username.is_some() =>
            {
                Err(error)
            }
            Error::Refused(
                refusal @ (Refusal::UsernameTaken
                | Refusal::UsernameReserved
                | Refusal::InvalidUsername(_)
                | Refusal::WrongUsername),
            ) => Ok(FormError::Username(refusal)),
            Error::Refused(
                refusal @ (Refusal::PasswordRefused(_)
                | Refusal::RegistrationLimited(_)
                | Refusal::RegistrationRefused(_)),
            ) => Ok(FormError::Refused(refusal)),
            Error::Refused(Refusal::InProgress) => Ok(FormError::Busy),
            Error::Store(_) | Error::Unreachable(_) | Error::Unable(_) => {
                tracing::error!(%error, "a form could not be processed");
                Ok(FormError::Away(match error {
                    Error::Unreachable(_) => Away::ChatServer,
                    Error::Unable(_) => Away::ChatServerUnable,
                    _ => Away::Store,
                }))
            }
            error => Err(error),
        }
    }

    /// The status, the text, and the field that it is about.
    pub fn in_words(&self, texts: &Texts, username: &str) -> (StatusCode, String, Option<&'static str>) {
        let web = &texts.web;
        let of_username = |text: &str| fill(text, &[("username", username)]);
        match self {
            FormError::UsernameMissing => {
                (StatusCode::UNPROCESSABLE_ENTITY, web.username_missing.clone(), Some("username"))
            }
            FormError::Username(refusal) => {
                let (status, text) = match refusal {
                    Refusal::UsernameTaken => (StatusCode::CONFLICT, of_username(&web.username_taken)),
                    Refusal::UsernameReserved => (StatusCode::CONFLICT, of_username(&web.username_reserved)),
                    Refusal::InvalidUsername(_) => {
                        (StatusCode::UNPROCESSABLE_ENTITY, of_username(&web.username_invalid))
                    }
                    other => (StatusCode::UNPROCESSABLE_ENTITY, other.text(texts)),
                };
                (status, text, Some("username"))
            }
            FormError::Busy => (StatusCode::SERVICE_UNAVAILABLE, web.busy_text.clone(), None),
            FormError::Away(part) => (StatusCode::SERVICE_UNAVAILABLE, part.text(texts).clone(), None),
            FormError::Refused(refusal) => {
                let (status, field) = match refusal {
                    Refusal::PasswordRefused(_) => (StatusCode::UNPROCESSABLE_ENTITY, Some("password")),
                    Refusal::RegistrationLimited(_) => (StatusCode::TOO_MANY_REQUESTS, None),
                    _ => (StatusCode::UNPROCESSABLE_ENTITY, None),
                };
                (status, refusal.text(texts), field)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat_server::Unreachable;
    use crate::invite::InviteType;
    use crate::invite::tests::invite;
    use crate::store::StoreError;

    #[test]
    fn each_part_that_fails_has_its_own_words() {
        let why = || "why".to_owned();
        let failures = [
            Error::Store(StoreError::Locked(why())),
            Error::Unreachable(Unreachable(why())),
            Error::Unable(why()),
            Refusal::InProgress.into(),
        ];
        for texts in crate::texts::Languages::built_in().iter() {
            let mut said: Vec<_> = failures
                .iter()
                .map(|error| FormError::of(error.clone(), &invite(InviteType::Account)).unwrap())
                .map(|error| error.in_words(texts, "carol"))
                .inspect(|(status, text, _)| assert!(status.is_server_error() && !text.contains("why"), "{text}"))
                .map(|(_, text, _)| text)
                .collect();
            said.sort();
            said.dedup();
            assert_eq!(said.len(), failures.len(), "{}: {said:?}", texts.code);
        }
    }
}
