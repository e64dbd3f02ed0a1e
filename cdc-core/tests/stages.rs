//! Stages complete the events of a batch before the chain; what they cannot complete fails alone.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use cdc_core::dead_letter::Stage as FailedStage;
use cdc_core::testkit::{MemoryDeadLetters, MemoryLog, MemoryTarget, eventually, shop};
use cdc_core::{
    BatchLimits, Change, ChangeEvent, Error, ErrorKind, Operation, Pipeline, PipelineBuilder,
    Result, RetryPolicy, Stage, Transform, ValueRef,
};

const TABLE: &str = "public.visits";

fn number(event: &ChangeEvent) -> Option<i64> {
    match event.after()?.by_name("id")? {
        ValueRef::Int64(id) => Some(id),
        _ => None,
    }
}

fn log(rows: i64) -> MemoryLog {
    let log = MemoryLog::new([shop::visits()]);
    for id in 1..=rows {
        log.commit([Change::create(shop::visit(id, "v"))]);
    }
    log
}

fn pipeline(log: &MemoryLog) -> PipelineBuilder {
    Pipeline::builder("copy", log.source().without_snapshot())
        .limits(BatchLimits { max_events: 4, ..BatchLimits::default() })
        .retry(RetryPolicy {
            base: std::time::Duration::from_millis(1),
            max: std::time::Duration::from_millis(1),
        })
        .until_caught_up()
}

/// Stamps events with the number of the call, and fails as it is told.
#[derive(Clone, Default)]
struct Stamp {
    calls: Arc<AtomicUsize>,
    /// The first calls fail after the first event was changed.
    failures: usize,
    kind: Option<ErrorKind>,
    rejects: Vec<i64>,
}

#[async_trait]
impl Stage for Stamp {
    fn name(&self) -> &str {
        "Stamp"
    }

    async fn apply(&mut self, events: &mut [ChangeEvent]) -> Result<Vec<(usize, Error)>> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        let mut failed = Vec::new();
        for (place, event) in events.iter_mut().enumerate() {
            if call < self.failures && place > 0 {
                return Err(Error::new(self.kind.unwrap(), "the server has gone away"));
            }
            match number(event) {
                Some(id) if self.rejects.contains(&id) => {
                    failed.push((place, Error::data("the row is gone")));
                }
                _ => event.timestamp_ms = Some(event.timestamp_ms.unwrap_or(0) + 1),
            }
        }
        Ok(failed)
    }
}

/// Fails at some rows.
#[derive(Clone)]
struct Picky(Vec<i64>);

impl Transform for Picky {
    fn apply(&mut self, event: ChangeEvent, out: &mut Vec<ChangeEvent>) -> Result<()> {
        let stamped = event.timestamp_ms.is_some() || event.operation() == Some(Operation::Table);
        assert!(stamped, "stages come before transforms");
        if number(&event).is_some_and(|id| self.0.contains(&id)) {
            return Err(Error::data("no"));
        }
        out.push(event);
        Ok(())
    }
    fn name(&self) -> &str {
        "Picky"
    }
    fn boxed_clone(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}

fn stamps(target: &MemoryTarget) -> Vec<(i64, Option<i64>)> {
    let seen = target.seen();
    seen.iter().filter_map(|event| Some((number(event)?, event.timestamp_ms))).collect()
}

#[tokio::test]
async fn all_stages_see_every_event_before_the_transforms_do() {
    let (log, target) = (log(3), MemoryTarget::new());
    let builder = pipeline(&log)
        .transform(Picky(Vec::new()))
        .stage(Stamp::default())
        .stage(Stamp::default())
        .sink(target.transactional("target"));
    assert!(format!("{builder:?}").contains(r#"stages: ["Stamp", "Stamp"]"#));
    builder.build().unwrap().run().await.unwrap();
    assert_eq!(stamps(&target), [(1, Some(2)), (2, Some(2)), (3, Some(2))]);
}

#[tokio::test]
async fn a_stage_is_asked_again_after_a_transient_error() {
    let (log, target) = (log(3), MemoryTarget::new());
    let kind = Some(ErrorKind::Transient);
    let stamp = Stamp { failures: 2, kind, ..Stamp::default() };
    let builder = pipeline(&log).stage(stamp.clone()).sink(target.transactional("target"));
    let pipeline = builder.build().unwrap();
    let progress = pipeline.progress();
    pipeline.run().await.unwrap();
    assert!(stamp.calls.load(Ordering::SeqCst) > 2);
    assert_eq!(progress.status().last_error, None, "it is over");
    let numbers: Vec<i64> = stamps(&target).into_iter().map(|(id, _)| id).collect();
    assert_eq!(numbers, [1, 2, 3]);
}

#[tokio::test]
async fn any_other_error_of_a_stage_ends_the_pipeline() {
    let (log, target) = (log(3), MemoryTarget::new());
    let kind = Some(ErrorKind::Configuration);
    let stamp = Stamp { failures: 1, kind, ..Stamp::default() };
    let builder = pipeline(&log).stage(stamp).sink(target.transactional("target"));
    let error = builder.build().unwrap().run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert_eq!(error.to_string(), "stage Stamp: the server has gone away");
}

#[tokio::test]
async fn without_a_place_for_it_an_event_that_a_stage_fails_on_ends_the_pipeline() {
    let (log, target) = (log(3), MemoryTarget::new());
    let stamp = Stamp { rejects: vec![2], ..Stamp::default() };
    let builder = pipeline(&log).stage(stamp).sink(target.transactional("target"));
    let error = builder.build().unwrap().run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    let says = format!("stage Stamp: {TABLE}, transaction 2, change 0 at 2: the row is gone");
    assert_eq!(error.to_string(), says);
}

#[tokio::test]
async fn an_event_that_a_stage_fails_on_becomes_a_dead_letter_and_the_others_go_on() {
    let (log, target, letters) = (log(9), MemoryTarget::new(), MemoryDeadLetters::new());
    let stamp = Stamp { rejects: vec![2, 3, 8], ..Stamp::default() };
    target.refuse(|event| number(event) == Some(6));
    let builder = pipeline(&log)
        .stage(stamp)
        .transform(Picky(vec![4]))
        .sink(target.transactional("target"))
        .dead_letters(letters.clone());
    builder.build().unwrap().run().await.unwrap();
    let numbers: Vec<i64> = stamps(&target).into_iter().map(|(id, _)| id).collect();
    assert_eq!(numbers, [1, 5, 7, 9]);
    let mut kept: Vec<_> = letters
        .letters()
        .into_iter()
        .map(|letter| {
            let transform = letter.transform.as_deref().map(str::to_owned);
            (number(&letter.event).unwrap(), letter.stage, transform, letter.event.timestamp_ms)
        })
        .collect();
    kept.sort_by_key(|(id, ..)| *id);
    let stamp = || Some("Stamp".to_owned());
    let picky = Some("Picky".to_owned());
    assert_eq!(
        kept,
        [
            (2, FailedStage::Lookup, stamp(), None),
            (3, FailedStage::Lookup, stamp(), None),
            // What the stage put in is in the letters of the steps behind it.
            (4, FailedStage::CommonChain, picky, Some(1)),
            (6, FailedStage::Sink, None, Some(1)),
            (8, FailedStage::Lookup, stamp(), None),
        ]
    );
}

/// Never answers.
struct Silent;

#[async_trait]
impl Stage for Silent {
    fn name(&self) -> &str {
        "Silent"
    }
    async fn apply(&mut self, _: &mut [ChangeEvent]) -> Result<Vec<(usize, Error)>> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_pipeline_can_be_stopped_while_a_stage_waits() {
    let (log, target) = (log(1), MemoryTarget::new());
    let builder = Pipeline::builder("copy", log.source().without_snapshot()).stage(Silent);
    let handle = builder.sink(target.transactional("target")).build().unwrap().spawn();
    eventually("an event is read", || handle.status().events > 0).await;
    handle.stop();
    handle.join().await.unwrap();
    assert!(target.seen().is_empty());
}
