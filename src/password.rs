//! Which passwords are accepted, in browsers and chat clients, and passwords to offer. No I/O.

use jid::DomainRef;
use unicode_normalization::UnicodeNormalization;
use zxcvbn::{Score, zxcvbn};

use crate::fields::is_not_xml;
use crate::invite::{Invite, NoRandomness, random_text};
use crate::links::tokens_in;
use crate::names::is_ignorable;
use crate::refusal::{BadPassword, Refusal};

/// How many characters a password may have.
const MIN_LENGTH: usize = 8;
const MAX_LENGTH: usize = 256;

/// How many characters zxcvbn judges at a time, since its time grows faster than the text.
const JUDGED: usize = 32;

/// Words for "password" in our languages that are not in zxcvbn's lists.
const WORDS: [&str; 4] = ["contraseña", "hasło", "haslo", "mot de passe"];

/// The keys of a Russian keyboard, and the letters on them of an English one: zxcvbn's lists have
/// `gfhjkm`, for example, which is `пароль` typed on an English keyboard.
const RUSSIAN_KEYS: &str = "йцукенгшщзхъфывапролджэячсмитьбю";
const ENGLISH_KEYS: &str = "qwertyuiop[]asdfghjkl;'zxcvbnm,.";

/// An offered password has this many groups of this many characters: 79 bits.
const GROUPS: usize = 4;
const GROUP: usize = 4;

/// Without 0, 1, l and o, which are easily misread.
const ALPHABET: &[u8] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Whether this may be the password of the account with this username, which is made or reset with
/// this invite. The chat server may still refuse it.
///
/// # Errors
/// [`Refusal::PasswordRefused`] if it may not.
pub fn admit(password: &str, username: &str, host: &DomainRef, invite: Option<&Invite>) -> Result<(), Refusal> {
    let length = password.chars().count();
    Err(Refusal::PasswordRefused(if length == 0 {
        BadPassword::Missing
    } else if length < MIN_LENGTH {
        BadPassword::Short
    } else if length > MAX_LENGTH {
        BadPassword::Long
    } else if password.chars().any(|c| is_not_xml(c) || c == char::REPLACEMENT_CHARACTER) {
        BadPassword::Characters
    } else if password.trim() != password {
        BadPassword::Spaces
    } else if is_weak(password, username, host, invite) {
        BadPassword::Weak
    } else {
        return Ok(());
    }))
}

/// Loads the lists of common passwords (some 10 MB), so that nobody has to wait for them later.
pub fn prepare() {
    zxcvbn("password", &[]);
}

/// The part of a chat client's password that is checked here. The chat server decides about spaces
/// around it, and about its maximum length.
pub fn of_client(password: &str) -> String {
    password.trim().chars().take(MAX_LENGTH).collect::<String>().trim().to_owned()
}

/// Whether a password is found in less than a million guesses, by somebody who begins with common
/// ones and with what others know: the account, the server, the inviter and the invite.
fn is_weak(password: &str, username: &str, host: &DomainRef, invite: Option<&Invite>) -> bool {
    let is_of = |invite: &Invite| tokens_in(password).iter().any(|token| token.hash() == invite.token_hash);
    let inviter = invite.and_then(|invite| invite.inviter.as_ref()).map(ToString::to_string).unwrap_or_default();
    let address = format!("{username}@{host}");
    // Each address, its username and host, and the words in these.
    let wholes = [&address, &inviter].into_iter().flat_map(|jid| [jid.as_str()].into_iter().chain(jid.split('@')));
    let words = [&address, &inviter].into_iter().flat_map(|jid| jid.split(|c: char| !c.is_alphanumeric()));
    let known: Vec<String> = wholes.chain(words).chain(WORDS).map(|text| text.chars().take(JUDGED).collect()).collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    // Chat apps send the normal form of a password (RFC 4013).
    let plain: Vec<char> = password.nfkc().filter(|c| !is_ignorable(*c)).collect();
    let is_guessed = |part: &[char]| {
        let text: String = part.iter().collect();
        // Spaces improve a phrase, but not a word that everybody tries.
        let dense = text.replace(char::is_whitespace, "");
        zxcvbn(&dense, &known).score() < Score::One
            || [in_english(&text), text].iter().any(|text| zxcvbn(text, &known).score() < Score::Two)
    };
    // A long password is as good as the better one of its beginning and its end.
    let parts = [plain.chunks(JUDGED).next(), plain.rchunks(JUDGED).next()];
    parts.into_iter().flatten().all(is_guessed) || invite.is_some_and(is_of)
}

/// The text that the same keys give on an English keyboard, if it was typed on a Russian one.
fn in_english(text: &str) -> String {
    let key = |c: char| RUSSIAN_KEYS.chars().zip(ENGLISH_KEYS.chars()).find(|(russian, _)| *russian == c);
    text.to_lowercase().chars().map(|c| key(c).map_or(c, |(_, english)| english)).collect()
}

/// A new random password that can be copied by hand.
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
    use jid::BareJid;

    use super::*;
    use crate::invite::tests::invite;
    use crate::invite::{InviteType, Token};

    const HOST: &str = "chat.example.org";
    const TOKEN: &str = "ABCDEFGHIJKLMNOPQRSTUVWX";

    fn admitted(password: &str, username: &str) -> Result<(), BadPassword> {
        let inviter = BareJid::new("gertrude@chat.example.org").unwrap();
        let invite = Invite {
            token_hash: Token::parse(TOKEN).unwrap().hash(),
            inviter: Some(inviter.clone()),
            ..invite(InviteType::AccountAndContact)
        };
        admit(password, username, inviter.domain(), Some(&invite)).map_err(|refusal| match refusal {
            Refusal::PasswordRefused(bad) => bad,
            other => panic!("{other}"),
        })
    }

    #[test]
    fn each_bad_password_has_its_problem() {
        for (password, problem) in [
            ("", BadPassword::Missing),
            ("1234567", BadPassword::Short),
            ("ééééééé", BadPassword::Short),
            (" kites and lamps", BadPassword::Spaces),
            ("kites and lamps\u{a0}", BadPassword::Spaces),
            ("kites\tand lamps", BadPassword::Characters),
            ("kites\u{0}and lamps", BadPassword::Characters),
            ("kites\u{fffd}and lamps", BadPassword::Characters),
            (&"kite ".repeat(52), BadPassword::Long),
        ] {
            assert_eq!(admitted(password, "carol"), Err(problem), "{password:?}");
        }
    }

    #[test]
    fn what_others_would_try_first_is_weak() {
        let address = format!("caroline@{HOST}");
        let link = format!("https://invite.example.org/i/{TOKEN}");
        let repeated = "p".repeat(256);
        for password in [
            // common ones, in several languages and on several keyboards
            "password",
            "P@ssw0rd1",
            "12345678",
            "iloveyou",
            "Passwort1",
            "motdepasse",
            "contraseña1",
            "hasło123",
            "haslo1234",
            "пароль123",
            "Йцукенгш",
            "qwertz123",
            "azertyuiop",
            "1q2w3e4r",
            "letmein!",
            // patterns
            "aaaaaaaa",
            "abababab",
            "abcdefgh",
            "19841984",
            "01.01.1990",
            "112233445566",
            "密密密密密密密密",
            "password password",
            "1 2 3 4 5 6 7 8",
            // what chat apps make a common one of
            "ｐａｓｓｗｏｒｄ",
            "１２３４５６７８",
            "pass\u{ad}word",
            "pass\u{200b}word",
            &repeated,
            // what others know
            "caroline",
            "CAROLINE",
            "caroline1",
            "caroline2024",
            "enilorac",
            HOST,
            &address,
            "gertrude1",
            "gertrude@chat.example.org",
            TOKEN,
            &link,
        ] {
            assert_eq!(admitted(password, "caroline"), Err(BadPassword::Weak), "{password:?}");
        }
    }

    #[test]
    fn a_word_of_the_username_is_weak() {
        for username in ["jo.kruschenko", "kruschenko-42", "x_kruschenko_x"] {
            assert_eq!(admitted("Kruschenko1", username), Err(BadPassword::Weak), "{username}");
        }
        assert_eq!(admitted("Kruschenko1", "carol"), Ok(()));
    }

    #[test]
    fn what_nobody_tries_is_admitted() {
        let long = "The quick onyx goblin jumps over a lazy dwarf. ".repeat(6);
        for password in [
            "kites and lamps",
            "correct horse battery staple",
            "тридцать три",
            "密码很长而且没有人知道",
            "naïve Mäuse",
            "ｌａｍｐｓ ａｎｄ ｋｉｔｅｓ",
            "xkvqzjwphd",
            "caroline@chat.example.org likes tea with lamps",
            "Hm6WqPxT",
            "carol's password",
            "a new one",
            &long[..255],
        ] {
            assert_eq!(admitted(password, "carol"), Ok(()), "{password:?}");
        }
    }

    #[test]
    fn an_offered_password_is_admitted_and_new_each_time() {
        let [one, other] = [make().unwrap(), make().unwrap()];
        assert_ne!(one, other);
        assert!(is_made(&one), "{one}");
        assert_eq!(admitted(&one, "carol"), Ok(()));
        for text in ["", "abcd-abcd-abcd", "abcd-abcd-abcd-abc1", "abcdabcdabcdabcd"] {
            assert!(!is_made(text), "{text}");
        }
    }
}
