//! A token is presented, or an invite is named.

use std::time::{Duration, Instant};

use jid::DomainPart;
use jiff::Timestamp;

use super::service::{Error, Invites, Result, lock};
use crate::counters::Request;
use crate::invite::{Invite, Purpose, Token};
use crate::limits::{Address, GUESSING, Guess, MOST_WRONG_IN_ALL, WebRequest};
use crate::links::Reference;
use crate::policy;
use crate::refusal::Refusal;
use crate::store::Past;

/// The proof that a token was presented and found good. The hook keeps its text with the client's
/// stream. The text is as secret as the token.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The token.
    pub token: Token,
    /// When it was found good.
    pub presented_at: Timestamp,
}

impl Grant {
    /// The grant in a text; `None` if it cannot be read.
    pub fn parse(text: &str) -> Option<Grant> {
        let (token, second) = text.split_once('.')?;
        let presented_at = Timestamp::from_second(second.parse().ok()?).ok()?;
        Some(Grant { token: Token::parse(token)?, presented_at })
    }

    /// The text for the hook: the token and the Unix time in seconds.
    pub fn to_text(&self) -> String {
        format!("{}.{}", self.token.reveal(), self.presented_at.as_second())
    }
}

impl Invites {
    /// Finds the invite that somebody names. Changes nothing.
    ///
    /// # Errors
    /// `Unknown` if there is none; `Incomplete` if there is none and the token may have been cut.
    pub async fn find(&self, reference: Reference) -> Result<Invite> {
        let Reference { id, tokens } = reference;
        let unknown = if id.is_none() && tokens.iter().all(Token::may_be_changed) {
            Refusal::Incomplete
        } else {
            Refusal::Unknown
        };
        let by_id = match id {
            Some(id) => self.0.store.find_by_id(id).await?,
            None => None,
        };
        match by_id {
            Some(invite) => Ok(invite),
            None => Ok(self.of_tokens(&tokens).await?.ok_or(unknown)?.0),
        }
    }

    /// The invite that has one of these tokens, or had it before it got a newer link. `None`: no
    /// invite has or ever had any of them.
    pub(super) async fn of_tokens(&self, tokens: &[Token]) -> Result<Option<(Invite, Token)>> {
        for token in tokens {
            if let Some(invite) = self.0.store.find(token.hash()).await? {
                return Ok(Some((invite, token.clone())));
            }
            match self.0.store.past(token.hash()).await? {
                None => (),
                Some(Past::Removed) => return Err(Refusal::Unknown.into()),
                Some(Past::Replaced(invite)) => return Ok(Some((Invite { replaced: true, ..*invite }, token.clone()))),
            }
        }
        Ok(None)
    }

    /// Finds the invite of a token that a stranger presents, of any type, state and host. What the
    /// stranger presents may be read as several tokens: returns also which of them it is. If no
    /// invite has or ever had any of them, that counts as a guess, unless the store may lack
    /// invites and the token may be of one of those.
    ///
    /// # Errors
    /// As [`Invites::find`], also if there are no tokens; `AddressRefused` or `TooManyUnknown`
    /// after too many guesses.
    pub async fn look_up(&self, tokens: &[Token], address: Address) -> Result<(Invite, Token)> {
        let refused = |left| Refusal::AddressRefused { again_at: self.after(left) };
        lock(&self.0.counts).admit(address, Instant::now()).map_err(refused)?;
        if let Some(found) = self.of_tokens(tokens).await? {
            return Ok(found);
        }
        let (ours, others): (Vec<_>, Vec<_>) = tokens.iter().partition(|token| token.is_like_ours());
        let may_be_lost = !ours.is_empty() && self.may_lack_invites();
        // A token of ours that a program has cut or lengthened has another length. It is no guess,
        // unless another program's tokens have that length.
        let finds_nothing = may_be_lost || tokens.iter().all(Token::may_be_changed);
        let lengths: Vec<_> = others.iter().filter_map(|token| u32::try_from(token.reveal().len()).ok()).collect();
        let is_guess = !finds_nothing || !lengths.is_empty() && self.0.store.has_tokens_of(lengths).await?;
        Err(match (is_guess, may_be_lost) {
            (true, _) => self.count_guess(address),
            (false, true) => Refusal::Unknown,
            (false, false) => Refusal::Incomplete,
        }
        .into())
    }

    /// Whether the store may lack invites whose links people have.
    fn may_lack_invites(&self) -> bool {
        let seen = *lock(&self.0.last_seen);
        seen.is_some_and(|seen| seen.lacks_invites_until(self.now()).is_some())
    }

    /// Checks a token that a client presents for a registration or a reset on a host. Changes
    /// nothing, but counts guesses as [`Invites::look_up`] does.
    ///
    /// # Errors
    /// Why the token is not good for that now.
    pub async fn check(&self, host: &DomainPart, tokens: &[Token], address: Address) -> Result<Grant> {
        self.counted(Request::Check, host, self.present(host, tokens, address)).await
    }

    async fn present(&self, host: &DomainPart, tokens: &[Token], address: Address) -> Result<Grant> {
        self.policy(host.as_str())?;
        let (invite, token) = self.look_up(tokens, address).await?;
        let invite = valid_on(host, invite)?;
        let presented_at = self.now();
        policy::admit_presentation(&invite, presented_at)?;
        policy::admit_presentation(&self.recheck(invite).await?, presented_at)?;
        Ok(Grant { token, presented_at })
    }

    /// What an invite does now for a person who opens its page. If the chat server does not answer,
    /// this is judged without it.
    ///
    /// # Errors
    /// Why it does nothing.
    pub async fn purpose(&self, invite: &Invite) -> Result<Purpose> {
        let purpose = policy::purpose(invite, self.now())?;
        match self.recheck(invite.clone()).await {
            Ok(invite) => {
                let reset = invite.account().filter(|_| purpose == Purpose::Reset);
                if let Some(account) = reset
                    && let Ok(false) = self.account(&account).await?.certainly_exists(&account)
                {
                    return Err(Refusal::NoSuchAccount(account.to_string()).into());
                }
                Ok(policy::purpose(&invite, self.now())?)
            }
            Err(Error::NoAnswer(_)) => Ok(purpose),
            Err(error) => Err(error),
        }
    }

    /// Counts a request from an address for a web page.
    ///
    /// # Errors
    /// When the address may ask again, if it has asked or guessed too often.
    pub fn admit_request(&self, request: WebRequest, address: Address) -> std::result::Result<(), Timestamp> {
        lock(&self.0.counts).request(request, address, Instant::now()).map_err(|left| self.after(left))
    }

    /// Checks whether somebody may try to register from this address with this invite.
    ///
    /// # Errors
    /// `TooManyFailed` if too many have failed lately.
    pub(super) fn admit_try(&self, address: Address, invite: Option<&Invite>) -> Result<()> {
        let admitted = lock(&self.0.counts).admit_registration(address, invite, Instant::now());
        Ok(admitted.map_err(|left| self.too_many_failed(left))?)
    }

    /// Counts a registration that failed because of what the person chose.
    ///
    /// # Errors
    /// The error of the outcome; `TooManyFailed` in its place after too many failures.
    pub(super) fn count_failed<T>(&self, outcome: Result<T>, address: Address, invite: Option<&Invite>) -> Result<T> {
        if matches!(&outcome, Err(Error::Refused(refusal)) if refusal.is_correctable()) {
            let counted = lock(&self.0.counts).registration_failed(address, invite, Instant::now());
            counted.map_err(|left| self.too_many_failed(left))?;
        }
        outcome
    }

    /// Counts a registration in a chat client that the chat server itself has refused.
    ///
    /// # Errors
    /// `TooManyFailed` if there are too many.
    pub async fn refused_by_server(&self, host: &DomainPart, grant: Option<&str>, address: Address) -> Result<()> {
        let invite = match grant.and_then(Grant::parse) {
            Some(grant) => self.find(grant.token.into()).await.ok(),
            None => None,
        };
        let invite = invite.and_then(|invite| valid_on(host, invite).ok());
        let counted = lock(&self.0.counts).registration_failed(address, invite.as_ref(), Instant::now());
        Ok(counted.map_err(|left| self.too_many_failed(left))?)
    }

    fn too_many_failed(&self, left: Duration) -> Refusal {
        Refusal::TooManyFailed { again_at: self.after(left) }
    }

    fn count_guess(&self, address: Address) -> Refusal {
        self.0.counters.guessed();
        let minutes = GUESSING.as_secs() / 60;
        let counted = lock(&self.0.counts).wrong_token(address, Instant::now());
        match counted {
            Guess::Counted => Refusal::Unknown,
            Guess::Refused { anew, left } => {
                if anew {
                    // contrib/fail2ban looks for this line, where the address is known.
                    let proxy = if address.is_known() { "" } else { ". Does the proxy name them in X-Forwarded-For?" };
                    tracing::warn!("too many unknown invitations from {address}: refused for {minutes} minutes{proxy}");
                }
                Refusal::AddressRefused { again_at: self.after(left) }
            }
            Guess::TooManyInAll { tell, left } => {
                if tell {
                    tracing::warn!("more than {MOST_WRONG_IN_ALL} unknown invitations within {minutes} minutes");
                }
                Refusal::TooManyUnknown { again_at: self.after(left) }
            }
        }
    }
}

/// The invite, if it is of this host. One of another host counts as unknown.
///
/// # Errors
/// `Unknown` if it is of another host.
pub(super) fn valid_on(host: &DomainPart, invite: Invite) -> std::result::Result<Invite, Refusal> {
    if invite.host == *host { Ok(invite) } else { Err(Refusal::Unknown) }
}
