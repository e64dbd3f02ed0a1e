//! Keys that are kept beyond their batch: as bounds of chunks, in offsets, and to tell which changes concern a row.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::error::{Error, Result};
use crate::row::Row;
use crate::value::{
    Array, Bits, Date, Decimal, Interval, Time, TimeTz, TimeUnit, Timestamp, Uuid, Value,
};

/// The values of a key's columns, in the order of the key.
///
/// Integers are kept as [`Value::Int64`] ([`Value::UInt64`] where that is too small) and floats as [`Value::Float64`], so
/// that a key is the same whether it came from a row, a change or an offset. Two keys are equal when their values are,
/// byte for byte: a row is named in the log by the bytes that it has stored.
///
/// ```
/// use cdc_core::{Value, snapshot::Key};
///
/// let key = Key::new([Value::Int32(7), Value::text("a")])?;
/// let json = serde_json::to_string(&key).unwrap();
/// assert_eq!(json, r#"[7,"a"]"#);
/// assert_eq!(serde_json::from_str::<Key>(&json).unwrap(), key);
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "Json", try_from = "Json")]
pub struct Key(Box<[Value]>);

impl Key {
    /// A key of these values.
    ///
    /// # Errors
    /// [`Configuration`](crate::ErrorKind::Configuration) for a value that is not there, and for structs and maps, which no
    /// database has in a key.
    pub fn new(values: impl IntoIterator<Item = Value>) -> Result<Key> {
        Ok(Key(values.into_iter().map(kept).collect::<Result<_>>()?))
    }

    /// The key of a row, or of a row of key columns alone.
    ///
    /// # Errors
    /// As [`Key::new`]; and where the row's table has no key.
    pub fn of(row: &Row) -> Result<Key> {
        let Some(key) = row.key() else {
            return Err(Error::configuration("a row without a key"));
        };
        Key::new((0..key.len()).filter_map(|index| key.value(index)))
    }

    /// The values.
    pub fn values(&self) -> &[Value] {
        &self.0
    }

    /// The order of two keys as the database has it; `None` where only the database knows.
    ///
    /// Text sorts by a collation, unless `text_in_byte_order` says that it is compared as bytes are.
    pub fn compare(&self, other: &Key, text_in_byte_order: bool) -> Option<Ordering> {
        for (a, b) in self.0.iter().zip(&other.0) {
            match compare(a, b, text_in_byte_order)? {
                Ordering::Equal => {}
                order => return Some(order),
            }
        }
        Some(self.0.len().cmp(&other.0.len()))
    }

    /// Roughly how many bytes it takes.
    pub fn size(&self) -> usize {
        size_of::<Key>() + self.0.iter().map(Value::size).sum::<usize>()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0).finish()
    }
}

fn compare(a: &Value, b: &Value, text_in_byte_order: bool) -> Option<Ordering> {
    Some(match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Int64(a), Value::Int64(b)) => a.cmp(b),
        (Value::UInt64(a), Value::UInt64(b)) => a.cmp(b),
        (Value::Int64(_), Value::UInt64(_)) => Ordering::Less,
        (Value::UInt64(_), Value::Int64(_)) => Ordering::Greater,
        (Value::Decimal(a), Value::Decimal(b)) if a.is_finite() && b.is_finite() => a.cmp_value(b),
        (Value::Float64(a), Value::Float64(b)) => return a.partial_cmp(b),
        (Value::Text(a), Value::Text(b)) if text_in_byte_order => {
            a.as_str().as_bytes().cmp(b.as_str().as_bytes())
        }
        (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
        (Value::Uuid(a), Value::Uuid(b)) => a.cmp(b),
        (Value::Date(a), Value::Date(b)) => a.cmp(b),
        (Value::Time(a), Value::Time(b)) if a.unit == b.unit => a.value.cmp(&b.value),
        (Value::Timestamp(a), Value::Timestamp(b)) => {
            let unit = TimeUnit::Nano;
            match (a, b) {
                (
                    Timestamp::At { value: a, unit: in_a },
                    Timestamp::At { value: b, unit: in_b },
                ) if in_a == in_b => a.cmp(b),
                (a, b) => a.to_unit(unit)?.cmp(&b.to_unit(unit)?),
            }
        }
        (a, b) if a == b => Ordering::Equal,
        _ => return None,
    })
}

/// The form in which a value is kept in a key.
fn kept(value: Value) -> Result<Value> {
    let unsigned = |value: u64| i64::try_from(value).map_or(Value::UInt64(value), Value::Int64);
    Ok(match value {
        Value::Int8(v) => Value::Int64(v.into()),
        Value::Int16(v) => Value::Int64(v.into()),
        Value::Int32(v) => Value::Int64(v.into()),
        Value::UInt8(v) => Value::Int64(v.into()),
        Value::UInt16(v) => Value::Int64(v.into()),
        Value::UInt32(v) => Value::Int64(v.into()),
        Value::UInt64(v) => unsigned(v),
        Value::Float32(v) => Value::Float64(v.into()),
        Value::Array(array) => Value::Array(Arc::new(Array {
            values: array.values.iter().cloned().map(kept).collect::<Result<_>>()?,
            lower_bound: array.lower_bound,
        })),
        Value::Bool(_)
        | Value::Int64(_)
        | Value::Float64(_)
        | Value::Decimal(_)
        | Value::Text(_)
        | Value::Bytes(_)
        | Value::Date(_)
        | Value::Time(_)
        | Value::TimeTz(_)
        | Value::Timestamp(_)
        | Value::Interval(_)
        | Value::Uuid(_)
        | Value::Bits(_)
        | Value::Null => value.detached(),
        Value::Unavailable => return Err(Error::configuration("a key column was not sent")),
        other => {
            return Err(Error::configuration(format!(
                "a key column with a value like {other:?}, by which no rows can be read in chunks"
            )));
        }
    })
}

const UNITS: [(&str, TimeUnit); 4] = [
    ("s", TimeUnit::Second),
    ("ms", TimeUnit::Milli),
    ("us", TimeUnit::Micro),
    ("ns", TimeUnit::Nano),
];

fn unit_name(unit: TimeUnit) -> &'static str {
    UNITS.iter().find(|(_, other)| *other == unit).map_or("us", |(name, _)| name)
}

fn unit_of(name: &Json) -> Option<TimeUnit> {
    UNITS.iter().find(|(known, _)| name.as_str() == Some(known)).map(|(_, unit)| *unit)
}

fn to_json(value: &Value) -> Json {
    match value {
        Value::Bool(v) => json!(v),
        Value::Int64(v) => json!(v),
        Value::UInt64(v) => json!(v),
        Value::Text(v) => json!(v.as_str()),
        // By its bits: JSON has no NaN, and 1.0 would come back as an integer.
        Value::Float64(v) => json!({ "float64": format!("{:016x}", v.to_bits()) }),
        Value::Decimal(v) => json!({ "decimal": v.to_string() }),
        Value::Bytes(v) => json!({ "hex": hex(v) }),
        Value::Uuid(v) => json!({ "uuid": hex(&v.0) }),
        Value::Date(Date::Days(v)) => json!({ "days": v }),
        Value::Date(Date::Infinity) => json!({ "days": "infinity" }),
        Value::Date(Date::NegInfinity) => json!({ "days": "-infinity" }),
        Value::Time(time) => json!({ "time": [time.value, unit_name(time.unit)] }),
        Value::TimeTz(TimeTz { time, offset_seconds }) => {
            json!({ "timetz": [time.value, unit_name(time.unit), offset_seconds] })
        }
        Value::Timestamp(Timestamp::At { value, unit }) => json!({ unit_name(*unit): value }),
        Value::Timestamp(Timestamp::Infinity) => json!({ "us": "infinity" }),
        Value::Timestamp(Timestamp::NegInfinity) => json!({ "us": "-infinity" }),
        Value::Interval(Interval::Span { months, days, micros }) => {
            json!({ "interval": [months, days, micros] })
        }
        Value::Interval(Interval::Infinity) => json!({ "interval": "infinity" }),
        Value::Interval(Interval::NegInfinity) => json!({ "interval": "-infinity" }),
        Value::Bits(bits) => json!({ "bits": [bits.length, hex(&bits.bytes)] }),
        Value::Array(array) => {
            let values: Vec<Json> = array.values.iter().map(to_json).collect();
            json!({ "array": [array.lower_bound, values] })
        }
        // Nothing else is in a key.
        _ => Json::Null,
    }
}

fn from_json(json: &Json) -> Option<Value> {
    let (name, inner) = match json {
        Json::Null => return Some(Value::Null),
        Json::Bool(v) => return Some(Value::Bool(*v)),
        Json::String(v) => return Some(Value::text(v.as_str())),
        Json::Number(v) => {
            return v.as_i64().map(Value::Int64).or_else(|| v.as_u64().map(Value::UInt64));
        }
        Json::Array(_) => return None,
        Json::Object(object) => object.iter().next()?,
    };
    let text = inner.as_str();
    let parts = || inner.as_array().map(Vec::as_slice);
    Some(match name.as_str() {
        "float64" => Value::Float64(f64::from_bits(u64::from_str_radix(text?, 16).ok()?)),
        "decimal" => Value::Decimal(text?.parse::<Decimal>().ok()?),
        "hex" => Value::Bytes(unhex(text?)?.into()),
        "uuid" => Value::Uuid(Uuid(unhex(text?)?.try_into().ok()?)),
        "days" => Value::Date(match text {
            Some("infinity") => Date::Infinity,
            Some("-infinity") => Date::NegInfinity,
            _ => Date::Days(i32::try_from(inner.as_i64()?).ok()?),
        }),
        "time" => Value::Time(time_of(parts()?)?),
        "timetz" => {
            let (east, time) = parts()?.split_last()?;
            let offset_seconds = i32::try_from(east.as_i64()?).ok()?;
            Value::TimeTz(TimeTz { time: time_of(time)?, offset_seconds })
        }
        "interval" => Value::Interval(match (text, inner.as_array().map(Vec::as_slice)) {
            (Some("infinity"), _) => Interval::Infinity,
            (Some("-infinity"), _) => Interval::NegInfinity,
            (_, Some([months, days, micros])) => Interval::Span {
                months: i32::try_from(months.as_i64()?).ok()?,
                days: i32::try_from(days.as_i64()?).ok()?,
                micros: micros.as_i64()?,
            },
            _ => return None,
        }),
        "bits" => {
            let [length, bytes] = parts()? else { return None };
            let length = u32::try_from(length.as_u64()?).ok()?;
            Value::Bits(Bits { length, bytes: unhex(bytes.as_str()?)?.into() })
        }
        "array" => {
            let [lower_bound, values] = parts()? else { return None };
            Value::Array(Arc::new(Array {
                lower_bound: i32::try_from(lower_bound.as_i64()?).ok()?,
                values: values.as_array()?.iter().map(from_json).collect::<Option<_>>()?,
            }))
        }
        unit => Value::Timestamp(match text {
            Some("infinity") => Timestamp::Infinity,
            Some("-infinity") => Timestamp::NegInfinity,
            _ => {
                let (_, unit) = *UNITS.iter().find(|(name, _)| *name == unit)?;
                Timestamp::At { value: inner.as_i64()?, unit }
            }
        }),
    })
}

fn time_of(parts: &[Json]) -> Option<Time> {
    let [value, unit] = parts else { return None };
    Some(Time { value: value.as_i64()?, unit: unit_of(unit)? })
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}

impl From<Key> for Json {
    fn from(key: Key) -> Json {
        Json::Array(key.0.iter().map(to_json).collect())
    }
}

impl TryFrom<Json> for Key {
    type Error = String;

    fn try_from(json: Json) -> Result<Key, String> {
        let values: Option<Vec<Value>> =
            json.as_array().and_then(|values| values.iter().map(from_json).collect());
        values.map(|values| Key(values.into())).ok_or_else(|| format!("{json} is not a key"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(values: impl IntoIterator<Item = Value>) -> Key {
        Key::new(values).unwrap()
    }

    #[test]
    fn every_kind_of_key_comes_back_from_its_json() {
        let all = key([
            Value::Int16(-3),
            Value::UInt64(u64::MAX),
            Value::Bool(true),
            "täxt".into(),
            Value::Float32(1.5),
            Value::Decimal("1.50".parse().unwrap()),
            Value::Bytes(vec![0, 255].into()),
            Value::Uuid(Uuid([7; 16])),
            Value::Date(Date::Days(-1)),
            Value::Date(Date::Infinity),
            Value::Timestamp(Timestamp::micros(-5)),
            Value::Timestamp(Timestamp::At { value: 9, unit: TimeUnit::Nano }),
            Value::Timestamp(Timestamp::NegInfinity),
            Value::Time(Time { value: 7, unit: TimeUnit::Micro }),
            Value::TimeTz(TimeTz {
                time: Time { value: 7, unit: TimeUnit::Milli },
                offset_seconds: -3_600,
            }),
            Value::Interval(Interval::Span { months: 1, days: -2, micros: 3 }),
            Value::Interval(Interval::Infinity),
            Value::Bits(Bits { length: 3, bytes: vec![0b1010_0000].into() }),
            Value::Array(Arc::new(Array {
                values: vec![Value::Int32(1), Value::Null, "a".into()],
                lower_bound: 0,
            })),
            Value::Null,
        ]);
        let text = serde_json::to_string(&all).unwrap();
        assert_eq!(serde_json::from_str::<Key>(&text).unwrap(), all, "{text}");
    }

    #[test]
    fn what_is_no_key_is_an_error() {
        for text in [
            "7",
            "{}",
            r#"[{"hex":"0"}]"#,
            r#"[{"hex":"é"}]"#,
            "[[1]]",
            "[1.5]",
            r#"[{"km":1}]"#,
            r#"[{"time":[1]}]"#,
            r#"[{"timetz":[]}]"#,
            r#"[{"array":[1,2]}]"#,
        ] {
            assert!(serde_json::from_str::<Key>(text).is_err(), "{text}");
        }
        assert!(Key::new([Value::Unavailable]).is_err());
    }

    #[test]
    fn integers_of_all_widths_are_one_kind() {
        assert_eq!(key([Value::Int32(5)]), key([Value::UInt8(5)]));
    }

    #[test]
    fn columns_are_compared_in_turn_and_collated_text_not_at_all() {
        let of = |text: &str, id: i64| key([text.into(), Value::Int64(id)]);
        assert_eq!(of("a", 1).compare(&of("a", 2), false), Some(Ordering::Less));
        assert_eq!(of("a", 9).compare(&of("B", 2), false), None);
        assert_eq!(of("a", 9).compare(&of("B", 2), true), Some(Ordering::Greater));
        assert_eq!(of("a", 9).compare(&of("a", 9), false), Some(Ordering::Equal));
    }
}
