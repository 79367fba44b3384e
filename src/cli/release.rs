//! `easy-invite release`: gives back what a chat server has reserved that is gone for good.

use std::io::{self, Write};

use clap::builder::NonEmptyStringValueParser;
use serde_json::json;

use super::confirm::confirm;
use super::{Context, complain};

/// Give back the uses that a lost chat server has reserved
///
/// Where several machines share a store, a use that is being made is known to the chat server that makes it alone: while
/// that is away, the use stays reserved. `easy-invite check` names such uses and the server's id. When the server never
/// comes back, this makes them free again; should it have made an account with one just before it was lost, the
/// invite makes a second one.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: easy-invite release --server 4k7xw2m9")]
pub struct Arguments {
    /// The id of the chat server, as `easy-invite check` prints it
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    server: String,

    /// Does not ask
    #[arg(long)]
    yes: bool,
}

pub async fn run(Arguments { server, yes }: Arguments, context: &Context) -> anyhow::Result<()> {
    let (store, invites) = context.open(false).await?;
    for host in invites.hosts() {
        let here = invites.chat_server().hello(host.clone()).await.is_ok_and(|hook| hook.server == server);
        anyhow::ensure!(!here, "the chat server {server} is there, and settles its uses itself");
    }
    let question = format!(
        "Give back every use that the chat server {server} has reserved? An account that it made with one may be made \
         twice then."
    );
    confirm("release", yes, &question)?;
    let released = store.release_of_server(server.clone()).await?;
    match context.json {
        true => writeln!(io::stdout(), "{}", json!({"server": server, "released": released}))?,
        false => writeln!(io::stdout(), "uses of the chat server {server} given back: {released}")?,
    }
    if released == 0 {
        complain("no use that it has reserved is open: is that its id? See `easy-invite check`");
    }
    Ok(())
}
