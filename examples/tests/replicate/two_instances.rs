//! Two instances on one source and target: one works, the other waits; an old one is fenced.

use std::time::{Duration, Instant};

use cdc_testservers::{Options, private_postgres};

use crate::database::{Database, eventually};
use crate::program::Program;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_waits_and_takes_over_within_five_seconds_of_the_first_ones_death() {
    let source = Database::shared("standby").await;
    source.run("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    let target = Database::shared("standby_copy").await;
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let arguments = [source.url.as_str(), target.url.as_str(), "--state", state.to_str().unwrap()];

    let mut first = Program::start(&arguments);
    first.wait_for("streaming", Duration::from_secs(30));
    let mut second = Program::start(&arguments);
    second.wait_for("standby", Duration::from_secs(30));
    first.kill();
    let died = Instant::now();
    source.run("INSERT INTO t VALUES (2)").await;
    eventually("the second goes on", Duration::from_secs(5), async || {
        target.one("SELECT count(*) FROM t").await.as_deref() == Some("2")
    })
    .await;
    println!("took over after {:?}", died.elapsed());
    second.signal("TERM");
    assert!(second.wait(Duration::from_secs(20)).success());
    for database in [source, target] {
        database.drop_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_instance_that_wakes_up_again_is_fenced_and_writes_nothing() {
    let server = private_postgres(Options::new().setting("wal_sender_timeout", "2s")).unwrap();
    let source = Database::create(&server.url("postgres"), "fenced").await;
    source.run("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    let target = Database::shared("fenced_copy").await;
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let arguments = [source.url.as_str(), target.url.as_str(), "--state", state.to_str().unwrap()];

    let mut old = Program::start(&arguments);
    old.wait_for("streaming", Duration::from_secs(30));
    old.signal("STOP");
    let mut new = Program::start(&arguments);
    source.run("INSERT INTO t SELECT generate_series(2, 500)").await;
    eventually("the new one has taken over", Duration::from_secs(30), async || {
        target.one("SELECT count(*) FROM t").await.as_deref() == Some("500")
    })
    .await;
    target
        .run("CREATE TABLE oracle_writes (pid int); CREATE FUNCTION oracle_note() RETURNS trigger LANGUAGE plpgsql AS \
              $$ BEGIN INSERT INTO oracle_writes VALUES (pg_backend_pid()); RETURN NULL; END $$; \
              CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON t FOR EACH STATEMENT EXECUTE FUNCTION oracle_note()")
        .await;
    old.signal("CONT");
    source.run("INSERT INTO t SELECT generate_series(501, 600)").await;
    let status = old.wait(Duration::from_secs(30));
    assert_eq!(status.code(), Some(1), "{}", old.errors());
    eventually("the new one goes on", Duration::from_secs(10), async || {
        target.one("SELECT count(*) FROM t").await.as_deref() == Some("600")
    })
    .await;
    assert_eq!(
        target.one("SELECT count(DISTINCT pid) FROM oracle_writes").await.as_deref(),
        Some("1"),
        "one writer"
    );
    assert!(new.is_running(), "{}", new.errors());
    target.drop_now().await;
}
