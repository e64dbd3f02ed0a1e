//! Batches: events and the offset that is reached when all of them are durable.

use std::sync::Arc;
use std::time::Duration;

use crate::event::ChangeEvent;
use crate::offset::Offset;
use crate::request::Answer;

/// Events in the order of the source, and the offset that is reached when all of them are durable.
///
/// A batch may be empty: an idle position is saved too.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The events.
    pub events: Vec<ChangeEvent>,
    /// What is reached when all of it is durable. A batch with events never has the offset of the batch before it:
    /// after a commit that ended in doubt the offset alone tells whether it happened.
    pub offset: Offset,
    /// Its number in this run, counted by the pipeline from 1.
    pub sequence: u64,
    /// Whether the offset is to be saved at once rather than at the next turn of the timer (the intent to make a slot).
    pub save_now: bool,
    /// Whether it ends with the end of a transaction.
    pub ends_transaction: bool,
    /// The sinks it is for.
    pub audience: Audience,
    /// Roughly how many bytes it keeps alive.
    pub bytes: usize,
    /// The requests that its offset is the first to hold: answered once it is saved.
    pub answers: Vec<Answer>,
}

impl Batch {
    /// A batch for all sinks.
    pub fn new(events: Vec<ChangeEvent>, offset: Offset) -> Self {
        let bytes = events.iter().map(ChangeEvent::size).sum();
        Batch {
            events,
            offset,
            sequence: 0,
            save_now: false,
            ends_transaction: true,
            audience: Audience::All,
            bytes,
            answers: Vec::new(),
        }
    }

    /// A batch without events that moves the offset on.
    pub fn empty(offset: Offset) -> Self {
        Self::new(Vec::new(), offset)
    }
}

/// The sinks a batch is for. The others get its offset, not its events.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Audience {
    /// All sinks.
    #[default]
    All,
    /// The sinks with these names.
    Only(Arc<[Arc<str>]>),
}

impl Audience {
    /// Whether the sink with this name gets the events.
    pub fn includes(&self, sink: &str) -> bool {
        match self {
            Audience::All => true,
            Audience::Only(names) => names.iter().any(|name| &**name == sink),
        }
    }
}

/// When a source ends a batch: at the first bound that is reached, and at the end of a transaction where that is near.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// The most events.
    pub max_events: usize,
    /// The most bytes that the batch may keep alive; one event may exceed it alone.
    pub max_bytes: usize,
    /// The longest time that the first event waits for others.
    pub max_delay: Duration,
}

impl Default for BatchLimits {
    /// 8 192 events, 4 MiB, 2 ms.
    fn default() -> Self {
        BatchLimits { max_events: 8_192, max_bytes: 4 << 20, max_delay: Duration::from_millis(2) }
    }
}
