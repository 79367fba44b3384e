//! One session on the stream: one task reads, answers and writes, without a lock.
//!
//! It never stops reading: what some requests wait for, the answers of the hook, comes in on the same stream. When too much
//! is in flight, further requests are answered at once, with an error that asks to try again.

use std::collections::HashMap;
use std::future::{Future, ready};
use std::io;
use std::iter;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::stream::FuturesUnordered;
use futures::{FutureExt, SinkExt, StreamExt};
use minidom::Element;
use tokio::io::{AsyncBufRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tokio_xmpp::xmlstream::ReadError;
use xmpp_parsers::stanza_error::{DefinedCondition, ErrorType};

use super::command::Sessions;
use super::hook::Asked;
use super::stanza::{Stanza, element, error, error_in, error_reply, ns, reply, with};
use super::wire::{Wire, stream_error};
use super::{Config, router};
use crate::chat_server::Questions;
use crate::invites::Invites;
use crate::store::begun_by;

/// How many requests of users are worked on at a time: some kilobytes each.
const FROM_USERS: usize = 1024;

/// How many of them may be one account's: others wait behind them for the store. No app has more than a few.
const FROM_ONE_USER: usize = 64;

/// How many requests of the hosts themselves are worked on at a time. A hook asks one question for each stream.
const FROM_HOSTS: usize = 8192;

/// How many stanzas that have come in, or questions of ours, are taken before anything else: what they ask of the store is then
/// begun together, and shares a commit. With more, whoever waits for so many answers would have nothing to send while that commit lasts.
const TAKEN_AT_ONCE: usize = 32;

/// How long what a request asks of the store may wait to be begun: a hook waits for five seconds, and what nobody waits for
/// any more would only keep others waiting.
const BEGIN_WITHIN: Duration = Duration::from_secs(4);

/// How long the chat server may take nothing of what is written before the connection is given up.
const WRITE_PATIENCE: Duration = Duration::from_secs(60);

/// How often unanswered questions are looked over, and a clean end whether all is done.
const LOOK_OVER: Duration = Duration::from_millis(200);

/// How long a clean end waits for what is in flight.
const DRAIN: Duration = Duration::from_secs(5);

/// How long nothing has to come in before a clean end: what the chat server is still writing is read and answered.
const LINGER: Duration = Duration::from_millis(300);

/// How a session ended.
#[derive(Debug)]
pub enum Ended {
    /// As asked, with everything answered.
    Stopped,
    /// The connection is gone; the text says how.
    Lost(String),
}

/// What is in flight: it ends with replies, and with whose request it was.
type Reply = Pin<Box<dyn Future<Output = (Vec<Element>, Option<Sender>)> + Send>>;

/// Who sent a request, as far as it matters for how many there may be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Sender {
    /// A served host itself.
    Host,
    /// An account, here or elsewhere.
    User(String),
}

/// How many requests are in flight, and whose.
#[derive(Debug, Default)]
struct InFlight {
    by_sender: HashMap<Sender, usize>,
    from_users: usize,
}

impl Sender {
    /// Whoever has this address.
    fn of(from: &str, invites: &Invites) -> Self {
        match invites.policy(from) {
            Ok(_) => Sender::Host,
            Err(_) => Sender::User(from.split('/').next().unwrap_or_default().to_owned()),
        }
    }
}

impl InFlight {
    /// Counts one more request; `None` if there are too many.
    fn admit(&mut self, sender: Sender) -> Option<Sender> {
        let own = self.by_sender.get(&sender).copied().unwrap_or_default();
        let room = match sender {
            Sender::Host => own < FROM_HOSTS,
            Sender::User(_) => own < FROM_ONE_USER && self.from_users < FROM_USERS,
        };
        if !room {
            return None;
        }
        self.from_users += usize::from(sender != Sender::Host);
        self.by_sender.insert(sender.clone(), own + 1);
        Some(sender)
    }

    /// A request that was admitted has been answered.
    fn answered(&mut self, sender: Sender) {
        self.from_users -= usize::from(sender != Sender::Host);
        match self.by_sender.get_mut(&sender) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(self.by_sender.remove(&sender)),
        }
    }
}

/// Serves until `stop` or until the connection is lost.
pub async fn serve<Io: AsyncBufRead + AsyncWrite + Unpin>(
    mut wire: Wire<Io>,
    config: &Arc<Config>,
    invites: &Invites,
    sessions: &Arc<Sessions>,
    questions: &mut Questions,
    stop: &CancellationToken,
) -> Ended {
    let component = config.jid.as_str();
    let mut in_flight: FuturesUnordered<Reply> = FuturesUnordered::new();
    let mut admitted = InFlight::default();
    let mut asked = Asked::default();
    let mut clock = tokio::time::interval(LOOK_OVER);
    let mut stopping: Option<Instant> = None;
    let mut pinged = false;
    let mut heard = Instant::now();
    loop {
        if let Some(since) = stopping
            && (heard.max(since).elapsed() > LINGER && in_flight.is_empty() || since.elapsed() > DRAIN)
        {
            // The other side may be gone already; there is nothing left to tell it.
            let close = async {
                wire.shutdown().await?;
                SinkExt::<&Element>::close(&mut wire).await
            };
            drop(tokio::time::timeout(Duration::from_secs(1), close).await);
            return Ended::Stopped;
        }
        let written = tokio::select! {
            Some(first) = in_flight.next(), if !in_flight.is_empty() => {
                // Whatever else is ready goes out in the same write.
                let others = iter::from_fn(|| in_flight.next().now_or_never().flatten());
                let replies = iter::once(first).chain(others).flat_map(|(replies, sender)| {
                    if let Some(sender) = sender {
                        admitted.answered(sender);
                    }
                    replies
                });
                send(&mut wire, replies, stop).await
            }
            received = wire.next() => {
                let others = iter::from_fn(|| wire.next().now_or_never());
                let (mut ping, mut lost) = (None, None);
                for received in iter::once(received).chain(others).take(TAKEN_AT_ONCE) {
                    pinged &= matches!(received, Some(Err(ReadError::SoftTimeout)));
                    lost = match received {
                        Some(Ok(stanza)) if stanza.name() == "error" && stanza.ns() != ns::COMPONENT => {
                            Some(stream_error(&stanza).to_string())
                        }
                        Some(Ok(stanza)) => {
                            heard = Instant::now();
                            in_flight.extend(receive(stanza, config, invites, sessions, &mut asked, &mut admitted));
                            None
                        }
                        Some(Err(ReadError::SoftTimeout)) if !pinged => {
                            pinged = true;
                            let host = invites.hosts().next().map_or(component, |host| host.as_str());
                            let iq = element!(ns::COMPONENT, "iq", "type" = "get", "from" = component, "to" = host, "id" = "alive");
                            ping = Some(with(iq, [element!(ns::PING, "ping")]));
                            None
                        }
                        Some(Err(ReadError::SoftTimeout)) => Some("the chat server fell silent".to_owned()),
                        Some(Err(ReadError::ParseError(error))) => {
                            tracing::debug!(%error, "a stanza was passed over");
                            None
                        }
                        Some(Err(ReadError::HardError(error))) => Some(error.to_string()),
                        Some(Err(ReadError::StreamFooterReceived)) | None => Some("the chat server closed the stream".to_owned()),
                    };
                    if lost.is_some() {
                        break;
                    }
                }
                if let Some(reason) = lost {
                    // What came in before is begun all the same: the server may not say again that an account is gone.
                    while in_flight.next().now_or_never().flatten().is_some() {}
                    return Ended::Lost(reason);
                }
                send(&mut wire, ping, stop).await
            }
            Some(question) = questions.recv(), if stopping.is_none() => {
                let others = iter::from_fn(|| questions.try_recv().ok());
                let asking = iter::once(question).chain(others).take(TAKEN_AT_ONCE);
                send(&mut wire, asking.map(|question| asked.ask(question, component)), stop).await
            }
            _ = clock.tick() => {
                asked.give_up(Instant::now());
                Ok(())
            }
            () = stop.cancelled(), if stopping.is_none() => {
                stopping = Some(Instant::now());
                Ok(())
            }
        };
        if let Err(error) = written {
            return Ended::Lost(error.to_string());
        }
    }
}

/// Takes what arrived: answers go to whoever asked; what there is to answer comes back.
fn receive(
    stanza: Element,
    config: &Arc<Config>,
    invites: &Invites,
    sessions: &Arc<Sessions>,
    asked: &mut Asked,
    admitted: &mut InFlight,
) -> Option<Reply> {
    let at_once = |replies: Vec<Element>| -> Option<Reply> { Some(Box::pin(ready((replies, None)))) };
    match Stanza::of(stanza) {
        Stanza::Request(request) => {
            let Some(sender) = admitted.admit(Sender::of(&request.from, invites)) else {
                let texts = config.languages.preferred(&request.language);
                let text = &texts.refusal.busy;
                let error = error_in(texts, ErrorType::Wait, DefinedCondition::ResourceConstraint, text);
                return at_once(vec![reply(&request, Err(error))]);
            };
            let (config, invites, sessions) = (config.clone(), invites.clone(), sessions.clone());
            let begin_by = tokio::time::Instant::now() + BEGIN_WITHIN;
            Some(Box::pin(async move {
                let answer = router::answer(&request, &config, &invites, &sessions);
                let outcome = begun_by(begin_by, answer).await;
                (vec![reply(&request, outcome)], Some(sender))
            }))
        }
        Stanza::Answer { from, id, outcome } => {
            asked.answered(&from, &id, outcome);
            None
        }
        Stanza::Presence(presence) => at_once(router::presence(&presence, config.jid.as_str(), invites)),
        Stanza::Refused(stanza, why) => {
            tracing::debug!(from = stanza.attr("from"), why, "a stanza was refused");
            let error = error(ErrorType::Modify, DefinedCondition::PolicyViolation, format!("This stanza is {why}"));
            at_once(error_reply(&stanza, error).into_iter().collect())
        }
        Stanza::Bad(stanza) => {
            let text = "An IQ has a type, and a request has exactly one payload";
            let error = error(ErrorType::Modify, DefinedCondition::BadRequest, text);
            at_once(error_reply(&stanza, error).into_iter().collect())
        }
        Stanza::Other => None,
    }
}

/// Writes stanzas in one go. One that XML cannot carry is left out; the stream goes on. A server that takes nothing is given
/// up, sooner when it is time to stop.
async fn send<Io: AsyncBufRead + AsyncWrite + Unpin>(
    wire: &mut Wire<Io>,
    stanzas: impl IntoIterator<Item = Element>,
    stop: &CancellationToken,
) -> io::Result<()> {
    let write = async {
        for stanza in stanzas {
            match wire.feed(&stanza).await {
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    tracing::error!(%error, "a stanza could not be written");
                }
                other => other?,
            }
        }
        SinkExt::<&Element>::flush(wire).await
    };
    let stopped = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        biased;
        written = write => written,
        () = tokio::time::sleep(WRITE_PATIENCE) => Err(io::Error::other("the chat server takes nothing any more")),
        () = stopped => Err(io::Error::other("the chat server took nothing, and it was time to stop")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(number: usize) -> Sender {
        Sender::User(format!("user-{number}@example.org"))
    }

    /// How many of `tries` requests are let in.
    fn admitted(in_flight: &mut InFlight, sender: &Sender, tries: usize) -> usize {
        (0..tries).filter(|_| in_flight.admit(sender.clone()).is_some()).count()
    }

    #[test]
    fn so_many_are_in_flight_and_no_more() {
        let mut in_flight = InFlight::default();
        let users = FROM_USERS / FROM_ONE_USER;
        for number in 0..users {
            assert_eq!(admitted(&mut in_flight, &user(number), 10_000), FROM_ONE_USER);
        }
        assert_eq!(admitted(&mut in_flight, &user(users), 10_000), 0, "of users in all");
        assert_eq!(admitted(&mut in_flight, &Sender::Host, 10_000), FROM_HOSTS, "whatever users do");
        in_flight.answered(user(0));
        assert_eq!(admitted(&mut in_flight, &user(users), 10_000), 1);
    }

    #[test]
    fn nothing_is_kept_of_who_has_been_answered() {
        let mut in_flight = InFlight::default();
        for round in 0..3 {
            for number in 0..10_000 {
                let sender = in_flight.admit(user(round * 10_000 + number)).unwrap();
                in_flight.answered(sender);
            }
        }
        assert_eq!((in_flight.by_sender.len(), in_flight.from_users), (0, 0));
    }
}
