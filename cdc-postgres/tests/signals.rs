//! Debezium's signals, as rows of a table and as lines of a file.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use cdc_core::testkit::MemoryTarget;
use cdc_core::{ErrorKind, Operation, Pipeline, SnapshotMark, Source as _};
use cdc_postgres::PostgresSource;
use support::{Copy, PATIENCE, TestDatabase};

const SIGNALS: &str = "public.debezium_signal";

async fn shop() -> TestDatabase {
    let database = TestDatabase::create().await;
    database
        .run(
            "CREATE TABLE debezium_signal (id varchar(42) PRIMARY KEY, type varchar(32) NOT NULL, data varchar(2048));
             CREATE TABLE orders (id int PRIMARY KEY, v int); CREATE TABLE users (id int PRIMARY KEY);
             INSERT INTO orders SELECT n, n FROM generate_series(1, 500) n; INSERT INTO users VALUES (1), (2)",
        )
        .await;
    database
}

fn source(database: &TestDatabase, more: &[(&str, &str)]) -> PostgresSource {
    let all = [&[("snapshot.mode", "no_data"), ("signal.data.collection", SIGNALS)], more].concat();
    database.connector(&all)
}

async fn started(database: &TestDatabase) -> Copy {
    let mut copy = Copy::from(source(database, &[]));
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    copy
}

async fn send(database: &TestDatabase, kind: &str, data: &str) {
    let id = format!("{kind}-{}", data.len());
    let insert = "INSERT INTO debezium_signal VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET id = excluded.id || 'x'";
    database.sql.execute(insert, &[&id, &kind, &data]).await.unwrap();
}

fn read(copy: &Copy, table: &str) -> usize {
    let rows = copy.target.of(table, Operation::Read);
    rows.iter().filter(|row| row.origin().snapshot == SnapshotMark::Incremental).count()
}

#[tokio::test]
async fn a_row_of_the_table_asks_for_a_snapshot_of_what_it_names() {
    let database = shop().await;
    let mut copy = started(&database).await;
    send(&database, "execute-snapshot", r#"{"data-collections":["PUBLIC\\.ord.*"]}"#).await;
    copy.until(|copy| read(copy, "public.orders") == 500).await.unwrap();
    copy.until_read().await.unwrap();
    assert_eq!(read(&copy, "public.users"), 0);

    let part = r#"{"data-collections":["public.orders","public.users"],
        "additional-conditions":[{"data-collection":"public.orders","filter":"v > 490"}]}"#;
    send(&database, "execute-snapshot", part).await;
    copy.until(|copy| read(copy, "public.users") == 2 && read(copy, "public.orders") == 510)
        .await
        .unwrap();
    let query = r#"{"type":"blocking","data-collections":["public.orders"],"additional-conditions":
        [{"data-collection":"public.orders","filter":"SELECT id, v + 1000 AS v FROM public.orders WHERE id <= 3"}]}"#;
    send(&database, "execute-snapshot", query).await;
    copy.until(|copy| read(copy, "public.orders") == 513).await.unwrap();
    copy.until_read().await.unwrap();
    // The signals themselves are changes like others.
    assert_eq!(copy.target.of(SIGNALS, Operation::Create).len(), 3);
    copy.source.close().await.unwrap();
}

#[tokio::test]
async fn snapshots_are_halted_gone_on_with_and_given_up() {
    let database = shop().await;
    let mut copy = started(&database).await;
    send(&database, "pause-snapshot", "{}").await;
    send(&database, "execute-snapshot", r#"{"data-collections":["public.orders","public.users"]}"#)
        .await;
    copy.until(|copy| copy.left().len() == 2).await.unwrap();
    send(&database, "stop-snapshot", r#"{"data-collections":["public.orders"]}"#).await;
    copy.until(|copy| copy.left() == ["users"]).await.unwrap();
    assert_eq!(read(&copy, "public.users"), 0, "halted");
    send(&database, "resume-snapshot", "").await;
    copy.until(|copy| read(copy, "public.users") == 2).await.unwrap();
    copy.until_read().await.unwrap();
    assert_eq!(read(&copy, "public.orders"), 0, "given up");
    copy.source.close().await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_carried_out_is_left_out() {
    let database = shop().await;
    let mut copy = started(&database).await;
    for (kind, data) in [
        ("execute-snapshot", "nonsense"),
        ("execute-snapshot", r#"{"data-collections":["public.unknown"]}"#),
        ("execute-snapshot", r#"{"data-collections":["public.users"],"surrogate-key":"id"}"#),
        (
            "execute-snapshot",
            r#"{"data-collections":["public.users"],"additional-conditions":[{"data-collection":".*","filter":"no_column = 1"}]}"#,
        ),
        ("some-other", "{}"),
        ("log", r#"{"message":"the offset is {}"}"#),
    ] {
        send(&database, kind, data).await;
    }
    send(&database, "execute-snapshot", r#"{"data-collections":["public.users"]}"#).await;
    copy.until(|copy| read(copy, "public.users") == 2).await.unwrap();
    copy.source.close().await.unwrap();
}

#[tokio::test]
async fn a_kill_after_a_signal_does_not_forget_it() {
    let database = shop().await;
    let mut copy = Copy::from(source(&database, &[("max.batch.size", "2")]));
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    // The signal is in the middle of a transaction, which is cut behind it.
    database
        .run(
            r#"BEGIN; INSERT INTO users VALUES (11);
               INSERT INTO debezium_signal VALUES ('1', 'execute-snapshot', '{"data-collections":["public.orders"]}');
               INSERT INTO users SELECT generate_series(20, 60); COMMIT"#,
        )
        .await;
    copy.until(|copy| copy.target.of(SIGNALS, Operation::Create).len() == 1).await.unwrap();
    assert!(copy.left().is_empty(), "the transaction has not ended");
    copy.replace(source(&database, &[])).await;
    copy.start().await.unwrap();
    copy.until(|copy| read(copy, "public.orders") == 500).await.unwrap();
    copy.until_read().await.unwrap();
    assert_eq!(copy.target.contents()["public.users"].len(), 42);
    assert_eq!(copy.target.of(SIGNALS, Operation::Create).len(), 1);
    copy.source.close().await.unwrap();
}

fn append(path: &Path, line: &str) {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    writeln!(file, "{line}").unwrap();
}

#[tokio::test]
async fn lines_of_a_file_are_carried_out_and_taken_out_when_that_is_saved() {
    let database = shop().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("signals");
    let channel = [
        ("signal.enabled.channels", "file"),
        ("signal.file", path.to_str().unwrap()),
        ("signal.poll.interval.ms", "20"),
    ];
    append(&path, "no signal");
    append(
        &path,
        r#"{"id":"1","type":"execute-snapshot","data":{"data-collections":["public.orders"]}}"#,
    );
    let target = MemoryTarget::new();
    let pipeline = Pipeline::builder("shop", source(&database, &channel))
        .sink(target.transactional("target"))
        .build()
        .unwrap();
    let handle = pipeline.spawn();
    until(|| target.rows("public.orders").len() == 500).await;
    until(|| std::fs::metadata(&path).unwrap().len() == 0).await;
    append(
        &path,
        r#"{"id":"2","type":"execute-snapshot","data":{"data-collections":["public.users"]}}"#,
    );
    // Rows of the table are not looked at.
    send(&database, "execute-snapshot", r#"{"data-collections":["public.unknown"]}"#).await;
    until(|| target.rows("public.users").len() == 2).await;
    handle.stop();
    handle.join().await.unwrap();
}

async fn until(done: impl Fn() -> bool) {
    tokio::time::timeout(PATIENCE, async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("in time");
}

#[tokio::test]
async fn a_table_for_signals_that_is_not_followed_is_an_error() {
    let database = shop().await;
    let list = ("table.include.list", "public.orders");
    let mut copy = Copy::from(source(&database, &[list]));
    copy.start().await.unwrap();
    let error = copy.until_error().await;
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains(SIGNALS), "{error}");
}
