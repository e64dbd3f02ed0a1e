//! The tables behind the golden records, and their rows as a source would give them.
//!
//! Rows are taken from the records of the default modes, which lose nothing that other modes show but the parts of
//! intervals; these and the texts of types that Debezium shows as structs stand here.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use cdc_core::connect::{ConnectProfile, JsonConverter, JsonOptions, Processed};
use cdc_core::value::{Decimal, Interval, Timestamp, Value};
use cdc_core::{
    Change, ChangeEvent, DataType, Destination, Field, LogicalMessage, NativeType, NetworkType,
    Operation, Origin, Payload, Row, Schema, SnapshotMark, TableId, TransactionId,
    TransactionMarker, TransactionOrigin, TransactionPlace, TransactionStatus, ValueType,
};
use serde_json::Value as Json;

use crate::records::{Record, records};

pub(crate) struct Rebuilt {
    pub(crate) event: ChangeEvent,
    pub(crate) processed: Processed,
}

/// The event that a record is of; `None` for tombstones and tables that are not here.
pub(crate) fn rebuild(file: &str, record: &Record) -> Option<Rebuilt> {
    let value: Json = serde_json::from_str(record.value.as_deref()?).unwrap();
    let payload = match value.get("payload") {
        Some(payload) if value.get("schema").is_some() => payload.clone(),
        _ => value,
    };
    if record.topic.ends_with(".transaction") {
        return Some(marker(record, &payload));
    }
    let source = &payload["source"];
    let place = payload["transaction"].as_object().map(|block| TransactionPlace {
        total_order: block["total_order"].as_u64().unwrap(),
        collection_order: block["data_collection_order"].as_u64().unwrap(),
    });
    let origin = origin(source, &payload["transaction"]);
    let processed = match payload["ts_ns"].as_i64() {
        Some(nanos) => Processed::at_nanos(nanos),
        None => Processed::at_nanos(payload["ts_ms"].as_i64().unwrap() * 1_000_000),
    };
    let destination = Destination::named(&record.topic);
    if payload["op"] == "m" {
        let mut content = Vec::new();
        let encoded = payload["message"]["content"].as_str().unwrap();
        decode_base64(encoded, &mut content);
        let message = LogicalMessage {
            prefix: payload["message"]["prefix"].as_str().unwrap().into(),
            content: content.into(),
            transactional: true,
            transaction: place,
        };
        let value = Payload::Message(message);
        let event = ChangeEvent::new(destination, Payload::Absent, value, origin);
        return Some(Rebuilt { event, processed });
    }
    let table = source["table"].as_str().unwrap();
    let schema = table_schema(table, payload["op"] == "r")?;
    let operation = match payload["op"].as_str().unwrap() {
        "r" => Operation::Read,
        "c" => Operation::Create,
        "u" => Operation::Update,
        "d" => Operation::Delete,
        _ => return None,
    };
    let images = images(file, record, table, &schema, &payload)?;
    let (before, after) = images;
    let change = Change { operation, schema, before, after, transaction: place, record_keys: None };
    Some(Rebuilt { event: ChangeEvent::change(destination, change, origin), processed })
}

fn marker(record: &Record, payload: &Json) -> Rebuilt {
    let tables = payload["data_collections"].as_array().into_iter().flatten().map(|entry| {
        let (schema, table) = entry["data_collection"].as_str().unwrap().split_once('.').unwrap();
        (Arc::new(TableId::new(schema, table)), entry["event_count"].as_u64().unwrap())
    });
    let ended = payload["status"] == "END";
    let marker = TransactionMarker {
        status: if ended { TransactionStatus::End } else { TransactionStatus::Begin },
        id: payload["id"].as_str().unwrap().into(),
        event_count: payload["event_count"].as_u64(),
        tables: tables.collect(),
    };
    let source = serde_json::json!({
        "ts_us": payload["ts_ms"].as_i64().unwrap() * 1_000, "lsn": 0, "snapshot": "false", "db": "golden_pg",
    });
    let event = ChangeEvent::new(
        Destination::named(&record.topic),
        Payload::Absent,
        Payload::Transaction(marker),
        origin(&source, &Json::Null),
    );
    Rebuilt { event, processed: Processed::at_nanos(0) }
}

fn origin(source: &Json, block: &Json) -> Origin {
    let sequence: Json = serde_json::from_str(source["sequence"].as_str().unwrap_or("[]")).unwrap();
    let id_lsn = block["id"].as_str().and_then(|id| id.split_once(':')).map(|(_, lsn)| lsn);
    let transaction = TransactionOrigin {
        connector: "postgresql",
        database: source["db"].as_str().unwrap().into(),
        id: source["txId"].as_u64().map(|id| TransactionId::Xid(u32::try_from(id).unwrap())),
        commit_time_us: source["ts_us"].as_i64(),
        position: [id_lsn.map_or(0, |lsn| lsn.parse().unwrap()), 0],
        previous_commit: sequence[0].as_str().map(|lsn| lsn.parse().unwrap()),
        replicated_from: None,
    };
    let table = source["table"].as_str().filter(|table| !table.is_empty());
    Origin {
        transaction: Arc::new(transaction),
        index: 0,
        log_position: source["lsn"].as_u64().unwrap(),
        table: table.map(|table| Arc::new(TableId::new(source["schema"].as_str().unwrap(), table))),
        snapshot: match source["snapshot"].as_str().unwrap() {
            "first" => SnapshotMark::First,
            "first_in_data_collection" => SnapshotMark::FirstInTable,
            "true" => SnapshotMark::Row,
            "last_in_data_collection" => SnapshotMark::LastInTable,
            "last" => SnapshotMark::Last,
            _ => SnapshotMark::No,
        },
        shown_by_snapshot: false,
        batch: 0,
        place: 0,
    }
}

type Images = (Option<Row>, Option<Row>);

fn images(
    file: &str,
    record: &Record,
    table: &str,
    schema: &Arc<Schema>,
    payload: &Json,
) -> Option<Images> {
    if file.starts_with("types/") {
        let id = payload["after"]["id"]
            .as_i64()
            .or(payload["after"]["Key Col"].as_i64())
            .or(payload["after"]["Key_Col"].as_i64())?;
        // The default modes' file has every row of the stream; those of the snapshot differ by 1000 in their id.
        let known = default_rows()
            .get(&(table.to_owned(), id))
            .or_else(|| default_rows().get(&(table.to_owned(), id + 1_000)));
        let mut row = native(table, schema, known?, &payload["after"]);
        row.set(0, Value::Int32(i32::try_from(id).unwrap()));
        // An identity column counts on.
        if let Some(count) = payload["after"]["h"].as_i64().filter(|_| table == "t_default") {
            row.set(8, Value::Int32(i32::try_from(count).unwrap()));
        }
        return Some((None, Some(row)));
    }
    let mut converter =
        JsonConverter::new(JsonOptions::default(), ConnectProfile::default()).unwrap();
    let read = converter.decode(Some(record.value.as_ref()?.as_bytes())).unwrap();
    let envelope = read.as_row()?;
    let image = |name: &str| match envelope.by_name(name)?.to_value() {
        Value::Struct(row) => Some(native(table, schema, &row, &payload[name])),
        _ => None,
    };
    let (mut before, mut after) = (image("before"), image("after"));
    // Without a full identity the server sent the key alone.
    if let Some(before) = before.as_mut().filter(|_| matches!(table, "customers")) {
        for index in 0..before.len() {
            if !schema.is_key(index) {
                before.set(index, Value::Unavailable);
            }
        }
    }
    if let Some(after) = after.as_mut().filter(|_| table == "toast") {
        for index in 0..after.len() {
            let shown = &payload["after"][&*schema.fields()[index].name];
            let text = shown.as_str().or(shown[0].as_str()).unwrap_or_default();
            if matches!(
                text,
                "__debezium_unavailable_value" | "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="
            ) {
                after.set(index, Value::Unavailable);
            }
        }
    }
    Some((before, after))
}

/// The rows of the default modes by table and id.
fn default_rows() -> &'static HashMap<(String, i64), Row> {
    static ROWS: OnceLock<HashMap<(String, i64), Row>> = OnceLock::new();
    ROWS.get_or_init(|| {
        let mut converter =
            JsonConverter::new(JsonOptions::default(), ConnectProfile::default()).unwrap();
        let mut rows = HashMap::new();
        for record in records("types/default") {
            let read = converter.decode(record.value.as_deref().map(str::as_bytes)).unwrap();
            let Some(Value::Struct(after)) =
                read.as_row().and_then(|e| e.by_name("after")).map(|v| v.to_value())
            else {
                continue;
            };
            let Some(Value::Struct(source)) =
                read.as_row().and_then(|e| e.by_name("source")).map(|v| v.to_value())
            else {
                continue;
            };
            let Some(Value::Text(table)) = source.by_name("table").map(|t| t.to_value()) else {
                continue;
            };
            if let Some(Value::Int32(id)) = after.value(0) {
                rows.insert((table.to_string(), i64::from(id)), after);
            }
        }
        rows
    })
}

/// A row that was read under the schema that the source gives it.
fn native(table: &str, schema: &Arc<Schema>, read: &Row, shown: &Json) -> Row {
    let values = schema.fields().iter().map(|field| {
        let name = &*field.name;
        if (table, name) == ("t_text", "n") {
            // Debezium loses columns of type name on the stream.
            return shown[name].as_str().map_or(Value::Null, Value::text);
        }
        let Some(value) = read.by_name(name).map(|value| value.to_value()) else {
            // Types that are only shown with include.unknown.datatypes, as the hex of their text.
            return shown[name].as_str().map_or(Value::Null, |hex| Value::text(unhex(hex)));
        };
        if value.is_null() {
            return value;
        }
        match (table, name, value) {
            // Debezium leaves zeros at the end out of a VariableScaleDecimal, not out of a text.
            ("t_number", "n", Value::Decimal(number)) if number.to_string() == "12.345" => {
                Value::Decimal("12.3450".parse().unwrap())
            }
            ("t_time", "iv", Value::Interval(Interval::Span { micros, .. })) => interval(micros),
            (_, _, Value::Decimal(amount)) if is_other(field, "money") => {
                Value::text(format!("${amount}").replace("$-", "-$"))
            }
            (_, "hs", Value::Text(json)) => Value::text(hstore(&json)),
            (_, _, Value::Struct(point)) => {
                let (x, y) = (point.value(0).unwrap(), point.value(1).unwrap());
                match (x, y) {
                    (Value::Float64(x), Value::Float64(y)) => Value::text(format!("({x},{y})")),
                    _ => Value::Null,
                }
            }
            (_, "o", Value::Int64(oid)) => Value::UInt32(u32::try_from(oid).unwrap()),
            (_, "b1", Value::Bool(bit)) => Value::Bits(cdc_core::value::Bits {
                length: 1,
                bytes: vec![u8::from(bit) << 7].into(),
            }),
            // A timestamp of the source is in microseconds.
            (_, _, Value::Timestamp(at)) => Value::Timestamp(Timestamp::micros(
                at.to_unit(cdc_core::value::TimeUnit::Micro).unwrap(),
            )),
            (_, _, value) => value,
        }
    });
    Row::new(Arc::clone(schema), values.collect()).unwrap()
}

fn is_other(field: &Field, wanted: &str) -> bool {
    matches!(field.data_type(), DataType::Other { name } if &**name == wanted)
}

/// The intervals of the rows, whose months and days microseconds do not tell.
fn interval(micros: i64) -> Value {
    Value::Interval(match micros {
        37_091_106_780_000 => Interval::Span { months: 14, days: 3, micros: 14_706_780_000 },
        -3_061_799_999_999 => Interval::Span { months: -1, days: -5, micros: 1 },
        micros => Interval::Span { months: 0, days: 0, micros },
    })
}

fn hstore(json: &str) -> String {
    let entries: Json = serde_json::from_str(json).unwrap();
    let shown = entries.as_object().unwrap().iter().map(|(key, value)| match value.as_str() {
        Some(text) => format!("\"{key}\"=>\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
        None => format!("\"{key}\"=>NULL"),
    });
    shown.collect::<Vec<_>>().join(", ")
}

fn unhex(text: &str) -> String {
    let bytes = text
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap());
    String::from_utf8(bytes.collect()).unwrap()
}

fn decode_base64(text: &str, out: &mut Vec<u8>) {
    let record = format!("{{\"schema\":{{\"type\":\"bytes\"}},\"payload\":\"{text}\"}}");
    let mut converter =
        JsonConverter::new(JsonOptions::default(), ConnectProfile::default()).unwrap();
    if let Payload::Value { value: Value::Bytes(bytes), .. } =
        converter.decode(Some(record.as_bytes())).unwrap()
    {
        out.extend_from_slice(&bytes);
    }
}

/// A column: its name, type, SQL name; `!` behind the SQL name: NOT NULL.
type Column = (&'static str, DataType, &'static str);

fn numeric(precision: u32, scale: i32) -> DataType {
    DataType::Decimal { precision: Some(precision), scale: Some(scale) }
}

fn other(name: &str) -> DataType {
    DataType::Other { name: name.into() }
}

fn varchar(length: u32) -> DataType {
    DataType::Text { max_length: Some(length), fixed: false }
}

fn bits(length: Option<u32>, varying: bool) -> DataType {
    DataType::Bits { length, varying }
}

fn mood() -> DataType {
    DataType::Enum { labels: ["sad", "ok", "very, happy"].map(Into::into).into() }
}

fn array(element: DataType) -> DataType {
    DataType::Array(Arc::new(ValueType::optional(element)))
}

#[allow(clippy::too_many_lines)]
fn columns(table: &str) -> Option<Vec<Column>> {
    use DataType as D;
    let ts = |precision| D::Timestamp { precision };
    let tz = |precision| D::TimestampTz { precision };
    Some(match table {
        "zz_done" => vec![("id", D::Int32, "integer!")],
        "Odd Names" => vec![
            ("Key Col", D::Int32, "integer!"),
            ("weird.col", D::TEXT, "text"),
            ("ünï", D::TEXT, "text"),
            ("select", D::Int32, "integer"),
        ],
        "t_number" => vec![
            ("id", D::Int32, "integer!"),
            ("i2", D::Int16, "smallint"),
            ("i4", D::Int32, "integer"),
            ("i8", D::Int64, "bigint"),
            ("f4", D::Float32, "real"),
            ("f8", D::Float64, "double precision"),
            ("b", D::Bool, "boolean"),
            ("o", D::UInt32, "oid"),
            ("n", D::DECIMAL, "numeric"),
            ("n52", numeric(5, 2), "numeric(5,2)"),
            ("n20", numeric(20, 0), "numeric(20,0)"),
            ("n38", numeric(38, 10), "numeric(38,10)"),
            ("m", other("money"), "money"),
            ("nn_i4", D::Int32, "integer!"),
            ("nn_n", numeric(6, 3), "numeric(6,3)!"),
            ("d_pos", D::Int32, "posint(10)"),
            ("d_small", D::Int32, "small_posint(10)"),
            ("d_price", numeric(8, 2), "price(8,2)"),
        ],
        "t_text" => vec![
            ("id", D::Int32, "integer!"),
            ("t", D::TEXT, "text"),
            ("v", varchar(40), "character varying(40)"),
            ("c", D::Text { max_length: Some(6), fixed: true }, "character(6)"),
            ("n", D::TEXT, "name"),
            ("ch", D::TEXT, "\"char\""),
            ("ci", other("citext"), "citext"),
            ("x", D::Xml, "xml"),
            ("u", D::Uuid, "uuid"),
            ("j", D::Json, "json"),
            ("jb", D::Json, "jsonb"),
            ("e", mood(), "mood"),
            ("lt", other("ltree"), "ltree"),
            ("tsv", other("tsvector"), "tsvector"),
            ("tsq", other("tsquery"), "tsquery"),
            ("isbn", other("isbn"), "isbn"),
            ("nn_t", D::TEXT, "text!"),
            ("nn_e", mood(), "mood!"),
            ("hs", other("public.hstore"), "hstore"),
        ],
        "t_bytes" => vec![
            ("id", D::Int32, "integer!"),
            ("by", D::BYTES, "bytea"),
            ("b1", bits(Some(1), false), "bit(1)"),
            ("b7", bits(Some(7), false), "bit(7)"),
            ("b24", bits(Some(24), false), "bit(24)"),
            ("vb", bits(None, true), "bit varying"),
            ("vb5", bits(Some(5), true), "bit varying(5)"),
            ("nn_by", D::BYTES, "bytea!"),
        ],
        "t_time" => vec![
            ("id", D::Int32, "integer!"),
            ("d", D::Date, "date"),
            ("t", D::Time { precision: 6 }, "time without time zone"),
            ("t3", D::Time { precision: 3 }, "time(3) without time zone"),
            ("ttz", D::TimeTz { precision: 6 }, "time with time zone"),
            ("ts", ts(6), "timestamp without time zone"),
            ("ts0", ts(0), "timestamp(0) without time zone"),
            ("ts3", ts(3), "timestamp(3) without time zone"),
            ("tz", tz(6), "timestamp with time zone"),
            ("tz3", tz(3), "timestamp(3) with time zone"),
            ("iv", D::Interval, "interval"),
            ("nn_ts", ts(6), "timestamp without time zone!"),
            ("nn_tz", tz(6), "timestamp with time zone!"),
            ("nn_d", D::Date, "date!"),
        ],
        "t_net" => vec![
            ("id", D::Int32, "integer!"),
            ("ip", D::Network(NetworkType::Inet), "inet"),
            ("ci", D::Network(NetworkType::Cidr), "cidr"),
            ("ma", D::Network(NetworkType::MacAddr), "macaddr"),
            ("ma8", D::Network(NetworkType::MacAddr8), "macaddr8"),
            ("p", other("point"), "point"),
            ("i4r", other("int4range"), "int4range"),
            ("nr", other("numrange"), "numrange"),
            ("tsr", other("tsrange"), "tsrange"),
            ("tzr", other("tstzrange"), "tstzrange"),
            ("dr", other("daterange"), "daterange"),
        ],
        "t_array" => vec![
            ("id", D::Int32, "integer!"),
            ("a_i4", array(D::Int32), "integer[]"),
            ("a_i8", array(D::Int64), "bigint[]"),
            ("a_t", array(D::TEXT), "text[]"),
            ("a_v", array(varchar(5)), "character varying(5)[]"),
            ("a_b", array(D::Bool), "boolean[]"),
            ("a_f8", array(D::Float64), "double precision[]"),
            ("a_n", array(numeric(6, 2)), "numeric(6,2)[]"),
            ("a_d", array(D::Date), "date[]"),
            ("a_ts", array(ts(6)), "timestamp without time zone[]"),
            ("a_tz", array(tz(6)), "timestamp with time zone[]"),
            ("a_u", array(D::Uuid), "uuid[]"),
            ("a_j", array(D::Json), "jsonb[]"),
            ("a_e", array(mood()), "mood[]"),
            ("a_by", array(D::BYTES), "bytea[]"),
            ("a_ip", array(D::Network(NetworkType::Inet)), "inet[]"),
        ],
        "t_other" => vec![
            ("id", D::Int32, "integer!"),
            ("comp", other("address"), "address"),
            ("mr", other("int4multirange"), "int4multirange"),
            ("lsn", other("pg_lsn"), "pg_lsn"),
            ("bx", other("box"), "box"),
            ("ci", other("circle"), "circle"),
            ("pa", other("path"), "path"),
            ("po", other("polygon"), "polygon"),
            ("li", other("line"), "line"),
            ("ls", other("lseg"), "lseg"),
        ],
        "t_default" => vec![
            ("id", D::Int32, "serial!"),
            ("a", D::Int32, "integer"),
            ("b", D::TEXT, "text"),
            ("c", D::Bool, "boolean"),
            ("d", numeric(5, 2), "numeric(5,2)"),
            ("e", tz(6), "timestamp with time zone"),
            ("f", D::Uuid, "uuid"),
            ("g", array(D::TEXT), "text[]"),
            ("h", D::Int32, "integer!"),
            ("i", D::Float64, "double precision"),
            ("j", D::Text { max_length: Some(3), fixed: true }, "character(3)"),
            ("k", D::BYTES, "bytea"),
            ("l", D::Date, "date"),
        ],
        "customers" => vec![
            ("id", D::Int32, "integer!"),
            ("name", D::TEXT, "text!"),
            ("email", varchar(80), "character varying(80)"),
            ("age", D::Int32, "integer!"),
            ("note", D::TEXT, "text"),
        ],
        "customers_full" => vec![
            ("id", D::Int32, "integer!"),
            ("name", D::TEXT, "text!"),
            ("email", varchar(80), "character varying(80)"),
            ("note", D::TEXT, "text"),
        ],
        "keyless" => vec![("x", D::Int32, "integer"), ("y", D::TEXT, "text")],
        "toast" => vec![
            ("id", D::Int32, "integer!"),
            ("small", D::Int32, "integer"),
            ("big", D::TEXT, "text"),
            ("big2", D::TEXT, "text!"),
            ("bin", D::BYTES, "bytea"),
            ("arr", array(D::TEXT), "text[]"),
        ],
        _ => return None,
    })
}

/// The defaults as Debezium shows them, its inventions for functions among them.
fn default(table: &str, column: &str) -> Option<Value> {
    let decimal = |text: &str| Value::Decimal(text.parse::<Decimal>().unwrap());
    Some(match (table, column) {
        ("t_number", "nn_i4") => 7i32.into(),
        ("t_number", "nn_n") => decimal("1.500"),
        ("t_text", "nn_t") => "dflt".into(),
        ("t_text", "nn_e") => "ok".into(),
        ("t_bytes", "nn_by") => Value::Bytes(vec![0, 255].into()),
        ("t_time", "nn_ts" | "nn_tz") => Timestamp::micros(1_582_979_696_789_012).into(),
        ("t_time", "nn_d") => cdc_core::value::Date::Days(18_321).into(),
        ("t_default", "id") | ("customers", "age") => 0i32.into(),
        ("t_default", "a") => 5i32.into(),
        ("t_default", "b") => "it".into(),
        ("t_default", "c") => true.into(),
        ("t_default", "d") => decimal("9.99"),
        ("t_default", "e") => Timestamp::micros(0).into(),
        ("t_default", "f") => cdc_core::value::Uuid([0; 16]).into(),
        ("t_default", "i") => 1e10.into(),
        ("t_default", "j") => "xy".into(),
        ("t_default", "l") => cdc_core::value::Date::Days(11_356).into(),
        ("toast", "big2") => "".into(),
        _ => return None,
    })
}

/// A serial column is one in the snapshot and an integer on the stream.
fn table_schema(table: &str, snapshot: bool) -> Option<Arc<Schema>> {
    let columns = columns(table)?;
    let key = (table != "keyless").then(|| columns[0].0);
    let fields = columns.into_iter().map(|(name, data_type, native)| {
        let required = native.ends_with('!');
        let mut field = if required {
            Field::required(name, data_type)
        } else {
            Field::optional(name, data_type)
        };
        field.value_type.default = default(table, name);
        let name = match native.trim_end_matches('!') {
            "serial" if !snapshot => "integer".into(),
            name => name.into(),
        };
        field.native = Some(NativeType { name, length: None, scale: None });
        field
    });
    Schema::builder().table(TableId::new("public", table)).fields(fields).key(key).build().ok()
}
