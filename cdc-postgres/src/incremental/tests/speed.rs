//! What reading by chunks costs beside a plain COPY, without the pipeline behind it (`cargo bench --bench under_snapshot` measures
//! what it costs others). It takes minutes and wants a quiet machine:
//!
//!     cargo test --release -p cdc-postgres --lib incremental::tests::speed -- --ignored --nocapture --test-threads 1

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
