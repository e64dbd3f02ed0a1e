//! `COPY ... TO STDOUT` alone: what a snapshot can reach on one connection.

use std::pin::pin;
use std::time::Instant;

use futures_util::StreamExt;

use crate::Outcome;
use crate::backlog::{TABLE, connect};
use crate::child::{Measured, Task};

pub(crate) async fn run(task: &Task) -> Outcome<Measured> {
    let start = Instant::now();
    let client = connect(&task.url).await?;
    let mut copied = pin!(client.copy_out(&format!("COPY {TABLE} TO STDOUT")).await?);
    let mut rows = 0u64;
    while let Some(row) = copied.next().await {
        row?;
        rows += 1;
    }
    Ok(Measured::since(start, rows.min(task.rows)))
}
