//! Where the offsets of sinks that cannot keep their own are saved.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use crate::error::Result;
use crate::offset::Offset;

mod connect;
mod file;
mod memory;

pub use file::FileOffsetStore;
pub use memory::MemoryOffsetStore;

/// The offsets of a pipeline by the name of the sink.
pub type SinkOffsets = BTreeMap<String, Offset>;

/// Keeps the offsets of pipelines.
///
/// The truth for a transactional sink is the sink's own offset; a store serves the others, and is told of all.
#[async_trait]
pub trait OffsetStore: Send + Sync {
    /// Becomes the only writer of the pipeline's offsets and reads them; empty at the first start.
    ///
    /// # Errors
    /// [`Fenced`](crate::ErrorKind::Fenced), saying who, while another writer holds them;
    /// [`Configuration`](crate::ErrorKind::Configuration) when they are damaged: never a silent start from zero.
    async fn open(&self, pipeline: &str) -> Result<SinkOffsets>;

    /// Becomes the only writer though another instance may still hold the offsets, and reads them. The pipeline calls it
    /// after its sinks, all of them transactional, have fenced that instance (a process that was stopped and never let go):
    /// from then on the other one's [`save`](OffsetStore::save) is refused. The default is [`open`](OffsetStore::open).
    ///
    /// # Errors
    /// As [`open`](OffsetStore::open).
    async fn take_over(&self, pipeline: &str) -> Result<SinkOffsets> {
        self.open(pipeline).await
    }

    /// Replaces the offsets, all or nothing; durable when it returns.
    ///
    /// # Errors
    /// [`Fenced`](crate::ErrorKind::Fenced) when another writer has taken over;
    /// [`Configuration`](crate::ErrorKind::Configuration) on a full disk, which only somebody who makes room can mend;
    /// [`Transient`](crate::ErrorKind::Transient) when it may work later.
    async fn save(&self, pipeline: &str, offsets: &SinkOffsets) -> Result<()>;

    /// Forgets the pipeline.
    async fn forget(&self, pipeline: &str) -> Result<()>;

    /// Lets another writer in.
    async fn close(&self, pipeline: &str) -> Result<()>;
}

#[async_trait]
impl<S: OffsetStore + ?Sized> OffsetStore for Arc<S> {
    async fn open(&self, pipeline: &str) -> Result<SinkOffsets> {
        (**self).open(pipeline).await
    }
    async fn take_over(&self, pipeline: &str) -> Result<SinkOffsets> {
        (**self).take_over(pipeline).await
    }
    async fn save(&self, pipeline: &str, offsets: &SinkOffsets) -> Result<()> {
        (**self).save(pipeline, offsets).await
    }
    async fn forget(&self, pipeline: &str) -> Result<()> {
        (**self).forget(pipeline).await
    }
    async fn close(&self, pipeline: &str) -> Result<()> {
        (**self).close(pipeline).await
    }
}
