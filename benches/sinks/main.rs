//! SQL sinks beside the statements that they run, replayed alone with parameters that are ready.
//!
//! A batch goes to each contender before the next one is made, so that all of them see the same load of the machine. Each
//! has a database of its own. `cargo bench --bench sinks -- --changes 400000 --only sqlite`

mod meter;
mod postgres;
mod sqlite;

use std::sync::Arc;

use cdc_benches::items::{Hits, Items, Mix, NEWEST};
use cdc_core::{Batch, BatchLimits, ChangeEvent, Sink};

type Result<T> = std::result::Result<T, cdc_benches::statements::Failure>;

/// How much is measured.
pub(crate) struct Plan {
    changes: usize,
    only: Option<String>,
    keys: Option<Hits>,
}

impl Plan {
    fn from_arguments() -> Result<Self> {
        let mut plan = Plan { changes: 400_000, only: None, keys: None };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--changes" => {
                    plan.changes =
                        arguments.next().ok_or("--changes N")?.replace('_', "").parse()?;
                }
                "--only" => plan.only = arguments.next(),
                "--keys" => {
                    plan.keys = match arguments.next().as_deref() {
                        Some("newest") => Some(Hits::Newest),
                        Some("any") => Some(Hits::Any),
                        _ => return Err("--keys newest|any".into()),
                    };
                }
                // Of cargo itself.
                "--bench" => {}
                other => return Err(format!("unknown argument {other}").into()),
            }
        }
        Ok(plan)
    }

    fn wants(&self, sink: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.split(',').any(|name| name == sink))
    }
}

/// The batches of a run: a table with rows, then the mix, cut as a pipeline cuts by default.
pub(crate) struct Batches {
    mix: Mix,
    left: usize,
    number: u64,
}

impl Batches {
    pub(crate) fn new(items: &Items, hits: Hits, changes: usize) -> Self {
        Batches { mix: Mix::new(items.clone(), hits), left: changes, number: 0 }
    }

    /// Rows that are there before anything is measured.
    pub(crate) fn rows_before(&mut self, hits: Hits) -> Result<Vec<Arc<Batch>>> {
        let rows = if hits == Hits::Any { 1_000_000 } else { NEWEST };
        let mut batches = Vec::new();
        for _ in 0..rows.div_ceil(8_192) {
            let events = self.mix.inserts(8_192)?;
            batches.push(Arc::new(self.batch(events)?));
        }
        Ok(batches)
    }

    pub(crate) fn next(&mut self) -> Result<Option<Batch>> {
        let limits = BatchLimits::default();
        let mut events = Vec::new();
        let mut bytes = 0;
        while self.left > 0 && events.len() < limits.max_events && bytes < limits.max_bytes {
            let more = self.mix.changes(64.min(self.left))?;
            bytes += more.iter().map(ChangeEvent::size).sum::<usize>();
            self.left -= more.len();
            events.extend(more);
        }
        if events.is_empty() { Ok(None) } else { Ok(Some(self.batch(events)?)) }
    }

    pub(crate) fn batch(&mut self, events: Vec<ChangeEvent>) -> cdc_core::Result<Batch> {
        self.number += 1;
        Ok(Batch::new(events, format!("{{\"lsn\":{}}}", self.number).parse()?))
    }
}

/// A sink that has the table and the rows that are there before anything is measured.
pub(crate) async fn filled<S: Sink>(
    mut sink: S,
    items: &Items,
    before: &[Arc<Batch>],
) -> Result<S> {
    sink.open().await?;
    let table = Batch::new(vec![items.announcement()], "{\"lsn\":0}".parse()?);
    let transactional = sink.transactional().ok_or("transactional")?;
    transactional.load("bench").await?;
    transactional.commit(Arc::new(table)).await?;
    for batch in before {
        transactional.commit(Arc::clone(batch)).await?;
    }
    Ok(sink)
}

fn main() -> Result<()> {
    let plan = Plan::from_arguments()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    for (hits, of) in [(Hits::Newest, "the newest 20 000 keys"), (Hits::Any, "random keys")] {
        if plan.keys.is_some_and(|keys| keys != hits) {
            continue;
        }
        println!("50 % insert, 35 % update, 15 % delete among {of}");
        if plan.wants("sqlite") {
            runtime.block_on(sqlite::run(hits, plan.changes))?;
        }
        if plan.wants("postgres") {
            runtime.block_on(postgres::run(hits, plan.changes))?;
        }
    }
    Ok(())
}
