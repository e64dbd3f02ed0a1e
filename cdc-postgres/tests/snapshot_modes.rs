//! Which rows are copied, when, in which order and under which marks.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use cdc_core::{ErrorKind, Operation, SnapshotMark, Source as _};
use cdc_postgres::SnapshotMode;
use cdc_testservers::{Options, PostgresInstall};
use support::{Copy, TestDatabase};

const TABLES: &str = "CREATE TABLE b (id int PRIMARY KEY); CREATE TABLE a (id int PRIMARY KEY);
     CREATE TABLE \"Z\" (id int PRIMARY KEY); CREATE TABLE empty_one (id int PRIMARY KEY);
     INSERT INTO a VALUES (1), (2), (3); INSERT INTO b VALUES (1); INSERT INTO \"Z\" VALUES (1)";

fn reads(copy: &Copy) -> Vec<String> {
    copy.target
        .events
        .iter()
        .filter(|event| event.operation() == Some(Operation::Read))
        .map(|event| format!("{} {:?}", event.destination.as_str(), event.origin().snapshot))
        .collect()
}

async fn slots_and_publications(database: &TestDatabase) -> String {
    let query = format!(
        "SELECT ((SELECT count(*) FROM pg_replication_slots WHERE database = '{}') || ' ' || (SELECT count(*) FROM pg_publication))",
        database.name
    );
    database.text(&query).await.unwrap()
}

#[tokio::test]
async fn rows_come_in_the_order_of_their_tables_names_with_debeziums_marks() {
    let database = TestDatabase::create().await;
    database.run(TABLES).await;
    let mut copy = Copy::from(database.connector(&[]));
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    copy.source.close().await.unwrap();
    assert_eq!(
        reads(&copy),
        [
            "public.Z First",
            "public.a FirstInTable",
            "public.a Row",
            "public.a LastInTable",
            "public.b Last",
        ]
    );
    let events = copy.target.of("public.a", Operation::Read);
    let transaction = &events[0].origin().transaction;
    assert!(transaction.id.is_some() && transaction.previous_commit.is_none());
    assert!(Arc::ptr_eq(transaction, &events[2].origin().transaction), "one id for all rows");
}

#[tokio::test]
async fn an_include_list_gives_the_order() {
    let database = TestDatabase::create().await;
    database.run(TABLES).await;
    let mut copy =
        Copy::from(database.connector(&[("table.include.list", "public.b,public.[aZ]")]));
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    copy.source.close().await.unwrap();
    let tables: Vec<String> = reads(&copy).iter().map(|read| read[..8].trim().to_owned()).collect();
    assert_eq!(tables, ["public.b", "public.Z", "public.a", "public.a", "public.a"]);
    assert_eq!(
        copy.target.of("public.b", Operation::Read)[0].origin().snapshot,
        SnapshotMark::First
    );
}

#[tokio::test]
async fn tables_outside_of_the_list_of_copies_are_followed_alone() {
    let database = TestDatabase::create().await;
    database.run(TABLES).await;
    let list = [("snapshot.include.collection.list", "public.a"), ("cdc.slot.adopt", "true")];
    let mut copy = Copy::from(database.connector(&list));
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    database.run("INSERT INTO b VALUES (2)").await;
    copy.catch_up().await.unwrap();
    copy.source.close().await.unwrap();
    assert_eq!(reads(&copy), ["public.a First", "public.a Row", "public.a Last"]);
    assert_eq!(copy.target.contents()["public.b"].len(), 1);

    let name = format!("named_{}", database.name);
    let builder = database.source().slot_name(name.as_str()).publication_name(name);
    let mut named = Copy::new(builder.snapshot_tables(["*.b"]));
    named.start().await.unwrap();
    named.catch_up().await.unwrap();
    named.source.close().await.unwrap();
    assert_eq!(reads(&named), ["public.b First", "public.b Last"]);

    // A copy beside the stream leaves nothing out of it.
    database.run("INSERT INTO b VALUES (3); INSERT INTO a VALUES (4)").await;
    let mut anew = Copy::from(database.connector(&list));
    anew.start().await.unwrap();
    anew.catch_up().await.unwrap();
    anew.source.close().await.unwrap();
    assert_eq!(reads(&anew).len(), 4);
    assert_eq!(anew.target.contents()["public.a"].len(), 4);
    assert_eq!(anew.target.of("public.a", Operation::Create).len(), 1);
    assert!(!anew.target.of("public.b", Operation::Create).is_empty());
}

#[tokio::test]
async fn a_query_is_read_in_place_of_a_table() {
    let database = TestDatabase::create().await;
    database.run(TABLES).await;
    let name = "snapshot.select.statement.overrides";
    let of_a = format!("{name}.public.a");
    let query = "SELECT id FROM public.a WHERE id > 1;";
    let mut copy = Copy::from(database.connector(&[(name, "public.a"), (&of_a, query)]));
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    database.run("INSERT INTO a VALUES (0)").await;
    copy.catch_up().await.unwrap();
    copy.source.close().await.unwrap();
    assert_eq!(copy.target.contents()["public.a"].len(), 3);
    assert_eq!(copy.target.contents()["public.b"].len(), 1);
}

#[tokio::test]
async fn initial_only_copies_ends_and_leaves_nothing_behind() {
    let database = TestDatabase::create().await;
    database.run(TABLES).await;
    let only = || database.connector(&[("snapshot.mode", "initial_only")]);
    let mut copy = Copy::from(only());
    copy.start().await.unwrap();
    copy.until_end().await.unwrap();
    assert_eq!(reads(&copy).len(), 5);
    assert_eq!(slots_and_publications(&database).await, "0 0");
    // Another start has nothing to do.
    copy.replace(only()).await;
    copy.start().await.unwrap();
    copy.until_end().await.unwrap();
    assert_eq!(reads(&copy).len(), 5);
    // What is to be followed is copied anew: nobody kept the changes in between.
    database.run("DELETE FROM a WHERE id = 1").await;
    copy.replace(database.connector(&[])).await;
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    database.run("INSERT INTO a VALUES (4)").await;
    copy.catch_up().await.unwrap();
    copy.source.close().await.unwrap();
    assert_eq!(copy.target.contents()["public.a"].len(), 3);
    assert_eq!(slots_and_publications(&database).await, "1 1");
}

#[tokio::test]
async fn initial_only_needs_no_logical_log() {
    let database =
        TestDatabase::on_own_server(Options::new().setting("wal_level", "replica")).await;
    database.run(TABLES).await;
    let mut copy = Copy::new(database.source().snapshot(SnapshotMode::InitialOnly));
    copy.start().await.unwrap();
    copy.until_end().await.unwrap();
    copy.source.close().await.unwrap();
    assert_eq!(copy.target.contents()["public.a"].len(), 3);
}

#[tokio::test]
async fn a_copy_alone_that_was_interrupted_is_made_anew() {
    let database = TestDatabase::create().await;
    database.run(TABLES).await;
    let only = || database.source().snapshot(SnapshotMode::InitialOnly).snapshot_fetch_size(1);
    let mut copy = Copy::new(only());
    copy.start().await.unwrap();
    copy.until(|copy| reads(copy).len() == 2).await.unwrap();
    copy.kill(only()).await;
    database.run("DELETE FROM a WHERE id = 1").await;
    copy.start().await.unwrap();
    copy.until_end().await.unwrap();
    assert_eq!(copy.target.contents()["public.a"].len(), 2);
    assert_eq!(copy.target.contents()["public.Z"].len(), 1);
}

#[tokio::test]
async fn when_needed_copies_again_where_the_slot_is_gone_or_was_read_by_somebody_else() {
    let database = TestDatabase::create().await;
    database.run(TABLES).await;
    let source = || database.connector(&[("snapshot.mode", "when_needed")]);
    let mut copy = Copy::from(source());
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    copy.replace(source()).await;
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    assert_eq!(reads(&copy).len(), 5, "nothing is lost");
    copy.replace(source()).await;
    let slot = database.slot();
    database.run(&format!("SELECT pg_drop_replication_slot('{slot}')")).await;
    database.run("DELETE FROM a WHERE id = 1; INSERT INTO a VALUES (4)").await;
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    database.run("INSERT INTO a VALUES (5)").await;
    copy.catch_up().await.unwrap();
    assert_eq!(copy.target.contents()["public.a"].len(), 4);

    copy.replace(source()).await;
    database.run("DELETE FROM a WHERE id = 2; INSERT INTO b VALUES (2)").await;
    let advance = format!("SELECT pg_replication_slot_advance('{slot}', pg_current_wal_lsn())");
    database.run(&advance).await;
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    copy.source.close().await.unwrap();
    assert_eq!(copy.target.contents()["public.a"].len(), 3);
    assert_eq!(copy.target.contents()["public.b"].len(), 2);
}

#[tokio::test]
async fn when_needed_makes_a_slot_again_that_has_lost_log() {
    if PostgresInstall::find_or_fetch(None).unwrap().major() < 13 {
        println!("not tested: max_slot_wal_keep_size came with PostgreSQL 13");
        return;
    }
    let database = TestDatabase::on_own_server(
        Options::new().setting("max_slot_wal_keep_size", "1MB").setting("max_wal_size", "64MB"),
    )
    .await;
    database.run(TABLES).await;
    let source = || database.connector(&[("snapshot.mode", "when_needed")]);
    let mut copy = Copy::from(source());
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    copy.replace(source()).await;
    database.run("DELETE FROM a WHERE id = 1").await;
    for _ in 0..6 {
        database.run("SELECT pg_switch_wal(); CREATE TABLE IF NOT EXISTS x (); DROP TABLE x").await;
        database.run("CHECKPOINT").await;
    }
    let status = "SELECT wal_status FROM pg_replication_slots";
    assert_eq!(database.text(status).await.as_deref(), Some("lost"));
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    copy.source.close().await.unwrap();
    assert_eq!(copy.target.contents()["public.a"].len(), 2);
}

#[tokio::test]
async fn always_copies_again_at_each_start_and_is_exact() {
    let database = TestDatabase::create().await;
    database.run(TABLES).await;
    let always = || database.connector(&[("snapshot.mode", "always")]);
    let mut copy = Copy::from(always());
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    assert_eq!(reads(&copy).len(), 5);
    copy.replace(always()).await;
    database.run("INSERT INTO a VALUES (4); UPDATE b SET id = 2; DELETE FROM \"Z\"").await;
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    assert_eq!(reads(&copy).len(), 5 + 5);
    database.run("INSERT INTO a VALUES (5)").await;
    copy.catch_up().await.unwrap();
    // A connection that is lost is no start.
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    copy.source.close().await.unwrap();
    assert_eq!(reads(&copy).len(), 5 + 5);
    let rows = copy.target.contents();
    assert_eq!((rows["public.a"].len(), rows["public.b"].len(), rows["public.Z"].len()), (5, 1, 0));
}

#[tokio::test]
async fn always_with_a_kill_while_it_copies_again() {
    let database = TestDatabase::create().await;
    database.run("CREATE TABLE k (x int); INSERT INTO k SELECT generate_series(1, 100)").await;
    let always = || database.source().snapshot(SnapshotMode::Always).snapshot_fetch_size(10);
    let mut copy = Copy::new(always());
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    database.run("INSERT INTO k VALUES (101)").await;
    copy.kill(always()).await;
    copy.start().await.unwrap();
    copy.until(|copy| reads(copy).len() > 150).await.unwrap();
    database.run("INSERT INTO k VALUES (102)").await;
    copy.kill(always()).await;
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    copy.source.close().await.unwrap();
    assert_eq!(copy.target.contents()["public.k"].values().sum::<u64>(), 102);
}

#[tokio::test]
async fn no_data_follows_without_a_copy() {
    let database = TestDatabase::create().await;
    database.run(TABLES).await;
    let mut copy = Copy::from(database.connector(&[("snapshot.mode", "no_data")]));
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    database.run("INSERT INTO a VALUES (4)").await;
    copy.catch_up().await.unwrap();
    copy.source.close().await.unwrap();
    assert_eq!(reads(&copy).len(), 0);
    assert_eq!(copy.target.of("public.a", Operation::Create).len(), 1);
}

#[tokio::test]
async fn a_slot_that_is_dropped_on_stop_is_made_again_and_all_is_copied_again() {
    let database = TestDatabase::create().await;
    database.run(TABLES).await;
    let dropping = || database.connector(&[("slot.drop.on.stop", "true")]);
    let mut copy = Copy::from(dropping());
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    copy.source.close().await.unwrap();
    assert_eq!(slots_and_publications(&database).await, "0 1");
    database.run("DELETE FROM a WHERE id = 1; INSERT INTO b VALUES (2)").await;
    copy.replace(dropping()).await;
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    database.run("INSERT INTO a VALUES (9)").await;
    copy.catch_up().await.unwrap();
    copy.source.close().await.unwrap();
    let rows = copy.target.contents();
    assert_eq!((rows["public.a"].len(), rows["public.b"].len()), (3, 2));
    assert_eq!(slots_and_publications(&database).await, "0 1");
}

#[tokio::test]
async fn a_table_that_is_locked_fails_the_copy_in_time() {
    let database = TestDatabase::on_own_server(Options::new()).await;
    database.run(TABLES).await;
    database.run("BEGIN; LOCK TABLE a IN ACCESS EXCLUSIVE MODE").await;
    let source = || {
        database.connector(&[
            ("snapshot.mode", "initial_only"),
            ("snapshot.locking.mode", "shared"),
            ("snapshot.lock.timeout.ms", "200"),
        ])
    };
    let mut copy = Copy::from(source());
    copy.start().await.unwrap();
    let error = copy.until_error().await;
    assert!(error.to_string().contains("snapshot.lock.timeout.ms"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
    database.run("ROLLBACK").await;
    copy.replace(source()).await;
    copy.start().await.unwrap();
    copy.until_end().await.unwrap();
    assert_eq!(reads(&copy).len(), 5);
}

#[tokio::test]
async fn always_waits_for_nobody_where_all_was_published_before() {
    let database = TestDatabase::on_own_server(Options::new()).await;
    database.run(TABLES).await;
    let properties = || database.connector(&[("snapshot.mode", "always")]);
    let builder = || {
        let name = format!("{}_b", database.slot());
        let builder = database.source().slot_name(name.as_str()).publication_name(name);
        builder.snapshot(SnapshotMode::Always).build().unwrap()
    };
    for (number, always) in
        [&properties as &dyn Fn() -> cdc_postgres::PostgresSource, &builder].into_iter().enumerate()
    {
        let mut copy = Copy::from(always());
        copy.start().await.unwrap();
        copy.catch_up().await.unwrap();
        let before = reads(&copy).len();
        let open = database.session().await;
        let insert = format!("BEGIN; INSERT INTO b VALUES ({})", number + 2);
        open.batch_execute(&insert).await.unwrap();
        // What an open transaction has written is sent when it is on disk, so with somebody's commit.
        database.run(&format!("CREATE SEQUENCE flush_{number}")).await;
        copy.replace(always()).await;
        copy.start().await.unwrap();
        copy.catch_up().await.unwrap();
        assert_eq!(reads(&copy).len(), 2 * before);
        open.batch_execute("COMMIT").await.unwrap();
        copy.catch_up().await.unwrap();
        copy.source.close().await.unwrap();
        assert_eq!(copy.target.contents()["public.b"].len(), number + 2);
    }
}
