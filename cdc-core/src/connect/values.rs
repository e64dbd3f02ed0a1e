//! Values of the library as values of a Connect schema, and back.

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::value::{
    Bits, Date, Decimal, Interval, Time, TimeUnit, Timestamp, Uuid, Value, ValueRef,
};

use super::iso;
use super::profile::BinaryHandling;
use super::schema::{ConnectSchema, Form};
use super::{base64, hstore, money, point};

/// The infinities of the PostgreSQL JDBC driver, which Debezium writes for timestamps in every unit but nanoseconds.
const TIMESTAMP_INFINITY: i64 = 9_223_372_036_825_200_000;
const TIMESTAMP_NEG_INFINITY: i64 = -9_223_372_036_832_400_000;

/// A month of Debezium's durations: 30.4375 days.
const MICROS_A_MONTH: i64 = 2_629_800_000_000;
const MICROS_A_DAY: i64 = 86_400_000_000;

impl ConnectSchema {
    /// The value as Connect has it: an `io.debezium.time.MicroTimestamp` as an INT64, a `Uuid` as text. Connect's
    /// `Decimal` stays a [`Value::Decimal`], at the scale of the schema. A struct is given back as it is: its fields
    /// have schemas of their own.
    ///
    /// # Errors
    /// [`Data`](crate::ErrorKind::Data) when the value has no place in the schema.
    pub fn lower(&self, value: &ValueRef<'_>) -> Result<Value> {
        if let ValueRef::Null | ValueRef::Unavailable = value {
            return Ok(value.to_value());
        }
        let text = |write: &dyn Fn(&mut Vec<u8>)| {
            let mut out = Vec::new();
            write(&mut out);
            Value::text(String::from_utf8(out).unwrap_or_default())
        };
        Ok(match (&self.form, value) {
            (Form::Widened, value) => self.widened(integer(value)?),
            (Form::Decimal { scale }, ValueRef::Decimal(decimal)) => {
                Value::Decimal(at_scale(decimal, *scale)?)
            }
            (Form::DecimalDouble, ValueRef::Decimal(decimal)) => Value::Float64(decimal.to_f64()),
            (Form::DecimalText, ValueRef::Decimal(decimal)) => {
                text(&|out| write_decimal_text(decimal, out))
            }
            (Form::BytesText(mode), ValueRef::Bytes(bytes)) => {
                text(&|out| write_binary_text(*mode, bytes, out))
            }
            (Form::UnknownText(BinaryHandling::Bytes), ValueRef::Text(source)) => {
                Value::Bytes(Bytes::copy_from_slice(source.as_bytes()))
            }
            (Form::UnknownText(mode), ValueRef::Text(source)) => {
                text(&|out| write_binary_text(*mode, source.as_bytes(), out))
            }
            (Form::Bit, ValueRef::Bits(bits)) => Value::Bool(is_set(bits)),
            (Form::Bits { .. }, ValueRef::Bits(bits)) => Value::Bytes(little_endian(bits).into()),
            (Form::Days, ValueRef::Date(date)) => Value::Int32(days(*date)),
            (Form::IsoDate, ValueRef::Date(date)) => text(&|out| iso::write_date(*date, out)),
            (Form::Time(TimeUnit::Milli), ValueRef::Time(time)) => {
                let count = time_count(*time, TimeUnit::Milli)?;
                Value::Int32(i32::try_from(count).map_err(|_| out_of_range("time"))?)
            }
            (Form::Time(unit), ValueRef::Time(time)) => Value::Int64(time_count(*time, *unit)?),
            (Form::IsoTime, ValueRef::Time(time)) => text(&|out| iso::write_time(*time, out)),
            (Form::ZonedTime, ValueRef::TimeTz(time)) => {
                text(&|out| iso::write_time_tz(*time, out))
            }
            (Form::Timestamp(unit), ValueRef::Timestamp(timestamp)) => {
                Value::Int64(timestamp_count(*timestamp, *unit)?)
            }
            (Form::IsoTimestamp, ValueRef::Timestamp(timestamp)) => {
                text(&|out| iso::write_timestamp(*timestamp, out))
            }
            (Form::ZonedTimestamp { digits }, ValueRef::Timestamp(timestamp)) => {
                text(&|out| iso::write_timestamp_tz(*timestamp, *digits, out))
            }
            (Form::MicroDuration, ValueRef::Interval(interval)) => {
                Value::Int64(micro_duration(*interval)?)
            }
            (Form::IsoInterval, ValueRef::Interval(interval)) => {
                text(&|out| iso::write_interval(*interval, out))
            }
            (Form::Uuid, ValueRef::Uuid(uuid)) => Value::text(uuid.to_string()),
            (Form::Money(form), ValueRef::Text(source)) => {
                let decimal = ValueRef::Decimal(money::parse(source)?);
                let schema = ConnectSchema::new(self.connect_type.clone(), (**form).clone());
                schema.lower(&decimal)?
            }
            (Form::HstoreJson, ValueRef::Text(source)) => {
                let entries = hstore::parse(source)?;
                text(&|out| hstore::write_json(&entries, out))
            }
            (Form::HstoreMap, ValueRef::Text(source)) => {
                let entries = hstore::parse(source)?;
                Value::Map(entries.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
            }
            (Form::Point, ValueRef::Text(source)) => Value::Struct(point::parse(source)?.to_row()?),
            // What is of Connect's type already, a text from outside that was no date among it.
            (_, value) => value.to_value(),
        })
    }

    /// The inverse of [`lower`](Self::lower): a value of Connect as a value of the library. A text that is not in the
    /// form its schema promises stays text, so that it is written again as it came.
    pub fn raise(&self, value: Value) -> Value {
        let raised = match (&self.form, &value) {
            (Form::Decimal { scale }, Value::Bytes(bytes)) => {
                Some(Value::Decimal(Decimal::from_unscaled_be_bytes(bytes, *scale)))
            }
            (Form::Bits { length }, Value::Bytes(bytes)) => {
                from_little_endian(bytes, *length).map(Value::Bits)
            }
            (Form::Days, Value::Int32(day)) => Some(Value::Date(match *day {
                i32::MAX => Date::Infinity,
                i32::MIN => Date::NegInfinity,
                day => Date::Days(day),
            })),
            (Form::Time(unit), Value::Int32(count)) => {
                Some(Value::Time(Time { value: i64::from(*count), unit: *unit }))
            }
            (Form::Time(unit), Value::Int64(count)) => {
                Some(Value::Time(Time { value: *count, unit: *unit }))
            }
            (Form::Timestamp(unit), Value::Int64(count)) => {
                Some(Value::Timestamp(timestamp(*count, *unit)))
            }
            (Form::MicroDuration, Value::Int64(micros)) => Some(Value::Interval(match *micros {
                i64::MAX => Interval::Infinity,
                i64::MIN => Interval::NegInfinity,
                micros => Interval::Span { months: 0, days: 0, micros },
            })),
            (Form::IsoDate, Value::Text(text)) => iso::read_date(text).map(Value::Date),
            (Form::IsoTime, Value::Text(text)) => iso::read_time(text).map(Value::Time),
            (Form::ZonedTime, Value::Text(text)) => iso::read_time_tz(text).map(Value::TimeTz),
            (Form::IsoTimestamp | Form::ZonedTimestamp { .. }, Value::Text(text)) => {
                iso::read_timestamp(text).map(Value::Timestamp)
            }
            (Form::IsoInterval, Value::Text(text)) => iso::read_interval(text).map(Value::Interval),
            (Form::Uuid, Value::Text(text)) => read_uuid(text).map(Value::Uuid),
            _ => None,
        };
        match raised {
            Some(raised)
                if self.lower(&raised.as_ref()).is_ok_and(|back| self.same(&back, &value)) =>
            {
                raised
            }
            _ => value,
        }
    }

    /// Whether what was raised is written again as it came.
    fn same(&self, back: &Value, original: &Value) -> bool {
        match (back, original) {
            (Value::Decimal(decimal), Value::Bytes(bytes)) => {
                decimal.unscaled_be_bytes().is_some_and(|unscaled| unscaled == **bytes)
            }
            (back, original) => back == original,
        }
    }

    fn widened(&self, value: i64) -> Value {
        use super::schema::ConnectType as T;
        match self.connect_type {
            T::Int16 => i16::try_from(value).map_or(Value::Int64(value), Value::Int16),
            T::Int32 => i32::try_from(value).map_or(Value::Int64(value), Value::Int32),
            _ => Value::Int64(value),
        }
    }
}

/// An integer of any width.
pub(crate) fn integer(value: &ValueRef<'_>) -> Result<i64> {
    Ok(match value {
        ValueRef::Int8(v) => i64::from(*v),
        ValueRef::Int16(v) => i64::from(*v),
        ValueRef::Int32(v) => i64::from(*v),
        ValueRef::Int64(v) => *v,
        ValueRef::UInt8(v) => i64::from(*v),
        ValueRef::UInt16(v) => i64::from(*v),
        ValueRef::UInt32(v) => i64::from(*v),
        ValueRef::UInt64(v) => i64::try_from(*v).map_err(|_| out_of_range("unsigned integer"))?,
        _ => return Err(Error::data("not an integer")),
    })
}

fn out_of_range(what: &str) -> Error {
    Error::data(format!("the {what} is out of the range of its Connect type"))
}

/// The decimal at the scale of its schema.
pub(crate) fn at_scale(decimal: &Decimal, scale: i32) -> Result<Decimal> {
    if decimal.scale() == Some(scale) {
        return Ok(decimal.clone());
    }
    if !decimal.is_finite() {
        return Err(Error::data(format!("{decimal} has no form as a Connect Decimal"))
            .remedy("set decimal.handling.mode to string or double"));
    }
    decimal.rescale(scale).ok_or_else(|| {
        Error::data(
            "Decimal value has mismatching scale for given Decimal schema. ".to_owned()
                + &format!(
                    "Schema has scale {scale}, value has scale {}.",
                    decimal.scale().unwrap_or(0)
                ),
        )
    })
}

/// `12.3450` as `12.345`; a whole number stays what it is.
pub(crate) fn without_zeros_at_the_end(decimal: &Decimal) -> Decimal {
    let (Some(unscaled), Some(scale)) = (decimal.unscaled(), decimal.scale()) else {
        return decimal.clone();
    };
    let digits = unscaled.to_string();
    let zeros = digits.bytes().rev().take_while(|&digit| digit == b'0').count();
    let zeros = i32::try_from(zeros).unwrap_or(i32::MAX).min(scale.max(0));
    let all = if digits == "0" { scale.max(0) } else { zeros };
    decimal.rescale(scale - all).unwrap_or_else(|| decimal.clone())
}

/// A decimal in plain notation, the specials by the names of Debezium.
pub(crate) fn write_decimal_text(decimal: &Decimal, out: &mut Vec<u8>) {
    use std::io::Write as _;
    if *decimal == Decimal::NAN {
        out.extend_from_slice(b"NAN");
    } else if *decimal == Decimal::INFINITY {
        out.extend_from_slice(b"POSITIVE_INFINITY");
    } else if *decimal == Decimal::NEG_INFINITY {
        out.extend_from_slice(b"NEGATIVE_INFINITY");
    } else {
        let _ = write!(out, "{decimal}");
    }
}

/// Bytes as text.
pub(crate) fn write_binary_text(mode: BinaryHandling, bytes: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match mode {
        BinaryHandling::Bytes | BinaryHandling::Base64 => base64::encode(bytes, out),
        BinaryHandling::Base64UrlSafe => base64::encode_url_safe(bytes, out),
        BinaryHandling::Hex => {
            for byte in bytes {
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            }
        }
    }
}

/// Whether the last bit is set.
pub(crate) fn is_set(bits: &Bits) -> bool {
    bit(bits, bits.length.saturating_sub(1))
}

fn bit(bits: &Bits, index: u32) -> bool {
    let at = usize::try_from(index / 8).unwrap_or(usize::MAX);
    bits.bytes.get(at).is_some_and(|byte| byte >> (7 - index % 8) & 1 == 1)
}

/// The bits as a little-endian number, zero bytes at the end left out, as `java.util.BitSet` gives them.
pub(crate) fn little_endian(bits: &Bits) -> Vec<u8> {
    let mut out = vec![0u8; usize::try_from(bits.length.div_ceil(8)).unwrap_or(0)];
    for (place, index) in (0..bits.length).rev().enumerate() {
        if let Some(byte) = out.get_mut(place / 8).filter(|_| bit(bits, index)) {
            *byte |= 1 << (place % 8);
        }
    }
    while out.last() == Some(&0) {
        out.pop();
    }
    out
}

/// Bits of a length, or as many as the number needs; `None` where the length is too short.
fn from_little_endian(bytes: &[u8], length: Option<u32>) -> Option<Bits> {
    let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |at| {
        let byte_bits = 8 - bytes.get(at).map_or(8, |byte| byte.leading_zeros());
        u32::try_from(at).unwrap_or(u32::MAX).saturating_mul(8).saturating_add(byte_bits)
    });
    let length = length.unwrap_or(used);
    // A declared length is no reason to take more memory than a database would.
    if length < used || length > 1 << 26 {
        return None;
    }
    let mut out = vec![0u8; usize::try_from(length.div_ceil(8)).ok()?];
    for place in 0..used {
        let byte = bytes.get(usize::try_from(place / 8).ok()?)?;
        if byte >> (place % 8) & 1 == 1 {
            let index = length - 1 - place;
            *out.get_mut(usize::try_from(index / 8).ok()?)? |= 1 << (7 - index % 8);
        }
    }
    Some(Bits { length, bytes: out.into() })
}

/// Days since the epoch; the infinities are the ends of the range, which no calendar date reaches.
pub(crate) fn days(date: Date) -> i32 {
    match date {
        Date::Days(day) => day,
        Date::Infinity => i32::MAX,
        Date::NegInfinity => i32::MIN,
    }
}

/// A time in a unit.
pub(crate) fn time_count(time: Time, unit: TimeUnit) -> Result<i64> {
    time.to_unit(unit).ok_or_else(|| out_of_range("time"))
}

/// A timestamp in a unit.
pub(crate) fn timestamp_count(timestamp: Timestamp, unit: TimeUnit) -> Result<i64> {
    match (timestamp, unit) {
        (Timestamp::Infinity, TimeUnit::Nano) => Ok(i64::MAX),
        (Timestamp::NegInfinity, TimeUnit::Nano) => Ok(i64::MIN),
        (Timestamp::Infinity, _) => Ok(TIMESTAMP_INFINITY),
        (Timestamp::NegInfinity, _) => Ok(TIMESTAMP_NEG_INFINITY),
        (at, unit) => at.to_unit(unit).ok_or_else(|| out_of_range("timestamp")),
    }
}

fn timestamp(count: i64, unit: TimeUnit) -> Timestamp {
    match (count, unit) {
        (i64::MAX, TimeUnit::Nano) => Timestamp::Infinity,
        (i64::MIN, TimeUnit::Nano) => Timestamp::NegInfinity,
        (TIMESTAMP_INFINITY, TimeUnit::Milli | TimeUnit::Micro) => Timestamp::Infinity,
        (TIMESTAMP_NEG_INFINITY, TimeUnit::Milli | TimeUnit::Micro) => Timestamp::NegInfinity,
        (value, unit) => Timestamp::At { value, unit },
    }
}

/// An interval in microseconds.
pub(crate) fn micro_duration(interval: Interval) -> Result<i64> {
    let (months, days, micros) = match interval {
        Interval::Span { months, days, micros } => (months, days, micros),
        Interval::Infinity => return Ok(i64::MAX),
        Interval::NegInfinity => return Ok(i64::MIN),
    };
    i64::from(months)
        .checked_mul(MICROS_A_MONTH)
        .and_then(|sum| sum.checked_add(i64::from(days).checked_mul(MICROS_A_DAY)?))
        .and_then(|sum| sum.checked_add(micros))
        .ok_or_else(|| out_of_range("interval"))
}

fn read_uuid(text: &str) -> Option<Uuid> {
    let bytes = text.as_bytes();
    if bytes.len() != 36 {
        return None;
    }
    let mut out = [0u8; 16];
    let mut digits = bytes.iter().enumerate().filter(|(at, _)| !matches!(at, 8 | 13 | 18 | 23));
    for byte in &mut out {
        for _ in 0..2 {
            let (_, digit) = digits.next()?;
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return None,
            };
            *byte = *byte << 4 | value;
        }
    }
    [8, 13, 18, 23].iter().all(|&at| bytes[at] == b'-').then_some(Uuid(out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bits(text: &str) -> Bits {
        let mut bytes = vec![0u8; text.len().div_ceil(8)];
        for (at, letter) in text.bytes().enumerate() {
            bytes[at / 8] |= (letter - b'0') << (7 - at % 8);
        }
        Bits { length: u32::try_from(text.len()).unwrap(), bytes: bytes.into() }
    }

    #[test]
    fn bits_are_a_little_endian_number() {
        assert_eq!(little_endian(&bits("11")), [3]);
        assert_eq!(little_endian(&bits("1000000")), [64]);
        assert!(little_endian(&bits("00")).is_empty());
        assert_eq!(little_endian(&bits("000000110000001000000001")), [1, 2, 3]);
        assert_eq!(little_endian(&bits("111011010001000110000001000000001")), [1, 2, 35, 218, 1]);
    }

    #[test]
    fn an_interval_in_microseconds_takes_a_month_as_30_4375_days() {
        let span = Interval::Span { months: 14, days: 3, micros: 14_706_780_000 };
        assert_eq!(micro_duration(span).unwrap(), 37_091_106_780_000);
        let negative = Interval::Span { months: -1, days: -5, micros: 1 };
        assert_eq!(micro_duration(negative).unwrap(), -3_061_799_999_999);
    }

    #[test]
    fn uuids_in_another_form_are_not_read() {
        let text = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
        assert_eq!(read_uuid(text).unwrap().to_string(), text);
        assert_eq!(read_uuid(&text.to_uppercase()), None);
        assert_eq!(read_uuid(&text.replace('-', "0")), None);
    }

    proptest! {
        #[test]
        fn bits_of_a_known_length_are_read_back(text in "[01]{1,80}") {
            let bits = bits(&text);
            prop_assert_eq!(from_little_endian(&little_endian(&bits), Some(bits.length)), Some(bits));
        }
    }
}
