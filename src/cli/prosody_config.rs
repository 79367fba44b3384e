//! Reads the configuration of Prosody. It is a program in Lua that others may have written, so it
//! is never run: only literal values are known, and not what an expression yields.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use jid::DomainPart;

use super::lua::{Statement, Value, statements};
use super::print::say;
use crate::jids;
use crate::prosody_module::{FOLDER, MAIN_FILE, removal};
use crate::texts::printable;

/// The variable that names Prosody's configuration, here and for prosodyctl.
const FILE_VARIABLE: &str = "PROSODY_CONFIG";

/// Where Prosody's configuration is: in a package, and after Prosody's own `make install`.
const PLACES: [&str; 2] = ["/etc/prosody/prosody.cfg.lua", "/usr/local/etc/prosody/prosody.cfg.lua"];

/// The same for its data, with the modules that `prosodyctl install` has installed.
const DATA: [&str; 2] = ["/var/lib/prosody", "/usr/local/var/lib/prosody"];

/// The same for the modules that Prosody comes with.
const OWN_MODULES: [&str; 2] = ["/usr/lib/prosody/modules", "/usr/local/lib/prosody/modules"];

/// A module that every Prosody comes with. A folder without it has only what somebody else put
/// there.
const ONE_OF_ITS_OWN: &str = "mod_presence.lua";

/// The oldest Prosody that can load the module: 0.12.
const OLDEST_MINOR: u32 = 12;

/// The message if there is no configuration.
const NO_PROSODY: &str = "no configuration of Prosody is found on this machine: install Prosody first (sudo apt \
                          install prosody), or name a copy of the configuration, if it runs elsewhere (--prosody FILE)";

/// The most bytes of a file that are read, and the most files.
const LONGEST_FILE: u64 = 1 << 20;
const MOST_FILES: usize = 1000;

/// Other modules that make invites. Beside mod_easy_invite, nobody accepts their links.
const RIVALS: [&str; 6] =
    ["invites", "invites_adhoc", "invites_register", "invites_page", "invites_register_web", "invites_api"];

/// Which configuration of Prosody a command reads.
#[derive(Debug, clap::Args)]
pub struct WhichProsody {
    /// Prosody's configuration: otherwise $PROSODY_CONFIG, or that in /etc/prosody
    #[arg(long, value_name = "FILE")]
    prosody: Option<PathBuf>,
}

impl WhichProsody {
    /// The configuration, if there is one. A problem with it is only a warning, unless the operator
    /// named the file.
    ///
    /// # Errors
    /// If the operator named a file that cannot be read.
    pub fn config(&self) -> anyhow::Result<Option<ProsodyConfig>> {
        if let Some(file) = &self.prosody {
            return Ok(Some(ProsodyConfig::read(file).map_err(anyhow::Error::msg)?));
        }
        let found = ProsodyConfig::find();
        match &found {
            Ok(None) if std::env::var_os(FILE_VARIABLE).is_none() => say(NO_PROSODY),
            Ok(None) => (),
            Err(problem) => say(problem),
            Ok(Some(_)) => too_old().iter().for_each(say),
        }
        Ok(found.unwrap_or_default())
    }
}

/// The warning that the Prosody of this machine is too old for the module, if it is.
fn too_old() -> Option<String> {
    let files = OWN_MODULES.iter().map(|modules| Path::new(modules).with_file_name("prosody.version"));
    let version = files.filter_map(|file| text_of(&file).ok()).next()?;
    let version = printable(version.trim());
    let minor = version.strip_prefix("0.")?.split('.').next()?.parse::<u32>().ok()?;
    (minor < OLDEST_MINOR).then(|| {
        format!("Prosody {version} is on this machine, and mod_easy_invite needs 0.12 or newer: upgrade Prosody first")
    })
}

/// Where something is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    file: PathBuf,
    line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, line {}", printable(self.file.display()), self.line)
    }
}

/// The settings of the whole server, of a VirtualHost or of a component.
#[derive(Debug, Default)]
pub struct Section {
    /// By their names, each with its last value.
    settings: BTreeMap<String, (Value, Place)>,
}

impl Section {
    pub fn get(&self, setting: &str) -> Option<&(Value, Place)> {
        self.settings.get(setting)
    }

    /// The texts of a list that is there.
    pub fn list(&self, setting: &str) -> &[String] {
        match self.get(setting) {
            Some((Value::List(texts), _)) => texts,
            _ => &[],
        }
    }
}

/// A VirtualHost or a component.
#[derive(Debug)]
pub struct Host {
    /// The name as it is written.
    pub name: String,
    /// The module of a component; `component` is one outside of Prosody.
    pub component: Option<String>,
    pub place: Place,
    pub section: Section,
}

/// What is known of the configuration.
#[derive(Debug, Default)]
pub struct ProsodyConfig {
    /// The file that includes the others.
    pub file: PathBuf,
    /// The settings of the whole server, which stand before any host.
    pub global: Section,
    pub hosts: Vec<Host>,
    /// Files that it includes and that cannot be read, with the reason.
    pub unread: Vec<String>,
    /// What it includes: names of files, or patterns.
    included: Vec<PathBuf>,
    /// How many files were read.
    read: usize,
}

impl ProsodyConfig {
    /// The configuration of this machine, if there is one: at `$PROSODY_CONFIG`, or where Prosody
    /// looks for it.
    ///
    /// # Errors
    /// If it is there and cannot be read.
    pub fn find() -> Result<Option<Self>, String> {
        let named = std::env::var_os(FILE_VARIABLE).map(PathBuf::from);
        let places = named.map_or_else(|| PLACES.map(PathBuf::from).to_vec(), |named| vec![named]);
        places.iter().find(|file| file.symlink_metadata().is_ok()).map(|file| Self::read(file)).transpose()
    }

    /// The configuration in a file, and in those that it includes.
    ///
    /// # Errors
    /// If the file itself cannot be read.
    pub fn read(file: &Path) -> Result<Self, String> {
        let mut config = Self { file: file.to_owned(), ..Self::default() };
        config.add(file);
        if config.read == 0 { Err(config.unread.concat()) } else { Ok(config) }
    }

    /// The VirtualHost or component of a name, however it is written.
    pub fn host(&self, name: &DomainPart) -> Option<&Host> {
        self.hosts.iter().find(|host| jids::domain(&host.name).is_ok_and(|its| its == *name))
    }

    /// The VirtualHosts that enable our module.
    pub fn served(&self) -> impl Iterator<Item = &Host> {
        let served = |its: &&Host| its.component.is_none() && self.enables(&its.section, "easy_invite");
        self.hosts.iter().filter(served)
    }

    fn enables(&self, section: &Section, module: &str) -> bool {
        let is_in = |setting| [&self.global, section].iter().any(|it| it.list(setting).iter().any(|it| it == module));
        is_in("modules_enabled") && !is_in("modules_disabled")
    }

    /// The rivals that a VirtualHost enables.
    pub fn rivals(&self, section: &Section) -> Vec<&'static str> {
        RIVALS.into_iter().filter(|rival| self.enables(section, rival)).collect()
    }

    /// The folders with modules, in the order in which Prosody looks in them.
    pub fn plugin_folders(&self) -> Vec<PathBuf> {
        let installed = match self.global.get("installer_plugin_path") {
            Some((Value::Text(path), _)) => path.as_str(),
            _ => "custom_plugins",
        };
        let installed = DATA.map(|data| Path::new(data).join(installed));
        let plugins = self.global.list("plugin_paths").iter().map(PathBuf::from);
        let [packaged, built] = OWN_MODULES.map(PathBuf::from);
        let own = [Some(packaged), Some(built).filter(|folder| folder.join(ONE_OF_ITS_OWN).exists())];
        installed.into_iter().chain(plugins).chain(own.into_iter().flatten()).collect()
    }

    /// The file that Prosody loads as mod_easy_invite, found in the way of its util.pluginloader.
    pub fn module_file(&self) -> Option<PathBuf> {
        self.module_files().next()
    }

    /// All files that Prosody could load as mod_easy_invite, in the order in which it looks for
    /// them.
    fn module_files(&self) -> impl Iterator<Item = PathBuf> {
        let files = self.plugin_folders().into_iter().flat_map(|folder| {
            let own = ["mod_easy_invite/easy_invite", FOLDER, "easy_invite", ""].map(|it| folder.join(it));
            let of_rocks = fs::read_dir(folder.join("share/lua")).into_iter().flatten().flatten();
            let of_rocks = of_rocks.flat_map(|of_lua| [of_lua.path(), of_lua.path().join(FOLDER)]);
            own.into_iter().chain(of_rocks).map(|folder| folder.join(MAIN_FILE)).collect::<Vec<_>>()
        });
        files.filter(|file| file.is_file())
    }

    /// The warning that Prosody loads another module of this name in place of ours, if it does.
    pub fn namesake(&self) -> Option<String> {
        let file = self.module_file().filter(|file| !is_ours(file))?;
        let [here, path] = [&self.file, &file].map(|it| printable(it.display()));
        Some(format!("According to {here}, Prosody loads {path}, {}: {}", which_module(&file), removal(&file)))
    }

    /// easy-invite's own module among the folders of Prosody. Another module may come before it.
    pub fn our_module(&self) -> Option<PathBuf> {
        self.module_files().find(|file| is_ours(file))
    }

    /// Whether Prosody reads a file.
    pub fn includes(&self, file: &Path) -> bool {
        let folder_of = |path: &Path| Path::new(".").join(path.parent()?).canonicalize().ok();
        let place = |path: &Path| Some((folder_of(path)?, path.file_name()?.to_str()?.to_owned()));
        let is_in = |(folder, name): &(PathBuf, String), pattern: &Path| {
            place(pattern).is_some_and(|(its, pattern)| its == *folder && is_included(name, &pattern))
        };
        place(file).is_some_and(|file| self.included.iter().any(|pattern| is_in(&file, pattern)))
    }

    /// Why Prosody has not loaded our module on a VirtualHost, if the configuration shows that.
    pub fn why_not_loaded(&self, host: &DomainPart) -> Option<String> {
        let its = self.host(host).filter(|its| its.component.is_none())?;
        let is_known = |it: &Section, setting| !matches!(it.get(setting), Some((Value::Other, _)));
        let [of_all, of_host] = [&self.global, &its.section].map(|it| is_known(it, "modules_enabled"));
        match self.module_file() {
            _ if of_all && of_host && !self.enables(&its.section, "easy_invite") => {
                let place = its.section.get("modules_enabled").map_or(&its.place, |(_, place)| place);
                Some(format!("VirtualHost \"{host}\" in {place} does not enable it"))
            }
            None if is_known(&self.global, "plugin_paths") => Some(format!(
                "According to {}, Prosody finds none: easy-invite prosody-module --install DIR, with a folder of \
                 plugin_paths",
                printable(self.file.display())
            )),
            _ => self.namesake(),
        }
    }

    fn add(&mut self, file: &Path) {
        if self.read >= MOST_FILES {
            return;
        }
        let text = match text_of(file) {
            Ok(text) => text,
            Err(error) => return self.unread.push(format!("{} cannot be read: {error}", file.display())),
        };
        self.read += 1;
        let place = |line| Place { file: file.to_owned(), line };
        let mut host = None;
        for (statement, line) in statements(&text) {
            match statement {
                Statement::Section { name, component, settings } => {
                    let index = self.host_index(name, component, place(line));
                    let settings = settings.into_iter().map(|(name, (value, line))| (name, (value, place(line))));
                    self.settings(Some(index)).extend(settings);
                    host = Some(index);
                }
                Statement::Include(pattern) => self.include(file, &pattern),
                Statement::Set(name, value) => drop(self.settings(host).insert(name, (value, place(line)))),
                Statement::Add(name, added) => {
                    if let Some((Value::List(texts), _)) = self.settings(host).get_mut(&name) {
                        texts.extend(added);
                    }
                }
            }
        }
    }

    /// The place of a host in the list. If the name comes again, it is the same host.
    fn host_index(&mut self, name: String, component: Option<String>, place: Place) -> usize {
        self.hosts.iter().position(|host| host.name == name).unwrap_or_else(|| {
            self.hosts.push(Host { name, component, place, section: Section::default() });
            self.hosts.len() - 1
        })
    }

    /// The settings of a host, or of the whole server.
    fn settings(&mut self, host: Option<usize>) -> &mut BTreeMap<String, (Value, Place)> {
        match host.and_then(|index| self.hosts.get_mut(index)) {
            Some(host) => &mut host.section.settings,
            None => &mut self.global.settings,
        }
    }

    /// Reads what `Include` names: one file, or the files whose names match a pattern.
    fn include(&mut self, from: &Path, pattern: &str) {
        let path = from.parent().unwrap_or(Path::new("")).join(pattern);
        self.included.push(path.clone());
        let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
            return;
        };
        if !name.contains(['*', '?']) {
            return self.add(&path);
        }
        let entries = fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<_> = entries.filter(|entry| is_included(entry, name)).collect();
        names.sort();
        names.iter().for_each(|name| self.add(&folder.join(name)));
    }
}

/// Whether a file of the name mod_easy_invite.lua is easy-invite's, of whatever version.
fn is_ours(main: &Path) -> bool {
    text_of(main).is_ok_and(|text| text.contains("docs/gate.md"))
}

/// What a file named mod_easy_invite.lua is, for people.
pub fn which_module(main: &Path) -> String {
    let about = text_of(&main.with_file_name("about.lib.lua")).unwrap_or_default();
    let version = about.split_once("version = \"").and_then(|(_, rest)| rest.split_once('"'));
    match version {
        _ if !is_ours(main) => "another module of this name".to_owned(),
        Some((version, _)) => format!("{FOLDER} {}", printable(version)),
        None => format!("an older {FOLDER}"),
    }
}

/// The text of a regular file: a pipe might never end.
fn text_of(file: &Path) -> io::Result<String> {
    if !fs::metadata(file)?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    File::open(file)?.take(LONGEST_FILE).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether Prosody's `Include` of a pattern with `*` and `?` includes a file of this name.
fn is_included(name: &str, pattern: &str) -> bool {
    !name.starts_with('.') && matches_glob(name, pattern)
}

fn matches_glob(name: &str, pattern: &str) -> bool {
    let (mut rest, mut characters) = (name.chars(), pattern.chars());
    match characters.next() {
        None => name.is_empty(),
        Some('*') => {
            let pattern = characters.as_str();
            name.char_indices().any(|(at, _)| name.get(at..).is_some_and(|rest| matches_glob(rest, pattern)))
                || matches_glob("", pattern)
        }
        Some(wanted) => {
            rest.next().is_some_and(|it| wanted == '?' || wanted == it)
                && matches_glob(rest.as_str(), characters.as_str())
        }
    }
}
