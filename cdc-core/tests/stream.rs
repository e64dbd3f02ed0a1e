//! A pipeline as a stream: acknowledged by its consumer, one event and all before it; the rest comes again.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use cdc_core::offset_store::{MemoryOffsetStore, OffsetStore};
use cdc_core::testkit::{MemoryLog, Moment, shop};
use cdc_core::{
    BatchLimits, Change, ChangeEvent, Error, ErrorKind, EventStream, Operation, Pipeline,
    PipelineBuilder, Result, Transform,
};
use futures_util::StreamExt as _;

fn log(rows: i64) -> MemoryLog {
    let log = MemoryLog::new([shop::visits()]);
    log.commit((1..=rows).map(|id| Change::create(shop::visit(id, "v"))));
    log
}

fn builder(log: &MemoryLog, store: &Arc<MemoryOffsetStore>) -> PipelineBuilder {
    Pipeline::builder("visits", log.source()).offsets(Arc::clone(store))
}

fn number(event: &ChangeEvent) -> i64 {
    event.after_as::<(i64, String)>().unwrap().unwrap().0
}

async fn next(stream: &mut EventStream) -> ChangeEvent {
    stream.next().await.unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_is_not_acknowledged_comes_again_also_inside_a_transaction() {
    let store = Arc::new(MemoryOffsetStore::new());
    let log = log(0);
    // The first transaction is empty, so that the snapshot is; the second one is streamed.
    let mut stream = builder(&log, &store).stream().unwrap();
    let wait = tokio::time::timeout(std::time::Duration::from_secs(10), stream.next()).await;
    assert!(wait.is_err(), "nothing to read yet");
    log.commit((1..=6).map(|id| Change::create(shop::visit(id, "v"))));
    for id in 1..=4 {
        let event = next(&mut stream).await;
        assert_eq!(number(&event), id);
        if id == 3 {
            stream.ack(&event);
        }
    }
    stream.close().await.unwrap();

    let mut stream = builder(&log, &store).stream().unwrap();
    for id in 4..=6 {
        let event = next(&mut stream).await;
        assert_eq!(number(&event), id);
        stream.ack(&event);
    }
    stream.close().await.unwrap();
    let saved = store.open("visits").await.unwrap().remove("stream").unwrap();
    assert_eq!(saved.get("commit").unwrap(), 2);
    assert_eq!(saved.get("cdc").unwrap().get("index"), None);
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_covers_all_events_before_it() {
    let (log, store) = (log(10), Arc::new(MemoryOffsetStore::new()));
    let mut stream = builder(&log, &store)
        .limits(BatchLimits { max_events: 3, ..BatchLimits::default() })
        .until_caught_up()
        .stream()
        .unwrap();
    let mut last = None;
    for _ in 0..10 {
        last = Some(next(&mut stream).await);
    }
    stream.ack(&last.unwrap());
    assert!(stream.next().await.is_none(), "all is acknowledged, so it has caught up");
    stream.close().await.unwrap();
    assert_eq!(log.acknowledged().unwrap().get("commit").unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_stream_saves_what_was_acknowledged() {
    let (log, store) = (log(0), Arc::new(MemoryOffsetStore::new()));
    let mut stream = builder(&log, &store).stream().unwrap();
    assert!(tokio::time::timeout(std::time::Duration::from_secs(1), stream.next()).await.is_err());
    let commit = log.commit([Change::create(shop::visit(1, "v"))]);
    let event = next(&mut stream).await;
    stream.ack(&event);
    drop(stream);
    cdc_core::testkit::eventually("it is saved and released", || {
        log.acknowledged().is_some_and(|offset| offset.get("commit").unwrap() == commit)
    })
    .await;
}

#[derive(Clone)]
struct Triples;

impl Transform for Triples {
    fn apply(&mut self, event: ChangeEvent, out: &mut Vec<ChangeEvent>) -> Result<()> {
        out.extend([event.clone(), event.clone(), event]);
        Ok(())
    }
    fn name(&self) -> &str {
        "triples"
    }
    fn boxed_clone(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}

#[tokio::test(start_paused = true)]
async fn of_events_made_of_one_the_last_counts() {
    let (log, store) = (log(0), Arc::new(MemoryOffsetStore::new()));
    let mut stream = builder(&log, &store).transform(Triples).stream().unwrap();
    assert!(tokio::time::timeout(std::time::Duration::from_secs(1), stream.next()).await.is_err());
    log.commit((1..=3).map(|id| Change::create(shop::visit(id, "v"))));
    let mut numbers = Vec::new();
    for count in 1..=5 {
        let event = next(&mut stream).await;
        numbers.push(number(&event));
        if count == 5 {
            stream.ack(&event);
        }
    }
    assert_eq!(numbers, [1, 1, 1, 2, 2]);
    stream.close().await.unwrap();
    let mut stream = builder(&log, &store).transform(Triples).stream().unwrap();
    assert_eq!(number(&next(&mut stream).await), 2, "the second one was not done");
}

#[tokio::test(start_paused = true)]
async fn tables_announce_themselves_only_where_asked_for() {
    for wanted in [false, true] {
        let (log, store) = (log(1), Arc::new(MemoryOffsetStore::new()));
        let mut builder = builder(&log, &store);
        if wanted {
            builder = builder.with_table_events();
        }
        let mut stream = builder.stream().unwrap();
        let first = next(&mut stream).await;
        assert_eq!(first.operation() == Some(Operation::Table), wanted);
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_is_the_last_item() {
    let (log, store) = (log(1), Arc::new(MemoryOffsetStore::new()));
    let mut stream = builder(&log, &store).stream().unwrap();
    let event = next(&mut stream).await;
    stream.ack(&event);
    log.fail(Moment::Read, Error::configuration("the slot is gone"));
    log.commit([]);
    let error = stream.next().await.unwrap().unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string()),
        (ErrorKind::Configuration, "the slot is gone".into())
    );
    assert!(stream.next().await.is_none());
    stream.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_error_at_the_start_is_an_item_too() {
    let (log, store) = (log(1), Arc::new(MemoryOffsetStore::new()));
    log.fail(Moment::Acquire, Error::configuration("wal_level is replica"));
    let mut stream = builder(&log, &store).stream().unwrap();
    assert!(stream.next().await.unwrap().is_err());
    assert!(stream.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn the_stream_reads_ahead_within_its_bound_and_not_beyond_a_slow_consumer() {
    let (log, store) = (log(0), Arc::new(MemoryOffsetStore::new()));
    let mut stream = builder(&log, &store).queue_bytes(4 << 10).stream().unwrap();
    for id in 0..200 {
        log.commit([Change::create(shop::visit(id, "v"))]);
    }
    tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    let read = stream.status().events;
    // Events are held back from acknowledgement for as long as the consumer likes.
    let mut events = Vec::new();
    while events.len() < 200 {
        events.push(next(&mut stream).await);
    }
    assert!(read < 50, "read ahead: {read}");
    stream.ack(events.last().unwrap());
    stream.close().await.unwrap();
}

#[tokio::test]
async fn a_stream_needs_a_store() {
    let error = Pipeline::builder("visits", log(0).source()).stream().unwrap_err();
    assert!(error.to_string().contains(".offsets(FileOffsetStore::open(..)?)"), "{error}");
}
