//! The words by which people ask for something in a chat, however they write them: in capitals,
//! with punctuation, or below a quotation.

use std::ops::Range;

use unicode_normalization::char::is_combining_mark;

use crate::names::is_ignorable;
use crate::texts::folded;

/// How many bytes of a text are read: enough for the longest note below a long quotation.
pub const MAX_BYTES: usize = 16 * 1024;

/// What somebody wrote: a word, and what follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The first word, [`folded`].
    pub word: String,
    /// What follows, in one line.
    pub rest: String,
}

impl Said {
    /// Reads a text, without its quotations: lines that begin with `>` (XEP-0393 §5.1.3), and the
    /// ranges of characters in `quoted` (XEP-0461 §3.2). `None` if nothing is left.
    pub fn read(text: &str, quoted: &[Range<usize>]) -> Option<Said> {
        let own = text.chars().enumerate().filter(|(at, _)| !quoted.iter().any(|range| range.contains(at)));
        let own: String = own.map(|(_, c)| c).collect();
        let lines = own.lines().filter(|line| !line.trim_start().starts_with('>'));
        let line = lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ");
        if line.is_empty() {
            return None;
        }
        let line = line.trim_start_matches(|c: char| !c.is_alphanumeric());
        let (first, after) = line.split_once(' ').unwrap_or((line, ""));
        let (word, tail) = first.split_at(first.find(|c| !is_letter(c)).unwrap_or(first.len()));
        let (word, tail) = match folded(tail).chars().filter(|c| c.is_alphanumeric()).all(|c| c.is_ascii_digit()) {
            true => (word, tail.trim_matches(|c: char| !c.is_alphanumeric())), // "list!", "show#2"
            false => (first, ""),
        };
        let rest = format!("{tail} {}", after.trim_start_matches([':', ' ']));
        // Folding turns a mark that stands alone, such as "¸", into a space and the mark.
        let word = folded(word).split_whitespace().collect();
        Some(Said { word, rest: rest.trim().to_owned() })
    }

    /// Whether the word is one of these, which are separated by spaces.
    pub fn is(&self, words: &str) -> bool {
        is_among(&self.word, words)
    }

    /// The number in the rest: `2`, `#2`, or `no. 2` if "no" is one of the words in `before`, which
    /// are separated by spaces. `None` if the rest is something else.
    pub fn number(&self, before: &str) -> Option<usize> {
        let rest = folded(&self.rest);
        let mut parts = rest.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty());
        let number = match (parts.next()?, parts.next(), parts.next()) {
            (only, None, _) => only,
            (first, Some(last), None) if is_among(first, before) => last,
            _ => return None,
        };
        number.parse().ok()
    }
}

fn is_among(word: &str, words: &str) -> bool {
    words.split_whitespace().any(|known| folded(known) == word)
}

fn is_letter(c: char) -> bool {
    c.is_alphabetic() || is_combining_mark(c) || is_ignorable(c)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::single_range_in_vec_init, reason = "a range is meant")]

    use super::*;
    use crate::texts::{Languages, Texts};

    fn said(text: &str) -> (String, String) {
        let said = Said::read(text, &[]).unwrap();
        (said.word, said.rest)
    }

    #[test]
    fn a_word_is_read_however_it_is_written() {
        for text in [
            "list",
            "LIST!",
            "List.",
            "  list\n\n",
            "/list",
            "! list ?",
            "*list*",
            "`list`",
            "“list”…",
            "ｌｉｓｔ",
            "ＬＩＳＴ！",
            "l\u{200b}ist",
            "list¸",
            "\u{200f}list\u{200e}",
            "lişt",
            "LİST",
            "> list of wishes\n> more\nlist",
            "list\n> below",
            "\u{3000}list\u{3000}",
            "- list",
        ] {
            let (word, rest) = said(text);
            assert_eq!((word.as_str(), rest.trim_matches(|c: char| !c.is_alphanumeric())), ("list", ""), "{text:?}");
        }
    }

    #[test]
    fn what_follows_the_word_is_kept_as_it_was_written() {
        for (text, word, rest) in [
            ("invite Carol's class!", "invite", "Carol's class!"),
            ("Invite: Carol", "invite", "Carol"),
            ("invite\nCarol\tand\n Dave", "invite", "Carol and Dave"),
            ("show#2", "show", "2"),
            ("show2", "show", "2"),
            ("显示2", "显示", "2"),
            ("显示２", "显示", "２"),
            ("show (2).", "show", "(2)."),
            ("2", "", "2"),
            ("2 revoke", "", "2 revoke"),
            ("invite-only is best", "invite-only", "is best"),
            ("invite's", "invite's", ""),
            ("invitees", "invitees", ""),
            ("🎉", "", ""),
        ] {
            assert_eq!(said(text), (word.to_owned(), rest.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn a_quotation_says_nothing() {
        for text in ["", " \n ", "> list", ">list\n  > show 1\n"] {
            assert_eq!(Said::read(text, &[]), None, "{text:?}");
        }
        // Characters are counted, not bytes.
        let reply = "🎉 wrote:\nrevoke 1\nlist";
        assert_eq!(Said::read(reply, &[0..18]).unwrap().word, "list");
        assert_eq!(Said::read(reply, &[0..usize::MAX]), None);
        assert_eq!(Said::read(reply, &[5..5, 90..100]).unwrap().word, "wrote");
    }

    #[test]
    fn a_number_is_read_however_it_is_written() {
        let number = |rest: &str| Said { word: String::new(), rest: rest.to_owned() }.number("no number Nº");
        for text in ["2", "#2", "no. 2", "No.2", "NUMBER 2", "(2)", "2.", "２", "٢", "۲", "nº 2", "002", "№ 2"] {
            assert_eq!(number(text), Some(2), "{text:?}");
        }
        for text in ["", "2 3", "2,5", "not 2", "two", "all", "1 and 2", "99999999999999999999", "abcdefgh2345"] {
            assert_eq!(number(text), None, "{text:?}");
        }
    }

    #[test]
    fn no_word_stands_for_two_things_in_all_languages_and_no_answer_is_read_as_one() {
        let languages = Languages::built_in();
        let words = |texts: &Texts| {
            let own = &texts.chat;
            [&own.help, &own.invite, &own.list, &own.show, &own.renew, &own.revoke].map(String::clone)
        };
        let all: Vec<_> = languages.iter().map(words).collect();
        let meanings_of =
            |said: &Said| (0..6).filter(|meaning| all.iter().any(|words| said.is(&words[*meaning]))).count();
        for texts in languages.iter() {
            let (own, command) = (&texts.chat, &texts.command);
            for word in words(texts).iter().flat_map(|words| words.split_whitespace()) {
                assert_eq!(meanings_of(&Said::read(word, &[]).unwrap()), 1, "{}: {word}", texts.code);
            }
            assert_eq!(Said::read(&format!("x {} 7", own.number), &[]).unwrap().number(&own.number), None);
            let before = own.number.split_whitespace().next().unwrap();
            assert_eq!(Said::read(&format!("x {before} 7"), &[]).unwrap().number(&own.number), Some(7));
            let mut answers = vec![&own.usage, &own.which, &own.not_listed, &own.newest, &own.unreadable];
            answers.extend([&command.my_invites, &command.no_invites, &command.revoke_done, &command.state]);
            answers.extend([&command.send_page, &command.send_uri, &command.forbidden, &command.not_available]);
            for answer in answers {
                assert_eq!(meanings_of(&Said::read(answer, &[]).unwrap()), 0, "{}: {answer}", texts.code);
            }
        }
    }
}
