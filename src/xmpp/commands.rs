//! The commands, one a file: its form, what it does, and its result.

pub mod create_account;
mod invitation;
pub mod new_invite;
pub mod password_reset;
