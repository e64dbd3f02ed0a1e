//! A large value that an update leaves alone is unavailable, never NULL.

mod support;

use cdc_core::{Operation, Source as _, Value};
use support::{Copy, TestDatabase};

#[tokio::test]
async fn unchanged_large_values_are_unavailable() {
    let database = TestDatabase::create().await;
    database
        .run(
            "CREATE TABLE t (id int PRIMARY KEY, n int, large text);
             CREATE TABLE full_t (id int PRIMARY KEY, n int, large text);
             CREATE TABLE key_t (key text PRIMARY KEY, n int);
             ALTER TABLE t ALTER large SET STORAGE EXTERNAL;
             ALTER TABLE full_t ALTER large SET STORAGE EXTERNAL, REPLICA IDENTITY FULL;
             ALTER TABLE key_t ALTER key SET STORAGE EXTERNAL;
             INSERT INTO t VALUES (1, 1, repeat('x', 5000));
             INSERT INTO full_t VALUES (1, 1, repeat('x', 5000));
             INSERT INTO key_t VALUES (repeat('k', 2600), 1)",
        )
        .await;
    let mut copy = Copy::of(&database).await;
    database
        .run(
            "UPDATE t SET n = 2; UPDATE t SET id = 2; UPDATE t SET large = NULL;
             UPDATE full_t SET n = 2; UPDATE key_t SET n = 2; DELETE FROM full_t",
        )
        .await;
    copy.catch_up().await.unwrap();
    let updates = copy.target.of("public.t", Operation::Update);
    let large = |index: usize| updates[index].after().unwrap().by_name("large").unwrap().to_value();
    assert_eq!(large(0), Value::Unavailable);
    assert!(updates[0].before().is_none());
    assert_eq!(large(1), Value::Unavailable);
    let moved = updates[1].as_change().unwrap();
    assert_eq!(moved.old_key().unwrap().value(0), Some(Value::Int32(1)));
    assert_eq!(moved.before.as_ref().unwrap().by_name("n").unwrap().to_value(), Value::Unavailable);
    assert_eq!(large(2), Value::Null);
    let full = copy.target.of("public.full_t", Operation::Update)[0].as_change().unwrap();
    assert_eq!(
        full.completed_after().unwrap().by_name("large").unwrap().to_value(),
        Value::text("x".repeat(5000))
    );
    assert_eq!(full.schema.key().len(), 1, "the key is the primary key, not all columns");
    let keyed = copy.target.of("public.key_t", Operation::Update)[0].as_change().unwrap();
    assert_eq!(keyed.key().unwrap().value(0), Some(Value::text("k".repeat(2600))));
    assert!(keyed.old_key().is_none());
    copy.source.close().await.unwrap();
    copy.assert_equal(&database).await;
}
