//! The component's secret, from the environment or a file.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::environment::SECRET_VARIABLE;
use super::raw::{ConfigError, RawComponent, Source, plain_secret};
use crate::files::unreadable;
use crate::secret::Secret;
use crate::texts::printable;

/// The longest file with a secret that is read.
const LONGEST_SECRET: u64 = 64 * 1024;

/// What was found of the component's secret.
pub struct Found {
    /// The secret, or why there is none.
    pub secret: Result<Secret, ConfigError>,
    /// Where it is from, for people.
    pub source: String,
    /// The secret that the file has or names, if it can be read.
    pub written: Option<Secret>,
    /// What the operator should mend, though there is a secret.
    pub warning: Option<String>,
}

/// Finds the secret in the environment, or else in the file.
///
/// # Errors
/// If the file names two.
pub fn find(source: &Source<'_>, folder: &Path, component: RawComponent) -> Result<Found, ConfigError> {
    let key = ["component", "secret_file"];
    let file = source.file.map_or("the environment".to_owned(), |file| printable(file.display()));
    let (written, place) = match (component.secret, component.secret_file) {
        (Some(_), Some(_)) => return Err(source.problem(&key, "expected either secret or secret_file, found both")),
        (Some(secret), None) => (Ok(secret.0), format!("component.secret in {file}")),
        (None, Some(path)) => {
            let path = folder.join(path);
            let read = read_secret(&path).map_err(|problem| source.problem(&key, problem));
            (read, format!("{}, the component.secret_file of {file},", printable(path.display())))
        }
        (None, None) => {
            let expected = format!("secret or secret_file here, or ${SECRET_VARIABLE}");
            let missing = source.problem(&["component", "secret"], format!("missing: expected {expected}"));
            let unset = || ConfigError::of_variable(SECRET_VARIABLE, "missing: expected Prosody's component_secret");
            (Err(if source.file.is_some() { missing } else { unset() }), file)
        }
    };
    let variable = format!("${SECRET_VARIABLE} in the environment");
    let bad = |problem: &str| ConfigError::of_variable(SECRET_VARIABLE, problem);
    let set = std::env::var_os(SECRET_VARIABLE).filter(|set| !set.is_empty()).map(OsString::into_string);
    let Some(set) = set else {
        return Ok(Found { secret: written.clone(), source: place, written: written.ok(), warning: None });
    };
    let secret = set.map_err(|_| bad("expected UTF-8 text")).and_then(|text| plain_secret(&text).map_err(bad));
    let differs = matches!((&secret, &written), (Ok(set), Ok(written)) if set != written);
    let warning = differs.then(|| format!("{variable} is another secret than {place} and wins: unset one of the two"));
    let is_only_one = source.file.is_none() && written.is_err();
    let place = if is_only_one { variable } else { format!("{variable}, which wins over {place}") };
    Ok(Found { secret, source: place, written: written.ok(), warning })
}

fn read_secret(file: &Path) -> Result<Secret, String> {
    let mut text = String::new();
    let read = File::open(file).and_then(|file| file.take(LONGEST_SECRET + 1).read_to_string(&mut text));
    match read {
        Ok(read) if read as u64 > LONGEST_SECRET => {
            Err(format!("{} is longer than {LONGEST_SECRET} bytes: no secret is", file.display()))
        }
        Ok(_) => plain_secret(&text).map_err(|problem| format!("{}: {problem}", file.display())),
        Err(error) => Err(format!("{} {}", file.display(), unreadable(&error))),
    }
}
