//! `easy-invite release`: frees the uses that a lost chat server has reserved.

use clap::builder::NonEmptyStringValueParser;
use serde_json::json;

use super::context::Context;
use super::input::confirm;
use super::print::say;

/// Free the uses that a lost chat server has reserved
///
/// While somebody registers, a use of their invite is reserved. If several machines share a store,
/// only the chat server that reserved a use knows what became of it. While that server is away, the
/// use stays reserved. `easy-invite check` names such uses and the server's id. If the server never
/// comes back, this command frees them. If the server had just made an account with such a use, the
/// invite can make a second account.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: easy-invite release --server 4k7xw2m9")]
pub struct Arguments {
    /// The id of the chat server, as `easy-invite check` prints it
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    server: String,

    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
}

pub async fn run(Arguments { server, yes }: Arguments, context: &Context) -> anyhow::Result<()> {
    let (store, invites) = context.open_existing().await?;
    for host in invites.hosts() {
        let here = invites.chat_server().hello(host.clone()).await.is_ok_and(|hook| hook.server == server);
        anyhow::ensure!(!here, "the chat server {server} is connected, and settles its uses itself");
    }
    let question = format!(
        "Free every use that the chat server {server} has reserved? If it made an account with one, the invite \
         can make a second one."
    );
    confirm(yes, &question)?;
    let released = store.release_of_server(server.clone(), invites.now()).await?;
    let text = format!("uses of the chat server {server} freed: {released}");
    context.print(json!({"server": server, "released": released}), text)?;
    if released == 0 {
        say("no open use is reserved by a chat server with this id: `easy-invite check` shows the ids");
    }
    Ok(())
}
