//! Colours, and what can be read on them.

use serde::Deserialize;

/// A colour, as `#rrggbb`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Colour([u8; 3]);

impl Default for Colour {
    fn default() -> Colour {
        Colour([0x2b, 0x5f, 0x8a])
    }
}

impl TryFrom<String> for Colour {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Colour, String> {
        Colour::parse(&text).ok_or_else(|| format!("expected a colour such as \"#2b5f8a\", found {text:?}"))
    }
}

impl Colour {
    /// The backgrounds of a page in light and in dark, each with the colour of its text, as in
    /// `style.css`.
    const SCHEMES: [[Colour; 2]; 2] =
        [[Colour([0xff; 3]), Colour([0x1d, 0x21, 0x26])], [Colour([0x1e, 0x22, 0x28]), Colour([0xe9, 0xeb, 0xee])]];

    /// The colour in a text; `None` if the text is not a colour.
    pub fn parse(text: &str) -> Option<Colour> {
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6)?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let [_, red, green, blue] = u32::from_str_radix(digits, 16).ok().filter(|_| plain)?.to_be_bytes();
        Some(Colour([red, green, blue]))
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

    /// The CSS that sets the colour, the colour of text on it, and the colour of its edge, which
    /// stands out from the page in light and in dark mode.
    pub fn style(self) -> String {
        let [light, dark] = Colour::SCHEMES.map(|[page, text]| self.distinct_from(page, text).hex());
        let (accent, text) = (self.hex(), self.of_text());
        format!(
            ":root{{--accent:{accent};--on-accent:{text};--edge:{light}}}\
             @media (prefers-color-scheme:dark){{:root{{--edge:{dark}}}}}"
        )
    }

    /// This colour, mixed with as much of the colour of text as gives it a contrast of 3 with the
    /// page (WCAG 2.2 §1.4.11).
    fn distinct_from(self, page: Colour, text: Colour) -> Colour {
        let mixed = |tenths: u16| {
            let mix = |one: u8, other: u8| ((u16::from(one) * (10 - tenths) + u16::from(other) * tenths) / 10) as u8;
            let ([r, g, b], [red, green, blue]) = (self.0, text.0);
            Colour([mix(r, red), mix(g, green), mix(b, blue)])
        };
        let differs = |colour: &Colour| {
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
            assert_eq!(Colour::parse(colour).unwrap().of_text(), text);
        }
        for bad in ["", "red", "#fff", "#12345g", "#+12345", "2b5f8a", "#2b5f8aff", "#ÿÿÿ"] {
            assert_eq!(Colour::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_edge_of_the_accent_can_be_told_from_the_page() {
        for (colour, light, dark) in
            [("#2b5f8a", "#2b5f8a", "#517b9e"), ("#ffffff", "#8e9092", "#ffffff"), ("#000000", "#000000", "#747577")]
        {
            let style = Colour::parse(colour).unwrap().style();
            assert!(style.contains(&format!("--edge:{light}}}@media")), "{style}");
            assert!(style.ends_with(&format!("--edge:{dark}}}}}")), "{style}");
        }
    }
}
