//! The operator's changes to the pages: a name, a logo, a colour, and a folder of files.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::files::in_words;
use crate::texts::{Languages, placeholders, printable};

/// The longest file that is read from the operator's folder.
const LONGEST_FILE: u64 = 256 * 1024;

/// The longest image that browsers ask for: the logo, or the icon.
const LONGEST_IMAGE: u64 = 512 * 1024;

/// The longest icon of an app. It is a part of each page that recommends the app.
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
    /// If there is no such file, or it is no small image.
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

    /// A problem if a sentence is in a language that no page is in.
    ///
    /// # Errors
    /// The language, and those that there are.
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

/// A colour, as `#rrggbb`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Accent([u8; 3]);

impl Default for Accent {
    fn default() -> Accent {
        Accent([0x2b, 0x5f, 0x8a])
    }
}

impl TryFrom<String> for Accent {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Accent, String> {
        Accent::parse(&text).ok_or_else(|| format!("expected a colour such as \"#2b5f8a\", found {text:?}"))
    }
}

impl Accent {
    /// The backgrounds of a page in light and in dark, each with the colour of its text, as in
    /// `style.css`.
    const SCHEMES: [[Accent; 2]; 2] =
        [[Accent([0xff; 3]), Accent([0x1d, 0x21, 0x26])], [Accent([0x1e, 0x22, 0x28]), Accent([0xe9, 0xeb, 0xee])]];

    /// The colour in a text; `None` if it is none.
    pub fn parse(text: &str) -> Option<Accent> {
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6)?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let [_, red, green, blue] = u32::from_str_radix(digits, 16).ok().filter(|_| plain)?.to_be_bytes();
        Some(Accent([red, green, blue]))
    }

    /// As it is written in CSS.
    pub fn hex(self) -> String {
        let [red, green, blue] = self.0;
        format!("#{red:02x}{green:02x}{blue:02x}")
    }

    /// The colour of text on it: black or white, whichever is easier to read there.
    pub fn of_text(self) -> &'static str {
        if self.luminance() > 0.179 { "#000" } else { "#fff" }
    }

    /// The CSS that sets the colour, that of text on it, and that of its edge, which can be told
    /// from the page in light and in dark.
    pub fn style(self) -> String {
        let [light, dark] = Accent::SCHEMES.map(|[page, text]| self.told_from(page, text).hex());
        let (accent, text) = (self.hex(), self.of_text());
        format!(
            ":root{{--accent:{accent};--on-accent:{text};--edge:{light}}}\
             @media (prefers-color-scheme:dark){{:root{{--edge:{dark}}}}}"
        )
    }

    /// The same, with as much of another colour as gives it a contrast of 3 with a page (WCAG 2.2
    /// §1.4.11).
    fn told_from(self, page: Accent, text: Accent) -> Accent {
        let mixed = |tenths: u16| {
            let mix = |one: u8, other: u8| ((u16::from(one) * (10 - tenths) + u16::from(other) * tenths) / 10) as u8;
            let ([r, g, b], [red, green, blue]) = (self.0, text.0);
            Accent([mix(r, red), mix(g, green), mix(b, blue)])
        };
        let differs = |colour: &Accent| {
            let (one, other) = (colour.luminance() + 0.05, page.luminance() + 0.05);
            (one / other).max(other / one) >= 3.0
        };
        (0..10).map(mixed).find(differs).unwrap_or(text)
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
            assert_eq!(Accent::parse(colour).unwrap().of_text(), text);
        }
        for bad in ["", "red", "#fff", "#12345g", "#+12345", "2b5f8a", "#2b5f8aff", "#ÿÿÿ"] {
            assert_eq!(Accent::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_edge_of_the_accent_can_be_told_from_the_page() {
        for (colour, light, dark) in
            [("#2b5f8a", "#2b5f8a", "#517b9e"), ("#ffffff", "#8e9092", "#ffffff"), ("#000000", "#000000", "#747577")]
        {
            let style = Accent::parse(colour).unwrap().style();
            assert!(style.contains(&format!("--edge:{light}}}@media")), "{style}");
            assert!(style.ends_with(&format!("--edge:{dark}}}}}")), "{style}");
        }
    }

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
