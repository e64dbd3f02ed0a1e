//! While only another database of the cluster writes, the slot lets go of the log.

use std::time::Duration;

use cdc_testservers::{Options, private_postgres};

use crate::database::{Database, eventually};
use crate::program::Program;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_slot_follows_while_only_another_database_writes() {
    let server = private_postgres(Options::new()).unwrap();
    let source = Database::create(&server.url("postgres"), "idle").await;
    source.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let busy = Database::create(&server.url("postgres"), "busy").await;
    busy.run("CREATE TABLE noise (n int)").await;
    let folder = tempfile::tempdir().unwrap();
    let copy = format!("sqlite:{}", folder.path().join("copy.db").display());
    let state = folder.path().join("state");
    let mut program = Program::start(&[&source.url, &copy, "--state", state.to_str().unwrap()]);
    program.wait_for("streaming", Duration::from_secs(30));

    for _ in 0..3 {
        busy.run("INSERT INTO noise SELECT generate_series(1, 10000)").await;
        let written = busy.one("SELECT pg_current_wal_lsn()").await.unwrap();
        eventually("confirmed_flush_lsn follows", Duration::from_secs(5), async || {
            let behind =
                format!("SELECT confirmed_flush_lsn >= '{written}' FROM pg_replication_slots");
            source.one(&behind).await.as_deref() == Some("t")
        })
        .await;
    }
    program.signal("TERM");
    assert!(program.wait(Duration::from_secs(20)).success());
}
