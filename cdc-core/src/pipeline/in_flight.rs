//! The writes of one sink that are on their way: which to send next, which are durable without a gap.
//!
//! A state machine without a clock or a task. After a failure nothing newer is sent; what is in flight settles; then
//! everything from the first batch that is not durable is sent again, in order, also what had become durable behind it.

use std::collections::VecDeque;

/// Writes in order of their batches.
#[derive(Debug)]
pub(crate) struct InFlight<T> {
    entries: VecDeque<Entry<T>>,
    limit: usize,
    failed: bool,
}

#[derive(Debug)]
struct Entry<T> {
    sequence: u64,
    item: T,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Unsent,
    Sent,
    Durable,
    Failed,
}

impl<T> InFlight<T> {
    /// At most `limit` writes at a time.
    pub(crate) fn new(limit: usize) -> Self {
        InFlight { entries: VecDeque::new(), limit: limit.max(1), failed: false }
    }

    /// Whether another batch may be taken.
    pub(crate) fn has_room(&self) -> bool {
        !self.failed && self.entries.len() < self.limit
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes a batch, newer than all before it.
    pub(crate) fn push(&mut self, sequence: u64, item: T) {
        self.entries.push_back(Entry { sequence, item, state: State::Unsent });
    }

    /// A batch that was not given back yet.
    pub(crate) fn get_mut(&mut self, sequence: u64) -> Option<&mut T> {
        let entry = self.entries.iter_mut().find(|entry| entry.sequence == sequence)?;
        Some(&mut entry.item)
    }

    /// The next batch to send, which counts as sent then; `None` after a failure until the [restart](Self::restart).
    pub(crate) fn send_next(&mut self) -> Option<(u64, &T)> {
        if self.failed {
            return None;
        }
        let entry = self.entries.iter_mut().find(|entry| entry.state == State::Unsent)?;
        entry.state = State::Sent;
        Some((entry.sequence, &entry.item))
    }

    /// A write is durable: gives back the batches that are now durable without a gap, oldest first.
    pub(crate) fn durable(&mut self, sequence: u64) -> Vec<(u64, T)> {
        self.settle(sequence, State::Durable);
        let mut prefix = Vec::new();
        while self.entries.front().is_some_and(|entry| entry.state == State::Durable) {
            if let Some(entry) = self.entries.pop_front() {
                prefix.push((entry.sequence, entry.item));
            }
        }
        prefix
    }

    /// A write failed.
    pub(crate) fn failed(&mut self, sequence: u64) {
        self.settle(sequence, State::Failed);
        self.failed = true;
    }

    /// Whether a write failed since the last restart.
    #[cfg(test)]
    pub(crate) fn has_failed(&self) -> bool {
        self.failed
    }

    /// Everything that is left is sent again. To be called once nothing is in flight any more.
    pub(crate) fn restart(&mut self) {
        for entry in &mut self.entries {
            entry.state = State::Unsent;
        }
        self.failed = false;
    }

    fn settle(&mut self, sequence: u64, state: State) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.sequence == sequence) {
            entry.state = state;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_prefix_without_a_gap_counts() {
        let mut writes = InFlight::new(3);
        for sequence in 1..=3 {
            writes.push(sequence, ());
            writes.send_next();
        }
        assert!(!writes.has_room());
        assert_eq!(writes.durable(2), []);
        assert_eq!(writes.durable(1), [(1, ()), (2, ())]);
        assert_eq!(writes.durable(3), [(3, ())]);
    }

    #[test]
    fn what_was_durable_behind_a_failure_is_sent_again() {
        let mut writes = InFlight::new(4);
        for sequence in 1..=4 {
            writes.push(sequence, ());
        }
        for _ in 1..=3 {
            writes.send_next();
        }
        writes.failed(2);
        assert_eq!(writes.send_next(), None);
        assert_eq!(writes.durable(3), []);
        assert_eq!(writes.durable(1), [(1, ())]);
        writes.restart();
        let again: Vec<u64> =
            std::iter::from_fn(|| writes.send_next().map(|(sequence, ())| sequence)).collect();
        assert_eq!(again, [2, 3, 4]);
    }

    proptest! {
        /// Whatever becomes of the writes: batches are given back once each and in order, never past one that is not
        /// durable, and every run of sends after a failure begins at the first batch that is not durable.
        #[test]
        fn the_prefix_never_has_a_gap(limit in 1usize..6, steps in prop::collection::vec((0u8..4, any::<prop::sample::Index>()), 1..200)) {
            let mut writes = InFlight::new(limit);
            let (mut newest, mut returned) = (0u64, 0u64);
            let mut outstanding: Vec<u64> = Vec::new();
            let mut expected_next = 1u64;
            for (step, pick) in steps {
                match step {
                    0 if writes.has_room() => {
                        newest += 1;
                        writes.push(newest, ());
                    }
                    1 => if let Some((sequence, ())) = writes.send_next() {
                        prop_assert_eq!(sequence, expected_next);
                        expected_next += 1;
                        outstanding.push(sequence);
                    },
                    2 if !outstanding.is_empty() => {
                        let sequence = outstanding.swap_remove(pick.index(outstanding.len()));
                        for (sequence, ()) in writes.durable(sequence) {
                            prop_assert_eq!(sequence, returned + 1);
                            prop_assert!(!outstanding.contains(&sequence));
                            returned = sequence;
                        }
                    }
                    3 if !outstanding.is_empty() => {
                        let sequence = outstanding.swap_remove(pick.index(outstanding.len()));
                        writes.failed(sequence);
                    }
                    _ => {}
                }
                if writes.has_failed() && outstanding.is_empty() {
                    writes.restart();
                    expected_next = returned + 1;
                }
            }
        }
    }
}
