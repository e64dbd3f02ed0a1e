//! Which part of a table a read covers.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::key::Key;

/// A range of keys: behind `after`, up to and with `through`, in the order of the database. Without a bound it is open.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KeyRange {
    /// Keys that are greater.
    pub after: Option<Key>,
    /// Keys that are not greater.
    pub through: Option<Key>,
}

impl KeyRange {
    /// All keys.
    pub const fn all() -> KeyRange {
        KeyRange { after: None, through: None }
    }

    /// The ranges between points that were given in the order of the database: one more than there are points.
    pub fn between(points: impl IntoIterator<Item = Key>) -> Vec<KeyRange> {
        let mut ranges = Vec::new();
        let mut after = None;
        for point in points {
            ranges.push(KeyRange { after: after.replace(point.clone()), through: Some(point) });
        }
        ranges.push(KeyRange { after, through: None });
        ranges
    }

    /// Whether a key is in it; `None` where only the database knows.
    pub fn contains(&self, key: &Key, text_in_byte_order: bool) -> Option<bool> {
        let behind = match &self.after {
            None => Some(true),
            Some(after) => key.compare(after, text_in_byte_order).map(Ordering::is_gt),
        };
        let before = match &self.through {
            None => Some(true),
            Some(through) => key.compare(through, text_in_byte_order).map(Ordering::is_le),
        };
        match (behind, before) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        }
    }
}

/// What one read is to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Region {
    /// Rows with keys in a range, in the order of the key, as many as fit into a chunk.
    Range(KeyRange),
    /// The rows with these keys, where there are such.
    Keys(Vec<Key>),
    /// All rows of a table without a key, in any order.
    Whole,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Value;

    fn key(id: i64) -> Key {
        Key::new([Value::Int64(id)]).unwrap()
    }

    #[test]
    fn ranges_between_points_hold_every_key_once() {
        let ranges = KeyRange::between([key(3), key(5)]);
        assert_eq!(ranges.len(), 3);
        for id in 0..9 {
            let holding =
                ranges.iter().filter(|range| range.contains(&key(id), false) == Some(true));
            assert_eq!(holding.count(), 1, "{id}");
        }
        assert_eq!(KeyRange::between([]), [KeyRange::all()]);
    }

    #[test]
    fn a_key_that_cannot_be_compared_may_be_in_the_range() {
        let text = |text: &str| Key::new([text.into()]).unwrap();
        let range = KeyRange { after: Some(text("a")), through: None };
        assert_eq!(range.contains(&text("b"), false), None);
        assert_eq!(range.contains(&text("a"), false), Some(false));
        assert_eq!(KeyRange::all().contains(&text("b"), false), Some(true));
    }
}
