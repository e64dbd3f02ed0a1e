//! Snapshots on demand while writers go on: the target ends equal, and no row in it ever goes back.

#![allow(clippy::unwrap_used)]

mod support;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cdc_core::{Operation, Request, SnapshotMark, SnapshotOf, Source as _, TableId, Value};
use cdc_pgconn::SqlClient;
use cdc_testservers::Options as ServerOptions;
use support::{Copy, TestDatabase};
use tokio::task::JoinHandle;

const WRITERS: u64 = 3;
const ROWS: u64 = 6_000;

fn item() -> TableId {
    TableId::new("public", "item")
}

async fn items(database: &TestDatabase) {
    database
        .run(&format!(
            "CREATE TABLE item (id bigint PRIMARY KEY, version bigint NOT NULL, note text, big text);
             ALTER TABLE item ALTER big SET STORAGE EXTERNAL;
             INSERT INTO item SELECT i, 0, 'first', CASE WHEN i % 10 = 0 THEN repeat(md5(i::text), 100) END
             FROM generate_series(0, {ROWS} - 1) i"
        ))
        .await;
}

/// Small, repeatable numbers.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Writers that go on until they are told to stop. Each has keys of its own, so that versions of a key only rise.
struct Writers {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<u64>>,
}

impl Writers {
    async fn start(database: &TestDatabase) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = Vec::new();
        for writer in 0..WRITERS {
            let session = database.session().await;
            tasks.push(tokio::spawn(write(session, writer, Arc::clone(&stop))));
        }
        Writers { stop, tasks }
    }

    async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let mut written = 0;
        for task in self.tasks {
            written += task.await.unwrap();
        }
        written
    }
}

async fn write(session: SqlClient, writer: u64, stop: Arc<AtomicBool>) -> u64 {
    let mut dice = Dice(writer + 7);
    let mut version = 1u64;
    while !stop.load(Ordering::Relaxed) {
        let mut statements = String::from("BEGIN;");
        for _ in 0..=dice.roll(4) {
            version += 1;
            let mut key = || dice.roll(ROWS / WRITERS) * WRITERS + writer;
            let (id, other) = (key(), key());
            statements += &match dice.roll(8) {
                0 => format!("DELETE FROM item WHERE id = {id};"),
                1 => format!(
                    "INSERT INTO item VALUES ({id}, {version}, 'new', repeat('n', 9000)) \
                     ON CONFLICT (id) DO UPDATE SET version = {version}, big = excluded.big;"
                ),
                // A key change that leaves the large value out.
                2 => format!(
                    "DELETE FROM item WHERE id = {other} AND {other} <> {id}; \
                     UPDATE item SET id = {other}, version = {version} WHERE id = {id};"
                ),
                _ => format!(
                    "UPDATE item SET version = {version}, note = 'n{version}' WHERE id = {id};"
                ),
            };
        }
        statements += "COMMIT";
        session.batch_execute(&statements).await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    version
}

fn rows_given(copy: &Copy) -> usize {
    let reads = copy.target.of("public.item", Operation::Read);
    reads.iter().filter(|row| row.origin().snapshot == SnapshotMark::Incremental).count()
}

#[tokio::test]
async fn under_writers_the_target_ends_equal_and_no_row_goes_back() {
    for connections in [1, 3] {
        let database = TestDatabase::create().await;
        items(&database).await;
        let writers = Writers::start(&database).await;
        let builder =
            || database.source().snapshot_connections(NonZeroUsize::new(connections).unwrap());
        // Only what changes: the rows are not there yet.
        let mut copy = Copy::new(builder().snapshot(cdc_postgres::SnapshotMode::NoData));
        copy.start().await.unwrap();
        copy.until(|copy| !copy.target.events.is_empty()).await.unwrap();
        copy.ask(Request::snapshot([item()]));
        copy.until(|copy| !copy.left().is_empty()).await.unwrap();
        copy.until_read().await.unwrap();
        let rows = rows_given(&copy);
        assert!(rows > 1_000, "{rows} rows were read");
        let written = writers.stop().await;
        assert!(written > 50, "{written}");
        copy.finish(&database).await;
    }
}

#[tokio::test]
async fn after_a_kill_the_chunks_that_are_left_are_read() {
    let database = TestDatabase::create().await;
    items(&database).await;
    let writers = Writers::start(&database).await;
    let builder = || database.source().snapshot(cdc_postgres::SnapshotMode::NoData);
    let mut copy = Copy::new(builder());
    copy.context.limits.max_events = 100;
    copy.start().await.unwrap();
    copy.until(|copy| !copy.target.events.is_empty()).await.unwrap();
    copy.ask(Request::snapshot([item()]));
    copy.until(|copy| !copy.left().is_empty()).await.unwrap();
    let mut kills = 0usize;
    while !copy.left().is_empty() {
        copy.kill(builder()).await;
        copy.start().await.unwrap();
        kills += 1;
        // In the middle of a chunk, and behind one.
        let until = rows_given(&copy) + [5_500, 900][kills % 2];
        copy.until(|copy| copy.left().is_empty() || rows_given(copy) >= until).await.unwrap();
    }
    assert!(kills >= 2, "{kills} kills");
    writers.stop().await;
    copy.finish(&database).await;
}

#[tokio::test]
async fn requests_are_refused_by_the_table_they_name_and_held_by_the_offset() {
    let database = TestDatabase::create().await;
    items(&database).await;
    database
        .run("CREATE TABLE keyless (line int); INSERT INTO keyless SELECT generate_series(1, 700)")
        .await;
    let mut copy = Copy::of(&database).await;
    let nobody = TableId::new("public", "nobody");
    let mut asked = copy.ask(Request::snapshot([item(), nobody]));
    let writer = database.session().await;
    let refusal = loop {
        writer.batch_execute("UPDATE item SET note = 'again' WHERE id = 1").await.unwrap();
        copy.step().await.unwrap();
        if let Some(refusal) = asked.refusal() {
            break refusal;
        }
    };
    assert!(refusal.to_string().contains("public.nobody"), "{refusal}");
    assert!(!refusal.to_string().contains("public.item"), "{refusal}");

    // Halted, what is left stays in the offset, across a start too.
    copy.ask(Request::PauseSnapshot);
    copy.ask(Request::snapshot([item()]));
    copy.until(|copy| copy.left() == ["item"]).await.unwrap();
    copy.kill(database.source()).await;
    copy.start().await.unwrap();
    writer.batch_execute("UPDATE item SET note = 'halted' WHERE id = 1").await.unwrap();
    copy.step().await.unwrap();
    assert_eq!(rows_given(&copy), 0);
    copy.ask(Request::ResumeSnapshot);
    copy.until_read().await.unwrap();
    assert_eq!(rows_given(&copy) as u64, ROWS);

    // A part of a table, and all of one without a key.
    let before = copy.target.events.len();
    let part = SnapshotOf { table: item(), condition: Some("id < 50".to_owned()) };
    let keyless = TableId::new("public", "keyless").into();
    copy.ask(Request::Snapshot { tables: vec![part, keyless] });
    copy.until(|copy| !copy.left().is_empty()).await.unwrap();
    copy.until_read().await.unwrap();
    let of = |name: &str| {
        let rows = copy.target.events[before..].iter();
        rows.filter(|event| {
            event.destination.as_str() == name && event.operation() == Some(Operation::Read)
        })
        .count()
    };
    assert_eq!((of("public.item"), of("public.keyless")), (50, 700));

    // Given up.
    copy.ask(Request::PauseSnapshot);
    copy.ask(Request::snapshot([item()]));
    copy.ask(Request::StopSnapshot { tables: vec![item()] });
    copy.ask(Request::ResumeSnapshot);
    copy.until(|copy| copy.left() == ["item"]).await.unwrap();
    copy.until_read().await.unwrap();
    copy.finish(&database).await;
}

#[tokio::test]
async fn a_row_that_a_filter_lets_in_without_its_toast_value_is_read() {
    let database = TestDatabase::create().await;
    if database.lacks("the row filter", 15) {
        return;
    }
    database
        .run(
            "CREATE TABLE t (id int PRIMARY KEY, visible bool, large text, UNIQUE (id, visible));
             ALTER TABLE t ALTER large SET STORAGE EXTERNAL, ALTER visible SET NOT NULL;
             ALTER TABLE t REPLICA IDENTITY USING INDEX t_id_visible_key;
             INSERT INTO t VALUES (1, false, repeat('x', 10000)), (2, true, 'short');
             CREATE PUBLICATION filtered FOR TABLE t WHERE (visible)",
        )
        .await;
    let mut copy =
        Copy::new(database.source().publication_name("filtered").create_publication(false));
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    assert_eq!(copy.target.of("public.t", cdc_core::Operation::Read).len(), 1);
    database.run("UPDATE t SET visible = true WHERE id = 1").await;
    // The log has an insert that lacks the value, and nothing is being read.
    copy.until(|copy| !copy.left().is_empty()).await.unwrap();
    copy.until_read().await.unwrap();
    let rows = copy.target.of("public.t", Operation::Read);
    let read = rows.last().unwrap().after().unwrap();
    assert_eq!(read.by_name("large").unwrap().to_value(), Value::text("x".repeat(10_000)));

    database.run("UPDATE t SET visible = false WHERE id = 1").await;
    copy.catch_up().await.unwrap();
    assert_eq!(copy.target.contents()["public.t"].len(), 1);
    copy.source.close().await.unwrap();
}

#[tokio::test]
async fn on_a_server_that_goes_idle_right_after_a_switch_of_the_log_a_snapshot_ends() {
    let database = TestDatabase::on_own_server(ServerOptions::new()).await;
    items(&database).await;
    let mut copy = Copy::of(&database).await;
    for _ in 0..3 {
        // The log ends behind a page's header that nothing follows: the stream never comes to its end as it is written.
        database.run("SELECT txid_current(); SELECT pg_switch_wal()").await;
        copy.ask(Request::snapshot([item()]));
        let ends = async {
            copy.until(|copy| copy.left() == ["item"]).await?;
            copy.until_read().await
        };
        tokio::time::timeout(Duration::from_secs(10), ends).await.expect("it ends").unwrap();
    }
    assert_eq!(rows_given(&copy) as u64, 3 * ROWS);
    copy.finish(&database).await;
}
