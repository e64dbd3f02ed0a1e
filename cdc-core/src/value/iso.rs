//! Dates, times and intervals as ISO 8601 text.
//!
//! The calendar is the proleptic Gregorian one with astronomical years: 1 BC is year 0. Years outside 0..=9999 carry a
//! sign (`+10000-01-01`, `-0043-03-15`). A fraction of a second has no trailing zeros. The infinities are `infinity` and
//! `-infinity`, as PostgreSQL writes them.

use std::fmt;

use super::calendar::date_of_day;
use super::clock::{ClockText, Fraction};
use super::temporal::{Date, Interval, Time, TimeTz, TimeUnit, Timestamp};

const SECONDS_A_DAY: i64 = 86_400;

fn write_day(text: &mut ClockText, day: i64) {
    let (year, month, day) = date_of_day(day);
    if year > 9_999 {
        text.push(b'+');
    } else if year < 0 {
        text.push(b'-');
    }
    text.date(year, month, day);
}

/// A time of day or a span of hours; `value` counts units from zero.
fn write_time(text: &mut ClockText, value: i64, unit: TimeUnit) {
    if value < 0 {
        text.push(b'-');
    }
    let second = unit.per_second().unsigned_abs();
    let (seconds, fraction) = (value.unsigned_abs() / second, value.unsigned_abs() % second);
    let nanos = u32::try_from(fraction * (1_000_000_000 / second)).unwrap_or(0);
    text.clock(seconds, nanos, Fraction::Trimmed);
}

/// `2024-02-29`.
impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Date::NegInfinity => f.write_str("-infinity"),
            Date::Infinity => f.write_str("infinity"),
            Date::Days(days) => {
                let mut text = ClockText::new();
                write_day(&mut text, i64::from(*days));
                f.write_str(text.as_str())
            }
        }
    }
}

/// `13:45:30.5`.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = ClockText::new();
        write_time(&mut text, self.value, self.unit);
        f.write_str(text.as_str())
    }
}

/// `13:45:30.5+05:30`; seconds of the offset where it has any.
impl fmt::Display for TimeTz {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let east = self.offset_seconds.unsigned_abs();
        let sign = if self.offset_seconds < 0 { '-' } else { '+' };
        write!(f, "{}{sign}{:02}:{:02}", self.time, east / 3_600, east / 60 % 60)?;
        if !east.is_multiple_of(60) {
            write!(f, ":{:02}", east % 60)?;
        }
        Ok(())
    }
}

/// `2024-02-29T13:45:30.5`, without a zone: whether it is an instant says the data type, and an instant is in UTC.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, unit) = match self {
            Timestamp::NegInfinity => return f.write_str("-infinity"),
            Timestamp::Infinity => return f.write_str("infinity"),
            Timestamp::At { value, unit } => (*value, *unit),
        };
        let (seconds, nanos) = unit.split(value);
        let mut text = ClockText::new();
        write_day(&mut text, seconds.div_euclid(SECONDS_A_DAY));
        text.push(b'T');
        let clock = seconds.rem_euclid(SECONDS_A_DAY).unsigned_abs();
        text.clock(clock, nanos, Fraction::Trimmed);
        f.write_str(text.as_str())
    }
}

/// `P1Y2M3DT4H5M6.7S`; every part has a sign of its own where it is negative. Nothing is `PT0S`.
impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (months, days, micros) = match self {
            Interval::NegInfinity => return f.write_str("-infinity"),
            Interval::Infinity => return f.write_str("infinity"),
            Interval::Span { months, days, micros } => (*months, *days, *micros),
        };
        if (months, days, micros) == (0, 0, 0) {
            return f.write_str("PT0S");
        }
        f.write_str("P")?;
        for (count, letter) in [(months / 12, 'Y'), (months % 12, 'M'), (days, 'D')] {
            if count != 0 {
                write!(f, "{count}{letter}")?;
            }
        }
        if micros == 0 {
            return Ok(());
        }
        f.write_str("T")?;
        let seconds = micros / 1_000_000;
        for (count, letter) in [(seconds / 3_600, 'H'), (seconds / 60 % 60, 'M')] {
            if count != 0 {
                write!(f, "{count}{letter}")?;
            }
        }
        let rest = micros % 60_000_000;
        if rest != 0 {
            let sign = if rest < 0 { "-" } else { "" };
            write!(f, "{sign}{}", (rest / 1_000_000).unsigned_abs())?;
            let mut text = ClockText::new();
            let nanos = u32::try_from((rest % 1_000_000).abs() * 1_000).unwrap_or(0);
            text.fraction(nanos, Fraction::Trimmed);
            text.push(b'S');
            f.write_str(text.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn days_are_those_of_the_proleptic_gregorian_calendar() {
        for (days, text) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (19_782, "2024-02-29"),
            (11_016, "2000-02-29"),
            (-25_508, "1900-03-01"),
            (2_932_896, "9999-12-31"),
            (2_932_897, "+10000-01-01"),
            (-719_162, "0001-01-01"),
            (-719_163, "0000-12-31"),
            (-719_529, "-0001-12-31"),
            // The first and the last day of PostgreSQL: 4714-11-24 BC and 5874897-12-31.
            (-2_440_588, "-4713-11-24"),
            (2_145_042_905, "+5874897-12-31"),
        ] {
            assert_eq!(Date::Days(days).to_string(), text);
        }
        assert_eq!(Date::NegInfinity.to_string(), "-infinity");
    }

    #[test]
    fn timestamps_before_the_epoch_count_forwards_within_their_day() {
        assert_eq!(Timestamp::micros(-1).to_string(), "1969-12-31T23:59:59.999999");
        assert_eq!(Timestamp::micros(1_500_000).to_string(), "1970-01-01T00:00:01.5");
        assert_eq!(Timestamp::Infinity.to_string(), "infinity");
        let far = Timestamp::At { value: i64::MIN, unit: TimeUnit::Second };
        assert!(far.to_string().starts_with('-'));
    }

    #[test]
    fn times_know_24_hours_fractions_and_offsets() {
        let time = |value| Time { value, unit: TimeUnit::Micro };
        assert_eq!(time(86_400_000_000).to_string(), "24:00:00");
        assert_eq!(time(-3_600_000_001).to_string(), "-01:00:00.000001");
        let offset = |offset_seconds| TimeTz { time: time(1), offset_seconds }.to_string();
        assert_eq!(offset(19_800), "00:00:00.000001+05:30");
        assert_eq!(offset(-1_172), "00:00:00.000001-00:19:32");
    }

    #[test]
    fn intervals_keep_their_parts_apart() {
        let span = |months, days, micros| Interval::Span { months, days, micros }.to_string();
        assert_eq!(span(14, -3, 14_706_700_000), "P1Y2M-3DT4H5M6.7S");
        assert_eq!(span(0, 0, -500_000), "PT-0.5S");
        assert_eq!(span(0, 0, -61_000_000), "PT-1M-1S");
        assert_eq!(span(0, 0, 0), "PT0S");
        assert_eq!(span(0, 1, 0), "P1D");
    }

    proptest! {
        #[test]
        fn the_next_day_follows(days in -2_440_588i64..2_145_042_541) {
            let (year, month, day) = date_of_day(days);
            let next = date_of_day(days + 1);
            let follows = next == (year, month, day + 1)
                || next == (year, month + 1, 1)
                || next == (year + 1, 1, 1);
            prop_assert!(follows && (1..=12).contains(&month) && (1..=31).contains(&day));
        }

        #[test]
        fn no_value_panics(value: i64, months: i32, days: i32, offset_seconds: i32) {
            for unit in [TimeUnit::Second, TimeUnit::Milli, TimeUnit::Micro, TimeUnit::Nano] {
                let time = Time { value, unit };
                let _ = (Timestamp::At { value, unit }.to_string(), time.to_string());
                let _ = TimeTz { time, offset_seconds }.to_string();
            }
            let _ = (Interval::Span { months, days, micros: value }.to_string(), Date::Days(days).to_string());
        }
    }
}
