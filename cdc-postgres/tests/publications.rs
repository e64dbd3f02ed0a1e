//! What is published decides what is copied: row filters, column lists, partitions, generated columns.

#![allow(clippy::unwrap_used)]

mod support;

use cdc_core::{ErrorKind, Operation, Payload, Source as _};
use support::{Copy, TestDatabase};

fn columns(copy: &Copy, table: &str, operation: Operation) -> Vec<String> {
    let events = copy.target.of(table, operation);
    let row = events[0].after().unwrap();
    row.schema().fields().iter().map(|field| field.name.to_string()).collect()
}

#[tokio::test]
async fn row_filters_and_column_lists_hold_for_the_copy_as_for_the_stream() {
    let database = TestDatabase::create().await;
    if database.lacks("the row filter and the column list", 15) {
        return;
    }
    database
        .run(
            "CREATE TABLE t (id int PRIMARY KEY, secret text, n int);
             CREATE TABLE other (id int PRIMARY KEY);
             INSERT INTO t VALUES (1, 's', 1), (2, 's', 200); INSERT INTO other VALUES (1);
             CREATE PUBLICATION mine FOR TABLE t (id, n) WHERE (id < 100)",
        )
        .await;
    let mut copy = Copy::new(database.source().publication_name("mine").create_publication(false));
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    database
        .run("INSERT INTO t VALUES (3, 's', 1), (300, 's', 1); INSERT INTO other VALUES (2)")
        .await;
    copy.catch_up().await.unwrap();
    copy.source.close().await.unwrap();
    assert_eq!(copy.target.of("public.t", Operation::Read).len(), 2);
    assert_eq!(copy.target.of("public.t", Operation::Create).len(), 1);
    assert_eq!(columns(&copy, "public.t", Operation::Read), ["id", "n"]);
    assert_eq!(columns(&copy, "public.t", Operation::Create), ["id", "n"]);
    assert!(!copy.target.tables.contains_key("public.other"));
}

#[tokio::test]
async fn a_partitioned_table_comes_as_its_leaves() {
    let database = TestDatabase::create().await;
    database
        .run(
            "CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
             CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100);
             CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (100) TO (200);
             INSERT INTO p VALUES (1, 'a'), (150, 'b')",
        )
        .await;
    let mut copy = Copy::new(database.source().tables(["public.p"]));
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    database.run("INSERT INTO p VALUES (2, 'c'); UPDATE p SET id = 151 WHERE id = 1").await;
    copy.catch_up().await.unwrap();
    copy.source.close().await.unwrap();
    assert_eq!(copy.target.contents()["public.p1"].len(), 1);
    assert_eq!(copy.target.contents()["public.p2"].len(), 2);
    assert!(!copy.target.tables.contains_key("public.p"));
}

#[tokio::test]
async fn a_partitioned_table_comes_as_its_root_where_it_is_published_so() {
    let database = TestDatabase::create().await;
    if database.lacks("publish_via_partition_root", 13) {
        return;
    }
    database
        .run(
            "CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
             CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100);
             CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (100) TO (200);
             INSERT INTO p VALUES (1, 'a'), (150, 'b');
             CREATE PUBLICATION rooted FOR TABLE p WITH (publish_via_partition_root = true)",
        )
        .await;
    let mut copy =
        Copy::new(database.source().publication_name("rooted").create_publication(false));
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    database.run("INSERT INTO p VALUES (2, 'c'); DELETE FROM p WHERE id = 150").await;
    copy.catch_up().await.unwrap();
    copy.source.close().await.unwrap();
    assert_eq!(copy.target.contents().keys().collect::<Vec<_>>(), ["public.p"]);
    assert_eq!(copy.target.contents()["public.p"].len(), 2);
}

#[tokio::test]
async fn generated_columns_inheritance_and_excluded_tables() {
    let database = TestDatabase::create().await;
    database
        .run(
            "CREATE TABLE g (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED, n serial);
             CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (PRIMARY KEY (id)) INHERITS (parent);
             CREATE TABLE skipped (id int PRIMARY KEY); CREATE UNLOGGED TABLE fast (id int PRIMARY KEY);
             INSERT INTO g VALUES (1); INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2);
             INSERT INTO skipped VALUES (1); INSERT INTO fast VALUES (1)",
        )
        .await;
    let mut copy = Copy::new(database.source().exclude_tables(["public.skip*"]));
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    database
        .run("INSERT INTO g VALUES (2); INSERT INTO child VALUES (3); INSERT INTO skipped VALUES (2)")
        .await;
    copy.catch_up().await.unwrap();
    copy.source.close().await.unwrap();
    assert_eq!(columns(&copy, "public.g", Operation::Read), ["id", "n"]);
    assert_eq!(columns(&copy, "public.g", Operation::Create), ["id", "n"]);
    let tables = copy.target.contents();
    assert_eq!(tables.keys().collect::<Vec<_>>(), ["public.child", "public.g", "public.parent"]);
    assert_eq!((tables["public.parent"].len(), tables["public.child"].len()), (1, 2));
}

#[tokio::test]
async fn logical_messages_and_origins_arrive() {
    let database = TestDatabase::create().await;
    if database.lacks("the message in the stream", 14) {
        return;
    }
    database.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut copy = Copy::of(&database).await;
    database.run("SELECT pg_logical_emit_message(false, 'lone', 'one')").await;
    database
        .run("BEGIN; INSERT INTO t VALUES (1); SELECT pg_logical_emit_message(true, 'in', 'two'); COMMIT")
        .await;
    copy.catch_up().await.unwrap();
    // Nothing comes again.
    copy.kill(database.source()).await;
    copy.start().await.unwrap();
    database.run("INSERT INTO t VALUES (2)").await;
    copy.catch_up().await.unwrap();
    copy.source.close().await.unwrap();
    let messages: Vec<_> = copy
        .target
        .events
        .iter()
        .filter_map(|event| match &event.value {
            Payload::Message(message) => {
                assert_eq!(event.destination.as_str(), "message");
                Some((message.prefix.to_string(), message.transactional))
            }
            _ => None,
        })
        .collect();
    assert_eq!(messages, [("lone".to_owned(), false), ("in".to_owned(), true)]);
}

#[tokio::test]
async fn removing_a_pipeline_leaves_nothing_behind() {
    let database = TestDatabase::create().await;
    database.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut copy = Copy::of(&database).await;
    let other = database.source().build().unwrap();
    let error = other.remove("test").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    copy.source.close().await.unwrap();
    other.remove("test").await.unwrap();
    other.remove("test").await.unwrap();
    let left = database
        .text(&format!(
            "SELECT ((SELECT count(*) FROM pg_publication) + (SELECT count(*) FROM pg_replication_slots WHERE database = '{}'))::text",
            database.name
        ))
        .await;
    assert_eq!(left.as_deref(), Some("0"));
}
