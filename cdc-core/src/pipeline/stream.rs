//! A pipeline as a `Stream`: for a consumer that wants events rather than a sink.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use tokio::sync::{mpsc, oneshot};

use super::acknowledged::{Acknowledged, Delivered, Reached};
use super::context::RunContext;
use super::handle::{Control, Handle};
use super::queue::{QueueReceiver, Room};
use super::sparing::Preparation;
use super::stop::Stage;
use super::{PipelineBuilder, SinkSlot, Target};
use crate::error::{Error, Result};
use crate::event::{ChangeEvent, Operation};
use crate::offset::Offset;
use crate::source::Positions;
use crate::status::Status;

/// The name under which a store keeps the offset of a stream.
const NAME: &str = "stream";

/// The only consumer of a pipeline.
const INDEX: usize = 0;

/// Events of a pipeline, acknowledged by their consumer.
///
/// Made by [`PipelineBuilder::stream`]. What is not [acknowledged](EventStream::ack) comes again after a restart, also
/// inside a batch or a transaction, where the source has an offset there. The stream ends when the source ends, when it
/// [has caught up](PipelineBuilder::until_caught_up), or after an error, which is its last item.
///
/// It reads ahead by [`queue_bytes`](PipelineBuilder::queue_bytes) at most. Events that were delivered do not count: how
/// long the consumer keeps them before it acknowledges them is its own affair.
#[derive(Debug)]
pub struct EventStream {
    parts: mpsc::Receiver<Part>,
    current: std::vec::IntoIter<ChangeEvent>,
    room: Option<Room>,
    acknowledged: Acknowledged,
    positions: Option<Arc<dyn Positions>>,
    control: Arc<Control>,
    handle: Option<Handle>,
    /// Dropped when the consumer is done.
    _open: oneshot::Sender<()>,
    failure: Option<Error>,
    ended: bool,
}

/// What the task of a stream hands over.
#[derive(Debug)]
pub(crate) enum Part {
    Start { own: Option<Offset>, positions: Arc<dyn Positions> },
    Batch { events: Vec<ChangeEvent>, delivered: Delivered, room: Room },
}

/// The side of a stream that belongs to the pipeline.
#[derive(Debug)]
pub(crate) struct StreamFeed {
    parts: mpsc::Sender<Part>,
    gone: oneshot::Receiver<()>,
    table_events: bool,
}

/// What the task of a stream works with.
pub(crate) struct StreamTask {
    pub(crate) feed: StreamFeed,
    pub(crate) preparation: Preparation,
    pub(crate) own: Option<Offset>,
    pub(crate) queue: QueueReceiver,
    pub(crate) context: Arc<RunContext>,
}

impl PipelineBuilder {
    /// Ends the chain in a stream instead of sinks, and starts it. Must be called inside a tokio runtime.
    ///
    /// The stream yields changes of rows, truncates and logical messages; [tables that announce
    /// themselves](Operation::Table) only [where asked for](PipelineBuilder::with_table_events). An offset store is
    /// needed.
    ///
    /// ```
    /// use cdc_core::offset_store::MemoryOffsetStore;
    /// use cdc_core::testkit::{MemoryLog, shop};
    /// use cdc_core::{Change, Pipeline};
    /// use futures_util::StreamExt as _;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// # let log = MemoryLog::new([shop::orders()]);
    /// # log.commit([Change::create(shop::order(1, "pen"))]);
    /// # let source = log.source();
    /// #[derive(serde::Deserialize)]
    /// struct Order {
    ///     id: i64,
    ///     note: Option<String>,
    /// }
    ///
    /// let mut stream = Pipeline::builder("orders", source)
    ///     .offsets(MemoryOffsetStore::new())
    ///     .until_caught_up()
    ///     .stream()?;
    /// while let Some(event) = stream.next().await.transpose()? {
    ///     if let Some(order) = event.after_as::<Order>()? {
    ///         assert_eq!((order.id, order.note.as_deref()), (1, Some("pen")));
    ///     }
    ///     stream.ack(&event);
    /// }
    /// stream.close().await?;
    /// # Ok::<(), cdc_core::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Configuration`](crate::ErrorKind::Configuration): no offset store, sinks beside the stream, no runtime.
    pub fn stream(mut self) -> Result<EventStream> {
        if !self.sinks.is_empty() {
            return Err(self
                .error("it has sinks and is to be a stream")
                .remedy("use a second pipeline for the stream"));
        }
        if self.store.is_none() {
            return Err(self
                .error("a stream cannot keep its offset, and there is no offset store")
                .remedy("add one by .offsets(FileOffsetStore::open(..)?)"));
        }
        self.check_settings()?;
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(self
                .error("a stream runs in a tokio runtime, and there is none")
                .remedy("call stream() inside of one"));
        }
        let (parts, receiver) = mpsc::channel(1);
        let (open, gone) = oneshot::channel();
        let feed = StreamFeed { parts, gone, table_events: self.settings.table_events };
        self.sinks.push(SinkSlot {
            name: NAME.into(),
            target: Target::Stream(feed),
            chain: super::chain::Chain::default(),
        });
        let pipeline = self.assemble();
        let control = Arc::clone(&pipeline.control);
        Ok(EventStream {
            parts: receiver,
            current: Vec::new().into_iter(),
            room: None,
            acknowledged: Acknowledged::default(),
            positions: None,
            control,
            handle: Some(pipeline.spawn()),
            _open: open,
            failure: None,
            ended: false,
        })
    }

    /// Lets a [stream](PipelineBuilder::stream) yield tables that announce themselves, too.
    pub fn with_table_events(mut self) -> Self {
        self.settings.table_events = true;
        self
    }
}

impl EventStream {
    /// This event and all before it are done. They do not come again once that is saved: within the
    /// [save interval](PipelineBuilder::save_interval), or with [`close`](EventStream::close).
    ///
    /// Of several events that transforms made of one, the last one counts. An event that is not of this run changes nothing.
    pub fn ack(&mut self, event: &ChangeEvent) {
        let Some(positions) = &self.positions else { return };
        let origin = event.origin();
        let reached =
            self.acknowledged.acknowledge(origin.batch, event.place(), origin, &**positions);
        for reached in reached {
            self.reach(reached);
        }
    }

    fn reach(&mut self, reached: Reached) {
        match reached {
            Reached::Batch { sequence, end, own } => {
                let durable = self.control.ledger.durable(INDEX, sequence, &end, &own);
                self.failure = durable.err().or(self.failure.take());
                self.control.progress.update_sink(INDEX, |status| status.durable = Some(own));
            }
            Reached::Part(own) => self.control.ledger.durable_part(INDEX, own),
        }
    }

    /// What the pipeline does now.
    pub fn status(&self) -> Status {
        self.control.progress.status()
    }

    /// Saves what was acknowledged and ends the pipeline.
    ///
    /// # Errors
    /// When it cannot be saved, and the error that ended the pipeline where it was not yielded.
    pub async fn close(mut self) -> Result<()> {
        let told = self.ended;
        let handle = self.handle.take();
        self.control.stop.raise(Stage::Stopping);
        // The pipeline's task waits for this end to be gone.
        drop(self);
        match handle {
            Some(handle) => match handle.join().await {
                Err(error) if told && !error.is_transient() => {
                    tracing::debug!(%error, "already yielded");
                    Ok(())
                }
                result => result,
            },
            None => Ok(()),
        }
    }

    fn end(&mut self) -> Option<Result<ChangeEvent>> {
        if std::mem::replace(&mut self.ended, true) {
            return None;
        }
        self.failure.take().or_else(|| self.control.failure()).map(Err)
    }
}

/// Dropping the stream ends the pipeline and saves what was acknowledged, without waiting for it.
impl Drop for EventStream {
    fn drop(&mut self) {
        self.control.stop.raise(Stage::Stopping);
    }
}

impl Stream for EventStream {
    type Item = Result<ChangeEvent>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let stream = &mut *self;
        loop {
            if stream.failure.is_some() || stream.ended {
                return Poll::Ready(stream.end());
            }
            if let Some(event) = stream.current.next() {
                if stream.current.len() == 0 {
                    stream.room = None;
                }
                return Poll::Ready(Some(Ok(event)));
            }
            match ready!(stream.parts.poll_recv(context)) {
                None => return Poll::Ready(stream.end()),
                Some(Part::Start { own, positions }) => {
                    stream.acknowledged = Acknowledged::after(own);
                    stream.positions = Some(positions);
                }
                Some(Part::Batch { events, delivered, room }) => {
                    stream.room = (!events.is_empty()).then_some(room);
                    stream.current = events.into_iter();
                    if let Some(reached) = stream.acknowledged.deliver(delivered) {
                        stream.reach(reached);
                    }
                }
            }
        }
    }
}

impl StreamTask {
    /// Hands batches to the consumer until the reader has ended, then waits until the consumer is done too: what it
    /// still acknowledges is to be saved.
    ///
    /// # Errors
    /// Of offsets that cannot be compared.
    pub(crate) async fn run(self) -> Result<()> {
        let StreamTask { feed, preparation, own, queue, context } = self;
        let StreamFeed { parts, mut gone, table_events } = feed;
        let deliver = deliver(parts, preparation, own, queue, &context, table_events);
        let result = tokio::select! {
            biased;
            () = context.stop.reached(Stage::Failing) => return Ok(()),
            _ = &mut gone => return Ok(()),
            result = deliver => result,
        };
        tokio::select! {
            () = context.stop.reached(Stage::Failing) => {}
            _ = &mut gone => {}
        }
        result
    }
}

async fn deliver(
    parts: mpsc::Sender<Part>,
    mut preparation: Preparation,
    own: Option<Offset>,
    mut queue: QueueReceiver,
    context: &RunContext,
    table_events: bool,
) -> Result<()> {
    let positions = Arc::clone(&context.positions);
    let mut sent = parts.send(Part::Start { own, positions }).await.is_ok();
    while sent && let Some(queued) = queue.next().await {
        let end = queued.batch.offset.clone();
        let sequence = queued.batch.sequence;
        let prepared =
            preparation.prepare(&queued.batch).inspect_err(|error| context.fail(error))?.batch;
        let own = match (&prepared, preparation.ahead()) {
            (Some(batch), _) => batch.offset.clone(),
            (None, Some(ahead)) => ahead.clone(),
            (None, None) => end.clone(),
        };
        let mut events: Vec<ChangeEvent> = prepared
            .iter()
            .flat_map(|batch| &batch.events)
            .filter(|event| table_events || event.operation() != Some(Operation::Table))
            .cloned()
            .collect();
        let delivered = Delivered::new(sequence, end, own, &mut events);
        let count = events.len() as u64;
        sent = parts.send(Part::Batch { events, delivered, room: queued.room }).await.is_ok();
        let bytes = queue.used_bytes();
        context.progress.update_sink(INDEX, |status| {
            status.events += count;
            status.queued_bytes = bytes;
        });
    }
    Ok(())
}
