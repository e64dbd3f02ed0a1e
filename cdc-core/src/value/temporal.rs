//! Dates, times and intervals: a value, its unit, and the infinities that databases know.
//!
//! Nothing here knows a calendar beyond days since the epoch: sources parse their own text or
//! binary forms, formats write what their readers expect, and `iso` prints ISO 8601.

/// The unit of a time or timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimeUnit {
    /// 1 s.
    Second,
    /// 1/1 000 s.
    Milli,
    /// 1/1 000 000 s.
    Micro,
    /// 1/1 000 000 000 s.
    Nano,
}

impl TimeUnit {
    /// How many of the unit make a second.
    pub const fn per_second(self) -> i64 {
        match self {
            TimeUnit::Second => 1,
            TimeUnit::Milli => 1_000,
            TimeUnit::Micro => 1_000_000,
            TimeUnit::Nano => 1_000_000_000,
        }
    }

    /// Whole seconds, rounded down, and the nanoseconds that are left.
    #[inline]
    pub const fn split(self, value: i64) -> (i64, u32) {
        // Divisions by constants are several times as fast as one by a variable.
        match self {
            TimeUnit::Second => (value, 0),
            TimeUnit::Milli => parts::<1_000>(value),
            TimeUnit::Micro => parts::<1_000_000>(value),
            TimeUnit::Nano => parts::<1_000_000_000>(value),
        }
    }

    /// How many digits a fraction of a second has in this unit.
    pub const fn digits(self) -> u32 {
        match self {
            TimeUnit::Second => 0,
            TimeUnit::Milli => 3,
            TimeUnit::Micro => 6,
            TimeUnit::Nano => 9,
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "less than 10^9")]
#[inline]
const fn parts<const PER_SECOND: i64>(value: i64) -> (i64, u32) {
    let rest = value.rem_euclid(PER_SECOND);
    (value.div_euclid(PER_SECOND), (rest * (1_000_000_000 / PER_SECOND)) as u32)
}

/// Converts between units, truncating towards the past; `None` when the result does not fit.
pub(crate) fn convert(value: i64, from: TimeUnit, to: TimeUnit) -> Option<i64> {
    let (from, to) = (from.per_second(), to.per_second());
    if to >= from { value.checked_mul(to / from) } else { Some(value.div_euclid(from / to)) }
}

/// A day of the proleptic Gregorian calendar, or one of the infinities of PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Date {
    /// Earlier than every day (`-infinity`).
    NegInfinity,
    /// Days since 1970-01-01; negative before it.
    Days(i32),
    /// Later than every day (`infinity`).
    Infinity,
}

impl Date {
    /// Days since 1970-01-01, or `None` for an infinity.
    pub const fn days(self) -> Option<i32> {
        match self {
            Date::Days(days) => Some(days),
            _ => None,
        }
    }
}

/// A time of day without a zone: what has passed since midnight. 24:00:00 is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    /// How many units since midnight. MySQL's TIME also goes below zero and beyond a day.
    pub value: i64,
    /// The unit of `value`.
    pub unit: TimeUnit,
}

impl Time {
    /// The time in another unit, truncated towards midnight; `None` when it does not fit.
    pub fn to_unit(self, unit: TimeUnit) -> Option<i64> {
        convert(self.value, self.unit, unit)
    }
}

/// A time of day at an offset from UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeTz {
    /// The local time.
    pub time: Time,
    /// Seconds east of UTC.
    pub offset_seconds: i32,
}

/// A point on the time line: the value of a timestamp with or without a zone.
///
/// Without a zone it is the local date and time counted as if it were UTC; with one it is the
/// instant itself. Which of the two it is stands in the [`DataType`](crate::DataType).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Timestamp {
    /// Earlier than every instant (`-infinity`).
    NegInfinity,
    /// A count of units since 1970-01-01T00:00:00.
    At {
        /// How many units since the epoch; negative before it.
        value: i64,
        /// The unit of `value`.
        unit: TimeUnit,
    },
    /// Later than every instant (`infinity`).
    Infinity,
}

impl Timestamp {
    /// A finite timestamp in microseconds, the unit of PostgreSQL.
    pub const fn micros(value: i64) -> Self {
        Timestamp::At { value, unit: TimeUnit::Micro }
    }

    /// The count in a unit, truncated towards the past; `None` for an infinity or when it does not fit.
    pub fn to_unit(self, unit: TimeUnit) -> Option<i64> {
        match self {
            Timestamp::At { value, unit: from } => convert(value, from, unit),
            _ => None,
        }
    }
}

/// A span of time as PostgreSQL keeps it: months, days and a rest do not convert into each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Interval {
    /// Shorter than every interval (`-infinity`, PostgreSQL 17).
    NegInfinity,
    /// A finite interval.
    Span {
        /// Calendar months; 12 make a year.
        months: i32,
        /// Days of any length.
        days: i32,
        /// Microseconds.
        micros: i64,
    },
    /// Longer than every interval (`infinity`, PostgreSQL 17).
    Infinity,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coarser_unit_truncates_towards_the_past() {
        assert_eq!(Timestamp::micros(-1).to_unit(TimeUnit::Milli), Some(-1));
        assert_eq!(Timestamp::micros(1_999).to_unit(TimeUnit::Milli), Some(1));
    }

    #[test]
    fn seconds_and_what_is_left_of_them_make_the_value() {
        assert_eq!(TimeUnit::Micro.split(-1), (-1, 999_999_000));
        assert_eq!(TimeUnit::Milli.split(1_500), (1, 500_000_000));
        assert_eq!(TimeUnit::Nano.split(i64::MIN), (-9_223_372_037, 145_224_192));
        assert_eq!(TimeUnit::Second.split(i64::MAX), (i64::MAX, 0));
    }

    #[test]
    fn what_does_not_fit_is_none_rather_than_wrong() {
        assert_eq!(Timestamp::micros(i64::MAX).to_unit(TimeUnit::Nano), None);
        assert_eq!(Timestamp::Infinity.to_unit(TimeUnit::Milli), None);
    }
}
