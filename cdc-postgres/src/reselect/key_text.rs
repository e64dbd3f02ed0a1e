//! Values of a key as the text that PostgreSQL reads as the same value.

use cdc_core::ValueRef;
use cdc_core::value::{Date, Timestamp};

use crate::incremental::literal::text;

/// The first and the last day whose ISO text PostgreSQL reads: 0001-01-01 and 9999-12-31, in days since 1970.
const DAYS: std::ops::RangeInclusive<i64> = -719_162..=2_932_896;

/// The text of a value; `None` for what stands in no key (NULL, arrays) and for days far from now, whose texts differ.
pub(super) fn key_text(value: &ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Array(_) => None,
        ValueRef::Date(Date::Days(day)) if !DAYS.contains(&i64::from(*day)) => None,
        ValueRef::Timestamp(Timestamp::At { value, unit })
            if !DAYS.contains(&unit.split(*value).0.div_euclid(86_400)) =>
        {
            None
        }
        // The session's time zone is UTC, as that of an instant's text.
        ValueRef::Timestamp(v) => Some(v.to_string()),
        value => text(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdc_core::Value;

    #[test]
    fn keys_have_the_texts_of_their_types() {
        let text = |value: Value| key_text(&value.as_ref());
        assert_eq!(text((-7i64).into()).as_deref(), Some("-7"));
        assert_eq!(text(Value::Bytes(vec![0, 255].into())).as_deref(), Some("\\x00ff"));
        assert_eq!(text(Date::Days(19_782).into()).as_deref(), Some("2024-02-29"));
        assert_eq!(
            text(Timestamp::micros(1_500_000).into()).as_deref(),
            Some("1970-01-01T00:00:01.5")
        );
        assert_eq!(text(Timestamp::Infinity.into()).as_deref(), Some("infinity"));
        assert_eq!(text(Date::Days(-719_163).into()), None);
        assert_eq!(text(Timestamp::micros(i64::MAX).into()), None);
        assert_eq!(text(Value::Null), None);
    }
}
