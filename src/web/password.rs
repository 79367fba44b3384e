//! What passwords the web side takes, and those that it makes up.

use crate::invite::{NoRandomness, random_text};

/// The fewest and the most characters of a password.
const SHORTEST: usize = 8;
const LONGEST: usize = 256;

/// A made password: so many groups of so many characters, 79 bits.
const GROUPS: usize = 4;
const GROUP: usize = 4;

/// No 0, 1, l or o, which are misread.
const ALPHABET: &[u8] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Why a password is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPassword {
    /// There is none.
    Missing,
    /// It has too few characters.
    Short,
    /// It has too many.
    Long,
    /// It is the username.
    IsUsername,
    /// It begins or ends with a space, which nobody sees.
    Spaces,
    /// It holds a control character, which cannot be typed everywhere, or bytes that were no text.
    Characters,
}

/// Can this be the password of this account?
///
/// # Errors
/// The reason why not.
pub fn check(password: &str, username: &str) -> Result<(), BadPassword> {
    let length = password.chars().count();
    if length == 0 {
        Err(BadPassword::Missing)
    } else if length < SHORTEST {
        Err(BadPassword::Short)
    } else if length > LONGEST {
        Err(BadPassword::Long)
    } else if password.chars().any(|c| c.is_control() || c == char::REPLACEMENT_CHARACTER) {
        Err(BadPassword::Characters)
    } else if password.trim() != password {
        Err(BadPassword::Spaces)
    } else if password.to_lowercase() == username.to_lowercase() {
        Err(BadPassword::IsUsername)
    } else {
        Ok(())
    }
}

/// Makes a password that nobody guesses and that can be copied by hand.
///
/// # Errors
/// If the system has no randomness.
pub fn make() -> Result<String, NoRandomness> {
    let groups = (0..GROUPS).map(|_| random_text(ALPHABET, GROUP));
    Ok(groups.collect::<Result<Vec<_>, _>>()?.join("-"))
}

/// Whether a text has the form of a made password.
pub fn is_made(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let shaped = |group: &&str| group.len() == GROUP && group.bytes().all(|byte| ALPHABET.contains(&byte));
    groups.len() == GROUPS && groups.iter().all(shaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_that_cannot_be_used_are_told_apart() {
        for (password, problem) in [
            ("", BadPassword::Missing),
            ("1234567", BadPassword::Short),
            ("ééééééé", BadPassword::Short),
            ("Caroline", BadPassword::IsUsername),
            (" kites and lamps", BadPassword::Spaces),
            ("kites and lamps\u{a0}", BadPassword::Spaces),
            ("kites\tand lamps", BadPassword::Characters),
            ("kites\u{0}and lamps", BadPassword::Characters),
            ("kites\u{fffd}and lamps", BadPassword::Characters),
        ] {
            assert_eq!(check(password, "caroline"), Err(problem), "{password:?}");
        }
        assert_eq!(check(&"x".repeat(257), "carol"), Err(BadPassword::Long));
        for password in ["12345678", "kites and lamps", "тридцать три", "🦀🦀🦀🦀🦀🦀🦀🦀", &"x".repeat(256)]
        {
            assert_eq!(check(password, "carol"), Ok(()), "{password:?}");
        }
    }

    #[test]
    fn a_made_password_is_taken_and_made_anew_each_time() {
        let [one, other] = [make().unwrap(), make().unwrap()];
        assert_ne!(one, other);
        assert!(is_made(&one), "{one}");
        assert_eq!(check(&one, "carol"), Ok(()));
        for text in ["", "abcd-abcd-abcd", "abcd-abcd-abcd-abc1", "abcdabcdabcdabcd"] {
            assert!(!is_made(text), "{text}");
        }
    }
}
