//! How much is read at a time while others write, so that they are not held up.
//!
//! A server sends what is read as fast as it can, into buffers that take all of it: while it does, commits that need the same
//! processor wait in a queue, and stay late until it is worked off. So while others write a chunk is read in pieces that take less than
//! a scheduler's turn, by statements of one snapshot, each followed by a rest. How long a rest has to be shows in how long the pieces
//! take: when one takes longer than it can, the server was wanted by others meanwhile, and rests grow; when it does not, they
//! shrink, to none where the server has processors to spare. (LEDBAT, RFC 6817, finds in this way what a background transfer may
//! take of a link.) How soon a piece's first words are answered tells nothing: a scheduler lets who has slept go first. With
//! nobody to be held up, nothing is held back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cdc_core::TableId;

/// So many transactions a second that write are others who are held up.
const MANY: u128 = 100;

/// In less time than this they cannot be counted.
const SPAN: Duration = Duration::from_millis(50);

/// So many bytes of values are read at a time while others write: half a millisecond of the server.
const PIECE: u64 = 64 * 1024;

/// The rows of a piece before any of the table is known.
const FIRST: u64 = 250;

/// So many pieces make a chunk. Its rows are given together when the stream has caught up with it, and cost processors too.
const PIECES: u64 = 8;

/// Rests are counted in quarters of the time that a piece takes at best.
const QUARTERS: u32 = 4;

/// The longest rest, twelve times what a piece takes: one thirteenth of the time is still read.
const MOST: u32 = 12 * QUARTERS;

/// In which time the best time of a row becomes twice as long, where none is as good.
const FORGET: Duration = Duration::from_secs(60);

/// No rest is longer: a read that took so long had to wait for something else.
const LONGEST_REST: Duration = Duration::from_millis(100);

/// What others do, as far as it is seen from the transaction ids that they take, and how long they make us wait.
#[derive(Debug)]
pub(super) struct Courtesy {
    counted: Option<(u64, Instant)>,
    others_write: bool,
    /// The table that was read last.
    known: Option<Known>,
    /// How long a rest is.
    quarters: u32,
}

/// What is known of a table.
#[derive(Debug)]
struct Known {
    table: Arc<TableId>,
    /// How many of its rows make a piece.
    rows: u64,
    /// The nanoseconds that a row takes at best, and when that was said. It grows with time: other parts of a table may be dearer.
    quickest: u128,
    at: Instant,
}

impl Default for Courtesy {
    /// Until it is known that nobody writes, the first read may be what holds somebody up.
    fn default() -> Self {
        Courtesy { counted: None, others_write: true, known: None, quarters: QUARTERS }
    }
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
        let write = taken * 1_000_000 >= MANY * span.as_micros();
        if write && !self.others_write {
            self.quarters = self.quarters.max(QUARTERS);
        }
        self.others_write = write;
        self.counted = Some((next_id, now));
    }

    /// How many rows to read by one snapshot, of those that are wanted.
    pub(super) fn chunk(&self, table: &TableId, wanted: u64) -> u64 {
        self.piece(table, wanted).saturating_mul(PIECES).min(wanted)
    }

    /// How many rows to read at a time, of those that are wanted.
    pub(super) fn piece(&self, table: &TableId, wanted: u64) -> u64 {
        match &self.known {
            _ if !self.others_write => wanted,
            Some(known) if *known.table == *table => known.rows.min(wanted),
            _ => FIRST.min(wanted),
        }
    }

    /// Notes that so many rows of a table, of so many bytes, took so long. Of few of them it is the statement, and tells nothing.
    pub(super) fn read(
        &mut self,
        table: &Arc<TableId>,
        rows: u64,
        bytes: u64,
        took: Duration,
        now: Instant,
    ) {
        if !self.others_write || rows == 0 {
            return;
        }
        let fit = (PIECE.saturating_mul(rows) / bytes.max(1)).max(1);
        let each = took.as_nanos() / u128::from(rows);
        let Some(known) = self.known.as_mut().filter(|known| known.table == *table) else {
            self.known =
                Some(Known { table: Arc::clone(table), rows: fit, quickest: each, at: now });
            return;
        };
        if rows < known.rows / 2 && bytes < PIECE / 2 {
            return;
        }
        let passed = now.saturating_duration_since(known.at).as_micros();
        let grown = known.quickest + known.quickest * passed / FORGET.as_micros();
        known.quickest = grown.min(each);
        known.rows = fit;
        known.at = now;
        self.quarters = match each > grown + grown / 2 {
            true => (self.quarters + self.quarters / 2 + 1).min(MOST),
            false => self.quarters.saturating_sub(1),
        };
    }

    /// How long to rest after so many rows.
    pub(super) fn rest(&self, rows: u64) -> Duration {
        let Some(known) = self.known.as_ref().filter(|_| self.others_write) else {
            return Duration::ZERO;
        };
        let nanos = known.quickest.saturating_mul(u128::from(rows));
        let rest = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        (rest.saturating_mul(self.quarters) / QUARTERS).min(LONGEST_REST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: Duration = Duration::from_millis(1);
    const ROWS: u64 = 500;
    /// So that [`ROWS`] make a piece.
    const BYTES: u64 = PIECE;

    fn table(name: &str) -> Arc<TableId> {
        Arc::new(TableId::new("public", name))
    }

    struct Story {
        courtesy: Courtesy,
        now: Instant,
    }

    impl Story {
        fn begins() -> Self {
            Story { courtesy: Courtesy::default(), now: Instant::now() }
        }

        fn beside_writers() -> Self {
            let mut story = Self::begins();
            story.others_write(100);
            story
        }

        /// So many transactions in a tenth of a second.
        fn others_write(&mut self, transactions: u64) {
            self.courtesy.note(700, self.now);
            self.now += SPAN * 2;
            self.courtesy.note(700 + transactions, self.now);
        }

        fn reads(&mut self, name: &str, times: usize, took: Duration) {
            for _ in 0..times {
                self.now += took;
                self.courtesy.read(&table(name), ROWS, BYTES, took, self.now);
            }
        }

        fn rest(&self) -> Duration {
            self.courtesy.rest(ROWS)
        }
    }

    #[test]
    fn a_chunk_is_read_at_once_while_nobody_writes() {
        let mut story = Story::begins();
        story.reads("a", 1, READ);
        assert_eq!(story.rest(), READ, "nobody knows yet");
        story.others_write(9);
        story.reads("a", 10, READ);
        assert_eq!(story.courtesy.chunk(&table("a"), 40_000), 40_000);
        assert_eq!(story.courtesy.piece(&table("a"), 40_000), 40_000);
        assert_eq!(story.rest(), Duration::ZERO);
    }

    #[test]
    fn beside_writers_it_is_read_in_pieces_of_so_many_bytes() {
        let mut story = Story::beside_writers();
        let piece = |story: &Story, wanted| story.courtesy.piece(&table("a"), wanted);
        assert_eq!(piece(&story, 40_000), FIRST, "how large its rows are is not known");
        story.reads("a", 1, READ);
        assert_eq!(piece(&story, 40_000), ROWS);
        assert_eq!(piece(&story, 8), 8);
        assert_eq!(story.courtesy.chunk(&table("a"), 40_000), ROWS * PIECES);
        assert_eq!(story.rest(), READ);
        let wide = (ROWS, BYTES * 400, READ * 100);
        story.courtesy.read(&table("a"), wide.0, wide.1, wide.2, story.now);
        assert_eq!(piece(&story, 40_000), 1);
        story.reads("a", 1, READ);
        story.courtesy.read(&table("a"), 40, BYTES * 128, READ * 100, story.now);
        assert_eq!(
            piece(&story, 40_000),
            1,
            "a read that its bytes cut short tells how large rows are"
        );
        story.courtesy.read(&table("b"), 1, BYTES * 400, LONGEST_REST * 2, story.now);
        assert_eq!(story.courtesy.rest(1), LONGEST_REST);
    }

    #[test]
    fn rests_grow_while_pieces_are_slow_and_shrink_when_they_are_not() {
        let mut story = Story::beside_writers();
        story.reads("a", 1, READ);
        story.reads("a", 10, READ * 2);
        let longest = story.rest();
        let most = READ * (MOST / QUARTERS);
        assert!(longest >= most && longest < most + READ, "{longest:?}");
        story.reads("a", 60, READ);
        assert_eq!(story.rest(), Duration::ZERO, "there is room for all");
        story.courtesy.read(&table("a"), 1, 100, READ, story.now);
        assert_eq!(story.rest(), Duration::ZERO, "a single row tells nothing");
        story.reads("a", 1, READ * 2);
        assert!(story.rest() > Duration::ZERO);
    }

    #[test]
    fn rows_that_are_dearer_are_not_taken_for_others_who_wait() {
        let mut story = Story::beside_writers();
        story.reads("a", 40, READ);
        story.reads("b", 40, READ * 10);
        assert_eq!(story.rest(), Duration::ZERO, "another table");
        story.reads("b", 1, READ * 20);
        assert!(story.rest() > Duration::ZERO);
        story.now += FORGET;
        story.reads("b", 40, READ * 20);
        assert_eq!(story.rest(), Duration::ZERO, "another part of it");
    }

    #[test]
    fn a_count_needs_time_and_ends_with_the_writers() {
        let mut story = Story::begins();
        story.others_write(2);
        story.reads("a", 1, READ);
        assert_eq!(story.rest(), Duration::ZERO);
        story.courtesy.note(900, story.now + SPAN / 5);
        story.reads("a", 1, READ);
        assert_eq!(story.rest(), Duration::ZERO, "too early to say");
        story.courtesy.note(900, story.now + SPAN);
        story.reads("a", 1, READ);
        assert!(story.rest() > Duration::ZERO);
        story.courtesy.note(902, story.now + SPAN * 3);
        assert_eq!(story.rest(), Duration::ZERO);
    }
}
