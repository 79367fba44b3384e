//! The configuration file: what is read, and the error for each mistake.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::ffi::OsString;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use easy_invite::config::{self, Config};
use easy_invite::lifetime::Lifetime;
use easy_invite::limits::Limits;
use easy_invite::links::{LandingPage, OldPath};
use easy_invite::policy::{HostPolicy, RolePolicy};
use easy_invite::store::StoreUrl;
use easy_invite::texts::Languages;
use easy_invite::web::Colour;
use jid::DomainPart;
use jiff::SignedDuration;
use tempfile::TempDir;

/// The exit code of `run` where it will fail again until the operator changes something.
const HOPELESS: i32 = 78;

/// Lines 1 to 3 of a configuration in which nothing is wrong so far.
const COMPONENT: &str = "[component]\njid = \"invite.example.org\"\nsecret = \"hunter2hunter2\"\n";

/// One more line, with which it is complete.
const HOST: &str = "[hosts.\"example.org\"]\n";

/// Two more, for the web pages.
const WEB: &str = "[web]\npublic_url = \"https://example.org/join\"\n";

fn host(name: &str) -> DomainPart {
    DomainPart::new(name).unwrap().into_owned()
}

fn folder_with(text: impl AsRef<[u8]>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    folder
}

fn loaded(text: &str) -> Config {
    let folder = folder_with(text);
    Config::load(&folder.path().join("config.toml")).unwrap()
}

/// The command line, without the variables of the developer's own environment.
fn easy_invite(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_easy-invite"));
    command.current_dir(folder).args(arguments);
    let of_ours = |name: &OsString| name.as_encoded_bytes().starts_with(b"EASY_INVITE_");
    for variable in std::env::vars_os().map(|(name, _)| name).filter(of_ours) {
        command.env_remove(variable);
    }
    command
}

#[track_caller]
fn assert_failed(output: &Output, message: &str) {
    assert_failed_with(1, output, message);
}

/// The same with another exit code.
#[track_caller]
fn assert_failed_with(code: i32, output: &Output, message: &str) {
    assert_eq!(String::from_utf8_lossy(&output.stderr), format!("easy-invite: {message}\n"));
    assert_eq!(output.status.code(), Some(code));
    assert!(output.stdout.is_empty());
}

/// Checks what the command line says about a configuration that it cannot use.
#[track_caller]
fn assert_refused(text: impl AsRef<[u8]>, message: &str) {
    let folder = folder_with(text);
    assert_failed(&easy_invite(folder.path(), &["list"]).output().unwrap(), message);
}

const HOST_KEYS: &str = "registration_invite_only, allow_user_invites, allow_contact_invites, admins, expire_after, \
                         reset_expire_after, landing_page, invites_per_day, pending_invites, inviter_age, \
                         max_uses, max_expires, notify_inviter, reserved_usernames, roles";

#[test]
fn the_example_is_a_configuration_with_the_defaults() {
    let folder = folder_with(config::EXAMPLE);
    let config = Config::load(&folder.path().join("config.toml")).unwrap();
    assert_eq!(config.component, host("invite.example.org"));
    assert_eq!(config.server, "127.0.0.1:5347");
    assert_eq!(config.secret.clone().unwrap().reveal(), "change me");
    assert_eq!(config.store, StoreUrl::Sqlite(folder.path().join("easy-invite.db")));
    assert_eq!(config.retention, Lifetime::Seconds(90 * 24 * 60 * 60));
    assert_eq!(config.audit, Lifetime::Seconds(90 * 24 * 60 * 60));
    assert_eq!(config.control_socket, folder.path().join("easy-invite.db.sock"));
    let limits = Limits { wrong_tokens: Some(20), registrations: Some(50), pages: Some(600), forms: Some(60) };
    assert_eq!(config.limits, limits);
    assert_eq!((config.web, config.metrics), (None, None));
    assert_eq!(config.hosts, [(host("example.org"), HostPolicy::default())].into());
}

#[test]
fn every_commented_default_of_the_example_is_the_default() {
    let folder = folder_with(config::EXAMPLE);
    let file = folder.path().join("config.toml");
    let as_it_is = Config::load(&file).unwrap();
    let mut uncommented = 0;
    let lines = config::EXAMPLE.lines().map(|line| match line.strip_prefix('#') {
        Some(key) if key.starts_with(|c: char| c.is_ascii_lowercase() || "\"]".contains(c)) => {
            uncommented += usize::from(key.contains(" = "));
            key
        }
        _ => line,
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    fs::write(&file, &text).unwrap();
    assert_eq!(Config::load(&file).unwrap(), as_it_is, "{text}");
    assert_eq!(uncommented, 21);
}

#[test]
fn every_key_that_the_program_knows_stands_in_the_example() {
    // The error for an unknown key names the known ones.
    for table in [
        "[component]\njid = \"a\"\nx = 1",
        "[component]\njid = \"a\"\n[store]\nx = 1",
        "[control]\nx = 1",
        "[limits]\nx = 1",
        "[web]\npublic_url = \"https://a\"\nx = 1",
        "[metrics]\nx = 1",
        "[hosts.a]\nx = 1",
        "[hosts.a.roles.b]\nx = 1",
    ] {
        let folder = folder_with(table);
        let error = Config::load(&folder.path().join("config.toml")).unwrap_err().to_string();
        let (_, known) = error.split_once("expected ").unwrap();
        for key in known.trim_start_matches("one of ").replace(" or ", ", ").split(", ") {
            let written = if key == "roles" { format!(".{key}.") } else { format!("{key} = ") };
            assert!(config::EXAMPLE.contains(&written), "{key} is missing");
        }
    }
}

#[test]
fn every_key_can_be_set() {
    let config = loaded(
        r#"
        [component]
        jid = "Invites.Example.org"
        server = "prosody:5348"
        secret = "s"
        [store]
        url = "sqlite:/var/lib/easy-invite/x.db"
        retention = "never"
        audit = "4w"
        [control]
        socket = "/run/easy-invite/control"
        [limits]
        wrong_tokens = 5
        registrations = "unlimited"
        pages = "unlimited"
        forms = 7
        [hosts."Example.ORG"]
        registration_invite_only = false
        allow_user_invites = false
        allow_contact_invites = false
        admins = ["Alice@example.org"]
        expire_after = "never"
        reset_expire_after = "15m"
        landing_page = "https://example.org/join/#{uri}"
        invites_per_day = 1
        pending_invites = "unlimited"
        inviter_age = "2d"
        max_uses = "unlimited"
        max_expires = "4w"
        [hosts."Example.ORG".roles."prosody:member"]
        allow_user_invites = true
        max_uses = 5
        [hosts."Example.ORG".roles.guests]
        allow_contact_invites = false
        max_expires = "1d"
        [hosts."xn--mnchen-3ya.example"]
        admins = ["Jürgen@MÜNCHEN.example", "bob@XN--mnchen-3ya.example."]
        "#,
    );
    assert_eq!(config.component, host("invites.example.org"));
    assert_eq!(config.server, "prosody:5348");
    assert_eq!(config.store, StoreUrl::Sqlite("/var/lib/easy-invite/x.db".into()));
    assert_eq!(config.retention, Lifetime::Never);
    assert_eq!(config.audit, Lifetime::Seconds(28 * 24 * 60 * 60));
    assert_eq!(config.control_socket, Path::new("/run/easy-invite/control"));
    assert_eq!(config.hosts.len(), 2);
    let admins = config.hosts[&host("münchen.example")].admins.iter().map(|admin| admin.as_str());
    assert_eq!(admins.collect::<Vec<_>>(), ["jürgen@münchen.example", "bob@münchen.example"]);
    let policy = &config.hosts[&host("example.org")];
    assert!(!policy.registration_invite_only && !policy.allow_user_invites && !policy.allow_contact_invites);
    assert_eq!(policy.admins[0].as_str(), "alice@example.org");
    assert_eq!((policy.expire_after, policy.reset_expire_after), (Lifetime::Never, Lifetime::Seconds(900)));
    assert!(policy.landing_page.is_some());
    assert_eq!((policy.invites_per_day, policy.pending_invites), (Some(1), None));
    assert_eq!(policy.inviter_age, SignedDuration::from_hours(48));
    assert_eq!((policy.max_uses, policy.max_expires), (None, "4w".parse().ok()));
    let none = RolePolicy::default();
    let member = RolePolicy { allow_user_invites: Some(true), max_uses: Some(Some(5)), ..none };
    let guest = RolePolicy { allow_contact_invites: Some(false), max_expires: "1d".parse().ok(), ..none };
    assert_eq!(policy.roles, [("prosody:member".to_owned(), member), ("guests".to_owned(), guest)].into());
    assert_eq!(config.limits, Limits { wrong_tokens: Some(5), registrations: None, pages: None, forms: Some(7) });
}

#[test]
fn servers_are_written_as_host_and_port() {
    for server in ["localhost:5347", "127.0.0.1:1", "[::1]:5347", "prosody.internal:65535"] {
        assert_eq!(loaded(&format!("{COMPONENT}server = \"{server}\"\n{HOST}")).server, server);
    }
    let in_unicode = loaded(&format!("{COMPONENT}server = \"chat.münchen.example:5347\"\n{HOST}"));
    assert_eq!(in_unicode.server, "chat.xn--mnchen-3ya.example:5347", "as it is looked up");
    for server in [
        "localhost",
        "localhost:",
        "[::1]",
        ":5347",
        "a b:5347",
        "localhost:5347 ",
        "localhost:0",
        "localhost:65536",
        "localhost:+5",
        "localhost:xmpp",
        "::1:5347",
        "[::1:5347",
        "[localhost]:5347",
        "localhost:5347/",
        "localhost:5347?a",
        "@localhost:5347",
        "me@localhost:5347",
        "xmpp://localhost:5347",
    ] {
        let expected = format!(
            "config.toml:4: component.server: expected host:port, for example 127.0.0.1:5347 or [::1]:5347, found \
             {server:?}"
        );
        assert_refused(format!("{COMPONENT}server = {server:?}\n{HOST}"), &expected);
    }
}

#[test]
fn unknown_keys_are_named_with_the_known_ones() {
    assert_refused(
        format!("{COMPONENT}{HOST}allow_user_invite = true\n"),
        &format!("config.toml:5: hosts.\"example.org\".allow_user_invite: unknown key, expected one of {HOST_KEYS}"),
    );
    assert_refused(
        format!("{COMPONENT}{HOST}[hosts.\"example.org\".friends.x]\n"),
        &format!("config.toml:5: hosts.\"example.org\".friends: unknown key, expected one of {HOST_KEYS}"),
    );
    assert_refused(
        format!("{COMPONENT}{HOST}[hosts.\"example.org\".roles.\"a b\"]\n"),
        "config.toml:5: hosts.\"example.org\".roles.\"a b\": expected the name of a role, such as \"prosody:member\", \
         found \"a b\"",
    );
    assert_refused(
        format!("{COMPONENT}{HOST}[hosts.\"example.org\".roles.a]\nallow_users = true\n"),
        "config.toml:6: hosts.\"example.org\".roles.a.allow_users: unknown key, expected one of allow_user_invites, \
         allow_contact_invites, max_uses, max_expires",
    );
    assert_refused(
        format!("{COMPONENT}port = 5347\n{HOST}"),
        "config.toml:4: component.port: unknown key, expected one of jid, server, secret, secret_file",
    );
    assert_refused(
        format!("{COMPONENT}[store]\npath = \"x\"\n{HOST}"),
        "config.toml:5: store.path: unknown key, expected one of url, retention, audit",
    );
    assert_refused(
        format!("{COMPONENT}[control]\nsock = \"x\"\n{HOST}"),
        "config.toml:5: control.sock: unknown key, expected socket",
    );
    assert_refused(
        format!("{COMPONENT}{HOST}{WEB}proxies = []\n"),
        "config.toml:7: web.proxies: unknown key, expected one of listen, public_url, also, trusted_proxies, name, \
         about, logo, accent, imprint, terms, templates",
    );
    assert_refused(
        format!("{COMPONENT}{HOST}[metric]\n"),
        "config.toml:5: metric: unknown key, expected one of component, store, control, limits, web, metrics, hosts",
    );
}

#[test]
fn wrong_types_are_named() {
    for (line, problem) in [
        ("admins = \"alice@example.org\"", "admins: expected a list, found string \"alice@example.org\""),
        ("admins = [5]", "admins: expected a string, found integer 5"),
        ("registration_invite_only = \"yes\"", "registration_invite_only: expected a boolean, found string \"yes\""),
        ("expire_after = 7", "expire_after: expected a string, found integer 7"),
        ("inviter_age = 0", "inviter_age: expected a string, found integer 0"),
        ("landing_page = true", "landing_page: expected a string, found boolean true"),
    ] {
        let expected = format!("config.toml:5: hosts.\"example.org\".{problem}");
        assert_refused(format!("{COMPONENT}{HOST}{line}\n"), &expected);
    }
    assert_refused(
        format!("{COMPONENT}[hosts]\n\"example.org\" = true\n"),
        "config.toml:5: hosts.\"example.org\": expected a table, found boolean true",
    );
    assert_refused(format!("hosts = 3\n{COMPONENT}"), "config.toml:1: hosts: expected a table, found integer 3");
    assert_refused("component = 5\n", "config.toml:1: component: expected a table, found integer 5");
    // A string in the place of a table may be a secret whose key is in the wrong table.
    for (value, found) in [("\"hunter2\"", "a string"), ("[\"a\", \"hunter2\"]", "a list")] {
        assert_refused(
            format!("{COMPONENT}[hosts]\nsecret = {value}\n"),
            &format!("config.toml:5: hosts.secret: expected a table, found {found}"),
        );
        for table in ["component", "store", "control", "limits", "web"] {
            assert_refused(
                format!("\n{table} = {value}\n"),
                &format!("config.toml:2: {table}: expected a table, found {found}"),
            );
        }
    }
    assert_refused(
        format!("{COMPONENT}{HOST}admins = [\n  \"alice@example.org\",\n  5,\n]\n"),
        "config.toml:7: hosts.\"example.org\".admins: expected a string, found integer 5",
    );
}

#[test]
fn impossible_values_are_named() {
    let duration = "is not a duration: write 90s, 15m, 36h, 7d, 4w (1s to 10 years) or never";
    let age = "is not an age: write 0s, 15m, 36h, 7d, 4w (at most 10 years)";
    let count = "expected a number from 1, or \"unlimited\"";
    for (line, problem) in [
        ("expire_after = \"7\"", format!("expire_after: \"7\" {duration}")),
        ("expire_after = \"0d\"", format!("expire_after: \"0d\" {duration}")),
        ("reset_expire_after = \"-1d\"", format!("reset_expire_after: \"-1d\" {duration}")),
        ("reset_expire_after = \"11000d\"", format!("reset_expire_after: \"11000d\" {duration}")),
        ("admins = [\"alice\"]", "admins: expected a bare JID such as alice@example.org, found \"alice\"".to_owned()),
        (
            "admins = [\"a@example.org\", \"b@example.org/phone\"]",
            "admins: expected a bare JID such as alice@example.org, found \"b@example.org/phone\"".to_owned(),
        ),
        (
            "admins = [\"alice@elsewhere.example\"]",
            "admins: expected a user of example.org, found \"alice@elsewhere.example\"".to_owned(),
        ),
        (
            "landing_page = \"https://example.org/\"",
            "landing_page: a landing page is an http:// or https:// address with {uri} or {token} behind the host's \
             name, and no letter or digit beside it"
                .to_owned(),
        ),
        ("invites_per_day = 0", format!("invites_per_day: {count}, found integer 0")),
        ("invites_per_day = \"100\"", format!("invites_per_day: {count}, found string \"100\"")),
        ("pending_invites = -1", format!("pending_invites: {count}, found integer -1")),
        ("pending_invites = 5000000000", format!("pending_invites: {count}, found integer 5000000000")),
        ("pending_invites = 1.5", format!("pending_invites: {count}, found floating point 1.5")),
        ("pending_invites = false", format!("pending_invites: {count}, found boolean false")),
        ("inviter_age = \"never\"", format!("inviter_age: \"never\" {age}")),
        ("inviter_age = \"2 days\"", format!("inviter_age: \"2 days\" {age}")),
    ] {
        let expected = format!("config.toml:5: hosts.\"example.org\".{problem}");
        assert_refused(format!("{COMPONENT}{HOST}{line}\n"), &expected);
    }
    assert_refused(
        format!("{COMPONENT}{HOST}admins = [\n  \"alice@example.org\",\n\n  \"a@elsewhere.example\",\n]\n"),
        "config.toml:8: hosts.\"example.org\".admins: expected a user of example.org, found \"a@elsewhere.example\"",
    );
    for (line, problem) in [
        (
            "url = \"postgres://user:hunter2@db/x?sslmode=maybe\"",
            "url: a PostgreSQL store is written postgres://USER@HOST/DATABASE?sslmode=MODE: there is no sslmode \
             \"maybe\": expected one of disable, prefer, require, verify-full"
                .to_owned(),
        ),
        (
            "url = \"postgres://user:hunter2@a,,b/x\"",
            "url: a PostgreSQL store is written postgres://USER@HOST/DATABASE?sslmode=MODE: a host is empty in \
             \"a,,b\""
                .to_owned(),
        ),
        (
            "url = \"sqlite://host/x.db\"",
            "url: an SQLite store is written sqlite:FILE: after two slashes a host is expected, which a file has not: \
             write one slash, three, or none"
                .to_owned(),
        ),
        (
            "url = \"easy-invite.db\"",
            "url: a store is written sqlite:FILE, for example sqlite:/var/lib/easy-invite/easy-invite.db, or \
             postgres://USER@HOST/DATABASE"
                .to_owned(),
        ),
        ("retention = \"ninety days\"", format!("retention: \"ninety days\" {duration}")),
        ("audit = \"0s\"", format!("audit: \"0s\" {duration}")),
    ] {
        assert_refused(format!("{COMPONENT}{HOST}[store]\n{line}\n"), &format!("config.toml:6: store.{problem}"));
    }
    assert_refused(
        format!("{COMPONENT}{HOST}[limits]\nwrong_tokens = 0\n"),
        &format!("config.toml:6: limits.wrong_tokens: {count}, found integer 0"),
    );
    assert_refused(
        format!("{COMPONENT}{HOST}[control]\nsocket = \"\"\n"),
        "config.toml:6: control.socket: expected the path of a socket, found nothing",
    );
}

#[test]
fn the_web_side_can_be_set_in_all_its_keys() {
    let folder = folder_with(format!(
        "{COMPONENT}{HOST}{WEB}listen = \"[::1]:8080\"\ntrusted_proxies = [\"::ffff:192.0.2.1\", \"10.0.0.0/8\"]\n\
         name = \"Our chat\"\nabout = {{ de = \"Von {{name}}.\" }}\nlogo = \"logo.svg\"\naccent = \"#2B5f8a\"\n\
         imprint = \"https://example.org/imprint\"\nterms = \"mailto:us@example.org\"\ntemplates = \".\"\n\
         also = [\"/invites_page\", \"/\"]\n"
    ));
    let web = Config::load(&folder.path().join("config.toml")).unwrap().web.unwrap();
    assert_eq!(web.public_url.to_string(), "https://example.org/join");
    assert_eq!(web.listen.to_string(), "[::1]:8080");
    assert_eq!(web.trusted_proxies.iter().map(ToString::to_string).collect::<Vec<_>>(), ["192.0.2.1/32", "10.0.0.0/8"]);
    assert_eq!(web.also, ["/invites_page", "/"].map(|path| OldPath::parse(path).unwrap()));
    assert_eq!(web.branding.name.as_deref(), Some("Our chat"));
    assert_eq!(web.branding.about.unwrap().in_language("de"), Some("Von {name}."));
    assert_eq!(web.branding.logo, Some(folder.path().join("logo.svg")));
    assert_eq!(web.branding.accent, Colour::parse("#2b5f8a"));
    assert_eq!(web.branding.imprint.unwrap().as_str(), "https://example.org/imprint");
    assert_eq!(web.branding.terms.unwrap().as_str(), "mailto:us@example.org");
    assert_eq!(web.branding.templates, Some(folder.path().join(".")));
}

#[test]
fn the_web_side_needs_its_public_url_only() {
    let config = loaded(&format!("{COMPONENT}{HOST}{WEB}name = \" \"\n"));
    let web = config.web.clone().unwrap();
    assert_eq!((web.listen.to_string().as_str(), web.branding.name.as_deref()), ("127.0.0.1:5380", None));
    assert_eq!(web.trusted_proxies.iter().map(ToString::to_string).collect::<Vec<_>>(), ["127.0.0.1/32", "::1/128"]);
    // Links lead there, except those of hosts with a page of their own.
    let page = |text| Some(LandingPage::parse(text).unwrap());
    let landing_page = |config: Config| {
        config.settings(Arc::new(Languages::built_in())).hosts[&host("example.org")].landing_page.clone()
    };
    assert_eq!(landing_page(config), page("https://example.org/join/i/{token}"));
    let own = "https://example.org/#{uri}";
    let config = loaded(&format!("{COMPONENT}{HOST}landing_page = \"{own}\"\n{WEB}"));
    assert_eq!(landing_page(config), page(own));
}

#[test]
fn bad_values_of_the_web_side_are_named() {
    let public_url = "expected an http:// or https:// address without query and fragment, such as \
                      \"https://invite.example.org\"";
    assert_refused(
        format!("{COMPONENT}{HOST}[web]\nlisten = \"127.0.0.1:5380\"\n"),
        "config.toml:5: web.public_url: missing: expected where browsers find the pages, such as \
         \"https://invite.example.org\"",
    );
    for url in [
        "",
        "example.org",
        "ftp://example.org",
        "https://",
        "https://example.org/join?x=1",
        "https://example.org/#join",
        "https://user:pass@example.org/",
        "https://example.org/{token}",
        "https://example.org/a b",
        "https://example.org/:join",
        "https://example.org/join/*",
    ] {
        let text = format!("{COMPONENT}{HOST}[web]\npublic_url = {url:?}\n");
        assert_refused(text, &format!("config.toml:6: web.public_url: {public_url}"));
    }
    let listen = "expected an IP address and a port, such as \"127.0.0.1:5380\", found";
    let proxy = "expected an IP address or a network such as \"10.0.0.0/8\", found";
    let path = "expected the path of old links without their token, such as \"/invites_page\"";
    let taken = "the pages themselves are there: expected another path, at which old links lead";
    let colour = "expected a colour such as \"#2b5f8a\", found";
    let address = "expected an address such as \"https://example.org/imprint\", found";
    let sentence = "expected a sentence of at most 200 characters, in which {name} stands for the name, found";
    for (line, problem) in [
        ("listen = \"localhost:5380\"", format!("listen: {listen} \"localhost:5380\"")),
        ("listen = \"127.0.0.1\"", format!("listen: {listen} \"127.0.0.1\"")),
        ("listen = \"127.0.0.1:0\"", format!("listen: {listen} \"127.0.0.1:0\"")),
        ("listen = \"::1:5380\"", format!("listen: {listen} \"::1:5380\"")),
        ("listen = 5380", "listen: expected a string, found integer 5380".to_owned()),
        ("trusted_proxies = [\"::1\", \"proxy\"]", format!("trusted_proxies: {proxy} \"proxy\"")),
        ("trusted_proxies = [\"10.0.0.0/33\"]", format!("trusted_proxies: {proxy} \"10.0.0.0/33\"")),
        ("trusted_proxies = \"::1\"", "trusted_proxies: expected a list, found string \"::1\"".to_owned()),
        ("also = [\"/a\", \"https://example.org:5281/invites_page\"]", format!("also: {path}")),
        ("also = [\"invites_page\"]", format!("also: {path}")),
        ("also = [\"/invite?\"]", format!("also: {path}")),
        ("also = [\"/invite?{invite.token}\"]", format!("also: {path}")),
        ("also = \"/invite\"", "also: expected a list, found string \"/invite\"".to_owned()),
        ("also = [\"/i\"]", format!("also: {taken}")),
        ("also = [\"/a\", \"/join//%69/\"]", format!("also: {taken}")),
        ("also = [\"/icon.png\"]", format!("also: {taken}")),
        ("also = [\"/join/logo\"]", format!("also: {taken}")),
        ("accent = \"blue\"", format!("accent: {colour} \"blue\"")),
        ("accent = \"#fff\"", format!("accent: {colour} \"#fff\"")),
        ("imprint = \"example.org/imprint\"", format!("imprint: {address} \"example.org/imprint\"")),
        ("terms = \"javascript:alert(1)\"", format!("terms: {address} \"javascript:alert(1)\"")),
        ("name = 5", "name: expected a string, found integer 5".to_owned()),
        ("about = 5", "about: expected a sentence, or one for each language: { en = \"…\", de = \"…\" }".to_owned()),
        ("about = \"From {host}\"", format!("about: {sentence} \"From {{host}}\"")),
        ("about = { en = \"Chat.\", de = \" \" }", format!("about: {sentence} \" \"")),
    ] {
        assert_refused(format!("{COMPONENT}{HOST}{WEB}{line}\n"), &format!("config.toml:7: web.{problem}"));
    }
    for limit in ["pages", "forms"] {
        assert_refused(
            format!("{COMPONENT}{HOST}[limits]\n{limit} = 0\n"),
            &format!("config.toml:6: limits.{limit}: expected a number from 1, or \"unlimited\", found integer 0"),
        );
    }
    let folder = folder_with(format!("{COMPONENT}{HOST}{WEB}templates = \"nowhere\"\n"));
    let error = Config::load(&folder.path().join("config.toml")).unwrap_err().to_string();
    let nowhere = folder.path().join("nowhere");
    let problem = format!("web.templates: {} is no folder: expected one with templates", nowhere.display());
    assert!(error.ends_with(&format!("config.toml:7: {problem}")), "{error}");
}

#[test]
fn run_and_check_say_what_is_wrong_with_the_web_side() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let no_chat_server = COMPONENT.replace("secret =", "server = \"127.0.0.1:1\"\nsecret =");
    for (line, files, problem) in [
        ("templates = \"own\"", &[("own/landing.html", "{% if %}")][..], "own/landing.html: line 1: "),
        ("templates = \"own\"", &[("own/apps.toml", "app = 1")], "own/apps.toml: line 1: "),
        ("templates = \"own\"", &[("own/style.css", "</style>")], "own/style.css: \"</\" would end the style"),
        ("templates = \"own\"", &[("own/languages/xx.toml", "x = 1")], "own/languages/xx.toml: "),
        ("logo = \"own/logo.svg\"", &[], "own/logo.svg: there is no such file"),
        ("logo = \"own/logo.gif\"", &[("own/logo.gif", "GIF")], "own/logo.gif: expected a file that ends in .svg, "),
        (&format!("listen = \"127.0.0.1:{port}\""), &[], &format!("ss -tlnp sport = :{port}")),
        ("listen = \"192.0.2.1:5380\"", &[], "write an address of this machine into [web] listen"),
    ] {
        let folder = folder_with(format!("{no_chat_server}{HOST}{WEB}{line}\n"));
        fs::create_dir_all(folder.path().join("own/languages")).unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let ran = easy_invite(folder.path(), &["run"]).output().unwrap();
        let said = String::from_utf8(ran.stderr).unwrap();
        // An address may be free later.
        assert_eq!(ran.status.code(), Some(if line.starts_with("listen") { 1 } else { HOPELESS }), "{line}");
        let told = said.lines().find(|told| told.starts_with("easy-invite: ")).unwrap_or_default();
        assert!(told.contains(problem), "{line}: {said}");
        let checked = easy_invite(folder.path(), &["check"]).output().unwrap();
        let lines = String::from_utf8(checked.stdout).unwrap();
        let web = lines.lines().find(|told| told.starts_with("web ")).unwrap_or_default();
        assert!(web.starts_with("web                      FAILED ") && web.contains(problem), "{line}: {lines}");
    }
    drop(taken);
    let folder = folder_with(format!("{no_chat_server}{HOST}{WEB}listen = \"127.0.0.1:{port}\"\n"));
    let checked = easy_invite(folder.path(), &["check"]).output().unwrap();
    let good = format!(
        "\nweb                      tried  https://example.org/join on 127.0.0.1:{port} (without the daemon)\n"
    );
    assert!(String::from_utf8(checked.stdout).unwrap().contains(&good));
}

#[test]
fn the_metrics_server_listens_for_this_machine_alone_unless_told_otherwise() {
    let listening = |lines: &str| loaded(&format!("{COMPONENT}{HOST}{lines}")).metrics.unwrap();
    assert_eq!(listening("[metrics]\n").listen.to_string(), "127.0.0.1:5381");
    for (listen, is_public) in [
        ("127.0.0.1:5381", false),
        ("127.1.2.3:9", false),
        ("[::1]:5381", false),
        ("[::ffff:127.0.0.1]:5381", false),
        ("0.0.0.0:5381", true),
        ("[::]:5381", true),
        ("10.0.0.5:5381", true),
        ("[fe80::1]:5381", true),
        ("203.0.113.7:5381", true),
    ] {
        let warning = listening(&format!("[metrics]\nlisten = \"{listen}\"\n")).warning();
        assert_eq!(warning.is_some(), is_public, "{listen}");
        assert!(warning.is_none_or(|warning| warning.contains(&format!("[metrics] listen = \"{listen}\""))));
    }
}

#[test]
fn the_metrics_server_and_the_web_side_have_an_address_each() {
    for (web, metrics) in [
        ("127.0.0.1:5381", "127.0.0.1:5381"),
        ("0.0.0.0:80", "127.0.0.1:80"),
        ("127.0.0.1:80", "[::]:80"),
        ("[::1]:80", "[::1]:80"),
    ] {
        assert_refused(
            format!("{COMPONENT}{HOST}{WEB}listen = \"{web}\"\n[metrics]\nlisten = \"{metrics}\"\n"),
            &format!(
                "config.toml:9: metrics.listen: expected another port than that of [web] listen, found {web} there too"
            ),
        );
    }
    loaded(&format!("{COMPONENT}{HOST}{WEB}listen = \"127.0.0.1:80\"\n[metrics]\nlisten = \"127.0.0.2:80\"\n"));
}

#[test]
fn run_and_check_say_where_the_metrics_cannot_be_served() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let no_chat_server = COMPONENT.replace("secret =", "server = \"127.0.0.1:1\"\nsecret =");
    let with = |listen: &str| folder_with(format!("{no_chat_server}{HOST}[metrics]\nlisten = \"{listen}\"\n"));
    let checked = |folder: &TempDir| {
        let lines = easy_invite(folder.path(), &["check"]).output().unwrap().stdout;
        let lines = String::from_utf8(lines).unwrap();
        lines.lines().find(|told| told.starts_with("metrics ")).unwrap_or_default().to_owned()
    };
    for (listen, problem) in [
        (
            format!("127.0.0.1:{port}"),
            format!("`ss -tlnp sport = :{port}` names who does. End it, or choose another port in [metrics] listen"),
        ),
        (format!("192.0.2.1:{port}"), "write an address of this machine into [metrics] listen".to_owned()),
    ] {
        let folder = with(&listen);
        let ran = easy_invite(folder.path(), &["run"]).output().unwrap();
        let said = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(1), "{listen}");
        let told = said.lines().find(|told| told.starts_with("easy-invite: ")).unwrap_or_default();
        assert!(told.contains(&format!("the metrics server cannot listen on {listen} (")), "{said}");
        assert!(told.contains(&problem), "{said}");
        let found = checked(&folder);
        assert!(found.starts_with("metrics                  FAILED ") && found.contains(&problem), "{found}");
    }
    drop(taken);
    assert_eq!(
        checked(&with(&format!("127.0.0.1:{port}"))),
        format!("metrics                  tried  127.0.0.1:{port} (without the daemon)")
    );
    let open_to_all = checked(&with(&format!("0.0.0.0:{port}")));
    assert!(open_to_all.starts_with(&format!("metrics                  WARN   [metrics] listen = \"0.0.0.0:{port}\"")));
}

#[test]
fn jids_and_hosts_have_to_be_domains() {
    for jid in
        ["invite@example.org", "invite.example.org/x", "https://invite.example.org", "a b", "", "example.org:5347"]
    {
        let expected = format!("config.toml:2: component.jid: expected a domain such as example.org, found {jid:?}");
        assert_refused(format!("[component]\njid = {jid:?}\nsecret = \"x\"\n{HOST}"), &expected);
    }
    assert_refused(
        format!("{COMPONENT}[hosts.\"alice@example.org\"]\n"),
        "config.toml:4: hosts.\"alice@example.org\": expected a domain such as example.org, \
         found \"alice@example.org\"",
    );
    assert_refused(
        format!("{COMPONENT}[hosts.\"Invite.example.org\"]\n"),
        "config.toml:4: hosts.\"Invite.example.org\": the component's own JID: expected a VirtualHost \
         of the chat server",
    );
    for (first, second) in [
        ("Example.org", "example.org"),
        ("münchen.example", "xn--mnchen-3ya.example"),
        ("Xn--mnchen-3YA.example", "MÜNCHEN.example."),
    ] {
        // They are looked at in the order of their names.
        let (one, other, line) = if first < second { (first, second, 5) } else { (second, first, 4) };
        assert_refused(
            format!("{COMPONENT}[hosts.\"{first}\"]\n[hosts.\"{second}\"]\n"),
            &format!(
                "config.toml:{line}: hosts.\"{other}\": the same host as \"{one}\", which has a table too: make one \
                 table of the two"
            ),
        );
    }
}

#[test]
fn hosts_have_to_be_quoted() {
    for (header, host) in [
        ("[hosts.example.org]", "example.org"),
        (" [ hosts.chat.example.org ] # the one", "chat.example.org"),
        ("[hosts.example.org]\nadmins = []", "example.org"),
    ] {
        let folder = folder_with(format!("{COMPONENT}{header}\n"));
        let error = Config::load(&folder.path().join("config.toml")).unwrap_err().to_string();
        let expected = format!(": a name with dots has to be quoted: write [hosts.\"{host}\"]");
        assert!(error.contains("config.toml:4: hosts.") && error.ends_with(&expected), "{error}");
    }
    assert_eq!(loaded(&format!("{COMPONENT}[hosts.localhost]\n")).hosts.len(), 1);
}

#[test]
fn missing_keys_are_named() {
    let table = "missing: expected a table [component] with jid and secret";
    assert_refused("", &format!("config.toml:1: component: {table}"));
    assert_refused(HOST, &format!("config.toml:1: component: {table}"));
    assert_refused(
        format!("# a comment\n[component]\nsecret = \"x\"\n{HOST}"),
        "config.toml:2: component.jid: missing: expected the name of the component, for example \"invite.example.org\"",
    );
    assert_refused(
        COMPONENT,
        "config.toml:1: hosts: expected a table for each VirtualHost served, for example [hosts.\"example.org\"]",
    );
}

#[test]
fn bad_toml_is_named_with_its_line() {
    assert_refused(format!("{COMPONENT}jid = \"x\"\n{HOST}"), "config.toml:4: jid: duplicate key");
    assert_refused(format!("{COMPONENT}{HOST}{HOST}"), "config.toml:5: hosts.\"example.org\": duplicate key");
    assert_refused(
        format!("{COMPONENT}server = localhost:5347\n{HOST}"),
        "config.toml:4: server: string values must be quoted, expected literal string",
    );
    assert_refused(format!("{COMPONENT}[hosts\n"), "config.toml:4: unclosed table, expected `]`");
    // A name with control characters is not shown.
    assert_refused(
        format!("{COMPONENT}[hosts.\"\u{1b}[2J\"]\n"),
        "config.toml:4: invalid basic string, expected non-double-quote visible characters, `\\`",
    );
    assert_refused(b"[component]\njid = \"\xff\"\n", "config.toml:2: expected UTF-8 text, found a byte that is none");
}

#[test]
fn no_error_shows_the_secret() {
    for secret in [
        "secret = hunter2hunter2",
        "secret = \"hunter2hunter2",
        "secret = 'hunter2hunter2",
        "secret = \"\"\"\nhunter2hunter2=",
        "secret = \"\"\"\n[hunter2hunter2]\n",
        "secret = \"hunter2hunter2\" x",
        "secret = \"hunter2hunter2\\q\"",
        "secret = [\"hunter2hunter2\"]",
        "secret = { hunter2hunter2 = \"hunter2hunter2\" }",
        "secret = 42424242",
        "secret = 4242.4242",
        "secret = \"hunter2hunter2\"\nsecret = \"hunter2\"",
        "secret = \"hunter2hunter2\"\nsecret_file = \"x\"",
        "secret = \"hunter2hunter2\"\nserver = 5",
        "secret \"hunter2hunter2\"",
        "secret: \"hunter2hunter2\"",
    ] {
        let folder = folder_with(format!("[component]\njid = \"invite.example.org\"\n{secret}\n{HOST}"));
        for command in ["list", "run", "check"] {
            let output = easy_invite(folder.path(), &[command]).env("EASY_INVITE_LOG", "trace").output().unwrap();
            let printed = [output.stdout, output.stderr].concat();
            let printed = String::from_utf8_lossy(&printed);
            assert_eq!(output.status.code(), Some(if command == "run" { HOPELESS } else { 1 }), "{secret}");
            assert!(printed.contains("config.toml:"), "{secret}: {printed}");
            assert!(!printed.contains("hunter2") && !printed.contains("4242"), "{secret}: {printed}");
        }
    }
}

#[test]
fn bad_secrets_are_refused_without_their_value() {
    let text = |secret: &str| format!("[component]\njid = \"invite.example.org\"\nsecret = {secret}\n{HOST}");
    assert_refused(text("12345678"), "config.toml:3: component.secret: expected a string");
    assert_refused(
        text("\"\""),
        "config.toml:3: component.secret: the secret is empty: expected the component_secret of the chat server",
    );
    assert_refused(
        text("\"x\"\nsecret_file = \"y\""),
        "config.toml:4: component.secret_file: expected either secret or secret_file, found both",
    );
}

#[test]
fn a_secret_file_lies_beside_the_configuration() {
    let text = format!("[component]\njid = \"invite.example.org\"\nsecret_file = \"secret\"\n{HOST}");
    let folder = folder_with(text);
    let load =
        || Config::load(&folder.path().join("config.toml")).unwrap().secret.map(|secret| secret.reveal().to_owned());
    let secret = folder.path().join("secret");
    let unreadable = load().unwrap_err().to_string();
    let prefix = format!("{}:3: component.secret_file: ", folder.path().join("config.toml").display());
    let problem = format!("{} cannot be read: No such file or directory (os error 2)", secret.display());
    assert_eq!(unreadable, format!("{prefix}{problem}"));
    for (text, problem) in [
        ("\n", "the secret is empty: expected the component_secret of the chat server"),
        ("# of Prosody\nhunter2\n", "the secret has more than one line: expected nothing beside it"),
    ] {
        fs::write(&secret, text).unwrap();
        assert_eq!(load().unwrap_err().to_string(), format!("{prefix}{}: {problem}", secret.display()));
    }
    // A file without an end is not read to its end.
    fs::remove_file(&secret).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &secret).unwrap();
    let problem = format!("{} is longer than 65536 bytes: no secret is", secret.display());
    assert_eq!(load().unwrap_err().to_string(), format!("{prefix}{problem}"));
}

#[test]
fn what_editors_and_files_of_variables_leave_around_a_secret_is_no_part_of_it() {
    let folder = folder_with("");
    let file = folder.path().join("config.toml");
    let component =
        |secret: &str| fs::write(&file, format!("[component]\njid = \"invite.example.org\"\n{secret}\n{HOST}"));
    let secret = || Config::load(&file).unwrap().secret.unwrap().reveal().to_owned();
    component("secret_file = \"secret\"").unwrap();
    for (text, expected) in [
        ("hunter2\n", "hunter2"),
        ("hunter2\r\n", "hunter2"),
        (" hunter 2\n\n", "hunter 2"),
        ("\u{feff}hunter2", "hunter2"),
        ("\"hunter2\"", "hunter2"),
        ("'hunter2'\r\n", "hunter2"),
        ("\u{feff}\"' hunter2 '\"\n", "' hunter2 '"),
        ("\"hunter2", "\"hunter2"),
        ("hunter2'", "hunter2'"),
        ("'hunter2\"", "'hunter2\""),
        ("\"", "\""),
    ] {
        fs::write(folder.path().join("secret"), text).unwrap();
        assert_eq!(secret(), expected, "{text:?}");
    }
    for (text, expected) in [("\" hunter2'\"", " hunter2'"), ("\"\"\"\nhunter2\r\n\"\"\"", "hunter2")] {
        component(&format!("secret = {text}")).unwrap();
        assert_eq!(secret(), expected, "TOML has quotes of its own: {text}");
    }
}

/// What a command says on both outputs with a secret in the environment.
fn said_with_secret(folder: &Path, command: &str, secret: &str) -> String {
    let output = easy_invite(folder, &[command]).env(config::SECRET_VARIABLE, secret).output().unwrap();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

#[test]
fn a_secret_of_the_environment_that_differs_from_the_files_is_said_by_run_and_check() {
    let wins = "$EASY_INVITE_SECRET in the environment is another secret than ";
    let socket = format!("[control]\nsocket = \"{}\"\n", "x".repeat(120)); // the daemon ends at once
    let folder = folder_with(format!("{COMPONENT}server = \"127.0.0.1:1\"\n{HOST}{socket}"));
    for command in ["run", "check"] {
        let said = said_with_secret(folder.path(), command, "hunter3");
        assert!(
            said.contains(&format!("{wins}component.secret in config.toml and wins: unset one of the two")),
            "{said}"
        );
        assert!(!said.contains("hunter"), "{said}");
        for same in ["hunter2hunter2", "hunter2hunter2\r\n", "'hunter2hunter2'"] {
            assert!(!said_with_secret(folder.path(), command, same).contains(wins), "{same:?}");
        }
    }
    assert!(!said_with_secret(folder.path(), "list", "hunter3").contains(wins), "who lists has other worries");
}

#[test]
fn a_bad_secret_of_the_environment_is_no_fault_of_the_file() {
    let folder = folder_with(format!("{COMPONENT}{HOST}"));
    for (secret, problem) in [
        ("\n", "the secret is empty: expected the component_secret of the chat server"),
        ("\"\"", "the secret is empty: expected the component_secret of the chat server"),
        ("hunter2\nhunter3", "the secret has more than one line: expected nothing beside it"),
    ] {
        let said = said_with_secret(folder.path(), "run", secret);
        assert_eq!(said, format!("easy-invite: $EASY_INVITE_SECRET in the environment: {problem}\n"));
    }
}

#[test]
fn an_error_is_one_line_whatever_a_path_holds() {
    let component = |rest: &str| format!("[component]\njid = \"invite.example.org\"\n{rest}\n{HOST}");
    let (secret, templates) = ("secret_file = \"a\\tb\\u009b\"", "templates = \"a\\r\\nb\"\n");
    let folder = tempfile::tempdir().unwrap();
    let load = |name: &str, text: String| {
        let file = folder.path().join(name);
        fs::write(&file, text).unwrap();
        Config::load(&file).and_then(|config| config.secret).unwrap_err().to_string()
    };
    let shown = |name: &str| folder.path().join(name).display().to_string();
    assert_eq!(
        load("config.toml", component(secret)),
        format!(
            "{}:3: component.secret_file: {} cannot be read: No such file or directory (os error 2)",
            shown("config.toml"),
            shown("a\\u{9}b\\u{9b}")
        )
    );
    assert_eq!(
        load("config\n.toml", format!("{COMPONENT}{HOST}{WEB}{templates}")),
        format!(
            "{}:7: web.templates: {} is no folder: expected one with templates",
            shown("config\\u{a}.toml"),
            shown("a\\u{d}\\u{a}b")
        )
    );
    // Errors that come later have one line as well.
    let config = loaded(&format!("{COMPONENT}{HOST}{WEB}logo = \"a\\tb.png\"\n"));
    let web = config.web.unwrap();
    let error = easy_invite::web::Pages::load(web.branding, web.public_url).unwrap_err().to_string();
    assert!(error.ends_with("/a\\u{9}b.png: there is no such file"), "{error}");
    for url in ["sqlite:a\tb.db", "postgres://a%09b:x@h/c%09"] {
        let shown = url.parse::<StoreUrl>().unwrap().to_string();
        assert!(shown.contains("\\u{9}") && !shown.contains(char::is_control), "{shown:?}");
    }
}

#[test]
fn without_a_secret_the_store_can_be_used_but_the_daemon_does_not_start() {
    let folder = folder_with(format!("[component]\njid = \"invite.example.org\"\n{HOST}"));
    let made = easy_invite(folder.path(), &["generate", "example.org"]).output().unwrap();
    assert_eq!(made.status.code(), Some(0));
    assert_failed_with(
        HOPELESS,
        &easy_invite(folder.path(), &["run"]).output().unwrap(),
        "config.toml:1: component.secret: missing: expected secret or secret_file here, or $EASY_INVITE_SECRET",
    );
}

#[test]
fn the_secret_of_the_environment_wins() {
    let text =
        format!("[component]\njid = \"invite.example.org\"\nserver = \"127.0.0.1:1\"\nsecret_file = \"no\"\n{HOST}");
    let folder = folder_with(text);
    assert!(easy_invite(folder.path(), &["generate", "example.org"]).output().unwrap().status.success());
    // It gets as far as the chat server, so it has a secret.
    let checked =
        easy_invite(folder.path(), &["check"]).env(config::SECRET_VARIABLE, "from the environment").output().unwrap();
    let lines = String::from_utf8(checked.stdout).unwrap();
    assert!(lines.starts_with("config                   tried  config.toml (without the daemon)\n"), "{lines}");
    assert!(lines.contains("component                FAILED the chat server cannot be reached"), "{lines}");
    let empty = easy_invite(folder.path(), &["run"]).env(config::SECRET_VARIABLE, "").output().unwrap();
    assert_failed_with(
        HOPELESS,
        &empty,
        "config.toml:4: component.secret_file: no cannot be read: No such file or directory (os error 2)",
    );
}

#[test]
fn the_file_is_the_named_one_or_a_usual_one() {
    let nothing = tempfile::tempdir().unwrap();
    if !Path::new(config::USUAL_FILES[1]).exists() {
        assert_failed(
            &easy_invite(nothing.path(), &["list"]).output().unwrap(),
            "no configuration: there is neither config.toml nor /etc/easy-invite/config.toml. Name one with --config \
             or $EASY_INVITE_CONFIG, write a first one with `easy-invite init --host HOST --output \
             /etc/easy-invite/config.toml`, or set $EASY_INVITE_JID, $EASY_INVITE_SECRET and $EASY_INVITE_HOSTS",
        );
    }
    assert_failed(
        &easy_invite(nothing.path(), &["list", "--config", "nope.toml"]).output().unwrap(),
        "nope.toml: cannot be read: No such file or directory (os error 2): `easy-invite init --host HOST --output \
         FILE` writes a first one",
    );
    assert_failed(
        &easy_invite(nothing.path(), &["--config", ".", "list"]).output().unwrap(),
        ".: cannot be read: Is a directory (os error 21)",
    );
    assert_failed(
        &easy_invite(nothing.path(), &["list", "--config", "/dev/zero"]).output().unwrap(),
        "/dev/zero: longer than 1048576 bytes: that is no configuration",
    );
    // The command line wins over the variable, and the variable over the working directory.
    let here = folder_with("here = 1\n");
    fs::write(here.path().join("b.toml"), "b = 1\n").unwrap();
    fs::write(here.path().join("c.toml"), "c = 1\n").unwrap();
    let problem = "unknown key, expected one of component, store, control, limits, web, metrics, hosts";
    let list = |arguments: &[&str]| easy_invite(here.path(), &[&["list"], arguments].concat());
    assert_failed(&list(&[]).output().unwrap(), &format!("config.toml:1: here: {problem}"));
    let variable = |arguments| list(arguments).env(config::FILE_VARIABLE, "b.toml").output().unwrap();
    assert_failed(&variable(&[]), &format!("b.toml:1: b: {problem}"));
    assert_failed(&variable(&["--config", "c.toml"]), &format!("c.toml:1: c: {problem}"));
    assert_failed(
        &list(&[]).env(config::FILE_VARIABLE, "").output().unwrap(),
        &format!("config.toml:1: here: {problem}"),
    );
}

#[test]
fn paths_are_relative_to_the_file_not_to_where_the_program_starts() {
    let folder = folder_with(format!("{COMPONENT}{HOST}[store]\nurl = \"sqlite:data.db\"\n"));
    let elsewhere = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    let arguments = ["generate", "example.org", "--config", file.to_str().unwrap()];
    assert_eq!(easy_invite(elsewhere.path(), &arguments).output().unwrap().status.code(), Some(0));
    assert!(folder.path().join("data.db").exists());
    assert!(fs::read_dir(elsewhere.path()).unwrap().next().is_none());
}

#[test]
fn a_secret_that_everybody_can_read_is_warned_about_by_run_and_check() {
    let no_daemon = COMPONENT.replace("secret =", "server = \"127.0.0.1:1\"\nsecret =");
    let folder = folder_with(format!("{no_daemon}{HOST}[control]\nsocket = \"{}\"\n", "x".repeat(120)));
    let file = folder.path().join("config.toml");
    let warned = |mode, arguments: &[&str]| {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        // With such a socket, the daemon ends at once.
        let output = easy_invite(folder.path(), arguments).output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        said.contains("config.toml holds a secret and can be read by everybody")
    };
    for arguments in [&["run"][..], &["check"]] {
        assert!(warned(0o644, arguments) && !warned(0o640, arguments), "{arguments:?}");
    }
    for arguments in [&["generate", "example.org"][..], &["list"], &["show", "abcdefgh2345"]] {
        assert!(!warned(0o644, arguments), "{arguments:?}");
    }
}

/// What is set in a container, as far as a test can have it: the store is where the test may write,
/// and nobody listens on the server's port.
fn in_a_container(folder: &Path, arguments: &[&str], more: &[(&str, &str)]) -> Command {
    let mut command = easy_invite(folder, arguments);
    let store = format!("sqlite:{}", folder.join("easy-invite.db").display());
    command.env("EASY_INVITE_STORE", store).env("EASY_INVITE_JID", "invite.example.org");
    command.env("EASY_INVITE_SERVER", "127.0.0.1:1").env("EASY_INVITE_HOSTS", "example.org, example.net");
    command.env(config::SECRET_VARIABLE, "hunter2hunter2").envs(more.iter().copied());
    command
}

fn has_system_wide_file() -> bool {
    Path::new(config::USUAL_FILES[1]).exists()
}

#[test]
fn the_environment_is_enough_and_is_named_as_the_configuration() {
    if has_system_wide_file() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str], more: &[(&str, &str)]| {
        let output = in_a_container(folder.path(), arguments, more).output().unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    let pages = ("EASY_INVITE_PUBLIC_URL", "https://example.net/join");
    let made = run(&["generate", "example.net"], &[pages]);
    assert!(made.contains("https://example.net/join/i/"), "{made}");
    // How pages are served makes none, which an image that says it relies on.
    let listen = ("EASY_INVITE_LISTEN", "0.0.0.0:5380");
    let made = run(&["generate", "example.org"], &[listen, ("EASY_INVITE_TRUSTED_PROXIES", "10.0.0.0/8 ::1")]);
    assert!(made.contains("xmpp:example.org?register") && !made.contains("http"), "{made}");
    let checked = run(&["check"], &[]);
    let variables = "EASY_INVITE_HOSTS, EASY_INVITE_JID, EASY_INVITE_SERVER, EASY_INVITE_STORE";
    assert!(
        checked.starts_with(&format!(
            "config                   tried  the environment: {variables} (without the daemon)\n"
        )),
        "{checked}"
    );
    assert!(checked.contains("component                FAILED the chat server cannot be reached"), "{checked}");
    let refused = run(&["generate", "example.com"], &[]);
    assert!(refused.contains("it serves example.net, example.org"), "{refused}");
}

#[test]
fn each_variable_wins_over_the_file_and_hosts_keep_what_the_file_says_of_them() {
    let file = "[component]\njid = \"wrong.example.org\"\nsecret = \"wrong\"\nserver = \"127.0.0.1:1\"\n\
                [store]\nurl = \"sqlite:wrong.db\"\n\
                [web]\npublic_url = \"https://wrong.example.org\"\nlisten = \"127.0.0.1:1\"\n\
                [metrics]\nlisten = \"127.0.0.1:1\"\n\
                [hosts.\"xn--mnchen-3ya.example\"]\nlanding_page = \"https://join.example/{token}\"\n\
                [hosts.\"wrong.example\"]\n";
    let folder = folder_with(file);
    fs::write(folder.path().join("secret"), "hunter2").unwrap();
    let variables = [
        ("EASY_INVITE_JID", "\"invite.example.org\""),
        ("EASY_INVITE_SERVER", "prosody:5347"),
        ("EASY_INVITE_SECRET_FILE", "secret"),
        ("EASY_INVITE_STORE", "sqlite:right.db"),
        ("EASY_INVITE_PUBLIC_URL", "https://right.example.org"),
        ("EASY_INVITE_LISTEN", "127.0.0.1:5390"),
        ("EASY_INVITE_TRUSTED_PROXIES", "10.0.0.0/8,fd00::/8"),
        ("EASY_INVITE_METRICS_LISTEN", "127.0.0.1:5391"),
        ("EASY_INVITE_HOSTS", "München.example example.org,"),
    ];
    let run = |arguments: &[&str]| {
        let output = easy_invite(folder.path(), arguments).envs(variables).output().unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    assert!(run(&["generate", "münchen.example"]).contains("https://join.example/"));
    assert!(run(&["generate", "example.org"]).contains("https://right.example.org/i/"));
    assert!(run(&["generate", "wrong.example"]).contains("it serves example.org, münchen.example"));
    assert!(folder.path().join("right.db").exists() && !folder.path().join("wrong.db").exists());
    let checked = run(&["check"]);
    let all = "EASY_INVITE_HOSTS, EASY_INVITE_JID, EASY_INVITE_LISTEN, EASY_INVITE_METRICS_LISTEN, \
               EASY_INVITE_PUBLIC_URL, EASY_INVITE_SECRET_FILE, EASY_INVITE_SERVER, EASY_INVITE_STORE, \
               EASY_INVITE_TRUSTED_PROXIES";
    assert!(checked.contains(&format!("tried  config.toml, and {all} in the environment ")), "{checked}");
    for right in ["https://right.example.org on 127.0.0.1:5390", "tried  127.0.0.1:5391", "prosody:5347"] {
        assert!(checked.contains(right), "{right}: {checked}");
    }
    assert!(!checked.contains("wrong") && !checked.contains("hunter2"), "{checked}");
}

#[test]
fn a_bad_variable_is_named_without_what_it_holds() {
    let file = folder_with(format!("{COMPONENT}{HOST}{WEB}[metrics]\n"));
    let none = tempfile::tempdir().unwrap();
    let expected_listen = "expected an IP address and a port, such as \"127.0.0.1:5380\"";
    for (name, value, problem) in [
        ("EASY_INVITE_JID", "hunter2@example.org", "expected a domain such as example.org"),
        ("EASY_INVITE_SERVER", "hunter2", "expected host:port, for example 127.0.0.1:5347 or [::1]:5347"),
        (
            "EASY_INVITE_STORE",
            "mysql://u:hunter2@h/d",
            "a store is written sqlite:FILE, for example sqlite:/var/lib/easy-invite/easy-invite.db, or \
             postgres://USER@HOST/DATABASE",
        ),
        (
            "EASY_INVITE_PUBLIC_URL",
            "hunter2",
            "expected an http:// or https:// address without query and fragment, such as \
             \"https://invite.example.org\"",
        ),
        ("EASY_INVITE_LISTEN", "5380:hunter2", expected_listen),
        ("EASY_INVITE_METRICS_LISTEN", "hunter2", expected_listen),
        (
            "EASY_INVITE_TRUSTED_PROXIES",
            "10.0.0.1,hunter2",
            "expected an IP address or a network such as \"10.0.0.0/8\"",
        ),
        ("EASY_INVITE_HOSTS", "example.org,https://hunter2", "expected a domain such as example.org"),
        ("EASY_INVITE_HOSTS", " , ", "expected the VirtualHosts served, for example example.org"),
        (
            "EASY_INVITE_HOSTS",
            "example.net invite.example.org",
            "the component's own JID: expected a VirtualHost of the chat server",
        ),
    ] {
        let message = format!("${name} in the environment: {problem}");
        let beside_a_file = easy_invite(file.path(), &["run"]).env(name, value).output().unwrap();
        assert_failed_with(HOPELESS, &beside_a_file, &message);
        if !has_system_wide_file() {
            let alone = in_a_container(none.path(), &["run"], &[(name, value)]).output().unwrap();
            assert_failed_with(HOPELESS, &alone, &message);
        }
    }
    // Of a key that a variable does not set, it is the file's line.
    let text = format!("{COMPONENT}{HOST}[hosts.\"example.org\".roles.\" \"]\n");
    let role =
        easy_invite(folder_with(text).path(), &["list"]).env("EASY_INVITE_HOSTS", "example.org").output().unwrap();
    assert!(String::from_utf8(role.stderr).unwrap().starts_with("easy-invite: config.toml:5: hosts."));
}

#[test]
fn what_the_environment_lacks_is_named_as_a_variable() {
    if has_system_wide_file() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (lacking, problem) in [
        (
            "EASY_INVITE_JID",
            "missing: expected the name of the component, for example \"invite.example.org\". There is no file \
             config.toml or /etc/easy-invite/config.toml either",
        ),
        ("EASY_INVITE_HOSTS", "missing: expected the VirtualHosts served, for example example.org"),
        ("EASY_INVITE_SECRET", "missing: expected Prosody's component_secret"),
    ] {
        // A variable of a compose file whose value is missing is there, and empty.
        for empty in [true, false] {
            let mut command = in_a_container(folder.path(), &["run"], &[]);
            let output = if empty { command.env(lacking, "") } else { command.env_remove(lacking) }.output().unwrap();
            assert_failed_with(HOPELESS, &output, &format!("${lacking} in the environment: {problem}"));
        }
    }
    let unreadable = [("EASY_INVITE_SECRET", ""), ("EASY_INVITE_SECRET_FILE", "/run/secrets/no")];
    assert_failed_with(
        HOPELESS,
        &in_a_container(folder.path(), &["run"], &unreadable).output().unwrap(),
        "$EASY_INVITE_SECRET_FILE in the environment: /run/secrets/no cannot be read: No such file or directory (os \
         error 2)",
    );
}

#[test]
fn an_unknown_variable_is_an_error_without_a_file_and_a_warning_beside_one() {
    let known = "there is no such variable: expected one of EASY_INVITE_JID, EASY_INVITE_SERVER, \
                 EASY_INVITE_SECRET_FILE, EASY_INVITE_STORE, EASY_INVITE_PUBLIC_URL, EASY_INVITE_LISTEN, \
                 EASY_INVITE_TRUSTED_PROXIES, EASY_INVITE_METRICS_LISTEN, EASY_INVITE_HOSTS, EASY_INVITE_SECRET, \
                 EASY_INVITE_CONFIG, EASY_INVITE_LOG";
    let socket = format!("[control]\nsocket = \"{}\"\n", "x".repeat(120)); // the daemon ends at once
    let file = folder_with(format!("{COMPONENT}server = \"127.0.0.1:1\"\n{HOST}{socket}"));
    let none = tempfile::tempdir().unwrap();
    for name in ["EASY_INVITE_HOST", "EASY_INVITE_URL", "EASY_INVITE_SECRETS", "EASY_INVITE_jid", "EASY_INVITE_"] {
        let said = format!("${name} in the environment: {known}");
        if !has_system_wide_file() {
            for command in ["run", "list"] {
                let output = in_a_container(none.path(), &[command], &[(name, "hunter2")]).output().unwrap();
                assert_failed_with(if command == "run" { HOPELESS } else { 1 }, &output, &said);
            }
        }
        for command in ["run", "check"] {
            let output = easy_invite(file.path(), &[command]).env(name, "hunter2").output().unwrap();
            let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            assert!(printed.contains(&said) && !printed.contains("hunter2"), "{printed}");
        }
        let listed = easy_invite(file.path(), &["list"]).env(name, "hunter2").output().unwrap();
        assert!(!String::from_utf8_lossy(&listed.stderr).contains(name), "who lists has other worries");
    }
}

#[test]
fn what_kubernetes_says_of_a_service_called_easy_invite_is_no_mistake() {
    if has_system_wide_file() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let of_services = [
        ("EASY_INVITE_SERVICE_HOST", "10.0.0.1"),
        ("EASY_INVITE_SERVICE_PORT", "5380"),
        ("EASY_INVITE_SERVICE_PORT_HTTP", "5380"),
        ("EASY_INVITE_PORT", "tcp://10.0.0.1:5380"),
        ("EASY_INVITE_PORT_5380_TCP_ADDR", "10.0.0.1"),
        ("EASY_INVITE_METRICS_SERVICE_HOST", "10.0.0.2"),
    ];
    let mut command = in_a_container(folder.path(), &["generate", "example.org"], &of_services);
    assert!(!command.output().unwrap().status.success());
    assert!(command.env("KUBERNETES_SERVICE_HOST", "10.0.0.3").output().unwrap().status.success());
}
