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

/// The longest username, in bytes when it is percent-encoded: chat servers name files after
/// accounts in this form.
const LONGEST_FILE_NAME: usize = 200;

/// The fields of a form. Some are secrets, so there is no `Debug`.
#[derive(Default)]
pub struct Fields {
    /// The username.
    pub username: String,
    /// What was typed after it: nothing, or `@` and the host. The form shows it again, since
    /// password managers save what is in the field.
    pub domain: String,
    /// The password that was typed.
    pub password: String,
    /// The password that the form offers.
    pub offered: String,
    /// The offered password was chosen.
    pub offered_chosen: bool,
    /// The form's secret, which must match the browser's cookie.
    pub form: String,
    /// The chat server's own fields.
    pub asked: Vec<Field>,
    /// What was typed in these: the name of the input, and the value.
    pub typed: Vec<(String, String)>,
}

/// The names of the inputs for the chat server's own fields begin with this.
const ASKED: &str = "field-";

/// One of the chat server's own fields, as the page shows it.
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
    /// What browsers may fill in: HTML's attribute `autocomplete`.
    autocomplete: Option<&'static str>,
}

/// The label of a field of XEP-0077, and its `autocomplete`.
fn standard_field<'a>(var: &str, texts: &'a Texts) -> Option<(&'a String, &'static str)> {
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

/// The label of a field: the chat server's, otherwise ours in the reader's language, otherwise its
/// name.
fn label<'a>(field: &'a Field, texts: &'a Texts) -> &'a str {
    let standard = standard_field(&field.var, texts).map(|(label, _)| label);
    field.label.as_ref().or(standard).unwrap_or(&field.var)
}

impl Fields {
    /// The fields in the body of a request; an unknown field is ignored. `@` and the host may be
    /// typed after the username.
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
                "offered" => fields.offered = value.into_owned(),
                "choice" => fields.offered_chosen = value == "offered",
                "form" => fields.form = value.into_owned(),
                name if name.starts_with(ASKED) => fields.typed.push((name.to_owned(), value.into_owned())),
                _ => (),
            }
        }
        fields
    }

    /// The registration that the form asks for, with an invite, from this address if it is known.
    ///
    /// # Errors
    /// If the username is invalid or a required field is empty: all that has to be corrected, in
    /// the password, too. Otherwise the service checks username and password.
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
        // The name is the same whenever the form is sent again with the same username and password.
        // Nobody can find the password by trying, since other secrets are hashed with it.
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

    /// What was typed or chosen in one of the chat server's own fields.
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
                autocomplete: standard_field(&field.var, texts).map(|(_, autocomplete)| autocomplete),
            }
        };
        self.asked.iter().filter(|field| field.kind != Kind::Hidden).map(show).collect()
    }

    /// The password that the form asks for: what was typed, even if the offered one is chosen.
    fn password(&self) -> &str {
        if self.takes_offered() { &self.offered } else { &self.password }
    }

    /// Whether the account gets the offered password.
    pub fn takes_offered(&self) -> bool {
        self.offered_chosen && self.password.is_empty()
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

    /// The password to offer when the form is shown again: the same, since the reader may have
    /// written it down.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub fn offered_again(&self) -> Result<String, NoRandomness> {
        if password::is_made(&self.offered) { Ok(self.offered.clone()) } else { password::make() }
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
    /// Something is wrong with one field.
    pub fn of_field(field: &str, text: String) -> Correction {
        Correction::new(StatusCode::UNPROCESSABLE_ENTITY, Some(field), text)
    }

    fn new(status: StatusCode, field: Option<&str>, text: String) -> Correction {
        let problem = Problem { field: field.map(str::to_owned), text };
        Correction { status, problems: vec![problem], suggestions: Vec::new() }
    }

    /// What to correct after an error of a registration, if the form can be sent again.
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
                // When the same form is sent again, the answer is the outcome.
                Refusal::InProgress => (StatusCode::SERVICE_UNAVAILABLE, None, web.busy_text.clone()),
                _ => return Err(error),
            },
            _ => {
                tracing::error!(%error, "a form could not be processed");
                (status_of(&error), None, error.text(texts))
            }
        };
        let mut correction = Correction::new(status, field, text);
        if field.is_some() {
            // The service checks the username first.
            correction.problems.extend(fields.problem_with_password(invite, texts));
        }
        Ok(correction)
    }
}

/// Why a password is refused. Chat apps get the English sentences that they recognise.
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
