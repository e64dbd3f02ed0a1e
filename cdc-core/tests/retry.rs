//! After a failed write nothing newer is sent; everything from the first batch that is not durable is written again.
#![allow(clippy::unwrap_used)]

use cdc_core::offset_store::MemoryOffsetStore;
use cdc_core::testkit::{Fault, MemoryLog, MemoryTarget, eventually, shop};
use cdc_core::{BatchLimits, Change, Error, Handle, Pipeline};

fn visits(log: &MemoryLog, numbers: std::ops::RangeInclusive<i64>) {
    for number in numbers {
        log.commit([Change::create(shop::visit(number, "v"))]);
    }
}

fn log() -> MemoryLog {
    MemoryLog::new([shop::visits(), shop::orders()])
}

fn spawn(log: &MemoryLog, target: &MemoryTarget) -> Handle {
    Pipeline::builder("copy", log.source().without_snapshot())
        .sink(target.transactional("target"))
        .limits(BatchLimits { max_events: 1, ..BatchLimits::default() })
        .build()
        .unwrap()
        .spawn()
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_failed_is_made_again() {
    let (log, target) = (log(), MemoryTarget::new());
    for _ in 0..5 {
        target.fail(Fault::Fail(Error::transient("connection lost")));
    }
    visits(&log, 1..=3);
    let handle = spawn(&log, &target);
    eventually("all rows land", || target.rows("public.visits").len() == 3).await;
    assert_eq!(target.rows("public.visits"), log.rows("public.visits"));
    assert!(handle.status().retries >= 5);
    eventually("the error is over", || handle.status().sinks[0].error.is_none()).await;
    handle.abort();
}

#[tokio::test(start_paused = true)]
async fn a_commit_in_doubt_is_looked_up_before_it_is_made_again() {
    let (log, target) = (log(), MemoryTarget::new());
    for _ in 0..3 {
        target.fail(Fault::InDoubt(Error::transient("connection lost during commit")));
        target.fail(Fault::Fail(Error::transient("connection lost")));
    }
    visits(&log, 1..=5);
    let handle = spawn(&log, &target);
    eventually("all rows land", || target.rows("public.visits").len() >= 5).await;
    handle.stop();
    handle.join().await.unwrap();
    // Without a key a second commit of one batch would show.
    assert_eq!(target.rows("public.visits"), log.rows("public.visits"));
}

#[tokio::test(start_paused = true)]
async fn what_was_written_behind_a_failure_is_written_again_in_order() {
    let (log, target) = (log(), MemoryTarget::new());
    for note in ["a", "b", "c", "d", "e"] {
        log.commit([Change::create(shop::order(1, note))]);
    }
    let handle = Pipeline::builder("copy", log.source().without_snapshot())
        .sink(target.pending("target"))
        .offsets(MemoryOffsetStore::new())
        .max_in_flight(4)
        .build()
        .unwrap()
        .spawn();
    eventually("four writes are on their way", || target.waiting() == [1, 2, 3, 4]).await;
    target.settle(1, Ok(()));
    eventually("a fifth follows", || target.waiting() == [2, 3, 4, 5]).await;
    target.settle(2, Err(Error::transient("connection lost")));
    target.settle(4, Ok(()));
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert_eq!(target.waiting(), [3, 5], "nothing newer is sent before all have settled");
    target.settle(3, Ok(()));
    target.settle(5, Ok(()));
    eventually("the rest is sent again", || target.waiting() == [2, 3, 4, 5]).await;
    for sequence in 2..=5 {
        target.settle(sequence, Ok(()));
    }
    eventually("all is saved", || {
        log.acknowledged().is_some_and(|offset| offset.get("commit").unwrap() == 5)
    })
    .await;
    assert_eq!(target.rows("public.orders"), [shop::order(1, "e")]);
    handle.abort();
}

#[tokio::test(start_paused = true)]
async fn only_the_durable_prefix_is_acknowledged() {
    let (log, target) = (log(), MemoryTarget::new());
    visits(&log, 1..=3);
    let handle = Pipeline::builder("copy", log.source().without_snapshot())
        .sink(target.pending("target"))
        .offsets(MemoryOffsetStore::new())
        .build()
        .unwrap()
        .spawn();
    eventually("three writes are on their way", || target.waiting().len() == 3).await;
    target.settle(2, Ok(()));
    target.settle(3, Ok(()));
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert_eq!(log.acknowledged(), None);
    target.settle(1, Ok(()));
    eventually("all three are acknowledged", || {
        log.acknowledged().is_some_and(|offset| offset.get("commit").unwrap() == 3)
    })
    .await;
    handle.abort();
}

#[tokio::test(start_paused = true)]
async fn a_source_that_lost_its_connection_goes_on_after_what_is_queued() {
    let (log, target) = (log(), MemoryTarget::new());
    target.hold();
    visits(&log, 1..=3);
    let handle = spawn(&log, &target);
    eventually("all is read", || handle.status().batches == 3).await;
    log.cut();
    visits(&log, 4..=5);
    eventually("it reads again", || handle.status().batches == 5).await;
    target.let_go();
    eventually("all rows land", || target.rows("public.visits").len() == 5).await;
    assert_eq!(target.rows("public.visits"), log.rows("public.visits"));
    assert_eq!(log.starts().last().unwrap().as_ref().unwrap().get("commit").unwrap(), 3);
    handle.abort();
}
