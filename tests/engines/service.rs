//! The service over a store, with a chat server that knows everybody.

use easy_invite::chat_server::{Account, Ask, ChatServer, Hook, NoAnswer};
use easy_invite::invite::{InviteType, Issuer};
use easy_invite::invites::{Invites, Settings};
use easy_invite::policy::{HostPolicy, Wish};
use easy_invite::store::Store;
use jiff::Timestamp;

use super::{at, host, jid};

fn clock() -> Timestamp {
    at(1000)
}

/// The service for `example.org`, where users may make so many invites a day.
pub fn service(store: &Store, invites_per_day: u32) -> Invites {
    let (chat_server, mut questions) = ChatServer::channel();
    tokio::spawn(async move {
        while let Some(question) = questions.recv().await {
            match question.ask {
                Ask::Account { reply, .. } => drop(reply.send(Ok(Account { exists: true, ..Account::default() }))),
                ask => ask.fail(NoAnswer::Late("it is silent".to_owned())),
            }
        }
    });
    let policy = HostPolicy { invites_per_day: Some(invites_per_day), ..HostPolicy::default() };
    let settings = Settings { hosts: [(host("example.org"), policy)].into(), ..Settings::new(host("a.example.org")) };
    let invites = Invites::new(store.clone(), settings, chat_server, clock);
    invites.hook_introduced(host("example.org"), &Hook { server: "s1".to_owned(), ..Hook::default() });
    invites
}

/// The wish of a user for an invite.
pub fn wish_of(user: &str) -> Wish {
    let mut wish = Wish::new(InviteType::AccountAndContact, host("example.org"), Issuer::User);
    wish.inviter = Some(jid(&format!("{user}@example.org")));
    wish
}
