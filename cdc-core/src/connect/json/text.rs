//! JSON strings and numbers as Jackson writes them.

use crate::connect::java_numbers;

const HEX: &[u8; 16] = b"0123456789ABCDEF";
/// The first byte of a letter beyond the Basic Multilingual Plane is this one or a greater one.
const FIRST_OF_FOUR: u8 = 0xf0;

/// Appends a quoted string. Jackson escapes quotes, backslashes, control characters (in upper case) and, as a pair
/// of escapes, everything beyond the Basic Multilingual Plane; U+007F and U+2028 are written as they are.
pub(crate) fn write_string(text: &str, out: &mut Vec<u8>) {
    write_quoted(text, true, out);
}

/// The same for JSON that is itself a text, where Jackson writes characters of two units as they are.
pub(crate) fn write_string_in_text(text: &str, out: &mut Vec<u8>) {
    write_quoted(text, false, out);
}

fn write_quoted(text: &str, escape_pairs: bool, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let mut start = 0;
    while let Some(found) = first_to_care_for(&bytes[start..]) {
        let at = start + found;
        let byte = bytes[at];
        if byte >= FIRST_OF_FOUR && !escape_pairs {
            out.extend_from_slice(&bytes[start..=at]);
            start = at + 1;
            continue;
        }
        out.extend_from_slice(&bytes[start..at]);
        start = at + 1;
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
                start = at + 4;
                if let Some(letter) = text.get(at..).and_then(|rest| rest.chars().next()) {
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

/// Copies a text between quotes where no byte needs care; `false` where one may, and then the copy is of no use. The
/// room is two bytes longer than the text.
#[inline]
pub(super) fn copy_clean(text: &[u8], room: &mut [u8]) -> bool {
    let [first, room @ .., last] = room else { return false };
    (*first, *last) = (b'"', b'"');
    // The last pieces overlap those before them: that is cheaper than bytes one by one.
    if let (Some(end), Some(room_end)) = (text.last_chunk::<16>(), room.last_chunk_mut::<16>()) {
        let mut care = [0; 2];
        *room_end = *end;
        look(end, &mut care);
        for (from, to) in text.as_chunks::<16>().0.iter().zip(room.as_chunks_mut::<16>().0) {
            *to = *from;
            look(from, &mut care);
        }
        return is_clean(care[0] | care[1]);
    }
    if let (Some(start), Some(end)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        if let Some(room) = room.first_chunk_mut() {
            *room = *start;
        }
        if let Some(room) = room.last_chunk_mut() {
            *room = *end;
        }
        let (start, end) = (u64::from_le_bytes(*start), u64::from_le_bytes(*end));
        return is_clean(care_in_word(start) | care_in_word(end));
    }
    if let (Some(start), Some(end)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        if let Some(room) = room.first_chunk_mut() {
            *room = *start;
        }
        if let Some(room) = room.last_chunk_mut() {
            *room = *end;
        }
        let both =
            u64::from(u32::from_le_bytes(*start)) << 32 | u64::from(u32::from_le_bytes(*end));
        return is_clean(care_in_word(both));
    }
    let mut care = false;
    for (from, to) in text.iter().zip(room) {
        *to = *from;
        care |= needs_care(*from);
    }
    !care
}

/// Looks at sixteen bytes as two words, side by side where the machine has registers for it.
#[inline(always)]
fn look(bytes: &[u8; 16], care: &mut [u64; 2]) {
    for (word, care) in bytes.as_chunks().0.iter().zip(care) {
        *care |= care_in_word(u64::from_le_bytes(*word));
    }
}

/// The high bit of one of the eight bytes is set where one of them needs care; the other bits say nothing.
#[inline(always)]
fn care_in_word(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // Bytes below a bound; a borrow comes only out of such a byte.
    let below = |word: u64, bound: u64| word.wrapping_sub(ONES * bound) & !word;
    let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    // 0xf0 and more: the high bit is set, and adding 0x10 to the others carries into it.
    let four = word & (word & (ONES * 0x7f)).wrapping_add(ONES * 0x10);
    below(word, 0x20) | is(b'"') | is(b'\\') | four
}

/// Whether no word had a byte that needs care.
#[inline(always)]
fn is_clean(care: u64) -> bool {
    care & 0x8080_8080_8080_8080 == 0
}

/// Where the first byte stands that may need care; `None` where there is none.
fn first_to_care_for(bytes: &[u8]) -> Option<usize> {
    let (chunks, rest) = bytes.as_chunks::<CHUNK>();
    let clean = chunks.iter().take_while(|chunk| !has_care(chunk)).count();
    if clean == chunks.len() && rest.len() < 4 {
        let within = rest.iter().position(|&byte| needs_care(byte))?;
        return Some(clean * CHUNK + within);
    }
    if clean == chunks.len() {
        // Blanks fill the last chunk.
        let mut last = [b' '; CHUNK];
        last[..rest.len()].copy_from_slice(rest);
        if !has_care(&last) {
            return None;
        }
    }
    let from = clean * CHUNK;
    bytes[from..].iter().position(|&byte| needs_care(byte)).map(|within| from + within)
}

/// Bytes that are looked at together, by few instructions of whatever width the machine has.
const CHUNK: usize = 32;

fn has_care(chunk: &[u8; CHUNK]) -> bool {
    let mut found = 0;
    for &byte in chunk {
        found |= u8::from(needs_care(byte));
    }
    found != 0
}

fn needs_care(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\') | (byte >= FIRST_OF_FOUR)
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

    #[test]
    fn a_text_is_copied_at_once_where_no_byte_needs_care() {
        for length in 0..70 {
            let mut text = vec![b'x'; length];
            for at in 0..length {
                for byte in 0..=255 {
                    text[at] = byte;
                    let mut room = vec![0; length + 2];
                    let is_clean = copy_clean(&text, &mut room);
                    assert_eq!(is_clean, !needs_care(byte), "{byte} at {at} of {length}");
                    assert!(!is_clean || room == [b"\"", &*text, b"\""].concat());
                }
                text[at] = [b'x', 0x7f, 0xc3, 0xef, b' ', b'!', b'#', b']'][at % 8];
            }
        }
        assert!(copy_clean(b"", &mut [0; 2]));
    }

    #[test]
    fn what_needs_care_is_found_at_every_place_of_a_long_text() {
        for length in 0..70 {
            for at in 0..length {
                let mut letters = vec!["x"; length];
                letters[at] = "\n";
                assert_eq!(
                    json(&letters.concat()),
                    format!("\"{}\"", letters.concat().replace('\n', "\\n"))
                );
                letters[at] = "\u{1f600}";
                let mut out = Vec::new();
                write_string_in_text(&letters.concat(), &mut out);
                assert_eq!(out, format!("\"{}\"", letters.concat()).as_bytes());
                assert_eq!(json(&letters.concat()).len(), length + 13);
            }
        }
    }
}
