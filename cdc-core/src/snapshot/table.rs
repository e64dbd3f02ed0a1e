//! One table under snapshot: which of its keys the target may lack, what is remembered, and what is being read.

use std::mem::{Discriminant, discriminant};
use std::sync::Arc;
use std::time::Duration;

use super::chunk_size::{ChunkSize, ChunkTarget};
use super::effect::{Effect, detached};
use super::flaws::{Flaw, has_flaw};
use super::key::Key;
use super::memory::{InFlight, Memory, Open};
use super::outbox::{Item, Outbox};
use super::patches::{Patches, held, same_columns};
use super::read::{Ended, ReadId, Reading};
use super::region::{KeyRange, Region};
use super::state::TableState;
use super::unknown::Unknown;
use super::visible::Visible;
use crate::data_type::DataType;
use crate::error::Result;
use crate::event::{Change, ChangeEvent, Operation, Payload};
use crate::origin::TransactionOrigin;
use crate::schema::{Schema, TableId};

/// How many single keys are kept before the whole table is read again instead.
const MAX_KEYS: usize = 10_000;
/// How many single keys one read reads.
const KEYS_A_READ: usize = 200;

/// How a change comes by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passing<'a, P> {
    pub(super) open: &'a Open<P>,
    /// The sinks have it already: it is before the offset that was resumed from, in its transaction.
    pub(super) redone: bool,
    /// Key changes reach the target as a delete and a change.
    pub(super) split_key_changes: bool,
}

#[derive(Debug)]
pub(super) struct Table<V: Visible> {
    pub(super) id: Arc<TableId>,
    /// What offsets say of it, counters included.
    state: TableState,
    /// Its columns at this place of the stream, as far as they were named.
    schema: Option<Arc<Schema>>,
    /// What the columns of its key are, as far as that was seen: the order of a text is not that of a number.
    key_kinds: Option<Vec<Discriminant<DataType>>>,
    pub(super) unknown: Unknown<V>,
    pub(super) memory: Memory<V>,
    pub(super) reads: Vec<Reading<V>>,
    size: ChunkSize,
}

impl<V: Visible> Table<V> {
    pub(super) fn new(state: TableState, unknown: Unknown<V>, target: ChunkTarget) -> Self {
        Table {
            id: Arc::new(state.id()),
            state,
            schema: None,
            key_kinds: None,
            unknown,
            memory: Memory::new(),
            reads: Vec::new(),
            size: ChunkSize::new(target),
        }
    }

    /// A table of which nothing was asked, of which a key has to be read.
    pub(super) fn woken(
        id: &TableId,
        schema: &Arc<Schema>,
        open: &Open<V::Position>,
        target: ChunkTarget,
    ) -> Self {
        let state = TableState {
            schema: id.schema.to_string(),
            table: id.table.to_string(),
            key: key_names(schema),
            text_in_byte_order: false,
            left: Vec::new(),
            again: Vec::new(),
            rows: 0,
            bytes: 0,
            chunks: 0,
            estimated_rows: None,
            condition: None,
            newly_streamed: false,
        };
        let mut table = Self::new(state, Unknown::up_to_now(Some(&open.transaction)), target);
        table.schema = Some(Arc::clone(schema));
        table
    }

    pub(super) fn state(&self) -> &TableState {
        &self.state
    }

    fn is_keyless(&self) -> bool {
        self.state.key.is_empty()
    }

    pub(super) fn is_done(&self) -> bool {
        self.state.left.is_empty() && self.state.again.is_empty()
    }

    /// Whether the target surely has the row with this key, if there is one.
    fn is_settled(&self, key: &Key) -> bool {
        let in_bytes = self.state.text_in_byte_order;
        !self.state.again.contains(key)
            && self.state.left.iter().all(|range| range.contains(key, in_bytes) == Some(false))
    }

    /// Whether a range that is left surely has this key.
    fn is_left(&self, key: &Key) -> bool {
        let in_bytes = self.state.text_in_byte_order;
        self.state.left.iter().any(|range| range.contains(key, in_bytes) == Some(true))
    }

    fn read_again(&mut self, key: Key) {
        if !self.state.again.contains(&key) {
            self.state.again.push(key);
        }
        if self.state.again.len() > MAX_KEYS {
            self.start_over(vec![KeyRange::all()]);
        }
    }

    /// All of it is to be read, whatever was.
    pub(super) fn start_over(&mut self, left: Vec<KeyRange>) {
        // Of one whose rows are being given too, which then settles nothing.
        self.reads.clear();
        self.state.again.clear();
        self.state.condition = None;
        self.state.left = left;
    }

    /// Somebody asks for it while it is being read: all of what was asked for, and of what is asked for now.
    pub(super) fn ask_anew(&mut self, asked: TableState) {
        let same_rows = self.state.left.is_empty() || self.state.condition == asked.condition;
        let same_key = self.state.key == asked.key;
        let again = std::mem::take(&mut self.state.again);
        self.state.text_in_byte_order &= asked.text_in_byte_order;
        self.state.estimated_rows = asked.estimated_rows;
        self.state.key = asked.key;
        self.state.newly_streamed |= asked.newly_streamed;
        self.start_over(asked.left);
        if same_rows && same_key {
            self.state.condition = asked.condition;
            // The condition may leave them out.
            self.state.again = again;
        }
    }

    /// The answer to a question for a barrier.
    pub(super) fn barrier(&mut self, number: u64, barrier: &V::Barrier) {
        if self.state.newly_streamed {
            self.unknown.answered(number, barrier.clone());
        } else {
            self.unknown.answered(number, V::of_streamed(barrier));
        }
    }

    /// A transaction begins to come by in the stream.
    pub(super) fn came_by(&mut self, transaction: &Arc<TransactionOrigin>) {
        // Of a table that is new in the stream not all that it did comes by.
        if !self.state.newly_streamed || has_flaw(Flaw::StreamHasAll) {
            self.unknown.came_by(transaction);
        }
    }

    /// A change comes by; what the target is to get of it.
    pub(super) fn pass(
        &mut self,
        mut event: ChangeEvent,
        passing: Passing<'_, V::Position>,
    ) -> Result<Option<ChangeEvent>> {
        let Payload::Change(change) = &mut event.value else { return Ok(Some(event)) };
        if change.operation == Operation::Read {
            return Ok(Some(event));
        }
        self.name_columns(&Arc::clone(&change.schema));
        if change.operation == Operation::Table {
            return Ok(Some(event));
        }
        let Passing { open, redone, split_key_changes } = passing;
        if self.is_keyless() {
            if self.unknown.is_remembering() {
                self.remember(open, Effect::Held(Box::new(detached(event))));
            }
            return Ok(None);
        }
        let missing = |from: &Key| {
            !has_flaw(Flaw::TrustEveryMove)
                && (redone || split_key_changes || !self.is_settled(from))
        };
        let Some(effect) = Effect::of(change, missing)? else { return Ok(Some(event)) };
        if change.operation == Operation::Create && change.lacks_columns() {
            // There is no such row in the target, and one that lacks columns cannot be made.
            change.operation = Operation::Update;
        }
        match &effect {
            Effect::Moved { to, lost: true, .. } | Effect::Lost(to)
                if !redone && !self.is_left(to) =>
            {
                self.read_again(to.clone());
            }
            Effect::Whole(key) | Effect::Moved { from: key, .. }
                if has_flaw(Flaw::ChangesSettleKeys) =>
            {
                self.state.again.retain(|again| again != key);
            }
            _ => {}
        }
        if self.unknown.is_remembering() {
            self.remember(open, effect);
        }
        Ok(Some(event))
    }

    fn remember(&mut self, open: &Open<V::Position>, effect: Effect) {
        let reads: Vec<InFlight<'_, V>> = self.reads.iter().map(Reading::in_flight).collect();
        self.memory.push(open, effect, &reads);
    }

    /// The log names the columns of the table as they are from here on.
    pub(super) fn name_columns(&mut self, schema: &Arc<Schema>) {
        let same = self.schema.as_ref().map(|known| same_columns(known, schema));
        if same == Some(true) {
            return;
        }
        self.schema = Some(Arc::clone(schema));
        let key = key_names(schema);
        if key != self.state.key {
            self.start_over(vec![KeyRange::all()]);
            self.state.key = key;
        }
        self.see_key(schema);
        if same == Some(false) {
            // What is remembered is of rows with other columns. Reads that began behind the change have its columns.
            self.forget();
            self.abort(|read| {
                read.began.as_ref().is_none_or(|began| !same_columns(&began.schema, schema))
            });
        }
    }

    /// A key whose columns have become something else sorts in another order: its ranges hold other rows than before, and all
    /// are read again.
    pub(super) fn see_key(&mut self, schema: &Schema) {
        let fields = schema.key().iter().filter_map(|&at| schema.field(at));
        let kinds: Vec<_> = fields.map(|field| discriminant(field.data_type())).collect();
        let before = self.key_kinds.replace(kinds);
        if before.is_some() && before != self.key_kinds && !self.state.left.is_empty() {
            self.start_over(vec![KeyRange::all()]);
        }
    }

    /// Remembers no more than which transactions have come by: no read begins before they are seen to be visible, and one in
    /// flight that may not reflect them is given up.
    pub(super) fn forget(&mut self) {
        let forgotten = self.memory.forget();
        if forgotten.is_empty() {
            return;
        }
        self.abort(|read| {
            read.began.as_ref().is_none_or(|began| {
                !forgotten.iter().all(|transaction| began.visible.shows(transaction))
            })
        });
        self.unknown.add(forgotten);
    }

    /// From here on everything is remembered, and nothing from before.
    pub(super) fn rebase(&mut self, unknown: Unknown<V>) {
        self.abort(|_| true);
        self.memory.forget();
        self.unknown = unknown;
    }

    /// Gives up reads whose rows are not being given yet.
    fn abort(&mut self, which: impl Fn(&Reading<V>) -> bool) {
        self.reads.retain(|read| read.finished || !which(read));
    }

    pub(super) fn release(&mut self) {
        let reads: Vec<InFlight<'_, V>> = self.reads.iter().map(Reading::in_flight).collect();
        self.memory.release(&reads);
    }

    /// What should be read next, with how many rows.
    pub(super) fn next_region(&mut self) -> Option<(Region, u64)> {
        if !self.unknown.is_nothing() {
            return None;
        }
        // Whatever was open when it came into the stream is visible by now.
        self.state.newly_streamed = false;
        let taken = |region: &Region| self.reads.iter().any(|read| read.region == *region);
        if self.is_keyless() {
            let free = !self.state.left.is_empty() && !taken(&Region::Whole);
            return free.then_some((Region::Whole, u64::MAX));
        }
        let being_read = |key: &Key| {
            self.reads
                .iter()
                .any(|read| matches!(&read.region, Region::Keys(keys) if keys.contains(key)))
        };
        let again = self.state.again.iter().filter(|key| !being_read(key));
        let keys: Vec<Key> = again.take(KEYS_A_READ).cloned().collect();
        if !keys.is_empty() {
            return Some((Region::Keys(keys), u64::MAX));
        }
        self.state
            .left
            .iter()
            .map(|range| Region::Range(range.clone()))
            .find(|region| !taken(region))
            .map(|region| (region, self.size.rows()))
    }

    pub(super) fn reading(&mut self, id: ReadId) -> Option<&mut Reading<V>> {
        self.reads.iter_mut().find(|read| read.id == id && !read.finished)
    }

    /// The rows of a read are here. Where it ended at a key before the end of its range, what is behind that key is a range of
    /// its own from now on, which can be read while these rows wait for the stream.
    pub(super) fn ended(&mut self, id: ReadId, through: Option<Key>, time: Duration) {
        let Some(read) = self.reads.iter_mut().find(|read| read.id == id) else { return };
        read.ended = Some(Ended { time });
        let (Some(through), Region::Range(range)) = (through, &mut read.region) else { return };
        if let Some(at) = self.state.left.iter().position(|left| left == range) {
            let rest = KeyRange { after: Some(through.clone()), through: range.through.take() };
            range.through = Some(through);
            self.state.left[at] = range.clone();
            self.state.left.insert(at + 1, rest);
        }
    }

    pub(super) fn give_up(&mut self, id: ReadId) {
        self.abort(|read| read.id == id);
    }

    /// The rows of a table without a key are given as they come, behind the order to remove all others: once the stream has
    /// passed what they can show, so that no older change of the table's columns comes after them.
    pub(super) fn give_rows_as_they_come(&mut self, position: V::Position, outbox: &mut Outbox) {
        if !self.is_keyless() {
            return;
        }
        let Some(read) = self.reads.iter().find(|read| !read.finished && read.is_behind(position))
        else {
            return;
        };
        let (id, first) = (read.id, !read.giving);
        if first {
            if self.is_in_doubt(read) {
                self.give_up(id);
                return;
            }
            self.announce(id, outbox);
        }
        if let Some(read) = self.reads.iter_mut().find(|read| read.id == id)
            && let Some(began) = &read.began
        {
            read.giving = true;
            if first {
                let truncate = Change::truncate(Arc::clone(&began.schema));
                outbox.push(Item::Table(Arc::clone(&self.id), began.destination.clone(), truncate));
            }
            if !read.rows.is_empty() {
                let rows = std::mem::take(&mut read.rows).into_iter();
                let bytes = std::mem::take(&mut read.waiting_bytes);
                let id = Arc::clone(&self.id);
                outbox.push(Item::Rows(id, began.destination.clone(), rows, bytes));
            }
        }
    }

    /// Whether it cannot be told of some transaction if the rows reflect it: a visible set that is a subset says no of what may
    /// be there. What such a transaction did to a row with a key can be done twice; rows without a key would be there
    /// twice. Everything before the horizon has come by when this is asked, so that the next read says yes of it.
    fn is_in_doubt(&self, read: &Reading<V>) -> bool {
        !V::EXACT
            && !has_flaw(Flaw::RowsWithoutKeyTwice)
            && read.began.as_ref().is_some_and(|began| {
                self.memory.kept().any(|kept| {
                    kept.behind < began.horizon && !began.visible.shows(&kept.transaction)
                })
            })
    }

    /// Announces the columns that the rows of a read have, where the stream has not come to them yet.
    fn announce(&mut self, id: ReadId, outbox: &mut Outbox) {
        if let Some(read) = self.reads.iter().find(|read| read.id == id)
            && let Some(began) = &read.began
            && !self.schema.as_ref().is_some_and(|known| same_columns(known, &began.schema))
        {
            self.schema = Some(Arc::clone(&began.schema));
            let table = Change::table(Arc::clone(&began.schema));
            outbox.push(Item::Table(Arc::clone(&self.id), began.destination.clone(), table));
        }
    }

    /// Gives what is left of the rows of reads that the stream has caught up with.
    pub(super) fn finish_ready(
        &mut self,
        position: V::Position,
        outbox: &mut Outbox,
    ) -> Result<()> {
        self.give_rows_as_they_come(position, outbox);
        while let Some(id) = self.reads.iter().find(|read| read.is_ready(position)).map(|r| r.id) {
            self.announce(id, outbox);
            let Some(read) = self.reads.iter_mut().find(|read| read.id == id) else { break };
            read.finished = true;
            let Some(began) = &read.began else { break };
            let table = || Arc::clone(&self.id);
            let rows = std::mem::take(&mut read.rows);
            let bytes = std::mem::take(&mut read.waiting_bytes);
            let lost = if self.state.key.is_empty() {
                outbox.push(Item::Held(held(&self.memory, &began.visible).into_iter()));
                Vec::new()
            } else {
                let (rows, lost) = Patches::fold(&self.memory, &began.visible).finish(rows)?;
                let destination = began.destination.clone();
                outbox.push(Item::Rows(table(), destination, rows.into_iter(), bytes));
                lost
            };
            outbox.push(Item::Done(table(), id, lost));
        }
        Ok(())
    }

    /// All of a read was given.
    pub(super) fn done(&mut self, id: ReadId, lost: Vec<Key>) {
        let Some(at) = self.reads.iter().position(|read| read.id == id) else { return };
        let read = self.reads.swap_remove(at);
        let Some(ended) = read.ended else { return };
        self.state.rows += read.row_count;
        self.state.bytes += read.bytes;
        self.state.chunks += 1;
        let in_bytes = self.state.text_in_byte_order;
        match &read.region {
            Region::Whole => {
                self.state.left.clear();
                self.memory.forget();
            }
            Region::Keys(keys) => self.state.again.retain(|key| !keys.contains(key)),
            Region::Range(range) => {
                self.size.learn(read.row_count, read.bytes, ended.time);
                if let Some(at) = self.state.left.iter().position(|left| left == range) {
                    self.state.left.remove(at);
                }
            }
        }
        for key in lost {
            let concerns = match &read.region {
                Region::Whole => false,
                Region::Keys(keys) => keys.contains(&key),
                Region::Range(range) => range.contains(&key, in_bytes) != Some(false),
            };
            if concerns && !self.is_left(&key) {
                self.read_again(key);
            }
        }
        self.release();
    }

    /// Whether the stream can wait: all that a read can show has come by, and only its rows are missing.
    pub(super) fn waits_for_rows(&self, position: V::Position) -> bool {
        self.reads
            .iter()
            .any(|read| !read.finished && read.ended.is_none() && read.is_behind(position))
    }
}

fn key_names(schema: &Schema) -> Vec<String> {
    let names = schema.key().iter().filter_map(|&at| schema.field(at));
    names.map(|field| field.name.to_string()).collect()
}
