//! QR codes, for the terminal and for web pages.

use std::io::IsTerminal;

use qrcodegen::{QrCode, QrCodeEcc};

/// Light modules around the code. The standard asks for four; two are enough for every reader.
const QUIET_ZONE: i32 = 2;

/// Black on white in the 256-colour palette, which looks the same whatever the terminal's colours
/// are.
const BLACK_ON_WHITE: &str = "\x1b[38;5;16;48;5;231m";
const RESET: &str = "\x1b[0m";

/// The width of an image in CSS pixels, unless a style says otherwise.
const IMAGE_WIDTH: u32 = 240;

/// The text does not fit a QR code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the link is too long for a QR code")]
pub struct TooLong;

/// The QR code of a text, to be printed to `output`: in colours if that is a terminal and
/// `NO_COLOR` is not set.
///
/// # Errors
/// If the text does not fit one.
pub fn for_terminal(text: &str, output: &impl IsTerminal) -> Result<String, TooLong> {
    half_blocks(text, output.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()))
}

/// The QR code of a text in half blocks, two modules to a character. With `colours`, it looks the
/// same on every terminal; without, dark modules have the colour of text, for printing.
fn half_blocks(text: &str, colours: bool) -> Result<String, TooLong> {
    let code = QrCode::encode_text(text, QrCodeEcc::Low).map_err(|_| TooLong)?;
    let (start, end) = if colours { (BLACK_ON_WHITE, RESET) } else { ("", "") };
    let range = || -QUIET_ZONE..code.size() + QUIET_ZONE;
    let mut drawing = String::new();
    for y in range().step_by(2) {
        drawing.push_str(start);
        // Outside of the code, every module is light.
        drawing.extend(range().map(|x| match (code.get_module(x, y), code.get_module(x, y + 1)) {
            (true, true) => '█',
            (true, false) => '▀',
            (false, true) => '▄',
            (false, false) => ' ',
        }));
        drawing.push_str(end);
        drawing.push('\n');
    }
    Ok(drawing)
}

/// The QR code of a text as an SVG image, black on white, to embed in a page.
///
/// # Errors
/// If the text does not fit one.
pub fn svg(text: &str) -> Result<String, TooLong> {
    let code = QrCode::encode_text(text, QrCodeEcc::Medium).map_err(|_| TooLong)?;
    let whole = code.size() + 2 * QUIET_ZONE;
    let mut path = String::new();
    for y in 0..code.size() {
        let mut x = 0;
        while x < code.size() {
            let run = (x..code.size()).take_while(|x| code.get_module(*x, y)).count() as i32;
            if run > 0 {
                path.push_str(&format!("M{} {}h{run}", x + QUIET_ZONE, y + QUIET_ZONE));
            }
            x += run.max(1);
        }
    }
    let size = format!(r#"width="{IMAGE_WIDTH}" height="{IMAGE_WIDTH}""#);
    let about = format!(r#"{size} shape-rendering="crispEdges" aria-hidden="true""#);
    let background = format!(r#"<path fill="white" d="M0 0h{whole}v{whole}h-{whole}z"/>"#);
    let modules = format!(r#"<path stroke="black" transform="translate(0 .5)" d="{path}"/>"#);
    Ok(format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole} {whole}" {about}>{background}{modules}</svg>"#
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_has_its_finder_patterns_within_a_quiet_zone() {
        let drawing = half_blocks("xmpp:example.org?register;preauth=ABCDEFGHIJKLMNOPQRSTUVWX", false).unwrap();
        let lines: Vec<&str> = drawing.lines().collect();
        let width = lines[0].chars().count();
        assert!(lines.iter().all(|line| line.chars().count() == width));
        assert_eq!(lines.len(), width.div_ceil(2));
        assert!(lines[0].trim().is_empty(), "quiet zone");
        assert!(
            lines[1].starts_with("  █▀▀▀▀▀█ ") && lines[1].ends_with(" █▀▀▀▀▀█  "),
            "finder patterns: {}",
            lines[1]
        );
        assert!(lines[2].starts_with("  █ ███ █ "));
    }

    #[test]
    fn colours_stand_around_each_line() {
        let drawing = half_blocks("x", true).unwrap();
        assert!(drawing.lines().all(|line| line.starts_with(BLACK_ON_WHITE) && line.ends_with(RESET)));
    }

    #[test]
    fn the_image_has_the_modules_of_the_drawing() {
        let text = "xmpp:example.org?register;preauth=ABCDEFGHIJKLMNOPQRSTUVWX";
        let image = svg(text).unwrap();
        let code = QrCode::encode_text(text, QrCodeEcc::Medium).unwrap();
        assert!(image.starts_with(r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 37 37""#), "{image}");
        let (_, path) = image.split_once(r#"(0 .5)" d=""#).unwrap();
        let runs = path.split('h').skip(1).filter_map(|part| part.split(['M', '"']).next());
        let dark: usize = runs.map(|run| run.parse::<usize>().unwrap()).sum();
        let modules = (0..code.size()).flat_map(|y| (0..code.size()).map(move |x| (x, y)));
        assert_eq!(dark, modules.filter(|(x, y)| code.get_module(*x, *y)).count());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(svg(&"x".repeat(3000)), Err(TooLong));
        assert_eq!(half_blocks(&"x".repeat(3000), false), Err(TooLong));
    }
}
