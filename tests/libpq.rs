//! `store.url` means what it means to psql: TLS, whose certificate is taken, and hosts that do not answer.

mod engines;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use easy_invite::store::{Store, StoreError};
use engines::cluster::{Cluster, programs};
use engines::{Database, query};
use tempfile::TempDir;
use tokio::net::TcpListener;

/// How a connection came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Met {
    Encrypted,
    Plain,
    Refused,
}
use Met::{Encrypted, Plain, Refused};

/// What is asked of a server with a certificate: the options of the URL, and what comes of it.
type Case<'a> = (&'a str, Met);

/// Certificates of two authorities, made with openssl.
struct Certificates(TempDir);

impl Certificates {
    fn make() -> Self {
        let made = Certificates(tempfile::tempdir().unwrap());
        for authority in ["ca", "other-ca"] {
            made.request(&format!("{authority}.crt"), "authority", &["-x509"]);
        }
        // What PostgreSQL's documentation makes first: its own authority, with nothing but a common name.
        made.request("self.crt", "localhost", &["-x509"]);
        made.sign("right", "localhost", "subjectAltName = DNS:localhost, IP:127.0.0.1");
        made.sign("stranger", "localhost", "subjectAltName = DNS:db.example.org");
        made.sign("common", "localhost", "keyUsage = digitalSignature");
        // … and then: no extension at all, which makes it one of version 1.
        made.sign("first", "localhost", "");
        made.sign("client", "einv", "keyUsage = digitalSignature");
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
        let authority = ["-CA", "ca.crt", "-CAkey", "ca.key"];
        let [request, certificate] = ["csr", "crt"].map(|end| format!("{file}.{end}"));
        let help = Command::new("openssl").args(["req", "-help"]).output().unwrap();
        if extensions.is_empty() && String::from_utf8_lossy(&help.stderr).contains("-x509v1") {
            return self.request(&certificate, name, &[&["-x509v1"], &authority[..]].concat()); // a newer openssl's way
        }
        self.request(&request, name, &[]);
        fs::write(self.path("extensions"), extensions).unwrap();
        let extensions = if extensions.is_empty() { &[][..] } else { &["-extfile", "extensions"] };
        let of = ["x509", "-req", "-in", &request, "-out", &certificate, "-CAcreateserial"];
        self.openssl(&[&of[..], &authority, extensions].concat());
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
        cluster
            .configure("fsync = off\nssl = on\nssl_cert_file = 'server.crt'\nssl_key_file = 'server.key'\nssl_ca_file = 'ca.crt'\n");
        cluster.place("ca.crt", &certificates.path("ca.crt"));
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
        let _store = Store::open_existing(&url.parse().unwrap()).await?;
        let sql =
            "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'easy-invite'";
        let plain = self.url("postgres", "127.0.0.1", "sslmode=disable");
        Ok(if query(&plain, sql).await == [["t"]] { Encrypted } else { Plain })
    }

    /// What comes of the same URL with psql.
    fn psql(&self, url: &str) -> Met {
        let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        let mut psql = Command::new(programs().join("psql"));
        psql.args([url, "-XAtc", sql]).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", self.certificates.0.path());
        match String::from_utf8(psql.output().unwrap().stdout).unwrap().trim() {
            "t" => Encrypted,
            "f" => Plain,
            _ => Refused,
        }
    }

    async fn are(&self, host: &str, cases: &[Case<'_>]) {
        for (options, expected) in cases {
            let url = self.url("postgres", host, options);
            let met = self.store(&url).await;
            assert_eq!(met.as_ref().copied().unwrap_or(Refused), *expected, "{url}: {met:?}");
            assert_eq!(self.psql(&url), *expected, "psql has it otherwise: {url}");
        }
    }

    async fn refused(&self, url: &str, words: &str) {
        let error = self.store(url).await.unwrap_err();
        assert!(matches!(error, StoreError::Unopenable(..)) && error.to_string().contains(words), "{url}: {error}");
    }
}

const OURS: &str = "sslrootcert=DIR/ca.crt";
const OTHERS: &str = "sslrootcert=DIR/other-ca.crt";

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_taken_as_psql_takes_them() {
    let server = Server::start().await;
    let with = |mode: &str, root: &str| format!("sslmode={mode}&{root}");
    let [ca, full, strange_ca, strange_full, strange_require] = [
        with("verify-ca", OURS),
        with("verify-full", OURS),
        with("verify-ca", OTHERS),
        with("verify-full", OTHERS),
        with("require", OTHERS),
    ];
    let unverified =
        [("", Encrypted), ("sslmode=allow", Plain), ("sslmode=require", Encrypted), ("sslmode=disable", Plain)];

    server.show("right", "");
    for host in ["localhost", "127.0.0.1"] {
        server.are(host, &unverified).await;
        server.are(host, &[(&ca, Encrypted), (&full, Encrypted)]).await;
        server.are(host, &[(&strange_ca, Refused), (&strange_full, Refused), (&strange_require, Refused)]).await;
    }
    server.are("localhost", &[("sslmode=verify-full", Refused)]).await;
    server.refused(&server.url("postgres", "localhost", &strange_full), "invalid peer certificate").await;
    // None of the system's authorities has signed it, and nothing less than all is asked of them.
    server.refused(&server.url("postgres", "localhost", "sslrootcert=system"), "invalid peer certificate").await;

    server.show("stranger", "");
    server.are("localhost", &unverified).await;
    server.are("localhost", &[(&ca, Encrypted), (&full, Refused)]).await;
    server.refused(&server.url("postgres", "localhost", &full), "not valid for name \"localhost\"").await;

    server.show("common", "");
    server.are("localhost", &[(&ca, Encrypted), (&full, Encrypted)]).await;
    server.are("127.0.0.1", &[(&ca, Encrypted), (&full, Refused)]).await;

    server.show("self", "");
    let [own_ca, own_full] = ["verify-ca", "verify-full"].map(|mode| with(mode, "sslrootcert=DIR/self.crt"));
    server.are("localhost", &unverified).await;
    server.are("localhost", &[(&own_ca, Encrypted), (&own_full, Encrypted), (&ca, Refused), (&full, Refused)]).await;
    server.are("127.0.0.1", &[(&own_ca, Encrypted), (&own_full, Refused)]).await;

    // Here psql takes more than we do, and we say so.
    server.show("first", "host all einv 127.0.0.1/32 scram-sha-256");
    server.are("localhost", &unverified).await;
    server.refused(&server.url("postgres", "localhost", &ca), "X.509 version 1").await;
    let bound = server.url("einv:hunter2", "localhost", "sslmode=require&channel_binding=require");
    assert_eq!((server.store(&bound).await, server.psql(&bound)), (Ok(Encrypted), Encrypted));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_may_want_or_refuse_encryption_and_ask_for_a_certificate() {
    let server = Server::start().await;
    server.show("right", "hostssl all all all reject");
    let as_they_are = [("", Plain), ("sslmode=allow", Plain), ("sslmode=require", Refused)];
    server.are("127.0.0.1", &as_they_are).await;
    server.show("right", "hostnossl all postgres 127.0.0.1/32 trust\nhostssl all einv 127.0.0.1/32 cert");
    let url = |options: &str| server.url("einv", "127.0.0.1", &format!("{OURS}&{options}"));
    let ours = "sslcert=DIR/client.crt&sslkey=DIR/client.key";
    for (options, expected) in
        [(format!("sslmode=verify-full&{ours}"), Encrypted), (format!("sslmode=allow&{ours}"), Encrypted)]
    {
        let url = url(&options);
        assert_eq!((server.store(&url).await, server.psql(&url)), (Ok(expected), expected), "{url}");
    }
    let [none, anothers] = ["sslmode=require", "sslmode=require&sslcert=DIR/right.crt&sslkey=DIR/right.key"].map(url);
    for url in [none, anothers] {
        assert!(server.store(&url).await.is_err());
        assert_eq!(server.psql(&url), Refused, "{url}");
    }
    server.refused(&url("sslcert=DIR/client.crt&sslkey=DIR/right.key"), "do not belong together").await;
    server.refused(&url("sslcert=DIR/client.crt"), "add &sslkey=FILE").await;
    expose(&server.certificates.path("client.key"));
    server.refused(&url(ours), "client.key cannot be used as key: others may read it: chmod 600").await;
}

fn expose(file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_does_not_answer_keeps_nobody_from_the_next() {
    let cluster = Cluster::start();
    let database = Database::new(&cluster.url()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = listener.local_addr().unwrap();
    let begin = Instant::now();
    let url = format!("postgres://postgres@{silent},127.0.0.1:1,127.0.0.1:{}/{}", cluster.port, database.name);
    Store::open(&url.parse().unwrap()).await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
}
