//! Dates, times and intervals as text that loses nothing.
//!
//! Days are those of the proleptic Gregorian calendar, fractions of a second have no zeros at their end, and the infinities
//! are `infinity` and `-infinity`.

use std::fmt::{Result, Write};

use cdc_core::value::calendar::date_of_day;
use cdc_core::value::{Date, Interval, Time, TimeTz, TimeUnit, Timestamp};

/// How years before 1 are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Years {
    /// ISO 8601: the year before 1 is 0, the one before it -1.
    Astronomical,
    /// PostgreSQL: the year before 1 is 1 BC, with `BC` at the end.
    Era,
}

const DAY_SECONDS: i64 = 86_400;

/// Writes the day and says whether it needs `BC` behind it.
fn write_day(
    out: &mut impl Write,
    days: i64,
    years: Years,
) -> std::result::Result<bool, std::fmt::Error> {
    let (year, month, day) = date_of_day(days);
    let before = years == Years::Era && year < 1;
    match (before, year) {
        (true, year) => write!(out, "{:04}-{month:02}-{day:02}", 1 - year)?,
        (false, year) if year < 0 => write!(out, "-{:04}-{month:02}-{day:02}", -year)?,
        (false, year) => write!(out, "{year:04}-{month:02}-{day:02}")?,
    }
    Ok(before)
}

/// Hours, minutes, seconds and what there is of a fraction. The hours may have more than two digits.
fn write_clock(out: &mut impl Write, seconds: u64, fraction: u64, digits: u32) -> Result {
    write!(out, "{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)?;
    write_fraction(out, fraction, digits)
}

fn write_fraction(out: &mut impl Write, fraction: u64, digits: u32) -> Result {
    if fraction == 0 {
        return Ok(());
    }
    let (mut fraction, mut digits) = (fraction, digits as usize);
    while fraction.is_multiple_of(10) {
        fraction /= 10;
        digits -= 1;
    }
    write!(out, ".{fraction:0digits$}")
}

/// `2024-02-29`.
pub(crate) fn write_date(out: &mut impl Write, date: Date, years: Years) -> Result {
    match date {
        Date::NegInfinity => out.write_str("-infinity"),
        Date::Infinity => out.write_str("infinity"),
        Date::Days(days) => {
            if write_day(out, i64::from(days), years)? {
                out.write_str(" BC")?;
            }
            Ok(())
        }
    }
}

/// `23:59:59.5`, with a sign where it is below zero.
pub(crate) fn write_time(out: &mut impl Write, time: Time) -> Result {
    if time.value < 0 {
        out.write_char('-')?;
    }
    let (value, unit) = (time.value.unsigned_abs(), time.unit.per_second().unsigned_abs());
    write_clock(out, value / unit, value % unit, time.unit.digits())
}

/// `23:59:59.5+02:00`, with seconds in the offset where it has any.
pub(crate) fn write_time_tz(out: &mut impl Write, time: TimeTz) -> Result {
    write_time(out, time.time)?;
    let offset = time.offset_seconds.unsigned_abs();
    let sign = if time.offset_seconds < 0 { '-' } else { '+' };
    write!(out, "{sign}{:02}:{:02}", offset / 3_600, offset / 60 % 60)?;
    if !offset.is_multiple_of(60) {
        write!(out, ":{:02}", offset % 60)?;
    }
    Ok(())
}

/// `2024-02-29 23:59:59.5`, with `+00:00` behind an instant.
pub(crate) fn write_timestamp(
    out: &mut impl Write,
    timestamp: Timestamp,
    instant: bool,
    years: Years,
) -> Result {
    let (value, unit) = match timestamp {
        Timestamp::NegInfinity => return out.write_str("-infinity"),
        Timestamp::Infinity => return out.write_str("infinity"),
        Timestamp::At { value, unit } => (value, unit),
    };
    let seconds = value.div_euclid(unit.per_second());
    let fraction = value.rem_euclid(unit.per_second()).unsigned_abs();
    let before = write_day(out, seconds.div_euclid(DAY_SECONDS), years)?;
    out.write_char(' ')?;
    let clock = seconds.rem_euclid(DAY_SECONDS).unsigned_abs();
    write_clock(out, clock, fraction, unit.digits())?;
    if instant {
        out.write_str("+00:00")?;
    }
    out.write_str(if before { " BC" } else { "" })
}

/// ISO 8601's form with designators: `P1Y2M-3DT4H5M6.7S`. Months, days and the rest keep their own signs.
pub(crate) fn write_interval_iso(out: &mut impl Write, interval: Interval) -> Result {
    let (months, days, micros) = match interval {
        Interval::NegInfinity => return out.write_str("-infinity"),
        Interval::Infinity => return out.write_str("infinity"),
        Interval::Span { months, days, micros } => (months, days, micros),
    };
    if (months, days, micros) == (0, 0, 0) {
        return out.write_str("PT0S");
    }
    out.write_char('P')?;
    for (amount, unit) in [(months / 12, 'Y'), (months % 12, 'M'), (days, 'D')] {
        if amount != 0 {
            write!(out, "{amount}{unit}")?;
        }
    }
    if micros != 0 {
        out.write_char('T')?;
        let sign = if micros < 0 { "-" } else { "" };
        let (seconds, fraction) =
            (micros.unsigned_abs() / 1_000_000, micros.unsigned_abs() % 1_000_000);
        for (amount, unit) in [(seconds / 3_600, 'H'), (seconds / 60 % 60, 'M')] {
            if amount != 0 {
                write!(out, "{sign}{amount}{unit}")?;
            }
        }
        if seconds % 60 != 0 || fraction != 0 {
            write!(out, "{sign}{}", seconds % 60)?;
            write_fraction(out, fraction, TimeUnit::Micro.digits())?;
            out.write_char('S')?;
        }
    }
    Ok(())
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
    write!(out, "{months:+} mons {days:+} days {sign}")?;
    let micros = micros.unsigned_abs();
    write_clock(out, micros / 1_000_000, micros % 1_000_000, TimeUnit::Micro.digits())
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
    fn times_reach_24_hours_and_below_zero() {
        let time = |value| text(|out| write_time(out, Time { value, unit: TimeUnit::Micro }));
        assert_eq!(time(86_400_000_000), "24:00:00");
        assert_eq!(time(-1), "-00:00:00.000001");
        let time = Time { value: 1, unit: TimeUnit::Second };
        assert_eq!(
            text(|out| write_time_tz(out, TimeTz { time, offset_seconds: -19_801 })),
            "00:00:01-05:30:01"
        );
    }

    #[test]
    fn intervals_keep_months_days_and_microseconds_apart() {
        let span = Interval::Span { months: -14, days: 3, micros: -3_600_500_000 };
        assert_eq!(text(|out| write_interval_iso(out, span)), "P-1Y-2M3DT-1H-0.5S");
        let none = Interval::Span { months: 0, days: 0, micros: 0 };
        assert_eq!(text(|out| write_interval_iso(out, none)), "PT0S");
        #[cfg(feature = "postgres")]
        assert_eq!(text(|out| write_interval_postgres(out, span)), "-14 mons +3 days -01:00:00.5");
    }
}
