//! The task that reads the source: it numbers batches, runs the common chain and fills the queues of the sinks.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::builder::Until;
use super::chain::Chain;
use super::context::RunContext;
use super::heartbeat::Heartbeat;
use super::queue::QueueSender;
use super::retry::Backoff;
use super::stages::Stages;
use super::stop::Stage;
use crate::batch::Batch;
use crate::dead_letter::Stage as FailedStage;
use crate::error::{Error, Result};
use crate::event::ChangeEvent;
use crate::offset::Offset;
use crate::origin::Origin;
use crate::request::{Answer, Request};
use crate::source::{Source, SourceContext};
use crate::status::Phase;

/// A request on its way to the source, and where the answer goes.
pub(crate) type Command = (Request, Answer);

/// What the reading task works with.
pub(crate) struct Reader {
    pub(crate) source: Box<dyn Source>,
    pub(crate) source_context: SourceContext,
    /// Where to go on after a lost connection: the end of what is queued.
    pub(crate) resume: Option<Offset>,
    pub(crate) stages: Stages,
    pub(crate) chain: Chain,
    pub(crate) queues: Vec<QueueSender>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) paused: watch::Receiver<bool>,
    pub(crate) sequence: u64,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) until: Option<Until>,
    /// The event came with which the pipeline ends.
    pub(crate) last_seen: bool,
    pub(crate) context: Arc<RunContext>,
}

impl Reader {
    /// Reads until the source ends or the pipeline stops, and gives the source back: it is closed after the last offset
    /// was saved, so that it can still release its log.
    ///
    /// # Errors
    /// What is not transient.
    pub(crate) async fn run(mut self) -> (Box<dyn Source>, Result<()>) {
        let context = Arc::clone(&self.context);
        let result = tokio::select! {
            biased;
            () = context.stop.reached(Stage::Stopping) => Ok(()),
            result = self.read() => result,
        };
        if let Err(error) = &result {
            context.fail(error);
        }
        (self.source, result)
    }

    async fn read(&mut self) -> Result<()> {
        let mut backoff = Backoff::new(self.context.retry);
        loop {
            if *self.paused.borrow_and_update() {
                self.wait_while_paused().await;
            }
            tokio::select! {
                biased;
                Some((request, answer)) = self.commands.recv() => self.request(request, answer),
                Ok(()) = self.paused.changed() => {}
                () = self.heartbeat.due() => {
                    let streaming = self.context.progress.status().phase == Phase::Streaming;
                    if let Some(batch) = self.heartbeat.beat(streaming, self.resume.as_ref())?
                        && !self.deliver(batch).await?
                    {
                        return Ok(());
                    }
                }
                next = self.source.next_batch() => match next {
                    Ok(Some(batch)) => {
                        if backoff.reset() {
                            self.context.progress.set_error(None);
                        }
                        if !self.deliver(batch).await? {
                            return Ok(());
                        }
                    }
                    Ok(None) => return Ok(()),
                    Err(error) if error.is_transient() => {
                        self.restart(error, &mut backoff).await?;
                    }
                    Err(error) => return Err(error),
                },
            }
        }
    }

    async fn wait_while_paused(&mut self) {
        let phase = self.context.progress.status().phase;
        self.context.progress.set_phase(Phase::Paused);
        while *self.paused.borrow_and_update() {
            tokio::select! {
                Some((request, answer)) = self.commands.recv() => self.request(request, answer),
                // The sender lives as long as the pipeline.
                _ = self.paused.changed() => {}
            }
        }
        self.context.progress.set_phase(phase);
    }

    fn request(&mut self, request: Request, answer: Answer) {
        if let Err(error) = self.source.control(request, answer.clone()) {
            answer.refuse(error);
        }
    }

    /// Hands a batch to all sinks; `false` when one is gone, or nothing more is wanted, which ends the pipeline.
    async fn deliver(&mut self, mut batch: Batch) -> Result<bool> {
        self.sequence += 1;
        batch.sequence = self.sequence;
        self.context.progress.add_batch(batch.events.len(), batch.bytes);
        for (place, event) in (0..).zip(&mut batch.events) {
            event.set_batch(self.sequence, place);
        }
        if let Some(until) = &self.until {
            self.last_seen |= batch.events.iter().any(|event| until.is_last(event));
        }
        let before_chain = self.change(&mut batch).await?;
        if batch.save_now {
            self.context.ledger.hurry(self.sequence);
        }
        for answer in std::mem::take(&mut batch.answers) {
            self.context.ledger.answer_when_saved(self.sequence, answer);
        }
        let offset = batch.offset.clone();
        let ends = self.last_seen && batch.ends_transaction;
        let batch = Arc::new(batch);
        for queue in &self.queues {
            if !queue.push(Arc::clone(&batch), before_chain.clone()).await {
                return Ok(false);
            }
        }
        self.resume = Some(offset);
        Ok(!ends)
    }

    /// Sends the events through stages and chain. Gives them as they were before the chain, where letters may need them:
    /// each at its place, so those that a stage failed on are among them, as the source gave them.
    async fn change(&mut self, batch: &mut Batch) -> Result<Option<Arc<[ChangeEvent]>>> {
        if self.stages.is_empty() && self.chain.is_empty() {
            return Ok(None);
        }
        let buries = self.context.burial.is_some();
        let mut failed = Vec::new();
        let mut kept: Option<Vec<ChangeEvent>> = buries.then(|| batch.events.clone());
        let mut events = std::mem::take(&mut batch.events);
        if !self.stages.is_empty() {
            events = self.stages.apply(events, &self.context, &mut failed).await?;
            // Letters of later steps hold what the stages put in.
            for event in &events {
                let place = usize::try_from(event.origin().place);
                if let (Some(kept), Ok(place)) = (&mut kept, place)
                    && let Some(before) = kept.get_mut(place)
                {
                    before.clone_from(event);
                }
            }
        }
        batch.events = match buries {
            true => self.chain.apply_or_bury(events, FailedStage::CommonChain, &mut failed)?,
            false => self.chain.apply(events)?,
        };
        batch.bytes = batch.events.iter().map(ChangeEvent::size).sum();
        let Some(kept) = kept else { return Ok(None) };
        let original = |origin: &Origin| kept.get(usize::try_from(origin.place).ok()?).cloned();
        self.context.bury(None, failed, original).await?;
        Ok(Some(kept.into()))
    }

    /// Connects again and goes on after what is queued.
    async fn restart(&mut self, mut error: Error, backoff: &mut Backoff) -> Result<()> {
        loop {
            tracing::warn!(pipeline = &*self.context.pipeline, %error, "the source is read again");
            self.context.progress.set_error(Some(error.to_string()));
            tokio::time::sleep(backoff.next_wait()).await;
            let again = match self.source.acquire(&self.source_context).await {
                Ok(()) => self.source.start(self.resume.clone()).await,
                Err(error) => Err(error),
            };
            match again {
                Ok(()) => return Ok(()),
                Err(next) if next.is_transient() => error = next,
                Err(next) => return Err(next),
            }
        }
    }
}
