//! Snapshots by chunks beside the log: what the merge asks for goes to readers, and their answers come back.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use cdc_core::snapshot::{
    ChunkTarget, FirstReads, Merge, MergeOptions, Read, ReadId, Region, Stamp, TablePlan,
};
use cdc_core::status::Progress;
use cdc_core::{
    BatchLimits, Change, ChangeEvent, Destination, Schema, SnapshotMark, TableId, TransactionOrigin,
};
use tokio::time::Instant;

use crate::error::PostgresError;
use crate::incremental::plan::TableReadPlan;
use crate::incremental::readers::{Answer, Ask, Readers};
use crate::incremental::visible::PgVisible;
use crate::lsn::Lsn;
use crate::options::Options;
use crate::position::Chunks;

/// How often a visible set is asked for while reads wait for one.
const VISIBLE_INTERVAL: Duration = Duration::from_millis(50);
/// How long what failed is left alone.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// All rows that wait for the stream, at most.
const MAX_WAITING_BYTES: u64 = 32 << 20;
/// With so much of the log to read no chunk is begun, and with so little again.
const LAGGING_BYTES: u64 = 128 << 20;
const CAUGHT_UP_BYTES: u64 = 16 << 20;

/// The merge and its readers.
pub(super) struct Merging {
    options: Arc<Options>,
    merge: Merge<PgVisible>,
    /// Changes have to be shown to the merge.
    active: bool,
    paused: bool,
    readers: Option<Readers>,
    /// The name of the snapshot that they read.
    exported: Option<Arc<str>>,
    asks: VecDeque<Ask>,
    plans: HashMap<TableId, Arc<TableReadPlan>>,
    /// Reads that were asked for and have not ended.
    reading: HashMap<ReadId, Reading>,
    /// How far the log has to be read for the reads so far.
    horizon: Lsn,
    visible_at: Option<Instant>,
    retry_at: Option<Instant>,
    /// Something of the state has to be saved that no event carries.
    dirty: bool,
    progress: Progress,
}

/// A read that was asked for.
#[derive(Debug)]
struct Reading {
    table: Arc<TableId>,
    /// Its rows come only when they are asked for.
    is_whole: bool,
    asked_more: bool,
}

/// What became of a read that failed.
#[derive(Debug)]
pub(super) struct FailedRead {
    pub(super) table: Arc<TableId>,
    pub(super) error: PostgresError,
}

impl Merging {
    /// Goes on with what an offset says, at the place where the stream begins.
    pub(super) fn new(
        options: &Arc<Options>,
        position: Lsn,
        chunks: &Chunks,
        progress: Progress,
    ) -> Self {
        Self::with(options, position, chunks, progress, None)
    }

    /// Reads tables by the snapshot that is exported under a name, which shows what stands in the log before `position`.
    pub(super) fn exported(
        options: &Arc<Options>,
        position: Lsn,
        chunks: &Chunks,
        progress: Progress,
        name: Arc<str>,
        plans: Vec<(TablePlan, TableReadPlan)>,
    ) -> Self {
        let mut merging = Self::with(options, position, chunks, progress, Some(name));
        merging.request_by(FirstReads::Exported, plans);
        merging
    }

    fn with(
        options: &Arc<Options>,
        position: Lsn,
        chunks: &Chunks,
        progress: Progress,
        exported: Option<Arc<str>>,
    ) -> Self {
        let readers = options.settings.snapshot_connections.get();
        let max_reads = readers * 2;
        let share = MAX_WAITING_BYTES / u64::try_from(max_reads).unwrap_or(u64::MAX).max(1);
        let mut chunk = ChunkTarget::default();
        chunk.bytes = chunk.bytes.min(share);
        chunk.first_rows = options.settings.chunk_rows.unwrap_or(chunk.first_rows);
        let mark = match &exported {
            Some(_) => SnapshotMark::Row,
            None => SnapshotMark::Incremental,
        };
        let merge_options = MergeOptions { max_reads, chunk, mark, ..MergeOptions::default() };
        let mut merge = Merge::new(merge_options, position, chunks.state.clone());
        if chunks.paused {
            merge.pause();
        }
        Merging {
            options: Arc::clone(options),
            active: !merge.is_idle(),
            merge,
            paused: chunks.paused,
            readers: None,
            exported,
            asks: VecDeque::new(),
            plans: HashMap::new(),
            reading: HashMap::new(),
            horizon: Lsn::ZERO,
            visible_at: None,
            retry_at: None,
            dirty: false,
            progress,
        }
    }

    /// The columns of a table, between two transactions, and where targets are to empty it the truncate: events that are
    /// given before those of the merge.
    pub(super) fn announce(
        &mut self,
        table: &TableId,
        schema: &Arc<Schema>,
        (stamp, mark): (&Stamp, SnapshotMark),
        emptied: bool,
    ) -> Result<Vec<ChangeEvent>, PostgresError> {
        let mut changes = vec![Change::table(Arc::clone(schema))];
        if emptied {
            changes.push(Change::truncate(Arc::clone(schema)));
        }
        let (of, destination) = (Arc::new(table.clone()), Destination::of_table(table));
        let numbers = self.number(changes.len())..;
        let event = |(change, number)| {
            let origin = stamp.origin(Arc::clone(&of), number, mark);
            ChangeEvent::change(destination.clone(), change, origin)
        };
        let events: Vec<ChangeEvent> = changes.into_iter().zip(numbers).map(event).collect();
        if let Some(columns) = events.first() {
            self.change(columns.clone(), &mut Vec::new())?;
        }
        Ok(events)
    }

    /// Numbers events that are given before those of the merge.
    pub(super) fn number(&mut self, events: usize) -> u64 {
        self.merge.number(u64::try_from(events).unwrap_or(u64::MAX))
    }

    /// Whether nothing is left to read.
    pub(super) fn is_idle(&self) -> bool {
        self.merge.is_idle()
    }

    /// How many events were given, in all runs.
    pub(super) fn sent(&self) -> u64 {
        self.merge.state().sent
    }

    /// Whether changes have to be shown to the merge.
    #[inline]
    pub(super) fn is_active(&self) -> bool {
        self.active
    }

    /// Lets changes be shown to the merge until the end of the transaction.
    pub(super) fn wake(&mut self) {
        self.active = true;
    }

    /// What an offset has to say.
    pub(super) fn chunks(&self) -> Chunks {
        Chunks { state: self.merge.state(), all: false, paused: self.paused }
    }

    /// What [`chunks`](Self::chunks) says is sent to be saved.
    pub(super) fn saved(&mut self) {
        self.dirty = false;
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Whether rows wait until transactions are visible.
    pub(super) fn waits_for_transactions(&self) -> bool {
        self.merge.wants_visible()
    }

    // ---- requests

    /// Asks for tables; the stream stands between two transactions, at `position`.
    pub(super) fn request(
        &mut self,
        plans: Vec<(TablePlan, TableReadPlan)>,
        position: Lsn,
    ) -> Result<(), PostgresError> {
        self.merge.reached(position)?;
        self.request_by(FirstReads::Own, plans);
        Ok(())
    }

    fn request_by(&mut self, first: FirstReads, plans: Vec<(TablePlan, TableReadPlan)>) {
        let mut tables = Vec::with_capacity(plans.len());
        for (table, read) in plans {
            self.plans.insert(table.table.clone(), Arc::new(read));
            tables.push(table);
        }
        self.merge.request(tables, first);
        self.active = !self.merge.is_idle();
        self.dirty = true;
    }

    /// Gives up the snapshot of a table; false where that cannot be.
    pub(super) fn stop(&mut self, table: &TableId) -> bool {
        self.dirty = true;
        self.merge.stop(table)
    }

    /// Gives up the snapshot of a table that is not there any more.
    pub(super) fn forget(&mut self, table: &TableId) {
        self.dirty = true;
        self.plans.remove(table);
        self.merge.forget(table);
    }

    /// Which rows of a table are wanted, where not all.
    pub(super) fn condition(&self, table: &TableId) -> Option<String> {
        self.merge.condition(table).map(str::to_owned)
    }

    /// The tables that are being read.
    pub(super) fn tables(&self) -> Vec<TableId> {
        self.merge.progress().iter().map(|table| table.table.as_ref().clone()).collect()
    }

    pub(super) fn pause(&mut self) {
        self.dirty |= !self.paused;
        self.paused = true;
        self.merge.pause();
    }

    pub(super) fn resume(&mut self) {
        self.dirty |= self.paused;
        self.paused = false;
        self.merge.resume();
    }

    // ---- the stream

    /// Begins a transaction of the stream, behind which everything before `behind` has come.
    pub(super) fn begin(
        &mut self,
        transaction: &Arc<TransactionOrigin>,
        behind: Lsn,
    ) -> Result<(), PostgresError> {
        self.merge.reached(behind)?;
        self.merge.begin(transaction);
        self.active = true;
        Ok(())
    }

    /// A change of it; what the sinks are to get is put into `out`.
    pub(super) fn change(
        &mut self,
        event: ChangeEvent,
        out: &mut Vec<ChangeEvent>,
    ) -> Result<(), PostgresError> {
        Ok(self.merge.change(event, out)?)
    }

    /// A change of it that all sinks have.
    pub(super) fn already_done(&mut self, event: ChangeEvent) -> Result<(), PostgresError> {
        Ok(self.merge.already_done(event)?)
    }

    /// The transaction has come by, and everything before `position`.
    pub(super) fn commit(&mut self, position: Lsn) -> Result<(), PostgresError> {
        self.merge.commit(position)?;
        self.rest();
        Ok(())
    }

    /// Everything before `position` has come by.
    pub(super) fn reached(&mut self, position: Lsn) -> Result<(), PostgresError> {
        Ok(self.merge.reached(position)?)
    }

    /// Whether the stream has to wait for rows.
    pub(super) fn holds_stream(&self) -> bool {
        self.active && self.merge.holds_stream()
    }

    /// So many bytes of the log are not read yet.
    pub(super) fn lags_by(&mut self, bytes: u64) {
        if bytes > LAGGING_BYTES {
            self.merge.set_lagging(true);
        } else if bytes < CAUGHT_UP_BYTES {
            self.merge.set_lagging(false);
        }
    }

    /// Whether rows wait for the stream to come further than this.
    pub(super) fn waits_for_log(&self, position: Lsn) -> bool {
        self.active && self.horizon > position
    }

    // ---- events

    pub(super) fn has_events(&self) -> bool {
        self.merge.has_events()
    }

    pub(super) fn take(
        &mut self,
        limits: &BatchLimits,
        stamp: &Stamp,
        give: impl FnMut(ChangeEvent, usize),
    ) {
        self.merge.take(limits, stamp, give);
        self.dirty = true;
    }

    /// Ends the readers where nothing is left to read.
    pub(super) fn rest(&mut self) {
        if self.active && self.merge.is_idle() && !self.merge.has_events() {
            self.active = false;
            self.readers = None;
            self.asks.clear();
            self.reading.clear();
            self.plans.clear();
            self.progress.set_snapshots(Vec::new());
        }
    }

    // ---- the readers

    /// Hands on what the merge asks for. Tables that have no plan yet are given back.
    pub(super) fn drive(&mut self) -> Option<Read> {
        self.hand_on();
        let now = Instant::now();
        if self.retry_at.is_some_and(|at| at > now) {
            return None;
        }
        self.retry_at = None;
        if let Some(ticket) = self.merge.wants_barrier() {
            self.asks.push_back(Ask::Barrier(ticket));
        }
        if self.merge.wants_visible() && self.visible_at.is_none_or(|at| at <= now) {
            self.asks.push_back(Ask::Visible);
            self.visible_at = Some(now + VISIBLE_INTERVAL);
        }
        let merge = &self.merge;
        let unwanted: Vec<ReadId> =
            self.reading.keys().filter(|id| !merge.is_wanted(**id)).copied().collect();
        for id in unwanted {
            self.reading.remove(&id);
            self.asks.push_back(Ask::Forget(id));
        }
        for (id, reading) in &mut self.reading {
            if reading.is_whole && !reading.asked_more && self.merge.takes_rows(*id) {
                reading.asked_more = true;
                self.asks.push_back(Ask::More(*id));
            }
        }
        while self.reading.len() < self.options.settings.snapshot_connections.get() {
            let Some(read) = self.merge.next_read() else { break };
            match self.plans.get(&*read.table) {
                Some(plan) => {
                    let plan = Arc::clone(plan);
                    self.ask_for(read, plan);
                }
                None => return Some(read),
            }
        }
        self.hand_on();
        None
    }

    /// Asks for a read.
    pub(super) fn read(&mut self, read: Read, plan: Arc<TableReadPlan>) {
        self.plans.insert(read.table.as_ref().clone(), Arc::clone(&plan));
        self.ask_for(read, plan);
    }

    fn ask_for(&mut self, read: Read, mut plan: Arc<TableReadPlan>) {
        if matches!(read.region, Region::Keys(_)) && plan.is_of_some_rows() {
            // They are read because a change was lacking, whoever asked for which rows.
            plan = Arc::new(plan.of_all_rows());
        }
        let reading = Reading {
            table: Arc::clone(&read.table),
            is_whole: read.region == Region::Whole,
            asked_more: false,
        };
        self.reading.insert(read.id, reading);
        self.asks.push_back(Ask::Read { read, plan });
    }

    /// A read cannot be carried out now.
    pub(super) fn give_up(&mut self, read: &Read) {
        self.merge.read_failed(read.id);
        self.retry_at = Some(Instant::now() + RETRY_AFTER);
    }

    fn hand_on(&mut self) {
        if self.asks.is_empty() {
            return;
        }
        let connections = self.options.settings.snapshot_connections;
        let readers = self.readers.get_or_insert_with(|| {
            Readers::of_snapshot(&self.options, connections.get(), self.exported.as_ref())
        });
        while let Some(ask) = self.asks.pop_front() {
            if let Err(refused) = readers.asks.try_send(ask) {
                // They are busy; it is asked again.
                self.asks.push_front(refused.into_inner());
                break;
            }
        }
    }

    /// The next answer. Cancel-safe.
    pub(super) async fn next_answer(&mut self) -> Answer {
        if let Some(readers) = &mut self.readers
            && let Some(answer) = readers.answers.recv().await
        {
            return answer;
        }
        std::future::pending().await
    }

    /// Takes an answer. The read that failed for a reason that repeating may not mend.
    pub(super) fn answer(&mut self, answer: Answer) -> Result<Option<FailedRead>, PostgresError> {
        match answer {
            Answer::Barrier(ticket, barrier) => self.merge.barrier(ticket, &barrier),
            Answer::NoBarrier(ticket, error) => {
                tracing::warn!(%error, "which transactions are not visible yet is asked again");
                self.merge.no_barrier(ticket);
                self.retry_at = Some(Instant::now() + RETRY_AFTER);
            }
            Answer::Visible(visible) => self.merge.observed(visible),
            Answer::Began(id, began) => {
                if self.reading.contains_key(&id) {
                    self.horizon = self.horizon.max(began.horizon);
                }
                self.merge.read_began(id, began);
            }
            Answer::Rows(id, rows, bytes) => {
                if let Some(reading) = self.reading.get_mut(&id) {
                    reading.asked_more = false;
                    let count = u64::try_from(rows.len()).unwrap_or(u64::MAX);
                    self.progress.add_snapshot_rows(count);
                }
                self.merge.read_rows(id, rows, bytes);
            }
            Answer::Ended(id, all, time) => {
                self.reading.remove(&id);
                self.merge.read_ended(id, all, time)?;
            }
            Answer::Failed(id, error) => {
                self.merge.read_failed(id);
                let Some(reading) = self.reading.remove(&id) else { return Ok(None) };
                self.plans.remove(&*reading.table);
                self.retry_at = Some(Instant::now() + RETRY_AFTER);
                return Ok(Some(FailedRead { table: reading.table, error }));
            }
        }
        Ok(None)
    }

    /// When there is something to do though nothing comes.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        if !self.active {
            return None;
        }
        let visible = if self.merge.wants_visible() { self.visible_at } else { None };
        let soon = (!self.asks.is_empty()).then(|| Instant::now() + Duration::from_millis(5));
        [self.retry_at, visible, soon].into_iter().flatten().min()
    }

    pub(super) fn report(&self) {
        if self.active {
            self.progress.set_snapshots(self.merge.progress());
        }
    }
}
