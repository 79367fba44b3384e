//! Where the configuration is.

use std::path::{Path, PathBuf};

use super::environment::{Environment, FILE_VARIABLE};

/// The files that are tried, in this order, if none is named.
pub const USUAL_FILES: [&str; 2] = ["config.toml", "/etc/easy-invite/config.toml"];

/// There is no configuration: no file is named, none of the usual ones is there, and the
/// environment sets no key.
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

/// The file in /etc that is not used because the working directory has one as well. An operator who
/// has forgotten the latter would wonder why links do not work.
pub fn shadowed(named: Option<&Path>) -> Option<PathBuf> {
    let is_named = named.is_some() || by_variable().is_some();
    usual().nth(1).filter(|_| !is_named)
}

fn by_variable() -> Option<PathBuf> {
    std::env::var_os(FILE_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// The usual files that exist.
fn usual() -> impl Iterator<Item = PathBuf> {
    // If /etc/easy-invite is closed to this user, reading the file in it says so.
    let may_be_there = |path: &PathBuf| path.try_exists().unwrap_or(path.is_absolute());
    USUAL_FILES.map(PathBuf::from).into_iter().filter(may_be_there)
}
