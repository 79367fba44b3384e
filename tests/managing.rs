//! Who may see, change, renew and revoke which invite, with a chat server that the test plays.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use easy_invite::chat_server::{Account, Ask, ChatServer, Hook, NoAnswer};
use easy_invite::event::Action;
use easy_invite::invite::{InviteType, Issuer, State, username};
use easy_invite::invites::{By, Error, Invites, Issued, Registration, Settings};
use easy_invite::lifetime::Lifetime;
use easy_invite::links::Reference;
use easy_invite::policy::{Change, HostPolicy, Wish};
use easy_invite::refusal::{Mistake, Refusal};
use easy_invite::store::{EventFilter, Store, StoreUrl};
use jid::{BareJid, DomainPart};
use jiff::Timestamp;

/// What the chat server knows of accounts, by their JIDs.
type Known = Arc<Mutex<BTreeMap<String, Account>>>;

struct Daemon {
    invites: Invites,
    store: Store,
    known: Known,
    _folder: tempfile::TempDir,
}

fn clock() -> Timestamp {
    "2026-11-22T10:00:00Z".parse().unwrap()
}

fn host(name: &str) -> DomainPart {
    DomainPart::new(name).unwrap().into_owned()
}

fn by(account: &str) -> By {
    By::Account(BareJid::new(account).unwrap())
}

const ALICE: &str = "alice@example.org";
const BOB: &str = "bob@example.org";
const ADMIN: &str = "admin@example.org";
const ADMIN_ELSEWHERE: &str = "admin@example.net";

impl Daemon {
    async fn start(policy: HostPolicy) -> Daemon {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StoreUrl::Sqlite(folder.path().join("easy-invite.db"))).await.unwrap();
        let there = || Account { exists: true, ..Account::default() };
        let admin = || Account { admin: true, privileged: true, rank: Some(1), ..there() };
        let owner = Account { rank: Some(2), ..admin() };
        let known = [
            (ALICE, there()),
            (BOB, there()),
            (ADMIN, admin()),
            (ADMIN_ELSEWHERE, admin()),
            ("owner@example.org", owner),
        ];
        let known: Known = Arc::new(Mutex::new(known.map(|(jid, account)| (jid.to_owned(), account)).into()));
        let hosts = [host("example.org"), host("example.net")].map(|host| (host, policy.clone()));
        let (chat_server, mut questions) = ChatServer::channel();
        let answered = Arc::clone(&known);
        tokio::spawn(async move {
            while let Some(question) = questions.recv().await {
                match question.ask {
                    Ask::Account { username, reply, .. } => {
                        let jid = format!("{username}@{}", question.host);
                        let account = answered.lock().unwrap().get(&jid).cloned();
                        drop(reply.send(Ok(account.unwrap_or_default())));
                    }
                    ask => ask.fail(NoAnswer::Late("it is silent".to_owned())),
                }
            }
        });
        let settings = Settings { hosts: hosts.into(), ..Settings::new(host("invite.example.org")) };
        let invites = Invites::new(store.clone(), settings, chat_server, clock);
        for name in ["example.org", "example.net"] {
            invites.hook_introduced(host(name), &Hook { server: "s1".to_owned(), ..Hook::default() });
        }
        Daemon { invites, store, known, _folder: folder }
    }

    async fn make(&self, inviter: Option<&str>, issuer: Issuer, change: impl FnOnce(&mut Wish)) -> Issued {
        let invite_type = if inviter.is_some() { InviteType::AccountAndContact } else { InviteType::Account };
        let mut wish = Wish::new(invite_type, host("example.org"), issuer);
        wish.inviter = inviter.map(|jid| BareJid::new(jid).unwrap());
        change(&mut wish);
        self.invites.create(wish).await.unwrap()
    }

    async fn of_alice(&self) -> Issued {
        self.make(Some(ALICE), Issuer::User, |_| ()).await
    }

    /// Changes what is known of an account.
    fn now(&self, jid: &str, change: impl FnOnce(&mut Account)) {
        change(self.known.lock().unwrap().get_mut(jid).unwrap());
    }

    /// The same service, for which a moment has passed: nothing is known of accounts any more.
    fn later(&self) -> Invites {
        let settings = self.invites.settings().clone();
        let invites = Invites::new(self.store.clone(), settings, self.invites.chat_server().clone(), clock);
        invites.hook_introduced(host("example.org"), &Hook { server: "s1".to_owned(), ..Hook::default() });
        invites
    }
}

fn id(issued: &Issued) -> Reference {
    Reference::from(issued.invite.id.clone())
}

fn refused<T: std::fmt::Debug>(answer: Result<T, Error>) -> Refusal {
    match answer.unwrap_err() {
        Error::Refused(refusal) => refusal,
        error => panic!("{error}"),
    }
}

fn note(text: &str) -> Change {
    Change { note: Some(text.to_owned()), ..Change::default() }
}

/// What somebody may do to an invite: show, change, renew, revoke it.
async fn may(invites: &Invites, by: &By, made: &Issued) -> [Result<(), Refusal>; 4] {
    let done = |answer: Result<(), Error>| answer.map_err(|error| refused::<()>(Err(error)));
    [
        done(invites.show(by, id(made)).await.map(drop)),
        done(invites.change(by, id(made), note("changed")).await.map(drop)),
        done(invites.regenerate(by, id(made)).await.map(drop)),
        done(invites.revoke(by, id(made)).await.map(drop)),
    ]
}

#[tokio::test]
async fn makers_admins_and_the_operator_do_all_and_for_others_it_is_not_there() {
    let daemon = Daemon::start(HostPolicy::default()).await;
    let unknown = [const { Err(Refusal::Unknown) }; 4];
    for (who, expected) in [
        (by(ALICE), [const { Ok(()) }; 4]),
        (by(ADMIN), [const { Ok(()) }; 4]),
        (By::Operator, [const { Ok(()) }; 4]),
        (by(BOB), unknown.clone()),
        (by(ADMIN_ELSEWHERE), unknown.clone()),
        (by("nobody@example.org"), unknown.clone()),
    ] {
        let made = daemon.of_alice().await;
        assert_eq!(may(&daemon.invites, &who, &made).await, expected, "{who:?}");
        let there = refused(daemon.invites.show(&by(BOB), id(&made)).await);
        let nowhere = Reference::from(easy_invite::invite::InviteId::generate().unwrap());
        assert_eq!(refused(daemon.invites.show(&by(BOB), nowhere).await), there, "no hint that it is there");
    }
    let actors: Vec<_> = daemon.store.events(EventFilter::default(), (Timestamp::MIN, 0), 100).await.unwrap();
    let actors = actors.iter().filter(|event| event.action == Action::Regenerated);
    let actors: Vec<_> = actors.map(|event| event.actor.to_string()).collect();
    assert_eq!(actors, ["user:alice@example.org", "admin:admin@example.org", "daemon"]);
}

#[tokio::test]
async fn who_may_not_invite_any_more_still_sees_and_revokes() {
    let daemon = Daemon::start(HostPolicy::default()).await;
    let refused = [Ok(()), Err(Refusal::NotAllowed), Err(Refusal::NotAllowed), Ok(())];
    let no_contacts = |known: &mut Account| known.may_invite_contacts = false;
    let no_accounts = |known: &mut Account| known.may_invite = false;
    let disabled = |known: &mut Account| known.disabled = true; // and still logged in
    for change in [no_contacts as fn(&mut Account), no_accounts, disabled] {
        let made = daemon.of_alice().await;
        daemon.now(ALICE, change);
        assert_eq!(may(&daemon.later(), &by(ALICE), &made).await, refused);
        daemon.now(ALICE, |known| *known = Account { exists: true, ..Account::default() });
    }
    // What an admin has made, a former admin may not renew.
    let made = daemon.make(Some(ADMIN), Issuer::Admin, |wish| wish.max_uses = Some(20)).await;
    daemon.now(ADMIN, |known| (known.admin, known.privileged) = (false, false));
    assert_eq!(may(&daemon.later(), &by(ADMIN), &made).await, refused);
}

#[tokio::test]
async fn an_admin_gets_no_link_that_promises_more_than_an_admin_can_give() {
    let daemon = Daemon::start(HostPolicy::default()).await;
    let contact = daemon.make(Some(ALICE), Issuer::Operator, |wish| wish.roles = vec!["prosody:admin".into()]).await;
    let no_renewal = [Ok(()), Err(Refusal::NotAllowed), Err(Refusal::NotAllowed), Ok(())];
    assert_eq!(may(&daemon.invites, &by(ALICE), &contact).await, [const { Err(Refusal::Unknown) }; 4], "a contact");
    assert_eq!(may(&daemon.invites, &by(ADMIN), &contact).await, no_renewal);
    // The operator's reset link for the owner, and the owner's for a peer.
    let reset = |of: &str| {
        let of = username(of).unwrap();
        |wish: &mut Wish| (wish.invite_type, wish.username) = (InviteType::PasswordReset, Some(of))
    };
    let operators = daemon.make(None, Issuer::Operator, reset("owner")).await;
    assert_eq!(may(&daemon.invites, &by(ADMIN), &operators).await, no_renewal);
    let owners = daemon.make(Some("owner@example.org"), Issuer::Admin, reset("owner")).await;
    let above = || Err(Refusal::AccountAbove("owner@example.org".to_owned()));
    assert_eq!(may(&daemon.invites, &by(ADMIN), &owners).await, [Ok(()), above(), above(), Ok(())]);
}

#[tokio::test]
async fn an_account_sees_nothing_of_an_earlier_one_of_its_name() {
    let daemon = Daemon::start(HostPolicy::default()).await;
    daemon.now(ALICE, |known| known.created_at = Some("2026-01-01T00:00:00Z".parse().unwrap()));
    let made = daemon.of_alice().await;
    let maker = BareJid::new(ALICE).unwrap();
    let listed = async |who: &str| daemon.later().list_of_inviter(&by(who), &maker).await.map(|invites| invites.len());
    assert_eq!((listed(ALICE).await, listed(ADMIN).await), (Ok(1), Ok(1)));
    assert_eq!(listed(BOB).await, Err(Refusal::NotAllowed.into()));
    assert_eq!(listed(ADMIN_ELSEWHERE).await, Err(Refusal::NotAllowed.into()));
    daemon.now(ALICE, |known| known.created_at = Some("2026-11-22T09:59:59Z".parse().unwrap()));
    assert_eq!((listed(ALICE).await, listed(ADMIN).await), (Ok(0), Ok(1)));
    assert_eq!(may(&daemon.later(), &by(ALICE), &made).await, [const { Err(Refusal::Unknown) }; 4]);
}

#[tokio::test]
async fn users_change_within_their_caps_and_quota() {
    let policy = HostPolicy { max_uses: Some(3), pending_invites: Some(2), ..HostPolicy::default() };
    let daemon = Daemon::start(policy).await;
    let made = daemon.of_alice().await;
    let uses = |uses| Change { max_uses: Some(uses), ..Change::default() };
    let life = |text: &str| Change { expires: Some(text.parse().unwrap()), ..Change::default() };
    let week = "7d".parse::<Lifetime>().unwrap();
    let own = async |change: Change| daemon.invites.change(&by(ALICE), id(&made), change).await;
    for (change, mistake) in [
        (uses(Some(4)), Mistake::ManyUses { most: 3 }),
        (uses(None), Mistake::ManyUses { most: 3 }),
        (uses(Some(0)), Mistake::NoUses),
        (life("8d"), Mistake::LongLife { most: week }),
        (life("never"), Mistake::LongLife { most: week }),
        (note(&"x".repeat(10_000)), Mistake::LongNote { most: 500 }),
        (note("\u{7}"), Mistake::NoteNotPlain),
    ] {
        assert_eq!(refused(own(change.clone()).await), mistake.clone().into());
        if matches!(mistake, Mistake::ManyUses { .. } | Mistake::LongLife { .. }) {
            let other = daemon.of_alice().await;
            daemon.invites.change(&by(ADMIN), id(&other), change).await.unwrap();
            daemon.invites.revoke(&by(ADMIN), id(&other)).await.unwrap();
        }
    }
    let both = Change { note: Some("\u{7}".to_owned()), ..uses(Some(0)) };
    assert_eq!(refused(own(both).await), Refusal::Several(vec![Mistake::NoUses.into(), Mistake::NoteNotPlain.into()]));
    assert_eq!(own(uses(Some(3))).await.unwrap().max_uses, Some(3));
    // An invite that ended between the list and the choice, and others that took its place.
    let expired = |made: &Issued| {
        let change = Change { expires: Some(Lifetime::Seconds(-1)), ..Change::default() };
        daemon.store.change(made.invite.id.clone(), change, easy_invite::store::Quota::default(), clock())
    };
    assert_eq!(expired(&made).await.unwrap().unwrap().state(clock()), State::Expired);
    assert_eq!(refused(daemon.invites.regenerate(&by(ALICE), id(&made)).await), Refusal::Expired);
    let others = [daemon.of_alice().await, daemon.of_alice().await];
    assert!(matches!(refused(own(life("1d")).await), Refusal::TooManyPending { most: 2, .. }));
    daemon.invites.revoke(&by(ALICE), id(&others[0])).await.unwrap();
    assert_eq!(own(life("1d")).await.unwrap().state(clock()), State::Pending);
    assert_eq!(refused(daemon.invites.change(&by(ALICE), id(&others[0]), life("1d")).await), Refusal::Revoked);
    assert_eq!(refused(daemon.invites.regenerate(&by(ALICE), id(&others[0])).await), Refusal::Revoked);
}

#[tokio::test]
async fn an_invite_beyond_the_caps_of_its_maker_gets_no_more_time_or_uses() {
    let daemon = Daemon::start(HostPolicy { max_uses: Some(3), ..HostPolicy::default() }).await;
    let change = |expires: Option<&str>, max_uses| Change {
        expires: expires.map(|text| text.parse().unwrap()),
        max_uses,
        ..Change::default()
    };
    let (many, long) = (Mistake::ManyUses { most: 3 }, Mistake::LongLife { most: "7d".parse().unwrap() });
    let (time, uses) = (change(Some("7d"), None), change(None, Some(Some(3))));
    let (less_time, both) = (change(Some("1h"), None), change(Some("7d"), Some(Some(3))));
    // An admin gave more than that, or the maker has lost a role that allowed it.
    for (given, asked, mistake) in [
        (change(Some("1d"), Some(Some(9))), &time, Some(&many)),
        (change(Some("1d"), Some(None)), &time, Some(&many)),
        (change(Some("1d"), Some(None)), &less_time, None),
        (change(Some("1d"), Some(None)), &uses, None),
        (change(Some("8d"), Some(Some(2))), &uses, Some(&long)),
        (change(Some("never"), Some(Some(2))), &uses, Some(&long)),
        (change(Some("never"), Some(Some(4))), &uses, None),
        (change(Some("never"), Some(Some(2))), &time, None),
        (change(Some("never"), Some(None)), &both, None),
        (change(Some("never"), Some(None)), &note("a note gives nothing"), None),
    ] {
        let made = daemon.of_alice().await;
        daemon.invites.change(&by(ADMIN), id(&made), given.clone()).await.unwrap();
        let answer = daemon.invites.change(&by(ALICE), id(&made), asked.clone()).await;
        let refused = answer.err().map(|error| refused::<()>(Err(error)));
        assert_eq!(refused, mistake.cloned().map(Refusal::from), "{given:?}, {asked:?}");
    }
}

#[tokio::test]
async fn a_user_has_no_more_new_links_within_a_day_than_new_invites() {
    let daemon = Daemon::start(HostPolicy { invites_per_day: Some(2), ..HostPolicy::default() }).await;
    let made = [daemon.of_alice().await, daemon.of_alice().await];
    let renew = async |by: By, made: &Issued| daemon.invites.regenerate(&by, id(made)).await.map(drop);
    for made in &made {
        renew(by(ALICE), made).await.unwrap();
    }
    for _ in 0..2 {
        assert!(matches!(refused(renew(by(ALICE), &made[0]).await), Refusal::TooManyLinks { .. }));
        renew(by(ADMIN), &made[0]).await.unwrap();
        renew(By::Operator, &made[0]).await.unwrap();
    }
    renew(by(BOB), &daemon.make(Some(BOB), Issuer::User, |_| ()).await).await.unwrap();
    assert_eq!(daemon.invites.show(&By::Operator, id(&made[0])).await.unwrap().invite.links, 6);
}

#[tokio::test]
async fn a_link_that_is_replaced_while_its_session_waits_reserves_nothing() {
    let daemon = Daemon::start(HostPolicy::default()).await;
    let made = daemon.of_alice().await;
    let registration = |name: &str| Registration {
        reservation: name.to_owned(),
        server: "s1".to_owned(),
        username: username(name).unwrap(),
        exists: false,
        admin: false,
        password: None,
        address: None.into(),
    };
    let grant = |issued: &Issued| format!("{}.{}", issued.token.reveal(), clock().as_second());
    let old = grant(&made);
    let example = host("example.org");
    let (reserved, renewed) = futures::join!(
        daemon.invites.reserve(&example, Some(&old), registration("carol")),
        daemon.invites.regenerate(&By::Operator, id(&made)),
    );
    // Whichever came first: the old link has taken a use by then, or it takes none.
    let renewed = renewed.unwrap();
    assert!(reserved.is_ok() || refused(reserved) == Refusal::Replaced);
    daemon.invites.release(&example, "carol".to_owned()).await.unwrap();
    let late = daemon.invites.reserve(&example, Some(&old), registration("dave")).await;
    assert_eq!(refused(late), Refusal::Replaced);
    daemon.invites.reserve(&example, Some(&grant(&renewed)), registration("dave")).await.unwrap();
}
