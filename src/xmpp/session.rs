//! One session on the stream: one task reads, answers and writes. No lock, no channel between the two directions, and
//! therefore no way for them to wait for each other.

use std::future::Future;
use std::pin::Pin;
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
use super::router;
use super::stanza::{Stanza, element, error, error_reply, ns, reply, with};
use super::wire::{Wire, stream_error};
use crate::chat_server::Questions;
use crate::invites::Invites;

/// How many requests are worked on at a time; beyond that nothing is read, and the chat server feels it.
const MAX_IN_FLIGHT: usize = 1024;

/// How often unanswered questions are looked over.
const LOOK_OVER: Duration = Duration::from_secs(1);

/// How long a clean end waits for what is in flight.
const DRAIN: Duration = Duration::from_secs(5);

/// How a session ended.
#[derive(Debug)]
pub enum Ended {
    /// As asked, with everything answered.
    Stopped,
    /// The connection is gone; the text says how.
    Lost(String),
}

type Reply = Pin<Box<dyn Future<Output = Vec<Element>> + Send>>;

/// Serves until `stop` or until the connection is lost.
pub async fn serve<Io: AsyncBufRead + AsyncWrite + Unpin>(
    mut wire: Wire<Io>,
    component: &str,
    invites: &Invites,
    sessions: &std::sync::Arc<Sessions>,
    questions: &mut Questions,
    stop: &CancellationToken,
) -> Ended {
    let mut in_flight: FuturesUnordered<Reply> = FuturesUnordered::new();
    let mut asked = Asked::default();
    let mut clock = tokio::time::interval(LOOK_OVER);
    let mut stopping: Option<Instant> = None;
    let mut pinged = false;
    loop {
        if let Some(since) = stopping
            && (in_flight.is_empty() || since.elapsed() > DRAIN)
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
            Some(replies) = in_flight.next(), if !in_flight.is_empty() => {
                // Whatever else is ready goes out in the same write.
                let mut ready = replies;
                while let Some(Some(more)) = in_flight.next().now_or_never() {
                    ready.extend(more);
                }
                send(&mut wire, ready).await
            }
            received = wire.next(), if in_flight.len() < MAX_IN_FLIGHT => {
                pinged &= matches!(received, Some(Err(ReadError::SoftTimeout)));
                match received {
                    Some(Ok(stanza)) if stanza.name() == "error" && stanza.ns() != ns::COMPONENT => {
                        return Ended::Lost(stream_error(&stanza).to_string());
                    }
                    Some(Ok(stanza)) => {
                        receive(stanza, component, invites, sessions, &mut asked, &in_flight);
                        Ok(())
                    }
                    Some(Err(ReadError::SoftTimeout)) if !pinged => {
                        pinged = true;
                        let host = invites.hosts().next().map_or(component, |host| host.as_str());
                        let iq = element!(ns::COMPONENT, "iq", "type" = "get", "from" = component, "to" = host, "id" = "alive");
                        send(&mut wire, vec![with(iq, [element!(ns::PING, "ping")])]).await
                    }
                    Some(Err(ReadError::SoftTimeout)) => return Ended::Lost("the chat server fell silent".to_owned()),
                    Some(Err(ReadError::ParseError(error))) => {
                        tracing::debug!(%error, "a stanza was passed over");
                        Ok(())
                    }
                    Some(Err(ReadError::HardError(error))) => return Ended::Lost(error.to_string()),
                    Some(Err(ReadError::StreamFooterReceived)) | None => {
                        return Ended::Lost("the chat server closed the stream".to_owned());
                    }
                }
            }
            Some(question) = questions.recv(), if stopping.is_none() => {
                let stanza = asked.ask(question, component);
                send(&mut wire, vec![stanza]).await
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

/// Takes what arrived: requests go in flight, answers to whoever asked.
fn receive(
    stanza: Element,
    component: &str,
    invites: &Invites,
    sessions: &std::sync::Arc<Sessions>,
    asked: &mut Asked,
    in_flight: &FuturesUnordered<Reply>,
) {
    match Stanza::of(stanza) {
        Stanza::Request(request) => {
            let (component, invites, sessions) = (component.to_owned(), invites.clone(), sessions.clone());
            in_flight.push(Box::pin(async move {
                let outcome = router::answer(&request, &component, &invites, &sessions).await;
                vec![reply(&request, outcome)]
            }));
        }
        Stanza::Answer { from, id, outcome } => asked.answered(&from, &id, outcome),
        Stanza::Presence(presence) => {
            let replies = router::presence(&presence, component, invites);
            in_flight.push(Box::pin(std::future::ready(replies)));
        }
        Stanza::Refused(stanza, why) => {
            tracing::debug!(from = stanza.attr("from"), why, "a stanza was refused");
            let error = error(ErrorType::Modify, DefinedCondition::PolicyViolation, format!("This stanza is {why}"));
            in_flight.push(Box::pin(std::future::ready(error_reply(&stanza, error).into_iter().collect())));
        }
        Stanza::Bad(stanza) => {
            let text = "An IQ has a type, and a request has exactly one payload";
            let error = error(ErrorType::Modify, DefinedCondition::BadRequest, text);
            in_flight.push(Box::pin(std::future::ready(error_reply(&stanza, error).into_iter().collect())));
        }
        Stanza::Other => (),
    }
}

/// Writes stanzas in one go. One that XML cannot carry is left out; the stream goes on.
async fn send<Io: AsyncBufRead + AsyncWrite + Unpin>(
    wire: &mut Wire<Io>,
    stanzas: Vec<Element>,
) -> std::io::Result<()> {
    for stanza in &stanzas {
        match wire.feed(stanza).await {
            Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => {
                tracing::error!(%error, "a stanza could not be written");
            }
            other => other?,
        }
    }
    SinkExt::<&Element>::flush(wire).await
}
