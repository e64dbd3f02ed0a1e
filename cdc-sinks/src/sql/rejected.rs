//! Which events of a batch a target does not take: the batch is tried in halves until single events are left.
//!
//! A state machine without a connection. What was tried with success stays in the transaction, so that each part meets the
//! table as it is after the parts before it; a part that fails is undone (a savepoint) and parted. One bad event among `n`
//! costs about `2 log n` attempts.

use std::ops::Range;

use cdc_core::{Error, ErrorKind};

use crate::error::SinkError;

/// What is still to be tried, and what was found.
#[derive(Debug)]
pub(crate) struct RejectedSearch {
    /// The next part is the last one.
    parts: Vec<Range<usize>>,
    rejected: Vec<(usize, Error)>,
}

impl RejectedSearch {
    /// A search among so many events.
    pub(crate) fn new(events: usize) -> Self {
        let whole = 0..events;
        RejectedSearch { parts: vec![whole], rejected: Vec::new() }
    }

    /// The next part to try; `None` at the end.
    pub(crate) fn next_part(&mut self) -> Option<Range<usize>> {
        while let Some(part) = self.parts.pop() {
            if !part.is_empty() {
                return Some(part);
            }
        }
        None
    }

    /// A part was not taken, and undone.
    ///
    /// # Errors
    /// What does not lie in an event.
    pub(crate) fn failed(&mut self, part: Range<usize>, error: SinkError) -> Result<(), SinkError> {
        if error.kind() != ErrorKind::Data {
            return Err(error);
        }
        if part.len() == 1 {
            self.rejected.push((part.start, error.into()));
            return Ok(());
        }
        let middle = part.start + part.len() / 2;
        self.parts.push(middle..part.end);
        self.parts.push(part.start..middle);
        Ok(())
    }

    /// The events that the target does not take, in order.
    pub(crate) fn into_rejected(self) -> Vec<(usize, Error)> {
        self.rejected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(kind: ErrorKind) -> SinkError {
        SinkError::Event(Error::new(kind, "refused"))
    }

    fn search(events: usize, bad: &[usize]) -> (Vec<usize>, usize) {
        let mut search = RejectedSearch::new(events);
        let (mut attempts, mut taken) = (0, Vec::new());
        while let Some(part) = search.next_part() {
            attempts += 1;
            if part.clone().any(|index| bad.contains(&index)) {
                search.failed(part, refused(ErrorKind::Data)).unwrap();
            } else {
                taken.extend(part);
            }
        }
        let rejected: Vec<usize> =
            search.into_rejected().into_iter().map(|(index, _)| index).collect();
        let good: Vec<usize> = (0..events).filter(|index| !bad.contains(index)).collect();
        assert_eq!(taken, good, "every other event is tried, in order");
        (rejected, attempts)
    }

    #[test]
    fn bad_events_are_found_and_the_others_are_tried_in_order() {
        for events in 0..20 {
            for first in 0..events {
                for second in first..events {
                    let bad = if first == second { vec![first] } else { vec![first, second] };
                    assert_eq!(search(events, &bad).0, bad);
                }
            }
        }
        assert_eq!(search(7, &(0..7).collect::<Vec<_>>()).0.len(), 7);
        assert!(search(8_192, &[5_000]).1 <= 27);
    }

    #[test]
    fn what_does_not_lie_in_an_event_ends_the_search() {
        let mut search = RejectedSearch::new(2);
        let part = search.next_part().unwrap();
        let error = search.failed(part, refused(ErrorKind::Transient)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Transient);
    }
}
