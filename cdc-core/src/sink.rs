//! What a sink is: it makes batches durable and says which.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;

use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::offset::Offset;
use crate::source::SystemIdentity;

/// A place where events land.
///
/// The pipeline writes batches in order. After a failed write nothing newer is sent; writes in flight settle, and
/// everything from the first batch that is not durable is written again, in order. So a sink is idempotent, versioned
/// or transactional, and [says which](Sink::delivery).
///
/// A sink that can keep an offset with its data implements [`TransactionalSink`] too and returns itself from
/// [`transactional`](Sink::transactional): then [`write`](Sink::write) is not called.
#[async_trait]
pub trait Sink: Send {
    /// A name that is stable across restarts and unique in its pipeline, such as `sqlite:shop.db`; never with a password.
    fn name(&self) -> &str;

    /// What a repeated write does.
    fn delivery(&self) -> Delivery;

    /// Connects, before the first write and again after a failed one. The default does nothing.
    async fn open(&mut self) -> Result<()> {
        Ok(())
    }

    /// Writes a batch, now or later.
    async fn write(&mut self, batch: Arc<Batch>) -> Result<Ack>;

    /// The transactional side of a sink that keeps the offset with the data.
    fn transactional(&mut self) -> Option<&mut dyn TransactionalSink> {
        None
    }

    /// What database this is, so that a sink on the source's own database is noticed. Known after
    /// [`open`](Sink::open).
    fn identity(&self) -> Option<SystemIdentity> {
        None
    }

    /// Ends after the last write.
    async fn close(&mut self) -> Result<()>;
}

/// The side of a sink that commits the offset with the data: exactly-once.
#[async_trait]
pub trait TransactionalSink: Send {
    /// The offset that was committed last, without taking the fence: whether this is a first start. The default knows of none.
    async fn peek(&mut self, pipeline: &str) -> Result<Option<Offset>> {
        let _ = pipeline;
        Ok(None)
    }

    /// The offset that was committed last, and takes the fence: an older instance of the pipeline can write no more.
    ///
    /// The pipeline calls it again after a failed commit. The same instance must not take the fence back then:
    ///
    /// # Errors
    /// [`Fenced`](crate::ErrorKind::Fenced) when this instance had the fence and another one has taken it since.
    async fn load(&mut self, pipeline: &str) -> Result<Option<Offset>>;

    /// Commits the events and the offset in one transaction, strictly in order. After a commit that ended in doubt the
    /// pipeline calls [`load`](TransactionalSink::load) before any retry.
    ///
    /// # Errors
    /// [`Data`](crate::ErrorKind::Data) when the target does not take an event: then nothing of the batch is committed, and
    /// [`find_rejected`](TransactionalSink::find_rejected) says which one it is. A transactional sink does not leave events out
    /// by itself: its outcome is empty, for the reason why must be kept before the offset moves on.
    async fn commit(&mut self, batch: Arc<Batch>) -> Result<Outcome>;

    /// Which events of a batch the target does not take, and why: asked after a commit that failed with a
    /// [data error](crate::ErrorKind::Data), where the pipeline has a place for [dead letters](crate::dead_letter). It
    /// changes nothing in the target. The pipeline keeps the events, then commits the batch without them.
    ///
    /// Empty where the sink cannot tell, which is the default: then the commit's error ends the pipeline.
    async fn find_rejected(&mut self, batch: Arc<Batch>) -> Result<Vec<(usize, Error)>> {
        let _ = batch;
        Ok(Vec::new())
    }

    /// Forgets the pipeline's offset; the data stays.
    async fn forget(&mut self, pipeline: &str) -> Result<()>;
}

/// What a repeated write does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Repeating the newest writes in order ends in the same state (upserts and deletes by key).
    Idempotent,
    /// A version from the source's position makes late writes harmless.
    Versioned,
    /// The offset is committed with the data.
    Transactional,
    /// A repeated write is seen twice (a queue, a log, a user's own consumer).
    AtLeastOnce,
}

/// The answer to a write.
pub enum Ack {
    /// It is durable.
    Durable(Outcome),
    /// It is accepted; the future ends when it is durable.
    Pending(Pin<Box<dyn Future<Output = Result<Outcome>> + Send>>),
}

impl Ack {
    /// Everything in the batch is durable.
    pub fn durable() -> Ack {
        Ack::Durable(Outcome::default())
    }

    /// Accepted; durable when the future ends.
    pub fn pending(future: impl Future<Output = Result<Outcome>> + Send + 'static) -> Ack {
        Ack::Pending(Box::pin(future))
    }
}

impl fmt::Debug for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ack::Durable(outcome) => f.debug_tuple("Durable").field(outcome).finish(),
            Ack::Pending(_) => f.write_str("Pending"),
        }
    }
}

/// Which events of a durable batch were refused. Empty when all of them landed.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The index of each refused event in its batch, and why; all other events are durable.
    pub rejected: Vec<(usize, Error)>,
}

#[async_trait]
impl<S: Sink + ?Sized> Sink for Box<S> {
    fn name(&self) -> &str {
        (**self).name()
    }
    fn delivery(&self) -> Delivery {
        (**self).delivery()
    }
    async fn open(&mut self) -> Result<()> {
        (**self).open().await
    }
    async fn write(&mut self, batch: Arc<Batch>) -> Result<Ack> {
        (**self).write(batch).await
    }
    fn transactional(&mut self) -> Option<&mut dyn TransactionalSink> {
        (**self).transactional()
    }
    fn identity(&self) -> Option<SystemIdentity> {
        (**self).identity()
    }
    async fn close(&mut self) -> Result<()> {
        (**self).close().await
    }
}
