//! What reading by chunks costs, beside a plain COPY and for those who write meanwhile. They take minutes and want a quiet
//! machine:
//!
//!     cargo test --release -p cdc-postgres --lib incremental::tests::speed -- --ignored --nocapture --test-threads 1

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use cdc_pgconn::SqlClient;
use futures_util::StreamExt as _;
use tokio::time::Instant;

use super::*;

const ROWS: u32 = 1_000_000;

async fn table(database: &TestDatabase, key: &str, of_n: &str) {
    database
        .run(&format!(
            "CREATE TABLE t (id {key} PRIMARY KEY, customer int, amount numeric(12,2), note text, at timestamptz, done bool, code varchar(20), v int);
             INSERT INTO t SELECT {of_n}, n % 1000, n / 7.0, 'note of ' || md5(n::text), now(), n % 2 = 0, 'c' || n, 0 FROM generate_series(1, {ROWS}) n"
        ))
        .await;
    database.run("VACUUM ANALYZE t").await;
}

/// The limit: the rows of a table by one COPY, thrown away as they come.
async fn copy_alone(session: &SqlClient) -> Duration {
    let begin = Instant::now();
    let stream = session.copy_out("COPY t TO STDOUT").await.unwrap();
    tokio::pin!(stream);
    while let Some(chunk) = stream.next().await {
        chunk.unwrap();
    }
    begin.elapsed()
}

/// All chunks, with rows that are decoded and thrown away.
async fn by_chunks(database: &TestDatabase, connections: usize) -> (Duration, usize) {
    let mut copy = Copy::new(database, connections, ChunkTarget::default());
    copy.keeps_rows = false;
    copy.want(database, &whole(database, "t").await, connections).await;
    let begin = Instant::now();
    let copy = copy.run().await;
    assert_eq!(copy.count, usize::try_from(ROWS).unwrap());
    (begin.elapsed(), copy.regions.len())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn chunks_beside_a_copy_alone() {
    for (key, of_n) in [("bigint", "n"), ("uuid", "md5(n::text)::uuid")] {
        let database = TestDatabase::create().await;
        table(&database, key, of_n).await;
        println!("key of type {key}");
        compare(&database).await;
    }
}

async fn compare(database: &TestDatabase) {
    let session = database.session().await;
    let rate = |time: Duration| f64::from(ROWS) / time.as_secs_f64() / 1e6;
    for _ in 0..3 {
        let alone = copy_alone(&session).await;
        println!("COPY alone       {:.2} M rows/s", rate(alone));
        for connections in [1, 2] {
            let (time, chunks) = by_chunks(database, connections).await;
            println!(
                "chunks, {connections} readers {:.2} M rows/s in {chunks} chunks: {:.0} %",
                rate(time),
                100.0 * alone.as_secs_f64() / time.as_secs_f64()
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn what_a_chunk_costs_beside_its_rows() {
    let database = TestDatabase::create().await;
    table(&database, "bigint", "n").await;
    database.run("DELETE FROM t WHERE id > 20000; ANALYZE t").await;
    for _ in 0..3 {
        let chunk = ChunkTarget { bytes: 8_000, first_rows: 50, ..ChunkTarget::default() };
        let mut copy = Copy::new(&database, 1, chunk);
        copy.keeps_rows = false;
        copy.want(&database, &whole(&database, "t").await, 1).await;
        let begin = Instant::now();
        let copy = copy.run().await;
        let chunks = copy.regions.len();
        let each = begin.elapsed() / u32::try_from(chunks).unwrap();
        println!("{chunks} chunks of {} rows, {each:?} each", copy.count / chunks);
    }
}

/// Writers that commit a row each time.
struct Writers {
    stop: Arc<AtomicBool>,
    commits: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<Vec<Duration>>>,
}

impl Writers {
    /// Each with so long from one commit to the next at least.
    async fn start(database: &TestDatabase, pause: Duration) -> Self {
        let (stop, commits) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut tasks = Vec::new();
        for writer in 0..2u32 {
            let session = database.session().await;
            let (stop, commits) = (Arc::clone(&stop), Arc::clone(&commits));
            tasks.push(tokio::spawn(async move {
                let update =
                    session.prepare("UPDATE t SET v = v + 1 WHERE id = $1::int8").await.unwrap();
                let mut times = Vec::new();
                let (mut key, mut next) = (writer, Instant::now());
                while !stop.load(Ordering::Relaxed) {
                    key = (key + 7_919) % ROWS;
                    let begin = Instant::now();
                    session.execute(&update, &[&i64::from(key + 1)]).await.unwrap();
                    times.push(begin.elapsed());
                    commits.fetch_add(1, Ordering::Relaxed);
                    next += pause;
                    tokio::time::sleep_until(next).await;
                }
                times
            }));
        }
        Writers { stop, commits, tasks }
    }

    async fn rate(&self, time: Duration) -> f64 {
        let before = self.commits.load(Ordering::Relaxed);
        let begin = Instant::now();
        tokio::time::sleep(time).await;
        let count = u32::try_from(self.commits.load(Ordering::Relaxed) - before).unwrap();
        f64::from(count) / begin.elapsed().as_secs_f64()
    }

    /// The times of all commits, in their order by length.
    async fn stop(self) -> Vec<Duration> {
        self.stop.store(true, Ordering::Relaxed);
        let mut times = Vec::new();
        for task in self.tasks {
            times.extend(task.await.unwrap());
        }
        times.sort_unstable();
        times
    }
}

fn p99(times: &[Duration]) -> Duration {
    times[times.len() * 99 / 100]
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn writers_at_half_of_their_free_rate_keep_it() {
    const TIME: Duration = Duration::from_secs(8);
    let database = TestDatabase::create().await;
    table(&database, "bigint", "n").await;
    let free = Writers::start(&database, Duration::ZERO).await;
    free.rate(TIME / 4).await;
    let free_rate = free.rate(TIME).await;
    free.stop().await;
    let pause = Duration::from_secs_f64(2.0 * 2.0 / free_rate);
    let alone = Writers::start(&database, pause).await;
    let rate_alone = alone.rate(TIME).await;
    let alone = alone.stop().await;
    let stop = Arc::new(AtomicBool::new(false));
    let reading = async {
        let mut copies = 0;
        while !stop.load(Ordering::Relaxed) {
            by_chunks(&database, 1).await;
            copies += 1;
        }
        copies
    };
    let writing = async {
        let writers = Writers::start(&database, pause).await;
        let rate = writers.rate(TIME).await;
        stop.store(true, Ordering::Relaxed);
        (rate, writers.stop().await)
    };
    let (copies, (rate, during)) = tokio::join!(reading, writing);
    println!(
        "free {free_rate:.0}/s, held at half {rate_alone:.0}/s with p99 {:?}; while the table was read {copies} times {rate:.0}/s ({:.1} %) with p99 {:?}",
        p99(&alone),
        100.0 * rate / rate_alone,
        p99(&during)
    );
}
