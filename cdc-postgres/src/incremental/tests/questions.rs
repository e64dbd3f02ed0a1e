//! What is asked of the server beside rows.

use cdc_core::snapshot::Began;
use cdc_testservers::Options as ServerOptions;

use super::*;
use crate::incremental::visible::Barrier;

async fn barrier_of(copy: &mut Copy) -> Barrier {
    let ticket = copy.merge.wants_barrier().expect("a question");
    copy.ask(Ask::Barrier(ticket)).await;
    match copy.answer().await {
        Answer::Barrier(of, barrier) if of == ticket => barrier,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_barrier_has_who_writes_here_once_and_nobody_from_elsewhere() {
    let database =
        TestDatabase::on_own_server(ServerOptions::new().setting("max_prepared_transactions", "4"))
            .await;
    database.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let elsewhere = TestDatabase::beside(&database).await;
    elsewhere.run("CREATE TABLE t (id int); BEGIN; INSERT INTO t VALUES (1)").await;
    let mut xids = Vec::new();
    let writer = database.session().await;
    writer
        .batch_execute(
            "BEGIN; SAVEPOINT a; INSERT INTO t VALUES (1); SAVEPOINT b; INSERT INTO t VALUES (2)",
        )
        .await
        .unwrap();
    xids.push(writer.query_one("SELECT txid_current()", &[]).await.unwrap().get::<_, i64>(0));
    let prepared = database.session().await;
    prepared.batch_execute("BEGIN; INSERT INTO t VALUES (3)").await.unwrap();
    xids.push(prepared.query_one("SELECT txid_current()", &[]).await.unwrap().get(0));
    prepared.batch_execute("PREPARE TRANSACTION 'p'").await.unwrap();
    let mut copy = Copy::new(&database, 1, ChunkTarget::default());
    copy.want(&database, &whole(&database, "t").await, 1).await;
    let barrier = barrier_of(&mut copy).await;
    let xids: Vec<u64> = xids.into_iter().map(|xid| u64::try_from(xid).unwrap()).collect();
    // The writer's session idles; of a prepared transaction anybody may write the commit.
    assert_eq!(barrier, Barrier { open: vec![xids[0]], perhaps_logged: vec![xids[1]] });
    database.run("ROLLBACK PREPARED 'p'").await;
}

#[tokio::test]
async fn the_barrier_has_a_commit_that_waits_for_a_synchronous_standby() {
    let database = TestDatabase::where_commits_can_wait().await;
    database.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let waiting = database.commit_that_waits("INSERT INTO t VALUES (1)").await;
    let mut copy = Copy::new(&database, 1, ChunkTarget::default());
    copy.want(&database, &whole(&database, "t").await, 1).await;
    let Barrier { perhaps_logged: barrier, open } = barrier_of(&mut copy).await;
    assert_eq!((barrier.len(), open.len()), (1, 0));
    copy.ask(Ask::Visible).await;
    let Answer::Visible(visible) = copy.answer().await else { panic!("no visible set") };
    assert!(!visible.has_ended(barrier[0]));

    database.let_commits_end().await;
    waiting.await.unwrap();
    copy.ask(Ask::Visible).await;
    let Answer::Visible(visible) = copy.answer().await else { panic!("no visible set") };
    assert!(visible.has_ended(barrier[0]));
}

#[tokio::test]
async fn an_idle_server_passes_the_horizon_right_after_a_switch_of_the_log() {
    let database = TestDatabase::on_own_server(ServerOptions::new()).await;
    database.run("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    database.run("SELECT pg_switch_wal()").await;
    let mut copy = Copy::new(&database, 1, ChunkTarget::default());
    copy.want(&database, &whole(&database, "t").await, 1).await;
    let Answer::Began(_, Began { horizon, .. }) = copy.first_of_a_read().await else {
        panic!("no beginning")
    };
    // What a reader of the log is told at most.
    let flushed = database.text("SELECT pg_current_wal_flush_lsn()::text").await.unwrap();
    assert!(horizon <= flushed.parse().unwrap(), "{horizon} is behind {flushed}");
}
