//! Rows as they are on the wire: validated once, walked without allocation.

use std::fmt;

use bytes::Bytes;

use super::reader::{DecodeErrorReason, Reader, Result};

/// The columns of a row (the manual's TupleData), in the order of the relation's columns.
///
/// It is a slice of the received message, checked when it was decoded; walking it cannot fail.
#[derive(Clone, PartialEq, Eq)]
pub struct Tuple {
    len: u16,
    raw: Bytes,
}

/// A column's value; the bytes are a slice of the received message and keep its buffer alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TupleColumn {
    /// NULL, and in an old key every column that is not of the key.
    Null,
    /// A TOAST value that the update did not change, so that it was not sent.
    Unchanged,
    /// The type's text output.
    Text(Bytes),
    /// The type's binary output (only with the option `binary`).
    Binary(Bytes),
}

/// A column's value, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnSlice<'a> {
    /// NULL, and in an old key every column that is not of the key.
    Null,
    /// A TOAST value that the update did not change, so that it was not sent.
    Unchanged,
    /// The type's text output.
    Text(&'a [u8]),
    /// The type's binary output (only with the option `binary`).
    Binary(&'a [u8]),
}

impl Tuple {
    /// Checks and takes the tuple that follows in a message.
    pub(super) fn read(reader: &mut Reader) -> Result<Self> {
        let len = reader.count16("column count")?;
        let whole = reader.rest().clone();
        let before = reader.remaining();
        for _ in 0..len {
            match reader.u8()? {
                b'n' | b'u' => {}
                b't' | b'b' => {
                    let length = reader.count32("column length")?;
                    if length > reader.remaining() {
                        return Err(reader.error(DecodeErrorReason::Truncated));
                    }
                    reader.advance(length);
                }
                byte => return Err(reader.unexpected("column kind", byte)),
            }
        }
        Ok(Self { len, raw: whole.slice(..before - reader.remaining()) })
    }

    /// The number of columns.
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Whether there is no column at all, as in a table without columns.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The columns, borrowed: no reference is counted.
    pub fn slices(&self) -> impl Iterator<Item = ColumnSlice<'_>> {
        Columns { rest: &self.raw }
    }

    /// The columns as slices of the received buffer, one reference count each.
    pub fn columns(&self) -> impl Iterator<Item = TupleColumn> {
        self.slices().map(|column| match column {
            ColumnSlice::Null => TupleColumn::Null,
            ColumnSlice::Unchanged => TupleColumn::Unchanged,
            ColumnSlice::Text(text) => TupleColumn::Text(self.raw.slice_ref(text)),
            ColumnSlice::Binary(bytes) => TupleColumn::Binary(self.raw.slice_ref(bytes)),
        })
    }

    /// The bytes on the wire after the column count: what this tuple costs in memory.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }
}

impl fmt::Debug for Tuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.columns()).finish()
    }
}

struct Columns<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Columns<'a> {
    type Item = ColumnSlice<'a>;

    fn next(&mut self) -> Option<ColumnSlice<'a>> {
        let (kind, rest) = self.rest.split_first()?;
        self.rest = rest;
        if *kind == b'n' {
            return Some(ColumnSlice::Null);
        }
        if *kind == b'u' {
            return Some(ColumnSlice::Unchanged);
        }
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (value, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some(if *kind == b't' { ColumnSlice::Text(value) } else { ColumnSlice::Binary(value) })
    }
}
