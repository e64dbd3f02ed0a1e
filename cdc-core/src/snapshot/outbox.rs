//! Events of snapshots that wait to be taken into batches.

use std::collections::VecDeque;
use std::sync::Arc;

use super::key::Key;
use super::read::ReadId;
use crate::event::{Change, ChangeEvent, Destination};
use crate::origin::{Origin, SnapshotMark, TransactionOrigin};
use crate::row::Row;
use crate::schema::TableId;

/// Where the stream stands, for the origin of the rows that are given there: a row of a snapshot is as new as everything
/// before this place of the log.
#[derive(Debug, Clone)]
pub struct Stamp {
    /// The place as the source puts it into the origin of a change, and when the rows were read.
    pub transaction: Arc<TransactionOrigin>,
    /// The place in the log.
    pub log_position: u64,
}

impl Stamp {
    /// The origin of an event of a table that is given here, with its number among the events of snapshots.
    pub fn origin(&self, table: Arc<TableId>, number: u64, mark: SnapshotMark) -> Origin {
        Origin {
            transaction: Arc::clone(&self.transaction),
            index: number,
            log_position: self.log_position,
            table: Some(table),
            snapshot: mark,
            shown_by_snapshot: false,
            batch: 0,
            place: 0,
        }
    }
}

/// In the order in which they are given.
#[derive(Debug)]
pub(super) enum Item {
    /// A change of the whole table: its columns, or that it is emptied.
    Table(Arc<TableId>, Destination, Change),
    /// Rows, and roughly how many bytes they are.
    Rows(Arc<TableId>, Destination, std::vec::IntoIter<Row>, usize),
    /// Changes of a table without a key that waited for its rows.
    Held(std::vec::IntoIter<ChangeEvent>),
    /// All of a read was given.
    Done(Arc<TableId>, ReadId, Vec<Key>),
}

/// What was taken out.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it is taken apart at once, and an event is what there mostly is"
)]
pub(super) enum Taken {
    Event(ChangeEvent),
    Done(Arc<TableId>, ReadId, Vec<Key>),
}

#[derive(Debug)]
pub(super) struct Outbox {
    items: VecDeque<Item>,
    bytes: usize,
    /// How rows are marked.
    mark: SnapshotMark,
}

impl Outbox {
    pub(super) fn new(mark: SnapshotMark) -> Self {
        Outbox { items: VecDeque::new(), bytes: 0, mark }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Bytes of rows that are not taken to the last.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, item: Item) {
        if let Item::Rows(.., bytes) = &item {
            self.bytes += bytes;
        }
        self.items.push_back(item);
    }

    /// The next event, numbered, or the end of a read.
    #[inline]
    pub(super) fn pop(&mut self, stamp: &Stamp, number: u64) -> Option<Taken> {
        let mark = self.mark;
        let origin = |table: &Arc<TableId>| stamp.origin(Arc::clone(table), number, mark);
        loop {
            match self.items.front_mut()? {
                Item::Rows(table, destination, rows, _) => {
                    if let Some(row) = rows.next() {
                        let (to, read) = (destination.clone(), Change::read(row));
                        return Some(Taken::Event(ChangeEvent::change(to, read, origin(table))));
                    }
                }
                Item::Held(events) => {
                    if let Some(event) = events.next() {
                        return Some(Taken::Event(renumbered(event, number)));
                    }
                }
                Item::Table(..) | Item::Done(..) => {}
            }
            match self.items.pop_front()? {
                Item::Table(table, destination, change) => {
                    let event = ChangeEvent::change(destination, change, origin(&table));
                    return Some(Taken::Event(event));
                }
                Item::Done(table, read, lost) => return Some(Taken::Done(table, read, lost)),
                Item::Rows(.., bytes) => self.bytes = self.bytes.saturating_sub(bytes),
                Item::Held(_) => {}
            }
        }
    }
}

/// A change that waited is given behind its own place in the log: what tells whether a sink has it is its number among the
/// events of snapshots.
fn renumbered(event: ChangeEvent, number: u64) -> ChangeEvent {
    let mut origin = event.origin().clone();
    origin.index = number;
    origin.snapshot = SnapshotMark::Incremental;
    match event.value {
        crate::event::Payload::Change(change) => {
            ChangeEvent::change(event.destination, change, origin)
        }
        value => ChangeEvent::new(event.destination, event.key, value, origin),
    }
}
