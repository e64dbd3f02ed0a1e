//! What the consumer of a stream has acknowledged: cumulative, by batch and inside a batch.
//!
//! A state machine without a clock or a task. Of events that were delivered only their batches are remembered, so a
//! consumer may hold back its acknowledgement for long without memory growing with the events.

use std::collections::VecDeque;

use crate::event::{ChangeEvent, StreamPlace};
use crate::offset::Offset;
use crate::origin::Origin;
use crate::source::Positions;

/// A batch on its way to the consumer.
#[derive(Debug)]
pub(crate) struct Delivered {
    pub(crate) sequence: u64,
    /// The offset of its end, as the reader counts.
    pub(crate) end: Offset,
    /// The offset of its end, as the sink keeps it.
    pub(crate) own: Offset,
    /// How many events the consumer gets.
    events: u32,
    /// Where transforms made several events of one: the last event of each origin.
    ends: Option<Vec<(u32, Origin)>>,
}

impl Delivered {
    /// Numbers the events of a batch.
    pub(crate) fn new(sequence: u64, end: Offset, own: Offset, events: &mut [ChangeEvent]) -> Self {
        let count = events.len();
        let mut fans_out = false;
        for index in 0..count {
            let last = events
                .get(index + 1)
                .zip(events.get(index))
                .is_none_or(|(next, this)| !same_change(next.origin(), this.origin()));
            fans_out |= !last;
            if let Some(event) = events.get_mut(index) {
                let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
                event.set_place(StreamPlace { number, ends_origin: last });
            }
        }
        let ends = fans_out.then(|| {
            let ends = events.iter().filter(|event| event.place().ends_origin);
            ends.map(|event| (event.place().number, event.origin().clone())).collect()
        });
        Delivered { sequence, end, own, events: u32::try_from(count).unwrap_or(u32::MAX), ends }
    }
}

/// Whether two events are of one change of the log (a TRUNCATE of several tables is one).
fn same_change(a: &Origin, b: &Origin) -> bool {
    a.transaction.position == b.transaction.position && a.index == b.index
}

/// What is reached by an acknowledgement.
#[derive(Debug, PartialEq)]
pub(crate) enum Reached {
    /// All up to the end of a batch.
    Batch { sequence: u64, end: Offset, own: Offset },
    /// A part of the batch after that.
    Part(Offset),
}

/// The batches that are delivered and not wholly acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Acknowledged {
    batches: VecDeque<Delivered>,
    /// How many events of the first one are acknowledged.
    done: u32,
    /// The offset before the first one.
    before: Option<Offset>,
}

impl Acknowledged {
    /// For a stream that goes on after this offset.
    pub(crate) fn after(before: Option<Offset>) -> Self {
        Acknowledged { before, ..Self::default() }
    }

    /// A batch goes to the consumer. One without events is acknowledged with what came before it.
    pub(crate) fn deliver(&mut self, batch: Delivered) -> Option<Reached> {
        self.batches.push_back(batch);
        self.complete()
    }

    /// The consumer is done with an event and all before it.
    pub(crate) fn acknowledge(
        &mut self,
        batch: u64,
        place: StreamPlace,
        origin: &Origin,
        positions: &dyn Positions,
    ) -> Vec<Reached> {
        let newest = self.batches.back().map_or(0, |batch| batch.sequence);
        if place.number == 0 || batch > newest {
            return Vec::new();
        }
        let mut reached = None;
        while self.batches.front().is_some_and(|front| front.sequence < batch) {
            reached = self.pop().or(reached);
        }
        if self.batches.front().is_some_and(|front| front.sequence == batch) {
            self.done = self.done.max(place.number);
        }
        reached = self.complete().or(reached);
        let mut all: Vec<Reached> = reached.into_iter().collect();
        all.extend(self.part(batch, place, origin, positions).map(Reached::Part));
        all
    }

    fn pop(&mut self) -> Option<Reached> {
        let batch = self.batches.pop_front()?;
        self.done = 0;
        self.before = Some(batch.own.clone());
        Some(Reached::Batch { sequence: batch.sequence, end: batch.end, own: batch.own })
    }

    fn complete(&mut self) -> Option<Reached> {
        let mut reached = None;
        while self.batches.front().is_some_and(|front| self.done >= front.events) {
            reached = self.pop();
        }
        reached
    }

    fn part(
        &self,
        batch: u64,
        place: StreamPlace,
        origin: &Origin,
        positions: &dyn Positions,
    ) -> Option<Offset> {
        let front = self.batches.front().filter(|front| front.sequence == batch)?;
        if place.number < self.done {
            return None;
        }
        let before = self.before.as_ref()?;
        if place.ends_origin {
            return positions.offset_after(before, origin);
        }
        let ends = front.ends.as_ref()?;
        let (_, origin) = ends.iter().rev().find(|(number, _)| *number < place.number)?;
        positions.offset_after(before, origin)
    }
}
