//! Rows that are there are copied, then changes follow, each under the schema at its position.

mod support;

use cdc_core::{Operation, SnapshotMark, Source as _, Value};
use support::{Copy, TestDatabase};

#[tokio::test]
async fn rows_are_copied_then_changes_follow() {
    let database = TestDatabase::create().await;
    database
        .run(
            "CREATE TABLE orders (id int PRIMARY KEY, note text DEFAULT 'new', total numeric(10,2) NOT NULL);
             CREATE TABLE empty (id int PRIMARY KEY);
             CREATE TABLE log (line text);
             CREATE TABLE \"Odd.Name\" (\"b B\" int, a text, PRIMARY KEY (a, \"b B\"));
             INSERT INTO orders SELECT i, 'n' || i, i FROM generate_series(1, 1000) i;
             INSERT INTO log VALUES ('one'), ('one');
             INSERT INTO \"Odd.Name\" VALUES (1, 'x')",
        )
        .await;
    let mut copy = Copy::of(&database).await;
    assert_eq!(copy.target.of("public.orders", Operation::Read).len(), 1000);
    for table in ["public.orders", "public.empty", "public.log", "public.Odd.Name"] {
        assert_eq!(copy.target.of(table, Operation::Table).len(), 1, "{table}");
    }
    let marks: Vec<_> = copy
        .target
        .events
        .iter()
        .filter(|event| event.operation() == Some(Operation::Read))
        .map(|event| event.origin().snapshot)
        .collect();
    assert_eq!(marks.first(), Some(&SnapshotMark::First));
    assert_eq!(marks.last(), Some(&SnapshotMark::Last));
    let last_in_table = marks.iter().filter(|mark| **mark == SnapshotMark::LastInTable).count();
    assert_eq!(last_in_table, 1, "of three tables with rows one begins and one ends the snapshot");

    database
        .run(
            "INSERT INTO orders VALUES (2000, DEFAULT, 1);
             UPDATE orders SET total = 7 WHERE id = 1;
             UPDATE orders SET id = -2 WHERE id = 2;
             DELETE FROM orders WHERE id = 3;
             UPDATE log SET line = 'two';
             INSERT INTO log VALUES ('three');
             UPDATE \"Odd.Name\" SET a = 'y';
             ALTER TABLE orders ADD COLUMN extra int NOT NULL DEFAULT 5;
             INSERT INTO orders VALUES (3000, 'late', 2, 6);
             TRUNCATE \"Odd.Name\"",
        )
        .await;
    copy.catch_up().await.unwrap();
    let created = copy.target.of("public.orders", Operation::Create);
    assert_eq!(created.len(), 2);
    assert_eq!(created[1].after().unwrap().by_name("extra").unwrap().to_value(), Value::Int32(6));
    let moved = copy.target.of("public.orders", Operation::Update)[1].as_change().unwrap();
    assert_eq!(moved.old_key().unwrap().value(0), Some(Value::Int32(2)));
    assert_eq!(copy.target.of("public.orders", Operation::Table).len(), 2);
    assert_eq!(copy.target.of("public.Odd.Name", Operation::Truncate).len(), 1);
    copy.source.close().await.unwrap();
    // A table without an identity never makes its user's UPDATE fail; its updates are not followed.
    assert_eq!(copy.target.of("public.log", Operation::Update).len(), 0);
    assert_eq!(copy.target.of("public.log", Operation::Create).len(), 1);
    let odd =
        copy.target.events.iter().find(|e| e.destination.as_str() == "public.Odd.Name").unwrap();
    let key: Vec<_> = odd
        .as_change()
        .unwrap()
        .schema
        .key_schema()
        .unwrap()
        .fields()
        .iter()
        .map(|field| field.name.to_string())
        .collect();
    assert_eq!(key, ["a", "b B"]);
}
