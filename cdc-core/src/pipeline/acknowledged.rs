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
        if place.number < self.done || origin.is_of_pipeline() {
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

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;
    use std::sync::Arc;

    use super::*;
    use crate::error::Result;
    use crate::event::{Destination, Payload};
    use crate::origin::{SnapshotMark, TransactionOrigin};
    use crate::source::Coverage;
    use proptest::prelude::*;

    fn at(position: u64) -> Offset {
        format!("{{\"at\":{position}}}").parse().unwrap()
    }

    fn position(offset: &Offset) -> u64 {
        offset.get("at").and_then(serde_json::Value::as_u64).unwrap()
    }

    /// Changes are counted through all batches; the offset after a change is its number plus one.
    #[derive(Debug)]
    struct Counted;

    impl Positions for Counted {
        fn compare(&self, a: &Offset, b: &Offset) -> Result<Option<Ordering>> {
            Ok(Some(position(a).cmp(&position(b))))
        }
        fn meet(&self, a: &Offset, b: &Offset) -> Result<Offset> {
            Ok(at(position(a).min(position(b))))
        }
        fn before_first_event(&self, offset: &Offset) -> Result<bool> {
            Ok(position(offset) == 0)
        }
        fn coverage(&self, _offset: Option<&Offset>) -> Result<Box<dyn Coverage>> {
            unreachable!("nothing is spared here")
        }
        fn offset_after(&self, _before: &Offset, origin: &Origin) -> Option<Offset> {
            Some(at(origin.index + 1))
        }
    }

    /// A batch of changes, each of which was made into so many events.
    fn deliver(
        stream: &mut Acknowledged,
        sequence: u64,
        first: u64,
        changes: &[usize],
    ) -> (Vec<ChangeEvent>, Option<Reached>) {
        let transaction = Arc::new(TransactionOrigin {
            connector: "memory",
            database: "shop".into(),
            id: None,
            commit_time_us: None,
            position: [1, 1],
            previous_commit: None,
            replicated_from: None,
        });
        let mut events = Vec::new();
        for (index, copies) in (first..).zip(changes) {
            let origin = Origin {
                transaction: Arc::clone(&transaction),
                index,
                log_position: index,
                table: None,
                snapshot: SnapshotMark::No,
                shown_by_snapshot: false,
                batch: sequence,
                place: 0,
            };
            let event =
                ChangeEvent::new(Destination::named("t"), Payload::Absent, Payload::Absent, origin);
            events.extend(std::iter::repeat_n(event, *copies));
        }
        let end = at(first + changes.len() as u64);
        let reached = stream.deliver(Delivered::new(sequence, end.clone(), end, &mut events));
        (events, reached)
    }

    fn acknowledge(stream: &mut Acknowledged, event: &ChangeEvent) -> Vec<Reached> {
        stream.acknowledge(event.origin().batch, event.place(), event.origin(), &Counted)
    }

    #[test]
    fn an_event_acknowledges_all_before_it() {
        let mut stream = Acknowledged::after(Some(at(0)));
        deliver(&mut stream, 1, 0, &[1, 1]);
        let (second, _) = deliver(&mut stream, 2, 2, &[1, 1]);
        let first_batch = Reached::Batch { sequence: 1, end: at(2), own: at(2) };
        assert_eq!(acknowledge(&mut stream, &second[0]), [first_batch, Reached::Part(at(3))]);
        assert_eq!(
            acknowledge(&mut stream, &second[1]),
            [Reached::Batch { sequence: 2, end: at(4), own: at(4) }]
        );
        assert_eq!(acknowledge(&mut stream, &second[0]), []);
    }

    #[test]
    fn of_a_change_made_into_several_events_the_last_counts() {
        let mut stream = Acknowledged::after(Some(at(0)));
        let (events, _) = deliver(&mut stream, 1, 0, &[2, 3, 1]);
        assert_eq!(acknowledge(&mut stream, &events[0]), []);
        assert_eq!(acknowledge(&mut stream, &events[3]), [Reached::Part(at(1))]);
        assert_eq!(acknowledge(&mut stream, &events[4]), [Reached::Part(at(2))]);
    }

    #[test]
    fn a_batch_without_events_goes_with_what_came_before_it() {
        let mut stream = Acknowledged::after(Some(at(0)));
        let (events, _) = deliver(&mut stream, 1, 0, &[1]);
        let (_, reached) = deliver(&mut stream, 2, 1, &[0, 0]);
        assert_eq!(reached, None);
        let reached = acknowledge(&mut stream, &events[0]);
        assert_eq!(reached, [Reached::Batch { sequence: 2, end: at(3), own: at(3) }]);
        let (_, reached) = deliver(&mut stream, 3, 3, &[]);
        assert_eq!(reached, Some(Reached::Batch { sequence: 3, end: at(3), own: at(3) }));
    }

    proptest! {
        /// Whatever is delivered and acknowledged in whatever order: nothing is reached that has an event which was not
        /// acknowledged, and all is reached that has none.
        #[test]
        fn never_past_what_is_acknowledged(
            steps in prop::collection::vec(
                prop_oneof![
                    prop::collection::vec(0usize..4, 0..5).prop_map(Ok),
                    any::<prop::sample::Index>().prop_map(Err),
                ],
                1..60,
            ),
        ) {
            let mut stream = Acknowledged::after(Some(at(0)));
            // Of each event the number of its change; how many events are done; what was reached.
            let (mut events, mut done, mut reached) = (Vec::<ChangeEvent>::new(), 0, 0u64);
            let (mut changes, mut sequence) = (0u64, 0);
            for step in steps {
                let news = match step {
                    Ok(copies) => {
                        sequence += 1;
                        let (delivered, reached) = deliver(&mut stream, sequence, changes, &copies);
                        changes += copies.len() as u64;
                        events.extend(delivered);
                        reached.into_iter().collect()
                    }
                    Err(index) if !events.is_empty() => {
                        let index = index.index(events.len());
                        done = done.max(index + 1);
                        acknowledge(&mut stream, &events[index])
                    }
                    Err(_) => continue,
                };
                for news in news {
                    reached = reached.max(match news {
                        Reached::Batch { own, .. } | Reached::Part(own) => position(&own),
                    });
                }
                // The first change with an event that is not done.
                let first_open = events.get(done).map_or(changes, |event| event.origin().index);
                prop_assert!(reached <= first_open);
                // All before it is reached, but for changes without events right before it.
                let last_done = events[..done].iter().rev().map(|event| event.origin().index).find(|index| *index < first_open);
                prop_assert!(last_done.is_none_or(|last| reached > last));
            }
        }
    }
}
