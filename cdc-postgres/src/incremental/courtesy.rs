//! How much is read at a time while others write, so that they are not held up.
//!
//! A server sends a chunk as fast as it can, into buffers that take all of it: while it does, commits that need the same processor
//! wait in a queue. So while others write, chunks are small, and each is followed by a rest in which that queue is worked off. How
//! long a rest has to be shows in how long the server takes to answer the next read: when that takes longer than it can, there is a
//! queue still, and rests grow; when it does not, they shrink, to none where the server has processors to spare. (LEDBAT, RFC 6817,
//! finds in this way what a background transfer may take of a link.) With nobody to be held up, nothing is held back.

use std::time::{Duration, Instant};

/// So many transactions a second that write are others who are held up.
const MANY: u128 = 100;

/// In less time than this they cannot be counted.
const SPAN: Duration = Duration::from_millis(50);

/// The part of a chunk that is read at a time while others write: 256 KiB of 8 MiB.
const PART: u64 = 32;

/// Fewer rows are not worth the statements around them.
const FEWEST: u64 = 250;

/// An answer that takes so much longer than the quickest had to wait for others.
const SOON: Duration = Duration::from_micros(500);

/// Rests are counted in quarters of the time that the read before them took.
const QUARTERS: u32 = 4;

/// The longest rest, eight times what the read took: a ninth of the time is still read.
const MOST: u32 = 8 * QUARTERS;

/// A chunk that took longer had to wait for something else.
const LONGEST_REST: Duration = Duration::from_millis(100);

/// What others do, as far as it is seen from the transaction ids that they take, and how long they make us wait.
#[derive(Debug)]
pub(super) struct Courtesy {
    counted: Option<(u64, Instant)>,
    others_write: bool,
    /// How soon the server answers when nothing else is to be done.
    quickest: Duration,
    quarters: u32,
}

impl Default for Courtesy {
    fn default() -> Self {
        Courtesy { counted: None, others_write: false, quickest: Duration::MAX, quarters: QUARTERS }
    }
}

impl Courtesy {
    /// Notes how long the server took to answer the first words of a read.
    pub(super) fn answered(&mut self, after: Duration) {
        self.quickest = self.quickest.min(after);
        let waited = after > self.quickest.saturating_mul(2).saturating_add(SOON);
        self.quarters = match waited {
            true => (self.quarters + self.quarters / 2 + 1).min(MOST),
            false => self.quarters.saturating_sub(1),
        };
    }

    /// Notes the next transaction id that the server will give. Reads take none.
    pub(super) fn note(&mut self, next_id: u64, now: Instant) {
        let (before, since) = *self.counted.get_or_insert((next_id, now));
        let span = now.saturating_duration_since(since);
        if span < SPAN {
            return;
        }
        let taken = u128::from(next_id.saturating_sub(before));
        let write = taken * 1_000_000 >= MANY * span.as_micros();
        if write && !self.others_write {
            self.quarters = self.quarters.max(QUARTERS);
        }
        self.others_write = write;
        self.counted = Some((next_id, now));
    }

    /// How many rows to read of those that are wanted.
    pub(super) fn rows(&self, wanted: u64) -> u64 {
        if self.others_write { (wanted / PART).max(wanted.min(FEWEST)) } else { wanted }
    }

    /// How long to rest after a read.
    pub(super) fn rest(&self, took: Duration) -> Duration {
        match self.others_write {
            true => (took.saturating_mul(self.quarters) / QUARTERS).min(LONGEST_REST),
            false => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: Duration = Duration::from_millis(4);
    const QUICK: Duration = Duration::from_micros(400);
    const SLOW: Duration = Duration::from_millis(5);

    /// Others write a thousand transactions a second.
    fn beside_writers() -> Courtesy {
        let start = Instant::now();
        let mut courtesy = Courtesy::default();
        courtesy.note(700, start);
        courtesy.note(750, start + SPAN);
        courtesy
    }

    #[test]
    fn nothing_is_held_back_while_nobody_writes() {
        let start = Instant::now();
        let mut courtesy = Courtesy::default();
        for chunk in 0..10 {
            courtesy.answered(SLOW * chunk);
            courtesy.note(700, start + SPAN * chunk);
            assert_eq!(courtesy.rows(40_000), 40_000);
            assert_eq!(courtesy.rest(READ), Duration::ZERO);
        }
    }

    #[test]
    fn beside_writers_a_part_is_read_and_then_rested_for_as_long() {
        let courtesy = beside_writers();
        assert_eq!(courtesy.rows(40_000), 1_250);
        assert_eq!(courtesy.rows(2_000), FEWEST, "statements cost too");
        assert_eq!(courtesy.rows(8), 8);
        assert_eq!(courtesy.rest(READ), READ);
        assert_eq!(courtesy.rest(Duration::from_secs(9)), LONGEST_REST);
    }

    #[test]
    fn rests_grow_while_the_server_takes_its_time_and_shrink_when_it_does_not() {
        let mut courtesy = beside_writers();
        courtesy.answered(QUICK);
        for _ in 0..10 {
            courtesy.answered(SLOW);
        }
        assert_eq!(courtesy.rest(READ), READ * 8, "and no longer");
        for _ in 0..MOST {
            courtesy.answered(QUICK * 2);
        }
        assert_eq!(courtesy.rest(READ), Duration::ZERO, "there is room for all");
        courtesy.answered(SLOW);
        assert!(courtesy.rest(READ) > Duration::ZERO);
    }

    #[test]
    fn a_count_needs_time_and_ends_with_the_writers() {
        let start = Instant::now();
        let mut courtesy = Courtesy::default();
        courtesy.note(700, start);
        courtesy.note(800, start + SPAN / 5);
        assert_eq!(courtesy.rest(READ), Duration::ZERO, "too early to say");
        courtesy.note(800, start + SPAN);
        assert_eq!(courtesy.rest(READ), READ);
        courtesy.note(802, start + SPAN * 2);
        assert_eq!(courtesy.rest(READ), Duration::ZERO);
    }
}
