//! Cuts the stream into stanzas before they get to the parser, and replaces those that would break
//! it: too large, nested too deeply, or with a reserved namespace.
//!
//! The chat server passes on what its users send, within its own generous limits. The parser ends
//! the stream at a long attribute. It also does so at a reserved namespace, into which servers turn
//! an unusual `xml:` attribute. For tens of thousands of nested elements it takes seconds, and its
//! result overflows the stack. One user's stanza must not do that to everybody else. So such a
//! stanza is replaced by its start tag and a note, or removed if its start tag is the problem.
//!
//! A server's serialiser writes no comments and document types. If one comes anyway, everything
//! after it goes to the parser unchanged, which ends the stream (RFC 6120 §11.1).

use bytes::Bytes;
use futures::TryStreamExt;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite};
use tokio_util::io::{ReaderStream, StreamReader};

/// How many bytes are read in one go: some 80 requests.
const READ_AT_ONCE: usize = 16 * 1024;

/// How deep a stanza may be nested. The deepest useful one, a relayed form, has 8 levels.
const MAX_DEPTH: usize = 24;

/// How many bytes a stanza may have. A form with every field filled in is below 8 kB.
const MAX_BYTES: usize = 64 * 1024;

/// How many bytes a name or an attribute's value may have. A full JID has 3,071 at most, and the
/// parser takes 8,192.
const MAX_TOKEN: usize = 4096;

/// The namespaces to which no prefix may be bound (Namespaces in XML 1.0 §3). An attribute with one
/// of these values is refused whatever its name is, since no stanza needs one.
const RESERVED: [&[u8]; 2] = [b"http://www.w3.org/XML/1998/namespace", b"http://www.w3.org/2000/xmlns/"];

/// The namespace of the note that says why a stanza was refused.
pub const REFUSED: &str = "urn:easy-invite:refused";

/// Where in the text the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Between tags.
    Text,
    /// Directly after a `<`.
    TagBegin,
    /// In a start tag (`false`) or an end tag (`true`).
    Tag(bool),
    /// In an attribute's value, up to this quote.
    Value(u8),
    /// In a processing instruction, such as the XML declaration.
    Instruction,
    /// After a `<!`.
    Declaration,
    /// In a CDATA section, which is text.
    Cdata,
    /// After something unexpected: the rest goes to the parser unchanged.
    Beyond,
}

/// Turns the bytes that come in into those for the parser.
#[derive(Debug)]
struct Framing {
    place: Place,
    /// How many elements are open, the stream's own included.
    depth: usize,
    /// The byte before.
    previous: u8,
    /// The length of the name or value so far. In a CDATA section, the number of `]` just before.
    token: usize,
    /// The stanza so far, or the start tag of a refused one.
    stanza: Vec<u8>,
    /// The length of the start tag, once it is complete.
    head: Option<usize>,
    /// Why the stanza is refused, if it is.
    refused: Option<&'static str>,
}

impl Framing {
    fn new() -> Self {
        Framing { place: Place::Text, depth: 0, previous: 0, token: 0, stanza: Vec::new(), head: None, refused: None }
    }

    /// Takes bytes, and adds the stanzas that they complete to `out`.
    fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for byte in bytes {
            self.take(*byte, out);
        }
    }

    fn take(&mut self, byte: u8, out: &mut Vec<u8>) {
        let (place, previous) = (self.place, std::mem::replace(&mut self.previous, byte));
        if place == Place::Beyond {
            return out.push(byte);
        }
        self.keep(byte);
        match (place, byte) {
            (Place::Text, b'<') => self.place = Place::TagBegin,
            (Place::Text, _) if self.depth < 2 => self.flush(out), // white space between stanzas, to keep alive
            (Place::Text, _) => (),
            (Place::TagBegin, b'?') => self.place = Place::Instruction,
            (Place::TagBegin, b'!') => self.place = Place::Declaration,
            (Place::Declaration, b'[') => self.begin_token(Place::Cdata),
            (Place::Declaration, _) => {
                self.place = Place::Beyond;
                self.flush(out);
            }
            (Place::Cdata, b']') => self.token += 1,
            (Place::Cdata, b'>') if self.token >= 2 => self.place = Place::Text,
            (Place::Cdata, _) => self.token = 0,
            (Place::TagBegin, b'/') => self.begin_token(Place::Tag(true)),
            (Place::TagBegin, _) => self.begin_token(Place::Tag(false)),
            (Place::Tag(false), b'"' | b'\'') => self.begin_token(Place::Value(byte)),
            (Place::Tag(end), b'>') => {
                self.place = Place::Text;
                self.end_tag(end, previous == b'/', out);
            }
            (Place::Tag(_), b' ' | b'\t' | b'\r' | b'\n' | b'=') => self.token = 0,
            (Place::Value(quote), _) if byte == quote => {
                // The stanza so far ends with the value and the quote.
                let start = self.stanza.len().checked_sub(self.token + 1);
                let value = start.and_then(|start| self.stanza.get(start..start + self.token));
                if value.is_some_and(|value| RESERVED.contains(&value)) {
                    self.refuse("using a reserved namespace");
                }
                self.begin_token(Place::Tag(false));
            }
            (Place::Tag(_) | Place::Value(_), _) => {
                self.token += 1;
                if self.token > MAX_TOKEN {
                    self.refuse("too large");
                }
            }
            (Place::Instruction, b'>') if previous == b'?' => {
                self.place = Place::Text;
                self.flush(out);
            }
            (Place::Instruction | Place::Beyond, _) => (),
        }
    }

    fn begin_token(&mut self, place: Place) {
        (self.place, self.token) = (place, 0);
    }

    /// Handles the end of a tag.
    fn end_tag(&mut self, end: bool, empty: bool, out: &mut Vec<u8>) {
        match (end, empty) {
            (true, _) => self.depth = self.depth.saturating_sub(1),
            (false, false) => self.depth += 1,
            (false, true) => (),
        }
        if self.head.is_none() && self.refused.is_none() {
            self.head = Some(self.stanza.len());
        }
        if self.depth > MAX_DEPTH {
            self.refuse("nested too deeply");
        }
        // At depth 1, this is the end of a stanza or of the stream's start tag.
        if self.depth <= 1 {
            self.flush(out);
        }
    }

    fn keep(&mut self, byte: u8) {
        if self.refused.is_none() {
            self.stanza.push(byte);
            if self.stanza.len() > MAX_BYTES {
                self.refuse("too large");
            }
        }
    }

    fn refuse(&mut self, why: &'static str) {
        if self.refused.is_none() {
            self.refused = Some(why);
            self.stanza.truncate(self.head.unwrap_or(0));
        }
    }

    /// Adds the complete stanza, or what replaces it, to `out`.
    fn flush(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.stanza);
        if let (Some(why), Some(head)) = (self.refused.take(), self.head) {
            let start_tag = out.get(out.len() - head..).unwrap_or_default();
            let name = start_tag.iter().skip(1).take_while(|byte| !b" \t\r\n/>".contains(byte));
            let name: Vec<u8> = name.copied().collect();
            out.extend_from_slice(format!("<refused xmlns='{REFUSED}'>{why}</refused></").as_bytes());
            out.extend_from_slice(&name);
            out.push(b'>');
        }
        self.head = None;
    }
}

/// A connection on which only stanzas within the bounds come in.
pub fn bounded<R, W>(reader: R, writer: W) -> impl AsyncBufRead + AsyncWrite + Unpin + use<R, W>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut framing = Framing::new();
    let stanzas = ReaderStream::with_capacity(reader, READ_AT_ONCE).map_ok(move |bytes| {
        let mut out = Vec::with_capacity(bytes.len());
        framing.feed(&bytes, &mut out);
        Bytes::from(out)
    });
    tokio::io::join(StreamReader::new(stanzas), writer)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' id='>'>";

    /// What comes out when `text` goes in behind a stream header, in pieces of several sizes.
    fn framed(text: &str) -> String {
        let outputs: Vec<String> = [1, 2, 3, 7, 1 << 20]
            .into_iter()
            .map(|size| {
                let (mut framing, mut out) = (Framing::new(), Vec::new());
                for piece in format!("{HEADER}{text}").as_bytes().chunks(size) {
                    framing.feed(piece, &mut out);
                }
                String::from_utf8(out).unwrap().strip_prefix(HEADER).unwrap().to_owned()
            })
            .collect();
        assert!(outputs.iter().all(|output| *output == outputs[0]), "{outputs:?}");
        outputs[0].clone()
    }

    #[test]
    fn a_stanza_within_bounds_passes_unchanged() {
        for text in [
            "<iq/>",
            " \n<handshake/><iq a='>' b=\"'/>\"><x><y/>text &lt; <z>ü</z></x></iq><presence></presence> ",
            "<message><body>a > b</body></message></stream:stream>",
            "<message><body><![CDATA[<a>]>]] ></b>]]]></body></message><iq/>",
        ] {
            assert_eq!(framed(text), text);
        }
        let deep = format!("<iq>{}{}</iq>", "<a>".repeat(MAX_DEPTH - 2), "</a>".repeat(MAX_DEPTH - 2));
        assert_eq!(framed(&deep), deep);
    }

    #[test]
    fn a_stanza_comes_out_only_when_it_is_complete() {
        assert_eq!(framed("<iq><x/>"), "");
        assert_eq!(framed("<iq><x/></iq><iq"), "<iq><x/></iq>");
    }

    #[test]
    fn a_stanza_that_is_too_deep_or_too_large_leaves_its_start_tag() {
        let deep = format!("<iq id='1'>{}{}</iq><iq/>", "<a>".repeat(60_000), "</a>".repeat(60_000));
        let note = |why| format!("<refused xmlns='{REFUSED}'>{why}</refused></iq><iq/>");
        assert_eq!(framed(&deep), format!("<iq id='1'>{}", note("nested too deeply")));
        let large = format!("<iq id='2'><x>{}</x></iq><iq/>", "x".repeat(MAX_BYTES));
        assert_eq!(framed(&large), format!("<iq id='2'>{}", note("too large")));
        let long = format!("<iq\nid='3'><x a='{}'/></iq><iq/>", "x".repeat(MAX_TOKEN + 1));
        assert_eq!(framed(&long), format!("<iq\nid='3'>{}", note("too large")));
        let cdata = format!("<iq id='5'><![CDATA[<a>]]>{}{}</iq><iq/>", "<a>".repeat(99), "</a>".repeat(99));
        assert_eq!(framed(&cdata), format!("<iq id='5'>{}", note("nested too deeply")));
        let name = format!("<iq id='4'><{0}></{0}></iq><iq/>", "x".repeat(MAX_TOKEN + 2));
        assert_eq!(framed(&name), format!("<iq id='4'>{}", note("too large")));
    }

    #[test]
    fn a_reserved_namespace_is_refused() {
        for namespace in RESERVED.map(|namespace| std::str::from_utf8(namespace).unwrap()) {
            let stanza = format!("<iq id='1'><a xmlns:ns1='{namespace}' ns1:foo='1' b='2'><b/></a></iq><iq/>");
            let note = format!("<refused xmlns='{REFUSED}'>using a reserved namespace</refused></iq><iq/>");
            assert_eq!(framed(&stanza), format!("<iq id='1'>{note}"));
            assert_eq!(framed(&format!("<iq xmlns:ns1='{namespace}'><a/></iq><iq/>")), "<iq/>");
        }
    }

    #[test]
    fn a_start_tag_that_is_itself_too_large_leaves_nothing() {
        let long = "x".repeat(MAX_TOKEN + 1);
        assert_eq!(framed(&format!("<iq id='{long}'><x/></iq><iq/>")), "<iq/>");
        assert_eq!(framed(&format!("<iq id='{long}'/><iq/>")), "<iq/>");
        assert_eq!(framed(&format!("<{long}x></{long}x><iq/>")), "<iq/>");
        let many = " a='1'".repeat(MAX_BYTES / 6 + 1);
        assert_eq!(framed(&format!("<iq{many}><x/></iq><iq/>")), "<iq/>");
    }

    #[test]
    fn a_comment_goes_to_the_parser_as_it_is() {
        let comment = "<iq><!-- <a> --></iq><iq><a></iq>";
        assert_eq!(framed(comment), comment);
    }

    #[test]
    fn little_is_kept_of_a_refused_stanza() {
        let (mut framing, mut out) = (Framing::new(), Vec::new());
        framing.feed(HEADER.as_bytes(), &mut out);
        framing.feed(b"<message>", &mut out);
        for _ in 0..10_000 {
            framing.feed(b"<a>a lot of text, and all of it too much", &mut out);
        }
        assert!(framing.stanza.len() < 100 && out.len() == HEADER.len());
    }
}
