//! Reads a text record by record, so that the whole is never in memory. Of a record that is longer
//! than any invite, only the beginning is kept, which shows what it is.

use std::io::{BufRead, Cursor, Read};

use anyhow::{anyhow, ensure};

use crate::files::in_words;

/// The longest record that is kept whole, in bytes. The record of an invite has a few hundred.
const LONGEST: usize = 64 * 1024;

/// How many bytes of the beginning are used to recognise the format.
const HEAD: u64 = 4096;

/// What some programs write before a text in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// How the records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Objects of JSON, one after the other or in an array.
    Json,
    /// Erlang's terms, each with a full stop.
    Terms,
    /// Lines.
    Lines,
}

/// The records of a text.
pub struct Records<'a> {
    name: String,
    reader: Box<dyn BufRead + 'a>,
    format: Format,
    line: u64,
    in_array: bool,
}

impl<'a> Records<'a> {
    /// The records of a text, in the format of its beginning. `name` is for messages.
    ///
    /// # Errors
    /// If it cannot be read, is empty, or is no text in UTF-8.
    pub fn new(name: String, mut reader: impl BufRead + 'a) -> anyhow::Result<Self> {
        let mut head = Vec::new();
        let read = reader.by_ref().take(HEAD).read_to_end(&mut head);
        read.map_err(|error| anyhow!("{name}: {}", in_words(&error)))?;
        ensure!(!head.starts_with(b"SQLite format 3"), "{name} is a database: name it with --sql sqlite:FILE");
        let is_text = |byte: &u8| !byte.is_ascii_control() || byte.is_ascii_whitespace();
        let is_utf_16 = head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff");
        ensure!(
            head.iter().all(is_text) && !is_utf_16,
            "{name}:1: expected text in UTF-8; unpack what is compressed, and convert what is encoded otherwise"
        );
        let start = if head.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        let mut letters = head.iter().skip(start).filter(|byte| !byte.is_ascii_whitespace());
        let format = match (letters.next(), letters.next()) {
            (None, _) => {
                let silent = "`ejabberdctl list_invites` prints nothing for a host without invites";
                return Err(anyhow!("{name}:1: expected invites, and it is empty: {silent}, or if it fails"));
            }
            (Some(b'['), _) | (Some(b'{'), Some(b'"' | b'}')) => Format::Json,
            (Some(b'{' | b'%'), _) => Format::Terms,
            _ => Format::Lines,
        };
        let mut head = Cursor::new(head);
        head.set_position(start as u64);
        Ok(Records { name, reader: Box::new(head.chain(reader)), format, line: 1, in_array: false })
    }

    /// The format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The place of a line, for messages.
    pub fn place(&self, line: u64) -> String {
        format!("{}:{line}", self.name)
    }

    /// An error at a line: what was expected there.
    pub fn expected(&self, line: u64, what: &str) -> anyhow::Error {
        anyhow!("{}: expected {what}", self.place(line))
    }

    /// Puts the next record into `text`, and returns its first line; `None` after the last record.
    ///
    /// # Errors
    /// If the text cannot be read, ends within a record, or has something else where one should be.
    pub fn next(&mut self, text: &mut Vec<u8>) -> anyhow::Result<Option<u64>> {
        text.clear();
        match self.format {
            Format::Json => self.next_object(text),
            Format::Terms => self.next_term(text),
            Format::Lines => self.next_line(text),
        }
    }

    fn next_object(&mut self, text: &mut Vec<u8>) -> anyhow::Result<Option<u64>> {
        let line = loop {
            match self.byte()? {
                None if self.in_array => return Err(self.cut()),
                None => return Ok(None),
                Some(b'[') if !self.in_array => self.in_array = true,
                Some(b']') if self.in_array => self.in_array = false,
                Some(b',') if self.in_array => (),
                Some(b'{') => break self.line,
                Some(byte) if byte.is_ascii_whitespace() => (),
                Some(_) => return Err(self.expected(self.line, "an object of JSON for each invite")),
            }
        };
        text.push(b'{');
        let (mut depth, mut quoted, mut escaped) = (1u32, false, false);
        while depth > 0 {
            let byte = self.byte()?.ok_or_else(|| self.cut())?;
            keep(text, byte);
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b'{' | b'[' if !quoted => depth += 1,
                b'}' | b']' if !quoted => depth -= 1,
                _ => (),
            }
        }
        Ok(Some(line))
    }

    fn next_term(&mut self, text: &mut Vec<u8>) -> anyhow::Result<Option<u64>> {
        let (mut first, mut quote, mut escaped) = (None, None, false);
        while let Some(byte) = self.byte()? {
            match (quote, byte) {
                _ if escaped => escaped = false,
                (Some(_), b'\\') => escaped = true,
                (Some(open), _) if open == byte => quote = None,
                (Some(_), _) => (),
                (None, b'"' | b'\'') => quote = Some(byte),
                (None, b'%') => {
                    while self.byte()?.is_some_and(|byte| byte != b'\n') {}
                    continue;
                }
                // Others are in numbers.
                (None, b'.') if self.peek()?.is_none_or(|next| next.is_ascii_whitespace() || next == b'%') => {
                    return Ok(Some(first.unwrap_or(self.line)));
                }
                (None, _) if first.is_none() && byte.is_ascii_whitespace() => continue,
                (None, _) => (),
            }
            first.get_or_insert(self.line);
            keep(text, byte);
        }
        if first.is_none() { Ok(None) } else { Err(self.cut()) }
    }

    fn next_line(&mut self, text: &mut Vec<u8>) -> anyhow::Result<Option<u64>> {
        let mut line = self.line;
        while let Some(byte) = self.byte()? {
            match byte {
                b'\n' if text.is_empty() => line = self.line,
                b'\n' => return Ok(Some(line)),
                b'\r' => (),
                byte => keep(text, byte),
            }
        }
        Ok(Some(line).filter(|_| !text.is_empty()))
    }

    fn cut(&self) -> anyhow::Error {
        self.expected(self.line, "more: the text ends in the middle")
    }

    fn peek(&mut self) -> anyhow::Result<Option<u8>> {
        let read = self.reader.fill_buf();
        Ok(read.map_err(|error| anyhow!("{}: {}", self.name, in_words(&error)))?.first().copied())
    }

    fn byte(&mut self) -> anyhow::Result<Option<u8>> {
        let byte = self.peek()?;
        if let Some(byte) = byte {
            self.reader.consume(1);
            self.line += u64::from(byte == b'\n');
        }
        Ok(byte)
    }
}

fn keep(text: &mut Vec<u8>, byte: u8) {
    if text.len() < LONGEST {
        text.push(byte);
    }
}
