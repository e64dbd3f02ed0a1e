//! Numbers as Java prints them: `Double.toString`, `Float.toString` and `BigDecimal.toString`.
//!
//! JSON of Connect, the string converter and headers all show numbers in these forms, so a byte-for-byte equal
//! record needs them. The shortest form of floats is that of Java 19 and later (JDK-4511638).

use std::io::Write as _;

use crate::value::Decimal;
pub(crate) use crate::value::digits::write_u64;

/// Appends an integer in decimal.
#[inline]
pub(crate) fn write_i64(value: i64, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    write_u64(value.unsigned_abs(), out);
}

/// Appends a finite or special `double` as `Double.toString` prints it.
pub(crate) fn write_f64(value: f64, out: &mut Vec<u8>) {
    if let Some(special) = special(value) {
        out.extend_from_slice(special.as_bytes());
        return;
    }
    let mut scratch = Vec::with_capacity(32);
    let _ = write!(scratch, "{value:e}");
    if is_one_digit(&scratch) {
        // Java takes the nearest of the decimals of two digits where one would do (5e-324 is printed 4.9E-324).
        let mut two = Vec::with_capacity(32);
        let _ = write!(two, "{value:.1e}");
        if std::str::from_utf8(&two).ok().and_then(|t| t.parse::<f64>().ok()) == Some(value) {
            scratch = two;
        }
    }
    java_form(&scratch, out);
}

/// Appends a finite or special `float` as `Float.toString` prints it.
pub(crate) fn write_f32(value: f32, out: &mut Vec<u8>) {
    if let Some(special) = special(f64::from(value)) {
        out.extend_from_slice(special.as_bytes());
        return;
    }
    let mut scratch = Vec::with_capacity(32);
    let _ = write!(scratch, "{value:e}");
    if is_one_digit(&scratch) {
        let mut two = Vec::with_capacity(32);
        let _ = write!(two, "{value:.1e}");
        if std::str::from_utf8(&two).ok().and_then(|t| t.parse::<f32>().ok()) == Some(value) {
            scratch = two;
        }
    }
    java_form(&scratch, out);
}

/// The name of NaN and the infinities; `None` for a number.
pub(crate) fn special(value: f64) -> Option<&'static str> {
    if value.is_nan() {
        Some("NaN")
    } else if value.is_infinite() {
        Some(if value > 0.0 { "Infinity" } else { "-Infinity" })
    } else {
        None
    }
}

fn is_one_digit(scientific: &[u8]) -> bool {
    !scientific.contains(&b'.')
}

/// Turns `-1.25e-7` into Java's layout: plain between 10^-3 and 10^7, else with an `E`.
fn java_form(scientific: &[u8], out: &mut Vec<u8>) {
    let (negative, rest) = match scientific.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, scientific),
    };
    if negative {
        out.push(b'-');
    }
    let at = rest.iter().position(|&byte| byte == b'e').unwrap_or(rest.len());
    let exponent: i32 = std::str::from_utf8(rest.get(at + 1..).unwrap_or_default())
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let mut digits: Vec<u8> = rest[..at].iter().copied().filter(u8::is_ascii_digit).collect();
    while digits.len() > 1 && digits.last() == Some(&b'0') {
        digits.pop();
    }
    if digits == b"0" {
        out.extend_from_slice(b"0.0");
        return;
    }
    if (-3..7).contains(&exponent) {
        match usize::try_from(exponent) {
            Ok(whole) => {
                let whole = whole + 1;
                for index in 0..whole {
                    out.push(digits.get(index).copied().unwrap_or(b'0'));
                }
                out.push(b'.');
                out.extend_from_slice(
                    digits.get(whole..).filter(|d| !d.is_empty()).unwrap_or(b"0"),
                );
            }
            Err(_) => {
                out.extend_from_slice(b"0.");
                for _ in exponent..-1 {
                    out.push(b'0');
                }
                out.extend_from_slice(&digits);
            }
        }
        return;
    }
    out.push(digits[0]);
    out.push(b'.');
    out.extend_from_slice(digits.get(1..).filter(|d| !d.is_empty()).unwrap_or(b"0"));
    out.push(b'E');
    write_i64(i64::from(exponent), out);
}

/// Appends a decimal as `BigDecimal.toString` prints it: plain, or with an exponent where the scale is negative or
/// the number very small. NaN and the infinities are written by name.
pub(crate) fn write_big_decimal(value: &Decimal, out: &mut Vec<u8>) {
    let (Some(unscaled), Some(scale)) = (value.unscaled(), value.scale()) else {
        let _ = write!(out, "{value}");
        return;
    };
    let text = unscaled.to_string();
    let digits = text.trim_start_matches('-');
    let count = i64::try_from(digits.len()).unwrap_or(i64::MAX);
    let adjusted = count - 1 - i64::from(scale);
    if scale == 0 {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    if scale > 0 && adjusted >= -6 {
        let _ = write!(out, "{value}");
        return;
    }
    if text.starts_with('-') {
        out.push(b'-');
    }
    out.extend_from_slice(&digits.as_bytes()[..1]);
    if digits.len() > 1 {
        out.push(b'.');
        out.extend_from_slice(&digits.as_bytes()[1..]);
    }
    if adjusted != 0 {
        out.push(b'E');
        if adjusted > 0 {
            out.push(b'+');
        }
        write_i64(adjusted, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn double(value: f64) -> String {
        let mut out = Vec::new();
        write_f64(value, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn float(value: f32) -> String {
        let mut out = Vec::new();
        write_f32(value, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn decimal(text: &str) -> String {
        let mut out = Vec::new();
        write_big_decimal(&text.parse().unwrap(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn doubles_have_the_form_of_java() {
        for (value, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (100.0, "100.0"),
            (1e7, "1.0E7"),
            (9_999_999.0, "9999999.0"),
            (12_345_678.9, "1.23456789E7"),
            (0.001, "0.001"),
            (0.0001, "1.0E-4"),
            (5e-324, "4.9E-324"),
            (2e-7, "2.0E-7"),
            (f64::MAX, "1.7976931348623157E308"),
            (123.456, "123.456"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(double(value), text);
        }
    }

    #[test]
    fn floats_are_shortest_as_floats() {
        for (value, text) in
            [(3.3, "3.3"), (16_777_216.0, "1.6777216E7"), (1.4e-45, "1.4E-45"), (1e10, "1.0E10")]
        {
            assert_eq!(float(value), text);
        }
    }

    #[test]
    fn decimals_change_to_an_exponent_where_big_decimal_does() {
        for (input, text) in [
            ("15.60", "15.60"),
            ("0.00001", "0.00001"),
            ("-0.000000000000000000000000000001", "-1E-30"),
            ("5E+2", "5E+2"),
            ("1.23E+5", "1.23E+5"),
            ("0.0000001", "1E-7"),
            ("0.000000", "0.000000"),
        ] {
            assert_eq!(decimal(input), text);
        }
    }

    #[test]
    fn integers_of_every_length_are_written() {
        for value in [0, 7, 10, 99, 100, 101, 12345, i64::MAX, i64::MIN, -1] {
            let mut out = Vec::new();
            write_i64(value, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), value.to_string());
        }
    }
}
