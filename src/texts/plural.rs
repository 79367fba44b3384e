//! The forms of a text with a number, by CLDR's plural rules
//! (<https://cldr.unicode.org/index/cldr-spec/plural-rules>).

use std::collections::BTreeMap;

use icu_locale::Locale;
use icu_plurals::{PluralCategory, PluralRules};
use serde::{Deserialize, Serialize};

/// The placeholders that stand for the number itself.
pub const NUMBERS: [&str; 2] = ["count", "most"];

/// The names of all forms that a language may have.
pub const FORMS: [&str; 6] = ["zero", "one", "two", "few", "many", "other"];

/// A text with a number in it: its forms, by their names.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Counted(BTreeMap<String, String>);

impl Counted {
    /// The form of this name; `other` if there is none.
    pub fn form(&self, name: &str) -> &str {
        self.0.get(name).or_else(|| self.0.get("other")).map_or("", String::as_str)
    }

    /// All forms.
    pub fn forms(&self) -> impl Iterator<Item = &str> {
        self.0.values().map(String::as_str)
    }
}

/// The rules of one language.
pub struct Plurals(Option<PluralRules>);

impl Plurals {
    /// Those of a language that CLDR does not know have one form, `other`.
    pub fn of(code: &str) -> Self {
        let locale: Locale = code.parse().unwrap_or(Locale::UNKNOWN);
        Plurals(PluralRules::try_new_cardinal(locale.into()).ok())
    }

    /// The name of the form that goes with a number.
    pub fn name(&self, count: u32) -> &'static str {
        match self.0.as_ref().map_or(PluralCategory::Other, |rules| rules.category_for(count)) {
            PluralCategory::Zero => "zero",
            PluralCategory::One => "one",
            PluralCategory::Two => "two",
            PluralCategory::Few => "few",
            PluralCategory::Many => "many",
            PluralCategory::Other => "other",
        }
    }

    /// The forms that the numbers from 1 to 1000 need, each with how many of these numbers. The
    /// form `many` of Spanish, for example, is for millions alone.
    pub fn needed(&self) -> BTreeMap<&'static str, u32> {
        (1..=1000).fold(BTreeMap::new(), |mut needed, count| {
            *needed.entry(self.name(count)).or_default() += 1;
            needed
        })
    }
}
