//! Numbers and times in PostgreSQL's binary format (`numeric_send`, `date_send`, `timestamp_send` and their like).

use bytes::{BufMut, BytesMut};
use cdc_core::value::{Date, Decimal, Time, TimeUnit, Timestamp};

/// Days and microseconds from 1970 to 2000, where PostgreSQL begins to count.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = 946_684_800_000_000;

const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const NEG_INFINITY: u16 = 0xF000;
/// The most digits behind the point.
const MAX_SCALE: i32 = 16_383;
/// Ten thousands in an `i64` at any scale up to 18.
const SMALL_DIGITS: usize = 6;

/// The days of PostgreSQL's `date`.
pub(super) fn date(date: Date) -> Result<i32, String> {
    match date {
        Date::Infinity => Ok(i32::MAX),
        Date::NegInfinity => Ok(i32::MIN),
        Date::Days(days) => days.checked_sub(EPOCH_DAYS).ok_or_else(|| out_of_range("date")),
    }
}

/// The microseconds of PostgreSQL's `time`.
pub(super) fn time(time: Time) -> Result<i64, String> {
    micros(time.value, time.unit, "time")
}

/// The microseconds of PostgreSQL's `timestamp` and `timestamptz`.
pub(super) fn timestamp(timestamp: Timestamp) -> Result<i64, String> {
    match timestamp {
        Timestamp::Infinity => Ok(i64::MAX),
        Timestamp::NegInfinity => Ok(i64::MIN),
        Timestamp::At { value, unit } => micros(value, unit, "timestamp")?
            .checked_sub(EPOCH_MICROS)
            .ok_or_else(|| out_of_range("timestamp")),
    }
}

/// Rounded to microseconds, as PostgreSQL rounds a text with more digits.
fn micros(value: i64, unit: TimeUnit, what: &str) -> Result<i64, String> {
    let micros = match unit {
        TimeUnit::Second => value.checked_mul(1_000_000),
        TimeUnit::Milli => value.checked_mul(1_000),
        TimeUnit::Micro => Some(value),
        TimeUnit::Nano => value.checked_add(500).map(|value| value.div_euclid(1_000)),
    };
    micros.ok_or_else(|| out_of_range(what))
}

fn out_of_range(what: &str) -> String {
    format!("the {what} is out of PostgreSQL's range")
}

/// Appends a `numeric` with its length in front.
pub(super) fn put_numeric(out: &mut BytesMut, decimal: &Decimal) -> Result<(), String> {
    if let Some((unscaled, scale @ 0..=18)) = decimal.to_small() {
        put_small(out, unscaled, u8::try_from(scale).unwrap_or(0));
        return Ok(());
    }
    let Some(scale) = decimal.scale() else {
        let sign = if *decimal == Decimal::NAN {
            NAN
        } else if *decimal == Decimal::INFINITY {
            INFINITY
        } else {
            NEG_INFINITY
        };
        return put(out, &[], 0, sign, 0);
    };
    // Zeros fill both sides of the point up to whole ten thousands.
    let text = decimal.to_string();
    let (negative, text) = match text.strip_prefix('-') {
        Some(text) => (true, text),
        None => (false, text.as_str()),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let front = whole.len().next_multiple_of(4) - whole.len();
    let back = fraction.len().next_multiple_of(4) - fraction.len();
    let digits: Vec<u8> = std::iter::repeat_n(b'0', front)
        .chain(whole.bytes())
        .chain(fraction.bytes())
        .chain(std::iter::repeat_n(b'0', back))
        .collect();
    let ten_thousands: Vec<i16> = digits
        .chunks(4)
        .map(|four| four.iter().fold(0, |sum, digit| sum * 10 + i16::from(digit - b'0')))
        .collect();
    let skipped = ten_thousands.iter().take_while(|&&digit| digit == 0).count();
    let kept = &ten_thousands[skipped..];
    let kept = &kept[..kept.len() - kept.iter().rev().take_while(|&&digit| digit == 0).count()];
    let weight = i64::try_from((whole.len() + front) / 4).unwrap_or(i64::MAX)
        - 1
        - i64::try_from(skipped).unwrap_or(0);
    let weight = if kept.is_empty() { 0 } else { weight };
    let scale = scale.max(0);
    let weight = i16::try_from(weight).map_err(|_| out_of_range("number"))?;
    if scale > MAX_SCALE {
        return Err(out_of_range("number"));
    }
    put(out, kept, weight, if negative { NEGATIVE } else { 0 }, u16::try_from(scale).unwrap_or(0))
}

/// A number of up to 19 digits, without an allocation.
fn put_small(out: &mut BytesMut, unscaled: i64, scale: u8) {
    let fill = (4 - scale % 4) % 4;
    let mut rest = u128::from(unscaled.unsigned_abs()) * 10u128.pow(u32::from(fill));
    let fraction = (scale + fill) / 4;
    let mut digits = [0i16; SMALL_DIGITS];
    let mut start = digits.len();
    while rest > 0 && start > 0 {
        start -= 1;
        // Numbers of 64 bits are divided several times as fast.
        let low = match u64::try_from(rest) {
            Ok(short) => {
                rest = u128::from(short / 10_000);
                short % 10_000
            }
            Err(_) => {
                let low = rest % 10_000;
                rest /= 10_000;
                u64::try_from(low).unwrap_or(0)
            }
        };
        digits[start] = i16::try_from(low).unwrap_or(0);
    }
    let kept = &digits[start..];
    let end = kept.iter().rposition(|&digit| digit != 0).map_or(0, |last| last + 1);
    let weight = match kept.len() {
        0 => 0,
        count => i16::try_from(count).unwrap_or(0) - 1 - i16::from(fraction),
    };
    let sign = if unscaled < 0 { NEGATIVE } else { 0 };
    // Six digits and a scale of 18 at most are in every range.
    let _ = put(out, &kept[..end], weight, sign, u16::from(scale));
}

fn put(
    out: &mut BytesMut,
    digits: &[i16],
    weight: i16,
    sign: u16,
    scale: u16,
) -> Result<(), String> {
    let count = i16::try_from(digits.len()).map_err(|_| out_of_range("number"))?;
    out.reserve(12 + 2 * digits.len());
    out.put_i32(8 + 2 * i32::from(count));
    out.put_i16(count);
    out.put_i16(weight);
    out.put_u16(sign);
    out.put_u16(scale);
    for &digit in digits {
        out.put_i16(digit);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Digits, weight, sign and scale.
    fn numeric(text: &str) -> (Vec<u16>, i16, u16, u16) {
        let mut out = BytesMut::new();
        put_numeric(&mut out, &text.parse().unwrap()).unwrap();
        let word = |at: usize| u16::from_be_bytes([out[at], out[at + 1]]);
        assert_eq!(usize::from(word(2)), out.len() - 4);
        assert_eq!(usize::from(word(4)), (out.len() - 12) / 2);
        let digits = (0..usize::from(word(4))).map(|index| word(12 + 2 * index)).collect();
        (digits, i16::from_be_bytes([out[6], out[7]]), word(8), word(10))
    }

    #[test]
    fn numbers_are_ten_thousands_around_the_point() {
        assert_eq!(numeric("0.00"), (vec![], 0, 0, 2));
        assert_eq!(numeric("12.50"), (vec![12, 5_000], 0, 0, 2));
        assert_eq!(numeric("-10000"), (vec![1], 1, NEGATIVE, 0));
        assert_eq!(numeric("0.00001"), (vec![1_000], -2, 0, 5));
        assert_eq!(numeric("123456.789"), (vec![12, 3_456, 7_890], 1, 0, 3));
        let longest = numeric("9223372036854775807");
        assert_eq!(longest, (vec![922, 3_372, 368, 5_477, 5_807], 4, 0, 0));
        assert_eq!(numeric("-9.223372036854775807").0, [9, 2_233, 7_203, 6_854, 7_758, 700]);
    }

    #[test]
    fn long_numbers_exponents_and_the_specials_have_the_same_form() {
        let long = numeric("-100000000000000000000000000000000.000000000000000000001");
        assert_eq!((long.0.first(), long.0.last(), long.1), (Some(&1), Some(&1_000), 8));
        assert_eq!((long.2, long.3), (NEGATIVE, 21));
        assert_eq!(numeric("5E+6"), (vec![500], 1, 0, 0));
        assert_eq!(numeric("0E+9"), (vec![], 0, 0, 0));
        assert_eq!(numeric("1E-21"), (vec![1_000], -6, 0, 21));
        assert_eq!(numeric("NaN"), (vec![], 0, NAN, 0));
        assert_eq!(numeric("-Infinity"), (vec![], 0, NEG_INFINITY, 0));
        let beyond = Decimal::new(1, MAX_SCALE + 1);
        assert!(put_numeric(&mut BytesMut::new(), &beyond).is_err());
    }

    #[test]
    fn times_count_from_the_year_2000() {
        assert_eq!(date(Date::Days(EPOCH_DAYS)), Ok(0));
        assert_eq!(date(Date::Infinity), Ok(i32::MAX));
        assert!(date(Date::Days(i32::MIN)).is_err());
        assert_eq!(timestamp(Timestamp::micros(EPOCH_MICROS)), Ok(0));
        let at = |value, unit| timestamp(Timestamp::At { value, unit });
        assert_eq!(at(0, TimeUnit::Milli), Ok(-EPOCH_MICROS));
        assert_eq!(at(1_499, TimeUnit::Nano), Ok(1 - EPOCH_MICROS));
        assert_eq!(at(-1_500, TimeUnit::Nano), Ok(-1 - EPOCH_MICROS));
        assert!(at(i64::MAX, TimeUnit::Milli).is_err());
        assert!(at(i64::MIN, TimeUnit::Micro).is_err());
    }
}
