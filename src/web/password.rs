//! The passwords that the web side offers.

use crate::invite::{NoRandomness, random_text};

/// An offered password has this many groups of this many characters: 79 bits.
const GROUPS: usize = 4;
const GROUP: usize = 4;

/// No 0, 1, l or o, which are misread.
const ALPHABET: &[u8] = b"abcdefghijkmnpqrstuvwxyz23456789";

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
    use crate::policy;

    #[test]
    fn an_offered_password_is_accepted_and_new_each_time() {
        let [one, other] = [make().unwrap(), make().unwrap()];
        assert_ne!(one, other);
        assert!(is_made(&one), "{one}");
        assert_eq!(policy::admit_password(&one, "carol"), Ok(()));
        for text in ["", "abcd-abcd-abcd", "abcd-abcd-abcd-abc1", "abcdabcdabcdabcd"] {
            assert!(!is_made(text), "{text}");
        }
    }
}
