//! The library into SQLite, as it comes: `synchronous=FULL`, the offset in the same transaction.

use std::path::Path;
use std::time::Instant;

use cdc_core::Pipeline;
use cdc_sinks::SqliteSink;

use super::pipeline;
use crate::Outcome;
use crate::child::{Measured, Task};

pub(crate) async fn run(task: &Task) -> Outcome<Measured> {
    let source = pipeline::source(task).build()?;
    let sink = SqliteSink::open(Path::new(&task.target).join("bench.db"))?;
    let start = Instant::now();
    Pipeline::builder("bench", source).sink(sink).until_caught_up().build()?.run().await?;
    Ok(Measured::since(start, task.rows))
}
