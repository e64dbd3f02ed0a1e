//! Cutting the stream of events into batches.

use cdc_core::{Answer, Audience, Batch, BatchLimits, ChangeEvent, Offset};
use tokio::time::Instant;

use crate::error::PostgresError;
use crate::shape::Shaper;

/// Collects events until a limit is reached.
#[derive(Debug)]
pub(crate) struct BatchBuilder {
    limits: BatchLimits,
    events: Vec<ChangeEvent>,
    bytes: usize,
    deadline: Option<Instant>,
    /// The requests that the offset of the next batch is the first to hold.
    pub(crate) answers: Vec<Answer>,
}

impl BatchBuilder {
    pub(crate) fn new(limits: BatchLimits) -> Self {
        BatchBuilder { limits, events: Vec::new(), bytes: 0, deadline: None, answers: Vec::new() }
    }

    pub(crate) fn push(&mut self, event: ChangeEvent) {
        let size = event.size().saturating_sub(size_of::<ChangeEvent>());
        self.push_sized(event, size);
    }

    /// Adds an event whose values take so many bytes.
    pub(crate) fn push_sized(&mut self, event: ChangeEvent, size: usize) {
        if self.events.is_empty() {
            self.deadline = Some(Instant::now() + self.limits.max_delay);
        }
        self.bytes += size_of::<ChangeEvent>() + size;
        self.events.push(event);
    }

    /// The events so far.
    pub(crate) fn events(&self) -> &[ChangeEvent] {
        &self.events
    }

    /// The events so far, to be marked.
    pub(crate) fn events_mut(&mut self) -> &mut [ChangeEvent] {
        &mut self.events
    }

    /// Takes out the events from one on.
    pub(crate) fn split_off(&mut self, at: usize) -> Vec<ChangeEvent> {
        let rest = self.events.split_off(at.min(self.events.len()));
        let bytes: usize = rest.iter().map(ChangeEvent::size).sum();
        self.bytes = self.bytes.saturating_sub(bytes);
        rest
    }

    /// The last event.
    pub(crate) fn last(&self) -> Option<&ChangeEvent> {
        self.events.last()
    }

    /// Takes the last event out again, with the bytes of its values.
    pub(crate) fn pop(&mut self) -> Option<(ChangeEvent, usize)> {
        let event = self.events.pop()?;
        let size = event.size();
        self.bytes = self.bytes.saturating_sub(size);
        if self.events.is_empty() {
            self.bytes = 0;
            self.deadline = None;
        }
        Some((event, size.saturating_sub(size_of::<ChangeEvent>())))
    }

    /// Makes the events what is shown of them, or leaves them out.
    pub(crate) fn shape(&mut self, shaper: &mut Shaper) -> Result<(), PostgresError> {
        if !shaper.has_rules() {
            return Ok(());
        }
        let shown = self.events.drain(..).map(|event| shaper.shape(event));
        self.events = shown.filter_map(Result::transpose).collect::<Result<_, _>>()?;
        if self.events.is_empty() {
            self.bytes = 0;
            self.deadline = None;
        }
        Ok(())
    }

    /// How many events there are.
    pub(crate) fn len(&self) -> u64 {
        u64::try_from(self.events.len()).unwrap_or(u64::MAX)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Whether a limit of size is reached.
    pub(crate) fn is_full(&self) -> bool {
        self.events.len() >= self.limits.max_events || self.bytes >= self.limits.max_bytes
    }

    /// What there is room for, one event at least.
    pub(crate) fn room(&self) -> BatchLimits {
        BatchLimits {
            max_events: self.limits.max_events.saturating_sub(self.events.len()).max(1),
            max_bytes: self.limits.max_bytes.saturating_sub(self.bytes).max(1),
            max_delay: self.limits.max_delay,
        }
    }

    /// Until when the first event may wait for others.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Ends the batch.
    pub(crate) fn take(&mut self, offset: Offset, ends_transaction: bool) -> Batch {
        // The next batch is mostly about as large: with room for an eighth more it rarely has to grow, which would double it.
        let next = Vec::with_capacity(self.events.len() + self.events.len() / 8);
        let events = std::mem::replace(&mut self.events, next);
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
            answers: std::mem::take(&mut self.answers),
        }
    }
}
