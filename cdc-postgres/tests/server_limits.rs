//! Limits of the server that concern a whole cluster: free slots, and log that was removed.

#![allow(clippy::unwrap_used)]

mod support;

use cdc_core::{ErrorKind, Source as _};
use support::{Copy, TestDatabase, context};

/// One test after the other: each takes something from every slot of the server.
#[tokio::test]
async fn no_free_slot_and_removed_log() {
    no_free_slot().await;
    removed_log().await;
}

async fn no_free_slot() {
    let Some(database) = TestDatabase::create().await else { return };
    let free = "current_setting('max_replication_slots')::int - (SELECT count(*)::int FROM pg_replication_slots)";
    database
        .run(&format!(
            "SELECT pg_create_physical_replication_slot('{}_' || i) FROM generate_series(1, {free}) i",
            database.name
        ))
        .await;
    let error = database.source().build().unwrap().acquire(&context(false)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("max_replication_slots"), "{error}");
    database
        .run(&format!(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name LIKE '{}\\_%'",
            database.name
        ))
        .await;
    database.drop().await;
}

async fn removed_log() {
    let Some(database) = TestDatabase::create().await else { return };
    if database.sql.server_version() < 130_000 {
        return database.drop().await;
    }
    database.run("CREATE TABLE t (id int)").await;
    let mut copy = Copy::new(database.source());
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    copy.source.close().await.unwrap();
    database.run("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'").await;
    database.run("SELECT pg_reload_conf()").await;
    for _ in 0..4 {
        database.run("INSERT INTO t VALUES (1)").await;
        database.run("SELECT pg_switch_wal()").await;
    }
    database.run("CHECKPOINT").await;
    copy.kill(database.source()).await;
    let error = copy.start().await.unwrap_err();
    database.run("ALTER SYSTEM RESET max_slot_wal_keep_size").await;
    database.run("SELECT pg_reload_conf()").await;
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("was removed"), "{error}");
    assert!(error.to_string().contains("max_slot_wal_keep_size"), "{error}");
    database.drop().await;
}
