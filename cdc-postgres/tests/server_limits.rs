//! Limits of the server that concern a whole cluster: free slots, and log that was removed.

#![allow(clippy::unwrap_used)]

mod support;

use cdc_core::{ErrorKind, Source as _};
use cdc_testservers::{Options, PostgresInstall};
use support::{Copy, TestDatabase, context};

#[tokio::test]
async fn a_server_without_a_free_slot_names_the_setting() {
    let one = Options::new().setting("max_replication_slots", "1");
    let database = TestDatabase::on_own_server(one).await;
    database.run("SELECT pg_create_physical_replication_slot('taken')").await;
    let error = database.source().build().unwrap().acquire(&context(false)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("max_replication_slots"), "{error}");
}

#[tokio::test]
async fn log_that_was_removed_is_an_error_that_names_the_setting() {
    if PostgresInstall::find_or_fetch(None).unwrap().major() < 13 {
        println!("not tested: max_slot_wal_keep_size came with PostgreSQL 13");
        return;
    }
    let little = Options::new().setting("max_slot_wal_keep_size", "1MB");
    let database = TestDatabase::on_own_server(little).await;
    database.run("CREATE TABLE t (id int)").await;
    let mut copy = Copy::of(&database).await;
    copy.source.close().await.unwrap();
    for _ in 0..4 {
        database.run("INSERT INTO t VALUES (1)").await;
        database.run("SELECT pg_switch_wal()").await;
    }
    database.run("CHECKPOINT").await;
    copy.kill(database.source()).await;
    let error = copy.start().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("was removed"), "{error}");
    assert!(error.to_string().contains("max_slot_wal_keep_size"), "{error}");
}
