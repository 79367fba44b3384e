//! The control socket: a Unix socket on which the running daemon answers the command line, which
//! cannot ask the chat server by itself. Does this account exist? Is the hook there? Is the daemon
//! connected? Which reservations fail?
//!
//! One line of JSON asks, one line answers. The daemon answers only its own user and root. They can
//! read the configuration as well, so the bounds here guard against mistakes, not attacks.
//!
//! The owner of the socket's folder may have put anything in its place. So root binds it, and
//! connects to it, as that user ([`Folder::as_owner`]). The command line believes only a process of
//! root, of its own user, of the store's owner ([`Place`]), or of the folder's owner if root has
//! given the folder to that user ([`Folder::owner_by_root`]).

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use jid::{BareJid, DomainPart, NodePart};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_util::codec::{Framed, LinesCodec};
use tokio_util::sync::CancellationToken;

use crate::chat_server::{Answer, Ask, ChatServer, NoAnswer, Question, Questions};
use crate::files::{FileError, Folder};
use crate::health::Health;
use crate::invites::Unsettled;
use crate::lookout::Lookout;
use crate::meaning::Meaning;
use crate::texts::printable;

/// The longest line, in bytes: what a hook says in a stanza of 64 KiB, with every byte escaped, and
/// some words.
const LONGEST_LINE: usize = 192 * 1024;

/// The longest answer, in bytes: the meaning of the longest configuration.
const LONGEST_ANSWER: usize = 8 * 1024 * 1024;

/// How many connections the daemon serves at a time. Others wait to be accepted.
const CONNECTIONS: usize = 16;

/// How many questions a client asks at a time.
const CLIENT_CONNECTIONS: usize = 8;

/// How long the daemon waits for the next question, and for its answer to be read.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client waits: longer than the daemon waits for the chat server, so that the daemon
/// can say what is wrong.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(12);

/// The longest path that the system takes for a socket (`sun_path` has 108 bytes, the last of them
/// zero).
const LONGEST_PATH: usize = 107;

/// A question, as it stands on a line. The answer is an [`Answer`] as JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "question", rename_all = "kebab-case", deny_unknown_fields)]
enum Request {
    /// What is known of an account? Also, would the server let somebody register it?
    Account { host: DomainPart, username: NodePart, register: bool },
    /// Is the hook of this VirtualHost there?
    Hello { host: DomainPart },
    /// What is the daemon's health? It looks before it answers.
    Health {},
    /// Which reservations have failed to settle several times?
    Unsettled {},
    /// What is the meaning of the configuration in force?
    Meaning {},
}

/// What the daemon knows, and answers from.
#[derive(Clone)]
pub struct Sources {
    /// The chat server.
    pub chat_server: ChatServer,
    /// The daemon's health.
    pub lookout: Lookout,
    /// The oldest reservations that have failed to settle several times, and how many there are in
    /// all.
    pub unsettled: Arc<dyn Fn() -> (Vec<Unsettled>, usize) + Send + Sync>,
    /// The meaning of the configuration in force.
    pub meaning: watch::Receiver<Meaning>,
}

/// Where the daemon's socket is, and whose process may be at its other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The socket.
    pub socket: PathBuf,
    /// A file whose owner is believed: the SQLite store, or the configuration with the URL of the
    /// database.
    pub owned: PathBuf,
}

impl Place {
    /// Whether a user's process may answer on the socket. The owner of its folder could have put
    /// another socket there.
    fn ensure_trusted(&self, folder: &Folder, user: u32) -> Result<(), FileError> {
        let owner = std::fs::metadata(&self.owned).ok().map(|metadata| metadata.uid());
        let trusted = [Some(0), Some(rustix::process::geteuid().as_raw()), owner, folder.owner_by_root()];
        if trusted.contains(&Some(user)) {
            return Ok(());
        }
        let owned = printable(self.owned.display());
        let problem = format!(
            "is answered by the user with the id {user}, who is neither root nor the owner of {owned}, and is not \
             believed: set [control] socket to an absolute path in a folder that belongs to the daemon's user, below \
             folders that only root can change, such as /var/lib/easy-invite"
        );
        Err(FileError::Unfit(self.socket.clone(), problem))
    }
}

/// Why the daemon cannot have its socket.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another daemon listens on it.
    #[error("easy-invite is already running: it answers on {}", printable(.0.display()))]
    AlreadyRunning(PathBuf),
    /// The system takes no socket path that long.
    #[error(
        "{} is too long for a socket: set [control] socket to a path of at most {LONGEST_PATH} bytes",
        printable(.0.display())
    )]
    TooLong(PathBuf),
    /// The folder cannot be used, or what has the socket's name there.
    #[error("the socket cannot be made")]
    Unusable(#[from] FileError),
}

/// The daemon's end. The socket is removed when this is dropped.
#[derive(Debug)]
pub struct Listener {
    listener: UnixListener,
    folder: Folder,
    name: OsString,
    inode: Option<u64>,
    owner: u32,
}

impl Listener {
    /// Listens on the path, in the place of a socket that a dead daemon left there.
    ///
    /// # Errors
    /// If another daemon listens there, or the path cannot be used.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn bind(place: &Place) -> Result<Listener, BindError> {
        let path = place.socket.as_path();
        let failed = |error| FileError::System(path.to_owned(), error);
        if path.as_os_str().len() > LONGEST_PATH {
            return Err(BindError::TooLong(path.to_owned()));
        }
        let (folder, name) = Folder::of(path)?;
        match connect(place, &folder, name)? {
            Connected::Yes(_) => return Err(BindError::AlreadyRunning(path.to_owned())),
            Connected::NobodyListens => folder.remove_socket(name)?,
            Connected::NoSocket => (),
        }
        let bound = folder.as_owner(|_| {
            let listener = net::UnixListener::bind(path)?;
            // A client that connects before this is refused unless it may be answered.
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
            listener.set_nonblocking(true)?;
            Ok((listener, rustix::process::geteuid().as_raw()))
        });
        let (listener, owner) = bound?.map_err(failed)?;
        let inode = folder.socket(name)?;
        let listener = UnixListener::from_std(listener).map_err(failed)?;
        Ok(Listener { listener, name: name.to_owned(), folder, inode, owner })
    }

    /// Whether the process at the other end is one of the daemon's own user, or of root.
    fn trusts(&self, stream: &UnixStream) -> bool {
        stream.peer_cred().is_ok_and(|peer| peer.uid() == self.owner || peer.uid() == 0)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Another daemon may have its own socket there by now. If this one cannot be removed, the
        // next daemon replaces it.
        if self.folder.socket(&self.name).is_ok_and(|inode| inode == self.inode) {
            drop(self.folder.remove_socket(&self.name));
        }
    }
}

/// Answers until `stop`.
pub async fn serve(listener: Listener, sources: Sources, stop: CancellationToken) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = async {
            let permit = Arc::clone(&permits).acquire_owned().await;
            (listener.listener.accept().await, permit)
        };
        let (accepted, permit) = tokio::select! {
            () = stop.cancelled() => return,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, _)) if listener.trusts(&stream) => {
                let (sources, stop) = (sources.clone(), stop.clone());
                tokio::spawn(async move {
                    let served = stop.run_until_cancelled(serve_connection(stream, &sources)).await;
                    if let Some(Err(error)) = served {
                        tracing::debug!(%error, "a connection to the control socket failed");
                    }
                    drop(permit);
                });
            }
            Ok(_) => tracing::warn!("a user other than the daemon's connected to the control socket: refused"),
            Err(error) => {
                // Most likely out of file descriptors: to try again at once would only spin.
                tracing::warn!(%error, "the control socket accepts no connection");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn serve_connection(stream: UnixStream, sources: &Sources) -> io::Result<()> {
    let mut lines = Framed::new(stream, LinesCodec::new_with_max_length(LONGEST_LINE));
    while let Some(line) = timeout(IDLE_TIMEOUT, lines.next()).await? {
        let request = serde_json::from_str(&line.map_err(io::Error::other)?)?;
        let answer = answer(request, sources).await?;
        timeout(IDLE_TIMEOUT, lines.send(answer)).await?.map_err(io::Error::other)?;
    }
    Ok(())
}

async fn answer(request: Request, sources: &Sources) -> serde_json::Result<String> {
    let Sources { chat_server, lookout, unsettled, meaning } = sources;
    match request {
        Request::Account { host, username, register } => {
            let account = BareJid::from_parts(Some(&username), &host);
            serde_json::to_string(&match register {
                true => chat_server.new_account(&account).await,
                false => chat_server.account(&account).await,
            })
        }
        // The hook of another host may answer, but this daemon does not serve that host.
        Request::Hello { host } if !meaning.borrow().serves(host.as_str()) => serde_json::to_string(&not_served(&host)),
        Request::Hello { host } => serde_json::to_string(&chat_server.hello(host).await),
        Request::Health {} => serde_json::to_string(&Answer::Ok(lookout.look().await)),
        Request::Unsettled {} => serde_json::to_string(&Answer::Ok(unsettled())),
        Request::Meaning {} => serde_json::to_string(&Answer::Ok(meaning.borrow().clone())),
    }
}

fn not_served(host: &DomainPart) -> Answer<()> {
    let words = format!("the running daemon does not serve {host} yet: systemctl reload easy-invite");
    Err(NoAnswer::NotSetUp(words))
}

/// The command line's end: the daemon that listens on a path, if one does.
#[derive(Clone, Debug)]
pub struct Daemon(Place);

impl Daemon {
    /// The daemon whose socket this is.
    pub fn at(place: Place) -> Self {
        Daemon(place)
    }

    /// The daemon's health at this moment; `None` if no daemon runs.
    ///
    /// # Errors
    /// If a daemon runs, or seems to, and does not answer.
    pub async fn health(&self) -> Answer<Option<Health>> {
        self.ask(&Request::Health {}).await
    }

    /// The oldest reservations that the daemon has failed to settle several times, and how many
    /// there are in all.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn unsettled(&self) -> Answer<(Vec<Unsettled>, usize)> {
        self.ask_running(&Request::Unsettled {}).await
    }

    /// The meaning of the configuration that the daemon serves.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn meaning(&self) -> Answer<Meaning> {
        self.ask_running(&Request::Meaning {}).await
    }

    /// The chat server, asked through the daemon. The task that asks ends with the last of these
    /// handles.
    pub fn chat_server(&self) -> ChatServer {
        let (chat_server, questions) = ChatServer::channel();
        tokio::spawn(forward(self.clone(), questions));
        chat_server
    }

    async fn ask_running<T: DeserializeOwned>(&self, request: &Request) -> Answer<T> {
        self.ask(request).await?.ok_or_else(|| NoAnswer::Unreachable("easy-invite is not running".to_owned()))
    }

    /// Asks on a connection of its own. `None` if no daemon runs.
    async fn ask<T: DeserializeOwned>(&self, request: &Request) -> Answer<Option<T>> {
        let failed =
            |error: &dyn fmt::Display| NoAnswer::Unreachable(format!("easy-invite could not be asked: {error}"));
        let stream = match Folder::of(&self.0.socket).and_then(|(folder, name)| connect(&self.0, &folder, name)) {
            Ok(Connected::Yes(stream)) => stream,
            Ok(Connected::NoSocket | Connected::NobodyListens) | Err(FileError::NoFolder(_)) => return Ok(None),
            Err(error) => return Err(failed(&error)),
        };
        let stream = UnixStream::from_std(stream).map_err(|error| failed(&error))?;
        let mut lines = Framed::new(stream, LinesCodec::new_with_max_length(LONGEST_ANSWER));
        let request = serde_json::to_string(request).map_err(|error| failed(&error))?;
        let line = timeout(ANSWER_TIMEOUT, async {
            lines.send(request).await?;
            lines.next().await.transpose()
        });
        let too_late = |_| NoAnswer::Late("easy-invite runs, but did not answer in time".to_owned());
        let line = line.await.map_err(too_late)?.map_err(|error| failed(&error))?;
        let line = line.ok_or_else(|| failed(&"it hung up"))?;
        let answer: Answer<T> = serde_json::from_str(&line).map_err(|error| failed(&error))?;
        answer.map(Some)
    }
}

/// The outcome of connecting to a socket.
enum Connected {
    /// A daemon listens, at the other end of this stream, which does not block.
    Yes(net::UnixStream),
    /// The socket is one that a dead daemon left behind.
    NobodyListens,
    /// Nothing has the name.
    NoSocket,
}

/// Connects to a socket in a folder.
///
/// # Errors
/// If something other than a socket has the name, the process that listens is not believed, or the
/// system refuses.
fn connect(place: &Place, folder: &Folder, name: &OsStr) -> Result<Connected, FileError> {
    if folder.socket(name)?.is_none() {
        return Ok(Connected::NoSocket);
    }
    let path = folder.path().join(name);
    let connected = folder.as_owner(|_| {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        rustix::net::connect(&socket, &SocketAddrUnix::new(&path)?)?;
        let peer = rustix::net::sockopt::socket_peercred(&socket)?;
        Ok((socket, peer.uid.as_raw()))
    })?;
    match connected {
        Ok((socket, user)) => place.ensure_trusted(folder, user).map(|()| Connected::Yes(socket.into())),
        Err(Errno::CONNREFUSED) => Ok(Connected::NobodyListens),
        Err(error) => Err(FileError::System(path, error.into())),
    }
}

/// Carries questions for the chat server to the daemon.
async fn forward(daemon: Daemon, mut questions: Questions) {
    let permits = Arc::new(Semaphore::new(CLIENT_CONNECTIONS));
    while let Some(Question { host, ask }) = questions.recv().await {
        let (daemon, permit) = (daemon.clone(), Arc::clone(&permits).acquire_owned().await);
        tokio::spawn(async move {
            // The asking task may be gone.
            match ask {
                Ask::Account { username, register, reply } => {
                    drop(reply.send(daemon.ask_running(&Request::Account { host, username, register }).await))
                }
                Ask::Hello { reply, .. } => drop(reply.send(daemon.ask_running(&Request::Hello { host }).await)),
                // Only the daemon itself asks these.
                Ask::Settle(..) | Ask::Create { .. } | Ask::Deliver(..) => (),
            }
            drop(permit);
        });
    }
}
