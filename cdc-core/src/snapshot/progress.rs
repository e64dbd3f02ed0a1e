//! How far a snapshot is.

use std::sync::Arc;
use std::time::Duration;

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

impl TableProgress {
    /// How long it will take from now, if it goes on as it did in `elapsed`, in which `rows_then` grew to [`rows`](Self::rows).
    /// `None` while nothing is known.
    pub fn remaining(&self, rows_then: u64, elapsed: Duration) -> Option<Duration> {
        let read = self.rows.checked_sub(rows_then).filter(|read| *read > 0)?;
        let left = self.estimated_rows?.saturating_sub(self.rows);
        let nanos = elapsed.as_nanos().saturating_mul(left.into()) / u128::from(read);
        u64::try_from(nanos).ok().map(Duration::from_nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_estimated_from_what_was_read_of_late() {
        let progress = TableProgress {
            table: Arc::new(TableId::new("public", "orders")),
            phase: TablePhase::Reading,
            rows: 3_000,
            bytes: 0,
            chunks: 3,
            reads: 1,
            ranges_left: 1,
            keys_left: 0,
            remembered_bytes: 0,
            estimated_rows: Some(9_000),
        };
        let second = Duration::from_secs(1);
        assert_eq!(progress.remaining(1_000, second), Some(second * 3));
        assert_eq!(progress.remaining(3_000, second), None);
    }
}
