//! What to add to Prosody's configuration, in words that keep what is there: a second
//! `modules_enabled` would replace the first.

use jid::DomainPart;

use super::prosody_config::{Host, ProsodyConfig, Section, Value};
use crate::texts::{fill, printable};

const TEMPLATE: &str = include_str!("../../contrib/prosody.cfg.lua");

/// Where the README has the module installed.
const PLUGIN_PATH: &str = "/usr/local/lib/prosody/modules";

/// Prosody's own modules for invites. Debian's configuration enables them.
const OWN_INVITES: [&str; 3] = ["invites", "invites_adhoc", "invites_register"];

const INDENT: &str = "    ";

/// What to add to the configuration of a server that serves `host`. Without one, what a new one
/// needs.
pub fn lines(config: Option<&ProsodyConfig>, host: &DomainPart, component: &DomainPart, secret: &str) -> String {
    let empty = ProsodyConfig::default();
    let there = config.unwrap_or(&empty);
    let its = there.host(host);
    let section = its.map_or(&empty.global, |its| &its.section);
    let about = match config {
        Some(config) => {
            let unread: String =
                config.unread.iter().map(|why| format!("-- {}: look there, too.\n", printable(why))).collect();
            format!("-- For {} and the files that it includes.\n{unread}", printable(config.file.display()))
        }
        None => "-- For prosody.cfg.lua. If one of these settings is there already, add to it: a second one\n\
                 -- replaces it.\n"
            .to_owned(),
    };
    let enabled = match there.global.list("modules_enabled").iter().any(|module| module == "easy_invite") {
        true => format!("{INDENT}-- modules_enabled of the whole server has \"easy_invite\" already.\n"),
        false => addition(section, "modules_enabled", &["easy_invite"], INDENT),
    };
    let is_known = matches!(there.global.get("modules_enabled"), Some((Value::List(_), _)));
    let rivals = if is_known { there.rivals(section) } else { OWN_INVITES.to_vec() };
    let disabled =
        if rivals.is_empty() { String::new() } else { addition(section, "modules_disabled", &rivals, INDENT) };
    fill(
        TEMPLATE,
        &[
            ("about", about.as_str()),
            ("plugin_paths", &addition(&there.global, "plugin_paths", &[PLUGIN_PATH], "")),
            ("host_place", &host_place(config, its, host)),
            ("host", host.as_str()),
            ("enabled", &enabled),
            ("disabled", &disabled),
            ("open", &open_registration(&there.global, section)),
            ("component", &component_lines(there.host(component), component, secret)),
        ],
    )
}

/// The line that gives a setting these texts besides those that it has.
pub fn addition(section: &Section, setting: &str, added: &[&str], indent: &str) -> String {
    let list = |texts: &[&str]| texts.iter().map(|text| lua(text)).collect::<Vec<_>>().join(", ");
    match section.get(setting) {
        None => format!("{indent}{setting} = {{ {} }}\n", list(added)),
        Some((Value::List(texts), place)) => {
            let mut all: Vec<_> = texts.iter().map(String::as_str).collect();
            all.extend(added.iter().filter(|text| !texts.iter().any(|it| it == *text)));
            if all.len() == texts.len() {
                return format!("{indent}-- {setting} has {} already: {place}.\n", list(added));
            }
            format!("{indent}-- In place of {setting} in {place}:\n{indent}{setting} = {{ {} }}\n", list(&all))
        }
        Some((_, place)) => format!("{indent}-- Add to {setting} in {place}: {}\n", list(added)),
    }
}

fn host_place(config: Option<&ProsodyConfig>, its: Option<&Host>, host: &DomainPart) -> String {
    match its {
        Some(Host { component: Some(_), place, .. }) => {
            format!("-- {place} has a Component of this name, and easy-invite serves VirtualHosts.\n")
        }
        Some(Host { name, place, .. }) if name != host.as_str() => {
            format!("-- In place of VirtualHost {} in {place}, which clients know by this name:\n", lua(name))
        }
        Some(Host { place, .. }) => format!("-- This one is there, {place}: the settings belong there.\n"),
        None if config.is_some() => "-- There is no such VirtualHost yet: this is a new one.\n".to_owned(),
        None => String::new(),
    }
}

/// Open registration that is there already is nothing to build on.
fn open_registration(global: &Section, section: &Section) -> String {
    let opened = [section, global].into_iter().find_map(|it| it.get("allow_registration"));
    match opened {
        Some((Value::Bool(true), place)) => format!("{INDENT}-- So take it out of {place}.\n"),
        _ => String::new(),
    }
}

fn component_lines(its: Option<&Host>, component: &DomainPart, secret: &str) -> String {
    let before = match its {
        Some(Host { component: Some(module), section, place, .. }) if module == "component" => {
            let place = section.get("component_secret").map_or(place, |(_, place)| place);
            format!("-- In place of its component_secret in {place}:\n")
        }
        Some(Host { place, .. }) => format!(
            "-- {place} has this name for something else. Choose another here, in component.jid of easy-invite's\n\
             -- configuration, and as easy_invite_component in the VirtualHost.\n"
        ),
        None => String::new(),
    };
    format!("{before}Component \"{component}\"\n{INDENT}component_secret = \"{secret}\"\n")
}

/// A text in Lua's notation, safe to print.
fn lua(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    let plain = |c: char| if c.is_control() { format!("\\{:03}", u32::from(c)) } else { c.to_string() };
    format!("\"{}\"", printable(escaped.chars().map(plain).collect::<String>()))
}
