//! The words of a text in Lua.

/// A word of Lua.
#[derive(Debug, PartialEq, Eq)]
pub enum Word {
    Name(String),
    Text(String),
    /// Anything else: brackets, operators and numbers.
    Sign(char),
}

/// The words of a text, each with its line.
pub fn words(text: &str) -> Vec<(Word, usize)> {
    let (mut found, mut rest, mut line) = (Vec::new(), text, 1);
    while let Some(first) = rest.chars().next() {
        let is_in_word = |character: char| character.is_ascii_alphanumeric() || character == '_';
        let (word, length) = if let Some(comment) = rest.strip_prefix("--") {
            let to_the_end = || comment.find('\n').unwrap_or(comment.len());
            (None, 2 + long_text(comment).map_or_else(to_the_end, |(_, length)| length))
        } else if let Some((text, length)) = long_text(rest) {
            (Some(Word::Text(text)), length)
        } else if first == '"' || first == '\'' {
            let (text, length) = quoted(rest, first);
            (Some(Word::Text(text)), length)
        } else if is_in_word(first) {
            let length = rest.find(|character| !is_in_word(character)).unwrap_or(rest.len());
            let name = rest.get(..length).unwrap_or_default().to_owned();
            (Some(if first.is_ascii_digit() { Word::Sign('0') } else { Word::Name(name) }), length)
        } else if rest.starts_with("==") {
            (Some(Word::Sign('~')), 2)
        } else {
            ((!first.is_whitespace()).then_some(Word::Sign(first)), first.len_utf8())
        };
        let (taken, after) = rest.split_at(length);
        found.extend(word.map(|word| (word, line)));
        line += taken.matches('\n').count();
        rest = after;
    }
    found
}

/// A text in long brackets, such as `[==[…]==]`, and its length with them.
fn long_text(rest: &str) -> Option<(String, usize)> {
    let level = rest.strip_prefix('[')?.find(|character| character != '=')?;
    let opening = format!("[{}[", "=".repeat(level));
    let inside = rest.strip_prefix(&opening)?;
    let closing = opening.replace('[', "]");
    let length = inside.find(&closing).unwrap_or(inside.len());
    Some((inside.get(..length)?.to_owned(), (length + 2 * opening.len()).min(rest.len())))
}

/// A text in quotes, and its length with them.
fn quoted(rest: &str, quote: char) -> (String, usize) {
    let (mut text, mut characters) = (String::new(), rest.char_indices().skip(1));
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => text.extend(characters.next().map(|(_, escaped)| if escaped == 'n' { '\n' } else { escaped })),
            _ if character == quote => return (text, at + 1),
            _ => text.push(character),
        }
    }
    (text, rest.len())
}
