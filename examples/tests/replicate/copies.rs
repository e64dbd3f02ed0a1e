//! One pipeline, two copies: 20 tables, mixed changes, a target that stands still for a while.

use std::time::Duration;

use cdc_testservers::{Options, private_postgres};

use crate::database::Database;
use crate::program::{Program, drain};

/// 20 tables of different shapes; every third is empty.
fn schema() -> String {
    (0..20)
        .map(|i| {
            let rows = if i % 3 == 0 { 0 } else { 40 * i };
            format!(
                "CREATE TABLE t{i} (id bigint PRIMARY KEY, name varchar(40), price numeric(10,2), at timestamptz DEFAULT now(), \
                 flags boolean[], doc jsonb, ratio double precision, raw bytea);
                 INSERT INTO t{i} SELECT g, 'name ' || g, g / 7.0, '2026-01-01'::timestamptz + g * interval '1 h', \
                 ARRAY[true, NULL, g % 2 = 0], jsonb_build_object('n', g), g / 3.0, decode(md5(g::text), 'hex') \
                 FROM generate_series(1, {rows}) g;"
            )
        })
        .collect()
}

/// A few changes of all kinds in one table.
fn changes(table: usize, round: usize) -> String {
    let id = round * 37 % 500;
    format!(
        "INSERT INTO t{table} (id, name) VALUES ({id}, 'new') ON CONFLICT (id) DO UPDATE SET name = 'again', ratio = 'NaN';
         UPDATE t{table} SET price = price + 1, doc = '{{\"round\": {round}}}' WHERE id BETWEEN {id} AND {id} + 4;
         UPDATE t{table} SET id = id + 10000 WHERE id = {id} + 7 AND NOT EXISTS (SELECT FROM t{table} WHERE id = {id} + 10007);
         DELETE FROM t{table} WHERE id = {id} + 11;"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_targets_end_equal_while_one_of_them_stands_still_and_a_column_is_added() {
    let source = Database::shared("seed").await;
    source.run(&schema()).await;
    let near = Database::shared("seed_near").await;
    let mut far_server = private_postgres(Options::new()).unwrap();
    let far = Database::create(&far_server.url("postgres"), "seed_far").await;
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let far_url = far.url.clone();
    let arguments = [
        source.url.as_str(),
        near.url.as_str(),
        far_url.as_str(),
        "--state",
        state.to_str().unwrap(),
    ];

    let mut program = Program::start(&arguments);
    for round in 0..1_250 {
        source.run(&changes(round % 20, round)).await;
        match round {
            300 => source.run("ALTER TABLE t4 ADD COLUMN added int DEFAULT 7; UPDATE t4 SET added = id WHERE id < 20").await,
            // A target that was never there is an error of the first start.
            499 => program.wait_for("streaming", Duration::from_secs(60)),
            500 => far_server.stop().unwrap(),
            900 => far_server.restart(&[]).unwrap(),
            _ => {}
        }
    }
    program.signal("TERM");
    assert!(program.wait(Duration::from_secs(60)).success(), "{}", program.errors());
    drain(&arguments);

    let far = far.reconnected().await;
    source.assert_copied_to(&near).await;
    source.assert_copied_to(&far).await;
    assert_eq!(
        near.one("SELECT count(*) FROM t0 WHERE false").await.as_deref(),
        Some("0"),
        "empty tables exist"
    );

    let mut remove = arguments.to_vec();
    remove.push("--remove");
    assert!(Program::start(&remove).wait(Duration::from_secs(30)).success());
    assert_eq!(
        source
            .one("SELECT count(*) FROM pg_replication_slots WHERE database = current_database()")
            .await
            .as_deref(),
        Some("0")
    );
    assert_eq!(source.one("SELECT count(*) FROM pg_publication").await.as_deref(), Some("0"));
    for database in [source, near] {
        database.drop_now().await;
    }
}

#[tokio::test]
async fn a_table_made_later_joins_at_the_next_start_with_its_rows() {
    let source = Database::shared("joins").await;
    source.run("CREATE TABLE first (id int PRIMARY KEY); INSERT INTO first VALUES (1)").await;
    let target = Database::shared("joins_copy").await;
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let arguments = [source.url.as_str(), target.url.as_str(), "--state", state.to_str().unwrap()];
    drain(&arguments);

    source
        .run("CREATE TABLE later (id int PRIMARY KEY, note text); INSERT INTO later VALUES (1, 'a'), (2, 'b');
              CREATE TABLE later_keyless (n int); INSERT INTO later_keyless VALUES (1), (1); INSERT INTO first VALUES (2)")
        .await;
    drain(&arguments);
    source
        .run("UPDATE later SET note = 'c' WHERE id = 1; INSERT INTO later_keyless VALUES (2)")
        .await;
    drain(&arguments);

    source.assert_copied_to(&target).await;
    for database in [source, target] {
        database.drop_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_missed_the_snapshot_gets_it_after_a_kill_and_the_other_keeps_what_it_has() {
    let source = Database::shared("mixed").await;
    let tables = "CREATE TABLE t (id int PRIMARY KEY, note text, big text); CREATE TABLE log (n int); \
                  ALTER TABLE t ALTER COLUMN big SET STORAGE EXTERNAL;";
    source.run(tables).await;
    source
        .run("INSERT INTO t SELECT i, 'old', repeat(md5(i::text), 100) FROM generate_series(1, 200) i; \
              INSERT INTO log SELECT generate_series(1, 500)")
        .await;
    let near = Database::shared("mixed_near").await;
    // A server of its own: making a slot waits for open transactions anywhere in its cluster.
    let far_server = private_postgres(Options::new()).unwrap();
    let far = Database::create(&far_server.url("postgres"), "mixed_far").await;
    far.run(tables).await;
    near.run(tables).await;
    near.run("CREATE TABLE oracle_emptied (at timestamptz); CREATE FUNCTION oracle_note() RETURNS trigger LANGUAGE plpgsql AS \
              $$ BEGIN INSERT INTO oracle_emptied VALUES (now()); RETURN NULL; END $$; \
              CREATE TRIGGER note AFTER TRUNCATE ON t FOR EACH STATEMENT EXECUTE FUNCTION oracle_note()")
        .await;
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let arguments = [
        source.url.as_str(),
        near.url.as_str(),
        far.url.as_str(),
        "--state",
        state.to_str().unwrap(),
    ];
    let change = async |from: i32| {
        source
            .run(&format!(
                "INSERT INTO log SELECT generate_series({from}, {from} + 99); \
                 UPDATE t SET note = 'n{from}' WHERE id % 3 = 0; \
                 BEGIN; UPDATE t SET id = -1 WHERE id = 1; UPDATE t SET id = 1 WHERE id = 2; UPDATE t SET id = 2 WHERE id = -1; COMMIT; \
                 DELETE FROM t WHERE id = {from} % 200"
            ))
            .await;
    };

    let mut blocker = crate::database::connect(&far.url).await;
    let lock = blocker.transaction().await.unwrap();
    lock.batch_execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let mut program = Program::start(&arguments);
    program.wait_for("streaming", Duration::from_secs(30));
    for round in 10..15 {
        change(round * 100).await;
    }
    let all = source.one("SELECT count(*) FROM log").await;
    crate::database::eventually("one target has all of it", Duration::from_secs(20), async || {
        near.one("SELECT count(*) FROM log").await == all
    })
    .await;
    assert_eq!(
        far.one("SELECT count(*) FROM log").await.as_deref(),
        Some("0"),
        "the other stands still"
    );
    program.kill();
    change(2_000).await;
    drop(lock);

    let mut program = Program::start(&arguments);
    program.wait_for("streaming", Duration::from_secs(30));
    change(3_000).await;
    program.kill();
    change(4_000).await;
    drain(&arguments);

    source.assert_copied_to(&near).await;
    source.assert_copied_to(&far).await;
    assert_eq!(
        near.one("SELECT count(*) FROM oracle_emptied").await.as_deref(),
        Some("0"),
        "spared the second snapshot"
    );
    for database in [source, near] {
        database.drop_now().await;
    }
}

#[tokio::test]
async fn tables_that_cannot_be_copied_are_left_out_of_all_and_do_not_stop_the_others() {
    let first = Database::shared("chain_a").await;
    first.run("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1); CREATE UNLOGGED TABLE u (n int); CREATE TABLE nothing ()").await;
    let (second, third) = (Database::shared("chain_b").await, Database::shared("chain_c").await);
    let folder = tempfile::tempdir().unwrap();
    for (number, (from, to)) in [(&first, &second), (&second, &third)].iter().enumerate() {
        let state = folder.path().join(number.to_string()).display().to_string();
        let told = drain(&[&from.url, &to.url, "--state", &state]);
        assert_eq!(to.one("SELECT string_agg(id::text, ',') FROM t").await.as_deref(), Some("1"));
        let left_out = if number == 0 { "public.u" } else { "public.cdc_offsets" };
        assert!(told.contains(left_out), "{told}");
    }
    for database in [first, second, third] {
        database.drop_now().await;
    }
}

#[tokio::test]
async fn a_publication_of_the_users_own_is_read_as_it_is() {
    let source = Database::shared("own_publication").await;
    source
        .run("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 0); CREATE TABLE other (id int PRIMARY KEY); \
              CREATE PUBLICATION mine FOR TABLE t WITH (publish = 'insert')")
        .await;
    let target = Database::shared("own_publication_copy").await;
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state").display().to_string();
    let arguments =
        [source.url.as_str(), target.url.as_str(), "--state", &state, "--publication", "mine"];
    drain(&arguments);
    source.run("INSERT INTO t VALUES (2, 0); UPDATE t SET n = 1 WHERE id = 1").await;
    drain(&arguments);

    let copied = target.one("SELECT string_agg(id || ':' || n, ',' ORDER BY id) FROM t").await;
    assert_eq!(copied.as_deref(), Some("1:0,2:0"), "updates are not published");
    assert_eq!(target.one("SELECT to_regclass('other')::text").await, None, "nor is this table");
    assert_eq!(
        source.one("SELECT string_agg(pubname, ',') FROM pg_publication").await.as_deref(),
        Some("mine")
    );
    for database in [source, target] {
        database.drop_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_joins_later_gets_all_rows_beside_the_stream() {
    let source = Database::shared("later").await;
    source.run(&schema()).await;
    source
        .run("CREATE TABLE keyless (line int); INSERT INTO keyless SELECT generate_series(1, 70)")
        .await;
    let (first, second) = (Database::shared("later_a").await, Database::shared("later_b").await);
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let state = ["--state", state.to_str().unwrap()];
    drain(&[&[source.url.as_str(), first.url.as_str()], &state[..]].concat());
    for round in 0..100 {
        source.run(&changes(round % 20, round)).await;
    }
    let both =
        [&[source.url.as_str(), first.url.as_str(), second.url.as_str()], &state[..]].concat();
    let mut program = Program::start(&both);
    for round in 100..200 {
        source.run(&changes(round % 20, round)).await;
    }
    source.run("INSERT INTO keyless VALUES (71)").await;
    program.wait_for("streaming", Duration::from_secs(60));
    program.kill();
    drain(&both);
    for target in [first, second] {
        source.assert_copied_to(&target).await;
        target.drop_now().await;
    }
    source.drop_now().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_stands_still_while_a_table_joins_has_it_too_after_a_kill() {
    let source = Database::shared("joined").await;
    source.run("CREATE TABLE first (id int PRIMARY KEY); INSERT INTO first VALUES (1)").await;
    let (near, far) = (Database::shared("joined_near").await, Database::shared("joined_far").await);
    let table = "CREATE TABLE later (id int PRIMARY KEY, note text)";
    for target in [&near, &far] {
        target.run(&format!("{table}; INSERT INTO later VALUES (-1, 'of an earlier life')")).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let arguments = [
        source.url.as_str(),
        near.url.as_str(),
        far.url.as_str(),
        "--state",
        state.to_str().unwrap(),
    ];
    drain(&arguments);
    source
        .run(&format!(
            "{table}; INSERT INTO later SELECT i, 'old' FROM generate_series(1, 5000) i;
             CREATE TABLE later_keyless (n int); INSERT INTO later_keyless SELECT generate_series(1, 100)"
        ))
        .await;
    let mut blocker = crate::database::connect(&far.url).await;
    for round in 1..4 {
        let change = format!(
            "INSERT INTO first SELECT max(id) + 1 FROM first; UPDATE later SET note = 'n{round}' WHERE id % 7 = {round};
             UPDATE later SET id = -100 * id WHERE id = {round} * 10; DELETE FROM later WHERE id = {round};
             INSERT INTO later_keyless VALUES (-{round})"
        );
        let lock = blocker.transaction().await.unwrap();
        lock.batch_execute("LOCK TABLE later IN ACCESS EXCLUSIVE MODE").await.unwrap();
        let mut program = Program::start(&arguments);
        source.run(&change).await;
        let rows = "SELECT count(*) FROM later";
        let all = source.one(rows).await;
        crate::database::eventually(
            "one target has all of it",
            Duration::from_secs(30),
            async || near.one(rows).await == all,
        )
        .await;
        program.kill();
        source.run(&change.replace("WHERE id = ", "WHERE id = 1000 + ")).await;
        drop(lock);
    }
    drain(&arguments);
    source.assert_copied_to(&near).await;
    source.assert_copied_to(&far).await;
    for database in [source, near, far] {
        database.drop_now().await;
    }
}
