//! Rows of a snapshot to batches.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use cdc_core::snapshot::Stamp;
use cdc_core::status::Phase as Doing;
use cdc_core::{
    BatchLimits, Change, ChangeEvent, Destination, Origin, Row, RowsBuilder, SnapshotMark,
    TransactionId, TransactionOrigin,
};

use super::Worker;
use super::marks::Marks;
use crate::batch::BatchBuilder;
use crate::error::PostgresError;
use crate::position::Phase;
use crate::snapshot::{SnapshotReader, SnapshotTable};

/// So many bytes of values are stored together.
const BLOCK_SIZE: usize = 256 * 1024;

/// A row that waits until it is known whether another follows.
struct Waiting {
    table: usize,
    row: Row,
    /// What its values take.
    size: usize,
    first_in_table: bool,
}

impl Worker {
    /// Sends all tables of a snapshot: their schemas, then, where targets are to be emptied, truncates, then the rows.
    pub(super) async fn read(
        &mut self,
        reader: SnapshotReader,
        emptied: bool,
    ) -> Result<(), PostgresError> {
        let progress = self.held.context.progress.clone();
        progress.set_phase(Doing::Snapshot);
        let total = u64::try_from(reader.tables.len()).unwrap_or(u64::MAX);
        progress.set_snapshot_tables(0, total);
        let mut rows = SnapshotEvents::new(self, &reader);
        let mut values = RowsBuilder::new();
        let mut batch = BatchBuilder::new(self.read_limits());
        for table in &reader.tables {
            self.relations.announce(&table.id, &table.whole);
            let announced = rows.of_table(table, Change::table(Arc::clone(&table.schema)));
            batch.push(announced);
            if emptied {
                let empties = rows.of_table(table, Change::truncate(Arc::clone(&table.schema)));
                batch.push(empties);
            }
        }
        for (index, table) in reader.tables.iter().enumerate() {
            let mut lines = reader.rows(table).await?;
            let mut first_in_table = true;
            let mut counted = 0u64;
            while lines.read().await? {
                while let Some(line) = lines.next_line() {
                    let before = values.size();
                    let row = table.row(line, self.position.end, &mut values)?;
                    let size = values.size() - before;
                    let last_of_table = first_in_table;
                    let row = Waiting { table: index, row, size, first_in_table };
                    if let Some((event, size)) = rows.next(row, last_of_table) {
                        batch.push_sized(event, size);
                    }
                    first_in_table = false;
                    counted += 1;
                    if values.size() >= BLOCK_SIZE {
                        values.seal();
                    }
                    if batch.is_full() {
                        values.seal();
                        progress.add_snapshot_rows(std::mem::take(&mut counted));
                        self.send_read(&mut batch, false).await?;
                    }
                }
            }
            progress.add_snapshot_rows(counted);
            progress.set_snapshot_tables(u64::try_from(index + 1).unwrap_or(total), total);
        }
        if let Some((event, size)) = rows.last() {
            batch.push_sized(event, size);
        }
        values.seal();
        if !batch.is_empty() {
            self.send_read(&mut batch, true).await?;
        }
        drop(rows);
        reader.close().await
    }

    /// Where the rows of a copy come from. As in Debezium a copy has an id that no transaction it shows has.
    pub(super) fn copy_origin(&self, next_xid: u32) -> Arc<TransactionOrigin> {
        let position = [self.position.point().lsn.0, self.position.copies + 1];
        self.read_origin(Some(TransactionId::Xid(next_xid)), position)
    }

    /// Where rows come from that were read now, and stand at a position.
    pub(super) fn read_origin(
        &self,
        id: Option<TransactionId>,
        position: [u64; 2],
    ) -> Arc<TransactionOrigin> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok();
        Arc::new(TransactionOrigin {
            connector: "postgresql",
            database: self.held.survey.server.database.as_str().into(),
            id,
            commit_time_us: now.and_then(|now| i64::try_from(now.as_micros()).ok()),
            position,
            previous_commit: None,
            replicated_from: None,
        })
    }

    pub(super) fn read_limits(&self) -> BatchLimits {
        let mut limits = self.options.settings.limits.apply(self.held.context.limits);
        if let Some(rows) = self.options.settings.snapshot_fetch_size {
            limits.max_events = limits.max_events.min(rows);
        }
        limits
    }

    /// Sends the schemas of all tables and no rows.
    pub(super) async fn announce(&mut self) -> Result<(), PostgresError> {
        let published = self.published(None).await?;
        let reader = SnapshotReader::open(&self.options, &published).await?;
        let rows = SnapshotEvents::new(self, &reader);
        let mut batch = BatchBuilder::new(self.read_limits());
        for table in &reader.tables {
            self.relations.announce(&table.id, &table.whole);
            let announced = rows.of_table(table, Change::table(Arc::clone(&table.schema)));
            batch.push(announced);
        }
        if !batch.is_empty() {
            self.send_read(&mut batch, true).await?;
        }
        drop(rows);
        reader.close().await?;
        // From here on changes follow.
        self.position.phase = Phase::Streaming;
        self.position.copies += 1;
        self.position.sent = 0;
        self.save_now().await
    }
}

/// Makes events of rows, each marked by its place: it holds one row back to know the last.
struct SnapshotEvents<'a> {
    tables: &'a [SnapshotTable],
    destinations: Vec<Destination>,
    stamp: Stamp,
    waiting: Option<Waiting>,
    index: u64,
    marks: Marks,
}

impl<'a> SnapshotEvents<'a> {
    fn new(worker: &Worker, reader: &'a SnapshotReader) -> Self {
        let tables = reader.tables.as_slice();
        let transaction = worker.copy_origin(reader.next_xid);
        SnapshotEvents {
            tables,
            destinations: tables.iter().map(|table| Destination::of_table(&table.id)).collect(),
            stamp: Stamp { log_position: transaction.position[0], transaction },
            waiting: None,
            index: worker.position.chunks.state.sent,
            marks: Marks::new(true),
        }
    }

    fn origin(&self, table: &SnapshotTable, mark: SnapshotMark) -> Origin {
        self.stamp.origin(Arc::clone(&table.id), self.index, mark)
    }

    fn of_table(&self, table: &SnapshotTable, change: Change) -> ChangeEvent {
        let origin = self.origin(table, SnapshotMark::Row);
        ChangeEvent::change(Destination::of_table(&table.id), change, origin)
    }

    /// Takes a row and gives the one before it.
    fn next(&mut self, row: Waiting, begins_table: bool) -> Option<(ChangeEvent, usize)> {
        let before = self.waiting.replace(row);
        before.and_then(|row| self.event(row, begins_table, false))
    }

    /// The last row of all.
    fn last(&mut self) -> Option<(ChangeEvent, usize)> {
        let row = self.waiting.take()?;
        self.event(row, true, true)
    }

    fn event(
        &mut self,
        row: Waiting,
        last_in_table: bool,
        last: bool,
    ) -> Option<(ChangeEvent, usize)> {
        let mark = self.marks.next(row.first_in_table, last_in_table, last);
        let table = self.tables.get(row.table)?;
        let destination = self.destinations.get(row.table)?.clone();
        let event =
            ChangeEvent::change(destination, Change::read(row.row), self.origin(table, mark));
        self.index += 1;
        Some((event, row.size))
    }
}
