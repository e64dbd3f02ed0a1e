//! One value of a row, as serde asks for it.

use serde::de::{
    self, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};

use super::{Misfit, RowDeserializer};
use crate::data_type::DataType;
use crate::error::Result;
use crate::value::{Date, TimeUnit, Timestamp, Value, ValueRef};

/// One value with its type, where that is known.
pub(super) struct Cell<'de> {
    pub(super) value: ValueRef<'de>,
    pub(super) data_type: Option<&'de DataType>,
}

impl<'de> Cell<'de> {
    fn of(value: &'de Value, data_type: Option<&'de DataType>) -> Self {
        Cell { value: value.as_ref(), data_type }
    }

    /// The document, where the value is JSON.
    fn json(&self) -> Option<&'de str> {
        match (&self.value, self.data_type) {
            (ValueRef::Text(text), Some(DataType::Json)) => Some(text),
            _ => None,
        }
    }

    /// The text of what is not text itself.
    fn text(&self) -> Option<String> {
        Some(match &self.value {
            ValueRef::Decimal(v) => v.to_string(),
            ValueRef::Date(v) => v.to_string(),
            ValueRef::Time(v) => v.to_string(),
            ValueRef::TimeTz(v) => v.to_string(),
            ValueRef::Timestamp(v @ Timestamp::At { .. })
                if matches!(self.data_type, Some(DataType::TimestampTz { .. })) =>
            {
                format!("{v}Z")
            }
            ValueRef::Timestamp(v) => v.to_string(),
            ValueRef::Interval(v) => v.to_string(),
            ValueRef::Uuid(v) => v.to_string(),
            ValueRef::Bits(v) => v.to_string(),
            _ => return None,
        })
    }

    /// The number of what is not an integer itself.
    fn integer(&self) -> Option<Result<i64, Misfit>> {
        let (number, what) = match &self.value {
            ValueRef::Date(Date::Days(days)) => (Some(i64::from(*days)), "date"),
            ValueRef::Date(_) => (None, "date"),
            ValueRef::Time(v) => (v.to_unit(TimeUnit::Micro), "time"),
            ValueRef::Timestamp(v) => (v.to_unit(TimeUnit::Micro), "timestamp"),
            ValueRef::Decimal(v) => {
                let whole = v.rescale(0).and_then(|v| v.unscaled());
                (whole.and_then(|v| i64::try_from(v).ok()), "decimal")
            }
            _ => return None,
        };
        Some(number.ok_or_else(|| {
            let text = self.text().unwrap_or_default();
            de::Error::custom(format!("{what} {text} does not fit an integer"))
        }))
    }
}

fn json_error(error: serde_json::Error) -> Misfit {
    de::Error::custom(format!("JSON: {error}"))
}

/// Integers: of the value itself, or of what a date, a time or a decimal counts.
macro_rules! deserialize_integers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
            match self.integer() {
                Some(number) => visitor.visit_i64(number?),
                None => self.present()?.deserialize_any(visitor),
            }
        }
    )*};
}

/// Floats: a decimal becomes the nearest one.
macro_rules! deserialize_floats {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
            match &self.value {
                ValueRef::Decimal(decimal) => visitor.visit_f64(decimal.to_f64()),
                _ => self.present()?.deserialize_any(visitor),
            }
        }
    )*};
}

macro_rules! deserialize_texts {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
            match &self.value {
                ValueRef::Text(text) => visitor.visit_borrowed_str(text),
                _ => self.present()?.deserialize_any(visitor),
            }
        }
    )*};
}

macro_rules! deserialize_present {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
            self.present()?.deserialize_any(visitor)
        }
    )*};
}

impl Cell<'_> {
    fn present(self) -> Result<Self, Misfit> {
        match self.value {
            ValueRef::Null => Err(Misfit::null()),
            ValueRef::Unavailable => Err(de::Error::custom(
                "was not sent by the server (unchanged TOAST value?); take the row as a struct whose field is an Option",
            )),
            _ => Ok(self),
        }
    }
}

impl<'de> Deserializer<'de> for Cell<'de> {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        if let Some(json) = self.json() {
            return serde_json::Deserializer::from_str(json)
                .deserialize_any(visitor)
                .map_err(json_error);
        }
        if let Some(text) = self.text() {
            return visitor.visit_string(text);
        }
        let element = match self.data_type {
            Some(DataType::Array(element)) => Some(&element.data_type),
            _ => None,
        };
        match self.value {
            ValueRef::Null | ValueRef::Unavailable => visitor.visit_unit(),
            ValueRef::Bool(v) => visitor.visit_bool(v),
            ValueRef::Int8(v) => visitor.visit_i64(v.into()),
            ValueRef::Int16(v) => visitor.visit_i64(v.into()),
            ValueRef::Int32(v) => visitor.visit_i64(v.into()),
            ValueRef::Int64(v) => visitor.visit_i64(v),
            ValueRef::UInt8(v) => visitor.visit_u64(v.into()),
            ValueRef::UInt16(v) => visitor.visit_u64(v.into()),
            ValueRef::UInt32(v) => visitor.visit_u64(v.into()),
            ValueRef::UInt64(v) => visitor.visit_u64(v),
            ValueRef::Float32(v) => visitor.visit_f32(v),
            ValueRef::Float64(v) => visitor.visit_f64(v),
            ValueRef::Text(v) => visitor.visit_borrowed_str(v),
            ValueRef::Bytes(v) => visitor.visit_borrowed_bytes(v),
            ValueRef::Array(v) => visitor.visit_seq(Elements {
                values: v.values.iter(),
                // More dimensions are arrays of the same type.
                element: if v.values.iter().any(|v| matches!(v, Value::Array(_))) {
                    self.data_type
                } else {
                    element
                },
            }),
            ValueRef::Map(entries) => {
                visitor.visit_map(Entries { entries: entries.iter(), value: None })
            }
            ValueRef::Struct(row) => RowDeserializer(row).deserialize_any(visitor),
            // The rest has a text.
            other => Err(de::Error::custom(format!("{other:?} has no form here"))),
        }
    }

    deserialize_integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
    }
    deserialize_floats! { deserialize_f32 deserialize_f64 }
    deserialize_texts! { deserialize_str deserialize_string deserialize_char deserialize_identifier }
    deserialize_present! { deserialize_bool deserialize_map }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match &self.value {
            ValueRef::Text(text) => visitor.visit_borrowed_bytes(text.as_bytes()),
            _ => self.present()?.deserialize_any(visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match &self.value {
            ValueRef::Bytes(bytes) => visitor.visit_seq(Octets(bytes.iter())),
            ValueRef::Struct(row) => RowDeserializer(row).deserialize_seq(visitor),
            _ => self.present()?.deserialize_any(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Misfit> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        self.present()?.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.value {
            ValueRef::Null | ValueRef::Unavailable => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.deserialize_any(visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        self.deserialize_any(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        if let Some(json) = self.json() {
            return serde_json::Deserializer::from_str(json)
                .deserialize_enum(name, variants, visitor)
                .map_err(json_error);
        }
        match self.present()?.value {
            ValueRef::Text(text) => visitor.visit_enum(text.into_deserializer()),
            other => Err(de::Error::custom(format!("{other:?} is no variant of {name}"))),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_unit()
    }
}

struct Elements<'de> {
    values: std::slice::Iter<'de, Value>,
    element: Option<&'de DataType>,
}

impl<'de> SeqAccess<'de> for Elements<'de> {
    type Error = Misfit;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Misfit> {
        let Some(value) = self.values.next() else { return Ok(None) };
        seed.deserialize(Cell::of(value, self.element)).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.values.len())
    }
}

struct Octets<'de>(std::slice::Iter<'de, u8>);

impl<'de> SeqAccess<'de> for Octets<'de> {
    type Error = Misfit;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Misfit> {
        let Some(byte) = self.0.next() else { return Ok(None) };
        seed.deserialize((*byte).into_deserializer()).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

struct Entries<'de> {
    entries: std::slice::Iter<'de, (Value, Value)>,
    value: Option<&'de Value>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Misfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Misfit> {
        let Some((key, value)) = self.entries.next() else { return Ok(None) };
        self.value = Some(value);
        seed.deserialize(Cell::of(key, None)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Misfit> {
        let Some(value) = self.value.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        seed.deserialize(Cell::of(value, None))
    }
}
