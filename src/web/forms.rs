//! Forms: what a browser sends, what has to be corrected in it, and the registration that it asks
//! for. No I/O.

use std::net::IpAddr;

use axum::http::StatusCode;
use jid::NodePart;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use sha2::{Digest, Sha256};
use url::form_urlencoded;

use super::notices::status_of;
use crate::fields::{Answers, Field, Kind};
use crate::invite::{self, Invite, NoRandomness, OF_BROWSER, Token};
use crate::invites::{BrowserRegistration, Error};
use crate::refusal::{BadPassword, Refusal};
use crate::secret::Secret;
use crate::texts::{Texts, escaped, fill};
use crate::{jids, password};

/// The longest username, in bytes with most characters escaped: chat servers name files after
/// accounts.
const LONGEST_FILE_NAME: usize = 200;

/// The fields of a form. Some are secrets, so they cannot be printed.
#[derive(Default)]
pub struct Fields {
    /// The username.
    pub username: String,
    /// What was typed behind it: nothing, or `@` and the host. Password managers keep what is in
    /// the field.
    pub domain: String,
    /// The password that was typed.
    pub password: String,
    /// The password that the form offers.
    pub made: String,
    /// The offered password was chosen.
    pub made_chosen: bool,
    /// The form's secret, which comes back with it.
    pub form: String,
    /// What else the chat server asks.
    pub asked: Vec<Field>,
    /// What was typed there, by the names of the inputs.
    pub typed: Vec<(String, String)>,
}

/// What the inputs for the chat server's own fields are called: this, and the field's name.
const ASKED: &str = "field-";

/// A field of the chat server's as the page shows it.
#[derive(Debug, Serialize)]
pub struct Shown<'a> {
    /// The name of its input.
    id: String,
    /// What is typed or chosen in it.
    kind: Kind,
    label: String,
    required: bool,
    options: &'a [(String, String)],
    /// What was typed or chosen, or is there at first.
    values: Vec<&'a str>,
    /// What browsers may fill in, in the words of HTML.
    autocomplete: Option<&'static str>,
}

/// What a field of XEP-0077 is called, and what browsers may fill in there.
fn known<'a>(var: &str, texts: &'a Texts) -> Option<(&'a String, &'static str)> {
    let field = &texts.field;
    Some(match var {
        "nick" => (&field.nick, "nickname"),
        "name" => (&field.name, "name"),
        "first" => (&field.first, "given-name"),
        "last" => (&field.last, "family-name"),
        "email" => (&field.email, "email"),
        "address" => (&field.address, "street-address"),
        "city" => (&field.city, "address-level2"),
        "state" => (&field.state, "address-level1"),
        "zip" => (&field.zip, "postal-code"),
        "phone" => (&field.phone, "tel"),
        "url" => (&field.url, "url"),
        "date" => (&field.date, "bday"),
        _ => return None,
    })
}

/// What a field is called: as the chat server says, or in the reader's language.
fn label<'a>(field: &'a Field, texts: &'a Texts) -> &'a str {
    let known = known(&field.var, texts).map(|(label, _)| label);
    field.label.as_ref().or(known).unwrap_or(&field.var)
}

impl Fields {
    /// The fields in the body of a request; an unknown field is ignored. `host` may be typed behind
    /// the username.
    pub fn read(body: &[u8], host: &str) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in form_urlencoded::parse(body) {
            match &*name {
                "username" => {
                    let typed = value.trim();
                    let username = jids::without_host(typed, host);
                    fields.domain = if username == typed { String::new() } else { format!("@{host}") };
                    fields.username = username.to_owned();
                }
                "password" => fields.password = value.into_owned(),
                "made" => fields.made = value.into_owned(),
                "choice" => fields.made_chosen = value == "made",
                "form" => fields.form = value.into_owned(),
                name if name.starts_with(ASKED) => fields.typed.push((name.to_owned(), value.into_owned())),
                _ => (),
            }
        }
        fields
    }

    /// The registration that the form asks for with an invite, from this address if it is known.
    ///
    /// # Errors
    /// What has to be corrected, if the username cannot be one: also in the password. Otherwise the
    /// service judges both.
    pub fn registration(
        &self,
        invite: &Invite,
        token: &Token,
        address: Option<IpAddr>,
        texts: &Texts,
    ) -> Result<BrowserRegistration, Correction> {
        let (answers, missing) = self.answers(texts);
        let username = match self.username(invite, texts) {
            Ok(username) if missing.is_empty() => username,
            username => {
                let bad = username.err().map(|text| Problem { field: Some("username".into()), text });
                let problems = bad.into_iter().chain(self.problem_with_password(invite, texts)).chain(missing);
                let (status, problems) = (StatusCode::UNPROCESSABLE_ENTITY, problems.collect());
                return Err(Correction { status, problems, suggestions: Vec::new() });
            }
        };
        let password = self.password();
        // The same whenever the form is sent again with the same answers. The secrets in it keep
        // others from learning the password by trying.
        let mut hash = Sha256::new();
        for part in [&self.form, token.reveal(), username.as_str(), password] {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        let form =
            hash.finalize().iter().take(16).fold(OF_BROWSER.to_owned(), |name, byte| name + &format!("{byte:02x}"));
        let (username, password) = (Some(username), Secret::new(password.to_owned()));
        Ok(BrowserRegistration { token: token.clone(), username, password, answers, form, address })
    }

    /// What was typed or chosen in a field of the chat server's.
    fn typed_in(&self, field: &Field) -> impl Iterator<Item = &str> {
        let typed = self.typed.iter().filter(|(name, _)| name.strip_prefix(ASKED) == Some(&field.var));
        typed.map(|(_, value)| value.as_str())
    }

    /// The answers to the chat server's own fields, and what is missing among them.
    fn answers(&self, texts: &Texts) -> (Answers, Vec<Problem>) {
        let (mut answers, mut missing) = (Answers::new(), Vec::new());
        for field in &self.asked {
            let values = field.answered(self.typed_in(field));
            if !values.is_empty() {
                answers.push((field.var.clone(), values));
            } else if field.required {
                let text = fill(&texts.field.missing, &[("field", label(field, texts))]);
                missing.push(Problem { field: Some(format!("{ASKED}{}", field.var)), text });
            }
        }
        (answers, missing)
    }

    /// The chat server's own fields, with what was typed in them.
    pub fn shown<'a>(&'a self, texts: &Texts) -> Vec<Shown<'a>> {
        let show = |field: &'a Field| {
            let at_first = field.values.iter().map(String::as_str);
            Shown {
                id: format!("{ASKED}{}", field.var),
                kind: field.kind,
                label: label(field, texts).to_owned(),
                required: field.required,
                options: &field.options,
                values: if self.typed.is_empty() { at_first.collect() } else { self.typed_in(field).collect() },
                autocomplete: known(&field.var, texts).map(|(_, autocomplete)| autocomplete),
            }
        };
        self.asked.iter().filter(|field| field.kind != Kind::Hidden).map(show).collect()
    }

    /// The password that the form asks for: what was typed, even if the offered one is chosen.
    fn password(&self) -> &str {
        if self.takes_made() { &self.made } else { &self.password }
    }

    /// Whether the account gets the offered password.
    pub fn takes_made(&self) -> bool {
        self.made_chosen && self.password.is_empty()
    }

    /// What is wrong with the password, if anything is.
    fn problem_with_password(&self, invite: &Invite, texts: &Texts) -> Option<Problem> {
        let refusal = password::admit(self.password(), &self.username, &invite.host, Some(invite)).err()?;
        Some(Problem { field: Some("password".into()), text: password_text(&refusal, texts) })
    }

    /// The username that the form asks for, or what is wrong with it.
    fn username(&self, invite: &Invite, texts: &Texts) -> Result<NodePart, String> {
        if let Some(username) = &invite.username {
            return Ok(username.clone());
        }
        if self.username.is_empty() {
            return Err(texts.web.username_missing.clone());
        }
        if self.username.contains(jids::AT) {
            return Err(fill(&texts.web.username_elsewhere, &[("host", invite.host.as_str())]));
        }
        let username = invite::username(&self.username).ok().filter(fits);
        username.ok_or_else(|| named(&texts.web.username_invalid, &escaped(&self.username)))
    }

    /// The password to offer when the form is shown again: the same, since it may have been noted
    /// down.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub fn made_again(&self) -> Result<String, NoRandomness> {
        if password::is_made(&self.made) { Ok(self.made.clone()) } else { password::make() }
    }
}

/// Why a form has to be sent again.
#[derive(Clone, Debug)]
pub struct Correction {
    /// The status of the page.
    pub status: StatusCode,
    /// Everything that is wrong.
    pub problems: Vec<Problem>,
    /// Usernames that are free.
    pub suggestions: Vec<String>,
}

/// One thing that is wrong with a form.
#[derive(Clone, Debug, Serialize)]
pub struct Problem {
    /// The field that it is about.
    pub field: Option<String>,
    /// The text for people.
    pub text: String,
}

impl Correction {
    /// A field whose content cannot be used.
    pub fn of_field(field: impl Into<String>, text: String) -> Correction {
        Correction::new(StatusCode::UNPROCESSABLE_ENTITY, Some(field.into()), text)
    }

    fn new(status: StatusCode, field: Option<String>, text: String) -> Correction {
        Correction { status, problems: vec![Problem { field, text }], suggestions: Vec::new() }
    }

    /// The same, and what else is wrong.
    fn and(mut self, other: Option<Problem>) -> Correction {
        self.problems.extend(other);
        self
    }

    /// The error of a registration, as far as the form can be sent again after it.
    ///
    /// # Errors
    /// The same error, if it cannot.
    pub fn of(error: Error, invite: &Invite, fields: &Fields, texts: &Texts) -> Result<Correction, Error> {
        let (web, username) = (&texts.web, fields.username.as_str());
        let (status, field, text) = match &error {
            // The form has no field for a username that the invite fixes.
            Error::Refused(
                Refusal::UsernameTaken
                | Refusal::UsernameReserved
                | Refusal::UsernameRefused(..)
                | Refusal::InvalidUsername(_),
            ) if invite.username.is_some() => return Err(error),
            Error::Refused(refusal) => match refusal {
                Refusal::UsernameTaken => {
                    (StatusCode::CONFLICT, Some("username"), named(&web.username_taken, username))
                }
                Refusal::UsernameReserved => {
                    (StatusCode::CONFLICT, Some("username"), named(&web.username_reserved, username))
                }
                Refusal::UsernameRefused(_, reason) => {
                    let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
                    (StatusCode::CONFLICT, Some("username"), named(&web.username_refused, username) + &reason)
                }
                Refusal::SystemUsername(_) => (StatusCode::CONFLICT, Some("username"), refusal.text(texts)),
                Refusal::InvalidUsername(_) => {
                    let text = named(&web.username_invalid, &escaped(username));
                    (StatusCode::UNPROCESSABLE_ENTITY, Some("username"), text)
                }
                Refusal::WrongUsername => (StatusCode::UNPROCESSABLE_ENTITY, Some("username"), refusal.text(texts)),
                Refusal::PasswordRefused(_) => {
                    return Ok(Correction::of_field("password", password_text(refusal, texts)));
                }
                Refusal::RegistrationLimited(_) => (StatusCode::TOO_MANY_REQUESTS, None, refusal.text(texts)),
                Refusal::RegistrationRefused(_) => (StatusCode::UNPROCESSABLE_ENTITY, None, refusal.text(texts)),
                // Sending the form again, unchanged, tells what comes of it.
                Refusal::InProgress => (StatusCode::SERVICE_UNAVAILABLE, None, web.busy_text.clone()),
                _ => return Err(error),
            },
            _ => {
                tracing::error!(%error, "a form could not be processed");
                (status_of(&error), None, error.text(texts))
            }
        };
        // The username is looked at first.
        let other = field.and_then(|_| fields.problem_with_password(invite, texts));
        Ok(Correction::new(status, field.map(str::to_owned), text).and(other))
    }
}

/// Why a password is refused. Chat apps get other words, which they understand.
fn password_text(refusal: &Refusal, texts: &Texts) -> String {
    match refusal {
        Refusal::PasswordRefused(BadPassword::Short) => texts.web.password_short.clone(),
        Refusal::PasswordRefused(BadPassword::Weak) => texts.web.password_weak.clone(),
        _ => refusal.text(texts),
    }
}

/// Whether a username is short enough for the form.
pub fn fits(username: &NodePart) -> bool {
    let file_name = utf8_percent_encode(username.as_str(), NON_ALPHANUMERIC);
    file_name.map(str::len).sum::<usize>() <= LONGEST_FILE_NAME
}

fn named(text: &str, username: &str) -> String {
    fill(text, &[("username", username)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat_server::NoAnswer;
    use crate::invite::InviteType;
    use crate::invite::tests::invite;
    use crate::store::{Problem, StoreError};

    #[test]
    fn each_part_that_fails_has_its_own_words() {
        let why = || "why".to_owned();
        let failures = [
            Error::Store(StoreError { store: why(), problem: Problem::Locked }),
            NoAnswer::Unreachable(why()).into(),
            NoAnswer::Late(why()).into(),
            NoAnswer::NotSetUp(why()).into(),
            NoAnswer::Unable(why()).into(),
            Error::NoRandomness(NoRandomness),
            Refusal::InProgress.into(),
        ];
        for texts in crate::texts::Languages::built_in().iter() {
            let mut said: Vec<_> = failures
                .iter()
                .map(|error| {
                    Correction::of(error.clone(), &invite(InviteType::Account), &Fields::default(), texts).unwrap()
                })
                .inspect(|it| assert!(it.status.is_server_error()))
                .flat_map(|correction| correction.problems)
                .inspect(|it| assert!(it.field.is_none() && !it.text.contains("why"), "{}", it.text))
                .map(|problem| problem.text)
                .collect();
            said.sort();
            said.dedup();
            assert_eq!(said.len(), failures.len(), "{}: {said:?}", texts.code);
        }
    }
}
