//! No chain panics, whatever rows of the model it gets.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use cdc_core::connect::{ConnectProfile, JsonConverter, JsonOptions};
use cdc_core::testkit::some_origin;
use cdc_core::value::{
    Array, Bits, Date, Decimal, Interval, Time, TimeTz, TimeUnit, Timestamp, Uuid,
};
use cdc_core::{
    Change, ChangeEvent, DataType, Destination, Field, Operation, Payload, Properties, Row, Schema,
    TableId, Transform, Value, ValueType,
};
use cdc_smt::transform_of_class;
use proptest::prelude::*;

fn typed_value() -> impl Strategy<Value = (DataType, Value)> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(|v| (DataType::Bool, Value::Bool(v))),
        any::<i8>().prop_map(|v| (DataType::Int8, Value::Int8(v))),
        any::<i16>().prop_map(|v| (DataType::Int16, Value::Int16(v))),
        any::<i32>().prop_map(|v| (DataType::Int32, Value::Int32(v))),
        any::<i64>().prop_map(|v| (DataType::Int64, Value::Int64(v))),
        any::<u64>().prop_map(|v| (DataType::UInt64, Value::UInt64(v))),
        any::<f32>().prop_map(|v| (DataType::Float32, Value::Float32(v))),
        any::<f64>().prop_map(|v| (DataType::Float64, Value::Float64(v))),
        (any::<i64>(), -40i32..40)
            .prop_map(|(v, scale)| { (DataType::DECIMAL, Value::Decimal(Decimal::new(v, scale))) }),
        Just((DataType::DECIMAL, Value::Decimal(Decimal::NAN))),
        ".{0,12}".prop_map(|v| (DataType::TEXT, Value::text(v))),
        ".{0,12}".prop_map(|v| (DataType::Json, Value::text(v))),
        proptest::collection::vec(any::<u8>(), 0..12)
            .prop_map(|v| (DataType::BYTES, Value::Bytes(v.into()))),
        any::<i32>().prop_map(|v| (DataType::Date, Value::Date(Date::Days(v)))),
        Just((DataType::Date, Value::Date(Date::Infinity))),
        any::<i64>().prop_map(|value| {
            let time = Time { value, unit: TimeUnit::Micro };
            (DataType::Time { precision: 6 }, Value::Time(time))
        }),
        any::<i64>().prop_map(|v| {
            (DataType::Timestamp { precision: 6 }, Value::Timestamp(Timestamp::micros(v)))
        }),
        any::<i64>().prop_map(|v| {
            (DataType::TimestampTz { precision: 3 }, Value::Timestamp(Timestamp::micros(v)))
        }),
        Just((DataType::Timestamp { precision: 3 }, Value::Timestamp(Timestamp::NegInfinity))),
        any::<(i32, i32, i64)>().prop_map(|(months, days, micros)| {
            (DataType::Interval, Value::Interval(Interval::Span { months, days, micros }))
        }),
        any::<[u8; 16]>().prop_map(|v| (DataType::Uuid, Value::Uuid(Uuid(v)))),
        any::<u8>().prop_map(|v| {
            let bits = Bits { length: 8, bytes: vec![v].into() };
            (DataType::Bits { length: Some(8), varying: false }, Value::Bits(bits))
        }),
        any::<u32>().prop_map(|v| (DataType::UInt32, Value::UInt32(v))),
        (any::<i64>(), -90_000i32..90_000).prop_map(|(value, offset_seconds)| {
            let time = Time { value, unit: TimeUnit::Nano };
            (DataType::TimeTz { precision: 6 }, Value::TimeTz(TimeTz { time, offset_seconds }))
        }),
        ".{0,12}".prop_map(|v| (DataType::Other { name: "shop.ltree".into() }, Value::text(v))),
    ];
    let nested = leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 1..3).prop_map(|fields| {
                let names = ["x", "y", "wkb"];
                let columns = fields.iter().zip(names);
                let schema = Schema::builder()
                    .fields(
                        columns
                            .map(|((data_type, _), name)| Field::optional(name, data_type.clone())),
                    )
                    .build()
                    .unwrap();
                let values = fields.into_iter().map(|(_, value)| value).collect();
                let row = Row::new(Arc::clone(&schema), values).unwrap();
                (DataType::Struct(schema), Value::Struct(row))
            }),
            inner.prop_map(|(data_type, value)| {
                let array = Array::new(vec![value, Value::Null]);
                let element = ValueType::optional(data_type);
                (DataType::Array(Arc::new(element)), Value::Array(Arc::new(array)))
            }),
        ]
    });
    // Elements of arrays of enums cannot be NULL in Debezium's schemas.
    let of_enum = ".{0,6}".prop_map(|v| {
        let labels = [v.as_str().into(), "ok".into()].into();
        (DataType::Enum { labels }, Value::text(v))
    });
    prop_oneof![20 => nested, 1 => of_enum]
}

#[derive(Debug, Clone)]
enum Given {
    Value(DataType, Value),
    Null(DataType),
    Unavailable(DataType),
}

fn column() -> impl Strategy<Value = Given> {
    prop_oneof![
        8 => typed_value().prop_map(|(data_type, value)| Given::Value(data_type, value)),
        1 => typed_value().prop_map(|(data_type, _)| Given::Null(data_type)),
        1 => typed_value().prop_map(|(data_type, _)| Given::Unavailable(data_type)),
    ]
}

fn row(columns: Vec<Given>) -> Row {
    let names = ["id", "a", "b", "payload", "d"];
    let mut fields = Vec::new();
    let mut values = Vec::new();
    for (name, column) in names.into_iter().zip(columns) {
        let (data_type, value) = match column {
            Given::Value(data_type, value) => (data_type, value),
            Given::Null(data_type) => (data_type, Value::Null),
            Given::Unavailable(data_type) => (data_type, Value::Unavailable),
        };
        fields.push(Field::optional(name, data_type));
        values.push(value);
    }
    let schema = Schema::builder()
        .table(TableId::new("public", "t"))
        .fields(fields)
        .key(["id"])
        .build()
        .unwrap();
    Row::new(schema, values).unwrap()
}

fn event(operation: Operation, row: Row) -> ChangeEvent {
    let mut origin = some_origin();
    Arc::make_mut(&mut origin.transaction).connector = "postgresql";
    let change = match operation {
        Operation::Read => Change::read(row),
        Operation::Update => Change::update(Some(row.clone()), row),
        Operation::Delete => Change::delete(row),
        Operation::Truncate => Change::truncate(Arc::clone(row.schema())),
        Operation::Table => Change::table(Arc::clone(row.schema())),
        Operation::Create => Change::create(row),
    };
    ChangeEvent::change(Destination::named("shop.public.t"), change, origin)
}

/// Every transform, with options that name columns of the row.
const TRANSFORMS: &[(&str, &str)] = &[
    ("Cast$Value", r#"{"spec": "a:int32,b:string,d:boolean"}"#),
    ("Cast$Key", r#"{"spec": "id:string"}"#),
    ("ExtractField$Value", r#"{"field": "a.x", "field.syntax.version": "V2"}"#),
    ("Flatten$Value", "{}"),
    (
        "HeaderFrom$Value",
        r#"{"fields": "a,b.x", "headers": "h,i", "operation": "move", "field.syntax.version": "V2"}"#,
    ),
    ("HoistField$Key", r#"{"field": "k"}"#),
    (
        "InsertField$Value",
        r#"{"topic.field": "t", "timestamp.field": "ts!", "partition.field": "p"}"#,
    ),
    ("MaskField$Value", r#"{"fields": "a,b,payload,d"}"#),
    (
        "MaskField$Value",
        r#"{"fields": "a,b.x", "replacement": "7.5", "field.syntax.version": "V2"}"#,
    ),
    (
        "ReplaceField$Value",
        r#"{"exclude": "a,b.y", "renames": "d:e", "field.syntax.version": "V2"}"#,
    ),
    ("SetSchemaMetadata$Value", r#"{"schema.name": "n", "schema.version": "3"}"#),
    (
        "TimestampConverter$Value",
        r#"{"field": "a", "target.type": "string", "format": "yyyy-MM-dd"}"#,
    ),
    ("TimestampConverter$Value", r#"{"field": "a", "target.type": "Date", "format": "yyyyMMdd"}"#),
    ("RegexRouter", r#"{"regex": "(.*)\\.(.*)", "replacement": "$2"}"#),
    ("TimestampRouter", "{}"),
    ("ValueToKey", r#"{"fields": "a,id"}"#),
    (
        "ExtractNewRecordState",
        r#"{"delete.tombstone.handling.mode": "rewrite", "add.fields": "op,lsn", "add.headers": "table"}"#,
    ),
    ("ExtractChangedRecordState", r#"{"header.changed.name": "c", "header.unchanged.name": "u"}"#),
    ("ByLogicalTableRouter", r#"{"topic.regex": "(.*)t", "topic.replacement": "$1u"}"#),
    ("ReadToInsertEvent", "{}"),
    ("HeaderToValue", r#"{"headers": "__table", "fields": "after.name", "operation": "copy"}"#),
    (
        "EventRouter",
        r#"{"table.field.event.key": "id", "route.by.field": "a", "table.expand.json.payload": "true"}"#,
    ),
    (
        "PartitionRouting",
        r#"{"partition.payload.fields": "change.a,change.b,source.lsn", "partition.topic.num": "7"}"#,
    ),
    (
        "PartitionRouting",
        r#"{"partition.payload.fields": "change.a", "partition.topic.num": "7", "partition.hash.function": "murmur"}"#,
    ),
    ("TimezoneConverter", r#"{"converted.timezone": "America/New_York"}"#),
    ("ExtractSchemaToNewRecord", "{}"),
    ("SchemaChangeEventFilter", r#"{"schema.change.event.exclude.list": "DROP"}"#),
    ("DecodeLogicalDecodingMessageContent", "{}"),
    ("VectorToJsonConverter", "{}"),
    ("GeometryFormatTransformer", "{}"),
    ("SwapGeometryCoordinates", "{}"),
    ("DropHeaders", r#"{"headers": "t"}"#),
    ("InsertHeader", r#"{"header": "t", "value.literal": "[1, {}]"}"#),
    ("ToLogicalTopicRouter", r#"{"topic.regex": "(.*)u", "topic.replacement": "$1v"}"#),
    ("Cast$Value", r#"{"field.types": "INT64:string,STRING:int8"}"#),
    ("MaskField$Value", r#"{"field.types": "STRING,MicroTimestamp"}"#),
    ("EnforceRecordSize", r#"{"max.bytes": "700", "min.field.size": "1"}"#),
];

fn transform(index: usize) -> Box<dyn Transform> {
    let (class, options) = TRANSFORMS[index % TRANSFORMS.len()];
    let properties: Properties = options.parse().unwrap();
    transform_of_class(class, &properties, &ConnectProfile::default()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn a_chain_never_panics(
        columns in proptest::collection::vec(column(), 5),
        operation in prop_oneof![
            Just(Operation::Create), Just(Operation::Update), Just(Operation::Delete),
            Just(Operation::Read), Just(Operation::Truncate), Just(Operation::Table),
        ],
        chain in proptest::collection::vec(0..TRANSFORMS.len(), 1..4),
        unwrapped in any::<bool>(),
    ) {
        let mut events = vec![event(operation, row(columns))];
        if unwrapped {
            let unwrap = TRANSFORMS.iter().position(|(class, _)| *class == "ExtractNewRecordState");
            let mut out = Vec::new();
            for event in events {
                let _ = transform(unwrap.unwrap()).apply(event, &mut out);
            }
            events = out;
        }
        for index in chain {
            let mut out = Vec::new();
            let mut transform = transform(index);
            for event in events {
                // An error of the record is an answer.
                let _ = transform.apply(event, &mut out);
            }
            events = out;
        }
        let mut json = JsonConverter::new(JsonOptions::default(), ConnectProfile::default()).unwrap();
        for event in &events {
            let _ = json.encode_value(event, cdc_core::connect::Processed::now(), &mut Vec::new());
            let _ = json.encode_key(event, cdc_core::connect::Processed::now(), &mut Vec::new());
        }
    }

    #[test]
    fn a_record_that_passes_untouched_is_the_same_bytes(
        columns in proptest::collection::vec(column(), 5),
    ) {
        let mut json = JsonConverter::new(JsonOptions::default(), ConnectProfile::default()).unwrap();
        let mut bytes = Vec::new();
        prop_assume!(json.encode(&Payload::row(row(columns)), &mut bytes).is_ok());
        let payload = json.decode(Some(&bytes)).unwrap();
        let event = ChangeEvent::new(
            Destination::named("t"), Payload::Absent, payload, some_origin(),
        );
        // None of these is for a row without an envelope.
        let mut events = vec![event];
        for class in ["ReadToInsertEvent", "ExtractChangedRecordState", "ExtractNewRecordState"] {
            let mut transform =
                transform_of_class(class, &Properties::new(), &ConnectProfile::default()).unwrap();
            let mut out = Vec::new();
            for event in events {
                transform.apply(event, &mut out).unwrap();
            }
            events = out;
        }
        let mut again = Vec::new();
        json.encode(&events[0].value, &mut again).unwrap();
        prop_assert_eq!(bytes, again);
    }
}
