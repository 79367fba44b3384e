//! TLS to a PostgreSQL server: whether it is wanted, which certificate is taken, and which is shown.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature_with_raw_key};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::config::SslMode;
use webpki::RawPublicKeyEntity;
use x509_cert::Certificate;
use x509_cert::certificate::Version;
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::oid::db::rfc4519::COMMON_NAME;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::SubjectAltName;

use super::postgres_url::home;
use crate::texts::printable;

/// Instead of a file: the authorities that the system knows.
const SYSTEM: &str = "system";

/// The longest file with certificates or a key that is read.
const LONGEST_FILE: u64 = 16 * 1024 * 1024;

/// `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Never encrypted.
    Disable,
    /// Encrypted where the server wants it.
    Allow,
    /// Encrypted where the server can.
    Prefer,
    /// Encrypted; who is at the other end is not known.
    Require,
    /// And an authority we know has signed the server's certificate.
    VerifyCa,
    /// And it is the one of the host we connect to.
    VerifyFull,
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "disable" => Mode::Disable,
            "allow" => Mode::Allow,
            "prefer" => Mode::Prefer,
            "require" => Mode::Require,
            "verify-ca" => Mode::VerifyCa,
            "verify-full" => Mode::VerifyFull,
            other => {
                let known = "disable, allow, prefer, require, verify-ca, verify-full";
                return Err(format!("there is no sslmode {other:?}: expected one of {known}"));
            }
        })
    }
}

/// What a URL says of TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tls {
    mode: Mode,
    root_certificate: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
}

impl Tls {
    /// From `sslmode`, `sslrootcert`, `sslcert` and `sslkey`.
    pub(super) fn parse([mode, root_certificate, certificate, key]: [Option<String>; 4]) -> Result<Self, String> {
        let system = root_certificate.as_deref() == Some(SYSTEM);
        let usual = if system { Mode::VerifyFull } else { Mode::Prefer };
        let mode = mode.map_or(Ok(usual), |mode| mode.parse())?;
        if system && mode != Mode::VerifyFull {
            return Err("sslrootcert=system goes with sslmode=verify-full alone: anybody may have a certificate of \
                        these authorities"
                .to_owned());
        }
        Ok(Tls { mode, root_certificate, certificate, key })
    }

    /// What is tried over TCP, one after the other where the server refuses.
    pub(super) fn attempts(&self) -> &'static [SslMode] {
        match self.mode {
            Mode::Disable => &[SslMode::Disable],
            Mode::Allow => &[SslMode::Disable, SslMode::Require],
            Mode::Prefer => &[SslMode::Prefer, SslMode::Disable],
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => &[SslMode::Require],
        }
    }

    /// How the connection is encrypted, where it is.
    pub(super) fn client(&self) -> Result<ClientConfig, String> {
        let provider = Arc::new(ring::default_provider());
        // As with libpq, a file with the authority's certificate makes `require` mean `verify-ca`.
        let usual = home(".postgresql/root.crt").filter(|file| file.exists());
        let named = self.root_certificate.is_some() || usual.is_some();
        let authorities = match self.mode {
            Mode::VerifyCa | Mode::VerifyFull => Some(self.authorities(usual, &provider)?),
            Mode::Require if named => Some(self.authorities(usual, &provider)?),
            _ => None,
        };
        let verifier = Verifier { provider: provider.clone(), authorities, host: self.mode == Mode::VerifyFull };
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| error.to_string())?;
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        match self.own_certificate()? {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(|error| {
                format!("the certificate and the key for PostgreSQL do not belong together or cannot be used: {error}")
            }),
            None => Ok(builder.with_no_client_auth()),
        }
    }

    fn authorities(&self, usual: Option<PathBuf>, provider: &Arc<CryptoProvider>) -> Result<Authorities, String> {
        let (mut roots, mut themselves) = (RootCertStore::empty(), Vec::new());
        if self.root_certificate.as_deref() == Some(SYSTEM) {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err("this system has no root certificates (Debian: ca-certificates)".to_owned());
            }
        } else {
            let file = self.root_certificate.as_ref().map(PathBuf::from).or(usual).ok_or_else(|| {
                "sslmode=verify-ca and verify-full need the authority's certificate: add &sslrootcert=FILE, or \
                 &sslrootcert=system, to store.url, or put it into ~/.postgresql/root.crt"
                    .to_owned()
            })?;
            themselves = certificates(&file, "as root certificate")?;
            for certificate in &themselves {
                roots.add(certificate.clone()).map_err(|error| unusable(&file, "as root certificate", &error))?;
            }
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
        let verifier = verifier.map_err(|error| format!("the root certificates cannot be used: {error}"))?;
        Ok(Authorities { verifier, themselves })
    }

    /// What is shown to a server that asks for a certificate: it is named, or it is where libpq looks for it.
    fn own_certificate(&self) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>, String> {
        if self.mode == Mode::Disable {
            return Ok(None);
        }
        let usual = |name: &str| home(&format!(".postgresql/{name}")).filter(|file| file.exists());
        let Some(file) = self.certificate.as_ref().map(PathBuf::from).or_else(|| usual("postgresql.crt")) else {
            return Ok(None);
        };
        let key = self.key.as_ref().map(PathBuf::from).or_else(|| usual("postgresql.key"));
        let key = key.ok_or_else(|| {
            format!("there is no key for {}: add &sslkey=FILE to store.url", printable(file.display()))
        })?;
        let what = "as key";
        let metadata = key.metadata().map_err(|error| unusable(&key, what, &error))?;
        // Root's may be for a group, as with libpq: that of the daemon.
        if metadata.mode() & (if metadata.uid() == 0 { 0o027 } else { 0o077 }) != 0 {
            return Err(unusable(&key, what, &"others may read it: chmod 600"));
        }
        let pem = read(&key).map_err(|error| unusable(&key, what, &error))?;
        let private = PrivateKeyDer::from_pem_slice(&pem);
        let private = private.map_err(|error| unusable(&key, what, &format!("{error} (it may not be encrypted)")))?;
        Ok(Some((certificates(&file, "as certificate")?, private)))
    }
}

fn unusable(file: &Path, what: &str, problem: &dyn std::fmt::Display) -> String {
    format!("{} cannot be used {what}: {problem}", printable(file.display()))
}

fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(LONGEST_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn certificates(file: &Path, what: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read(file).map_err(|error| unusable(file, what, &error))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|error| unusable(file, what, &error))?;
    if found.is_empty() { Err(unusable(file, what, &"there is no certificate in it")) } else { Ok(found) }
}

/// Whose signatures count.
#[derive(Debug)]
struct Authorities {
    verifier: Arc<WebPkiServerVerifier>,
    /// Their certificates, where they stand in a file: a server's own may be among them.
    themselves: Vec<CertificateDer<'static>>,
}

/// Decides about the server's certificate as `sslmode` says.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    /// `None`: every certificate is taken, whatever it is.
    authorities: Option<Authorities>,
    /// Has it to be the one of the host?
    host: bool,
}

fn bad_encoding<E>(_: E) -> rustls::Error {
    CertificateError::BadEncoding.into()
}

impl Verifier {
    /// The key in a certificate, which may be of any version.
    fn key(certificate: &CertificateDer<'_>) -> Result<SubjectPublicKeyInfoDer<'static>, rustls::Error> {
        let parsed = Certificate::from_der(certificate).map_err(bad_encoding)?;
        Ok(parsed.tbs_certificate.subject_public_key_info.to_der().map_err(bad_encoding)?.into())
    }

    fn of_host(certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> Result<(), rustls::Error> {
        verify_server_name(&ParsedCertificate::try_from(certificate)?, name).or_else(|error| {
            let common = Certificate::from_der(certificate).ok().as_ref().and_then(common_name);
            if common.is_some_and(|common| common.eq_ignore_ascii_case(&name.to_str())) { Ok(()) } else { Err(error) }
        })
    }
}

/// The common name, which counts where there is no other.
fn common_name(certificate: &Certificate) -> Option<String> {
    let certificate = &certificate.tbs_certificate;
    let mut extensions = certificate.extensions.iter().flatten();
    if extensions.any(|extension| extension.extn_id == SubjectAltName::OID) {
        return None;
    }
    let mut attributes = certificate.subject.0.iter().flat_map(|name| name.0.iter());
    let common = attributes.find(|attribute| attribute.oid == COMMON_NAME)?;
    std::str::from_utf8(common.value.value()).map(str::to_owned).ok()
}

/// Whether a certificate that is trusted as it stands has begun to be valid, and has not expired.
fn in_time(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), rustls::Error> {
    let validity = Certificate::from_der(certificate).map_err(bad_encoding)?.tbs_certificate.validity;
    let now = now.as_secs();
    if now < validity.not_before.to_unix_duration().as_secs() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now > validity.not_after.to_unix_duration().as_secs() {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(authorities) = &self.authorities else { return Ok(ServerCertVerified::assertion()) };
        if authorities.themselves.contains(certificate) {
            in_time(certificate, now)?;
        } else {
            let version = Certificate::from_der(certificate).map_err(bad_encoding)?.tbs_certificate.version;
            if version != Version::V3 {
                let words = "the server's certificate is of X.509 version 1, sslmode=verify-ca and verify-full need 3";
                return Err(rustls::Error::General(words.to_owned()));
            }
            match authorities.verifier.verify_server_cert(certificate, intermediates, name, ocsp, now) {
                // The name is the last thing that is looked at.
                Ok(_)
                | Err(rustls::Error::InvalidCertificate(
                    CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
                )) => (),
                Err(error) => return Err(error),
            }
        }
        if self.host {
            Self::of_host(certificate, name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    /// The key is the certificate's, also where nobody asks whose that is: the password may be bound to it.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let key = Self::key(certificate)?;
        let key = RawPublicKeyEntity::try_from(&key).map_err(bad_encoding)?;
        let known = self.provider.signature_verification_algorithms.mapping.iter();
        let mut fitting = known.filter(|(scheme, _)| *scheme == signature.scheme).flat_map(|(_, all)| *all);
        match fitting.any(|algorithm| key.verify_signature(*algorithm, message, signature.signature()).is_ok()) {
            true => Ok(HandshakeSignatureValid::assertion()),
            false => Err(CertificateError::BadSignature.into()),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(message, &Self::key(certificate)?, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
