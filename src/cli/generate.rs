//! `easy-invite generate`: makes invites and prints their links.

use std::cell::OnceCell;
use std::future::ready;
use std::io::{self, Write};

use futures::{StreamExt, stream};
use jid::DomainPart;

use super::context::{Context, served_host};
use super::hook::explained;
use super::input::wrong_usage;
use super::print::{self, say};
use super::progress::Progress;
use crate::chat_server::{Answer, Hook, NoAnswer};
use crate::generate::Options;
use crate::invite_json::InviteJson;
use crate::invites::{Invites, Issued};
use crate::jids;
use crate::policy::Wish;
use crate::qr;

/// How many invites are made at a time. SQLite commits them together. On PostgreSQL some wait for a
/// connection, and the last of them must get one before the store gives up.
const AT_A_TIME: usize = 32;

/// Make an invite and print its link(s)
///
/// Prints the link for people, if the host has a landing page, then the xmpp: link for chat
/// clients. The links contain the invite's secret and cannot be shown again. Without options, the
/// invite registers one account. If the running daemon knows that nobody can use the link at
/// present, a warning on stderr says why.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  easy-invite generate example.org
  easy-invite generate example.org --username carol --expires 4w --qr
  easy-invite generate example.org --contact alice@example.org --uses 5
  easy-invite generate example.org --reset bob
  easy-invite generate example.org --count 30 --note \"workshop in May\" > links.txt")]
pub struct Arguments {
    /// The VirtualHost on which the invite is valid
    #[arg(value_parser = jids::domain)]
    host: DomainPart,

    #[command(flatten)]
    options: Options,

    /// Make N invites, and print one link per line: the landing page's, or else the xmpp: link
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,

    /// Show the link as a QR code as well
    #[arg(long)]
    qr: bool,
}

pub async fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    let several = arguments.count > 1;
    if several && arguments.options.for_one_account() {
        return Err(wrong_usage("--count makes several invites, --username and --reset are for one alone"));
    }
    if arguments.qr && (several || context.json) {
        return Err(wrong_usage("--qr draws one invite for people, so it goes neither with --count nor --json"));
    }
    let (count, qr) = (arguments.count, arguments.qr);
    let invites = context.open_or_make().await?;
    let host = served_host(&invites, &arguments.host)?;
    let wish = arguments.options.wish(host.clone()).map_err(anyhow::Error::msg)?;
    let hook = invites.hello(&host).await;
    // Without an answer, it is not known what the chat server cannot do, and the invite is made.
    if let Some(why) = hook.as_ref().ok().and_then(|hook| hook.never(wish.invite_type.purpose())) {
        anyhow::bail!("{why}. Invites to {host} can only make contacts: --contact JID --contact-only");
    }
    if several {
        return make_many(&invites, wish, count, hook, context).await;
    }
    let issued = invites.create(wish).await?;
    print_issued(&issued, qr, &invites, hook, context)
}

/// Prints an invite with its new links, and warns of what keeps people from using them. `hook`: the
/// answer of the hook of the invite's host.
pub fn print_issued(
    issued: &Issued,
    qr: bool,
    invites: &Invites,
    hook: Answer<Hook>,
    context: &Context,
) -> anyhow::Result<()> {
    context.print(InviteJson::issued(issued, invites.now()), described(issued))?;
    if qr {
        let mut stdout = io::stdout().lock();
        write!(stdout, "\n{}", qr::for_terminal(best_link(issued), &stdout)?)?;
    }
    warn(issued, hook);
    Ok(())
}

/// The link to hand out: that of the landing page, if there is one.
fn best_link(issued: &Issued) -> &str {
    issued.landing_url.as_deref().unwrap_or(&issued.uri)
}

fn described(issued: &Issued) -> String {
    let links: Vec<_> = issued.landing_url.iter().chain([&issued.uri]).map(String::as_str).collect();
    format!("{}\n\n{}", links.join("\n"), print::summary(&issued.invite))
}

/// Makes several invites at a time and prints each as soon as it is stored. The first failure stops
/// it.
async fn make_many(
    invites: &Invites,
    wish: Wish,
    count: u32,
    hook: Answer<Hook>,
    context: &Context,
) -> anyhow::Result<()> {
    // Later failures mostly have the same cause.
    let first_failure = OnceCell::new();
    let wanted = stream::iter(0..count).take_while(|_| ready(first_failure.get().is_none()));
    let mut made = wanted.map(|_| invites.create(wish.clone())).buffer_unordered(AT_A_TIME);
    let mut progress = Progress::beside_output();
    let (mut printed, mut hook) = (0, Some(hook));
    while let Some(result) = made.next().await {
        let shown = result.map_err(anyhow::Error::from).and_then(|issued| {
            context.print(InviteJson::issued(&issued, invites.now()), best_link(&issued))?;
            if let Some(hook) = hook.take() {
                warn(&issued, hook);
            }
            Ok(())
        });
        match shown {
            Ok(()) => printed += 1,
            Err(error) => drop(first_failure.set(error)),
        }
        progress.at(printed, u64::from(count));
    }
    progress.end();
    drop(made);
    match first_failure.into_inner() {
        None => Ok(()),
        Some(error) if error.is::<io::Error>() => Err(error),
        Some(error) => Err(error.context(format!("{printed} of {count} invites were made"))),
    }
}

/// Warns of what keeps people from using a link that was printed, as far as a running daemon knows.
fn warn(issued: &Issued, hook: Answer<Hook>) {
    let host = &issued.invite.host;
    match (hook, &issued.unchecked) {
        // Somebody has to mend this. A chat server that is only away comes back by itself.
        (Err(reason @ (NoAnswer::NotSetUp(_) | NoAnswer::Late(_))), _) => say(format_args!(
            "warning: nobody can use an invite of {host} at present: {}. easy-invite check tells whether it is mended",
            explained(host, reason)
        )),
        (_, Some(reason)) => {
            say(format_args!("warning: could not check whether the accounts exist: {reason}"));
        }
        _ => (),
    }
}
