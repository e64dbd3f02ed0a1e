//! How it ends: drained, stopped, stopped at once.

use std::time::Duration;

use crate::database::Database;
use crate::program::{Program, drain};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigint_and_sigterm_stop_it_gracefully_and_the_next_start_goes_on() {
    let source = Database::shared("signals").await;
    source
        .run("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 1000)")
        .await;
    let target = Database::shared("signals_copy").await;
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let arguments = [source.url.as_str(), target.url.as_str(), "--state", state.to_str().unwrap()];
    for (round, signal) in ["INT", "TERM"].iter().enumerate() {
        let mut program = Program::start(&arguments);
        program.wait_for("streaming", Duration::from_secs(30));
        source.run(&format!("INSERT INTO t VALUES (-1 - {round})")).await;
        program.signal(signal);
        let status = program.wait(Duration::from_secs(20));
        assert_eq!(status.code(), Some(0), "{}", program.errors());
    }
    drain(&arguments);
    source.assert_copied_to(&target).await;
    for database in [source, target] {
        database.drop_now().await;
    }
}

#[tokio::test]
async fn drain_ends_when_all_that_was_committed_is_there_also_when_nothing_is() {
    let source = Database::shared("drains").await;
    source.run("CREATE TABLE t (id int PRIMARY KEY, note text)").await;
    let target = Database::shared("drains_copy").await;
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let arguments = [source.url.as_str(), target.url.as_str(), "--state", state.to_str().unwrap()];
    for round in 0..3 {
        drain(&arguments);
        source.assert_copied_to(&target).await;
        if round == 0 {
            source.run("INSERT INTO t SELECT i, 'n' FROM generate_series(1, 20000) i").await;
        }
    }
    for database in [source, target] {
        database.drop_now().await;
    }
}
