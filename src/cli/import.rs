//! `easy-invite import`: invites and accounts that another program knows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::Subcommand;
use jid::DomainPart;
use serde_json::json;
use tokio::sync::mpsc;

use super::context::{Context, now, operator};
use super::input::wrong_usage;
use super::lua::Value as Setting;
use super::print::say;
use super::progress::Progress;
use super::prosody_config::ProsodyConfig;
use crate::config::Config;
use crate::database::StoreUrl;
use crate::import::plan::Figures;
use crate::import::{Item, Reason, ejabberd, own, prosody};
use crate::invite::{Program, SAFE_LENGTH};
use crate::invites::{Outcome, Target, Told, import};
use crate::jids;
use crate::refusal::Refusal;
use crate::store::{Problem, Store, StoreError};

/// Import invites from another program
///
/// Links that were sent keep working. Who invited whom is imported, too. The import changes nothing
/// in the other program, which may run meanwhile. Run it again to import what is new since: invites
/// that are here already do not change, except that imported invites end here if they have since
/// been used or revoked there. The last line has all the figures.
///
/// Only the hosts of the configuration are imported.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  easy-invite import prosody
  easy-invite import prosody --sql sqlite:/var/lib/prosody/prosody.sqlite --dry-run
  ejabberdctl list_invites example.org | easy-invite import ejabberd - --dry-run
  easy-invite import ejabberd --sql postgres://ejabberd@localhost/ejabberd
  easy-invite import easy-invite invites.jsonl

With --json, the last line has the fields dry_run, imported, pending and ended (of the imported invites), \
                        short_tokens (of the pending ones), accounts, already (invites that are here already), \
                        ended_since (imported before, and ended at the source since), skipped (how many for each \
                        reason), left_out (data that easy-invite does not use, and how many invites have it), \
                        other_hosts (hosts that were not imported) and left (for each host, how many imported \
                        invites are missing at the source and still stay pending, because the source may not be \
                        complete).")]
pub struct Arguments {
    #[command(subcommand)]
    source: Source,
}

/// The programs. Each is a row here, and an arm in [`run`].
#[derive(Debug, Subcommand)]
enum Source {
    /// Import from Prosody's own modules: mod_invites and mod_invites_tracking
    Prosody {
        /// Prosody's data folder [default: what its configuration says, or /var/lib/prosody]
        #[arg(long, value_name = "DIR", conflicts_with = "sql")]
        data: Option<PathBuf>,

        /// Prosody's database, if it keeps its data in SQL: sqlite:FILE, or
        /// postgres://USER@HOST/DATABASE with the password in $PGPASSWORD or ~/.pgpass
        #[arg(long, value_name = "URL")]
        sql: Option<String>,

        #[command(flatten)]
        options: Options,
    },

    /// Import from ejabberd's mod_invites
    #[command(override_usage = "easy-invite import ejabberd [OPTIONS] FILE [HOST]...\n       \
                                easy-invite import ejabberd [OPTIONS] --sql URL [HOST]...")]
    Ejabberd {
        /// ejabberd's SQL database: sqlite:FILE or postgres://USER@HOST/DATABASE. For MySQL and MS
        /// SQL, use what `ejabberdctl list_invites` prints
        #[arg(long, value_name = "URL")]
        sql: Option<String>,

        /// What `ejabberdctl list_invites`, the command list_invites of its HTTP API, or
        /// `ejabberdctl dump_table FILE invite_token` writes; - reads it from stdin
        file: Option<PathBuf>,

        #[command(flatten)]
        options: Options,
    },

    /// Import from another easy-invite
    EasyInvite {
        /// What `easy-invite export` prints; - reads it from stdin
        file: PathBuf,

        #[command(flatten)]
        options: Options,
    },
}

/// What every source takes.
#[derive(Debug, clap::Args)]
struct Options {
    /// Only these hosts
    #[arg(value_name = "HOST", value_parser = jids::domain)]
    hosts: Vec<DomainPart>,

    /// Read everything and say what would be done, but write nothing
    #[arg(long)]
    dry_run: bool,

    /// Name each skipped entry
    #[arg(long)]
    verbose: bool,
}

pub async fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    match arguments.source {
        Source::Prosody { data, sql, options } => {
            let source = of_prosody(data, database(sql, prosody::database)?)?;
            let read = |hosts, items| prosody::read(source, hosts, now(), items);
            take(options, Some(Program::Prosody), read, context).await
        }
        Source::Ejabberd { sql, file, mut options } => {
            let source = match (database(sql, ejabberd::database)?, file) {
                (Some(url), host) => {
                    let host = host.map(|host| jids::domain(&host.to_string_lossy()).map_err(wrong_usage));
                    options.hosts.extend(host.transpose()?);
                    ejabberd::Source::Database(url)
                }
                (None, Some(file)) => ejabberd::Source::File(file),
                (None, None) => return Err(wrong_usage("name a FILE, or --sql URL")),
            };
            let read = |hosts, items| ejabberd::read(source, hosts, now(), items);
            take(options, Some(Program::Ejabberd), read, context).await
        }
        Source::EasyInvite { file, options } => {
            take(options, None, |_, items| own::read_file(file, items), context).await
        }
    }
}

/// Where Prosody's data is: where the arguments say, or else its configuration.
fn of_prosody(data: Option<PathBuf>, sql: Option<StoreUrl>) -> anyhow::Result<prosody::Source> {
    if let Some(url) = sql {
        return Ok(prosody::Source::Sql(url));
    }
    if let Some(folder) = data {
        return Ok(prosody::Source::Folder(folder));
    }
    let config = ProsodyConfig::find().unwrap_or_else(|problem| {
        say(problem);
        None
    });
    let of_hosts =
        config.iter().flat_map(|it| &it.hosts).filter(|host| host.component.is_none()).map(|host| &host.section);
    let sections = config.iter().map(|it| &it.global).chain(of_hosts);
    let mut storages =
        sections.flat_map(|section| ["storage", "default_storage"].into_iter().filter_map(|key| section.get(key)));
    if let Some((_, place)) = storages.find(|(storage, _)| *storage != Setting::Text("internal".to_owned())) {
        anyhow::bail!(
            "According to {place}, Prosody does not keep all data in files. Name where it keeps invite_token: its \
             database with --sql URL, or its folder with --data DIR"
        );
    }
    match config.as_ref().and_then(|config| config.global.get("data_path")) {
        Some((Setting::Text(folder), _)) => Ok(prosody::Source::Folder(folder.into())),
        _ => Ok(prosody::Source::Folder("/var/lib/prosody".into())),
    }
}

/// Another program's database, if one is named. Not parsed by clap, which would repeat a bad URL
/// with its password.
fn database(
    sql: Option<String>,
    parse: impl FnOnce(&str) -> Result<StoreUrl, String>,
) -> anyhow::Result<Option<StoreUrl>> {
    sql.map(|url| parse(&url).map_err(|problem| wrong_usage(format!("--sql: {problem}")))).transpose()
}

/// Imports what a source sends, and prints the result.
async fn take<R: Future<Output = anyhow::Result<()>>>(
    options: Options,
    program: Option<Program>,
    read: impl FnOnce(Vec<DomainPart>, mpsc::Sender<Item>) -> R,
    context: &Context,
) -> anyhow::Result<()> {
    let config = context.config()?;
    let hosts = wanted(&config, &options.hosts)?;
    let store = match options.dry_run {
        false => Some(Store::open(&config.store).await?.by(operator())),
        true => match Store::open_existing(&config.store).await {
            Err(StoreError { problem: Problem::Missing, .. }) => None,
            opened => Some(opened?),
        },
    };
    let mut progress = Progress::before_output();
    let tell = |told: Told<'_>| match told {
        Told::At(items) => progress.at(items, None),
        Told::Skipped(skipped) if options.verbose => {
            let host = skipped.host.as_ref().map(|host| format!(" of {host}")).unwrap_or_default();
            say(format_args!("{}: {}{host} skipped: {}", skipped.place, skipped.kind.as_ref(), skipped.reason));
        }
        Told::Skipped(_) => (),
    };
    let (dry_run, wanted) = (options.dry_run, hosts.iter().cloned().collect());
    let target = Target { store, hosts, program, dry_run, now: now() };
    let (outcome, ended) = import(&target, |items| read(wanted, items), tell).await;
    progress.end();
    if let Err(error) = ended {
        return Err(match outcome == Outcome::default() {
            true => error,
            false => error.context(format!("{}, and then", in_words(&outcome, dry_run))),
        });
    }
    context.print(in_json(&outcome, dry_run), in_words(&outcome, dry_run))?;
    if outcome.figures.short_tokens > 0 {
        let (one, many) = ("pending invite has a token", "pending invites have tokens");
        let count = counted(outcome.figures.short_tokens, one, many);
        say(format_args!(
            "{count} of fewer than {SAFE_LENGTH} characters, which can perhaps be guessed: see easy-invite check"
        ));
    }
    for (host, count) in &outcome.left {
        say(format_args!(
            "{} imported earlier for {host}, can still be used here, and cannot be found this time: this may not be \
             where the invites of {host} are. If they were used or revoked there, end them here with easy-invite \
             revoke",
            counted(*count, "invite was", "invites were")
        ));
    }
    let Figures { pending, ended, already, ended_since, skipped, .. } = &outcome.figures;
    if pending + ended + already == 0 && skipped.is_empty() {
        say("no invites were found there. If there should be some, this is not where they are: see docs/moving.md");
    }
    if *ended_since > 0 && skipped.contains_key(&Reason::Reserved) {
        say("a username may be free again: run the same import once more");
    }
    Ok(())
}

/// The hosts to import.
fn wanted(config: &Config, hosts: &[DomainPart]) -> anyhow::Result<BTreeSet<DomainPart>> {
    let served = || config.hosts.keys().cloned();
    if let Some(unknown) = hosts.iter().find(|host| !config.hosts.contains_key(*host)) {
        let refusal = Refusal::UnknownHost(unknown.to_string());
        anyhow::bail!("{refusal}: it serves {}", served().map(|host| host.to_string()).collect::<Vec<_>>().join(", "));
    }
    Ok(if hosts.is_empty() { served().collect() } else { hosts.iter().cloned().collect() })
}

fn in_json(outcome: &Outcome, dry_run: bool) -> serde_json::Value {
    let Outcome { figures, left_out, other_hosts, left } = outcome;
    let skipped: BTreeMap<_, _> = figures.skipped.iter().map(|(reason, count)| (reason.as_ref(), count)).collect();
    let other_hosts: Vec<_> = other_hosts.iter().map(ToString::to_string).collect();
    let left: BTreeMap<_, _> = left.iter().map(|(host, count)| (host.to_string(), count)).collect();
    json!({
        "dry_run": dry_run,
        "imported": figures.pending + figures.ended,
        "pending": figures.pending,
        "short_tokens": figures.short_tokens,
        "ended": figures.ended,
        "accounts": figures.accounts,
        "already": figures.already,
        "ended_since": figures.ended_since,
        "skipped": skipped,
        "left_out": left_out,
        "other_hosts": other_hosts,
        "left": left,
    })
}

fn in_words(outcome: &Outcome, dry_run: bool) -> String {
    let Outcome { figures, left_out, other_hosts, .. } = outcome;
    let mut words = format!(
        "{} {} ({} pending, {} ended), {}",
        if dry_run { "would import" } else { "imported" },
        counted(figures.pending + figures.ended, "invite", "invites"),
        grouped(figures.pending),
        grouped(figures.ended),
        counted(figures.accounts, "account with its inviter", "accounts with their inviters"),
    );
    if !figures.skipped.is_empty() {
        let reasons = figures.skipped.iter().map(|(reason, count)| format!("{} {reason}", grouped(*count)));
        let reasons: Vec<_> = reasons.collect();
        words += &format!("; {} skipped: {}", grouped(figures.skipped.values().sum()), reasons.join(", "));
    }
    if !other_hosts.is_empty() {
        let hosts: Vec<_> = other_hosts.iter().map(|host| host.as_str()).collect();
        words += &format!(" ({})", hosts.join(", "));
    }
    if !left_out.is_empty() {
        let names: Vec<_> = left_out.iter().map(|(name, count)| format!("{name} of {}", grouped(*count))).collect();
        words += &format!("; left out: {}", names.join(", "));
    }
    words += &format!("; {}", counted(figures.already, "was there already", "were there already"));
    if figures.ended_since > 0 {
        let since = "that was there has been used or revoked at the source since, and has ended";
        let since_many = "that were there have been used or revoked at the source since, and have ended";
        words += &format!("; {}", counted(figures.ended_since, since, since_many));
    }
    words
}

/// A number, and what it counts.
fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(count), if count == 1 { one } else { many })
}

/// A number as people read it: 1,904.
fn grouped(number: u64) -> String {
    match number {
        0..1000 => number.to_string(),
        _ => format!("{},{:03}", grouped(number / 1000), number % 1000),
    }
}
