//! Values arrive exactly, from the copy and from the stream alike, whatever the role's settings are.

mod support;

use std::sync::Arc;

use cdc_core::value::{Array, Date, Interval, Timestamp};
use cdc_core::{DataType, Operation, Source as _, Value};
use support::{Copy, TestDatabase};

const TABLE: &str = "
    CREATE TYPE mood AS ENUM ('sad', 'it''s ok');
    CREATE DOMAIN price AS numeric(8,3) NOT NULL;
    CREATE TYPE pair AS (a int, b text);
    CREATE TABLE all_types (
        id int PRIMARY KEY, i2 int2, i8 int8, f4 float4, f8 float8, n numeric, n2 numeric(10,2), b bool,
        t text, v varchar(10), c char(5), nm name, by bytea, bt bit(5), vb varbit, j json, jb jsonb, u uuid, m mood,
        x xml, d date, tm time, tz timetz, ts timestamp, tstz timestamptz(3), iv interval, ip inet, net cidr,
        mac macaddr, mac8 macaddr8, ia int[], ta text[], ma mood[], da date[], ba bytea[], dom price DEFAULT 0,
        money money, pr pair, r int4range, p point, oid oid, domains price[])";

const ROWS: &str = "
    INSERT INTO all_types VALUES (
        :id, -32768, 9223372036854775807, '1.1754944e-38', 'NaN', 12345678901234567890.123456789, -1.50, true,
        E'tab\\t\\\\N\\n\\u20ac', 'v', 'c', 'n', '\\x00ff', '10101', '101', '{\"a\": 1}', '{\"b\": [null]}',
        'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'it''s ok', '<a>b</a>', '0044-03-15 BC', '24:00', '04:05:06.7+05:30:15',
        '2024-02-29 23:59:59.999999', '2024-01-01 00:00:00.5+03', '1 year -2 mons +3 days -04:05:06.7', '10.0.0.1/8',
        '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', '[0:1][2:3]={{1,NULL},{3,4}}',
        '{\"a \\\"q\\\"\",NULL,\"NULL\",\"\"}', '{sad,\"it''s ok\"}', '{infinity,2024-01-01}', '{\"\\\\x01\"}', 12.5,
        '$12.34', '(1,x)', '[1,5)', '(1,2)', 4294967295, '{1.5}');
    INSERT INTO all_types (id, d, ts, tstz, n, f4, iv) VALUES (
        :id + 1, '-infinity', 'infinity', '-infinity', 'NaN', '-Infinity', '0');
    INSERT INTO all_types (id, d, ts) VALUES (:id + 2, '5874897-12-31', '294276-12-31 23:59:59')";

#[tokio::test]
async fn every_type_arrives_exactly() {
    let database = TestDatabase::create().await;
    database.run(TABLE).await;
    database.run(&ROWS.replace(":id", "1")).await;
    // Settings of the database are settings of its sessions, like a role's.
    for setting in [
        "DateStyle = 'German, DMY'",
        "IntervalStyle = 'sql_standard'",
        "TimeZone = 'Asia/Kolkata'",
        "bytea_output = 'escape'",
        "extra_float_digits = '-15'",
    ] {
        database.run(&format!("ALTER DATABASE {} SET {setting}", database.name)).await;
    }
    let mut copy = Copy::of(&database).await;
    database.run(&ROWS.replace(":id", "11")).await;
    copy.catch_up().await.unwrap();
    copy.source.close().await.unwrap();
    let read = copy.target.of("public.all_types", Operation::Read);
    let created = copy.target.of("public.all_types", Operation::Create);
    assert_eq!((read.len(), created.len()), (3, 3));
    for (read, created) in read.iter().zip(&created) {
        let (read, created) = (read.after().unwrap(), created.after().unwrap());
        assert_eq!(**read.schema(), **created.schema());
        for (index, field) in read.schema().fields().iter().enumerate().skip(1) {
            assert_eq!(read.value(index), created.value(index), "{}", field.name);
        }
    }
    assert_eq!(copy.target.of("public.all_types", Operation::Table).len(), 1);
    let row = created[0].after().unwrap();
    let value = |name: &str| row.by_name(name).unwrap().to_value();
    let kind = |name: &str| {
        let schema = row.schema();
        schema.field(schema.index_of(name).unwrap()).unwrap().clone()
    };
    assert_eq!(value("i2"), Value::Int16(i16::MIN));
    assert_eq!(value("f4"), Value::Float32(f32::MIN_POSITIVE));
    assert_eq!(value("f8"), Value::Float64(f64::NAN));
    assert_eq!(value("n"), Value::Decimal("12345678901234567890.123456789".parse().unwrap()));
    assert_eq!(value("t"), "tab\t\\N\n\u{20ac}".into());
    assert_eq!(value("c"), "c    ".into());
    assert_eq!(value("d"), Value::Date(Date::Days(-735_160)));
    assert_eq!(value("tstz"), Value::Timestamp(Timestamp::micros(1_704_056_400_500_000)));
    assert_eq!(
        value("iv"),
        Value::Interval(Interval::Span { months: 10, days: 3, micros: -14_706_700_000 })
    );
    assert_eq!(value("money"), "$12.34".into());
    assert_eq!(value("m"), "it's ok".into());
    let inner = |values, lower_bound| Value::Array(Arc::new(Array { values, lower_bound }));
    assert_eq!(
        value("ia"),
        inner(
            vec![
                inner(vec![1i32.into(), Value::Null], 2),
                inner(vec![3i32.into(), 4i32.into()], 2)
            ],
            0
        )
    );
    assert_eq!(
        value("ta"),
        inner(vec!["a \"q\"".into(), Value::Null, "NULL".into(), "".into()], 1)
    );
    assert_eq!(value("ba"), inner(vec![Value::Bytes(vec![1u8].into())], 1));
    assert!(matches!(kind("m").data_type(), DataType::Enum { labels } if labels.len() == 2));
    assert_eq!(kind("dom").data_type(), &DataType::Decimal { precision: Some(8), scale: Some(3) });
    assert!(!kind("dom").value_type.optional);
    assert!(matches!(kind("pr").data_type(), DataType::Other { name } if &**name == "pair"));
    assert_eq!(kind("v").native.unwrap().name.as_ref(), "character varying(10)");
    let infinite = created[1].after().unwrap();
    assert_eq!(infinite.by_name("ts").unwrap().to_value(), Value::Timestamp(Timestamp::Infinity));
}

#[tokio::test]
async fn the_schema_is_the_one_at_the_position_in_the_log() {
    let database = TestDatabase::create().await;
    database.run("CREATE TABLE t (id int PRIMARY KEY, a int)").await;
    let mut copy = Copy::of(&database).await;
    // All of it has happened before the first change is read.
    for statements in [
        "INSERT INTO t VALUES (1, 1)",
        "ALTER TABLE t ADD COLUMN b text DEFAULT 'x'",
        "INSERT INTO t VALUES (2, 2, 'y')",
        "ALTER TABLE t DROP COLUMN a; ALTER TABLE t RENAME b TO c",
        "INSERT INTO t VALUES (3, 'z')",
        "ALTER TABLE t ALTER c TYPE varchar(5)",
        "INSERT INTO t VALUES (4, 'w')",
    ] {
        database.run(statements).await;
    }
    copy.catch_up().await.unwrap();
    copy.source.close().await.unwrap();
    let created = copy.target.of("public.t", Operation::Create);
    let shapes: Vec<String> = created
        .iter()
        .map(|event| {
            let row = event.after().unwrap();
            let fields = row.schema().fields().iter();
            fields.map(|f| format!("{} {}", f.name, f.data_type())).collect::<Vec<_>>().join(", ")
        })
        .collect();
    assert_eq!(
        shapes,
        [
            "id integer, a integer",
            "id integer, a integer, b text",
            "id integer, c text",
            "id integer, c varchar(5)"
        ]
    );
    // A column that is gone since is optional.
    assert!(created[0].after().unwrap().schema().field(1).unwrap().value_type.optional);
    assert_eq!(copy.target.of("public.t", Operation::Table).len(), 4);
}
