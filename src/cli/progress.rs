//! Progress of long work, on stderr.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Reports a count from time to time: often and in place on a terminal, seldom and line by line in
/// a log.
pub struct Progress {
    every: Duration,
    in_place: bool,
    last: Instant,
    shown: bool,
}

impl Progress {
    /// For work that prints results meanwhile. If they go to the same terminal, nothing is drawn
    /// there: it would garble them, and they show the progress themselves.
    pub fn beside_output() -> Self {
        Self::drawn(io::stderr().is_terminal() && !io::stdout().is_terminal())
    }

    /// For work that prints nothing before it is done.
    pub fn before_output() -> Self {
        Self::drawn(io::stderr().is_terminal())
    }

    /// Reports nothing during the first interval, so quick work stays silent.
    fn drawn(in_place: bool) -> Self {
        let every = Duration::from_millis(if in_place { 250 } else { 5000 });
        Progress { every, in_place, last: Instant::now(), shown: false }
    }

    /// Reports that `done` of `total` are done, if the interval is over. `None`: the total is not
    /// known.
    pub fn at(&mut self, done: u64, total: impl Into<Option<u64>>) {
        if self.last.elapsed() < self.every {
            return;
        }
        (self.last, self.shown) = (Instant::now(), true);
        // A closed stderr is no reason to stop the work.
        let of = total.into().map(|total| format!(" of {total}")).unwrap_or_default();
        let _ = match self.in_place {
            true => write!(io::stderr(), "\r{done}{of} "),
            false => writeln!(io::stderr(), "easy-invite: {done}{of}"),
        };
    }

    /// Removes what was drawn in place.
    pub fn end(self) {
        if self.in_place && self.shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
