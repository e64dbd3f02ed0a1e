//! Masked, hashed and cut columns: the same in the copy and the stream, before and after a change.

#![allow(clippy::unwrap_used)]

mod support;

use cdc_core::{ChangeEvent, Operation, Row, Source as _, Value};
use cdc_postgres::HashAlgorithm;
use support::{Copy, TestDatabase};

const TABLES: &str = "CREATE TYPE mood AS ENUM ('happy', 'sad');
     CREATE TABLE people (id int PRIMARY KEY, name text NOT NULL, email varchar(80), note text, mood mood, large text);
     ALTER TABLE people ALTER large SET STORAGE EXTERNAL, REPLICA IDENTITY FULL;
     INSERT INTO people VALUES (1, 'Sally', 'sally@x.org', NULL, 'sad', repeat('x', 5000)), (2, 'George', NULL, 'n', NULL, NULL)";

fn texts(row: &Row, names: &[&str]) -> Vec<Option<String>> {
    names
        .iter()
        .map(|name| match row.by_name(name).unwrap().to_value() {
            Value::Text(text) => Some(text.to_string()),
            Value::Null => None,
            other => Some(format!("{other:?}")),
        })
        .collect()
}

fn some(texts: &[&str]) -> Vec<Option<String>> {
    texts.iter().map(|text| Some((*text).to_owned())).collect()
}

fn change(copy: &Copy, operation: Operation) -> &ChangeEvent {
    copy.target.of("public.people", operation)[0]
}

/// The hash that Debezium 3.6.1 wrote for this value and salt.
const SALLY: &str = "626f546fa6a052b279a3981d1d30ba6f0433de98784aeb5bc3c9c44ee013abe2";

#[tokio::test]
async fn masks_hold_in_the_copy_and_in_every_image_of_the_stream() {
    let database = TestDatabase::create().await;
    database.run(TABLES).await;
    let mut copy = Copy::from(database.connector(&[
        ("column.mask.with.5.chars", "public.people.(note|mood)"),
        ("column.mask.hash.SHA-256.with.salt.pepper", "public.people.email"),
        ("column.truncate.to.3.chars", "public.people.name,public.people.large"),
    ]));
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    database
        .run("UPDATE people SET name = 'Sarah' WHERE id = 1; DELETE FROM people WHERE id = 2")
        .await;
    copy.catch_up().await.unwrap();
    copy.source.close().await.unwrap();
    let shown = ["name", "email", "note", "mood"];
    let read = change(&copy, Operation::Read).after().unwrap();
    assert_eq!(texts(read, &shown), some(&["Sal", SALLY, "*****", "*****"]));
    let update = change(&copy, Operation::Update);
    assert_eq!(texts(update.before().unwrap(), &shown), some(&["Sal", SALLY, "*****", "*****"]));
    assert_eq!(texts(update.after().unwrap(), &shown), some(&["Sar", SALLY, "*****", "*****"]));
    let after = update.as_change().unwrap();
    assert!(!after.lacks_columns(), "what did not change is in the row before");
    assert_eq!(texts(&after.completed_after().unwrap(), &["large"]), some(&["xxx"]));
    let deleted = change(&copy, Operation::Delete).before().unwrap();
    assert_eq!(
        texts(deleted, &shown),
        [Some("Geo".into()), None, Some("*****".into()), Some("*****".into())]
    );
}

#[tokio::test]
async fn what_an_update_did_not_send_stays_unavailable() {
    let database = TestDatabase::create().await;
    database.run(TABLES).await;
    database.run("ALTER TABLE people REPLICA IDENTITY DEFAULT; INSERT INTO people SELECT 3, 'Ed', NULL, NULL, NULL, repeat('y', 5000)").await;
    let mut copy = Copy::new(
        database
            .source()
            .hash_columns(HashAlgorithm::Md5, "salt", ["public.people.large"])
            .truncate_columns(1, ["*.*.name"]),
    );
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    database
        .run("UPDATE people SET note = 'new' WHERE id = 1; DELETE FROM people WHERE id = 3")
        .await;
    copy.catch_up().await.unwrap();
    let update = change(&copy, Operation::Update).after().unwrap();
    assert_eq!(texts(update, &["name", "large"]), some(&["S", "Unavailable"]));
    let deleted = change(&copy, Operation::Delete);
    assert_eq!(
        texts(deleted.before().unwrap(), &["name", "large"]),
        some(&["Unavailable", "Unavailable"])
    );
    // The target has the hash of the copy still, which is the same as that of a fresh copy.
    copy.source.close().await.unwrap();
    let row = copy.target.contents()["public.people"].keys().next().unwrap().clone();
    assert!(row.contains("new") && !row.contains("xxx") && !row.contains("Unavailable"), "{row}");
}

#[tokio::test]
async fn keys_of_records_are_not_masked() {
    let database = TestDatabase::create().await;
    database
        .run(
            "CREATE TABLE people (code text PRIMARY KEY, n int);
             INSERT INTO people VALUES ('abcdef', 1)",
        )
        .await;
    let mut copy =
        Copy::from(database.connector(&[("column.truncate.to.3.chars", "public.people.code")]));
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    database.run("UPDATE people SET code = 'abcxyz'").await;
    copy.catch_up().await.unwrap();
    copy.source.close().await.unwrap();
    let update = change(&copy, Operation::Update);
    assert_eq!(texts(update.after().unwrap(), &["code"]), some(&["abc"]));
    assert_eq!(texts(update.key.as_row().unwrap(), &["code"]), some(&["abcxyz"]));
    let old = update.as_change().unwrap().old_record_key().unwrap();
    assert_eq!(texts(&old, &["code"]), some(&["abcdef"]));
}

#[tokio::test]
async fn masks_hold_in_a_transaction_that_is_sent_before_its_commit() {
    let database = TestDatabase::create().await;
    if database.lacks("the transaction that is sent before its commit", 14) {
        return;
    }
    database.run(TABLES).await;
    let config = database.config.clone().with_options("-c logical_decoding_work_mem=64kB");
    let builder = cdc_postgres::PostgresSource::builder(config)
        .slot_name(database.slot())
        .publication_name(database.slot())
        .exclude_columns(["*.*.note"])
        .mask_columns(2, ["*.people.name"]);
    let mut copy = Copy::new(builder);
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    database
        .run("INSERT INTO people (id, name, note) SELECT i, 'secret ' || i, repeat('secret', 50) FROM generate_series(10, 3009) i")
        .await;
    copy.catch_up().await.unwrap();
    copy.source.close().await.unwrap();
    let created = copy.target.of("public.people", Operation::Create);
    assert_eq!(created.len(), 3000);
    assert!(!format!("{created:?}").contains("secret"));
}
