//! Intervals as `IntervalStyle = postgres` writes them: `1 year -2 mons +3 days -04:05:06.789`.

use std::str;

use cdc_core::value::Interval;

use super::ValueError;

pub(super) fn interval(text: &[u8]) -> Result<Interval, ValueError> {
    match text {
        b"infinity" => Ok(Interval::Infinity),
        b"-infinity" => Ok(Interval::NegInfinity),
        _ => span(text).ok_or_else(|| ValueError::new("interval", text)),
    }
}

fn span(text: &[u8]) -> Option<Interval> {
    let mut words = str::from_utf8(text).ok()?.split(' ');
    let (mut months, mut days, mut micros) = (0i64, 0i64, 0i64);
    let mut any = false;
    while let Some(word) = words.next() {
        any = true;
        if word.contains(':') {
            micros = clock(word)?;
            words.next().is_none().then_some(())?;
            break;
        }
        let number: i64 = word.parse().ok()?;
        match words.next()? {
            "year" | "years" => months = months.checked_add(number.checked_mul(12)?)?,
            "mon" | "mons" => months = months.checked_add(number)?,
            "day" | "days" => days = days.checked_add(number)?,
            _ => return None,
        }
    }
    any.then_some(Interval::Span {
        months: i32::try_from(months).ok()?,
        days: i32::try_from(days).ok()?,
        micros,
    })
}

/// `[+-]H...H:MM:SS[.ffffff]` in microseconds; hours go far beyond a day.
fn clock(text: &str) -> Option<i64> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut parts = text.split(':');
    let (hours, minutes, seconds) = (parts.next()?, parts.next()?, parts.next()?);
    parts.next().is_none().then_some(())?;
    let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    let digits = |text: &str, most: usize| {
        (text.len() <= most && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(())
    };
    digits(hours, 12)?;
    digits(minutes, 2)?;
    digits(seconds, 2)?;
    digits(fraction, 6)?;
    let whole = hours
        .parse::<i128>()
        .ok()?
        .checked_mul(3_600)?
        .checked_add(minutes.parse::<i128>().ok()? * 60 + seconds.parse::<i128>().ok()?)?;
    let micros = format!("{fraction:0<6}").parse::<i128>().ok()?;
    // In 128 bits, because the least interval has no positive twin.
    let total = whole.checked_mul(1_000_000)?.checked_add(micros)?;
    i64::try_from(if negative { -total } else { total }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (i32, i32, i64) {
        match interval(text.as_bytes()).unwrap() {
            Interval::Span { months, days, micros } => (months, days, micros),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_part_has_its_own_sign() {
        assert_eq!(read("1 year 2 mons 3 days 04:05:06.789"), (14, 3, 14_706_789_000));
        assert_eq!(read("-1 years -2 mons +3 days -04:05:06"), (-14, 3, -14_706_000_000));
        assert_eq!(read("00:00:00"), (0, 0, 0));
        assert_eq!(read("1 mon"), (1, 0, 0));
    }

    #[test]
    fn the_ends_of_the_range_and_the_infinities_are_read() {
        assert_eq!(read("-2562047788:00:54.775808"), (0, 0, i64::MIN));
        assert_eq!(read("178000000 years"), (2_136_000_000, 0, 0));
        assert_eq!(interval(b"-infinity").unwrap(), Interval::NegInfinity);
    }

    #[test]
    fn what_is_no_interval_is_an_error() {
        for text in ["", "1", "1 parsec", "1:2", "04:05:06 1 day"] {
            assert!(interval(text.as_bytes()).is_err(), "{text:?}");
        }
    }
}
