//! Dates, timestamps and intervals as text that loses nothing. Times and ISO 8601's intervals are `cdc_core`'s own.
//!
//! Days are those of the proleptic Gregorian calendar, fractions of a second have no zeros at their end, and the infinities
//! are `infinity` and `-infinity`.

use std::fmt::{Result, Write};

#[cfg(feature = "postgres")]
use cdc_core::value::Interval;
use cdc_core::value::calendar::date_of_day;
use cdc_core::value::clock::{ClockText, Fraction};
use cdc_core::value::{Date, Timestamp};

/// How years before 1 are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Years {
    /// ISO 8601: the year before 1 is 0, the one before it -1.
    Astronomical,
    /// PostgreSQL: the year before 1 is 1 BC, with `BC` at the end.
    Era,
}

const DAY_SECONDS: i64 = 86_400;

/// Appends the day and says whether it needs `BC` behind it.
fn day(text: &mut ClockText, days: i64, years: Years) -> bool {
    let (year, month, day) = date_of_day(days);
    let before = years == Years::Era && year < 1;
    if before {
        text.date(1 - year, month, day);
    } else {
        if year < 0 {
            text.push(b'-');
        }
        text.date(year, month, day);
    }
    before
}

/// `2024-02-29`.
pub(crate) fn write_date(out: &mut impl Write, date: Date, years: Years) -> Result {
    match date {
        Date::NegInfinity => out.write_str("-infinity"),
        Date::Infinity => out.write_str("infinity"),
        Date::Days(days) => {
            let mut text = ClockText::new();
            let before = day(&mut text, i64::from(days), years);
            out.write_str(text.as_str())?;
            out.write_str(if before { " BC" } else { "" })
        }
    }
}

/// `2024-02-29 23:59:59.5`, with `+00:00` behind an instant.
pub(crate) fn write_timestamp(
    out: &mut impl Write,
    timestamp: Timestamp,
    instant: bool,
    years: Years,
) -> Result {
    let (seconds, nanos) = match timestamp {
        Timestamp::NegInfinity => return out.write_str("-infinity"),
        Timestamp::Infinity => return out.write_str("infinity"),
        Timestamp::At { value, unit } => unit.split(value),
    };
    let mut text = ClockText::new();
    let before = day(&mut text, seconds.div_euclid(DAY_SECONDS), years);
    text.push(b' ');
    let clock = seconds.rem_euclid(DAY_SECONDS).unsigned_abs();
    text.clock(clock, nanos, Fraction::Trimmed);
    let end = match (instant, before) {
        (true, true) => "+00:00 BC",
        (true, false) => "+00:00",
        (false, true) => " BC",
        (false, false) => "",
    };
    text.push_str(end);
    out.write_str(text.as_str())
}

/// What PostgreSQL reads as the same months, days and microseconds in every `IntervalStyle`.
#[cfg(feature = "postgres")]
pub(crate) fn write_interval_postgres(out: &mut impl Write, interval: Interval) -> Result {
    let (months, days, micros) = match interval {
        Interval::NegInfinity => return out.write_str("-infinity"),
        Interval::Infinity => return out.write_str("infinity"),
        Interval::Span { months, days, micros } => (months, days, micros),
    };
    let sign = if micros < 0 { '-' } else { '+' };
    let micros = micros.unsigned_abs();
    let mut clock = ClockText::new();
    let nanos = u32::try_from(micros % 1_000_000).unwrap_or(0) * 1_000;
    clock.clock(micros / 1_000_000, nanos, Fraction::Trimmed);
    write!(out, "{months:+} mons {days:+} days {sign}{}", clock.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut String) -> Result) -> String {
        let mut out = String::new();
        write(&mut out).unwrap();
        out
    }

    fn date(days: i32, years: Years) -> String {
        text(|out| write_date(out, Date::Days(days), years))
    }

    #[test]
    fn days_are_those_of_the_proleptic_gregorian_calendar() {
        assert_eq!(date(0, Years::Era), "1970-01-01");
        assert_eq!(date(19_782, Years::Era), "2024-02-29");
        assert_eq!(date(-1, Years::Era), "1969-12-31");
        assert_eq!(date(2_932_897, Years::Era), "10000-01-01");
        assert_eq!(date(-719_163, Years::Era), "0001-12-31 BC");
        assert_eq!(date(-719_163, Years::Astronomical), "0000-12-31");
        assert_eq!(date(-719_529, Years::Astronomical), "-0001-12-31");
    }

    #[test]
    fn timestamps_keep_every_digit_on_both_sides_of_the_epoch() {
        let stamp = |value, instant| {
            text(|out| write_timestamp(out, Timestamp::micros(value), instant, Years::Era))
        };
        assert_eq!(stamp(-1, false), "1969-12-31 23:59:59.999999");
        assert_eq!(stamp(1_500_000, true), "1970-01-01 00:00:01.5+00:00");
        assert_eq!(stamp(-62_135_596_800_000_001, true), "0001-12-31 23:59:59.999999+00:00 BC");
    }

    #[test]
    #[cfg(feature = "postgres")]
    fn intervals_keep_months_days_and_microseconds_apart() {
        let span = Interval::Span { months: -14, days: 3, micros: -3_600_500_000 };
        assert_eq!(text(|out| write_interval_postgres(out, span)), "-14 mons +3 days -01:00:00.5");
    }
}
