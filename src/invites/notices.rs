//! Who made an invite is told that it was used.

use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use jid::DomainPart;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::service::{Invites, Result};
use crate::chat_server::Message;
use crate::invite::{Invite, Issuer, Purpose, State};
use crate::policy;
use crate::store::Notice;
use crate::texts::{Texts, fill, one_line};

/// How many messages are sent in one round.
const ROUND: u32 = 50;

/// How long no other daemon sends the same message: longer than the questions about it take. After
/// that, a message that could not be sent is tried again.
const LEASE: Duration = Duration::from_secs(15);

impl Invites {
    /// Waits until there may be something to tell.
    pub async fn used(&self) {
        self.0.used.notified().await;
    }

    /// Sends a round of messages that are due to makers of invites. Those of hosts where nobody is
    /// told any more are removed. Returns whether there may be more.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn tell_inviters(&self) -> Result<bool> {
        let (told, silent): (Vec<_>, Vec<_>) =
            self.settings().hosts.iter().partition(|(_, policy)| policy.notify_inviter);
        for (host, _) in silent {
            self.0.store.drop_notices(host.clone()).await?;
        }
        let servers = self.servers();
        let connected = |host: &&DomainPart| servers.contains_key(*host);
        let hosts = told.into_iter().map(|(host, _)| host).filter(connected).cloned().collect();
        let due = self.0.store.claim_notices(hosts, self.now(), self.after(LEASE), ROUND).await?;
        let is_full = due.len() == ROUND as usize;
        // Side by side: one that cannot be sent holds up no other.
        stream::iter(due).for_each_concurrent(None, |notice| self.tell_inviter(notice)).await;
        Ok(is_full)
    }

    async fn tell_inviter(&self, notice: Notice) {
        let (id, message) = (notice.invite.id.clone(), notice.message.clone());
        let ended = match self.send(notice).await {
            Ok(Some(told_at)) => self.0.store.end_notice(id.clone(), message, told_at).await.map_err(Into::into),
            Ok(None) => return,
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            tracing::debug!(invite = %id, %error, "the maker of the invite cannot be told now");
        }
    }

    /// Sends a message, and returns when it was sent; within, `None` if there is nobody to tell any
    /// more. `None`: that is not certain yet.
    async fn send(&self, notice: Notice) -> Result<Option<Option<Timestamp>>> {
        let Some(inviter) = notice.invite.inviter.clone() else { return Ok(Some(None)) };
        let known = self.account(&inviter).await?;
        if !known.certainly_exists(&inviter)? {
            // When that is certain, its notices go with its invites.
            self.seems_gone(&inviter);
            return Ok(None);
        }
        if policy::admit_owner(&notice.invite, &known, self.now()).is_err() {
            return Ok(Some(None)); // the name is somebody else's now
        }
        let texts = self.languages().preferred(notice.invite.language.as_deref().unwrap_or_default());
        let (language, body) = (texts.code.clone(), body(&notice, texts, self.now()));
        self.chat_server().deliver(Message { to: inviter, id: stanza_id(&notice), language, body }).await?;
        Ok(Some(Some(self.now())))
    }
}

/// The id of the message's stanza. It tells nothing of the use, whose name may come from a form.
fn stanza_id(notice: &Notice) -> String {
    let hash = Sha256::digest(format!("notice {}", notice.message));
    hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// What a message says at an instant.
fn body(notice: &Notice, texts: &Texts, now: Timestamp) -> String {
    let Notice { invite, count, uses, .. } = notice;
    let own = &texts.notice;
    let invitation = match invite.note.as_deref().map(one_line).filter(|note| !note.is_empty()) {
        Some(note) => fill(&own.noted, &[("note", &note)]),
        None => fill(&own.dated, &[("date", &texts.date(invite.created_at))]),
    };
    let number = count.to_string();
    let accounts: Vec<_> = uses.iter().map(|used| used.account.as_str()).collect();
    let mut values = vec![("invitation", invitation.as_str()), ("host", invite.host.as_str()), ("count", &number)];
    // The note of an invite that the operator made is not for the one whom it names.
    let (text, is_named, left) = match (invite.issuer, uses.as_slice()) {
        (Issuer::Operator, _) => (texts.counted(&own.for_you, *count), false, None),
        (_, [used]) if *count == 1 => {
            values.push(("account", used.account.as_str()));
            let text = if used.purpose == Purpose::Contact { &own.connected } else { &own.joined };
            (text.as_str(), true, left(invite, texts, now))
        }
        _ => (texts.counted(&own.used, *count), false, left(invite, texts, now)),
    };
    let first: Vec<_> = [Some(fill(text, &values)), left].into_iter().flatten().collect();
    let mut lines = vec![first.join(" ")];
    if !is_named && accounts.len() == *count as usize {
        lines.extend(accounts.into_iter().map(str::to_owned));
    }
    lines.join("\n")
}

/// How often an invite for many can still be used; `None` for one that was for one, or that has
/// ended otherwise.
fn left(invite: &Invite, texts: &Texts, now: Timestamp) -> Option<String> {
    let most = invite.max_uses.filter(|most| *most > 1)?;
    let own = &texts.notice;
    match invite.state(now) {
        State::Pending => {
            let left = most.saturating_sub(invite.uses);
            Some(fill(texts.counted(&own.left, left), &[("count", &left.to_string())]))
        }
        State::Redeemed => Some(own.used_up.clone()),
        State::Expired | State::Revoked => None,
    }
}
