//! The offsets of the in-memory log: `{"commit":7,"cdc":{"phase":"streaming","index":2}}`.

use std::cmp::Ordering;

use serde_json::{Map, Value as Json, json};

use crate::error::{Error, Result};
use crate::offset::Offset;
use crate::origin::Origin;
use crate::source::{Coverage, Positions};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Intent,
    Snapshot,
    Streaming,
}

/// A position of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) phase: Phase,
    /// The transaction; in a snapshot the one after which the stream will start.
    pub(super) commit: u64,
    /// How many of its changes are done; `None` when all are. In a snapshot the rows that are done.
    pub(super) index: Option<u64>,
    /// Up to here a snapshot showed the changes that the stream repeats.
    pub(super) shown_until: u64,
}

impl Position {
    pub(super) fn streaming(commit: u64, index: Option<u64>, shown_until: u64) -> Self {
        Position { phase: Phase::Streaming, commit, index, shown_until: 0 }.with_shown(shown_until)
    }

    /// What a snapshot showed is kept until the stream is past it.
    fn with_shown(self, until: u64) -> Self {
        let past = self.phase != Phase::Streaming || self.next() > (until, u64::MAX);
        Position { shown_until: if past { 0 } else { until }, ..self }
    }

    pub(super) fn snapshot(commit: u64, rows: u64) -> Self {
        Position { phase: Phase::Snapshot, commit, index: Some(rows), shown_until: 0 }
    }

    pub(super) const INTENT: Position =
        Position { phase: Phase::Intent, commit: 0, index: None, shown_until: 0 };

    /// Changes before this one of this transaction are done.
    pub(super) fn next(self) -> (u64, u64) {
        match self.index {
            Some(index) => (self.commit, index),
            None => (self.commit + 1, 0),
        }
    }

    fn order(self) -> (Phase, (u64, u64)) {
        match self.phase {
            Phase::Streaming => (Phase::Streaming, self.next()),
            phase => (phase, (0, 0)),
        }
    }

    pub(super) fn offset(self) -> Offset {
        let phase = match self.phase {
            Phase::Intent => "intent",
            Phase::Snapshot => "snapshot",
            Phase::Streaming => "streaming",
        };
        let mut ours = Map::new();
        ours.insert("phase".into(), phase.into());
        if let Some(index) = self.index {
            ours.insert("index".into(), index.into());
        }
        if self.shown_until > 0 {
            ours.insert("shown_until".into(), self.shown_until.into());
        }
        let mut keys = Map::new();
        keys.insert("commit".into(), json!(self.commit));
        keys.insert("cdc".into(), Json::Object(ours));
        Offset::new(keys)
    }

    pub(super) fn of(offset: &Offset) -> Result<Self> {
        let foreign =
            || Error::configuration(format!("{offset} is not an offset of the in-memory log"));
        let ours = offset.get("cdc").ok_or_else(foreign)?;
        let phase = match ours.get("phase").and_then(Json::as_str) {
            Some("intent") => Phase::Intent,
            Some("snapshot") => Phase::Snapshot,
            Some("streaming") => Phase::Streaming,
            _ => return Err(foreign()),
        };
        Ok(Position {
            phase,
            commit: offset.get("commit").and_then(Json::as_u64).ok_or_else(foreign)?,
            index: ours.get("index").and_then(Json::as_u64),
            shown_until: ours.get("shown_until").and_then(Json::as_u64).unwrap_or(0),
        })
    }
}

/// How offsets of the log compare.
#[derive(Debug)]
pub(super) struct LogPositions;

impl Positions for LogPositions {
    fn compare(&self, a: &Offset, b: &Offset) -> Result<Option<Ordering>> {
        Ok(Some(Position::of(a)?.order().cmp(&Position::of(b)?.order())))
    }

    fn meet(&self, a: &Offset, b: &Offset) -> Result<Offset> {
        Ok(if Position::of(a)?.order() <= Position::of(b)?.order() { a } else { b }.clone())
    }

    fn before_first_event(&self, offset: &Offset) -> Result<bool> {
        Ok(Position::of(offset)?.phase != Phase::Streaming)
    }

    fn coverage(&self, offset: Option<&Offset>) -> Result<Box<dyn Coverage>> {
        let position = offset.map(Position::of).transpose()?;
        Ok(Box::new(Covered(position.filter(|position| position.phase == Phase::Streaming))))
    }

    fn for_sink(&self, own: Option<&Offset>, reached: &Offset) -> Result<Offset> {
        match own.map(Position::of).transpose()? {
            Some(own) if own.phase == Phase::Streaming => {
                let reached = Position::of(reached)?;
                Ok(Position { shown_until: 0, ..reached }.with_shown(own.shown_until).offset())
            }
            _ => Ok(reached.clone()),
        }
    }

    fn offset_after(&self, before: &Offset, origin: &Origin) -> Option<Offset> {
        if origin.snapshot.is_snapshot() {
            return None;
        }
        let shown_until = Position::of(before).ok()?.shown_until;
        let [commit, _] = origin.transaction.position;
        Some(Position::streaming(commit, Some(origin.index + 1), shown_until).offset())
    }
}

#[derive(Debug)]
struct Covered(Option<Position>);

impl Coverage for Covered {
    fn covers(&self, origin: &Origin) -> bool {
        let Some(position) = self.0 else { return origin.shown_by_snapshot };
        let [commit, _] = origin.transaction.position;
        origin.snapshot.is_snapshot()
            || (commit, origin.index) < position.next()
            || commit <= position.shown_until
    }
}
