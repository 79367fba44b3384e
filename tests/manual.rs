//! The man pages and the completions of shells, as examples/manual.rs writes them.

#[path = "../examples/manual.rs"]
#[expect(dead_code, reason = "the example's own main")]
mod manual;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use easy_invite::{cli, config};
use tempfile::TempDir;

fn written() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    manual::write(folder.path()).unwrap();
    folder
}

/// A page on a terminal of 80 columns, without warnings of groff.
fn page(file: &Path) -> String {
    let arguments = ["-man", "-K", "utf8", "-T", "utf8", "-P-cbou", "-ww", "-rLL=80n"];
    let Output { stdout, stderr, .. } = Command::new("groff").args(arguments).arg(file).output().unwrap();
    let (shown, warnings) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert_eq!(warnings, "", "{}", file.display());
    for line in shown.lines() {
        assert!(line.chars().count() <= 80, "{}: {line}", file.display());
    }
    shown
}

#[test]
fn a_page_names_documents_by_their_whole_path() {
    let folder = written();
    let mut named = 0;
    for section in ["man1", "man5"] {
        for file in fs::read_dir(folder.path().join(section)).unwrap() {
            let page = page(&file.unwrap().path());
            for (before, name) in page.match_indices("docs/").map(|(at, _)| page.split_at(at)) {
                assert!(before.ends_with("/usr/share/doc/easy-invite/"), "{before}{name}");
                named += 1;
            }
        }
    }
    assert!(named > 1);
}

/// The words of a text, with one space between them.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn has_its_page(command: &clap::Command, folder: &Path) {
    let name = command.get_display_name().unwrap_or("easy-invite");
    let page = words(&page(&folder.join(format!("man1/{name}.1"))));
    let about = command.get_about().unwrap().to_string();
    assert_eq!(page.matches(&about).count(), 1 + usize::from(command.get_long_about().is_none()), "{name}: {about}");
    for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
        let written = argument.get_long().map(|long| format!("--{long}"));
        let value = || argument.get_value_names().map_or(argument.get_id().as_str(), |names| names[0].as_str());
        let written = written.unwrap_or_else(|| value().to_uppercase());
        let help = argument
            .get_long_help()
            .or(argument.get_help())
            .map(|help| words(&help.to_string().replace('`', "")))
            .unwrap_or_default();
        assert!(page.contains(&written) && page.contains(&help), "{name}: {written}: {help}\n{page}");
    }
    for its in command.get_subcommands() {
        assert!(page.contains(&format!("{}(1)", its.get_display_name().unwrap())), "{name}: {page}");
        has_its_page(its, folder);
    }
}

#[test]
fn every_command_has_a_page_with_all_that_its_help_says() {
    let folder = written();
    let mut definition = cli::definition().disable_help_subcommand(true);
    definition.build();
    has_its_page(&definition, folder.path());
    let page = page(&folder.path().join("man1/easy-invite.1"));
    for heading in ["EXIT STATUS", "ENVIRONMENT", "FILES", "SEE ALSO"] {
        assert!(page.lines().any(|line| line == heading), "{heading}: {page}");
    }
    let pages = fs::read_dir(folder.path().join("man1")).unwrap().count();
    let all = definition.get_subcommands().map(|its| 1 + its.get_subcommands().count());
    assert_eq!(pages, 1 + all.sum::<usize>());
}

#[test]
fn every_key_of_the_configuration_is_in_its_page_with_its_default() {
    let folder = written();
    let page = page(&folder.path().join("man5/easy-invite.toml.5"));
    let is_headed = |name: &str| page.lines().any(|line| line.split_whitespace().next() == Some(name));
    let mut keys = 0;
    for line in config::EXAMPLE.lines() {
        let bare = line.trim_start_matches('#').trim();
        let is_prose = line.starts_with("# ") && !line.starts_with("#  ");
        if let Some((key, value)) = bare.split_once(" = ").filter(|_| !is_prose) {
            keys += 1;
            assert!(is_headed(key), "{key}: {page}");
            let is_default = line.starts_with('#') && !line.starts_with("# ");
            assert!(!is_default || words(&page).contains(&format!(": {value}")), "{key}: {value}");
        } else if bare.starts_with('[') && !is_prose {
            assert!(is_headed(bare), "{bare}: {page}");
        } else if is_prose {
            let is_of_the_file = ["# Every key of easy-invite", "# remove the \"#\""];
            let text = words(&bare.replace('`', "").replace("docs/", "/usr/share/doc/easy-invite/docs/"));
            assert!(
                is_of_the_file.iter().any(|it| line.starts_with(it)) || words(&page).contains(&text),
                "{text}: {page}"
            );
        }
    }
    assert!(keys > 40, "{keys}");
}

/// Whether a shell completes a line in this way. Its script has the folder of completions, the line
/// and what is expected as its arguments, and prints what it finds.
fn completes(folder: &Path, shell: &str, line: &str, expected: &str) -> bool {
    let script = SHELLS.iter().find(|(name, _)| *name == shell).unwrap().1;
    let mut command = Command::new("timeout");
    command.args(["30", shell, "-c", script]).args((shell != "fish").then_some(shell));
    command.arg(folder.join("completions")).args([line, expected]);
    let found = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let is_found = if expected.is_empty() { found.trim().is_empty() } else { found.contains(expected) };
    println!("{shell}: {line}: {found}");
    is_found
}

const SHELLS: [(&str, &str); 3] = [("bash", BASH), ("zsh", ZSH), ("fish", FISH)];

const BASH: &str = r#"
source "$1/easy-invite.bash"
[[ $(complete -p easy-invite) =~ -F\ ([^ ]+) ]]
read -ra COMP_WORDS <<<"$2"
[[ $2 != *' ' ]] || COMP_WORDS+=('')
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
"${BASH_REMATCH[1]}" easy-invite "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}" 2>/dev/null
printf '%s\n' "${COMPREPLY[@]}"
"#;

/// Types the line and TAB in a shell of its own, and reads until that shows what is expected.
const ZSH: &str = r#"
zmodload zsh/zpty
zpty its zsh -f -i
zpty -w its "fpath=(${(q)1} \$fpath); autoload -Uz compinit; compinit -u -D; PS1=; print READ''Y"
zpty -r -m its text '*READY*'
zpty -w -n its "$2"$'\t'
zpty -r -m its text "*$3*"
print -r -- ${(V)text}
"#;

const FISH: &str = r#"
source $argv[1]/easy-invite.fish
complete --do-complete $argv[2]
"#;

#[test]
fn shells_complete_commands_options_and_states() {
    let written = written();
    for (shell, _) in SHELLS {
        assert!(completes(written.path(), shell, "easy-invite gen", "generate"));
        assert!(completes(written.path(), shell, "easy-invite list --st", "--state"));
        assert!(completes(written.path(), shell, "easy-invite list --state red", "redeemed"));
        assert!(completes(written.path(), shell, "easy-invite import prosody --dry", "--dry-run"));
        assert!(completes(written.path(), shell, "easy-invite migrate", "migrate-store"));
        assert!(completes(written.path(), shell, "easy-invite migrate-store --con", "--config"));
    }
}

#[test]
fn shells_complete_files_and_no_names_of_people() {
    let (written, folder) = (written(), tempfile::tempdir().unwrap());
    fs::write(folder.path().join("backup.db"), "").unwrap();
    let start = format!("{}/back", folder.path().display());
    for (shell, _) in SHELLS {
        assert!(completes(written.path(), shell, &format!("easy-invite check --config {start}"), "backup.db"));
        // bash itself completes the names of files where the script knows nothing.
        assert!(completes(
            written.path(),
            shell,
            &format!("easy-invite restore {start}"),
            if shell == "bash" { "" } else { "backup.db" }
        ));
    }
    for shell in ["bash", "fish"] {
        assert!(completes(written.path(), shell, "easy-invite generate --contact ", ""));
    }
}
