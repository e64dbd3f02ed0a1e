//! A dead letter, and the line of JSON that it is in a file.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::event_json::{event_from_json, event_to_json};
use super::schema_json::SchemaCache;
use crate::error::{Error, ErrorKind, Result};
use crate::event::ChangeEvent;

/// The version of the lines that this release writes and reads.
const VERSION: u64 = 1;

/// An event that failed: where, why, and the event as the source gave it.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// The pipeline.
    pub pipeline: Arc<str>,
    /// The sink that lacks the event; `None` where it failed in the common chain: then every sink lacks it.
    pub sink: Option<Arc<str>>,
    /// The step that failed.
    pub stage: Stage,
    /// The name of the transform or stage, where one failed.
    pub transform: Option<Arc<str>>,
    /// What was wrong.
    pub error: DeadLetterError,
    /// The event before any transform.
    pub event: ChangeEvent,
}

/// The step in which an event failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// A [stage](crate::Stage), which asks a server for what the source did not send.
    Lookup,
    /// The chain that all sinks share.
    CommonChain,
    /// The chain of one sink.
    SinkChain,
    /// The sink: its converter, or its target.
    Sink,
}

/// What was wrong with an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterError {
    /// The kind.
    pub kind: ErrorKind,
    /// What happened and what to do.
    pub text: String,
}

impl Stage {
    /// The name used in letters and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Lookup => "lookup",
            Stage::CommonChain => "common chain",
            Stage::SinkChain => "sink chain",
            Stage::Sink => "sink",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<&Error> for DeadLetterError {
    fn from(error: &Error) -> Self {
        DeadLetterError { kind: error.kind(), text: error.to_string() }
    }
}

impl DeadLetter {
    /// The letter as one line of JSON without its end.
    ///
    /// # Errors
    /// [`Data`](ErrorKind::Data) when the event holds what this release cannot write down.
    pub fn to_line(&self) -> Result<String> {
        let mut line = Map::new();
        line.insert("version".into(), VERSION.into());
        line.insert("pipeline".into(), (*self.pipeline).into());
        line.insert("sink".into(), self.sink.as_deref().into());
        line.insert("stage".into(), self.stage.as_str().into());
        line.insert("transform".into(), self.transform.as_deref().into());
        line.insert(
            "error".into(),
            json!({"kind": self.error.kind.as_str(), "text": self.error.text}),
        );
        event_to_json(&self.event, &mut line)?;
        serde_json::to_string(&line)
            .map_err(|error| Error::data("a dead letter is not JSON").with_source(error))
    }

    /// Reads what [`to_line`](DeadLetter::to_line) wrote: the same letter with an equal event.
    ///
    /// # Errors
    /// [`Data`](ErrorKind::Data) when it is something else; [`Configuration`](ErrorKind::Configuration) when another version
    /// wrote it.
    pub fn from_line(line: &str) -> Result<Self> {
        Self::from_line_with(line, &mut SchemaCache::default())
    }

    pub(super) fn from_line_with(line: &str, schemas: &mut SchemaCache) -> Result<Self> {
        let damaged = |what: &str| Error::data(format!("no dead letter: {what}"));
        let line: Json = serde_json::from_str(line)
            .map_err(|error| damaged(&format!("it is not JSON ({error})")))?;
        match line.get("version").and_then(Json::as_u64) {
            Some(VERSION) => {}
            Some(version) => {
                return Err(Error::configuration(format!(
                    "a dead letter has version {version}, and this release knows version {VERSION}"
                ))
                .remedy("run the release that wrote it, or a newer one"));
            }
            None => return Err(damaged("it has no version")),
        }
        let text = |name: &str| line.get(name).and_then(Json::as_str);
        let stage = [Stage::Lookup, Stage::CommonChain, Stage::SinkChain, Stage::Sink]
            .into_iter()
            .find(|stage| Some(stage.as_str()) == text("stage"));
        let error = line.get("error").ok_or_else(|| damaged("it has no error"))?;
        let kind = error.get("kind").and_then(Json::as_str);
        let kinds = [
            ErrorKind::Transient,
            ErrorKind::Data,
            ErrorKind::Configuration,
            ErrorKind::Fenced,
            ErrorKind::Cancelled,
        ];
        let kind = kinds.into_iter().find(|known| Some(known.as_str()) == kind);
        Ok(DeadLetter {
            pipeline: text("pipeline").ok_or_else(|| damaged("it names no pipeline"))?.into(),
            sink: text("sink").map(Into::into),
            stage: stage.ok_or_else(|| damaged("it has no stage"))?,
            transform: text("transform").map(Into::into),
            error: DeadLetterError {
                kind: kind.ok_or_else(|| damaged("its error has no kind"))?,
                text: error.get("text").and_then(Json::as_str).unwrap_or_default().to_owned(),
            },
            event: event_from_json(&line, schemas).map_err(|error| error.context("dead letter"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_type::{ConnectAttributes, DataType, NetworkType, ValueType};
    use crate::event::{
        Change, Destination, Header, LogicalMessage, Payload, RecordKeys, TransactionMarker,
        TransactionPlace, TransactionStatus,
    };
    use crate::origin::{
        Origin, ReplicationOrigin, SnapshotMark, TransactionId, TransactionOrigin,
    };
    use crate::row::Row;
    use crate::schema::{Field, NativeType, Schema, TableId};
    use crate::value::{
        Array, Bits, Date, Decimal, Interval, Time, TimeTz, TimeUnit, Timestamp, Uuid, Value,
    };

    fn inner() -> Arc<Schema> {
        let field = Field::optional("x", DataType::Int8);
        Schema::builder().field(field).optional(true).comment("c").build().unwrap()
    }

    /// Every kind of value, with the type of its column.
    fn cells() -> Vec<(DataType, Value)> {
        let time = Time { value: 86_399_999_999, unit: TimeUnit::Micro };
        let text = |text: &str| Value::text(text);
        let enumeration = DataType::Enum { labels: Arc::from(["a".into(), "b".into()]) };
        let attributes = ConnectAttributes {
            name: Some("io.debezium.Thing".into()),
            version: Some(3),
            doc: Some("doc".into()),
            parameters: vec![("a".into(), "1".into()), ("a".into(), "2".into())],
        };
        let element = ValueType::optional(DataType::TEXT)
            .with_default(Value::Struct(Row::new(inner(), vec![Value::Int8(1)]).unwrap()))
            .with_connect(attributes);
        let map = (ValueType::required(DataType::TEXT), ValueType::optional(DataType::Float32));
        let array = Array { values: vec![Value::Null, text("\u{0}\"\n")], lower_bound: -3 };
        let bits = Bits { length: 10, bytes: vec![0xff, 0xc0].into() };
        let digits = "123456789012345678901234567890.123";
        vec![
            (DataType::Bool, true.into()),
            (DataType::Int8, Value::Int8(i8::MIN)),
            (DataType::Int16, Value::Int16(i16::MIN)),
            (DataType::Int32, i32::MIN.into()),
            (DataType::Int64, i64::MIN.into()),
            (DataType::UInt8, Value::UInt8(u8::MAX)),
            (DataType::UInt16, Value::UInt16(u16::MAX)),
            (DataType::UInt32, Value::UInt32(u32::MAX)),
            (DataType::UInt64, Value::UInt64(u64::MAX)),
            (DataType::Float32, Value::Float32(f32::MIN_POSITIVE / 3.0)),
            (DataType::Float32, Value::Float32(f32::from_bits(0x7fc0_0001))),
            (DataType::Float64, Value::Float64(-0.0)),
            (DataType::Float64, Value::Float64(0.1 + 0.2)),
            (DataType::Float64, Value::Float64(f64::NEG_INFINITY)),
            (DataType::Float64, Value::Float64(f64::NAN)),
            (DataType::DECIMAL, Decimal::new(-1250, 2).into()),
            (DataType::DECIMAL, Decimal::new(12, -3).into()),
            (
                DataType::Decimal { precision: Some(40), scale: Some(3) },
                digits.parse::<Decimal>().unwrap().into(),
            ),
            (DataType::DECIMAL, Decimal::NEG_INFINITY.into()),
            (DataType::DECIMAL, Decimal::NAN.into()),
            (DataType::Text { max_length: Some(9), fixed: true }, text("gr\u{fc}n \u{1f41f}")),
            (DataType::Bytes { max_length: Some(2) }, bytes::Bytes::from_static(b"\0\xff").into()),
            (DataType::Bits { length: Some(10), varying: true }, Value::Bits(bits)),
            (DataType::Date, Date::Days(i32::MIN).into()),
            (DataType::Date, Date::NegInfinity.into()),
            (DataType::Time { precision: 6 }, time.into()),
            (DataType::TimeTz { precision: 3 }, Value::TimeTz(TimeTz { time, offset_seconds: -1 })),
            (DataType::Timestamp { precision: 9 }, Timestamp::micros(i64::MIN).into()),
            (DataType::TimestampTz { precision: 0 }, Timestamp::Infinity.into()),
            (DataType::Interval, Interval::Span { months: -1, days: 2, micros: i64::MAX }.into()),
            (DataType::Interval, Interval::NegInfinity.into()),
            (DataType::Uuid, Uuid([7; 16]).into()),
            (DataType::Json, text("{}")),
            (DataType::Xml, text("<a/>")),
            (enumeration, text("b")),
            (DataType::Network(NetworkType::MacAddr8), text("08:00")),
            (DataType::Array(Arc::new(element)), Value::Array(Arc::new(array))),
            (DataType::Map(Arc::new(map)), Value::Map(Arc::from([(text("k"), Value::Null)]))),
            (
                DataType::Struct(inner()),
                Value::Struct(Row::new(inner(), vec![Value::Null]).unwrap()),
            ),
            (DataType::Other { name: "tsvector".into() }, text("'a':1")),
            (DataType::TEXT, Value::Null),
            (DataType::TEXT, Value::Unavailable),
        ]
    }

    fn row() -> Row {
        let (types, values): (Vec<_>, Vec<_>) = cells().into_iter().unzip();
        let fields = types.into_iter().enumerate().map(|(index, data_type)| {
            let mut field = Field::optional(format!("c{index}"), data_type);
            field.native = Some(NativeType { name: "t(1)".into(), length: Some(1), scale: None });
            field.comment = (index % 2 == 0).then(|| "why".into());
            field.default_expression = (index % 3 == 0).then(|| "now()".into());
            field
        });
        let schema = Schema::builder()
            .table(TableId::new("public", "odd.name"))
            .fields(fields)
            .key(["c4", "c1"])
            .logical_name("shop")
            .build()
            .unwrap();
        Row::new(schema, values).unwrap()
    }

    fn origin() -> Origin {
        Origin {
            transaction: Arc::new(TransactionOrigin {
                connector: "postgresql",
                database: "shop".into(),
                id: Some(TransactionId::Xid(u32::MAX)),
                commit_time_us: Some(-1),
                position: [u64::MAX - 1, 7],
                previous_commit: Some(6),
                replicated_from: Some(ReplicationOrigin { name: "o".into(), position: 3 }),
            }),
            index: 4,
            log_position: u64::MAX,
            table: Some(Arc::new(TableId::new("public", "odd.name"))),
            snapshot: SnapshotMark::LastInTable,
            shown_by_snapshot: true,
            batch: 0,
            place: 0,
        }
    }

    fn letter(value: Payload) -> DeadLetter {
        let table = TableId::new("public", "odd.name");
        let key = row().key().map_or(Payload::Absent, Payload::row);
        let mut event =
            ChangeEvent::new(Destination::of_topic("topic", &table), key, value, origin());
        event.partition = Some(-1);
        event.timestamp_ms = Some(i64::MIN);
        for schema in [None, Some(Arc::new(ValueType::required(DataType::TEXT)))] {
            event.headers.push(Header { name: "h".into(), schema, value: Value::text("v") });
        }
        DeadLetter {
            pipeline: "copy".into(),
            sink: Some("sqlite:shop.db".into()),
            stage: Stage::Sink,
            transform: Some("Cast".into()),
            error: DeadLetterError { kind: ErrorKind::Data, text: "line\nand line".into() },
            event,
        }
    }

    fn payloads() -> Vec<Payload> {
        let place = Some(TransactionPlace { total_order: 2, collection_order: 1 });
        let mut update = Change::update(Some(row()), row());
        update.transaction = place;
        let keys = RecordKeys { old: row().key(), new: row().key().unwrap() };
        update.record_keys = Some(Arc::new(keys));
        vec![
            Payload::Absent,
            Payload::Change(update),
            Payload::Change(Change::read(row())),
            Payload::Change(Change::create(row())),
            Payload::Change(Change::delete(row())),
            Payload::Change(Change::truncate(Arc::clone(row().schema()))),
            Payload::Change(Change::table(Arc::clone(row().schema()))),
            Payload::Value { schema: None, value: Value::Null },
            Payload::Value {
                schema: Some(Arc::new(ValueType::optional(DataType::Int16))),
                value: Value::Int16(3),
            },
            Payload::Transaction(TransactionMarker {
                status: TransactionStatus::End,
                id: "571:1".into(),
                event_count: Some(2),
                tables: vec![(Arc::new(TableId::new("a", "b")), 2)],
            }),
            Payload::Message(LogicalMessage {
                prefix: "p".into(),
                content: vec![0, 255].into(),
                transactional: true,
                transaction: place,
            }),
        ]
    }

    #[test]
    fn a_letter_is_read_back_with_an_equal_event() {
        for payload in payloads() {
            let before = letter(payload);
            let line = before.to_line().unwrap();
            assert!(!line.contains('\n'), "one line");
            let after = DeadLetter::from_line(&line).unwrap();
            assert_eq!(after.to_line().unwrap(), line);
            assert_eq!((&after.pipeline, &after.sink), (&before.pipeline, &before.sink));
            assert_eq!((after.stage, &after.error), (before.stage, &before.error));
            assert_eq!(after.transform, before.transform);
            let (a, b) = (&before.event, &after.event);
            assert_eq!((&a.destination, a.partition), (&b.destination, b.partition));
            assert!(a.headers.iter().eq(b.headers.iter()));
            assert_eq!(a.origin().transaction, b.origin().transaction);
            assert_eq!(format!("{:?}", a.origin()), format!("{:?}", b.origin()));
            assert_eq!((a.key.as_row(), a.after()), (b.key.as_row(), b.after()));
            assert_eq!((a.before(), a.operation()), (b.before(), b.operation()));
            // Schemas are equal whatever their ids.
            let schema = |event: &ChangeEvent| event.as_change().map(|c| Arc::clone(&c.schema));
            assert_eq!(schema(a), schema(b));
            let key = |event: &ChangeEvent| event.key.as_row().map(|row| Arc::clone(row.schema()));
            assert_eq!(key(a), key(b));
        }
    }

    #[test]
    fn rows_of_one_table_share_a_schema_across_letters() {
        let mut cache = SchemaCache::default();
        let line = letter(Payload::Change(Change::create(row()))).to_line().unwrap();
        let first = DeadLetter::from_line_with(&line, &mut cache).unwrap();
        let second = DeadLetter::from_line_with(&line, &mut cache).unwrap();
        let schema = |letter: &DeadLetter| letter.event.after().unwrap().schema().id();
        assert_eq!(schema(&first), schema(&second));
    }

    #[test]
    fn what_is_no_letter_is_an_error_and_never_a_panic() {
        let line = letter(payloads().swap_remove(1)).to_line().unwrap();
        let newer = line.replacen("\"version\":1", "\"version\":2", 1);
        let error = DeadLetter::from_line(&newer).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.to_string().contains("version 2"), "{error}");
        for end in (0..line.len()).step_by(97).filter(|end| line.is_char_boundary(*end)) {
            assert_eq!(DeadLetter::from_line(&line[..end]).unwrap_err().kind(), ErrorKind::Data);
        }
        // Any number, word or list may be something else.
        for (from, to) in [("1", "\"x\""), ("\"", "'"), ("[", "{"), ("null", "1"), ("0", "-9")] {
            for (at, _) in line.match_indices(from).step_by(7) {
                let changed = format!("{}{to}{}", &line[..at], &line[at + from.len()..]);
                let _ = DeadLetter::from_line(&changed);
            }
        }
    }
}
