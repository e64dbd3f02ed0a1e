//! Two instances on one slot: the second says who holds it, and takes over.

mod support;

use std::time::{Duration, Instant};

use cdc_core::status::Phase;
use cdc_core::{ErrorKind, Source as _};
use cdc_testservers::Options;
use support::{Copy, TestDatabase, context};

#[tokio::test]
async fn the_second_instance_waits_and_takes_over() {
    let database = TestDatabase::create().await;
    database.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let first = Copy::of(&database).await;

    let mut refused = database.source().build().unwrap();
    let error = refused.acquire(&context(false)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("is in use by server process"), "{error}");

    let mut second = database.source().build().unwrap();
    let waiting = context(true);
    let progress = waiting.progress.clone();
    let task = tokio::spawn(async move {
        second.acquire(&waiting).await.unwrap();
        second
    });
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(!task.is_finished());
    assert!(matches!(progress.status().phase, Phase::Standby { .. }));
    let died = Instant::now();
    drop(first);
    let mut second = task.await.unwrap();
    assert!(died.elapsed() < Duration::from_secs(5), "{:?}", died.elapsed());
    second.close().await.unwrap();
}

#[tokio::test]
async fn an_instance_that_lost_its_connection_is_not_in_its_own_way() {
    let database = TestDatabase::create().await;
    database.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut copy = Copy::of(&database).await;
    for round in 0..5 {
        database.run(&format!("INSERT INTO t VALUES ({round})")).await;
        database
            .run(&format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}' AND pid <> pg_backend_pid()",
                database.name
            ))
            .await;
        let error = copy.until_error().await;
        assert!(error.is_transient(), "{error}");
        copy.start().await.unwrap();
        copy.catch_up().await.unwrap();
        // And without any error before.
        copy.start().await.unwrap();
        copy.catch_up().await.unwrap();
    }
    copy.source.close().await.unwrap();
    copy.assert_equal(&database).await;
}

#[tokio::test]
async fn making_a_slot_names_the_transactions_it_waits_for() {
    let database = TestDatabase::on_own_server(Options::new()).await;
    database.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    // On the shared server all other tests would wait for it too.
    let open = database.session().await;
    open.batch_execute("BEGIN; INSERT INTO t VALUES (1)").await.unwrap();
    let mut copy = Copy::new(database.source());
    let progress = copy.context.progress.clone();
    copy.start().await.unwrap();
    let task = tokio::spawn(async move {
        copy.catch_up().await.unwrap();
        copy
    });
    tokio::time::sleep(Duration::from_millis(6500)).await;
    let Phase::Waiting { reason } = progress.status().phase else {
        panic!("{:?}", progress.status().phase)
    };
    assert!(reason.contains("INSERT INTO t VALUES (1)") && reason.contains("pid "), "{reason}");
    open.batch_execute("COMMIT").await.unwrap();
    let mut copy = task.await.unwrap();
    copy.source.close().await.unwrap();
    copy.assert_equal(&database).await;
}

#[tokio::test]
async fn closing_tells_the_server_what_is_saved_and_frees_the_slot() {
    let database = TestDatabase::create().await;
    database.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut copy = Copy::new(database.source());
    for round in 0..10 {
        copy.start().await.unwrap();
        database.run(&format!("INSERT INTO t VALUES ({round})")).await;
        copy.catch_up().await.unwrap();
        copy.source.close().await.unwrap();
        let end = copy.target.offset.as_ref().unwrap().get("lsn_commit").unwrap().as_u64().unwrap();
        let confirmed = database
            .text(&format!(
                "SELECT (confirmed_flush_lsn - '0/0'::pg_lsn)::text FROM pg_replication_slots WHERE database = '{}'",
                database.name
            ))
            .await;
        assert_eq!(confirmed, Some(end.to_string()));
    }
}
