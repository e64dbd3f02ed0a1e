//! A column that is added between the slot's snapshot and its read: rows that the log brings from before that have it too.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use cdc_core::Operation;
use support::{Copy, PATIENCE, TestDatabase};

/// Holds up the second session of the source, the one that reads, until the test lets go of a lock; the slot is made by then.
const HOLD_THE_SECOND: &str = "CREATE SEQUENCE sessions;
     CREATE FUNCTION hold_the_second() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
       IF nextval('sessions') = 2 THEN PERFORM pg_advisory_lock(4712); PERFORM pg_advisory_unlock(4712); END IF;
     END $$";

#[tokio::test]
async fn rows_from_before_a_column_was_added_are_read_with_it() {
    let database = TestDatabase::create().await;
    database.run("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    database.run(HOLD_THE_SECOND).await;
    database.run("SELECT pg_advisory_lock(4712)").await;
    let mut copy = Copy::new(
        database.source().tables(["public.t"]).initial_statements(["SELECT hold_the_second()"]),
    );
    copy.start().await.unwrap();
    let schedule = async {
        let waits = "SELECT count(*)::text FROM pg_locks WHERE NOT granted AND locktype = 'advisory' \
                     AND objid = 4712 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        while database.text(waits).await.as_deref() == Some("0") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        database.run("INSERT INTO t VALUES (2)").await;
        database.run("ALTER TABLE t ADD COLUMN added int DEFAULT 7").await;
        database.run("SELECT pg_advisory_unlock(4712)").await;
    };
    let copied = copy.until(|copy| copy.target.of("public.t", Operation::Read).len() >= 2);
    let ((), copied) = tokio::join!(schedule, tokio::time::timeout(PATIENCE, copied));
    copied.expect("the copy ends").unwrap();
    database.run("INSERT INTO t VALUES (3, 8)").await;
    copy.finish(&database).await;
    copy.assert_equal(&database).await;
    let inserted = copy.target.of("public.t", Operation::Create);
    assert_eq!(inserted[0].after().unwrap().len(), 1, "row 2 as the log has it");
}
