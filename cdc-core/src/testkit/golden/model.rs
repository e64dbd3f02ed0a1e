//! The cases' schemas and values as the library's, and back.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::connect::{ConnectProfile, JsonConverter, JsonOptions};
use crate::data_type::{DataType, ValueType};
use crate::error::{Error, ErrorKind};
use crate::event::Payload;
use crate::row::Row;
use crate::value::{Array, TimeUnit, Timestamp, Value};

/// The payload of a case that is to be written.
pub fn payload(schema: &Json, payload: &Json) -> Result<Payload, String> {
    if schema.is_null() {
        let value = schemaless(payload)?;
        return Ok(match value {
            Value::Null => Payload::Absent,
            value => Payload::Value { schema: None, value },
        });
    }
    let value_type = value_type(schema)?;
    let value = value(&value_type, schema, payload)?;
    Ok(Payload::Value { schema: Some(Arc::new(value_type)), value })
}

/// The type of a schema, read as that of the elements of an empty array.
fn value_type(schema: &Json) -> Result<ValueType, String> {
    let mut schema = schema.clone();
    number_zeros(&mut schema);
    let text = json!({"schema": {"type": "array", "items": schema}, "payload": []}).to_string();
    let read = converter()?.decode(Some(text.as_bytes())).map_err(|error| error.to_string())?;
    match read {
        Payload::Value { schema: Some(list), .. } => match &list.data_type {
            DataType::Array(element) => Ok(ValueType::clone(element)),
            _ => Err("no array".to_owned()),
        },
        _ => Err("no schema".to_owned()),
    }
}

/// Inputs write the negative zero as text.
fn number_zeros(schema: &mut Json) {
    match schema {
        Json::Object(members) => {
            let floating =
                matches!(members.get("type").and_then(Json::as_str), Some("float" | "double"));
            if floating && members.get("default") == Some(&json!("-0.0")) {
                members.insert("default".to_owned(), json!(-0.0));
            }
            members.values_mut().for_each(number_zeros);
        }
        Json::Array(items) => items.iter_mut().for_each(number_zeros),
        _ => {}
    }
}

fn converter() -> Result<JsonConverter, String> {
    JsonConverter::new(JsonOptions::default(), ConnectProfile::default())
        .map_err(|error| error.to_string())
}

fn value(value_type: &ValueType, schema: &Json, payload: &Json) -> Result<Value, String> {
    if payload.is_null() {
        return Ok(Value::Null);
    }
    if let Some(tagged) = tagged(payload) {
        return tagged;
    }
    match (&value_type.data_type, payload) {
        (DataType::Struct(fields), Json::Object(members)) => {
            let schemas = schema["fields"].as_array().ok_or("no fields")?;
            let values = fields
                .fields()
                .iter()
                .zip(schemas)
                .map(|(field, schema)| {
                    let member = members.get(&*field.name).unwrap_or(&Json::Null);
                    value(&field.value_type, schema, member)
                })
                .collect::<Result<_, _>>()?;
            Row::new(Arc::clone(fields), values).map(Value::Struct).map_err(|e| e.to_string())
        }
        (DataType::Array(element), Json::Array(items)) => {
            let values = items.iter().map(|item| value(element, &schema["items"], item));
            Ok(Value::Array(Arc::new(Array::new(values.collect::<Result<_, _>>()?))))
        }
        (DataType::Map(types), entries) => {
            let pairs: Vec<(Json, Json)> = match entries {
                Json::Object(members) => {
                    members.iter().map(|(k, v)| (json!(k), v.clone())).collect()
                }
                Json::Array(pairs) => {
                    pairs.iter().map(|pair| (pair[0].clone(), pair[1].clone())).collect()
                }
                _ => return Err("no map".to_owned()),
            };
            let pairs = pairs.iter().map(|(k, v)| {
                Ok((value(&types.0, &schema["keys"], k)?, value(&types.1, &schema["values"], v)?))
            });
            Ok(Value::Map(pairs.collect::<Result<_, String>>()?))
        }
        _ => {
            let mut payload = payload.clone();
            if payload == json!("-0.0")
                && matches!(schema["type"].as_str(), Some("float" | "double"))
            {
                payload = json!(-0.0);
            }
            let mut schema = schema.clone();
            schema.as_object_mut().ok_or("no schema")?.remove("default");
            let text = json!({"schema": schema, "payload": payload}).to_string();
            match converter()?.decode(Some(text.as_bytes())).map_err(|error| error.to_string())? {
                Payload::Value { value, .. } => Ok(value),
                _ => Err("nothing".to_owned()),
            }
        }
    }
}

/// `{"$int8": 1}` and its like.
fn tagged(payload: &Json) -> Option<Result<Value, String>> {
    let members = payload.as_object()?;
    let (tag, content) = members.iter().next().filter(|(tag, _)| tag.starts_with('$'))?;
    if members.len() != 1 {
        return None;
    }
    let integer = content.as_i64().unwrap_or_default();
    let text = content.as_str().unwrap_or_default();
    Some(match tag.as_str() {
        "$int8" => i8::try_from(integer).map(Value::Int8).map_err(|_| "too large".to_owned()),
        "$int16" => i16::try_from(integer).map(Value::Int16).map_err(|_| "too large".to_owned()),
        "$int32" => i32::try_from(integer).map(Value::Int32).map_err(|_| "too large".to_owned()),
        #[allow(clippy::cast_possible_truncation)]
        "$float32" => Ok(Value::Float32(content.as_f64().unwrap_or_default() as f32)),
        "$float64" => text.parse().map(Value::Float64).map_err(|_| "no number".to_owned()),
        "$decimal" | "$bigint" => {
            text.parse().map(Value::Decimal).map_err(|_| "no decimal".to_owned())
        }
        "$bytes" | "$bytebuffer" => {
            let schema = json!({"type": "bytes"});
            value(&ValueType::required(DataType::BYTES), &schema, content)
        }
        "$date" => Ok(Value::Timestamp(Timestamp::At { value: integer, unit: TimeUnit::Milli })),
        "$map" => content
            .as_array()
            .into_iter()
            .flatten()
            .map(|pair| Ok((schemaless(&pair[0])?, schemaless(&pair[1])?)))
            .collect::<Result<_, String>>()
            .map(Value::Map),
        "$struct" => value_type(&content["schema"])
            .and_then(|value_type| value(&value_type, &content["schema"], &content["payload"])),
        _ => return None,
    })
}

/// A value without a schema, other Java types by their tags.
///
/// # Errors
/// What is wrong with the case.
pub fn schemaless(payload: &Json) -> Result<Value, String> {
    if let Some(tagged) = tagged(payload) {
        return tagged;
    }
    Ok(match payload {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match number.as_i64() {
            Some(integer) => Value::Int64(integer),
            None => Value::Float64(number.as_f64().ok_or("no number")?),
        },
        Json::String(text) => Value::text(text.as_str()),
        Json::Array(items) => {
            let values = items.iter().map(schemaless).collect::<Result<_, _>>()?;
            Value::Array(Arc::new(Array::new(values)))
        }
        Json::Object(members) => {
            let entries =
                members.iter().map(|(k, v)| Ok((Value::text(k.as_str()), schemaless(v)?)));
            Value::Map(entries.collect::<Result<_, String>>()?)
        }
    })
}

/// Schema and payload as the cases show them.
pub fn shown(payload: &Payload) -> Result<(Json, Json), String> {
    let mut text = Vec::new();
    match converter()?.encode(payload, &mut text) {
        Ok(false) => return Ok((Json::Null, Json::Null)),
        Ok(true) => {}
        Err(error) => return Err(format!("what was read cannot be written: {error}")),
    }
    let mut record: Json = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    Ok((record["schema"].take(), record["payload"].take()))
}

/// Whether two payloads or schemas are equal: numbers by value, the order of pairs and members left out.
pub fn same(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => a == b,
            _ => match (a.as_f64(), b.as_f64()) {
                (Some(a), Some(b)) => a == b && a.is_sign_negative() == b.is_sign_negative(),
                _ => false,
            },
        },
        (Json::String(text), Json::Number(number)) | (Json::Number(number), Json::String(text)) => {
            text == "-0.0" && number.as_f64().is_some_and(|n| n == 0.0 && n.is_sign_negative())
        }
        // A map whose keys are not required strings is shown as pairs.
        (Json::Array(pairs), Json::Object(members)) => {
            pairs.len() == members.len()
                && pairs.iter().all(|pair| {
                    let value = pair[0].as_str().and_then(|key| members.get(key));
                    value.is_some_and(|value| same(&pair[1], value))
                })
        }
        (Json::Object(members), Json::String(text)) => {
            members.len() == 1 && members.get("$float64").is_some_and(|tagged| tagged == text)
        }
        (Json::Array(a), Json::Array(b)) => {
            let mut left: Vec<&Json> = b.iter().collect();
            a.len() == b.len()
                && (a.iter().zip(b).all(|(a, b)| same(a, b))
                    || (a.iter().all(Json::is_array)
                        && a.iter().all(|item| {
                            let at = left.iter().position(|other| same(item, other));
                            at.map(|at| left.remove(at)).is_some()
                        })))
        }
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(name, value)| b.get(name).is_some_and(|other| same(value, other)))
        }
        (a, b) => a == b,
    }
}

/// Whether an error is the original's: its kind, and its text where the class is Kafka's.
pub fn same_error(expected: &Json, error: &Error) -> Result<(), String> {
    let class = expected["class"].as_str().unwrap_or_default();
    let message = expected["message"].as_str().unwrap_or_default();
    let kind = match class.rsplit('.').next().unwrap_or_default() {
        "ConfigException" => ErrorKind::Configuration,
        _ => ErrorKind::Data,
    };
    if error.kind() != kind {
        return Err(format!("an error of kind {} instead of {class}", error.kind()));
    }
    if class.starts_with("org.apache.kafka.") && error.message() != message {
        return Err(format!("{:?} instead of {message:?}", error.message()));
    }
    Ok(())
}
