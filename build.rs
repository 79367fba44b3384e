//! Lists the files in languages/ for src/texts/: a new language is a new file, and nothing else.

use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let variable = |name| env::var(name).map_err(io::Error::other);
    let folder = Path::new(&variable("CARGO_MANIFEST_DIR")?).join("languages");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let code = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            files.push(format!("({code:?}, include_str!({path:?})),\n"));
        }
    }
    files.sort();
    fs::write(Path::new(&variable("OUT_DIR")?).join("languages.rs"), format!("&[\n{}]", files.concat()))
}
