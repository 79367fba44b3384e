//! The service manager: what it is told (sd_notify(3)), and how its journal takes lines
//! (sd-daemon(3)). Without systemd, nothing of this does anything.

use std::env;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, sendto, socket_with};
use rustix::time::{ClockId, clock_gettime};
use tokio::time::{Instant, sleep_until};
use tracing::Level;

use crate::texts::printable;

/// The daemon serves.
pub fn ready() {
    notify("READY=1");
}

/// The daemon reads its configuration anew. [`ready`] says that it has.
pub fn reloading() {
    let now = clock_gettime(ClockId::Monotonic);
    let microseconds = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
    notify(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}"));
}

/// The daemon is about to end.
pub fn stopping() {
    notify("STOPPING=1");
}

/// The line that `systemctl status` shows.
pub fn status(line: &str) {
    notify(&format!("STATUS={}", printable(line)));
}

fn notify(state: &str) {
    let Some(socket) = env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty()) else { return };
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddrUnix::new_abstract_name(name),
        None => SocketAddrUnix::new(&*socket),
    };
    let sent = address.and_then(|address| {
        // Nobody waits for a manager that reads nothing.
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        sendto(&socket, state.as_bytes(), SendFlags::NOSIGNAL, &address)
    });
    if let Err(error) = sent {
        tracing::debug!(%error, "the service manager was not told");
    }
}

/// Tells the manager again and again that the daemon does not hang. It belongs to the loop that
/// serves: if that hangs, the manager is told nothing, and starts another daemon.
#[derive(Debug)]
pub struct Watchdog {
    every: Option<Duration>,
    next: Instant,
}

impl Watchdog {
    /// None: nobody watches.
    pub fn none() -> Self {
        Watchdog { every: None, next: Instant::now() }
    }

    /// The one that the manager asks for.
    pub fn from_environment() -> Self {
        let number = |variable| env::var(variable).ok()?.parse::<u64>().ok();
        let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let patience = number("WATCHDOG_USEC").filter(|_| is_ours).map(Duration::from_micros);
        Watchdog { every: patience.map(|patience| patience / 2), ..Watchdog::none() }
    }

    /// Waits until it is time, and tells the manager.
    pub async fn due(&mut self) {
        let Some(every) = self.every else { return std::future::pending().await };
        sleep_until(self.next).await;
        notify("WATCHDOG=1");
        self.next = Instant::now() + every;
    }
}

/// Whether what is written to stderr goes to the journal.
pub fn logs_to_journal() -> bool {
    let stderr = rustix::fs::fstat(rustix::stdio::stderr());
    let stream = stderr.map(|stderr| format!("{}:{}", stderr.st_dev, stderr.st_ino));
    env::var("JOURNAL_STREAM").is_ok_and(|journal| stream == Ok(journal))
}

/// What begins a line in the journal, so that it gets its priority.
pub fn priority(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        Level::DEBUG | Level::TRACE => "<7>",
    }
}
