//! The program `easy-invite`.

use std::process::ExitCode;

fn main() -> ExitCode {
    easy_invite::cli::main()
}
