//! `easy-invite prosody-module`: the hook for Prosody that fits this version.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;

use super::{Context, complain};

const MODULE: &str = include_str!("../../prosody/mod_easy_invite/mod_easy_invite.lua");
const FOLDER: &str = "mod_easy_invite";
const FILE: &str = "mod_easy_invite.lua";

/// Print or install the module for Prosody
///
/// mod_easy_invite is the part that works within Prosody. This prints the version that belongs to this program, or
/// installs it where Prosody finds it, in the place of an older one.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  easy-invite prosody-module --install /usr/local/lib/prosody/modules
  easy-invite prosody-module > mod_easy_invite.lua")]
pub struct Arguments {
    /// Writes DIR/mod_easy_invite/mod_easy_invite.lua; DIR belongs into Prosody's plugin_paths
    #[arg(long, value_name = "DIR")]
    install: Option<PathBuf>,
}

pub fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    let Some(modules) = arguments.install else {
        match context.json {
            true => writeln!(stdout, "{}", json!({"file": null, "module": MODULE}))?,
            false => write!(stdout, "{MODULE}")?,
        }
        return Ok(());
    };
    let folder = modules.join(FOLDER);
    let file = folder.join(FILE);
    install(&folder, &file).with_context(|| format!("{} cannot be written", file.display()))?;
    if context.json {
        writeln!(stdout, "{}", json!({"file": file.display().to_string(), "module": null}))?;
        return Ok(());
    }
    writeln!(stdout, "{}", file.display())?;
    let modules = fs::canonicalize(&modules).unwrap_or(modules);
    complain(format_args!("prosody.cfg.lua needs plugin_paths = {{ \"{}\" }}", modules.display()));
    Ok(())
}

/// Prosody, which may load the module at any moment, sees the old file or the new one and nothing in between.
fn install(folder: &Path, file: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let unfinished = folder.join(format!(".{FILE}.{}", std::process::id()));
    let written = File::create(&unfinished).and_then(|mut new| {
        new.write_all(MODULE.as_bytes())?;
        new.sync_all()?;
        fs::rename(&unfinished, file)
    });
    if written.is_err() {
        drop(fs::remove_file(&unfinished));
    }
    written
}
