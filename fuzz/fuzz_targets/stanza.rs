//! Bytes on the component's stream. The daemon answers every request once, goes on, and keeps
//! nothing.
//!
//! An input is a number of lines. Each is sent when the one before is answered. In a line,
//! `{token}` and `{session}` stand for the last ones that the daemon told, and the words below for
//! text beyond its bounds.
#![no_main]

use easy_invite_fuzz::{Server, without_growth};
use libfuzzer_sys::fuzz_target;

/// The line with the words replaced: by too deep a nesting, too long an attribute, too large a
/// text.
fn expanded(line: &str) -> String {
    let deep = || format!("{}{}", "<a>".repeat(2000), "</a>".repeat(2000));
    let line = line.replacen("{deep}", &deep(), 1);
    let line = line.replacen("{long}", &"x".repeat(5000), 2);
    line.replacen("{large}", &"x".repeat(70_000), 2)
}

fuzz_target!(|input: &[u8]| {
    without_growth(|| {
        Server::run(async |server| {
            for line in input.split(|byte| *byte == b'\n') {
                match std::str::from_utf8(line) {
                    Ok(text) => drop(server.send(&expanded(&server.filled_in(text))).await),
                    Err(_) => server.send_bytes(line).await,
                }
            }
        });
    });
});
