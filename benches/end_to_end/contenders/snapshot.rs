//! The library's copy of the rows that are there, into a sink that reads every column.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cdc_core::Operation;
use cdc_postgres::PostgresSource;

use super::pipeline;
use crate::Outcome;
use crate::backlog::TABLE;
use crate::child::{Measured, Task};
use crate::rows::Checksum;

pub(crate) async fn run(task: &Task, connections: NonZeroUsize) -> Outcome<Measured> {
    let name = format!("bench_snapshot_{}", std::process::id());
    let source = PostgresSource::builder(&task.url)
        .tables([TABLE])
        .snapshot_connections(connections)
        .slot_name(&name)
        .publication_name(&name);
    let sum = Arc::new(AtomicU64::new(0));
    let total = Arc::clone(&sum);
    let mut checksum = Checksum::default();
    let take = move |event: &cdc_core::ChangeEvent| {
        let Some(change) = event.as_change() else { return Ok(0) };
        let (Operation::Read, Some(row)) = (change.operation, &change.after) else { return Ok(0) };
        // The row that ends a backlog is not one of its rows.
        if row.get(0) == Some(cdc_core::ValueRef::Int64(-1)) {
            return Ok(0);
        }
        checksum.add(row);
        total.store(checksum.sum, Ordering::Release);
        Ok(1)
    };
    let measured = pipeline::run(source.build()?, task.rows, take).await;
    let client = crate::backlog::connect(&task.url).await?;
    client
        .batch_execute(&format!(
            "DROP PUBLICATION IF EXISTS {name}; DROP PUBLICATION IF EXISTS {name}_append"
        ))
        .await?;
    crate::backlog::drop_slot(&client, &name).await?;
    let mut measured = measured?;
    if sum.load(Ordering::Acquire) != Checksum::expected(task.rows) {
        return Err("the copy has other rows than were written".into());
    }
    measured.checksum = Some(sum.load(Ordering::Acquire));
    Ok(measured)
}
