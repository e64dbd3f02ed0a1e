//! Every type that a key can have bounds chunks rightly: each row is read once, in the database's order.

use std::cmp::Ordering;

use cdc_core::ValueRef;
use cdc_core::snapshot::Key;

use super::*;

/// A table whose key has a type, with rows of the values that a query gives.
struct KeyType {
    name: &'static str,
    column: &'static str,
    values: &'static str,
    since: u32,
}

const fn key(name: &'static str, column: &'static str, values: &'static str) -> KeyType {
    KeyType { name, column, values, since: 12 }
}

/// Texts that sort differently by different collations, and that SQL has to quote.
const TEXTS: &str = r#"SELECT unnest(ARRAY['', ' ', 'a', 'A', 'b', 'B', 'ä', 'Ä', 'z', 'Z', 'a b', 'a-b', 'ab', 'AB', 'aB',
    'it''s', 'say "hi"', 'back\slash', E'tab\there', E'line\nbreak', '\N', '''; DROP TABLE t; --', '$$', '%s', '日本', '𝄞', 'ß', 'ss', '0', '10', '9',
    'NULL', '_', '~', '{}', '{a,b}', '\.', 'e', 'é', E'e\u0301', 'co-op', 'coop', 'CO-OP', 'x' || repeat('y', 2000)])"#;

const KEYS: &[KeyType] = &[
    key(
        "smallint",
        "smallint",
        "SELECT generate_series(-20, 20) UNION SELECT unnest('{-32768,32767}'::int[])",
    ),
    key(
        "integer",
        "int",
        "SELECT generate_series(-30, 30) UNION SELECT unnest('{-2147483648,2147483647}'::int[])",
    ),
    key(
        "bigint",
        "bigint",
        "SELECT generate_series(-30::bigint, 30) UNION SELECT unnest('{-9223372036854775808,9223372036854775807}'::bigint[])",
    ),
    key(
        "oid",
        "oid",
        "SELECT unnest('{0,1,2,3,4,5,6,7,8,9,4294967295,4294967294,2147483648}'::oid[])",
    ),
    key("boolean", "bool", "SELECT unnest('{t,f}'::bool[])"),
    key(
        "numeric",
        "numeric",
        "SELECT v / 8 FROM generate_series(-40::numeric, 40) v UNION SELECT unnest('{NaN,1e300,-1e300,0.0000000001,123456789012345678901234567890}'::numeric[])",
    ),
    key(
        "numeric with a scale",
        "numeric(8,2)",
        "SELECT v / 8 FROM generate_series(-40::numeric, 40) v",
    ),
    key(
        "real",
        "real",
        "SELECT v / 7::real FROM generate_series(-20, 20) v UNION SELECT unnest('{NaN,Infinity,-Infinity,3e38,1e-40}'::real[])",
    ),
    key(
        "double",
        "float8",
        "SELECT v / 7::float8 FROM generate_series(-20, 20) v UNION SELECT unnest('{NaN,Infinity,-Infinity,1e300,5e-324}'::float8[])",
    ),
    key("text C", "text COLLATE \"C\"", TEXTS),
    key("text by default", "text", TEXTS),
    key("text und", "text COLLATE \"und-x-icu\"", TEXTS),
    key("text de", "text COLLATE \"de-x-icu\"", TEXTS),
    key(
        "varchar",
        "varchar(4)",
        "SELECT left(v, 4) FROM (VALUES ('a'), ('ab'), ('abc'), ('abcd'), (''), ('B'), ('b  '), ('ä'), ('''')) t(v)",
    ),
    key(
        "char",
        "char(3)",
        "SELECT v FROM (VALUES ('a'), ('ab'), ('abc'), (''), ('B'), (E'a\\t'), ('ä'), (''''), ('b')) t(v)",
    ),
    key(
        "name",
        "name",
        "SELECT v::name FROM (VALUES ('a'), ('A'), ('b'), ('B'), ('it''s'), (''), ('pg_class'), ('x y')) t(v)",
    ),
    key("one byte", "\"char\"", "SELECT chr(v)::\"char\" FROM generate_series(33, 110) v"),
    key("uuid", "uuid", "SELECT md5(v::text)::uuid FROM generate_series(1, 60) v"),
    key(
        "bytea",
        "bytea",
        r"SELECT decode(md5(v::text), 'hex') FROM generate_series(1, 60) v UNION SELECT unnest(ARRAY['\x', '\x00', '\xff', '\x5c27', '\x0a']::bytea[])",
    ),
    key(
        "date",
        "date",
        "SELECT '2000-01-01'::date + v * 1000 FROM generate_series(-40, 40) v UNION SELECT unnest('{infinity,-infinity,4714-11-24 BC,0001-01-01,0001-12-31 BC,5874897-12-31}'::date[])",
    ),
    key(
        "timestamp",
        "timestamp",
        "SELECT '2000-01-01'::timestamp + v * interval '1000 days 00:00:00.000001' FROM generate_series(-40, 40) v UNION SELECT unnest('{infinity,-infinity,4714-11-24 00:00:00 BC,0001-12-31 23:59:59.999999 BC,294246-12-31 23:59:59.999999}'::timestamp[])",
    ),
    key(
        "timestamp(0)",
        "timestamp(0)",
        "SELECT '2000-01-01'::timestamp + v * interval '1 hour' FROM generate_series(-40, 40) v",
    ),
    key(
        "timestamptz",
        "timestamptz",
        "SELECT '2000-01-01'::timestamptz + v * interval '01:00:00.5' FROM generate_series(-40, 40) v UNION SELECT unnest('{infinity,-infinity,0001-12-31 23:59:59.999999+00 BC}'::timestamptz[])",
    ),
    key(
        "time",
        "time",
        "SELECT '00:00'::time + v * interval '17 minutes 0.123456 seconds' FROM generate_series(0, 60) v UNION SELECT '24:00'::time",
    ),
    key(
        "timetz",
        "timetz",
        "SELECT ('10:00:00.5' || o)::timetz FROM unnest('{+00,-01,+01,+05:30,-11:59,+15:59:59,-00:00:01}'::text[]) o UNION SELECT ('09:00' || o)::timetz FROM unnest('{+00,-01,+01}'::text[]) o",
    ),
    key(
        "interval",
        "interval",
        "SELECT v * interval '1 mon -2 days 03:04:05.678901' FROM generate_series(-20, 20) v UNION SELECT unnest('{1 day,23:59:59,178000000 years,-178000000 years}'::interval[])",
    ),
    key("bits", "bit(5)", "SELECT v::bit(5) FROM generate_series(0, 31) v"),
    key(
        "varying bits",
        "bit varying",
        "SELECT DISTINCT left(v::bit(6)::text, 1 + v % 6)::bit varying FROM generate_series(0, 63) v",
    ),
    key("enum", "mood", "SELECT unnest(enum_range(NULL::mood))"),
    key("domain", "short", "SELECT v FROM unnest('{a,b,c,d,e,f,g,h,A,B,it''s}'::text[]) v"),
    key(
        "inet",
        "inet",
        "SELECT ('10.0.' || v || '.1/' || 20 + v % 12)::inet FROM generate_series(0, 40) v UNION SELECT '::1'::inet",
    ),
    key(
        "macaddr",
        "macaddr",
        "SELECT ('08:00:2b:01:02:' || lpad(to_hex(v), 2, '0'))::macaddr FROM generate_series(0, 40) v",
    ),
    key(
        "jsonb",
        "jsonb",
        r#"SELECT v::jsonb FROM unnest(ARRAY['1', '2', '10', '"a"', '"B"', '"it''s"', 'null', 'true', '[1]', '[]', '{}', '{"a": "\\"}', '1.50', '"\"q\""']) v"#,
    ),
    key("money", "money", "SELECT v::money FROM generate_series(-300, 300, 13) v"),
    key(
        "range",
        "int4range",
        "SELECT int4range(v, v + 3) FROM generate_series(-20, 20) v UNION SELECT 'empty' UNION SELECT '(,)'",
    ),
    key(
        "integers",
        "int[]",
        "SELECT ARRAY[v, -v] FROM generate_series(-20, 20) v UNION SELECT '{}' UNION SELECT '[0:1]={1,2}' UNION SELECT '{{1,2},{3,4}}' UNION SELECT '{NULL,1}'",
    ),
    key(
        "texts",
        "text[]",
        r#"SELECT ARRAY[v, 'x'] FROM unnest(ARRAY['', 'a', 'NULL', 'it''s', 'a,b', '{', '"', '\', 'ä', 'B', 'b']) v"#,
    ),
    key(
        "composite",
        "pair",
        r#"SELECT ROW(v, 'it''s (' || v || ', "q" \')::pair FROM generate_series(-20, 20) v"#,
    ),
    KeyType {
        name: "text without cases",
        column: "text COLLATE no_case",
        values: "SELECT v FROM unnest('{a,b,C,D,e,F,G,h,i,J,k,L}'::text[]) v",
        since: 12,
    },
    KeyType {
        name: "numeric with infinities",
        column: "numeric",
        values: "SELECT unnest('{NaN,Infinity,-Infinity,0,1,2,3,4,5,6,7,8}'::numeric[])",
        since: 14,
    },
];

async fn types(database: &TestDatabase) {
    database
        .run(
            "CREATE TYPE mood AS ENUM ('z', 'a', 'M', 'b', 'y', 'c', 'x', 'd', 'it''s', 'w');
             CREATE DOMAIN short AS text;
             CREATE TYPE pair AS (a int, b text);
             CREATE COLLATION no_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
        )
        .await;
}

/// The key's texts in the database's order.
async fn in_order(database: &TestDatabase, columns: &str) -> Vec<i32> {
    let query = format!("SELECT n FROM t ORDER BY {columns}");
    let rows = database.sql.query(&query, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

fn numbers(copy: &Copy) -> Vec<i32> {
    copy.rows
        .iter()
        .map(|row| match row.by_name("n") {
            Some(ValueRef::Int32(n)) => n,
            other => panic!("n is {other:?}"),
        })
        .collect()
}

async fn copied(database: &TestDatabase) -> Copy {
    let mut copy = Copy::new(database, 1, small_chunks());
    copy.want(database, &whole(database, "t").await, 1).await;
    copy.run().await
}

#[tokio::test]
async fn every_type_of_a_key_bounds_chunks_in_the_order_of_the_database() {
    let database = TestDatabase::create().await;
    types(&database).await;
    let mut plain = 0;
    for key in KEYS.iter().filter(|key| !database.lacks(key.name, key.since)) {
        database
            .run(&format!(
                "CREATE TABLE t (n int NOT NULL, k {} PRIMARY KEY);
                 INSERT INTO t SELECT row_number() OVER (ORDER BY md5(v::text)), v FROM ({}) q(v)",
                key.column, key.values
            ))
            .await;
        let copy = copied(&database).await;
        let read = numbers(&copy);
        assert_eq!(read, in_order(&database, "k").await, "{}", key.name);
        if copy.regions.len() > 1 {
            plain += 1;
        }
        // Where the merge says how keys compare, it says what the database does.
        let keys: Vec<Key> = copy.rows.iter().map(|row| Key::of(row).unwrap()).collect();
        for pair in keys.windows(2) {
            let order = pair[0].compare(&pair[1], copy.text_in_byte_order);
            let right = matches!(order, None | Some(Ordering::Less));
            assert!(right, "{}: {pair:?} {order:?}", key.name);
        }
        // Single keys find their rows.
        let plan = &copy.plans[&TableId::new("public", "t")];
        let keys: Vec<Key> = keys.into_iter().step_by(3).collect();
        let list = ["cdc_rows.n".to_owned()];
        let (count, region) = (keys.len(), Region::Keys(keys));
        let statement = super::super::select::statement(plan, &list, &region, None).unwrap();
        let query = statement.strip_prefix("COPY (").unwrap().strip_suffix(") TO STDOUT").unwrap();
        let found = database.sql.query(query, &[]).await.unwrap();
        assert_eq!(found.len(), count, "{}", key.name);
        database.run("DROP TABLE t").await;
    }
    assert!(plain > 30, "{plain} types had several chunks");
}

#[tokio::test]
async fn keys_of_several_columns_bound_chunks() {
    let database = TestDatabase::create().await;
    types(&database).await;
    for (columns, key, values) in [
        ("a int, b text", "a, b", "SELECT v / 10, md5(v::text) FROM generate_series(1, 60) v"),
        ("a int, b text", "b, a", "SELECT v, (v % 3)::text FROM generate_series(1, 60) v"),
        (
            "a mood, b date, c numeric(6,3)",
            "b, c, a",
            "SELECT m, '2000-01-01'::date + v % 2, v / 3.0 FROM generate_series(1, 9) v, unnest(enum_range(NULL::mood)) m",
        ),
    ] {
        database
            .run(&format!(
                "CREATE TABLE t ({columns}, n int, PRIMARY KEY ({key}));
                 INSERT INTO t SELECT *, row_number() OVER () FROM ({values}) q"
            ))
            .await;
        let copy = copied(&database).await;
        assert_eq!(numbers(&copy), in_order(&database, key).await, "{key}");
        assert!(copy.regions.len() > 3);
        database.run("DROP TABLE t").await;
    }
}

#[tokio::test]
async fn rows_with_null_in_a_unique_key_are_read_once_however_many_are_alike() {
    let database = TestDatabase::create().await;
    let values = "SELECT CASE WHEN v % 4 > 0 THEN v % 7 END, CASE WHEN v % 3 > 0 THEN v::text END FROM generate_series(1, 80) v";
    for unique in ["UNIQUE (a, b)", "UNIQUE (b, a)"] {
        database
            .run(&format!(
                "CREATE TABLE t (a int, b text, n int, {unique});
                 INSERT INTO t SELECT *, row_number() OVER () FROM ({values}) q"
            ))
            .await;
        let mut copy = Copy::new(&database, 1, small_chunks());
        let mut options = Options::clone(&copy.options);
        options.settings.unique_keys = true;
        copy.options = Arc::new(options);
        copy.readers = Readers::start(&copy.options, 1);
        copy.want(&database, &whole(&database, "t").await, 1).await;
        let copy = copy.run().await;
        let mut read = numbers(&copy);
        read.sort_unstable();
        assert_eq!(read, (1..=80).collect::<Vec<i32>>(), "{unique}");
        // Rows that are alike can be kept together from PostgreSQL 13 on; before, the table is one chunk.
        let parted = database.sql.server_version() >= 130_000;
        assert_eq!(copy.regions.len() > 3, parted, "{:?}", copy.regions);
        database.run("DROP TABLE t").await;
    }
}

#[tokio::test]
async fn whether_text_is_compared_byte_by_byte_is_known_of_each_collation() {
    let database = TestDatabase::create().await;
    types(&database).await;
    for (column, in_bytes) in [
        ("text COLLATE \"C\"", true),
        ("varchar(9) COLLATE \"POSIX\"", true),
        ("name", true),
        ("text COLLATE \"und-x-icu\"", false),
        ("char(3) COLLATE \"C\"", false),
        ("mood", false),
        ("jsonb", false),
        ("money", false),
        ("short COLLATE \"C\"", true),
        ("uuid", true),
        ("int", true),
    ] {
        database.run(&format!("CREATE TABLE t (k {column} PRIMARY KEY)")).await;
        let published = [whole(&database, "t").await];
        let plans = plan(&database.sql, &options(&database), &published, 1).await.unwrap();
        assert_eq!(plans[0].0.text_in_byte_order, in_bytes, "{column}");
        database.run("DROP TABLE t").await;
    }
}
