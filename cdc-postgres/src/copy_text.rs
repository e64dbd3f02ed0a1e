//! Rows of COPY's text format.
//!
//! Fields are separated by tabs, `\N` is NULL, and a backslash escapes (manual, "COPY", section "Text Format"). In
//! the protocol each row is one or more `CopyData` messages that end with a newline.

use bytes::{Buf, Bytes, BytesMut};

/// A row that does not follow the format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a row of COPY {0}")]
pub struct CopyTextError(&'static str);

/// Splits the bytes of a COPY stream into lines, whatever the messages they came in.
///
/// ```
/// use bytes::Bytes;
/// use cdc_postgres::copy_text::LineSplitter;
///
/// let mut lines = LineSplitter::default();
/// lines.push(Bytes::from_static(b"1\ta\n2\tb"));
/// assert_eq!(lines.next_line().as_deref(), Some(&b"1\ta"[..]));
/// assert_eq!(lines.next_line(), None);
/// lines.push(Bytes::from_static(b"c\n"));
/// assert_eq!(lines.next_line().as_deref(), Some(&b"2\tbc"[..]));
/// ```
#[derive(Debug, Default)]
pub struct LineSplitter {
    begun: BytesMut,
    chunk: Bytes,
}

impl LineSplitter {
    /// Takes the next bytes; all lines of those before must have been taken out.
    pub fn push(&mut self, chunk: Bytes) {
        if !self.chunk.is_empty() {
            self.begun.extend_from_slice(&self.chunk);
        }
        self.chunk = chunk;
    }

    /// The next whole line without its newline; a slice of the chunk where the line lies in one.
    pub fn next_line(&mut self) -> Option<Bytes> {
        match memchr::memchr(b'\n', &self.chunk) {
            // Mostly a message is one row.
            Some(end) if end + 1 == self.chunk.len() && self.begun.is_empty() => {
                let mut line = std::mem::take(&mut self.chunk);
                line.truncate(end);
                Some(line)
            }
            Some(end) => {
                let line = self.chunk.split_to(end);
                self.chunk.advance(1);
                if self.begun.is_empty() {
                    return Some(line);
                }
                self.begun.extend_from_slice(&line);
                Some(self.begun.split().freeze())
            }
            None => {
                self.begun.extend_from_slice(&self.chunk);
                self.chunk = Bytes::new();
                None
            }
        }
    }

    /// Whether bytes are left that no newline ended.
    pub fn has_rest(&self) -> bool {
        !self.begun.is_empty() || !self.chunk.is_empty()
    }
}

/// Takes a line apart: `None` is NULL. Fields without escapes are slices of the line.
///
/// # Errors
/// When the line ends in a backslash.
///
/// ```
/// use bytes::Bytes;
/// use cdc_postgres::copy_text::fields;
///
/// let line = Bytes::from_static(b"1\t\\N\ta\\tb");
/// let row = fields(&line).collect::<Result<Vec<_>, _>>().unwrap();
/// assert_eq!(row, [Some("1".into()), None, Some("a\tb".into())]);
/// ```
pub fn fields(line: &Bytes) -> impl Iterator<Item = Result<Option<Bytes>, CopyTextError>> {
    let mut rest = Some(line.clone());
    std::iter::from_fn(move || {
        let line = rest.as_mut()?;
        // A tab inside a value is always escaped, so a bare one ends the field.
        let field = match line.iter().position(|byte| *byte == b'\t') {
            Some(end) => {
                let field = line.split_to(end);
                line.advance(1);
                field
            }
            None => rest.take()?,
        };
        Some(unescape(field))
    })
}

fn unescape(field: Bytes) -> Result<Option<Bytes>, CopyTextError> {
    let Some(first) = field.iter().position(|byte| *byte == b'\\') else {
        return Ok(Some(field));
    };
    if &field[..] == b"\\N" {
        return Ok(None);
    }
    let mut value = Vec::with_capacity(field.len());
    value.extend_from_slice(&field[..first]);
    let mut bytes = field[first..].iter().copied().peekable();
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
    Ok(Some(value.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(line: &[u8]) -> Vec<Option<Bytes>> {
        fields(&Bytes::copy_from_slice(line)).collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn null_empty_and_the_text_of_null_are_three_things() {
        assert_eq!(split(b"\\N\t\t\\\\N"), [None, Some("".into()), Some("\\N".into())]);
    }

    #[test]
    fn every_escape_is_undone() {
        assert_eq!(
            split(b"\\b\\f\\n\\r\\t\\v\\\\"),
            [Some(Bytes::from_static(b"\x08\x0c\n\r\t\x0b\\"))]
        );
    }

    #[test]
    fn an_empty_line_is_one_empty_field() {
        assert_eq!(split(b""), [Some("".into())]);
    }

    #[test]
    fn a_lone_backslash_at_the_end_is_an_error() {
        assert!(fields(&Bytes::from_static(b"a\\")).any(|field| field.is_err()));
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
        ) {
            let mut stream = Vec::new();
            for row in &rows {
                stream.extend(row.iter().map(escape).collect::<Vec<_>>().join(&b'\t'));
                stream.push(b'\n');
            }
            let mut lines = LineSplitter::default();
            let mut read = Vec::new();
            for chunk in stream.chunks(cut) {
                lines.push(Bytes::copy_from_slice(chunk));
                while let Some(line) = lines.next_line() {
                    read.push(split(&line).into_iter().map(|f| f.map(|b| b.to_vec())).collect::<Vec<_>>());
                }
            }
            prop_assert!(!lines.has_rest());
            prop_assert_eq!(read, rows);
        }

        #[test]
        fn no_line_panics(line in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = fields(&Bytes::from(line)).count();
        }
    }
}
