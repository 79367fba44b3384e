//! Which store, by its URL: `sqlite:FILE` or `postgres://USER@HOST/DATABASE`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use crate::secret::Secret;
use crate::texts::printable;

mod address;

/// Which store, by URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// `sqlite:PATH`: a file on this machine.
    Sqlite(PathBuf),
    /// `postgres://USER@HOST/DATABASE`: a PostgreSQL server, which several daemons may share.
    Postgres(Box<PostgresUrl>),
}

/// Why a text is not a [`StoreUrl`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadStoreUrl {
    /// It is the URL of something else.
    #[error(
        "a store is written sqlite:FILE, for example sqlite:/var/lib/easy-invite/easy-invite.db, \
         or postgres://USER@HOST/DATABASE"
    )]
    Unknown,
    /// It names a file, and the text says why it cannot be a store.
    #[error("an SQLite store is written sqlite:FILE: {0}")]
    Sqlite(String),
    /// It begins as the URL of a PostgreSQL server does; the text says what is wrong with the rest.
    #[error("a PostgreSQL store is written postgres://USER@HOST/DATABASE?sslmode=MODE: {0}")]
    Postgres(String),
}

impl FromStr for StoreUrl {
    type Err = BadStoreUrl;

    fn from_str(text: &str) -> Result<Self, BadStoreUrl> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            let url = PostgresUrl::parse(text).map_err(BadStoreUrl::Postgres)?;
            return Ok(StoreUrl::Postgres(Box::new(url)));
        }
        let path = text.strip_prefix("sqlite:").ok_or(BadStoreUrl::Unknown)?;
        sqlite_file(path).map(StoreUrl::Sqlite).map_err(|problem| BadStoreUrl::Sqlite(problem.to_owned()))
    }
}

/// The file that is named after `sqlite:`.
fn sqlite_file(text: &str) -> Result<PathBuf, &'static str> {
    // "sqlite:///path" is the same file as "sqlite:/path".
    let path = text.strip_prefix("//").unwrap_or(text);
    let problem = match path {
        _ if path.trim_matches('/').is_empty() => "the name of the file is missing",
        _ if path.len() < text.len() && !path.starts_with('/') => {
            "after two slashes a host is expected, which a file has not: write one slash, three, or none"
        }
        _ if path.contains('\0') => "the name of the file has a NUL in it",
        _ if path.contains('?') => "nothing can be set after a \"?\"",
        _ if path.trim() != path => "there is a blank before or after the name of the file",
        _ if path.ends_with('/') => "it names a folder: name a file in it",
        _ if path.starts_with('~') => "\"~\" does not stand for a home folder here: write the whole path",
        _ => return Ok(path.into()),
    };
    Err(problem)
}

/// For people: in one line, without a password.
impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreUrl::Sqlite(path) => f.write_str(&printable(path.display())),
            StoreUrl::Postgres(url) => url.fmt(f),
        }
    }
}

impl StoreUrl {
    /// The password in it, if it holds one.
    pub fn password(&self) -> Option<Secret> {
        let StoreUrl::Postgres(url) = self else { return None };
        url.config.get_password().map(|password| Secret::new(String::from_utf8_lossy(password).into_owned()))
    }

    /// The same store, a relative path being relative to `folder`.
    pub fn relative_to(self, folder: &Path) -> Self {
        match self {
            StoreUrl::Sqlite(path) => StoreUrl::Sqlite(folder.join(path)),
            StoreUrl::Postgres(url) => StoreUrl::Postgres(url),
        }
    }
}

/// A PostgreSQL server, or several that are tried in order, and how the connection is encrypted.
/// Neither `Debug` nor `Display` shows the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresUrl {
    /// With `sslmode`, where `verify-full` is `Require`.
    pub(crate) config: Config,
    /// Who may vouch for the server. `None`: nobody verifies it.
    pub(super) authorities: Option<Authorities>,
}

/// `sslrootcert`: who may vouch for the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Authorities {
    /// Those that the system trusts.
    System,
    /// Those whose certificates are in a file (PEM).
    File(PathBuf),
}

impl PostgresUrl {
    fn parse(text: &str) -> Result<Self, String> {
        let (_, text) = text.split_once("://").unwrap_or_default();
        let (address, query) = text.split_once('?').unwrap_or((text, ""));
        // A "?" in a password would begin the query, and the rest of the password would be shown.
        if query.contains('@') {
            return Err(
                "there is an \"@\" after the \"?\": in a name or a password they are written %40 and %3F".to_owned()
            );
        }
        let mut config = address::read(address)?;
        let (mut mode, mut authorities) = ("prefer".to_owned(), None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or_else(|| "expected KEY=VALUE after \"?\"".to_owned())?;
            let value = address::decoded("value after \"=\"", value)?;
            match (name, value.as_str()) {
                ("sslmode", _) => mode = value,
                ("sslrootcert", "") => return Err("sslrootcert is empty: expected a file, or system".to_owned()),
                ("sslrootcert", "system") => authorities = Some(Authorities::System),
                ("sslrootcert", _) => authorities = Some(Authorities::File(value.into())),
                ("target_session_attrs", "any") => drop(config.target_session_attrs(TargetSessionAttrs::Any)),
                ("target_session_attrs", "read-write") => {
                    config.target_session_attrs(TargetSessionAttrs::ReadWrite);
                }
                ("target_session_attrs", _) => {
                    return Err("target_session_attrs is read-write or any: a store has to take writes".to_owned());
                }
                (other, _) => return Err(instead_of(other)),
            }
        }
        config.ssl_mode(ssl_mode(&mode, authorities.is_some())?);
        Ok(PostgresUrl { config, authorities })
    }

    /// Hosts (or folders with sockets) and their ports.
    pub fn hosts(&self) -> Vec<(String, u16)> {
        let named = self.config.get_hosts().iter().zip(self.config.get_ports()).map(|(host, port)| match host {
            Host::Tcp(name) => (name.clone(), *port),
            Host::Unix(folder) => (folder.display().to_string(), *port),
        });
        named.collect()
    }

    /// What the hosts are called for people: each with its port.
    pub fn names(&self) -> Vec<String> {
        let is_ipv6 = |host: &str| host.contains(':') && !host.starts_with('/');
        let named = self.hosts().into_iter().map(|(host, port)| match is_ipv6(&host) {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        });
        named.collect()
    }
}

/// The library's value for `sslmode`. The library gets the authorities separately.
fn ssl_mode(name: &str, has_authorities: bool) -> Result<SslMode, String> {
    let problem = match (name, has_authorities) {
        ("disable", false) => return Ok(SslMode::Disable),
        ("prefer", false) => return Ok(SslMode::Prefer),
        ("require", false) | ("verify-full", true) => return Ok(SslMode::Require),
        ("verify-full", false) => {
            "sslmode=verify-full needs the authority's certificate: add &sslrootcert=FILE, or &sslrootcert=system for \
             those that this system trusts"
        }
        ("disable" | "prefer" | "require", true) => {
            "only sslmode=verify-full reads sslrootcert: add it, or leave sslrootcert out"
        }
        ("allow", _) => "there is no sslmode=allow here: write prefer or disable",
        ("verify-ca", _) => "there is no sslmode=verify-ca here: write verify-full",
        _ => {
            return Err(format!("there is no sslmode {name:?}: expected one of disable, prefer, require, verify-full"));
        }
    };
    Err(problem.to_owned())
}

/// What to do instead of an option that is refused.
fn instead_of(option: &str) -> String {
    let instead = match option {
        "host" => {
            "write it before the \"?\": postgres://USER@HOST/DATABASE, where a socket's folder is %2Frun%2Fpostgresql"
        }
        "hostaddr" | "port" | "user" | "dbname" => "write it before the \"?\": postgres://USER@HOST:PORT/DATABASE",
        "password" | "passfile" => "put the password into ~/.pgpass or $PGPASSWORD",
        "options" => "set it on the server: ALTER ROLE … SET …",
        "sslcert" | "sslkey" | "sslpassword" => "let the server ask for a password instead of a certificate",
        _ => "leave it out; sslmode, sslrootcert and target_session_attrs are known",
    };
    format!("{} is not taken after \"?\": {instead}", printable(option))
}

/// For people: in one line, without password and options.
impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.config.get_user().unwrap_or_default();
        let database = self.config.get_dbname().unwrap_or(user);
        f.write_str(&printable(format_args!("postgres://{user}@{}/{database}", self.names().join(","))))
    }
}

/// An error of PostgreSQL's library with its cause, which the library leaves out of the text.
pub fn with_cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_password() {
        let url = "postgres://einv:hunter2@db.example.org:5433/invites?sslmode=verify-full&sslrootcert=system";
        let url = PostgresUrl::parse(url).unwrap();
        assert_eq!(url.to_string(), "postgres://einv@db.example.org:5433/invites");
        assert!(!format!("{url:?}").contains("hunter2"));
        let several = PostgresUrl::parse("postgres://einv@a:1,b:2/x?target_session_attrs=read-write").unwrap();
        assert_eq!(several.to_string(), "postgres://einv@a:1,b:2/x");
        let others = PostgresUrl::parse("postgres://einv@[::1],%2Frun%2Fpostgresql").unwrap();
        assert_eq!(others.to_string(), "postgres://einv@[::1]:5432,/run/postgresql:5432/einv");
    }

    #[test]
    fn an_sqlite_store_is_a_file() {
        for (url, file) in [
            ("sqlite:a.db", "a.db"),
            ("sqlite:/a b/#%41.db", "/a b/#%41.db"),
            ("sqlite:///a.db", "/a.db"),
            ("sqlite:./~.db", "./~.db"),
            ("sqlite::memory:", ":memory:"),
        ] {
            assert_eq!(url.parse(), Ok(StoreUrl::Sqlite(file.into())));
        }
        for (url, problem) in [
            ("sqlite:", "is missing"),
            ("sqlite:///", "is missing"),
            ("sqlite://a.db", "after two slashes a host is expected"),
            ("sqlite://localhost/a.db", "after two slashes a host is expected"),
            ("sqlite:/a/", "it names a folder"),
            ("sqlite:a.db?mode=ro", "nothing can be set after a \"?\""),
            ("sqlite:~/a.db", "\"~\" does not stand for a home folder"),
            ("sqlite:~u/a.db", "\"~\" does not stand for a home folder"),
            ("sqlite: /a.db", "a blank before or after"),
            ("sqlite:/a.db ", "a blank before or after"),
            ("sqlite:a\0.db", "a NUL"),
            ("SQLITE:/a.db", "a store is written sqlite:FILE"),
            (" sqlite:/a.db", "a store is written sqlite:FILE"),
            ("/a.db", "a store is written sqlite:FILE"),
            ("", "a store is written sqlite:FILE"),
        ] {
            let found = url.parse::<StoreUrl>().unwrap_err().to_string();
            assert!(found.contains(problem), "{url}: {found}");
        }
    }

    #[test]
    fn the_options_of_a_url_say_how_it_is_encrypted() {
        let file = || Authorities::File("/etc/ssl/our ca.crt".into());
        for (options, mode, authorities) in [
            ("", SslMode::Prefer, None),
            ("?sslmode=disable", SslMode::Disable, None),
            ("?sslmode=prefer", SslMode::Prefer, None),
            ("?target_session_attrs=any&sslmode=require", SslMode::Require, None),
            ("?sslmode=verify-full&sslrootcert=system", SslMode::Require, Some(Authorities::System)),
            ("?sslrootcert=/etc/ssl/our%20ca.crt&sslmode=verify-full", SslMode::Require, Some(file())),
        ] {
            let url = PostgresUrl::parse(&format!("postgres://u@h/d{options}")).unwrap();
            assert_eq!((url.config.get_ssl_mode(), url.authorities), (mode, authorities), "{options}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_url_is_said_without_its_password() {
        for (text, problem) in [
            ("postgres://u:hunter2@h/d?sslmode=maybe", "there is no sslmode \"maybe\""),
            ("postgres://u:hunter2@h/d?sslmode=allow", "write prefer or disable"),
            ("postgres://u:hunter2@h/d?sslmode=verify-ca&sslrootcert=ca.crt", "write verify-full"),
            ("postgres://u:hunter2@h/d?sslmode=verify-full", "add &sslrootcert=FILE"),
            ("postgres://u:hunter2@h/d?sslmode", "expected KEY=VALUE"),
            ("postgres://u:hunter2@h/d?colour=red", "colour is not taken after \"?\": leave it out"),
            ("postgres://u@h/d?port=5433", "port is not taken after \"?\": write it before"),
            ("postgres://u@h/d?host=hunter2", "host is not taken after \"?\": write it before"),
            ("postgres://h/d?user=u&password=hunter2", "the user is missing"),
            ("postgres://u:pa?hunter2=x", "the user is missing"),
            ("postgres://u@h/d?password=hunter2", "password is not taken after \"?\": put the password into ~/.pgpass"),
            ("postgres://u:hunter2@h/d?sslcert=a.crt&sslkey=a.key", "let the server ask for a password"),
            ("postgres://u:hunter2@h/d?options=-cfsync%3Doff", "ALTER ROLE"),
            ("postgres://u:hunter2@h/d?target_session_attrs=maybe", "target_session_attrs is read-write or any"),
            ("postgres://u:hunter2@h/d?target_session_attrs=read-only", "a store has to take writes"),
            ("postgres://u:hunter2@h/d?sslmode=dis%ffable", "has a \"%\" that stands for no character"),
            ("postgres://u:hunter2@h/d?sslmode=verify-full&sslrootcert=", "sslrootcert is empty"),
            ("postgres://u:hunter2@h/d?sslrootcert=system&sslmode=require", "only sslmode=verify-full"),
            ("postgres://u:hunter2@h/d?sslrootcert=ca.crt", "only sslmode=verify-full"),
            ("postgres://u:pa?hunter2=x@h/d", "an \"@\" after the \"?\""),
            ("postgres://u:pa?hunter2@h/d", "written %40 and %3F"),
            ("postgres://u:pa?sslmode=hunter2@h/d", "written %40 and %3F"),
            ("postgres://u:pa?x=y&hunter2&z@h/d?sslmode=prefer", "written %40 and %3F"),
            ("postgres://u@h/d?sslrootcert=hunter2@x", "written %40 and %3F"),
            ("postgres://u:hunter2@a,,b/d", "a host is empty in \"a,,b\""),
        ] {
            let found = PostgresUrl::parse(text).unwrap_err();
            assert!(found.contains(problem) && !found.contains("hunter2"), "{text}: {found}");
        }
    }
}
