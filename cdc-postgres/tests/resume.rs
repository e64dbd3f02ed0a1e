//! After a kill at any batch the copy goes on where it was, inside a transaction too: nothing lost, nothing twice.

mod support;

use cdc_core::Source as _;
use support::{Copy, TestDatabase};

/// Statements with everything that can go wrong when something is lost or repeated.
async fn change(database: &TestDatabase, round: i32) {
    database
        .run(&format!(
            "BEGIN;
             INSERT INTO keyed SELECT {round} * 1000 + i, 'r{round}', repeat(md5(i::text), 200) FROM generate_series(1, 100) i;
             INSERT INTO keyless SELECT {round} FROM generate_series(1, 50);
             UPDATE keyed SET note = 'u' WHERE id % 3 = 0;
             SAVEPOINT s; INSERT INTO keyless VALUES (-1); ROLLBACK TO s;
             UPDATE keyed SET id = -id WHERE id = {round} * 1000 + 1;
             DELETE FROM keyed WHERE id = {round} * 1000 + 2;
             INSERT INTO keyed VALUES ({round} * 1000 + 2, 'again', NULL);
             UPDATE swapped SET place = -1 WHERE place = 1;
             UPDATE swapped SET place = 1 WHERE place = 2;
             UPDATE swapped SET place = 2 WHERE place = -1;
             COMMIT"
        ))
        .await;
}

#[tokio::test]
async fn a_kill_at_any_batch_loses_and_repeats_nothing() {
    let database = TestDatabase::create().await;
    database
        .run(
            "CREATE TABLE keyed (id int PRIMARY KEY, note text, large text);
             ALTER TABLE keyed ALTER large SET STORAGE EXTERNAL;
             CREATE TABLE keyless (line int);
             CREATE TABLE swapped (place int PRIMARY KEY, who text);
             INSERT INTO swapped VALUES (1, 'a'), (2, 'b')",
        )
        .await;
    let mut copy = Copy::new(database.source());
    copy.context.limits.max_events = 13;
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    for round in 1..=5 {
        change(&database, round).await;
        for batches in 0..4 {
            for _ in 0..batches {
                copy.step().await.unwrap();
            }
            copy.kill(database.source()).await;
            copy.start().await.unwrap();
        }
    }
    copy.finish(&database).await;
}

#[tokio::test]
async fn what_was_delivered_but_not_saved_comes_again() {
    let database = TestDatabase::create().await;
    database.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut copy = Copy::of(&database).await;
    database.run("INSERT INTO t SELECT generate_series(1, 100)").await;
    for _ in 0..3 {
        // Taken out and forgotten.
        let batch = copy.source.next_batch().await.unwrap().unwrap();
        assert!(batch.offset.get("cdc").is_some());
        copy.kill(database.source()).await;
        copy.start().await.unwrap();
    }
    copy.finish(&database).await;
}
