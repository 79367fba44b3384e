//! Erlang's terms as `~p` of Erlang's `io` writes them, as far as tables of Mnesia have them. They
//! are only read, and never run.

/// How deeply terms may be nested. An invite, and the list of all tables, do not reach ten levels.
const DEEPEST: u32 = 20;

/// A term. It has no `Debug`, because it may hold a token.
#[cfg_attr(test, derive(Debug, PartialEq, Eq))]
pub enum Term {
    /// An atom.
    Atom(String),
    /// A whole number.
    Integer(i64),
    /// The bytes of a binary, or a string.
    Bytes(Vec<u8>),
    /// A tuple.
    Tuple(Vec<Term>),
    /// A list.
    List(Vec<Term>),
}

impl Term {
    /// Reads a term; `None` if the text is not one of these kinds.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut rest = Rest(text);
        let term = rest.term(0)?;
        rest.skip_space();
        rest.0.is_empty().then_some(term)
    }

    /// The name of an atom.
    pub fn atom(&self) -> Option<&str> {
        if let Term::Atom(name) = self { Some(name) } else { None }
    }

    /// A whole number.
    pub fn integer(&self) -> Option<i64> {
        if let Term::Integer(number) = self { Some(*number) } else { None }
    }

    /// A text in UTF-8.
    pub fn text(&self) -> Option<String> {
        if let Term::Bytes(bytes) = self { String::from_utf8(bytes.clone()).ok() } else { None }
    }

    /// The terms of a tuple of so many.
    pub fn tuple<const N: usize>(&self) -> Option<&[Term; N]> {
        if let Term::Tuple(terms) = self { terms.as_slice().try_into().ok() } else { None }
    }

    /// The terms of a list.
    pub fn list(&self) -> Option<&[Term]> {
        if let Term::List(terms) = self { Some(terms) } else { None }
    }
}

/// What is not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn term(&mut self, depth: u32) -> Option<Term> {
        self.skip_space();
        match self.0 {
            _ if depth > DEEPEST => None,
            [b'{', ..] => self.all_to(b'}', depth).map(Term::Tuple),
            [b'[', ..] => self.all_to(b']', depth).map(Term::List),
            [b'<', b'<', ..] => self.binary().map(Term::Bytes),
            [b'"', ..] => self.quoted(b'"').map(Term::Bytes),
            [b'\'', ..] => String::from_utf8(self.quoted(b'\'')?).ok().map(Term::Atom),
            [b'a'..=b'z', ..] => {
                let atom = self.while_in(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'@'));
                Some(Term::Atom(String::from_utf8_lossy(atom).into_owned()))
            }
            _ => self.integer().map(Term::Integer),
        }
    }

    fn all_to(&mut self, end: u8, depth: u32) -> Option<Vec<Term>> {
        self.next()?;
        let mut terms = Vec::new();
        self.skip_space();
        if self.takes(end) {
            return Some(terms);
        }
        loop {
            terms.push(self.term(depth + 1)?);
            self.skip_space();
            match self.next()? {
                b',' => (),
                byte if byte == end => return Some(terms),
                _ => return None,
            }
        }
    }

    /// `<<"text">>`, `<<1,2,3>>`, or parts of both. A long text is in several parts.
    fn binary(&mut self) -> Option<Vec<u8>> {
        self.0 = self.0.get(2..)?;
        let mut bytes = Vec::new();
        loop {
            self.skip_space();
            match self.0 {
                [b'>', b'>', rest @ ..] => {
                    self.0 = rest;
                    return Some(bytes);
                }
                [b'"', ..] => bytes.append(&mut self.quoted(b'"')?),
                [b',', rest @ ..] => self.0 = rest,
                _ => bytes.push(u8::try_from(self.integer()?).ok()?),
            }
            self.0 = self.0.strip_prefix(b"/utf8").unwrap_or(self.0);
        }
    }

    /// What is between quotation marks. Names and tokens have no other escaped characters than
    /// these.
    fn quoted(&mut self, mark: u8) -> Option<Vec<u8>> {
        self.next()?;
        let mut bytes = Vec::new();
        loop {
            match self.next()? {
                b'\\' => bytes.push(self.next().filter(|byte| matches!(byte, b'"' | b'\'' | b'\\'))?),
                byte if byte == mark => return Some(bytes),
                byte => bytes.push(byte),
            }
        }
    }

    fn integer(&mut self) -> Option<i64> {
        let digits = self.while_in(|byte| byte.is_ascii_digit() || byte == b'-');
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    fn skip_space(&mut self) {
        self.0 = self.0.trim_ascii_start();
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn takes(&mut self, byte: u8) -> bool {
        let found = self.0.first() == Some(&byte);
        if found {
            self.next();
        }
        found
    }

    fn while_in(&mut self, is_in: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.0.iter().position(|byte| !is_in(*byte)).unwrap_or(self.0.len());
        let (found, rest) = self.0.split_at(end);
        self.0 = rest;
        found
    }
}
