//! How many rows a chunk has: as many as come in the time and the bytes that a chunk may take.

use std::time::Duration;

/// What a chunk may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkTarget {
    /// How many bytes of rows a chunk should have. It is held in memory until the stream has caught up with it.
    pub bytes: u64,
    /// How long its read should take: DDL on the table waits so long at most.
    pub time: Duration,
    /// How many rows the first chunk of a table has, before anything is known of it.
    pub first_rows: u64,
}

impl Default for ChunkTarget {
    /// 8 MiB, 500 ms, 5 000 rows.
    fn default() -> Self {
        ChunkTarget { bytes: 8 << 20, time: Duration::from_millis(500), first_rows: 5_000 }
    }
}

/// The most by which a chunk is larger than the one before.
const GROWTH: u64 = 4;

/// Sizes the chunks of one table by what the last one took.
#[derive(Debug, Clone)]
pub(super) struct ChunkSize {
    target: ChunkTarget,
    rows: u64,
}

impl ChunkSize {
    pub(super) fn new(target: ChunkTarget) -> Self {
        ChunkSize { target, rows: target.first_rows.max(1) }
    }

    /// How many rows the next chunk may have.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Learns from a chunk. One of few rows (the end of a range, single keys) says little of time, which then is mostly
    /// that of asking.
    pub(super) fn learn(&mut self, rows: u64, bytes: u64, time: Duration) {
        if rows == 0 {
            return;
        }
        let by_bytes = self.target.bytes.saturating_mul(rows) / bytes.max(1);
        let target = u64::try_from(self.target.time.as_micros()).unwrap_or(u64::MAX);
        let took = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1);
        let by_time = target.saturating_mul(rows) / took;
        if rows < self.rows / 2 && by_time < self.rows {
            self.rows = self.rows.min(by_bytes).max(1);
            return;
        }
        self.rows = by_bytes.min(by_time).clamp(1, self.rows.saturating_mul(GROWTH));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn size() -> ChunkSize {
        ChunkSize::new(ChunkTarget { bytes: 1_000_000, time: SECOND, first_rows: 1_000 })
    }

    #[test]
    fn a_chunk_grows_by_steps_until_bytes_or_time_are_reached() {
        let mut size = size();
        size.learn(1_000, 10_000, SECOND / 1_000);
        assert_eq!(size.rows(), 4_000);
        for _ in 0..10 {
            let rows = size.rows();
            size.learn(rows, rows * 10, SECOND / 1_000);
        }
        assert_eq!(size.rows(), 100_000, "bytes");
        size.learn(100_000, 100_000, SECOND * 4);
        assert_eq!(size.rows(), 25_000, "time");
    }

    #[test]
    fn huge_rows_make_small_chunks_at_once() {
        let mut size = size();
        size.learn(3, 30_000_000, SECOND / 10);
        assert_eq!(size.rows(), 1);
    }

    #[test]
    fn a_short_chunk_that_took_long_says_nothing_of_the_rows() {
        let mut size = size();
        size.learn(1, 10, SECOND / 10);
        assert_eq!(size.rows(), 1_000);
        size.learn(0, 0, SECOND);
        assert_eq!(size.rows(), 1_000);
    }
}
