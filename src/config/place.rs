//! Where the configuration is.

use std::path::{Path, PathBuf};

use super::environment::{Environment, FILE_VARIABLE};

/// Where the file is looked for when nobody names it.
pub const USUAL_FILES: [&str; 2] = ["config.toml", "/etc/easy-invite/config.toml"];

/// Nobody named a configuration file, and none is where it usually is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no configuration: there is neither {} nor {}. Name one with --config or ${FILE_VARIABLE}, \
     write a first one with `easy-invite init --host HOST --output {}`, or set $EASY_INVITE_JID, $EASY_INVITE_SECRET \
     and $EASY_INVITE_HOSTS",
    USUAL_FILES[0],
    USUAL_FILES[1],
    USUAL_FILES[1]
)]
pub struct NoConfig;

/// The configuration file to use: the one that is named, else the first of the usual ones, else
/// none if the environment sets any key.
///
/// # Errors
/// If there is no configuration.
pub fn find(named: Option<PathBuf>) -> Result<Option<PathBuf>, NoConfig> {
    let found = named.or_else(by_variable).or_else(|| usual().next());
    if found.is_none() && Environment::of_process().is_empty() { Err(NoConfig) } else { Ok(found) }
}

/// The usual file that is not used because of the one in the folder where the command runs: who
/// has forgotten that one would wonder about links that do not work.
pub fn passed_over(named: Option<&Path>) -> Option<PathBuf> {
    let is_named = named.is_some() || by_variable().is_some();
    usual().nth(1).filter(|_| !is_named)
}

fn by_variable() -> Option<PathBuf> {
    std::env::var_os(FILE_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// Those of the usual files that are there.
fn usual() -> impl Iterator<Item = PathBuf> {
    // If /etc/easy-invite is closed to this user, reading the file in it says so.
    let may_be_there = |path: &PathBuf| path.try_exists().unwrap_or(path.is_absolute());
    USUAL_FILES.map(PathBuf::from).into_iter().filter(may_be_there)
}
