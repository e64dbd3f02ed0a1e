//! Dates, times and intervals as ISO 8601 text, in the forms of `java.time` that Debezium writes.

use crate::value::calendar::{date_of_day, date_of_usual_day, day_of_date};
use crate::value::clock::{ClockText, Fraction};
use crate::value::digits::{pair, two_digits};
use crate::value::{Date, Interval, Time, TimeTz, TimeUnit, Timestamp};

use super::java_numbers::{write_i64, write_u64};

const SECONDS_A_DAY: i64 = 86_400;

/// The infinities of timestamps in Debezium's text form and in `timestamptz` of PostgreSQL.
const INFINITY: &str = "infinity";
const NEG_INFINITY: &str = "-infinity";

fn day_into(text: &mut ClockText, day: i64) {
    let (year, month, day) = date_of_day(day);
    if year > 9_999 {
        text.push(b'+');
    } else if year < 0 {
        text.push(b'-');
    }
    text.date(year, month, day);
}

fn clock_into(text: &mut ClockText, seconds: i64, nanos: u32, fraction: Fraction) {
    text.clock(seconds.unsigned_abs(), nanos, fraction);
}

fn written(out: &mut Vec<u8>, write: impl FnOnce(&mut ClockText)) {
    let mut text = ClockText::new();
    write(&mut text);
    out.extend_from_slice(text.as_bytes());
}

/// A time of day with the `Z` of UTC.
fn write_zulu(seconds: i64, nanos: u32, fraction: Fraction, out: &mut Vec<u8>) {
    written(out, |text| {
        clock_into(text, seconds, nanos, fraction);
        text.push(b'Z');
    });
}

/// `2016-11-04Z`.
pub(crate) fn write_date(date: Date, out: &mut Vec<u8>) {
    match date {
        Date::Days(day) => {
            written(out, |text| {
                day_into(text, i64::from(day));
                text.push(b'Z');
            });
        }
        Date::Infinity => out.extend_from_slice(INFINITY.as_bytes()),
        Date::NegInfinity => out.extend_from_slice(NEG_INFINITY.as_bytes()),
    }
}

/// `13:51:30.123456Z`; a `24:00:00` begins the day anew, as `java.time.LocalTime` has it.
pub(crate) fn write_time(time: Time, out: &mut Vec<u8>) {
    let (seconds, nanos) = time.unit.split(time.value);
    write_zulu(seconds.rem_euclid(SECONDS_A_DAY), nanos, Fraction::Trimmed, out);
}

/// A time with a zone, at UTC.
pub(crate) fn write_time_tz(time: TimeTz, out: &mut Vec<u8>) {
    let (seconds, nanos) = time.time.unit.split(time.time.value);
    let seconds = seconds.saturating_sub(i64::from(time.offset_seconds));
    write_zulu(seconds.rem_euclid(SECONDS_A_DAY), nanos, Fraction::Trimmed, out);
}

/// `2016-11-04T13:51:30.123456Z` without zeros at the end of the fraction.
pub(crate) fn write_timestamp(timestamp: Timestamp, out: &mut Vec<u8>) {
    write_instant(timestamp, Fraction::Trimmed, out);
}

/// An instant at UTC with this many digits of a fraction, or as many as its unit has.
pub(crate) fn write_timestamp_tz(timestamp: Timestamp, digits: Option<u8>, out: &mut Vec<u8>) {
    let of_unit = match timestamp {
        Timestamp::At { unit, .. } => unit.digits(),
        _ => 0,
    };
    write_instant(timestamp, Fraction::Fixed(digits.map_or(of_unit, u32::from)), out);
}

/// An instant of the years 1970 to 9999 in microseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UsualMicros(u64);

impl UsualMicros {
    /// `None` outside of those years.
    #[inline(always)]
    pub(crate) fn new(micros: i64) -> Option<Self> {
        u64::try_from(micros).ok().filter(|micros| *micros < 253_402_300_800_000_000).map(Self)
    }

    /// Writes it with all six digits, between quotes.
    #[inline(always)]
    pub(crate) fn write_quoted(self, out: &mut [u8; 29]) {
        let small = |number: u64| u32::try_from(number).unwrap_or(0);
        let (seconds, fraction) = (self.0 / 1_000_000, small(self.0 % 1_000_000));
        let (day, of_day) = (small(seconds / 86_400), small(seconds % 86_400));
        let (year, month, day) = date_of_usual_day(day);
        *out = *b"\"0000-00-00T00:00:00.000000Z\"";
        let mut put = |at: usize, value: u32| out[at..at + 2].copy_from_slice(&pair(value));
        put(1, year / 100);
        put(3, year % 100);
        put(6, month);
        put(9, day);
        put(12, of_day / 3_600);
        put(15, of_day / 60 % 60);
        put(18, of_day % 60);
        put(21, fraction / 10_000);
        put(23, fraction / 100 % 100);
        put(25, fraction % 100);
    }
}

fn write_instant(timestamp: Timestamp, fraction: Fraction, out: &mut Vec<u8>) {
    match timestamp {
        Timestamp::At { value, unit } => {
            let (seconds, nanos) = unit.split(value);
            written(out, |text| {
                day_into(text, seconds.div_euclid(SECONDS_A_DAY));
                text.push(b'T');
                clock_into(text, seconds.rem_euclid(SECONDS_A_DAY), nanos, fraction);
                text.push(b'Z');
            });
        }
        Timestamp::Infinity => out.extend_from_slice(INFINITY.as_bytes()),
        Timestamp::NegInfinity => out.extend_from_slice(NEG_INFINITY.as_bytes()),
    }
}

/// `P1Y2M3DT4H5M6.78S` with every part; the parts of a negative interval have signs of their own.
pub(crate) fn write_interval(interval: Interval, out: &mut Vec<u8>) {
    let (months, days, micros) = match interval {
        Interval::Span { months, days, micros } => (months, days, micros),
        Interval::Infinity => return out.extend_from_slice(INFINITY.as_bytes()),
        Interval::NegInfinity => return out.extend_from_slice(NEG_INFINITY.as_bytes()),
    };
    const MICROS_A_MINUTE: i64 = 60_000_000;
    let minutes = micros / MICROS_A_MINUTE;
    let seconds = micros % MICROS_A_MINUTE;
    out.push(b'P');
    for (value, letter) in [(months / 12, b'Y'), (months % 12, b'M'), (days, b'D')] {
        write_i64(i64::from(value), out);
        out.push(letter);
    }
    out.push(b'T');
    for (value, letter) in [(minutes / 60, b'H'), (minutes % 60, b'M')] {
        write_i64(value, out);
        out.push(letter);
    }
    if seconds < 0 {
        out.push(b'-');
    }
    write_u64(seconds.unsigned_abs() / 1_000_000, out);
    let nanos = u32::try_from(seconds.unsigned_abs() % 1_000_000).unwrap_or(0) * 1_000;
    written(out, |text| text.fraction(nanos, Fraction::Trimmed));
    out.push(b'S');
}

/// `Mon May 19 00:00:00 UTC 1997`: `java.util.Date.toString` where the time zone is UTC.
pub(crate) fn write_java_date(millis: i64, out: &mut Vec<u8>) {
    const DAYS: [&[u8]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
    const MONTHS: [&[u8]; 12] = [
        b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov",
        b"Dec",
    ];
    let (seconds, _) = TimeUnit::Milli.split(millis);
    let day = seconds.div_euclid(SECONDS_A_DAY);
    let (year, month, day_of_month) = date_of_day(day);
    let name = |names: &[&'static [u8]], index: i64| {
        usize::try_from(index).ok().and_then(|at| names.get(at).copied()).unwrap_or_default()
    };
    out.extend_from_slice(name(&DAYS, day.rem_euclid(7)));
    out.push(b' ');
    out.extend_from_slice(name(&MONTHS, month - 1));
    out.push(b' ');
    out.extend_from_slice(&two_digits(u8::try_from(day_of_month).unwrap_or(0)));
    out.push(b' ');
    written(out, |text| {
        clock_into(text, seconds.rem_euclid(SECONDS_A_DAY), 0, Fraction::Trimmed);
    });
    out.extend_from_slice(b" UTC ");
    write_i64(year, out);
}

/// The text of a `java.util.Date` in a header: a time before the second day, a date at midnight, else a timestamp.
pub(crate) fn write_header_date(millis: i64, out: &mut Vec<u8>) {
    const MILLIS_A_DAY: i64 = SECONDS_A_DAY * 1_000;
    let (seconds, nanos) = TimeUnit::Milli.split(millis);
    let of_day = seconds.rem_euclid(SECONDS_A_DAY);
    if millis >= MILLIS_A_DAY {
        let start = out.len();
        written(out, |text| day_into(text, seconds.div_euclid(SECONDS_A_DAY)));
        // SimpleDateFormat has no sign before years of more than four digits.
        if out.get(start) == Some(&b'+') {
            out.remove(start);
        }
        if millis % MILLIS_A_DAY == 0 {
            return;
        }
        out.push(b'T');
    }
    write_zulu(of_day, nanos, Fraction::Fixed(3), out);
}

/// Days since the epoch of `yyyy-MM-dd` as `SimpleDateFormat` reads it: months and days beyond their ranges count on.
pub(crate) fn lenient_day(text: &str) -> Option<i64> {
    let mut parts = text.split('-').map(number);
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if parts.next().is_some() || text.find('-')? < 3 {
        return None;
    }
    let months = year.checked_mul(12)?.checked_add(month - 1)?;
    day_of_date(months.div_euclid(12), months.rem_euclid(12) + 1, 1)?.checked_add(day - 1)
}

/// Milliseconds of `HH:mm:ss.SSS'Z'` as `SimpleDateFormat` reads it.
pub(crate) fn lenient_clock(text: &str) -> Option<i64> {
    let (clock, millis) = text.strip_suffix('Z')?.split_once('.')?;
    let mut parts = clock.split(':').map(number);
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    if parts.next().is_some() {
        return None;
    }
    Some(((hours * 60 + minutes) * 60 + seconds) * 1_000 + number(millis)?)
}

fn number(text: &str) -> Option<i64> {
    let digits = !text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// Reads what [`write_date`] writes.
pub(crate) fn read_date(text: &str) -> Option<Date> {
    match text {
        INFINITY => return Some(Date::Infinity),
        NEG_INFINITY => return Some(Date::NegInfinity),
        _ => {}
    }
    let day = read_day(text.strip_suffix('Z')?)?;
    i32::try_from(day).ok().map(Date::Days)
}

/// Reads what [`write_time`] writes.
pub(crate) fn read_time(text: &str) -> Option<Time> {
    let (seconds, nanos, digits) = read_clock(text.strip_suffix('Z')?)?;
    let unit = unit_of(digits);
    Some(Time { value: join(seconds, nanos, unit)?, unit })
}

/// Reads what [`write_time_tz`] writes.
pub(crate) fn read_time_tz(text: &str) -> Option<TimeTz> {
    Some(TimeTz { time: read_time(text)?, offset_seconds: 0 })
}

/// Reads what [`write_timestamp`] and [`write_timestamp_tz`] write; the unit tells the digits of the fraction.
pub(crate) fn read_timestamp(text: &str) -> Option<Timestamp> {
    match text {
        INFINITY => return Some(Timestamp::Infinity),
        NEG_INFINITY => return Some(Timestamp::NegInfinity),
        _ => {}
    }
    let (day, clock) = text.strip_suffix('Z')?.split_once('T')?;
    let (seconds, nanos, digits) = read_clock(clock)?;
    let seconds = read_day(day)?.checked_mul(SECONDS_A_DAY)?.checked_add(seconds)?;
    let unit = unit_of(digits);
    Some(Timestamp::At { value: join(seconds, nanos, unit)?, unit })
}

/// Reads what [`write_interval`] writes.
pub(crate) fn read_interval(text: &str) -> Option<Interval> {
    match text {
        INFINITY => return Some(Interval::Infinity),
        NEG_INFINITY => return Some(Interval::NegInfinity),
        _ => {}
    }
    let rest = text.strip_prefix('P')?;
    let (years, rest) = rest.split_once('Y')?;
    let (months, rest) = rest.split_once('M')?;
    let (days, rest) = rest.split_once("DT")?;
    let (hours, rest) = rest.split_once('H')?;
    let (minutes, rest) = rest.split_once('M')?;
    let seconds = rest.strip_suffix('S')?;
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    let negative = whole.starts_with('-');
    let whole: i64 = whole.parse().ok()?;
    if fraction.len() > 6 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fraction: i64 = format!("{fraction:0<6}").parse().ok()?;
    let minutes = hours.parse::<i64>().ok()?.checked_mul(60)?.checked_add(minutes.parse().ok()?)?;
    let seconds = minutes.checked_mul(60)?.checked_add(whole)?;
    let micros =
        seconds.checked_mul(1_000_000)?.checked_add(if negative { -fraction } else { fraction })?;
    let months = years.parse::<i32>().ok()?.checked_mul(12)?.checked_add(months.parse().ok()?)?;
    Some(Interval::Span { months, days: days.parse().ok()?, micros })
}

fn read_day(text: &str) -> Option<i64> {
    let (negative, rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let mut parts = rest.split('-');
    let mut number = |widths: std::ops::RangeInclusive<usize>| {
        let part = parts.next()?;
        let digits = part.bytes().all(|byte| byte.is_ascii_digit());
        (widths.contains(&part.len()) && digits).then(|| part.parse::<i64>().ok()).flatten()
    };
    let (year, month, day) = (number(4..=9)?, number(2..=2)?, number(2..=2)?);
    let year = if negative { -year } else { year };
    if parts.next().is_some() {
        return None;
    }
    day_of_date(year, month, day)
}

/// Seconds, nanoseconds and the number of digits of the fraction.
fn read_clock(text: &str) -> Option<(i64, i64, usize)> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = clock.split(':');
    let mut number = |limit: i64| {
        let part = parts.next()?;
        let digits = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| part.parse::<i64>().ok()).flatten().filter(|value| *value < limit)
    };
    let (hours, minutes, seconds) = (number(24)?, number(60)?, number(60)?);
    if parts.next().is_some()
        || fraction.len() > 9
        || (fraction.is_empty() && text.contains('.'))
        || !fraction.bytes().all(|byte| byte.is_ascii_digit())
    {
        return None;
    }
    let nanos = format!("{fraction:0<9}").parse().ok()?;
    Some((hours * 3_600 + minutes * 60 + seconds, nanos, fraction.len()))
}

fn unit_of(digits: usize) -> TimeUnit {
    match digits {
        0 => TimeUnit::Second,
        1..=3 => TimeUnit::Milli,
        4..=6 => TimeUnit::Micro,
        _ => TimeUnit::Nano,
    }
}

fn join(seconds: i64, nanos: i64, unit: TimeUnit) -> Option<i64> {
    let per_second = unit.per_second();
    seconds.checked_mul(per_second)?.checked_add(nanos / (1_000_000_000 / per_second))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn years_beyond_four_digits_and_before_christ_have_a_sign() {
        assert_eq!(text(|out| write_date(Date::Days(17_109), out)), "2016-11-04Z");
        assert_eq!(text(|out| write_date(Date::Days(-735_160), out)), "-0043-03-15Z");
        let far = Timestamp::micros(253_402_300_800_000_000);
        assert_eq!(text(|out| write_timestamp(far, out)), "+10000-01-01T00:00:00Z");
        let early = Timestamp::micros(-210_831_897_600_000_001);
        assert_eq!(
            text(|out| write_timestamp_tz(early, Some(6), out)),
            "-4712-12-31T23:59:59.999999Z"
        );
    }

    #[test]
    fn a_fraction_is_trimmed_or_has_the_digits_of_the_column() {
        let noon = Timestamp::micros(43_200_120_000);
        assert_eq!(text(|out| write_timestamp(noon, out)), "1970-01-01T12:00:00.12Z");
        assert_eq!(text(|out| write_timestamp_tz(noon, Some(3), out)), "1970-01-01T12:00:00.120Z");
        assert_eq!(text(|out| write_timestamp_tz(noon, Some(0), out)), "1970-01-01T12:00:00Z");
    }

    #[test]
    fn a_time_with_a_zone_is_moved_to_utc() {
        let time = Time { value: 49_890_123_789, unit: TimeUnit::Micro };
        let east = TimeTz { time, offset_seconds: 7_200 };
        assert_eq!(text(|out| write_time_tz(east, out)), "11:51:30.123789Z");
        let midnight = Time { value: 0, unit: TimeUnit::Micro };
        let west = TimeTz { time: midnight, offset_seconds: -43_200 };
        assert_eq!(text(|out| write_time_tz(west, out)), "12:00:00Z");
    }

    #[test]
    fn every_part_of_an_interval_is_written() {
        let span = Interval::Span { months: 14, days: 3, micros: 14_706_780_000 };
        assert_eq!(text(|out| write_interval(span, out)), "P1Y2M3DT4H5M6.78S");
        let none = Interval::Span { months: 0, days: 0, micros: 0 };
        assert_eq!(text(|out| write_interval(none, out)), "P0Y0M0DT0H0M0S");
        let negative = Interval::Span { months: -1, days: -5, micros: -500_000 };
        assert_eq!(text(|out| write_interval(negative, out)), "P0Y-1M-5DT0H0M-0.5S");
    }

    #[test]
    fn text_in_another_form_is_not_read() {
        for bad in ["", "2016-11-04", "2016-02-30Z", "2016-1-4Z", "xZ", "2016-11-04-05Z", "é"] {
            assert_eq!(read_date(bad), None, "{bad}");
        }
        for bad in ["", "24:00:00Z", "1:2:3Z", "00:00:00.Z", "00:00Z", "00:00:00+01:00"] {
            assert_eq!(read_time(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn dates_are_read_back(day in -800_000_000i32..800_000_000) {
            let date = Date::Days(day);
            prop_assert_eq!(read_date(&text(|out| write_date(date, out))), Some(date));
        }

        #[test]
        fn instants_are_read_back(value in -300_000_000_000_000_000i64..300_000_000_000_000_000) {
            let instant = Timestamp::micros(value);
            let written = text(|out| write_timestamp_tz(instant, None, out));
            prop_assert_eq!(read_timestamp(&written), Some(instant));
        }

        #[test]
        fn intervals_are_read_back(months: i32, days: i32, micros: i64) {
            let span = Interval::Span { months, days, micros };
            prop_assert_eq!(read_interval(&text(|out| write_interval(span, out))), Some(span));
        }

        #[test]
        fn no_text_panics(text in "[0-9:.TZPYMDHS+\\-é]{0,30}") {
            let _ = (read_date(&text), read_time(&text), read_timestamp(&text), read_interval(&text));
        }
    }
}
