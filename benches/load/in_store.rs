//! What daemons do in their store when users make invites and register, without a chat server.

#[path = "../../tests/engines/mod.rs"]
mod engines;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use easy_invite::invite::{Invite, Purpose, Use};
use easy_invite::store::{Claim, Quota, Store, StoreUrl};
use engines::{at, claim_of, host, invite, jid};
use futures::future::{join_all, try_join_all};
use serde_json::{Value, json};

/// How many requests of each daemon are in flight.
const IN_FLIGHT: usize = 16;

/// How many invites the people who register have: more than are in flight, and each for everybody.
const INVITES: u64 = 500;

/// The quota of an inviter, and how many seconds pass between two invites so that it is never
/// reached. With such a quota, the invites of one inviter wait for each other.
const QUOTA: Quota = Quota { per_day: Some(1000), pending: None };
const BETWEEN: i64 = 120;

/// The work of daemons in a store.
#[derive(clap::Args)]
pub struct Work {
    /// What they do
    step: Step,
    /// The store, as in `store.url`
    store: StoreUrl,
    /// How many daemons share the store
    #[arg(long, default_value_t = 1)]
    daemons: usize,
    /// How many users make invites
    #[arg(long, default_value_t = 1000)]
    inviters: u64,
    /// For how many seconds
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// The beginning of the usernames, which nobody has had before
    #[arg(long)]
    name: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum Step {
    /// An invite is stored
    NewInvite,
    /// A use is reserved and redeemed
    Register,
}

impl Work {
    /// Does it, and tells how often it was done.
    pub async fn measure(self) -> anyhow::Result<Value> {
        let daemons = try_join_all((0..self.daemons).map(|_| Store::open(&self.store))).await?;
        let invites: Vec<_> = (0..INVITES).map(|number| Invite { max_uses: None, ..self.invite(number) }).collect();
        if matches!(self.step, Step::Register) {
            let made = invites.iter().map(|made| daemons[0].insert(made.clone(), Quota::default(), made.created_at));
            join_all(made).await.into_iter().for_each(|kept| assert_eq!(kept, Ok(Ok(()))));
        }
        let next = AtomicU64::new(INVITES);
        let until = async |end: Instant| {
            let workers = daemons.iter().cycle().take(self.daemons * IN_FLIGHT).map(async |store| {
                let mut done = 0;
                while Instant::now() < end {
                    self.once(store, next.fetch_add(1, Ordering::Relaxed), &invites).await;
                    done += 1;
                }
                done
            });
            join_all(workers).await.into_iter().sum::<u64>()
        };
        until(Instant::now() + Duration::from_millis(500)).await; // connections are made
        let begun = Instant::now();
        let count = until(begun + Duration::from_secs_f64(self.seconds)).await;
        let seconds = begun.elapsed().as_secs_f64();
        Ok(json!({ "count": count, "seconds": seconds, "per_second": count as f64 / seconds }))
    }

    async fn once(&self, store: &Store, number: u64, invites: &[Invite]) {
        match self.step {
            Step::NewInvite => {
                let made = self.invite(number);
                let now = made.created_at;
                assert_eq!(store.insert(made, QUOTA, now).await, Ok(Ok(())));
            }
            Step::Register => {
                let presented = &invites[(number % INVITES) as usize];
                let account = format!("{}-new-{number}@example.org", self.name);
                let wanted = Use { id: account.clone(), ..claim_of(presented, Purpose::Register, &account) };
                assert_eq!(store.reserve(wanted.clone(), 1).await, Ok(Claim::Reserved));
                let redeemed = store.redeem(host("example.org"), wanted.id, Vec::new(), true, at(2000)).await;
                assert!(redeemed.unwrap().is_some());
            }
        }
    }

    fn invite(&self, number: u64) -> Invite {
        let inviter = jid(&format!("{}-{}@example.org", self.name, number % self.inviters));
        let created_at = at(1000 + BETWEEN * number as i64);
        Invite { inviter: Some(inviter), created_at, expires_at: None, ..invite() }
    }
}
