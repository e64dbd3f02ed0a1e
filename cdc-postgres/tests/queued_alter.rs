//! Somebody's ALTER TABLE waits while the copy begins, and whoever asks for the table waits behind it: the copy goes on when that
//! has ended, whatever it looked at meanwhile (later servers, from 17 on, lock a table to show the expression of a default).

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::Duration;

use cdc_core::Operation;
use cdc_testservers::Options;
use support::{Copy, PATIENCE, TestDatabase};

/// Holds up the second session of the source, the one that keeps the slot's snapshot, until the test lets go of a lock: the slot is
/// made by then, for which nobody may be altering.
const HOLD_THE_SECOND: &str = "CREATE SEQUENCE sessions;
     CREATE FUNCTION hold_the_second() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
       IF nextval('sessions') = 2 THEN PERFORM pg_advisory_lock(4711); PERFORM pg_advisory_unlock(4711); END IF;
     END $$";

#[tokio::test]
async fn a_queued_alter_table_does_not_stop_the_copy() {
    let database = TestDatabase::on_own_server(Options::new()).await;
    database
        .run("CREATE TABLE t (id int PRIMARY KEY, v text DEFAULT 'd'); INSERT INTO t VALUES (1, 'a'), (2, 'b')")
        .await;
    database.run(HOLD_THE_SECOND).await;
    database.run("SELECT pg_advisory_lock(4711)").await;
    let (reading, altering) = (database.session().await, database.session().await);
    let mut copy = Copy::new(
        database.source().tables(["public.t"]).initial_statements(["SELECT hold_the_second()"]),
    );
    copy.start().await.unwrap();
    let altered = std::cell::OnceCell::new();
    let schedule = async {
        until_waiting(&database, "locktype = 'advisory'").await;
        reading.batch_execute("BEGIN; SELECT count(*) FROM t").await.unwrap();
        let alter = async move {
            altering.batch_execute("ALTER TABLE t ALTER v DROP DEFAULT").await.unwrap();
        };
        altered.set(tokio::spawn(alter)).unwrap();
        until_waiting(&database, "mode = 'AccessExclusiveLock' AND relation = 't'::regclass").await;
        database.run("SELECT pg_advisory_unlock(4711)").await;
        until_waiting(&database, "mode = 'AccessShareLock' AND relation = 't'::regclass").await;
        tokio::time::sleep(Duration::from_millis(1500)).await;
        reading.batch_execute("COMMIT").await.unwrap();
    };
    let copied = copy.until(|copy| copy.target.of("public.t", Operation::Read).len() >= 2);
    let ((), copied) = tokio::join!(schedule, tokio::time::timeout(PATIENCE, copied));
    copied.expect("the copy ends").unwrap();
    altered.into_inner().unwrap().await.unwrap();
    database.run("INSERT INTO t VALUES (3, 'c')").await;
    copy.finish(&database).await;
    assert_eq!(copy.target.contents()["public.t"].len(), 3);
}

/// Waits until a lock of this kind is waited for in this database.
async fn until_waiting(database: &TestDatabase, lock: &str) {
    let query = format!(
        "SELECT count(*)::text FROM pg_locks l JOIN pg_database d ON d.oid = l.database \
         WHERE NOT granted AND d.datname = current_database() AND {lock}"
    );
    let waited = tokio::time::timeout(PATIENCE, async {
        while database.text(&query).await.as_deref() == Some("0") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.expect("somebody waits for the lock");
}
