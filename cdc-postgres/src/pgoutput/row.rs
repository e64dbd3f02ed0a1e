//! Messages of rows, read in one pass without a copy: most of what a stream is made of.
//!
//! [`decode`](super::decode) makes a value of a message that can be kept; this is a cursor over one that is used up at once.

use super::message::OldTuple;
use super::reader::{DecodeError, DecodeErrorReason};
use super::tuple::ColumnSlice;

/// What happened to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowOperation {
    /// It was inserted.
    Insert,
    /// It was changed.
    Update,
    /// It was deleted.
    Delete,
}

/// Which row a tuple is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowImage {
    /// The identity's columns of the row before; the others stand there as NULL.
    OldKey,
    /// The whole row before (REPLICA IDENTITY FULL).
    OldFull,
    /// The row after.
    New,
}

/// A cursor over an Insert, Update or Delete.
///
/// ```
/// use cdc_postgres::pgoutput::{ColumnSlice, RowImage, RowMessage, RowOperation};
///
/// let mut row = RowMessage::read(b"I\0\0\x40\x05N\0\x02t\0\0\0\x0242n", false)?.expect("a row");
/// assert_eq!((row.operation(), row.relation_id()), (RowOperation::Insert, 16389));
/// assert_eq!(row.next_tuple()?, Some((RowImage::New, 2)));
/// assert_eq!(row.next_column()?, ColumnSlice::Text(b"42"));
/// assert_eq!(row.next_column()?, ColumnSlice::Null);
/// assert_eq!(row.next_tuple()?, None);
/// # Ok::<(), cdc_postgres::pgoutput::DecodeError>(())
/// ```
#[derive(Debug, Clone)]
pub struct RowMessage<'a> {
    operation: RowOperation,
    relation_id: u32,
    rest: &'a [u8],
    length: usize,
    /// Tuples that came.
    tuples: u8,
    had_new: bool,
}

impl<'a> RowMessage<'a> {
    /// Begins to read a message; `None` where it is another one.
    ///
    /// # Errors
    /// [`DecodeError`] where it is cut off.
    pub fn read(bytes: &'a [u8], in_stream: bool) -> Result<Option<Self>, DecodeError> {
        let Some((kind, rest)) = bytes.split_first() else { return Ok(None) };
        let operation = match kind {
            b'I' => RowOperation::Insert,
            b'U' => RowOperation::Update,
            b'D' => RowOperation::Delete,
            _ => return Ok(None),
        };
        let length = bytes.len();
        let mut row =
            RowMessage { operation, relation_id: 0, rest, length, tuples: 0, had_new: false };
        if in_stream {
            row.u32()?;
        }
        row.relation_id = row.u32()?;
        Ok(Some(row))
    }

    /// What happened.
    pub fn operation(&self) -> RowOperation {
        self.operation
    }

    /// The table's OID.
    pub fn relation_id(&self) -> u32 {
        self.relation_id
    }

    /// The next tuple: which row it is, and how many columns follow, each of which must be read. `None` at the end.
    ///
    /// # Errors
    /// [`DecodeError`] for a tuple that does not belong there, and for bytes behind the last.
    pub fn next_tuple(&mut self) -> Result<Option<(RowImage, usize)>, DecodeError> {
        let ends = match self.operation {
            RowOperation::Delete => self.tuples == 1,
            RowOperation::Insert | RowOperation::Update => self.had_new,
        };
        if ends {
            return match self.rest.len() {
                0 => Ok(None),
                count => Err(self.error(DecodeErrorReason::TrailingBytes(count))),
            };
        }
        let byte = self.u8()?;
        let image = match (byte, self.operation, self.tuples) {
            (b'N', RowOperation::Insert | RowOperation::Update, _) => RowImage::New,
            (b'K', RowOperation::Update | RowOperation::Delete, 0) => RowImage::OldKey,
            (b'O', RowOperation::Update | RowOperation::Delete, 0) => RowImage::OldFull,
            _ => {
                let field = "tuple kind";
                return Err(self.error(DecodeErrorReason::UnexpectedByte { field, byte }));
            }
        };
        self.tuples += 1;
        self.had_new |= image == RowImage::New;
        let Some((count, rest)) = self.rest.split_first_chunk() else {
            return Err(self.truncated());
        };
        self.rest = rest;
        let count = usize::try_from(i16::from_be_bytes(*count))
            .map_err(|_| self.error(DecodeErrorReason::Negative { field: "column count" }))?;
        Ok(Some((image, count)))
    }

    /// The next column of the tuple.
    ///
    /// # Errors
    /// [`DecodeError`] where it is cut off or of an unknown kind.
    #[inline]
    pub fn next_column(&mut self) -> Result<ColumnSlice<'a>, DecodeError> {
        let kind = self.u8()?;
        match kind {
            b't' | b'b' => {
                let Some((length, rest)) = self.rest.split_first_chunk() else {
                    return Err(self.truncated());
                };
                let length = i32::from_be_bytes(*length);
                let Ok(length) = usize::try_from(length) else {
                    let field = "column length";
                    return Err(self.error(DecodeErrorReason::Negative { field }));
                };
                let Some((value, rest)) = rest.split_at_checked(length) else {
                    return Err(self.truncated());
                };
                self.rest = rest;
                Ok(if kind == b't' { ColumnSlice::Text(value) } else { ColumnSlice::Binary(value) })
            }
            b'n' => Ok(ColumnSlice::Null),
            b'u' => Ok(ColumnSlice::Unchanged),
            byte => {
                Err(self.error(DecodeErrorReason::UnexpectedByte { field: "column kind", byte }))
            }
        }
    }

    #[inline]
    fn u8(&mut self) -> Result<u8, DecodeError> {
        let Some((byte, rest)) = self.rest.split_first() else { return Err(self.truncated()) };
        self.rest = rest;
        Ok(*byte)
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        let Some((number, rest)) = self.rest.split_first_chunk() else {
            return Err(self.truncated());
        };
        self.rest = rest;
        Ok(u32::from_be_bytes(*number))
    }

    #[cold]
    fn truncated(&self) -> DecodeError {
        self.error(DecodeErrorReason::Truncated)
    }

    #[cold]
    fn error(&self, reason: DecodeErrorReason) -> DecodeError {
        let message = match self.operation {
            RowOperation::Insert => "Insert",
            RowOperation::Update => "Update",
            RowOperation::Delete => "Delete",
        };
        DecodeError { message, offset: self.length - self.rest.len(), reason }
    }
}

impl OldTuple {
    /// Which row it is.
    pub fn image(&self) -> RowImage {
        match self {
            OldTuple::Key(_) => RowImage::OldKey,
            OldTuple::Full(_) => RowImage::OldFull,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Message, Tuple, decode};
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    type Columns = Vec<(RowImage, Vec<Option<Vec<u8>>>)>;

    fn walk(bytes: &[u8], in_stream: bool) -> Option<Result<(u32, Columns), DecodeError>> {
        let mut row = match RowMessage::read(bytes, in_stream) {
            Ok(row) => row?,
            Err(error) => return Some(Err(error)),
        };
        let mut columns = Columns::new();
        let read = |row: &mut RowMessage<'_>, columns: &mut Columns| {
            while let Some((image, count)) = row.next_tuple()? {
                let values = (0..count).map(|_| Ok(owned(row.next_column()?)));
                columns.push((image, values.collect::<Result<_, _>>()?));
            }
            Ok(())
        };
        Some(read(&mut row, &mut columns).map(|()| (row.relation_id(), columns)))
    }

    fn owned(column: ColumnSlice<'_>) -> Option<Vec<u8>> {
        match column {
            ColumnSlice::Null => None,
            ColumnSlice::Unchanged => Some(b"(unchanged)".to_vec()),
            ColumnSlice::Text(text) | ColumnSlice::Binary(text) => Some(text.to_vec()),
        }
    }

    fn expected(message: Message) -> Option<(u32, Columns)> {
        let tuple = |tuple: &Tuple| tuple.slices().map(owned).collect();
        Some(match message {
            Message::Insert(m) => (m.relation_id, vec![(RowImage::New, tuple(&m.new))]),
            Message::Update(m) => {
                let old = m.old.iter().map(|old| (old.image(), tuple(old.tuple())));
                let new = [(RowImage::New, tuple(&m.new))];
                (m.relation_id, old.chain(new).collect())
            }
            Message::Delete(m) => (m.relation_id, vec![(m.old.image(), tuple(m.old.tuple()))]),
            _ => return None,
        })
    }

    /// Both decoders say the same of any bytes, or both refuse them.
    fn agree(bytes: &[u8], in_stream: bool) {
        let walked = walk(bytes, in_stream);
        match decode(Bytes::copy_from_slice(bytes), in_stream) {
            Ok(message) => assert_eq!(walked.map(Result::unwrap), expected(message)),
            Err(_) => assert!(walked.is_none_or(|walked| walked.is_err())),
        }
    }

    #[test]
    fn an_update_has_the_row_before_and_the_row_after() {
        let update = b"U\0\0\0\x07K\0\x02t\0\0\0\x011nN\0\x02t\0\0\0\x012u";
        let (relation, columns) = walk(update, false).unwrap().unwrap();
        assert_eq!(relation, 7);
        assert_eq!(columns[0], (RowImage::OldKey, vec![Some(b"1".to_vec()), None]));
        assert_eq!(columns[1].1[1], Some(b"(unchanged)".to_vec()));
        agree(update, false);
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_other_decoder_on_rows_that_are_cut_or_changed(
            kind in prop::sample::select(b"IUD".to_vec()),
            tuples in prop::collection::vec(
                (prop::sample::select(b"NKO".to_vec()), prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..5)), 0..4)),
                0..3,
            ),
            in_stream: bool,
            cut in 0usize..80,
            change in prop::option::of((0usize..60, any::<u8>())),
        ) {
            let mut bytes = vec![kind];
            if in_stream { bytes.extend([0, 0, 0, 9]); }
            bytes.extend([0, 0, 0, 7]);
            for (tuple, columns) in tuples {
                bytes.push(tuple);
                bytes.extend(u16::try_from(columns.len()).unwrap().to_be_bytes());
                for column in columns {
                    match column {
                        None => bytes.push(b'n'),
                        Some(text) => {
                            bytes.push(b't');
                            bytes.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
                            bytes.extend(text);
                        }
                    }
                }
            }
            agree(&bytes, in_stream);
            if let Some((at, byte)) = change && let Some(old) = bytes.get_mut(at) {
                *old = byte;
                agree(&bytes, in_stream);
            }
            bytes.truncate(cut);
            agree(&bytes, in_stream);
        }

        #[test]
        fn any_bytes_are_read_or_refused_without_panic(bytes: Vec<u8>, in_stream: bool) {
            agree(&bytes, in_stream);
        }
    }
}
