//! The lines to add to Prosody's configuration. They keep what is there: a second `modules_enabled`
//! would replace the first.

use jid::DomainPart;

use super::lua::Value;
use super::prosody_config::{Host, ProsodyConfig, Section};
use crate::texts::printable;

/// Where the README installs the module, if it comes with no package.
pub const PLUGIN_PATH: &str = "/usr/local/lib/prosody/modules";

/// Prosody's own modules for invites. Debian's configuration enables them.
const OWN_INVITES: [&str; 3] = ["invites", "invites_adhoc", "invites_register"];

const INDENT: &str = "    ";

const CLOSED: &str = "    -- The module opens registration to people with an invite. Leave allow_registration out: with
    -- it, registration would be open to everybody whenever the module does not load.
";

const PAGES: &str = "
-- For web pages that explain an invite and register people, see [web] in the configuration, and
-- docs/web.md.
";

/// The lines for Prosody.
pub struct Lines {
    /// All of them, with comments that say where each belongs.
    pub all: String,
    /// Those that may stand in a file of their own, which Prosody's configuration includes.
    pub apart: String,
    /// The others: they take the place of lines that are there. Empty if there are none.
    pub changes: String,
}

/// How Prosody gets a setting.
pub enum Addition {
    /// Lines to add, in any file that opens their section.
    New(String),
    /// A comment that says where the setting is already.
    There(String),
    /// Lines that replace others, with a comment that says which.
    Change(String),
}

impl Addition {
    pub fn text(&self) -> &str {
        match self {
            Addition::New(text) | Addition::There(text) | Addition::Change(text) => text,
        }
    }

    fn apart(&self) -> &str {
        if let Addition::New(text) = self { text } else { "" }
    }

    fn change(&self) -> &str {
        if let Addition::Change(text) = self { text } else { "" }
    }
}

/// The lines for a server with these hosts: what its configuration lacks, or all of them if it
/// cannot be read.
pub fn lines(config: Option<&ProsodyConfig>, hosts: &[DomainPart], component: &DomainPart, secret: &str) -> Lines {
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
    let (is_known, empty) = (config.is_some(), ProsodyConfig::default());
    let config = config.unwrap_or(&empty);
    let plugins = plugin_paths(config);
    let of_hosts: Vec<_> = hosts.iter().map(|host| lines_of_host(config, is_known, host, component)).collect();
    let of_each = |part: fn(&Lines) -> &String| of_hosts.iter().map(part).map(String::as_str).collect::<String>();
    let component = component_lines(config.host(component), component, secret);
    let separate = |text: &str| if text.is_empty() { String::new() } else { format!("{text}\n") };
    Lines {
        apart: format!("{}{}{}", separate(plugins.apart()), of_each(|lines| &lines.apart), component.apart()),
        changes: format!("{}{}{}", plugins.change(), of_each(|lines| &lines.changes), component.change()),
        all: format!(
            "{about}-- Restart Prosody afterwards.\n\n{}\n{}{}{PAGES}",
            plugins.text(),
            of_each(|lines| &lines.all),
            component.text()
        ),
    }
}

/// The lines for a VirtualHost. `is_known`: the configuration was read.
fn lines_of_host(config: &ProsodyConfig, is_known: bool, host: &DomainPart, component: &DomainPart) -> Lines {
    let existing = config.host(host);
    let empty = Section::default();
    let section = existing.map_or(&empty, |existing| &existing.section);
    let settings = [
        component_name(section, host, component),
        match config.global.list("modules_enabled").iter().any(|module| module == "easy_invite") {
            true => Addition::There(format!(
                "{INDENT}-- modules_enabled of the whole server has \"easy_invite\" already.\n"
            )),
            false => addition(section, "modules_enabled", &["easy_invite"], INDENT),
        },
        disabled(config, section),
    ];
    let opened = open_registration(&config.global, section);
    let place = host_place(is_known, existing, host);
    let text = settings.iter().map(Addition::text).collect::<String>();
    let all = format!("{}VirtualHost \"{host}\"\n{text}{CLOSED}{}\n", place.text(), opened.text());
    let new = settings.iter().map(Addition::apart).collect::<String>();
    let is_to_open = matches!(place, Addition::New(_)) && (existing.is_none() || !new.is_empty());
    Lines {
        apart: if is_to_open { format!("VirtualHost \"{host}\"\n{new}{CLOSED}\n") } else { String::new() },
        changes: match place {
            Addition::New(_) => settings.iter().chain([&opened]).map(Addition::change).collect(),
            _ => all.clone(),
        },
        all,
    }
}

/// The folder with the module, unless Prosody finds the module already.
fn plugin_paths(config: &ProsodyConfig) -> Addition {
    match config.our_module() {
        Some(file) => Addition::There(format!("-- Prosody finds the module: {}.\n", printable(file.display()))),
        None => match addition(&config.global, "plugin_paths", &[PLUGIN_PATH], "") {
            Addition::New(line) => Addition::New(format!(
                "-- Before the first VirtualHost. mod_easy_invite must be in one of these folders:\n\
                 --     easy-invite prosody-module --install {PLUGIN_PATH}\n{line}"
            )),
            other => other,
        },
    }
}

/// The component's name, if it is not the one that the module takes by default.
fn component_name(section: &Section, host: &DomainPart, component: &DomainPart) -> Addition {
    const SETTING: &str = "easy_invite_component";
    let line = format!("{INDENT}{SETTING} = {}\n", quoted(component.as_str()));
    match section.get(SETTING) {
        None if component.as_str() == format!("invite.{host}") => Addition::There(String::new()),
        None => Addition::New(line),
        Some((Value::Text(text), _)) if text == component.as_str() => Addition::There(String::new()),
        Some((_, place)) => Addition::Change(format!("{INDENT}-- In place of {SETTING} in {place}:\n{line}")),
    }
}

fn disabled(config: &ProsodyConfig, section: &Section) -> Addition {
    let is_known = matches!(config.global.get("modules_enabled"), Some((Value::List(_), _)));
    let rivals = if is_known { config.rivals(section) } else { OWN_INVITES.to_vec() };
    match rivals.is_empty() {
        true => Addition::There(String::new()),
        false => addition(section, "modules_disabled", &rivals, INDENT),
    }
}

/// The line with which a setting has these texts besides those that it has already.
pub fn addition(section: &Section, setting: &str, added: &[&str], indent: &str) -> Addition {
    let list = |texts: &[&str]| texts.iter().map(|text| lua(text)).collect::<Vec<_>>().join(", ");
    match section.get(setting) {
        None => Addition::New(format!("{indent}{setting} = {{ {} }}\n", list(added))),
        Some((Value::List(texts), place)) => {
            let mut all: Vec<_> = texts.iter().map(String::as_str).collect();
            all.extend(added.iter().filter(|text| !texts.iter().any(|it| it == *text)));
            if all.len() == texts.len() {
                return Addition::There(format!("{indent}-- {setting} has {} already: {place}.\n", list(added)));
            }
            let line = format!("{indent}{setting} = {{ {} }}\n", list(&all));
            Addition::Change(format!("{indent}-- In place of {setting} in {place}:\n{line}"))
        }
        Some((_, place)) => Addition::Change(format!("{indent}-- Add to {setting} in {place}: {}\n", list(added))),
    }
}

/// The line that opens a VirtualHost. Another file may open it again, unless its name is a problem.
fn host_place(is_known: bool, existing: Option<&Host>, host: &DomainPart) -> Addition {
    match existing {
        Some(Host { component: Some(_), place, .. }) => {
            Addition::Change(format!("-- {place} has a Component of this name, and easy-invite serves VirtualHosts.\n"))
        }
        Some(Host { name, place, .. }) if name != host.as_str() => Addition::Change(format!(
            "-- In place of VirtualHost {} in {place}, which clients know by this name:\n",
            lua(name)
        )),
        Some(Host { place, .. }) => {
            Addition::New(format!("-- This one is there, {place}: the settings belong there.\n"))
        }
        None if is_known => Addition::New("-- There is no such VirtualHost yet: this is a new one.\n".to_owned()),
        None => Addition::New(String::new()),
    }
}

/// The request to remove `allow_registration = true`, if it is there.
fn open_registration(global: &Section, section: &Section) -> Addition {
    let opened = [section, global].into_iter().find_map(|it| it.get("allow_registration"));
    match opened {
        Some((Value::Bool(true), place)) => {
            Addition::Change(format!("{INDENT}-- Take allow_registration out of {place}.\n"))
        }
        _ => Addition::There(String::new()),
    }
}

fn component_lines(existing: Option<&Host>, component: &DomainPart, secret: &str) -> Addition {
    let lines = format!("Component \"{component}\"\n{INDENT}component_secret = {}\n", quoted(secret));
    match existing {
        Some(Host { component: Some(module), section, place, .. }) if module == "component" => {
            match section.get("component_secret") {
                Some((Value::Text(its), place)) if its == secret => {
                    Addition::There(format!("-- Component \"{component}\" has this secret already: {place}.\n"))
                }
                there => {
                    let place = there.map_or(place, |(_, place)| place);
                    Addition::Change(format!("-- In place of its component_secret in {place}:\n{lines}"))
                }
            }
        }
        Some(Host { place, .. }) => Addition::Change(format!(
            "-- {place} has this name for something else. Choose another here, in component.jid of easy-invite's\n\
             -- configuration, and as easy_invite_component in the VirtualHost.\n{lines}"
        )),
        None => Addition::New(lines),
    }
}

/// A text in Lua's notation.
fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    let plain = |c: char| match c.is_control() {
        true => c.to_string().bytes().map(|byte| format!("\\{byte:03}")).collect(),
        false => c.to_string(),
    };
    format!("\"{}\"", escaped.chars().map(plain).collect::<String>())
}

/// A text in Lua's notation, safe to print.
fn lua(text: &str) -> String {
    printable(quoted(text))
}
