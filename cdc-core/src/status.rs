//! What a pipeline is doing: phases, counters and lag, shared between its parts and its user.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::offset::Offset;
use crate::snapshot::TableProgress;

/// What the source is doing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Phase {
    /// Connecting and checking.
    #[default]
    Starting,
    /// Another instance reads the log; this one waits to take over.
    Standby {
        /// Who holds it.
        holder: String,
    },
    /// Waiting for something that the text names.
    Waiting {
        /// What for.
        reason: String,
    },
    /// Reading rows that were there before.
    Snapshot,
    /// Following the log.
    Streaming,
    /// Not reading, on request.
    Paused,
    /// Ended.
    Stopped,
}

/// Where the parts of a pipeline report what they do. Cheap to clone; reporting never waits.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    phase: Mutex<Phase>,
    tables_done: AtomicU64,
    tables_total: AtomicU64,
    rows_read: AtomicU64,
    snapshots: Mutex<Snapshots>,
    events: AtomicU64,
    bytes: AtomicU64,
    batches: AtomicU64,
    retries: AtomicU64,
    dead_letters: AtomicU64,
    lag_bytes: AtomicU64,
    last_commit_us: AtomicI64,
    last_error: Mutex<Option<String>>,
    sinks: Mutex<Vec<SinkStatus>>,
}

/// Snapshots that run by chunks, and how fast.
#[derive(Debug, Default)]
struct Snapshots {
    tables: Vec<TableProgress>,
    /// When the speed was taken last, and the rows read then.
    since: Option<(Instant, u64)>,
    remaining: Option<Duration>,
}

impl Snapshots {
    /// How long a stretch is that tells the speed.
    const STRETCH: Duration = Duration::from_secs(2);

    fn set(&mut self, tables: Vec<TableProgress>, now: Instant) {
        let gone = tables.len() < self.tables.len();
        self.tables = tables;
        let rows: u64 = self.tables.iter().map(|table| table.rows).sum();
        let (then, rows_then) = *self.since.get_or_insert((now, rows));
        if self.tables.is_empty() {
            (self.since, self.remaining) = (None, None);
        } else if gone || rows < rows_then {
            // The rows of a table that is done are not counted any more: the speed is taken anew.
            self.since = Some((now, rows));
        } else if now - then >= Self::STRETCH {
            self.remaining = remaining(&self.tables, rows - rows_then, now - then);
            self.since = Some((now, rows));
        }
    }
}

/// How long the rest takes, where `read` rows took `elapsed`.
fn remaining(tables: &[TableProgress], read: u64, elapsed: Duration) -> Option<Duration> {
    let left = |table: &TableProgress| Some(table.estimated_rows?.saturating_sub(table.rows));
    let left: u64 = tables.iter().map(left).sum::<Option<u64>>()?;
    let nanos = elapsed.as_nanos().saturating_mul(left.into()).checked_div(read.into())?;
    u64::try_from(nanos).ok().map(Duration::from_nanos)
}

/// The state of a pipeline at one moment.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// What the source is doing.
    pub phase: Phase,
    /// Tables whose snapshot is read.
    pub snapshot_tables_done: u64,
    /// Tables that the snapshot reads in all.
    pub snapshot_tables_total: u64,
    /// Rows that the snapshot has read.
    pub snapshot_rows: u64,
    /// Snapshots that run, by chunks that are merged into the stream: one entry a table.
    pub snapshots: Vec<TableProgress>,
    /// How long these will take, going by what they read of late.
    pub snapshot_remaining: Option<Duration>,
    /// Events that the source has given since the start, snapshot rows among them.
    pub events: u64,
    /// Bytes of these events.
    pub bytes: u64,
    /// Batches that the source has given since the start.
    pub batches: u64,
    /// Times that something was tried again after an error.
    pub retries: u64,
    /// Events that failed in the common chain since the start and became [dead letters](crate::dead_letter).
    pub dead_letters: u64,
    /// Bytes of the log between its end and what the source has read.
    pub lag_bytes: u64,
    /// When the newest transaction that was read was committed, in microseconds since the Unix epoch.
    pub last_commit_us: Option<i64>,
    /// The newest error that is being retried, or the one that ended the pipeline.
    pub last_error: Option<String>,
    /// The sinks.
    pub sinks: Vec<SinkStatus>,
}

/// The state of one sink.
#[derive(Debug, Clone, Default)]
pub struct SinkStatus {
    /// Its name.
    pub name: String,
    /// What is durable in it.
    pub durable: Option<Offset>,
    /// Events written since the start.
    pub events: u64,
    /// Events that failed in its chain, or that it did not take, since the start, and became
    /// [dead letters](crate::dead_letter).
    pub dead_letters: u64,
    /// Bytes that wait for it.
    pub queued_bytes: u64,
    /// The error it is retrying.
    pub error: Option<String>,
}

impl Progress {
    /// Says what the source is doing now.
    pub fn set_phase(&self, phase: Phase) {
        *self.0.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    /// Says how far the snapshot is: tables read, tables in all.
    pub fn set_snapshot_tables(&self, done: u64, total: u64) {
        self.0.tables_done.store(done, Ordering::Relaxed);
        self.0.tables_total.store(total, Ordering::Relaxed);
    }

    /// Counts rows that the snapshot read.
    pub fn add_snapshot_rows(&self, rows: u64) {
        self.0.rows_read.fetch_add(rows, Ordering::Relaxed);
    }

    /// Says how far the snapshots are that run by chunks.
    pub fn set_snapshots(&self, tables: Vec<TableProgress>) {
        let mut snapshots = self.0.snapshots.lock().unwrap_or_else(PoisonError::into_inner);
        snapshots.set(tables, Instant::now());
    }

    /// Says how many bytes of the log are not read yet.
    pub fn set_lag_bytes(&self, bytes: u64) {
        self.0.lag_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Says when the newest transaction that was read was committed, in microseconds since the Unix epoch.
    pub fn set_last_commit(&self, time_us: i64) {
        self.0.last_commit_us.store(time_us, Ordering::Relaxed);
    }

    pub(crate) fn add_batch(&self, events: usize, bytes: usize) {
        self.0.batches.fetch_add(1, Ordering::Relaxed);
        self.0.events.fetch_add(events as u64, Ordering::Relaxed);
        self.0.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn set_error(&self, error: Option<String>) {
        if error.is_some() {
            self.count_retry();
        }
        *self.0.last_error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }

    /// The error that ended the pipeline, which nobody retries.
    pub(crate) fn set_failure(&self, error: String) {
        *self.0.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    pub(crate) fn count_retry(&self) {
        self.0.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts dead letters of a sink, or of the common chain.
    pub(crate) fn count_dead_letters(&self, sink: Option<usize>, letters: u64) {
        match sink {
            Some(index) => self.update_sink(index, |status| status.dead_letters += letters),
            None => {
                self.0.dead_letters.fetch_add(letters, Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn update_sink(&self, index: usize, update: impl FnOnce(&mut SinkStatus)) {
        let mut sinks = self.0.sinks.lock().unwrap_or_else(PoisonError::into_inner);
        if sinks.len() <= index {
            sinks.resize_with(index + 1, SinkStatus::default);
        }
        if let Some(sink) = sinks.get_mut(index) {
            update(sink);
        }
    }

    /// The state now.
    pub fn status(&self) -> Status {
        let shared = &*self.0;
        let commit = shared.last_commit_us.load(Ordering::Relaxed);
        let (snapshots, snapshot_remaining) = {
            let snapshots = shared.snapshots.lock().unwrap_or_else(PoisonError::into_inner);
            (snapshots.tables.clone(), snapshots.remaining)
        };
        Status {
            phase: shared.phase.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            snapshot_tables_done: shared.tables_done.load(Ordering::Relaxed),
            snapshot_tables_total: shared.tables_total.load(Ordering::Relaxed),
            snapshot_rows: shared.rows_read.load(Ordering::Relaxed),
            snapshots,
            snapshot_remaining,
            events: shared.events.load(Ordering::Relaxed),
            bytes: shared.bytes.load(Ordering::Relaxed),
            batches: shared.batches.load(Ordering::Relaxed),
            retries: shared.retries.load(Ordering::Relaxed),
            dead_letters: shared.dead_letters.load(Ordering::Relaxed),
            lag_bytes: shared.lag_bytes.load(Ordering::Relaxed),
            last_commit_us: (commit != 0).then_some(commit),
            last_error: shared.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            sinks: shared.sinks.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::TableId;
    use crate::snapshot::TablePhase;

    fn table(rows: u64) -> TableProgress {
        TableProgress {
            table: Arc::new(TableId::new("public", "orders")),
            phase: TablePhase::Reading,
            rows,
            bytes: 0,
            chunks: 3,
            reads: 1,
            ranges_left: 1,
            keys_left: 0,
            remembered_bytes: 0,
            estimated_rows: Some(9_000),
        }
    }

    #[test]
    fn the_end_of_snapshots_is_estimated_from_what_was_read_of_late() {
        let (mut snapshots, begin) = (Snapshots::default(), Instant::now());
        let second = Duration::from_secs(1);
        snapshots.set(vec![table(1_000), table(0)], begin);
        assert_eq!(snapshots.remaining, None);
        snapshots.set(vec![table(3_000), table(4_000)], begin + second * 2);
        assert_eq!(snapshots.remaining, Some(second * 11 / 3));
        snapshots.set(vec![table(4_000)], begin + second * 3);
        snapshots.set(vec![table(5_000)], begin + second * 5);
        assert_eq!(snapshots.remaining, Some(second * 8));
        snapshots.set(Vec::new(), begin + second * 6);
        assert_eq!((snapshots.remaining, snapshots.since), (None, None));
    }
}
