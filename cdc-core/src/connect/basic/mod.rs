//! Kafka Connect's converters for single values: text, bytes, numbers and headers.

mod header_reader;
mod java_value;
mod primitive;

use std::sync::Arc;

use bytes::Bytes;

use crate::data_type::{DataType, ValueType};
use crate::error::{Error, Result};
use crate::event::Payload;
use crate::value::{Text, Value};

use super::profile::ConnectProfile;
pub use java_value::JavaValue;
use primitive::Primitive;

/// A converter of single values.
///
/// ```
/// use cdc_core::connect::{BasicConverter, ConnectProfile};
/// use cdc_core::{Payload, Value};
///
/// let profile = ConnectProfile::default();
/// let mut out = Vec::new();
/// let payload = Payload::Value { schema: None, value: Value::Float64(1e10) };
/// BasicConverter::String.encode(&payload, &profile, &mut out)?;
/// assert_eq!(out, b"1.0E10");
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BasicConverter {
    /// `org.apache.kafka.connect.storage.StringConverter`: Java's text of the value, in UTF-8.
    String,
    /// `org.apache.kafka.connect.converters.ByteArrayConverter`: bytes as they are.
    ByteArray,
    /// `org.apache.kafka.connect.converters.BooleanConverter`: one byte.
    Boolean,
    /// `org.apache.kafka.connect.converters.ShortConverter`: INT16 in two bytes, big-endian.
    Short,
    /// `org.apache.kafka.connect.converters.IntegerConverter`: INT32 in four bytes.
    Integer,
    /// `org.apache.kafka.connect.converters.LongConverter`: INT64 in eight bytes.
    Long,
    /// `org.apache.kafka.connect.converters.FloatConverter`: FLOAT32 in four bytes.
    Float,
    /// `org.apache.kafka.connect.converters.DoubleConverter`: FLOAT64 in eight bytes.
    Double,
    /// `org.apache.kafka.connect.storage.SimpleHeaderConverter`: text whose type is guessed on reading.
    SimpleHeader,
}

impl BasicConverter {
    /// The converter of a class, by its full name.
    pub fn of_class(class: &str) -> Option<Self> {
        Some(match class {
            "org.apache.kafka.connect.storage.StringConverter" => BasicConverter::String,
            "org.apache.kafka.connect.storage.SimpleHeaderConverter" => {
                BasicConverter::SimpleHeader
            }
            _ => match class.strip_prefix("org.apache.kafka.connect.converters.")? {
                "ByteArrayConverter" => BasicConverter::ByteArray,
                "BooleanConverter" => BasicConverter::Boolean,
                "ShortConverter" => BasicConverter::Short,
                "IntegerConverter" => BasicConverter::Integer,
                "LongConverter" => BasicConverter::Long,
                "FloatConverter" => BasicConverter::Float,
                "DoubleConverter" => BasicConverter::Double,
                _ => return None,
            },
        })
    }

    /// Appends a key, a value or a header; `false` when it is null and nothing was appended.
    ///
    /// # Errors
    /// [`Data`](crate::ErrorKind::Data) when the converter does not take values of this type, in Connect's words.
    pub fn encode(
        self,
        payload: &Payload,
        profile: &ConnectProfile,
        out: &mut Vec<u8>,
    ) -> Result<bool> {
        let (schema, value) = java_value::of_payload(payload, profile)?;
        let connect_type = schema.as_ref().map(|schema| schema.connect_type.name());
        if let (BasicConverter::ByteArray, Some(other)) = (self, connect_type)
            && other != "BYTES"
        {
            return Err(Error::data(format!(
                "Invalid schema type for ByteArrayConverter: {other}"
            )));
        }
        if let (BasicConverter::Boolean, Some(other)) = (self, connect_type)
            && other != "BOOLEAN"
        {
            return Err(Error::data(format!("Invalid schema type for BooleanConverter: {other}")));
        }
        if matches!(value, JavaValue::Null) {
            return Ok(false);
        }
        match self {
            BasicConverter::String => value.write_to_string(out)?,
            BasicConverter::SimpleHeader => value.write_header(out),
            BasicConverter::ByteArray => match &value {
                JavaValue::Bytes(bytes) => out.extend_from_slice(bytes),
                other => {
                    return Err(Error::data(format!(
                        "ByteArrayConverter is not compatible with objects of type {}",
                        other.class()
                    )));
                }
            },
            _ => self.primitive().encode(&value, out)?,
        }
        Ok(true)
    }

    /// Reads a key, a value or a header.
    ///
    /// # Errors
    /// [`Data`](crate::ErrorKind::Data) when a number does not have its size.
    pub fn decode(self, bytes: Option<&[u8]>) -> Result<Payload> {
        let typed = |data_type: DataType, value: Value| {
            let schema = ValueType { optional: true, ..outside(data_type) };
            Payload::Value { schema: Some(Arc::new(schema)), value }
        };
        Ok(match (self, bytes) {
            (BasicConverter::SimpleHeader, None) => Payload::Absent,
            (BasicConverter::SimpleHeader, Some(bytes)) => {
                header_reader::read(&String::from_utf8_lossy(bytes))
            }
            (BasicConverter::String, None) => typed(DataType::TEXT, Value::Null),
            (BasicConverter::String, Some(bytes)) => {
                let text = String::from_utf8_lossy(bytes).into_owned();
                typed(DataType::TEXT, Value::Text(Text::from(text)))
            }
            (BasicConverter::ByteArray, None) => typed(DataType::BYTES, Value::Null),
            (BasicConverter::ByteArray, Some(bytes)) => {
                typed(DataType::BYTES, Value::Bytes(Bytes::copy_from_slice(bytes)))
            }
            (number, None) => typed(number.primitive().data_type(), Value::Null),
            (number, Some(bytes)) => {
                let primitive = number.primitive();
                typed(primitive.data_type(), primitive.decode(bytes)?)
            }
        })
    }

    fn primitive(self) -> Primitive {
        match self {
            BasicConverter::Boolean => Primitive::Boolean,
            BasicConverter::Short => Primitive::Short,
            BasicConverter::Integer => Primitive::Integer,
            BasicConverter::Float => Primitive::Float,
            BasicConverter::Double => Primitive::Double,
            _ => Primitive::Long,
        }
    }
}

/// A type that no handling mode changes.
pub(crate) fn outside(data_type: DataType) -> ValueType {
    ValueType {
        data_type,
        optional: false,
        default: None,
        connect: Some(super::schema::no_attributes()),
    }
}
