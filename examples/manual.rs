//! Writes the man pages and the completions of shells, from the definitions of the command line and
//! from config.example.toml: `cargo run --example manual -- FOLDER`.
//!
//! FOLDER gets `man1/easy-invite.1`, `man1/easy-invite-COMMAND.1` for each command,
//! `man5/easy-invite.toml.5`, and in `completions` a file each for bash, zsh and fish.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{fs, io};

use clap::{Arg, Command, ValueHint};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};
use easy_invite::{cli, config};

const NAME: &str = "easy-invite";
const CONFIGURATION: &str = "easy-invite.toml";

/// The columns of an example. A page has seven more before them, and a reader's terminal 80.
const COLUMNS: usize = 72;

/// The headings for what stands below a command's options. What begins with none of these words is
/// about the output.
const HEADINGS: [(&str, &str); 5] = [
    ("Example:", "EXAMPLES"),
    ("Examples:", "EXAMPLES"),
    ("First steps:", "FIRST STEPS"),
    ("Exit codes:", "EXIT STATUS"),
    ("Environment:", "ENVIRONMENT"),
];

const FILES: [(&str, &str); 4] = [
    ("/etc/easy-invite/config.toml", "The configuration: easy-invite.toml(5)."),
    ("/var/lib/easy-invite/easy-invite.db", "The store. SQLite's files and the control socket are beside it."),
    ("/usr/lib/prosody/modules/mod_easy_invite", "The module for Prosody, as a package has it."),
    ("/usr/share/doc/easy-invite", "README.md, docs and samples, as a package has them."),
];

fn main() -> Result<(), Box<dyn Error>> {
    write(&std::env::args_os().nth(1).map(PathBuf::from).ok_or("usage: manual FOLDER")?)
}

/// Writes all of it into a folder, which is made if it is missing.
pub fn write(folder: &Path) -> Result<(), Box<dyn Error>> {
    let [commands, formats, completions] = ["man1", "man5", "completions"].map(|name| folder.join(name));
    [&commands, &formats, &completions].into_iter().try_for_each(fs::create_dir_all)?;
    let mut definition = cli::definition().disable_help_subcommand(true);
    definition.build();
    write_pages(&definition, &definition, &commands)?;
    fs::write(formats.join(format!("{CONFIGURATION}.5")), finished(&configuration_page().render()))?;
    for shell in [Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut with_hints(cli::definition()), NAME, &completions)?;
    }
    Ok(fs::write(completions.join("easy-invite.bash"), for_bash()?)?)
}

/// clap_complete 4.6 writes a function that knows no command of a program with a hyphen in its
/// name. So it gets another name, which only its last lines tell bash.
fn for_bash() -> Result<String, Box<dyn Error>> {
    let mut script = Vec::new();
    clap_complete::generate(Shell::Bash, &mut with_hints(cli::definition()), "easy_invite", &mut script);
    Ok(String::from_utf8(script)?.replace(" easy_invite\n", &format!(" {NAME}\n")))
}

/// A shell completes names of files and folders where a value is one, and nothing where it cannot
/// know.
fn with_hints(command: Command) -> Command {
    let hint = |argument: Arg| {
        let is_folder = argument.get_value_names().is_some_and(|names| names.iter().any(|name| name == "DIR"));
        match argument.get_value_hint() {
            ValueHint::AnyPath if is_folder => argument.value_hint(ValueHint::DirPath),
            ValueHint::AnyPath => argument.value_hint(ValueHint::FilePath),
            _ if argument.get_action().takes_values() => argument.value_hint(ValueHint::Other),
            _ => argument,
        }
    };
    command.mut_args(hint).mut_subcommands(with_hints)
}

/// Writes the page of a command, and those of its own commands.
fn write_pages(command: &Command, all: &Command, folder: &Path) -> Result<(), Box<dyn Error>> {
    // What stands as the name is not said again.
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    let description = about.split_once("\n\n").map_or(about.as_str(), |(_, rest)| rest).to_owned();
    let (name, man) = (page_name(command), Man::new(command.clone().long_about(description)));
    let mut page = title(name, "1").render();
    page += &section(|page| man.render_name_section(page))?;
    page += &synopsis(command).render();
    page += &section(|page| man.render_description_section(page))?;
    page += &section(|page| man.render_options_section(page))?;
    page += &commands(command).render();
    page += &below_options(command).render();
    page += &last_sections(command, all, &page).render();
    fs::write(folder.join(format!("{name}.1")), finished(&page))?;
    command.get_subcommands().try_for_each(|its| write_pages(its, all, folder))
}

fn section(render: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) -> Result<String, Box<dyn Error>> {
    let mut page = Vec::new();
    render(&mut page)?;
    Ok(String::from_utf8(page)?)
}

fn page_name(command: &Command) -> &str {
    command.get_display_name().unwrap_or(NAME)
}

/// Without a date: two builds make the same page.
fn title(name: &str, section: &str) -> Roff {
    let version = format!("{NAME} {}", env!("CARGO_PKG_VERSION"));
    let mut page = Roff::new();
    page.control("TH", [name, section, "\"\"", &version, NAME]);
    // No word is cut where a reader may want to copy it.
    page.control("nh", []).control("ad", ["l"]);
    page
}

/// How the command is used, in the words of its help.
fn synopsis(command: &Command) -> Roff {
    let mut page = Roff::new();
    let name = command.get_bin_name().unwrap_or(NAME);
    let usage = command.clone().render_usage().to_string();
    page.control("SH", ["SYNOPSIS"]);
    for (number, line) in usage.trim_start_matches("Usage:").lines().map(str::trim).enumerate() {
        if number > 0 {
            page.control("br", []);
        }
        page.text([bold(name), roman(line.trim_start_matches(name))]);
    }
    page
}

fn commands(command: &Command) -> Roff {
    let mut page = Roff::new();
    if command.has_subcommands() {
        page.control("SH", ["COMMANDS"]);
    }
    for its in command.get_subcommands() {
        let about = its.get_about().map(ToString::to_string).unwrap_or_default();
        page.control("TP", []).text(reference(page_name(its), "1")).text([roman(about)]);
    }
    page
}

fn reference(page: &str, section: &str) -> [Inline; 2] {
    [bold(page), roman(format!("({section})"))]
}

/// What the help says below the options.
fn below_options(command: &Command) -> Roff {
    let mut page = Roff::new();
    let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    for paragraph in text.split("\n\n").filter(|text| !text.is_empty()) {
        let known = HEADINGS.iter().find_map(|(words, heading)| Some((*heading, paragraph.strip_prefix(words)?)));
        let (heading, text) = known.unwrap_or(("OUTPUT", paragraph));
        page.control("SH", [heading]);
        match heading {
            "EXAMPLES" => as_it_stands(&mut page, text.trim().lines().map(str::trim)),
            "ENVIRONMENT" => {
                for (name, about) in text.lines().filter_map(|line| line.trim().split_once("  ")) {
                    page.control("TP", []).text([bold(name)]).text([roman(about.trim())]);
                }
            }
            _ => drop(page.text([roman(text.trim())])),
        }
    }
    page
}

/// Lines that are not filled. One that is too long goes on behind a backslash, as in a shell.
fn as_it_stands<'a>(page: &mut Roff, lines: impl Iterator<Item = &'a str>) {
    page.control("nf", []);
    for line in lines {
        let mut line = line.to_owned();
        while let Some(end) = line.get(..COLUMNS).and_then(|text| text.rfind(' '))
            && !line[..end].trim().is_empty()
        {
            let rest = line.split_off(end);
            page.text([roman(line + " \\")]);
            line = format!("   {rest}");
        }
        page.text([roman(line)]);
    }
    page.control("fi", []);
}

/// FILES, and SEE ALSO with the pages of the commands that the page so far names.
fn last_sections(command: &Command, all: &Command, page: &str) -> Roff {
    let mut last = Roff::new();
    let name = page_name(command);
    let is_first = name == NAME;
    if is_first {
        last.control("SH", ["FILES"]);
    }
    for (path, about) in FILES.iter().filter(|_| is_first) {
        last.control("TP", []).text([italic(*path)]).text([roman(*about)]);
    }
    let is_named = |its: &&Command| {
        let word = its.get_name().replace('-', r"\-");
        page_name(its) != name
            && [format!("`{word}`"), format!(r"easy\-invite {word}")].iter().any(|it| page.contains(it))
    };
    let named = all.get_subcommands().filter(|_| !is_first).filter(is_named).map(|its| (page_name(its), "1"));
    let above = if is_first { vec![("prosodyctl", "1"), ("prosody", "8")] } else { vec![(NAME, "1")] };
    see_also(&mut last, above.into_iter().chain(named).chain([(CONFIGURATION, "5")]));
    last
}

fn see_also<'a>(page: &mut Roff, pages: impl Iterator<Item = (&'a str, &'a str)>) {
    let mut all: Vec<Inline> =
        pages.flat_map(|(page, section)| [&reference(page, section)[..], &[roman(", ")]].concat()).collect();
    all.pop();
    page.control("SH", ["SEE ALSO"]).text(all);
}

/// What it takes besides what the crates write: words in backticks are bold, a long URL may go on
/// in the next line, groff has names for tildes and circumflexes, and documents are where a package
/// has them.
fn finished(page: &str) -> String {
    let page = page.replace(" docs/", r" /usr/share/doc/easy\-invite/docs/");
    let preamble = Roff::new().render();
    let lines = page.replace(&preamble, "").replace('~', r"\(ti").replace('^', r"\(ha").replace('?', r"?\:");
    let parts = lines.split('`').enumerate();
    let text: String =
        parts.map(|(number, part)| if number % 2 == 1 { format!(r"\fB{part}\fR") } else { part.to_owned() }).collect();
    preamble + &text
}

/// How the value of a key is written in the example.
enum Value {
    Required,
    Default(String),
    Example(String),
}

/// Keys that are explained together.
#[derive(Default)]
struct Entry {
    about: String,
    keys: Vec<(String, Value)>,
}

/// A table, with the text before it.
#[derive(Default)]
struct Table {
    name: String,
    about: Vec<String>,
    entries: Vec<Entry>,
}

/// The tables of the example, and what stands at its head.
fn tables() -> Vec<Table> {
    let mut tables = vec![Table::default()];
    let (mut comment, mut open_list) = (Vec::new(), false);
    for line in config::EXAMPLE.lines().chain([""]) {
        let bare = line.trim_start_matches('#').trim();
        let is_text = line.starts_with("# ") && !line.starts_with("#  ");
        let last = tables.last_mut().expect("there is always one");
        if is_text {
            comment.push(bare);
        } else if bare.is_empty() {
            last.about.extend((!comment.is_empty()).then(|| comment.join(" ")));
            comment.clear();
        } else if open_list {
            if let Some((_, Value::Default(value))) = last.entries.last_mut().and_then(|entry| entry.keys.last_mut()) {
                *value = format!("{value} {bare}");
            }
            open_list = bare != "]";
        } else if let Some(name) = bare.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
            let about = (!comment.is_empty()).then(|| comment.join(" ")).into_iter().collect();
            comment.clear();
            tables.push(Table { name: name.to_owned(), about, ..Table::default() });
        } else if let Some((key, value)) = bare.split_once(" = ") {
            if !comment.is_empty() || last.entries.is_empty() {
                last.entries.push(Entry { about: comment.join(" "), ..Entry::default() });
                comment.clear();
            }
            let kind = match line.strip_prefix('#') {
                None => Value::Required,
                Some(rest) if rest.starts_with(' ') => Value::Example(value.to_owned()),
                Some(_) => Value::Default(value.to_owned()),
            };
            open_list = value == "[";
            if let Some(entry) = last.entries.last_mut() {
                entry.keys.push((key.to_owned(), kind));
            }
        }
    }
    tables
}

/// The page of the configuration file.
fn configuration_page() -> Roff {
    let mut page = title(CONFIGURATION, "5");
    page.control("SH", ["NAME"]).text([roman(format!("{CONFIGURATION} - configuration of {NAME}"))]);
    page.control("SH", ["DESCRIPTION"]).text([roman(
        "The configuration is a TOML file. Its name is what --config or $EASY_INVITE_CONFIG says, or else config.toml, \
         in the working directory or in /etc/easy-invite. `easy-invite init` writes a first one, with every key.",
    )]);
    for (number, Table { name, about, entries }) in tables().into_iter().enumerate() {
        if number > 0 {
            page.control("SH", [format!("[{name}]").as_str()]);
        }
        // The first paragraph of the file is about the file as it is printed there.
        for paragraph in about.into_iter().skip(usize::from(number == 0)) {
            page.control("PP", []).text([roman(paragraph)]);
        }
        for entry in entries {
            add_entry(&mut page, &entry);
        }
    }
    page.control("SH", ["EXAMPLE"]).text([roman("The shortest one:")]).control("PP", []);
    let needed: Vec<_> = config::EXAMPLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let is_empty_table =
        |at: usize| [at, at + 1].iter().all(|at| needed.get(*at).is_some_and(|line| line.starts_with('[')));
    as_it_stands(&mut page, needed.iter().enumerate().filter(|(at, _)| !is_empty_table(*at)).map(|(_, line)| *line));
    see_also(&mut page, [(NAME, "1"), ("easy-invite-init", "1"), ("easy-invite-check", "1")].into_iter());
    page
}

/// The keys in bold, what they mean, and a line for the value of each.
fn add_entry(page: &mut Roff, Entry { about, keys }: &Entry) {
    let mut names: Vec<_> = keys.iter().map(|(key, _)| key.as_str()).collect();
    names.dedup();
    for (number, name) in names.iter().enumerate() {
        page.control(if number == 0 { "TP" } else { "TQ" }, []).text([bold(*name)]);
    }
    let mut lines: Vec<Vec<Inline>> = Vec::new();
    lines.extend((!about.is_empty()).then(|| vec![roman(about.as_str())]));
    for (key, value) in keys {
        let of = if names.len() > 1 { format!(" of {key}") } else { String::new() };
        lines.push(match value {
            Value::Required => vec![roman(format!("There is no default{of}."))],
            Value::Default(value) => vec![roman(format!("Default{of}: ")), bold(value.as_str())],
            Value::Example(value) => vec![roman(format!("Example{of}: ")), bold(value.as_str())],
        });
    }
    for (number, line) in lines.into_iter().enumerate() {
        if number > 0 {
            page.control("br", []);
        }
        page.text(line);
    }
}
