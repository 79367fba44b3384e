//! The variables of the environment that set keys of the configuration. They win over the file, and
//! can replace it, as in a container. No error repeats the secret in a variable.

use std::collections::BTreeMap;

use jid::DomainPart;

use super::raw::{ConfigError, Raw, RawHost, Table, Value, without_quotes};
use super::values::Written;
use crate::jids;
use crate::secret::Secret;

/// The variable that names the file, if the command line does not.
pub const FILE_VARIABLE: &str = "EASY_INVITE_CONFIG";

/// The variable that holds the component's secret. It wins over the file.
pub const SECRET_VARIABLE: &str = "EASY_INVITE_SECRET";

/// The variable that says what is logged, in the notation of `RUST_LOG`.
pub const LOG_VARIABLE: &str = "EASY_INVITE_LOG";

/// How the names of all variables begin.
const PREFIX: &str = "EASY_INVITE_";

/// Parts of the names of the variables in which Kubernetes tells every container the addresses of
/// services.
const OF_SERVICES: [&str; 3] = ["_SERVICE_HOST", "_SERVICE_PORT", "_PORT"];

/// A variable that sets a key.
struct Variable {
    name: &'static str,
    key: &'static [&'static str],
    set: fn(&mut Raw, &str) -> Result<(), String>,
}

/// All of them. A variable that only says how the web pages are served does not create them.
const VARIABLES: [Variable; 9] = [
    Variable {
        name: "EASY_INVITE_JID",
        key: &["component", "jid"],
        set: |raw, text| put(text, &mut raw.component.get_or_insert_default().0.jid),
    },
    Variable {
        name: "EASY_INVITE_SERVER",
        key: &["component", "server"],
        set: |raw, text| put(text, &mut raw.component.get_or_insert_default().0.server),
    },
    Variable {
        name: "EASY_INVITE_SECRET_FILE",
        key: &["component", "secret_file"],
        set: |raw, text| {
            let component = &mut raw.component.get_or_insert_default().0;
            (component.secret, component.secret_file) = (None, Some(text.into()));
            Ok(())
        },
    },
    Variable { name: "EASY_INVITE_STORE", key: &["store", "url"], set: |raw, text| put(text, &mut raw.store.0.url) },
    Variable {
        name: "EASY_INVITE_PUBLIC_URL",
        key: &["web", "public_url"],
        set: |raw, text| put(text, &mut raw.web.get_or_insert_default().0.public_url),
    },
    Variable {
        name: "EASY_INVITE_LISTEN",
        key: &["web", "listen"],
        set: |raw, text| put(text, &mut raw.web.as_mut().unwrap_or(&mut Table::default()).0.listen),
    },
    Variable {
        name: "EASY_INVITE_TRUSTED_PROXIES",
        key: &["web", "trusted_proxies"],
        set: |raw, text| {
            let proxies = words(text).map(|proxy| Written::read(proxy).map(Value)).collect::<Result<_, _>>()?;
            raw.web.as_mut().unwrap_or(&mut Table::default()).0.trusted_proxies = Some(proxies);
            Ok(())
        },
    },
    Variable {
        name: "EASY_INVITE_METRICS_LISTEN",
        key: &["metrics", "listen"],
        set: |raw, text| put(text, &mut raw.metrics.get_or_insert_default().0.listen),
    },
    Variable { name: "EASY_INVITE_HOSTS", key: &["hosts"], set: serve },
];

/// What the environment sets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Environment {
    set: BTreeMap<&'static str, Secret>, // such as the password in a URL
    unknown: Vec<String>,
}

impl Environment {
    /// The environment of this process. An empty variable counts as unset.
    pub fn of_process() -> Environment {
        let is_set = |(name, value): &(String, String)| name.starts_with(PREFIX) && !value.is_empty();
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        let variables = std::env::vars_os().map(|(name, value)| (text(name), text(value))).filter(is_set);
        let mut found = Environment::default();
        for (name, value) in variables {
            match VARIABLES.iter().find(|variable| variable.name == name) {
                Some(variable) => drop(found.set.insert(variable.name, Secret::new(without_quotes(&value).to_owned()))),
                None if [FILE_VARIABLE, SECRET_VARIABLE, LOG_VARIABLE].contains(&name.as_str()) => (),
                None if OF_SERVICES.iter().any(|its| name.contains(its)) && is_in_kubernetes() => (),
                None => found.unknown.push(name),
            }
        }
        found.unknown.sort();
        found
    }

    /// Whether it sets no key.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    /// The names of the variables that set keys, for people.
    pub fn names(&self) -> String {
        self.set.keys().copied().collect::<Vec<_>>().join(", ")
    }

    /// The values of the variables that set keys.
    pub fn values(&self) -> BTreeMap<&'static str, &str> {
        self.set.iter().map(|(name, value)| (*name, value.reveal())).collect()
    }

    /// The keys of the file, with those replaced that the environment sets.
    ///
    /// # Errors
    /// If the value of a variable does not fit its key.
    pub fn applied(&self, mut raw: Raw) -> Result<Raw, ConfigError> {
        for Variable { name, set, .. } in &VARIABLES {
            let Some(text) = self.set.get(name) else { continue };
            // What was found may be a secret.
            let expected = |problem: String| problem.split(", found ").next().unwrap_or_default().to_owned();
            set(&mut raw, text.reveal()).map_err(|problem| ConfigError::of_variable(name, expected(problem)))?;
        }
        Ok(raw)
    }

    /// The variables that set keys, or that could where there is no file.
    pub fn variables(&self, has_file: bool) -> Vec<(&'static str, &'static [&'static str])> {
        let set = |variable: &&Variable| !has_file || self.set.contains_key(variable.name);
        VARIABLES.iter().filter(set).map(|variable| (variable.name, variable.key)).collect()
    }

    /// A warning for each variable of our prefix that is not ours. It may be misspelled.
    pub fn unknown(&self) -> impl Iterator<Item = ConfigError> {
        let keys = VARIABLES.iter().map(|variable| variable.name);
        let known: Vec<_> = keys.chain([SECRET_VARIABLE, FILE_VARIABLE, LOG_VARIABLE]).collect();
        let problem = format!("there is no such variable: expected one of {}", known.join(", "));
        self.unknown.iter().map(move |name| ConfigError::of_variable(name, &problem))
    }
}

fn is_in_kubernetes() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
}

fn put<T: Written>(text: &str, place: &mut Option<Value<T>>) -> Result<(), String> {
    *place = Some(Value(T::read(text)?));
    Ok(())
}

/// The words of a list, which are separated by commas or blanks.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty())
}

/// Serves these hosts and no others. If the file has a table for one of them, it applies.
fn serve(raw: &mut Raw, text: &str) -> Result<(), String> {
    let named = words(text).map(|name| Ok((jids::domain(name)?, name)));
    let mut missing = named.collect::<Result<BTreeMap<DomainPart, &str>, String>>()?;
    if missing.is_empty() {
        return Err("expected the VirtualHosts served, for example example.org".to_owned());
    }
    let named = missing.clone();
    raw.hosts.retain(|name, _| match jids::domain(name) {
        Ok(host) => {
            missing.remove(&host);
            named.contains_key(&host)
        }
        Err(_) => true, // the check of the file reports it
    });
    raw.hosts.extend(missing.into_values().map(|name| (name.to_owned(), Table(RawHost::default()))));
    Ok(())
}
