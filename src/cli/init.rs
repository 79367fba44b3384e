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

/// Where the store of a configuration in /etc is: beside it would be no place for data.
const EXAMPLE_STORE: &str = "#url = \"sqlite:easy-invite.db\"";
const SYSTEM_STORE: &str = "url = \"sqlite:/var/lib/easy-invite/easy-invite.db\"";

/// Write a first configuration, and print what to add to Prosody's
///
/// The file holds a new random secret, so only its owner may read it, and every key with its default. A file that is
/// there already is left as it is; one in /etc gets its store in /var/lib/easy-invite. The lines for prosody.cfg.lua go to stdout (to stderr, where the file itself goes
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
    let text = first_config(&host, secret.reveal(), arguments.output.starts_with("/etc"));
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

/// The example, with what is its own. Names and tokens need no escape in TOML.
fn first_config(host: &DomainPart, secret: &str, system_wide: bool) -> String {
    let text = config::EXAMPLE.replace(EXAMPLE_HOST, host.as_str()).replace(EXAMPLE_SECRET, secret);
    if system_wide { text.replace(EXAMPLE_STORE, SYSTEM_STORE) } else { text }
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
    -- This opens registration, for the invited alone. allow_registration is not needed: it would leave registration
    -- open to everybody, should the module ever not load.
    modules_enabled = {{ "easy_invite" }}
    -- Debian's configuration enables Prosody's own invites, which would answer in its place:
    modules_disabled = {{ "invites_adhoc", "invites_register" }}

Component "invite.{host}"
    component_secret = "{secret}"

-- For pages that explain an invite and register people in the browser, see [web] in the configuration, and docs/web.md.
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_in_etc_keeps_its_store_elsewhere() {
        let host = DomainPart::new("chat.example.net").unwrap().into_owned();
        let (own, system_wide) = (first_config(&host, "s", false), first_config(&host, "s", true));
        assert!(own.contains(EXAMPLE_STORE) && !own.contains(EXAMPLE_SECRET) && !own.contains(EXAMPLE_HOST), "{own}");
        assert!(system_wide.contains(SYSTEM_STORE) && !system_wide.contains(EXAMPLE_STORE), "{system_wide}");
    }
}
