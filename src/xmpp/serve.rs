//! Serving the stream: one task reads, answers and writes, without a lock.
//!
//! If the chat server stops reading, the task goes on reading: the server may want to write before
//! it reads, and the hook's answers come in on the same stream. To bound the memory, the task then
//! finishes no answers, and stops reading at [`MAX_WAITING`] requests.
//!
//! If too many requests are in flight, further ones are answered at once, with an error that asks
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

use super::hook::OpenQuestions;
use super::in_flight::{FROM_HOST, FROM_USERS, InFlight, Sender};
use super::message::Message;
use super::router::Router;
use super::stanza::{ErrorAnswer, Request, Stanza, element, error_in, error_reply, ns, reply, with};
use super::wire::{Progress, Received, Wire};
use crate::chat_server::{Question, Questions};
use crate::store::{answered_by, begun_by};
use crate::systemd::Watchdog;

/// How many requests and ready replies may wait before the task stops reading: all that may be in
/// flight, and some refusals.
const MAX_WAITING: usize = FROM_USERS + FROM_HOST + 1024;

/// How many stanzas or questions are taken before anything else. Their work in the store begins
/// together and shares a commit. With a larger number, the chat server would wait for all these
/// answers at once, and be idle during that commit.
const TAKEN_AT_ONCE: usize = 32;

/// How many answers are finished before they are written. In memory, a form takes some 50 kB.
const WRITTEN_AT_ONCE: usize = 32;

/// How long a request may wait before its work in the store begins. The hook waits five seconds for
/// the answer: later work would delay others for nothing.
const BEGIN_WITHIN: Duration = Duration::from_secs(4);

/// How long a user who asks for a link waits. After that, the daemon answers "try again later",
/// before the hook does, and makes sure that the request has no effect.
const ANSWER_WITHIN: Duration = Duration::from_millis(4400);

/// How long the chat server may read nothing before the daemon gives up the connection.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// How often the timeouts are checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(200);

/// How long the daemon waits for requests in flight before it closes the stream.
const DRAIN: Duration = Duration::from_secs(5);

/// The daemon closes the stream only after so long a silence: the chat server may still be writing.
const LINGER: Duration = Duration::from_millis(300);

/// The replies to a stanza, and the sender in whose count it is, if it was counted.
type Answered = (Vec<Element>, Option<Sender>);

/// A session on the stream.
struct Session<'a, Io> {
    wire: Wire<Io>,
    router: &'a Arc<Router>,
    /// The requests in work, and replies that are ready.
    answers: FuturesUnordered<BoxFuture<'static, Answered>>,
    in_flight: InFlight,
    questions: OpenQuestions,
    /// The chat server was silent and was pinged.
    pinged: bool,
    /// When the last stanza came in.
    heard: Instant,
}

/// Serves the stream until `stop` is cancelled. Then answers the requests in flight, and closes the
/// stream.
///
/// # Errors
/// Why the connection was lost, in words, if it was.
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
        questions: OpenQuestions::default(),
        pinged: false,
        heard: Instant::now(),
    };
    let mut clock = tokio::time::interval(CHECK_INTERVAL);
    let mut stopping: Option<Instant> = None;
    loop {
        if stopping.is_some_and(|since| session.is_done(since)) {
            session.wire.close().await;
            return Ok(());
        }
        let writable = session.wire.unsent_since().is_none();
        let reading = session.answers.len() < MAX_WAITING;
        let result = tokio::select! {
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
            _ = clock.tick() => session.check_timeouts(),
            () = watchdog.due() => Ok(()),
            () = stop.cancelled(), if stopping.is_none() => {
                stopping = Some(Instant::now());
                Ok(())
            }
        };
        if result.is_err() {
            // Begins the requests that came in before: the server may not report again that an
            // account is gone.
            while session.answers.next().now_or_never().flatten().is_some() {}
            return result;
        }
    }
}

impl<Io: AsyncBufRead + AsyncWrite + Unpin> Session<'_, Io> {
    /// Whether to close the stream, if `stop` was cancelled at `since`.
    fn is_done(&self, since: Instant) -> bool {
        let idle = self.answers.is_empty() && self.wire.unsent_since().is_none();
        idle && self.heard.max(since).elapsed() > LINGER || since.elapsed() > DRAIN
    }

    /// Sends an answer, and the others that are ready.
    fn send_answers(&mut self, first: Answered) {
        let others = iter::from_fn(|| self.answers.next().now_or_never().flatten());
        for (replies, sender) in iter::once(first).chain(others).take(WRITTEN_AT_ONCE) {
            if let Some(sender) = sender {
                self.in_flight.answered(sender);
            }
            self.wire.send(replies);
        }
    }

    /// Sends a question to the hook, and the others that wait.
    fn send_questions(&mut self, first: Question, questions: &mut Questions) {
        let others = iter::from_fn(|| questions.try_recv().ok());
        let questions = iter::once(first).chain(others).take(TAKEN_AT_ONCE);
        let component = self.router.component.as_str();
        self.wire.send(questions.flat_map(|question| self.questions.ask(question, component)));
    }

    /// Gives up on questions that have no answer in time.
    ///
    /// # Errors
    /// In words, if the chat server has read nothing for too long.
    fn check_timeouts(&mut self) -> Result<(), String> {
        self.questions.give_up(Instant::now().into_std());
        match self.wire.unsent_since() {
            Some(since) if since.elapsed() > WRITE_TIMEOUT => Err("the chat server has stopped reading".to_owned()),
            _ => Ok(()),
        }
    }

    /// Takes a stanza, and others that have come in already.
    ///
    /// # Errors
    /// Why the session has ended, in words, if it has.
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
            Some(Err(ReadError::SoftTimeout)) if pinged => Err("the chat server does not answer a ping".to_owned()),
            Some(Err(ReadError::SoftTimeout)) => {
                self.ping();
                Ok(())
            }
            Some(Err(ReadError::ParseError(error))) => {
                tracing::debug!(%error, "ignored a stanza that cannot be parsed");
                Ok(())
            }
            Some(Err(ReadError::HardError(error))) => Err(error.to_string()),
            Some(Err(ReadError::StreamFooterReceived)) | None => Err("the chat server closed the stream".to_owned()),
        }
    }

    /// Pings the chat server. Any answer shows that it is there.
    fn ping(&mut self) {
        let component = self.router.component.as_str();
        let invites = self.router.invites();
        let host = invites.hosts().next().map_or(component, |host| host.as_str());
        let iq = element!(ns::COMPONENT, "iq", "type" = "get", "from" = component, "to" = host, "id" = "alive");
        self.wire.send([with(iq, [element!(ns::PING, "ping")])]);
    }

    /// Begins to answer a stanza. Returns `None` if it gets no answer.
    fn begin(&mut self, stanza: Stanza) -> Option<BoxFuture<'static, Answered>> {
        let at_once = |replies: Vec<Element>| Some(ready((replies, None)).boxed());
        match stanza {
            Stanza::Request(request) => Some(self.begin_request(request)),
            Stanza::Answer { from, id, outcome } => {
                self.questions.answered(&from, &id, outcome);
                None
            }
            Stanza::Presence(presence) => at_once(self.router.presence(&presence)),
            Stanza::Message(stanza) => self.begin_message(&stanza),
            Stanza::Bad(stanza, error) => {
                tracing::debug!(from = stanza.attr("from"), ?error, "refused a stanza");
                at_once(error_reply(&stanza, error).into_iter().collect())
            }
            Stanza::Other => None,
        }
    }

    /// Begins to answer a message. There is no answer if too many requests are in flight: a person
    /// writes again, and a program should stop.
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
