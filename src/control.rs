//! The daemon's Unix socket: what the command line cannot know by itself, it asks the running daemon.
//!
//! One line of JSON asks, one line answers. Whoever may connect (the daemon's own user, and root) could as well read the
//! configuration; the bounds here are against mistakes.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use jid::{BareJid, DomainPart, NodePart};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_util::codec::{Framed, LinesCodec};
use tokio_util::sync::CancellationToken;

use crate::chat_server::{Account, Answer, Ask, ChatServer, Hook, Link, Questions, Reply, Unreachable};
use crate::texts::printable;

/// The longest line: two names of 1,023 bytes each, with every byte escaped, and some words.
const LONGEST_LINE: usize = 16 * 1024;

/// How many connections are served at a time; others wait to be accepted.
const CONNECTIONS: usize = 16;

/// How many questions a client asks at a time.
const CLIENT_CONNECTIONS: usize = 8;

/// How long the daemon waits for the next question, and for its answer to be read.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client waits: longer than the daemon waits for the chat server, which knows better why there is no answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(12);

/// The longest path that the system takes for a socket (`sun_path` has 108 bytes, the last of them zero).
const LONGEST_PATH: usize = 107;

/// A question, as it stands on a line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "question", rename_all = "kebab-case", deny_unknown_fields)]
enum Request {
    /// What is known of an account?
    Account { host: DomainPart, username: NodePart },
    /// Is the hook of this VirtualHost there?
    Hello { host: DomainPart },
    /// How does the connection to the chat server stand?
    Link {},
}

/// [`Link`], as it stands on a line.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Link", rename_all = "kebab-case")]
enum LinkOnLine {
    Connecting,
    Connected,
    Down(String),
}

#[derive(Serialize, Deserialize)]
struct LinkLine(#[serde(with = "LinkOnLine")] Link);

/// Why the daemon cannot have its socket.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another daemon listens on it.
    #[error("easy-invite is already running: it answers on {}", printable(.0.display()))]
    AlreadyRunning(PathBuf),
    /// The path is something else, which is left alone.
    #[error("{} is no socket: remove it, or set [control] socket to another path", printable(.0.display()))]
    NoSocket(PathBuf),
    /// The system takes no socket path that long.
    #[error(
        "{} is too long for a socket: set [control] socket to a path of at most {LONGEST_PATH} bytes",
        printable(.0.display())
    )]
    TooLong(PathBuf),
    /// Anything else.
    #[error("the socket {} cannot be made: {}", printable(.0.display()), .1)]
    Failed(PathBuf, io::Error),
}

/// The daemon's end. The socket is removed when this is dropped.
#[derive(Debug)]
pub struct Listener {
    listener: UnixListener,
    path: PathBuf,
    owner: u32,
    inode: u64,
}

impl Listener {
    /// Listens on the path, in the place of a socket that a dead daemon left there.
    ///
    /// # Errors
    /// If another daemon listens there, or the path cannot be used.
    pub async fn bind(path: &Path) -> Result<Listener, BindError> {
        let failed = |error| BindError::Failed(path.to_owned(), error);
        if path.as_os_str().len() > LONGEST_PATH {
            return Err(BindError::TooLong(path.to_owned()));
        }
        match path.symlink_metadata() {
            Ok(metadata) if !metadata.file_type().is_socket() => return Err(BindError::NoSocket(path.to_owned())),
            Ok(_) => match UnixStream::connect(path).await {
                Ok(_) => return Err(BindError::AlreadyRunning(path.to_owned())),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    std::fs::remove_file(path).map_err(failed)?;
                }
                Err(error) => return Err(failed(error)),
            },
            Err(_) => (), // nothing there, or nothing that can be seen; binding will tell
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        // Whoever connects before this is refused for not being the owner.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        let file = path.symlink_metadata().map_err(failed)?;
        Ok(Listener { listener, path: path.to_owned(), owner: file.uid(), inode: file.ino() })
    }

    /// Whether the one at the other end is the daemon's own user, or root.
    fn trusts(&self, stream: &UnixStream) -> bool {
        stream.peer_cred().is_ok_and(|peer| peer.uid() == self.owner || peer.uid() == 0)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Not if it was removed, and another daemon has its own there. What stays behind is replaced by the next one.
        if self.path.symlink_metadata().is_ok_and(|file| file.ino() == self.inode) {
            drop(std::fs::remove_file(&self.path));
        }
    }
}

/// Answers until `stop`.
pub async fn serve(listener: Listener, chat_server: ChatServer, link: watch::Receiver<Link>, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (listener.listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            () = stop.cancelled() => return,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, _)) if listener.trusts(&stream) => {
                let (chat_server, link, stop) = (chat_server.clone(), link.clone(), stop.clone());
                tokio::spawn(async move {
                    let served = stop.run_until_cancelled(serve_connection(stream, &chat_server, &link)).await;
                    if let Some(Err(error)) = served {
                        tracing::debug!(%error, "a connection to the control socket failed");
                    }
                    drop(place);
                });
            }
            Ok(_) => tracing::warn!("another user than the daemon's connected to the control socket: refused"),
            Err(error) => {
                // Out of file descriptors, most likely: trying again at once would only spin.
                tracing::warn!(%error, "the control socket accepts no connection");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn serve_connection(
    stream: UnixStream,
    chat_server: &ChatServer,
    link: &watch::Receiver<Link>,
) -> io::Result<()> {
    let mut lines = Framed::new(stream, LinesCodec::new_with_max_length(LONGEST_LINE));
    while let Some(line) = timeout(IDLE_TIMEOUT, lines.next()).await? {
        let answer = match serde_json::from_str(&line.map_err(io::Error::other)?)? {
            Request::Account { host, username } => {
                serde_json::to_string(&chat_server.account(&BareJid::from_parts(Some(&username), &host)).await)?
            }
            Request::Hello { host } => serde_json::to_string(&chat_server.hello(host).await)?,
            Request::Link {} => serde_json::to_string(&Answer::Ok(LinkLine(link.borrow().clone())))?,
        };
        timeout(IDLE_TIMEOUT, lines.send(answer)).await?.map_err(io::Error::other)?;
    }
    Ok(())
}

/// The command line's end: the daemon that listens on a path, if one does.
#[derive(Clone, Debug)]
pub struct Daemon(PathBuf);

impl Daemon {
    /// The daemon whose socket this is.
    pub fn at(socket: PathBuf) -> Self {
        Daemon(socket)
    }

    /// How the daemon's connection to the chat server stands; `None` if no daemon runs.
    ///
    /// # Errors
    /// If one runs, or seems to, and does not answer.
    pub async fn link(&self) -> Answer<Option<Link>> {
        match self.ask::<LinkLine>(&Request::Link {}).await {
            Ok(LinkLine(link)) => Ok(Some(link)),
            Err(NoAnswer::NotRunning) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The chat server, asked through the daemon. The task that does so ends with the last of these handles.
    pub fn chat_server(&self) -> ChatServer {
        let (chat_server, questions) = ChatServer::channel();
        tokio::spawn(forward(self.clone(), questions));
        chat_server
    }

    async fn account(&self, host: DomainPart, username: NodePart) -> Answer<Account> {
        Ok(self.ask(&Request::Account { host, username }).await?)
    }

    async fn hello(&self, host: DomainPart) -> Answer<Hook> {
        Ok(self.ask(&Request::Hello { host }).await?)
    }

    async fn ask<T: DeserializeOwned>(&self, request: &Request) -> Result<T, NoAnswer> {
        timeout(ANSWER_TIMEOUT, self.ask_without_end(request)).await.map_err(|_| NoAnswer::TooLate)?
    }

    async fn ask_without_end<T: DeserializeOwned>(&self, request: &Request) -> Result<T, NoAnswer> {
        let stream = UnixStream::connect(&self.0).await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => NoAnswer::NotRunning,
            _ => NoAnswer::Failed(error.to_string()),
        })?;
        let failed = |error: &dyn std::error::Error| NoAnswer::Failed(error.to_string());
        let mut lines = Framed::new(stream, LinesCodec::new_with_max_length(LONGEST_LINE));
        let request = serde_json::to_string(request).map_err(|error| failed(&error))?;
        lines.send(request).await.map_err(|error| failed(&error))?;
        let hung_up = || NoAnswer::Failed("it hung up".to_owned());
        let line = lines.next().await.ok_or_else(hung_up)?.map_err(|error| failed(&error))?;
        let answer: Answer<T> = serde_json::from_str(&line).map_err(|error| failed(&error))?;
        answer.map_err(NoAnswer::Unreachable)
    }
}

/// Why the daemon gave no answer.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error("easy-invite does not run")]
    NotRunning,
    #[error("easy-invite runs, but did not answer in time")]
    TooLate,
    #[error("easy-invite could not be asked: {0}")]
    Failed(String),
    #[error(transparent)]
    Unreachable(Unreachable),
}

impl From<NoAnswer> for Unreachable {
    fn from(reason: NoAnswer) -> Self {
        Unreachable(reason.to_string())
    }
}

fn left_to_the_daemon() -> Unreachable {
    Unreachable("left to the daemon".to_owned())
}

async fn forward(daemon: Daemon, mut questions: Questions) {
    let places = Arc::new(Semaphore::new(CLIENT_CONNECTIONS));
    while let Some(question) = questions.recv().await {
        let (daemon, place) = (daemon.clone(), Arc::clone(&places).acquire_owned().await);
        tokio::spawn(async move {
            let host = question.host.clone();
            let answer = match &question.ask {
                Ask::Account(username) => daemon.account(host, username.clone()).await.map(Reply::Account),
                Ask::Hello => daemon.hello(host).await.map(Reply::Hello),
                Ask::Settle(_) | Ask::Create { .. } => Err(left_to_the_daemon()),
            };
            question.answer(answer);
            drop(place);
        });
    }
}
