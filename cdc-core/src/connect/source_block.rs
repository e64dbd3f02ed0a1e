//! The `source` block of Debezium's PostgreSQL connector.

use std::sync::{Arc, OnceLock};

use crate::data_type::{ConnectAttributes, DataType, ValueType};
use crate::error::{Error, Result};
use crate::origin::{Origin, SnapshotMark, TransactionId};
use crate::row::Row;
use crate::schema::{Field, Schema, TableId};
use crate::value::Value;

use super::java_numbers::{write_i64, write_u64};
use super::json::write_string;
use super::profile::Modes;
use super::semantic_names as names;
use super::verbatim::{named_struct, optional, required};
use crate::value::digits::Digits;

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

/// The parts of the block's JSON that are the same for all rows of a table.
#[derive(Debug)]
pub(crate) struct ReadyParts {
    head: Box<[u8]>,
    of: Option<TableId>,
    table: Box<[u8]>,
}

impl ReadyParts {
    pub(crate) fn new(table: Option<&TableId>, modes: &Modes) -> Self {
        let mut head = b"{\"version\":".to_vec();
        write_string(&modes.version, &mut head);
        head.extend_from_slice(b",\"connector\":\"postgresql\",\"name\":");
        write_string(modes.topic_prefix.as_deref().unwrap_or_default(), &mut head);
        head.extend_from_slice(b",\"ts_ms\":");
        let mut names = Vec::new();
        let (schema, name) = table.map_or(("", ""), |table| (&table.schema, &table.table));
        write_table(schema, name, &mut names);
        ReadyParts { head: head.into(), of: table.cloned(), table: names.into() }
    }
}

fn write_table(schema: &str, table: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"schema\":");
    write_string(schema, out);
    out.extend_from_slice(b",\"table\":");
    write_string(table, out);
    out.extend_from_slice(b",\"txId\":");
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

    fn write_sequence(&self, quote: &[u8], out: &mut Vec<u8>) {
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
        write_u64(self.origin.log_position, out);
        out.extend_from_slice(quote);
        out.push(b']');
    }

    /// Appends the block as a JSON object; of the parts that are the same for all rows of a table, those made ready.
    pub(crate) fn write_json(&self, ready: &ReadyParts, out: &mut Vec<u8>) {
        let null_or = |value: Option<i64>, out: &mut Vec<u8>| match value {
            Some(value) => write_i64(value, out),
            None => out.extend_from_slice(b"null"),
        };
        out.extend_from_slice(&ready.head);
        let commit = u64::try_from(self.commit_us).ok().map(Digits::of);
        match &commit {
            Some(digits) => out.extend_from_slice(digits.without_last(3)),
            None => write_i64(self.commit_us.div_euclid(1_000), out),
        }
        out.extend_from_slice(b",\"snapshot\":\"");
        out.extend_from_slice(snapshot_mark(self.origin.snapshot).as_bytes());
        out.extend_from_slice(b"\",\"db\":");
        write_string(&self.origin.transaction.database, out);
        out.extend_from_slice(b",\"sequence\":\"");
        self.write_sequence(b"\\\"", out);
        out.extend_from_slice(b"\",\"ts_us\":");
        match &commit {
            Some(digits) if self.commit_us > 0 => {
                out.extend_from_slice(digits.as_bytes());
                out.extend_from_slice(b",\"ts_ns\":");
                out.extend_from_slice(digits.as_bytes());
                out.extend_from_slice(b"000");
            }
            _ => {
                write_i64(self.commit_us, out);
                out.extend_from_slice(b",\"ts_ns\":");
                write_i64(self.commit_us.saturating_mul(1_000), out);
            }
        }
        if self.origin.table.as_deref() == ready.of.as_ref() {
            out.extend_from_slice(&ready.table);
        } else {
            let (schema, table) = self.table();
            write_table(schema, table, out);
        }
        null_or(self.txid().map(i64::from), out);
        out.extend_from_slice(b",\"lsn\":");
        write_u64(self.origin.log_position, out);
        match &self.origin.transaction.replicated_from {
            None => out.extend_from_slice(b",\"xmin\":null,\"origin\":null,\"origin_lsn\":null}"),
            Some(from) => {
                out.extend_from_slice(b",\"xmin\":null,\"origin\":");
                write_string(&from.name, out);
                out.extend_from_slice(b",\"origin_lsn\":");
                write_u64(from.position, out);
                out.push(b'}');
            }
        }
    }

    /// The block as a struct.
    pub(crate) fn to_row(self) -> Result<Row> {
        let (table_schema, table) = self.table();
        let mut sequence = Vec::new();
        self.write_sequence(b"\"", &mut sequence);
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
