//! `easy-invite prosody-module`: the module for Prosody that belongs to this version.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;

use super::context::Context;
use super::print::complain;
use crate::files::{FileError, Folder};
use crate::invite::InviteId;
use crate::prosody_module::{FILES, FOLDER};

/// Print or install the module for Prosody
///
/// mod_easy_invite is the part that works within Prosody. With --install, this command writes the
/// files that belong to this version into DIR, and replaces older ones. Without --install, it
/// prints them one after the other, to read. With --json, it prints {"file", "text"} for each, for
/// scripts that install them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  easy-invite prosody-module --install /usr/local/lib/prosody/modules
  easy-invite prosody-module | less")]
pub struct Arguments {
    /// Write DIR/mod_easy_invite/*.lua. Prosody needs DIR in its plugin_paths
    #[arg(long, value_name = "DIR")]
    install: Option<PathBuf>,
}

pub fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    let Some(modules) = arguments.install else {
        for (name, text) in FILES {
            let file = format!("{FOLDER}/{name}");
            context.print(json!({"file": file, "text": text}), format_args!("-- {file}\n\n{text}"))?;
        }
        return Ok(());
    };
    let folder = modules.join(FOLDER);
    install(&modules).with_context(|| format!("{} cannot be written", folder.display()))?;
    for (name, _) in FILES {
        let file = folder.join(name).display().to_string();
        context.print(json!({"file": &file, "text": null}), &file)?;
    }
    if !context.json {
        let modules = fs::canonicalize(&modules).unwrap_or(modules);
        complain(format_args!("prosody.cfg.lua needs plugin_paths = {{ \"{}\" }}", modules.display()));
    }
    Ok(())
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
