//! A store on a network file system: here one that sshfs serves. It is refused before anything is
//! made there, but backups may lie there, and a store that was begun there can be moved away. Only
//! root can mount; `scripts/test unit` sees to that.
#![allow(clippy::unwrap_used, clippy::panic)]

mod time_limit;

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a command may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The other machine's end of sshfs, without SSH.
const SERVER: &str = "/usr/lib/openssh/sftp-server";

/// A folder with a folder `far` in it, which is mounted by sshfs.
struct Scratch {
    place: TempDir,
    programs: [Child; 2],
}

impl Scratch {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let [real, far] = ["real", "far"].map(|name| place.path().join(name));
        fs::create_dir(&real).unwrap();
        fs::create_dir(&far).unwrap();
        let (near_end, far_end) = UnixStream::pair().unwrap();
        let run = |command: &mut Command, end: UnixStream| {
            let end = OwnedFd::from(end);
            command.stdin(end.try_clone().unwrap()).stdout(end).spawn().unwrap()
        };
        let server = run(&mut Command::new(SERVER), far_end);
        let source = format!(":{}", real.display());
        let client = run(Command::new("sshfs").args(["-f", "-o", "passive", &source]).arg(&far), near_end);
        let since = Instant::now();
        while !fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&format!(" {} ", far.display())) {
            assert!(since.elapsed() < PATIENCE, "these tests need root, which may mount");
            std::thread::sleep(Duration::from_millis(20));
        }
        Scratch { place, programs: [client, server] }
    }

    /// Runs a command with the store in this file.
    fn run(&self, store: &str, arguments: &[&str]) -> Output {
        let config = format!(
            "[component]\njid = \"invite.example.org\"\nserver = \"127.0.0.1:1\"\nsecret = \"hunter2\"\n\
             [hosts.\"example.org\"]\n[store]\nurl = \"sqlite:{store}\"\n"
        );
        fs::write(self.place.path().join("config.toml"), config).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_easy-invite"));
        command.current_dir(self.place.path()).args(arguments).stdout(Stdio::piped());
        time_limit::run(&mut command, PATIENCE)
    }

    #[track_caller]
    fn does(&self, store: &str, arguments: &[&str]) -> String {
        let output = self.run(store, arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn refuses(&self, store: &str, arguments: &[&str]) {
        let output = self.run(store, arguments);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        for words in ["is on a network file system (fuse.sshfs)", "a file on a local disk", "migrate-store"] {
            assert!(said.contains(words), "{arguments:?}: {said}");
        }
    }

    fn names(&self) -> Vec<PathBuf> {
        fs::read_dir(self.place.path().join("real")).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(self.place.path().join("far")).status());
        for program in &mut self.programs {
            drop(program.wait());
        }
    }
}

#[test]
fn no_store_is_kept_on_it_but_backups_are_and_what_is_there_can_be_moved_away() {
    let scratch = Scratch::new();
    scratch.does("easy-invite.db", &["generate", "example.org"]);
    scratch.does("easy-invite.db", &["backup", "far/kept.db"]);
    let backup = scratch.names();
    for arguments in [
        &["run"][..],
        &["generate", "example.org"],
        &["check"],
        &["restore", "easy-invite.db"],
        &["migrate-store", "sqlite:easy-invite.db", "sqlite:far/store.db"],
    ] {
        scratch.refuses("far/store.db", arguments);
    }
    assert_eq!(scratch.names(), backup, "nothing is left there");

    scratch.does("restored.db", &["restore", "far/kept.db"]);
    fs::copy(scratch.place.path().join("easy-invite.db"), scratch.place.path().join("real/store.db")).unwrap();
    for arguments in [&["list"][..], &["check"], &["backup", "other.db"]] {
        scratch.refuses("far/store.db", arguments);
    }
    scratch.does("far/store.db", &["migrate-store", "sqlite:far/store.db", "sqlite:moved.db"]);
    for store in ["restored.db", "moved.db"] {
        assert!(scratch.does(store, &["list"]).contains("account"), "{store}");
    }
}
