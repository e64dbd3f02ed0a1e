//! Large transactions that the server sends before they are committed: interleaved, taken back in parts, spilled to disk,
//! and the same events as without.

#![allow(clippy::unwrap_used)]

mod support;

use cdc_core::{ChangeEvent, Operation, Source as _};
use cdc_pgconn::{Session, SqlClient, connect_sql};
use support::{Copy, TestDatabase};

async fn session(database: &TestDatabase) -> SqlClient {
    connect_sql(&database.config, &Session::default()).await.unwrap()
}

/// Two sessions whose transactions are sent in turn, with subtransactions that are rolled back after they were sent.
async fn change(database: &TestDatabase, round: i32) {
    let other = session(database).await;
    let fill = |table: &str, from: i32| {
        format!(
            "INSERT INTO {table} SELECT i, repeat(md5(i::text), 8) \
             FROM generate_series({round} * 100000 + {from}, {round} * 100000 + {from} + 399) i;"
        )
    };
    database.run(&format!("BEGIN; {}", fill("one", 0))).await;
    let begin = format!("BEGIN; {}", fill("two", 0));
    other.batch_execute(&begin).await.unwrap();
    database
        .run(&format!(
            "SAVEPOINT a; {} SAVEPOINT b; {} RELEASE b; ROLLBACK TO a; {}",
            fill("one", 1000),
            fill("three", 1000),
            fill("one", 2000)
        ))
        .await;
    // The log describes the table within a subtransaction that never was.
    other
        .batch_execute(&format!(
            "SAVEPOINT a; ALTER TABLE two ADD gone int DEFAULT 5; {} ROLLBACK TO a; {} \
             UPDATE two SET note = 'u' WHERE id % 7 = 0; DELETE FROM two WHERE id % 11 = 0",
            "INSERT INTO two SELECT i, 'never', i FROM generate_series(-400, -1) i;",
            fill("two", 3000)
        ))
        .await
        .unwrap();
    // Small ones pass by meanwhile.
    let small = session(database).await;
    small.batch_execute("UPDATE four SET n = n + 1").await.unwrap();
    let end = if round % 3 == 0 { "ROLLBACK" } else { "COMMIT" };
    database
        .run(&format!(
            "TRUNCATE three; {} SELECT pg_logical_emit_message(true, 'p', 'm'); COMMIT",
            fill("three", 0)
        ))
        .await;
    small.batch_execute("UPDATE four SET n = n + 1").await.unwrap();
    other.batch_execute(end).await.unwrap();
}

async fn database() -> TestDatabase {
    let database = TestDatabase::create().await;
    database
        .run(
            "CREATE TABLE one (id int PRIMARY KEY, note text);
             CREATE TABLE two (id int PRIMARY KEY, note text);
             CREATE TABLE three (id int, note text);
             CREATE TABLE four (n int PRIMARY KEY); INSERT INTO four VALUES (0)",
        )
        .await;
    let name = &database.name;
    // The server sends, or before PostgreSQL 14 writes to its disk, what is beyond this.
    if database.sql.server_version() >= 130_000 {
        database
            .run(&format!("ALTER DATABASE {name:?} SET logical_decoding_work_mem = '64kB'"))
            .await;
    }
    database
}

#[tokio::test]
async fn a_kill_at_any_batch_loses_and_repeats_nothing() {
    let database = database().await;
    for spill_above in [0, 100_000] {
        let source = || database.source().spill_above(spill_above);
        let mut copy = Copy::new(source());
        copy.context.limits.max_events = 150;
        copy.start().await.unwrap();
        copy.catch_up().await.unwrap();
        for round in 1..=3 {
            let round = round + i32::try_from(spill_above).unwrap() / 10_000;
            change(&database, round).await;
            for batches in 0..5 {
                for _ in 0..batches {
                    copy.step().await.unwrap();
                }
                copy.kill(source()).await;
                copy.start().await.unwrap();
            }
        }
        copy.finish(&database).await;
        copy.source.remove("test").await.unwrap();
    }
}

/// What tells an event apart, and its content.
fn essence(event: &ChangeEvent) -> String {
    let origin = event.origin();
    let place = (origin.transaction.position[0], origin.index, origin.log_position);
    format!("{place:?} {:?} {:?}", event.operation(), event.after())
}

#[tokio::test]
async fn the_events_and_their_places_are_the_same_as_without() {
    let database = database().await;
    let source = |name: &str, in_progress| {
        let name = format!("{}_{name}", database.slot());
        database
            .source()
            .slot_name(name.as_str())
            .publication_name(name)
            .spill_above(50_000)
            .stream_in_progress(in_progress)
    };
    let mut copies = [Copy::new(source("with", true)), Copy::new(source("without", false))];
    for copy in &mut copies {
        copy.start().await.unwrap();
        copy.catch_up().await.unwrap();
    }
    for round in 1..=3 {
        change(&database, round).await;
    }
    let mut events = Vec::new();
    for copy in &mut copies {
        let before = copy.target.events.len();
        copy.catch_up().await.unwrap();
        let changes = copy.target.events[before..].iter();
        let changes = changes.filter(|event| event.operation() != Some(Operation::Table));
        events.push(changes.map(essence).collect::<Vec<_>>());
        copy.source.close().await.unwrap();
        copy.source.remove("test").await.unwrap();
    }
    assert!(events[0].len() > 3_000);
    let differs = events[0].iter().zip(&events[1]).find(|(with, without)| with != without);
    assert_eq!(differs, None);
    assert_eq!(events[0].len(), events[1].len());
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_stops_with_an_error_that_names_it() {
    let database = database().await;
    let source = || database.source().spill_above(0).spill_folder("/nonexistent/spill");
    let mut copy = Copy::new(source());
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    if database.sql.server_version() < 140_000 {
        return;
    }
    change(&database, 1).await;
    let error = copy.until_error().await;
    assert_eq!(error.kind(), cdc_core::ErrorKind::Configuration);
    assert!(error.to_string().contains("/nonexistent/spill"), "{error}");
    // With another folder it goes on.
    copy.kill(database.source()).await;
    copy.start().await.unwrap();
    copy.finish(&database).await;
}
