//! How values are stored in SQLite.
//!
//! | source type | column | stored as |
//! |---|---|---|
//! | boolean | INTEGER | 0 or 1 |
//! | integers | INTEGER | the number |
//! | unsigned 64 bit integer | TEXT | its digits: not all fit SQLite's integers |
//! | floats | REAL | the number, a 32 bit one by its shortest digits; NaN, which SQLite lacks, as the text `NaN` |
//! | numeric | TEXT | its digits with its scale |
//! | text, json, xml, enum, network types, types unknown here | TEXT | the text |
//! | bytes | BLOB | the bytes |
//! | date, time, timestamp | TEXT | ISO 8601 with a blank, as SQLite's own functions write it; an instant in UTC with `+00:00`; `infinity` |
//! | interval | TEXT | ISO 8601 (`P1M2DT3S`) |
//! | uuid, bits | TEXT | the text |
//! | array, map, struct | TEXT | JSON |
//!
//! SQLite keeps no sign of a zero: -0.0 is stored as 0.0.

use cdc_core::ValueRef;
use rusqlite::types::{ToSqlOutput, ValueRef as SqlRef};

use crate::sql::dialect::literal;
use crate::sql::json::write_scalar;
use crate::sql::temporal::Years;

/// The form in which SQLite gets a value. `scratch` takes the text of what has none yet.
#[inline]
pub(super) fn stored<'v>(
    value: &'v ValueRef<'_>,
    instant: bool,
    scratch: &'v mut String,
) -> ToSqlOutput<'v> {
    let stored = match value {
        ValueRef::Null | ValueRef::Unavailable => SqlRef::Null,
        ValueRef::Bool(v) => SqlRef::Integer(i64::from(*v)),
        ValueRef::Int8(v) => SqlRef::Integer(i64::from(*v)),
        ValueRef::Int16(v) => SqlRef::Integer(i64::from(*v)),
        ValueRef::Int32(v) => SqlRef::Integer(i64::from(*v)),
        ValueRef::Int64(v) => SqlRef::Integer(*v),
        ValueRef::UInt8(v) => SqlRef::Integer(i64::from(*v)),
        ValueRef::UInt16(v) => SqlRef::Integer(i64::from(*v)),
        ValueRef::UInt32(v) => SqlRef::Integer(i64::from(*v)),
        ValueRef::Float32(v) => real(shortest(*v)),
        ValueRef::Float64(v) => real(*v),
        ValueRef::Text(v) => SqlRef::Text(v.as_bytes()),
        ValueRef::Bytes(v) => SqlRef::Blob(v),
        other => {
            scratch.clear();
            write_scalar(scratch, other, instant, Years::Astronomical);
            SqlRef::Text(scratch.as_bytes())
        }
    };
    ToSqlOutput::Borrowed(stored)
}

fn real(value: f64) -> SqlRef<'static> {
    if value.is_nan() { SqlRef::Text(b"NaN") } else { SqlRef::Real(value) }
}

/// The 64 bit float with the same shortest digits, so that 0.1 reads as 0.1; the same number where that would not give
/// the 32 bit float back.
#[expect(clippy::cast_possible_truncation, reason = "rounding to 32 bits is what is checked")]
fn shortest(value: f32) -> f64 {
    match value.to_string().parse::<f64>() {
        Ok(short) if (short as f32).to_bits() == value.to_bits() => short,
        _ => f64::from(value),
    }
}

/// The value as it stands in a statement.
pub(super) fn literal_of(value: &ValueRef<'_>, instant: bool) -> String {
    let mut scratch = String::new();
    match stored(value, instant, &mut scratch) {
        ToSqlOutput::Borrowed(SqlRef::Integer(v)) => v.to_string(),
        ToSqlOutput::Borrowed(SqlRef::Real(v)) if v.is_infinite() => {
            if v > 0.0 {
                "9e999".into()
            } else {
                "-9e999".into()
            }
        }
        ToSqlOutput::Borrowed(SqlRef::Real(v)) => format!("{v:?}"),
        ToSqlOutput::Borrowed(SqlRef::Text(v)) => literal(&String::from_utf8_lossy(v)),
        ToSqlOutput::Borrowed(SqlRef::Blob(v)) => {
            let digits: String = v.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("X'{digits}'")
        }
        _ => "NULL".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_floats_read_as_they_were_written_and_come_back() {
        assert_eq!(shortest(0.1), 0.1);
        for value in [f32::MIN_POSITIVE, f32::MAX, 16_777_217.0, 1.0e-45, 3.402_823_3e38] {
            assert_eq!((shortest(value) as f32).to_bits(), value.to_bits());
        }
    }

    #[test]
    fn a_value_in_a_statement_is_what_a_parameter_would_be() {
        assert_eq!(literal_of(&ValueRef::Text("it's"), false), "'it''s'");
        assert_eq!(literal_of(&ValueRef::Bytes(b"\x00\xff"), false), "X'00ff'");
        assert_eq!(literal_of(&ValueRef::UInt64(u64::MAX), false), "'18446744073709551615'");
    }
}
