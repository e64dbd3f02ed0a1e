//! The library's types as Connect schemas, by the handling modes of a profile.
//!
//! The rules are those of Debezium's PostgreSQL connector (data types in its documentation); what a type from outside
//! becomes stands in `outside`.

use std::sync::Arc;

use crate::data_type::{ConnectAttributes, DataType, ValueType};
use crate::schema::{Field, Schema, TableId};
use crate::value::TimeUnit;

use super::column_default::column_default;
use super::outside;
use super::profile::{
    BinaryHandling, DecimalHandling, HstoreHandling, IntervalHandling, Modes, TimePrecision,
};
use super::schema::{ConnectField, ConnectSchema, ConnectType, Form};
use super::semantic_names as names;
use super::source_type;

/// The schema of a type; `None` where Debezium leaves columns of the type out.
pub(crate) fn connect_schema(value_type: &ValueType, modes: &Modes) -> Option<ConnectSchema> {
    let mut schema = match &value_type.connect {
        Some(attributes) => from_outside(value_type, attributes, modes)?,
        None => {
            let mut schema = of_type(&value_type.data_type, modes)?;
            schema.optional = value_type.optional;
            schema.default = if keeps_default(&schema) { value_type.default.clone() } else { None };
            return Some(schema);
        }
    };
    schema.optional = value_type.optional;
    schema.default = value_type.default.clone();
    Some(schema)
}

/// A type that came with its attributes keeps them.
fn from_outside(
    value_type: &ValueType,
    attributes: &Arc<ConnectAttributes>,
    modes: &Modes,
) -> Option<ConnectSchema> {
    let mut schema = match &value_type.data_type {
        DataType::Array(element) => {
            let element = connect_schema(element, modes)?;
            ConnectSchema::new(ConnectType::Array(Arc::new(element)), Form::Plain)
        }
        DataType::Map(entry) => {
            let entry = (connect_schema(&entry.0, modes)?, connect_schema(&entry.1, modes)?);
            ConnectSchema::new(ConnectType::Map(Arc::new(entry)), Form::Plain)
        }
        DataType::Struct(fields) => {
            ConnectSchema::new(ConnectType::Struct(connect_fields(fields, modes)), Form::Plain)
        }
        data_type => match outside::connect_schema(value_type, attributes) {
            Some((connect_type, form)) => ConnectSchema::new(connect_type, form),
            // A type of the library that a transform gave a name or documentation.
            None => {
                let mut schema = of_type(data_type, modes)?;
                let mut merged = ConnectAttributes::clone(&schema.attributes);
                if attributes.name.is_some() {
                    merged.name = attributes.name.clone();
                    merged.version = attributes.version;
                }
                merged.doc = attributes.doc.clone().or(merged.doc);
                merged.parameters.extend(attributes.parameters.iter().cloned());
                schema.attributes = Arc::new(merged);
                return Some(schema);
            }
        },
    };
    schema.attributes = Arc::clone(attributes);
    Some(schema)
}

/// Debezium carries no defaults of bytes and of nested types.
fn keeps_default(schema: &ConnectSchema) -> bool {
    !matches!(
        schema.form,
        Form::BytesText(_)
            | Form::UnknownText(_)
            | Form::HstoreMap
            | Form::HstoreJson
            | Form::Point
    ) && !matches!(
        (&schema.connect_type, &schema.form),
        (ConnectType::Bytes, Form::Plain) | (ConnectType::Array(_) | ConnectType::Map(_), _)
    )
}

/// The fields of a table, a key or a struct.
pub(crate) fn connect_fields(schema: &Schema, modes: &Modes) -> Arc<[ConnectField]> {
    let table = schema.table();
    schema
        .fields()
        .iter()
        .enumerate()
        .filter(|(_, field)| !(field.key_only && table.is_some() && !schema.is_of_key()))
        .filter_map(|(index, field)| connect_field(field, index, table, modes))
        .collect()
}

fn connect_field(
    field: &Field,
    index: usize,
    table: Option<&TableId>,
    modes: &Modes,
) -> Option<ConnectField> {
    let mut schema = connect_schema(&field.value_type, modes)?;
    // A column that the source gave parameters (how it is masked) is a column like any other.
    let is_column = |attributes: &ConnectAttributes| {
        table.is_some() && attributes.name.is_none() && attributes.doc.is_none()
    };
    if field.value_type.connect.as_deref().is_some_and(|attributes| !is_column(attributes)) {
        return Some(ConnectField::new(Arc::clone(&field.name), schema, index));
    }
    if table.is_some() && keeps_default(&schema) {
        schema.default = column_default(field);
    }
    let comment = field.comment.as_ref().filter(|_| modes.include_comments);
    let source = source_type::parameters(field, table, modes);
    if comment.is_some() || !source.is_empty() {
        let mut attributes = ConnectAttributes::clone(&schema.attributes);
        attributes.doc = comment.cloned().or(attributes.doc);
        attributes.parameters.extend(source);
        schema.attributes = Arc::new(attributes);
    }
    let name = match table {
        Some(_) => modes.field_names.adjust_field(&field.name),
        None => (&*field.name).into(),
    };
    let name = if *name == *field.name { Arc::clone(&field.name) } else { name.into() };
    Some(ConnectField::new(name, schema, index))
}

fn of_type(data_type: &DataType, modes: &Modes) -> Option<ConnectSchema> {
    use ConnectType as T;
    let plain = |connect_type| ConnectSchema::new(connect_type, Form::Plain);
    let wide = |connect_type| ConnectSchema::new(connect_type, Form::Widened);
    let text = |name: &str| ConnectSchema::named(T::String, Form::Plain, name);
    Some(match data_type {
        DataType::Bool => plain(T::Boolean),
        DataType::Int8 => plain(T::Int8),
        DataType::Int16 => plain(T::Int16),
        DataType::Int32 => plain(T::Int32),
        DataType::Int64 => plain(T::Int64),
        DataType::UInt8 => wide(T::Int16),
        DataType::UInt16 => wide(T::Int32),
        DataType::UInt32 | DataType::UInt64 => wide(T::Int64),
        DataType::Float32 => plain(T::Float32),
        DataType::Float64 => plain(T::Float64),
        DataType::Decimal { precision, scale } => decimal(*precision, *scale, modes),
        DataType::Text { .. } | DataType::Network(_) => plain(T::String),
        DataType::Json => text(names::JSON),
        DataType::Xml => text(names::XML),
        DataType::Enum { labels } => {
            let labels: Vec<&str> = labels.iter().map(|label| &**label).collect();
            with_parameter(text(names::ENUM), "allowed", &labels.join(","))
        }
        DataType::Uuid => ConnectSchema::named(T::String, Form::Uuid, names::UUID),
        DataType::Bytes { .. } => match modes.binary {
            BinaryHandling::Bytes => plain(T::Bytes),
            mode => ConnectSchema::new(T::String, Form::BytesText(mode)),
        },
        DataType::Bits { length: Some(1), .. } => ConnectSchema::new(T::Boolean, Form::Bit),
        DataType::Bits { length, .. } => {
            let shown = length.unwrap_or(i32::MAX.unsigned_abs());
            let schema =
                ConnectSchema::named(T::Bytes, Form::Bits { length: *length }, names::BITS);
            with_parameter(schema, "length", &shown.to_string())
        }
        DataType::Date => match modes.time {
            TimePrecision::Connect => {
                ConnectSchema::named(T::Int32, Form::Days, names::CONNECT_DATE)
            }
            TimePrecision::IsoString => {
                ConnectSchema::named(T::String, Form::IsoDate, names::ISO_DATE)
            }
            _ => ConnectSchema::named(T::Int32, Form::Days, names::DATE),
        },
        DataType::Time { precision } => time(*precision, modes.time),
        DataType::TimeTz { .. } => {
            ConnectSchema::named(T::String, Form::ZonedTime, names::ZONED_TIME)
        }
        DataType::Timestamp { precision } => timestamp(*precision, modes.time),
        DataType::TimestampTz { precision } => ConnectSchema::named(
            T::String,
            Form::ZonedTimestamp { digits: Some(*precision) },
            names::ZONED_TIMESTAMP,
        ),
        DataType::Interval => match modes.interval {
            IntervalHandling::Numeric => {
                ConnectSchema::named(T::Int64, Form::MicroDuration, names::MICRO_DURATION)
            }
            IntervalHandling::String => {
                ConnectSchema::named(T::String, Form::IsoInterval, names::INTERVAL)
            }
        },
        DataType::Array(element) => {
            let mut item = connect_schema(element, modes)?;
            if element.connect.is_none() {
                // Debezium's elements may be NULL, but those of enums: an array that has one cannot be converted.
                item.optional = !matches!(element.data_type, DataType::Enum { .. });
            }
            plain(T::Array(Arc::new(item)))
        }
        DataType::Map(entry) => {
            let entry = (connect_schema(&entry.0, modes)?, connect_schema(&entry.1, modes)?);
            plain(T::Map(Arc::new(entry)))
        }
        DataType::Struct(schema) => {
            let struct_schema = plain(T::Struct(connect_fields(schema, modes)));
            match schema.connect() {
                Some(attributes) => {
                    struct_schema.with_attributes(ConnectAttributes::clone(attributes))
                }
                None => struct_schema,
            }
        }
        DataType::Other { name } => return of_source_type(name, modes),
    })
}

/// Types of PostgreSQL whose values are kept as the server's text.
fn of_source_type(name: &str, modes: &Modes) -> Option<ConnectSchema> {
    use ConnectType as T;
    let plain = ConnectSchema::new(T::String, Form::Plain);
    Some(match name.rsplit('.').next().unwrap_or(name) {
        "int4range" | "int8range" | "numrange" | "tsrange" | "tstzrange" | "daterange"
        | "citext" | "isbn" | "isbn13" | "issn" | "issn13" | "ismn" | "ismn13" | "ean13"
        | "upc" => plain,
        "ltree" => ConnectSchema::named(T::String, Form::Plain, names::LTREE),
        "tsvector" => ConnectSchema::named(T::String, Form::Plain, names::TSVECTOR),
        "hstore" => match modes.hstore {
            HstoreHandling::Json => ConnectSchema::named(T::String, Form::HstoreJson, names::JSON),
            HstoreHandling::Map => {
                let value = ConnectSchema::new(T::String, Form::Plain).optional_if(true);
                ConnectSchema::new(T::Map(Arc::new((plain, value))), Form::HstoreMap)
            }
        },
        "money" => {
            let mut schema = decimal(None, Some(modes.money_digits), modes);
            schema.form = Form::Money(Box::new(schema.form));
            schema
        }
        "point" => point(),
        _ if !modes.include_unknown => return None,
        _ => match modes.binary {
            BinaryHandling::Bytes => {
                ConnectSchema::new(T::Bytes, Form::UnknownText(BinaryHandling::Bytes))
            }
            mode => ConnectSchema::new(T::String, Form::UnknownText(mode)),
        },
    })
}

fn point() -> ConnectSchema {
    let field = |name: &str, connect_type, optional, index| {
        let schema = ConnectSchema::new(connect_type, Form::Plain).optional_if(optional);
        ConnectField::new(name, schema, index)
    };
    let fields = [
        field("x", ConnectType::Float64, false, 0),
        field("y", ConnectType::Float64, false, 1),
        field("wkb", ConnectType::Bytes, true, 2),
        field("srid", ConnectType::Int32, true, 3),
    ];
    ConnectSchema::new(ConnectType::Struct(fields.into()), Form::Point).with_attributes(
        ConnectAttributes {
            name: Some(names::POINT.into()),
            version: Some(1),
            doc: Some("Geometry (POINT)".into()),
            parameters: Vec::new(),
        },
    )
}

fn with_parameter(mut schema: ConnectSchema, name: &str, value: &str) -> ConnectSchema {
    let mut attributes = ConnectAttributes::clone(&schema.attributes);
    attributes.parameters.push((name.into(), value.into()));
    schema.attributes = Arc::new(attributes);
    schema
}

fn decimal(precision: Option<u32>, scale: Option<i32>, modes: &Modes) -> ConnectSchema {
    match (modes.decimal, scale) {
        (DecimalHandling::Double, _) => {
            ConnectSchema::new(ConnectType::Float64, Form::DecimalDouble)
        }
        (DecimalHandling::String, _) => ConnectSchema::new(ConnectType::String, Form::DecimalText),
        (DecimalHandling::Precise, Some(scale)) => {
            let schema =
                ConnectSchema::named(ConnectType::Bytes, Form::Decimal { scale }, names::DECIMAL);
            let schema = with_parameter(schema, "scale", &scale.to_string());
            match precision {
                Some(digits) => with_parameter(schema, names::PRECISION, &digits.to_string()),
                None => schema,
            }
        }
        (DecimalHandling::Precise, None) => ConnectSchema::new(
            outside::variable_scale_decimal(),
            Form::VariableScale { stripped: true },
        )
        .with_attributes(ConnectAttributes {
            name: Some(names::VARIABLE_SCALE_DECIMAL.into()),
            version: Some(1),
            doc: Some("Variable scaled decimal".into()),
            parameters: Vec::new(),
        }),
    }
}

/// Up to milliseconds the adaptive modes take milliseconds.
const MILLIS: u8 = 3;

fn time(precision: u8, mode: TimePrecision) -> ConnectSchema {
    use ConnectType as T;
    match mode {
        TimePrecision::Adaptive if precision <= MILLIS => {
            ConnectSchema::named(T::Int32, Form::Time(TimeUnit::Milli), names::TIME)
        }
        TimePrecision::Connect => {
            ConnectSchema::named(T::Int32, Form::Time(TimeUnit::Milli), names::CONNECT_TIME)
        }
        TimePrecision::IsoString => ConnectSchema::named(T::String, Form::IsoTime, names::ISO_TIME),
        TimePrecision::Nanoseconds => {
            ConnectSchema::named(T::Int64, Form::Time(TimeUnit::Nano), names::NANO_TIME)
        }
        _ => ConnectSchema::named(T::Int64, Form::Time(TimeUnit::Micro), names::MICRO_TIME),
    }
}

fn timestamp(precision: u8, mode: TimePrecision) -> ConnectSchema {
    use ConnectType as T;
    let count = |unit, name| ConnectSchema::named(T::Int64, Form::Timestamp(unit), name);
    match mode {
        TimePrecision::Adaptive | TimePrecision::AdaptiveTimeMicroseconds
            if precision <= MILLIS =>
        {
            count(TimeUnit::Milli, names::TIMESTAMP)
        }
        TimePrecision::Connect => count(TimeUnit::Milli, names::CONNECT_TIMESTAMP),
        TimePrecision::IsoString => {
            ConnectSchema::named(T::String, Form::IsoTimestamp, names::ISO_TIMESTAMP)
        }
        TimePrecision::Nanoseconds => count(TimeUnit::Nano, names::NANO_TIMESTAMP),
        _ => count(TimeUnit::Micro, names::MICRO_TIMESTAMP),
    }
}
