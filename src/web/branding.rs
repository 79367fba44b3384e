//! The operator's changes to the pages: a name, a logo, a colour, and a folder of files.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use url::Url;

use super::colour::Colour;
use crate::files::in_words;
use crate::texts::{Languages, placeholders, printable};

/// The longest text file that is read from the operator's folder, in bytes.
const LONGEST_FILE: u64 = 256 * 1024;

/// The longest image that browsers ask for (the logo or the icon), in bytes.
const LONGEST_IMAGE: u64 = 512 * 1024;

/// The longest icon of an app, in bytes. It is a part of each page that recommends the app.
const LONGEST_ICON: u64 = 3 * 1024;

/// The longest sentence that says what this is, in characters.
const LONGEST_ABOUT: usize = 200;

const ICON: &[u8] = include_bytes!("../../templates/icon.png");

type Result<T> = std::result::Result<T, BadBranding>;

/// What the operator wants the pages to look like.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Branding {
    /// The name at the top; by default, the host of the invite.
    pub name: Option<String>,
    /// What this is, instead of the built-in sentence.
    pub about: Option<About>,
    /// An image beside the name.
    pub logo: Option<PathBuf>,
    /// The colour of buttons.
    pub accent: Option<Colour>,
    /// Who is responsible for the site.
    pub imprint: Option<Url>,
    /// What users agree to.
    pub terms: Option<Url>,
    /// A folder whose templates, style, apps and languages replace the built-in ones.
    pub templates: Option<PathBuf>,
}

/// Why the pages cannot look as the operator wants, in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", printable(format_args!("{}: {problem}", .file.display())))]
pub struct BadBranding {
    file: PathBuf,
    problem: String,
}

impl BadBranding {
    fn new(file: &Path, problem: impl Into<String>) -> BadBranding {
        BadBranding { file: file.to_owned(), problem: problem.into() }
    }
}

impl Branding {
    /// A problem with a file in the operator's folder, or with the built-in one if there is no
    /// folder.
    pub fn problem(&self, name: &str, problem: impl Into<String>) -> BadBranding {
        BadBranding { file: self.own(name).unwrap_or_else(|| name.into()), problem: problem.into() }
    }

    /// The text of a file in the operator's folder, else the built-in one.
    ///
    /// # Errors
    /// If the file is there and cannot be read.
    pub fn text(&self, name: &str, built_in: &str) -> Result<String> {
        let own = self.own(name).map(|file| read_text(&file)).transpose()?.flatten();
        Ok(own.unwrap_or_else(|| built_in.to_owned()))
    }

    /// The built-in languages, and those in the operator's folder.
    ///
    /// # Errors
    /// If a file there is no complete language.
    pub fn languages(&self) -> Result<Languages> {
        let mut languages = Languages::built_in();
        let Some(folder) = self.own("languages").filter(|it| it.is_dir()) else { return Ok(languages) };
        let unreadable = |error: std::io::Error| BadBranding::new(&folder, in_words(&error));
        for entry in std::fs::read_dir(&folder).map_err(unreadable)? {
            let file = entry.map_err(unreadable)?.path();
            let code = file.file_stem().and_then(|stem| stem.to_str());
            if let Some(code) = code.filter(|_| file.extension().is_some_and(|end| end == "toml")) {
                let text = read_text(&file)?.unwrap_or_default();
                languages = languages.with(code, &text).map_err(|error| BadBranding::new(&file, error.to_string()))?;
            }
        }
        Ok(languages)
    }

    /// The operator's logo.
    ///
    /// # Errors
    /// If there is no such file, or browsers would not show it.
    pub fn logo(&self) -> Result<Option<Image>> {
        self.logo.as_deref().map(|file| Image::read(file, LONGEST_IMAGE)).transpose()
    }

    /// The picture that stands for the pages in previews of links and on home screens.
    ///
    /// # Errors
    /// If the operator's cannot be read.
    pub fn icon(&self) -> Result<Image> {
        match self.own("icon.png").filter(|file| file.exists()) {
            Some(file) => Image::read(&file, LONGEST_IMAGE),
            None => Ok(Image { media_type: "image/png", bytes: ICON.into() }),
        }
    }

    /// The icon of an app, as a URL that holds it.
    ///
    /// # Errors
    /// If there is no such file, it is too long, or it is not an image.
    pub fn icon_of_app(&self, name: &str) -> Result<String> {
        let image = Image::read(&self.own(name).unwrap_or_else(|| name.into()), LONGEST_ICON)?;
        Ok(format!("data:{};base64,{}", image.media_type, BASE64_STANDARD.encode(image.bytes)))
    }

    /// A file in the operator's folder, if there is such a folder.
    fn own(&self, name: &str) -> Option<PathBuf> {
        self.templates.as_ref().map(|folder| folder.join(name))
    }
}

/// What the operator says that this is: one sentence for all, or one for each language.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged, expecting = "expected a sentence, or one for each language: { en = \"…\", de = \"…\" }")]
pub enum About {
    /// The same for every reader.
    ForAll(String),
    /// For the readers of a language, by its code. The others get the built-in sentence.
    ByLanguage(BTreeMap<String, String>),
}

impl About {
    /// The sentence for the readers of a language, if there is one.
    pub fn in_language(&self, code: &str) -> Option<&str> {
        match self {
            About::ForAll(sentence) => Some(sentence),
            About::ByLanguage(sentences) => sentences.get(code).map(String::as_str),
        }
    }

    /// What is wrong with it, if anything is.
    pub fn problem(&self) -> Option<String> {
        let sentences: Vec<&String> = match self {
            About::ForAll(sentence) => vec![sentence],
            About::ByLanguage(sentences) => sentences.values().collect(),
        };
        let is_bad = |sentence: &String| {
            let length = sentence.trim().chars().count();
            length == 0 || length > LONGEST_ABOUT || placeholders(sentence).into_iter().any(|name| name != "name")
        };
        let bad = sentences.into_iter().find(|sentence| is_bad(sentence))?;
        let expected = format!("expected a sentence of at most {LONGEST_ABOUT} characters");
        Some(format!("{expected}, in which {{name}} stands for the name, found {bad:?}"))
    }

    /// Checks that there are pages in the language of each sentence.
    ///
    /// # Errors
    /// A language without pages, and the languages that have them.
    pub fn check_languages(&self, languages: &Languages) -> Result<()> {
        let codes: Vec<&str> = languages.iter().map(|texts| texts.code.as_str()).collect();
        let About::ByLanguage(sentences) = self else { return Ok(()) };
        match sentences.keys().find(|code| !codes.contains(&code.as_str())) {
            None => Ok(()),
            Some(code) => {
                let problem = format!("no page is in the language {code:?}, expected one of {}", codes.join(", "));
                Err(BadBranding::new(Path::new("[web] about"), problem))
            }
        }
    }
}

/// An image for browsers.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its media type.
    pub media_type: &'static str,
    /// The image itself.
    pub bytes: Vec<u8>,
}

impl Image {
    fn read(file: &Path, longest: u64) -> Result<Image> {
        let bytes = read_file(file, longest)?.ok_or_else(|| BadBranding::new(file, "there is no such file"))?;
        let extension = file.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase);
        let media_type = match extension.as_deref() {
            Some("svg") => "image/svg+xml",
            Some("png") => "image/png",
            Some("jpg" | "jpeg") => "image/jpeg",
            Some("webp") => "image/webp",
            _ => return Err(BadBranding::new(file, "expected a file that ends in .svg, .png, .jpg or .webp")),
        };
        Ok(Image { media_type, bytes })
    }
}

/// The text of a file; `None` if there is no such file.
fn read_text(file: &Path) -> Result<Option<String>> {
    let text = read_file(file, LONGEST_FILE)?.map(String::from_utf8).transpose();
    text.map_err(|_| BadBranding::new(file, "expected UTF-8 text"))
}

fn read_file(file: &Path, longest: u64) -> Result<Option<Vec<u8>>> {
    let unreadable = |error| Err(BadBranding::new(file, format!("cannot be read: {}", in_words(&error))));
    match std::fs::metadata(file) {
        Ok(metadata) if metadata.len() > longest => Err(BadBranding::new(file, format!("longer than {longest} bytes"))),
        Ok(_) => std::fs::read(file).map(Some).or_else(unreadable),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => unreadable(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_is_may_be_said_in_each_language() {
        let by_language = |pairs: &[(&str, &str)]| {
            About::ByLanguage(pairs.iter().map(|(code, text)| ((*code).into(), (*text).into())).collect())
        };
        let about = by_language(&[("de", "Unser Chat, von {name}."), ("pt-BR", "Nosso chat.")]);
        assert_eq!(
            ["de", "pt-BR", "en"].map(|code| about.in_language(code)),
            [Some("Unser Chat, von {name}."), Some("Nosso chat."), None]
        );
        assert_eq!((about.problem(), about.check_languages(&Languages::built_in())), (None, Ok(())));
        let unknown = by_language(&[("jp", "…")]).check_languages(&Languages::built_in()).unwrap_err().to_string();
        assert!(unknown.starts_with("[web] about: no page is in the language \"jp\", expected one of "), "{unknown}");
        for bad in [" ", "Run by {host}.", &"x".repeat(201)] {
            assert!(About::ForAll(bad.to_owned()).problem().is_some(), "{bad}");
            assert!(by_language(&[("en", "Good."), ("de", bad)]).problem().is_some(), "{bad}");
        }
    }
}
