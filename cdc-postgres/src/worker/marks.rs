//! Debezium's snapshot markers: what each row is in the order of a copy.

use cdc_core::SnapshotMark;

/// Marks the rows of a copy one after another.
#[derive(Debug)]
pub(super) struct Marks {
    /// Rows come in the order of the tables, so that each has a first and a last.
    in_order: bool,
    any: bool,
}

impl Marks {
    pub(super) fn new(in_order: bool) -> Self {
        Marks { in_order, any: false }
    }

    /// The mark of the next row.
    pub(super) fn next(
        &mut self,
        first_in_table: bool,
        last_in_table: bool,
        last: bool,
    ) -> SnapshotMark {
        let first = !std::mem::replace(&mut self.any, true);
        match () {
            () if last => SnapshotMark::Last,
            () if first => SnapshotMark::First,
            () if last_in_table && self.in_order => SnapshotMark::LastInTable,
            () if first_in_table && self.in_order => SnapshotMark::FirstInTable,
            () => SnapshotMark::Row,
        }
    }
}
