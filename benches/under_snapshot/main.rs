//! What a snapshot costs those beside it: writers that commit meanwhile, and the stream itself.
//!
//! `pgbench` updates rows of a million by key, each in a transaction: as fast as it can, and held at half of that rate. In turn,
//! round after round, nobody reads the table, the library streams it, and the library reads it again and again, on demand
//! and as a first copy. Then a thousand transactions a second are followed with and without a snapshot beside them.
//!
//!     cargo bench --bench under_snapshot -- --seconds 10 --rounds 3
//!     cargo bench --bench under_snapshot -- --set fsync=off --rate 8500

mod beside;
mod pgbench;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use beside::{Beside, TABLE};
use cdc_benches::host::{Host, quiet_of};
use cdc_testservers::{Options, PostgresInstall, PostgresServer};
use pgbench::{Pgbench, Run};

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Outcome<T> = Result<T, Failure>;

const ROWS: u64 = 1_000_000;
const DATABASE: &str = "postgres";
const COLUMNS: &str = "id bigint PRIMARY KEY, customer int, amount numeric(12,2), note text, at timestamptz, done bool, code varchar(20), v int";
const VALUES: &str =
    "n, n % 1000, n / 7.0, 'note of ' || md5(n::text), now(), n % 2 = 0, 'c' || n, 0";
/// So many transactions a second are followed.
const FOLLOWED: f64 = 1_000.0;

struct Arguments {
    time: Duration,
    rounds: usize,
    /// What the writers are held at; half of what they do alone where it is not given.
    rate: Option<f64>,
    /// Of the server.
    settings: Vec<(String, String)>,
}

impl Arguments {
    fn parse(mut given: impl Iterator<Item = String>) -> Outcome<Self> {
        let mut arguments = Arguments {
            time: Duration::from_secs(10),
            rounds: 3,
            rate: None,
            settings: Vec::new(),
        };
        while let Some(name) = given.next() {
            if name == "--bench" {
                continue;
            }
            let value = given.next().ok_or(
                "under_snapshot -- [--seconds N] [--rounds N] [--rate N] [--set NAME=VALUE]",
            )?;
            match name.as_str() {
                "--seconds" => arguments.time = Duration::from_secs(value.parse::<u64>()?.max(2)),
                "--rounds" => arguments.rounds = value.parse::<usize>()?.max(1),
                "--set" => {
                    let (name, value) = value.split_once('=').ok_or("--set NAME=VALUE")?;
                    arguments.settings.push((name.to_owned(), value.to_owned()));
                }
                "--rate" => arguments.rate = Some(value.parse()?),
                _ => return Err(format!("unknown option {name}").into()),
            }
        }
        Ok(arguments)
    }
}

fn main() -> ExitCode {
    let outcome = Arguments::parse(std::env::args().skip(1)).and_then(|arguments| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(measure(&arguments))
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(arguments: &Arguments) -> Outcome<()> {
    let install = PostgresInstall::find_or_fetch(None)?;
    let mut options = Options::new()
        // A commit is one that is on disc, as it is wherever it matters; test servers do without.
        .setting("fsync", "on")
        .setting("full_page_writes", "on")
        .setting("shared_buffers", "512MB")
        .setting("max_wal_size", "16GB")
        .setting("checkpoint_timeout", "1h")
        .setting("autovacuum", "off");
    for (name, value) in &arguments.settings {
        options = options.setting(name, value);
    }
    let server = PostgresServer::start(&install, options)?;
    println!("PostgreSQL {}", server.version());
    let url = format!("{}?sslmode=disable", server.url(DATABASE));
    let client = beside::connect(&url).await?;
    client
        .batch_execute(&format!(
            "CREATE TABLE {TABLE} ({COLUMNS}) WITH (fillfactor = 80); INSERT INTO {TABLE} SELECT {VALUES} FROM generate_series(1, {ROWS}) n"
        ))
        .await?;
    client.batch_execute(&format!("VACUUM ANALYZE {TABLE}")).await?;
    let pgbench = Pgbench::new(&server, DATABASE, TABLE, ROWS)?;

    pgbench.run(arguments.time / 4, None).await?;
    let free = pgbench.run(arguments.time, None).await?.per_second;
    let held = arguments.rate.unwrap_or(free / 2.0);
    println!("writers, free: {free:.0} a second; held at {held:.0}:");
    println!(
        "{:<14} {:>9} {:>7} {:>8} {:>8} {:>12} {:>6} {:>7}",
        "beside", "commits", "", "p50 ms", "p99 ms", "rows read/s", "taken", "rounds"
    );
    let seconds = arguments.time.as_secs_f64();
    let mut runs: Vec<Vec<Together>> = vec![Vec::new(); Beside::ALL.len()];
    for _ in 0..arguments.rounds {
        for (beside, runs) in Beside::ALL.iter().zip(&mut runs) {
            let run = with(*beside, &url, pgbench.run(arguments.time, Some(held))).await?;
            report(*beside, std::slice::from_ref(&run), held, seconds);
            runs.push(run);
        }
    }
    println!("medians:");
    let alone = median(&runs[0], |run| run.writers.per_second);
    for (beside, runs) in Beside::ALL.iter().zip(&runs) {
        report(*beside, runs, alone, seconds);
    }
    println!("writers, free, beside snapshots on demand:");
    let run = with(Beside::OnDemand, &url, pgbench.run(arguments.time, None)).await?;
    println!(
        "{:.0} a second ({:.0} %), {:.0} rows read/s; {:.1} % taken by the host",
        run.writers.per_second,
        run.writers.per_second / free * 100.0,
        run.rows as f64 / seconds,
        run.taken * 100.0,
    );
    println!("from commit to sink, {FOLLOWED:.0} transactions a second:");
    for beside in [Beside::Stream, Beside::OnDemand] {
        let mut runs = Vec::new();
        for _ in 0..arguments.rounds {
            runs.push(with(beside, &url, pgbench.run(arguments.time, Some(FOLLOWED))).await?);
        }
        let quiet = quiet(&runs);
        let mut times: Vec<i64> = quiet.iter().flat_map(|run| run.lags.iter().copied()).collect();
        times.sort_unstable();
        let at = |part: usize| {
            times.get(times.len() * part / 1000).map_or(0.0, |us| *us as f64 / 1000.0)
        };
        println!(
            "{:<14} p50 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms, longest {:.1} ms; {:.0} rows read/s; rounds {}/{}",
            beside.name(),
            at(500),
            at(990),
            at(999),
            times.last().map_or(0.0, |us| *us as f64 / 1000.0),
            median(&runs, |run| run.rows as f64 / seconds),
            quiet.len(),
            runs.len(),
        );
    }
    Ok(())
}

/// A line of the table; the commits as a part of `all` of them.
fn report(beside: Beside, runs: &[Together], all: f64, seconds: f64) {
    let rate = median(runs, |run| run.writers.per_second);
    println!(
        "{:<14} {rate:>7.0}/s {:>6.1}% {:>8.2} {:>8.2} {:>12.0} {:>5.1}% {:>7}",
        beside.name(),
        rate / all * 100.0,
        median(runs, |run| run.writers.p50_ms),
        median(runs, |run| run.writers.p99_ms),
        median(runs, |run| run.rows as f64 / seconds),
        median(runs, |run| run.taken) * 100.0,
        format!("{}/{}", quiet(runs).len(), runs.len()),
    );
}

/// Writers and a reader, at the same time.
#[derive(Debug, Clone)]
struct Together {
    writers: Run,
    /// How many rows of snapshots were read.
    rows: u64,
    /// How many microseconds each change took from its commit to the sink.
    lags: Vec<i64>,
    /// What the host took of the machine meanwhile, a part of 1.
    taken: f64,
}

/// The runs that count.
fn quiet(runs: &[Together]) -> Vec<&Together> {
    quiet_of(runs, |run| run.taken)
}

fn median(runs: &[Together], of: impl Fn(&Together) -> f64) -> f64 {
    let mut all: Vec<f64> = quiet(runs).into_iter().map(of).collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// Runs the writers, and a reader that begins when they have: what its beginning costs them is seen too.
async fn with(
    beside: Beside,
    url: &str,
    writers: impl Future<Output = Outcome<Run>>,
) -> Outcome<Together> {
    const AHEAD: Duration = Duration::from_millis(300);
    let enough = AtomicBool::new(false);
    let host = Host::now();
    let writing = async {
        let run = writers.await;
        enough.store(true, Ordering::Relaxed);
        run
    };
    let reading = async {
        tokio::time::sleep(AHEAD).await;
        let mut reader = beside.start(url).await?;
        reader.go_on(&enough).await?;
        Ok::<_, Failure>(reader)
    };
    let (writers, reader) = tokio::join!(writing, reading);
    let taken = Host::taken_since(host);
    let (writers, reader) = (writers?, reader?);
    Ok(Together { writers, rows: reader.rows(), lags: reader.stop().await?, taken })
}
