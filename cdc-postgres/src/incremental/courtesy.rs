//! How much is read at a time while others write, so that they are not held up.
//!
//! A server sends a chunk as fast as it can: a few of them in a row keep a processor busy for as long, and commits that need it wait in
//! a queue that grows meanwhile. So while others write, chunks are smaller and each is followed by a rest as long as it took, in which
//! that queue is worked off. With nobody to be held up, nothing is held back.

use std::time::{Duration, Instant};

/// So many transactions a second that write are others who are held up.
const MANY: u128 = 100;

/// In less time than this they cannot be counted.
const SPAN: Duration = Duration::from_millis(50);

/// The part of a chunk that is read at a time while others write.
const PART: u64 = 8;

/// Fewer rows are not worth the statements around them.
const FEWEST: u64 = 1_000;

/// A chunk that took longer had to wait for something else.
const LONGEST_REST: Duration = Duration::from_millis(100);

/// What others do, as far as it is seen from the transaction ids that they take.
#[derive(Debug, Default)]
pub(super) struct Courtesy {
    counted: Option<(u64, Instant)>,
    others_write: bool,
}

impl Courtesy {
    /// Notes the next transaction id that the server will give. Reads take none.
    pub(super) fn note(&mut self, next_id: u64, now: Instant) {
        let (before, since) = *self.counted.get_or_insert((next_id, now));
        let span = now.saturating_duration_since(since);
        if span < SPAN {
            return;
        }
        let taken = u128::from(next_id.saturating_sub(before));
        self.others_write = taken * 1_000_000 >= MANY * span.as_micros();
        self.counted = Some((next_id, now));
    }

    /// How many rows to read of those that are wanted.
    pub(super) fn rows(&self, wanted: u64) -> u64 {
        if self.others_write { (wanted / PART).max(wanted.min(FEWEST)) } else { wanted }
    }

    /// How long to rest after a read.
    pub(super) fn rest(&self, took: Duration) -> Duration {
        if self.others_write { took.min(LONGEST_REST) } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_held_back_while_nobody_writes() {
        let start = Instant::now();
        let mut courtesy = Courtesy::default();
        for chunk in 0..10 {
            courtesy.note(700, start + SPAN * chunk);
            assert_eq!(courtesy.rows(40_000), 40_000);
            assert_eq!(courtesy.rest(SPAN), Duration::ZERO);
        }
    }

    #[test]
    fn beside_writers_a_part_is_read_and_then_rested_for_as_long() {
        let start = Instant::now();
        let mut courtesy = Courtesy::default();
        courtesy.note(700, start);
        courtesy.note(1_000, start + SPAN);
        assert_eq!(courtesy.rows(40_000), 5_000);
        assert_eq!(courtesy.rows(2_000), 1_000, "statements cost too");
        assert_eq!(courtesy.rows(8), 8);
        assert_eq!(courtesy.rest(Duration::from_millis(9)), Duration::from_millis(9));
        assert_eq!(courtesy.rest(Duration::from_secs(9)), LONGEST_REST);
    }

    #[test]
    fn a_count_needs_time_and_ends_with_the_writers() {
        let start = Instant::now();
        let mut courtesy = Courtesy::default();
        courtesy.note(700, start);
        courtesy.note(800, start + SPAN / 5);
        assert_eq!(courtesy.rest(SPAN), Duration::ZERO, "too early to say");
        courtesy.note(800, start + SPAN);
        assert_eq!(courtesy.rest(SPAN), SPAN);
        courtesy.note(802, start + SPAN * 2);
        assert_eq!(courtesy.rest(SPAN), Duration::ZERO);
    }
}
