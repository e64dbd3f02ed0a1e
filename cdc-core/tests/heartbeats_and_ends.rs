//! Heartbeats, and pipelines that end with an event.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use cdc_core::offset_store::{MemoryOffsetStore, OffsetStore as _};
use cdc_core::testkit::{MemoryLog, MemoryTarget, eventually, shop};
use cdc_core::{Change, Operation, Pipeline};
use futures_util::StreamExt as _;

const TABLE: &str = "public.orders";

fn log() -> MemoryLog {
    let log = MemoryLog::new([shop::orders()]);
    log.commit([Change::create(shop::order(1, "pen"))]);
    log
}

#[tokio::test(start_paused = true)]
async fn heartbeats_come_at_their_interval_and_are_acknowledged_like_events() {
    let store = Arc::new(MemoryOffsetStore::new());
    let mut stream = Pipeline::builder("copy", log().source())
        .offsets(Arc::clone(&store))
        .heartbeat(Duration::from_secs(5), "__debezium-heartbeat.shop", "shop")
        .stream()
        .unwrap();
    let first = stream.next().await.unwrap().unwrap();
    assert_eq!(first.destination.as_str(), TABLE);
    stream.ack(&first);
    let start = tokio::time::Instant::now();
    for _ in 0..3 {
        let beat = stream.next().await.unwrap().unwrap();
        assert_eq!(beat.destination.as_str(), "__debezium-heartbeat.shop");
        let server = beat.key.as_row().and_then(|key| key.by_name("serverName"));
        assert_eq!(server.map(|name| name.to_value()), Some("shop".into()));
        assert!(beat.origin().is_of_pipeline());
        stream.ack(&beat);
    }
    let waited = start.elapsed().as_secs();
    assert!((14..=16).contains(&waited), "{waited} s");
    stream.close().await.unwrap();
    // The offset is the log's, not one of a place where nothing stands.
    let offsets = store.open("copy").await.unwrap();
    assert_eq!(offsets.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_ends_with_the_event_it_waits_for_and_all_before_it_is_durable() {
    let (log, target) = (log(), MemoryTarget::new());
    let mut handle = Pipeline::builder("copy", log.source())
        .sink(target.transactional("target"))
        .until(|event| {
            let is = |row: &cdc_core::Row| *row == shop::order(3, "end");
            event.operation() == Some(Operation::Create) && event.after().is_some_and(is)
        })
        .build()
        .unwrap()
        .spawn();
    eventually("the copy is made", || !target.rows(TABLE).is_empty()).await;
    log.commit([Change::create(shop::order(2, "ink"))]);
    log.commit([Change::create(shop::order(3, "end")), Change::create(shop::order(4, "with it"))]);
    handle.wait().await.unwrap();
    assert_eq!(target.rows(TABLE).len(), 4);
}
