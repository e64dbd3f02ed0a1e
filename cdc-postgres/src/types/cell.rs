//! The text of one value into the storage of rows: the common types without an allocation.
//!
//! Each reader here takes the usual form of its type, and leaves every other form, and every error, to [`parse`].

use std::str;

use bytes::Bytes;
use cdc_core::value::calendar::day_of_date;
use cdc_core::{RowsBuilder, Value};

use super::{Kind, ValueError, parse};

/// As many digits as surely fit 64 bits.
const SAFE_DIGITS: usize = 18;

/// Adds a value to the rows. `owner` is the buffer that the text is a part of: what is large stays a slice of it.
#[inline]
pub(crate) fn append(
    kind: &Kind,
    text: &[u8],
    owner: &Bytes,
    rows: &mut RowsBuilder,
) -> Result<(), ValueError> {
    match kind {
        Kind::Text if !RowsBuilder::is_large_text(text.len()) => {
            let text = str::from_utf8(text).map_err(|_| ValueError::new("text (UTF-8)", text))?;
            rows.text(text);
            return Ok(());
        }
        Kind::Int64 => {
            if let Some(number) = integer(text) {
                rows.int64(number);
                return Ok(());
            }
        }
        Kind::Int32 => {
            if let Some(number) = integer(text).and_then(|number| i32::try_from(number).ok()) {
                rows.int32(number);
                return Ok(());
            }
        }
        Kind::Int16 => {
            if let Some(number) = integer(text).and_then(|number| i16::try_from(number).ok()) {
                rows.int16(number);
                return Ok(());
            }
        }
        Kind::Bool if text == b"t" || text == b"f" => {
            rows.boolean(text == b"t");
            return Ok(());
        }
        Kind::Decimal => {
            if let Some((unscaled, scale)) = decimal(text) {
                rows.decimal(unscaled, scale);
                return Ok(());
            }
        }
        Kind::Timestamp => {
            if let Some(micros) = timestamp(text, false) {
                rows.timestamp_micros(micros);
                return Ok(());
            }
        }
        Kind::TimestampTz => {
            if let Some(micros) = timestamp(text, true) {
                rows.timestamp_micros(micros);
                return Ok(());
            }
        }
        _ => {}
    }
    let value: Value = parse(kind, owner.slice_ref(text))?;
    rows.value(value);
    Ok(())
}

/// Digits alone, to a number.
#[inline]
fn digits(text: &[u8]) -> Option<i64> {
    let mut number = 0i64;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + i64::from(digit);
    }
    Some(number)
}

#[inline]
fn integer(text: &[u8]) -> Option<i64> {
    let (negative, number) = match text {
        [b'-', rest @ ..] => (true, rest),
        all => (false, all),
    };
    if number.is_empty() || number.len() > SAFE_DIGITS {
        return None;
    }
    let number = digits(number)?;
    Some(if negative { -number } else { number })
}

/// `-12.50` and the like to unscaled value and scale.
#[inline]
fn decimal(text: &[u8]) -> Option<(i64, i32)> {
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        all => (false, all),
    };
    if text.len() > SAFE_DIGITS {
        return None;
    }
    let mut unscaled = 0i64;
    let mut point = None;
    for (at, byte) in text.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            unscaled = unscaled * 10 + i64::from(digit);
        } else if *byte == b'.' && point.is_none() {
            point = Some(at);
        } else {
            return None;
        }
    }
    let scale = match point {
        Some(at) => text.len() - at - 1,
        None => 0,
    };
    if text.len() == usize::from(point.is_some()) {
        return None;
    }
    Some((if negative { -unscaled } else { unscaled }, i32::try_from(scale).ok()?))
}

/// `YYYY-MM-DD HH:MM:SS[.ffffff]`, with the zone UTC behind it where there is one.
#[inline]
fn timestamp(text: &[u8], zone: bool) -> Option<i64> {
    let text = if zone { text.strip_suffix(b"+00")? } else { text };
    let (date_and_time, fraction) = text.split_first_chunk::<19>()?;
    let two = |at: usize| digits(&date_and_time[at..at + 2]);
    let [_, _, _, _, b'-', _, _, b'-', _, _, b' ', _, _, b':', _, _, b':', _, _] = date_and_time
    else {
        return None;
    };
    let year = digits(&date_and_time[..4])?;
    let day = day_of_date(year, two(5)?, two(8)?)?;
    let (hours, minutes, seconds) = (two(11)?, two(14)?, two(17)?);
    if hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    let micros = match fraction {
        [] => 0,
        [b'.', fraction @ ..] if (1..=6).contains(&fraction.len()) => {
            let missing = u32::try_from(6 - fraction.len()).ok()?;
            digits(fraction)? * 10i64.pow(missing)
        }
        _ => return None,
    };
    Some((((day * 24 + hours) * 60 + minutes) * 60 + seconds) * 1_000_000 + micros)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KINDS: [Kind; 14] = [
        Kind::Bool,
        Kind::Int16,
        Kind::Int32,
        Kind::Int64,
        Kind::Oid,
        Kind::Float64,
        Kind::Decimal,
        Kind::Text,
        Kind::Bytes,
        Kind::Date,
        Kind::Time,
        Kind::Timestamp,
        Kind::TimestampTz,
        Kind::Interval,
    ];

    /// What comes out of the rows is what the general parser says, or both refuse it.
    fn agree(text: &[u8]) {
        let owner = Bytes::copy_from_slice(text);
        for kind in KINDS {
            let mut rows = RowsBuilder::new();
            let appended = append(&kind, &owner, &owner, &mut rows);
            match parse(&kind, owner.clone()) {
                Ok(value) => {
                    assert!(appended.is_ok(), "{kind:?} {text:?}");
                    assert_eq!(rows.peek(0), Some(value), "{kind:?} {text:?}");
                }
                Err(error) => assert_eq!(appended, Err(error), "{kind:?} {text:?}"),
            }
        }
    }

    #[test]
    fn the_fast_readers_agree_with_the_general_one() {
        for text in [
            "",
            "-",
            "+1",
            "1",
            "-1",
            "007",
            "32768",
            "-32768",
            "2147483648",
            "999999999999999999",
            "9223372036854775807",
            "9223372036854775808",
            "-9223372036854775808",
            "1.",
            ".5",
            ".",
            "-.",
            "-0.00",
            "12.50",
            "1.2.3",
            "1e5",
            "NaN",
            "Infinity",
            "t",
            "f",
            "true",
            "2026-01-01 00:00:00",
            "2026-01-01 00:00:00+00",
            "2026-01-01 00:00:00.5+00",
            "2026-01-01 00:00:00.123456+00",
            "2026-01-01 00:00:00.1234567+00",
            "2026-01-01 24:00:00",
            "2026-01-01 23:59:60",
            "2026-02-30 00:00:00",
            "2026-13-01 00:00:00",
            "2026-01-01 00:00:00.",
            "2026-01-01 00:00:00+01",
            "2026-01-01 00:00:00+05:30",
            "12026-01-01 00:00:00",
            "0044-03-15 12:00:00 BC",
            "0001-01-01 00:00:00+00 BC",
            "infinity",
            "-infinity",
            "2026-01-01",
            "0000-01-01 00:00:00",
            "1969-12-31 23:59:59.999999+00",
            "grün",
            "\\x00ff",
        ] {
            agree(text.as_bytes());
        }
        agree(b"\xff");
        agree(&[b'x'; 20_000]);
    }

    #[test]
    fn a_large_text_stays_a_slice_of_its_buffer() {
        let owner = Bytes::from(vec![b'x'; 50_000]);
        let mut rows = RowsBuilder::new();
        append(&Kind::Text, &owner, &owner, &mut rows).unwrap();
        let Some(Value::Text(text)) = rows.peek(0) else { panic!("not a text") };
        assert_eq!(text.as_str().as_ptr(), owner.as_ptr());
    }

    proptest! {
        #[test]
        fn they_agree_on_numbers(number: i64, scale in 0usize..20) {
            let text = number.to_string();
            agree(text.as_bytes());
            let at = text.len().saturating_sub(scale);
            agree(format!("{}.{}", &text[..at], &text[at..]).as_bytes());
        }

        #[test]
        fn they_agree_on_what_looks_like_a_value(text in "[-+0-9:. BCinfty]{0,32}") {
            agree(text.as_bytes());
        }

        #[test]
        fn they_agree_on_timestamps(
            year in 0i64..12_000, month in 0u32..14, day in 0u32..33, hour in 0u32..26, rest in "[0-9:.+]{0,16}",
        ) {
            agree(format!("{year:04}-{month:02}-{day:02} {hour:02}:{rest}").as_bytes());
            agree(format!("{year:04}-{month:02}-{day:02} {hour:02}:10:20{rest}+00").as_bytes());
        }
    }
}
