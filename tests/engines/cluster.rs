//! A PostgreSQL server of a test's own, which it may stop, start again and configure.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::query;

/// Runs as long as this lives.
pub struct Cluster {
    folder: tempfile::TempDir,
    programs: PathBuf,
    pub port: u16,
}

impl Cluster {
    /// A server that asks everybody but `postgres` for a password, encrypted or not.
    pub fn start() -> Self {
        let cluster = Cluster::empty();
        cluster.run("initdb", &["--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8", "--no-locale"]);
        cluster.configure(&format!(
            "port = {}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\nshared_buffers = '16MB'\n",
            cluster.port
        ));
        let access = "host all,replication postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
        fs::write(cluster.data().join("pg_hba.conf"), access).unwrap();
        cluster.go();
        cluster
    }

    /// A hot standby of this one, which streams what this one commits. Its name is `standby`.
    pub fn standby(&self) -> Self {
        let standby = Cluster::empty();
        let from = format!("host=127.0.0.1 port={} user=postgres application_name=standby", self.port);
        standby.run("pg_basebackup", &["--dbname", &from, "--write-recovery-conf", "--checkpoint=fast", "--no-sync"]);
        standby.configure(&format!("port = {}\n", standby.port));
        standby.go();
        standby
    }

    fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // The server refuses to run as root, and belongs to the user that its package makes.
        if let Some(owner) = owner() {
            chown(folder.path(), Some(owner), None).unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Cluster { folder, programs: programs(), port }
    }

    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}", self.port)
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Adds lines to its configuration, which hold from the next start.
    pub fn configure(&self, lines: &str) {
        let file = fs::OpenOptions::new().append(true).open(self.data().join("postgresql.conf"));
        file.unwrap().write_all(lines.as_bytes()).unwrap();
    }

    /// Puts a file into its folder that belongs to the server's user and to nobody else.
    pub fn place(&self, name: &str, file: &Path) {
        use std::os::unix::fs::PermissionsExt;
        let target = self.data().join(name);
        fs::copy(file, &target).unwrap();
        fs::set_permissions(&target, fs::Permissions::from_mode(0o600)).unwrap();
        chown(&target, owner(), None).unwrap();
    }

    pub fn restart(&self) {
        self.run("pg_ctl", &["--wait", "--mode=immediate", "restart"]);
    }

    pub fn go(&self) {
        self.run("pg_ctl", &["--wait", "start"]);
    }

    pub fn stop(&self) {
        self.run("pg_ctl", &["--wait", "--mode=immediate", "stop"]);
    }

    /// Makes a standby a primary.
    pub fn promote(&self) {
        self.run("pg_ctl", &["--wait", "promote"]);
    }

    /// Changes settings of the running server.
    pub async fn set(&self, settings: &[&str]) {
        for setting in settings {
            // Also where the server takes no writes any more.
            let writable = "postgres?options=-c%20default_transaction_read_only%3Doff";
            query(&format!("{}/{writable}", self.url()), &format!("ALTER SYSTEM {setting}")).await;
        }
        query(&format!("{}/postgres", self.url()), "SELECT pg_reload_conf()").await;
    }

    /// The ids of the server's processes.
    pub fn processes(&self) -> Vec<String> {
        let first = fs::read_to_string(self.data().join("postmaster.pid")).unwrap().lines().next().unwrap().to_owned();
        let children = fs::read_to_string(format!("/proc/{first}/task/{first}/children")).unwrap();
        children.split_whitespace().map(str::to_owned).chain([first.clone()]).collect()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// A dump of a database, put into the same one of another cluster.
    pub fn dump_into(&self, other: &Cluster) {
        let [from, to] = [self, other].map(|cluster| format!("{}/postgres", cluster.url()));
        let dump = Command::new(self.programs.join("pg_dump")).arg(from).output().unwrap();
        let file = self.folder.path().join("dump");
        fs::write(&file, dump.stdout).unwrap();
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["--no-psqlrc", "--quiet", "--output=/dev/null", "--set=ON_ERROR_STOP=1", &to])
            .arg("--file")
            .arg(file);
        assert!(dump.status.success() && psql.status().unwrap().success());
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = Command::new(self.programs.join(program));
        command.arg("--pgdata").arg(self.data()).args(arguments).current_dir(self.folder.path());
        if let Some(owner) = owner() {
            command.uid(owner);
        }
        let log = || fs::OpenOptions::new().append(true).create(true).open(self.folder.path().join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log()).stderr(log());
        let ended = command.status().unwrap();
        assert!(ended.success(), "{program}: {}", self.log());
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !self.data().join("postmaster.pid").exists() {
            return;
        }
        if !std::thread::panicking() {
            return self.stop();
        }
        let mut command = Command::new(self.programs.join("pg_ctl"));
        command.arg("--pgdata").arg(self.data()).args(["--mode=immediate", "stop"]);
        if let Some(owner) = owner() {
            command.uid(owner);
        }
        drop(command.status());
    }
}

/// The user that the server runs as, where the tests run as root.
pub fn owner() -> Option<u32> {
    let id = |arguments: &[&str]| {
        let output = Command::new("id").args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse().ok()
    };
    (id(&["-u"])? == 0).then(|| id(&["-u", "postgres"]).expect("there is no user postgres; install PostgreSQL"))
}

/// Where Debian keeps the server's programs: those of the newest version.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is not installed: apt install postgresql");
    let newest = versions
        .map(|entry| entry.unwrap().path())
        .max_by_key(|folder| folder.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()));
    newest.unwrap().join("bin")
}
