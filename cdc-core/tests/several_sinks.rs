//! Several sinks share one reader; a slow or failing one holds the reader and never makes another lose data.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use cdc_core::offset_store::MemoryOffsetStore;
use cdc_core::testkit::{Fault, MemoryLog, MemoryTarget, eventually, shop};
use cdc_core::{
    BatchLimits, Change, ChangeEvent, Error, ErrorKind, Operation, Pipeline, Result, TableMapping,
    Transform,
};

const TABLE: &str = "public.visits";

fn log() -> MemoryLog {
    MemoryLog::new([shop::visits()])
}

fn commit(log: &MemoryLog, rows: i64) {
    let first = log.rows(TABLE).len() as i64;
    for id in first..first + rows {
        log.commit([Change::create(shop::visit(id, "v"))]);
    }
}

fn pipeline(log: &MemoryLog, targets: &[&MemoryTarget]) -> cdc_core::PipelineBuilder {
    let mut builder = Pipeline::builder("copy", log.source())
        .limits(BatchLimits { max_events: 2, ..BatchLimits::default() });
    for (index, target) in targets.iter().enumerate() {
        builder = builder.sink(target.transactional(&format!("target-{index}")));
    }
    builder
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_stands_still_holds_the_reader_and_loses_nothing() {
    let (log, fast, slow) = (log(), MemoryTarget::new(), MemoryTarget::new());
    let handle = pipeline(&log, &[&fast, &slow]).queue_bytes(8 << 10).build().unwrap().spawn();
    eventually("both stream", || fast.offset().is_some() && fast.offset() == slow.offset()).await;
    slow.hold();
    commit(&log, 200);
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    let read = handle.status().events;
    assert!(read < 100, "the queue of the slow sink bounds what is read: {read}");
    slow.let_go();
    eventually("both catch up", || fast.rows(TABLE).len() == 200 && slow.rows(TABLE).len() == 200)
        .await;
    assert_eq!((fast.rows(TABLE), slow.rows(TABLE)), (log.rows(TABLE), log.rows(TABLE)));
    handle.stop();
    handle.join().await.unwrap();
}

/// Every pair of kill points, in the snapshot and after it: each sink ends up exactly right, keyless rows included.
#[tokio::test(start_paused = true)]
async fn sinks_that_stopped_at_different_places_all_end_up_exactly_right() {
    for first in 0..9 {
        for second in 0..9 {
            let (log, a, b) = (log(), MemoryTarget::new(), MemoryTarget::new());
            commit(&log, 4);
            for (target, batches) in [(&a, first), (&b, second)] {
                for _ in 0..batches {
                    target.fail(Fault::None);
                }
                target.fail(Fault::Fail(Error::data("killed here")));
            }
            let handle = pipeline(&log, &[&a, &b]).build().unwrap().spawn();
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            commit(&log, 4);
            handle.join().await.unwrap_err();
            commit(&log, 1);
            // The other target may still have a fault in store.
            for _ in 0..2 {
                let result =
                    pipeline(&log, &[&a, &b]).until_caught_up().build().unwrap().run().await;
                if result.is_ok() {
                    break;
                }
                log.commit([Change::create(shop::visit(100, "between"))]);
            }
            pipeline(&log, &[&a, &b]).until_caught_up().build().unwrap().run().await.unwrap();
            assert_eq!(a.rows(TABLE), log.rows(TABLE), "a, killed at {first} and {second}");
            assert_eq!(b.rows(TABLE), log.rows(TABLE), "b, killed at {first} and {second}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_joins_later_is_refused_with_the_remedy() {
    let (log, a, b) = (log(), MemoryTarget::new(), MemoryTarget::new());
    commit(&log, 2);
    pipeline(&log, &[&a]).until_caught_up().build().unwrap().run().await.unwrap();
    let error =
        pipeline(&log, &[&a, &b]).until_caught_up().build().unwrap().run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("sink target-1 has no offset"), "{error}");
    assert!(error.remedy_text().unwrap().contains("snapshot"));
}

#[tokio::test(start_paused = true)]
async fn a_transactional_sink_and_one_with_a_store_run_side_by_side() {
    let (log, a, b) = (log(), MemoryTarget::new(), MemoryTarget::new());
    let store = Arc::new(MemoryOffsetStore::new());
    for _ in 0..3 {
        commit(&log, 3);
        pipeline(&log, &[&a])
            .sink(b.idempotent("b"))
            .offsets(Arc::clone(&store))
            .until_caught_up()
            .build()
            .unwrap()
            .run()
            .await
            .unwrap();
        assert_eq!((a.rows(TABLE), b.rows(TABLE)), (log.rows(TABLE), log.rows(TABLE)));
    }
}

#[derive(Clone)]
struct Doubles(TableMapping);

impl Transform for Doubles {
    fn apply(&mut self, event: ChangeEvent, out: &mut Vec<ChangeEvent>) -> Result<()> {
        if event.operation() == Some(Operation::Read) {
            out.push(event.clone());
        }
        out.push(event);
        Ok(())
    }
    fn name(&self) -> &str {
        "doubles"
    }
    fn tables(&self) -> TableMapping {
        self.0
    }
    fn boxed_clone(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}

#[tokio::test(start_paused = true)]
async fn the_common_chain_is_shared_and_each_sink_has_its_own_after_it() {
    let (log, plain, doubled) = (log(), MemoryTarget::new(), MemoryTarget::new());
    commit(&log, 3);
    pipeline(&log, &[&plain])
        .sink_with(
            vec![Box::new(Doubles(TableMapping::BySchema))],
            doubled.transactional("doubled"),
        )
        .until_caught_up()
        .build()
        .unwrap()
        .run()
        .await
        .unwrap();
    assert_eq!((plain.rows(TABLE).len(), doubled.rows(TABLE).len()), (3, 6));
}

#[tokio::test(start_paused = true)]
async fn table_events_end_before_a_transform_that_needs_rows() {
    for (mapping, exists) in [(TableMapping::BySchema, true), (TableMapping::ByContent, false)] {
        let (log, target) = (log(), MemoryTarget::new());
        Pipeline::builder("copy", log.source())
            .transform(Doubles(mapping))
            .sink(target.transactional("target"))
            .until_caught_up()
            .build()
            .unwrap()
            .run()
            .await
            .unwrap();
        assert_eq!(target.has_table(TABLE), exists);
    }
}
