//! `postgres://…`, read as libpq reads it: where the server is, how the connection is encrypted, and where the password
//! is found (PostgreSQL's documentation, "Connection URIs", "SSL Support" and "The Password File").

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

/// The variable that holds the password, where the URL does not.
const PASSWORD_VARIABLE: &str = "PGPASSWORD";

/// The longest password file that is read.
const LONGEST_PASSFILE: u64 = 1024 * 1024;

/// A PostgreSQL server, and how to connect to it. Neither `Debug` nor `Display` shows the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresUrl {
    config: Config,
    verification: Verification,
    root_certificate: Option<String>,
}

/// What is asked of the server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verification {
    /// Nothing: the connection is encrypted, and who is at the other end is not known.
    None,
    /// That an authority we know has signed it.
    Authority,
    /// That it is the one of the host we connect to, besides.
    Host,
}

impl PostgresUrl {
    /// The URL in a text, without the values that it takes from the environment.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (address, query) = text.split_once('?').unwrap_or((text, ""));
        let (mut mode, mut root_certificate, mut others) = ("prefer".to_owned(), None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(|| "expected KEY=VALUE after \"?\"".to_owned())?;
            let decoded = || percent_decode_str(value).decode_utf8_lossy().into_owned();
            match key {
                "sslmode" => mode = decoded(),
                "sslrootcert" => root_certificate = Some(decoded()),
                _ => others.push(pair),
            }
        }
        let mut config: Config = format!("{address}?{}", others.join("&"))
            .parse()
            .map_err(|error: tokio_postgres::Error| with_cause(&error))?;
        let (ssl_mode, verification) = match mode.as_str() {
            "disable" => (SslMode::Disable, Verification::None),
            "allow" | "prefer" => (SslMode::Prefer, Verification::None),
            "require" => (SslMode::Require, Verification::None),
            "verify-ca" => (SslMode::Require, Verification::Authority),
            "verify-full" => (SslMode::Require, Verification::Host),
            other => {
                let known = "disable, allow, prefer, require, verify-ca, verify-full";
                return Err(format!("there is no sslmode {other:?}: expected one of {known}"));
            }
        };
        if config.get_hosts().is_empty() {
            return Err("the host is missing".to_owned());
        }
        config.ssl_mode(ssl_mode);
        if config.get_application_name().is_none() {
            config.application_name("easy-invite");
        }
        Ok(PostgresUrl { config, verification, root_certificate })
    }

    /// Is the password in the URL itself?
    pub(super) fn has_password(&self) -> bool {
        self.config.get_password().is_some()
    }

    /// How to connect, with the password from wherever it is.
    pub(super) fn config(&self) -> Config {
        let mut config = self.config.clone();
        if config.get_password().is_none()
            && let Some(password) = std::env::var(PASSWORD_VARIABLE).ok().or_else(|| self.in_password_file())
        {
            config.password(password);
        }
        config
    }

    /// How the connection is encrypted.
    pub(super) fn tls(&self) -> Result<ClientConfig, String> {
        let provider = Arc::new(ring::default_provider());
        // As with libpq, a file with the authority's certificate makes `require` mean `verify-ca`.
        let usual = home(".postgresql/root.crt").filter(|file| file.exists());
        let required = self.config.get_ssl_mode() == SslMode::Require;
        let verification = match self.verification {
            Verification::None if required && (self.root_certificate.is_some() || usual.is_some()) => {
                Verification::Authority
            }
            verification => verification,
        };
        let verifier: Arc<dyn ServerCertVerifier> = if verification == Verification::None {
            Arc::new(Anybody(provider.clone()))
        } else {
            let roots = Arc::new(self.roots(usual)?);
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider.clone()).build();
            let verifier = verifier.map_err(|error| format!("the root certificates cannot be used: {error}"))?;
            match verification {
                Verification::Host => verifier,
                _ => Arc::new(AnyHost(verifier)),
            }
        };
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| error.to_string())?;
        Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
    }

    fn roots(&self, usual: Option<PathBuf>) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        let file = match self.root_certificate.as_deref() {
            Some("system") => {
                let found = rustls_native_certs::load_native_certs();
                roots.add_parsable_certificates(found.certs);
                return match roots.is_empty() {
                    true => Err("this system has no root certificates (Debian: ca-certificates)".to_owned()),
                    false => Ok(roots),
                };
            }
            Some(file) => PathBuf::from(file),
            None => usual.ok_or_else(|| {
                "sslmode=verify-ca and verify-full need the authority's certificate: add &sslrootcert=FILE, or \
                 &sslrootcert=system, to store.url, or put it into ~/.postgresql/root.crt"
                    .to_owned()
            })?,
        };
        let unusable = |problem: String| format!("{} cannot be used as root certificate: {problem}", file.display());
        for certificate in CertificateDer::pem_file_iter(&file).map_err(|error| unusable(error.to_string()))? {
            let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
            roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
        }
        if roots.is_empty() { Err(unusable("there is no certificate in it".to_owned())) } else { Ok(roots) }
    }

    fn in_password_file(&self) -> Option<String> {
        let named = std::env::var_os("PGPASSFILE").map(PathBuf::from);
        let path = named.or_else(|| home(".pgpass"))?;
        let file = File::open(&path).ok()?;
        let mode = file.metadata().ok()?.permissions().mode();
        if mode & 0o077 != 0 {
            tracing::warn!("{} is not used, since others may read it: chmod 600", path.display());
            return None;
        }
        let mut text = String::new();
        file.take(LONGEST_PASSFILE).read_to_string(&mut text).ok()?;
        let (hosts, user) = (self.hosts(), self.config.get_user()?);
        let (host, port) = hosts.first()?;
        let database = self.config.get_dbname().unwrap_or(user);
        text.lines().find_map(|line| password_in(line, [host, port, database, user]))
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
            (host, ports.get(number).or(ports.first()).unwrap_or(&5432).to_string())
        });
        named.collect()
    }
}

/// For people: without password and options.
impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<_> = self.hosts().into_iter().map(|(host, port)| format!("{host}:{port}")).collect();
        let user = self.config.get_user().map(|user| format!("{user}@")).unwrap_or_default();
        let database = self.config.get_dbname().or(self.config.get_user()).unwrap_or_default();
        write!(f, "postgres://{user}{}/{database}", hosts.join(","))
    }
}

fn home(file: &str) -> Option<PathBuf> {
    Some(PathBuf::from(std::env::var_os("HOME")?).join(file))
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

/// Takes every certificate: sslmode=prefer and require ask for encryption alone.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
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
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Takes every certificate that a known authority has signed, whoever's it is: sslmode=verify-ca.
#[derive(Debug)]
struct AnyHost(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyHost {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.0.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            // The name is the last thing that is looked at.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
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
            ("postgres:///d", "the host is missing"),
            ("postgres://u:hunter2@h:port/d", "port"),
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
