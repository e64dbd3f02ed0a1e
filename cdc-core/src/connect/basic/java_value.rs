//! A value as the Java object that Connect would have, and its texts.

use crate::connect::java_numbers::{write_big_decimal, write_f32, write_f64, write_i64};
use crate::connect::profile::ConnectProfile;
use crate::connect::schema::{ConnectSchema, ConnectType};
use crate::connect::{base64, iso, native, semantic_names as names};
use crate::data_type::{DataType, ValueType};
use crate::error::{Error, Result};
use crate::event::Payload;
use crate::value::{Decimal, TimeUnit, Value, ValueRef};

const MILLIS_A_DAY: i64 = 86_400_000;

/// A value as the Java object that Kafka Connect has in its place.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum JavaValue {
    /// `null`.
    Null,
    /// `Boolean`.
    Bool(bool),
    /// `Byte`.
    Byte(i8),
    /// `Short`.
    Short(i16),
    /// `Integer`.
    Integer(i32),
    /// `Long`.
    Long(i64),
    /// `Float`.
    Float(f32),
    /// `Double`.
    Double(f64),
    /// `BigDecimal`.
    Decimal(Decimal),
    /// `String`.
    Text(String),
    /// `byte[]`.
    Bytes(Vec<u8>),
    /// `java.util.Date`: milliseconds since the epoch.
    Date(i64),
    /// A list.
    List(Vec<JavaValue>),
    /// A map.
    Map(Vec<(JavaValue, JavaValue)>),
    /// A `Struct`, by the names of its fields.
    Struct(Vec<(String, JavaValue)>),
}

/// The schema and the object of a payload.
pub(crate) fn of_payload(
    payload: &Payload,
    profile: &ConnectProfile,
) -> Result<(Option<ConnectSchema>, JavaValue)> {
    match payload {
        Payload::Absent => Ok((None, JavaValue::Null)),
        Payload::Value { schema: None, value: Value::Struct(row) } => {
            let value_type = ValueType {
                data_type: DataType::Struct(std::sync::Arc::clone(row.schema())),
                optional: row.schema().is_optional(),
                default: None,
                connect: row.schema().connect().cloned(),
            };
            let schema = compile(&value_type, profile)?;
            let value = of_value(Some(&schema), &ValueRef::Struct(row))?;
            Ok((Some(schema), value))
        }
        Payload::Value { schema: None, value } => Ok((None, of_value(None, &value.as_ref())?)),
        Payload::Value { schema: Some(value_type), value } => {
            let schema = compile(value_type, profile)?;
            let value = of_value(Some(&schema), &value.as_ref())?;
            Ok((Some(schema), value))
        }
        _ => Err(Error::data("a change is lowered to its envelope before it is converted")),
    }
}

fn compile(value_type: &ValueType, profile: &ConnectProfile) -> Result<ConnectSchema> {
    native::connect_schema(value_type, profile.modes()).ok_or_else(|| {
        Error::data(format!("{} has no schema in Kafka Connect", value_type.data_type))
    })
}

fn of_value(schema: Option<&ConnectSchema>, value: &ValueRef<'_>) -> Result<JavaValue> {
    if let Some(schema) = schema {
        let millis = match (schema.name(), schema.lower(value)?) {
            (Some(names::CONNECT_DATE), Value::Int32(days)) => Some(i64::from(days) * MILLIS_A_DAY),
            (Some(names::CONNECT_TIME), Value::Int32(millis)) => Some(i64::from(millis)),
            (Some(names::CONNECT_TIMESTAMP), Value::Int64(millis)) => Some(millis),
            (_, lowered) => return of_lowered(Some(schema), &lowered.as_ref()),
        };
        return Ok(millis.map_or(JavaValue::Null, JavaValue::Date));
    }
    of_lowered(None, value)
}

fn of_lowered(schema: Option<&ConnectSchema>, value: &ValueRef<'_>) -> Result<JavaValue> {
    let connect_type = schema.map(|schema| &schema.connect_type);
    Ok(match value {
        ValueRef::Null | ValueRef::Unavailable => JavaValue::Null,
        ValueRef::Bool(v) => JavaValue::Bool(*v),
        ValueRef::Int8(v) => JavaValue::Byte(*v),
        ValueRef::Int16(v) => JavaValue::Short(*v),
        ValueRef::Int32(v) => JavaValue::Integer(*v),
        ValueRef::Int64(v) => JavaValue::Long(*v),
        ValueRef::UInt8(v) => JavaValue::Short(i16::from(*v)),
        ValueRef::UInt16(v) => JavaValue::Integer(i32::from(*v)),
        ValueRef::UInt32(v) => JavaValue::Long(i64::from(*v)),
        ValueRef::UInt64(_) => JavaValue::Long(crate::connect::values::integer(value)?),
        ValueRef::Float32(v) => JavaValue::Float(*v),
        ValueRef::Float64(v) => JavaValue::Double(*v),
        ValueRef::Decimal(v) => JavaValue::Decimal(v.clone()),
        ValueRef::Text(v) => JavaValue::Text((*v).to_owned()),
        ValueRef::Bytes(v) => JavaValue::Bytes(v.to_vec()),
        ValueRef::Uuid(v) => JavaValue::Text(v.to_string()),
        ValueRef::Timestamp(v) => match v.to_unit(TimeUnit::Milli) {
            Some(millis) => JavaValue::Date(millis),
            None => return Err(unexpected(value)),
        },
        ValueRef::Date(v) => match v.days() {
            Some(days) => JavaValue::Date(i64::from(days) * MILLIS_A_DAY),
            None => return Err(unexpected(value)),
        },
        ValueRef::Time(v) => match v.to_unit(TimeUnit::Milli) {
            Some(millis) => JavaValue::Date(millis),
            None => return Err(unexpected(value)),
        },
        ValueRef::Array(array) => {
            let items = match connect_type {
                Some(ConnectType::Array(items)) => Some(&**items),
                _ => None,
            };
            let values = array.values.iter().map(|value| of_value(items, &value.as_ref()));
            JavaValue::List(values.collect::<Result<_>>()?)
        }
        ValueRef::Map(entries) => {
            let entry = match connect_type {
                Some(ConnectType::Map(entry)) => Some(&**entry),
                _ => None,
            };
            let pairs = entries.iter().map(|(key, value)| {
                let key = of_value(entry.map(|entry| &entry.0), &key.as_ref())?;
                Ok((key, of_value(entry.map(|entry| &entry.1), &value.as_ref())?))
            });
            JavaValue::Map(pairs.collect::<Result<_>>()?)
        }
        ValueRef::Struct(row) => match schema.map(ConnectSchema::fields) {
            Some(fields) if !fields.is_empty() || row.is_empty() => {
                let members = fields.iter().map(|field| {
                    let value = row.get(field.index()).unwrap_or(ValueRef::Null);
                    Ok((field.name().to_owned(), of_value(Some(field.schema()), &value)?))
                });
                JavaValue::Struct(members.collect::<Result<_>>()?)
            }
            _ => {
                let members = row
                    .iter()
                    .map(|(field, value)| Ok((field.name.to_string(), of_value(None, &value)?)));
                JavaValue::Struct(members.collect::<Result<_>>()?)
            }
        },
        ValueRef::Bits(_) | ValueRef::Interval(_) | ValueRef::TimeTz(_) => {
            return Err(unexpected(value));
        }
    })
}

fn unexpected(value: &ValueRef<'_>) -> Error {
    Error::data(format!("a value without a schema has no text: {value:?}"))
}

impl JavaValue {
    /// The object of a value, under its schema or without one.
    ///
    /// # Errors
    /// [`Data`](crate::ErrorKind::Data) when the value has no place in the schema, or no class in Connect without one.
    pub fn of(schema: Option<&ConnectSchema>, value: &ValueRef<'_>) -> Result<Self> {
        of_value(schema, value)
    }

    /// What Java's `toString` gives.
    ///
    /// # Errors
    /// [`Data`](crate::ErrorKind::Data) for bytes, of which Java shows an address.
    pub fn to_text(&self) -> Result<String> {
        let mut out = Vec::new();
        self.write_to_string(&mut out)?;
        Ok(String::from_utf8(out).unwrap_or_default())
    }

    /// The text that Connect's `Values.convertToString` gives on its own: bytes are base64, dates ISO 8601.
    pub fn to_header_text(&self) -> String {
        let mut out = Vec::new();
        self.write_header(&mut out);
        String::from_utf8(out).unwrap_or_default()
    }

    /// `class` and the name of the Java class, as `Class.toString` prints it.
    pub fn class(&self) -> &'static str {
        match self {
            JavaValue::Null => "null",
            JavaValue::Bool(_) => "class java.lang.Boolean",
            JavaValue::Byte(_) => "class java.lang.Byte",
            JavaValue::Short(_) => "class java.lang.Short",
            JavaValue::Integer(_) => "class java.lang.Integer",
            JavaValue::Long(_) => "class java.lang.Long",
            JavaValue::Float(_) => "class java.lang.Float",
            JavaValue::Double(_) => "class java.lang.Double",
            JavaValue::Decimal(_) => "class java.math.BigDecimal",
            JavaValue::Text(_) => "class java.lang.String",
            JavaValue::Bytes(_) => "class [B",
            JavaValue::Date(_) => "class java.util.Date",
            JavaValue::List(_) => "class java.util.ArrayList",
            JavaValue::Map(_) => "class java.util.LinkedHashMap",
            JavaValue::Struct(_) => "class org.apache.kafka.connect.data.Struct",
        }
    }

    /// Numbers and booleans, which both texts show alike.
    fn write_scalar(&self, out: &mut Vec<u8>) -> bool {
        match self {
            JavaValue::Null => out.extend_from_slice(b"null"),
            JavaValue::Bool(true) => out.extend_from_slice(b"true"),
            JavaValue::Bool(false) => out.extend_from_slice(b"false"),
            JavaValue::Byte(v) => write_i64(i64::from(*v), out),
            JavaValue::Short(v) => write_i64(i64::from(*v), out),
            JavaValue::Integer(v) => write_i64(i64::from(*v), out),
            JavaValue::Long(v) => write_i64(*v, out),
            JavaValue::Float(v) => write_f32(*v, out),
            JavaValue::Double(v) => write_f64(*v, out),
            JavaValue::Decimal(v) => write_big_decimal(v, out),
            _ => return false,
        }
        true
    }

    /// Appends what Java's `toString` gives. Bytes, of which Java shows an address, are an error.
    pub(crate) fn write_to_string(&self, out: &mut Vec<u8>) -> Result<()> {
        if self.write_scalar(out) {
            return Ok(());
        }
        match self {
            JavaValue::Text(text) => out.extend_from_slice(text.as_bytes()),
            JavaValue::Date(millis) => iso::write_java_date(*millis, out),
            JavaValue::List(values) => {
                out.push(b'[');
                for (index, value) in values.iter().enumerate() {
                    if index > 0 {
                        out.extend_from_slice(b", ");
                    }
                    value.write_to_string(out)?;
                }
                out.push(b']');
            }
            JavaValue::Map(entries) => {
                out.push(b'{');
                for (index, (key, value)) in entries.iter().enumerate() {
                    if index > 0 {
                        out.extend_from_slice(b", ");
                    }
                    key.write_to_string(out)?;
                    out.push(b'=');
                    value.write_to_string(out)?;
                }
                out.push(b'}');
            }
            JavaValue::Struct(members) => {
                out.extend_from_slice(b"Struct{");
                let there = members.iter().filter(|(_, value)| *value != JavaValue::Null);
                for (index, (name, value)) in there.enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    out.extend_from_slice(name.as_bytes());
                    out.push(b'=');
                    value.write_to_string(out)?;
                }
                out.push(b'}');
            }
            _ => {
                return Err(Error::data("StringConverter has no text for bytes")
                    .remedy("use ByteArrayConverter, or binary.handling.mode base64 or hex"));
            }
        }
        Ok(())
    }

    /// Appends the text of a header, as `Values.convertToString` has it.
    pub(crate) fn write_header(&self, out: &mut Vec<u8>) {
        match self {
            JavaValue::Text(text) => out.extend_from_slice(text.as_bytes()),
            JavaValue::Bytes(bytes) => base64::encode(bytes, out),
            value => value.write_embedded(out),
        }
    }

    fn write_embedded(&self, out: &mut Vec<u8>) {
        if self.write_scalar(out) {
            return;
        }
        match self {
            JavaValue::Text(text) => quoted(text, out),
            JavaValue::Bytes(bytes) => {
                out.push(b'"');
                base64::encode(bytes, out);
                out.push(b'"');
            }
            JavaValue::Date(millis) => iso::write_header_date(*millis, out),
            JavaValue::List(values) => {
                out.push(b'[');
                for (index, value) in values.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    value.write_embedded(out);
                }
                out.push(b']');
            }
            JavaValue::Map(entries) => {
                out.push(b'{');
                for (index, (key, value)) in entries.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    key.write_embedded(out);
                    out.push(b':');
                    value.write_embedded(out);
                }
                out.push(b'}');
            }
            JavaValue::Struct(members) => {
                out.push(b'{');
                for (index, (name, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    quoted(name, out);
                    out.push(b':');
                    value.write_embedded(out);
                }
                out.push(b'}');
            }
            _ => {}
        }
    }
}

fn quoted(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}
