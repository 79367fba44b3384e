//! The texts for people, in their languages: one file each in `languages/`. No I/O.
//!
//! A language must be complete: a missing or unknown key is an error, and so is a text with other
//! `{placeholders}` than the English one.

mod catalog;
mod fill;
mod languages;
mod plural;

pub use catalog::{CommandTexts, Texts};
pub use fill::{Isolate, escaped, fill, folded, one_line, placeholders, printable, shortened};
pub use languages::{BadLanguage, Languages};
pub use plural::Counted;
