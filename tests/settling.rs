//! How the daemon finds out what became of reservations and accounts, over minutes of paused time,
//! from a hook that the test plays.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use easy_invite::chat_server::{Account, Ask, ChatServer, Fate, Hook, Message, NoAnswer};
use easy_invite::invite::{InviteType, Issuer, State};
use easy_invite::invites::{BrowserRegistration, Invites, Issued, Registration, Settings};
use easy_invite::limits::Limits;
use easy_invite::links::Reference;
use easy_invite::policy::{HostPolicy, Wish};
use easy_invite::secret::Secret;
use easy_invite::store::{Store, StoreUrl};
use jid::{BareJid, DomainPart, NodePart};
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// What the hook answers: the fate of every reservation that is not named, and whether alice has an
/// account, since when.
struct Played {
    fates: BTreeMap<String, Fate>,
    others: Option<Fate>,
    alice_exists: Option<bool>,
    alice_since: Option<Timestamp>,
    others_exist: bool,
    /// Whether each "no such account" is doubtful.
    doubtful: bool,
    /// The reservations that were asked about.
    asked: Vec<String>,
    /// The messages that were sent, and to whom they are taken.
    messages: Vec<Message>,
    takes: Vec<&'static str>,
    /// How often a password was to be set. It is never known whether it was.
    sets: u32,
}

struct Daemon {
    invites: Invites,
    hook: Arc<Mutex<Played>>,
    folder: tempfile::TempDir,
}

/// It goes on with the paused time of a test.
fn clock() -> Timestamp {
    static START: OnceLock<Instant> = OnceLock::new();
    let passed = Instant::now().saturating_duration_since(*START.get_or_init(Instant::now));
    "2026-11-22T10:00:00Z".parse::<Timestamp>().unwrap() + passed
}

const MADE: Fate = Fate::Made { failed: Vec::new() };

fn host() -> DomainPart {
    DomainPart::new("example.org").unwrap().into_owned()
}

impl Daemon {
    async fn start() -> Daemon {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StoreUrl::Sqlite(folder.path().join("easy-invite.db"))).await.unwrap();
        let (chat_server, mut questions) = ChatServer::channel();
        let played = Played {
            fates: BTreeMap::new(),
            others: None,
            alice_exists: Some(true),
            alice_since: None,
            others_exist: false,
            doubtful: false,
            asked: Vec::new(),
            messages: Vec::new(),
            takes: vec!["alice@example.org", "bob@example.org"],
            sets: 0,
        };
        let hook = Arc::new(Mutex::new(played));
        let playing = Arc::clone(&hook);
        tokio::spawn(async move {
            while let Some(question) = questions.recv().await {
                playing.lock().unwrap().answer(question.ask);
            }
        });
        let hosts = BTreeMap::from([(host(), HostPolicy::default())]);
        let limits = Limits { registrations: None, ..Limits::default() };
        let invites = Invites::new(store, Settings { hosts, limits, ..Settings::new(host()) }, chat_server, clock);
        invites.hook_introduced(
            host(),
            &Hook { software: "a test".to_owned(), server: "s1".to_owned(), ..Hook::default() },
        );
        Daemon { invites, hook, folder }
    }

    async fn make(&self, invite_type: InviteType, uses: u32) -> Issued {
        let inviter = invite_type.connects().then(|| BareJid::new("alice@example.org").unwrap());
        let wish = Wish { inviter, max_uses: Some(uses), ..Wish::new(invite_type, host(), Issuer::Operator) };
        self.invites.create(wish).await.unwrap()
    }

    async fn reserve(&self, made: &Issued, reservation: &str) -> Result<(), String> {
        let registration = Registration {
            reservation: reservation.to_owned(),
            server: "s1".to_owned(),
            username: NodePart::new(reservation).unwrap().into_owned(),
            exists: false,
            admin: false,
            password: None,
            address: None.into(),
        };
        let grant = format!("{}.{}", made.token.reveal(), clock().as_second());
        let reserved = self.invites.reserve(&host(), Some(&grant), registration).await;
        reserved.map(drop).map_err(|error| error.to_string())
    }

    /// From now on, the store can change nothing of this reservation.
    fn spoil(&self, reservation: &str) {
        let store = rusqlite::Connection::open(self.folder.path().join("easy-invite.db")).unwrap();
        for change in ["UPDATE", "DELETE"] {
            let refuse = "SELECT RAISE(ABORT, 'it is spoilt')";
            let trigger = format!("CREATE TRIGGER spoil_{change} BEFORE {change} ON invite_use");
            store.execute_batch(&format!("{trigger} WHEN OLD.id = '{reservation}' BEGIN {refuse}; END")).unwrap();
        }
    }

    /// One round of settling; returns the reservations that were asked about.
    async fn round(&self) -> Vec<String> {
        self.hook.lock().unwrap().asked.clear();
        self.invites.settle_open(SignedDuration::ZERO).await.unwrap();
        std::mem::take(&mut self.hook.lock().unwrap().asked)
    }

    async fn state(&self, made: &Issued) -> State {
        let invite = self.invites.find(Reference::from(made.invite.id.clone())).await.unwrap();
        invite.state(clock())
    }

    /// Whether the one use of an invite is free: looks for it, and gives it back.
    async fn is_free(&self, made: &Issued) -> bool {
        let free = self.reserve(made, "probe").await.is_ok();
        self.invites.release(&host(), "probe".to_owned()).await.unwrap();
        free
    }
}

impl Played {
    fn answer(&mut self, ask: Ask) {
        let silent = || NoAnswer::Late("it is silent".to_owned());
        match ask {
            Ask::Hello { .. } => ask.fail(silent()),
            Ask::Deliver(message, reply) => {
                let taken = self.takes.iter().any(|maker| message.to.as_str() == *maker);
                self.messages.push(message);
                drop(reply.send(if taken { Ok(()) } else { Err(silent()) }));
            }
            Ask::Create { .. } => {
                self.sets += 1;
                ask.fail(silent());
            }
            Ask::Account { username: name, reply, .. } => {
                let exists = if name.as_str() == "alice" { self.alice_exists } else { Some(self.others_exist) };
                let known = exists.map(|exists| {
                    let doubtful = self.doubtful && !exists;
                    Account { exists, doubtful, created_at: self.alice_since, ..Account::default() }
                });
                drop(reply.send(known.ok_or_else(silent)));
            }
            Ask::Settle(reserved, reply) => {
                self.asked.push(reserved.0.id.clone());
                drop(reply.send(self.fates.get(&reserved.0.id).or(self.others.as_ref()).cloned().ok_or_else(silent)));
            }
        }
    }
}

async fn pass(seconds: u64) {
    tokio::time::advance(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn many_reservations_that_cannot_be_settled_keep_no_other_open() {
    let daemon = Daemon::start().await;
    let stuck = daemon.make(InviteType::Account, 300).await;
    for number in 0..250 {
        daemon.reserve(&stuck, &format!("stuck{number:03}")).await.unwrap();
    }
    pass(2).await;
    daemon.reserve(&stuck, "last").await.unwrap();
    let young = daemon.make(InviteType::Account, 1).await;
    daemon.reserve(&young, "young").await.unwrap();
    daemon.hook.lock().unwrap().fates.insert("young".to_owned(), Fate::NotMade { doubtful: false });
    let first = daemon.round().await;
    assert!(
        first.len() == 200 && first.contains(&"young".to_owned()),
        "no more in one round, and each invite has its turn"
    );
    assert!(daemon.is_free(&young).await);
    let second = daemon.round().await;
    assert!(second.contains(&"last".to_owned()), "those that wait for their time do not fill the round");
}

#[tokio::test(start_paused = true)]
async fn reservations_with_a_doubtful_no_fill_no_round() {
    let daemon = Daemon::start().await;
    let doubtful = daemon.make(InviteType::Account, 300).await;
    for number in 0..250 {
        daemon.reserve(&doubtful, &format!("r{number:03}")).await.unwrap();
    }
    daemon.hook.lock().unwrap().others = Some(Fate::NotMade { doubtful: true });
    assert_eq!(daemon.round().await.len(), 200);
    pass(10).await;
    assert_eq!(daemon.round().await.len(), 50, "the others have had a look less than a minute ago");
    pass(10).await;
    assert_eq!(daemon.round().await.len(), 0);
    pass(40).await;
    assert_eq!(daemon.round().await.len(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_store_error_of_one_reservation_is_no_other_ones() {
    for fate in [MADE, Fate::NotMade { doubtful: false }] {
        let daemon = Daemon::start().await;
        let made = daemon.make(InviteType::Account, 20).await;
        for number in 0..10 {
            daemon.reserve(&made, &format!("r{number}")).await.unwrap();
        }
        let of_alice = daemon.make(InviteType::AccountAndContact, 5).await;
        daemon.hook.lock().unwrap().alice_exists = Some(false);
        daemon.reserve(&of_alice, "carol").await.unwrap_err();
        daemon.spoil("r3");
        daemon.hook.lock().unwrap().others = Some(fate.clone());
        assert_eq!(daemon.invites.settle_open(SignedDuration::ZERO).await, Ok(9), "{fate:?}");
        for _ in 0..32 {
            pass(10).await;
            assert!(daemon.round().await.iter().all(|asked| asked == "r3"));
        }
        assert_eq!(daemon.state(&of_alice).await, State::Revoked, "accounts are looked at in each round");
        let (named, in_all) = daemon.invites.unsettled();
        assert_eq!((named[0].account.as_str(), in_all), ("r3@example.org", 1));
        assert!(named[0].reason.contains("it is spoilt"), "{}", named[0].reason);
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_settled_is_asked_about_ever_more_seldom_and_named_at_the_third_time() {
    let daemon = Daemon::start().await;
    let made = daemon.make(InviteType::Account, 1).await;
    daemon.reserve(&made, "carol").await.unwrap();
    let (mut asked_at, mut told_at) = (Vec::new(), None);
    for second in (0..400).step_by(10) {
        if !daemon.round().await.is_empty() {
            asked_at.push(second);
        }
        if told_at.is_none() && daemon.invites.unsettled().1 > 0 {
            told_at = Some(second);
        }
        pass(10).await;
    }
    assert_eq!((asked_at, told_at), (vec![0, 10, 30, 70, 150, 310], Some(30)));
    let (named, in_all) = daemon.invites.unsettled();
    assert_eq!((named[0].account.as_str(), named[0].invite.as_str()), ("carol@example.org", made.invite.id.as_str()));
    assert_eq!((named[0].reason.as_str(), in_all), ("it is silent", 1));
    // A hook that introduces itself is asked at once.
    daemon.hook.lock().unwrap().others = Some(MADE);
    daemon
        .invites
        .hook_introduced(host(), &Hook { software: "a test".to_owned(), server: "s1".to_owned(), ..Hook::default() });
    assert_eq!(daemon.round().await, ["carol"]);
    assert_eq!(daemon.state(&made).await, State::Redeemed);
    assert_eq!(daemon.invites.unsettled().1, 0);
}

#[tokio::test(start_paused = true)]
async fn a_doubtful_no_gives_a_use_back_only_when_several_agree_over_minutes() {
    let daemon = Daemon::start().await;
    let made = daemon.make(InviteType::Account, 1).await;
    daemon.reserve(&made, "carol").await.unwrap();
    let says = |fate| daemon.hook.lock().unwrap().others = fate;
    // When it is asked in so many rounds, in seconds from the first.
    let asked = async |rounds: u64| {
        let mut asked = Vec::new();
        for round in 0..rounds {
            if !daemon.round().await.is_empty() {
                asked.push(15 * round);
            }
            assert_eq!(daemon.invites.unsettled().1, 0, "nothing is wrong yet");
            pass(15).await;
        }
        asked
    };
    says(Some(Fate::NotMade { doubtful: true }));
    assert_eq!(asked(20).await, [0, 60, 120, 180, 240], "once a minute");
    says(Some(Fate::InFlight)); // one that says otherwise
    assert_eq!(asked(1).await, [0]);
    says(Some(Fate::NotMade { doubtful: true }));
    assert_eq!(asked(19).await, [0, 60, 120, 180, 240]);
    assert!(!daemon.is_free(&made).await);
    says(None); // no answer is no look
    assert_eq!(asked(2).await, [15]);
    assert!(!daemon.is_free(&made).await);
    says(Some(Fate::NotMade { doubtful: true }));
    assert_eq!(asked(2).await, [15]);
    assert!(daemon.is_free(&made).await);
}

#[tokio::test(start_paused = true)]
async fn a_no_without_doubt_gives_a_use_back_at_once() {
    let daemon = Daemon::start().await;
    let made = daemon.make(InviteType::Account, 1).await;
    daemon.reserve(&made, "carol").await.unwrap();
    daemon.hook.lock().unwrap().others = Some(Fate::NotMade { doubtful: false });
    daemon.round().await;
    assert!(daemon.is_free(&made).await);
}

#[tokio::test(start_paused = true)]
async fn other_fates_leave_a_use_taken() {
    for fate in [Fate::InFlight, Fate::Unfinished, Fate::Elsewhere] {
        let daemon = Daemon::start().await;
        let made = daemon.make(InviteType::Account, 1).await;
        daemon.reserve(&made, "carol").await.unwrap();
        daemon.hook.lock().unwrap().others = Some(fate.clone());
        assert_eq!(daemon.round().await, ["carol"]);
        assert!(!daemon.is_free(&made).await, "{fate:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_invites_of_an_account_that_is_gone_end_when_several_looks_agree() {
    let daemon = Daemon::start().await;
    let made = daemon.make(InviteType::AccountAndContact, 5).await;
    let alice = |exists| daemon.hook.lock().unwrap().alice_exists = exists;
    alice(Some(false));
    assert_eq!(daemon.reserve(&made, "carol").await, Err("This server does not recognise this invitation".to_owned()));
    for _ in 0..20 {
        daemon.round().await;
        pass(10).await;
    }
    assert_eq!(daemon.state(&made).await, State::Pending, "for three minutes");
    // The accounts could not be read, and can be again: what was seen before does not count.
    alice(Some(true));
    daemon.round().await;
    daemon.reserve(&made, "carol").await.unwrap();
    pass(60).await;
    alice(Some(false));
    let other = daemon.make(InviteType::Account, 1).await;
    for _ in 0..60 {
        daemon.round().await;
        pass(10).await;
    }
    assert_eq!(daemon.state(&made).await, State::Pending, "nobody looks at an account that was not missed");
    daemon.reserve(&made, "dave").await.unwrap_err();
    for _ in 0..10 {
        daemon.round().await;
        pass(10).await;
    }
    alice(None); // no answer is no look
    for _ in 0..30 {
        daemon.round().await;
        pass(10).await;
    }
    assert_eq!(daemon.state(&made).await, State::Pending);
    alice(Some(false));
    for _ in 0..7 {
        daemon.round().await;
        pass(10).await;
    }
    assert_eq!(daemon.state(&made).await, State::Revoked);
    assert_eq!(daemon.state(&other).await, State::Pending, "it is of somebody else");
}

#[tokio::test(start_paused = true)]
async fn an_account_that_was_made_long_after_a_reservation_gets_nothing_of_it() {
    // How many seconds after its reservation the account was made, and how many after that it is
    // asked about. The last one is of the future: a clock is wrong.
    for (made_after, asked_after, is_anothers) in [(-500, 561, false), (60, 1, false), (61, 0, true), (3600, -1, false)]
    {
        let daemon = Daemon::start().await;
        daemon.hook.lock().unwrap().others = Some(MADE);
        let made = daemon.make(InviteType::Account, 1).await;
        let reserved_at = Timestamp::from_second(clock().as_second()).unwrap();
        daemon.reserve(&made, "alice").await.unwrap();
        daemon.hook.lock().unwrap().alice_since = Some(reserved_at + SignedDuration::from_secs(made_after));
        pass(u64::try_from(made_after + asked_after).unwrap()).await;
        let asked = daemon.round().await;
        assert_eq!(asked.is_empty(), is_anothers, "{made_after} {asked_after}");
        assert_eq!(daemon.state(&made).await, State::Redeemed, "the account was made");
        let store = rusqlite::Connection::open(daemon.folder.path().join("easy-invite.db")).unwrap();
        let invited: u32 = store.query_one("SELECT count(*) FROM account", [], |row| row.get(0)).unwrap();
        assert_eq!(invited, u32::from(!is_anothers), "nobody has invited the other one");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_given_while_nobody_can_tell_whose_account_it_is() {
    let daemon = Daemon::start().await;
    daemon.hook.lock().unwrap().others = Some(MADE);
    let made = daemon.make(InviteType::Account, 1).await;
    daemon.reserve(&made, "alice").await.unwrap();
    daemon.hook.lock().unwrap().alice_exists = None;
    pass(61).await;
    assert!(daemon.round().await.is_empty());
    assert_eq!(daemon.state(&made).await, State::Pending);
    daemon.hook.lock().unwrap().alice_exists = Some(true);
    pass(10).await;
    assert_eq!(daemon.round().await, ["alice"]);
    assert_eq!(daemon.state(&made).await, State::Redeemed);
}

#[tokio::test(start_paused = true)]
async fn a_doubtful_no_such_account_is_no_look_and_no_answer_where_an_account_has_to_exist() {
    let daemon = Daemon::start().await;
    let of_alice = daemon.make(InviteType::AccountAndContact, 5).await;
    let reset = |issuer| Wish {
        username: Some(NodePart::new("alice").unwrap().into_owned()),
        ..Wish::new(InviteType::PasswordReset, host(), issuer)
    };
    let of_password = daemon.invites.create(reset(Issuer::Admin)).await.unwrap();
    let doubtful = |doubtful: bool| {
        let mut hook = daemon.hook.lock().unwrap();
        (hook.alice_exists, hook.doubtful) = (Some(!doubtful), doubtful);
    };
    doubtful(true);
    let cannot_tell = "the chat server cannot tell at the moment whether alice@example.org exists".to_owned();
    for _ in 0..60 {
        pass(10).await;
        assert_eq!(daemon.reserve(&of_alice, "carol").await, Err(cannot_tell.clone()));
        assert_eq!(daemon.reserve(&of_password, "alice").await, Err(cannot_tell.clone()));
        let presented =
            daemon.invites.check(&host(), std::slice::from_ref(&of_alice.token), None.into()).await.map(drop);
        assert_eq!(presented.map_err(|error| error.to_string()), Err(cannot_tell.clone()));
        daemon.round().await;
    }
    assert_eq!(daemon.state(&of_alice).await, State::Pending, "nothing was seen");
    let refused = daemon.invites.create(reset(Issuer::Admin)).await.map(drop);
    assert_eq!(refused.map_err(|error| error.to_string()), Err(cannot_tell.clone()));
    let inviter = Some(BareJid::new("alice@example.org").unwrap());
    let operators = Wish { inviter, ..Wish::new(InviteType::Contact, host(), Issuer::Operator) };
    for wish in [reset(Issuer::Operator), operators] {
        let unchecked = daemon.invites.create(wish).await.unwrap().unchecked;
        assert_eq!(unchecked, Some(NoAnswer::Unable(cannot_tell.clone())), "the operator is warned");
    }
    // A name that nobody may have yet is as free as the server says.
    let carol = NodePart::new("carol").unwrap().into_owned();
    let wish = Wish { username: Some(carol), ..Wish::new(InviteType::Account, host(), Issuer::Admin) };
    let for_carol = daemon.invites.create(wish).await.unwrap();
    daemon.reserve(&for_carol, "carol").await.unwrap();
    doubtful(false);
    daemon.reserve(&of_alice, "dave").await.unwrap();
    daemon.reserve(&of_password, "alice").await.unwrap();
}

#[tokio::test] // since paused time does not wait for the store
async fn a_form_that_is_posted_again_sets_no_password_of_a_younger_account() {
    let daemon = Daemon::start().await;
    let username = Some(NodePart::new("alice").unwrap().into_owned());
    let wish = Wish { username, ..Wish::new(InviteType::PasswordReset, host(), Issuer::Operator) };
    let form = BrowserRegistration {
        answers: Vec::new(),
        token: daemon.invites.create(wish).await.unwrap().token,
        username: None,
        password: Secret::new("kites and lamps".to_owned()),
        form: "form".to_owned(),
        address: None,
    };
    for times in 1..=2 {
        daemon.invites.register(form.clone()).await.unwrap_err();
        assert_eq!(daemon.hook.lock().unwrap().sets, times, "as long as nobody knows whether it is set");
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    daemon.hook.lock().unwrap().alice_since = Some(clock() - SignedDuration::from_secs(1));
    let refused = daemon.invites.register(form).await.unwrap_err();
    assert_eq!(refused.to_string(), "This invitation has been revoked");
    assert_eq!(daemon.hook.lock().unwrap().sets, 2);
}

/// Who made an invite for one, and has been used by this person.
async fn used_by(daemon: &Daemon, inviter: &str, username: &str) {
    let inviter = Some(BareJid::new(inviter).unwrap());
    let wish = Wish { inviter, ..Wish::new(InviteType::AccountAndContact, host(), Issuer::User) };
    let made = daemon.invites.create(wish).await.unwrap();
    daemon.reserve(&made, username).await.unwrap();
    assert!(daemon.invites.redeem(&host(), username.to_owned(), Vec::new()).await.unwrap());
}

impl Daemon {
    /// One round of telling; returns to whom messages were sent, with their ids.
    async fn told(&self) -> Vec<(String, String)> {
        self.invites.tell_inviters().await.unwrap();
        let messages = std::mem::take(&mut self.hook.lock().unwrap().messages);
        messages.into_iter().map(|message| (message.to.to_string(), message.id)).collect()
    }

    fn play(&self, change: impl FnOnce(&mut Played)) {
        change(&mut self.hook.lock().unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_not_certainly_taken_is_sent_again_and_holds_up_no_other() {
    let daemon = Daemon::start().await;
    daemon.play(|hook| hook.others_exist = true);
    daemon.play(|hook| hook.takes = vec!["bob@example.org"]);
    used_by(&daemon, "alice@example.org", "carol").await;
    used_by(&daemon, "bob@example.org", "dave").await;
    let mut first = daemon.told().await;
    first.sort();
    assert_eq!(first.iter().map(|(to, _)| to.as_str()).collect::<Vec<_>>(), ["alice@example.org", "bob@example.org"]);
    assert_eq!(daemon.told().await, [], "another daemon might be sending it");
    pass(20).await;
    assert_eq!(daemon.told().await, first[..1]);
    daemon.play(|hook| hook.takes.push("alice@example.org"));
    pass(20).await;
    assert_eq!(daemon.told().await, first[..1]);
    pass(20).await;
    assert_eq!(daemon.told().await, []);
}

#[tokio::test(start_paused = true)]
async fn a_maker_who_seems_gone_is_told_as_soon_as_that_proves_wrong() {
    let daemon = Daemon::start().await;
    used_by(&daemon, "alice@example.org", "carol").await;
    pass(1).await; // what was known of her when she made it is no longer believed
    daemon.play(|hook| hook.alice_exists = None);
    assert_eq!(daemon.told().await, []);
    daemon.play(|hook| (hook.alice_exists, hook.doubtful) = (Some(false), true));
    pass(20).await;
    assert_eq!(daemon.told().await, []);
    daemon.play(|hook| hook.doubtful = false);
    pass(20).await;
    assert_eq!(daemon.told().await, [], "one look decides nothing");
    daemon.play(|hook| hook.alice_exists = Some(true));
    pass(20).await;
    assert_eq!(daemon.told().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_to_be_told_ends_with_a_maker_who_is_certainly_gone() {
    let daemon = Daemon::start().await;
    used_by(&daemon, "alice@example.org", "carol").await;
    pass(1).await;
    daemon.play(|hook| hook.alice_exists = Some(false));
    for _ in 0..8 {
        assert_eq!(daemon.told().await, []);
        assert_eq!(daemon.invites.notices_queued().await, Ok(1));
        pass(61).await;
        daemon.round().await;
        if daemon.invites.notices_queued().await == Ok(0) {
            return;
        }
    }
    panic!("alice is gone for eight minutes");
}

#[tokio::test(start_paused = true)]
async fn whoever_has_the_makers_name_next_is_told_nothing() {
    let daemon = Daemon::start().await;
    used_by(&daemon, "alice@example.org", "carol").await;
    pass(60).await;
    daemon.play(|hook| hook.alice_since = Some(clock() - SignedDuration::from_secs(5)));
    assert_eq!(daemon.told().await, []);
    assert_eq!(daemon.invites.notices_queued().await, Ok(0));
}
