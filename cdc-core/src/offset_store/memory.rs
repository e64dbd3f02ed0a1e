//! Offsets in memory, for tests and for consumers that start from the beginning each time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use super::{OffsetStore, SinkOffsets};
use crate::error::Result;

/// Keeps offsets in memory: a restart of the process starts from the beginning.
///
/// Shared as an `Arc` it survives a restart of the pipeline inside the process.
#[derive(Debug, Default)]
pub struct MemoryOffsetStore(Mutex<HashMap<String, SinkOffsets>>);

impl MemoryOffsetStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl OffsetStore for MemoryOffsetStore {
    async fn open(&self, pipeline: &str) -> Result<SinkOffsets> {
        let offsets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(offsets.get(pipeline).cloned().unwrap_or_default())
    }

    async fn save(&self, pipeline: &str, offsets: &SinkOffsets) -> Result<()> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(pipeline.to_owned(), offsets.clone());
        Ok(())
    }

    async fn forget(&self, pipeline: &str) -> Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(pipeline);
        Ok(())
    }

    async fn close(&self, _pipeline: &str) -> Result<()> {
        Ok(())
    }
}
