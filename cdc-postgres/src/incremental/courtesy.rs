//! How much is read at a time while others write, so that they are not held up.
//!
//! A server sends a chunk as fast as it can, into buffers that take all of it: while it does, commits that need the same processor
//! wait in a queue. So while others write, chunks are small, and each is followed by a rest in which that queue is worked off. How
//! long a rest has to be shows in how long the chunks take: when one takes longer than it can, the server was wanted by others
//! meanwhile, and rests grow; when it does not, they shrink, to none where the server has processors to spare. (LEDBAT, RFC 6817,
//! finds in this way what a background transfer may take of a link.) How soon a chunk's first words are answered tells nothing: a
//! scheduler lets who has slept go first. With nobody to be held up, nothing is held back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cdc_core::TableId;

/// So many transactions a second that write are others who are held up.
const MANY: u128 = 100;

/// In less time than this they cannot be counted.
const SPAN: Duration = Duration::from_millis(50);

/// The part of a chunk that is read at a time while others write: 256 KiB of 8 MiB.
const PART: u64 = 32;

/// Fewer rows are not worth the statements around them.
const FEWEST: u64 = 250;

/// Rests are counted in quarters of the time that the read before them took.
const QUARTERS: u32 = 4;

/// The longest rest, eight times what the read took: a ninth of the time is still read.
const MOST: u32 = 8 * QUARTERS;

/// With each chunk the best time becomes longer by the so many-th part.
const CREEP: u128 = 128;

/// No rest is longer: a read that took so long had to wait for something else.
const LONGEST_REST: Duration = Duration::from_millis(100);

/// What others do, as far as it is seen from the transaction ids that they take, and how long they make us wait.
#[derive(Debug, Default)]
pub(super) struct Courtesy {
    counted: Option<(u64, Instant)>,
    others_write: bool,
    /// The table that was read last, and the nanoseconds that a row of it takes at best, which creep up, as other parts of a table
    /// may be dearer.
    quickest: Option<(Arc<TableId>, u128)>,
    /// How long a rest is.
    quarters: u32,
}

impl Courtesy {
    /// Notes that so many rows of a table took so long. Of few of them it is the statements, and tells nothing.
    pub(super) fn read(&mut self, table: &Arc<TableId>, rows: u64, took: Duration) {
        if !self.others_write || rows < FEWEST {
            return;
        }
        let each = took.as_nanos() / u128::from(rows);
        let quickest = match &self.quickest {
            Some((known, quickest)) if known == table => (quickest + quickest / CREEP).min(each),
            _ => each,
        };
        self.quickest = Some((Arc::clone(table), quickest));
        self.quarters = match each > quickest + quickest / 2 {
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
    const ROWS: u64 = 1_000;

    fn table(name: &str) -> Arc<TableId> {
        Arc::new(TableId::new("public", name))
    }

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
            courtesy.read(&table("a"), ROWS, READ * chunk);
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
    fn rests_grow_while_chunks_are_slow_and_shrink_when_they_are_not() {
        let mut courtesy = beside_writers();
        courtesy.read(&table("a"), ROWS, READ);
        for _ in 0..10 {
            courtesy.read(&table("a"), ROWS, READ * 2);
        }
        assert_eq!(courtesy.rest(READ), READ * 8, "and no longer");
        for _ in 0..MOST {
            courtesy.read(&table("a"), ROWS * 2, READ * 2);
        }
        assert_eq!(courtesy.rest(READ), Duration::ZERO, "there is room for all");
        courtesy.read(&table("a"), 1, READ * 2);
        assert_eq!(courtesy.rest(READ), Duration::ZERO, "a single key tells nothing");
        courtesy.read(&table("a"), ROWS, READ * 2);
        assert!(courtesy.rest(READ) > Duration::ZERO);
    }

    #[test]
    fn rows_that_are_dearer_are_not_taken_for_others_who_wait() {
        let mut courtesy = beside_writers();
        courtesy.read(&table("a"), ROWS, READ);
        for _ in 0..QUARTERS {
            courtesy.read(&table("b"), ROWS, READ * 10);
        }
        assert_eq!(courtesy.rest(READ), Duration::ZERO, "another table");
        for _ in 0..1_000 {
            courtesy.read(&table("b"), ROWS, READ * 30);
        }
        assert_eq!(courtesy.rest(READ), Duration::ZERO, "another part of it");
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
