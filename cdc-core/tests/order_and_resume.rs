//! Batches are ordered inside a run; a new run goes on where the sink is, with nothing lost and nothing twice.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use cdc_core::offset_store::MemoryOffsetStore;
use cdc_core::testkit::{Fault, MemoryLog, MemoryTarget, eventually, shop};
use cdc_core::{BatchLimits, Change, Error, Pipeline, PipelineBuilder, RetryPolicy};

fn small_batches(builder: PipelineBuilder) -> PipelineBuilder {
    let millis = std::time::Duration::from_millis;
    builder
        .limits(BatchLimits { max_events: 2, ..BatchLimits::default() })
        .retry(RetryPolicy { base: millis(1), max: millis(10) })
}

/// A log whose changes depend on their order: keys are swapped, rows deleted and made again.
fn eventful_log() -> MemoryLog {
    let log = MemoryLog::new([shop::orders(), shop::visits()]);
    log.commit([
        Change::create(shop::order(1, "pen")),
        Change::create(shop::order(2, "ink")),
        Change::create(shop::visit(1, "first")),
        Change::create(shop::visit(1, "first")),
        Change::create(shop::order(3, "cup")),
    ]);
    log.commit([
        Change::update(Some(shop::order(1, "pen")), shop::order(9, "pen")),
        Change::update(Some(shop::order(2, "ink")), shop::order(1, "ink")),
        Change::update(Some(shop::order(9, "pen")), shop::order(2, "pen")),
        Change::delete(shop::order(3, "cup")),
        Change::create(shop::order(3, "mug")),
    ]);
    log.commit([Change::create(shop::visit(2, None::<&str>))]);
    log
}

fn assert_copied(log: &MemoryLog, target: &MemoryTarget) {
    for table in ["public.orders", "public.visits"] {
        assert_eq!(target.rows(table), log.rows(table), "{table}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_equals_its_source_whatever_connection_is_lost_at_whatever_read() {
    for cuts in 0..12 {
        for snapshot in [true, false] {
            let log = eventful_log();
            let target = MemoryTarget::new();
            let source = if snapshot { log.source() } else { log.source().without_snapshot() };
            let handle = small_batches(Pipeline::builder("copy", source))
                .sink(target.transactional("target"))
                .build()
                .unwrap()
                .spawn();
            for _ in 0..cuts {
                log.cut();
                tokio::task::yield_now().await;
            }
            eventually("it has caught up", || target.rows("public.visits").len() == 3).await;
            log.commit([Change::create(shop::order(4, "end"))]);
            eventually("it follows", || target.rows("public.orders").len() == 4).await;
            assert_copied(&log, &target);
            handle.stop();
            handle.join().await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_aborted_anywhere_is_gone_on_with_exactly_once() {
    for batches in 0..12 {
        for snapshot in [true, false] {
            let log = eventful_log();
            let target = MemoryTarget::new();
            let source = if snapshot { log.source() } else { log.source().without_snapshot() };
            // The commit after so many batches never ends.
            let mut handle = small_batches(Pipeline::builder("copy", source))
                .sink(target.transactional("target"))
                .build()
                .unwrap()
                .spawn();
            while target.counts().0 < batches && target.rows("public.visits").len() < 3 {
                tokio::task::yield_now().await;
            }
            handle.abort();
            assert!(handle.wait().await.is_err());

            log.commit([Change::delete(shop::order(2, "pen"))]);
            let source = if snapshot { log.source() } else { log.source().without_snapshot() };
            small_batches(Pipeline::builder("copy", source))
                .sink(target.transactional("target"))
                .until_caught_up()
                .build()
                .unwrap()
                .run()
                .await
                .unwrap();
            assert_copied(&log, &target);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_transaction_cut_into_batches_goes_on_inside() {
    let log = MemoryLog::new([shop::visits()]);
    log.commit((0..7).map(|id| Change::create(shop::visit(id, "v"))));
    let target = MemoryTarget::new();
    for fault in [Fault::None, Fault::None, Fault::Fail(Error::data("stop here"))] {
        target.fail(fault);
    }
    let run = |log: &MemoryLog| {
        small_batches(Pipeline::builder("copy", log.source().without_snapshot()))
            .sink(target.transactional("target"))
            .until_caught_up()
            .build()
            .unwrap()
            .run()
    };
    run(&log).await.unwrap_err();
    let reached = target.offset().unwrap();
    assert_eq!(reached.get("cdc").and_then(|ours| ours.get("index")).unwrap(), 4);
    run(&log).await.unwrap();
    assert_copied_visits(&log, &target);
}

fn assert_copied_visits(log: &MemoryLog, target: &MemoryTarget) {
    assert_eq!(target.rows("public.visits"), log.rows("public.visits"));
}

#[tokio::test(start_paused = true)]
async fn an_idle_position_is_saved_too() {
    let log = MemoryLog::new([shop::orders()]);
    let target = MemoryTarget::new();
    let handle = Pipeline::builder("copy", log.source())
        .sink(target.transactional("target"))
        .build()
        .unwrap()
        .spawn();
    let idle = log.commit([]);
    eventually("the position moves", || {
        log.acknowledged().is_some_and(|offset| offset.get("commit").unwrap() == idle)
    })
    .await;
    handle.abort();
}

#[tokio::test(start_paused = true)]
async fn the_store_resumes_a_sink_that_keeps_no_offset() {
    let log = eventful_log();
    let (target, store) = (MemoryTarget::new(), Arc::new(MemoryOffsetStore::new()));
    for _ in 0..3 {
        small_batches(Pipeline::builder("copy", log.source()))
            .sink(target.idempotent("target"))
            .offsets(Arc::clone(&store))
            .until_caught_up()
            .build()
            .unwrap()
            .run()
            .await
            .unwrap();
        assert_copied(&log, &target);
        log.commit([Change::create(shop::order(
            log.rows("public.orders").len() as i64 + 10,
            "more",
        ))]);
    }
    assert_eq!(log.starts().iter().filter(|start| start.is_none()).count(), 1);
}
