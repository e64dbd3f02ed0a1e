//! What a read keeps others from, and how it ends.

use cdc_testservers::Options as ServerOptions;
use tokio::time::Instant;

use super::*;

async fn large_table(database: &TestDatabase) {
    database
        .run(
            "CREATE TABLE t (v text);
             INSERT INTO t SELECT repeat('x', 1000) FROM generate_series(1, 4000)",
        )
        .await;
}

/// A read of a table without a key that stands in the middle of its rows.
async fn standing_read(database: &TestDatabase) -> (Copy, ReadId) {
    let mut copy = Copy::new(database, 1, ChunkTarget::default());
    copy.want(database, &whole(database, "t").await, 1).await;
    match copy.first_of_a_read().await {
        Answer::Began(read, _) => (copy, read),
        other => panic!("{other:?}"),
    }
}

async fn locks_on(database: &TestDatabase) -> Vec<String> {
    let rows = database
        .sql
        .query(
            "SELECT DISTINCT mode FROM pg_locks WHERE relation = 't'::regclass AND pid <> pg_backend_pid() ORDER BY 1",
            &[],
        )
        .await
        .unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

async fn until_free(database: &TestDatabase) -> Duration {
    let begin = Instant::now();
    while !locks_on(database).await.is_empty() {
        assert!(begin.elapsed() < PATIENCE, "the lock stays");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    begin.elapsed()
}

#[tokio::test]
async fn a_read_has_the_weakest_lock_alone_and_forgetting_it_ends_it() {
    let database = TestDatabase::create().await;
    large_table(&database).await;
    let (mut copy, read) = standing_read(&database).await;
    assert_eq!(locks_on(&database).await, ["AccessShareLock"]);
    copy.ask(Ask::Forget(read)).await;
    until_free(&database).await;
    // The connection goes on.
    copy.merge.read_failed(read);
    copy.ask_all().await;
    let Answer::Began(again, _) = copy.answer().await else { panic!("no second read") };
    assert_ne!(read, again);
}

#[tokio::test]
async fn dropping_the_readers_ends_their_reads() {
    let database = TestDatabase::create().await;
    large_table(&database).await;
    let (copy, _) = standing_read(&database).await;
    drop(copy);
    until_free(&database).await;
}

#[tokio::test]
async fn a_lost_connection_is_told_and_made_anew() {
    let database = TestDatabase::create().await;
    large_table(&database).await;
    let (mut copy, read) = standing_read(&database).await;
    database
        .run("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE relation = 't'::regclass AND pid <> pg_backend_pid()")
        .await;
    for _ in 0..100 {
        copy.ask(Ask::More(read)).await;
    }
    loop {
        match copy.answer().await {
            Answer::Rows(..) => {}
            Answer::Failed(of, error) => {
                assert_eq!(of, read);
                assert_eq!(error.kind(), cdc_core::ErrorKind::Transient, "{error}");
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    copy.merge.read_failed(read);
    assert_eq!(copy.run().await.rows.len(), 4_000);
}

#[tokio::test]
async fn ddl_waits_for_a_chunk_at_most_and_the_next_chunk_waits_for_it() {
    let database = TestDatabase::on_own_server(ServerOptions::new()).await;
    database
        .run(
            "CREATE TABLE t (id int PRIMARY KEY, v text);
             INSERT INTO t SELECT n, repeat('x', 100) FROM generate_series(1, 200000) n",
        )
        .await;
    let mut copy =
        Copy::new(&database, 1, ChunkTarget { first_rows: 1_000, ..ChunkTarget::default() });
    let mut options = Options::clone(&copy.options);
    // So that the wait for a lock is seen to begin again.
    options.settings.snapshot_lock_timeout = Some(Duration::from_millis(50));
    copy.readers = Readers::start(&Arc::new(options), 1);
    copy.want(&database, &whole(&database, "t").await, 1).await;
    let ddl = database.session().await;
    let altering = tokio::spawn(async move {
        let mut longest = Duration::ZERO;
        for n in 0..10 {
            let begin = Instant::now();
            let alter =
                format!("BEGIN; ALTER TABLE t ADD c{n} int DEFAULT {n}; ALTER TABLE t DROP c{n}");
            ddl.batch_execute(&alter).await.unwrap();
            longest = longest.max(begin.elapsed());
            tokio::time::sleep(Duration::from_millis(60)).await;
            ddl.batch_execute("COMMIT").await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        longest
    });
    let copy = copy.run().await;
    let longest = altering.await.unwrap();
    assert_eq!(copy.rows.len(), 200_000);
    println!("DDL waited {longest:?} at most, {} chunks", copy.regions.len());
    assert!(longest < Duration::from_secs(5), "{longest:?}");
}
