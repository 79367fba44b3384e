//! Which passwords the web side accepts, and those that it offers.

use crate::invite::{NoRandomness, random_text};
use crate::texts::WebTexts;

/// The fewest and the most characters of a password.
const SHORTEST: usize = 8;
const LONGEST: usize = 256;

/// An offered password has so many groups of so many characters: 79 bits.
const GROUPS: usize = 4;
const GROUP: usize = 4;

/// No 0, 1, l or o, which are misread.
const ALPHABET: &[u8] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Why a password is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// There is none.
    Missing,
    /// It has too few characters.
    Short,
    /// It has too many.
    Long,
    /// It is the username.
    IsUsername,
    /// It begins or ends with a space, which is easily overlooked.
    Spaces,
    /// It has a control character, which cannot be typed everywhere, or bytes that were no text.
    Characters,
}

impl Problem {
    /// The text for people.
    pub fn text(self, texts: &WebTexts) -> &str {
        match self {
            Problem::Missing => &texts.password_missing,
            Problem::Short => &texts.password_short,
            Problem::Long => &texts.password_long,
            Problem::IsUsername => &texts.password_is_username,
            Problem::Spaces => &texts.password_spaces,
            Problem::Characters => &texts.password_characters,
        }
    }
}

/// Whether this can be the password of the account with this username.
///
/// # Errors
/// Why not.
pub fn check(password: &str, username: &str) -> Result<(), Problem> {
    let length = password.chars().count();
    if length == 0 {
        Err(Problem::Missing)
    } else if length < SHORTEST {
        Err(Problem::Short)
    } else if length > LONGEST {
        Err(Problem::Long)
    } else if password.chars().any(|c| c.is_control() || c == char::REPLACEMENT_CHARACTER) {
        Err(Problem::Characters)
    } else if password.trim() != password {
        Err(Problem::Spaces)
    } else if password.to_lowercase() == username.to_lowercase() {
        Err(Problem::IsUsername)
    } else {
        Ok(())
    }
}

/// A new password that nobody guesses and that can be copied by hand.
///
/// # Errors
/// If the system has no randomness.
pub fn make() -> Result<String, NoRandomness> {
    let groups = (0..GROUPS).map(|_| random_text(ALPHABET, GROUP));
    Ok(groups.collect::<Result<Vec<_>, _>>()?.join("-"))
}

/// Whether a text looks like a password of [`make`].
pub fn is_made(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let shaped = |group: &&str| group.len() == GROUP && group.bytes().all(|byte| ALPHABET.contains(&byte));
    groups.len() == GROUPS && groups.iter().all(shaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bad_password_has_its_problem() {
        for (password, problem) in [
            ("", Problem::Missing),
            ("1234567", Problem::Short),
            ("ééééééé", Problem::Short),
            ("Caroline", Problem::IsUsername),
            (" kites and lamps", Problem::Spaces),
            ("kites and lamps\u{a0}", Problem::Spaces),
            ("kites\tand lamps", Problem::Characters),
            ("kites\u{0}and lamps", Problem::Characters),
            ("kites\u{fffd}and lamps", Problem::Characters),
        ] {
            assert_eq!(check(password, "caroline"), Err(problem), "{password:?}");
        }
        assert_eq!(check(&"x".repeat(257), "carol"), Err(Problem::Long));
        for password in ["12345678", "kites and lamps", "тридцать три", "🦀🦀🦀🦀🦀🦀🦀🦀", &"x".repeat(256)]
        {
            assert_eq!(check(password, "carol"), Ok(()), "{password:?}");
        }
    }

    #[test]
    fn an_offered_password_is_accepted_and_new_each_time() {
        let [one, other] = [make().unwrap(), make().unwrap()];
        assert_ne!(one, other);
        assert!(is_made(&one), "{one}");
        assert_eq!(check(&one, "carol"), Ok(()));
        for text in ["", "abcd-abcd-abcd", "abcd-abcd-abcd-abc1", "abcdabcdabcdabcd"] {
            assert!(!is_made(text), "{text}");
        }
    }
}
