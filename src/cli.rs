//! The command line: the table of commands, the log, and how the program ends. Each command has a
//! file of its own.
//!
//! Results go to stdout; messages and logs go to stderr. Exit codes: 0 done, 1 failed, 2 wrong
//! usage; 78 if `run` fails, and will again until the operator changes something.
//!
//! Root may run these commands in folders of other users, so everything that they open for writing
//! goes through [`files`](crate::files): the store with SQLite's files beside it (any command), a
//! backup and the file that it grows in (`backup`), the control socket (`run` makes it, others
//! connect to it), the configuration (`init`), the module's files (`prosody-module --install`).
//! tests/as_root.rs puts links, pipes and files of others in their places.

mod backup;
mod check;
mod context;
mod edit;
mod export;
mod forget;
mod generate;
mod hook;
mod import;
mod init;
mod input;
mod list;
mod log;
mod logging;
mod lua;
mod migrate_store;
mod print;
mod progress;
mod prosody_config;
mod prosody_lines;
mod prosody_module;
mod regenerate;
mod release;
mod restore;
mod revoke;
mod run;
mod show;
mod tree;
mod whole_store;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use tracing::Level;

use context::Context;
use input::WrongUsage;
use print::{Reported, say, usage_without_secrets};
use run::Hopeless;

use crate::systemd;

const EXIT_FAILED: u8 = 1;
const EXIT_USAGE: u8 = 2;
const EXIT_HOPELESS: u8 = 78; // EX_CONFIG of sysexits.h

/// Invite-only registration for XMPP servers
///
/// easy-invite makes links that let people register on an XMPP server that is closed to everybody
/// else. You choose how often a link works, and whether it makes the newcomer and the inviter
/// contacts. The daemon runs beside Prosody as an external component. The commands work directly on
/// its store, whether the daemon runs or not.
#[derive(Debug, Parser)]
#[command(
    name = "easy-invite",
    version,
    max_term_width = 100,
    after_help = "First steps: `easy-invite init --host example.org --output /etc/easy-invite/config.toml` writes a \
                  configuration and says what to add to Prosody's; `easy-invite run` is the daemon; `easy-invite \
                  check` says whether it works; `easy-invite generate example.org` makes an invite.\n\n\
                  Exit codes: 0 done, 1 failed, 2 wrong usage; 78 if `run` cannot use its configuration, templates or \
                  store.\n\n\
                  Environment:\n  \
                    EASY_INVITE_CONFIG           The configuration file, if there is no --config\n  \
                    EASY_INVITE_JID              In place of component.jid\n  \
                    EASY_INVITE_SERVER           In place of component.server\n  \
                    EASY_INVITE_SECRET           In place of component.secret\n  \
                    EASY_INVITE_SECRET_FILE      In place of component.secret_file\n  \
                    EASY_INVITE_STORE            In place of store.url\n  \
                    EASY_INVITE_HOSTS            The hosts to serve, separated by commas or spaces\n  \
                    EASY_INVITE_PUBLIC_URL       In place of web.public_url\n  \
                    EASY_INVITE_LISTEN           In place of web.listen, if there are pages\n  \
                    EASY_INVITE_TRUSTED_PROXIES  In place of web.trusted_proxies\n  \
                    EASY_INVITE_METRICS_LISTEN   In place of metrics.listen\n  \
                    EASY_INVITE_LOG              How much is logged to stderr, for example \"debug\"\n  \
                    PROSODY_CONFIG               Prosody's configuration, if it is not in /etc/prosody\n  \
                    PGPASSWORD                   PostgreSQL's password, if the URL has none"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,

    /// The configuration file [default: $EASY_INVITE_CONFIG, ./config.toml,
    /// /etc/easy-invite/config.toml]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Everywhere")]
    config: Option<PathBuf>,

    /// Print JSON, one value per line
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
    Tree(tree::Arguments),
    Log(log::Arguments),
    Show(show::Arguments),
    Edit(edit::Arguments),
    Regenerate(regenerate::Arguments),
    Revoke(revoke::Arguments),
    Export(export::Arguments),
    Backup(backup::Arguments),
    Restore(restore::Arguments),
    MigrateStore(migrate_store::Arguments),
    Forget(forget::Arguments),
    Import(import::Arguments),
    Release(release::Arguments),
    ProsodyModule(prosody_module::Arguments),
}

impl Command {
    async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Command::Run(arguments) => run::run(arguments, context).await,
            Command::Init(arguments) => init::run(arguments, context),
            Command::Check(arguments) => check::run(arguments, context).await,
            Command::Generate(arguments) => generate::run(arguments, context).await,
            Command::List(arguments) => list::run(arguments, context).await,
            Command::Tree(arguments) => tree::run(arguments, context).await,
            Command::Log(arguments) => log::run(arguments, context).await,
            Command::Show(arguments) => show::run(arguments, context).await,
            Command::Edit(arguments) => edit::run(arguments, context).await,
            Command::Regenerate(arguments) => regenerate::run(arguments, context).await,
            Command::Revoke(arguments) => revoke::run(arguments, context).await,
            Command::Export(arguments) => export::run(arguments, context).await,
            Command::Backup(arguments) => backup::run(arguments, context).await,
            Command::Restore(arguments) => restore::run(arguments, context).await,
            Command::MigrateStore(arguments) => migrate_store::run(arguments, context).await,
            Command::Import(arguments) => import::run(arguments, context).await,
            Command::Forget(arguments) => forget::run(arguments, context).await,
            Command::Release(arguments) => release::run(arguments, context).await,
            Command::ProsodyModule(arguments) => prosody_module::run(arguments, context),
        }
    }
}

/// The definition of the command line, from which its help, its man pages and the completions of
/// shells are made.
pub fn definition() -> clap::Command {
    Arguments::command()
}

/// Does what the command line says, and tells the operator, once, if it failed.
pub fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(&error),
    }
}

fn run() -> anyhow::Result<()> {
    let mut definition = definition();
    let matches = definition.try_get_matches_from_mut(std::env::args_os())?;
    let arguments = Arguments::from_arg_matches(&matches)?;
    let context = Context { config_file: arguments.config, json: arguments.json };
    let is_daemon = matches!(arguments.command, Command::Run(_));
    let done = logging::init(is_daemon).map_err(|error| if is_daemon { Hopeless(error).into() } else { error });
    let done = done.and_then(|()| {
        let runtime = tokio::runtime::Runtime::new().context("the runtime cannot be started")?;
        runtime.block_on(arguments.command.run(&context))
    });
    if let (true, Err(error)) = (is_daemon, &done) {
        systemd::status(&format!("{error:#}"));
    }
    done.map_err(|error| match error.downcast::<WrongUsage>() {
        Ok(WrongUsage(problem)) => {
            let name = matches.subcommand_name().unwrap_or_default();
            let command = definition.find_subcommand(name).cloned();
            command.unwrap_or(definition).error(ErrorKind::ArgumentConflict, problem).into()
        }
        Err(error) => error,
    })
}

fn report(error: &anyhow::Error) -> ExitCode {
    if let Some(error) = error.downcast_ref::<clap::Error>() {
        if !error.use_stderr() {
            // Help or the version. It is no failure if the reader leaves before the end.
            drop(error.print());
            return ExitCode::SUCCESS;
        }
        drop(write!(io::stderr(), "{}", usage_without_secrets(&error.render().to_string())));
        return ExitCode::from(EXIT_USAGE);
    }
    let reader_left = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    if error.downcast_ref::<io::Error>().is_some_and(reader_left) {
        return ExitCode::SUCCESS; // as in `easy-invite list | head -n 1`
    }
    if !error.is::<Reported>() {
        let priority = if systemd::logs_to_journal() { systemd::priority(&Level::ERROR) } else { "" };
        drop(write!(io::stderr(), "{priority}"));
        say(format_args!("{error:#}"));
    }
    ExitCode::from(if error.is::<Hopeless>() { EXIT_HOPELESS } else { EXIT_FAILED })
}
