//! The daemon and its command line, in one program.

use std::process::ExitCode;

use easy_invite::cli;

fn main() -> ExitCode {
    match cli::parse().and_then(cli::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => cli::report(&error),
    }
}
