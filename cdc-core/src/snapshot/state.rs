//! What an offset says of snapshots: which keys are not read yet.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::key::Key;
use super::region::KeyRange;
use crate::error::{Error, Result};
use crate::schema::TableId;

/// The part of an offset that belongs to snapshots. It is small (ranges, not rows) and readable:
///
/// ```
/// use cdc_core::snapshot::SnapshotState;
///
/// let json = r#"{"sent":2000,"tables":[{"schema":"public","table":"orders","key":["id"],
///     "left":[{"after":[2000],"through":[5000]},{"after":[5000],"through":null}],"again":[[17]],
///     "rows":2000,"bytes":180000,"chunks":2}]}"#;
/// let state = SnapshotState::from_json(&serde_json::from_str(json).unwrap())?;
/// assert_eq!(state.tables[0].left.len(), 2);
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SnapshotState {
    /// How many events snapshots have given, in all runs. Never decreases: it makes of every batch an offset of its own,
    /// and tells which rows of a snapshot a sink has.
    #[serde(default)]
    pub sent: u64,
    /// The tables that are not read to the end, in the order in which they are read.
    #[serde(default)]
    pub tables: Vec<TableState>,
}

/// What is left of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableState {
    /// The table's schema.
    pub schema: String,
    /// The table's name.
    pub table: String,
    /// The columns of its key; none for a table without one.
    pub key: Vec<String>,
    /// Whether text in the key is compared as bytes are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub text_in_byte_order: bool,
    /// The ranges that are not read.
    pub left: Vec<KeyRange>,
    /// Single keys that have to be read, again or at all, because a change that came by lacked columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub again: Vec<Key>,
    /// Rows that were given.
    #[serde(default)]
    pub rows: u64,
    /// Their bytes.
    #[serde(default)]
    pub bytes: u64,
    /// Chunks that are done.
    #[serde(default)]
    pub chunks: u64,
    /// How many rows the table was thought to have when it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_rows: Option<u64>,
    /// Which rows are wanted, where not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// What transactions did to it that were open when it came into the stream is not in the stream, and they may not be
    /// visible yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub newly_streamed: bool,
}

impl TableState {
    /// The table.
    pub fn id(&self) -> TableId {
        TableId::new(self.schema.as_str(), self.table.as_str())
    }
}

impl SnapshotState {
    /// Whether nothing is left to read.
    pub fn is_done(&self) -> bool {
        self.tables.is_empty()
    }

    /// From the JSON of an offset.
    ///
    /// # Errors
    /// [`Configuration`](crate::ErrorKind::Configuration) when it is something else.
    pub fn from_json(json: &serde_json::Value) -> Result<SnapshotState> {
        Self::deserialize(json).map_err(|error| {
            Error::configuration(format!("the snapshot in the offset cannot be read: {error}"))
                .remedy("restore the offset, or start the pipeline anew")
        })
    }

    /// As JSON for an offset.
    pub fn to_json(&self) -> serde_json::Value {
        // Maps with text keys, numbers and lists alone, which cannot fail.
        serde_json::to_value(self).unwrap_or_default()
    }

    /// The state to resume from for two sinks that stand at different offsets: whatever one of them has not got is to be
    /// read. The position to resume at is the earlier of the two.
    #[must_use]
    pub fn union(&self, other: &SnapshotState) -> SnapshotState {
        let mut tables = self.tables.clone();
        for theirs in &other.tables {
            let same =
                |ours: &&mut TableState| ours.schema == theirs.schema && ours.table == theirs.table;
            match tables.iter_mut().find(same) {
                Some(ours) => ours.add(theirs),
                None => tables.push(theirs.clone()),
            }
        }
        SnapshotState { sent: self.sent.max(other.sent), tables }
    }
}

impl TableState {
    fn add(&mut self, other: &TableState) {
        self.rows = self.rows.min(other.rows);
        self.bytes = self.bytes.min(other.bytes);
        self.chunks = self.chunks.min(other.chunks);
        self.newly_streamed |= other.newly_streamed;
        if self.condition != other.condition {
            self.condition = None;
        }
        if self.key != other.key {
            self.left = vec![KeyRange::all()];
            self.again.clear();
            return;
        }
        let in_bytes = self.text_in_byte_order && other.text_in_byte_order;
        for range in &other.left {
            if self.left.iter().any(|ours| holds(ours, range, in_bytes)) {
                continue;
            }
            self.left.retain(|ours| !holds(range, ours, in_bytes));
            self.left.push(range.clone());
        }
        for key in &other.again {
            if !self.again.contains(key) {
                self.again.push(key.clone());
            }
        }
    }
}

/// Whether a range surely has all keys of another.
fn holds(range: &KeyRange, other: &KeyRange, in_bytes: bool) -> bool {
    let begins = match (&range.after, &other.after) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(a), Some(b)) => a.compare(b, in_bytes).is_some_and(Ordering::is_le),
    };
    let ends = || match (&range.through, &other.through) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(a), Some(b)) => a.compare(b, in_bytes).is_some_and(Ordering::is_ge),
    };
    begins && ends()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Value;

    fn key(id: i64) -> Option<Key> {
        Some(Key::new([Value::Int64(id)]).unwrap())
    }

    fn state(sent: u64, left: &[(Option<Key>, Option<Key>)], again: &[i64]) -> SnapshotState {
        let left = left.iter().cloned().map(|(after, through)| KeyRange { after, through });
        SnapshotState {
            sent,
            tables: vec![TableState {
                schema: "public".into(),
                table: "orders".into(),
                key: vec!["id".into()],
                text_in_byte_order: false,
                left: left.collect(),
                again: again.iter().filter_map(|&id| key(id)).collect(),
                rows: sent,
                bytes: 0,
                chunks: 1,
                estimated_rows: None,
                condition: None,
                newly_streamed: false,
            }],
        }
    }

    #[test]
    fn the_state_comes_back_from_its_json() {
        let state = state(7, &[(key(3), key(5)), (key(5), None)], &[1]);
        let json = state.to_json();
        assert_eq!(SnapshotState::from_json(&json).unwrap(), state);
        assert_eq!(
            json.to_string(),
            r#"{"sent":7,"tables":[{"schema":"public","table":"orders","key":["id"],"left":[{"after":[3],"through":[5]},{"after":[5],"through":null}],"again":[[1]],"rows":7,"bytes":0,"chunks":1}]}"#
        );
        let error = SnapshotState::from_json(&serde_json::json!({ "tables": 3 })).unwrap_err();
        assert!(error.to_string().contains("cannot be read"), "{error}");
    }

    #[test]
    fn of_two_sinks_everything_is_left_that_one_of_them_lacks() {
        let first = state(7, &[(key(3), key(5))], &[1]);
        let second = state(9, &[(key(4), key(5)), (key(8), None)], &[2]);
        let union = first.union(&second);
        assert_eq!(union.sent, 9);
        assert_eq!(
            union.tables[0].left,
            state(0, &[(key(3), key(5)), (key(8), None)], &[]).tables[0].left
        );
        assert_eq!(union.tables[0].again.len(), 2);
        assert_eq!(second.union(&first).tables[0].left.len(), 2);
        let done = SnapshotState { sent: 20, tables: vec![] };
        assert_eq!(done.union(&first).tables, first.tables);
        assert_eq!(first.union(&done).tables, first.tables);
    }

    #[test]
    fn a_range_that_was_cut_for_one_sink_is_read_once_for_both() {
        let cut = state(9, &[(key(3), key(5)), (key(5), None)], &[]);
        let whole = state(7, &[(None, None)], &[]);
        assert_eq!(cut.union(&whole).tables[0].left, [KeyRange::all()]);
        assert_eq!(whole.union(&cut).tables[0].left, [KeyRange::all()]);
    }

    #[test]
    fn a_key_that_changed_leaves_the_whole_table() {
        let first = state(7, &[(key(3), key(5))], &[1]);
        let mut second = first.clone();
        second.tables[0].key = vec!["other".into()];
        assert_eq!(first.union(&second).tables[0].left, [KeyRange::all()]);
    }
}
