//! What the pipeline does about an error depends on its kind alone.
#![allow(clippy::unwrap_used)]

use cdc_core::offset_store::MemoryOffsetStore;
use cdc_core::testkit::{Fault, MemoryLog, MemoryTarget, Moment, eventually, shop};
use cdc_core::{
    Change, ChangeEvent, Error, ErrorKind, Pipeline, PipelineBuilder, Result, Transform, Value,
};

fn log() -> MemoryLog {
    let log = MemoryLog::new([shop::orders()]);
    log.commit([Change::create(shop::order(1, "pen"))]);
    log
}

fn drain(log: &MemoryLog, target: &MemoryTarget) -> PipelineBuilder {
    Pipeline::builder("copy", log.source()).sink(target.transactional("target")).until_caught_up()
}

#[tokio::test(start_paused = true)]
async fn a_transient_error_is_retried_wherever_it_strikes() {
    for moment in [Moment::Acquire, Moment::Start, Moment::Read] {
        let (log, target) = (log(), MemoryTarget::new());
        for _ in 0..5 {
            log.fail(moment, Error::transient("the server restarts"));
        }
        drain(&log, &target).build().unwrap().run().await.unwrap();
        assert_eq!(target.rows("public.orders"), log.rows("public.orders"));
    }
}

#[tokio::test(start_paused = true)]
async fn any_other_error_of_the_source_ends_the_pipeline_after_what_was_read_is_written() {
    let (log, target) = (log(), MemoryTarget::new());
    let handle = Pipeline::builder("copy", log.source())
        .sink(target.transactional("target"))
        .build()
        .unwrap()
        .spawn();
    eventually("it streams", || !target.rows("public.orders").is_empty()).await;
    target.hold();
    log.commit([Change::create(shop::order(2, "ink"))]);
    eventually("it is read", || handle.status().events >= 3).await;
    log.fail(Moment::Read, Error::configuration("requested WAL segment has already been removed"));
    log.commit([]);
    target.let_go();
    let error = handle.join().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert_eq!(target.rows("public.orders").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_address_where_nothing_answers_ends_a_first_start_and_is_retried_later() {
    let (log, target) = (log(), MemoryTarget::new());
    let refused = || Error::transient("db:5432: connection refused").unreachable();
    log.fail(Moment::Acquire, refused());
    let error = drain(&log, &target).build().unwrap().run().await.unwrap_err();
    assert!(error.is_unreachable());

    drain(&log, &target).build().unwrap().run().await.unwrap();
    log.fail(Moment::Acquire, refused());
    drain(&log, &target).build().unwrap().run().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_event_that_a_sink_rejects_ends_the_pipeline_with_its_name() {
    let (log, target) = (log(), MemoryTarget::new());
    log.commit([Change::create(shop::order(2, "ink")), Change::create(shop::order(3, "cup"))]);
    target.fail(Fault::None);
    target.fail(Fault::Reject(1));
    let error = Pipeline::builder("copy", log.source().without_snapshot())
        .sink(target.transactional("target"))
        .until_caught_up()
        .build()
        .unwrap()
        .run()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    assert_eq!(
        error.to_string(),
        "sink target: public.orders, transaction 2, change 1 at 2: the target does not take this value"
    );
}

#[derive(Clone)]
struct Picky;

impl Transform for Picky {
    fn apply(&mut self, event: ChangeEvent, _out: &mut Vec<ChangeEvent>) -> Result<()> {
        match event.after() {
            Some(_) => Err(Error::data("no rows, please")),
            None => Ok(()),
        }
    }
    fn name(&self) -> &str {
        "picky"
    }
    fn boxed_clone(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_of_a_transform_names_the_transform_and_the_event() {
    let (log, target) = (log(), MemoryTarget::new());
    let error = drain(&log, &target).transform(Picky).build().unwrap().run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    assert_eq!(
        error.to_string(),
        "transform picky: public.orders, row 0 of the snapshot: no rows, please"
    );
}

#[tokio::test(start_paused = true)]
async fn a_partial_change_of_the_key_is_refused_by_an_idempotent_sink_and_taken_by_a_transactional_one()
 {
    let partial = || {
        Change::update(Some(shop::order(1, Value::Unavailable)), shop::order(2, Value::Unavailable))
    };
    let (log, target) = (log(), MemoryTarget::new());
    log.commit([partial()]);
    let error = Pipeline::builder("copy", log.source().without_snapshot())
        .sink(target.idempotent("target"))
        .offsets(MemoryOffsetStore::new())
        .until_caught_up()
        .build()
        .unwrap()
        .run()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(
        error.to_string().contains("ALTER TABLE \"public\".\"orders\" REPLICA IDENTITY FULL"),
        "{error}"
    );

    let log = MemoryLog::new([shop::orders()]);
    log.commit([Change::create(shop::order(1, "pen"))]);
    log.commit([partial()]);
    let target = MemoryTarget::new();
    Pipeline::builder("copy", log.source().without_snapshot())
        .sink(target.transactional("target"))
        .until_caught_up()
        .build()
        .unwrap()
        .run()
        .await
        .unwrap();
    assert_eq!(target.rows("public.orders"), [shop::order(2, "pen")]);
}
