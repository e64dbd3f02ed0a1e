//! Dates, times and timestamps in ISO style, with BC and the infinities.
//!
//! PostgreSQL's years have at least four digits, and ` BC` stands at the end; the year before 1 AD is 1 BC. The calendar
//! is the proleptic Gregorian one (manual, "Date/Time Types", section "Date/Time Output").

use cdc_core::value::calendar::day_of_date;
use cdc_core::value::{Date, Time, TimeTz, TimeUnit, Timestamp};

use super::ValueError;

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// Reads from the front of a text; every step fails with `None`.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn number(&mut self, least: usize, most: usize) -> Option<i64> {
        let digits = self.0.iter().take(most).take_while(|byte| byte.is_ascii_digit()).count();
        if digits < least {
            return None;
        }
        let (number, rest) = self.0.split_at(digits);
        self.0 = rest;
        Some(number.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
    }

    fn eat(&mut self, expected: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(expected)?;
        Some(())
    }

    fn found(&mut self, expected: &[u8]) -> bool {
        self.eat(expected).is_some()
    }

    fn done(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }

    /// `YYYY-MM-DD`, the year without its era.
    fn year_month_day(&mut self) -> Option<(i64, i64, i64)> {
        let year = self.number(4, 7)?;
        self.eat(b"-")?;
        let month = self.number(2, 2)?;
        self.eat(b"-")?;
        Some((year, month, self.number(2, 2)?))
    }

    /// `HH:MM:SS[.ffffff]` in microseconds.
    fn clock(&mut self) -> Option<i64> {
        let hours = self.number(2, 2)?;
        self.eat(b":")?;
        let minutes = self.number(2, 2)?;
        self.eat(b":")?;
        let seconds = self.number(2, 2)?;
        let mut micros = 0;
        if self.found(b".") {
            let before = self.0.len();
            micros = self.number(1, 6)?;
            for _ in (before - self.0.len())..6 {
                micros *= 10;
            }
        }
        (hours <= 24 && minutes < 60 && seconds <= 60)
            .then_some(((hours * 60 + minutes) * 60 + seconds) * MICROS_PER_SECOND + micros)
    }

    /// `+HH[:MM[:SS]]` in seconds east of UTC.
    fn offset(&mut self) -> Option<i32> {
        let negative = match self.0.first()? {
            b'-' => true,
            b'+' => false,
            _ => return None,
        };
        self.0 = &self.0[1..];
        let mut seconds = self.number(2, 2)? * 3_600;
        if self.found(b":") {
            seconds += self.number(2, 2)? * 60;
            if self.found(b":") {
                seconds += self.number(2, 2)?;
            }
        }
        i32::try_from(if negative { -seconds } else { seconds }).ok()
    }
}

fn days((year, month, day): (i64, i64, i64), before_christ: bool) -> Option<i64> {
    day_of_date(if before_christ { 1 - year } else { year }, month, day)
}

pub(super) fn date(text: &[u8]) -> Result<Date, ValueError> {
    match text {
        b"infinity" => return Ok(Date::Infinity),
        b"-infinity" => return Ok(Date::NegInfinity),
        _ => {}
    }
    let read = || {
        let mut cursor = Cursor(text);
        let day = cursor.year_month_day()?;
        let before_christ = cursor.found(b" BC");
        cursor.done()?;
        i32::try_from(days(day, before_christ)?).ok()
    };
    read().map(Date::Days).ok_or_else(|| ValueError::new("date", text))
}

pub(super) fn time(text: &[u8]) -> Result<Time, ValueError> {
    let read = || {
        let mut cursor = Cursor(text);
        let value = cursor.clock()?;
        cursor.done()?;
        Some(Time { value, unit: TimeUnit::Micro })
    };
    read().ok_or_else(|| ValueError::new("time", text))
}

pub(super) fn time_tz(text: &[u8]) -> Result<TimeTz, ValueError> {
    let read = || {
        let mut cursor = Cursor(text);
        let value = cursor.clock()?;
        let offset_seconds = cursor.offset()?;
        cursor.done()?;
        Some(TimeTz { time: Time { value, unit: TimeUnit::Micro }, offset_seconds })
    };
    read().ok_or_else(|| ValueError::new("time with time zone", text))
}

pub(super) fn timestamp(text: &[u8]) -> Result<Timestamp, ValueError> {
    instant(text, false).ok_or_else(|| ValueError::new("timestamp", text))
}

pub(super) fn timestamp_tz(text: &[u8]) -> Result<Timestamp, ValueError> {
    instant(text, true).ok_or_else(|| ValueError::new("timestamp with time zone", text))
}

fn instant(text: &[u8], zone: bool) -> Option<Timestamp> {
    match text {
        b"infinity" => return Some(Timestamp::Infinity),
        b"-infinity" => return Some(Timestamp::NegInfinity),
        _ => {}
    }
    let mut cursor = Cursor(text);
    let day = cursor.year_month_day()?;
    cursor.eat(b" ")?;
    let mut micros = cursor.clock()?;
    if zone {
        micros -= i64::from(cursor.offset()?) * MICROS_PER_SECOND;
    }
    let before_christ = cursor.found(b" BC");
    cursor.done()?;
    let days = days(day, before_christ)?;
    if let Some(value) = days.checked_mul(MICROS_PER_DAY).and_then(|day| day.checked_add(micros)) {
        return Some(Timestamp::micros(value));
    }
    // PostgreSQL counts from 2000 and so reaches 30 years further than microseconds since 1970 do.
    (micros % 1_000 == 0).then_some(Timestamp::At {
        value: days * (MICROS_PER_DAY / 1_000) + micros / 1_000,
        unit: TimeUnit::Milli,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days_of(text: &str) -> i32 {
        date(text.as_bytes()).unwrap().days().unwrap()
    }

    #[test]
    fn dates_reach_from_4714_bc_to_5874897() {
        assert_eq!(days_of("1970-01-01"), 0);
        assert_eq!(days_of("2000-02-29"), 11_016);
        assert_eq!(days_of("1969-12-31"), -1);
        assert_eq!(days_of("0001-01-01"), -719_162);
        assert_eq!(days_of("0001-12-31 BC"), -719_163);
        assert_eq!(days_of("4714-11-24 BC"), -2_440_588);
        assert_eq!(days_of("5874897-12-31"), 2_145_042_905);
        assert_eq!(date(b"-infinity").unwrap(), Date::NegInfinity);
    }

    #[test]
    fn timestamps_keep_microseconds_and_eras() {
        assert_eq!(
            timestamp(b"2024-05-06 07:08:09.012345").unwrap(),
            Timestamp::micros(1_714_979_289_012_345)
        );
        assert_eq!(timestamp_tz(b"1970-01-01 00:00:00.5+00").unwrap(), Timestamp::micros(500_000));
        assert_eq!(
            timestamp_tz(b"0001-12-31 23:59:59+00 BC").unwrap(),
            Timestamp::micros(-719_162 * MICROS_PER_DAY - MICROS_PER_SECOND)
        );
        assert_eq!(timestamp(b"infinity").unwrap(), Timestamp::Infinity);
    }

    #[test]
    fn the_last_thirty_years_of_the_calendar_are_in_milliseconds() {
        let last = timestamp(b"294276-12-31 23:59:59").unwrap();
        assert!(matches!(last, Timestamp::At { unit: TimeUnit::Milli, .. }));
        assert_eq!(last.to_unit(TimeUnit::Second), Some(9_224_318_015_999));
    }

    #[test]
    fn times_know_the_end_of_the_day_and_offsets_with_seconds() {
        assert_eq!(time(b"24:00:00").unwrap().value, MICROS_PER_DAY);
        assert_eq!(time(b"04:05:06.7").unwrap().value, 14_706_700_000);
        assert_eq!(time_tz(b"04:05:06-05:30:15").unwrap().offset_seconds, -19_815);
        assert!(time(b"4:05:06").is_err() && time(b"04:05:06.1234567").is_err());
    }
}
