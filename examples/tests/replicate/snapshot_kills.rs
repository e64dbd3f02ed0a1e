//! Killed again and again during the first snapshot, under writers: what is read again is little, nothing is emptied, and no row ever
//! goes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cdc_testservers::{Options, private_postgres};
use tokio::task::JoinHandle;

use crate::database::{Database, connect};
use crate::program::{Program, drain};

const TABLES: u64 = 10;
const WRITERS: u64 = 4;

/// What a target has to write down: rows that go back, and tables that are emptied.
const WATCH: &str = "CREATE TABLE oracle_seen (who text PRIMARY KEY, version bigint NOT NULL);
    CREATE TABLE oracle_violations (what text);
    CREATE FUNCTION oracle_watch() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE me text := TG_TABLE_NAME || ':' || NEW.id; had bigint;
    BEGIN
      INSERT INTO oracle_seen AS s VALUES (me, NEW.version) ON CONFLICT (who)
        DO UPDATE SET version = greatest(s.version, excluded.version) RETURNING version INTO had;
      IF had > NEW.version THEN INSERT INTO oracle_violations VALUES (me || ' had ' || had || ' got ' || NEW.version); END IF;
      RETURN NEW;
    END $$;
    CREATE FUNCTION oracle_emptied() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO oracle_violations VALUES (TG_TABLE_NAME || ' was emptied'); RETURN NULL; END $$;";

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_during_the_snapshot_it_goes_on_where_it_was() {
    let rows = from_environment("CDC_SNAPSHOT_ROWS", 60_000) / TABLES;
    let kills = from_environment("CDC_SNAPSHOT_KILLS", 6);
    let seed = from_environment("CDC_SEED", fastrand::u64(..));
    println!("CDC_SNAPSHOT_ROWS={} CDC_SNAPSHOT_KILLS={kills} CDC_SEED={seed}", rows * TABLES);
    let mut random = fastrand::Rng::with_seed(seed);
    let server = private_postgres(Options::new()).unwrap();
    let target_server = private_postgres(Options::new()).unwrap();
    let source = Database::create(&server.url("postgres"), "snapshot_kills").await;
    let target = Database::create(&target_server.url("postgres"), "snapshot_kills_copy").await;
    target.run(WATCH).await;
    source.run("CREATE SEQUENCE oracle_version").await;
    for table in 0..TABLES {
        let create = format!(
            "CREATE TABLE t{table} (id bigint PRIMARY KEY, version bigint NOT NULL, note text, pad text)"
        );
        source.run(&create).await;
        target.run(&create).await;
        source
            .run(&format!(
                "INSERT INTO t{table} SELECT i, 0, 'first', repeat('x', 60) FROM generate_series(1, {rows}) i; ANALYZE t{table}"
            ))
            .await;
        target
            .run(&format!(
                "CREATE TRIGGER watch BEFORE INSERT OR UPDATE ON t{table} FOR EACH ROW EXECUTE FUNCTION oracle_watch();
                 CREATE TRIGGER emptied AFTER TRUNCATE ON t{table} EXECUTE FUNCTION oracle_emptied()"
            ))
            .await;
    }
    source.run("SELECT pg_stat_reset()").await;
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<JoinHandle<u64>> = (0..WRITERS)
        .map(|writer| {
            tokio::spawn(write(source.url.clone(), writer, rows, seed, Arc::clone(&stop)))
        })
        .collect();

    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let arguments = [&source.url, &target.url, "--state", state.to_str().unwrap()];
    let (mut in_snapshot, mut given) = (0, 0);
    // A round lasts as long as a share of the snapshot does, however fast this machine is.
    let mut longest = 1_000;
    for round in 0..kills {
        let mut program = Program::start(&arguments);
        program
            .wait_for(if round == 0 { "snapshot" } else { "streaming" }, Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(random.u64(longest / 4..longest))).await;
        assert!(program.is_running(), "round {round} ended by itself: {}", program.errors());
        program.kill();
        let (left, now) = progress(&target).await;
        assert!(now >= given, "round {round}: {now} events of the snapshot after {given}");
        println!("round {round}: {left} tables left, {now} events of the snapshot");
        in_snapshot += u64::from(left > 0);
        longest = if now == given { longest * 3 / 2 } else { longest };
        given = now;
    }
    stop.store(true, Ordering::Relaxed);
    let mut written = 0;
    for writer in writers {
        written += writer.await.unwrap();
    }
    drain(&arguments);
    // What the server says was read; of that the writers found three rows a statement by their keys at most.
    let query = "SELECT sum(coalesce(idx_tup_fetch, 0) + coalesce(seq_tup_read, 0))::bigint::text FROM pg_stat_user_tables";
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let read: u64 = source.one(query).await.unwrap().parse().unwrap();
    source.assert_copied_to(&target).await;
    assert_eq!(
        target
            .one("SELECT count(*) || ' ' || coalesce(min(what), '') FROM oracle_violations")
            .await,
        Some("0 ".to_owned())
    );
    let (_, events) = progress(&target).await;
    println!(
        "{} rows, {kills} kills ({in_snapshot} in the snapshot), {written} changes: {read} rows read by the server's count, {events} given",
        rows * TABLES
    );
    // One chunk is being read and another one given when it is killed, on its one connection.
    let again = kills * 2 * LARGEST_CHUNK.min(rows);
    let wanted = rows * TABLES + written;
    assert!(
        events <= wanted + again,
        "{events} rows given, {wanted} are there, {again} may come again"
    );
    // By the server's own count nothing was read that was not given, but for the chunks that a kill has cut off.
    let by_writers = 3 * written;
    assert!(
        read <= events + again + by_writers,
        "{read} rows read, {events} given, {again} may be read again, {by_writers} by writers"
    );
}

/// So many rows like these are in 8 MiB, which a chunk takes at most.
const LARGEST_CHUNK: u64 = 60_000;

/// How many tables are left to read, and how many events of the snapshot the target has.
async fn progress(target: &Database) -> (u64, u64) {
    let query = "SELECT coalesce(json_array_length(o->'tables'), 0) || ' ' || coalesce(o->>'sent', '0') \
                 FROM (SELECT \"offset\"::json->'cdc'->'chunks' AS o FROM cdc_offsets WHERE \"offset\" IS NOT NULL) AS offsets";
    let Some(row) = target.one(query).await else { return (TABLES, 0) };
    let (left, sent) = row.split_once(' ').unwrap();
    (left.parse().unwrap(), sent.parse().unwrap())
}

/// Changes rows of its own in all tables until it is told to stop.
async fn write(url: String, writer: u64, rows: u64, seed: u64, stop: Arc<AtomicBool>) -> u64 {
    let sql = connect(&url).await;
    let mut random = fastrand::Rng::with_seed(seed ^ writer);
    let mut written = 0;
    while !stop.load(Ordering::Relaxed) {
        let table = random.u64(0..TABLES);
        let mut key = || random.u64(0..=rows / WRITERS) * WRITERS + writer;
        let (id, other) = (key(), key());
        let statement = match random.u32(0..10) {
            0 => format!("DELETE FROM t{table} WHERE id = {id}"),
            1 | 2 => format!(
                "INSERT INTO t{table} VALUES ({id}, nextval('oracle_version'), 'new', 'y') \
                 ON CONFLICT (id) DO UPDATE SET version = excluded.version, note = 'again'"
            ),
            3 => format!(
                "UPDATE t{table} SET id = {other}, version = nextval('oracle_version') \
                 WHERE id = {id} AND NOT EXISTS (SELECT FROM t{table} WHERE id = {other})"
            ),
            _ => format!(
                "UPDATE t{table} SET note = 'n{id}', version = nextval('oracle_version') WHERE id = {id}"
            ),
        };
        sql.batch_execute(&statement).await.unwrap();
        written += 1;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    written
}
