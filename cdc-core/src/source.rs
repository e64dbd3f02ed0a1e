//! What a source is: it reads a log in order, from an offset, and lets go of what is saved.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::batch::{Batch, BatchLimits};
use crate::error::Result;
use crate::offset::Offset;
use crate::origin::Origin;
use crate::request::{Answer, Request};
use crate::status::Progress;

/// A reader of a log of changes.
///
/// The pipeline calls [`acquire`](Source::acquire), then [`start`](Source::start), then
/// [`next_batch`](Source::next_batch) until it ends. After a transient error it calls [`acquire`](Source::acquire) and
/// [`start`](Source::start) again with the offset of the last batch it got.
///
/// The contracts are tested by [`testkit`](crate::testkit) (feature `testkit`).
#[async_trait]
pub trait Source: Send {
    /// Becomes the only reader of the log, or waits for it as a hot standby (an error where the context says not to
    /// wait). Called before any sink is loaded, so that a waiting instance does not fence the one that runs.
    ///
    /// Must be cancel-safe.
    ///
    /// # Errors
    /// All prerequisites that are not met, together, as one [`Configuration`](crate::ErrorKind::Configuration) error.
    async fn acquire(&mut self, context: &SourceContext) -> Result<()>;

    /// Begins to read after `resume`, or at the beginning (with a snapshot, where there is one) without it.
    ///
    /// `resume` is where to read from, not what is saved: after a lost connection it is the end of what is queued. Only the
    /// [acknowledger](Source::acknowledger) says what the log can be released up to.
    async fn start(&mut self, resume: Option<Offset>) -> Result<()>;

    /// The next batch; `None` when the source has ended and nothing more can come.
    ///
    /// Must be cancel-safe: a future that is dropped loses no event.
    async fn next_batch(&mut self) -> Result<Option<Batch>>;

    /// Takes what is saved. A cheap clone that never waits for a sink.
    fn acknowledger(&self) -> Acknowledger;

    /// How the offsets of this source compare.
    fn positions(&self) -> Arc<dyn Positions>;

    /// The offset of all that is committed now: a pipeline that drains ends when it is durable. Called after
    /// [`start`](Source::start), so that what this run copies first (tables that are new) can count.
    ///
    /// # Errors
    /// [`Configuration`](crate::ErrorKind::Configuration) where the source cannot tell.
    async fn end_of_log(&mut self) -> Result<Offset>;

    /// Takes a request that is carried out later, at a position of the log. The answer is given with the
    /// [batch](Batch::answers) whose offset holds the request, so that a restart carries it out too once that is saved;
    /// or [refused](Answer::refuse), where the source finds out later that it cannot do it.
    ///
    /// # Errors
    /// [`Configuration`](crate::ErrorKind::Configuration), naming the request, where the source cannot do it.
    fn control(&mut self, request: Request, answer: Answer) -> Result<()>;

    /// What database this is, so that a sink on the same one is noticed; `None` where it cannot be told. Known after
    /// [`acquire`](Source::acquire).
    fn identity(&self) -> Option<SystemIdentity> {
        None
    }

    /// Ends the connection. The log stays where it was acknowledged.
    async fn close(&mut self) -> Result<()>;
}

/// What a source needs to know of the pipeline it runs in.
#[derive(Debug, Clone)]
pub struct SourceContext {
    /// The pipeline's name; names of slots and publications are made of it.
    pub pipeline: Arc<str>,
    /// When batches end.
    pub limits: BatchLimits,
    /// Whether to wait while another instance reads the log.
    pub wait: bool,
    /// Where the source reports its phase, its lag and what it waits for.
    pub progress: Progress,
}

#[async_trait]
impl<S: Source + ?Sized> Source for Box<S> {
    async fn acquire(&mut self, context: &SourceContext) -> Result<()> {
        (**self).acquire(context).await
    }
    async fn start(&mut self, resume: Option<Offset>) -> Result<()> {
        (**self).start(resume).await
    }
    async fn next_batch(&mut self) -> Result<Option<Batch>> {
        (**self).next_batch().await
    }
    fn acknowledger(&self) -> Acknowledger {
        (**self).acknowledger()
    }
    fn positions(&self) -> Arc<dyn Positions> {
        (**self).positions()
    }
    async fn end_of_log(&mut self) -> Result<Offset> {
        (**self).end_of_log().await
    }
    fn control(&mut self, request: Request, answer: Answer) -> Result<()> {
        (**self).control(request, answer)
    }
    fn identity(&self) -> Option<SystemIdentity> {
        (**self).identity()
    }
    async fn close(&mut self) -> Result<()> {
        (**self).close().await
    }
}

/// How the offsets of a source compare.
pub trait Positions: Send + Sync + fmt::Debug {
    /// The order of two offsets, where there is one.
    ///
    /// # Errors
    /// [`Configuration`](crate::ErrorKind::Configuration) when one is not an offset of this source.
    fn compare(&self, a: &Offset, b: &Offset) -> Result<Option<Ordering>>;

    /// The latest offset that is not after any of these: where the reader starts for several sinks.
    ///
    /// # Errors
    /// As [`Positions::compare`].
    fn meet(&self, a: &Offset, b: &Offset) -> Result<Offset>;

    /// Whether the offset stands before the first event, so that a sink without an offset can still join. An offset
    /// inside the first snapshot does: after a restart that snapshot is read again from its beginning. One after it does
    /// not, even if no change has come yet: such a sink is [spared](Positions::coverage) the rows of another read, and one
    /// that stands before the first event is spared none of them.
    ///
    /// # Errors
    /// As [`Positions::compare`].
    fn before_first_event(&self, offset: &Offset) -> Result<bool>;

    /// Whether everything that `end` asks for is done at an offset: a pipeline that drains ends there. The default compares
    /// them; a source whose snapshots run beside the stream also looks whether they are done.
    ///
    /// # Errors
    /// As [`Positions::compare`].
    fn has_reached(&self, offset: &Offset, end: &Offset) -> Result<bool> {
        Ok(self.compare(offset, end)?.is_some_and(Ordering::is_ge))
    }

    /// Where to resume for a sink that has nothing yet, beside others that resume at `offset`; `None` where it would lack
    /// what was there before. The default takes it before the first event alone; a source that can read all rows again
    /// beside the stream gives an offset that asks for it.
    ///
    /// # Errors
    /// As [`Positions::compare`].
    fn with_new_sink(&self, offset: &Offset) -> Result<Option<Offset>> {
        Ok(self.before_first_event(offset)?.then(|| offset.clone()))
    }

    /// Which events an offset covers; without one those alone that a snapshot of this run shows.
    ///
    /// # Errors
    /// As [`Positions::compare`].
    fn coverage(&self, offset: Option<&Offset>) -> Result<Box<dyn Coverage>>;

    /// The offset of one sink that has everything up to `reached`, the end of a batch, and had `own` when it was loaded.
    ///
    /// They differ while an offset carries what a snapshot shows: a sink that was past the snapshot already was spared
    /// its rows, so its offset must not say that it has them; it carries on what its own offset said. The default is `reached`.
    fn for_sink(&self, own: Option<&Offset>, reached: &Offset) -> Result<Offset> {
        let _ = own;
        Ok(reached.clone())
    }

    /// The offset that is reached right after one event of a batch, where the source has one between batches: what a
    /// consumer that acknowledges single events resumes from. `before` is the offset of the batch before.
    fn offset_after(&self, before: &Offset, origin: &Origin) -> Option<Offset> {
        let _ = (before, origin);
        None
    }
}

/// Which events an offset covers.
pub trait Coverage: Send + fmt::Debug {
    /// Whether a sink with the offset already has the event.
    fn covers(&self, origin: &Origin) -> bool;
}

/// Takes saved offsets, so that the source's log can be released up to them.
#[derive(Clone)]
pub struct Acknowledger(Arc<dyn Acknowledge>);

/// What stands behind an [`Acknowledger`].
pub trait Acknowledge: Send + Sync {
    /// All up to this offset is saved. Must be monotonic (an older offset changes nothing) and must not block.
    fn acknowledge(&self, offset: &Offset);
}

impl Acknowledger {
    /// An acknowledger that hands offsets on.
    pub fn new(acknowledge: impl Acknowledge + 'static) -> Self {
        Acknowledger(Arc::new(acknowledge))
    }

    /// All up to this offset is saved.
    pub fn acknowledge(&self, offset: &Offset) {
        self.0.acknowledge(offset);
    }
}

impl fmt::Debug for Acknowledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Acknowledger")
    }
}

/// Which database a connection leads to, whatever address was used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemIdentity {
    /// The kind and number of the server, such as `postgresql:7364839201847362514`.
    pub system: String,
    /// The database in it.
    pub database: String,
}
