//! A kill during the copy: the slot is kept, the copy is made anew, and what it shows is left out of the stream.

mod support;

use support::{Copy, TestDatabase};

async fn tables(database: &TestDatabase) {
    database
        .run(
            "CREATE TABLE keyed (id int PRIMARY KEY, note text);
             CREATE TABLE keyless (line int);
             CREATE TABLE other (id int PRIMARY KEY);
             INSERT INTO keyed SELECT i, 'first' FROM generate_series(1, 500) i;
             INSERT INTO keyless SELECT generate_series(1, 500);
             INSERT INTO other SELECT generate_series(1, 50)",
        )
        .await;
}

#[tokio::test]
async fn no_row_is_lost_twice_or_a_ghost() {
    let database = TestDatabase::create().await;
    tables(&database).await;
    for batches in [1, 2, 3, 20, 40] {
        let mut copy = Copy::new(database.source());
        copy.context.limits.max_events = 20;
        copy.start().await.unwrap();
        for _ in 0..batches {
            copy.step().await.unwrap();
        }
        copy.kill(database.source()).await;
        // An open transaction that the new read does not show, and others that it shows.
        let open = database.session().await;
        open.batch_execute(
            "BEGIN; INSERT INTO keyless VALUES (7777); UPDATE keyed SET note = 'open' WHERE id = 9",
        )
        .await
        .unwrap();
        database
            .run(
                "DELETE FROM keyed WHERE id % 5 = 0;
                 INSERT INTO keyed SELECT i, 'again' FROM generate_series(5, 50, 5) i;
                 UPDATE keyed SET note = 'u' WHERE id = 4;
                 INSERT INTO keyless SELECT generate_series(1, 30);
                 TRUNCATE other; INSERT INTO other VALUES (1)",
            )
            .await;
        copy.start().await.unwrap();
        // Making a slot waits for it, so it ends by itself.
        let commit = tokio::spawn(async move {
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            open.batch_execute("COMMIT").await.unwrap();
        });
        for _ in 0..3 {
            copy.step().await.unwrap();
        }
        commit.await.unwrap();
        database
            .run("INSERT INTO keyless VALUES (8888); UPDATE keyed SET note = 'late' WHERE id = 4; DELETE FROM keyed WHERE id = 9; INSERT INTO keyed VALUES (9, 'back')")
            .await;
        // And once more in the middle of it.
        copy.kill(database.source()).await;
        copy.start().await.unwrap();
        copy.catch_up().await.unwrap();
        database.run("INSERT INTO keyless VALUES (9999)").await;
        copy.kill(database.source()).await;
        copy.start().await.unwrap();
        copy.finish(&database).await;
        copy.source.remove("test").await.unwrap();
    }
}

#[tokio::test]
async fn a_kill_between_the_intent_and_the_slot_makes_the_slot_again() {
    let database = TestDatabase::create().await;
    tables(&database).await;
    let mut copy = Copy::new(database.source());
    copy.start().await.unwrap();
    // The intent is saved by the first step; the slot is made right after it.
    copy.step().await.unwrap();
    copy.kill(database.source()).await;
    copy.start().await.unwrap();
    copy.finish(&database).await;
    copy.source.remove("test").await.unwrap();
}

#[tokio::test]
async fn tables_that_are_truncated_all_the_time_are_copied_right() {
    let database = TestDatabase::create().await;
    tables(&database).await;
    for _ in 0..5 {
        let writer = database.session().await;
        let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            while stopped.try_recv().is_err() {
                writer
                    .batch_execute("TRUNCATE keyless; INSERT INTO keyless VALUES (1), (2)")
                    .await
                    .unwrap();
                writer
                    .batch_execute("ALTER TABLE keyed ALTER note TYPE text COLLATE \"C\"")
                    .await
                    .unwrap();
            }
        });
        let mut copy = Copy::new(database.source());
        let started = copy.start().await;
        started.unwrap();
        loop {
            // A table that is locked or gone in a bad moment is a transient error.
            match copy.catch_up().await {
                Ok(()) => break,
                Err(error) if error.is_transient() => copy.start().await.unwrap(),
                Err(error) => panic!("{error}"),
            }
        }
        let _ = stop.send(());
        task.await.unwrap();
        copy.finish(&database).await;
        copy.source.remove("test").await.unwrap();
    }
}
