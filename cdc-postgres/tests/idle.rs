//! The slot follows while nothing comes for us, and the server never waits for an answer.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use cdc_core::Source as _;
use support::{Copy, PATIENCE, TestDatabase};

async fn confirmed(database: &TestDatabase) -> String {
    let slot = database.slot();
    database
        .text(&format!(
            "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = '{slot}'"
        ))
        .await
        .unwrap()
}

#[tokio::test]
async fn the_slot_follows_while_only_another_database_writes() {
    let database = TestDatabase::create().await;
    let other = TestDatabase::create().await;
    database.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    other.run("CREATE TABLE busy (n int)").await;
    let mut copy = Copy::of(&database).await;
    other.run("INSERT INTO busy SELECT generate_series(1, 50000)").await;
    let written = other.text("SELECT pg_current_wal_lsn()::text").await.unwrap();
    let begin = Instant::now();
    loop {
        let behind = database
            .text(&format!("SELECT ('{}'::pg_lsn < '{written}')::text", confirmed(&database).await))
            .await;
        if behind.as_deref() == Some("false") {
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(10), "the slot does not follow");
        let _ = tokio::time::timeout(Duration::from_millis(200), copy.step()).await;
    }
    copy.source.close().await.unwrap();
}

#[tokio::test]
async fn a_consumer_that_stands_still_does_not_lose_the_connection() {
    let database = TestDatabase::create().await;
    database
        .run(&format!(
            "CREATE TABLE t (id int PRIMARY KEY, filler text); ALTER DATABASE {} SET wal_sender_timeout = '2s'",
            database.name
        ))
        .await;
    let mut copy = Copy::new(database.source());
    copy.context.limits.max_bytes = 64 << 10;
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    database
        .run("INSERT INTO t SELECT i, repeat(md5(i::text), 30) FROM generate_series(1, 20000) i")
        .await;
    // Far more than the queue holds, for far longer than the server's patience.
    copy.step().await.unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    tokio::time::timeout(PATIENCE, copy.catch_up()).await.unwrap().unwrap();
    copy.source.close().await.unwrap();
    copy.assert_equal(&database).await;
}
