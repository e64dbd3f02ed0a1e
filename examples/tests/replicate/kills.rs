//! kill -9 at any moment, cut connections, a crashed server: nothing lost, nothing twice, nothing goes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use cdc_testservers::{Crash, Options, private_postgres};

use crate::database::{Database, eventually};
use crate::program::{Program, drain};
use crate::workload::{ROWS, SCHEMA, VERSION_WATCH, Workload};

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_it_loses_nothing_repeats_nothing_and_never_goes_back() {
    let kills = from_environment("CDC_KILLS", 10);
    let changes = from_environment("CDC_CHANGES", 10_000);
    let seed = from_environment("CDC_SEED", fastrand::u64(..));
    println!("CDC_KILLS={kills} CDC_CHANGES={changes} CDC_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);

    let mut server = private_postgres(Options::new().setting("wal_sender_timeout", "10s")).unwrap();
    let target_server = private_postgres(Options::new()).unwrap();
    let mut source = Database::create(&server.url("postgres"), "kills").await;
    source.run(SCHEMA).await;
    source.run(ROWS).await;
    let target = Database::create(&target_server.url("postgres"), "kills_copy").await;
    target.run(SCHEMA).await;
    target.run(VERSION_WATCH).await;
    let folder = tempfile::tempdir().unwrap();
    let sqlite = format!("sqlite:{}", folder.path().join("copy.db").display());
    let state = folder.path().join("state");
    let (source_url, target_url) = (source.url.clone(), target.url.clone());
    let arguments = [&source_url, &target_url, &sqlite, "--state", state.to_str().unwrap()];

    // In a tenth of the rounds the program dies between the making of the slot and the first saved position.
    for _ in 0..kills.div_ceil(10) {
        let mut program = Program::start(&arguments);
        eventually("a slot", Duration::from_secs(60), async || {
            source
                .one("SELECT 1 FROM pg_replication_slots WHERE database = current_database()")
                .await
                .is_some()
        })
        .await;
        std::thread::sleep(Duration::from_micros(random.u64(0..3_000)));
        program.kill();
        if random.bool() {
            source
                .run("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database() AND NOT active")
                .await;
        }
    }

    let done = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn(write(
        source.url.clone(),
        seed,
        changes,
        Arc::clone(&done),
        Arc::clone(&stop),
    ));

    let mut saved = saved_position(&target).await;
    // In a fifth of the rounds it dies in the snapshot, in the others anywhere.
    for round in 0..kills {
        let mut program = Program::start(&arguments);
        let longest = if round < kills.div_ceil(5) { 300 } else { 1_500 };
        tokio::time::sleep(Duration::from_millis(random.u64(20..longest))).await;
        match round % 7 {
            3 => {
                source
                    .run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'cdc%'")
                    .await;
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            6 => {
                server.crash(Crash::Kill).unwrap();
                tokio::time::sleep(Duration::from_millis(300)).await;
                server.restart(&[]).unwrap();
                source = source.reconnected().await;
                tokio::time::sleep(Duration::from_millis(1_000)).await;
            }
            _ => {}
        }
        assert!(program.is_running(), "round {round} ended by itself: {}", program.errors());
        program.kill();
        let now = saved_position(&target).await;
        assert!(now >= saved, "round {round}: the offset went back from {saved:?} to {now:?}");
        saved = now;
    }
    let mut program = Program::start(&arguments);
    eventually("all changes are made", Duration::from_secs(600), async || {
        done.load(Ordering::Relaxed) >= changes || writer.is_finished()
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    writer.await.unwrap();
    program.wait_for("streaming", Duration::from_secs(120));
    program.signal("TERM");
    assert!(program.wait(Duration::from_secs(60)).success(), "{}", program.errors());
    drain(&arguments);

    let source = source.reconnected().await;
    source.assert_copied_to(&target).await;
    assert_eq!(
        target.one("SELECT count(*) - count(DISTINCT n) FROM log").await.as_deref(),
        Some("0"),
        "no row twice"
    );
    assert_eq!(
        target.one("SELECT count(*) || ' ' || coalesce(min(who || ' had ' || had || ' got ' || got), '') FROM oracle_violations").await.as_deref(),
        Some("0 "),
        "no row went back to an older version"
    );
    compare_sqlite(&source, &folder.path().join("copy.db")).await;
}

/// Whether the first copy is done, and up to where the log is in the target.
async fn saved_position(target: &Database) -> (bool, u64) {
    let query = "SELECT (o->>'phase' = 'streaming')::text || ' ' || coalesce(o->>'end', '0') \
                 FROM (SELECT \"offset\"::json->'cdc' AS o FROM cdc_offsets WHERE \"offset\" IS NOT NULL) AS offsets";
    let Some(row) = target.one(query).await else { return (false, 0) };
    let (streaming, end) = row.split_once(' ').unwrap();
    // Before the first copy is done its start may change: a new slot is made when the old one was dropped.
    if streaming == "true" { (true, end.parse().unwrap()) } else { (false, 0) }
}

/// Makes changes through crashes of the server until there are enough.
async fn write(url: String, seed: u64, changes: u64, done: Arc<AtomicU64>, stop: Arc<AtomicBool>) {
    let mut workload = Workload::new(seed);
    let mut large = false;
    while !stop.load(Ordering::Relaxed) && done.load(Ordering::Relaxed) < changes {
        let Some(sql) = try_connect(&url).await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        while !stop.load(Ordering::Relaxed) && done.load(Ordering::Relaxed) < changes {
            let rows = if !large && done.load(Ordering::Relaxed) > changes / 2 {
                large = true;
                workload.large_transaction(&sql, changes.min(100_000)).await.map(|_| 1)
            } else {
                workload.step(&sql).await
            };
            match rows {
                Ok(rows) => done.fetch_add(rows, Ordering::Relaxed),
                Err(error)
                    if error.is_closed()
                        || error.code().is_none_or(|code| code.code().starts_with("57P")) =>
                {
                    break;
                }
                Err(error) => panic!("the workload is wrong: {error:?}"),
            };
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

async fn try_connect(url: &str) -> Option<cdc_pgconn::SqlClient> {
    let config = cdc_pgconn::ConnectConfig::from_url(url).ok()?;
    let session = cdc_pgconn::Session::default().with_application_name("oracle");
    cdc_pgconn::connect_sql(&config, &session).await.ok()
}

/// Compares the tables whose values look the same in both databases.
async fn compare_sqlite(source: &Database, path: &std::path::Path) {
    let copy =
        rusqlite::Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)
            .unwrap();
    for (table, columns) in [
        ("items", "id, version, big, note, amount"),
        ("\"Odd Table\"", "\"Key A\", \"key b\", version, \"val,ue\""),
        ("big_keys", "k, version, note"),
        ("by_index", "a, b, version"),
        ("log", "n, message"),
        ("keyless_full", "n, note"),
        ("emptied", "id, version"),
        ("seats", "seat, version, guest, luggage"),
        ("never_used", "id, note"),
    ] {
        let mut theirs: Vec<Vec<Option<String>>> = Vec::new();
        let casts =
            columns.split(", ").map(|c| format!("{c}::text")).collect::<Vec<_>>().join(", ");
        for row in source.sql.query(&format!("SELECT {casts} FROM {table}"), &[]).await.unwrap() {
            theirs.push((0..row.len()).map(|i| row.get(i)).collect());
        }
        let casts = columns
            .split(", ")
            .map(|c| format!("CAST({c} AS TEXT)"))
            .collect::<Vec<_>>()
            .join(", ");
        let mut statement = copy.prepare(&format!("SELECT {casts} FROM {table}")).unwrap();
        let mut ours: Vec<Vec<Option<String>>> = statement
            .query_map([], |row| (0..row.as_ref().column_count()).map(|i| row.get(i)).collect())
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        theirs.sort();
        ours.sort();
        assert_eq!(theirs.len(), ours.len(), "rows of {table} in SQLite");
        assert!(theirs == ours, "rows of {table} in SQLite differ");
    }
}
