//! Arrays, maps and structs as JSON text, for targets without such types.
//!
//! Nothing is lost: booleans, integers and finite floats are JSON's own; decimals are strings, because readers make
//! floats of numbers; everything else is a string of its text (bytes as `\x` and hexadecimal digits). An array whose
//! first index is not 1 is `{"lower_bound":n,"values":[..]}`. A map whose keys are text is an object, any other a list of pairs.

use std::fmt::Write;

use cdc_core::ValueRef;
use cdc_core::value::Array;

use super::temporal::{Years, write_date, write_timestamp};

/// Writes a value as JSON. `instant` says whether a timestamp has a zone, which its type alone knows.
pub(crate) fn write_json(out: &mut String, value: &ValueRef<'_>, instant: bool) {
    // Writing to a String cannot fail.
    let _ = match value {
        ValueRef::Null | ValueRef::Unavailable => out.write_str("null"),
        own if is_of_json(own) => {
            write_scalar(out, own, instant, Years::Astronomical);
            Ok(())
        }
        ValueRef::Array(array) => {
            write_array(out, array, instant);
            Ok(())
        }
        ValueRef::Map(entries) => {
            write_map(out, entries, instant);
            Ok(())
        }
        ValueRef::Struct(row) => {
            for (number, (field, value)) in row.iter().enumerate() {
                out.push(if number == 0 { '{' } else { ',' });
                write_string(out, &field.name);
                out.push(':');
                let instant = matches!(field.data_type(), cdc_core::DataType::TimestampTz { .. });
                write_json(out, &value, instant);
            }
            out.write_str(if row.is_empty() { "{}" } else { "}" })
        }
        ValueRef::Text(text) => {
            write_string(out, text);
            Ok(())
        }
        scalar => {
            let mut text = String::new();
            write_scalar(&mut text, scalar, instant, Years::Astronomical);
            write_string(out, &text);
            Ok(())
        }
    };
}

/// Whether JSON has the value itself, in the same letters.
fn is_of_json(value: &ValueRef<'_>) -> bool {
    match value {
        ValueRef::Bool(_)
        | ValueRef::Int8(_)
        | ValueRef::Int16(_)
        | ValueRef::Int32(_)
        | ValueRef::Int64(_)
        | ValueRef::UInt8(_)
        | ValueRef::UInt16(_)
        | ValueRef::UInt32(_)
        | ValueRef::UInt64(_) => true,
        ValueRef::Float32(v) => v.is_finite(),
        ValueRef::Float64(v) => v.is_finite(),
        _ => false,
    }
}

fn write_array(out: &mut String, array: &Array, instant: bool) {
    if array.lower_bound != 1 {
        let _ = write!(out, "{{\"lower_bound\":{},\"values\":", array.lower_bound);
    }
    out.push('[');
    for (number, value) in array.values.iter().enumerate() {
        if number > 0 {
            out.push(',');
        }
        write_json(out, &value.as_ref(), instant);
    }
    out.push(']');
    if array.lower_bound != 1 {
        out.push('}');
    }
}

fn write_map(out: &mut String, entries: &[(cdc_core::Value, cdc_core::Value)], instant: bool) {
    let object = entries.iter().all(|(key, _)| matches!(key, cdc_core::Value::Text(_)));
    out.push(if object { '{' } else { '[' });
    for (number, (key, value)) in entries.iter().enumerate() {
        if number > 0 {
            out.push(',');
        }
        if !object {
            out.push('[');
        }
        write_json(out, &key.as_ref(), instant);
        out.push(if object { ':' } else { ',' });
        write_json(out, &value.as_ref(), instant);
        if !object {
            out.push(']');
        }
    }
    out.push(if object { '}' } else { ']' });
}

fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Writes what is not an array, a map or a struct as the text that a text column holds.
pub(crate) fn write_scalar(out: &mut String, value: &ValueRef<'_>, instant: bool, years: Years) {
    let _ = match value {
        ValueRef::Bool(v) => write!(out, "{v}"),
        ValueRef::Int8(v) => write!(out, "{v}"),
        ValueRef::Int16(v) => write!(out, "{v}"),
        ValueRef::Int32(v) => write!(out, "{v}"),
        ValueRef::Int64(v) => write!(out, "{v}"),
        ValueRef::UInt8(v) => write!(out, "{v}"),
        ValueRef::UInt16(v) => write!(out, "{v}"),
        ValueRef::UInt32(v) => write!(out, "{v}"),
        ValueRef::UInt64(v) => write!(out, "{v}"),
        ValueRef::Float32(v) => write_float(out, f64::from(*v), |out| write!(out, "{v:?}")),
        ValueRef::Float64(v) => write_float(out, *v, |out| write!(out, "{v:?}")),
        ValueRef::Decimal(v) => v.write_to(out),
        ValueRef::Text(v) => out.write_str(v),
        ValueRef::Bytes(v) => out
            .write_str("\\x")
            .and_then(|()| v.iter().try_for_each(|byte| write!(out, "{byte:02x}"))),
        ValueRef::Date(v) => write_date(out, *v, years),
        ValueRef::Time(v) => write!(out, "{v}"),
        ValueRef::TimeTz(v) => write!(out, "{v}"),
        ValueRef::Timestamp(v) => write_timestamp(out, *v, instant, years),
        ValueRef::Interval(v) => write!(out, "{v}"),
        ValueRef::Uuid(v) => write!(out, "{v}"),
        ValueRef::Bits(v) => write!(out, "{v}"),
        nested => {
            write_json(out, nested, instant);
            Ok(())
        }
    };
}

/// `NaN`, `Infinity` and `-Infinity` as PostgreSQL writes them, else the shortest digits that are exact.
fn write_float(
    out: &mut String,
    value: f64,
    finite: impl FnOnce(&mut String) -> std::fmt::Result,
) -> std::fmt::Result {
    if value.is_nan() {
        out.write_str("NaN")
    } else if value.is_infinite() {
        out.write_str(if value > 0.0 { "Infinity" } else { "-Infinity" })
    } else {
        finite(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdc_core::Value;
    use std::sync::Arc;

    fn json(value: Value) -> String {
        let mut out = String::new();
        write_json(&mut out, &value.as_ref(), false);
        out
    }

    #[test]
    fn arrays_keep_their_dimensions_bounds_and_exact_elements() {
        let decimal: cdc_core::value::Decimal = "1.10".parse().unwrap();
        let inner = Array::new(vec![decimal.into(), Value::Null, Value::text("a\"b\u{1}")]);
        let outer =
            Array { values: vec![Value::Array(Arc::new(inner)), f64::NAN.into()], lower_bound: 0 };
        assert_eq!(
            json(Value::Array(Arc::new(outer))),
            r#"{"lower_bound":0,"values":[["1.10",null,"a\"b\u0001"],"NaN"]}"#
        );
    }

    #[test]
    fn maps_with_text_keys_are_objects() {
        assert_eq!(json(Value::Map(Arc::new([("a".into(), 1i32.into())]))), r#"{"a":1}"#);
        assert_eq!(json(Value::Map(Arc::new([(2i32.into(), 1.5f64.into())]))), "[[2,1.5]]");
    }
}
