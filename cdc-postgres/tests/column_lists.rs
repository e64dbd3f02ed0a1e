//! Columns that are left out are in no event, and include lists choose schemas, tables and columns.

#![allow(clippy::unwrap_used)]

mod support;

use cdc_core::{Operation, Source as _};
use support::{Copy, TestDatabase};

const TABLES: &str = "CREATE TABLE customers (id int PRIMARY KEY, name text, card text);
     ALTER TABLE customers REPLICA IDENTITY FULL;
     CREATE TABLE orders (id int PRIMARY KEY, note text);
     CREATE SCHEMA shop_1; CREATE TABLE shop_1.items (id int PRIMARY KEY);
     INSERT INTO customers VALUES (1, 'Sally', 'secret one');
     INSERT INTO orders VALUES (1, 'n'); INSERT INTO shop_1.items VALUES (1)";

const CHANGES: &str = "UPDATE customers SET card = 'secret two' WHERE id = 1;
     UPDATE customers SET name = 'Sarah', id = 2 WHERE id = 1;
     INSERT INTO customers VALUES (3, 'Ed', 'secret three'); DELETE FROM customers WHERE id = 3;
     INSERT INTO orders VALUES (2, 'm'); INSERT INTO shop_1.items VALUES (2)";

/// All that a copy and a stream show.
async fn followed(copy: &mut Copy, database: &TestDatabase) {
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    database.run(CHANGES).await;
    copy.catch_up().await.unwrap();
    copy.source.close().await.unwrap();
}

fn columns(copy: &Copy, table: &str, operation: Operation) -> Vec<String> {
    let events = copy.target.of(table, operation);
    let row = events[0].as_change().unwrap().row().unwrap();
    row.schema().fields().iter().map(|field| field.name.to_string()).collect()
}

#[tokio::test]
async fn excluded_columns_are_in_no_event() {
    let database = TestDatabase::create().await;
    database.run(TABLES).await;
    let mut copy = Copy::from(database.connector(&[
        ("column.exclude.list", "public\\.customers\\.CARD"),
        ("table.include.list", "public.(customers|orders)"),
        ("publication.autocreate.mode", "filtered"),
    ]));
    followed(&mut copy, &database).await;
    for operation in [Operation::Read, Operation::Create, Operation::Update, Operation::Delete] {
        assert_eq!(columns(&copy, "public.customers", operation), ["id", "name"], "{operation:?}");
    }
    assert_eq!(columns(&copy, "public.orders", Operation::Create), ["id", "note"]);
    assert!(!copy.target.tables.contains_key("shop_1.items"));
    let everything = format!("{:?}", copy.target.events);
    assert!(everything.contains("Sarah") && !everything.contains("secret"), "{everything}");
}

#[tokio::test]
async fn included_columns_alone_are_shown_and_the_record_keeps_its_key() {
    let database = TestDatabase::create().await;
    database.run(TABLES).await;
    let mut copy = Copy::from(database.connector(&[
        ("column.include.list", "public.customers.name"),
        ("table.include.list", "public.customers"),
        ("publication.autocreate.mode", "filtered"),
    ]));
    copy.start().await.unwrap();
    copy.until(|copy| !copy.target.of("public.customers", Operation::Read).is_empty())
        .await
        .unwrap();
    copy.source.close().await.unwrap();
    assert_eq!(columns(&copy, "public.customers", Operation::Read), ["name"]);
    let read = copy.target.of("public.customers", Operation::Read)[0];
    assert_eq!(format!("{:?}", read.key.as_row().unwrap()), "{\"id\": Int32(1)}");
}

#[tokio::test]
async fn schemas_are_chosen_by_lists() {
    let database = TestDatabase::create().await;
    database.run(TABLES).await;
    let mut copy = Copy::from(database.connector(&[
        ("schema.exclude.list", "public"),
        ("publication.autocreate.mode", "filtered"),
    ]));
    followed(&mut copy, &database).await;
    assert_eq!(copy.target.contents().keys().collect::<Vec<_>>(), ["shop_1.items"]);
    assert_eq!(copy.target.contents()["shop_1.items"].len(), 2);
}

#[tokio::test]
async fn updates_that_change_nothing_that_is_shown_are_left_out() {
    let database = TestDatabase::create().await;
    database.run(TABLES).await;
    let mut copy = Copy::new(
        database
            .source()
            .tables(["public.customers"])
            .exclude_columns(["public.customers.card"])
            .skip_unchanged(true),
    );
    followed(&mut copy, &database).await;
    let updates = copy.target.of("public.customers", Operation::Update);
    assert_eq!(updates.len(), 1, "the one of the card is left out");
    assert!(updates[0].as_change().unwrap().old_key().is_some());
    // The position moves on behind what was left out.
    database.run("UPDATE customers SET card = 'secret four'").await;
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    copy.source.close().await.unwrap();
    assert_eq!(copy.target.of("public.customers", Operation::Update).len(), 1);
}

#[tokio::test]
async fn a_key_of_other_columns_takes_a_full_row_before() {
    let database = TestDatabase::create().await;
    database.run(TABLES).await;
    let mut copy = Copy::new(
        database.source().tables(["public.customers"]).key_columns("public.customers", ["name"]),
    );
    followed(&mut copy, &database).await;
    let deleted = copy.target.of("public.customers", Operation::Delete)[0];
    assert_eq!(format!("{:?}", deleted.key.as_row().unwrap()), "{\"name\": Text(\"Ed\")}");
    let rows = &copy.target.contents()["public.customers"];
    assert_eq!(rows.len(), 1);
    assert!(rows.keys().next().unwrap().contains("Sarah"), "{rows:?}");
}

#[tokio::test]
async fn logical_messages_are_chosen_by_their_prefix() {
    let database = TestDatabase::create().await;
    if database.lacks("the message in the stream", 14) {
        return;
    }
    database.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut copy = Copy::from(database.connector(&[("message.prefix.include.list", "app.*")]));
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    database
        .run("SELECT pg_logical_emit_message(true, 'application', 'yes'), pg_logical_emit_message(true, 'other', 'no')")
        .await;
    database.run("INSERT INTO t VALUES (1)").await;
    copy.catch_up().await.unwrap();
    copy.source.close().await.unwrap();
    let messages: Vec<_> = copy
        .target
        .events
        .iter()
        .filter_map(|event| match &event.value {
            cdc_core::Payload::Message(message) => Some(message.prefix.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(messages, ["application"]);
}
