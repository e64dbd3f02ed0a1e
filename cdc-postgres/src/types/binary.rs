//! Bytes, bits and UUIDs.

use bytes::Bytes;
use cdc_core::value::{Bits, Uuid};

use super::ValueError;

fn nibble(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// `\x` and two hexadecimal digits a byte (`bytea_output = hex`).
pub(super) fn bytea(text: &[u8]) -> Result<Bytes, ValueError> {
    let error = || ValueError::new("bytea", text);
    let digits = text.strip_prefix(b"\\x").ok_or_else(error)?;
    if digits.len() % 2 != 0 {
        return Err(error());
    }
    let mut bytes = Vec::with_capacity(digits.len() / 2);
    for pair in digits.chunks_exact(2) {
        let (Some(high), Some(low)) = (nibble(pair[0]), nibble(pair[1])) else {
            return Err(error());
        };
        bytes.push(high << 4 | low);
    }
    Ok(bytes.into())
}

/// `0` and `1`, the first bit first.
pub(super) fn bits(text: &[u8]) -> Result<Bits, ValueError> {
    let error = || ValueError::new("bit", text);
    let length = u32::try_from(text.len()).map_err(|_| error())?;
    let mut bytes = vec![0u8; text.len().div_ceil(8)];
    for (byte, digits) in bytes.iter_mut().zip(text.chunks(8)) {
        for (at, digit) in digits.iter().enumerate() {
            match digit {
                b'0' => {}
                b'1' => *byte |= 0x80 >> at,
                _ => return Err(error()),
            }
        }
    }
    Ok(Bits { length, bytes: bytes.into() })
}

/// The hyphenated form.
pub(super) fn uuid(text: &[u8]) -> Result<Uuid, ValueError> {
    let error = || ValueError::new("uuid", text);
    let mut bytes = [0u8; 16];
    let mut digits = text.iter().copied().filter(|byte| *byte != b'-').map(nibble);
    for byte in &mut bytes {
        let (Some(Some(high)), Some(Some(low))) = (digits.next(), digits.next()) else {
            return Err(error());
        };
        *byte = high << 4 | low;
    }
    if digits.next().is_some() { Err(error()) } else { Ok(Uuid(bytes)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_from_hexadecimal() {
        assert_eq!(bytea(b"\\x00ffA0").unwrap(), [0x00, 0xff, 0xa0][..]);
        assert_eq!(bytea(b"\\x").unwrap(), [][..]);
        assert!(bytea(b"abc").is_err() && bytea(b"\\x0").is_err() && bytea(b"\\x0g").is_err());
    }

    #[test]
    fn bits_keep_their_length() {
        let value = bits(b"1010000001").unwrap();
        assert_eq!((value.length, value.to_string().as_str()), (10, "1010000001"));
        assert_eq!(bits(b"").unwrap().length, 0);
        assert!(bits(b"102").is_err());
    }

    #[test]
    fn a_uuid_needs_all_its_digits() {
        let text = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
        assert_eq!(uuid(text.as_bytes()).unwrap().to_string(), text);
        assert!(uuid(b"a0eebc99").is_err());
    }
}
