//! What is exported, and read back: the command line on a store with everything in it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod engines;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use easy_invite::event::Actor;
use easy_invite::import::own;
use easy_invite::import::plan::Figures;
use easy_invite::invite::{Invite, InviteId, InviteType, Issuer, Program, Purpose, Token, Use};
use easy_invite::invites::{Outcome, Target, import};
use easy_invite::policy::Change;
use easy_invite::store::{Claim, Store, begun_by};
use engines::{Engine, Place, Scratch, at, host, invite, jid, on_both_engines, username};
use futures::future::join_all;
use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

on_both_engines! {
    an_export_says_all_that_is_known_and_no_secret,
    what_is_read_back_is_the_same_and_links_stay_good,
    a_second_run_adds_what_is_missing_and_changes_nothing,
    hosts_that_are_not_configured_are_counted_and_named,
    hostile_files_leave_a_store_in_order,
    an_export_is_of_one_moment_however_slowly_it_is_read,
}

/// How many uses the invite for many has: more than is read at a time.
const MANY: usize = 600;

/// A folder with a configuration for a store.
struct Folder(TempDir);

impl Folder {
    fn of(place: &Place) -> Self {
        let url = match place {
            Place::Folder(folder) => format!("sqlite:{}", folder.path().join("easy-invite.db").display()),
            Place::Database(database) => database.url.clone(),
        };
        let config = format!(
            "[component]\njid = \"invite.example.org\"\nserver = \"127.0.0.1:1\"\nsecret = \"hunter2\"\n\
             [store]\nurl = \"{url}\"\n[hosts.\"example.org\"]\n[hosts.\"münchen.example\"]\n"
        );
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.toml"), config).unwrap();
        Folder(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_easy-invite"));
        command.current_dir(self.0.path()).args(arguments).stdin(Stdio::null()).output().unwrap()
    }

    /// What a command prints on stdout and on stderr.
    fn prints(&self, arguments: &[&str]) -> (String, String) {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    /// All that an operator sees of a store, in text and in JSON, and what is lost with an export.
    fn told(&self) -> Vec<String> {
        let mut told = Vec::new();
        let mut ids = Vec::new();
        for arguments in [&["list", "--state", "all", "--limit", "100000"][..], &["tree"]] {
            told.push(self.prints(arguments).0);
            let (lines, _) = self.prints(&[arguments, &["--json"]].concat());
            if arguments[0] == "list" {
                let id = |line| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned();
                ids.extend(lines.lines().map(id));
            }
            told.push(lines);
        }
        ids.sort_unstable();
        for id in ids {
            told.push(self.prints(&["show", &id]).0);
            told.push(self.prints(&["show", &id, "--json"]).0);
        }
        told
    }
}

fn far_ahead() -> Option<Timestamp> {
    Some("2199-01-01T00:00:00Z".parse().unwrap())
}

async fn use_it(store: &Store, invite: &Invite, purpose: Purpose, account: &str, second: i64, failed: Vec<String>) {
    let id = format!("{} {account} {second}", invite.id);
    let (account, server) = (jid(account), "s1".to_owned());
    let wanted = Use { id: id.clone(), invite: invite.id.clone(), purpose, account, server, reserved_at: at(second) };
    assert_eq!(store.reserve(wanted, invite.links).await.unwrap(), Claim::Reserved);
    store.redeem(invite.host.clone(), id, failed, false, at(second)).await.unwrap().unwrap();
}

/// Fills a store with an invite of every type, state and issuer, and whatever else there is. Some
/// hundred uses wait for each other, for longer than a daemon would on a slow machine.
async fn fill(scratch: &Scratch) -> Vec<(Token, Invite)> {
    begun_by(Instant::now() + Duration::from_secs(120), filled(scratch)).await
}

async fn filled(scratch: &Scratch) -> Vec<(Token, Invite)> {
    let mut made = Vec::new();
    let store = &scratch.store;
    let notes = ["\"a\" \\ b</script>", "שלום עולם", "مرحبا", "你好，世界 🎉👩‍👩‍👧", "für Zoë", "e\u{301}\u{327}"];
    let mut number = 0;
    let mut make = async |change: &dyn Fn(&mut Invite)| {
        let token = Token::generate().unwrap();
        let note = Some(notes[number % notes.len()].to_owned());
        number += 1;
        let inviter_name = Some("Liddell 🐇".to_owned());
        let mut made = Invite { token_hash: token.hash(), expires_at: far_ahead(), note, inviter_name, ..invite() };
        change(&mut made);
        assert_eq!(store.insert(made.clone(), Default::default(), at(1000)).await, Ok(Ok(())));
        (token, made)
    };
    for (place, issuer) in [Issuer::User, Issuer::Admin, Issuer::Operator].into_iter().enumerate() {
        for invite_type in [InviteType::Account, InviteType::Contact, InviteType::AccountAndContact] {
            let (_, used) = make(&|it| (it.invite_type, it.issuer) = (invite_type, issuer)).await;
            let account = format!("{invite_type}-{place}@example.org");
            use_it(store, &used, invite_type.purpose(), &account, 2000, Vec::new()).await;
            let (_, revoked) = make(&|it| (it.invite_type, it.issuer) = (invite_type, issuer)).await;
            store.revoke(revoked.id, at(3000)).await.unwrap();
            make(&|it| (it.invite_type, it.issuer, it.expires_at) = (invite_type, issuer, Some(at(1500)))).await;
            made.push(make(&|it| (it.invite_type, it.issuer) = (invite_type, issuer)).await);
        }
    }
    let bare = |it: &mut Invite| {
        *it = Invite {
            invite_type: InviteType::Account,
            issuer: Issuer::Operator,
            inviter: None,
            inviter_name: None,
            note: None,
            language: None,
            owners_since: None,
            roles: vec![],
            groups: vec![],
            expires_at: None,
            ..it.clone()
        }
    };
    made.push(make(&bare).await);
    made.push(make(&|it| it.host = host("münchen.example")).await);
    made.push(make(&|it| it.username = username("zoë")).await);
    let reset = |it: &mut Invite| (it.invite_type, it.username) = (InviteType::PasswordReset, username("carol"));
    made.push(make(&reset).await);
    let (_, reset) = make(&reset).await;
    use_it(store, &reset, Purpose::Reset, "carol@example.org", 2100, vec![]).await;
    // It ends the others.
    made.pop();

    let (token, many) = make(&|it| it.max_uses = None).await;
    join_all((0..MANY).map(async |number| {
        let failed = if number % 200 == 0 { vec!["no such group: family".to_owned(), "ü".to_owned()] } else { vec![] };
        let account = format!("u{number}@example.org");
        use_it(store, &many, Purpose::Register, &account, 2000 + number as i64, failed).await;
    }))
    .await;
    made.push((token, many));
    let (token, few) = make(&|it| (it.max_uses, it.inviter) = (Some(3), Some(jid("u1@example.org")))).await;
    use_it(store, &few, Purpose::Register, "gone@example.org", 4000, vec!["lost with the account".to_owned()]).await;
    use_it(store, &few, Purpose::Register, "again@example.org", 4001, vec![]).await;
    store.account_deleted(jid("gone@example.org"), at(4100), at(4100)).await.unwrap();
    made.push((token, few.clone()));
    // u1 is made again by one whom they had invited.
    let (_, back) = make(&|it| it.inviter = Some(jid("again@example.org"))).await;
    use_it(store, &back, Purpose::Register, "u1@example.org", 4200, vec![]).await;
    let (_, forgotten) = make(&|_| ()).await;
    use_it(store, &forgotten, Purpose::Register, "forgotten@example.org", 4300, vec![]).await;
    store.forget(jid("forgotten@example.org"), at(4400)).await.unwrap();

    let (_, renewed) = make(&|_| ()).await;
    let token = Token::generate().unwrap();
    let renewed = store.regenerate(renewed.id, token.hash(), at(5000)).await.unwrap().unwrap();
    made.push((token, renewed));
    let (token, changed) = make(&|_| ()).await;
    let change = Change { note: Some("changed".to_owned()), ..Change::default() };
    let changed = store.change(changed.id, change, Default::default(), at(5100)).await.unwrap().unwrap();
    made.push((token, changed));
    for (text, length) in [("ShortOne", 8), ("a-token_of-Prosody_24xyz", 24)] {
        let token = Token::parse(text).unwrap();
        let from = |it: &mut Invite| {
            (it.token_hash, it.imported_from, it.token_length) = (token.hash(), Some(Program::Prosody), Some(length));
        };
        made.push((token.clone(), make(&from).await.1));
    }
    // Being used at this moment: that is not in an export.
    let (token, open) = make(&|it| it.max_uses = None).await;
    let (id, account) = ("open".to_owned(), jid("open@example.org"));
    let wanted = Use {
        id,
        invite: open.id.clone(),
        purpose: Purpose::Register,
        account,
        server: "s1".to_owned(),
        reserved_at: at(5200),
    };
    assert_eq!(store.reserve(wanted, 1).await.unwrap(), Claim::Reserved);
    made.push((token, open));
    let purged = make(&|it| it.inviter = Some(jid("u2@example.org"))).await.1;
    use_it(store, &purged, Purpose::Register, "old@example.org", 1100, vec![]).await;
    scratch.place.run(&format!("DELETE FROM invite WHERE id = '{}'", purged.id)).await;
    scratch.place.run("INSERT INTO account (jid, inviter) VALUES ('age@example.org', 'u2@example.org')").await;
    scratch.store.verify().await.unwrap();
    made
}

fn export_of(scratch: &Scratch, arguments: &[&str]) -> (String, String) {
    Folder::of(&scratch.place).prints(&[&["export"], arguments].concat())
}

fn lines(export: &str) -> Vec<Value> {
    export.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn an_export_says_all_that_is_known_and_no_secret(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let (empty, _) = export_of(&scratch, &[]);
    assert_eq!(lines(&empty).last().unwrap(), &json!({"kind": "end", "invites": 0, "uses": 0, "accounts": 0}));
    let made = fill(&scratch).await;
    let (export, said) = export_of(&scratch, &[]);
    assert!(made.iter().all(|(token, _)| !export.contains(token.reveal())), "no token");
    assert_eq!(
        said,
        "easy-invite: the hashes of short tokens stay here (invites: 1): where this is imported, their links end\n"
    );
    let lines = lines(&export);
    let first = &lines[0];
    assert_eq!(
        (&first["kind"], &first["version"], &first["state"]),
        (&json!("easy-invite-export"), &json!(1), &json!(null))
    );
    let of = |kind: &str| lines.iter().filter(|line| line["kind"] == kind).collect::<Vec<_>>();
    let counts = json!({
        "kind": "end", "invites": of("invite").len(), "uses": of("use").len(), "accounts": of("account").len()
    });
    assert_eq!(lines.last().unwrap(), &counts);
    let contents = scratch.store.contents().await.unwrap();
    assert_eq!(contents.invites, of("invite").len() as u64);
    assert_eq!(contents.accounts, of("account").len() as u64);
    assert_eq!(contents.uses - 1, of("use").len() as u64, "one is being made");
    for invite in of("invite") {
        let length = &invite["token_length"];
        assert_eq!(invite["token_hash"].is_null(), *length == json!(8), "{invite}");
        assert_eq!(invite.as_object().unwrap().len(), 24, "scripts rely on the fields: {invite}");
    }
    let failed = of("use").into_iter().filter(|used| used["failed"] != json!([])).count();
    assert_eq!(failed, 3);

    let count = |arguments: &[&str]| {
        let (export, _) = export_of(&scratch, arguments);
        let lines = export.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let kinds: Vec<_> = lines.map(|line| line["kind"].as_str().unwrap().to_owned()).collect();
        ["invite", "use", "account"].map(|kind| kinds.iter().filter(|found| **found == kind).count())
    };
    let accounts = of("account").len();
    assert_eq!(count(&["münchen.example"]), [1, 0, 0]);
    assert_eq!(count(&["--state", "expired"]), [9, 0, accounts]);
    // One of them has been used twice before.
    assert_eq!(count(&["example.org", "--state", "revoked"]), [11, 2, accounts]);
    assert_eq!(count(&["--state", "redeemed"])[0], of("invite").iter().filter(|it| it["state"] == "redeemed").count());
    let unserved = Folder::of(&scratch.place).run(&["export", "nosuch.example"]);
    assert_eq!(unserved.status.code(), Some(1));
}

fn target(store: &Store) -> Target {
    let hosts = BTreeSet::from([host("example.org"), host("münchen.example")]);
    let store = Some(store.by(Actor::Cli("root".to_owned())));
    Target { store, hosts, program: None, dry_run: false, now: at(6000) }
}

async fn imported(target: &Target, file: &Path) -> (Outcome, anyhow::Result<()>) {
    import(target, |items| own::read_file(file.to_owned(), items), |_| ()).await
}

async fn what_is_read_back_is_the_same_and_links_stay_good(engine: Engine) {
    let (from, to) = (Scratch::new(engine).await, Scratch::new(other(engine)).await);
    let made = fill(&from).await;
    // What is reserved at this moment is not in it.
    from.store.release(host("example.org"), "open".to_owned()).await.unwrap();
    let folders = [Folder::of(&from.place), Folder::of(&to.place)];
    let file = folders[1].path("export");
    fs::write(&file, export_of(&from, &[]).0).unwrap();
    let figures = folders[1].prints(&["import", "easy-invite", "export", "--json"]).0;
    let contents = to.store.contents().await.unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&figures).unwrap(),
        json!({
            "dry_run": false, "imported": contents.invites, "pending": 18, "ended": contents.invites - 18,
            "accounts": contents.accounts, "already": 0, "ended_since": 0, "skipped": {}, "other_hosts": [],
            "left": {}, "left_out": {}, "short_tokens": 1
        })
    );
    to.store.verify().await.unwrap();
    let [before, after] = [folders[0].told(), folders[1].told()];
    assert_eq!(before.len(), after.len());
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before, after);
    }
    assert_eq!(export_of(&to, &[]).0.lines().count(), fs::read_to_string(&file).unwrap().lines().count());
    for (token, invite) in &made {
        let found = to.store.find(token.hash()).await.unwrap();
        let is_short = invite.token_length == Some(8);
        assert_eq!(found.map(|found| found.id), (!is_short).then(|| invite.id.clone()), "{}", invite.id);
    }
    // Another export, of the copy, is the same but for when it was made.
    let again = folders[1].path("again");
    fs::write(&again, export_of(&to, &[]).0).unwrap();
    let [mut one, mut other] = [&file, &again].map(|file| lines(&fs::read_to_string(file).unwrap()));
    for lines in [&mut one, &mut other] {
        lines[0]["exported_at"] = Value::Null;
        lines
            .iter_mut()
            .filter(|line| line["token_length"] == json!(8))
            .for_each(|line| line["token_hash"] = Value::Null);
    }
    for (one, other) in one.iter().zip(&other) {
        assert_eq!(one, other);
    }
    assert_eq!(one.len(), other.len());
}

fn other(engine: Engine) -> Engine {
    match engine {
        Engine::Sqlite => Engine::Postgres,
        Engine::Postgres => Engine::Sqlite,
    }
}

async fn a_second_run_adds_what_is_missing_and_changes_nothing(engine: Engine) {
    let (from, to) = (Scratch::new(engine).await, Scratch::new(engine).await);
    let made = fill(&from).await;
    let folder = Folder::of(&from.place);
    let export = export_of(&from, &[]).0;
    let (all, part) = (folder.path("all"), folder.path("part"));
    fs::write(&all, &export).unwrap();
    // Cut within the uses of the invite for many, or elsewhere.
    let cut = export.len() / 3;
    fs::write(&part, &export.as_bytes()[..cut]).unwrap();
    let (_, ended) = imported(&target(&to.store), &part).await;
    let line = export[..cut].matches('\n').count() + 1;
    assert_eq!(ended.unwrap_err().to_string(), format!("{}:{line}: expected an object of JSON", part.display()));
    to.store.verify().await.unwrap();
    // One of them, if it has come already, is revoked here meanwhile.
    to.store.revoke(made[0].1.id.clone(), at(5900)).await.unwrap();
    imported(&target(&to.store), &all).await.1.unwrap();
    to.store.revoke(made[0].1.id.clone(), at(5900)).await.unwrap();
    let before = to.place.contents().await;
    let (outcome, ended) = imported(&target(&to.store), &all).await;
    ended.unwrap();
    let contents = to.store.contents().await.unwrap();
    assert_eq!(outcome.figures, Figures { already: contents.invites + contents.accounts, ..Figures::default() });
    assert_eq!(to.place.contents().await, before);
    assert_eq!(contents.invites, from.store.contents().await.unwrap().invites);
    assert_eq!(contents.accounts, from.store.contents().await.unwrap().accounts);
    // Into the store that it comes from.
    let before = from.place.contents().await;
    imported(&target(&from.store), &all).await.1.unwrap();
    assert_eq!(from.place.contents().await, before);
}

async fn hosts_that_are_not_configured_are_counted_and_named(engine: Engine) {
    let (from, to) = (Scratch::new(engine).await, Scratch::new(engine).await);
    let many = from.with(|it| (it.max_uses, it.expires_at) = (None, far_ahead())).await;
    use_it(&from.store, &many, Purpose::Register, "carol@example.org", 2000, vec![]).await;
    let folder = Folder::of(&from.place);
    let file = folder.path("export");
    fs::write(&file, export_of(&from, &[]).0).unwrap();
    let target = Target { hosts: BTreeSet::from([host("other.example")]), ..target(&to.store) };
    let (outcome, ended) = imported(&target, &file).await;
    ended.unwrap();
    assert_eq!(outcome.figures.skipped.values().sum::<u64>(), 2);
    assert_eq!(outcome.other_hosts, BTreeSet::from([host("example.org")]));
    assert_eq!(to.store.contents().await.unwrap(), Default::default());
}

async fn hostile_files_leave_a_store_in_order(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let folder = Folder::of(&scratch.place);
    let export = fs::read_to_string("tests/harness/export.json").unwrap();
    let long = "x".repeat(200_000);
    let second = "\"token_hash\":\"725832a286ebcd6738d9ff5d4520b8a80c65ee1d38bf5487881bda4acefc0f1e\"";
    let deep = "[".repeat(100_000);
    for (number, (from, to, code)) in [
        ("für Zoë", long.as_str(), 0),
        ("für Zoë", "\\u0001\\ud83d\\ude00\\n", 0),
        ("für Zoë", "\\ud83d", 1),
        ("\"prosody:member\"", "\"a\\nb\"", 0),
        ("2026-11-30T00:42:18Z\",\"expires_at\":null", "-009999-01-02T01:59:59Z\",\"expires_at\":null", 0),
        ("\"expires_at\":null", "\"expires_at\":\"9999-12-30T22:00:00Z\"", 0),
        ("\"expires_at\":null", "\"expires_at\":\"99999-12-30T22:00:00Z\"", 1),
        ("\"max_uses\":2", "\"max_uses\":0", 0),
        ("\"max_uses\":2", "\"max_uses\":4294967295", 0),
        ("\"inviter\":\"alice@example.org\",\"roles", "\"inviter\":null,\"roles", 0),
        ("\"username\":\"bob\"", "\"username\":null", 0),
        ("\"token_hash\":null", second, 0),
        ("ebrrhv75k3ax", "ebrrhv75k3aw", 0),
        ("\"inviter\":null,\"invite\":null", "\"inviter\":\"dave@example.org\",\"invite\":null", 0),
        ("[\"prosody:member\"]", deep.as_str(), 1),
        ("\"links\":2", "\"links\":1000000", 0),
        ("\"language\":\"de\"", "\"language\":\"\\u0000\"", 1),
    ]
    .into_iter()
    .enumerate()
    {
        assert!(export.contains(from), "{from}");
        // Each is another invite, in the same store.
        let text = export.replacen(from, to, 1).replace("ebrrhv75k3a", &format!("ebrrhv{number:02}k3a"));
        fs::write(folder.path("hostile"), text.replace("725832a2", &format!("725832{number:02}"))).unwrap();
        let ran = folder.run(&["import", "easy-invite", "hostile"]);
        assert_eq!(ran.status.code(), Some(code), "{from}: {ran:?}");
        let said = String::from_utf8(ran.stderr).unwrap();
        assert!(code == 0 || said.contains("hostile:"), "{said}");
        scratch.store.verify().await.unwrap();
    }
    assert_eq!(folder.prints(&["list", "--state", "all"]).1, "");
    assert_eq!(folder.prints(&["tree"]).1, "");
    export_of(&scratch, &[]);
}

async fn an_export_is_of_one_moment_however_slowly_it_is_read(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    // More than fits into pages, channels and pipes on the way.
    let (bytes, each) = match engine {
        Engine::Sqlite => (
            "randomblob(32)",
            "WITH RECURSIVE each (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM each \
             WHERE n < 8000)",
        ),
        Engine::Postgres => ("sha256(n::text::bytea)", "WITH each (n) AS (SELECT generate_series(1, 8000))"),
    };
    let fill = format!(
        "INSERT INTO invite (id, token_hash, type, host, issuer, roles, groups, max_uses, created_at) \
         SELECT 'invite' || (100000 + n), {bytes}, 'account', 'example.org', 'operator', '[]', '[]', 1, 1000 FROM each"
    );
    scratch.place.run(&format!("{each} {fill}")).await;
    let folder = Folder::of(&scratch.place);
    let mut command = Command::new(env!("CARGO_BIN_EXE_easy-invite"));
    let mut export = command.current_dir(folder.0.path()).arg("export").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(export.stdout.take().unwrap()).lines();
    lines.nth(1).unwrap().unwrap(); // the first is said before anything is read
    let last = scratch.store.find_by_id(InviteId::parse("invite108000").unwrap()).await.unwrap().unwrap();
    use_it(&scratch.store, &last, Purpose::Register, "carol@example.org", 2000, vec![]).await;
    scratch.place.run("DELETE FROM invite WHERE id = 'invite107999'").await;
    let rest: Vec<Value> = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    assert_eq!(rest.last().unwrap(), &json!({"kind": "end", "invites": 8000, "uses": 0, "accounts": 0}));
    assert_eq!((&rest[7998]["id"], &rest[7998]["state"]), (&json!("invite108000"), &json!("pending")));
    assert!(export.wait().unwrap().success());
}
