//! Folding: what a batch does to each key, rather than every change on the way there.
//!
//! A sink that writes rows by key need not write a row ten times because it changed ten times within a batch.
//! [`Folder::fold`] turns the events of a batch into [`Step`]s for each table. Steps are applied in order; inside a
//! [`RowSet`] every key occurs once, so that its deletes, its [puts](Write::Put) and its [patches](Write::Patch) can each be
//! one statement, in this order.
//!
//! The changes of a key are folded in order: the last operation, with every column that any of them carried, first
//! of all from a `REPLICA IDENTITY FULL` before image. A delete and an insert of one key replace the whole row: no
//! column of the old row may be left in the new one. What ends a fold is a step of its own: a [move](Move) of a row
//! to another key, a TRUNCATE, a table event and [rows without a key](RowsWithoutKey). A change that lacks columns
//! (an unchanged TOAST value) is a patch, which updates a row that is there and never makes one.
//!
//! Nothing here does I/O, and rows are borrowed from the batch wherever they need not be merged.

mod hashing;
mod key;
mod places;
mod step;
mod table;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::event::{Change, ChangeEvent, Destination, Operation, Payload};
use crate::row::Row;
use crate::schema::Schema;
use crate::value::{Value, ValueRef};

use hashing::KeyHashing;
pub use key::Key;
use places::Places;
pub use step::{KeyFold, Move, RowSet, RowWithoutKey, RowsWithoutKey, Step, TableFold, Write};
use table::TableFolder;

/// Folds batches. It keeps the schemas that it makes for unwrapped rows, so that they have the same
/// [id](Schema::id) in every batch.
///
/// ```
/// use std::sync::Arc;
/// use cdc_core::fold::{Folder, Step, Write};
/// # use cdc_core::{Change, ChangeEvent, DataType, Destination, Field, Origin, Row, Schema, SnapshotMark, TableId, TransactionOrigin};
/// # let transaction = Arc::new(TransactionOrigin { connector: "test", database: "shop".into(), id: None,
/// #     commit_time_us: None, position: [1, 1], previous_commit: None, replicated_from: None });
/// # let origin = Origin { transaction, index: 0, log_position: 1, table: None, snapshot: SnapshotMark::No,
/// #     shown_by_snapshot: false, batch: 0, place: 0 };
/// let schema = Schema::builder()
///     .table(TableId::new("public", "orders"))
///     .field(Field::required("id", DataType::Int32))
///     .field(Field::optional("note", DataType::TEXT))
///     .key(["id"])
///     .build()?;
/// let row = |note: &str| Row::new(Arc::clone(&schema), vec![1i32.into(), note.into()]);
/// let orders = Destination::of_table(&TableId::new("public", "orders"));
/// let events = [
///     ChangeEvent::change(orders.clone(), Change::create(row("new")?), origin.clone()),
///     ChangeEvent::change(orders.clone(), Change::update(None, row("paid")?), origin.clone()),
/// ];
///
/// let tables = Folder::default().fold(&events)?;
/// let [Step::Rows(set)] = &tables[0].steps[..] else { unreachable!() };
/// let Write::Put(row) = &set.keys[0].write else { unreachable!() };
/// assert_eq!(row.by_name("note").map(|note| note.to_value()), Some("paid".into()));
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Folder {
    /// Schemas of unwrapped rows with the key of their event, by the ids of the two.
    keyed: HashMap<(u64, u64), Arc<Schema>>,
    /// Memory of the batch before.
    spare: Vec<Places>,
    hashing: KeyHashing,
}

/// So many tables of a batch leave their memory for the next.
const KEPT_PLACES: usize = 16;
/// So many schemas of unwrapped rows are kept; more exist only where every row brings a schema of its own.
const KEPT_SCHEMAS: usize = 1_024;

impl Folder {
    /// Folds events in the order of the log. The steps of each table stand together, tables in the order of their
    /// first event. Transaction markers and logical messages are passed over.
    ///
    /// # Errors
    /// [`Data`](crate::ErrorKind::Data), naming table, position and remedy: an inserted row that lacks columns, a change
    /// without its key, a change of a table without a key that does not show the whole row before, a value that is
    /// no row.
    pub fn fold<'a>(&mut self, events: &'a [ChangeEvent]) -> Result<Vec<TableFold<'a>>> {
        let mut tables: Vec<TableFolder<'a>> = Vec::new();
        let mut index_of: HashMap<&'a Destination, usize> = HashMap::new();
        let mut last: Option<usize> = None;
        for (number, event) in events.iter().enumerate() {
            // Nor is a heartbeat a row.
            if matches!(event.value, Payload::Transaction(_) | Payload::Message(_))
                || event.origin().is_of_pipeline()
            {
                continue;
            }
            let known = last.filter(|&at| {
                tables.get(at).is_some_and(|table| *table.destination() == event.destination)
            });
            let at = match known {
                Some(at) => at,
                None => match index_of.entry(&event.destination) {
                    Entry::Occupied(entry) => *entry.get(),
                    Entry::Vacant(entry) => {
                        let places = self.spare.pop().unwrap_or_default();
                        let hashing = self.hashing;
                        tables.push(TableFolder::new(&event.destination, places, hashing));
                        *entry.insert(tables.len() - 1)
                    }
                },
            };
            last = Some(at);
            if let Some(table) = tables.get_mut(at) {
                self.add(table, number, event)?;
            }
        }
        let mut folded = Vec::with_capacity(tables.len());
        for table in tables {
            let (table, places) = table.finish();
            if self.spare.len() < KEPT_PLACES {
                self.spare.push(places);
            }
            if !table.steps.is_empty() {
                folded.push(table);
            }
        }
        Ok(folded)
    }

    fn add<'a>(
        &mut self,
        table: &mut TableFolder<'a>,
        number: usize,
        event: &'a ChangeEvent,
    ) -> Result<()> {
        match &event.value {
            Payload::Change(change) => add_change(table, number, event, change),
            Payload::Value { value: Value::Struct(row), .. } => {
                self.add_unwrapped(table, number, event, row)
            }
            Payload::Absent | Payload::Value { value: Value::Null, .. } => match &event.key {
                Payload::Absent => Ok(()),
                key => match key.as_row() {
                    Some(key) => {
                        complete_key(
                            event,
                            key.iter().map(|(field, value)| (&*field.name, value)),
                        )?;
                        table.delete_by_key_row(number, key);
                        Ok(())
                    }
                    None => {
                        Err(at(event, "the key of a delete is not a struct of the key's columns")
                            .remedy("let the key be a struct of the table's key columns"))
                    }
                },
            },
            Payload::Value { .. } => Err(at(event, "the value is neither a change nor a row")
                .remedy("leave the destination out, or let a transform make rows of its values")),
            Payload::Transaction(_) | Payload::Message(_) => Ok(()),
        }
    }

    /// A row without an envelope: complete it is put, else it patches; without a key it is appended.
    fn add_unwrapped<'a>(
        &mut self,
        table: &mut TableFolder<'a>,
        number: usize,
        event: &'a ChangeEvent,
        row: &'a Row,
    ) -> Result<()> {
        let row = if row.schema().has_key() {
            Cow::Borrowed(row)
        } else {
            match event.key.as_row() {
                None if event.key.is_absent() => {
                    if !row.is_complete() {
                        return Err(lacks_columns(event, row));
                    }
                    table.keyless(row.schema(), RowWithoutKey::append(number, Cow::Borrowed(row)));
                    return Ok(());
                }
                None => {
                    return Err(at(event, "the key of the row is not a struct of its columns")
                        .remedy("let the key be a struct of columns that the row has too"));
                }
                Some(key) => Cow::Owned(row.with_schema(self.keyed_schema(event, row, key)?)?),
            }
        };
        let key = match row {
            Cow::Borrowed(row) => Key::Of(row),
            Cow::Owned(ref row) => Key::Row(Cow::Owned(row.key().unwrap_or_else(|| row.clone()))),
        };
        complete_key(event, named(&row, &key))?;
        if row.is_complete() {
            table.put(number, key, row);
        } else {
            table.patch(number, key, row);
        }
        Ok(())
    }

    /// The schema of an unwrapped row with the columns of the event's key as its key.
    fn keyed_schema(&mut self, event: &ChangeEvent, row: &Row, key: &Row) -> Result<Arc<Schema>> {
        let ids = (row.schema().id(), key.schema().id());
        if let Some(schema) = self.keyed.get(&ids) {
            return Ok(Arc::clone(schema));
        }
        let names = key.schema().fields().iter().map(|field| Arc::clone(&field.name));
        let missing =
            key.schema().fields().iter().find(|f| row.schema().index_of(&f.name).is_none());
        if let Some(field) = missing {
            return Err(at(event, format!("the row lacks the key column {:?}", field.name))
                .remedy("let the row carry the columns of its key"));
        }
        let schema = row.schema().to_builder().key(names).build()?;
        if self.keyed.len() >= KEPT_SCHEMAS {
            self.keyed.clear();
        }
        self.keyed.insert(ids, Arc::clone(&schema));
        Ok(schema)
    }
}

fn add_change<'a>(
    table: &mut TableFolder<'a>,
    number: usize,
    event: &'a ChangeEvent,
    change: &'a Change,
) -> Result<()> {
    match change.operation {
        Operation::Table => table.announce(number, &change.schema),
        Operation::Truncate => table.truncate(number, &change.schema),
        Operation::Read | Operation::Create => {
            let row = image(event, change.after.as_ref(), "after")?;
            if !row.is_complete() {
                return Err(lacks_columns(event, row));
            }
            if row.schema().has_key() {
                let key = Key::Of(row);
                complete_key(event, named(row, &key))?;
                table.put(number, key, Cow::Borrowed(row));
            } else {
                table.keyless(row.schema(), RowWithoutKey::append(number, Cow::Borrowed(row)));
            }
        }
        Operation::Update => add_update(table, number, event, change)?,
        Operation::Delete => {
            let row = image(event, change.before.as_ref(), "before")?;
            if row.schema().has_key() {
                let key = Key::Of(row);
                complete_key(event, named(row, &key))?;
                table.delete(number, row.schema(), key);
            } else {
                whole_row(event, Some(row))?;
                table.keyless(row.schema(), RowWithoutKey::remove(number, row));
            }
        }
    }
    Ok(())
}

fn add_update<'a>(
    table: &mut TableFolder<'a>,
    number: usize,
    event: &'a ChangeEvent,
    change: &'a Change,
) -> Result<()> {
    let after = image(event, change.after.as_ref(), "after")?;
    let mut complete = after.is_complete();
    let mut row = Cow::Borrowed(after);
    if !complete && let Some(completed) = change.completed_after() {
        complete = completed.is_complete();
        row = Cow::Owned(completed);
    }
    if !after.schema().has_key() {
        let before = whole_row(event, change.before.as_ref())?;
        if !complete {
            return Err(lacks_columns(event, &row));
        }
        table.keyless(after.schema(), RowWithoutKey::replace(number, before, row));
        return Ok(());
    }
    let key = match &row {
        Cow::Borrowed(row) => Key::Of(row),
        Cow::Owned(row) => Key::Row(Cow::Owned(row.key().unwrap_or_else(|| row.clone()))),
    };
    complete_key(event, named(&row, &key))?;
    if let Some(from) = moved_from(change) {
        table.move_row(Move { event: number, from, key, row, complete });
    } else if complete {
        table.put(number, key, row);
    } else {
        table.patch(number, key, row);
    }
    Ok(())
}

/// The old key where the key changed, without making one where it did not.
fn moved_from(change: &Change) -> Option<Key<'_>> {
    let (before, after) = (change.before.as_ref()?, change.after.as_ref()?);
    let key = before.schema().key();
    let differs = key.iter().any(|&at| match (before.get(at), after.get(at)) {
        (Some(old), Some(new)) => !old.is_unavailable() && !new.is_unavailable() && old != new,
        _ => false,
    });
    let known = || key.iter().all(|&at| before.get(at).is_some_and(|old| !old.is_unavailable()));
    (differs && known()).then_some(Key::Of(before))
}

fn named<'r>(row: &'r Row, key: &'r Key<'_>) -> impl Iterator<Item = (&'r str, ValueRef<'r>)> {
    let names = row.schema().key().iter().filter_map(|&at| row.schema().field(at));
    names.map(|field| &*field.name).zip(key.values())
}

fn complete_key<'r>(
    event: &ChangeEvent,
    columns: impl Iterator<Item = (&'r str, ValueRef<'r>)>,
) -> Result<()> {
    for (name, value) in columns {
        if value.is_null() {
            return Err(at(event, format!("the key column {name:?} is NULL"))
                .remedy("let the key be of columns that are never NULL"));
        }
        if value.is_unavailable() {
            return Err(at(event, format!("the key column {name:?} was not sent")).remedy(
                format!(
                    "run ALTER TABLE {} REPLICA IDENTITY FULL at the source",
                    source_table(event)
                ),
            ));
        }
    }
    Ok(())
}

fn image<'a>(event: &ChangeEvent, row: Option<&'a Row>, which: &str) -> Result<&'a Row> {
    row.ok_or_else(|| at(event, format!("the change has no row {which}")))
}

/// The row before of a table without a key, which is all that its rows are told apart by.
fn whole_row<'a>(event: &ChangeEvent, before: Option<&'a Row>) -> Result<&'a Row> {
    before.filter(|row| row.is_complete()).ok_or_else(|| {
        at(event, "the table has no key and the change does not show the whole row before").remedy(
            format!(
                "give it a primary key or run ALTER TABLE {} REPLICA IDENTITY FULL at the source",
                source_table(event)
            ),
        )
    })
}

fn lacks_columns(event: &ChangeEvent, row: &Row) -> Error {
    let columns: Vec<_> = row
        .iter()
        .filter(|(_, value)| value.is_unavailable())
        .map(|(field, _)| format!("{:?}", field.name))
        .collect();
    at(event, format!("a new row came without its column {}", columns.join(", "))).remedy(format!(
        "run ALTER TABLE {} REPLICA IDENTITY FULL at the source: a row filter of the publication turns an UPDATE \
         into an INSERT that lacks unchanged TOAST values",
        source_table(event)
    ))
}

fn source_table(event: &ChangeEvent) -> String {
    match &event.origin().table {
        Some(table) => table.to_string(),
        None => event.destination.to_string(),
    }
}

/// A data error of an event: table and position in front of what is wrong.
fn at(event: &ChangeEvent, what: impl fmt::Display) -> Error {
    let origin = event.origin();
    let position = origin.log_position;
    let place = if origin.transaction.connector == "postgresql" {
        format!("{:X}/{:X}", position >> 32, position & 0xFFFF_FFFF)
    } else {
        position.to_string()
    };
    Error::data(format!("{} at {place}: {what}", source_table(event)))
}
