//! JSON strings and numbers as Jackson writes them.

use crate::connect::java_numbers;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Appends a quoted string. Jackson escapes quotes, backslashes, control characters (in upper case) and, as a pair
/// of escapes, everything beyond the Basic Multilingual Plane; U+007F and U+2028 are written as they are.
pub(crate) fn write_string(text: &str, out: &mut Vec<u8>) {
    write_quoted(text, &NEEDS_CARE, out);
}

/// The same for JSON that is itself a text, where Jackson writes characters of two units as they are.
pub(crate) fn write_string_in_text(text: &str, out: &mut Vec<u8>) {
    write_quoted(text, &NEEDS_ESCAPE, out);
}

fn write_quoted(text: &str, care: &[bool; 256], out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    if bytes.chunks(8).all(is_harmless) {
        out.extend_from_slice(bytes);
        out.push(b'"');
        return;
    }
    let mut start = 0;
    for (index, &byte) in bytes.iter().enumerate() {
        if !care[usize::from(byte)] {
            continue;
        }
        out.extend_from_slice(&bytes[start..index]);
        start = index + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\r' => out.extend_from_slice(b"\\r"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            0..=0x1f => unicode_escape(u16::from(byte), out),
            _ => {
                // The first byte of four.
                start = index + 4;
                if let Some(letter) = text.get(index..).and_then(|rest| rest.chars().next()) {
                    for unit in letter.encode_utf16(&mut [0; 2]) {
                        unicode_escape(*unit, out);
                    }
                }
            }
        }
    }
    out.extend_from_slice(&bytes[start..]);
    out.push(b'"');
}

/// Whether up to eight bytes are ASCII of which none is escaped, all at once (the high bits of `word - n` show a
/// byte below n where no byte has its own high bit set).
fn is_harmless(chunk: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let mut padded = [b' '; 8];
    padded[..chunk.len()].copy_from_slice(chunk);
    let word = u64::from_ne_bytes(padded);
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word;
    let quote = below(word ^ (ONES * u64::from(b'"')), 1);
    let backslash = below(word ^ (ONES * u64::from(b'\\')), 1);
    (word | below(word, 0x20) | quote | backslash) & HIGH == 0
}

const NEEDS_ESCAPE: [bool; 256] = bytes_to_stop_at(0x100);
const NEEDS_CARE: [bool; 256] = bytes_to_stop_at(0xf0);

const fn bytes_to_stop_at(first_of_four: usize) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] =
            byte < 0x20 || byte == b'"' as usize || byte == b'\\' as usize || byte >= first_of_four;
        byte += 1;
    }
    table
}

fn unicode_escape(unit: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\\u");
    for shift in [12, 8, 4, 0] {
        out.push(HEX[usize::from(unit >> shift & 15)]);
    }
}

/// Appends a `double`; NaN and the infinities as strings.
pub(crate) fn write_f64(value: f64, out: &mut Vec<u8>) {
    match java_numbers::special(value) {
        Some(name) => quoted(name, out),
        None => java_numbers::write_f64(value, out),
    }
}

/// Appends a `float`; NaN and the infinities as strings.
pub(crate) fn write_f32(value: f32, out: &mut Vec<u8>) {
    match java_numbers::special(f64::from(value)) {
        Some(name) => quoted(name, out),
        None => java_numbers::write_f32(value, out),
    }
}

fn quoted(name: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> String {
        let mut out = Vec::new();
        write_string(text, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn only_what_jackson_escapes_is_escaped() {
        assert_eq!(
            json("q\"b\\s/ \n\t\r\u{8}\u{c}\u{1}\u{1f}"),
            r#""q\"b\\s/ \n\t\r\b\f\u0001\u001F""#
        );
        assert_eq!(json("ü\u{7f}\u{2028}"), "\"ü\u{7f}\u{2028}\"");
        assert_eq!(json("a\u{1f600}b"), r#""a\uD83D\uDE00b""#);
    }
}
