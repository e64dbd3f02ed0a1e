//! Exact decimals of any precision, with the special values of `numeric`.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use num_bigint::{BigInt, Sign};

use super::digits::Digits;

/// An exact decimal: an unscaled integer and a scale, or NaN or an infinity.
///
/// `12.50` is unscaled 1250 at scale 2; the scale is part of the value, as it is in `numeric`
/// columns without a declared scale, so `12.5` and `12.50` compare as equal numbers through
/// [`Decimal::cmp_value`] but are different values. Up to 18 digits no allocation is made.
///
/// ```
/// use cdc_core::value::Decimal;
///
/// let price: Decimal = "12.50".parse()?;
/// assert_eq!((price.to_string().as_str(), price.scale()), ("12.50", Some(2)));
/// assert_eq!(price.unscaled_be_bytes().as_deref(), Some(&[0x04, 0xe2][..]));
/// # Ok::<(), cdc_core::value::ParseDecimalError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Decimal(Repr);

#[derive(Clone)]
enum Repr {
    Small { unscaled: i64, scale: i32 },
    Big { unscaled: Arc<BigInt>, scale: i32 },
    NaN,
    Infinity,
    NegInfinity,
}

/// A text that is not a decimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseDecimalError(String);

impl fmt::Display for ParseDecimalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a decimal number: {:?}", self.0)
    }
}

impl std::error::Error for ParseDecimalError {}

/// The most digits and the largest scale that are accepted, beyond anything a database stores:
/// a bound on the memory that a few bytes of hostile input (`1e999999999`) can ask for.
const MAX_DIGITS: usize = 200_000;

impl Decimal {
    /// Not a number.
    pub const NAN: Decimal = Decimal(Repr::NaN);
    /// Larger than every number.
    pub const INFINITY: Decimal = Decimal(Repr::Infinity);
    /// Smaller than every number.
    pub const NEG_INFINITY: Decimal = Decimal(Repr::NegInfinity);

    /// `unscaled * 10^-scale`.
    pub fn new(unscaled: i64, scale: i32) -> Self {
        Decimal(Repr::Small { unscaled, scale })
    }

    /// `unscaled * 10^-scale` for any number of digits.
    pub fn from_bigint(unscaled: BigInt, scale: i32) -> Self {
        match i64::try_from(&unscaled) {
            Ok(small) => Self::new(small, scale),
            Err(_) => Decimal(Repr::Big { unscaled: Arc::new(unscaled), scale }),
        }
    }

    /// From the form of Connect's `Decimal`: the unscaled value as big-endian two's complement.
    pub fn from_unscaled_be_bytes(bytes: &[u8], scale: i32) -> Self {
        Self::from_bigint(BigInt::from_signed_bytes_be(bytes), scale)
    }

    /// The unscaled value as the shortest big-endian two's complement, Connect's form of a
    /// `Decimal`; `None` for NaN and the infinities.
    pub fn unscaled_be_bytes(&self) -> Option<Vec<u8>> {
        match &self.0 {
            Repr::Small { .. } => self.with_unscaled_be_bytes(<[u8]>::to_vec),
            Repr::Big { unscaled, .. } => Some(unscaled.to_signed_bytes_be()),
            _ => None,
        }
    }

    /// Hands the bytes of [`unscaled_be_bytes`](Self::unscaled_be_bytes) to a function, up to 18 digits without an
    /// allocation.
    pub(crate) fn with_unscaled_be_bytes<R>(
        &self,
        use_bytes: impl FnOnce(&[u8]) -> R,
    ) -> Option<R> {
        if let Repr::Small { unscaled, .. } = &self.0 {
            // All bits but those that repeat the sign, and one for the sign.
            let bits = 64 - (unscaled ^ (unscaled >> 63)).leading_zeros() + 1;
            let start = 8 - bits.div_ceil(8) as usize;
            return Some(use_bytes(&unscaled.to_be_bytes()[start..]));
        }
        self.unscaled_be_bytes().map(|bytes| use_bytes(&bytes))
    }

    /// Unscaled value and scale, where the unscaled value fits 64 bits: without an allocation.
    pub fn to_small(&self) -> Option<(i64, i32)> {
        match &self.0 {
            Repr::Small { unscaled, scale } => Some((*unscaled, *scale)),
            _ => None,
        }
    }

    /// The unscaled value, or `None` for NaN and the infinities.
    pub fn unscaled(&self) -> Option<BigInt> {
        match &self.0 {
            Repr::Small { unscaled, .. } => Some(BigInt::from(*unscaled)),
            Repr::Big { unscaled, .. } => Some(BigInt::clone(unscaled)),
            _ => None,
        }
    }

    /// Digits after the decimal point (negative: zeros before it), or `None` for NaN and the infinities.
    pub fn scale(&self) -> Option<i32> {
        match &self.0 {
            Repr::Small { scale, .. } | Repr::Big { scale, .. } => Some(*scale),
            _ => None,
        }
    }

    /// Whether it is a number, rather than NaN or an infinity.
    pub fn is_finite(&self) -> bool {
        self.scale().is_some()
    }

    /// The same number at another scale, or `None` when digits would be lost, the scale is beyond
    /// anything a database stores, or it is not a number.
    pub fn rescale(&self, scale: i32) -> Option<Decimal> {
        let from = self.scale()?;
        let up = i64::from(scale) - i64::from(from);
        if up == 0 {
            return Some(self.clone());
        }
        let steps = u32::try_from(up.unsigned_abs()).ok().filter(|n| *n as usize <= MAX_DIGITS)?;
        let factor = BigInt::from(10u8).pow(steps);
        let unscaled = self.unscaled()?;
        if up > 0 {
            return Some(Self::from_bigint(unscaled * factor, scale));
        }
        let (quotient, rest) = (&unscaled / &factor, &unscaled % &factor);
        (rest.sign() == Sign::NoSign).then(|| Self::from_bigint(quotient, scale))
    }

    /// The nearest `f64`.
    pub fn to_f64(&self) -> f64 {
        match &self.0 {
            Repr::NaN => f64::NAN,
            Repr::Infinity => f64::INFINITY,
            Repr::NegInfinity => f64::NEG_INFINITY,
            // Parsing the decimal text rounds once; dividing by a power of ten would round twice.
            _ => self.to_string().parse().unwrap_or(f64::NAN),
        }
    }

    /// Compares the numbers, whatever their scales. NaN equals itself and is the largest, as in PostgreSQL.
    pub fn cmp_value(&self, other: &Decimal) -> Ordering {
        fn rank(decimal: &Decimal) -> u8 {
            match decimal.0 {
                Repr::NegInfinity => 0,
                Repr::Small { .. } | Repr::Big { .. } => 1,
                Repr::Infinity => 2,
                Repr::NaN => 3,
            }
        }
        match (self.scale(), other.scale()) {
            (Some(a), Some(b)) => {
                let scale = a.max(b);
                match (self.rescale(scale), other.rescale(scale)) {
                    (Some(a), Some(b)) => a.unscaled().cmp(&b.unscaled()),
                    // Scales too far apart to align: the text forms decide by magnitude.
                    _ => self.to_f64().total_cmp(&other.to_f64()),
                }
            }
            _ => rank(self).cmp(&rank(other)),
        }
    }
}

impl PartialEq for Repr {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Repr::Small { unscaled: a, scale: s }, Repr::Small { unscaled: b, scale: t }) => {
                a == b && s == t
            }
            (Repr::Big { unscaled: a, scale: s }, Repr::Big { unscaled: b, scale: t }) => {
                a == b && s == t
            }
            (Repr::NaN, Repr::NaN)
            | (Repr::Infinity, Repr::Infinity)
            | (Repr::NegInfinity, Repr::NegInfinity) => true,
            _ => false,
        }
    }
}

impl Eq for Repr {}

impl Hash for Repr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Repr::Small { unscaled, scale } => (unscaled, scale).hash(state),
            Repr::Big { unscaled, scale } => (unscaled, scale).hash(state),
            Repr::NaN => 1u8.hash(state),
            Repr::Infinity => 2u8.hash(state),
            Repr::NegInfinity => 3u8.hash(state),
        }
    }
}

impl From<i64> for Decimal {
    fn from(value: i64) -> Self {
        Self::new(value, 0)
    }
}

impl FromStr for Decimal {
    type Err = ParseDecimalError;

    /// Reads `-12.50`, `.5`, `1e-7`, `NaN`, `Infinity` and `-Infinity` (any case of letters).
    fn from_str(text: &str) -> Result<Self, ParseDecimalError> {
        let error = || ParseDecimalError(text.chars().take(40).collect());
        let (negative, rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        if rest.eq_ignore_ascii_case("nan") {
            return Ok(Decimal::NAN);
        }
        if rest.eq_ignore_ascii_case("infinity") || rest.eq_ignore_ascii_case("inf") {
            return Ok(if negative { Decimal::NEG_INFINITY } else { Decimal::INFINITY });
        }
        let (mantissa, exponent) = match rest.find(['e', 'E']) {
            Some(at) => {
                let exponent: i32 = rest[at + 1..].parse().map_err(|_| error())?;
                (&rest[..at], exponent)
            }
            None => (rest, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = whole.len() + fraction.len();
        if digits == 0
            || digits > MAX_DIGITS
            || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit())
        {
            return Err(error());
        }
        let fraction_digits = i32::try_from(fraction.len()).map_err(|_| error())?;
        let scale = fraction_digits.checked_sub(exponent).ok_or_else(error)?;
        if scale.unsigned_abs() as usize > MAX_DIGITS {
            return Err(error());
        }
        if digits <= 18 {
            let unscaled = whole
                .bytes()
                .chain(fraction.bytes())
                .fold(0i64, |sum, digit| sum * 10 + i64::from(digit - b'0'));
            return Ok(Self::new(if negative { -unscaled } else { unscaled }, scale));
        }
        let mut text = String::with_capacity(digits + 1);
        if negative {
            text.push('-');
        }
        text.push_str(whole);
        text.push_str(fraction);
        let unscaled = BigInt::from_str(&text).map_err(|_| error())?;
        Ok(Self::from_bigint(unscaled, scale))
    }
}

impl fmt::Display for Decimal {
    /// Plain notation with exactly `scale` digits after the point, as `numeric` prints.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_to(f)
    }
}

impl Decimal {
    /// Appends what is displayed, without the machinery of formatting.
    ///
    /// # Errors
    /// Those of the writer; a `String` has none.
    pub fn write_to(&self, f: &mut impl fmt::Write) -> fmt::Result {
        let (unscaled, scale) = match &self.0 {
            Repr::NaN => return f.write_str("NaN"),
            Repr::Infinity => return f.write_str("Infinity"),
            Repr::NegInfinity => return f.write_str("-Infinity"),
            Repr::Small { unscaled, scale: scale @ 0..=18 } => {
                return write_small(f, *unscaled, usize::try_from(*scale).unwrap_or(0));
            }
            Repr::Small { unscaled, scale } => (unscaled.to_string(), *scale),
            Repr::Big { unscaled, scale } => (unscaled.to_string(), *scale),
        };
        let (sign, digits) = match unscaled.strip_prefix('-') {
            Some(digits) => ("-", digits),
            None => ("", unscaled.as_str()),
        };
        f.write_str(sign)?;
        let Ok(scale_digits) = usize::try_from(scale) else {
            f.write_str(digits)?;
            if digits != "0" {
                for _ in 0..scale.unsigned_abs() {
                    f.write_char('0')?;
                }
            }
            return Ok(());
        };
        if scale_digits == 0 {
            return f.write_str(digits);
        }
        if digits.len() > scale_digits {
            let point = digits.len() - scale_digits;
            return write!(f, "{}.{}", &digits[..point], &digits[point..]);
        }
        f.write_str("0.")?;
        for _ in digits.len()..scale_digits {
            f.write_char('0')?;
        }
        f.write_str(digits)
    }
}

/// The usual case in one piece: no more than 18 digits behind the point.
fn write_small(f: &mut impl fmt::Write, unscaled: i64, scale: usize) -> fmt::Result {
    let mut text = [b'0'; 24];
    let digits = Digits::of(unscaled.unsigned_abs());
    let digits = digits.as_bytes();
    // At least one digit in front of the point.
    let whole = digits.len().saturating_sub(scale).max(1);
    let zeros = (whole + scale) - digits.len();
    let sign = usize::from(unscaled < 0);
    text[..sign].copy_from_slice(&b"-"[..sign]);
    let end = sign + whole + scale;
    text[sign + zeros..end].copy_from_slice(digits);
    let mut length = end;
    if scale > 0 {
        text.copy_within(sign + whole..end, sign + whole + 1);
        text[sign + whole] = b'.';
        length += 1;
    }
    f.write_str(std::str::from_utf8(&text[..length]).unwrap_or_default())
}

impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_goes_in_and_comes_out_unchanged() {
        for text in [
            "0",
            "0.00",
            "-0.05",
            "12.50",
            "NaN",
            "Infinity",
            "-Infinity",
            "99999999999999999999.9",
            "123456789012345678",
            "-1234567890123456789012345678901234567890.000001",
        ] {
            assert_eq!(text.parse::<Decimal>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_not_a_number_is_an_error() {
        for text in ["", "-", ".", "1.2.3", "1e", "1e999999999", "0x1", "1 ", "12,5", "é"] {
            assert!(text.parse::<Decimal>().is_err(), "{text}");
        }
    }

    #[test]
    fn exponents_become_a_scale() {
        assert_eq!("1e-7".parse::<Decimal>().unwrap().to_string(), "0.0000001");
        assert_eq!("15e3".parse::<Decimal>().unwrap().to_string(), "15000");
    }

    #[test]
    fn rescaling_never_loses_a_digit() {
        let price: Decimal = "12.50".parse().unwrap();
        assert_eq!(price.rescale(1).unwrap().to_string(), "12.5");
        assert_eq!(price.rescale(0), None);
        assert_eq!(price.rescale(4).unwrap().to_string(), "12.5000");
    }

    #[test]
    fn numbers_compare_by_value_and_nan_is_the_largest() {
        let parse = |text: &str| text.parse::<Decimal>().unwrap();
        assert_eq!(parse("12.5").cmp_value(&parse("12.50")), Ordering::Equal);
        assert_ne!(parse("12.5"), parse("12.50"));
        assert_eq!(parse("-1").cmp_value(&parse("0.1")), Ordering::Less);
        assert_eq!(Decimal::NAN.cmp_value(&Decimal::INFINITY), Ordering::Greater);
    }

    proptest! {
        #[test]
        fn the_bytes_of_connect_are_those_of_a_big_integer(unscaled: i64, scale in -20i32..40) {
            let decimal = Decimal::new(unscaled, scale);
            let bytes = decimal.unscaled_be_bytes().unwrap();
            prop_assert_eq!(&bytes, &BigInt::from(unscaled).to_signed_bytes_be());
            prop_assert_eq!(decimal.with_unscaled_be_bytes(|b| b == bytes), Some(true));
            prop_assert_eq!(Decimal::from_unscaled_be_bytes(&bytes, scale), decimal);
        }

        #[test]
        fn a_small_number_is_printed_as_a_big_one(unscaled: i64, scale in -3i32..25) {
            let big = Decimal(Repr::Big { unscaled: Arc::new(BigInt::from(unscaled)), scale });
            prop_assert_eq!(Decimal::new(unscaled, scale).to_string(), big.to_string());
            let short = Decimal::new(unscaled % 1_000, scale).to_string();
            let big = Decimal(Repr::Big { unscaled: Arc::new(BigInt::from(unscaled % 1_000)), scale });
            prop_assert_eq!(short, big.to_string());
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _ = text.parse::<Decimal>();
        }

        #[test]
        fn printing_and_parsing_are_inverse(text in "-?[0-9]{1,60}\\.[0-9]{1,30}") {
            let decimal: Decimal = text.parse().unwrap();
            prop_assert_eq!(decimal.to_string().parse::<Decimal>().unwrap(), decimal);
        }
    }
}
