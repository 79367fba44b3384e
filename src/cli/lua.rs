//! Reads Lua, as far as the configuration of Prosody is written in it: a statement opens a section,
//! includes files, or sets something. Of values, only literals are known.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::vec;

/// How deep tables may be nested.
const DEEPEST: usize = 50;

/// What is written after `=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Text(String),
    Bool(bool),
    /// A table of texts.
    List(Vec<String>),
    /// An expression, or a table with something else in it.
    Other,
}

/// Settings by their names, each with its last value and the line of it.
pub type Settings = BTreeMap<String, (Value, usize)>;

/// A statement of a configuration.
pub enum Statement {
    /// `VirtualHost "name"` or `Component "name" "module"`, with or without settings in a table.
    /// The settings that follow belong to it, too.
    Section { name: String, component: Option<String>, settings: Settings },
    /// `Include "pattern"`.
    Include(String),
    /// `name = value`.
    Set(String, Value),
    /// `name { … }`, which adds texts to a list.
    Add(String, Vec<String>),
}

/// The statements of a text, each with its line.
pub fn statements(text: &str) -> Vec<(Statement, usize)> {
    let (mut found, mut words) = (Vec::new(), Words(words(text).into_iter().peekable()));
    while let Some((word, line)) = words.0.next() {
        match word {
            Word::Sign('(' | '[' | '{') => words.skip_to_closing(),
            Word::Name(name) => found.extend(words.statement(name).map(|statement| (statement, line))),
            _ => (),
        }
    }
    found
}

/// The words that are not read yet, each with its line.
struct Words(Peekable<vec::IntoIter<(Word, usize)>>);

impl Words {
    /// The statement that begins with a name.
    fn statement(&mut self, name: String) -> Option<Statement> {
        match name.as_str() {
            "VirtualHost" | "Host" | "host" => self.section(false),
            "Component" | "component" => self.section(true),
            "Include" | "include" => self.argument().map(Statement::Include),
            _ if self.next_is('=') => Some(Statement::Set(name, self.value(0))),
            _ if self.next_is('{') => Some(Statement::Add(name, self.table(0).0.unwrap_or_default())),
            _ => None,
        }
    }

    fn section(&mut self, is_component: bool) -> Option<Statement> {
        let name = self.argument()?;
        let component = is_component.then(|| self.argument().unwrap_or_else(|| "component".to_owned()));
        let settings = if self.next_is('{') { self.table(0).1 } else { Settings::new() };
        Some(Statement::Section { name, component, settings })
    }

    fn next_is(&mut self, sign: char) -> bool {
        self.0.next_if(|(word, _)| *word == Word::Sign(sign)).is_some()
    }

    /// The text after a name, with or without brackets around it.
    fn argument(&mut self) -> Option<String> {
        let is_in_brackets = self.next_is('(');
        let text = match self.0.next_if(|(word, _)| matches!(word, Word::Text(_)))? {
            (Word::Text(text), _) => text,
            _ => return None,
        };
        if is_in_brackets {
            self.next_is(')');
        }
        Some(text)
    }

    fn value(&mut self, depth: usize) -> Value {
        let value = match self.0.next_if(|(word, _)| !matches!(word, Word::Sign(')' | '}' | ']'))).map(|(word, _)| word)
        {
            Some(Word::Text(text)) => Value::Text(text),
            Some(Word::Name(name)) if name == "true" || name == "false" => Value::Bool(name == "true"),
            Some(Word::Sign('{')) if depth < DEEPEST => self.table(depth + 1).0.map_or(Value::Other, Value::List),
            Some(Word::Sign('{' | '(' | '[')) => {
                self.skip_to_closing();
                Value::Other
            }
            _ => Value::Other,
        };
        // An expression goes on, as in "a".."b".
        let goes_on = self.0.peek().is_some_and(|(word, _)| match word {
            Word::Sign(sign) => "+-*/%^.~<>:([".contains(*sign),
            Word::Name(name) => name == "and" || name == "or",
            Word::Text(_) => true,
        });
        if goes_on { Value::Other } else { value }
    }

    /// A table, from behind its opening bracket: its texts, if it has nothing else, and its
    /// settings.
    fn table(&mut self, depth: usize) -> (Option<Vec<String>>, Settings) {
        let (mut texts, mut settings) = (Some(Vec::new()), Settings::new());
        while let Some((word, line)) = self.0.peek() {
            let line = *line;
            match word {
                Word::Sign('}') => {
                    self.0.next();
                    break;
                }
                Word::Sign(',' | ';') => drop(self.0.next()),
                Word::Name(name) if name != "true" && name != "false" => {
                    let name = name.clone();
                    self.0.next();
                    texts = None;
                    if self.next_is('=') {
                        let value = (self.value(depth), line);
                        settings.insert(name, value);
                    }
                    self.skip_item();
                }
                _ => {
                    match self.value(depth) {
                        Value::Text(text) => texts.iter_mut().for_each(|texts| texts.push(text.clone())),
                        _ => texts = None,
                    }
                    self.skip_item();
                }
            }
        }
        (texts, settings)
    }

    /// The rest of an item of a table.
    fn skip_item(&mut self) {
        let is_within = |(word, _): &(Word, usize)| !matches!(word, Word::Sign(',' | ';' | '}'));
        while let Some((word, _)) = self.0.next_if(is_within) {
            if matches!(word, Word::Sign('(' | '[' | '{')) {
                self.skip_to_closing();
            }
        }
    }

    fn skip_to_closing(&mut self) {
        let mut open = 1_usize;
        while open > 0 {
            match self.0.next() {
                Some((Word::Sign('(' | '[' | '{'), _)) => open += 1,
                Some((Word::Sign(')' | ']' | '}'), _)) => open -= 1,
                Some(_) => (),
                None => return,
            }
        }
    }
}

/// A word of Lua.
#[derive(Debug, PartialEq, Eq)]
enum Word {
    Name(String),
    Text(String),
    /// Anything else: brackets, operators and numbers.
    Sign(char),
}

/// The words of a text, each with its line.
fn words(text: &str) -> Vec<(Word, usize)> {
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
