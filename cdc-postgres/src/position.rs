//! Where the source stands in the log, and its readable JSON form.
//!
//! Debezium's keys are at the top (`lsn`, `lsn_proc`, `lsn_commit`, `txId`, `ts_usec`, `messageType`), ours under `cdc`:
//! `phase`, `slot`, `system`, `timeline`, `end` (all transactions that were committed before it are done), `commit` and
//! `index` (how many row messages of the transaction committed there are done), `snapshot` (what a read by an older version has
//! shown already), `copies` (how many copies of everything were begun), `sent` (events of one in a single transaction that has not ended), `joining`
//! (tables that are about to be published and read),
//! `chunks` (what is left of snapshots by chunks, as [`SnapshotState`] has it, with `all` where all tables have yet to be asked for, and `paused`),
//! `publications` (their OIDs).

use cdc_core::snapshot::SnapshotState;
use cdc_core::{Offset, TableId};
use serde_json::{Map, Value as Json, json};

use crate::error::PostgresError;
use crate::lsn::Lsn;
use crate::snapshot::visible::Visible;

/// What an offset says of the first copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// A slot is about to be made.
    Intent,
    /// The slot is there; rows are being read.
    Snapshot,
    /// All rows are read; changes follow.
    Streaming,
}

impl Phase {
    fn as_str(self) -> &'static str {
        match self {
            Phase::Intent => "intent",
            Phase::Snapshot => "snapshot",
            Phase::Streaming => "streaming",
        }
    }
}

/// A point between two changes: the first that is not done. Compares as the log is ordered.
///
/// Between transactions `lsn` is an end and `index` 0: done is what was committed before `lsn`. Inside one `lsn` is its
/// commit and `index` counts its row messages that are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Point {
    pub(crate) lsn: Lsn,
    pub(crate) index: u64,
}

/// What a read of tables in the middle of the log has shown already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) visible: Visible,
    /// No transaction that it shows was committed at or after this.
    pub(crate) until: Lsn,
    /// The tables; `None` is all.
    pub(crate) tables: Option<Vec<TableId>>,
    /// Which read it is, counted as [`Position::copies`] counts.
    pub(crate) copy: u64,
}

impl Read {
    pub(crate) fn concerns(&self, table: Option<&TableId>) -> bool {
        match (&self.tables, table) {
            (None, _) => true,
            (Some(tables), Some(table)) => tables.contains(table),
            (Some(_), None) => false,
        }
    }
}

/// An offset, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) phase: Phase,
    pub(crate) slot: String,
    pub(crate) system: String,
    pub(crate) timeline: u32,
    /// All transactions committed before it are done: what the server is told.
    pub(crate) end: Lsn,
    /// Inside a transaction: its commit and how many of its row messages are done.
    pub(crate) inside: Option<Point>,
    /// Reads that show changes which still come; one entry a read.
    pub(crate) reads: Vec<Read>,
    /// How many copies of everything were begun beside the stream, or done: the first is 1. Rows of a copy by one snapshot carry
    /// the number of theirs, so that a sink is told apart that has them.
    pub(crate) copies: u64,
    /// Events of a read that has not ended: it makes of every batch an offset of its own, so that after a commit in doubt it
    /// can be told whether it happened. It goes on where the offset that was resumed from had it.
    pub(crate) sent: u64,
    pub(crate) joining: Vec<TableId>,
    /// What is left of snapshots by chunks.
    pub(crate) chunks: Chunks,
    /// The publications and their OIDs, which change when one is dropped and made again.
    pub(crate) publications: Vec<(String, u32)>,
    pub(crate) last: LastTransaction,
}

/// What is left of snapshots by chunks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Chunks {
    pub(crate) state: SnapshotState,
    /// All tables have yet to be asked for: a sink that has nothing joins.
    pub(crate) all: bool,
    /// They were told to wait.
    pub(crate) paused: bool,
}

impl Chunks {
    pub(crate) fn is_done(&self) -> bool {
        self.state.is_done() && !self.all
    }

    /// With nothing to read; events are numbered on.
    pub(crate) fn of_nothing(&self) -> Chunks {
        Chunks::of_sent(self.state.sent)
    }

    /// With nothing to read, when so many events were given.
    pub(crate) fn of_sent(sent: u64) -> Chunks {
        let state = SnapshotState { sent, tables: Vec::new() };
        Chunks { state, ..Chunks::default() }
    }

    /// What either of two sinks has yet to get.
    pub(crate) fn union(&self, other: &Chunks) -> Chunks {
        Chunks {
            state: self.state.union(&other.state),
            all: self.all || other.all,
            paused: self.paused || other.paused,
        }
    }

    fn to_json(&self) -> Option<Json> {
        if *self == Chunks::default() {
            return None;
        }
        let mut json = self.state.to_json();
        if let Json::Object(keys) = &mut json {
            if self.all {
                keys.insert("all".into(), true.into());
            }
            if self.paused {
                keys.insert("paused".into(), true.into());
            }
        }
        Some(json)
    }

    fn from_json(json: &Json) -> Option<Self> {
        let is = |key: &str| json.get(key).map_or(Some(false), Json::as_bool);
        let state = SnapshotState::from_json(json).ok()?;
        Some(Chunks { state, all: is("all")?, paused: is("paused")? })
    }
}

/// The newest transaction that is done in whole or in part, for Debezium's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct LastTransaction {
    pub(crate) lsn: Option<Lsn>,
    pub(crate) xid: Option<u32>,
    pub(crate) commit_time_us: Option<i64>,
    pub(crate) message: Option<&'static str>,
    /// In which transaction a Debezium connector stopped, until that transaction has come by.
    pub(crate) stopped_in: Option<StoppedIn>,
}

/// A place inside a transaction as Debezium tells it: by the LSN of its last change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoppedIn {
    pub(crate) xid: u32,
    /// The changes before this LSN are done.
    pub(crate) lsn: Lsn,
    /// How many of the changes at this LSN are done. COPY writes several rows at one; which of them are done Debezium does
    /// not tell before its version 3.7. All but the first come again then: rather twice than never.
    pub(crate) events: u64,
}

impl StoppedIn {
    /// Whether a change is done: its LSN, and how many of the same LSN came before it.
    pub(crate) fn covers(self, xid: u32, lsn: Lsn, before: u64) -> bool {
        xid == self.xid && (lsn < self.lsn || lsn == self.lsn && before < self.events)
    }

    fn to_json(self) -> Json {
        json!({"txId": self.xid, "lsn": self.lsn.0, "events": self.events})
    }

    fn from_json(json: &Json) -> Option<Self> {
        Some(StoppedIn {
            xid: u32::try_from(json.get("txId")?.as_u64()?).ok()?,
            lsn: Lsn(json.get("lsn")?.as_u64()?),
            events: json.get("events")?.as_u64()?,
        })
    }
}

/// Debezium's names of what `messageType` can be here.
const MESSAGE_TYPES: [&str; 5] = ["INSERT", "UPDATE", "DELETE", "TRUNCATE", "MESSAGE"];

impl Position {
    /// The first change that is not done.
    pub(crate) fn point(&self) -> Point {
        self.inside.unwrap_or(Point { lsn: self.end, index: 0 })
    }

    /// Whether a first copy is made from its beginning: it had not begun, or was left by a version that could not go on with it.
    /// A sink without an offset can join then.
    pub(crate) fn reads_anew(&self) -> bool {
        self.phase != Phase::Streaming && self.chunks.is_done()
    }

    /// Forgets what reads have shown once nothing of it can come any more.
    pub(crate) fn forget_passed_reads(&mut self) {
        let lsn = self.point().lsn;
        self.reads.retain(|read| lsn < read.until);
    }

    /// The JSON form.
    pub(crate) fn to_offset(&self) -> Offset {
        let mut keys = Map::new();
        let mut set = |key: &str, value: Option<Json>| {
            if let Some(value) = value {
                keys.insert(key.to_owned(), value);
            }
        };
        if self.phase != Phase::Intent {
            set("lsn", Some(self.last.lsn.unwrap_or(self.end).0.into()));
            set("lsn_proc", Some(self.last.lsn.unwrap_or(self.end).0.into()));
            set("lsn_commit", Some(self.end.0.into()));
        }
        set("messageType", self.last.message.map(Json::from));
        set("txId", self.last.xid.map(Json::from));
        set("ts_usec", self.last.commit_time_us.map(Json::from));
        let mut cdc = Map::new();
        cdc.insert("phase".into(), self.phase.as_str().into());
        cdc.insert("slot".into(), self.slot.clone().into());
        cdc.insert("system".into(), self.system.clone().into());
        cdc.insert("timeline".into(), self.timeline.into());
        if self.phase != Phase::Intent {
            cdc.insert("end".into(), self.end.0.into());
        }
        if let Some(inside) = self.inside {
            cdc.insert("commit".into(), inside.lsn.0.into());
            cdc.insert("index".into(), inside.index.into());
        }
        if let Some(stopped_in) = self.last.stopped_in {
            cdc.insert("stopped_in".into(), stopped_in.to_json());
        }
        if !self.reads.is_empty() {
            let reads = self.reads.iter().map(|read| {
                json!({
                    "visible": read.visible.to_string(),
                    "until": read.until.0,
                    "tables": read.tables.as_deref().map_or_else(|| "all".into(), tables_json),
                    "copy": read.copy,
                })
            });
            cdc.insert("snapshot".into(), reads.collect());
        }
        if self.copies != 0 {
            cdc.insert("copies".into(), self.copies.into());
        }
        if self.sent != 0 {
            cdc.insert("sent".into(), self.sent.into());
        }
        if !self.joining.is_empty() {
            cdc.insert("joining".into(), tables_json(&self.joining));
        }
        if let Some(chunks) = self.chunks.to_json() {
            cdc.insert("chunks".into(), chunks);
        }
        if !self.publications.is_empty() {
            let oids = self.publications.iter().map(|(name, oid)| (name.clone(), Json::from(*oid)));
            cdc.insert("publications".into(), Json::Object(oids.collect()));
        }
        keys.insert("cdc".into(), cdc.into());
        Offset::new(keys)
    }

    /// Reads the JSON form.
    pub(crate) fn from_offset(offset: &Offset) -> Result<Self, PostgresError> {
        Self::read(offset).ok_or_else(|| PostgresError::NotAnOffset { offset: offset.to_string() })
    }

    fn read(offset: &Offset) -> Option<Self> {
        let Some(cdc) = offset.get("cdc") else { return Self::of_debezium(offset) };
        let phase = match cdc.get("phase")?.as_str()? {
            "intent" => Phase::Intent,
            "snapshot" => Phase::Snapshot,
            "streaming" => Phase::Streaming,
            _ => return None,
        };
        let text = |key: &str| cdc.get(key)?.as_str().map(str::to_owned);
        let end = match cdc.get("end") {
            None if phase == Phase::Intent => 0,
            end => end?.as_u64()?,
        };
        let inside = match (cdc.get("commit"), cdc.get("index")) {
            (None, None) => None,
            (commit, index) => Some(Point { lsn: Lsn(commit?.as_u64()?), index: index?.as_u64()? }),
        };
        let reads = match cdc.get("snapshot") {
            None => Vec::new(),
            Some(reads) => reads.as_array()?.iter().map(read_of).collect::<Option<_>>()?,
        };
        let publications = match cdc.get("publications") {
            None => Vec::new(),
            Some(oids) => oids
                .as_object()?
                .iter()
                .map(|(name, oid)| Some((name.clone(), u32::try_from(oid.as_u64()?).ok()?)))
                .collect::<Option<_>>()?,
        };
        let number = |key: &str| offset.get(key).and_then(Json::as_u64);
        Some(Position {
            phase,
            slot: text("slot")?,
            system: text("system")?,
            timeline: u32::try_from(cdc.get("timeline")?.as_u64()?).ok()?,
            end: Lsn(end),
            inside,
            reads,
            copies: match cdc.get("copies") {
                None => 0,
                Some(copies) => copies.as_u64()?,
            },
            sent: match cdc.get("sent") {
                None => 0,
                Some(sent) => sent.as_u64()?,
            },
            joining: cdc.get("joining").map_or_else(|| Some(Vec::new()), tables_of)?,
            chunks: match cdc.get("chunks") {
                None => Chunks::default(),
                Some(chunks) => Chunks::from_json(chunks)?,
            },
            publications,
            last: LastTransaction {
                lsn: number("lsn").map(Lsn),
                xid: number("txId").and_then(|xid| u32::try_from(xid).ok()),
                commit_time_us: offset.get("ts_usec").and_then(Json::as_i64),
                message: offset
                    .get("messageType")
                    .and_then(Json::as_str)
                    .and_then(|message| MESSAGE_TYPES.into_iter().find(|known| *known == message)),
                stopped_in: match cdc.get("stopped_in") {
                    None => None,
                    Some(stopped_in) => Some(StoppedIn::from_json(stopped_in)?),
                },
            },
        })
    }

    /// The offset of a Debezium connector, which tells nothing of the server: [`Position::settle`] adds that.
    ///
    /// `lsn_commit` is the end of the last transaction that was done as a whole, `lsn` stands at the last change, and
    /// `messageType` tells whether it is one of a transaction that comes again.
    fn of_debezium(offset: &Offset) -> Option<Self> {
        let number = |key: &str| offset.get(key).and_then(Json::as_u64);
        let lsn = number("lsn")?;
        let snapshot =
            offset.get("snapshot").is_some() || offset.get("snapshot_completed").is_some();
        let mut end = number("lsn_commit").or(snapshot.then_some(lsn)).unwrap_or(0);
        let xid = number("txId").and_then(|xid| u32::try_from(xid).ok());
        let message = offset
            .get("messageType")
            .and_then(Json::as_str)
            .and_then(|message| MESSAGE_TYPES.into_iter().find(|known| *known == message));
        if message == Some("MESSAGE") && xid.is_none() {
            // It stands between transactions, behind all that were committed before it.
            end = end.max(lsn.saturating_add(1));
        }
        let stopped_in = match (message, xid) {
            (Some(_), Some(xid)) => {
                let events = number("lsn_events_processed").unwrap_or(1).max(1);
                Some(StoppedIn { xid, lsn: Lsn(lsn), events })
            }
            _ => None,
        };
        Some(Position {
            phase: Phase::Streaming,
            slot: String::new(),
            system: String::new(),
            timeline: 0,
            end: Lsn(end),
            inside: None,
            reads: Vec::new(),
            copies: 1,
            sent: 0,
            joining: Vec::new(),
            chunks: Chunks::default(),
            publications: Vec::new(),
            last: LastTransaction {
                lsn: Some(Lsn(lsn)),
                xid,
                commit_time_us: offset.get("ts_usec").and_then(Json::as_i64),
                message,
                stopped_in,
            },
        })
    }

    /// Adds to a Debezium connector's offset what it does not tell: the server, the slot, and where that is confirmed.
    pub(crate) fn settle(
        mut self,
        system: &str,
        timeline: u32,
        slot: &str,
        confirmed: Option<Lsn>,
    ) -> Self {
        if !self.system.is_empty() {
            return self;
        }
        self.system = system.to_owned();
        self.timeline = timeline;
        self.slot = slot.to_owned();
        if self.end == Lsn::ZERO {
            self.end = confirmed.unwrap_or_default();
        }
        self
    }
}

fn tables_json(tables: &[TableId]) -> Json {
    tables.iter().map(|table| json!([&*table.schema, &*table.table])).collect()
}

fn tables_of(tables: &Json) -> Option<Vec<TableId>> {
    tables
        .as_array()?
        .iter()
        .map(|table| match table.as_array()?.as_slice() {
            [schema, table] => Some(TableId::new(schema.as_str()?, table.as_str()?)),
            _ => None,
        })
        .collect()
}

fn read_of(read: &Json) -> Option<Read> {
    Some(Read {
        visible: read.get("visible")?.as_str()?.parse().ok()?,
        until: Lsn(read.get("until")?.as_u64()?),
        tables: match read.get("tables")? {
            Json::String(all) if all == "all" => None,
            tables => Some(tables_of(tables)?),
        },
        copy: read.get("copy")?.as_u64()?,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn streaming(end: u64) -> Position {
        Position {
            phase: Phase::Streaming,
            slot: "cdc_shop".into(),
            system: "7364839201847362514".into(),
            timeline: 1,
            end: Lsn(end),
            inside: None,
            reads: Vec::new(),
            copies: 1,
            sent: 0,
            joining: Vec::new(),
            chunks: Chunks::default(),
            publications: Vec::new(),
            last: LastTransaction::default(),
        }
    }

    #[test]
    fn an_offset_is_readable_json_with_debeziums_keys() {
        let mut position = streaming(100);
        position.last = LastTransaction {
            lsn: Some(Lsn(90)),
            xid: Some(7),
            commit_time_us: Some(5),
            message: Some("INSERT"),
            stopped_in: None,
        };
        position.inside = Some(Point { lsn: Lsn(120), index: 3 });
        assert_eq!(
            position.to_offset().to_string(),
            r#"{"lsn":90,"lsn_proc":90,"lsn_commit":100,"messageType":"INSERT","txId":7,"ts_usec":5,"cdc":{"phase":"streaming","slot":"cdc_shop","system":"7364839201847362514","timeline":1,"end":100,"commit":120,"index":3,"copies":1}}"#
        );
    }

    #[test]
    fn everything_comes_back_from_json() {
        let mut position = streaming(100);
        position.last.lsn = Some(Lsn(100));
        position.reads = vec![
            Read { visible: "5:9:6,7".parse().unwrap(), until: Lsn(130), tables: None, copy: 1 },
            Read {
                visible: "9:9:".parse().unwrap(),
                until: Lsn(140),
                tables: Some(vec![TableId::new("odd.name", "t")]),
                copy: 2,
            },
        ];
        position.joining = vec![TableId::new("public", "new")];
        position.publications = vec![("p".into(), 16_400)];
        position.chunks.state.sent = 40;
        position.chunks.paused = true;
        assert_eq!(Position::from_offset(&position.to_offset()).unwrap(), position);
    }

    #[test]
    fn a_debezium_connectors_offset_tells_the_last_transaction_and_the_change_in_it() {
        let read = |text: &str| Position::from_offset(&text.parse().unwrap()).unwrap();
        let inside = read(
            r#"{"lsn_proc":150,"messageType":"INSERT","lsn_commit":100,"lsn":150,"txId":7,"ts_usec":5}"#,
        );
        assert_eq!(inside.point(), Point { lsn: Lsn(100), index: 0 });
        let stopped_in = inside.last.stopped_in.unwrap();
        assert_eq!(stopped_in, StoppedIn { xid: 7, lsn: Lsn(150), events: 1 });
        assert!(stopped_in.covers(7, Lsn(149), 3) && stopped_in.covers(7, Lsn(150), 0));
        assert!(!stopped_in.covers(7, Lsn(150), 1), "another row of a COPY may not be done");
        assert!(!stopped_in.covers(8, Lsn(149), 0));
        let counted =
            read(r#"{"messageType":"INSERT","lsn":150,"txId":7,"lsn_events_processed":4}"#);
        assert_eq!(counted.last.stopped_in.unwrap().events, 4);
        let between = read(r#"{"messageType":"COMMIT","lsn_commit":160,"lsn":160,"txId":7}"#);
        assert_eq!((between.end, between.last.stopped_in), (Lsn(160), None));
        let message = read(r#"{"messageType":"MESSAGE","lsn_commit":100,"lsn":150}"#);
        assert_eq!((message.end, message.last.stopped_in), (Lsn(151), None));
        let snapshot =
            read(r#"{"lsn":90,"txId":6,"snapshot":"INITIAL","snapshot_completed":true}"#);
        assert_eq!((snapshot.end, snapshot.last.stopped_in), (Lsn(90), None));
        let mut settled = counted.settle("1", 2, "dbz", Some(Lsn(80)));
        assert_eq!((settled.end, settled.slot.as_str(), settled.timeline), (Lsn(80), "dbz", 2));
        assert_eq!(Position::from_offset(&settled.to_offset()).unwrap(), settled);
        settled.system = "9".into();
        assert_eq!(settled.clone().settle("1", 3, "other", None), settled, "once is enough");
    }

    #[test]
    fn what_is_left_of_snapshots_is_readable() {
        let left = r#"{"sent":7,"tables":[{"schema":"public","table":"t","key":["id"],"left":[{"after":[3],"through":null}],"rows":7,"bytes":9,"chunks":1}]}"#;
        let mut position = streaming(100);
        position.last.lsn = Some(Lsn(100));
        position.chunks.state = SnapshotState::from_json(&left.parse().unwrap()).unwrap();
        let offset = position.to_offset();
        assert_eq!(offset.get("cdc").unwrap().get("chunks").unwrap().to_string(), left);
        assert_eq!(Position::from_offset(&offset).unwrap(), position);
    }

    #[test]
    fn other_json_is_refused() {
        for text in [
            r#"{}"#,
            r#"{"txId":5}"#,
            r#"{"cdc":{"phase":"streaming","slot":"s","system":"1","timeline":1}}"#,
            r#"{"cdc":{"phase":"streaming","slot":"s","system":"1","timeline":1,"end":-1}}"#,
            r#"{"cdc":{"phase":"streaming","slot":"s","system":"1","timeline":1,"end":1,"index":1}}"#,
        ] {
            assert!(Position::from_offset(&text.parse().unwrap()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_read_is_forgotten_when_its_last_transaction_has_passed() {
        let mut position = streaming(100);
        position.reads =
            vec![Read { visible: "5:9:".parse().unwrap(), until: Lsn(101), tables: None, copy: 1 }];
        position.forget_passed_reads();
        assert_eq!(position.reads.len(), 1);
        position.end = Lsn(101);
        position.forget_passed_reads();
        assert!(position.reads.is_empty());
    }
}
