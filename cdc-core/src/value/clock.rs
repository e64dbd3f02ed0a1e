//! The text of days and times of day, made on the stack: what all text forms of dates and times have in common.

use std::fmt;

use super::digits::{Digits, eight_digits};

/// Digits of a fraction of a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fraction {
    /// As many as it needs, and no point where it is zero.
    Trimmed,
    /// So many, nine at most; the rest is cut off.
    Fixed(u32),
}

/// A date, a time of day or both as text in the making, without an allocation.
///
/// ```
/// use cdc_core::value::calendar::date_of_day;
/// use cdc_core::value::clock::{ClockText, Fraction};
///
/// let mut text = ClockText::new();
/// let (year, month, day) = date_of_day(19_782);
/// text.date(year, month, day);
/// text.push(b'T');
/// text.clock(49_530, 500_000_000, Fraction::Trimmed);
/// assert_eq!(text.as_str(), "2024-02-29T13:45:30.5");
/// ```
#[derive(Clone, Copy)]
pub struct ClockText {
    buffer: [u8; ROOM],
    len: usize,
}

/// A year of 20 digits, `-MM-DD`, a separator, hours of 20 digits, `:MM:SS`, nine digits of a fraction, and an offset.
const ROOM: usize = 80;

impl ClockText {
    /// No text.
    pub const fn new() -> Self {
        ClockText { buffer: [0; ROOM], len: 0 }
    }

    /// Appends an ASCII character; what is none is left out.
    pub fn push(&mut self, character: u8) {
        if character.is_ascii() {
            self.extend(&[character]);
        }
    }

    /// Appends ASCII text, such as the offset from UTC; what is none, or too long, is left out.
    pub fn push_str(&mut self, text: &str) {
        if text.is_ascii() {
            self.extend(text.as_bytes());
        }
    }

    /// Appends `YYYY-MM-DD`. The year has four digits or more and no sign: how years before 1 are written differs.
    pub fn date(&mut self, year: i64, month: i64, day: i64) {
        let (month, day) = (u32::try_from(month).unwrap_or(0), u32::try_from(day).unwrap_or(0));
        let digits = match u32::try_from(year) {
            Ok(year @ 0..=9_999) => eight_digits(year * 10_000 + month * 100 + day),
            _ => {
                let year = Digits::of(year.unsigned_abs());
                let year = year.as_bytes();
                self.extend(&b"0000"[year.len().min(4)..]);
                self.extend(year);
                eight_digits(month * 100 + day)
            }
        };
        let [y1, y2, y3, y4, m1, m2, d1, d2] = digits;
        if (0..=9_999).contains(&year) {
            self.extend(&[y1, y2, y3, y4]);
        }
        self.extend(&[b'-', m1, m2, b'-', d1, d2]);
    }

    /// Appends `HH:MM:SS` and a fraction; the hours may have more than two digits.
    pub fn clock(&mut self, seconds: u64, nanos: u32, fraction: Fraction) {
        let (hours, of_hour) = (seconds / 3_600, u32::try_from(seconds % 3_600).unwrap_or(0));
        let two = match u32::try_from(hours) {
            Ok(hours @ 0..=99) => hours,
            _ => {
                let hours = Digits::of(hours);
                let hours = hours.as_bytes();
                let (before, last) = hours.split_at(hours.len().saturating_sub(2));
                self.extend(before);
                last.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'))
            }
        };
        let digits = eight_digits(two * 10_000 + of_hour / 60 * 100 + of_hour % 60);
        let [_, _, h1, h2, m1, m2, s1, s2] = digits;
        self.extend(&[h1, h2, b':', m1, m2, b':', s1, s2]);
        self.fraction(nanos, fraction);
    }

    /// Appends a point and the fraction of a second.
    pub fn fraction(&mut self, nanos: u32, fraction: Fraction) {
        if fraction == Fraction::Fixed(0) || (fraction == Fraction::Trimmed && nanos == 0) {
            return;
        }
        let mut digits = [b'.'; 10];
        digits[1..9].copy_from_slice(&eight_digits(nanos / 10));
        digits[9] = b'0' + u8::try_from(nanos % 10).unwrap_or(0);
        let count = match fraction {
            Fraction::Fixed(count) => usize::try_from(count).unwrap_or(9).min(9),
            Fraction::Trimmed => digits.iter().rposition(|&digit| digit != b'0').unwrap_or(0),
        };
        self.extend(&digits[..=count]);
    }

    #[inline]
    fn extend(&mut self, text: &[u8]) {
        if let Some(room) = self.buffer.get_mut(self.len..self.len + text.len()) {
            room.copy_from_slice(text);
            self.len += text.len();
        }
    }

    /// The text so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.buffer[..self.len]
    }

    /// The text so far.
    pub fn as_str(&self) -> &str {
        // Only ASCII was appended.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

impl Default for ClockText {
    fn default() -> Self {
        ClockText::new()
    }
}

impl fmt::Debug for ClockText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut ClockText)) -> String {
        let mut text = ClockText::new();
        write(&mut text);
        text.as_str().to_owned()
    }

    #[test]
    fn fractions_are_trimmed_or_of_a_fixed_length() {
        let fraction = |nanos, digits| text(|text| text.fraction(nanos, digits));
        assert_eq!(fraction(0, Fraction::Trimmed), "");
        assert_eq!(fraction(120_000_000, Fraction::Trimmed), ".12");
        assert_eq!(fraction(1, Fraction::Trimmed), ".000000001");
        assert_eq!(fraction(123_456_789, Fraction::Fixed(3)), ".123");
        assert_eq!(fraction(0, Fraction::Fixed(6)), ".000000");
        assert_eq!(fraction(5, Fraction::Fixed(12)), ".000000005");
        assert_eq!(fraction(5, Fraction::Fixed(0)), "");
    }

    #[test]
    fn years_and_hours_may_be_long() {
        assert_eq!(text(|text| text.date(-43, 3, 15)), "0043-03-15");
        assert_eq!(text(|text| text.date(123_456, 12, 31)), "123456-12-31");
        assert_eq!(text(|text| text.clock(838 * 3_600 + 61, 0, Fraction::Trimmed)), "838:01:01");
    }

    #[test]
    fn the_longest_text_fits() {
        let longest = text(|text| {
            text.date(i64::MIN, 12, 31);
            text.push(b' ');
            text.clock(u64::MAX, 999_999_999, Fraction::Trimmed);
        });
        assert_eq!(longest, "9223372036854775808-12-31 5124095576030431:00:15.999999999");
    }
}
