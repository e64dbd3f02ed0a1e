//! Targets, and what has to hold of them at every moment.

use std::collections::VecDeque;

use super::database::{Columns, Database, GENERATIONS, KEYS, Table};
use crate::event::{Change, ChangeEvent, Operation};
use crate::row::Row;
use crate::snapshot::{Key, SnapshotState};
use crate::value::{Value, ValueRef};

/// How a target takes a repetition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    /// The offset is saved with the data.
    Transactional,
    /// Every key knows the position that wrote it.
    Versioned,
    /// Key changes come as a delete and a change; the offset is saved at some time after the data.
    Idempotent,
}

/// A saved position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offset {
    /// The place in the log, and how many statements of the transaction there are done.
    pub(super) point: (usize, usize),
    pub(super) state: SnapshotState,
}

impl Offset {
    /// As it comes back from the text that it is at rest.
    pub(super) fn at_rest(point: (usize, usize), state: &SnapshotState) -> Offset {
        let text = state.to_json().to_string();
        let json = serde_json::from_str(&text).expect("JSON");
        Offset { point, state: SnapshotState::from_json(&json).expect("a state") }
    }

    pub(super) fn order(&self) -> ((usize, usize), u64) {
        (self.point, self.state.sent)
    }
}

#[derive(Debug, Clone)]
pub(super) struct Batch {
    pub(super) events: Vec<ChangeEvent>,
    pub(super) offset: Offset,
}

/// The order of writes for a versioned target: a row of a snapshot is behind every change before its place.
type Version = (u64, u64, u8, u64);

#[derive(Debug)]
pub(super) struct Target {
    pub(super) delivery: Delivery,
    rows: [Option<Columns>; KEYS],
    versions: [Version; KEYS],
    bag: Vec<i64>,
    /// Columns that were announced.
    generation: usize,
    pub(super) queue: VecDeque<Batch>,
    /// The offset of what it has.
    reached: Offset,
    /// The offset that is there after a kill.
    pub(super) saved: Offset,
    /// What it was loaded with: it is spared what this covers.
    own: Offset,
    own_sent: u64,
    /// How far changes ever came; before it they are repetitions.
    furthest: (u64, u64),
}

type Checked = Result<(), String>;

impl Target {
    pub(super) fn new(delivery: Delivery, offset: &Offset) -> Self {
        Target {
            delivery,
            rows: [None; KEYS],
            versions: [(0, 0, 0, 0); KEYS],
            bag: Vec::new(),
            generation: 0,
            queue: VecDeque::new(),
            reached: offset.clone(),
            saved: offset.clone(),
            own_sent: offset.state.sent,
            own: offset.clone(),
            furthest: (offset.point.0 as u64, offset.point.1 as u64),
        }
    }

    /// Has everything that the source had there.
    pub(super) fn fill(&mut self, database: &Database) {
        let (place, done) = self.reached.point;
        let state = database.state_at(place, done);
        for key in 0..KEYS {
            self.rows[key] = state.shown(key);
            self.versions[key] = (place as u64, 0, 1, 0);
        }
        self.bag = state.bag.clone();
        self.generation = state.generation;
    }

    /// The program is killed. What was written without being saved stays, of all but the transactional.
    pub(super) fn kill(&mut self, database: &Database, written: usize) -> Checked {
        if self.delivery != Delivery::Transactional
            && let Some(batch) = self.queue.front().cloned()
        {
            for event in batch.events.iter().take(written % (batch.events.len() + 1)) {
                if !self.covers(event) {
                    self.write(event, database)?;
                }
            }
        }
        self.queue.clear();
        self.reached = self.saved.clone();
        self.own = self.saved.clone();
        self.own_sent = self.own.state.sent;
        Ok(())
    }

    fn covers(&self, event: &ChangeEvent) -> bool {
        let origin = event.origin();
        if origin.snapshot.is_snapshot() {
            return origin.index < self.own_sent;
        }
        let place = (origin.transaction.position[0], origin.index);
        place < (self.own.point.0 as u64, self.own.point.1 as u64)
    }

    /// Writes the next batch.
    pub(super) fn write_batch(&mut self, database: &Database) -> Checked {
        let Some(batch) = self.queue.pop_front() else { return Ok(()) };
        for event in &batch.events {
            if !self.covers(event) {
                self.write(event, database)?;
            }
        }
        // A sink's offset never goes back while the reader is behind it.
        if batch.offset.order() > self.own.order() {
            self.reached = batch.offset;
        }
        if self.delivery == Delivery::Transactional {
            self.saved = self.reached.clone();
            self.check_settled(database)?;
        }
        Ok(())
    }

    pub(super) fn save(&mut self) {
        self.saved = self.reached.clone();
    }

    pub(super) fn can_save(&self) -> bool {
        self.saved != self.reached
    }

    pub(super) fn is_caught_up(&self, offset: &Offset) -> bool {
        self.queue.is_empty() && self.reached.order() >= offset.order()
    }

    fn write(&mut self, event: &ChangeEvent, database: &Database) -> Checked {
        let Some(change) = event.as_change() else { return Ok(()) };
        let origin = event.origin();
        if origin.table.as_ref() == Some(Table::Bag.id()) {
            return self.write_bag(change);
        }
        let position = origin.transaction.position;
        let snapshot = origin.snapshot.is_snapshot();
        let version = if snapshot {
            (position[0], position[1], 1, origin.index)
        } else {
            (position[0], origin.index + 1, 0, 0)
        };
        let before = self.rows;
        self.write_keyed(change, version, database)?;
        let place = (version.0, version.1);
        if snapshot || place >= self.furthest {
            for (key, (old, new)) in before.iter().zip(&self.rows).enumerate() {
                if let (Some(old), Some(new)) = (old, new)
                    && new.version < old.version
                {
                    return Err(format!("key {key} goes back from {old:?} to {new:?}"));
                }
            }
        }
        self.furthest = self.furthest.max(place);
        if self.delivery == Delivery::Transactional && change.operation != Operation::Table {
            // A row that is there is the row of the log, settled or not.
            let state = database.state_at(place.0 as usize, place.1 as usize);
            for key in 0..KEYS {
                if self.rows[key].is_some() && self.rows[key] != state.shown(key) {
                    return Err(format!(
                        "key {key} is {:?} where the log has {:?} at {place:?}",
                        self.rows[key],
                        state.shown(key)
                    ));
                }
            }
        }
        Ok(())
    }

    fn write_keyed(&mut self, change: &Change, version: Version, database: &Database) -> Checked {
        let columns = change.schema.fields().len();
        if change.operation == Operation::Table {
            if columns - 3 < self.generation && self.delivery == Delivery::Transactional {
                return Err("older columns are announced".into());
            }
            self.generation = self.generation.max(columns - 3);
            return Ok(());
        }
        if columns - 3 > self.generation {
            return Err(format!("columns of {:?} were not announced", change.schema));
        }
        let versioned = self.delivery == Delivery::Versioned;
        let takes = |versions: &mut [Version; KEYS], key: usize| {
            let newer = !versioned || versions[key] < version;
            if newer {
                versions[key] = version;
            }
            newer
        };
        let key_of = |row: Option<Row>| row.map(|row| key_index(&row, database));
        match change.operation {
            Operation::Truncate => {
                for key in 0..KEYS {
                    if takes(&mut self.versions, key) {
                        self.rows[key] = None;
                    }
                }
            }
            Operation::Delete => {
                let key = key_of(change.key()).ok_or("a delete without a key")?;
                if takes(&mut self.versions, key) {
                    self.rows[key] = None;
                }
            }
            _ => {
                let to = key_of(change.key()).ok_or("a change without a key")?;
                let from = key_of(change.old_key());
                let after = change.after.as_ref().ok_or("a change without a row")?;
                let lacks = change.lacks_columns();
                if lacks && change.operation != Operation::Update {
                    return Err(format!("a row is made without all columns: {after:?}"));
                }
                let mut moved = None;
                if let Some(from) = from
                    && takes(&mut self.versions, from)
                {
                    moved = self.rows[from].take();
                }
                if takes(&mut self.versions, to) {
                    let split = self.delivery == Delivery::Idempotent;
                    let base = match (lacks, moved) {
                        (false, _) => Some(EMPTY),
                        (true, Some(moved)) if !split => Some(moved),
                        _ => self.rows[to],
                    };
                    self.rows[to] = base.map(|base| overlay(base, after));
                }
            }
        }
        Ok(())
    }

    fn write_bag(&mut self, change: &Change) -> Checked {
        let value = |row: &Option<Row>| match row.as_ref().and_then(|row| row.get(0)) {
            Some(ValueRef::Int64(value)) => Some(value),
            _ => None,
        };
        if change.operation == Operation::Truncate {
            self.bag.clear();
        }
        if let Some(gone) = value(&change.before) {
            match self.bag.iter().position(|other| *other == gone) {
                Some(at) => {
                    self.bag.remove(at);
                }
                // A repetition of what an idempotent target has cannot be told from a new row: it is emptied first.
                None if self.delivery != Delivery::Transactional => {}
                None => return Err(format!("{gone} is not in the bag {:?}", self.bag)),
            }
        }
        if let Some(value) = value(&change.after) {
            let at = self.bag.partition_point(|other| *other < value);
            self.bag.insert(at, value);
        }
        Ok(())
    }

    /// What an offset says is read, is there.
    fn check_settled(&self, database: &Database) -> Checked {
        let Offset { point: (place, done), .. } = self.reached;
        let state = &self.reached.state;
        let log = database.state_at(place, done);
        let left = |table: Table| state.tables.iter().find(|left| left.id() == **table.id());
        let keyed = left(Table::Keyed);
        for key in 0..KEYS {
            let name = Key::new([database.key(key)]).expect("a key");
            // Text sorts as bytes do in this database, though nobody says so to the merge.
            let settled = keyed.is_none_or(|table| {
                !table.again.contains(&name)
                    && table.left.iter().all(|range| range.contains(&name, true) == Some(false))
            });
            if settled && self.rows[key] != log.shown(key) {
                return Err(format!(
                    "key {key} is settled as {:?} where the log has {:?} at {:?}",
                    self.rows[key],
                    log.shown(key),
                    self.reached.point
                ));
            }
        }
        if left(Table::Bag).is_none() && self.bag != log.bag {
            return Err(format!(
                "the bag is settled as {:?} where the log has {:?} at {:?}",
                self.bag, log.bag, self.reached.point
            ));
        }
        Ok(())
    }

    /// In the end it has what the source has.
    pub(super) fn check_end(&self, database: &Database) -> Checked {
        for key in 0..KEYS {
            if self.rows[key] != database.visible.shown(key) {
                return Err(format!(
                    "in the end key {key} is {:?} where the source has {:?}",
                    self.rows[key],
                    database.visible.shown(key)
                ));
            }
        }
        // Changes of a table without a key cannot be repeated; only a transactional target takes them once.
        if self.delivery == Delivery::Transactional && self.bag != database.visible.bag {
            return Err(format!(
                "in the end the bag is {:?} where the source has {:?}",
                self.bag, database.visible.bag
            ));
        }
        Ok(())
    }
}

const EMPTY: Columns = Columns { version: 0, large: 0, added: [None; GENERATIONS], hidden: false };

fn key_index(row: &Row, database: &Database) -> usize {
    let key = row.value(0).unwrap_or_default();
    (0..KEYS).find(|index| database.key(*index) == key).expect("a key of the model")
}

/// The row with the columns that were sent.
fn overlay(mut row: Columns, sent: &Row) -> Columns {
    let integer = |value: Value| match value {
        Value::Int64(value) => Some(value),
        _ => None,
    };
    for (field, value) in sent.iter() {
        if value.is_unavailable() {
            continue;
        }
        let value = integer(value.to_value());
        match &*field.name {
            "version" => row.version = value.unwrap_or_default(),
            "large" => row.large = value.unwrap_or_default(),
            "added0" => row.added[0] = value,
            "added1" => row.added[1] = value,
            _ => {}
        }
    }
    row
}
