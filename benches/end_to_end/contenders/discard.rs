//! The library into a sink that reads every column of every row as its typed value and keeps none.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cdc_core::Operation;

use super::pipeline;
use crate::Outcome;
use crate::child::{Measured, Task};
use crate::rows::Checksum;

pub(crate) async fn run(task: &Task) -> Outcome<Measured> {
    let source = pipeline::source(task).build()?;
    let sum = Arc::new(AtomicU64::new(0));
    let total = Arc::clone(&sum);
    let mut checksum = Checksum::default();
    let rows = task.rows;
    let take = move |event: &cdc_core::ChangeEvent| {
        let Some(change) = event.as_change() else { return Ok(0) };
        if let (Operation::Create, Some(row)) = (change.operation, &change.after) {
            checksum.add(row);
            if checksum.rows == rows {
                total.store(checksum.sum, Ordering::Release);
            }
            return Ok(1);
        }
        Ok(0)
    };
    let mut measured = pipeline::run(source, rows, take).await?;
    measured.checksum = Some(sum.load(Ordering::Acquire));
    Ok(measured)
}
