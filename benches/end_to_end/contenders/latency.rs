//! From commit to sink while another process commits a thousand transactions a second.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cdc_core::Operation;
use tokio::time::MissedTickBehavior;
use tokio_postgres::Client;

use super::pipeline;
use crate::Outcome;
use crate::backlog::{self, Kind, PUBLICATION, TABLE};
use crate::child::{Measured, Task};

const PER_SECOND: u64 = 1_000;
const SECONDS: u64 = 20;
/// What came first is not counted: connections and caches are new.
const WARM_UP: usize = 2_000;

/// The parent: commits while the child reads.
pub(crate) async fn measure(client: &Client, mut task: Task) -> Outcome<Measured> {
    task.slot = "bench_latency".to_owned();
    backlog::load(client, Kind::Inserts, 1, 1, std::slice::from_ref(&task.slot)).await?;
    task.rows = PER_SECOND * SECONDS;
    let insert = client
        .prepare(&format!("INSERT INTO {TABLE} (id, quantity, payload) VALUES ($1, 1, 'x')"))
        .await?;
    let commits = async {
        let mut ticks = tokio::time::interval(Duration::from_micros(1_000_000 / PER_SECOND));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for id in 2.. {
            ticks.tick().await;
            client.execute(&insert, &[&i64::from(id)]).await?;
        }
        Ok::<(), crate::Failure>(())
    };
    let measured = tokio::select! {
        measured = task.run() => measured,
        ended = commits => Err(ended.err().unwrap_or_else(|| "no more ids".into())),
    };
    client.batch_execute(&format!("DROP PUBLICATION {PUBLICATION}")).await?;
    backlog::drop_slot(client, &task.slot).await?;
    measured
}

/// The child: compares the commit's time with the clock of the same machine.
pub(crate) async fn run(task: &Task) -> Outcome<Measured> {
    let source = pipeline::source(task).build()?;
    let times = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&times);
    let take = move |event: &cdc_core::ChangeEvent| {
        if event.operation() != Some(Operation::Create) {
            return Ok(0);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
        if let Some(committed) = event.origin().transaction.commit_time_us {
            seen.lock().unwrap_or_else(PoisonError::into_inner).push(now - committed);
        }
        Ok(1)
    };
    let mut measured = pipeline::run(source, task.rows, take).await?;
    let times = times.lock().unwrap_or_else(PoisonError::into_inner);
    let mut times: Vec<i64> = times.iter().copied().skip(WARM_UP).collect();
    times.sort_unstable();
    let at = |part: usize| {
        let micros = times.get(times.len() * part / 100).copied().unwrap_or_default();
        micros as f64 / 1000.0
    };
    measured.p50_p99 = Some((at(50), at(99)));
    Ok(measured)
}
