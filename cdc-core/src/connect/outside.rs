//! Types that came from outside: a Connect schema becomes a type of the library and, unchanged, the schema it was.

use std::sync::Arc;

use crate::data_type::{ConnectAttributes, DataType, ValueType};
use crate::schema::Schema;
use crate::value::{Text, TimeUnit};

use super::schema::{ConnectField, ConnectSchema, ConnectType, Form, no_attributes};
use super::semantic_names as names;

/// A primitive type of Connect with its name, as a schema in JSON or Avro says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Primitive {
    Boolean,
    Int8,
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    String,
    Bytes,
}

/// What a primitive schema with these attributes means.
pub(crate) fn data_type(primitive: Primitive, attributes: &ConnectAttributes) -> DataType {
    let name = attributes.name.as_deref().unwrap_or_default();
    let time = |precision| DataType::Time { precision };
    let timestamp = |precision| DataType::Timestamp { precision };
    match (primitive, name) {
        (Primitive::Int32, names::DATE | names::CONNECT_DATE) => DataType::Date,
        (Primitive::Int32, names::TIME | names::CONNECT_TIME) => time(3),
        (Primitive::Int64, names::MICRO_TIME) => time(6),
        (Primitive::Int64, names::NANO_TIME) => time(9),
        (Primitive::Int64, names::TIMESTAMP | names::CONNECT_TIMESTAMP) => timestamp(3),
        (Primitive::Int64, names::MICRO_TIMESTAMP) => timestamp(6),
        (Primitive::Int64, names::NANO_TIMESTAMP) => timestamp(9),
        (Primitive::Int64, names::MICRO_DURATION) => DataType::Interval,
        (Primitive::String, names::ISO_DATE) => DataType::Date,
        (Primitive::String, names::ISO_TIME) => time(6),
        (Primitive::String, names::ISO_TIMESTAMP) => timestamp(6),
        (Primitive::String, names::ZONED_TIME) => DataType::TimeTz { precision: 6 },
        (Primitive::String, names::ZONED_TIMESTAMP) => DataType::TimestampTz { precision: 6 },
        (Primitive::String, names::INTERVAL) => DataType::Interval,
        (Primitive::String, names::UUID) => DataType::Uuid,
        (Primitive::String, names::JSON) => DataType::Json,
        (Primitive::String, names::XML) => DataType::Xml,
        (Primitive::String, names::ENUM) => enumeration(attributes),
        (Primitive::Bytes, names::BITS) => match bits_length(attributes) {
            Some(length) => {
                DataType::Bits { length: bounded(length), varying: bounded(length).is_none() }
            }
            None => DataType::BYTES,
        },
        (Primitive::Bytes, names::DECIMAL) => match decimal_scale(attributes) {
            Some(scale) => DataType::Decimal {
                precision: parameter(attributes, names::PRECISION).and_then(|p| p.parse().ok()),
                scale: Some(scale),
            },
            None => DataType::BYTES,
        },
        (Primitive::Boolean, _) => DataType::Bool,
        (Primitive::Int8, _) => DataType::Int8,
        (Primitive::Int16, _) => DataType::Int16,
        (Primitive::Int32, _) => DataType::Int32,
        (Primitive::Int64, _) => DataType::Int64,
        (Primitive::Float32, _) => DataType::Float32,
        (Primitive::Float64, _) => DataType::Float64,
        (Primitive::String, _) => DataType::TEXT,
        (Primitive::Bytes, _) => DataType::BYTES,
    }
}

/// A parameter of a schema.
pub(crate) fn parameter<'a>(attributes: &'a ConnectAttributes, name: &str) -> Option<&'a str> {
    attributes.parameters.iter().find(|(n, _)| &**n == name).map(|(_, value)| &**value)
}

/// The scale of Connect's `Decimal`.
pub(crate) fn decimal_scale(attributes: &ConnectAttributes) -> Option<i32> {
    parameter(attributes, "scale")?.parse().ok().filter(|scale| is_sane_scale(*scale))
}

/// A scale beyond anything a database has would only serve to take memory where the number is written out.
pub(crate) fn is_sane_scale(scale: i32) -> bool {
    scale.unsigned_abs() <= 100_000
}

fn bits_length(attributes: &ConnectAttributes) -> Option<u32> {
    parameter(attributes, "length")?.parse().ok()
}

/// `bit varying` without a limit is written as the largest `int`.
fn bounded(length: u32) -> Option<u32> {
    (length < i32::MAX.unsigned_abs()).then_some(length)
}

/// The labels of Debezium's `Enum`, joined by commas. A label with a comma in it cannot be told from two; a blank
/// behind a comma gives it away, and the type is text then.
fn enumeration(attributes: &ConnectAttributes) -> DataType {
    match parameter(attributes, "allowed") {
        Some(allowed) if !allowed.contains(", ") => {
            DataType::Enum { labels: allowed.split(',').map(Text::from).collect() }
        }
        _ => DataType::TEXT,
    }
}

/// Whether the struct has the shape of Debezium's `VariableScaleDecimal`, whose values are decimals.
pub(crate) fn is_variable_scale_decimal(attributes: &ConnectAttributes, fields: &Schema) -> bool {
    let plain = |index: usize, name: &str, data_type: &DataType| {
        fields.field(index).is_some_and(|field| {
            &*field.name == name
                && field.data_type() == data_type
                && !field.value_type.optional
                && field.value_type.default.is_none()
                && field
                    .value_type
                    .connect
                    .as_deref()
                    .is_none_or(|connect| *connect == ConnectAttributes::default())
        })
    };
    attributes.name.as_deref() == Some(names::VARIABLE_SCALE_DECIMAL)
        && fields.fields().len() == 2
        && plain(0, "scale", &DataType::Int32)
        && plain(1, "value", &DataType::BYTES)
}

/// The Connect schema of a type whose attributes say what it was; `None` when they do not.
///
/// `inner` makes the schemas of elements, keys, values and fields.
pub(crate) fn connect_schema(
    value_type: &ValueType,
    attributes: &ConnectAttributes,
) -> Option<(ConnectType, Form)> {
    let name = attributes.name.as_deref().unwrap_or_default();
    Some(match (&value_type.data_type, name) {
        (DataType::Bool, _) => (ConnectType::Boolean, Form::Plain),
        (DataType::Int8, _) => (ConnectType::Int8, Form::Plain),
        (DataType::Int16, _) => (ConnectType::Int16, Form::Plain),
        (DataType::Int32, _) => (ConnectType::Int32, Form::Plain),
        (DataType::Int64, _) => (ConnectType::Int64, Form::Plain),
        (DataType::Float32, _) => (ConnectType::Float32, Form::Plain),
        (DataType::Float64, _) => (ConnectType::Float64, Form::Plain),
        (
            DataType::Text { .. }
            | DataType::Json
            | DataType::Xml
            | DataType::Enum { .. }
            | DataType::Network(_),
            _,
        ) => (ConnectType::String, Form::Plain),
        (DataType::Bytes { .. }, _) => (ConnectType::Bytes, Form::Plain),
        (DataType::Uuid, names::UUID) => (ConnectType::String, Form::Uuid),
        (DataType::Bits { length, .. }, names::BITS) => {
            (ConnectType::Bytes, Form::Bits { length: *length })
        }
        (DataType::Decimal { .. }, names::DECIMAL) => {
            (ConnectType::Bytes, Form::Decimal { scale: decimal_scale(attributes)? })
        }
        (DataType::Decimal { .. }, names::VARIABLE_SCALE_DECIMAL) => {
            (variable_scale_decimal(), Form::VariableScale { stripped: false })
        }
        (DataType::Date, names::DATE | names::CONNECT_DATE) => (ConnectType::Int32, Form::Days),
        (DataType::Date, names::ISO_DATE) => (ConnectType::String, Form::IsoDate),
        (DataType::Time { .. }, names::TIME | names::CONNECT_TIME) => {
            (ConnectType::Int32, Form::Time(TimeUnit::Milli))
        }
        (DataType::Time { .. }, names::MICRO_TIME) => {
            (ConnectType::Int64, Form::Time(TimeUnit::Micro))
        }
        (DataType::Time { .. }, names::NANO_TIME) => {
            (ConnectType::Int64, Form::Time(TimeUnit::Nano))
        }
        (DataType::Time { .. }, names::ISO_TIME) => (ConnectType::String, Form::IsoTime),
        (DataType::TimeTz { .. }, names::ZONED_TIME) => (ConnectType::String, Form::ZonedTime),
        (DataType::Timestamp { .. }, names::TIMESTAMP | names::CONNECT_TIMESTAMP) => {
            (ConnectType::Int64, Form::Timestamp(TimeUnit::Milli))
        }
        (DataType::Timestamp { .. }, names::MICRO_TIMESTAMP) => {
            (ConnectType::Int64, Form::Timestamp(TimeUnit::Micro))
        }
        (DataType::Timestamp { .. }, names::NANO_TIMESTAMP) => {
            (ConnectType::Int64, Form::Timestamp(TimeUnit::Nano))
        }
        (DataType::Timestamp { .. }, names::ISO_TIMESTAMP) => {
            (ConnectType::String, Form::IsoTimestamp)
        }
        (DataType::TimestampTz { .. }, names::ZONED_TIMESTAMP) => {
            (ConnectType::String, Form::ZonedTimestamp { digits: None })
        }
        (DataType::Interval, names::MICRO_DURATION) => (ConnectType::Int64, Form::MicroDuration),
        (DataType::Interval, names::INTERVAL) => (ConnectType::String, Form::IsoInterval),
        _ => return None,
    })
}

/// The fields of Debezium's `VariableScaleDecimal`.
pub(crate) fn variable_scale_decimal() -> ConnectType {
    let field = |name: &str, connect_type, index| {
        ConnectField::new(name, ConnectSchema::new(connect_type, Form::Plain), index)
    };
    ConnectType::Struct(
        [field("scale", ConnectType::Int32, 0), field("value", ConnectType::Bytes, 1)].into(),
    )
}

/// The attributes that every type from outside has, so that a profile leaves it alone.
pub(crate) fn attributes_or_none(attributes: ConnectAttributes) -> Arc<ConnectAttributes> {
    if attributes == ConnectAttributes::default() { no_attributes() } else { Arc::new(attributes) }
}
