//! Rows of COPY's text format.
//!
//! Fields are separated by tabs, `\N` is NULL, and a backslash escapes (manual, "COPY", section "Text Format"). In
//! the protocol each row is one or more `CopyData` messages that end with a newline.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use memchr::memchr;

/// A row that does not follow the format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a row of COPY {0}")]
pub struct CopyTextError(&'static str);

/// Type byte and length of a message.
const HEADER: usize = 5;

/// A row's text, without its newline.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// The text.
    pub text: &'a [u8],
    /// The buffer that the text is a part of.
    pub owner: &'a Bytes,
}

/// Splits the messages of a COPY stream into lines, whatever messages they came in.
///
/// ```
/// use bytes::Bytes;
/// use cdc_postgres::copy_text::LineSplitter;
///
/// let mut lines = LineSplitter::default();
/// lines.push(Bytes::from_static(b"d\0\0\0\x081\ta\nd\0\0\0\x072\tb"));
/// assert_eq!(lines.next_line().unwrap().text, b"1\ta");
/// assert!(lines.next_line().is_none());
/// lines.push(Bytes::from_static(b"d\0\0\0\x06c\n"));
/// assert_eq!(lines.next_line().unwrap().text, b"2\tbc");
/// ```
#[derive(Debug, Default)]
pub struct LineSplitter {
    run: Bytes,
    /// What of the run is a message that was begun, and where the next one is: at its end.
    start: usize,
    end: usize,
    /// Of a line whose end has not come.
    begun: BytesMut,
    /// A line that came in parts.
    joined: Bytes,
}

impl LineSplitter {
    /// Takes the next whole CopyData messages, with their headers; all lines of those before must have been taken out.
    pub fn push(&mut self, run: Bytes) {
        (self.run, self.start, self.end) = (run, 0, 0);
    }

    /// The next whole line: a slice of the messages where it lies in one.
    #[inline]
    pub fn next_line(&mut self) -> Option<Line<'_>> {
        loop {
            // Mostly a message is one row.
            let body = self.run.get(self.start..self.end).unwrap_or_default();
            let Some(length) = memchr(b'\n', body) else {
                self.begun.extend_from_slice(body);
                self.next_message()?;
                continue;
            };
            let start = self.start;
            self.start += length + 1;
            if self.begun.is_empty() {
                let text = self.run.get(start..start + length).unwrap_or_default();
                return Some(Line { text, owner: &self.run });
            }
            self.begun.extend_from_slice(body.get(..length).unwrap_or_default());
            self.joined = self.begun.split().freeze();
            return Some(Line { text: &self.joined, owner: &self.joined });
        }
    }

    /// Goes to the next message; `None` where there is none.
    #[inline]
    fn next_message(&mut self) -> Option<()> {
        self.start = self.end;
        let (&[_, a, b, c, d], rest) = self.run.get(self.end..)?.split_first_chunk::<HEADER>()?;
        // The length counts itself.
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?.checked_sub(4)?;
        rest.get(..length)?;
        self.start += HEADER;
        self.end = self.start + length;
        Some(())
    }

    /// Whether bytes are left that no newline ended.
    pub fn has_rest(&self) -> bool {
        !self.begun.is_empty() || self.start < self.run.len()
    }
}

/// Takes a line apart: `None` is NULL. Fields without escapes are slices of the line.
///
/// # Errors
/// When the line ends in a backslash.
///
/// ```
/// use cdc_postgres::copy_text::fields;
///
/// let row = fields(b"1\t\\N\ta\\tb").collect::<Result<Vec<_>, _>>().unwrap();
/// assert_eq!(row, [Some(b"1"[..].into()), None, Some(b"a\tb"[..].into())]);
/// ```
pub fn fields(line: &[u8]) -> impl Iterator<Item = Result<Option<Cow<'_, [u8]>>, CopyTextError>> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        // A tab inside a value is always escaped, so a bare one ends the field.
        let field = match memchr(b'\t', line).and_then(|end| line.split_at_checked(end)) {
            Some((field, behind)) => {
                rest = behind.get(1..);
                field
            }
            None => {
                rest = None;
                line
            }
        };
        Some(unescape(field))
    })
}

fn unescape(field: &[u8]) -> Result<Option<Cow<'_, [u8]>>, CopyTextError> {
    let Some((first, escaped)) =
        memchr(b'\\', field).and_then(|first| field.split_at_checked(first))
    else {
        return Ok(Some(Cow::Borrowed(field)));
    };
    if field == b"\\N" {
        return Ok(None);
    }
    let mut value = Vec::with_capacity(field.len());
    value.extend_from_slice(first);
    let mut bytes = escaped.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            value.push(byte);
            continue;
        }
        value.push(match bytes.next().ok_or(CopyTextError("ends in a backslash"))? {
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 0x0b,
            other => other,
        });
    }
    Ok(Some(Cow::Owned(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(line: &[u8]) -> Vec<Option<Vec<u8>>> {
        fields(line).map(|field| field.unwrap().map(Cow::into_owned)).collect()
    }

    fn message(body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [b"d", &length.to_be_bytes()[..], body].concat()
    }

    #[test]
    fn null_empty_and_the_text_of_null_are_three_things() {
        assert_eq!(split(b"\\N\t\t\\\\N"), [None, Some(vec![]), Some(b"\\N".to_vec())]);
    }

    #[test]
    fn every_escape_is_undone() {
        assert_eq!(split(b"\\b\\f\\n\\r\\t\\v\\\\"), [Some(b"\x08\x0c\n\r\t\x0b\\".to_vec())]);
    }

    #[test]
    fn an_empty_line_is_one_empty_field() {
        assert_eq!(split(b""), [Some(vec![])]);
    }

    #[test]
    fn a_lone_backslash_at_the_end_is_an_error() {
        assert!(fields(b"a\\").any(|field| field.is_err()));
    }

    fn escape(value: &Option<Vec<u8>>) -> Vec<u8> {
        let Some(value) = value else { return b"\\N".to_vec() };
        let mut out = Vec::new();
        for byte in value {
            match byte {
                b'\\' => out.extend(b"\\\\"),
                b'\n' => out.extend(b"\\n"),
                b'\t' => out.extend(b"\\t"),
                b'\r' => out.extend(b"\\r"),
                byte => out.push(*byte),
            }
        }
        out
    }

    proptest! {
        #[test]
        fn rows_come_back_however_the_stream_is_cut(
            rows in proptest::collection::vec(
                proptest::collection::vec(proptest::option::of(proptest::collection::vec(any::<u8>(), 0..6)), 1..4),
                0..6,
            ),
            cut in 1usize..20,
            together in 1usize..4,
        ) {
            let mut stream = Vec::new();
            for row in &rows {
                stream.extend(row.iter().map(escape).collect::<Vec<_>>().join(&b'\t'));
                stream.push(b'\n');
            }
            let messages: Vec<_> = stream.chunks(cut).map(message).collect();
            let mut lines = LineSplitter::default();
            let mut read = Vec::new();
            for run in messages.chunks(together) {
                lines.push(run.concat().into());
                while let Some(Line { text, owner }) = lines.next_line() {
                    prop_assert_eq!(owner.slice_ref(text), text);
                    read.push(split(text));
                }
            }
            prop_assert!(!lines.has_rest());
            prop_assert_eq!(read, rows);
        }

        #[test]
        fn a_line_without_its_newline_is_no_line(line in "[a-z]{1,9}", cut in 1usize..10) {
            let messages: Vec<_> = line.as_bytes().chunks(cut).map(message).collect();
            let mut lines = LineSplitter::default();
            lines.push(messages.concat().into());
            prop_assert!(lines.next_line().is_none());
            prop_assert!(lines.has_rest());
        }

        #[test]
        fn no_messages_panic(run: Vec<u8>) {
            let mut lines = LineSplitter::default();
            lines.push(run.into());
            while lines.next_line().is_some() {}
        }

        #[test]
        fn no_line_panics(line in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = fields(&line).count();
        }
    }
}
