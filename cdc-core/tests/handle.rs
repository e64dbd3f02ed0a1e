//! The handle to a running pipeline: status, pause, resume, requests, stop, abort; standby and takeover.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use cdc_core::status::Phase;
use cdc_core::testkit::{Fault, MemoryLog, MemoryTarget, eventually, shop};
use cdc_core::{Change, Error, ErrorKind, Handle, Pipeline, Request, TableId};

const TABLE: &str = "public.orders";

fn spawn(log: &MemoryLog, target: &MemoryTarget) -> Handle {
    Pipeline::builder("copy", log.source())
        .sink(target.transactional("target"))
        .build()
        .unwrap()
        .spawn()
}

fn log() -> MemoryLog {
    let log = MemoryLog::new([shop::orders()]);
    log.commit([Change::create(shop::order(1, "pen"))]);
    log
}

#[tokio::test(start_paused = true)]
async fn the_status_counts_events_and_names_sinks() {
    let (log, target) = (log(), MemoryTarget::new());
    let handle = spawn(&log, &target);
    eventually("the row lands", || !target.rows(TABLE).is_empty()).await;
    eventually("the status follows", || {
        let status = handle.status();
        status.events == 2 && status.sinks[0].events == 2
    })
    .await;
    assert_eq!(handle.status().sinks[0].name, "target");
    handle.stop();
    handle.join().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_paused_pipeline_reads_nothing_until_it_is_resumed() {
    let (log, target) = (log(), MemoryTarget::new());
    let handle = spawn(&log, &target);
    eventually("it streams", || !target.rows(TABLE).is_empty()).await;
    handle.pause();
    eventually("it pauses", || handle.status().phase == Phase::Paused).await;
    log.commit([Change::create(shop::order(2, "ink"))]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(target.rows(TABLE).len(), 1);
    handle.resume();
    eventually("it goes on", || target.rows(TABLE).len() == 2).await;
    assert_ne!(handle.status().phase, Phase::Paused);
    handle.pause();
    handle.stop();
    handle.join().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_request_is_answered_when_an_offset_that_holds_it_is_saved() {
    let (log, target) = (log(), MemoryTarget::new());
    log.take_requests();
    let handle = spawn(&log, &target);
    eventually("it streams", || !target.rows(TABLE).is_empty()).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let request = Request::snapshot([TableId::new("public", "orders")]);
    let mut answer = Box::pin(handle.request(request.clone()));
    assert!(tokio::time::timeout(Duration::from_secs(60), &mut answer).await.is_err());
    assert_eq!(log.requests(), [request]);
    log.commit([]);
    answer.await.unwrap();
    handle.abort();
}

#[tokio::test(start_paused = true)]
async fn a_request_that_the_source_cannot_do_is_refused_by_name() {
    let (log, target) = (log(), MemoryTarget::new());
    let mut handle = spawn(&log, &target);
    let error = handle.request(Request::PauseSnapshot).await.unwrap_err();
    assert!(error.to_string().contains("pause-snapshot"), "{error}");
    handle.stop();
    handle.wait().await.unwrap();
    let error = handle.request(Request::PauseSnapshot).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_stop_writes_what_was_read_and_closes_everything() {
    let (log, target) = (log(), MemoryTarget::new());
    let handle = spawn(&log, &target);
    eventually("it streams", || !target.rows(TABLE).is_empty()).await;
    target.hold();
    log.commit([Change::create(shop::order(2, "ink"))]);
    eventually("it is read", || handle.status().events == 3).await;
    handle.stop();
    tokio::time::sleep(Duration::from_secs(5)).await;
    target.let_go();
    handle.join().await.unwrap();
    assert_eq!(target.rows(TABLE).len(), 2);
    assert_eq!(target.counts().2, 1);
    assert_eq!(log.acknowledged(), target.offset());
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_a_target_that_is_away() {
    let (log, target) = (log(), MemoryTarget::new());
    for _ in 0..1000 {
        target.fail(Fault::Fail(Error::transient("connection refused")));
    }
    let handle = spawn(&log, &target);
    eventually("it retries", || handle.status().sinks[0].error.is_some()).await;
    let begin = tokio::time::Instant::now();
    handle.stop();
    handle.join().await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_stop_gives_up_on_a_write_that_never_ends() {
    let (log, target) = (log(), MemoryTarget::new());
    target.hold();
    let handle = spawn(&log, &target);
    eventually("it is read", || handle.status().batches > 0).await;
    let begin = tokio::time::Instant::now();
    handle.stop();
    handle.join().await.unwrap();
    assert!(begin.elapsed() >= Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn an_abort_ends_at_once() {
    let (log, target) = (log(), MemoryTarget::new());
    target.hold();
    let mut handle = spawn(&log, &target);
    eventually("it is read", || handle.status().batches > 0).await;
    handle.abort();
    assert_eq!(handle.wait().await.unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(handle.status().phase, Phase::Stopped);
    assert_eq!(target.counts().2, 0);
}

#[tokio::test(start_paused = true)]
async fn run_until_stops_gracefully_when_its_future_ends() {
    let (log, target) = (log(), MemoryTarget::new());
    let pipeline = Pipeline::builder("copy", log.source())
        .sink(target.transactional("target"))
        .build()
        .unwrap();
    pipeline.run_until(tokio::time::sleep(Duration::from_secs(10))).await.unwrap();
    assert_eq!(target.rows(TABLE), log.rows(TABLE));
    assert_eq!(log.acknowledged(), target.offset());
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_ends_when_its_source_ends() {
    let (log, target) = (log(), MemoryTarget::new());
    log.end();
    spawn(&log, &target).join().await.unwrap();
    assert_eq!(target.rows(TABLE), log.rows(TABLE));
}

#[tokio::test(start_paused = true)]
async fn a_second_instance_waits_without_fencing_the_first_and_takes_over_after_it() {
    let (log, target) = (log(), MemoryTarget::new());
    let mut first = spawn(&log, &target);
    eventually("the first streams", || !target.rows(TABLE).is_empty()).await;
    let second = spawn(&log, &target);
    eventually("the second waits", || matches!(second.status().phase, Phase::Standby { .. })).await;
    log.commit([Change::create(shop::order(2, "ink"))]);
    eventually("the first still writes", || target.rows(TABLE).len() == 2).await;
    first.abort();
    first.wait().await.unwrap_err();
    log.commit([Change::create(shop::order(3, "cup"))]);
    eventually("the second writes", || target.rows(TABLE).len() == 3).await;
    second.stop();
    second.join().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_second_instance_that_is_not_to_wait_says_who_reads() {
    let (log, target) = (log(), MemoryTarget::new());
    let first = spawn(&log, &target);
    eventually("the first streams", || !target.rows(TABLE).is_empty()).await;
    let error = Pipeline::builder("copy", log.source())
        .sink(target.transactional("target"))
        .wait_for_takeover(false)
        .build()
        .unwrap()
        .run()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("read by instance"), "{error}");
    first.abort();
}
