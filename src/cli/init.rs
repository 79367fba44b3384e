//! `easy-invite init`: a first configuration.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use jid::DomainPart;
use serde_json::json;

use super::{Context, complain};
use crate::config;
use crate::invite::Token;

/// What stands in the example where a first configuration has its own.
const EXAMPLE_HOST: &str = "example.org";
const EXAMPLE_SECRET: &str = "change me";

/// Write a first configuration, and print what to add to Prosody's
///
/// The file holds a new random secret, so only its owner may read it, and every key with its default. A file that is
/// there already is left as it is. The lines for prosody.cfg.lua go to stdout (to stderr, where the file itself goes
/// to stdout).
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: easy-invite init --host example.org --output /etc/easy-invite/config.toml")]
pub struct Arguments {
    /// The VirtualHost to serve
    #[arg(long, value_name = "HOST", default_value = EXAMPLE_HOST)]
    host: String,

    /// The file to write, or - for stdout
    #[arg(long, short, value_name = "FILE", default_value = "config.toml")]
    output: PathBuf,
}

pub fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    let host = config::domain(&arguments.host).map_err(|problem| anyhow::anyhow!("--host: {problem}"))?;
    let secret = Token::generate()?;
    // Both texts are the same in TOML and in Lua, where nothing in a domain or a token needs an escape.
    let text = config::EXAMPLE.replace(EXAMPLE_HOST, host.as_str()).replace(EXAMPLE_SECRET, secret.reveal());
    let lua = prosody_lines(&host, secret.reveal());
    let to_stdout = arguments.output == Path::new("-");
    if !to_stdout {
        write_new(&arguments.output, &text)?;
    }
    let mut stdout = io::stdout().lock();
    if context.json {
        let file = if to_stdout { json!(null) } else { json!(arguments.output.display().to_string()) };
        let config = if to_stdout { json!(text) } else { json!(null) };
        writeln!(stdout, "{}", json!({"file": file, "config": config, "prosody": lua}))?;
    } else if to_stdout {
        write!(stdout, "{text}")?;
        write!(io::stderr(), "{lua}")?;
    } else {
        complain(format_args!("{} is written; change what is yours in it", arguments.output.display()));
        write!(stdout, "{lua}")?;
    }
    Ok(())
}

fn write_new(file: &Path, text: &str) -> anyhow::Result<()> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let mut opened = opened.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => anyhow::anyhow!("{} exists already and is left as it is", file.display()),
        _ => anyhow::anyhow!("{} cannot be written: {error}", file.display()),
    })?;
    let written = opened.write_all(text.as_bytes()).and_then(|()| opened.sync_all());
    written.with_context(|| format!("{} cannot be written", file.display()))
}

/// What has to stand in prosody.cfg.lua.
fn prosody_lines(host: &DomainPart, secret: &str) -> String {
    format!(
        r#"-- Add this to prosody.cfg.lua, then restart Prosody.
-- mod_easy_invite has to lie in one of Prosody's plugin_paths, for example:
--     easy-invite prosody-module --install /usr/local/lib/prosody/modules
--     plugin_paths = {{ "/usr/local/lib/prosody/modules" }}

VirtualHost "{host}"
    allow_registration = true
    modules_enabled = {{ "easy_invite" }}
    -- Debian's configuration enables Prosody's own invites, which would answer in its place:
    modules_disabled = {{ "invites_adhoc", "invites_register" }}

Component "invite.{host}"
    component_secret = "{secret}"
"#
    )
}
