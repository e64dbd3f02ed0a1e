//! What is shown in the place of a column's text.

use std::fmt;
use std::sync::Arc;

use cdc_core::value::Text;
use cdc_core::{DataType, Value, ValueRef};

use super::hash::{HashAlgorithm, HashVersion, hash};

/// How a column is made unreadable.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Mask {
    /// The same text whatever the value, NULL included (`column.mask.with.N.chars`).
    Fixed(Text),
    /// A hash of the text, cut to the column's length (`column.mask.hash`).
    Hash { algorithm: HashAlgorithm, version: HashVersion, salt: Arc<str> },
    /// The first characters (`column.truncate.to.N.chars`).
    Truncate(usize),
}

impl Mask {
    /// Asterisks.
    pub(crate) fn asterisks(count: usize) -> Self {
        Mask::Fixed("*".repeat(count).into())
    }

    /// Whether values of a type can be masked; those of others are shown as they are, as by Debezium.
    pub(crate) fn applies_to(data_type: &DataType) -> bool {
        matches!(data_type, DataType::Text { .. } | DataType::Enum { .. })
    }

    /// The parameter that says so in a Connect schema.
    pub(crate) fn parameter(&self) -> (Arc<str>, Arc<str>) {
        match self {
            Mask::Truncate(length) => ("truncateLength".into(), length.to_string().into()),
            Mask::Fixed(_) | Mask::Hash { .. } => ("masked".into(), "true".into()),
        }
    }

    /// What is shown for a value. What was not sent stays unavailable, but for a text that is the same for all.
    pub(crate) fn apply(&self, value: ValueRef<'_>, data_type: &DataType) -> Option<Value> {
        match (self, value) {
            (Mask::Fixed(text), _) => Some(text.clone().into()),
            (Mask::Hash { algorithm, version, salt }, ValueRef::Text(text)) => {
                let mut hashed = hash(*algorithm, *version, salt, text);
                if let DataType::Text { max_length: Some(most), .. } = data_type {
                    // The hash is ASCII.
                    hashed.truncate(usize::try_from(*most).unwrap_or(usize::MAX));
                }
                Some(Value::text(hashed))
            }
            (Mask::Truncate(most), ValueRef::Text(text)) => {
                let end = end_of(text, *most)?;
                Some(Value::text(text.get(..end)?.to_owned()))
            }
            (Mask::Hash { .. } | Mask::Truncate(_), _) => None,
        }
    }
}

/// The salt is not shown.
impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mask::Fixed(text) => write!(f, "Fixed({text:?})"),
            Mask::Hash { algorithm, version, .. } => write!(f, "Hash({algorithm}, {version:?})"),
            Mask::Truncate(length) => write!(f, "Truncate({length})"),
        }
    }
}

/// Where the first `most` characters end, counted in UTF-16 units as Java counts them; `None` where there are no more.
fn end_of(text: &str, most: usize) -> Option<usize> {
    if text.len() <= most {
        return None;
    }
    let mut units = 0;
    text.char_indices().find_map(|(at, letter)| {
        units += letter.len_utf16();
        (units > most).then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(mask: &Mask, value: &Value) -> Value {
        mask.apply(value.as_ref(), &DataType::TEXT).unwrap_or_else(|| value.clone())
    }

    #[test]
    fn asterisks_stand_for_every_value() {
        let mask = Mask::asterisks(5);
        for value in ["sally@x.org".into(), Value::Null, Value::Unavailable] {
            assert_eq!(shown(&mask, &value), "*****".into());
        }
        assert_eq!(shown(&Mask::asterisks(0), &"x".into()), "".into());
    }

    #[test]
    fn what_was_not_sent_has_no_hash_and_no_beginning() {
        let hash = Mask::Hash {
            algorithm: HashAlgorithm::Sha256,
            version: HashVersion::Serialized,
            salt: "pepper".into(),
        };
        for mask in [hash, Mask::Truncate(3)] {
            assert_eq!(shown(&mask, &Value::Unavailable), Value::Unavailable);
            assert_eq!(shown(&mask, &Value::Null), Value::Null);
        }
    }

    #[test]
    fn a_hash_is_cut_to_the_columns_length() {
        let hash = Mask::Hash {
            algorithm: HashAlgorithm::Md5,
            version: HashVersion::Bytes,
            salt: "a".into(),
        };
        let short = DataType::Text { max_length: Some(8), fixed: false };
        assert_eq!(hash.apply(ValueRef::Text("bc"), &short), Some("90015098".into()));
    }

    #[test]
    fn characters_are_counted_as_java_counts_them() {
        let mask = Mask::Truncate(3);
        assert_eq!(shown(&mask, &"Sally".into()), "Sal".into());
        assert_eq!(shown(&mask, &"äöüß".into()), "äöü".into());
        assert_eq!(shown(&mask, &"abc".into()), "abc".into());
        // Half a character is left out.
        assert_eq!(shown(&mask, &"ab😀c".into()), "ab".into());
    }
}
