//! The files of mod_easy_invite in this version, and how what Prosody has loaded differs from them.
//! No I/O.

use std::path::Path;

use jid::DomainPart;
use sha2::{Digest, Sha256};

use crate::chat_server::{Hook, HookFile};

/// This version of easy-invite, and so of the module that belongs to it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The folder of the module, in a folder of Prosody's `plugin_paths`.
pub const FOLDER: &str = "mod_easy_invite";

/// The file that loads the others.
pub const MAIN_FILE: &str = "mod_easy_invite.lua";

/// Name and text of each file of the module. The one that loads the others comes last: when Prosody
/// finds it, the others are there.
pub const FILES: [(&str, &str); 11] = [
    ("about.lib.lua", include_str!("../prosody/mod_easy_invite/about.lib.lua")),
    ("accounts.lib.lua", include_str!("../prosody/mod_easy_invite/accounts.lib.lua")),
    ("commands.lib.lua", include_str!("../prosody/mod_easy_invite/commands.lib.lua")),
    ("daemon.lib.lua", include_str!("../prosody/mod_easy_invite/daemon.lib.lua")),
    ("gate.lib.lua", include_str!("../prosody/mod_easy_invite/gate.lib.lua")),
    ("grants.lib.lua", include_str!("../prosody/mod_easy_invite/grants.lib.lua")),
    ("hosts.lib.lua", include_str!("../prosody/mod_easy_invite/hosts.lib.lua")),
    ("nicknames.lib.lua", include_str!("../prosody/mod_easy_invite/nicknames.lib.lua")),
    ("prosodyctl.lib.lua", include_str!("../prosody/mod_easy_invite/prosodyctl.lib.lua")),
    ("rights.lib.lua", include_str!("../prosody/mod_easy_invite/rights.lib.lua")),
    (MAIN_FILE, include_str!("../prosody/mod_easy_invite/mod_easy_invite.lua")),
];

/// The hook of a VirtualHost in a few words: the server, and the module's version and place.
pub fn described(hook: &Hook) -> String {
    let version = hook.version.iter().map(|version| format!(", mod_easy_invite {version}"));
    let place = main_file(hook).map(|path| format!(" in {}", plugin_path(path).display()));
    [hook.software.clone()].into_iter().chain(version).chain(place).collect()
}

/// The problems of a VirtualHost's hook, and what to do: a sentence each. Of another server than
/// Prosody, only the hook's own warnings are known.
pub fn problems(host: &DomainPart, hook: &Hook) -> Vec<String> {
    let loaded =
        hook.software.starts_with("Prosody").then(|| [problem_of_files(hook), problem_of_rivals(host, &hook.rivals)]);
    loaded.into_iter().flatten().flatten().chain(hook.warnings.iter().cloned()).collect()
}

fn problem_of_files(hook: &Hook) -> Option<String> {
    let main = main_file(hook).unwrap_or(Path::new(""));
    let place = if main.is_absolute() { plugin_path(main) } else { Path::new("DIR") };
    let install = match is_of_rock(main) {
        true => format!("prosodyctl install /tmp/{FOLDER}-{VERSION}-1.src.rock"),
        false => format!("easy-invite prosody-module --install {}", place.display()),
    } + ", then restart Prosody";
    let Some(version) = &hook.version else {
        return Some(format!(
            "mod_easy_invite does not say its version, so it is older than this {VERSION}: {install}"
        ));
    };
    if hook.replaced {
        return Some(format!(
            "Prosody still runs mod_easy_invite {version} as it was before its files in {} were replaced: \
             restart Prosody",
            place.display()
        ));
    }
    if version != VERSION {
        return Some(format!("{} is mod_easy_invite {version}, and this is {VERSION}: {install}", main.display()));
    }
    let others: Vec<_> = FILES.iter().filter_map(|(name, text)| other_file(hook, main, name, text)).collect();
    (!others.is_empty()).then(|| {
        let others = others.join(", ");
        format!(
            "files of mod_easy_invite that were changed, or are of another version: {others}. To get those of \
             {VERSION}: {install}"
        )
    })
}

/// The file that Prosody has loaded, if it is not the one that belongs here.
fn other_file(hook: &Hook, main: &Path, name: &str, text: &str) -> Option<String> {
    let Some(HookFile { path, sha256, .. }) = hook.files.iter().find(|file| file.name == name) else {
        return Some(format!("{name} (missing)"));
    };
    let is_ours = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect::<String>() == *sha256;
    let is_here = Path::new(path).parent() == main.parent();
    (!is_ours || !is_here).then(|| path.clone())
}

fn problem_of_rivals(host: &DomainPart, rivals: &[String]) -> Option<String> {
    let names: Vec<_> = rivals.iter().map(|rival| format!("\"{}\"", rival.trim_start_matches("mod_"))).collect();
    (!rivals.is_empty()).then(|| {
        format!(
            "{} {} links that nobody accepts: keep those that were sent (easy-invite import prosody), and add to \
             modules_disabled of VirtualHost \"{host}\": {}",
            rivals.join(", "),
            if rivals.len() == 1 { "makes" } else { "make" },
            names.join(", ")
        )
    })
}

fn main_file(hook: &Hook) -> Option<&Path> {
    hook.files.iter().find(|file| file.name == MAIN_FILE).map(|file| Path::new(&file.path))
}

/// Whether `prosodyctl install` has put a file in its place, where LuaRocks keeps modules.
fn is_of_rock(main: &Path) -> bool {
    main.ancestors().any(|folder| folder.ends_with("share/lua"))
}

/// How to remove a file, so that Prosody loads another one.
pub fn removal(main: &Path) -> &'static str {
    if is_of_rock(main) { "prosodyctl remove mod_easy_invite" } else { "remove it" }
}

/// The folder of `plugin_paths` from which Prosody took this file.
fn plugin_path(main: &Path) -> &Path {
    let folder = main.parent().unwrap_or(main);
    if folder.ends_with(FOLDER) { folder.parent().unwrap_or(folder) } else { folder }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> DomainPart {
        DomainPart::new("example.org").unwrap().into_owned()
    }

    fn ours() -> Hook {
        let file = |&(name, text): &(&str, &str)| HookFile {
            name: name.to_owned(),
            path: format!("/modules/mod_easy_invite/{name}"),
            sha256: Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect(),
        };
        Hook {
            software: "Prosody 13.0.1".to_owned(),
            version: Some(VERSION.to_owned()),
            files: FILES.iter().map(file).collect(),
            ..Hook::default()
        }
    }

    fn told(hook: &Hook) -> String {
        problems(&host(), hook).join("\n")
    }

    #[test]
    fn the_version_and_the_files_in_the_module_are_these() {
        let (_, about) = FILES.iter().find(|(name, _)| *name == "about.lib.lua").unwrap();
        assert!(about.contains(&format!("version = \"{VERSION}\"")));
        for (name, _) in FILES {
            assert!(about.contains(&format!("\"{name}\"")), "about.lib.lua lists {name}");
        }
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("prosody").join(FOLDER);
        let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        assert_eq!(files.filter(|file| file.extension().is_some_and(|it| it == "lua")).count(), FILES.len());
    }

    #[test]
    fn the_module_of_this_version_is_described_and_nothing_is_amiss() {
        assert_eq!(told(&ours()), "");
        assert_eq!(described(&ours()), format!("Prosody 13.0.1, mod_easy_invite {VERSION} in /modules"));
        let warned = Hook { warnings: vec!["it has no certificate".to_owned()], ..ours() };
        assert_eq!(told(&warned), "it has no certificate");
        let of_another_server = Hook { software: "ejabberd 26.1".to_owned(), ..Hook::default() };
        assert_eq!(
            (told(&of_another_server), described(&of_another_server)),
            (String::new(), "ejabberd 26.1".to_owned())
        );
    }

    #[test]
    fn what_is_loaded_and_not_of_this_version_is_named_with_what_to_do() {
        let install = "easy-invite prosody-module --install /modules, then restart Prosody";
        let older = Hook { version: None, files: Vec::new(), ..ours() };
        assert!(told(&older).contains("older than this") && told(&older).contains("--install DIR"));
        let other = Hook { version: Some("0.0.9".to_owned()), ..ours() };
        assert!(told(&other).starts_with("/modules/mod_easy_invite/mod_easy_invite.lua is mod_easy_invite 0.0.9, and"));
        assert!(told(&other).ends_with(install));
        assert!(
            told(&Hook { replaced: true, ..other }).ends_with("its files in /modules were replaced: restart Prosody")
        );

        let with = |change: &dyn Fn(&mut Vec<HookFile>)| {
            let mut hook = ours();
            change(&mut hook.files);
            told(&hook)
        };
        assert!(with(&|files| files[0].sha256.clear()).contains(": /modules/mod_easy_invite/about.lib.lua. To get"));
        assert!(
            with(&|files| files[1].path = "/old/accounts.lib.lua".to_owned()).contains(": /old/accounts.lib.lua. To")
        );
        assert!(with(&|files| drop(files.remove(4))).contains(": gate.lib.lua (missing). To"));
        assert!(with(&|files| files[4].sha256.clear()).ends_with(install));
    }

    #[test]
    fn a_module_of_a_rock_is_replaced_and_removed_by_prosodyctl() {
        let of_rock = |file: HookFile| HookFile {
            path: file.path.replace("/modules", "/var/lib/prosody/custom_plugins/share/lua/5.4"),
            ..file
        };
        let rock = Hook { files: ours().files.into_iter().map(of_rock).collect(), ..ours() };
        assert_eq!(told(&rock), "");
        let older = told(&Hook { version: Some("0.0.9".to_owned()), ..rock });
        let install = format!("prosodyctl install /tmp/mod_easy_invite-{VERSION}-1.src.rock, then restart Prosody");
        assert!(older.ends_with(&install), "{older}");
        assert_eq!(removal(Path::new("/x/share/lua/5.4/mod_easy_invite.lua")), "prosodyctl remove mod_easy_invite");
        assert_eq!(removal(Path::new("/usr/share/mod_easy_invite.lua")), "remove it");
    }

    #[test]
    fn rivals_are_named_with_what_to_disable() {
        let rivals = ["mod_invites", "mod_invites_page"].map(str::to_owned).to_vec();
        assert_eq!(
            told(&Hook { rivals, ..ours() }),
            "mod_invites, mod_invites_page make links that nobody accepts: keep those that were sent (easy-invite \
             import prosody), and add to modules_disabled of VirtualHost \"example.org\": \"invites\", \"invites_page\""
        );
    }
}
