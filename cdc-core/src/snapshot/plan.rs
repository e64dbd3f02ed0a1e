//! What a snapshot is asked for: its bounds, and the tables with what is wanted of them.

use super::chunk_size::ChunkTarget;
use super::region::KeyRange;
use super::state::TableState;
use crate::origin::SnapshotMark;
use crate::schema::TableId;

/// Bounds of a [`Merge`](super::Merge).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MergeOptions {
    /// How many reads are in flight at once.
    pub max_reads: usize,
    /// What a chunk may take.
    pub chunk: ChunkTarget,
    /// How many bytes of streamed changes are remembered for a table. Past it the stream has to wait for rows where that
    /// helps, and else no more is kept than which transactions have come by: reads wait until they are visible.
    pub max_remembered_bytes: usize,
    /// Whether key changes reach a target as a delete and a change, because it is neither transactional nor versioned and
    /// could not repeat them. One that lacks columns then has its new key read again.
    pub split_key_changes: bool,
    /// How rows are marked: as [`Incremental`](SnapshotMark::Incremental), or, where all are of the exported snapshot, as a
    /// [`Row`](SnapshotMark::Row) of the first copy.
    pub mark: SnapshotMark,
}

impl Default for MergeOptions {
    /// 4 reads, the default chunk, 32 MiB, key changes as they are, rows of a snapshot beside the stream.
    fn default() -> Self {
        MergeOptions {
            max_reads: 4,
            chunk: ChunkTarget::default(),
            max_remembered_bytes: 32 << 20,
            split_key_changes: false,
            mark: SnapshotMark::Incremental,
        }
    }
}

/// A table that is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TablePlan {
    /// The table.
    pub table: TableId,
    /// The columns of its key; none makes it one chunk that replaces what the target has.
    pub key: Vec<String>,
    /// Ranges that together hold every key, in the order of the database: as many reads of the table can be in flight.
    /// Not looked at for a table without a key.
    pub ranges: Vec<KeyRange>,
    /// Whether text in the key is compared as bytes are (the collation is `C`). Where it is not, only the database knows
    /// which range a key is in, and a key that had to be settled is read again rather than guessed at.
    pub text_in_byte_order: bool,
    /// How many rows it is thought to have, for the progress.
    pub estimated_rows: Option<u64>,
    /// Which rows are wanted, as the source understands it; none means all. It is kept for the reads to come. Rows that it
    /// leaves out count as read.
    pub condition: Option<String>,
    /// Its changes are in the stream from now on, and were not before: what transactions that are open now have done to it by
    /// now never comes by, so that no read begins before they are visible. It is to be requested when the stream has it,
    /// before the first of its changes.
    pub newly_streamed: bool,
}

impl TablePlan {
    /// A table with these key columns, in one range.
    pub fn new<N: Into<String>>(table: TableId, key: impl IntoIterator<Item = N>) -> Self {
        TablePlan {
            table,
            key: key.into_iter().map(Into::into).collect(),
            ranges: vec![KeyRange::all()],
            text_in_byte_order: false,
            estimated_rows: None,
            condition: None,
            newly_streamed: false,
        }
    }
}

/// A table of which nothing is read yet.
impl From<TablePlan> for TableState {
    fn from(plan: TablePlan) -> Self {
        let left = if plan.key.is_empty() { vec![KeyRange::all()] } else { plan.ranges };
        TableState {
            schema: plan.table.schema.to_string(),
            table: plan.table.table.to_string(),
            key: plan.key,
            text_in_byte_order: plan.text_in_byte_order,
            left,
            again: Vec::new(),
            rows: 0,
            bytes: 0,
            chunks: 0,
            estimated_rows: plan.estimated_rows,
            condition: plan.condition,
            newly_streamed: plan.newly_streamed,
        }
    }
}

/// Which snapshot the first reads have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstReads {
    /// Each one of its own, taken at any time.
    Own,
    /// All the one that shows exactly what stands in the log before the stream's first change: the snapshot that is
    /// exported when a slot is made. The stream waits until these reads are done ([`Merge::is_idle`](super::Merge::is_idle)), or until
    /// [`Merge::rebase`](super::Merge::rebase) says that the snapshot can no longer be used. A table that it does not show as it was (rewritten or
    /// truncated since) is asked for with [`FirstReads::Own`] once the others are done.
    Exported,
}
