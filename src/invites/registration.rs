//! Registration in a browser: the daemon itself reserves a use, and then has the hook make the account.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use jid::{BareJid, DomainPart, NodePart};

use super::{Error, Invites, Registration, Result};
use crate::chat_server::{Creation, Objection, Unreachable};
use crate::invite::{self, Invite, InviteType, Purpose, Token, Use};
use crate::limits::Address;
use crate::policy;
use crate::refusal::{BadPassword, Refusal};
use crate::secret::Secret;

/// How long to wait for what becomes of a registration that goes on already, and how often to ask.
const OUTCOME_PATIENCE: Duration = Duration::from_secs(8);
const OUTCOME_INTERVAL: Duration = Duration::from_millis(300);

/// How many forms are remembered by which a password was set.
const RESET_FORMS: usize = 256;

/// How many usernames are suggested, and of how many is asked.
const SUGGESTIONS: usize = 3;
const FIRST_SUFFIX: usize = 2;
const LAST_SUFFIX: usize = 9;

/// Somebody registers, or sets a new password, in a browser.
#[derive(Clone, Debug)]
pub struct BrowserRegistration {
    /// The token of the link.
    pub token: Token,
    /// The username that was chosen; `None`: the one that the invite is for.
    pub username: Option<NodePart>,
    /// The password.
    pub password: Secret,
    /// What is the same whenever this very form is posted again, and otherwise never: at most 100 ASCII characters that
    /// nobody else can guess.
    pub form: String,
    /// Where the browser connects from, if that is known.
    pub address: Option<IpAddr>,
}

impl Invites {
    /// Registers an account, or sets its password, as the invite of the token says. Returns the account.
    ///
    /// The same form may be posted any number of times, at the same time or after a crash: it is one registration, and
    /// ends the same way each time, until it has failed. Dropping this in the middle loses nothing: what was left open is
    /// settled later, or when the form is posted again.
    ///
    /// # Errors
    /// If no account was made, and none will be by this call. Except with `Unreachable`, `Store` and `InProgress`: it may
    /// have been made, or may be made yet, and posting the form again tells.
    pub async fn register(&self, wanted: BrowserRegistration) -> Result<BareJid> {
        policy::admit_password(wanted.password.reveal())?;
        let invites = self.clone();
        // Whoever asked may go: what was begun is ended all the same.
        let ended = tokio::spawn(async move { invites.register_to_the_end(wanted).await }).await;
        ended.unwrap_or_else(|_| Err(Unreachable("the registration came to no end".to_owned()).into()))
    }

    async fn register_to_the_end(&self, wanted: BrowserRegistration) -> Result<BareJid> {
        let invite = self.look(Some(&wanted.token), wanted.address.map(Address::from)).await?;
        let username = wanted.username.clone().or_else(|| invite.username.clone());
        let username = username.ok_or_else(|| Refusal::InvalidUsername(String::new()))?;
        if let Some(account) = self.outcome_of(&invite, &username, &wanted).await? {
            return Ok(account);
        }
        match self.try_to_register(invite.clone(), username.clone(), &wanted).await {
            // What stands in the way may be the same form, posted a moment earlier.
            Err(refused @ Error::Refused(_)) => self.outcome_of(&invite, &username, &wanted).await?.ok_or(refused),
            outcome => outcome,
        }
    }

    /// The account of a registration that was tried before with this form; `None` if it never was, or has failed.
    async fn outcome_of(
        &self,
        invite: &Invite,
        username: &NodePart,
        wanted: &BrowserRegistration,
    ) -> Result<Option<BareJid>> {
        let account = BareJid::from_parts(Some(username), &invite.host);
        let learn = async {
            loop {
                let (id, account) = (invite.id.clone(), account.clone());
                match self.0.store.used_under(id, account, format!("{}.", wanted.form)).await? {
                    None => return Ok(None),
                    // A reset of which nobody can tell counts as made, but whoever asks is not told that it was.
                    Some(((used, _), true)) if used.purpose == Purpose::Reset && !self.has_reset(&wanted.form) => {
                        return Err(Refusal::UsedUp.into());
                    }
                    Some(((used, _), true)) => return Ok(Some(used.account)),
                    // The form has the same password: to set it once more changes nothing.
                    Some((reserved, false))
                        if reserved.0.purpose == Purpose::Reset && !self.registering().contains(&reserved.0.id) =>
                    {
                        let going = self.begin_registration(reserved.0.id.clone());
                        if let Some(outcome) = self.have_created(reserved, wanted, going).await {
                            return outcome.map(Some);
                        }
                        tokio::time::sleep(OUTCOME_INTERVAL).await;
                    }
                    Some((reserved, false)) => {
                        if self.settle(vec![reserved]).await? == 0 {
                            tokio::time::sleep(OUTCOME_INTERVAL).await;
                        }
                    }
                }
            }
        };
        tokio::time::timeout(OUTCOME_PATIENCE, learn).await.unwrap_or(Err(Refusal::InProgress.into()))
    }

    async fn try_to_register(
        &self,
        invite: Invite,
        username: NodePart,
        wanted: &BrowserRegistration,
    ) -> Result<BareJid> {
        let host = invite.host.clone();
        let (_, policy) = self.policy(host.as_str())?;
        policy::admit_presentation(&invite, policy, self.now())?;
        let account = BareJid::from_parts(Some(&username), &host);
        let known = self.0.chat_server.account(&account).await?;
        if known.impossible {
            return Err(Refusal::InvalidUsername(username.to_string()).into());
        }
        // The chat server may not have heard of deletions behind its back: what goes with an account ends now.
        if invite.invite_type == InviteType::PasswordReset && !known.exists {
            self.account_deleted(account, self.now()).await?;
            return Err(Refusal::Revoked.into());
        }
        if let Some(inviter) = invite.inviter.as_ref().filter(|_| invite.invite_type == InviteType::AccountAndContact)
            && inviter.domain() == &*host
            && !self.0.chat_server.account(inviter).await?.exists
        {
            self.account_deleted(inviter.clone(), self.now()).await?;
            return Err(Refusal::Revoked.into());
        }
        // Each try has its own name: the hook does nothing more under one that it has given up.
        let going = self.begin_registration(format!("{}.{}", wanted.form, invite::nonce()?));
        let away = || Unreachable(format!("the hook of {host} has not introduced itself"));
        let registration = Registration {
            reservation: going.reservation.clone(),
            server: self.hooks().remove(&host).ok_or_else(away)?,
            username: username.clone(),
            exists: known.exists,
            grant: None, // the token is presented at this very moment
            address: wanted.address.map(Address::from),
        };
        let reserved = self.reserve_use(invite.clone(), registration).await?;
        match self.have_created(reserved, wanted, going).await {
            Some(outcome) => outcome,
            None => {
                let outcome = Box::pin(self.outcome_of(&invite, &username, wanted)).await?;
                outcome.ok_or(Refusal::InProgress.into())
            }
        }
    }

    /// Has the hook make the account of a reserved use, or set its password; `None` while it is at it already.
    async fn have_created(
        &self,
        reserved: (Use, Invite),
        wanted: &BrowserRegistration,
        going: Registering<'_>,
    ) -> Option<Result<BareJid>> {
        let (reservation, account, purpose) = (reserved.0.id.clone(), reserved.0.account.clone(), reserved.0.purpose);
        let username = account.node().map(ToString::to_string).unwrap_or_default();
        let created = self.0.chat_server.create(reserved, wanted.password.clone(), wanted.address).await;
        if purpose == Purpose::Reset && matches!(created, Ok(Creation::Made | Creation::Unsettled)) {
            self.note_reset(wanted.form.clone());
        }
        let (ended, outcome) = match created {
            Ok(Creation::Made) => (self.redeem(reservation).await, Ok(account)),
            Ok(Creation::Unsettled) => (Ok(true), Ok(account)),
            Ok(Creation::InFlight) => return None,
            Ok(Creation::Refused(objection)) => (self.release(reservation).await, Err(refused(objection, username))),
            Err(unreachable) => return Some(Err(unreachable.into())),
        };
        if let Err(error) = ended {
            tracing::error!(%error, "a reservation stays open, to be settled later");
        }
        drop(going);
        Some(outcome)
    }

    fn note_reset(&self, form: String) {
        let mut forms = self.0.reset_forms.lock().unwrap_or_else(PoisonError::into_inner);
        forms.push_back(form);
        if forms.len() > RESET_FORMS {
            forms.pop_front();
        }
    }

    fn has_reset(&self, form: &String) -> bool {
        self.0.reset_forms.lock().unwrap_or_else(PoisonError::into_inner).contains(form)
    }

    fn begin_registration(&self, reservation: String) -> Registering<'_> {
        self.registering().insert(reservation.clone());
        Registering { invites: self, reservation }
    }

    fn registering(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.registering.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Is the hook being asked at this moment to make the account of this reservation?
    pub(super) fn is_registering(&self, reservation: &str) -> bool {
        self.registering().contains(reservation)
    }

    /// Usernames like one that is taken, which nobody has at the moment. None where the chat server does not answer.
    pub async fn suggest_usernames(&self, host: &DomainPart, taken: &NodePart) -> Vec<NodePart> {
        let like = |suffix| NodePart::new(&format!("{taken}{suffix}")).ok().map(|name| name.into_owned());
        let candidates = (FIRST_SUFFIX..=LAST_SUFFIX).filter_map(like).map(async |username| {
            let account = BareJid::from_parts(Some(&username), host);
            let known = self.0.chat_server.account(&account).await.ok()?;
            let free = !known.exists && !known.impossible;
            let reserved = self.0.store.username_reserved(account, self.now()).await.ok()?;
            (free && !reserved).then_some(username)
        });
        futures::future::join_all(candidates).await.into_iter().flatten().take(SUGGESTIONS).collect()
    }
}

/// A registration that goes on, until this is dropped: nobody settles its reservation meanwhile.
struct Registering<'a> {
    invites: &'a Invites,
    reservation: String,
}

impl Drop for Registering<'_> {
    fn drop(&mut self) {
        self.invites.registering().remove(&self.reservation);
    }
}

/// Why the hook made no account, for whoever wanted it.
fn refused(objection: Objection, username: String) -> Error {
    match objection {
        Objection::UsernameTaken => Refusal::UsernameTaken.into(),
        Objection::NoSuchAccount => Refusal::NoSuchAccount(username).into(),
        Objection::UsernameImpossible => Refusal::InvalidUsername(username).into(),
        Objection::Password(text) => Refusal::PasswordRefused(BadPassword::ByServer(text)).into(),
        Objection::Limited(text) => Refusal::RegistrationLimited(text).into(),
        Objection::Other(text) => Refusal::RegistrationRefused(text).into(),
        Objection::Unable(text) => Unreachable(text).into(),
    }
}
