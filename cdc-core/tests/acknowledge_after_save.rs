//! The source's log is released only up to offsets that are saved.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cdc_core::offset_store::{MemoryOffsetStore, OffsetStore, SinkOffsets};
use cdc_core::testkit::{MemoryLog, MemoryTarget, eventually, shop};
use cdc_core::{Change, Error, Offset, Pipeline, Result};
use tokio::sync::Notify;

/// A store whose saves wait until they are let through.
#[derive(Default)]
struct SlowStore {
    inner: MemoryOffsetStore,
    let_through: Notify,
}

#[async_trait]
impl OffsetStore for SlowStore {
    async fn open(&self, pipeline: &str) -> Result<SinkOffsets> {
        self.inner.open(pipeline).await
    }
    async fn save(&self, pipeline: &str, offsets: &SinkOffsets) -> Result<()> {
        self.let_through.notified().await;
        self.inner.save(pipeline, offsets).await
    }
    async fn forget(&self, pipeline: &str) -> Result<()> {
        self.inner.forget(pipeline).await
    }
    async fn close(&self, pipeline: &str) -> Result<()> {
        self.inner.close(pipeline).await
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_released_before_the_store_has_it() {
    let log = MemoryLog::new([shop::orders()]);
    log.commit([Change::create(shop::order(1, "pen"))]);
    let (target, store) = (MemoryTarget::new(), Arc::new(SlowStore::default()));
    let handle = Pipeline::builder("copy", log.source().without_snapshot())
        .sink(target.idempotent("target"))
        .offsets(Arc::clone(&store))
        .build()
        .unwrap()
        .spawn();
    eventually("the row lands", || !target.rows("public.orders").is_empty()).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(log.acknowledged(), None);

    store.let_through.notify_one();
    eventually("the log is released", || log.acknowledged().is_some()).await;
    let saved = store.inner.open("copy").await.unwrap();
    assert_eq!(saved.get("target"), log.acknowledged().as_ref());
    handle.abort();
}

#[tokio::test(start_paused = true)]
async fn a_transactional_sink_releases_the_log_with_its_commit() {
    let log = MemoryLog::new([shop::orders()]);
    let target = MemoryTarget::new();
    let handle = Pipeline::builder("copy", log.source())
        .sink(target.transactional("target"))
        .build()
        .unwrap()
        .spawn();
    log.commit([Change::create(shop::order(1, "pen"))]);
    eventually("the log is released", || {
        log.acknowledged().is_some()
            && log.acknowledged() == target.offset()
            && !target.rows("public.orders").is_empty()
    })
    .await;
    handle.stop();
    handle.join().await.unwrap();
}

/// The first start saves its intent before the source goes on: this takes a save at once, not at the timer's next turn.
#[tokio::test(start_paused = true)]
async fn an_offset_that_is_to_be_saved_now_does_not_wait_for_the_timer() {
    let log = MemoryLog::new([shop::orders()]);
    log.commit([Change::create(shop::order(1, "pen"))]);
    let target = MemoryTarget::new();
    let handle = Pipeline::builder("copy", log.source())
        .sink(target.idempotent("target"))
        .offsets(MemoryOffsetStore::new())
        .save_interval(Duration::from_secs(3600))
        .build()
        .unwrap()
        .spawn();
    eventually("the snapshot lands", || !target.rows("public.orders").is_empty()).await;
    handle.abort();
}

#[tokio::test(start_paused = true)]
async fn a_stop_saves_what_is_durable() {
    let log = MemoryLog::new([shop::orders()]);
    log.commit([Change::create(shop::order(1, "pen"))]);
    let (target, store) = (MemoryTarget::new(), Arc::new(MemoryOffsetStore::new()));
    Pipeline::builder("copy", log.source())
        .sink(target.idempotent("target"))
        .offsets(Arc::clone(&store))
        .save_interval(Duration::from_secs(3600))
        .until_caught_up()
        .build()
        .unwrap()
        .run()
        .await
        .unwrap();
    let saved: Offset = store.open("copy").await.unwrap().remove("target").unwrap();
    assert_eq!(Some(saved), log.acknowledged());
}

#[tokio::test(start_paused = true)]
async fn a_save_that_fails_is_tried_again_and_releases_nothing_meanwhile() {
    #[derive(Default)]
    struct FullDisk {
        inner: MemoryOffsetStore,
        failures: std::sync::atomic::AtomicU32,
    }
    #[async_trait]
    impl OffsetStore for FullDisk {
        async fn open(&self, pipeline: &str) -> Result<SinkOffsets> {
            self.inner.open(pipeline).await
        }
        async fn save(&self, pipeline: &str, offsets: &SinkOffsets) -> Result<()> {
            if self.failures.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < 5 {
                return Err(Error::transient("offset file offsets.json: no space left on device"));
            }
            self.inner.save(pipeline, offsets).await
        }
        async fn forget(&self, pipeline: &str) -> Result<()> {
            self.inner.forget(pipeline).await
        }
        async fn close(&self, pipeline: &str) -> Result<()> {
            self.inner.close(pipeline).await
        }
    }
    let log = MemoryLog::new([shop::orders()]);
    log.commit([Change::create(shop::order(1, "pen"))]);
    let handle = Pipeline::builder("copy", log.source().without_snapshot())
        .sink(MemoryTarget::new().idempotent("target"))
        .offsets(FullDisk::default())
        .build()
        .unwrap()
        .spawn();
    eventually("the failure is shown", || {
        handle.status().last_error.is_some_and(|error| error.contains("no space left"))
    })
    .await;
    assert_eq!(log.acknowledged(), None);
    eventually("it is saved in the end", || log.acknowledged().is_some()).await;
    assert_eq!(handle.status().last_error, None);
    handle.abort();
}
