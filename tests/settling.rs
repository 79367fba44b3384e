//! How the daemon finds out what became of reservations and accounts, over minutes of paused time,
//! from a hook that the test plays.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use easy_invite::chat_server::{Account, Ask, ChatServer, Fate, Hook, Reply, Unreachable};
use easy_invite::invite::{InviteType, Issuer, State};
use easy_invite::invites::{Invites, Issued, Registration};
use easy_invite::limits::Limits;
use easy_invite::links::Reference;
use easy_invite::policy::{HostPolicy, Wish};
use easy_invite::store::{Store, StoreUrl};
use jid::{BareJid, DomainPart, NodePart};
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// What the hook answers: the fate of every reservation that is not named, and whether alice has an
/// account.
struct Played {
    fates: BTreeMap<String, Fate>,
    others: Option<Fate>,
    alice_exists: Option<bool>,
    /// The reservations that were asked about.
    asked: Vec<String>,
}

struct Daemon {
    invites: Invites,
    hook: Arc<Mutex<Played>>,
    _folder: tempfile::TempDir,
}

/// It goes on with the paused time of a test.
fn clock() -> Timestamp {
    static START: OnceLock<Instant> = OnceLock::new();
    let passed = Instant::now().saturating_duration_since(*START.get_or_init(Instant::now));
    "2026-11-22T10:00:00Z".parse::<Timestamp>().unwrap() + passed
}

fn host() -> DomainPart {
    DomainPart::new("example.org").unwrap().into_owned()
}

impl Daemon {
    async fn start() -> Daemon {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StoreUrl::Sqlite(folder.path().join("easy-invite.db"))).await.unwrap();
        let (chat_server, mut questions) = ChatServer::channel();
        let played = Played { fates: BTreeMap::new(), others: None, alice_exists: Some(true), asked: Vec::new() };
        let hook = Arc::new(Mutex::new(played));
        let playing = Arc::clone(&hook);
        tokio::spawn(async move {
            while let Some(question) = questions.recv().await {
                let answer = playing.lock().unwrap().answer(&question.ask);
                question.answer(answer.ok_or(Unreachable("it is silent".to_owned())));
            }
        });
        let policies = BTreeMap::from([(host(), HostPolicy::default())]);
        let invites = Invites::new(store, policies, Limits::default(), chat_server, clock);
        invites.met(host(), &Hook { software: "a test".to_owned(), server: "s1".to_owned() });
        Daemon { invites, hook, _folder: folder }
    }

    async fn make(&self, invite_type: InviteType, uses: u32) -> Issued {
        let inviter = invite_type.connects().then(|| BareJid::new("alice@example.org").unwrap());
        let wish = Wish { inviter, max_uses: Some(uses), ..Wish::new(invite_type, host(), Issuer::Admin) };
        self.invites.create(wish).await.unwrap()
    }

    async fn reserve(&self, made: &Issued, reservation: &str) -> Result<(), String> {
        let registration = Registration {
            reservation: reservation.to_owned(),
            server: "s1".to_owned(),
            username: NodePart::new(reservation).unwrap().into_owned(),
            exists: false,
            address: None,
        };
        let grant = format!("{}.{}", made.token.reveal(), clock().as_second());
        let reserved = self.invites.reserve(&host(), Some(&grant), registration).await;
        reserved.map(drop).map_err(|error| error.to_string())
    }

    /// One round of settling; returns the reservations that were asked about.
    async fn round(&self) -> Vec<String> {
        self.hook.lock().unwrap().asked.clear();
        self.invites.settle_open(SignedDuration::ZERO).await.unwrap();
        std::mem::take(&mut self.hook.lock().unwrap().asked)
    }

    async fn state(&self, made: &Issued) -> State {
        let invite = self.invites.find(Reference::Id(made.invite.id.clone())).await.unwrap();
        invite.state(clock())
    }

    /// Whether the one use of an invite is free: looks for it, and gives it back.
    async fn is_free(&self, made: &Issued) -> bool {
        let free = self.reserve(made, "probe").await.is_ok();
        self.invites.release("probe".to_owned()).await.unwrap();
        free
    }
}

impl Played {
    fn answer(&mut self, ask: &Ask) -> Option<Reply> {
        match ask {
            Ask::Hello | Ask::Create { .. } => None,
            Ask::Account(name) => {
                let exists = if name.as_str() == "alice" { self.alice_exists? } else { false };
                Some(Reply::Account(Account { exists, ..Account::default() }))
            }
            Ask::Settle(reserved) => {
                self.asked.push(reserved.0.id.clone());
                self.fates.get(&reserved.0.id).copied().or(self.others).map(Reply::Settle)
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
    daemon.hook.lock().unwrap().others = Some(Fate::Made);
    daemon.invites.met(host(), &Hook { software: "a test".to_owned(), server: "s1".to_owned() });
    assert_eq!(daemon.round().await, ["carol"]);
    assert_eq!(daemon.state(&made).await, State::Redeemed);
    assert_eq!(daemon.invites.unsettled().1, 0);
}

#[tokio::test(start_paused = true)]
async fn a_doubtful_no_gives_a_use_back_only_when_several_agree_over_minutes() {
    let daemon = Daemon::start().await;
    let made = daemon.make(InviteType::Account, 1).await;
    daemon.reserve(&made, "carol").await.unwrap();
    let says = |fate| daemon.hook.lock().unwrap().others = Some(fate);
    says(Fate::NotMade { doubtful: true });
    for _ in 0..29 {
        daemon.round().await;
        assert_eq!(daemon.invites.unsettled().1, 0, "nothing is wrong yet");
        pass(10).await;
    }
    says(Fate::InFlight); // one that says otherwise
    daemon.round().await;
    says(Fate::NotMade { doubtful: true });
    for _ in 0..29 {
        pass(10).await;
        daemon.round().await;
    }
    assert!(!daemon.is_free(&made).await);
    daemon.hook.lock().unwrap().others = None; // no answer is no look
    pass(10).await;
    assert_eq!(daemon.round().await, ["carol"]);
    daemon.hook.lock().unwrap().others = Some(Fate::NotMade { doubtful: true });
    for _ in 0..4 {
        pass(10).await;
        daemon.round().await;
    }
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
        daemon.hook.lock().unwrap().others = Some(fate);
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
