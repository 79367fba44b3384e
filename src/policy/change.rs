//! What may be chosen for an invite, when it is made and later.

use jiff::Timestamp;

use crate::fields::is_not_xml;
use crate::invite::Invite;
use crate::lifetime::Lifetime;
use crate::refusal::{Mistake, Refusal};

/// The longest note, in characters: it is shown in lists.
pub const LONGEST_NOTE: usize = 500;

/// How much a user may choose for an invite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// How often it can be used at most; `None`: any number of times.
    pub max_uses: Option<u32>,
    /// How long it is valid at most.
    pub max_expires: Lifetime,
}

impl Caps {
    /// The caps of admins: there are none.
    pub const NONE: Caps = Caps { max_uses: None, max_expires: Lifetime::Never };

    /// Whether an invite may have this many uses; `None`: any number.
    pub fn allow_uses(&self, max_uses: Option<u32>) -> bool {
        !is_more(max_uses, self.max_uses)
    }

    /// The parts of a choice that exceed the caps.
    pub fn mistakes(&self, chosen: &Change) -> Vec<Mistake> {
        let uses = chosen.max_uses.is_none_or(|uses| self.allow_uses(uses));
        self.exceeded(uses, chosen.expires.is_none_or(|lifetime| self.allow_lifetime(lifetime)))
    }

    /// Whether an invite that is valid from `since` on may end at `end`; `None`: never.
    pub(super) fn allow_end(&self, since: Timestamp, end: Option<Timestamp>) -> bool {
        !is_more(end, self.max_expires.end(since))
    }

    /// The mistakes, unless the number of uses and the lifetime are allowed.
    fn exceeded(&self, uses: bool, lifetime: bool) -> Vec<Mistake> {
        let (most, longest) = (self.max_uses.unwrap_or(u32::MAX), self.max_expires);
        broken([(uses, Mistake::ManyUses { most }), (lifetime, Mistake::LongLife { most: longest })]).collect()
    }

    /// Whether an invite may be valid for this long.
    pub fn allow_lifetime(&self, lifetime: Lifetime) -> bool {
        lifetime <= self.max_expires
    }
}

/// What somebody changes of an invite. `None`: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The note; an empty one removes it.
    pub note: Option<String>,
    /// How long it can be used, from now on.
    pub expires: Option<Lifetime>,
    /// How often it can be used, including the uses that are taken; `Some(None)`: without limit.
    pub max_uses: Option<Option<u32>>,
}

impl Change {
    /// The invite after the change.
    #[must_use]
    pub fn applied(&self, invite: Invite, now: Timestamp) -> Invite {
        let Change { note, expires, max_uses } = self.clone();
        Invite {
            note: note.map_or(invite.note, |note| Some(note).filter(|note| !note.trim().is_empty())),
            expires_at: expires.map_or(invite.expires_at, |lifetime| lifetime.end(now)),
            max_uses: max_uses.unwrap_or(invite.max_uses),
            ..invite
        }
    }

    /// Checks whether an invite may be changed like this. `caps`: those of the user who changes it;
    /// `None` for admins and the operator. An admin may have given an invite more uses or more time
    /// than the caps allow. A user may keep that, but may not give more time to an invite with too
    /// many uses, or more uses to one that is valid for too long. Whether enough uses are left,
    /// only the store knows.
    ///
    /// # Errors
    /// All that is wrong with the change.
    pub fn admit(&self, invite: &Invite, caps: Option<Caps>, now: Timestamp) -> Result<(), Refusal> {
        let reserves = invite.username.is_some();
        let mut mistakes: Vec<_> = broken([
            (!reserves || self.max_uses.is_none_or(|uses| uses == Some(1)), Mistake::UsernameForMany),
            (self.max_uses != Some(Some(0)), Mistake::NoUses),
        ])
        .collect();
        mistakes.extend(caps.into_iter().flat_map(|caps| self.beyond(&caps, invite, now)));
        mistakes.extend(mistakes_of_note(self.note.as_deref()));
        match mistakes.as_slice() {
            [] => Ok(()),
            [only] => Err(only.clone().into()),
            several => Err(Refusal::Several(several.iter().cloned().map(Refusal::from).collect())),
        }
    }

    fn beyond(&self, caps: &Caps, invite: &Invite, now: Timestamp) -> Vec<Mistake> {
        let Invite { max_uses, expires_at, .. } = self.applied(invite.clone(), now);
        let judged_uses = self.max_uses.is_some() || is_more(expires_at, invite.expires_at);
        let judged_end = self.expires.is_some() || is_more(max_uses, invite.max_uses);
        caps.exceeded(!judged_uses || caps.allow_uses(max_uses), !judged_end || caps.allow_end(now, expires_at))
    }
}

/// The mistakes whose rules are broken: those that come with `false`.
pub fn broken(rules: impl IntoIterator<Item = (bool, Mistake)>) -> impl Iterator<Item = Mistake> {
    rules.into_iter().filter(|(kept, _)| !kept).map(|(_, mistake)| mistake)
}

/// What is wrong with a note.
pub fn mistakes_of_note(note: Option<&str>) -> impl Iterator<Item = Mistake> {
    let note = note.unwrap_or_default();
    broken([
        (note.chars().count() <= LONGEST_NOTE, Mistake::LongNote { most: LONGEST_NOTE }),
        (!note.contains(is_not_xml), Mistake::NoteNotPlain),
    ])
}

/// Whether a bound is higher than another. `None`: there is no bound.
fn is_more<T: PartialOrd>(bound: Option<T>, other: Option<T>) -> bool {
    other.is_some_and(|other| bound.is_none_or(|bound| bound > other))
}
