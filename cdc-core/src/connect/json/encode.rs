//! Values as JSON, straight into a buffer.

use crate::connect::java_numbers::{write_big_decimal, write_i64};
use crate::connect::profile::Modes;
use crate::connect::schema::{ConnectSchema, ConnectType, Form};
use crate::connect::{base64, hstore, iso, money, point, values};
use crate::error::{Error, Result};
use crate::value::{Decimal, TimeUnit, Value, ValueRef};

use super::text::{write_f32, write_f64, write_string};

/// Writes values under their schemas.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Writer<'a> {
    /// `decimal.format=NUMERIC`.
    pub(crate) numeric: bool,
    /// `replace.null.with.default`.
    pub(crate) replace_null: bool,
    pub(crate) modes: &'a Modes,
}

impl Writer<'_> {
    /// Appends a value.
    pub(crate) fn value(
        &self,
        schema: &ConnectSchema,
        value: ValueRef<'_>,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        match (&schema.form, value) {
            (_, ValueRef::Null) => self.null(schema, out),
            (_, ValueRef::Unavailable) => self.placeholder(schema, out),
            (Form::Plain, value) => self.plain(schema, &value, out),
            (Form::Widened, value) => {
                write_i64(values::integer(&value)?, out);
                Ok(())
            }
            (Form::Timestamp(unit), ValueRef::Timestamp(timestamp)) => {
                write_i64(values::timestamp_count(timestamp, *unit)?, out);
                Ok(())
            }
            (Form::Days, ValueRef::Date(date)) => {
                write_i64(i64::from(values::days(date)), out);
                Ok(())
            }
            (Form::Time(unit), ValueRef::Time(time)) => {
                let count = values::time_count(time, *unit)?;
                if *unit == TimeUnit::Milli && i32::try_from(count).is_err() {
                    return Err(Error::data("the time is out of the range of its Connect type"));
                }
                write_i64(count, out);
                Ok(())
            }
            (Form::MicroDuration, ValueRef::Interval(interval)) => {
                write_i64(values::micro_duration(interval)?, out);
                Ok(())
            }
            (form, value) => self.formed(schema, form, &value, out),
        }
    }

    /// The forms that are texts, bytes and structs.
    fn formed(
        &self,
        schema: &ConnectSchema,
        form: &Form,
        value: &ValueRef<'_>,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let quoted = |write: &dyn Fn(&mut Vec<u8>), out: &mut Vec<u8>| {
            out.push(b'"');
            write(out);
            out.push(b'"');
        };
        match (form, value) {
            (Form::Decimal { scale }, ValueRef::Decimal(decimal)) => {
                if decimal.scale() == Some(*scale) {
                    self.decimal(decimal, out)?;
                } else {
                    self.decimal(&values::at_scale(decimal, *scale)?, out)?;
                }
            }
            (Form::DecimalDouble, ValueRef::Decimal(decimal)) => write_f64(decimal.to_f64(), out),
            (Form::DecimalText, ValueRef::Decimal(decimal)) => {
                quoted(&|out| values::write_decimal_text(decimal, out), out);
            }
            (Form::VariableScale { stripped: false }, ValueRef::Decimal(decimal)) => {
                variable_scale(decimal, out)?;
            }
            (Form::VariableScale { stripped: true }, ValueRef::Decimal(decimal)) => {
                variable_scale(&values::without_zeros_at_the_end(decimal), out)?;
            }
            (Form::BytesText(mode), ValueRef::Bytes(bytes)) => {
                quoted(&|out| values::write_binary_text(*mode, bytes, out), out);
            }
            (Form::UnknownText(mode), ValueRef::Text(text)) => {
                quoted(&|out| values::write_binary_text(*mode, text.as_bytes(), out), out);
            }
            (Form::Bit, ValueRef::Bits(bits)) => boolean(values::is_set(bits), out),
            (Form::Bits { .. }, ValueRef::Bits(bits)) => {
                quoted(&|out| base64::encode(&values::little_endian(bits), out), out);
            }
            (Form::IsoDate, ValueRef::Date(date)) => {
                quoted(&|out| iso::write_date(*date, out), out);
            }
            (Form::IsoTime, ValueRef::Time(time)) => {
                quoted(&|out| iso::write_time(*time, out), out);
            }
            (Form::ZonedTime, ValueRef::TimeTz(time)) => {
                quoted(&|out| iso::write_time_tz(*time, out), out);
            }
            (Form::IsoTimestamp, ValueRef::Timestamp(timestamp)) => {
                quoted(&|out| iso::write_timestamp(*timestamp, out), out);
            }
            (Form::ZonedTimestamp { digits }, ValueRef::Timestamp(timestamp)) => {
                quoted(&|out| iso::write_timestamp_tz(*timestamp, *digits, out), out);
            }
            (Form::IsoInterval, ValueRef::Interval(interval)) => {
                quoted(&|out| iso::write_interval(*interval, out), out);
            }
            (Form::Uuid, ValueRef::Uuid(uuid)) => {
                quoted(&|out| out.extend_from_slice(uuid.to_string().as_bytes()), out);
            }
            (Form::Money(form), ValueRef::Text(text)) => {
                let decimal = ValueRef::Decimal(money::parse(text)?);
                self.formed(schema, form, &decimal, out)?;
            }
            (Form::HstoreJson, ValueRef::Text(text)) => {
                let mut json = Vec::with_capacity(text.len());
                hstore::write_json(&hstore::parse(text)?, &mut json);
                write_string(&String::from_utf8(json).unwrap_or_default(), out);
            }
            (Form::HstoreMap, ValueRef::Text(text)) => hstore_map(&hstore::parse(text)?, out),
            (Form::Point, ValueRef::Text(text)) => {
                let point = point::parse(text)?;
                out.extend_from_slice(b"{\"x\":");
                write_f64(point.x, out);
                out.extend_from_slice(b",\"y\":");
                write_f64(point.y, out);
                out.extend_from_slice(b",\"wkb\":\"");
                base64::encode(&point.wkb(), out);
                out.extend_from_slice(b"\",\"srid\":null}");
            }
            // What came from outside and is not in the form that its schema promises is of Connect's type.
            (_, value) => self.plain(schema, value, out)?,
        }
        Ok(())
    }

    fn plain(&self, schema: &ConnectSchema, value: &ValueRef<'_>, out: &mut Vec<u8>) -> Result<()> {
        match (&schema.connect_type, value) {
            (ConnectType::String, ValueRef::Text(text)) => write_string(text, out),
            (ConnectType::Int32, ValueRef::Int32(v)) => write_i64(i64::from(*v), out),
            (ConnectType::Int64, ValueRef::Int64(v)) => write_i64(*v, out),
            (ConnectType::Int16, ValueRef::Int16(v)) => write_i64(i64::from(*v), out),
            (ConnectType::Int8, ValueRef::Int8(v)) => write_i64(i64::from(*v), out),
            (ConnectType::Boolean, ValueRef::Bool(v)) => boolean(*v, out),
            (ConnectType::Float64, ValueRef::Float64(v)) => write_f64(*v, out),
            (ConnectType::Float32, ValueRef::Float32(v)) => write_f32(*v, out),
            (ConnectType::Bytes, ValueRef::Bytes(bytes)) => {
                out.push(b'"');
                base64::encode(bytes, out);
                out.push(b'"');
            }
            (ConnectType::Struct(fields), ValueRef::Struct(row)) => self.row(fields, row, out)?,
            (ConnectType::Array(items), ValueRef::Array(array)) => {
                out.push(b'[');
                for (index, value) in array.values.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    self.value(items, value.as_ref(), out)?;
                }
                out.push(b']');
            }
            (ConnectType::Map(entry), ValueRef::Map(entries)) => {
                if matches!(entry.0.connect_type, ConnectType::String) {
                    self.object(entries, Some(&entry.1), out)?;
                } else {
                    self.pairs(entries, Some(&**entry), out)?;
                }
            }
            (connect_type, value) => {
                return Err(Error::data(format!(
                    "Invalid type for {}: {}",
                    connect_type.name(),
                    java_class(value)
                )));
            }
        }
        Ok(())
    }

    fn null(&self, schema: &ConnectSchema, out: &mut Vec<u8>) -> Result<()> {
        match &schema.default {
            Some(default) if self.replace_null && !default.is_null() => {
                self.value(schema, default.as_ref(), out)
            }
            _ if schema.optional => {
                out.extend_from_slice(b"null");
                Ok(())
            }
            _ => Err(Error::data(
                "Conversion error: null value for field that is required and has no default value",
            )),
        }
    }

    fn placeholder(&self, schema: &ConnectSchema, out: &mut Vec<u8>) -> Result<()> {
        let text = &*self.modes.placeholder;
        match (&schema.connect_type, &schema.form) {
            (_, Form::UnknownText(mode) | Form::BytesText(mode)) => {
                out.push(b'"');
                values::write_binary_text(*mode, text.as_bytes(), out);
                out.push(b'"');
            }
            (_, Form::HstoreMap) => {
                hstore_map(&[(text.to_owned(), Some(text.to_owned()))], out);
            }
            (_, Form::HstoreJson) => {
                let mut json = Vec::new();
                hstore::write_json(&[(text.to_owned(), Some(text.to_owned()))], &mut json);
                write_string(&String::from_utf8(json).unwrap_or_default(), out);
            }
            (ConnectType::String, Form::Plain) => write_string(text, out),
            (ConnectType::Bytes, Form::Plain) => {
                out.push(b'"');
                base64::encode(text.as_bytes(), out);
                out.push(b'"');
            }
            (ConnectType::Array(items), _) => match (&items.connect_type, &items.form) {
                (ConnectType::String | ConnectType::Bytes, Form::Plain | Form::BytesText(_)) => {
                    out.push(b'[');
                    self.placeholder(items, out)?;
                    out.push(b']');
                }
                (ConnectType::Int32 | ConnectType::Int64, Form::Plain | Form::Days) => {
                    out.push(b'[');
                    for (index, byte) in text.bytes().enumerate() {
                        if index > 0 {
                            out.push(b',');
                        }
                        write_i64(i64::from(byte), out);
                    }
                    out.push(b']');
                }
                _ => return Err(no_placeholder()),
            },
            _ => return Err(no_placeholder()),
        }
        Ok(())
    }

    fn decimal(&self, decimal: &Decimal, out: &mut Vec<u8>) -> Result<()> {
        if self.numeric {
            write_big_decimal(decimal, out);
            return Ok(());
        }
        out.push(b'"');
        if decimal.with_unscaled_be_bytes(|bytes| base64::encode(bytes, out)).is_none() {
            return Err(Error::data(format!("{decimal} has no form as a Connect Decimal")));
        }
        out.push(b'"');
        Ok(())
    }

    fn object(
        &self,
        entries: &[(Value, Value)],
        schema: Option<&ConnectSchema>,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        out.push(b'{');
        for (index, (key, value)) in entries.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            match key {
                Value::Text(key) => write_string(key, out),
                // As JsonConverter writes it.
                Value::Null => out.extend_from_slice(b"\"null\""),
                other => {
                    let class = java_class(&other.as_ref());
                    return Err(Error::data(format!("Invalid type for STRING: {class}")));
                }
            }
            out.push(b':');
            match schema {
                Some(schema) => self.value(schema, value.as_ref(), out)?,
                None => self.schemaless(value.as_ref(), out)?,
            }
        }
        out.push(b'}');
        Ok(())
    }

    fn pairs(
        &self,
        entries: &[(Value, Value)],
        schemas: Option<&(ConnectSchema, ConnectSchema)>,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        out.push(b'[');
        for (index, (key, value)) in entries.iter().enumerate() {
            out.extend_from_slice(if index > 0 { b",[".as_slice() } else { b"[" });
            match schemas {
                Some((keys, values)) => {
                    self.value(keys, key.as_ref(), out)?;
                    out.push(b',');
                    self.value(values, value.as_ref(), out)?;
                }
                None => {
                    self.schemaless(key.as_ref(), out)?;
                    out.push(b',');
                    self.schemaless(value.as_ref(), out)?;
                }
            }
            out.push(b']');
        }
        out.push(b']');
        Ok(())
    }

    /// Appends a value without a schema.
    pub(crate) fn schemaless(&self, value: ValueRef<'_>, out: &mut Vec<u8>) -> Result<()> {
        match value {
            ValueRef::Null => out.extend_from_slice(b"null"),
            ValueRef::Unavailable => write_string(&self.modes.placeholder, out),
            ValueRef::Bool(v) => boolean(v, out),
            ValueRef::Float32(v) => write_f32(v, out),
            ValueRef::Float64(v) => write_f64(v, out),
            ValueRef::Text(text) => write_string(text, out),
            ValueRef::Bytes(bytes) => {
                out.push(b'"');
                base64::encode(bytes, out);
                out.push(b'"');
            }
            ValueRef::Array(array) => {
                out.push(b'[');
                for (index, value) in array.values.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    self.schemaless(value.as_ref(), out)?;
                }
                out.push(b']');
            }
            ValueRef::Map(entries) => {
                if entries.iter().all(|(key, _)| matches!(key, Value::Text(_))) {
                    self.object(entries, None, out)?;
                } else {
                    self.pairs(entries, None, out)?;
                }
            }
            ValueRef::Struct(row) => {
                let fields = crate::connect::native::connect_fields(row.schema(), self.modes);
                self.row(&fields, row, out)?;
            }
            ValueRef::Decimal(_)
            | ValueRef::Date(_)
            | ValueRef::Time(_)
            | ValueRef::Timestamp(_)
            | ValueRef::TimeTz(_)
            | ValueRef::Interval(_)
            | ValueRef::Uuid(_)
            | ValueRef::Bits(_) => {
                return Err(Error::data(format!(
                    "Java class {} does not have corresponding schema type.",
                    java_class(&value)
                )));
            }
            integer => write_i64(values::integer(&integer)?, out),
        }
        Ok(())
    }
}

fn no_placeholder() -> Error {
    Error::data(
        "the value did not change, the server did not send it, and its type has no placeholder",
    )
    .remedy("set the table's REPLICA IDENTITY to FULL")
}

fn boolean(value: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if value { b"true".as_slice() } else { b"false" });
}

fn variable_scale(decimal: &Decimal, out: &mut Vec<u8>) -> Result<()> {
    let (Some(bytes), Some(scale)) = (decimal.unscaled_be_bytes(), decimal.scale()) else {
        return Err(Error::data(format!("{decimal} has no form as a VariableScaleDecimal"))
            .remedy("set decimal.handling.mode to string or double"));
    };
    out.extend_from_slice(b"{\"scale\":");
    write_i64(i64::from(scale), out);
    out.extend_from_slice(b",\"value\":\"");
    base64::encode(&bytes, out);
    out.extend_from_slice(b"\"}");
    Ok(())
}

fn hstore_map(entries: &[hstore::Entry], out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, (key, value)) in entries.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_string(key, out);
        out.push(b':');
        match value {
            Some(value) => write_string(value, out),
            None => out.extend_from_slice(b"null"),
        }
    }
    out.push(b'}');
}

/// The Java class that a value would be of in Connect, for messages.
pub(crate) fn java_class(value: &ValueRef<'_>) -> &'static str {
    match value {
        ValueRef::Null | ValueRef::Unavailable => "null",
        ValueRef::Bool(_) => "class java.lang.Boolean",
        ValueRef::Int8(_) => "class java.lang.Byte",
        ValueRef::Int16(_) | ValueRef::UInt8(_) => "class java.lang.Short",
        ValueRef::Int32(_) | ValueRef::UInt16(_) => "class java.lang.Integer",
        ValueRef::Int64(_) | ValueRef::UInt32(_) | ValueRef::UInt64(_) | ValueRef::Interval(_) => {
            "class java.lang.Long"
        }
        ValueRef::Float32(_) => "class java.lang.Float",
        ValueRef::Float64(_) => "class java.lang.Double",
        ValueRef::Decimal(_) => "class java.math.BigDecimal",
        ValueRef::Text(_) | ValueRef::Uuid(_) | ValueRef::TimeTz(_) => "class java.lang.String",
        ValueRef::Bytes(_) | ValueRef::Bits(_) => "class [B",
        ValueRef::Date(_) | ValueRef::Time(_) | ValueRef::Timestamp(_) => "class java.util.Date",
        ValueRef::Array(_) => "class java.util.ArrayList",
        ValueRef::Map(_) => "class java.util.HashMap",
        ValueRef::Struct(_) => "class org.apache.kafka.connect.data.Struct",
    }
}
