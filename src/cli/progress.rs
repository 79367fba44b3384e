//! How far something is that takes long, on stderr.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Reports a count from time to time: in place on a terminal, seldom and line by line in a log.
pub struct Progress {
    every: Duration,
    in_place: bool,
    last: Instant,
    shown: bool,
}

impl Progress {
    /// Of something that prints meanwhile. Where the output goes to the same terminal, that is
    /// progress enough, and drawing over it would garble it.
    pub fn beside_output() -> Self {
        Self::drawn(io::stderr().is_terminal() && !io::stdout().is_terminal())
    }

    /// Of something that prints nothing before it is done.
    pub fn before_output() -> Self {
        Self::drawn(io::stderr().is_terminal())
    }

    /// Nothing is reported before the first interval is over, so what is quick stays silent.
    fn drawn(in_place: bool) -> Self {
        let every = Duration::from_millis(if in_place { 250 } else { 5000 });
        Progress { every, in_place, last: Instant::now(), shown: false }
    }

    /// So many are done, of so many.
    pub fn at(&mut self, done: u64, total: u64) {
        if self.last.elapsed() < self.every {
            return;
        }
        (self.last, self.shown) = (Instant::now(), true);
        // Whether anybody reads this is of no interest to the work.
        let _ = match self.in_place {
            true => write!(io::stderr(), "\r{done} of {total} "),
            false => writeln!(io::stderr(), "easy-invite: {done} of {total}"),
        };
    }

    /// Removes what was drawn in place.
    pub fn end(self) {
        if self.in_place && self.shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
