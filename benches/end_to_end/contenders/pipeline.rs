//! What the contenders that are pipelines share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use async_trait::async_trait;
use cdc_core::offset_store::MemoryOffsetStore;
use cdc_core::{Ack, Batch, ChangeEvent, Delivery, Pipeline, Result, Sink};
use cdc_postgres::{PostgresSource, PostgresSourceBuilder, SnapshotMode};
use tokio::sync::Notify;

use crate::Outcome;
use crate::backlog::{PUBLICATION, TABLE};
use crate::child::{Measured, Task};

/// The library's source on the slot of a task.
pub(crate) fn source(task: &Task) -> PostgresSourceBuilder {
    PostgresSource::builder(&task.url)
        .tables([TABLE])
        .slot_name(&task.slot)
        .create_slot(false)
        .publication_name(PUBLICATION)
        .create_publication(false)
        .snapshot(SnapshotMode::NoData)
}

/// Takes an event; returns 1 for a row of the backlog.
pub(crate) type Take = dyn FnMut(&ChangeEvent) -> Result<u64> + Send;

/// A sink that hands events to a function and is done after so many rows.
struct Counting {
    take: Box<Take>,
    left: u64,
    sum: Arc<AtomicU64>,
    done: Arc<Notify>,
}

#[async_trait]
impl Sink for Counting {
    fn name(&self) -> &str {
        "counting"
    }

    fn delivery(&self) -> Delivery {
        Delivery::AtLeastOnce
    }

    async fn write(&mut self, batch: Arc<Batch>) -> Result<Ack> {
        for event in &batch.events {
            if self.left == 0 {
                break;
            }
            self.left -= (self.take)(event)?;
            if self.left == 0 {
                self.done.notify_one();
            }
        }
        Ok(Ack::durable())
    }

    async fn close(&mut self) -> Result<()> {
        self.sum.store(self.left, Ordering::Release);
        Ok(())
    }
}

/// Runs a source into a function until it has taken all rows of the task.
pub(crate) async fn run(
    source: PostgresSource,
    rows: u64,
    take: impl FnMut(&ChangeEvent) -> Result<u64> + Send + 'static,
) -> Outcome<Measured> {
    let start = Instant::now();
    let done = Arc::new(Notify::new());
    let left = Arc::new(AtomicU64::new(u64::MAX));
    let sink = Counting {
        take: Box::new(take),
        left: rows,
        sum: Arc::clone(&left),
        done: Arc::clone(&done),
    };
    let pipeline =
        Pipeline::builder("bench", source).sink(sink).offsets(MemoryOffsetStore::new()).build()?;
    let mut handle = pipeline.spawn();
    tokio::select! {
        () = done.notified() => {}
        ended = handle.wait() => {
            ended?;
            return Err("the pipeline ended before the last row".into());
        }
    }
    let measured = Measured::since(start, rows);
    handle.stop();
    handle.wait().await?;
    match left.load(Ordering::Acquire) {
        0 => Ok(measured),
        left => Err(format!("{left} rows did not come").into()),
    }
}
