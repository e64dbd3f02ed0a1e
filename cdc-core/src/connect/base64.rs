//! Base64 in the standard and the URL-safe alphabet, padded, as `java.util.Base64` and Jackson write it.

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Appends the bytes in the standard alphabet.
pub(crate) fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    encode_with(STANDARD, bytes, out);
}

/// Appends the bytes in the alphabet that is safe in URLs.
pub(crate) fn encode_url_safe(bytes: &[u8], out: &mut Vec<u8>) {
    encode_with(URL_SAFE, bytes, out);
}

fn encode_with(alphabet: &[u8; 64], bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len().div_ceil(3) * 4);
    let letter = |six: u32| alphabet[(six & 63) as usize];
    let mut chunks = bytes.chunks_exact(3);
    for chunk in &mut chunks {
        let n = u32::from(chunk[0]) << 16 | u32::from(chunk[1]) << 8 | u32::from(chunk[2]);
        out.extend_from_slice(&[letter(n >> 18), letter(n >> 12), letter(n >> 6), letter(n)]);
    }
    match *chunks.remainder() {
        [a] => {
            let n = u32::from(a) << 16;
            out.extend_from_slice(&[letter(n >> 18), letter(n >> 12), b'=', b'=']);
        }
        [a, b] => {
            let n = u32::from(a) << 16 | u32::from(b) << 8;
            out.extend_from_slice(&[letter(n >> 18), letter(n >> 12), letter(n >> 6), b'=']);
        }
        _ => {}
    }
}

/// The shortest big-endian two's complement of an integer, between quotes, and how many of the bytes count.
#[inline(always)]
pub(crate) fn quoted_i64(value: i64) -> ([u8; 16], usize) {
    // All bits but those that repeat the sign, and one for the sign.
    let bits = 65 - (value ^ (value >> 63)).leading_zeros();
    let bytes = bits.div_ceil(8);
    let first = value.cast_unsigned() << (64 - 8 * bytes);
    let letter = |six: u64| STANDARD[(six & 63) as usize];
    let quad = |n: u64| [letter(n >> 18), letter(n >> 12), letter(n >> 6), letter(n)];
    let mut text = [b'"'; 16];
    text[1..5].copy_from_slice(&quad(first >> 40));
    let mut end = 5;
    if bytes > 3 {
        text[5..9].copy_from_slice(&quad(first >> 16));
        end = 9;
    }
    if bytes > 6 {
        text[9..13].copy_from_slice(&quad(first << 8));
        end = 13;
    }
    match bytes % 3 {
        1 => text[end - 2..end].copy_from_slice(b"=="),
        2 => text[end - 1] = b'=',
        _ => {}
    }
    (text, end + 1)
}

/// Reads the standard alphabet with its padding; `None` when anything else is in it.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.as_bytes();
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let quads = text.len() / 4;
    for (index, quad) in text.chunks_exact(4).enumerate() {
        let padding = quad.iter().rev().take_while(|&&byte| byte == b'=').count();
        if padding > 2 || (padding > 0 && index + 1 != quads) {
            return None;
        }
        let mut n = 0u32;
        for &byte in &quad[..4 - padding] {
            n = n << 6 | six_bits(byte)?;
        }
        n <<= 6 * padding;
        let [_, a, b, c] = n.to_be_bytes();
        out.extend_from_slice(&[a, b, c][..3 - padding]);
    }
    Some(out)
}

fn six_bits(byte: u8) -> Option<u32> {
    Some(u32::from(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_alphabets_differ_in_two_letters() {
        let mut out = Vec::new();
        encode(&[0xfb, 0xff, 0x00], &mut out);
        encode_url_safe(&[0xfb, 0xff], &mut out);
        assert_eq!(out, b"+/8A-_8=");
    }

    #[test]
    fn what_is_not_base64_is_none() {
        for text in ["YQ", "!!!!", "=AAA", "AA=A", "YQ==YQ==", "A===", "é==="] {
            assert_eq!(decode(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn decoding_inverts_encoding(bytes: Vec<u8>) {
            let mut out = Vec::new();
            encode(&bytes, &mut out);
            prop_assert_eq!(decode(std::str::from_utf8(&out).unwrap()), Some(bytes));
        }
    }
}
