//! The configuration file: TOML as the operator wrote it, turned into checked values. Every complaint names the file,
//! the line and the key, and says what was expected; none repeats a secret.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;
use jid::{BareJid, DomainPart};
use jiff::SignedDuration;
use serde::Deserialize;
use serde::de::{self, Unexpected, Visitor};
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use url::Url;

use crate::lifetime::Lifetime;
use crate::limits::Limits;
use crate::links::{LandingPage, PublicUrl};
use crate::policy::HostPolicy;
use crate::secret::Secret;
use crate::store::StoreUrl;
use crate::texts::{Languages, printable};
use crate::{web, xmpp};

/// The variable that names the file where the command line does not.
pub const FILE_VARIABLE: &str = "EASY_INVITE_CONFIG";

/// The variable that holds the component's secret; it wins over the file, as deployments expect of their environment.
pub const SECRET_VARIABLE: &str = "EASY_INVITE_SECRET";

/// Where the file is looked for when nobody names it.
pub const USUAL_FILES: [&str; 2] = ["config.toml", "/etc/easy-invite/config.toml"];

/// The reference of every key, with its default: what `easy-invite init` fills in.
pub const EXAMPLE: &str = include_str!("../config.example.toml");

/// The longest file that is read: a thousand hosts fit, a disk image given by mistake is not loaded.
const LONGEST_FILE: u64 = 1024 * 1024;

/// The longest file with a secret that is read.
const LONGEST_SECRET: u64 = 64 * 1024;

const DEFAULT_SERVER: &str = "127.0.0.1:5347";
const DEFAULT_STORE: &str = "easy-invite.db";
const DEFAULT_TRUSTED_PROXIES: [&str; 2] = ["127.0.0.1", "::1"];
const DEFAULT_RETENTION: Lifetime = Lifetime::Seconds(90 * 24 * 60 * 60);

/// The texts with which serde begins its complaints.
const WRONG_TYPE: [&str; 2] = ["invalid type: ", "invalid value: "];

/// What the operator configured.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The component's JID.
    pub component: DomainPart,
    /// The host and port of the chat server's component listener.
    pub server: String,
    /// The secret shared with the chat server, or why there is none. The commands that work on the store alone go
    /// without it: where a service manager keeps the secret, the operator's shell does not have it.
    pub secret: Result<Secret, ConfigError>,
    /// Where invites are kept.
    pub store: StoreUrl,
    /// How long ended invites stay listed before they are purged.
    pub retention: Lifetime,
    /// The daemon's socket for the command line.
    pub control_socket: PathBuf,
    /// What an address may do.
    pub limits: Limits,
    /// The web side, where there is one.
    pub web: Option<web::Config>,
    /// The served hosts.
    pub hosts: BTreeMap<DomainPart, HostPolicy>,
    /// What should be mended although it can be used.
    pub warning: Option<String>,
}

/// Why a configuration cannot be used: one line, without control characters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    file: PathBuf,
    line: Option<usize>,
    key: Option<String>,
    problem: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.line.map(|line| format!(":{line}")).unwrap_or_default();
        let key = self.key.as_ref().map(|key| format!(": {key}")).unwrap_or_default();
        // A path may hold any character.
        f.write_str(&printable(format_args!("{}{line}{key}: {}", self.file.display(), self.problem)))
    }
}

/// Nobody named a configuration file, and none is where it usually is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no configuration: there is neither {} nor {}. Name one with --config or ${FILE_VARIABLE}, \
     or write a first one with `easy-invite init`",
    USUAL_FILES[0],
    USUAL_FILES[1]
)]
pub struct NoConfig;

/// The configuration file to use: the one that is named, else the first that is where it usually is.
///
/// # Errors
/// If there is none.
pub fn find(named: Option<PathBuf>) -> Result<PathBuf, NoConfig> {
    let by_variable = || std::env::var_os(FILE_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    let usual = || USUAL_FILES.map(PathBuf::from).into_iter().find(|path| path.exists());
    named.or_else(by_variable).or_else(usual).ok_or(NoConfig)
}

impl Config {
    /// Reads and checks a file, and what it and the environment say of the secret.
    ///
    /// # Errors
    /// With the file, the line and the key, where there is one.
    pub fn load(file: &Path) -> Result<Config, ConfigError> {
        let source = Source { file, text: &read(file)? };
        let raw = source.parse()?;
        let secret = raw.component.get_ref().secret.is_some();
        let config = source.check(raw, std::env::var_os(SECRET_VARIABLE).filter(|secret| !secret.is_empty()))?;
        let exposed = (secret || config.store.has_password()) && readable_by_everybody(file);
        let shown = printable(file.display());
        let warning = exposed.then(|| format!("{shown} holds a secret and can be read by everybody: chmod 600"));
        Ok(Config { warning, ..config })
    }

    /// What the component needs to know.
    ///
    /// # Errors
    /// If there is no secret.
    pub fn xmpp(&self) -> Result<xmpp::Config, ConfigError> {
        let languages = Arc::new(Languages::built_in());
        Ok(xmpp::Config {
            jid: self.component.clone(),
            server: self.server.clone(),
            secret: self.secret.clone()?,
            languages,
        })
    }
}

fn read(file: &Path) -> Result<String, ConfigError> {
    let failed = |line, problem: String| ConfigError { file: file.to_owned(), line, key: None, problem };
    let mut bytes = Vec::new();
    let opened = File::open(file).map(|opened| opened.take(LONGEST_FILE + 1));
    opened
        .and_then(|mut opened| opened.read_to_end(&mut bytes))
        .map_err(|error| failed(None, format!("cannot be read: {error}")))?;
    if bytes.len() as u64 > LONGEST_FILE {
        return Err(failed(None, format!("longer than {LONGEST_FILE} bytes: that is no configuration")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
        let line = good.filter(|byte| **byte == b'\n').count() + 1;
        failed(Some(line), "expected UTF-8 text, found a byte that is none".to_owned())
    })
}

fn readable_by_everybody(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

/// The file as it is written. Only types are certain here, and that there is no unknown key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    component: Spanned<RawComponent>,
    #[serde(default)]
    store: RawStore,
    #[serde(default)]
    control: RawControl,
    #[serde(default)]
    limits: RawLimits,
    web: Option<Spanned<RawWeb>>,
    #[serde(default)]
    hosts: BTreeMap<Spanned<String>, RawHost>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawComponent {
    jid: Spanned<String>,
    server: Option<Spanned<String>>,
    secret: Option<Spanned<RawSecret>>,
    secret_file: Option<Spanned<PathBuf>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStore {
    url: Option<Spanned<String>>,
    retention: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawControl {
    socket: Option<Spanned<PathBuf>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLimits {
    wrong_tokens: Option<RawMost>,
    registrations: Option<RawMost>,
    pages: Option<RawMost>,
    forms: Option<RawMost>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWeb {
    listen: Option<Spanned<String>>,
    public_url: Spanned<String>,
    trusted_proxies: Option<Vec<Spanned<String>>>,
    name: Option<String>,
    logo: Option<PathBuf>,
    accent: Option<Spanned<String>>,
    imprint: Option<Spanned<String>>,
    terms: Option<Spanned<String>>,
    templates: Option<Spanned<PathBuf>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHost {
    registration_invite_only: Option<bool>,
    allow_user_invites: Option<bool>,
    allow_contact_invites: Option<bool>,
    #[serde(default)]
    admins: Vec<Spanned<String>>,
    expire_after: Option<Spanned<String>>,
    reset_expire_after: Option<Spanned<String>>,
    landing_page: Option<Spanned<String>>,
    invites_per_day: Option<RawMost>,
    pending_invites: Option<RawMost>,
    inviter_age: Option<Spanned<String>>,
}

/// How many there may be: a number from 1, or "unlimited" for `None`.
struct RawMost(Option<u32>);

impl<'de> Deserialize<'de> for RawMost {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawMost(None))
    }
}

impl Visitor<'_> for RawMost {
    type Value = RawMost;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number from 1, or \"unlimited\"")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<RawMost, E> {
        let most = u32::try_from(number).ok().filter(|most| *most > 0);
        most.map(|most| RawMost(Some(most))).ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<RawMost, E> {
        if text == "unlimited" { Ok(RawMost(None)) } else { Err(E::invalid_value(Unexpected::Str(text), &self)) }
    }
}

/// A secret, whose value no complaint about its type shows.
struct RawSecret(Secret);

impl<'de> Deserialize<'de> for RawSecret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer) {
            Ok(text) => Ok(RawSecret(Secret::new(text))),
            Err(_) => Err(serde::de::Error::custom("expected a string")),
        }
    }
}

/// The text of a file, to complain about.
struct Source<'a> {
    file: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    fn parse(&self) -> Result<Raw, ConfigError> {
        toml::from_str(self.text).map_err(|error| self.reworded(&error))
    }

    /// A complaint of the TOML parser, which may be about the syntax, a type or a key. Its `Display` would show the line.
    fn reworded(&self, error: &toml::de::Error) -> ConfigError {
        let message = error.message().replace('\n', " ");
        let quoteless = |text: &str| text.replace('`', "");
        if let Some(key) = message.strip_prefix("missing field ") {
            let key = quoteless(key);
            let expected = match key.as_str() {
                "component" => "missing: expected a table [component] with jid and secret",
                "public_url" => {
                    "missing: expected where browsers find the pages, such as \"https://invite.example.org\""
                }
                "jid" => "missing: expected the name of the component, for example \"invite.example.org\"",
                _ => "missing",
            };
            let mut complaint = self.problem(error.span(), expected);
            let table = complaint.key.filter(|_| key != "component");
            complaint.key = Some(table.map_or(key.clone(), |table| format!("{table}.{key}")));
            return complaint;
        }
        if let Some((_, known)) = message.strip_prefix("unknown field ").and_then(|rest| rest.split_once(", ")) {
            let mut complaint = self.problem(error.span(), format!("unknown key, {}", quoteless(known)));
            if let Some(host) = complaint.line.and_then(|line| self.unquoted_host(line)) {
                complaint.problem = format!("a name with dots has to be quoted: write [hosts.\"{host}\"]");
            }
            complaint.problem += match complaint.key.as_deref() {
                Some("metrics") => ". This version has no metrics yet",
                _ => "",
            };
            return complaint;
        }
        let wrong_type = WRONG_TYPE.into_iter().find_map(|prefix| message.strip_prefix(prefix));
        if let Some((found, expected)) = wrong_type.and_then(|rest| rest.split_once(", expected ")) {
            let expected = match expected {
                "a sequence" => "a list",
                "a map" => "a table",
                _ if expected.starts_with("struct ") => "a table",
                _ => expected,
            };
            // In the place of a host's table there may be the secret, its key being in the wrong table.
            let hidden = expected == "a table" && found.starts_with("string ");
            let found = if hidden { "a string" } else { &quoteless(found) };
            return self.problem(error.span(), format!("expected {expected}, found {found}"));
        }
        self.problem(error.span(), message)
    }

    fn problem(&self, span: Option<Range<usize>>, problem: impl Into<String>) -> ConfigError {
        let line = span.as_ref().map(|span| {
            let before = self.text.get(..span.start).unwrap_or(self.text);
            // What ends too early ends on the last line, not on the empty one behind it.
            let before = if before.len() == self.text.len() { before.trim_end() } else { before };
            before.matches('\n').count() + 1
        });
        let key = span.and_then(|span| self.key_at(&span)).or_else(|| self.key_of_line(line?));
        ConfigError { file: self.file.to_owned(), line, key, problem: problem.into() }
    }

    /// The path of the key whose name or value stands there.
    fn key_at(&self, span: &Range<usize>) -> Option<String> {
        let table = DeTable::parse(self.text).ok()?;
        path_to(table.get_ref(), span).map(|path| path.join("."))
    }

    /// The key that a line begins with, where the file as a whole cannot be read. Only what the example has: the line
    /// may as well be one of a secret.
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

    /// The host in the header of a table, where each dot of its name begins another table.
    fn unquoted_host(&self, line: usize) -> Option<&str> {
        let text = self.text.lines().nth(line.checked_sub(1)?)?.trim_start();
        let host = text.strip_prefix('[')?.split_once(']')?.0.trim().strip_prefix("hosts.")?;
        (host.contains('.') && !host.contains(['"', '\''])).then_some(host)
    }

    fn read<T>(
        &self,
        value: &Spanned<String>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        parse(value.get_ref()).map_err(|problem| self.problem(Some(value.span()), problem))
    }

    fn read_or<T>(
        &self,
        value: Option<Spanned<String>>,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        value.map_or(Ok(default), |value| self.read(&value, parse))
    }

    /// Relative paths are relative to the file's folder, wherever the program was started.
    fn folder(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new(""))
    }

    fn check(&self, raw: Raw, environment_secret: Option<std::ffi::OsString>) -> Result<Config, ConfigError> {
        let span = raw.component.span();
        let component = raw.component.into_inner();
        let jid = self.read(&component.jid, domain)?;
        let server = self.read_or(component.server, DEFAULT_SERVER.to_owned(), server)?;
        let secret = self.secret(span, component.secret, component.secret_file, environment_secret)?;
        let web = raw.web.map(|web| self.web(web.into_inner())).transpose()?;
        let pages = web.as_ref().map(|(_, pages)| pages);
        let mut hosts = BTreeMap::new();
        for (name, host) in raw.hosts {
            let host_name = self.read(&name, domain)?;
            if host_name == jid {
                let problem = "the component's own JID: expected a VirtualHost of the chat server";
                return Err(self.problem(Some(name.span()), problem));
            }
            let policy = self.host(&host_name, host, pages.cloned())?;
            if hosts.insert(host_name, policy).is_some() {
                return Err(self.problem(Some(name.span()), "the same host has another table"));
            }
        }
        if hosts.is_empty() {
            let problem = "expected a table for each VirtualHost served, for example [hosts.\"example.org\"]";
            let key = Some("hosts".to_owned());
            return Err(ConfigError { file: self.file.to_owned(), line: None, key, problem: problem.to_owned() });
        }
        let default_store = StoreUrl::Sqlite(DEFAULT_STORE.into());
        let store = self.read_or(raw.store.url, default_store, store_url)?.relative_to(self.folder());
        let control_socket = match raw.control.socket {
            Some(socket) if socket.get_ref().as_os_str().is_empty() => {
                return Err(self.problem(Some(socket.span()), "expected the path of a socket, found nothing"));
            }
            Some(socket) => self.folder().join(socket.get_ref()),
            None => self.folder().join(beside(&store)),
        };
        let retention = self.read_or(raw.store.retention, DEFAULT_RETENTION, lifetime)?;
        let default = Limits::default();
        let limits = Limits {
            wrong_tokens: raw.limits.wrong_tokens.map_or(default.wrong_tokens, |most| most.0),
            registrations: raw.limits.registrations.map_or(default.registrations, |most| most.0),
            pages: raw.limits.pages.map_or(default.pages, |most| most.0),
            forms: raw.limits.forms.map_or(default.forms, |most| most.0),
        };
        let (component, web, warning) = (jid, web.map(|(web, _)| web), None);
        Ok(Config { component, server, secret, store, retention, control_socket, limits, web, hosts, warning })
    }

    /// The web side, and where its pages are.
    fn web(&self, raw: RawWeb) -> Result<(web::Config, LandingPage), ConfigError> {
        let in_words = |error: crate::links::BadPublicUrl| error.to_string();
        let (public_url, landing_page) = self.read(&raw.public_url, |text| {
            let url = PublicUrl::parse(text).map_err(in_words)?;
            let landing_page = url.landing_page().map_err(in_words)?;
            Ok((url, landing_page))
        })?;
        let trusted_proxies = match &raw.trusted_proxies {
            None => DEFAULT_TRUSTED_PROXIES.iter().filter_map(|proxy| network(proxy).ok()).collect(),
            Some(proxies) => proxies.iter().map(|proxy| self.read(proxy, network)).collect::<Result<_, _>>()?,
        };
        let read_url = |value: Option<Spanned<String>>| self.read_or(value, None, |text| web_url(text).map(Some));
        let accent = |text: &str| {
            let expected = || format!("expected a colour such as \"#2b5f8a\", found {text:?}");
            web::Accent::parse(text).map(Some).ok_or_else(expected)
        };
        let templates = match raw.templates {
            None => None,
            Some(folder) => {
                let path = self.folder().join(folder.get_ref());
                if !path.is_dir() {
                    let problem = format!("{} is no folder: expected one with templates", path.display());
                    return Err(self.problem(Some(folder.span()), problem));
                }
                Some(path)
            }
        };
        let look = web::Look {
            name: raw.name.filter(|name| !name.trim().is_empty()),
            logo: raw.logo.map(|logo| self.folder().join(logo)),
            accent: self.read_or(raw.accent, None, accent)?,
            imprint: read_url(raw.imprint)?,
            terms: read_url(raw.terms)?,
            templates,
        };
        let default_listen = SocketAddr::from(([127, 0, 0, 1], 5380));
        let listen = self.read_or(raw.listen, default_listen, listen)?;
        Ok((web::Config { listen, public_url, trusted_proxies, look }, landing_page))
    }

    fn secret(
        &self,
        component: Range<usize>,
        inline: Option<Spanned<RawSecret>>,
        file: Option<Spanned<PathBuf>>,
        environment: Option<std::ffi::OsString>,
    ) -> Result<Result<Secret, ConfigError>, ConfigError> {
        let checked = |text: String, span: Range<usize>| match text.as_str() {
            "" => {
                Err(self.problem(Some(span), "the secret is empty: expected the component_secret of the chat server"))
            }
            _ => Ok(Secret::new(text)),
        };
        let written = match (inline, file) {
            (Some(_), Some(file)) => {
                return Err(self.problem(Some(file.span()), "expected either secret or secret_file, found both"));
            }
            (Some(inline), None) => {
                let span = inline.span();
                Ok(checked(inline.into_inner().0.reveal().to_owned(), span)?)
            }
            // Whether the file can be read is of no interest where nobody needs the secret.
            (None, Some(file)) => {
                let path = self.folder().join(file.get_ref());
                let unreadable =
                    |error| self.problem(Some(file.span()), format!("{} cannot be read: {error}", path.display()));
                let mut text = String::new();
                let read = File::open(&path).and_then(|file| file.take(LONGEST_SECRET + 1).read_to_string(&mut text));
                match read.map_err(unreadable) {
                    Ok(read) if read as u64 > LONGEST_SECRET => {
                        let problem = format!("{} is longer than {LONGEST_SECRET} bytes: no secret is", path.display());
                        Err(self.problem(Some(file.span()), problem))
                    }
                    Ok(_) => checked(text.trim_end_matches(['\r', '\n']).to_owned(), file.span()),
                    Err(error) => Err(error),
                }
            }
            (None, None) => {
                let mut missing = self.problem(
                    Some(component),
                    format!("missing: expected secret or secret_file here, or ${SECRET_VARIABLE}"),
                );
                missing.key = Some("component.secret".to_owned());
                Err(missing)
            }
        };
        Ok(match environment.map(std::ffi::OsString::into_string) {
            None => written,
            Some(Ok(text)) => Ok(Secret::new(text)),
            Some(Err(_)) => Err(ConfigError {
                file: format!("${SECRET_VARIABLE}").into(),
                line: None,
                key: None,
                problem: "expected UTF-8 text".to_owned(),
            }),
        })
    }

    fn host(&self, host: &DomainPart, raw: RawHost, pages: Option<LandingPage>) -> Result<HostPolicy, ConfigError> {
        let default = HostPolicy::default();
        let admins = raw.admins.iter().map(|admin| self.read(admin, |text| admin_of(host, text)));
        let landing_page = |text: &str| LandingPage::parse(text).map(Some).map_err(|error| error.to_string());
        Ok(HostPolicy {
            registration_invite_only: raw.registration_invite_only.unwrap_or(default.registration_invite_only),
            allow_user_invites: raw.allow_user_invites.unwrap_or(default.allow_user_invites),
            allow_contact_invites: raw.allow_contact_invites.unwrap_or(default.allow_contact_invites),
            admins: admins.collect::<Result<_, _>>()?,
            expire_after: self.read_or(raw.expire_after, default.expire_after, lifetime)?,
            reset_expire_after: self.read_or(raw.reset_expire_after, default.reset_expire_after, lifetime)?,
            landing_page: self.read_or(raw.landing_page, pages, landing_page)?,
            invites_per_day: raw.invites_per_day.map_or(default.invites_per_day, |most| most.0),
            pending_invites: raw.pending_invites.map_or(default.pending_invites, |most| most.0),
            inviter_age: self.read_or(raw.inviter_age, default.inviter_age, age)?,
        })
    }
}

/// The path to the key, or to the value, that stands exactly there.
fn path_to(table: &DeTable<'_>, span: &Range<usize>) -> Option<Vec<String>> {
    table.iter().find_map(|(key, value)| {
        let within = if key.span() == *span || value.span() == *span {
            Some(Vec::new())
        } else {
            match value.get_ref() {
                DeValue::Table(table) => path_to(table, span),
                DeValue::Array(values) => values.iter().any(|value| value.span() == *span).then(Vec::new),
                _ => None,
            }
        };
        let bare = key.get_ref().chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
        let name = if bare { key.get_ref().to_string() } else { format!("{:?}", key.get_ref()) };
        within.map(|rest| [name].into_iter().chain(rest).collect())
    })
}

/// A domain, as the server writes it: in lower case, and what DNS could hold.
pub fn domain(text: &str) -> Result<DomainPart, String> {
    let expected = || format!("expected a domain such as example.org, found {text:?}");
    // The jid crate is lenient here, and "https://example.org" or "example org" can only be meant otherwise.
    let strange = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '@' | '/' | '"' | '?' | '#' | ':');
    if text.is_empty() || text.contains(strange) {
        return Err(expected());
    }
    DomainPart::new(text).map(|domain| domain.into_owned()).map_err(|_| expected())
}

/// The address of somebody: a bare JID with a localpart.
pub fn account(text: &str) -> Result<BareJid, String> {
    let found = BareJid::new(text).ok().filter(|jid| jid.node().is_some());
    found.ok_or_else(|| format!("expected a bare JID such as alice@example.org, found {text:?}"))
}

/// An admin of a host is one of its users: commands are for users of the host alone.
fn admin_of(host: &DomainPart, text: &str) -> Result<BareJid, String> {
    let admin = account(text)?;
    let local = admin.domain().as_str() == host.as_str();
    if local { Ok(admin) } else { Err(format!("expected a user of {host}, found {text:?}")) }
}

fn lifetime(text: &str) -> Result<Lifetime, String> {
    text.parse().map_err(|error: crate::lifetime::BadLifetime| error.to_string())
}

/// How old something has to be: unlike a lifetime, it may be nothing, and has to be reached some day.
fn age(text: &str) -> Result<SignedDuration, String> {
    match (text, text.parse()) {
        ("0s", _) => Ok(SignedDuration::ZERO),
        (_, Ok(Lifetime::Seconds(seconds))) => Ok(SignedDuration::from_secs(seconds)),
        _ => Err(format!("{text:?} is not an age: write 0s, 15m, 36h, 7d, 4w (at most 10 years)")),
    }
}

/// Where a connection is made to: `host:port`, `127.0.0.1:5347` or `[::1]:5347`.
fn server(text: &str) -> Result<String, String> {
    let expected =
        |problem: &str| Err(format!("{problem} in {text:?}: expected host:port, for example {DEFAULT_SERVER}"));
    let (host, port) = match text.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(None) => return expected("\"]\" is missing"),
        Some(Some((address, rest))) => {
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return expected("no IPv6 address");
            }
            (address, rest.strip_prefix(':'))
        }
        None if text.matches(':').count() > 1 => return expected("an IPv6 address needs brackets, as [::1]:5347,"),
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let strange = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '@' | '?' | '#');
    if host.is_empty() || host.contains(strange) {
        return expected("no host name");
    }
    let Some(port) = port.filter(|port| !port.is_empty()) else { return expected("port missing") };
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(1..) if digits => Ok(text.to_owned()),
        _ => expected("no port between 1 and 65535"),
    }
}

/// Where the web side listens: an address of this machine, and a port.
fn listen(text: &str) -> Result<SocketAddr, String> {
    let address = text.parse().ok().filter(|address: &SocketAddr| address.port() != 0);
    address.ok_or_else(|| format!("expected an IP address and a port, such as \"127.0.0.1:5380\", found {text:?}"))
}

/// An address, or a network as `10.0.0.0/8`.
fn network(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical()));
    let network = address.or_else(|_| text.parse::<IpNet>());
    network.map_err(|_| format!("expected an IP address or a network such as \"10.0.0.0/8\", found {text:?}"))
}

fn web_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https" | "mailto"));
    url.ok_or_else(|| format!("expected an address such as \"https://example.org/imprint\", found {text:?}"))
}

fn store_url(text: &str) -> Result<StoreUrl, String> {
    text.parse().map_err(|error: crate::store::BadStoreUrl| error.to_string())
}

/// The socket's place beside the store, where the daemon may write and the operator finds it; beside this file where
/// the store is elsewhere.
pub fn beside(store: &StoreUrl) -> PathBuf {
    let mut socket = match store {
        StoreUrl::Sqlite(file) => file.as_os_str().to_owned(),
        StoreUrl::Postgres(_) => "easy-invite".into(),
    };
    socket.push(".sock");
    socket.into()
}
