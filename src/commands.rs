//! The commands that users run from their chat apps, one a file: its node and words, who may run
//! it, its form and what it does. Their input and output is plain data, which `xmpp` turns into
//! stanzas.

mod choices;
mod command;
mod create_account;
mod form;
mod invitation;
mod invite;
mod invites_of;
mod my_invites;
mod new_invite;
mod password_reset;
mod requester;

pub use command::{Argument, Command, Outcome, Word};
pub use form::{Field, Form, Kind, Submission, boolean, date_time};
pub use invitation::invitation;
pub use requester::Requester;

/// All commands, in the order in which clients see them.
pub static COMMANDS: [Command; 6] = [
    new_invite::COMMAND,
    create_account::COMMAND,
    password_reset::COMMAND,
    invite::COMMAND,
    my_invites::COMMAND,
    invites_of::COMMAND,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_node_of_its_own() {
        for command in &COMMANDS {
            assert_eq!(COMMANDS.iter().filter(|other| other.node == command.node).count(), 1, "{}", command.node);
        }
    }
}
