//! Transaction metadata: events are numbered, and the end of a transaction says how many there were.

use std::sync::Arc;

use crate::connect::transaction_id;
use crate::error::Result;
use crate::event::{ChangeEvent, Operation, Payload, TransactionPlace, TransactionStatus};
use crate::schema::TableId;
use crate::transform::Transform;

/// Numbers the events of a transaction and counts them at its end: `provide.transaction.metadata`.
///
/// The source sends the begin and the end of each transaction. This comes after [`DebeziumRecords`](super::DebeziumRecords),
/// so that the two records of a key change are two events and what is left out is none.
///
/// A source that goes on inside a transaction sends that transaction from its beginning: so the numbers are right again
/// without being saved, and each sink is spared what it has. What this step has numbered already (the connection was
/// lost, the process was not) goes no further.
#[derive(Debug, Clone, Default)]
pub struct TransactionNumbers {
    current: Option<Counts>,
}

/// The transaction that is passing.
#[derive(Debug, Clone)]
struct Counts {
    /// Where it was committed.
    position: u64,
    id: Arc<str>,
    total: u64,
    tables: Vec<(Arc<TableId>, u64)>,
    /// The message of the log that was seen last.
    seen: Option<u64>,
    /// What is sent again, up to this message of the log, is numbered already.
    again: Option<u64>,
}

impl Counts {
    fn place(&mut self, table: &Arc<TableId>) -> TransactionPlace {
        self.total += 1;
        let found = self.tables.iter().position(|(known, _)| known == table);
        let at = found.unwrap_or_else(|| {
            self.tables.push((Arc::clone(table), 0));
            self.tables.len() - 1
        });
        let collection_order = self.tables.get_mut(at).map_or(0, |(_, count)| {
            *count += 1;
            *count
        });
        TransactionPlace { total_order: self.total, collection_order }
    }
}

impl TransactionNumbers {
    /// Numbers from the next begin on.
    pub fn new() -> Self {
        Self::default()
    }

    fn begin(&mut self, event: &ChangeEvent) -> bool {
        let origin = &event.origin().transaction;
        let position = origin.position[0];
        if let Some(current) = &mut self.current
            && current.position == position
        {
            current.again = current.seen;
            return current.seen.is_none();
        }
        self.current = Some(Counts {
            position,
            id: transaction_id(origin).into(),
            total: 0,
            tables: Vec::new(),
            seen: None,
            again: None,
        });
        true
    }
}

impl Transform for TransactionNumbers {
    fn apply(&mut self, mut event: ChangeEvent, out: &mut Vec<ChangeEvent>) -> Result<()> {
        let (position, index) = (event.origin().transaction.position[0], event.origin().index);
        if let Payload::Transaction(marker) = &event.value
            && marker.status == TransactionStatus::Begin
        {
            if self.begin(&event) {
                out.push(event);
            }
            return Ok(());
        }
        let in_log = !event.origin().snapshot.is_snapshot();
        let counts = self.current.as_mut().filter(|counts| in_log && counts.position == position);
        let Some(counts) = counts else {
            out.push(event);
            return Ok(());
        };
        if event.operation() == Some(Operation::Table) {
            out.push(event);
            return Ok(());
        }
        let ended = matches!(event.value, Payload::Transaction(_));
        if !ended && counts.again.is_some_and(|again| index <= again) {
            return Ok(());
        }
        counts.seen = Some(index);
        let table = event.origin().table.clone();
        match &mut event.value {
            Payload::Change(change) => {
                if let Some(table) = &table {
                    change.transaction = Some(counts.place(table));
                }
            }
            Payload::Message(message) if message.transactional => {
                // Messages belong to no table; together they are a collection of their own.
                let messages = Arc::new(TableId::new("", "message"));
                message.transaction = Some(counts.place(&messages));
            }
            Payload::Transaction(marker) => {
                marker.id = Arc::clone(&counts.id);
                marker.event_count = Some(counts.total);
                marker.tables = std::mem::take(&mut counts.tables);
                self.current = None;
            }
            _ => {}
        }
        out.push(event);
        Ok(())
    }

    fn name(&self) -> &str {
        "transaction metadata"
    }

    fn boxed_clone(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_type::DataType;
    use crate::event::{Change, Destination, TransactionMarker};
    use crate::origin::{Origin, SnapshotMark, TransactionId, TransactionOrigin};
    use crate::row::Row;
    use crate::schema::{Field, Schema};

    fn origin(index: u64, table: Option<&str>) -> Origin {
        Origin {
            transaction: Arc::new(TransactionOrigin {
                connector: "postgresql",
                database: "shop".into(),
                id: Some(TransactionId::Xid(7)),
                commit_time_us: None,
                position: [150, 1],
                previous_commit: None,
                replicated_from: None,
            }),
            index,
            log_position: 140 + index,
            table: table.map(|table| Arc::new(TableId::new("public", table))),
            snapshot: SnapshotMark::No,
            shown_by_snapshot: false,
            batch: 0,
            place: 0,
        }
    }

    fn marker(status: TransactionStatus, index: u64) -> ChangeEvent {
        let id = transaction_id(&origin(0, None).transaction).into();
        let marker = TransactionMarker { status, id, event_count: None, tables: Vec::new() };
        let value = Payload::Transaction(marker);
        ChangeEvent::new(Destination::named("t"), Payload::Absent, value, origin(index, None))
    }

    fn change(index: u64, table: &str) -> ChangeEvent {
        let schema =
            Schema::builder().field(Field::required("id", DataType::Int32)).build().unwrap();
        let change = Change::create(Row::new(schema, vec![1i32.into()]).unwrap());
        ChangeEvent::change(Destination::named(table), change, origin(index, Some(table)))
    }

    /// What goes out, in short: `B`, `a1.1` (table, number in all, number in its table), `E2 a:1 b:1`.
    fn run(numbers: &mut TransactionNumbers, events: Vec<ChangeEvent>) -> Vec<String> {
        let mut out = Vec::new();
        for event in events {
            numbers.apply(event, &mut out).unwrap();
        }
        out.iter()
            .map(|event| match &event.value {
                Payload::Transaction(marker) => match marker.event_count {
                    None => "B".to_owned(),
                    Some(count) => {
                        let tables = marker.tables.iter();
                        let tables: Vec<String> = tables
                            .map(|(table, count)| format!(" {}:{count}", table.table))
                            .collect();
                        format!("E{count}{}", tables.concat())
                    }
                },
                Payload::Change(change) => {
                    let place = change.transaction.unwrap();
                    format!("{}{}.{}", event.destination, place.total_order, place.collection_order)
                }
                _ => "tombstone".to_owned(),
            })
            .collect()
    }

    use TransactionStatus::{Begin, End};

    #[test]
    fn events_are_numbered_in_all_and_by_table() {
        let events = vec![
            marker(Begin, 0),
            change(0, "a"),
            change(1, "b"),
            change(2, "a"),
            change(2, "a"),
            marker(End, 3),
        ];
        let out = run(&mut TransactionNumbers::new(), events);
        assert_eq!(out, ["B", "a1.1", "b2.1", "a3.2", "a4.3", "E4 a:3 b:1"]);
    }

    #[test]
    fn after_a_lost_connection_what_was_numbered_goes_no_further_and_the_numbers_go_on() {
        let mut numbers = TransactionNumbers::new();
        run(&mut numbers, vec![marker(Begin, 0), change(0, "a"), change(1, "a")]);
        let again =
            vec![marker(Begin, 0), change(0, "a"), change(1, "a"), change(2, "b"), marker(End, 3)];
        assert_eq!(run(&mut numbers, again), ["b3.1", "E3 a:2 b:1"]);
    }

    #[test]
    fn a_lost_connection_before_the_first_change_or_before_the_end_loses_nothing() {
        let mut numbers = TransactionNumbers::new();
        run(&mut numbers, vec![marker(Begin, 0)]);
        assert_eq!(
            run(&mut numbers, vec![marker(Begin, 0), change(0, "a")]),
            ["B", "a1.1"],
            "nothing of it was done, and a begin may come twice"
        );
        let again = vec![marker(Begin, 0), change(0, "a"), marker(End, 1)];
        assert_eq!(run(&mut numbers, again), ["E1 a:1"]);
    }
}
