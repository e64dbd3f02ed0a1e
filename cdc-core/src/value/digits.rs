//! Integers in decimal, eight digits at a time.

const TEN_8: u64 = 100_000_000;
const TEN_16: u64 = TEN_8 * TEN_8;

/// The digits of an integer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Digits {
    buffer: [u8; 24],
    at: usize,
}

impl Digits {
    pub(crate) fn of(value: u64) -> Self {
        let mut buffer = [0; 24];
        let low = lanes(value % TEN_8);
        buffer[16..].copy_from_slice(&ascii(low));
        if value < TEN_8 {
            return Digits { buffer, at: 16 + zeros_in_front(low) };
        }
        let middle = lanes(value / TEN_8 % TEN_8);
        buffer[8..16].copy_from_slice(&ascii(middle));
        if value < TEN_16 {
            return Digits { buffer, at: 8 + zeros_in_front(middle) };
        }
        let high = lanes(value / TEN_16);
        buffer[..8].copy_from_slice(&ascii(high));
        Digits { buffer, at: zeros_in_front(high) }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.buffer[self.at..]
    }
}

/// The first three digits of a number of nineteen, with five bytes that do not count, then eight and eight; `None` of
/// other numbers.
#[inline(always)]
pub(crate) fn nineteen_digits(value: u64) -> Option<[[u8; 8]; 3]> {
    let high = value / TEN_16;
    if !(100..1_000).contains(&high) {
        return None;
    }
    let (high, _) = without_zeros_in_front(lanes(high));
    Some([high, ascii(lanes(value / TEN_8 % TEN_8)), ascii(lanes(value % TEN_8))])
}

/// Appends an integer in decimal.
#[inline]
pub(crate) fn write_u64(value: u64, out: &mut Vec<u8>) {
    each_word(value, |digits, len| {
        out.extend_from_slice(&digits);
        out.truncate(out.len() - (8 - len));
    });
}

/// Gives the digits of an integer in words, each with how many of its eight bytes count: copies of eight bytes are
/// cheaper than those of a few.
#[inline(always)]
pub(crate) fn each_word(value: u64, mut word: impl FnMut([u8; 8], usize)) {
    if value < TEN_8 {
        let (digits, len) = without_zeros_in_front(lanes(value));
        return word(digits, len);
    }
    if value < TEN_16 {
        let (digits, len) = without_zeros_in_front(lanes(value / TEN_8));
        word(digits, len);
    } else {
        let (digits, len) = without_zeros_in_front(lanes(value / TEN_16));
        word(digits, len);
        word(ascii(lanes(value / TEN_8 % TEN_8)), 8);
    }
    word(ascii(lanes(value % TEN_8)), 8);
}

#[inline(always)]
fn without_zeros_in_front(lanes: u64) -> ([u8; 8], usize) {
    let zeros = zeros_in_front(lanes);
    (((lanes | 0x3030_3030_3030_3030) >> (8 * zeros)).to_le_bytes(), 8 - zeros)
}

/// The digits of a number below 10^8, one in each byte, the first one lowest: halves, then quarters of the number are
/// divided side by side in one register.
#[inline(always)]
fn lanes(value: u64) -> u64 {
    let halves = (value / 10_000) | ((value % 10_000) << 32);
    let hundreds = ((halves * 10_486) >> 20) & 0x7f_0000_007f;
    let quarters = hundreds | ((halves - hundreds * 100) << 16);
    let tens = ((quarters * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | ((quarters - tens * 10) << 8)
}

fn ascii(lanes: u64) -> [u8; 8] {
    (lanes | 0x3030_3030_3030_3030).to_le_bytes()
}

/// How many of eight digits stand in front of the first that counts; the last one always counts.
fn zeros_in_front(lanes: u64) -> usize {
    (lanes.trailing_zeros() as usize / 8).min(7)
}

/// All eight digits of a number below 10^8.
pub(crate) fn eight_digits(value: u32) -> [u8; 8] {
    ascii(lanes(u64::from(value) % TEN_8))
}

/// The two digits of every number below 100. The rest of the table is there so that no index is past its end.
const PAIRS: [[u8; 2]; 128] = {
    let mut pairs = [[b'0'; 2]; 128];
    let mut number = 0u8;
    while number < 100 {
        pairs[number as usize] = [b'0' + number / 10, b'0' + number % 10];
        number += 1;
    }
    pairs
};

/// The two digits of a number below 100.
#[inline(always)]
pub(crate) fn pair(value: u32) -> [u8; 2] {
    PAIRS[(value & 127) as usize]
}

/// The two digits of a number below 100.
pub(crate) fn two_digits(value: u8) -> [u8; 2] {
    let value = value % 100;
    [b'0' + value / 10, b'0' + value % 10]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_length_is_written() {
        let mut value = 0u64;
        loop {
            for value in [value, value.saturating_sub(1), value / 2, value / 7] {
                assert_eq!(Digits::of(value).as_bytes(), value.to_string().as_bytes());
                let mut out = Vec::new();
                write_u64(value, &mut out);
                assert_eq!(out, value.to_string().as_bytes());
            }
            match value.max(1).checked_mul(10) {
                Some(next) => value = next,
                None => break,
            }
        }
        assert_eq!(Digits::of(u64::MAX).as_bytes(), u64::MAX.to_string().as_bytes());
    }

    #[test]
    fn nineteen_digits_are_all_or_none() {
        let digits = nineteen_digits(1_234_567_890_123_456_789).map(|digits| digits.concat());
        let digits = digits.map(|digits| [&digits[..3], &digits[8..]].concat());
        assert_eq!(digits.as_deref(), Some(b"1234567890123456789".as_slice()));
        assert_eq!(nineteen_digits(999_999_999_999_999_999), None);
        assert_eq!(nineteen_digits(u64::MAX), None);
    }

    #[test]
    fn four_and_two_digits_are_divided_right() {
        for value in 0..10_000u32 {
            assert_eq!(eight_digits(value), *format!("{value:08}").as_bytes());
            assert_eq!(eight_digits(value * 10_000), *format!("{value:04}0000").as_bytes());
        }
        for value in 0..100u8 {
            assert_eq!(two_digits(value), *format!("{value:02}").as_bytes());
            assert_eq!(pair(u32::from(value)), two_digits(value));
        }
    }

    proptest! {
        #[test]
        fn digits_are_those_of_the_standard_library(value: u64) {
            let mut out = b"x".to_vec();
            write_u64(value, &mut out);
            prop_assert_eq!(String::from_utf8(out), Ok(format!("x{value}")));
            let digits = Digits::of(value);
            prop_assert_eq!(std::str::from_utf8(digits.as_bytes()), Ok(&*value.to_string()));
        }
    }
}
