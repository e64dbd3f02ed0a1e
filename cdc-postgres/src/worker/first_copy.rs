//! The first copy: the rows of the snapshot that is exported with the slot, in chunks. What of it is not done when the source is
//! stopped is merged into the stream later.

use std::collections::HashSet;
use std::sync::Arc;

use cdc_core::snapshot::{Stamp, TablePlan, TableState};
use cdc_core::status::Phase as Doing;
use cdc_core::{
    Change, ChangeEvent, Destination, Operation, Origin, Schema, SnapshotMark, TableId,
};

use super::Worker;
use super::marks::Marks;
use super::merging::{FailedRead, Merging};
use crate::batch::BatchBuilder;
use crate::catalog::publications::PublishedTable;
use crate::error::{PostgresError, UNDEFINED_OBJECT, UNDEFINED_TABLE};
use crate::incremental::plan::{TableReadPlan, plan};
use crate::position::{Chunks, Phase};
use crate::snapshot::ExportedSnapshot;

/// The state of a first copy.
struct Copying {
    merging: Merging,
    stamp: Stamp,
    marking: Marking,
    batch: BatchBuilder,
    /// What an offset says that does not hold the row that waits.
    before: Chunks,
    /// Tables that the snapshot does not show as they were: read beside the stream.
    later: Vec<TableState>,
    plans: Vec<(TablePlan, TableReadPlan)>,
    /// Tables without a key that were told to be emptied: they are empty at first.
    emptied: HashSet<TableId>,
}

impl Worker {
    /// Reads the rows of all tables.
    ///
    /// # Errors
    /// [`PostgresError::TableRewritten`] and [`PostgresError::SnapshotLock`] before anything was sent: it cannot be read in
    /// chunks, or a table is being altered.
    pub(super) async fn copy_exported(
        &mut self,
        snapshot: ExportedSnapshot,
        published: Vec<PublishedTable>,
        emptied: bool,
    ) -> Result<(), PostgresError> {
        let progress = self.held.context.progress.clone();
        progress.set_phase(Doing::Snapshot);
        let total = u64::try_from(published.len()).unwrap_or(u64::MAX);
        progress.set_snapshot_tables(0, total);
        let connections = self.options.settings.snapshot_connections.get();
        let plans = plan(&self.held.sql, &self.options, &published, connections).await?;
        let schemas = snapshot.schemas(&self.options, &published).await?;
        if emptied && let Some(at) = schemas.iter().position(Option::is_none) {
            // It could not be told to be emptied.
            return Err(PostgresError::TableRewritten { table: published[at].id.clone() });
        }
        let origin = self.copy_origin(snapshot.next_xid);
        let start = self.position.end;
        let merging = Merging::exported(
            &self.options,
            start,
            &self.position.chunks,
            progress.clone(),
            Arc::clone(&snapshot.name),
            plans.clone(),
        );
        let mut copy = Copying {
            before: merging.chunks(),
            merging,
            stamp: Stamp { transaction: origin, log_position: start.0 },
            marking: Marking::new(connections == 1),
            batch: BatchBuilder::new(self.read_limits()),
            later: Vec::new(),
            plans,
            emptied: HashSet::new(),
        };
        self.announce_all(&mut copy, &published, &schemas, emptied).await?;
        while copy.merging.is_active() && self.copy_on(&mut copy).await? {
            let left = copy.merging.tables().len() + copy.later.len();
            let left = u64::try_from(left).unwrap_or(u64::MAX);
            progress.set_snapshot_tables(total.saturating_sub(left), total);
        }
        if let Some(last) = copy.marking.last(copy.merging.is_idle() && copy.later.is_empty()) {
            copy.batch.push(last);
        }
        self.position.phase = Phase::Streaming;
        self.position.copies += 1;
        self.position.sent = 0;
        self.position.chunks = copy.all_chunks(copy.merging.chunks());
        copy.batch.shape(&mut self.shaper)?;
        if copy.batch.is_empty() {
            return self.save_now().await;
        }
        let mut batch = copy.batch.take(self.position.to_offset(), true);
        batch.save_now = true;
        self.send(batch).await
    }

    /// The schemas of all tables and, where targets are to be emptied, truncates.
    async fn announce_all(
        &mut self,
        copy: &mut Copying,
        published: &[PublishedTable],
        schemas: &[Option<Arc<Schema>>],
        emptied: bool,
    ) -> Result<(), PostgresError> {
        let events = schemas.iter().flatten().count() * if emptied { 2 } else { 1 };
        let mut number = copy.merging.number(events);
        for (table, schema) in published.iter().zip(schemas) {
            let Some(schema) = schema else { continue };
            self.relations.announce(&table.id, schema);
            let origin = Origin {
                transaction: Arc::clone(&copy.stamp.transaction),
                index: 0,
                log_position: copy.stamp.log_position,
                table: Some(Arc::new(table.id.clone())),
                snapshot: SnapshotMark::Row,
                shown_by_snapshot: false,
                batch: 0,
                place: 0,
            };
            let destination = Destination::of_table(&table.id);
            let mut event = |change| {
                let origin = Origin { index: number, ..origin.clone() };
                number += 1;
                ChangeEvent::change(destination.clone(), change, origin)
            };
            let announced = event(Change::table(Arc::clone(schema)));
            copy.merging.announced(announced.clone(), &mut Vec::new())?;
            copy.batch.push(announced);
            if emptied {
                copy.batch.push(event(Change::truncate(Arc::clone(schema))));
            }
        }
        copy.before = copy.merging.chunks();
        self.position.chunks = copy.before.clone();
        copy.batch.shape(&mut self.shaper)?;
        if copy.batch.is_empty() {
            return Ok(());
        }
        let ends = !copy.merging.is_active();
        self.send(copy.batch.take(self.position.to_offset(), ends)).await
    }

    /// Goes on until the next answer is taken; false where the snapshot cannot be used any more.
    async fn copy_on(&mut self, copy: &mut Copying) -> Result<bool, PostgresError> {
        copy.ask();
        let wake = copy.merging.wake_at();
        let answer = tokio::select! {
            answer = copy.merging.next_answer() => answer,
            () = super::follow::sleep_until(wake), if wake.is_some() => return Ok(true),
        };
        if let Some(FailedRead { table, error }) = copy.merging.answer(answer)? {
            match error {
                PostgresError::TableRewritten { .. } => {
                    tracing::warn!(%table, "the table was rewritten, truncated or altered since the slot was made; its rows are read beside the stream");
                    copy.merging.forget(&table);
                    if let Some((plan, _)) =
                        copy.plans.iter().find(|(plan, _)| plan.table == *table)
                    {
                        copy.later.push(plan.clone().into());
                    }
                }
                error if error.sqlstate() == Some(UNDEFINED_TABLE) => {
                    tracing::warn!(%table, %error, "the table is gone");
                    copy.merging.forget(&table);
                }
                error if matches!(error.sqlstate(), Some(NO_SNAPSHOT | UNDEFINED_OBJECT)) => {
                    tracing::warn!(%error, "the slot's snapshot is lost; the rows that are left are read beside the stream");
                    return Ok(false);
                }
                error if error.kind() == cdc_core::ErrorKind::Transient => {
                    tracing::warn!(%table, %error, "a chunk is read again");
                }
                error => return Err(error),
            }
        }
        // The next chunk is read while this one is sent.
        copy.ask();
        self.take_rows(copy).await?;
        copy.merging.report();
        Ok(true)
    }

    async fn take_rows(&mut self, copy: &mut Copying) -> Result<(), PostgresError> {
        let mut given = Vec::new();
        while copy.merging.has_events() {
            let before = copy.all_chunks(copy.merging.chunks());
            copy.merging.take(&copy.batch.room(), &copy.stamp, &mut given);
            let mut number = copy.merging.sent();
            for event in given.drain(..) {
                let is_first_truncate = event.operation() == Some(Operation::Truncate)
                    && event
                        .origin()
                        .table
                        .as_ref()
                        .is_some_and(|table| copy.emptied.insert(table.as_ref().clone()));
                if is_first_truncate {
                    continue;
                }
                number = event.origin().index;
                if let Some(event) = copy.marking.next(event) {
                    copy.batch.push(event);
                }
            }
            // The row that waits, and what is done behind it, is in the next batch.
            copy.before = before;
            copy.before.state.sent = number;
            if copy.batch.is_full() {
                copy.batch.shape(&mut self.shaper)?;
                if !copy.batch.is_empty() {
                    self.position.chunks = copy.before.clone();
                    let batch = copy.batch.take(self.position.to_offset(), false);
                    self.send(batch).await?;
                }
            }
        }
        copy.merging.rest();
        Ok(())
    }
}

/// The error code of a snapshot that cannot be imported, beside that of one that is not there.
const NO_SNAPSHOT: &str = "22023";

impl Copying {
    /// Hands on what the merge asks for.
    fn ask(&mut self) {
        while let Some(read) = self.merging.drive() {
            // Its plan was given up with a read that failed.
            match self.plans.iter().find(|(plan, _)| plan.table == *read.table) {
                Some((_, plan)) => self.merging.read(read, Arc::new(plan.clone())),
                None => self.merging.forget(&read.table),
            }
        }
    }

    /// With the tables that are read later.
    fn all_chunks(&self, mut chunks: Chunks) -> Chunks {
        chunks.state.tables.extend(self.later.iter().cloned());
        chunks
    }
}

/// Marks each row by its place: it holds one row back to know the last.
struct Marking {
    marks: Marks,
    waiting: Option<ChangeEvent>,
    first_in_table: bool,
}

impl Marking {
    fn new(in_order: bool) -> Self {
        Marking { marks: Marks::new(in_order), waiting: None, first_in_table: false }
    }

    /// Takes a row and gives the one before it.
    fn next(&mut self, event: ChangeEvent) -> Option<ChangeEvent> {
        if event.operation() != Some(Operation::Read) {
            return Some(event);
        }
        let begins_table = self
            .waiting
            .as_ref()
            .is_none_or(|waiting| waiting.origin().table != event.origin().table);
        let before = self.waiting.replace(event);
        let first_in_table = std::mem::replace(&mut self.first_in_table, begins_table);
        before.map(|event| self.mark(event, first_in_table, begins_table, false))
    }

    /// The row that waits, which may be the last of all.
    fn last(&mut self, is_last: bool) -> Option<ChangeEvent> {
        let event = self.waiting.take()?;
        let first_in_table = self.first_in_table;
        Some(self.mark(event, first_in_table, is_last, is_last))
    }

    fn mark(
        &mut self,
        event: ChangeEvent,
        first_in_table: bool,
        last_in_table: bool,
        last: bool,
    ) -> ChangeEvent {
        let mark = self.marks.next(first_in_table, last_in_table, last);
        if mark == event.origin().snapshot {
            return event;
        }
        let origin = Origin { snapshot: mark, ..event.origin().clone() };
        ChangeEvent::new(event.destination, event.key, event.value, origin)
    }
}
