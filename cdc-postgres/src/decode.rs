//! From the log's messages to events: transactions, rows, truncates, logical messages. Without I/O.

use std::sync::Arc;

use bytes::Bytes;
use cdc_core::connect::transaction_id;
use cdc_core::value::Text;
use cdc_core::{
    Change, ChangeEvent, DataType, Destination, Field, LogicalMessage, Operation, Origin, Payload,
    ReplicationOrigin, Row, RowsBuilder, Schema, SnapshotMark, TableId, TransactionId,
    TransactionMarker, TransactionOrigin, TransactionStatus, Value,
};

use crate::error::PostgresError;
use crate::lsn::Lsn;
use crate::pgoutput::{self, Message, RowImage, RowMessage, RowOperation, unix_micros};
use crate::position::{Point, Position, Read};
use crate::positions::point_of;
use crate::relations::{Relation, Relations};
use crate::toast::{Image, Place, append};

/// The transaction that is being read.
#[derive(Debug)]
struct Transaction {
    origin: Arc<TransactionOrigin>,
    commit: Lsn,
    xid: u32,
    /// Row messages so far, before any filter.
    index: u64,
    /// The reads that show it.
    shown_by: Vec<Read>,
    /// Its begin was told.
    begun: bool,
    /// The first change at the LSN where a Debezium connector stopped.
    first_at_stop: Option<u64>,
}

/// Turns messages into events and keeps the position behind the last one.
#[derive(Debug)]
pub(crate) struct Decoder {
    database: Arc<str>,
    pub(crate) relations: Relations,
    transaction: Option<Transaction>,
    /// Behind the last message.
    position: Position,
    /// What comes before this is done already.
    skip_before: Point,
    message_destination: Destination,
    message_key: Arc<Schema>,
    /// The values of rows that were not sealed yet.
    rows: RowsBuilder,
    /// Where markers of transactions go, where they are wanted.
    markers: Option<Destination>,
    /// What is done of a transaction is told again, whether or not markers are wanted.
    tells_done: bool,
    /// An insert that lacks columns came.
    insert_lacks: bool,
}

impl Decoder {
    /// Begins behind a position.
    pub(crate) fn new(
        database: Arc<str>,
        position: Position,
        relations: Relations,
    ) -> cdc_core::Result<Self> {
        Ok(Decoder {
            database,
            relations,
            transaction: None,
            skip_before: position.point(),
            position,
            message_destination: Destination::named("message"),
            message_key: Schema::builder()
                .field(Field::required("prefix", DataType::TEXT))
                .build()?,
            rows: RowsBuilder::new(),
            markers: None,
            tells_done: false,
            insert_lacks: false,
        })
    }

    /// Tells begin and end of transactions, where they are wanted. The transaction that was resumed in comes from its
    /// beginning then, so that its events can be numbered; that they are done is told by their origins.
    pub(crate) fn with_markers(mut self, wanted: bool) -> Self {
        self.markers = wanted.then(|| Destination::named("transaction"));
        self
    }

    /// Tells what is done of the transaction that was resumed in too: see [`is_done`](Self::is_done).
    pub(crate) fn tell_done(&mut self) {
        self.tells_done = true;
    }

    /// Whether an event of the transaction was done before the start, and is only told again.
    pub(crate) fn is_done(&self, origin: &Origin) -> bool {
        point_of(origin) < self.skip_before
    }

    /// Whether what is done and told again is for the sinks too.
    pub(crate) fn gives_done(&self) -> bool {
        self.markers.is_some()
    }

    /// The transaction that is being read, unless all of it was done before the start.
    pub(crate) fn transaction(&self) -> Option<&Arc<TransactionOrigin>> {
        let transaction = self.transaction.as_ref()?;
        (transaction.commit >= self.skip_before.lsn).then_some(&transaction.origin)
    }

    /// Whether an insert came that lacks columns, since this was asked last.
    #[inline]
    pub(crate) fn take_insert_that_lacks(&mut self) -> bool {
        std::mem::take(&mut self.insert_lacks)
    }

    /// Whether what is done of the transaction is told again.
    fn tells_again(&self, commit: Lsn) -> bool {
        (self.markers.is_some() || self.tells_done)
            && self.skip_before.lsn == commit
            && self.skip_before.index > 0
    }

    fn marker(&self, status: TransactionStatus, at: Lsn, index: u64) -> Option<ChangeEvent> {
        let destination = self.markers.clone()?;
        let origin = self.event_origin(at, index, None)?;
        let marker = TransactionMarker {
            status,
            id: transaction_id(&origin.transaction).into(),
            event_count: None,
            tables: Vec::new(),
        };
        Some(ChangeEvent::new(destination, Payload::Absent, Payload::Transaction(marker), origin))
    }

    /// Tells the begin of the transaction with its first event, so that no batch ends between the two.
    fn tell_begin(&mut self, at: Lsn, index: u64, out: &mut impl FnMut(ChangeEvent, usize)) {
        if self.markers.is_none() || self.transaction.as_ref().is_none_or(|it| it.begun) {
            return;
        }
        if let Some(marker) = self.marker(TransactionStatus::Begin, at, index) {
            out(marker, 0);
        }
        if let Some(transaction) = &mut self.transaction {
            transaction.begun = true;
        }
    }

    /// Behind the last message.
    pub(crate) fn position(&self) -> &Position {
        &self.position
    }

    /// The tables that offsets say are about to join.
    pub(crate) fn set_joining(&mut self, tables: Vec<TableId>) {
        self.position.joining = tables;
    }

    pub(crate) fn in_transaction(&self) -> bool {
        self.transaction.is_some()
    }

    /// Everything that was committed before this has come.
    pub(crate) fn advance(&mut self, end: Lsn) {
        if self.transaction.is_none() && end > self.position.point().lsn {
            self.position.end = end;
            self.position.inside = None;
            self.position.forget_passed_reads();
        }
    }

    /// Takes the change of a row, a part of `owner` that stands at `at`; `false` where the message is another one.
    ///
    /// Its values are there when the rows are [sealed](Self::seal).
    pub(crate) fn change(
        &mut self,
        message: &[u8],
        in_stream: bool,
        owner: &Bytes,
        at: Lsn,
        out: &mut impl FnMut(ChangeEvent, usize),
    ) -> Result<bool, PostgresError> {
        let unreadable = |source| PostgresError::Decode { position: at, source };
        let Some(mut message) = RowMessage::read(message, in_stream).map_err(unreadable)? else {
            return Ok(false);
        };
        let oid = message.relation_id();
        let relation = self.relations.get(oid, at)?;
        let Some(index) = self.count(at, name_of(message.operation()))? else { return Ok(true) };
        if !relation.wanted {
            return Ok(true);
        }
        let start = self.rows.position();
        let size = self.rows.size();
        let made = self.make_change(&mut message, &relation, owner, at);
        let (change, key) = match made {
            Ok(made) => made,
            Err(error) => {
                self.rows.truncate(start);
                return Err(error);
            }
        };
        let size = self.rows.size() - size;
        self.tell_begin(at, index, out);
        self.announce(oid, &relation, at, index, out);
        if let Some(origin) = self.event_origin(at, index, Some(&relation.table)) {
            let key = key.map_or(Payload::Absent, Payload::row);
            let destination = relation.destination.clone();
            out(ChangeEvent::new(destination, key, Payload::Change(change), origin), size);
        }
        Ok(true)
    }

    /// The change of a row and the key that it leaves or removes.
    // What a call returns would be copied once more for each row.
    #[inline(always)]
    fn make_change(
        &mut self,
        message: &mut RowMessage<'_>,
        relation: &Relation,
        owner: &Bytes,
        at: Lsn,
    ) -> Result<(Change, Option<Row>), PostgresError> {
        let unreadable = |source| PostgresError::Decode { position: at, source };
        let wrong =
            |error: cdc_core::Error| PostgresError::Log { position: at, reason: error.to_string() };
        let place = Place { relation, at, owner };
        let schema = &relation.schema;
        let (mut before, mut after) = (None, None);
        while let Some((which, count)) = message.next_tuple().map_err(unreadable)? {
            let image = match (which, message.operation()) {
                (RowImage::OldKey, _) => Image::Key,
                (RowImage::OldFull, _) => Image::Before,
                (RowImage::New, RowOperation::Insert) => Image::Inserted,
                (RowImage::New, _) => Image::Updated,
            };
            let first = self.rows.position();
            let lacks = append(message, count, image, place, &mut self.rows)?;
            self.insert_lacks |= lacks && image == Image::Inserted;
            let row = self.rows.row(schema, first).map_err(wrong)?;
            let side = if which == RowImage::New { &mut after } else { &mut before };
            *side = Some((first, row));
        }
        // A key column that was not sent because it did not change is that of the row before.
        let merged = match (&before, &after) {
            (Some((before, _)), Some((after, _)))
                if schema.key().iter().any(|column| self.rows.is_unavailable(after + column)) =>
            {
                let values = schema.key().iter().map(|column| {
                    let from =
                        if self.rows.is_unavailable(after + column) { before } else { after };
                    self.rows.peek(from + column).unwrap_or(Value::Unavailable)
                });
                let values = values.collect();
                let key = schema.key_schema();
                key.map(|key| Row::new(Arc::clone(key), values)).transpose().map_err(wrong)?
            }
            _ => None,
        };
        let (before, after) = (before.map(|(_, row)| row), after.map(|(_, row)| row));
        let key = merged.or_else(|| after.as_ref().or(before.as_ref())?.key());
        let operation = match message.operation() {
            RowOperation::Insert => Operation::Create,
            RowOperation::Update => Operation::Update,
            RowOperation::Delete => Operation::Delete,
        };
        let schema = Arc::clone(schema);
        Ok((Change { operation, schema, before, after, transaction: None, record_keys: None }, key))
    }

    /// Gives the rows so far their values.
    pub(crate) fn seal(&mut self) {
        self.rows.seal();
    }

    /// Takes a message that is not of a row and stands at `at`. Relations are described by [`Relations::insert`].
    pub(crate) fn decode(
        &mut self,
        message: Message,
        at: Lsn,
        out: &mut impl FnMut(ChangeEvent, usize),
    ) -> Result<(), PostgresError> {
        match message {
            Message::Begin(begin) => self.begin(&begin, at),
            Message::Commit(commit) => self.commit(&commit, at, out),
            Message::Origin(origin) => self.origin(origin, at),
            Message::Truncate(truncate) => self.truncate(&truncate, at, out),
            Message::Message(message) => self.message(message, at, out),
            Message::Relation(_) | Message::Type(_) => Ok(()),
            other => Err(PostgresError::Log {
                position: at,
                reason: format!(
                    "a message of a later protocol, which was not asked for: {other:?}"
                ),
            }),
        }
    }

    /// Takes the begin of a transaction.
    pub(crate) fn begin(&mut self, begin: &pgoutput::Begin, at: Lsn) -> Result<(), PostgresError> {
        if self.transaction.is_some() {
            return Err(PostgresError::Log {
                position: at,
                reason: "a transaction inside another".to_owned(),
            });
        }
        let origin = TransactionOrigin {
            connector: "postgresql",
            database: Arc::clone(&self.database),
            id: Some(TransactionId::Xid(begin.xid)),
            commit_time_us: unix_micros(begin.commit_time),
            position: [begin.final_lsn.0, self.position.copies],
            previous_commit: Some(self.position.end.0).filter(|end| *end != 0),
            replicated_from: None,
        };
        let shows = |read: &&Read| read.visible.shows(begin.xid);
        self.transaction = Some(Transaction {
            origin: Arc::new(origin),
            commit: begin.final_lsn,
            xid: begin.xid,
            index: 0,
            shown_by: self.position.reads.iter().filter(shows).cloned().collect(),
            begun: false,
            first_at_stop: None,
        });
        Ok(())
    }

    /// Takes the end of a transaction.
    pub(crate) fn commit(
        &mut self,
        commit: &pgoutput::Commit,
        at: Lsn,
        out: &mut impl FnMut(ChangeEvent, usize),
    ) -> Result<(), PostgresError> {
        if let Some(index) = self.transaction.as_ref().map(|transaction| transaction.index)
            && commit.end_lsn > self.position.point().lsn
        {
            self.tell_begin(at, index, out);
            if let Some(marker) = self.marker(TransactionStatus::End, at, index) {
                out(marker, 0);
            }
        }
        let Some(transaction) = self.transaction.take() else {
            return Err(PostgresError::Log {
                position: at,
                reason: "a commit without its begin".to_owned(),
            });
        };
        if commit.end_lsn > self.position.point().lsn {
            self.position.end = commit.end_lsn;
            self.position.inside = None;
            self.position.last.xid = Some(transaction.xid);
            self.position.last.commit_time_us = unix_micros(commit.commit_time);
            // It can only have been this one.
            self.position.last.stopped_in = None;
            self.position.forget_passed_reads();
        }
        Ok(())
    }

    fn origin(&mut self, origin: pgoutput::Origin, at: Lsn) -> Result<(), PostgresError> {
        let transaction = current(&mut self.transaction, at)?;
        Arc::make_mut(&mut transaction.origin).replicated_from =
            Some(ReplicationOrigin { name: origin.name.into(), position: origin.commit_lsn.0 });
        Ok(())
    }

    /// Counts a row message. `None` when it is done already.
    fn count(&mut self, at: Lsn, message: &'static str) -> Result<Option<u64>, PostgresError> {
        let transaction = current(&mut self.transaction, at)?;
        let index = transaction.index;
        transaction.index += 1;
        let point = Point { lsn: transaction.commit, index };
        if let Some(stopped_in) = self.position.last.stopped_in {
            let before = match at == stopped_in.lsn {
                true => index - *transaction.first_at_stop.get_or_insert(index),
                false => 0,
            };
            if stopped_in.covers(transaction.xid, at, before) {
                // A Debezium connector did it: from here on its place has a number.
                self.skip_before = Point { index: index + 1, ..point };
                self.position.inside = Some(self.skip_before);
            }
        }
        if point < self.skip_before {
            return Ok(self.tells_again(point.lsn).then_some(index));
        }
        self.position.inside = Some(Point { lsn: transaction.commit, index: index + 1 });
        self.position.last.lsn = Some(at);
        self.position.last.message = Some(message);
        self.position.last.xid = Some(transaction.xid);
        self.position.last.commit_time_us = transaction.origin.commit_time_us;
        Ok(Some(index))
    }

    fn event_origin(&self, at: Lsn, index: u64, table: Option<&Arc<TableId>>) -> Option<Origin> {
        let transaction = self.transaction.as_ref()?;
        Some(Origin {
            transaction: Arc::clone(&transaction.origin),
            index,
            log_position: at.0,
            table: table.map(Arc::clone),
            snapshot: SnapshotMark::No,
            shown_by_snapshot: transaction
                .shown_by
                .iter()
                .any(|read| read.concerns(table.map(|table| &**table))),
            batch: 0,
            place: 0,
        })
    }

    /// The table's announcement, where that is news.
    fn announce(
        &mut self,
        oid: u32,
        relation: &Arc<Relation>,
        at: Lsn,
        index: u64,
        out: &mut impl FnMut(ChangeEvent, usize),
    ) {
        if !self.relations.begins(oid, relation) {
            return;
        }
        let Some(origin) = self.event_origin(at, index, Some(&relation.table)) else { return };
        let table = Change::table(Arc::clone(&relation.schema));
        out(ChangeEvent::change(relation.destination.clone(), table, origin), 0);
    }

    fn truncate(
        &mut self,
        truncate: &pgoutput::Truncate,
        at: Lsn,
        out: &mut impl FnMut(ChangeEvent, usize),
    ) -> Result<(), PostgresError> {
        let Some(index) = self.count(at, "TRUNCATE")? else { return Ok(()) };
        for oid in &truncate.relation_ids {
            let relation = self.relations.get(*oid, at)?;
            if relation.wanted {
                self.tell_begin(at, index, out);
                self.announce(*oid, &relation, at, index, out);
                let Some(origin) = self.event_origin(at, index, Some(&relation.table)) else {
                    continue;
                };
                let change = Change::truncate(Arc::clone(&relation.schema));
                out(ChangeEvent::change(relation.destination.clone(), change, origin), 0);
            }
        }
        Ok(())
    }

    fn message(
        &mut self,
        message: pgoutput::LogicalMessage,
        at: Lsn,
        out: &mut impl FnMut(ChangeEvent, usize),
    ) -> Result<(), PostgresError> {
        let prefix = Text::from(message.prefix);
        let key = Row::new(Arc::clone(&self.message_key), vec![prefix.clone().into()])
            .map_err(|error| PostgresError::Log { position: at, reason: error.to_string() })?;
        let payload = Payload::Message(LogicalMessage {
            prefix,
            content: message.content,
            transactional: message.transactional,
            transaction: None,
        });
        let origin = if message.transactional {
            let Some(index) = self.count(at, "MESSAGE")? else { return Ok(()) };
            self.tell_begin(at, index, out);
            self.event_origin(at, index, None)
        } else {
            self.lone_message(message.lsn)
        };
        if let Some(origin) = origin {
            let destination = self.message_destination.clone();
            let event = ChangeEvent::new(destination, Payload::row(key), payload, origin);
            let size = event.size().saturating_sub(size_of::<ChangeEvent>());
            out(event, size);
        }
        Ok(())
    }

    /// A message outside of transactions stands between them at a position of its own.
    fn lone_message(&mut self, lsn: Lsn) -> Option<Origin> {
        if (Point { lsn, index: 0 }) < self.position.point() {
            return None;
        }
        let previous_commit = Some(self.position.end.0).filter(|end| *end != 0);
        self.position.end = Lsn(lsn.0.saturating_add(1));
        self.position.inside = None;
        self.position.last.lsn = Some(lsn);
        self.position.last.message = Some("MESSAGE");
        self.position.last.xid = None;
        Some(Origin {
            transaction: Arc::new(TransactionOrigin {
                connector: "postgresql",
                database: Arc::clone(&self.database),
                id: None,
                // It has no time of its own; that of the transaction before it is the nearest.
                commit_time_us: self.position.last.commit_time_us,
                position: [lsn.0, self.position.copies],
                previous_commit,
                replicated_from: None,
            }),
            index: 0,
            log_position: lsn.0,
            table: None,
            snapshot: SnapshotMark::No,
            shown_by_snapshot: false,
            batch: 0,
            place: 0,
        })
    }
}

fn current(
    transaction: &mut Option<Transaction>,
    at: Lsn,
) -> Result<&mut Transaction, PostgresError> {
    transaction.as_mut().ok_or_else(|| PostgresError::Log {
        position: at,
        reason: "a change outside of a transaction".to_owned(),
    })
}

/// Debezium's name of the message.
fn name_of(operation: RowOperation) -> &'static str {
    match operation {
        RowOperation::Insert => "INSERT",
        RowOperation::Update => "UPDATE",
        RowOperation::Delete => "DELETE",
    }
}

#[cfg(test)]
mod tests;
