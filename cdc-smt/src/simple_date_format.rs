//! Patterns of `java.text.SimpleDateFormat` in UTC and English, written and read leniently.
//!
//! The calendar is the proleptic Gregorian one, also before 1582, where Java's is Julian.

use std::time::{SystemTime, UNIX_EPOCH};

use cdc_core::value::calendar::{date_of_day, day_of_date};

const MILLIS_A_DAY: i64 = 86_400_000;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(crate) struct SimpleDateFormat {
    pattern: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(char),
    /// A letter and how often it stands there.
    Field(char, usize),
}

impl SimpleDateFormat {
    /// Compiles a pattern; the error is Java's text.
    pub(crate) fn new(pattern: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut letters = pattern.chars().peekable();
        let mut quoted = false;
        while let Some(letter) = letters.next() {
            match letter {
                '\'' if letters.next_if_eq(&'\'').is_some() => parts.push(Part::Literal('\'')),
                '\'' => quoted = !quoted,
                letter if !quoted && letter.is_ascii_alphabetic() => {
                    if !"GyYMLwWDdFEuaHkKhmsSzZX".contains(letter) {
                        return Err(format!("Illegal pattern character '{letter}'"));
                    }
                    let mut count = 1;
                    while letters.next_if_eq(&letter).is_some() {
                        count += 1;
                    }
                    if letter == 'X' && count > 3 {
                        return Err(format!("invalid ISO 8601 format: length={count}"));
                    }
                    parts.push(Part::Field(letter, count));
                }
                letter => parts.push(Part::Literal(letter)),
            }
        }
        if quoted {
            return Err("Unterminated quote".to_owned());
        }
        Ok(SimpleDateFormat { pattern: pattern.to_owned(), parts })
    }

    /// The pattern as it was given.
    pub(crate) fn pattern(&self) -> &str {
        &self.pattern
    }

    /// The text of a time in milliseconds since the epoch.
    pub(crate) fn format(&self, millis: i64) -> String {
        let mut out = String::with_capacity(self.pattern.len() + 8);
        for part in &self.parts {
            match part {
                Part::Literal(letter) => out.push(*letter),
                Part::Field(letter, count) => write_field(*letter, *count, millis, &mut out),
            }
        }
        out
    }

    /// Reads a text from its beginning, what follows is not looked at: milliseconds since the epoch.
    pub(crate) fn parse(&self, text: &str) -> Option<i64> {
        let mut read = Fields::default();
        let mut rest = text;
        for (index, part) in self.parts.iter().enumerate() {
            match part {
                Part::Literal(letter) => rest = rest.strip_prefix(*letter)?,
                Part::Field(letter, count) => {
                    let abuts = matches!(self.parts.get(index + 1), Some(Part::Field(..)));
                    rest = rest.trim_start_matches([' ', '\t']);
                    read.short_year = *count <= 2;
                    rest = read.field(*letter, abuts.then_some(*count), rest)?;
                }
            }
        }
        read.millis()
    }
}

fn weekday(day: i64) -> i64 {
    (day + 4).rem_euclid(7)
}

/// The year and week of a day where weeks begin on Sunday and the first has 1 January in it.
fn week_of(day: i64) -> Option<(i64, i64)> {
    let year = date_of_day(day).0;
    let start = |year: i64| day_of_date(year, 1, 1).map(|first| first - weekday(first));
    let next = start(year.checked_add(1)?)?;
    if day >= next {
        return Some((year + 1, 1));
    }
    Some((year, (day - start(year)?) / 7 + 1))
}

fn write_field(letter: char, count: usize, millis: i64, out: &mut String) {
    let day = millis.div_euclid(MILLIS_A_DAY);
    let of_day = millis.rem_euclid(MILLIS_A_DAY);
    let (year, month, day_of_month) = date_of_day(day);
    let hour = of_day / 3_600_000;
    let of_era = if year > 0 { year } else { 1 - year };
    let week = week_of(day).unwrap_or((year, 1));
    let name = |names: &[&'static str], index: i64| {
        usize::try_from(index).ok().and_then(|at| names.get(at).copied()).unwrap_or_default()
    };
    let short = |name: &'static str| name.get(..3).unwrap_or(name);
    let number = |value: i64, out: &mut String| out.push_str(&format!("{value:0count$}"));
    match letter {
        'G' => out.push_str(if year > 0 { "AD" } else { "BC" }),
        'y' | 'Y' => {
            let value = if letter == 'y' { of_era } else { week.0 };
            if count == 2 {
                out.push_str(&format!("{:02}", value.rem_euclid(100)));
            } else {
                number(value, out);
            }
        }
        'M' | 'L' if count >= 4 => out.push_str(name(&MONTHS, month - 1)),
        'M' | 'L' if count == 3 => out.push_str(short(name(&MONTHS, month - 1))),
        'M' | 'L' => number(month, out),
        'w' => number(week.1, out),
        'W' => {
            let first = day - (day_of_month - 1);
            number((day_of_month - 1 + weekday(first)) / 7 + 1, out);
        }
        'D' => number(day_of_date(year, 1, 1).map_or(1, |first| day - first + 1), out),
        'd' => number(day_of_month, out),
        'F' => number((day_of_month - 1) / 7 + 1, out),
        'E' if count >= 4 => out.push_str(name(&DAYS, weekday(day))),
        'E' => out.push_str(short(name(&DAYS, weekday(day)))),
        'u' => number((weekday(day) + 6) % 7 + 1, out),
        'a' => out.push_str(if hour < 12 { "AM" } else { "PM" }),
        'H' => number(hour, out),
        'k' => number(if hour == 0 { 24 } else { hour }, out),
        'K' => number(hour % 12, out),
        'h' => number(if hour % 12 == 0 { 12 } else { hour % 12 }, out),
        'm' => number(of_day / 60_000 % 60, out),
        's' => number(of_day / 1_000 % 60, out),
        'S' => number(of_day % 1_000, out),
        'z' if count >= 4 => out.push_str("Coordinated Universal Time"),
        'z' => out.push_str("UTC"),
        'Z' => out.push_str("+0000"),
        _ => out.push('Z'),
    }
}

/// What was read.
#[derive(Default)]
struct Fields {
    before_christ: bool,
    /// Whether the field that is read has at most two letters.
    short_year: bool,
    year: Option<i64>,
    week_year: Option<i64>,
    month: Option<i64>,
    week: Option<i64>,
    day_of_year: Option<i64>,
    day: Option<i64>,
    weekday: Option<i64>,
    afternoon: Option<bool>,
    hour: i64,
    hour_of_half: Option<i64>,
    minute: i64,
    second: i64,
    milli: i64,
    offset_millis: i64,
}

/// Digits at the beginning, at most so many.
fn digits(text: &str, most: Option<usize>) -> Option<(i64, &str, usize)> {
    let negative = text.starts_with('-');
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let there = unsigned.bytes().take_while(u8::is_ascii_digit).count();
    let count = there.min(most.unwrap_or(usize::MAX));
    let value: i64 = unsigned.get(..count)?.parse().ok()?;
    Some((if negative { -value } else { value }, unsigned.get(count..)?, count))
}

/// The index of the longest name that the text begins with, in full or short, in any case.
fn named<'t>(text: &'t str, names: &[&str]) -> Option<(i64, &'t str)> {
    let begins =
        |name: &str| text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    for short in [false, true] {
        for (index, name) in names.iter().enumerate() {
            let name = if short { name.get(..3)? } else { name };
            if begins(name) {
                return Some((i64::try_from(index).ok()?, text.get(name.len()..)?));
            }
        }
    }
    None
}

/// `+02:00`, `+0200`, `+02`, in milliseconds.
fn offset(text: &str) -> Option<(i64, &str)> {
    let sign = match text.chars().next()? {
        '+' => 1,
        '-' => -1,
        _ => return None,
    };
    let (hours, rest, _) = digits(text.get(1..)?, Some(2))?;
    let minutes = rest.strip_prefix(':').unwrap_or(rest);
    match digits(minutes, Some(2)).filter(|(_, _, count)| *count == 2) {
        Some((minutes, rest, _)) => Some((sign * (hours * 60 + minutes) * 60_000, rest)),
        None => Some((sign * hours * 3_600_000, rest)),
    }
}

impl Fields {
    fn field<'t>(&mut self, letter: char, count: Option<usize>, text: &'t str) -> Option<&'t str> {
        match letter {
            'G' => {
                let (index, rest) = named(text, &["BC ", "AD "])
                    .or_else(|| Some((0, text.strip_prefix("BC")?)))
                    .or_else(|| Some((1, text.strip_prefix("AD")?)))?;
                self.before_christ = index == 0;
                return Some(rest);
            }
            'a' => {
                let start = text.get(..2)?;
                self.afternoon = Some(match start.to_ascii_uppercase().as_str() {
                    "AM" => false,
                    "PM" => true,
                    _ => return None,
                });
                return text.get(2..);
            }
            'E' => return named(text, &DAYS).map(|(_, rest)| rest),
            'z' | 'Z' | 'X' => {
                if let Some((offset, rest)) = offset(text) {
                    self.offset_millis = offset;
                    return Some(rest);
                }
                if letter == 'X' {
                    return text.strip_prefix('Z');
                }
                let name = ["Coordinated Universal Time", "UTC", "GMT"];
                let rest = name.iter().find_map(|name| text.strip_prefix(name))?;
                if let Some((offset, rest)) = offset(rest) {
                    self.offset_millis = offset;
                    return Some(rest);
                }
                return Some(rest);
            }
            'M' | 'L' => {
                if let Some((index, rest)) = named(text, &MONTHS) {
                    self.month = Some(index + 1);
                    return Some(rest);
                }
            }
            _ => {}
        }
        let (value, rest, read) = digits(text, count)?;
        match letter {
            'y' | 'Y' => {
                let two_digits = self.short_year && read == 2 && value >= 0;
                let year = if two_digits { in_century(value) } else { value };
                match letter {
                    'y' => self.year = Some(year),
                    _ => self.week_year = Some(year),
                }
            }
            'M' | 'L' => self.month = Some(value),
            'w' => self.week = Some(value),
            'D' => self.day_of_year = Some(value),
            'd' => self.day = Some(value),
            'u' => self.weekday = Some(value),
            'H' => self.hour = value,
            'k' => self.hour = if value == 24 { 0 } else { value },
            'K' => self.hour_of_half = Some(value),
            'h' => self.hour_of_half = Some(if value == 12 { 0 } else { value }),
            'm' => self.minute = value,
            's' => self.second = value,
            'S' => self.milli = value,
            _ => {}
        }
        Some(rest)
    }

    fn millis(&self) -> Option<i64> {
        let day = self.day_of_epoch()?;
        let hour = match self.hour_of_half {
            Some(hour) => hour + if self.afternoon == Some(true) { 12 } else { 0 },
            None => self.hour,
        };
        let of_day = hour
            .checked_mul(3_600_000)?
            .checked_add(self.minute.checked_mul(60_000)?)?
            .checked_add(self.second.checked_mul(1_000)?)?
            .checked_add(self.milli)?;
        day.checked_mul(MILLIS_A_DAY)?.checked_add(of_day)?.checked_sub(self.offset_millis)
    }

    fn day_of_epoch(&self) -> Option<i64> {
        if let Some(year) = self.week_year {
            let first = day_of_date(year, 1, 1)?;
            let start = first - weekday(first);
            let week = self.week.unwrap_or(1);
            return start
                .checked_add(week.checked_sub(1)?.checked_mul(7)?)?
                .checked_add(self.weekday.map_or(0, |day| day.rem_euclid(7)));
        }
        let year = match (self.year.unwrap_or(1970), self.before_christ) {
            (year, true) => 1 - year,
            (year, false) => year,
        };
        if let Some(day) = self.day_of_year {
            return day_of_date(year, 1, 1)?.checked_add(day - 1);
        }
        let months = year.checked_mul(12)?.checked_add(self.month.unwrap_or(1) - 1)?;
        let first = day_of_date(months.div_euclid(12), months.rem_euclid(12) + 1, 1)?;
        first.checked_add(self.day.unwrap_or(1) - 1)
    }
}

/// The year of two digits that is within 80 years back and 20 ahead.
fn in_century(two_digits: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let year = date_of_day(i64::try_from(now / 86_400).unwrap_or(0)).0 - 80;
    let value = year.div_euclid(100) * 100 + two_digits;
    if two_digits < year.rem_euclid(100) { value + 100 } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pattern: &str, text: &str) -> Option<i64> {
        SimpleDateFormat::new(pattern).unwrap().parse(text)
    }

    #[test]
    fn what_is_written_is_read_again() {
        for pattern in [
            "yyyy-MM-dd HH:mm:ss.SSS",
            "yyyyMMddHHmmssSSS",
            "EEE, d MMM yyyy HH:mm:ss.SSS Z",
            "yyyy-DDD'T'hh:mm:ss.SSS a",
        ] {
            let format = SimpleDateFormat::new(pattern).unwrap();
            for millis in [0, 1_546_398_245_678, -1, -86_400_000_000] {
                assert_eq!(format.parse(&format.format(millis)), Some(millis), "{pattern}");
            }
        }
    }

    #[test]
    fn fields_beyond_their_ranges_count_on() {
        assert_eq!(parse("yyyy-MM-dd", "2019-13-45 and more"), Some(1_581_638_400_000));
        assert_eq!(parse("HH:mm", "25:61"), Some(93_660_000));
        assert_eq!(parse("yyyy-MM-dd", "not a date"), None);
    }
}
