//! What the command line does as root in a folder that belongs to the daemon's user, who may have
//! put anything there. Only root can run these tests; `scripts/test unit` sees to that.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod time_limit;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The daemon's user.
const DAEMON: u32 = 4321;

/// A database of Prosody.
const SQLITE: &str = "sqlite:prosody/prosody.sqlite";

/// How long a command may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A place of root's with a secret file, and a folder of the daemon's in it.
struct Scratch {
    place: TempDir,
}

impl Scratch {
    fn new() -> Self {
        let scratch = Scratch { place: tempfile::tempdir().unwrap() };
        fs::create_dir(scratch.folder()).unwrap();
        chown(scratch.folder(), Some(DAEMON), Some(DAEMON)).expect("these tests need root");
        // As wide as /etc is: what is to protect the secret is its own mode.
        fs::set_permissions(scratch.place.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(scratch.secret(), "the secret of root").unwrap();
        fs::set_permissions(scratch.secret(), fs::Permissions::from_mode(0o600)).unwrap();
        let config = "[component]\njid = \"invite.example.org\"\nserver = \"127.0.0.1:1\"\nsecret = \"hunter2\"\n\
            [hosts.\"example.org\"]\n[store]\nurl = \"sqlite:daemon/easy-invite.db\"\n";
        fs::write(scratch.place.path().join("config.toml"), config).unwrap();
        scratch
    }

    fn folder(&self) -> PathBuf {
        self.place.path().join("daemon")
    }

    fn secret(&self) -> PathBuf {
        self.place.path().join("secret")
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_easy-invite"));
        command.current_dir(self.place.path()).args(arguments).stdout(Stdio::piped());
        time_limit::run(&mut command, PATIENCE)
    }

    #[track_caller]
    fn does(&self, arguments: &[&str]) {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }

    #[track_caller]
    fn fails(&self, arguments: &[&str], words: &str) {
        let output = self.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && said.contains(words), "{arguments:?}: {output:?}");
    }

    #[track_caller]
    fn is_roots_still(&self) {
        let metadata = self.secret().metadata().unwrap();
        assert_eq!((metadata.uid(), metadata.mode() & 0o777), (0, 0o600));
        assert_eq!(fs::read_to_string(self.secret()).unwrap(), "the secret of root");
    }

    /// A link in the daemon's folder, which the daemon's user made.
    fn link(&self, to: &Path, name: &str) {
        symlink(to, self.folder().join(name)).unwrap();
        lchown(self.folder().join(name), Some(DAEMON), Some(DAEMON)).unwrap();
    }

    /// A folder of root's, where the daemon's user must not make root do anything.
    fn folder_of_root(&self) -> PathBuf {
        let folder = self.place.path().join("root");
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// What is in the daemon's folder, and whose it is.
    fn owners(&self) -> Vec<(String, u32)> {
        let entries = fs::read_dir(self.folder()).unwrap().map(Result::unwrap);
        let owner = |entry: &fs::DirEntry| entry.path().symlink_metadata().unwrap().uid();
        let mut owners: Vec<_> =
            entries.map(|entry| (entry.file_name().into_string().unwrap(), owner(&entry))).collect();
        owners.sort_unstable();
        owners
    }
}

fn mkfifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn a_store_and_a_backup_belong_to_the_owner_of_their_folder() {
    let scratch = Scratch::new();
    scratch.does(&["generate", "example.org"]);
    scratch.does(&["backup", "daemon/kept.db"]);
    let daemons = ["easy-invite.db", "kept.db"].map(|name| (name.to_owned(), DAEMON));
    assert_eq!(scratch.owners(), daemons);
    scratch.does(&["backup", "kept.db"]);
    assert_eq!(scratch.place.path().join("kept.db").metadata().unwrap().uid(), 0, "this folder is root's");
    fs::remove_file(scratch.folder().join("easy-invite.db")).unwrap();
    scratch.does(&["restore", "daemon/kept.db"]);
    scratch.does(&["migrate-store", "sqlite:daemon/easy-invite.db", "sqlite:daemon/moved.db"]);
    let daemons = ["easy-invite.db", "kept.db", "moved.db"].map(|name| (name.to_owned(), DAEMON));
    assert_eq!(scratch.owners(), daemons);
}

#[test]
fn what_lies_where_the_stores_files_belong_is_neither_opened_nor_given_away() {
    let scratch = Scratch::new();
    scratch.does(&["generate", "example.org"]);
    for ending in ["", "-wal", "-shm", "-journal"] {
        let path = scratch.folder().join(format!("easy-invite.db{ending}"));
        let kept = path.with_extension("kept");
        if path.exists() {
            fs::rename(&path, &kept).unwrap();
        }
        let place = |kind: &str| match kind {
            "link" => symlink(scratch.secret(), &path).unwrap(),
            "dangling link" => symlink(scratch.place.path().join("made"), &path).unwrap(),
            "hard link" => fs::hard_link(scratch.secret(), &path).unwrap(),
            "pipe" => mkfifo(&path),
            "stranger's" => {
                fs::write(&path, "").unwrap();
                chown(&path, Some(1234), Some(1234)).unwrap();
            }
            _ => fs::write(&path, "").unwrap(), // root's
        };
        for (kind, words) in [
            ("link", "is a symbolic link"),
            ("dangling link", "is a symbolic link"),
            ("hard link", "has a second name"),
            ("pipe", "is no regular file"),
            ("stranger's", "belongs to the user with the id 1234, and its folder to the one with the id 4321"),
            ("root's", "belongs to the user with the id 0, and its folder to the one with the id 4321"),
        ] {
            place(kind);
            let was = path.symlink_metadata().unwrap().uid();
            for command in [&["list"][..], &["generate", "example.org"], &["restore", "daemon/easy-invite.db"]] {
                scratch.fails(command, words);
            }
            assert_eq!(path.symlink_metadata().unwrap().uid(), was, "{kind}");
            scratch.is_roots_still();
            assert!(!scratch.place.path().join("made").exists());
            fs::remove_file(&path).unwrap();
        }
        if kept.exists() {
            fs::rename(&kept, &path).unwrap();
        }
    }
    scratch.does(&["list"]);
}

#[test]
fn a_link_that_appears_while_root_works_there_gives_nothing_away() {
    let scratch = Scratch::new();
    scratch.does(&["generate", "example.org"]);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for ending in ["-wal", "-shm", "-journal"] {
            let path = scratch.folder().join(format!("easy-invite.db{ending}"));
            let (secret, over) = (scratch.secret(), &over);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    drop(fs::hard_link(&secret, &path));
                    drop(fs::remove_file(&path));
                    drop(symlink(&secret, &path));
                    drop(fs::remove_file(&path));
                }
            });
        }
        let begun = Instant::now();
        // Whether it can work so does not matter.
        while begun.elapsed() < Duration::from_secs(4) {
            drop(scratch.run(&["list"]));
        }
        over.store(true, Ordering::Relaxed);
    });
    scratch.is_roots_still();
}

#[test]
fn a_backup_goes_through_no_link() {
    let scratch = Scratch::new();
    scratch.does(&["generate", "example.org"]);
    for (name, to) in [("link", scratch.secret()), ("dangling", scratch.place.path().join("made"))] {
        symlink(to, scratch.folder().join(name)).unwrap();
        scratch.fails(&["backup", &format!("daemon/{name}")], "exists already and is left as it is");
    }
    scratch.is_roots_still();
    assert!(!scratch.place.path().join("made").exists());
}

#[test]
fn a_first_configuration_goes_through_no_link_and_belongs_to_the_owner_of_its_folder() {
    let scratch = Scratch::new();
    scratch.link(&scratch.secret(), "link.toml");
    scratch.link(&scratch.place.path().join("made"), "dangling.toml");
    fs::hard_link(scratch.secret(), scratch.folder().join("hard.toml")).unwrap();
    mkfifo(&scratch.folder().join("pipe.toml"));
    for name in ["link", "dangling", "hard", "pipe"] {
        let words = "exists already and is left as it is";
        scratch.fails(&["init", "--output", &format!("daemon/{name}.toml")], words);
    }
    scratch.link(&scratch.folder_of_root(), "elsewhere");
    scratch.fails(&["init", "--output", "daemon/elsewhere/config.toml"], "is a symbolic link, or reached by one");
    assert_eq!(fs::read_dir(scratch.folder_of_root()).unwrap().count(), 0);
    scratch.is_roots_still();
    assert!(!scratch.place.path().join("made").exists());
    scratch.does(&["init", "--output", "daemon/config.toml"]);
    let written = scratch.folder().join("config.toml").metadata().unwrap();
    assert_eq!((written.uid(), written.mode() & 0o777), (DAEMON, 0o600));
}

#[test]
fn the_file_for_prosody_goes_through_no_link_and_only_prosodys_group_reads_it() {
    let scratch = Scratch::new();
    const PROSODY: u32 = 4322;
    let config = scratch.place.path().join("prosody.cfg.lua");
    fs::write(&config, "VirtualHost \"localhost\"").unwrap();
    chown(&config, None, Some(PROSODY)).unwrap();
    let init =
        |name: &'static str| ["init", "--output", "new.toml", "--prosody", "prosody.cfg.lua", "--output-prosody", name];
    scratch.link(&scratch.secret(), "link");
    scratch.link(&scratch.place.path().join("made"), "dangling");
    fs::hard_link(scratch.secret(), scratch.folder().join("hard")).unwrap();
    for name in ["daemon/link", "daemon/dangling", "daemon/hard"] {
        scratch.fails(&init(name), "exists already and is left as it is");
    }
    scratch.link(&scratch.folder_of_root(), "elsewhere");
    scratch.fails(&init("daemon/elsewhere/x"), "is a symbolic link, or reached by one");
    assert_eq!(fs::read_dir(scratch.folder_of_root()).unwrap().count(), 0);
    scratch.is_roots_still();
    assert!(!["made", "new.toml"].iter().any(|name| scratch.place.path().join(name).exists()));
    for (name, owner) in [("daemon/written", DAEMON), ("written", 0)] {
        scratch.does(&init(name));
        let written = scratch.place.path().join(name).metadata().unwrap();
        assert_eq!((written.uid(), written.gid(), written.mode() & 0o777), (owner, PROSODY, 0o640), "{name}");
    }
    // A group that may not read Prosody's own configuration does not read this file either.
    fs::set_permissions(&config, fs::Permissions::from_mode(0o604)).unwrap();
    scratch.does(&init("closed"));
    assert_ne!(scratch.place.path().join("closed").metadata().unwrap().gid(), PROSODY);
}

#[test]
fn where_there_is_no_group_prosody_it_is_said_who_must_read_the_file_for_prosody() {
    let scratch = Scratch::new();
    fs::set_permissions(scratch.folder(), fs::Permissions::from_mode(0o700)).unwrap();
    let groups = fs::read_to_string("/etc/group").unwrap();
    let others = groups.lines().filter(|line| !line.starts_with("prosody:"));
    fs::write(scratch.place.path().join("groups"), others.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    fs::write(scratch.place.path().join("prosody.cfg.lua"), "VirtualHost \"localhost\"").unwrap();
    let without_group = "mount --bind groups /etc/group && exec \"$0\" init --output \"$1.toml\" \
                         --prosody prosody.cfg.lua --output-prosody \"$1\"";
    for (name, told) in [("written", true), ("daemon/written", false)] {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", without_group, env!("CARGO_BIN_EXE_easy-invite"), name]);
        let output = time_limit::run(command.current_dir(scratch.place.path()), PATIENCE);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "these tests need root, which may mount: {said}");
        let advice = format!("next: only root can read {name}, because there is no group prosody. Let the group");
        assert_eq!(said.contains(&advice), told, "{said}");
        let written = scratch.place.path().join(name).metadata().unwrap();
        assert_eq!(written.mode() & 0o777, 0o600, "{name}");
    }
}

#[test]
fn the_module_is_installed_through_no_link_and_belongs_to_the_owner_of_its_folder() {
    let scratch = Scratch::new();
    let install = ["prosody-module", "--install", "daemon/modules"];
    scratch.does(&install);
    let folder = scratch.folder().join("modules/mod_easy_invite");
    let file = folder.join("mod_easy_invite.lua");
    for made in [&scratch.folder().join("modules"), &folder, &file] {
        assert_eq!(made.metadata().unwrap().uid(), DAEMON, "{}", made.display());
    }
    let module = fs::read_to_string(&file).unwrap();
    // As `sudo cp -r` leaves it.
    chown(&folder, Some(0), Some(0)).unwrap();
    fs::write(&file, "older").unwrap();
    scratch.does(&install);
    assert_eq!((fs::read_to_string(&file).unwrap(), file.metadata().unwrap().uid()), (module.clone(), 0));
    chown(&folder, Some(DAEMON), Some(DAEMON)).unwrap();
    // What is to have the name is written under another one first, which could be guessed.
    let last = Command::new("true").spawn().unwrap().id();
    for guessed in last..last + 3000 {
        symlink(scratch.secret(), folder.join(format!(".mod_easy_invite.lua.{guessed}"))).unwrap();
    }
    for target in [scratch.secret(), scratch.place.path().join("made")] {
        fs::remove_file(&file).unwrap();
        symlink(target, &file).unwrap();
        scratch.does(&install);
        assert!(file.symlink_metadata().unwrap().is_file() && fs::read_to_string(&file).unwrap() == module);
    }
    fs::remove_file(&file).unwrap();
    mkfifo(&file);
    scratch.does(&install);
    assert_eq!(fs::read_to_string(&file).unwrap(), module);
    fs::remove_dir_all(&folder).unwrap();
    for name in ["modules/mod_easy_invite", "elsewhere"] {
        scratch.link(&scratch.folder_of_root(), name);
    }
    scratch.fails(&install, "mod_easy_invite cannot be written: ");
    for reached in ["daemon/elsewhere", "daemon/elsewhere/below"] {
        scratch.fails(&["prosody-module", "--install", reached], "is a symbolic link, or reached by one");
    }
    assert_eq!(fs::read_dir(scratch.folder_of_root()).unwrap().count(), 0);
    assert!(!scratch.place.path().join("made").exists());
    scratch.is_roots_still();
}

#[test]
fn nobody_is_asked_through_a_link_that_is_where_the_control_socket_belongs() {
    let scratch = Scratch::new();
    let others = scratch.place.path().join("other.sock");
    let listener = UnixListener::bind(&others).unwrap();
    listener.set_nonblocking(true).unwrap();
    let socket = scratch.folder().join("easy-invite.db.sock");
    let asks = ["generate", "example.org", "--username", "carol", "--expires", "1s"];
    for place in [&others, &scratch.secret(), &scratch.place.path().join("made")] {
        symlink(place, &socket).unwrap();
        let asked = scratch.run(&asks);
        let said = String::from_utf8_lossy(&asked.stderr).into_owned();
        assert!(
            said.contains("could not check whether the accounts exist: easy-invite could not be asked: "),
            "{said}"
        );
        assert!(said.contains("is no socket"), "{said}");
        scratch.fails(&["run"], "is no socket: remove it, or set [control] socket to another path");
        fs::remove_file(&socket).unwrap();
        std::thread::sleep(Duration::from_millis(1100)); // until the name is free again
    }
    mkfifo(&socket);
    scratch.does(&asks);
    scratch.fails(&["run"], "is no socket");
    assert!(listener.accept().is_err(), "root connected where the daemon's user led");
    assert!(!scratch.place.path().join("made").exists());
    scratch.is_roots_still();
}

#[test]
fn the_control_socket_is_the_daemons_and_one_of_a_stranger_stays() {
    let scratch = Scratch::new();
    let socket = scratch.folder().join("easy-invite.db.sock");
    let dead = |owner| {
        drop(UnixListener::bind(&socket).unwrap());
        chown(&socket, Some(owner), Some(owner)).unwrap();
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o777)).unwrap();
    };
    dead(1234);
    scratch.fails(&["run"], "belongs to the user with the id 1234");
    assert_eq!(socket.metadata().unwrap().uid(), 1234);
    fs::remove_file(&socket).unwrap();

    dead(DAEMON);
    // As with systemd's DynamicUser: the folders above are closed to the daemon's user.
    fs::set_permissions(scratch.place.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_easy-invite"));
    let mut daemon = command.current_dir(scratch.place.path()).arg("run").stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while UnixStream::connect(&socket).is_err() {
        assert!(begun.elapsed() < PATIENCE, "the daemon does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    let metadata = socket.metadata().unwrap();
    assert_eq!((metadata.uid(), metadata.mode() & 0o777), (DAEMON, 0o600));
    let checked = scratch.run(&["check"]);
    assert!(
        String::from_utf8_lossy(&checked.stdout).contains("FAILED the chat server cannot be reached"),
        "{checked:?}"
    );
    let terminated = Command::new("kill").arg(daemon.id().to_string()).status().unwrap();
    assert!(terminated.success() && daemon.wait().unwrap().success());
    assert!(!socket.exists());

    scratch.link(&scratch.folder_of_root(), "elsewhere");
    let config = scratch.place.path().join("config.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}[control]\nsocket = \"daemon/elsewhere/sock\"\n")).unwrap();
    scratch.fails(&["run"], "is a symbolic link, or reached by one");
    assert_eq!(fs::read_dir(scratch.folder_of_root()).unwrap().count(), 0);
}

/// Listens as this user, and hangs up on everybody who has said something. Returns what was said.
fn stranger(user: u32, socket: PathBuf) -> Arc<Mutex<String>> {
    let heard = Arc::new(Mutex::new(String::new()));
    let (listening, hears) = (Arc::new(Barrier::new(2)), Arc::clone(&heard));
    let ready = Arc::clone(&listening);
    std::thread::spawn(move || {
        // Of this thread alone.
        rustix::thread::set_thread_res_uid(None, rustix::process::Uid::from_raw(user), None).unwrap();
        let listener = UnixListener::bind(socket);
        ready.wait();
        for connection in listener.unwrap().incoming() {
            let mut line = String::new();
            drop(BufReader::new(connection.unwrap()).read_line(&mut line));
            hears.lock().unwrap().push_str(&line);
        }
    });
    listening.wait();
    heard
}

#[test]
fn root_believes_a_daemon_of_root_or_of_the_stores_owner_alone() {
    let scratch = Scratch::new();
    let place = |name: &str| scratch.place.path().join(name);
    let (config, socket) = (place("config.toml"), place("strange/control.sock"));
    scratch.does(&["generate", "example.org"]);
    scratch.does(&["backup", "kept.db"]);
    fs::create_dir(place("strange")).unwrap();
    chown(place("strange"), Some(1234), Some(1234)).unwrap();
    let sqlite = fs::read_to_string(&config).unwrap() + "[control]\nsocket = \"strange/control.sock\"\n";
    let database = "postgres://easy_invite@127.0.0.1:1/easy_invite";
    let postgres = sqlite.replace("sqlite:daemon/easy-invite.db", database);
    let heard = stranger(1234, socket);
    let heard = || std::mem::take(&mut *heard.lock().unwrap());
    let words = |keeper: &str| {
        format!("control.sock is answered by the user with the id 1234, who is neither root nor the owner of {keeper},")
    };

    fs::write(&config, &sqlite).unwrap();
    let words_sqlite = words("daemon/easy-invite.db");
    let checked = scratch.run(&["check"]);
    let line = format!("daemon                   FAILED easy-invite could not be asked: strange/{words_sqlite}");
    assert!(String::from_utf8_lossy(&checked.stdout).contains(&line), "{checked:?}");
    let asked = scratch.run(&["generate", "example.org", "--username", "carol"]);
    let said = String::from_utf8_lossy(&asked.stderr);
    assert!(asked.status.success() && said.contains("could not check whether the accounts exist: "), "{asked:?}");
    assert!(said.contains(&words_sqlite), "{said}");
    scratch.fails(&["run"], &words_sqlite);
    scratch.fails(&["restore", "kept.db"], &words_sqlite);
    scratch.fails(&["migrate-store", "sqlite:daemon/easy-invite.db", "sqlite:moved.db"], &words_sqlite);
    scratch.does(&["list"]);
    scratch.does(&["release", "--server", "s1", "--yes"]);

    fs::write(&config, &postgres).unwrap();
    let checked = scratch.run(&["check"]);
    assert!(String::from_utf8_lossy(&checked.stdout).contains(&words("config.toml")), "{checked:?}");
    scratch.fails(&["migrate-store", database, "sqlite:moved.db"], &words("config.toml"));
    scratch.fails(&["migrate-store", "sqlite:kept.db", database], &words("config.toml"));
    assert_eq!(heard(), "", "nobody who is not believed is asked");

    let question = "{\"question\":\"health\"}\n";
    chown(&config, Some(1234), None).unwrap();
    scratch.run(&["check"]);
    assert_eq!(heard(), question, "the owner of the configuration");
    chown(&config, Some(0), None).unwrap();
    // As with systemd's DynamicUser: only root and those whom root has let in can come here.
    fs::set_permissions(scratch.place.path(), fs::Permissions::from_mode(0o700)).unwrap();
    scratch.run(&["check"]);
    assert_eq!(heard(), question, "one whom root has let in");
    fs::set_permissions(scratch.place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(&config, &sqlite).unwrap();
    chown(scratch.folder().join("easy-invite.db"), Some(1234), None).unwrap();
    scratch.run(&["check"]);
    assert_eq!(heard(), question, "the owner of the file");
}

#[test]
fn root_believes_whom_it_has_given_the_folder_of_the_socket() {
    // In /tmp everybody can make folders.
    let in_folder = |folder: &str| {
        fs::create_dir_all(folder).unwrap();
        let place = tempfile::tempdir_in(folder).unwrap();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
        place
    };
    let made = |path: PathBuf, owner: u32, mode: u32| {
        fs::create_dir(&path).unwrap();
        chown(&path, Some(owner), Some(owner)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    let scratch = Scratch::new();
    let (lib, home, runtime) = (in_folder("/var/lib"), in_folder("/home"), in_folder("/run/user"));
    let lib = lib.path();
    let asked = |heard: &Mutex<String>, socket: &Path| {
        fs::set_permissions(socket, fs::Permissions::from_mode(0o777)).unwrap();
        let config = scratch.place.path().join("config.toml");
        let text = format!(
            "[component]\njid = \"invite.example.org\"\nserver = \"127.0.0.1:1\"\nsecret = \"hunter2\"\n\
             [hosts.\"example.org\"]\n[store]\nurl = \"postgres://easy_invite@127.0.0.1:1/easy_invite\"\n\
             [control]\nsocket = {socket:?}\n"
        );
        fs::write(&config, text).unwrap();
        chown(&config, Some(0), Some(DAEMON)).unwrap();
        fs::set_permissions(&config, fs::Permissions::from_mode(0o640)).unwrap();
        let checked = scratch.run(&["check"]);
        let is_asked = !heard.lock().unwrap().is_empty();
        let is_refused = String::from_utf8_lossy(&checked.stdout).contains("and is not believed");
        assert_ne!(is_asked, is_refused, "{socket:?} {checked:?}");
        is_asked
    };
    let asks = |socket: &Path, user| asked(&stranger(user, socket.to_owned()), socket);

    let own = made(lib.join("easy-invite"), DAEMON, 0o755);
    assert!(asks(&own.join("sock"), DAEMON), "User= and StateDirectory=");
    // As contrib/easy-invite.service has it, and systemd: DynamicUser=yes, StateDirectoryMode=0700.
    let private = made(lib.join("private"), 0, 0o755);
    made(private.join("dynamic"), DAEMON, 0o700);
    symlink("private/dynamic", lib.join("dynamic")).unwrap();
    let dynamic = lib.join("dynamic/sock");
    let heard = stranger(DAEMON, dynamic.clone());
    fs::set_permissions(&private, fs::Permissions::from_mode(0o700)).unwrap();
    assert!(asked(&heard, &dynamic), "DynamicUser=");
    symlink(&own, lib.join("link")).unwrap();
    assert!(asks(&lib.join("link/linked"), DAEMON), "by a link of root's");

    let open = made(lib.join("open"), DAEMON, 0o777);
    assert!(!asks(&open.join("sock"), 1234), "not the owner");
    assert!(!asks(&made(own.join("below"), 1234, 0o755).join("sock"), 1234), "below another user's folder");
    assert!(!asks(&made(own.join("again"), DAEMON, 0o755).join("sock"), DAEMON), "below a folder of its own");
    for mode in [0o1777, 0o775, 0o757] {
        let shared = made(lib.join(format!("{mode:o}")), 0, mode);
        assert!(!asks(&made(shared.join("own"), DAEMON, 0o755).join("sock"), DAEMON), "{mode:o}");
    }
    assert!(!asks(&scratch.folder().join("sock"), DAEMON), "in /tmp");
    symlink(&own, lib.join("1777/link")).unwrap();
    assert!(!asks(&lib.join("1777/link/astray"), DAEMON), "by a link where everybody can make one");
    for place in [&home, &runtime] {
        assert!(!asks(&made(place.path().join("bob"), DAEMON, 0o755).join("sock"), DAEMON), "a home");
    }
    symlink(home.path(), lib.join("homes")).unwrap();
    assert!(!asks(&lib.join("homes/bob/again"), DAEMON), "a home by a link");
}

#[test]
fn a_full_disk_leaves_an_older_module_as_it_is() {
    let scratch = Scratch::new();
    let disk = scratch.place.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=40k", "none"]).arg(&disk).status();
    if !mount.is_ok_and(|status| status.success()) {
        return; // a container that may mount nothing
    }
    let folder = disk.join("mod_easy_invite");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("accounts.lib.lua"), "older").unwrap();
    let installed = scratch.run(&["prosody-module", "--install", "disk"]);
    let left: Vec<_> = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name()).collect();
    let older = fs::read_to_string(folder.join("accounts.lib.lua")).unwrap();
    assert!(Command::new("umount").arg(&disk).status().unwrap().success());
    assert!(String::from_utf8_lossy(&installed.stderr).contains("No space left on device"), "{installed:?}");
    assert_eq!(installed.status.code(), Some(1));
    assert_eq!((left, older.as_str()), (vec!["accounts.lib.lua".into()], "older"));
}

/// A file or a folder: its owner, mode, time and contents.
type Content = (u32, u32, i64, i64, Option<Vec<u8>>);

/// All that is in a folder.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Content> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let of = path.symlink_metadata().unwrap();
        if of.is_dir() {
            found.extend(contents(&path));
        }
        let content = of.is_file().then(|| fs::read(&path).unwrap());
        found.insert(path, (of.uid(), of.mode(), of.mtime(), of.mtime_nsec(), content));
    }
    found
}

#[test]
fn an_import_leaves_its_source_as_it_is_and_the_store_is_the_daemons() {
    const PROSODY: u32 = 4323;
    let scratch = Scratch::new();
    let (recorded, source) = (Path::new("tests/prosody_data/13"), scratch.place.path().join("prosody"));
    fs::create_dir(&source).unwrap();
    let copied = Command::new("cp").arg("-r").arg(recorded.join("internal/data")).arg(&source).status().unwrap();
    assert!(copied.success());
    let database = rusqlite::Connection::open(source.join("prosody.sqlite")).unwrap();
    database.execute_batch("PRAGMA journal_mode = WAL").unwrap();
    database.execute_batch(&fs::read_to_string(recorded.join("sqlite/prosody.sql")).unwrap()).unwrap();
    let owned = Command::new("chown").arg("-R").arg(PROSODY.to_string()).arg(&source).status().unwrap();
    assert!(owned.success());

    // What lies beside a database may be another's.
    std::os::unix::fs::chown(source.join("prosody.sqlite-wal"), Some(DAEMON), None).unwrap();

    // With Prosody there, and without.
    let imports = [["import", "prosody", "--data", "prosody/data"], ["import", "prosody", "--sql", SQLITE]];
    let before = contents(&source);
    for import in &imports {
        scratch.does(import);
        assert!(contents(&source) == before, "{import:?}");
    }
    drop(database);
    let before = contents(&source);
    for import in &imports {
        scratch.does(import);
        assert!(contents(&source) == before, "{import:?}");
    }
    assert!(scratch.owners().iter().all(|(_, owner)| *owner == DAEMON), "{:?}", scratch.owners());
}

#[test]
fn an_import_tells_nothing_of_a_file_that_a_link_leads_to() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.folder().join("example%2eorg")).unwrap();
    scratch.link(&scratch.secret(), "example%2eorg/invite_token.dat");
    let output = scratch.run(&["import", "prosody", "--data", "daemon", "--verbose"]);
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.code() == Some(1) && said.contains("invite_token.dat"), "{said}");
    assert!(!said.contains("secret"), "{said}");
    scratch.is_roots_still();
}
