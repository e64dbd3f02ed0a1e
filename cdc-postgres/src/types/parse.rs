//! The text of one value to a [`Value`].

use std::str;

use bytes::Bytes;
use cdc_core::Value;
use cdc_core::value::{Decimal, Text};

use super::{Kind, array, binary, datetime, interval};

/// A text that is not a value of its type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a value of type {expected}")]
pub(crate) struct ValueError {
    expected: &'static str,
    text: String,
}

impl ValueError {
    pub(super) fn new(expected: &'static str, bytes: &[u8]) -> Self {
        let shown = bytes.get(..60).unwrap_or(bytes);
        ValueError { expected, text: String::from_utf8_lossy(shown).into_owned() }
    }
}

/// Reads the text form of a value. Text and bytes that need no unescaping stay slices of the buffer.
pub(crate) fn parse(kind: &Kind, bytes: Bytes) -> Result<Value, ValueError> {
    fn number<T: str::FromStr>(bytes: &[u8], expected: &'static str) -> Result<T, ValueError> {
        str::from_utf8(bytes)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| ValueError::new(expected, bytes))
    }
    Ok(match kind {
        Kind::Bool => match &bytes[..] {
            b"t" => Value::Bool(true),
            b"f" => Value::Bool(false),
            other => return Err(ValueError::new("boolean", other)),
        },
        Kind::Int16 => Value::Int16(number(&bytes, "smallint")?),
        Kind::Int32 => Value::Int32(number(&bytes, "integer")?),
        Kind::Int64 => Value::Int64(number(&bytes, "bigint")?),
        Kind::Oid => Value::UInt32(number(&bytes, "oid")?),
        Kind::Float32 => Value::Float32(number(&bytes, "real")?),
        Kind::Float64 => Value::Float64(number(&bytes, "double precision")?),
        Kind::Decimal => Value::Decimal(number::<Decimal>(&bytes, "numeric")?),
        Kind::Text => Value::Text(
            Text::from_utf8(bytes.clone()).map_err(|_| ValueError::new("text (UTF-8)", &bytes))?,
        ),
        Kind::Bytes => Value::Bytes(binary::bytea(&bytes)?),
        Kind::Bits => Value::Bits(binary::bits(&bytes)?),
        Kind::Uuid => Value::Uuid(binary::uuid(&bytes)?),
        Kind::Date => Value::Date(datetime::date(&bytes)?),
        Kind::Time => Value::Time(datetime::time(&bytes)?),
        Kind::TimeTz => Value::TimeTz(datetime::time_tz(&bytes)?),
        Kind::Timestamp => Value::Timestamp(datetime::timestamp(&bytes)?),
        Kind::TimestampTz => Value::Timestamp(datetime::timestamp_tz(&bytes)?),
        Kind::Interval => Value::Interval(interval::interval(&bytes)?),
        Kind::Array { element, delimiter } => array::array(&bytes, element, *delimiter)?,
    })
}

/// Reads bytes as a value of every type, for fuzzing: nothing may panic.
pub fn parse_any(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    let scalars = [
        Kind::Bool,
        Kind::Int16,
        Kind::Int32,
        Kind::Int64,
        Kind::Oid,
        Kind::Float32,
        Kind::Float64,
        Kind::Decimal,
        Kind::Text,
        Kind::Bytes,
        Kind::Bits,
        Kind::Date,
        Kind::Time,
        Kind::TimeTz,
        Kind::Timestamp,
        Kind::TimestampTz,
        Kind::Interval,
        Kind::Uuid,
    ];
    for kind in scalars {
        let _ = parse(&kind, bytes.clone());
        let array = Kind::Array { element: Box::new(kind), delimiter: b',' };
        let _ = parse(&array, bytes.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(kind: Kind, text: &str) -> Value {
        parse(&kind, Bytes::copy_from_slice(text.as_bytes())).unwrap()
    }

    #[test]
    fn scalars_are_exact() {
        assert_eq!(read(Kind::Bool, "t"), Value::Bool(true));
        assert_eq!(read(Kind::Int16, "-32768"), Value::Int16(i16::MIN));
        assert_eq!(read(Kind::Int64, "-9223372036854775808"), Value::Int64(i64::MIN));
        assert_eq!(read(Kind::Oid, "4294967295"), Value::UInt32(u32::MAX));
        assert_eq!(read(Kind::Float32, "-Infinity"), Value::Float32(f32::NEG_INFINITY));
        assert_eq!(read(Kind::Float64, "1.7976931348623157e+308"), Value::Float64(f64::MAX));
        assert_eq!(read(Kind::Float64, "NaN"), Value::Float64(f64::NAN));
        assert_eq!(
            read(Kind::Decimal, "12.50").as_ref(),
            Value::Decimal(Decimal::new(1250, 2)).as_ref()
        );
        assert_eq!(read(Kind::Decimal, "NaN"), Value::Decimal(Decimal::NAN));
    }

    #[test]
    fn text_stays_a_slice_of_the_buffer() {
        let buffer = Bytes::from_static(b"grass is green");
        let Value::Text(text) = parse(&Kind::Text, buffer.slice(0..5)).unwrap() else {
            panic!("not a text")
        };
        assert_eq!(text.as_str().as_ptr(), buffer.as_ptr());
    }

    #[test]
    fn what_is_not_a_value_is_an_error_that_shows_it() {
        let error = parse(&Kind::Int32, Bytes::from_static(b"12x")).unwrap_err();
        assert_eq!(error.to_string(), "\"12x\" is not a value of type integer");
        assert!(parse(&Kind::Text, Bytes::from_static(b"\xff")).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            parse_any(&bytes);
        }

        #[test]
        fn no_text_of_the_usual_characters_panics(text in "[-+0-9:. BCinfty{}\"\\\\,=\\[\\]aymondurs]{0,60}") {
            parse_any(text.as_bytes());
        }
    }
}
