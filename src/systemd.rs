//! Notifications to the service manager (sd_notify(3)), and the format of its journal's lines
//! (sd-daemon(3)). Without systemd, these functions do nothing.

use std::env;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, sendto, socket_with};
use rustix::time::{ClockId, clock_gettime};
use tokio::time::{Instant, sleep_until};
use tracing::Level;

use crate::texts::printable;

/// Tells the service manager that the daemon is ready.
pub fn ready() {
    notify("READY=1");
}

/// Tells the service manager that the daemon reloads its configuration. [`ready`] ends this.
pub fn reloading() {
    let now = clock_gettime(ClockId::Monotonic);
    let microseconds = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
    notify(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}"));
}

/// Tells the service manager that the daemon is stopping.
pub fn stopping() {
    notify("STOPPING=1");
}

/// Sets the line that `systemctl status` shows.
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
        // A manager that does not read must not block the daemon.
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        sendto(&socket, state.as_bytes(), SendFlags::NOSIGNAL, &address)
    });
    if let Err(error) = sent {
        tracing::debug!(%error, "the service manager was not told");
    }
}

/// Tells the service manager regularly that the daemon does not hang. The loop that serves the chat
/// server calls it: if that loop hangs, the manager hears nothing and restarts the daemon.
#[derive(Debug)]
pub struct Watchdog {
    every: Option<Duration>,
    next: Instant,
}

impl Watchdog {
    /// A watchdog that sends nothing.
    pub fn none() -> Self {
        Watchdog { every: None, next: Instant::now() }
    }

    /// The watchdog that the service manager asks for, if it does.
    pub fn from_environment() -> Self {
        let number = |variable| env::var(variable).ok()?.parse::<u64>().ok();
        let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let patience = number("WATCHDOG_USEC").filter(|_| is_ours).map(Duration::from_micros);
        Watchdog { every: patience.map(|patience| patience / 2), ..Watchdog::none() }
    }

    /// Waits until the next notification is due, and sends it.
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

/// The beginning of a line, which gives it its priority in the journal.
pub fn priority(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        Level::DEBUG | Level::TRACE => "<7>",
    }
}
