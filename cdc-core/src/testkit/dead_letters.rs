//! Dead letters in memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::dead_letter::{DeadLetter, DeadLetters};
use crate::error::{Error, Result};

/// Dead letters in memory, which outlive the pipelines that write them. They can be told to fail.
#[derive(Debug, Clone, Default)]
pub struct MemoryDeadLetters(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    letters: Vec<DeadLetter>,
    faults: VecDeque<Error>,
    open: Vec<String>,
}

impl MemoryDeadLetters {
    /// No letters.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the next write that has no fault yet fail. Faults queue up.
    pub fn fail(&self, error: Error) {
        self.lock().faults.push_back(error);
    }

    /// The letters, in order.
    pub fn letters(&self) -> Vec<DeadLetter> {
        self.lock().letters.clone()
    }

    /// The pipelines that have opened and not closed them.
    pub fn open_pipelines(&self) -> Vec<String> {
        self.lock().open.clone()
    }
}

#[async_trait]
impl DeadLetters for MemoryDeadLetters {
    async fn open(&self, pipeline: &str) -> Result<()> {
        self.lock().open.push(pipeline.to_owned());
        Ok(())
    }

    async fn write(&self, letters: &[DeadLetter]) -> Result<()> {
        let mut state = self.lock();
        if let Some(error) = state.faults.pop_front() {
            return Err(error);
        }
        state.letters.extend_from_slice(letters);
        Ok(())
    }

    async fn close(&self, pipeline: &str) -> Result<()> {
        self.lock().open.retain(|open| open != pipeline);
        Ok(())
    }
}
