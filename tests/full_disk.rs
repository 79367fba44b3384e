//! Copies that find no room: they end, say why, and nobody takes what is left for a backup. Only
//! root can mount a disk that small; `scripts/test unit` sees to that.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod time_limit;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// How long a command may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A small disk that is mounted.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(&self.0).status());
    }
}

/// A store with 3,000 invites that have long notes, and a small disk beside it.
struct Scratch {
    place: TempDir,
}

impl Scratch {
    fn new() -> Self {
        let scratch = Scratch { place: tempfile::tempdir().unwrap() };
        fs::create_dir(scratch.small()).unwrap();
        scratch.use_store("easy-invite.db");
        let note = "n".repeat(200);
        let made = scratch.run(&["generate", "example.org", "--count", "3000", "--note", &note]);
        assert!(made.status.success(), "{made:?}");
        scratch
    }

    fn small(&self) -> PathBuf {
        self.place.path().join("small")
    }

    /// Mounts a disk of this size. It goes when the result is dropped.
    fn mount(&self, kilobytes: u32) -> Mounted {
        let size = format!("size={kilobytes}k");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(self.small()).output();
        let mount = mount.unwrap();
        assert!(mount.status.success(), "these tests need root, which may mount: {mount:?}");
        Mounted(self.small())
    }

    fn use_store(&self, file: &str) {
        let config = format!(
            "[component]\njid = \"invite.example.org\"\nserver = \"127.0.0.1:1\"\nsecret = \"hunter2\"\n\
             [hosts.\"example.org\"]\n[store]\nurl = \"sqlite:{file}\"\n"
        );
        fs::write(self.place.path().join("config.toml"), config).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_easy-invite"));
        let output = fs::File::create(self.place.path().join("output")).unwrap();
        command.current_dir(self.place.path()).args(arguments).stdout(output);
        time_limit::run(&mut command, PATIENCE)
    }

    /// How many invites a store has.
    fn count(&self, file: &str) -> usize {
        self.use_store(file);
        let listed = self.run(&["list", "--limit", "10000", "--json"]);
        assert!(listed.status.success(), "{listed:?}");
        self.use_store("easy-invite.db");
        fs::read_to_string(self.place.path().join("output")).unwrap().lines().count()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(self.small()).stderr(Stdio::null()).status());
    }
}

#[test]
fn a_backup_is_whole_or_it_is_not_there() {
    let scratch = Scratch::new();
    let (mut whole, mut refused) = (0, 0);
    for kilobytes in [100, 500, 1000, 1500, 2000, 2500, 3000, 3500, 4000, 5000, 9000] {
        let _small = scratch.mount(kilobytes);
        let made = scratch.run(&["backup", "small/b.db"]);
        let said = String::from_utf8_lossy(&made.stderr);
        let left: Vec<_> = fs::read_dir(scratch.small()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        if made.status.success() {
            whole += 1;
            assert_eq!(left, ["b.db"], "{kilobytes}: {said}");
            fs::copy(scratch.small().join("b.db"), scratch.place.path().join("copy.db")).unwrap();
            assert_eq!(scratch.count("copy.db"), 3000, "{kilobytes}");
        } else {
            refused += 1;
            assert_eq!(made.status.code(), Some(1), "{kilobytes}: {said}");
            let (what, why) = ("small/b.db could not be made: ", "no space is left on the disk");
            assert!(said.contains(what) && said.contains(why), "{kilobytes}: {said}");
            assert!(left.is_empty(), "{kilobytes}: {left:?}");
        }
    }
    assert!(whole > 0 && refused > 3, "{whole} {refused}");
}

#[test]
fn a_store_that_finds_no_room_is_told_at_once() {
    let scratch = Scratch::new();
    assert!(scratch.run(&["backup", "kept.db"]).status.success());
    for command in
        [&["restore", "kept.db"][..], &["migrate-store", "sqlite:easy-invite.db", "sqlite:small/easy-invite.db"]]
    {
        let _small = scratch.mount(1000);
        scratch.use_store(if command.len() == 2 { "small/easy-invite.db" } else { "easy-invite.db" });
        let done = scratch.run(command);
        let said = String::from_utf8_lossy(&done.stderr);
        let words = "the store small/easy-invite.db cannot grow: no space is left on the disk";
        assert!(done.status.code() == Some(1) && said.contains(words), "{command:?}: {said}");
    }
    assert_eq!(scratch.count("easy-invite.db"), 3000, "the source is as it was");
}

#[test]
fn an_import_that_finds_no_room_is_told_and_the_next_run_makes_it_good() {
    let scratch = Scratch::new();
    let invite = |number| {
        format!(
            "{{\"token\":\"ImportedToken{number:011}\",\"created_at\":\"2026-11-01T10:00:00Z\",\
             \"expires\":\"9000-01-01T00:00:00Z\",\"type\":\"account_subscription\",\"inviter\":\"alice@example.org\",\
             \"invitee\":\"user{number}@example.org\",\"account_name\":\"\"}}\n"
        )
    };
    fs::write(scratch.place.path().join("list"), (0..3000).map(invite).collect::<String>()).unwrap();
    let _small = scratch.mount(2000);
    let import = || {
        scratch.use_store("small/easy-invite.db");
        scratch.run(&["import", "ejabberd", "list", "--json"])
    };
    let full = import();
    let said = String::from_utf8_lossy(&full.stderr);
    let words = "the store small/easy-invite.db cannot grow: no space is left on the disk";
    assert!(full.status.code() == Some(1) && said.contains(words), "{said}");
    let grown = Command::new("mount").args(["-o", "remount,size=50m"]).arg(scratch.small()).status();
    assert!(grown.unwrap().success());
    let done = import();
    assert!(done.status.success(), "{done:?}");
    let printed = fs::read_to_string(scratch.place.path().join("output")).unwrap();
    let figures: serde_json::Value = serde_json::from_str(&printed).unwrap();
    let (imported, already) = (figures["imported"].as_u64().unwrap(), figures["already"].as_u64().unwrap());
    assert!(imported > 0 && already > 0 && imported + already == 3000, "{printed}");
    let listed = scratch.run(&["list", "--state", "all", "--limit", "10000", "--json"]);
    assert!(listed.status.success(), "{listed:?}");
    let listed = fs::read_to_string(scratch.place.path().join("output")).unwrap();
    assert_eq!(listed.lines().count(), 3000);
}
