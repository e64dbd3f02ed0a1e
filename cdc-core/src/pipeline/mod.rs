//! The pipeline: one source, a chain of transforms, one or several sinks, and the offsets between them.
//!
//! ```text
//! source -> stages -> common chain -> queue per sink -> own chain -> sink -> ledger -> store -> source's acknowledger
//! ```
//!
//! What may never happen is written in the [crate's contracts](crate#contracts); each part keeps one of them:
//! `reader` numbers batches and goes on after what is queued; `queue` bounds memory; `sparing` withholds what a sink
//! has; `stages` asks servers; `burying` keeps what fails as dead letters; `in_flight` finds what is durable without a gap; `ledger` what is saved everywhere; `saving` releases the source.

mod acknowledged;
mod builder;
mod burying;
mod chain;
mod context;
mod handle;
mod heartbeat;
mod in_flight;
mod ledger;
mod queue;
mod reader;
mod retry;
mod run;
mod saving;
mod sink_task;
mod sparing;
mod stages;
mod start;
mod stop;
mod stream;

use std::future::Future;
use std::sync::Arc;

use tokio::sync::mpsc;

pub use builder::PipelineBuilder;
pub use handle::Handle;
pub use retry::RetryPolicy;
pub use stream::EventStream;

use crate::error::Result;
use crate::offset_store::OffsetStore;
use crate::sink::Sink;
use crate::source::Source;
use crate::status::Progress;
use builder::Settings;
use burying::Burial;
use chain::Chain;
use handle::Control;
use reader::Command;
use stages::Stages;
use stop::Stage;

/// A pipeline that is ready to run. See [`Pipeline::builder`].
#[derive(Debug)]
pub struct Pipeline {
    name: Arc<str>,
    source: SourceSlot,
    stages: Stages,
    chain: Chain,
    sinks: Vec<SinkSlot>,
    store: Option<StoreSlot>,
    burial: Option<Burial>,
    settings: Settings,
    control: Arc<Control>,
    commands: mpsc::Receiver<Command>,
}

struct SourceSlot(Box<dyn Source>);
struct StoreSlot(Arc<dyn OffsetStore>);

/// A sink with its own chain.
struct SinkSlot {
    name: Arc<str>,
    target: Target,
    chain: Chain,
}

/// Where a chain ends.
enum Target {
    Sink(Box<dyn Sink>),
    Stream(stream::StreamFeed),
}

impl Pipeline {
    /// A pipeline with a name that is stable across restarts: offsets, slots and publications are found again by it.
    pub fn builder(name: impl Into<Arc<str>>, source: impl Source + 'static) -> PipelineBuilder {
        PipelineBuilder::new(name.into(), Box::new(source))
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the pipeline does, to be read while it runs.
    pub fn progress(&self) -> Progress {
        self.control.progress.clone()
    }

    /// Runs until the source ends, the pipeline [has caught up](PipelineBuilder::until_caught_up) or something fails for
    /// good. Dropping the future aborts the pipeline; what was not saved comes again at the next start.
    ///
    /// # Errors
    /// The first error that is not transient; [`ErrorKind`](crate::ErrorKind) says of which kind.
    pub async fn run(self) -> Result<()> {
        Box::pin(run::run(self)).await
    }

    /// Runs until `stop` ends (a signal, say), then stops gracefully: reads no more, writes what was read, saves, closes.
    ///
    /// # Errors
    /// As [`Pipeline::run`].
    pub async fn run_until(self, stop: impl Future) -> Result<()> {
        let signal = Arc::clone(&self.control.stop);
        let run = Box::pin(run::run(self));
        tokio::pin!(stop);
        tokio::select! {
            result = run => result,
            () = async {
                let _ = stop.await;
                signal.raise(Stage::Stopping);
                std::future::pending().await
            } => Ok(()),
        }
    }

    /// Runs in a task of its own, and gives the handle to it.
    ///
    /// Must be called inside a tokio runtime.
    pub fn spawn(self) -> Handle {
        let control = Arc::clone(&self.control);
        Handle::new(control, tokio::spawn(run::run(self)))
    }
}

impl std::fmt::Debug for SourceSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("source")
    }
}

impl std::fmt::Debug for StoreSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("offset store")
    }
}

impl std::fmt::Debug for SinkSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("sink").field("name", &self.name).field("chain", &self.chain).finish()
    }
}
