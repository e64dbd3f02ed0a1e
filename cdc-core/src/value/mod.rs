//! Values: database-neutral and lossless.
//!
//! [`Value`] is an owned value, [`ValueRef`] what a [`Row`] shows of one. What a value means (a JSON
//! document, an enum label, a network address) stands in its [`DataType`](crate::DataType); the value itself is
//! kept in the few shapes below. Two states are not values: [`Value::Null`] is SQL's NULL, and
//! [`Value::Unavailable`] says that the server did not send the column at all.

pub mod calendar;
pub mod clock;
mod decimal;
pub(crate) mod digits;
mod iso;
mod temporal;
mod text;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;

pub use decimal::{Decimal, ParseDecimalError};
pub use temporal::{Date, Interval, Time, TimeTz, TimeUnit, Timestamp};
pub use text::Text;

use crate::row::Row;

/// An owned value of a column, a key, a header or a field.
///
/// Cloning is O(1) and shares buffers. Equality is identity of the value: floats compare by
/// their bits (NaN equals itself, 0.0 differs from -0.0), decimals with their scale.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Value {
    /// SQL's NULL.
    #[default]
    Null,
    /// The server did not send the column: an unchanged TOAST value, a column outside a MINIMAL row image, a
    /// column that a key-only before image leaves out. A sink never writes it as NULL.
    Unavailable,
    /// A boolean.
    Bool(bool),
    /// A signed integer of 8 bits.
    Int8(i8),
    /// A signed integer of 16 bits.
    Int16(i16),
    /// A signed integer of 32 bits.
    Int32(i32),
    /// A signed integer of 64 bits.
    Int64(i64),
    /// An unsigned integer of 8 bits.
    UInt8(u8),
    /// An unsigned integer of 16 bits.
    UInt16(u16),
    /// An unsigned integer of 32 bits.
    UInt32(u32),
    /// An unsigned integer of 64 bits.
    UInt64(u64),
    /// An IEEE float of 32 bits.
    Float32(f32),
    /// An IEEE float of 64 bits.
    Float64(f64),
    /// An exact decimal.
    Decimal(Decimal),
    /// Text, and every type whose values are kept as their text (JSON, XML, enums, network addresses, types unknown here).
    Text(Text),
    /// Bytes.
    Bytes(Bytes),
    /// A day.
    Date(Date),
    /// A time of day.
    Time(Time),
    /// A time of day at an offset.
    TimeTz(TimeTz),
    /// A timestamp; whether it has a zone says the data type.
    Timestamp(Timestamp),
    /// A span of time.
    Interval(Interval),
    /// A UUID.
    Uuid(Uuid),
    /// A string of bits.
    Bits(Bits),
    /// An array.
    Array(Arc<Array>),
    /// A map with keys of any kind, in the order of its source; a schemaless object is one with text keys.
    Map(Arc<[(Value, Value)]>),
    /// A nested struct.
    Struct(Row),
}

/// A value as a [`Row`] shows it: scalars by value, everything else borrowed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ValueRef<'a> {
    /// SQL's NULL.
    Null,
    /// The server did not send the column; see [`Value::Unavailable`].
    Unavailable,
    /// A boolean.
    Bool(bool),
    /// A signed integer of 8 bits.
    Int8(i8),
    /// A signed integer of 16 bits.
    Int16(i16),
    /// A signed integer of 32 bits.
    Int32(i32),
    /// A signed integer of 64 bits.
    Int64(i64),
    /// An unsigned integer of 8 bits.
    UInt8(u8),
    /// An unsigned integer of 16 bits.
    UInt16(u16),
    /// An unsigned integer of 32 bits.
    UInt32(u32),
    /// An unsigned integer of 64 bits.
    UInt64(u64),
    /// An IEEE float of 32 bits.
    Float32(f32),
    /// An IEEE float of 64 bits.
    Float64(f64),
    /// An exact decimal.
    Decimal(Decimal),
    /// Text, and every type whose values are kept as their text.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A day.
    Date(Date),
    /// A time of day.
    Time(Time),
    /// A time of day at an offset.
    TimeTz(TimeTz),
    /// A timestamp.
    Timestamp(Timestamp),
    /// A span of time.
    Interval(Interval),
    /// A UUID.
    Uuid(Uuid),
    /// A string of bits.
    Bits(&'a Bits),
    /// An array.
    Array(&'a Array),
    /// A map.
    Map(&'a [(Value, Value)]),
    /// A nested struct.
    Struct(&'a Row),
}

impl Value {
    /// Text from anything that becomes one.
    pub fn text(text: impl Into<Text>) -> Value {
        Value::Text(text.into())
    }

    /// A borrowed view.
    #[inline]
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Value::Null => ValueRef::Null,
            Value::Unavailable => ValueRef::Unavailable,
            Value::Bool(v) => ValueRef::Bool(*v),
            Value::Int8(v) => ValueRef::Int8(*v),
            Value::Int16(v) => ValueRef::Int16(*v),
            Value::Int32(v) => ValueRef::Int32(*v),
            Value::Int64(v) => ValueRef::Int64(*v),
            Value::UInt8(v) => ValueRef::UInt8(*v),
            Value::UInt16(v) => ValueRef::UInt16(*v),
            Value::UInt32(v) => ValueRef::UInt32(*v),
            Value::UInt64(v) => ValueRef::UInt64(*v),
            Value::Float32(v) => ValueRef::Float32(*v),
            Value::Float64(v) => ValueRef::Float64(*v),
            Value::Decimal(v) => ValueRef::Decimal(v.clone()),
            Value::Text(v) => ValueRef::Text(v),
            Value::Bytes(v) => ValueRef::Bytes(v),
            Value::Date(v) => ValueRef::Date(*v),
            Value::Time(v) => ValueRef::Time(*v),
            Value::TimeTz(v) => ValueRef::TimeTz(*v),
            Value::Timestamp(v) => ValueRef::Timestamp(*v),
            Value::Interval(v) => ValueRef::Interval(*v),
            Value::Uuid(v) => ValueRef::Uuid(*v),
            Value::Bits(v) => ValueRef::Bits(v),
            Value::Array(v) => ValueRef::Array(v),
            Value::Map(v) => ValueRef::Map(v),
            Value::Struct(v) => ValueRef::Struct(v),
        }
    }

    /// Whether it is SQL's NULL. [`Value::Unavailable`] is not.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// Whether the server did not send it.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Value::Unavailable)
    }

    /// Roughly how many bytes the value keeps alive, for bounds on memory.
    pub fn size(&self) -> usize {
        size_of::<Value>()
            + match self {
                Value::Text(text) => text.len(),
                Value::Bytes(bytes) => bytes.len(),
                Value::Bits(bits) => bits.bytes.len(),
                Value::Array(array) => array.values.iter().map(Value::size).sum(),
                Value::Map(entries) => entries.iter().map(|(k, v)| k.size() + v.size()).sum(),
                Value::Struct(row) => row.size(),
                _ => 0,
            }
    }

    /// A deep copy that pins no buffer of a batch, for what is kept beyond it.
    #[must_use]
    pub fn detached(&self) -> Value {
        match self {
            Value::Text(text) => Value::Text(text.detached()),
            Value::Bytes(bytes) => Value::Bytes(Bytes::copy_from_slice(bytes)),
            Value::Bits(bits) => Value::Bits(Bits {
                length: bits.length,
                bytes: Bytes::copy_from_slice(&bits.bytes),
            }),
            Value::Array(array) => Value::Array(Arc::new(Array {
                values: array.values.iter().map(Value::detached).collect(),
                lower_bound: array.lower_bound,
            })),
            Value::Map(entries) => {
                Value::Map(entries.iter().map(|(k, v)| (k.detached(), v.detached())).collect())
            }
            Value::Struct(row) => Value::Struct(row.detached()),
            other => other.clone(),
        }
    }
}

impl ValueRef<'_> {
    /// An owned copy.
    pub fn to_value(&self) -> Value {
        match self {
            ValueRef::Null => Value::Null,
            ValueRef::Unavailable => Value::Unavailable,
            ValueRef::Bool(v) => Value::Bool(*v),
            ValueRef::Int8(v) => Value::Int8(*v),
            ValueRef::Int16(v) => Value::Int16(*v),
            ValueRef::Int32(v) => Value::Int32(*v),
            ValueRef::Int64(v) => Value::Int64(*v),
            ValueRef::UInt8(v) => Value::UInt8(*v),
            ValueRef::UInt16(v) => Value::UInt16(*v),
            ValueRef::UInt32(v) => Value::UInt32(*v),
            ValueRef::UInt64(v) => Value::UInt64(*v),
            ValueRef::Float32(v) => Value::Float32(*v),
            ValueRef::Float64(v) => Value::Float64(*v),
            ValueRef::Decimal(v) => Value::Decimal(v.clone()),
            ValueRef::Text(v) => Value::text(*v),
            ValueRef::Bytes(v) => Value::Bytes(Bytes::copy_from_slice(v)),
            ValueRef::Date(v) => Value::Date(*v),
            ValueRef::Time(v) => Value::Time(*v),
            ValueRef::TimeTz(v) => Value::TimeTz(*v),
            ValueRef::Timestamp(v) => Value::Timestamp(*v),
            ValueRef::Interval(v) => Value::Interval(*v),
            ValueRef::Uuid(v) => Value::Uuid(*v),
            ValueRef::Bits(v) => Value::Bits((*v).clone()),
            ValueRef::Array(v) => Value::Array(Arc::new((*v).clone())),
            ValueRef::Map(v) => Value::Map(v.iter().cloned().collect()),
            ValueRef::Struct(v) => Value::Struct((*v).clone()),
        }
    }

    /// Whether it is SQL's NULL. [`ValueRef::Unavailable`] is not.
    pub fn is_null(&self) -> bool {
        matches!(self, ValueRef::Null)
    }

    /// Whether the server did not send it.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, ValueRef::Unavailable)
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        self.as_ref() == other.as_ref()
    }
}

impl Eq for Value {}

impl PartialEq for ValueRef<'_> {
    fn eq(&self, other: &ValueRef<'_>) -> bool {
        use ValueRef as V;
        match (self, other) {
            (V::Null, V::Null) | (V::Unavailable, V::Unavailable) => true,
            (V::Bool(a), V::Bool(b)) => a == b,
            (V::Int8(a), V::Int8(b)) => a == b,
            (V::Int16(a), V::Int16(b)) => a == b,
            (V::Int32(a), V::Int32(b)) => a == b,
            (V::Int64(a), V::Int64(b)) => a == b,
            (V::UInt8(a), V::UInt8(b)) => a == b,
            (V::UInt16(a), V::UInt16(b)) => a == b,
            (V::UInt32(a), V::UInt32(b)) => a == b,
            (V::UInt64(a), V::UInt64(b)) => a == b,
            (V::Float32(a), V::Float32(b)) => a.to_bits() == b.to_bits(),
            (V::Float64(a), V::Float64(b)) => a.to_bits() == b.to_bits(),
            (V::Decimal(a), V::Decimal(b)) => a == b,
            (V::Text(a), V::Text(b)) => a == b,
            (V::Bytes(a), V::Bytes(b)) => a == b,
            (V::Date(a), V::Date(b)) => a == b,
            (V::Time(a), V::Time(b)) => a == b,
            (V::TimeTz(a), V::TimeTz(b)) => a == b,
            (V::Timestamp(a), V::Timestamp(b)) => a == b,
            (V::Interval(a), V::Interval(b)) => a == b,
            (V::Uuid(a), V::Uuid(b)) => a == b,
            (V::Bits(a), V::Bits(b)) => a == b,
            (V::Array(a), V::Array(b)) => a == b,
            (V::Map(a), V::Map(b)) => a == b,
            (V::Struct(a), V::Struct(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for ValueRef<'_> {}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_ref().hash(state);
    }
}

impl Hash for ValueRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            ValueRef::Null | ValueRef::Unavailable => {}
            ValueRef::Bool(v) => v.hash(state),
            ValueRef::Int8(v) => v.hash(state),
            ValueRef::Int16(v) => v.hash(state),
            ValueRef::Int32(v) => v.hash(state),
            ValueRef::Int64(v) => v.hash(state),
            ValueRef::UInt8(v) => v.hash(state),
            ValueRef::UInt16(v) => v.hash(state),
            ValueRef::UInt32(v) => v.hash(state),
            ValueRef::UInt64(v) => v.hash(state),
            ValueRef::Float32(v) => v.to_bits().hash(state),
            ValueRef::Float64(v) => v.to_bits().hash(state),
            ValueRef::Decimal(v) => v.hash(state),
            ValueRef::Text(v) => v.hash(state),
            ValueRef::Bytes(v) => v.hash(state),
            ValueRef::Date(v) => v.hash(state),
            ValueRef::Time(v) => v.hash(state),
            ValueRef::TimeTz(v) => v.hash(state),
            ValueRef::Timestamp(v) => v.hash(state),
            ValueRef::Interval(v) => v.hash(state),
            ValueRef::Uuid(v) => v.hash(state),
            ValueRef::Bits(v) => v.hash(state),
            ValueRef::Array(v) => v.hash(state),
            ValueRef::Map(v) => v.hash(state),
            ValueRef::Struct(v) => v.hash(state),
        }
    }
}

/// An array, possibly of arrays. Every dimension keeps its lower bound, which PostgreSQL lets be other than 1.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Array {
    /// The elements; arrays themselves where there are more dimensions.
    pub values: Vec<Value>,
    /// The index of the first element, 1 unless the database says otherwise.
    pub lower_bound: i32,
}

impl Array {
    /// An array whose first index is 1.
    pub fn new(values: Vec<Value>) -> Self {
        Array { values, lower_bound: 1 }
    }
}

/// A string of bits, the first bit in the highest bit of the first byte, unused bits zero.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Bits {
    /// How many bits.
    pub length: u32,
    /// The bits, eight a byte.
    pub bytes: Bytes,
}

impl fmt::Display for Bits {
    /// The bits as `0` and `1`, first bit first, as SQL writes them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
        for (_, bit) in (0..self.length).zip(bits) {
            f.write_str(if bit == 1 { "1" } else { "0" })?;
        }
        Ok(())
    }
}

/// A UUID, its bytes in the order of its text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

impl fmt::Display for Uuid {
    /// The hyphenated lower-case form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'-'; 36];
        let places = (0..36).filter(|at| !matches!(at, 8 | 13 | 18 | 23));
        let halves = self.0.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        for (place, half) in places.zip(halves) {
            text[place] = HEX[usize::from(half)];
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

macro_rules! value_from {
    ($($from:ty => $variant:ident),* $(,)?) => {$(
        impl From<$from> for Value {
            fn from(value: $from) -> Value {
                Value::$variant(value.into())
            }
        }
    )*};
}

value_from! {
    bool => Bool, i8 => Int8, i16 => Int16, i32 => Int32, i64 => Int64,
    u8 => UInt8, u16 => UInt16, u32 => UInt32, u64 => UInt64, f32 => Float32, f64 => Float64,
    &str => Text, String => Text, Text => Text, Bytes => Bytes, Decimal => Decimal, Date => Date,
    Time => Time, Timestamp => Timestamp, Interval => Interval, Uuid => Uuid,
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::Null, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_unavailable_and_empty_are_three_things() {
        assert_ne!(Value::Null, Value::Unavailable);
        assert_ne!(Value::Null, Value::text(""));
        assert!(!Value::Unavailable.is_null());
    }

    #[test]
    fn nan_equals_itself_so_that_an_unchanged_key_is_unchanged() {
        assert_eq!(Value::Float64(f64::NAN), Value::Float64(f64::NAN));
    }

    #[test]
    fn bits_and_uuids_print_as_sql_writes_them() {
        let bits = Bits { length: 10, bytes: Bytes::from_static(&[0b1010_0000, 0b0100_0000]) };
        assert_eq!(bits.to_string(), "1010000001");
        let uuid = Uuid([
            0xa0, 0xee, 0xbc, 0x99, 0x9c, 0x0b, 0x4e, 0xf8, 0xbb, 0x6d, 0x6b, 0xb9, 0xbd, 0x38,
            0x0a, 0x11,
        ]);
        assert_eq!(uuid.to_string(), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
    }

    #[test]
    fn a_detached_value_shares_no_buffer() {
        let buffer = Bytes::from(vec![b'x'; 32]);
        let text = Value::Text(Text::from_utf8(buffer.slice(0..4)).unwrap());
        let copy = text.detached();
        assert_eq!(copy, text);
        drop(text);
        assert!(buffer.try_into_mut().is_ok());
    }
}
