//! The proleptic Gregorian calendar: days since 1970-01-01 and their dates.
//!
//! Years begin in March here, so that the leap day is the last one of a year; 400 years are an era of 146 097 days.

/// Days of an era of 400 years.
const ERA: i64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH: i64 = 719_468;

/// Year (0 is 1 BC), month and day of a day since 1970-01-01.
///
/// ```
/// use cdc_core::value::calendar::date_of_day;
///
/// assert_eq!(date_of_day(0), (1970, 1, 1));
/// assert_eq!(date_of_day(-719_529), (-1, 12, 31));
/// ```
pub fn date_of_day(day: i64) -> (i64, i64, i64) {
    // A day so far away that no database has it stays where it is instead of overflowing.
    let shifted = day.saturating_add(EPOCH);
    let (era, day_of_era) = (shifted.div_euclid(ERA), shifted.rem_euclid(ERA));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// As [`date_of_day`], by multiplications of 32 bits, for days since 1970-01-01 in the years up to 9999 (Neri and
/// Schneider, Euclidean affine functions and their application to calendar algorithms, 2023).
#[inline(always)]
pub(crate) fn date_of_usual_day(day: u32) -> (u32, u32, u32) {
    let quarters = 4 * (day + 719_468) + 3;
    let (century, quarters) = (quarters / 146_097, (quarters % 146_097) | 3);
    let years = 2_939_745 * u64::from(quarters);
    let year = 100 * century + low(years >> 32);
    let day_of_year = low(years) / 2_939_745 / 4;
    let months = 2_141 * day_of_year + 197_913;
    let (month, day) = (months >> 16, (months & 0xffff) / 2_141 + 1);
    if day_of_year >= 306 { (year + 1, month - 12, day) } else { (year, month, day) }
}

/// The low 32 bits.
#[inline(always)]
fn low(value: u64) -> u32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// The day since 1970-01-01 of a date; `None` where there is no such date or it is out of range.
///
/// ```
/// use cdc_core::value::calendar::day_of_date;
///
/// assert_eq!(day_of_date(2000, 2, 29), Some(11_016));
/// assert_eq!(day_of_date(1900, 2, 29), None);
/// ```
pub fn day_of_date(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = if year % 100 == 0 { year % 400 == 0 } else { year % 4 == 0 };
    let last = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=last).contains(&day) {
        return None;
    }
    let shifted = year.checked_sub(i64::from(month <= 2))?;
    let (era, year_of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era.checked_mul(ERA)?.checked_add(day_of_era - EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn usual_days_have_the_same_date_either_way() {
        for day in 0..2_932_897u32 {
            let (year, month, day_of_month) = date_of_usual_day(day);
            let date = (i64::from(year), i64::from(month), i64::from(day_of_month));
            assert_eq!(date, date_of_day(i64::from(day)));
        }
    }

    #[test]
    fn what_is_no_date_is_no_day() {
        for year in (-400..0).chain(1_896..2_304) {
            for (month, day) in (-1..14).flat_map(|month| (-1..33).map(move |day| (month, day))) {
                let found = day_of_date(year, month, day);
                if let Some(found) = found {
                    assert_eq!(date_of_day(found), (year, month, day));
                }
                let usual = (1..=12).contains(&month) && (1..=28).contains(&day);
                assert!(found.is_some() || !usual, "{year}-{month}-{day}");
            }
            let days = |year| day_of_date(year, 12, 31).zip(day_of_date(year, 1, 1));
            let in_months = (1..=12).map(|month| {
                (1..=31).filter(|day| day_of_date(year, month, *day).is_some()).count()
            });
            let (last, first) = days(year).unwrap();
            assert_eq!(i64::try_from(in_months.sum::<usize>()).unwrap(), last - first + 1);
        }
    }

    proptest! {
        #[test]
        fn a_day_and_its_date_are_inverse(day in -800_000_000i64..800_000_000) {
            let (year, month, day_of_month) = date_of_day(day);
            prop_assert_eq!(day_of_date(year, month, day_of_month), Some(day));
        }

        #[test]
        fn no_number_panics(year: i64, month: i64, day: i64) {
            let _ = (date_of_day(day), day_of_date(year, month, day), day_of_date(year, 2, 29));
        }
    }
}
