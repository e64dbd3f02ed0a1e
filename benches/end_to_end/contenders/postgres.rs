//! The library into a PostgreSQL of its own.

use std::time::Instant;

use cdc_core::Pipeline;
use cdc_sinks::PostgresSink;

use super::pipeline;
use crate::Outcome;
use crate::child::{Measured, Task};

pub(crate) async fn run(task: &Task) -> Outcome<Measured> {
    let source = pipeline::source(task).build()?;
    let sink = PostgresSink::builder(&task.target).build()?;
    let start = Instant::now();
    Pipeline::builder("bench", source).sink(sink).until_caught_up().build()?.run().await?;
    Ok(Measured::since(start, task.rows))
}
