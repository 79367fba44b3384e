//! `easy-invite prosody-module`: the module for Prosody that belongs to this version.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;

use super::context::Context;
use super::print::complain;
use crate::files::{FileError, Folder};
use crate::invite::InviteId;

const MODULE: &str = include_str!("../../prosody/mod_easy_invite/mod_easy_invite.lua");
const FOLDER: &str = "mod_easy_invite";
const FILE: &str = "mod_easy_invite.lua";

/// Print or install the module for Prosody
///
/// mod_easy_invite is the part that works within Prosody. This prints the version that belongs to
/// this program, or installs it where Prosody finds it, in the place of an older one.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  easy-invite prosody-module --install /usr/local/lib/prosody/modules
  easy-invite prosody-module > mod_easy_invite.lua")]
pub struct Arguments {
    /// Write DIR/mod_easy_invite/mod_easy_invite.lua. Prosody needs DIR in its plugin_paths
    #[arg(long, value_name = "DIR")]
    install: Option<PathBuf>,
}

pub fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    let Some(modules) = arguments.install else {
        return context.print(json!({"file": null, "module": MODULE}), MODULE.trim_end());
    };
    let file = modules.join(FOLDER).join(FILE).display().to_string();
    install(&modules).with_context(|| format!("{file} cannot be written"))?;
    context.print(json!({"file": &file, "module": null}), &file)?;
    if !context.json {
        let modules = fs::canonicalize(&modules).unwrap_or(modules);
        complain(format_args!("prosody.cfg.lua needs plugin_paths = {{ \"{}\" }}", modules.display()));
    }
    Ok(())
}

/// Works as the owner of the folder, or of the deepest that exists: what this makes belongs to that
/// user.
fn install(modules: &Path) -> anyhow::Result<()> {
    let there = modules.ancestors().find(|path| path.exists()).unwrap_or(Path::new(""));
    Folder::open(there)?.as_owner(|_| fs::create_dir_all(modules))??;
    Folder::open(modules)?.as_owner(|modules| write(&modules.subfolder(OsStr::new(FOLDER))?))?
}

/// Prosody may load the module at any moment: it finds the old file or the new one, and nothing in
/// between.
fn write(folder: &Folder) -> anyhow::Result<()> {
    let unfinished = format!(".{FILE}.{}", InviteId::generate()?);
    let unfinished = OsStr::new(&unfinished);
    let mut file = folder.create(unfinished, 0o644)?;
    let written = file.write_all(MODULE.as_bytes()).and_then(|()| file.sync_all());
    let named = match written {
        Ok(()) => folder.rename(unfinished, OsStr::new(FILE)),
        Err(error) => Err(FileError::System(folder.path().join(FILE), error)),
    };
    Ok(named.inspect_err(|_| folder.remove(unfinished))?)
}
