//! The row before a change where the server sent the key alone.

use std::sync::Arc;

use crate::data_type::{DataType, ValueType};
use crate::row::Row;
use crate::value::{
    Array, Bits, Date, Decimal, Interval, Time, TimeTz, TimeUnit, Timestamp, Uuid, Value,
};

/// The row with what the server did not send as Debezium shows it: NULL, and in columns that allow none their default
/// or an empty value, because the schema has no other way. The model keeps such columns
/// [unavailable](Value::Unavailable).
#[must_use]
pub fn complete_before(row: &Row) -> Row {
    if row.is_complete() {
        return row.clone();
    }
    let mut out = row.clone();
    for (index, field) in row.schema().fields().iter().enumerate() {
        if row.get(index).is_some_and(|value| value.is_unavailable()) {
            out.set(index, missing(&field.value_type));
        }
    }
    out
}

/// What stands for a value that was not sent.
pub(super) fn missing(value_type: &ValueType) -> Value {
    if value_type.optional {
        return Value::Null;
    }
    match &value_type.default {
        Some(default) => default.clone(),
        None => empty(&value_type.data_type),
    }
}

/// Zero, the empty text, the epoch.
fn empty(data_type: &DataType) -> Value {
    let midnight = Time { value: 0, unit: TimeUnit::Micro };
    match data_type {
        DataType::Bool => Value::Bool(false),
        DataType::Int8 => Value::Int8(0),
        DataType::Int16 => Value::Int16(0),
        DataType::Int32 => Value::Int32(0),
        DataType::Int64 => Value::Int64(0),
        DataType::UInt8 => Value::UInt8(0),
        DataType::UInt16 => Value::UInt16(0),
        DataType::UInt32 => Value::UInt32(0),
        DataType::UInt64 => Value::UInt64(0),
        DataType::Float32 => Value::Float32(0.0),
        DataType::Float64 => Value::Float64(0.0),
        DataType::Decimal { scale, .. } => Value::Decimal(Decimal::new(0, scale.unwrap_or(0))),
        DataType::Bytes { .. } => Value::Bytes(bytes::Bytes::new()),
        DataType::Bits { length, .. } => {
            let length = length.unwrap_or(0).min(1 << 26);
            let bytes = vec![0; usize::try_from(length.div_ceil(8)).unwrap_or(0)];
            Value::Bits(Bits { length, bytes: bytes.into() })
        }
        DataType::Date => Value::Date(Date::Days(0)),
        DataType::Time { .. } => Value::Time(midnight),
        DataType::TimeTz { .. } => Value::TimeTz(TimeTz { time: midnight, offset_seconds: 0 }),
        DataType::Timestamp { .. } | DataType::TimestampTz { .. } => {
            Value::Timestamp(Timestamp::micros(0))
        }
        DataType::Interval => Value::Interval(Interval::Span { months: 0, days: 0, micros: 0 }),
        DataType::Uuid => Value::Uuid(Uuid([0; 16])),
        DataType::Array(_) => Value::Array(Arc::new(Array::new(Vec::new()))),
        DataType::Map(_) => Value::Map(Arc::new([])),
        DataType::Struct(schema) => {
            let values = schema.fields().iter().map(|field| missing(&field.value_type)).collect();
            Row::new(Arc::clone(schema), values).map_or(Value::Null, Value::Struct)
        }
        DataType::Other { name } => Value::text(match name.rsplit('.').next().unwrap_or(name) {
            "money" => "$0.00",
            "point" => "(0,0)",
            range if range.ends_with("range") => "empty",
            _ => "",
        }),
        DataType::Text { .. }
        | DataType::Json
        | DataType::Xml
        | DataType::Enum { .. }
        | DataType::Network(_) => Value::text(""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Field, Schema};

    #[test]
    fn null_where_it_is_allowed_else_the_default_else_an_empty_value() {
        let with_default = ValueType::required(DataType::Int32).with_default(7i32.into());
        let schema = Schema::builder()
            .fields([
                Field::required("id", DataType::Int32),
                Field::required("name", DataType::TEXT),
                Field::optional("note", DataType::TEXT),
                Field::new("age", with_default),
            ])
            .build()
            .unwrap();
        let mut values = schema.unavailable_values();
        values[0] = 3i32.into();
        let before = complete_before(&Row::new(schema, values).unwrap());
        let values: Vec<Value> = before.values().map(|value| value.to_value()).collect();
        assert_eq!(values, [3i32.into(), "".into(), Value::Null, 7i32.into()]);
    }
}
