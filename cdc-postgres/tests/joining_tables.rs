//! Tables made after the first start join at the next one, whole and exact, whatever happens in between.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use cdc_core::{Operation, Source as _};
use support::{Copy, TestDatabase};

#[tokio::test]
async fn a_new_table_joins_with_its_rows() {
    let database = TestDatabase::create().await;
    database.run("CREATE TABLE old (id int PRIMARY KEY); INSERT INTO old VALUES (1)").await;
    let mut copy = Copy::of(&database).await;
    copy.source.close().await.unwrap();
    database
        .run(
            "CREATE TABLE new_keyed (id int PRIMARY KEY, note text); INSERT INTO new_keyed SELECT i, 'x' FROM generate_series(1, 100) i;
             CREATE TABLE new_keyless (line int); INSERT INTO new_keyless SELECT generate_series(1, 100);
             INSERT INTO old VALUES (2)",
        )
        .await;
    for kills in [0usize, 1, 2, 4] {
        copy.kill(database.source()).await;
        copy.context.limits.max_events = 30;
        copy.start().await.unwrap();
        for _ in 0..kills {
            copy.step().await.unwrap();
        }
        database
            .run("UPDATE new_keyed SET note = note || 'y' WHERE id < 10; INSERT INTO new_keyless VALUES (-1); DELETE FROM new_keyed WHERE id = 50; INSERT INTO new_keyed VALUES (50, 'again')")
            .await;
    }
    copy.finish(&database).await;
    assert!(copy.target.of("public.old", Operation::Truncate).is_empty());
}

#[tokio::test]
async fn a_change_from_before_the_table_was_published_is_in_the_read() {
    let database = TestDatabase::create().await;
    database.run("CREATE TABLE old (id int PRIMARY KEY)").await;
    let mut copy = Copy::of(&database).await;
    copy.source.close().await.unwrap();
    database.run("CREATE TABLE late (id int PRIMARY KEY)").await;
    // The change is in the log before the table is published, its commit after the stream began.
    let open = database.session().await;
    open.batch_execute("BEGIN; INSERT INTO late VALUES (1)").await.unwrap();
    copy.kill(database.source()).await;
    copy.start().await.unwrap();
    copy.step().await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    open.batch_execute("COMMIT").await.unwrap();
    database.run("INSERT INTO late VALUES (2)").await;
    copy.finish(&database).await;
}

#[tokio::test]
async fn a_table_that_gets_a_key_is_followed_in_full_from_the_next_start() {
    let database = TestDatabase::create().await;
    database
        .run("CREATE TABLE t (id int NOT NULL, note text); INSERT INTO t VALUES (1, 'a')")
        .await;
    let mut copy = Copy::of(&database).await;
    copy.source.close().await.unwrap();
    database.run("ALTER TABLE t ADD PRIMARY KEY (id)").await;
    copy.kill(database.source()).await;
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    database.run("INSERT INTO t VALUES (2, 'b'); UPDATE t SET note = 'c' WHERE id = 2").await;
    copy.catch_up().await.unwrap();
    copy.source.close().await.unwrap();
    assert_eq!(copy.target.of("public.t", Operation::Update).len(), 1);
}

fn given(copy: &Copy, table: &str) -> usize {
    copy.target.of(table, Operation::Read).len()
}

/// A source that has followed `old`, and a table `late` with so many rows that it does not know.
async fn with_a_late_table(rows: u64) -> (TestDatabase, Copy) {
    let database = TestDatabase::create().await;
    database.run("CREATE TABLE old (id int PRIMARY KEY)").await;
    let mut copy = Copy::of(&database).await;
    copy.source.close().await.unwrap();
    database
        .run(&format!(
            "CREATE TABLE late (id int PRIMARY KEY, version bigint NOT NULL, big text);
             ALTER TABLE late ALTER big SET STORAGE EXTERNAL;
             INSERT INTO late SELECT i, 0, repeat('x', 3000) FROM generate_series(1, {rows}) i"
        ))
        .await;
    (database, copy)
}

#[tokio::test]
async fn a_kill_costs_the_chunks_that_are_not_durable_and_nothing_is_emptied_again() {
    const ROWS: u64 = 4_000;
    const CHUNK: u64 = 200;
    let (database, mut copy) = with_a_late_table(ROWS).await;
    let writer = database.session().await;
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let writes = tokio::spawn(async move {
        let mut version = 1;
        while stopped.try_recv().is_err() {
            let id = version * 37 % ROWS;
            writer
                .batch_execute(&format!(
                    "UPDATE late SET version = {version} WHERE id = {id};
                     DELETE FROM late WHERE id = {id} + 1;
                     UPDATE late SET id = {id} + 1, version = {version} WHERE id = {id} + 2;
                     INSERT INTO old VALUES ({version})"
                ))
                .await
                .unwrap();
            version += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        version
    });
    let builder = || database.source().snapshot_chunk_rows(CHUNK);
    copy.context.limits.max_events = 100;
    let mut kills = 0;
    loop {
        copy.kill(builder()).await;
        copy.start().await.unwrap();
        let until = given(&copy, "public.late") + 900;
        copy.until(|copy| !copy.left().is_empty() || kills > 0).await.unwrap();
        let done = |copy: &Copy| copy.left().is_empty();
        copy.until(|copy| done(copy) || given(copy, "public.late") >= until).await.unwrap();
        if done(&copy) {
            break;
        }
        kills += 1;
    }
    stop.send(()).unwrap();
    let written = writes.await.unwrap();
    assert!(kills >= 2 && written > 10, "{kills} kills, {written} versions");
    let rows = given(&copy, "public.late") as u64;
    // One connection, and single keys that changes left open.
    assert!(rows <= ROWS + kills * 2 * CHUNK + 2 * written, "{rows} rows in {kills} kills");
    assert_eq!(copy.target.of("public.late", Operation::Truncate).len(), 1);
    copy.finish(&database).await;
}

#[tokio::test]
async fn while_a_large_table_joins_the_changes_of_others_arrive() {
    let (database, mut copy) = with_a_late_table(6_000).await;
    copy.kill(database.source().snapshot_chunk_rows(100)).await;
    copy.context.limits.max_events = 50;
    copy.start().await.unwrap();
    copy.until(|copy| given(copy, "public.late") > 0).await.unwrap();
    database.run("INSERT INTO old VALUES (1); UPDATE late SET version = 5 WHERE id = 6000").await;
    copy.until(|copy| !copy.target.of("public.old", Operation::Create).is_empty()).await.unwrap();
    assert_eq!(copy.left(), ["late"], "the rows are still being read");
    copy.finish(&database).await;
}

#[tokio::test]
async fn a_transaction_that_is_older_than_the_publication_holds_up_nothing_but_the_rows() {
    let (database, mut copy) = with_a_late_table(10).await;
    let open = database.session().await;
    open.batch_execute("BEGIN; UPDATE late SET version = 1 WHERE id < 4; DELETE FROM late WHERE id = 5; INSERT INTO late VALUES (11, 1)")
        .await
        .unwrap();
    // What an open transaction has written is sent when it is on disk, so with somebody's commit.
    database.run("INSERT INTO old VALUES (1)").await;
    copy.kill(database.source()).await;
    copy.start().await.unwrap();
    copy.until(|copy| copy.left() == ["late"]).await.unwrap();
    // Of the table too; of the open transaction a part.
    database.run("INSERT INTO old VALUES (2); UPDATE late SET version = 2 WHERE id = 9").await;
    open.batch_execute("UPDATE late SET version = 2 WHERE id = 3").await.unwrap();
    copy.until(|copy| !copy.target.of("public.late", Operation::Update).is_empty()).await.unwrap();
    for arrived in [3, 4] {
        database.run(&format!("INSERT INTO old VALUES ({arrived})")).await;
        copy.until(|copy| copy.target.of("public.old", Operation::Create).len() == arrived)
            .await
            .unwrap();
        let read = copy.until(|copy| given(copy, "public.late") > 0 || copy.left().is_empty());
        let read = tokio::time::timeout(Duration::from_secs(1), read).await;
        assert!(read.is_err(), "rows that lack what the open transaction did");
        if arrived == 3 {
            // A start later it is no different.
            copy.kill(database.source()).await;
            copy.start().await.unwrap();
        }
    }
    open.batch_execute("COMMIT").await.unwrap();
    copy.until_read().await.unwrap();
    copy.finish(&database).await;
    assert_eq!(copy.target.of("public.late", Operation::Truncate).len(), 1);
}

#[tokio::test]
async fn a_table_that_comes_back_has_no_rows_of_its_earlier_life() {
    let database = TestDatabase::create().await;
    database
        .run(
            "CREATE TABLE other (id int PRIMARY KEY); CREATE TABLE keyed (id int PRIMARY KEY, note text);
             CREATE TABLE keyless (line int); INSERT INTO keyed VALUES (1, 'a'), (2, 'b'), (3, 'c');
             INSERT INTO keyless VALUES (1), (2)",
        )
        .await;
    let mut copy = Copy::of(&database).await;
    copy.source.close().await.unwrap();
    copy.kill(database.source().tables(["public.other"])).await;
    copy.start().await.unwrap();
    database
        .run("DELETE FROM keyed WHERE id = 1; UPDATE keyed SET id = 4 WHERE id = 2; DELETE FROM keyless WHERE line = 1; INSERT INTO other VALUES (1)")
        .await;
    copy.catch_up().await.unwrap();
    assert_eq!(copy.target.contents()["public.keyed"].len(), 3);
    copy.source.close().await.unwrap();
    copy.kill(database.source()).await;
    copy.start().await.unwrap();
    copy.finish(&database).await;
    assert!(copy.target.of("public.other", Operation::Truncate).is_empty());
}

#[tokio::test]
async fn a_table_that_is_locked_joins_later_and_the_stream_goes_on() {
    let (database, mut copy) = with_a_late_table(10).await;
    let open = database.session().await;
    // As VACUUM and CREATE INDEX CONCURRENTLY do.
    open.batch_execute("BEGIN; LOCK TABLE late IN SHARE UPDATE EXCLUSIVE MODE").await.unwrap();
    copy.kill(database.source()).await;
    copy.start().await.unwrap();
    for id in 1..=3 {
        database.run(&format!("INSERT INTO old VALUES ({id})")).await;
        copy.until(|copy| copy.target.of("public.old", Operation::Create).len() == id)
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(copy.left().is_empty());
    open.batch_execute("COMMIT").await.unwrap();
    copy.finish(&database).await;
    assert_eq!(given(&copy, "public.late"), 10);
}

#[tokio::test]
async fn a_join_that_an_older_version_was_in_the_middle_of_ends_equal() {
    let database = TestDatabase::create().await;
    database
        .run(
            "CREATE TABLE old (id int PRIMARY KEY); CREATE TABLE late (id int PRIMARY KEY);
             CREATE TABLE keyless (line int); INSERT INTO late SELECT generate_series(1, 9);
             INSERT INTO keyless SELECT generate_series(1, 9)",
        )
        .await;
    let mut copy = Copy::of(&database).await;
    copy.source.close().await.unwrap();
    // It had emptied and published them, and given some rows of a snapshot that it had to take anew.
    let publication = database.slot();
    database.run(&format!("ALTER PUBLICATION \"{publication}\" DROP TABLE late")).await;
    database.run("DELETE FROM late WHERE id = 1; UPDATE late SET id = 10 WHERE id = 2").await;
    database.run(&format!("ALTER PUBLICATION \"{publication}\" ADD TABLE ONLY late")).await;
    database.run("UPDATE late SET id = 11 WHERE id = 3; INSERT INTO keyless VALUES (10)").await;
    let mut keys = copy.target.offset.take().unwrap().as_map().clone();
    let cdc = keys.get_mut("cdc").unwrap().as_object_mut().unwrap();
    cdc.insert("joining".into(), serde_json::json!([["public", "late"], ["public", "keyless"]]));
    cdc.insert("sent".into(), 20.into());
    copy.target.offset = Some(cdc_core::Offset::new(keys));
    copy.kill(database.source()).await;
    copy.start().await.unwrap();
    copy.finish(&database).await;
    assert!(copy.target.of("public.old", Operation::Truncate).is_empty());
}
