//! The task of one sink: takes batches from its queue, writes or commits them, and tries again what failed.

use std::cmp::Ordering;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};

use super::burying::{Failed, Originals, is_tolerated, same_origin};
use super::context::RunContext;
use super::in_flight::InFlight;
use super::queue::{QueueReceiver, Queued, Room};
use super::retry::Backoff;
use super::sparing::{Preparation, Prepared, without};
use super::stop::Stage;
use crate::batch::Batch;
use crate::dead_letter::Stage as FailedStage;
use crate::error::{Error, Result};
use crate::offset::Offset;
use crate::origin::Origin;
use crate::sink::{Ack, Outcome, Sink, TransactionalSink};

/// What the task of a sink works with.
pub(crate) struct SinkTask {
    pub(crate) index: usize,
    pub(crate) name: Arc<str>,
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) keeps_offset: bool,
    pub(crate) preparation: Preparation,
    /// What the sink has.
    pub(crate) own: Option<Offset>,
    pub(crate) queue: QueueReceiver,
    pub(crate) max_in_flight: usize,
    pub(crate) context: Arc<RunContext>,
}

/// A batch as the sink gets it, and what it takes of the queue until it is durable.
struct Write {
    /// `None`: the sink has all of it already.
    batch: Option<Arc<Batch>>,
    sequence: u64,
    own: Offset,
    end: Offset,
    originals: Originals,
    /// What failed on the way to the sink and is to be kept before this counts as durable.
    failed: Vec<Failed>,
    /// What the sink did not take of the batch.
    rejected: Vec<(usize, Error)>,
    _room: Room,
}

/// What is left to do after a failure.
enum Recovery {
    /// The batch in doubt had been committed.
    Committed,
    /// Send it again.
    Repeat,
    /// The pipeline stops: what is not durable is read again at the next start.
    GiveUp,
}

impl SinkTask {
    /// Works until the reader has ended and all is durable, or the pipeline fails.
    ///
    /// # Errors
    /// What is not transient, with the sink's name.
    pub(crate) async fn run(mut self) -> Result<()> {
        let stop = Arc::clone(&self.context.stop);
        let result = tokio::select! {
            biased;
            () = stop.reached(Stage::Failing) => Ok(()),
            result = async {
                if self.keeps_offset { self.commit_in_order().await } else { self.write().await }
            } => result,
        };
        if !stop.is(Stage::Aborting) {
            let closed = self.context.close_in_time(&self.name, self.sink.close()).await;
            if result.is_ok() && !stop.is(Stage::Failing) {
                closed?;
            }
        }
        result
    }

    fn prepare(&mut self, queued: Queued) -> Result<Write> {
        let Prepared { batch, failed } = self.preparation.prepare(&queued.batch)?;
        let end = queued.batch.offset.clone();
        let own = match (&batch, self.preparation.ahead()) {
            (Some(batch), _) => batch.offset.clone(),
            (None, Some(ahead)) => ahead.clone(),
            (None, None) => end.clone(),
        };
        let originals = queued.originals();
        let sequence = queued.batch.sequence;
        let rejected = Vec::new();
        Ok(Write { batch, sequence, own, end, originals, failed, rejected, _room: queued.room })
    }

    /// Keeps what failed, durably.
    async fn bury(&mut self, write: &mut Write) -> Result<()> {
        let mut failed = std::mem::take(&mut write.failed);
        let events = write.batch.as_ref().map_or(&[][..], |batch| &batch.events);
        let first = failed.len();
        for (index, error) in write.rejected.drain(..) {
            let Some(event) = events.get(index) else { continue };
            let origin = event.origin().clone();
            // One letter for all that was made of one event.
            if !failed.iter().skip(first).any(|other| same_origin(&other.origin, &origin)) {
                let error = error.context(&origin);
                failed.push(Failed { origin, stage: FailedStage::Sink, transform: None, error });
            }
        }
        let originals = &write.originals;
        let bury = self
            .context
            .bury(Some((self.index, &self.name)), failed, |origin| originals.get(origin).cloned());
        bury.await.map_err(|error| self.named(error))
    }

    async fn is_durable(&mut self, mut write: Write) -> Result<()> {
        let rejected = write.rejected.len() as u64;
        self.bury(&mut write).await?;
        self.context.ledger.durable(self.index, write.sequence, &write.end, &write.own)?;
        let events = write.batch.as_ref().map_or(0, |batch| batch.events.len()) as u64;
        let events = events.saturating_sub(rejected);
        self.own = Some(write.own.clone());
        drop(write._room);
        let bytes = self.queue.used_bytes();
        self.context.progress.update_sink(self.index, |status| {
            status.durable = Some(write.own);
            status.events += events;
            status.queued_bytes = bytes;
        });
        Ok(())
    }

    fn report(&self, error: Option<&Error>) {
        if let Some(error) = error {
            tracing::warn!(pipeline = &*self.context.pipeline, sink = &*self.name, %error, "retrying");
            self.context.progress.count_retry();
        }
        let text = error.map(ToString::to_string);
        self.context.progress.update_sink(self.index, |status| status.error = text);
    }

    /// A transactional sink: one commit after another, in order.
    async fn commit_in_order(&mut self) -> Result<()> {
        let mut backoff = Backoff::new(self.context.retry);
        while let Some(queued) = self.queue.next().await {
            let mut write = self.prepare(queued)?;
            // The commit moves the offset on.
            self.bury(&mut write).await?;
            while let Some(batch) = write.batch.clone() {
                let error = match self.transactional()?.commit(Arc::clone(&batch)).await {
                    Ok(outcome) => {
                        write.rejected = self.tolerated(&batch, outcome.rejected)?;
                        break;
                    }
                    Err(error) if error.is_transient() => error,
                    Err(error) if is_tolerated(&error) && self.context.burial.is_some() => {
                        match self.transactional()?.find_rejected(Arc::clone(&batch)).await {
                            Ok(rejected) if rejected.is_empty() => return Err(self.named(error)),
                            Ok(rejected) => {
                                self.leave_out(&mut write, &batch, rejected).await?;
                                continue;
                            }
                            Err(error) if error.is_transient() => error,
                            Err(error) => return Err(self.named(error)),
                        }
                    }
                    Err(error) => return Err(self.named(error)),
                };
                match self.recover(error, Some(&batch.offset), &mut backoff).await? {
                    Recovery::Committed => break,
                    Recovery::Repeat => {}
                    Recovery::GiveUp => return Ok(()),
                }
            }
            if backoff.reset() {
                self.report(None);
            }
            self.is_durable(write).await?;
        }
        Ok(())
    }

    /// Keeps what the target does not take, and goes on with a batch that lacks it.
    async fn leave_out(
        &mut self,
        write: &mut Write,
        batch: &Batch,
        rejected: Vec<(usize, Error)>,
    ) -> Result<()> {
        write.rejected = self.tolerated(batch, rejected)?;
        let events = write.rejected.iter().filter_map(|(index, _)| batch.events.get(*index));
        let origins: Vec<Origin> = events.map(|event| event.origin().clone()).collect();
        if origins.is_empty() {
            let text = "the sink rejects events that are not in the batch";
            return Err(self.named(Error::data(text)));
        }
        self.bury(write).await?;
        let left_out = |origin: &Origin| origins.iter().any(|other| same_origin(other, origin));
        write.batch = Some(Arc::new(without(batch, left_out)));
        Ok(())
    }

    /// Any other sink: several writes in flight.
    async fn write(&mut self) -> Result<()> {
        let mut backoff = Backoff::new(self.context.retry);
        let mut writes: InFlight<Write> = InFlight::new(self.max_in_flight);
        let mut pending: FuturesUnordered<BoxFuture<'static, (u64, Result<Outcome>)>> =
            FuturesUnordered::new();
        let mut failure: Option<Error> = None;
        let mut open = true;
        loop {
            let mut settled: Vec<(u64, Result<Outcome>)> = Vec::new();
            if let Some((sequence, write)) = writes.send_next() {
                let Some(batch) = write.batch.clone() else {
                    self.settle(&mut writes, sequence).await?;
                    continue;
                };
                let mut sent: Pin<Box<_>> = Box::pin(self.sink.write(batch));
                // Writes in flight go on while this one is handed over: it may wait for them.
                let ack = loop {
                    tokio::select! {
                        biased;
                        ack = &mut sent => break ack,
                        Some(done) = pending.next(), if !pending.is_empty() => settled.push(done),
                    }
                };
                match ack {
                    Ok(Ack::Durable(outcome)) => settled.push((sequence, Ok(outcome))),
                    Ok(Ack::Pending(future)) => {
                        pending.push(future.map(move |outcome| (sequence, outcome)).boxed());
                    }
                    Err(error) => settled.push((sequence, Err(error))),
                }
            } else if let Some(error) = failure.take_if(|_| pending.is_empty()) {
                match self.recover(error, None, &mut backoff).await? {
                    Recovery::GiveUp => return Ok(()),
                    Recovery::Committed | Recovery::Repeat => writes.restart(),
                }
            } else if !open && writes.is_empty() {
                return Ok(());
            } else {
                let room = open && writes.has_room();
                tokio::select! {
                    Some(done) = pending.next(), if !pending.is_empty() => settled.push(done),
                    queued = self.queue.next(), if room => match queued {
                        Some(queued) => {
                            let write = self.prepare(queued)?;
                            writes.push(write.sequence, write);
                        }
                        None => open = false,
                    },
                }
            }
            for (sequence, outcome) in settled {
                match outcome {
                    Ok(outcome) => {
                        if let Some(write) = writes.get_mut(sequence)
                            && let Some(batch) = &write.batch
                        {
                            write.rejected = self.tolerated(batch, outcome.rejected)?;
                        }
                        self.settle(&mut writes, sequence).await?;
                        if failure.is_none() && backoff.reset() {
                            self.report(None);
                        }
                    }
                    Err(error) if error.is_transient() => {
                        writes.failed(sequence);
                        failure.get_or_insert(error);
                    }
                    Err(error) => return Err(self.named(error)),
                }
            }
        }
    }

    async fn settle(&mut self, writes: &mut InFlight<Write>, sequence: u64) -> Result<()> {
        for (_, write) in writes.durable(sequence) {
            self.is_durable(write).await?;
        }
        Ok(())
    }

    /// Waits, opens the sink again and, where it is transactional, asks it what it has.
    async fn recover(
        &mut self,
        mut error: Error,
        in_doubt: Option<&Offset>,
        backoff: &mut Backoff,
    ) -> Result<Recovery> {
        loop {
            self.report(Some(&error));
            if self.context.stop.is(Stage::Stopping)
                || !self.context.stop.sleep(backoff.next_wait()).await
            {
                tracing::warn!(
                    pipeline = &*self.context.pipeline, sink = &*self.name, %error,
                    "stopped before everything was written; it is read again at the next start"
                );
                return Ok(Recovery::GiveUp);
            }
            match self.reopen(in_doubt).await {
                Ok(recovery) => return Ok(recovery),
                Err(next) if next.is_transient() => error = next,
                Err(next) => return Err(self.named(next)),
            }
        }
    }

    async fn reopen(&mut self, in_doubt: Option<&Offset>) -> Result<Recovery> {
        self.sink.open().await?;
        let Some(in_doubt) = in_doubt else { return Ok(Recovery::Repeat) };
        let pipeline = Arc::clone(&self.context.pipeline);
        let loaded = self.transactional()?.load(&pipeline).await?;
        self.preparation.reload(loaded.as_ref())?;
        if loaded == self.own {
            return Ok(Recovery::Repeat);
        }
        if loaded.as_ref() == Some(in_doubt) {
            return Ok(Recovery::Committed);
        }
        let text = |offset: Option<&Offset>| offset.map_or("none".to_owned(), Offset::to_string);
        let back = match (&loaded, &self.own) {
            (Some(loaded), Some(own)) => {
                self.context.positions.compare(loaded, own)? == Some(Ordering::Less)
            }
            _ => true,
        };
        Err(Error::configuration(format!(
            "the offset in the target is {} where {} was committed: {}",
            text(loaded.as_ref()),
            text(self.own.as_ref()),
            if back { "the target went back" } else { "something else has written it" },
        ))
        .remedy("if the target was restored or failed over, start the pipeline again: it goes on from the target's offset"))
    }

    fn transactional(&mut self) -> Result<&mut dyn TransactionalSink> {
        let name = Arc::clone(&self.name);
        self.sink.transactional().ok_or_else(|| {
            Error::configuration(format!("sink {name} was transactional and is not any more"))
        })
    }

    fn named(&self, error: Error) -> Error {
        if error.message().starts_with(&*self.name) {
            return error;
        }
        error.context(format_args!("sink {}", self.name))
    }

    /// What may become dead letters of what was refused. Without a place for them the first event ends the pipeline.
    fn tolerated(
        &self,
        batch: &Batch,
        rejected: Vec<(usize, Error)>,
    ) -> Result<Vec<(usize, Error)>> {
        let tolerant = self.context.burial.is_some();
        if tolerant && rejected.iter().all(|(_, error)| is_tolerated(error)) {
            return Ok(rejected);
        }
        let ends = |error: &Error| !tolerant || !is_tolerated(error);
        let first = rejected.into_iter().filter(|(_, error)| ends(error));
        let Some((index, error)) = first.min_by_key(|(index, _)| *index) else {
            return Ok(Vec::new());
        };
        let error = match batch.events.get(index) {
            Some(event) => error.context(event.origin()),
            None => error,
        };
        Err(self.named(Error::data(error.to_string()).with_source(error)))
    }
}
