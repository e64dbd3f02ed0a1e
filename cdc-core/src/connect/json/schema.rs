//! Connect schemas as JSON: the block that stands in front of a payload, and the way back.

use std::sync::Arc;

use crate::connect::native;
use crate::connect::outside::{self, Primitive};
use crate::connect::profile::Modes;
use crate::connect::schema::{ConnectSchema, ConnectType};
use crate::data_type::{ConnectAttributes, DataType, ValueType};
use crate::error::{Error, Result};
use crate::schema::{Field, Schema};

use super::decode::Reader;
use super::encode::Writer;
use super::parser::Node;
use super::text::write_string;
use crate::connect::java_numbers::write_i64;

/// Appends the schema; `field` is the name of the field that has it.
pub(crate) fn write_schema(
    schema: &ConnectSchema,
    field: Option<&str>,
    writer: &Writer<'_>,
    out: &mut Vec<u8>,
) -> Result<()> {
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(type_name(&schema.connect_type).as_bytes());
    out.push(b'"');
    match &schema.connect_type {
        ConnectType::Struct(fields) => {
            out.extend_from_slice(b",\"fields\":[");
            for (index, field) in fields.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_schema(&field.schema, Some(&field.name), writer, out)?;
            }
            out.push(b']');
        }
        ConnectType::Array(items) => {
            out.extend_from_slice(b",\"items\":");
            write_schema(items, None, writer, out)?;
        }
        ConnectType::Map(entry) => {
            out.extend_from_slice(b",\"keys\":");
            write_schema(&entry.0, None, writer, out)?;
            out.extend_from_slice(b",\"values\":");
            write_schema(&entry.1, None, writer, out)?;
        }
        _ => {}
    }
    out.extend_from_slice(if schema.optional {
        b",\"optional\":true".as_slice()
    } else {
        b",\"optional\":false"
    });
    let attributes = &schema.attributes;
    if let Some(name) = &attributes.name {
        out.extend_from_slice(b",\"name\":");
        write_string(name, out);
    }
    if let Some(version) = attributes.version {
        out.extend_from_slice(b",\"version\":");
        write_i64(i64::from(version), out);
    }
    if let Some(doc) = &attributes.doc {
        out.extend_from_slice(b",\"doc\":");
        write_string(doc, out);
    }
    if !attributes.parameters.is_empty() {
        out.extend_from_slice(b",\"parameters\":{");
        for (index, (name, value)) in attributes.parameters.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write_string(name, out);
            out.push(b':');
            write_string(value, out);
        }
        out.push(b'}');
    }
    if let Some(default) = &schema.default {
        out.extend_from_slice(b",\"default\":");
        writer.value(schema, default.as_ref(), out)?;
    }
    if let Some(field) = field {
        out.extend_from_slice(b",\"field\":");
        write_string(field, out);
    }
    out.push(b'}');
    Ok(())
}

fn type_name(connect_type: &ConnectType) -> &'static str {
    match connect_type {
        ConnectType::Boolean => "boolean",
        ConnectType::Int8 => "int8",
        ConnectType::Int16 => "int16",
        ConnectType::Int32 => "int32",
        ConnectType::Int64 => "int64",
        ConnectType::Float32 => "float",
        ConnectType::Float64 => "double",
        ConnectType::String => "string",
        ConnectType::Bytes => "bytes",
        ConnectType::Array(_) => "array",
        ConnectType::Map(_) => "map",
        ConnectType::Struct(_) => "struct",
    }
}

/// The type that a schema in JSON describes.
pub(crate) fn read_schema(node: &Node<'_>, modes: &Modes) -> Result<ValueType> {
    let data = |text: &'static str| Err(Error::data(text));
    let Some(type_name) = node.get("type").and_then(Node::as_str) else {
        return data("Schema must contain 'type' field");
    };
    let child = |name: &str, missing: &'static str| match node.get(name) {
        Some(child) if !child.is_null() => read_schema(child, modes),
        _ => Err(Error::data(missing)),
    };
    enum Shape {
        Primitive(Primitive),
        Nested(DataType),
        Struct(Vec<Field>),
    }
    let shape = match type_name {
        "boolean" => Shape::Primitive(Primitive::Boolean),
        "int8" => Shape::Primitive(Primitive::Int8),
        "int16" => Shape::Primitive(Primitive::Int16),
        "int32" => Shape::Primitive(Primitive::Int32),
        "int64" => Shape::Primitive(Primitive::Int64),
        "float" => Shape::Primitive(Primitive::Float32),
        "double" => Shape::Primitive(Primitive::Float64),
        "string" => Shape::Primitive(Primitive::String),
        "bytes" => Shape::Primitive(Primitive::Bytes),
        "array" => {
            let items = child("items", "Array schema did not specify the element type")?;
            Shape::Nested(DataType::Array(Arc::new(items)))
        }
        "map" => {
            let keys = child("keys", "Map schema did not specify the key type")?;
            let values = child("values", "Map schema did not specify the value type")?;
            Shape::Nested(DataType::Map(Arc::new((keys, values))))
        }
        "struct" => {
            let Some(Node::Array(fields)) = node.get("fields") else {
                return data("Struct schema's \"fields\" argument is not an array.");
            };
            Shape::Struct(read_fields(fields, modes)?)
        }
        other => return Err(Error::data(format!("Unknown schema type: {other}"))),
    };
    let optional = matches!(node.get("optional"), Some(Node::Bool(true)));
    let attributes = read_attributes(node)?;
    let shared = outside::attributes_or_none(attributes);
    let data_type = match shape {
        Shape::Primitive(primitive) => outside::data_type(primitive, &shared),
        Shape::Nested(data_type) => data_type,
        Shape::Struct(fields) => {
            let schema = Schema::builder()
                .fields(fields)
                .optional(optional)
                .connect(ConnectAttributes::clone(&shared))
                .build()?;
            if outside::is_variable_scale_decimal(&shared, &schema) {
                DataType::DECIMAL
            } else {
                DataType::Struct(schema)
            }
        }
    };
    let mut value_type = ValueType { data_type, optional, default: None, connect: Some(shared) };
    if let Some(default) = node.get("default").filter(|default| !default.is_null() || !optional) {
        value_type.default = Some(read_default(&value_type, default, modes)?);
    }
    Ok(value_type)
}

fn read_default(
    value_type: &ValueType,
    node: &Node<'_>,
    modes: &Modes,
) -> Result<crate::value::Value> {
    let schema = native::connect_schema(value_type, modes)
        .ok_or_else(|| Error::data("Invalid default value"))?;
    Reader { replace_null: true }.value(&schema, value_type, node)
}

fn read_fields(nodes: &[Node<'_>], modes: &Modes) -> Result<Vec<Field>> {
    let mut fields: Vec<Field> = Vec::with_capacity(nodes.len());
    let mut names = std::collections::HashSet::with_capacity(nodes.len());
    for node in nodes {
        let Some(name) = node.get("field").and_then(Node::as_str) else {
            return Err(Error::data("Struct schema's field name not specified properly"));
        };
        let value_type = read_schema(node, modes)?;
        if !names.insert(name) {
            return Err(Error::data(format!(
                "Cannot create field because of field name duplication {name}"
            )));
        }
        fields.push(Field::new(name, value_type));
    }
    Ok(fields)
}

fn read_attributes(node: &Node<'_>) -> Result<ConnectAttributes> {
    let text = |name: &str| node.get(name).and_then(Node::as_str).map(Arc::from);
    let version = match node.get("version") {
        Some(Node::Number(text)) => text.parse::<i32>().ok(),
        _ => None,
    };
    let mut parameters = Vec::new();
    if let Some(Node::Object(members)) = node.get("parameters") {
        for (name, value) in members {
            let Some(value) = value.as_str() else {
                return Err(Error::data("Schema parameters must have string values."));
            };
            parameters.push((Arc::from(&**name), Arc::from(value)));
        }
    }
    Ok(ConnectAttributes { name: text("name"), version, doc: text("doc"), parameters })
}
