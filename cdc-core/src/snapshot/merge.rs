//! The state machine: tables, reads and the stream.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::key::Key;
use super::memory::Open;
use super::outbox::{Outbox, Stamp, Taken};
use super::plan::{FirstReads, MergeOptions, TablePlan};
use super::progress::{TablePhase, TableProgress};
use super::read::{Began, Read, ReadId, Reading};
use super::region::Region;
use super::state::{SnapshotState, TableState};
use super::table::{Passing, Table};
use super::unknown::Unknown;
use super::visible::Visible;
use crate::batch::BatchLimits;
use crate::error::{Error, Result};
use crate::event::{ChangeEvent, Operation};
use crate::origin::TransactionOrigin;
use crate::row::Row;
use crate::schema::TableId;

/// Numbers a question to the source; see [`Merge::wants_barrier`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BarrierTicket(u64);

/// Merges chunks of tables into the stream of their changes. See the [module](super) for how it is driven and why it is right.
#[derive(Debug)]
pub struct Merge<V: Visible> {
    options: MergeOptions,
    /// Everything before it has come by.
    position: V::Position,
    open: Option<Open<V::Position>>,
    tables: Vec<Table<V>>,
    /// Where each one is.
    places: HashMap<Arc<TableId>, usize>,
    outbox: Outbox,
    /// The newest visible set that arrived, and the number of the first read after it.
    newest: Option<(V, u64)>,
    next_read: u64,
    next_ticket: u64,
    sent: u64,
    paused: bool,
    lagging: bool,
}

impl<V: Visible> Merge<V> {
    /// Goes on with what an offset says, with a stream that begins at `position`: with [`SnapshotState::default`], nothing.
    ///
    /// A stream that was lost begins anew: so does the merge, with the state of the last offset.
    pub fn new(options: MergeOptions, position: V::Position, state: SnapshotState) -> Self {
        let table = |state: TableState| Table::new(state, Unknown::up_to_now(None), options.chunk);
        let mut merge = Merge {
            options,
            position,
            open: None,
            tables: state.tables.into_iter().map(table).collect(),
            places: HashMap::new(),
            outbox: Outbox::new(options.mark),
            newest: None,
            next_read: 0,
            next_ticket: 0,
            sent: state.sent,
            paused: false,
            lagging: false,
        };
        merge.place_tables();
        merge
    }

    fn place_tables(&mut self) {
        let places = self.tables.iter().enumerate();
        self.places = places.map(|(at, table)| (Arc::clone(&table.id), at)).collect();
    }

    fn find(&mut self, table: &TableId) -> Option<&mut Table<V>> {
        self.places.get(table).and_then(|at| self.tables.get_mut(*at))
    }

    /// What an offset has to say that is saved with the events given so far.
    pub fn state(&self) -> SnapshotState {
        let tables = self.tables.iter().filter(|table| !table.is_done());
        SnapshotState {
            sent: self.sent,
            tables: tables.map(|table| table.state().clone()).collect(),
        }
    }

    /// Whether no table is being read, so that only changes that lack columns concern this.
    pub fn is_idle(&self) -> bool {
        self.tables.is_empty()
    }

    // ---- what is asked for

    /// Reads these tables, from their beginning if they are being read already.
    pub fn request(&mut self, plans: impl IntoIterator<Item = TablePlan>, first: FirstReads) {
        for plan in plans {
            let id = plan.table.clone();
            let state = TableState::from(plan);
            let unknown = match first {
                FirstReads::Exported => Unknown::nothing(),
                FirstReads::Own if self.paused => Unknown::everything(),
                FirstReads::Own => Unknown::up_to_now(self.open.as_ref().map(|o| &o.transaction)),
            };
            if let Some(table) = self.find(&id) {
                table.ask_anew(state);
                table.rebase(unknown);
                continue;
            }
            self.tables.push(Table::new(state, unknown, self.options.chunk));
            self.place_tables();
        }
    }

    /// Which rows of a table are wanted, where not all.
    pub fn condition(&self, table: &TableId) -> Option<&str> {
        let table = self.places.get(table).and_then(|at| self.tables.get(*at))?;
        table.state().condition.as_deref()
    }

    /// Gives up the snapshot of a table; false where that cannot be: a table without a key whose changes were left out
    /// already has to be read to its end.
    pub fn stop(&mut self, table: &TableId) -> bool {
        let Some(at) = self.places.get(table).copied() else { return true };
        let can = !self.tables[at].state().key.is_empty();
        if can {
            self.tables.remove(at);
            self.place_tables();
        }
        can
    }

    /// The table is not there any more, so that nothing is left to read of it.
    pub fn forget(&mut self, table: &TableId) {
        self.tables.retain(|known| *known.id != *table);
        self.place_tables();
    }

    /// Begins no more reads, gives up those in flight, and remembers nothing.
    pub fn pause(&mut self) {
        self.paused = true;
        for table in &mut self.tables {
            table.rebase(Unknown::everything());
        }
    }

    /// Goes on after [`pause`](Merge::pause).
    pub fn resume(&mut self) {
        if std::mem::take(&mut self.paused) {
            self.rebase();
        }
    }

    /// Begins to remember anew: reads in flight are given up, and the next ones wait until the past is visible.
    pub fn rebase(&mut self) {
        self.newest = None;
        let open = self.open.as_ref().map(|open| &open.transaction);
        for table in &mut self.tables {
            table.rebase(Unknown::up_to_now(open));
        }
    }

    /// The stream is far behind (or no longer): no read begins, because all that happens until it has caught up would have to
    /// be remembered.
    pub fn set_lagging(&mut self, lagging: bool) {
        self.lagging = lagging;
    }

    // ---- what the source is asked

    /// Whether the source has to be asked now for a [barrier](Visible::Barrier): transactions that may stand in the log
    /// before the stream's present place, without being visible. Answer with [`Merge::barrier`] or
    /// [`Merge::no_barrier`].
    pub fn wants_barrier(&mut self) -> Option<BarrierTicket> {
        if !self.tables.iter().any(|table| table.unknown.wants_barrier()) {
            return None;
        }
        let number = self.next_ticket;
        self.next_ticket += 1;
        for table in &mut self.tables {
            table.unknown.asked(number);
        }
        Some(BarrierTicket(number))
    }

    /// The answer, of a question put after [`Merge::wants_barrier`] returned.
    pub fn barrier(&mut self, ticket: BarrierTicket, barrier: &V::Barrier) {
        for table in &mut self.tables {
            table.barrier(ticket.0, barrier);
        }
    }

    /// The question failed, and is put again.
    pub fn no_barrier(&mut self, ticket: BarrierTicket) {
        for table in &mut self.tables {
            table.unknown.not_answered(ticket.0);
        }
    }

    /// Whether reads wait for transactions to become visible: ask for a visible set now and then, and call
    /// [`Merge::observed`].
    pub fn wants_visible(&self) -> bool {
        self.tables.iter().any(|table| table.unknown.wants_visible())
    }

    /// The source shows this by now.
    pub fn observed(&mut self, visible: V) {
        for table in &mut self.tables {
            table.unknown.shown(&visible);
            table.memory.shown(&visible, self.next_read);
            table.release();
        }
        self.newest = Some((visible, self.next_read));
    }

    // ---- the stream

    /// Whether the stream should wait for rows that are being read, because much is remembered for them already.
    pub fn holds_stream(&self) -> bool {
        self.tables.iter().any(|table| {
            table.memory.bytes() > self.options.max_remembered_bytes
                && table.waits_for_rows(self.position)
        })
    }

    /// A transaction comes by. All its changes have to be handed in, after a restart inside of it those too that the sinks
    /// have: by [`Merge::already_done`].
    pub fn begin(&mut self, transaction: &Arc<TransactionOrigin>) {
        let shown = self.newest.as_ref().filter(|(visible, _)| visible.shows(transaction));
        for table in &mut self.tables {
            table.came_by(transaction);
        }
        self.open = Some(Open {
            transaction: Arc::clone(transaction),
            behind: self.position,
            shown_from: shown.map(|(_, from)| *from),
        });
    }

    /// A change of the transaction, in the order of the log: what the sinks are to get of it is put into `out`. Changes of a
    /// table without a key wait for its rows; an insert that lacks columns becomes an update, and its key is read.
    ///
    /// # Errors
    /// When events of a snapshot have to be [taken](Merge::take) first, and for a change without its key.
    pub fn change(&mut self, event: ChangeEvent, out: &mut Vec<ChangeEvent>) -> Result<()> {
        if !self.outbox.is_empty() {
            return Err(Error::transient(
                "rows of a snapshot are to be taken before the next change of the stream",
            ));
        }
        out.extend(self.pass(event, false)?);
        Ok(())
    }

    /// A change of the transaction that all sinks have already.
    ///
    /// # Errors
    /// As [`Merge::change`].
    pub fn already_done(&mut self, event: ChangeEvent) -> Result<()> {
        self.pass(event, true).map(drop)
    }

    fn pass(&mut self, event: ChangeEvent, redone: bool) -> Result<Option<ChangeEvent>> {
        let Some(id) = event.origin().table.clone() else { return Ok(Some(event)) };
        let idle = self.tables.is_empty();
        let known = if idle { None } else { self.places.get(&id).copied() };
        let Some(open) = &self.open else {
            // Tables are announced between transactions.
            if let (Some(at), Some(change)) = (known, event.as_change()) {
                self.tables[at].name_columns(&change.schema);
            }
            return Ok(Some(event));
        };
        let at = match known {
            Some(at) => at,
            None if !redone && self.wakes(&event) => {
                let Some(change) = event.as_change() else { return Ok(Some(event)) };
                let chunk = self.options.chunk;
                let mut table = Table::woken(&id, &change.schema, open, chunk);
                if self.paused {
                    table.unknown = Unknown::everything();
                }
                let at = self.tables.len();
                self.places.insert(Arc::clone(&table.id), at);
                self.tables.push(table);
                at
            }
            None => return Ok(Some(event)),
        };
        let passing = Passing { open, redone, split_key_changes: self.options.split_key_changes };
        let table = &mut self.tables[at];
        let place = event.origin().clone();
        let passed = table.pass(event, passing).map_err(|error| error.context(place))?;
        self.bound(at);
        if self.tables.get(at).is_some_and(Table::is_done) {
            self.forget_done();
        }
        Ok(passed)
    }

    /// Whether a change of a table that is not being read makes a key that has to be.
    fn wakes(&self, event: &ChangeEvent) -> bool {
        event.as_change().is_some_and(|change| {
            change.schema.has_key()
                && match change.operation {
                    Operation::Create => change.lacks_columns(),
                    Operation::Update => {
                        self.options.split_key_changes
                            && change.lacks_columns()
                            && change.old_key().is_some()
                    }
                    _ => false,
                }
        })
    }

    /// Keeps what is remembered of a table within its bound.
    fn bound(&mut self, at: usize) {
        /// Beside bytes: ids that reads wait for.
        const MAX_TRANSACTIONS: usize = 100_000;
        let max = self.options.max_remembered_bytes;
        let table = &mut self.tables[at];
        let bytes = table.memory.bytes();
        // Waiting helps only where all that a read shows has come by.
        if bytes > max && (bytes > max.saturating_mul(2) || !table.waits_for_rows(self.position)) {
            table.forget();
        }
        if table.unknown.len() > MAX_TRANSACTIONS {
            table.rebase(Unknown::up_to_now(self.open.as_ref().map(|open| &open.transaction)));
        }
    }

    /// The transaction has come by in whole, and with it everything before `position`.
    ///
    /// # Errors
    /// When a row that was read has no key.
    pub fn commit(&mut self, position: V::Position) -> Result<()> {
        self.open = None;
        self.reached(position)
    }

    /// Everything before `position` has come by.
    ///
    /// # Errors
    /// As [`Merge::commit`].
    pub fn reached(&mut self, position: V::Position) -> Result<()> {
        self.position = self.position.max(position);
        self.finish_ready()
    }

    // ---- reads

    /// The next chunk to read, if one may be read now.
    pub fn next_read(&mut self) -> Option<Read> {
        let in_flight: usize = self.tables.iter().map(|table| table.reads.len()).sum();
        if self.paused || self.lagging || in_flight >= self.options.max_reads {
            return None;
        }
        let id = ReadId(self.next_read);
        let max_bytes = self.options.chunk.bytes;
        for table in &mut self.tables {
            if let Some((region, max_rows)) = table.next_region() {
                self.next_read += 1;
                if super::flaws::has_flaw(super::flaws::Flaw::ForgetAtOpening) {
                    table.memory.forget();
                }
                table.reads.push(Reading::new(id, region.clone()));
                return Some(Read {
                    id,
                    table: Arc::clone(&table.id),
                    region,
                    max_rows,
                    max_bytes,
                });
            }
        }
        None
    }

    /// Whether a read is still wanted: one that was given up is to be ended, and its rows are not looked at.
    pub fn is_wanted(&self, read: ReadId) -> bool {
        self.tables.iter().any(|table| table.reads.iter().any(|known| known.id == read))
    }

    /// Whether more rows of a read can be taken now. Those of a table without a key wait until the stream has come to the
    /// read's horizon, and while `max_bytes` of rows have not been [taken](Merge::take).
    pub fn takes_rows(&self, read: ReadId) -> bool {
        let found = self.tables.iter().flat_map(|table| &table.reads).find(|r| r.id == read);
        found.is_none_or(|read| {
            read.region != Region::Whole
                || (read.is_behind(self.position)
                    && self.outbox.bytes()
                        < usize::try_from(self.options.chunk.bytes).unwrap_or(usize::MAX))
        })
    }

    /// The read has its snapshot.
    pub fn read_began(&mut self, id: ReadId, began: Began<V>) {
        let next = self.next_read;
        for table in &mut self.tables {
            if table.reading(id).is_some() {
                // It may have the columns of a change that the stream has yet to come to.
                table.see_key(&began.schema);
            }
            let own = table.reading(id).is_some();
            table.unknown.shown(&began.visible);
            table.memory.shown(&began.visible, next);
            if let (true, Some(read)) = (own, table.reading(id)) {
                read.began = Some(began.clone());
            }
            table.release();
        }
        self.newest = Some((began.visible, next));
        for table in &mut self.tables {
            table.give_rows_as_they_come(self.position, &mut self.outbox);
        }
    }

    /// Rows of the read, and roughly how many bytes they take; of a range in the order of the key.
    pub fn read_rows(&mut self, id: ReadId, rows: impl IntoIterator<Item = Row>, bytes: usize) {
        for table in &mut self.tables {
            if let Some(read) = table.reading(id) {
                let before = read.rows.len();
                read.rows.extend(rows);
                read.row_count += u64::try_from(read.rows.len() - before).unwrap_or(u64::MAX);
                read.bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
                read.waiting_bytes += bytes;
                table.give_rows_as_they_come(self.position, &mut self.outbox);
                return;
            }
        }
    }

    /// The read has ended: at the end of its region, or before it because it has enough rows.
    ///
    /// # Errors
    /// When a row that was read has no key.
    pub fn read_ended(&mut self, id: ReadId, at_end: bool, time: Duration) -> Result<()> {
        for table in &mut self.tables {
            let Some(read) = table.reading(id) else { continue };
            let through = match read.rows.last() {
                Some(last) if !at_end => Some(Key::of(last)?),
                _ => None,
            };
            match through {
                None if !at_end => table.give_up(id),
                through => table.ended(id, through, time),
            }
            break;
        }
        self.finish_ready()
    }

    /// The read failed. Its region is read again.
    pub fn read_failed(&mut self, id: ReadId) {
        for table in &mut self.tables {
            table.give_up(id);
            table.release();
        }
    }

    fn finish_ready(&mut self) -> Result<()> {
        for table in &mut self.tables {
            table.finish_ready(self.position, &mut self.outbox)?;
        }
        Ok(())
    }

    // ---- what comes out

    /// Gives numbers among the events of snapshots to so many events that the source itself makes (announcements of tables), which
    /// it gives before all others. The first of the numbers.
    pub fn number(&mut self, events: u64) -> u64 {
        self.sent += events;
        self.sent - events
    }

    /// Whether there are events of snapshots to take. They are taken before the next change of the stream is handed in.
    pub fn has_events(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Takes events of snapshots, each with the bytes that its values take, until the bounds are reached. The offset of a batch
    /// that ends here has [`Merge::state`] as it is after this.
    pub fn take(
        &mut self,
        limits: &BatchLimits,
        stamp: &Stamp,
        mut give: impl FnMut(ChangeEvent, usize),
    ) {
        let (mut events, mut bytes) = (0, 0);
        while events < limits.max_events && bytes < limits.max_bytes {
            match self.outbox.pop(stamp, self.sent) {
                None => break,
                Some(Taken::Event(event)) => {
                    let size = event.size();
                    self.sent += 1;
                    events += 1;
                    bytes += size;
                    give(event, size.saturating_sub(size_of::<ChangeEvent>()));
                }
                Some(Taken::Done(table, read, lost)) => {
                    if let Some(table) = self.find(&table) {
                        table.done(read, lost);
                    }
                    self.forget_done();
                }
            }
        }
    }

    /// Tables whose keys are all settled are not looked at any more.
    fn forget_done(&mut self) {
        let before = self.tables.len();
        self.tables.retain(|table| !table.is_done());
        if self.tables.len() != before {
            self.place_tables();
        }
    }

    /// How far the tables are that are being read.
    pub fn progress(&self) -> Vec<TableProgress> {
        let progress = |table: &Table<V>| {
            let state = table.state();
            TableProgress {
                table: Arc::clone(&table.id),
                phase: match () {
                    () if self.paused => TablePhase::Paused,
                    () if !table.unknown.is_nothing() => TablePhase::Waiting,
                    () => TablePhase::Reading,
                },
                rows: state.rows + table.reads.iter().map(|read| read.row_count).sum::<u64>(),
                bytes: state.bytes + table.reads.iter().map(|read| read.bytes).sum::<u64>(),
                chunks: state.chunks,
                reads: table.reads.len(),
                ranges_left: state.left.len(),
                keys_left: state.again.len(),
                remembered_bytes: table.memory.bytes(),
                estimated_rows: state.estimated_rows,
            }
        };
        self.tables.iter().map(progress).collect()
    }
}
