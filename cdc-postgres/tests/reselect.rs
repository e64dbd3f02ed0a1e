//! Columns that the server did not send are read again from the table, in the types of the stream.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::Duration;

use cdc_core::connector::no_transforms;
use cdc_core::testkit::{MemoryDeadLetters, MemoryTarget};
use cdc_core::{ChangeEvent, Operation, Pipeline, Source as _, Stage as _, Value};
use cdc_postgres::{PostgresSource, ReselectColumns, ReselectFailure};
use support::{Copy, PATIENCE, TestDatabase};

/// A value that PostgreSQL keeps outside of its row.
fn large(letter: &str) -> String {
    letter.repeat(9_000)
}

const NOTES: &str = "CREATE TABLE notes (id int PRIMARY KEY, n int, note text, more text);
    ALTER TABLE notes ALTER note SET STORAGE EXTERNAL, ALTER more SET STORAGE EXTERNAL;
    INSERT INTO notes SELECT id, 0, repeat(chr(96 + id), 9000), repeat('m', 9000) FROM generate_series(1, 5) AS id";

/// The changes of a table that are made after the copy.
async fn changes(copy: &mut Copy, table: &str) -> Vec<ChangeEvent> {
    copy.catch_up().await.unwrap();
    copy.target
        .events
        .iter()
        .filter(|event| {
            event.destination.as_str() == table
                && matches!(event.operation(), Some(Operation::Create | Operation::Update))
        })
        .cloned()
        .collect()
}

fn column(event: &ChangeEvent, name: &str) -> Value {
    event.after().unwrap().by_name(name).unwrap().to_value()
}

fn stage(copy: &Copy) -> ReselectColumns {
    copy.source.reselect_columns().build().unwrap()
}

fn failing(copy: &Copy) -> ReselectColumns {
    copy.source.reselect_columns().on_failure(ReselectFailure::Fail).build().unwrap()
}

#[tokio::test]
async fn unchanged_large_values_come_from_the_table() {
    let database = TestDatabase::create().await;
    database.run(NOTES).await;
    let mut copy = Copy::of(&database).await;
    database
        .run(
            "UPDATE notes SET n = 1 WHERE id <= 3; UPDATE notes SET note = 'short' WHERE id = 2;
             UPDATE notes SET id = 30 WHERE id = 3; UPDATE notes SET note = NULL WHERE id = 4;
             INSERT INTO notes VALUES (6, 0, NULL, NULL)",
        )
        .await;
    let mut events = changes(&mut copy, "public.notes").await;
    assert_eq!(column(&events[0], "note"), Value::Unavailable);
    let mut stage = stage(&copy);
    assert!(stage.apply(&mut events).await.unwrap().is_empty());
    let seen: Vec<_> = events
        .iter()
        .map(|event| (column(event, "id"), column(event, "note"), column(event, "more")))
        .collect();
    let more = || Value::text(large("m"));
    assert_eq!(seen[0], (1.into(), large("a").into(), more()));
    // It is the value of now: the event that changes it comes next.
    assert_eq!(seen[1], (2.into(), "short".into(), more()));
    // The row has another key by now, and is not found by its old one.
    assert_eq!(seen[2], (3.into(), Value::Unavailable, Value::Unavailable));
    assert_eq!(seen[3], (2.into(), "short".into(), more()));
    assert_eq!(seen[4], (30.into(), large("c").into(), more()));
    assert_eq!(seen[5], (4.into(), Value::Null, more()));
    assert_eq!(seen[6], (6.into(), Value::Null, Value::Null));
    // Once more, with the statements that are prepared.
    let mut again = changes(&mut copy, "public.notes").await;
    stage.apply(&mut again).await.unwrap();
    assert_eq!(column(&again[0], "note"), large("a").into());
    copy.source.close().await.unwrap();
}

#[tokio::test]
async fn values_of_every_type_are_those_of_the_stream() {
    let columns = [
        ("t", "text", "repeat('x', 3000)"),
        ("vc", "varchar(4000)", "repeat('ü', 2000)"),
        ("bc", "char(3000)", "'x'"),
        ("ba", "bytea", "decode(repeat('00ff', 2000), 'hex')"),
        ("js", "json", "json_build_object('a', repeat('j', 3000))"),
        ("jb", "jsonb", "jsonb_build_object('a', repeat('j', 3000), 'b', true)"),
        ("nu", "numeric", "(repeat('9', 5000) || '.5')::numeric"),
        ("ta", "text[]", "ARRAY[repeat('a', 3000), NULL, 'NULL', 'q\"\\']"),
        ("ia", "int[]", "(SELECT array_agg(i) FROM generate_series(1, 2000) AS i)"),
        (
            "tz",
            "timestamptz[]",
            "array_fill('2024-02-29 12:00:00.5+02'::timestamptz, ARRAY[2, 300])",
        ),
        ("bo", "bool[]", "array_fill(true, ARRAY[3000])"),
        ("bi", "varbit", "repeat('10', 20000)::varbit"),
        (
            "xm",
            "tsvector",
            "array_to_tsvector(ARRAY(SELECT 'w' || i FROM generate_series(1, 900) AS i))",
        ),
        ("ra", "int4range[]", "array_fill('[1,5)'::int4range, ARRAY[1000])"),
        ("em", "mood[]", "array_fill('so so'::mood, ARRAY[2000])"),
        ("co", "pair", "ROW(NULL, repeat('p', 3000))::pair"),
    ];
    let database = TestDatabase::create().await;
    let list = |item: &dyn Fn(&(&str, &str, &str)) -> String| {
        columns.iter().map(item).collect::<Vec<_>>().join(", ")
    };
    database
        .run(&format!(
            "CREATE TYPE mood AS ENUM ('so so', 'ok'); CREATE TYPE pair AS (a int, b text);
             CREATE TABLE wide (id uuid, at timestamptz, n int, {}, PRIMARY KEY (at, id)); {}
             INSERT INTO wide SELECT md5(random()::text)::uuid, '2024-03-01 01:02:03.000004+00', 0, {}",
            list(&|(name, of, _)| format!("{name} {of}")),
            columns
                .map(|(name, ..)| format!("ALTER TABLE wide ALTER {name} SET STORAGE EXTERNAL;"))
                .concat(),
            list(&|(_, _, value)| (*value).to_owned()),
        ))
        .await;
    let mut copy = Copy::of(&database).await;
    database.run("UPDATE wide SET n = 1").await;
    let read = copy.target.of("public.wide", Operation::Read)[0].after().unwrap().clone();
    let mut events = changes(&mut copy, "public.wide").await;
    let lacked = events[0].after().unwrap().values().filter(|value| value.is_unavailable()).count();
    assert!(lacked >= 14, "{lacked} of {} are not sent", columns.len());
    assert!(failing(&copy).apply(&mut events).await.unwrap().is_empty());
    for (name, ..) in columns {
        let expected = read.by_name(name).unwrap().to_value();
        assert_eq!(column(&events[0], name), expected, "{name}");
    }
    copy.source.close().await.unwrap();
}

#[tokio::test]
async fn only_the_columns_that_are_chosen_are_read_and_nulls_where_they_are_wanted() {
    let database = TestDatabase::create().await;
    database.run(NOTES).await;
    let mut copy = Copy::of(&database).await;
    database.run("UPDATE notes SET n = NULL WHERE id = 1").await;
    let events = changes(&mut copy, "public.notes").await;
    database.run("UPDATE notes SET n = 7 WHERE id = 1").await;
    let builder = copy.source.reselect_columns();
    let all = Value::text(large("a"));
    for (builder, note, more, n) in [
        (
            builder.clone().columns(["public.notes.note"]),
            all.clone(),
            Value::Unavailable,
            Value::Null,
        ),
        (
            builder.clone().exclude_columns(["*.*.no*"]),
            Value::Unavailable,
            large("m").into(),
            Value::Null,
        ),
        (
            builder.clone().null_values(true).unavailable_values(false),
            Value::Unavailable,
            Value::Unavailable,
            7.into(),
        ),
        (builder.clone().null_values(true), all, large("m").into(), 7.into()),
    ] {
        let mut events = events.clone();
        builder.build().unwrap().apply(&mut events).await.unwrap();
        let found = ["note", "more", "n"].map(|name| column(&events[0], name));
        assert_eq!(found, [note, more, n]);
    }
    let error = builder.clone().columns(["notes.note"]).build().unwrap_err().to_string();
    assert!(error.contains("schema.table.column"), "{error}");
    let error = builder.columns(["a.b.c"]).exclude_columns(["a.b.d"]).build().unwrap_err();
    assert!(error.to_string().contains("leave one of the two out"), "{error}");
    copy.source.close().await.unwrap();
}

#[tokio::test]
async fn a_row_that_is_gone_stays_as_it_is_or_fails_with_its_key_and_the_remedy() {
    let database = TestDatabase::create().await;
    database.run(NOTES).await;
    let mut copy = Copy::of(&database).await;
    database.run("UPDATE notes SET n = 1 WHERE id <= 2; DELETE FROM notes WHERE id = 1").await;
    let events = changes(&mut copy, "public.notes").await;
    let mut warned = events.clone();
    assert!(stage(&copy).apply(&mut warned).await.unwrap().is_empty());
    assert_eq!(column(&warned[0], "note"), Value::Unavailable);
    assert_eq!(column(&warned[1], "note"), large("b").into());
    let mut failed = events.clone();
    let found = failing(&copy).apply(&mut failed).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0, 0);
    let says = "public.notes.note, more cannot be read again for id=1: the row is gone; leave it as it is with \
        .on_failure(ReselectFailure::Warn) (reselect.error.handling.mode=warn), or let the log have it with REPLICA IDENTITY FULL";
    assert_eq!(found[0].1.to_string(), says);
    assert_eq!(column(&failed[1], "note"), large("b").into());
    copy.source.close().await.unwrap();
}

#[tokio::test]
async fn a_table_that_was_altered_or_dropped_since_gives_what_still_fits() {
    let database = TestDatabase::create().await;
    database.run(NOTES).await;
    let mut copy = Copy::of(&database).await;
    database.run("UPDATE notes SET n = 1 WHERE id = 1").await;
    let events = changes(&mut copy, "public.notes").await;
    let (mut stage, mut failing) = (stage(&copy), failing(&copy));
    stage.apply(&mut events.clone()).await.unwrap();
    failing.apply(&mut events.clone()).await.unwrap();
    let reason = |failed: Vec<(usize, cdc_core::Error)>| failed[0].1.to_string();
    // The statements are prepared already, and are made anew.
    database.run("ALTER TABLE notes ALTER note TYPE varchar(20000)").await;
    let mut seen = events.clone();
    assert!(failing.apply(&mut seen).await.unwrap().is_empty());
    assert!(column(&seen[0], "note") == large("a").into());
    database.run("ALTER TABLE notes ALTER note TYPE bytea USING '\\x00'").await;
    let mut seen = events.clone();
    let error = reason(failing.apply(&mut seen).await.unwrap());
    assert!(error.contains("note cannot be read again for id=1: its type is bytea now"), "{error}");
    stage.apply(&mut seen).await.unwrap();
    assert_eq!(
        (column(&seen[0], "note"), column(&seen[0], "more")),
        (Value::Unavailable, large("m").into())
    );
    database.run("ALTER TABLE notes DROP note").await;
    let error = reason(failing.apply(&mut events.clone()).await.unwrap());
    assert!(error.contains("the table has no such column any more"), "{error}");
    database.run("DROP TABLE notes").await;
    let error = reason(failing.apply(&mut events.clone()).await.unwrap());
    assert!(error.contains("the table is gone"), "{error}");
    stage.apply(&mut events.clone()).await.unwrap();
    database.run(NOTES).await;
    let mut seen = events.clone();
    stage.apply(&mut seen).await.unwrap();
    assert!(column(&seen[0], "note") == large("a").into());
    copy.source.close().await.unwrap();
}

#[tokio::test]
async fn a_table_that_may_not_be_read_is_told_once() {
    let database = TestDatabase::create().await;
    database.run(NOTES).await;
    let mut copy = Copy::of(&database).await;
    database.run("UPDATE notes SET n = 1 WHERE id = 1").await;
    let mut events = changes(&mut copy, "public.notes").await;
    let role = database.role("reader", "").await;
    let source = PostgresSource::builder(role).build().unwrap();
    let stage = source.reselect_columns();
    stage.clone().build().unwrap().apply(&mut events).await.unwrap();
    assert_eq!(column(&events[0], "note"), Value::Unavailable);
    let mut stage = stage.on_failure(ReselectFailure::Fail).build().unwrap();
    let error = stage.apply(&mut events).await.unwrap_err();
    assert_eq!(error.kind(), cdc_core::ErrorKind::Configuration);
    assert!(error.to_string().contains("permission denied for table notes"), "{error}");
    copy.source.close().await.unwrap();
}

#[tokio::test]
async fn rows_are_found_by_a_unique_index_or_by_the_key_of_the_records() {
    let database = TestDatabase::create().await;
    database
        .run(
            "CREATE TABLE u (code varchar(10) NOT NULL, n int, note text);
             ALTER TABLE u ALTER note SET STORAGE EXTERNAL;
             CREATE UNIQUE INDEX u_code ON u (code); ALTER TABLE u REPLICA IDENTITY USING INDEX u_code;
             CREATE TABLE none (a int, b int, note text); ALTER TABLE none REPLICA IDENTITY FULL;
             INSERT INTO u VALUES ('it''s', 0, repeat('u', 9000))",
        )
        .await;
    let mut copy = Copy::new(database.source().key_columns("public.none", ["a", "b"]));
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    database.run("UPDATE u SET n = 1; INSERT INTO none VALUES (1, 1, NULL), (2, 1, NULL), (2, NULL, NULL)").await;
    let mut events = changes(&mut copy, "public.u").await;
    failing(&copy).apply(&mut events).await.unwrap();
    assert_eq!(column(&events[0], "note"), large("u").into());
    let events = changes(&mut copy, "public.none").await;
    database
        .run("UPDATE none SET note = 'n' || a; INSERT INTO none VALUES (2, 1, 'another')")
        .await;
    // Without a primary key there is nothing to find rows by,
    let builder =
        copy.source.reselect_columns().null_values(true).on_failure(ReselectFailure::Fail);
    let mut seen = events.clone();
    assert!(builder.clone().build().unwrap().apply(&mut seen).await.unwrap().is_empty());
    assert_eq!(column(&seen[0], "note"), Value::Null);
    // but for the key of the records, where no two rows have it.
    let mut seen = events.clone();
    let failed = builder.by_event_key(true).build().unwrap().apply(&mut seen).await.unwrap();
    assert_eq!(column(&seen[0], "note"), "n1".into());
    let says: Vec<String> =
        failed.iter().map(|(place, error)| format!("{place} {error}")).collect();
    assert_eq!(says.len(), 2);
    assert!(says[0].contains(
        "1 public.none.note cannot be read again for a=2, b=1: several rows have its key"
    ));
    let gone = &says[1];
    let says = "2 public.none.b, note cannot be read again for a=2, b=NULL: the row is gone";
    assert!(gone.contains(says), "{gone}");
    copy.source.close().await.unwrap();
}

#[tokio::test]
async fn what_is_masked_stays_masked() {
    let database = TestDatabase::create().await;
    database.run(NOTES).await;
    let source = database.source().truncate_columns(3, ["public.notes.note"]);
    let mut copy = Copy::new(source.mask_columns(4, ["public.notes.more"]));
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    database.run("UPDATE notes SET n = 1 WHERE id = 1").await;
    let mut events = changes(&mut copy, "public.notes").await;
    stage(&copy).apply(&mut events).await.unwrap();
    assert_eq!(column(&events[0], "note"), "aaa".into());
    assert_eq!(column(&events[0], "more"), "****".into());
    copy.source.close().await.unwrap();
}

#[tokio::test]
async fn partitions_are_read_by_themselves_and_by_their_root() {
    for root in [false, true] {
        let database = TestDatabase::create().await;
        if database.lacks("publish_via_partition_root", 13) {
            return;
        }
        database
            .run(
                "CREATE TABLE p (id int PRIMARY KEY, n int, note text) PARTITION BY RANGE (id);
                 ALTER TABLE p ALTER note SET STORAGE EXTERNAL;
                 CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
                 INSERT INTO p VALUES (1, 0, repeat('p', 9000))",
            )
            .await;
        let more = [("publish.via.partition.root", if root { "true" } else { "false" })];
        let mut copy = Copy::from(database.connector(&more));
        copy.start().await.unwrap();
        copy.catch_up().await.unwrap();
        database.run("UPDATE p SET n = 1").await;
        let table = if root { "public.p" } else { "public.p1" };
        let mut events = changes(&mut copy, table).await;
        failing(&copy).apply(&mut events).await.unwrap();
        assert_eq!(column(&events[0], "note"), large("p").into());
        copy.source.close().await.unwrap();
    }
}

/// A transaction that sets a large value and then another column: the second event lacks what the first has. Its commit is in the log
/// and the row cannot be seen yet; the value of before would bring an older one back.
#[tokio::test]
async fn a_value_that_is_committed_and_cannot_be_seen_yet_is_waited_for() {
    let database = TestDatabase::where_commits_can_wait().await;
    database.run(NOTES).await;
    let mut copy = Copy::of(&database).await;
    let commit = database
        .commit_that_waits(
            "BEGIN; UPDATE notes SET note = repeat('z', 9000) WHERE id = 1;
             UPDATE notes SET n = 1 WHERE id = 1; COMMIT",
        )
        .await;
    let mut events = changes(&mut copy, "public.notes").await;
    assert_eq!(column(&events[0], "note"), large("z").into());
    assert_eq!(column(&events[1], "note"), Value::Unavailable);
    let seen = database.text("SELECT left(note, 1) FROM notes WHERE id = 1").await;
    assert_eq!(seen.as_deref(), Some("a"), "the commit cannot be seen yet");
    let mut stage = failing(&copy);
    let early = tokio::time::timeout(Duration::from_millis(700), stage.apply(&mut events)).await;
    assert!(early.is_err(), "it waits");
    database.let_commits_end().await;
    let failed = tokio::time::timeout(PATIENCE, stage.apply(&mut events)).await.unwrap().unwrap();
    assert!(failed.is_empty());
    assert_eq!(column(&events[1], "note"), large("z").into());
    commit.await.unwrap();
    copy.source.close().await.unwrap();
}

#[tokio::test]
async fn a_lost_connection_is_transient_and_the_next_attempt_connects_again() {
    let database = TestDatabase::create().await;
    database.run(NOTES).await;
    let mut copy = Copy::of(&database).await;
    database.run("UPDATE notes SET n = 1 WHERE id <= 3").await;
    let events = changes(&mut copy, "public.notes").await;
    let mut stage = stage(&copy);
    stage.apply(&mut events.clone()).await.unwrap();
    database
        .run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND query LIKE '%WITH ORDINALITY%' AND pid <> pg_backend_pid()",
        )
        .await;
    let mut seen = events.clone();
    for attempt in 0.. {
        match stage.apply(&mut seen).await {
            Ok(failed) => {
                assert!(failed.is_empty());
                break;
            }
            Err(error) => assert!(error.is_transient() && attempt < 3, "{error}"),
        }
    }
    assert_eq!(column(&seen[2], "note"), large("c").into());
    copy.source.close().await.unwrap();
}

/// The whole way: a connector's configuration, with dead letters for what cannot be completed.
#[tokio::test]
async fn a_configuration_with_post_processors_completes_the_records() {
    let database = TestDatabase::create().await;
    database.run(NOTES).await;
    let properties = database.properties(&[
        ("connector.class", "io.debezium.connector.postgresql.PostgresConnector"),
        ("topic.prefix", "shop"),
        ("publication.autocreate.mode", "filtered"),
        ("post.processors", "reselector"),
        (
            "post.processors.reselector.type",
            "io.debezium.processors.reselect.ReselectColumnsPostProcessor",
        ),
        ("post.processors.reselector.reselect.columns.include.list", "public.notes:(note|n)"),
        ("post.processors.reselector.reselect.error.handling.mode", "fail"),
        ("errors.tolerance", "all"),
    ]);
    let (target, letters) = (MemoryTarget::new(), MemoryDeadLetters::new());
    let connector =
        || Pipeline::from_properties::<PostgresSource>(&properties, no_transforms).unwrap();
    let pipeline = |target: &MemoryTarget| {
        let sink = target.transactional("target");
        let pipeline = connector().pipeline.sink(sink).dead_letters(letters.clone());
        pipeline.until_caught_up().build().unwrap()
    };
    pipeline(&target).run().await.unwrap();
    database.run("UPDATE notes SET n = 1 WHERE id <= 2; DELETE FROM notes WHERE id = 1").await;
    pipeline(&target).run().await.unwrap();
    let seen = target.seen();
    let updates: Vec<_> =
        seen.iter().filter(|event| event.operation() == Some(Operation::Update)).collect();
    assert_eq!(updates.len(), 1);
    assert_eq!(updates[0].destination.as_str(), "shop.public.notes");
    assert_eq!(column(updates[0], "note"), large("b").into());
    assert_eq!(column(updates[0], "more"), Value::Unavailable, "it was not asked for");
    let kept = letters.letters();
    assert_eq!(kept.len(), 1);
    let says = &kept[0].error.text;
    assert!(says.starts_with("stage ReselectColumns: public.notes, transaction "), "{says}");
    assert!(says.contains("public.notes.note cannot be read again for id=1"), "{says}");
}
