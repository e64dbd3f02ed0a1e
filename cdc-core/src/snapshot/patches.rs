//! Folding: what became of the rows of a read by the changes that it does not reflect.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::effect::Effect;
use super::flaws::{Flaw, has_flaw};
use super::key::Key;
use super::memory::Memory;
use super::visible::Visible;
use crate::error::Result;
use crate::event::ChangeEvent;
use crate::row::Row;
use crate::schema::Schema;

/// What is to be done with a row of the read.
#[derive(Debug, Clone)]
enum Patch {
    /// It is emitted as it was read.
    Keep,
    /// It is emitted with these columns.
    Set(Row),
    /// It is not emitted: the target has the key as it is.
    Drop,
    /// It is not emitted, and its key has to be read again.
    Lost,
    #[cfg(test)]
    Carry(Key, Row),
}

/// The changes that a read does not reflect, folded per key in log order.
#[derive(Debug)]
pub(super) struct Patches {
    by_key: HashMap<Key, Patch>,
    /// The table was emptied: rows of other keys are not emitted either.
    emptied: bool,
}

impl Patches {
    /// Folds what is remembered. What the read reflects it reflects together with everything older of the same key: with a
    /// visible set that is a subset, older changes of the key are undone.
    pub(super) fn fold<V: Visible>(memory: &Memory<V>, visible: &V) -> Patches {
        let mut patches = Patches { by_key: HashMap::new(), emptied: false };
        for kept in memory.kept() {
            let reflected = visible.shows(&kept.transaction);
            for effect in &kept.effects {
                if !reflected || has_flaw(Flaw::DropAnyKey) {
                    patches.apply(effect);
                } else if !has_flaw(Flaw::NoUndo) {
                    patches.undo(effect);
                }
            }
        }
        patches
    }

    fn undo(&mut self, effect: &Effect) {
        let mut keep = |key: &Key| {
            if self.emptied {
                self.by_key.insert(key.clone(), Patch::Keep);
            } else {
                self.by_key.remove(key);
            }
        };
        match effect {
            Effect::Whole(key) | Effect::Part(key, _) | Effect::Lost(key) => keep(key),
            Effect::Moved { from, to, .. } => {
                keep(from);
                keep(to);
            }
            Effect::Emptied => {
                self.by_key.clear();
                self.emptied = false;
            }
            Effect::Held(_) => {}
        }
    }

    fn apply(&mut self, effect: &Effect) {
        match effect {
            Effect::Whole(key) => self.set(key, Patch::Drop),
            Effect::Part(key, _)
                if has_flaw(Flaw::DropInsteadOfFold) || has_flaw(Flaw::DropAnyKey) =>
            {
                self.set(key, Patch::Drop);
            }
            Effect::Part(key, part) => self.part(key, part),
            #[cfg(test)]
            Effect::Moved { from, to, part: Some(part), .. } if has_flaw(Flaw::CarryColumns) => {
                let carried = match self.by_key.get(from) {
                    Some(Patch::Drop | Patch::Lost) => Patch::Lost,
                    Some(Patch::Carry(origin, _)) => Patch::Carry(origin.clone(), part.clone()),
                    _ => Patch::Carry(from.clone(), part.clone()),
                };
                self.set(from, Patch::Drop);
                self.set(to, carried);
            }
            Effect::Moved { from, to, lost, .. } => {
                self.set(from, Patch::Drop);
                self.set(to, if *lost { Patch::Lost } else { Patch::Drop });
            }
            Effect::Lost(key) => self.set(key, Patch::Lost),
            Effect::Emptied => {
                self.by_key.clear();
                self.emptied = true;
            }
            Effect::Held(_) => {}
        }
    }

    fn set(&mut self, key: &Key, patch: Patch) {
        self.by_key.insert(key.clone(), patch);
    }

    fn part(&mut self, key: &Key, part: &Row) {
        match self.by_key.entry(key.clone()) {
            Entry::Vacant(_) if self.emptied => {}
            Entry::Vacant(entry) => {
                entry.insert(Patch::Set(part.clone()));
            }
            Entry::Occupied(mut entry) => match entry.get_mut() {
                Patch::Keep => {
                    entry.insert(Patch::Set(part.clone()));
                }
                Patch::Set(set) => {
                    if !overlay(set, part) {
                        entry.insert(Patch::Lost);
                    }
                }
                #[cfg(test)]
                Patch::Carry(_, set) => {
                    overlay(set, part);
                }
                Patch::Drop | Patch::Lost => {}
            },
        }
    }

    /// The rows that are left of those that were read, and the keys that have to be read again.
    ///
    /// # Errors
    /// Where a row has no key.
    pub(super) fn finish(mut self, rows: Vec<Row>) -> Result<(Vec<Row>, Vec<Key>)> {
        let mut left = rows;
        if self.emptied || !self.by_key.is_empty() {
            let read = std::mem::take(&mut left);
            #[cfg(test)]
            let read = self.carry(read)?;
            for mut row in read {
                let key = Key::of(&row)?;
                match self.by_key.get_mut(&key) {
                    None if self.emptied => {}
                    None | Some(Patch::Keep) => left.push(row),
                    Some(patch @ Patch::Set(_)) => {
                        let Patch::Set(part) = &*patch else { continue };
                        if overlay(&mut row, part) {
                            left.push(row);
                        } else {
                            *patch = Patch::Lost;
                        }
                    }
                    Some(_) => {}
                }
            }
        }
        let lost = self.by_key.into_iter().filter(|(_, patch)| matches!(patch, Patch::Lost));
        let mut lost: Vec<Key> = lost.map(|(key, _)| key).collect();
        // In an order that does not depend on hashes.
        lost.sort_by_cached_key(|key| format!("{key:?}"));
        Ok((left, lost))
    }

    /// The flaw: rows go along with their key change.
    #[cfg(test)]
    fn carry(&mut self, read: Vec<Row>) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        let mut carried = Vec::new();
        for (key, patch) in &mut self.by_key {
            if let Patch::Carry(from, part) = patch {
                let same = |row: &&Row| Key::of(row).is_ok_and(|key| key == *from);
                let row = read.iter().find(same).map(|row| {
                    let mut row = row.clone();
                    overlay(&mut row, part);
                    row
                });
                carried.push((key.clone(), row.clone()));
                *patch = if row.is_some() { Patch::Keep } else { Patch::Lost };
            }
        }
        for row in read {
            let key = Key::of(&row)?;
            if !carried.iter().any(|(to, _)| *to == key) {
                rows.push(row);
            }
        }
        rows.extend(carried.into_iter().filter_map(|(_, row)| row));
        Ok(rows)
    }
}

/// The changes of a table without a key that a read does not reflect, in log order.
pub(super) fn held<V: Visible>(memory: &Memory<V>, visible: &V) -> Vec<ChangeEvent> {
    memory
        .kept()
        .filter(|kept| !visible.shows(&kept.transaction))
        .flat_map(|kept| &kept.effects)
        .filter_map(|effect| match effect {
            Effect::Held(event) => Some((**event).clone()),
            _ => None,
        })
        .collect()
}

/// Writes the columns of `part` that are there into `row`; false when they are not rows of one shape.
fn overlay(row: &mut Row, part: &Row) -> bool {
    if !same_columns(row.schema(), part.schema()) {
        return false;
    }
    for index in 0..part.len() {
        if let Some(value) = part.value(index)
            && !value.is_unavailable()
        {
            row.set(index, value);
        }
    }
    true
}

/// Whether rows of two schemas have the same columns in the same order.
pub(super) fn same_columns(a: &Schema, b: &Schema) -> bool {
    a.id() == b.id()
        || (a.fields().len() == b.fields().len()
            && a.key() == b.key()
            && a.fields()
                .iter()
                .zip(b.fields())
                .all(|(a, b)| a.name == b.name && a.data_type() == b.data_type()))
}
