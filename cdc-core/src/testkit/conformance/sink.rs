//! The contracts of a [`Sink`].
//!
//! The events are those of [`shop`]: orders with a key, visits without one.

use std::sync::Arc;

use async_trait::async_trait;

use crate::batch::Batch;
use crate::error::ErrorKind;
use crate::event::{Change, ChangeEvent, Destination};
use crate::offset::Offset;
use crate::origin::{Origin, SnapshotMark, TransactionOrigin};
use crate::schema::Schema;
use crate::sink::{Ack, Delivery, Sink};
use crate::testkit::shop;
use crate::value::Value;

/// A target, and the sinks on it.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// A new instance of the sink on the same target, not opened.
    async fn instance(&self) -> Box<dyn Sink>;

    /// The rows of `public.orders` or `public.visits` in the target, as `(id, note)`, sorted; `None` when there is no such table.
    async fn rows(&self, table: &str) -> Option<Vec<(i64, Option<String>)>>;

    /// Empties the target: tables and offsets are gone.
    async fn reset(&self);
}

const PIPELINE: &str = "conformance";

/// All contracts that the sink's [`Delivery`] promises.
///
/// # Panics
/// When one is not kept.
pub async fn all(fixture: &dyn Fixture) {
    empty_tables_exist(fixture).await;
    a_change_that_lacks_columns_leaves_them_alone(fixture).await;
    a_change_of_the_key_moves_the_row(fixture).await;
    what_is_acknowledged_survives_the_instance(fixture).await;
    match fixture.instance().await.delivery() {
        Delivery::Transactional => {
            the_offset_is_committed_with_the_data(fixture).await;
            an_older_instance_is_fenced(fixture).await;
            looking_does_not_fence(fixture).await;
            an_empty_batch_moves_the_offset(fixture).await;
            rows_without_a_key_are_matched_one_by_one(fixture).await;
        }
        Delivery::Idempotent | Delivery::Versioned => {
            repeated_writes_end_in_the_same_state(fixture).await;
        }
        Delivery::AtLeastOnce => {}
    }
}

/// The offset that is reached after so many batches.
fn at(batch: u64) -> Offset {
    format!(r#"{{"batch":{batch},"cdc":{{"phase":"streaming"}}}}"#).parse().unwrap()
}

/// A batch with its number and changes, tables announced before the first.
fn batch(number: u64, changes: Vec<Change>) -> Arc<Batch> {
    let transaction = Arc::new(TransactionOrigin {
        connector: "memory",
        database: "shop".into(),
        id: None,
        commit_time_us: Some(0),
        position: [number, number],
        previous_commit: None,
        replicated_from: None,
    });
    let tables = [shop::orders(), shop::visits()].map(Change::table);
    let announced = tables.into_iter().filter(|_| number == 1);
    let events = announced.chain(changes).zip(0..).map(|(change, index)| {
        let table = change.schema.table().cloned().unwrap();
        let origin = Origin {
            transaction: Arc::clone(&transaction),
            index,
            log_position: number,
            table: Some(Arc::new(table.clone())),
            snapshot: SnapshotMark::No,
            shown_by_snapshot: false,
            batch: number,
            place: 0,
        };
        ChangeEvent::change(Destination::of_table(&table), change, origin)
    });
    Arc::new(Batch { sequence: number, ..Batch::new(events.collect(), at(number)) })
}

fn order(id: i64, note: &str) -> Change {
    Change::create(shop::order(id, note))
}

async fn open(fixture: &dyn Fixture) -> Box<dyn Sink> {
    let mut sink = fixture.instance().await;
    sink.open().await.unwrap();
    if let Some(sink) = sink.transactional() {
        sink.load(PIPELINE).await.unwrap();
    }
    sink
}

/// Makes a batch durable, in whatever way the sink does it.
async fn land(sink: &mut dyn Sink, batch: Arc<Batch>) {
    let outcome = if let Some(sink) = sink.transactional() {
        sink.commit(batch).await.unwrap()
    } else {
        match sink.write(batch).await.unwrap() {
            Ack::Durable(outcome) => outcome,
            Ack::Pending(pending) => pending.await.unwrap(),
        }
    };
    assert!(outcome.rejected.is_empty(), "rejected: {:?}", outcome.rejected);
}

async fn assert_orders(fixture: &dyn Fixture, expected: &[(i64, Option<&str>)]) {
    assert_rows(fixture, &shop::orders(), expected).await;
}

async fn assert_rows(fixture: &dyn Fixture, schema: &Schema, expected: &[(i64, Option<&str>)]) {
    let table = schema.table().unwrap().to_string();
    let expected: Vec<_> =
        expected.iter().map(|(id, note)| (*id, note.map(str::to_owned))).collect();
    assert_eq!(fixture.rows(&table).await, Some(expected), "{table}");
}

/// A table that announces itself exists in the target, without a row.
///
/// # Panics
/// When it does not.
pub async fn empty_tables_exist(fixture: &dyn Fixture) {
    fixture.reset().await;
    let mut sink = open(fixture).await;
    land(&mut *sink, batch(1, vec![])).await;
    // A table may announce itself at any time again.
    land(&mut *sink, batch(2, vec![Change::table(shop::orders()), order(1, "pen")])).await;
    assert_orders(fixture, &[(1, Some("pen"))]).await;
    assert_rows(fixture, &shop::visits(), &[]).await;
    sink.close().await.unwrap();
}

/// A column that was not sent is neither NULL nor anything else: it stays.
///
/// # Panics
/// When it does not.
pub async fn a_change_that_lacks_columns_leaves_them_alone(fixture: &dyn Fixture) {
    fixture.reset().await;
    let mut sink = open(fixture).await;
    let unsent = |id| shop::order(id, Value::Unavailable);
    land(
        &mut *sink,
        batch(1, vec![order(1, "pen"), order(2, "ink"), Change::update(None, unsent(1))]),
    )
    .await;
    land(&mut *sink, batch(2, vec![Change::update(None, unsent(2))])).await;
    assert_orders(fixture, &[(1, Some("pen")), (2, Some("ink"))]).await;
    land(&mut *sink, batch(3, vec![Change::update(None, shop::order(1, None::<&str>))])).await;
    assert_orders(fixture, &[(1, None), (2, Some("ink"))]).await;
    sink.close().await.unwrap();
}

/// A change of the key moves the row; keys can be swapped through a temporary one.
///
/// # Panics
/// When a row is lost, doubled or not moved.
pub async fn a_change_of_the_key_moves_the_row(fixture: &dyn Fixture) {
    fixture.reset().await;
    let mut sink = open(fixture).await;
    let moved =
        |from, to, note: &str| Change::update(Some(shop::order(from, note)), shop::order(to, note));
    land(&mut *sink, batch(1, vec![order(1, "pen"), order(2, "ink"), order(3, "cup")])).await;
    let swap = vec![moved(1, 9, "pen"), moved(2, 1, "ink"), moved(9, 2, "pen"), moved(3, 4, "cup")];
    land(&mut *sink, batch(2, swap)).await;
    assert_orders(fixture, &[(1, Some("ink")), (2, Some("pen")), (4, Some("cup"))]).await;
    let replaced = vec![
        Change::delete(shop::order(4, "cup")),
        order(4, "mug"),
        Change::delete(shop::order(1, "ink")),
    ];
    land(&mut *sink, batch(3, replaced)).await;
    assert_orders(fixture, &[(2, Some("pen")), (4, Some("mug"))]).await;
    land(&mut *sink, batch(4, vec![Change::truncate(shop::orders()), order(5, "new")])).await;
    assert_orders(fixture, &[(5, Some("new"))]).await;
    sink.close().await.unwrap();
}

/// What was acknowledged is there although the instance was dropped without closing it.
///
/// # Panics
/// When it is not.
pub async fn what_is_acknowledged_survives_the_instance(fixture: &dyn Fixture) {
    fixture.reset().await;
    let mut sink = open(fixture).await;
    land(&mut *sink, batch(1, vec![order(1, "pen")])).await;
    drop(sink);
    assert_orders(fixture, &[(1, Some("pen"))]).await;
}

/// Writing the newest batches again, in order, changes nothing.
///
/// # Panics
/// When it does.
pub async fn repeated_writes_end_in_the_same_state(fixture: &dyn Fixture) {
    fixture.reset().await;
    let mut sink = open(fixture).await;
    let changed = Change::update(None, shop::order(1, "pencil"));
    let batches = [
        batch(1, vec![order(1, "pen"), order(2, "ink")]),
        batch(2, vec![changed, Change::delete(shop::order(2, "ink"))]),
        batch(3, vec![order(2, "blue ink")]),
    ];
    for batch in batches.iter().chain(&batches).chain(&batches[1..]) {
        land(&mut *sink, Arc::clone(batch)).await;
    }
    assert_orders(fixture, &[(1, Some("pencil")), (2, Some("blue ink"))]).await;
    sink.close().await.unwrap();
}

/// The next instance finds the offset of the last commit, together with its data.
///
/// # Panics
/// When it does not.
pub async fn the_offset_is_committed_with_the_data(fixture: &dyn Fixture) {
    fixture.reset().await;
    let mut sink = fixture.instance().await;
    sink.open().await.unwrap();
    let transactional = sink.transactional().unwrap();
    assert_eq!(transactional.load(PIPELINE).await.unwrap(), None, "a first start has no offset");
    land(&mut *sink, batch(1, vec![order(1, "pen")])).await;
    land(&mut *sink, batch(2, vec![order(2, "ink")])).await;
    drop(sink);
    let mut other = fixture.instance().await;
    other.open().await.unwrap();
    let loaded = other.transactional().unwrap().load("another pipeline").await.unwrap();
    assert_eq!(loaded, None, "pipelines do not see each other");
    other.close().await.unwrap();
    let mut next = fixture.instance().await;
    next.open().await.unwrap();
    let transactional = next.transactional().unwrap();
    assert_eq!(transactional.load(PIPELINE).await.unwrap(), Some(at(2)));
    transactional.forget(PIPELINE).await.unwrap();
    next.close().await.unwrap();
    let mut last = fixture.instance().await;
    last.open().await.unwrap();
    assert_eq!(
        last.transactional().unwrap().load(PIPELINE).await.unwrap(),
        None,
        "it was forgotten"
    );
    assert_orders(fixture, &[(1, Some("pen")), (2, Some("ink"))]).await;
    last.close().await.unwrap();
}

/// Once a newer instance was loaded the older one writes nothing, and does not take the fence back by loading again.
///
/// # Panics
/// When it does, or when the error is of another kind.
pub async fn an_older_instance_is_fenced(fixture: &dyn Fixture) {
    fixture.reset().await;
    let mut old = open(fixture).await;
    land(&mut *old, batch(1, vec![order(1, "pen")])).await;
    let mut new = open(fixture).await;
    let error =
        old.transactional().unwrap().commit(batch(2, vec![order(2, "old")])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    old.open().await.unwrap();
    let error = old.transactional().unwrap().load(PIPELINE).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    land(&mut *new, batch(2, vec![order(2, "new")])).await;
    assert_orders(fixture, &[(1, Some("pen")), (2, Some("new"))]).await;
    // An instance that was not superseded may load again, as it does after a failure.
    new.open().await.unwrap();
    assert_eq!(new.transactional().unwrap().load(PIPELINE).await.unwrap(), Some(at(2)));
    land(&mut *new, batch(3, vec![order(3, "cup")])).await;
    new.close().await.unwrap();
}

/// `peek` gives the offset and leaves the fence where it is.
///
/// # Panics
/// When it does not.
pub async fn looking_does_not_fence(fixture: &dyn Fixture) {
    fixture.reset().await;
    let mut running = open(fixture).await;
    land(&mut *running, batch(1, vec![order(1, "pen")])).await;
    let mut waiting = fixture.instance().await;
    waiting.open().await.unwrap();
    let seen = waiting.transactional().unwrap().peek(PIPELINE).await.unwrap();
    assert_eq!(seen, Some(at(1)));
    land(&mut *running, batch(2, vec![order(2, "ink")])).await;
    running.close().await.unwrap();
}

/// A batch without events is committed for its offset.
///
/// # Panics
/// When it is not.
pub async fn an_empty_batch_moves_the_offset(fixture: &dyn Fixture) {
    fixture.reset().await;
    let mut sink = open(fixture).await;
    land(&mut *sink, Arc::new(Batch { sequence: 1, ..Batch::empty(at(1)) })).await;
    drop(sink);
    let mut next = fixture.instance().await;
    next.open().await.unwrap();
    assert_eq!(next.transactional().unwrap().load(PIPELINE).await.unwrap(), Some(at(1)));
    next.close().await.unwrap();
}

/// Rows of a table without a key are appended; an update or a delete takes one that is equal.
///
/// # Panics
/// When it takes none or several.
pub async fn rows_without_a_key_are_matched_one_by_one(fixture: &dyn Fixture) {
    fixture.reset().await;
    let mut sink = open(fixture).await;
    let visit = |note: &str| Change::create(shop::visit(1, note));
    land(
        &mut *sink,
        batch(
            1,
            vec![visit("a"), visit("a"), visit("a"), Change::create(shop::visit(2, None::<&str>))],
        ),
    )
    .await;
    let changes = vec![
        Change::delete(shop::visit(1, "a")),
        Change::update(Some(shop::visit(1, "a")), shop::visit(1, "b")),
        Change::delete(shop::visit(2, None::<&str>)),
    ];
    land(&mut *sink, batch(2, changes)).await;
    assert_rows(fixture, &shop::visits(), &[(1, Some("a")), (1, Some("b"))]).await;
    sink.close().await.unwrap();
}
