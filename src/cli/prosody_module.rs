//! `easy-invite prosody-module`: the module for Prosody that belongs to this version.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;

use super::context::Context;
use super::print::say;
use super::prosody_config::{ProsodyConfig, Section, WhichProsody, which_module};
use super::prosody_lines::{Addition, addition};
use crate::files::{FileError, Folder};
use crate::invite::InviteId;
use crate::prosody_module::{FILES, FOLDER, MAIN_FILE, VERSION, removal};

const PLUGIN_PATHS: &str = "plugin_paths";

/// Print or install the module for Prosody
///
/// mod_easy_invite is the part of easy-invite that runs in Prosody. With --install, this command
/// writes this version's files into DIR, and replaces older ones. If it can read Prosody's
/// configuration, it then warns of what keeps Prosody from loading them: another folder that comes
/// first, or other modules that make invites. Without --install, it prints the files one after the
/// other. With --json, it prints {"file", "text"} for each, for scripts that install them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  easy-invite prosody-module --install /usr/local/lib/prosody/modules
  easy-invite prosody-module | less")]
pub struct Arguments {
    /// Write DIR/mod_easy_invite/*.lua. Prosody needs DIR in its plugin_paths
    #[arg(long, value_name = "DIR")]
    install: Option<PathBuf>,

    #[command(flatten)]
    prosody: WhichProsody,
}

pub fn run(Arguments { install: folder, prosody }: Arguments, context: &Context) -> anyhow::Result<()> {
    let Some(modules) = folder else {
        for (name, text) in FILES {
            let file = format!("{FOLDER}/{name}");
            context.print(json!({"file": file, "text": text}), format_args!("-- {file}\n\n{text}"))?;
        }
        return Ok(());
    };
    let config = prosody.config()?;
    let folder = modules.join(FOLDER);
    let main = folder.join(MAIN_FILE);
    let replaced = main.symlink_metadata().is_ok().then(|| which_module(&main));
    install(&modules).with_context(|| format!("{} cannot be written", folder.display()))?;
    for (name, _) in FILES {
        let file = folder.join(name).display().to_string();
        context.print(json!({"file": &file, "text": null}), &file)?;
    }
    if let Some(replaced) = replaced {
        say(format_args!("{replaced} was replaced by {FOLDER} {VERSION}: restart Prosody"));
    }
    let modules = fs::canonicalize(&modules).unwrap_or(modules);
    let to_do = config.map_or_else(
        || {
            vec![format!(
                "prosody.cfg.lua needs {PLUGIN_PATHS} = {{ \"{}\" }}, with the folders that are there",
                modules.display()
            )]
        },
        |config| to_do(&config, &modules),
    );
    to_do.iter().for_each(say);
    Ok(())
}

/// What to change before Prosody loads the module from this folder.
fn to_do(config: &ProsodyConfig, modules: &Path) -> Vec<String> {
    let is_in = |folder: &PathBuf| fs::canonicalize(folder).is_ok_and(|folder| folder == modules);
    let lacks = (!config.plugin_folders().iter().any(is_in)).then(|| {
        let line = in_one_line(&addition(&config.global, PLUGIN_PATHS, &[&modules.display().to_string()], ""));
        format!("{} needs this folder. {line}", config.file.display())
    });
    let is_ours =
        |file: &PathBuf| fs::canonicalize(file).is_ok_and(|file| file == modules.join(FOLDER).join(MAIN_FILE));
    let other = config.module_file().filter(|file| !is_ours(file));
    let other = other
        .map(|file| format!("Prosody finds {} before it, {}: {}", file.display(), which_module(&file), removal(&file)));
    let rivals = |place: String, section: &Section| {
        let rivals = config.rivals(section);
        let line = in_one_line(&addition(section, "modules_disabled", &rivals, ""));
        let names = rivals.join(", mod_");
        (!rivals.is_empty()).then(|| {
            format!(
                "{place} enables mod_{names}, whose links nobody accepts: easy-invite import prosody keeps those that \
                 were sent. {line}"
            )
        })
    };
    let mut served: Vec<_> =
        config.served().map(|its| rivals(format!("VirtualHost \"{}\"", its.name), &its.section)).collect();
    if served.is_empty() {
        let place = format!("{}, for each VirtualHost that is to have easy_invite,", config.file.display());
        served.push(rivals(place, &Section::default()));
    }
    lacks.into_iter().chain(other).chain(served.into_iter().flatten()).collect()
}

/// The line and the comment before it, as a sentence.
fn in_one_line(lines: &Addition) -> String {
    lines.text().trim().trim_start_matches("-- ").replace('\n', " ")
}

/// Makes folders as the owner of the deepest one that exists, so that they belong to that user.
fn install(modules: &Path) -> anyhow::Result<()> {
    let there = modules.ancestors().find(|path| path.exists()).unwrap_or(Path::new(""));
    Folder::open(there)?.as_owner(|_| fs::create_dir_all(modules))??;
    let folder = Folder::open(modules)?.as_owner(|modules| modules.subfolder(OsStr::new(FOLDER)))??;
    replace(&folder)
}

/// Writes all files under other names first: a full disk leaves an older module as it is. Prosody
/// may load the module at any moment, and never finds half of a file.
fn replace(folder: &Folder) -> anyhow::Result<()> {
    let ending = format!(".{}", InviteId::generate()?);
    let unfinished = |name: &str| OsString::from(format!(".{name}{ending}"));
    let written = FILES.iter().try_for_each(|(name, text)| {
        let mut file = folder.create(&unfinished(name), 0o644)?;
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
        written.map_err(|error| FileError::System(folder.path().join(name), error))
    });
    let named = written
        .and_then(|()| FILES.iter().try_for_each(|(name, _)| folder.rename(&unfinished(name), OsStr::new(name))));
    if named.is_err() {
        FILES.iter().for_each(|(name, _)| folder.remove(&unfinished(name)));
    }
    Ok(named?)
}
