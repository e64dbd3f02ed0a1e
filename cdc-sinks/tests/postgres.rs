//! What the PostgreSQL sink does with events, seen by SQL on a real server.
#![cfg(feature = "postgres")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where something is not as it should be"
)]

mod behaviours;
#[path = "../../cdc-pgconn/tests/server/database.rs"]
mod database;
mod feed;

use std::time::Duration;

use behaviours::Target as _;
use cdc_core::{DataType, ErrorKind, Field, NativeType, Sink, Value, ValueType};
use cdc_sinks::{PostgresSink, TableName, TableNames};
use database::TestDatabase;
use feed::*;

struct Target {
    sink: PostgresSink,
    database: TestDatabase,
}

impl Target {
    /// The rows of a query as text, values parted by `|`, NULL as `~`.
    async fn rows(&self, query: &str) -> Vec<String> {
        use tokio_postgres::SimpleQueryMessage::Row;
        let answers = self.database.sql.simple_query(query).await.unwrap();
        answers
            .iter()
            .filter_map(|answer| match answer {
                Row(row) => Some(
                    (0..row.len())
                        .map(|at| row.get(at).unwrap_or("~"))
                        .collect::<Vec<_>>()
                        .join("|"),
                ),
                _ => None,
            })
            .collect()
    }

    async fn execute(&self, sql: &str) {
        self.database.run(sql).await;
    }
}

impl behaviours::Target for Target {
    type Sink = PostgresSink;

    fn sink(&mut self) -> &mut PostgresSink {
        &mut self.sink
    }

    fn another_sink(&self) -> PostgresSink {
        PostgresSink::builder(&self.database.url).build().unwrap()
    }

    async fn orders(&self) -> Vec<String> {
        self.rows("SELECT id, note, document FROM orders ORDER BY id").await
    }

    async fn log(&self) -> Vec<String> {
        self.rows("SELECT level, line FROM log ORDER BY level, line").await
    }
}

/// A database of its own, made ready by these statements, with a loaded sink.
async fn target_with(sql: &str) -> Target {
    let database = TestDatabase::create().await;
    database.run(sql).await;
    let mut sink = PostgresSink::builder(&database.url).build().unwrap();
    assert_eq!(load(&mut sink).await.unwrap(), None);
    Target { sink, database }
}

async fn target() -> Target {
    target_with("").await
}

behaviours::behaviours!();

#[tokio::test]
async fn an_announced_table_exists_though_it_is_empty_in_the_schema_of_the_source() {
    let mut target = target().await;
    let items = table(
        "Shop.order \"items\"",
        &["line", "order"],
        vec![
            Field::required("order", DataType::Int32),
            Field::optional("price", DataType::Decimal { precision: Some(10), scale: Some(2) }),
            Field::required("line", DataType::Int32),
        ],
    );
    target.commit(1, vec![orders().announce(), log().announce(), items.announce()]).await.unwrap();
    let tables = target
        .rows("SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('public', 'Shop') ORDER BY 1, 2")
        .await;
    assert_eq!(
        tables,
        ["Shop|order \"items\"", "public|cdc_offsets", "public|log", "public|orders"]
    );
    let key = target
        .rows("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = '\"Shop\".\"order \"\"items\"\"\"'::regclass AND contype = 'p'")
        .await;
    assert_eq!(key, ["PRIMARY KEY (line, \"order\")"]);
    let row = items.create([1i32.into(), Value::Null, 2i32.into()]);
    target.commit(2, vec![row]).await.unwrap();
    assert_eq!(target.rows("SELECT * FROM \"Shop\".\"order \"\"items\"\"\"").await, ["1|~|2"]);
}

#[tokio::test]
async fn a_key_that_changes_in_form_alone_keeps_its_row() {
    let mut target = target().await;
    let t = table(
        "rates",
        &["rate"],
        vec![
            Field::required("rate", DataType::DECIMAL),
            Field::optional("document", DataType::TEXT),
        ],
    );
    let rate = |text: &str| Value::Decimal(text.parse().unwrap());
    target.commit(1, vec![t.create([rate("1.0"), "long".into()])]).await.unwrap();
    target.commit(2, vec![t.update_from([rate("1.0"), GONE], [rate("1.00"), GONE])]).await.unwrap();
    assert_eq!(target.rows("SELECT * FROM rates").await, ["1.00|long"]);
}

#[tokio::test]
async fn delete_and_insert_of_a_key_leave_nothing_of_the_old_row() {
    let mut target = target_with(
        "CREATE TABLE orders (id bigint PRIMARY KEY, note text, document text, own text)",
    )
    .await;
    let t = orders();
    target.commit(1, vec![t.create([1i64.into(), "a".into(), "x".into()])]).await.unwrap();
    target.execute("UPDATE orders SET own = 'kept'").await;
    target.commit(2, vec![t.update([1i64.into(), "b".into(), "y".into()])]).await.unwrap();
    assert_eq!(target.rows("SELECT note, own FROM orders").await, ["b|kept"]);
    let events =
        vec![t.delete([1i64.into(), GONE, GONE]), t.create([1i64.into(), "c".into(), Value::Null])];
    target.commit(3, events).await.unwrap();
    assert_eq!(target.rows("SELECT note, document, own FROM orders").await, ["c|~|~"]);
}

#[tokio::test]
async fn rows_without_a_key_are_told_apart_by_values_that_have_no_equality() {
    let mut target = target().await;
    let (all, rows, _) = all_types();
    let fields: Vec<Field> = all.0.fields().to_vec();
    let keyless = table("all_types", &[], fields);
    let events = rows.iter().map(|row| keyless.create(row.clone())).collect();
    target.commit(1, events).await.unwrap();
    let mut after = rows[0].clone();
    after[0] = 10i64.into();
    let events = vec![keyless.update_from(rows[0].clone(), after), keyless.delete(rows[1].clone())];
    target.commit(2, events).await.unwrap();
    assert_eq!(target.rows("SELECT id FROM all_types ORDER BY id").await, ["2", "10"]);
}

#[tokio::test]
async fn an_added_column_follows_with_its_constant_default_and_a_type_is_widened() {
    let mut target = target().await;
    let t = table(
        "orders",
        &["id"],
        vec![
            Field::required("id", DataType::Int32),
            Field::optional("note", DataType::Text { max_length: Some(3), fixed: false }),
        ],
    );
    target.commit(1, vec![t.create([1i32.into(), "abc".into()])]).await.unwrap();
    let wider = table(
        "orders",
        &["id"],
        vec![
            Field::required("id", DataType::Int64),
            Field::optional("note", DataType::TEXT),
            Field::new("rank", ValueType::required(DataType::Int32).with_default(7i32.into())),
        ],
    );
    let events = vec![
        wider.announce(),
        wider.create([i64::MAX.into(), "longer than three".into(), 1i32.into()]),
        wider.announce(),
    ];
    target.commit(2, events).await.unwrap();
    let rows = target.rows("SELECT * FROM orders ORDER BY id").await;
    assert_eq!(rows, ["1|abc|7", "9223372036854775807|longer than three|1"]);
    // A dropped column stays, and is empty in rows that come later.
    target.execute("ALTER TABLE orders ALTER COLUMN rank SET NOT NULL").await;
    target.commit(3, vec![t.announce(), t.create([3i32.into(), "c".into()])]).await.unwrap();
    assert_eq!(target.rows("SELECT rank FROM orders WHERE id = 3").await, ["~"]);
}

#[tokio::test]
async fn the_offset_is_committed_with_the_rows_and_an_older_instance_is_fenced() {
    let mut target = target().await;
    let t = orders();
    target.commit(7, vec![t.create([1i64.into(), "a".into(), Value::Null])]).await.unwrap();
    let mut second = target.another_sink();
    assert_eq!(load(&mut second).await.unwrap(), Some(offset(7)));
    let events = vec![t.create([2i64.into(), "late".into(), Value::Null])];
    let error = target.commit(8, events).await.unwrap_err();
    assert_error(&error, ErrorKind::Fenced, &["postgres://", "\"copy\"", "taken over"]);
    assert_error(&target.commit(8, vec![]).await.unwrap_err(), ErrorKind::Fenced, &[]);
    assert_eq!(target.orders().await, ["1|a|~"]);
    commit(&mut second, 9, vec![]).await.unwrap();
    assert_eq!(load(&mut second).await.unwrap(), Some(offset(9)));
    second.transactional().unwrap().forget("copy").await.unwrap();
    assert_eq!(load(&mut target.sink).await.unwrap(), None);
    assert!(commit(&mut second, 10, vec![]).await.is_err());
    second.close().await.unwrap();
}

#[tokio::test]
async fn an_instance_that_was_stopped_in_a_transaction_does_not_hold_up_the_next() {
    let target = target().await;
    let stopped = target.database.session().await;
    stopped.batch_execute("BEGIN; UPDATE cdc_offsets SET epoch = epoch").await.unwrap();
    let mut second = target.another_sink();
    let loaded = tokio::time::timeout(Duration::from_secs(5), load(&mut second)).await;
    assert_eq!(loaded.unwrap().unwrap(), None);
    commit(&mut second, 1, vec![]).await.unwrap();
    assert!(stopped.batch_execute("COMMIT").await.is_err());
}

#[tokio::test]
async fn a_batch_that_fails_leaves_neither_rows_nor_offset() {
    let mut target =
        target_with("CREATE TABLE log (level integer CHECK (level < 5), line text)").await;
    let (t, l) = (orders(), log());
    let mut events = vec![t.announce(), l.create([9i32.into(), "too high".into()])];
    events.extend((0..100).map(|id| t.create([id.into(), "a".into(), Value::Null])));
    let error = target.commit(1, events).await.unwrap_err();
    assert_error(
        &error,
        ErrorKind::Data,
        &["table public.log", "check constraint", "23514", "drop the constraint"],
    );
    assert_eq!(target.rows("SELECT to_regclass('public.orders')").await, ["~"]);
    assert_eq!(load(&mut target.sink).await.unwrap(), None);
    target.commit(2, vec![t.create([1i64.into(), "a".into(), Value::Null])]).await.unwrap();
    assert_eq!(target.orders().await, ["1|a|~"]);
}

#[tokio::test]
async fn what_does_not_fit_is_an_error_that_names_it_and_the_remedy() {
    let mut target = target_with(
        "CREATE TABLE orders (id bigint PRIMARY KEY, note integer, document text);
         CREATE TABLE items (id bigint, note text, document text);
         CREATE TABLE partly (id bigint, note text, document text);
         CREATE UNIQUE INDEX ON partly (id) WHERE id > 0",
    )
    .await;
    let error = target.commit(1, vec![orders().announce()]).await.unwrap_err();
    let words = ["public.orders", "\"note\"", "integer", "text", "ALTER COLUMN \"note\" TYPE text"];
    assert_error(&error, ErrorKind::Configuration, &words);
    for name in ["items", "partly"] {
        let items = table(name, &["id"], order_fields());
        let error = target.commit(1, vec![items.announce()]).await.unwrap_err();
        let statement = format!("ALTER TABLE \"public\".\"{name}\" ADD PRIMARY KEY (\"id\")");
        assert_error(&error, ErrorKind::Configuration, &[name, &statement]);
    }
    let long = table(&"t".repeat(64), &["id"], order_fields());
    let error = target.commit(1, vec![long.announce()]).await.unwrap_err();
    assert_error(&error, ErrorKind::Configuration, &["64 bytes", "63", ".table_names("]);
    let t = table("texts", &["id"], order_fields());
    let error = target
        .commit(1, vec![t.create([1i64.into(), "a\0b".into(), Value::Null])])
        .await
        .unwrap_err();
    assert_error(&error, ErrorKind::Data, &["texts", "\"note\"", "code 0"]);
}

#[tokio::test]
async fn two_source_tables_with_one_target_name_are_an_error_that_names_both() {
    let target = target().await;
    let (a, b) =
        (table("public.log", &["id"], order_fields()), table("shop.log", &["id"], order_fields()));
    let names = TableNames::by(|destination| {
        TableName::in_schema("copy", destination.schema_and_table().1)
    });
    let mut sink = PostgresSink::builder(&target.database.url).table_names(names).build().unwrap();
    load(&mut sink).await.unwrap();
    let error = commit(&mut sink, 1, vec![a.announce(), b.announce()]).await.unwrap_err();
    assert_error(
        &error,
        ErrorKind::Configuration,
        &["public.log and shop.log", "copy.log", ".table_names("],
    );
}

#[tokio::test]
async fn every_type_arrives_as_the_same_value() {
    let mut target = target().await;
    let (t, rows, _) = all_types();
    let mut events = vec![t.announce()];
    events.extend(rows.into_iter().map(|row| t.create(row)));
    target.commit(1, events).await.unwrap();
    let wanted = [
        ("bool", "boolean", ["t", "f", "~"]),
        ("int16", "smallint", ["-32768", "32767", "~"]),
        ("int32", "integer", ["-2147483648", "2147483647", "~"]),
        ("int64", "bigint", ["-9223372036854775808", "9223372036854775807", "~"]),
        ("uint64", "numeric(20,0)", ["18446744073709551615", "0", "~"]),
        ("float32", "real", ["0.1", "NaN", "-Infinity"]),
        ("float64", "double precision", ["2.2250738585072014e-308", "NaN", "Infinity"]),
        ("numeric", "numeric", ["12345678901234567890123456789.1000", "NaN", "-0.10"]),
        ("money2", "numeric(10,2)", ["99999999.99", "0.00", "~"]),
        ("text", "text", ["it's \"ö\" \\ {,}", "", "NULL"]),
        ("varchar", "character varying(5)", ["abcde", "007", "~"]),
        ("bytes", "bytea", ["\\x00ff616263", "\\x", "~"]),
        ("bits", "bit varying(10)", ["1010000001", "", "~"]),
        ("date", "date", ["2024-02-29", "infinity", "0222-09-04 BC"]),
        ("time", "time without time zone", ["24:00:00", "00:00:00.000001", "~"]),
        ("timetz", "time with time zone", ["00:00:01.5-05:30", "00:00:00+00", "~"]),
        (
            "timestamp",
            "timestamp without time zone",
            ["1969-12-31 23:59:59.999999", "-infinity", "0028-08-11 08:00:00 BC"],
        ),
        (
            "timestamptz",
            "timestamp with time zone",
            ["2024-02-29 00:00:00.5+00", "infinity", "0028-08-11 08:00:00+00 BC"],
        ),
        ("interval", "interval", ["-1 years -2 mons +3 days -01:00:00.5", "00:00:00", "~"]),
        ("uuid", "uuid", ["abababab-abab-abab-abab-abababababab", "~", "~"]),
        ("json", "json", ["{\"b\":1,  \"a\":2}", "null", "~"]),
        ("mood", "text", ["sad", "ok", "~"]),
        ("inet", "inet", ["10.0.0.1/24", "::1", "~"]),
        ("ints", "integer[]", ["{1,NULL}", "[0:1][1:2]={{1,2},{3,4}}", "{}"]),
        ("texts", "text[]", ["{\"NULL\",\"a\\\"b\\\\c,{}\",\"\",NULL}", "~", "~"]),
        ("point", "text", ["(1,2)", "~", "~"]),
    ];
    for (column, data_type, values) in wanted {
        let query = format!("SELECT \"{column}\" FROM all_types ORDER BY id");
        assert_eq!(target.rows(&query).await, values, "{column}");
        let query = format!(
            "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'all_types'::regclass AND attname = '{column}'"
        );
        assert_eq!(target.rows(&query).await, [data_type], "{column}");
    }
}

#[tokio::test]
async fn a_table_that_a_user_made_is_used_with_what_it_has_of_its_own() {
    let mut target = target_with(
        "CREATE TYPE mood AS ENUM ('sad', 'ok');
         CREATE TABLE people (id bigint GENERATED ALWAYS AS IDENTITY, note varchar(50), mood mood,
            doc jsonb, shout text GENERATED ALWAYS AS (upper(note)) STORED, seen timestamptz NOT NULL DEFAULT now());
         CREATE UNIQUE INDEX ON people (id)"
    ).await;
    let mut mood =
        Field::optional("mood", DataType::Enum { labels: vec!["sad".into(), "ok".into()].into() });
    mood.native = Some(NativeType { name: "shop.mood".into(), length: None, scale: None });
    let mut doc = Field::optional("doc", DataType::Json);
    doc.native = Some(NativeType { name: "jsonb".into(), length: None, scale: None });
    let people = table(
        "people",
        &["id"],
        vec![
            Field::required("id", DataType::Int64),
            Field::optional("note", DataType::Text { max_length: Some(20), fixed: false }),
            mood,
            doc,
            Field::optional("shout", DataType::TEXT),
        ],
    );
    let row =
        |note: &str| [5i64.into(), note.into(), "ok".into(), "{\"b\": 1}".into(), "ignored".into()];
    target.commit(1, vec![people.announce(), people.create(row("hi"))]).await.unwrap();
    target.commit(2, vec![people.update(row("ho"))]).await.unwrap();
    let rows = target.rows("SELECT id, note, mood, doc, shout FROM people").await;
    assert_eq!(rows, ["5|ho|ok|{\"b\": 1}|HO"]);
}

#[tokio::test]
async fn what_is_too_long_for_a_column_is_an_error_and_is_never_cut() {
    let mut target = target().await;
    let t = table(
        "short",
        &["id"],
        vec![
            Field::required("id", DataType::Int64),
            Field::optional("note", DataType::Text { max_length: Some(3), fixed: false }),
        ],
    );
    let error = target.commit(1, vec![t.create([1i64.into(), "abcd".into()])]).await.unwrap_err();
    assert_error(&error, ErrorKind::Data, &["public.short", "too long", "22001"]);
}

#[tokio::test]
async fn a_cut_connection_is_mended_by_loading_again() {
    let mut target = target().await;
    let t = orders();
    target.commit(1, vec![t.create([1i64.into(), "a".into(), Value::Null])]).await.unwrap();
    target
        .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'cdc sink' AND datname = current_database()")
        .await;
    let again = || vec![t.create([2i64.into(), "b".into(), Value::Null])];
    let error = target.commit(2, again()).await.unwrap_err();
    assert_error(&error, ErrorKind::Transient, &[]);
    assert_eq!(load(&mut target.sink).await.unwrap(), Some(offset(1)));
    target.commit(2, again()).await.unwrap();
    assert_eq!(target.orders().await, ["1|a|~", "2|b|~"]);
}

#[tokio::test]
async fn a_call_that_was_given_up_is_mended_by_loading_again() {
    let mut target = target().await;
    let t = orders();
    {
        let batch = batch(1, vec![t.create([1i64.into(), "a".into(), Value::Null])]);
        let given_up = target.sink.transactional().unwrap().commit(batch);
        let _ = tokio::time::timeout(Duration::from_millis(1), given_up).await;
    }
    load(&mut target.sink).await.unwrap();
    target.commit(2, vec![t.update([1i64.into(), "b".into(), Value::Null])]).await.unwrap();
    assert_eq!(target.orders().await, ["1|b|~"]);
}

#[tokio::test]
async fn the_sink_knows_which_database_it_is_and_shows_no_password() {
    let target = target().await;
    let identity = target.sink.identity().unwrap();
    let database = target.rows("SELECT current_database()").await;
    let system = target.rows("SELECT system_identifier FROM pg_control_system()").await;
    assert_eq!(identity.system, format!("postgresql:{}", system[0]));
    assert_eq!(identity.database, database[0]);
    assert!(
        target.sink.name().starts_with("postgres://") && target.sink.name().ends_with(&database[0])
    );
    let secret = PostgresSink::builder("postgres://u:s3cret@localhost:1/x");
    assert!(!format!("{secret:?}").contains("s3cret"));
    let mut sink = secret.build().unwrap();
    assert!(!format!("{sink:?}").contains("s3cret"));
    let error = sink.open().await.unwrap_err();
    assert!(
        error.is_unreachable() && error.is_transient() && !error.to_string().contains("s3cret")
    );
}

#[tokio::test]
async fn a_thousand_rows_of_several_tables_are_one_transaction() {
    let mut target = target().await;
    let (t, l) = (orders(), log());
    let mut events = Vec::new();
    for id in 0..1_000i64 {
        events.push(t.create([id.into(), "n".into(), "d".into()]));
        events.push(l.create([1i32.into(), "line".into()]));
        if id % 3 == 0 {
            events.push(t.update([id.into(), "m".into(), GONE]));
        }
        if id % 7 == 0 {
            events.push(t.delete([id.into(), GONE, GONE]));
        }
        if id % 100 == 1 {
            events.push(t.update_from([id.into(), GONE, GONE], [(id + 10_000).into(), GONE, GONE]));
        }
    }
    target.commit(1, events).await.unwrap();
    let found = target.rows("SELECT count(*), count(*) FILTER (WHERE id >= 10000), count(DISTINCT xmin::text) FROM orders").await;
    assert_eq!(found, ["857|9|1"]);
    // Of the ten moves one was of a row that had been deleted.
    assert_eq!(target.rows("SELECT count(*) FROM log").await, ["1000"]);
}

#[tokio::test]
async fn looking_for_what_is_not_taken_changes_nothing() {
    let mut target =
        target_with("CREATE TABLE log (level integer CHECK (level < 5), line text)").await;
    let (t, l) = (orders(), log());
    let mut events = vec![
        t.create([1i64.into(), "a".into(), Value::Null]),
        l.create([9i32.into(), "too high".into()]),
    ];
    events.extend((0..100).map(|_| l.create([1i32.into(), "fits".into()])));
    // No server takes this as text.
    events.push(t.create([2i64.into(), "\0".into(), Value::Null]));
    let sink = target.sink.transactional().unwrap();
    let rejected = sink.find_rejected(batch(1, events.clone())).await.unwrap();
    assert_eq!(rejected.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1, 102]);
    assert_error(&rejected[0].1, ErrorKind::Data, &["table public.log", "check constraint"]);
    assert_eq!(rejected[1].1.kind(), ErrorKind::Data);
    assert_eq!(target.log().await, Vec::<String>::new());
    assert_eq!(target.rows("SELECT to_regclass('public.orders')").await, ["~"]);
    // The same connection commits the rest.
    events.pop();
    events.remove(1);
    target.commit(2, events).await.unwrap();
    assert_eq!((target.orders().await.len(), target.log().await.len()), (1, 100));
}
