//! A registration without an XMPP client: a person fills in a form in a browser. The daemon
//! reserves the use itself, and then has the hook make the account.

use std::future::ready;
use std::net::IpAddr;
use std::slice;
use std::time::Duration;

use futures::{StreamExt, stream};
use jid::{BareJid, DomainPart, NodePart};

use super::reserve::Registration;
use super::service::{Error, Invites, Result, lock};
use crate::chat_server::{Fate, Objection};
use crate::counters::Request;
use crate::fields::{Answers, Field};
use crate::invite::{self, Invite, Purpose, Token, Use};
use crate::policy;
use crate::refusal::{BadPassword, Refusal};
use crate::secret::Secret;

/// How long to wait for the outcome of an earlier try, and how often to ask.
const OUTCOME_PATIENCE: Duration = Duration::from_secs(8);
const OUTCOME_INTERVAL: Duration = Duration::from_millis(300);

/// How many forms are remembered that set a password, or made an account that is not finished.
const MADE_FORMS: usize = 256;

/// How many usernames are suggested, and which numbers are tried as their ends.
const SUGGESTIONS: usize = 3;
const FIRST_SUFFIX: usize = 2;
const LAST_SUFFIX: usize = 9;

/// A form that was filled in to register, or to set a new password.
#[derive(Clone, Debug)]
pub struct BrowserRegistration {
    /// The token of the link.
    pub token: Token,
    /// The username that was chosen; `None`: the one that the invite is for.
    pub username: Option<NodePart>,
    /// The password.
    pub password: Secret,
    /// The answers to the other questions that the chat server asks of newcomers.
    pub answers: Answers,
    /// The name of this form with these answers: at most 100 ASCII characters that nobody else can
    /// guess. It is the same when the form is posted again.
    pub form: String,
    /// Where the browser connects from, if that is known.
    pub address: Option<IpAddr>,
}

/// The outcome of a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The account, which exists.
    pub account: BareJid,
    /// It has everything that the invite grants and the server can give. Otherwise its contact,
    /// roles and groups follow when the server can write them.
    pub finished: bool,
}

/// One form, and the invite that it uses.
struct Attempt<'a> {
    form: &'a BrowserRegistration,
    invite: Invite,
    username: NodePart,
}

impl Attempt<'_> {
    fn account(&self) -> BareJid {
        BareJid::from_parts(Some(&self.username), &self.invite.host)
    }
}

impl Invites {
    /// Registers an account, or sets its password, as the invite of the token says.
    ///
    /// The same form may be posted any number of times, at the same time or after a crash. It is
    /// one registration with one outcome, until it has failed. If the caller stops waiting, nothing
    /// is lost: the registration goes on, and posting the form again tells its outcome.
    ///
    /// # Errors
    /// If no account was made. After `NoAnswer`, `Store` and `InProgress`, one may have been
    /// made or may still be made: posting the form again tells.
    pub async fn register(&self, form: BrowserRegistration) -> Result<Registered> {
        let invites = self.clone();
        // In a task of its own, which goes on if the browser hangs up.
        let ended = tokio::spawn(async move { invites.register_to_the_end(&form).await }).await;
        ended.unwrap_or_else(|_| Err(Refusal::InProgress.into()))
    }

    async fn register_to_the_end(&self, form: &BrowserRegistration) -> Result<Registered> {
        let (invite, _) = self.look_up(slice::from_ref(&form.token), form.address.into()).await?;
        let outcome = self.register_with(invite.clone(), form).await;
        let outcome = self.count_failed(outcome, form.address.into(), Some(&invite));
        self.count_refusal(&invite.host, outcome)
    }

    async fn register_with(&self, invite: Invite, form: &BrowserRegistration) -> Result<Registered> {
        let username = form.username.clone().or_else(|| invite.username.clone());
        let username = username.ok_or_else(|| Refusal::InvalidUsername(String::new()))?;
        let attempt = Attempt { form, invite, username };
        if let Some(registered) = self.outcome_of(&attempt).await? {
            return Ok(registered);
        }
        self.admit_try(form.address.into(), Some(&attempt.invite))?;
        match self.try_to_register(&attempt).await {
            // The same form, posted a moment earlier, may be in the way.
            Err(refused @ Error::Refused(_)) => self.outcome_of(&attempt).await?.ok_or(refused),
            outcome => outcome,
        }
    }

    /// The outcome of an earlier try with this form; `None` if there was no try, or it failed.
    async fn outcome_of(&self, attempt: &Attempt<'_>) -> Result<Option<Registered>> {
        let outcome = tokio::time::timeout(OUTCOME_PATIENCE, self.await_outcome(attempt)).await;
        outcome.unwrap_or(Err(Refusal::InProgress.into()))
    }

    async fn await_outcome(&self, attempt: &Attempt<'_>) -> Result<Option<Registered>> {
        let form = &attempt.form.form;
        loop {
            let (id, account) = (attempt.invite.id.clone(), attempt.account());
            let Some((reserved, redeemed)) = self.0.store.used_under(id, account, format!("{form}.")).await? else {
                return Ok(None);
            };
            let is_reset = reserved.0.purpose == Purpose::Reset;
            match redeemed {
                // A reset whose outcome is not known counts as made, but nobody is told that it
                // was.
                true if is_reset && !lock(&self.0.made_forms).contains(form) => return Err(Refusal::UsedUp.into()),
                true => return Ok(Some(Registered { account: reserved.0.account, finished: true })),
                // The form has the same password: setting it once more changes nothing, unless the
                // account is another.
                false if is_reset => {
                    self.recheck(reserved.1.clone()).await?;
                    if let Some(making) = self.start_making(reserved.0.id.clone())
                        && let Some(outcome) = self.have_created(reserved, attempt, making).await
                    {
                        return outcome.map(Some);
                    }
                }
                false if self.settle(vec![reserved]).await? > 0 => continue,
                false if lock(&self.0.made_forms).contains(form) => {
                    return Ok(Some(Registered { account: attempt.account(), finished: false }));
                }
                false => (),
            }
            tokio::time::sleep(OUTCOME_INTERVAL).await;
        }
    }

    async fn try_to_register(&self, attempt: &Attempt<'_>) -> Result<Registered> {
        let (invite, account) = (attempt.invite.clone(), attempt.account());
        let (host, _) = self.policy(invite.host.as_str())?;
        policy::admit_presentation(&invite, self.now())?;
        let known = self.0.chat_server.account(&account).await?;
        if known.impossible {
            return Err(Refusal::InvalidUsername(attempt.username.to_string()).into());
        }
        // Each try has its own reservation: once a reservation has failed, the hook makes no
        // account for it.
        let making = self.start_making(format!("{}.{}", attempt.form.form, invite::nonce()?));
        let making = making.ok_or(Refusal::InProgress)?;
        let registration = Registration {
            reservation: making.reservation.clone(),
            server: self.hook(host).await?.server,
            username: attempt.username.clone(),
            exists: known.exists,
            admin: known.admin,
            password: Some(attempt.form.password.clone()),
            address: attempt.form.address.into(),
        };
        let reserved = self.timed(Request::Reserve, self.reserve_use(invite, None, registration)).await?;
        match self.have_created(reserved, attempt, making).await {
            Some(outcome) => outcome,
            None => self.outcome_of(attempt).await?.ok_or(Refusal::InProgress.into()),
        }
    }

    /// Has the hook make the account of a reserved use, or set its password; `None` if the hook
    /// cannot tell the outcome yet.
    async fn have_created(
        &self,
        reserved: (Use, Invite),
        attempt: &Attempt<'_>,
        making: Making<'_>,
    ) -> Option<Result<Registered>> {
        let Use { id: reservation, account, purpose, .. } = reserved.0.clone();
        let host = reserved.1.host.clone();
        let BrowserRegistration { password, answers, address, form, .. } = attempt.form;
        let created = self.0.chat_server.create(reserved, password.clone(), answers.clone(), *address).await;
        let set = purpose == Purpose::Reset && matches!(created, Ok(Ok(Fate::Made { .. })));
        if set || matches!(created, Ok(Ok(Fate::Unfinished))) {
            self.note_made(form.clone());
        }
        let (ended, outcome) = match created {
            Ok(Ok(Fate::Made { failed })) => {
                (self.redeem(&host, reservation, failed).await, Ok(Registered { account, finished: true }))
            }
            Ok(Ok(Fate::Unfinished)) => (Ok(true), Ok(Registered { account, finished: false })),
            Ok(Ok(Fate::NotMade { .. } | Fate::InFlight | Fate::Elsewhere)) => return None,
            Ok(Err(objection)) => {
                let released = self.release(&host, reservation).await;
                (released, Err(self.refused(objection, &account, purpose).await))
            }
            Err(no_answer) => return Some(Err(no_answer.into())),
        };
        if let Err(error) = ended {
            tracing::error!(%error, "a reservation stays open, to be settled later");
        }
        drop(making);
        Some(outcome)
    }

    /// What the person is told whose account the hook did not make.
    async fn refused(&self, objection: Objection, account: &BareJid, purpose: Purpose) -> Error {
        let username = account.node().map(ToString::to_string).unwrap_or_default();
        match objection {
            Objection::UsernameTaken => Refusal::UsernameTaken.into(),
            Objection::NoSuchAccount => Refusal::NoSuchAccount(username).into(),
            Objection::UsernameImpossible => Refusal::InvalidUsername(username).into(),
            Objection::Password(text) => Refusal::PasswordRefused(BadPassword::ByServer(text)).into(),
            Objection::Limited(text) => Refusal::RegistrationLimited(text).into(),
            Objection::Other(text) => match self.0.chat_server.new_account(account).await {
                Ok(known) if known.refusal.is_some() => Refusal::UsernameRefused(username, text).into(),
                _ => Refusal::RegistrationRefused(text).into(),
            },
            Objection::Never => policy::never(purpose, account.domain().as_str()).into(),
            Objection::NoAnswer(no_answer) => no_answer.into(),
        }
    }

    /// What the chat server asks of newcomers on a host, as its hook has told.
    pub fn registration_fields(&self, host: &DomainPart) -> Vec<Field> {
        lock(&self.0.hooks).get(host).map(|hook| hook.fields.clone()).unwrap_or_default()
    }

    fn note_made(&self, form: String) {
        let mut forms = lock(&self.0.made_forms);
        forms.push_back(form);
        if forms.len() > MADE_FORMS {
            forms.pop_front();
        }
    }

    /// Notes that an account is being made for a reservation; `None` if one is being made already.
    fn start_making(&self, reservation: String) -> Option<Making<'_>> {
        let started = lock(&self.0.registering).insert(reservation.clone());
        started.then_some(Making { invites: self, reservation })
    }

    /// Suggests usernames like one that is taken. Nobody has them at the moment, no invite reserves
    /// them, and the chat server would accept them. If it does not answer, there are none.
    pub async fn suggest_usernames(&self, host: &DomainPart, taken: &NodePart) -> Vec<NodePart> {
        let like = |suffix| NodePart::new(&format!("{taken}{suffix}")).ok().map(|name| name.into_owned());
        let Ok((_, policy)) = self.policy(host.as_str()) else { return Vec::new() };
        if policy.is_reserved(taken) {
            return Vec::new(); // a name like it would look like the server's own
        }
        let candidates = stream::iter((FIRST_SUFFIX..=LAST_SUFFIX).filter_map(like)).map(async |username| {
            let account = BareJid::from_parts(Some(&username), host);
            let known = self.0.chat_server.new_account(&account).await.ok()?;
            let possible = !known.impossible && policy::admit_new_username(&username).is_ok();
            let admitted = possible && policy.admit_name(&account, known.admin, None).is_ok();
            let free = admitted && !known.exists && known.refusal.is_none();
            let reserved = self.0.store.username_reserved(account, self.now()).await.ok()?;
            (free && !reserved).then_some(username)
        });
        candidates.buffered(SUGGESTIONS).filter_map(ready).take(SUGGESTIONS).collect().await
    }
}

/// Until this is dropped, an account is being made for a reservation, which is not settled
/// meanwhile.
struct Making<'a> {
    invites: &'a Invites,
    reservation: String,
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        lock(&self.invites.0.registering).remove(&self.reservation);
    }
}
