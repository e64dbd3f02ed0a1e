//! Cutting the stream of events into batches.

use cdc_core::{Audience, Batch, BatchLimits, ChangeEvent, Offset};
use tokio::time::Instant;

/// Collects events until a limit is reached.
#[derive(Debug)]
pub(crate) struct BatchBuilder {
    limits: BatchLimits,
    events: Vec<ChangeEvent>,
    bytes: usize,
    deadline: Option<Instant>,
}

impl BatchBuilder {
    pub(crate) fn new(limits: BatchLimits) -> Self {
        BatchBuilder { limits, events: Vec::new(), bytes: 0, deadline: None }
    }

    pub(crate) fn push(&mut self, event: ChangeEvent) {
        if self.events.is_empty() {
            self.deadline = Some(Instant::now() + self.limits.max_delay);
        }
        self.bytes += event.size();
        self.events.push(event);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Whether a limit of size is reached.
    pub(crate) fn is_full(&self) -> bool {
        self.events.len() >= self.limits.max_events || self.bytes >= self.limits.max_bytes
    }

    /// Until when the first event may wait for others.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Ends the batch.
    pub(crate) fn take(&mut self, offset: Offset, ends_transaction: bool) -> Batch {
        let events = std::mem::take(&mut self.events);
        let bytes = std::mem::take(&mut self.bytes);
        self.deadline = None;
        Batch {
            events,
            offset,
            sequence: 0,
            save_now: false,
            ends_transaction,
            audience: Audience::All,
            bytes,
        }
    }
}
