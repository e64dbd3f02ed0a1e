//! What a merge does for its source, one behaviour at a time.

use std::sync::Arc;
use std::time::Duration;

use super::{
    Began, FirstReads, Key, KeyRange, Merge, MergeOptions, Read, Region, SnapshotState, Stamp,
    TablePhase, TablePlan, Visible,
};
use crate::batch::BatchLimits;
use crate::data_type::DataType;
use crate::event::{Change, ChangeEvent, Destination, Operation};
use crate::origin::{Origin, SnapshotMark, TransactionId, TransactionOrigin};
use crate::row::Row;
use crate::schema::{Field, Schema, TableId};
use crate::value::Value;

/// The ids that are visible.
#[derive(Debug, Clone)]
struct Ids(Vec<u32>);

impl Visible for Ids {
    const EXACT: bool = true;
    type Position = u64;
    type Barrier = Vec<u32>;

    fn shows(&self, transaction: &TransactionOrigin) -> bool {
        matches!(transaction.id, Some(TransactionId::Xid(id)) if self.0.contains(&id))
    }

    fn clears(&self, barrier: &mut Vec<u32>) -> bool {
        barrier.retain(|id| !self.0.contains(id));
        barrier.is_empty()
    }

    fn came_by(barrier: &mut Vec<u32>, transaction: &TransactionOrigin) -> bool {
        barrier.retain(|id| transaction.id != Some(TransactionId::Xid(*id)));
        barrier.is_empty()
    }
}

fn table() -> TableId {
    TableId::new("public", "orders")
}

fn schema() -> Arc<Schema> {
    let note = Field::optional("note", DataType::TEXT);
    let builder = Schema::builder().table(table()).field(Field::required("id", DataType::Int32));
    builder.field(note).key(["id"]).build().unwrap()
}

fn row(schema: &Arc<Schema>, id: i32, note: impl Into<Value>) -> Row {
    Row::new(Arc::clone(schema), vec![id.into(), note.into()]).unwrap()
}

fn key(id: i32) -> Key {
    Key::new([Value::Int32(id)]).unwrap()
}

struct Story {
    merge: Merge<Ids>,
    schema: Arc<Schema>,
    position: u64,
    given: Vec<ChangeEvent>,
}

impl Story {
    fn new(options: MergeOptions) -> Story {
        let merge = Merge::new(options, 0, SnapshotState::default());
        Story { merge, schema: schema(), position: 0, given: Vec::new() }
    }

    /// A story in which the table is being read, and nothing is unknown.
    fn of_a_snapshot(options: MergeOptions) -> Story {
        let mut story = Story::new(options);
        story.merge.request([TablePlan::new(table(), ["id"])], FirstReads::Own);
        story.clear();
        story
    }

    fn clear(&mut self) {
        let ticket = self.merge.wants_barrier().unwrap();
        self.merge.barrier(ticket, &vec![]);
        self.merge.observed(Ids(vec![]));
    }

    /// A transaction of one change.
    fn commits(&mut self, id: u32, change: Change) {
        self.position += 1;
        let transaction = transaction(Some(id), self.position);
        let origin = Origin {
            transaction: Arc::clone(&transaction),
            index: 0,
            log_position: self.position,
            table: Some(Arc::new(table())),
            snapshot: SnapshotMark::No,
            shown_by_snapshot: false,
            batch: 0,
            place: 0,
        };
        let event = ChangeEvent::change(Destination::of_table(&table()), change, origin);
        self.merge.begin(&transaction);
        self.merge.change(event, &mut self.given).unwrap();
        self.merge.commit(self.position).unwrap();
    }

    fn begins(&mut self, read: &Read, visible: &[u32]) {
        let began = Began {
            visible: Ids(visible.to_vec()),
            horizon: self.position,
            schema: Arc::clone(&self.schema),
            destination: Destination::of_table(&table()),
        };
        self.merge.read_began(read.id, began);
    }

    fn ends(&mut self, read: &Read, rows: Vec<Row>, at_end: bool) {
        let bytes = rows.iter().map(Row::size).sum();
        self.merge.read_rows(read.id, rows, bytes);
        self.merge.read_ended(read.id, at_end, Duration::from_millis(1)).unwrap();
        let stamp =
            Stamp { transaction: transaction(None, self.position), log_position: self.position };
        self.merge.take(&BatchLimits::default(), &stamp, |event, _| self.given.push(event));
    }

    fn operations(&self) -> Vec<Operation> {
        self.given.iter().filter_map(ChangeEvent::operation).collect()
    }
}

fn transaction(id: Option<u32>, position: u64) -> Arc<TransactionOrigin> {
    Arc::new(TransactionOrigin {
        connector: "postgresql",
        database: "shop".into(),
        id: id.map(TransactionId::Xid),
        commit_time_us: None,
        position: [position, 0],
        previous_commit: None,
        replicated_from: None,
    })
}

#[test]
fn an_insert_that_lacks_columns_has_its_key_read_also_when_no_snapshot_runs() {
    let mut story = Story::new(MergeOptions::default());
    let schema = Arc::clone(&story.schema);
    story.commits(7, Change::create(row(&schema, 5, Value::Unavailable)));
    assert_eq!(story.operations(), [Operation::Update], "no row is made without its columns");
    assert_eq!(story.merge.state().tables[0].again, [key(5)]);

    story.clear();
    assert!(story.merge.next_read().is_none(), "the transaction is not visible yet");
    story.merge.observed(Ids(vec![7]));
    let read = story.merge.next_read().unwrap();
    assert_eq!(read.region, Region::Keys(vec![key(5)]));
    story.begins(&read, &[7]);
    story.ends(&read, vec![row(&schema, 5, "whole")], true);
    assert_eq!(story.operations()[1..], [Operation::Read]);
    assert!(story.merge.state().is_done() && story.merge.is_idle());
}

#[test]
fn a_read_that_ends_early_leaves_the_rest_of_its_range() {
    let mut story = Story::of_a_snapshot(MergeOptions::default());
    let schema = Arc::clone(&story.schema);
    let read = story.merge.next_read().unwrap();
    assert!(story.merge.next_read().is_none(), "one range, one read");
    story.begins(&read, &[]);
    story.ends(&read, vec![row(&schema, 3, "a"), row(&schema, 8, "b")], false);
    let left = &story.merge.state().tables[0].left;
    assert_eq!(*left, [KeyRange { after: Some(key(8)), through: None }]);
    assert_eq!(story.merge.state().sent, 3, "the columns and two rows");
}

#[test]
fn rows_are_taken_before_the_stream_goes_on() {
    let mut story = Story::of_a_snapshot(MergeOptions::default());
    let schema = Arc::clone(&story.schema);
    let read = story.merge.next_read().unwrap();
    story.begins(&read, &[]);
    let read_row = row(&schema, 3, "a");
    let bytes = read_row.size();
    story.merge.read_rows(read.id, [read_row], bytes);
    story.merge.read_ended(read.id, true, Duration::ZERO).unwrap();
    let at = transaction(Some(9), 1);
    let origin = Origin {
        transaction: Arc::clone(&at),
        index: 0,
        log_position: 1,
        table: Some(Arc::new(table())),
        snapshot: SnapshotMark::No,
        shown_by_snapshot: false,
        batch: 0,
        place: 0,
    };
    let change = Change::create(row(&schema, 4, "b"));
    let event = ChangeEvent::change(Destination::of_table(&table()), change, origin);
    story.merge.begin(&at);
    let error = story.merge.change(event, &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("before the next change"), "{error}");
}

#[test]
fn the_stream_waits_for_rows_when_much_is_remembered_for_them() {
    let options = MergeOptions { max_remembered_bytes: 1_000, ..MergeOptions::default() };
    let mut story = Story::of_a_snapshot(options);
    let schema = Arc::clone(&story.schema);
    let read = story.merge.next_read().unwrap();
    story.begins(&read, &[]);
    let mut id = 100;
    while !story.merge.holds_stream() {
        story.commits(id, Change::delete(row(&schema, 1, "x")));
        id += 1;
    }
    let remembered = story.merge.progress()[0].remembered_bytes;
    assert!((1_000..2_000).contains(&remembered), "{remembered}");
    story.ends(&read, vec![row(&schema, 1, "x"), row(&schema, 2, "y")], true);
    assert!(!story.merge.holds_stream() && story.merge.is_idle());
    assert_eq!(story.given.last().and_then(|e| e.after().cloned()), Some(row(&schema, 2, "y")));
}

#[test]
fn past_the_bound_reads_wait_until_what_is_forgotten_is_visible() {
    let options = MergeOptions { max_remembered_bytes: 1_000, ..MergeOptions::default() };
    let mut story = Story::of_a_snapshot(options);
    let schema = Arc::clone(&story.schema);
    let read = story.merge.next_read().unwrap();
    for id in 100..150 {
        story.commits(id, Change::delete(row(&schema, 1, "x")));
        assert!(story.merge.progress()[0].remembered_bytes <= 1_000);
    }
    assert!(!story.merge.is_wanted(read.id), "it may not show what is forgotten");
    assert_eq!(story.merge.progress()[0].phase, TablePhase::Waiting);
    assert!(story.merge.next_read().is_none());
    story.merge.observed(Ids((100..150).collect()));
    assert!(story.merge.next_read().is_some());
}

#[test]
fn a_snapshot_that_is_halted_remembers_nothing_and_asks_anew() {
    let mut story = Story::of_a_snapshot(MergeOptions::default());
    let schema = Arc::clone(&story.schema);
    let read = story.merge.next_read().unwrap();
    story.merge.pause();
    assert!(!story.merge.is_wanted(read.id) && story.merge.wants_barrier().is_none());
    story.commits(7, Change::delete(row(&schema, 1, "x")));
    assert_eq!(story.merge.progress()[0].remembered_bytes, 0);
    story.merge.resume();
    story.clear();
    assert!(story.merge.next_read().is_some());
    assert!(story.merge.stop(&table()) && story.merge.is_idle());
}

#[test]
fn a_table_without_a_key_cannot_be_given_up_half_way() {
    let mut story = Story::new(MergeOptions::default());
    let plan = TablePlan::new(TableId::new("public", "log"), Vec::<String>::new());
    story.merge.request([plan], FirstReads::Own);
    assert!(!story.merge.stop(&TableId::new("public", "log")));
    assert!(!story.merge.is_idle());
}

#[test]
fn a_key_of_another_type_is_read_from_the_beginning() {
    let mut story = Story::of_a_snapshot(MergeOptions::default());
    let schema = Arc::clone(&story.schema);
    let read = story.merge.next_read().unwrap();
    story.begins(&read, &[]);
    story.ends(&read, vec![row(&schema, 5, "five"), row(&schema, 20, "twenty")], false);
    assert_eq!(story.merge.state().tables[0].left[0].after, Some(key(20)));

    // As a text 100 is before 20. The stream names the column by its next change of the table, if there is one at all.
    let read = story.merge.next_read().unwrap();
    let builder = Schema::builder().table(table()).field(Field::required("id", DataType::TEXT));
    let note = Field::optional("note", DataType::TEXT);
    story.schema = builder.field(note).key(["id"]).build().unwrap();
    story.begins(&read, &[]);
    assert!(!story.merge.is_wanted(read.id));
    assert_eq!(story.merge.state().tables[0].left, [KeyRange::all()]);
    let read = story.merge.next_read().unwrap();
    story.begins(&read, &[]);
    let row = Row::new(Arc::clone(&story.schema), vec!["100".into(), Value::Null]).unwrap();
    story.ends(&read, vec![row], true);
    assert!(story.merge.is_idle());
}
