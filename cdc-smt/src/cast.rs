//! `Cast`: values as other primitive types.

use std::sync::Arc;

use cdc_core::connect::{ConnectProfile, ConnectSchema, ConnectType, JavaValue};
use cdc_core::{
    ChangeEvent, DataType, Error, Properties, Result, Schema, Value, ValueRef, ValueType,
};

use crate::Side;
use crate::content::{Content, java_class, type_name};
use crate::derive::plain;
use crate::field_edits::{FieldEdits, edit_map};
use crate::field_path::{self, FieldPath, FieldSyntax};
use crate::field_types::FieldTypes;
use crate::java_numbers::{parse_f32, parse_f64, to_f32, to_f64, to_i32, to_i64};
use crate::one_side::{OneSide, Place, one_side};
use crate::options;
use crate::schema_cache::SchemaCache;

/// A type that values can be cast to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CastType {
    /// `int8`.
    Int8,
    /// `int16`.
    Int16,
    /// `int32`.
    Int32,
    /// `int64`.
    Int64,
    /// `float32`.
    Float32,
    /// `float64`.
    Float64,
    /// `boolean`.
    Boolean,
    /// `string`.
    String,
}

/// Casts fields, or the whole, to primitive types (`org.apache.kafka.connect.transforms.Cast`).
///
/// | option | default | |
/// |---|---|---|
/// | `spec` | required | a list of `field:type`, or one type for the whole: `int8`, `int16`, `int32`, `int64`, `float32`, `float64`, `boolean`, `string` |
/// | `field.syntax.version` | `V1` | see [`FieldSyntax`]; only here |
/// | `field.types` | | pairs `type:target` that cast all fields of a type, nested ones too, beside `spec` or instead: `INT64:string`; only here |
/// | `replace.null.with.default` | `true` | whether a null becomes the field's default |
///
/// Numbers narrow as in Java: integers lose their high bits, floats stop at the ends of the range. A default is cast
/// too, the meaning that a type had (a date, a decimal) is lost.
///
/// ```
/// use cdc_core::{ChangeEvent, Destination, Payload, Transform, ValueRef};
/// use cdc_smt::{Cast, CastType, FieldSyntax, Side};
///
/// # use cdc_core::testkit::{shop, some_origin};
/// let mut cast = Cast::new(Side::Value).field("id", CastType::String, FieldSyntax::V1)?;
/// # let event = ChangeEvent::new(Destination::named("t"), Payload::Absent, Payload::row(shop::order(7, "pen")), some_origin());
/// let mut out = Vec::new();
/// cast.apply(event, &mut out)?;
/// assert_eq!(out[0].value.as_row().unwrap().by_name("id"), Some(ValueRef::Text("7")));
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Cast {
    place: Place,
    whole: Option<CastType>,
    fields: Vec<FieldPath>,
    types: Vec<CastType>,
    by_type: Vec<(FieldTypes, CastType)>,
    schemas: SchemaCache<Arc<FieldEdits<Leaf>>>,
}

#[derive(Debug)]
struct Leaf {
    schema: Option<ConnectSchema>,
    target: CastType,
}

one_side!(Cast, "Cast", replacing_nulls);

const TARGETS: [(CastType, &str); 8] = [
    (CastType::Int8, "INT8"),
    (CastType::Int16, "INT16"),
    (CastType::Int32, "INT32"),
    (CastType::Int64, "INT64"),
    (CastType::Float32, "FLOAT32"),
    (CastType::Float64, "FLOAT64"),
    (CastType::Boolean, "BOOLEAN"),
    (CastType::String, "STRING"),
];

impl CastType {
    fn parse(word: &str) -> Result<Self> {
        let word = word.trim().to_uppercase();
        if let Some((target, _)) = TARGETS.iter().find(|(_, name)| *name == word) {
            return Ok(*target);
        }
        if ["BYTES", "ARRAY", "MAP", "STRUCT"].contains(&word.as_str()) {
            return Err(Error::configuration(format!(
                "Cast transformation does not support casting to {word}; supported types are [{}]",
                target_names()
            )));
        }
        Err(options::invalid(
            "Invalid type found in casting spec",
            &format!(
                "java.lang.IllegalArgumentException: No enum constant org.apache.kafka.connect.data.Schema.Type.{word}"
            ),
            &word.to_lowercase(),
        ))
    }

    fn data_type(self) -> DataType {
        match self {
            CastType::Int8 => DataType::Int8,
            CastType::Int16 => DataType::Int16,
            CastType::Int32 => DataType::Int32,
            CastType::Int64 => DataType::Int64,
            CastType::Float32 => DataType::Float32,
            CastType::Float64 => DataType::Float64,
            CastType::Boolean => DataType::Bool,
            CastType::String => DataType::TEXT,
        }
    }
}

fn target_names() -> String {
    TARGETS.map(|(_, name)| name).join(", ")
}

fn unsupported(from: &str) -> Error {
    Error::data(format!(
        "Cast transformation does not support casting from {from}; supported types are [{}, BYTES]",
        target_names()
    ))
}

impl Cast {
    /// A transform of keys or values that casts nothing yet.
    pub fn new(side: Side) -> Self {
        Cast {
            place: Place::new(side),
            whole: None,
            fields: Vec::new(),
            types: Vec::new(),
            by_type: Vec::new(),
            schemas: SchemaCache::default(),
        }
    }

    /// Casts a field.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) when back-quotes do not close.
    pub fn field(mut self, field: &str, target: CastType, syntax: FieldSyntax) -> Result<Self> {
        self.fields.push(FieldPath::new(field, syntax)?);
        self.types.push(target);
        Ok(self)
    }

    /// Casts all fields of a type that are not named, nested ones among them, by its name in Kafka Connect's schemas:
    /// `INT64`, `MicroTimestamp`.
    #[must_use]
    pub fn all_of_type(mut self, name: &str, target: CastType) -> Self {
        self.by_type.push((FieldTypes::of([name]), target));
        self
    }

    /// Casts the whole key or value.
    #[must_use]
    pub fn whole(mut self, target: CastType) -> Self {
        self.whole = Some(target);
        self
    }

    pub(crate) fn from_properties(
        side: Side,
        properties: &Properties,
        profile: &ConnectProfile,
    ) -> Result<Self> {
        let by_type = properties.list("field.types");
        let spec = match by_type.is_empty() {
            true => options::required_list(properties, "spec")?,
            false => properties.list("spec"),
        };
        let syntax = FieldSyntax::from_properties(properties)?;
        if spec.is_empty() && by_type.is_empty() {
            return Err(Error::configuration("Must specify at least one field to cast."));
        }
        let mut cast = Self::new(side)
            .profile(profile)
            .replace_null_with_default(properties.bool("replace.null.with.default", true)?);
        for item in &spec {
            let trimmed = item.trim_end_matches(':');
            if trimmed.is_empty() {
                return Err(options::invalid("spec", item, "a field or a type is missing"));
            }
            if !trimmed.contains(':') {
                cast.whole = Some(CastType::parse(trimmed)?);
                continue;
            }
            let (field, target) = field_path::pair("renames", &spec, trimmed)?;
            cast = cast.field(field.trim(), CastType::parse(target)?, syntax)?;
        }
        for item in &by_type {
            let (name, target) = field_path::pair("field.types", &by_type, item)?;
            cast = cast.all_of_type(name.trim(), CastType::parse(target)?);
        }
        if cast.whole.is_some() && spec.len() + by_type.len() > 1 {
            return Err(Error::configuration(
                "Cast transformations that specify a type to cast the entire value to may only \
                 specify a single cast in their spec",
            ));
        }
        Ok(cast)
    }

    fn edits(&mut self, schema: &Arc<Schema>) -> Result<Arc<FieldEdits<Leaf>>> {
        let (fields, types, profile) = (&self.fields, &self.types, &self.place.profile);
        let by_type = &self.by_type;
        self.schemas.get(schema.id(), || {
            // The last path of a field counts, so those by name come last.
            let (mut paths, mut targets) = (Vec::new(), Vec::new());
            for (names, target) in by_type {
                paths.extend(names.paths(schema, profile));
                targets.resize(paths.len(), *target);
            }
            paths.extend_from_slice(fields);
            targets.extend_from_slice(types);
            let edits = FieldEdits::plan(schema, &paths, &mut |field, number| {
                let target = targets.get(number).copied().unwrap_or(CastType::String);
                let (value_type, leaf) = leaf(&field.value_type, target, profile)?;
                Ok((value_type, leaf))
            })?;
            edits.required().map(Arc::new)
        })
    }

    fn schemaless(&self, target: CastType, value: &Value) -> Result<Value> {
        match value {
            Value::Null => Ok(Value::Null),
            Value::Array(_) => Err(unsupported("ARRAY")),
            Value::Map(_) => Err(unsupported("MAP")),
            Value::Decimal(_) | Value::Timestamp(_) | Value::Date(_) | Value::Time(_) => {
                Err(Error::data(format!(
                    "Cast transformation was passed a value of type class {} which is not supported by Connect's data API",
                    java_class(None, value, &self.place.profile)
                )))
            }
            value => cast_lowered(target, None, value),
        }
    }
}

/// What a type becomes, with its default.
fn leaf(
    value_type: &ValueType,
    target: CastType,
    profile: &ConnectProfile,
) -> Result<(ValueType, Leaf)> {
    let schema = profile.connect_schema(value_type);
    let nested = schema.as_ref().is_none_or(|schema| {
        matches!(
            schema.connect_type(),
            ConnectType::Array(_) | ConnectType::Map(_) | ConnectType::Struct(_)
        )
    });
    // A decimal of any scale is a struct in Debezium, and a decimal here.
    if nested && !matches!(value_type.data_type, DataType::Decimal { .. }) {
        return Err(unsupported(type_name(value_type, profile)));
    }
    let leaf = Leaf { schema, target };
    let mut cast = plain(target.data_type(), value_type.optional);
    if let Some(default) = &value_type.default {
        cast.default = Some(cast_typed(&leaf, default)?);
    }
    Ok((cast, leaf))
}

fn cast_typed(leaf: &Leaf, value: &Value) -> Result<Value> {
    match &leaf.schema {
        _ if value.is_null() => Ok(Value::Null),
        Some(schema) => {
            cast_lowered(leaf.target, Some((schema, value)), &schema.lower(&value.as_ref())?)
        }
        None => cast_lowered(leaf.target, None, value),
    }
}

/// Casts a value that has Connect's type; `typed` is what it was lowered from.
fn cast_lowered(
    target: CastType,
    typed: Option<(&ConnectSchema, &Value)>,
    value: &Value,
) -> Result<Value> {
    let out_of_range = |text: &str| {
        Error::data(format!("Value ({text}) was out of range for requested data type"))
    };
    if let Value::Bytes(_) = value
        && target != CastType::String
    {
        return Err(Error::data("Unexpected type in Cast transformation: class [B"));
    }
    let number: Value = match value {
        Value::Bool(yes) if target != CastType::String => Value::Int8(i8::from(*yes)),
        other => other.clone(),
    };
    if let (Value::Text(text), true) = (value, target != CastType::String) {
        let error = || out_of_range(text);
        return Ok(match target {
            CastType::Int8 => Value::Int8(text.parse().map_err(|_| error())?),
            CastType::Int16 => Value::Int16(text.parse().map_err(|_| error())?),
            CastType::Int32 => Value::Int32(text.parse().map_err(|_| error())?),
            CastType::Int64 => Value::Int64(text.parse().map_err(|_| error())?),
            CastType::Float32 => Value::Float32(parse_f32(text).ok_or_else(error)?),
            CastType::Float64 => Value::Float64(parse_f64(text).ok_or_else(error)?),
            _ => Value::Bool(text.eq_ignore_ascii_case("true")),
        });
    }
    let unexpected = || Error::data(format!("Unexpected type in Cast transformation: {value:?}"));
    Ok(match target {
        CastType::Int8 => Value::Int8(to_i32(&number).ok_or_else(unexpected)? as i8),
        CastType::Int16 => Value::Int16(to_i32(&number).ok_or_else(unexpected)? as i16),
        CastType::Int32 => Value::Int32(to_i32(&number).ok_or_else(unexpected)?),
        CastType::Int64 => Value::Int64(to_i64(&number).ok_or_else(unexpected)?),
        CastType::Float32 => Value::Float32(to_f32(&number).ok_or_else(unexpected)?),
        CastType::Float64 => Value::Float64(to_f64(&number).ok_or_else(unexpected)?),
        CastType::Boolean => Value::Bool(to_i64(&number).ok_or_else(unexpected)? != 0),
        CastType::String => {
            let object = match typed {
                Some((schema, original)) => match original {
                    // Debezium's struct for it is no text.
                    Value::Decimal(_) => JavaValue::of(None, &value.as_ref())?,
                    original => JavaValue::of(Some(schema), &original.as_ref())?,
                },
                None => JavaValue::of(None, &ValueRef::clone(&value.as_ref()))?,
            };
            Value::text(object.to_header_text())
        }
    })
}

impl OneSide for Cast {
    fn place(&self) -> &Place {
        &self.place
    }

    fn content(&mut self, content: Content, _event: &mut ChangeEvent) -> Result<Content> {
        if content.is_null() {
            return Ok(content);
        }
        if let Some(target) = self.whole {
            return match content {
                Content::Schemaless(value) => {
                    self.schemaless(target, &value).map(Content::schemaless)
                }
                Content::Typed(value_type, value) => {
                    let (mut cast, leaf) = leaf(&value_type, target, &self.place.profile)?;
                    // A name that means nothing of its own stays.
                    let plain_type = matches!(
                        value_type.data_type,
                        DataType::Bool
                            | DataType::Int8
                            | DataType::Int16
                            | DataType::Int32
                            | DataType::Int64
                            | DataType::Float32
                            | DataType::Float64
                            | DataType::Text { .. }
                            | DataType::Bytes { .. }
                    );
                    if let (true, Some(connect)) = (plain_type, &value_type.connect) {
                        cast.connect = Some(Arc::clone(connect));
                    }
                    let value = cast_typed(&leaf, &value)?;
                    Ok(Content::Typed(Arc::new(cast), value))
                }
                _ => Err(unsupported("STRUCT")),
            };
        }
        match content {
            Content::Schemaless(_) => {
                let entries = content.require_map("cast types", &self.place.profile)?;
                edit_map(&entries, &self.fields, &mut |number, value| {
                    let target = self.types.get(number).copied().unwrap_or(CastType::String);
                    self.schemaless(target, &value)
                })
                .map(Content::Schemaless)
            }
            Content::Struct(row) => {
                let edits = self.edits(row.schema())?;
                let row = edits.row(row, self.place.replace_null, &mut |leaf, row, index| {
                    cast_typed(leaf, &row.value(index).unwrap_or_default())
                })?;
                Ok(Content::Struct(row))
            }
            _ => Err(Error::data("Cannot list fields on non-struct type")),
        }
    }

    fn table(&mut self, schema: &Arc<Schema>) -> Result<Arc<Schema>> {
        Ok(Arc::clone(self.edits(schema)?.schema()))
    }
}
