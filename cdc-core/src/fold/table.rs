//! The fold of one table: the step that is open, and what closes it.

use std::borrow::Cow;
use std::hash::BuildHasher;
use std::sync::Arc;

use super::hashing::KeyHashing;
use super::key::Key;
use super::places::Places;
use super::step::{KeyFold, Move, RowSet, RowWithoutKey, RowsWithoutKey, Step, TableFold, Write};
use crate::event::Destination;
use crate::row::Row;
use crate::schema::Schema;

pub(super) struct TableFolder<'a> {
    destination: &'a Destination,
    steps: Vec<Step<'a>>,
    /// The set that takes rows now. It becomes a step when something else comes.
    open: Option<RowSet<'a>>,
    /// Where each key stands in the open set.
    places: Places,
    hashing: KeyHashing,
}

impl<'a> TableFolder<'a> {
    /// `places` is empty; it is given back by [`finish`](TableFolder::finish).
    pub(super) fn new(destination: &'a Destination, places: Places, hashing: KeyHashing) -> Self {
        TableFolder { destination, steps: Vec::new(), open: None, places, hashing }
    }

    pub(super) fn destination(&self) -> &Destination {
        self.destination
    }

    pub(super) fn finish(mut self) -> (TableFold<'a>, Places) {
        self.end_set();
        (TableFold { destination: self.destination, steps: self.steps }, self.places)
    }

    fn end_set(&mut self) {
        if let Some(set) = self.open.take() {
            self.steps.push(Step::Rows(set));
            self.places.clear();
        }
    }

    fn push(&mut self, step: Step<'a>) {
        self.end_set();
        self.steps.push(step);
    }

    pub(super) fn announce(&mut self, event: usize, schema: &'a Arc<Schema>) {
        self.push(Step::Table { event, schema });
    }

    pub(super) fn truncate(&mut self, event: usize, schema: &'a Arc<Schema>) {
        self.push(Step::Truncate { event, schema });
    }

    pub(super) fn move_row(&mut self, row: Move<'a>) {
        self.push(Step::Move(row));
    }

    pub(super) fn put(&mut self, event: usize, key: Key<'a>, row: Cow<'a, Row>) {
        let fold = self.key(event, row.schema(), key);
        fold.write = Write::Put(row);
    }

    pub(super) fn patch(&mut self, event: usize, key: Key<'a>, row: Cow<'a, Row>) {
        let fold = self.key(event, row.schema(), key);
        fold.write = match std::mem::replace(&mut fold.write, Write::Nothing) {
            // There is no row that a patch could change.
            Write::Nothing if fold.delete => Write::Nothing,
            Write::Nothing => Write::Patch(row),
            Write::Put(older) => Write::Put(merged(&older, row)),
            Write::Patch(older) => Write::Patch(merged(&older, row)),
        };
    }

    pub(super) fn delete(&mut self, event: usize, schema: &Arc<Schema>, key: Key<'a>) {
        let fold = self.key(event, schema, key);
        fold.delete = true;
        fold.write = Write::Nothing;
    }

    /// A delete of which only the key came.
    pub(super) fn delete_by_key_row(&mut self, event: usize, key: &'a Row) {
        if let Some(set) = &self.open {
            let schema = Arc::clone(&set.schema);
            if let Some(key) = in_order_of(&schema, key) {
                self.delete(event, &schema, Key::Row(key));
                return;
            }
        }
        self.delete(event, key.schema(), Key::Row(Cow::Borrowed(key)));
    }

    pub(super) fn keyless(&mut self, schema: &Arc<Schema>, row: RowWithoutKey<'a>) {
        self.end_set();
        if let Some(Step::WithoutKey(open)) = self.steps.last_mut()
            && same(&open.schema, schema)
        {
            open.rows.push(row);
            return;
        }
        let rows = RowsWithoutKey { schema: Arc::clone(schema), rows: vec![row] };
        self.steps.push(Step::WithoutKey(rows));
    }

    /// The fold of a key in the set that is open, opened where there is none with this schema.
    fn key(&mut self, event: usize, schema: &Arc<Schema>, key: Key<'a>) -> &mut KeyFold<'a> {
        if self.open.as_ref().is_some_and(|set| !same(&set.schema, schema)) {
            self.end_set();
        }
        let hash = self.hashing.hash_one(&key);
        let at = self.place(hash, &key);
        let set = self
            .open
            .get_or_insert_with(|| RowSet { schema: Arc::clone(schema), keys: Vec::new() });
        if at == set.keys.len() {
            set.keys.push(KeyFold { event, key, delete: false, write: Write::Nothing });
        }
        let fold = &mut set.keys[at];
        fold.event = event;
        fold
    }

    /// The place of a key in the open set: the next one, where it is new. Another key with the same hash ends the set.
    fn place(&mut self, hash: u64, key: &Key<'a>) -> usize {
        let next = self.open.as_ref().map_or(0, |set| set.keys.len());
        let at = self.places.get_or_insert(hash, next);
        let there = self.open.as_ref().and_then(|set| set.keys.get(at));
        if there.is_none_or(|there| there.key == *key) {
            return at;
        }
        self.end_set();
        self.places.get_or_insert(hash, 0)
    }
}

fn same(a: &Arc<Schema>, b: &Arc<Schema>) -> bool {
    a.id() == b.id() || a == b
}

/// The columns of the newer row, and those it lacks from the older one.
fn merged<'a>(older: &Row, newer: Cow<'a, Row>) -> Cow<'a, Row> {
    let mut row = newer;
    for at in 0..older.len() {
        if row.get(at).is_some_and(|value| value.is_unavailable()) {
            match older.value(at) {
                Some(value) if !value.is_unavailable() => row.to_mut().set(at, value),
                _ => {}
            }
        }
    }
    row
}

/// A key row with its columns in the order of the schema's key; `None` when the columns are not those of the key.
fn in_order_of<'a>(schema: &Schema, key: &'a Row) -> Option<Cow<'a, Row>> {
    let wanted =
        || schema.key().iter().filter_map(|&at| schema.field(at)).map(|field| &*field.name);
    if wanted().count() != key.len() {
        return None;
    }
    if wanted().eq(key.schema().fields().iter().map(|field| &*field.name)) {
        return Some(Cow::Borrowed(key));
    }
    let values = wanted()
        .map(|name| key.schema().index_of(name).and_then(|at| key.value(at)))
        .collect::<Option<Vec<_>>>()?;
    Row::new(Arc::clone(schema.key_schema()?), values).ok().map(Cow::Owned)
}
