//! What the command line says to a user who is neither root nor the daemon's: as whom to run it.
//! Only root can become other users; `scripts/test unit` sees to that.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod time_limit;

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;

const DAEMON: u32 = 4321;
const SOMEBODY: u32 = 4322;

const AS_WHOM: &str = "run it as root or as the daemon's user (easy-invite)";

/// How long a command may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A place that everybody may look into, with a configuration, a store of the daemon's in the
/// folder `daemon`, and a folder of somebody else's.
struct Scratch {
    place: TempDir,
}

impl Scratch {
    fn new() -> Self {
        let scratch = Scratch { place: tempfile::tempdir().unwrap() };
        mode(scratch.place.path(), 0o755);
        // The tests may be built in a folder that others cannot reach. A process of its own copies
        // the program: what another test starts meanwhile would inherit the open file, and nothing
        // runs a file that is open for writing.
        let program = env!("CARGO_BIN_EXE_easy-invite");
        assert!(Command::new("cp").arg(program).arg(scratch.at("easy-invite")).status().unwrap().success());
        for (folder, owner) in [("daemon", DAEMON), ("somebody", SOMEBODY)] {
            fs::create_dir(scratch.at(folder)).unwrap();
            chown(scratch.at(folder), Some(owner), Some(owner)).expect("these tests need root");
        }
        scratch.configure("sqlite:daemon/easy-invite.db", "secret = \"hunter2\"", "");
        assert!(scratch.run(0, &["generate", "example.org"]).status.success());
        scratch
    }

    fn at(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn configure(&self, store: &str, secret: &str, more: &str) {
        let config = format!(
            "[component]\njid = \"invite.example.org\"\nserver = \"127.0.0.1:1\"\n{secret}\n\
             [hosts.\"example.org\"]\n[store]\nurl = \"{store}\"\n{more}"
        );
        fs::write(self.at("config.toml"), config).unwrap();
    }

    fn run(&self, user: u32, arguments: &[&str]) -> Output {
        let mut command = Command::new(self.at("easy-invite"));
        command.current_dir(self.place.path()).args(arguments).stdout(Stdio::piped()).uid(user).gid(user);
        time_limit::run(&mut command, PATIENCE)
    }

    /// The command fails and says as whom to run it.
    #[track_caller]
    fn advises(&self, arguments: &[&str]) {
        let output = self.run(SOMEBODY, arguments);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        // The daemon cannot run where it may not read its configuration.
        let codes = if arguments == ["run"] { &[1, 78][..] } else { &[1] };
        let code = output.status.code().unwrap();
        assert!(codes.contains(&code) && said.contains(AS_WHOM), "{arguments:?}: {code}: {said}");
        assert!(!said.contains("writable for this user"), "{arguments:?}: {said}");
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Every command that opens the store.
const COMMANDS: [&[&str]; 12] = [
    &["run"],
    &["check"],
    &["generate", "example.org"],
    &["list"],
    &["show", "abcdefgh2345"],
    &["revoke", "abcdefgh2345"],
    &["forget", "alice@example.org", "--yes"],
    &["release", "--server", "s1", "--yes"],
    &["backup", "somebody/kept.db"],
    &["migrate-store", "sqlite:daemon/easy-invite.db", "sqlite:somebody/moved.db"],
    &["restore", "somebody/kept.db"],
    &["import", "prosody", "--data", "somebody"],
];

#[test]
fn who_may_not_open_the_store_is_told_as_whom_to() {
    let scratch = Scratch::new();
    assert!(scratch.run(0, &["backup", "somebody/kept.db"]).status.success());
    let (folder, file) = (scratch.at("daemon"), scratch.at("daemon/easy-invite.db"));
    for (folder_mode, file_mode, what) in [
        (0o700, 0o600, "the folder is closed"),
        (0o755, 0o600, "the file is closed"),
        (0o755, 0o644, "the file may only be read"),
        (0o755, 0o666, "SQLite can make no file beside it"),
    ] {
        mode(&folder, folder_mode);
        mode(&file, file_mode);
        for command in COMMANDS {
            drop(fs::remove_file(scratch.at("somebody/moved.db")));
            println!("{what}: {command:?}");
            match command {
                ["backup", _] => scratch.advises(&["backup", "somebody/other.db"]),
                command => scratch.advises(command),
            }
        }
    }
    mode(&folder, 0o700);
    mode(&file, 0o600);
    for command in [&["list"][..], &["generate", "example.org"]] {
        let output = scratch.run(DAEMON, command);
        assert!(output.status.success(), "the daemon's user may: {output:?}");
    }
}

#[test]
fn who_may_not_read_the_configuration_is_told_as_whom_to() {
    let scratch = Scratch::new();
    mode(&scratch.at("config.toml"), 0o600);
    for command in COMMANDS {
        if command[0] != "migrate-store" {
            scratch.advises(command); // which needs none
        }
    }
    // In a container the daemon's user is another one than the file's.
    let daemon = scratch.run(DAEMON, &["run"]);
    let said = String::from_utf8(daemon.stderr).unwrap();
    let advice = format!("let the user with the id {DAEMON} read it: chgrp {DAEMON} FILE && chmod g+r FILE");
    assert!(said.ends_with(&format!("{AS_WHOM}, or {advice}\n")), "{said}");
}

#[test]
fn who_may_not_use_a_file_that_the_configuration_names_is_told_as_whom_to() {
    let scratch = Scratch::new();
    for closed in ["secret", "ca.pem", "logo.svg"] {
        fs::write(scratch.at(closed), "hunter2").unwrap();
        mode(&scratch.at(closed), 0o600);
    }
    let store = "sqlite:somebody/easy-invite.db";
    scratch.configure(store, "secret_file = \"secret\"", "");
    scratch.advises(&["run"]);
    scratch.configure("postgres://u@127.0.0.1:1/d?sslmode=verify-full&sslrootcert=ca.pem", "secret = \"x\"", "");
    scratch.advises(&["list"]);
    let web = "[web]\npublic_url = \"https://example.org\"\nlogo = \"logo.svg\"\n";
    scratch.configure(store, "secret = \"x\"", web);
    scratch.advises(&["run"]);
    // The socket of a daemon that may run.
    mode(&scratch.at("daemon"), 0o700);
    scratch.configure(store, "secret = \"x\"", "[control]\nsocket = \"daemon/easy-invite.sock\"\n");
    scratch.advises(&["check"]);
    scratch.advises(&["run"]);
}

#[test]
fn who_may_not_write_where_a_file_is_to_go_is_told_as_whom_to() {
    let scratch = Scratch::new();
    let store = "sqlite:somebody/easy-invite.db";
    scratch.configure(store, "secret = \"x\"", "");
    assert!(scratch.run(SOMEBODY, &["generate", "example.org"]).status.success());
    scratch.advises(&["backup", "daemon/kept.db"]);
    scratch.advises(&["migrate-store", store, "sqlite:daemon/moved.db"]);
    scratch.advises(&["prosody-module", "--install", "daemon"]);
    scratch.advises(&["init", "--host", "example.org", "--output", "daemon/config.toml"]);
}

#[test]
fn who_may_not_read_what_is_to_be_imported_is_told_as_whom_to() {
    let scratch = Scratch::new();
    scratch.configure("sqlite:somebody/easy-invite.db", "secret = \"x\"", "");
    let (host, file) = ("prosody/example%2eorg", "prosody/example%2eorg/invite_token.dat");
    fs::create_dir_all(scratch.at(host)).unwrap();
    fs::write(scratch.at(file), "return {};\n").unwrap();
    let import = ["import", "prosody", "--data", "prosody"];
    for closed in ["prosody", host, file] {
        mode(&scratch.at(closed), 0o700);
        let output = scratch.run(SOMEBODY, &import);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        let words = "run it as root or as Prosody's user (prosody)";
        assert!(output.status.code() == Some(1) && said.contains(closed) && said.contains(words), "{closed}: {said}");
        mode(&scratch.at(closed), 0o755);
    }
    let output = scratch.run(SOMEBODY, &import);
    assert!(output.status.success(), "{output:?}");
}
