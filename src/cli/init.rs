//! `easy-invite init`: a first configuration.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use jid::DomainPart;
use rustix::fs::{Gid, Mode};
use serde_json::json;

use super::context::Context;
use super::print::complain;
use super::prosody_config::{ProsodyConfig, WhichProsody};
use super::prosody_lines::lines;
use crate::config;
use crate::files::Folder;
use crate::invite::Token;
use crate::jids;

/// The host and the secret in the example, which are replaced.
const EXAMPLE_HOST: &str = "example.org";
const EXAMPLE_SECRET: &str = "change me";

/// The store is beside the configuration, but not in /etc, which is no place for data.
const EXAMPLE_STORE: &str = "#url = \"sqlite:easy-invite.db\"";
const SYSTEM_STORE: &str = "url = \"sqlite:/var/lib/easy-invite/easy-invite.db\"";

/// The user of the daemon, and its group, as contrib/easy-invite.service has them.
const DAEMON: &str = "easy-invite";

/// Write a first configuration, and print what to add to Prosody's
///
/// The file has every key with its default. It also has a new random secret, so only its owner may
/// read it; if root runs this, that is the owner of its folder. If that is root, the group
/// easy-invite may read it as well, if there is one: the daemon's user is in it. A file that exists
/// is left as it is. A configuration in /etc has its store in /var/lib/easy-invite.
///
/// The lines for Prosody go to stdout, or to stderr if the configuration itself goes to stdout. If
/// Prosody's own configuration can be read, they keep the settings that are there and say where
/// each belongs.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: easy-invite init --host example.org --output /etc/easy-invite/config.toml")]
pub struct Arguments {
    /// The VirtualHost to serve
    #[arg(long, value_name = "HOST", default_value = EXAMPLE_HOST, value_parser = jids::domain)]
    host: DomainPart,

    /// The file to write, or - for stdout
    #[arg(long, short, value_name = "FILE", default_value = "config.toml")]
    output: PathBuf,

    #[command(flatten)]
    prosody: WhichProsody,
}

pub fn run(Arguments { host, output, prosody }: Arguments, context: &Context) -> anyhow::Result<()> {
    let secret = Token::generate()?;
    let text = first_config(&host, secret.reveal(), output.starts_with("/etc"));
    let prosody = prosody.config()?;
    let component = DomainPart::new(&format!("invite.{host}"))?.into_owned();
    prosody.as_ref().and_then(ProsodyConfig::namesake).iter().for_each(complain);
    let lua = lines(prosody.as_ref(), &host, &component, secret.reveal());
    let to_stdout = output == Path::new("-");
    if !to_stdout {
        write_new(&output, &text)?;
    }
    let file = (!to_stdout).then(|| output.display().to_string());
    let config = to_stdout.then_some(&text);
    if to_stdout && !context.json {
        write!(io::stdout(), "{text}")?;
        write!(io::stderr(), "{lua}")?;
        return Ok(());
    }
    context.print(json!({"file": file, "config": config, "prosody": lua}), lua.trim_end())?;
    if let Some(file) = file.filter(|_| !context.json) {
        complain(format_args!("{file} is written: adapt it to your server"));
    }
    Ok(())
}

/// The example, with this host and secret. Neither needs to be escaped in TOML.
fn first_config(host: &DomainPart, secret: &str, system_wide: bool) -> String {
    let text = config::EXAMPLE.replace(EXAMPLE_HOST, host.as_str()).replace(EXAMPLE_SECRET, secret);
    if system_wide { text.replace(EXAMPLE_STORE, SYSTEM_STORE) } else { text }
}

/// Lets the daemon's user read a file of root's.
fn share(file: &File) -> io::Result<()> {
    // In a folder of another user, the file is that user's.
    if file.metadata()?.uid() == 0
        && let Some(group) = daemons_group()
    {
        rustix::fs::fchown(file, None, Some(group))?;
        rustix::fs::fchmod(file, Mode::from_raw_mode(0o640))?;
    }
    Ok(())
}

/// The group of the daemon's user (group(5)), if there is one.
fn daemons_group() -> Option<Gid> {
    let groups = std::fs::read_to_string("/etc/group").ok()?;
    let mut groups = groups.lines().map(|line| line.split(':'));
    let id = groups.find_map(|mut fields| (fields.next() == Some(DAEMON)).then(|| fields.nth(1)).flatten())?;
    Some(Gid::from_raw(id.parse().ok()?))
}

fn write_new(file: &Path, text: &str) -> anyhow::Result<()> {
    let (folder, name) = Folder::of(file)?;
    let mut created = folder.create(name, 0o600)?;
    let shared = share(&created);
    let written = shared.and_then(|()| created.write_all(text.as_bytes())).and_then(|()| created.sync_all());
    written.inspect_err(|_| folder.remove(name)).with_context(|| format!("{} cannot be written", file.display()))
}
