//! Inviters are told that their invites were used.

use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use jid::DomainPart;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::service::{Error, Invites, Result};
use crate::chat_server::Message;
use crate::invite::{Invite, Issuer, Purpose, State};
use crate::names;
use crate::policy;
use crate::refusal::Refusal;
use crate::store::Notice;
use crate::texts::{Texts, fill, one_line};

/// How many messages are sent in one round.
const ROUND: u32 = 50;

/// How long no other daemon sends a message that this one has taken: longer than sending it takes.
/// After that, a message that could not be sent is tried again.
const LEASE: Duration = Duration::from_secs(15);

impl Invites {
    /// Waits until there may be something to tell: an invite was used, or a hook is back.
    pub async fn wait_for_use(&self) {
        self.0.used.notified().await;
    }

    /// Sends a round of the messages to inviters that are due. For hosts with `notify_inviter =
    /// false`, removes them. Returns whether more may be due.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn tell_inviters(&self) -> Result<bool> {
        let (told, silent): (Vec<_>, Vec<_>) =
            self.settings().hosts.iter().partition(|(_, policy)| policy.notify_inviter);
        if !silent.is_empty() {
            self.0.store.drop_notices(silent.into_iter().map(|(host, _)| host.clone()).collect()).await?;
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
        let ended = async {
            let told_at = self.send(notice).await?;
            Ok::<_, Error>(self.0.store.end_notice(id.clone(), message, told_at).await?)
        };
        if let Err(error) = ended.await {
            tracing::debug!(invite = %id, %error, "the inviter cannot be told of a use now");
        }
    }

    /// Sends a message, and returns when it was sent. `None`: there is nobody to tell any more.
    ///
    /// # Errors
    /// `Unknown` if the inviter's account seems to be gone, which is not certain yet; or why the
    /// message was not sent.
    async fn send(&self, notice: Notice) -> Result<Option<Timestamp>> {
        let Some(inviter) = notice.invite.inviter.clone() else { return Ok(None) };
        let known = self.account(&inviter).await?;
        if !known.certainly_exists(&inviter)? {
            // When that is certain, its notices are removed with its invites.
            self.seems_gone(&inviter);
            return Err(Refusal::Unknown.into());
        }
        if policy::admit_owner(&notice.invite, &known, self.now()).is_err() {
            return Ok(None); // the name is somebody else's now
        }
        let texts = self.languages().preferred(notice.invite.language.as_deref().unwrap_or_default());
        let (language, body) = (texts.code.clone(), body(&notice, texts, self.now()));
        self.chat_server().deliver(Message { to: inviter, id: stanza_id(&notice), language, body }).await?;
        Ok(Some(self.now()))
    }
}

/// The id of the message's stanza: a hash, since the message's name may come from a form.
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
    let accounts: Vec<_> = uses.iter().map(|used| names::shown(&used.account)).collect();
    let mut values = vec![("invitation", invitation.as_str()), ("host", invite.host.as_str()), ("count", &number)];
    // The operator's note is not for the contact whom the invite names.
    let (text, is_named, left) = match (invite.issuer, uses.as_slice()) {
        (Issuer::Operator, _) => (texts.counted(&own.for_you, *count), false, None),
        (_, [used]) if *count == 1 => {
            values.extend(accounts.first().map(|account| ("account", account.as_str())));
            let text = if used.purpose == Purpose::Contact { &own.connected } else { &own.joined };
            (text.as_str(), true, left(invite, texts, now))
        }
        _ => (texts.counted(&own.used, *count), false, left(invite, texts, now)),
    };
    let first: Vec<_> = [Some(fill(text, &values)), left].into_iter().flatten().collect();
    let mut lines = vec![first.join(" ")];
    if !is_named && accounts.len() == *count as usize {
        lines.extend(accounts);
    }
    lines.join("\n")
}

/// The sentence that says how often an invite can still be used; `None` if it was for one use, has
/// no limit, or has expired or was revoked.
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

#[cfg(test)]
mod tests {
    use jid::BareJid;

    use super::*;
    use crate::invite::tests::{at, invite};
    use crate::invite::{InviteType, Use};
    use crate::texts::Languages;

    fn notice(invite: Invite, accounts: &[&str], count: usize) -> Notice {
        let uses = accounts.iter().map(|account| Use {
            id: format!("of-{account}"),
            invite: invite.id.clone(),
            purpose: Purpose::Register,
            account: BareJid::new(account).unwrap(),
            server: "s1".to_owned(),
            reserved_at: at(1000),
        });
        let (uses, count) = (uses.collect(), u32::try_from(count).unwrap());
        Notice { message: format!("of-{}", accounts[0]), invite, count, uses }
    }

    fn of_alice() -> Invite {
        let (inviter, note) = (Some(BareJid::new("alice@example.org").unwrap()), Some("Class 5b".to_owned()));
        Invite { inviter, issuer: Issuer::User, note, max_uses: Some(25), uses: 2, ..invite(InviteType::Account) }
    }

    fn said(notice: &Notice) -> String {
        body(notice, Texts::english(), at(1500))
    }

    #[test]
    fn who_has_come_with_which_invite_and_what_is_left() {
        let one = |invite| said(&notice(invite, &["carol@example.org"], 1));
        let joined = "carol@example.org has joined with your invitation “Class 5b”.";
        assert_eq!(one(of_alice()), format!("{joined} It is good for 23 more people."));
        assert_eq!(one(Invite { uses: 24, ..of_alice() }), format!("{joined} It is good for 1 more person."));
        assert_eq!(one(Invite { uses: 25, ..of_alice() }), format!("{joined} It is used up now."));
        for ended in [
            Invite { max_uses: Some(1), uses: 1, ..of_alice() },
            Invite { max_uses: None, ..of_alice() },
            Invite { revoked_at: Some(at(1200)), ..of_alice() },
            Invite { expires_at: Some(at(1200)), ..of_alice() },
        ] {
            assert_eq!(one(ended), joined);
        }
        let mut contact = notice(of_alice(), &["bob@example.net"], 1);
        contact.uses[0].purpose = Purpose::Contact;
        assert!(said(&contact).starts_with("bob@example.net has become your contact with your invitation “Class 5b”."));
    }

    #[test]
    fn of_several_there_is_the_number_and_of_few_the_names() {
        let text = said(&notice(of_alice(), &["carol@example.org", "dave@example.org"], 2));
        let first = "2 people have used your invitation “Class 5b”. It is good for 23 more people.";
        assert_eq!(text, format!("{first}\ncarol@example.org\ndave@example.org"));
        let text = said(&notice(of_alice(), &["carol@example.org"], 12));
        assert_eq!(text, "12 people have used your invitation “Class 5b”. It is good for 23 more people.");
    }

    #[test]
    fn a_note_is_plain_text_in_one_line() {
        for (note, expected) in [
            ("a\u{202e}b\u{2066}\u{7}c\r\n\u{2028}d", "“ab c d”"),
            ("  👩\u{200d}🏫  {account} ", "“👩\u{200d}🏫 {account}”"),
            (" \u{202e}\n", "from 1 January 1970, 00:16 UTC"),
        ] {
            let invite = Invite { note: Some(note.to_owned()), ..of_alice() };
            let text = said(&notice(invite, &["carol@example.org"], 1));
            assert!(text.contains(&format!("your invitation {expected}.")), "{text}");
        }
    }

    #[test]
    fn the_contact_of_an_operators_invite_does_not_read_the_note() {
        let invite = Invite { issuer: Issuer::Operator, ..of_alice() };
        let text = said(&notice(invite, &["carol@example.org"], 1));
        let expected = "1 person has used an invitation to example.org that names you as the contact.";
        assert_eq!(text, format!("{expected}\ncarol@example.org"));
    }

    #[test]
    fn every_language_has_all_that_is_filled_in() {
        for texts in Languages::built_in().iter() {
            for (count, issuer) in [(1, Issuer::User), (3, Issuer::User), (5, Issuer::User), (22, Issuer::Operator)] {
                let invite = Invite { issuer, uses: 21, ..of_alice() };
                let text = body(&notice(invite, &["carol@example.org"], count), texts, at(1500));
                assert!(!text.contains(['{', '}']), "{}: {text}", texts.code);
                assert!(text.contains("carol@") || text.contains(&count.to_string()), "{}: {text}", texts.code);
            }
        }
    }

    #[test]
    fn the_id_of_a_message_tells_nothing_of_the_use() {
        let one = notice(of_alice(), &["carol@example.org"], 1);
        assert_eq!(stanza_id(&one), stanza_id(&notice(of_alice(), &["carol@example.org", "dave@example.org"], 2)));
        assert_ne!(stanza_id(&one), stanza_id(&notice(of_alice(), &["dave@example.org"], 1)));
        assert_eq!(stanza_id(&one).len(), 32);
        assert!(!stanza_id(&one).contains("carol"));
    }
}
