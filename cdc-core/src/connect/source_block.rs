//! The `source` block of Debezium's PostgreSQL connector.

use std::sync::{Arc, OnceLock};

use crate::data_type::{ConnectAttributes, DataType, ValueType};
use crate::error::{Error, Result};
use crate::origin::{Origin, SnapshotMark, TransactionId, TransactionOrigin};
use crate::row::Row;
use crate::schema::{Field, Schema, TableId};
use crate::value::Value;
use crate::value::digits::Digits;

use super::java_numbers::{write_i64, write_u64};
use super::json::write_string;
use super::profile::Modes;
use super::semantic_names as names;
use super::verbatim::{named_struct, optional, required};

const NAME: &str = "io.debezium.connector.postgresql.Source";

/// Debezium's word for a row of a snapshot.
pub(crate) fn snapshot_mark(mark: SnapshotMark) -> &'static str {
    match mark {
        SnapshotMark::No => "false",
        SnapshotMark::First => "first",
        SnapshotMark::FirstInTable => "first_in_data_collection",
        SnapshotMark::Row => "true",
        SnapshotMark::LastInTable => "last_in_data_collection",
        SnapshotMark::Last => "last",
        SnapshotMark::Incremental => "incremental",
    }
}

/// The schema of the block.
pub(crate) fn schema() -> Result<Arc<Schema>> {
    static SCHEMA: OnceLock<Arc<Schema>> = OnceLock::new();
    if let Some(schema) = SCHEMA.get() {
        return Ok(Arc::clone(schema));
    }
    let marks =
        "true,first,first_in_data_collection,last_in_data_collection,last,false,incremental";
    let snapshot = ValueType::optional(DataType::TEXT).with_default("false".into()).with_connect(
        ConnectAttributes {
            name: Some(names::ENUM.into()),
            version: Some(1),
            doc: None,
            parameters: vec![("allowed".into(), marks.into())],
        },
    );
    let schema = named_struct(
        NAME,
        Some(1),
        false,
        vec![
            required("version", DataType::TEXT),
            required("connector", DataType::TEXT),
            required("name", DataType::TEXT),
            required("ts_ms", DataType::Int64),
            Field::new("snapshot", snapshot),
            required("db", DataType::TEXT),
            optional("sequence", DataType::TEXT),
            optional("ts_us", DataType::Int64),
            optional("ts_ns", DataType::Int64),
            required("schema", DataType::TEXT),
            required("table", DataType::TEXT),
            optional("txId", DataType::Int64),
            optional("lsn", DataType::Int64),
            optional("xmin", DataType::Int64),
            optional("origin", DataType::TEXT),
            optional("origin_lsn", DataType::Int64),
        ],
    )?;
    Ok(Arc::clone(SCHEMA.get_or_init(|| schema)))
}

/// The JSON of the block, of which only the position changes between the rows of a table in a transaction.
#[derive(Debug, Default)]
pub(crate) struct ReadyBlock {
    of: Option<(Arc<TransactionOrigin>, Option<Arc<TableId>>, SnapshotMark)>,
    around_position: Vec<u8>,
    /// Where the position stands, twice, in the text around it.
    gaps: [usize; 2],
    text: Vec<u8>,
    /// How many digits the position in the text has.
    digits: usize,
}

impl ReadyBlock {
    fn is_of(&self, origin: &Origin) -> bool {
        let Some((transaction, table, mark)) = &self.of else { return false };
        let same_table = match (table, &origin.table) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a == b,
            (a, b) => a.is_none() && b.is_none(),
        };
        Arc::ptr_eq(transaction, &origin.transaction) && *mark == origin.snapshot && same_table
    }

    /// The block of an event; what the next one of its transaction shares with it is kept.
    ///
    /// # Errors
    /// As [`SourceBlock::new`].
    pub(crate) fn of(&mut self, origin: &Origin, modes: &Modes) -> Result<&[u8]> {
        if !self.is_of(origin) {
            self.of = None;
            self.digits = 0;
            self.around_position.clear();
            let block = SourceBlock::new(origin, modes)?;
            self.gaps = block.write_around_position(&mut self.around_position);
            let transaction = Arc::clone(&origin.transaction);
            self.of = Some((transaction, origin.table.clone(), origin.snapshot));
        }
        self.show_position(&Digits::of(origin.log_position));
        Ok(&self.text)
    }

    fn show_position(&mut self, digits: &Digits) {
        let digits = digits.as_bytes();
        let [first, second] = self.gaps;
        if digits.len() == self.digits {
            // Positions of one length: the text stays but for them.
            for start in [first, second + digits.len()] {
                if let Some(place) = self.text.get_mut(start..start + digits.len()) {
                    place.copy_from_slice(digits);
                }
            }
            return;
        }
        let around = &self.around_position;
        self.text.clear();
        for part in [&around[..first], digits, &around[first..second], digits, &around[second..]] {
            self.text.extend_from_slice(part);
        }
        self.digits = digits.len();
    }
}

/// What the block of an event says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SourceBlock<'a> {
    origin: &'a Origin,
    modes: &'a Modes,
    commit_us: i64,
}

impl<'a> SourceBlock<'a> {
    /// The block of an event from PostgreSQL.
    pub(crate) fn new(origin: &'a Origin, modes: &'a Modes) -> Result<Self> {
        let connector = origin.transaction.connector;
        if connector != "postgresql" {
            return Err(Error::configuration(format!(
                "events of {connector} have no Debezium source block here"
            )));
        }
        let commit_us = origin.transaction.commit_time_us.unwrap_or(0);
        Ok(SourceBlock { origin, modes, commit_us })
    }

    fn name(&self) -> &'a str {
        self.modes.topic_prefix.as_deref().unwrap_or_default()
    }

    fn table(&self) -> (&'a str, &'a str) {
        self.origin.table.as_deref().map_or(("", ""), |table| (&table.schema, &table.table))
    }

    fn txid(&self) -> Option<u32> {
        match self.origin.transaction.id {
            Some(TransactionId::Xid(xid)) => Some(xid),
            _ => None,
        }
    }

    /// The first part of the sequence, up to the position of the change.
    fn write_sequence_start(&self, quote: &[u8], out: &mut Vec<u8>) {
        out.push(b'[');
        match self.origin.transaction.previous_commit {
            Some(commit) => {
                out.extend_from_slice(quote);
                write_u64(commit, out);
                out.extend_from_slice(quote);
            }
            None => out.extend_from_slice(b"null"),
        }
        out.push(b',');
        out.extend_from_slice(quote);
    }

    /// Appends the block as a JSON object without the position of the change, and says where it belongs.
    fn write_around_position(&self, out: &mut Vec<u8>) -> [usize; 2] {
        out.extend_from_slice(b"{\"version\":");
        write_string(&self.modes.version, out);
        out.extend_from_slice(b",\"connector\":\"postgresql\",\"name\":");
        write_string(self.name(), out);
        out.extend_from_slice(b",\"ts_ms\":");
        write_i64(self.commit_us.div_euclid(1_000), out);
        out.extend_from_slice(b",\"snapshot\":\"");
        out.extend_from_slice(snapshot_mark(self.origin.snapshot).as_bytes());
        out.extend_from_slice(b"\",\"db\":");
        write_string(&self.origin.transaction.database, out);
        out.extend_from_slice(b",\"sequence\":\"");
        self.write_sequence_start(b"\\\"", out);
        let first = out.len();
        out.extend_from_slice(b"\\\"]\",\"ts_us\":");
        write_i64(self.commit_us, out);
        out.extend_from_slice(b",\"ts_ns\":");
        write_i64(self.commit_us.saturating_mul(1_000), out);
        let (schema, table) = self.table();
        out.extend_from_slice(b",\"schema\":");
        write_string(schema, out);
        out.extend_from_slice(b",\"table\":");
        write_string(table, out);
        out.extend_from_slice(b",\"txId\":");
        match self.txid() {
            Some(xid) => write_u64(u64::from(xid), out),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"lsn\":");
        let second = out.len();
        out.extend_from_slice(b",\"xmin\":null,\"origin\":");
        match &self.origin.transaction.replicated_from {
            None => out.extend_from_slice(b"null,\"origin_lsn\":null}"),
            Some(from) => {
                write_string(&from.name, out);
                out.extend_from_slice(b",\"origin_lsn\":");
                write_u64(from.position, out);
                out.push(b'}');
            }
        }
        [first, second]
    }

    /// The block as a struct.
    pub(crate) fn to_row(self) -> Result<Row> {
        let (table_schema, table) = self.table();
        let mut sequence = Vec::new();
        self.write_sequence_start(b"\"", &mut sequence);
        write_u64(self.origin.log_position, &mut sequence);
        sequence.extend_from_slice(b"\"]");
        let lsn = |position: u64| Value::Int64(i64::try_from(position).unwrap_or(i64::MAX));
        let from = self.origin.transaction.replicated_from.as_ref();
        let values = vec![
            Value::text(&*self.modes.version),
            Value::text(self.origin.transaction.connector),
            Value::text(self.name()),
            Value::Int64(self.commit_us.div_euclid(1_000)),
            Value::text(snapshot_mark(self.origin.snapshot)),
            Value::text(&*self.origin.transaction.database),
            Value::text(String::from_utf8(sequence).unwrap_or_default()),
            Value::Int64(self.commit_us),
            Value::Int64(self.commit_us.saturating_mul(1_000)),
            Value::text(table_schema),
            Value::text(table),
            self.txid().map(i64::from).into(),
            lsn(self.origin.log_position),
            Value::Null,
            from.map_or(Value::Null, |from| Value::text(&*from.name)),
            from.map_or(Value::Null, |from| lsn(from.position)),
        ];
        Row::new(schema()?, values)
    }
}
