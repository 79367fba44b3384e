//! What another program knows of invites is imported, from a source that the test plays, on both
//! engines.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod engines;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use easy_invite::chat_server::ChatServer;
use easy_invite::event::{Action, Actor};
use easy_invite::import::plan::Figures;
use easy_invite::import::{By, Imported, Item, Joined, Kind, Reason, Skipped, Used};
use easy_invite::invite::{Invite, InviteType, Program, State, Token};
use easy_invite::invites::{Invites, Outcome, Settings, Target, Told, import};
use easy_invite::limits::Address;
use easy_invite::refusal::Refusal;
use easy_invite::store::{EventFilter, Past, Quota, Store};
use engines::relay::{Fault, Relay};
use engines::{Engine, Place, Scratch, at, host, invite, jid, on_both_engines, username};
use tokio::sync::mpsc;

on_both_engines!(
    what_is_new_is_added_with_who_joined_and_an_event_each,
    a_second_run_changes_no_row,
    a_run_that_stops_anywhere_is_made_good_by_the_next,
    a_dry_run_tells_the_same_and_writes_nothing,
    what_is_here_already_is_not_widened,
    what_has_ended_there_since_ends_here,
    a_use_there_counts_whoever_it_is_and_whatever_goes_on_here,
    nothing_ends_where_the_source_was_not_read_to_its_end,
    a_name_is_reserved_once_and_a_token_belongs_to_one_invite,
    tokens_that_can_perhaps_be_guessed_are_told,
    a_failing_source_ends_with_its_error_and_what_it_sent_before_stays,
    a_run_that_is_killed_anywhere_is_made_good_by_the_next,
);

/// An invite of Prosody, with a token that is always the same.
fn of_prosody(number: usize) -> Invite {
    let token = Token::parse(&format!("ImportedTokenOfANumber{number:02}")).unwrap();
    let imported_from = Some(Program::Prosody);
    Invite { token_hash: token.hash(), token_length: Some(24), imported_from, owners_since: None, ..invite() }
}

fn item(invite: Invite) -> Item {
    used(invite, &[])
}

/// An invite that these accounts have used.
fn used(invite: Invite, accounts: &[&str]) -> Item {
    let purpose = invite.invite_type.purpose();
    let of = |account: &&str| Used { purpose, account: jid(account), at: None, failed: Vec::new(), joined: true };
    let uses = accounts.iter().map(of).collect();
    Item::Invite(Box::new(Imported { invite, uses, place: "a file, line 1".to_owned() }))
}

fn joined(account: &str, by: Option<By>) -> Item {
    let inviter = Some(jid("alice@example.org"));
    Item::Account(Joined { account: jid(account), inviter, by, at: None, place: "a file, line 2".to_owned() })
}

/// What a server has: a pending invite, one for many, one that has expired, a used one, accounts.
fn a_server() -> Vec<Item> {
    let many = Invite { max_uses: None, ..of_prosody(2) };
    let by = By::Token(many.token_hash);
    vec![
        item(of_prosody(1)),
        item(many),
        item(Invite { expires_at: Some(at(1500)), ..of_prosody(3) }),
        used(of_prosody(4), &["dave@example.org"]),
        item(Invite { username: username("erin"), ..of_prosody(5) }),
        joined("frank@example.org", Some(by)),
        joined("grace@example.org", None),
        Item::Whole(host("example.org")),
    ]
}

fn target(scratch: &Scratch) -> Target {
    Target {
        store: Some(scratch.store.by(Actor::Cli("root".to_owned()))),
        hosts: BTreeSet::from([host("example.org")]),
        program: Some(Program::Prosody),
        dry_run: false,
        now: at(2000),
    }
}

async fn run(target: &Target, items: Vec<Item>) -> Outcome {
    let read = async |sender: mpsc::Sender<Item>| send(&sender, items).await;
    let (outcome, ended) = import(target, read, |_| ()).await;
    ended.unwrap();
    outcome
}

async fn send(sender: &mpsc::Sender<Item>, items: Vec<Item>) -> anyhow::Result<()> {
    for item in items {
        sender.send(item).await?;
    }
    Ok(())
}

async fn state(scratch: &Scratch, number: usize) -> Option<State> {
    scratch.store.find(of_prosody(number).token_hash).await.unwrap().map(|invite| invite.state(at(2000)))
}

async fn what_is_new_is_added_with_who_joined_and_an_event_each(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let outcome = run(&target(&scratch), a_server()).await;
    let figures = Figures { pending: 3, ended: 2, accounts: 3, ..Figures::default() };
    assert_eq!(outcome, Outcome { figures, ..Outcome::default() });
    scratch.store.verify().await.unwrap();

    let many = scratch.store.find(of_prosody(2).token_hash).await.unwrap().unwrap();
    assert_eq!((many.uses, many.imported_from, many.token_length), (1, Some(Program::Prosody), Some(24)));
    assert_eq!(scratch.store.accounts_of(many.id, 10).await.unwrap(), [(jid("frank@example.org"), None)]);
    assert_eq!(state(&scratch, 4).await, Some(State::Redeemed));
    assert!(scratch.store.username_reserved(jid("erin@example.org"), at(2000)).await.unwrap());
    assert_eq!(scratch.store.notices().await.unwrap(), 0, "what happened elsewhere is no news");

    let events = scratch.store.events(EventFilter::default(), (at(0), 0), 100).await.unwrap();
    let imported: Vec<_> = events.iter().filter(|event| event.action == Action::Imported).collect();
    assert_eq!(imported.len(), 5);
    assert!(imported.iter().all(|event| event.actor.to_string() == "cli:root"));
    assert!(imported.iter().all(|event| event.detail.as_deref() == Some("prosody")));
    assert_eq!(scratch.store.untold(100).await.unwrap().len(), events.len());
}

async fn a_second_run_changes_no_row(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    run(&target(&scratch), a_server()).await;
    let before = scratch.place.contents().await;
    let outcome = run(&Target { now: at(2500), ..target(&scratch) }, a_server()).await;
    assert_eq!(outcome.figures, Figures { already: 7, ..Figures::default() });
    assert_eq!(scratch.place.contents().await, before);

    // One of them has been removed here since.
    scratch.store.purge(at(1900), 100, at(2600)).await.unwrap();
    assert_eq!(scratch.store.past(of_prosody(3).token_hash).await.unwrap(), Some(Past::Removed));
    let before = scratch.place.contents().await;
    let outcome = run(&Target { now: at(2600), ..target(&scratch) }, a_server()).await;
    assert_eq!(outcome.figures, Figures { already: 7, ..Figures::default() });
    assert_eq!(scratch.place.contents().await, before);
}

/// What is in a store, without the ids that each run makes up, and without events.
async fn meaning(scratch: &Scratch) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for sql in [
        "SELECT token_hash, type, host, username, inviter, max_uses, taken, uses, revoked_at FROM invite ORDER BY 1",
        "SELECT token_hash, account, purpose, redeemed_at IS NULL FROM invite_use JOIN invite ON invite.id = invite \
         ORDER BY 1, 2",
        "SELECT jid, account.inviter, token_hash FROM account LEFT JOIN invite ON invite.id = invite ORDER BY 1",
        "SELECT action, token_hash, account, count(*) FROM event JOIN invite ON invite.id = invite \
         GROUP BY action, token_hash, account ORDER BY 2, 1, 3",
    ] {
        all.push(vec![sql.to_owned()]);
        all.extend(scratch.place.query(sql).await);
    }
    all
}

async fn a_run_that_stops_anywhere_is_made_good_by_the_next(engine: Engine) {
    let straight = Scratch::new(engine).await;
    run(&target(&straight), a_server()).await;
    for stop in 0..a_server().len() {
        let scratch = Scratch::new(engine).await;
        let items = a_server().into_iter().take(stop).collect::<Vec<_>>();
        run(&target(&scratch), items).await;
        run(&target(&scratch), a_server()).await;
        assert_eq!(meaning(&scratch).await, meaning(&straight).await, "stopped at {stop}");
        scratch.store.verify().await.unwrap();
    }
}

async fn a_dry_run_tells_the_same_and_writes_nothing(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let many = || (10..60).map(|number| item(Invite { username: username("erin"), ..of_prosody(number) }));
    // More than one batch, and later ones depend on what earlier ones would have written.
    let rest = || (0..1200).map(|number| joined(&format!("user{}@example.org", number % 700), None));
    let all = || a_server().into_iter().chain(many()).chain(rest()).collect::<Vec<_>>();
    let before = scratch.place.contents().await;
    let dry = Target { dry_run: true, ..target(&scratch) };
    let nowhere = Target { store: None, ..dry.clone() };
    let (told, told_without) = (run(&dry, all()).await, run(&nowhere, all()).await);
    assert_eq!(scratch.place.contents().await, before);
    let done = run(&target(&scratch), all()).await;
    assert_eq!((told, told_without), (done.clone(), done));

    // The next run finds that two have ended.
    let later = || vec![used(of_prosody(1), &["heidi@example.org"]), Item::Whole(host("example.org"))];
    let before = scratch.place.contents().await;
    let told = run(&dry, later()).await;
    assert_eq!(scratch.place.contents().await, before);
    let done = run(&target(&scratch), later()).await;
    assert_eq!((told.figures.ended_since, &told), (3, &done));
}

async fn what_is_here_already_is_not_widened(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    run(&target(&scratch), a_server()).await;
    let first = scratch.store.find(of_prosody(1).token_hash).await.unwrap().unwrap();
    scratch.store.revoke(first.id, at(2100)).await.unwrap();
    let second = scratch.store.find(of_prosody(2).token_hash).await.unwrap().unwrap();
    let fresh = Token::generate().unwrap();
    let renewed = scratch.store.regenerate(second.id, fresh.hash(), at(2100)).await.unwrap().unwrap();
    assert_eq!((renewed.token_length, renewed.imported_from), (None, Some(Program::Prosody)));
    let before = scratch.place.contents().await;
    let wider = |number| Invite { max_uses: None, expires_at: None, note: Some("more".into()), ..of_prosody(number) };
    let again: Vec<_> = (1..6).map(|number| item(wider(number))).chain([Item::Whole(host("example.org"))]).collect();
    let outcome = run(&target(&scratch), again).await;
    assert_eq!(outcome.figures, Figures { already: 5, ..Figures::default() });
    assert_eq!(scratch.place.contents().await, before);
}

async fn what_has_ended_there_since_ends_here(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let own = scratch.with(|_| ()).await;
    let of_ejabberd = Invite { imported_from: Some(Program::Ejabberd), ..of_prosody(9) };
    run(&target(&scratch), a_server().into_iter().chain([item(of_ejabberd.clone())]).collect()).await;
    let renewed = scratch.store.find(of_prosody(5).token_hash).await.unwrap().unwrap();
    scratch.store.regenerate(renewed.id.clone(), Token::generate().unwrap().hash(), at(2100)).await.unwrap().unwrap();

    // 1 is gone there, 2 was withdrawn, and somebody joined by 2 before.
    let withdrawn = Invite { revoked_at: Some(at(2050)), max_uses: None, ..of_prosody(2) };
    let by = Some(By::Token(withdrawn.token_hash));
    let now = vec![item(withdrawn), joined("heidi@example.org", by), Item::Whole(host("example.org"))];
    let outcome = run(&Target { now: at(2200), ..target(&scratch) }, now.clone()).await;
    assert_eq!((outcome.figures.ended_since, outcome.figures.accounts), (2, 1));
    assert_eq!(state(&scratch, 1).await, Some(State::Revoked));
    assert_eq!(state(&scratch, 2).await, Some(State::Revoked));
    for id in [own.id, of_ejabberd.id, renewed.id] {
        let left = scratch.store.find_by_id(id).await.unwrap().unwrap();
        assert_eq!(left.state(at(2200)), State::Pending, "this is not theirs to end");
    }
    scratch.store.verify().await.unwrap();
    let before = scratch.place.contents().await;
    run(&Target { now: at(2300), ..target(&scratch) }, now).await;
    assert_eq!(scratch.place.contents().await, before);

    // An account that joined by an invite for one has used it up.
    let scratch = Scratch::new(engine).await;
    run(&target(&scratch), a_server()).await;
    let by = Some(By::Token(of_prosody(1).token_hash));
    let outcome = run(&target(&scratch), vec![joined("heidi@example.org", by)]).await;
    assert_eq!(outcome.figures, Figures { accounts: 1, ended_since: 1, ..Figures::default() });
    assert_eq!(state(&scratch, 1).await, Some(State::Redeemed));
    let users = scratch
        .store
        .redeemed_by(scratch.store.find(of_prosody(1).token_hash).await.unwrap().unwrap().id, jid("heidi@example.org"));
    assert!(users.await.unwrap());
    scratch.store.verify().await.unwrap();

    // Of an invite that made an account, there is only what makes contacts. In ejabberd's database,
    // there is never more.
    let once_more = Figures { already: 1, ..Figures::default() };
    let ended = Figures { ended_since: 1, ..Figures::default() };
    for (program, figures, left) in
        [(Program::Prosody, ended, State::Revoked), (Program::Ejabberd, once_more, State::Pending)]
    {
        let scratch = Scratch::new(engine).await;
        let inviter = Some(jid("alice@example.org"));
        let of_alice = Invite { inviter, invite_type: InviteType::AccountAndContact, ..of_prosody(1) };
        let of_alice = Invite { imported_from: Some(program), ..of_alice };
        run(&target(&scratch), vec![item(of_alice.clone())]).await;
        let half = Invite { invite_type: InviteType::Contact, ..of_alice };
        assert_eq!(run(&target(&scratch), vec![item(half)]).await.figures, figures);
        assert_eq!(state(&scratch, 1).await, Some(left));
    }
}

async fn a_use_there_counts_whoever_it_is_and_whatever_goes_on_here(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    run(&target(&scratch), a_server()).await;
    let by = |number| Some(By::Token(of_prosody(number).token_hash));
    // Somebody is registering here by a link that was used there, and fails.
    let first = scratch.store.find(of_prosody(1).token_hash).await.unwrap().unwrap();
    let reserved = scratch.reserve(&first, "ivan@example.org").await.unwrap();
    let outcome = run(&target(&scratch), vec![joined("heidi@example.org", by(1))]).await;
    assert_eq!(outcome.figures.ended_since, 1);
    scratch.store.release(host("example.org"), reserved.id).await.unwrap();
    assert_eq!(state(&scratch, 1).await, Some(State::Revoked));

    // Whoever joined by another link before has used this one.
    run(&target(&scratch), vec![item(of_prosody(6))]).await;
    run(&target(&scratch), vec![joined("frank@example.org", by(6))]).await;
    assert_eq!(state(&scratch, 6).await, Some(State::Redeemed));

    // One is used and then withdrawn.
    let withdrawn = Invite { revoked_at: Some(at(2050)), max_uses: None, ..of_prosody(2) };
    let outcome = run(&target(&scratch), vec![used(withdrawn, &["judy@example.org"])]).await;
    assert_eq!((outcome.figures.ended_since, outcome.figures.accounts), (1, 1));
    assert_eq!(state(&scratch, 2).await, Some(State::Revoked));
    scratch.store.verify().await.unwrap();
}

async fn nothing_ends_where_the_source_was_not_read_to_its_end(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    run(&target(&scratch), a_server()).await;
    let before = scratch.place.contents().await;
    let left = Outcome { left: BTreeMap::from([(host("example.org"), 3)]), ..Outcome::default() };
    assert_eq!(run(&target(&scratch), Vec::new()).await, left, "no list of this host");
    let unread = |host| Skipped {
        kind: Kind::Invite,
        host,
        token_hash: None,
        reason: Reason::Malformed,
        place: "a file, line 3".to_owned(),
    };
    let whole = || Item::Whole(host("example.org"));
    for doubt in [None, Some(host("example.org"))] {
        let outcome = run(&target(&scratch), vec![Item::Skipped(unread(doubt)), whole()]).await;
        assert_eq!(outcome.left, left.left);
    }
    let read = async |sender: mpsc::Sender<Item>| {
        sender.send(whole()).await?;
        anyhow::bail!("the disk has failed")
    };
    let (outcome, ended) = import(&target(&scratch), read, |_| ()).await;
    assert_eq!((outcome, ended.unwrap_err().to_string().as_str()), (Outcome::default(), "the disk has failed"));
    assert_eq!(scratch.place.contents().await, before);

    // What cannot be read of another host, or of a known token, is no doubt.
    let known = Skipped { token_hash: Some(of_prosody(1).token_hash), ..unread(Some(host("example.org"))) };
    let items = vec![Item::Skipped(known), Item::Skipped(unread(Some(host("example.net")))), whole()];
    assert_eq!(run(&target(&scratch), items).await.figures.ended_since, 2);
    assert_eq!(state(&scratch, 1).await, Some(State::Pending));
}

async fn a_name_is_reserved_once_and_a_token_belongs_to_one_invite(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let pinned = |number| Invite { username: username("carol"), ..of_prosody(number) };
    let here = Invite { username: username("dave"), token_hash: of_prosody(50).token_hash, ..invite() };
    scratch.store.insert(here, Quota::default(), at(1000)).await.unwrap().unwrap();
    let elsewhere = |number| Invite { host: host("example.net"), ..of_prosody(number) };
    let items = vec![
        item(Invite { expires_at: Some(at(1500)), ..pinned(1) }),
        item(Invite { invite_type: InviteType::PasswordReset, inviter: None, ..pinned(2) }),
        item(pinned(3)),
        item(pinned(4)),
        item(Invite { username: username("dave"), ..of_prosody(5) }),
        item(of_prosody(3)),
        item(elsewhere(6)),
        joined("zoe@example.net", None),
        used(of_prosody(7), &["one@example.org", "two@example.org"]),
        item(Invite { inviter: None, ..of_prosody(8) }),
    ];
    let mut told = Vec::new();
    let read = async |sender: mpsc::Sender<Item>| send(&sender, items).await;
    let tell = |one: Told<'_>| {
        if let Told::Skipped(skipped) = one {
            told.push((skipped.kind, skipped.reason));
        }
    };
    let (outcome, ended) = import(&target(&scratch), read, tell).await;
    ended.unwrap();
    let (invite, account) = (Kind::Invite, Kind::Account);
    assert_eq!(
        told,
        [
            (invite, Reason::Reserved),
            (invite, Reason::Reserved),
            (invite, Reason::SameToken),
            (invite, Reason::OtherHost),
            (account, Reason::OtherHost),
            (invite, Reason::Malformed),
            (invite, Reason::Malformed),
        ]
    );
    assert_eq!(outcome.other_hosts, BTreeSet::from([host("example.net")]));
    assert_eq!((outcome.figures.pending, outcome.figures.ended), (2, 1));
    scratch.store.verify().await.unwrap();
}

async fn a_failing_source_ends_with_its_error_and_what_it_sent_before_stays(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let read = async |sender: mpsc::Sender<Item>| {
        send(&sender, a_server()).await?;
        anyhow::bail!("line 9: expected a table")
    };
    let (outcome, ended) = import(&target(&scratch), read, |_| ()).await;
    assert_eq!(ended.unwrap_err().to_string(), "line 9: expected a table");
    assert_eq!(outcome.figures.pending, 3);
    assert_eq!(scratch.store.contents().await.unwrap().invites, 5);
}

/// The command line, in a folder of its own, with a list of ejabberd's that it imports.
struct Folder(tempfile::TempDir);

impl Folder {
    /// A list of this many invites. Every fourth is used, and every fifth is for one username.
    fn with(invites: usize, scratch: &Scratch) -> Folder {
        let store = match &scratch.place {
            Place::Folder(folder) => format!("sqlite:{}/easy-invite.db", folder.path().display()),
            Place::Database(database) => database.url.clone(),
        };
        let folder = Folder(tempfile::tempdir().unwrap());
        let config = format!(
            "[component]\njid = \"invite.example.org\"\nserver = \"127.0.0.1:1\"\nsecret = \"hunter2\"\n\
             [hosts.\"example.org\"]\n[store]\nurl = \"{store}\"\n"
        );
        fs::write(folder.0.path().join("config.toml"), config).unwrap();
        let invite = |number: usize| {
            let invitee = if number.is_multiple_of(4) { format!("user{number}@example.org") } else { String::new() };
            let name = if number.is_multiple_of(5) { format!("name{number}") } else { String::new() };
            format!(
                "{{\"token\":\"ImportedToken{number:011}\",\"created_at\":\"2026-11-01T10:00:00Z\",\
                 \"expires\":\"9000-01-01T00:00:00Z\",\"type\":\"account_subscription\",\
                 \"inviter\":\"alice@example.org\",\"invitee\":\"{invitee}\",\"account_name\":\"{name}\"}}\n"
            )
        };
        fs::write(folder.0.path().join("list"), (0..invites).map(invite).collect::<String>()).unwrap();
        folder
    }

    fn import(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_easy-invite"));
        command.current_dir(self.0.path()).args(["import", "ejabberd", "list", "--json"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// How many invites a list has: several batches.
const LISTED: usize = 1600;

/// For how long runs are killed, at most, as soon as some were killed midway.
const KILLING: Duration = Duration::from_secs(15);

async fn a_run_that_is_killed_anywhere_is_made_good_by_the_next(engine: Engine) {
    let straight = Scratch::new(engine).await;
    let folder = Folder::with(LISTED, &straight);
    let began = Instant::now();
    let whole = folder.import().output().unwrap();
    let length = began.elapsed();
    assert!(whole.status.success(), "{whole:?}");
    let whole = meaning(&straight).await;

    let (mut kills, mut halves, began) = (0, 0, Instant::now());
    while kills < 100 && (halves < 5 || began.elapsed() < KILLING) {
        let scratch = Scratch::new(engine).await;
        let folder = Folder::with(LISTED, &scratch);
        loop {
            let mut child = folder.import().spawn().unwrap();
            // Spread over the whole run, in an order that no step of it follows.
            std::thread::sleep(length * (kills * 37 % 100) / 90);
            drop(child.kill());
            kills += 1;
            if child.wait().unwrap().success() {
                break;
            }
            let there = scratch.store.contents().await.unwrap().invites as usize;
            assert!(there == LISTED || there.is_multiple_of(500), "a part of a batch: {there}");
            halves += usize::from(there > 0 && there < LISTED);
        }
        scratch.store.verify().await.unwrap();
        assert_eq!(meaning(&scratch).await, whole);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_away_midway_is_told_and_the_next_run_makes_it_good() {
    let straight = Scratch::new(Engine::Postgres).await;
    let items = || (0..2000).map(|number| joined(&format!("user{number}@example.org"), None)).chain(a_server());
    run(&target(&straight), items().collect()).await;

    let scratch = Scratch::new(Engine::Postgres).await;
    let Place::Database(database) = &scratch.place else { unreachable!() };
    let port = engines::server().rsplit(':').next().unwrap().parse().unwrap();
    let relay = Relay::to(port).await;
    let through = format!("postgres://postgres@127.0.0.1:{}/{}?sslmode=disable", relay.port(), database.name);
    let through = Store::open(&through.parse().unwrap()).await.unwrap();
    let target = Target { store: Some(through.by(Actor::Cli("root".to_owned()))), ..target(&scratch) };

    // For good: the source, which would go on for ever, ends at once.
    let endless = async |sender: mpsc::Sender<Item>| {
        let mut items = items();
        send(&sender, items.by_ref().take(1000).collect()).await?;
        while scratch.store.contents().await?.accounts < 1000 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        relay.bar(true);
        database.disconnect().await;
        send(&sender, items.by_ref().take(500).collect()).await?;
        std::future::pending().await
    };
    let (_, ended) = import(&target, endless, |_| ()).await;
    let told = ended.unwrap_err().to_string();
    assert!(told.contains("cannot be reached"), "{told}");
    assert_eq!(scratch.again().await.contents().await.unwrap().accounts, 1000);

    // For a moment, with a commit of which nobody knows whether it happened.
    relay.bar(false);
    for fault in [Fault::CutAfterCommit, Fault::CutBeforeCommit] {
        let read = async |sender: mpsc::Sender<Item>| {
            relay.set(fault);
            send(&sender, items().collect()).await
        };
        let (_, ended) = import(&target, read, |_| ()).await;
        ended.unwrap();
        assert!(relay.is_over());
    }
    assert_eq!(meaning(&scratch).await, meaning(&straight).await);
    scratch.store.verify().await.unwrap();
}

async fn tokens_that_can_perhaps_be_guessed_are_told(engine: Engine) {
    let scratch = Scratch::new(engine).await;
    let with_length = |number: usize, length: u32| Invite { token_length: Some(length), ..of_prosody(number) };
    let short = with_length(1, 15);
    let elsewhere = Invite { host: host("example.net"), ..with_length(2, 8) };
    let expired = Invite { expires_at: Some(at(1500)), ..with_length(3, 8) };
    let of_many_hosts =
        Target { hosts: BTreeSet::from([host("example.org"), host("example.net")]), ..target(&scratch) };
    let items: Vec<_> = [&short, &elsewhere, &expired, &with_length(4, 16)].map(|invite| item(invite.clone())).into();
    let outcome = run(&of_many_hosts, items.clone()).await;
    assert_eq!((outcome.figures.pending, outcome.figures.short_tokens), (3, 2));
    assert_eq!(run(&of_many_hosts, items).await.figures.short_tokens, 0, "they were told of");
    scratch.store.insert(invite(), Quota::default(), at(1000)).await.unwrap().unwrap();

    let told = [(elsewhere.host, elsewhere.id), (short.host, short.id.clone())];
    assert_eq!(scratch.store.short_tokens(at(2000)).await.unwrap(), told);
    for (lengths, found) in [(&[15][..], true), (&[24], false), (&[9, 8, 10], true), (&[9, 10, 11], false)] {
        assert_eq!(scratch.store.has_tokens_of(lengths.to_vec()).await.unwrap(), found, "{lengths:?}");
    }
    // A new link is one of ours.
    let renewed = scratch.store.regenerate(short.id, Token::generate().unwrap().hash(), at(2000)).await.unwrap();
    renewed.unwrap();
    assert_eq!(scratch.store.short_tokens(at(2000)).await.unwrap(), told[..1]);
    assert!(!scratch.store.has_tokens_of(vec![15]).await.unwrap());
}

/// What a command of the folder printed, on stdout and on stderr.
fn printed(folder: &Folder, arguments: &[&str]) -> (String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_easy-invite"));
    let ran = command.current_dir(folder.0.path()).args(arguments).stdin(Stdio::null()).output().unwrap();
    assert!(ran.status.success(), "{arguments:?}: {ran:?}");
    (String::from_utf8(ran.stdout).unwrap(), String::from_utf8(ran.stderr).unwrap())
}

#[tokio::test]
async fn the_last_line_tells_all_in_figures_and_names_no_token() {
    let scratch = Scratch::new(Engine::Sqlite).await;
    let folder = Folder::with(1200, &scratch);
    let list = folder.0.path().join("list");
    let of_others = "{\"token\":\"AnotherHostsTokenOfMany1\",\"created_at\":\"2026-11-01T10:00:00Z\",\
         \"expires\":\"9000-01-01T00:00:00Z\",\"type\":\"account_only\",\"inviter\":\"bob@example.net\",\
         \"invitee\":\"\",\"account_name\":\"\"}\n";
    // Of example.org, and for a username that the first of the list reserves.
    let reserves = of_others.replace("AnotherHosts", "SecondReserve").replace("bob@example.net", "bob@example.org");
    let reserves = reserves.replace("\"account_name\":\"\"", "\"account_name\":\"name5\"");
    let whole = fs::read_to_string(&list).unwrap() + of_others + &reserves;
    fs::write(&list, whole).unwrap();

    let import = &["import", "ejabberd", "list"];
    let figures = "1,200 invites (900 pending, 300 ended), 300 accounts with their inviters; \
                   2 skipped: 1 of a host that is not imported, \
                   1 with a username that another pending invite reserves (example.net); 0 were there already\n";
    let (dry, _) = printed(&folder, &[&import[..], &["--dry-run"]].concat());
    assert_eq!(dry, format!("would import {figures}"));
    let (done, said) = printed(&folder, &[&import[..], &["--verbose"]].concat());
    assert_eq!(done, format!("imported {figures}"));
    let named: Vec<_> = said.lines().filter(|line| line.contains("skipped")).collect();
    assert_eq!(
        named,
        [
            "easy-invite: list:1201: invite of example.net skipped: of a host that is not imported",
            "easy-invite: list:1202: invite of example.org skipped: with a username that another pending invite \
             reserves",
        ]
    );
    let (again, _) = printed(&folder, &[&import[..], &["--json"]].concat());
    let again: serde_json::Value = serde_json::from_str(&again).unwrap();
    let expected = serde_json::json!({
        "dry_run": false, "imported": 0, "pending": 0, "ended": 0, "accounts": 0, "already": 1200,
        "short_tokens": 0, "ended_since": 0,
        "skipped": {"other-host": 1, "reserved": 1}, "other_hosts": ["example.net"], "left": {}, "left_out": {},
    });
    assert_eq!(again, expected);

    let (list, _) = printed(&folder, &["list", "--limit", "1"]);
    assert!(list.contains("IMPORTED") && list.contains("ejabberd"), "{list}");
    let (list, _) = printed(&folder, &["list", "--limit", "1", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&list).unwrap();
    assert_eq!(listed["imported_from"], "ejabberd");
    let (shown, _) = printed(&folder, &["show", listed["id"].as_str().unwrap()]);
    assert!(shown.contains("from ejabberd"), "{shown}");
    let (log, _) = printed(&folder, &["log"]);
    assert_eq!(log.lines().filter(|line| line.contains(" imported ") && line.ends_with("ejabberd")).count(), 1200);
    for text in [&done, &said, &dry, &shown, &log] {
        assert!(!text.contains("ImportedToken") && !text.contains("OfMany"), "a token in {text}");
    }
    assert_eq!(scratch.in_files("ImportedToken"), 0, "and none is kept");
}

#[tokio::test]
async fn a_dry_run_makes_no_store_and_a_source_that_is_not_there_is_named() {
    let scratch = Scratch::new(Engine::Sqlite).await;
    let folder = Folder::with(3, &scratch);
    let config = fs::read_to_string(folder.0.path().join("config.toml")).unwrap();
    let config = config.replace("easy-invite.db", "not-made.db");
    fs::write(folder.0.path().join("config.toml"), config).unwrap();
    let (dry, _) = printed(&folder, &["import", "ejabberd", "list", "--dry-run"]);
    assert_eq!(dry, "would import 3 invites (2 pending, 1 ended), 1 account with its inviter; 0 were there already\n");
    assert!(!scratch.place.folder().join("not-made.db").exists());
    for (arguments, problem) in [
        (["import", "ejabberd", "missing", "--dry-run"], "easy-invite: missing: "),
        (["import", "ejabberd", "list", "example.net"], "easy-invite: This service does not serve example.net"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_easy-invite"));
        let ran = command.current_dir(folder.0.path()).args(arguments).output().unwrap();
        let said = String::from_utf8(ran.stderr).unwrap();
        assert!(ran.status.code() == Some(1) && said.starts_with(problem) && said.lines().count() == 1, "{said}");
        assert!(!scratch.place.folder().join("not-made.db").exists(), "{arguments:?}");
    }
}

#[tokio::test]
async fn a_token_that_nobody_knew_is_known_to_the_daemon_as_soon_as_it_is_imported() {
    let scratch = Scratch::new(Engine::Sqlite).await;
    let settings = Settings::new(host("invite.example.org"));
    let (chat_server, _questions) = ChatServer::channel();
    let daemon = Invites::new(scratch.again().await, settings, chat_server, || at(2000));
    let token = Token::parse("ImportedTokenOfANumber01").unwrap();
    let address: Address = Some("192.0.2.7".parse::<std::net::IpAddr>().unwrap()).into();
    let tokens = std::slice::from_ref(&token);
    assert_eq!(daemon.look_up(tokens, address).await, Err(Refusal::Unknown.into()));
    run(&target(&scratch), a_server()).await;
    assert_eq!(daemon.look_up(tokens, address).await.unwrap().0.token_hash, token.hash());
    daemon.tell().await.unwrap();
    assert_eq!(scratch.store.untold(1).await.unwrap(), [], "and its log has all of it");
}
