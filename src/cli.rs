//! The command line: what can be typed, and how everything ends. Each command has a file of its own below.
//!
//! What a command prints goes to stdout; messages and logs go to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage.

mod backup;
mod check;
mod confirm;
mod copying;
mod forget;
mod generate;
mod init;
mod list;
mod migrate_store;
mod progress;
mod prosody_module;
mod release;
mod restore;
mod revoke;
mod run;
mod show;
mod text;

use std::io::{self, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::Context as _;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use jid::DomainPart;
use jiff::Timestamp;
use tracing_subscriber::filter::{LevelFilter, Targets, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::chat_server::ChatServer;
use crate::config::{self, Config};
use crate::control::Daemon;
use crate::invite::Token;
use crate::invites::Invites;
use crate::store::Store;
use crate::texts::printable;

/// The variable that says what is logged, in the notation of `RUST_LOG`.
const LOG_VARIABLE: &str = "EASY_INVITE_LOG";

const EXIT_FAILED: u8 = 1;
const EXIT_USAGE: u8 = 2;

/// Invite-only registration for XMPP servers
///
/// easy-invite makes links by which people register on an XMPP server whose registration is otherwise closed, each link
/// as often as it is meant to be used, and become contacts of whoever invited them. It runs beside Prosody as an
/// external component; the commands here work on its store directly, whether it runs or not.
#[derive(Debug, Parser)]
#[command(
    name = "easy-invite",
    version,
    max_term_width = 100,
    after_help = "First steps: `easy-invite init --host example.org` writes a configuration and says what to add to \
                  Prosody's; `easy-invite run` is the daemon; `easy-invite check` says whether all is well; \
                  `easy-invite generate example.org` makes an invite.\n\n\
                  Exit codes: 0 done, 1 failed, 2 wrong usage. What is logged (to stderr): $EASY_INVITE_LOG, for \
                  example \"debug\"."
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,

    /// The configuration [default: $EASY_INVITE_CONFIG, ./config.toml, /etc/easy-invite/config.toml]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Everywhere")]
    config: Option<PathBuf>,

    /// Print JSON, one value a line
    #[arg(long, global = true, help_heading = "Everywhere")]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Arguments),
    Init(init::Arguments),
    Check(check::Arguments),
    Generate(generate::Arguments),
    List(list::Arguments),
    Show(show::Arguments),
    Revoke(revoke::Arguments),
    Backup(backup::Arguments),
    Restore(restore::Arguments),
    MigrateStore(migrate_store::Arguments),
    Forget(forget::Arguments),
    Release(release::Arguments),
    ProsodyModule(prosody_module::Arguments),
}

/// What every command is told.
#[derive(Debug)]
struct Context {
    config: Option<PathBuf>,
    json: bool,
}

/// What was wrong has been printed already.
#[derive(Debug, thiserror::Error)]
#[error("failed")]
struct Reported;

/// Reads the command line.
///
/// # Errors
/// clap's, which may also be a request for help.
pub fn parse() -> anyhow::Result<Arguments> {
    Ok(Arguments::try_parse()?)
}

/// Does what the command line says.
///
/// # Errors
/// With words for the operator.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let context = Context { config: arguments.config, json: arguments.json };
    log(matches!(arguments.command, Command::Run(_)))?;
    let runtime = tokio::runtime::Runtime::new().context("the runtime cannot be started")?;
    runtime.block_on(async {
        match arguments.command {
            Command::Run(arguments) => run::run(arguments, &context).await,
            Command::Init(arguments) => init::run(arguments, &context),
            Command::Check(arguments) => check::run(arguments, &context).await,
            Command::Generate(arguments) => generate::run(arguments, &context).await,
            Command::List(arguments) => list::run(arguments, &context).await,
            Command::Show(arguments) => show::run(arguments, &context).await,
            Command::Revoke(arguments) => revoke::run(arguments, &context).await,
            Command::Backup(arguments) => backup::run(arguments, &context).await,
            Command::Restore(arguments) => restore::run(arguments, &context).await,
            Command::MigrateStore(arguments) => migrate_store::run(arguments, &context).await,
            Command::Forget(arguments) => forget::run(arguments, &context).await,
            Command::Release(arguments) => release::run(arguments, &context).await,
            Command::ProsodyModule(arguments) => prosody_module::run(arguments, &context),
        }
    })
}

/// Tells the operator, once, why something failed, and gives the exit code for it.
pub fn report(error: &anyhow::Error) -> ExitCode {
    if let Some(error) = error.downcast_ref::<clap::Error>() {
        if !error.use_stderr() {
            // Help or the version were asked for. That nobody reads them to the end is no failure.
            drop(error.print());
            return ExitCode::SUCCESS;
        }
        drop(write!(io::stderr(), "{}", without_secrets(&error.render().to_string())));
        return ExitCode::from(EXIT_USAGE);
    }
    let reader_left = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    if error.downcast_ref::<io::Error>().is_some_and(reader_left) {
        return ExitCode::SUCCESS; // as in `easy-invite list | head -n 1`
    }
    if !error.is::<Reported>() {
        complain(format_args!("{error:#}"));
    }
    ExitCode::from(EXIT_FAILED)
}

/// A message to the operator. That nobody may read it is no reason to fail.
fn complain(message: impl std::fmt::Display) {
    drop(writeln!(io::stderr(), "easy-invite: {}", printable(without_secrets(&message.to_string()))));
}

/// Takes out what looks like a token among the arguments, and the passwords of URLs: messages are pasted into chats and
/// bug reports.
fn without_secrets(message: &str) -> String {
    let arguments: Vec<String> = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let message = arguments.iter().fold(message.to_owned(), |message, argument| {
        let message = match password_of(argument) {
            Some(password) => message.replace(&format!(":{password}@"), ":…@"),
            None => message,
        };
        let values = argument.split(['?', '&']).filter(|pair| pair.starts_with("password="));
        values.fold(message, |message, pair| message.replace(pair, "password=…"))
    });
    let parts = arguments.iter().flat_map(|argument| argument.split(|c: char| !c.is_ascii_alphanumeric()));
    parts.filter(|part| Token::parse(part).is_some()).fold(message, |message, token| {
        // What was taken for a host is in lower case by now.
        message.replace(token, "…").replace(&token.to_ascii_lowercase(), "…")
    })
}

/// The password in `scheme://user:password@…`, whatever strange characters it was typed with.
fn password_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let (user, _) = rest.rsplit_once('@')?;
    user.split_once(':').map(|(_, password)| password)
}

/// A mistake in the usage that clap's own rules cannot express.
fn usage(command: &str, message: &str) -> anyhow::Error {
    let mut all = Arguments::command();
    all.build();
    let command = all.find_subcommand_mut(command);
    match command {
        Some(command) => command.error(ErrorKind::ArgumentConflict, message).into(),
        None => all.error(ErrorKind::ArgumentConflict, message).into(),
    }
}

/// Sends logs to stderr.
fn log(daemon: bool) -> anyhow::Result<()> {
    let chosen = std::env::var(LOG_VARIABLE).ok().filter(|chosen| !chosen.trim().is_empty());
    // The commands say themselves what they did and what failed; the daemon has nothing but its log.
    let usual = if daemon { "warn,easy_invite=info" } else { "warn,easy_invite::store=off,easy_invite::xmpp=off" };
    let filter = Targets::from_str(chosen.as_deref().unwrap_or(usual))
        // The error's text has its cause in it already.
        .map_err(|error| {
            anyhow::anyhow!("${LOG_VARIABLE}: expected something like \"info\" or \"easy_invite=debug\": {error}")
        })?;
    // At TRACE, tokio_xmpp logs whole stanzas, and with them tokens.
    let no_stanzas =
        filter_fn(|metadata| metadata.level() <= &LevelFilter::DEBUG || !metadata.target().starts_with("tokio_xmpp"));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false);
    let registry = tracing_subscriber::registry().with(filter).with(no_stanzas);
    if daemon {
        registry.with(lines).init()
    } else {
        registry.with(lines.without_time()).init()
    }
    Ok(())
}

impl Context {
    fn config(&self) -> anyhow::Result<Config> {
        Ok(Config::load(&config::find(self.config.clone())?)?)
    }

    /// The service over the configured store, which has to be there.
    async fn invites(&self) -> anyhow::Result<Invites> {
        Ok(self.open(false).await?.1)
    }

    /// The configured store, which is made if it may be, and the service over it; the chat server is asked through the
    /// daemon, if it runs.
    async fn open(&self, make: bool) -> anyhow::Result<(Store, Invites)> {
        let config = self.config()?;
        let store = if make { Store::open(&config.store).await } else { Store::open_existing(&config.store).await }?;
        let invites = service(store.clone(), &config, Daemon::at(config.control_socket.clone()).chat_server());
        Ok((store, invites))
    }
}

/// The service as configured, with the machine's clock.
fn service(store: Store, config: &Config, chat_server: ChatServer) -> Invites {
    Invites::new(store, config.hosts.clone(), config.limits, chat_server, now)
}

/// The present instant.
#[expect(clippy::disallowed_methods, reason = "this is where the clock comes from")]
fn now() -> Timestamp {
    Timestamp::now()
}

/// What stands in stdin, if it is not longer than `longest` bytes.
fn read_stdin(longest: u64) -> anyhow::Result<String> {
    let text = io::read_to_string(io::stdin().lock().take(longest + 1)).context("stdin")?;
    anyhow::ensure!(text.len() as u64 <= longest, "stdin: longer than {longest} bytes");
    Ok(text)
}

/// The served host in an argument, in whatever case it was typed.
fn served_host(invites: &Invites, text: &str) -> anyhow::Result<DomainPart> {
    let host = config::domain(text).map_err(anyhow::Error::msg)?;
    match invites.policy(host.as_str()) {
        Ok((host, _)) => Ok(host.clone()),
        Err(refusal) => {
            let served: Vec<&str> = invites.hosts().map(|host| host.as_str()).collect();
            Err(anyhow::anyhow!("{refusal}: it serves {}", served.join(", ")))
        }
    }
}
