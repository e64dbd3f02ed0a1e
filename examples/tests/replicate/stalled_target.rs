//! A target that takes nothing for a while, and a source that has nothing to say.

use std::time::{Duration, Instant};

use cdc_testservers::{Options, private_postgres};

use crate::database::{Database, eventually};
use crate::program::Program;

/// The stall, in seconds; `CDC_STALL_SECONDS=60` makes it a long one.
const STALL: u64 = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_target_stalls_the_connection_lives_and_memory_is_bounded() {
    let seconds = std::env::var("CDC_STALL_SECONDS").ok().and_then(|text| text.parse().ok());
    let stall = Duration::from_secs(seconds.unwrap_or(STALL));
    // The server gives a reader up that says nothing for so long.
    let impatient = private_postgres(Options::new().setting("wal_sender_timeout", "2s")).unwrap();
    let source = Database::create(&impatient.url("postgres"), "stalled").await;
    source.run("CREATE TABLE t (id int PRIMARY KEY, note text)").await;
    let target = Database::shared("stalled_copy").await;
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let arguments = [&source.url, &target.url, "--state", state.to_str().unwrap()];
    let mut program = Program::start(&arguments);
    program.wait_for("streaming", Duration::from_secs(30));
    let sender = "SELECT pid FROM pg_stat_replication";
    let connection = source.one(sender).await.unwrap();
    source.run("INSERT INTO t VALUES (0, 'first')").await;
    let first = "SELECT note FROM t WHERE id = 0";
    eventually("the first row", Duration::from_secs(10), async || {
        target.one(first).await.is_some()
    })
    .await;

    target.run("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE").await;
    let stalled = Instant::now();
    let mut next = 1;
    while stalled.elapsed() < stall {
        let rows = format!(
            "INSERT INTO t SELECT id, repeat(md5(id::text), 8) FROM generate_series({next}, {next} + 999) AS id"
        );
        source.run(&rows).await;
        next += 1000;
        assert_eq!(source.one(sender).await.unwrap(), connection, "the connection lives");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    target.run("COMMIT").await;

    let last = format!("SELECT note FROM t WHERE id = {}", next - 1);
    eventually("the last row", Duration::from_secs(60), async || target.one(&last).await.is_some())
        .await;
    assert_eq!(source.one(sender).await.unwrap(), connection, "the connection lives");
    let peak = program.peak_memory();
    println!("{} rows of 256 bytes, peak memory {peak} MB", next - 1);
    assert!(peak < 100, "{peak} MB");
    program.signal("TERM");
    assert!(program.wait(Duration::from_secs(20)).success());
    source.assert_copied_to(&target).await;
    target.drop_now().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_source_hardly_wakes_anybody() {
    // What other databases write wakes a reader of the log too.
    let server = private_postgres(Options::new()).unwrap();
    let source = Database::create(&server.url("postgres"), "asleep").await;
    source.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let folder = tempfile::tempdir().unwrap();
    let copy = format!("sqlite:{}", folder.path().join("copy.db").display());
    let state = folder.path().join("state");
    let mut program = Program::start(&[&source.url, &copy, "--state", state.to_str().unwrap()]);
    program.wait_for("streaming", Duration::from_secs(30));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (before, since) = (program.waits(), Instant::now());
    tokio::time::sleep(Duration::from_secs(5)).await;
    let a_second = (program.waits() - before) as f64 / since.elapsed().as_secs_f64();
    println!("{a_second:.1} wake-ups a second");
    assert!(a_second <= 20.0, "{a_second:.1} wake-ups a second");
    program.signal("TERM");
    assert!(program.wait(Duration::from_secs(20)).success());
}
