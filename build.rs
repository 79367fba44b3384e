//! Reads languages/ for src/texts/: lists its files, and makes the types of the texts from the
//! English one. So a new language is a new file, and a new text is a line in each of them.

use std::path::Path;
use std::{env, fs, io};

use toml::{Table, Value};

fn main() -> io::Result<()> {
    let variable = |name| env::var(name).map_err(io::Error::other);
    let folder = Path::new(&variable("CARGO_MANIFEST_DIR")?).join("languages");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let code = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            files.push(format!("({code:?}, include_str!({path:?})),\n"));
        }
    }
    files.sort();
    let english: Table = fs::read_to_string(folder.join("en.toml"))?.parse().map_err(io::Error::other)?;
    // The texts in [language] have a type that is written by hand.
    let tables = english.iter().filter(|(name, _)| *name != "language");
    let types: String = tables.filter_map(|(name, texts)| Some(type_of(name, texts.as_table()?))).collect();
    let out = variable("OUT_DIR")?;
    fs::write(Path::new(&out).join("languages.rs"), format!("&[\n{}]", files.concat()))?;
    fs::write(Path::new(&out).join("texts.rs"), types)
}

/// The type of a table of texts, with a field for each: `[web]` becomes `WebTexts`.
fn type_of(table: &str, texts: &Table) -> String {
    let (first, rest) = table.split_at(1);
    let fields = texts.iter().map(|(key, text)| {
        let (kind, english) = match text {
            Value::String(english) => ("String", Some(english.as_str())),
            counted => ("Counted", counted["other"].as_str()),
        };
        format!("    #[doc = {:?}]\n    pub {key}: {kind},\n", english.unwrap_or_default())
    });
    let (derive, name) = ("#[derive(Clone, Debug, Deserialize, Serialize)]", first.to_uppercase() + rest + "Texts");
    let fields: String = fields.collect();
    format!("/// The texts under `[{table}]`.\n{derive}\npub struct {name} {{\n{fields}}}\n")
}
