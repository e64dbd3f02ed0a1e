//! One read of a chunk, from its opening to its rows.

use std::sync::Arc;
use std::time::Duration;

use super::memory::InFlight;
use super::region::Region;
use super::visible::Visible;
use crate::event::Destination;
use crate::row::Row;
use crate::schema::{Schema, TableId};

/// Tells reads apart. Numbers are not used again while a [`Merge`](super::Merge) lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadId(pub(super) u64);

/// A chunk that is to be read now: in one transaction, locked against changes of the table's columns before its visible set
/// is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// Tells it apart.
    pub id: ReadId,
    /// The table.
    pub table: Arc<TableId>,
    /// Which rows.
    pub region: Region,
    /// After how many rows of a range the read should end.
    pub max_rows: u64,
    /// After how many bytes of a range it should end. One row may exceed it alone.
    pub max_bytes: u64,
}

/// What is known once a read has its snapshot.
#[derive(Debug, Clone)]
pub struct Began<V: Visible> {
    /// The transactions that its rows reflect.
    pub visible: V,
    /// A place in the log that nothing is behind which the rows can show, asked for *after* the visible set was taken: the
    /// end of what is written, not of what is flushed, visible or replayed.
    pub horizon: V::Position,
    /// The shape of the rows.
    pub schema: Arc<Schema>,
    /// Where events of the table go.
    pub destination: Destination,
}

/// A read in flight.
#[derive(Debug)]
pub(super) struct Reading<V: Visible> {
    pub(super) id: ReadId,
    pub(super) region: Region,
    pub(super) began: Option<Began<V>>,
    /// The rows; those of a table without a key are given on at once.
    pub(super) rows: Vec<Row>,
    pub(super) row_count: u64,
    pub(super) bytes: u64,
    /// Bytes of the rows that are here.
    pub(super) waiting_bytes: usize,
    pub(super) ended: Option<Ended>,
    /// Rows of a table without a key are being given.
    pub(super) giving: bool,
    /// Its rows are being given; it cannot be given up any more.
    pub(super) finished: bool,
}

/// All rows of a read are here.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    /// How long it took.
    pub(super) time: Duration,
}

impl<V: Visible> Reading<V> {
    pub(super) fn new(id: ReadId, region: Region) -> Self {
        Reading {
            id,
            region,
            began: None,
            rows: Vec::new(),
            row_count: 0,
            bytes: 0,
            waiting_bytes: 0,
            ended: None,
            giving: false,
            finished: false,
        }
    }

    pub(super) fn in_flight(&self) -> InFlight<'_, V> {
        InFlight { number: self.id.0, visible: self.began.as_ref().map(|began| &began.visible) }
    }

    /// Whether its rows can be given at this place of the stream.
    pub(super) fn is_ready(&self, position: V::Position) -> bool {
        !self.finished && self.ended.is_some() && self.is_behind(position)
    }

    /// Whether the stream has passed everything that the rows can show.
    pub(super) fn is_behind(&self, position: V::Position) -> bool {
        self.began.as_ref().is_some_and(|began| position >= began.horizon)
    }
}
