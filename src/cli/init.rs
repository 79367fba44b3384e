//! `easy-invite init`: a first configuration.

use std::fs::File;
use std::io::{self, Write};
use std::iter;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use jid::DomainPart;
use nix::unistd::Group;
use rustix::fs::Mode;
use rustix::process::{Gid, geteuid};
use serde_json::json;

use super::context::Context;
use super::input::wrong_usage;
use super::print::say;
use super::prosody_config::{ProsodyConfig, WhichProsody};
use super::prosody_lines::{Lines, PLUGIN_PATH, lines};
use crate::config::{self, Config};
use crate::files::Folder;
use crate::invite::Token;
use crate::jids;
use crate::secret::Secret;

/// The host and the secret in the example, which are replaced.
const EXAMPLE_HOST: &str = "example.org";
const EXAMPLE_SECRET: &str = "change me";

/// The store is beside the configuration, but not in /etc, which is no place for data.
const EXAMPLE_STORE: &str = "#url = \"sqlite:easy-invite.db\"";
const SYSTEM_STORE: &str = "url = \"sqlite:/var/lib/easy-invite/easy-invite.db\"";

/// The daemon's user and its group, as in contrib/easy-invite.service.
const DAEMON: &str = "easy-invite";

/// Where systemd looks for the daemon's unit.
const UNITS: [&str; 3] = ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];

/// Write a first configuration, and print what to add to Prosody's
///
/// The file has every key with its default, and a new random secret, so only its owner may read it.
/// If root runs this command, the owner of the file is the owner of its folder. If that is root,
/// too, the group easy-invite of the daemon's user may read the file, if that group exists. An
/// existing file is not changed. A configuration in /etc has its store in /var/lib/easy-invite.
///
/// With --output-prosody, the lines for Prosody go into a new file. If root runs this command,
/// Prosody's group may read that file. If there is no such group, the command says what to do.
/// Lines that would replace settings in Prosody's configuration are not written but printed: change
/// these yourself. If easy-invite's configuration exists already, the lines match it and have its
/// secret. To add a host later, add its table to the configuration, then run this command again.
///
/// Without --output-prosody, the lines for Prosody go to stdout, or to stderr if the configuration
/// itself goes to stdout. If this command can read Prosody's configuration, the lines keep its
/// settings and say where each line belongs.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  easy-invite init --host example.org --output /etc/easy-invite/config.toml
  easy-invite init --host example.org --output /etc/easy-invite/config.toml \
                        --output-prosody /etc/prosody/conf.d/easy-invite.cfg.lua")]
pub struct Arguments {
    /// The VirtualHost to serve (repeatable; the component is named after the first)
    #[arg(long = "host", value_name = "HOST", default_value = EXAMPLE_HOST, value_parser = jids::domain)]
    hosts: Vec<DomainPart>,

    /// The file to write, or - for stdout
    #[arg(long, short, value_name = "FILE", default_value = "config.toml")]
    output: PathBuf,

    /// The file to write for Prosody, such as /etc/prosody/conf.d/easy-invite.cfg.lua
    #[arg(long, value_name = "FILE")]
    output_prosody: Option<PathBuf>,

    #[command(flatten)]
    prosody: WhichProsody,
}

pub fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    let Arguments { hosts, output, output_prosody, prosody } = arguments;
    let twice = hosts.iter().enumerate().find(|(at, host)| hosts.iter().take(*at).any(|other| other == *host));
    if let Some((_, host)) = twice {
        return Err(wrong_usage(format!("--host {host} is given twice")));
    }
    anyhow::ensure!(
        output_prosody.as_ref().is_none_or(|file| *file != output && file != Path::new("-")),
        "--output-prosody FILE takes a file of its own: without it, the lines for Prosody go to stdout"
    );
    let prosody = prosody.config()?;
    prosody.as_ref().and_then(ProsodyConfig::namesake).iter().for_each(say);
    let to_stdout = output == Path::new("-");
    let is_there = !to_stdout && output.symlink_metadata().is_ok();
    anyhow::ensure!(
        !is_there || output_prosody.is_some(),
        "{} exists already and is left as it is: --output-prosody FILE writes the lines for Prosody that fit it",
        output.display()
    );
    if let Some(file) = &output_prosody
        && let Ok(there) = file.symlink_metadata()
    {
        // Removing a folder or /dev/null would do harm.
        let advice = if there.is_file() { "remove it, to have it written anew" } else { "name a file that is new" };
        anyhow::bail!("{} exists already and is left as it is: {advice}", file.display());
    }
    let (component, secret, text) = if is_there {
        let config = existing(&output, &hosts)?;
        (config.component, config.secret?, None)
    } else {
        let secret = Secret::new(Token::generate()?.reveal().to_owned());
        let text = first_config(&hosts, secret.reveal(), output.starts_with("/etc"));
        let first = hosts.first().map_or(EXAMPLE_HOST, |host| host.as_str());
        (DomainPart::new(&format!("invite.{first}"))?.into_owned(), secret, Some(text))
    };
    let lines = lines(prosody.as_ref(), &hosts, &component, secret.reveal());
    if let Some(file) = &output_prosody {
        let text = format!("-- Written by `easy-invite init`.\n\n{}", lines.apart);
        write_new(file, &text, |created| share_with_prosody(created, file, prosody.as_ref()))?;
    }
    let (text, config) = if to_stdout { (None, text) } else { (text, None) };
    if let Some(text) = &text
        && let Err(error) = write_new(&output, text, share)
    {
        // Without the configuration, nothing else would have the secret of this file.
        output_prosody.iter().for_each(|file| remove(file));
        return Err(error);
    }
    let written = |file: &Path| file.display().to_string();
    let file = text.map(|_| written(&output));
    let lua = if output_prosody.is_some() { &lines.changes } else { &lines.all };
    if context.json {
        let prosody_file = output_prosody.as_deref().map(written);
        return context
            .print(json!({"file": file, "config": config, "prosody": lua, "prosody_file": prosody_file}), "");
    }
    match config {
        Some(config) => write!(io::stdout(), "{config}").and_then(|()| write!(io::stderr(), "{lua}"))?,
        None => write!(io::stdout(), "{lua}")?,
    }
    let advice = if output_prosody.is_none() { ": adapt it to your server" } else { "" };
    match file {
        Some(file) => say(format_args!("{file} is written{advice}")),
        None if is_there => say(format_args!("{} is there already, and left as it is", output.display())),
        None => (),
    }
    if let Some(prosody_file) = &output_prosody {
        say(format_args!("{} is written", prosody_file.display()));
        for step in steps(prosody.as_ref(), &lines, &hosts, prosody_file, is_there) {
            say(format_args!("next: {step}"));
        }
    }
    Ok(())
}

/// Reads the configuration that is there already, which must serve these hosts.
fn existing(file: &Path, hosts: &[DomainPart]) -> anyhow::Result<Config> {
    let config = Config::load(file)?;
    if let Some(host) = hosts.iter().find(|host| !config.hosts.contains_key(*host)) {
        anyhow::bail!(
            "{} exists already and does not serve {host}: add a table [hosts.\"{host}\"], name its host with --host, \
             or remove it to begin anew",
            file.display()
        );
    }
    Ok(config)
}

/// What is left to do, in order. `may_run`: the configuration was there before, so a daemon may
/// already run with it.
fn steps(
    prosody: Option<&ProsodyConfig>,
    lines: &Lines,
    hosts: &[DomainPart],
    file: &Path,
    may_run: bool,
) -> Vec<String> {
    let mut steps = Vec::new();
    if !lines.changes.is_empty() {
        steps.push("change the lines above in Prosody's configuration".to_owned());
    }
    if let Some(config) = prosody {
        let is_other = |why: &&String| !why.starts_with(&file.display().to_string());
        steps.extend(config.unread.iter().filter(is_other).map(|why| format!("look there, too: {why}")));
        if !config.includes(file) {
            let path = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
            steps.push(format!("add Include \"{}\" at the end of {}", path.display(), config.file.display()));
        }
        if config.our_module().is_none() {
            steps.push(format!("sudo easy-invite prosody-module --install {PLUGIN_PATH}"));
        }
        for host in hosts.iter().filter(|host| config.host(host).is_none()) {
            let import = "sudo prosodyctl --root cert import FOLDER, such as /etc/letsencrypt/live";
            steps.push(format!("{host} is new to Prosody. Give Prosody a certificate for {host}: {import}"));
        }
    }
    if file.metadata().is_ok_and(|its| its.uid() == 0 && its.mode() & 0o044 == 0) {
        let file = file.display();
        steps.push(format!(
            "only root can read {file}, because there is no group prosody. Let the group of Prosody's user read it: \
             sudo chgrp GROUP {file} && sudo chmod g+r {file}"
        ));
    }
    let has_unit = UNITS.iter().any(|folder| Path::new(folder).join("easy-invite.service").exists());
    let (start, run) = match may_run {
        true => ("enable easy-invite && sudo systemctl reload-or-restart easy-invite", "start it, or send it a SIGHUP"),
        false => ("enable --now easy-invite", "start easy-invite run"),
    };
    steps.push(match has_unit {
        true => format!("sudo systemctl restart prosody && sudo systemctl {start}"),
        false => format!("restart Prosody, and {run} (with systemd: contrib/easy-invite.service)"),
    });
    steps
}

/// The example, with these hosts and the secret. None of them needs to be escaped in TOML.
fn first_config(hosts: &[DomainPart], secret: &str, system_wide: bool) -> String {
    let (first, others) = hosts.split_first().map_or((EXAMPLE_HOST, hosts), |(first, others)| (first.as_str(), others));
    let text = config::EXAMPLE.replace(EXAMPLE_HOST, first).replace(EXAMPLE_SECRET, secret);
    let text = if system_wide { text.replace(EXAMPLE_STORE, SYSTEM_STORE) } else { text };
    let tables = others.iter().map(|host| format!("\n[hosts.\"{host}\"]\n"));
    iter::once(text).chain(tables).collect()
}

/// Lets the daemon's user read the configuration, if it belongs to root.
fn share(file: &File) -> io::Result<()> {
    // In a folder of another user, the file is that user's.
    if file.metadata()?.uid() == 0
        && let Some(group) = group_named(DAEMON)
    {
        share_with(file, group)?;
    }
    Ok(())
}

/// Lets Prosody's group read a file, if this is root. That is the group that may read Prosody's own
/// configuration, or else enter the file's folder, or else the one named `prosody`.
fn share_with_prosody(file: &File, path: &Path, config: Option<&ProsodyConfig>) -> io::Result<()> {
    let group_with = |bits: u32, path: &Path| {
        path.metadata().ok().filter(|its| its.gid() != 0 && its.mode() & bits != 0).map(|its| Gid::from_raw(its.gid()))
    };
    let of_config = config.and_then(|config| group_with(0o040, &config.file));
    let group = of_config.or_else(|| group_with(0o010, path.parent()?)).or_else(|| group_named("prosody"));
    match group.filter(|_| geteuid().is_root()) {
        Some(group) => share_with(file, group),
        None => Ok(()),
    }
}

fn share_with(file: &File, group: Gid) -> io::Result<()> {
    rustix::fs::fchown(file, None, Some(group))?;
    Ok(rustix::fs::fchmod(file, Mode::from_raw_mode(0o640))?)
}

/// A group of this machine, if there is one of this name.
fn group_named(name: &str) -> Option<Gid> {
    Some(Gid::from_raw(Group::from_name(name).ok()??.gid.as_raw()))
}

fn write_new(file: &Path, text: &str, share: impl Fn(&File) -> io::Result<()>) -> anyhow::Result<()> {
    let (folder, name) = Folder::of(file)?;
    let mut created = folder.create(name, 0o600)?;
    let shared = share(&created);
    let written = shared.and_then(|()| created.write_all(text.as_bytes())).and_then(|()| created.sync_all());
    written.inspect_err(|_| folder.remove(name)).with_context(|| format!("{} cannot be written", file.display()))
}

fn remove(file: &Path) {
    if let Ok((folder, name)) = Folder::of(file) {
        folder.remove(name);
    }
}
