//! The same shop as Debezium's records, one JSON line each on standard output.

use std::sync::Arc;

use cdc_core::connect::ConnectProfile;
use cdc_core::connector::{Converters, DebeziumRecords, TransactionNumbers};
use cdc_core::offset_store::MemoryOffsetStore;
use cdc_core::{Pipeline, PipelineBuilder, Properties};
use tokio::sync::watch;

use super::lines::JsonLines;
use super::replicate::{PIPELINE, failed, source};
use crate::Result;

/// What a connector's configuration would say.
const FORMAT: [(&str, &str); 5] = [
    ("topic.prefix", "demo"),
    ("decimal.handling.mode", "string"),
    ("key.converter.schemas.enable", "false"),
    ("value.converter.schemas.enable", "false"),
    ("extended.headers.enabled", "false"),
];

/// Where the records end between the two pipelines.
pub(super) type Reached = Arc<MemoryOffsetStore>;

fn pipeline(url: &str, reached: &Reached) -> Result<PipelineBuilder, cdc_core::Error> {
    let properties: Properties = FORMAT.into_iter().collect();
    let profile = ConnectProfile::builder()
        .topic_prefix("demo")
        .property("decimal.handling.mode", &properties.string("decimal.handling.mode", ""))?
        .build();
    let records = DebeziumRecords::from_properties(&properties, &profile, "postgresql")?;
    let converters = Converters::from_properties(&properties, &profile)?;
    properties.finish()?;
    let source = source(url)?.transaction_markers(true).build()?;
    Ok(Pipeline::builder(PIPELINE, source)
        .transform(records)
        .transform(TransactionNumbers::new())
        .sink(JsonLines::new(converters, std::io::stdout()))
        .offsets(Arc::clone(reached)))
}

/// Writes the rows of schema `shop`, then its changes, until `stopped` turns true.
pub(super) async fn follow(
    url: &str,
    reached: &Reached,
    mut stopped: watch::Receiver<bool>,
) -> Result<()> {
    let pipeline = pipeline(url, reached).and_then(PipelineBuilder::build).map_err(failed)?;
    // The sender lives as long as the demo; that it is gone means stop, too.
    let stop = async move { stopped.wait_for(|stopped| *stopped).await.is_ok() };
    pipeline.run_until(stop).await.map_err(failed)
}

/// Goes on where it stopped, and ends when everything that was committed is written.
pub(super) async fn catch_up(url: &str, reached: &Reached) -> Result<()> {
    let pipeline = pipeline(url, reached).map_err(failed)?.until_caught_up();
    pipeline.build().map_err(failed)?.run().await.map_err(failed)
}
