//! The data files of Prosody: `return { … };` in Lua, with nothing but values in it. They are read
//! as text and never run. Only one entry of the table is in memory at a time.

mod text;

use std::io::{self, BufRead};

/// How deeply tables may be nested: as deeply as Prosody writes them.
const DEEPEST: usize = 127;

/// How much memory an entry may take, in bytes: for its texts, and for each of its values.
const LARGEST_ENTRY: usize = 1 << 20;

/// The longest number and the longest name, in bytes. Lua reads no longer numbers.
const LONGEST_WORD: usize = 200;

/// A value of Lua. It has no `Debug`, because it may hold a token.
#[derive(Clone, PartialEq)]
#[cfg_attr(test, derive(Debug))]
pub enum Value {
    /// Nothing.
    Nil,
    /// True or false.
    Bool(bool),
    /// It may be infinite, or not a number.
    Number(f64),
    /// Any bytes.
    Text(Vec<u8>),
    /// Keys and values, in the order of the file.
    Table(Vec<(Value, Value)>),
}

impl Value {
    /// A text that is UTF-8.
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Text(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// Whether Lua takes it for true.
    pub fn is_true(&self) -> bool {
        !matches!(self, Value::Nil | Value::Bool(false))
    }

    /// The entries of a table; none of anything else.
    pub fn entries(&self) -> &[(Value, Value)] {
        match self {
            Value::Table(entries) => entries,
            _ => &[],
        }
    }

    /// What a table has under a name; `Nil` if it has nothing under it, or is not a table.
    pub fn get(&self, name: &str) -> &Value {
        let named = |(key, _): &&(Value, Value)| matches!(key, Value::Text(key) if key == name.as_bytes());
        self.entries().iter().rfind(named).map_or(&Value::Nil, |(_, value)| value)
    }
}

impl From<serde_json::Value> for Value {
    fn from(json: serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Value::Nil,
            serde_json::Value::Bool(is_true) => Value::Bool(is_true),
            serde_json::Value::Number(number) => number.as_f64().map_or(Value::Nil, Value::Number),
            serde_json::Value::String(text) => Value::Text(text.into_bytes()),
            serde_json::Value::Array(values) => {
                let mut next = 1;
                Value::Table(values.into_iter().map(|value| (numbered(&mut next), value.into())).collect())
            }
            serde_json::Value::Object(entries) => {
                let entry = |(key, value): (String, serde_json::Value)| (Value::Text(key.into_bytes()), value.into());
                Value::Table(entries.into_iter().map(entry).collect())
            }
        }
    }
}

/// Why a file cannot be read any further. The text is not repeated: it may be a token.
#[derive(Debug, thiserror::Error)]
pub enum BadData {
    /// It cannot be read at all.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is not what Prosody writes.
    #[error("line {line}: expected {expected}{}", if *ends { ", but the file ends there" } else { "" })]
    Syntax {
        /// Where.
        line: usize,
        /// What should stand there.
        expected: &'static str,
        /// Nothing stands there.
        ends: bool,
    },
}

type Result<T> = std::result::Result<T, BadData>;

/// The entries of the table in a file, one after the other: keys and values.
pub struct Entries<R> {
    input: R,
    /// A minus sign that has been read from `input` and did not begin a comment.
    held: Option<u8>,
    line: usize,
    /// The line in which the last entry begins.
    begun: usize,
    /// How much more memory the entry may take.
    room: usize,
    at: At,
}

/// How far a file was read.
#[derive(PartialEq)]
enum At {
    Start,
    /// Before an entry, or the end of the table. `next` is the number of the next entry without a
    /// key.
    Entry {
        next: u32,
    },
    End,
}

impl<R: BufRead> Entries<R> {
    /// Reads from the start of a file.
    pub fn new(input: R) -> Self {
        Entries { input, held: None, line: 1, begun: 1, room: LARGEST_ENTRY, at: At::Start }
    }

    /// The line in which the last entry begins that was read.
    pub fn entry_line(&self) -> usize {
        self.begun
    }

    fn next_entry(&mut self) -> Result<Option<(Value, Value)>> {
        let mut next = match self.at {
            At::Start => {
                self.space()?;
                if self.word()? != "return" {
                    return self.expected("return");
                }
                self.sign(b'{', "{")?;
                1
            }
            At::Entry { next } => next,
            At::End => return Ok(None),
        };
        self.room = LARGEST_ENTRY;
        self.space()?;
        self.begun = self.line;
        let entry = self.entry(&mut next, 1)?;
        self.at = At::Entry { next };
        if entry.is_none() {
            self.at = At::End;
            self.take_sign(b';')?;
            self.space()?;
            if self.peek()?.is_some() {
                return self.expected("the end of the file");
            }
        }
        Ok(entry)
    }

    /// An entry of a table, or its end. `next` is the number of the next entry without a key.
    fn entry(&mut self, next: &mut u32, depth: usize) -> Result<Option<(Value, Value)>> {
        if self.take_sign(b'}')? {
            return Ok(None);
        }
        self.hold(2 * size_of::<Value>())?;
        let (key, value) = match self.peek()? {
            Some(b'[') => {
                self.bump();
                match self.long_text()? {
                    Some(text) => (numbered(next), Value::Text(text)),
                    None => {
                        let key = self.value(depth)?;
                        self.sign(b']', "]")?;
                        self.sign(b'=', "=")?;
                        (key, self.value(depth)?)
                    }
                }
            }
            Some(letter) if is_of_word(letter) && !letter.is_ascii_digit() => {
                let word = self.word()?;
                match constant(&word) {
                    Some(value) => (numbered(next), value),
                    None => {
                        self.sign(b'=', "=")?;
                        (Value::Text(word.into_bytes()), self.value(depth)?)
                    }
                }
            }
            _ => (numbered(next), self.value(depth)?),
        };
        if !self.take_sign(b';')? && !self.take_sign(b',')? && self.peek()? != Some(b'}') {
            return self.expected("; or }");
        }
        Ok(Some((key, value)))
    }

    fn value(&mut self, depth: usize) -> Result<Value> {
        self.space()?;
        match self.peek()? {
            Some(b'{') if depth >= DEEPEST => self.expected("a value that is no table, 127 tables deep"),
            Some(b'{') => {
                self.bump();
                let (mut entries, mut next) = (Vec::new(), 1);
                while let Some(entry) = self.entry(&mut next, depth + 1)? {
                    entries.push(entry);
                }
                Ok(Value::Table(entries))
            }
            Some(quote @ (b'"' | b'\'')) => self.quoted(quote).map(Value::Text),
            Some(b'[') => {
                self.bump();
                self.long_text()?.map_or_else(|| self.expected("a value"), |text| Ok(Value::Text(text)))
            }
            // What Prosody writes where a number is infinite, or none: (1/0), (-1/0) and (0/0).
            Some(b'(') => {
                self.bump();
                let quotient = self.quotient()?;
                self.sign(b')', ")")?;
                Ok(Value::Number(quotient))
            }
            Some(b'-' | b'.' | b'0'..=b'9') => self.quotient().map(Value::Number),
            _ => {
                let word = self.word()?;
                constant(&word).map_or_else(|| self.expected("a value"), Ok)
            }
        }
    }

    /// A number, or one number by another.
    fn quotient(&mut self) -> Result<f64> {
        let dividend = self.number()?;
        if self.take_sign(b'/')? { Ok(dividend / self.number()?) } else { Ok(dividend) }
    }

    fn number(&mut self) -> Result<f64> {
        let is_negative = self.take_sign(b'-')?;
        self.space()?;
        let mut text = String::new();
        while let Some(next) = self.peek()? {
            let is_hex = text.starts_with("0x") || text.starts_with("0X");
            let follows_exponent = text.ends_with(if is_hex { ['p', 'P'] } else { ['e', 'E'] });
            let is_sign = matches!(next, b'+' | b'-') && follows_exponent;
            if !is_sign && next != b'.' && !is_of_word(next) || text.len() >= LONGEST_WORD {
                break;
            }
            text.push(char::from(next));
            self.bump();
        }
        match number(&text) {
            Some(number) => Ok(if is_negative { -number } else { number }),
            None => self.expected("a number"),
        }
    }

    /// Letters, digits and underscores; perhaps none.
    fn word(&mut self) -> Result<String> {
        let mut word = String::new();
        while let Some(next) = self.peek()?.filter(|next| is_of_word(*next)) {
            if word.len() >= LONGEST_WORD {
                return self.expected("a shorter name");
            }
            word.push(char::from(next));
            self.bump();
        }
        Ok(word)
    }

    fn sign(&mut self, sign: u8, name: &'static str) -> Result<()> {
        if self.take_sign(sign)? { Ok(()) } else { self.expected(name) }
    }

    fn take_sign(&mut self, sign: u8) -> Result<bool> {
        self.space()?;
        let is_there = self.peek()? == Some(sign);
        if is_there {
            self.bump();
        }
        Ok(is_there)
    }

    /// Skips space and comments.
    fn space(&mut self) -> Result<()> {
        while let Some(byte) = self.peek()?.filter(|byte| is_space(*byte) || *byte == b'-' && self.held.is_none()) {
            self.bump();
            if byte == b'-' && self.peek()? != Some(b'-') {
                self.held = Some(b'-'); // A minus sign.
            } else if byte == b'-' {
                self.comment()?;
            }
        }
        Ok(())
    }

    /// Skips the rest of a comment, after its first hyphen.
    fn comment(&mut self) -> Result<()> {
        self.bump();
        if self.peek()? == Some(b'[') {
            self.bump();
            if self.long_text()?.is_some() {
                return Ok(());
            }
        }
        while self.peek()?.is_some_and(|byte| byte != b'\n') {
            self.bump();
        }
        Ok(())
    }

    /// Counts this much memory for the entry.
    fn hold(&mut self, bytes: usize) -> Result<()> {
        match self.room.checked_sub(bytes) {
            Some(room) => self.room = room,
            None => return self.expected("an entry of at most 1 MiB"),
        }
        Ok(())
    }

    fn peek(&mut self) -> Result<Option<u8>> {
        match self.held {
            Some(held) => Ok(Some(held)),
            None => Ok(self.input.fill_buf()?.first().copied()),
        }
    }

    /// Skips the byte that was peeked at.
    fn bump(&mut self) {
        if self.held.take().is_some() {
            return;
        }
        if let Ok([b'\n', ..]) = self.input.fill_buf() {
            self.line += 1;
        }
        self.input.consume(1);
    }

    fn expected<T>(&mut self, expected: &'static str) -> Result<T> {
        let ends = self.peek()?.is_none();
        Err(BadData::Syntax { line: self.line, expected, ends })
    }
}

impl<R: BufRead> Iterator for Entries<R> {
    type Item = Result<(Value, Value)>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.next_entry().transpose();
        if matches!(entry, Some(Err(_))) {
            self.at = At::End;
        }
        entry
    }
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 11
}

fn constant(word: &str) -> Option<Value> {
    match word {
        "nil" => Some(Value::Nil),
        "true" => Some(Value::Bool(true)),
        "false" => Some(Value::Bool(false)),
        _ => None,
    }
}

/// The key of an entry that is written without one.
fn numbered(next: &mut u32) -> Value {
    let number = *next;
    *next = number.saturating_add(1);
    Value::Number(number.into())
}

/// A number as Lua writes it, without its sign.
fn number(text: &str) -> Option<f64> {
    let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) else {
        return text.starts_with(|first: char| first.is_ascii_digit() || first == '.').then(|| text.parse().ok())?;
    };
    let (digits, exponent) = hex.split_once(['p', 'P']).unwrap_or((hex, "0"));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut number = 0.0;
    for digit in whole.chars().chain(fraction.chars()) {
        number = number * 16.0 + f64::from(digit.to_digit(16)?);
    }
    let exponent = exponent.parse::<i32>().ok()?.checked_sub(4 * i32::try_from(fraction.len()).ok()?)?;
    (whole.len() + fraction.len() > 0).then(|| number * 2f64.powi(exponent))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(Value, Value)> {
        // A buffer of one byte ends in every place.
        let slowly = Entries::new(io::BufReader::with_capacity(1, text.as_bytes()));
        let entries: Vec<_> = Entries::new(text.as_bytes()).map(|entry| entry.expect(text)).collect();
        assert_eq!(slowly.map(|entry| entry.expect(text)).collect::<Vec<_>>(), entries);
        entries
    }

    /// The value of a text in Lua.
    fn value(text: &str) -> Value {
        read(&format!("return {{ {text} }};\n")).remove(0).1
    }

    fn text(bytes: impl AsRef<[u8]>) -> Value {
        Value::Text(bytes.as_ref().to_vec())
    }

    /// Why a file cannot be read.
    fn problem(file: impl AsRef<[u8]>) -> String {
        let found = Entries::new(file.as_ref()).find_map(std::result::Result::err);
        found.map_or_else(|| panic!("no problem in {:?}", file.as_ref()), |problem| problem.to_string())
    }

    #[test]
    fn what_prosody_writes_is_read() {
        let entries = read(
            "return {\n\t[\"aBc-_\"] = {\n\t\t[\"reusable\"] = true;\n\t\t[\"expires\"] = 1764500000;\n\t\t\
             [\"additional_data\"] = {\n\t\t\t[\"groups\"] = {\n\t\t\t\t\"b\";\n\t\t\t\t\"a\";\n\t\t\t};\n\t\t\t\
             [\"roles\"] = {};\n\t\t};\n\t};\n\t[\" \"] = 5;\n\t[3] = false;\n};\n",
        );
        let keys: Vec<_> = entries.iter().map(|(key, _)| key.clone()).collect();
        assert_eq!(keys, [text("aBc-_"), text(" "), Value::Number(3.0)]);
        let invite = &entries[0].1;
        assert!(invite.get("reusable").is_true() && !invite.get("roles").is_true());
        assert_eq!(*invite.get("expires"), Value::Number(1_764_500_000.0));
        let groups = invite.get("additional_data").get("groups").entries();
        assert_eq!(groups, [(Value::Number(1.0), text("b")), (Value::Number(2.0), text("a"))]);
        assert_eq!(*invite.get("additional_data").get("roles"), Value::Table(vec![]));
        assert_eq!(read("return {};\n"), []);
    }

    #[test]
    fn every_way_to_write_a_text_is_read() {
        for (lua, expected) in [
            (r#""""#, ""),
            (r#"'it"s'"#, "it\"s"),
            (r#""\a\b\f\n\r\t\v\\\"\'""#, "\x07\x08\x0c\n\r\t\x0b\\\"'"),
            ("\"a\\\nb\\\r\nc\"", "a\nb\nc"),
            (r#""\65\066\0677""#, "ABC7"),
            (r#""\x41\u{20AC}\u{1F407}""#, "A€🐇"),
            ("\"a\\z \n\t b\"", "ab"),
            ("[[a]b]]", "a]b"),
            ("[==[\na]]b\r\n]=]c]==]", "a]]b\n]=]c"),
            ("'ä'", "ä"),
        ] {
            assert_eq!(value(lua), text(expected), "{lua}");
        }
        assert_eq!(value(r#""\255\xfe""#), text([255, 254]));
    }

    #[test]
    fn every_way_to_write_a_number_is_read() {
        for (lua, expected) in [
            ("0", 0.0),
            ("-17", -17.0),
            ("- 17", -17.0),
            ("1764500000.5", 1_764_500_000.5),
            (".5", 0.5),
            ("1e3", 1000.0),
            ("1E+3", 1000.0),
            ("125e-2", 1.25),
            ("1e400", f64::INFINITY),
            ("(1/0)", f64::INFINITY),
            ("(-1/0)", f64::NEG_INFINITY),
            ("1 / 0", f64::INFINITY),
            ("0x1F", 31.0),
            ("0x1.8p1", 3.0),
            ("0xA.p-1", 5.0),
            ("0x7fffffffffffffff", 9_223_372_036_854_775_807.0),
        ] {
            assert_eq!(value(lua), Value::Number(expected), "{lua}");
        }
        let none = Entries::new(&b"return { (0/0) }"[..]).next().unwrap().unwrap().1;
        assert!(matches!(none, Value::Number(number) if number.is_nan()));
    }

    #[test]
    fn keys_separators_and_comments_are_read() {
        let expected = vec![
            (text("a"), Value::Nil),
            (Value::Number(1.0), text("b")),
            (text("c"), Value::Bool(false)),
            (Value::Number(2.0), text("d")),
        ];
        for file in [
            "return{a=nil,'b',['c']=false,'d'}",
            "-- by hand\nreturn { a = nil; \"b\"; --[[ two\nlines ]] [ [[c]] ] = false, [=[d]=]; } -- the end",
            "--[==[ ]] ]==] return{a=nil;'b',[ 'c' ]=false;'d',};--",
        ] {
            assert_eq!(read(file), expected, "{file}");
        }
    }

    #[test]
    fn what_is_no_data_is_refused_with_its_place_and_without_its_text() {
        for (file, expected) in [
            ("", "line 1: expected return, but the file ends there"),
            ("\x1bLuaR", "line 1: expected return"),
            ("\n\nlocal SECRET = 1", "line 3: expected return"),
            ("return SECRET()", "line 1: expected {"),
            ("return {\n[\"a\"] = SECRET }", "line 2: expected a value"),
            (
                "return {\n[\"a\"] = \"SECRET",
                "line 2: expected the end of the text, a quotation mark, but the file ends there",
            ),
            ("return {\n[\"a\"] = \"SECRET\n\"}", "line 2: expected the end of the text, a quotation mark"),
            ("return { [[SECRET ]=]", "line 1: expected the end of the text, as ]], but the file ends there"),
            ("return { \"a\" \"SECRET\" }", "line 1: expected ; or }"),
            ("return { \"a\" .. SECRET }", "line 1: expected ; or }"),
            ("return { a = 1;\n b = 2;", "line 2: expected a value, but the file ends there"),
            ("return { [\"SECRET\"", "line 1: expected ], but the file ends there"),
            ("return { SECRET }", "line 1: expected ="),
            ("return { \"\\300\" }", "line 1: expected an escape sequence of at most \\255"),
            ("return { \"\\q\" }", "line 1: expected an escape sequence"),
            ("return { \"\\xg\" }", "line 1: expected two hexadecimal digits"),
            ("return { \"\\u{d800}\" }", "line 1: expected the number of a character"),
            ("return { 12SECRET }", "line 1: expected a number"),
            ("return { 0x }", "line 1: expected a number"),
            ("return { (1/0 }", "line 1: expected )"),
            ("return { inf }", "line 1: expected ="),
            ("return {}; SECRET()", "line 1: expected the end of the file"),
            ("return {};\0\0", "line 1: expected the end of the file"),
        ] {
            assert_eq!(problem(file), expected, "{file:?}");
        }
    }

    #[test]
    fn depth_and_size_have_ends() {
        let deep = |depth| format!("return {}{}", "{".repeat(depth), "}".repeat(depth));
        assert_eq!(read(&deep(DEEPEST)).len(), 1);
        for depth in [DEEPEST + 1, 10_000, 1_000_000] {
            assert_eq!(problem(deep(depth)), "line 1: expected a value that is no table, 127 tables deep");
        }
        let long = |length| format!("return {{ \"{}\" }}", "x".repeat(length));
        assert_eq!(read(&long(LARGEST_ENTRY - 200)).len(), 1);
        for file in
            [long(LARGEST_ENTRY), long(20 * LARGEST_ENTRY), format!("return {{ {{{}}} }}", "1;".repeat(1 << 20))]
        {
            assert_eq!(problem(file), "line 1: expected an entry of at most 1 MiB");
        }
        assert_eq!(read(&format!("return {{{}}}", "1;".repeat(1 << 17))).len(), 1 << 17, "of each entry alone");
        assert_eq!(problem(format!("return {{ {} }}", "9".repeat(1 << 20))), "line 1: expected ; or }");
    }
}
