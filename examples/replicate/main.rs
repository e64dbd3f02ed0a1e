//! Keeps copies of a PostgreSQL database in one or several targets.
//!
//!     cargo run --release --example replicate -- postgres://app@db/shop sqlite:shop.db
//!
//! `--help` lists the options. Whatever kills it at whatever moment, the next start goes on where it stopped.

mod arguments;
mod progress;
mod signals;
mod targets;
mod wording;

use std::process::ExitCode;

use arguments::{Arguments, USAGE};
use cdc_core::offset_store::{FileOffsetStore, OffsetStore};
use cdc_core::{Error, Pipeline, Result};
use cdc_postgres::PostgresSource;
use progress::ProgressLines;
use signals::Signals;

/// Everything went as asked.
const DONE: u8 = 0;
/// An error that the last line on standard error tells.
const FAILED: u8 = 1;
/// The command line makes no sense.
const USAGE_ERROR: u8 = 2;
/// A second signal; the status that shells give for "ended by SIGINT".
const INTERRUPTED: i32 = 130;

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::from(DONE);
        }
        Err(error) => {
            eprintln!("error: {error}; see --help");
            return ExitCode::from(USAGE_ERROR);
        }
    };
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(tracing::Level::WARN)
        .with_target(false)
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the runtime does not start: {error}");
            return ExitCode::from(FAILED);
        }
    };
    let outcome = runtime.block_on(async {
        match arguments.remove {
            true => remove(&arguments).await,
            false => replicate(&arguments).await,
        }
    });
    match outcome {
        Ok(()) => ExitCode::from(DONE),
        Err(error) => {
            eprintln!("error: {}", wording::message(&error));
            ExitCode::from(FAILED)
        }
    }
}

fn source(arguments: &Arguments) -> Result<PostgresSource> {
    let builder = PostgresSource::builder(&arguments.source);
    let builder = match &arguments.tables {
        Some(tables) => builder.tables(tables),
        None => builder,
    };
    let builder = match &arguments.publication {
        Some(name) => builder.publication_name(name).create_publication(false),
        None => builder,
    };
    builder.exclude_tables(&arguments.exclude).adopt_slot(arguments.adopt_slot).build()
}

/// Runs the pipeline until a signal, an error or, with `--drain`, the end of what was there at the start.
async fn replicate(arguments: &Arguments) -> Result<()> {
    let mut builder = Pipeline::builder(arguments.name.as_str(), source(arguments)?)
        .offsets(FileOffsetStore::open(&arguments.state)?)
        .wait_for_takeover(!arguments.no_wait);
    for target in &arguments.targets {
        builder = builder.sink(targets::open(target)?);
    }
    if arguments.drain {
        builder = builder.until_caught_up();
    }
    let mut signals = Signals::listen()
        .map_err(|error| Error::configuration("signals cannot be heard").with_source(error))?;
    let mut lines = ProgressLines::default();
    let mut seconds = tokio::time::interval(ProgressLines::INTERVAL);
    let mut stopping = false;
    let mut handle = builder.build()?.spawn();
    let outcome = loop {
        tokio::select! {
            outcome = handle.wait() => break outcome,
            _ = seconds.tick() => lines.show(&handle.status()),
            () = signals.next() => {
                if stopping {
                    std::process::exit(INTERRUPTED);
                }
                stopping = true;
                eprintln!("stopping: what was read is being written (a second signal stops at once)");
                handle.stop();
            }
        }
    };
    ProgressLines::summary(&handle.status());
    outcome
}

/// Drops the slot and the publications, and forgets the offsets in every target and in the state folder.
async fn remove(arguments: &Arguments) -> Result<()> {
    let store = FileOffsetStore::open(&arguments.state)?;
    store.open(&arguments.name).await?;
    source(arguments)?.remove(&arguments.name).await?;
    for target in &arguments.targets {
        let mut sink = targets::open(target)?;
        sink.open().await?;
        if let Some(transactional) = sink.transactional() {
            transactional.forget(&arguments.name).await?;
        }
        sink.close().await?;
    }
    store.forget(&arguments.name).await?;
    eprintln!("removed: slot, publications and offsets of {:?}; the copies stay", arguments.name);
    Ok(())
}
