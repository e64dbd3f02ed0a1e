//! A key as it is compared and hashed: a view of a row, without a copy of its values.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};

use crate::row::Row;
use crate::value::ValueRef;

/// The key of a folded row. Two keys are equal when their values are, in the order of the key.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Key<'a> {
    /// The key columns of this row.
    Of(&'a Row),
    /// A row of the key's columns alone.
    Row(Cow<'a, Row>),
}

impl Key<'_> {
    /// How many columns it has.
    pub fn len(&self) -> usize {
        match self {
            Key::Of(row) => row.schema().key().len(),
            Key::Row(row) => row.len(),
        }
    }

    /// Whether it has no columns.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a column by its place in the key.
    pub fn get(&self, index: usize) -> Option<ValueRef<'_>> {
        match self {
            Key::Of(row) => row.schema().key().get(index).and_then(|&at| row.get(at)),
            Key::Row(row) => row.get(index),
        }
    }

    /// The values in the order of the key.
    pub fn values(&self) -> impl Iterator<Item = ValueRef<'_>> {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.values().eq(other.values())
    }
}

impl Eq for Key<'_> {}

impl Hash for Key<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for value in self.values() {
            value.hash(state);
        }
    }
}
