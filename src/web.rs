//! The web side: the page that an invite's link opens, registration and password reset in a browser.
//!
//! It runs behind a proxy that speaks TLS. What it is asked goes one way: `server` (connections) → `site` (who asks, what
//! for) → the service → `pages` (what to say).

mod address;
mod apps;
mod connection;
mod pages;
mod password;
mod server;
mod site;

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use url::Url;

pub use pages::{BadLook, Pages};
pub use server::{answers, open, serve};
pub use site::Site;

use crate::links::PublicUrl;

/// What the operator configured of the web side.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where browsers find it.
    pub public_url: PublicUrl,
    /// The proxies that are believed when they say for whom they ask.
    pub trusted_proxies: Vec<IpNet>,
    /// What it looks like.
    pub look: Look,
}

/// What the operator wants the pages to look like.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Look {
    /// The name at the top; by default, the host of the invite.
    pub name: Option<String>,
    /// An image beside it.
    pub logo: Option<PathBuf>,
    /// The colour of what can be pressed.
    pub accent: Option<Accent>,
    /// Who is responsible for the site.
    pub imprint: Option<Url>,
    /// What users agree to.
    pub terms: Option<Url>,
    /// A folder with templates, a style, apps and languages in the place of those that come with the program.
    pub templates: Option<PathBuf>,
}

/// A colour, as `#rrggbb`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accent([u8; 3]);

impl Accent {
    /// The colour in a text; `None` if it is none.
    pub fn parse(text: &str) -> Option<Accent> {
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6 && digits.is_ascii())?;
        let part = |place: usize| u8::from_str_radix(digits.get(place..place + 2)?, 16).ok();
        let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        plain.then_some(Accent([part(0)?, part(2)?, part(4)?]))
    }

    /// The rule that sets it, and the colour of text on it, whichever of black and white is easier to read there.
    fn style(self) -> String {
        let [red, green, blue] = self.0;
        let on_accent = if self.luminance() > 0.179 { "#000" } else { "#fff" };
        format!(":root{{--accent:#{red:02x}{green:02x}{blue:02x};--on-accent:{on_accent}}}")
    }

    /// Its relative luminance (WCAG 2.2): from 0.179 on, black text has more contrast than white.
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
        for bad in ["", "red", "#fff", "#12345g", "#+12345", "2b5f8a", "#2b5f8aff"] {
            assert_eq!(Accent::parse(bad), None, "{bad}");
        }
    }
}
