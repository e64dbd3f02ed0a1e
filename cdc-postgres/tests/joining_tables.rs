//! Tables made after the first start join at the next one, whole and exact, whatever happens in between.

mod support;

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
