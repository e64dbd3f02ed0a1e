//! Values from JSON, under a schema or without one.

use std::sync::Arc;

use crate::connect::base64;
use crate::connect::outside::is_sane_scale;
use crate::connect::schema::{ConnectSchema, ConnectType, Form};
use crate::connect::semantic_names as names;
use crate::data_type::{DataType, ValueType};
use crate::error::{Error, Result};
use crate::row::Row;
use crate::value::{Array, Decimal, Text, Value};

use super::parser::Node;

/// Reads values under their schemas.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader {
    /// `replace.null.with.default`.
    pub(crate) replace_null: bool,
}

impl Reader {
    /// A value under its schema, which was made of the type.
    pub(crate) fn value(
        &self,
        schema: &ConnectSchema,
        value_type: &ValueType,
        node: &Node<'_>,
    ) -> Result<Value> {
        if node.is_null() {
            return self.null(schema);
        }
        match schema.form {
            Form::Decimal { scale } => return decimal(scale, node),
            Form::VariableScale { .. } => return variable_scale(node),
            _ => {}
        }
        let physical = match (&schema.connect_type, node) {
            (ConnectType::Boolean, Node::Bool(value)) => Value::Bool(*value),
            (ConnectType::Int8, Node::Number(text)) => Value::Int8(integer(schema, text)?),
            (ConnectType::Int16, Node::Number(text)) => Value::Int16(integer(schema, text)?),
            (ConnectType::Int32, node) => match (connect_logical(schema), node) {
                (Some(what), Node::Number(text)) => match text.parse() {
                    Ok(value) => Value::Int32(value),
                    Err(_) => return Err(not_integral(what, "integer", node)),
                },
                (Some(what), node) => return Err(not_integral(what, "integer", node)),
                (None, Node::Number(text)) => Value::Int32(integer(schema, text)?),
                _ => return Err(invalid(schema, node)),
            },
            (ConnectType::Int64, node) => match (connect_logical(schema), node) {
                (Some(what), Node::Number(text)) if text.contains(['.', 'e', 'E']) => {
                    return Err(not_integral(what, "integral", node));
                }
                (
                    Some(what),
                    Node::String(_) | Node::Bool(_) | Node::Array(_) | Node::Object(_),
                ) => {
                    return Err(not_integral(what, "integral", node));
                }
                (_, Node::Number(text)) => Value::Int64(integer(schema, text)?),
                _ => return Err(invalid(schema, node)),
            },
            (ConnectType::Float32, Node::Number(text)) => Value::Float32(float(text)?),
            (ConnectType::Float64, Node::Number(text)) => Value::Float64(float(text)?),
            (ConnectType::Float32, Node::String(text)) => match special(text) {
                Some(value) => Value::Float32(match value {
                    f64::INFINITY => f32::INFINITY,
                    f64::NEG_INFINITY => f32::NEG_INFINITY,
                    _ => f32::NAN,
                }),
                None => return Err(invalid(schema, node)),
            },
            (ConnectType::Float64, Node::String(text)) => match special(text) {
                Some(value) => Value::Float64(value),
                None => return Err(invalid(schema, node)),
            },
            (ConnectType::String, Node::String(text)) => Value::Text(Text::from(&**text)),
            (ConnectType::Bytes, Node::String(text)) => match base64::decode(text) {
                Some(bytes) => Value::Bytes(bytes.into()),
                None => return Err(Error::data("Invalid bytes field")),
            },
            (ConnectType::Array(items), Node::Array(nodes)) => {
                let DataType::Array(element) = &value_type.data_type else {
                    return Err(invalid(schema, node));
                };
                let values = nodes
                    .iter()
                    .map(|node| self.value(items, element, node))
                    .collect::<Result<Vec<_>>>()?;
                return Ok(Value::Array(Arc::new(Array::new(values))));
            }
            (ConnectType::Map(entry), node) => {
                let DataType::Map(types) = &value_type.data_type else {
                    return Err(invalid(schema, node));
                };
                return self.map(entry, types, node);
            }
            (ConnectType::Struct(_), node) => {
                let DataType::Struct(fields) = &value_type.data_type else {
                    return Err(invalid(schema, node));
                };
                let Node::Object(members) = node else {
                    return Err(Error::data(format!(
                        "Structs should be encoded as JSON objects, but found {}",
                        node.type_name()
                    )));
                };
                let mut values = Vec::with_capacity(members.len());
                for (index, (connect, field)) in
                    schema.fields().iter().zip(fields.fields()).enumerate()
                {
                    // The members stand mostly in the order of the schema.
                    let member = match members.get(index) {
                        Some((name, node)) if **name == *field.name => node,
                        _ => node.get(&field.name).unwrap_or(&Node::Null),
                    };
                    values.push(self.value(&connect.schema, &field.value_type, member)?);
                }
                return Row::new(Arc::clone(fields), values).map(Value::Struct);
            }
            (_, node) => return Err(invalid(schema, node)),
        };
        Ok(match schema.form {
            Form::Plain => physical,
            _ => schema.raise(physical),
        })
    }

    fn null(&self, schema: &ConnectSchema) -> Result<Value> {
        match &schema.default {
            Some(default) if self.replace_null => Ok(default.clone()),
            _ if schema.optional => Ok(Value::Null),
            _ => Err(Error::data(format!(
                "Invalid null value for required {} field",
                schema.connect_type.name()
            ))),
        }
    }

    fn map(
        &self,
        schemas: &(ConnectSchema, ConnectSchema),
        types: &(ValueType, ValueType),
        node: &Node<'_>,
    ) -> Result<Value> {
        let mut entries = Vec::new();
        if matches!(schemas.0.connect_type, ConnectType::String) {
            let Node::Object(members) = node else {
                return Err(Error::data(format!(
                    "Maps with string fields should be encoded as JSON objects, but found {}",
                    node.type_name()
                )));
            };
            for (key, node) in members {
                let value = self.value(&schemas.1, &types.1, node)?;
                entries.push((Value::text(&**key), value));
            }
        } else {
            let Node::Array(pairs) = node else {
                return Err(Error::data(format!(
                    "Maps with non-string fields should be encoded as JSON array of tuples, but found {}",
                    node.type_name()
                )));
            };
            for pair in pairs {
                let Node::Array(pair) = pair else {
                    return Err(Error::data(format!(
                        "Found invalid map entry instead of array tuple: {}",
                        pair.type_name()
                    )));
                };
                let [key, value] = pair.as_slice() else {
                    return Err(Error::data(format!(
                        "Found invalid map entry, expected length 2 but found :{}",
                        pair.len()
                    )));
                };
                entries.push((
                    self.value(&schemas.0, &types.0, key)?,
                    self.value(&schemas.1, &types.1, value)?,
                ));
            }
        }
        Ok(Value::Map(entries.into()))
    }
}

/// A value without a schema: integers are INT64, other numbers FLOAT64, objects maps.
pub(crate) fn schemaless(node: &Node<'_>) -> Result<Value> {
    Ok(match node {
        Node::Null => Value::Null,
        Node::Bool(value) => Value::Bool(*value),
        Node::Number(text) if text.contains(['.', 'e', 'E']) => Value::Float64(float(text)?),
        Node::Number(text) => Value::Int64(
            text.parse()
                .map_err(|_| Error::data(format!("{text} is out of the range of INT64")))?,
        ),
        Node::String(text) => Value::Text(Text::from(&**text)),
        Node::Array(nodes) => {
            let values = nodes.iter().map(schemaless).collect::<Result<Vec<_>>>()?;
            Value::Array(Arc::new(Array::new(values)))
        }
        Node::Object(members) => Value::Map(
            members
                .iter()
                .map(|(name, node)| Ok((Value::text(&**name), schemaless(node)?)))
                .collect::<Result<_>>()?,
        ),
    })
}

/// Connect's own logical types, of which JsonConverter checks the JSON type.
fn connect_logical(schema: &ConnectSchema) -> Option<&'static str> {
    match schema.name() {
        Some(names::CONNECT_DATE) => Some("Date"),
        Some(names::CONNECT_TIME) => Some("Time"),
        Some(names::CONNECT_TIMESTAMP) => Some("Timestamp"),
        _ => None,
    }
}

fn not_integral(what: &str, wanted: &str, node: &Node<'_>) -> Error {
    Error::data(format!(
        "Invalid type for {what}, underlying representation should be {wanted} but was {}",
        node.type_name()
    ))
}

fn invalid(schema: &ConnectSchema, node: &Node<'_>) -> Error {
    Error::data(format!("Invalid type for {}: {}", schema.connect_type.name(), node.type_name()))
}

/// A whole number that fits; `5.0` and `5e0` are whole.
fn integer<T: TryFrom<i64>>(schema: &ConnectSchema, text: &str) -> Result<T> {
    let whole = match text.parse::<i64>() {
        Ok(whole) => Some(whole),
        Err(_) => text
            .parse::<Decimal>()
            .ok()
            .and_then(|decimal| decimal.rescale(0))
            .and_then(|decimal| decimal.unscaled())
            .and_then(|unscaled| i64::try_from(unscaled).ok()),
    };
    whole.and_then(|whole| T::try_from(whole).ok()).ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        Error::data(format!("{shown} is no value of {}", schema.connect_type.name()))
    })
}

fn float<T: std::str::FromStr>(text: &str) -> Result<T> {
    text.parse().map_err(|_| Error::data(format!("{text} is no number")))
}

fn special(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

/// Connect's `Decimal`: a number, or base64 of the unscaled value, whatever `decimal.format` says.
fn decimal(scale: i32, node: &Node<'_>) -> Result<Value> {
    match node {
        Node::Number(text) => {
            let decimal: Decimal = text.parse().map_err(|error| {
                Error::data("Invalid number for Decimal field").with_source(error)
            })?;
            decimal.rescale(scale).map(Value::Decimal).ok_or_else(|| {
                Error::data(format!("{text} does not fit a Decimal of scale {scale}"))
            })
        }
        Node::String(text) => match base64::decode(text) {
            Some(bytes) => Ok(Value::Decimal(Decimal::from_unscaled_be_bytes(&bytes, scale))),
            None => Err(Error::data("Invalid bytes for Decimal field")),
        },
        node => Err(Error::data(format!(
            "Invalid type for Decimal, underlying representation should be numeric or bytes but was {}",
            node.type_name()
        ))),
    }
}

fn variable_scale(node: &Node<'_>) -> Result<Value> {
    let malformed = || Error::data("Invalid value for VariableScaleDecimal field");
    let (Some(Node::Number(scale)), Some(Node::String(value))) =
        (node.get("scale"), node.get("value"))
    else {
        return Err(malformed());
    };
    let scale = scale.parse().ok().filter(|scale| is_sane_scale(*scale)).ok_or_else(malformed)?;
    let bytes = base64::decode(value).ok_or_else(malformed)?;
    Ok(Value::Decimal(Decimal::from_unscaled_be_bytes(&bytes, scale)))
}
