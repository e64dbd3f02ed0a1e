//! A pipeline whose source copies and ends: it ends too, when all is durable.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use cdc_core::Pipeline;
use cdc_core::offset_store::FileOffsetStore;
use cdc_core::testkit::MemoryTarget;
use support::{PATIENCE, TestDatabase};

fn pipeline(database: &TestDatabase, target: &MemoryTarget, folder: &std::path::Path) -> Pipeline {
    Pipeline::builder("export", database.connector(&[("snapshot.mode", "initial_only")]))
        .offsets(FileOffsetStore::open(folder).unwrap())
        .sink(target.idempotent("target"))
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_pipeline_ends_with_ok_when_the_copy_is_durable() {
    let database = TestDatabase::create().await;
    database
        .run("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 1000)")
        .await;
    let folder = std::env::temp_dir().join(&database.name);
    let target = MemoryTarget::new();
    target.hold();
    let run = tokio::spawn(pipeline(&database, &target, &folder).run());
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!run.is_finished(), "what is not durable is not done");
    target.let_go();
    tokio::time::timeout(PATIENCE, run).await.unwrap().unwrap().unwrap();
    assert_eq!(target.rows("public.t").len(), 1000);
    let seen = target.seen().len();
    // The offset says that it is done.
    let again = tokio::spawn(pipeline(&database, &target, &folder).run());
    tokio::time::timeout(PATIENCE, again).await.unwrap().unwrap().unwrap();
    assert_eq!(target.seen().len(), seen);
    std::fs::remove_dir_all(folder).unwrap();
}
