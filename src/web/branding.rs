//! The operator's changes to the pages: a name, a logo, a colour, and a folder of files.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use url::Url;

use crate::files::in_words;
use crate::texts::{Languages, printable};

/// The longest file that is read from the operator's folder.
const LONGEST_FILE: u64 = 256 * 1024;

/// The longest logo.
const LONGEST_LOGO: u64 = 512 * 1024;

type Result<T> = std::result::Result<T, BadBranding>;

/// What the operator wants the pages to look like.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Branding {
    /// The name at the top; by default, the host of the invite.
    pub name: Option<String>,
    /// An image beside it.
    pub logo: Option<PathBuf>,
    /// The colour of buttons.
    pub accent: Option<Accent>,
    /// Who is responsible for the site.
    pub imprint: Option<Url>,
    /// What users agree to.
    pub terms: Option<Url>,
    /// A folder whose templates, style, apps and languages replace the built-in ones.
    pub templates: Option<PathBuf>,
}

/// Why the web side cannot look as it should: one line.
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
    /// What is wrong with a file that is in the operator's folder, or else built in.
    pub fn problem(&self, name: &str, problem: impl Into<String>) -> BadBranding {
        let file = self.templates.as_ref().map_or_else(|| name.into(), |folder| folder.join(name));
        BadBranding { file, problem: problem.into() }
    }

    /// The text of a file in the operator's folder, else the built-in one.
    ///
    /// # Errors
    /// If the file is there and cannot be read.
    pub fn text(&self, name: &str, built_in: &str) -> Result<String> {
        let own = self.templates.as_ref().map(|folder| read_text(&folder.join(name))).transpose()?.flatten();
        Ok(own.unwrap_or_else(|| built_in.to_owned()))
    }

    /// The built-in languages, and those in the operator's folder.
    ///
    /// # Errors
    /// If a file there is no complete language.
    pub fn languages(&self) -> Result<Languages> {
        let mut languages = Languages::built_in();
        let Some(folder) = self.templates.as_ref().map(|folder| folder.join("languages")).filter(|it| it.is_dir())
        else {
            return Ok(languages);
        };
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
}

/// The operator's logo.
#[derive(Clone, Debug)]
pub struct Logo {
    /// Its media type.
    pub media_type: &'static str,
    /// The image itself.
    pub image: Vec<u8>,
}

impl Logo {
    /// Reads it.
    ///
    /// # Errors
    /// If there is no such file, or browsers would not show it.
    pub fn read(file: &Path) -> Result<Logo> {
        let image = read_file(file, LONGEST_LOGO)?.ok_or_else(|| BadBranding::new(file, "there is no such file"))?;
        let extension = file.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase);
        let media_type = match extension.as_deref() {
            Some("svg") => "image/svg+xml",
            Some("png") => "image/png",
            Some("jpg" | "jpeg") => "image/jpeg",
            Some("webp") => "image/webp",
            _ => return Err(BadBranding::new(file, "expected a file that ends in .svg, .png, .jpg or .webp")),
        };
        Ok(Logo { media_type, image })
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

/// A colour, as `#rrggbb`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accent([u8; 3]);

impl Accent {
    /// The colour in a text; `None` if it is none.
    pub fn parse(text: &str) -> Option<Accent> {
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6)?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let [_, red, green, blue] = u32::from_str_radix(digits, 16).ok().filter(|_| plain)?.to_be_bytes();
        Some(Accent([red, green, blue]))
    }

    /// The CSS that sets the colour, and that of text on it: black or white, whichever is easier to
    /// read there.
    pub fn style(self) -> String {
        let [red, green, blue] = self.0;
        let on_accent = if self.luminance() > 0.179 { "#000" } else { "#fff" };
        format!(":root{{--accent:#{red:02x}{green:02x}{blue:02x};--on-accent:{on_accent}}}")
    }

    /// Relative luminance (WCAG 2.2). Above 0.179, black text has more contrast than white.
    fn luminance(self) -> f64 {
        let linear = |part: u8| {
            let part = f64::from(part) / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        };
        let [red, green, blue] = self.0.map(linear);
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_on_the_accent_is_as_easy_to_read_as_can_be() {
        for (colour, text) in [("#000000", "#fff"), ("#2b5f8a", "#fff"), ("#ffd200", "#000"), ("#ffffff", "#000")] {
            let style = Accent::parse(colour).unwrap().style();
            assert_eq!(style, format!(":root{{--accent:{colour};--on-accent:{text}}}"));
        }
        for bad in ["", "red", "#fff", "#12345g", "#+12345", "2b5f8a", "#2b5f8aff", "#ÿÿÿ"] {
            assert_eq!(Accent::parse(bad), None, "{bad}");
        }
    }
}
