//! How offsets compare, and which events an offset covers.

use std::cell::Cell;
use std::cmp::Ordering;

use cdc_core::{
    Coverage, Offset, Origin, Positions, Result, SnapshotMark, TransactionId, TransactionOrigin,
};

use crate::lsn::Lsn;
use crate::position::{Chunks, Phase, Point, Position, Read, StoppedIn};

/// The order of a PostgreSQL log: commit LSN, then the row message in the transaction.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LogPositions;

impl Positions for LogPositions {
    fn compare(&self, a: &Offset, b: &Offset) -> Result<Option<Ordering>> {
        let (a, b) = (Position::from_offset(a)?, Position::from_offset(b)?);
        // An offset that a Debezium connector left does not tell the server.
        if a.system != b.system && !a.system.is_empty() && !b.system.is_empty() {
            return Ok(None);
        }
        Ok(Some(order(&a, &b)))
    }

    fn meet(&self, a: &Offset, b: &Offset) -> Result<Offset> {
        let (first, second) = (Position::from_offset(a)?, Position::from_offset(b)?);
        let (earlier, later) = match order(&first, &second) {
            Ordering::Greater => (second, first),
            _ => (first, second),
        };
        Ok(meet(earlier, later).to_offset())
    }

    fn has_reached(&self, offset: &Offset, end: &Offset) -> Result<bool> {
        if self.compare(offset, end)?.is_none_or(Ordering::is_lt) {
            return Ok(false);
        }
        let (position, end) = (Position::from_offset(offset)?, Position::from_offset(end)?);
        // What was to be copied from the start on has been asked for, and is there.
        let asked = position.chunks.state.sent >= end.chunks.state.sent;
        Ok(asked && position.joining.is_empty() && position.chunks.is_done())
    }

    /// All rows are read again beside the stream; sinks that have them get them once more.
    fn with_new_sink(&self, offset: &Offset) -> Result<Option<Offset>> {
        let mut position = Position::from_offset(offset)?;
        position.chunks.all |= !position.reads_anew();
        Ok(Some(position.to_offset()))
    }

    fn before_first_event(&self, offset: &Offset) -> Result<bool> {
        Ok(Position::from_offset(offset)?.reads_anew())
    }

    fn coverage(&self, offset: Option<&Offset>) -> Result<Box<dyn Coverage>> {
        let position = offset.map(Position::from_offset).transpose()?;
        Ok(match position {
            Some(position) if !position.reads_anew() => Box::new(UpTo {
                point: position.point(),
                reads: position.reads,
                copies: position.copies,
                copying: position.phase == Phase::Snapshot,
                sent: position.chunks.state.sent,
                stopped_in: position.last.stopped_in,
                first_there: Cell::new(None),
            }),
            Some(position) => Box::new(OnlyShown { sent: position.chunks.state.sent }),
            None => Box::new(OnlyShown { sent: 0 }),
        })
    }

    /// A sink that had a read already was spared its rows when it was made again for another sink: what its own offset says
    /// of that read holds for it, not what the reader's says.
    fn for_sink(&self, own: Option<&Offset>, reached: &Offset) -> Result<Offset> {
        let carries = reached.get("cdc").is_some_and(|cdc| cdc.get("snapshot").is_some());
        let own = own.map(Position::from_offset).transpose()?;
        let Some(own) = own.filter(|own| own.phase == Phase::Streaming) else {
            return Ok(reached.clone());
        };
        if !carries && own.reads.is_empty() {
            return Ok(reached.clone());
        }
        let mut position = Position::from_offset(reached)?;
        position.reads.retain(|read| read.copy > own.copies);
        position.reads.extend(own.reads);
        position.forget_passed_reads();
        Ok(position.to_offset())
    }

    fn offset_after(&self, before: &Offset, origin: &Origin) -> Option<Offset> {
        let mut position = Position::from_offset(before).ok()?;
        if position.phase != Phase::Streaming || origin.snapshot.is_snapshot() {
            return None;
        }
        let point = point_of(origin);
        if point < position.point() {
            return None;
        }
        position.end = position.end.max(Lsn(origin.transaction.previous_commit.unwrap_or(0)));
        position.inside = Some(Point { lsn: point.lsn, index: point.index + 1 });
        position.last.lsn = Some(Lsn(origin.log_position));
        position.last.xid = xid_of(&origin.transaction);
        position.last.commit_time_us = origin.transaction.commit_time_us;
        position.last.message = None;
        position.last.stopped_in = None;
        position.forget_passed_reads();
        Some(position.to_offset())
    }
}

/// Where to resume for two sinks, of which one is further on.
fn meet(earlier: Position, later: Position) -> Position {
    if earlier.reads_anew() {
        let has_nothing = earlier.copies == 0 && earlier.sent == 0;
        if !has_nothing || later.reads_anew() {
            return earlier;
        }
        // A sink that never got anything need not make the other begin again.
        let chunks = Chunks { all: true, ..later.chunks };
        return Position { chunks, ..later };
    }
    if earlier.phase == Phase::Snapshot
        && later.phase == Phase::Streaming
        && later.copies <= earlier.copies
    {
        // It has an older copy, of a slot that is gone, and nothing of this one.
        return Position { chunks: earlier.chunks.of_nothing(), ..earlier };
    }
    let chunks = earlier.chunks.union(&later.chunks);
    Position { chunks, ..earlier }
}

/// Copies of everything come in the order of the log too, so that what has one more is further on. At one point of the log more
/// events of snapshots come after fewer, and an offset that names tables that are about to join after one that does not: they
/// are published only when all sinks have it.
fn order(a: &Position, b: &Position) -> Ordering {
    a.phase
        .cmp(&b.phase)
        .then_with(|| a.copies.cmp(&b.copies))
        .then_with(|| match a.phase {
            Phase::Streaming => a.point().cmp(&b.point()),
            _ => Ordering::Equal,
        })
        .then_with(|| a.chunks.state.sent.cmp(&b.chunks.state.sent))
        .then_with(|| a.joining.len().cmp(&b.joining.len()))
        .then_with(|| a.sent.cmp(&b.sent))
}

/// The number of the newest read of tables when an event was made; of a row of a snapshot the number of its own. It is
/// the second part of [`TransactionOrigin::position`].
fn copy_of(origin: &Origin) -> u64 {
    origin.transaction.position[1]
}

/// Where in the log an event stands.
pub(crate) fn point_of(origin: &Origin) -> Point {
    Point { lsn: Lsn(origin.transaction.position[0]), index: origin.index }
}

pub(crate) fn xid_of(transaction: &TransactionOrigin) -> Option<u32> {
    match transaction.id {
        Some(TransactionId::Xid(xid)) => Some(xid),
        _ => None,
    }
}

/// A sink that has followed up to a point.
#[derive(Debug)]
struct UpTo {
    point: Point,
    reads: Vec<Read>,
    copies: u64,
    /// It is in the middle of the copy after these.
    copying: bool,
    /// How many events of snapshots by chunks it has.
    sent: u64,
    stopped_in: Option<StoppedIn>,
    /// The first change that came at the LSN of `stopped_in`.
    first_there: Cell<Option<u64>>,
}

impl UpTo {
    /// Whether a Debezium connector had done it.
    fn done_by_debezium(&self, origin: &Origin) -> bool {
        let Some((stopped_in, xid)) = self.stopped_in.zip(xid_of(&origin.transaction)) else {
            return false;
        };
        let lsn = Lsn(origin.log_position);
        let mut before = 0;
        if lsn == stopped_in.lsn {
            let first = self.first_there.get().unwrap_or(origin.index);
            self.first_there.set(Some(first));
            before = origin.index.saturating_sub(first);
        }
        stopped_in.covers(xid, lsn, before)
    }
}

impl Coverage for UpTo {
    fn covers(&self, origin: &Origin) -> bool {
        let table = origin.table.as_deref();
        let has_copy = copy_of(origin) <= self.copies;
        if origin.snapshot == SnapshotMark::Incremental {
            return origin.index < self.sent;
        }
        if origin.snapshot.is_snapshot() {
            let is_next = self.copying && copy_of(origin) == self.copies + 1;
            return has_copy || is_next && origin.index < self.sent;
        }
        if point_of(origin) < self.point || self.done_by_debezium(origin) {
            return true;
        }
        // A read that the sink did not have when it was loaded reached it in this run.
        if !has_copy && origin.shown_by_snapshot {
            return true;
        }
        xid_of(&origin.transaction).is_some_and(|xid| {
            self.reads.iter().any(|read| read.concerns(table) && read.visible.shows(xid))
        })
    }
}

/// A sink that gets the rows of this run's snapshot.
#[derive(Debug)]
struct OnlyShown {
    sent: u64,
}

impl Coverage for OnlyShown {
    fn covers(&self, origin: &Origin) -> bool {
        match origin.snapshot {
            SnapshotMark::Incremental => origin.index < self.sent,
            _ => origin.shown_by_snapshot,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cdc_core::TableId;
    use cdc_core::snapshot::SnapshotState;

    use super::*;
    use crate::position::tests::streaming;

    fn origin(commit: u64, index: u64, table: &str) -> Origin {
        Origin {
            transaction: Arc::new(TransactionOrigin {
                connector: "postgresql",
                database: "shop".into(),
                id: Some(TransactionId::Xid(12)),
                commit_time_us: None,
                position: [commit, 1],
                previous_commit: Some(90),
                replicated_from: None,
            }),
            index,
            log_position: commit,
            table: Some(Arc::new(TableId::new("public", table))),
            snapshot: SnapshotMark::No,
            shown_by_snapshot: false,
            batch: 0,
            place: 0,
        }
    }

    fn covers(position: &Position, origin: &Origin) -> bool {
        LogPositions.coverage(Some(&position.to_offset())).unwrap().covers(origin)
    }

    #[test]
    fn a_transaction_that_commits_right_at_the_end_is_not_covered() {
        assert!(covers(&streaming(100), &origin(99, 5, "t")));
        assert!(!covers(&streaming(100), &origin(100, 0, "t")));
    }

    #[test]
    fn inside_a_transaction_the_messages_that_are_done_are_covered() {
        let mut position = streaming(100);
        position.inside = Some(Point { lsn: Lsn(120), index: 3 });
        assert!(covers(&position, &origin(110, 9, "t")));
        assert!(covers(&position, &origin(120, 2, "t")));
        assert!(!covers(&position, &origin(120, 3, "t")));
    }

    #[test]
    fn what_a_debezium_connector_has_done_of_a_transaction_is_covered() {
        let offset = r#"{"messageType":"UPDATE","lsn_commit":100,"lsn":150,"txId":12}"#;
        let position = Position::from_offset(&offset.parse().unwrap()).unwrap();
        let coverage = LogPositions.coverage(Some(&position.to_offset())).unwrap();
        let at = |lsn, index| Origin { log_position: lsn, ..origin(200, index, "t") };
        let covered = [(140, 0), (150, 1), (150, 2), (151, 3)]
            .map(|(lsn, index)| coverage.covers(&at(lsn, index)));
        assert_eq!(covered, [true, true, false, false]);
        let there = LogPositions.compare(&streaming(120).to_offset(), &offset.parse().unwrap());
        assert_eq!(there.unwrap(), Some(Ordering::Greater));
    }

    #[test]
    fn a_change_that_a_read_has_shown_is_covered_for_its_tables_alone() {
        let mut position = streaming(100);
        position.reads = vec![Read {
            visible: "10:20:".parse().unwrap(),
            until: Lsn(200),
            tables: Some(vec![TableId::new("public", "t")]),
            copy: 2,
        }];
        assert!(covers(&position, &origin(150, 0, "t")));
        assert!(!covers(&position, &origin(150, 0, "other")));
    }

    #[test]
    fn rows_of_a_snapshot_are_for_sinks_that_have_not_had_them() {
        let mut row = origin(0, 0, "new");
        row.snapshot = SnapshotMark::Row;
        assert!(covers(&streaming(100), &row));
        assert!(!LogPositions.coverage(None).unwrap().covers(&row));
        // Read for tables that join, in this run.
        Arc::make_mut(&mut row.transaction).position[1] = 2;
        assert!(!covers(&streaming(100), &row));
        let mut joined = streaming(100);
        joined.copies = 2;
        assert!(covers(&joined, &row));
    }

    #[test]
    fn a_change_that_a_later_read_has_shown_is_covered_for_sinks_that_got_it() {
        let mut change = origin(150, 0, "new");
        change.shown_by_snapshot = true;
        assert!(
            !covers(&streaming(100), &change),
            "the sink's own offset says what its read showed"
        );
        Arc::make_mut(&mut change.transaction).position[1] = 2;
        assert!(covers(&streaming(100), &change));
    }

    #[test]
    fn without_an_offset_only_what_this_runs_snapshot_shows_is_covered() {
        let coverage = LogPositions.coverage(None).unwrap();
        let mut change = origin(150, 0, "t");
        assert!(!coverage.covers(&change));
        change.shown_by_snapshot = true;
        assert!(coverage.covers(&change));
    }

    #[test]
    fn a_sink_that_was_spared_a_read_does_not_say_that_it_has_it() {
        let read =
            |copy| Read { visible: "10:20:".parse().unwrap(), until: Lsn(200), tables: None, copy };
        let (mut own, mut reached) = (streaming(100), streaming(120));
        reached.reads = vec![read(1)];
        let offset = |own: Option<&Position>, reached: &Position| {
            let own = own.map(Position::to_offset);
            let offset = LogPositions.for_sink(own.as_ref(), &reached.to_offset()).unwrap();
            Position::from_offset(&offset).unwrap().reads
        };
        assert_eq!(offset(None, &reached), [read(1)], "it got the rows in this run");
        assert_eq!(offset(Some(&own), &reached), [], "it had the first copy before");
        own.reads = vec![read(1)];
        assert_eq!(offset(Some(&own), &streaming(120)), [read(1)], "it carries on its own");
        reached.reads = vec![read(1), read(2)];
        own.reads.clear();
        assert_eq!(offset(Some(&own), &reached), [read(2)], "of a later read it got the rows");
    }

    #[test]
    fn the_meet_is_the_earlier_and_tables_join_when_all_sinks_know_of_them() {
        let done = streaming(100);
        let mut joining = streaming(100);
        joining.joining = vec![TableId::new("public", "new")];
        let mut joined = streaming(100);
        joined.copies = 2;
        let later = streaming(200);
        let meet =
            |a: &Position, b: &Position| LogPositions.meet(&a.to_offset(), &b.to_offset()).unwrap();
        assert_eq!(meet(&later, &done), done.to_offset());
        assert_eq!(meet(&done, &joining), done.to_offset(), "one does not know of it yet");
        let mut asked = done.clone();
        asked.chunks.state.sent = 3;
        let met = Position::from_offset(&meet(&asked, &joining)).unwrap();
        assert_eq!((met.joining.len(), met.chunks.state.sent), (1, 3), "one has not asked yet");
        assert_eq!(meet(&joined, &joining), joining.to_offset());
        let mut snapshot = streaming(500);
        snapshot.phase = Phase::Snapshot;
        assert_eq!(meet(&later, &snapshot), snapshot.to_offset());
    }

    #[test]
    fn of_a_copy_that_was_left_everything_is_read_that_one_of_the_sinks_lacks() {
        let meet = |a: &Position, b: &Position| {
            let offset = LogPositions.meet(&a.to_offset(), &b.to_offset()).unwrap();
            Position::from_offset(&offset).unwrap()
        };
        let tables = r#"{"sent":7,"tables":[{"schema":"public","table":"t","key":["id"],"left":[{"after":[3],"through":null}]}]}"#;
        let mut copying = Position { phase: Phase::Snapshot, copies: 0, ..streaming(100) };
        copying.chunks.state = SnapshotState::from_json(&tables.parse().unwrap()).unwrap();
        let further = streaming(200);
        let met = meet(&further, &copying);
        assert_eq!((met.end, &met.chunks), (Lsn(100), &copying.chunks));
        let intent = Position { phase: Phase::Intent, copies: 0, ..streaming(0) };
        let met = meet(&copying, &intent);
        assert_eq!((met.phase, met.end, met.chunks.all), (Phase::Snapshot, Lsn(100), true));
        // Of a copy before, which was made with another slot, nothing can be gone on with.
        let again = Position { copies: 1, ..copying.clone() };
        assert!(meet(&again, &further).reads_anew());
        let done = Position { copies: 2, ..further };
        assert_eq!(meet(&again, &done).chunks, again.chunks);
    }

    #[test]
    fn the_end_is_reached_when_what_was_to_be_copied_is_asked_for_and_there() {
        let mut end = streaming(100);
        end.chunks = Chunks::of_sent(5);
        let reached = |position: &Position| {
            LogPositions.has_reached(&position.to_offset(), &end.to_offset()).unwrap()
        };
        let mut position = streaming(120);
        assert!(!reached(&position), "nothing was asked for");
        position.chunks = Chunks::of_sent(5);
        assert!(reached(&position));
        position.joining = vec![TableId::new("public", "new")];
        assert!(!reached(&position), "another request counted");
    }

    #[test]
    fn rows_of_chunks_are_told_apart_by_their_number() {
        let mut row = origin(500, 6, "t");
        row.snapshot = SnapshotMark::Incremental;
        let mut position = streaming(100);
        position.chunks.state.sent = 6;
        assert!(!covers(&position, &row));
        position.chunks.state.sent = 7;
        assert!(covers(&position, &row), "wherever it was given");
        assert!(!LogPositions.coverage(None).unwrap().covers(&row));
        let (before, after) = (streaming(100).to_offset(), position.to_offset());
        assert_eq!(LogPositions.compare(&before, &after).unwrap(), Some(Ordering::Less));
        assert!(LogPositions.has_reached(&after, &before).unwrap());
        position.chunks.all = true;
        assert!(!LogPositions.has_reached(&position.to_offset(), &before).unwrap());
    }

    #[test]
    fn a_consumer_of_single_events_resumes_right_behind_one() {
        let before = streaming(100).to_offset();
        let after = LogPositions.offset_after(&before, &origin(150, 4, "t")).unwrap();
        let coverage = LogPositions.coverage(Some(&after)).unwrap();
        assert!(coverage.covers(&origin(150, 4, "t")));
        assert!(!coverage.covers(&origin(150, 5, "t")));
        let position = Position::from_offset(&after).unwrap();
        assert_eq!(position.end, Lsn(100));
    }

    #[test]
    fn offsets_of_different_servers_have_no_order() {
        let mut other = streaming(1);
        other.system = "1".into();
        let order = LogPositions.compare(&streaming(1).to_offset(), &other.to_offset()).unwrap();
        assert_eq!(order, None);
    }
}
