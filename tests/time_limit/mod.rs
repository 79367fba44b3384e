//! Commands that must not hang.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Runs a command without input to its end, which has to come within `limit`.
pub fn run(command: &mut Command, limit: Duration) -> Output {
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > limit {
            child.kill().unwrap();
            panic!("{command:?} hangs");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap()
}
