//! Reading what Prosody's own modules know of invites: what real Prosodys wrote, which is in
//! tests/prosody_data, and what no Prosody writes.

mod engines;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use easy_invite::import::prosody::{Source, read};
use easy_invite::import::{By, Imported, Item, Joined, Kind, Reason, Skipped, channel};
use easy_invite::invite::{Invite, InviteType, Issuer, State, Token};
use easy_invite::jids;
use easy_invite::store::StoreUrl;
use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use tempfile::TempDir;

/// A moment after the recorded invites were made: the end of 2026.
const NOW: i64 = 1_796_000_000;

fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

fn recorded(version: &str, storage: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/prosody_data", version, storage].iter().collect()
}

/// What a source sends for these hosts, and how it ends.
async fn all(source: Source, hosts: &[&str]) -> (Vec<Item>, anyhow::Result<()>) {
    let (sender, mut items) = channel();
    let hosts = hosts.iter().map(|host| jids::domain(host).unwrap()).collect();
    let reading = tokio::spawn(read(source, hosts, now(), sender));
    let mut found = Vec::new();
    while let Some(item) = items.recv().await {
        found.push(item);
    }
    (found, reading.await.unwrap())
}

/// The same of a folder that can be read.
async fn items_of(data: &Path) -> Vec<Item> {
    let (items, ended) = all(Source::Folder(data.to_owned()), &["example.org"]).await;
    ended.unwrap();
    items
}

fn invites(items: &[Item]) -> Vec<&Imported> {
    items.iter().filter_map(|item| if let Item::Invite(imported) = item { Some(&**imported) } else { None }).collect()
}

fn accounts(items: &[Item]) -> BTreeMap<String, &Joined> {
    let joined = items.iter().filter_map(|item| if let Item::Account(joined) = item { Some(joined) } else { None });
    joined.map(|joined| (joined.account.to_string(), joined)).collect()
}

fn skipped(items: &[Item]) -> Vec<&Skipped> {
    items.iter().filter_map(|item| if let Item::Skipped(skipped) = item { Some(skipped) } else { None }).collect()
}

fn whole(items: &[Item]) -> Vec<String> {
    items.iter().filter_map(|item| if let Item::Whole(host) = item { Some(host.to_string()) } else { None }).collect()
}

/// A database of SQLite as Prosody makes it, in this mode of its journal.
fn sqlite(sql: &str, mode: &str) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("prosody.sqlite");
    let database = rusqlite::Connection::open(&file).unwrap();
    database.pragma_update(None, "journal_mode", mode).unwrap();
    database.execute_batch(sql).unwrap();
    (folder, file)
}

/// That what was sent is what the links that were made say, and nothing else.
fn check(items: &[Item], sent: &Path, version: &str) {
    let sent: BTreeMap<String, Value> = serde_json::from_str(&fs::read_to_string(sent).unwrap()).unwrap();
    let mut found = invites(items);
    for (name, link) in sent {
        let (_, token) = link["uri"].as_str().unwrap().split_once("preauth=").unwrap();
        let token = Token::parse(token.trim_end_matches(";ibr=y")).unwrap();
        let place = found.iter().position(|imported| imported.invite.token_hash == token.hash());
        let ours = link["host"] == "example.org" && matches!(link["state"].as_str(), Some("pending" | "expired"));
        assert_eq!(place.is_some(), ours, "{version}: {name}");
        let Some(place) = place else { continue };
        let invite = &found.swap_remove(place).invite;
        let state = if link["state"] == "pending" { State::Pending } else { State::Expired };
        assert_eq!(invite.state(now()), state, "{version}: {name}");
        let shown = serde_json::to_value(invite).unwrap();
        for (field, value) in link["shown"].as_object().unwrap() {
            assert_eq!(&shown[field], value, "{version}: {name}, {field}");
        }
        assert_eq!((invite.uses, invite.token_length), (0, Some(24)), "{version}: {name}");
        // Its half went with the account, so the name may be somebody else's by now.
        let of_nobody = name == "friend of somebody who is gone";
        assert_eq!(invite.owners_since, (!of_nobody).then(now), "{version}: {name}");
    }
    assert!(found.is_empty(), "{version}: {found:?}");
    assert_eq!(whole(items), ["example.org"], "{version}");
    assert!(skipped(items).iter().all(|it| it.reason == Reason::OtherHost), "{version}: {:?}", skipped(items));
    assert_eq!(skipped(items).len(), 1, "{version}: the invite of the other host");
    let accounts = accounts(items);
    let inviters: Vec<_> =
        accounts.iter().map(|(account, it)| (&**account, it.inviter.as_ref().map(ToString::to_string))).collect();
    assert_eq!(
        inviters,
        [
            ("friend@example.org", Some("alice@example.org".to_owned())),
            ("member-1@example.org", None),
            ("member-2@example.org", None),
            ("visitor@example.org", None),
        ],
        "{version}"
    );
    let for_many = invites(items).into_iter().find(|it| it.invite.max_uses.is_none()).unwrap().invite.token_hash;
    assert!(matches!(accounts["member-1@example.org"].by, Some(By::Token(token)) if token == for_many), "{version}");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_real_prosodys_keep_in_files_is_read() {
    for version in ["0.12", "13"] {
        let folder = recorded(version, "internal");
        check(&items_of(&folder.join("data")).await, &folder.join("sent.json"), version);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_real_prosodys_keep_in_sqlite_is_read() {
    for version in ["0.12", "13"] {
        let folder = recorded(version, "sqlite");
        for mode in ["delete", "wal"] {
            let (_folder, file) = sqlite(&fs::read_to_string(folder.join("prosody.sql")).unwrap(), mode);
            let (items, ended) = all(Source::Sql(StoreUrl::Sqlite(file)), &["example.org"]).await;
            ended.unwrap();
            check(&items, &folder.join("sent.json"), version);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_real_prosodys_keep_in_postgresql_is_read() {
    for version in ["0.12", "13"] {
        let folder = recorded(version, "postgresql");
        let database = engines::Database::new(&engines::server()).await;
        let sql = fs::read_to_string(folder.join("prosody.sql")).unwrap();
        for statement in sql.split_inclusive(";\n") {
            engines::query(&database.url, statement).await;
        }
        let (items, ended) = all(Source::Sql(database.url.parse().unwrap()), &["example.org"]).await;
        ended.unwrap();
        check(&items, &folder.join("sent.json"), version);
    }
}

/// A data folder with these files.
fn data(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, contents) in files {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, contents).unwrap();
    }
    folder
}

/// The same with this table as what the host has of invites.
fn of_host(table: &str) -> TempDir {
    data(&[("example%2eorg/invite_token.dat", &format!("return {{ {table} }};\n"))])
}

/// An invite of the host's in Lua, with more in it.
fn invite(token: &str, more: &str) -> String {
    format!(
        "['{token}'] = {{ token = '{token}', type = 'register', jid = 'example.org', allow_registration = true, \
         created_at = 1795000000, expires = 1797000000, {more} }};"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contact_is_what_only_the_inviter_has() {
    let roster = "type = 'roster', jid = 'alice@example.org', additional_data = { source = 'alice@example.org/x' }";
    let host = format!("return {{ {} }};", invite("of-both-halves", roster));
    let halves = "return { ['of-both-halves'] = 1797000000; ['of-the-inviter'] = 1796500000.5; };";
    let folder = data(&[
        ("example%2eorg/invite_token.dat", &host),
        ("example%2eorg/invite_token/alice.dat", halves),
        ("example%2eorg/invite_token/Zo%C3%AB%2eq.dat", "return { ['of-another-one'] = 1797000000; };"),
        // What prosody-migrator makes of the host's.
        ("example%2eorg/invite_token/.dat", &host),
        ("example%2eorg/invite_token/alice.dat~", "return {"),
    ]);
    let items = items_of(folder.path()).await;
    let mut found: Vec<_> = invites(&items)
        .iter()
        .map(|it| (it.invite.invite_type, it.invite.inviter.as_ref().unwrap().to_string(), it.invite.issuer))
        .collect();
    found.sort_by_key(|(invite_type, inviter, _)| (invite_type.to_string(), inviter.clone()));
    assert_eq!(
        found,
        [
            (InviteType::AccountAndContact, "alice@example.org".to_owned(), Issuer::User),
            (InviteType::Contact, "alice@example.org".to_owned(), Issuer::User),
            (InviteType::Contact, "zoë.q@example.org".to_owned(), Issuer::User),
        ]
    );
    let contact =
        &invites(&items).into_iter().find(|it| it.invite.expires_at == Some(at(1_796_500_000))).unwrap().invite;
    assert_eq!((contact.created_at, contact.owners_since), (at(1_796_500_000 - 7 * 86_400), Some(now())));
    assert_eq!((skipped(&items).len(), whole(&items)), (0, vec!["example.org".to_owned()]));
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_invite_says_becomes_ours() {
    for (more, check) in [
        (
            "",
            (|it| it.issuer == Issuer::Operator && it.max_uses == Some(1) && it.inviter.is_none())
                as fn(&Invite) -> bool,
        ),
        ("additional_data = { roles = { 'prosody:member', 'b' } }", |it| it.roles == ["prosody:member", "b"]),
        ("additional_data = { roles = { ['prosody:admin'] = true, b = false } }", |it| it.roles == ["prosody:admin"]),
        ("additional_data = { groups = { 'default', 'x' }, note = 'für Käthe' }", |it| {
            it.groups == ["default", "x"] && it.note.as_deref() == Some("für Käthe")
        }),
        ("reusable = true", |it| it.max_uses.is_none()),
        ("reusable = true, jid = 'carol@example.org'", |it| it.max_uses == Some(1)),
        ("jid = 'Carol@Example.ORG'", |it| it.username.as_deref().is_some_and(|name| name.as_str() == "carol")),
        ("jid = 'carol@example.org', additional_data = { allow_reset = 'carol' }", |it| {
            it.invite_type == InviteType::PasswordReset && it.account().unwrap().to_string() == "carol@example.org"
        }),
        ("additional_data = { source = 'admin@example.org/phone' }", |it| {
            it.issuer == Issuer::Admin && it.inviter.as_ref().unwrap().to_string() == "admin@example.org"
        }),
        ("additional_data = { source = 'admin@example.org/admin_api' }", |it| it.issuer == Issuer::Admin),
        ("additional_data = { source = 'api/token/bootstrap-1' }", |it| it.issuer == Issuer::Operator),
        ("additional_data = { source = 'admin@elsewhere.example' }", |it| it.inviter.is_none()),
        ("expires = 1795999999.9", |it| it.expires_at == Some(at(1_795_999_999)) && it.state(now()) == State::Expired),
        ("expires = (1/0)", |it| it.expires_at.is_none()),
        ("expires = 1e400", |it| it.expires_at.is_none()),
        ("expires = 99999999999999", |it| it.expires_at.is_none()),
        ("expires = (-1/0)", |it| it.state(now()) == State::Expired),
        ("expires = 0", |it| it.state(now()) == State::Expired && it.expires_at >= Some(it.created_at)),
        ("created_at = 1900000000", |it| it.created_at == now()),
        ("created_at = (0/0)", |it| it.owners_since == Some(now()) && it.created_at <= now()),
        ("uri = 'x', landing_page = 'y', future = { 1, 2 }", |it| it.max_uses == Some(1)),
        ("type = 'roster', jid = 'alice@example.org', allow_registration = false", |it| {
            it.invite_type == InviteType::Contact
        }),
    ] {
        let items = items_of(of_host(&invite("abcdefgh", more)).path()).await;
        assert_eq!(skipped(&items).len(), 0, "{more}");
        assert!(check(&invites(&items)[0].invite), "{more}: {items:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_place_here_is_counted_by_name_and_no_token_is_a_name() {
    let table = [
        invite("abcdefgh", "landing_page = 'x', additional_data = { source = 'api/token/x', contact = 'y' }"),
        invite("ijklmnop", "landing_page = 'x', additional_data = { source = 'admin@example.org', note = 'n' }"),
        invite("qrstuvwx", "['SECRETSECRET'] = 1, additional_data = { ['SECRETSECRET'] = 1 }"),
    ];
    let items = items_of(of_host(&table.concat()).path()).await;
    let left_out =
        items.iter().filter_map(|it| if let Item::LeftOut(name, count) = it { Some((&**name, *count)) } else { None });
    let expected = [("additional_data.contact", 1), ("additional_data.source", 1), ("landing_page", 2), ("other", 2)];
    assert_eq!(left_out.collect::<Vec<_>>(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_snikkets_portal_and_apps_make_is_read() {
    let by_the_portal = "source = 'admin@example.org/admin_api'";
    let table = [
        invite(
            "of-one--",
            &format!(
                "additional_data = {{ {by_the_portal}, groups = {{ 'default' }}, roles = {{ 'prosody:restricted' }} }}"
            ),
        ),
        invite("of-many-", &format!("reusable = true, additional_data = {{ {by_the_portal}, groups = {{ 'k2Xh' }} }}")),
        invite("of-reset", "jid = 'bob@example.org', additional_data = { allow_reset = 'bob' }"),
        invite("of-alice", "type = 'roster', jid = 'alice@example.org', additional_data = { groups = { 'default' } }"),
        invite(
            "of-setup",
            "additional_data = { source = 'api/token/bootstrap-0', groups = { 'default' }, \
             roles = { 'prosody:admin' } }",
        ),
    ];
    let items = items_of(of_host(&table.concat()).path()).await;
    let found: Vec<_> = invites(&items)
        .iter()
        .map(|it| {
            (
                it.invite.invite_type.to_string(),
                it.invite.issuer,
                it.invite.max_uses,
                it.invite.roles.concat(),
                it.invite.groups.concat(),
            )
        })
        .map(|(invite_type, issuer, uses, role, group)| format!("{invite_type} {issuer} {uses:?} {role} {group}"))
        .collect();
    assert_eq!(
        found,
        [
            "account admin Some(1) prosody:restricted default",
            "account admin None  k2Xh",
            "password-reset operator Some(1)  ",
            "account-and-contact user Some(1)  default",
            "account operator Some(1) prosody:admin default",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_skipped_with_its_place() {
    for (table, reason) in [
        (invite("short", ""), Reason::Token),
        (invite("with=signs", ""), Reason::Token),
        ("5;".to_owned(), Reason::Token),
        ("abcdefgh = 5".to_owned(), Reason::Malformed),
        (invite("abcdefgh", "jid = nil"), Reason::Malformed),
        (invite("abcdefgh", "jid = 'other.example'"), Reason::Malformed),
        (invite("abcdefgh", "jid = 'a b@example.org'"), Reason::Name),
        (invite("abcdefgh", "jid = '\\255@example.org'"), Reason::Malformed),
        (invite("abcdefgh", "type = 'room'"), Reason::Unsupported),
        (invite("abcdefgh", "type = 'roster'"), Reason::Malformed),
        (invite("abcdefgh", "expires = nil"), Reason::Malformed),
        (invite("abcdefgh", "expires = (0/0)"), Reason::Malformed),
        (invite("abcdefgh", "additional_data = { roles = { 5 } }"), Reason::Malformed),
        (invite("abcdefgh", "additional_data = { allow_reset = true }"), Reason::Malformed),
    ] {
        let folder = of_host(&format!("\n{table}\n"));
        let items = items_of(folder.path()).await;
        let [Skipped { kind: Kind::Invite, reason: found, place, .. }] = skipped(&items)[..] else {
            panic!("{table}: {items:?}")
        };
        assert_eq!((found, invites(&items).len()), (&reason, 0), "{table}");
        assert_eq!(*place, format!("{}/example%2eorg/invite_token.dat, line 2", folder.path().display()), "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_found_however_it_is_written() {
    for (folder, host) in [
        ("b%c3%bccher%2eexample", "bücher.example"),
        ("B%C3%BCcher%2Eexample", "xn--bcher-kva.example"),
        ("xn%2d%2dbcher%2dkva%2eexample", "BÜCHER.example"),
        ("%e4%be%8b%e5%ad%90%2eexample", "例子.example"),
    ] {
        let table = invite("abcdefgh", "jid = 'bücher.example'").replace("bücher.example", host);
        let folder = data(&[(&format!("{folder}/invite_token.dat"), &format!("return {{ {table} }};"))]);
        let (items, ended) = all(Source::Folder(folder.path().to_owned()), &[host]).await;
        ended.unwrap();
        assert_eq!(invites(&items).len(), 1, "{host}: {items:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_invites_is_read_whole_if_it_had_some() {
    // Prosody removes a file in which nothing is left, but no folder.
    let folder = data(&[("example%2eorg/accounts/alice.dat", "return {};"), ("_global/x.dat", "return {};")]);
    assert_eq!(items_of(folder.path()).await, [], "its invites may be in SQL");
    let invites = folder.path().join("example%2eorg/invite_token");
    fs::create_dir(&invites).unwrap();
    assert_eq!(items_of(folder.path()).await, [Item::Whole(jids::domain("example.org").unwrap())]);
    // A link that leads to nothing may lead to a disk that is not mounted.
    for name in ["invite_token.dat", "invite_token/bob.dat"] {
        let link = folder.path().join("example%2eorg").join(name);
        symlink("/nonexistent/invites", &link).unwrap();
        let (items, ended) = all(Source::Folder(folder.path().to_owned()), &["example.org"]).await;
        assert!(items.is_empty() && ended.unwrap_err().to_string().contains(name));
        fs::remove_file(&link).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_ends_too_early_hides_no_other_file_and_no_contact_is_made_of_halves() {
    let whole_file = format!("return {{\n{}\n{}\n}};", invite("abcdefgh", ""), invite("SECRETSECRET", ""));
    let folder = data(&[
        ("example%2eorg/invite_token.dat", &whole_file[..whole_file.find("SECRETSECRET', type").unwrap() + 5]),
        ("example%2eorg/invite_token/alice.dat", "return { ['ijklmnop'] = 1797000000; };"),
        ("example%2eorg/invites_tracking/bob.dat", "return { invite_id = 'abcdefgh' };"),
        ("example%2eorg/invites_tracking/carol.dat", "return { invite_id = 'SECRETSECRET'"),
    ]);
    let (items, ended) = all(Source::Folder(folder.path().to_owned()), &["example.org"]).await;
    let problem = ended.unwrap_err().to_string();
    let file = folder.path().join("example%2eorg/invite_token.dat");
    let expected =
        format!("{}, line 3: expected the end of the text, a quotation mark, but the file ends there", file.display());
    assert!(problem.starts_with(&expected) && problem.contains("1 more file"), "{problem}");
    assert_eq!((invites(&items).len(), whole(&items).len()), (1, 0), "nothing ends by half of a file: {items:?}");
    assert_eq!(invites(&items)[0].invite.invite_type, InviteType::Account);
    assert!(accounts(&items).contains_key("bob@example.org"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_data_of_prosody_is_said() {
    let empty = TempDir::new().unwrap();
    let with_a_file = data(&[("example%2eorg/invite_token.dat", "")]);
    let a_file = with_a_file.path().join("example%2eorg/invite_token.dat");
    let no_table = sqlite("CREATE TABLE x (y);", "delete");
    for (source, expected) in [
        (Source::Folder(empty.path().to_owned()), "is no data folder of Prosody"),
        (Source::Folder(empty.path().join("missing")), "missing: No such file or directory"),
        (Source::Folder(a_file.clone()), "Not a directory"),
        (Source::Folder(with_a_file.path().to_owned()), "line 1: expected return, but the file ends there"),
        (Source::Sql(StoreUrl::Sqlite(empty.path().join("missing"))), "missing: No such file or directory"),
        (Source::Sql(StoreUrl::Sqlite(empty.path().to_owned())), "it is no file"),
        (Source::Sql(StoreUrl::Sqlite(a_file.clone())), "has no data of Prosody"),
        (Source::Sql(StoreUrl::Sqlite(no_table.1.clone())), "has no data of Prosody"),
        (Source::Sql(StoreUrl::Sqlite(env!("CARGO_MANIFEST_PATH").into())), "has no data of Prosody"),
    ] {
        let (_, ended) = all(source, &["example.org"]).await;
        let problem = format!("{:#}", ended.unwrap_err());
        assert!(problem.contains(expected), "{problem}");
    }
    // A pipe would never end.
    fs::remove_file(&a_file).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &a_file, rustix::fs::Mode::RUSR).unwrap();
    let (_, ended) = all(Source::Folder(with_a_file.path().to_owned()), &["example.org"]).await;
    assert!(ended.unwrap_err().to_string().contains("it is no file"));
}

#[test]
fn a_database_is_named_as_prosody_names_it_too() {
    let database = easy_invite::import::prosody::database;
    let file = StoreUrl::Sqlite("/var/lib/prosody/prosody.sqlite".into());
    for text in [
        "/var/lib/prosody/prosody.sqlite",
        "sqlite:/var/lib/prosody/prosody.sqlite",
        "SQLite3:///var/lib/prosody/prosody.sqlite",
    ] {
        assert_eq!(database(text), Ok(file.clone()), "{text}");
    }
    let server = database("postgres://prosody:pw@localhost/prosody").unwrap();
    assert_eq!(database("PostgreSQL://prosody:pw@localhost/prosody").unwrap(), server);
    assert!(database("MySQL://prosody:pw@localhost/prosody").unwrap_err().contains("docs/moving.md"));
    for bad in ["", "ftp://x/y", "sqlite:", "postgres:///x?y"] {
        assert!(database(bad).is_err(), "{bad}");
    }
}

/// What somebody could see of a folder: names, contents, owners, modes and times.
fn seen(folder: &Path) -> Vec<(PathBuf, Vec<u8>, u32, u32, i64, i64)> {
    let mut found = Vec::new();
    let mut left = vec![folder.to_owned()];
    while let Some(path) = left.pop() {
        let about = fs::symlink_metadata(&path).unwrap();
        if about.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        let contents = fs::read(&path).unwrap_or_default();
        found.push((path, contents, about.uid(), about.mode(), about.mtime(), about.mtime_nsec()));
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_changes_where_it_is_read() {
    let files = recorded("13", "internal").join("data");
    let before = seen(&files);
    items_of(&files).await;
    assert_eq!(seen(&files), before);

    let sql = fs::read_to_string(recorded("13", "sqlite").join("prosody.sql")).unwrap();
    let count = |items: &[Item]| invites(items).len();
    let expected = count(&items_of(&files).await) + 1;
    for mode in ["delete", "wal"] {
        for state in ["stopped", "killed", "at work"] {
            let (folder, file) = sqlite(&sql, mode);
            let mut prosody = OtherProgram::new(
                "import sys
                database.execute(\"\"\"INSERT INTO prosody SELECT host, user, store, substr(key, 2) || 'x', type, value
                    FROM prosody WHERE store = 'invite_token' AND user = '' AND host = 'example.org' LIMIT 1\"\"\")
                print('done', flush=True)
                sys.stdin.read()",
                &file,
            );
            prosody.wait_for_line();
            match state {
                "stopped" => prosody.end(),
                "killed" => prosody.kill(),
                _ => (),
            }
            let before = seen(folder.path());
            // The log lies beside the file, not beside a link to it.
            let links = tempfile::tempdir().unwrap();
            symlink(&file, links.path().join("link")).unwrap();
            for path in [file, links.path().join("link")] {
                let (items, ended) = all(Source::Sql(StoreUrl::Sqlite(path)), &["example.org"]).await;
                ended.unwrap();
                assert_eq!(count(&items), expected, "{mode}, {state}: what was committed last is there");
            }
            assert!(seen(folder.path()) == before, "{mode}, {state}");
            if state == "at work" {
                prosody.end();
            }
        }
    }
}

/// Another program with an SQLite database: its locks are not this program's. It waits for nobody.
struct OtherProgram(std::process::Child);

impl OtherProgram {
    fn new(script: &str, database: &Path) -> Self {
        let script = script.lines().map(|line| line.strip_prefix(&" ".repeat(16)).unwrap_or(line));
        let script: Vec<_> = script.collect();
        let open = "import sqlite3, sys; database = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)";
        let script = format!("{open}\n{}", script.join("\n"));
        let mut command = Command::new("python3");
        command.args(["-c", &script]).arg(database).stdin(Stdio::piped()).stdout(Stdio::piped());
        OtherProgram(command.spawn().unwrap())
    }

    fn wait_for_line(&mut self) {
        BufReader::new(self.0.stdout.as_mut().unwrap()).read_line(&mut String::new()).unwrap();
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    fn end(&mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for OtherProgram {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prosody_that_writes_is_kept_waiting_by_nothing_and_what_is_half_written_is_not_read() {
    for mode in ["delete", "wal"] {
        let (_folder, file) = sqlite(
            "CREATE TABLE prosody (host TEXT, user TEXT, store TEXT, key TEXT, type TEXT, value TEXT);\n\
             CREATE UNIQUE INDEX prosody_index ON prosody (host, user, store, key);",
            mode,
        );
        // Each transaction has other invites, and as many.
        let mut prosody = OtherProgram::new(
            "import select, time
                value = '{\"type\":\"register\",\"jid\":\"example.org\",\"expires\":1797000000}'
                rounds = 0
                while rounds < 4 or not select.select([sys.stdin], [], [], 0.03)[0]:
                    database.execute('BEGIN IMMEDIATE')
                    database.execute('DELETE FROM prosody')
                    for number in range(500):
                        row = ('example.org', '', 'invite_token', f'token-{rounds:04}-{number:04}', 'json', value)
                        database.execute('INSERT INTO prosody VALUES (?, ?, ?, ?, ?, ?)', row)
                    database.execute('COMMIT')
                    rounds += 1
                    if rounds == 1:
                        print('begun', flush=True)",
            &file,
        );
        prosody.wait_for_line();
        for _ in 0..20 {
            let (items, ended) = all(Source::Sql(StoreUrl::Sqlite(file.clone())), &["example.org"]).await;
            ended.unwrap();
            assert_eq!((invites(&items).len(), skipped(&items).len()), (500, 0), "{mode}");
        }
        prosody.end();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_nobody_wrote_so_are_read_or_refused_in_one_line_without_what_is_in_them() {
    let mut random = StdRng::seed_from_u64(20);
    let mut originals = Vec::new();
    for version in ["0.12", "13"] {
        let data = recorded(version, "internal").join("data/example%2eorg");
        originals.push(fs::read(data.join("invite_token.dat")).unwrap());
        originals.push(fs::read(data.join("invite_token/alice.dat")).unwrap());
    }
    let folder = data(&[("example%2eorg/accounts/alice.dat", "return {};")]);
    let file = folder.path().join("example%2eorg/invite_token.dat");
    let mut refused = 0;
    for round in 0..1000 {
        let mut contents = originals[random.random_range(0..originals.len())].clone();
        let tokens: Vec<String> = tokens_in(&contents);
        let place = random.random_range(0..contents.len());
        match round % 10 {
            0 => contents.truncate(place),
            1 => (0..8).for_each(|_| {
                let place = random.random_range(0..contents.len());
                contents[place] ^= 1 << random.random_range(0..8);
            }),
            2 => drop(contents.splice(place..place, "{".repeat(10_000).bytes())),
            3 => drop(contents.splice(place..place, "9".repeat(1 << 17).bytes())),
            4 => drop(contents.splice(place..place, std::iter::repeat_n(b'"', 3))),
            5 => drop(contents.splice(place..place, vec![b'x'; 3 << 20])),
            6 => contents = contents.iter().flat_map(|byte| [*byte, 0]).collect(),
            7 => drop(contents.drain(place..(place + random.random_range(1..200)).min(contents.len()))),
            8 => contents[place..].reverse(),
            _ => drop(
                contents.splice(place..place, b"\n} do local x = function() while true do end end".iter().copied()),
            ),
        }
        fs::write(&file, &contents).unwrap();
        let began = std::time::Instant::now();
        let (items, ended) = all(Source::Folder(folder.path().to_owned()), &["example.org"]).await;
        assert!(began.elapsed().as_secs() < 60, "round {round}");
        let mut told: Vec<String> = skipped(&items).iter().map(|it| it.place.clone()).collect();
        if let Err(problem) = ended {
            refused += 1;
            assert_eq!(whole(&items).len(), 0, "round {round}");
            let problem = problem.to_string();
            assert!(problem.contains("example%2eorg/invite_token.dat, line "), "round {round}: {problem}");
            told.push(problem);
        }
        for text in told {
            assert!(!text.contains(char::is_control), "round {round}: {text:?}");
            assert!(!tokens.iter().any(|token| text.contains(token)), "round {round}: {text}");
        }
    }
    assert!((600..1000).contains(&refused), "{refused}");
}

/// The tokens in a file of Prosody's.
fn tokens_in(contents: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(contents);
    text.split('"').filter(|word| Token::parse(word).is_some() && word.len() == 24).map(str::to_owned).collect()
}
