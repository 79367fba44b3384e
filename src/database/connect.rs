//! How PostgreSQL is reached: the password, and TLS as `sslmode` says.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::lookup_host;
use tokio::time::timeout;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Connection, Error, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::url::{Authorities, PostgresUrl, with_cause};
use crate::files::in_words;
use crate::texts::printable;

/// The longest file with passwords or certificates that is read.
const LONGEST_FILE: u64 = 16 * 1024 * 1024;

/// For how long an address may be silent before the next one is tried beside it: RFC 8305 says so.
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);

/// What the server calls us, in pg_stat_activity and its log.
const APPLICATION: &str = "easy-invite";

/// What reads and writes for a connection.
pub type Driver = Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

/// Why a host was not reached.
#[derive(Debug, thiserror::Error)]
pub enum Unreached {
    /// It may accept connections, and says nothing.
    #[error("it does not answer")]
    Silent,
    /// It has accepted the login, and then says nothing.
    #[error(
        "it accepts the login and then does not answer, as PgBouncer does while its sessions are all taken: let \
         default_pool_size be 16 for each daemon, and more for commands"
    )]
    NoSession,
    /// It, or the network, says why.
    #[error("{}", with_cause(.0))]
    Failed(tokio_postgres::Error),
}

/// How to connect to each of the hosts, with the password from wherever it is. All hosts together
/// get `patience`. A connection that is silent for `silence` counts as lost.
pub fn each(url: &PostgresUrl, patience: Duration, silence: Duration) -> Vec<Config> {
    let variable = || std::env::var("PGPASSWORD").ok();
    let found = || variable().or_else(|| password_in_file(url)).map(String::into_bytes);
    let password = url.config.get_password().map(<[u8]>::to_vec).or_else(found);
    let hosts = url.config.get_hosts().iter().zip(url.hosts());
    let patience = patience / u32::try_from(hosts.len().max(1)).unwrap_or(u32::MAX);
    let config = |(host, (name, port)): (&Host, (String, u16))| {
        let mut config = Config::new();
        match host {
            Host::Tcp(_) => config.host(name),
            Host::Unix(folder) => config.host_path(folder),
        };
        config.port(port).ssl_mode(url.config.get_ssl_mode());
        config.target_session_attrs(url.config.get_target_session_attrs());
        config.application_name(APPLICATION).connect_timeout(patience).tcp_user_timeout(silence);
        config.keepalives_idle(silence).keepalives_interval(silence / 4).keepalives_retries(3);
        url.config.get_user().map(|user| config.user(user));
        url.config.get_dbname().map(|database| config.dbname(database));
        password.as_ref().map(|password| config.password(password));
        config
    };
    hosts.map(config).collect()
}

/// Connects to a host, by the first of its addresses that lets us in.
///
/// # Errors
/// If none answers, or what the last one says.
pub async fn reach(config: &Config, tls: &MakeRustlsConnect) -> Result<(Client, Driver), Unreached> {
    let patience = config.get_connect_timeout().copied().unwrap_or(Duration::MAX);
    let mut ways = Vec::new();
    if let ([Host::Tcp(name)], [port]) = (config.get_hosts(), config.get_ports()) {
        let found = timeout(patience, lookup_host((name.as_str(), *port))).await.map_err(|_| Unreached::Silent)?;
        ways.extend(found.into_iter().flatten().map(|address| {
            let mut way = config.clone();
            way.hostaddr(address.ip());
            way
        }));
    }
    if ways.is_empty() {
        ways.push(config.clone()); // the library says why a name is unknown
    }
    let reaching = first_of(ways.into_iter().map(async |way| encrypted_or_not(&way, tls).await));
    let reached = timeout(patience, reaching).await.map_err(|_| Unreached::Silent)?;
    reached.map_err(|problem| problem.map_or(Unreached::Silent, Unreached::Failed))
}

/// What succeeds first. Each begins when another has failed, or when the one before has been silent
/// for a while; but that one goes on, since it may only be slow (RFC 8305, "Happy Eyeballs").
///
/// # Errors
/// The last one, when all have failed.
async fn first_of<T, E>(ways: impl Iterator<Item: Future<Output = Result<T, E>>>) -> Result<T, Option<E>> {
    let (mut ways, mut trying, mut problem) = (ways.fuse(), FuturesUnordered::new(), None);
    loop {
        let next = ways.next();
        let limit = if next.is_some() { NEXT_ADDRESS_AFTER } else { Duration::MAX };
        trying.extend(next);
        match timeout(limit, trying.next()).await {
            Ok(Some(Ok(value))) => return Ok(value),
            Ok(Some(Err(error))) => problem = Some(error),
            Ok(None) => return Err(problem),
            Err(_) => (),
        }
    }
}

/// With `sslmode=prefer`, a server that does not let us in encrypted is asked without, as libpq
/// does.
async fn encrypted_or_not(config: &Config, tls: &MakeRustlsConnect) -> Result<(Client, Driver), Error> {
    let connected = config.connect(tls.clone()).await;
    let refused = |error: &Error| {
        error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION)
            || error.to_string().starts_with("error performing TLS handshake")
    };
    match connected {
        Err(error) if config.get_ssl_mode() == SslMode::Prefer && refused(&error) => {
            // Where that is refused too, the first answer says more.
            config.clone().ssl_mode(SslMode::Disable).connect(tls.clone()).await.map_err(|_| error)
        }
        connected => connected,
    }
}

/// The password in the first line of the password file that fits one of the hosts, which hold the
/// same database.
fn password_in_file(url: &PostgresUrl) -> Option<String> {
    let file = password_file()?;
    let user = url.config.get_user().unwrap_or_default();
    let database = url.config.get_dbname().unwrap_or(user);
    let hosts = url.hosts();
    let fits =
        |line| hosts.iter().find_map(|(host, port)| password_in(line, [host, &port.to_string(), database, user]));
    file.lines().find_map(fits)
}

/// The password file, if it is there and fit for use. Services may have no $HOME.
fn password_file() -> Option<String> {
    let home = || std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
    let path = std::env::var_os("PGPASSFILE").map(PathBuf::from).or_else(|| Some(home()?.join(".pgpass")))?;
    // Commands show what is logged under this target, and nothing else of the store.
    let unused =
        |problem: &str| tracing::warn!(target: "easy_invite", "{} is not used: {problem}", printable(path.display()));
    let denied = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
    let opened = File::open(&path).inspect_err(|error| {
        if denied(error) {
            unused(&in_words(error))
        }
    });
    let file = opened.ok()?;
    let metadata = file.metadata().ok()?;
    if !metadata.is_file() {
        unused("it is no file");
        return None;
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        unused("others may read it: chmod 600");
        return None;
    }
    let mut text = String::new();
    file.take(LONGEST_FILE).read_to_string(&mut text).ok()?;
    Some(text)
}

/// The password in a line `host:port:database:user:password`, if it is for this connection
/// (PostgreSQL's documentation, "The Password File").
fn password_in(line: &str, wanted: [&str; 4]) -> Option<String> {
    if line.starts_with('#') {
        return None;
    }
    let (mut fields, mut letters) = (vec![String::new()], line.chars());
    while let Some(letter) = letters.next() {
        match letter {
            ':' if fields.len() < 5 => fields.push(String::new()),
            '\\' => fields.last_mut()?.extend(letters.next()),
            letter => fields.last_mut()?.push(letter),
        }
    }
    let [fields @ .., password] = <[String; 5]>::try_from(fields).ok()?;
    let fits = fields.iter().zip(wanted).all(|(field, wanted)| field == "*" || field == wanted);
    fits.then_some(password)
}

/// How the connection is encrypted, where it is.
///
/// # Errors
/// If the certificates of the authorities cannot be read.
pub fn tls(url: &PostgresUrl) -> Result<MakeRustlsConnect, String> {
    let provider = Arc::new(ring::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    let config = match &url.authorities {
        Some(authorities) => builder.with_root_certificates(roots(authorities)?),
        None => builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(algorithms))),
    };
    Ok(MakeRustlsConnect::new(config.with_no_client_auth()))
}

fn roots(authorities: &Authorities) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    match authorities {
        Authorities::System => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err("this system has no root certificates (Debian: ca-certificates)".to_owned());
            }
        }
        Authorities::File(path) => {
            let unusable =
                |problem: &str| format!("{} cannot be used as sslrootcert: {problem}", printable(path.display()));
            for certificate in certificates(path).map_err(|problem| unusable(&problem))? {
                roots.add(certificate).map_err(|error| unusable(&error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(unusable("there is no certificate in it"));
            }
        }
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut pem = Vec::new();
    let file = File::open(path).map_err(|error| in_words(&error))?;
    file.take(LONGEST_FILE).read_to_end(&mut pem).map_err(|error| error.to_string())?;
    CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|error| error.to_string())
}

/// Accepts every certificate. `prefer` and `require` keep out those who only listen. They do not
/// tell who is at the other end (PostgreSQL's documentation, "SSL Support"), since most servers
/// have a certificate that no authority signed. The server still has to own the certificate's key,
/// because the password may be bound to it (RFC 5929).
#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn of_several_addresses_the_first_that_answers_wins_and_a_slow_one_has_time() {
        for (addresses, first, why) in [
            (&[(0, true)][..], (Ok(0), 0), "the only one"),
            (&[(9_000, true)], (Ok(0), 9_000), "the only one, and slow"),
            (&[(2_000, true), (60_000, true)], (Ok(0), 2_000), "the next one is silent"),
            (&[(60_000, true), (2_000, true)], (Ok(1), 2_250), "one is silent"),
            (&[(0, false), (1_000, true), (0, false)], (Ok(1), 1_000), "others refuse"),
            (&[(500, false), (300, false), (0, false)], (Err(Some(1)), 550), "all refuse"),
            (&[], (Err(None), 0), "there is none"),
        ] {
            let begun = tokio::time::Instant::now();
            let ways = addresses.iter().enumerate().map(async |(number, (millis, answers))| {
                tokio::time::sleep(Duration::from_millis(*millis)).await;
                if *answers { Ok(number) } else { Err(number) }
            });
            assert_eq!((first_of(ways).await, begun.elapsed().as_millis()), first, "{why}");
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
