//! Schemas and types as JSON without loss.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::value_json::{damaged, integer, item, list, value_from_json, value_to_json};
use crate::data_type::{ConnectAttributes, DataType, NetworkType, ValueType};
use crate::error::{Error, Result};
use crate::schema::{Field, NativeType, Schema, TableId};
use crate::value::Text;

/// The schemas of one letter: rows name theirs by its number.
#[derive(Debug, Default)]
pub(super) struct SchemaTable {
    /// Ids of schemas with their numbers; equal schemas share one.
    ids: Vec<(u64, usize)>,
    schemas: Vec<Json>,
}

impl SchemaTable {
    /// The number of a schema, which is added where it is new.
    pub(super) fn number(&mut self, schema: &Schema) -> Result<usize> {
        if let Some((_, number)) = self.ids.iter().find(|(id, _)| *id == schema.id()) {
            return Ok(*number);
        }
        let json = schema_to_json(schema)?;
        let number = match self.schemas.iter().position(|known| *known == json) {
            Some(number) => number,
            None => {
                self.schemas.push(json);
                self.schemas.len() - 1
            }
        };
        self.ids.push((schema.id(), number));
        Ok(number)
    }

    pub(super) fn into_json(self) -> Json {
        Json::Array(self.schemas)
    }
}

/// Schemas that were read, by their text: rows of one table share one, as those of a source do.
#[derive(Debug, Default)]
pub(super) struct SchemaCache(HashMap<String, Arc<Schema>>);

/// So many schemas are kept.
const KEPT: usize = 1_024;

impl SchemaCache {
    /// The schemas of one letter.
    pub(super) fn read(&mut self, json: &Json) -> Result<Vec<Arc<Schema>>> {
        list(json, "schemas")?.iter().map(|schema| self.schema(schema)).collect()
    }

    fn schema(&mut self, json: &Json) -> Result<Arc<Schema>> {
        let text = json.to_string();
        if let Some(schema) = self.0.get(&text) {
            return Ok(Arc::clone(schema));
        }
        let schema = schema_from_json(json)?;
        if self.0.len() >= KEPT {
            self.0.clear();
        }
        self.0.insert(text, Arc::clone(&schema));
        Ok(schema)
    }
}

fn schema_to_json(schema: &Schema) -> Result<Json> {
    let mut out = Map::new();
    if let Some(table) = schema.table() {
        out.insert("table".into(), table_to_json(table));
    }
    let fields: Vec<Json> = schema.fields().iter().map(field_to_json).collect::<Result<_>>()?;
    out.insert("fields".into(), fields.into());
    if schema.has_key() {
        out.insert("key".into(), schema.key().into());
    }
    if schema.is_optional() {
        out.insert("optional".into(), true.into());
    }
    if let Some(attributes) = schema.connect() {
        out.insert("connect".into(), connect_to_json(attributes));
    }
    put_text(&mut out, "logical_name", schema.logical_name());
    put_text(&mut out, "comment", schema.comment());
    Ok(Json::Object(out))
}

fn schema_from_json(json: &Json) -> Result<Arc<Schema>> {
    let fields = list(json.get("fields").unwrap_or(&Json::Null), "fields")?;
    let fields: Vec<Field> = fields.iter().map(field_from_json).collect::<Result<_>>()?;
    let mut builder = Schema::builder().optional(truth(json, "optional"));
    if let Some(table) = json.get("table") {
        builder = builder.table(table_from_json(table)?);
    }
    if let Some(key) = json.get("key") {
        let name = |index: &Json| {
            let field = fields.get(integer::<usize>(index, "key")?);
            field.map(|field| Arc::clone(&field.name)).ok_or_else(|| damaged("key"))
        };
        builder = builder.key(list(key, "key")?.iter().map(name).collect::<Result<Vec<_>>>()?);
    }
    if let Some(attributes) = json.get("connect") {
        builder = builder.connect(connect_from_json(attributes)?);
    }
    if let Some(name) = text(json, "logical_name") {
        builder = builder.logical_name(name);
    }
    if let Some(comment) = text(json, "comment") {
        builder = builder.comment(comment);
    }
    builder.fields(fields).build()
}

pub(super) fn table_to_json(table: &TableId) -> Json {
    json!([&*table.schema, &*table.table])
}

pub(super) fn table_from_json(json: &Json) -> Result<TableId> {
    let part = |index| item(json, index).as_str().ok_or_else(|| damaged("table"));
    Ok(TableId::new(part(0)?, part(1)?))
}

fn field_to_json(field: &Field) -> Result<Json> {
    let mut out = Map::new();
    out.insert("name".into(), (*field.name).into());
    put_type(&mut out, &field.value_type)?;
    if let Some(native) = &field.native {
        let NativeType { name, length, scale } = native;
        out.insert("native".into(), json!([&**name, length, scale]));
    }
    put_text(&mut out, "default_expression", field.default_expression.as_deref());
    put_text(&mut out, "comment", field.comment.as_deref());
    Ok(Json::Object(out))
}

fn field_from_json(json: &Json) -> Result<Field> {
    let name = text(json, "name").ok_or_else(|| damaged("name of a field"))?;
    let mut field = Field::new(name, type_from_json(json)?);
    if let Some(native) = json.get("native") {
        let number = |index| match item(native, index) {
            Json::Null => Ok(None),
            number => integer(number, "native type").map(Some),
        };
        field.native = Some(NativeType {
            name: item(native, 0).as_str().ok_or_else(|| damaged("native type"))?.into(),
            length: number(1)?,
            scale: number(2)?,
        });
    }
    field.default_expression = text(json, "default_expression").map(Into::into);
    field.comment = text(json, "comment").map(Into::into);
    Ok(field)
}

pub(super) fn type_to_json(value_type: &ValueType) -> Result<Json> {
    let mut out = Map::new();
    put_type(&mut out, value_type)?;
    Ok(Json::Object(out))
}

fn put_type(out: &mut Map<String, Json>, value_type: &ValueType) -> Result<()> {
    out.insert("type".into(), data_type_to_json(&value_type.data_type)?);
    if value_type.optional {
        out.insert("optional".into(), true.into());
    }
    if let Some(default) = &value_type.default {
        // A default may be a struct, which brings its schema.
        let mut schemas = SchemaTable::default();
        let value = value_to_json(default, &mut schemas)?;
        out.insert("default".into(), json!({"value": value, "schemas": schemas.into_json()}));
    }
    if let Some(attributes) = &value_type.connect {
        out.insert("connect".into(), connect_to_json(attributes));
    }
    Ok(())
}

pub(super) fn type_from_json(json: &Json) -> Result<ValueType> {
    let data_type = data_type_from_json(json.get("type").unwrap_or(&Json::Null))?;
    let default = |json: &Json| {
        let schemas = list(json.get("schemas").unwrap_or(&Json::Null), "schemas")?;
        let schemas: Vec<_> = schemas.iter().map(schema_from_json).collect::<Result<_>>()?;
        value_from_json(json.get("value").unwrap_or(&Json::Null), &schemas)
    };
    Ok(ValueType {
        data_type,
        optional: truth(json, "optional"),
        default: json.get("default").map(default).transpose()?,
        connect: json.get("connect").map(connect_from_json).transpose()?.map(Arc::new),
    })
}

fn data_type_to_json(data_type: &DataType) -> Result<Json> {
    Ok(match data_type {
        DataType::Bool => json!("bool"),
        DataType::Int8 => json!("int8"),
        DataType::Int16 => json!("int16"),
        DataType::Int32 => json!("int32"),
        DataType::Int64 => json!("int64"),
        DataType::UInt8 => json!("uint8"),
        DataType::UInt16 => json!("uint16"),
        DataType::UInt32 => json!("uint32"),
        DataType::UInt64 => json!("uint64"),
        DataType::Float32 => json!("float32"),
        DataType::Float64 => json!("float64"),
        DataType::Decimal { precision, scale } => json!({"decimal": [precision, scale]}),
        DataType::Text { max_length, fixed } => json!({"text": [max_length, fixed]}),
        DataType::Bytes { max_length } => json!({"bytes": [max_length]}),
        DataType::Bits { length, varying } => json!({"bits": [length, varying]}),
        DataType::Date => json!("date"),
        DataType::Time { precision } => json!({"time": [precision]}),
        DataType::TimeTz { precision } => json!({"timetz": [precision]}),
        DataType::Timestamp { precision } => json!({"timestamp": [precision]}),
        DataType::TimestampTz { precision } => json!({"timestamptz": [precision]}),
        DataType::Interval => json!("interval"),
        DataType::Uuid => json!("uuid"),
        DataType::Json => json!("json"),
        DataType::Xml => json!("xml"),
        DataType::Enum { labels } => {
            let labels: Vec<&str> = labels.iter().map(Text::as_str).collect();
            json!({"enum": labels})
        }
        DataType::Network(NetworkType::Inet) => json!("inet"),
        DataType::Network(NetworkType::Cidr) => json!("cidr"),
        DataType::Network(NetworkType::MacAddr) => json!("macaddr"),
        DataType::Network(NetworkType::MacAddr8) => json!("macaddr8"),
        DataType::Array(element) => json!({"array": [type_to_json(element)?]}),
        DataType::Map(entry) => json!({"map": [type_to_json(&entry.0)?, type_to_json(&entry.1)?]}),
        DataType::Struct(schema) => json!({"struct": [schema_to_json(schema)?]}),
        DataType::Other { name } => json!({"other": [&**name]}),
    })
}

fn data_type_from_json(json: &Json) -> Result<DataType> {
    if let Some(name) = json.as_str() {
        return simple_type(name).ok_or_else(|| unknown(name));
    }
    let (kind, parts) = json
        .as_object()
        .filter(|object| object.len() == 1)
        .and_then(|object| object.iter().next())
        .ok_or_else(|| damaged("type"))?;
    let part = |index| item(parts, index);
    let flag = |index| part(index).as_bool().ok_or_else(|| damaged(kind));
    let precision = || integer(part(0), kind);
    Ok(match kind.as_str() {
        "decimal" => DataType::Decimal {
            precision: optional(part(0), kind)?,
            scale: optional(part(1), kind)?,
        },
        "text" => DataType::Text { max_length: optional(part(0), kind)?, fixed: flag(1)? },
        "bytes" => DataType::Bytes { max_length: optional(part(0), kind)? },
        "bits" => DataType::Bits { length: optional(part(0), kind)?, varying: flag(1)? },
        "time" => DataType::Time { precision: precision()? },
        "timetz" => DataType::TimeTz { precision: precision()? },
        "timestamp" => DataType::Timestamp { precision: precision()? },
        "timestamptz" => DataType::TimestampTz { precision: precision()? },
        "enum" => {
            let label = |label: &Json| label.as_str().map(Text::from).ok_or_else(|| damaged(kind));
            DataType::Enum { labels: list(parts, kind)?.iter().map(label).collect::<Result<_>>()? }
        }
        "array" => DataType::Array(Arc::new(type_from_json(part(0))?)),
        "map" => DataType::Map(Arc::new((type_from_json(part(0))?, type_from_json(part(1))?))),
        "struct" => DataType::Struct(schema_from_json(part(0))?),
        "other" => DataType::Other { name: part(0).as_str().ok_or_else(|| damaged(kind))?.into() },
        _ => return Err(unknown(kind)),
    })
}

fn simple_type(name: &str) -> Option<DataType> {
    Some(match name {
        "bool" => DataType::Bool,
        "int8" => DataType::Int8,
        "int16" => DataType::Int16,
        "int32" => DataType::Int32,
        "int64" => DataType::Int64,
        "uint8" => DataType::UInt8,
        "uint16" => DataType::UInt16,
        "uint32" => DataType::UInt32,
        "uint64" => DataType::UInt64,
        "float32" => DataType::Float32,
        "float64" => DataType::Float64,
        "date" => DataType::Date,
        "interval" => DataType::Interval,
        "uuid" => DataType::Uuid,
        "json" => DataType::Json,
        "xml" => DataType::Xml,
        "inet" => DataType::Network(NetworkType::Inet),
        "cidr" => DataType::Network(NetworkType::Cidr),
        "macaddr" => DataType::Network(NetworkType::MacAddr),
        "macaddr8" => DataType::Network(NetworkType::MacAddr8),
        _ => return None,
    })
}

fn unknown(name: &str) -> Error {
    Error::data(format!("there is no type {name:?}"))
}

fn connect_to_json(attributes: &ConnectAttributes) -> Json {
    let parameters: Vec<Json> =
        attributes.parameters.iter().map(|(name, value)| json!([&**name, &**value])).collect();
    json!({
        "name": attributes.name.as_deref(),
        "version": attributes.version,
        "doc": attributes.doc.as_deref(),
        "parameters": parameters,
    })
}

fn connect_from_json(json: &Json) -> Result<ConnectAttributes> {
    let parameter = |entry: &Json| {
        let part = |index| item(entry, index).as_str().ok_or_else(|| damaged("parameters"));
        Ok((part(0)?.into(), part(1)?.into()))
    };
    let parameters = list(json.get("parameters").unwrap_or(&Json::Null), "parameters")?;
    Ok(ConnectAttributes {
        name: text(json, "name").map(Into::into),
        version: optional(json.get("version").unwrap_or(&Json::Null), "version")?,
        doc: text(json, "doc").map(Into::into),
        parameters: parameters.iter().map(parameter).collect::<Result<_>>()?,
    })
}

fn put_text(out: &mut Map<String, Json>, name: &str, text: Option<&str>) {
    if let Some(text) = text {
        out.insert(name.into(), text.into());
    }
}

fn text<'a>(json: &'a Json, name: &str) -> Option<&'a str> {
    json.get(name).and_then(Json::as_str)
}

fn truth(json: &Json, name: &str) -> bool {
    json.get(name).and_then(Json::as_bool).unwrap_or(false)
}

/// A number that may be missing.
pub(super) fn optional<N: TryFrom<i128>>(json: &Json, what: &str) -> Result<Option<N>> {
    if json.is_null() { Ok(None) } else { integer(json, what).map(Some) }
}
