//! The command line, as operators and scripts see it: what it prints, where to, and how it ends.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use easy_invite::chat_server::{Account, Ask, ChatServer, Hook, Link, NoAnswer};
use easy_invite::config::{self, Config};
use easy_invite::control::{self, Listener, Place, Sources};
use easy_invite::health::{Facts, Health};
use easy_invite::invite::{InviteId, Purpose, Token, Use};
use easy_invite::invites::Unsettled;
use easy_invite::lookout::Lookout;
use easy_invite::store::{Claim, Filter, Store, StoreUrl};
use jid::{BareJid, DomainPart};
use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Nobody listens on port 1.
const CONFIG: &str = "[component]\njid = \"invite.example.org\"\nserver = \"127.0.0.1:1\"\nsecret = \"hunter2\"\n\
    [hosts.\"example.org\"]\n[hosts.\"pages.example\"]\nlanding_page = \"https://pages.example/join/#{uri}\"\n\
    expire_after = \"never\"\n";

/// How long something may take that should happen at once, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often something is tried that tells nothing if this machine stands still at the wrong
/// moment.
const TRIES: usize = 5;

/// A folder with a configuration, and the command line in it.
struct Scratch {
    folder: TempDir,
}

/// What a command printed, and how it ended.
#[derive(Debug)]
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Scratch {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let scratch = Scratch { folder };
        fs::write(scratch.path("config.toml"), CONFIG).unwrap();
        fs::set_permissions(scratch.path("config.toml"), fs::Permissions::from_mode(0o600)).unwrap();
        scratch
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_easy-invite"));
        command.current_dir(self.folder.path()).args(arguments).stdin(Stdio::null());
        let of_ours = |name: &OsString| name.as_encoded_bytes().starts_with(b"EASY_INVITE_");
        for variable in std::env::vars_os().map(|(name, _)| name).filter(of_ours).chain(["NO_COLOR".into()]) {
            command.env_remove(variable);
        }
        // Not that of a Prosody of this machine.
        command.env("PROSODY_CONFIG", self.path("prosody.cfg.lua"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with_input(arguments, "")
    }

    fn run_with_input(&self, arguments: &[&str], input: &str) -> Ran {
        let input_file = self.path("stdin");
        fs::write(&input_file, input).unwrap();
        let output = self.command(arguments).stdin(fs::File::open(input_file).unwrap()).output().unwrap();
        Ran {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs a command that succeeds, and returns what it prints.
    #[track_caller]
    fn prints(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.code, 0, "{arguments:?}: {ran:?}");
        ran.stdout
    }

    /// Runs a command that succeeds, and returns the JSON that it prints, one value a line.
    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let printed = self.prints(&[arguments, &["--json"]].concat());
        printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[track_caller]
    fn made(&self, arguments: &[&str]) -> Value {
        let mut made = self.json(&[&["generate"], arguments].concat());
        assert_eq!(made.len(), 1);
        made.remove(0)
    }

    /// Runs a command that fails, with one line on stderr and nothing else.
    #[track_caller]
    fn fails(&self, arguments: &[&str], message: &str) {
        self.fails_with(1, arguments, message);
    }

    /// The same with another exit code.
    #[track_caller]
    fn fails_with(&self, code: i32, arguments: &[&str], message: &str) {
        let ran = self.run(arguments);
        assert_eq!(ran.stderr, format!("easy-invite: {message}\n"), "{arguments:?}");
        assert_eq!((ran.code, ran.stdout.as_str()), (code, ""), "{arguments:?}");
    }

    /// Runs a command with wrong usage: clap explains it, and the exit code is 2.
    #[track_caller]
    fn misused(&self, arguments: &[&str], problem: &str) {
        let ran = self.run(arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{arguments:?}: {ran:?}");
        assert!(ran.stderr.starts_with("error: ") && ran.stderr.contains(problem), "{arguments:?}: {}", ran.stderr);
    }

    fn socket(&self) -> PathBuf {
        self.path("easy-invite.db.sock")
    }

    /// Starts the daemon, and waits until it listens on its socket.
    fn daemon(&self) -> Daemon {
        let child = self.command(&["run"]).stderr(Stdio::piped()).spawn().unwrap();
        let daemon = Daemon(child);
        eventually(|| UnixStream::connect(self.socket()).is_ok());
        daemon
    }
}

#[track_caller]
fn eventually(mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "it did not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A running daemon, ended with the test.
struct Daemon(Child);

impl Daemon {
    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the end, and returns the exit code and the log.
    fn ended(&mut self) -> (Option<i32>, String) {
        let start = Instant::now();
        while self.0.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < PATIENCE, "the daemon does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut log = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (self.0.wait().unwrap().code(), log)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A daemon's control socket in this process, with a chat server that knows alice (an admin) and
/// bob on example.org.
struct ScriptedDaemon {
    _runtime: tokio::runtime::Runtime,
    stop: CancellationToken,
}

impl ScriptedDaemon {
    fn start(socket: &Path, link: Link) -> Self {
        Self::with_unsettled(socket, link, Vec::new(), 0)
    }

    /// As `start`. It could not settle `count` reservations, of which these are the oldest.
    fn with_unsettled(socket: &Path, link: Link, unsettled: Vec<Unsettled>, count: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let stop = CancellationToken::new();
        let pages = DomainPart::new("pages.example").unwrap().into_owned();
        let hooks = [host(), pages].map(|host| (host, Some(Ok(())))).into();
        let (_, health) = watch::channel(Health::of(Facts { store: Ok(()), link, hooks, config: Ok(()) }));
        let lookout = Lookout { health, anew: mpsc::channel(1).0 }; // nobody looks
        let (chat_server, mut questions) = ChatServer::channel();
        runtime.spawn(async move {
            while let Some(question) = questions.recv().await {
                let known = question.host.as_str() == "example.org";
                match question.ask {
                    Ask::Account { username, reply, .. } => reply
                        .send(Ok(Account {
                            exists: known && ["alice", "bob"].contains(&username.as_str()),
                            admin: username.as_str() == "alice",
                            ..Account::default()
                        }))
                        .unwrap(),
                    Ask::Hello { reply, .. } if known => {
                        let (software, server) = ("ejabberd 24.12".to_owned(), "s1".to_owned());
                        let hook = Hook { software, server, ..Hook::default() };
                        reply.send(Ok(hook)).unwrap();
                    }
                    Ask::Hello { .. } => {
                        question.ask.fail(NoAnswer::NotSetUp("the chat server has no such host".to_owned()))
                    }
                    Ask::Settle(..) => panic!("the command line settles nothing"),
                    Ask::Create { .. } => panic!("the command line registers nobody"),
                    Ask::Deliver(..) => panic!("the command line sends no messages"),
                }
            }
        });
        let listener = runtime
            .block_on(async { Listener::bind(&Place { socket: socket.to_owned(), owned: socket.to_owned() }) })
            .unwrap();
        let unsettled = Arc::new(move || (unsettled.clone(), count));
        let config = Config::load(&socket.with_file_name("config.toml")).unwrap();
        let meaning = watch::channel(config.meaning()).1;
        runtime.spawn(control::serve(listener, Sources { chat_server, lookout, unsettled, meaning }, stop.clone()));
        ScriptedDaemon { _runtime: runtime, stop }
    }
}

impl Drop for ScriptedDaemon {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap()
}

// generate

fn host() -> DomainPart {
    DomainPart::new("example.org").unwrap().into_owned()
}

#[test]
fn an_invite_is_printed_as_its_links_first() {
    let scratch = Scratch::new();
    let printed = scratch.prints(&["generate", "example.org"]);
    let lines: Vec<&str> = printed.lines().collect();
    assert!(lines[0].starts_with("xmpp:example.org?register;preauth="), "{printed}");
    assert!(lines[2].ends_with(": registers an account"), "{printed}");
    assert!(lines[3].starts_with("one use, expires 20"), "{printed}");

    let printed = scratch.prints(&["generate", "pages.example"]);
    let lines: Vec<&str> = printed.lines().collect();
    assert!(lines[0].starts_with("https://pages.example/join/#pages.example?register;preauth="), "{printed}");
    assert!(lines[1].starts_with("xmpp:pages.example?register;preauth="), "{printed}");
    assert_eq!(lines[4], "one use, never expires");
}

#[test]
fn an_invite_in_json_has_every_field() {
    let scratch = Scratch::new();
    let made = scratch.made(&[
        "EXAMPLE.org",
        "--contact",
        "Alice@example.org",
        "--uses",
        "5",
        "--expires",
        "36h",
        "--role",
        "prosody:member",
        "--role",
        "b",
        "--group",
        "family",
        "--group",
        "friends",
        "--note",
        "for the party",
    ]);
    let fields: Vec<&str> = made.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields.len(), 20, "{fields:?}");
    for (field, value) in [
        ("type", "account-and-contact"),
        ("state", "pending"),
        ("host", "example.org"),
        ("inviter", "alice@example.org"),
        ("note", "for the party"),
    ] {
        assert_eq!(made[field], value);
    }
    for field in ["username", "revoked_at", "landing_url"] {
        assert_eq!(made[field], Value::Null);
    }
    assert_eq!((&made["max_uses"], &made["uses"]), (&5.into(), &0.into()));
    assert_eq!(made["roles"], serde_json::json!(["prosody:member", "b"]));
    assert_eq!(made["groups"], serde_json::json!(["family", "friends"]));
    let instant = |field| text(&made, field).parse::<jiff::Timestamp>().unwrap();
    assert_eq!(instant("expires_at").duration_since(instant("created_at")).as_secs(), 36 * 60 * 60);
    assert_eq!(made["uri"], format!("xmpp:alice@example.org?roster;preauth={};ibr=y", text(&made, "token")));

    let paged = scratch.made(&["pages.example", "--uses", "unlimited"]);
    assert_eq!((&paged["max_uses"], &paged["expires_at"]), (&Value::Null, &Value::Null));
    assert_eq!(text(&paged, "landing_url"), text(&paged, "uri").replace("xmpp:", "https://pages.example/join/#"));
}

#[test]
fn the_options_choose_the_type() {
    let scratch = Scratch::new();
    for (arguments, invite_type, address) in [
        (&[][..], "account", "example.org?register"),
        (&["--username", "Carol"], "account", "carol@example.org?register"),
        (&["--username", "carol2@Example.org"], "account", "carol2@example.org?register"),
        (&["--contact", "bob@example.org"], "account-and-contact", "bob@example.org?roster"),
        (&["--contact", "bob@example.org", "--contact-only"], "contact", "bob@example.org?roster"),
        (&["--reset", "bob"], "password-reset", "bob@example.org?register"),
    ] {
        let made = scratch.made(&[&["example.org"], arguments].concat());
        assert_eq!(made["type"], invite_type, "{arguments:?}");
        assert!(text(&made, "uri").starts_with(&format!("xmpp:{address};preauth=")), "{made}");
    }
}

#[test]
fn many_invites_are_a_line_each() {
    let scratch = Scratch::new();
    let printed = scratch.prints(&["generate", "example.org", "--count", "1000", "--note", "batch"]);
    let mut lines: Vec<&str> = printed.lines().collect();
    assert!(lines.iter().all(|line| line.starts_with("xmpp:example.org?register;preauth=")));
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), 1000);
    let pages = scratch.prints(&["generate", "pages.example", "--count", "3"]);
    assert!(pages.lines().count() == 3 && pages.lines().all(|line| line.starts_with("https://pages.example/join/#")));
    assert_eq!(scratch.json(&["generate", "example.org", "--count", "3"]).len(), 3);
    assert_eq!(scratch.json(&["list", "--limit", "5000"]).len(), 1006);
}

#[test]
fn making_many_invites_ends_with_the_first_failure() {
    let scratch = Scratch::new();
    scratch.fails(
        &["generate", "example.org", "--count", "1000", "--contact", "alice@elsewhere.example"],
        "0 of 1000 invites were made: The contact must be an account on example.org",
    );
    assert!(scratch.json(&["list"]).is_empty());
}

#[test]
fn a_qr_code_has_no_colours_outside_of_a_terminal() {
    let scratch = Scratch::new();
    let printed = scratch.prints(&["generate", "example.org", "--qr"]);
    let drawing: Vec<&str> = printed.lines().skip(5).collect();
    assert!(drawing.len() > 15, "{printed}");
    let width = drawing[0].chars().count();
    assert!(drawing.iter().all(|line| line.chars().count() == width && line.chars().all(|c| " ▀▄█".contains(c))));
}

#[test]
fn a_bad_option_of_generate_is_explained() {
    let scratch = Scratch::new();
    let uses = "'--uses <N>': expected a number from 1 to 4294967295 or unlimited";
    let duration = |written| {
        format!("'--expires <DURATION>': \"{written}\" is not a duration: write 90s, 15m, 36h, 7d, 4w (1s to 10 years)")
    };
    for (arguments, problem) in [
        (&["not a host"][..], "expected a domain such as example.org, found \"not a host\""),
        (&["example.org", "--expires", "5"], &duration("5")),
        (&["example.org", "--expires", "-1d"], &duration("-1d")),
        (
            &["example.org", "--contact", "alice"],
            "'--contact <JID>': expected a bare JID such as alice@example.org, found \"alice\"",
        ),
        (&["example.org", "--uses", "0"], uses),
        (&["example.org", "--uses", "-1"], uses),
        (&["example.org", "--uses", "many"], uses),
        (
            &["example.org", "--role", "good", "--role", "two words"],
            "'two words' for '--role <ROLE>': expected 1 to 64 bytes without spaces",
        ),
        (&["example.org", "--group", ""], "'--group <ID>'"),
    ] {
        scratch.misused(&[&["generate"], arguments].concat(), problem);
    }
    for (arguments, message) in [
        (&["nosuch.example"][..], "This service does not serve nosuch.example: it serves example.org, pages.example"),
        (&["example.org", "--username", "a b"], "\"a b\" is not a valid username"),
        (&["example.org", "--username", ""], "\"\" is not a valid username"),
        (
            &["example.org", "--username", "carol@elsewhere.example"],
            "expected a username on example.org, found \"carol@elsewhere.example\"",
        ),
        (
            &["example.org", "--reset", "bob@pages.example"],
            "expected a username on example.org, found \"bob@pages.example\"",
        ),
        (&["example.org", "--reset", "a/b"], "\"a/b\" is not a valid username"),
        (&["example.org", "--contact", "a@elsewhere.example"], "The contact must be an account on example.org"),
        (
            &["example.org", "--username", "carol", "--uses", "2"],
            "An invitation for one username can be used exactly once",
        ),
        (&["example.org", "--note", "bell\u{7}"], "A note is plain text, without control characters"),
    ] {
        scratch.fails(&[&["generate"], arguments].concat(), message);
    }
    assert!(scratch.json(&["list"]).is_empty());
}

#[test]
fn a_username_is_reserved_once() {
    let scratch = Scratch::new();
    scratch.prints(&["generate", "example.org", "--username", "carol"]);
    scratch.fails(
        &["generate", "example.org", "--username", "CAROL"],
        "The requested username is reserved for another invitation",
    );
}

#[test]
fn wrong_usage_ends_with_2() {
    let scratch = Scratch::new();
    scratch.misused(&["frobnicate"], "unrecognized subcommand 'frobnicate'");
    scratch.misused(&["generate"], "<HOST>");
    scratch.misused(&["generate", "example.org", "--contact-only"], "--contact <JID>");
    scratch.misused(&["generate", "example.org", "--reset", "bob", "--username", "bob"], "cannot be used with");
    scratch.misused(&["generate", "example.org", "--reset", "bob", "--role", "x"], "cannot be used with");
    scratch.misused(&["generate", "example.org", "--count", "0"], "'0'");
    scratch.misused(&["generate", "example.org", "--count", "2", "--username", "bob"], "--count makes several invites");
    scratch.misused(&["generate", "example.org", "--count", "2", "--reset", "bob"], "--count makes several invites");
    scratch.misused(&["generate", "example.org", "--count", "2", "--qr"], "--qr draws one invite");
    scratch.misused(&["generate", "example.org", "--qr", "--json"], "--qr draws one invite");
    scratch.misused(&["list", "--state", "used"], "[possible values: pending, redeemed, expired, revoked, all]");
    scratch.misused(&["list", "--limit", "0"], "'0'");
    scratch.misused(&["show"], "<REF>");
    scratch.misused(&["revoke"], "<REF|--inviter <JID>>");
    scratch.misused(&["revoke", "abcdefgh2345", "--inviter", "a@example.org"], "cannot be used with");
    assert_eq!(scratch.run(&[]).code, 2);
}

#[test]
fn no_message_repeats_a_token() {
    let scratch = Scratch::new();
    let token = "ABCDEFGHIJKLMNOPQRSTUVWX";
    let uri = format!("xmpp:example.org?register;preauth={token}");
    for arguments in [
        &["show", token][..],
        &["show", &uri],
        &["show", "x", token],
        &["show", &format!("--ref={uri}")],
        &["revoke", token, &uri],
        &["list", token],
        &["list", &uri],
        &["list", "--state", token],
        &["list", "--state", &format!("%3C{token}%3E")],
        &["generate", token],
        &[token],
    ] {
        let ran = scratch.run(arguments);
        assert_ne!(ran.code, 0, "{arguments:?}");
        assert!(!ran.stderr.to_uppercase().contains(token), "{arguments:?}: {}", ran.stderr);
    }
}

/// Has invites of example.org that another program has made, with these tokens.
fn import(scratch: &Scratch, tokens: &[&str]) -> Ran {
    let line = |token: &&str| {
        format!(
            "{token}\ttrue\t2026-01-01T00:00:00Z\t2099-01-01T00:00:00Z\taccount_only\texample.org\t\t\t\
             xmpp:example.org?register;preauth={token}\t\n"
        )
    };
    fs::write(scratch.path("invites.txt"), tokens.iter().map(line).collect::<String>()).unwrap();
    let ran = scratch.run(&["import", "ejabberd", "invites.txt"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    ran
}

#[test]
fn an_invite_is_named_by_a_token_of_another_program_too() {
    let scratch = Scratch::new();
    // The last has the shape of an id.
    let tokens = ["KkDb-3kT_9Zx0aQ-vBnM12_w", "-hQr_starts-With1Hyphen--", "--json_8Zx0aQ-vBnM12_w__", "-_8chars"];
    let tokens = [&tokens[..], &["abcdefgh2345"]].concat();
    import(&scratch, &tokens);
    for token in tokens {
        let [shown] = &scratch.json(&["show", token])[..] else { panic!("one line") };
        assert_eq!(shown["imported_from"], "ejabberd", "{token}");
        let id = text(shown, "id");
        for named in [
            &format!("xmpp:example.org?register;preauth={token}")[..],
            &format!("https://example.org:5281/invites_page?{token}"),
            &format!("(https://example.org/invites/{token})."),
        ] {
            assert_eq!(text(&scratch.json(&["show", named])[0], "id"), id, "{named}");
        }
        assert_eq!(scratch.prints(&["show", "--", token]), scratch.prints(&["show", id]));
        scratch.prints(&["edit", token, "--note", "hello"]);
        assert!(scratch.prints(&["log", "--invite", token]).contains(id), "{token}");
        let renewed = &scratch.json(&["regenerate", token])[0];
        assert_eq!((text(renewed, "id"), text(renewed, "token").len()), (id, 24), "{token}");
        assert!(scratch.prints(&["show", token]).contains("the one given here is an older one"), "{token}");
        assert_eq!(scratch.prints(&["revoke", "--", token]), format!("{id} revoked\n"));
    }
    // An id comes first, whatever token it looks like.
    let made = scratch.made(&["example.org"]);
    import(&scratch, &[text(&made, "id")]);
    assert!(scratch.json(&["show", text(&made, "id")])[0]["imported_from"].is_null());
}

#[test]
fn what_begins_with_a_hyphen_and_is_no_token_is_told() {
    let scratch = Scratch::new();
    scratch.prints(&["generate", "example.org"]);
    scratch.misused(&["show", "--qrr"], "there is no such option");
    scratch.misused(&["edit", "abcdefgh2345", "--notes", "x"], "--notes");
    scratch.misused(&["revoke", "--all"], "--all");
    scratch.misused(&["revoke", "abcdefgh2345", "--inviters"], "--inviters");
    let ran = scratch.run(&["revoke", "-aBc-def_1234567890123456"]);
    assert!(ran.code == 2 && ran.stderr.contains("use '-- -a'") && !ran.stderr.contains("aBc-def"), "{ran:?}");
}

#[test]
fn no_message_repeats_a_token_of_another_program() {
    let scratch = Scratch::new();
    for token in ["KkDb-3kT_9Zx0aQ-vBnM12_w", "-kDb-3kT_9Zx0aQ-vBnM12_w", "eight_-8", &"aB-_".repeat(32)] {
        let uri = format!("xmpp:example.org?register;preauth={token}");
        for arguments in [
            &["show", token][..],
            &["show", &uri],
            &["show", "x", token],
            &["show", &format!("--ref={uri}")],
            &["revoke", "--", token, &uri],
            &["revoke", token],
            &["list", token],
            &["list", &format!("https://example.org/invites/{token}")],
            &["list", "--state", token],
            &["log", "--invite", token, token],
            &["generate", &format!("{token}/")],
            &[token],
        ] {
            let ran = scratch.run(arguments);
            assert_ne!(ran.code, 0, "{arguments:?}");
            assert!(!ran.stderr.to_lowercase().contains(&token.to_lowercase()), "{arguments:?}: {}", ran.stderr);
        }
    }
    let ran = scratch.run(&["generate", "exmaple.org", "--username-of", "carol-miller"]);
    assert!(ran.stderr.contains("'--username-of'"), "other words stay: {ran:?}");
}

#[test]
fn check_warns_of_imported_tokens_that_can_perhaps_be_guessed() {
    let scratch = Scratch::new();
    let ran = import(&scratch, &["fifteen--------", "eight--8", "sixteen---------"]);
    assert!(ran.stderr.contains("2 pending invites have tokens of fewer than 16 characters"), "{ran:?}");
    let warnings = || -> Vec<Value> {
        let ran = scratch.run(&["check", "--json"]);
        let lines = ran.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["part"] == "tokens").collect()
    };
    let ids = ["fifteen--------", "eight--8"].map(|token| text(&scratch.json(&["show", token])[0], "id").to_owned());
    let found = warnings();
    assert_eq!((found.len(), &found[0]["host"], &found[0]["warning"]), (1, &json!("example.org"), &json!(true)));
    let detail = text(&found[0], "detail");
    assert!(detail.contains("perhaps be guessed: 2 (") && ids.iter().all(|id| detail.contains(id)), "{detail}");
    scratch.prints(&["revoke", &ids[0]]);
    scratch.prints(&["regenerate", &ids[1]]);
    assert!(warnings().is_empty());
}

// list, show, revoke

#[test]
fn the_list_is_a_table_of_the_newest() {
    let scratch = Scratch::new();
    let other = scratch.made(&["pages.example"]);
    assert_eq!(scratch.run(&["list", "--state", "revoked"]).stderr, "easy-invite: no such invites\n");
    let printed = scratch.prints(&["list"]);
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines[0], "ID            TYPE     STATE    USES  EXPIRES", "no inviter, no username, no note");
    assert_eq!(lines[1], format!("{}  account  pending  0/1   never", text(&other, "id")));
    let made = scratch.made(&["example.org", "--contact", "alice@example.org", "--note", "a\u{202e}b"]);
    let printed = scratch.prints(&["list"]);
    let lines: Vec<&str> = printed.lines().collect();
    let header = "ID            TYPE                 STATE    USES  EXPIRES               INVITER            NOTE";
    assert_eq!(lines[0], header, "no username");
    let row = format!(
        "{}  account-and-contact  pending  0/1   {}  alice@example.org  a\\u{{202e}}b",
        text(&made, "id"),
        text(&made, "expires_at")
    );
    let other = format!(
        "{}  account              pending  0/1   never                 -                  -",
        text(&other, "id")
    );
    // Both may have been made in the same second.
    assert!(lines.len() == 3 && lines.contains(&&*row) && lines.contains(&&*other), "{printed}");
}

#[test]
fn the_list_can_be_narrowed() {
    let scratch = Scratch::new();
    let alices = scratch.made(&["example.org", "--contact", "alice@example.org"]);
    let bobs = scratch.made(&["example.org", "--contact", "bob@example.org"]);
    let paged = scratch.made(&["pages.example"]);
    scratch.prints(&["revoke", text(&bobs, "id")]);
    let ids = |arguments: &[&str]| {
        let mut ids: Vec<String> =
            scratch.json(&[&["list"], arguments].concat()).iter().map(|invite| text(invite, "id").to_owned()).collect();
        ids.sort_unstable();
        ids
    };
    let expected = |invites: &[&Value]| {
        let mut ids: Vec<String> = invites.iter().map(|invite| text(invite, "id").to_owned()).collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!(ids(&[]), expected(&[&alices, &paged]));
    assert_eq!(ids(&["--state", "all"]), expected(&[&alices, &bobs, &paged]));
    assert_eq!(ids(&["--state", "revoked"]), expected(&[&bobs]));
    assert_eq!(ids(&["--state", "expired"]), expected(&[]));
    assert_eq!(ids(&["--state", "redeemed"]), expected(&[]));
    assert_eq!(ids(&["Pages.example"]), expected(&[&paged]));
    assert_eq!(ids(&["--state", "all", "--inviter", "Bob@example.org"]), expected(&[&bobs]));
    assert_eq!(ids(&["pages.example", "--inviter", "bob@example.org"]), expected(&[]));
    let listed = &scratch.json(&["list", "pages.example"])[0];
    assert!(listed.get("token").is_none() && listed.get("uri").is_none() && listed.get("landing_url").is_none());
    scratch.fails(
        &["list", "nosuch.example"],
        "This service does not serve nosuch.example: it serves example.org, pages.example",
    );
    let problem = "'--inviter <JID>': expected a bare JID such as alice@example.org, found \"example.org\"";
    scratch.misused(&["list", "--inviter", "example.org"], problem);
}

#[test]
fn a_list_that_is_cut_says_so() {
    let scratch = Scratch::new();
    scratch.prints(&["generate", "example.org", "--count", "101"]);
    let cut = scratch.run(&["list", "--json"]);
    assert_eq!(cut.stdout.lines().count(), 100);
    assert_eq!(cut.stderr, "easy-invite: these are the newest 100, and there are more: see --limit\n");
    let whole = scratch.run(&["list", "--json", "--limit", "101"]);
    assert_eq!((whole.stdout.lines().count(), whole.stderr.as_str()), (101, ""));
}

#[test]
fn an_invite_is_shown_by_any_of_its_names() {
    let scratch = Scratch::new();
    let made = scratch.made(&["pages.example", "--note", "hello"]);
    let mut shown = made.clone();
    for secret in ["token", "uri", "landing_url"] {
        shown.as_object_mut().unwrap().remove(secret);
    }
    for name in ["id", "token", "uri", "landing_url"] {
        assert_eq!(scratch.json(&["show", text(&made, name)]), [shown.clone()], "{name}");
    }
    let printed = scratch.prints(&["show", text(&made, "id")]);
    for line in ["type     account (registers an account)", "note     hello", "uses     0/1", "expires  never"] {
        assert!(printed.lines().any(|printed| printed == line), "{line}: {printed}");
    }
    scratch.fails(&["show", "abcdefgh2345"], "This server does not recognise this invitation");
    let piped = scratch.run_with_input(&["show", "-", "--qr"], text(&made, "uri"));
    assert!(piped.stdout.contains(text(&made, "id")) && piped.stdout.contains('█'), "{piped:?}");
    scratch.misused(&["show", text(&made, "id"), "--qr"], "not an id");
    scratch.fails(&["show", "x"], "that is neither an invite's id, nor its token, nor one of its links");
}

#[test]
fn an_invite_is_shown_with_the_accounts_that_came_by_it() {
    let scratch = Scratch::new();
    let made = scratch.made(&["example.org", "--contact", "alice@example.org", "--uses", "unlimited"]);
    let id = text(&made, "id");
    assert!(!scratch.prints(&["show", id]).contains("account  "), "there are none");
    let store = Connection::open(scratch.path("easy-invite.db")).unwrap();
    let came = |account: &str, second: u32| {
        let sql = "INSERT INTO account (jid, inviter, invite, registered_at) VALUES (?, 'alice@example.org', ?, ?)";
        store.execute(sql, (account, id, second)).unwrap();
    };
    came("carol@example.org", 1000);
    came("dave@example.org", 2000);
    let printed = scratch.prints(&["show", id]);
    let lines: Vec<&str> = printed.lines().collect();
    assert!(lines.contains(&"inviter  alice@example.org"), "{printed}");
    let newest_first = [
        "account  dave@example.org since 1970-01-01T00:33:20Z",
        "account  carol@example.org since 1970-01-01T00:16:40Z",
    ];
    assert!(lines.ends_with(&newest_first), "{printed}");
    assert_eq!(scratch.json(&["show", id])[0].as_object().unwrap().len(), 17, "scripts rely on the fields");
    (0..99).for_each(|number| came(&format!("user{number}@example.org"), 3000));
    let printed = scratch.prints(&["show", id]);
    assert_eq!(printed.lines().filter(|line| line.starts_with("account  ")).count(), 101);
    assert!(
        printed.ends_with("account  dave@example.org since 1970-01-01T00:33:20Z\naccount  older ones\n"),
        "{printed}"
    );
}

#[test]
fn invites_are_revoked_by_any_of_their_names() {
    let scratch = Scratch::new();
    for name in ["id", "token", "uri", "landing_url"] {
        let made = scratch.made(&["pages.example"]);
        let id = text(&made, "id");
        assert_eq!(scratch.prints(&["revoke", text(&made, name)]), format!("{id} revoked\n"));
        assert_eq!(scratch.prints(&["revoke", id]), format!("{id} had been revoked already\n"));
        let shown = &scratch.json(&["revoke", id])[0];
        assert!(shown["state"] == "revoked" && shown["revoked_at"].is_string(), "{shown}");
    }
    assert!(scratch.json(&["list"]).is_empty());
}

#[test]
fn revoking_an_invite_that_has_ended_says_how_it_ended() {
    let scratch = Scratch::new();
    let made = scratch.made(&["example.org"]);
    let id = text(&made, "id");
    let store = Connection::open(scratch.path("easy-invite.db")).unwrap();
    let set = |column: &str| store.execute(&format!("UPDATE invite SET {column} WHERE id = ?"), [id]).unwrap();
    set("expires_at = 1000");
    assert_eq!(scratch.prints(&["revoke", id]), format!("{id} revoked, but it had expired already\n"));
    set("revoked_at = NULL, taken = 1, uses = 1");
    assert_eq!(scratch.prints(&["revoke", id]), format!("{id} revoked, but it had been used up already\n"));
}

#[test]
fn what_is_named_of_an_invite_is_changed_and_nothing_else() {
    let scratch = Scratch::new();
    let made = scratch.made(&["pages.example", "--note", "for the party"]);
    let id = text(&made, "id");
    let edit = |arguments: &[&str]| scratch.json(&[&["edit", id], arguments].concat()).remove(0);
    let mut expected = made.clone();
    for secret in ["token", "uri", "landing_url"] {
        expected.as_object_mut().unwrap().remove(secret);
    }
    expected["note"] = "for all".into();
    assert_eq!(edit(&["--note", "for all"]), expected);
    expected["max_uses"] = 5.into();
    assert_eq!(edit(&["--uses", "5"]), expected);
    assert_eq!(edit(&["--uses", "5", "--note", "for all"]), expected, "as it is already");
    expected["max_uses"] = Value::Null;
    expected["note"] = Value::Null;
    assert_eq!(edit(&["--uses", "unlimited", "--note", ""]), expected);
    let expires = text(&edit(&["--expires", "4w"]), "expires_at").parse::<jiff::Timestamp>().unwrap();
    assert!((-5..=0).contains(&(expires.duration_since(now()).as_secs() - 4 * 7 * 24 * 60 * 60)));
    assert_eq!(edit(&["--expires", "never"]), expected);
    assert_eq!(
        scratch.prints(&["edit", text(&made, "landing_url"), "--uses", "3", "--note", "--"]),
        format!("{id}: registers an account\n3 uses, never expires\nnote: --\n")
    );
    let piped = scratch.run_with_input(&["edit", "-", "--uses", "4"], text(&made, "uri"));
    assert_eq!(piped.stdout, format!("{id}: registers an account\n4 uses, never expires\nnote: --\n"));
    let events = scratch.json(&["log", "--invite", id]);
    let told: Vec<_> = events.iter().map(|event| (text(event, "action"), &event["detail"])).collect();
    let changes = ["note", "uses", "note uses", "expires", "expires", "note uses", "uses"];
    assert_eq!(told[1..], changes.map(|detail| ("changed", &*Box::leak(Box::new(Value::from(detail))))));
    assert!(events.iter().all(|event| text(event, "actor").starts_with("cli:")));
}

#[test]
fn what_an_invite_cannot_become_is_said_and_changes_nothing() {
    let scratch = Scratch::new();
    let made = scratch.made(&["example.org", "--uses", "3", "--note", "kept"]);
    let (id, pinned) = (text(&made, "id"), scratch.made(&["example.org", "--username", "carol"]));
    let before = scratch.json(&["show", id]);
    for uses in ["0", "-1", "4294967296", "many", ""] {
        scratch.misused(&["edit", id, "--uses", uses], "expected a number from 1 to 4294967295 or unlimited");
    }
    for expires in ["0s", "-1h", "3651d", "yesterday", "2020-01-01", ""] {
        scratch.misused(&["edit", id, "--expires", expires], "is not a duration");
    }
    scratch.misused(&["edit", id], "<--note <TEXT>|--expires <DURATION>|--uses <N>>");
    let long = "x".repeat(10_000);
    scratch.fails(&["edit", id, "--note", &long], "A note can have at most 500 characters");
    for note in ["a\u{1b}[31m", "a\u{7}"] {
        scratch.fails(&["edit", id, "--note", note], "A note is plain text, without control characters");
    }
    let pinned_id = text(&pinned, "id");
    scratch.fails(&["edit", pinned_id, "--uses", "2"], "An invitation for one username can be used exactly once");
    scratch.fails(&["edit", "abcdefgh2345", "--uses", "2"], "This server does not recognise this invitation");
    let store = Connection::open(scratch.path("easy-invite.db")).unwrap();
    let set = |column: &str, id| store.execute(&format!("UPDATE invite SET {column} WHERE id = ?"), [id]).unwrap();
    set("taken = 2", id);
    scratch.fails(
        &["edit", id, "--uses", "1", "--note", "lost"],
        "Number of uses already taken: 2. Please choose at least this number",
    );
    assert_eq!(scratch.json(&["show", id]), before);
    set("taken = 0, expires_at = 1000", pinned_id);
    let other = scratch.made(&["example.org", "--username", "carol"]);
    let extend = ["edit", pinned_id, "--expires", "1d"];
    scratch.fails(&extend, "The requested username is reserved for another invitation");
    scratch.prints(&["revoke", text(&other, "id")]);
    assert_eq!(scratch.json(&extend)[0]["state"], "pending");
    assert_eq!(scratch.run(&["generate", "example.org", "--username", "carol"]).code, 1, "reserved again");
    scratch.fails(&["edit", text(&other, "id"), "--expires", "1d"], "This invitation has been revoked");
}

#[test]
fn a_new_link_takes_the_place_of_the_old_one() {
    let scratch = Scratch::new();
    let made = scratch.made(&["pages.example", "--uses", "5", "--note", "hello"]);
    let id = text(&made, "id");
    let renewed = &scratch.json(&["regenerate", id])[0];
    for link in ["token", "uri", "landing_url"] {
        assert_ne!(renewed[link], made[link]);
        let is_told = |name| scratch.prints(&["show", text(name, link)]).contains("is an older one");
        assert_eq!((is_told(&made), is_told(renewed)), (true, false), "a link that does nothing is no pending one");
        for name in [&made, renewed] {
            assert_eq!(text(&scratch.json(&["show", text(name, link)])[0], "id"), id, "any of its links");
        }
    }
    assert_eq!((&made["links"], &made["regenerated_at"]), (&1.into(), &Value::Null));
    assert_eq!(renewed["links"], 2);
    assert!(text(renewed, "regenerated_at").parse::<jiff::Timestamp>().is_ok());
    for same in ["id", "type", "max_uses", "uses", "note", "created_at", "expires_at", "state"] {
        assert_eq!(renewed[same], made[same], "{same}");
    }
    let piped = scratch.run_with_input(&["regenerate", "-", "--qr"], text(&made, "landing_url"));
    let lines: Vec<_> = piped.stdout.lines().collect();
    assert!(lines[0].starts_with("https://pages.example/join/") && lines[1].starts_with("xmpp:"), "{piped:?}");
    assert!(lines[3].starts_with(id) && piped.stdout.contains('█'), "{piped:?}");
    assert_eq!(text(&scratch.json(&["show", lines[1]])[0], "id"), id);
    scratch.misused(&["regenerate", id, "--qr", "--json"], "--qr draws the link for people");
    let events = scratch.json(&["log", "--invite", id]);
    assert_eq!(events.iter().map(|event| text(event, "action")).collect::<Vec<_>>()[1..], ["regenerated"; 2]);

    let store = Connection::open(scratch.path("easy-invite.db")).unwrap();
    let set = |column: &str| store.execute(&format!("UPDATE invite SET {column} WHERE id = ?"), [id]).unwrap();
    let links = || scratch.json(&["show", id])[0]["links"].clone();
    for (column, why) in [
        ("taken = 5, uses = 5", "This invitation has already been used"),
        ("taken = 0, uses = 0, expires_at = 1000", "This invitation has expired"),
        ("expires_at = NULL, revoked_at = 1000", "This invitation has been revoked"),
    ] {
        set(column);
        scratch.fails(&["regenerate", id], why);
        scratch.fails(&["regenerate", text(&made, "token")], why);
        assert_eq!(links(), 3);
    }
}

#[test]
fn unknown_invites_are_reported_and_the_others_revoked() {
    let scratch = Scratch::new();
    let (first, second) = (scratch.made(&["example.org"]), scratch.made(&["example.org"]));
    let ran = scratch.run(&[
        "revoke",
        text(&first, "id"),
        "abcdefgh2345",
        "nonsense",
        "ABCDEFGHIJKLMNOPQRSTUVWX",
        text(&second, "token"),
    ]);
    assert_eq!(ran.code, 1);
    assert_eq!(ran.stdout, format!("{} revoked\n{} revoked\n", text(&first, "id"), text(&second, "id")));
    assert_eq!(
        ran.stderr,
        "easy-invite: abcdefgh2345: This server does not recognise this invitation\n\
         easy-invite: argument 3: that is neither an invite's id, nor its token, nor one of its links\n\
         easy-invite: argument 4: This server does not recognise this invitation\n"
    );
}

#[test]
fn invites_from_stdin_are_revoked() {
    let scratch = Scratch::new();
    let made = [(); 3].map(|()| scratch.made(&["example.org"]));
    let [first, second, third] = made.each_ref().map(|made| text(made, "id"));
    let input = format!("{}\n\n  {second}  \nABCDEFGHIJKLMNOPQRSTUVWX\n", text(&made[0], "uri"));
    let ran = scratch.run_with_input(&["revoke", "nonsense", "-", third], &input);
    assert_eq!(ran.stdout, format!("{first} revoked\n{second} revoked\n{third} revoked\n"));
    assert_eq!(
        ran.stderr,
        "easy-invite: argument 1: that is neither an invite's id, nor its token, nor one of its links\n\
         easy-invite: line 4: This server does not recognise this invitation\n"
    );
    assert_eq!(ran.code, 1);
    for (arguments, input) in [(["revoke", "-"], first.repeat(800_000)), (["show", "-"], first.repeat(1000))] {
        let ran = scratch.run_with_input(&arguments, &input);
        assert!(ran.code == 1 && ran.stderr.starts_with("easy-invite: stdin: longer than "), "{}", ran.stderr);
    }
}

#[test]
fn the_pending_invites_of_an_inviter_are_revoked_together() {
    let scratch = Scratch::new();
    scratch.prints(&["generate", "example.org", "--contact", "alice@example.org", "--count", "3"]);
    scratch.prints(&["generate", "example.org", "--contact", "bob@example.org"]);
    assert_eq!(
        scratch.prints(&["revoke", "--inviter", "Alice@example.org"]),
        "pending invites of alice@example.org revoked: 3\n"
    );
    assert_eq!(
        scratch.json(&["revoke", "--inviter", "bob@example.org"]),
        [serde_json::json!({"inviter": "bob@example.org", "revoked": 1})]
    );
    assert_eq!(scratch.json(&["revoke", "--inviter", "bob@example.org"])[0]["revoked"], 0);
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let scratch = Scratch::new();
    scratch.prints(&["generate", "example.org", "--count", "2000", "--note", "long enough for more than one pipe"]);
    for arguments in [&["list", "--limit", "5000", "--json"][..], &["export"]] {
        let mut child = scratch.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()), (Some(0), ""));
    }
}

#[test]
fn a_closed_stderr_changes_nothing() {
    let scratch = Scratch::new();
    scratch.prints(&["generate", "example.org", "--expires", "1s"]);
    for (arguments, code) in [(&["list", "--state", "revoked"][..], 0), (&["show", "x"], 1), (&["frobnicate"], 2)] {
        // A pipe whose reading end is gone.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(scratch.command(arguments).stderr(writer).status().unwrap().code(), Some(code), "{arguments:?}");
    }
}

// init, prosody-module

#[test]
fn a_first_configuration_is_complete_and_never_overwrites() {
    let scratch = Scratch::new();
    let file = scratch.path("new.toml");
    let ran = scratch.run(&["init", "--host", "Chat.example.net", "--output", "new.toml"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, "easy-invite: new.toml is written: adapt it to your server\n"));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let config = config::Config::load(&file).unwrap();
    assert_eq!(config.component.as_str(), "invite.chat.example.net");
    assert_eq!(config.hosts.keys().map(|host| host.as_str()).collect::<Vec<_>>(), ["chat.example.net"]);
    let secret = config.secret.unwrap();
    assert!(secret.reveal().len() >= 24 && secret.reveal().chars().all(|c| c.is_ascii_alphanumeric()));
    for line in [
        "VirtualHost \"chat.example.net\"",
        "    modules_enabled = { \"easy_invite\" }",
        "    modules_disabled = { \"invites\", \"invites_adhoc\", \"invites_register\" }",
        "Component \"invite.chat.example.net\"",
        &format!("    component_secret = \"{}\"", secret.reveal()),
    ] {
        assert!(ran.stdout.lines().any(|printed| printed == line), "{line}: {}", ran.stdout);
    }
    let before = fs::read(&file).unwrap();
    let there = "exists already and is left as it is: --output-prosody FILE writes the lines for Prosody that fit it";
    scratch.fails(&["init", "--output", "new.toml"], &format!("new.toml {there}"));
    scratch.fails(&["init"], &format!("config.toml {there}"));
    assert_eq!(fs::read(&file).unwrap(), before);
    scratch.fails(&["init", "--output", "no/such.toml"], "there is no folder no");
    let problem = "'--host <HOST>': expected a domain such as example.org, found \"a@b\"";
    scratch.misused(&["init", "--host", "a@b", "--output", "x"], problem);
    scratch.prints(&["generate", "chat.example.net", "--config", "new.toml"]);
}

#[test]
fn a_first_configuration_can_go_to_stdout() {
    let scratch = Scratch::new();
    let ran = scratch.run(&["init", "--output", "-"]);
    assert!(ran.stdout.contains("[hosts.\"example.org\"]") && ran.stderr.contains("VirtualHost \"example.org\""));
    let values = scratch.json(&["init", "--output", "-"]);
    assert!(text(&values[0], "config").contains("[component]") && text(&values[0], "prosody").contains("Component"));
    let values = scratch.json(&["init", "--output", "x.toml"]);
    assert_eq!((&values[0]["file"], &values[0]["config"]), (&"x.toml".into(), &Value::Null));
}

#[test]
fn the_lines_for_prosody_keep_what_is_there() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path("conf.d")).unwrap();
    fs::write(
        scratch.path("prosody.cfg.lua"),
        "plugin_paths = { \"/opt/modules\" } -- ours\n\
         modules_enabled = { 'roster', 'invites' ; \"invites_page\" }\n\
         Include \"conf.d/*.cfg.lua\"\n\
         Component \"invite.example.org\" \"muc\"\n",
    )
    .unwrap();
    fs::write(
        scratch.path("conf.d/a.cfg.lua"),
        "VirtualHost 'Example.org'\n  modules_enabled = { 'muc_mam' }\n  allow_registration = true\n\
         VirtualHost \"example.net\"\n  modules_disabled = { [[tls]] }",
    )
    .unwrap();
    let lua = |host: &str| text(&scratch.json(&["init", "--host", host, "--output", "-"])[0], "prosody").to_owned();
    let printed = lua("example.org");
    let (main, other) = (scratch.path("prosody.cfg.lua"), scratch.path("conf.d/a.cfg.lua"));
    let (main, other) = (main.display(), other.display());
    for expected in [
        format!(
            "-- In place of plugin_paths in {main}, line 1:\n\
             plugin_paths = {{ \"/opt/modules\", \"/usr/local/lib/prosody/modules\" }}"
        ),
        format!(
            "-- In place of VirtualHost \"Example.org\" in {other}, line 1, which clients know by this name:\n\
             VirtualHost \"example.org\""
        ),
        format!(
            "    -- In place of modules_enabled in {other}, line 2:\n\
             \x20   modules_enabled = {{ \"muc_mam\", \"easy_invite\" }}"
        ),
        "\n    modules_disabled = { \"invites\", \"invites_page\" }\n".to_owned(),
        format!("    -- Take allow_registration out of {other}, line 3.\n"),
        format!("-- {main}, line 4 has this name for something else."),
    ] {
        assert!(printed.contains(&expected), "{expected}\n\n{printed}");
    }
    let printed = lua("example.net");
    for expected in [
        format!("-- This one is there, {other}, line 4: the settings belong there.\nVirtualHost \"example.net\""),
        "\n    modules_enabled = { \"easy_invite\" }\n".to_owned(),
        "line 5:\n    modules_disabled = { \"tls\", \"invites\", \"invites_page\" }\n".to_owned(),
        "\nComponent \"invite.example.net\"\n".to_owned(),
    ] {
        assert!(printed.contains(&expected), "{expected}\n\n{printed}");
    }
    assert!(lua("example.com").contains("There is no such VirtualHost yet"));

    // What a program makes cannot be read, and is not overwritten.
    fs::write(
        scratch.path("own.lua"),
        "plugin_paths = paths()\nVirtualHost \"example.org\"\nmodules_enabled = list or {}",
    )
    .unwrap();
    let printed = scratch.prints(&["init", "--prosody", "own.lua", "--output", "own.toml"]);
    for expected in [
        "-- Add to plugin_paths in own.lua, line 1: \"/usr/local/lib/prosody/modules\"",
        "    -- Add to modules_enabled in own.lua, line 3: \"easy_invite\"",
    ] {
        assert!(printed.contains(expected), "{printed}");
    }
    scratch.fails(
        &["init", "--prosody", "no.lua", "--output", "no.toml"],
        "no.lua cannot be read: No such file or directory (os error 2)",
    );
    assert!(!scratch.path("no.toml").exists(), "an option that is wrong writes nothing");
}

/// Prosody's configuration as Debian has it, with files in conf.d.
fn like_debians(scratch: &Scratch, files: &[(&str, &str)]) {
    fs::create_dir_all(scratch.path("conf.d")).unwrap();
    let main = "plugin_paths = { \"/usr/local/lib/prosody/modules\" }\n\
                modules_enabled = { \"roster\", \"invites\", \"invites_adhoc\", \"invites_register\" }\n\
                VirtualHost \"localhost\"\nInclude \"conf.d/*.cfg.lua\"\n";
    fs::write(scratch.path("prosody.cfg.lua"), main).unwrap();
    files.iter().for_each(|(name, text)| fs::write(scratch.path(name), text).unwrap());
}

const INIT: [&str; 5] = ["init", "--output", "new.toml", "--output-prosody", "conf.d/easy-invite.cfg.lua"];

#[test]
fn the_lines_for_prosody_can_have_a_file_of_their_own() {
    let scratch = Scratch::new();
    like_debians(&scratch, &[]);
    let ran = scratch.run(&INIT);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{}", ran.stderr);
    let last = ran.stderr.lines().last().unwrap();
    assert!(last.starts_with("easy-invite: next: ") && last.contains("start"), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("example.org is new to Prosody. Give Prosody a certificate")
            && !ran.stderr.contains("Include")
    );
    let file = scratch.path("conf.d/easy-invite.cfg.lua");
    let secret = config::Config::load(&scratch.path("new.toml")).unwrap().secret.unwrap();
    let written = fs::read_to_string(&file).unwrap();
    let settings: Vec<_> = written.lines().filter(|line| !line.trim().is_empty() && !line.contains("-- ")).collect();
    assert_eq!(
        settings,
        [
            "VirtualHost \"example.org\"",
            "    modules_enabled = { \"easy_invite\" }",
            "    modules_disabled = { \"invites\", \"invites_adhoc\", \"invites_register\" }",
            "Component \"invite.example.org\"",
            &format!("    component_secret = \"{}\"", secret.reveal()),
        ]
    );
    // Now everything is in place.
    let printed = scratch.prints(&["init", "--output", "again.toml"]);
    assert!(printed.contains("modules_enabled has \"easy_invite\" already"), "{printed}");
}

#[test]
fn several_hosts_are_served_by_one_component() {
    let scratch = Scratch::new();
    let own = "VirtualHost \"example.net\"\n  modules_enabled = { \"mam\" }\n";
    like_debians(&scratch, &[("conf.d/own.cfg.lua", own)]);
    let hosts = ["--host", "example.org", "--host", "Example.net", "--host", "example.edu"];
    let ran = scratch.run(&[&INIT[..], &hosts].concat());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let config = config::Config::load(&scratch.path("new.toml")).unwrap();
    assert_eq!(config.component.as_str(), "invite.example.org");
    let served: Vec<_> = config.hosts.keys().map(|host| host.as_str()).collect();
    assert_eq!(served, ["example.edu", "example.net", "example.org"]);
    let written = fs::read_to_string(scratch.path("conf.d/easy-invite.cfg.lua")).unwrap();
    let settings: Vec<_> = written.lines().filter(|line| !line.trim().is_empty() && !line.contains("-- ")).collect();
    let disabled = "    modules_disabled = { \"invites\", \"invites_adhoc\", \"invites_register\" }";
    assert_eq!(
        settings,
        [
            "VirtualHost \"example.org\"",
            "    modules_enabled = { \"easy_invite\" }",
            disabled,
            "VirtualHost \"example.net\"",
            "    easy_invite_component = \"invite.example.org\"",
            disabled,
            "VirtualHost \"example.edu\"",
            "    easy_invite_component = \"invite.example.org\"",
            "    modules_enabled = { \"easy_invite\" }",
            disabled,
            "Component \"invite.example.org\"",
            &format!("    component_secret = \"{}\"", config.secret.unwrap().reveal()),
        ]
    );
    assert!(ran.stdout.contains("own.cfg.lua, line 2:\n    modules_enabled = { \"mam\", \"easy_invite\" }\n"));
    let new = ["example.org", "example.edu"].map(|host| format!("next: {host} is new to Prosody"));
    assert!(new.iter().all(|line| ran.stderr.contains(line)), "{}", ran.stderr);
    assert!(!ran.stderr.contains("example.net is new") && ran.stderr.contains("and start easy-invite run"));
    // Later ones, for a daemon that runs perhaps.
    let to = ["--output", "new.toml", "--output-prosody", "conf.d/others.cfg.lua"];
    let later = scratch.run(&[&["init", "--host", "example.net", "--host", "example.edu"][..], &to].concat());
    assert!(later.code == 0 && later.stderr.contains("and start it, or send it a SIGHUP"), "{}", later.stderr);
    let unserved = ["init", "--host", "example.edu", "--host", "example.com", "--output", "new.toml"];
    let problem = "new.toml exists already and does not serve example.com: add a table [hosts.\"example.com\"], name \
                   its host with --host, or remove it to begin anew";
    scratch.fails(&[&unserved[..], &["--output-prosody", "com.cfg.lua"]].concat(), problem);
    scratch.misused(&["init", "--host", "a.example", "--host", "A.example", "--output", "x"], "given twice");
}

#[test]
fn what_stands_elsewhere_is_not_written_into_the_file_for_prosody_but_said() {
    let scratch = Scratch::new();
    let own = "VirtualHost \"example.org\"\n  modules_enabled = { \"mam\" }\n  allow_registration = true\n\
               VirtualHost \"example.net\"\n  modules_disabled = { \"mam\" }\n";
    like_debians(&scratch, &[("conf.d/own.cfg.lua", own)]);
    let ran = scratch.run(&INIT);
    let place = scratch.path("conf.d/own.cfg.lua");
    let place = place.display();
    assert_eq!(
        ran.stdout,
        format!(
            "    -- In place of modules_enabled in {place}, line 2:\n\
             \x20   modules_enabled = {{ \"mam\", \"easy_invite\" }}\n\
             \x20   -- Take allow_registration out of {place}, line 3.\n"
        )
    );
    assert!(ran.stderr.contains("next: change the lines above in Prosody's configuration"), "{}", ran.stderr);
    let written = fs::read_to_string(scratch.path("conf.d/easy-invite.cfg.lua")).unwrap();
    assert!(!written.contains("modules_enabled =") && written.contains("modules_disabled ="), "{written}");

    // For another host, whose name something else has, only the component can be written.
    let taken = "Component \"example.com\" \"muc\"\n\
                 Component \"invite.example.net\"\n  component_secret = \"old\"\n";
    fs::write(scratch.path("conf.d/taken.cfg.lua"), taken).unwrap();
    let values =
        scratch.json(&["init", "--host", "example.com", "--output", "c.toml", "--output-prosody", "c.cfg.lua"]);
    let written = fs::read_to_string(scratch.path("c.cfg.lua")).unwrap();
    assert!(text(&values[0], "prosody").contains("has a Component of this name"));
    assert!(!written.contains("VirtualHost") && written.contains("Component \"invite.example.com\""), "{written}");
    let ran = scratch.run(&["init", "--host", "example.net", "--output", "n.toml", "--output-prosody", "n.cfg.lua"]);
    let written = fs::read_to_string(scratch.path("n.cfg.lua")).unwrap();
    assert!(ran.stdout.contains("In place of its component_secret in") && !written.contains("Component"), "{written}");
    // A second host of one component: it has its secret already.
    let both = fs::read_to_string(scratch.path("n.toml")).unwrap() + "[hosts.\"example.edu\"]\n";
    fs::write(scratch.path("both.toml"), &both).unwrap();
    let secret = both.lines().find_map(|line| line.strip_prefix("secret = ")).unwrap();
    let set = taken.replace("\"old\"", secret);
    fs::write(scratch.path("conf.d/taken.cfg.lua"), set).unwrap();
    let to = ["--output", "both.toml", "--output-prosody", "conf.d/edu.cfg.lua"];
    let second = scratch.run(&[&["init", "--host", "example.edu"][..], &to].concat());
    let written = fs::read_to_string(scratch.path("conf.d/edu.cfg.lua")).unwrap();
    assert!(written.contains("easy_invite_component = \"invite.example.net\"") && !written.contains("secret"));
    assert!(second.stdout.is_empty() && !second.stderr.contains("change the lines"), "{second:?}");
    // Prosody reads conf.d alone.
    let include = format!("add Include \"{}\" at the end of", scratch.path("n.cfg.lua").display());
    assert!(ran.stderr.contains(&include), "{}", ran.stderr);
}

#[test]
fn a_half_done_installation_is_completed() {
    let scratch = Scratch::new();
    like_debians(&scratch, &[]);
    scratch.prints(&["init", "--output", "new.toml"]);
    let written = fs::read_to_string(scratch.path("new.toml")).unwrap();
    let written = written.replace("\"invite.example.org\"", "\"door.example.org\"");
    let (before, secret) = written.split_once("\nsecret = \"").unwrap();
    let (_, behind) = secret.split_once('"').unwrap();
    let written = format!("{before}\nsecret = 'a \"b\\\\ c'{behind}");
    fs::write(scratch.path("new.toml"), &written).unwrap();
    let ran = scratch.run(&INIT);
    assert!(ran.stderr.contains("new.toml is there already, and left as it is"), "{}", ran.stderr);
    assert_eq!(fs::read_to_string(scratch.path("new.toml")).unwrap(), written);
    let lines = fs::read_to_string(scratch.path("conf.d/easy-invite.cfg.lua")).unwrap();
    for expected in [
        "    easy_invite_component = \"door.example.org\"\n",
        "Component \"door.example.org\"\n    component_secret = \"a \\\"b\\\\\\\\ c\"\n",
    ] {
        assert!(lines.contains(expected), "{expected}: {lines}");
    }
    scratch.fails(
        &INIT,
        "conf.d/easy-invite.cfg.lua exists already and is left as it is: remove it, to have it written anew",
    );
    // What is no file is nothing to remove.
    std::os::unix::fs::symlink("/dev/null", scratch.path("link")).unwrap();
    for place in ["conf.d", "link", "/dev/null"] {
        let problem = format!("{place} exists already and is left as it is: name a file that is new");
        scratch.fails(&["init", "--output", "another.toml", "--output-prosody", place], &problem);
        assert!(!scratch.path("another.toml").exists());
    }
    let other = ["init", "--host", "example.net", "--output", "new.toml", "--output-prosody", "other.cfg.lua"];
    let problem = "new.toml exists already and does not serve example.net: \
                   add a table [hosts.\"example.net\"], name its host with --host, or remove it to begin anew";
    scratch.fails(&other, problem);
    assert!(!scratch.path("other.cfg.lua").exists());
    for file in ["-", "same"] {
        let no_file = ["init", "--output", "same", "--output-prosody", file];
        let problem = "--output-prosody FILE takes a file of its own: without it, the lines for Prosody go to stdout";
        scratch.fails(&no_file, problem);
        assert!(!scratch.path(file).exists());
    }
    // Neither file is left when one of them cannot be written.
    let nowhere = ["init", "--output", "no/such.toml", "--output-prosody", "conf.d/other.cfg.lua"];
    scratch.fails(&nowhere, "there is no folder no");
    assert!(!scratch.path("conf.d/other.cfg.lua").exists());
    let nowhere = ["init", "--output", "other.toml", "--output-prosody", "no/such.cfg.lua"];
    scratch.fails(&nowhere, "there is no folder no");
    assert!(!scratch.path("other.toml").exists());
}

#[test]
fn the_folder_with_the_module_is_said_once_and_only_where_prosody_lacks_it() {
    let scratch = Scratch::new();
    like_debians(&scratch, &[]);
    let main = scratch.path("prosody.cfg.lua");
    let without = fs::read_to_string(&main).unwrap().lines().skip(1).collect::<Vec<_>>().join("\n");
    fs::write(&main, &without).unwrap();
    let ran = scratch.run(&INIT);
    let file = scratch.path("conf.d/easy-invite.cfg.lua");
    let written = fs::read_to_string(&file).unwrap();
    let line = "\nplugin_paths = { \"/usr/local/lib/prosody/modules\" }\n";
    assert_eq!(written.matches(line).count(), 1, "{written}");
    assert!(ran.stderr.contains("next: sudo easy-invite prosody-module --install /usr/local/"), "{}", ran.stderr);

    // Where the module is found, neither the line nor the command is needed.
    let modules = scratch.path("modules");
    scratch.prints(&["prosody-module", "--install", "modules"]);
    fs::write(&main, format!("plugin_paths = {{ \"{}\" }}\n{without}", modules.display())).unwrap();
    fs::remove_file(&file).unwrap();
    let ran = scratch.run(&INIT);
    assert!(!fs::read_to_string(&file).unwrap().contains("plugin_paths") && ran.stdout.is_empty(), "{}", ran.stdout);
    assert!(!ran.stderr.contains("prosody-module"), "{}", ran.stderr);
    assert!(scratch.prints(&["init", "--output", "3.toml"]).contains("-- Prosody finds the module: "));
}

#[test]
fn a_configuration_of_prosody_may_be_anything() {
    let scratch = Scratch::new();
    let pipe = scratch.path("pipe.lua");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for (text, expected) in [
        (format!("a = {}", "{".repeat(200_000)), "There is no such VirtualHost yet"),
        ("Include \"own.lua\"\nVirtualHost \"example.org\"".to_owned(), "This one is there, own.lua, line 2"),
        ("Include \"pipe.lua\"".to_owned(), "-- pipe.lua cannot be read: it is no file: look there, too."),
        ("--[==[ ]] plugin_paths = 1 ]==] --[[ x".to_owned(), "\nplugin_paths = { \"/usr/local"),
        ("x = \"\\".to_owned(), "There is no such VirtualHost yet"),
        ("VirtualHost 'example.org'\nmodules_enabled = { \"a\\\"b\" }".to_owned(), "{ \"a\\\"b\", \"easy_invite\" }"),
    ] {
        fs::write(scratch.path("own.lua"), &text).unwrap();
        let printed = scratch.run(&["init", "--prosody", "own.lua", "--output", "-"]).stderr;
        assert!(printed.contains(expected), "{expected}: {printed}");
    }
    scratch.fails(&["init", "--prosody", "pipe.lua", "--output", "-"], "pipe.lua cannot be read: it is no file");
}

#[test]
fn the_lines_for_prosody_are_in_place_when_they_are_there() {
    let scratch = Scratch::new();
    let before = scratch.prints(&["init", "--output", "first.toml"]);
    assert!(before.contains("If one of these settings is there already, add to it"), "{before}");
    fs::write(scratch.path("prosody.cfg.lua"), before).unwrap();
    let after = scratch.prints(&["init", "--output", "again.toml"]);
    for there in
        ["plugin_paths has", "modules_enabled has \"easy_invite\"", "modules_disabled has", "its component_secret in"]
    {
        assert!(after.contains(there), "{there}: {after}");
    }
    let settings = after.lines().filter(|line| !line.trim_start().starts_with("--") && line.contains(" = ")).count();
    assert_eq!(settings, 1, "a new secret alone: {after}");
}

#[test]
fn installing_the_module_tells_what_keeps_prosody_from_loading_it() {
    let scratch = Scratch::new();
    let other = scratch.path("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("mod_easy_invite.lua"), "module:depends('invites')").unwrap();
    let config = |paths: &str| {
        let text = format!(
            "plugin_paths = {{ {paths} }}\n\
             modules_enabled = {{ \"invites\", \"invites_adhoc\", \"invites_register\" }}\n\
             VirtualHost \"example.org\"\nmodules_enabled = {{ \"easy_invite\" }}"
        );
        fs::write(scratch.path("prosody.cfg.lua"), text).unwrap();
    };
    let install = || scratch.run(&["prosody-module", "--install", "modules"]).stderr;
    config(&format!("\"{}\"", other.display()));
    let (said, modules) = (install(), fs::canonicalize(scratch.path("modules")).unwrap());
    for words in [
        format!("needs this folder. In place of plugin_paths in {}", scratch.path("prosody.cfg.lua").display()),
        format!("plugin_paths = {{ \"{}\", \"{}\" }}", other.display(), modules.display()),
        format!("finds {}/mod_easy_invite.lua before it, another module of this name: remove it", other.display()),
        "mod_invites, mod_invites_adhoc, mod_invites_register, whose links nobody accepts: easy-invite import prosody \
         keeps those that were sent. modules_disabled = {"
            .to_owned(),
    ] {
        assert!(said.contains(&words), "{words}\n\n{said}");
    }
    config(&format!("\"{}\", \"{}\"", modules.display(), other.display()));
    let about = modules.join("mod_easy_invite/about.lib.lua");
    let text = fs::read_to_string(&about).unwrap();
    fs::write(about, text.replace(&format!("\"{}\"", env!("CARGO_PKG_VERSION")), "\"0.0.9\"")).unwrap();
    let said = install();
    assert!(said.contains("mod_easy_invite 0.0.9 was replaced by mod_easy_invite"), "{said}");
    assert!(!said.contains("needs this folder") && !said.contains("before it"), "{said}");
    fs::write(modules.join("mod_easy_invite/mod_easy_invite.lua"), "module:depends('invites')").unwrap();
    assert!(install().contains("another module of this name was replaced by"));
}

#[test]
fn the_prosody_module_is_printed_or_installed() {
    let scratch = Scratch::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("prosody/mod_easy_invite");
    let files: HashMap<String, String> = fs::read_dir(source)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "lua"))
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap()))
        .collect();
    let printed = scratch.prints(&["prosody-module"]);
    for (name, text) in &files {
        assert!(printed.contains(&format!("-- mod_easy_invite/{name}\n\n{text}")), "{name}");
    }
    let values: HashMap<String, String> = scratch
        .json(&["prosody-module"])
        .iter()
        .map(|value| (text(value, "file").replace("mod_easy_invite/", ""), text(value, "text").to_owned()))
        .collect();
    assert_eq!(values, files);

    let folder = scratch.path("modules/mod_easy_invite");
    for _ in 0..2 {
        let ran = scratch.run(&["prosody-module", "--install", "modules"]);
        assert_eq!(ran.stdout.lines().count(), files.len());
        assert!(ran.stdout.ends_with("modules/mod_easy_invite/mod_easy_invite.lua\n"), "what loads the others is last");
        let modules = fs::canonicalize(scratch.path("modules")).unwrap();
        let hint = format!("prosody.cfg.lua needs plugin_paths = {{ \"{}\" }}, with the folders", modules.display());
        assert!(ran.code == 0 && ran.stderr.contains(&hint), "{}", ran.stderr);
        for (name, text) in &files {
            assert_eq!(&fs::read_to_string(folder.join(name)).unwrap(), text);
            fs::write(folder.join(name), "an older one").unwrap();
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), files.len(), "nothing unfinished stays");
    }
    scratch.fails(
        &["prosody-module", "--install", "config.toml"],
        "config.toml/mod_easy_invite cannot be written: config.toml: Not a directory (os error 20)",
    );
}

#[test]
fn help_teaches_each_command_with_an_example() {
    let scratch = Scratch::new();
    for command in [
        "run",
        "init",
        "check",
        "generate",
        "list",
        "tree",
        "log",
        "show",
        "edit",
        "regenerate",
        "revoke",
        "export",
        "backup",
        "restore",
        "migrate-store",
        "forget",
        "release",
        "prosody-module",
    ] {
        let help = scratch.prints(&[command, "--help"]);
        assert!(help.contains("Example") && help.contains(&format!("easy-invite {command}")), "{command}: {help}");
        assert!(help.contains("--config") && help.contains("--json"));
    }
    assert_eq!(scratch.prints(&["--version"]), format!("easy-invite {}\n", env!("CARGO_PKG_VERSION")));
}

// the store

#[test]
fn a_store_that_cannot_be_used_is_explained_in_one_line() {
    let scratch = Scratch::new();
    let store = scratch.path("easy-invite.db");
    let commands = [&["list"][..], &["generate", "example.org"], &["revoke", "abcdefgh2345"], &["run"]];
    let all_fail = |message: &str| commands.iter().for_each(|arguments| scratch.fails(arguments, message));
    let display = "easy-invite.db";

    fs::write(&store, "this is no database, though it is long enough to be one".repeat(20)).unwrap();
    all_fail(&format!(
        "the store {display} is damaged or is no store of easy-invite (file is not a database): \
         restore it from a backup"
    ));
    fs::remove_file(&store).unwrap();

    Connection::open(&store).unwrap().execute_batch("CREATE TABLE other (x)").unwrap();
    let [others @ .., run] = &commands;
    let message = format!("the store {display} is another program's database: set store.url to another file");
    others.iter().for_each(|arguments| scratch.fails(arguments, &message));
    scratch.fails_with(78, run, &message);
    fs::remove_file(&store).unwrap();

    scratch.prints(&["generate", "example.org"]);
    Connection::open(&store).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let ran = scratch.run(&["list"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.starts_with(&format!("easy-invite: the store {display} has schema 99, this version knows up to ")),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains(": use a newer easy-invite, or "), "{}", ran.stderr);

    fs::remove_file(&store).unwrap();
    fs::create_dir(&store).unwrap();
    all_fail(&format!("the store {display} cannot be opened: easy-invite.db is a folder: name a file in it"));

    let elsewhere =
        CONFIG.replace("[hosts.\"example.org\"]", "[store]\nurl = \"sqlite:no/such.db\"\n[hosts.\"example.org\"]");
    fs::write(scratch.path("config.toml"), elsewhere).unwrap();
    fs::set_permissions(scratch.path("config.toml"), fs::Permissions::from_mode(0o600)).unwrap();
    all_fail("the store no/such.db cannot be opened: there is no folder no");
}

#[test]
fn a_store_is_one_file_whatever_its_name() {
    for name in [":memory:", "file:x.db", "file::memory:", "a b#c%20d.db"] {
        let scratch = Scratch::new();
        scratch.use_store(&format!("sqlite:{name}"));
        let made = scratch.made(&["example.org"]);
        assert_eq!(scratch.json(&["show", text(&made, "uri")])[0]["id"], made["id"], "{name}");
        scratch.holds_only(&[name]);
    }
}

#[test]
fn commands_that_need_a_store_make_none() {
    let scratch = Scratch::new();
    let missing = "the store easy-invite.db does not exist yet: `easy-invite run` makes it; is store.url right?";
    for arguments in [
        &["list"][..],
        &["list", "--json"],
        &["show", "abcdefgh2345"],
        &["revoke", "abcdefgh2345"],
        &["revoke", "--inviter", "alice@example.org"],
    ] {
        scratch.fails(arguments, missing);
    }
    let checked = scratch.run(&["check"]);
    let line = format!("store                    FAILED {missing}");
    assert!(checked.code == 1 && checked.stdout.lines().any(|printed| printed == line), "{checked:?}");
    assert!(!scratch.path("easy-invite.db").exists());
    scratch.prints(&["generate", "example.org"]);
    assert_eq!(scratch.json(&["list"]).len(), 1);
}

#[test]
fn a_command_leaves_the_store_in_one_file() {
    let scratch = Scratch::new();
    for arguments in [&["generate", "example.org", "--count", "500"][..], &["list"], &["check"]] {
        scratch.run(arguments);
        assert!(scratch.path("easy-invite.db").exists());
        for rest in ["easy-invite.db-wal", "easy-invite.db-shm"] {
            assert!(!scratch.path(rest).exists(), "{arguments:?}: {rest}");
        }
    }
    assert_eq!(scratch.json(&["list", "--limit", "1000"]).len(), 500);
}

#[test]
fn a_store_that_another_program_locks_is_reported_as_locked() {
    let scratch = Scratch::new();
    let made = scratch.made(&["example.org"]);
    let other = Connection::open(scratch.path("easy-invite.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // Reading does not need it.
    assert_eq!(scratch.json(&["list"]).len(), 1);
    scratch.prints(&["show", text(&made, "id")]);
    assert!(scratch.run(&["check"]).stdout.contains("store                    tried  easy-invite.db "));
    scratch.fails(&["generate", "example.org"], "the store easy-invite.db is locked by another program");
    other.execute_batch("ROLLBACK").unwrap();
    scratch.prints(&["generate", "example.org"]);
}

#[test]
fn a_damaged_page_is_found_by_check() {
    let scratch = Scratch::new();
    scratch.prints(&["generate", "example.org", "--count", "2000"]);
    let store = scratch.path("easy-invite.db");
    Connection::open(&store).unwrap().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    let mut bytes = fs::read(&store).unwrap();
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 4096].fill(0x5a);
    fs::write(&store, bytes).unwrap();
    let ran = scratch.run(&["check"]);
    assert_eq!(ran.code, 1);
    let line = ran.stdout.lines().find(|line| line.starts_with("store")).unwrap();
    assert!(line.contains("FAILED the store easy-invite.db is damaged"), "{line}");
}

// with the daemon

#[test]
fn accounts_are_looked_up_through_the_daemon() {
    let scratch = Scratch::new();
    let without = scratch.run(&["generate", "example.org", "--username", "bob", "--json"]);
    assert_eq!(without.code, 0);
    assert_eq!(
        without.stderr,
        "easy-invite: warning: could not check whether the accounts exist: easy-invite is not running\n"
    );
    assert_eq!(scratch.run(&["generate", "example.org"]).stderr, "", "there is nothing to check");

    let _daemon = ScriptedDaemon::start(&scratch.socket(), Link::Connected);
    scratch.fails(&["generate", "example.org", "--username", "alice"], "The requested username already exists.");
    scratch.fails(&["generate", "example.org", "--reset", "nobody"], "nobody@example.org has no account here");
    scratch.fails(
        &["generate", "example.org", "--contact", "nobody@example.org"],
        "nobody@example.org has no account here",
    );
    scratch.fails(
        &["generate", "example.org", "--contact", "nobody@example.org", "--count", "500"],
        "0 of 500 invites were made: nobody@example.org has no account here",
    );
    for arguments in
        [&["--username", "carol"][..], &["--reset", "bob"], &["--contact", "alice@example.org", "--count", "500"]]
    {
        let ran = scratch.run(&[&["generate", "example.org"], arguments].concat());
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    }
}

#[test]
fn check_asks_the_daemon() {
    let scratch = Scratch::new();
    scratch.prints(&["generate", "example.org"]);
    let daemon = ScriptedDaemon::start(&scratch.socket(), Link::Connected);
    let ran = scratch.run(&["check"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (1, ""));
    assert_eq!(
        ran.stdout,
        "config                   ok     config.toml\n\
         daemon                   ok     serves example.org, pages.example\n\
         store                    ok     easy-invite.db\n\
         component                ok     invite.example.org at 127.0.0.1:1 (the running daemon)\n\
         hook example.org         ok     ejabberd 24.12\n\
         hook pages.example       FAILED the chat server has no such host\n"
    );
    let one_host = CONFIG.split("[hosts.\"pages.example\"]").next().unwrap();
    fs::write(scratch.path("config.toml"), one_host).unwrap();
    let stale = scratch.run(&["check"]).stdout;
    let words = "FAILED config.toml differs from what the daemon serves in hosts.\"pages.example\": systemctl reload";
    assert!(stale.starts_with("config") && stale.contains(words), "{stale}");
    drop(daemon);
    let _daemon = ScriptedDaemon::start(&scratch.socket(), Link::Connected);
    let lines = scratch.json(&["check"]);
    assert_eq!(lines.len(), 5);
    assert!(lines.iter().all(|line| line["ok"] == true));
    assert_eq!(
        lines[4],
        serde_json::json!(
            {"part": "hook", "host": "example.org", "ok": true, "warning": false, "detail": "ejabberd 24.12"}
        )
    );
}

#[test]
fn without_a_daemon_check_tries_the_parts_by_itself_and_fails() {
    let scratch = Scratch::new();
    scratch.prints(&["generate", "example.org"]);
    let ran = scratch.run(&["check"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (1, ""));
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 6, "{}", ran.stdout);
    assert_eq!(lines[0], "config                   tried  config.toml (without the daemon)");
    let start = "daemon                   FAILED easy-invite is not running: systemctl start easy-invite";
    assert!(lines[1].starts_with(start), "{}", ran.stdout);
    assert_eq!(lines[2], "store                    tried  easy-invite.db (without the daemon)");
    assert!(lines[3].starts_with("component                FAILED the chat server cannot be reached at 127.0.0.1:1"));
    assert_eq!(lines[4], "hook example.org         FAILED not tried: the component is not connected");
    let lines = scratch.run(&["check", "--json"]).stdout;
    assert!(lines.lines().all(|line| line.contains("\"ok\":false")), "{lines}");
}

#[test]
fn check_says_what_is_wrong_with_the_configuration() {
    let scratch = Scratch::new();
    fs::write(scratch.path("config.toml"), "x = 1\n").unwrap();
    let ran = scratch.run(&["check"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (1, ""));
    assert_eq!(
        ran.stdout,
        "config                   FAILED config.toml:1: x: unknown key, expected one of component, store, control, \
         limits, web, metrics, hosts\n"
    );
}

#[test]
fn the_daemon_runs_once_and_ends_cleanly() {
    let scratch = Scratch::new();
    let mut daemon = scratch.daemon();
    let socket = fs::metadata(scratch.socket()).unwrap();
    assert!(socket.file_type().is_socket());
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    scratch.fails(&["run"], "easy-invite is already running: it answers on easy-invite.db.sock");

    // The store can be used while it runs. Accounts cannot be looked up: there is no chat server.
    let ran = scratch.run(&["generate", "example.org", "--username", "carol"]);
    assert_eq!(ran.code, 0);
    assert!(ran.stderr.starts_with("easy-invite: warning: could not check whether the accounts exist: "));
    let checked = scratch.run(&["check"]);
    assert!(
        checked.stdout.contains("component                FAILED the chat server cannot be reached"),
        "{checked:?}"
    );

    daemon.signal("TERM");
    let (code, log) = daemon.ended();
    assert_eq!(code, Some(0), "{log}");
    assert!(!scratch.socket().exists());
    for words in [
        "easy-invite starts",
        env!("CARGO_PKG_VERSION"),
        "example.org, pages.example",
        "easy-invite.db",
        "easy-invite stopped",
    ] {
        assert!(log.contains(words), "{words}: {log}");
    }
    assert!(!log.contains("hunter2"));
}

#[test]
fn a_silent_daemon_waits_for_its_signal_all_the_same() {
    let scratch = Scratch::new();
    let mut daemon =
        Daemon(scratch.command(&["run"]).env("EASY_INVITE_LOG", "off").stderr(Stdio::piped()).spawn().unwrap());
    eventually(|| UnixStream::connect(scratch.socket()).is_ok());
    std::thread::sleep(Duration::from_millis(200));
    assert!(daemon.0.try_wait().unwrap().is_none());
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), (Some(0), String::new()));
}

#[test]
fn stanzas_are_never_logged() {
    let scratch = Scratch::new();
    let chat_server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = chat_server.local_addr().unwrap().to_string();
    fs::write(scratch.path("config.toml"), CONFIG.replace("127.0.0.1:1", &address)).unwrap();
    let filter = "trace,tokio_xmpp=trace,tokio_xmpp::xmlstream=trace";
    let mut daemon =
        Daemon(scratch.command(&["run"]).env("EASY_INVITE_LOG", filter).stderr(Stdio::piped()).spawn().unwrap());
    let (mut stream, _) = chat_server.accept().unwrap();
    let mut header = [0; 512];
    assert!(stream.read(&mut header).unwrap() > 0, "something was sent that could be logged");
    daemon.signal("TERM");
    let (_, log) = daemon.ended();
    assert!(log.contains("easy-invite starts") && !log.contains("stream:stream"), "{log}");
}

#[test]
fn a_bad_log_filter_is_reported() {
    let scratch = Scratch::new();
    let output = scratch.command(&["list"]).env("EASY_INVITE_LOG", "easy_invite=loud").output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(message.starts_with("easy-invite: $EASY_INVITE_LOG: expected something like \"info\""), "{message}");
    assert_eq!(message.lines().count(), 1);
}

#[test]
fn a_dead_daemons_socket_is_replaced_and_anything_else_is_left_alone() {
    let scratch = Scratch::new();
    let mut daemon = scratch.daemon();
    daemon.signal("KILL");
    daemon.ended();
    assert!(scratch.socket().exists(), "it could not clean up");
    assert_eq!(scratch.prints(&["list", "--json"]), "");
    let mut next = scratch.daemon();
    next.signal("INT");
    assert_eq!(next.ended().0, Some(0));

    fs::write(scratch.socket(), "precious").unwrap();
    scratch.fails(
        &["run"],
        "the socket cannot be made: easy-invite.db.sock is no socket: remove it, or set [control] socket to another \
         path",
    );
    assert_eq!(fs::read_to_string(scratch.socket()).unwrap(), "precious");
}

#[test]
fn a_socket_path_that_is_too_long_is_reported() {
    let scratch = Scratch::new();
    let long = "x".repeat(120);
    fs::write(scratch.path("config.toml"), format!("{CONFIG}[control]\nsocket = \"{long}\"\n")).unwrap();
    let ran = scratch.run(&["run"]);
    let expected =
        format!("easy-invite: {long} is too long for a socket: set [control] socket to a path of at most 107 bytes\n");
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.ends_with(&expected), "{}", ran.stderr);
    assert_eq!(scratch.run(&["generate", "example.org"]).code, 0);
}

#[test]
fn nonsense_on_the_control_socket_ends_that_connection_alone() {
    let scratch = Scratch::new();
    let _daemon = ScriptedDaemon::start(&scratch.socket(), Link::Connecting);
    let answer = |request: &[u8]| {
        let mut stream = UnixStream::connect(scratch.socket()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // The other end may hang up before it has read everything.
        let _ = stream.write_all(request);
        let mut line = String::new();
        let _ = BufReader::new(stream).read_line(&mut line);
        line
    };
    let sense = b"{\"question\":\"unsettled\"}\n";
    assert_eq!(answer(sense), "{\"Ok\":[[],0]}\n");
    let too_long = [vec![b'x'; 1024 * 1024], b"\n".to_vec()].concat();
    for nonsense in [
        &b"\n"[..],
        b"{}\n",
        b"{\"question\":\"settle\"}\n",
        b"{\"question\":\"account\",\"host\":\"example.org\",\"username\":\"a b\",\"register\":false}\n",
        b"\xff\xfe\n",
        &too_long,
    ] {
        assert_eq!(answer(nonsense), "");
    }
    assert_eq!(answer(sense), "{\"Ok\":[[],0]}\n");
    let question = r#"{"question":"account","host":"example.org","username":"Alice","register":false}"#;
    let known = answer(format!("{question}\n").as_bytes());
    assert!(known.starts_with("{\"Ok\":{\"exists\":true,\"admin\":true,"), "{known}");
}

#[test]
fn a_daemon_that_does_not_answer_is_told_apart_from_none() {
    let scratch = Scratch::new();
    let listener = UnixListener::bind(scratch.socket()).unwrap();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let ran = scratch.run(&["generate", "example.org", "--username", "carol"]);
    assert_eq!(ran.code, 0);
    let warning = "could not check whether the accounts exist: easy-invite could not be asked: ";
    assert!(ran.stderr.contains(warning), "{}", ran.stderr);
    let checked = scratch.run(&["check"]);
    assert!(
        checked.stdout.contains("\ndaemon                   FAILED easy-invite could not be asked: "),
        "{checked:?}"
    );
}

#[test]
fn a_daemon_that_hangs_is_not_taken_for_a_wrong_port() {
    let scratch = Scratch::new();
    let daemon = scratch.daemon();
    daemon.signal("STOP");
    let checked = scratch.run(&["check"]);
    let line = "daemon                   FAILED easy-invite runs, but did not answer in time: systemctl restart";
    assert!(checked.code == 1 && checked.stdout.contains(line) && !checked.stdout.contains(" ok "), "{checked:?}");
}

// looking after the data, in a store of either kind

/// The variable that holds the URL of a PostgreSQL superuser, in whose server the tests make
/// databases of their own.
const POSTGRES_VARIABLE: &str = "EASY_INVITE_TEST_POSTGRES";

/// A database of its own, which goes with the test.
struct Database {
    server: String,
    name: String,
    url: String,
}

impl Database {
    fn new() -> Self {
        let server = std::env::var(POSTGRES_VARIABLE).unwrap_or_else(|_| {
            panic!("this test needs PostgreSQL: run `scripts/with-postgres cargo test --test cli`")
        });
        let folder = tempfile::Builder::new().prefix("cli_").rand_bytes(12).tempdir().unwrap();
        let name = folder.path().file_name().unwrap().to_str().unwrap().to_lowercase();
        execute(&server, &format!("CREATE DATABASE {name}"));
        let mut url = url::Url::parse(&server).unwrap();
        url.set_path(&name);
        Database { server, name, url: url.into() }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        execute(&self.server, &format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

/// Runs SQL on a PostgreSQL server, each statement by itself, and returns the first value of its
/// last row, if any.
fn execute(url: &str, sql: &str) -> Option<String> {
    within(async {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let messages = client.simple_query(sql).await.unwrap();
        messages.iter().rev().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        })
    })
}

#[expect(clippy::disallowed_methods, reason = "the commands go by this clock")]
fn now() -> Timestamp {
    Timestamp::now()
}

fn jid(text: &str) -> BareJid {
    BareJid::new(text).unwrap()
}

fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(work)
}

/// A folder with a configuration, and a store of either kind.
struct Stored {
    scratch: Scratch,
    url: String,
    database: Option<Database>,
}

impl Stored {
    fn sqlite() -> Self {
        let scratch = Scratch::new();
        let url = format!("sqlite:{}", scratch.path("easy-invite.db").display());
        Stored { scratch, url, database: None }
    }

    fn postgres() -> Self {
        let (scratch, database) = (Scratch::new(), Database::new());
        scratch.use_store(&database.url);
        Stored { scratch, url: database.url.clone(), database: Some(database) }
    }

    fn of_each_kind() -> [Self; 2] {
        [Self::sqlite(), Self::postgres()]
    }

    /// The name that commands print.
    fn name(&self) -> String {
        match &self.database {
            None => "easy-invite.db".to_owned(),
            Some(_) => self.url.parse::<StoreUrl>().unwrap().to_string(),
        }
    }

    /// Works on the store in this process.
    fn with<T>(&self, work: impl AsyncFnOnce(Store) -> T) -> T {
        within(async { work(Store::open(&self.url.parse().unwrap()).await.unwrap()).await })
    }

    /// Runs SQL on the store.
    fn sql(&self, sql: &str) {
        match &self.database {
            None => Connection::open(self.scratch.path("easy-invite.db")).unwrap().execute_batch(sql).unwrap(),
            Some(database) => drop(execute(&database.url, sql)),
        }
    }

    /// Makes many invites quickly, by SQL. Nobody knows their tokens.
    fn fill(&self, count: u32) {
        let (bytes, each) = match &self.database {
            None => ("randomblob(32)", "WITH RECURSIVE each (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM each LIMIT "),
            Some(_) => ("sha256(n::text::bytea)", "WITH each (n) AS (SELECT generate_series(1, "),
        };
        let end = if self.database.is_none() { ")" } else { "))" };
        self.with(async |store| drop(store));
        self.sql(&format!(
            "{each}{count}{end} INSERT INTO invite (id, token_hash, type, host, issuer, roles, groups, max_uses, \
             created_at) SELECT 'invite' || (100000 + n), {bytes}, 'account', 'example.org', 'operator', '[]', '[]', \
             1, 1000 FROM each"
        ));
    }

    /// Reserves a use of a new invite for an account, as a server did so long ago.
    fn reserve(&self, account: &str, server: &str, ago: SignedDuration) -> Use {
        let made = self.scratch.made(&["example.org", "--contact", "alice@example.org"]);
        let used = Use {
            id: format!("for {account}"),
            invite: InviteId::parse(text(&made, "id")).unwrap(),
            purpose: Purpose::Register,
            account: BareJid::new(account).unwrap(),
            server: server.to_owned(),
            reserved_at: now() - ago,
        };
        assert_eq!(self.with(async |store| store.reserve(used.clone(), 1).await.unwrap()), Claim::Reserved);
        used
    }
}

impl Scratch {
    /// Names another store in the configuration.
    fn use_store(&self, url: &str) {
        let config = CONFIG.replacen("[hosts.", &format!("[store]\nurl = \"{url}\"\n[hosts."), 1);
        fs::write(self.path("config.toml"), config).unwrap();
        fs::set_permissions(self.path("config.toml"), fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Every invite, as JSON.
    fn invites(&self) -> Vec<Value> {
        self.json(&["list", "--state", "all", "--limit", "1000000"])
    }

    #[track_caller]
    fn store_is_well(&self) {
        let checked = self.run(&["check"]);
        assert!(checked.stdout.lines().any(|line| line.starts_with("store                    tried ")), "{checked:?}");
    }

    /// Fails if there are other files than these and the usual ones.
    #[track_caller]
    fn holds_only(&self, files: &[&str]) {
        let mut found: Vec<_> =
            fs::read_dir(self.folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
        found.retain(|name| !["config.toml", "stdin", "easy-invite.db"].iter().any(|usual| name == usual));
        found.sort_unstable();
        assert_eq!(found, files);
    }
}

const HOUR: SignedDuration = SignedDuration::from_hours(1);

#[test]
fn many_invites_are_made_on_a_server_that_takes_its_time() {
    let stored = Stored::postgres();
    stored.scratch.prints(&["generate", "example.org"]);
    execute(
        &stored.url,
        "CREATE FUNCTION take_time() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN PERFORM pg_sleep(0.25); RETURN NEW; END $$; \
         CREATE TRIGGER take_time BEFORE INSERT ON invite FOR EACH ROW EXECUTE FUNCTION take_time()",
    );
    assert_eq!(stored.scratch.prints(&["generate", "example.org", "--count", "256"]).lines().count(), 256);
}

#[test]
fn a_backup_is_a_store_of_its_own_and_never_overwrites() {
    for stored in Stored::of_each_kind() {
        let scratch = &stored.scratch;
        scratch.prints(&["generate", "example.org", "--count", "700", "--note", "für Zoë"]);
        let used = stored.reserve("carol@example.org", "s1", HOUR);
        stored.with(async |store| store.redeem(host(), used.id, Vec::new(), true, now()).await.unwrap());
        let (before, registered) = (scratch.invites(), scratch.prints(&["show", used.invite.as_str()]));
        assert_eq!(
            scratch.prints(&["backup", "kept.db"]),
            "kept.db holds 701 invites, 1 uses of them, 1 accounts that came by one, 702 events\n"
        );
        assert_eq!(fs::metadata(scratch.path("kept.db")).unwrap().permissions().mode() & 0o777, 0o600);
        scratch.fails(&["backup", "kept.db"], "kept.db exists already and is left as it is");
        assert_eq!(
            scratch.json(&["backup", "other.db"]),
            [serde_json::json!({
                "file": "other.db",
                "holds": {"invites": 701, "uses": 1, "accounts": 1, "events": 702}
            })]
        );
        let ran = scratch.run(&["backup", "no/such.db"]);
        assert!(ran.code == 1 && ran.stderr.contains("there is no folder no"), "{ran:?}");
        scratch.fails(&["backup", ".."], ".. exists already and is left as it is");
        scratch.holds_only(&["kept.db", "other.db"]);

        scratch.use_store("sqlite:kept.db");
        scratch.store_is_well();
        assert_eq!(scratch.invites(), before);
        assert_eq!(scratch.prints(&["show", used.invite.as_str()]), registered);
    }
}

#[test]
fn a_backup_beside_a_writer_holds_all_that_was_acknowledged_before() {
    for stored in Stored::of_each_kind() {
        stored.fill(20_000);
        let template = stored.with(async |store| store.list(Filter::default(), 1, now()).await.unwrap());
        let (sender, acknowledged) = std::sync::mpsc::channel();
        let stop = CancellationToken::new();
        let (url, stopped) = (stored.url.clone(), stop.clone());
        let writer = std::thread::spawn(move || {
            within(async {
                let store = Store::open(&url.parse().unwrap()).await.unwrap();
                for number in 0.. {
                    let mut invite = template[0].clone();
                    invite.id = InviteId::generate().unwrap();
                    invite.token_hash = Token::generate().unwrap().hash();
                    let used = Use {
                        id: format!("use {number}"),
                        invite: invite.id.clone(),
                        purpose: Purpose::Register,
                        account: BareJid::new(&format!("user{number}@example.org")).unwrap(),
                        server: "s1".to_owned(),
                        reserved_at: now(),
                    };
                    store.insert(invite.clone(), Default::default(), now()).await.unwrap().unwrap();
                    store.reserve(used.clone(), 1).await.unwrap();
                    store.redeem(host(), used.id, Vec::new(), true, now()).await.unwrap().unwrap();
                    sender.send(invite.id).unwrap();
                    if stopped.is_cancelled() {
                        return number + 1;
                    }
                }
                0
            })
        });
        let before: Vec<_> = acknowledged.iter().take(20).collect();
        let has_been_written_to = (0..TRIES).any(|_| {
            drop(fs::remove_file(stored.scratch.path("kept.db")));
            stored.scratch.prints(&["backup", "kept.db"]);
            acknowledged.try_iter().count() > 0
        });
        stop.cancel();
        let written: u64 = writer.join().unwrap();
        assert!(has_been_written_to, "nobody wrote meanwhile");

        stored.scratch.use_store("sqlite:kept.db");
        stored.scratch.store_is_well();
        let kept = stored.scratch.invites();
        for id in &before {
            let found = kept.iter().find(|invite| text(invite, "id") == id.as_str());
            assert_eq!(found.unwrap()["uses"], 1, "{id}");
        }
        assert!(kept.len() as u64 <= 20_000 + written);
    }
}

#[test]
fn a_backup_that_is_killed_never_looks_like_one() {
    let stored = Stored::sqlite();
    stored.fill(30_000);
    let mut child = stored.scratch.command(&["backup", "kept.db"]).stdout(Stdio::null()).spawn().unwrap();
    let unfinished = || {
        let files = fs::read_dir(stored.scratch.folder.path()).unwrap().map(|file| file.unwrap().file_name());
        files.filter(|name| name.to_str().unwrap().ends_with(".unfinished")).count()
    };
    eventually(|| unfinished() == 1);
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().code(), None, "it was too quick to be killed");
    assert_eq!((unfinished(), stored.scratch.path("kept.db").exists()), (1, false));
    stored.scratch.prints(&["backup", "kept.db"]);
}

#[test]
fn a_backup_is_restored_into_an_empty_store_of_either_kind() {
    for stored in Stored::of_each_kind() {
        let scratch = &stored.scratch;
        scratch.prints(&["generate", "example.org", "--count", "600"]);
        let before = scratch.invites();
        scratch.prints(&["backup", "kept.db"]);
        scratch.fails(
            &["restore", "kept.db"],
            &format!(
                "the store {} is not empty, and nothing is overwritten: move the file away first, or let store.url \
                 name an empty database",
                stored.name()
            ),
        );
        let fresh = Database::new();
        for url in ["sqlite:fresh.db", &fresh.url] {
            scratch.use_store(url);
            let ran = scratch.run(&["restore", "kept.db"]);
            assert_eq!(ran.code, 0, "{ran:?}");
            assert!(
                ran.stdout.ends_with(" holds 600 invites, 0 uses of them, 0 accounts that came by one, 600 events\n"),
                "{ran:?}"
            );
            assert!(ran.stderr.contains("are pending again"), "{ran:?}");
            scratch.store_is_well();
            assert_eq!(scratch.invites(), before);
        }
    }
}

#[test]
fn only_a_whole_backup_is_restored_and_only_while_no_daemon_runs() {
    let scratch = Scratch::new();
    scratch.prints(&["generate", "example.org", "--count", "2000"]);
    scratch.prints(&["backup", "kept.db"]);
    fs::remove_file(scratch.path("easy-invite.db")).unwrap();
    scratch.fails(&["restore", "no.db"], "no.db cannot be restored: there is no store at no.db");
    let mut damaged = fs::read(scratch.path("kept.db")).unwrap();
    let middle = damaged.len() / 2 / 4096 * 4096;
    damaged[middle..middle + 4096].fill(0x5a);
    fs::write(scratch.path("damaged.db"), damaged).unwrap();
    fs::write(scratch.path("junk.db"), "junk".repeat(5000)).unwrap();
    for file in ["damaged.db", "junk.db"] {
        let ran = scratch.run(&["restore", file]);
        let said = format!("{file} cannot be restored: it is damaged, or is no backup of easy-invite (");
        assert!(ran.code == 1 && ran.stderr.contains(&said), "{ran:?}");
        assert!(ran.stderr.ends_with("): restore another one\n") && !ran.stderr.contains("from a backup"), "{ran:?}");
    }
    assert!(!scratch.path("easy-invite.db").exists());

    let mut daemon = scratch.daemon();
    scratch.fails(
        &["restore", "kept.db"],
        "easy-invite is running (at easy-invite.db.sock): stop it first, or it would use what is half restored",
    );
    daemon.signal("TERM");
    daemon.ended();
    // The store that the daemon made is empty, so nothing is lost.
    assert_eq!(
        scratch.json(&["restore", "kept.db"]),
        [serde_json::json!({
            "store": "easy-invite.db",
            "holds": {"invites": 2000, "uses": 0, "accounts": 0, "events": 2000}
        })]
    );
}

#[test]
fn a_move_that_was_killed_can_be_run_again() {
    let from_sqlite: (_, fn() -> Stored) = (Stored::sqlite(), Stored::postgres);
    let from_postgres: (_, fn() -> Stored) = (Stored::postgres(), Stored::sqlite);
    for (from, empty) in [from_sqlite, from_postgres] {
        from.fill(30_000);
        let used = from.reserve("carol@example.org", "s1", HOUR);
        from.with(async |store| store.redeem(host(), used.id, Vec::new(), true, now()).await.unwrap());
        let open = from.reserve("dave@example.org", "s1", HOUR);
        let before = from.scratch.invites();

        // One that ends before it is killed says nothing.
        let killed = (0..TRIES).find_map(|_| {
            let to = empty();
            to.with(async |store| drop(store));
            let mut command = from.scratch.command(&["migrate-store", &from.url, &to.url]);
            let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            eventually(|| to.with(async |store| store.contents().await.unwrap().invites > 0));
            child.kill().unwrap();
            child.wait().unwrap().code().is_none().then_some(to)
        });
        let to = killed.expect("it was too quick to be killed each time");
        let arguments = ["migrate-store", &from.url, &to.url];
        let copied = to.with(async |store| store.contents().await.unwrap()).invites;
        assert!(0 < copied && copied < 30_002, "{copied}");

        for _ in 0..2 {
            let moved = from.scratch.json(&arguments);
            assert_eq!(
                moved[0]["holds"],
                serde_json::json!({"invites": 30_002, "uses": 2, "accounts": 1, "events": 3})
            );
        }
        to.scratch.store_is_well();
        assert_eq!(to.scratch.invites(), before);
        assert_eq!(from.scratch.invites(), before, "the first store stays as it is");
        // An open reservation is still open, and can be settled there.
        assert!(to.with(async |store| store.release(host(), open.id).await.unwrap()));
    }
}

#[test]
fn a_store_that_was_used_between_two_moves_is_moved_whole() {
    for to in Stored::of_each_kind() {
        let from = Stored::sqlite();
        let [given_back, used_by_another, of_many, goes_on] =
            ["carol", "dave", "erin", "frank"].map(|name| from.reserve(&format!("{name}@example.org"), "s1", HOUR));
        from.sql(&format!("UPDATE invite SET max_uses = 3 WHERE id = '{}'", of_many.invite));
        let own = to.reserve("grace@example.org", "s2", HOUR);
        from.scratch.prints(&["migrate-store", &from.url, &to.url]);
        // The daemon runs again: registrations fail, and other people use the links.
        from.with(async |store| {
            for ended in [&given_back, &used_by_another, &of_many] {
                assert!(store.release(host(), ended.id.clone()).await.unwrap());
            }
            let another =
                Use { id: "another".to_owned(), account: jid("heidi@example.org"), ..used_by_another.clone() };
            assert_eq!(store.reserve(another.clone(), 1).await.unwrap(), Claim::Reserved);
            store.redeem(host(), another.id, Vec::new(), true, now()).await.unwrap();
        });
        from.scratch.prints(&["generate", "example.org", "--count", "10"]);
        from.scratch.prints(&["revoke", given_back.invite.as_str()]);
        for _ in 0..2 {
            from.scratch.prints(&["migrate-store", &from.url, &to.url]);
            to.scratch.store_is_well();
        }
        let mut moved = to.scratch.invites();
        moved.retain(|invite| invite["id"] != own.invite.as_str());
        assert_eq!(moved, from.scratch.invites());
        to.with(async |store| {
            for (number, left) in (0..4).zip([true, true, true, false]) {
                let account = jid(&format!("u{number}@example.org"));
                let next = Use { id: number.to_string(), account, ..of_many.clone() };
                assert_eq!(store.reserve(next, 1).await.unwrap() == Claim::Reserved, left, "{number}");
            }
            for open in [goes_on.id, own.id] {
                assert!(store.release(host(), open).await.unwrap(), "what is open in one of the two is open still");
            }
        });
    }
}

#[test]
fn moving_a_store_says_what_to_do_next_and_what_is_wrong() {
    let stored = Stored::sqlite();
    let scratch = &stored.scratch;
    scratch.prints(&["generate", "example.org"]);
    let ran = scratch.run(&["migrate-store", "sqlite:easy-invite.db", "sqlite:new.db"]);
    assert_eq!(ran.stdout, "new.db holds 1 invites, 0 uses of them, 0 accounts that came by one, 1 events\n");
    assert!(ran.code == 0 && ran.stderr.contains("now set store.url to it in config.toml"), "{ran:?}");

    for same in ["sqlite:easy-invite.db", "sqlite:./easy-invite.db", &stored.url] {
        scratch.misused(&["migrate-store", "sqlite:easy-invite.db", same], "FROM and TO are the same store");
    }
    let postgres = "postgres://u@127.0.0.1:1/d";
    scratch.misused(&["migrate-store", postgres, postgres], "FROM and TO are the same store");
    scratch.misused(&["migrate-store", "easy-invite.db", "sqlite:x.db"], "FROM: a store is written sqlite:FILE");
    scratch.fails(&["migrate-store", "sqlite:no.db", "sqlite:x.db"], "there is no store at no.db");
    assert!(!scratch.path("x.db").exists());
    let database = Database::new();
    let name = database.url.parse::<StoreUrl>().unwrap();
    scratch.fails(&["migrate-store", &database.url, "sqlite:x.db"], &format!("there is no store at {name}"));

    let _daemon = scratch.daemon();
    let runs = "stop it first, or what it changes meanwhile would be lost";
    scratch.fails(
        &["migrate-store", "sqlite:easy-invite.db", "sqlite:x.db"],
        &format!("easy-invite is running (at easy-invite.db.sock): {runs}"),
    );
    assert!(!scratch.path("x.db").exists());
}

#[test]
fn a_running_daemon_is_found_by_its_configuration() {
    let stored = Stored::postgres();
    let daemon = Daemon(stored.scratch.command(&["run"]).stderr(Stdio::piped()).spawn().unwrap());
    let socket = stored.scratch.path("easy-invite.sock");
    eventually(|| UnixStream::connect(&socket).is_ok());
    stored.scratch.fails(
        &["migrate-store", &stored.url, "sqlite:x.db"],
        "easy-invite is running (at easy-invite.sock): stop it first, or what it changes meanwhile would be lost",
    );
    stored.scratch.fails(
        &["migrate-store", "sqlite:x.db", &stored.url],
        "easy-invite is running (at easy-invite.sock): stop it first, or what it is doing would be undone",
    );
    drop(daemon);
    assert_eq!(stored.scratch.run(&["migrate-store", &stored.url, "sqlite:x.db"]).code, 0);
}

#[test]
fn no_message_shows_the_password_of_a_url() {
    let scratch = Scratch::new();
    scratch.prints(&["generate", "example.org"]);
    let secret = "hunter9";
    let url = "postgres://u:hunter9@127.0.0.1:1/d";
    let strange = "postgres://u:x@y/hunter9@127.0.0.1:1/d";
    for arguments in [
        &["migrate-store", "sqlite:easy-invite.db", url][..],
        &["migrate-store", url, "sqlite:x.db"],
        &["migrate-store", "sqlite:easy-invite.db", strange],
        &["migrate-store", "sqlite:easy-invite.db", "postgres://u:hunter9@h/d?colour=red"],
        &["migrate-store", "sqlite:easy-invite.db", "postgres://127.0.0.1:1/d?user=u&password=hunter9"],
        &["migrate-store", "sqlite:easy-invite.db", "postgres://u:hunter9@a,,b/d"],
        &["migrate-store", "sqlite:easy-invite.db", "postgres://u:%zzhunter9@h/d"],
        &["migrate-store", "sqlite:easy-invite.db", "postgres://u:hunter9/d"],
        &["migrate-store", "mysql://u:hunter9@h/d", "sqlite:x.db"],
        &["migrate-store", "sqlite:a.db", "sqlite:b.db", url],
        &["migrate-store", "--from", url],
        &["migrate-store", url, url],
        &["migrate", url],
        &[url],
        &["postgres://h/d?password=hunter9"],
        &["list", "--config", url],
        &["list", url],
        &["show", url],
        &["backup", url],
        &["restore", url],
        &["forget", url],
        &["import", "ejabberd", "--sql", url],
        &["import", "ejabberd", "--sql", "mysql://u:hunter9@h/d"],
        &["import", "ejabberd", "--sql", "postgres://u:hunter9@h/d?colour=red", "example.org"],
        &["import", "ejabberd", url],
        &["import", "prosody", "--sql", url],
        &["import", "prosody", "--sql", "mysql://u:hunter9@h/d"],
        &["import", "prosody", "--sql", "postgres://u:hunter9@h/d?colour=red"],
    ] {
        let ran = scratch.run(arguments);
        assert!(ran.code != 0 && !ran.stderr.is_empty(), "{arguments:?}: {ran:?}");
        assert!(!ran.stderr.contains(secret) && !ran.stdout.contains(secret), "{arguments:?}: {ran:?}");
    }
}

#[test]
fn check_warns_of_uses_that_have_been_open_for_long() {
    for stored in Stored::of_each_kind() {
        let scratch = &stored.scratch;
        stored.reserve("young@example.org", "s1", HOUR - SignedDuration::from_mins(5));
        let warnings = || -> Vec<Value> {
            let ran = scratch.run(&["check", "--json"]);
            let lines = ran.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            lines.filter(|line| line["part"] == "open uses").collect()
        };
        assert!(warnings().is_empty());
        let carol = stored.reserve("carol@example.org", "s1", HOUR * 2);
        let dave = stored.reserve("dave@example.org", "s1", HOUR * 3);
        stored.reserve("eve@example.org", "", HOUR * 2);
        let found = warnings();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found.iter().all(|line| line["ok"] == false && line["warning"] == true));
        assert!(text(&found[0], "detail").starts_with("eve@example.org by invite "), "{found:?}");
        let named = format!(
            "dave@example.org by invite {} since {}, carol@example.org by invite {} since ",
            dave.invite,
            Timestamp::from_second(dave.reserved_at.as_second()).unwrap(),
            carol.invite
        );
        assert!(text(&found[1], "detail").starts_with(&named), "{found:?}");
        assert!(text(&found[1], "detail").ends_with("easy-invite release --server s1"), "{found:?}");
        let printed = scratch.run(&["check"]).stdout;
        assert!(printed.contains("\nopen uses                WARN   "), "{printed}");
        scratch.store_is_well();
    }
}

#[test]
fn check_warns_of_reservations_that_the_daemon_cannot_settle() {
    let scratch = Scratch::new();
    scratch.prints(&["generate", "example.org"]);
    let unsettled = ["carol", "dave"].map(|name| Unsettled {
        account: format!("{name}@example.org"),
        invite: "w7d3kq9xmt2c".to_owned(),
        reserved_at: Timestamp::UNIX_EPOCH,
        reason: "the account store is away".to_owned(),
    });
    let _daemon = ScriptedDaemon::with_unsettled(&scratch.socket(), Link::Connected, unsettled.into(), 9);
    let found = scratch.run(&["check", "--json"]).stdout;
    let lines: Vec<Value> = found.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let warnings: Vec<_> = lines.iter().filter(|line| line["part"] == "open uses").collect();
    assert!(warnings.len() == 1 && warnings[0]["ok"] == true && warnings[0]["warning"] == true, "{found}");
    let named = "carol@example.org by invite w7d3kq9xmt2c since 1970-01-01T00:00:00Z (the account store is away), \
                 dave@example.org by invite w7d3kq9xmt2c since 1970-01-01T00:00:00Z (the account store is away), \
                 and 7 more: ";
    assert!(text(warnings[0], "detail").starts_with(named), "{found}");
}

#[test]
fn check_warns_of_a_server_that_does_not_keep_what_it_acknowledges() {
    let stored = Stored::postgres();
    stored.with(async |store| drop(store));
    let warned = || stored.scratch.run(&["check"]).stdout.contains("full_page_writes=off");
    let server = &stored.database.as_ref().unwrap().server;
    let set = |setting: &str| {
        execute(server, &format!("ALTER SYSTEM {setting}"));
        execute(server, "SELECT pg_reload_conf()");
    };
    set("SET full_page_writes = off");
    eventually(warned);
    set("SET full_page_writes = on");
    eventually(|| !warned());
    set("RESET full_page_writes");
}

#[test]
fn one_person_is_forgotten() {
    for stored in Stored::of_each_kind() {
        let scratch = &stored.scratch;
        let used = stored.reserve("carol@example.org", "s1", HOUR);
        // Both are part of the registration that is in flight.
        for somebody in ["carol@example.org", "alice@example.org"] {
            scratch.fails(
                &["forget", somebody, "--yes"],
                &format!(
                    "nothing was erased: invites of {somebody}, or for them, are being used at this moment (uses: 1). \
                     Run it again in a minute; `easy-invite check` says what has been open for long"
                ),
            );
        }
        stored.with(async |store| store.redeem(host(), used.id.clone(), Vec::new(), true, now()).await.unwrap());
        scratch.misused(&["forget", "carol@example.org"], "--yes is needed where nobody can be asked");
        scratch
            .misused(&["forget", "carol", "--yes"], "expected a bare JID such as alice@example.org, found \"carol\"");
        assert_eq!(
            scratch.json(&["forget", "Carol@example.org", "--yes"]),
            [serde_json::json!({
                "jid": "carol@example.org", "invites": 0, "uses": 1, "invited": 0, "known": true, "events": 1
            })]
        );
        assert!(!scratch.prints(&["show", used.invite.as_str()]).contains("carol"));
        let ran = scratch.run(&["forget", "alice@example.org", "--yes"]);
        assert_eq!(
            ran.stdout,
            "erased of alice@example.org:\n\
             invites made by or for them           1\n\
             uses of others' invites               0\n\
             accounts known to be invited by them  0\n\
             who invited them                      not known\n\
             events that named them                0\n"
        );
        assert_eq!(ran.stderr, "easy-invite: backups, logs and what the chat server keeps are not touched\n");
        assert_eq!(
            scratch.prints(&["forget", "alice@example.org", "--yes"]),
            "nothing was known of alice@example.org\n"
        );
        scratch.store_is_well();
    }
}

#[test]
fn a_command_that_cannot_be_undone_asks_first() {
    let scratch = Scratch::new();
    scratch.prints(&["generate", "example.org", "--contact", "alice@example.org"]);
    let answered = |answer: &str| {
        let program = format!("{} forget alice@example.org", env!("CARGO_BIN_EXE_easy-invite"));
        let mut on_a_terminal = Command::new("script");
        on_a_terminal.current_dir(scratch.folder.path()).args(["-qec", &program, "/dev/null"]);
        let mut child = on_a_terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        writeln!(stdin, "{answer}").unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    for answer in ["", "n", "what?"] {
        let (code, shown) = answered(answer);
        assert!(code == Some(1) && shown.contains("[y/N]") && shown.contains("nothing was done"), "{shown}");
        assert_eq!(scratch.json(&["list"]).len(), 1);
    }
    let (code, shown) = answered("y");
    assert!(code == Some(0) && shown.contains("erased of alice@example.org"), "{shown}");
    assert!(scratch.json(&["list"]).is_empty());
}

#[test]
fn the_uses_of_a_lost_chat_server_are_freed() {
    for stored in Stored::of_each_kind() {
        let scratch = &stored.scratch;
        for account in ["carol@example.org", "dave@example.org"] {
            stored.reserve(account, "lost", HOUR * 2);
        }
        let redeemed = stored.reserve("fred@example.org", "lost", HOUR * 2);
        stored.with(async |store| store.redeem(host(), redeemed.id.clone(), Vec::new(), true, now()).await.unwrap());
        let other = stored.reserve("eve@example.org", "s1", HOUR * 2);
        scratch.misused(&["release", "--server", "lost"], "--yes is needed where nobody can be asked");
        scratch.misused(&["release", "--server", ""], "--server");
        assert_eq!(
            scratch.json(&["release", "--server", "lost", "--yes"]),
            [serde_json::json!({"server": "lost", "released": 2})]
        );
        let ran = scratch.run(&["release", "--server", "lost", "--yes"]);
        assert_eq!(ran.stdout, "uses of the chat server lost freed: 0\n");
        assert!(ran.stderr.contains("no open use is reserved by a chat server with this id"), "{ran:?}");
        scratch.store_is_well();
        assert_eq!(scratch.json(&["list", "--state", "redeemed"]).len(), 1, "what was made stays made");
        assert!(stored.with(async |store| store.release(host(), other.id).await.unwrap()), "another server's stay");
        // They can be used again.
        stored.reserve("gina@example.org", "s1", HOUR);
    }
}

#[test]
fn nothing_is_freed_while_the_chat_server_is_there() {
    let stored = Stored::sqlite();
    let used = stored.reserve("carol@example.org", "s1", HOUR);
    let _daemon = ScriptedDaemon::start(&stored.scratch.socket(), Link::Connected);
    stored
        .scratch
        .fails(&["release", "--server", "s1", "--yes"], "the chat server s1 is connected, and settles its uses itself");
    assert!(stored.with(async |store| store.release(host(), used.id).await.unwrap()));
}

#[test]
fn a_store_of_a_newer_version_is_refused_whatever_is_asked() {
    for stored in Stored::of_each_kind() {
        let scratch = &stored.scratch;
        scratch.prints(&["generate", "example.org"]);
        scratch.prints(&["backup", "kept.db"]);
        match stored.database {
            None => stored.sql("PRAGMA user_version = 99"),
            Some(_) => stored.sql("UPDATE easy_invite_schema SET version = 99"),
        }
        for arguments in [
            &["list"][..],
            &["generate", "example.org"],
            &["run"],
            &["backup", "newer.db"],
            &["restore", "kept.db"],
            &["migrate-store", &stored.url, "sqlite:x.db"],
            &["migrate-store", "sqlite:kept.db", &stored.url],
            &["forget", "alice@example.org", "--yes"],
            &["release", "--server", "s1", "--yes"],
        ] {
            let ran = scratch.run(arguments);
            let words = "has schema 99, this version knows up to ";
            let code = if arguments == ["run"] { 78 } else { 1 };
            assert!(ran.code == code && ran.stderr.contains(words), "{arguments:?}: {ran:?}");
            let advice = ": use a newer easy-invite, or fill an empty store from a backup from before the upgrade: \
                 easy-invite restore FILE\n";
            assert!(ran.stderr.ends_with(advice), "{arguments:?}: {ran:?}");
        }
        let checked = scratch.run(&["check"]);
        assert!(
            checked.code == 1 && checked.stdout.contains("store                    FAILED the store "),
            "{checked:?}"
        );
    }
}

#[test]
fn a_downgrade_is_refused_with_the_command_that_brings_back_the_store() {
    for name in ["plain", "it's a name"] {
        let stored = Stored::sqlite();
        let scratch = &stored.scratch;
        fs::create_dir(scratch.path(name)).unwrap();
        let config = format!("{CONFIG}\n[store]\nurl = \"sqlite:{name}/easy-invite.db\"\n");
        fs::write(scratch.path("config.toml"), config).unwrap();
        let before = scratch.prints(&["generate", "example.org", "--note", "before the upgrade"]);
        // As a newer version leaves it.
        scratch.prints(&["backup", &format!("{name}/schema-1.20260501-031700.easy-invite.db")]);
        scratch.prints(&["generate", "example.org", "--note", "after the upgrade"]);
        let newer = Connection::open(scratch.path(name).join("easy-invite.db")).unwrap();
        newer.pragma_update(None, "user_version", 2).unwrap();
        drop(newer);
        for (arguments, code) in [(&["list"][..], 1), (&["backup", "newer.db"], 1), (&["check"], 1), (&["run"], 78)] {
            let ran = scratch.run(arguments);
            let said = format!("{}{}", ran.stdout, ran.stderr);
            assert!(ran.code == code && said.contains("go back to how it was before the upgrade: "), "{ran:?}");
        }
        let refused = scratch.run(&["run"]).stderr;
        let (_, command) = refused.trim_end().split_once("before the upgrade: ").unwrap();
        let mut shell = Command::new("sh");
        let program = Path::new(env!("CARGO_BIN_EXE_easy-invite")).parent().unwrap();
        let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
        let typed = shell.args(["-ec", command]).env("PATH", path).current_dir(scratch.folder.path()).output().unwrap();
        assert!(typed.status.success(), "{command}: {typed:?}");
        let listed = scratch.json(&["list"]);
        assert!(listed.len() == 1 && listed[0]["note"] == "before the upgrade", "{listed:?} {before}");
        scratch.store_is_well();
        assert!(scratch.path(name).join("newer-since.20260501-031700/easy-invite.db").exists(), "nothing is lost");
    }
}

// who invited whom

impl Stored {
    /// Notes of accounts who invited them, as registrations do, one a second.
    fn joined(&self, accounts: &[(String, Option<String>)]) {
        self.with(async |store| drop(store));
        for (page, accounts) in accounts.chunks(500).enumerate() {
            let row = |(number, (account, inviter)): (usize, &(String, Option<String>))| {
                let inviter = inviter.as_ref().map_or("NULL".to_owned(), |inviter| format!("'{inviter}@example.org'"));
                format!("('{account}@example.org', {inviter}, 'w7d3kq9xmt2c', {})", page * 500 + number + 1)
            };
            let rows: Vec<_> = accounts.iter().enumerate().map(row).collect();
            let rows = rows.join(", ");
            self.sql(&format!("INSERT INTO account (jid, inviter, invite, registered_at) VALUES {rows}"));
        }
    }

    fn joined_by(&self, edges: &[(&str, &str)]) {
        let inviter = |inviter: &str| (!inviter.is_empty()).then(|| inviter.to_owned());
        self.joined(&edges.iter().map(|(account, by)| ((*account).to_owned(), inviter(by))).collect::<Vec<_>>());
    }
}

#[test]
fn the_tree_has_a_line_for_each_account_below_the_one_that_invited_it() {
    for stored in Stored::of_each_kind() {
        let scratch = &stored.scratch;
        stored.with(async |store| drop(store));
        let nobody = scratch.run(&["tree"]);
        assert_eq!(
            (nobody.stdout.as_str(), nobody.stderr.as_str()),
            ("", "easy-invite: nobody has registered with an invite yet\n")
        );
        assert_eq!(scratch.prints(&["tree", "--json"]), "");
        stored.joined_by(&[
            ("carol", "alice"),
            ("zoë", "alice"),
            ("bob", "alice"),
            ("dave", "carol"),
            ("admin", ""),
            ("erin", "dave"),
        ]);
        let by = |second: u32| format!("1970-01-01T00:00:0{second}Z  w7d3kq9xmt2c");
        let of_carol = format!("dave@example.org  {}\n", by(4)) + &format!("    erin@example.org  {}\n", by(6));
        let all = format!(
            "admin@example.org  {}\nalice@example.org\n  carol@example.org  {}\n    dave@example.org  {}\n      \
             erin@example.org  {}\n  zoë@example.org  {}\n  bob@example.org  {}\n",
            by(5),
            by(1),
            by(4),
            by(6),
            by(2),
            by(3)
        );
        assert_eq!(scratch.prints(&["tree"]), all);
        let below = scratch.prints(&["tree", "Carol@example.org"]);
        assert_eq!(below, format!("carol@example.org  {}  invited by alice@example.org\n  {of_carol}", by(1)));
        let direct: Vec<_> = scratch.prints(&["tree", "--depth", "1"]).lines().map(str::to_owned).collect();
        assert_eq!(direct.len(), 5, "{direct:?}");
        assert_eq!(scratch.prints(&["tree", "alice@example.org", "--depth", "0"]), "alice@example.org\n");
        assert_eq!(
            scratch.prints(&["tree", "erin@example.org", "--up"]),
            format!(
                "erin@example.org  {}  invited by dave@example.org\ndave@example.org  {}  invited by \
                 carol@example.org\ncarol@example.org  {}  invited by alice@example.org\nalice@example.org\n",
                by(6),
                by(4),
                by(1)
            )
        );
        assert_eq!(scratch.json(&["tree", "erin@example.org", "--up", "--depth", "1"]).len(), 2);
        assert_eq!(
            scratch.json(&["tree", "alice@example.org"])[..2],
            [
                serde_json::json!({"depth": 0, "account": "alice@example.org", "inviter": null, "invite": null,
                    "registered_at": null}),
                serde_json::json!({"depth": 1, "account": "carol@example.org", "inviter": "alice@example.org",
                    "invite": "w7d3kq9xmt2c", "registered_at": "1970-01-01T00:00:01Z"}),
            ]
        );
        for (arguments, said) in [
            (
                &["tree", "mallory@example.org"][..],
                "no invite is known with which mallory@example.org registered or invited anybody",
            ),
            (&["tree", "alice@example.org", "--up"], "no invite is known with which alice@example.org registered"),
        ] {
            let ran = scratch.run(arguments);
            assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr), (0, "", format!("easy-invite: {said}\n")));
        }
        scratch.misused(&["tree", "--up"], "<JID>");
        scratch.misused(&["tree", "example.org"], "expected a bare JID such as alice@example.org");
    }
}

#[test]
fn accounts_that_invited_each_other_in_a_loop_are_each_told_once() {
    for stored in Stored::of_each_kind() {
        let scratch = &stored.scratch;
        // Loops of two, of three and of one, and accounts below them.
        stored.joined_by(&[
            ("ben", "ann"),
            ("ann", "ben"),
            ("cid", "ann"),
            ("x", "y"),
            ("y", "z"),
            ("z", "x"),
            ("below", "cid"),
            ("belowz", "z"),
            ("belowz2", "belowz"),
            ("self", "self"),
            ("own", "self"),
            ("dora", "root"),
        ]);
        let told = |arguments: &[&str]| {
            let lines = scratch.json(&[&["tree"], arguments].concat());
            lines.iter().map(|line| text(line, "account").replace("@example.org", "")).collect::<Vec<_>>()
        };
        assert_eq!(
            told(&[]),
            ["root", "dora", "ann", "ben", "cid", "below", "z", "y", "x", "belowz", "belowz2", "self", "own"]
        );
        assert_eq!(told(&["y@example.org"]), ["y", "x", "z", "belowz", "belowz2"]);
        assert_eq!(told(&["--depth", "0"]), ["root", "ann", "z", "self"]);
        assert_eq!(told(&["below@example.org", "--up"]), ["below", "cid", "ann", "ben"]);
        assert_eq!(told(&["self@example.org", "--up"]), ["self"]);
        let printed = scratch.prints(&["tree", "self@example.org"]);
        assert!(
            printed.contains("self@example.org  1970-01-01T00:00:10Z  w7d3kq9xmt2c  invited by self@"),
            "{printed}"
        );
    }
}

#[test]
fn a_tree_of_any_shape_has_each_account_once_below_its_inviter() {
    // Wide, deep, and at random: each shape is more than one page.
    let mut seed = 7u32;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as usize % below
    };
    let mut accounts: Vec<(String, Option<String>)> =
        (0..1300).map(|n| (format!("w{n}"), Some("wide".into()))).collect();
    accounts.extend((1..1500).map(|n| (format!("d{n}"), Some(format!("d{}", n - 1)))));
    accounts.extend((0..3000).map(|n| {
        let inviter = [None, Some(format!("r{}", random(6000))), Some(format!("w{}", random(1300)))];
        (format!("r{n}"), inviter[random(3)].clone())
    }));
    let inviters: HashMap<&str, Option<&str>> =
        accounts.iter().map(|(account, inviter)| (account.as_str(), inviter.as_deref())).collect();
    for stored in Stored::of_each_kind() {
        stored.joined(&accounts);
        let mut path: Vec<String> = Vec::new();
        let mut told = std::collections::HashSet::new();
        for line in stored.scratch.json(&["tree"]) {
            let account = text(&line, "account").replace("@example.org", "");
            let depth = usize::try_from(line["depth"].as_u64().unwrap()).unwrap();
            path.truncate(depth);
            assert_eq!(path.len(), depth, "{account} is below somebody");
            if let Some(above) = path.last() {
                assert_eq!(inviters[account.as_str()], Some(above.as_str()), "{account}");
            }
            assert!(told.insert(account.clone()), "{account} is told twice");
            path.push(account);
        }
        assert!(accounts.iter().all(|(account, _)| told.contains(account)), "each is told");
        let deepest = stored.scratch.prints(&["tree", "d0@example.org"]);
        let last = deepest.lines().last().unwrap();
        assert!(last.starts_with(&format!("{}[1499]  d1499@example.org  ", " ".repeat(60))), "{last}");
    }
}

#[test]
fn prosodys_invites_are_imported_from_where_its_configuration_says() {
    let scratch = Scratch::new();
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/prosody_data/13/internal/data");
    fs::write(scratch.path("prosody.cfg.lua"), format!("data_path = \"{data}\"\nVirtualHost \"example.org\"\n"))
        .unwrap();
    let tried = scratch.json(&["import", "prosody", "--dry-run"]).remove(0);
    let imported = scratch.json(&["import", "prosody"]).remove(0);
    assert_eq!((&tried["pending"], &tried["dry_run"]), (&imported["pending"], &json!(true)));
    assert_eq!((&imported["accounts"], &imported["other_hosts"]), (&json!(4), &json!(["other.example"])));
    let listed = scratch.json(&["list", "--limit", "100"]);
    assert_eq!(json!(listed.len()), imported["pending"]);
    let again = scratch.json(&["import", "prosody", "example.org"]).remove(0);
    assert_eq!((&again["imported"], &again["accounts"], &again["ended_since"]), (&json!(0), &json!(0), &json!(0)));

    let place = format!("{}, line 2", scratch.path("prosody.cfg.lua").display());
    let advice = "its database with --sql URL, or its folder with --data DIR";
    let expected = format!(
        "According to {place}, Prosody does not keep all data in files. Name where it keeps invite_token: {advice}"
    );
    for storage in ["storage = \"sql\"", "storage = { invite_token = \"sql\" }", "default_storage = \"sql\""] {
        fs::write(scratch.path("prosody.cfg.lua"), format!("VirtualHost \"example.org\"\n  {storage}\n")).unwrap();
        scratch.fails(&["import", "prosody"], &expected);
    }
    scratch.misused(&["import", "prosody", "--sql", "MySQL://prosody@localhost/prosody"], "docs/moving.md");
}
