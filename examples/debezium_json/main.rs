//! Debezium's records on standard output: takes the configuration of a Debezium PostgreSQL connector as it is.

mod arguments;
mod lines;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cdc_core::dead_letter::FileDeadLetters;
use cdc_core::offset_store::{FileOffsetStore, MemoryOffsetStore};
use cdc_core::status::{Phase, Progress};
use cdc_core::{ChangeEvent, Error, Operation, Pipeline, PipelineBuilder, Properties, Result};
use cdc_postgres::PostgresSource;

use arguments::{Arguments, USAGE};
use lines::JsonLines;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("error: {error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&arguments).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(130),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the connector. `false` when it was stopped before its end.
async fn run(arguments: &Arguments) -> Result<bool> {
    let properties = properties(arguments)?;
    let connector =
        Pipeline::from_properties::<PostgresSource>(&properties, cdc_smt::from_properties)?;
    let sink = JsonLines::new(connector.converters, std::io::stdout());
    let mut pipeline = connector.pipeline.sink(sink);
    let store = arguments.state.as_ref().map(FileOffsetStore::open).transpose()?;
    pipeline = match &store {
        Some(store) => pipeline.offsets(store.clone()),
        None => pipeline.offsets(MemoryOffsetStore::new()),
    };
    if let Some(folder) = &arguments.letters {
        pipeline = pipeline.dead_letters(FileDeadLetters::open(folder)?);
    }
    let reached = Arc::new(AtomicBool::new(false));
    if let Some(table) = &arguments.until {
        pipeline = until(pipeline, table, &reached);
    }
    let pipeline = pipeline.build()?;
    if let (Some(store), Some(file)) = (&store, &arguments.offsets) {
        store.import_connect(pipeline.name(), &[lines::NAME], &read(file)?).await?;
    }
    let progress = pipeline.progress();
    let mut handle = pipeline.spawn();
    let streaming = tokio::spawn(tell_when_streaming(progress));
    let stopped = tokio::select! {
        result = handle.wait() => {
            result?;
            false
        }
        () = signal() => true,
    };
    if stopped {
        handle.stop();
        handle.wait().await?;
    }
    streaming.abort();
    if arguments.until.is_some() && !stopped && !reached.load(Ordering::Relaxed) {
        return Err(Error::configuration("the connector ended before the event of --until"));
    }
    Ok(!stopped)
}

/// The configuration file, with what the command line sets in its place.
fn properties(arguments: &Arguments) -> Result<Properties> {
    let file = &arguments.config;
    let mut properties: Properties =
        read(file)?.parse().map_err(|error: Error| error.context(file.display()))?;
    for (name, value) in &arguments.set {
        properties.set(name, value);
    }
    Ok(properties)
}

fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file)
        .map_err(|error| Error::configuration(format!("{}: {error}", file.display())))
}

/// Ends with the transaction that inserts into the table, whatever transforms make of it.
fn until(pipeline: PipelineBuilder, table: &str, reached: &Arc<AtomicBool>) -> PipelineBuilder {
    let (table, reached) = (table.to_owned(), Arc::clone(reached));
    pipeline.until(move |event: &ChangeEvent| {
        let last = event.operation() == Some(Operation::Create)
            && event.origin().table.as_ref().is_some_and(|from| from.to_string() == table);
        reached.fetch_or(last, Ordering::Relaxed);
        last
    })
}

/// Says on standard error when the snapshot is over and changes follow.
async fn tell_when_streaming(progress: Progress) {
    while progress.status().phase != Phase::Streaming {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    eprintln!("streaming");
}

/// Waits for SIGINT or SIGTERM.
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
}
