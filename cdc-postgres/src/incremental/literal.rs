//! Values of keys as PostgreSQL reads them, whatever they contain.

use std::fmt::Write as _;

use cdc_core::value::calendar::date_of_day;
use cdc_core::value::{Array, Date, Timestamp};
use cdc_core::{Value, ValueRef};

/// A value as a quoted literal of a type; `None` for kinds of values that no column has.
///
/// Sessions have `standard_conforming_strings = on`, so that a quote is all that must be doubled.
pub(super) fn literal(value: &Value, of_type: &str) -> Option<String> {
    Some(match value {
        Value::Null => format!("NULL::{of_type}"),
        value => format!("'{}'::{of_type}", text(&value.as_ref())?.replace('\'', "''")),
    })
}

/// The text of a value that PostgreSQL reads as the same value; `None` for NULL and for kinds of values that no column has.
pub(crate) fn text(value: &ValueRef<'_>) -> Option<String> {
    Some(match value {
        ValueRef::Bool(true) => "t".to_owned(),
        ValueRef::Bool(false) => "f".to_owned(),
        ValueRef::Int8(v) => v.to_string(),
        ValueRef::Int16(v) => v.to_string(),
        ValueRef::Int32(v) => v.to_string(),
        ValueRef::Int64(v) => v.to_string(),
        ValueRef::UInt8(v) => v.to_string(),
        ValueRef::UInt16(v) => v.to_string(),
        ValueRef::UInt32(v) => v.to_string(),
        ValueRef::UInt64(v) => v.to_string(),
        ValueRef::Float32(v) if !v.is_finite() => not_finite((*v).into()).to_owned(),
        ValueRef::Float64(v) if !v.is_finite() => not_finite(*v).to_owned(),
        // The shortest text that is exact; with an exponent, because some have 300 digits.
        ValueRef::Float32(v) => format!("{v:e}"),
        ValueRef::Float64(v) => format!("{v:e}"),
        ValueRef::Decimal(v) => v.to_string(),
        ValueRef::Text(v) => (*v).to_owned(),
        ValueRef::Bytes(v) => v.iter().fold("\\x".to_owned(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        }),
        ValueRef::Uuid(v) => v.to_string(),
        ValueRef::Date(Date::Days(days)) => {
            let (date, era) = day(i64::from(*days));
            format!("{date}{era}")
        }
        ValueRef::Date(infinity) => infinity.to_string(),
        ValueRef::Time(v) => v.to_string(),
        ValueRef::TimeTz(v) => v.to_string(),
        ValueRef::Timestamp(Timestamp::At { value, unit }) => {
            const SECONDS_A_DAY: i64 = 86_400;
            let (seconds, nanos) = unit.split(*value);
            let (date, era) = day(seconds.div_euclid(SECONDS_A_DAY));
            let clock = seconds.rem_euclid(SECONDS_A_DAY);
            let (hour, minute, second) = (clock / 3_600, clock / 60 % 60, clock % 60);
            format!("{date} {hour:02}:{minute:02}:{second:02}.{nanos:09}{era}")
        }
        ValueRef::Timestamp(infinity) => infinity.to_string(),
        ValueRef::Interval(v) => v.to_string(),
        ValueRef::Bits(v) => v.to_string(),
        ValueRef::Array(v) => array(v)?,
        _ => return None,
    })
}

fn not_finite(v: f64) -> &'static str {
    match v {
        v if v.is_nan() => "NaN",
        v if v > 0.0 => "Infinity",
        _ => "-Infinity",
    }
}

/// A day as `YYYY-MM-DD`, and its era: the year before 1 is 1 BC.
fn day(day: i64) -> (String, &'static str) {
    let (year, month, day) = date_of_day(day);
    let (year, era) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    (format!("{year:04}-{month:02}-{day:02}"), era)
}

/// `{"a",NULL,{...}}`, with the bounds of its dimensions where they do not begin at 1.
fn array(array: &Array) -> Option<String> {
    let mut bounds = String::new();
    let mut dimension = array;
    loop {
        let lower = i64::from(dimension.lower_bound);
        let length = i64::try_from(dimension.values.len()).ok()?;
        let _ = write!(bounds, "[{lower}:{}]", lower + length - 1);
        match dimension.values.first() {
            Some(Value::Array(below)) => dimension = below,
            _ => break,
        }
    }
    let elements = elements(array)?;
    // One without elements has no dimensions.
    Some(if array.values.is_empty() { elements } else { format!("{bounds}={elements}") })
}

fn elements(array: &Array) -> Option<String> {
    let mut all = Vec::with_capacity(array.values.len());
    for value in &array.values {
        all.push(match value {
            Value::Null => "NULL".to_owned(),
            Value::Array(below) => elements(below)?,
            value => {
                let text = text(&value.as_ref())?.replace('\\', "\\\\").replace('"', "\\\"");
                format!("\"{text}\"")
            }
        });
    }
    Some(format!("{{{}}}", all.join(",")))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cdc_core::value::{Interval, TimeUnit};

    use super::*;

    #[test]
    fn quotes_and_backslashes_stay_in_the_literal() {
        let of = |value: Value| literal(&value, "text").unwrap();
        assert_eq!(of("it's \\' --".into()), r"'it''s \'' --'::text");
        assert_eq!(of(Value::Null), "NULL::text");
        let array = Array::new(vec!["a\"b\\".into(), Value::Null, "".into()]);
        assert_eq!(of(Value::Array(Arc::new(array))), r#"'[1:3]={"a\"b\\",NULL,""}'::text"#);
    }

    #[test]
    fn years_before_christ_and_after_9999_are_as_postgres_writes_them() {
        let of = |days| text(&Value::Date(Date::Days(days)).as_ref()).unwrap();
        assert_eq!(of(-719_163), "0001-12-31 BC");
        assert_eq!(of(2_932_897), "10000-01-01");
        let at = |value| {
            text(&Value::Timestamp(Timestamp::At { value, unit: TimeUnit::Micro }).as_ref())
        };
        assert_eq!(at(-1).unwrap(), "1969-12-31 23:59:59.999999000");
        assert_eq!(text(&Value::Date(Date::NegInfinity).as_ref()).unwrap(), "-infinity");
    }

    #[test]
    fn every_kind_of_key_has_a_text() {
        let interval = Interval::Span { months: 1, days: -2, micros: 3 };
        assert_eq!(text(&Value::Interval(interval).as_ref()).unwrap(), "P1M-2DT0.000003S");
        assert_eq!(text(&Value::Float64(1e300).as_ref()).unwrap(), "1e300");
        assert_eq!(text(&Value::Bytes(vec![0, 255].into()).as_ref()).unwrap(), "\\x00ff");
        let nested = Array {
            values: vec![Value::Array(Arc::new(Array::new(vec![Value::Int64(7)])))],
            lower_bound: 0,
        };
        assert_eq!(
            text(&Value::Array(Arc::new(nested)).as_ref()).unwrap(),
            r#"[0:0][1:1]={{"7"}}"#
        );
        assert_eq!(text(&Value::Map(Vec::new().into()).as_ref()), None);
    }
}
