//! The statements that a PostgreSQL target takes, replayed alone while a walsender runs at full speed.
//!
//! The same backlog is read and folded first and its transactions are kept ready, cut as full batches are. Only their replay is
//! measured: rows/s are what `postgres` is compared with; memory, and the server's time, are not its own.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cdc_benches::statements::{Ready, Replay};
use cdc_core::{Batch, BatchLimits, ChangeEvent, Offset, Operation};
use tokio_postgres::types::Type;

use super::{pipeline, raw_reader};
use crate::Outcome;
use crate::backlog::{connect, drop_slot};
use crate::child::{Measured, Task};
use crate::measure::cpu_seconds;
use crate::rows::COLUMNS;

const TYPES: [(&str, Type); 8] = [
    ("id", Type::INT8),
    ("quantity", Type::INT4),
    ("price", Type::NUMERIC),
    ("customer", Type::TEXT),
    ("note", Type::TEXT),
    ("active", Type::BOOL),
    ("created", Type::TIMESTAMPTZ),
    ("payload", Type::TEXT),
];

pub(crate) async fn run(task: &Task) -> Outcome<Measured> {
    let again = format!("{}_again", task.slot);
    let source = connect(&task.url).await?;
    source
        .execute("SELECT pg_copy_logical_replication_slot($1, $2)", &[&task.slot, &again])
        .await?;
    let target = connect(&task.target).await?;
    target
        .batch_execute(&format!(
            "CREATE TABLE bench ({COLUMNS});
             CREATE TABLE cdc_offsets (pipeline text PRIMARY KEY, \"offset\" text);
             INSERT INTO cdc_offsets VALUES ('bench')"
        ))
        .await?;
    let mut replay = Replay::connect(&task.target, "bench", &TYPES).await?;
    let transactions = transactions(task, &mut replay).await?;

    let (url, rows, slot) = (task.url.clone(), task.rows, again.clone());
    let walsender = tokio::spawn(async move {
        let mut failed_at: Option<Instant> = None;
        // The slot is free a moment after its reader has gone.
        while failed_at.is_none_or(|at| at.elapsed() < Duration::from_secs(1)) {
            match raw_reader::read_through(&url, &slot, rows, true).await {
                Ok(()) => failed_at = None,
                Err(_) => {
                    failed_at.get_or_insert_with(Instant::now);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        }
    });
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let (start, before) = (Instant::now(), cpu_seconds());
    for transaction in &transactions {
        replay.run(transaction).await?;
    }
    let mut measured = Measured::since(start, task.rows);
    measured.cpu_seconds -= before;
    if walsender.is_finished() {
        return Err("no walsender ran beside the statements".into());
    }
    walsender.abort();
    drop_slot(&source, &again).await?;
    Ok(measured)
}

/// The backlog as transactions that are ready.
async fn transactions(task: &Task, replay: &mut Replay) -> Outcome<Vec<Ready>> {
    let events = Arc::new(Mutex::new(Vec::new()));
    let taken = Arc::clone(&events);
    let take = move |event: &ChangeEvent| {
        let is_row = event.as_change().is_some_and(|change| {
            matches!(change.operation, Operation::Create | Operation::Update | Operation::Delete)
        });
        if is_row {
            taken.lock().unwrap_or_else(PoisonError::into_inner).push(event.clone());
        }
        Ok(u64::from(is_row))
    };
    pipeline::run(pipeline::source(task).build()?, task.rows, take).await?;
    let events = std::mem::take(&mut *events.lock().unwrap_or_else(PoisonError::into_inner));
    let limits = BatchLimits::default();
    let offset: Offset = "{\"lsn\":1}".parse()?;
    let mut transactions = Vec::new();
    let (mut batch, mut bytes) = (Vec::new(), 0);
    for event in events {
        bytes += event.size();
        batch.push(event);
        if batch.len() >= limits.max_events || bytes >= limits.max_bytes {
            bytes = 0;
            let events = std::mem::take(&mut batch);
            transactions.push(replay.prepare(&Batch::new(events, offset.clone()))?);
        }
    }
    transactions.push(replay.prepare(&Batch::new(batch, offset))?);
    Ok(transactions)
}
