//! Java's narrowing of numbers and reading of texts as numbers.

use cdc_core::value::{Decimal, Value};
use num_bigint::{BigInt, Sign};

/// The low 64 bits of a whole number.
fn low_bits(number: &BigInt) -> i64 {
    let bytes = number.to_signed_bytes_le();
    let fill = if number.sign() == Sign::Minus { 0xff } else { 0 };
    let mut low = [fill; 8];
    for (to, from) in low.iter_mut().zip(&bytes) {
        *to = *from;
    }
    i64::from_le_bytes(low)
}

/// `BigDecimal.longValue`: the fraction cut off, then the low 64 bits.
pub(crate) fn decimal_to_i64(decimal: &Decimal) -> i64 {
    let (Some(unscaled), Some(scale)) = (decimal.unscaled(), decimal.scale()) else { return 0 };
    let digits = unscaled.to_string().len();
    match usize::try_from(scale) {
        Ok(scale) if scale > digits => 0,
        Ok(_) => low_bits(&(unscaled / BigInt::from(10).pow(scale.unsigned_abs()))),
        Err(_) => {
            let modulus = BigInt::from(1u8) << 64;
            let power = BigInt::from(10).modpow(&BigInt::from(scale.unsigned_abs()), &modulus);
            low_bits(&(unscaled * power))
        }
    }
}

/// `Number.longValue`; `None` for what is no number.
pub(crate) fn to_i64(value: &Value) -> Option<i64> {
    Some(match value {
        Value::Int8(v) => i64::from(*v),
        Value::Int16(v) => i64::from(*v),
        Value::Int32(v) => i64::from(*v),
        Value::Int64(v) => *v,
        Value::Float32(v) => *v as i64,
        Value::Float64(v) => *v as i64,
        Value::Decimal(v) => decimal_to_i64(v),
        _ => return None,
    })
}

/// `Number.intValue`: floats stop at the ends of the range, integers lose their high bits.
pub(crate) fn to_i32(value: &Value) -> Option<i32> {
    match value {
        Value::Float32(v) => Some(*v as i32),
        Value::Float64(v) => Some(*v as i32),
        value => to_i64(value).map(|v| v as i32),
    }
}

/// `Number.doubleValue`.
pub(crate) fn to_f64(value: &Value) -> Option<f64> {
    Some(match value {
        Value::Float32(v) => f64::from(*v),
        Value::Float64(v) => *v,
        Value::Decimal(v) => v.to_f64(),
        value => to_i64(value)? as f64,
    })
}

/// `Number.floatValue`.
pub(crate) fn to_f32(value: &Value) -> Option<f32> {
    Some(match value {
        Value::Float32(v) => *v,
        Value::Float64(v) => *v as f32,
        Value::Decimal(v) => v.to_string().parse().unwrap_or_else(|_| v.to_f64() as f32),
        value => to_i64(value)? as f32,
    })
}

/// The part of a text that `Double.parseDouble` reads, in a form that Rust reads too.
fn float_text(text: &str) -> Option<&str> {
    let text = text.trim_matches(|c: char| c <= ' ');
    let unsigned = text.trim_start_matches(['+', '-']);
    if matches!(unsigned, "NaN" | "Infinity") {
        return Some(text);
    }
    let text = text.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(text);
    let plain = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-');
    (!text.is_empty() && text.chars().all(plain)).then_some(text)
}

/// `Double.parseDouble`; hexadecimal floats are not read.
pub(crate) fn parse_f64(text: &str) -> Option<f64> {
    float_text(text)?.parse().ok()
}

/// `Float.parseFloat`.
pub(crate) fn parse_f32(text: &str) -> Option<f32> {
    float_text(text)?.parse().ok()
}

/// `new BigDecimal(text)`.
pub(crate) fn parse_decimal(text: &str) -> Option<Decimal> {
    text.parse::<Decimal>().ok().filter(Decimal::is_finite)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_lose_their_fraction_and_high_bits() {
        for (text, expected) in [
            ("2.15", 2),
            ("-1.99", -1),
            ("9223372036854775808", i64::MIN),
            ("1e400", 0),
            ("1e-400", 0),
            ("1e3", 1000),
            ("-1e3", -1000),
        ] {
            assert_eq!(decimal_to_i64(&parse_decimal(text).unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn texts_are_read_as_java_reads_them() {
        assert_eq!(parse_f64(" 1.5f "), Some(1.5));
        assert_eq!(parse_f64("-Infinity"), Some(f64::NEG_INFINITY));
        for text in ["", "inf", "nan", "1,5", "--1", "0x10"] {
            assert_eq!(parse_f64(text), None, "{text}");
        }
    }
}
