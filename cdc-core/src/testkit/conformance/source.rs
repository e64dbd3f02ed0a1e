//! The contracts of a [`Source`].

use std::cmp::Ordering;
use std::time::Duration;

use async_trait::async_trait;

use crate::batch::{Batch, BatchLimits};
use crate::error::ErrorKind;
use crate::offset::Offset;
use crate::request::{Answer, Request};
use crate::source::{Source, SourceContext};
use crate::status::Progress;

/// A server with one table `(id bigint primary key, ...)`, and sources on it.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// A new instance of the source, with the same settings each time.
    async fn instance(&self) -> Box<dyn Source>;

    /// Commits one transaction that inserts rows with these ids.
    async fn insert(&self, ids: &[i64]);

    /// The server forgets everything: rows, slots, positions.
    async fn reset(&self);
}

/// How long to wait for what must come.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long to wait before nothing is taken as nothing.
const QUIET: Duration = Duration::from_secs(2);

/// All contracts.
///
/// # Panics
/// When one is not kept.
pub async fn all(fixture: &dyn Fixture) {
    what_was_there_and_what_comes_arrives_once_and_in_order(fixture).await;
    every_offset_is_a_place_to_go_on_from(fixture).await;
    what_is_not_acknowledged_is_not_released(fixture).await;
    a_dropped_read_loses_nothing(fixture).await;
    offsets_rise_and_cover_what_came_before(fixture).await;
    the_end_of_the_log_is_reached(fixture).await;
    one_instance_reads_and_another_waits(fixture).await;
    a_request_that_cannot_be_done_is_refused_by_name(fixture).await;
}

fn context(wait: bool) -> SourceContext {
    SourceContext {
        pipeline: "conformance".into(),
        limits: BatchLimits { max_events: 2, ..BatchLimits::default() },
        wait,
        progress: Progress::default(),
    }
}

async fn start(fixture: &dyn Fixture, resume: Option<Offset>) -> Box<dyn Source> {
    let mut source = fixture.instance().await;
    source.acquire(&context(true)).await.unwrap();
    source.start(resume).await.unwrap();
    source
}

fn ids(batch: &Batch) -> Vec<i64> {
    #[derive(serde::Deserialize)]
    struct Row {
        id: i64,
    }
    let rows = batch.events.iter().filter_map(|event| event.after_as::<Row>().unwrap());
    rows.map(|row| row.id).collect()
}

/// Reads until this id has come and its transaction has ended, saving at once what asks for it; gives the batches.
async fn read_until(source: &mut dyn Source, last: i64) -> Vec<Batch> {
    let mut batches = Vec::new();
    let mut seen = false;
    loop {
        let next = tokio::time::timeout(PATIENCE, source.next_batch()).await;
        let batch = next.unwrap_or_else(|_| panic!("row {last} did not come")).unwrap();
        let batch = batch.expect("the source ended");
        if batch.save_now {
            source.acknowledger().acknowledge(&batch.offset);
        }
        seen |= ids(&batch).contains(&last);
        let done = seen && batch.ends_transaction;
        batches.push(batch);
        if done {
            return batches;
        }
    }
}

fn all_ids(batches: &[Batch]) -> Vec<i64> {
    batches.iter().flat_map(ids).collect()
}

/// Reads the snapshot to its end: to the first offset that is not before the first event and has the row that was there.
async fn settle(source: &mut dyn Source) -> Offset {
    let positions = source.positions();
    let mut seen = Vec::new();
    loop {
        let batch = tokio::time::timeout(PATIENCE, source.next_batch()).await;
        let batch = batch.expect("the snapshot ends").unwrap().expect("the source ended");
        if batch.save_now {
            source.acknowledger().acknowledge(&batch.offset);
        }
        seen.extend(ids(&batch));
        if !positions.before_first_event(&batch.offset).unwrap() && seen == [0] {
            return batch.offset;
        }
    }
}

/// A server with a row that was there, and a source past its snapshot.
async fn settled(fixture: &dyn Fixture) -> (Box<dyn Source>, Offset) {
    fixture.reset().await;
    fixture.insert(&[0]).await;
    let mut source = start(fixture, None).await;
    let offset = settle(&mut *source).await;
    (source, offset)
}

/// First start: what was there, then what comes; each row once.
///
/// # Panics
/// When a row is missing, doubled or out of order.
pub async fn what_was_there_and_what_comes_arrives_once_and_in_order(fixture: &dyn Fixture) {
    fixture.reset().await;
    fixture.insert(&[1, 2, 3]).await;
    let mut source = start(fixture, None).await;
    let mut batches = read_until(&mut *source, 3).await;
    fixture.insert(&[4]).await;
    fixture.insert(&[5, 6, 7]).await;
    batches.extend(read_until(&mut *source, 7).await);
    let mut seen = all_ids(&batches);
    let positions = source.positions();
    for batch in &batches {
        let early = positions.before_first_event(&batch.offset).unwrap();
        let coverage = positions.coverage(Some(&batch.offset)).unwrap();
        let mut rows = batches.iter().flat_map(|batch| &batch.events).map(|event| event.origin());
        let spared = rows.any(|origin| origin.snapshot.is_snapshot() && coverage.covers(origin));
        assert_ne!(
            early, spared,
            "{} is before the first event or covers the snapshot",
            batch.offset
        );
    }
    // A snapshot has no order.
    seen[..3].sort_unstable();
    assert_eq!(seen, [1, 2, 3, 4, 5, 6, 7]);
    source.close().await.unwrap();
}

/// From the offset of every batch a new instance reads exactly what came after it, inside a transaction too.
///
/// # Panics
/// When it does not.
pub async fn every_offset_is_a_place_to_go_on_from(fixture: &dyn Fixture) {
    let (mut source, start_offset) = settled(fixture).await;
    fixture.insert(&[1, 2, 3, 4, 5]).await;
    fixture.insert(&[6]).await;
    let batches = read_until(&mut *source, 6).await;
    source.close().await.unwrap();
    drop(source);
    let mut places = vec![(start_offset, 0)];
    places
        .extend(batches.iter().enumerate().map(|(index, batch)| (batch.offset.clone(), index + 1)));
    for (offset, done) in places.into_iter().filter(|(_, done)| *done < batches.len()) {
        let rest = all_ids(&batches[done..]);
        let mut again = start(fixture, Some(offset.clone())).await;
        if !rest.is_empty() {
            assert_eq!(all_ids(&read_until(&mut *again, 6).await), rest, "from {offset}");
        }
        again.close().await.unwrap();
    }
}

/// What was read but not acknowledged can be read again by another instance, also after this one has connected again and gone
/// on behind it.
///
/// # Panics
/// When it cannot.
pub async fn what_is_not_acknowledged_is_not_released(fixture: &dyn Fixture) {
    let (mut source, offset) = settled(fixture).await;
    source.acknowledger().acknowledge(&offset);
    fixture.insert(&[1]).await;
    let first = read_until(&mut *source, 1).await;
    source.acknowledger().acknowledge(&first.last().unwrap().offset);
    // An older offset changes nothing.
    source.acknowledger().acknowledge(&offset);
    fixture.insert(&[2, 3]).await;
    let read = read_until(&mut *source, 3).await;
    source.acquire(&context(true)).await.unwrap();
    source.start(Some(read.last().unwrap().offset.clone())).await.unwrap();
    fixture.insert(&[4]).await;
    read_until(&mut *source, 4).await;
    // Time to tell the server what it must not be told.
    tokio::time::sleep(QUIET).await;
    source.close().await.unwrap();
    drop(source);
    let mut again = start(fixture, Some(first.last().unwrap().offset.clone())).await;
    assert_eq!(all_ids(&read_until(&mut *again, 4).await), [2, 3, 4]);
    again.close().await.unwrap();
}

/// A future of `next_batch` that is dropped loses no event.
///
/// # Panics
/// When one is lost.
pub async fn a_dropped_read_loses_nothing(fixture: &dyn Fixture) {
    let (mut source, _) = settled(fixture).await;
    let mut seen = Vec::new();
    for id in 1..=20 {
        fixture.insert(&[id]).await;
        for micros in [0, 10, 100, 1_000] {
            let wait = Duration::from_micros(micros);
            if let Ok(batch) = tokio::time::timeout(wait, source.next_batch()).await {
                seen.extend(ids(&batch.unwrap().unwrap()));
            }
        }
    }
    if seen.last() != Some(&20) {
        seen.extend(all_ids(&read_until(&mut *source, 20).await));
    }
    assert_eq!(seen, (1..=20).collect::<Vec<_>>());
    source.close().await.unwrap();
}

/// Offsets never go back; a batch with events has a new one; an offset covers its batch's events and no later ones.
///
/// # Panics
/// When it does not.
pub async fn offsets_rise_and_cover_what_came_before(fixture: &dyn Fixture) {
    let (mut source, start_offset) = settled(fixture).await;
    let positions = source.positions();
    fixture.insert(&[1, 2, 3]).await;
    fixture.insert(&[4]).await;
    let batches = read_until(&mut *source, 4).await;
    let mut before = start_offset;
    for batch in &batches {
        let order = positions.compare(&before, &batch.offset).unwrap();
        assert!(
            matches!(order, Some(Ordering::Less | Ordering::Equal)),
            "{before} and {}",
            batch.offset
        );
        let rows: Vec<_> = batch.events.iter().filter(|event| event.after().is_some()).collect();
        if !rows.is_empty() {
            assert_ne!(batch.offset, before, "a batch with events moves the offset");
        }
        let (had, has) = (
            positions.coverage(Some(&before)).unwrap(),
            positions.coverage(Some(&batch.offset)).unwrap(),
        );
        for event in rows {
            assert!(!had.covers(event.origin()), "{before} covers {} too early", event.origin());
            assert!(
                has.covers(event.origin()),
                "{} does not cover {}",
                batch.offset,
                event.origin()
            );
        }
        assert_eq!(positions.meet(&before, &batch.offset).unwrap(), before);
        before = batch.offset.clone();
    }
    source.close().await.unwrap();
}

/// The offset of the end of the log is reached by reading on.
///
/// # Panics
/// When it is not.
pub async fn the_end_of_the_log_is_reached(fixture: &dyn Fixture) {
    let (mut source, offset) = settled(fixture).await;
    fixture.insert(&[1, 2, 3]).await;
    source.close().await.unwrap();
    drop(source);
    let mut source = fixture.instance().await;
    source.acquire(&context(true)).await.unwrap();
    source.start(Some(offset)).await.unwrap();
    let end = source.end_of_log().await.unwrap();
    let mut seen = Vec::new();
    loop {
        let batch = tokio::time::timeout(PATIENCE, source.next_batch()).await;
        let batch = batch.expect("the end of the log is reached").unwrap().unwrap();
        seen.extend(ids(&batch));
        let order = source.positions().compare(&batch.offset, &end).unwrap();
        if order.is_some_and(Ordering::is_ge) {
            break;
        }
    }
    assert_eq!(seen, [1, 2, 3], "all that was committed before is read then");
    source.close().await.unwrap();
}

/// While one instance reads, another waits, or is refused where it is not to wait; then it takes over.
///
/// # Panics
/// When both read, or when it does not take over.
pub async fn one_instance_reads_and_another_waits(fixture: &dyn Fixture) {
    let (mut first, offset) = settled(fixture).await;
    let mut second = fixture.instance().await;
    let error = second.acquire(&context(false)).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Configuration | ErrorKind::Fenced), "{error}");
    let waiting = context(true);
    assert!(tokio::time::timeout(QUIET, second.acquire(&waiting)).await.is_err(), "it waits");
    first.close().await.unwrap();
    drop(first);
    tokio::time::timeout(PATIENCE, second.acquire(&waiting)).await.expect("it takes over").unwrap();
    second.start(Some(offset)).await.unwrap();
    fixture.insert(&[1]).await;
    assert_eq!(all_ids(&read_until(&mut *second, 1).await), [1]);
    second.close().await.unwrap();
}

/// A request is taken, or refused with its name.
///
/// # Panics
/// When the refusal does not name it.
pub async fn a_request_that_cannot_be_done_is_refused_by_name(fixture: &dyn Fixture) {
    let (mut source, _) = settled(fixture).await;
    let stop = Request::StopSnapshot { tables: Vec::new() };
    for request in [stop, Request::PauseSnapshot, Request::ResumeSnapshot] {
        let name = request.name();
        if let Err(error) = source.control(request, Answer::new().0) {
            assert_eq!(error.kind(), ErrorKind::Configuration);
            assert!(error.to_string().contains(name), "{error}");
        }
    }
    source.close().await.unwrap();
}
