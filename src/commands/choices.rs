//! The fields for what an invite allows, and what somebody chose in them.

use std::collections::BTreeSet;

use super::form::{Field, Submission};
use crate::lifetime::Lifetime;
use crate::policy::{Caps, Change};
use crate::refusal::{Mistake, Refusal};
use crate::texts::{Texts, folded};

/// The option for any number of uses.
const UNLIMITED: &str = "unlimited";

/// The option for the value that an invite has already.
const KEEP: &str = "keep";

/// The lifetimes to choose from, besides the usual one.
const LIFETIMES: [&str; 6] = ["1h", "1d", "7d", "4w", "365d", "never"];

/// The numbers of uses to choose from, besides [`UNLIMITED`].
const USES: [u32; 6] = [1, 2, 5, 10, 20, 100];

/// What a user can choose for an invite.
pub struct Choices<'a> {
    /// The texts in the user's language.
    pub texts: &'a Texts,
    /// The most that the user may choose.
    pub caps: Caps,
    /// What was filled in so far.
    pub filled_in: &'a Submission,
}

impl Choices<'_> {
    /// The field for the lifetime. The usual lifetime is chosen at first or, if the invite exists,
    /// its own end, whose label is `keep`. `None` if there is only one option.
    pub fn expires(&self, usual: Lifetime, keep: Option<String>) -> Option<Field> {
        let typed = lifetime(self.filled_in, self.texts).ok().flatten();
        let typed = typed.filter(|typed| self.caps.allow_lifetime(*typed));
        let known = LIFETIMES.into_iter().filter_map(|text| text.parse().ok());
        let known = known.filter(|lifetime| self.caps.allow_lifetime(*lifetime));
        let usual = keep.is_none().then_some(usual);
        let lifetimes: BTreeSet<Lifetime> = known.chain([self.caps.max_expires]).chain(usual).chain(typed).collect();
        let options = lifetimes.into_iter().map(|lifetime| (lifetime.to_string(), lifetime.in_words(self.texts)));
        let chosen = typed.or(usual).map_or(KEEP.to_owned(), |lifetime| lifetime.to_string());
        list("expires", &self.texts.command.expires, keep, options, &chosen)
    }

    /// The field for the number of uses, which is at least `min`. For `keep` and `None`, see
    /// [`Choices::expires`]. The usual number is one.
    pub fn uses(&self, min: u32, keep: Option<String>) -> Option<Field> {
        let own = &self.texts.command;
        let allowed = |uses: &Option<u32>| self.caps.allow_uses(*uses) && uses.is_none_or(|uses| uses >= min);
        let typed = max_uses(self.filled_in, self.texts).ok().flatten().filter(allowed);
        let numbers = USES.into_iter().chain(self.caps.max_uses).chain(typed.flatten());
        let numbers: BTreeSet<u32> = numbers.filter(|number| allowed(&Some(*number))).collect();
        let numbers = numbers.into_iter().map(|number| (number.to_string(), number.to_string()));
        let any = allowed(&None).then(|| (UNLIMITED.to_owned(), own.unlimited.clone()));
        let chosen = match (typed, &keep) {
            (Some(typed), _) => typed.map_or(UNLIMITED.to_owned(), |number| number.to_string()),
            (None, Some(_)) => KEEP.to_owned(),
            (None, None) => 1.to_string(),
        };
        list("uses", &own.uses, keep, numbers.chain(any), &chosen)
    }

    /// The field for the note. `note` is in it at first.
    pub fn note(&self, note: &str) -> Field {
        let typed = if self.filled_in.has("note") { self.filled_in.text("note").unwrap_or_default() } else { note };
        Field::text("note", &self.texts.command.note, typed)
    }

    /// What was chosen, and what could not be understood. A value that was left unchanged is not
    /// chosen, since somebody else may have changed it meanwhile.
    pub fn chosen(&self) -> (Change, Vec<Refusal>) {
        let note = self.filled_in.text("note");
        let is_as_before = self.filled_in.has("before") && note == self.filled_in.text("before");
        let is_new = self.filled_in.has("note") && !is_as_before;
        let mut change = Change { note: is_new.then(|| note.unwrap_or_default().to_owned()), ..Change::default() };
        let mut mistakes = Vec::new();
        match lifetime(self.filled_in, self.texts) {
            Ok(lifetime) => change.expires = lifetime,
            Err(mistake) => mistakes.push(mistake.into()),
        }
        match max_uses(self.filled_in, self.texts) {
            Ok(max_uses) => change.max_uses = max_uses,
            Err(mistake) => mistakes.push(mistake.into()),
        }
        (change, mistakes)
    }
}

/// A list, in which `keep` is the label of the first option, if there is one.
fn list(
    var: &str,
    label: &str,
    keep: Option<String>,
    options: impl Iterator<Item = (String, String)>,
    chosen: &str,
) -> Option<Field> {
    let options: Vec<_> = keep.map(|label| (KEEP.to_owned(), label)).into_iter().chain(options).collect();
    (options.len() > 1).then(|| Field::list(var, label, options, chosen))
}

/// The lifetime that was chosen, or typed, which some clients allow.
fn lifetime(submission: &Submission, texts: &Texts) -> Result<Option<Lifetime>, Mistake> {
    let typed = submission.text("expires").filter(|text| *text != KEEP).map(|text| Lifetime::typed(text, texts));
    typed.transpose().map_err(Mistake::BadLifetime)
}

/// How many uses were chosen or typed. `Some(None)` is any number.
fn max_uses(submission: &Submission, texts: &Texts) -> Result<Option<Option<u32>>, Mistake> {
    let typed = submission.text("uses").map(folded).filter(|text| text != KEEP);
    let Some(text) = typed else { return Ok(None) };
    let unlimited = [UNLIMITED, &texts.command.unlimited, &Texts::english().command.unlimited];
    match unlimited.iter().any(|words| folded(words) == text) {
        true => Ok(Some(None)),
        false => {
            text.parse().ok().filter(|number| *number > 0).map(|number| Some(Some(number))).ok_or(Mistake::BadUses)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::Kind;

    fn choices<'a>(max_uses: u32, max_expires: &str, filled_in: &'a Submission) -> Choices<'a> {
        let caps = Caps { max_uses: Some(max_uses), max_expires: max_expires.parse().unwrap() };
        Choices { texts: Texts::english(), caps, filled_in }
    }

    fn filled_in(values: &[(&str, &str)]) -> Submission {
        values.iter().copied().collect()
    }

    /// The options of a field, and the chosen one.
    fn shown(field: Option<Field>) -> Option<(Vec<String>, String)> {
        let Field { kind: Kind::List(options), value, .. } = field? else { panic!("no list") };
        Some((options.into_iter().map(|(value, _)| value).collect(), value))
    }

    #[test]
    fn only_what_may_be_chosen_is_offered_and_one_option_is_no_field() {
        let (nothing, usual) = (Submission::default(), Lifetime::Seconds(60 * 60));
        let offered = |options: &[&str], chosen: &str| {
            Some((options.iter().map(|option| (*option).to_owned()).collect(), chosen.to_owned()))
        };
        let least = choices(1, "1h", &nothing);
        assert_eq!((least.expires(usual, None), least.uses(1, None)), (None, None));
        let some = choices(3, "2d", &nothing);
        assert_eq!(shown(some.expires(usual, None)), offered(&["1h", "1d", "2d"], "1h"));
        assert_eq!(shown(some.uses(2, None)), offered(&["2", "3"], "1"));
        assert_eq!(shown(some.uses(2, Some("as it is".into()))), offered(&["keep", "2", "3"], "keep"));
        assert_eq!(some.uses(4, Some("as it is".into())), None, "more are taken than may be chosen");
        // What was typed is chosen again, but not what is too much.
        let typed = filled_in(&[("expires", "5 hours"), ("uses", "9")]);
        assert_eq!(shown(choices(3, "1d", &typed).expires(usual, None)), offered(&["1h", "5h", "1d"], "5h"));
        assert_eq!(shown(choices(3, "1d", &typed).uses(1, None)), offered(&["1", "2", "3"], "1"));
    }

    #[test]
    fn what_is_as_it_was_is_not_chosen() {
        for (values, note, expires, max_uses) in [
            (&[("note", "a"), ("before", "a"), ("expires", "keep"), ("uses", "KEEP")][..], None, None, None),
            (&[("note", ""), ("before", "")], None, None, None),
            (&[("note", ""), ("before", "a")], Some(""), None, None),
            (&[("note", "")], Some(""), None, None),
            (&[("before", "a"), ("uses", "Unlimited")], None, None, Some(None)),
            (&[("note", "b"), ("before", "a"), ("expires", "1d"), ("uses", "2")], Some("b"), Some("1d"), Some(Some(2))),
        ] {
            let values = filled_in(values);
            let expires = expires.map(|text: &str| text.parse().unwrap());
            let change = Change { note: note.map(str::to_owned), expires, max_uses };
            assert_eq!(choices(5, "1d", &values).chosen(), (change, Vec::new()), "{values:?}");
        }
        let values = filled_in(&[("expires", "soon"), ("uses", "0")]);
        assert_eq!(choices(5, "1d", &values).chosen().1.len(), 2);
    }
}
