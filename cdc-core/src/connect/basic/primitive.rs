//! Numbers and booleans in a fixed number of bytes, big-endian.

use crate::data_type::DataType;
use crate::error::{Error, Result};
use crate::value::Value;

use super::java_value::JavaValue;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Primitive {
    Boolean,
    Short,
    Integer,
    Long,
    Float,
    Double,
}

impl Primitive {
    fn name(self) -> &'static str {
        match self {
            Primitive::Boolean => "boolean",
            Primitive::Short => "short",
            Primitive::Integer => "integer",
            Primitive::Long => "long",
            Primitive::Float => "float",
            Primitive::Double => "double",
        }
    }

    pub(crate) fn data_type(self) -> DataType {
        match self {
            Primitive::Boolean => DataType::Bool,
            Primitive::Short => DataType::Int16,
            Primitive::Integer => DataType::Int32,
            Primitive::Long => DataType::Int64,
            Primitive::Float => DataType::Float32,
            Primitive::Double => DataType::Float64,
        }
    }

    pub(crate) fn encode(self, value: &JavaValue, out: &mut Vec<u8>) -> Result<()> {
        match (self, value) {
            (Primitive::Boolean, JavaValue::Bool(v)) => out.push(u8::from(*v)),
            (Primitive::Short, JavaValue::Short(v)) => out.extend_from_slice(&v.to_be_bytes()),
            (Primitive::Integer, JavaValue::Integer(v)) => out.extend_from_slice(&v.to_be_bytes()),
            (Primitive::Long, JavaValue::Long(v)) => out.extend_from_slice(&v.to_be_bytes()),
            (Primitive::Float, JavaValue::Float(v)) => {
                out.extend_from_slice(&v.to_bits().to_be_bytes());
            }
            (Primitive::Double, JavaValue::Double(v)) => {
                out.extend_from_slice(&v.to_bits().to_be_bytes());
            }
            (Primitive::Boolean, value) => {
                return Err(Error::data(format!(
                    "BooleanConverter is not compatible with objects of type {}",
                    value.class()
                )));
            }
            (primitive, value) => {
                return Err(Error::data(format!(
                    "Failed to serialize to {} (was {}): ",
                    primitive.name(),
                    value.class()
                )));
            }
        }
        Ok(())
    }

    pub(crate) fn decode(self, bytes: &[u8]) -> Result<Value> {
        let value = match self {
            Primitive::Boolean => match bytes {
                [0] => Some(Value::Bool(false)),
                [1] => Some(Value::Bool(true)),
                _ => None,
            },
            Primitive::Short => bytes.try_into().ok().map(|b| Value::Int16(i16::from_be_bytes(b))),
            Primitive::Integer => {
                bytes.try_into().ok().map(|b| Value::Int32(i32::from_be_bytes(b)))
            }
            Primitive::Long => bytes.try_into().ok().map(|b| Value::Int64(i64::from_be_bytes(b))),
            Primitive::Float => {
                bytes.try_into().ok().map(|b| Value::Float32(f32::from_be_bytes(b)))
            }
            Primitive::Double => {
                bytes.try_into().ok().map(|b| Value::Float64(f64::from_be_bytes(b)))
            }
        };
        value.ok_or_else(|| {
            Error::data(format!("Failed to deserialize {}: ", self.name()))
                .with_source(format!("{} bytes", bytes.len()))
        })
    }
}
