//! The configuration file as it stands: its keys and their types, and the line of a problem. No
//! error repeats a secret.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use jid::{BareJid, DomainPart, NodePart};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use serde_path_to_error::Segment;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use url::Url;

use super::values::{Age, Server, Written};
use crate::lifetime::Lifetime;
use crate::links::{LandingPage, OldPath, PublicUrl};
use crate::meaning::written as path;
use crate::secret::Secret;
use crate::store::StoreUrl;
use crate::texts::printable;
use crate::web::{About, Colour};

/// The reference of every key, with its default: `easy-invite init` fills it in.
pub const EXAMPLE: &str = include_str!("../../config.example.toml");

/// Why a configuration cannot be used: one line, without control characters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    file: PathBuf,
    line: Option<usize>,
    key: Option<String>,
    problem: String,
}

impl ConfigError {
    /// A problem of a variable of the environment.
    pub fn of_variable(name: &str, problem: impl Into<String>) -> ConfigError {
        ConfigError::of_file(format!("${name} in the environment"), None, problem)
    }

    /// A problem of a file, or of a line of it.
    pub fn of_file(file: impl Into<PathBuf>, line: Option<usize>, problem: impl Into<String>) -> ConfigError {
        ConfigError { file: file.into(), line, key: None, problem: problem.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.line.map(|line| format!(":{line}")).unwrap_or_default();
        let key = self.key.as_ref().map(|key| format!(": {key}")).unwrap_or_default();
        // A path may hold any character.
        f.write_str(&printable(format_args!("{}{line}{key}: {}", self.file.display(), self.problem)))
    }
}

/// The file, with every value checked that can be checked by itself.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Raw {
    pub component: Option<Table<RawComponent>>,
    #[serde(default)]
    pub store: Table<RawStore>,
    #[serde(default)]
    pub control: Table<RawControl>,
    #[serde(default)]
    pub limits: Table<RawLimits>,
    pub web: Option<Table<RawWeb>>,
    pub metrics: Option<Table<RawMetrics>>,
    #[serde(default)]
    pub hosts: BTreeMap<String, Table<RawHost>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawComponent {
    pub jid: Option<Value<DomainPart>>,
    pub server: Option<Value<Server>>,
    pub secret: Option<RawSecret>,
    pub secret_file: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawStore {
    pub url: Option<Value<StoreUrl>>,
    pub retention: Option<Value<Lifetime>>,
    pub audit: Option<Value<Lifetime>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawControl {
    pub socket: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawLimits {
    pub wrong_tokens: Option<Most>,
    pub registrations: Option<Most>,
    pub pages: Option<Most>,
    pub forms: Option<Most>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawWeb {
    pub listen: Option<Value<SocketAddr>>,
    pub public_url: Option<Value<PublicUrl>>,
    #[serde(default)]
    pub also: Vec<Value<OldPath>>,
    pub trusted_proxies: Option<Vec<Value<IpNet>>>,
    pub name: Option<String>,
    pub about: Option<About>,
    pub logo: Option<PathBuf>,
    pub accent: Option<Value<Colour>>,
    pub imprint: Option<Value<Url>>,
    pub terms: Option<Value<Url>>,
    pub templates: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawMetrics {
    pub listen: Option<Value<SocketAddr>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawHost {
    pub registration_invite_only: Option<bool>,
    pub allow_user_invites: Option<bool>,
    pub allow_contact_invites: Option<bool>,
    #[serde(default)]
    pub admins: Vec<Value<BareJid>>,
    pub expire_after: Option<Value<Lifetime>>,
    pub reset_expire_after: Option<Value<Lifetime>>,
    pub landing_page: Option<Value<LandingPage>>,
    pub invites_per_day: Option<Most>,
    pub pending_invites: Option<Most>,
    pub inviter_age: Option<Value<Age>>,
    pub max_uses: Option<Most>,
    pub max_expires: Option<Value<Lifetime>>,
    pub notify_inviter: Option<bool>,
    pub reserved_usernames: Option<Vec<Value<NodePart>>>,
    #[serde(default)]
    pub roles: BTreeMap<String, Table<RawRole>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawRole {
    pub allow_user_invites: Option<bool>,
    pub allow_contact_invites: Option<bool>,
    pub max_uses: Option<Most>,
    pub max_expires: Option<Value<Lifetime>>,
}

/// A table and nothing else: serde would also take a list of its values. The error does not show a
/// string, which may be a secret whose key is in the wrong table.
#[derive(Default)]
pub struct Table<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Table<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Table(PhantomData)).map(Table)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Table<PhantomData<T>> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<T, E> {
        Err(E::custom("expected a table, found a string"))
    }
}

/// A value that is written as a string.
pub struct Value<T>(pub T);

impl<'de, T: Written> Deserialize<'de> for Value<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::read(&String::deserialize(deserializer)?).map(Value).map_err(D::Error::custom)
    }
}

/// How many there may be: a number from 1, or "unlimited" for `None`.
pub struct Most(pub Option<u32>);

impl<'de> Deserialize<'de> for Most {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Most(None))
    }
}

impl Visitor<'_> for Most {
    type Value = Most;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number from 1, or \"unlimited\"")
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Most, E> {
        let most = u32::try_from(number).ok().filter(|most| *most > 0);
        most.map(|most| Most(Some(most))).ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Most, E> {
        if text == "unlimited" { Ok(Most(None)) } else { Err(E::invalid_value(Unexpected::Str(text), &self)) }
    }
}

/// A secret. No error shows what was written in its place.
pub struct RawSecret(pub Secret);

impl<'de> Deserialize<'de> for RawSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer).map_err(|_| D::Error::custom("expected a string"))?;
        secret(text.trim_matches(['\r', '\n'])).map(RawSecret).map_err(D::Error::custom)
    }
}

/// The secret in a file of its own, or in a variable. Editors and files of variables leave a byte
/// order mark, blanks, a line break and quotes around it.
///
/// # Errors
/// If it is empty or has several lines.
pub fn plain_secret(text: &str) -> Result<Secret, &'static str> {
    secret(without_quotes(text))
}

/// A text without what editors and files of variables leave around it.
pub fn without_quotes(text: &str) -> &str {
    let text = text.trim_start_matches('\u{feff}').trim();
    let quoted = ['"', '\''].into_iter().find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote));
    quoted.unwrap_or(text)
}

fn secret(text: &str) -> Result<Secret, &'static str> {
    match text {
        "" => Err("the secret is empty: expected the component_secret of the chat server"),
        text if text.contains(['\r', '\n']) => Err("the secret has more than one line: expected nothing beside it"),
        text => Ok(Secret::new(text.to_owned())),
    }
}

/// Where the keys are from, to say where a problem is.
pub struct Source<'a> {
    /// The file, if there is one.
    pub file: Option<&'a Path>,
    /// Its text.
    pub text: &'a str,
    /// The variables that set keys, each with the path of its key.
    pub variables: &'a [(&'static str, &'static [&'static str])],
}

impl Source<'_> {
    /// What the file says.
    ///
    /// # Errors
    /// If it is no TOML, or has an unknown key or a wrong value.
    pub fn parse(&self) -> Result<Raw, ConfigError> {
        let syntax_error = |error: toml::de::Error| {
            let line = self.line(error.span().map_or(0, |span| span.start));
            self.error(line, self.key_of_line(line), error.message().replace('\n', " "))
        };
        let deserializer = toml::Deserializer::parse(self.text).map_err(syntax_error)?;
        serde_path_to_error::deserialize(deserializer).map_err(|error| {
            let keys: Vec<&str> = error.path().iter().filter_map(key_of).collect();
            let line = error.inner().span().map_or_else(|| self.line_of(&keys, None), |span| self.line(span.start));
            self.error(line, Some(path(&keys)), self.in_words(error.inner().message(), &keys))
        })
    }

    /// A problem with a key, in the variable that sets it or in the file. If the key is missing,
    /// the line is that of the table that lacks it.
    pub fn problem(&self, keys: &[&str], problem: impl Into<String>) -> ConfigError {
        let is_set_by = |variable: &[&str]| keys == variable || keys.starts_with(variable) && !self.has(keys);
        match self.variables.iter().find(|(_, key)| is_set_by(key)) {
            Some((name, _)) => ConfigError::of_variable(name, problem),
            None => self.error(self.line_of(keys, None), Some(path(keys)), problem),
        }
    }

    /// A problem with an element of a list.
    pub fn problem_of_element(&self, keys: &[&str], element: usize, problem: impl Into<String>) -> ConfigError {
        self.error(self.line_of(keys, Some(element)), Some(path(keys)), problem)
    }

    fn error(&self, line: usize, key: Option<String>, problem: impl Into<String>) -> ConfigError {
        let file = self.file.unwrap_or(Path::new("")).to_owned();
        ConfigError { file, line: Some(line), key, problem: problem.into() }
    }

    /// The line of a position in bytes.
    fn line(&self, position: usize) -> usize {
        let before = self.text.get(..position).unwrap_or(self.text);
        // A text that ends too early ends on its last line, not on the empty one behind it.
        let before = if before.len() == self.text.len() { before.trim_end() } else { before };
        before.matches('\n').count() + 1
    }

    /// Whether the file has a key.
    fn has(&self, keys: &[&str]) -> bool {
        let root = self.root();
        let mut found = root.as_ref().map(Spanned::get_ref);
        for key in keys {
            found = found.and_then(|found| found.get(*key)).map(Spanned::get_ref);
        }
        found.is_some()
    }

    fn line_of(&self, keys: &[&str], element: Option<usize>) -> usize {
        let Some(root) = self.root() else { return 1 };
        let mut found = &root;
        for key in keys {
            found = found.get_ref().get(*key).unwrap_or(found);
        }
        found = element.and_then(|element| found.get_ref().get(element)).unwrap_or(found);
        self.line(found.span().start)
    }

    fn root(&self) -> Option<Spanned<DeValue<'_>>> {
        let root = DeTable::parse(self.text).ok()?;
        Some(Spanned::new(root.span(), DeValue::Table(root.into_inner())))
    }

    /// serde's errors in an operator's words: `invalid type: FOUND, expected EXPECTED`,
    /// `invalid value: …` and `unknown field FIELD, expected EXPECTED`. All others are ours.
    fn in_words(&self, message: &str, keys: &[&str]) -> String {
        let message = message.replace('`', "").replace('\n', " ");
        let (found, expected) = message.split_once(", expected ").unwrap_or((&message, ""));
        if found.starts_with("unknown field ") {
            return match self.unquoted_host(keys) {
                Some(host) => format!("a name with dots has to be quoted: write [hosts.\"{host}\"]"),
                None => format!("unknown key, expected {expected}"),
            };
        }
        let Some((_, found)) = found.split_once("invalid type: ").or_else(|| found.split_once("invalid value: "))
        else {
            return message;
        };
        let [expected, found] = [expected, found].map(|word| match word {
            "a sequence" | "sequence" => "a list",
            "a map" | "map" => "a table",
            word => word,
        });
        format!("expected {expected}, found {found}")
    }

    /// The host of `[hosts.chat.example.org]`, whose dots each begin another table.
    fn unquoted_host(&self, keys: &[&str]) -> Option<String> {
        let (["hosts"], host) = keys.split_at_checked(1)? else { return None };
        let root = self.root()?;
        let mut value = keys.iter().try_fold(root.get_ref(), |value, key| Some(value.get(*key)?.get_ref()))?;
        let mut host: Vec<&str> = host.to_vec();
        while let Some((key, next)) = value.as_table()?.iter().find(|(_, next)| next.get_ref().is_table()) {
            host.push(key.get_ref());
            value = next.get_ref();
        }
        // A part that has a dot itself was quoted.
        host.iter().all(|part| !part.contains('.')).then(|| host.join("."))
    }

    /// The key that a line begins with, if the file as a whole is no TOML. Only keys that the
    /// example has: the line may be a part of a secret.
    fn key_of_line(&self, line: usize) -> Option<String> {
        let text = self.text.lines().nth(line.checked_sub(1)?)?.trim();
        let (key, known) = match text.strip_prefix('[') {
            Some(header) => {
                let header = header.split_once(']')?.0;
                (header, format!("[{}", header.split('.').next()?))
            }
            None => {
                let key = text.split_once('=')?.0.trim_end();
                (key, format!("{key} = "))
            }
        };
        let readable = !key.is_empty() && !key.contains(char::is_control);
        (readable && EXAMPLE.contains(&known)).then(|| key.to_owned())
    }
}

/// The key of a step into a table; none for a step into a list.
fn key_of(segment: &Segment) -> Option<&str> {
    match segment {
        Segment::Map { key } => Some(key),
        _ => None,
    }
}
