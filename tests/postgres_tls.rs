//! How the connection to PostgreSQL is encrypted, and which certificates are taken.

mod engines;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use easy_invite::store::{Problem, Store, StoreError};
use engines::cluster::Cluster;
use engines::{Database, query};
use tempfile::TempDir;

/// How a connection came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Met {
    Encrypted,
    Plain,
    Refused,
}
use Met::{Encrypted, Plain, Refused};

/// Certificates of two authorities, made with openssl.
struct Certificates(TempDir);

impl Certificates {
    fn make() -> Self {
        let made = Certificates(tempfile::tempdir().unwrap());
        for authority in ["ca", "other-ca"] {
            made.request(&format!("{authority}.crt"), "authority", &["-x509"]);
        }
        made.request("self.crt", "localhost", &["-x509"]);
        made.sign("right", "localhost", "subjectAltName = DNS:localhost, IP:127.0.0.1");
        made.sign("stranger", "localhost", "subjectAltName = DNS:db.example.org");
        made.sign("unnamed", "localhost", "keyUsage = digitalSignature");
        made
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn request(&self, file: &str, name: &str, arguments: &[&str]) {
        let key = file.rsplit_once('.').unwrap().0.to_owned() + ".key";
        let (subject, new) = (format!("/CN={name}"), ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
        let what = ["req", "-new", "-nodes", "-subj", &subject, "-out", file, "-keyout", &key];
        self.openssl(&[&what[..], &new, arguments].concat());
    }

    fn sign(&self, file: &str, name: &str, extensions: &str) {
        let [request, certificate] = ["csr", "crt"].map(|end| format!("{file}.{end}"));
        self.request(&request, name, &[]);
        fs::write(self.path("extensions"), extensions).unwrap();
        let authority = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "extensions"];
        self.openssl(&[&["x509", "-req", "-in", &request, "-out", &certificate][..], &authority].concat());
    }

    fn openssl(&self, arguments: &[&str]) {
        let made = Command::new("openssl").args(arguments).current_dir(self.0.path()).output().unwrap();
        assert!(made.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&made.stderr));
    }
}

/// A server with TLS, and a store in it.
struct Server {
    database: Database, // goes before its server
    cluster: Cluster,
    certificates: Certificates,
}

impl Server {
    async fn start() -> Self {
        let (cluster, certificates) = (Cluster::start(), Certificates::make());
        cluster.configure("fsync = off\nssl = on\nssl_cert_file = 'server.crt'\nssl_key_file = 'server.key'\n");
        let database = Database::new(&cluster.url()).await;
        let server = Server { database, cluster, certificates };
        query(&server.database.url, "CREATE ROLE einv LOGIN SUPERUSER PASSWORD 'hunter2'").await;
        Store::open(&server.url("postgres", "127.0.0.1", "sslmode=disable").parse().unwrap()).await.unwrap();
        server
    }

    /// Lets it show a certificate, and let these in besides the tests themselves.
    fn show(&self, certificate: &str, access: &str) {
        for end in ["crt", "key"] {
            let file = self.certificates.path(&format!("{certificate}.{end}"));
            self.cluster.place(&format!("server.{end}"), &file);
        }
        let access = format!("{access}\nhost all postgres 127.0.0.1/32 trust\n");
        fs::write(self.cluster.data().join("pg_hba.conf"), access).unwrap();
        self.cluster.restart();
    }

    fn url(&self, user: &str, host: &str, options: &str) -> String {
        let options = options.replace("DIR", &self.certificates.0.path().display().to_string());
        format!("postgres://{user}@{host}:{}/{}?{options}", self.cluster.port, self.database.name)
    }

    async fn store(&self, url: &str) -> Result<Met, StoreError> {
        let sql = "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
             WHERE application_name = 'easy-invite'";
        let plain = self.url("postgres", "127.0.0.1", "sslmode=disable");
        // The server may not have noticed yet that the connections of the store before are closed.
        while !query(&plain, sql).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let _store = Store::open_existing(&url.parse().unwrap()).await?;
        Ok(if query(&plain, sql).await == [["t"]] { Encrypted } else { Plain })
    }

    /// What comes of each of these options.
    async fn are(&self, host: &str, cases: &[(&str, Met)]) {
        for (options, expected) in cases {
            let url = self.url("postgres", host, options);
            let met = self.store(&url).await;
            assert_eq!(met.as_ref().copied().unwrap_or(Refused), *expected, "{url}: {met:?}");
        }
    }

    async fn refused(&self, options: &str, words: &str) {
        let url = self.url("postgres", "localhost", options);
        let error = self.store(&url).await.unwrap_err();
        assert!(
            matches!(error, StoreError { problem: Problem::Unopenable(_), .. }) && error.to_string().contains(words),
            "{url}: {error}"
        );
    }
}

const OURS: &str = "sslmode=verify-full&sslrootcert=DIR/ca.crt";
const OTHERS: &str = "sslmode=verify-full&sslrootcert=DIR/other-ca.crt";
const SYSTEMS: &str = "sslmode=verify-full&sslrootcert=system";

#[tokio::test(flavor = "multi_thread")]
async fn verify_full_takes_a_certificate_of_the_host_that_a_trusted_authority_signed() {
    let server = Server::start().await;
    let unverified =
        [("", Encrypted), ("sslmode=prefer", Encrypted), ("sslmode=require", Encrypted), ("sslmode=disable", Plain)];

    server.show("right", "");
    for host in ["localhost", "127.0.0.1"] {
        server.are(host, &unverified).await;
        server.are(host, &[(OURS, Encrypted), (OTHERS, Refused), (SYSTEMS, Refused)]).await;
    }
    for options in [OTHERS, SYSTEMS] {
        server.refused(options, "invalid peer certificate").await;
    }

    server.show("stranger", "");
    server.are("localhost", &unverified).await;
    server.refused(OURS, "not valid for name \"localhost\"").await;

    // Its common name says nothing (RFC 9525).
    server.show("unnamed", "");
    server.are("localhost", &unverified).await;
    server.refused(OURS, "invalid peer certificate").await;

    server.show("self", "");
    server.are("localhost", &unverified).await;
    server.refused(OURS, "invalid peer certificate").await;
}

#[tokio::test]
async fn a_file_without_certificates_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("root.crt");
    let error = async || {
        let url = format!("postgres://u@127.0.0.1:1/d?sslmode=verify-full&sslrootcert={}", file.display());
        Store::open(&url.parse().unwrap()).await.err().unwrap().to_string()
    };
    for (text, words) in [
        (None, "No such file"),
        (Some(""), "there is no certificate in it"),
        (Some("-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n"), "invalid peer certificate"),
    ] {
        if let Some(text) = text {
            fs::write(&file, text).unwrap();
        }
        let error = error().await;
        let named = error.contains(&format!("{} cannot be used as sslrootcert: ", file.display()));
        assert!(named && error.contains(words), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_may_be_bound_to_the_connection() {
    let server = Server::start().await;
    server.show("self", "hostssl all einv 127.0.0.1/32 scram-sha-256");
    let met = server.store(&server.url("einv:hunter2", "localhost", "sslmode=require")).await;
    assert_eq!(met, Ok(Encrypted));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_may_insist_on_encryption() {
    let server = Server::start().await;
    server.show("right", "hostnossl all einv 127.0.0.1/32 reject\nhostssl all einv 127.0.0.1/32 trust");
    let store = async |options: &str| server.store(&server.url("einv", "127.0.0.1", options)).await;
    assert_eq!(store("").await, Ok(Encrypted));
    let error = store("sslmode=disable").await.unwrap_err();
    assert!(
        matches!(&error, StoreError { problem: Problem::Unopenable(words), .. } if words.contains("pg_hba.conf")),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_of_this_machine_is_never_encrypted_and_who_requires_that_is_told() {
    let server = Server::start().await;
    let folder = server.cluster.data();
    server.cluster.configure(&format!("unix_socket_directories = '{}'\n", folder.display()));
    server.show("right", "local all postgres trust");
    let host = folder.display().to_string().replace('/', "%2F");
    server.are(&host, &[("", Plain), ("sslmode=prefer", Plain), ("sslmode=disable", Plain)]).await;
    for options in ["sslmode=require", OURS] {
        let url = server.url("postgres", &host, options);
        let error = server.store(&url).await.unwrap_err();
        let words = "server does not support TLS (sslmode=prefer or disable does without)";
        assert!(
            matches!(&error, StoreError { problem: Problem::Unopenable(_), .. }) && error.to_string().contains(words),
            "{error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn prefer_goes_without_encryption_where_nobody_gets_in_with_it() {
    let server = Server::start().await;
    server.show("right", "hostssl all einv 127.0.0.1/32 reject\nhostnossl all einv 127.0.0.1/32 trust");
    let store = async |options: &str| server.store(&server.url("einv", "127.0.0.1", options)).await;
    assert_eq!((store("").await, store("sslmode=prefer").await), (Ok(Plain), Ok(Plain)));
    let error = store("sslmode=require").await.unwrap_err().to_string();
    assert!(error.contains("pg_hba.conf"), "{error}");
    server.show("right", "host all einv 127.0.0.1/32 reject");
    let error = store("").await.unwrap_err().to_string();
    assert!(error.contains("pg_hba.conf"), "{error}");

    // It knows only versions of TLS that are too old.
    server.cluster.configure("ssl_min_protocol_version = 'TLSv1'\nssl_max_protocol_version = 'TLSv1.1'\n");
    server.show("right", "");
    server.are("127.0.0.1", &[("", Plain), ("sslmode=require", Refused), (OURS, Refused)]).await;
}
