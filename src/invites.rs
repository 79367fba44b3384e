//! The service: everything that happens to invites, in terms of rules, store and chat server. The edges (the XMPP
//! component, the command line) turn their own requests into these calls and the outcomes into their own answers.

mod registration;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use jid::{BareJid, DomainPart, NodePart};
use jiff::{SignedDuration, Timestamp};

use crate::chat_server::{ChatServer, Fate, Hook, Unreachable};
use crate::invite::{Invite, InviteId, InviteType, Issuer, NoRandomness, Purpose, Token, Use};
use crate::limits::{self, Address, Counts, GUESSING, Limits, MOST_WRONG_IN_ALL, Wrong};
use crate::links::{self, Reference};
use crate::policy::{self, HostPolicy, Wish};
use crate::refusal::Refusal;
use crate::store::{Claim, Filter, Insertion, Quota, Store, StoreError};
pub use registration::BrowserRegistration;

/// How many ended invites one transaction removes: short enough that nobody waits for it.
const PURGE_BATCH: u32 = 500;

/// How many open reservations are looked into in one go.
const SETTLE_BATCH: u32 = 200;

/// How many released reservations are remembered: those of the last moments, while an answer may still be on its way.
const GIVEN_UP: usize = 256;

/// The invites of the served hosts. Cheap to clone.
#[derive(Clone)]
pub struct Invites(Arc<Inner>);

struct Inner {
    store: Store,
    policies: BTreeMap<DomainPart, HostPolicy>,
    chat_server: ChatServer,
    clock: fn() -> Timestamp,
    /// What strangers tried of late.
    counts: Mutex<Counts>,
    /// The names of the reservations that were released last.
    given_up: Mutex<VecDeque<String>>,
    /// The forms by which passwords were set last, in a browser.
    reset_forms: Mutex<VecDeque<String>>,
    /// The names of the reservations whose accounts the hook is being asked to make.
    registering: Mutex<HashSet<String>>,
    /// The id of the chat server whose hook has answered for each host.
    servers: Mutex<BTreeMap<DomainPart, String>>,
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is not allowed, or cannot be: an expected answer.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The chat server had to be asked and did not answer.
    #[error("the chat server could not be asked: {0}")]
    Unreachable(#[from] Unreachable),
    /// No secret could be made.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

type Result<T> = std::result::Result<T, Error>;

/// A new invite with its secret: the only time that the links can be shown.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The invite.
    pub invite: Invite,
    /// Its secret.
    pub token: Token,
    /// The `xmpp:` URI for clients.
    pub uri: String,
    /// The link for people, where the host has a landing page.
    pub landing_url: Option<String>,
    /// The accounts that it names could not be looked up, for this reason.
    pub unchecked: Option<Unreachable>,
}

/// A token that was presented and found good.
#[derive(Clone, Debug)]
pub struct Presented {
    /// Its invite.
    pub invite: Invite,
    /// When that was.
    pub checked_at: Timestamp,
}

/// Somebody is about to register, or to reset a password.
#[derive(Clone, Debug)]
pub struct Registration {
    /// The name of the reservation that is wanted.
    pub reservation: String,
    /// The id of the chat server whose hook asks for it; empty if it has none.
    pub server: String,
    /// The username.
    pub username: NodePart,
    /// The server has an account of this name.
    pub exists: bool,
    /// The token that the session presented (`None` within: what it presented cannot be one), and when it was found good.
    pub grant: Option<(Option<Token>, Option<Timestamp>)>,
    /// Where it comes from, if that is known.
    pub address: Option<Address>,
}

/// What a registration may do.
#[derive(Clone, Debug)]
pub enum Admission {
    /// Go on under the reservation, with what the invite brings.
    Reserved(Purpose, Box<Invite>),
    /// Go on without an invite: registration is open.
    Open,
}

impl Invites {
    /// The service over a store, for hosts with their policies.
    pub fn new(
        store: Store,
        policies: BTreeMap<DomainPart, HostPolicy>,
        limits: Limits,
        chat_server: ChatServer,
        clock: fn() -> Timestamp,
    ) -> Self {
        Invites(Arc::new(Inner {
            store,
            policies,
            chat_server,
            clock,
            counts: Mutex::new(Counts::new(limits)),
            given_up: Mutex::default(),
            reset_forms: Mutex::default(),
            registering: Mutex::default(),
            servers: Mutex::default(),
        }))
    }

    /// The served hosts.
    pub fn hosts(&self) -> impl Iterator<Item = &DomainPart> {
        self.0.policies.keys()
    }

    /// What is allowed on a host.
    ///
    /// # Errors
    /// `UnknownHost` if it is not served.
    pub fn policy(&self, host: &str) -> std::result::Result<(&DomainPart, &HostPolicy), Refusal> {
        let found = self.0.policies.iter().find(|(served, _)| served.as_str() == host);
        found.ok_or_else(|| Refusal::UnknownHost(host.chars().take(100).collect()))
    }

    /// The chat server, to ask.
    pub fn chat_server(&self) -> &ChatServer {
        &self.0.chat_server
    }

    /// The present instant, in whole seconds as the store keeps them.
    pub fn now(&self) -> Timestamp {
        let now = (self.0.clock)();
        Timestamp::from_second(now.as_second()).unwrap_or(now)
    }

    /// The invite of a token, whichever version made it.
    async fn find_by_token(&self, token: &Token) -> Result<Option<Invite>> {
        match self.0.store.find(token.hash()).await? {
            Some(invite) => Ok(Some(invite)),
            None => Ok(self.0.store.find(token.earlier_hash()).await?),
        }
    }

    /// Makes an invite.
    ///
    /// # Errors
    /// If the wish cannot be fulfilled, or the invite is not stored.
    pub async fn create(&self, wish: Wish) -> Result<Issued> {
        let (_, policy) = self.policy(wish.host.as_str())?;
        let (operator, now) = (wish.issuer == Issuer::Operator, self.now());
        let token = Token::generate()?;
        let invite = wish.into_invite(policy, InviteId::generate()?, token.hash(), now)?;
        let unchecked = match self.look_up_accounts(&invite).await {
            Ok(()) => None,
            Err(Error::Unreachable(reason)) if operator => Some(reason),
            Err(error) => return Err(error),
        };
        let quota = match &invite.inviter {
            Some(inviter) if invite.issuer == Issuer::User => {
                self.admit_inviter(inviter, policy).await?;
                Quota { per_day: policy.invites_per_day, pending: policy.pending_invites }
            }
            _ => Quota::default(),
        };
        match self.0.store.insert(invite.clone(), quota, now).await? {
            Insertion::Kept => (),
            Insertion::UsernameReserved => return Err(Refusal::UsernameReserved.into()),
            Insertion::UsernameInProgress => return Err(Refusal::InProgress.into()),
            Insertion::TooManyToday { again_at } => {
                let most = quota.per_day.unwrap_or_default();
                return Err(Refusal::TooManyToday { most, again_at }.into());
            }
            Insertion::TooManyPending { again_at } => {
                let most = quota.pending.unwrap_or_default();
                return Err(Refusal::TooManyPending { most, again_at }.into());
            }
        }
        tracing::info!(invite = %invite.id, r#type = %invite.invite_type, host = %invite.host, "invite made");
        let uri = links::uri(&invite, &token);
        let landing_url = policy.landing_page.as_ref().map(|page| page.url(&uri, &token));
        Ok(Issued { invite, token, uri, landing_url, unchecked })
    }

    /// The accounts that an invite names have to be there, or must not be.
    async fn look_up_accounts(&self, invite: &Invite) -> Result<()> {
        let chat_server = &self.0.chat_server;
        if let Some(username) = &invite.username {
            let account = BareJid::from_parts(Some(username), &invite.host);
            let known = chat_server.account(&account).await?;
            if known.impossible {
                return Err(Refusal::InvalidUsername(username.to_string()).into());
            }
            match (invite.invite_type, known.exists) {
                (InviteType::PasswordReset, false) => return Err(Refusal::NoSuchAccount(account.to_string()).into()),
                (InviteType::PasswordReset, true) | (_, false) => (),
                (_, true) => return Err(Refusal::UsernameTaken.into()),
            }
        }
        // Users and admins who make an invite for themselves are connected at this moment: they exist.
        if let Some(inviter) = invite.inviter.as_ref().filter(|_| invite.issuer == Issuer::Operator)
            && !chat_server.account(inviter).await?.exists
        {
            return Err(Refusal::NoSuchAccount(inviter.to_string()).into());
        }
        Ok(())
    }

    /// Is the account of an inviter old enough?
    async fn admit_inviter(&self, inviter: &BareJid, policy: &HostPolicy) -> Result<()> {
        if policy.inviter_age.is_zero() {
            return Ok(());
        }
        let registered_at = match self.0.store.registered_at(inviter.clone()).await? {
            None => self.0.chat_server.account(inviter).await?.created_at,
            known => known,
        };
        Ok(policy.admit_inviter(registered_at, self.now())?)
    }

    async fn of_token(&self, host: &DomainPart, token: &Token) -> Result<Invite> {
        let found = self.find_by_token(token).await?;
        Ok(found.filter(|invite| &invite.host == host).ok_or(Refusal::Unknown)?)
    }

    /// The invite of a token that a stranger presents on a host.
    async fn of_presented(&self, host: &DomainPart, token: Option<&Token>, address: Option<Address>) -> Result<Invite> {
        let invite = self.look(token, address).await?;
        if &invite.host == host { Ok(invite) } else { Err(Refusal::Unknown.into()) }
    }

    /// The invite of a token that a stranger shows, whatever its type, its state and its host; `None`: what is shown
    /// cannot be one. Changes nothing, but it counts as a guess if there is no such invite at all.
    ///
    /// # Errors
    /// `Unknown` if there is none; `AddressRefused` or `TooManyUnknown` where too much was guessed.
    pub async fn look(&self, token: Option<&Token>, address: Option<Address>) -> Result<Invite> {
        if let Some(address) = address {
            let refused = |left| Refusal::AddressRefused { again_at: self.after(left) };
            self.counts().admit(address, Instant::now()).map_err(refused)?;
        }
        let found = match token {
            Some(token) => self.find_by_token(token).await?,
            None => None,
        };
        Ok(found.ok_or_else(|| self.wrong_token(address))?)
    }

    /// Counts what an address asks of the web side.
    ///
    /// # Errors
    /// When it may ask again, if it has asked too much, or guessed.
    pub fn admit_request(&self, request: limits::Request, address: Address) -> std::result::Result<(), Timestamp> {
        self.counts().request(request, address, Instant::now()).map_err(|left| self.after(left))
    }

    /// What an invite does now for whoever opens its page.
    ///
    /// # Errors
    /// Why it does nothing.
    pub fn purpose(&self, invite: &Invite) -> std::result::Result<Purpose, Refusal> {
        let (_, policy) = self.policy(invite.host.as_str())?;
        policy::purpose(invite, policy, self.now())
    }

    /// Counts a token that no invite has.
    fn wrong_token(&self, address: Option<Address>) -> Refusal {
        let minutes = GUESSING.as_secs() / 60;
        match self.counts().wrong_token(address, Instant::now()) {
            Wrong::Counted => Refusal::Unknown,
            Wrong::Refused { anew, left } => {
                if let Some(address) = address.filter(|_| anew) {
                    // contrib/fail2ban looks for this line.
                    tracing::warn!("too many unknown invitations from {address}: refused for {minutes} minutes");
                }
                Refusal::AddressRefused { again_at: self.after(left) }
            }
            Wrong::TooManyInAll { tell, left } => {
                if tell {
                    tracing::warn!("more than {MOST_WRONG_IN_ALL} unknown invitations within {minutes} minutes");
                }
                Refusal::TooManyUnknown { again_at: self.after(left) }
            }
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn after(&self, time: Duration) -> Timestamp {
        self.now().saturating_add(time).unwrap_or(Timestamp::MAX)
    }

    /// A token is presented for registration or reset; `None`: what is presented cannot be one. Changes nothing, but
    /// guesses are counted.
    ///
    /// # Errors
    /// If it would not be good for that now.
    pub async fn check(&self, host: &DomainPart, token: Option<&Token>, address: Option<Address>) -> Result<Presented> {
        let (_, policy) = self.policy(host.as_str())?;
        let invite = self.of_presented(host, token, address).await?;
        let checked_at = self.now();
        policy::admit_presentation(&invite, policy, checked_at)?;
        Ok(Presented { invite, checked_at })
    }

    /// Somebody is about to register or to reset a password: reserves a use for it.
    ///
    /// # Errors
    /// If they may not; then nothing is reserved.
    pub async fn reserve(&self, host: &DomainPart, registration: Registration) -> Result<Admission> {
        let (_, policy) = self.policy(host.as_str())?;
        let now = self.now();
        let account = BareJid::from_parts(Some(&registration.username), host);
        let Some((token, _)) = &registration.grant else {
            if policy.registration_invite_only {
                return Err(Refusal::InvitationOnly.into());
            }
            if self.exists_after_all(&account, registration.exists).await? {
                return Err(Refusal::UsernameTaken.into());
            }
            if self.0.store.username_reserved(account, now).await? {
                return Err(Refusal::UsernameReserved.into());
            }
            return Ok(Admission::Open);
        };
        let invite = self.of_presented(host, token.as_ref(), registration.address).await?;
        let (used, invite) = self.reserve_use(invite, registration).await?;
        Ok(Admission::Reserved(used.purpose, Box::new(invite)))
    }

    /// Reserves a use of an invite that was found already.
    async fn reserve_use(&self, invite: Invite, registration: Registration) -> Result<(Use, Invite)> {
        let (_, policy) = self.policy(invite.host.as_str())?;
        let (username, now) = (&registration.username, self.now());
        let account = BareJid::from_parts(Some(username), &invite.host);
        let presented = registration.grant.as_ref().and_then(|(_, presented)| *presented);
        let exists = registration.exists && self.exists_after_all(&account, true).await?;
        let purpose = policy::admit_registration(&invite, policy, username, exists, presented, now)?;
        let reservation = registration.reservation;
        if let Some(address) = registration.address.filter(|_| invite.max_uses != Some(1)) {
            let refused = |left| Refusal::TooManyRegistrations { again_at: self.after(left) };
            self.counts().register(&reservation, address, &invite.id, Instant::now()).map_err(refused)?;
        }
        let (id, server, of) = (reservation.clone(), registration.server, invite.id.clone());
        let used = Use { id, invite: of, purpose, account, server, reserved_at: now };
        if let Err(error) = self.claim(used.clone()).await {
            self.counts().registered(&reservation, false);
            return Err(error);
        }
        Ok((used, invite))
    }

    /// Does an account exist, of which the server just said so? What is left of a registration that was cut short does
    /// not count; it is gone once that registration's reservation is settled. Nor may anybody have the name of an account
    /// in the making without that.
    async fn exists_after_all(&self, account: &BareJid, exists: bool) -> Result<bool> {
        let standing = self.0.store.reserved_for(account.clone()).await?;
        if standing.is_empty() {
            return Ok(exists);
        }
        self.settle(standing).await?;
        match self.0.store.reserved_for(account.clone()).await?.is_empty() {
            true => Ok(self.0.chat_server.account(account).await?.exists),
            false => Err(Refusal::InProgress.into()),
        }
    }

    /// Takes a use; where others hold what is needed, learns what became of them and tries once more.
    async fn claim(&self, wanted: Use) -> Result<()> {
        for look_into in [true, false] {
            match self.0.store.reserve(wanted.clone()).await? {
                Claim::Reserved if self.is_given_up(&wanted.id) => {
                    self.0.store.release(wanted.id).await?;
                    return Err(Refusal::InProgress.into());
                }
                Claim::Reserved => return Ok(()),
                Claim::Gone => return Err(Refusal::Revoked.into()),
                Claim::UsedUp => return Err(Refusal::UsedUp.into()),
                Claim::UsernameReserved => return Err(Refusal::UsernameReserved.into()),
                Claim::Contended(standing) if look_into => drop(self.settle(standing).await),
                Claim::Contended(_) => (),
            }
        }
        Err(Refusal::InProgress.into())
    }

    /// The hook of a host has introduced itself.
    pub fn met(&self, host: DomainPart, hook: &Hook) {
        self.0.servers.lock().unwrap_or_else(PoisonError::into_inner).insert(host, hook.server.clone());
    }

    /// The hooks that have introduced themselves: of every host, the id of its server.
    fn hooks(&self) -> BTreeMap<DomainPart, String> {
        self.0.servers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks what became of reservations, and redeems or releases those whose fate is known. Returns how many were. What
    /// the hook of another server has reserved stays open: nobody else can tell. So does what is going on here: the hook
    /// may not even have heard of it.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn settle(&self, mut standing: Vec<(Use, Invite)>) -> Result<u64> {
        let hooks = self.hooks();
        standing.retain(|(used, invite)| {
            let ours = used.server.is_empty() || hooks.get(&invite.host) == Some(&used.server);
            ours && !self.is_registering(&used.id)
        });
        let asked = standing.into_iter().map(|reserved| async move {
            let reservation = reserved.0.id.clone();
            (reservation, self.0.chat_server.settle(reserved).await)
        });
        let mut asked: FuturesUnordered<_> = asked.collect();
        let mut settled = 0;
        while let Some((reservation, fate)) = asked.next().await {
            match fate {
                Ok(Fate::Made) => settled += u64::from(self.redeem(reservation).await?),
                Ok(Fate::NotMade) => settled += u64::from(self.release(reservation).await?),
                Ok(Fate::InFlight) => (),
                Err(reason) => tracing::debug!(%reason, "a reservation stays open"),
            }
        }
        Ok(settled)
    }

    /// Settles what was reserved at least `age` ago and neither redeemed nor released. Returns how many were settled.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn settle_open(&self, age: SignedDuration) -> Result<u64> {
        let instant = self.now().saturating_sub(age).unwrap_or(Timestamp::MIN);
        let hooks = self.hooks().into_iter().collect();
        let standing = self.0.store.reserved_until(instant, self.now(), hooks, SETTLE_BATCH).await?;
        if standing.is_empty() { Ok(0) } else { self.settle(standing).await }
    }

    /// The account of a reservation was made. Doing it again changes nothing. `false`: there is no such reservation.
    ///
    /// # Errors
    /// If it is not stored.
    pub async fn redeem(&self, reservation: String) -> Result<bool> {
        self.counts().registered(&reservation, true);
        let redeemed = self.0.store.redeem(reservation, self.now()).await?;
        if let Some((used, true)) = &redeemed {
            tracing::info!(invite = %used.invite, purpose = %used.purpose, account = %used.account, "invite used");
        }
        Ok(redeemed.is_some())
    }

    /// The account of a reservation was not made: the use is free again. `false`: there is no such reservation.
    ///
    /// # Errors
    /// If it is not stored.
    pub async fn release(&self, reservation: String) -> Result<bool> {
        // Noted first: whoever asked for the reservation may have lost patience, and it may be made only after this.
        self.note_given_up(reservation.clone());
        self.counts().registered(&reservation, false);
        Ok(self.0.store.release(reservation).await?)
    }

    fn note_given_up(&self, reservation: String) {
        let mut given_up = self.0.given_up.lock().unwrap_or_else(PoisonError::into_inner);
        given_up.push_back(reservation);
        if given_up.len() > GIVEN_UP {
            given_up.pop_front();
        }
    }

    fn is_given_up(&self, reservation: &String) -> bool {
        self.0.given_up.lock().unwrap_or_else(PoisonError::into_inner).contains(reservation)
    }

    /// `contact` asks to become a contact of `inviter` with a token: reserves a use for it.
    ///
    /// # Errors
    /// If the token does not allow it; then the inviter decides. So it is for somebody who used the invite before: whom
    /// the inviter has removed since, the old link does not bring back.
    pub async fn contact(
        &self,
        host: &DomainPart,
        reservation: String,
        server: String,
        token: &Token,
        inviter: &BareJid,
        contact: &BareJid,
    ) -> Result<()> {
        let invite = self.of_token(host, token).await?;
        policy::admit_contact(&invite, inviter, contact)?;
        let now = self.now();
        invite.usable(now)?;
        if self.0.store.redeemed_by(invite.id.clone(), contact.clone()).await? {
            return Err(Refusal::UsedUp.into());
        }
        let (purpose, account) = (Purpose::Contact, contact.clone());
        self.claim(Use { id: reservation, invite: invite.id, purpose, account, server, reserved_at: now }).await
    }

    /// An account was deleted: what it issued ends. Returns how many invites that were.
    ///
    /// # Errors
    /// If it is not stored.
    pub async fn account_deleted(&self, account: BareJid, deleted_at: Timestamp) -> Result<u64> {
        let ended = self.0.store.account_deleted(account.clone(), deleted_at, self.now()).await?;
        tracing::info!(%account, ended, "account deleted: its pending invites ended");
        Ok(ended)
    }

    /// The invite that somebody names.
    ///
    /// # Errors
    /// `Unknown` if there is none.
    pub async fn find(&self, reference: Reference) -> Result<Invite> {
        let found = match reference {
            Reference::Id(id) => self.0.store.find_by_id(id).await?,
            Reference::Token(token) => self.find_by_token(&token).await?,
        };
        Ok(found.ok_or(Refusal::Unknown)?)
    }

    /// Takes an invite back. Returns it as it is then.
    ///
    /// # Errors
    /// `Unknown` if there is none.
    pub async fn revoke(&self, reference: Reference) -> Result<Invite> {
        let id = self.find(reference).await?.id;
        let invite = self.0.store.revoke(id, self.now()).await?.ok_or(Refusal::Unknown)?;
        tracing::info!(invite = %invite.id, "invite revoked");
        Ok(invite)
    }

    /// Takes back every pending invite of somebody. Returns how many that were.
    ///
    /// # Errors
    /// If it is not stored.
    pub async fn revoke_of_inviter(&self, inviter: BareJid) -> Result<u64> {
        let revoked = self.0.store.revoke_of_inviter(inviter.clone(), self.now()).await?;
        tracing::info!(%inviter, revoked, "the inviter's pending invites revoked");
        Ok(revoked)
    }

    /// Invites, the newest first.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn list(&self, filter: Filter, limit: u32) -> Result<Vec<Invite>> {
        Ok(self.0.store.list(filter, limit, self.now()).await?)
    }

    /// Removes what ended longer than `retention` ago. Returns how much that was.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn purge(&self, retention: SignedDuration) -> Result<u64> {
        let before = self.now().saturating_sub(retention).unwrap_or(Timestamp::MIN);
        let mut purged = 0;
        loop {
            let batch = self.0.store.purge(before, PURGE_BATCH).await?;
            purged += batch;
            if batch < u64::from(PURGE_BATCH) {
                return Ok(purged);
            }
        }
    }

    /// Reads the whole store and says what is wrong with it.
    ///
    /// # Errors
    /// If anything is.
    pub async fn verify_store(&self) -> Result<()> {
        Ok(self.0.store.verify().await?)
    }
}
