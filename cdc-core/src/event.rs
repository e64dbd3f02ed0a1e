//! The unit that flows from sources through transforms into sinks.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::data_type::ValueType;
use crate::origin::{Origin, SnapshotMark};
use crate::row::Row;
use crate::schema::{Schema, TableId};
use crate::value::{Text, Value};

/// One event: where it goes, its key and value, and where it came from.
///
/// Rows, destination and headers are shared, so cloning is cheap and several sinks can take one event.
#[derive(Debug, Clone)]
pub struct ChangeEvent {
    /// Where it goes: a topic, a table, an index.
    pub destination: Destination,
    /// The key: a [`Payload::Value`] of the key's columns, or [`Payload::Absent`] without a key.
    pub key: Payload,
    /// What it says.
    pub value: Payload,
    /// Headers in their order; names may repeat.
    pub headers: Headers,
    /// The partition that a transform chose.
    pub partition: Option<i32>,
    /// The record's timestamp in milliseconds since the Unix epoch, where one was set.
    pub timestamp_ms: Option<i64>,
    origin: Origin,
    place: StreamPlace,
}

/// Which event of its batch a consumer of a stream got.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct StreamPlace {
    /// Counted from 1; 0 outside of streams.
    pub(crate) number: u32,
    /// Whether it is the last event of its change in the log.
    pub(crate) ends_origin: bool,
}

/// The content of a key or a value.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Payload {
    /// Nothing at all: no key; as a value a tombstone.
    Absent,
    /// A change of a row or a table.
    Change(Change),
    /// Any other value, under a schema or schemaless. A null under a schema is a [`Value::Null`] here, not
    /// [`Payload::Absent`].
    Value {
        /// The type; `None` is schemaless.
        schema: Option<Arc<ValueType>>,
        /// The value.
        value: Value,
    },
    /// The begin or the end of a transaction.
    Transaction(TransactionMarker),
    /// A message written into the log by `pg_logical_emit_message`.
    Message(LogicalMessage),
}

impl Payload {
    /// A struct value that carries its own schema, such as a key.
    #[inline]
    pub fn row(row: Row) -> Payload {
        Payload::Value { schema: None, value: Value::Struct(row) }
    }

    /// The row, where the payload is a struct value.
    pub fn as_row(&self) -> Option<&Row> {
        match self {
            Payload::Value { value: Value::Struct(row), .. } => Some(row),
            _ => None,
        }
    }

    /// The change, where it is one.
    pub fn as_change(&self) -> Option<&Change> {
        match self {
            Payload::Change(change) => Some(change),
            _ => None,
        }
    }

    /// Whether there is nothing at all.
    pub fn is_absent(&self) -> bool {
        matches!(self, Payload::Absent)
    }

    fn size(&self) -> usize {
        match self {
            Payload::Change(change) => change.size(),
            Payload::Value { value, .. } => value.size(),
            Payload::Message(message) => message.content.len() + message.prefix.len(),
            Payload::Absent | Payload::Transaction(_) => 0,
        }
    }
}

/// What happened to a row or a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A row read by a snapshot (Debezium's `r`).
    Read,
    /// An insert (`c`).
    Create,
    /// An update (`u`); it may change the key.
    Update,
    /// A delete (`d`).
    Delete,
    /// All rows of the table are gone (`t`).
    Truncate,
    /// No row: the table announces its schema, at the first start, when the log names it after a resume, before the
    /// first row of a new table, and at every change of its schema.
    Table,
}

impl Operation {
    /// Debezium's letter; [`Operation::Table`] has none.
    pub fn code(self) -> Option<&'static str> {
        match self {
            Operation::Read => Some("r"),
            Operation::Create => Some("c"),
            Operation::Update => Some("u"),
            Operation::Delete => Some("d"),
            Operation::Truncate => Some("t"),
            Operation::Table => None,
        }
    }
}

/// A change: what happened, the row before and after.
#[derive(Debug, Clone)]
pub struct Change {
    /// What happened.
    pub operation: Operation,
    /// The table's schema at this position of the log.
    pub schema: Arc<Schema>,
    /// The row before, as far as the server sent it; columns it did not send are [`Value::Unavailable`].
    pub before: Option<Row>,
    /// The row after; unchanged TOAST values are [`Value::Unavailable`].
    pub after: Option<Row>,
    /// The place in the transaction, where transaction metadata was asked for.
    pub transaction: Option<TransactionPlace>,
    /// The keys of the change's records, where the rows do not show them: see [`RecordKeys`].
    pub record_keys: Option<Arc<RecordKeys>>,
}

/// The keys of a change's records as the database has them, for a source that masks columns of the key or leaves them out of
/// the rows. Debezium shows keys unmasked, and only its formats read these; sinks that take the change go by its rows.
#[derive(Debug, Clone)]
pub struct RecordKeys {
    /// The key that an update moved the row away from; `None` when the key did not change.
    pub old: Option<Row>,
    /// The key of the row that the change leaves or removes.
    pub new: Row,
}

impl Change {
    /// A row that a snapshot read.
    pub fn read(after: Row) -> Self {
        Self::of(Operation::Read, None, Some(after.clone()), Arc::clone(after.schema()))
    }

    /// An inserted row.
    pub fn create(after: Row) -> Self {
        Self::of(Operation::Create, None, Some(after.clone()), Arc::clone(after.schema()))
    }

    /// An updated row.
    pub fn update(before: Option<Row>, after: Row) -> Self {
        let schema = Arc::clone(after.schema());
        Self::of(Operation::Update, before, Some(after), schema)
    }

    /// A deleted row.
    pub fn delete(before: Row) -> Self {
        let schema = Arc::clone(before.schema());
        Self::of(Operation::Delete, Some(before), None, schema)
    }

    /// An emptied table.
    pub fn truncate(schema: Arc<Schema>) -> Self {
        Self::of(Operation::Truncate, None, None, schema)
    }

    /// A table that announces its schema.
    pub fn table(schema: Arc<Schema>) -> Self {
        Self::of(Operation::Table, None, None, schema)
    }

    fn of(
        operation: Operation,
        before: Option<Row>,
        after: Option<Row>,
        schema: Arc<Schema>,
    ) -> Self {
        Change { operation, schema, before, after, transaction: None, record_keys: None }
    }

    /// The row that the change leaves or removes: `after`, or `before` of a delete.
    pub fn row(&self) -> Option<&Row> {
        self.after.as_ref().or(self.before.as_ref())
    }

    /// The key of the row that the change leaves or removes; `None` without a key or a row.
    ///
    /// A key column that was not sent because it did not change is taken from the row before.
    pub fn key(&self) -> Option<Row> {
        let mut key = self.row()?.key()?;
        if let Some(old) = self.before.as_ref().and_then(Row::key) {
            for index in 0..key.len() {
                if key.get(index).is_some_and(|value| value.is_unavailable())
                    && let Some(value) = old.value(index)
                {
                    key.set(index, value);
                }
            }
        }
        Some(key)
    }

    /// The key that an update moved the row away from; `None` when the key did not change.
    ///
    /// It is a difference of values: the server also sends the old key where it did not change.
    pub fn old_key(&self) -> Option<Row> {
        if self.operation != Operation::Update {
            return None;
        }
        let old = self.before.as_ref()?.key()?;
        if !old.is_complete() {
            return None;
        }
        (self.key()? != old).then_some(old)
    }

    /// The key of the change's record: that of the row, or as [`RecordKeys`] say.
    pub fn record_key(&self) -> Option<Row> {
        match &self.record_keys {
            Some(keys) => Some(keys.new.clone()),
            None => self.key(),
        }
    }

    /// The key of the record that goes when an update changes the key; `None` when it does not.
    pub fn old_record_key(&self) -> Option<Row> {
        match &self.record_keys {
            Some(keys) => keys.old.clone(),
            None => self.old_key(),
        }
    }

    /// Whether any column of the row after is [unavailable](Value::Unavailable) here and in the row before: such a
    /// change can update a row but not make one.
    pub fn lacks_columns(&self) -> bool {
        let Some(after) = &self.after else { return false };
        (0..after.len()).any(|index| {
            after.get(index).is_some_and(|value| value.is_unavailable())
                && self
                    .before
                    .as_ref()
                    .and_then(|before| before.get(index))
                    .is_none_or(|value| value.is_unavailable())
        })
    }

    /// The row after, with columns that were not sent because they did not change taken from the row before where
    /// it has them (REPLICA IDENTITY FULL).
    pub fn completed_after(&self) -> Option<Row> {
        let mut after = self.after.clone()?;
        if let Some(before) = &self.before {
            for index in 0..after.len() {
                if after.get(index).is_some_and(|value| value.is_unavailable()) {
                    match before.value(index) {
                        Some(value) if !value.is_unavailable() => after.set(index, value),
                        _ => {}
                    }
                }
            }
        }
        Some(after)
    }

    fn size(&self) -> usize {
        size_of::<Change>()
            + self.before.as_ref().map_or(0, Row::size)
            + self.after.as_ref().map_or(0, Row::size)
    }
}

/// A change's place in its transaction: Debezium's `event.block`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionPlace {
    /// Its number among all events of the transaction, from 1.
    pub total_order: u64,
    /// Its number among the events of its table in the transaction, from 1.
    pub collection_order: u64,
}

/// The begin or the end of a transaction: Debezium's transaction topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionMarker {
    /// Begin or end.
    pub status: TransactionStatus,
    /// The transaction's id in Debezium's form.
    pub id: Arc<str>,
    /// At the end: how many events it had.
    pub event_count: Option<u64>,
    /// At the end: how many events each table had, in order of their first.
    pub tables: Vec<(Arc<TableId>, u64)>,
}

/// Begin or end of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionStatus {
    /// Before its first event.
    Begin,
    /// After its last event.
    End,
}

/// A message that a client wrote into the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogicalMessage {
    /// The prefix that says whose it is.
    pub prefix: Text,
    /// The content.
    pub content: Bytes,
    /// Whether it belongs to a transaction; one that does not is sent even if the transaction around it is rolled back.
    pub transactional: bool,
    /// The place in the transaction, where transaction metadata was asked for.
    pub transaction: Option<TransactionPlace>,
}

impl ChangeEvent {
    /// An event.
    #[inline]
    pub fn new(destination: Destination, key: Payload, value: Payload, origin: Origin) -> Self {
        ChangeEvent {
            destination,
            key,
            value,
            headers: Headers::default(),
            partition: None,
            timestamp_ms: None,
            origin,
            place: StreamPlace::default(),
        }
    }

    /// A change under the name of its table, with the key of its row.
    pub fn change(destination: Destination, change: Change, origin: Origin) -> Self {
        let key = change.record_key().map_or(Payload::Absent, Payload::row);
        Self::new(destination, key, Payload::Change(change), origin)
    }

    /// Where it came from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Says what the event is in the order of a snapshot, for a source that learns it by the next row.
    pub fn set_snapshot_mark(&mut self, mark: SnapshotMark) {
        self.origin.snapshot = mark;
    }

    pub(crate) fn set_batch(&mut self, number: u64, place: u32) {
        (self.origin.batch, self.origin.place) = (number, place);
    }

    pub(crate) fn set_place(&mut self, place: StreamPlace) {
        self.place = place;
    }

    pub(crate) fn place(&self) -> StreamPlace {
        self.place
    }

    /// The change, where the value is one.
    pub fn as_change(&self) -> Option<&Change> {
        self.value.as_change()
    }

    /// What happened, where the value is a change.
    pub fn operation(&self) -> Option<Operation> {
        self.as_change().map(|change| change.operation)
    }

    /// The row after the change: `after` of a change, or the value itself where a transform unwrapped it.
    pub fn after(&self) -> Option<&Row> {
        match &self.value {
            Payload::Change(change) => change.after.as_ref(),
            value => value.as_row(),
        }
    }

    /// The row before the change, as far as the server sent it.
    pub fn before(&self) -> Option<&Row> {
        self.as_change().and_then(|change| change.before.as_ref())
    }

    /// Roughly how many bytes the event keeps alive.
    pub fn size(&self) -> usize {
        size_of::<ChangeEvent>() + self.key.size() + self.value.size() + self.headers.size()
    }
}

/// Headers of an event, shared until changed.
#[derive(Debug, Clone, Default)]
pub struct Headers(Option<Arc<Vec<Header>>>);

/// A header: a name and a value under a schema or schemaless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The name; it may repeat.
    pub name: Arc<str>,
    /// The type; `None` is schemaless.
    pub schema: Option<Arc<ValueType>>,
    /// The value.
    pub value: Value,
}

impl Headers {
    /// The headers in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Header> {
        self.0.as_deref().map_or(&[][..], Vec::as_slice).iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|headers| headers.is_empty())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |headers| headers.len())
    }

    /// Adds a header after the others.
    pub fn push(&mut self, header: Header) {
        Arc::make_mut(self.0.get_or_insert_default()).push(header);
    }

    /// The headers, to be changed in place; copied when shared.
    pub fn to_mut(&mut self) -> &mut Vec<Header> {
        Arc::make_mut(self.0.get_or_insert_default())
    }

    fn size(&self) -> usize {
        self.iter()
            .map(|header| size_of::<Header>() + header.name.len() + header.value.size())
            .sum()
    }
}

impl<'a> IntoIterator for &'a Headers {
    type Item = &'a Header;
    type IntoIter = std::slice::Iter<'a, Header>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Where an event goes: `[prefix.]schema.table`.
///
/// A source makes it of exact parts, so that names with dots in them stay what they are; a transform that routes by text
/// makes it of a topic name, which is taken apart at its dots only by a sink that needs a table.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination(Arc<DestinationParts>);

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct DestinationParts {
    name: Box<str>,
    table: Option<TableId>,
}

impl Destination {
    /// The destination of a table, without a prefix.
    pub fn of_table(table: &TableId) -> Self {
        Self::with_prefix(None, table)
    }

    /// The destination of a table behind a `topic.prefix`.
    pub fn with_prefix(prefix: Option<&str>, table: &TableId) -> Self {
        let name = match prefix {
            Some(prefix) => format!("{prefix}.{table}"),
            None => table.to_string(),
        };
        Destination(Arc::new(DestinationParts { name: name.into(), table: Some(table.clone()) }))
    }

    /// A topic of a table: a name of its own, and the exact table for sinks that need one.
    pub fn of_topic(topic: &str, table: &TableId) -> Self {
        Destination(Arc::new(DestinationParts { name: topic.into(), table: Some(table.clone()) }))
    }

    /// A destination by its name alone.
    pub fn named(name: &str) -> Self {
        Destination(Arc::new(DestinationParts { name: name.into(), table: None }))
    }

    /// The name: a topic, an index.
    pub fn as_str(&self) -> &str {
        &self.0.name
    }

    /// The exact table, where a source or a transform gave one.
    pub fn table(&self) -> Option<&TableId> {
        self.0.table.as_ref()
    }

    /// Schema (where there is one) and table: the exact parts, else the last two parts of the name.
    pub fn schema_and_table(&self) -> (Option<&str>, &str) {
        if let Some(table) = &self.0.table {
            return (Some(&table.schema), &table.table);
        }
        match self.0.name.rsplit_once('.') {
            None => (None, &self.0.name),
            Some((rest, table)) => {
                (Some(rest.rsplit_once('.').map_or(rest, |(_, schema)| schema)), table)
            }
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_type::DataType;
    use crate::schema::Field;

    fn row(id: Value, note: Value) -> Row {
        let schema = Schema::builder()
            .fields([
                Field::required("id", DataType::Int32),
                Field::optional("note", DataType::TEXT),
            ])
            .key(["id"])
            .build()
            .unwrap();
        Row::new(schema, vec![id, note]).unwrap()
    }

    #[test]
    fn an_update_that_repeats_its_old_key_changes_no_key() {
        let same = Change::update(
            Some(row(1i32.into(), Value::Unavailable)),
            row(1i32.into(), "n".into()),
        );
        assert_eq!(same.old_key(), None);
        let moved = Change::update(
            Some(row(1i32.into(), Value::Unavailable)),
            row(2i32.into(), "n".into()),
        );
        assert_eq!(moved.old_key().unwrap().by_name("id").unwrap().to_value(), 1i32.into());
    }

    #[test]
    fn a_key_sent_as_unchanged_is_taken_from_the_row_before() {
        let change = Change::update(
            Some(row("big".into(), Value::Unavailable)),
            row(Value::Unavailable, "n".into()),
        );
        assert_eq!(change.key().unwrap().get(0).unwrap().to_value(), "big".into());
        assert_eq!(change.old_key(), None);
    }

    #[test]
    fn a_full_before_image_supplies_what_the_row_after_lacks() {
        let change = Change::update(
            Some(row(1i32.into(), "long".into())),
            row(1i32.into(), Value::Unavailable),
        );
        assert!(!change.lacks_columns());
        assert!(change.completed_after().unwrap().is_complete());
    }

    #[test]
    fn names_with_dots_stay_what_they_are() {
        let exact = Destination::with_prefix(Some("shop"), &TableId::new("public", "odd.name"));
        assert_eq!(exact.as_str(), "shop.public.odd.name");
        assert_eq!(exact.schema_and_table(), (Some("public"), "odd.name"));
        assert_eq!(
            Destination::named("shop.public.orders").schema_and_table(),
            (Some("public"), "orders")
        );
        assert_eq!(Destination::named("orders").schema_and_table(), (None, "orders"));
    }
}
