//! The values of many rows in one place: scalars as cells of 16 bytes, all text in one buffer.
//!
//! A row of its own costs an allocation, and each text in it a reference count; a row of a block costs neither. What no
//! cell can hold (arrays, bytes, large decimals) is kept beside the cells as an owned value.

use std::sync::{Arc, OnceLock};

use bytestring::ByteString;

use super::Row;
use super::scalar::Scalar;
use crate::schema::Schema;
use crate::value::{Date, Decimal, Text, Time, TimeUnit, Timestamp, Value, ValueRef};

/// Longer texts are kept as values of their own: a source can hand over its buffer rather than copy it.
const LARGE_TEXT: usize = 16 * 1024;

/// The next block is mostly about as large as the last: with room for an eighth more it rarely has to grow, which would double it.
const SPARE: usize = 8;

/// One value.
#[derive(Debug, Clone, Copy)]
enum Cell {
    Null,
    Unavailable,
    Bool(bool),
    Int16(i16),
    Int32(i32),
    Int64(i64),
    UInt32(u32),
    Float32(f32),
    Float64(f64),
    Decimal {
        scale: i32,
        unscaled: i64,
    },
    Text {
        start: u32,
        len: u32,
    },
    Date(i32),
    /// Microseconds.
    Time(i64),
    /// Microseconds.
    Timestamp(i64),
    /// Its place among the values that no cell can hold.
    Other(u32),
}

/// A block that may still be filled; its rows have values once it is sealed.
#[derive(Debug, Default)]
pub(super) struct Block(OnceLock<Content>);

#[derive(Debug, Default)]
struct Content {
    cells: Vec<Cell>,
    text: ByteString,
    others: Vec<Value>,
}

impl Content {
    #[inline]
    fn value_ref(&self, index: usize) -> Option<ValueRef<'_>> {
        // Each arm gives the whole answer: what is wrapped behind the match is copied once more.
        match *self.cells.get(index)? {
            Cell::Null => Some(ValueRef::Null),
            Cell::Unavailable => Some(ValueRef::Unavailable),
            Cell::Bool(v) => Some(ValueRef::Bool(v)),
            Cell::Int16(v) => Some(ValueRef::Int16(v)),
            Cell::Int32(v) => Some(ValueRef::Int32(v)),
            Cell::Int64(v) => Some(ValueRef::Int64(v)),
            Cell::UInt32(v) => Some(ValueRef::UInt32(v)),
            Cell::Float32(v) => Some(ValueRef::Float32(v)),
            Cell::Float64(v) => Some(ValueRef::Float64(v)),
            Cell::Decimal { scale, unscaled } => {
                Some(ValueRef::Decimal(Decimal::new(unscaled, scale)))
            }
            Cell::Text { start, len } => self.text(start, len).map(ValueRef::Text),
            Cell::Date(days) => Some(ValueRef::Date(Date::Days(days))),
            Cell::Time(value) => Some(ValueRef::Time(Time { value, unit: TimeUnit::Micro })),
            Cell::Timestamp(micros) => Some(ValueRef::Timestamp(Timestamp::micros(micros))),
            Cell::Other(at) => self.others.get(usize::try_from(at).ok()?).map(Value::as_ref),
        }
    }

    #[inline]
    fn text(&self, start: u32, len: u32) -> Option<&str> {
        let start = usize::try_from(start).ok()?;
        self.text.get(start..start.checked_add(usize::try_from(len).ok()?)?)
    }
}

/// The cells of a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cells<'a> {
    cells: &'a [Cell],
    text: &'a str,
}

impl<'a> Cells<'a> {
    pub(super) fn are_available(&self) -> bool {
        !self.cells.iter().any(|cell| matches!(cell, Cell::Unavailable))
    }

    #[inline(always)]
    pub(super) fn scalar(&self, index: usize) -> Scalar<'a> {
        let Some(cell) = self.cells.get(index) else { return Scalar::Other };
        match *cell {
            Cell::Null => Scalar::Null,
            Cell::Bool(v) => Scalar::Bool(v),
            Cell::Int16(v) => Scalar::Int16(v),
            Cell::Int32(v) => Scalar::Int32(v),
            Cell::Int64(v) => Scalar::Int64(v),
            Cell::Decimal { scale, unscaled } => Scalar::Decimal { unscaled, scale },
            Cell::Text { start, len } => {
                let (start, len) = (start as usize, len as usize);
                self.text.get(start..start + len).map_or(Scalar::Other, Scalar::Text)
            }
            Cell::Date(days) => Scalar::Days(days),
            Cell::Time(micros) => Scalar::TimeMicros(micros),
            Cell::Timestamp(micros) => Scalar::TimestampMicros(micros),
            _ => Scalar::Other,
        }
    }
}

impl Block {
    /// The cells from `first` on, at most `width`; none before the block is sealed.
    #[inline]
    pub(super) fn cells(&self, first: u32, width: usize) -> Cells<'_> {
        let Some(content) = self.0.get() else { return Cells { cells: &[], text: "" } };
        let cells = content.cells.get(first as usize..).unwrap_or_default();
        Cells { cells: cells.get(..width).unwrap_or(cells), text: &content.text }
    }

    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<ValueRef<'_>> {
        self.0.get()?.value_ref(index)
    }

    pub(super) fn is_unavailable(&self, index: usize) -> bool {
        let cell = self.0.get().and_then(|content| content.cells.get(index));
        matches!(cell, Some(Cell::Unavailable))
    }

    /// An owned value; text stays a slice of the block's buffer.
    pub(super) fn value(&self, index: usize) -> Option<Value> {
        let content = self.0.get()?;
        match *content.cells.get(index)? {
            Cell::Text { start, len } => {
                let text = content.text(start, len)?;
                Some(Value::Text(Text::slice_of(&content.text, text)))
            }
            Cell::Other(at) => content.others.get(usize::try_from(at).ok()?).cloned(),
            _ => content.value_ref(index).map(|value| value.to_value()),
        }
    }

    /// What the values from `first` on keep alive.
    pub(super) fn size(&self, first: usize, count: usize) -> usize {
        let Some(content) = self.0.get() else { return 0 };
        let cells = content.cells.get(first..).unwrap_or_default();
        cells
            .iter()
            .take(count)
            .map(|cell| {
                size_of::<Cell>()
                    + match *cell {
                        Cell::Text { len, .. } => usize::try_from(len).unwrap_or(usize::MAX),
                        Cell::Other(at) => {
                            let at = usize::try_from(at).unwrap_or(usize::MAX);
                            content.others.get(at).map_or(0, Value::size)
                        }
                        _ => 0,
                    }
            })
            .sum()
    }
}

/// Fills rows value by value, for sources: many rows share their storage, and none costs an allocation.
///
/// A row is [taken](RowsBuilder::row) when its values were added. It has no values before the block is
/// [sealed](RowsBuilder::seal), so a source seals before it hands out a batch.
///
/// ```
/// use cdc_core::{DataType, Field, RowsBuilder, Schema, ValueRef};
///
/// let schema = Schema::builder()
///     .fields([Field::required("id", DataType::Int32), Field::optional("note", DataType::TEXT)])
///     .build()?;
/// let mut rows = RowsBuilder::new();
/// let start = rows.position();
/// rows.int32(7);
/// rows.text("urgent");
/// let row = rows.row(&schema, start)?;
/// rows.seal();
/// assert_eq!(row.by_name("note"), Some(ValueRef::Text("urgent")));
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct RowsBuilder {
    block: Arc<Block>,
    cells: Vec<Cell>,
    text: String,
    others: Vec<Value>,
    /// Bytes of the values that are not cells.
    others_size: usize,
}

impl RowsBuilder {
    /// An empty block.
    pub fn new() -> Self {
        Self::default()
    }

    /// Where the next value goes.
    #[inline]
    pub fn position(&self) -> usize {
        self.cells.len()
    }

    /// Roughly how many bytes the block takes.
    #[inline]
    pub fn size(&self) -> usize {
        self.cells.len() * size_of::<Cell>() + self.text.len() + self.others_size
    }

    /// Adds SQL's NULL.
    #[inline]
    pub fn null(&mut self) {
        self.cells.push(Cell::Null);
    }

    /// Adds a column that was not sent.
    #[inline]
    pub fn unavailable(&mut self) {
        self.cells.push(Cell::Unavailable);
    }

    /// Adds a boolean.
    #[inline]
    pub fn boolean(&mut self, value: bool) {
        self.cells.push(Cell::Bool(value));
    }

    /// Adds an integer of 16 bits.
    #[inline]
    pub fn int16(&mut self, value: i16) {
        self.cells.push(Cell::Int16(value));
    }

    /// Adds an integer of 32 bits.
    #[inline]
    pub fn int32(&mut self, value: i32) {
        self.cells.push(Cell::Int32(value));
    }

    /// Adds an integer of 64 bits.
    #[inline]
    pub fn int64(&mut self, value: i64) {
        self.cells.push(Cell::Int64(value));
    }

    /// Adds a decimal, `unscaled * 10^-scale`.
    #[inline]
    pub fn decimal(&mut self, unscaled: i64, scale: i32) {
        self.cells.push(Cell::Decimal { scale, unscaled });
    }

    /// Adds a timestamp in microseconds since 1970.
    #[inline]
    pub fn timestamp_micros(&mut self, micros: i64) {
        self.cells.push(Cell::Timestamp(micros));
    }

    /// Whether a text of so many bytes is better given by [`value`](Self::value), as a slice of a buffer that exists.
    #[inline]
    pub fn is_large_text(len: usize) -> bool {
        len > LARGE_TEXT
    }

    /// Adds a text, which is copied into the block.
    #[inline]
    pub fn text(&mut self, text: &str) {
        match (u32::try_from(self.text.len()), u32::try_from(text.len())) {
            (Ok(start), Ok(len)) => {
                self.text.push_str(text);
                self.cells.push(Cell::Text { start, len });
            }
            // Not even a gigabyte of row reaches this.
            _ => self.other(Value::text(text)),
        }
    }

    /// Adds any value.
    pub fn value(&mut self, value: Value) {
        let cell = match value {
            Value::Null => Cell::Null,
            Value::Unavailable => Cell::Unavailable,
            Value::Bool(v) => Cell::Bool(v),
            Value::Int16(v) => Cell::Int16(v),
            Value::Int32(v) => Cell::Int32(v),
            Value::Int64(v) => Cell::Int64(v),
            Value::UInt32(v) => Cell::UInt32(v),
            Value::Float32(v) => Cell::Float32(v),
            Value::Float64(v) => Cell::Float64(v),
            Value::Date(Date::Days(days)) => Cell::Date(days),
            Value::Time(Time { value, unit: TimeUnit::Micro }) => Cell::Time(value),
            Value::Timestamp(Timestamp::At { value, unit: TimeUnit::Micro }) => {
                Cell::Timestamp(value)
            }
            Value::Decimal(v) => match v.to_small() {
                Some((unscaled, scale)) => Cell::Decimal { scale, unscaled },
                None => return self.other(Value::Decimal(v)),
            },
            Value::Text(text) if !Self::is_large_text(text.len()) => return self.text(&text),
            other => return self.other(other),
        };
        self.cells.push(cell);
    }

    fn other(&mut self, value: Value) {
        self.others_size += value.size();
        self.cells.push(Cell::Other(u32::try_from(self.others.len()).unwrap_or(u32::MAX)));
        self.others.push(value);
    }

    /// Whether the value at a position is [unavailable](Value::Unavailable).
    #[inline]
    pub fn is_unavailable(&self, position: usize) -> bool {
        matches!(self.cells.get(position), Some(Cell::Unavailable))
    }

    /// Whether the values at two positions of this block are the same.
    pub fn is_same(&self, a: usize, b: usize) -> bool {
        self.peek(a) == self.peek(b)
    }

    /// An owned copy of a value that was added since the last [`seal`](Self::seal).
    pub fn peek(&self, position: usize) -> Option<Value> {
        Some(match *self.cells.get(position)? {
            Cell::Text { start, len } => {
                let start = usize::try_from(start).ok()?;
                Value::text(self.text.get(start..start + usize::try_from(len).ok()?)?)
            }
            Cell::Other(at) => self.others.get(usize::try_from(at).ok()?)?.clone(),
            cell => {
                let content = Content { cells: vec![cell], ..Content::default() };
                content.value_ref(0)?.to_value()
            }
        })
    }

    /// The row whose values are those from a position on.
    ///
    /// # Errors
    /// [`Data`](crate::ErrorKind::Data) when there are more or fewer values than fields.
    #[inline]
    pub fn row(&self, schema: &Arc<Schema>, first: usize) -> crate::Result<Row> {
        let count = self.cells.len().saturating_sub(first);
        self.row_of(schema, first, count)
    }

    /// As [`row`](Self::row), where more values follow.
    ///
    /// # Errors
    /// As [`row`](Self::row).
    #[inline]
    pub fn row_of(&self, schema: &Arc<Schema>, first: usize, count: usize) -> crate::Result<Row> {
        Row::check_width(schema, count)?;
        let first = u32::try_from(first)
            .map_err(|_| crate::Error::data("a block of more than 2^32 values"))?;
        Ok(Row::of_block(Arc::clone(schema), Arc::clone(&self.block), first))
    }

    /// Forgets the values from a position on: of a row that was refused.
    pub fn truncate(&mut self, position: usize) {
        self.cells.truncate(position);
    }

    /// Gives all rows taken so far their values, and begins a new block.
    pub fn seal(&mut self) {
        if self.cells.is_empty() {
            return;
        }
        let block = std::mem::take(&mut self.block);
        let next = |taken: usize| taken + taken / SPARE;
        let (cells, text) = (next(self.cells.len()), next(self.text.len()));
        let content = Content {
            cells: std::mem::replace(&mut self.cells, Vec::with_capacity(cells)),
            text: std::mem::replace(&mut self.text, String::with_capacity(text)).into(),
            others: std::mem::take(&mut self.others),
        };
        self.others_size = 0;
        // Nobody else fills a block, so it is not sealed yet.
        let _ = block.0.set(content);
    }
}
