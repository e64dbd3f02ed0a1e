//! The first copy: the rows of the snapshot that is exported with the slot, in chunks. What of it is not done when the source is
//! stopped is merged into the stream later.

use std::collections::HashSet;
use std::sync::Arc;

use cdc_core::snapshot::{Stamp, TablePlan, TableState};
use cdc_core::status::Phase as Doing;
use cdc_core::{ChangeEvent, Operation, Schema, SnapshotMark, TableId};

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
    /// What an offset says that does not hold the last row.
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
        let is_last = copy.merging.is_idle() && copy.later.is_empty();
        copy.marking.mark_last(&mut copy.batch, is_last, is_last);
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
        for (table, schema) in published.iter().zip(schemas) {
            let Some(schema) = schema else { continue };
            self.relations.announce(&table.id, schema);
            let place = (&copy.stamp, SnapshotMark::Row);
            for event in copy.merging.announce(&table.id, schema, place, emptied)? {
                copy.batch.push(event);
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
        while copy.merging.has_events() {
            let before = copy.all_chunks(copy.merging.chunks());
            let Copying { merging, stamp, marking, batch, emptied, .. } = &mut *copy;
            let mut has_row = false;
            merging.take(&batch.room(), stamp, |event, size| {
                let is_first_truncate = event.operation() == Some(Operation::Truncate)
                    && event.origin().table.as_deref().is_some_and(|of| emptied.insert(of.clone()));
                if !is_first_truncate {
                    has_row |= event.operation() == Some(Operation::Read);
                    marking.push(batch, event, size);
                }
            });
            if has_row {
                copy.before = before;
            }
            if copy.batch.is_full() {
                self.send_rows(copy).await?;
            }
        }
        copy.merging.rest();
        Ok(())
    }

    /// Sends all but the last row, which waits for the next, and what is done behind it.
    async fn send_rows(&mut self, copy: &mut Copying) -> Result<(), PostgresError> {
        let held = copy.marking.hold(&mut copy.batch);
        copy.before.state.sent =
            held.first().map_or_else(|| copy.merging.sent(), |row| row.origin().index);
        copy.batch.shape(&mut self.shaper)?;
        if !copy.batch.is_empty() {
            self.position.chunks = copy.before.clone();
            self.send(copy.batch.take(self.position.to_offset(), false)).await?;
        }
        copy.marking.go_on(&mut copy.batch, held);
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

/// Marks each row by its place. Whether it is the last of its table, and of all, is known when the next has come.
struct Marking {
    marks: Marks,
    /// Where in the batch the last row is.
    last: Option<usize>,
    first_in_table: bool,
}

impl Marking {
    fn new(in_order: bool) -> Self {
        Marking { marks: Marks::new(in_order), last: None, first_in_table: false }
    }

    /// Puts an event behind the others.
    fn push(&mut self, batch: &mut BatchBuilder, event: ChangeEvent, size: usize) {
        if event.operation() == Some(Operation::Read) {
            let last = self.last.and_then(|at| batch.events().get(at));
            let begins_table = last.is_none_or(|last| last.origin().table != event.origin().table);
            self.mark_last(batch, begins_table, false);
            self.last = Some(batch.events().len());
            self.first_in_table = begins_table;
        }
        batch.push_sized(event, size);
    }

    fn mark_last(&mut self, batch: &mut BatchBuilder, last_in_table: bool, last_of_all: bool) {
        if let Some(row) = self.last.take().and_then(|at| batch.events_mut().get_mut(at)) {
            let mark = self.marks.next(self.first_in_table, last_in_table, last_of_all);
            row.set_snapshot_mark(mark);
        }
    }

    /// Takes the last row out of the batch, with what is behind it.
    fn hold(&self, batch: &mut BatchBuilder) -> Vec<ChangeEvent> {
        self.last.map(|at| batch.split_off(at)).unwrap_or_default()
    }

    /// Puts what was held back first into an empty batch.
    fn go_on(&mut self, batch: &mut BatchBuilder, held: Vec<ChangeEvent>) {
        self.last = (!held.is_empty()).then_some(0);
        for event in held {
            batch.push(event);
        }
    }
}
