//! Events that fail become dead letters, the others go on, and the letters can be read into a pipeline again.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use cdc_core::dead_letter::{DeadLetterSource, FileDeadLetters, Stage};
use cdc_core::offset_store::MemoryOffsetStore;
use cdc_core::testkit::{Fault, MemoryDeadLetters, MemoryLog, MemoryTarget, eventually, shop};
use cdc_core::{
    BatchLimits, Change, ChangeEvent, Error, ErrorKind, Operation, Pipeline, PipelineBuilder,
    Result, Transform, ValueRef,
};

const TABLE: &str = "public.visits";

fn log(rows: i64) -> MemoryLog {
    let log = MemoryLog::new([shop::visits()]);
    for id in 1..=rows {
        log.commit([Change::create(shop::visit(id, "v"))]);
    }
    log
}

fn number(event: &ChangeEvent) -> Option<i64> {
    match event.after()?.by_name("id")? {
        ValueRef::Int64(id) => Some(id),
        _ => None,
    }
}

fn numbers(target: &MemoryTarget) -> Vec<i64> {
    target.seen().iter().filter_map(number).collect()
}

/// Sends each row on twice, and fails at the second one of those with these numbers.
#[derive(Clone)]
struct Picky(Vec<i64>, ErrorKind);

impl Transform for Picky {
    fn apply(&mut self, event: ChangeEvent, out: &mut Vec<ChangeEvent>) -> Result<()> {
        if event.operation() != Some(Operation::Table) {
            // Renamed, so that a letter shows whether it is from before the chain.
            let mut copy = event.clone();
            copy.headers.to_mut().clear();
            copy.timestamp_ms = Some(1);
            out.push(copy);
        }
        if number(&event).is_some_and(|id| self.0.contains(&id)) {
            return Err(Error::new(self.1, "field \"note\" is no number"));
        }
        Ok(())
    }

    fn name(&self) -> &str {
        "Picky"
    }

    fn boxed_clone(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}

fn pipeline(log: &MemoryLog) -> PipelineBuilder {
    Pipeline::builder("copy", log.source().without_snapshot())
        .limits(BatchLimits { max_events: 4, ..BatchLimits::default() })
        .until_caught_up()
}

async fn run(builder: PipelineBuilder) -> Result<()> {
    builder.build().unwrap().run().await
}

#[tokio::test]
async fn a_transform_that_fails_says_which_record_and_its_event_is_kept_as_the_source_gave_it() {
    let (log, target, letters) = (log(5), MemoryTarget::new(), MemoryDeadLetters::new());
    let builder = pipeline(&log)
        .transform(Picky(vec![2, 4], ErrorKind::Data))
        .sink(target.transactional("target"))
        .dead_letters(letters.clone())
        .log_dead_letters(true);
    let pipeline = builder.build().unwrap();
    let progress = pipeline.progress();
    pipeline.run().await.unwrap();
    assert_eq!(numbers(&target), [1, 3, 5]);
    let kept = letters.letters();
    assert_eq!(kept.len(), 2);
    let letter = &kept[0];
    assert_eq!(number(&letter.event), Some(2));
    assert_eq!(letter.event.timestamp_ms, None, "it is from before the chain");
    assert_eq!((letter.sink.as_deref(), letter.stage), (None, Stage::CommonChain));
    assert_eq!((letter.transform.as_deref(), letter.error.kind), (Some("Picky"), ErrorKind::Data));
    let says =
        "transform Picky: public.visits, transaction 2, change 0 at 2: field \"note\" is no number";
    assert_eq!(letter.error.text, says);
    assert_eq!(progress.status().dead_letters, 2);
    assert_eq!(progress.status().sinks[0].dead_letters, 0);
    assert!(letters.open_pipelines().is_empty());
}

#[tokio::test]
async fn without_a_place_for_it_the_first_event_that_fails_ends_the_pipeline() {
    let (log, target) = (log(5), MemoryTarget::new());
    let builder = pipeline(&log)
        .transform(Picky(vec![2], ErrorKind::Data))
        .sink(target.transactional("target"));
    let error = run(builder).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(error.to_string().contains("transform Picky: public.visits, transaction 2"), "{error}");
}

#[tokio::test]
async fn only_errors_of_data_are_tolerated() {
    let (log, target, letters) = (log(5), MemoryTarget::new(), MemoryDeadLetters::new());
    let builder = pipeline(&log)
        .transform(Picky(vec![2], ErrorKind::Configuration))
        .sink(target.transactional("target"))
        .dead_letters(letters.clone());
    assert_eq!(run(builder).await.unwrap_err().kind(), ErrorKind::Configuration);
    target.fail(Fault::Fail(Error::fenced("another instance")));
    let builder = pipeline(&log).sink(target.transactional("target")).dead_letters(letters.clone());
    assert_eq!(run(builder).await.unwrap_err().kind(), ErrorKind::Fenced);
    assert!(letters.letters().is_empty());
}

#[tokio::test]
async fn a_chain_of_one_sink_costs_that_sink_alone() {
    let (log, a, b) = (log(5), MemoryTarget::new(), MemoryTarget::new());
    let letters = MemoryDeadLetters::new();
    let builder = pipeline(&log)
        .transform(Picky(vec![], ErrorKind::Data))
        .sink_with(vec![Box::new(Picky(vec![3], ErrorKind::Data))], a.transactional("a"))
        .sink(b.transactional("b"))
        .dead_letters(letters.clone());
    let pipeline = builder.build().unwrap();
    let progress = pipeline.progress();
    pipeline.run().await.unwrap();
    assert_eq!((numbers(&a), numbers(&b)), (vec![1, 2, 4, 5], vec![1, 2, 3, 4, 5]));
    let kept = letters.letters();
    assert_eq!(kept.len(), 1);
    assert_eq!((kept[0].sink.as_deref(), kept[0].stage), (Some("a"), Stage::SinkChain));
    assert_eq!(number(&kept[0].event), Some(3));
    assert_eq!(kept[0].event.timestamp_ms, None, "it is from before the common chain");
    let status = progress.status();
    assert_eq!((status.sinks[0].dead_letters, status.sinks[1].dead_letters), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_sink_of_any_kind_rejects_events_and_gets_the_others_once_and_in_order() {
    for transactional in [true, false] {
        let log = MemoryLog::new([shop::visits()]);
        log.commit((1..=7).map(|id| Change::create(shop::visit(id, "v"))));
        let (target, letters) = (MemoryTarget::new(), MemoryDeadLetters::new());
        target.refuse(|event| number(event).is_some_and(|id| id % 3 == 0));
        // A lost connection in between costs no second letter.
        target.fail(Fault::Fail(Error::transient("connection lost")));
        let builder = pipeline(&log).dead_letters(letters.clone());
        let builder = match transactional {
            true => builder.sink(target.transactional("target")),
            false => builder.sink(target.idempotent("target")).offsets(MemoryOffsetStore::new()),
        };
        let pipeline = builder.build().unwrap();
        let progress = pipeline.progress();
        pipeline.run().await.unwrap();
        assert_eq!(numbers(&target), [1, 2, 4, 5, 7]);
        let kept: Vec<_> = letters.letters().iter().map(|l| number(&l.event).unwrap()).collect();
        assert_eq!(kept, [3, 6]);
        assert_eq!(letters.letters()[0].stage, Stage::Sink);
        let status = progress.status();
        assert_eq!((status.sinks[0].dead_letters, status.dead_letters), (2, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_written_again_has_its_letters_once() {
    let log = log(3);
    let (target, letters) = (MemoryTarget::new(), MemoryDeadLetters::new());
    let builder = Pipeline::builder("copy", log.source().without_snapshot())
        .sink(target.pending("target"))
        .offsets(MemoryOffsetStore::new())
        .dead_letters(letters.clone());
    let handle = builder.build().unwrap().spawn();
    eventually("three writes wait", || target.waiting().len() == 3).await;
    target.refuse(|event| number(event).is_some());
    target.settle(2, Ok(()));
    target.settle(1, Err(Error::transient("connection lost")));
    target.settle(3, Ok(()));
    eventually("three writes wait again", || target.waiting().len() == 3).await;
    assert!(letters.letters().is_empty());
    for sequence in 1..=3 {
        target.settle(sequence, Ok(()));
    }
    eventually("all letters are kept", || letters.letters().len() >= 3).await;
    handle.stop();
    handle.join().await.unwrap();
    let kept: Vec<_> = letters.letters().iter().map(|l| number(&l.event).unwrap()).collect();
    assert_eq!(kept, [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_letter_is_durable_before_the_offset_moves_on() {
    for transactional in [true, false] {
        let (log, target, letters) = (log(3), MemoryTarget::new(), MemoryDeadLetters::new());
        target.refuse(|event| number(event) == Some(2));
        let store = std::sync::Arc::new(MemoryOffsetStore::new());
        let builder = || {
            let builder =
                pipeline(&log).dead_letters(letters.clone()).offsets(std::sync::Arc::clone(&store));
            match transactional {
                true => builder.sink(target.transactional("target")),
                false => builder.sink(target.idempotent("target")).max_in_flight(1),
            }
        };
        letters.fail(Error::transient("no right to write"));
        letters.fail(Error::configuration("the disk is full"));
        let error = run(builder()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(
            error.to_string().contains("dead letters cannot be kept: the disk is full"),
            "{error}"
        );
        assert!(letters.letters().is_empty());
        // The event comes again, and nothing is lost.
        run(builder()).await.unwrap();
        assert_eq!(letters.letters().len(), 1);
        let mut rows = numbers(&target);
        rows.dedup();
        assert_eq!(rows, [1, 3]);
    }
}

#[tokio::test]
async fn a_sink_that_cannot_tell_which_event_it_is_ends_the_pipeline_with_the_commits_error() {
    let (log, target, letters) = (log(3), MemoryTarget::new(), MemoryDeadLetters::new());
    target.fail(Fault::Fail(Error::data("a deferred constraint is violated")));
    let builder = pipeline(&log).sink(target.transactional("target")).dead_letters(letters.clone());
    let error = run(builder).await.unwrap_err();
    assert!(error.to_string().contains("deferred constraint"), "{error}");
    assert!(letters.letters().is_empty());
}

async fn replay(folder: &Path, target: &MemoryTarget) -> Result<()> {
    let source = DeadLetterSource::open(folder)?;
    run(Pipeline::builder("again", source).sink(target.transactional("target"))).await
}

#[tokio::test]
async fn letters_in_files_are_replayed_before_the_chain_each_once() {
    let folder = tempfile::tempdir().unwrap();
    let (log, target) = (log(9), MemoryTarget::new());
    // Files of one or two letters each.
    let letters = FileDeadLetters::builder(folder.path()).max_file_bytes(1_500).build().unwrap();
    let builder = pipeline(&log)
        .transform(Picky(vec![2, 4, 5, 9], ErrorKind::Data))
        .sink(target.transactional("target"))
        .dead_letters(letters.clone());
    run(builder).await.unwrap();
    assert_eq!(numbers(&target), [1, 3, 6, 7, 8]);
    let files = std::fs::read_dir(folder.path()).unwrap().count();
    assert!(files > 2, "{files} files, the lock among them");
    // The replay is killed at each of its batches in turn, and goes on.
    for batch in 0..4 {
        for _ in 0..batch % 2 {
            target.fail(Fault::None);
        }
        target.fail(Fault::Fail(Error::configuration("killed here")));
        let source = DeadLetterSource::open(folder.path()).unwrap().of_pipeline("copy");
        let again = Pipeline::builder("again", source)
            .limits(BatchLimits { max_events: 1, ..BatchLimits::default() })
            .transform(Picky(vec![], ErrorKind::Data))
            .sink(target.transactional("target"));
        let _ = run(again).await;
    }
    target.fail(Fault::None);
    replay(folder.path(), &target).await.unwrap();
    assert_eq!(target.rows(TABLE), log.rows(TABLE));
    assert_eq!(numbers(&target), [1, 3, 6, 7, 8, 2, 4, 5, 9]);
    // Letters that come later are read by the next replay, the others are not read again.
    replay(folder.path(), &target).await.unwrap();
    assert_eq!(numbers(&target).len(), 9);
}

#[tokio::test]
async fn a_replay_into_sinks_that_stand_at_different_places_gives_each_what_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let (log, target) = (log(6), MemoryTarget::new());
    let builder = pipeline(&log)
        .transform(Picky((1..=6).collect(), ErrorKind::Data))
        .sink(target.transactional("target"))
        .dead_letters(FileDeadLetters::open(folder.path()).unwrap());
    run(builder).await.unwrap();
    let (a, b) = (MemoryTarget::new(), MemoryTarget::new());
    let again = || {
        let source = DeadLetterSource::open(folder.path()).unwrap();
        Pipeline::builder("again", source)
            .limits(BatchLimits { max_events: 1, ..BatchLimits::default() })
            .sink(a.transactional("a"))
            .sink(b.transactional("b"))
    };
    b.fail(Fault::None);
    b.fail(Fault::Fail(Error::data("killed here")));
    run(again()).await.unwrap_err();
    run(again()).await.unwrap();
    assert_eq!(numbers(&a), [1, 2, 3, 4, 5, 6]);
    assert_eq!(numbers(&b), [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn a_replay_for_one_sink_reads_what_that_sink_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let (log, a, b) = (log(6), MemoryTarget::new(), MemoryTarget::new());
    a.refuse(|event| number(event) == Some(2));
    b.refuse(|event| number(event) == Some(3));
    let builder = pipeline(&log)
        .transform(Picky(vec![5], ErrorKind::Data))
        .sink(a.transactional("a"))
        .sink(b.transactional("b"))
        .dead_letters(FileDeadLetters::open(folder.path()).unwrap());
    run(builder).await.unwrap();
    let target = MemoryTarget::new();
    let source = DeadLetterSource::open(folder.path()).unwrap().of_sink("b");
    run(Pipeline::builder("again", source).sink(target.transactional("b"))).await.unwrap();
    let mut replayed = numbers(&target);
    replayed.sort_unstable();
    assert_eq!(replayed, [3, 5]);
}

/// The newest file leads to a device that is always full.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_ends_the_pipeline_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (log, target) = (log(4), MemoryTarget::new());
    target.refuse(|event| number(event) == Some(2));
    let builder = || {
        pipeline(&log)
            .sink(target.transactional("target"))
            .dead_letters(FileDeadLetters::open(folder.path()).unwrap())
    };
    let file = folder.path().join("copy.00000001.jsonl");
    std::os::unix::fs::symlink("/dev/full", &file).unwrap();
    let error = run(builder()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    let text = error.to_string();
    assert!(text.contains("copy.00000001.jsonl") && text.contains("make room"), "{text}");
    assert_eq!(numbers(&target), [1]);
    std::fs::remove_file(&file).unwrap();
    run(builder()).await.unwrap();
    replay(folder.path(), &MemoryTarget::new()).await.unwrap();
    assert_eq!(numbers(&target), [1, 3, 4]);
}
