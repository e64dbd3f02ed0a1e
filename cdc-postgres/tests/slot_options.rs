//! Slots: adopted, waited for, read with an origin filter; and the sessions beside them.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use cdc_core::{ErrorKind, Operation, Source as _};
use cdc_testservers::Options;
use support::{Copy, TestDatabase, context};

#[tokio::test]
async fn a_slot_that_no_offset_speaks_of_is_refused_unless_it_is_adopted() {
    let database = TestDatabase::create().await;
    database.run("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    database.run(&format!("CREATE PUBLICATION {} FOR ALL TABLES", database.slot())).await;
    database
        .run(&format!(
            "SELECT pg_create_logical_replication_slot('{}', 'pgoutput')",
            database.slot()
        ))
        .await;
    database.run("INSERT INTO t VALUES (2)").await;
    let mut copy = Copy::from(database.connector(&[]));
    let error = copy.start().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("cdc.slot.adopt=true"), "{error}");
    copy.replace(database.connector(&[("cdc.slot.adopt", "true")])).await;
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    copy.source.close().await.unwrap();
    assert_eq!(copy.target.contents()["public.t"].len(), 2);
}

#[tokio::test]
async fn a_slot_in_use_is_waited_for_as_long_as_the_retries_say() {
    let database = TestDatabase::create().await;
    database.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut first = Copy::from(database.connector(&[]));
    first.start().await.unwrap();
    first.catch_up().await.unwrap();
    let mut second =
        database.connector(&[("slot.max.retries", "2"), ("slot.retry.delay.ms", "400")]);
    let begin = Instant::now();
    let waiting = tokio::time::timeout(support::PATIENCE, async {
        second.acquire(&context(true)).await.unwrap_err()
    });
    let error = waiting.await.unwrap();
    assert!(begin.elapsed() >= Duration::from_millis(800), "{:?}", begin.elapsed());
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("is in use by"), "{error}");
    first.source.close().await.unwrap();
}

#[tokio::test]
async fn what_came_from_elsewhere_can_be_left_out() {
    let database = TestDatabase::create().await;
    database.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut source = database.connector(&[("slot.stream.params", "origin=none")]);
    if database.lacks("the origin filter", 16) {
        let error = source.acquire(&context(false)).await.unwrap_err();
        assert!(error.to_string().contains(".origin(..) needs 16 or later"), "{error}");
        return;
    }
    let mut copy = Copy::from(source);
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    let name = &database.name;
    database
        .run(&format!(
            "SELECT pg_replication_origin_create('{name}'); SELECT pg_replication_origin_session_setup('{name}')"
        ))
        .await;
    database.run("INSERT INTO t VALUES (1)").await;
    database.run("SELECT pg_replication_origin_session_reset(); INSERT INTO t VALUES (2)").await;
    copy.catch_up().await.unwrap();
    copy.source.close().await.unwrap();
    assert_eq!(copy.target.of("public.t", Operation::Create).len(), 1);
}

#[tokio::test]
async fn a_failover_slot_needs_a_server_that_has_them() {
    let database = TestDatabase::create().await;
    database.run("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    let mut source = database.connector(&[("slot.failover", "true")]);
    if database.lacks("the failover slot", 17) {
        let error = source.acquire(&context(false)).await.unwrap_err();
        assert!(error.to_string().contains(".failover_slot(true) needs 17 or later"), "{error}");
        return;
    }
    let mut copy = Copy::from(source);
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    copy.source.close().await.unwrap();
    assert_eq!(copy.target.contents()["public.t"].len(), 1);
    let failover = database
        .text(&format!(
            "SELECT failover::text FROM pg_replication_slots WHERE slot_name = '{}'",
            database.slot()
        ))
        .await;
    assert_eq!(failover.as_deref(), Some("true"));
}

#[tokio::test]
async fn initial_statements_run_first_and_change_no_value() {
    let database = TestDatabase::create().await;
    database
        .run(
            "CREATE TABLE seen (zone text); CREATE TABLE t (id int PRIMARY KEY, at timestamptz, data bytea);
             INSERT INTO t VALUES (1, '2026-01-02 03:04:05.5+00', '\\x00ff')",
        )
        .await;
    let values = |copy: &Copy| copy.target.contents()["public.t"].clone();
    let mut plain = Copy::new(
        database.source().tables(["public.t"]).snapshot(cdc_postgres::SnapshotMode::InitialOnly),
    );
    plain.start().await.unwrap();
    plain.until_end().await.unwrap();
    let mut copy = Copy::from(database.connector(&[
        ("snapshot.mode", "initial_only"),
        ("table.include.list", "public.t"),
        (
            "database.initial.statements",
            "SET TimeZone = 'Asia/Tokyo'; SET bytea_output = 'escape'; INSERT INTO seen VALUES (current_setting('TimeZone') || ';;')",
        ),
    ]));
    copy.start().await.unwrap();
    copy.until_end().await.unwrap();
    assert_eq!(values(&copy), values(&plain));
    assert_eq!(database.text("SELECT min(zone) FROM seen").await.as_deref(), Some("Asia/Tokyo;"));
    let mut wrong =
        database.connector(&[("database.initial.statements", "SELECT no_such_function()")]);
    let error = wrong.acquire(&context(false)).await.unwrap_err();
    assert!(error.to_string().contains("initial statements"), "{error}");
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_ended() {
    let database = TestDatabase::on_own_server(Options::new()).await;
    database.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    database.run("BEGIN; LOCK TABLE t").await;
    let mut source = database.connector(&[
        ("database.query.timeout.ms", "300"),
        ("replica.identity.autoset.values", "public.t:FULL"),
    ]);
    let error = source.acquire(&context(false)).await.unwrap_err().to_string();
    assert!(error.contains("replica identity of public.t") && error.contains("timeout"), "{error}");
}
