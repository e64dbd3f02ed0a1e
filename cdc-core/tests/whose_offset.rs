//! A transactional sink's own offset is the truth; the store serves the others, and neither is passed over in silence.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use cdc_core::offset_store::{MemoryOffsetStore, OffsetStore, SinkOffsets};
use cdc_core::testkit::{MemoryLog, MemoryTarget, shop};
use cdc_core::{Change, ErrorKind, Pipeline, Result, SystemIdentity};

fn log() -> MemoryLog {
    let log = MemoryLog::new([shop::visits()]);
    log.commit([Change::create(shop::visit(1, "v"))]);
    log
}

#[test]
fn a_sink_that_keeps_no_offset_needs_a_store() {
    let error = Pipeline::builder("copy", log().source())
        .sink(MemoryTarget::new().idempotent("target"))
        .build()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains(".offsets(FileOffsetStore::open(..)?)"), "{error}");
}

async fn run(log: &MemoryLog, target: &MemoryTarget, store: &Arc<MemoryOffsetStore>) -> Result<()> {
    Pipeline::builder("copy", log.source())
        .sink(target.transactional("target"))
        .offsets(Arc::clone(store))
        .until_caught_up()
        .build()?
        .run()
        .await
}

#[tokio::test(start_paused = true)]
async fn the_offset_in_the_target_wins_over_an_older_one_in_the_store() {
    let (log, target, store) = (log(), MemoryTarget::new(), Arc::new(MemoryOffsetStore::new()));
    run(&log, &target, &store).await.unwrap();
    let older = store.open("copy").await.unwrap();
    log.commit([Change::create(shop::visit(2, "v"))]);
    run(&log, &target, &store).await.unwrap();
    store.save("copy", &older).await.unwrap();
    log.commit([Change::create(shop::visit(3, "v"))]);
    run(&log, &target, &store).await.unwrap();
    assert_eq!(target.rows("public.visits"), log.rows("public.visits"));
}

#[tokio::test(start_paused = true)]
async fn a_target_that_was_wiped_is_noticed() {
    let (log, target, store) = (log(), MemoryTarget::new(), Arc::new(MemoryOffsetStore::new()));
    run(&log, &target, &store).await.unwrap();
    target.wipe();
    let error = run(&log, &target, &store).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("sink target has no offset"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_store_is_told_the_offsets_of_all_sinks() {
    let (log, target, store) = (log(), MemoryTarget::new(), Arc::new(MemoryOffsetStore::new()));
    run(&log, &target, &store).await.unwrap();
    let expected = SinkOffsets::from([("target".to_owned(), target.offset().unwrap())]);
    assert_eq!(store.open("copy").await.unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_the_source_is_refused() {
    let (log, target) = (log(), MemoryTarget::new());
    target.set_identity(cdc_core::Source::identity(&log.source()).unwrap());
    let build = || {
        Pipeline::builder("copy", log.source())
            .sink(target.transactional("target"))
            .until_caught_up()
            .build()
            .unwrap()
    };
    let error = build().run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("the source itself"), "{error}");
    target.set_identity(SystemIdentity { system: "other".into(), database: "shop".into() });
    build().run().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_was_superseded_writes_nothing_more() {
    let (log, target) = (log(), MemoryTarget::new());
    let mut old = Pipeline::builder("copy", log.source())
        .sink(target.transactional("target"))
        .build()
        .unwrap()
        .spawn();
    cdc_core::testkit::eventually("it has caught up", || {
        target.offset().is_some_and(|offset| offset.to_string().contains("streaming"))
    })
    .await;
    // Another instance, on a machine that cannot see the first, takes the fence.
    let mut other = target.transactional("target");
    cdc_core::TransactionalSink::load(&mut other, "copy").await.unwrap();
    // It is fenced also when its connection is lost first: loading again must not take the fence back.
    target.fail(cdc_core::testkit::Fault::Fail(cdc_core::Error::transient("connection lost")));
    log.commit([Change::create(shop::visit(2, "v"))]);
    assert_eq!(old.wait().await.unwrap_err().kind(), ErrorKind::Fenced);
    assert_eq!(target.rows("public.visits").len(), 1);
}
