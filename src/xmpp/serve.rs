//! Serving the stream: one task reads, answers and writes, without a lock.
//!
//! While the chat server reads nothing, the task still reads. A server may write before it reads,
//! and answers of the hook come in on the same stream. So that memory stays bounded, the task
//! finishes no answers meanwhile, and stops reading at [`MOST_WAITING`] requests.
//!
//! When too many requests are in flight, further ones are answered at once, with an error that asks
//! to try again.

use std::future::ready;
use std::iter;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use minidom::Element;
use tokio::io::{AsyncBufRead, AsyncWrite};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_xmpp::xmlstream::ReadError;
use xmpp_parsers::stanza_error::{DefinedCondition, ErrorType};

use super::hook::Asked;
use super::in_flight::{FROM_HOST, FROM_USERS, InFlight, Sender};
use super::message::Message;
use super::router::Router;
use super::stanza::{ErrorAnswer, Request, Stanza, element, error_in, error_reply, ns, reply, with};
use super::wire::{Progress, Received, Wire};
use crate::chat_server::{Question, Questions};
use crate::store::{answered_by, begun_by};
use crate::systemd::Watchdog;

/// How many requests and ready replies may wait before reading stops: all that may be in flight,
/// and some refusals.
const MOST_WAITING: usize = FROM_USERS + FROM_HOST + 1024;

/// How many stanzas or questions are taken before anything else. Their work in the store begins
/// together and shares a commit. With more, the chat server would wait for all these answers and
/// have nothing to do while that commit lasts.
const TAKEN_AT_ONCE: usize = 32;

/// How many answers are made before they are written. As elements, a form takes some 50 kilobytes.
const WRITTEN_AT_ONCE: usize = 32;

/// How long a request may wait before its work in the store begins. The hook waits five seconds.
/// Later work would keep others waiting, and nobody would wait for its answer.
const BEGIN_WITHIN: Duration = Duration::from_secs(4);

/// How long a user who asks for a link waits for the outcome. After that, the daemon says "try
/// again later" before the hook does, and sees to it that nothing comes of the request.
const ANSWER_WITHIN: Duration = Duration::from_millis(4400);

/// How long the chat server may read nothing before the connection is given up.
const WRITE_PATIENCE: Duration = Duration::from_secs(60);

/// How often patience and a clean end are looked at.
const LOOK_OVER: Duration = Duration::from_millis(200);

/// How long a clean end waits for what is in flight.
const DRAIN: Duration = Duration::from_secs(5);

/// How long nothing may have come in before a clean end: the chat server may still be writing.
const LINGER: Duration = Duration::from_millis(300);

/// The replies to a stanza, and the sender whose request they answer, if it was counted.
type Answered = (Vec<Element>, Option<Sender>);

/// A session on the stream.
struct Session<'a, Io> {
    wire: Wire<Io>,
    router: &'a Arc<Router>,
    /// The answers being worked on.
    answers: FuturesUnordered<BoxFuture<'static, Answered>>,
    in_flight: InFlight,
    asked: Asked,
    /// The chat server was silent and has been pinged since.
    pinged: bool,
    /// When the last stanza came in.
    heard: Instant,
}

/// Serves until `stop`. Then answers what is in flight, and closes the stream.
///
/// # Errors
/// The reason, in words, if the connection is lost before.
pub async fn serve<Io: AsyncBufRead + AsyncWrite + Unpin>(
    wire: Wire<Io>,
    router: &Arc<Router>,
    questions: &mut Questions,
    watchdog: &mut Watchdog,
    stop: &CancellationToken,
) -> Result<(), String> {
    let mut session = Session {
        wire,
        router,
        answers: FuturesUnordered::new(),
        in_flight: InFlight::default(),
        asked: Asked::default(),
        pinged: false,
        heard: Instant::now(),
    };
    let mut clock = tokio::time::interval(LOOK_OVER);
    let mut stopping: Option<Instant> = None;
    loop {
        if stopping.is_some_and(|since| session.is_done(since)) {
            session.wire.close().await;
            return Ok(());
        }
        let writable = session.wire.unsent_since().is_none();
        let reading = session.answers.len() < MOST_WAITING;
        let still_there = tokio::select! {
            Some(first) = session.answers.next(), if writable => {
                session.send_answers(first);
                Ok(())
            }
            progress = session.wire.progress(reading) => match progress {
                Progress::Written(written) => written.map_err(|error| error.to_string()),
                Progress::Received(first) => session.take_stanzas(first),
            },
            Some(first) = questions.recv(), if writable => {
                session.send_questions(first, questions);
                Ok(())
            }
            _ = clock.tick() => session.look_over(),
            () = watchdog.due() => Ok(()),
            () = stop.cancelled(), if stopping.is_none() => {
                stopping = Some(Instant::now());
                Ok(())
            }
        };
        if still_there.is_err() {
            // Requests that came in before are still begun: the server may not say again that an
            // account is gone.
            while session.answers.next().now_or_never().flatten().is_some() {}
            return still_there;
        }
    }
}

impl<Io: AsyncBufRead + AsyncWrite + Unpin> Session<'_, Io> {
    /// Is it time to close, when it was time to stop at `since`?
    fn is_done(&self, since: Instant) -> bool {
        let idle = self.answers.is_empty() && self.wire.unsent_since().is_none();
        idle && self.heard.max(since).elapsed() > LINGER || since.elapsed() > DRAIN
    }

    /// Sends an answer, and in the same write the others that are ready.
    fn send_answers(&mut self, first: Answered) {
        let others = iter::from_fn(|| self.answers.next().now_or_never().flatten());
        for (replies, sender) in iter::once(first).chain(others).take(WRITTEN_AT_ONCE) {
            if let Some(sender) = sender {
                self.in_flight.answered(sender);
            }
            self.wire.send(replies);
        }
    }

    /// Sends a question to the hook, and in the same write the others that wait.
    fn send_questions(&mut self, first: Question, questions: &mut Questions) {
        let others = iter::from_fn(|| questions.try_recv().ok());
        let questions = iter::once(first).chain(others).take(TAKEN_AT_ONCE);
        let component = self.router.component.as_str();
        self.wire.send(questions.flat_map(|question| self.asked.ask(question, component)));
    }

    /// Gives up on what takes too long.
    ///
    /// # Errors
    /// If that is the chat server, which reads nothing.
    fn look_over(&mut self) -> Result<(), String> {
        self.asked.give_up(Instant::now().into_std());
        match self.wire.unsent_since() {
            Some(since) if since.elapsed() > WRITE_PATIENCE => Err("the chat server takes nothing any more".to_owned()),
            _ => Ok(()),
        }
    }

    /// Takes what came in, and the stanzas that are there already.
    ///
    /// # Errors
    /// In words, if that is the end of the session.
    fn take_stanzas(&mut self, first: Received) -> Result<(), String> {
        self.take(first)?;
        for _ in 1..TAKEN_AT_ONCE {
            let Some(next) = self.wire.received() else { break };
            self.take(next)?;
        }
        Ok(())
    }

    fn take(&mut self, received: Received) -> Result<(), String> {
        let silent = matches!(received, Some(Err(ReadError::SoftTimeout)));
        let pinged = mem::replace(&mut self.pinged, silent);
        match received {
            Some(Ok(stanza)) if stanza.name() == "error" && !stanza.has_ns(ns::COMPONENT) => {
                Err(ErrorAnswer::of(&stanza).to_string())
            }
            Some(Ok(stanza)) => {
                self.heard = Instant::now();
                let answer = self.begin(Stanza::of(stanza));
                self.answers.extend(answer);
                Ok(())
            }
            Some(Err(ReadError::SoftTimeout)) if pinged => Err("the chat server fell silent".to_owned()),
            Some(Err(ReadError::SoftTimeout)) => {
                self.ping();
                Ok(())
            }
            Some(Err(ReadError::ParseError(error))) => {
                tracing::debug!(%error, "a stanza was passed over");
                Ok(())
            }
            Some(Err(ReadError::HardError(error))) => Err(error.to_string()),
            Some(Err(ReadError::StreamFooterReceived)) | None => Err("the chat server closed the stream".to_owned()),
        }
    }

    /// Asks the chat server whether it is there. Any answer will do.
    fn ping(&mut self) {
        let component = self.router.component.as_str();
        let invites = self.router.invites();
        let host = invites.hosts().next().map_or(component, |host| host.as_str());
        let iq = element!(ns::COMPONENT, "iq", "type" = "get", "from" = component, "to" = host, "id" = "alive");
        self.wire.send([with(iq, [element!(ns::PING, "ping")])]);
    }

    /// Begins to answer a stanza. An answer of the hook goes to the asker, and needs none itself.
    fn begin(&mut self, stanza: Stanza) -> Option<BoxFuture<'static, Answered>> {
        let at_once = |replies: Vec<Element>| Some(ready((replies, None)).boxed());
        match stanza {
            Stanza::Request(request) => Some(self.begin_request(request)),
            Stanza::Answer { from, id, outcome } => {
                self.asked.answered(&from, &id, outcome);
                None
            }
            Stanza::Presence(presence) => at_once(self.router.presence(&presence)),
            Stanza::Message(stanza) => self.begin_message(&stanza),
            Stanza::Bad(stanza, error) => {
                tracing::debug!(from = stanza.attr("from"), ?error, "a stanza was refused");
                at_once(error_reply(&stanza, error).into_iter().collect())
            }
            Stanza::Other => None,
        }
    }

    /// Begins to answer a message. When too many requests are in flight, there is no answer: a
    /// person writes again, and a program must not be answered for ever.
    fn begin_message(&mut self, stanza: &Element) -> Option<BoxFuture<'static, Answered>> {
        let (router, invites) = (self.router.clone(), self.router.invites());
        let message = Message::of(stanza, router.component.as_str())?;
        let (account, heard) = router.chats.hear(&message, &invites, Instant::now().into_std())?;
        let sender = self.in_flight.admit(Sender::User(account.to_string()))?;
        let begin_by = Instant::now() + BEGIN_WITHIN;
        let answer = async move {
            let answer = router.chats.answer(&message, &heard, router.component.as_str(), &invites);
            (begun_by(begin_by, answer).await.into_iter().collect(), Some(sender))
        };
        Some(answer.boxed())
    }

    fn begin_request(&mut self, request: Box<Request>) -> BoxFuture<'static, Answered> {
        let invites = self.router.invites();
        let sender = match invites.policy(&request.from) {
            Ok(_) => Sender::Host,
            Err(_) => Sender::User(request.from.split('/').next().unwrap_or_default().to_owned()),
        };
        let Some(sender) = self.in_flight.admit(sender) else {
            let texts = invites.languages().preferred(&request.language);
            let text = &texts.refusal.busy;
            let error = error_in(texts, ErrorType::Wait, DefinedCondition::ResourceConstraint, text);
            return ready((vec![reply(&request, Err(error))], None)).boxed();
        };
        let router = self.router.clone();
        let (begin_by, answer_by) = (Instant::now() + BEGIN_WITHIN, Instant::now() + ANSWER_WITHIN);
        async move {
            let outcome = answered_by(answer_by, begun_by(begin_by, router.answer(&request, &invites))).await;
            (vec![reply(&request, outcome)], Some(sender))
        }
        .boxed()
    }
}
