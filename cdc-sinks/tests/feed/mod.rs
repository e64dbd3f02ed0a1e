//! Events made by hand, as a source would make them.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::sync::Arc;

use cdc_core::testkit::some_origin;
use cdc_core::value::{
    Array, Bits, Date, Decimal, Interval, Text, Time, TimeTz, TimeUnit, Timestamp, Uuid,
};
use cdc_core::{
    Batch, Change, ChangeEvent, DataType, Destination, ErrorKind, Field, NetworkType, Offset,
    Origin, Row, Schema, Sink, TableId, Value, ValueType,
};

/// A table of the source.
#[derive(Clone)]
pub(crate) struct Table(pub(crate) Arc<Schema>);

pub(crate) fn table(name: &str, key: &[&str], fields: Vec<Field>) -> Table {
    let (schema, table) = name.split_once('.').unwrap_or(("public", name));
    let built = Schema::builder()
        .table(TableId::new(schema, table))
        .fields(fields)
        .key(key.iter().copied())
        .build()
        .unwrap();
    Table(built)
}

/// `orders(id bigint primary key, note text, document text)`.
pub(crate) fn orders() -> Table {
    table("orders", &["id"], order_fields())
}

pub(crate) fn order_fields() -> Vec<Field> {
    vec![
        Field::required("id", DataType::Int64),
        Field::optional("note", DataType::TEXT),
        Field::optional("document", DataType::TEXT),
    ]
}

/// `log(level integer, line text)`, without a key.
pub(crate) fn log() -> Table {
    let fields =
        vec![Field::optional("level", DataType::Int32), Field::optional("line", DataType::TEXT)];
    table("log", &[], fields)
}

/// A value that was not sent.
pub(crate) const GONE: Value = Value::Unavailable;

impl Table {
    pub(crate) fn row(&self, values: impl Into<Vec<Value>>) -> Row {
        Row::new(Arc::clone(&self.0), values.into()).unwrap()
    }

    pub(crate) fn id(&self) -> TableId {
        self.0.table().unwrap().clone()
    }

    pub(crate) fn event(&self, change: Change) -> ChangeEvent {
        ChangeEvent::change(Destination::of_table(&self.id()), change, origin(self.id()))
    }

    pub(crate) fn announce(&self) -> ChangeEvent {
        self.event(Change::table(Arc::clone(&self.0)))
    }

    pub(crate) fn truncate(&self) -> ChangeEvent {
        self.event(Change::truncate(Arc::clone(&self.0)))
    }

    pub(crate) fn create(&self, values: impl Into<Vec<Value>>) -> ChangeEvent {
        self.event(Change::create(self.row(values)))
    }

    pub(crate) fn update(&self, values: impl Into<Vec<Value>>) -> ChangeEvent {
        self.event(Change::update(None, self.row(values)))
    }

    pub(crate) fn update_from(
        &self,
        before: impl Into<Vec<Value>>,
        after: impl Into<Vec<Value>>,
    ) -> ChangeEvent {
        self.event(Change::update(Some(self.row(before)), self.row(after)))
    }

    pub(crate) fn delete(&self, before: impl Into<Vec<Value>>) -> ChangeEvent {
        self.event(Change::delete(self.row(before)))
    }
}

pub(crate) fn origin(table: TableId) -> Origin {
    Origin { table: Some(Arc::new(table)), ..some_origin() }
}

pub(crate) fn offset(lsn: u64) -> Offset {
    format!("{{\"lsn\":{lsn}}}").parse().unwrap()
}

pub(crate) fn batch(lsn: u64, events: Vec<ChangeEvent>) -> Arc<Batch> {
    Arc::new(Batch::new(events, offset(lsn)))
}

/// Loads as the pipeline `copy`.
pub(crate) async fn load(sink: &mut impl Sink) -> cdc_core::Result<Option<Offset>> {
    sink.open().await?;
    sink.transactional().unwrap().load("copy").await
}

/// Commits events at an offset.
pub(crate) async fn commit(
    sink: &mut impl Sink,
    lsn: u64,
    events: Vec<ChangeEvent>,
) -> cdc_core::Result<()> {
    let outcome = sink.transactional().unwrap().commit(batch(lsn, events)).await?;
    assert!(outcome.rejected.is_empty());
    Ok(())
}

/// An error of this kind with all these words, on one line.
pub(crate) fn assert_error(error: &cdc_core::Error, kind: ErrorKind, words: &[&str]) {
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{text}");
    assert!(!text.contains('\n'), "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}

/// A column, three values of it and their texts.
type Example = (&'static str, DataType, [Value; 3], [Option<&'static str>; 3]);
/// A text a column, in rows.
pub(crate) type Texts = Vec<Vec<Option<&'static str>>>;

/// A column of every type with its hardest values, and what a target without such a type keeps as text.
pub(crate) fn all_types() -> (Table, Vec<Vec<Value>>, Texts) {
    let decimal = |text: &str| Value::Decimal(text.parse::<Decimal>().unwrap());
    let micro = TimeUnit::Micro;
    let int_array = Arc::new(ValueType::optional(DataType::Int32));
    let text_array = Arc::new(ValueType::optional(DataType::TEXT));
    let columns: Vec<Example> = vec![
        (
            "bool",
            DataType::Bool,
            [true.into(), false.into(), Value::Null],
            [Some("1"), Some("0"), None],
        ),
        (
            "int16",
            DataType::Int16,
            [i16::MIN.into(), i16::MAX.into(), Value::Null],
            [Some("-32768"), Some("32767"), None],
        ),
        (
            "int32",
            DataType::Int32,
            [i32::MIN.into(), i32::MAX.into(), Value::Null],
            [Some("-2147483648"), Some("2147483647"), None],
        ),
        (
            "int64",
            DataType::Int64,
            [i64::MIN.into(), i64::MAX.into(), Value::Null],
            [Some("-9223372036854775808"), Some("9223372036854775807"), None],
        ),
        (
            "uint64",
            DataType::UInt64,
            [u64::MAX.into(), 0u64.into(), Value::Null],
            [Some("18446744073709551615"), Some("0"), None],
        ),
        (
            "float32",
            DataType::Float32,
            [0.1f32.into(), f32::NAN.into(), f32::NEG_INFINITY.into()],
            [Some("0.1"), Some("NaN"), Some("-Inf")],
        ),
        (
            "float64",
            DataType::Float64,
            [f64::MIN_POSITIVE.into(), f64::NAN.into(), f64::INFINITY.into()],
            [Some("2.2250738585072014e-308"), Some("NaN"), Some("Inf")],
        ),
        (
            "numeric",
            DataType::DECIMAL,
            [decimal("12345678901234567890123456789.1000"), decimal("NaN"), decimal("-0.10")],
            [Some("12345678901234567890123456789.1000"), Some("NaN"), Some("-0.10")],
        ),
        (
            "money2",
            DataType::Decimal { precision: Some(10), scale: Some(2) },
            [decimal("99999999.99"), decimal("0.00"), Value::Null],
            [Some("99999999.99"), Some("0.00"), None],
        ),
        (
            "text",
            DataType::TEXT,
            ["it's \"ö\" \\ {,}".into(), "".into(), "NULL".into()],
            [Some("it's \"ö\" \\ {,}"), Some(""), Some("NULL")],
        ),
        (
            "varchar",
            DataType::Text { max_length: Some(5), fixed: false },
            ["abcde".into(), "007".into(), Value::Null],
            [Some("abcde"), Some("007"), None],
        ),
        (
            "bytes",
            DataType::BYTES,
            [
                Value::Bytes(bytes::Bytes::from_static(b"\x00\xffabc")),
                Value::Bytes(bytes::Bytes::new()),
                Value::Null,
            ],
            [Some("00FF616263"), Some(""), None],
        ),
        (
            "bits",
            DataType::Bits { length: Some(10), varying: true },
            [
                Value::Bits(Bits {
                    length: 10,
                    bytes: bytes::Bytes::from_static(&[0b1010_0000, 0b0100_0000]),
                }),
                Value::Bits(Bits { length: 0, bytes: bytes::Bytes::new() }),
                Value::Null,
            ],
            [Some("1010000001"), Some(""), None],
        ),
        (
            "date",
            DataType::Date,
            [Date::Days(19_782).into(), Date::Infinity.into(), Date::Days(-800_000).into()],
            [Some("2024-02-29"), Some("infinity"), Some("-0221-09-04")],
        ),
        (
            "time",
            DataType::Time { precision: 6 },
            [
                Time { value: 86_400_000_000, unit: micro }.into(),
                Time { value: 1, unit: micro }.into(),
                Value::Null,
            ],
            [Some("24:00:00"), Some("00:00:00.000001"), None],
        ),
        (
            "timetz",
            DataType::TimeTz { precision: 6 },
            [
                Value::TimeTz(TimeTz {
                    time: Time { value: 1_500_000, unit: micro },
                    offset_seconds: -19_800,
                }),
                Value::TimeTz(TimeTz { time: Time { value: 0, unit: micro }, offset_seconds: 0 }),
                Value::Null,
            ],
            [Some("00:00:01.5-05:30"), Some("00:00:00+00:00"), None],
        ),
        (
            "timestamp",
            DataType::Timestamp { precision: 6 },
            [
                Timestamp::micros(-1).into(),
                Timestamp::NegInfinity.into(),
                Timestamp::micros(-63_000_000_000_000_000).into(),
            ],
            [Some("1969-12-31 23:59:59.999999"), Some("-infinity"), Some("-0027-08-11 08:00:00")],
        ),
        (
            "timestamptz",
            DataType::TimestampTz { precision: 6 },
            [
                Timestamp::micros(1_709_164_800_500_000).into(),
                Timestamp::Infinity.into(),
                Timestamp::micros(-63_000_000_000_000_000).into(),
            ],
            [
                Some("2024-02-29 00:00:00.5+00:00"),
                Some("infinity"),
                Some("-0027-08-11 08:00:00+00:00"),
            ],
        ),
        (
            "interval",
            DataType::Interval,
            [
                Interval::Span { months: -14, days: 3, micros: -3_600_500_000 }.into(),
                Interval::Span { months: 0, days: 0, micros: 0 }.into(),
                Value::Null,
            ],
            [Some("P-1Y-2M3DT-1H-0.5S"), Some("PT0S"), None],
        ),
        (
            "uuid",
            DataType::Uuid,
            [Value::Uuid(Uuid([0xab; 16])), Value::Null, Value::Null],
            [Some("abababab-abab-abab-abab-abababababab"), None, None],
        ),
        (
            "json",
            DataType::Json,
            ["{\"b\":1,  \"a\":2}".into(), "null".into(), Value::Null],
            [Some("{\"b\":1,  \"a\":2}"), Some("null"), None],
        ),
        (
            "xml",
            DataType::Xml,
            ["<a/>".into(), Value::Null, Value::Null],
            [Some("<a/>"), None, None],
        ),
        (
            "mood",
            DataType::Enum { labels: vec![Text::from("sad"), Text::from("ok")].into() },
            ["sad".into(), "ok".into(), Value::Null],
            [Some("sad"), Some("ok"), None],
        ),
        (
            "inet",
            DataType::Network(NetworkType::Inet),
            ["10.0.0.1/24".into(), "::1".into(), Value::Null],
            [Some("10.0.0.1/24"), Some("::1"), None],
        ),
        (
            "ints",
            DataType::Array(int_array),
            [
                Value::Array(Arc::new(Array::new(vec![1i32.into(), Value::Null]))),
                Value::Array(Arc::new(Array {
                    values: vec![
                        Value::Array(Arc::new(Array::new(vec![1i32.into(), 2i32.into()]))),
                        Value::Array(Arc::new(Array::new(vec![3i32.into(), 4i32.into()]))),
                    ],
                    lower_bound: 0,
                })),
                Value::Array(Arc::new(Array::new(vec![]))),
            ],
            [Some("[1,null]"), Some("{\"lower_bound\":0,\"values\":[[1,2],[3,4]]}"), Some("[]")],
        ),
        (
            "texts",
            DataType::Array(text_array),
            [
                Value::Array(Arc::new(Array::new(vec![
                    "NULL".into(),
                    "a\"b\\c,{}".into(),
                    "".into(),
                    Value::Null,
                ]))),
                Value::Null,
                Value::Null,
            ],
            [Some("[\"NULL\",\"a\\\"b\\\\c,{}\",\"\",null]"), None, None],
        ),
        (
            "point",
            DataType::Other { name: "point".into() },
            ["(1,2)".into(), Value::Null, Value::Null],
            [Some("(1,2)"), None, None],
        ),
    ];
    let mut fields = vec![Field::required("id", DataType::Int64)];
    fields.extend(
        columns.iter().map(|(name, data_type, ..)| Field::optional(*name, data_type.clone())),
    );
    let rows = (0..3)
        .map(|number| {
            let mut row = vec![Value::Int64(i64::try_from(number).unwrap())];
            row.extend(columns.iter().map(|(_, _, values, _)| values[number].clone()));
            row
        })
        .collect();
    let texts = (0..3)
        .map(|number| columns.iter().map(|(_, _, _, texts)| texts[number]).collect())
        .collect();
    (table("all_types", &["id"], fields), rows, texts)
}
