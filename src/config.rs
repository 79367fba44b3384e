//! The configuration: what the operator wrote, checked. Every error names the file, the line and
//! the key, or the variable of the environment, and says what was expected.

mod environment;
mod hosts;
mod place;
mod raw;
mod secret;
mod values;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jid::DomainPart;
use serde_json::json;

use self::environment::Environment;
use self::hosts::check_hosts;
use self::raw::{Most, Raw, RawControl, RawMetrics, RawStore, RawWeb, Source, Table};
use self::values::Written;
use crate::files::unreadable;
use crate::invites::{DEFAULT_AUDIT, DEFAULT_RETENTION, Settings};
use crate::lifetime::Lifetime;
use crate::limits::Limits;
use crate::meaning::Meaning;
use crate::policy::HostPolicy;
use crate::secret::Secret;
use crate::store::StoreUrl;
use crate::texts::{Languages, printable};
use crate::{metrics, web, xmpp};

pub use environment::{FILE_VARIABLE, LOG_VARIABLE, SECRET_VARIABLE};
pub use place::{NoConfig, USUAL_FILES, find, shadowed};
pub use raw::{ConfigError, EXAMPLE};

/// The folder of relative paths if there is no file: that of the daemon's data.
pub const DATA_FOLDER: &str = "/var/lib/easy-invite";

/// The longest file that is read: a thousand hosts fit, a disk image named by mistake is not read.
const LONGEST_FILE: u64 = 1024 * 1024;

/// How the keys of the environment begin in a [`Meaning`].
const ENVIRONMENT: &str = "environment.";

/// How many of the keys that differ are named.
const MOST_NAMED: usize = 5;

const DEFAULT_STORE: &str = "easy-invite.db";
const DEFAULT_LISTEN: ([u8; 4], u16) = ([127, 0, 0, 1], 5380);
const DEFAULT_METRICS_LISTEN: ([u8; 4], u16) = ([127, 0, 0, 1], 5381);
const DEFAULT_TRUSTED_PROXIES: [&str; 2] = ["127.0.0.1", "::1"];

/// What the operator configured.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The file. Without it, all is from the environment.
    pub file: Option<PathBuf>,
    /// What the environment sets.
    pub environment: Environment,
    /// The component's JID.
    pub component: DomainPart,
    /// The host and port of the chat server's component listener.
    pub server: String,
    /// The secret shared with the chat server, or why there is none. The commands that work on the
    /// store alone do without it: the operator's shell need not have it.
    pub secret: Result<Secret, ConfigError>,
    /// Where the secret is from, for people.
    pub secret_source: String,
    /// The secret of the file. Each process may have another one in its environment.
    pub written_secret: Option<Secret>,
    /// The file that holds nothing but the secret, if there is one.
    pub secret_file: Option<PathBuf>,
    /// Where invites are kept.
    pub store: StoreUrl,
    /// How long ended invites stay listed before they are purged.
    pub retention: Lifetime,
    /// How long the log of events is kept.
    pub audit: Lifetime,
    /// The daemon's socket for the command line.
    pub control_socket: PathBuf,
    /// What an address may do.
    pub limits: Limits,
    /// The web pages, if there are any.
    pub web: Option<web::Config>,
    /// The metrics server, if there is one.
    pub metrics: Option<metrics::Config>,
    /// The served hosts. Their `landing_page` is only what the file says: `settings` adds the web
    /// pages.
    pub hosts: BTreeMap<DomainPart, HostPolicy>,
    /// What should be mended, although the configuration can be used.
    pub warnings: Vec<String>,
}

/// Whether a running daemon cannot take over a change of this key.
pub fn needs_restart(key: &str) -> bool {
    let tables = ["component.", "control.", "metrics"];
    tables.iter().any(|table| key.starts_with(table)) || ["store.url", "web", "web.listen"].contains(&key)
}

impl Config {
    /// Reads and checks a file, and what the environment sets.
    ///
    /// # Errors
    /// With the file, the line and the key, or with the variable.
    pub fn load(file: &Path) -> Result<Config, ConfigError> {
        Self::read(Some(file))
    }

    /// Reads and checks the file that [`find`] found, or without one only what the environment
    /// sets.
    ///
    /// # Errors
    /// With the file, the line and the key, or with the variable.
    pub fn read(file: Option<&Path>) -> Result<Config, ConfigError> {
        let environment = Environment::of_process();
        let text = file.map(read).transpose()?.unwrap_or_default();
        let variables = environment.variables(file.is_some());
        let source = Source { file, text: &text, variables: &variables };
        let unknown: Vec<_> = environment.unknown().collect();
        if let (None, Some(error)) = (file, unknown.first()) {
            return Err(error.clone());
        }
        let Raw { component, store, control, limits, web, metrics, hosts } =
            source.parse().and_then(|raw| environment.applied(raw))?;
        let component = component.or(file.is_none().then(Table::default)).map(|component| component.0);
        let component = component.ok_or_else(|| {
            source.problem(&["component"], "missing: expected a table [component] with jid and secret")
        })?;
        let has_secret = component.secret.is_some();
        let jid = component.jid.as_ref().map(|jid| jid.0.clone()).ok_or_else(|| {
            let expected = "the name of the component, for example \"invite.example.org\"";
            let nor = if file.is_none() {
                format!(". There is no file {} either", USUAL_FILES.join(" or "))
            } else {
                String::new()
            };
            source.problem(&["component", "jid"], format!("missing: expected {expected}{nor}"))
        })?;
        let folder = file.map_or(Path::new(DATA_FOLDER), |file| file.parent().unwrap_or(Path::new("")));
        let web = web.map(|web| check_web(&source, folder, web.0)).transpose()?;
        let metrics = metrics.map(|metrics| check_metrics(&source, &metrics.0, web.as_ref())).transpose()?;
        let hosts = check_hosts(&source, &jid, hosts)?;
        let (RawStore { url, retention, audit }, RawControl { socket }) = (store.0, control.0);
        let store = url.map_or(StoreUrl::Sqlite(DEFAULT_STORE.into()), |url| url.0).relative_to(folder);
        let control_socket = socket.unwrap_or_else(|| default_socket(&store));
        if control_socket.as_os_str().is_empty() {
            return Err(source.problem(&["control", "socket"], "expected the path of a socket, found nothing"));
        }
        let most = |written: Option<Most>, default| written.map_or(default, |most| most.0);
        let default = Limits::default();
        let holds_secret = has_secret || store.password().is_some();
        let exposed = file.filter(|file| holds_secret && readable_by_everybody(file)).map(|file| {
            let shown = printable(file.display());
            format!("{shown} holds a secret and can be read by everybody: chmod o-r {shown}")
        });
        let unknown = unknown.iter().map(ConfigError::to_string);
        let secret_file = component.secret_file.as_ref().map(|secret_file| folder.join(secret_file));
        let server = component.server.as_ref().map_or(values::DEFAULT_SERVER, |server| &server.0.0).to_owned();
        let found = secret::find(&source, folder, component)?;
        Ok(Config {
            file: file.map(Path::to_owned),
            component: jid,
            server,
            secret: found.secret,
            secret_source: found.source,
            written_secret: found.written,
            secret_file,
            store,
            retention: retention.map_or(DEFAULT_RETENTION, |retention| retention.0),
            audit: audit.map_or(DEFAULT_AUDIT, |audit| audit.0),
            control_socket: folder.join(control_socket),
            limits: Limits {
                wrong_tokens: most(limits.0.wrong_tokens, default.wrong_tokens),
                registrations: most(limits.0.registrations, default.registrations),
                pages: most(limits.0.pages, default.pages),
                forms: most(limits.0.forms, default.forms),
            },
            web,
            metrics,
            hosts,
            warnings: exposed.into_iter().chain(found.warning).chain(unknown).collect(),
            environment,
        })
    }

    /// Reads it again. If there was no file, one of the usual files may be there by now.
    ///
    /// # Errors
    /// As for [`Config::read`].
    pub fn reread(&self) -> Result<Config, ConfigError> {
        let file = self.file.clone().or_else(|| find(None).ok().flatten());
        Self::read(file.as_deref())
    }

    /// The warning that these keys differ from what the daemon serves; `None` without keys.
    pub fn stale(&self, keys: &[String]) -> Option<String> {
        let variables: Vec<_> = keys.iter().filter_map(|key| key.strip_prefix(ENVIRONMENT)).collect();
        if !variables.is_empty() {
            let named = variables.join(", ");
            return Some(format!("the daemon was started with another {named} in its environment than this command"));
        }
        let how = if keys.iter().any(|key| needs_restart(key)) { "restart" } else { "reload" };
        let more =
            if keys.len() > MOST_NAMED { format!(" and {} more", keys.len() - MOST_NAMED) } else { String::new() };
        let named = keys.iter().take(MOST_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        let file = self.file.as_ref().map_or("the environment".to_owned(), |file| printable(file.display()));
        let told = format!("{file} differs from what the daemon serves in {named}{more}: systemctl {how} easy-invite");
        (!keys.is_empty()).then_some(told)
    }

    /// Where it is from, for people.
    pub fn source(&self) -> String {
        let variables = self.environment.names();
        match &self.file {
            Some(file) if variables.is_empty() => printable(file.display()),
            Some(file) => format!("{}, and {variables} in the environment", printable(file.display())),
            None => format!("the environment: {variables}"),
        }
    }

    /// What the daemon can change while it runs. Links lead to the web pages, if there are any,
    /// except on hosts with a page of their own.
    pub fn settings(&self, languages: Arc<Languages>) -> Settings {
        let mut hosts = self.hosts.clone();
        let pages = self.web.as_ref().map(|web| web.public_url.landing_page());
        for policy in hosts.values_mut().filter(|policy| policy.landing_page.is_none()) {
            policy.registers_in_browser = pages.is_some();
            policy.landing_page.clone_from(&pages);
        }
        let (component, limits) = (self.component.clone(), self.limits);
        Settings { component, hosts, limits, retention: self.retention, audit: self.audit, languages }
    }

    /// Its meaning, to compare it with that of another one.
    pub fn meaning(&self) -> Meaning {
        let Config { component, server, written_secret, store, retention, audit, control_socket, .. } = self;
        let password = store.password();
        let store = match store {
            StoreUrl::Sqlite(file) => absolute(file),
            StoreUrl::Postgres(url) => debug(url),
        };
        let web = self.web.as_ref().map(|web::Config { listen, public_url, also, trusted_proxies, branding }| {
            let web::Branding { name, about, logo, accent, imprint, terms, templates } = branding;
            json!({
                "listen": listen, "public_url": debug(public_url), "also": also,
                "trusted_proxies": debug(trusted_proxies), "name": name, "about": about,
                "logo": logo.as_deref().map(absolute), "accent": debug(accent),
                "imprint": debug(imprint), "terms": debug(terms), "templates": templates.as_deref().map(absolute),
            })
        });
        Meaning::of(json!({
            "component": {
                "jid": component, "server": server, "secret": written_secret.as_ref().map(Secret::reveal),
            },
            "store": {"url": [store, password.as_ref().map(Secret::reveal)], "retention": retention, "audit": audit},
            "control": {"socket": absolute(control_socket)},
            "limits": self.limits,
            "web": web,
            "metrics": self.metrics.as_ref().map(|metrics| json!({"listen": metrics.listen})),
            "hosts": self.hosts,
            "environment": self.environment.values(),
        }))
    }

    /// The part of it that a daemon can put in force without a restart. What needs a restart
    /// ([`needs_restart`]) stays as in the running configuration.
    #[must_use]
    pub fn without_restart(self, running: &Config) -> Config {
        let Config { component, server, secret, secret_source, written_secret, .. } = running.clone();
        let Config { store, control_socket, metrics, .. } = running.clone();
        let web = match (self.web, &running.web) {
            (Some(web), Some(running)) => Some(web::Config { listen: running.listen, ..web }),
            (_, running) => running.clone(),
        };
        Config { component, server, secret, secret_source, written_secret, store, control_socket, metrics, web, ..self }
    }

    /// The served hosts, for people.
    pub fn host_names(&self) -> String {
        self.hosts.keys().map(|host| host.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// What the component needs to know.
    ///
    /// # Errors
    /// If there is no secret.
    pub fn xmpp(&self) -> Result<xmpp::Config, ConfigError> {
        Ok(xmpp::Config {
            jid: self.component.clone(),
            server: self.server.clone(),
            secret: self.secret.clone()?,
            secret_source: self.secret_source.clone(),
        })
    }
}

fn read(file: &Path) -> Result<String, ConfigError> {
    let failed = |line, problem: String| ConfigError::of_file(file, line, problem);
    let mut bytes = Vec::new();
    let opened = File::open(file).map(|opened| opened.take(LONGEST_FILE + 1));
    opened.and_then(|mut opened| opened.read_to_end(&mut bytes)).map_err(|error| {
        let or = match error.kind() {
            io::ErrorKind::NotFound => ": `easy-invite init --host HOST --output FILE` writes a first one",
            _ => "",
        };
        failed(None, unreadable(&error) + or)
    })?;
    if bytes.len() as u64 > LONGEST_FILE {
        return Err(failed(None, format!("longer than {LONGEST_FILE} bytes: that is no configuration")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
        let line = good.filter(|byte| **byte == b'\n').count() + 1;
        failed(Some(line), "expected UTF-8 text, found a byte that is none".to_owned())
    })
}

/// A value as text, to compare it.
fn debug(value: &impl fmt::Debug) -> String {
    format!("{value:?}")
}

/// A path as text, to compare it: the same from every working directory.
fn absolute(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
    debug(&folder.zip(path.file_name()).map_or(path.clone(), |(folder, name)| folder.join(name)))
}

fn readable_by_everybody(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

/// The web pages. Relative paths are relative to the folder of the configuration.
fn check_web(source: &Source<'_>, folder: &Path, raw: RawWeb) -> Result<web::Config, ConfigError> {
    let public_url = raw.public_url.ok_or_else(|| {
        let expected = "where browsers find the pages, such as \"https://invite.example.org\"";
        source.problem(&["web", "public_url"], format!("missing: expected {expected}"))
    })?;
    let also: Vec<_> = raw.also.into_iter().map(|path| path.0).collect();
    if let Some(number) = also.iter().position(|path| web::has_page_at(path, &public_url.0)) {
        let problem = "the pages themselves are there: expected another path, at which old links lead";
        return Err(source.problem_of_element(&["web", "also"], number, problem));
    }
    let templates = raw.templates.map(|templates| folder.join(templates));
    if let Some(path) = templates.as_ref().filter(|path| !path.is_dir()) {
        let problem = format!("{} is no folder: expected one with templates", path.display());
        return Err(source.problem(&["web", "templates"], problem));
    }
    let trusted_proxies = match raw.trusted_proxies {
        None => DEFAULT_TRUSTED_PROXIES.iter().filter_map(|proxy| Written::read(proxy).ok()).collect(),
        Some(proxies) => proxies.into_iter().map(|proxy| proxy.0).collect(),
    };
    if let Some(problem) = raw.about.as_ref().and_then(web::About::problem) {
        return Err(source.problem(&["web", "about"], problem));
    }
    let branding = web::Branding {
        name: raw.name.filter(|name| !name.trim().is_empty()),
        about: raw.about,
        logo: raw.logo.map(|logo| folder.join(logo)),
        accent: raw.accent.map(|accent| accent.0),
        imprint: raw.imprint.map(|imprint| imprint.0),
        terms: raw.terms.map(|terms| terms.0),
        templates,
    };
    let listen = raw.listen.map_or(SocketAddr::from(DEFAULT_LISTEN), |listen| listen.0);
    Ok(web::Config { listen, public_url: public_url.0, also, trusted_proxies, branding })
}

/// The metrics server, which cannot listen where the web pages do.
fn check_metrics(
    source: &Source<'_>,
    raw: &RawMetrics,
    web: Option<&web::Config>,
) -> Result<metrics::Config, ConfigError> {
    let listen = raw.listen.as_ref().map_or(SocketAddr::from(DEFAULT_METRICS_LISTEN), |listen| listen.0);
    let is_taken_by = |other: SocketAddr| {
        let one_has_all = listen.ip().is_unspecified() || other.ip().is_unspecified();
        listen.port() == other.port() && (one_has_all || listen.ip() == other.ip())
    };
    if let Some(web) = web.filter(|web| is_taken_by(web.listen)) {
        let problem = format!("expected another port than that of [web] listen, found {} there too", web.listen);
        return Err(source.problem(&["metrics", "listen"], problem));
    }
    Ok(metrics::Config { listen })
}

/// The control socket if the configuration names none: beside the store, where the daemon may write
/// and the operator finds it, or beside the configuration if the store is a server.
pub fn default_socket(store: &StoreUrl) -> PathBuf {
    let mut socket = match store {
        StoreUrl::Sqlite(file) => file.as_os_str().to_owned(),
        StoreUrl::Postgres(_) => "easy-invite".into(),
    };
    socket.push(".sock");
    socket.into()
}
