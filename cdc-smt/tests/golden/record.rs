//! The cases' records as events, and back.

use std::sync::Arc;

use cdc_core::testkit::golden::{Verdict, payload, same, schemaless, shown};
use cdc_core::testkit::some_origin;
use cdc_core::value::{TimeUnit, Timestamp};
use cdc_core::{ChangeEvent, Destination, Header, Payload, Value, ValueType};
use serde_json::{Value as Json, json};

pub(crate) fn event(record: &Json, sink: bool) -> Result<ChangeEvent, String> {
    let side = |side: &Json| match side.as_object() {
        None => Ok(Payload::Absent),
        Some(_) if side["schema"].is_null() => {
            let value = schemaless(&side["payload"])?;
            Ok(Payload::Value { schema: None, value })
        }
        Some(_) => payload(&side["schema"], &side["payload"]),
    };
    let topic = record["topic"].as_str().ok_or("no topic")?;
    let (key, value) = (side(&record["key"])?, side(&record["value"])?);
    let mut origin = some_origin();
    if sink {
        Arc::make_mut(&mut origin.transaction).connector = "kafka";
        origin.log_position = record["offset"].as_u64().unwrap_or_default();
    }
    let mut event = ChangeEvent::new(Destination::named(topic), key, value, origin);
    event.partition = record["partition"].as_i64().and_then(|n| i32::try_from(n).ok());
    if sink {
        event.partition.get_or_insert(0);
    }
    event.timestamp_ms = record["timestamp"].as_i64();
    for header in record["headers"].as_array().into_iter().flatten() {
        let name: Arc<str> = header["name"].as_str().ok_or("no name")?.into();
        let header = match side(header)? {
            Payload::Value { schema, value } => Header { name, schema, value },
            _ => Header { name, schema: None, value: Value::Null },
        };
        event.headers.push(header);
    }
    Ok(event)
}

pub(crate) fn same_record(event: &ChangeEvent, expected: &Json) -> Verdict {
    let differs = |what: &str, actual: &dyn std::fmt::Debug, expected: &Json| {
        Err(format!("{what} {actual:?}\n   instead of {expected}"))
    };
    if expected["topic"].as_str() != Some(event.destination.as_str()) {
        return differs("topic", &event.destination, &expected["topic"]);
    }
    if expected["partition"].as_i64() != event.partition.map(i64::from) {
        return differs("partition", &event.partition, &expected["partition"]);
    }
    if expected["timestamp"].as_i64() != event.timestamp_ms {
        return differs("timestamp", &event.timestamp_ms, &expected["timestamp"]);
    }
    same_side("key", &event.key, &expected["key"])?;
    same_side("value", &event.value, &expected["value"])?;
    let headers = expected["headers"].as_array().ok_or("no headers")?;
    if headers.len() != event.headers.len() {
        return differs("headers", &event.headers, &expected["headers"]);
    }
    for (header, expected) in event.headers.iter().zip(headers) {
        if expected[0].as_str() != Some(&*header.name) {
            return differs("header", &header.name, expected);
        }
        let payload = Payload::Value { schema: header.schema.clone(), value: header.value.clone() };
        same_side(&format!("header {}", header.name), &payload, &expected[1])?;
    }
    Ok(())
}

fn same_side(what: &str, payload: &Payload, expected: &Json) -> Verdict {
    let is_null =
        matches!(payload, Payload::Absent | Payload::Value { schema: None, value: Value::Null });
    let expects_null =
        expected.is_null() || (expected["schema"].is_null() && expected["payload"].is_null());
    if expects_null && expected.get("unserializable").is_none() {
        return if is_null { Ok(()) } else { Err(format!("{what} {payload:?} instead of null")) };
    }
    let (schema, value) = match payload {
        Payload::Value { schema: None, value } if !matches!(value, Value::Struct(_)) => {
            (Json::Null, tagged(value))
        }
        // A null that its schema does not allow has no bytes; the cases show it all the same.
        Payload::Value { schema: Some(schema), value: Value::Null } if !schema.optional => {
            let mut optional = ValueType::clone(schema);
            optional.optional = true;
            optional.default = None;
            let payload = Payload::Value { schema: Some(Arc::new(optional)), value: Value::Null };
            let (mut shown, value) = shown(&payload)?;
            shown["optional"] = json!(false);
            (shown, value)
        }
        payload => match shown(payload) {
            Ok(shown) => shown,
            Err(_) if expected.get("unserializable").is_some() => return Ok(()),
            Err(error) => return Err(format!("{what}: {error}\n   instead of {expected}")),
        },
    };
    if !same(&expected["schema"], &schema) {
        return Err(format!("{what} schema {schema}\n   instead of {}", expected["schema"]));
    }
    if !same(&as_decimals(&expected["payload"]), &value) {
        return Err(format!("{what} {value}\n   instead of {}", expected["payload"]));
    }
    Ok(())
}

/// Whole numbers of any size are decimals here.
fn as_decimals(payload: &Json) -> Json {
    match payload {
        Json::Object(members) => Json::Object(
            members
                .iter()
                .map(|(name, value)| match name.as_str() {
                    "$bigint" => ("$decimal".to_owned(), value.clone()),
                    _ => (name.clone(), as_decimals(value)),
                })
                .collect(),
        ),
        Json::Array(items) => items.iter().map(as_decimals).collect(),
        other => other.clone(),
    }
}

/// A value without a schema, Java's types by tags.
fn tagged(value: &Value) -> Json {
    match value {
        Value::Int8(v) => json!({"$int8": v}),
        Value::Int16(v) => json!({"$int16": v}),
        Value::Int32(v) => json!({"$int32": v}),
        Value::Float32(v) => json!({"$float32": v}),
        Value::Float64(v) if !v.is_finite() => {
            let name = if v.is_nan() {
                "NaN"
            } else if *v > 0.0 {
                "Infinity"
            } else {
                "-Infinity"
            };
            json!({"$float64": name})
        }
        Value::Decimal(v) => json!({"$decimal": v.to_string()}),
        Value::Bytes(_) => {
            let bytes = Payload::Value {
                schema: Some(Arc::new(ValueType::required(cdc_core::DataType::BYTES))),
                value: value.clone(),
            };
            json!({"$bytes": shown(&bytes).unwrap().1})
        }
        Value::Timestamp(Timestamp::At { value, unit: TimeUnit::Milli }) => json!({"$date": value}),
        Value::Array(array) => array.values.iter().map(tagged).collect(),
        Value::Map(entries) => Json::Object(
            entries
                .iter()
                .map(|(key, value)| match key {
                    Value::Text(key) => (key.to_string(), tagged(value)),
                    key => (format!("{key:?}"), tagged(value)),
                })
                .collect(),
        ),
        Value::Null => Json::Null,
        Value::Bool(v) => json!(v),
        Value::Int64(v) => json!(v),
        Value::Float64(v) => json!(v),
        Value::Text(v) => json!(v.as_str()),
        other => json!(format!("{other:?}")),
    }
}
