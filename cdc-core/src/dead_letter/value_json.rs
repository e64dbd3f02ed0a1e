//! Values as JSON without loss: `null`, or an object that names the kind, such as `{"int32":7}`.

use std::sync::Arc;

use bytes::Bytes;
use num_bigint::BigInt;
use serde_json::{Value as Json, json};

use super::schema_json::SchemaTable;
use crate::connect::base64;
use crate::error::{Error, Result};
use crate::row::Row;
use crate::schema::Schema;
use crate::value::{
    Array, Bits, Date, Decimal, Interval, Text, Time, TimeTz, TimeUnit, Timestamp, Uuid, Value,
};

const INFINITY: &str = "infinity";
const NEG_INFINITY: &str = "-infinity";

/// A row as its schema's number in the letter and its values.
pub(super) fn row_to_json(row: &Row, schemas: &mut SchemaTable) -> Result<Json> {
    let schema = schemas.number(row.schema())?;
    let values = (0..row.len()).map(|i| value_to_json(&row.value(i).unwrap_or_default(), schemas));
    let values: Vec<Json> = values.collect::<Result<_>>()?;
    Ok(json!({"schema": schema, "values": values}))
}

pub(super) fn row_from_json(json: &Json, schemas: &[Arc<Schema>]) -> Result<Row> {
    let schema = schema_at(json, schemas)?;
    let values = list(json.get("values").unwrap_or(&Json::Null), "values")?;
    let values = values.iter().map(|value| value_from_json(value, schemas));
    Row::new(schema, values.collect::<Result<_>>()?)
}

/// The schema that the member `schema` names by its number.
pub(super) fn schema_at(json: &Json, schemas: &[Arc<Schema>]) -> Result<Arc<Schema>> {
    let number = json.get("schema").and_then(Json::as_u64);
    let schema = number.and_then(|n| schemas.get(usize::try_from(n).ok()?));
    schema.cloned().ok_or_else(|| damaged("schema"))
}

pub(super) fn base64_text(bytes: &[u8]) -> String {
    let mut out = Vec::new();
    base64::encode(bytes, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

pub(super) fn bytes_from_json(json: &Json) -> Result<Bytes> {
    let bytes = json.as_str().and_then(base64::decode).ok_or_else(|| damaged("bytes"))?;
    Ok(bytes.into())
}

pub(super) fn value_to_json(value: &Value, schemas: &mut SchemaTable) -> Result<Json> {
    Ok(match value {
        Value::Null => Json::Null,
        Value::Unavailable => json!("unavailable"),
        Value::Bool(v) => json!({"bool": v}),
        Value::Int8(v) => json!({"int8": v}),
        Value::Int16(v) => json!({"int16": v}),
        Value::Int32(v) => json!({"int32": v}),
        Value::Int64(v) => json!({"int64": v}),
        Value::UInt8(v) => json!({"uint8": v}),
        Value::UInt16(v) => json!({"uint16": v}),
        Value::UInt32(v) => json!({"uint32": v}),
        Value::UInt64(v) => json!({"uint64": v}),
        // As text: JSON lacks some floats, and not every reader rounds right. A NaN has bits of its own.
        Value::Float32(v) if v.is_nan() => json!({"float32": {"bits": v.to_bits()}}),
        Value::Float64(v) if v.is_nan() => json!({"float64": {"bits": v.to_bits()}}),
        Value::Float32(v) => json!({"float32": format!("{v:?}")}),
        Value::Float64(v) => json!({"float64": format!("{v:?}")}),
        Value::Decimal(v) => match (v.unscaled(), v.scale()) {
            (Some(unscaled), Some(scale)) => json!({"decimal": [unscaled.to_string(), scale]}),
            _ => json!({"decimal": v.to_string()}),
        },
        Value::Text(v) => json!({"text": v.as_str()}),
        Value::Bytes(v) => json!({"bytes": base64_text(v)}),
        Value::Date(Date::Days(days)) => json!({"date": days}),
        Value::Date(Date::Infinity) => json!({"date": INFINITY}),
        Value::Date(Date::NegInfinity) => json!({"date": NEG_INFINITY}),
        Value::Time(v) => json!({"time": [v.value, unit_name(v.unit)]}),
        Value::TimeTz(v) => {
            json!({"timetz": [v.time.value, unit_name(v.time.unit), v.offset_seconds]})
        }
        Value::Timestamp(Timestamp::At { value, unit }) => {
            json!({"timestamp": [value, unit_name(*unit)]})
        }
        Value::Timestamp(Timestamp::Infinity) => json!({"timestamp": INFINITY}),
        Value::Timestamp(Timestamp::NegInfinity) => json!({"timestamp": NEG_INFINITY}),
        Value::Interval(Interval::Span { months, days, micros }) => {
            json!({"interval": [months, days, micros]})
        }
        Value::Interval(Interval::Infinity) => json!({"interval": INFINITY}),
        Value::Interval(Interval::NegInfinity) => json!({"interval": NEG_INFINITY}),
        Value::Uuid(v) => json!({"uuid": base64_text(&v.0)}),
        Value::Bits(v) => json!({"bits": [v.length, base64_text(&v.bytes)]}),
        Value::Array(v) => {
            let values = v.values.iter().map(|value| value_to_json(value, schemas));
            let values: Vec<Json> = values.collect::<Result<_>>()?;
            json!({"array": {"lower_bound": v.lower_bound, "values": values}})
        }
        Value::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| {
                Ok(json!([value_to_json(key, schemas)?, value_to_json(value, schemas)?]))
            });
            let entries: Vec<Json> = entries.collect::<Result<_>>()?;
            json!({"map": entries})
        }
        Value::Struct(row) => json!({"struct": row_to_json(row, schemas)?}),
    })
}

pub(super) fn value_from_json(json: &Json, schemas: &[Arc<Schema>]) -> Result<Value> {
    if json.is_null() {
        return Ok(Value::Null);
    }
    if *json == "unavailable" {
        return Ok(Value::Unavailable);
    }
    let (kind, content) = json
        .as_object()
        .filter(|object| object.len() == 1)
        .and_then(|object| object.iter().next())
        .ok_or_else(|| damaged("value"))?;
    let is = |text: &str| content.as_str() == Some(text);
    Ok(match kind.as_str() {
        "bool" => Value::Bool(content.as_bool().ok_or_else(|| damaged(kind))?),
        "int8" => Value::Int8(integer(content, kind)?),
        "int16" => Value::Int16(integer(content, kind)?),
        "int32" => Value::Int32(integer(content, kind)?),
        "int64" => Value::Int64(integer(content, kind)?),
        "uint8" => Value::UInt8(integer(content, kind)?),
        "uint16" => Value::UInt16(integer(content, kind)?),
        "uint32" => Value::UInt32(integer(content, kind)?),
        "uint64" => Value::UInt64(integer(content, kind)?),
        "float32" => Value::Float32(match content.get("bits") {
            Some(bits) => f32::from_bits(integer(bits, kind)?),
            None => parsed(content, kind)?,
        }),
        "float64" => Value::Float64(match content.get("bits") {
            Some(bits) => f64::from_bits(integer(bits, kind)?),
            None => parsed(content, kind)?,
        }),
        "decimal" if content.is_string() => Value::Decimal(parsed(content, kind)?),
        "decimal" => {
            let unscaled: BigInt = parsed(item(content, 0), kind)?;
            Value::Decimal(Decimal::from_bigint(unscaled, integer(item(content, 1), kind)?))
        }
        "text" => Value::Text(Text::from(content.as_str().ok_or_else(|| damaged(kind))?)),
        "bytes" => Value::Bytes(bytes_from_json(content)?),
        "date" if is(INFINITY) => Value::Date(Date::Infinity),
        "date" if is(NEG_INFINITY) => Value::Date(Date::NegInfinity),
        "date" => Value::Date(Date::Days(integer(content, kind)?)),
        "time" => Value::Time(time(content, kind)?),
        "timetz" => Value::TimeTz(TimeTz {
            time: time(content, kind)?,
            offset_seconds: integer(item(content, 2), kind)?,
        }),
        "timestamp" if is(INFINITY) => Value::Timestamp(Timestamp::Infinity),
        "timestamp" if is(NEG_INFINITY) => Value::Timestamp(Timestamp::NegInfinity),
        "timestamp" => {
            let Time { value, unit } = time(content, kind)?;
            Value::Timestamp(Timestamp::At { value, unit })
        }
        "interval" if is(INFINITY) => Value::Interval(Interval::Infinity),
        "interval" if is(NEG_INFINITY) => Value::Interval(Interval::NegInfinity),
        "interval" => Value::Interval(Interval::Span {
            months: integer(item(content, 0), kind)?,
            days: integer(item(content, 1), kind)?,
            micros: integer(item(content, 2), kind)?,
        }),
        "uuid" => {
            let bytes = bytes_from_json(content)?;
            Value::Uuid(Uuid(bytes.as_ref().try_into().map_err(|_| damaged(kind))?))
        }
        "bits" => Value::Bits(Bits {
            length: integer(item(content, 0), kind)?,
            bytes: bytes_from_json(item(content, 1))?,
        }),
        "array" => {
            let values = list(content.get("values").unwrap_or(&Json::Null), kind)?;
            let values = values.iter().map(|value| value_from_json(value, schemas));
            Value::Array(Arc::new(Array {
                values: values.collect::<Result<_>>()?,
                lower_bound: integer(content.get("lower_bound").unwrap_or(&Json::Null), kind)?,
            }))
        }
        "map" => {
            let entries = list(content, kind)?.iter().map(|entry| {
                let part = |index| value_from_json(item(entry, index), schemas);
                Ok((part(0)?, part(1)?))
            });
            Value::Map(entries.collect::<Result<_>>()?)
        }
        "struct" => Value::Struct(row_from_json(content, schemas)?),
        _ => return Err(damaged(kind)),
    })
}

fn unit_name(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Second => "s",
        TimeUnit::Milli => "ms",
        TimeUnit::Micro => "us",
        TimeUnit::Nano => "ns",
    }
}

/// The first two elements: a count and its unit.
fn time(json: &Json, what: &str) -> Result<Time> {
    let units = [TimeUnit::Second, TimeUnit::Milli, TimeUnit::Micro, TimeUnit::Nano];
    let unit = units.into_iter().find(|unit| *item(json, 1) == unit_name(*unit));
    Ok(Time { value: integer(item(json, 0), what)?, unit: unit.ok_or_else(|| damaged(what))? })
}

pub(super) fn item(json: &Json, index: usize) -> &Json {
    json.get(index).unwrap_or(&Json::Null)
}

pub(super) fn list<'a>(json: &'a Json, what: &str) -> Result<&'a Vec<Json>> {
    json.as_array().ok_or_else(|| damaged(what))
}

/// A number of any integer type, never cut off.
pub(super) fn integer<N: TryFrom<i128>>(json: &Json, what: &str) -> Result<N> {
    let number = json.as_i64().map(i128::from).or_else(|| json.as_u64().map(i128::from));
    number.and_then(|number| N::try_from(number).ok()).ok_or_else(|| damaged(what))
}

fn parsed<T: std::str::FromStr>(json: &Json, what: &str) -> Result<T> {
    json.as_str().and_then(|text| text.parse().ok()).ok_or_else(|| damaged(what))
}

pub(super) fn damaged(what: &str) -> Error {
    Error::data(format!("{what} cannot be read"))
}
