//! `postgres://…`, read as libpq reads it: where the server is, how the connection is encrypted, and where the password
//! is found (PostgreSQL's documentation, "Connection URIs", "SSL Support" and "The Password File").

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

use super::postgres_tls::Tls;
use crate::texts::printable;

/// The variable that holds the password, where the URL does not.
const PASSWORD_VARIABLE: &str = "PGPASSWORD";

/// What the server shows to its operator, where the URL says nothing else.
const APPLICATION: &str = "easy-invite";

/// PostgreSQL's port, where the URL does not say.
const USUAL_PORT: u16 = 5432;

/// The longest password file that is read.
const LONGEST_PASSFILE: u64 = 1024 * 1024;

/// A PostgreSQL server, and how to connect to it. Neither `Debug` nor `Display` shows the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresUrl {
    config: Config,
    tls: Tls,
}

impl PostgresUrl {
    /// The URL in a text, without the values that it takes from the environment.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (address, query) = text.split_once('?').unwrap_or((text, ""));
        // The first "@" would end the password, and the rest of it would be taken for a host, and shown.
        if address.matches('@').count() > 1 {
            return Err("there is more than one \"@\": in a name or a password it is written %40".to_owned());
        }
        let (mut of_tls, mut others) = ([const { None }; 4], Vec::new());
        let [mode, root_certificate, certificate, key] = &mut of_tls;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or_else(|| "expected KEY=VALUE after \"?\"".to_owned())?;
            let place = match name {
                "sslmode" => &mut *mode,
                "sslrootcert" => &mut *root_certificate,
                "sslcert" => &mut *certificate,
                "sslkey" => &mut *key,
                _ => {
                    others.push(pair);
                    continue;
                }
            };
            *place = Some(percent_decode_str(value).decode_utf8_lossy().into_owned());
        }
        let tls = Tls::parse(of_tls)?;
        let config: Config = format!("{address}?{}", others.join("&"))
            .parse()
            .map_err(|error: tokio_postgres::Error| with_cause(&error))?;
        if config.get_hosts().is_empty() {
            return Err("the host is missing".to_owned());
        }
        Ok(PostgresUrl { config, tls })
    }

    /// Is the password in the URL itself?
    pub(super) fn has_password(&self) -> bool {
        self.config.get_password().is_some()
    }

    /// What is said of TLS.
    pub(super) fn tls(&self) -> &Tls {
        &self.tls
    }

    /// How to connect to each of the hosts, with the password that is for it, from wherever that is.
    pub(super) fn of_each_host(&self) -> Vec<Config> {
        let (whole, variable) = (&self.config, std::env::var(PASSWORD_VARIABLE).ok());
        let file = match whole.get_password().is_none() && variable.is_none() {
            true => password_file().unwrap_or_default(),
            false => String::new(),
        };
        let each = self.hosts().into_iter().zip(whole.get_hosts()).enumerate().map(|(number, ((name, port), host))| {
            let mut config = Config::new();
            match host {
                Host::Tcp(name) => config.host(name),
                Host::Unix(folder) => config.host_path(folder),
            };
            if let Some(address) = whole.get_hostaddrs().get(number) {
                config.hostaddr(*address);
            }
            config.port(port.parse().unwrap_or(USUAL_PORT));
            let user = whole.get_user().unwrap_or_default();
            let database = whole.get_dbname().unwrap_or(user);
            if let Some(user) = whole.get_user() {
                config.user(user);
            }
            if let Some(database) = whole.get_dbname() {
                config.dbname(database);
            }
            if let Some(options) = whole.get_options() {
                config.options(options);
            }
            config.application_name(whole.get_application_name().unwrap_or(APPLICATION));
            config.ssl_negotiation(whole.get_ssl_negotiation()).channel_binding(whole.get_channel_binding());
            config.target_session_attrs(whole.get_target_session_attrs());
            config.load_balance_hosts(whole.get_load_balance_hosts());
            let for_host = || file.lines().find_map(|line| password_in(line, [&name, &port, database, user]));
            if let Some(password) = whole.get_password() {
                config.password(password);
            } else if let Some(password) = variable.clone().or_else(for_host) {
                config.password(password);
            }
            config
        });
        each.collect()
    }

    /// Hosts and ports, as text.
    fn hosts(&self) -> Vec<(String, String)> {
        let ports = self.config.get_ports();
        let hosts = self.config.get_hosts().iter().enumerate();
        let named = hosts.map(|(number, host)| {
            let host = match host {
                Host::Tcp(name) => name.clone(),
                Host::Unix(folder) => folder.display().to_string(),
            };
            (host, ports.get(number).or(ports.first()).unwrap_or(&USUAL_PORT).to_string())
        });
        named.collect()
    }
}

/// For people: in one line, without password and options.
impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<_> = self.hosts().into_iter().map(|(host, port)| format!("{host}:{port}")).collect();
        let user = self.config.get_user().map(|user| format!("{user}@")).unwrap_or_default();
        let database = self.config.get_dbname().or(self.config.get_user()).unwrap_or_default();
        f.write_str(&printable(format_args!("postgres://{user}{}/{database}", hosts.join(","))))
    }
}

/// A file of the user's. Services may have no $HOME.
pub(super) fn home(file: &str) -> Option<PathBuf> {
    std::env::home_dir().filter(|home| !home.as_os_str().is_empty()).map(|home| home.join(file))
}

/// The password file, if it is there and fit for use.
fn password_file() -> Option<String> {
    let path = std::env::var_os("PGPASSFILE").map(PathBuf::from).or_else(|| home(".pgpass"))?;
    let file = File::open(&path).ok()?;
    let metadata = file.metadata().ok()?;
    // Commands show what is logged under this name, and else nothing of the store.
    let unused =
        |problem: &str| tracing::warn!(target: "easy_invite", "{} is not used: {problem}", printable(path.display()));
    if !metadata.is_file() {
        unused("it is no file");
        return None;
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        unused("others may read it: chmod 600");
        return None;
    }
    let mut text = String::new();
    file.take(LONGEST_PASSFILE).read_to_string(&mut text).ok()?;
    Some(text)
}

/// The library's errors keep what they are about to themselves.
pub(super) fn with_cause(error: &tokio_postgres::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// The password in a line `host:port:database:user:password`, if it is for this connection.
fn password_in(line: &str, wanted: [&str; 4]) -> Option<String> {
    if line.starts_with('#') {
        return None;
    }
    let (mut fields, mut escaped) = (vec![String::new()], false);
    for c in line.chars() {
        match c {
            '\\' if !escaped => escaped = true,
            ':' if !escaped && fields.len() < 5 => fields.push(String::new()),
            c => {
                escaped = false;
                if let Some(field) = fields.last_mut() {
                    field.push(c);
                }
            }
        }
    }
    let password = (fields.len() == 5).then(|| fields.pop()).flatten()?;
    let fits = fields.iter().zip(wanted).all(|(field, wanted)| field == "*" || field == wanted);
    fits.then_some(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_password() {
        let url =
            PostgresUrl::parse("postgres://einv:hunter2@db.example.org:5433/invites?sslmode=verify-full").unwrap();
        assert_eq!(url.to_string(), "postgres://einv@db.example.org:5433/invites");
        assert!(!format!("{url:?}").contains("hunter2"));
        let several = PostgresUrl::parse("postgres://einv@a:1,b:2/x?target_session_attrs=read-write").unwrap();
        assert_eq!(several.to_string(), "postgres://einv@a:1,b:2/x");
    }

    #[test]
    fn what_is_wrong_with_a_url_is_said_without_its_password() {
        for (text, problem) in [
            ("postgres://u:hunter2@h/d?sslmode=maybe", "there is no sslmode \"maybe\""),
            ("postgres://u:hunter2@h/d?sslmode", "expected KEY=VALUE"),
            ("postgres://u:hunter2@h/d?colour=red", "unknown option `colour`"),
            ("postgres://u:hunter2@h/d?sslrootcert=system&sslmode=require", "sslmode=verify-full alone"),
            ("postgres:///d", "the host is missing"),
            ("postgres://u:hunter2@h:port/d", "port"),
            ("postgres://u:x@hunter2@h/d", "more than one \"@\""),
        ] {
            let found = PostgresUrl::parse(text).unwrap_err();
            assert!(found.contains(problem) && !found.contains("hunter2"), "{text}: {found}");
        }
    }

    #[test]
    fn a_password_file_is_read_as_libpq_reads_it() {
        let wanted = ["db.example.org", "5432", "invites", "einv"];
        for (line, password) in [
            ("db.example.org:5432:invites:einv:hunter2", Some("hunter2")),
            ("*:*:*:einv:a\\:b:c\\\\", Some("a:b:c\\")),
            ("*:*:*:somebody:hunter2", None),
            ("# *:*:*:*:hunter2", None),
            ("*:*:*:hunter2", None),
        ] {
            assert_eq!(password_in(line, wanted).as_deref(), password, "{line}");
        }
    }
}
