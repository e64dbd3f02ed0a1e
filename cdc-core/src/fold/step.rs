//! What is left of a batch after folding: the steps of each table.

use std::borrow::Cow;
use std::sync::Arc;

use super::key::Key;
use crate::event::Destination;
use crate::row::Row;
use crate::schema::Schema;

/// All steps of one destination, to be applied in order.
#[derive(Debug)]
pub struct TableFold<'a> {
    /// Where they go.
    pub destination: &'a Destination,
    /// The steps in order.
    pub steps: Vec<Step<'a>>,
}

/// One step of a table. `event` is always the index of an event in the batch: the last one that had a part in it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Step<'a> {
    /// The table announces its schema.
    Table {
        /// The event.
        event: usize,
        /// The schema.
        schema: &'a Arc<Schema>,
    },
    /// All rows go.
    Truncate {
        /// The event.
        event: usize,
        /// The table's schema.
        schema: &'a Arc<Schema>,
    },
    /// Rows by key, each key once.
    Rows(RowSet<'a>),
    /// A row moves to another key.
    Move(Move<'a>),
    /// Rows of a table without a key.
    WithoutKey(RowsWithoutKey<'a>),
}

/// Keys and what becomes of each. Apply all deletes, then all puts, then all patches.
#[derive(Debug)]
pub struct RowSet<'a> {
    /// The schema of all rows in it; that of the key alone where nothing but deletes came without rows.
    pub schema: Arc<Schema>,
    /// Each key once.
    pub keys: Vec<KeyFold<'a>>,
}

/// What becomes of a key: deleted, then perhaps written.
#[derive(Debug)]
pub struct KeyFold<'a> {
    /// The index of the last event with a part in it.
    pub event: usize,
    /// The key.
    pub key: Key<'a>,
    /// Whether the row that is there goes first, with all its columns.
    pub delete: bool,
    /// What is written then.
    pub write: Write<'a>,
}

/// What is written under a key.
#[derive(Debug)]
pub enum Write<'a> {
    /// Nothing: the row stays deleted.
    Nothing,
    /// A complete row, inserted or in the place of the one that is there.
    Put(Cow<'a, Row>),
    /// The columns that are available, set in a row that is there; nothing without one.
    Patch(Cow<'a, Row>),
}

/// A row moves from one key to another, with the columns that are available.
///
/// A row that has the new key gives way, if there is one to move. If there is none, a complete row is put.
#[derive(Debug)]
pub struct Move<'a> {
    /// The event.
    pub event: usize,
    /// The key it had.
    pub from: Key<'a>,
    /// The key it gets.
    pub key: Key<'a>,
    /// The row after.
    pub row: Cow<'a, Row>,
    /// Whether every column is there.
    pub complete: bool,
}

/// Rows of a table without a key, in order.
#[derive(Debug)]
pub struct RowsWithoutKey<'a> {
    /// The schema of all rows in it.
    pub schema: Arc<Schema>,
    /// What happens, in order.
    pub rows: Vec<RowWithoutKey<'a>>,
}

/// What happens to a row that is told apart by nothing but all its values. Of several that are equal one is meant.
#[derive(Debug)]
pub enum RowWithoutKey<'a> {
    /// A row comes.
    Append {
        /// The event.
        event: usize,
        /// The row.
        row: Cow<'a, Row>,
    },
    /// One row that equals `before` becomes `after`.
    Replace {
        /// The event.
        event: usize,
        /// The row before.
        before: &'a Row,
        /// The row after.
        after: Cow<'a, Row>,
    },
    /// One row that equals `before` goes.
    Remove {
        /// The event.
        event: usize,
        /// The row before.
        before: &'a Row,
    },
}

impl<'a> RowWithoutKey<'a> {
    pub(super) fn append(event: usize, row: Cow<'a, Row>) -> Self {
        RowWithoutKey::Append { event, row }
    }

    pub(super) fn replace(event: usize, before: &'a Row, after: Cow<'a, Row>) -> Self {
        RowWithoutKey::Replace { event, before, after }
    }

    pub(super) fn remove(event: usize, before: &'a Row) -> Self {
        RowWithoutKey::Remove { event, before }
    }
}
