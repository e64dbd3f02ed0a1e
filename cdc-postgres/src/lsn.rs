//! Positions in the write-ahead log.

use std::fmt;
use std::str::FromStr;

/// A position in the write-ahead log: a byte offset, written as two hexadecimal numbers of 32 bits.
///
/// The text form is that of PostgreSQL's type `pg_lsn`.
///
/// ```
/// use cdc_postgres::Lsn;
///
/// let lsn: Lsn = "0/16B3748".parse()?;
/// assert_eq!(lsn, Lsn(0x16B_3748));
/// assert_eq!(lsn.to_string(), "0/16B3748");
/// assert!(lsn < Lsn(1 << 32));
/// # Ok::<(), cdc_postgres::lsn::ParseLsnError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lsn(pub u64);

impl Lsn {
    /// No position: what PostgreSQL calls invalid.
    pub const ZERO: Self = Self(0);
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

impl fmt::Debug for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lsn({self})")
    }
}

/// The text is no position in the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an LSN of the form 0/16B3748")]
pub struct ParseLsnError(String);

impl FromStr for Lsn {
    type Err = ParseLsnError;

    fn from_str(text: &str) -> Result<Self, ParseLsnError> {
        let half = |part: &str| {
            // Digits only: the number parser alone would take a sign.
            let digits =
                (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_hexdigit());
            digits.then(|| u64::from_str_radix(part, 16).ok()).flatten()
        };
        text.split_once('/')
            .and_then(|(high, low)| Some(Self(half(high)? << 32 | half(low)?)))
            .ok_or_else(|| ParseLsnError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_number_go_back_and_forth() {
        for (text, number) in [
            ("0/0", 0),
            ("0/16B3748", 0x16B_3748),
            ("A/FFFFFFFF", 0xA_FFFF_FFFF),
            ("FFFFFFFF/FFFFFFFF", u64::MAX),
        ] {
            assert_eq!(text.parse(), Ok(Lsn(number)));
            assert_eq!(Lsn(number).to_string(), text);
        }
        assert_eq!("0a/00000b".parse(), Ok(Lsn(0xA_0000_000B)));
    }

    #[test]
    fn what_pg_lsn_refuses_is_refused() {
        for text in
            ["", "0", "/", "0/", "/0", "0/0/0", "+1/0", "0/-1", " 0/0", "123456789/0", "g/0"]
        {
            assert!(text.parse::<Lsn>().is_err(), "{text}");
        }
    }
}
