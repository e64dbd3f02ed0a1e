//! Saving offsets: on a timer, at once where asked for, and at the end; and releasing the source's log after it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::ledger::Ledger;
use super::retry::{Backoff, RetryPolicy};
use super::stop::{Stage, StopSignal};
use crate::error::{Error, Result};
use crate::offset::Offset;
use crate::offset_store::OffsetStore;
use crate::request::Answer;
use crate::source::{Acknowledger, Positions};
use crate::status::Progress;

/// The ledger as the tasks of a pipeline share it.
#[derive(Debug, Default)]
pub(crate) struct SharedLedger {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    ledger: Ledger,
    acknowledger: Option<Acknowledger>,
    requests: Vec<(u64, Answer)>,
    goal: Option<Goal>,
}

/// Where a pipeline that drains ends.
#[derive(Debug)]
struct Goal {
    end: Offset,
    positions: Arc<dyn Positions>,
    stop: Arc<StopSignal>,
}

impl SharedLedger {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a run with what the sinks had at its start.
    pub(crate) fn begin(
        &self,
        ledger: Ledger,
        acknowledger: Acknowledger,
        resume: Option<&Offset>,
    ) {
        let mut state = self.lock();
        state.ledger = ledger;
        if let Some(resume) = resume {
            acknowledger.acknowledge(resume);
        }
        state.acknowledger = Some(acknowledger);
    }

    /// Stops the pipeline once `end` is durable in every sink.
    ///
    /// # Errors
    /// When the offsets cannot be compared.
    pub(crate) fn stop_at(
        &self,
        end: Offset,
        resume: Option<&Offset>,
        positions: Arc<dyn Positions>,
        stop: Arc<StopSignal>,
    ) -> Result<()> {
        let goal = Goal { end, positions, stop };
        if let Some(resume) = resume
            && goal.is_reached(resume)?
        {
            goal.stop.raise(Stage::Stopping);
            return Ok(());
        }
        self.lock().goal = Some(goal);
        Ok(())
    }

    /// The offset of this batch is to be saved at once.
    pub(crate) fn hurry(&self, sequence: u64) {
        self.lock().ledger.hurry(sequence);
        self.changed.notify_one();
    }

    /// A request is held by the offset of this batch: it is answered when that is saved.
    pub(crate) fn answer_when_saved(&self, sequence: u64, answer: Answer) {
        self.lock().requests.push((sequence, answer));
        self.hurry(sequence);
    }

    /// All up to the end of a batch is durable in a sink, whose offset is now `own`.
    ///
    /// # Errors
    /// When the offset cannot be compared with the end of the log.
    pub(crate) fn durable(
        &self,
        sink: usize,
        sequence: u64,
        end: &Offset,
        own: &Offset,
    ) -> Result<()> {
        let mut state = self.lock();
        state.ledger.durable(sink, sequence, end, own);
        state.release();
        if let Some(goal) = &state.goal
            && let Some((_, offset)) = state.ledger.durable_everywhere()
            && goal.is_reached(offset)?
        {
            goal.stop.raise(Stage::Stopping);
            state.goal = None;
        }
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// A sink is done with a part of the batch after what is durable in it.
    pub(crate) fn durable_part(&self, sink: usize, own: Offset) {
        self.lock().ledger.durable_part(sink, own);
        self.changed.notify_one();
    }
}

impl Goal {
    fn is_reached(&self, offset: &Offset) -> Result<bool> {
        self.positions.has_reached(offset, &self.end)
    }
}

impl State {
    /// Tells the source what is saved everywhere, and answers the requests that this holds.
    fn release(&mut self) {
        let Some(offset) = self.ledger.release() else { return };
        if let Some(acknowledger) = &self.acknowledger {
            acknowledger.acknowledge(&offset);
        }
        let saved = self.ledger.saved_everywhere();
        for (_, answer) in self.requests.extract_if(.., |(sequence, _)| *sequence <= saved) {
            answer.saved();
        }
    }
}

/// The one that writes to the store.
pub(crate) struct Saver {
    pub(crate) pipeline: Arc<str>,
    pub(crate) store: Arc<dyn OffsetStore>,
    pub(crate) ledger: Arc<SharedLedger>,
    pub(crate) interval: Duration,
    pub(crate) retry: RetryPolicy,
    pub(crate) progress: Progress,
}

impl Saver {
    /// Saves until it is told to end, then once more; not once more when `finish` is dropped. While nothing changes no
    /// timer runs.
    ///
    /// # Errors
    /// The store's, but for transient ones, which are retried; at the end they are returned.
    pub(crate) async fn run(self, mut finish: oneshot::Receiver<()>) -> Result<()> {
        let mut backoff = Backoff::new(self.retry);
        let mut earliest = Instant::now() + self.interval;
        let save_once_more = loop {
            tokio::select! {
                biased;
                told = &mut finish => break told.is_ok(),
                () = self.due(earliest) => {}
            }
            match self.save().await {
                Ok(()) => {
                    if backoff.reset() {
                        self.progress.set_error(None);
                    }
                    earliest = Instant::now() + self.interval;
                }
                Err(error) if error.is_transient() => {
                    tracing::warn!(pipeline = &*self.pipeline, %error, "offsets are not saved");
                    self.progress.set_error(Some(error.to_string()));
                    tokio::select! {
                        biased;
                        told = &mut finish => break told.is_ok(),
                        () = tokio::time::sleep(backoff.next_wait()) => {}
                    }
                }
                Err(error) => return Err(error),
            }
        };
        let unsaved = self.ledger.lock().ledger.is_unsaved();
        if save_once_more && unsaved { self.save().await } else { Ok(()) }
    }

    /// Ends when there is something to save and it is time for it.
    async fn due(&self, earliest: Instant) {
        loop {
            let (unsaved, urgent) = {
                let state = self.ledger.lock();
                (state.ledger.is_unsaved(), state.ledger.is_urgent())
            };
            if urgent {
                return;
            }
            if !unsaved {
                self.ledger.changed.notified().await;
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep_until(earliest) => return,
                () = self.ledger.changed.notified() => {}
            }
        }
    }

    async fn save(&self) -> Result<()> {
        let point = self.ledger.lock().ledger.save_point();
        self.store.save(&self.pipeline, &point.offsets).await?;
        let mut state = self.ledger.lock();
        state.ledger.saved(point);
        state.release();
        Ok(())
    }
}

/// The answer to a request that was not saved.
pub(crate) fn request_lost() -> Error {
    Error::cancelled(
        "the pipeline ended, or the source lost its connection, before the request was saved",
    )
}
