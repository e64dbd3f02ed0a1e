//! Folding against a model: whatever the events and wherever the batches are cut, a folded batch leaves the table that
//! its events would leave one by one.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;

use super::*;
use crate::data_type::DataType;
use crate::origin::{Origin, SnapshotMark, TransactionOrigin};
use crate::schema::{Field, TableId};

static ORDERS: LazyLock<Arc<Schema>> = LazyLock::new(|| schema("orders", &["id"]));
static LOG: LazyLock<Arc<Schema>> = LazyLock::new(|| schema("log", &[]));
static TRANSACTION: LazyLock<Arc<TransactionOrigin>> = LazyLock::new(|| {
    Arc::new(TransactionOrigin {
        connector: "postgresql",
        database: "shop".into(),
        id: None,
        commit_time_us: None,
        position: [1, 1],
        previous_commit: None,
        replicated_from: None,
    })
});

fn schema(table: &str, key: &[&str]) -> Arc<Schema> {
    Schema::builder()
        .table(TableId::new("public", table))
        .field(Field::required("id", DataType::Int32))
        .field(Field::optional("note", DataType::Int32))
        .field(Field::optional("document", DataType::Int32))
        .key(key.iter().copied())
        .build()
        .unwrap()
}

fn event(change: Change) -> ChangeEvent {
    let table = change.schema.table().cloned().unwrap();
    let destination = Destination::of_table(&table);
    ChangeEvent::change(destination, change, origin(table))
}

fn origin(table: TableId) -> Origin {
    Origin {
        transaction: Arc::clone(&TRANSACTION),
        index: 0,
        log_position: 0x16_B374_8A50,
        table: Some(Arc::new(table)),
        snapshot: SnapshotMark::No,
        shown_by_snapshot: false,
        batch: 0,
        place: 0,
    }
}

fn row(schema: &Arc<Schema>, values: [Option<i32>; 3]) -> Row {
    let values = values.map(|value| value.map_or(Value::Unavailable, Value::Int32));
    Row::new(Arc::clone(schema), values.into()).unwrap()
}

fn order(id: i32, note: i32, document: Option<i32>) -> Row {
    row(&ORDERS, [Some(id), Some(note), document])
}

/// A target table with a column that no source row carries: what an old row leaves behind shows there.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    orders: BTreeMap<i32, (Vec<Value>, bool)>,
    log: Vec<Vec<Value>>,
}

fn values(row: &Row) -> Vec<Value> {
    (0..row.len()).filter_map(|at| row.value(at)).collect()
}

fn number(value: ValueRef<'_>) -> i32 {
    match value {
        ValueRef::Int32(number) => number,
        other => panic!("not a number: {other:?}"),
    }
}

impl Model {
    fn put(&mut self, row: &Row) {
        assert!(row.is_complete(), "an insert of a partial row");
        let key = number(row.get(0).unwrap());
        let kept = self.orders.get(&key).is_some_and(|(_, extra)| *extra);
        self.orders.insert(key, (values(row), kept));
    }

    fn patch(&mut self, key: i32, row: &Row) {
        if let Some((old, _)) = self.orders.get_mut(&key) {
            for (old, new) in old.iter_mut().zip(values(row)) {
                if !new.is_unavailable() {
                    *old = new;
                }
            }
        }
    }

    fn relocate(&mut self, from: i32, to: i32, row: &Row) {
        if let Some(old) = self.orders.remove(&from) {
            self.orders.insert(to, old);
            self.patch(to, row);
        } else if row.is_complete() {
            self.put(row);
        }
    }

    fn remove_one(&mut self, before: &Row) -> Option<usize> {
        let at = self.log.iter().position(|row| *row == values(before))?;
        self.log.remove(at);
        Some(at)
    }

    fn event(&mut self, event: &ChangeEvent) {
        let change = event.as_change().unwrap();
        let keyed = change.schema.has_key();
        let after = change.completed_after();
        match (change.operation, keyed) {
            (Operation::Table, _) => {}
            (Operation::Truncate, true) => self.orders.clear(),
            (Operation::Truncate, false) => self.log.clear(),
            (Operation::Read | Operation::Create, true) => self.put(&after.unwrap()),
            (Operation::Read | Operation::Create, false) => self.log.push(values(&after.unwrap())),
            (Operation::Update, true) => {
                let (after, key) = (after.unwrap(), change.key().unwrap());
                let key = number(key.get(0).unwrap());
                match change.old_key() {
                    Some(old) => self.relocate(number(old.get(0).unwrap()), key, &after),
                    None if after.is_complete() => self.put(&after),
                    None => self.patch(key, &after),
                }
            }
            (Operation::Update, false) => {
                if let Some(at) = self.remove_one(change.before.as_ref().unwrap()) {
                    self.log.insert(at, values(&after.unwrap()));
                }
            }
            (Operation::Delete, true) => {
                self.orders.remove(&number(change.before.as_ref().unwrap().get(0).unwrap()));
            }
            (Operation::Delete, false) => {
                self.remove_one(change.before.as_ref().unwrap());
            }
        }
    }

    fn folded(&mut self, tables: &[TableFold<'_>]) {
        for step in tables.iter().flat_map(|table| &table.steps) {
            match step {
                Step::Table { .. } => {}
                Step::Truncate { schema, .. } if schema.has_key() => self.orders.clear(),
                Step::Truncate { .. } => self.log.clear(),
                Step::Rows(set) => self.set(set),
                Step::Move(moved) => {
                    assert_eq!(moved.complete, moved.row.is_complete());
                    let (from, to) = (moved.from.get(0).unwrap(), moved.key.get(0).unwrap());
                    self.relocate(number(from), number(to), &moved.row);
                }
                Step::WithoutKey(rows) => {
                    for row in &rows.rows {
                        match row {
                            RowWithoutKey::Append { row, .. } => self.log.push(values(row)),
                            RowWithoutKey::Remove { before, .. } => {
                                self.remove_one(before);
                            }
                            RowWithoutKey::Replace { before, after, .. } => {
                                if let Some(at) = self.remove_one(before) {
                                    self.log.insert(at, values(after));
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    /// Deletes, then puts, then patches, as one statement each.
    fn set(&mut self, set: &RowSet<'_>) {
        let mut keys: Vec<_> =
            set.keys.iter().map(|fold| number(fold.key.get(0).unwrap())).collect();
        for (fold, key) in set.keys.iter().zip(&keys) {
            if fold.delete {
                self.orders.remove(key);
            }
        }
        for fold in &set.keys {
            if let Write::Put(row) = &fold.write {
                self.put(row);
            }
        }
        for (fold, key) in set.keys.iter().zip(&keys) {
            if let Write::Patch(row) = &fold.write {
                self.patch(*key, row);
            }
        }
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), set.keys.len(), "a key occurs twice in a set");
    }
}

fn changes() -> impl Strategy<Value = Change> {
    let (id, note, document) = (0..5i32, 0..3i32, proptest::option::of(0..3i32));
    (0..24u8, id.clone(), id, note.clone(), document, note).prop_map(
        |(kind, id, other, note, document, old)| match kind {
            0..=3 => Change::create(order(id, note, Some(old))),
            4 => Change::read(order(id, note, Some(old))),
            5..=8 => Change::update(None, order(id, note, document)),
            // The server also sends the old key where it did not change.
            9 => Change::update(
                Some(row(&ORDERS, [Some(id), None, None])),
                row(&ORDERS, [None, Some(note), document]),
            ),
            // A FULL before image.
            10 => Change::update(Some(order(id, old, Some(old))), order(id, note, document)),
            11..=13 => Change::update(
                Some(row(&ORDERS, [Some(other), None, None])),
                order(id, note, document),
            ),
            14..=17 => Change::delete(row(&ORDERS, [Some(id), None, None])),
            18 => Change::truncate(Arc::clone(if old == 0 { &ORDERS } else { &LOG })),
            19 => Change::table(Arc::clone(if old == 0 { &ORDERS } else { &LOG })),
            20..=21 => Change::create(log(note, old)),
            22 => Change::update(Some(log(note, old)), log(old, note)),
            _ => Change::delete(log(note, old)),
        },
    )
}

fn log(note: i32, document: i32) -> Row {
    row(&LOG, [Some(1), Some(note), Some(document)])
}

proptest! {
    #[test]
    fn a_folded_batch_leaves_what_its_events_leave_one_by_one(
        changes in proptest::collection::vec(changes(), 0..60),
        cuts in proptest::collection::vec(1..40usize, 1..20),
    ) {
        let events: Vec<_> = changes.into_iter().map(event).collect();
        let seeded = || {
            let mut model = Model::default();
            for id in 0..3 {
                model.orders.insert(id, (values(&order(id, 9, Some(9))), true));
            }
            model
        };
        let (mut one_by_one, mut folded) = (seeded(), seeded());
        let mut folder = Folder::default();
        let (mut rest, mut cuts) = (&events[..], cuts.into_iter().cycle());
        while !rest.is_empty() {
            let (batch, after) = rest.split_at(cuts.next().unwrap_or(1).min(rest.len()));
            batch.iter().for_each(|event| one_by_one.event(event));
            folded.folded(&folder.fold(batch).unwrap());
            prop_assert_eq!(&one_by_one, &folded);
            rest = after;
        }
    }
}

fn fold(events: &[ChangeEvent]) -> Vec<TableFold<'_>> {
    Folder::default().fold(events).unwrap()
}

#[test]
fn keys_swapped_through_a_temporary_key_stay_three_moves_in_order() {
    let step = |from: i32, to: i32| {
        event(Change::update(Some(row(&ORDERS, [Some(from), None, None])), order(to, 1, None)))
    };
    let events = [step(1, 9), step(2, 1), step(9, 2)];
    let tables = fold(&events);
    let keys: Vec<_> = tables[0]
        .steps
        .iter()
        .map(|step| match step {
            Step::Move(m) => (number(m.from.get(0).unwrap()), number(m.key.get(0).unwrap())),
            other => panic!("not a move: {other:?}"),
        })
        .collect();
    assert_eq!(keys, [(1, 9), (2, 1), (9, 2)]);
}

#[test]
fn rows_that_need_no_merging_are_borrowed_from_the_batch() {
    let events =
        [event(Change::create(order(1, 1, Some(1)))), event(Change::create(order(2, 1, Some(1))))];
    let tables = fold(&events);
    let Step::Rows(set) = &tables[0].steps[0] else { panic!("not rows") };
    assert!(set.keys.iter().all(|fold| matches!(fold.write, Write::Put(Cow::Borrowed(_)))));
}

#[test]
fn an_insert_without_its_toast_value_is_an_error_with_place_and_remedy() {
    let events = [event(Change::create(order(1, 1, None)))];
    let error = Folder::default().fold(&events).unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Data);
    let text = error.to_string();
    assert!(text.starts_with("public.orders at 16/B3748A50: "), "{text}");
    assert!(text.contains("\"document\""), "{text}");
    assert!(text.contains("ALTER TABLE public.orders REPLICA IDENTITY FULL"), "{text}");
}

#[test]
fn a_keyless_update_without_the_whole_row_before_is_an_error() {
    let events = [event(Change::update(None, log(1, 1)))];
    let error = Folder::default().fold(&events).unwrap_err().to_string();
    assert!(error.contains("no key") && error.contains("REPLICA IDENTITY FULL"), "{error}");
}

fn unwrapped(key: Option<&Row>, value: Payload) -> ChangeEvent {
    let key = key.map_or(Payload::Absent, |key| Payload::row(key.clone()));
    let table = TableId::new("public", "orders");
    ChangeEvent::new(Destination::of_table(&table), key, value, origin(table))
}

#[test]
fn unwrapped_rows_take_their_key_from_the_event() {
    let plain = schema("orders", &[]);
    let key = order(1, 0, None).key().unwrap();
    let value = |note| Payload::row(row(&plain, [Some(1), Some(note), Some(1)]));
    let events = [
        unwrapped(Some(&key), value(1)),
        unwrapped(Some(&key), value(2)),
        unwrapped(None, value(3)),
    ];
    let mut folder = Folder::default();
    let tables = folder.fold(&events).unwrap();
    let [Step::Rows(set), Step::WithoutKey(appended)] = &tables[0].steps[..] else {
        panic!("unexpected steps {:?}", tables[0].steps)
    };
    assert_eq!((set.keys.len(), set.schema.key()), (1, &[0usize][..]));
    assert_eq!(appended.rows.len(), 1);
    let id = set.schema.id();
    let again = folder.fold(&events).unwrap();
    assert!(matches!(&again[0].steps[0], Step::Rows(set) if set.schema.id() == id));
}

#[test]
fn a_tombstone_deletes_its_key_and_after_a_delete_says_nothing_new() {
    let key = order(1, 0, None).key().unwrap();
    let events = [
        event(Change::create(order(1, 1, Some(1)))),
        event(Change::delete(row(&ORDERS, [Some(1), None, None]))),
        unwrapped(Some(&key), Payload::Absent),
        unwrapped(None, Payload::Absent),
    ];
    let tables = fold(&events);
    let [Step::Rows(set)] = &tables[0].steps[..] else { panic!("unexpected steps") };
    assert_eq!(set.keys.len(), 1);
    assert!(set.keys[0].delete && matches!(set.keys[0].write, Write::Nothing));
}
