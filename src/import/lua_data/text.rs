//! Texts of Lua: in quotation marks, with escape sequences, or in long brackets.

use std::io::BufRead;

use super::{Entries, Result, is_space};

impl<R: BufRead> Entries<R> {
    pub(super) fn quoted(&mut self, quote: u8) -> Result<Vec<u8>> {
        self.bump();
        let mut text = Vec::new();
        loop {
            let plain = self.input.fill_buf()?;
            let is_plain = |byte: &u8| ![quote, b'\\', b'\n', b'\r'].contains(byte);
            let plain = plain.get(..plain.iter().position(|byte| !is_plain(byte)).unwrap_or(plain.len()));
            let length = plain.map_or(0, <[u8]>::len);
            text.extend_from_slice(plain.unwrap_or_default());
            self.input.consume(length);
            self.hold(length)?;
            match self.peek()? {
                Some(b'\\') => {
                    self.bump();
                    self.hold(4)?;
                    self.escaped(&mut text)?;
                }
                Some(end) if end == quote => {
                    self.bump();
                    return Ok(text);
                }
                Some(byte) if is_plain(&byte) => (), // The buffer has ended, but not the text.
                _ => return self.expected("the end of the text, a quotation mark"),
            }
        }
    }

    /// What follows a backslash.
    fn escaped(&mut self, text: &mut Vec<u8>) -> Result<()> {
        let Some(letter) = self.peek()? else { return self.expected("an escape sequence") };
        if letter.is_ascii_digit() {
            let mut code = 0;
            for _ in 0..3 {
                let Some(digit) = self.digit(10)? else { break };
                code = code * 10 + digit;
            }
            match u8::try_from(code) {
                Ok(byte) => text.push(byte),
                Err(_) => return self.expected("an escape sequence of at most \\255"),
            }
            return Ok(());
        }
        self.bump();
        match letter {
            b'a' => text.push(7),
            b'b' => text.push(8),
            b'f' => text.push(12),
            b'n' => text.push(b'\n'),
            b'r' => text.push(b'\r'),
            b't' => text.push(b'\t'),
            b'v' => text.push(11),
            b'\\' | b'"' | b'\'' => text.push(letter),
            b'\n' | b'\r' => {
                self.second_of_line_end(letter)?;
                text.push(b'\n');
            }
            b'z' => {
                while self.peek()?.is_some_and(is_space) {
                    self.bump();
                }
            }
            b'x' => match (self.digit(16)?, self.digit(16)?) {
                (Some(high), Some(low)) => text.extend(u8::try_from(high * 16 + low)),
                _ => return self.expected("two hexadecimal digits"),
            },
            b'u' if self.peek()? == Some(b'{') => {
                self.bump();
                let mut code = 0u32;
                while let Some(digit) = self.digit(16)? {
                    code = code.saturating_mul(16).saturating_add(digit);
                }
                match char::from_u32(code) {
                    Some(character) => text.extend(character.encode_utf8(&mut [0; 4]).as_bytes()),
                    None => return self.expected("the number of a character"),
                }
                self.sign(b'}', "}")?;
            }
            _ => return self.expected("an escape sequence"),
        }
        Ok(())
    }

    fn digit(&mut self, radix: u32) -> Result<Option<u32>> {
        let digit = self.peek()?.and_then(|byte| char::from(byte).to_digit(radix));
        if digit.is_some() {
            self.bump();
        }
        Ok(digit)
    }

    /// A text in long brackets, such as `[=[text]=]`, after its first bracket. `None` if it is
    /// something else. Then at most equals signs have been read, after which nothing valid can
    /// follow.
    pub(super) fn long_text(&mut self) -> Result<Option<Vec<u8>>> {
        let mut level = 0;
        while self.peek()? == Some(b'=') {
            self.bump();
            level += 1;
        }
        if self.peek()? != Some(b'[') {
            return Ok(None);
        }
        self.bump();
        let (mut text, mut closing) = (Vec::new(), None);
        while let Some(byte) = self.peek()? {
            self.bump();
            closing = match (byte, closing) {
                (b']', Some(equals)) if equals == level => {
                    text.truncate(text.len() - level - 1);
                    return Ok(Some(text));
                }
                (b']', _) => Some(0),
                (b'=', Some(equals)) => Some(equals + 1),
                _ => None,
            };
            self.hold(1)?;
            if matches!(byte, b'\n' | b'\r') {
                self.second_of_line_end(byte)?;
                // A line break at the beginning does not belong to the text.
                if !text.is_empty() {
                    text.push(b'\n');
                }
            } else {
                text.push(byte);
            }
        }
        self.expected("the end of the text, as ]]")
    }

    /// The line feed of a carriage return, or the other way round.
    fn second_of_line_end(&mut self, first: u8) -> Result<()> {
        if self.peek()?.is_some_and(|next| matches!(next, b'\n' | b'\r') && next != first) {
            self.bump();
        }
        Ok(())
    }
}
