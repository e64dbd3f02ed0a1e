//! A JSON parser that reads what Jackson reads and keeps the text of numbers.
//!
//! Beyond the standard: leading zeros, a byte order mark, UTF-16 and UTF-32 by their bytes; what follows the document
//! is ignored. Of a name that repeats the last value counts, in the place of the first.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::error::{Error, Result};

/// A JSON value that borrows from its text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node<'a> {
    Null,
    Bool(bool),
    /// The number as it was written.
    Number(&'a str),
    String(Cow<'a, str>),
    Array(Vec<Node<'a>>),
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
}

impl<'a> Node<'a> {
    /// The member of an object with this name; `None` too where this is no object.
    pub(crate) fn get(&self, name: &str) -> Option<&Node<'a>> {
        match self {
            Node::Object(members) => members.iter().find(|(n, _)| n == name).map(|(_, node)| node),
            _ => None,
        }
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Node::String(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Node::Null)
    }

    /// The name of Jackson's `JsonNodeType`, for messages.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Node::Null => "NULL",
            Node::Bool(_) => "BOOLEAN",
            Node::Number(_) => "NUMBER",
            Node::String(_) => "STRING",
            Node::Array(_) => "ARRAY",
            Node::Object(_) => "OBJECT",
        }
    }
}

/// How deep arrays and objects may nest, as in Jackson's `StreamReadConstraints`.
const MAX_DEPTH: usize = 1000;

/// How long the text of a number may be, as in Jackson's `StreamReadConstraints`.
const MAX_NUMBER: usize = 1000;

/// The text of a document whatever Unicode encoding it is in; a byte order mark is left out.
pub(crate) fn decode_text(bytes: &[u8]) -> Result<Cow<'_, str>> {
    let bytes = bytes.strip_prefix(&[0xef, 0xbb, 0xbf]).unwrap_or(bytes);
    let utf16 = |bytes: &[u8], read: fn([u8; 2]) -> u16| {
        let units = bytes.chunks_exact(2).map(|pair| read([pair[0], pair[1]]));
        char::decode_utf16(units)
            .collect::<std::result::Result<String, _>>()
            .map(Cow::Owned)
            .map_err(|_| failure("half a surrogate pair in UTF-16", 0))
    };
    let utf32 = |bytes: &[u8], read: fn([u8; 4]) -> u32| {
        bytes
            .chunks_exact(4)
            .map(|four| char::from_u32(read([four[0], four[1], four[2], four[3]])))
            .collect::<Option<String>>()
            .map(Cow::Owned)
            .ok_or_else(|| failure("invalid UTF-32", 0))
    };
    match bytes {
        [0, 0, 0xfe, 0xff, rest @ ..] => utf32(rest, u32::from_be_bytes),
        [0xff, 0xfe, 0, 0, rest @ ..] => utf32(rest, u32::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0, 0, 0, x, ..] if *x != 0 => utf32(bytes, u32::from_be_bytes),
        [x, 0, 0, 0, ..] if *x != 0 => utf32(bytes, u32::from_le_bytes),
        [0, x, ..] if *x != 0 => utf16(bytes, u16::from_be_bytes),
        [x, 0, ..] if *x != 0 => utf16(bytes, u16::from_le_bytes),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Cow::Borrowed(text)),
            Err(error) => {
                overlong_nul(bytes).ok_or_else(|| failure("invalid UTF-8", error.valid_up_to()))
            }
        },
    }
}

/// Java's "modified UTF-8" writes NUL as two bytes, which Jackson reads where it does not read NUL itself.
fn overlong_nul(bytes: &[u8]) -> Option<Cow<'_, str>> {
    let mut text = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, tail)) = rest.split_first() {
        if let [0xc0, 0x80, ..] = rest {
            text.extend_from_slice(b"\\u0000");
            rest = &rest[2..];
        } else {
            text.push(byte);
            rest = tail;
        }
    }
    String::from_utf8(text).ok().map(Cow::Owned)
}

fn failure(what: &str, at: usize) -> Error {
    Error::data("Converting byte[] to Kafka Connect data failed due to serialization error: ")
        .with_source(format!("{what} at byte {at}"))
}

/// Reads the first document of a text; `None` when there is nothing but white space.
pub(crate) fn parse(text: &str) -> Result<Option<Node<'_>>> {
    let mut parser = Parser { text, bytes: text.as_bytes(), at: 0 };
    parser.skip_space();
    if parser.at == parser.bytes.len() {
        return Ok(None);
    }
    let node = parser.value(0)?;
    match parser.bytes.get(parser.at) {
        Some(b) if matches!(node, Node::Number(_)) && !is_space(*b) => {
            Err(parser.unexpected("space between root-level values"))
        }
        _ => Ok(Some(node)),
    }
}

/// The spans of the members `schema` and `payload` of a document that is an object of these two and nothing else,
/// so that a known schema need not be parsed again; `None` for any other document, valid or not.
pub(crate) fn schema_and_payload(text: &str) -> Option<(&str, &str)> {
    let mut parser = Parser { text, bytes: text.as_bytes(), at: 0 };
    parser.skip_space();
    parser.eat(b'{').then_some(())?;
    let (mut schema, mut payload) = (None, None);
    loop {
        parser.skip_space();
        let name = parser.string().ok()?;
        parser.skip_space();
        parser.eat(b':').then_some(())?;
        parser.skip_space();
        let start = parser.at;
        parser.skip_value(0)?;
        let span = text.get(start..parser.at)?;
        let slot = match &*name {
            "schema" => &mut schema,
            "payload" => &mut payload,
            _ => return None,
        };
        if slot.replace(span).is_some() {
            return None;
        }
        parser.skip_space();
        if parser.eat(b'}') {
            return schema.zip(payload);
        }
        parser.eat(b',').then_some(())?;
    }
}

/// The span of the payload where the document begins with exactly this schema, as all records of a topic do while it
/// stays the same; `None` for any other document.
pub(crate) fn payload_under<'t>(text: &'t str, schema: &str) -> Option<&'t str> {
    let rest = text.strip_prefix("{\"schema\":")?.strip_prefix(schema)?;
    let rest = rest.strip_prefix(",\"payload\":")?;
    let mut parser = Parser { text: rest, bytes: rest.as_bytes(), at: 0 };
    parser.skip_space();
    let start = parser.at;
    parser.skip_value(0)?;
    let span = rest.get(start..parser.at)?;
    parser.skip_space();
    parser.eat(b'}').then_some(span)
}

struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

impl<'a> Parser<'a> {
    fn skip_space(&mut self) {
        while self.bytes.get(self.at).is_some_and(|&byte| is_space(byte)) {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        let there = self.bytes.get(self.at) == Some(&byte);
        self.at += usize::from(there);
        there
    }

    fn unexpected(&self, expected: &str) -> Error {
        let found = self.text.get(self.at..).and_then(|rest| rest.chars().next());
        let what = match found {
            Some(letter) => format!("unexpected {letter:?}, expected {expected},"),
            None => format!("unexpected end of input, expected {expected},"),
        };
        failure(&what, self.at)
    }

    fn value(&mut self, depth: usize) -> Result<Node<'a>> {
        match self.bytes.get(self.at) {
            Some(b'{' | b'[') if depth >= MAX_DEPTH => {
                Err(failure("nested deeper than 1000 levels", self.at))
            }
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string().map(Node::String),
            Some(b'-' | b'0'..=b'9') => self.number().map(Node::Number),
            Some(b't') => self.word("true", Node::Bool(true)),
            Some(b'f') => self.word("false", Node::Bool(false)),
            Some(b'n') => self.word("null", Node::Null),
            _ => Err(self.unexpected("a value")),
        }
    }

    fn word(&mut self, word: &str, node: Node<'a>) -> Result<Node<'a>> {
        let end = self.at + word.len();
        let goes_on = self.bytes.get(end).is_some_and(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || !byte.is_ascii()
        });
        if self.bytes.get(self.at..end) != Some(word.as_bytes()) || goes_on {
            return Err(self.unexpected("true, false, null or a value"));
        }
        self.at = end;
        Ok(node)
    }

    fn number(&mut self) -> Result<&'a str> {
        let start = self.at;
        self.eat(b'-');
        self.digits()?;
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.bytes.get(self.at).is_some_and(|byte| matches!(byte, b'e' | b'E')) {
            self.at += 1;
            if !self.eat(b'+') {
                self.eat(b'-');
            }
            self.digits()?;
        }
        if self.at - start > MAX_NUMBER {
            return Err(failure("a number of more than 1000 characters", start));
        }
        Ok(self.text.get(start..self.at).unwrap_or_default())
    }

    fn digits(&mut self) -> Result<()> {
        let start = self.at;
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        if self.at == start { Err(self.unexpected("a digit")) } else { Ok(()) }
    }

    fn string(&mut self) -> Result<Cow<'a, str>> {
        if !self.eat(b'"') {
            return Err(self.unexpected("a double quote"));
        }
        let start = self.at;
        while let Some(&byte) = self.bytes.get(self.at) {
            match byte {
                b'"' => {
                    let text = self.text.get(start..self.at).unwrap_or_default();
                    self.at += 1;
                    return Ok(Cow::Borrowed(text));
                }
                b'\\' => return self.escaped_string(start),
                0..=0x1f => {
                    return Err(self.unexpected("no control character inside a string"));
                }
                _ => self.at += 1,
            }
        }
        Err(self.unexpected("a double quote"))
    }

    fn escaped_string(&mut self, start: usize) -> Result<Cow<'a, str>> {
        let mut out = self.text.get(start..self.at).unwrap_or_default().to_owned();
        loop {
            let Some(&byte) = self.bytes.get(self.at) else {
                return Err(self.unexpected("a double quote"));
            };
            match byte {
                b'"' => {
                    self.at += 1;
                    return Ok(Cow::Owned(out));
                }
                b'\\' => {
                    self.at += 1;
                    let letter = self.escape()?;
                    out.push(letter);
                }
                0..=0x1f => {
                    return Err(self.unexpected("no control character inside a string"));
                }
                _ => {
                    let from = self.at;
                    while self
                        .bytes
                        .get(self.at)
                        .is_some_and(|&byte| byte > 0x1f && byte != b'"' && byte != b'\\')
                    {
                        self.at += 1;
                    }
                    out.push_str(self.text.get(from..self.at).unwrap_or_default());
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char> {
        let Some(&byte) = self.bytes.get(self.at) else {
            return Err(self.unexpected("an escape"));
        };
        let letter = match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.at += 1;
                return self.unicode_escape();
            }
            _ => return Err(self.unexpected("an escape that JSON knows")),
        };
        self.at += 1;
        Ok(letter)
    }

    fn unicode_escape(&mut self) -> Result<char> {
        let first = self.hex4()?;
        if let Some(letter) = char::from_u32(u32::from(first)) {
            return Ok(letter);
        }
        let at = self.at;
        if self.eat(b'\\') && self.eat(b'u') {
            let second = self.hex4()?;
            if let Some(Ok(letter)) = char::decode_utf16([first, second]).next() {
                return Ok(letter);
            }
        }
        Err(failure("half a surrogate pair, which is no text,", at))
    }

    fn hex4(&mut self) -> Result<u16> {
        let digits = self.text.get(self.at..self.at + 4);
        let digits = digits.filter(|d| d.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let Some(code) = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok()) else {
            return Err(self.unexpected("four hexadecimal digits"));
        };
        self.at += 4;
        Ok(code)
    }

    fn array(&mut self, depth: usize) -> Result<Node<'a>> {
        self.at += 1;
        let mut items = Vec::new();
        self.skip_space();
        if self.eat(b']') {
            return Ok(Node::Array(items));
        }
        loop {
            self.skip_space();
            items.push(self.value(depth + 1)?);
            self.skip_space();
            if self.eat(b']') {
                return Ok(Node::Array(items));
            }
            if !self.eat(b',') {
                return Err(self.unexpected("a comma or the end of the array"));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Node<'a>> {
        self.at += 1;
        let mut members: Vec<(Cow<'a, str>, Node<'a>)> = Vec::new();
        self.skip_space();
        if self.eat(b'}') {
            return Ok(Node::Object(members));
        }
        loop {
            self.skip_space();
            let name = self.string()?;
            self.skip_space();
            if !self.eat(b':') {
                return Err(self.unexpected("a colon"));
            }
            self.skip_space();
            let value = self.value(depth + 1)?;
            members.push((name, value));
            self.skip_space();
            if self.eat(b'}') {
                return Ok(Node::Object(unique(members)));
            }
            if !self.eat(b',') {
                return Err(self.unexpected("a comma or the end of the object"));
            }
        }
    }

    /// Passes over a value without making it; `None` when it is not valid.
    fn skip_value(&mut self, depth: usize) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        match self.bytes.get(self.at)? {
            b'{' => {
                self.at += 1;
                self.skip_space();
                if self.eat(b'}') {
                    return Some(());
                }
                loop {
                    self.skip_space();
                    self.skip_string()?;
                    self.skip_space();
                    self.eat(b':').then_some(())?;
                    self.skip_space();
                    self.skip_value(depth + 1)?;
                    self.skip_space();
                    if self.eat(b'}') {
                        return Some(());
                    }
                    self.eat(b',').then_some(())?;
                }
            }
            b'[' => {
                self.at += 1;
                self.skip_space();
                if self.eat(b']') {
                    return Some(());
                }
                loop {
                    self.skip_space();
                    self.skip_value(depth + 1)?;
                    self.skip_space();
                    if self.eat(b']') {
                        return Some(());
                    }
                    self.eat(b',').then_some(())?;
                }
            }
            b'"' => self.skip_string(),
            _ => self.value(depth).ok().map(|_| ()),
        }
    }

    fn skip_string(&mut self) -> Option<()> {
        self.eat(b'"').then_some(())?;
        loop {
            match self.bytes.get(self.at)? {
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
    }
}

/// Drops repeated names: the last value, in the place of the first.
fn unique<'a>(members: Vec<(Cow<'a, str>, Node<'a>)>) -> Vec<(Cow<'a, str>, Node<'a>)> {
    const FEW: usize = 16;
    let repeated = if members.len() <= FEW {
        members.iter().enumerate().any(|(i, (name, _))| members[..i].iter().any(|(n, _)| n == name))
    } else {
        let mut names: Vec<&str> = members.iter().map(|(name, _)| &**name).collect();
        names.sort_unstable();
        names.windows(2).any(|pair| pair[0] == pair[1])
    };
    if !repeated {
        return members;
    }
    let mut places: HashMap<Cow<'a, str>, usize> = HashMap::with_capacity(members.len());
    let mut out: Vec<(Cow<'a, str>, Node<'a>)> = Vec::with_capacity(members.len());
    for (name, value) in members {
        match places.get(&name) {
            Some(&at) => out[at].1 = value,
            None => {
                places.insert(name.clone(), out.len());
                out.push((name, value));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Option<Node<'_>> {
        parse(text).ok().flatten()
    }

    #[test]
    fn a_payload_under_the_same_schema_is_found_as_the_full_parser_finds_it() {
        let schema = r#"{"type":"int32"}"#;
        for (text, payload) in [
            (r#"{"schema":{"type":"int32"},"payload":7}"#, Some("7")),
            (r#"{"schema":{"type":"int32"},"payload": {"a":"}"} } rest"#, Some(r#"{"a":"}"}"#)),
            (r#"{"schema":{"type":"int32"},"payload":7,"more":8}"#, None),
            (r#"{"schema":{"type":"int32"},"payload":7"#, None),
            (r#"{"schema":{"type":"int32"},"payload":}"#, None),
            (r#"{"schema":{"type":"int64"},"payload":7}"#, None),
            (r#"{"schema":{"type":"int32"} ,"payload":7}"#, None),
        ] {
            assert_eq!(payload_under(text, schema), payload, "{text}");
            if payload.is_some() {
                assert_eq!(schema_and_payload(text).map(|(_, payload)| payload), payload);
            }
        }
    }

    #[test]
    fn numbers_keep_their_text() {
        for text in ["0", "-0.0", "15.60", "1E+2", "000123", "123456789012345678901234567890.12"] {
            assert_eq!(read(text), Some(Node::Number(text)));
        }
        for text in ["+1", ".5", "1.", "1e", "-", "1x", "NaN", "0x1"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_follows_the_document_is_ignored() {
        assert_eq!(read("{} garbage"), Some(Node::Object(vec![])));
        assert_eq!(read("1 x"), Some(Node::Number("1")));
        assert_eq!(parse("  \n").unwrap(), None);
    }

    #[test]
    fn the_last_of_repeated_names_counts_in_the_place_of_the_first() {
        let Some(Node::Object(members)) = read(r#"{"a":1,"b":2,"a":3}"#) else { panic!() };
        let members: Vec<_> = members.iter().map(|(name, node)| (&**name, node)).collect();
        assert_eq!(members, [("a", &Node::Number("3")), ("b", &Node::Number("2"))]);
    }

    #[test]
    fn escapes_and_pairs_become_characters() {
        assert_eq!(
            read(r#""a\n\u00e9\ud83d\ude00\/""#),
            Some(Node::String("a\né\u{1f600}/".into()))
        );
        assert!(parse(r#""\ud83d""#).is_err());
        assert!(parse("\"a\nb\"").is_err());
    }

    #[test]
    fn other_encodings_are_told_by_their_bytes() {
        let utf16: Vec<u8> = "{\"a\":1}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(decode_text(&utf16).unwrap(), "{\"a\":1}");
        let utf32: Vec<u8> = "[1]".chars().flat_map(|c| u32::from(c).to_be_bytes()).collect();
        assert_eq!(decode_text(&utf32).unwrap(), "[1]");
        assert_eq!(decode_text(b"\xef\xbb\xbf1").unwrap(), "1");
        assert!(decode_text(b"\"\xff\"").is_err());
    }

    #[test]
    fn deep_nesting_is_refused_rather_than_followed() {
        assert!(parse(&"[".repeat(100_000)).is_err());
        assert!(schema_and_payload(&format!("{{\"schema\":{}", "[".repeat(100_000))).is_none());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[\\[\\]{}\",:0-9a-fnrtu\\\\.eE+\\- ]{0,60}") {
            let _ = parse(&text);
            let _ = schema_and_payload(&text);
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            if let Ok(text) = decode_text(&bytes) {
                let _ = parse(&text);
            }
        }
    }
}
