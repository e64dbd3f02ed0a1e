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

/// The day since 1970-01-01 of a date; `None` where there is no such date or it is out of range.
///
/// ```
/// use cdc_core::value::calendar::day_of_date;
///
/// assert_eq!(day_of_date(2000, 2, 29), Some(11_016));
/// assert_eq!(day_of_date(1900, 2, 29), None);
/// ```
pub fn day_of_date(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let shifted = year.checked_sub(i64::from(month <= 2))?;
    let (era, year_of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let found = era.checked_mul(ERA)?.checked_add(day_of_era - EPOCH)?;
    // The 31st of a shorter month would be a day of the next one.
    (date_of_day(found) == (year, month, day)).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
