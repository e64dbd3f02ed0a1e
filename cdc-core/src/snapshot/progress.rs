//! How far a snapshot is.

use std::sync::Arc;

use crate::schema::TableId;

/// How far one table is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableProgress {
    /// The table.
    pub table: Arc<TableId>,
    /// What it does.
    pub phase: TablePhase,
    /// Rows that were read, those that were read twice included.
    pub rows: u64,
    /// Their bytes in memory.
    pub bytes: u64,
    /// Chunks that are done.
    pub chunks: u64,
    /// Reads in flight.
    pub reads: usize,
    /// Ranges that are not done.
    pub ranges_left: usize,
    /// Single keys that have to be read again.
    pub keys_left: usize,
    /// Bytes of streamed changes that are remembered.
    pub remembered_bytes: usize,
    /// How many rows the table was thought to have.
    pub estimated_rows: Option<u64>,
}

/// What the snapshot of a table does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TablePhase {
    /// It waits until transactions are visible that the log had before.
    Waiting,
    /// It is being read.
    Reading,
    /// It was told to wait.
    Paused,
}
